//! Functions of one number, applied to every element: the simplest operations, to be read first.
//!
//! Such a function says its value, its derivative, and whether the derivative is computed from x or from y; [`Pointwise`] does
//! the rest for all of them. Which of the two is kept matters more than the arithmetic: the y of an activation is usually kept
//! by the next operation anyway, its x by nobody.

use crate::{Backward, Function, Real, Tensor, Var};

/// What the derivative is computed from.
pub(super) enum Keeps {
    Input,
    Output,
}

/// y(x) of every element, with dy/dx from what is kept.
struct Pointwise<Y, D> {
    name: &'static str,
    keeps: Keeps,
    y: Y,
    dydx: D,
}

/// A formula.
pub(super) trait Formula<T>: Fn(T) -> T + Send + Sync + 'static {}
impl<T, F: Fn(T) -> T + Send + Sync + 'static> Formula<T> for F {}

impl<T: Real, Y: Formula<T>, D: Formula<T>> Function<T, 1> for Pointwise<Y, D> {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let y = x.map(&self.y);
        let kept = match self.keeps {
            Keeps::Input => x.clone(),
            Keeps::Output => y.clone(),
        };
        (y, kept)
    }
}

impl<T: Real, Y: Formula<T>, D: Formula<T>> Backward<T, 1> for Pointwise<Y, D> {
    type Saved = Tensor<T>;

    fn backward(&self, kept: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy.zip_map(&kept, |dy, kept| dy * (self.dydx)(kept)))]
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

impl<'t, T: Real> Var<'t, T> {
    /// Records y(x) of every element, whose derivative is `dydx` of what is kept.
    #[track_caller]
    pub(super) fn pointwise(
        self,
        name: &'static str,
        keeps: Keeps,
        y: impl Fn(T) -> T + Send + Sync + 'static,
        dydx: impl Fn(T) -> T + Send + Sync + 'static,
    ) -> Var<'t, T> {
        self.tape().apply(Pointwise { name, keeps, y, dydx }, [self])
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
        self.pointwise("Exp", Keeps::Output, |x| x.exp(), |y| y)
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
        self.pointwise("Ln", Keeps::Input, |x| x.ln(), |x| T::ONE / x)
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
        self.pointwise("Sqrt", Keeps::Output, |x| x.sqrt(), |y| T::ONE / (y + y))
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
        self.pointwise("Square", Keeps::Input, |x| x * x, |x| x + x)
    }

    /// |x|. Saves x. The derivative at 0 is 0, as in PyTorch.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(-3.0));
    /// assert_eq!(x.clone().abs().backward().wrt(&x).unwrap().item(), -1.0);
    /// ```
    #[track_caller]
    pub fn abs(self) -> Self {
        self.pointwise("Abs", Keeps::Input, |x| x.abs(), sign)
    }

    /// x within `min` and `max`: the nearer of them outside. Saves x. The derivative is 1 inside, and 0 on the bounds and
    /// outside, as in PyTorch 2.15. NaN stays NaN.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([3], vec![-2.0, 1.0, 0.5]));
    /// let y = x.clone().clamp(-1.0, 1.0);
    /// assert_eq!(y.value().data(), [-1.0, 1.0, 0.5]);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.0, 0.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// If `min` is above `max`, or one is NaN.
    #[track_caller]
    pub fn clamp(self, min: T, max: T) -> Self {
        assert!(min <= max, "clamp: {min} to {max} is no range");
        let inside = move |x: T| if x > min && x < max { T::ONE } else { T::ZERO };
        let clamped = move |x: T| {
            if x < min {
                min
            } else if x > max {
                max
            } else {
                x
            }
        };
        self.pointwise("Clamp", Keeps::Input, clamped, inside)
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
        // x⁰ is 1 at 0 too, and flat there; the formula would say 0·∞.
        let dydx = move |x: T| if p == T::ZERO { T::ZERO } else { p * x.powf(p - T::ONE) };
        self.pointwise("Powf", Keeps::Input, move |x| x.powf(p), dydx)
    }
}

/// −1, 0 or 1; NaN of NaN.
fn sign<T: Real>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x * T::ZERO
    }
}
