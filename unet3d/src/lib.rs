//! unet3d
