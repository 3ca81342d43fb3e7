//! What the ranks of a run bring together: sums over the batch, gradients, and whether all still have the same weights.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use autograd::{Gradients, ParamId, Tape, Tensor, WholeBatch};
use nn::Module;
use ranks::{Layout, OrderedSum, Ranks};
use unet3d::UNet3d;

use super::passes::PassSettings;
use crate::{Error, Result};

/// The whole of a batch that ranks share.
pub(super) struct Batch {
    ranks: Ranks,
    waited: Mutex<Duration>,
}

impl Batch {
    pub(super) fn new(ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), waited: Mutex::default() }
    }

    /// Seconds until others' numbers were there.
    pub(super) fn seconds(&self) -> f64 {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner).as_secs_f64()
    }
}

impl WholeBatch for Batch {
    fn gather(&self, own: &[f64]) -> Result<Vec<f64>, String> {
        let began = Instant::now();
        let all = self.ranks.gather_numbers(own).map_err(|lost| lost.to_string());
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner) += began.elapsed();
        all
    }
}

/// The gradients of a batch's samples, added in the samples' order.
pub(super) enum GradientSum {
    /// By a process that has all of them.
    Alone(Option<Gradients<f32>>),
    /// By ranks. Gradients travel as soon as the backward pass of a sample has come to them.
    Among {
        /// Where each parameter's lies.
        places: Arc<BTreeMap<ParamId, usize>>,
        layout: Arc<Layout>,
        /// Taken when all are given.
        sum: Arc<Mutex<Option<OrderedSum>>>,
        first: usize,
        /// The parameters that have a gradient, which are the same for each sample.
        found: Vec<ParamId>,
    },
}

impl GradientSum {
    pub(super) fn new(model: &UNet3d<f32>, settings: &PassSettings<'_>) -> Self {
        let ranks = settings.ranks;
        if ranks.is_alone() {
            return Self::Alone(None);
        }
        let (places, layout) = layout(model, ranks.size());
        let layout = Arc::new(layout);
        let sum = ranks.sum(&layout, settings.samples);
        let first = ranks.share(settings.samples).start;
        Self::Among {
            places: Arc::new(places),
            layout,
            sum: Arc::new(Mutex::new(Some(sum))),
            first,
            found: Vec::new(),
        }
    }

    /// Lets the gradients of a sample go as they become known.
    pub(super) fn watch(&self, tape: &Tape<f32>, sample: usize) {
        let Self::Among { places, sum, first, .. } = self else { return };
        let (places, sum, sample) = (Arc::clone(places), Arc::clone(sum), first + sample);
        tape.on_gradient(move |parameter, gradient| {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(sum), Some(&place)) = (sum.as_mut(), places.get(&parameter)) {
                sum.give(sample, place, gradient.data());
            }
        });
    }

    /// Adds those of a sample, or of all where there is one tape.
    pub(super) fn add(&mut self, of_part: Gradients<f32>, sample: usize) {
        match self {
            Self::Alone(Some(sum)) => sum.add(of_part),
            Self::Alone(none) => *none = Some(of_part),
            Self::Among { sum, first, found, .. } => {
                *found = of_part.iter().map(|(parameter, _)| parameter).collect();
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                sum.iter_mut().for_each(|sum| sum.end_of_sample(*first + sample));
            }
        }
    }

    /// The sums; none where there is nothing to add.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn finish(self, model: &UNet3d<f32>) -> Result<Option<Gradients<f32>>> {
        let (places, layout, sum, found) = match self {
            Self::Alone(sum) => return Ok(sum),
            Self::Among { places, layout, sum, found, .. } => (places, layout, sum, found),
        };
        let sum = sum.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sum) = sum.filter(|_| !found.is_empty()) else { return Ok(None) };
        let named = model.named_parameters();
        let mut arrays: Vec<Option<Tensor<f32>>> = vec![None; layout.arrays()];
        for (_, parameter) in named.iter().filter(|(_, parameter)| found.contains(&parameter.id())) {
            arrays[places[&parameter.id()]] = Some(Tensor::zeros(parameter.shape()));
        }
        let mut array = 0;
        sum.finish(|piece, numbers| {
            let mut at = piece.start;
            while at < piece.end {
                while layout.place(array).end <= at {
                    array += 1;
                }
                let place = layout.place(array);
                let end = place.end.min(piece.end);
                if let Some(tensor) = &mut arrays[array] {
                    tensor.data_mut()[at - place.start..end - place.start]
                        .copy_from_slice(&numbers[at - piece.start..end - piece.start]);
                }
                at = end;
            }
        })?;
        let mut gradients = Gradients::default();
        for (_, parameter) in &named {
            if let Some(gradient) = places.get(&parameter.id()).and_then(|&place| arrays[place].take()) {
                gradients.insert(parameter, gradient);
            }
        }
        Ok(Some(gradients))
    }
}

/// Where the gradient of each trainable parameter lies. Backward passes come to the last first.
fn layout(model: &UNet3d<f32>, ranks: usize) -> (BTreeMap<ParamId, usize>, Layout) {
    let named = model.named_parameters();
    let trainable: Vec<_> = named.iter().rev().filter(|(_, parameter)| parameter.is_trainable()).collect();
    let places =
        trainable.iter().enumerate().map(|(place, (_, parameter))| (parameter.id(), place)).collect();
    (places, Layout::new(trainable.iter().map(|(_, parameter)| parameter.shape().numel()), ranks))
}

/// How many seconds the gradients of a step travel by themselves, while nothing is computed: the mean over some times.
///
/// # Errors
/// If a rank is lost.
pub(super) fn bare_exchange(model: &UNet3d<f32>, ranks: &Ranks, samples: usize) -> Result<f64> {
    const TIMES: u32 = 3;
    let layout = Arc::new(layout(model, ranks.size()).1);
    let zeros = vec![0.0; (0..layout.arrays()).map(|array| layout.place(array).len()).max().unwrap_or(0)];
    let mut spent = Duration::ZERO;
    // The first one finds buffers and ways that are not made yet.
    for time in 0..=TIMES {
        let mut sum = ranks.sum(&layout, samples);
        // Nobody begins before all are ready.
        ranks.any(false)?;
        let began = Instant::now();
        for sample in ranks.share(samples) {
            (0..layout.arrays())
                .for_each(|array| sum.give(sample, array, &zeros[..layout.place(array).len()]));
            sum.end_of_sample(sample);
        }
        sum.finish(|_, _| {})?;
        if time > 0 {
            spent += began.elapsed();
        }
    }
    Ok(spent.as_secs_f64() / f64::from(TIMES))
}

/// Makes sure that all ranks have the same weights.
///
/// # Errors
/// Names a rank that has others.
pub(super) fn check_weights(ranks: &Ranks, digest: impl FnOnce() -> u32) -> Result<()> {
    if ranks.is_alone() {
        return Ok(());
    }
    let all = ranks.gather(&digest().to_le_bytes())?;
    let Some(other) = all.iter().position(|of_rank| *of_rank != all[0]) else { return Ok(()) };
    let message = format!(
        "rank {other} on {} has other weights than rank 0 on {}: a fault of a memory or processor; go on from a checkpoint that was written at the end of an epoch before, with --resume --checkpoint previous or best",
        ranks.host(other),
        ranks.host(0)
    );
    Err(Error::Diverged(message))
}
