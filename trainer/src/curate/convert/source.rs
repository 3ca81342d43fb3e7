//! Which files are meant to be a case.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::Part;

/// A case as it was named; its files are not looked at.
#[derive(Debug)]
pub(super) struct NamedCase {
    pub(super) name: String,
    pub(super) part: Part,
    /// In the order of the channels; a file may hold several.
    pub(super) images: Vec<PathBuf>,
    /// A case for testing may lack one.
    pub(super) mask: Option<PathBuf>,
}

/// What a naming gave.
pub(super) struct NamedCases {
    pub(super) cases: Vec<NamedCase>,
    /// What is good to know.
    pub(super) notes: Vec<String>,
}

/// Complains of names that cannot name files, and of cases that share one.
pub(super) fn check_names(cases: &[NamedCase], remedy: &str, faults: &mut Vec<Fault>) {
    let mut first: BTreeMap<&str, &NamedCase> = BTreeMap::new();
    for case in cases {
        let name = case.name.as_str();
        let fault = |message: String| Fault::case(Kind::CaseName, name, message, remedy);
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            faults.push(fault(format!("{name:?} cannot be the name of a file")));
        }
        if let Some(other) = first.insert(name, case) {
            let of =
                |case: &NamedCase| case.images.first().map(|p| p.display().to_string()).unwrap_or_default();
            faults.push(fault(format!("is the name of both {} and {}", of(other), of(case))));
        }
    }
}
