//! Copies of the lines that a task reads: activated, the sources side by side, zeros beyond both ends.
//!
//! A task reads its input in place where that is one plain tensor of many channels and no window leaves its line.
//! Elsewhere it copies a line when a row asks for it first. A window of 27 taps reads each number many times over, so the copy costs little beside the
//! arithmetic, stays in the second-level cache, and no tile has to care about the ends of w.

use std::marker::PhantomData;
use std::ops::Range;

use autograd::Real;
use autograd::simd::Simd;

use super::operands::Source;
use super::plan::Plan;
use crate::kernels::Output;

/// Inputs of so few channels are copied in any case: their lines are short beside the tile's sums.
const NARROW: usize = 4;

/// The lines of one task.
pub(crate) struct Lines<'a, T> {
    plan: &'a Plan,
    sources: &'a [Source<'a, T>],
    /// The memory, through which alone it is written and read.
    start: Output<T>,
    len: usize,
    first_row: usize,
    /// Lines of a plane and tap along d.
    per_tap: usize,
    line_len: usize,
    /// Of the row that asks: its sample, the first slot of its plane, and the line that this is the slot of.
    sample: usize,
    plane_slot: usize,
    lowest: isize,
    /// Which slots hold their line.
    filled: Vec<bool>,
    memory: PhantomData<&'a mut [T]>,
}

