//! Activations as scalar functions with their derivatives, for passes that apply one on the way.

use autograd::Real;

/// A function of one number. The methods must be `#[inline(always)]`: they end up inside vector loops.
pub trait Act<T: Real>: Copy + Send + Sync {
    /// act(z)
    fn value(self, z: T) -> T;
    /// act′(z)
    fn slope(self, z: T) -> T;
}

/// z
#[derive(Clone, Copy, Debug)]
pub struct Identity;

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

/// z for z > 0, else slope·z; the derivative at 0 is the slope, as in PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Leaky<T>(pub T);

impl<T: Real> Act<T> for Leaky<T> {
    #[inline(always)]
    fn value(self, z: T) -> T {
        if z > T::ZERO { z } else { self.0 * z }
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        if z > T::ZERO { T::ONE } else { self.0 }
    }
}

/// z for z > 0, else α·(e^z − 1). Source: Clevert et al. 2015.
#[derive(Clone, Copy, Debug)]
pub struct Elu<T>(pub T);

impl<T: Real> Act<T> for Elu<T> {
    #[inline(always)]
    fn value(self, z: T) -> T {
        if z > T::ZERO { z } else { self.0 * z.exp_m1() }
    }
    #[inline(always)]
    fn slope(self, z: T) -> T {
        if z > T::ZERO { T::ONE } else { self.0 * z.exp() }
    }
}

/// z·Φ(z), Φ being the normal distribution function (by erf, not by tanh). Source: Hendrycks and Gimpel 2016.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

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
#[derive(Clone, Copy, Debug)]
pub struct Silu;

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
