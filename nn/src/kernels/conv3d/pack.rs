//! How weights are packed for the register tile.

use autograd::Real;
use rayon::prelude::*;

use super::geometry::{Axis, Tap};
use super::operands::Weight;
use super::plan::Plan;
use super::tile::WIDTH;
use crate::kernels::scratch::Scratch;

/// Numbers of a packed weight.
fn packed_len<T: Real>(plan: &Plan) -> usize {
    plan.columns.next_multiple_of(plan.lanes::<T>()) * plan.depth()
}

/// `[block][td][th][tw][k][column in block]`, columns beyond the last are 0.
pub(super) fn pack<T: Real>(plan: &Plan, weight: Weight<'_, T>) -> Scratch<T> {
    let [d, h, w] = &plan.axes;
    let [_, kernel_h, kernel_w] = weight.kernel;
    let tap_size = plan.k_channels * plan.columns;
    let mut packed = Scratch::new(packed_len::<T>(plan));
    if packed.is_empty() {
        return packed;
    }
    let block = WIDTH * plan.lanes::<T>();
    packed.par_chunks_mut(block * plan.depth()).enumerate().for_each(|(b, chunk)| {
        let width = chunk.len() / plan.depth();
        let columns = (plan.columns - b * block).min(width);
        let mut out = chunk.chunks_exact_mut(width * plan.k_channels);
        for (td, th, tw) in taps(d, h, w) {
            let tap = (td.index * kernel_h + th.index) * kernel_w + tw.index;
            let source = &weight.data[tap * tap_size..][..tap_size];
            let out = out.next().expect("one chunk for each tap");
            for (k, row) in out.chunks_exact_mut(width).enumerate() {
                let first = k * weight.k_stride + b * block * weight.column_stride;
                if weight.column_stride == 1 {
                    row[..columns].copy_from_slice(&source[first..first + columns]);
                } else {
                    for (column, place) in row[..columns].iter_mut().enumerate() {
                        *place = source[first + column * weight.column_stride];
                    }
                }
                row[columns..].fill(T::ZERO);
            }
        }
    });
    packed
}

fn taps(d: &Axis, h: &Axis, w: &Axis) -> impl Iterator<Item = (Tap, Tap, Tap)> {
    let inner = move |td: Tap, th: Tap| w.taps.iter().map(move |tw| (td, th, *tw));
    let middle = move |td: Tap| h.taps.iter().flat_map(move |th| inner(td, *th));
    d.taps.iter().flat_map(move |td| middle(*td))
}
