//! Classes: which value of a mask means which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use volumes::whole_number;

use super::scan::{ScannedCase, Values};
use crate::dataset::IGNORE;
use crate::dataset::fault::{Fault, Kind};
use crate::{Error, Result};

/// More values than this, without names, are those of an image.
const MOST_PROPOSED: usize = 32;
/// How many values are listed.
const SHOWN: usize = 5;

/// A value of masks and the class that it stands for, as in `255=1`, or that it marks voxels to leave out: `255=ignore`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relabel {
    /// As in the files.
    pub value: i64,
    /// From 0, the background, to 254; [`IGNORE`] of voxels to leave out.
    pub class: u8,
}

impl FromStr for Relabel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text} is not VALUE=CLASS with a class from 0 to 254, such as 255=1, nor VALUE=ignore")
        };
        let (value, class) = text.split_once('=').ok_or_else(wrong)?;
        let value = value.trim().parse().map_err(|_| wrong())?;
        match class.trim() {
            class if class.eq_ignore_ascii_case("ignore") => Ok(Self { value, class: IGNORE }),
            class => match class.parse() {
                Ok(class) if class < IGNORE => Ok(Self { value, class }),
                _ => Err(wrong()),
            },
        }
    }
}

/// The classes' names, and which values mean them.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// The background first.
    pub(super) names: Vec<String>,
    /// The class of each value; `None`: values are classes.
    class: Option<BTreeMap<i64, u8>>,
    /// The values of voxels to leave out.
    ignored: BTreeSet<i64>,
}

impl Classes {
    /// By the command line. Where it names the class of no value, [`Self::settled`] has yet to look at the masks.
    ///
    /// # Errors
    /// A value that has two meanings, a class without value or name, and names that cannot be.
    pub(super) fn given(labels: &[Relabel], names: &[String]) -> Result<Self> {
        check_names(names)?;
        let wrong = |message: String| Err(Error::Usage(message));
        let meaning = |class: u8| if class == IGNORE { "ignore".into() } else { class.to_string() };
        let mut class = BTreeMap::new();
        for &Relabel { value, class: to } in labels {
            if let Some(other) = class.insert(value, to).filter(|&other| other != to) {
                let (other, to) = (meaning(other), meaning(to));
                return wrong(format!("--label: {value} is both {other} and {to}; give one of them"));
            }
        }
        let ignored: BTreeSet<i64> =
            class.iter().filter(|&(_, &c)| c == IGNORE).map(|(&value, _)| value).collect();
        class.retain(|_, c| *c != IGNORE);
        let Some(&largest) = class.values().max() else {
            if let Some(value) = ignored.range(1..names.len() as i64 + 1).next() {
                let message = format!("--label: {value} is to be ignored, but --names names class {value}");
                return wrong(format!("{message}; give the classes of all other values by --label too"));
            }
            return Ok(Self { ignored, ..Self::named(names) });
        };
        if largest == 0 {
            return wrong("--label: no value is a foreground class; give such as --label 255=1".into());
        }
        let is_meant = |c: &u8| class.values().any(|known| known == c);
        if let Some(gap) = (1..=largest).find(|c| !is_meant(c)).filter(|_| names.is_empty()) {
            let message = format!("--label: no value is class {gap}, but one is {largest}");
            return wrong(format!("{message}; number the classes 1, 2, … or name all of them with --names"));
        }
        if !names.is_empty() && usize::from(largest) > names.len() {
            let message = format!("--label: a value is class {largest}, but --names names {}", names.len());
            return wrong(format!("{message}; name each class once, from class 1 on"));
        }
        class.entry(0).or_insert(0);
        let names = if names.is_empty() { numbered(largest) } else { names.to_vec() };
        Ok(Self { class: Some(class), ignored, ..Self::named(&names) })
    }

    /// Values that are classes, with these names.
    fn named(foreground: &[String]) -> Self {
        let background = std::iter::once("background".to_owned());
        let names = background.chain(foreground.iter().cloned()).collect();
        Self { names, class: None, ignored: BTreeSet::new() }
    }

    /// Those of the command line, where it gives any, else by what the masks hold. Complains of what has no class.
    pub(super) fn settled(self, scanned: &[ScannedCase], faults: &mut Vec<Fault>) -> Self {
        if self.class.is_none() {
            return self.found(scanned, faults);
        }
        let masks = scanned.iter().filter_map(|l| Some((l.mask.as_ref()?, &l.values)));
        faults.extend(masks.filter_map(|(path, values)| self.unknown(path, values)));
        self
    }

    /// By what the masks hold; complains where that cannot be meant as it is.
    fn found(self, scanned: &[ScannedCase], faults: &mut Vec<Fault>) -> Self {
        let names = &self.names[1..];
        let masks = || scanned.iter().filter_map(|l| Some((l.mask.as_deref()?, &l.values)));
        let is_foreground = |v: &i64| *v != 0 && !self.ignored.contains(v);
        let values: BTreeSet<i64> =
            masks().flat_map(|(_, v)| v.whole.keys()).copied().filter(is_foreground).collect();
        let most = if names.is_empty() { values.len() } else { names.len() };
        let offends = |v: &i64| values.contains(v) && !(1..=most as i64).contains(v);
        let few = !names.is_empty() || most <= MOST_PROPOSED;
        if most > 0 && few && !values.iter().any(offends) {
            let names = if names.is_empty() { numbered(most as u8) } else { names.to_vec() };
            return Self { ignored: self.ignored, ..Self::named(&names) };
        }
        // Named is the first mask with an offending value, and the values of all.
        let first = masks().find(|(_, values)| values.whole.keys().any(offends)).or(masks().next());
        faults.extend(first.map(|(path, _)| self.cannot_be_meant(path, &values)));
        self
    }

