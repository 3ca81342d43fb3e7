//! How good a model is, over whole volumes.

use std::fmt;

use metrics::{
    Aim, AveragePrecision, BinaryCounts, ClassificationReport, ConfusionMatrix, OperatingPoint,
    PositiveClass, Reliability, ScoreHistogram,
};
use serde::Serialize;
use unet3d::UNet3d;

use crate::Result;
use crate::dataset::IGNORE;
use crate::predict::{Calibration, ClassSample, Evidence, SlidingWindow};
use crate::preprocess::PreparedCase;

/// The figures of one validation, over the voxels of all its cases together.
#[derive(Clone, Debug, Serialize)]
pub struct Validation {
    /// Whether the model was trained on these very cases, so that the figures flatter it.
    pub on_training_cases: bool,
    /// The cases.
    pub cases: Vec<String>,
    /// Precision, recall, f1 and support of each class.
    pub report: ClassificationReport,
    /// What the report does not hold, for each foreground class.
    pub classes: Vec<ClassFigures>,
    /// The logits of each foreground class against the rest.
    #[serde(skip)]
    pub histograms: Vec<ScoreHistogram>,
    /// The logits of several classes.
    #[serde(skip)]
    pub sample: ClassSample,
}

/// Dice and average precision of a class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassFigures {
    /// The class.
    pub name: String,
    /// Its voxels, found, missed and invented.
    pub counts: BinaryCounts,
    /// 2·tp / (2·tp + fp + fn), from 0 to 1, higher is better; undefined if the class occurs nowhere.
    pub dice: Option<f64>,
    /// The area under the precision-recall curve, from the share of the class to 1, higher is better.
    pub average_precision: Option<f64>,
    /// The threshold of the largest f1, on these very voxels.
    pub best_f1: Option<OperatingPoint>,
    /// Brier score of the probabilities, uncalibrated, from 0 to 1, lower is better.
    pub brier: Option<f64>,
    /// Their expected calibration error over 15 groups of equal mass, from 0 to 1, lower is better.
    pub calibration_error: Option<f64>,
    /// The mean predicted probability, which a calibrated model has equal to the share.
    pub mean_probability: f64,
    /// The class's share of the voxels.
    pub share: f64,
}

impl Validation {
    /// Predicts every case and compares with its labels. With one channel a voxel is foreground above `logit`.
    ///
    /// # Errors
    /// If a case and the model do not fit, or the work was stopped.
    pub fn run(
        model: &UNet3d<f32>,
        cases: &[PreparedCase],
        on_training_cases: bool,
        class_names: &[String],
        window: &SlidingWindow,
        logit: f32,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Self> {
        let classes = class_names.len();
        let mut matrix = ConfusionMatrix::new(classes).ignore_label(IGNORE);
        let positive = |class: usize| PositiveClass::new(class as i64).ignore_label(IGNORE);
        let mut precision: Vec<_> = (1..classes).map(|c| AveragePrecision::new(positive(c))).collect();
        let mut histograms = vec![ScoreHistogram::new(); classes - 1];
        let all = cases.iter().map(|case| case.summary().voxels()).sum();
        let mut sample = ClassSample::new(model.config().out_channels, all);
        let mut probability = vec![0.0f64; classes];
        let mut voxels = 0u64;
        for case in cases {
            let case = case.whole()?;
            let Some(truth) = case.labels() else { continue };
            let logits = window.run(model, case.image(), case.shape(), |_, _| go_on())?;
            matrix.update(truth, &logits.classes(logit))?;
            sample.update(&logits.values, truth);
            let probabilities = logits.probabilities(&Calibration::identity(logits.channels));
            for class in 1..classes {
                let scores = logits.scores(class);
                precision[class - 1].update(&scores, truth)?;
                histograms[class - 1].update(&scores, truth, positive(class))?;
                let channel = if logits.channels == 1 { 0 } else { class };
                let of_class = probabilities.iter().skip(channel).step_by(logits.channels);
                let counted = of_class.zip(truth).filter(|&(_, &t)| t != IGNORE);
                probability[class] += counted.map(|(&p, _)| f64::from(p)).sum::<f64>();
            }
            voxels += truth.iter().filter(|&&t| t != IGNORE).count() as u64;
        }
        let identity = Calibration::identity(1);
        let reliabilities: Vec<_> =
            histograms.iter().map(|h| Reliability::new(h, |logit| identity.probability(logit))).collect();
        let figures = |class: usize| ClassFigures {
            best_f1: OperatingPoint::find(&histograms[class - 1], Aim::MaxF1),
            brier: reliabilities[class - 1].brier,
            calibration_error: reliabilities[class - 1].calibration_error,
            name: class_names[class].clone(),
            counts: matrix.binary(class),
            dice: matrix.binary(class).dice(),
            average_precision: precision[class - 1].finish().value,
            mean_probability: probability[class] / voxels.max(1) as f64,
            share: matrix.binary(class).support() as f64 / voxels.max(1) as f64,
        };
        Ok(Self {
            on_training_cases,
            cases: cases.iter().map(|c| c.name().to_owned()).collect(),
            report: ClassificationReport::new(&matrix).with_names(class_names),
            classes: (1..classes).map(figures).collect(),
            histograms,
            sample,
        })
    }

    /// What a decision can be fitted on.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence { histogram: &self.histograms[0], sample: &self.sample, cases: &self.cases }
    }

    /// The mean Dice over the foreground classes that occur or are predicted: the metric by which "best" is judged.
    pub fn mean_dice(&self) -> Option<f64> {
        metrics::Mean::of(self.classes.iter().map(|c| c.dice)).value
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cases.len() == 1 { "" } else { "s" };
        if self.on_training_cases {
            writeln!(f, "on the TRAINING case{plural} {} (there are no others):", self.cases.join(", "))?;
        } else {
            writeln!(f, "on the validation case{plural} {}:", self.cases.join(", "))?;
        }
        writeln!(f, "{}", self.report)?;
        let digits = |v: Option<f64>| v.map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"));
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
        for class in &self.classes {
            let ClassFigures { name, dice, average_precision, mean_probability, share, .. } = class;
            writeln!(
                f,
                "{name:>width$}  Dice {}  average precision {}  mean probability {mean_probability:.4} (share {share:.4})",
                digits(*dice),
                digits(*average_precision),
            )?;
            if let Some(OperatingPoint { logit, counts, .. }) = class.best_f1 {
                let probability = autograd::Real::sigmoid(f64::from(logit));
                writeln!(
                    f,
                    "{:>width$}  above {probability:.4}, the best threshold: precision {}  recall {}  f1 {}",
                    "",
                    digits(counts.precision()),
                    digits(counts.recall()),
                    digits(counts.f1()),
                )?;
            }
        }
        Ok(())
    }
}
