//! Activations: [`Pointwise`] functions, with PyTorch's conventions at their kinks.
//!
//! Where the derivative can be told from y, y is kept, since the next operation usually keeps it as well. GELU and
//! SiLU fall and rise again, so their y does not determine x: they keep x, and so does a leak of negative slope.
//!
//! At ±∞ the values are the limits, those of GELU and SiLU at −∞ excepted, which are NaN, as are their derivatives at both
//! ends. NaN stays NaN, and is on the right of each kink: the derivative there is 1.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::elementwise::{Keeps, Pointwise};
use crate::{Real, Var};

/// y = max(x, 0), dy/dx = 1 for x > 0, 0 for x ≤ 0
struct Relu;

impl<T: Real> Pointwise<T> for Relu {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        if x <= T::ZERO { T::ZERO } else { x }
    }
    fn dydx(&self, y: T) -> T {
        if y <= T::ZERO { T::ZERO } else { T::ONE }
    }
}

/// y = x for x > 0, slope·x for x ≤ 0; dy/dx = 1 or slope
struct LeakyRelu<T> {
    slope: T,
}

impl<T: Real> Pointwise<T> for LeakyRelu<T> {
    fn keeps(&self) -> Keeps {
        kept_for(self.slope)
    }
    fn y(&self, x: T) -> T {
        if x <= T::ZERO { self.slope * x } else { x }
    }
    fn dydx(&self, kept: T) -> T {
        if kept <= T::ZERO { self.slope } else { T::ONE }
    }
}

/// y = x for x > 0, alpha·(e^x − 1) for x ≤ 0; dy/dx = 1 or alpha·e^x = y + alpha
struct Elu<T> {
    alpha: T,
}

impl<T: Real> Pointwise<T> for Elu<T> {
    fn keeps(&self) -> Keeps {
        kept_for(self.alpha)
    }
    fn y(&self, x: T) -> T {
        if x <= T::ZERO { self.alpha * x.exp_m1() } else { x }
    }
    fn dydx(&self, kept: T) -> T {
        if kept <= T::ZERO {
            match self.keeps() {
                Keeps::Output => kept + self.alpha,
                Keeps::Input => self.alpha * kept.exp(),
            }
        } else {
            T::ONE
        }
    }
}

/// What tells the side of the kink, for a factor left of it: y has the sign of x unless the factor is negative.
fn kept_for<T: Real>(factor: T) -> Keeps {
    if factor >= T::ZERO { Keeps::Output } else { Keeps::Input }
}

/// y = x·Φ(x), dy/dx = Φ(x) + x·φ(x), with the normal distribution's Φ and density φ
struct Gelu;

impl<T: Real> Pointwise<T> for Gelu {
    fn keeps(&self) -> Keeps {
        Keeps::Input
    }
    fn y(&self, x: T) -> T {
        x * normal_cdf(x)
    }
    fn dydx(&self, x: T) -> T {
        let density = T::from_f64(1.0 / (2.0 * PI).sqrt()) * (T::from_f64(-0.5) * x * x).exp();
        normal_cdf(x) + x * density
    }
}

/// Φ(x) = (1 + erf(x/√2)) / 2
fn normal_cdf<T: Real>(x: T) -> T {
    T::from_f64(0.5) * (T::ONE + (x * T::from_f64(FRAC_1_SQRT_2)).erf())
}

/// y = x·σ(x), dy/dx = σ(x)·(1 + x·(1 − σ(x)))
struct Silu;

impl<T: Real> Pointwise<T> for Silu {
    fn keeps(&self) -> Keeps {
        Keeps::Input
    }
    fn y(&self, x: T) -> T {
        x * x.sigmoid()
    }
    fn dydx(&self, x: T) -> T {
        let s = x.sigmoid();
        s * (T::ONE + x * (T::ONE - s))
    }
}

/// y = 1/(1 + e^−x), dy/dx = y·(1 − y)
struct Sigmoid;

