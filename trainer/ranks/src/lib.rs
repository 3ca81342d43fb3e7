//! Processes that train one network together, each of them a rank.
//!
//! A rank has a share of each batch. What the batch as a whole must know is brought together in the order of the samples, so
//! that no bit depends on the number of ranks:
//!
//! - [`Ranks::gather`]: few numbers of every rank, known to all, in the order of the ranks;
//! - [`OrderedSum`]: the gradients of all samples, added in the order of the samples, while they are still being computed;
//! - [`Ranks::send`] and [`Ranks::receive`]: a stream from one rank to another.
//!
//! Ranks are the processes that MPI starts (`connect`, with the feature `mpi`), or threads of one process
//! ([`in_threads`](Ranks::in_threads)), which are what the tests have everywhere. The two differ in how packets travel, in nothing else.

#![forbid(unsafe_code)]

mod launch;
mod link;
mod packet;
mod post;
mod sum;

#[cfg(feature = "mpi")]
mod processes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use launch::launched;
#[cfg(feature = "mpi")]
pub use processes::connect;
pub use sum::{Layout, OrderedSum};

use packet::{Header, Kind, Packet};
use post::Post;

/// How long a rank that ends by an error waits for the others to hear of it.
const FAREWELL: Duration = Duration::from_secs(3);

/// A rank that takes no part any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rank {rank} of {size} on {host} {why}")]
pub struct Lost {
    /// Which.
    pub rank: usize,
    /// Of how many.
    pub size: usize,
    /// The machine that it ran on.
    pub host: String,
    /// What is known of its end.
    pub why: String,
    /// Whether it said so itself.
    pub told: bool,
}

/// What has travelled so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that this rank sent.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
}

/// Of so many things the part of one of so many ranks; see [`Ranks::share`].
pub fn share(rank: usize, ranks: usize, things: usize) -> Range<usize> {
    let first = |rank: usize| rank * things / ranks;
    first(rank)..first(rank + 1)
}

/// The ranks of a run, as one of them sees them. Clones are the same rank.
#[derive(Clone, Debug)]
pub struct Ranks(Arc<Post>);

impl Ranks {
    /// A process by itself.
    pub fn alone() -> Self {
        Self(Arc::new(Post::new(0, 1)))
    }

    /// So many ranks in this process, for as many threads.
    pub fn in_threads(size: usize) -> Vec<Self> {
        let posts: Vec<Arc<Post>> = (0..size).map(|rank| Arc::new(Post::new(rank, size))).collect();
        for post in &posts {
            post.connect(link::Threads::new(post.rank, &posts), vec!["this machine".to_owned(); size]);
        }
        posts.into_iter().map(Self).collect()
    }

