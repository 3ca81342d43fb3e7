//! An evaluation as text.

use super::Evaluation;
use crate::metrics::Mean;
use std::fmt;

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![titles("case class tp fp fn tn precision recall f1 dice iou")];
        for case in &self.cases {
            rows.extend(case.classes.iter().map(|class| {
                let c = class.counts;
                let counts = [c.true_positives, c.false_positives, c.false_negatives, c.true_negatives];
                let ratios = [class.precision, class.recall, class.f1, class.dice, class.iou];
                let names = [case.case.clone(), class.name.clone()];
                let cells = counts.map(|count| count.to_string()).into_iter().chain(ratios.map(ratio));
                names.into_iter().chain(cells).collect()
            }));
        }
        table(f, &rows, 2)?;

        writeln!(f, "\nmeans over cases (their number)\n")?;
        let mut rows = vec![titles("class precision recall f1 dice iou")];
        rows.extend(self.classes.iter().map(|class| {
            let means = [class.precision, class.recall, class.f1, class.dice, class.iou].map(mean);
            [class.name.clone()].into_iter().chain(means).collect()
        }));
        table(f, &rows, 1)?;
        let Mean { value, n } = self.foreground_dice;
        writeln!(
            f,
            "\nmean dice of {n} foreground {}: {}",
            if n == 1 { "class" } else { "classes" },
            ratio(value)
        )?;

        writeln!(f, "\nall voxels of all cases\n\n{}", self.report)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

fn titles(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn mean(Mean { value, n }: Mean) -> String {
    format!("{} ({n})", ratio(value))
}

/// Columns as wide as their widest cell; the first `left` are aligned to the left, the others to the right.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>], left: usize) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
