//! Laws of `trainer predict` and `trainer evaluate`.

use std::fs;

use metrics::Aim;
use trainer::predict::{MaskRule, Threshold};
use trainer::run::checkpoint::Checkpoint;
use volumes::VoxelType;

use super::{Place, json, refuses, small, succeeds};

/// A place with a trained run, after steps enough for probabilities on both sides of a threshold.
fn trained(channels: usize, classes: usize) -> Place {
    let place = Place::with(small::SHAPE, channels, classes, [2, 2]);
    place.train("run", &[]);
    place
}

#[test]
fn masks_lie_where_their_images_lie() {
    let place = trained(1, 2);
    // An input of another shape, and smaller than the patch along one axis.
    small::write_data_set(&place.path("other"), [5, 21, 18], 1, 2, [1, 0]);
    let images = ["data/imagesTs/case_2_0000", "data/imagesTs/case_3_0000", "other/imagesTr/case_0_0000"];
    let single = place.text("other/imagesTr/case_0_0000.nii.gz");
    let printed = succeeds(&[
        "predict",
        &place.text("run"),
        &place.text("data/imagesTs"),
        &single,
        "--out",
        &place.text("masks"),
    ]);
    assert!(printed.contains("checkpoints/best, after 3 steps"), "{printed}");
    assert!(printed.contains("a voxel is foreground above calibrated probability"), "{printed}");
    for image in images {
        let case = image.rsplit('/').next().unwrap().strip_suffix("_0000").unwrap();
        let image = volumes::Stored::read(place.path(&format!("{image}.nii.gz"))).unwrap();
        let mask = volumes::Stored::read(place.path(&format!("masks/{case}.nii.gz"))).unwrap();
        assert_eq!(mask.header.shape, image.header.shape);
        assert_eq!(mask.header.affine, image.header.affine);
        assert_eq!(mask.header.spacing, image.header.spacing);
        assert_eq!(mask.header.voxel_type, VoxelType::U8);
        let values = mask.to_f32();
        assert!(values.iter().all(|&v| v == 0.0 || v == 1.0));
        let foreground = values.iter().filter(|&&v| v == 1.0).count();
        let line = format!("{case}.nii.gz: {foreground} of {} voxels are foreground", values.len());
        assert!(printed.contains(&line), "{line} is missing:\n{printed}");
    }
    assert_eq!(fs::read_dir(place.path("masks")).unwrap().count(), 3);
}

#[test]
fn probabilities_are_from_0_to_1_and_the_threshold_divides_them() {
    let place = trained(1, 2);
    for threshold in [None, Some(0.3)] {
        let (run, images) = (place.text("run"), place.text("data/imagesTs"));
        let masks = place.text("masks");
        let text = threshold.unwrap_or_default().to_string();
        let mut args = vec![
            "predict",
            &run,
            &images,
            "--out",
            &masks,
            "--save-probabilities",
            "--save-logits",
            "--threads",
            "1",
        ];
        if threshold.is_some() {
            args.extend(["--threshold", &text, "--force"]);
        }
        let printed = succeeds(&args);
        let decision =
            Checkpoint::load(&place.path("run/checkpoints/best")).unwrap().network().decision.clone();
        assert!(
            matches!(decision.rule, MaskRule::Above { origin: Threshold::Chosen(Aim::MaxF1, _), .. }),
            "{decision}"
        );
        let decision = threshold.map_or(decision.clone(), |threshold| decision.at(threshold));
        assert!(printed.contains(&decision.to_string()), "{printed}");
        for case in ["case_2", "case_3"] {
            let read =
                |name: &str| volumes::Stored::read(place.path(&format!("masks/{name}.nii.gz"))).unwrap();
            let mask = read(case).to_f32();
            let probability = read(&format!("probability/{case}_lesion"));
            let logit = read(&format!("logit/{case}_lesion")).to_f32();
            assert_eq!(probability.header.affine, read(case).header.affine);
            for ((m, p), z) in mask.iter().zip(probability.to_f32()).zip(logit) {
                assert!((0.0..=1.0).contains(&p), "{p}");
                // A sigmoid, which is nowhere steeper than 1/4, of a number below 16 that was rounded twice in f32.
                let exact = decision.calibration.probability(f64::from(z));
                assert!((f64::from(p) - exact).abs() < 16.0 * f64::from(f32::EPSILON), "{p} for {z}");
                assert_eq!(*m == 1.0, z > decision.logit().unwrap(), "{m} for {z}, {exact}");
                if let Some(threshold) = threshold {
                    let close = (exact - threshold).abs() < 16.0 * f64::from(f32::EPSILON);
                    assert!(close || (*m == 1.0) == (exact > threshold), "{m} for {exact}");
                }
            }
        }
    }
}

