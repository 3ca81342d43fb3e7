//! From the grid that a network sees to the file's: logits are interpolated linearly, plane by plane.

use rayon::prelude::*;

use crate::preprocess::{Grids, Tap};

/// Takes the planes of a case one by one and hands on those of the part of the file that the case is.
///
/// Two planes are held. Where the grids are the same, planes are handed on as they are.
#[derive(Debug)]
pub struct Restore {
    from: [usize; 3],
    to: [usize; 3],
    channels: usize,
    taps: [Vec<Tap>; 3],
    /// The last two planes, in the file's plane.
    planes: [Vec<f32>; 2],
    taken: usize,
    given: usize,
}

impl Restore {
    /// For logits of so many channels.
    pub fn new(grids: &Grids, channels: usize) -> Self {
        Self {
            from: grids.shape(),
            to: grids.part_shape(),
            channels,
            taps: grids.taps_back(),
            planes: Default::default(),
            taken: 0,
            given: 0,
        }
    }

    /// Takes the next plane `[h, w, c]` and gives those that are finished by it to `sink`.
    pub fn push(&mut self, plane: &[f32], sink: &mut impl FnMut(&[f32])) {
        if self.from == self.to {
            return sink(plane);
        }
        self.planes.swap(0, 1);
        self.planes[1] = self.in_plane(plane);
        self.taken += 1;
        while let Some(tap) = self.taps[0].get(self.given) {
            let last = tap.first as usize + tap.rows - 1;
            if last >= self.taken {
                return;
            }
            let [before, latest] = &self.planes;
            // A place is given as soon as its last plane is there.
            if tap.rows == 1 {
                sink(latest);
            } else {
                let [a, b, ..] = tap.weights;
                let mut between = memory::collected(before.iter().copied());
                between.par_iter_mut().zip(latest).for_each(|(z, latest)| *z = a * *z + b * latest);
                sink(&between);
            }
            self.given += 1;
        }
    }

    fn in_plane(&self, plane: &[f32]) -> Vec<f32> {
        let [_, _, from] = self.from;
        let [_, height, width] = self.to;
        let channels = self.channels;
        let mut out = memory::filled(0.0, height * width * channels);
        let row = |(out, tap): (&mut [f32], &Tap)| {
            let mut line = vec![0.0; from * channels];
            tap.blend(plane, from * channels, 0, &mut line);
            out.chunks_exact_mut(channels).zip(&self.taps[2]).for_each(|(voxel, tap)| {
                tap.blend(&line, channels, 0, voxel);
            });
        };
        out.par_chunks_exact_mut(width * channels).zip(&self.taps[1]).for_each(row);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Geometry;
    use crate::preprocess::Preprocessing;
    use crate::preprocess::resample::Interpolation;
    use crate::preprocess::resample::per_axis;
    use crate::preprocess::resample::resample;
    use proptest::prelude::*;
    use volumes::AxisOrder;
    use volumes::Header;

    proptest! {
        /// Plane by plane is the same as the whole volume, axis by axis.
        #[test]
        fn planes_are_those_of_the_whole_volume(
            part in prop::array::uniform3(1usize..9),
            spacing in prop::array::uniform3(0.4f64..3.0),
            thick in prop::sample::select(vec![1.0, 5.0]),
            channels in 1usize..4,
            seed in prop::collection::vec(-9.0f32..9.0, 1 << 14),
        ) {
            let [d, h, w] = part;
            let affine = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, thick, 0.0], [0.0, 0.0, 0.0, 1.0]];
            let preprocessing = Preprocessing { spacing: Some(spacing), ..Preprocessing::NATIVE };
            let geometry = Geometry::new(Header::new(&[w, h, d], affine), AxisOrder::ZYX, preprocessing)
                .cropped(part.map(|n| 0..n), Some(spacing));
            let shape = geometry.grids.shape();
            let values: Vec<f32> = seed.iter().copied().cycle().take(shape.iter().product::<usize>() * channels).collect();
            let kinds = per_axis([thick, 1.0, 1.0], Interpolation::Linear);
            let wanted = resample(values.clone(), shape, channels, part, kinds);
            let mut restore = Restore::new(&geometry.grids, channels);
            let mut found = Vec::new();
            values.chunks_exact(shape[1] * shape[2] * channels).for_each(|plane| {
                restore.push(plane, &mut |restored| found.extend_from_slice(restored));
            });
            prop_assert_eq!(found.len(), wanted.len());
            for (a, b) in found.iter().zip(&wanted) {
                prop_assert!((a - b).abs() <= 1e-4, "{a} {b}");
            }
        }
    }
}
