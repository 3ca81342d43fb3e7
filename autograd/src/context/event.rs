//! What is said of an operation, to a profile or in search of the place where numbers go wrong.

use crate::{ParamId, Shape};

/// What an observer is told of each operation; see [`Tape::observe`](crate::Tape::observe).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The operation's [name](crate::Backward::name).
    pub operation: &'static str,
    /// Which of its passes is done.
    pub pass: Pass,
    /// The shape of its value.
    pub shape: Shape,
}

/// One of the two passes of an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pass {
    /// The value was computed.
    Forward,
    /// The gradients were computed.
    Backward,
}

/// Where a value first was NaN or infinite; see [`Tape::watch`](crate::Tape::watch).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NonFinite {
    /// Forward: the function whose value it is. Backward: the one whose value's gradient it is, or `"parameter"` for the
    /// gradient of a parameter.
    pub operation: &'static str,
    /// In which pass.
    pub pass: Pass,
    /// The value's shape.
    pub shape: Shape,
    /// The parameter that was used last before the operation, which tells the layer.
    pub parameter: Option<ParamId>,
}
