//! `study.html`: the study's tables, verdict and charts.

use super::{Arm, Difference, Figure, RunResult, Study, verdict};
use crate::report::{Cell, Chart, Page, Series, number};

/// The page; `slices` are PNG files in base64, one for an arm.
pub fn html(study: &Study, slices: &[(Arm, String)]) -> String {
    let mut page = Page::new(&format!("Study of {}", study.dataset));
    page.paragraph(&format!(
        "{} positive and {} negative voxels to train on ({}). Measured on {}: {}. Thresholds and calibrations are {}. {} steps, {}.",
        study.positives,
        study.negatives,
        study.training.join(", "),
        study.evaluation.join(", "),
        study.evaluation_kind,
        study.halves,
        study.steps,
        study.seeds_in_words()
    ));
    arms(&mut page, study);
    differences(&mut page, study);
    page.heading("Verdict");
    page.lines("verdict", &verdict::verdict(study));
    page.heading("Curves");
    page.figures(|page| {
        precision_recall(page, study);
        recall_over_epochs(page, study);
    });
    page.heading("Reliability");
    page.figures(|page| study.arms().into_iter().for_each(|arm| reliability(page, study, arm)));
    page.heading("Slices");
    page.figures(|page| {
        for (arm, png) in slices {
            page.picture(png, &format!("{arm}, at probability 0.5"));
        }
    });
    page.finish()
}

fn arms(page: &mut Page, study: &Study) {
    let precise = format!("precision, recall ≥ {}", study.recall);
    let titles = [
        "arm",
        "precision at 0.5",
        "recall at 0.5",
        "f1 = Dice at 0.5",
        "average precision",
        "best f1",
        &precise,
        "Brier before",
        "after",
        "calibration error before",
        "after",
    ];
    let row = |(colour, arm): (usize, Arm)| -> Vec<Cell> {
        type Value<'a> = (usize, &'a dyn Fn(&RunResult) -> Option<f64>);
        let values: [Value<'_>; 10] = [
            (3, &|run| Figure::PrecisionAtHalf.of(run)),
            (3, &|run| Figure::RecallAtHalf.of(run)),
            (3, &|run| Figure::F1AtHalf.of(run)),
            (3, &|run| Figure::AveragePrecision.of(run)),
            (3, &|run| Figure::BestF1.of(run)),
            (3, &|run| Figure::PrecisionAtRecall.of(run)),
            (5, &|run| run.before.brier),
            (5, &|run| run.after.brier),
            (5, &|run| run.before.calibration_error),
            (5, &|run| run.after.calibration_error),
        ];
        let name = Cell::from(arm).coloured(colour);
        let name = name.titled(arm.describe(study.positives, study.negatives));
        let cells = values.iter().map(|(digits, value)| study.spread(arm, *digits, value).into());
        std::iter::once(name).chain(cells).collect()
    };
    let rows: Vec<Vec<Cell>> = study.arms().into_iter().enumerate().map(row).collect();
    page.table("arms", &titles, &rows, 1);
    for arm in study.arms() {
        page.note(&format!("{arm}: {}", arm.describe(study.positives, study.negatives)));
    }
    if study.seeds().len() > 1 {
        page.note("A cell is the mean over seeds, ± half of their range.");
    }
}

fn differences(page: &mut Page, study: &Study) {
    let rows: Vec<Vec<Cell>> = study.differences().into_iter().map(|d| difference(&d)).collect();
    if let Some(how) = study.differences_in_words().filter(|_| !rows.is_empty()) {
        page.heading("Differences");
        page.table("differences", &["arm", "figure", "mean", "from", "to", "more than noise"], &rows, 2);
        page.note(&how);
    }
}

fn difference(d: &Difference) -> Vec<Cell> {
    let signed = |value: f64| format!("{value:+.4}").into();
    let noise = if d.beyond_noise { "yes" } else { "no" };
    let [low, high] = d.interval;
    vec![d.arm.into(), d.figure.name().into(), signed(d.mean), signed(low), signed(high), noise.into()]
}

/// The first seed of each arm, with its operating points.
fn precision_recall(page: &mut Page, study: &Study) {
    let mut chart = Chart::new("recall", "precision", 0.0..1.0, 0.0..1.0);
    for (i, arm) in study.arms().into_iter().enumerate() {
        let run = study.of(arm)[0];
        let mut series = Series::new(arm.name(), i);
        series.points = run.curve.iter().map(|p| (p.recall, p.precision)).collect();
        chart.series.push(series);
        let at_half = run.at_half.recall().zip(run.at_half.precision());
        let precise = run.precise.and_then(|p| p.counts.recall().zip(p.counts.precision()));
        chart.dots.extend(at_half.map(|place| (place, i, true)));
        chart.dots.extend(precise.map(|place| (place, i, false)));
    }
    page.chart(
        "pr",
        &chart,
        "Precision and recall of the first seed at every threshold. Full dots: probability 0.5; rings: chosen for precision \
         with the wanted recall on one half, measured on the other.",
    );
}

fn recall_over_epochs(page: &mut Page, study: &Study) {
    let epochs = study.runs.iter().flat_map(|run| &run.epochs).map(|e| e.epoch).max().unwrap_or(1);
    let mut chart = Chart::new("epoch", "recall at 0.5", 1.0..(epochs as f64).max(2.0), 0.0..1.0);
    for (i, arm) in study.arms().into_iter().enumerate() {
        let mut series = Series::new(arm.name(), i);
        series.points = study.of(arm)[0].epochs.iter().map(|e| (e.epoch as f64, e.recall)).collect();
        series.marks = true;
        chart.series.push(series);
    }
    page.chart("epochs", &chart, "Recall at probability 0.5 after each epoch, first seed.");
}

fn reliability(page: &mut Page, study: &Study, arm: Arm) {
    let run = study.of(arm)[0];
    let kinds = [("before", &run.before), ("after", &run.after)];
    let chart = Chart::of_reliability(&kinds);
    let error = |r: &metrics::Reliability| number(r.calibration_error, 5);
    let caption = format!(
        "{arm}: calibration error {} before and {} after, over {} groups of equal mass on the measured half.",
        error(&run.before),
        error(&run.after),
        run.after.groups.len()
    );
    page.chart(&format!("reliability-{arm}"), &chart, &caption);
}
