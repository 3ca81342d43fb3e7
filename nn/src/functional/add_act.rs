//! A sum with the activation that follows: what ends a residual block.
//!
//! z = a + b, y = act(z). Derivative: da = db = dy·act′(z). Saved are the two terms as they are read, not z; and y where
//! act′(z) = act′(y), as of ReLU and a leaky one.

use std::sync::{Arc, Mutex, PoisonError};

use autograd::{Backward, Real, Shape, Tensor, tape_of};

use super::Activation;
use super::input::{Deferred, Formula, Held, Input, IntoInput, Reading, SavedInput};
use super::statistics::Extents;
use crate::kernels::Affine;
use crate::kernels::norm::{self, Term};

/// act(a + b), left to whoever reads it. Terms that are normalised on the way are so here too: each of the two tensors is
/// read once.
///
/// a, b and the result `[n, ..., c]`.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn add_act<'t, T: Real>(
    a: impl IntoInput<'t, T>,
    b: impl IntoInput<'t, T>,
    activation: Activation,
) -> Input<'t, T> {
    let [a, b] = [a.into_input().part(), b.into_input().part()];
    let [first, second] = [a.saved.shape(), b.saved.shape()];
    assert!(first == second, "the terms of a sum have one shape, not {first} and {second}");
    let (shape, held) = (a.saved.shape(), Mutex::new(Some([a.held, b.held])));
    let sum = Sum { shape, terms: Mutex::new(Some([a.saved, b.saved])), held, activation };
    let inputs = [Some(&a.place), Some(&b.place)];
    Input::deferred(tape_of(inputs), AddAct, inputs, a.place.value().clone(), sum)
}

/// What keeps the values of two terms; nothing keeps a term that lies as it is.
type HeldTerms<T> = [Option<Arc<Held<T>>>; 2];

struct Sum<T: Real> {
    shape: Shape,
    /// `None` once the value is kept in their place.
    terms: Mutex<Option<[SavedInput<T>; 2]>>,
    /// Of the terms, until the sum is computed for the first time.
    held: Mutex<Option<HeldTerms<T>>>,
    activation: Activation,
}

impl<T: Real> Sum<T> {
    /// The terms, which are given up if they are read for the `last` time.
    fn terms(&self, last: bool) -> [SavedInput<T>; 2] {
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let given = if last { terms.take() } else { terms.clone() };
        given.expect("nothing is read after the last time")
    }

    fn take_held(&self) -> Option<HeldTerms<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T: Real> Formula<T> for Sum<T> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn compute(&self) -> Tensor<T> {
        let mut y = Tensor::scratch(self.shape());
        let [a, b] = &self.terms(self.keeps_value());
        let readings = match &self.take_held() {
            Some([of_a, of_b]) => {
                let others = |held: &Option<Arc<Held<T>>>| held.as_ref().is_some_and(Held::has_others);
                [a.read_and_keep(others(of_a)), b.read_and_keep(others(of_b))]
            }
            // In the backward pass, where the derivative of the sum comes next.
            None => [a.read_and_keep(true), b.read_and_keep(true)],
        };
        for_each_slab(&readings, &mut y, |n, terms, y| norm::apply_sum(self.activation, terms, n, y));
        y
    }

    fn affine(&self) -> Option<(&Tensor<T>, &Affine<T>)> {
        None
    }

    fn keeps_value(&self) -> bool {
        self.activation.leak::<T>().is_some()
    }

    fn release(&self) {
        self.take_held();
    }
}

/// Calls `f` with each slab of `y`: its sample, the slabs of the terms, and its own numbers.
fn for_each_slab<T: Real>(
    readings: &[Reading<'_, T>; 2],
    y: &mut Tensor<T>,
    f: impl Fn(usize, [Term<'_, T>; 2], &mut [T]) + Sync,
) {
    let extents = Extents::of(y.shape());
    extents.for_each_slab(y.data_mut(), |n, r, y| {
        f(n, readings.each_ref().map(|term| (&term.x.data()[r.clone()], term.affine)), y);
    });
}

/// The derivative of [`add_act`].
struct AddAct;

impl<T: Real> Backward<T, 2> for AddAct {
    type Saved = (Arc<Sum<T>>, Arc<Deferred<T>>);

    fn backward(
        &self,
        (sum, deferred): Self::Saved,
        mut dy: Tensor<T>,
        needs: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        if let Some(y) = deferred.take_value().filter(|_| sum.keeps_value()) {
            let unit = Affine::unit(y.shape()[0], y.channels(), sum.activation);
            let extents = Extents::of(y.shape());
            extents.for_each_slab(dy.data_mut(), |n, r, dy| norm::lead_back(&unit, n, &y.data()[r], dy));
        } else {
            let terms = sum.terms(true);
            let readings = terms.each_ref().map(SavedInput::read);
            for_each_slab(&readings, &mut dy, |n, terms, dy| {
                norm::backward_sum(sum.activation, terms, n, dy);
            });
        }
        needs.map(|needed| needed.then(|| dy.clone()))
    }
}
