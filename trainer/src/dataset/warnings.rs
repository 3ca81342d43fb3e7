//! What is accepted of a data set, but deserves a look, as far as names, headers and counts tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use volumes::{Alignment, Format, Header};

use super::fault::{Fault, Kind, Subject};
use super::{CaseFiles, IGNORE};
use crate::words::counted;

/// A spacing is unusual from this many times the median on, or from that part of it down.
const UNUSUAL: f64 = 3.0;

/// A line for each kind of thing, which names one and counts the others; `root` is left out of the names.
pub(crate) fn lines(faults: &[Fault], root: &Path) -> Vec<String> {
    let mut by_kind: BTreeMap<(Kind, &str), Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        by_kind.entry((fault.kind, &fault.remedy)).or_default().push(fault);
    }
    let line = |alike: Vec<&Fault>| {
        let [subject, message, remedy] = alike[0].within(root);
        let more = match alike.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more of that kind, which `trainer verify` lists)"),
        };
        match subject.as_str() {
            "." => format!("{message}; {remedy}{more}"),
            _ => format!("{subject}: {message}; {remedy}{more}"),
        }
    };
    by_kind.into_values().map(line).collect()
}

/// What there is to say of cases by their names, and of how many there are said to be.
pub(crate) fn of_names(root: &Path, [training, test]: [Vec<&str>; 2], said: Option<u64>) -> Vec<Fault> {
    let in_both = test.iter().filter(|name| training.contains(name)).map(|name| {
        let remedy = "take it from imagesTs or imagesTr if it is the same; else rename one of them";
        Fault::case(Kind::SameName, name, "is a training case and a test case", remedy)
    });
    let there = training.len();
    let miscounted = said.filter(|&said| said != there as u64).map(|said| {
        let message = format!("numTraining is {said}, but imagesTr has {}", counted(there, "case"));
        let remedy = format!("add what is missing, or set numTraining to {there}");
        Fault::file(Kind::NumTraining, root.join("dataset.json"), message, remedy)
    });
    in_both.chain(miscounted).collect()
}

/// What there is to say of cases by the header of each one's first file.
pub(crate) fn of_headers(root: &Path, cases: &[(&str, &Header)]) -> Vec<Fault> {
    let unknown = unknown_spacings(root, cases);
    spacings(cases).into_iter().chain(unknown).chain(orientations(cases)).collect()
}

/// What there is to say of where a file of a case lies to the first.
pub(crate) fn of_place(
    alignment: Alignment,
    path: &Path,
    header: &Header,
    (first_path, first): (&Path, &Header),
) -> Option<Fault> {
    let (message, remedy) = match alignment {
        Alignment::Turned(_) | Alignment::Apart => return None,
        Alignment::Part(_) => {
            (part_of(header, first_path), "see that it is right so; else save it on the image's grid")
        }
        Alignment::Same => {
            let message = format!(
                "by the headers its voxels lie up to {:.3} mm from those of {}",
                first.apart(header)?,
                first_path.display()
            );
            (message, "check that they belong together, then give both the same affine or resample")
        }
    };
    Some(Fault::file(Kind::PlaceDiffers, path, message, remedy))
}

/// Says of a label map that it is a part of its image.
pub(crate) fn part_of(header: &Header, image: &Path) -> String {
    let size = header.size();
    format!(
        "its {size:?} voxels (x, y, z) are a part of those of {} by its header: all others count as background",
        image.display()
    )
}

/// What there is to say of a label map without foreground or without background.
pub(crate) fn of_counts(label_map: Subject, counts: &[u64]) -> Option<Fault> {
    let (background, ignored) = (counts[0], counts[usize::from(IGNORE)]);
    let foreground: u64 = counts[1..usize::from(IGNORE)].iter().sum();
    let voxels = background + foreground + ignored;
    let (kind, message, remedy) = if foreground == 0 {
        let what = if background == 0 { "all are to be ignored" } else { "all are background" };
        let message = format!("none of its {voxels} voxels is foreground: {what}");
        (Kind::EmptyCase, message, "if there is nothing to be found in the image, keep it; else label it")
    } else if background == 0 {
        let message = format!("none of its {voxels} voxels is background: {foreground} are foreground");
        (Kind::AllForeground, message, "check that 0 is the background and that the image is not cropped")
    } else {
        return None;
    };
    Some(Fault { kind, subject: label_map, message, remedy: remedy.to_owned() })
}

/// What there is to say of an image, or a channel of one, that holds one value everywhere; `what` goes on after its name.
pub(crate) fn of_constant(image: Subject, what: String) -> Fault {
    let remedy = "export it again; if it is meant to be so, take the case away";
    Fault { kind: Kind::ConstantImage, subject: image, message: what, remedy: remedy.to_owned() }
}

