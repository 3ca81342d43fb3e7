//! What `examples/imbalanced_classifier.rs` claims, held against the numbers that it computes.

#[path = "../../examples/imbalanced_classifier.rs"]
#[allow(dead_code)] // What only prints.
mod example;

use std::sync::LazyLock;

use example::Weighting::{
    PerElement, PosWeight, PosWeightPerElement, TwoLogitsMean, TwoLogitsSum, Unweighted,
};
use example::{Experiment, Weighting};

static EXPERIMENT: LazyLock<Experiment> = LazyLock::new(|| Experiment::run().unwrap());

/// The recall of the positive class at the end, of each seed.
fn recalls(weighting: Weighting) -> Vec<f64> {
    EXPERIMENT.each(weighting, 2, |epoch| epoch.positive()[0])
}

#[test]
fn without_weights_the_first_epoch_ends_near_the_prior_and_finds_next_to_nothing() {
    let recalls = EXPERIMENT.each(Unweighted, 1, |epoch| epoch.positive()[0]);
    let probabilities = EXPERIMENT.each(Unweighted, 1, |epoch| epoch.mean_probability);
    assert!(recalls.iter().sum::<f64>() < 0.05 * recalls.len() as f64, "{recalls:?}");
    assert!(probabilities.iter().all(|p| (0.05..0.15).contains(p)), "{probabilities:?}");
}

#[test]
fn pos_weight_finds_more_of_the_positives_for_every_seed() {
    let (without, with) = (recalls(Unweighted), recalls(PosWeight));
    assert!(without.iter().zip(&with).all(|(a, b)| a + 0.5 < *b), "{without:?}, {with:?}");
}

#[test]
fn shares_given_as_pos_weight_are_lost_in_the_spread_of_the_seeds() {
    let ((without, spread), (shares, _)) =
        (EXPERIMENT.recall(Unweighted), EXPERIMENT.recall(PosWeightPerElement));
    assert!((without - shares).abs() <= spread, "{without}, {shares}, spread {spread}");
    // Where they belong they change everything.
    assert!(EXPERIMENT.recall(PerElement).0 > without + 0.5);
}

#[test]
fn weights_by_class_on_the_unreduced_loss_are_pos_weight_for_every_seed() {
    // The factor between the two losses is Adam's to hide; a few samples on the threshold may fall either way.
    let (recipe, pos_weight) = (recalls(PerElement), recalls(PosWeight));
    let near = recipe.iter().zip(&pos_weight).all(|(a, b)| (a - b).abs() < 0.01);
    assert!(near, "{recipe:?}, {pos_weight:?}");
}

#[test]
fn two_logits_are_pos_weight_if_the_divisor_is_the_batch_and_weigh_less_if_it_is_the_weights() {
    let [sum, mean, one] = [TwoLogitsSum, TwoLogitsMean, PosWeight].map(|w| EXPERIMENT.recall(w));
    // Two standard deviations: the second output starts with random weights of its own.
    let spread = sum.1.max(one.1);
    assert!((sum.0 - one.0).abs() <= 2.0 * spread, "{sum:?}, {one:?}");
    // A batch's Σ w[t] is small where it has few positives, so negatives count for more than in the sum over all.
    assert!(mean.0 < sum.0 - spread, "{mean:?}, {sum:?}");
}
