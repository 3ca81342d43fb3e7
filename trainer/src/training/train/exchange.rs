//! What the ranks of a run exchange, as its log tells of it.

use ranks::{Ranks, Traffic};
use serde::Serialize;
use unet3d::UNet3d;

use super::Run;
use super::among::bare_exchange;
use crate::Result;

/// What was exchanged since the last line of the log.
pub(super) struct Exchange {
    /// Seconds that a step's gradients travel by themselves.
    bare: f64,
    before: Traffic,
    steps: u64,
    seconds: f64,
}

/// A line of the log: of the steps since the one before, the mean.
#[derive(Clone, Debug, Serialize)]
struct ExchangeFigures {
    step: u64,
    ranks: usize,
    /// Bytes that the first rank sends and receives in a step.
    sent: u64,
    received: u64,
    /// Seconds of a step in which it waits for other ranks, those that compute longer among them.
    waited: f64,
    /// Seconds that the gradients take while nothing is computed.
    bare: f64,
    /// The share of these that the backward pass hides.
    hidden: f64,
}

impl Exchange {
    /// None where a process is by itself.
    pub(super) fn begin(model: &UNet3d<f32>, ranks: &Ranks, samples: usize) -> Result<Option<Self>> {
        if ranks.is_alone() {
            return Ok(None);
        }
        let bare = bare_exchange(model, ranks, samples)?;
        Ok(Some(Self { bare, before: ranks.traffic(), steps: 0, seconds: 0.0 }))
    }

    /// Counts a step in which so many seconds went by until the others' numbers were there.
    pub(super) fn count(&mut self, seconds: f64) {
        self.steps += 1;
        self.seconds += seconds;
    }

    /// The mean since this was asked before.
    fn take(&mut self, step: u64, ranks: &Ranks) -> ExchangeFigures {
        let now = ranks.traffic();
        let steps = self.steps.max(1);
        let waited = self.seconds / steps as f64;
        let figures = ExchangeFigures {
            step,
            ranks: ranks.size(),
            sent: (now.sent - self.before.sent) / steps,
            received: (now.received - self.before.received) / steps,
            waited,
            bare: self.bare,
            hidden: (1.0 - waited / self.bare).max(0.0),
        };
        *self = Self { bare: self.bare, before: now, steps: 0, seconds: 0.0 };
        figures
    }
}

impl Run {
    /// Writes what was exchanged since the line before.
    pub(super) fn write_exchange(&mut self) -> Result<()> {
        let (step, ranks) = (self.step, &self.setup.ranks);
        match self.exchange.as_mut().map(|exchange| exchange.take(step, ranks)) {
            Some(figures) => self.write_log("exchange", &figures),
            None => Ok(()),
        }
    }
}
