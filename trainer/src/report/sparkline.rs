//! A curve as a line of text: `█▆▅▃▂▂▁▁`.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values from left to right in at most so many characters, each the mean of as many values as fall to it, from the lowest
/// level for the least mean to the highest for the largest. Where there is no finite value there is a space.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    let cells = values.len().min(width);
    let mean = |cell: usize| {
        let values = &values[cell * values.len() / cells..(cell + 1) * values.len() / cells];
        let finite = || values.iter().filter(|value| value.is_finite());
        finite().sum::<f64>() / finite().count() as f64
    };
    let means: Vec<f64> = (0..cells).map(mean).collect();
    // `min` and `max` pass NaN over.
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = |mean: f64| {
        let share = if high > low { (mean - low) / (high - low) } else { 0.0 };
        LEVELS[(share * (LEVELS.len() - 1) as f64).round() as usize]
    };
    means.iter().map(|&mean| if mean.is_finite() { level(mean) } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn levels(text: &str) -> Vec<usize> {
        text.chars().map(|c| LEVELS.iter().position(|&level| level == c).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn a_curve_that_falls_falls_from_the_highest_level_to_the_lowest(
            mut values in prop::collection::vec(-1e6..1e6f64, 1..300),
            width in 1usize..80,
        ) {
            values.sort_by(|a, b| b.total_cmp(a));
            let levels = levels(&sparkline(&values, width));
            prop_assert_eq!(levels.len(), values.len().min(width));
            prop_assert!(levels.is_sorted_by(|a, b| a >= b));
            if levels.len() > 1 && values[0] - values[values.len() - 1] > 1.0 {
                prop_assert_eq!((levels[0], levels[levels.len() - 1]), (7, 0));
            }
        }
    }

    #[test]
    fn what_is_not_finite_leaves_a_gap_and_nothing_is_nothing() {
        assert_eq!(sparkline(&[1.0, f64::NAN, f64::INFINITY, 0.0, 0.5], 9), "█  ▁▅");
        assert_eq!(sparkline(&[3.0, 3.0], 9), "▁▁");
        assert_eq!(sparkline(&[], 9), "");
        assert_eq!(sparkline(&[f64::NAN], 9), " ");
    }
}
