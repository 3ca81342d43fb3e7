//! Which treatment of each class raises its Dice on validation cases.
//!
//! Every candidate is applied to one class at a time, the others staying as predicted, in the box around the class: what
//! it does happens there. Of each class the mean Dice over the cases counts where it is defined, as in
//! `trainer evaluate`: a case without the class counts as 0 while a voxel of it is predicted, and not at all once none is.
//!
//! The other classes lose nothing by it: voxels become background or were background, and neither was right for them.

use std::fmt;

use metrics::grid::place;
use metrics::{BinaryCounts, BoundingBox, Mean};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::apply;
use crate::dataset::IGNORE;
use crate::predict::{Asked, PostProcessing};
use crate::predict::{ENOUGH_CASES, FEW_GAIN};
use crate::words::counted;

/// The sizes, in voxels, below which components may be dropped.
const SIZES: [usize; 5] = [10, 30, 100, 300, 1000];
/// So many copies of a mask are in memory at most, whatever the number of threads.
const AT_ONCE: usize = 4;
/// A treatment takes the place of a simpler one that raises the mean Dice by this much less.
pub const LEAST_GAIN: f64 = 0.001;

/// What validation cases say of post-processing; a checkpoint carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The cases.
    pub cases: Vec<String>,
    /// Of each foreground class, from class 1 on.
    pub classes: Vec<ClassChoice>,
}

/// What is done to a class, and what that does to its Dice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassChoice {
    /// The class.
    pub name: String,
    /// What is done.
    pub taken: PostProcessing,
    /// The Dice of its masks without what was chosen: its mean over the cases where it is defined.
    pub before: Mean,
    /// The same with it.
    pub after: Mean,
}

/// Measures what may be done to masks, a case at a time.
///
/// ```
/// use trainer::predict::{Asked, Candidates};
/// let mut candidates = Candidates::new(&Asked::default(), &["lesion".to_owned()]);
/// candidates.add("a", &[1, 0, 1, 1, 1, 1], &[0, 0, 1, 1, 1, 1], [1, 1, 6], 1.0);
/// let choice = candidates.choose().expect("there is a case");
/// assert!(choice.classes[0].taken.keep_largest);
/// ```
#[derive(Clone, Debug)]
pub struct Candidates {
    asked: Asked,
    /// The simplest first, which is what is done where nothing is chosen.
    treatments: Vec<PostProcessing>,
    names: Vec<String>,
    /// By class.
    learnt: Vec<bool>,
    cases: Vec<String>,
    /// By class, treatment and case.
    dice: Vec<Vec<Vec<Option<f64>>>>,
}

impl Candidates {
    /// For these foreground classes, where `asked` leaves a choice.
    pub fn new(asked: &Asked, names: &[String]) -> Self {
        let mut treatments: Vec<PostProcessing> = Vec::new();
        for keep_largest in [false, true] {
            for fill_holes in [false, true] {
                for min_component in std::iter::once(0).chain(SIZES) {
                    let treatment = asked.or(PostProcessing { min_component, keep_largest, fill_holes });
                    // Where something is asked for, several become one.
                    if !treatments.contains(&treatment) {
                        treatments.push(treatment);
                    }
                }
            }
        }
        treatments.sort_by_key(|treatment| treatment.steps().len());
        let dice = vec![vec![Vec::new(); treatments.len()]; names.len()];
        let (learnt, names) = (vec![true; names.len()], names.to_vec());
        Self { asked: *asked, treatments, names, learnt, cases: Vec::new(), dice }
    }

    /// Leaves foreground classes that the network was not trained on as they are asked for.
    #[must_use]
    pub fn of_learnt(self, learnt: &[bool]) -> Self {
        Self { learnt: learnt.to_vec(), ..self }
    }

    /// Measures the mask `[d, h, w]` of a case's file against its labels; those that are [`IGNORE`] do not count. The file has
    /// `ratio` voxels for each one that the network sees, which sizes that are chosen count.
    ///
    /// # Panics
    /// When mask or labels do not have the shape's number of voxels.
    #[track_caller]
    pub fn add(&mut self, case: &str, mask: &[u8], labels: &[u8], shape: [usize; 3], ratio: f64) {
        let voxels: usize = shape.iter().product();
        assert!(mask.len() == voxels && labels.len() == voxels, "mask and labels are of shape {shape:?}");
        self.cases.push(case.to_owned());
        let classes = (1..=u8::MAX).zip(&self.learnt).zip(&mut self.dice);
        for ((class, _), dice) in classes.filter(|((_, is_learnt), _)| **is_learnt) {
            let cut = Cut::new(class, mask, labels, shape);
            for (treatments, dice) in self.treatments.chunks(AT_ONCE).zip(dice.chunks_mut(AT_ONCE)) {
                let each = treatments.par_iter().zip(dice);
                each.for_each(|(treatment, dice)| {
                    dice.push(cut.counts(treatment.on_grid(ratio, &self.asked)).dice());
                });
            }
        }
    }

