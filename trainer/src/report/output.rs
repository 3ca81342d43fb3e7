//! Where progress is shown: a bar on a terminal that can draw one, lines anywhere else.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{Console, Verbosity};
use super::log_line::hms;
use super::wrap::{for_errors, for_output};

/// The least time between two lines of a count.
const BETWEEN: Duration = Duration::from_secs(10);

/// A bar, or lines. What cannot be shown, because the other end of a pipe has closed, is dropped: work goes on.
pub(crate) struct Output {
    place: Place,
    pub(super) verbosity: Verbosity,
    /// Breaks lines at words as the terminal has room for them.
    broken: fn(&str) -> String,
}

enum Place {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

impl Output {
    /// Where the program prints: lines too on a terminal whose cursor does not move (`TERM=dumb`), and where little is to be
    /// printed.
    pub(crate) fn new() -> Self {
        let Console { verbosity, json, plain } = Console::get();
        let target = if json { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        let place = match target.is_hidden() || plain || verbosity <= Verbosity::Quiet {
            _ if verbosity == Verbosity::Silent => Place::Lines(Box::new(io::sink())),
            false => Place::Bar(ProgressBar::with_draw_target(None, target).with_style(style())),
            true if json => Place::Lines(Box::new(io::stderr())),
            true => Place::Lines(Box::new(io::stdout())),
        };
        Self { place, verbosity, broken: if json { for_errors } else { for_output } }
    }

    /// Lines to a writer, as they are.
    pub(super) fn lines(lines: impl Write + Send + 'static) -> Self {
        Self { place: Place::Lines(Box::new(lines)), verbosity: Verbosity::Normal, broken: str::to_owned }
    }

    /// Whether a bar is drawn.
    pub(crate) fn is_bar(&self) -> bool {
        matches!(self.place, Place::Bar(_))
    }

    /// Writes a line on what goes on, above the bar where there is one, unless little is to be printed.
    pub(crate) fn say(&mut self, line: impl fmt::Display) {
        if self.verbosity > Verbosity::Quiet {
            self.tell(line);
        }
    }

    /// Writes a line, such as a warning, above the bar where there is one.
    pub(crate) fn tell(&mut self, line: impl fmt::Display) {
        let line = (self.broken)(&line.to_string());
        match &mut self.place {
            Place::Bar(bar) => bar.println(line),
            Place::Lines(lines) => drop(writeln!(lines, "{line}").and_then(|()| lines.flush())),
        }
    }

    /// Draws the bar, if there is one.
    pub(crate) fn draw(&self, prefix: &str, [done, total]: [u64; 2], message: &str) {
        if let Place::Bar(bar) = &self.place {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_prefix(prefix.to_owned());
            bar.set_message(message.to_owned());
        }
    }

    /// Leaves the bar as it stands, for what is printed next to begin on a line of its own.
    pub(super) fn leave(self) {
        if let Place::Bar(bar) = self.place {
            bar.abandon();
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(self) {
        if let Place::Bar(bar) = self.place {
            bar.finish_and_clear();
        }
    }
}

/// Whether standard output is a terminal on which what was drawn can be drawn anew.
pub(crate) fn can_redraw() -> bool {
    !ProgressDrawTarget::stdout().is_hidden()
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} {msg}");
    style.expect("the template is a constant that parses").progress_chars("=> ")
}

/// A count on its way, such as the patches of a volume: the bar, or a line every ten seconds.
#[derive(Debug)]
pub(super) struct Count {
    began: Duration,
    /// When the last line was written.
    last: Duration,
}

impl Count {
    /// From now on, by some clock.
    pub(super) fn new(now: Duration) -> Self {
        Self { began: now, last: now }
    }

    /// Shows that so many patches of what the title says are done.
    pub(super) fn show(&mut self, output: &mut Output, title: &str, [done, total]: [u64; 2], now: Duration) {
        let left = match done {
            0 => String::new(),
            _ => format!(
                ", {} left",
                hms(remaining(now.saturating_sub(self.began), done, total.saturating_sub(done)))
            ),
        };
        if output.is_bar() {
            output.draw(title, [done, total], &format!("patches{left}"));
        } else if now >= self.last + BETWEEN && done > 0 && done < total {
            self.last = now;
            output.say(format_args!("{title}: {done} of {total} patches{left}"));
        }
    }
}

/// The time for `left` of something at the pace of the `done` ones.
pub(super) fn remaining(elapsed: Duration, done: u64, left: u64) -> Duration {
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left as f64 / done as f64).unwrap_or(Duration::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lines, and what was written of them.
    pub(in crate::report) fn written() -> (Output, impl Fn() -> String) {
        let text = Text::default();
        let output = Output::lines(text.clone());
        (output, move || String::from_utf8(text.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn remaining_time_is_the_pace_so_far_times_what_is_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(remaining(minute, 30, 90), 3 * minute);
        assert_eq!(remaining(minute, 30, 0), Duration::ZERO);
    }

    /// A bar that nobody sees.
    pub(in crate::report) fn hidden() -> (Output, ProgressBar) {
        let bar = ProgressBar::hidden();
        (Output { place: Place::Bar(bar.clone()), ..Output::lines(io::sink()) }, bar)
    }

    #[test]
    fn a_bar_is_told_of_every_patch() {
        let (mut output, bar) = hidden();
        let mut count = Count::new(Duration::from_secs(100));
        count.show(&mut output, "case_7", [0, 4], Duration::from_secs(100));
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (0, Some(4), "patches"));
        count.show(&mut output, "case_7", [1, 4], Duration::from_secs(102));
        assert_eq!((bar.position(), bar.prefix().as_str()), (1, "case_7"));
        assert_eq!(bar.message(), "patches, 0:00:06 left");
    }
}
