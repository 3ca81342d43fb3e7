//! `report.html` of a run: which model is used and how good it is, how training went, and what it was trained on.

mod curves;
mod objects;

use std::path::{Path, PathBuf};

use volumes::files::rename_into_place;

use super::log_line::hms;
use super::methods::{loss_in_words, methods};
use super::page::{Cell, Page, count, number};
use super::run_data::RunData;
use super::{CaseReport, ModelReport};
use crate::Result;
use crate::run::folder::PAGE;

/// Writes the page of a run into its folder and gives its path.
///
/// # Errors
/// If the folder is no run's, a file of it is damaged, or the disk refuses.
pub fn write_run_page(folder: &Path) -> Result<PathBuf> {
    let (page, path) = (run_page(&RunData::read(folder)?), folder.join(PAGE));
    rename_into_place(&path, |out| out.write_all(page.as_bytes()))?;
    Ok(path)
}

fn run_page(run: &RunData) -> String {
    let mut page = Page::new(&format!("Run {}", run.name()));
    page.paragraph(&in_use(run));
    if let Some(model) = &run.model {
        classes(&mut page, model);
    }
    page.heading("How training went");
    curves::training(&mut page, run);
    if let Some(model) = &run.model {
        page.heading("Precision, recall and probabilities");
        curves::probabilities(&mut page, model);
        cases(&mut page, model);
        objects::objects(&mut page, model);
        slices(&mut page, run, model);
    }
    page.heading("What it was trained on");
    data(&mut page, run);
    page.heading("Methods");
    if let Some(network) = &run.network {
        page.lines("methods", &methods(run, network));
    }
    settings(&mut page, run);
    page.heading("Time and memory");
    time_and_memory(&mut page, run);
    page.finish()
}

/// Which model predictions use, and how good it is.
pub(crate) fn in_use(run: &RunData) -> String {
    let epochs = run.epochs();
    let Some(network) = &run.network else {
        return "Training has begun; there is no model yet.".to_owned();
    };
    let digest = format!("step {}, weights {} (CRC-32C)", network.steps, network.digest);
    let Some(model) = &run.model else {
        return format!("Predictions use the last weights ({digest}); no whole case has been validated yet.");
    };
    let ModelReport { epoch, value, metric, .. } = model;
    if !run.is_best {
        let of =
            if model.on_training_cases { "the TRAINING cases, which flatter it" } else { "validation cases" };
        return format!(
            "Predictions use the last weights ({digest}). The figures are of the model after epoch {epoch} of {epochs}, on {of}."
        );
    }
    let validations = run.log.validations.len();
    let best = if validations == 1 {
        "the only validation".to_owned()
    } else {
        format!("the best of {validations} validations")
    };
    format!(
        "Predictions use the model after epoch {epoch} of {epochs} ({digest}): {best}, with {} ({metric}). All figures are of that model, of the masks that it predicts.",
        number(*value, 4)
    )
}

