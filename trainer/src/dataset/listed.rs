//! Training cases that `dataset.json` lists with their files, under the key `dataset`, instead of leaving them to the names
//! in imagesTr and labelsTr:
//!
//! ```json
//! "dataset": {"case_1": {"images": ["scans/a_t1.nii.gz", "scans/a_t2.nii.gz"], "label": "/data/masks/a.nii.gz"}}
//! ```
//!
//! Images stand in the channels' order. Paths are relative to the data set's folder, or absolute: files may lie anywhere,
//! which is what the key is for.
//!
//! # Source
//! nnU-Net v2, `get_filenames_of_train_images_and_targets` in `nnunetv2/utilities/utils.py`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fault::{Fault, Kind};
use super::names::LooseCase;
use crate::words::counted;

/// A case with the paths that it is listed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ListedCase {
    name: String,
    images: Vec<PathBuf>,
    label: PathBuf,
}

/// The cases under the key, sorted by name; `path` is that of `dataset.json`.
pub(super) fn cases(value: Option<&Value>, path: &Path) -> Result<Option<Vec<ListedCase>>, Fault> {
    let fault = |message: String| {
        let remedy = r#"write {"CASE": {"images": ["a_0000.nii.gz"], "label": "a.nii.gz"}}, or leave "dataset" out, and cases are looked for in imagesTr"#;
        Fault::file(Kind::CaseList, path, message, remedy)
    };
    let listed = match value {
        // Some give the data set's name under this key.
        None | Some(Value::String(_)) => return Ok(None),
        Some(Value::Object(listed)) => listed,
        Some(_) => return Err(fault("the key \"dataset\" holds no list of cases".into())),
    };
    let mut cases = Vec::new();
    for (name, files) in listed {
        let paths = files.get("images").and_then(Value::as_array).map(|all| all.iter().map(text).collect());
        let label = files.get("label").and_then(text);
        let (Some(Some(images)), Some(label)) = (paths, label) else {
            return Err(fault(format!(
                "case {name:?} under \"dataset\" does not name its images and its label"
            )));
        };
        cases.push(ListedCase { name: name.clone(), images, label });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(cases))
}

fn text(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

/// The cases with their files, as far as they are there; what is wrong is added to `faults`. `root` is the data set's
/// folder.
pub(crate) fn loose(
    listed: &[ListedCase],
    root: &Path,
    channels: usize,
    ending: &str,
    faults: &mut Vec<Fault>,
) -> Vec<LooseCase> {
    let description = root.join("dataset.json");
    let mut cases = Vec::new();
    for case in listed {
        let name = &case.name;
        // Predictions are files of this name.
        if name.is_empty() || name.contains(['/', '\\']) {
            let message = format!("the case {name:?} under \"dataset\" cannot name a file");
            faults.push(Fault::file(Kind::CaseName, &description, message, "give it a plain name"));
            continue;
        }
        let mut there = |path: &PathBuf| {
            let path = root.join(path);
            let what = if !path.to_string_lossy().ends_with(ending) {
                format!("does not end in {ending}, the file_ending")
            } else if !path.is_file() {
                "is not there".into()
            } else {
                return Some(path);
            };
            let message = format!("names {} for the case {name}, which {what}", path.display());
            faults.push(Fault::file(
                Kind::CaseList,
                &description,
                message,
                "correct the path under \"dataset\"",
            ));
            None
        };
        let images: Vec<_> = case.images.iter().map(&mut there).collect();
        let label = there(&case.label);
        // One may hold all channels.
        if ![1, channels].contains(&images.len()) {
            let message = format!(
                "names {}, where there are {}",
                counted(images.len(), "image"),
                counted(channels, "channel")
            );
            faults.push(Fault::case(
                Kind::MissingChannel,
                name,
                message,
                "list one image a channel under \"dataset\"",
            ));
            continue;
        }
        cases.push(LooseCase { name: name.clone(), images, label });
    }
    if cases.is_empty() && faults.is_empty() {
        let message = "lists no case under \"dataset\"";
        faults.push(Fault::file(
            Kind::NoImages,
            description,
            message,
            "leave the key out, and cases are looked for in imagesTr",
        ));
    }
    cases
}
