//! Deep supervision: a loss at several resolutions.

use autograd::{Real, Var};

use crate::{Error, Labels, Loss, Report, Target, combined};

/// Σ wᵢ·Lᵢ over the scales of a decoder, the finest first, with wᵢ proportional to 2⁻ⁱ and Σ wᵢ = 1.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use losses::{BceWithLogits, DeepSupervision, Labels};
///
/// let tape = Tape::train(0);
/// let fine = tape.variable(Tensor::<f32>::zeros([1, 4, 4, 4, 1]));
/// let coarse = tape.variable(Tensor::<f32>::zeros([1, 2, 2, 2, 1]));
/// let labels = Labels::from_fn([1, 4, 4, 4], |i| i32::from(i > 40));
/// let deep = DeepSupervision::new(BceWithLogits::new());
/// let loss = deep.forward(&[fine, coarse], &labels)?;
/// assert!((loss.item() - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), losses::Error>(())
/// ```
///
/// # Source
/// The weights are nnU-Net's (Isensee et al. 2021), which leaves the coarsest scale out: pass those that count.
#[derive(Clone, Debug)]
pub struct DeepSupervision<L> {
    loss: L,
    weights: Option<Vec<f64>>,
}

impl<L> DeepSupervision<L> {
    /// This loss at every scale.
    pub fn new(loss: L) -> Self {
        Self { loss, weights: None }
    }

    /// Other weights, finest first, finite, at least 0, not all 0; they are normalised.
    pub fn weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.weights = Some(weights.into());
        self
    }

    /// The loss, with labels at the finest scale; those of the others are resampled, the nearest label being taken.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn forward<'t, T: Real>(&self, logits: &[Var<'t, T>], labels: &Labels) -> Result<Var<'t, T>, Error>
    where
        L: Loss<T>,
    {
        let targets = logits.iter().map(|x| at_scale(x, labels)).collect::<Result<Vec<_>, _>>()?;
        let targets: Vec<_> = targets.iter().map(Target::Labels).collect();
        Ok(self.report(logits, &targets)?.loss)
    }

    /// The loss with a target for each scale, and what the finest scale was taken over.
    ///
    /// # Errors
    /// If there are as many targets as logits, or weights, of more or less scales, or of none; if the weights cannot
    /// be normalised; and those of the loss.
    pub fn report<'t, T: Real>(
        &self,
        logits: &[Var<'t, T>],
        targets: &[Target<'_, T>],
    ) -> Result<Report<'t, T>, Error>
    where
        L: Loss<T>,
    {
        if logits.len() != targets.len() {
            let (x, y) = (logits.len(), targets.len());
            return Err(Error::Parts(format!("deep supervision of {x} scales with targets for {y}")));
        }
        let weights = self.normalised(logits.len())?;
        let mut parts = Vec::with_capacity(logits.len());
        for ((x, &target), weight) in logits.iter().zip(targets).zip(weights) {
            parts.push((weight, self.loss.report(x, target)?));
        }
        combined::sum(parts)
    }

    /// The weights of `scales` scales; their sum is 1.
    fn normalised(&self, scales: usize) -> Result<Vec<f64>, Error> {
        let weights = match &self.weights {
            Some(weights) if weights.len() != scales => {
                let reason = format!("deep supervision of {scales} scales with {} weights", weights.len());
                return Err(Error::Parts(reason));
            }
            Some(weights) => weights.clone(),
            None => (0..scales as i32).map(|i| 0.5f64.powi(i)).collect(),
        };
        let sum: f64 = weights.iter().sum();
        let sound = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && sum.is_finite() && sum > 0.0;
        if !sound {
            let reason = format!(
                "deep supervision with weights {weights:?}: one or more, finite, at least 0, not all 0"
            );
            return Err(Error::Parts(reason));
        }
        Ok(weights.into_iter().map(|w| w / sum).collect())
    }
}

/// Labels resampled to the voxels of logits; with a trailing axis of one class if they have it.
fn at_scale<T: Real>(logits: &Var<'_, T>, labels: &Labels) -> Result<Labels, Error> {
    let shape = logits.shape();
    let (rank, finest) = (shape.rank(), labels.shape());
    let fits = rank > 1
        && (finest.rank() + 1 == rank || (finest.rank() == rank && finest.channels() == 1))
        && finest.first() == shape.first();
    if !fits {
        return Err(Error::TargetShape {
            logits: shape.dims().to_vec(),
            target: finest.dims().to_vec(),
            remedy: "deep supervision takes labels [n, ...] of the finest scale, for the same samples".into(),
        });
    }
    let mut dims = shape.dims()[..rank - 1].to_vec();
    if finest.rank() == rank {
        dims.push(1);
    }
    Ok(labels.resample_nearest(dims.as_slice()))
}
