//! A batch that is divided among tapes has the loss and the gradients of the whole, bit for bit.

use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex};

use autograd::{Real, Tape, Tensor, WholeBatch};
use losses::{
    BceWithLogits, CrossEntropy, DeepSupervision, Dice, DiceBce, DiceCe, Focal, GeneralisedDice, Labels,
    Loss, Reduction, Target, Tversky,
};
use proptest::prelude::*;

use crate::support::noise_tensor;

/// The label of what does not count.
const IGNORE: i32 = 255;

/// Parts that are computed at the same time, and tell each other their numbers.
struct Together {
    said: Mutex<Vec<Vec<f64>>>,
    all: Barrier,
}

/// One of them.
struct Part(usize, Arc<Together>);

impl WholeBatch for Part {
    fn gather(&self, own: &[f64]) -> Result<Vec<f64>, String> {
        let Self(number, together) = self;
        together.said.lock().unwrap()[*number] = own.to_vec();
        together.all.wait();
        let said = together.said.lock().unwrap().concat();
        together.all.wait();
        Ok(said)
    }
}

/// The loss at two scales, or one, with a Dice of each sample or of the batch.
fn losses<T: Real>(classes: usize, batch: bool) -> Vec<(&'static str, Box<dyn Loss<T>>)> {
    fn boxed<T: Real>(loss: impl Loss<T> + 'static) -> Box<dyn Loss<T>> {
        Box::new(loss)
    }
    let dice = || Dice::new().batch(batch).ignore_index(IGNORE);
    if classes == 1 {
        return vec![
            ("bce", boxed(BceWithLogits::new().pos_weight(7.0).ignore_index(IGNORE))),
            ("bce, sum", boxed(BceWithLogits::new().reduction(Reduction::Sum).ignore_index(IGNORE))),
            ("focal", boxed(Focal::new().ignore_index(IGNORE))),
            ("dice", boxed(dice())),
            ("squared", boxed(dice().squared(true))),
            ("tversky", boxed(Tversky::new(0.3, 0.7).focal(1.5).batch(batch).ignore_index(IGNORE))),
            ("dice and bce", boxed(DiceBce::new(dice(), BceWithLogits::new()).ignore_index(IGNORE))),
        ];
    }
    let weights = [1.0, 5.0, 0.25];
    let cross_entropy =
        || CrossEntropy::new().class_weights(weights).label_smoothing(0.1).ignore_index(IGNORE);
    vec![
        ("cross-entropy", boxed(cross_entropy())),
        ("dice of classes", boxed(dice().softmax().include_background(false))),
        ("generalised", boxed(GeneralisedDice::new().softmax().batch(batch).ignore_index(IGNORE))),
        ("dice and cross-entropy", boxed(DiceCe::new(dice(), cross_entropy()).ignore_index(IGNORE))),
    ]
}

/// Loss, counts, and the bits of the gradients at each scale.
type Found = (u64, [u64; 2], u64, Vec<Vec<u64>>);

fn rows<T: Real>(tensor: &Tensor<T>, part: &Range<usize>) -> Tensor<T> {
    let shape = tensor.shape();
    let (of_sample, mut dims) = (shape.numel() / shape.dims()[0], shape.dims().to_vec());
    dims[0] = part.len();
    Tensor::from_vec(dims.as_slice(), tensor.data()[part.start * of_sample..part.end * of_sample].to_vec())
}

fn found<T: Real>(tape: Tape<T>, loss: &dyn Loss<T>, logits: &[Tensor<T>], labels: &Labels) -> Found {
    let scales: Vec<_> = logits.iter().map(|logits| tape.variable(logits.clone())).collect();
    let report = match scales.as_slice() {
        [logits] => loss.report(logits, Target::Labels(labels)),
        scales => {
            let labels: Vec<Labels> =
                scales.iter().map(|x| labels.resample_nearest(&x.shape().dims()[..4])).collect();
            let targets: Vec<_> = labels.iter().map(Target::Labels).collect();
            DeepSupervision::new(Shared(loss)).report(scales, &targets)
        }
    };
    let report = report.unwrap();
    let (value, counts) = (report.loss.item().to_f64().to_bits(), [report.counted, report.ignored]);
    let normaliser = report.normaliser.to_bits();
    let gradients = report.loss.backward();
    let bits = |x| gradients.wrt(x).unwrap().data().iter().map(|v: &T| v.to_f64().to_bits()).collect();
    (value, counts, normaliser, scales.iter().map(bits).collect())
}

