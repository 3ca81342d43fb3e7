//! Ranks that are the processes of an MPI job.
//!
//! One thread of each process makes all calls to MPI, and makes them whether or not the others compute: what is to be sent comes
//! to it by a channel, what arrives it delivers at the [post](crate::post). MPI moves packets while it is asked how they are: this
//! thread asks often while packets are on their way, and ever more seldom the longer nothing happens, and leaves the cores to the
//! kernels in between.
//!
//! A process that was killed says nothing. So each sends a beat every few seconds, and who is silent for [`SILENCE`] is lost;
//! whoever waits for it learns so. A second thread finds that out. Where the program does not end by it within [`GRACE`], as
//! nobody waits, that thread ends it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
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
    let watch = Arc::new(Watch::new(size));
    let (watching, of_all) = (Arc::clone(&watch), Arc::clone(&post));
    let watcher = std::thread::Builder::new().name("watch".into()).spawn(move || watching.run(&of_all));
    if let Err(error) = watcher {
        post.lose(usize::from(rank == 0), &format!("cannot be watched: {error}"), false);
    }
    Service { world, post, watch: Arc::clone(&watch), beat: Cell::new(Instant::now()) }.run(inbox);
    watch.is_over.store(true, Ordering::Relaxed);
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

/// The thread that speaks to MPI.
struct Service {
    world: SimpleCommunicator,
    post: Arc<Post>,
    watch: Arc<Watch>,
    /// When this rank last said that it lives.
    beat: Cell<Instant>,
}

impl Service {
    fn run(self, inbox: &Receiver<Errand>) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        let mut closes = false;
        while !closes {
            let received = self.receive();
            // Waits for an errand no longer than MPI may wait.
            let first = inbox.recv_timeout(if received { Duration::ZERO } else { pause });
            let errands = match first {
                Ok(errand) => std::iter::once(errand).chain(inbox.try_iter()).collect(),
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => vec![Errand::Close],
            };
            closes = errands.iter().any(|errand| matches!(errand, Errand::Close));
            let is_busy = received || !errands.is_empty();
            let packets = errands.into_iter().filter_map(|errand| match errand {
                Errand::Send(to, packet) => Some((to, packet)),
                Errand::Close => None,
            });
            self.send(&packets.collect::<Vec<_>>());
            self.beat();
            pause = if is_busy { shortest } else { (2 * pause).min(longest) };
        }
    }

    /// Sends packets, and takes what arrives meanwhile: who waits for this rank to take something may be whom this one sends to.
    fn send(&self, packets: &[(usize, Arc<Packet>)]) {
        mpi::request::scope(|scope| {
            let requests = packets.iter().map(|(to, packet)| {
                self.world.process_at_rank(*to as i32).immediate_send(scope, packet.bytes())
            });
            let mut sending: Vec<_> = requests.collect();
            while !sending.is_empty() {
                let before = sending.len();
                self.beat();
                sending = sending.into_iter().filter_map(|request| request.test().err()).collect();
                if !self.receive() && sending.len() == before {
                    std::thread::sleep(PAUSES[0]);
                }
            }
        });
    }

    /// Takes what has arrived; whether there was anything.
    fn receive(&self) -> bool {
        let mut is_any = false;
        while let Some((message, status)) = self.world.any_process().immediate_matched_probe() {
            let from = status.source_rank() as usize;
            let bytes = usize::try_from(status.count(u8::equivalent_datatype())).unwrap_or(0);
            let mut packet = Packet::zeroed(bytes);
            self.watch.begins(from);
            message.matched_receive_into(packet.bytes_mut());
            self.watch.hears(from);
            self.post.deliver(from, packet);
            is_any = true;
        }
        is_any
    }

    /// Says from time to time that this rank lives: also to those that have come to their end, which wait for this one. Who has
    /// come to its own says nothing after that. So few bytes leave at once, whether or not they are taken.
    fn beat(&self) {
        if self.beat.get().elapsed() < BEAT || self.post.is_ending() {
            return;
        }
        self.beat.set(Instant::now());
        let beat = Packet::new(Header::of(Kind::Beat), &[]);
        for rank in (0..self.post.size).filter(|&rank| rank != self.post.rank) {
            self.world.process_at_rank(rank as i32).send(beat.bytes());
        }
    }
}

/// Who was heard of, and when. A thread of its own looks at it, as that which speaks to MPI may wait for a packet of which the
/// sender is gone.
struct Watch {
    began: Instant,
    /// Milliseconds from the beginning until each rank was last heard of.
    heard: Vec<AtomicU64>,
    /// The rank whose packet is arriving, or [`NOBODY`].
    arriving: AtomicUsize,
    /// Whether this rank has left MPI.
    is_over: AtomicBool,
}

/// No rank.
const NOBODY: usize = usize::MAX;

impl Watch {
    fn new(size: usize) -> Self {
        let heard = (0..size).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: Instant::now(),
            heard,
            arriving: AtomicUsize::new(NOBODY),
            is_over: AtomicBool::new(false),
        }
    }

    fn begins(&self, from: usize) {
        self.hears(from);
        self.arriving.store(from, Ordering::Relaxed);
    }

    fn hears(&self, from: usize) {
        self.heard[from].store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.arriving.store(NOBODY, Ordering::Relaxed);
    }

    /// How long a rank has been silent.
    fn silence(&self, rank: usize) -> Duration {
        let heard = Duration::from_millis(self.heard[rank].load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(heard)
    }

    /// Finds out who is lost, and ends the process where nobody else does.
    fn run(&self, post: &Post) {
        let mut lost: Option<Instant> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(BEAT / 3);
            // While a packet does not arrive, what others send is not looked at.
            let asked = match self.arriving.load(Ordering::Relaxed) {
                NOBODY => post.others_at_work(),
                rank => vec![rank],
            };
            for rank in asked.into_iter().filter(|&rank| self.silence(rank) > SILENCE) {
                let why = format!(
                    "has not been heard of for {} s: it was killed, or its machine or the network is gone",
                    SILENCE.as_secs()
                );
                post.lose(rank, &why, false);
            }
            let Some(of_whom) = post.lost() else { continue };
            if lost.get_or_insert_with(Instant::now).elapsed() > GRACE {
                eprintln!("error: {of_whom}");
                std::process::exit(1);
            }
        }
    }
}
