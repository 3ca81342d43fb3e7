//! What a run derives from its data: the patch, the network's levels, strides and kernels; and what that takes.
//!
//! The rules follow nnU-Net's (Isensee et al. 2021, supplement). A patch begins with the same field of view along all axes,
//! clipped by the median volume's shape, and is shortened until it fits the voxels and the memory that a run may take. An axis
//! is halved from level to level as long as it stays at least 4 voxels long and its spacing is within a factor 2 of the
//! finest axis'; kernels are flat where slices are more than twice as thick as pixels. A batch holds 2 patches, and more
//! only where a patch covers the whole median volume.

mod patch;

use unet3d::UNet3dConfig;

use self::patch::{SHORTEST, choose_kernels, choose_strides, fit_patch};
use crate::config::{Config, SMALLEST_BATCH};
use crate::predict::Plan;
use crate::preprocess::{CaseSummary, PreparedCase};
use crate::{Error, Result};

/// An automatic network has at most this many levels.
const MOST_LEVELS: usize = 5;

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
    pub fn of(cases: &[CaseSummary], classes: usize) -> Self {
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
    /// The plan for training cases of so many classes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_cases(training: &[PreparedCase], classes: usize, config: &Config) -> Result<Self> {
        let summaries: Vec<CaseSummary> = training.iter().map(|case| case.summary().clone()).collect();
        Self::new(Facts::of(&summaries, classes), config)
    }

    /// The plan for these data under this configuration, whatever memory it takes.
    ///
    /// # Errors
    /// If a patch or network that the user chose does not fit together.
    pub fn new(facts: Facts, config: &Config) -> Result<Self> {
        Self::with_voxels(facts, config, config.data.patch_voxels)
    }

    /// The plan, and the number of patches in a batch, for which `fits` says yes. What the configuration leaves open is
    /// chosen: the patch is shortened until it fits, but no axis below 16 voxels; the plan that is left then may not fit.
    ///
    /// # Errors
    /// As [`new`](Self::new), and those of `fits`.
    pub fn within(
        facts: Facts,
        config: &Config,
        fits: impl Fn(&Self, usize) -> Result<bool>,
    ) -> Result<(Self, usize)> {
        let chosen = config.data.batch_size.value().copied();
        let parts = config.training.accumulate;
        let mut batch = chosen.unwrap_or(SMALLEST_BATCH.next_multiple_of(parts));
        let mut voxels = config.data.patch_voxels;
        let mut plan = Self::with_voxels(facts, config, voxels)?;
        while !fits(&plan, batch)? {
            let patch = fit_patch(facts, voxels);
            if config.data.patch_size.value().is_some() || patch.iter().all(|&size| size <= SHORTEST) {
                return Ok((plan, batch));
            }
            voxels = patch.iter().product::<usize>() - 1;
            plan = Self::with_voxels(facts, config, voxels)?;
        }
        let covers = (0..3).all(|a| plan.patch_size[a] >= facts.shape[a]);
        if chosen.is_none() && covers {
            let most = SMALLEST_BATCH * config.data.patch_voxels / plan.patch_size.iter().product::<usize>();
            while batch + parts <= most && fits(&plan, batch + parts)? {
                batch += parts;
            }
        }
        Ok((plan, batch))
    }

    /// The plan whose automatic patch holds about so many voxels at most.
    fn with_voxels(facts: Facts, config: &Config, voxels: usize) -> Result<Self> {
        let wanted = match config.data.patch_size.value() {
            Some(&size) if size.contains(&0) => {
                return Err(Error::config(
                    "data.patch_size",
                    format!("is {size:?}: every axis needs a voxel"),
                ));
            }
            Some(&size) => size,
            None => fit_patch(facts, voxels),
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
