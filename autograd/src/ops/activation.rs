//! Activations: functions of one number, with PyTorch's conventions at their kinks.
//!
//! Where the derivative can be told from y, y is kept, since the next operation usually keeps it as well. GELU and
//! SiLU fall and rise again, so their y does not determine x: they keep x, and so does a leak of negative slope.
//!
//! At ±∞ the values are the limits, those of GELU and SiLU at −∞ excepted, which are NaN, as are their derivatives at both
//! ends. NaN stays NaN, and is on the right of each kink: the derivative there is 1.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::elementwise::Keeps;
use crate::{Real, Var};

/// What tells the side of the kink, for a factor left of it: y has the sign of x unless the factor is negative.
fn kept_for<T: Real>(factor: T) -> Keeps {
    if factor >= T::ZERO { Keeps::Output } else { Keeps::Input }
}

/// Φ(x) = (1 + erf(x/√2)) / 2, the normal distribution's.
fn normal_cdf<T: Real>(x: T) -> T {
    T::from_f64(0.5) * (T::ONE + (x * T::from_f64(FRAC_1_SQRT_2)).erf())
}

/// φ(x), its density.
fn normal_density<T: Real>(x: T) -> T {
    T::from_f64(1.0 / (2.0 * PI).sqrt()) * (T::from_f64(-0.5) * x * x).exp()
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
        let y = |x: T| if x <= T::ZERO { T::ZERO } else { x };
        let dydx = |y: T| if y <= T::ZERO { T::ZERO } else { T::ONE };
        self.pointwise("Relu", Keeps::Output, y, dydx)
    }

    /// x for x > 0, slope·x else. Saves y, or x where the slope is negative. The derivative at 0 is `slope`, as in PyTorch,
    /// whose default is 0.01. A slope of 0 is [`relu`](Self::relu), at −∞ too, where PyTorch says 0·∞.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([3], vec![-1.0, 0.0, 2.0]));
    /// let y = x.clone().leaky_relu(0.5);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.5, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn leaky_relu(self, slope: T) -> Self {
        if slope == T::ZERO {
            return self.relu();
        }
        let y = move |x: T| if x <= T::ZERO { slope * x } else { x };
        let dydx = move |kept: T| if kept <= T::ZERO { slope } else { T::ONE };
        self.pointwise("LeakyRelu", kept_for(slope), y, dydx)
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
        let y = move |x: T| if x <= T::ZERO { alpha * x.exp_m1() } else { x };
        // Left of 0: alpha·e^x, which is y + alpha.
        let dydx = move |kept: T| match kept_for(alpha) {
            _ if kept > T::ZERO || kept.is_nan() => T::ONE,
            Keeps::Output => kept + alpha,
            Keeps::Input => alpha * kept.exp(),
        };
        self.pointwise("Elu", kept_for(alpha), y, dydx)
    }

    /// x·Φ(x) with Φ(x) = (1 + erf(x/√2))/2: the exact form, not the one with tanh. dy/dx = Φ(x) + x·φ(x), with the density φ.
    /// Saves x. NaN at −∞.
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
        let dydx = |x: T| normal_cdf(x) + x * normal_density(x);
        self.pointwise("Gelu", Keeps::Input, |x| x * normal_cdf(x), dydx)
    }

    /// x·σ(x); dy/dx = σ(x)·(1 + x·(1 − σ(x))). Saves x. NaN at −∞.
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
        let dydx = |x: T| {
            let s = x.sigmoid();
            s * (T::ONE + x * (T::ONE - s))
        };
        self.pointwise("Silu", Keeps::Input, |x| x * x.sigmoid(), dydx)
    }

    /// 1/(1 + e^−x), without overflow; dy/dx = y·(1 − y). Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().sigmoid().backward().wrt(&x).unwrap().item(), 0.25);
    /// ```
    #[track_caller]
    pub fn sigmoid(self) -> Self {
        self.pointwise("Sigmoid", Keeps::Output, |x| x.sigmoid(), |y| y * (T::ONE - y))
    }

    /// tanh x; dy/dx = 1 − y². Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.clone().tanh().backward().wrt(&x).unwrap().item(), 1.0);
    /// ```
    #[track_caller]
    pub fn tanh(self) -> Self {
        self.pointwise("Tanh", Keeps::Output, |x| x.tanh(), |y| T::ONE - y * y)
    }

    /// ln(1 + e^x), without overflow (PyTorch's with β = 1, but never replaced by x); dy/dx = σ(x) = 1 − e^−y. Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::scalar(0.0));
    /// assert_eq!(x.softplus().item(), 2.0f64.ln());
    /// ```
    #[track_caller]
    pub fn softplus(self) -> Self {
        self.pointwise("Softplus", Keeps::Output, |x| x.softplus(), |y| -(-y).exp_m1())
    }
}
