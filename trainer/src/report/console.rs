//! What the program prints, how much of it and to which stream, settled once by the command line.
//!
//! | | `--quiet` | by default | `--verbose` |
//! |---|---|---|---|
//! | warnings, results, last lines | ✓ | ✓ | ✓ |
//! | what goes on | | ✓ | ✓ |
//! | each batch | | | ✓ |
//!
//! Where `--json` gives standard output to a program, words go to standard error.

use std::fmt::Display;
use std::sync::OnceLock;

use super::wrap::{for_errors, for_output};

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing, as another process prints.
    Silent,
    /// Warnings, results and last lines.
    Quiet,
    /// What goes on, too.
    #[default]
    Normal,
    /// Each batch, too.
    Verbose,
}

/// How the program prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// How much.
    pub verbosity: Verbosity,
    /// Whether standard output is for JSON alone.
    pub json: bool,
    /// Whether no bar is drawn, even on a terminal: what launches several processes gives each one of its own and collects lines.
    pub plain: bool,
}

static CONSOLE: OnceLock<Console> = OnceLock::new();

impl Console {
    /// Settles how this process prints, the first time that it is called.
    pub fn settle(self) {
        CONSOLE.get_or_init(|| self);
    }

    /// As it was settled.
    pub(crate) fn get() -> Self {
        CONSOLE.get().copied().unwrap_or_default()
    }

    /// Prints a line on what goes on.
    pub(crate) fn say(self, line: impl Display) {
        if self.verbosity > Verbosity::Quiet {
            self.tell(line);
        }
    }

    /// Prints a warning, a result or one of the last lines.
    pub(crate) fn tell(self, line: impl Display) {
        let line = line.to_string();
        self.show(if self.json { for_errors(&line) } else { for_output(&line) });
    }

    /// Prints a line as it is, such as a command to type.
    pub(crate) fn show(self, line: impl Display) {
        if self.verbosity == Verbosity::Silent {
            return;
        }
        if self.json { eprintln!("{line}") } else { println!("{line}") }
    }

    /// Prints a line of a run's log, which ends with a line break, where standard output is for such lines.
    pub(crate) fn log_line(self, line: &str) {
        if self.json && self.verbosity > Verbosity::Silent {
            print!("{line}");
        }
    }
}
