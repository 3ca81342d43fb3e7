//! From a network and an image to a mask: the sliding window, calibration and decision, post-processing, and the way back
//! to the file's own voxels.

pub mod calibration;
mod decision;
mod ensemble;
pub(crate) mod model;
mod pipeline;
mod postprocess;
mod restore;
mod scores;
mod window;

pub use calibration::{Calibration, ClassSample};
pub use decision::{
    Decision, ENOUGH_CASES, Evidence, FEW_GAIN, FEW_LIKELIHOOD, MASK_COST, MaskRule, Threshold,
};
pub use ensemble::{Ensemble, ProbabilityMean};
pub use model::tensors::Tensors;
pub use model::{ModelCard, ModelFile, NetworkCard, Plan, PreparationKind, Together};
pub use pipeline::Pipeline;
pub(crate) use pipeline::finish;
pub use postprocess::{Asked, ByClass, Candidates, Choice, ClassChoice, LEAST_GAIN, PostProcessing};
pub use restore::Restore;
pub use scores::one_against_rest;
pub use window::{Logits, SlidingWindow};
