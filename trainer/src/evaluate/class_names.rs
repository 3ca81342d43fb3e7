//! The names of classes, from a `dataset.json` as nnU-Net writes it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use volumes::files::read_text;

use super::Merges;
use crate::dataset::description::label;
use crate::{Error, Result};

/// What `dataset.json` says of the labels.
#[derive(Debug, Default)]
pub(super) struct ClassNames {
    names: BTreeMap<i32, String>,
    /// The label called `ignore`.
    pub(super) ignore: Option<i32>,
    /// The names that stand for several labels at once.
    pub(super) regions: Vec<String>,
}

impl ClassNames {
    /// Looks in the labels' folder, then in the one above; `None` where neither has the file.
    pub(super) fn find(labels: &Path) -> Result<Option<Self>> {
        for folder in [labels.to_path_buf(), labels.join("..")] {
            let path = folder.join("dataset.json");
            match read_text(&path) {
                Ok(text) => {
                    let names = Self::parse(&text);
                    return names.map(Some).map_err(|message| Error::file(path, message));
                }
                Err(volumes::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// `"labels"` is `{"background": 0, "tumour": 1}`, or, as in older files, `{"0": "background"}`.
    fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Some(entries) = json["labels"].as_object() else {
            return Err(
                "has no object `labels`, such as {\"background\": 0, \"tumour\": 1}; add it".to_owned()
            );
        };
        let mut found = Self::default();
        for (key, value) in entries {
            if let Value::Array(region) = value {
                // Each label of a region has a row, named by its number unless it has a name of its own.
                found.regions.push(key.clone());
                for label in region.iter().filter_map(integer) {
                    found.names.entry(label).or_insert_with(|| label.to_string());
                }
                continue;
            }
            let named = label(key, value).and_then(|(name, label)| Some((name, i32::try_from(label).ok()?)));
            let (name, label) = named.ok_or_else(|| {
                format!("labels: {key} is {value}, which is no label; give each class a whole number")
            })?;
            if name == "ignore" {
                found.ignore = Some(label);
            } else {
                found.names.insert(label, name);
            }
        }
        found.names.entry(0).or_insert_with(|| "background".to_owned());
        if let Some(ignore) = found.ignore {
            found.names.remove(&ignore);
        }
        Ok(found)
    }

    /// The same after labels were merged; those of `dataset.json`'s labels that are merged must be there.
    ///
    /// # Errors
    /// Names the label that `dataset.json` does not.
    pub(super) fn merged(mut self, merges: &Merges) -> Result<Self> {
        for group in &merges.0 {
            let unknown = group.iter().find(|label| !self.names.contains_key(label));
            if let Some(label) = unknown {
                let known: Vec<String> = self.labels().map(|label| label.to_string()).collect();
                let message = format!(
                    "--merge: dataset.json does not name the label {label}; it names {}",
                    known.join(", ")
                );
                return Err(Error::Usage(message));
            }
            let names: Vec<String> = group.iter().filter_map(|label| self.names.remove(label)).collect();
            self.names.insert(group[0], names.join(" + "));
        }
        Ok(self)
    }

    /// The classes' labels, ascending, without the ignore label.
    pub(super) fn labels(&self) -> impl Iterator<Item = i32> + '_ {
        self.names.keys().copied()
    }

    /// A class's name, or its number.
    pub(super) fn name(&self, label: i32) -> String {
        self.names.get(&label).cloned().unwrap_or_else(|| label.to_string())
    }
}

fn integer(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|label| i32::try_from(label).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_labels_name_the_classes() {
        for text in [
            r#"{"labels": {"tumour": 2, "background": 0, "liver": 1, "ignore": 3}}"#,
            r#"{"labels": {"0": "background", "1": "liver", "2": "tumour", "3": "ignore"}}"#,
        ] {
            let names = ClassNames::parse(text).unwrap();
            let found: Vec<_> = names.labels().map(|label| (label, names.name(label))).collect();
            let want = [(0, "background"), (1, "liver"), (2, "tumour")];
            assert_eq!(found, want.map(|(label, name)| (label, name.to_owned())));
            assert_eq!(names.ignore, Some(3));
        }
    }

    #[test]
    fn regions_are_named_and_their_labels_keep_numbers() {
        let names =
            ClassNames::parse(r#"{"labels": {"background": 0, "whole": [1, 2], "core": 2}}"#).unwrap();
        assert_eq!(names.regions, ["whole"]);
        assert_eq!((names.name(1), names.name(2)), ("1".to_owned(), "core".to_owned()));
    }

    #[test]
    fn what_is_no_label_is_refused_by_name() {
        for (text, message) in [
            ("{", "is not JSON"),
            ("{}", "has no object `labels`"),
            (r#"{"labels": {"tumour": 1.5}}"#, "labels: tumour is 1.5"),
            (r#"{"labels": {"tumour": "one"}}"#, "labels: tumour is \"one\""),
        ] {
            let error = ClassNames::parse(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
