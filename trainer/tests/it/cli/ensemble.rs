//! Laws of `trainer predict` with several runs, and of what it does to masks.

use std::fs;

use trainer::predict::PostProcessing;
use trainer::run::checkpoint::Checkpoint;

use super::{Place, borrowed, refuses, small, succeeds};

impl Place {
    /// Predicts the test images with these runs into a folder; gives what is printed.
    fn predict(&self, runs: &[&str], out: &str, more: &[&str]) -> String {
        let mut args = vec!["predict".to_owned(), self.text(runs[0]), self.text("data/imagesTs")];
        for run in &runs[1..] {
            args.extend(["--ensemble".to_owned(), self.text(run)]);
        }
        args.extend(["--out".to_owned(), self.text(out), "--save-probabilities".to_owned()]);
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        succeeds(&borrowed(&args))
    }

    fn values(&self, name: &str) -> Vec<f32> {
        volumes::Stored::read(self.path(&format!("{name}.nii.gz"))).unwrap().to_f32()
    }
}

/// The largest difference of two probability maps.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// A sigmoid's argument below 16 is rounded a few times in f32.
const ROUNDING: f32 = 16.0 * f32::EPSILON;

#[test]
fn runs_predict_with_the_mean_of_their_calibrated_probabilities() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 2]);
    place.train("a", &["--fold", "0"]);
    place.train("b", &["--fold", "1", "--seed", "2"]);
    let own = ["a", "b"].map(|run| {
        place.predict(&[run], run, &[]);
        place.values(&format!("{run}/probability/case_3_lesion"))
    });
    assert!(apart(&own[0], &own[1]) > 1e-3, "the runs differ");
    let printed = place.predict(&["a", "b"], "both", &["--save-logits", "--threads", "1"]);
    for run in ["a", "b"] {
        assert!(printed.contains(&format!("{run}/checkpoints/best, after 3 steps\n")), "{printed}");
    }
    assert!(
        printed
            .contains("probabilities are the mean of 2 runs', each calibrated on its own validation cases\n"),
        "{printed}"
    );
    let decision = |run: &str| {
        Checkpoint::load(&place.path(&format!("{run}/checkpoints/best"))).unwrap().network().decision.clone()
    };
    let thresholds = ["a", "b"].map(|run| decision(run).probability().unwrap());
    let threshold = (thresholds[0] + thresholds[1]) / 2.0;
    let want = format!(
        "a voxel is foreground above calibrated probability {threshold:.4}, the mean of the runs' {:.4}, {:.4}\n",
        thresholds[0], thresholds[1]
    );
    assert!(printed.contains(&want), "{want}\n{printed}");

    let mean: Vec<f32> = own[0].iter().zip(&own[1]).map(|(a, b)| (a + b) / 2.0).collect();
    let found = place.values("both/probability/case_3_lesion");
    assert!(apart(&found, &mean) <= ROUNDING, "{}", apart(&found, &mean));
    for (mask, p) in place.values("both/case_3").iter().zip(&found) {
        let close = (f64::from(*p) - threshold).abs() < f64::from(ROUNDING);
        assert!(close || (*mask == 1.0) == (f64::from(*p) > threshold), "{mask} for {p}");
    }
    // Another number of threads, and a threshold of one's own.
    let printed =
        place.predict(&["a", "b"], "given", &["--threshold", "0.25", "--save-logits", "--threads", "2"]);
    assert!(
        printed.contains("a voxel is foreground above calibrated probability 0.2500, as given\n"),
        "{printed}"
    );
    for name in ["probability/case_3_lesion", "logit/case_4_lesion"] {
        assert!(place.values(&format!("both/{name}")) == place.values(&format!("given/{name}")), "{name}");
    }
    for (mask, p) in place.values("given/case_3").iter().zip(&found) {
        assert!((p - 0.25).abs() < ROUNDING || (*mask == 1.0) == (*p > 0.25), "{mask} for {p}");
    }
    // With itself a run says what it says alone.
    place.predict(&["a", "a", "a"], "thrice", &[]);
    assert!(apart(&place.values("thrice/probability/case_3_lesion"), &own[0]) <= ROUNDING);
    assert!(place.values("thrice/case_3") == place.values("a/case_3"));
}

#[test]
fn of_several_classes_too_the_probabilities_are_averaged() {
    let place = Place::with(small::SHAPE, 1, 3, [3, 1]);
    let weighted = ["--set", "loss.class_weights=auto"];
    place.train("a", &weighted);
    place.train("b", &[&weighted[..], &["--fold", "1", "--seed", "2"]].concat());
    let classes = ["background", "lesion", "vessel"];
    let read = |out: &str| classes.map(|class| place.values(&format!("{out}/probability/case_3_{class}")));
    let printed = place.predict(&["a", "b"], "both", &[]);
    assert!(printed.contains("a voxel has the class of its largest mean probability\n"), "{printed}");
    place.predict(&["a"], "only_a", &[]);
    place.predict(&["b"], "only_b", &[]);
    let (both, a, b) = (read("both"), read("only_a"), read("only_b"));
    for class in 0..3 {
        let mean: Vec<f32> = a[class].iter().zip(&b[class]).map(|(a, b)| (a + b) / 2.0).collect();
        assert!(apart(&both[class], &mean) <= ROUNDING, "{}", apart(&both[class], &mean));
    }
    // With itself a run says what it says alone.
    place.predict(&["a", "a"], "twice", &[]);
    let differ = place
        .values("twice/case_3")
        .iter()
        .zip(place.values("only_a/case_3"))
        .filter(|(a, b)| *a != b)
        .count();
    assert!(differ <= 2, "{differ} voxels are not of the same class");
}

