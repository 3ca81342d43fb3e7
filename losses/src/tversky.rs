//! The Tversky index, Dice with a price each on false positives and false negatives, and its focal form.

use crate::Error;
use crate::dice::{check_smooth, each_class};
use crate::region::{Overlap, Region, Slope, Sums};

/// (1 − TI)^γ with TI = (TP + s) / (TP + α·FP + β·FN + s): the score of [`Tversky`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TverskyScore {
    alpha: f64,
    beta: f64,
    gamma: f64,
    smooth: f64,
}

/// The Tversky loss, for each class of each sample (see [`Region`] for shapes and the common settings).
///
/// L = (1 − TI)^γ, TI = (TP + s) / (TP + α·FP + β·FN + s), s = 1e-5
///
/// with TP = Σ p·y, FP = Σ p·(1−y), FN = Σ (1−p)·y. β > α asks for recall. α = β = ½ with smoothing s/2 is
/// [`Dice`](crate::Dice) with s. γ > 1 (1 by default) makes regions that overlap badly count more.
///
/// # Source
/// Salehi et al. 2017, "Tversky loss function for image segmentation". γ is that of Abraham and Khan 2019, "A novel
/// focal Tversky loss function", who write it as 1/γ.
pub type Tversky = Region<TverskyScore>;

impl Tversky {
    /// α on false positives and β on false negatives, each at least 0, not both 0.
    pub fn new(alpha: f64, beta: f64) -> Self {
        Self::of(TverskyScore { alpha, beta, gamma: 1.0, smooth: 1e-5 })
    }

    /// γ, at least 1.
    pub fn focal(mut self, gamma: f64) -> Self {
        self.score.gamma = gamma;
        self
    }

    /// s, in voxels, at least 0.
    pub fn smooth(mut self, smooth: f64) -> Self {
        self.score.smooth = smooth;
        self
    }
}

impl Overlap for TverskyScore {
    const NAME: &'static str = "Tversky";
    const JOINT: bool = false;

    fn check(&self) -> Result<(), Error> {
        check_smooth(self.smooth)?;
        let sound = |v: f64| v.is_finite() && v >= 0.0;
        for (name, value) in [("alpha of Tversky", self.alpha), ("beta of Tversky", self.beta)] {
            if !sound(value) {
                return Err(Error::Setting { name, value, range: "finite and at least 0" });
            }
        }
        if self.alpha + self.beta == 0.0 {
            let range = "above 0, or every overlap is perfect";
            return Err(Error::Setting { name: "alpha + beta of Tversky", value: 0.0, range });
        }
        if !(self.gamma.is_finite() && self.gamma >= 1.0) {
            let range = "finite and at least 1 (below, the slope at a perfect overlap is infinite)";
            return Err(Error::Setting { name: "gamma of focal Tversky", value: self.gamma, range });
        }
        Ok(())
    }

    fn losses(&self, classes: &[Sums]) -> (Vec<Option<f64>>, Vec<Slope>) {
        let Self { alpha, beta, gamma, smooth } = *self;
        each_class(classes, |sums| {
            let (fp, fn_) = (sums.predicted - sums.overlap, sums.truth - sums.overlap);
            let numerator = sums.overlap + smooth;
            let denominator = sums.overlap + alpha * fp + beta * fn_ + smooth;
            if denominator == 0.0 {
                return (0.0, Slope::default());
            }
            // ∂denominator/∂overlap with predicted and truth fixed is 1 − α − β.
            let score = numerator / denominator;
            let overlap = (1.0 - score * (1.0 - alpha - beta)) / denominator;
            let predicted = -score * alpha / denominator;
            // Rounding may carry a perfect overlap below 0, where a power is NaN.
            let missing = (1.0 - score).max(0.0);
            let steep = -gamma * missing.powf(gamma - 1.0);
            (missing.powf(gamma), Slope { overlap: steep * overlap, predicted: steep * predicted })
        })
    }
}
