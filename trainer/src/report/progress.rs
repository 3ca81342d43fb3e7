//! Progress of a training run: a bar on a terminal, log lines in a pipe.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::log_line::{LogLine, decimal, hms, scientific};

/// Batches between two log lines, where nothing else is said.
const EVERY: u64 = 100;

/// Shows how far training is, and averages the loss between two log lines.
///
/// What cannot be shown, because the other end of a pipe has closed, is dropped: training goes on.
///
/// ```no_run
/// use trainer::report::Progress;
/// let mut progress = Progress::new(2640, 1320).every(50);
/// if let Some(line) = progress.batch(1, 50, 1e-4, 0.7) {
///     // The same line goes into log.jsonl.
/// }
/// progress.println("validation dice 0.71");
/// progress.finish();
/// ```
pub struct Progress {
    total_batches: u64,
    batches_per_epoch: u64,
    every: u64,
    /// Time spent before this run went on.
    before: Duration,
    /// Time spent since, by a clock that tests can turn.
    clock: Box<dyn Fn() -> Duration + Send>,
    /// Batches of this run.
    done: u64,
    loss_sum: f64,
    loss_count: u64,
    output: Output,
}

enum Output {
    Bar(ProgressBar),
    Plain(Box<dyn Write + Send>),
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total_batches, batches_per_epoch, every, done, .. } = self;
        write!(f, "Progress {{ {done} of {total_batches}, {batches_per_epoch} an epoch, every {every} }}")
    }
}

impl Progress {
    /// Progress on standard output: a bar where that is a terminal, a log line every 100 batches and at the
    /// end of each epoch where it is not. `total_batches` counts all epochs.
    pub fn new(total_batches: u64, batches_per_epoch: u64) -> Self {
        let output = if std::io::stdout().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total_batches), ProgressDrawTarget::stdout());
            let template = "{prefix} [{wide_bar}] {pos}/{len} {msg}";
            let style =
                ProgressStyle::with_template(template).expect("the template is a constant that parses");
            bar.set_style(style.progress_chars("=> "));
            Output::Bar(bar)
        } else {
            Output::Plain(Box::new(std::io::stdout()))
        };
        let start = Instant::now();
        Self {
            total_batches,
            batches_per_epoch,
            every: EVERY,
            before: Duration::ZERO,
            clock: Box::new(move || start.elapsed()),
            done: 0,
            loss_sum: 0.0,
            loss_count: 0,
            output,
        }
    }

    /// A log line every `batches` batches instead of 100 (0 counts as 1).
    #[must_use]
    pub fn every(mut self, batches: u64) -> Self {
        self.every = batches.max(1);
        self
    }

    /// Time that earlier parts of a resumed run took; it is added to what is shown.
    #[must_use]
    pub fn elapsed_before(mut self, elapsed: Duration) -> Self {
        self.before = elapsed;
        self
    }

    /// Plain lines to `writer`, whatever standard output is.
    #[must_use]
    pub fn plain_to(mut self, writer: impl Write + Send + 'static) -> Self {
        self.output = Output::Plain(Box::new(writer));
        self
    }

    /// Another clock: the time since this part of the run began.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Tells that a batch is done; `epoch` and `batch` (within the epoch) count from 1.
    ///
    /// Gives the log line where one is due, on a terminal too: every so many batches of an epoch, and at its
    /// end. The line's loss is the mean since the line before.
    pub fn batch(&mut self, epoch: u64, batch: u64, lr: f64, loss: f64) -> Option<LogLine> {
        self.done += 1;
        self.loss_sum += loss;
        self.loss_count += 1;
        let elapsed = self.elapsed();
        let loss = self.loss_sum / self.loss_count as f64;
        let batches_per_epoch = self.batches_per_epoch;
        let position = epoch.saturating_sub(1) * batches_per_epoch + batch;
        if let Output::Bar(bar) = &self.output {
            let left = self.total_batches.saturating_sub(position);
            bar.set_position(position);
            bar.set_prefix(format!("epoch {epoch}"));
            bar.set_message(message(lr, loss, remaining((self.clock)(), self.done, left)));
        }
        if !batch.is_multiple_of(self.every) && batch != batches_per_epoch {
            return None;
        }
        (self.loss_sum, self.loss_count) = (0.0, 0);
        let line = LogLine { epoch, batch, batches_per_epoch, lr, loss, elapsed };
        if let Output::Plain(_) = self.output {
            self.println(line);
        }
        Some(line)
    }

    /// Writes a line, above the bar where there is one.
    pub fn println(&mut self, line: impl fmt::Display) {
        match &mut self.output {
            Output::Bar(bar) => bar.println(line.to_string()),
            // A closed pipe is no reason to stop training.
            Output::Plain(writer) => drop(writeln!(writer, "{line}").and_then(|()| writer.flush())),
        }
    }

    /// Time spent on the run, with what came before a resume.
    pub fn elapsed(&self) -> Duration {
        self.before + (self.clock)()
    }

    /// Leaves the bar as it stands, for what is printed next to begin on a line of its own.
    pub fn finish(self) {
        if let Output::Bar(bar) = self.output {
            bar.abandon();
        }
    }
}

/// What stands behind the bar.
fn message(lr: f64, loss: f64, remaining: Duration) -> String {
    format!("loss {} lr {} left {}", decimal(loss), scientific(lr), hms(remaining))
}

/// The time for `left` batches at the pace of the `done` ones.
pub(super) fn remaining(elapsed: Duration, done: u64, left: u64) -> Duration {
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left as f64 / done as f64).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_the_pace_so_far_times_what_is_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(remaining(minute, 30, 90), 3 * minute);
        assert_eq!(remaining(minute, 30, 0), Duration::ZERO);
        assert_eq!(message(1e-4, 0.5, 3 * minute), "loss 0.500 lr 1.000e-04 left 0:03:00");
    }

    #[test]
    fn a_bar_follows_the_batches_and_gives_the_same_lines_as_a_pipe() {
        let bar = ProgressBar::hidden();
        let clock = || Duration::from_secs(7);
        let mut shown = Progress::new(8, 4).every(3).clock(clock);
        shown.output = Output::Bar(bar.clone());
        let mut piped = Progress::new(8, 4).every(3).clock(clock).plain_to(std::io::sink());
        for (epoch, batch) in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)] {
            let line = shown.batch(epoch, batch, 0.1, batch as f64);
            assert_eq!(line, piped.batch(epoch, batch, 0.1, batch as f64));
            assert_eq!(bar.position(), (epoch - 1) * 4 + batch);
        }
        assert_eq!(
            (bar.prefix(), bar.message()),
            ("epoch 2".into(), "loss 1.500 lr 1.000e-01 left 0:00:02".into())
        );
        shown.finish();
        assert!(bar.is_finished());
        assert_eq!(bar.position(), 6);
    }
}
