//! `trainer report`: the page of a run made anew, or a page of several runs.

use std::path::{Path, PathBuf};

use super::all_folds;
use crate::cli::Report;
use crate::report::{write_comparison, write_run_page};
use crate::run::folder::PAGE;
use crate::{Error, Result};

pub(super) fn run(args: &Report) -> Result<()> {
    let folds = all_folds::trained(&args.runs[0])?;
    let (runs, out) = match (args.runs.as_slice(), folds, &args.out) {
        ([run], None, None) => {
            tell!("{}", write_run_page(run)?.display());
            return Ok(());
        }
        ([_], None, Some(_)) => {
            return Err(Error::Usage("--out: the page of one run lies in its folder; leave it out".into()));
        }
        ([run], Some(folds), out) => (folds, out.clone().unwrap_or_else(|| run.join(PAGE))),
        (runs, _, Some(out)) => (runs.to_vec(), out.clone()),
        (_, _, None) => {
            return Err(Error::Usage(
                "several runs make a page of their own: name it with --out FILE.html".into(),
            ));
        }
    };
    if let Some(out) = &args.out {
        spare_others(out)?;
    }
    let runs: Vec<&Path> = runs.iter().map(PathBuf::as_path).collect();
    write_comparison(&runs, &out)?;
    tell!("{}", out.display());
    Ok(())
}

/// Refuses to write over what is no page of this program's.
fn spare_others(out: &Path) -> Result<()> {
    let is_ours = |text: &str| text.contains("<meta name=\"generator\" content=\"trainer ");
    match std::fs::read_to_string(out) {
        Ok(text) if is_ours(&text) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::file(out, "is there and no page of this program: name another --out")),
    }
}
