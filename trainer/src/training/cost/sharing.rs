//! What it pays to train by several ranks: the time of a step, reckoned from measured steps and from what a link is taken to do.
//!
//! Of n samples a rank of K has s = ⌈n/K⌉ at most. It computes as long as a process with a batch of s, which is measured for one
//! sample and for all and taken to be linear between. Where all ranks are on one machine they need at least the processor time
//! of all divided by its cores, batches that are made and packets that are packed and added included. A sample's gradients, P numbers, travel to their owners as they become
//! known and come back as sums ([`ranks::OrderedSum`]): each way 4·P·(K − 1)/K bytes for each sample and once more for the sums.
//! Those of earlier samples travel while later ones are computed; of the last sample what fits into its backward pass, which
//! takes two thirds of its time, is hidden. What is left is exposed, with the last bucket's way there and back, and with the few
//! numbers that the ranks of a step tell each other.

use std::fmt;

use clap::ValueEnum;
use ranks::{Layout, share};
use serde::Serialize;

use crate::report::table;

/// A link between machines, or between processes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub enum Link {
    /// Ethernet of 10 Gbit/s: 1.1 GB/s, 30 µs.
    #[value(name = "10GbE")]
    Ethernet10,
    /// Ethernet of 100 Gbit/s: 11 GB/s, 15 µs.
    #[value(name = "100GbE")]
    Ethernet100,
    /// InfiniBand HDR of 200 Gbit/s: 22 GB/s, 3 µs.
    #[value(name = "IB")]
    InfiniBand,
    /// The memory of this machine, whose cores all ranks share: 6 GB/s, 1 µs.
    #[value(name = "local")]
    Local,
}

/// Bytes a second at which a process packs, copies, adds and unpacks what it sends, beside the link.
const HANDLING: f64 = 1.5e9;
/// Seconds until a thread that was asleep looks at what has arrived.
const WAKING: f64 = 3e-4;
/// How often the ranks of a step tell each other something small: counts and sums of two losses, whether to stop, whether numbers
/// are finite.
const TELLINGS: f64 = 6.0;
/// The backward pass's share of a sample's time.
const BACKWARD: f64 = 2.0 / 3.0;
/// Another rank pays as long as a step becomes shorter by this.
const PAYS: f64 = 0.05;
/// Rows of the table at most.
const MOST_ROWS: usize = 16;

impl Link {
    /// Bytes a second, and seconds until the first arrives.
    fn speed(self) -> (f64, f64) {
        match self {
            Self::Ethernet10 => (1.1e9, 30e-6),
            Self::Ethernet100 => (11e9, 15e-6),
            Self::InfiniBand => (22e9, 3e-6),
            Self::Local => (6e9, 1e-6),
        }
    }
}

/// What was measured, and what is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Basis {
    /// Seconds of a step with one sample and with all, in one process.
    pub steps: [f64; 2],
    /// Samples of a batch.
    pub samples: usize,
    /// Numbers that are learnt.
    pub parameters: usize,
    /// Seconds of processor time that the same steps take, on all cores together.
    pub processor: [f64; 2],
    /// Cores of the machine.
    pub cores: usize,
}

/// A step for each number of ranks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sharing {
    /// The link.
    pub link: Link,
    /// Samples of a batch: more ranks cannot share it.
    pub samples: usize,
    /// From one rank on.
    pub steps: Vec<SharedStep>,
    /// The most ranks of which each makes a step shorter by a twentieth.
    pub pays_up_to: usize,
}

/// A step by so many ranks, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SharedStep {
    /// How many.
    pub ranks: usize,
    /// Samples of the rank that has most.
    pub samples: usize,
    /// Computing.
    pub computation: f64,
    /// What a rank sends, in bytes; it receives as much.
    pub bytes: u64,
    /// Communication by itself.
    pub communication: f64,
    /// What of it no computation hides.
    pub exposed: f64,
    /// The step.
    pub step: f64,
}

impl Sharing {
    /// For one rank up to so many, or to as many as there are samples.
    pub fn new(basis: &Basis, ranks: usize, link: Link) -> Self {
        let most = ranks.min(basis.samples).max(1);
        // Beyond the rows that are printed, those numbers of ranks at which a rank has fewer samples.
        let is_shown = |&k: &usize| {
            k <= MOST_ROWS || k == most || basis.samples.div_ceil(k) < basis.samples.div_ceil(k - 1)
        };
        let steps: Vec<SharedStep> =
            (1..=most).filter(is_shown).map(|ranks| SharedStep::new(basis, ranks, link)).collect();
        let mut best = steps[0];
        for step in &steps[1..] {
            if step.step < best.step * (1.0 - PAYS) {
                best = *step;
            }
        }
        Self { link, samples: basis.samples, pays_up_to: best.ranks, steps }
    }
}

