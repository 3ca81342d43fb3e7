//! Where the foreground of a case lies, for placing patches around it.

use serde::{Deserialize, Serialize};

use super::Case;
use crate::dataset::IGNORE;

/// More voxels than this of one class in one case teach a sampler nothing.
const MOST_VOXELS: usize = 1 << 18;

/// A foreground class of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The class.
    pub label: u8,
    /// How many of its voxels are listed: all, or of more than 2¹⁸ evenly every second, third, …
    pub voxels: u32,
}

/// A case's foreground voxels by class, as flat indices; large classes are thinned evenly.
#[derive(Debug)]
pub(super) struct Foreground {
    listed: Vec<Listed>,
    voxels: Vec<Vec<u32>>,
}

impl Foreground {
    pub(super) fn of(case: &Case) -> Self {
        let labels = case.labels.as_deref().unwrap_or_default();
        let mut counts = [0usize; 256];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        let mut by_label: Vec<Vec<u32>> =
            counts[1..usize::from(IGNORE)].iter().map(|&count| memory::with_capacity(count)).collect();
        for (i, &label) in labels.iter().enumerate() {
            if label == 0 || label == IGNORE {
                continue;
            }
            by_label[usize::from(label) - 1]
                .push(u32::try_from(i).expect("reading refuses more than 2^32 voxels"));
        }
        let (mut listed, mut voxels) = (Vec::new(), Vec::new());
        for (label, class) in by_label.into_iter().enumerate().filter(|(_, class)| !class.is_empty()) {
            let step = class.len().div_ceil(MOST_VOXELS);
            let class: Vec<u32> = class.into_iter().step_by(step).collect();
            listed.push(Listed { label: label as u8 + 1, voxels: class.len() as u32 });
            voxels.push(class);
        }
        Self { listed, voxels }
    }

    /// The classes that there are, in ascending order.
    pub(super) fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The listed voxels of the `class`-th of [`Foreground::listed`], in ascending order.
    pub(super) fn voxels(&self, class: usize) -> &[u32] {
        &self.voxels[class]
    }
}
