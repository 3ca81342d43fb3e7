//! What the log says of a validation case is what `trainer predict` does with the model: the same voxels found, missed and
//! invented, in the file's own voxels.

use metrics::{BinaryCounts, ConfusionMatrix, Connectivity, LesionCounts};
use proptest::prelude::*;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use trainer::dataset::IGNORE;
use trainer::report::ModelReport;
use volumes::nifti::{self, NiftiHeader};

use super::{Place, borrowed, succeeds};

/// A data set whose files lie as files do.
#[derive(Clone, Debug)]
struct Made {
    /// Voxels along x, y, z of each case, and their sizes in mm.
    shapes: Vec<[usize; 3]>,
    sizes: [f64; 3],
    /// Which axis of space each of the file's runs along, and whether the other way.
    axes: [usize; 3],
    flips: [bool; 3],
    channels: usize,
    classes: usize,
    /// The empty border around the images.
    border: usize,
    ignore: bool,
    seed: u64,
}

fn made() -> impl Strategy<Value = Made> {
    let shape = [6usize..13, 6usize..13, 5usize..9];
    (
        prop::collection::vec(shape, 3),
        [0.7f64..1.5, 0.7f64..1.5, 1.0f64..3.5],
        prop::sample::select(vec![[0, 1, 2], [2, 0, 1], [1, 0, 2]]),
        any::<[bool; 3]>(),
        1usize..3,
        2usize..4,
        0usize..3,
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(|(shapes, sizes, axes, flips, channels, classes, border, ignore, seed)| Made {
            shapes,
            sizes,
            axes,
            flips,
            channels,
            classes,
            border,
            ignore,
            seed,
        })
}

impl Made {
    fn write(&self, place: &Place) {
        let root = place.path("data");
        for folder in ["imagesTr", "labelsTr"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let mut labels: serde_json::Map<_, _> =
            (0..self.classes).map(|class| (format!("class {class}"), class.into())).collect();
        if self.ignore {
            labels.insert("ignore".into(), self.classes.into());
        }
        let channels: serde_json::Map<_, _> =
            (0..self.channels).map(|channel| (channel.to_string(), format!("MR{channel}").into())).collect();
        let json = serde_json::json!({
            "channel_names": channels, "labels": labels, "numTraining": self.shapes.len(), "file_ending": ".nii.gz"
        });
        std::fs::write(root.join("dataset.json"), json.to_string()).unwrap();
        for (index, &shape) in self.shapes.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ index as u64);
            let mut header = NiftiHeader::new(shape, self.sizes);
            header.srow = [[0.0; 4]; 3];
            for (axis, row) in self.axes.into_iter().enumerate() {
                let size = self.sizes[axis];
                header.srow[row][axis] = if self.flips[axis] { -size } else { size };
            }
            header.qform_code = 0;
            let inside = |i: usize| {
                let at = [i % shape[0], i / shape[0] % shape[1], i / shape[0] / shape[1]];
                (0..3).all(|a| at[a] >= self.border && at[a] + self.border < shape[a])
            };
            let voxels = shape.iter().product::<usize>();
            // Blocks that resampling leaves something of, and specks that it does not.
            let block = |i: usize| {
                let at = [i % shape[0], i / shape[0] % shape[1], i / shape[0] / shape[1]];
                (at[0] * self.classes / shape[0]) * usize::from(at[1] >= shape[1] / 3)
            };
            let truth: Vec<u8> = (0..voxels)
                .map(|i| match rng.random_range(0..20) {
                    0 if self.ignore => self.classes as u8,
                    // A label on the border, where an image is empty, or anywhere.
                    1 => 1,
                    _ => block(i) as u8,
                })
                .collect();
            for channel in 0..self.channels {
                let value = |i: usize| {
                    let noise = rng.random_range(-1.0f32..1.0);
                    if inside(i) { 20.0 + 10.0 * f32::from(truth[i]) + noise + channel as f32 } else { 0.0 }
                };
                let image: Vec<f32> = (0..voxels).map(value).collect();
                nifti::write(root.join(format!("imagesTr/c{index}_{channel:04}.nii.gz")), &header, &image)
                    .unwrap();
            }
            nifti::write(root.join(format!("labelsTr/c{index}.nii.gz")), &header, &truth).unwrap();
        }
    }

    /// What a mask of a case holds of each foreground class, in voxels and in objects.
    fn counted(&self, place: &Place, case: &str) -> Vec<(BinaryCounts, LesionCounts)> {
        let read = |path: String| volumes::Stored::read(place.path(&path)).unwrap().to_f32();
        let mask: Vec<u8> = read(format!("masks/{case}.nii.gz")).iter().map(|&v| v as u8).collect();
        let ignored = |v: f32| if self.ignore && v as usize == self.classes { IGNORE } else { v as u8 };
        let truth: Vec<u8> = read(format!("data/labelsTr/{case}.nii.gz")).into_iter().map(ignored).collect();
        let mut matrix = ConfusionMatrix::new(self.classes).ignore_label(IGNORE);
        matrix.update(&truth, &mask).unwrap();
        let index: usize = case[1..].parse().unwrap();
        let [x, y, z] = self.shapes[index];
        let objects = |class: usize| {
            let of = |labels: &[u8]| -> Vec<bool> {
                let is_class = |(label, truth): (&u8, &u8)| usize::from(*label) == class && *truth != IGNORE;
                labels.iter().zip(&truth).map(is_class).collect()
            };
            LesionCounts::new(&of(&truth), &of(&mask), [z, y, x], Connectivity::TwentySix)
        };
        (1..self.classes).map(|class| (matrix.binary(class), objects(class))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn predicting_a_validation_case_gives_the_counts_that_the_log_gave(
        made in made(),
        mirror in prop::sample::select(vec!["none", "all", "h,w"]),
        reorient: bool,
        crop: bool,
        cached: bool,
        spacing in prop::sample::select(vec!["auto", "none", "[2.0,1.0,1.3]"]),
        chosen: bool,
        fold in 0usize..3,
    ) {
        let place = Place(tempfile::tempdir().unwrap());
        made.write(&place);
        let mut args = place.training("run", &["--epochs", "2", "--fold", &fold.to_string()]);
        let word = if chosen { "auto" } else { "true" };
        let size = if chosen { "auto" } else { "3" };
        for set in [
            format!("inference.mirror={mirror}"),
            format!("data.reorient={reorient}"),
            format!("data.crop={crop}"),
            format!("data.spacing={spacing}"),
            format!("inference.keep_largest={word}"),
            format!("inference.fill_holes={word}"),
            format!("inference.min_component={size}"),
            "data.patch_size=[4,8,8]".into(),
            "optimizer.lr=0.02".into(),
            "training.steps_per_epoch=12".into(),
        ] {
            args.extend(["--set".to_owned(), set]);
        }
        if cached {
            args.extend(["--cache".to_owned(), place.text("cache")]);
        }
        let printed = succeeds(&borrowed(&args));
        let case = printed.lines().find_map(|line| line.strip_prefix("validating on ")).unwrap().to_owned();
        for (model, step) in [("run/model_last.safetensors", true), ("run/model.safetensors", false)] {
            let image = format!("{case}_0000.nii.gz");
            let image = place.path("data/imagesTr").join(image).to_str().unwrap().to_owned();
            let masks = place.text("masks");
            let predicted = succeeds(&["predict", &place.text(model), &image, "--out", &masks, "--force"]);
            // The best may be of either epoch: its validation is the one of as many steps.
            let steps: u64 = predicted.split(", after ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            prop_assert!(!step || steps == 24);
            let epoch = format!("epoch {}, on the validation", steps / 12);
            let validation = &printed[printed.find(&epoch).unwrap()..];
            let counted = made.counted(&place, &case);
            if !step {
                // The report is of the model that predictions use, down to each object.
                let best = place.path("run/checkpoints/best");
                let kept = if best.is_dir() { best } else { place.path("run/checkpoints/last") };
                let report = kept.join("report.json");
                let report: ModelReport = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
                prop_assert_eq!(report.step, steps);
                for (class, (counts, objects)) in report.cases[0].classes.iter().zip(&counted) {
                    prop_assert_eq!((&class.counts, &class.objects), (counts, objects));
                    let found = class.truth.iter().filter(|object| object.found).count() as u64;
                    prop_assert_eq!((found, class.truth.len() as u64), (objects.found, objects.lesions));
                }
            }
            for (class, (counts, _)) in (1..).zip(counted) {
                let BinaryCounts { true_positives: tp, false_positives: fp, false_negatives: missed, .. } = counts;
                let start = format!("case {case}: class {class}: Dice ");
                let line = validation.lines().find(|line| line.starts_with(&start)).unwrap();
                let end = format!(" tp {tp} fp {fp} fn {missed}");
                prop_assert!(line.ends_with(&end), "{line} is not {end}\n{printed}\n{predicted}");
            }
        }
    }
}