impl SharedStep {
    fn new(basis: &Basis, ranks: usize, link: Link) -> Self {
        let samples = basis.samples.div_ceil(ranks);
        let of_batch = |[one, all]: [f64; 2], samples: usize| {
            let each =
                if basis.samples > 1 { (all - one).max(0.0) / (basis.samples - 1) as f64 } else { 0.0 };
            one + (samples - 1) as f64 * each
        };
        let alone = of_batch(basis.steps, samples);
        let numbers = basis.parameters as f64 * (ranks - 1) as f64 / ranks as f64;
        let part = 4.0 * numbers;
        let bytes = (samples + 1) as f64 * part;
        let computation = match link {
            Link::Local => {
                let of_rank =
                    |rank: usize| of_batch(basis.processor, share(rank, ranks, basis.samples).len());
                let computing: f64 = (0..ranks).map(of_rank).sum();
                // What is sent is packed, and what is received added or unpacked.
                let handling = ranks as f64 * 2.0 * bytes / HANDLING;
                alone.max((computing + handling) / basis.cores as f64)
            }
            _ => alone,
        };
        if ranks == 1 {
            let (communication, exposed) = (0.0, 0.0);
            return Self { ranks, samples, computation, bytes: 0, communication, exposed, step: computation };
        }
        let (bandwidth, latency) = link.speed();
        let travel = |bytes: f64| bytes / bandwidth + bytes / HANDLING;
        let layout = Layout::new([basis.parameters], ranks);
        let last = 2.0 * (travel(layout.bucket_bytes() as f64) + latency + WAKING);
        let tellings = TELLINGS * (latency + WAKING);
        let of_sample = computation / samples as f64;
        let of_earlier = (samples - 1) as f64 * (travel(part) - of_sample).max(0.0);
        let of_last = (2.0 * travel(part) - BACKWARD * of_sample).max(0.0);
        let exposed = of_earlier + of_last + last + tellings;
        let communication = travel(bytes) + last + tellings;
        Self {
            ranks,
            samples,
            computation,
            bytes: bytes as u64,
            communication,
            exposed,
            step: computation + exposed,
        }
    }
}

/// As a table, with what it assumes.
impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.steps[0].step;
        let rows = self.steps.iter().map(|step| {
            let seconds = |seconds: f64| format!("{seconds:.4}");
            vec![
                step.ranks.to_string(),
                step.samples.to_string(),
                seconds(step.computation),
                format!("{:.1}", step.bytes as f64 / 1e6),
                seconds(step.communication),
                seconds(step.exposed),
                seconds(step.step),
                format!("{:.2}", one / step.step),
            ]
        });
        let titles = [
            "ranks",
            "samples of one",
            "computation",
            "MB each way",
            "communication",
            "exposed",
            "step in s",
            "speed-up",
        ];
        table(f, &titles, rows.collect(), 0)?;
        let (bandwidth, latency) = self.link.speed();
        let name = self.link.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        writeln!(
            f,
            "assumed: {name} moves {:.1} GB/s each way and takes {:.0} µs; a process packs and adds {:.1} GB/s and wakes after {:.1} ms; every machine computes as this one{}",
            bandwidth / 1e9,
            1e6 * latency,
            HANDLING / 1e9,
            1e3 * WAKING,
            if self.link == Link::Local { ", whose cores all ranks share" } else { "" }
        )?;
        match self.pays_up_to {
            1 => write!(f, "at this batch of {} more than one rank does not pay", self.samples),
            ranks if ranks == self.samples => write!(
                f,
                "each rank up to {ranks} pays; a batch of {ranks} is shared by no more: a larger data.batch_size is"
            ),
            ranks => {
                write!(f, "beyond {ranks} ranks a step becomes shorter by less than {:.0} %", 100.0 * PAYS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis() -> Basis {
        Basis { steps: [1.0, 4.0], processor: [7.0, 28.0], samples: 4, parameters: 1_000_000, cores: 8 }
    }

    #[test]
    fn a_fast_link_shares_the_work_and_a_slow_one_does_not_pay() {
        let steps = Sharing::new(&basis(), 8, Link::InfiniBand);
        assert_eq!(steps.steps.len(), 4, "no more ranks than samples");
        assert_eq!(steps.pays_up_to, 4);
        assert!(steps.steps[3].step < 1.05 && steps.steps[3].exposed > 0.0);
        // Of three ranks one has two samples, as of two.
        assert_eq!(steps.steps[2].computation, steps.steps[1].computation);
        let tiny = Basis { steps: [0.001, 0.004], parameters: 30_000_000, ..basis() };
        let slow = Sharing::new(&tiny, 4, Link::Ethernet10);
        assert_eq!(slow.pays_up_to, 1);
        assert!(slow.steps[1].step > slow.steps[0].step);
    }

    #[test]
    fn ranks_of_one_machine_share_its_cores() {
        let local = Sharing::new(&basis(), 4, Link::Local);
        let computation = local.steps[3].computation;
        assert!((3.5..3.51).contains(&computation), "four ranks of a sample need 28 s of eight cores");
        let single = Basis { processor: [1.2, 4.8], ..basis() };
        assert_eq!(Sharing::new(&single, 4, Link::Local).pays_up_to, 4);
    }

    #[test]
    fn what_travels_is_what_ranks_send() {
        let step = Sharing::new(&basis(), 2, Link::Local).steps[1];
        // Two samples' parts and the sums, of the half that the other owns.
        assert_eq!(step.bytes, 3 * 4 * 500_000);
    }
}