/// Of the folders and files of the data set `root` those that are links to what lies outside of it, all in one.
pub(crate) fn of_links<'f>(root: &Path, cases: impl IntoIterator<Item = &'f CaseFiles>) -> Option<Fault> {
    let inside = root.canonicalize().ok()?;
    let own = ["dataset.json", "imagesTr", "labelsTr", "imagesTs", "labelsTs"].map(|name| root.join(name));
    let files = cases.into_iter().flat_map(|case| case.images.iter().chain(&case.label).cloned());
    let leads_out = |path: &PathBuf| {
        let is_link = path.starts_with(root) && path.is_symlink();
        is_link && path.canonicalize().is_ok_and(|target| !target.starts_with(&inside))
    };
    let out: Vec<PathBuf> = own.into_iter().chain(files).filter(leads_out).collect();
    let path = out.first()?;
    let target = std::fs::read_link(path).map(|to| to.display().to_string()).unwrap_or_default();
    let more = match out.len() - 1 {
        0 => String::new(),
        more => format!(" (and so are {more} more)"),
    };
    let message = format!("is a link to {target}, which is not in the data set{more}");
    let remedy = "if the folder is from elsewhere, see where it leads; cp -rL copies a folder with what its links lead to";
    Some(Fault::file(Kind::LinkOutside, path, message, remedy))
}

fn spacings(cases: &[(&str, &Header)]) -> Vec<Fault> {
    if cases.is_empty() {
        return Vec::new();
    }
    let median: [f64; 3] = std::array::from_fn(|axis| {
        let mut along: Vec<f64> = cases.iter().map(|(_, header)| header.spacing[axis]).collect();
        along.sort_by(f64::total_cmp);
        along[(along.len() - 1) / 2]
    });
    // A header keeps spacings as f32.
    let limit = UNUSUAL * (1.0 - f64::from(f32::EPSILON));
    let is_unusual = |spacing: [f64; 3]| {
        let ratio = |axis: usize| (spacing[axis] / median[axis]).max(median[axis] / spacing[axis]);
        (0..3).any(|axis| ratio(axis) >= limit)
    };
    let fault = |(name, header): &(&str, &Header)| {
        let message =
            format!("its voxels are {} mm (x, y, z), where the median is {}", mm(header.spacing), mm(median));
        let remedy = "correct the header if it is wrong; the case is resampled by it";
        Fault::case(Kind::UnusualSpacing, name, message, remedy)
    };
    cases.iter().filter(|(_, header)| is_unusual(header.spacing)).map(fault).collect()
}

/// Cases whose files do not say how large voxels are.
fn unknown_spacings(root: &Path, cases: &[(&str, &Header)]) -> Option<Fault> {
    let silent: Vec<_> = cases.iter().filter(|(_, header)| !header.spacing_known).collect();
    let (name, header) = silent.first()?;
    let message = format!(
        "{} of {}, such as {name}, {} not say how large {} voxels are, which count as 1 mm",
        silent.len(),
        counted(cases.len(), "case"),
        if silent.len() == 1 { "does" } else { "do" },
        if silent.len() == 1 { "its" } else { "their" },
    );
    let remedy = match header.format {
        Format::Tiff => {
            r#"write {"spacing": [z, y, x]} in mm into CASE.json beside the images and the label maps, as nnU-Net does"#
        }
        _ => "convert them with trainer convert --spacing X,Y,Z, unless all are of one size",
    };
    Some(Fault::file(Kind::UnknownSpacing, root, message, remedy))
}

fn mm(spacing: [f64; 3]) -> String {
    spacing.map(|s| format!("{:.3}", s).trim_end_matches('0').trim_end_matches('.').to_owned()).join(" x ")
}

fn orientations(cases: &[(&str, &Header)]) -> Vec<Fault> {
    let all: Vec<(&str, String)> = cases.iter().map(|(name, header)| (*name, header.axcodes())).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, code) in &all {
        *counts.entry(code).or_insert(0) += 1;
    }
    // Of equally frequent ones that of the first case.
    let Some(most) = counts.values().max() else { return Vec::new() };
    let Some((_, usual)) = all.iter().find(|(_, code)| counts[code.as_str()] == *most) else {
        return Vec::new();
    };
    let fault = |(name, code): &(&str, String)| {
        let message = format!(
            "its axes run {code}, where {most} of {} cases have {usual} (where x, y and z grow to: Right or Left, Anterior or Posterior, Superior or Inferior)",
            all.len()
        );
        let remedy = "check that the header is right: the case is turned by it as the others are";
        Fault::case(Kind::UnusualOrientation, name, message, remedy)
    };
    all.iter().filter(|(_, code)| code != usual).map(fault).collect()
}
