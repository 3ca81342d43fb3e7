//! Pairs by a table, see [`crate::dataset::table`].

use std::path::{Path, PathBuf};

use csv::StringRecord;
use volumes::split_channel;

use super::source::{NamedCase, NamedCases, check_names};
use crate::curate::verify::Faults;
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::{Part, stem};
use crate::dataset::table::{BROKEN_LINE, open};
use crate::{Error, Result};

const EXAMPLE: &str = "the first line is such as image,mask or case,image_0,image_1,mask,split";
/// What the column of masks may be called where there is no `mask`.
const MASKS: [&str; 3] = ["label", "labels", "segmentation"];

/// Where the columns are.
struct Columns {
    images: Vec<usize>,
    /// `image_0`, `image_1`, …, not `image`.
    numbered: bool,
    mask: usize,
    case: Option<usize>,
    split: Option<usize>,
}

/// The cases of a table, a line each. Paths are relative to its folder.
///
/// # Errors
/// A file that cannot be read, or whose first line lacks a column.
pub(super) fn read(path: &Path, found: &mut Faults) -> Result<NamedCases> {
    let (mut reader, header) = open(path)?;
    let (columns, unused) = Columns::of(&header).map_err(|message| Error::file(path, message))?;
    let mut notes = Vec::new();
    if !unused.is_empty() {
        notes.push(format!("{}: columns that are not used: {}", path.display(), unused.join(", ")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut cases = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let fault = |kind, message: String, remedy: &str| {
                    Fault::file(kind, path, format!("line {line}: {message}"), remedy)
                };
                cases.extend(columns.case(&record, folder, &fault, &mut found.errors));
            }
            Err(error) => {
                found.errors.push(Fault::file(Kind::Table, path, error.to_string(), BROKEN_LINE));
            }
        }
    }
    if cases.is_empty() && found.errors.is_empty() {
        let remedy = "write a line for each image below the first";
        found.errors.push(Fault::file(Kind::NoImages, path, "names no images", remedy));
    }
    let remedy = "give each its own name in a column case";
    check_names(&cases, remedy, &mut found.errors);
    Ok(NamedCases { cases, notes })
}

impl Columns {
    /// The columns by their names, and the names that mean nothing here.
    fn of(header: &StringRecord) -> Result<(Self, Vec<String>), String> {
        let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("has two columns {:?}; rename or take away one", twice.1));
        }
        let place = |name: &str| names.iter().position(|known| known == name);
        let listed = || format!("its columns are {}; {EXAMPLE}", names.join(", "));
        let numbered: Vec<usize> = (0..).map_while(|channel| place(&format!("image_{channel}"))).collect();
        let (images, is_numbered) = match (place("image"), numbered.is_empty()) {
            (Some(image), true) => (vec![image], false),
            (None, false) => (numbered, true),
            (Some(_), false) => {
                return Err(format!("has the columns image and image_0, of which one is meant; {EXAMPLE}"));
            }
            (None, true) => return Err(format!("has no column image: {}", listed())),
        };
        let others = || MASKS.iter().filter_map(|name| place(name)).collect();
        let masks: Vec<usize> = place("mask").map_or_else(others, |mask| vec![mask]);
        let mask = match masks[..] {
            [mask] => mask,
            [] => return Err(format!("has no column mask: {}", listed())),
            [..] => {
                let what = "has no column mask, but several that may be meant";
                return Err(format!("{what}: {}; call one of them mask", listed()));
            }
        };
        let columns =
            Self { images, numbered: is_numbered, mask, case: place("case"), split: place("split") };
        let is_used = |i: &usize| {
            columns.images.contains(i) || [Some(mask), columns.case, columns.split].contains(&Some(*i))
        };
        let unused: Vec<String> =
            (0..names.len()).filter(|i| !is_used(i)).map(|i| names[i].clone()).collect();
        match unused.iter().find(|name| name.starts_with("image_")) {
            Some(gap) => {
                Err(format!("has a column {gap}, but not those before it; number images from image_0 on"))
            }
            None => Ok((columns, unused)),
        }
    }

    /// The case of a line.
    fn case(
        &self,
        record: &StringRecord,
        folder: &Path,
        fault: &dyn Fn(Kind, String, &str) -> Fault,
        faults: &mut Vec<Fault>,
    ) -> Option<NamedCase> {
        let field = |column: usize| record.get(column).unwrap_or_default();
        let part = match self.split.map_or("", field).to_ascii_lowercase().as_str() {
            "" | "train" | "training" => Part::Training,
            "test" | "testing" => Part::Test,
            other => {
                faults.push(fault(Kind::Table, format!("split is {other:?}"), "write train or test"));
                Part::Training
            }
        };
        let mut file = |column: usize, what: &str, kind: Kind| -> Option<PathBuf> {
            let path = folder.join(field(column));
            if field(column).is_empty() {
                faults.push(fault(
                    kind,
                    format!("names no {what}"),
                    "write its path, relative to the table's folder",
                ));
                return None;
            }
            if !path.exists() {
                let message = format!("{} does not exist", path.display());
                faults.push(fault(
                    kind,
                    message,
                    "correct the path, which is relative to the table's folder",
                ));
                return None;
            }
            Some(path)
        };
        let images: Vec<Option<PathBuf>> =
            self.images.iter().map(|&column| file(column, "image", Kind::MissingImage)).collect();
        let needs_mask = part == Part::Training || !field(self.mask).is_empty();
        let mask = if needs_mask { file(self.mask, "mask", Kind::MissingLabel) } else { None };
        let images: Vec<PathBuf> = images.into_iter().collect::<Option<_>>()?;
        let name = match self.case.map_or("", field) {
            "" => self.name(&images[0]),
            name => name.to_owned(),
        };
        Some(NamedCase { name, part, images, mask })
    }

    /// The image's name without ending and number of the channel.
    fn name(&self, image: &Path) -> String {
        let name = image.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = if image.is_dir() { name.as_str() } else { stem(&name) };
        match split_channel(name) {
            Some((case, 0)) if self.numbered => case.to_owned(),
            _ => name.to_owned(),
        }
    }
}
