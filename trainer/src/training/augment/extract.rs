//! From a region of a case to a patch.
//!
//! A patch that is only mirrored is copied row by row. Else the place in the volume is followed along each row of the
//! patch, `start + w·step` plus the bending, in f64; between eight voxels is interpolated in f32.

use super::elastic::Sums;
use super::{Placement, Transform};
use crate::dataset::IGNORE;
use crate::preprocess::Region;

/// Fills `image` (`[d, h, w, c]`) and `labels` (`[d, h, w]`) of a patch of size `patch` from a region that holds the
/// placement's [block](Placement::block).
pub(in super::super) fn extract(
    region: &Region<'_>,
    patch: [usize; 3],
    placement: &Placement,
    image: &mut [f32],
    labels: &mut [u8],
) {
    if placement.transform.copies() {
        copy(region, patch, placement, image, labels);
    } else {
        resample(region, patch, placement, image, labels);
    }
}

/// Voxels as they are, mirrored along some axes.
fn copy(region: &Region<'_>, patch: [usize; 3], placement: &Placement, image: &mut [f32], labels: &mut [u8]) {
    let (channels, offset) = (region.channels, placement.offset);
    let flips = placement.transform.flips;
    let mirrored = |a: usize, i: usize| if flips[a] { patch[a] - 1 - i } else { i };
    // The volume's index under the patch's index `i` along an axis.
    let source = |a: usize, i: usize| {
        let at = offset[a] + mirrored(a, i) as isize;
        usize::try_from(at).ok().filter(|&at| at < region.shape[a])
    };
    image.fill(0.0);
    labels.fill(IGNORE);
    // The part of each row that lies in the volume, before mirroring.
    let first = offset[2].min(0).unsigned_abs();
    let end = (region.shape[2] as isize - offset[2]).clamp(0, patch[2] as isize) as usize;
    if first >= end {
        return;
    }
    let length = end - first;
    let to = if flips[2] { patch[2] - end } else { first };
    for d in 0..patch[0] {
        let Some(sd) = source(0, d) else { continue };
        for h in 0..patch[1] {
            let Some(sh) = source(1, h) else { continue };
            let from = region.index([sd, sh, (offset[2] + first as isize) as usize]);
            let to = (d * patch[1] + h) * patch[2] + to;
            let voxels = &mut image[to * channels..][..length * channels];
            voxels.copy_from_slice(&region.image[from * channels..][..length * channels]);
            if flips[2] {
                // Backwards altogether, and each voxel's channels forwards again.
                voxels.reverse();
                voxels.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
            }
            if let Some(truth) = region.labels() {
                let classes = &mut labels[to..][..length];
                classes.copy_from_slice(&truth[from..][..length]);
                if flips[2] {
                    classes.reverse();
                }
            }
        }
    }
}

fn resample(
    region: &Region<'_>,
    patch: [usize; 3],
    placement: &Placement,
    image: &mut [f32],
    labels: &mut [u8],
) {
    let Transform { matrix, elastic, .. } = &placement.transform;
    let half = patch.map(|p| (p as f64 - 1.0) / 2.0);
    let centre: [f64; 3] = std::array::from_fn(|a| placement.offset[a] as f64 + half[a]);
    let view = View::of(region);
    let step: [f64; 3] = std::array::from_fn(|a| matrix[a][2]);
    let (mut sums, mut bent) = (Sums::default(), vec![[0.0; 3]; patch[2]]);
    for d in 0..patch[0] {
        if let Some(elastic) = elastic {
            elastic.plane(d, &mut sums);
        }
        for h in 0..patch[1] {
            let from = [d as f64 - half[0], h as f64 - half[1], -half[2]];
            let start: [f64; 3] = std::array::from_fn(|a| {
                centre[a] + matrix[a][0] * from[0] + matrix[a][1] * from[1] + matrix[a][2] * from[2]
            });
            let row = (d * patch[1] + h) * patch[2];
            let image = &mut image[row * view.channels..][..patch[2] * view.channels];
            let labels = &mut labels[row..][..patch[2]];
            let straight = |w: usize| -> [f64; 3] { std::array::from_fn(|a| start[a] + step[a] * w as f64) };
            match elastic {
                None => view.row(straight, image, labels),
                Some(elastic) => {
                    elastic.row(h, &mut sums, &mut bent);
                    let place = |w: usize| {
                        let (at, u) = (straight(w), bent[w].map(f64::from));
                        std::array::from_fn(|a| {
                            at[a] + matrix[a][0] * u[0] + matrix[a][1] * u[1] + matrix[a][2] * u[2]
                        })
                    };
                    view.row(place, image, labels);
                }
            }
        }
    }
}

