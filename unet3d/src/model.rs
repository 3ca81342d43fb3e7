//! The network: down, up, and the way across.

use autograd::{Mode, Real, Tensor, Var};
use nn::functional::{Conv3dSpec, Input, Pool3dSpec, checkpoint};
use nn::layers::{Conv3d, MaxPool3d};
use rand::Rng;

use crate::block::Block;
use crate::up::Up;
use crate::{Checkpointing, Error, UNet3dConfig};

/// A 3-D U-Net (Çiçek et al. 2016): `[n, d, h, w, in_channels]` to logits `[n, d, h, w, out_channels]`.
///
/// Parameters are named `enc.{level}`, `up.{k}`, `dec.{k}` (k = 0 is the deepest) and `head`; with deep supervision also
/// `heads.{k}` for every decoder level but the last.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use unet3d::{UNet3d, UNet3dConfig};
/// # use rand::SeedableRng;
///
/// let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(0);
/// let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
/// let model = UNet3d::<f32>::new(config, &mut rng)?;
/// let tape = Tape::no_grad();
/// let logits = model.forward(tape.constant(Tensor::zeros([1, 8, 16, 16, 1])))?;
/// assert_eq!(logits.shape().dims(), [1, 8, 16, 16, 1]);
/// # Ok::<(), unet3d::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct UNet3d<T: Real = f32> {
    config: UNet3dConfig,
    encoder: Vec<Block<T>>,
    pools: Vec<MaxPool3d>,
    ups: Vec<Up<T>>,
    decoder: Vec<Block<T>>,
    head: Conv3d<T>,
    /// One for each decoder level but the last, deepest first.
    heads: Vec<Conv3d<T>>,
}

impl<T: Real> UNet3d<T> {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// If the configuration is not [valid](UNet3dConfig::validated).
    pub fn new(config: UNet3dConfig, rng: &mut impl Rng) -> Result<Self, Error> {
        let config = config.validated()?;
        let levels = config.levels;
        let mut encoder = Vec::new();
        for level in 0..levels {
            let above = if level == 0 { config.in_channels } else { config.channels(level - 1) };
            encoder.push(Block::new(&config, level, above, rng)?);
        }
        let (mut pools, mut ups, mut decoder, mut heads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for level in 0..levels - 1 {
            pools.push(MaxPool3d::new(Pool3dSpec::new(config.stride(level)))?);
        }
        let head = |level: usize, rng: &mut _| {
            Conv3d::new(config.channels(level), config.out_channels, Conv3dSpec::new([1; 3]), rng)
        };
        for level in (0..levels - 1).rev() {
            ups.push(Up::new(&config, level, rng)?);
            decoder.push(Block::new(&config, level, 2 * config.channels(level), rng)?);
            if config.deep_supervision && level > 0 {
                heads.push(head(level, rng)?);
            }
        }
        let head = head(0, rng)?;
        Ok(Self { config, encoder, pools, ups, decoder, head, heads })
    }

    /// What it was built from.
    pub fn config(&self) -> &UNet3dConfig {
        &self.config
    }

    /// The logits at full resolution.
    ///
    /// # Errors
    /// If the input's channels or size do not fit: see [`UNet3dConfig::check_size`].
    pub fn forward<'t>(&self, x: Var<'t, T>) -> Result<Var<'t, T>, Error> {
        self.check(&x)?;
        Ok(self.run(x, false).swap_remove(0))
    }

    /// The logits at full resolution and, with deep supervision on a tape in training mode, at each coarser decoder
    /// level, finest first.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_scales<'t>(&self, x: Var<'t, T>) -> Result<Vec<Var<'t, T>>, Error> {
        self.check(&x)?;
        let all = self.config.deep_supervision && x.tape().mode() == Mode::Train;
        Ok(self.run(x, all))
    }

    /// Sets the bias of every head, one value per output channel: a prior (see [`nn::init`]).
    ///
    /// # Errors
    /// If there are more or fewer values than channels.
    pub fn set_head_bias(&mut self, bias: &[T]) -> Result<(), Error> {
        let expected = self.config.out_channels;
        if bias.len() != expected {
            let message = format!("{} values for {expected} output channels: give one for each", bias.len());
            return Err(Error::Config { field: "out_channels", message });
        }
        for head in self.heads.iter_mut().chain([&mut self.head]) {
            head.bias.as_mut().expect("a head has a bias").set(Tensor::from_slice([bias.len()], bias));
        }
        Ok(())
    }

    fn check(&self, x: &Var<'_, T>) -> Result<(), Error> {
        let shape = x.shape();
        let &[n, d, h, w, c] = shape.dims() else { return Err(Error::Shape(shape)) };
        if n == 0 {
            return Err(Error::Shape(shape));
        }
        if c != self.config.in_channels {
            return Err(Error::Channels { expected: self.config.in_channels, got: c });
        }
        self.config.check_size([d, h, w])
    }

    /// Logits, finest first; only the finest unless `all`.
    fn run<'t>(&self, x: Var<'t, T>, all: bool) -> Vec<Var<'t, T>> {
        let mut x = Input::from(x);
        let mut skips = Vec::new();
        for (level, block) in self.encoder.iter().enumerate() {
            x = self.encode(block, x);
            if let Some(pool) = self.pools.get(level) {
                skips.push(x.clone());
                x = pool.forward(x).into();
            }
        }
        let mut scales = Vec::new();
        for (k, (up, block)) in self.ups.iter().zip(&self.decoder).enumerate() {
            let skip = skips.pop().expect("a skip for each step up");
            x = self.decode(up, block, skip, x);
            if let Some(head) = self.heads.get(k).filter(|_| all) {
                scales.push(head.forward(x.clone()));
            }
        }
        scales.push(self.head.forward(x));
        scales.reverse();
        scales
    }

    /// One level down.
    fn encode<'t>(&self, block: &Block<T>, x: Input<'t, T>) -> Input<'t, T> {
        if self.config.checkpointing == Checkpointing::None {
            return block.forward(x);
        }
        let block = block.clone();
        checkpoint([x], move |[x]| block.forward(x))
    }

    /// One level up.
    fn decode<'t>(&self, up: &Up<T>, block: &Block<T>, skip: Input<'t, T>, x: Input<'t, T>) -> Input<'t, T> {
        if self.config.checkpointing == Checkpointing::None {
            return block.forward(skip.concat(up.forward(x)));
        }
        let (up, block) = (up.clone(), block.clone());
        checkpoint([skip, x], move |[skip, x]| block.forward(skip.concat(up.forward(x))))
    }
}

nn::module! {
    impl<T: Real> Module<T> for UNet3d<T> { encoder as "enc", ups as "up", decoder as "dec", head, heads }
}
