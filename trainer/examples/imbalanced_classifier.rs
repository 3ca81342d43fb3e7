//! "My classifier never predicts the rare class": 10 % positives, logits `[batch, 1]`, and six ways to weigh them.
//!
//! | run | PyTorch |
//! |---|---|
//! | unweighted | `BCEWithLogitsLoss()` |
//! | weight\[y\] | `(BCEWithLogitsLoss(reduction="none")(x, y) * weight[y]).mean()`, `weight` = the other class's share |
//! | pos_weight = weight\[y\] | `BCEWithLogitsLoss(pos_weight=weight[y])`: the same vector in the wrong place |
//! | pos_weight | `BCEWithLogitsLoss(pos_weight=negatives / positives)` |
//! | two logits, sum | `CrossEntropyLoss(weight=[1, negatives / positives], reduction="sum")(x, y) / batch`, logits `[batch, 2]` |
//! | two logits, mean | the same with `reduction="mean"`, which divides by the sum of the batch's weights |
//!
//! The classes overlap: two normal distributions, so no weighting separates them, and each only moves the threshold.
//! Run it with `cargo run -p trainer --example imbalanced_classifier`.

use std::time::Instant;

use autograd::{Tape, Tensor, Var};
use losses::{BceWithLogits, CrossEntropy, Error, Labels, Loss, Reduction, Weight};
use metrics::{ClassificationReport, ConfusionMatrix};
use nn::layers::Linear;
use nn::optim::{AdamConfig, OptimizerConfig};
use nn::schedule::Schedule;
use rand::RngExt;
use rand::seq::SliceRandom;
use trainer::random::{Purpose, generator, normal_pair};
use trainer::report::LogLine;

const FEATURES: usize = 8;
const HIDDEN: usize = 16;
const POSITIVES: f64 = 0.1;
/// How far the positives' mean lies from the negatives' in every feature, in standard deviations.
const SHIFT: f32 = 0.6;
const SAMPLES: usize = 3200;
const BATCH: usize = 16;
const EPOCHS: usize = 2;
const LR: f64 = 3.5e-3;
const SEEDS: std::ops::Range<u64> = 0..5;

/// Which class counts how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weighting {
    Unweighted,
    PerElement,
    PosWeightPerElement,
    PosWeight,
    TwoLogitsSum,
    TwoLogitsMean,
}

use Weighting::*;

const ALL: [Weighting; 6] =
    [Unweighted, PerElement, PosWeightPerElement, PosWeight, TwoLogitsSum, TwoLogitsMean];

impl Weighting {
    fn name(self) -> &'static str {
        match self {
            Unweighted => "unweighted",
            PerElement => "weight[y]",
            PosWeightPerElement => "pos_weight = weight[y]",
            PosWeight => "pos_weight",
            TwoLogitsSum => "two logits, sum",
            TwoLogitsMean => "two logits, mean",
        }
    }

    /// The mean loss of a batch. `pi` is the share of positives among the samples to train on.
    fn loss<'t>(self, logits: &Var<'t>, labels: &Labels, pi: f64) -> Result<Var<'t>, Error> {
        let p = (1.0 - pi) / pi;
        // The weight of a class is the share of the other one: the rarer, the heavier.
        let by_class = [pi, 1.0 - pi];
        let per_element = || {
            let of = |i| by_class[labels.get(i) as usize] as f32;
            Weight::PerElement(Tensor::from_fn(logits.shape(), of))
        };
        match self {
            Unweighted => BceWithLogits::new().forward(logits, labels),
            PerElement => BceWithLogits::new().weight(per_element()).forward(logits, labels),
            PosWeightPerElement => BceWithLogits::new().pos_weight(per_element()).forward(logits, labels),
            PosWeight => BceWithLogits::new().pos_weight(p).forward(logits, labels),
            TwoLogitsSum | TwoLogitsMean => {
                let sum = Reduction::SumOver(labels.len() as f64);
                let reduction = if self == TwoLogitsSum { sum } else { Reduction::Mean };
                CrossEntropy::new().class_weights([1.0, p]).reduction(reduction).forward(logits, labels)
            }
        }
    }
}

/// Two linear layers with a ReLU between them.
struct Classifier {
    hidden: Linear,
    output: Linear,
}

