//! The choice of an activation.

use autograd::{Real, Var};

use super::IntoInput;
use crate::Error;
pub use crate::kernels::activation::Activation;

impl Activation {
    /// [`LeakyRelu`](Self::LeakyRelu) with this slope.
    pub fn leaky_relu(slope: f64) -> Self {
        Self::LeakyRelu { slope }
    }

    /// The activation of each number of `x`.
    pub fn forward<'t, T: Real>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        let x = x.into_input().into_var();
        match *self {
            Self::Identity => x,
            Self::Relu => x.relu(),
            Self::LeakyRelu { slope } => x.leaky_relu(T::from_f64(slope)),
            Self::Elu { alpha } => x.elu(T::from_f64(alpha)),
            Self::Gelu => x.gelu(),
            Self::Silu => x.silu(),
        }
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
}
