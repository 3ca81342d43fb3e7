//! What one axis of a convolution reads and writes.
//!
//! Every pass is a correlation, axis by axis
//!
//! ```text
//! y[o·out_step + out_start] = Σ_taps x[o·step + offset(tap)] · weight[index(tap)]      o in 0..count
//! ```
//!
//! - convolution, forward: step = stride, offset = tap·dilation − padding;
//! - its adjoint (the gradient of the input, and the transposed convolution): the outputs p with the same
//!   remainder r = p mod stride see the same taps, those with (r + padding − tap·dilation) divisible by the
//!   stride; each remainder is one correlation of step 1, written at every stride-th place. No zeros are
//!   inserted.

use super::shape::Conv3dSpec;

/// One tap of a kernel along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Its index in the weight.
    pub(crate) index: usize,
    /// The input position it reads for output 0.
    pub(crate) offset: isize,
}

/// One axis of a correlation; see the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// In ascending order of offset.
    pub(crate) taps: Vec<Tap>,
    /// Input positions between the windows of neighbouring outputs.
    pub(crate) step: usize,
    /// The length of the input.
    pub(crate) input: usize,
    /// The outputs computed.
    pub(crate) count: usize,
    /// The place of the first output.
    pub(crate) out_start: usize,
    /// Places between neighbouring outputs.
    pub(crate) out_step: usize,
    /// The length of the output, of which `count` places are written.
    pub(crate) out_len: usize,
}

impl Axis {
    /// The convolution from `input` to `output` positions, of axis `i`.
    pub(crate) fn strided(spec: &Conv3dSpec, i: usize, input: usize, output: usize) -> Self {
        let offset = |index: usize| (index * spec.dilation[i]) as isize - spec.padding[i] as isize;
        let taps = (0..spec.kernel[i]).map(|index| Tap { index, offset: offset(index) }).collect();
        Self { taps, step: spec.stride[i], input, count: output, out_start: 0, out_step: 1, out_len: output }
    }

    /// The adjoint of the convolution from `output` to `input` positions, one axis for each remainder.
    pub(crate) fn adjoint(spec: &Conv3dSpec, i: usize, input: usize, output: usize) -> Vec<Self> {
        let stride = spec.stride[i] as isize;
        let remainder = |r: usize| {
            let tap = |index: usize| {
                let distance = (r + spec.padding[i]) as isize - (index * spec.dilation[i]) as isize;
                (distance % stride == 0).then_some(Tap { index, offset: distance / stride })
            };
            Self {
                // The offset falls as the index rises.
                taps: (0..spec.kernel[i]).rev().filter_map(tap).collect(),
                step: 1,
                input,
                count: (output - r).div_ceil(spec.stride[i]),
                out_start: r,
                out_step: spec.stride[i],
                out_len: output,
            }
        };
        (0..spec.stride[i].min(output)).map(remainder).collect()
    }

    /// The number of neighbouring taps that read neighbouring positions: all of them, or 1.
    pub(crate) fn run(&self) -> usize {
        let adjacent = self.taps.windows(2).all(|pair| pair[1].offset == pair[0].offset + 1);
        if adjacent { self.taps.len().max(1) } else { 1 }
    }

    /// The positions from the first to the last that one output reads.
    pub(crate) fn span(&self) -> usize {
        match (self.taps.first(), self.taps.last()) {
            (Some(first), Some(last)) => (last.offset - first.offset) as usize + 1,
            _ => 0,
        }
    }

    /// The position that output `o` reads through a tap, if it is inside.
    #[inline(always)]
    pub(crate) fn position(&self, o: usize, tap: Tap) -> Option<usize> {
        let position = (o * self.step) as isize + tap.offset;
        (position >= 0 && position < self.input as isize).then_some(position as usize)
    }

    /// The outputs whose positions `offset .. offset + run` are all inside.
    #[inline(always)]
    pub(crate) fn interior(&self, offset: isize, run: usize) -> std::ops::Range<usize> {
        let step = self.step as isize;
        let first = (-offset).max(0).unsigned_abs().div_ceil(self.step);
        // The last o with o·step + offset + run <= input.
        let room = self.input as isize - run as isize - offset;
        let end = if room < 0 { 0 } else { (room / step) as usize + 1 };
        let first = first.min(self.count);
        first..end.clamp(first, self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Axis, Conv3dSpec};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_adjoint_reads_each_pair_that_the_convolution_reads_once(
            kernel in 1usize..5, stride in 1usize..5, padding in 0usize..5, dilation in 1usize..4,
            input in 1usize..12,
        ) {
            let spec = &Conv3dSpec {
                kernel: [kernel; 3],
                stride: [stride; 3],
                padding: [padding; 3],
                dilation: [dilation; 3],
            };
            let span = dilation * (kernel - 1) + 1;
            prop_assume!(input + 2 * padding >= span);
            let output = (input + 2 * padding - span) / stride + 1;
            let forward = Axis::strided(spec, 0, input, output);
            let mut read = vec![];
            for o in 0..forward.count {
                for tap in &forward.taps {
                    read.extend(forward.position(o, *tap).map(|p| (p, o, tap.index)));
                }
            }
            let mut adjoint = vec![];
            let mut written = vec![];
            for axis in Axis::adjoint(spec, 0, output, input) {
                for p in 0..axis.count {
                    let place = p * axis.out_step + axis.out_start;
                    written.push(place);
                    for tap in &axis.taps {
                        adjoint.extend(axis.position(p, *tap).map(|o| (place, o, tap.index)));
                    }
                }
            }
            read.sort_unstable();
            adjoint.sort_unstable();
            written.sort_unstable();
            prop_assert_eq!(read, adjoint);
            prop_assert_eq!(written, (0..input).collect::<Vec<_>>());
        }

        #[test]
        fn the_interior_is_where_no_window_leaves_the_input(
            kernel in 1usize..5, step in 1usize..4, offset in -6isize..6, input in 1usize..12,
            count in 0usize..14,
        ) {
            let taps = vec![];
            let axis = Axis { taps, step, input, count, out_start: 0, out_step: 1, out_len: count };
            let inside = |o: &usize| {
                let first = (o * step) as isize + offset;
                first >= 0 && first + kernel as isize <= input as isize
            };
            let want: Vec<usize> = (0..count).filter(inside).collect();
            prop_assert_eq!(axis.interior(offset, kernel).collect::<Vec<_>>(), want);
        }
    }
}
