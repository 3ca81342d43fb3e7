//! What a piece of work asks for: recorded where it is small, and played through the [free list](super::free_list) of a process that
//! did nothing else, in the sizes of a larger one.
//!
//! The recycler decides by sizes and addresses alone, so playing a trace finds what a process will hold to the byte, blocks
//! that wait included, without holding it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::free_list::{self, FreeList};
use super::{HUGE_PAGE, SMALLEST_CACHED, scratch};

/// A request in the order of time. Blocks are named by their place among the requests of their kind.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A buffer of so many bytes.
    Take(usize),
    Give(usize),
    /// Scratch memory of so many bytes.
    Borrow(usize),
    Return(usize),
    /// The next part begins.
    Part,
}

/// The buffers and the scratch memory that a piece of work asked for, in parts; see [`traced`].
#[derive(Clone, Debug, Default)]
pub struct Trace {
    events: Vec<Event>,
}

#[derive(Default)]
struct Recorder {
    trace: Trace,
    /// Buffers in use, and scratch memory, by their addresses.
    taken: HashMap<usize, usize>,
    borrowed: HashMap<usize, usize>,
    takes: usize,
    borrows: usize,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Does `work` and notes what this thread asks for meanwhile: of kernels everything, since they ask before they share their
/// work out. What the process holds already is no part of it.
pub fn traced<R>(work: impl FnOnce() -> R) -> (R, Trace) {
    /// The recorder before goes on, also where `work` panics.
    struct Restore(Option<Recorder>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDER.set(self.0.take());
        }
    }
    let restore = Restore(RECORDER.replace(Some(Recorder::default())));
    let result = work();
    let recorder = RECORDER.take().unwrap_or_default();
    drop(restore);
    (result, recorder.trace)
}

/// Ends a part of the trace that is being recorded.
pub fn part() {
    record(|recorder| recorder.trace.events.push(Event::Part));
}

fn record(note: impl FnOnce(&mut Recorder)) {
    // Where the thread is at its end and its recorder gone, nothing is recorded.
    let _ = RECORDER.try_with(|recorder| recorder.borrow_mut().as_mut().map_or((), note));
}

pub(super) fn took(address: usize, bytes: usize) {
    record(|Recorder { trace, taken, takes, .. }| {
        trace.events.push(Event::Take(bytes));
        taken.insert(address, *takes);
        *takes += 1;
    });
}

pub(super) fn gave(address: usize) {
    record(|Recorder { trace, taken, .. }| trace.events.extend(taken.remove(&address).map(Event::Give)));
}

pub(super) fn borrowed(address: usize, bytes: usize) {
    record(|Recorder { trace, borrowed, borrows, .. }| {
        trace.events.push(Event::Borrow(bytes));
        borrowed.insert(address, *borrows);
        *borrows += 1;
    });
}

pub(super) fn returned(address: usize) {
    record(|Recorder { trace, borrowed, .. }| {
        trace.events.extend(borrowed.remove(&address).map(Event::Return));
    });
}

/// What a process holds that does what a trace says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The most bytes in use.
    pub live: usize,
    /// The most bytes in use or waiting to be used again.
    pub held: usize,
    /// Bytes of scratch memory at the end.
    pub scratch: usize,
    /// Bytes in use at the end of each part but the last, scratch memory left out.
    pub parts: Vec<usize>,
}

impl Trace {
    /// The bytes of each buffer, in the order in which they were asked for.
    pub fn sizes(&self) -> Vec<usize> {
        let bytes = |event: &Event| if let Event::Take(bytes) = event { Some(*bytes) } else { None };
        self.events.iter().filter_map(bytes).collect()
    }

    /// The same requests for buffers of other sizes: `size` of the part, the place among [`sizes`](Self::sizes), and the bytes.
    #[must_use]
    pub fn with_sizes(&self, size: impl Fn(usize, usize, usize) -> usize) -> Self {
        let (mut part, mut takes) = (0, 0);
        let resize = |event: &Event| match *event {
            Event::Take(bytes) => {
                takes += 1;
                Event::Take(size(part, takes - 1, bytes))
            }
            event => {
                part += usize::from(matches!(event, Event::Part));
                event
            }
        };
        Self { events: self.events.iter().map(resize).collect() }
    }

    /// What a process will hold that does nothing else.
    pub fn peak(&self) -> Peak {
        let mut player = Player::default();
        let mut parts = Vec::new();
        for event in &self.events {
            match *event {
                Event::Take(bytes) => {
                    let bytes = free_list::block(bytes);
                    let address = player.take(bytes);
                    player.taken.push((address, bytes));
                }
                Event::Give(take) => {
                    let (address, bytes) = player.taken[take];
                    player.give(address, bytes);
                }
                Event::Borrow(bytes) => {
                    let block = player.borrow(free_list::block(bytes));
                    player.borrowed.push(block);
                }
                Event::Return(borrow) => player.spare.push(player.borrowed[borrow]),
                Event::Part => parts.push(player.small + player.free_list.usage().live - player.scratch),
            }
        }
        let usage = player.free_list.usage();
        let [live, held] = [usage.peak_live, usage.peak_held].map(|most| most + player.most_small);
        Peak { live, held, scratch: player.scratch, parts }
    }
}

/// The free list of a trace being played, and the blocks that its requests were given: address and bytes.
#[derive(Default)]
struct Player {
    free_list: FreeList,
    taken: Vec<(usize, usize)>,
    borrowed: Vec<(usize, usize)>,
    spare: Vec<(usize, usize)>,
    /// Bytes of scratch memory, lent or not.
    scratch: usize,
    /// Where the next block of the system lies.
    next: usize,
    /// Bytes of blocks that are too small for the list, and the most that they were.
    small: usize,
    most_small: usize,
}

impl Player {
    fn take(&mut self, bytes: usize) -> usize {
        if bytes < SMALLEST_CACHED {
            self.small += bytes;
            self.most_small = self.most_small.max(self.small);
            return 0;
        }
        let (hit, _released) = self.free_list.take(bytes);
        hit.unwrap_or_else(|| {
            // No two are neighbours.
            let address = self.next;
            self.next += bytes.next_multiple_of(HUGE_PAGE) + HUGE_PAGE;
            self.free_list.add(address, bytes);
            address
        })
    }

    fn give(&mut self, address: usize, bytes: usize) {
        if bytes < SMALLEST_CACHED {
            self.small -= bytes;
        } else {
            self.free_list.put(address, bytes);
        }
    }

    fn borrow(&mut self, bytes: usize) -> (usize, usize) {
        let sizes = self.spare.iter().map(|&(_, bytes)| bytes);
        let taken = scratch::choice(sizes, bytes).map(|i| self.spare.swap_remove(i));
        match taken {
            Some(block) if block.1 >= bytes => return block,
            Some((address, bytes)) => {
                self.scratch -= bytes;
                self.give(address, bytes);
            }
            None => {}
        }
        self.scratch += bytes;
        (self.take(bytes), bytes)
    }
}