/// A region, laid out for reading between its voxels.
struct View<'r> {
    image: &'r [f32],
    labels: Option<&'r [u8]>,
    channels: usize,
    start: [isize; 3],
    size: [usize; 3],
}

impl<'r> View<'r> {
    fn of(region: &'r Region<'_>) -> Self {
        let block = region.block;
        Self {
            image: &region.image,
            labels: region.labels(),
            channels: region.channels,
            start: block.start.map(|i| i as isize),
            size: block.size,
        }
    }

    /// Fills a row of a patch from the places in the volume that its voxels show.
    #[inline]
    fn row(&self, place: impl Fn(usize) -> [f64; 3], image: &mut [f32], labels: &mut [u8]) {
        for (w, (out, label)) in image.chunks_exact_mut(self.channels).zip(labels).enumerate() {
            let at = place(w).map(split);
            // The voxel before the place, counted within the region, and the way from it.
            let before: [isize; 3] = std::array::from_fn(|a| at[a].0 - self.start[a]);
            let share = at.map(|(_, share)| share);
            if (0..3).all(|a| before[a] >= 0 && before[a] + 1 < self.size[a] as isize) {
                self.inside(before.map(|i| i as usize), share, out);
            } else {
                self.at_the_border(before, share, out);
            }
            *label = self.nearest(before, share);
        }
    }

    /// Eight voxels that are all there.
    #[inline]
    fn inside(&self, before: [usize; 3], share: [f32; 3], out: &mut [f32]) {
        let [_, height, width] = self.size;
        let channels = self.channels;
        let first = ((before[0] * height + before[1]) * width + before[2]) * channels;
        let (row, plane) = (width * channels, height * width * channels);
        let pair = |at: usize| &self.image[at..][..2 * channels];
        let [p, q, r, s] = [pair(first), pair(first + row), pair(first + plane), pair(first + plane + row)];
        for (c, out) in out.iter_mut().enumerate() {
            let n = c + channels;
            *out = trilinear([p[c], p[n], q[c], q[n], r[c], r[n], s[c], s[n]], share);
        }
    }

    /// Some of the eight voxels are outside, where the image is 0.
    fn at_the_border(&self, before: [isize; 3], share: [f32; 3], out: &mut [f32]) {
        let corners: [Option<usize>; 8] = std::array::from_fn(|corner| {
            let step = [corner >> 2, corner >> 1 & 1, corner & 1];
            self.index(std::array::from_fn(|a| before[a] + step[a] as isize))
        });
        for (c, out) in out.iter_mut().enumerate() {
            let value = |index: Option<usize>| index.map_or(0.0, |i| self.image[i * self.channels + c]);
            *out = trilinear(corners.map(value), share);
        }
    }

    /// The label of the nearest voxel.
    #[inline]
    fn nearest(&self, before: [isize; 3], share: [f32; 3]) -> u8 {
        let nearest = std::array::from_fn(|a| before[a] + isize::from(share[a] >= 0.5));
        let truth = self.labels.zip(self.index(nearest));
        truth.map_or(IGNORE, |(labels, index)| labels[index])
    }

    /// Where a voxel lies, if it does.
    #[inline]
    fn index(&self, at: [isize; 3]) -> Option<usize> {
        let inside = (0..3).all(|a| at[a] >= 0 && at[a] < self.size[a] as isize);
        inside.then(|| (at[0] as usize * self.size[1] + at[1] as usize) * self.size[2] + at[2] as usize)
    }
}

/// A place as the voxel before it and the share of the way to the next. A cast is faster than `f64::floor`, which is a
/// function's call without SSE 4.1.
#[inline]
fn split(place: f64) -> (isize, f32) {
    let towards_0 = place as isize;
    let floor = towards_0 - isize::from(place < towards_0 as f64);
    (floor, (place - floor as f64) as f32)
}

/// Between eight values, the last axis running fastest. A share of 0 gives the value itself.
#[inline]
fn trilinear(v: [f32; 8], [d, h, w]: [f32; 3]) -> f32 {
    let between = |a: f32, b: f32, share: f32| a + share * (b - a);
    let rows =
        [between(v[0], v[1], w), between(v[2], v[3], w), between(v[4], v[5], w), between(v[6], v[7], w)];
    between(between(rows[0], rows[1], h), between(rows[2], rows[3], h), d)
}
