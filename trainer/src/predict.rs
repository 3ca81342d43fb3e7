//! From a network and an image to a mask: the sliding window, calibration and decision, post-processing, and the way back
//! to the file's own voxels.

pub mod calibration;
mod decision;
mod ensemble;
mod postprocess;
mod restore;
mod window;

pub use calibration::{Calibration, ClassSample};
pub use decision::{Decision, Evidence, Rule};
pub use ensemble::{Ensemble, ProbabilityMean};
pub use postprocess::{Asked, ByClass, Candidates, Choice, ClassChoice, LEAST_GAIN, PostProcessing};
pub use restore::Restore;
pub use window::{Logits, SlidingWindow};
