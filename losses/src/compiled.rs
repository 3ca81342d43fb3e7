//! Vectorised loops compiled in this crate, once for each number type and instruction set.
//!
//! A generic function is compiled anew in every crate that calls it, and these are long: exponentials for three
//! instruction sets. Here a type parameter is turned into the one of two types that it is.

use std::any::Any;

use autograd::Real;
use autograd::simd::{Simd, math};

use crate::lanes;

/// The function of a loop over a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elementary {
    Exp,
    Sigmoid,
}

/// y = f(x) for the first `len` numbers.
///
/// # Panics
/// If one of them has fewer.
#[expect(clippy::ptr_arg, reason = "a Vec tells its type where a borrowed slice, not being 'static, cannot")]
pub(crate) fn map<T: Real>(f: Elementary, x: &Vec<T>, y: &mut Vec<T>, len: usize) {
    let (x, y): (&dyn Any, &mut dyn Any) = (x, y);
    if let (Some(x), Some(y)) = (x.downcast_ref::<Vec<f32>>(), y.downcast_mut::<Vec<f32>>()) {
        return map_f32(f, &x[..len], &mut y[..len]);
    }
    let x = x.downcast_ref::<Vec<f64>>().expect("a Real is f32 or f64");
    let y = y.downcast_mut::<Vec<f64>>().expect("x and y are of one type");
    map_f64(f, &x[..len], &mut y[..len]);
}

fn map_f32(f: Elementary, x: &[f32], y: &mut [f32]) {
    match f {
        Elementary::Exp => lanes::map(&Exp, x, y),
        Elementary::Sigmoid => lanes::map(&Sigmoid, x, y),
    }
}

fn map_f64(f: Elementary, x: &[f64], y: &mut [f64]) {
    match f {
        Elementary::Exp => lanes::map(&Exp, x, y),
        Elementary::Sigmoid => lanes::map(&Sigmoid, x, y),
    }
}

struct Exp;

impl<T: Real> lanes::Map<T> for Exp {
    #[inline(always)]
    fn apply<S: Simd<Elem = T>>(&self, s: S, x: S::V) -> S::V {
        math::exp(s, x)
    }
}

struct Sigmoid;

impl<T: Real> lanes::Map<T> for Sigmoid {
    #[inline(always)]
    fn apply<S: Simd<Elem = T>>(&self, s: S, x: S::V) -> S::V {
        math::sigmoid(s, x)
    }
}
