//! Activations as scalar functions with their derivatives, for passes that apply one on the way.
//!
//! As operations of their own they are methods of [`Var`](autograd::Var).

use autograd::Real;
use autograd::simd::{Isa, Job, Simd, dispatch_on};
use serde::{Deserialize, Serialize};

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
///
/// At ±∞, at the kinks and for NaN each is what the method of [`Var`](autograd::Var) is, wherever it is applied: as an
/// operation, by a normalisation, or by a convolution as it reads.
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

impl Activation {
    /// The slope left of 0, where the activation is max(slope·z, z) with a slope in [0, 1].
    pub(crate) fn leak<T: Real>(self) -> Option<T> {
        match self {
            Self::Identity => Some(T::ONE),
            Self::Relu => Some(T::ZERO),
            Self::LeakyRelu { slope } if (0.0..=1.0).contains(&slope) => Some(T::from_f64(slope)),
            _ => None,
        }
    }

    /// Runs `pass`, which is compiled for each activation, on the set `isa`.
    pub(crate) fn run<T: Real, P: Pass<T>>(self, isa: Isa, pass: P) {
        match self {
            Self::Identity => dispatch_on(isa, WithAct { act: Identity, pass }),
            Self::Relu => dispatch_on(isa, WithAct { act: Leaky::new(T::ZERO), pass }),
            Self::LeakyRelu { slope } => {
                let act = Leaky::new(T::from_f64(slope));
                dispatch_on(isa, WithAct { act, pass });
            }
            Self::Elu { alpha } => dispatch_on(isa, WithAct { act: Elu(T::from_f64(alpha)), pass }),
            Self::Gelu => dispatch_on(isa, WithAct { act: Gelu, pass }),
            Self::Silu => dispatch_on(isa, WithAct { act: Silu, pass }),
        }
    }
}

/// A pass over a slab that applies an activation on the way; see [`Activation::run`].
pub(crate) trait Pass<T: Real> {
    /// The loop. Must be `#[inline(always)]`, as must be each generic function it calls.
    fn run<A: Act<T>>(self, act: A);
}

struct WithAct<A, P> {
    act: A,
    pass: P,
}

impl<T: Real, A: Act<T>, P: Pass<T>> Job<T> for WithAct<A, P> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        self.pass.run(self.act);
    }
}

/// A function of one number. The methods must be `#[inline(always)]`: they end up inside vector loops.
pub(crate) trait Act<T: Real>: Copy + Send + Sync {
    /// act(z)
    fn value(self, z: T) -> T;
    /// act′(z)
    fn slope(self, z: T) -> T;
}

/// z
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl<T: Real> Act<T> for Identity {
    #[inline(always)]
    fn value(self, z: T) -> T {
        z
    }
    #[inline(always)]
    fn slope(self, _: T) -> T {
        T::ONE
    }
}

/// z for z > 0, else slope·z; the derivative at 0 is the slope, as in PyTorch. A slope of 0 is ReLU, which is 0 at −∞.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaky<T> {
    slope: T,
    floor: T,
}

impl<T: Real> Leaky<T> {
    #[inline(always)]
    pub(crate) fn new(slope: T) -> Self {
        Self { slope, floor: if slope == T::ZERO { T::ZERO } else { T::NEG_INFINITY } }
    }

    /// The slope left of 0.
    #[inline(always)]
    pub(crate) fn slope_below_zero(self) -> T {
        self.slope
    }

    /// No value is below: what stands in the place of 0·∞.
    #[inline(always)]
    pub(crate) fn floor(self) -> T {
        self.floor
    }
}

impl<T: Real> Act<T> for Leaky<T> {
    #[inline(always)]
    fn value(self, z: T) -> T {
        let low = self.slope * z;
        let low = if low > self.floor { low } else { self.floor };
        if z <= T::ZERO { low } else { z }
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        if z <= T::ZERO { self.slope } else { T::ONE }
    }
}

/// z for z > 0, else α·(e^z − 1). Source: Clevert et al. 2015.
#[derive(Clone, Copy)]
pub(crate) struct Elu<T>(T);

impl<T: Real> Act<T> for Elu<T> {
    #[inline(always)]
    fn value(self, z: T) -> T {
        if z <= T::ZERO { self.0 * z.exp_m1() } else { z }
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        if z <= T::ZERO { self.0 * z.exp() } else { T::ONE }
    }
}

/// z·Φ(z), Φ being the normal distribution function (by erf, not by tanh). Source: Hendrycks and Gimpel 2016.
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

#[inline(always)]
fn phi<T: Real>(z: T) -> T {
    T::from_f64(0.5) * (T::ONE + (z * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

impl<T: Real> Act<T> for Gelu {
    #[inline(always)]
    fn value(self, z: T) -> T {
        z * phi(z)
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        // 1/√(2π)
        let density = T::from_f64(0.398_942_280_401_432_7) * (-T::from_f64(0.5) * z * z).exp();
        phi(z) + z * density
    }
}

/// z·σ(z), also called swish. Source: Elfwing et al. 2017.
#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl<T: Real> Act<T> for Silu {
    #[inline(always)]
    fn value(self, z: T) -> T {
        z * z.sigmoid()
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        let s = z.sigmoid();
        s * (T::ONE + z * (T::ONE - s))
    }
}
