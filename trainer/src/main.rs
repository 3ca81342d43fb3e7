//! The command line's entry: parses, prints errors, chooses the exit code.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Parser;
use trainer::cli::Cli;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match listen().and_then(|()| trainer::commands::run(cli, &STOP).map_err(Into::into)) {
        Ok(()) if STOP.load(Ordering::Relaxed) => ExitCode::from(130),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The first Ctrl-C ends the work after the current step; the second ends the program.
fn listen() -> anyhow::Result<()> {
    let handler = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current step; once more to stop at once");
    };
    ctrlc::set_handler(handler).context("Ctrl-C cannot be handled")
}