/// A loss that is lent.
struct Shared<'a, T: Real>(&'a dyn Loss<T>);

impl<T: Real> Loss<T> for Shared<'_, T> {
    fn report<'t>(
        &self,
        logits: &autograd::Var<'t, T>,
        target: Target<'_, T>,
    ) -> Result<losses::Report<'t, T>, losses::Error> {
        self.0.report(logits, target)
    }
}

fn law<T: Real>(cuts: &[usize], shape: [usize; 3], classes: usize, scales: usize, key: u64) {
    let samples = cuts[cuts.len() - 1];
    let logits: Vec<Tensor<T>> = (0..scales)
        .map(|scale| {
            let [d, h, w] = shape.map(|size| size.div_ceil(1 << scale));
            noise_tensor(key + scale as u64, &[samples, d, h, w, classes], 4.0)
        })
        .collect();
    let voxels: usize = shape.iter().product();
    // A sample may be ignored as a whole.
    let label = |i: usize| match (i / voxels) as u64 % 3 == key % 5 || i % 7 == 3 {
        true => IGNORE as u8,
        false => (i / 3 % classes.max(2)) as u8,
    };
    let [d, h, w] = shape;
    let labels: Vec<u8> = (0..samples * voxels).map(label).collect();
    let of = |part: &Range<usize>| {
        Labels::from_vec([part.len(), d, h, w], labels[part.start * voxels..part.end * voxels].to_vec())
    };
    for batch in [true, false] {
        for (name, loss) in losses::<T>(classes, batch) {
            let whole = found(Tape::train(0), &*loss, &logits, &of(&(0..samples)));
            let parts: Vec<Range<usize>> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
            let together = Arc::new(Together {
                said: Mutex::new(vec![Vec::new(); parts.len()]),
                all: Barrier::new(parts.len()),
            });
            let of_parts: Vec<Found> = std::thread::scope(|scope| {
                let threads: Vec<_> = parts
                    .iter()
                    .enumerate()
                    .map(|(number, part)| {
                        let logits: Vec<_> = logits.iter().map(|logits| rows(logits, part)).collect();
                        let (labels, loss) = (of(part), &*loss);
                        let batch = Arc::new(Part(number, Arc::clone(&together)));
                        let tape = Tape::train(0).from_sample(part.start as u64).of_batch(batch);
                        scope.spawn(move || found(tape, loss, &logits, &labels))
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let mut gradients = vec![Vec::new(); scales];
            for (value, counts, normaliser, of_part) in of_parts {
                assert_eq!((value, counts, normaliser), (whole.0, whole.1, whole.2), "{name}, batch {batch}");
                gradients.iter_mut().zip(of_part).for_each(|(all, part)| all.extend(part));
            }
            assert!(gradients == whole.3, "gradients of {name}, batch {batch}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_of_a_batch_have_its_loss_and_gradients(
        sizes in prop::collection::vec(1..3usize, 1..5),
        shape in [1..6usize, 1..9usize, 1..40usize],
        several in any::<bool>(),
        scales in 1..3usize,
        key in 0..1000u64,
    ) {
        let mut cuts = vec![0];
        sizes.iter().for_each(|size| cuts.push(cuts[cuts.len() - 1] + size));
        let classes = if several { 3 } else { 1 };
        law::<f32>(&cuts, shape, classes, scales, key);
        law::<f64>(&cuts, shape, classes, scales, key);
    }
}
