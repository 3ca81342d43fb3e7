//! Soft Dice, and generalised Dice, whose classes weigh the less the larger they are.

use crate::Error;
use crate::region::{Overlap, Region, Slope, Sums};

/// 1 − (2·TP + s) / (2·TP + FP + FN + s), s the smoothing: the score of [`Dice`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiceScore {
    smooth: f64,
}

/// The soft Dice loss, for each class of each sample (see [`Region`] for shapes and the common settings).
///
/// L = 1 − (2·Σ p·y + s) / (Σ p + Σ y + s), s = 1e-5
///
/// It looks at overlap alone, so the many negatives do not count, and its probabilities are not calibrated. Where a
/// sample holds nothing of a class, the loss is Σp/(Σp + s): near 1 unless nothing is predicted, with a gradient that
/// hardly tells where; [`batch`](Region::batch) helps. 0 is a perfect overlap.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use losses::{Dice, Labels, Loss};
///
/// let tape = Tape::train(0);
/// let logits = tape.variable(Tensor::<f32>::zeros([1, 4, 1])); // σ = ½
/// let loss = Dice::new().forward(&logits, &Labels::from_vec([1, 4], vec![1u8, 1, 0, 0]))?;
/// assert!((loss.item() - 0.5).abs() < 1e-5); // 1 − 2·1/(2 + 2)
/// # Ok::<(), losses::Error>(())
/// ```
///
/// # Source
/// Milletari et al. 2016, "V-Net" (with [`squared`](Dice::squared)); the smoothing is MONAI's.
pub type Dice = Region<DiceScore>;

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

impl Dice {
    /// Smoothing 1e-5, sigmoid, mean over classes and samples.
    pub fn new() -> Self {
        Self::of(DiceScore { smooth: 1e-5 })
    }

    /// s, in voxels, at least 0. With 0, a region that is empty in truth and prediction has loss 0.
    pub fn smooth(mut self, smooth: f64) -> Self {
        self.score.smooth = smooth;
        self
    }

    /// Whether the denominator has Σ p² + Σ y².
    pub fn squared(mut self, squared: bool) -> Self {
        self.squared = squared;
        self
    }
}

pub(crate) fn check_smooth(smooth: f64) -> Result<(), Error> {
    if smooth.is_finite() && smooth >= 0.0 {
        return Ok(());
    }
    Err(Error::Setting { name: "smooth", value: smooth, range: "finite and at least 0" })
}

/// One loss and slope per class; classes without voxels are left out.
pub(crate) fn each_class(
    classes: &[Sums],
    loss: impl Fn(&Sums) -> (f64, Slope),
) -> (Vec<Option<f64>>, Vec<Slope>) {
    let of = |sums: &Sums| match sums.voxels > 0.0 {
        true => {
            let (loss, slope) = loss(sums);
            (Some(loss), slope)
        }
        false => (None, Slope::default()),
    };
    classes.iter().map(of).unzip()
}

impl Overlap for DiceScore {
    const NAME: &'static str = "Dice";
    const JOINT: bool = false;

    fn check(&self) -> Result<(), Error> {
        check_smooth(self.smooth)
    }

    fn losses(&self, classes: &[Sums]) -> (Vec<Option<f64>>, Vec<Slope>) {
        each_class(classes, |sums| {
            let numerator = 2.0 * sums.overlap + self.smooth;
            let denominator = sums.predicted + sums.truth + self.smooth;
            if denominator == 0.0 {
                return (0.0, Slope::default());
            }
            let score = numerator / denominator;
            (1.0 - score, Slope { overlap: -2.0 / denominator, predicted: score / denominator })
        })
    }
}

/// 1 − (2·Σ w·TP + s) / (Σ w·(2·TP + FP + FN) + s) with w = 1/(Σ y)²: the score of [`GeneralisedDice`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneralisedDiceScore {
    smooth: f64,
}

/// The generalised Dice loss: one number for all classes of a sample, small classes weighing as much as large ones.
///
/// L = 1 − 2·Σ_c w_c·Σ p·y / Σ_c w_c·(Σ p + Σ y), w_c = 1/(Σ y)²
///
/// A class that is absent from the ground truth is left out, and so is a sample without any class. There is no
/// smoothing by default: the denominator is never 0, and any fixed s would outweigh the sums, which are of the size
/// of 1/Σy. See [`Region`] for shapes and the common settings.
///
/// # Source
/// Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function", eq. 3.
pub type GeneralisedDice = Region<GeneralisedDiceScore>;

impl Default for GeneralisedDice {
    fn default() -> Self {
        Self::new()
    }
}

impl GeneralisedDice {
    /// No smoothing, sigmoid, mean over samples.
    pub fn new() -> Self {
        Self::of(GeneralisedDiceScore { smooth: 0.0 })
    }

    /// s, at least 0.
    pub fn smooth(mut self, smooth: f64) -> Self {
        self.score.smooth = smooth;
        self
    }
}

impl Overlap for GeneralisedDiceScore {
    const NAME: &'static str = "GeneralisedDice";
    const JOINT: bool = true;

    fn check(&self) -> Result<(), Error> {
        check_smooth(self.smooth)
    }

    fn losses(&self, classes: &[Sums]) -> (Vec<Option<f64>>, Vec<Slope>) {
        let weight = |sums: &Sums| if sums.truth > 0.0 { 1.0 / (sums.truth * sums.truth) } else { 0.0 };
        if classes.iter().all(|sums| weight(sums) == 0.0) {
            return (vec![None], vec![Slope::default(); classes.len()]);
        }
        let total = |f: fn(&Sums) -> f64| classes.iter().map(|sums| weight(sums) * f(sums)).sum::<f64>();
        let numerator = 2.0 * total(|sums| sums.overlap) + self.smooth;
        let denominator = total(|sums| sums.predicted + sums.truth) + self.smooth;
        let score = numerator / denominator;
        let slope = |sums: &Sums| {
            let share = weight(sums) / denominator;
            Slope { overlap: -2.0 * share, predicted: score * share }
        };
        (vec![Some(1.0 - score)], classes.iter().map(slope).collect())
    }
}
