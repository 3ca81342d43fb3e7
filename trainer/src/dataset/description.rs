//! `dataset.json`: what the channels and labels of a data set mean.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use volumes::files::read_text;

use super::fault::{Fault, Kind};
use super::listed::{self, ListedCase};
use crate::Result;

/// The label, in memory, of a voxel that takes part in no loss and no metric.
pub const IGNORE: u8 = 255;

const EXAMPLE: &str =
    r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}"#;

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
    /// Where all foreground is one class ([`joined`](Self::joined)), the largest of the values 1, 2, … that it has in the files.
    #[serde(default)]
    pub joined_up_to: Option<u8>,
    /// How the files' names end.
    pub file_ending: String,
}

impl Description {
    /// Of cases that come from elsewhere than a folder: what the channels and the classes are, background first.
    pub fn new(channels: &[&str], classes: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            name: String::new(),
            channel_names: owned(channels),
            classes: owned(classes),
            ignore: None,
            joined_up_to: None,
            file_ending: ".nii.gz".into(),
        }
    }

    /// The same with all foreground classes as one, named after all of them.
    #[must_use]
    pub fn joined(mut self) -> Self {
        if self.classes.len() > 2 {
            self.joined_up_to = Some((self.classes.len() - 1) as u8);
            let foreground = self.classes.split_off(1).join(" + ");
            self.classes.push(foreground);
        }
        self
    }

    /// The class that a value in the files stands for, or [`IGNORE`]; `None` where it means nothing.
    pub(crate) fn class_of(&self, value: i64) -> Option<u8> {
        let last = self.joined_up_to.map_or(self.classes.len() as i64 - 1, i64::from);
        let class = if self.joined_up_to.is_some() { value.min(1) } else { value };
        match value {
            0.. if value <= last => Some(class as u8),
            _ => (self.ignore.map(i64::from) == Some(value)).then_some(IGNORE),
        }
    }

    /// Reads `FOLDER/dataset.json`.
    ///
    /// # Errors
    /// A file that is missing, is not JSON, or does not name channels and labels; region-based labels.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Parts::read(folder)?.whole()?)
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
        let parts = Parts::parse(text, Path::new("dataset.json"));
        parts.and_then(Parts::whole).map_err(|fault| fault.to_string())
    }
}

/// The keys of `dataset.json`, each read or faulty for itself.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) channel_names: Result<Vec<String>, Fault>,
    pub(crate) labels: Result<Labels, Vec<Fault>>,
    pub(crate) file_ending: Result<String, Fault>,
    /// The training cases by name, where they are listed instead of looked for.
    pub(crate) cases: Result<Option<Vec<ListedCase>>, Fault>,
    /// How many training cases there should be.
    pub(crate) num_training: Option<u64>,
}

/// The classes by value, and the value to ignore.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) classes: Vec<String>,
    pub(crate) ignore: Option<u32>,
}

impl Parts {
    /// Reads `FOLDER/dataset.json` as far as it is a JSON object.
    pub(crate) fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join("dataset.json");
        match read_text(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(volumes::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(Fault::file(
                    Kind::DescriptionMissing,
                    path,
                    "is missing",
                    format!("it names the channels and labels, for example {EXAMPLE}"),
                ))
            }
            Err(error) => {
                let message = match error {
                    volumes::Error::File { message, .. } => message,
                    volumes::Error::Io { source, .. } => format!("cannot be read ({source})"),
                    other => other.to_string(),
                };
                let remedy = format!("write for example {EXAMPLE}");
                Err(Fault::file(Kind::DescriptionUnreadable, path, message, remedy))
            }
        }
    }

    /// `path` is what faults name.
    fn parse(text: &str, path: &Path) -> Result<Self, Fault> {
        // Some editors begin a file with a byte order mark, which is no JSON.
        let text = text.trim_start_matches('\u{feff}');
        let top: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
            let message = format!("is not a JSON object ({e})");
            Fault::file(Kind::DescriptionUnreadable, path, message, format!("for example {EXAMPLE}"))
        })?;
        let channels = top.get("channel_names").or_else(|| top.get("modality"));
        let fault =
            |kind: Kind| move |(message, remedy): (String, String)| Fault::file(kind, path, message, remedy);
        Ok(Self {
            name: top.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            channel_names: channel_names(channels).map_err(fault(Kind::ChannelNames)),
            labels: labels(top.get("labels"), path),
            file_ending: file_ending(top.get("file_ending")).map_err(fault(Kind::FileEnding)),
            cases: listed::cases(top.get("dataset"), path),
            num_training: top.get("numTraining").and_then(Value::as_u64),
        })
    }

    /// The description, or the first fault.
    pub(super) fn whole(self) -> Result<Description, Fault> {
        let Labels { classes, ignore } = self.labels.map_err(|mut faults| faults.swap_remove(0))?;
        let (name, channel_names, file_ending) = (self.name, self.channel_names?, self.file_ending?);
        Ok(Description { name, channel_names, classes, ignore, joined_up_to: None, file_ending })
    }
}

