//! Progress of a prediction: a bar on a terminal, now and then a line in a pipe.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::log_line::hms;
use super::progress::remaining;

/// The time between two lines.
const BETWEEN: Duration = Duration::from_secs(10);

/// Shows how many patches of a volume are done, and how long the others will take at the same pace.
///
/// What takes less than ten seconds has no line in a pipe. What cannot be shown is dropped.
pub struct PatchProgress {
    title: String,
    /// On a terminal.
    bar: Option<ProgressBar>,
    lines: Box<dyn Write + Send>,
    /// The time since the beginning.
    clock: Box<dyn Fn() -> Duration + Send>,
    /// When the last line was written.
    last: Duration,
}

impl fmt::Debug for PatchProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatchProgress {{ {} }}", self.title)
    }
}

impl PatchProgress {
    /// On standard output, for a volume of this name.
    pub fn new(title: &str) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} patches {eta}");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout())
                .with_prefix(title.to_owned())
                .with_style(style.expect("the template is a constant that parses"))
        });
        let start = Instant::now();
        Self {
            title: title.to_owned(),
            bar,
            lines: Box::new(std::io::stdout()),
            clock: Box::new(move || start.elapsed()),
            last: Duration::ZERO,
        }
    }

    /// Tells that `done` of `total` patches are done.
    pub fn at(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        let elapsed = (self.clock)();
        if elapsed < self.last + BETWEEN || done == 0 || done >= total {
            return;
        }
        self.last = elapsed;
        let left = hms(remaining(elapsed, done, total - done));
        // A closed pipe is no reason to stop.
        let line = writeln!(self.lines, "{}: {done} of {total} patches, {left} left", self.title);
        drop(line.and_then(|()| self.lines.flush()));
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_is_told_every_ten_seconds_how_long_the_rest_will_take() {
        let (lines, seconds) = (Lines::default(), Arc::new(AtomicU64::new(0)));
        let now = Arc::clone(&seconds);
        let mut shown = PatchProgress {
            title: "case_7".into(),
            bar: None,
            lines: Box::new(lines.clone()),
            clock: Box::new(move || Duration::from_secs(now.load(Ordering::Relaxed))),
            last: Duration::ZERO,
        };
        for done in 1..=20 {
            seconds.store(4 * done, Ordering::Relaxed);
            shown.at(done, 20);
        }
        shown.finish();
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let wanted = "case_7: 3 of 20 patches, 0:01:08 left\ncase_7: 6 of 20 patches, 0:00:56 left\n";
        assert!(text.starts_with(wanted), "{text}");
        assert!(text.ends_with("case_7: 18 of 20 patches, 0:00:08 left\n"), "{text}");
        assert_eq!(text.lines().count(), 6);
    }
}
