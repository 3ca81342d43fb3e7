//! The choice of an activation.

use autograd::parallel::{SLAB, for_each_slab};
use autograd::{Function, Real, Tensor, Var};

use crate::Error;
use crate::kernels::activation;
pub use crate::kernels::activation::Activation;

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
}

/// Saves the input.
impl<T: Real> Function<T, 1> for Activation {
    type Saved = Tensor<T>;

    fn forward(&self, [x]: [&Tensor<T>; 1]) -> (Tensor<T>, Tensor<T>) {
        let mut y = Tensor::scratch(x.shape());
        for_each_slab(y.data_mut(), SLAB, |start, y| {
            activation::apply(*self, &x.data()[start..][..y.len()], y);
        });
        (y, x.clone())
    }

    fn backward(&self, x: Tensor<T>, mut dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        for_each_slab(dy.data_mut(), SLAB, |start, dy| {
            activation::backward(*self, &x.data()[start..][..dy.len()], dy);
        });
        [Some(dy)]
    }
}
