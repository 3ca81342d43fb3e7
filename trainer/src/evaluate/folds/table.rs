//! A cross-validation as text.

use std::fmt;

use super::{ClassSummary, FoldClass, FoldFigures, Spread, Summary};
use crate::report::table;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folds, cases, threshold, .. } = self;
        let is_once = self.by_fold.iter().map(|fold| fold.cases.len()).sum::<usize>() == *cases;
        let of = if is_once { "the one" } else { "every one" };
        write!(
            f,
            "{folds} folds, each of {cases} cases counted in {of} that held it out, as the model of all folds reads it"
        )?;
        if let Some(threshold) = threshold {
            write!(f, ", foreground above calibrated probability {threshold:.4}")?;
        }
        writeln!(f, "\n")?;
        let titles = ["fold", "cases", "class", "dice", "precision", "recall"];
        let row = |figures: &FoldFigures, class: &FoldClass| -> Vec<String> {
            let place =
                [figures.fold.index.to_string(), figures.cases.join(", "), class.name.clone()].into_iter();
            let ratios = [class.dice, class.precision, class.recall];
            place.chain(ratios.map(digits)).collect()
        };
        let rows =
            self.by_fold.iter().flat_map(|fold| fold.classes.iter().map(move |class| row(fold, class)));
        table(f, &titles, rows.collect(), 3)?;

        writeln!(f, "\nmeans over the folds ± standard deviation (in how many defined, in how many not)\n")?;
        let titles = ["class", "dice", "precision", "recall"];
        let row = |class: &ClassSummary| -> Vec<String> {
            let spreads = [class.dice, class.precision, class.recall];
            std::iter::once(class.name.clone()).chain(spreads.map(|spread| spread.to_string())).collect()
        };
        table(f, &titles, self.classes.iter().map(row).collect(), 1)?;

        writeln!(f, "\nall voxels of all cases\n")?;
        let titles = ["class", "tp", "fp", "fn", "dice", "precision", "recall"];
        let row = |ClassSummary { name, all_cases: all, .. }: &ClassSummary| -> Vec<String> {
            let counts = [all.counts.true_positives, all.counts.false_positives, all.counts.false_negatives];
            let counts = counts.map(|count| count.to_string());
            let ratios = [all.dice, all.precision, all.recall].map(digits);
            std::iter::once(name.clone()).chain(counts).chain(ratios).collect()
        };
        table(f, &titles, self.classes.iter().map(row).collect(), 1)
    }
}

/// `0.8123 ± 0.0312 (5, 0)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, deviation } = self;
        write!(f, "{} ± {} ({}, {})", digits(mean.value), digits(*deviation), mean.n, mean.undefined)
    }
}

fn digits(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
