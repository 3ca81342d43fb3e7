//! What a U-Net is made of, and which of it fits together.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{BlockConfig, Error};

/// The axes of a volume, in the order of every `[usize; 3]` here.
pub const AXES: [char; 3] = ['d', 'h', 'w'];

/// More channels than this, or a longer kernel, is a slip of the keyboard or a damaged file; what a network takes can be
/// counted without overflow up to there.
const MOST_CHANNELS: usize = 1 << 14;
/// See [`MOST_CHANNELS`].
const LARGEST_KERNEL: usize = 63;

/// A 3-D U-Net. The default is the reference network: two convolutions a level, instance norm, leaky ReLU,
/// max pooling, transposed convolutions.
///
/// Level `i` has `min(base_channels · 2^i, max_channels)` channels. Between levels `i` and `i + 1` the resolution falls by
/// `strides[i]` along `[d, h, w]`: a stride of 1 keeps an axis, as anisotropic volumes want.
///
/// ```
/// let config = unet3d::UNet3dConfig { levels: 3, ..Default::default() };
/// assert_eq!(config.validated()?.multiples(), [4, 4, 4]);
/// # Ok::<(), unet3d::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNet3dConfig {
    /// Channels of the input volume.
    pub in_channels: usize,
    /// Channels of the logits: 1 for a binary mask, else one per class.
    pub out_channels: usize,
    /// Channels at full resolution.
    pub base_channels: usize,
    /// No level has more channels than this.
    pub max_channels: usize,
    /// The number of resolutions.
    pub levels: usize,
    /// The convolutions' kernel at each level, odd along each axis. Empty: 3x3x3 throughout.
    pub kernels: Vec<[usize; 3]>,
    /// The step from each level to the next, `levels − 1` of them. Empty: 2x2x2 throughout.
    pub strides: Vec<[usize; 3]>,
    /// How activations are normalised.
    pub norm: Norm,
    /// What follows a norm.
    pub activation: nn::layers::Activation,
    /// How the decoder regains resolution.
    pub upsampling: Upsampling,
    /// The probability with which a block's inner activations are dropped in training.
    pub dropout: f64,
    /// Adds a block's input to its output, before the last activation.
    pub residual: bool,
    /// Yields logits at every decoder level in training.
    pub deep_supervision: bool,
    /// What the backward pass computes again instead of keeping it.
    pub checkpointing: Checkpointing,
}

/// What is computed twice to save memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// Nothing.
    #[default]
    None,
    /// Each level of encoder and decoder: of a level only its input and output are kept. The convolutions' forward pass
    /// runs twice, so a step takes about a third longer.
    Level,
}

/// The normalisation behind each convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Norm {
    /// Over the voxels of each sample and channel.
    Instance,
    /// Over the voxels and channels of each of so many groups of channels.
    Group(usize),
    /// Over the voxels of all samples, with running statistics for use.
    Batch,
}

impl Norm {
    pub(crate) fn kind(self) -> nn::functional::NormKind {
        match self {
            Self::Instance => nn::functional::NormKind::Instance,
            Self::Group(groups) => nn::functional::NormKind::Group(groups),
            Self::Batch => nn::functional::NormKind::Batch,
        }
    }
}

/// How the decoder regains resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsampling {
    /// A transposed convolution with kernel = stride.
    Transposed,
    /// Trilinear interpolation, then a 1x1x1 convolution.
    Trilinear,
}

impl Default for UNet3dConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            base_channels: 16,
            max_channels: 320,
            levels: 4,
            kernels: Vec::new(),
            strides: Vec::new(),
            norm: Norm::Instance,
            activation: nn::layers::Activation::LeakyRelu { slope: 0.01 },
            upsampling: Upsampling::Transposed,
            dropout: 0.0,
            residual: false,
            deep_supervision: false,
            checkpointing: Checkpointing::None,
        }
    }
}

impl UNet3dConfig {
    /// The channels of level `i`.
    pub fn channels(&self, level: usize) -> usize {
        let doubled = u32::try_from(level).ok().and_then(|l| 1usize.checked_shl(l));
        doubled
            .and_then(|d| self.base_channels.checked_mul(d))
            .map_or(self.max_channels, |c| c.min(self.max_channels))
    }

