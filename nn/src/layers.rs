//! Layers: parameters with an operation, named as in PyTorch.
//!
//! Each has `forward(&self, x)`, channels last, and implements [`Module`](crate::Module). Most give a [`Var`]; a norm gives
//! an [`Input`](crate::functional::Input), for whatever comes next to compute as it reads. Whether a layer trains is the
//! tape's to say, and so are the random numbers.

mod conv;
mod linear;
mod norm;
mod sequential;
mod simple;

pub use crate::functional::Activation;
pub use conv::{Conv3d, ConvTranspose3d};
pub use linear::Linear;
pub use norm::{NormAct, RunningStats};
pub use sequential::{Layer, Sequential};
pub use simple::{AvgPool3d, Dropout, MaxPool3d, Upsample};

use autograd::{Parameter, Real, Shape, Tape, Var};
use rand::Rng;

use crate::init::{Init, pytorch_bias};
use crate::{Error, Layout};

/// An optional parameter on a tape.
fn enter<'t, T: Real>(tape: &'t Tape<T>, parameter: Option<&Parameter<T>>) -> Option<Var<'t, T>> {
    parameter.map(|p| tape.parameter(p))
}

/// A weight as PyTorch's layers start with it, uniform in ±1/√fan_in, and its bias of as many channels.
fn weight_and_bias<T: Real>(
    layout: Layout,
    shape: impl Into<Shape>,
    rng: &mut (impl Rng + ?Sized),
) -> (Parameter<T>, Option<Parameter<T>>) {
    let shape = shape.into();
    let weight = Init::PytorchDefault.weight(layout, shape, rng);
    let bias = pytorch_bias(shape.channels(), layout, shape, rng);
    (Parameter::new(weight), Some(Parameter::new(bias)))
}

/// Refuses a count of zero.
fn at_least_one(name: &'static str, value: usize) -> Result<(), Error> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::Setting { name, message: "0 is too few: use at least 1".into() })
}

/// Refuses a zero along an axis.
fn each_at_least_one(name: &'static str, values: [usize; 3]) -> Result<(), Error> {
    if !values.contains(&0) {
        return Ok(());
    }
    Err(Error::Setting {
        name,
        message: format!("{values:?} (d, h, w) has a 0: use at least 1 along each axis"),
    })
}
