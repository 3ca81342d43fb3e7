//! What shows only where cases are compared with each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::voxels::{Digest, Seen};
use super::{Declared, Faults};
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::Part;
use crate::dataset::notes::{self, Note};
use crate::dataset::warnings::of_headers;
use crate::words::counted;

/// Collects what the cases said of themselves and what is said by comparing them.
pub(super) fn compare(root: &Path, declared: &Declared, cases: &mut [Seen], found: &mut Faults) {
    for case in &mut *cases {
        found.errors.append(&mut case.errors);
        found.warnings.append(&mut case.warnings);
    }
    let warnings = &mut found.warnings;
    noted(cases, warnings);
    let headers = cases.iter().filter_map(|case| Some((case.name.as_str(), &case.first.as_ref()?.1)));
    warnings.extend(of_headers(root, &headers.collect::<Vec<_>>()));
    if declared.labels_known {
        absent_classes(root, declared, cases, warnings);
    }
    let images = cases.iter().flat_map(|case| case.images.iter().map(|digest| (case.part, digest)));
    duplicates(Kind::DuplicateImage, images, warnings);
    let labels = cases.iter().filter_map(|case| Some((case.part, case.label.as_ref()?)));
    duplicates(Kind::DuplicateLabels, labels, warnings);
}

/// What there is to say of files, once each.
fn noted(cases: &[Seen], warnings: &mut Vec<Fault>) {
    let all: Vec<Note> = cases.iter().flat_map(|case| case.notes.iter().cloned()).collect();
    for (path, others, text) in notes::grouped(&all) {
        let message = match others {
            0 => text.to_owned(),
            n => format!("{text} (and so of {})", counted(n, "more file")),
        };
        let remedy = "see that it is right so; else save it with one program that writes all of it, in mm";
        warnings.push(Fault::file(Kind::HeaderContradicts, path, message, remedy));
    }
}

fn absent_classes(root: &Path, declared: &Declared, cases: &[Seen], warnings: &mut Vec<Fault>) {
    let training = || cases.iter().filter(|case| case.part == Part::Training).filter_map(|case| case.counts);
    let labelled = training().count();
    if labelled == 0 {
        return;
    }
    for (value, name) in declared.description.classes.iter().enumerate().skip(1) {
        if training().all(|counts| counts[value] == 0) {
            let message = format!(
                "class {name:?} = {value} occurs in none of {}",
                counted(labelled, "training label map")
            );
            let remedy = "add a case that has it, or take it out of labels";
            warnings.push(Fault::file(Kind::AbsentClass, root.join("dataset.json"), message, remedy));
        }
    }
}

/// Each file whose voxels are those of an earlier one.
fn duplicates<'a>(kind: Kind, files: impl Iterator<Item = (Part, &'a Digest)>, warnings: &mut Vec<Fault>) {
    let mut first = BTreeMap::new();
    for (part, digest) in files {
        let (earlier, path) = *first.entry(digest.voxels).or_insert((part, &digest.path));
        if path == &digest.path {
            continue;
        }
        let leak = match earlier == part {
            true => "",
            false => ": what is trained on is tested on",
        };
        let message = format!("has the same voxels as {}{leak}", path.display());
        let remedy = "take one of them away, or put the file there that was declared";
        warnings.push(Fault::file(kind, &digest.path, message, remedy));
    }
}
