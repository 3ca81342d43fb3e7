//! What shows only where cases are compared with each other.

use std::collections::BTreeMap;
use std::path::Path;

use volumes::{Format, Header};

use super::voxels::{Digest, Seen};
use super::{Faults, Meant};
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::Part;
use crate::dataset::notes::{self, Note};

/// A spacing is unusual from this many times the median on, or from that part of it down.
const UNUSUAL: f64 = 3.0;

/// Collects what the cases said of themselves and what is said by comparing them.
pub(super) fn compare(root: &Path, meant: &Meant, mut cases: Vec<Seen>, found: &mut Faults) {
    for case in &mut cases {
        found.errors.append(&mut case.errors);
        found.warnings.append(&mut case.warnings);
    }
    let warnings = &mut found.warnings;
    noted(&cases, warnings);
    spacings(&cases, warnings);
    unknown_spacings(root, &cases, warnings);
    orientations(&cases, warnings);
    if meant.labels_known {
        absent_classes(root, meant, &cases, warnings);
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
            n => format!("{text} (and so of {n} more file(s))"),
        };
        let remedy = "see that it is right so; else save it with one program that writes all of it, in mm";
        warnings.push(Fault::file(Kind::HeaderContradicts, path, message, remedy));
    }
}

fn headers(cases: &[Seen]) -> impl Iterator<Item = (&Seen, &Header)> {
    cases.iter().filter_map(|case| Some((case, &case.first.as_ref()?.1)))
}

fn spacings(cases: &[Seen], warnings: &mut Vec<Fault>) {
    let all: Vec<(&Seen, [f64; 3])> = headers(cases).map(|(case, header)| (case, header.spacing)).collect();
    if all.is_empty() {
        return;
    }
    let median: [f64; 3] = std::array::from_fn(|axis| {
        let mut along: Vec<f64> = all.iter().map(|(_, spacing)| spacing[axis]).collect();
        along.sort_by(f64::total_cmp);
        along[(along.len() - 1) / 2]
    });
    // A header keeps spacings as f32.
    let limit = UNUSUAL * (1.0 - f64::from(f32::EPSILON));
    for (case, spacing) in all {
        let ratio = |axis: usize| (spacing[axis] / median[axis]).max(median[axis] / spacing[axis]);
        if (0..3).any(|axis| ratio(axis) >= limit) {
            let message =
                format!("its voxels are {} mm (x, y, z), where the median is {}", mm(spacing), mm(median));
            let remedy = "correct the header if it is wrong; the case is resampled by it";
            warnings.push(Fault::case(Kind::UnusualSpacing, &case.name, message, remedy));
        }
    }
}

/// Cases whose files do not say how large voxels are.
fn unknown_spacings(root: &Path, cases: &[Seen], warnings: &mut Vec<Fault>) {
    let silent: Vec<(&Seen, &Header)> = headers(cases).filter(|(_, header)| !header.spacing_known).collect();
    let Some((case, header)) = silent.first() else { return };
    let message = format!(
        "{} of {} case(s), such as {}, do not say how large their voxels are, which count as 1 mm",
        silent.len(),
        headers(cases).count(),
        case.name
    );
    let remedy = match header.format {
        Format::Tiff => {
            r#"write {"spacing": [z, y, x]} in mm into CASE.json beside the images and the label maps, as nnU-Net does"#
        }
        _ => "convert them with trainer convert --spacing X,Y,Z, unless all are of one size",
    };
    warnings.push(Fault::file(Kind::UnknownSpacing, root, message, remedy));
}

fn mm(spacing: [f64; 3]) -> String {
    spacing.map(|s| format!("{:.3}", s).trim_end_matches('0').trim_end_matches('.').to_owned()).join(" x ")
}

fn orientations(cases: &[Seen], warnings: &mut Vec<Fault>) {
    let all: Vec<(&Seen, String)> = headers(cases).map(|(case, header)| (case, header.axcodes())).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, code) in &all {
        *counts.entry(code).or_insert(0) += 1;
    }
    // Of equally frequent ones that of the first case.
    let Some(most) = counts.values().max() else { return };
    let Some((_, usual)) = all.iter().find(|(_, code)| counts[code.as_str()] == *most) else { return };
    for (case, code) in all.iter().filter(|(_, code)| code != usual) {
        let message = format!(
            "its axes run {code}, where {most} of {} cases have {usual} (where x, y and z grow to: Right or Left, Anterior or Posterior, Superior or Inferior)",
            all.len()
        );
        let remedy = "check that the header is right: the case is turned by it as the others are";
        warnings.push(Fault::case(Kind::UnusualOrientation, &case.name, message, remedy));
    }
}

fn absent_classes(root: &Path, meant: &Meant, cases: &[Seen], warnings: &mut Vec<Fault>) {
    let training = || cases.iter().filter(|case| case.part == Part::Training).filter_map(|case| case.counts);
    let labelled = training().count();
    if labelled == 0 {
        return;
    }
    for (value, name) in meant.description.classes.iter().enumerate().skip(1) {
        if training().all(|counts| counts[value] == 0) {
            let message =
                format!("class {name:?} = {value} occurs in none of {labelled} training label map(s)");
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
        let remedy = "take one of them away, or put the file there that was meant";
        warnings.push(Fault::file(kind, &digest.path, message, remedy));
    }
}
