//! A matrix with its bias.

use autograd::{Parameter, Real, Var};
use rand::Rng;

use super::{at_least_one, enter, weight_and_bias};
use crate::functional::IntoInput;
use crate::{Error, Layout, functional, module};

/// x·weight + bias over the last axis, with weight `[in, out]` and, unless taken away, bias `[out]`.
#[derive(Clone, Debug)]
pub struct Linear<T: Real = f32> {
    /// `[in, out]`
    pub weight: Parameter<T>,
    /// `[out]`
    pub bias: Option<Parameter<T>>,
}

impl<T: Real> Linear<T> {
    /// Weight and bias uniform in ±1/√in, as PyTorch's.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(
        in_features: usize,
        out_features: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self, Error> {
        at_least_one("in_features", in_features)?;
        at_least_one("out_features", out_features)?;
        let (weight, bias) = weight_and_bias(Layout::Linear, [in_features, out_features], rng);
        Ok(Self { weight, bias })
    }

    /// Without a bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// See [`functional::linear`].
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        let x = x.into_input().into_var();
        let tape = x.tape();
        functional::linear(x, tape.parameter(&self.weight), enter(tape, self.bias.as_ref()))
    }
}

module! { impl<T: Real> Module<T> for Linear<T> { weight: Linear, bias } }
