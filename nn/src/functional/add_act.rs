//! A sum with the activation that follows: what ends a residual block.
//!
//! z = a + b, y = act(z). Derivative: da = db = dy·act′(z). Saved are the two terms as they are read; z and y never.

use std::sync::Arc;

use autograd::{Backward, Real, Shape, Tensor};

use super::Activation;
use super::input::{Deferred, Formula, Input, Reader};
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
    a: impl Into<Input<'t, T>>,
    b: impl Into<Input<'t, T>>,
    activation: Activation,
) -> Input<'t, T> {
    let [a, b] = [a.into().part(), b.into().part()];
    assert_eq!(a.reader.shape(), b.reader.shape(), "the terms of a sum have one shape");
    let sum = Arc::new(Sum { terms: [a.reader, b.reader], activation });
    let stand_in = a.place.value().clone();
    Input::deferred(a.place.tape(), AddAct(sum.clone()), [Some(&a.place), Some(&b.place)], stand_in, sum)
}

struct Sum<T: Real> {
    terms: [Reader<T>; 2],
    activation: Activation,
}

impl<T: Real> Sum<T> {
    /// Calls `f` with each slab of `y`: its sample, the slabs of the terms, and its own numbers.
    fn for_each_slab(&self, y: &mut Tensor<T>, f: impl Fn(usize, [Term<'_, T>; 2], &mut [T]) + Sync) {
        let readings = self.terms.each_ref().map(Reader::read);
        let extents = Extents::of(y.shape());
        extents.for_each_slab(y.data_mut(), |n, r, y| {
            f(n, readings.each_ref().map(|term| (&term.x.data()[r.clone()], term.affine)), y);
        });
    }
}

impl<T: Real> Formula<T> for Sum<T> {
    fn shape(&self) -> Shape {
        self.terms[0].shape()
    }

    fn compute(&self) -> Tensor<T> {
        let mut y = Tensor::scratch(self.shape());
        self.for_each_slab(&mut y, |n, terms, y| norm::apply_sum(self.activation, terms, n, y));
        y
    }

    fn affine(&self) -> Option<(&Tensor<T>, &Affine<T>)> {
        None
    }
}

/// The derivative of [`add_act`].
struct AddAct<T: Real>(Arc<Sum<T>>);

impl<T: Real> Backward<T, 2> for AddAct<T> {
    type Saved = Arc<Deferred<T>>;

    fn backward(&self, deferred: Self::Saved, mut dy: Tensor<T>, needs: [bool; 2]) -> [Option<Tensor<T>>; 2] {
        deferred.close();
        self.0.for_each_slab(&mut dy, |n, terms, dy| norm::backward_sum(self.0.activation, terms, n, dy));
        needs.map(|needed| needed.then(|| dy.clone()))
    }
}
