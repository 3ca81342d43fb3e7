//! Mistakes as they are typed, and what is said of them: what is wrong, what is there instead, and what to type.

use std::fs;
use std::path::Path;

use super::{Place, Said, refuses, say, succeeds};

/// A data set, a run's folder, images, masks and what is none of them, by the names that the mistakes are typed with.
fn place() -> Place {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    for folder in ["run/checkpoints/best", "images", "empty"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    for file in ["state.bin", "weights.safetensors"] {
        let name = format!("checkpoints/best/{file}");
        fs::copy(golden.join("version_4/one").join(&name), place.path("run").join(&name)).unwrap();
    }
    fs::copy(golden.join("image/d_0000.nii.gz"), place.path("images/d_0000.nii.gz")).unwrap();
    fs::write(place.path("broken.toml"), "[training]\nepochs = 5\nseed = \n").unwrap();
    fs::write(place.path("ten.toml"), "[training]\nepochs = \"ten\"\n").unwrap();
    place
}

/// The words of a line, of which those in capitals are paths of the place.
fn typed(place: &Place, line: &str) -> Vec<String> {
    let is_path = |word: &str| word.starts_with(char::is_uppercase);
    let path = |word: &str| match is_path(word) {
        true => {
            place.text(&word.to_lowercase().replace("labelstr", "labelsTr").replace("imagestr", "imagesTr"))
        }
        false => word.to_owned(),
    };
    line.split(' ').map(path).collect()
}

#[test]
fn mistakes_with_folders_and_files_say_what_is_there_and_what_is_wanted() {
    let place = place();
    for (line, wanted) in [
        (
            "inspect RUN",
            "run: is the folder of a run and no data set; name the folder that holds dataset.json",
        ),
        ("train RUN --out NEW", "is the folder of a run and no data set"),
        ("plan DATA/IMAGESTR", "is a part of the data set that is the folder above: name that one"),
        (
            "verify IMAGES",
            "holds volumes, but no dataset.json that says what they are: `trainer convert --images ",
        ),
        ("plan DATA/DATASET.JSON", "is a file; name the folder that holds dataset.json"),
        (
            "plan DATA --config NOWHERE.TOML",
            "nowhere.toml: does not exist; `trainer config > FILE.toml` writes",
        ),
        ("plan DATA --config BROKEN.TOML", "broken.toml: is not TOML at line 3, column 8: "),
        ("plan DATA --config TEN.TOML", "ten.toml: training.epochs: is \"ten\", but takes a whole number"),
        ("train DATA --out DATA", "data: is not empty: name another --out, a folder that is new or empty"),
        ("train DATA --out RUN", "run: is not empty: name another --out"),
        (
            "train DATA --out EMPTY --resume",
            "empty: is no run folder (it holds no checkpoints): name the --out",
        ),
        ("train DATA --out NOWHERE --resume", "nowhere: does not exist, and so it is no run folder"),
        ("train DATA --out NEW --folds 9", "is 9 for 4 training cases: --folds takes 2 to 4 here"),
        (
            "train DATA --out NEW --set optimizer.lr=0",
            "configuration: optimizer.lr: is 0, with which nothing is",
        ),
        (
            "plan DATA --set optimizer.lr=0",
            "optimizer.lr: is 0, with which nothing is learnt: give a rate above 0",
        ),
        ("predict DATA IMAGES --out NEW", "data: is a data set, and so it is no run folder"),
        ("predict IMAGES RUN --out NEW", "images: holds volumes, and so it is no run folder"),
        ("predict NOWHERE IMAGES --out NEW", "nowhere: does not exist, and so it is no run folder"),
        ("predict RUN DATA --out NEW", "data: holds no images; name its imagesTs"),
        ("predict RUN EMPTY --out NEW", "empty: holds no images; name a folder with"),
        (
            "evaluate --predictions NOWHERE --labels DATA/LABELSTR",
            "nowhere: does not exist; name the folder of masks",
        ),
        (
            "evaluate --predictions IMAGES --labels NOWHERE",
            "nowhere: does not exist; name the folder of labels",
        ),
        (
            "evaluate --predictions DATA --labels DATA/LABELSTR",
            "data: holds no volume (.nii.gz, .nrrd, …); name its labelsTr",
        ),
        ("evaluate --predictions DATA/IMAGESTR --labels DATA/LABELSTR", "imagesTr holds images"),
        (
            "convert --images DATA/LABELSTR --masks DATA/IMAGESTR --out CONVERTED",
            "(CASE_0000), and --images names ",
        ),
        ("explain DATA --loss bcee", "loss.name: is \"bcee\", but takes \"bce\", "),
        ("explain DATA --loss bcee", "did you mean \"bce\"?"),
        ("explain DATA --pos-weight 0", "--pos-weight 0: a finite number above 0 is needed"),
    ] {
        let words = typed(&place, line);
        let error = refuses(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains(wanted), "{line}\n{error}");
        assert_eq!(error.lines().count(), 1, "{line}\n{error}");
        assert!(!error.contains("untagged") && !error.contains("invalid type"), "{line}\n{error}");
    }
}

#[test]
fn swapped_folders_of_an_evaluation_are_told() {
    let place = place();
    fs::create_dir(place.path("masks")).unwrap();
    for entry in fs::read_dir(place.path("data/labelsTr")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, place.path("masks").join(path.file_name().unwrap())).unwrap();
    }
    let (masks, labels) = (place.text("masks"), place.text("data/labelsTr"));
    let said = "warning: the predictions lie in a data set and the labels do not";
    assert!(succeeds(&["evaluate", "--predictions", &labels, "--labels", &masks]).contains(said));
    assert!(!succeeds(&["evaluate", "--predictions", &masks, "--labels", &labels]).contains(said));
    assert!(!succeeds(&["evaluate", "--predictions", &labels, "--labels", &labels]).contains(said));
}

