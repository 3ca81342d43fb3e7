//! The forward and the backward pass of a batch: all at once, or sample by sample in less memory.
//!
//! Each part of the batch has a tape of its own. The loss is taken once, of the logits of all parts, and its gradient is where
//! the backward pass of each part begins; the gradients of the parts are added in their order. So sums that run over the
//! batch, as those of a batch's Dice, are the batch's; and since operations compute each sample as if it were alone, no bit
//! depends on the division, nor on how many ranks share the batch: what each has to say of its samples is brought together in
//! the samples' order. Batch normalisation is the one operation that does not.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use autograd::{Gradients, NonFinite, Tape, Tensor, Var};
use losses::Labels;
use ranks::Ranks;
use unet3d::UNet3d;

use super::among::{Batch, GradientSum};
use crate::training::Objective;
use crate::{Error, Result};

/// What the two passes gave.
pub(crate) struct Passes {
    pub(super) loss: f64,
    /// Whether no voxel of the batch has a weight.
    pub(super) is_empty: bool,
    /// None where no voxel of the batch counts.
    pub(crate) gradients: Option<Gradients<f32>>,
    /// Where numbers first were not finite, of tapes that watched.
    pub(super) fault: Option<NonFinite>,
    /// Seconds that went by until the batch's sums were there, and from the end of the backward pass until its gradients were.
    pub(super) waited: [f64; 2],
}

/// How a batch is passed.
#[derive(Clone, Copy)]
pub(crate) struct PassSettings<'a> {
    /// One part in so many of the batch keeps its activations at a time.
    pub(crate) accumulate: usize,
    /// Of the random numbers of the step.
    pub(crate) key: u64,
    /// Whether every number is looked at.
    pub(crate) watched: bool,
    /// Who shares the batch.
    pub(crate) ranks: &'a Ranks,
    /// Samples of the whole batch.
    pub(crate) samples: usize,
}

impl PassSettings<'_> {
    /// The parts of this rank's samples that have tapes: all, or each.
    fn parts(&self, samples: usize) -> Vec<Range<usize>> {
        let of_part = if self.accumulate == 1 && self.ranks.is_alone() { samples } else { 1 };
        (0..samples).step_by(of_part).map(|first| first..first + of_part).collect()
    }

    /// A tape for samples from the `first` of this rank's on.
    fn tape(&self, first: usize) -> Tape<f32> {
        let first = self.ranks.share(self.samples).start + first;
        let tape = Tape::train(self.key).from_sample(first as u64);
        if self.watched {
            tape.watch();
        }
        tape
    }
}

