//! Empty borders: what lies around that which was imaged, and the box without it.
//!
//! Around a scan each channel has one value: 0, or what became of 0 when intensities were standardised. A plane of the
//! border that is empty holds half of the volume's corners, so only the values at half of the corners or more can be those
//! of an empty border ([`background`]), and a border is empty as far as every channel has them ([`content`]). The image
//! alone decides, for labels are unknown where a case is predicted.

use std::cmp::Ordering;
use std::ops::Range;

use metrics::{Components, Connectivity, grid};

/// The values of the channels that an empty border of an image `[d, h, w, c]` would have; none: it has no empty border.
///
/// They are those of most corners. Of equally many, zeros are taken before others, then the lower ones, so that they do not
/// depend on how the image is turned; other values than 0 are not taken from a single voxel.
pub(super) fn background(image: &[f32], channels: usize, size: [usize; 3]) -> Option<Vec<f32>> {
    let ends = size.map(|n| if n > 1 { vec![0, n - 1] } else { vec![0] });
    let mut corners = Vec::new();
    for d in &ends[0] {
        for h in &ends[1] {
            corners.extend(ends[2].iter().map(|w| {
                let voxel = (d * size[1] + h) * size[2] + w;
                &image[voxel * channels..][..channels]
            }));
        }
    }
    let is_zero = |values: &[f32]| values.iter().all(|&v| v == 0.0);
    let count = |values: &[f32]| corners.iter().filter(|&&other| other == values).count();
    let order = |a: &&[f32], b: &&[f32]| {
        let lower = b.partial_cmp(a).unwrap_or(Ordering::Equal);
        count(a).cmp(&count(b)).then(is_zero(a).cmp(&is_zero(b))).then(lower)
    };
    let values = corners.iter().copied().max_by(order)?;
    let least = corners.len().div_ceil(2).max(if is_zero(values) { 1 } else { 2 });
    (count(values) >= least).then(|| values.to_vec())
}

/// The smallest box around all voxels `[d, h, w, c]` that are not the background's; the whole volume where all are.
pub(super) fn content(image: &[f32], background: &[f32], size: [usize; 3]) -> [Range<usize>; 3] {
    let [depth, height, width] = size;
    let channels = background.len();
    let mut low = size;
    let mut high = [0; 3];
    for row in 0..depth * height {
        let line = image[row * width * channels..][..width * channels].chunks_exact(channels);
        let ends = [line.clone().position(|v| v != background), line.clone().rposition(|v| v != background)];
        for w in ends.into_iter().flatten() {
            for (axis, i) in [row / height, row % height, w].into_iter().enumerate() {
                low[axis] = low[axis].min(i);
                high[axis] = high[axis].max(i + 1);
            }
        }
    }
    if high[0] == 0 { size.map(|n| 0..n) } else { std::array::from_fn(|a| low[a]..high[a]) }
}

/// Which voxels of an image `[d, h, w, c]` are not empty: those that are not the background's, and holes among them, from
/// which no path over faces leads through the background to the border (SciPy's `binary_fill_holes`).
pub(super) fn content_mask(image: &[f32], background: &[f32], size: [usize; 3]) -> Vec<bool> {
    let mut mask = memory::collected(image.chunks_exact(background.len()).map(|v| v == background));
    let empty = Components::new(&mask, size, Connectivity::Six);
    let mut is_outside = vec![false; empty.count as usize + 1];
    for (voxel, &component) in empty.labels.iter().enumerate().filter(|&(_, &component)| component > 0) {
        let at = grid::place(voxel, size);
        is_outside[component as usize] |= (0..3).any(|a| at[a] == 0 || at[a] + 1 == size[a]);
    }
    mask.iter_mut().zip(&empty.labels).for_each(|(mask, &component)| *mask = !is_outside[component as usize]);
    mask
}

