//! `trainer convert`: an nnU-Net folder made of images and masks in any format.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::{Convert, called, quoted};
use crate::curate::convert::{Checked, Conversion, Pairs, Stage, Step};
use crate::report::Output;
use crate::{Error, Result};

/// Checks, writes, verifies, and says what to type next.
pub(super) fn run(args: Convert, stop: &AtomicBool) -> Result<()> {
    let Convert { images, masks, csv, out, labels, names, channel_names, spacing, geometry, test, dry_run } =
        args;
    let pairs = match (images, masks, csv) {
        (_, _, Some(csv)) => Pairs::Table(csv),
        (Some(images), Some(masks), None) => Pairs::Folders { images, masks, test },
        _ => return Err(Error::Usage("--images DIR and --masks DIR, or --csv FILE, are needed".into())),
    };
    let conversion = Conversion { pairs, out: out.clone(), labels, names, channel_names, spacing, geometry };

    let mut shown = Shown(Output::new());
    let checked = conversion.check(&mut |step| shown.goes_on(step, stop))?;
    shown.0.clear();
    let Some(checked) = checked else { return stopped() };
    checked.notes.iter().for_each(|note| tell!("{note}"));
    if checked.found.errors > 0 {
        tell!("{}", checked.found);
        let errors = match checked.found.errors {
            1 => "the error".to_owned(),
            n => format!("the {n} errors"),
        };
        let message = format!("is not written: correct {errors} above and convert again");
        return Err(Error::file(&out, message));
    }
    if dry_run {
        list(&checked);
        tell!("nothing is wrong; without --dry-run this is written to {}", out.display());
        return Ok(());
    }
    let mut shown = Shown(Output::new());
    let found = checked.write(&mut |step| shown.goes_on(step, stop))?;
    shown.0.clear();
    let Some(found) = found else { return stopped() };
    tell!("{found}\n\nwritten to {}; next:", out.display());
    let (called, out) = (called(), quoted(&out));
    show!("  {called} inspect {out}\n  {called} train {out} --out MY_RUN");
    Ok(())
}

fn stopped() -> Result<()> {
    tell!("stopped; nothing is written");
    Ok(())
}

fn list(checked: &Checked) {
    tell!("dataset.json");
    checked.files().iter().for_each(|file| tell!("{file}"));
}

/// A bar on a terminal, a line a case in a pipe.
struct Shown(Output);

impl Shown {
    /// Shows a step; `false` where the work is to end.
    fn goes_on(&mut self, step: Step<'_>, stop: &AtomicBool) -> bool {
        let Step { stage, case, done, total } = step;
        let what = match stage {
            Stage::Read => "read",
            Stage::Write => "wrote",
        };
        if self.0.is_bar() {
            self.0.draw(what, [done as u64, total as u64], "cases");
        } else {
            self.0.say(format_args!("{what} {case} ({done} of {total})"));
        }
        !stop.load(Ordering::Relaxed)
    }
}