    /// The kernel of level `i`.
    pub fn kernel(&self, level: usize) -> [usize; 3] {
        self.kernels.get(level).copied().unwrap_or([3; 3])
    }

    /// What the blocks of level `i` are made of.
    pub fn block(&self, level: usize) -> BlockConfig {
        let Self { norm, activation, dropout, residual, .. } = *self;
        BlockConfig { kernel: self.kernel(level), norm, activation, dropout, residual }
    }

    /// The step from level `i` to level `i + 1`.
    pub fn stride(&self, level: usize) -> [usize; 3] {
        self.strides.get(level).copied().unwrap_or([2; 3])
    }

    /// What an input's size must be a multiple of: the product of the strides along each axis.
    pub fn multiples(&self) -> [usize; 3] {
        let strides = (0..self.levels.saturating_sub(1)).map(|i| self.stride(i));
        strides.fold([1; 3], |m, s| std::array::from_fn(|a| m[a] * s[a]))
    }

    /// The numbers that a network of this configuration learns.
    ///
    /// ```
    /// let config = unet3d::UNet3dConfig { base_channels: 2, levels: 2, ..Default::default() };
    /// assert_eq!(config.parameters(), 1235);
    /// ```
    pub fn parameters(&self) -> usize {
        let block = |level: usize, from: usize| {
            let (to, taps) = (self.channels(level), self.kernel(level).iter().product::<usize>());
            let projection = if self.residual && from != to { from * to } else { 0 };
            taps * (from + to) * to + 4 * to + projection
        };
        let up = |level: usize| {
            let taps = match self.upsampling {
                Upsampling::Transposed => self.stride(level).iter().product(),
                Upsampling::Trilinear => 1,
            };
            (taps * self.channels(level + 1) + 1) * self.channels(level)
        };
        let head = |level: usize| (self.channels(level) + 1) * self.out_channels;
        let above = |level: usize| if level == 0 { self.in_channels } else { self.channels(level - 1) };
        let down = sum(0..self.levels, |level| block(level, above(level)));
        let back = sum(0..self.levels - 1, |level| up(level) + block(level, 2 * self.channels(level)));
        let heads = if self.deep_supervision { sum(1..self.levels - 1, head) } else { 0 };
        down + back + heads + head(0)
    }

