//! Voxels to leave out: `--label 255=ignore`.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use serde_json::json;
use trainer::curate::convert::{Conversion, MaskPlacement, Pairs, Relabel};
use trainer::dataset::{Dataset, IGNORE};

use super::faults::has;
use super::{FOLDERS, Place, good, image, json};

/// What the masks of [`good`] hold instead, from four values in turn.
fn with_values(values: [u8; 4]) -> Place {
    let place = good();
    for name in ["a", "b"] {
        place.put(&format!("masks/{name}.nii.gz"), |i| values[(i + name.len()) % 4]);
    }
    place
}

fn written(place: &Place, name: &str) -> Vec<u8> {
    volumes::Stored::read(place.path(name)).unwrap().stored::<u8>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_values_become_classes_and_the_label_after_them(
        values in Just((-40..40i16).collect::<Vec<_>>()).prop_shuffle(),
        classes in 1usize..6,
        ignored in 0usize..4,
        by_table in any::<bool>(),
        seed in any::<usize>(),
    ) {
        // 0 has the first place, so that no value of it is the background by itself.
        let mut values: Vec<i16> = values.into_iter().filter(|&v| v != 0).collect();
        values.insert(seed % (classes + ignored + 1), 0);
        let values = &values[..=classes + ignored];
        let meaning = |i: usize| if i <= classes { i as u8 } else { IGNORE };
        let place = Place::new();
        place.put("images/a.nii.gz", image);
        let chosen = |i: usize| (i.wrapping_mul(0x9e37_79b9) ^ seed) % values.len();
        place.put("masks/a.nii.gz", |i| values[chosen(i)]);
        place.write("pairs.csv", "image,mask\nimages/a.nii.gz,masks/a.nii.gz\n");
        let folders =
            Pairs::Folders { images: place.path("images"), masks: place.path("masks"), test: vec![] };
        let conversion = Conversion {
            pairs: if by_table { Pairs::Table(place.path("pairs.csv")) } else { folders },
            out: place.path("out"),
            labels: values.iter().enumerate().map(|(i, &v)| Relabel { value: v.into(), class: meaning(i) }).collect(),
            names: vec![],
            channel_names: vec![],
            spacing: None,
            geometry: MaskPlacement::Agree,
        };
        let checked = conversion.check(&mut |_| true).unwrap().unwrap();
        prop_assert_eq!(checked.found.errors, 0, "{}", checked.found);
        prop_assert_eq!(checked.write(&mut |_| true).unwrap().unwrap().errors, 0);

        let labels: BTreeMap<String, usize> =
            serde_json::from_value(json(&place.path("out/dataset.json"))["labels"].clone()).unwrap();
        prop_assert_eq!(labels.get("ignore").copied(), (ignored > 0).then_some(classes + 1));
        let mut numbers: Vec<usize> = labels.into_values().collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (0..=classes + usize::from(ignored > 0)).collect::<Vec<_>>());
        let want: Vec<u8> = (0..120).map(|i| chosen(i).min(classes + 1) as u8).collect();
        prop_assert_eq!(written(&place, "out/labelsTr/a.nii.gz"), want);
        let description = Dataset::open(place.path("out")).unwrap().description;
        prop_assert_eq!(description.ignore, (ignored > 0).then_some(classes as u32 + 1));
    }
}

#[test]
fn given_alone_it_leaves_all_other_values_classes() {
    let place = with_values([0, 1, 2, 255]);
    let folder = [&FOLDERS[..], &["--label", "255=ignore"]].concat();
    place.write("pairs.csv", "image,mask\nimages/a.nii.gz,masks/a.nii.gz\nimages/b.nii.gz,masks/b.nii.gz\n");
    let table = ["--csv", "pairs.csv", "--label", "255=IGNORE"];
    for args in [&folder[..], &table] {
        place.converts(args);
        let labels = &json(&place.path("out/dataset.json"))["labels"];
        assert_eq!(labels, &json!({"background": 0, "class_1": 1, "class_2": 2, "ignore": 3}));
        let want: Vec<u8> = (0..120).map(|i| [0, 1, 2, 3][(i + 1) % 4]).collect();
        assert_eq!(written(&place, "out/labelsTr/a.nii.gz"), want);
        fs::remove_dir_all(place.path("out")).unwrap();
    }
    // Named classes that no voxel has come before it.
    place.converts(&[&folder[..], &["--names", "x,y,z"]].concat());
    let labels = &json(&place.path("out/dataset.json"))["labels"];
    assert_eq!(labels, &json!({"background": 0, "x": 1, "y": 2, "z": 3, "ignore": 4}));
}

#[test]
fn values_without_a_class_are_refused_with_the_flag_that_ignores_them() {
    let place = with_values([0, 1, 2, 255]);
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "masks/a.nii.gz: the masks hold 1, 2, 255 beside 0", "=ignore, such as --label 255=ignore");
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--label", "1=1", "--label", "2=1"]].concat());
    has(
        &page,
        "masks/a.nii.gz: holds 255 (30 voxels), which no --label names",
        "--label 255=ignore to leave",
    );
    // What is ignored already stays so in the flags that are proposed.
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--label", "1=ignore"]].concat());
    let flags = "--label 2=1 --label 255=2 --label 1=ignore";
    has(&page, "masks/a.nii.gz: the masks hold 2, 255 beside 0", flags);
    place.converts(&FOLDERS.into_iter().chain(flags.split(' ')).collect::<Vec<_>>());
    fs::remove_dir_all(place.path("out")).unwrap();

    let place = with_values([0, 255, 0, 255]);
    let (page, _) = place.refuses(&FOLDERS);
    has(
        &page,
        "the masks hold 255 beside 0",
        "if its voxels are to be left out, --label 255=ignore and --names",
    );
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--label", "255=ignore"]].concat());
    has(&page, "holds no foreground, nor does any other mask: all voxels are 0 or ignored", "--names");
    place.converts(&[&FOLDERS[..], &["--label", "255=ignore", "--names", "x"]].concat());
}