    /// The class of a value, or [`Self::ignore`].
    pub(super) fn of(&self, value: f64) -> Option<u8> {
        let value = whole_number(value)?;
        if self.ignored.contains(&value) {
            return self.ignore();
        }
        match &self.class {
            Some(class) => class.get(&value).copied(),
            None => u8::try_from(value).ok().filter(|&class| usize::from(class) < self.names.len()),
        }
    }

    /// How voxels to leave out are written: after all classes, as nnU-Net asks; `None` where none are meant.
    pub(super) fn ignore(&self) -> Option<u8> {
        let last =
            u8::try_from(self.names.len()).expect("at most 254 classes are named beside the background");
        (!self.ignored.is_empty()).then_some(last)
    }

    /// Complains of the values of a mask that have no class.
    fn unknown(&self, path: &Path, values: &Values) -> Option<Fault> {
        let unknown: Vec<(i64, u64)> = values
            .whole
            .iter()
            .map(|(&v, &n)| (v, n))
            .filter(|&(v, _)| self.of(v as f64).is_none())
            .collect();
        let &(first, _) = unknown.first()?;
        let listed = listed(unknown.iter().map(|(v, n)| format!("{v} ({n} voxels)")));
        let message = format!("holds {listed}, which no --label names");
        let remedy = format!(
            "give --label {first}=CLASS, where class 0 is the background, or --label {first}=ignore to leave its voxels out, or correct the mask"
        );
        Some(Fault::file(Kind::UnknownLabels, path, message, remedy))
    }

    /// Why the masks' foreground values cannot be classes, and what would make them some.
    fn cannot_be_meant(&self, path: &Path, values: &BTreeSet<i64>) -> Fault {
        let names = &self.names[1..];
        let fault = |kind, message: String, remedy: String| Fault::file(kind, path, message, remedy);
        let listed = listed(values.iter().map(i64::to_string));
        let is_255 = values.iter().eq([255].iter());
        let what = match (values.len(), names.len()) {
            (0, _) => {
                let or_ignored = if self.ignored.is_empty() { "" } else { " or ignored" };
                let message =
                    format!("holds no foreground, nor does any other mask: all voxels are 0{or_ignored}");
                let remedy = "name the folder of masks, or name the classes with --names".to_owned();
                return fault(Kind::Labels, message, remedy);
            }
            (n, _) if n > MOST_PROPOSED => {
                let message = format!("the masks hold {listed} beside 0, as an image would");
                let remedy = "take label maps that were saved without interpolation and loss, or name every class with --names, and values to leave out with --label VALUE=ignore";
                return fault(Kind::UnknownLabels, message, remedy.into());
            }
            (_, 0) => "where classes are 1, 2, …".to_owned(),
            (_, n) => format!("where --names names the classes 1 to {n}"),
        };
        let message = format!("the masks hold {listed} beside 0, {what}");
        let classes = values.iter().zip(1..).map(|(v, class): (_, u8)| format!("--label {v}={class}"));
        let ignored = self.ignored.iter().map(|v| format!("--label {v}=ignore"));
        let flags = classes.chain(ignored).collect::<Vec<String>>().join(" ");
        let others =
            if names.is_empty() { ", or name every class with --names if some occur nowhere" } else { "" };
        let last = values.last().expect("without values it has returned");
        let remedy = match is_255 {
            true => format!(
                "if 255 is the foreground, give {flags}; if its voxels are to be left out, --label 255=ignore and --names"
            ),
            false => format!(
                "give {flags}{others}; a value whose voxels are to be left out takes =ignore, such as --label {last}=ignore"
            ),
        };
        fault(if is_255 { Kind::Mask255 } else { Kind::UnknownLabels }, message, remedy)
    }
}

/// The first few values, and how many more there are.
fn listed(values: impl ExactSizeIterator<Item = String>) -> String {
    let more = values.len().saturating_sub(SHOWN);
    let shown = values.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more values") } else { shown }
}

/// Names that were not given.
fn numbered(classes: u8) -> Vec<String> {
    if classes == 1 {
        vec!["foreground".into()]
    } else {
        (1..=classes).map(|c| format!("class_{c}")).collect()
    }
}

fn check_names(names: &[String]) -> Result<()> {
    for (i, name) in names.iter().enumerate() {
        let what = match name.to_ascii_lowercase().as_str() {
            "" => "is empty",
            "background" | "ignore" => "has a meaning of its own",
            _ if names[..i].contains(name) => "is there twice",
            _ => continue,
        };
        return Err(Error::Usage(format!(
            "--names: {name:?} {what}; name the foreground classes from class 1 on"
        )));
    }
    if names.len() >= usize::from(IGNORE) {
        return Err(Error::Usage(format!("--names: {} classes, of at most 254; merge some", names.len())));
    }
    Ok(())
}
