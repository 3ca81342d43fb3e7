//! What can go wrong when layers, schedules and weights are put together.

use autograd::Shape;

/// The crate's error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Weights lack a parameter of the model.
    #[error("the weights hold no {name}, which the model has: they are of another model")]
    MissingParameter {
        /// The parameter.
        name: String,
    },
    /// Weights hold what the model has not.
    #[error("the weights hold {name}, which the model has not: they are of another model")]
    UnknownParameter {
        /// The parameter.
        name: String,
    },
    /// A parameter's shape differs (in PyTorch's layout).
    #[error(
        "the weights hold {name} with shape {got}, the model expects {expected}: they are of another model"
    )]
    ParameterShape {
        /// The parameter.
        name: String,
        /// The model's shape.
        expected: Shape,
        /// The weights' shape.
        got: Shape,
    },
    /// A setting is impossible.
    #[error("{name}: {message}")]
    Setting {
        /// The setting, in the caller's words.
        name: &'static str,
        /// What is wrong, the offending value, and what to do.
        message: String,
    },
}
