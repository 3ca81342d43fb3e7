//! What weights hold before training.
//!
//! The scale of a random weight is chosen by its *fans*, the number of terms that meet in an output (`fan_in`) and in
//! an input's gradient (`fan_out`), so that neither activations nor gradients grow or shrink with depth. Numbers are
//! drawn in `f64` in memory order from the generator that is passed in and then rounded, so that a seed gives the
//! same model, up to rounding, in both precisions.

use std::f64::consts::TAU;

use autograd::{Real, Shape, Tensor};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{Error, Layout};

/// How many terms meet at each end of a weight.
///
/// | layout | shape here | `fan_in` | `fan_out` |
/// |---|---|---|---|
/// | [`Layout::Conv`] | `[kd, kh, kw, ci, co]` | ci·kd·kh·kw | co·kd·kh·kw |
/// | [`Layout::ConvTranspose`] | `[kd, kh, kw, ci, co]` | co·kd·kh·kw | ci·kd·kh·kw |
/// | [`Layout::Linear`] | `[in, out]` | in | out |
/// | [`Layout::Plain`] | `[c]` | c | c |
///
/// For a transposed convolution these are PyTorch's, which counts its weight `[ci, co, kd, kh, kw]` as if it were a
/// convolution's: the names are swapped with respect to what flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fans {
    /// Terms in an output.
    pub fan_in: usize,
    /// Terms in the gradient of an input.
    pub fan_out: usize,
}

impl Fans {
    /// The fans of a weight of this layout and shape (ours, not PyTorch's).
    ///
    /// # Panics
    /// If the shape has not the layout's rank, or a plain shape has not one axis.
    #[track_caller]
    pub fn of(layout: Layout, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let (fan_in, fan_out) = match (layout, shape.dims()) {
            (Layout::Conv, &[kd, kh, kw, ci, co]) => (ci * kd * kh * kw, co * kd * kh * kw),
            (Layout::ConvTranspose, &[kd, kh, kw, ci, co]) => (co * kd * kh * kw, ci * kd * kh * kw),
            (Layout::Linear, &[inputs, outputs]) => (inputs, outputs),
            (Layout::Plain, &[channels]) => (channels, channels),
            _ => panic!("a weight of layout {layout:?} has no fans with shape {shape}"),
        };
        Self { fan_in, fan_out }
    }

    fn get(self, mode: FanMode) -> f64 {
        (match mode {
            FanMode::FanIn => self.fan_in,
            FanMode::FanOut => self.fan_out,
        }) as f64
    }
}

/// Which variance a Kaiming initialisation keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanMode {
    /// That of activations, forward.
    #[default]
    FanIn,
    /// That of gradients, backward.
    FanOut,
}

