//! Functions of one number, applied to every element: the simplest operations, to be read first.
//!
//! [`Pointwise`] is what such a function has to say: its value, its derivative, and whether the derivative is
//! computed from x or from y. [`Map`] does the rest for all of them. Which of the two is kept matters more than the
//! arithmetic: the y of an activation is usually kept by the next operation anyway, its x by nobody.

use crate::function::type_name;
use crate::{Backward, Function, Real, Tensor, Var};

/// What the derivative is computed from.
pub(super) enum Keeps {
    Input,
    Output,
}

/// y(x) and dy/dx.
pub(super) trait Pointwise<T: Real>: Send + Sync + 'static {
    fn keeps(&self) -> Keeps;

    fn y(&self, x: T) -> T;

    /// The derivative, from x or from y as [`keeps`](Self::keeps) says.
    fn dydx(&self, kept: T) -> T;
}

/// A [`Pointwise`] of every element.
pub(super) struct Map<P>(pub(super) P);

impl<T: Real, P: Pointwise<T>> Function<T, 1> for Map<P> {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let y = x.map(|x| self.0.y(x));
        let kept = match self.0.keeps() {
            Keeps::Input => x.clone(),
            Keeps::Output => y.clone(),
        };
        (y, kept)
    }
}

impl<T: Real, P: Pointwise<T>> Backward<T, 1> for Map<P> {
    type Saved = Tensor<T>;

    fn backward(&self, kept: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy.zip_map(&kept, |dy, kept| dy * self.0.dydx(kept)))]
    }

    fn name(&self) -> &'static str {
        type_name::<P>()
    }
}

/// y = e^x, dy/dx = y
struct Exp;

impl<T: Real> Pointwise<T> for Exp {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        x.exp()
    }
    fn dydx(&self, y: T) -> T {
        y
    }
}

/// y = ln x, dy/dx = 1/x
struct Ln;

impl<T: Real> Pointwise<T> for Ln {
    fn keeps(&self) -> Keeps {
        Keeps::Input
    }
    fn y(&self, x: T) -> T {
        x.ln()
    }
    fn dydx(&self, x: T) -> T {
        T::ONE / x
    }
}

/// y = √x, dy/dx = 1/2y
struct Sqrt;

impl<T: Real> Pointwise<T> for Sqrt {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        x.sqrt()
    }
    fn dydx(&self, y: T) -> T {
        T::ONE / (y + y)
    }
}

/// y = x², dy/dx = 2x
struct Square;

impl<T: Real> Pointwise<T> for Square {
    fn keeps(&self) -> Keeps {
        Keeps::Input
    }
    fn y(&self, x: T) -> T {
        x * x
    }
    fn dydx(&self, x: T) -> T {
        x + x
    }
}

/// y = x^p, dy/dx = p·x^(p−1)
struct Powf<T>(T);

impl<T: Real> Pointwise<T> for Powf<T> {
    fn keeps(&self) -> Keeps {
        Keeps::Input
    }
    fn y(&self, x: T) -> T {
        x.powf(self.0)
    }
    fn dydx(&self, x: T) -> T {
        // x⁰ is 1 at 0 too, and flat there; the formula would say 0·∞.
        if self.0 == T::ZERO { T::ZERO } else { self.0 * x.powf(self.0 - T::ONE) }
    }
}

/// y = factor·x, dx = factor·dy: linear, so nothing is kept.
struct Scale<T>(T);

impl<T: Real> Function<T, 1> for Scale<T> {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, ()) {
        (x.map(|x| self.0 * x), ())
    }
}

impl<T: Real> Backward<T, 1> for Scale<T> {
    type Saved = ();
    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy.scaled(self.0))]
    }
}

/// y = x + addend, dx = dy
struct AddScalar<T>(T);

impl<T: Real> Function<T, 1> for AddScalar<T> {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, ()) {
        (x.map(|x| x + self.0), ())
    }
}

impl<T: Real> Backward<T, 1> for AddScalar<T> {
    type Saved = ();
    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy)]
    }
}

impl<'t, T: Real> Var<'t, T> {
    /// Records a function of every element.
    #[track_caller]
    pub(super) fn pointwise(self, function: impl Pointwise<T>) -> Var<'t, T> {
        self.tape().apply(Map(function), [self])
    }

    /// e^x. Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().exp().backward().wrt(&x).unwrap().item(), 1.0);
    /// ```
    #[track_caller]
    pub fn exp(self) -> Self {
        self.pointwise(Exp)
    }

    /// ln x. Saves x. −∞ at 0, where the derivative is ∞; NaN below.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(4.0));
    /// assert_eq!(x.clone().ln().backward().wrt(&x).unwrap().item(), 0.25);
    /// ```
    #[track_caller]
    pub fn ln(self) -> Self {
        self.pointwise(Ln)
    }

    /// √x. Saves y. The derivative at 0 is ∞; NaN below.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(4.0));
    /// assert_eq!(x.clone().sqrt().backward().wrt(&x).unwrap().item(), 0.25);
    /// ```
    #[track_caller]
    pub fn sqrt(self) -> Self {
        self.pointwise(Sqrt)
    }

    /// x². Saves x.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(3.0));
    /// assert_eq!(x.clone().square().backward().wrt(&x).unwrap().item(), 6.0);
    /// ```
    #[track_caller]
    pub fn square(self) -> Self {
        self.pointwise(Square)
    }

    /// x^p for a fixed p. Saves x. NaN for negative x unless p is whole.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(2.0));
    /// assert_eq!(x.clone().powf(3.0).backward().wrt(&x).unwrap().item(), 12.0);
    /// ```
    #[track_caller]
    pub fn powf(self, p: T) -> Self {
        self.pointwise(Powf(p))
    }

    /// factor·x; also written `x * factor`. Saves nothing.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(2.0));
    /// assert_eq!((x.clone() * 3.0).backward().wrt(&x).unwrap().item(), 3.0);
    /// ```
    #[track_caller]
    pub fn scale(self, factor: T) -> Self {
        self.tape().apply(Scale(factor), [self])
    }

    /// x + addend; also written `x + addend`. Saves nothing.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::no_grad();
    /// assert_eq!(tape.constant(Tensor::scalar(2.0)).add_scalar(3.0).item(), 5.0);
    /// ```
    #[track_caller]
    pub fn add_scalar(self, addend: T) -> Self {
        self.tape().apply(AddScalar(addend), [self])
    }
}
