//! Progress of a training run: a bar on a terminal, log lines in a pipe.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use super::console::Verbosity;
use super::log_line::{LogLine, decimal, hms, scientific};
use super::output::{Count, Output, remaining};

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
    /// A validation that the bar shows in place of the batches.
    validation: Option<Count>,
    /// What the bar shows of the batches: prefix, position, message.
    batches: (String, u64, String),
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total_batches, batches_per_epoch, every, done, .. } = self;
        write!(f, "Progress {{ {done} of {total_batches}, {batches_per_epoch} an epoch, every {every} }}")
    }
}

impl Progress {
    /// Progress where the program prints: a bar on a terminal that can draw one, else a log line every 100 batches and at the
    /// end of each epoch. `total_batches` counts all epochs.
    pub fn new(total_batches: u64, batches_per_epoch: u64) -> Self {
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
            output: Output::new(),
            validation: None,
            batches: (String::new(), 0, String::new()),
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
        self.output = Output::lines(writer);
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
        let of_batch = loss;
        let elapsed = self.elapsed();
        let loss = self.loss_sum / self.loss_count as f64;
        let batches_per_epoch = self.batches_per_epoch;
        let position = epoch.saturating_sub(1) * batches_per_epoch + batch;
        let left = self.total_batches.saturating_sub(position);
        let message = message(lr, loss, remaining((self.clock)(), self.done, left));
        self.batches = (format!("epoch {epoch}"), position, message);
        self.show_batches();
        let line = LogLine { epoch, batch, batches_per_epoch, lr, loss, elapsed };
        let is_due = batch.is_multiple_of(self.every) || batch == batches_per_epoch;
        if self.output.verbosity == Verbosity::Verbose {
            self.output.tell(LogLine { loss: of_batch, ..line });
        } else if is_due && !self.output.is_bar() {
            self.output.say(line);
        }
        if !is_due {
            return None;
        }
        (self.loss_sum, self.loss_count) = (0.0, 0);
        Some(line)
    }

    /// Tells that so many of a validation's patches are done, the last of which is of a case.
    ///
    /// The bar shows them until a batch or a line follows; a pipe has a line every ten seconds.
    pub fn validating(&mut self, case: &str, done: u64, total: u64) {
        let now = (self.clock)();
        let count = self.validation.get_or_insert_with(|| Count::new(now));
        count.show(&mut self.output, &format!("validating {case}"), [done, total], now);
    }

    /// Writes a line, above the bar where there is one, unless little is to be printed.
    pub fn println(&mut self, line: impl fmt::Display) {
        self.show_batches();
        self.output.say(line);
    }

    /// Writes a line that is printed where little is, too.
    pub fn warn(&mut self, line: impl fmt::Display) {
        self.show_batches();
        self.output.tell(line);
    }

    /// Time spent on the run, with what came before a resume.
    pub fn elapsed(&self) -> Duration {
        self.before + (self.clock)()
    }

    /// Leaves the bar as it stands, for what is printed next to begin on a line of its own.
    pub fn finish(self) {
        self.output.leave();
    }

    fn show_batches(&mut self) {
        self.validation = None;
        let (epoch, position, message) = &self.batches;
        self.output.draw(epoch, [*position, self.total_batches], message);
    }
}

/// What stands behind the bar.
fn message(lr: f64, loss: f64, remaining: Duration) -> String {
    format!("loss {} lr {} left {}", decimal(loss), scientific(lr), hms(remaining))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::output::tests::hidden;

    #[test]
    fn a_bar_follows_the_batches_and_gives_the_same_lines_as_a_pipe() {
        let clock = || Duration::from_secs(7);
        let mut shown = Progress::new(8, 4).every(3).clock(clock);
        let (output, bar) = hidden();
        shown.output = output;
        let mut piped = Progress::new(8, 4).every(3).clock(clock).plain_to(std::io::sink());
        for (epoch, batch) in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)] {
            let line = shown.batch(epoch, batch, 0.1, batch as f64);
            assert_eq!(line, piped.batch(epoch, batch, 0.1, batch as f64));
            assert_eq!((bar.position(), bar.length()), ((epoch - 1) * 4 + batch, Some(8)));
        }
        let of_batches = ("epoch 2".to_owned(), "loss 1.500 lr 1.000e-01 left 0:00:02".to_owned());
        assert_eq!((bar.prefix(), bar.message()), of_batches);
        // A validation takes the bar until something else is said.
        shown.validating("case_3", 5, 20);
        assert_eq!((bar.prefix(), bar.position(), bar.length()), ("validating case_3".into(), 5, Some(20)));
        shown.println("epoch 2, on the validation case case_3:");
        assert_eq!((bar.prefix(), bar.message()), of_batches);
        shown.finish();
        assert!(bar.is_finished());
        assert_eq!(bar.position(), 6);
    }

    #[test]
    fn little_is_a_warning_and_much_is_every_batch() {
        let lines = |verbosity| {
            let (mut lines, written) = crate::report::output::tests::written();
            lines.verbosity = verbosity;
            let mut progress = Progress::new(4, 4).every(2).clock(|| Duration::ZERO);
            progress.output = lines;
            for batch in 1..=4 {
                progress.batch(1, batch, 0.1, batch as f64);
            }
            progress.println("said");
            progress.warn("warned");
            written()
        };
        let losses = |text: &str| -> Vec<String> {
            let of_line = |line: &str| Some(line.split_once("loss ")?.1.split(' ').next()?.to_owned());
            text.lines().filter_map(of_line).collect()
        };
        assert_eq!(lines(Verbosity::Quiet), "warned\n");
        assert_eq!(losses(&lines(Verbosity::Normal)), ["1.500", "3.500"]);
        assert_eq!(losses(&lines(Verbosity::Verbose)), ["1.000", "2.000", "3.000", "4.000"]);
        assert!(lines(Verbosity::Verbose).ends_with("said\nwarned\n"));
    }
}
