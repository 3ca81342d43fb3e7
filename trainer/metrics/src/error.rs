//! What a metric refuses.

/// Values that a metric is not defined for: what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric: {0}")]
pub struct Error(pub String);

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