#[test]
fn several_channels_and_classes_give_the_most_probable_class_where_foreground_is() {
    let place = trained(2, 3);
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    let printed = succeeds(&["predict", &run, &images, "--out", &masks, "--save-probabilities"]);
    assert!(
        printed.contains("a voxel is background where that is as probable as all other classes together"),
        "{printed}"
    );
    let read =
        |name: &str| volumes::Stored::read(place.path(&format!("masks/{name}.nii.gz"))).unwrap().to_f32();
    let classes = ["background", "lesion", "vessel"].map(|c| read(&format!("probability/case_2_{c}")));
    for (voxel, &mask) in read("case_2").iter().enumerate() {
        let p = [0, 1, 2].map(|class| classes[class][voxel]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() <= 5.0 * f32::EPSILON, "{p:?}");
        // The mask and the probabilities beside it say the same.
        let foreground = p[1] + p[2];
        let is_right = match mask as usize {
            0 => p[0] - foreground > -1e-6,
            class => foreground - p[0] > -1e-6 && p[class] - p[1].max(p[2]) > -1e-6,
        };
        assert!(is_right, "{mask} of {p:?}");
    }
    let error = refuses(&["predict", &run, &images, "--out", &masks, "--threshold", "0.4"]);
    assert_eq!(
        error,
        "--threshold is for one foreground class; of several background is taken where it is as probable as the rest"
    );
}

#[test]
fn the_number_of_threads_changes_no_mask_and_no_probability() {
    let place = trained(1, 2);
    let (run, images) = (place.text("run"), place.text("data/imagesTs"));
    let [one, two] = ["1", "2"].map(|threads| {
        let masks = format!("masks{threads}");
        let out = place.text(&masks);
        succeeds(&["predict", &run, &images, "--out", &out, "--save-logits", "--threads", threads]);
        volumes::Stored::read(place.path(&format!("{masks}/logit/case_2_lesion.nii.gz"))).unwrap().to_f32()
    });
    assert!(one == two);
}

#[test]
fn evaluation_compares_masks_with_labels() {
    let place = trained(1, 2);
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    succeeds(&["predict", &run, &images, "--out", &masks]);
    let labels = place.text("data/labelsTs");
    let file = place.text("figures.json");
    let text = succeeds(&["evaluate", "--predictions", &masks, "--labels", &labels, "--json", &file]);
    assert!(text.contains("case_2") && text.contains("case_3") && text.contains("lesion"), "{text}");
    let found = json(&place.path("figures.json"));
    assert_eq!(found["report"]["support"], 2 * 2048);
    for (case, name) in [(0, "case_2"), (1, "case_3")] {
        assert_eq!(found["cases"][case]["case"], name);
        let class = &found["cases"][case]["classes"][0];
        let mask = volumes::Stored::read(place.path(&format!("masks/{name}.nii.gz"))).unwrap().to_f32();
        let truth =
            volumes::Stored::read(place.path(&format!("data/labelsTs/{name}.nii.gz"))).unwrap().to_f32();
        let both = mask.iter().zip(&truth).filter(|&(&m, &t)| m == 1.0 && t == 1.0).count();
        assert_eq!(class["tp"], both);
        assert_eq!(class["fn"], 27 - both);
    }
    // The truth against itself.
    succeeds(&["evaluate", "--predictions", &labels, "--labels", &labels, "--json", &file]);
    let found = json(&place.path("figures.json"));
    assert_eq!(found["foreground_dice"]["value"], 1.0);
    let class = &found["cases"][0]["classes"][0];
    assert_eq!((class["hd95"].as_f64(), class["surface_dice"].as_f64()), (Some(0.0), Some(1.0)));
    assert_eq!(
        (&found["tolerance"], &class["lesions"]["lesions"]),
        (&1.0.into(), &class["lesions"]["found"])
    );
    let text = succeeds(&["evaluate", "--predictions", &labels, "--labels", &labels, "--tolerance", "2.5"]);
    assert!(text.contains("surface dice within 2.5 mm"), "{text}");
}
