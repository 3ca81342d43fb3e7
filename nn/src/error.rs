//! What can go wrong when layers, schedules and weights are put together.

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
        "the weights hold {name} with shape {got:?}, the model expects {expected:?}: they are of another model"
    )]
    ParameterShape {
        /// The parameter.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The weights' shape.
        got: Vec<usize>,
    },
    /// An optimiser's saved state does not fit.
    #[error("the optimiser's state holds {name} {message}: it is of another model or optimiser")]
    OptimizerState {
        /// The slot, `<parameter>.<slot>`.
        name: String,
        /// How it does not fit.
        message: String,
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
