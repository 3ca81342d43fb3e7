//! What is done to a mask after it was predicted.
//!
//! Three steps, in this order, of which each can be off: small components go, all but the largest go, holes are filled.
//! Components of a class hang together by a face, an edge or a corner; those of the background, which holes are, by a
//! face, as it takes for the two to separate one another (A. Rosenfeld, "Connectivity in digital pictures", 1970).
//!
//! What is done to a class is asked for, or chosen on validation cases ([`Candidates`]).
//!
//! # Source
//! F. Isensee et al., "nnU-Net", Nature Methods 18, 2021, "empirical configuration" (what is not the largest component
//! goes, for each class by itself, where that raises the Dice of the validation cases).

mod by_class;
mod choose;

use std::fmt;

use metrics::grid::{place, step};
use metrics::{Components, Connectivity};
use serde::{Deserialize, Serialize};

pub use by_class::{Asked, ByClass};
pub use choose::{Candidates, Choice, ClassChoice, LEAST_GAIN};

/// What is done to a mask. By default nothing.
///
/// ```
/// use trainer::predict::PostProcessing;
/// let mut mask = [1, 0, 1, 1, 0, 2];
/// PostProcessing { keep_largest: true, ..Default::default() }.apply(&mut mask, [1, 1, 6]);
/// assert_eq!(mask, [0, 0, 1, 1, 0, 2]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostProcessing {
    /// Components of fewer voxels become background.
    pub min_component: usize,
    /// Of each class only the largest component stays; of equally large ones the first in the order of memory.
    pub keep_largest: bool,
    /// Background that touches no border of the volume, and one class only, becomes that class. An axis of one voxel has
    /// no border: a plane is a volume of one slice.
    pub fill_holes: bool,
}

impl PostProcessing {
    /// Whether nothing is done.
    pub fn is_off(&self) -> bool {
        self.min_component <= 1 && !self.keep_largest && !self.fill_holes
    }

    /// Changes a mask `[d, h, w]`, in which 0 is the background.
    ///
    /// # Panics
    /// When the mask does not have the shape's number of voxels, or has 2³² − 1 of them or more.
    #[track_caller]
    pub fn apply(&self, mask: &mut [u8], shape: [usize; 3]) {
        apply(mask, shape, |_| *self);
    }

    /// The same for a file that has `ratio` voxels for each one that the network sees: sizes that were chosen were counted
    /// there, sizes that were asked for count the file's.
    fn on_grid(self, ratio: f64, asked: &Asked) -> Self {
        match asked.min_component {
            Some(_) => self,
            None => Self { min_component: (self.min_component as f64 * ratio).round() as usize, ..self },
        }
    }

    /// The steps in words.
    fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if self.min_component > 1 {
            steps.push(format!("components of fewer than {} voxels are dropped", self.min_component));
        }
        if self.keep_largest {
            steps.push("only the largest component is kept".to_owned());
        }
        if self.fill_holes {
            steps.push("holes are filled".to_owned());
        }
        steps
    }

    fn drop_components(&self, mask: &mut [u8], shape: [usize; 3], class: u8) {
        let of_class = memory::collected(mask.iter().map(|&m| m == class));
        let components = Components::new(&of_class, shape, Connectivity::TwentySix);
        let mut sizes = memory::filled(0, components.count as usize + 1);
        components.labels.iter().for_each(|&label| sizes[label as usize] += 1);
        let mut stays: Vec<bool> = sizes.iter().map(|&size| size >= self.min_component).collect();
        if self.keep_largest {
            let first_largest = |best, label| if sizes[label] > sizes[best] { label } else { best };
            let largest = (2..sizes.len()).fold(1, first_largest);
            (1..sizes.len()).filter(|&label| label != largest).for_each(|label| stays[label] = false);
        }
        for (m, &label) in mask.iter_mut().zip(&components.labels) {
            if label > 0 && !stays[label as usize] {
                *m = 0;
            }
        }
    }
}

/// Does to each class of a mask what `of` says of it.
#[track_caller]
fn apply(mask: &mut [u8], shape: [usize; 3], of: impl Fn(u8) -> PostProcessing) {
    let mut present = [false; 256];
    mask.iter().for_each(|&class| present[usize::from(class)] = true);
    let present = || (1..=u8::MAX).filter(|&class| present[usize::from(class)]);
    for class in present() {
        let treatment = of(class);
        if treatment.min_component > 1 || treatment.keep_largest {
            treatment.drop_components(mask, shape, class);
        }
    }
    if present().any(|class| of(class).fill_holes) {
        fill_holes(mask, shape, |class| of(class).fill_holes);
    }
}

/// What lies around a component of the background.
#[derive(Clone, Copy, PartialEq)]
enum Around {
    /// Nothing was met so far.
    Unknown,
    /// One class.
    Class(u8),
    /// Several classes, or the end of the volume.
    Open,
}

fn fill_holes(mask: &mut [u8], shape: [usize; 3], fills: impl Fn(u8) -> bool) {
    let background = memory::collected(mask.iter().map(|&m| m == 0));
    let components = Components::new(&background, shape, Connectivity::Six);
    let mut around = memory::filled(Around::Unknown, components.count as usize + 1);
    let steps = Connectivity::Six.steps();
    for (index, &label) in components.labels.iter().enumerate().filter(|&(_, &label)| label > 0) {
        let around = &mut around[label as usize];
        let at = place(index, shape);
        if (0..3).any(|axis| shape[axis] > 1 && (at[axis] == 0 || at[axis] + 1 == shape[axis])) {
            *around = Around::Open;
        }
        for neighbour in steps.iter().filter_map(|&by| step(at, by, shape)) {
            *around = match (*around, mask[neighbour]) {
                (unchanged, 0) => unchanged,
                (Around::Unknown, class) => Around::Class(class),
                (Around::Class(known), class) if known == class => Around::Class(known),
                _ => Around::Open,
            };
        }
    }
    for (m, &label) in mask.iter_mut().zip(&components.labels) {
        if let Around::Class(class) = around[label as usize]
            && fills(class)
        {
            *m = class;
        }
    }
}

/// A sentence.
impl fmt::Display for PostProcessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps().as_slice() {
            [] => write!(f, "masks are as predicted"),
            steps => write!(f, "of each foreground class {}", steps.join(", then ")),
        }
    }
}
