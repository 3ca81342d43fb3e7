//! What a tape tells of its operations while they run: for profiles, and for finding where numbers go wrong.

use std::cell::{Cell, RefCell};

use crate::{ParamId, Real, Shape, Tensor};

/// What is told of each operation; see [`Tape::observe`](crate::Tape::observe).
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

type Observer = Box<dyn FnMut(Event) + Send>;

/// A tape's observer and watchman.
#[derive(Default)]
pub(crate) struct Watch {
    observer: RefCell<Option<Observer>>,
    is_watching: Cell<bool>,
    parameter: Cell<Option<ParamId>>,
    fault: Cell<Option<NonFinite>>,
}

impl Watch {
    pub(crate) fn observe(&self, f: impl FnMut(Event) + Send + 'static) {
        *self.observer.borrow_mut() = Some(Box::new(f));
    }

    pub(crate) fn tell(&self, operation: &'static str, pass: Pass, shape: Shape) {
        if let Some(observer) = &mut *self.observer.borrow_mut() {
            observer(Event { operation, pass, shape });
        }
    }

    pub(crate) fn start(&self) {
        self.is_watching.set(true);
    }

    pub(crate) fn is_watching(&self) -> bool {
        self.is_watching.get()
    }

    /// A parameter is about to be used.
    pub(crate) fn enters(&self, parameter: ParamId) {
        self.parameter.set(Some(parameter));
    }

    /// The parameter that entered last.
    pub(crate) fn parameter(&self) -> Option<ParamId> {
        self.parameter.get()
    }

    /// The first fault.
    pub(crate) fn fault(&self) -> Option<NonFinite> {
        self.fault.get()
    }

    /// Takes over the fault of a part that was recorded on a tape of its own.
    pub(crate) fn adopt(&self, fault: Option<NonFinite>) {
        self.fault.set(self.fault.get().or(fault));
    }

    /// Notes a value that is not finite, if it is the first.
    pub(crate) fn look<T: Real>(
        &self,
        operation: &'static str,
        pass: Pass,
        value: &Tensor<T>,
        parameter: impl FnOnce() -> Option<ParamId>,
    ) {
        if self.is_watching.get() && self.fault.get().is_none() && !value.is_finite() {
            self.fault.set(Some(NonFinite { operation, pass, shape: value.shape(), parameter: parameter() }));
        }
    }
}
