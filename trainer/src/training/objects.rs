//! The objects of validated cases, voxels of a class that touch: which were found, and what would have found the others.

use metrics::{Connectivity, LesionCounts, Objects};

use crate::dataset::IGNORE;
use crate::predict::one_against_rest;
use crate::preprocess::Grids;

/// Voxels touch at faces, edges and corners.
const CONNECTIVITY: Connectivity = Connectivity::TwentySix;

/// The objects of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseObjects {
    /// Of each foreground class, of truth and mask.
    pub counts: Vec<LesionCounts>,
    /// Those of the truth.
    pub truth: Vec<TrueObject>,
}

/// An object of the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueObject {
    /// Its class.
    pub class: u8,
    /// How many voxels it has.
    pub voxels: u64,
    /// Whether the mask has its class at one of them.
    pub found: bool,
    /// The highest logit of its class against the rest at one of them; none where the network sees nothing of it.
    pub peak: Option<f32>,
}

/// Gathers the highest logit in each object of the truth, plane by plane of the part of the file that the case is.
pub(super) struct Peaks<'a> {
    objects: Objects,
    grids: &'a Grids,
    channels: usize,
    plane: usize,
    peaks: Vec<Option<f32>>,
}

/// The objects of labels of a whole file.
fn objects(labels: &[u8], grids: &Grids) -> Objects {
    Objects::new(labels, grids.whole_shape(), CONNECTIVITY, |label| label != 0 && label != IGNORE)
}

impl<'a> Peaks<'a> {
    pub(super) fn new(labels: &[u8], grids: &'a Grids, channels: usize) -> Self {
        let objects = objects(labels, grids);
        let peaks = vec![None; objects.list().len()];
        Self { objects, grids, channels, plane: 0, peaks }
    }

    /// The next plane of logits `[h, w, c]`.
    pub(super) fn see(&mut self, logits: &[f32]) {
        let [depths, rows, columns] = self.grids.crop();
        let width = self.grids.whole_shape()[2];
        let (mut inside, d) = (Vec::new(), depths.start + self.plane);
        for (index, place) in self.objects.in_plane(d) {
            let (h, w) = (index / width, index % width);
            if rows.contains(&h) && columns.contains(&w) {
                inside.push(((h - rows.start) * columns.len() + w - columns.start, place));
            }
        }
        self.plane += 1;
        if inside.is_empty() {
            return;
        }
        let scores = one_against_rest(logits, self.channels);
        for (index, place) in inside {
            let class = usize::from(self.objects.list()[place].class);
            // Labels beyond the classes were refused when the case was read.
            if let Some(scores) = scores.get(class - 1) {
                let peak = &mut self.peaks[place];
                *peak = Some(peak.map_or(scores[index], |peak| peak.max(scores[index])));
            }
        }
    }

    /// In the order of the objects.
    pub(super) fn highest(self) -> Vec<Option<f32>> {
        self.peaks
    }
}

impl CaseObjects {
    /// Of labels and mask of a whole file with so many classes, the background among them; `peaks` are those of the labels.
    pub(super) fn new(
        labels: &[u8],
        mut mask: Vec<u8>,
        grids: &Grids,
        classes: usize,
        peaks: &[Option<f32>],
    ) -> Self {
        // What is to be ignored belongs to no class.
        mask.iter_mut().zip(labels).filter(|(_, label)| **label == IGNORE).for_each(|(mask, _)| *mask = 0);
        let (truth, predicted) = (objects(labels, grids), objects(&mask, grids));
        let (found, right) = (truth.met_by(&mask), predicted.met_by(labels));
        let count = |class: usize| Objects::counts(class as u8, (&truth, &found), (&predicted, &right));
        let listed = truth.list().iter().zip(&found).zip(peaks);
        Self {
            counts: (1..classes).map(count).collect(),
            truth: listed
                .map(|((object, &found), &peak)| TrueObject {
                    class: object.class,
                    voxels: object.voxels,
                    found,
                    peak,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use volumes::Grid;

    use super::*;

    proptest! {
        #[test]
        fn the_peak_of_an_object_is_the_highest_score_of_its_class_inside(
            whole in prop::array::uniform3(1usize..6),
            cut in prop::array::uniform3((0.0f64..1.0, 0.0f64..1.0)),
            drawn in prop::collection::vec((0u8..3, 0u8..3), 125),
            channels in prop::sample::select(vec![1usize, 3]),
            seed: u64,
        ) {
            let crop: [std::ops::Range<usize>; 3] = std::array::from_fn(|a| {
                let start = (cut[a].0 * whole[a] as f64) as usize;
                start..start + 1 + (cut[a].1 * (whole[a] - start - 1) as f64) as usize
            });
            let grids = Grids::of_whole(Grid { size: whole, spacing: [1.0; 3] }).cropped(crop.clone(), None);
            let voxels = whole.iter().product::<usize>();
            let most = channels.max(2) as u8 - 1;
            let labels: Vec<u8> = drawn[..voxels].iter().map(|(label, _)| (*label).min(most)).collect();
            let mask: Vec<u8> = drawn[..voxels].iter().map(|(_, mask)| (*mask).min(most)).collect();
            let [d, h, w] = grids.part_shape();
            let noise = |i: usize| ((i as u64).wrapping_mul(seed | 1) >> 40) as f32 / 1e6 - 8.0;
            let logits: Vec<f32> = (0..d * h * w * channels).map(noise).collect();
            let mut peaks = Peaks::new(&labels, &grids, channels);
            logits.chunks_exact(h * w * channels).for_each(|plane| peaks.see(plane));
            let found = CaseObjects::new(&labels, mask.clone(), &grids, channels.max(2), &peaks.highest());
            // One by one, from the objects' own voxels.
            let objects = objects(&labels, &grids);
            let scores = one_against_rest(&logits, channels);
            let mut wanted = vec![(None::<f32>, false); objects.list().len()];
            for z in 0..whole[0] {
                for (index, place) in objects.in_plane(z) {
                    let (y, x) = (index / whole[2], index % whole[2]);
                    let class = objects.list()[place].class;
                    wanted[place].1 |= mask[z * whole[1] * whole[2] + index] == class;
                    if [z, y, x].iter().zip(&crop).all(|(at, range)| range.contains(at)) {
                        let at = ((z - crop[0].start) * h + y - crop[1].start) * w + x - crop[2].start;
                        let score = scores[usize::from(class) - 1][at];
                        wanted[place].0 = Some(wanted[place].0.map_or(score, |peak| peak.max(score)));
                    }
                }
            }
            let peaks: Vec<_> = found.truth.iter().map(|object| (object.peak, object.found)).collect();
            prop_assert_eq!(peaks, wanted);
        }
    }
}
