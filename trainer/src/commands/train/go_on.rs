//! `trainer train --continue`: a run from its beginning, or from where it was stopped.

use std::path::Path;

use ranks::Ranks;

use super::configuration;
use super::together::first;
use crate::cli::Train;
use crate::commands::watch;
use crate::run::checkpoint::latest;
use crate::run::record::{OtherSetting, other_setting};
use crate::{Error, Result};

/// What a run may go on with otherwise than it began.
const FREE: [&str; 1] = ["training.threads"];

/// The command line as it is meant where the run in `--out` has begun, by what the first rank sees there; none where that is
/// done.
///
/// # Errors
/// If that one was begun with other settings.
pub(super) fn settled(args: &Train, ranks: &Ranks) -> Result<Option<Train>> {
    let [has_begun, is_done] = first(ranks, || {
        if !args.go_on || latest(&args.out).is_none() {
            return Ok([false; 2]);
        }
        agree(&args.out, args, &FREE)?;
        Ok([true, watch::is_done(&args.out)?])
    })?;
    if is_done {
        tell!("the run has taken all its steps: {}", args.out.display());
        return Ok(None);
    }
    Ok(Some(if has_begun { goes_on(args) } else { Train { go_on: false, ..args.clone() } }))
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
        "holds a run with {key} = {begun}, not {asked}: give what it has, or name another --out; --resume --epochs prolongs a run"
    );
    Err(Error::file(run, message))
}
