//! Which cases are kept out of training.

use rand::seq::SliceRandom;

use crate::random::{Purpose, generator};

/// Folds of the cross-validation whose first is used.
const FOLDS: usize = 5;

/// The indices of training and of validation cases among `cases`: fold 0 of 5 with five cases or more, one case
/// left out with two to four, none with one.
///
/// Which cases they are follows from the seed alone, given the cases in order of their names.
pub fn split(cases: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..cases).collect();
    order.shuffle(&mut generator(seed, Purpose::Split, 0));
    let held_out = match cases {
        0 | 1 => 0,
        2..FOLDS => 1,
        _ => cases.div_ceil(FOLDS),
    };
    let mut training = order.split_off(held_out);
    order.sort_unstable();
    training.sort_unstable();
    (training, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_on_one_side_and_both_sides_are_as_large_as_said() {
        for (cases, held_out) in [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (10, 2), (23, 5)] {
            for seed in 0..4 {
                let (training, validation) = split(cases, seed);
                assert_eq!(validation.len(), held_out, "{cases} cases");
                let mut all = [training, validation].concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..cases));
            }
        }
    }
}
