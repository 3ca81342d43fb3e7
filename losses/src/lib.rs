//! Losses for imbalanced segmentation, with typed weights.
//!
//! ```
//! use autograd::{Tape, Tensor};
//! use losses::{BceWithLogits, Labels, Loss};
//!
//! let tape = Tape::train(0);
//! let logits = tape.variable(Tensor::<f32>::zeros([1, 3, 8, 8, 1]));
//! let target = Labels::from_fn([1, 3, 8, 8], |i| i32::from(i % 50 == 0));
//! let loss = BceWithLogits::new().pos_weight(10).forward(&logits, &target)?;
//! let dx = loss.backward().wrt(&logits).unwrap().clone();
//! assert!(dx.data()[0] < 0.0 && dx.data()[1] > 0.0);
//! # Ok::<(), losses::Error>(())
//! ```
//!
//! Logits are `[n, ..., c]` of any rank; the last axis is the class axis. Targets are [`Labels`], or a `Tensor` of
//! probabilities. Every loss is a [`Loss`]: it computes its gradient together with its value, skips what is ignored
//! in every sum and count, and gives the same bits for any number of threads.
//!
//! | to segment | use |
//! |---|---|
//! | one rare class | [`BceWithLogits`] with `pos_weight`, or [`DiceBce`] |
//! | several classes | [`CrossEntropy`] with `class_weights`, or [`DiceCe`] |
//! | with a price on false positives and negatives | [`Tversky`] |
//! | with many easy voxels | [`Focal`] |
//!
//! A regression needs no loss from here: `(y - tape.constant(target)).square().mean()`, or with `.abs()`.
//!
//! | example | shows |
//! |---|---|
//! | `examples/forum_question.rs` | one logit with `pos_weight` and two logits with class weights, side by side |
//! | `examples/custom_loss.rs` | a loss of your own |
//!
//! What is deliberately absent: layers, and losses of distances to a border.

#![forbid(unsafe_code)]

mod bce;
mod combined;
mod compiled;
mod config;
mod cross_entropy;
mod deep_supervision;
mod dice;
mod elementwise;
mod error;
mod extents;
mod focal;
mod lanes;
mod loss;
mod reduction;
pub mod region;
mod softmax;
mod targets;
mod truth;
mod tversky;
mod weight;

pub use bce::{Bce, BceWithLogits, calibrated_logit};
pub use combined::{Combined, DiceBce, DiceCe};
pub use config::{LossConfig, RegionConfig, WeightConfig};
pub use cross_entropy::{CrossEntropy, NllLoss};
pub use deep_supervision::DeepSupervision;
pub use dice::{Dice, DiceScore, GeneralisedDice, GeneralisedDiceScore};
pub use error::Error;
pub use focal::Focal;
pub use loss::Loss;
pub use reduction::{EmptyPolicy, Reduction, Report};
pub use region::Region;
pub use targets::{IntoTarget, Label, LabelSlice, Labels, Target};
pub use tversky::{Tversky, TverskyScore};
pub use weight::{Number, Weight};