impl<T: Real> Pointwise<T> for Sigmoid {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        x.sigmoid()
    }
    fn dydx(&self, y: T) -> T {
        y * (T::ONE - y)
    }
}

/// y = tanh x, dy/dx = 1 − y²
struct Tanh;

impl<T: Real> Pointwise<T> for Tanh {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        x.tanh()
    }
    fn dydx(&self, y: T) -> T {
        T::ONE - y * y
    }
}

/// y = ln(1 + e^x), dy/dx = σ(x) = 1 − e^−y
struct Softplus;

impl<T: Real> Pointwise<T> for Softplus {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }
    fn y(&self, x: T) -> T {
        x.softplus()
    }
    fn dydx(&self, y: T) -> T {
        -(-y).exp_m1()
    }
}

impl<T: Real> Var<'_, T> {
    /// max(x, 0). Saves y. The derivative at 0 is 0; NaN stays NaN.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([3], vec![-1.0, 0.0, 2.0]));
    /// let y = x.clone().relu();
    /// assert_eq!(y.value().data(), [0.0, 0.0, 2.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.0, 0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn relu(self) -> Self {
        self.pointwise(Relu)
    }

    /// x for x > 0, slope·x else. Saves y, or x where the slope is negative. The derivative at 0 is `slope`, as in PyTorch,
    /// whose default is 0.01. A slope of 0 is [`relu`](Self::relu), at −∞ too, where PyTorch says 0·∞.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([3], vec![-1.0, 0.0, 2.0]));
    /// let y = x.clone().leaky_relu(0.5);
    /// assert_eq!(y.value().data(), [-0.5, 0.0, 2.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.5, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn leaky_relu(self, slope: T) -> Self {
        if slope == T::ZERO { self.relu() } else { self.pointwise(LeakyRelu { slope }) }
    }

    /// x for x > 0, alpha·(e^x − 1) else. Saves y, or x where alpha is negative. The derivative at 0 is `alpha`; PyTorch's
    /// default is 1.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([2], vec![0.0, 2.0]));
    /// assert_eq!(x.clone().elu(1.0).value().data(), [0.0, 2.0]);
    /// ```
    ///
    /// # Source
    /// Clevert, Unterthiner and Hochreiter 2015, equation 16.
    #[track_caller]
    pub fn elu(self, alpha: T) -> Self {
        self.pointwise(Elu { alpha })
    }

    /// x·Φ(x) with Φ(x) = (1 + erf(x/√2))/2: the exact form, not the one with tanh. Saves x. NaN at −∞.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().gelu().backward().wrt(&x).unwrap().item(), 0.5);
    /// ```
    ///
    /// # Source
    /// Hendrycks and Gimpel 2016, section 2.
    #[track_caller]
    pub fn gelu(self) -> Self {
        self.pointwise(Gelu)
    }

    /// x·σ(x). Saves x. NaN at −∞.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().silu().backward().wrt(&x).unwrap().item(), 0.5);
    /// ```
    ///
    /// # Source
    /// Elfwing, Uchibe and Doya 2017, equation 5.
    #[track_caller]
    pub fn silu(self) -> Self {
        self.pointwise(Silu)
    }

    /// 1/(1 + e^−x), without overflow. Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().sigmoid().backward().wrt(&x).unwrap().item(), 0.25);
    /// ```
    #[track_caller]
    pub fn sigmoid(self) -> Self {
        self.pointwise(Sigmoid)
    }

    /// tanh x. Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().tanh().backward().wrt(&x).unwrap().item(), 1.0);
    /// ```
    #[track_caller]
    pub fn tanh(self) -> Self {
        self.pointwise(Tanh)
    }

    /// ln(1 + e^x), without overflow (PyTorch's with β = 1, but never replaced by x). Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.softplus().item(), 2.0f64.ln());
    /// ```
    #[track_caller]
    pub fn softplus(self) -> Self {
        self.pointwise(Softplus)
    }
}
