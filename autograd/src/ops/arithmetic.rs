//! + − · / of two tensors whose shapes [go together](super::broadcast), or of a tensor and a number.
//!
//! Of a and b only those are saved that a wanted gradient needs: for mask · x with a constant mask, the mask.
//! A number is a constant operand. Division by 0 gives ±∞ or NaN, as in IEEE 754.

use std::ops;

use super::broadcast::{combine, combine_into, result_shape, sum_to};
use super::tape_of;
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// y = a ± b, da = dy, db = ±dy
struct Plus<T>(T);

impl<T: Real> Function<T, 2> for Plus<T> {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], _: [bool; 2]) -> (Tensor<T>, [Shape; 2]) {
        (combine(a, b, |a, b| a + self.0 * b), [a.shape(), b.shape()])
    }
}

impl<T: Real> Backward<T, 2> for Plus<T> {
    type Saved = [Shape; 2];

    fn backward(&self, [a, b]: [Shape; 2], dy: Tensor<T>, needs: [bool; 2]) -> [Option<Tensor<T>>; 2] {
        let da = needs[0].then(|| sum_to(a, dy.clone()));
        let db = needs[1].then(|| sum_to(b, dy));
        [da, if self.0 == T::ONE { db } else { db.map(|db| db.scaled(self.0)) }]
    }
}

/// y = a·b, da = dy·b, db = dy·a
struct Mul;

impl<T: Real> Function<T, 2> for Mul {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], needs: [bool; 2]) -> (Tensor<T>, Self::Saved) {
        let kept = [needs[1].then(|| a.clone()), needs[0].then(|| b.clone())];
        (combine(a, b, |a, b| a * b), (kept, [a.shape(), b.shape()]))
    }
}

impl<T: Real> Backward<T, 2> for Mul {
    type Saved = ([Option<Tensor<T>>; 2], [Shape; 2]);

    fn backward(&self, ([a, b], shapes): Self::Saved, dy: Tensor<T>, _: [bool; 2]) -> [Option<Tensor<T>>; 2] {
        // The last of them is written where dy was.
        let db = a.map(|a| sum_to(shapes[1], combine_into(dy.clone(), &a, |dy, a| dy * a)));
        let da = b.map(|b| sum_to(shapes[0], combine_into(dy, &b, |dy, b| dy * b)));
        [da, db]
    }
}

/// y = a/b, da = dy/b, db = −dy·a/b²
struct Div;

impl<T: Real> Function<T, 2> for Div {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], needs: [bool; 2]) -> (Tensor<T>, Self::Saved) {
        let kept = (needs[1].then(|| a.clone()), b.clone());
        (combine(a, b, |a, b| a / b), (kept, [a.shape(), b.shape()]))
    }
}

impl<T: Real> Backward<T, 2> for Div {
    type Saved = ((Option<Tensor<T>>, Tensor<T>), [Shape; 2]);

    fn backward(
        &self,
        ((a, b), shapes): Self::Saved,
        dy: Tensor<T>,
        needs: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        // With q = dy/b: da = q and db = −q·a/b, which overflows later than b² does.
        let q = combine_into(dy, &b, |dy, b| dy / b);
        let da = needs[0].then(|| sum_to(shapes[0], q.clone()));
        let db = a.map(|a| {
            let product = combine_into(q, &a, |q, a| -q * a);
            sum_to(shapes[1], combine_into(product, &b, |product, b| product / b))
        });
        [da, db]
    }
}

/// Records `function` of two values after a look at their shapes.
#[track_caller]
fn apply<'t, T: Real>(operation: &str, function: impl Function<T, 2>, [a, b]: [Var<'t, T>; 2]) -> Var<'t, T> {
    result_shape(operation, &a.shape(), &b.shape());
    tape_of([Some(&a), Some(&b)]).apply(function, [a, b])
}

impl<'t, T: Real> ops::Neg for Var<'t, T> {
    type Output = Var<'t, T>;
    #[track_caller]
    fn neg(self) -> Self {
        self * -T::ONE
    }
}

impl<'t, T: Real> ops::Neg for &Var<'t, T> {
    type Output = Var<'t, T>;
    #[track_caller]
    fn neg(self) -> Var<'t, T> {
        -self.clone()
    }
}

/// An operator of two values, by a [`Function`]; the same where one or both are borrowed, and where one is a number.
macro_rules! operator {
    ($operator:ident, $method:ident, $function:expr, $formula:literal) => {
        #[doc = $formula]
        ///
        /// Shapes broadcast: they are equal up to axes of extent 1, which are spread (`[n, d, h, w, c]` with `[n, 1, 1, 1, c]` or
        /// `[n, d, h, w, 1]`), or one operand is one number (`[]`, `[1]`) or a vector `[c]` over the other's last axis of
        /// as many channels. The gradient of what is spread is the sum over its uses.
        ///
        /// # Panics
        /// For other shapes, naming the axis that differs; if an operand is of another tape or from before a backward
        /// pass.
        impl<'t, T: Real> ops::$operator for Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: Self) -> Self {
                apply(stringify!($method), $function, [self, b])
            }
        }

        impl<'t, T: Real> ops::$operator<&Var<'t, T>> for Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: &Var<'t, T>) -> Var<'t, T> {
                ops::$operator::$method(self, b.clone())
            }
        }

        impl<'t, T: Real> ops::$operator<Var<'t, T>> for &Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: Var<'t, T>) -> Var<'t, T> {
                ops::$operator::$method(self.clone(), b)
            }
        }

        impl<'t, T: Real> ops::$operator<&Var<'t, T>> for &Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: &Var<'t, T>) -> Var<'t, T> {
                ops::$operator::$method(self.clone(), b.clone())
            }
        }

        impl<'t, T: Real> ops::$operator<T> for Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: T) -> Self {
                let b = self.tape().constant(Tensor::scalar(b));
                ops::$operator::$method(self, b)
            }
        }

        impl<'t, T: Real> ops::$operator<T> for &Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $method(self, b: T) -> Var<'t, T> {
                ops::$operator::$method(self.clone(), b)
            }
        }

        operator!(@number f32, $operator, $method);
        operator!(@number f64, $operator, $method);
    };
    (@number $t:ty, $operator:ident, $method:ident) => {
        impl<'t> ops::$operator<Var<'t, $t>> for $t {
            type Output = Var<'t, $t>;
            #[track_caller]
            fn $method(self, b: Var<'t, $t>) -> Var<'t, $t> {
                let a = b.tape().constant(Tensor::scalar(self));
                ops::$operator::$method(a, b)
            }
        }

        impl<'t> ops::$operator<&Var<'t, $t>> for $t {
            type Output = Var<'t, $t>;
            #[track_caller]
            fn $method(self, b: &Var<'t, $t>) -> Var<'t, $t> {
                ops::$operator::$method(self, b.clone())
            }
        }
    };
}

operator!(Add, add, Plus(T::ONE), "a + b; da = db = dy. Saves nothing.");
operator!(Sub, sub, Plus(-T::ONE), "a − b; da = dy, db = −dy. Saves nothing.");
operator!(
    Mul,
    mul,
    Mul,
    "a · b; da = dy·b, db = dy·a. Saves a where b has a gradient, and b where a has one."
);
operator!(Div, div, Div, "a / b; da = dy/b, db = −dy·a/b². Saves b, and a where b has a gradient.");
