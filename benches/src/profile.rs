//! Where the time of a training step goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use autograd::Event;

/// Adds up the time between calls under the name of what was done in it.
#[derive(Default)]
pub struct Profile {
    last: Option<Instant>,
    spent: BTreeMap<String, (Duration, usize)>,
}

impl Profile {
    /// The clock starts.
    pub fn start(&mut self) {
        self.last = Some(Instant::now());
    }

    /// The time since the call before was this operation's.
    pub fn operation(&mut self, event: Event) {
        self.add(format!("{} {:?} {}", event.operation, event.pass, event.shape));
    }

    /// The time since the call before was spent on `what`.
    pub fn add(&mut self, what: String) {
        let now = Instant::now();
        let Some(last) = self.last.replace(now) else { return };
        let entry = self.spent.entry(what).or_default();
        entry.0 += now - last;
        entry.1 += 1;
    }

    /// Prints the shares, largest first, to standard error.
    pub fn print(&self) {
        let total: Duration = self.spent.values().map(|(spent, _)| *spent).sum();
        let mut all: Vec<_> = self.spent.iter().collect();
        all.sort_by_key(|(_, (spent, _))| std::cmp::Reverse(*spent));
        for (what, (spent, calls)) in all {
            let share = 100.0 * spent.as_secs_f64() / total.as_secs_f64();
            let each = 1e3 * spent.as_secs_f64() / *calls as f64;
            eprintln!("{share:5.1} %  {each:8.2} ms  x{calls:<3} {what}");
        }
    }
}
