//! What a configuration or an input can get wrong.

/// The crate's error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration cannot be used.
    #[error("{field}: {message}")]
    Config {
        /// The field of [`UNet3dConfig`](crate::UNet3dConfig).
        field: &'static str,
        /// What is wrong, the offending value, and what to do.
        message: String,
    },
    /// The strides do not divide the input's size.
    #[error(
        "the input is {got} voxels along {axis}, which the strides (in all {multiple} along {axis}) do not divide: \
         take {} or {above}, pad, or choose other strides", below_or_none(*below)
    )]
    Size {
        /// `d`, `h` or `w`.
        axis: char,
        /// The input's size along it.
        got: usize,
        /// The product of the strides along it.
        multiple: usize,
        /// The next smaller valid size; 0 if there is none.
        below: usize,
        /// The next larger valid size.
        above: usize,
    },
    /// The deepest level would hold one voxel, over which an instance norm is constant.
    #[error(
        "an input of {size:?} leaves a single voxel at the deepest level, where instance normalisation has nothing \
         to compare: take a larger input, fewer levels, or another norm"
    )]
    SingleVoxel {
        /// The input's size `[d, h, w]`.
        size: [usize; 3],
    },
    /// The input has another number of channels than the model.
    #[error("the input has {got} channels, the model expects {expected}")]
    Channels {
        /// The model's `in_channels`.
        expected: usize,
        /// The input's.
        got: usize,
    },
    /// The input is not `[n, d, h, w, c]`, or is empty.
    #[error("the input must be [n, d, h, w, c] with at least one element, got {0}")]
    Shape(autograd::Shape),
    /// There is no activation of this name.
    #[error("there is no activation {name:?}: take one of {}", names.join(", "))]
    Activation {
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A layer refused its settings, or weights do not fit.
    #[error(transparent)]
    Layer(#[from] nn::Error),
}

fn below_or_none(below: usize) -> String {
    if below == 0 { "(nothing smaller)".to_owned() } else { below.to_string() }
}
