//! Several runs side by side: their figures, what their settings differ in, and of seeds the mean and the spread.

use std::collections::BTreeMap;
use std::path::Path;

use metrics::Mean;
use volumes::files::rename_into_place;

use super::page::{Cell, Page, number};
use super::run_data::RunData;
use super::{Chart, Series};
use crate::Result;

/// The key that runs of one group differ in.
const SEED: &str = "training.seed";
/// Keys that do not change what is learnt.
const INDIFFERENT: [&str; 2] = ["training.threads", "training.log_every"];

/// Writes the page of several runs.
///
/// # Errors
/// If a folder is no run's, a file of it is damaged, or the disk refuses.
pub fn write_comparison(runs: &[&Path], path: &Path) -> Result<()> {
    let runs: Vec<RunData> = runs.iter().map(|folder| RunData::read(folder)).collect::<Result<_>>()?;
    let page = comparison(&runs);
    Ok(rename_into_place(path, |out| out.write_all(page.as_bytes()))?)
}

/// What a run is judged by here: the mean Dice of its model over the classes.
fn mean_dice(run: &RunData) -> Option<f64> {
    let model = run.model.as_ref()?;
    Mean::of(model.classes.iter().filter(|class| class.learnt).map(|class| class.counts.dice())).value
}

/// Names that tell the runs apart.
fn names(runs: &[RunData]) -> Vec<String> {
    let short: Vec<String> = runs.iter().map(RunData::name).collect();
    let is_alone = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let name = |(run, short): (&RunData, &String)| {
        if is_alone(short) { short.clone() } else { run.folder.display().to_string() }
    };
    runs.iter().zip(&short).map(name).collect()
}

fn comparison(runs: &[RunData]) -> String {
    let names = names(runs);
    let mut page = Page::new(&format!("{} runs side by side", runs.len()));
    let mut sets: Vec<&str> = runs.iter().map(|run| run.record.dataset.as_str()).collect();
    sets.dedup();
    page.paragraph(&format!("Trained on {}.", sets.join(", ")));
    if runs.iter().any(|run| run.record.validation_cases != runs[0].record.validation_cases) {
        page.note("They are validated on different cases: their figures are not of the same voxels.");
    }
    figures(&mut page, runs, &names);
    seeds(&mut page, runs, &names);
    page.heading("What they differ in");
    settings(&mut page, runs, &names);
    page.heading("How training went");
    page.figures(|page| {
        let of_runs = |marks: bool, value: &dyn Fn(&RunData) -> Vec<(f64, f64)>| -> Vec<Series> {
            let series = |(index, (run, name)): (usize, (&RunData, &String))| {
                let mut series = Series::new(name, index);
                series.marks = marks;
                series.points = value(run).into_iter().filter(|(_, y)| y.is_finite()).collect();
                series
            };
            runs.iter().zip(&names).enumerate().map(series).collect()
        };
        let loss =
            of_runs(false, &|run| run.log.batches.iter().map(|line| (line.epochs(), line.loss)).collect());
        chart(page, "loss", "training loss", loss);
        let dice = of_runs(true, &|run| {
            let mean = |v: &super::LoggedValidation| {
                let dice = Mean::of(v.classes.iter().map(|class| class.counts.dice())).value;
                Some((v.epoch as f64, dice?))
            };
            run.log.validations.iter().filter_map(mean).collect()
        });
        chart(page, "dice", "mean Dice of the classes over the validated cases", dice);
    });
    page.finish()
}

