//! The line that training prints, and the forms of its numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// One line of a training log.
///
/// ```
/// use std::time::Duration;
/// use trainer::report::LogLine;
/// let elapsed = Duration::from_secs(56);
/// let line = LogLine { epoch: 1, batch: 100, batches_per_epoch: 1320, lr: 2.886e-5, loss: 0.354, elapsed };
/// let text = "| epoch   1 |   100/ 1320 batches | lr 2.886e-05 | loss 0.354 | elapsed 0:00:56";
/// assert_eq!(line.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The batch within the epoch, from 1.
    pub batch: u64,
    /// Batches in an epoch.
    pub batches_per_epoch: u64,
    /// The learning rate of the last batch; in JSON `null` where it is no number.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
    /// The mean loss of the batches since the line before; in JSON `null` where it is no number.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Time spent training, in JSON as seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds", deserialize_with = "duration")]
    pub elapsed: Duration,
}

impl LogLine {
    /// Epochs taken until then, the last of them in part.
    pub fn epochs(&self) -> f64 {
        self.epoch.saturating_sub(1) as f64 + self.batch as f64 / self.batches_per_epoch.max(1) as f64
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, batch, batches_per_epoch, .. } = self;
        let (lr, loss, elapsed) = (scientific(self.lr), decimal(self.loss), hms(self.elapsed));
        write!(f, "| epoch {epoch:3} | {batch:5}/{batches_per_epoch:5} batches | ")?;
        write!(f, "lr {lr} | loss {loss} | elapsed {elapsed}")
    }
}

/// A number as C and Python write `%.3e`: the exponent has a sign and at least two digits.
///
/// ```
/// assert_eq!(trainer::report::scientific(2.886e-5), "2.886e-05");
/// ```
pub fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        // Infinities and NaN have no exponent.
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// Hours, minutes and seconds as `h:mm:ss`; fractions of a second are cut off.
///
/// ```
/// assert_eq!(trainer::report::hms(std::time::Duration::from_secs(3_661)), "1:01:01");
/// ```
pub fn hms(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Three decimals; four significant digits below 0.01, so that a small loss is not printed as 0.
pub(crate) fn decimal(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size >= 0.01 || !value.is_finite() {
        return format!("{value:.3}");
    }
    if size < 1e-4 {
        return scientific(value);
    }
    // The exponent after rounding to four digits, so that 0.0099999 becomes 0.01000.
    let rounded = format!("{value:.3e}");
    let exponent: i32 = rounded.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(-4);
    format!("{value:.0$}", usize::try_from(3 - exponent).unwrap_or(3))
}

fn seconds<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64())
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_losses_show_four_digits_and_others_three_decimals() {
        let texts = [
            (0.354, "0.354"),
            (12.3456, "12.346"),
            (0.01, "0.010"),
            (0.00354321, "0.003543"),
            (0.000354321, "0.0003543"),
            (0.0099999999, "0.01000"),
            (0.00001234, "1.234e-05"),
            (0.0, "0.000"),
            (-0.5, "-0.500"),
            (-0.001, "-0.001000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in texts {
            assert_eq!(decimal(value), text);
        }
    }

    #[test]
    fn exponents_have_a_sign_and_two_digits_at_least() {
        let texts = [
            (2.886e-5, "2.886e-05"),
            (0.0, "0.000e+00"),
            (1.0, "1.000e+00"),
            (9.9996e-5, "1.000e-04"),
            (1.0625, "1.062e+00"),
            (3e-104, "3.000e-104"),
            (-2.5e12, "-2.500e+12"),
        ];
        for (value, text) in texts {
            assert_eq!(scientific(value), text);
        }
    }

    #[test]
    fn wide_numbers_push_the_line_and_lose_nothing() {
        let elapsed = Duration::from_millis(90_061_999);
        let line = LogLine {
            epoch: 1000,
            batch: 123_456,
            batches_per_epoch: 654_321,
            lr: 1.0,
            loss: 0.002,
            elapsed,
        };
        let text = "| epoch 1000 | 123456/654321 batches | lr 1.000e+00 | loss 0.002000 | elapsed 25:01:01";
        assert_eq!(line.to_string(), text);
    }
}
