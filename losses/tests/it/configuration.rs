//! Losses from files.

use autograd::Tensor;
use losses::{BceWithLogits, CrossEntropy, Dice, DiceBce, DiceCe, Focal, Labels, Loss, LossConfig, Tversky};

use crate::support::{noise_tensor, run};

fn parse(json: &str) -> LossConfig {
    serde_json::from_str(json).unwrap()
}

#[test]
fn defaults_in_a_file_are_those_of_the_loss() {
    let logits: Tensor<f64> = noise_tensor(1, &[2, 4, 2], 2.0);
    let labels = Labels::from_fn([2, 4], |i| if i == 3 { 255 } else { i32::from(i % 3 == 0) });
    let pairs: Vec<(&str, Box<dyn Loss<f64>>)> = vec![
        ("bce", Box::new(BceWithLogits::new().ignore_index(255))),
        ("cross_entropy", Box::new(CrossEntropy::new().ignore_index(255))),
        ("dice", Box::new(Dice::new().ignore_index(255))),
        ("generalised_dice", Box::new(losses::GeneralisedDice::new().ignore_index(255))),
        ("tversky", Box::new(Tversky::new(0.5, 0.5).ignore_index(255))),
        ("focal", Box::new(Focal::new().ignore_index(255))),
        ("dice_bce", Box::new(DiceBce::default().ignore_index(255))),
        ("dice_ce", Box::new(DiceCe::default().ignore_index(255))),
    ];
    for (kind, loss) in pairs {
        let config = parse(&format!("{{\"kind\": \"{kind}\"}}"));
        let got = run(&*config.build::<f64>(Some(255)), &logits, (&labels).into());
        assert_eq!(got, run(&*loss, &logits, (&labels).into()), "{kind}");
        // What is written is read back.
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()), config);
    }
}

#[test]
fn settings_reach_the_loss() {
    let logits: Tensor<f64> = noise_tensor(1, &[2, 4, 2], 2.0);
    let labels = Labels::from_fn([2, 4], |i| i32::from(i % 3 == 0));
    let plain = LossConfig::default();
    let of = |config: &LossConfig| run(&*config.build::<f64>(None), &logits, (&labels).into()).0[0];
    for json in [
        r#"{"kind": "bce", "pos_weight": 10}"#,
        r#"{"kind": "bce", "pos_weight": [1, 10.5]}"#,
        r#"{"kind": "cross_entropy", "class_weights": [1, 10], "label_smoothing": 0.1}"#,
        r#"{"kind": "dice", "squared": true, "regions": {"softmax": true, "include_background": false}}"#,
        r#"{"kind": "tversky", "alpha": 0.3, "beta": 0.7, "gamma": 1.5, "regions": {"batch": true}}"#,
        r#"{"kind": "focal", "gamma": 1, "alpha": 0.25}"#,
        r#"{"kind": "dice_bce", "pos_weight": 3, "dice_factor": 0.5, "batch": true}"#,
        r#"{"kind": "dice_ce", "class_weights": [1, 2], "include_background": false}"#,
    ] {
        let config = parse(json);
        config.validate(2).unwrap();
        assert_ne!(of(&config), of(&plain), "{json}");
        let kind = serde_json::to_value(&config).unwrap()["kind"].as_str().unwrap().to_owned();
        assert_ne!(of(&config), of(&parse(&format!("{{\"kind\": \"{kind}\"}}"))), "{json}");
    }
}

#[test]
fn mistakes_in_a_file_are_found_before_training() {
    assert!(serde_json::from_str::<LossConfig>(r#"{"kind": "bce", "pos_wieght": 10}"#).is_err());
    assert!(serde_json::from_str::<LossConfig>(r#"{"kind": "hinge"}"#).is_err());
    for (json, channels) in [
        (r#"{"kind": "bce", "pos_weight": [0.2, 0.8]}"#, 1),
        (r#"{"kind": "bce", "pos_weight": -1}"#, 1),
        (r#"{"kind": "cross_entropy"}"#, 1),
        (r#"{"kind": "dice_ce"}"#, 1),
        (r#"{"kind": "cross_entropy", "class_weights": [1]}"#, 2),
        (r#"{"kind": "tversky", "alpha": -1}"#, 1),
        (r#"{"kind": "focal", "gamma": -1}"#, 1),
        (r#"{"kind": "dice", "smooth": -1}"#, 1),
        (r#"{"kind": "dice_bce", "bce_factor": -1}"#, 1),
    ] {
        assert!(parse(json).validate(channels).is_err(), "{json}");
    }
    assert!(LossConfig::default().validate(0).is_err());
}

#[test]
fn the_number_of_channels_follows_from_loss_and_classes() {
    assert_eq!(parse(r#"{"kind": "dice_bce"}"#).channels_for(2), 1);
    assert_eq!(parse(r#"{"kind": "dice_bce"}"#).channels_for(4), 4);
    assert_eq!(parse(r#"{"kind": "dice_ce"}"#).channels_for(2), 2);
    assert_eq!(parse(r#"{"kind": "dice", "regions": {"softmax": true}}"#).channels_for(2), 2);
}
