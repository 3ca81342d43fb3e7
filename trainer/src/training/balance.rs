//! Which case a patch is cut from, and around which class.
//!
//! With `C` cases that hold foreground, a patch around foreground is of a case and a class that it holds with probability
//! `1 / (C · classes of the case)` when balanced by case, and `1 / (classes of the data set · cases that hold the class)` when
//! balanced by class. Another patch is of any case with the same probability, unless cases without foreground would be
//! met more often than `empty_share`; then they are met as often as that. A case whose voxels are all ignored is not met,
//! unless there is no other.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use crate::config::{BalanceBy, Data};
use crate::preprocess::PatchSource;

/// What each kind of patch is chosen from.
#[derive(Debug)]
pub(super) struct Balance {
    by: BalanceBy,
    /// The cases that hold any voxel that is not ignored.
    cases: Vec<usize>,
    /// The cases that hold any foreground.
    with_foreground: Vec<usize>,
    /// How many classes each case holds.
    classes: Vec<usize>,
    /// For each class of the data set, the cases that hold it and its place among each one's classes.
    holders: Vec<Vec<(usize, usize)>>,
    /// The cases that hold no foreground.
    empty: Vec<usize>,
    /// The probability with which a patch that lies anywhere is of an empty case; none: as they come.
    empty_share: Option<f64>,
}

impl Balance {
    pub(super) fn new(cases: &[PatchSource<'_>], settings: &Data) -> Self {
        let classes: Vec<usize> = cases.iter().map(|case| case.foreground().len()).collect();
        let is_annotated = |&case: &usize| cases[case].annotated() != Some(0);
        let mut annotated: Vec<usize> = (0..cases.len()).filter(is_annotated).collect();
        if annotated.is_empty() {
            annotated.extend(0..cases.len());
        }
        let (with_foreground, empty): (Vec<_>, Vec<_>) = annotated.iter().partition(|&&i| classes[i] > 0);
        let mut holders = vec![Vec::new(); 256];
        for (index, case) in cases.iter().enumerate() {
            for (place, class) in case.foreground().iter().enumerate() {
                holders[usize::from(class.label)].push((index, place));
            }
        }
        holders.retain(|cases| !cases.is_empty());
        let as_they_come = empty.len() as f64 / annotated.len() as f64;
        let bound = settings.empty_share.value().copied();
        let empty_share = bound.filter(|&share| share < as_they_come && !with_foreground.is_empty());
        Self { by: settings.balance, cases: annotated, with_foreground, classes, holders, empty, empty_share }
    }

    /// A case for a patch around foreground, and which of its classes that is; none where no case holds foreground.
    pub(super) fn foreground(&self, rng: &mut impl Rng) -> Option<(usize, usize)> {
        match self.by {
            BalanceBy::Case => {
                let &case = self.with_foreground.choose(rng)?;
                Some((case, rng.random_range(0..self.classes[case])))
            }
            BalanceBy::Class => self.holders.choose(rng)?.choose(rng).copied(),
        }
    }

    /// A case for a patch that lies anywhere.
    pub(super) fn anywhere(&self, rng: &mut impl Rng) -> usize {
        let Some(share) = self.empty_share else { return self.cases[rng.random_range(0..self.cases.len())] };
        let from = if rng.random_bool(share) { &self.empty } else { &self.with_foreground };
        *from.choose(rng).expect("a bound that binds has cases on both sides")
    }
}