impl Passes {
    /// Of the images `[n, d, h, w, c]` and labels `[n, d, h, w]` of a batch, or of this rank's samples of it. Loss and gradients
    /// are the batch's.
    ///
    /// # Errors
    /// If shapes do not fit, or a rank is lost.
    pub(crate) fn of(
        model: &UNet3d<f32>,
        objective: &Objective,
        settings: PassSettings<'_>,
        image: &Tensor<f32>,
        labels: &Labels,
    ) -> Result<Self> {
        let parts = settings.parts(image.dims()[0]);
        // The first parts keep what their backward pass needs, the others are passed forward again for theirs.
        let kept = parts.len().div_ceil(settings.accumulate);
        let tapes: Vec<Tape<f32>> = parts.iter().map(|part| settings.tape(part.start)).collect();
        let mut open: Vec<Option<Vec<Var<'_, f32>>>> = vec![None; parts.len()];
        let (mut logits, mut faults) = (vec![Vec::new(); parts.len()], vec![None; parts.len()]);
        for (i, part) in parts.iter().enumerate().rev() {
            if i < kept {
                let scales = forward(model, &tapes[i], image, part)?;
                logits[i] = scales.iter().map(|scale| scale.value().clone()).collect();
                open[i] = Some(scales);
                faults[i] = tapes[i].first_non_finite();
            } else {
                let tape = settings.tape(part.start);
                let scales = forward(model, &tape, image, part)?;
                logits[i] = scales.into_iter().map(Var::into_value).collect();
                faults[i] = tape.first_non_finite();
            }
        }

        let batch = Arc::new(Batch::new(settings.ranks));
        let tape = settings.tape(0);
        let tape = if settings.ranks.is_alone() { tape } else { tape.of_batch(batch.clone()) };
        let leaf = |scale| tape.variable(beside(&logits, scale));
        let scales: Vec<_> = (0..logits[0].len()).map(leaf).collect();
        drop(logits);
        let of_batch = objective.forward(&scales, labels);
        let (loss, is_empty) = of_batch.map_err(|e| settings.ranks.lost().map_or(e, Error::from))?;
        let value = f64::from(loss.item());
        let of_loss = (!loss.is_constant()).then(|| loss.backward());
        let mut fault = faults.into_iter().flatten().next().or(tape.first_non_finite());
        // None at a scale where no voxel counts.
        let seeds: Vec<Option<Tensor<f32>>> =
            scales.iter().map(|scale| of_loss.as_ref()?.wrt(scale).cloned()).collect();
        drop((scales, of_loss));

        let mut gradients = GradientSum::new(model, &settings);
        if seeds.iter().any(Option::is_some) {
            for ((part, tape), open) in parts.iter().zip(&tapes).zip(open) {
                let scales = open.map_or_else(|| forward(model, tape, image, part), Ok)?;
                let seeded = |(scale, seed): (_, &Option<_>)| Some((scale, rows(seed.as_ref()?, part)));
                gradients.watch(tape, part.start);
                let of_part = tape.backward_with(scales.into_iter().zip(&seeds).filter_map(seeded));
                fault = fault.or(tape.first_non_finite());
                gradients.add(of_part, part.start);
            }
        }
        let computed = Instant::now();
        let gradients = gradients.finish(model)?;
        let waited = [batch.seconds(), computed.elapsed().as_secs_f64()];
        Ok(Self { loss: value, is_empty, gradients, fault, waited })
    }
}

/// The logits of some samples, finest first.
fn forward<'t>(
    model: &UNet3d<f32>,
    tape: &'t Tape<f32>,
    image: &Tensor<f32>,
    part: &Range<usize>,
) -> Result<Vec<Var<'t, f32>>> {
    let image = tape.constant(rows(image, part));
    model.forward_scales(image).map_err(|e| Error::config("model", e.to_string()))
}

/// Samples of a tensor.
fn rows(all: &Tensor<f32>, part: &Range<usize>) -> Tensor<f32> {
    let mut dims = all.dims().to_vec();
    if part.len() == dims[0] {
        return all.clone();
    }
    let numbers = all.numel() / dims[0];
    dims[0] = part.len();
    Tensor::from_slice(dims.as_slice(), &all.data()[part.start * numbers..part.end * numbers])
}

/// One scale of the only part, or of all samples.
fn beside(parts: &[Vec<Tensor<f32>>], scale: usize) -> Tensor<f32> {
    if let [whole] = parts {
        return whole[scale].clone();
    }
    let sample = &parts[0][scale];
    let mut dims = sample.dims().to_vec();
    dims[0] = parts.len();
    let mut all = Tensor::scratch(dims.as_slice());
    for (place, part) in all.data_mut().chunks_exact_mut(sample.numel()).zip(parts) {
        place.copy_from_slice(part[scale].data());
    }
    all
}

#[cfg(test)]
mod tests {
    use nn::Module;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use unet3d::UNet3dConfig;

    use super::*;
    use crate::config::Config;
    use crate::dataset::IGNORE;
    use crate::run::Plan;

    /// Loss, emptiness and the gradients' bits.
    type Found = (f64, bool, Option<Vec<Vec<u32>>>);

