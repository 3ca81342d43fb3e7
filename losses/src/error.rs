//! What can be wrong with a loss's arguments, each with its remedy.

/// A loss that cannot be computed as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The logits have no axes, or an axis that the loss needs is missing.
    #[error("logits {logits:?}: {reason}")]
    Logits {
        /// The logits' shape.
        logits: Vec<usize>,
        /// What is missing, and the remedy.
        reason: String,
    },

    /// The target's shape does not go with the logits'.
    #[error("target {target:?} does not fit logits {logits:?}, whose last axis is the class axis: {remedy}")]
    TargetShape {
        /// The logits' shape.
        logits: Vec<usize>,
        /// The target's shape.
        target: Vec<usize>,
        /// What would fit.
        remedy: String,
    },

    /// A target that is no probability.
    #[error("target {value} at element {index} is outside [0, 1]: {remedy}")]
    TargetRange {
        /// The first offending value.
        value: f64,
        /// Its flat index.
        index: usize,
        /// The likely cause.
        remedy: String,
    },

    /// A class index that names no class.
    #[error("target {value} at voxel {index} is outside [0, {classes}), the classes of the logits: {remedy}")]
    ClassRange {
        /// The first offending label.
        value: i32,
        /// Its flat index.
        index: usize,
        /// The number of classes.
        classes: usize,
        /// The likely cause.
        remedy: String,
    },

    /// The other parts of a batch that is divided cannot be had.
    #[error("the batch's other parts: {0}")]
    Batch(String),

    /// An input of a loss on probabilities that is no probability.
    #[error(
        "input {value} at element {index} is outside [0, 1]: this loss takes probabilities; for logits use BceWithLogits"
    )]
    InputRange {
        /// The first offending value.
        value: f64,
        /// Its flat index.
        index: usize,
    },

    /// A list of weights of the wrong length, or a tensor of weights of the wrong shape.
    #[error("{name}: {reason}")]
    WeightShape {
        /// Which weight.
        name: &'static str,
        /// What it has, what was expected, on which axis.
        reason: String,
    },

    /// A weight that is negative, infinite or NaN.
    #[error("{name} is {value}, and must be finite and at least 0: {remedy}")]
    WeightValue {
        /// Which weight.
        name: &'static str,
        /// The value.
        value: f64,
        /// The likely cause.
        remedy: &'static str,
    },

    /// A setting outside its range.
    #[error("{name} is {value}, and must be {range}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// The value.
        value: f64,
        /// The allowed range.
        range: &'static str,
    },

    /// Softmax over one channel is constant.
    #[error(
        "{loss} over one channel is constant, because softmax over one channel is 1: \
         use {remedy} for a single foreground class"
    )]
    OneChannel {
        /// The loss.
        loss: &'static str,
        /// What to use.
        remedy: &'static str,
    },

    /// Nothing is left to average over, and [`EmptyPolicy::Error`](crate::EmptyPolicy::Error) was chosen.
    #[error(
        "{loss}: no voxel counts ({ignored} are ignored, the others have weight 0): \
         leave this batch out, or choose EmptyPolicy::Zero"
    )]
    Empty {
        /// The loss.
        loss: &'static str,
        /// Voxels that were ignored.
        ignored: u64,
    },

    /// Parts of a loss that cannot be put together.
    #[error("{0}")]
    Parts(String),
}
