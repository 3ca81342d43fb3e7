//! The network: down, up, and the way across.

use autograd::{Mode, Real, Tensor, Var};
use nn::functional::Conv3dSpec;
use nn::layers::Conv3d;
use rand::Rng;

use crate::{Decoder, Encoder, Error, UNet3dConfig};

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
///
/// Its parts stand on their own: the features of every level are `model.encoder.forward(x)`, and
/// `model.head.forward(model.decoder.forward(features))` are the logits of them.
#[derive(Clone, Debug)]
pub struct UNet3d<T: Real = f32> {
    config: UNet3dConfig,
    /// The way down. What it is replaced with must be of the same configuration, as the decoder and the head, or a pass panics.
    pub encoder: Encoder<T>,
    /// The way up.
    pub decoder: Decoder<T>,
    /// The last, 1x1x1 convolution.
    pub head: Conv3d<T>,
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
        let head = |level: usize, rng: &mut _| {
            Conv3d::new(config.channels(level), config.out_channels, Conv3dSpec::new([1; 3]), rng)
        };
        let encoder = Encoder::new(&config, rng)?;
        let mut heads = Vec::new();
        let decoder = Decoder::with(&config, rng, |level, rng| {
            if config.deep_supervision && level > 0 {
                heads.push(head(level, rng)?);
            }
            Ok(())
        })?;
        let head = head(0, rng)?;
        Ok(Self { config, encoder, decoder, head, heads })
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

    /// The activation of a block by its name, `enc.{level}` or `dec.{k}` as its parameters are named.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); if there is no such block, naming those that are.
    pub fn activation<'t>(&self, x: Var<'t, T>, name: &str) -> Result<Var<'t, T>, Error> {
        self.check(&x)?;
        let levels = self.encoder.levels();
        let of =
            |kind: &str, count: usize| name.strip_prefix(kind)?.parse().ok().filter(|&i: &usize| i < count);
        if let Some(level) = of("enc.", levels) {
            return Ok(self.encoder.forward(x).swap_remove(level).into_var());
        }
        let Some(k) = of("dec.", levels - 1) else {
            let names = (0..levels).map(|level| format!("enc.{level}"));
            let names = names.chain((0..levels - 1).map(|k| format!("dec.{k}"))).collect();
            return Err(Error::Activation { name: name.to_owned(), names });
        };
        let mut found = None;
        let last = self.decoder.forward_with(self.encoder.forward(x), |at, x| {
            if at == k {
                found = Some(x.clone());
            }
        });
        Ok(found.unwrap_or(last).into_var())
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
        let mut scales = Vec::new();
        let x = self.decoder.forward_with(self.encoder.forward(x), |k, x| {
            if let Some(head) = self.heads.get(k).filter(|_| all) {
                scales.push(head.forward(x.clone()));
            }
        });
        scales.push(self.head.forward(x));
        scales.reverse();
        scales
    }
}

nn::module! {
    impl<T: Real> Module<T> for UNet3d<T> { encoder as "enc", decoder as "", head, heads }
}
