//! Ranks that are the processes of an MPI job.
//!
//! One thread of each process makes all calls to MPI, and makes them whether or not the others compute: what is to be sent comes
//! to it by a channel, what arrives it delivers at the [post](crate::post). MPI moves packets while it is asked how they are: this
//! thread asks often while packets are on their way, and ever more seldom the longer nothing happens, and leaves the cores to the
//! kernels in between.
//!
//! A process that was killed says nothing. So each sends a beat every few seconds, and who is silent for [`SILENCE`] is lost;
//! whoever waits for it learns so. Where the program does not end by that within [`GRACE`], as nobody waits, this thread ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::point_to_point::Message;
use mpi::request::{Request, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};

use crate::Ranks;
use crate::launch::{has_launcher, launched};
use crate::link::Link;
use crate::packet::{Header, Kind, Packet};
use crate::post::Post;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(3);
/// After so long without a word a rank is taken for dead.
const SILENCE: Duration = Duration::from_secs(25);
/// Until a process in which nobody waits is ended, after a rank was lost.
const GRACE: Duration = Duration::from_secs(20);
/// Between two questions to MPI, at least and at most.
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_micros(300)];

/// Something for the thread that speaks to MPI.
enum Errand {
    Send(usize, Arc<Packet>),
    /// To send what is left, and end MPI.
    Close,
}

/// Takes part in the job of a launcher, if one has started this process; alone otherwise. To be called once.
///
/// # Errors
/// Why MPI cannot be had, and what to do.
pub fn connect() -> Result<Ranks, String> {
    if !has_launcher() {
        return Ok(Ranks::alone());
    }
    let (errands, inbox) = channel();
    let (known, joined) = channel();
    let thread = std::thread::Builder::new().name("mpi".into()).spawn(move || serve(&known, &inbox));
    let thread = thread.map_err(|e| format!("the thread for MPI cannot be started: {e}"))?;
    let (post, hosts) = joined.recv().map_err(|_| "MPI ended this process's part of it".to_owned())??;
    post.connect(
        Box::new(Processes { errands: Mutex::new(errands), thread: Mutex::new(Some(thread)) }),
        hosts,
    );
    Ok(Ranks(post))
}

/// The way to the thread that speaks to MPI.
struct Processes {
    errands: Mutex<Sender<Errand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Processes {
    fn order(&self, errand: Errand) {
        // The thread is gone when the process is about to end.
        drop(self.errands.lock().map(|errands| errands.send(errand)));
    }
}

impl Link for Processes {
    fn send(&self, to: usize, packet: Arc<Packet>) {
        self.order(Errand::Send(to, packet));
    }

    fn close(&self) {
        self.order(Errand::Close);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        drop(thread.map(JoinHandle::join));
    }
}

/// What the thread tells when MPI is there: the post, and all machines' names.
type Joined = Result<(Arc<Post>, Vec<String>), String>;

fn serve(known: &Sender<Joined>, inbox: &Receiver<Errand>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        drop(known.send(Err("MPI has been started in this process before".into())));
        return;
    };
    let world = universe.world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    let started = launched();
    if size == 1 && started > 1 {
        let message = format!(
            "{started} processes were started, but MPI knows of one: the program was built with another MPI than that which starts it; start it with the mpirun of the MPI that it was built with, or with srun --mpi=pmix"
        );
        drop(known.send(Err(message)));
        return;
    }
    let post = Arc::new(Post::new(rank, size));
    let hosts = hosts(&world);
    drop(known.send(Ok((Arc::clone(&post), hosts))));
    Service {
        world,
        post,
        sending: Vec::new(),
        receiving: (0..size).map(|_| VecDeque::new()).collect(),
        heard: vec![Instant::now(); size],
        beat: Instant::now(),
        lost: None,
    }
    .run(inbox);
    // Here MPI is finalised.
    drop(universe);
}

/// The machines of all ranks.
fn hosts(world: &SimpleCommunicator) -> Vec<String> {
    use mpi::traits::CommunicatorCollectives;
    /// Of a machine's name.
    const LENGTH: usize = 64;
    let name = mpi::environment::processor_name().unwrap_or_default();
    let mut own = [0u8; LENGTH];
    own.iter_mut().zip(name.bytes()).for_each(|(own, byte)| *own = byte);
    let mut all = vec![0u8; LENGTH * world.size() as usize];
    world.all_gather_into(&own[..], &mut all[..]);
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    all.chunks_exact(LENGTH).map(name).collect()
}

/// A packet on its way.
struct Sending {
    request: Request<'static, [u8], StaticScope>,
    packet: Arc<Packet>,
}

impl Sending {
    fn new(world: &SimpleCommunicator, to: usize, packet: Arc<Packet>) -> Self {
        // SAFETY: the bytes live on the heap as long as `packet`, which this value keeps until MPI is done with them: it is
        // dropped by `pending` alone, after the request was completed.
        let bytes: &'static [u8] = unsafe { &*std::ptr::from_ref(packet.bytes()) };
        Self { request: world.process_at_rank(to as i32).immediate_send(StaticScope, bytes), packet }
    }

