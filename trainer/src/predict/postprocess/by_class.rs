//! What is asked for, and what is done to each class in the end.

use std::fmt;

use super::apply;
use crate::config::Inference;
use crate::predict::{Choice, PostProcessing};

/// What a configuration or a command line asks for; `None` where that is chosen on validation cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// See [`PostProcessing::min_component`].
    pub min_component: Option<usize>,
    /// See [`PostProcessing::keep_largest`].
    pub keep_largest: Option<bool>,
    /// See [`PostProcessing::fill_holes`].
    pub fill_holes: Option<bool>,
}

impl Asked {
    /// What a configuration asks for.
    pub fn of(inference: &Inference) -> Self {
        let Inference { min_component, keep_largest, fill_holes, .. } = inference;
        Self {
            min_component: min_component.value().copied(),
            keep_largest: keep_largest.value().copied(),
            fill_holes: fill_holes.value().copied(),
        }
    }

    /// Whether nothing is left to choose.
    pub fn is_settled(&self) -> bool {
        self.min_component.is_some() && self.keep_largest.is_some() && self.fill_holes.is_some()
    }

    /// What is asked for, and where nothing is, this.
    #[must_use]
    pub fn or(&self, chosen: PostProcessing) -> PostProcessing {
        PostProcessing {
            min_component: self.min_component.unwrap_or(chosen.min_component),
            keep_largest: self.keep_largest.unwrap_or(chosen.keep_largest),
            fill_holes: self.fill_holes.unwrap_or(chosen.fill_holes),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: Option<String>| value.unwrap_or_else(|| "auto".to_owned());
        write!(
            f,
            "min_component = {}, keep_largest = {}, fill_holes = {}",
            word(self.min_component.map(|v| v.to_string())),
            word(self.keep_largest.map(|v| v.to_string())),
            word(self.fill_holes.map(|v| v.to_string()))
        )
    }
}

/// What is done to each foreground class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByClass {
    /// From class 1 on.
    classes: Vec<(String, PostProcessing)>,
    /// What was asked for; sizes that were not count voxels as the network sees them.
    asked: Asked,
}

impl ByClass {
    /// What is asked for; else, of each class, as much as all `choices` do to it. Without choices nothing.
    ///
    /// `names` are the foreground classes'.
    pub fn new(names: &[String], asked: &Asked, choices: &[Option<&Choice>]) -> Self {
        let of = |(index, name): (usize, &String)| {
            let chosen = |choice: &Option<&Choice>| {
                choice.and_then(|choice| choice.classes.get(index)).map_or_else(Default::default, |c| c.taken)
            };
            let common = choices.iter().map(chosen).reduce(in_common).unwrap_or_default();
            (name.clone(), asked.or(common))
        };
        Self { classes: names.iter().enumerate().map(of).collect(), asked: *asked }
    }

    /// The same for a file that has `ratio` voxels for each one that the network sees: sizes that were chosen were counted
    /// there, sizes that were asked for count the file's.
    #[must_use]
    pub fn on_grid(&self, ratio: f64) -> Self {
        let of = |(name, treatment): &(String, PostProcessing)| {
            (name.clone(), treatment.on_grid(ratio, &self.asked))
        };
        Self { classes: self.classes.iter().map(of).collect(), ..self.clone() }
    }

    /// Whether nothing is done.
    pub fn is_off(&self) -> bool {
        self.classes.iter().all(|(_, treatment)| treatment.is_off())
    }

    /// Changes a mask as [`PostProcessing::apply`] does, each class in its own way.
    ///
    /// # Panics
    /// As [`PostProcessing::apply`].
    #[track_caller]
    pub fn apply(&self, mask: &mut [u8], shape: [usize; 3]) {
        apply(mask, shape, |class| {
            self.classes.get(usize::from(class).wrapping_sub(1)).map_or_else(Default::default, |(_, t)| *t)
        });
    }
}

/// What both do.
fn in_common(a: PostProcessing, b: PostProcessing) -> PostProcessing {
    PostProcessing {
        min_component: a.min_component.min(b.min_component),
        keep_largest: a.keep_largest && b.keep_largest,
        fill_holes: a.fill_holes && b.fill_holes,
    }
}

/// A sentence.
impl fmt::Display for ByClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.classes.first().map_or_else(Default::default, |(_, treatment)| *treatment);
        if self.classes.iter().all(|(_, treatment)| *treatment == first) {
            return write!(f, "{first}");
        }
        let of = |(name, treatment): &(String, PostProcessing)| match treatment.steps().as_slice() {
            [] => format!("{name} is as predicted"),
            steps => format!("of {name} {}", steps.join(", then ")),
        };
        write!(f, "{}", self.classes.iter().map(of).collect::<Vec<_>>().join("; "))
    }
}