fn figures(page: &mut Page, runs: &[RunData], names: &[String]) {
    let classes: Vec<&str> = runs
        .iter()
        .find_map(|run| run.model.as_ref())
        .map_or(Vec::new(), |model| model.classes.iter().map(|class| class.name.as_str()).collect());
    let mut titles = vec!["run", "epoch in use", "mean Dice"];
    let of_classes: Vec<String> = classes.iter().map(|class| format!("Dice of {class}")).collect();
    titles.extend(of_classes.iter().map(String::as_str));
    titles.extend(["objects found", "steps", "seed"]);
    let row = |(index, (run, name)): (usize, (&RunData, &String))| -> Vec<Cell> {
        let model = run.model.as_ref();
        let epoch =
            model.map_or_else(|| "–".to_owned(), |model| format!("{} of {}", model.epoch, run.epochs()));
        let mut row = vec![Cell::from(name).coloured(index), epoch.into(), number(mean_dice(run), 4).into()];
        for class in &classes {
            let own = model.and_then(|model| model.classes.iter().find(|of| of.name == *class));
            row.push(number(own.and_then(|class| class.counts.dice()), 4).into());
        }
        let objects = model.map(|model| {
            let all = model.cases.iter().flat_map(|case| &case.classes).map(|class| class.objects);
            all.fold((0, 0), |(found, of), objects| (found + objects.found, of + objects.lesions))
        });
        row.push(objects.map_or_else(|| "–".to_owned(), |(found, of)| format!("{found} of {of}")).into());
        row.push(run.network.as_ref().map_or(0, |network| network.steps).into());
        row.push(run.config.training.seed.into());
        row
    };
    let rows: Vec<Vec<Cell>> = runs.iter().zip(names).enumerate().map(row).collect();
    page.table("runs", &titles, &rows, 1);
}

/// Mean and deviation of runs that differ in the seed alone.
fn seeds(page: &mut Page, runs: &[RunData], names: &[String]) {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let mut settings = run.config.settings();
        settings.retain(|key, _| key != SEED && !INDIFFERENT.contains(&key.as_str()));
        groups.entry(format!("{settings:?} {}", run.record.dataset)).or_default().push(index);
    }
    let row = |group: &Vec<usize>| -> Option<Vec<Cell>> {
        let values: Vec<f64> = group.iter().filter_map(|&index| mean_dice(&runs[index])).collect();
        if values.len() < 2 {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let members: Vec<&str> = group.iter().map(|&index| names[index].as_str()).collect();
        let cell = format!("{mean:.4} ± {deviation:.4}");
        Some(vec![members.join(", ").into(), values.len().into(), cell.into()])
    };
    let rows: Vec<Vec<Cell>> = groups.values().filter_map(row).collect();
    if !rows.is_empty() {
        page.heading("Seeds");
        page.table(
            "seeds",
            &["runs that differ in the seed alone", "runs", "mean Dice ± deviation"],
            &rows,
            1,
        );
    }
}

/// The settings that are not the same in all runs.
fn settings(page: &mut Page, runs: &[RunData], names: &[String]) {
    let all: Vec<BTreeMap<String, toml::Value>> = runs.iter().map(|run| run.config.settings()).collect();
    let differ = |key: &&String| all.iter().any(|settings| settings.get(*key) != all[0].get(*key));
    let row = |key: &String| -> Vec<Cell> {
        let value = |settings: &BTreeMap<String, toml::Value>| {
            settings.get(key).map_or(String::new(), ToString::to_string)
        };
        std::iter::once(key.into()).chain(all.iter().map(|settings| value(settings).into())).collect()
    };
    let rows: Vec<Vec<Cell>> = all[0].keys().filter(differ).map(row).collect();
    if rows.is_empty() {
        return page.paragraph("Nothing: all settings are the same.");
    }
    let titles: Vec<&str> = std::iter::once("key").chain(names.iter().map(String::as_str)).collect();
    page.table("settings", &titles, &rows, titles.len());
}

fn chart(page: &mut Page, id: &str, what: &str, series: Vec<Series>) {
    let points = || series.iter().flat_map(|series| &series.points);
    let last = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let most = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let least = points().map(|(_, y)| *y).fold(0.0, f64::min);
    let mut chart = Chart::new("epoch", what, 0.0..last, least..most * 1.05);
    chart.series = series;
    page.chart(id, &chart, &format!("The {what} by epoch."));
}