#[test]
fn the_folder_of_all_folds_is_the_ensemble_of_them() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 1]);
    place.train("run", &["--all-folds"]);
    place.predict(&["run"], "folder", &["--save-logits"]);
    place.predict(&["run/fold_0", "run/fold_1", "run/fold_2"], "named", &["--save-logits"]);
    let name = "logit/case_3_lesion";
    assert!(place.values(&format!("folder/{name}")) == place.values(&format!("named/{name}")));

    // A fold that is not finished is not taken for one that is.
    fs::remove_file(place.path("run/fold_1/fold.json")).unwrap();
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    let error = refuses(&["predict", &run, &images, "--out", &masks]);
    assert!(error.contains("run/fold_1: is not trained to its end: go on with"), "{error}");
    assert!(!place.path("masks").exists());
    // Folds that were trained one by one are as good.
    fs::remove_file(place.path("run/folds.json")).unwrap();
    place.predict(&["run"], "plain", &["--save-logits"]);
    assert!(place.values(&format!("plain/{name}")) == place.values(&format!("named/{name}")));
}

#[test]
fn runs_that_mean_something_else_are_refused_by_name() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    place.train("a", &[]);
    small::write_data_set(&place.path("data"), small::SHAPE, 1, 3, [2, 0]);
    place.train("classes", &[]);
    fs::remove_dir_all(place.path("data")).unwrap();
    small::write_data_set(&place.path("data"), small::SHAPE, 2, 2, [2, 0]);
    place.train("channels", &[]);
    fs::remove_dir_all(place.path("data")).unwrap();
    small::write_data_set(&place.path("data"), small::SHAPE, 1, 2, [2, 1]);
    place.train("filled", &["--set", "inference.fill_holes=true"]);
    let predict = |other: &str, more: &[&str]| {
        let (a, images, masks) = (place.text("a"), place.text("data/imagesTs"), place.text("masks"));
        let other = place.text(other);
        refuses(&[&["predict", &a, &images, "--ensemble", &other, "--out", &masks], more].concat())
    };
    let named =
        |error: &str, other: &str| error.contains(&place.text(other)) && error.contains(&place.text("a"));
    let error = predict("classes", &[]);
    assert!(named(&error, "classes") && error.contains("tells apart the classes"), "{error}");
    let error = predict("channels", &[]);
    assert!(named(&error, "channels") && error.contains("reads the channels"), "{error}");
    let error = predict("filled", &[]);
    assert!(named(&error, "filled") && error.contains("give --min-component"), "{error}");
    let error = predict("nowhere", &[]);
    assert!(error.contains("nowhere") && error.contains("is no run folder"), "{error}");
    assert!(!place.path("masks").exists());
    // Said for both, it is no disagreement.
    place.predict(&["a", "filled"], "both", &["--fill-holes=false"]);
}

#[test]
fn masks_are_changed_as_asked_and_probabilities_are_not() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    place.train("run", &["--set", "inference.keep_largest=true"]);
    // The most probable tenth of a net that has hardly learnt: so many components that something is done to them.
    place.predict(&["run"], "any", &[]);
    let mut probabilities = place.values("any/probability/case_2_lesion");
    probabilities.sort_by(f32::total_cmp);
    let tenth = probabilities[probabilities.len() * 9 / 10].to_string();
    let threshold = ["--threshold", &tenth];
    let predict = |out: &str, more: &[&str]| place.predict(&["run"], out, &[&threshold[..], more].concat());
    let printed = predict("plain", &["--keep-largest=false"]);
    assert!(!printed.contains("post-processing"), "{printed}");
    let plain: Vec<u8> = place.values("plain/case_2").iter().map(|&m| m as u8).collect();
    for (out, flags, settings, words) in [
        (
            "configured",
            &[][..],
            PostProcessing { keep_largest: true, ..Default::default() },
            "of each foreground class only the largest component is kept\n",
        ),
        (
            "flags",
            &["--keep-largest=false", "--min-component", "3", "--fill-holes"],
            PostProcessing { min_component: 3, keep_largest: false, fill_holes: true },
            "of each foreground class components of fewer than 3 voxels are dropped, then holes are filled\n",
        ),
    ] {
        let printed = predict(out, flags);
        assert!(printed.contains(words), "{printed}");
        let mut want = plain.clone();
        settings.apply(&mut want, small::SHAPE);
        assert!(want != plain, "{out}: there is something to do");
        let found: Vec<u8> = place.values(&format!("{out}/case_2")).iter().map(|&m| m as u8).collect();
        assert!(found == want, "{out}");
        let count = |mask: &[u8]| mask.iter().filter(|&&m| m > 0).count();
        let line = format!("{} of 2048 voxels are foreground\n", count(&want));
        assert!(printed.contains(&line), "{line}{printed}");
        let name = "probability/case_2_lesion";
        assert!(place.values(&format!("{out}/{name}")) == place.values(&format!("plain/{name}")));
    }
}
