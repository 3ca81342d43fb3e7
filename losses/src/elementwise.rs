//! Losses that are a sum over elements: binary cross-entropy, on logits or probabilities, and the focal loss.
//!
//! Work goes slab by slab (in parallel, sizes set by the shape alone) and chunk by chunk (in the L1 cache): the
//! chunk's targets and weights are written out as numbers, whatever their kind, and one vectorised loop over five
//! short arrays yields losses and gradients.

use std::ops::Range;

use autograd::{Real, Tensor};

use crate::extents::{Extents, map_slabs_into};
use crate::loss::{Evaluated, Kernel, scale_gradient};
use crate::reduction::{Output, Tally};
use crate::truth::{Scratch, Truth};
use crate::{EmptyPolicy, Error, Reduction, Weight};

mod formula;

pub(crate) use formula::Formula;
use formula::Lanes;

/// An element-wise loss with its arguments checked.
pub(crate) struct Elementwise<T: Real> {
    formula: Formula,
    extents: Extents,
    truth: Truth<T>,
    weight: Option<Weight<T>>,
    pos_weight: Option<Weight<T>>,
    output: Output,
}

/// The parts of an element-wise loss that are the user's.
pub(crate) struct Settings<'a, T: Real> {
    pub(crate) formula: Formula,
    pub(crate) weight: Option<&'a Weight<T>>,
    pub(crate) pos_weight: Option<&'a Weight<T>>,
    pub(crate) reduction: Reduction,
    pub(crate) empty: EmptyPolicy,
}

impl<T: Real> Elementwise<T> {
    pub(crate) fn new(
        settings: Settings<'_, T>,
        extents: Extents,
        truth: Truth<T>,
    ) -> Result<(Self, Tally), Error> {
        let Settings { formula, weight, pos_weight, reduction, empty } = settings;
        if let Some(weight) = weight {
            weight.check("weight", &extents)?;
        }
        if let Some(pos_weight) = pos_weight {
            pos_weight.check("pos_weight", &extents)?;
        }
        let tally =
            Tally { counted: truth.counted, ignored: truth.ignored, normaliser: truth.counted as f64 };
        let output = reduction.settle(&tally, empty, formula.name())?;
        let (weight, pos_weight) = (weight.cloned(), pos_weight.cloned());
        Ok((Self { formula, extents, truth, weight, pos_weight, output }, tally))
    }

    /// The sum over a slab of rows; losses and gradients of elements go where they are wanted.
    fn slab(&self, logits: &Tensor<T>, rows: Range<usize>, [losses, gradients]: [&mut [T]; 2]) -> f64 {
        let c = self.extents.channels;
        let factor = T::from_f64(self.output.factor());
        let mut lanes = Lanes::new(self.extents.chunk_rows() * c);
        let mut scratch = Scratch::default();
        let mut sum = 0.0;
        for chunk in self.extents.chunks(rows.clone()) {
            let elements = chunk.start * c..chunk.end * c;
            let len = elements.len();
            let at = elements.start - rows.start * c;

            lanes.load(&logits.data()[elements]);
            self.truth.read(chunk.clone(), &mut scratch, &mut lanes.y[..len], &mut lanes.w[..len]);
            if let Some(weight) = &self.weight {
                weight.multiply(&self.extents, chunk.clone(), &mut lanes.w[..len]);
            }
            if let Some(pos_weight) = &self.pos_weight {
                lanes.p[..len].fill(T::ONE);
                pos_weight.multiply(&self.extents, chunk, &mut lanes.p[..len]);
            }
            sum += self.formula.run(&mut lanes, len);

            if !losses.is_empty() {
                losses[at..at + len].copy_from_slice(&lanes.l[..len]);
            }
            if !gradients.is_empty() {
                let out = gradients[at..at + len].iter_mut();
                out.zip(&lanes.g).for_each(|(out, &g)| *out = g * factor);
            }
        }
        sum
    }
}

impl<T: Real> Kernel<T> for Elementwise<T> {
    type Saved = Tensor<T>;

    fn name(&self) -> &'static str {
        self.formula.name()
    }

    fn output(&self) -> Output {
        self.output
    }

    fn evaluate(&self, logits: &Tensor<T>, wanted: bool) -> Evaluated<T, Tensor<T>> {
        let shape = logits.shape();
        if self.output == Output::Zero {
            return (Vec::new(), None, wanted.then(|| Tensor::zeros(shape)));
        }
        let mut losses = (self.output == Output::Each).then(|| Tensor::scratch(shape));
        let mut gradients = wanted.then(|| Tensor::scratch(shape));
        let c = self.extents.channels;
        let sinks =
            [&mut losses, &mut gradients].map(|t| (t.as_mut().map_or(&mut [][..], Tensor::data_mut), c));
        let sums =
            map_slabs_into(self.extents.slabs_of_sums(), sinks, |rows, parts| self.slab(logits, rows, parts));
        (sums, losses, gradients)
    }

    fn differentiate(&self, gradient: Tensor<T>, dy: Tensor<T>) -> Tensor<T> {
        scale_gradient(gradient, dy)
    }
}
