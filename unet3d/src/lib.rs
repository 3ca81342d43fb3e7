//! The 3-D U-Net and its validated configuration.
//!
//! [`UNet3dConfig`] says what a network is made of, [`UNet3d`] is one. It returns logits, never probabilities, and refuses
//! volumes whose size its strides do not divide, naming the sizes around that fit.
//!
//! Its parts are values of their own: [`Block`], [`Up`], [`Encoder`] with the features of every level, [`Decoder`].
//!
//! | example | shows |
//! |---|---|
//! | `examples/se_classifier.rs` | a classifier of volumes with squeeze and excitation; its losses are PyTorch's |
//! | `examples/attention_unet.rs` | skips through attention gates, a decoder of one's own; its losses are PyTorch's |
//! | `examples/self_attention.rs` | a transformer's attention at the deepest level |
//! | `examples/frozen_encoder.rs` | fine-tuning with two learning rates |
//! | `examples/saliency.rs` | gradients with respect to the volume and to inner features, an activation by its name |
#![forbid(unsafe_code)]

mod block;
mod config;
mod decoder;
mod encoder;
mod error;
mod model;
mod up;

pub use block::{Block, BlockConfig};
pub use config::{AXES, Checkpointing, Norm, UNet3dConfig, Upsampling};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::Error;
pub use model::UNet3d;
pub use up::Up;
