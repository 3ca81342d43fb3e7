//! What a run's folder says of how the run came about, and whether it is still so when the run goes on.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use volumes::files::{read_text, rename_into_place, write_json};

use super::Plan;
use crate::config::Config;
use crate::dataset::{Checksums, Dataset, FileSum, Fold};
use crate::{Error, Result};

pub(crate) const RECORD: &str = "run.json";
/// The file of a run's settings.
pub(crate) const CONFIGURATION: &str = "config.toml";
/// How a line on a setting's origin begins.
const ORIGIN: &str = "# ";
/// The origin of what was left open by the user.
pub(crate) const BY_DATA: &str = "what the data and the machine allow";
/// The origin of a length that follows from a time.
pub(crate) const BY_TIME: &str = "--time";
/// What stands before the origin.
const BY: &str = " is set by ";

/// What a result depends on beside the code.
#[derive(Serialize)]
struct Record<'a, O> {
    version: &'static str,
    instruction_set: String,
    threads: usize,
    dataset: String,
    #[serde(flatten)]
    basis: &'a Basis<'a, O>,
    #[serde(flatten)]
    division: &'a Division,
    files: Vec<FileSum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<OtherFolder>,
}

/// What a run is trained as.
#[derive(Serialize)]
pub(crate) struct Basis<'a, O> {
    pub(crate) plan: &'a Plan,
    /// What it takes of the machine.
    pub(crate) outlook: &'a O,
    /// Voxels of each class in the training cases, by name.
    pub(crate) class_voxels: Vec<(String, u64)>,
}

/// Where settings come from that are not the default's, by key: a flag, a file, or the data.
pub(crate) type SettingOrigins = BTreeMap<String, String>;

/// The data set that validation cases are of, where it is another one.
#[derive(Serialize, Deserialize)]
struct OtherFolder {
    dataset: String,
    files: Vec<FileSum>,
}

/// The data sets that cases are of.
#[derive(Clone, Copy)]
pub(crate) struct Origins<'a> {
    /// The training cases', and where there is no other the validation cases'.
    pub(crate) training: &'a Dataset,
    /// The validation cases'.
    pub(crate) validation: Option<&'a Dataset>,
    /// What is known of their files.
    pub(crate) checksums: &'a Checksums,
}

/// Of a record, what must still hold.
#[derive(Deserialize)]
struct Began {
    instruction_set: String,
    #[serde(flatten)]
    division: Division,
    files: Vec<FileSum>,
    /// Older versions do not say it.
    validation: Option<OtherFolder>,
}

/// Which cases a run is trained on, and which it is held against.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Division {
    /// The fold that is held out; `None` where the cases are not divided so.
    #[serde(default)]
    pub(crate) fold: Option<Fold>,
    pub(crate) training_cases: Vec<String>,
    pub(crate) validation_cases: Vec<String>,
}

impl OtherFolder {
    fn new(dataset: &Dataset, known: &Checksums) -> Result<Self> {
        let files = dataset.checksums_of(&dataset.training, known)?;
        Ok(Self { dataset: dataset.path.display().to_string(), files })
    }
}

/// Writes `config.toml` and `run.json`.
pub(crate) fn write(
    folder: &Path,
    (config, settings): (&Config, &SettingOrigins),
    origins: Origins<'_>,
    basis: &Basis<'_, impl Serialize>,
    division: &Division,
) -> Result<()> {
    write_configuration(folder, config, settings)?;
    let record = Record {
        version: env!("CARGO_PKG_VERSION"),
        instruction_set: autograd::simd::active().to_string(),
        threads: config.training.pool_threads(),
        dataset: origins.training.path.display().to_string(),
        basis,
        division,
        files: origins.training.checksums(origins.checksums)?,
        validation: origins
            .validation
            .map(|dataset| OtherFolder::new(dataset, origins.checksums))
            .transpose()?,
    };
    Ok(write_json(&folder.join(RECORD), &record)?)
}

/// Writes `config.toml`, which begins with where its settings come from; a run that goes on may have other settings than it
/// began with.
pub(crate) fn write_configuration(folder: &Path, config: &Config, settings: &SettingOrigins) -> Result<()> {
    let origins = settings.iter().map(|(key, origin)| format!("{ORIGIN}{key}{BY}{origin}\n"));
    let text = origins.collect::<String>() + &config.to_toml();
    Ok(rename_into_place(&folder.join(CONFIGURATION), |out| out.write_all(text.as_bytes()))?)
}

