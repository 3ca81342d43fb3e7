//! The study as text: settings, a row for each arm, recall by epoch, differences, and the verdict.

use std::fmt;

use super::{Arm, Difference, Figure, RunResult, Study, verdict};

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dataset, training, evaluation, evaluation_kind, halves, positives, negatives, .. } = self;
        writeln!(
            f,
            "{dataset}: {positives} positive and {negatives} negative voxels to train on ({})",
            training.join(", ")
        )?;
        writeln!(f, "measured on {}: {evaluation_kind}", evaluation.join(", "))?;
        writeln!(f, "thresholds and calibrations are {halves}")?;
        let several = self.seeds().len() > 1;
        let rows = if several { "; a row is the mean over seeds, ± half of their range" } else { "" };
        writeln!(f, "{} steps, {}{rows}\n", self.steps, self.seeds_in_words())?;
        for arm in self.arms() {
            writeln!(f, "{arm:>13}  {}", arm.describe(*positives, *negatives))?;
        }
        self.main_table(f)?;
        self.calibration_table(f)?;
        self.epochs_table(f)?;
        self.differences_table(f)?;
        writeln!(f, "\n{}", verdict::verdict(self))
    }
}

impl Study {
    /// The seeds that any run has.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.runs.iter().map(|run| run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    fn main_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precise = format!("recall >= {}", self.recall);
        writeln!(
            f,
            "\n{:>13} {:^35} {:>11} {:^23} {:^23}",
            "", "at raw probability 0.5", "", "best f1", precise
        )?;
        let heads = ["precision", "recall", "f1 = Dice", "AP", "threshold", "f1", "precision", "recall"];
        write!(f, "{:>13}", "arm")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>11}"))?;
        writeln!(f)?;
        for arm in self.arms() {
            write!(f, "{arm:>13}")?;
            type Value<'a> = &'a dyn Fn(&RunResult) -> Option<f64>;
            let values: [Value<'_>; 8] = [
                &|run| Figure::PrecisionAtHalf.of(run),
                &|run| Figure::RecallAtHalf.of(run),
                &|run| Figure::F1AtHalf.of(run),
                &|run| run.average_precision,
                &|run| run.best_f1.map(|point| point.probability),
                &|run| Figure::BestF1.of(run),
                &|run| Figure::PrecisionAtRecall.of(run),
                &|run| run.precise.and_then(|point| point.counts.recall()),
            ];
            values.iter().try_for_each(|value| write!(f, " {:>11}", self.spread(arm, 3, *value)))?;
            writeln!(f)?;
        }
        let support = self.runs.first().map_or(0, |run| run.at_half.support());
        writeln!(f, "support: {support} positive voxels; thresholds are calibrated probabilities")
    }

    fn calibration_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:>13} {:>10} {:>10} {:>12} {:>12} {:>10} {:>10} {:>10}",
            "arm", "Brier", "after", "calib. error", "after", "mean p", "after", "fg share"
        )?;
        for arm in self.arms() {
            let mean = |value: &dyn Fn(&RunResult) -> Option<f64>| {
                self.mean(arm, value).map_or_else(|| "undefined".to_owned(), |value| format!("{value:.5}"))
            };
            writeln!(
                f,
                "{arm:>13} {:>10} {:>10} {:>12} {:>12} {:>10} {:>10} {:>10}",
                mean(&|run| run.before.brier),
                mean(&|run| run.after.brier),
                mean(&|run| run.before.calibration_error),
                mean(&|run| run.after.calibration_error),
                mean(&|run| run.before.mean_probability),
                mean(&|run| run.after.mean_probability),
                mean(&|run| run.after.share),
            )?;
        }
        Ok(())
    }

    /// Recall at 0.5 and the mean probability after each epoch, means over seeds.
    fn epochs_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.runs.first() else { return Ok(()) };
        writeln!(
            f,
            "\nrecall at raw probability 0.5 (mean raw probability; the foreground's share of the voxels is {:.4}) after epoch",
            first.epochs.first().map_or(0.0, |e| e.share)
        )?;
        write!(f, "{:>13}", "arm")?;
        first.epochs.iter().try_for_each(|epoch| write!(f, " {:>15}", epoch.epoch))?;
        writeln!(f)?;
        for arm in self.arms() {
            write!(f, "{arm:>13}")?;
            for number in first.epochs.iter().map(|epoch| epoch.epoch) {
                let of_run = |run: &'_ &RunResult| run.epochs.iter().find(|e| e.epoch == number).cloned();
                let runs: Vec<_> = self.of(arm).iter().filter_map(of_run).collect();
                let n = runs.len().max(1) as f64;
                let recall = runs.iter().map(|e| e.recall).sum::<f64>() / n;
                let probability = runs.iter().map(|e| e.mean_probability).sum::<f64>() / n;
                write!(f, " {:>15}", format!("{recall:.3} ({probability:.4})"))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// Of every arm but the first, in figures that arms are compared by.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let arms = self.arms();
        let Some((&base, others)) = arms.split_first() else { return Vec::new() };
        let figures =
            [Figure::PrecisionAtHalf, Figure::RecallAtHalf, Figure::AveragePrecision, Figure::BestF1];
        let of_arm = |&arm: &Arm| figures.map(|figure| Difference::new(self, figure, arm, base));
        others.iter().flat_map(of_arm).flatten().collect()
    }

    /// How differences are to be read; `None` where there is one arm.
    pub(super) fn differences_in_words(&self) -> Option<String> {
        let base = self.arms().first().copied().filter(|_| self.arms().len() > 1)?;
        let (how, noise) = match self.seeds().len() {
            1 => ("the difference", "one seed cannot tell a difference from noise"),
            2 => (
                "range over seeds",
                "more than noise is what has one sign with both seeds, and a mean above what two seeds of one arm differ by",
            ),
            _ => (
                "95 % interval of the mean by Student's t",
                "more than noise is what has an interval without 0",
            ),
        };
        Some(format!("Differences to {base}, paired by seed: mean [{how}]; {noise}."))
    }

    fn differences_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(how) = self.differences_in_words() else { return Ok(()) };
        let differences = self.differences();
        let starred = differences.iter().any(|d| d.beyond_noise);
        writeln!(f, "\n{how}{}", if starred { " * marks it." } else { "" })?;
        for d in differences {
            let [low, high] = d.interval;
            let star = if d.beyond_noise { " *" } else { "" };
            let (arm, figure, mean) = (d.arm, d.figure.name(), d.mean);
            writeln!(f, "{arm:>13}  {figure:<26} {mean:+.4} [{low:+.4}, {high:+.4}]{star}")?;
        }
        Ok(())
    }

    /// Such as `seeds 0, 1`.
    pub(super) fn seeds_in_words(&self) -> String {
        let seeds: Vec<String> = self.seeds().iter().map(u64::to_string).collect();
        format!("seed{} {}", if seeds.len() == 1 { "" } else { "s" }, seeds.join(", "))
    }

    /// The mean over an arm's seeds, ± half of their range where there are several.
    pub(super) fn spread(
        &self,
        arm: Arm,
        digits: usize,
        value: &dyn Fn(&RunResult) -> Option<f64>,
    ) -> String {
        let values: Vec<f64> = self.of(arm).into_iter().filter_map(value).collect();
        if values.is_empty() {
            return "undefined".to_owned();
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match values.len() {
            1 => format!("{mean:.digits$}"),
            _ => format!("{mean:.digits$}±{:.digits$}", (high - low) / 2.0),
        }
    }

    /// The mean over an arm's seeds.
    pub(super) fn mean(&self, arm: Arm, value: impl Fn(&RunResult) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.of(arm).into_iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