impl Classifier {
    fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        self.output.forward(self.hidden.forward(x).relu())
    }

    /// The logit of class 1 against class 0, for every sample.
    fn margins(&self, x: &Tensor) -> Vec<f32> {
        let tape = Tape::eval();
        let logits = self.forward(tape.constant(x.clone())).into_value();
        let margin = |row: &[f32]| if let [x0, x1] = row { x1 - x0 } else { row[0] };
        logits.data().chunks_exact(logits.channels()).map(margin).collect()
    }
}

nn::module! { impl Module<f32> for Classifier { hidden, output } }

/// Features `[n, FEATURES]` and classes, one in ten of them 1.
struct Samples {
    x: Tensor,
    y: Vec<u8>,
}

impl Samples {
    fn draw(seed: u64, part: u64) -> Self {
        let mut rng = generator(seed, Purpose::Synthetic, part);
        let y: Vec<u8> = (0..SAMPLES).map(|_| u8::from(rng.random_bool(POSITIVES))).collect();
        let x = Tensor::from_fn([SAMPLES, FEATURES], |i| {
            normal_pair(&mut rng)[0] + SHIFT * f32::from(y[i / FEATURES])
        });
        Self { x, y }
    }

    fn batch(&self, indices: &[usize]) -> (Tensor, Labels) {
        let row = |&i: &usize| self.x.data()[i * FEATURES..][..FEATURES].iter().copied();
        let x = Tensor::from_vec([indices.len(), FEATURES], indices.iter().flat_map(row).collect());
        (x, Labels::from_vec([indices.len()], indices.iter().map(|&i| self.y[i]).collect()))
    }

    fn share_of_positives(&self) -> f64 {
        self.y.iter().map(|&y| f64::from(y)).sum::<f64>() / self.y.len() as f64
    }
}

/// What held-out samples say after an epoch.
pub(crate) struct Epoch {
    pub(crate) report: ClassificationReport,
    pub(crate) mean_probability: f64,
}

impl Epoch {
    fn of(model: &Classifier, held_out: &Samples) -> anyhow::Result<Self> {
        let z = model.margins(&held_out.x);
        let predicted: Vec<u8> = z.iter().map(|&z| u8::from(z > 0.0)).collect();
        let mut matrix = ConfusionMatrix::new(2);
        matrix.update(&held_out.y, &predicted)?;
        let sum: f64 = z.iter().map(|&z| 1.0 / (1.0 + f64::from(-z).exp())).sum();
        Ok(Self { report: ClassificationReport::new(&matrix), mean_probability: sum / z.len() as f64 })
    }

    /// Recall, precision and f1 of the positive class.
    pub(crate) fn positive(&self) -> [f64; 3] {
        let row = &self.report.classes[1];
        [row.recall, row.precision, row.f1_score]
    }
}

/// Trains and judges after each epoch. A seed's samples, order and first layer are the same for every weighting.
pub(crate) fn train(weighting: Weighting, seed: u64, verbose: bool) -> anyhow::Result<Vec<Epoch>> {
    let [samples, held_out] = [0, 1].map(|part| Samples::draw(seed, part));
    let pi = samples.share_of_positives();
    let mut rng = generator(seed, Purpose::Weights, 0);
    let outputs = if matches!(weighting, TwoLogitsSum | TwoLogitsMean) { 2 } else { 1 };
    let hidden = Linear::new(FEATURES, HIDDEN, &mut rng)?;
    let mut model = Classifier { hidden, output: Linear::new(HIDDEN, outputs, &mut rng)? };
    let mut adam = OptimizerConfig::Adam(AdamConfig::default()).build()?;
    let decay = Schedule::Linear { end_factor: 0.0, warmup_steps: 0 };
    let (start, batches) = (Instant::now(), SAMPLES / BATCH);
    let mut epochs = Vec::new();
    for epoch in 0..EPOCHS {
        let mut order: Vec<usize> = (0..SAMPLES).collect();
        order.shuffle(&mut generator(seed, Purpose::Batch, epoch as u64));
        let mut sum = 0.0;
        for (batch, indices) in order.chunks_exact(BATCH).enumerate() {
            let step = (epoch * batches + batch) as u64;
            let lr = decay.lr(step, (EPOCHS * batches) as u64, LR);
            let (x, labels) = samples.batch(indices);
            let tape = Tape::train(step);
            let loss = weighting.loss(&model.forward(tape.constant(x)), &labels, pi)?;
            sum += f64::from(loss.item());
            adam.set_lr(lr);
            adam.step(&mut model, &loss.backward());
            let half = batches / 2;
            if verbose && (batch + 1) % half == 0 {
                let [epoch, batch, batches_per_epoch] = [epoch + 1, batch + 1, batches].map(|n| n as u64);
                let (loss, elapsed) = (std::mem::take(&mut sum) / half as f64, start.elapsed());
                println!("{}", LogLine { epoch, batch, batches_per_epoch, lr, loss, elapsed });
            }
        }
        let judged = Epoch::of(&model, &held_out)?;
        if verbose {
            let (mean, prior) = (judged.mean_probability, held_out.share_of_positives());
            println!("\n{}\nmean probability {mean:.3}, share of positives {prior:.3}\n", judged.report);
        }
        epochs.push(judged);
    }
    Ok(epochs)
}

