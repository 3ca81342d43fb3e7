//! Cases, data sets and runs that are small enough to be made in every test.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use losses::LossConfig;
use trainer::config::Config;
use trainer::dataset::Description;
use trainer::predict::{ByClass, Decision, ModelCard, NetworkCard, Pipeline, PreparationKind, SlidingWindow};
use trainer::preprocess::{Case, CaseReader, Geometry, Normalisation, PreparedCase, Preprocessing};
use trainer::run::{Facts, Plan};
use trainer::training::{Outcome, Setup, train};
use volumes::AxisOrder;
use volumes::nifti::{self, NiftiHeader};

/// The shape `[d, h, w]` of most volumes here.
pub(crate) const SHAPE: [usize; 3] = [8, 16, 16];

/// What makes a network small, with two levels from two channels, patches of [`SHAPE`] and three steps, its first
/// probabilities near one half, and masks as predicted.
pub(crate) const TINY: [&str; 14] = [
    "validation.full_every=1",
    "data.patch_size=[8,16,16]",
    "data.batch_size=1",
    "model.base_channels=2",
    "model.levels=2",
    "model.prior_bias=false",
    "optimizer.lr=0.003",
    "training.epochs=1",
    "training.steps_per_epoch=3",
    "training.log_every=1",
    "inference.mirror=all",
    "inference.min_component=0",
    "inference.keep_largest=false",
    "inference.fill_holes=false",
];

/// A number from −1 to 1 that looks random (Knuth's multiplicative hash).
pub(crate) fn noise(i: usize) -> f32 {
    let hashed = (i as u32).wrapping_add(0x9e37).wrapping_mul(2_654_435_769);
    f64::from(hashed ^ hashed >> 15) as f32 / f64::from(u32::MAX) as f32 * 2.0 - 1.0
}

/// One box for each foreground class, at a place that depends on the case.
fn label(shape: [usize; 3], classes: usize, index: usize, voxel: usize) -> u8 {
    let [d, h, w] = shape;
    let at = [voxel / (h * w), voxel / w % h, voxel % w];
    let first = |class: usize, size: usize| (class * 5 + index * 3) % size.saturating_sub(3).max(1);
    let inside = |class: usize| {
        (0..3).all(|a| (0..3).contains(&(at[a] as isize - first(class, [d, h, w][a]) as isize)))
    };
    (1..classes).find(|&class| inside(class)).unwrap_or(0) as u8
}

/// Image and labels of a case: noise, brighter where there is foreground.
pub(crate) fn voxels(shape: [usize; 3], classes: usize, index: usize) -> (Vec<f32>, Vec<u8>) {
    let count = shape.iter().product();
    let labels: Vec<u8> = (0..count).map(|voxel| label(shape, classes, index, voxel)).collect();
    let image =
        labels.iter().enumerate().map(|(i, &l)| noise(index * count + i) + 2.0 * f32::from(l)).collect();
    (image, labels)
}

/// A case in memory, already as normalised as it will be.
pub(crate) fn case(shape: [usize; 3], channels: usize, classes: usize, index: usize) -> Case {
    let (one, labels) = voxels(shape, classes, index);
    let image = one.iter().flat_map(|&v| (0..channels).map(move |c| v + c as f32)).collect();
    let [d, h, w] = shape;
    let mut affine = [[0.0; 4]; 4];
    (0..4).for_each(|i| affine[i][i] = 1.0);
    let header = volumes::Header::new(&[w, h, d], affine);
    Case {
        name: format!("case_{index}"),
        image,
        shape,
        channels,
        spacing: [1.0; 3],
        labels: Some(labels),
        file_labels: None,
        background: None,
        lost: Default::default(),
        geometry: Geometry::new(header, AxisOrder::ZYX, Preprocessing::NATIVE),
    }
}

/// The configuration of [`TINY`] with changes.
pub(crate) fn config(set: &[&str]) -> Config {
    let set: Vec<String> = TINY.iter().chain(set).map(|&pair| pair.to_owned()).collect();
    Config::load(None, &set).unwrap()
}