/// What [`write_configuration`] wrote of the settings' origins into a text.
pub(crate) fn setting_origins(text: &str) -> SettingOrigins {
    let of_line = |line: &str| {
        let (key, origin) = line.strip_prefix(ORIGIN)?.split_once(BY)?;
        Some((key.to_owned(), origin.to_owned()))
    };
    text.lines().map_while(of_line).collect()
}

/// A setting that a run was begun with, and that is asked for otherwise.
pub(crate) struct OtherSetting {
    pub(crate) key: String,
    pub(crate) asked: String,
    pub(crate) begun: String,
}

/// The first setting, but for `free` ones, that a run was begun with otherwise than is asked for. What was left to the data
/// and the machine then, or to --time, is as it was settled.
///
/// # Errors
/// If the run's configuration cannot be read.
pub(crate) fn other_setting(folder: &Path, asked: &Config, free: &[&str]) -> Result<Option<OtherSetting>> {
    let path = folder.join(CONFIGURATION);
    let text = read_text(&path)?;
    let begun = Config::load(Some((&path.display().to_string(), &text)), &[])?.settings();
    let origins = setting_origins(&text);
    let settled =
        |key: &str| origins.get(key).is_some_and(|origin| [BY_DATA, BY_TIME].contains(&origin.as_str()));
    let other = asked.settings().into_iter().find_map(|(key, asked)| {
        let begun = begun.get(&key)?;
        let differs = *begun != asked && !settled(&key) && !free.contains(&key.as_str());
        differs.then(|| OtherSetting { asked: asked.to_string(), begun: begun.to_string(), key })
    });
    Ok(other)
}

/// Checks that a run goes on with the cases that it began with, voxel by voxel. Gives what is to be said of another
/// instruction set: the run is then not, bit for bit, the one that was not interrupted.
pub(crate) fn check(folder: &Path, origins: Origins<'_>, now: &Division) -> Result<Option<String>> {
    let path = folder.join(RECORD);
    let began: Began = serde_json::from_str(&read_text(&path)?).map_err(|e| {
        let remedy = "begin anew in another --out, from this run's weights with --init if you like";
        Error::file(&path, format!("is no record of a run ({e}): {remedy}"))
    })?;
    check_cases(&path, &began.division, now)?;
    // Files for testing and the words of `dataset.json` may change.
    let files_now = |dataset: &Dataset| dataset.checksums_of(&dataset.training, origins.checksums);
    check_files(&path, &began.files, &files_now(origins.training)?)?;
    if let (Some(validation), Some(began)) = (origins.validation, &began.validation) {
        check_files(&path, &began.files, &files_now(validation)?)?;
    }
    let active = autograd::simd::active().to_string();
    Ok((began.instruction_set != active).then(|| {
        format!(
            "the run began with {} and goes on with {active}: it will differ in rounding from one that was not interrupted",
            began.instruction_set
        )
    }))
}

fn check_cases(record: &Path, began: &Division, now: &Division) -> Result<()> {
    let cases = |division: &Division| (listed(&division.training_cases), listed(&division.validation_cases));
    let ((training, validation), (now_training, now_validation)) = (cases(began), cases(now));
    if training == now_training && validation == now_validation {
        return Ok(());
    }
    let message = format!(
        "the run began with training cases {training} and validation cases {validation}{}, not {now_training} and {now_validation}: name the same data set with the same folds, and the same --validation if there was one",
        began.fold.map(|fold| format!(", {fold}")).unwrap_or_default(),
    );
    Err(Error::file(record, message))
}

fn listed(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

fn check_files(record: &Path, began: &[FileSum], now: &[FileSum]) -> Result<()> {
    let Some(file) = now.iter().find(|file| !began.contains(file)) else { return Ok(()) };
    let sum = |file: &FileSum| format!("of {} bytes with CRC-32C {:08x}", file.bytes, file.crc32c);
    let before = match began.iter().find(|before| before.path == file.path) {
        Some(before) => format!("with another {}: {}", file.path, sum(before)),
        None => format!("without {}", file.path),
    };
    let message = format!(
        "the run began {before}, now it is one {}; make it as it was, or begin a new run in another --out, from this one's weights with --init if you like",
        sum(file)
    );
    Err(Error::file(record, message))
}
