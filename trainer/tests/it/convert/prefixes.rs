//! Names that differ in their first word are pairs where nothing else could be meant.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::faults::has;
use super::{FOLDERS, Place, image};

fn mask(i: usize) -> u8 {
    u8::from(i % 7 == 2)
}

/// The files of `out` without their endings.
fn made(place: &Place) -> Vec<String> {
    let volumes = place.files().into_iter().filter(|name| name != "dataset.json");
    volumes.map(|name| name.replace(".nii.gz", "")).collect()
}

#[test]
fn first_words_of_public_data_sets_are_understood() {
    for (image_name, mask_name, case) in [
        ("img0001", "label0001", "img0001"),
        ("IMG0001", "Label0001", "IMG0001"),
        ("volume-0", "segmentation-0", "volume-0"),
        ("vol_12", "seg_12", "vol_12"),
        ("case_00000", "segmentation_00000", "case_00000"),
        ("scan.a", "mask.a", "scan.a"),
        ("image_a_0000", "label_a", "image_a"),
        ("a", "label_a", "a"),
        ("image_a", "a", "image_a"),
        ("image_a", "a_seg", "image_a"),
    ] {
        let place = Place::new();
        place.put(&format!("images/{image_name}.nii.gz"), image);
        place.put(&format!("masks/{mask_name}.nii"), mask);
        let printed = place.converts(&FOLDERS);
        let note = format!("paired by what follows the first word: {case} with masks/{mask_name}.nii\n");
        assert!(printed.contains(&note), "{printed}");
        assert_eq!(made(&place), [format!("imagesTr/{case}_0000"), format!("labelsTr/{case}")]);
    }
    // What a separator or number does not follow is no word of its own.
    let place = Place::new();
    place.put("images/imagery.nii.gz", image);
    place.put("masks/segry.nii.gz", mask);
    assert!(place.refuses(&FOLDERS).0.contains("2 errors"));
}

#[test]
fn one_folder_may_hold_both() {
    let place = Place::new();
    for i in 0..3 {
        place.put(&format!("all/volume-{i}.nii"), |v| image(v + 1000 * i));
        place.put(&format!("all/segmentation-{i}.nii"), |v| mask(v + i));
    }
    let printed = place.converts(&["--images", "all", "--masks", "all"]);
    assert!(printed.contains("volume-0 with all/segmentation-0.nii, and 2 more so\n"), "{printed}");
    let cases = ["volume-0", "volume-1", "volume-2"];
    let files = cases.map(|c| format!("imagesTr/{c}_0000")).into_iter();
    let files: Vec<String> = files.chain(cases.map(|c| format!("labelsTr/{c}"))).collect();
    assert_eq!(made(&place), files);
    // Where suffixes tell masks apart, a first word says nothing.
    let place = Place::new();
    place.put("all/label-study.nii", image);
    place.put("all/label-study_mask.nii", mask);
    place.converts(&["--images", "all", "--masks", "all"]);
    assert_eq!(made(&place), ["imagesTr/label-study_0000", "labelsTr/label-study"]);
}

#[test]
fn numbers_are_channels_unless_masks_of_another_word_have_them() {
    let place = Place::new();
    for name in ["case_0000", "case_0001"] {
        place.put(&format!("images/{name}.nii.gz"), |i| image(i + usize::from(name.ends_with('1'))));
        place.put(&format!("masks/{}.nii.gz", name.replace("case", "label")), mask);
    }
    place.converts(&FOLDERS);
    let cases = ["case_0000", "case_0001"];
    let files: Vec<String> = cases.map(|c| format!("imagesTr/{c}_0000")).into();
    assert_eq!(made(&place), [files, cases.map(|c| format!("labelsTr/{c}")).into()].concat());
    // A mask that is another case's already does not make cases of channels.
    let place = Place::new();
    for name in ["img_0000", "img_0001", "0001_0000", "0001_0001"] {
        place.put(&format!("images/{name}.nii.gz"), |i| image(i + name.len()));
    }
    place.put("masks/img.nii.gz", mask);
    place.put("masks/0001.nii.gz", mask);
    place.converts(&FOLDERS);
    assert_eq!(made(&place).len(), 6, "{:?}", made(&place));
}

#[test]
fn what_could_be_meant_twice_is_refused_with_the_table_that_decides() {
    let table = "by --csv FILE, a table with the columns image, mask";
    for (images, masks) in [
        (&["img1", "scan1"][..], &["label1"][..]),
        (&["img1"], &["label1", "seg1"]),
        (&["img1", "1"], &["label1", "1"]),
    ] {
        let place = Place::new();
        images.iter().for_each(|name| place.put(&format!("images/{name}.nii.gz"), image));
        masks.iter().for_each(|name| place.put(&format!("masks/{name}.nii.gz"), mask));
        let (page, _) = place.refuses(&FOLDERS);
        has(&page, "case img1: images/img1.nii.gz has no mask", table);
        has(&page, "masks/label1.nii.gz: is a mask without image", table);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A mask is written for a case only where one image and one mask have its number.
    #[test]
    fn a_pair_is_the_only_one_of_its_number(
        images in prop::collection::btree_set((0usize..6, 0usize..5), 1..7),
        masks in prop::collection::btree_set((0usize..4, 0usize..5), 1..7),
    ) {
        const IMAGES: [&str; 6] = ["image", "img_", "volume-", "vol", "scan.", "case"];
        const MASKS: [&str; 4] = ["label", "mask_", "seg-", "segmentation"];
        let place = Place::new();
        let name = |word: &str, number: usize| format!("{word}{number}");
        for &(word, number) in &images {
            place.put(&format!("images/{}.nii", name(IMAGES[word], number)), image);
        }
        for &(word, number) in &masks {
            place.put(&format!("masks/{}.nii", name(MASKS[word], number)), mask);
        }
        let conversion = place.conversion();
        let checked = conversion.check(&mut |_| true).unwrap().unwrap();
        let of = |set: &BTreeSet<(usize, usize)>, number: usize| -> Vec<usize> {
            set.iter().filter(|(_, n)| *n == number).map(|(word, _)| *word).collect()
        };
        let want: BTreeMap<String, String> = (0..5)
            .filter_map(|number| match (&of(&images, number)[..], &of(&masks, number)[..]) {
                (&[i], &[m]) => Some((name(IMAGES[i], number), name(MASKS[m], number))),
                _ => None,
            })
            .collect();
        let stem = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let found: BTreeMap<String, String> = checked
            .files()
            .iter()
            .filter(|file| file.target.starts_with("labelsTr"))
            .map(|file| (stem(&file.target).replace(".nii.gz", ""), stem(&file.source).replace(".nii", "")))
            .collect();
        let alone = images.len() + masks.len() - 2 * want.len();
        prop_assert_eq!(found, want);
        prop_assert_eq!(checked.found.errors, alone, "{}", checked.found);
    }
}
