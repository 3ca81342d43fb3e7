//! Sums over samples, in the order of the samples.
//!
//! All arrays of a sample, such as the gradients of a network's parameters, lie one behind the other and are cut into buckets
//! of equal size. Each bucket has an owner among the ranks. As soon as a sample's part of a bucket is known it goes to the owner,
//! who adds the parts of all samples in the samples' order and sends the sum to all. So sums travel while other arrays are still
//! being computed, and all ranks work on them; the bits are those of ((x₀ + x₁) + x₂) + … in one process.
//!
//! A rank sends its samples' parts of what it does not own, and the sums of what it does: for n samples and K ranks
//! (n/K + 1)·(K − 1)/K of a sample's size each way, where an all-reduce of parts that were added before takes 2·(K − 1)/K. The
//! order costs nothing where each rank has one sample, and half as much again where it has two.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::Lost;
use crate::packet::{Header, Kind, Packet};
use crate::post::Post;

/// Numbers in a bucket at most: 256 KiB.
const BUCKET: usize = 1 << 16;
/// Numbers in a bucket at least, unless there are fewer.
const SMALLEST: usize = 1 << 12;
/// Buckets of each rank, where there are numbers enough.
const OF_RANK: usize = 4;

/// How the arrays of a sample lie one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where each begins, and where the last ends.
    starts: Vec<usize>,
    bucket: usize,
}

impl Layout {
    /// Arrays of these lengths, for so many ranks. Those that are known first should be first.
    pub fn new(lengths: impl IntoIterator<Item = usize>, ranks: usize) -> Self {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        let bucket = (starts[starts.len() - 1] / (OF_RANK * ranks)).clamp(SMALLEST, BUCKET);
        Self { starts, bucket }
    }

    /// Where an array lies.
    pub fn place(&self, array: usize) -> Range<usize> {
        self.starts[array]..self.starts[array + 1]
    }

    /// How many arrays there are.
    pub fn arrays(&self) -> usize {
        self.starts.len() - 1
    }

    /// Numbers of a sample.
    pub fn numbers(&self) -> usize {
        self.starts[self.arrays()]
    }

    /// Bytes of a bucket.
    pub fn bucket_bytes(&self) -> usize {
        self.bucket * size_of::<f32>()
    }

    fn buckets(&self) -> usize {
        self.numbers().div_ceil(self.bucket)
    }

    fn of_bucket(&self, bucket: usize) -> Range<usize> {
        bucket * self.bucket..((bucket + 1) * self.bucket).min(self.numbers())
    }
}

/// A sum under way; see the module's header. All ranks make the same sums in the same order.
pub struct OrderedSum {
    post: Arc<Post>,
    layout: Arc<Layout>,
    samples: u32,
    number: u64,
    /// The arrays of the sample that is being computed, as far as they are known.
    known: Vec<f32>,
    /// Which of them.
    is_known: Vec<bool>,
    /// Numbers of each bucket that are not known yet.
    missing: Vec<usize>,
}

impl OrderedSum {
    pub(crate) fn new(post: Arc<Post>, layout: Arc<Layout>, samples: usize) -> Self {
        let number = post.next_sum();
        let samples = u32::try_from(samples).expect("fewer than 2^32 samples in a batch");
        let known = post.kept(layout.numbers());
        let mut sum =
            Self { post, layout, samples, number, known, is_known: Vec::new(), missing: Vec::new() };
        sum.begin();
        sum
    }

    fn begin(&mut self) {
        self.is_known.clear();
        self.is_known.resize(self.layout.arrays(), false);
        let layout = &self.layout;
        self.missing = (0..layout.buckets()).map(|bucket| layout.of_bucket(bucket).len()).collect();
    }

    /// Gives an array of the sample that is being computed. What is complete by it travels.
    ///
    /// # Panics
    /// If the array was given before, or has another length.
    pub fn give(&mut self, sample: usize, array: usize, numbers: &[f32]) {
        assert!(
            !self.is_known[array],
            "array {array} of sample {sample} is given twice: each is complete when it is given"
        );
        self.is_known[array] = true;
        let place = self.layout.place(array);
        self.known[place.clone()].copy_from_slice(numbers);
        let mut at = place.start;
        while at < place.end {
            let bucket = at / self.layout.bucket;
            let end = self.layout.of_bucket(bucket).end.min(place.end);
            self.missing[bucket] -= end - at;
            if self.missing[bucket] == 0 {
                self.send(sample, bucket);
            }
            at = end;
        }
    }

    /// Says that a sample has no further arrays: those that were not given are 0.
    pub fn end_of_sample(&mut self, sample: usize) {
        for array in (0..self.layout.arrays()).filter(|&array| !self.is_known[array]) {
            self.known[self.layout.place(array)].fill(0.0);
        }
        for bucket in 0..self.missing.len() {
            if self.missing[bucket] > 0 {
                self.send(sample, bucket);
            }
        }
        self.begin();
    }

    fn send(&self, sample: usize, bucket: usize) {
        let part = &self.known[self.layout.of_bucket(bucket)];
        let header = Header {
            kind: Kind::Part,
            number: self.number,
            bucket: bucket as u32,
            sample: sample as u32,
            samples: self.samples,
        };
        let part = Packet::of(header, part);
        match bucket % self.post.size {
            owner if owner == self.post.rank => self.post.add(header, part),
            owner => self.post.send(owner, Arc::new(part)),
        }
    }

    /// Calls `take` with the sums, piece by piece from the first number to the last, and where each piece lies.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn finish(self, mut take: impl FnMut(Range<usize>, &[f32])) -> Result<(), Lost> {
        let Self { post, layout, number, known: mut sums, .. } = self;
        for bucket in 0..layout.buckets() {
            let owner = bucket % post.size;
            let sum = post.wait(Some(owner), |state| state.sums.take(number, bucket as u32))?;
            let place = layout.of_bucket(bucket);
            let sums = &mut sums[place.clone()];
            sums.iter_mut().zip(sum.numbers()).for_each(|(number, sum)| *number = sum);
            take(place, sums);
        }
        post.keep(sums);
        Ok(())
    }
}

/// The sums of a rank: those of the buckets that it owns as far as they are added, and those that are complete. A packet may be of
/// a sum that this rank has not begun yet.
#[derive(Default)]
pub(crate) struct Sums {
    partial: BTreeMap<(u64, u32), Partial>,
    complete: BTreeMap<(u64, u32), Arc<Packet>>,
}

/// A bucket of which some samples are added.
#[derive(Default)]
struct Partial {
    sum: Option<Packet>,
    /// The sample to be added next.
    next: u32,
    /// Parts of samples that come later.
    waiting: BTreeMap<u32, Packet>,
}

impl Sums {
    /// Adds a sample's part when its turn has come; gives the sum with the last.
    pub(crate) fn add(&mut self, header: Header, part: Packet) -> Option<Packet> {
        let key = (header.number, header.bucket);
        let partial = self.partial.entry(key).or_default();
        partial.waiting.insert(header.sample, part);
        while let Some(part) = partial.waiting.remove(&partial.next) {
            match &mut partial.sum {
                Some(sum) => sum.add(&part),
                none => *none = Some(part),
            }
            partial.next += 1;
        }
        if partial.next < header.samples {
            return None;
        }
        self.partial.remove(&key)?.sum
    }

    pub(crate) fn finish(&mut self, header: Header, sum: Arc<Packet>) {
        self.complete.insert((header.number, header.bucket), sum);
    }

    fn take(&mut self, number: u64, bucket: u32) -> Option<Arc<Packet>> {
        self.complete.remove(&(number, bucket))
    }
}