/// A way to fill a weight.
///
/// | variant | distribution |
/// |---|---|
/// | `KaimingUniform` | uniform in ±√3·gain/√fan, gain = √(2 / (1 + slope²)) |
/// | `KaimingNormal` | normal, σ = gain/√fan |
/// | `XavierUniform` | uniform in ±gain·√(6 / (fan_in + fan_out)) |
/// | `XavierNormal` | normal, σ = gain·√(2 / (fan_in + fan_out)) |
/// | `PytorchDefault` | uniform in ±1/√fan_in: Kaiming uniform with slope √5, what PyTorch's layers do |
/// | `Constant` | one value |
///
/// # Source
/// He et al. 2015, <https://arxiv.org/abs/1502.01852>, eq. 10, 14 and 15; Glorot & Bengio 2010,
/// <https://proceedings.mlr.press/v9/glorot10a.html>, eq. 12 and 16; `torch.nn.init`.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// For layers before a (leaky) ReLU.
    KaimingUniform {
        /// Which fan.
        #[serde(default)]
        mode: FanMode,
        /// The leaky ReLU's slope for negative inputs; 0 for ReLU, 1 for no activation.
        #[serde(default)]
        negative_slope: f64,
    },
    /// For layers before a (leaky) ReLU.
    KaimingNormal {
        /// Which fan.
        #[serde(default)]
        mode: FanMode,
        /// The leaky ReLU's slope for negative inputs; 0 for ReLU, 1 for no activation.
        #[serde(default)]
        negative_slope: f64,
    },
    /// For layers before a symmetric activation, or none.
    XavierUniform {
        /// A factor, 1 for the plain form; 5/3 before tanh.
        #[serde(default = "one")]
        gain: f64,
    },
    /// For layers before a symmetric activation, or none.
    XavierNormal {
        /// A factor, 1 for the plain form; 5/3 before tanh.
        #[serde(default = "one")]
        gain: f64,
    },
    /// What PyTorch's layers start with.
    #[default]
    PytorchDefault,
    /// The same value everywhere.
    Constant {
        /// The value.
        value: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl Init {
    /// A weight of this layout and shape (ours, not PyTorch's).
    ///
    /// ```
    /// use autograd::Tensor;
    /// use nn::{Layout, init::Init};
    /// use rand::{SeedableRng, rngs::ChaCha8Rng};
    ///
    /// let mut rng = ChaCha8Rng::seed_from_u64(7);
    /// let weight: Tensor<f32> = Init::PytorchDefault.weight(Layout::Conv, [3, 3, 3, 4, 8], &mut rng);
    /// let bound = 1.0 / (4.0 * 27.0f32).sqrt();
    /// assert!(weight.data().iter().all(|w| w.abs() <= bound));
    /// ```
    ///
    /// # Panics
    /// If the shape has not the layout's rank, or a fan that the variant divides by is 0.
    #[track_caller]
    pub fn weight<T: Real>(
        self,
        layout: Layout,
        shape: impl Into<Shape>,
        rng: &mut (impl Rng + ?Sized),
    ) -> Tensor<T> {
        let shape = shape.into();
        if let Self::Constant { value } = self {
            return Tensor::full(shape, T::from_f64(value));
        }
        let fans = Fans::of(layout, shape);
        assert!(fans.fan_in > 0 && fans.fan_out > 0, "a weight of shape {shape} connects nothing");
        let both = (fans.fan_in + fans.fan_out) as f64;
        match self {
            Self::KaimingUniform { mode, negative_slope } => {
                uniform(shape, kaiming_gain(negative_slope) * (3.0 / fans.get(mode)).sqrt(), rng)
            }
            Self::KaimingNormal { mode, negative_slope } => {
                normal(shape, kaiming_gain(negative_slope) / fans.get(mode).sqrt(), rng)
            }
            Self::XavierUniform { gain } => uniform(shape, gain * (6.0 / both).sqrt(), rng),
            Self::XavierNormal { gain } => normal(shape, gain * (2.0 / both).sqrt(), rng),
            Self::PytorchDefault => uniform(shape, 1.0 / fans.get(FanMode::FanIn).sqrt(), rng),
            Self::Constant { .. } => unreachable!("returned above"),
        }
    }
}

/// √(2 / (1 + slope²)): what a leaky ReLU takes from the variance is given back.
pub fn kaiming_gain(negative_slope: f64) -> f64 {
    (2.0 / (1.0 + negative_slope * negative_slope)).sqrt()
}

/// PyTorch's bias of a layer whose weight has this layout and shape: uniform in ±1/√fan_in.
///
/// # Panics
/// If the shape has not the layout's rank, or `fan_in` is 0.
#[track_caller]
pub fn pytorch_bias<T: Real>(
    channels: usize,
    layout: Layout,
    weight_shape: impl Into<Shape>,
    rng: &mut (impl Rng + ?Sized),
) -> Tensor<T> {
    let fan_in = Fans::of(layout, weight_shape).fan_in;
    assert!(fan_in > 0, "a weight without inputs has no bias");
    uniform([channels], 1.0 / (fan_in as f64).sqrt(), rng)
}

/// The bias with which a sigmoid starts at probability π everywhere: ln(π / (1 − π)).
///
/// With few foreground voxels the first steps then do not go into learning that most voxels are background.
///
/// # Errors
/// Unless 0 < π < 1.
///
/// # Source
/// Lin et al. 2017, <https://arxiv.org/abs/1708.02002>, section 4.1 ("Initialization").
pub fn prior_bias(prior: f64) -> Result<f64, Error> {
    if prior > 0.0 && prior < 1.0 {
        return Ok((prior / (1.0 - prior)).ln());
    }
    Err(Error::Setting {
        name: "foreground prior",
        message: format!(
            "{prior} is no probability between 0 and 1; take the foreground's share of the voxels"
        ),
    })
}

/// Independent numbers, uniform in [−`bound`, `bound`).
pub fn uniform<T: Real>(shape: impl Into<Shape>, bound: f64, rng: &mut (impl Rng + ?Sized)) -> Tensor<T> {
    Tensor::from_fn(shape, |_| T::from_f64(bound * (2.0 * rng.random::<f64>() - 1.0)))
}

/// Independent normal numbers of mean 0 and standard deviation `std`.
///
/// # Source
/// Box & Muller 1958, <https://doi.org/10.1214/aoms/1177706645>: √(−2 ln u) cos 2πv and its sine.
pub fn normal<T: Real>(shape: impl Into<Shape>, std: f64, rng: &mut (impl Rng + ?Sized)) -> Tensor<T> {
    let mut second = None;
    Tensor::from_fn(shape, |_| {
        let z = second.take().unwrap_or_else(|| {
            let u = 1.0 - rng.random::<f64>(); // in (0, 1]: its logarithm is finite
            let (sin, cos) = (TAU * rng.random::<f64>()).sin_cos();
            let radius = (-2.0 * u.ln()).sqrt();
            second = Some(radius * sin);
            radius * cos
        });
        T::from_f64(std * z)
    })
}

#[cfg(test)]
mod tests;