    /// Which of the ranks this is, from 0.
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Whether this is the rank that writes and prints.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.size() == 1
    }

    /// The machine that a rank runs on.
    pub fn host(&self, rank: usize) -> &str {
        self.0.host(rank)
    }

    /// Of so many things the part that is this rank's: ranks have neighbouring ones, the numbers of which differ by one at most.
    pub fn share(&self, things: usize) -> Range<usize> {
        share(self.rank(), self.size(), things)
    }

    /// What every rank says, in the order of the ranks. All ranks gather the same things in the same order.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, Lost> {
        let number = self.0.next_gathering();
        if self.is_alone() {
            return Ok(vec![own.to_vec()]);
        }
        let header = Header { kind: Kind::Gathered, number, ..Header::default() };
        self.0.send_to_others(&Arc::new(Packet::new(header, own)));
        (0..self.size())
            .map(|rank| match rank == self.rank() {
                true => Ok(own.to_vec()),
                false => self.0.receive((Kind::Gathered, number, rank)),
            })
            .collect()
    }

    /// Numbers of every rank, one rank's after the other's.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_numbers(&self, own: &[f64]) -> Result<Vec<f64>, Lost> {
        if self.is_alone() {
            return Ok(own.to_vec());
        }
        let bytes: Vec<u8> = own.iter().flat_map(|number| number.to_le_bytes()).collect();
        let all = self.gather(&bytes)?.concat();
        Ok(all.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn any(&self, own: bool) -> Result<bool, Lost> {
        if self.is_alone() {
            return Ok(own);
        }
        Ok(self.gather(&[u8::from(own)])?.iter().any(|said| said == &[1]))
    }

    /// What the first rank says, which alone has something to say.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn of_first(&self, own: &[u8]) -> Result<Vec<u8>, Lost> {
        let said = if self.is_first() { own } else { &[] };
        Ok(self.gather(said)?.swap_remove(0))
    }

    /// In which of these facts, each a name and what it is, a rank differs from the first one, in words; none where all agree.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn disagreement(&self, facts: &[(String, String)]) -> Result<Option<String>, Lost> {
        let line = |(name, value): &(String, String)| format!("{name}\t{}\n", value.replace('\n', " "));
        let all = self.gather(facts.iter().map(line).collect::<String>().as_bytes())?;
        let facts_of = |rank: usize| -> BTreeMap<String, String> {
            let text = String::from_utf8_lossy(&all[rank]);
            text.lines()
                .filter_map(|line| line.split_once('\t'))
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let of_first = facts_of(0);
        for rank in 1..self.size() {
            let of_rank = facts_of(rank);
            let names = of_first.keys().chain(of_rank.keys());
            for name in names {
                let [own, other] =
                    [&of_rank, &of_first].map(|facts| facts.get(name).map_or("none", String::as_str));
                if own != other {
                    return Ok(Some(format!(
                        "rank {rank} on {} has another {name} ({own}) than rank 0 on {} ({other})",
                        self.host(rank),
                        self.host(0)
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Sends a packet to another rank, which [receives](Self::receive) what comes on a stream in the order in which it was sent.
    pub fn send(&self, to: usize, stream: u64, bytes: &[u8]) {
        let header = Header { kind: Kind::Streamed, number: stream, ..Header::default() };
        self.0.send(to, Arc::new(Packet::new(header, bytes)));
    }

    /// The next packet on a stream from another rank.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn receive(&self, from: usize, stream: u64) -> Result<Vec<u8>, Lost> {
        self.0.receive((Kind::Streamed, stream, from))
    }

    /// Begins to add arrays of this layout, those of so many samples.
    pub fn sum(&self, layout: &Arc<Layout>, samples: usize) -> OrderedSum {
        OrderedSum::new(Arc::clone(&self.0), Arc::clone(layout), samples)
    }

    /// What has travelled so far.
    pub fn traffic(&self) -> Traffic {
        self.0.traffic()
    }

    /// How long this rank has waited for others so far, whatever for.
    pub fn waited(&self) -> Duration {
        self.0.waited()
    }

    /// The rank that was lost, if one was.
    pub fn lost(&self) -> Option<Lost> {
        self.0.lost()
    }

    /// Ends the work of this rank as it was to end. It waits for the others to come to theirs.
    ///
    /// # Errors
    /// If a rank is lost meanwhile.
    pub fn finish(&self) -> Result<(), Lost> {
        self.0.end();
        self.0.wait(None, |state| (state.lost.is_none() && state.are_all_over()).then_some(()))?;
        self.0.close();
        Ok(())
    }

    /// Tells the others that this rank ends by an error. Gives whether the error is this rank's to print: not one that the first
    /// rank has, too, and of another rank's end that rank or the first speaks.
    pub fn fail(&self, why: &str) -> bool {
        if self.is_alone() {
            return true;
        }
        // An error of this rank's own, or what it was told of another.
        let lost = self.lost().filter(|lost| why.contains(&lost.to_string()));
        self.0.send_to_others(&Arc::new(Packet::new(Header::of(Kind::Failed), why.as_bytes())));
        self.0.wait_for_others(FAREWELL);
        match lost {
            Some(lost) if lost.told => self.is_first() && lost.rank != 0,
            Some(lost) => self.rank() == usize::from(lost.rank == 0),
            None => self.is_first() || self.0.error_of(0).is_none_or(|of_first| of_first != why),
        }
    }
}
