//! All that a run's folder says of the run.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use volumes::files::read_text;

use super::{ModelReport, RunLog};
use crate::config::Config;
use crate::dataset::{FileSum, Fold};
use crate::predict::{ModelFile, NetworkCard};
use crate::run::checkpoint::{BEST, CHECKPOINTS, LAST, MODEL_FILE, REPORT};
use crate::run::folder::{LOG, must_be_run};
use crate::run::record::{CONFIGURATION, RECORD, SettingOrigins, setting_origins};
use crate::{Error, Result};

/// A run, as it lies in its folder.
#[derive(Debug)]
pub(crate) struct RunData {
    /// The folder.
    pub(crate) folder: PathBuf,
    pub(crate) record: Record,
    pub(crate) config: Config,
    pub(crate) origins: SettingOrigins,
    pub(crate) log: RunLog,
    /// The network that is predicted with; none before the first checkpoint.
    pub(crate) network: Option<NetworkCard>,
    /// Its validation; none where there was none.
    pub(crate) model: Option<ModelReport>,
    /// Whether that is the best of several.
    pub(crate) is_best: bool,
}

/// Of a run's record, what is shown; older versions say less.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: String,
    pub(crate) instruction_set: String,
    pub(crate) threads: usize,
    pub(crate) dataset: String,
    #[serde(default)]
    pub(crate) class_voxels: Vec<(String, u64)>,
    #[serde(default)]
    pub(crate) fold: Option<Fold>,
    pub(crate) training_cases: Vec<String>,
    pub(crate) validation_cases: Vec<String>,
    pub(crate) files: Vec<FileSum>,
    pub(crate) outlook: Option<Planned>,
}

/// What was planned.
#[derive(Debug, Deserialize)]
pub(crate) struct Planned {
    pub(crate) cases_are: Option<String>,
    pub(crate) parameters: Option<u64>,
    pub(crate) training: Option<PlannedMemory>,
}

/// In bytes.
#[derive(Debug, Deserialize)]
pub(crate) struct PlannedMemory {
    pub(crate) total: u64,
}

impl RunData {
    /// Reads a folder that `trainer train` wrote, or is writing.
    ///
    /// # Errors
    /// If it is none, or one of its files is damaged.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        must_be_run(folder)?;
        let record = folder.join(RECORD);
        let record = json(&record, read_text(&record)?.as_bytes())?;
        let settings = folder.join(CONFIGURATION);
        let text = read_text(&settings)?;
        let config = Config::load(Some((&settings.display().to_string(), &text)), &[])?;
        let log = RunLog::read(&folder.join(LOG))?;
        let model = folder.join(MODEL_FILE);
        let network = if model.is_file() { ModelFile::open(&model)?.card.networks.pop() } else { None };
        let report = |name: &str| folder.join(CHECKPOINTS).join(name).join(REPORT);
        let is_best = folder.join(CHECKPOINTS).join(BEST).is_dir();
        let path = report(if is_best { BEST } else { LAST });
        let model = match path.is_file() {
            true => Some(json(&path, read_text(&path)?.as_bytes())?),
            false => None,
        };
        let origins = setting_origins(&text);
        Ok(Self { folder: folder.to_path_buf(), record, config, origins, log, network, model, is_best })
    }

    /// The folder's own name.
    pub(crate) fn name(&self) -> String {
        let absolute = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        absolute
            .file_name()
            .map_or_else(|| absolute.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// Epochs that the run is to take.
    pub(crate) fn epochs(&self) -> usize {
        self.config.training.epochs
    }

    /// The settings that are not the default's, with their values and where they come from.
    pub(crate) fn changed_settings(&self) -> Vec<[String; 3]> {
        let default = Config::default().settings();
        let changed = self
            .config
            .settings()
            .into_iter()
            .filter(|(key, value)| default.get(key) != Some(value) || self.origins.contains_key(key));
        let of = |(key, value): (String, toml::Value)| {
            let origin = self.origins.get(&key).cloned().unwrap_or_default();
            [key, value.to_string(), origin]
        };
        changed.map(of).collect()
    }
}

fn json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::file(path, format!("cannot be read as part of a run ({e})")))
}
