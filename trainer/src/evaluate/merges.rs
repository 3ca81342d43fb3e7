//! Labels that are evaluated as one class, such as all parts of a tumour.

use super::LabelVolume;
use crate::{Error, Result};

/// Groups of foreground labels, each of which counts as its first label.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merges(pub(super) Vec<Vec<i32>>);

impl Merges {
    /// Groups of two labels or more.
    ///
    /// # Errors
    /// A group of fewer, the background, or a label that is named twice.
    pub fn new(groups: Vec<Vec<i32>>) -> Result<Self> {
        let mut seen = Vec::new();
        for group in &groups {
            if group.len() < 2 {
                return Err(Error::Usage(format!("--merge {group:?}: two labels or more, such as 1,2")));
            }
            for &label in group {
                if label == 0 {
                    return Err(Error::Usage("--merge: 0 is the background, which has no figures".into()));
                }
                if seen.contains(&label) {
                    return Err(Error::Usage(format!(
                        "--merge: {label} is named twice; a label has one class"
                    )));
                }
                seen.push(label);
            }
        }
        Ok(Self(groups))
    }

    /// What a label counts as.
    fn of(&self, label: i32) -> i32 {
        self.0.iter().find(|group| group.contains(&label)).map_or(label, |group| group[0])
    }

    /// The volume with its labels merged.
    pub(super) fn apply(&self, mut volume: LabelVolume) -> LabelVolume {
        if !self.0.is_empty() {
            volume.labels.iter_mut().for_each(|label| *label = self.of(*label));
        }
        volume
    }
}