/// Every seed's epochs under every weighting.
pub(crate) struct Experiment(Vec<(Weighting, Vec<Vec<Epoch>>)>);

impl Experiment {
    pub(crate) fn run() -> anyhow::Result<Self> {
        let seeds =
            |weighting| SEEDS.map(|seed| train(weighting, seed, false)).collect::<anyhow::Result<_>>();
        ALL.into_iter()
            .map(|weighting| Ok((weighting, seeds(weighting)?)))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// A figure of each seed after epoch `epoch`, from 1.
    pub(crate) fn each(
        &self,
        weighting: Weighting,
        epoch: usize,
        figure: impl Fn(&Epoch) -> f64,
    ) -> Vec<f64> {
        let (_, runs) = self.0.iter().find(|(w, _)| *w == weighting).expect("all weightings were run");
        runs.iter().map(|epochs| figure(&epochs[epoch - 1])).collect()
    }

    /// Mean and standard deviation over the seeds of the recall at the end.
    pub(crate) fn recall(&self, weighting: Weighting) -> (f64, f64) {
        mean_and_deviation(&self.each(weighting, EPOCHS, |e| e.positive()[0]))
    }

    fn print_table(&self) {
        println!("positive class, {} seeds{:31}recall        precision         f1-score", SEEDS.end, "");
        for (weighting, epoch) in ALL.into_iter().flat_map(|w| (1..=EPOCHS).map(move |e| (w, e))) {
            print!("{:24} epoch {epoch}", weighting.name());
            for i in 0..3 {
                let (mean, deviation) = mean_and_deviation(&self.each(weighting, epoch, |e| e.positive()[i]));
                print!("    {mean:.3} ± {deviation:.3}");
            }
            println!();
        }
    }

    /// What the numbers say, whatever they are.
    fn print_conclusions(&self) {
        let first = mean_and_deviation(&self.each(Unweighted, 1, |e| e.positive()[0])).0;
        let mean = mean_and_deviation(&self.each(Unweighted, 1, |e| e.mean_probability)).0;
        println!("\nUnweighted, recall after the first epoch is {first:.3}.");
        if first < 0.05 && (mean - POSITIVES).abs() < POSITIVES / 2.0 {
            println!(
                "The mean probability is {mean:.3}, near the share of positives, {POSITIVES}: few reach one half."
            );
        }
        let ((none, spread), (vector, _)) = (self.recall(Unweighted), self.recall(PosWeightPerElement));
        let within = if (vector - none).abs() <= spread { "within" } else { "beyond" };
        let change = vector - none;
        println!(
            "The vector given as pos_weight changes recall by {change:+.3}, {within} the seeds' {spread:.3}."
        );
        let (pos_weight, spread) = self.recall(PosWeight);
        for weighting in [PerElement, TwoLogitsSum, TwoLogitsMean] {
            let (recall, other) = self.recall(weighting);
            let (difference, two) = (recall - pos_weight, 2.0 * spread.max(other));
            let within = if difference.abs() <= two { "within" } else { "beyond" };
            let name = weighting.name();
            println!(
                "{name} differs from pos_weight by {difference:+.3}, {within} two deviations, {two:.3}."
            );
        }
        if self.recall(TwoLogitsMean).0 < self.recall(TwoLogitsSum).0 {
            println!("The mean finds less than the sum: in batches with few positives it divides by less.");
        }
    }
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

fn main() -> anyhow::Result<()> {
    for weighting in ALL {
        println!("== {}\n", weighting.name());
        train(weighting, 0, true)?;
    }
    let experiment = Experiment::run()?;
    experiment.print_table();
    experiment.print_conclusions();
    Ok(())
}