impl<'a, T: Real> Lines<'a, T> {
    /// Whether tasks copy their lines.
    pub(crate) fn serve(plan: &Plan, sources: &[Source<'_, T>]) -> bool {
        Self::needed(plan, matches!(sources, [Source { affine: None, .. }]))
    }

    /// As [`serve`](Self::serve), of one plain source or of others.
    pub(crate) fn needed(plan: &Plan, plain: bool) -> bool {
        let w = &plan.axes[2];
        let inside = w.taps.first().is_none_or(|tap| w.interior(tap.offset, w.span()) == (0..w.count));
        !(plain && inside && plan.k_channels > NARROW)
    }

    /// The memory of a task of `rows` neighbouring rows.
    pub(crate) fn len(plan: &Plan, rows: usize) -> usize {
        slots(plan, rows) * line_len(plan)
    }

    /// No line is copied yet; `memory` as [`len`](Self::len) asks for.
    pub(crate) fn new(plan: &'a Plan, sources: &'a [Source<'a, T>], memory: &'a mut [T]) -> Self {
        let line_len = line_len(plan);
        let filled = Vec::new();
        let (first_row, per_tap, sample, plane_slot, lowest) = (0, 0, 0, 0, 0);
        let (start, len) = (Output(memory.as_mut_ptr()), memory.len());
        Self {
            plan,
            sources,
            start,
            len,
            memory: PhantomData,
            first_row,
            per_tap,
            line_len,
            sample,
            plane_slot,
            lowest,
            filled,
        }
    }

    /// Forgets the lines, for `rows` rows from `first` on.
    pub(crate) fn restart(&mut self, first: usize, rows: usize) {
        self.first_row = first;
        self.per_tap = per_tap(self.plan, rows);
        self.filled.clear();
        self.filled.resize(slots(self.plan, rows), false);
    }

    /// Where the lines begin.
    pub(crate) fn start(&self) -> *const T {
        self.start.0
    }

    /// The row that asks next.
    #[inline(always)]
    pub(crate) fn seek(&mut self, row: usize) {
        let [d, h, _] = &self.plan.axes;
        let plane = row / h.count - self.first_row / h.count;
        // Each plane but the first is read from its row 0 on.
        let first = if plane == 0 { self.first_row % h.count } else { 0 };
        self.sample = row / (h.count * d.count);
        self.plane_slot = plane * d.taps.len() * self.per_tap;
        self.lowest = (first * h.step) as isize + h.taps.first().map_or(0, |tap| tap.offset);
    }

    /// The place, from the start of the lines, of line `[id, ih]` of the row's sample, which the row reads through tap `td`
    /// along d: of the number that pixel 0 reads through tap 0 along w.
    #[inline(always)]
    pub(crate) fn place<S: Simd<Elem = T>>(&mut self, s: S, td: usize, [id, ih]: [usize; 2]) -> usize {
        let slot = self.plane_slot + td * self.per_tap + (ih as isize - self.lowest) as usize;
        if !self.filled[slot] {
            self.filled[slot] = true;
            self.copy(s, [id, ih], slot * self.line_len..(slot + 1) * self.line_len);
        }
        slot * self.line_len
    }

    #[inline(always)]
    fn copy<S: Simd<Elem = T>>(&mut self, s: S, [id, ih]: [usize; 2], to: Range<usize>) {
        assert!(to.end <= self.len, "a slot of the memory");
        // SAFETY: the range is inside the memory, which is this value's alone for its lifetime; tiles read it through the
        // same pointer, and not while a line is copied.
        let target = unsafe { std::slice::from_raw_parts_mut(self.start.0.add(to.start), to.len()) };
        copy_line(s, self.plan, self.sources, [self.sample, id, ih], target);
    }
}

/// `target` = line `[n, id, ih]` of the sources from the number on that pixel 0 reads through tap 0 along w, 0 beyond both
/// ends.
#[inline(always)]
pub(crate) fn copy_line<S: Simd>(
    s: S,
    plan: &Plan,
    sources: &[Source<'_, S::Elem>],
    [n, id, ih]: [usize; 3],
    target: &mut [S::Elem],
) {
    let [d, h, w] = &plan.axes;
    let channels = plan.k_channels;
    let line = ((n * d.input + id) * h.input + ih) * w.input;
    let lowest = w.taps.first().map_or(0, |tap| tap.offset);
    if let [Source { x, affine: None, .. }] = sources {
        let [line, len] = [line, w.input].map(|pixels| pixels * channels);
        copy_padded(x, line, len, line as isize + lowest * channels as isize, target);
        return;
    }
    // Before the line, on it, behind it.
    let positions = target.len() / channels;
    let before = (-lowest).clamp(0, positions as isize) as usize;
    let end = (w.input as isize - lowest).clamp(before as isize, positions as isize) as usize;
    target[..before * channels].fill(S::Elem::ZERO);
    target[end * channels..].fill(S::Elem::ZERO);
    if end == before {
        return;
    }
    let pixels = &mut target[before * channels..end * channels];
    let first = line + (before as isize + lowest) as usize;
    let positions = end - before;
    let mut column = 0;
    for source in sources {
        let own = source.channels;
        let from = &source.x[first * own..][..positions * own];
        match source.affine {
            Some(affine) => {
                let (steps, sizes) = ([own, channels], [positions, own]);
                affine.apply_to_row(s, [n, 0], from, &mut pixels[column..], steps, sizes);
            }
            None => {
                for (from, to) in from.chunks_exact(own).zip(pixels.chunks_exact_mut(channels)) {
                    to[column..column + own].copy_from_slice(from);
                }
            }
        }
        column += own;
    }
}

/// Numbers in a line: from what the first pixel reads first to what the last reads last.
fn line_len(plan: &Plan) -> usize {
    let w = &plan.axes[2];
    (w.count.saturating_sub(1) * w.step + w.span()) * plan.k_channels
}

/// Lines along h that rows of one plane read.
fn per_tap(plan: &Plan, rows: usize) -> usize {
    let h = &plan.axes[1];
    rows.min(h.count).saturating_sub(1) * h.step + h.span()
}

fn slots(plan: &Plan, rows: usize) -> usize {
    let [d, h, _] = &plan.axes;
    // At worst the first row is the last of its plane.
    let planes = 1 + (rows + h.count).saturating_sub(2) / h.count.max(1);
    planes * d.taps.len() * per_tap(plan, rows)
}

/// `target` = the elements from `start` on of the line `line .. line + len` of x, 0 where they are outside
/// it.
#[inline(always)]
fn copy_padded<T: Real>(x: &[T], line: usize, len: usize, start: isize, target: &mut [T]) {
    let skipped = (line as isize - start).clamp(0, target.len() as isize) as usize;
    let end = ((line + len) as isize - start).clamp(skipped as isize, target.len() as isize) as usize;
    target[..skipped].fill(T::ZERO);
    if end > skipped {
        let first = (start + skipped as isize) as usize;
        target[skipped..end].copy_from_slice(&x[first..first + end - skipped]);
    }
    target[end..].fill(T::ZERO);
}
