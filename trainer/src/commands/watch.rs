//! `trainer watch`: a run, or those of a folder, as their logs tell of them.

mod screen;
mod state;

use std::path::Path;
use std::time::Duration;

use terminal_size::{Height, Width, terminal_size_of};

use crate::cli::{Watch, called};
use crate::report::can_redraw;
use crate::{Error, Result};

/// Whether a run has ended as it was to, after its last step or out of patience.
///
/// # Errors
/// If its folder holds no run.
pub(super) fn is_done(run: &Path) -> Result<bool> {
    Ok(state::RunState::read(run)?.state == state::Phase::Done)
}

/// Between two looks.
const BETWEEN: Duration = Duration::from_secs(1);
/// Rows and columns where there is no terminal.
const NO_TERMINAL: (usize, usize) = (24, 100);

/// Shows the state until no run goes on any more, or once where nobody looks on.
pub(super) fn run(args: &Watch) -> Result<()> {
    if args.json {
        let text = serde_json::to_string_pretty(&state::runs(&args.run)?);
        println!("{}", text.map_err(|e| Error::Usage(format!("the state is no JSON: {e}")))?);
        return Ok(());
    }
    if args.once || !can_redraw() {
        let (_, columns) = terminal();
        screen::lines(&state::runs(&args.run)?, &called(), columns)
            .iter()
            .for_each(|line| println!("{line}"));
        return Ok(());
    }
    let mut shown = 0;
    loop {
        let runs = state::runs(&args.run)?;
        let (rows, columns) = terminal();
        let lines = fitting(screen::lines(&runs, &called(), columns), rows, columns);
        if shown > 0 {
            // Up to the first line that was shown, and clears all below.
            print!("\x1b[{shown}F\x1b[J");
        }
        lines.iter().for_each(|line| println!("{line}"));
        if runs.iter().all(state::RunState::is_over) {
            return Ok(());
        }
        shown = lines.iter().map(|line| rows_of(line, columns)).sum();
        std::thread::sleep(BETWEEN);
    }
}

/// The rows and columns of the terminal.
fn terminal() -> (usize, usize) {
    match terminal_size_of(std::io::stdout()) {
        Some((Width(columns @ 1..), Height(rows))) => (rows.into(), columns.into()),
        _ => NO_TERMINAL,
    }
}

/// The first lines, as many as a terminal shows at once: what has scrolled away cannot be drawn anew.
fn fitting(mut lines: Vec<String>, rows: usize, columns: usize) -> Vec<String> {
    let mut left = rows.saturating_sub(1);
    let fit = lines.iter().take_while(|line| {
        let rows = rows_of(line, columns);
        let fits = rows <= left;
        left = left.saturating_sub(rows);
        fits
    });
    let fit = fit.count();
    lines.truncate(fit);
    lines
}

/// The rows that a line takes: a word may be longer than a row.
fn rows_of(line: &str, columns: usize) -> usize {
    line.chars().count().div_ceil(columns).max(1)
}