    fn bits(model: &UNet3d<f32>, gradients: Option<&Gradients<f32>>) -> Option<Vec<Vec<u32>>> {
        let bits = |x: &Tensor<f32>| x.data().iter().map(|v| v.to_bits()).collect();
        let named = model.named_parameters();
        gradients.map(|gradients| named.iter().filter_map(|(_, p)| gradients.get(p)).map(bits).collect())
    }

    /// Of a batch of four patches whose labels are `label(voxel)`: on one tape from end to end, and by parts.
    fn found(set: &[&str], classes: usize, label: impl Fn(usize) -> u8) -> Vec<Found> {
        let set: Vec<String> = set.iter().map(|&pair| pair.to_owned()).collect();
        let config = Config::load(None, &set).unwrap();
        let model = UNet3dConfig {
            out_channels: if classes == 2 { 1 } else { classes },
            base_channels: 4,
            levels: 3,
            norm: config.model.norm,
            residual: config.model.residual,
            dropout: config.model.dropout,
            deep_supervision: config.model.deep_supervision,
            checkpointing: config.model.checkpointing,
            ..Default::default()
        };
        let (patch_size, [d, h, w]) = ([8, 16, 12], [8, 16, 12]);
        let plan = Plan { patch_size, model };
        let objective = Objective::of_counts(&config, &plan, vec![7; classes]).unwrap();
        let model = UNet3d::new(plan.model, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
        let image = Tensor::from_fn([4, d, h, w, 1], |i| (i * 7 % 113) as f32 / 60.0 - 1.0);
        let labels = Labels::from_vec([4, d, h, w], (0..4 * d * h * w).map(label).collect());
        let tape = Tape::train(9);
        let scales = model.forward_scales(tape.constant(image.clone())).unwrap();
        let (loss, is_empty) = objective.forward(&scales, &labels).unwrap();
        let value = f64::from(loss.item());
        let gradients = (!loss.is_constant()).then(|| loss.backward());
        let mut all = vec![(value, is_empty, bits(&model, gradients.as_ref()))];
        for accumulate in [1, 2, 4] {
            let ranks = Ranks::alone();
            let settings =
                PassSettings { accumulate, key: 9, watched: accumulate == 2, ranks: &ranks, samples: 4 };
            let passes = Passes::of(&model, &objective, settings, &image, &labels).unwrap();
            assert!(passes.fault.is_none());
            all.push((passes.loss, passes.is_empty, bits(&model, passes.gradients.as_ref())));
        }
        all
    }

    #[test]
    fn loss_and_gradients_of_a_batch_in_parts_are_those_of_one_tape() {
        let class = |classes: usize| move |i: usize| (i / 5 % 41 % classes) as u8;
        for (set, classes) in [
            (&[][..], 2),
            (&["loss.name=bce", "loss.pos_weight=10"], 2),
            (&["loss.name=dice", "loss.batch_dice=false"], 2),
            (&["loss.name=ce", "loss.class_weights=[1,5,2.5]"], 3),
            (&["model.deep_supervision=true"], 4),
            (&["model.dropout=0.3", "model.checkpointing=level", "model.residual=true"], 2),
            (&["model.norm={ group = 2 }", "model.dropout=0.3"], 2),
        ] {
            let all = found(set, classes, class(classes));
            assert!(all[0].2.is_some() && all.iter().all(|one| *one == all[0]), "{set:?}");
        }
    }

    #[test]
    fn samples_and_batches_without_a_voxel_that_counts_are_as_in_one_tape() {
        for set in [&[][..], &["model.deep_supervision=true"]] {
            // Of the four samples the second alone counts; then none.
            let sample = 8 * 16 * 12;
            let some = |i: usize| if i / sample == 1 { u8::from(i.is_multiple_of(9)) } else { IGNORE };
            let all = found(set, 2, some);
            assert!(all[0].2.is_some() && !all[0].1 && all.iter().all(|one| *one == all[0]), "{set:?}");
            let all = found(set, 2, |_| IGNORE);
            assert!(all[0].0 == 0.0 && all[0].1 && all.iter().all(|one| *one == all[0]), "{set:?}");
        }
    }
}
