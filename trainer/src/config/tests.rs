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
        error("training.epoch=3").contains("training.epoch: there is no such key; the nearest is epochs")
    );
    assert!(error("training.epochs=0").contains("training.epochs: is 0"));
    assert!(error("data.foreground_share=1.5").contains("from 0 to 1"));
    assert!(error("loss.name=bec").contains("bec"));
    assert!(error("training=3").contains("is a section"));
    assert!(error("training.epochs").contains("is not key=value"));
    let error = Config::load(Some(("my.toml", "loss = [")), &[]).unwrap_err().to_string();
    assert!(error.starts_with("my.toml: is not TOML"), "{error}");
}
