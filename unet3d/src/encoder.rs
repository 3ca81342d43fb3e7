//! The way down.

use autograd::Real;
use nn::functional::{Input, IntoInput, Pool3dSpec, checkpoint};
use nn::layers::MaxPool3d;
use rand::Rng;

use crate::block::Block;
use crate::{Checkpointing, Error, UNet3dConfig};

/// A block at each level, and a max pooling between neighbours. Parameters are named by the level.
#[derive(Clone, Debug)]
pub struct Encoder<T: Real = f32> {
    blocks: Vec<Block<T>>,
    pools: Vec<MaxPool3d>,
    checkpointing: Checkpointing,
}

impl<T: Real> Encoder<T> {
    /// With fresh weights. Heads are no part of it: `out_channels` and `deep_supervision` do not matter, but must be
    /// valid.
    ///
    /// # Errors
    /// If the configuration is not [valid](UNet3dConfig::validated).
    pub fn new(config: &UNet3dConfig, rng: &mut impl Rng) -> Result<Self, Error> {
        let config = config.clone().validated()?;
        let (mut blocks, mut pools) = (Vec::new(), Vec::new());
        for level in 0..config.levels {
            let above = if level == 0 { config.in_channels } else { config.channels(level - 1) };
            blocks.push(Block::new(above, config.channels(level), config.block(level), rng)?);
        }
        for level in 0..config.levels - 1 {
            pools.push(MaxPool3d::new(Pool3dSpec::new(config.stride(level)))?);
        }
        Ok(Self { blocks, pools, checkpointing: config.checkpointing })
    }

    /// The features of every level, finest first: `[n, d, h, w, in_channels]` to `[n, d, h, w, base_channels]`, ..
    ///
    /// A size that the strides do not divide is cut, and does not fit the decoder: see [`UNet3dConfig::check_size`].
    ///
    /// # Panics
    /// If the channels do not fit, or a size is smaller than its stride.
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Vec<Input<'t, T>> {
        let mut x = x.into_input();
        let mut features = Vec::new();
        for (level, block) in self.blocks.iter().enumerate() {
            let level_features = self.level(block, x);
            x = match self.pools.get(level) {
                Some(pool) => pool.forward(level_features.clone()).into(),
                None => level_features.clone(),
            };
            features.push(level_features);
        }
        features
    }

    /// The number of levels.
    pub fn levels(&self) -> usize {
        self.blocks.len()
    }

    #[track_caller]
    fn level<'t>(&self, block: &Block<T>, x: Input<'t, T>) -> Input<'t, T> {
        if self.checkpointing == Checkpointing::None {
            return block.forward(x);
        }
        let block = block.clone();
        checkpoint([x], move |[x]| block.forward(x))
    }
}

nn::module! { impl<T: Real> Module<T> for Encoder<T> { blocks as "" } }
