//! A model is one file: weights in the layout of safetensors under PyTorch's names and, in its metadata, all else that a
//! prediction needs.
//!
//! The metadata has one entry, `model`, which is TOML: a [`ModelCard`]. A file holds one network or several, such as those of
//! a cross-validation's folds; of several, the names of each one's weights begin with its own name and a dot.

use losses::LossConfig;
use serde::{Deserialize, Serialize};
use unet3d::UNet3dConfig;

use super::{Choice, Decision};
use crate::config::Inference;
use crate::preprocess::Preparation;

mod check;
mod file;
pub(crate) mod tensors;

pub use file::ModelFile;

/// The version of the metadata.
pub(crate) const FORMAT: u32 = 6;
/// The oldest that is read. Since 6 masks may be of [`MaskRule::Foreground`](super::MaskRule).
pub(crate) const OLDEST_FORMAT: u32 = 5;

/// What training and inference agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The size `[d, h, w]` of a patch, which the network's strides divide.
    pub patch_size: [usize; 3],
    /// The network.
    pub model: UNet3dConfig,
}

/// What a model's file says beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The version of this.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// How masks are asked for where the command line does not say otherwise.
    pub inference: Inference,
    /// The networks; one at least.
    pub networks: Vec<NetworkCard>,
    /// What several networks decide together; absent where each one's own choices are all there is.
    pub together: Option<Together>,
}

/// A network of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkCard {
    /// What the names of its weights begin with; empty where it is the only one.
    pub name: String,
    /// Steps that it was trained for.
    pub steps: u64,
    /// CRC-32C of its weights' bits, in the order of their names.
    pub digest: String,
    /// The loss that it was trained with, its weights resolved; not known of models before version 5.
    pub loss: Option<LossConfig>,
    /// The patch and the network.
    pub plan: Plan,
    /// From files to what it sees.
    pub preparation: PreparationKind,
    /// How its logits are read.
    pub decision: Decision,
    /// What was chosen to be done to its masks; none where that was not to be chosen, or could not be.
    pub postprocessing: Option<Choice>,
}

/// The ways from files to what a network sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparationKind {
    /// This program's.
    Trainer(Preparation),
}

/// What several networks decide together, chosen on cases that none of those that answered had seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// The cases that it was chosen on.
    pub cases: Vec<String>,
    /// Of one channel, the threshold on the mean calibrated probability.
    pub threshold: Option<f64>,
    /// What is done to masks; none where nothing was to be chosen.
    pub postprocessing: Option<Choice>,
}

impl NetworkCard {
    /// From files to what the network sees.
    pub fn preparation(&self) -> &Preparation {
        let PreparationKind::Trainer(preparation) = &self.preparation;
        preparation
    }
}

impl ModelCard {
    /// Of one network.
    pub fn of(network: NetworkCard, inference: Inference) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, program, inference, networks: vec![network], together: None }
    }
}
