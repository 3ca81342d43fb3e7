//! Progress of a prediction: a bar on a terminal, now and then a line in a pipe.

use std::fmt;
use std::time::{Duration, Instant};

use super::output::{Count, Output};

/// Shows how many patches of a volume are done, and how long the others will take at the same pace.
///
/// What takes less than ten seconds has no line in a pipe. What cannot be shown is dropped.
pub struct PatchProgress {
    title: String,
    output: Output,
    count: Count,
    /// The time since the beginning.
    clock: Box<dyn Fn() -> Duration + Send>,
}

impl fmt::Debug for PatchProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatchProgress {{ {} }}", self.title)
    }
}

impl PatchProgress {
    /// Where the program prints, for a volume of this name.
    pub fn new(title: &str) -> Self {
        let start = Instant::now();
        Self {
            title: title.to_owned(),
            output: Output::new(),
            count: Count::new(Duration::ZERO),
            clock: Box::new(move || start.elapsed()),
        }
    }

    /// Tells that `done` of `total` patches are done.
    pub fn at(&mut self, done: u64, total: u64) {
        self.count.show(&mut self.output, &self.title, [done, total], (self.clock)());
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.output.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::report::output::tests::written;

    #[test]
    fn a_pipe_is_told_every_ten_seconds_how_long_the_rest_will_take() {
        let ((output, written), seconds) = (written(), Arc::new(AtomicU64::new(0)));
        let now = Arc::clone(&seconds);
        let mut shown = PatchProgress {
            title: "case_7".into(),
            output,
            count: Count::new(Duration::ZERO),
            clock: Box::new(move || Duration::from_secs(now.load(Ordering::Relaxed))),
        };
        for done in 1..=20 {
            seconds.store(4 * done, Ordering::Relaxed);
            shown.at(done, 20);
        }
        shown.finish();
        let text = written();
        let wanted = "case_7: 3 of 20 patches, 0:01:08 left\ncase_7: 6 of 20 patches, 0:00:56 left\n";
        assert!(text.starts_with(wanted), "{text}");
        assert!(text.ends_with("case_7: 18 of 20 patches, 0:00:08 left\n"), "{text}");
        assert_eq!(text.lines().count(), 6);
    }
}
