//! One case's classes as bodies: how far apart their surfaces lie, and how many objects they are.

use std::collections::BTreeMap;

use metrics::{BoundingBox, LesionCounts, SurfaceDistances};
use serde::{Deserialize, Serialize};

use super::{LabelVolume, Options};
use crate::Result;

/// Distances between the surfaces of truth and prediction, as [`SurfaceDistances`] defines them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SurfaceScores {
    /// The 95th percentile of the distances, in mm; `None` where truth or prediction is empty.
    pub hd95: Option<f64>,
    /// The average symmetric surface distance, in mm; `None` where truth or prediction is empty.
    pub assd: Option<f64>,
    /// The share of surface voxels within [`Options::tolerance`]; `None` where truth and prediction are empty.
    pub surface_dice: Option<f64>,
}

/// What a class's voxels form in one case.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shapes {
    pub(super) surface: SurfaceScores,
    pub(super) lesions: LesionCounts,
}

/// The shapes of every class that occurs in truth or prediction, the background apart.
///
/// Voxels whose truth is `ignore` belong to no class; where such a region cuts a body, the cut is a surface of
/// the truth and of the prediction alike.
pub(super) fn measure(
    truth: &LabelVolume,
    prediction: &LabelVolume,
    ignore: Option<i32>,
    options: &Options,
) -> Result<BTreeMap<i32, Shapes>> {
    let mut boxes = BTreeMap::new();
    let [w, h, d] = truth.shape;
    for volume in [truth, prediction] {
        let is_foreground = |label| label != 0 && Some(label) != ignore;
        BoundingBox::add_labels(&mut boxes, &volume.labels, [d, h, w], is_foreground);
    }
    let measured = boxes.into_iter().map(|(label, bounds): (i32, BoundingBox)| {
        let counted = |index: usize| Some(truth.labels[index]) != ignore;
        let cut = |volume: &LabelVolume| -> Vec<bool> {
            let is_class = |index: usize| volume.labels[index] == label && counted(index);
            let mut cut = memory::with_capacity(bounds.shape().iter().product());
            cut.extend(bounds.indices([d, h, w]).map(is_class));
            cut
        };
        let (truth_mask, prediction_mask) = (cut(truth), cut(prediction));
        let shape = bounds.shape();
        Ok((
            label,
            Shapes {
                surface: surface(&truth_mask, &prediction_mask, shape, truth.spacing(), options)?,
                lesions: LesionCounts::new(&truth_mask, &prediction_mask, shape, options.lesions),
            },
        ))
    });
    measured.collect()
}

/// `spacing` is that of x, y and z.
fn surface(
    truth: &[bool],
    prediction: &[bool],
    shape: [usize; 3],
    [x, y, z]: [f64; 3],
    options: &Options,
) -> Result<SurfaceScores> {
    let distances = SurfaceDistances::new(truth, prediction, shape, [z, y, x], options.surface)?;
    // A header keeps 1.1 mm as the f32 next to it, which must not put a neighbour out of reach of 1.1 mm.
    let tolerance = options.tolerance * (1.0 + f64::from(f32::EPSILON));
    Ok(SurfaceScores {
        hd95: distances.hd95(),
        assd: distances.assd(),
        surface_dice: distances.surface_dice(tolerance),
    })
}
