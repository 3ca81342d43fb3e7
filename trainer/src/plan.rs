//! What a run derives from its data: the patch, the network's levels, strides and kernels.
//!
//! The rules follow nnU-Net's (Isensee et al. 2021, supplement): a patch has the volumes' shape, shrunk along the
//! axis that is longest in the median volume until it fits; an axis is halved from level to level as long as it stays
//! at least 4 voxels long and its spacing is within a factor 2 of the finest axis'; kernels are flat where slices
//! are more than twice as thick as pixels.

use serde::{Deserialize, Serialize};
use unet3d::UNet3dConfig;

use crate::config::Config;
use crate::data::Case;
use crate::{Error, Result};

/// No axis of a patch is halved below this many voxels.
const SMALLEST: usize = 4;
/// An automatic network has at most this many levels.
const MOST_LEVELS: usize = 5;

/// What training and inference agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The size `[d, h, w]` of a patch, which the network's strides divide.
    pub patch_size: [usize; 3],
    /// The network.
    pub model: UNet3dConfig,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The median shape `[d, h, w]` of the training volumes.
    pub shape: [usize; 3],
    /// Their median spacing `[d, h, w]` in mm.
    pub spacing: [f64; 3],
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes, background included.
    pub classes: usize,
}

impl Facts {
    /// Medians over the cases, axis by axis.
    ///
    /// # Panics
    /// Without cases.
    pub fn of(cases: &[Case], classes: usize) -> Self {
        fn median<V: Copy + PartialOrd>(mut values: Vec<V>) -> V {
            values.sort_by(|a, b| a.partial_cmp(b).expect("shapes and spacings are numbers"));
            values[values.len() / 2]
        }
        Self {
            shape: std::array::from_fn(|a| median(cases.iter().map(|c| c.shape[a]).collect())),
            spacing: std::array::from_fn(|a| f64::from(median(cases.iter().map(|c| c.spacing[a]).collect()))),
            in_channels: cases[0].channels,
            classes,
        }
    }
}

impl Plan {
    /// The plan for these data under this configuration.
    ///
    /// # Errors
    /// If a patch or network that the user chose does not fit together.
    pub fn new(facts: Facts, config: &Config) -> Result<Self> {
        let wanted = match config.data.patch_size.value() {
            Some(&size) if size.contains(&0) => {
                return Err(Error::config(
                    "data.patch_size",
                    format!("is {size:?}: every axis needs a voxel"),
                ));
            }
            Some(&size) => size,
            None => fit_patch(facts, config.data.patch_voxels),
        };
        let most = config.model.levels.value().copied().unwrap_or(MOST_LEVELS);
        let strides = match config.model.strides.value() {
            Some(strides) => strides.clone(),
            // A size that the user chose is kept; one that was chosen here is rounded up below.
            None => choose_strides(wanted, facts.spacing, most, config.data.patch_size.value().is_some()),
        };
        if config.model.strides.value().is_none()
            && config.model.levels.value().is_some_and(|&l| l > strides.len() + 1)
        {
            let message = format!(
                "is {most}, but a patch of {wanted:?} can be halved {} times: take at most {} levels, or a larger patch",
                strides.len(),
                strides.len() + 1
            );
            return Err(Error::config("model.levels", message));
        }
        let levels = config.model.levels.value().copied().unwrap_or(strides.len() + 1);
        let kernels = match config.model.kernels.value() {
            Some(kernels) => kernels.clone(),
            None => choose_kernels(facts.spacing, &strides),
        };
        let model = UNet3dConfig {
            in_channels: facts.in_channels,
            out_channels: if facts.classes <= 2 { 1 } else { facts.classes },
            base_channels: config.model.base_channels,
            max_channels: config.model.max_channels,
            levels,
            kernels,
            strides,
            norm: config.model.norm,
            activation: config.model.activation,
            upsampling: config.model.upsampling,
            dropout: config.model.dropout,
            residual: config.model.residual,
            deep_supervision: config.model.deep_supervision,
            checkpointing: config.model.checkpointing,
        }
        .validated()
        .map_err(|e| Error::config("model", e.to_string()))?;

        let multiples = model.multiples();
        let patch_size = match config.data.patch_size.value() {
            Some(&size) => size,
            None => std::array::from_fn(|a| wanted[a].next_multiple_of(multiples[a])),
        };
        model.check_size(patch_size).map_err(|e| Error::config("data.patch_size", e.to_string()))?;
        Ok(Self { patch_size, model })
    }
}

