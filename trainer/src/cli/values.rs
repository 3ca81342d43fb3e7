//! Values of the command line that are more than one word or number.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::is_overlap;

/// Some labels of a mask.
pub type Labels = Vec<i32>;

pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let labels = text.split(',').map(|label| label.trim().parse().ok()).collect::<Option<_>>();
    labels.ok_or_else(|| "whole numbers separated by commas are needed, such as 1,2".to_owned())
}

/// A number of things.
pub(super) fn whole<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "a whole number from 0 on is needed, such as 8".to_owned())
}

/// A number of any size.
pub(super) fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "a number is needed, such as 0.5".to_owned())
}

/// Voxel sizes along x, y, z in mm.
pub type Spacing = [f64; 3];

/// Three lengths between commas.
pub(super) fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Vec<f64> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let spacing: Option<Spacing> = numbers.try_into().ok().filter(|_| text.split(',').count() == 3);
    let is_length = |mm: &f64| mm.is_finite() && *mm > 0.0;
    spacing
        .filter(|spacing| spacing.iter().all(is_length))
        .ok_or_else(|| "three lengths above 0 in mm are needed, such as 0.7,0.7,5".to_owned())
}

/// One of the equal parts into which things are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// Whether the thing with this number is in it. Neighbours are in different shares, as they may be alike in size.
    pub fn holds(self, number: usize) -> bool {
        number % self.of == self.index
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// K/N with K below N.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let numbers =
        text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
    let share = numbers.map(|(index, of)| Share { index, of }).filter(|share| share.index < share.of);
    share.ok_or_else(|| {
        "a share K/N with K from 0 to below N is needed, such as 0/4, the first of four".to_owned()
    })
}

/// A share of a patch.
pub(super) fn overlap(text: &str) -> Result<f64, String> {
    let overlap: Option<f64> = text.parse().ok();
    overlap
        .filter(|&overlap| is_overlap(overlap))
        .ok_or_else(|| "a share from 0 to below 0.95 is needed, such as 0.5".to_owned())
}

/// Hours, minutes and seconds, in this order.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let parse = || {
        let (mut rest, mut seconds) = (text, 0u64);
        for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
            if let Some((number, after)) = rest.split_once(unit) {
                let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
                let number: u64 = number.parse().ok().filter(|_| is_number)?;
                seconds = seconds.checked_add(number.checked_mul(length)?)?;
                rest = after;
            }
        }
        (rest.is_empty() && seconds > 0).then(|| Duration::from_secs(seconds))
    };
    parse().ok_or_else(|| "a time above 0 is needed, such as 2h, 30m, 90s or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hours_minutes_and_seconds_are_added_whichever_of_them_are_given(
            parts in prop::array::uniform3(prop::option::of(0u64..1000)),
        ) {
            let units = parts.iter().zip(["h", "m", "s"]);
            let text: String = units.filter_map(|(n, unit)| n.map(|n| format!("{n}{unit}"))).collect();
            let sum: u64 = parts.iter().zip([3600, 60, 1]).map(|(n, length)| n.unwrap_or(0) * length).sum();
            prop_assert_eq!(time(&text).ok(), Some(Duration::from_secs(sum)).filter(|time| !time.is_zero()));
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in [
            "",
            "30",
            "0m",
            "-5m",
            "+5m",
            "1.5h",
            "1m30h",
            "2h2h",
            "1h30",
            "5 m",
            "5M",
            "2d",
            "99999999999999999h",
        ] {
            assert!(time(text).is_err_and(|error| error.contains("1h30m")), "{text}");
        }
    }
}