#[test]
fn the_loss_in_use_is_told_by_plan_train_and_explain() {
    let place = Place::new();
    let plan = succeeds(&["plan", &place.text("data")]);
    let line = "loss \"dice_bce\", which \"auto\" is for one foreground class: the sum of soft Dice over each batch (smooth 0.00001) and binary cross-entropy (positives not weighted)\n";
    assert!(plan.contains(line), "{plan}");
    let trained = place.train("run", &["--set", "loss.pos_weight=auto", "--set", "loss.name=bce"]);
    let (negatives, positives) = (2048 - 27, 27);
    let line = format!(
        "\nloss \"bce\": binary cross-entropy (pos_weight {:.4}); weights by \"auto\", from the voxels of the training cases\n",
        f64::from(negatives) / f64::from(positives)
    );
    assert!(trained.contains(&line), "{trained}");
    let explained = succeeds(&["explain", &place.text("data")]);
    assert!(
        explained.contains("\nThe loss \"dice_bce\", which \"auto\" and so the default is here, has"),
        "{explained}"
    );
    let several = Place::with(super::small::SHAPE, 1, 3, [4, 0]);
    let plan = succeeds(&["plan", &several.text("data"), "--set", "loss.class_weights=[1,2,30]"]);
    let line = "loss \"dice_ce\", which \"auto\" is for several foreground classes: the sum of soft Dice over each batch";
    assert!(plan.contains(line) && plan.contains("(class weights 1.0000, 2.0000, 30.0000)"), "{plan}");
}

#[test]
fn threads_are_counted_as_they_are_used() {
    let place = Place::new();
    let one = place.train("one", &["--threads", "1"]);
    assert!(one.contains(", 1 thread, lr "), "{one}");
    let three = place.train("three", &["--threads", "3"]);
    assert!(three.contains(", 3 threads, lr "), "{three}");
}

#[test]
fn shells_complete_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(&["completions", shell]);
        for word in ["evaluate", "steps-per-epoch", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let Said { code, stderr, .. } = say(&["completions", "csh"]);
    assert!(code == Some(2) && stderr.contains("bash"), "{stderr}");
}

#[test]
fn help_shows_each_command_in_use() {
    for command in ["train", "predict", "evaluate", "convert"] {
        let help = succeeds(&[command, "--help"]);
        assert!(
            help.contains("Examples:\n  # ") && help.contains(&format!("\n  trainer {command} ")),
            "{help}"
        );
    }
}
