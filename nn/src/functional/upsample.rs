//! Upsampling by whole factors.

use autograd::{Backward, Function, Real, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::resampling::Resampling;
use crate::kernels::resample::Taps;

/// How voxels between the old ones are filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpsampleMode {
    /// Each voxel is repeated.
    Nearest,
    /// Linear along each axis, `align_corners=false`: output o lies at (o + ½)/factor − ½, clamped to the grid.
    Trilinear,
}

/// x `[n, d, h, w, c]` → y `[n, d·fd, h·fh, w·fw, c]`. Nothing is saved: the operation is linear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upsample {
    /// The factors along d, h, w.
    pub factors: [usize; 3],
    /// Nearest or trilinear.
    pub mode: UpsampleMode,
}

/// `x` on a finer grid: see [`Upsample`].
///
/// # Panics
/// If a factor is 0, or `x` has not five axes.
#[track_caller]
pub fn upsample<T: Real>(x: Var<'_, T>, factors: [usize; 3], mode: UpsampleMode) -> Var<'_, T> {
    x.value().dims5();
    assert!(!factors.contains(&0), "upsample: a factor is 0 in {factors:?} (d, h, w): use at least 1");
    x.tape().apply(Upsample { factors, mode }, [x])
}

impl<T: Real> Function<T, 1> for Upsample {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Resampling<T>) {
        let [_, d, h, w, _] = x.dims5();
        let taps = match self.mode {
            UpsampleMode::Nearest => Taps::nearest,
            UpsampleMode::Trilinear => Taps::linear,
        };
        let resampling = Resampling::new(|a| taps([d, h, w][a], self.factors[a]));
        (resampling.of(x), resampling)
    }
}

impl<T: Real> Backward<T, 1> for Upsample {
    type Saved = Resampling<T>;

    fn backward(&self, resampling: Resampling<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(resampling.transposed().of(&dy))]
    }
}
