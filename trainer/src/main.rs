//! The command line's entry: parses, prints errors, chooses the exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Parser;
use trainer::cli::{Cli, Command};

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match listen(&cli).and_then(|()| trainer::commands::run(cli, &STOP).map_err(Into::into)) {
        Ok(()) if STOP.load(Ordering::Relaxed) => ExitCode::from(130),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where work is long, the first Ctrl-C ends it after the current step; the second ends the program.
fn listen(cli: &Cli) -> anyhow::Result<()> {
    if matches!(
        cli.command,
        Some(
            Command::Inspect(_)
                | Command::Verify(_)
                | Command::Info(_)
                | Command::Explain(_)
                | Command::Evaluate(_)
                | Command::Config
        )
    ) {
        return Ok(());
    }
    let handler = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current step; once more to stop at once");
    };
    ctrlc::set_handler(handler).context("Ctrl-C cannot be handled")
}
