//! Sums of losses.

use autograd::{Real, Var};

use crate::{BceWithLogits, CrossEntropy, Dice, Error, Loss, Report, Target};

/// Σ factor·loss over several losses of the same logits and target.
///
/// ```
/// use losses::{BceWithLogits, Combined, Tversky};
///
/// let loss: Combined = Combined::new().and(0.5, BceWithLogits::new()).and(0.5, Tversky::new(0.3, 0.7));
/// ```
pub struct Combined<T: Real = f32> {
    parts: Vec<(f64, Box<dyn Loss<T>>)>,
}

impl<T: Real> Default for Combined<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Combined<T> {
    /// No loss yet.
    pub fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Adds `factor · loss`; the factor is finite and at least 0.
    pub fn and(mut self, factor: f64, loss: impl Loss<T> + 'static) -> Self {
        self.parts.push((factor, Box::new(loss)));
        self
    }
}

impl<T: Real> Loss<T> for Combined<T> {
    /// Counts are those of the part that saw the most voxels; it is empty where every part is.
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let mut reports = Vec::with_capacity(self.parts.len());
        for (factor, loss) in &self.parts {
            check_factor(*factor)?;
            reports.push((*factor, loss.report(logits, target)?));
        }
        sum(reports)
    }
}

fn check_factor(value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::Setting { name: "the factor of a part of a loss", value, range: "finite and at least 0" })
}

/// Σ factor·loss, and the counts of the part that saw the most.
pub(crate) fn sum<T: Real>(parts: Vec<(f64, Report<'_, T>)>) -> Result<Report<'_, T>, Error> {
    let mut sum: Option<Report<'_, T>> = None;
    for (factor, part) in parts {
        if part.loss.value().numel() != 1 {
            let shape = part.loss.shape();
            let reason = format!(
                "a part of a sum of losses has shape {shape}: only Reduction::None yields more than one number"
            );
            return Err(Error::Parts(reason));
        }
        let loss = part.loss * T::from_f64(factor);
        sum = Some(match sum {
            None => Report { loss, ..part },
            Some(sum) => Report {
                loss: sum.loss + loss,
                counted: sum.counted.max(part.counted),
                ignored: sum.ignored.max(part.ignored),
                normaliser: sum.normaliser.max(part.normaliser),
            },
        });
    }
    sum.ok_or_else(|| Error::Parts("a sum of no losses: add one with and()".into()))
}

/// Dice plus binary cross-entropy, both on the sigmoid: the usual loss for one rare class.
///
/// L = dice_factor·Dice + bce_factor·BCE, both 1 by default.
#[derive(Clone, Debug)]
pub struct DiceBce<T: Real = f32> {
    dice: Dice,
    bce: BceWithLogits<T>,
    factors: [f64; 2],
}

impl<T: Real> Default for DiceBce<T> {
    fn default() -> Self {
        Self::new(Dice::new(), BceWithLogits::new())
    }
}

impl<T: Real> DiceBce<T> {
    /// The sum of these.
    pub fn new(dice: Dice, bce: BceWithLogits<T>) -> Self {
        Self { dice, bce, factors: [1.0, 1.0] }
    }

    /// How much each counts.
    pub fn factors(mut self, dice: f64, bce: f64) -> Self {
        self.factors = [dice, bce];
        self
    }

    /// The label of voxels that take no part in either; none by default.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        let label = label.into();
        (self.dice, self.bce) = (self.dice.ignore_index(label), self.bce.ignore_index(label));
        self
    }
}

impl<T: Real> Loss<T> for DiceBce<T> {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        self.factors.iter().try_for_each(|&f| check_factor(f))?;
        let [dice, bce] = self.factors;
        sum(vec![(dice, self.dice.report(logits, target)?), (bce, self.bce.report(logits, target)?)])
    }
}

/// Dice plus cross-entropy, both on the softmax: the usual loss for several classes.
///
/// L = dice_factor·Dice + ce_factor·CE, both 1 by default. One class is an error: use [`DiceBce`].
///
/// # Source
/// Isensee et al. 2021, "nnU-Net".
#[derive(Clone, Debug)]
pub struct DiceCe {
    dice: Dice,
    cross_entropy: CrossEntropy,
    factors: [f64; 2],
}

impl Default for DiceCe {
    fn default() -> Self {
        Self::new(Dice::new(), CrossEntropy::new())
    }
}

impl DiceCe {
    /// The sum of these; the Dice part takes the softmax.
    pub fn new(dice: Dice, cross_entropy: CrossEntropy) -> Self {
        // What cross-entropy ignores by default, Dice has to ignore as well.
        Self { dice: dice.softmax(), cross_entropy, factors: [1.0, 1.0] }.ignore_index(-100)
    }

    /// How much each counts.
    pub fn factors(mut self, dice: f64, cross_entropy: f64) -> Self {
        self.factors = [dice, cross_entropy];
        self
    }

    /// The label of voxels that take no part in either; −100 by default, whatever the parts say.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        let label = label.into();
        self.dice = self.dice.ignore_index(label);
        self.cross_entropy = self.cross_entropy.ignore_index(label);
        self
    }
}

impl<T: Real> Loss<T> for DiceCe {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        if logits.value().channels() == 1 || logits.shape().rank() == 1 {
            return Err(Error::OneChannel { loss: "DiceCe", remedy: "DiceBce" });
        }
        self.factors.iter().try_for_each(|&f| check_factor(f))?;
        let [dice, ce] = self.factors;
        sum(vec![(dice, self.dice.report(logits, target)?), (ce, self.cross_entropy.report(logits, target)?)])
    }
}
