use super::*;

#[test]
fn the_default_is_valid_and_survives_being_written() {
    let default = Config::default().validated().unwrap();
    assert_eq!(Config::load(Some(("written", &default.to_toml())), &[]).unwrap(), default);
}

#[test]
fn every_key_of_the_default_has_a_comment_above_or_with_its_neighbours() {
    let mut commented = false;
    for line in DEFAULT.lines() {
        match line.trim() {
            l if l.starts_with('#') => commented = true,
            l if l.is_empty() || l.starts_with('[') => commented = false,
            l => assert!(commented, "no comment above {l}"),
        }
    }
}

#[test]
fn single_keys_are_replaced_in_files_and_on_the_command_line() {
    let file = "[loss]\npos_weight = 10\n[model]\nactivation = \"relu\"\nnorm = { group = 4 }\n";
    let set = ["training.epochs=3".to_owned(), "data.patch_size=[8, 16, 16]".into(), "loss.name=bce".into()];
    let config = Config::load(Some(("my.toml", file)), &set).unwrap();
    assert_eq!(config.loss.pos_weight, Auto::Value(10.0));
    assert_eq!(config.loss.name, LossName::Bce);
    assert_eq!(config.training.epochs, 3);
    assert_eq!(config.data.patch_size, Auto::Value([8, 16, 16]));
    assert_eq!(config.model.norm, unet3d::Norm::Group(4));
    assert_eq!(config.optimizer, Config::default().optimizer);
    assert_eq!(Config::load(None, &["optimizer.lr=1".into()]).unwrap().optimizer.lr, 1.0);
}

#[test]
fn a_wrong_key_or_value_is_named_with_its_remedy() {
    let error = |set: &str| Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
    assert!(
        error("training.epoch=3")
            .contains("training.epoch: there is no such key; did you mean training.epochs?")
    );
    assert!(error("epochs=ten").contains("epochs: there is no such key; did you mean training.epochs?"));
    assert!(
        error("optimiser.lr=1").contains("optimiser.lr: there is no such key; did you mean optimizer.lr?")
    );
    assert!(error("zzz=1").ends_with("zzz: there is no such key; `trainer config` lists them all"));
    assert!(error("training.epochs=0").contains("training.epochs: is 0"));
    assert!(error("data.foreground_share=1.5").contains("from 0 to 1"));
    assert!(error("data.empty_share=-1").contains("data.empty_share: is -1: a number from 0 to 1"));
    assert!(error("data.empty_share=none").contains("data.empty_share: is \"none\""));
    assert!(error("data.balance=voxel").contains("voxel"));
    assert!(error("loss.name=bec").contains("bec"));
    assert!(error("training=3").contains("is a section: name one of its keys, such as training.accumulate"));
    assert!(error("loss=dice").contains("is a section: name one of its keys, such as loss.name"));
    assert!(error("training.epochs").contains("is not key=value"));
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_the_file() {
    let error = |text: &str| Config::load(Some(("my.toml", text)), &[]).unwrap_err().to_string();
    for (text, place) in [
        ("loss = [", "line 1, column 9"),
        ("[training]\nepochs = 5\nseed = \n", "line 3, column 8"),
        ("{\"labels\": 1}", "line 1, column 1"),
        ("[training]\n\n= 5", "line 3, column 1"),
    ] {
        let said = error(text);
        assert!(said.starts_with(&format!("my.toml: is not TOML at {place}: ")), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = error("[training]\nepochs = \"ten\"");
    assert!(said.starts_with("my.toml: training.epochs: is \"ten\", but takes a whole number"), "{said}");
    assert!(error("[train]\nepochs = 3").starts_with("my.toml: train.epochs: there is no such key; did you"));
}

#[test]
fn keys_that_are_said_otherwise_name_the_keys_that_say_it() {
    let error = |set: &str| Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
    for (old, new) in [
        ("affine=0.3", "rotation_probability"),
        ("rotation=15", "rotation_degrees"),
        ("scale=[0.9,1.1]", "scale_range"),
        ("intensity=0.5", "gamma_probability"),
        ("intensity_range=0.2", "contrast_range"),
        ("noise=0.2", "noise_probability"),
        ("noise_range=0.1", "noise_deviation"),
    ] {
        let message = error(&format!("augmentation.{old}"));
        assert!(
            message
                .contains(&format!("augmentation.{}: there is no such key", old.split_once('=').unwrap().0))
        );
        assert!(message.contains(&format!("augmentation.{new}")), "{message}");
    }
    let text = "[augmentation]\nnoise = 0.2\n[inference]\noverlap = 0.25\n";
    assert!(Config::load(Some(("run", text)), &[]).unwrap_err().to_string().contains("noise_probability"));
    assert_eq!(Config::for_prediction("run", text).unwrap().inference.overlap, 0.25);
}

#[test]
fn augmentation_that_cannot_be_drawn_is_refused_by_name() {
    for (set, message) in [
        ("flip=[0.5,1.5,0.5]", "flip: is 1.5: a number from 0 to 1"),
        ("blur_probability=-0.1", "blur_probability: is -0.1"),
        ("gamma_inverted_probability=nan", "gamma_inverted_probability: is NaN"),
        ("scale_range=[1.2,0.8]", "scale_range: is [1.2, 0.8]: two ascending numbers from 0.1 to 10"),
        ("scale_range=[0,1]", "scale_range: is [0, 1]"),
        ("noise_deviation=[0,inf]", "noise_deviation: is [0, inf]"),
        (
            "low_resolution_zoom=[0.5,2]",
            "low_resolution_zoom: is [0.5, 2]: two ascending numbers from 0.05 to 1",
        ),
        ("rotation_degrees=200", "rotation_degrees: is 200: an angle from 0 to 180"),
        ("elastic_spacing=0", "elastic_spacing: is 0: a length above 0 mm"),
        (
            "elastic_magnitude=9",
            "elastic_magnitude: is 9: from 0 to 0.4 of augmentation.elastic_spacing, which is 20 mm",
        ),
    ] {
        let error = Config::load(None, &[format!("augmentation.{set}")]).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
