//! Ranks that are the processes of an MPI job.
//!
//! One thread of each process makes all calls to MPI, and makes them whether or not the others compute: what is to be sent comes
//! to it by a channel, what arrives it delivers at the [post](crate::post). It asks MPI in turns, ever more seldom the longer
//! nothing happens, and leaves the cores to the kernels.
//!
//! A process that was killed says nothing. So each sends a beat every few seconds, and who is silent for [`SILENCE`] is lost;
//! whoever waits for it learns so. Where the program does not end by that within [`GRACE`], as nobody waits, this thread ends it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::point_to_point::MatchedReceiveVec;
use mpi::request::{Request, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};

use crate::Ranks;
use crate::launch::{has_launcher, launched};
use crate::link::Link;
use crate::packet::{Header, Kind, packet};
use crate::post::Post;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(3);
/// After so long without a word a rank is taken for dead.
const SILENCE: Duration = Duration::from_secs(25);
/// Until a process in which nobody waits is ended, after a rank was lost.
const GRACE: Duration = Duration::from_secs(20);
/// Between two questions to MPI, at least and at most.
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_millis(1)];
/// Packets that are taken before others are sent.
const AT_ONCE: usize = 16;

/// Something for the thread that speaks to MPI.
enum Errand {
    Send(usize, Arc<Vec<u8>>),
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
    fn send(&self, to: usize, packet: Arc<Vec<u8>>) {
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
    packet: Arc<Vec<u8>>,
}

impl Sending {
    fn new(world: &SimpleCommunicator, to: usize, packet: Arc<Vec<u8>>) -> Self {
        // SAFETY: the bytes live on the heap as long as `packet`, which this value keeps until MPI is done with them: it is
        // dropped by `is_over` alone, after the request was completed.
        let bytes: &'static [u8] = unsafe { &*std::ptr::from_ref(packet.as_slice()) };
        Self { request: world.process_at_rank(to as i32).immediate_send(StaticScope, bytes), packet }
    }

    /// The packet that is still on its way.
    fn pending(self) -> Option<Self> {
        let Self { request, packet } = self;
        request.test().err().map(|request| Self { request, packet })
    }
}

struct Service {
    world: SimpleCommunicator,
    post: Arc<Post>,
    sending: Vec<Sending>,
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
        while !closes || !self.sending.is_empty() {
            let received = self.receive();
            let before = self.sending.len();
            self.sending =
                std::mem::take(&mut self.sending).into_iter().filter_map(Sending::pending).collect();
            let mut is_busy = received || self.sending.len() < before;
            self.look_after_others();
            // Waits for an errand no longer than MPI may wait.
            let first = inbox.recv_timeout(if is_busy { Duration::ZERO } else { pause });
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

    /// Takes what has arrived; whether there was anything.
    fn receive(&mut self) -> bool {
        for taken in 0..AT_ONCE {
            let Some(found) = self.world.any_process().immediate_matched_probe() else {
                return taken > 0;
            };
            let (bytes, status): (Vec<u8>, _) = found.matched_receive_vec();
            let from = status.source_rank() as usize;
            self.heard[from] = Instant::now();
            self.post.deliver(from, &bytes);
        }
        true
    }

    /// Says that this rank lives, and finds out which do not.
    fn look_after_others(&mut self) {
        let now = Instant::now();
        let at_work = self.post.others_at_work();
        if now - self.beat >= BEAT {
            self.beat = now;
            let beat = Arc::new(packet(Header::of(Kind::Beat), &[]));
            for &rank in &at_work {
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
