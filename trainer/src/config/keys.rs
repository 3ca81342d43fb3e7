//! What is said of a key that there is not: the keys that are meant.

use super::DEFAULTS;
use crate::Error;
use crate::words::either;

/// What others call it (PyTorch, Lightning, MONAI, nnU-Net, and earlier versions of this program), and the keys that say it.
const OTHER_NAMES: [(&str, &[&str]); 54] = [
    ("accumulate_grad_batches", &["training.accumulate"]),
    ("act", &["model.activation"]),
    ("augmentation.affine", &["augmentation.rotation_probability", "augmentation.scale_probability"]),
    (
        "augmentation.intensity",
        &[
            "augmentation.brightness_probability",
            "augmentation.contrast_probability",
            "augmentation.gamma_probability",
        ],
    ),
    (
        "augmentation.intensity_range",
        &["augmentation.brightness_range", "augmentation.contrast_range", "augmentation.gamma_range"],
    ),
    ("augmentation.noise", &["augmentation.noise_probability"]),
    ("augmentation.noise_range", &["augmentation.noise_deviation"]),
    ("augmentation.rotation", &["augmentation.rotation_degrees"]),
    ("augmentation.scale", &["augmentation.scale_range"]),
    ("base_lr", &["optimizer.lr"]),
    ("base_num_features", &["model.base_channels"]),
    ("beta1", &["optimizer.betas"]),
    ("beta2", &["optimizer.betas"]),
    ("class_weight", &["loss.class_weights"]),
    ("clip_grad", &["optimizer.clip_norm"]),
    ("clip_grad_norm", &["optimizer.clip_norm"]),
    ("criterion", &["loss.name"]),
    ("depth", &["model.levels"]),
    ("early_stopping", &["training.patience"]),
    ("features", &["model.base_channels"]),
    ("filters", &["model.base_channels"]),
    ("foreground", &["data.foreground_share"]),
    ("foreground_fraction", &["data.foreground_share"]),
    ("gradient_accumulation_steps", &["training.accumulate"]),
    ("gradient_clip_val", &["optimizer.clip_norm"]),
    ("initial_lr", &["optimizer.lr"]),
    ("iterations", &["training.steps_per_epoch"]),
    ("kernel_size", &["model.kernels"]),
    ("learning_rate", &["optimizer.lr"]),
    ("loss_function", &["loss.name"]),
    ("lr_scheduler", &["schedule.name"]),
    ("max_epochs", &["training.epochs"]),
    ("max_lr", &["optimizer.lr"]),
    ("mirroring", &["inference.mirror"]),
    ("model.normalization", &["model.norm"]),
    ("n_folds", &["validation.folds"]),
    ("num_iterations_per_epoch", &["training.steps_per_epoch"]),
    ("num_workers", &["training.threads"]),
    ("oversample_foreground_percent", &["data.foreground_share"]),
    ("pixdim", &["data.spacing"]),
    ("random_state", &["training.seed"]),
    ("roi_size", &["data.patch_size"]),
    ("save_every", &["training.checkpoint_minutes", "training.checkpoint_steps"]),
    ("scheduler", &["schedule.name"]),
    ("step_size", &["schedule.every"]),
    ("test_time_augmentation", &["inference.mirror"]),
    ("tile_step_size", &["inference.overlap"]),
    ("tta", &["inference.mirror"]),
    ("val_check_interval", &["validation.every"]),
    ("validation_split", &["validation.folds", "validation.split"]),
    ("warmup_epochs", &["schedule.warmup_steps"]),
    ("wd", &["optimizer.weight_decay"]),
    ("weight", &["loss.pos_weight", "loss.class_weights"]),
    ("workers", &["training.threads"]),
];

/// So many keys are offered at most.
const OFFERED: usize = 3;

/// The error of a key that there is not.
pub(super) fn unknown(path: &str) -> Error {
    let message = match meant(path).as_slice() {
        [] => "there is no such key; `trainer config` lists them all".to_owned(),
        keys => format!(
            "there is no such key; did you mean {}? `trainer config` explains {}",
            either(keys),
            if keys.len() == 1 { "it" } else { "them" }
        ),
    };
    Error::config(path, message)
}

/// The error of a section that is given a value.
pub(super) fn is_section(section: &str) -> Error {
    let keys: Vec<String> = all().into_iter().filter(|key| section_of(key) == section).collect();
    let name = format!("{section}.name");
    let example = keys.iter().find(|&key| *key == name).or(keys.first()).cloned().unwrap_or_default();
    Error::config(section, format!("is a section: name one of its keys, such as {example}"))
}

