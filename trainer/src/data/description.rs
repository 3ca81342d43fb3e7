//! `dataset.json`: what the channels and labels of a data set mean.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// The label, in memory, of a voxel that takes part in no loss and no metric.
pub const IGNORE: u8 = 255;

const EXAMPLE: &str =
    r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}"#;
const ENDINGS: [&str; 6] = [".nii.gz", ".nii", ".hdr", ".img", ".hdr.gz", ".img.gz"];

/// What `dataset.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Description {
    /// The data set's name; empty where none is given.
    pub name: String,
    /// What each channel is; `CT` asks for CT normalisation.
    pub channel_names: Vec<String>,
    /// The classes' names by value; class 0 is the background.
    pub classes: Vec<String>,
    /// The value in the files of voxels to ignore.
    pub ignore: Option<u32>,
    /// How the files' names end.
    pub file_ending: String,
}

impl Description {
    /// Reads `FOLDER/dataset.json`.
    ///
    /// # Errors
    /// A file that is missing, is not JSON, or does not name channels and labels; region-based labels.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("dataset.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|message| Error::file(&path, message)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::file(
                &path,
                format!("is missing; it names the channels and labels, for example {EXAMPLE}"),
            )),
            Err(e) => Err(Error::io(&path)(e)),
        }
    }

    /// Classes, the background among them.
    pub fn num_classes(&self) -> usize {
        self.classes.len()
    }

    /// The content of `dataset.json`.
    ///
    /// # Errors
    /// As [`Description::read`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let top: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| format!("is not a JSON object ({e}); for example {EXAMPLE}"))?;
        let channels = top.get("channel_names").or_else(|| top.get("modality"));
        let (classes, ignore) = labels(top.get("labels"))?;
        Ok(Self {
            name: top.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            channel_names: channel_names(channels)?,
            classes,
            ignore,
            file_ending: file_ending(top.get("file_ending"))?,
        })
    }
}

fn file_ending(value: Option<&Value>) -> Result<String, String> {
    match value {
        None => Ok(".nii.gz".into()),
        Some(Value::String(ending)) if ENDINGS.contains(&ending.as_str()) => Ok(ending.clone()),
        Some(other) => {
            Err(format!("file_ending is {other}, which is not read; convert the images to \".nii.gz\""))
        }
    }
}

fn channel_names(value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong =
        |what: &str| format!("channel_names {what}; write for example {{\"0\": \"T1\", \"1\": \"T2\"}}");
    let name = |v: &Value| {
        v.as_str().map(str::to_owned).ok_or_else(|| wrong(&format!("holds {v}, which is no name")))
    };
    let names: Vec<String> = match value {
        None => return Err(wrong("is missing")),
        Some(Value::Array(names)) => names.iter().map(name).collect::<Result<_, _>>()?,
        Some(Value::Object(names)) => (0..names.len())
            .map(|i| {
                names.get(&i.to_string()).ok_or_else(|| wrong(&format!("has no \"{i}\""))).and_then(name)
            })
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong(&format!("is {other}"))),
    };
    if names.is_empty() { Err(wrong("is empty")) } else { Ok(names) }
}

/// The classes by value, and the value to ignore.
fn labels(value: Option<&Value>) -> Result<(Vec<String>, Option<u32>), String> {
    let hint = "write for example {\"background\": 0, \"lesion\": 1}";
    let labels = match value {
        None => return Err(format!("labels is missing; {hint}")),
        Some(Value::Object(labels)) => labels,
        Some(other) => return Err(format!("labels is {other}; {hint}")),
    };
    let mut ignore = None;
    let mut named: Vec<(u32, String)> = Vec::new();
    for (key, value) in labels {
        let (name, value) = label(key, value).ok_or_else(|| match value {
            Value::Array(_) => format!(
                "label {key:?} is a region, the list {value}; regions are not supported: give each label one number"
            ),
            _ => format!("label {key:?} is {value}, not a whole number from 0 on; {hint}"),
        })?;
        if name.eq_ignore_ascii_case("ignore") {
            ignore = Some(value);
        } else {
            named.push((value, name));
        }
    }
    named.sort();
    for (i, (value, name)) in named.iter().enumerate() {
        if i > 0 && named[i - 1].0 == *value || ignore == Some(*value) {
            let other = if ignore == Some(*value) { "ignore" } else { &named[i - 1].1 };
            return Err(format!("labels {other:?} and {name:?} are both {value}; give each its own number"));
        }
        if *value as usize != i {
            let what = if i == 0 { "the background" } else { "a label" };
            return Err(format!(
                "{what} must be {i}, but the next is {name:?} = {value}; number the labels 0, 1, 2, … in dataset.json and in the files"
            ));
        }
    }
    match named.len() {
        0 | 1 => Err(format!("labels names no class beside the background; {hint}")),
        2..=255 => Ok((named.into_iter().map(|(_, name)| name).collect(), ignore)),
        n => Err(format!("labels names {n} classes; at most 255 are supported: merge some")),
    }
}

/// `"lesion": 1`, or the older `"1": "lesion"`.
fn label(key: &str, value: &Value) -> Option<(String, u32)> {
    match value {
        Value::Number(n) => Some((key.to_owned(), u32::try_from(n.as_u64()?).ok()?)),
        Value::String(text) => match text.parse() {
            Ok(number) => Some((key.to_owned(), number)),
            Err(_) => Some((text.clone(), key.parse().ok()?)),
        },
        _ => None,
    }
}
