//! `trainer train --continue`: a run from its beginning, or from where it was stopped.

use std::path::Path;

use super::configuration;
use crate::cli::Train;
use crate::commands::watch;
use crate::run::checkpoint::latest;
use crate::run::record::{OtherSetting, other_setting};
use crate::{Error, Result};

/// What a run may go on with otherwise than it began.
const FREE: [&str; 1] = ["training.threads"];

/// The command line as it is meant where the run in `--out` has begun; none where that is done.
///
/// # Errors
/// If that one was begun with other settings.
pub(super) fn settled(args: &Train) -> Result<Option<Train>> {
    if !args.go_on || latest(&args.out).is_none() {
        return Ok(Some(args.clone()));
    }
    agree(&args.out, args, &FREE)?;
    if watch::is_done(&args.out)? {
        tell!("the run has taken all its steps: {}", args.out.display());
        return Ok(None);
    }
    Ok(Some(goes_on(args)))
}

/// A command line that began a run, for going on with it.
pub(in crate::commands) fn goes_on(args: &Train) -> Train {
    // The weights that it started from are no longer needed, its length is settled.
    Train { resume: true, go_on: false, init: None, time: None, ..args.clone() }
}

/// Refuses a run that was begun with other settings than a command line asks for, but for `free` ones.
pub(in crate::commands) fn agree(run: &Path, args: &Train, free: &[&str]) -> Result<()> {
    let Some(OtherSetting { key, asked, begun }) = other_setting(run, &configuration(args, None)?, free)?
    else {
        return Ok(());
    };
    let message = format!(
        "holds a run that was begun with {key} = {begun}, not {asked}: give what it was begun with, or name another --out"
    );
    Err(Error::file(run, message))
}
