//! The charts of a run.

use crate::report::page::{Page, number};
use crate::report::run_data::RunData;
use crate::report::{Chart, ClassReport, ModelReport, Series};

/// Loss, rate, Dice and recall by epoch.
pub(super) fn training(page: &mut Page, run: &RunData) {
    let log = &run.log;
    let last = run.epochs().max(1) as f64;
    page.figures(|page| {
        let mut loss = Series::new("training, mean between two log lines", 0);
        loss.points = log.batches.iter().map(|line| (line.epochs(), line.loss)).collect();
        let mut patches = Series::new("patches of validated cases", 1);
        patches.points = log.patches.iter().filter_map(|p| Some((p.epoch as f64, p.loss?))).collect();
        if log.patches.iter().any(|patches| patches.of_training_cases) {
            patches.name = "patches of TRAINING cases".to_owned();
        }
        chart(page, "loss", ("loss", last), vec![loss, patches], "The loss by epoch.");
        let mut rate = Series::new("learning rate", 0);
        rate.points = log.batches.iter().map(|line| (line.epochs(), line.lr)).collect();
        chart(page, "rate", ("learning rate", last), vec![rate], "The learning rate by epoch.");
        let lines = |value: fn(&metrics::BinaryCounts) -> Option<f64>| -> Vec<Series> {
            let names = log.validations.last().map_or(&[][..], |validation| &validation.classes);
            let line = |(index, class): (usize, &crate::report::LoggedClass)| {
                let mut series = Series::new(&class.name, index);
                series.marks = true;
                series.points = log
                    .validations
                    .iter()
                    .filter_map(|v| Some((v.epoch as f64, value(&v.classes.get(index)?.counts)?)))
                    .collect();
                series
            };
            names.iter().enumerate().map(line).collect()
        };
        let of = if log.validations.iter().any(|v| v.on_training_cases) { "TRAINING" } else { "validation" };
        let caption =
            |what: &str| format!("{what} of each class over the {of} cases, as masks are predicted.");
        share(page, "dice", ("Dice", last), lines(metrics::BinaryCounts::dice), &caption("Dice"));
        share(page, "recall", ("recall", last), lines(metrics::BinaryCounts::recall), &caption("Recall"));
    });
}

/// Precision-recall curves with the cut, and reliability.
pub(super) fn probabilities(page: &mut Page, model: &ModelReport) {
    page.figures(|page| {
        let mut chart = Chart::new("recall", "precision", 0.0..1.0, 0.0..1.0);
        for (index, class) in model.classes.iter().enumerate() {
            let mut series = Series::new(&class.name, index);
            series.points = class.curve.iter().filter_map(|cut| Some((cut.recall?, cut.precision?))).collect();
            chart.series.push(series);
            let cut = class.cut.and_then(|cut| cut.recall.zip(cut.precision));
            // Where several classes compete, the mask itself is the point.
            let mask = class.counts.recall().zip(class.counts.precision());
            chart.dots.extend(cut.or(mask).map(|place| (place, index, true)));
        }
        let cut = model.classes.iter().find_map(|class| class.cut);
        let caption = match cut {
            Some(cut) => format!(
                "Precision and recall at every threshold; the dot is the one in use, probability {:.4}: precision {}, recall {}.",
                cut.probability,
                number(cut.precision, 4),
                number(cut.recall, 4)
            ),
            None => "Precision and recall of each class against the rest, at every threshold; the dots are the masks.".to_owned(),
        };
        page.chart("pr", &chart, &caption);
        for (index, class) in model.classes.iter().enumerate() {
            reliability(page, index, class);
        }
    });
}

fn reliability(page: &mut Page, index: usize, class: &ClassReport) {
    let mut kinds = vec![("as trained", &class.as_trained)];
    kinds.extend(class.calibrated.as_ref().map(|calibrated| ("calibrated", calibrated)));
    let chart = Chart::of_reliability(&kinds);
    let errors: Vec<String> =
        kinds.iter().map(|(name, of)| format!("{name} {}", number(of.calibration_error, 5))).collect();
    let caption = format!("{}: expected calibration error {}.", class.name, errors.join(", "));
    page.chart(&format!("reliability-{}", index + 1), &chart, &caption);
}

/// A chart of shares by epoch.
fn share(page: &mut Page, id: &str, (what, last): (&str, f64), series: Vec<Series>, caption: &str) {
    let mut chart = Chart::new("epoch", what, 0.0..last, 0.0..1.0);
    chart.series = series;
    page.chart(id, &chart, caption);
}

/// A chart of what is at least 0, by epoch.
fn chart(page: &mut Page, id: &str, (what, last): (&str, f64), mut series: Vec<Series>, caption: &str) {
    series.iter_mut().for_each(|series| series.points.retain(|(_, y)| y.is_finite()));
    series.retain(|series| !series.points.is_empty());
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, y)| *y);
    let (least, most) = (values().fold(0.0, f64::min), values().fold(f64::MIN_POSITIVE, f64::max));
    let mut chart = Chart::new("epoch", what, 0.0..last, least..most * 1.05);
    chart.series = series;
    page.chart(id, &chart, caption);
}
