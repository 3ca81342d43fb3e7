//! `trainer convert`: an nnU-Net folder made of images and masks in any format.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Convert, called, quoted};
use crate::curate::convert::{Checked, Conversion, Pairs, Stage, Step};
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

    let mut shown = Shown::new();
    let checked = conversion.check(&mut |step| shown.goes_on(step, stop))?;
    shown.clear();
    let Some(checked) = checked else { return stopped() };
    checked.notes.iter().for_each(|note| say!("{note}"));
    if checked.found.errors > 0 {
        say!("{}", checked.found);
        let errors = match checked.found.errors {
            1 => "the error".to_owned(),
            n => format!("the {n} errors"),
        };
        let message = format!("is not written: correct {errors} above and convert again");
        return Err(Error::file(&out, message));
    }
    if dry_run {
        list(&checked);
        say!("nothing is wrong; without --dry-run this is written to {}", out.display());
        return Ok(());
    }
    let mut shown = Shown::new();
    let found = checked.write(&mut |step| shown.goes_on(step, stop))?;
    shown.clear();
    let Some(found) = found else { return stopped() };
    say!("{found}\n\nwritten to {}; next:", out.display());
    let (called, out) = (called(), quoted(&out));
    println!("  {called} inspect {out}\n  {called} train {out} --out MY_RUN");
    Ok(())
}

fn stopped() -> Result<()> {
    say!("stopped; nothing is written");
    Ok(())
}

fn list(checked: &Checked) {
    say!("dataset.json");
    checked.files().iter().for_each(|file| say!("{file}"));
}

/// A bar on a terminal, a line a case in a pipe.
struct Shown {
    bar: Option<ProgressBar>,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} cases {eta}");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout())
                .with_style(style.expect("the template is a constant that parses"))
        });
        Self { bar }
    }

    /// Shows a step; `false` where the work is to end.
    fn goes_on(&mut self, step: Step<'_>, stop: &AtomicBool) -> bool {
        let Step { stage, case, done, total } = step;
        let what = match stage {
            Stage::Read => "read",
            Stage::Write => "wrote",
        };
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_prefix(what);
                bar.set_position(done as u64);
            }
            // A closed pipe is no reason to leave half the work undone.
            None => drop(writeln!(std::io::stdout(), "{what} {case} ({done} of {total})")),
        }
        !stop.load(Ordering::Relaxed)
    }

    fn clear(self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