/// What training on these cases needs.
pub(crate) fn setup(
    folder: &Path,
    set: &[&str],
    training: Vec<Case>,
    validation: Vec<Case>,
    classes: usize,
) -> Setup {
    let config = config(set);
    let (shape, in_channels) = (training[0].shape, training[0].channels);
    let plan = Plan::new(Facts { shape, spacing: [1.0; 3], in_channels, classes }, &config).unwrap();
    let names = ["background", "lesion", "vessel", "bone"].map(str::to_owned);
    let description = Description {
        name: "small".into(),
        channel_names: (0..in_channels).map(|c| format!("channel {c}")).collect(),
        classes: names[..classes].to_vec(),
        ignore: None,
        joined_up_to: None,
        file_ending: ".nii.gz".into(),
    };
    let normalisation = Normalisation { channels: vec![trainer::preprocess::ChannelNorm::None; in_channels] };
    let preprocessing = Preprocessing::NATIVE;
    let reader = CaseReader { description, order: AxisOrder::ZYX, preprocessing };
    let training = training.into_iter().map(PreparedCase::from).collect();
    let validation = validation.into_iter().map(PreparedCase::from).collect();
    Setup {
        folder: folder.to_owned(),
        config,
        plan,
        preparation: trainer::preprocess::Preparation { reader, normalisation },
        training,
        validation,
        init: None,
        resume: None,
        abandons_last: false,
        ranks: ranks::Ranks::alone(),
        preparing: std::time::Duration::ZERO,
    }
}

/// Trains to the end.
pub(crate) fn run(setup: Setup) -> trainer::Result<Outcome> {
    train(setup, &AtomicBool::new(false))
}

/// Writes an nnU-Net folder of volumes of this shape with spacing (d, h, w) = (3, 1.5, 1).
pub(crate) fn write_data_set(
    folder: &Path,
    shape: [usize; 3],
    channels: usize,
    classes: usize,
    cases: [usize; 2],
) {
    let [d, h, w] = shape;
    let mut header = NiftiHeader::new([w, h, d], [1.0, 1.5, 3.0]);
    // Not at the origin, so that a lost transformation is seen.
    for (axis, shift) in [-7.5, 3.25, 11.0].into_iter().enumerate() {
        header.srow[axis][3] = shift;
        header.qoffset[axis] = shift;
    }
    let names = ["background", "lesion", "vessel", "bone"];
    let labels: serde_json::Map<_, _> = (0..classes).map(|c| (names[c].to_owned(), c.into())).collect();
    let channel_names: serde_json::Map<_, _> =
        (0..channels).map(|c| (c.to_string(), format!("T{c}").into())).collect();
    let json =
        serde_json::json!({"channel_names": channel_names, "labels": labels, "file_ending": ".nii.gz"});
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("dataset.json"), json.to_string()).unwrap();
    for (index, side) in (0..cases[0]).map(|i| (i, "Tr")).chain((0..cases[1]).map(|i| (cases[0] + i, "Ts"))) {
        for kind in ["images", "labels"] {
            std::fs::create_dir_all(folder.join(format!("{kind}{side}"))).unwrap();
        }
        let (image, labels) = voxels(shape, classes, index);
        for channel in 0..channels {
            let image: Vec<f32> = image.iter().map(|v| v * (channel + 1) as f32).collect();
            let path = folder.join(format!("images{side}/case_{index}_{channel:04}.nii.gz"));
            nifti::write(path, &header, &image).unwrap();
        }
        nifti::write(folder.join(format!("labels{side}/case_{index}.nii.gz")), &header, &labels).unwrap();
    }
}

/// The card of an untrained network of this setup.
pub(crate) fn card(setup: &Setup) -> ModelCard {
    let channels = setup.plan.model.out_channels;
    let loss = LossConfig::GeneralisedDice { regions: Default::default() };
    let network = NetworkCard {
        name: String::new(),
        steps: 3,
        digest: "00000000".into(),
        loss: Some(loss.clone()),
        plan: setup.plan.clone(),
        preparation: PreparationKind::Trainer(setup.preparation.clone()),
        decision: Decision::untouched(&loss, channels),
        postprocessing: None,
    };
    ModelCard::of(network, setup.config.inference.clone())
}

/// The way from images of one channel, as they are, to masks of so many channels of logits: nothing is calibrated, nothing
/// done afterwards.
pub(crate) fn pipeline(window: SlidingWindow, channels: usize) -> Pipeline {
    let description = Description {
        name: "data".into(),
        channel_names: vec!["image".into()],
        classes: (0..channels.max(2)).map(|class| class.to_string()).collect(),
        ignore: None,
        joined_up_to: None,
        file_ending: ".nii.gz".into(),
    };
    let reader = CaseReader { description, order: AxisOrder::ZYX, preprocessing: Preprocessing::NATIVE };
    let normalisation = Normalisation { channels: vec![trainer::preprocess::ChannelNorm::None] };
    let loss = LossConfig::GeneralisedDice { regions: Default::default() };
    Pipeline {
        preparation: trainer::preprocess::Preparation { reader, normalisation },
        window,
        decision: Decision::untouched(&loss, channels),
        postprocessing: ByClass::default(),
    }
}
