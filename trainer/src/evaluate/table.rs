//! An evaluation as text.

use std::fmt;

use metrics::{LesionCounts, Mean};

use super::{CaseEvaluation, ClassEvaluation, ClassMeans, Evaluation};
use crate::report::table;

/// With this many cases the table itself shows which are worst.
const HANDFUL: usize = 5;

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["case", "class", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "dice", "iou"];
        self.table_of_cases(f, &titles, |class| {
            let c = class.counts;
            let counts = [c.true_positives, c.false_positives, c.false_negatives, c.true_negatives];
            let ratios = [class.precision, class.recall, class.f1, class.dice, class.iou];
            counts.map(|count| count.to_string()).into_iter().chain(ratios.map(ratio)).collect()
        })?;
        writeln!(
            f,
            "\nsurfaces in mm (surface dice within {} mm; distances need the class on both sides), and objects: voxels of a class that touch, by a face, an edge or a corner, are one\n",
            self.tolerance
        )?;
        let titles =
            ["case", "class", "hd95", "assd", "surface dice", "objects found", "false positive objects"];
        self.table_of_cases(f, &titles, |class| {
            let (surface, lesions) = (class.surface, class.lesions);
            let distances = [length(surface.hd95), length(surface.assd), ratio(surface.surface_dice)];
            distances.into_iter().chain([found(&lesions), invented(&lesions)]).collect()
        })?;

        writeln!(f, "\nmeans over cases (how many have the value, in how many it is undefined)\n")?;
        let titles = ["class", "precision", "recall", "f1", "dice", "iou"];
        self.table_of_classes(f, &titles, |class| {
            [class.precision, class.recall, class.f1, class.dice, class.iou].map(|x| mean(x, ratio)).into()
        })?;
        writeln!(f)?;
        let titles = ["class", "hd95", "assd", "surface dice", "object recall", "false positive objects"];
        self.table_of_classes(f, &titles, |class| {
            let mut cells: Vec<_> = [class.hd95, class.assd].map(|x| mean(x, length)).into();
            cells.extend([class.surface_dice, class.lesion_recall].map(|x| mean(x, ratio)));
            cells.push(mean(class.false_positive_lesions, |value| decimals(value, 2)));
            cells
        })?;
        writeln!(f, "\nobjects of all cases\n")?;
        let titles = ["class", "objects found", "false positive objects"];
        self.table_of_classes(f, &titles, |class| vec![found(&class.lesions), invented(&class.lesions)])?;

        let Mean { value, n, undefined } = self.foreground_dice;
        let classes = if n == 1 { "class" } else { "classes" };
        writeln!(f, "\nmean dice of {n} foreground {classes} ({undefined} undefined): {}", ratio(value))?;
        self.worst_cases(f)?;
        writeln!(f, "\nall voxels of all cases\n\n{}", self.report)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

impl Evaluation {
    /// One row for each class of each case.
    fn table_of_cases(
        &self,
        f: &mut fmt::Formatter<'_>,
        titles: &[&str],
        cells: impl Fn(&ClassEvaluation) -> Vec<String>,
    ) -> fmt::Result {
        let row = |case: &CaseEvaluation, class: &ClassEvaluation| -> Vec<String> {
            [case.case.clone(), class.name.clone()].into_iter().chain(cells(class)).collect()
        };
        let rows = self.cases.iter().flat_map(|case| case.classes.iter().map(move |class| (case, class)));
        table(f, titles, rows.map(|(case, class)| row(case, class)).collect(), 2)
    }

    /// One row for each class.
    fn table_of_classes(
        &self,
        f: &mut fmt::Formatter<'_>,
        titles: &[&str],
        cells: impl Fn(&ClassMeans) -> Vec<String>,
    ) -> fmt::Result {
        let row = |class: &ClassMeans| [class.name.clone()].into_iter().chain(cells(class)).collect();
        table(f, titles, self.classes.iter().map(row).collect(), 1)
    }

    /// Where Dice is lowest, if one cannot see it at a glance.
    fn worst_cases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cases.len() <= HANDFUL || self.worst.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nlowest dice\n")?;
        let row =
            |worst: &super::WorstCase| vec![worst.case.clone(), worst.name.clone(), ratio(Some(worst.dice))];
        table(f, &["case", "class", "dice"], self.worst.iter().map(row).collect(), 2)
    }
}

fn decimals(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn ratio(value: Option<f64>) -> String {
    decimals(value, 4)
}

/// Millimetres.
fn length(value: Option<f64>) -> String {
    decimals(value, 3)
}

fn mean(mean: Mean, text: impl Fn(Option<f64>) -> String) -> String {
    format!("{} ({}, {})", text(mean.value), mean.n, mean.undefined)
}

fn found(lesions: &LesionCounts) -> String {
    format!("{} of {}", lesions.found, lesions.lesions)
}

fn invented(lesions: &LesionCounts) -> String {
    format!("{} of {}", lesions.false_positives, lesions.predicted)
}
