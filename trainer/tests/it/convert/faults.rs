//! What is wrong with images and masks is listed at once, each with its remedy, and nothing is written.

use std::fs;

use volumes::nifti::NiftiHeader;

use super::{FOLDERS, Place, good, header, image, made};

/// Each finding's subject and message, and below it the remedy.
#[track_caller]
pub(super) fn has(page: &str, finding: &str, remedy: &str) {
    let lines: Vec<&str> = page.lines().collect();
    let found = lines.windows(2).any(|pair| pair[0].contains(finding) && pair[1].contains(remedy));
    assert!(found, "{finding} -> {remedy} is missing:\n{page}");
}

#[test]
fn all_faults_are_listed_at_once() {
    let place = good();
    for name in ["c", "d", "e", "f", "g", "h"] {
        place.put(&format!("images/{name}.nii.gz"), image);
        place.put(&format!("masks/{name}.nii.gz"), |i| u8::from(i % 5 == 1));
    }
    place.put_at("masks/a.nii.gz", &NiftiHeader::new([6, 5, 3], [1.0, 1.5, 3.0]), |_| 1u8);
    let mut moved = header();
    moved.srow[1][3] = 9.0;
    place.put_at("masks/b.nii.gz", &moved, |i| u8::from(i == 3));
    place.put("masks/c.nii.gz", |i| if i == 4 { 0.25f32 } else { 1.0 });
    place.put("images/d.nii.gz", |i| if i == 4 { f32::NAN } else { 1.0 });
    let cut = fs::read(place.path("images/e.nii.gz")).unwrap();
    place.write("images/e.nii.gz", &cut[..cut.len() / 2]);
    fs::remove_file(place.path("masks/f.nii.gz")).unwrap();
    fs::remove_file(place.path("images/g.nii.gz")).unwrap();
    place.put_at("images/h.nii.gz", &NiftiHeader { shape: vec![6, 5, 4, 2], ..header() }, |i| i as f32);
    let (page, error) = place.refuses(&FOLDERS);
    has(
        &page,
        "case a: the label map, masks/a.nii.gz, has shape [6, 5, 3] but images/a.nii.gz has [6, 5, 4]",
        "resample",
    );
    has(
        &page,
        "masks/b.nii.gz: by the headers its voxels lie up to 9.000 mm from those of images/b.nii.gz",
        "the same affine",
    );
    has(&page, "masks/c.nii.gz: holds 0.25, which is no whole number (in 1 voxel)", "nearest neighbour");
    has(&page, "images/d.nii.gz: holds 1 voxel that are NaN or infinite", "replace them");
    has(&page, "images/e.nii.gz: the gzip stream is cut or damaged", "copy or export");
    has(&page, "case f: images/f.nii.gz has no mask", "or name the case in --test f");
    has(&page, "masks/g.nii.gz: is a mask without image", "name it as its image");
    let table = "by --csv FILE, a table with the columns image, mask and perhaps case, split";
    has(&page, "case f: images/f.nii.gz has no mask", table);
    has(&page, "masks/g.nii.gz: is a mask without image", table);
    has(&page, "case h: has 2 channels, but a has 1", "the same channels");
    assert!(page.ends_with("8 errors, 0 warnings\n"), "{page}");
    assert_eq!(error, "error: out: is not written: correct the 8 errors above and convert again\n");
}

#[test]
fn a_mask_of_0_and_255_is_refused_with_the_flag_that_maps_it() {
    let place = good();
    place.put("masks/b.nii.gz", |i| if i % 9 == 2 { 255u8 } else { 0 });
    place.put("masks/a.nii.gz", |i| if i % 9 == 1 { 255u8 } else { 0 });
    let (page, error) = place.refuses(&FOLDERS);
    assert_eq!(error, "error: out: is not written: correct the error above and convert again\n");
    has(&page, "masks/a.nii.gz: the masks hold 255 beside 0", "if 255 is the foreground, give --label 255=1");
    assert!(page.ends_with("1 error, 0 warnings\n"), "one mistake is named once:\n{page}");
    place.converts(&[&FOLDERS[..], &["--label", "255=1", "--names", "lesion"]].concat());
    let labels = &super::json(&place.path("out/dataset.json"))["labels"];
    assert_eq!(labels, &serde_json::json!({"background": 0, "lesion": 1}));
    let written = volumes::Stored::read(place.path("out/labelsTr/b.nii.gz")).unwrap();
    let want: Vec<u8> = (0..120).map(|i| u8::from(i % 9 == 2)).collect();
    assert_eq!(written.stored::<u8>(), Some(want));
}

#[test]
fn values_with_gaps_are_refused_with_a_mapping_that_closes_them() {
    let place = good();
    place.put("masks/a.nii.gz", |i| [0u8, 1, 2, 4][i % 4]);
    let (page, _) = place.refuses(&FOLDERS);
    let flags = "--label 1=1 --label 2=2 --label 4=3";
    has(&page, "masks/a.nii.gz: the masks hold 1, 2, 4 beside 0", flags);
    let args: Vec<&str> = FOLDERS.into_iter().chain(flags.split(' ')).collect();
    place.converts(&args);
    let labels = &super::json(&place.path("out/dataset.json"))["labels"];
    assert_eq!(labels, &serde_json::json!({"background": 0, "class_1": 1, "class_2": 2, "class_3": 3}));
    fs::remove_dir_all(place.path("out")).unwrap();
    // With all classes named, one may occur nowhere.
    let printed = place.converts(&[&FOLDERS[..], &["--names", "w,x,y,z"]].concat());
    assert!(printed.contains("class \"y\" = 3 occurs in none of 2 training label maps"), "{printed}");
    fs::remove_dir_all(place.path("out")).unwrap();
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--names", "x,y"]].concat());
    has(&page, "where --names names the classes 1 to 2", flags);
    // A value that no flag names.
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--label", "1=1", "--label", "4=2"]].concat());
    has(&page, "masks/a.nii.gz: holds 2 (30 voxels), which no --label names", "give --label 2=CLASS");
}