    /// The best treatment of each class; `None` without cases. On few cases it must gain more ([`ENOUGH_CASES`]).
    pub fn choose(self) -> Option<Choice> {
        if self.cases.is_empty() {
            return None;
        }
        let least = least_gain(self.cases.len());
        let classes = self.names.into_iter().zip(self.dice).map(|(name, dice)| {
            let means: Vec<Mean> = dice.into_iter().map(Mean::of).collect();
            let mut best = 0;
            for candidate in 1..means.len() {
                let [known, other] = [best, candidate].map(|i| means[i].value);
                if known.zip(other).is_some_and(|(known, other)| other >= known + least) {
                    best = candidate;
                }
            }
            ClassChoice { name, taken: self.treatments[best], before: means[0], after: means[best] }
        });
        Some(Choice { classes: classes.collect(), cases: self.cases })
    }
}

impl Choice {
    /// What a treatment had to raise the mean Dice by.
    fn least_gain(&self) -> f64 {
        least_gain(self.cases.len())
    }
}

fn least_gain(cases: usize) -> f64 {
    if cases < ENOUGH_CASES { FEW_GAIN } else { LEAST_GAIN }
}

/// The box around what is predicted as a class, and one voxel more where there is one.
struct Cut {
    class: u8,
    shape: [usize; 3],
    mask: Vec<u8>,
    labels: Vec<u8>,
    /// Voxels of the class in the whole volume.
    support: u64,
}

impl Cut {
    fn new(class: u8, mask: &[u8], labels: &[u8], shape: [usize; 3]) -> Self {
        let mut around = BoundingBox::default();
        for index in (0..mask.len()).filter(|&index| mask[index] == class) {
            // In a box of one plane, which has no border along its normal, a ring would look closed.
            let [d, h, w] = place(index, shape).map(|at| at.saturating_sub(1));
            around.add(d, h, w..w + 1);
            let ends = place(index, shape);
            let [d, h, w] = [0, 1, 2].map(|axis| (ends[axis] + 1).min(shape[axis] - 1));
            around.add(d, h, w..w + 1);
        }
        let cut = |values: &[u8]| around.indices(shape).map(|index| values[index]).collect();
        let support = labels.iter().filter(|&&label| label == class).count() as u64;
        Self { class, shape: around.shape(), mask: cut(mask), labels: cut(labels), support }
    }

    fn counts(&self, treatment: PostProcessing) -> BinaryCounts {
        let mut mask = self.mask.clone();
        if !mask.is_empty() {
            let of = |class| if class == self.class { treatment } else { PostProcessing::default() };
            apply(&mut mask, self.shape, of);
        }
        let predicted = || mask.iter().zip(&self.labels).filter(|&(&m, &l)| m == self.class && l != IGNORE);
        let true_positives = predicted().filter(|&(_, &label)| label == self.class).count() as u64;
        BinaryCounts {
            true_positives,
            false_positives: predicted().count() as u64 - true_positives,
            false_negatives: self.support - true_positives,
            true_negatives: 0,
        }
    }
}

/// A line for each class.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "post-processing was chosen on {}:", self.cases.join(", "))?;
        let digits = |mean: Mean| mean.value.map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"));
        for ClassChoice { name, taken, before, after } in &self.classes {
            let cases = before.n;
            write!(f, "\n  {name}: ")?;
            match taken.steps().as_slice() {
                [] if cases == 0 => {
                    write!(f, "nothing, as no case tells what would be better")?;
                    continue;
                }
                steps if cases == 0 => {
                    write!(f, "{}, as asked for", steps.join(", then "))?;
                    continue;
                }
                [] => write!(
                    f,
                    "nothing, as no treatment raises its mean Dice of {} by {}",
                    digits(*before),
                    self.least_gain()
                )?,
                steps if before == after => {
                    write!(f, "{}, as asked for: mean Dice {}", steps.join(", then "), digits(*after))?;
                }
                steps => {
                    let (before, after) = (digits(*before), digits(*after));
                    write!(f, "{}: mean Dice {after}, from {before}", steps.join(", then "))?;
                }
            }
            write!(f, " over {}", counted(cases, "case"))?;
        }
        Ok(())
    }
}