    /// The configuration itself, if a network can be built from it.
    ///
    /// # Errors
    /// Names the first field that cannot be used, its value and the remedy.
    pub fn validated(self) -> Result<Self, Error> {
        let bad = |field, message: String| Err(Error::Config { field, message });
        for (field, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("base_channels", self.base_channels),
            ("levels", self.levels),
        ] {
            if value == 0 {
                return bad(field, "is 0: at least 1 is needed".into());
            }
        }
        if self.levels > 8 {
            return bad("levels", format!("is {}: more than 8 leave nothing to see", self.levels));
        }
        if self.max_channels < self.base_channels {
            return bad(
                "max_channels",
                format!("is {}, below base_channels {}", self.max_channels, self.base_channels),
            );
        }
        for (field, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("max_channels", (0..self.levels).map(|i| self.channels(i)).max().unwrap_or(0)),
        ] {
            if channels > MOST_CHANNELS {
                return bad(
                    field,
                    format!("leads to {channels} channels: at most {MOST_CHANNELS} are possible"),
                );
            }
        }
        if !self.kernels.is_empty() && self.kernels.len() != self.levels {
            let message = format!(
                "holds {} kernels: give one for each of the {} levels, or none",
                self.kernels.len(),
                self.levels
            );
            return bad("kernels", message);
        }
        if let Some(kernel) = self.kernels.iter().find(|k| k.iter().any(|k| k % 2 == 0)) {
            return bad(
                "kernels",
                format!(
                    "holds {kernel:?}: kernels are odd along each axis, so that a padding keeps the size"
                ),
            );
        }
        if let Some(kernel) = self.kernels.iter().find(|k| k.iter().any(|&k| k > LARGEST_KERNEL)) {
            return bad("kernels", format!("holds {kernel:?}: at most {LARGEST_KERNEL} along each axis"));
        }
        if !self.strides.is_empty() && self.strides.len() != self.levels - 1 {
            let message = format!(
                "holds {} strides: give one for each of the {} steps between levels, or none",
                self.strides.len(),
                self.levels - 1
            );
            return bad("strides", message);
        }
        if let Some(stride) = self.strides.iter().find(|s| s.iter().any(|&s| s == 0 || s > 4)) {
            return bad("strides", format!("holds {stride:?}: a stride is 1 (keep the axis) to 4"));
        }
        if let Norm::Group(groups) = self.norm {
            let uneven = (0..self.levels).map(|i| self.channels(i)).find(|c| groups == 0 || c % groups != 0);
            if let Some(channels) = uneven {
                return bad("norm", format!("has {groups} groups, which do not divide {channels} channels"));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return bad("dropout", format!("is {}: a probability from 0 to below 1", self.dropout));
        }
        Ok(self)
    }

    /// Whether a network of this configuration takes volumes of this size.
    ///
    /// # Errors
    /// Names the axis and the valid sizes around the given one.
    pub fn check_size(&self, size: [usize; 3]) -> Result<(), Error> {
        let multiples = self.multiples();
        for axis in 0..3 {
            let (got, multiple) = (size[axis], multiples[axis]);
            if got == 0 || got % multiple != 0 {
                let below = got / multiple * multiple;
                return Err(Error::Size {
                    axis: AXES[axis],
                    got,
                    multiple,
                    below,
                    above: below.saturating_add(multiple),
                });
            }
        }
        if self.norm == Norm::Instance && size == multiples {
            return Err(Error::SingleVoxel { size });
        }
        Ok(())
    }
}

fn sum(levels: Range<usize>, of: impl Fn(usize) -> usize) -> usize {
    levels.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_the_strides_do_not_divide_is_refused_with_its_neighbours() {
        let config = UNet3dConfig::default();
        let error = config.check_size([30, 256, 256]).unwrap_err();
        assert_eq!(error, Error::Size { axis: 'd', got: 30, multiple: 8, below: 24, above: 32 });
        assert!(error.to_string().contains("take 24 or 32"), "{error}");
        let anisotropic = UNet3dConfig { strides: vec![[1, 2, 2]; 3], ..config.clone() };
        assert!(anisotropic.check_size([30, 256, 256]).is_ok());
        assert!(config.check_size([4, 8, 8]).unwrap_err().to_string().contains("nothing smaller"));
        assert!(matches!(config.check_size([8, 8, 8]), Err(Error::SingleVoxel { .. })));
    }

    #[test]
    fn every_impossible_field_is_named() {
        let default = UNet3dConfig::default;
        let cases = [
            ("in_channels", UNet3dConfig { in_channels: 0, ..default() }),
            ("levels", UNet3dConfig { levels: 0, ..default() }),
            ("levels", UNet3dConfig { levels: 9, ..default() }),
            ("max_channels", UNet3dConfig { max_channels: 8, ..default() }),
            ("kernels", UNet3dConfig { kernels: vec![[3; 3]; 2], ..default() }),
            ("kernels", UNet3dConfig { kernels: vec![[2, 3, 3]; 4], ..default() }),
            ("kernels", UNet3dConfig { kernels: vec![[1 << 60 | 1, 3, 3]; 4], ..default() }),
            ("in_channels", UNet3dConfig { in_channels: usize::MAX, ..default() }),
            ("max_channels", UNet3dConfig { base_channels: 1 << 50, max_channels: 1 << 60, ..default() }),
            ("strides", UNet3dConfig { strides: vec![[2; 3]; 4], ..default() }),
            ("strides", UNet3dConfig { strides: vec![[0, 2, 2]; 3], ..default() }),
            ("norm", UNet3dConfig { norm: Norm::Group(3), ..default() }),
            ("dropout", UNet3dConfig { dropout: 1.0, ..default() }),
        ];
        for (field, config) in cases {
            match config.validated() {
                Err(Error::Config { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
