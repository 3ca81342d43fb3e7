//! Labels on another grid: no value appears that was not there.

use rayon::prelude::*;

use super::{Interpolation, Tap};

/// Labels `[d, h, w]` of `size` on a grid of size `to`: each label's share is interpolated (linearly, or from the nearest
/// voxel), and the label with the largest share is taken; of equal shares the larger value, so that the background, 0,
/// yields.
///
/// # Panics
/// If there is no voxel or not `size` of them, or an axis is to be cubic, which shares are not.
#[track_caller]
pub fn resample_labels(
    labels: &[u8],
    size: [usize; 3],
    to: [usize; 3],
    interpolation: [Interpolation; 3],
) -> Vec<u8> {
    assert_eq!(labels.len(), size.iter().product::<usize>(), "one label a voxel");
    assert!(!labels.is_empty() && !to.contains(&0), "a grid has voxels");
    assert!(!interpolation.contains(&Interpolation::Cubic), "shares of labels are not cubic");
    let taps: [Vec<Tap>; 3] =
        std::array::from_fn(|a| (0..to[a]).map(|i| interpolation[a].tap(i, size[a], to[a])).collect());
    let mut out = memory::filled(0, to.iter().product());
    let plane = |(d, out): (usize, &mut [u8])| {
        for (out, h) in out.chunks_mut(to[2]).zip(&taps[1]) {
            let rows = Rows::new(labels, size, &taps[0][d], h);
            out.iter_mut().zip(&taps[2]).for_each(|(label, w)| *label = rows.label(w));
        }
    };
    out.par_chunks_mut(to[1] * to[2]).enumerate().for_each(plane);
    out
}

/// The rows that a row of the new grid lies between, and their weights.
struct Rows<'a> {
    rows: [(&'a [u8], f32); 4],
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(labels: &'a [u8], size: [usize; 3], d: &Tap, h: &Tap) -> Self {
        let mut rows: [(&[u8], f32); 4] = [(&[], 0.0); 4];
        let mut count = 0;
        for i in 0..d.rows {
            for j in 0..h.rows {
                let row = (d.first as usize + i) * size[1] + h.first as usize + j;
                rows[count] = (&labels[row * size[2]..][..size[2]], d.weights[i] * h.weights[j]);
                count += 1;
            }
        }
        Self { rows, count }
    }

    fn label(&self, w: &Tap) -> u8 {
        let first = w.first as usize;
        let label = self.rows[0].0[first];
        let rows = &self.rows[..self.count];
        if rows.iter().all(|(row, _)| row[first..][..w.rows].iter().all(|&other| other == label)) {
            return label;
        }
        // At most eight corners, so at most eight labels.
        let mut shares = [(0u8, 0.0f32); 8];
        let mut kinds = 0;
        for (row, weight) in rows {
            for (&label, along) in row[first..][..w.rows].iter().zip(w.weights) {
                let known = (0..kinds).find(|&kind| shares[kind].0 == label);
                let kind = known.unwrap_or_else(|| {
                    kinds += 1;
                    kinds - 1
                });
                shares[kind] = (label, shares[kind].1 + weight * along);
            }
        }
        // A share is a sum of rounded products: what differs by less is equal.
        let most = shares[..kinds].iter().fold(0.0f32, |most, &(_, share)| most.max(share)) - 1e-6;
        shares[..kinds]
            .iter()
            .filter(|(_, share)| *share >= most)
            .map(|&(label, _)| label)
            .max()
            .unwrap_or(label)
    }
}