/// A box of voxels `[d, h, w, c]`.
pub(super) fn cut<T: Copy>(
    voxels: Vec<T>,
    size: [usize; 3],
    channels: usize,
    of: &[Range<usize>; 3],
) -> Vec<T> {
    if (0..3).all(|a| of[a] == (0..size[a])) {
        return voxels;
    }
    let mut out = memory::with_capacity(of.iter().map(ExactSizeIterator::len).product::<usize>() * channels);
    for d in of[0].clone() {
        for h in of[1].clone() {
            let row = (d * size[1] + h) * size[2];
            out.extend_from_slice(&voxels[(row + of[2].start) * channels..(row + of[2].end) * channels]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(voxel: usize, size: [usize; 3]) -> [usize; 3] {
        [voxel / size[1] / size[2], voxel / size[2] % size[1], voxel % size[2]]
    }

    /// An image of two channels, and which of its voxels were set apart from the background.
    fn image(size: [usize; 3], background: [f32; 2], set: &[usize]) -> (Vec<f32>, Vec<usize>) {
        let voxels: usize = size.iter().product();
        let mut image: Vec<f32> = background.into_iter().cycle().take(2 * voxels).collect();
        let set: Vec<usize> = set.iter().map(|at| at % voxels).collect();
        // In one of the channels, to a value of its own.
        set.iter().for_each(|&at| image[2 * at + at % 2] = 100.0 + at as f32);
        (image, set)
    }

    /// The volume seen from the other end of some axes.
    fn mirrored(image: &[f32], size: [usize; 3], axes: [bool; 3]) -> Vec<f32> {
        let from =
            |at: [usize; 3]| std::array::from_fn(|a| if axes[a] { size[a] - 1 - at[a] } else { at[a] });
        let voxel = |at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
        let voxels = size.iter().product();
        (0..voxels).flat_map(|i| image[2 * voxel(from(place(i, size)))..][..2].iter().copied()).collect()
    }

    /// What a volume is cut to.
    fn kept(image: &[f32], size: [usize; 3]) -> [Range<usize>; 3] {
        match background(image, 2, size) {
            Some(values) => content(image, &values, size),
            None => size.map(|n| 0..n),
        }
    }

    /// Whether every voxel outside of a box has these values.
    fn is_empty_outside(image: &[f32], size: [usize; 3], part: &[Range<usize>; 3], values: &[f32]) -> bool {
        let voxels = image.chunks_exact(values.len()).enumerate();
        let inside = |voxel: usize| (0..3).all(|a| part[a].contains(&place(voxel, size)[a]));
        voxels.filter(|&(voxel, _)| !inside(voxel)).all(|(_, found)| found == values)
    }

    proptest! {
        #[test]
        fn the_box_is_that_of_all_that_is_not_the_constant_whatever_constant_it_is(
            size in prop::array::uniform3(4usize..8),
            constant in prop::sample::select(vec![[0.0, 0.0], [-3.16, -5.34], [7.0, 0.0], [-1024.0, -1024.0]]),
            set in prop::collection::vec(0usize..1000, 1..4),
        ) {
            // Fewer than four corners can be set.
            let (image, set) = image(size, constant, &set);
            prop_assert_eq!(background(&image, 2, size), Some(constant.to_vec()));
            let found = kept(&image, size);
            let places: Vec<_> = set.iter().map(|&voxel| place(voxel, size)).collect();
            for a in 0..3 {
                let low = places.iter().map(|p| p[a]).min().unwrap();
                let high = places.iter().map(|p| p[a]).max().unwrap();
                prop_assert_eq!(found[a].clone(), low..high + 1);
            }
            let numbers = cut((0..image.len()).collect(), size, 2, &found);
            let inside = (0..image.len() / 2).filter(|&v| (0..3).all(|a| found[a].contains(&place(v, size)[a])));
            prop_assert_eq!(numbers, inside.flat_map(|v| [2 * v, 2 * v + 1]).collect::<Vec<_>>());
        }

        #[test]
        fn outside_of_the_box_all_voxels_are_one_value_and_no_plane_of_its_border_is(
            size in prop::array::uniform3(1usize..5),
            values in prop::collection::vec(prop_oneof![4 => Just(0.0f32), 3 => Just(-2.5f32), 1 => -1.0f32..1.0], 256),
        ) {
            let voxels: usize = size.iter().product();
            let image = &values[..2 * voxels];
            let found = kept(image, size);
            let Some(constant) = background(image, 2, size) else {
                prop_assert_eq!(found, size.map(|n| 0..n));
                return Ok(());
            };
            prop_assert!(is_empty_outside(image, size, &found, &constant));
            let is_constant = image.chunks_exact(2).all(|v| v == constant);
            for a in 0..3 {
                for end in [found[a].start, found[a].end - 1] {
                    let mut plane = found.clone();
                    plane[a] = end..end + 1;
                    let inside = cut(image.to_vec(), size, 2, &plane);
                    prop_assert!(is_constant || inside.chunks_exact(2).any(|v| v != constant));
                }
            }
        }

        #[test]
        fn a_border_of_0_is_cut_off_whatever_else_is_there_and_mirroring_mirrors_the_box(
            size in prop::array::uniform3(1usize..5),
            values in prop::collection::vec(prop_oneof![6 => Just(0.0f32), 2 => Just(-2.5f32), 1 => -1.0f32..1.0], 256),
            axes in prop::array::uniform3(any::<bool>()),
        ) {
            let image = &values[..2 * size.iter().product::<usize>()];
            let by_zero = content(image, &[0.0; 2], size);
            let found = kept(image, size);
            if by_zero != size.map(|n| 0..n) {
                prop_assert_eq!(&found, &by_zero);
            }
            let seen = kept(&mirrored(image, size, axes), size);
            for a in 0..3 {
                let back = if axes[a] { size[a] - seen[a].end..size[a] - seen[a].start } else { seen[a].clone() };
                prop_assert_eq!(&back, &found[a]);
            }
        }
    }

    #[test]
    fn a_scan_that_fills_its_volume_has_no_empty_border() {
        let size = [4, 5, 6];
        let noise: Vec<f32> = (0..240).map(|i| ((i * 7919) % 241) as f32).collect();
        assert_eq!(background(&noise, 2, size), None);
        // A border that only one channel has is no border.
        let half: Vec<f32> =
            noise.iter().enumerate().map(|(i, &v)| if i % 2 == 0 { 0.0 } else { v }).collect();
        assert_eq!(kept(&half, size), size.map(|n| 0..n));
        // A line's ends are single voxels: what they are by chance is not cut off, but 0 is.
        assert_eq!(background(&[3.0, 1.0, 2.0], 1, [1, 1, 3]), None);
        assert_eq!(
            content(&[0.0, 1.0, 2.0], &background(&[0.0, 1.0, 2.0], 1, [1, 1, 3]).unwrap(), [1, 1, 3])[2],
            1..3
        );
        // Nothing but background.
        assert_eq!(kept(&[-3.0; 240], size), size.map(|n| 0..n));
    }
}
