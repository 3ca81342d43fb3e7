//! What the voxels of an image and of a label map hold that they must not.

use std::collections::BTreeMap;

use volumes::{Stored, whole_number};

use super::fault::{Fault, Kind, first};
use super::{Description, IGNORE};
use crate::Result;
use crate::words::counted;

/// Index to (x, y, z).
fn position(image: &Stored, index: usize) -> [usize; 3] {
    let [nx, ny, nz] = image.header.size();
    [index % nx, index / nx % ny, index / nx / ny % nz]
}

/// Counts the voxels that are NaN or infinite. `values` are the image's.
pub(crate) fn not_finite(image: &Stored, values: &[f32], case: &str) -> Option<Fault> {
    let first = values.iter().position(|v| !v.is_finite())?;
    let count = values.iter().filter(|v| !v.is_finite()).count();
    let message = format!(
        "{} holds {} that are NaN or infinite (as 32-bit numbers), the first at (x, y, z) = {:?}",
        image.path.display(),
        counted(count, "voxel"),
        position(image, first)
    );
    Some(Fault::case(Kind::NotFinite, case, message, "replace them, for example by the background's value"))
}

/// The class of each voxel of a label map.
///
/// # Errors
/// A voxel that is no class.
pub(crate) fn labels(image: &Stored, case: &str, description: &Description) -> Result<Vec<u8>> {
    let survey = LabelSurvey::new(image, description);
    first(survey.faults(image, case, description))?;
    Ok(survey.labels)
}

/// How many voxels have each label.
pub(crate) fn label_counts(labels: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts
}

/// A label map's voxels, and those among them that mean nothing.
#[derive(Debug)]
pub(crate) struct LabelSurvey {
    /// The class of each voxel; [`IGNORE`] where there is none.
    pub(crate) labels: Vec<u8>,
    /// Whole numbers that are no class, and how many voxels have them.
    unknown: BTreeMap<i64, u64>,
    /// Voxels that are no whole numbers.
    fractions: u64,
    /// The first of them and its value.
    first_fraction: Option<(usize, f64)>,
}

impl LabelSurvey {
    pub(crate) fn new(image: &Stored, description: &Description) -> Self {
        let mut found =
            Self { labels: Vec::new(), unknown: BTreeMap::new(), fractions: 0, first_fraction: None };
        found.labels = memory::with_capacity(image.header.len());
        let mut index = 0;
        image.for_each(|value| {
            let label = match whole_number(value) {
                Some(value) => description.class_of(value).unwrap_or_else(|| {
                    // A thousand kinds are enough to tell.
                    if found.unknown.len() < 1000 || found.unknown.contains_key(&value) {
                        *found.unknown.entry(value).or_insert(0) += 1;
                    }
                    IGNORE
                }),
                None => {
                    found.fractions += 1;
                    found.first_fraction.get_or_insert((index, value));
                    IGNORE
                }
            };
            found.labels.push(label);
            index += 1;
        });
        found
    }

    /// No voxel is without meaning.
    pub(crate) fn is_clean(&self) -> bool {
        self.unknown.is_empty() && self.first_fraction.is_none()
    }

    pub(crate) fn faults(&self, image: &Stored, case: &str, description: &Description) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some((index, value)) = self.first_fraction {
            let message = format!(
                "the label map {} holds {value} at (x, y, z) = {:?}, which is no whole number (in {})",
                image.path.display(),
                position(image, index),
                counted(self.fractions, "voxel")
            );
            let remedy = "save labels as integers and resample them with nearest neighbour";
            faults.push(Fault::case(Kind::NotWholeLabels, case, message, remedy));
        }
        if !self.unknown.is_empty() {
            faults.push(self.unknown_labels(image, case, description));
        }
        faults
    }

    fn unknown_labels(&self, image: &Stored, case: &str, description: &Description) -> Fault {
        let listed: Vec<String> =
            self.unknown.iter().take(5).map(|(v, n)| format!("{v} ({n} voxels)")).collect();
        let more = match self.unknown.len() {
            n @ 6.. => format!(" and {} more values", n - 5),
            _ => String::new(),
        };
        let only_255 = self.unknown.len() == 1 && self.unknown.contains_key(&255);
        let (kind, remedy) = if only_255 && !self.labels.contains(&1) {
            let name = &description.classes[1];
            let remedy = format!(
                "this looks like a 0/255 mask: save it with 1 in place of 255, as {name:?} is 1 in dataset.json"
            );
            (Kind::Mask255, remedy)
        } else if only_255 {
            let remedy =
                "if 255 marks voxels to leave out, add \"ignore\": 255 to the labels; else correct the file";
            (Kind::UnknownLabels, remedy.to_owned())
        } else {
            (Kind::UnknownLabels, "add them to the labels or correct the file".to_owned())
        };
        let named = |(value, name): (usize, &String)| match description.joined_up_to {
            Some(last) if value > 0 => format!("{name} = 1 to {last}"),
            _ => format!("{name} = {value}"),
        };
        let names: Vec<String> = description.classes.iter().enumerate().map(named).collect();
        let message = format!(
            "the label map {} holds {}{more}, not in dataset.json ({})",
            image.path.display(),
            listed.join(", "),
            names.join(", ")
        );
        Fault::case(kind, case, message, remedy)
    }
}
