//! The 3-D U-Net and its validated configuration.
//!
//! [`UNet3dConfig`] says what a network is made of, [`UNet3d`] is one. It returns logits, never probabilities, and refuses
//! volumes whose size its strides do not divide, naming the sizes around that fit.
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
