//! The command line's entry: parses, prints errors, chooses the exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Parser;
use trainer::cli::{Cli, Command};

static STOP: AtomicBool = AtomicBool::new(false);

/// What a shell reports of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 128 + 13;

fn main() -> ExitCode {
    end_quietly_on_a_closed_pipe();
    let cli = Cli::parse();
    match listen(&cli).and_then(|()| trainer::commands::run(cli, &STOP).map_err(Into::into)) {
        Ok(()) if STOP.load(Ordering::Relaxed) => ExitCode::from(130),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error of the program's own says its cause; anything else has a chain of them.
            match error.downcast_ref::<trainer::Error>() {
                Some(error) => eprintln!("error: {error}"),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// `trainer evaluate … | head` closes the pipe that it is printed into: that is no fault to report.
fn end_quietly_on_a_closed_pipe() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(CLOSED_PIPE);
        }
        report(panic);
    }));
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
                | Command::Plan(_)
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
