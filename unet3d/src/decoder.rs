//! The way up, and across.

use autograd::Real;
use nn::functional::{Input, checkpoint};
use rand::Rng;

use crate::block::Block;
use crate::up::Up;
use crate::{Checkpointing, Error, UNet3dConfig};

/// A step up and a block for each level but the deepest. Parameters are named `up.{k}` and `dec.{k}`; k = 0 leads to the
/// deepest but one.
#[derive(Clone, Debug)]
pub struct Decoder<T: Real = f32> {
    ups: Vec<Up<T>>,
    blocks: Vec<Block<T>>,
    checkpointing: Checkpointing,
}

impl<T: Real> Decoder<T> {
    /// With fresh weights. Heads are no part of it: `out_channels` and `deep_supervision` do not matter, but must be
    /// valid.
    ///
    /// # Errors
    /// If the configuration is not [valid](UNet3dConfig::validated).
    pub fn new(config: &UNet3dConfig, rng: &mut impl Rng) -> Result<Self, Error> {
        Self::with(&config.clone().validated()?, rng, |_, _| Ok(()))
    }

    /// As [`new`](Self::new), and calls `each` after each level was made.
    pub(crate) fn with<R: Rng>(
        config: &UNet3dConfig,
        rng: &mut R,
        mut each: impl FnMut(usize, &mut R) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let (mut ups, mut blocks) = (Vec::new(), Vec::new());
        for level in (0..config.levels - 1).rev() {
            let (from, to) = (config.channels(level + 1), config.channels(level));
            ups.push(Up::new(from, to, config.stride(level), config.upsampling, rng)?);
            blocks.push(Block::new(2 * to, to, config.block(level), rng)?);
            each(level, rng)?;
        }
        Ok(Self { ups, blocks, checkpointing: config.checkpointing })
    }

    /// From the [encoder's](crate::Encoder) features of every level, finest first, to `[n, d, h, w, base_channels]`.
    ///
    /// # Panics
    /// If there are more or fewer than levels, or their shapes do not fit.
    #[track_caller]
    pub fn forward<'t>(&self, features: Vec<Input<'t, T>>) -> Input<'t, T> {
        self.forward_with(features, |_, _| {})
    }

    /// As [`forward`](Self::forward), and calls `each` with k and the output of each block but the last: those of coarser
    /// levels.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn forward_with<'t>(
        &self,
        mut features: Vec<Input<'t, T>>,
        mut each: impl FnMut(usize, &Input<'t, T>),
    ) -> Input<'t, T> {
        let (given, levels) = (features.len(), self.blocks.len() + 1);
        assert!(given == levels, "a decoder of {levels} levels was given the features of {given}");
        let mut x = features.pop().expect("there is at least one level");
        for (k, (up, block)) in self.ups.iter().zip(&self.blocks).enumerate() {
            let skip = features.pop().expect("as many as levels");
            x = self.level(up, block, skip, x);
            if k + 1 < self.blocks.len() {
                each(k, &x);
            }
        }
        x
    }

    #[track_caller]
    fn level<'t>(&self, up: &Up<T>, block: &Block<T>, skip: Input<'t, T>, x: Input<'t, T>) -> Input<'t, T> {
        let (finer, coarser, stride) = (skip.shape().dims5(), x.shape().dims5(), up.stride());
        for axis in 0..3 {
            let (size, of_skip) = (coarser[axis + 1] * stride[axis], finer[axis + 1]);
            let name = crate::AXES[axis];
            assert!(
                size == of_skip,
                "a skip of {of_skip} along {name} beside {size} from below: strides must divide the input's size, see UNet3dConfig::check_size"
            );
        }
        if self.checkpointing == Checkpointing::None {
            return block.forward(skip.concat(up.forward(x)));
        }
        let (up, block) = (up.clone(), block.clone());
        checkpoint([skip, x], move |[skip, x]| block.forward(skip.concat(up.forward(x))))
    }
}

nn::module! { impl<T: Real> Module<T> for Decoder<T> { ups as "up", blocks as "dec" } }
