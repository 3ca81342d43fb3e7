//! What the ranks of a run exchange, as its log tells of it.

use std::time::Duration;

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
    waited: Duration,
    steps: u64,
    exposed: f64,
}

/// A line of the log: of the steps since the one before, the mean.
#[derive(Clone, Debug, Serialize)]
struct ExchangeFigures {
    step: u64,
    ranks: usize,
    /// Bytes that the first rank sends and receives in a step.
    sent: u64,
    received: u64,
    /// Seconds of a step in which it waits for other ranks, also for those that compute longer.
    waited: f64,
    /// Seconds that the rank which computes longest waits for sums and gradients.
    exposed: f64,
    /// Seconds that the gradients take while nothing is computed.
    bare: f64,
    /// The share of these that the computation hides.
    hidden: f64,
}

impl Exchange {
    /// None where a process is by itself.
    pub(super) fn begin(model: &UNet3d<f32>, ranks: &Ranks, samples: usize) -> Result<Option<Self>> {
        if ranks.is_alone() {
            return Ok(None);
        }
        let bare = bare_exchange(model, ranks, samples)?;
        Ok(Some(Self { bare, before: ranks.traffic(), waited: ranks.waited(), steps: 0, exposed: 0.0 }))
    }

    /// Counts a step of which so many seconds were exposed.
    pub(super) fn count(&mut self, exposed: f64) {
        self.steps += 1;
        self.exposed += exposed;
    }

    /// The mean since this was asked before.
    fn take(&mut self, step: u64, ranks: &Ranks) -> ExchangeFigures {
        let now = ranks.traffic();
        let steps = self.steps.max(1);
        let exposed = self.exposed / steps as f64;
        let waited = ranks.waited();
        let figures = ExchangeFigures {
            step,
            ranks: ranks.size(),
            sent: (now.sent - self.before.sent) / steps,
            received: (now.received - self.before.received) / steps,
            waited: (waited - self.waited).as_secs_f64() / steps as f64,
            exposed,
            bare: self.bare,
            hidden: (1.0 - exposed / self.bare).max(0.0),
        };
        *self = Self { bare: self.bare, before: now, waited, steps: 0, exposed: 0.0 };
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
