//! Layers, initialisation, optimisers and schedules for 3-D networks, channels last, on the CPU.
//!
//! A model of your own is a struct of layers, a `forward`, and the names of its parameters. In `forward` the result lives as long
//! as the tape, not as the model: write `<'t>` and `Var<'t>`.
//!
//! ```
//! use autograd::{Tape, Tensor, Var};
//! use nn::functional::{Activation, Conv3dSpec};
//! use nn::layers::{Conv3d, NormAct};
//! use nn::optim::{Adam, AdamWConfig, Optimizer};
//! use nn::{Error, Module};
//! use rand::{Rng, SeedableRng, rngs::ChaCha8Rng};
//!
//! struct Net {
//!     conv: Conv3d,
//!     norm: NormAct,
//!     head: Conv3d,
//! }
//!
//! impl Net {
//!     fn new(rng: &mut impl Rng) -> Result<Self, Error> {
//!         Ok(Self {
//!             conv: Conv3d::new(1, 8, Conv3dSpec::new([3; 3]).same_padding(), rng)?.without_bias(),
//!             norm: NormAct::instance(8)?.with_activation(Activation::leaky_relu(0.01))?,
//!             head: Conv3d::new(8, 1, Conv3dSpec::new([1; 3]), rng)?,
//!         })
//!     }
//!
//!     /// `[n, d, h, w, 1]` to logits of the same shape.
//!     fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
//!         self.head.forward(self.norm.forward(self.conv.forward_with_stats(x)))
//!     }
//! }
//!
//! nn::module! { impl Module<f32> for Net { conv, norm, head } }
//!
//! let mut net = Net::new(&mut ChaCha8Rng::seed_from_u64(0))?;
//! let mut optimizer = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?;
//! let image = Tensor::from_fn([1, 4, 8, 8, 1], |i| if i % 5 == 0 { 1.0 } else { 0.0 });
//! let mut losses = Vec::new();
//! for step in 0..20 {
//!     let tape = Tape::train(step);
//!     let error = net.forward(tape.constant(image.clone())) - tape.constant(image.clone());
//!     let loss = (error.clone() * error).mean();
//!     losses.push(loss.item());
//!     optimizer.step(&mut net, &loss.backward());
//! }
//! assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
//! # Ok::<(), Error>(())
//! ```
//!
//! - [`layers`]: parameters with an operation. `conv.forward_with_stats(x)` gives a result with the statistics of its
//!   channels, a norm turns that into a [`functional::Input`], and whatever reads an `Input` normalises and activates it on the way.
//! - [`functional`]: the operations alone, among them [`attention`](functional::attention) and global pooling.
//! - [`Module`], [`module!`]: names, freezing, copies, weights from and to PyTorch. [`state_dict`]: their files. [`init`]: how
//!   weights start.
//! - [`optim`], [`schedule`]: how gradients change them, and at what rate, by [`Group`](optim::Group) where parts differ.
//! - [`Ema`]: an average of weights.
//! - [`kernels`]: the fast loops, with the naive loops that define convolution beside them. To be skipped at first, save
//!   [`kernels::conv3d::reference`].
//!
//! | example | shows |
//! |---|---|
//! | `examples/micro_batches.rs` | a batch in parts, through batch normalisation, whose statistics are measured anew |
//! | `examples/weight_average.rs` | a moving average of weights, saved and loaded |
//! | `examples/teacher_student.rs` | two networks on one tape |
//!
//! More are in the crate `unet3d`.

mod ema;
mod error;
pub mod functional;
pub mod init;
pub mod kernels;
pub mod layers;
mod module;
pub mod optim;
pub mod schedule;
pub mod state_dict;

pub use ema::Ema;
pub use error::Error;
pub use module::{Layout, Module, join};