fn classes(page: &mut Page, model: &ModelReport) {
    let row = |(index, class): (usize, &super::ClassReport)| -> Vec<Cell> {
        let objects = model.cases.iter().filter_map(|case| case.classes.get(index)).fold(
            metrics::LesionCounts::default(),
            |mut sum, class| {
                sum.merge(&class.objects);
                sum
            },
        );
        let name = if class.learnt {
            class.name.clone()
        } else {
            format!("{} (no training case holds it)", class.name)
        };
        vec![
            Cell::from(name).coloured(index),
            number(class.counts.dice(), 4).into(),
            number(class.counts.precision(), 4).into(),
            number(class.counts.recall(), 4).into(),
            number(class.average_precision, 4).into(),
            format!("{} of {}", objects.found, objects.lesions).into(),
            objects.false_positives.into(),
            count(class.counts.support()).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = model.classes.iter().enumerate().map(row).collect();
    let titles = [
        "class",
        "Dice",
        "precision",
        "recall",
        "average precision",
        "objects found",
        "objects invented",
        "voxels",
    ];
    page.table("classes", &titles, &rows, 1);
    page.note(
        "Over the voxels of all validated cases together. An object is a class's voxels that touch, also at a corner; one common voxel finds it.",
    );
}

/// The cases, the worst first.
fn cases(page: &mut Page, model: &ModelReport) {
    page.heading("Cases, the worst first");
    let mut rows = Vec::new();
    for case in model.worst_first() {
        for (class, of_class) in case.classes.iter().zip(&model.classes) {
            let (counts, objects) = (class.counts, class.objects);
            rows.push(vec![
                case.name.as_str().into(),
                of_class.name.as_str().into(),
                number(counts.dice(), 4).into(),
                number(counts.precision(), 4).into(),
                number(counts.recall(), 4).into(),
                format!("{} of {}", objects.found, objects.lesions).into(),
                objects.false_positives.into(),
                count(counts.support()).into(),
                count(counts.true_positives + counts.false_positives).into(),
            ]);
        }
    }
    let titles = [
        "case",
        "class",
        "Dice",
        "precision",
        "recall",
        "objects found",
        "objects invented",
        "voxels",
        "predicted voxels",
    ];
    page.table("cases", &titles, &rows, 2);
}

fn slices(page: &mut Page, run: &RunData, model: &ModelReport) {
    if model.pictures.is_empty() {
        return;
    }
    page.heading("Slices");
    let marks = run.network.as_ref().and_then(|network| network.preparation().reader.ends());
    page.note(match marks {
        Some(_) => "The first channel as the network sees it, the truth and the prediction. R and L are the patient's right and left, A and P front and back, S and I head and feet.",
        None => "The first channel as the network sees it, the truth and the prediction; which side is the patient's left is not known.",
    });
    if model.classes.len() > 1 {
        page.legend(model.classes.iter().map(|class| class.name.as_str()));
    }
    for picture in &model.pictures {
        let case = model.cases.iter().find(|case| case.name == picture.case);
        let dice = number(case.and_then(CaseReport::mean_dice), 4);
        page.picture(&picture.png, &format!("{}: mean Dice {dice}", picture.case));
    }
}

fn data(page: &mut Page, run: &RunData) {
    let record = &run.record;
    let fold = record.fold.map_or_else(String::new, |fold| format!("; held out is {fold}"));
    page.paragraph(&format!("{}{fold}.", record.dataset));
    if let Some(are) = record.outlook.as_ref().and_then(|outlook| outlook.cases_are.as_ref()) {
        page.paragraph(&format!("Cases are {are}."));
    }
    let listed = |cases: &[String]| if cases.is_empty() { "none".to_owned() } else { cases.join(", ") };
    let rows = [
        vec!["training".into(), record.training_cases.len().into(), listed(&record.training_cases).into()],
        vec![
            "validation".into(),
            record.validation_cases.len().into(),
            listed(&record.validation_cases).into(),
        ],
    ];
    page.table("divided", &["cases", "", ""], &rows, 1);
    let total: u64 = record.class_voxels.iter().map(|(_, voxels)| voxels).sum();
    if total > 0 {
        let share = |voxels: u64| format!("{:.4} %", 100.0 * voxels as f64 / total as f64);
        let row = |(name, voxels): &(String, u64)| -> Vec<Cell> {
            vec![name.as_str().into(), count(*voxels).into(), share(*voxels).into()]
        };
        let rows: Vec<Vec<Cell>> = record.class_voxels.iter().map(row).collect();
        page.table("voxels", &["class", "training voxels", "share"], &rows, 1);
    }
    page.details(&format!("{} files with their checksums", record.files.len()), |page| {
        let row = |file: &crate::dataset::FileSum| -> Vec<Cell> {
            vec![file.path.as_str().into(), count(file.bytes).into(), format!("{:08x}", file.crc32c).into()]
        };
        let rows: Vec<Vec<Cell>> = record.files.iter().map(row).collect();
        page.table("files", &["file", "bytes", "CRC-32C"], &rows, 1);
    });
}

fn settings(page: &mut Page, run: &RunData) {
    page.heading("Configuration");
    if let Some(loss) = run.network.as_ref().and_then(|network| network.loss.as_ref()) {
        page.paragraph(&format!("The loss, as it was resolved: {}.", loss_in_words(loss)));
    }
    let row = |setting: [String; 3]| -> Vec<Cell> { setting.into_iter().map(Cell::from).collect() };
    let rows: Vec<Vec<Cell>> = run.changed_settings().into_iter().map(row).collect();
    page.table("settings", &["key", "value", "set by"], &rows, 3);
    page.details("All settings", |page| page.lines("configuration", &run.config.to_toml()));
}

fn time_and_memory(page: &mut Page, run: &RunData) {
    let log = &run.log;
    let seconds = log.seconds();
    let total: f64 = seconds.parts().iter().map(|(_, seconds)| seconds).sum();
    if total > 0.0 {
        let row = |(name, seconds): (&str, f64)| -> Vec<Cell> {
            let time = hms(std::time::Duration::from_secs_f64(seconds.max(0.0)));
            vec![name.into(), time.into(), format!("{:.1} %", 100.0 * seconds / total).into()]
        };
        let rows: Vec<Vec<Cell>> = seconds.parts().into_iter().map(row).collect();
        page.table("time", &["part", "h:mm:ss", "share"], &rows, 1);
    }
    let planned = run.record.outlook.as_ref().and_then(|outlook| outlook.training.as_ref());
    let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / (1u64 << 20) as f64);
    let taken = log.ends.iter().filter_map(|end| end.peak_memory).max();
    if let (Some(planned), Some(taken)) = (planned, taken) {
        page.paragraph(&format!(
            "Memory: {} planned, {} taken at most.",
            megabytes(planned.total),
            megabytes(taken)
        ));
    }
    let record = &run.record;
    page.paragraph(&format!(
        "trainer {}, instruction set {}, {} thread{}.",
        record.version,
        record.instruction_set,
        record.threads,
        if record.threads == 1 { "" } else { "s" }
    ));
    if let Some(end) = log.ends.last() {
        page.paragraph(&format!(
            "Weights after the last step, {}: {} (CRC-32C); equal runs have equal ones.",
            end.step, end.weights_crc32c
        ));
    }
}
