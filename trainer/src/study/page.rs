//! `study.html`: one file that needs no network and runs no script.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Arm, RunResult, Study, verdict};
use crate::report::{Chart, Series};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}figure{margin:1rem 0;max-width:520px}figcaption{color:#555}\
.charts{display:flex;flex-wrap:wrap;gap:1rem}svg,img{max-width:100%;height:auto}pre{white-space:pre-wrap;font:inherit}\
.swatch{display:inline-block;width:.8em;height:.8em;margin-right:.4em}";

/// The page; `slices` are PNG files, one for an arm.
pub fn html(study: &Study, slices: &[(Arm, Vec<u8>)]) -> String {
    let mut page = String::new();
    write_page(&mut page, study, slices).expect("a string takes text");
    page
}

fn write_page(page: &mut String, study: &Study, slices: &[(Arm, Vec<u8>)]) -> std::fmt::Result {
    let title = format!("Study of {}", escape(&study.dataset));
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    )?;
    writeln!(
        page,
        "<p>{} positive and {} negative voxels to train on ({}). Measured on {}: {}. Thresholds and calibrations are {}. \
         {} steps, seeds {:?}.</p>",
        study.positives,
        study.negatives,
        escape(&study.training.join(", ")),
        escape(&study.evaluation.join(", ")),
        escape(&study.evaluation_kind),
        escape(&study.halves),
        study.steps,
        study.seeds()
    )?;
    table(page, study)?;
    writeln!(page, "<h2>Verdict</h2>\n<pre id=\"verdict\">{}</pre>", escape(&verdict::verdict(study)))?;
    writeln!(page, "<div class=\"charts\">")?;
    precision_recall(page, study)?;
    recall_over_epochs(page, study)?;
    writeln!(page, "</div>\n<h2>Reliability</h2>\n<div class=\"charts\">")?;
    for arm in study.arms() {
        reliability(page, study, arm)?;
    }
    writeln!(page, "</div>\n<h2>Slices</h2>\n<div class=\"charts\">")?;
    for (arm, png) in slices {
        writeln!(
            page,
            "<figure><img alt=\"slices of {arm}\" src=\"data:image/png;base64,{}\"><figcaption>{arm}, at probability \
             0.5</figcaption></figure>",
            STANDARD.encode(png)
        )?;
    }
    writeln!(page, "</div>\n</body></html>")
}

fn table(page: &mut String, study: &Study) -> std::fmt::Result {
    writeln!(
        page,
        "<table id=\"arms\"><tr><th>arm</th><th>precision at 0.5</th><th>recall</th><th>f1 = Dice</th><th>average precision\
         </th><th>best f1</th><th>precision, recall ≥ {}</th><th>Brier before, after</th><th>calibration error before, \
         after</th></tr>",
        study.recall
    )?;
    for (i, arm) in study.arms().into_iter().enumerate() {
        let mean = |digits: usize, value: &dyn Fn(&RunResult) -> Option<f64>| {
            study.mean(arm, value).map_or("undefined".to_owned(), |value| format!("{value:.digits$}"))
        };
        use super::Figure::*;
        writeln!(
            page,
            "<tr><td title=\"{}\"><span class=\"swatch\" style=\"background:{}\"></span>{arm}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}, {}</td><td>{}, {}</td></tr>",
            escape(&arm.describe(study.positives, study.negatives)),
            Chart::colour(i),
            mean(3, &|run| PrecisionAtHalf.of(run)),
            mean(3, &|run| RecallAtHalf.of(run)),
            mean(3, &|run| F1AtHalf.of(run)),
            mean(3, &|run| AveragePrecision.of(run)),
            mean(3, &|run| BestF1.of(run)),
            mean(3, &|run| PrecisionAtRecall.of(run)),
            mean(5, &|run| run.before.brier),
            mean(5, &|run| run.after.brier),
            mean(5, &|run| run.before.calibration_error),
            mean(5, &|run| run.after.calibration_error),
        )?;
    }
    writeln!(page, "</table>")
}

/// The first seed of each arm, with its operating points.
fn precision_recall(page: &mut String, study: &Study) -> std::fmt::Result {
    let mut chart = Chart::new("recall", "precision", 0.0..1.0, 0.0..1.0);
    for (i, arm) in study.arms().into_iter().enumerate() {
        let run = study.of(arm)[0];
        let points = run.curve.iter().map(|p| (p.recall, p.precision)).collect();
        chart.series.push(Series { name: arm.to_string(), points, colour: i, marks: false });
        let at_half = run.at_half.recall().zip(run.at_half.precision());
        let precise = run.precise.and_then(|p| p.counts.recall().zip(p.counts.precision()));
        chart.dots.extend(at_half.map(|place| (place, i, true)));
        chart.dots.extend(precise.map(|place| (place, i, false)));
    }
    figure(
        page,
        "pr",
        &chart,
        "Precision and recall of the first seed at every threshold. Full dots: probability 0.5; rings: chosen for precision \
         with the wanted recall on one half, measured on the other.",
    )
}

fn recall_over_epochs(page: &mut String, study: &Study) -> std::fmt::Result {
    let epochs = study.runs.iter().flat_map(|run| &run.epochs).map(|e| e.epoch).max().unwrap_or(1);
    let mut chart = Chart::new("epoch", "recall at 0.5", 1.0..(epochs as f64).max(2.0), 0.0..1.0);
    for (i, arm) in study.arms().into_iter().enumerate() {
        let points = study.of(arm)[0].epochs.iter().map(|e| (e.epoch as f64, e.recall)).collect();
        chart.series.push(Series { name: arm.to_string(), points, colour: i, marks: true });
    }
    figure(page, "epochs", &chart, "Recall at probability 0.5 after each epoch, first seed.")
}

fn reliability(page: &mut String, study: &Study, arm: Arm) -> std::fmt::Result {
    let run = study.of(arm)[0];
    let most = [&run.before, &run.after].into_iter().flat_map(|r| &r.groups);
    let most = most.map(|g| g.probability.max(g.positives)).fold(1e-6, f64::max);
    let mut chart = Chart::new("mean probability", "share of positives", 0.0..most, 0.0..most);
    chart.series.push(Series {
        name: "ideal".into(),
        points: vec![(0.0, 0.0), (most, most)],
        colour: 7,
        marks: false,
    });
    for (i, (name, r)) in [("before", &run.before), ("after", &run.after)].into_iter().enumerate() {
        let points = r.groups.iter().map(|g| (g.probability, g.positives)).collect();
        chart.series.push(Series { name: name.into(), points, colour: i, marks: true });
    }
    let error = |r: &metrics::Reliability| r.calibration_error.map_or("–".into(), |e| format!("{e:.5}"));
    let caption = format!(
        "{arm}: calibration error {} before and {} after, over {} groups of equal mass on the measured half.",
        error(&run.before),
        error(&run.after),
        run.after.groups.len()
    );
    figure(page, &format!("reliability-{arm}"), &chart, &caption)
}

fn figure(page: &mut String, id: &str, chart: &Chart, caption: &str) -> std::fmt::Result {
    writeln!(page, "<figure id=\"{id}\">{}<figcaption>{}</figcaption></figure>", chart.svg(), escape(caption))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
