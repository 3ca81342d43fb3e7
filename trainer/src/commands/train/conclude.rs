//! The last lines of `trainer train`: which model predictions use, how it reads logits, and what to type next.

use crate::Result;
use crate::cli::{Train, called};
use crate::commands::next::{Resume, predict};
use crate::config::Config;
use crate::predict::Asked;
use crate::report::{RunData, hms, in_use};
use crate::run::folder::PAGE;
use crate::training::Outcome;

/// Says what a run came to: of the model that predictions use, and what to type next.
pub(super) fn conclude(args: &Train, config: &Config, outcome: &Outcome) -> Result<()> {
    let run = RunData::read(&args.out)?;
    tell!("\n{}", in_use(&run));
    if let Some(network) = &run.network {
        say!("{}", network.decision);
        match &network.postprocessing {
            Some(choice) => say!("{choice}"),
            None if run.model.is_none() || Asked::of(&config.inference).is_settled() => {}
            None => say!("no validation case to choose post-processing on: masks stay as predicted"),
        }
    }
    let end = &outcome.end;
    say!(
        "weights after the last step {} (CRC-32C); waited for data {:.1} % of the time",
        end.weights_crc32c,
        100.0 * end.waited_for_data
    );
    if let Some(bytes) = end.peak_memory {
        say!("peak memory {:.0} MB", bytes as f64 / (1u64 << 20) as f64);
    }
    let state = if outcome.stopped { "stopped" } else { "done" };
    tell!("{state} after {} steps in {}: {}", outcome.steps, hms(outcome.elapsed), args.out.display());
    let page = args.out.join(PAGE);
    if page.is_file() {
        tell!("curves, cases and slices: {}", page.display());
    }
    Ok(())
}

/// The commands that may come after a run, as they are typed.
pub(in crate::commands) fn next(args: &Train, outcome: &Outcome) -> String {
    let called = called();
    let resume = Resume {
        run: &args.out,
        dataset: &args.dataset,
        validation: args.validation.as_deref(),
        cache: args.loading.cache.as_deref(),
    };
    if outcome.stopped {
        return format!("to go on from here:\n  {}", resume.command(&called, None));
    }
    format!(
        "to predict:\n  {}\n\
         to compare masks with labels:\n  {called} evaluate --predictions MASKS --labels LABELS\n\
         to train for more epochs:\n  {}",
        predict(&called, &args.out),
        resume.prolonged(&called, outcome.epochs as u64)
    )
}