    /// The packet that is still on its way.
    fn pending(self) -> Option<Self> {
        let Self { request, packet } = self;
        request.test().err().map(|request| Self { request, packet })
    }
}

/// A packet that is arriving.
struct Receiving {
    request: Request<'static, [u8], StaticScope>,
    packet: Packet,
}

impl Receiving {
    fn new(message: Message, bytes: usize) -> Self {
        let mut packet = Packet::zeroed(bytes);
        // SAFETY: the bytes live on the heap as long as `packet`, which this value keeps and gives to nobody until MPI is done
        // with them: `arrived` alone hands it out, after the request was completed.
        let buffer: &'static mut [u8] = unsafe { &mut *std::ptr::from_mut(packet.bytes_mut()) };
        Self { request: message.immediate_matched_receive_into(StaticScope, buffer), packet }
    }

    /// The packet, or what waits for it.
    fn arrived(self) -> Result<Packet, Self> {
        let Self { request, packet } = self;
        match request.test() {
            Ok(_) => Ok(packet),
            Err(request) => Err(Self { request, packet }),
        }
    }
}

struct Service {
    world: SimpleCommunicator,
    post: Arc<Post>,
    sending: Vec<Sending>,
    /// From each rank, in the order in which it sent them.
    receiving: Vec<VecDeque<Receiving>>,
    /// When each rank was last heard of.
    heard: Vec<Instant>,
    beat: Instant,
    /// When a rank was found to be lost.
    lost: Option<Instant>,
}

impl Service {
    fn run(mut self, inbox: &Receiver<Errand>) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        let mut closes = false;
        while !closes || self.is_moving() {
            let received = self.receive();
            let before = self.sending.len();
            self.sending =
                std::mem::take(&mut self.sending).into_iter().filter_map(Sending::pending).collect();
            let mut is_busy = received || self.sending.len() < before;
            self.look_after_others();
            // Waits for an errand no longer than MPI may wait.
            let first = inbox.recv_timeout(match (is_busy, self.is_moving()) {
                (true, _) => Duration::ZERO,
                (false, true) => shortest,
                (false, false) => pause,
            });
            let errands = match first {
                Ok(errand) => std::iter::once(errand).chain(inbox.try_iter()).collect(),
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => vec![Errand::Close],
            };
            for errand in errands {
                is_busy = true;
                match errand {
                    Errand::Send(to, packet) => self.sending.push(Sending::new(&self.world, to, packet)),
                    Errand::Close => closes = true,
                }
            }
            pause = if is_busy { shortest } else { (2 * pause).min(longest) };
        }
    }

    /// Whether a packet is on its way.
    fn is_moving(&self) -> bool {
        !self.sending.is_empty() || self.receiving.iter().any(|packets| !packets.is_empty())
    }

    /// Takes what has arrived; whether there was anything.
    fn receive(&mut self) -> bool {
        let mut is_any = false;
        while let Some((message, status)) = self.world.any_process().immediate_matched_probe() {
            let bytes = usize::try_from(status.count(u8::equivalent_datatype())).unwrap_or(0);
            let from = status.source_rank() as usize;
            self.heard[from] = Instant::now();
            self.receiving[from].push_back(Receiving::new(message, bytes));
            is_any = true;
        }
        for (from, packets) in self.receiving.iter_mut().enumerate() {
            while let Some(first) = packets.pop_front() {
                match first.arrived() {
                    Ok(packet) => {
                        self.heard[from] = Instant::now();
                        self.post.deliver(from, packet);
                        is_any = true;
                    }
                    Err(waiting) => {
                        packets.push_front(waiting);
                        break;
                    }
                }
            }
        }
        is_any
    }

    /// Says that this rank lives, and finds out which do not.
    fn look_after_others(&mut self) {
        let now = Instant::now();
        let at_work = self.post.others_at_work();
        // Who has come to its end sends nothing after that.
        if now - self.beat >= BEAT && !self.post.is_ending() {
            self.beat = now;
            let beat = Arc::new(Packet::new(Header::of(Kind::Beat), &[]));
            // Also to those that have come to their end: they wait for this one, which may have much left to do.
            for rank in (0..self.post.size).filter(|&rank| rank != self.post.rank) {
                self.sending.push(Sending::new(&self.world, rank, Arc::clone(&beat)));
            }
        }
        for rank in at_work.into_iter().filter(|&rank| now - self.heard[rank] > SILENCE) {
            let why = format!(
                "has not been heard of for {} s: it was killed, or its machine or the network is gone",
                SILENCE.as_secs()
            );
            self.post.lose(rank, &why, false);
        }
        let Some(lost) = self.post.lost() else { return };
        if now - *self.lost.get_or_insert(now) > GRACE {
            eprintln!("error: {lost}");
            std::process::exit(1);
        }
    }
}
