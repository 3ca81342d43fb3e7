//! Foreground that is in a file and that the network never sees.
//!
//! What lies in an empty border is cut off with it. On larger voxels a label is that of the largest share, so what is much
//! smaller than a voxel is outvoted everywhere, and its Dice on the file's grid cannot count it.

use std::collections::BTreeMap;
use std::ops::Range;

use metrics::{BoundingBox, Components, Connectivity};
use serde::{Deserialize, Serialize};

use crate::dataset::IGNORE;
use crate::dataset::fault::{Fault, Kind};
use crate::words::counted;

/// What of a case's foreground is not among the labels that are trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostForeground {
    /// Voxels of the file that lie in borders that are cut off.
    pub cut_off: u64,
    /// Objects that resampling leaves nothing of, by class.
    pub vanished: Vec<Vanished>,
}

/// Objects of a class: connected components of its voxels, which may hang together by a corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vanished {
    /// The class.
    pub label: u8,
    /// Objects that have no voxel left.
    pub lesions: u32,
    /// Objects in all.
    pub of: u32,
}

impl LostForeground {
    /// What is to be said of it, one thing each; `spacing` is that of the case of this name.
    pub(crate) fn faults(&self, case: &str, classes: &[String], spacing: [f64; 3]) -> Vec<Fault> {
        let cut_off = (self.cut_off > 0).then(|| {
            let message = format!(
                "an empty border, which is cut off, holds {}: what lies there cannot be learnt",
                counted(self.cut_off, "foreground voxel")
            );
            let remedy = "look at the label map, or keep borders with data.crop=false";
            Fault::case(Kind::Vanished, case, message, remedy)
        });
        let of_class = |lost: &Vanished| {
            let name = classes.get(usize::from(lost.label)).map_or("?", String::as_str);
            format!("{} of {} of class {name}", lost.lesions, counted(lost.of, "object"))
        };
        let listed: Vec<String> = self.vanished.iter().map(of_class).collect();
        let [d, h, w] = spacing.map(|s| (s * 1e3).round() / 1e3);
        let vanished = (!listed.is_empty()).then(|| {
            let message = format!(
                "resampling to {d} x {h} x {w} mm (d, h, w) leaves no voxel of {}: what is smaller than a voxel cannot be learnt",
                listed.join(", ")
            );
            Fault::case(Kind::Vanished, case, message, "give finer voxels (data.spacing), or take it so")
        });
        cut_off.into_iter().chain(vanished).collect()
    }
}

/// The classes of which lesions of `labels`, `[d, h, w]` of `size`, have no voxel among `resampled`, which lie over the same
/// box in `to` voxels.
pub(super) fn vanished(labels: &[u8], size: [usize; 3], resampled: &[u8], to: [usize; 3]) -> Vec<Vanished> {
    let mut boxes = BTreeMap::new();
    BoundingBox::add_labels(&mut boxes, labels, size, |label| ![0, IGNORE].contains(&label));
    let lost = boxes.into_iter().map(|(label, bounds)| {
        let mut mask = memory::with_capacity(bounds.shape().iter().product());
        mask.extend(bounds.indices(size).map(|index| labels[index] == label));
        let components = Components::new(&mask, bounds.shape(), Connectivity::TwentySix);
        let mut is_left = vec![false; components.count as usize];
        for (index, _) in resampled.iter().enumerate().filter(|&(_, &l)| l == label) {
            let at = [index / (to[1] * to[2]), index / to[2] % to[1], index % to[2]];
            let near = std::array::from_fn(|a| reach(at[a], size[a], to[a]));
            for place in bounds.places_within(near) {
                if let Some(component) = components.labels[place].checked_sub(1) {
                    is_left[component as usize] = true;
                }
            }
        }
        let lesions = is_left.iter().filter(|&&left| !left).count() as u32;
        Vanished { label, lesions, of: components.count }
    });
    lost.filter(|lost| lost.lesions > 0).collect()
}

/// The voxels of n that voxel i of m lies over or is interpolated from.
fn reach(i: usize, n: usize, m: usize) -> Range<usize> {
    let scale = n as f64 / m as f64;
    let (centre, half) = ((i as f64 + 0.5) * scale, (0.5 * scale).max(1.0));
    (centre - half).max(0.0).floor() as usize..n.min((centre + half).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::resample::Interpolation;
    use crate::preprocess::resample::resample_labels;
    use proptest::prelude::*;

    #[test]
    fn a_voxel_between_large_ones_vanishes_and_a_block_stays() {
        let (size, to) = ([4, 16, 16], [4, 4, 4]);
        let mut labels = vec![0; 4 * 16 * 16];
        labels[5 * 16 + 5] = 1;
        for h in 8..16 {
            labels[h * 16 + 8..h * 16 + 16].fill(1);
        }
        labels[3 * 16 * 16 + 2] = 2;
        let resampled = resample_labels(&labels, size, to, [Interpolation::Linear; 3]);
        let lost = |label, lesions, of| Vanished { label, lesions, of };
        assert_eq!(vanished(&labels, size, &resampled, to), [lost(1, 1, 2), lost(2, 1, 1)]);
    }

    proptest! {
        #[test]
        fn a_class_without_a_voxel_left_has_lost_all_its_lesions_and_a_finer_grid_loses_none(
            size in prop::array::uniform3(1usize..8),
            to in prop::array::uniform3(1usize..8),
            drawn in prop::collection::vec(prop_oneof![4 => Just(0u8), 1 => 1u8..4, 1 => Just(IGNORE)], 512),
        ) {
            let labels = &drawn[..size.iter().product()];
            let resampled = resample_labels(labels, size, to, [Interpolation::Linear; 3]);
            let lost = vanished(labels, size, &resampled, to);
            for label in 1..4 {
                let found = lost.iter().find(|lost| lost.label == label);
                prop_assert!(found.is_none_or(|lost| (1..=lost.of).contains(&lost.lesions)));
                if labels.contains(&label) && !resampled.contains(&label) {
                    prop_assert!(found.is_some_and(|lost| lost.lesions == lost.of));
                }
            }
            prop_assert!(lost.iter().all(|lost| labels.contains(&lost.label) && lost.label != IGNORE));
            let same = vanished(labels, size, labels, size);
            prop_assert_eq!(same, []);
        }
    }
}
