//! Which cases are kept out of training: the folds of a cross-validation.

use std::fmt;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::config::{Auto, Validation, Word};
use crate::random::{Purpose, generator};
use crate::{Error, Result};

/// Folds where nothing else is asked for.
const FOLDS: usize = 5;

/// One part of the cases, held out of the training on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// From 0.
    pub index: usize,
    /// How many parts there are, 2 at least.
    pub of: usize,
}

impl Fold {
    /// The fold that a configuration holds out of so many cases; `None` where it holds out none.
    ///
    /// # Errors
    /// Names a fold that there is not, or a number of folds that so many cases do not fill.
    pub fn of(config: &Validation, cases: usize) -> Result<Option<Self>> {
        let untouched = config.fold == 0 && config.folds == Auto::Word(Word::Auto);
        if config.split == Word::None {
            if untouched {
                return Ok(None);
            }
            let message = "is \"none\", so that no fold is held out: set it to \"auto\", or name no fold";
            return Err(Error::config("validation.split", message));
        }
        let of = match config.folds {
            Auto::Value(folds) if (2..=cases).contains(&folds) => folds,
            Auto::Value(folds) => {
                let remedy = match cases {
                    0 | 1 => "one case has no folds, leave it \"auto\"".to_owned(),
                    _ => format!("--folds takes 2 to {cases} here"),
                };
                let plural = if cases == 1 { "" } else { "s" };
                let message = format!("is {folds} for {cases} training case{plural}: {remedy}");
                return Err(Error::config("validation.folds", message));
            }
            Auto::Word(_) => FOLDS.min(cases),
        };
        let index = config.fold;
        match of {
            0 | 1 if index > 0 => {
                let message = format!("is {index}, but a single case has no folds: leave --fold out");
                Err(Error::config("validation.fold", message))
            }
            0 | 1 => Ok(None),
            _ if index >= of => {
                let message = format!("is {index}, but there are {of} folds: --fold takes 0 to {}", of - 1);
                Err(Error::config("validation.fold", message))
            }
            _ => Ok(Some(Self { index, of })),
        }
    }

    /// The indices, ascending, of the training and of the held-out cases among `cases`.
    ///
    /// Which they are follows from the seed alone, given the cases in order of their names. Over the folds each case is
    /// held out once; folds differ by one case at most, the larger ones first.
    pub fn split(self, cases: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..cases).collect();
        order.shuffle(&mut generator(seed, Purpose::Split, 0));
        let (size, larger) = (cases / self.of, cases % self.of);
        let first = |fold: usize| fold * size + fold.min(larger);
        let mut held_out: Vec<usize> = order.drain(first(self.index)..first(self.index + 1)).collect();
        held_out.sort_unstable();
        order.sort_unstable();
        (order, held_out)
    }
}

/// `fold 1 (of 0 to 4)`
impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold {} (of 0 to {})", self.index, self.of - 1)
    }
}

/// The indices of training and of validation cases among `cases` that a configuration asks for.
///
/// # Errors
/// As [`Fold::of`].
pub fn split(config: &Validation, cases: usize, seed: u64) -> Result<(Vec<usize>, Vec<usize>)> {
    Ok(match Fold::of(config, cases)? {
        Some(fold) => fold.split(cases, seed),
        None => ((0..cases).collect(), Vec::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use proptest::prelude::*;

    fn config(fold: usize, folds: Option<usize>) -> Validation {
        let folds = folds.map_or(Auto::Word(Word::Auto), Auto::Value);
        Validation { fold, folds, ..Config::default().validation }
    }

    #[test]
    fn without_further_words_a_fifth_is_held_out_or_one_of_few() {
        for (cases, held_out) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (10, 2), (23, 5)] {
            for seed in 0..4 {
                let (training, validation) = split(&config(0, None), cases, seed).unwrap();
                assert_eq!(validation.len(), held_out, "{cases} cases");
                let mut all = [training, validation].concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..cases));
            }
        }
    }

    #[test]
    fn fold_0_is_the_head_of_the_shuffled_cases() {
        for cases in [2, 3, 4, 5, 6, 9, 10, 11, 23] {
            for seed in 0..8 {
                let mut order: Vec<usize> = (0..cases).collect();
                order.shuffle(&mut generator(seed, Purpose::Split, 0));
                let mut head = order[..cases.div_ceil(FOLDS.min(cases))].to_vec();
                head.sort_unstable();
                assert_eq!(split(&config(0, None), cases, seed).unwrap().1, head);
            }
        }
    }

    #[test]
    fn folds_that_there_are_not_are_named_with_those_that_there_are() {
        let error = |fold, folds, cases| Fold::of(&config(fold, folds), cases).unwrap_err().to_string();
        assert!(
            error(5, None, 9).contains("validation.fold: is 5, but there are 5 folds: --fold takes 0 to 4")
        );
        assert!(error(3, None, 3).contains("is 3, but there are 3 folds: --fold takes 0 to 2"));
        assert!(error(0, Some(7), 3).contains("is 7 for 3 training cases: --folds takes 2 to 3 here"));
        assert!(error(0, Some(1), 3).contains("is 1 for 3 training cases: --folds takes 2 to 3 here"));
        assert!(error(0, Some(2), 1).contains("is 2 for 1 training case: one case has no folds"));
        assert!(error(1, None, 1).contains("a single case has no folds: leave --fold out"));
        let none = Validation { split: Word::None, ..config(1, None) };
        assert!(Fold::of(&none, 9).unwrap_err().to_string().contains("validation.split: is \"none\""));
        let none = Validation { split: Word::None, ..config(0, None) };
        assert_eq!(Fold::of(&none, 9).unwrap(), None);
    }

    proptest! {
        #[test]
        fn every_case_is_held_out_by_exactly_one_fold(cases in 2usize..60, of in 2usize..12, seed: u64) {
            let of = of.min(cases);
            let (mut held_out, mut sizes) = (vec![0; cases], Vec::new());
            for index in 0..of {
                let (training, validation) = Fold { index, of }.split(cases, seed);
                prop_assert!(training.is_sorted() && validation.is_sorted());
                prop_assert!(training.iter().all(|i| !validation.contains(i)));
                prop_assert_eq!(training.len() + validation.len(), cases);
                validation.iter().for_each(|&i| held_out[i] += 1);
                sizes.push(validation.len());
            }
            prop_assert!(held_out.iter().all(|&times| times == 1), "{held_out:?}");
            prop_assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[0] - sizes[of - 1] <= 1, "{sizes:?}");
        }
    }
}
