//! The choice of an activation.

use autograd::{Function, Real, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::kernels::activation::{Act, Elu, Gelu, Identity, Leaky, Silu};

/// A function applied to each number.
///
/// | variant | formula |
/// |---|---|
/// | `Identity` | z |
/// | `Relu` | max(z, 0) |
/// | `LeakyRelu { slope }` | z for z > 0, else slope·z |
/// | `Elu { alpha }` | z for z > 0, else α·(e^z − 1) |
/// | `Gelu` | z·Φ(z), by erf |
/// | `Silu` | z·σ(z) |
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// No activation.
    #[default]
    Identity,
    /// Rectified linear unit.
    Relu,
    /// Rectified linear unit that leaks.
    LeakyRelu {
        /// The slope left of 0.
        slope: f64,
    },
    /// Exponential linear unit.
    Elu {
        /// Minus the limit at −∞.
        alpha: f64,
    },
    /// Gaussian error linear unit.
    Gelu,
    /// Sigmoid linear unit.
    Silu,
}

/// What is done with an activation once it is known which; see [`Activation::with`].
pub(crate) trait UseAct<T: Real> {
    type Output;
    fn call<A: Act<T>>(self, act: A) -> Self::Output;
}

impl Activation {
    /// [`LeakyRelu`](Self::LeakyRelu) with this slope.
    pub fn leaky_relu(slope: f64) -> Self {
        Self::LeakyRelu { slope }
    }

    /// The activation of each number of `x`.
    pub fn forward<'t, T: Real>(&self, x: Var<'t, T>) -> Var<'t, T> {
        if *self == Self::Identity {
            return x;
        }
        x.tape().apply(*self, [x])
    }

    /// Refuses slopes that are not finite.
    ///
    /// # Errors
    /// [`Error::Setting`], with the value.
    pub fn check(&self) -> Result<(), Error> {
        let (name, value) = match *self {
            Self::LeakyRelu { slope } => ("slope", slope),
            Self::Elu { alpha } => ("alpha", alpha),
            Self::Identity | Self::Relu | Self::Gelu | Self::Silu => return Ok(()),
        };
        if value.is_finite() {
            return Ok(());
        }
        Err(Error::Setting { name, message: format!("{value} is no number to multiply with: use 0.01 or 1") })
    }

    /// Compiles `f` for each activation and calls the right one.
    pub(crate) fn with<T: Real, F: UseAct<T>>(&self, f: F) -> F::Output {
        match *self {
            Self::Identity => f.call(Identity),
            Self::Relu => f.call(Leaky(T::ZERO)),
            Self::LeakyRelu { slope } => f.call(Leaky(T::from_f64(slope))),
            Self::Elu { alpha } => f.call(Elu(T::from_f64(alpha))),
            Self::Gelu => f.call(Gelu),
            Self::Silu => f.call(Silu),
        }
    }
}

/// Saves the input.
impl<T: Real> Function<T, 1> for Activation {
    type Saved = Tensor<T>;

    fn forward(&self, [x]: [&Tensor<T>; 1]) -> (Tensor<T>, Tensor<T>) {
        (self.with(Value(x)), x.clone())
    }

    fn backward(&self, x: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(self.with(Slope(&x, dy)))]
    }
}

struct Value<'a, T: Real>(&'a Tensor<T>);

impl<T: Real> UseAct<T> for Value<'_, T> {
    type Output = Tensor<T>;
    fn call<A: Act<T>>(self, act: A) -> Tensor<T> {
        self.0.map(|x| act.value(x))
    }
}

struct Slope<'a, T: Real>(&'a Tensor<T>, Tensor<T>);

impl<T: Real> UseAct<T> for Slope<'_, T> {
    type Output = Tensor<T>;
    fn call<A: Act<T>>(self, act: A) -> Tensor<T> {
        self.1.zip_map(self.0, |dy, x| dy * act.slope(x))
    }
}