#[test]
fn images_in_place_of_masks_and_masks_without_foreground_are_told_apart() {
    let place = good();
    place.put("masks/a.nii.gz", |i| i as u8);
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "the masks hold 1, 2, 3, 4, 5 and 114 more values beside 0, as an image would", "label maps");
    for name in ["a", "b"] {
        place.put(&format!("masks/{name}.nii.gz"), |_| 0u8);
    }
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "masks/a.nii.gz: holds no foreground, nor does any other mask", "with --names");
    place.put_at("masks/b.nii.gz", &NiftiHeader { shape: vec![6, 5, 4, 3], ..header() }, |_| 1u8);
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "masks/b.nii.gz: has 3 values at each place, shape [6, 5, 4, 3]", "one label map");
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let place = good();
    place.put("masks/a_mask.nii.gz", |_| 1u8);
    place.put("masks/b_seg.nii.gz", |_| 1u8);
    place.put("images/x_0001.nii.gz", image);
    place.put("images/b.nrrd.nii", image);
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--test", "x,nobody"]].concat());
    has(&page, "masks/a_mask.nii.gz: is a mask without image", "take it away");
    has(&page, "masks/b_seg.nii.gz: is a mask without image", "take it away");
    has(&page, "case x: has the channels [1], which must be 0, 1, …", "from x_0000 on");
    has(&page, "are both channel 0 of case b", "take one away");
    has(&page, "case nobody: is named by --test, but has no image", "name cases as their images");
    assert!(page.ends_with("5 errors, 0 warnings\n"), "{page}");

    let place = good();
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--test", "a,b"]].concat());
    has(&page, "images: no case is left for training", "fewer cases for testing");
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--channel-names", "T1,T2"]].concat());
    has(&page, "case a: has 1 channel, but --channel-names names 2", "name each channel once");
    fs::create_dir(place.path("empty")).unwrap();
    let (page, _) = place.refuses(&["--images", "images", "--masks", "empty"]);
    has(&page, "empty: holds no volumes", "name a folder of .nii.gz");
    assert!(page.ends_with("1 error, 0 warnings\n"), "{page}");
    let (page, _) = place.refuses(&["--images", "images", "--masks", "images"]);
    has(&page, "images: holds no masks: no name ends in _mask, _seg or _label", "name the masks' folder");
}

#[test]
fn an_array_in_the_order_of_nifti_is_recognised() {
    let place = Place::new();
    place.put("images/a.nii.gz", image);
    place.write("masks/a.npy", made::npy("|u1", false, "(6, 5, 4)", &[1; 120]));
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "masks/a.npy, has shape [4, 5, 6]", "its axes are in reverse order: save it transposed");
}

#[test]
fn flags_that_contradict_each_other_are_refused_before_anything_is_read() {
    let place = good();
    for (flags, want) in [
        (&["--label", "255=1", "--label", "255=2"][..], "--label: 255 is both 1 and 2; give one of them"),
        (&["--label", "1=0"], "--label: no value is a foreground class; give such as --label 255=1"),
        (&["--label", "7=2"], "--label: no value is class 1, but one is 2; number the classes 1, 2, …"),
        (&["--label", "7=2", "--names", "x"], "--label: a value is class 2, but --names names 1"),
        (
            &["--label", "255=1", "--label", "255=ignore"],
            "--label: 255 is both 1 and ignore; give one of them",
        ),
        (&["--label", "0=0", "--label", "7=ignore"], "--label: no value is a foreground class"),
        (
            &["--label", "2=ignore", "--names", "x,y"],
            "--label: 2 is to be ignored, but --names names class 2; give the classes of all other values",
        ),
        (&["--names", "x,x"], "--names: \"x\" is there twice"),
        (&["--names", "x,Background"], "--names: \"Background\" has a meaning of its own"),
        (&["--names", "x,,y"], "--names: \"\" is empty"),
    ] {
        let (printed, error) = place.refuses(&[&FOLDERS[..], flags].concat());
        assert_eq!(printed, "");
        assert!(error.starts_with(&format!("error: {want}")), "{error}");
    }
    let (_, error) = place.refuses(&["--images", "nowhere", "--masks", "masks"]);
    assert_eq!(error, "error: nowhere: does not exist; --images names a folder of volumes\n");
    // What clap refuses ends with 2.
    for (flags, want) in [
        (&["--label", "255=255"][..], "255=255 is not VALUE=CLASS with a class from 0 to 254, such as 255=1"),
        (&["--label", "lesion"], "lesion is not VALUE=CLASS"),
        (&["--label", "255=ignored"], "nor VALUE=ignore"),
        (&["--geometry", "mask"], "[possible values: agree, image]"),
        (&["--spacing", "1,1"], "three lengths above 0 in mm are needed"),
        (&["--spacing", "1,0,1"], "three lengths above 0 in mm are needed"),
        (&["--spacing", "1,x,1,1"], "three lengths above 0 in mm are needed"),
        (&["--csv", "pairs.csv"], "cannot be used with"),
    ] {
        let said = place.say(&[&FOLDERS[..], flags, &["--out", "out"]].concat());
        assert_eq!(said.code, Some(2));
        assert!(said.stderr.contains(want), "{}", said.stderr);
    }
    assert_eq!(place.say(&["--images", "images", "--out", "out"]).code, Some(2));
    assert_eq!(place.say(&["--out", "out"]).code, Some(2));
}
