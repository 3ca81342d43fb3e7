//! What has arrived at a rank, and who waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::packet::{Header, Kind, Packet};
use crate::sum::Sums;
use crate::{Lost, Traffic};

/// What a packet waits under: its kind, its number, and the rank that it came from.
pub(crate) type Place = (Kind, u64, usize);

/// A rank's own place: what has arrived there, and the way to the others.
pub(crate) struct Post {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    state: Mutex<State>,
    changed: Condvar,
    link: OnceLock<Box<dyn Link>>,
    hosts: OnceLock<Vec<String>>,
    is_ending: AtomicBool,
    gatherings: AtomicU64,
    sums: AtomicU64,
    /// What the sum before was gathered in.
    kept: Mutex<Vec<f32>>,
    /// Nanoseconds.
    waited: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// What has arrived.
pub(crate) struct State {
    packets: BTreeMap<Place, VecDeque<Vec<u8>>>,
    pub(crate) sums: Sums,
    pub(crate) lost: Option<Lost>,
    /// Of each rank, whether it has come to its end.
    is_over: Vec<bool>,
    /// Of each rank, by what error it said that it ends.
    errors: Vec<Option<String>>,
}

impl State {
    pub(crate) fn are_all_over(&self) -> bool {
        self.is_over.iter().all(|&over| over)
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl Post {
    pub(crate) fn new(rank: usize, size: usize) -> Self {
        let mut is_over = vec![false; size];
        is_over[rank] = true;
        let state = State {
            packets: BTreeMap::new(),
            sums: Sums::default(),
            lost: None,
            is_over,
            errors: vec![None; size],
        };
        Self {
            rank,
            size,
            state: Mutex::new(state),
            changed: Condvar::new(),
            link: OnceLock::new(),
            hosts: OnceLock::new(),
            is_ending: AtomicBool::new(false),
            gatherings: AtomicU64::new(0),
            sums: AtomicU64::new(0),
            kept: Mutex::default(),
            waited: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// Sets the way to the others, and the machines that all run on.
    pub(crate) fn connect(&self, link: Box<dyn Link>, hosts: Vec<String>) {
        drop((self.link.set(link), self.hosts.set(hosts)));
    }

    pub(crate) fn host(&self, rank: usize) -> &str {
        self.hosts.get().and_then(|hosts| hosts.get(rank)).map_or("an unknown machine", String::as_str)
    }

    pub(crate) fn next_gathering(&self) -> u64 {
        self.gatherings.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_sum(&self) -> u64 {
        self.sums.fetch_add(1, Ordering::Relaxed)
    }

    /// Room for so many numbers, in the memory of the sum before.
    pub(crate) fn kept(&self, numbers: usize) -> Vec<f32> {
        let mut kept = self.kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        kept.resize(numbers, 0.0);
        kept
    }

    pub(crate) fn keep(&self, room: Vec<f32>) {
        drop(self.kept.lock().map(|mut kept| *kept = room));
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic { sent: read(&self.sent), received: read(&self.received) }
    }

    pub(crate) fn send(&self, to: usize, packet: Arc<Packet>) {
        self.sent.fetch_add(packet.bytes().len() as u64, Ordering::Relaxed);
        if let Some(link) = self.link.get() {
            link.send(to, packet);
        }
    }

    pub(crate) fn send_to_others(&self, packet: &Arc<Packet>) {
        (0..self.size).filter(|&rank| rank != self.rank).for_each(|rank| self.send(rank, Arc::clone(packet)));
    }

    /// Tells the others that this rank has come to its end.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.send_to_others(&Arc::new(Packet::new(Header::of(Kind::Done), &[])));
    }

    #[cfg(feature = "mpi")]
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.link.get().into_iter().for_each(|link| link.close());
    }

    /// Takes a packet that has arrived.
    pub(crate) fn deliver(&self, from: usize, packet: Packet) {
        self.received.fetch_add(packet.bytes().len() as u64, Ordering::Relaxed);
        let Some((header, bytes)) = packet.read() else {
            return self.lose(from, "sends what is no packet of this version", false);
        };
        match header.kind {
            Kind::Beat => {}
            Kind::Part => self.add(header, packet),
            Kind::Sum => self.state().sums.finish(header, Arc::new(packet)),
            Kind::Done => self.state().is_over[from] = true,
            Kind::Failed => {
                let error = String::from_utf8_lossy(bytes).into_owned();
                self.state().errors[from] = Some(error.clone());
                self.lose(from, &format!("has ended: {error}"), true);
            }
            Kind::Gathered | Kind::Streamed => {
                let place = (header.kind, header.number, from);
                self.state().packets.entry(place).or_default().push_back(bytes.to_vec());
            }
        }
        self.changed.notify_all();
    }

    /// Adds a sample's part of a bucket that this rank owns; the last one makes the sum known to all.
    pub(crate) fn add(&self, header: Header, part: Packet) {
        let sum = self.state().sums.add(header, part);
        if let Some(mut sum) = sum {
            let header = Header { kind: Kind::Sum, ..header };
            sum.set_header(header);
            let sum = Arc::new(sum);
            self.send_to_others(&sum);
            self.state().sums.finish(header, sum);
            self.changed.notify_all();
        }
    }

    /// By what error a rank said that it ends.
    pub(crate) fn error_of(&self, rank: usize) -> Option<String> {
        self.state().errors[rank].clone()
    }

    /// Notes that a rank takes no part any more, unless another was lost before or it has come to its end.
    pub(crate) fn lose(&self, rank: usize, why: &str, told: bool) {
        let mut state = self.state();
        if state.lost.is_none() && !state.is_over[rank] {
            let host = self.host(rank).to_owned();
            state.lost = Some(Lost { rank, size: self.size, host, why: why.to_owned(), told });
        }
        state.is_over[rank] = true;
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        self.state().lost.clone()
    }

    /// The ranks that have not come to their end.
    #[cfg(feature = "mpi")]
    pub(crate) fn others_at_work(&self) -> Vec<usize> {
        let state = self.state();
        (0..self.size).filter(|&rank| !state.is_over[rank]).collect()
    }

    /// The next packet of a place.
    pub(crate) fn receive(&self, place: Place) -> Result<Vec<u8>, Lost> {
        self.wait(Some(place.2), |state| {
            let queue = state.packets.get_mut(&place)?;
            let packet = queue.pop_front();
            if queue.is_empty() {
                state.packets.remove(&place);
            }
            packet
        })
    }

    /// Waits until all others have come to their end, but not longer than this.
    pub(crate) fn wait_for_others(&self, most: Duration) {
        let at_work = |state: &mut State| !state.are_all_over();
        drop(self.changed.wait_timeout_while(self.state(), most, at_work));
    }

    /// Waits until something has arrived, or a rank is lost; also by coming to its end before it has sent that.
    pub(crate) fn wait<R>(
        &self,
        from: Option<usize>,
        mut arrived: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, Lost> {
        let mut state = self.state();
        loop {
            if let Some(found) = arrived(&mut state) {
                return Ok(found);
            }
            if let Some(lost) = &state.lost {
                return Err(lost.clone());
            }
            if let Some(rank) = from.filter(|&rank| rank != self.rank && state.is_over[rank]) {
                let why = "has come to its end before the others".to_owned();
                return Err(Lost {
                    rank,
                    size: self.size,
                    host: self.host(rank).to_owned(),
                    why,
                    told: false,
                });
            }
            let began = Instant::now();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.waited.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