/// The volume's shape, its longest axis (d of equal ones, as slices are the coarsest) shortened in turn until at most
/// `voxels` are left. Long axes fall to multiples of 16, which can be halved four times.
fn fit_patch(facts: Facts, voxels: usize) -> [usize; 3] {
    let mut patch = facts.shape.map(|s| s.max(1));
    while patch.iter().product::<usize>() > voxels {
        let longest = (0..3).max_by_key(|&a| (patch[a], 2 - a)).expect("three axes");
        patch[longest] = match patch[longest] {
            1 => break,
            size if size > 32 => (size - 1) / 16 * 16,
            size if size > 16 => (size - 1) / 8 * 8,
            size => size - 1,
        };
    }
    patch
}

/// The steps from level to level: see the header.
fn choose_strides(
    patch: [usize; 3],
    mut spacing: [f64; 3],
    most_levels: usize,
    keeps_size: bool,
) -> Vec<[usize; 3]> {
    let mut size = patch;
    let mut strides = Vec::new();
    while strides.len() + 1 < most_levels {
        let fits: [bool; 3] =
            std::array::from_fn(|a| size[a] >= 2 * SMALLEST && !(keeps_size && size[a] % 2 == 1));
        let finest = (0..3).filter(|&a| fits[a]).map(|a| spacing[a]).fold(f64::INFINITY, f64::min);
        let stride: [usize; 3] =
            std::array::from_fn(|a| if fits[a] && spacing[a] < 2.0 * finest { 2 } else { 1 });
        if stride == [1; 3] {
            break;
        }
        for a in 0..3 {
            size[a] = size[a].div_ceil(stride[a]);
            spacing[a] *= stride[a] as f64;
        }
        strides.push(stride);
    }
    strides
}

/// One voxel along an axis at the levels where its spacing is more than twice the finest; else three.
fn choose_kernels(mut spacing: [f64; 3], strides: &[[usize; 3]]) -> Vec<[usize; 3]> {
    let mut kernels = Vec::new();
    for level in 0..=strides.len() {
        let finest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
        kernels.push(spacing.map(|s| if s > 2.0 * finest { 1 } else { 3 }));
        if let Some(stride) = strides.get(level) {
            (0..3).for_each(|a| spacing[a] *= stride[a] as f64);
        }
    }
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(shape: [usize; 3], spacing: [f64; 3]) -> Plan {
        Plan::new(Facts { shape, spacing, in_channels: 1, classes: 2 }, &Config::default()).unwrap()
    }

    #[test]
    fn thick_slices_keep_their_axis_until_the_plane_is_as_coarse() {
        let plan = plan([25, 256, 256], [6.5, 0.78, 0.78]);
        assert_eq!(plan.model.strides[..2], [[1, 2, 2]; 2]);
        assert_eq!(plan.model.kernels[0], [1, 3, 3]);
        assert!(plan.patch_size[1] >= 64 && plan.patch_size[0] >= 24, "{plan:?}");
    }

    #[test]
    fn a_plane_is_a_volume_of_one_slice() {
        let plan = plan([1, 256, 256], [1.0; 3]);
        assert_eq!(plan.patch_size[0], 1);
        assert!(plan.model.strides.iter().all(|s| s[0] == 1));
    }

    #[test]
    fn the_forum_s_volume_can_be_trained_whole() {
        let facts = Facts { shape: [30, 256, 256], spacing: [1.0; 3], in_channels: 1, classes: 2 };
        for strides in ["\"auto\"", "[[1,2,2],[1,2,2]]"] {
            let set = ["data.patch_size=[30,256,256]".to_owned(), format!("model.strides={strides}")];
            let config = Config::load(None, &set).unwrap();
            assert_eq!(Plan::new(facts, &config).unwrap().patch_size, [30, 256, 256]);
        }
    }

    #[test]
    fn a_patch_that_the_strides_do_not_divide_is_refused() {
        let set = ["data.patch_size=[30,64,64]".to_owned(), "model.strides=[[2,2,2],[2,2,2]]".into()];
        let config = Config::load(None, &set).unwrap();
        let facts = Facts { shape: [30, 256, 256], spacing: [1.0; 3], in_channels: 1, classes: 2 };
        let error = Plan::new(facts, &config).unwrap_err().to_string();
        assert!(error.contains("data.patch_size") && error.contains("28 or 32"), "{error}");
    }

    proptest! {
        #[test]
        fn any_volume_gets_a_patch_that_its_network_takes(
            shape in prop::array::uniform3(2usize..400),
            spacing in prop::array::uniform3(0.3f64..8.0),
        ) {
            let plan = plan(shape, spacing);
            plan.model.check_size(plan.patch_size).unwrap();
            prop_assert!(plan.patch_size.iter().product::<usize>() <= 3 * Config::default().data.patch_voxels);
        }
    }
}
