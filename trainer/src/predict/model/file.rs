//! A model's file: its card is read when it is opened, the weights of each network when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use autograd::Tensor;
use nn::Module;
use nn::state_dict::{self, Contents};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::UNet3d;
use volumes::files::{open_plain, rename_into_place};

use super::tensors::{Tensors, error_of};
use super::{FORMAT, ModelCard, NetworkCard, OLDEST_FORMAT};
use crate::{Error, Result};

/// The key of the metadata.
const KEY: &str = "model";
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// An open model.
#[derive(Debug)]
pub struct ModelFile {
    /// What it says of itself.
    pub card: ModelCard,
    path: PathBuf,
    contents: Contents<BufReader<File>>,
}

impl ModelFile {
    /// Opens a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// A file that is missing, is no safetensors file, has no card, one of another version, or one whose parts do not fit.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, length) = open_plain(path)?;
        let contents =
            Contents::open(BufReader::with_capacity(BUFFER, file), length).map_err(error_of(path))?;
        let Some(text) = contents.metadata().and_then(|all| all.get(KEY)) else {
            let message = "holds weights alone, and not how they are to be used: name a model.safetensors of `trainer train`, or a run folder";
            return Err(Error::file(path, message));
        };
        let card = read_card(text).map_err(|message| Error::file(path, message))?;
        Ok(Self { card, path: path.to_path_buf(), contents })
    }

    /// Opens a file of weights alone, of one network, which this card describes.
    ///
    /// # Errors
    /// A file that is missing, or is no safetensors file.
    pub(crate) fn described(path: &Path, card: ModelCard) -> Result<Self> {
        let (file, length) = open_plain(path)?;
        let contents =
            Contents::open(BufReader::with_capacity(BUFFER, file), length).map_err(error_of(path))?;
        Ok(Self { card, path: path.to_path_buf(), contents })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a model whole or not at all; `weights` are those of the card's networks, in its order.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(path: &Path, card: &ModelCard, weights: &[Tensors]) -> Result<()> {
        Ok(rename_into_place(path, |out| Self::write_to(card, weights, &mut &mut *out))?)
    }

    /// Writes a model's bytes.
    pub(crate) fn write_to(card: &ModelCard, weights: &[Tensors], out: &mut impl Write) -> io::Result<()> {
        let text = toml::to_string(card).map_err(io::Error::other)?;
        let named = card.networks.iter().zip(weights).flat_map(|(network, weights)| {
            weights.iter().map(|(name, weight)| (prefixed(network, name), weight))
        });
        state_dict::write(named, Some(HashMap::from([(KEY.to_owned(), text)])), out)
    }

    /// The weights of a network of the card, under PyTorch's names.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something other than numbers of `f32` or `f64`.
    pub fn weights(&mut self, network: usize) -> Result<Tensors> {
        let prefix = prefixed(&self.card.networks[network], "");
        let weights = self.contents.read(|name| name.strip_prefix(&prefix).map(str::to_owned));
        weights.map_err(error_of(&self.path))
    }

    /// A network with its weights.
    ///
    /// # Errors
    /// As [`weights`](Self::weights); if a network cannot be built, or the weights are those of another one: no memory is
    /// taken for a network that has more of them.
    pub fn network(&mut self, network: usize) -> Result<UNet3d<f32>> {
        let weights = self.weights(network)?;
        build(&self.card.networks[network], weights, &self.path)
    }
}

/// The card that a text holds, checked.
fn read_card(text: &str) -> std::result::Result<ModelCard, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let damaged = |e: toml::de::Error| format!("has a damaged description ({})", e.message());
    let Version { format } = toml::from_str(text).map_err(damaged)?;
    if !(OLDEST_FORMAT..=FORMAT).contains(&format) {
        return Err(format!(
            "is of version {format}, this program reads {OLDEST_FORMAT} to {FORMAT}: use the program that wrote it"
        ));
    }
    let card: ModelCard = toml::from_str(text).map_err(damaged)?;
    if card.networks.is_empty() {
        return Err("describes no network".into());
    }
    let is_named = |network: &NetworkCard| !network.name.is_empty() || card.networks.len() == 1;
    if !card.networks.iter().all(is_named) {
        return Err("describes several networks without names".into());
    }
    card.networks.iter().try_for_each(NetworkCard::check)?;
    Ok(card)
}

fn prefixed(network: &NetworkCard, name: &str) -> String {
    match network.name.as_str() {
        "" => name.to_owned(),
        of => format!("{of}.{name}"),
    }
}

/// The network of a card with these weights; `path` is for messages.
pub(crate) fn build(card: &NetworkCard, weights: Tensors, path: &Path) -> Result<UNet3d<f32>> {
    let (wanted, there) = (card.plan.model.parameters(), weights.values().map(Tensor::numel).sum::<usize>());
    if wanted > there {
        let message = format!("names a network of {wanted} weights, but holds {there}: it is of another run");
        return Err(Error::file(path, message));
    }
    let mut model = UNet3d::new(card.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))
        .map_err(|e| Error::file(path, format!("holds a network that cannot be built: {e}")))?;
    model.load_state_dict(weights).map_err(|e| Error::file(path, e.to_string()))?;
    Ok(model)
}