/// The keys that a name which is none stands for, the likeliest first: those that say the same under their own name; those
/// that are called so in another section; those that are spelled nearly so; and those whose name holds it.
pub(crate) fn meant(path: &str) -> Vec<String> {
    let (section, name) = (section_of(path), plain(name_of(path)));
    let is_it = |other: &str| plain(other) == plain(path) || plain(other) == name;
    if let Some((_, keys)) = OTHER_NAMES.iter().find(|(other, _)| is_it(other)) {
        return keys.iter().map(|&key| key.to_owned()).collect();
    }
    let (keys, letters) = (all(), name.chars().count());
    let slips = |key: &str| edit_distance(&plain(name_of(key)), &name);
    let is_own = |key: &String| section_of(key).eq_ignore_ascii_case(section);
    let least = |of: &dyn Fn(&String) -> bool| keys.iter().filter(|&key| of(key)).map(|key| slips(key)).min();
    // Slips leave half of the word where its section is known, and two thirds elsewhere.
    let near_own = least(&is_own).filter(|slips| 2 * slips <= letters);
    let near = least(&|_| true).filter(|slips| 3 * slips <= letters);
    let holds = |key: &str| {
        let key = plain(name_of(key));
        key.len().min(name.len()) > 2 && (key.contains(&name) || name.contains(&key))
    };
    let ranks: [&dyn Fn(&String) -> bool; 4] = [
        &|key| slips(key) == 0,
        &|key| is_own(key) && Some(slips(key)) == near_own,
        &|key| Some(slips(key)) == near,
        &|key| holds(key),
    ];
    let of_rank = |is_meant: &&dyn Fn(&String) -> bool| {
        let mut found: Vec<String> = keys.iter().filter(|&key| is_meant(key)).cloned().collect();
        if found.iter().any(is_own) {
            found.retain(is_own);
        }
        found.truncate(OFFERED);
        found
    };
    ranks.iter().map(of_rank).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Every key with its section, in the default's order of sections.
fn all() -> Vec<String> {
    super::keys(&DEFAULTS).into_keys().collect()
}

fn section_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

/// Without what people write differently.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The fewest letters that are replaced, put in, taken out or swapped with the next to make one word of the other: the
/// restricted distance of Damerau, row by row.
pub(super) fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_names_are_no_keys_and_stand_for_keys() {
        let keys = all();
        for (name, meant) in OTHER_NAMES {
            assert!(!keys.iter().any(|key| key == name || name_of(key) == name), "{name} is a key");
            for key in meant {
                assert!(keys.iter().any(|known| known == key), "{name}: {key} is no key");
            }
        }
        assert!(OTHER_NAMES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn a_name_of_another_section_or_none_is_found_by_its_last_part() {
        for key in all() {
            let found = meant(name_of(&key));
            let is_often = all().iter().filter(|other| name_of(other) == name_of(&key)).count() > OFFERED;
            assert!(found.contains(&key) || is_often, "{key}: {found:?}");
            assert_eq!(meant(&key.to_uppercase().replace('_', "-")), meant(&key), "{key}");
        }
    }

    #[test]
    fn what_people_type_is_understood() {
        for (typed, key) in [
            ("epochs", "training.epochs"),
            ("train.epochs", "training.epochs"),
            ("training.epoch", "training.epochs"),
            ("num_epochs", "training.epochs"),
            ("learning-rate", "optimizer.lr"),
            ("lr", "optimizer.lr"),
            ("training.lr", "optimizer.lr"),
            ("optimiser.lr", "optimizer.lr"),
            ("batchsize", "data.batch_size"),
            ("data.batch", "data.batch_size"),
            ("loss.nmae", "loss.name"),
            ("loss.weight", "loss.pos_weight, loss.class_weights"),
            ("patch", "data.patch_size, data.patch_voxels"),
            ("deepsupervision", "model.deep_supervision"),
            ("dropout_rate", "model.dropout"),
            ("name", "loss.name, optimizer.name, schedule.name"),
            ("loss.pos_wait", "loss.pos_weight"),
            ("zzz", ""),
        ] {
            assert_eq!(meant(typed).join(", "), key, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_a_distance(a in "[abc]{0,6}", b in "[abc]{0,6}", at in 0usize..6) {
            let distance = edit_distance(&a, &b);
            prop_assert_eq!(distance, edit_distance(&b, &a));
            prop_assert_eq!(distance == 0, a == b);
            prop_assert!(distance <= a.len().max(b.len()) && distance >= a.len().abs_diff(b.len()));
            let mut swapped: Vec<char> = a.chars().collect();
            if at + 1 < swapped.len() {
                swapped.swap(at, at + 1);
            }
            prop_assert!(edit_distance(&a, &swapped.iter().collect::<String>()) <= 1);
        }
    }
}