/// What is wrong, and what to do.
type Complaint = (String, String);

fn file_ending(value: Option<&Value>) -> Result<String, Complaint> {
    match value {
        None => Ok(".nii.gz".into()),
        // Some write it without its dot.
        Some(Value::String(ending)) if volumes::is_ending(&format!(".{ending}")) => Ok(format!(".{ending}")),
        Some(Value::String(ending)) if volumes::is_ending(ending) => Ok(ending.clone()),
        Some(other) => Err((
            format!("file_ending is {other}, which is not read"),
            "give it as the files' names end, such as \".nii.gz\"; convert what is in another format".into(),
        )),
    }
}

fn channel_names(value: Option<&Value>) -> Result<Vec<String>, Complaint> {
    let wrong = |what: &str| {
        (format!("channel_names {what}"), "write for example {\"0\": \"T1\", \"1\": \"T2\"}".to_owned())
    };
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

/// Every label is looked at, so that each fault is named.
fn labels(value: Option<&Value>, path: &Path) -> Result<Labels, Vec<Fault>> {
    let hint = "write for example {\"background\": 0, \"lesion\": 1}";
    let fault = |kind: Kind, message: String, remedy: &str| Fault::file(kind, path, message, remedy);
    let labels = match value {
        None => return Err(vec![fault(Kind::Labels, "labels is missing".into(), hint)]),
        Some(Value::Object(labels)) => labels,
        Some(other) => return Err(vec![fault(Kind::Labels, format!("labels is {other}"), hint)]),
    };
    let (mut faults, mut ignore) = (Vec::new(), None);
    let mut named: Vec<(u32, String)> = Vec::new();
    for (key, value) in labels {
        match (label(key, value), value) {
            (Some((name, value)), _) if name.eq_ignore_ascii_case("ignore") => ignore = Some(value),
            (Some((name, value)), _) => named.push((value, name)),
            (None, Value::Array(_)) => faults.push(fault(
                Kind::Regions,
                format!("label {key:?} is a region, the list {value}"),
                "regions are not supported: give each label one number",
            )),
            (None, _) => faults.push(fault(
                Kind::Labels,
                format!("label {key:?} is {value}, not a whole number from 0 on"),
                hint,
            )),
        }
    }
    if faults.is_empty() {
        faults.extend(numbering(&mut named, ignore).map(|(kind, message, hint)| fault(kind, message, hint)));
    }
    if faults.is_empty() {
        let remedy = match named.len() {
            0 | 1 => Some(("labels names no class beside the background".into(), hint)),
            n @ 256.. => Some((format!("labels names {n} classes"), "at most 255 are supported: merge some")),
            _ => None,
        };
        faults.extend(remedy.map(|(message, remedy)| fault(Kind::Labels, message, remedy)));
    }
    let classes = named.into_iter().map(|(_, name)| name).collect();
    if faults.is_empty() { Ok(Labels { classes, ignore }) } else { Err(faults) }
}

/// Sorts the labels by value and says where they are not 0, 1, 2, ….
fn numbering(named: &mut [(u32, String)], ignore: Option<u32>) -> Option<(Kind, String, &'static str)> {
    named.sort();
    for (i, (value, name)) in named.iter().enumerate() {
        if i > 0 && named[i - 1].0 == *value || ignore == Some(*value) {
            let other = if ignore == Some(*value) { "ignore" } else { &named[i - 1].1 };
            let message = format!("labels {other:?} and {name:?} are both {value}");
            return Some((Kind::Labels, message, "give each its own number"));
        }
        if *value as usize != i {
            let what = if i == 0 { "the background" } else { "a label" };
            let message = format!("{what} must be {i}, but the next is {name:?} = {value}");
            let remedy = "number the labels 0, 1, 2, … in dataset.json and in the files";
            return Some((Kind::LabelsNotConsecutive, message, remedy));
        }
    }
    None
}

/// A class's name and value: `"lesion": 1`, or the older `"1": "lesion"`.
pub(crate) fn label(key: &str, value: &Value) -> Option<(String, u32)> {
    match value {
        Value::Number(n) => Some((key.to_owned(), u32::try_from(n.as_u64()?).ok()?)),
        Value::String(text) => match text.parse() {
            Ok(number) => Some((key.to_owned(), number)),
            Err(_) => Some((text.clone(), key.parse().ok()?)),
        },
        _ => None,
    }
}
