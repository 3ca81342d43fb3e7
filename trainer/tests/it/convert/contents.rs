//! What folders and files hold: several arrays, palettes, slices that are named otherwise, and no volumes at all.

use std::fs;

use trainer::curate::verify::verify;
use trainer::dataset::Dataset;
use trainer::evaluate::read_labels;
use trainer::preprocess::CaseReader;

use super::faults::has;
use super::made::{directory, npy, zip};
use super::{FOLDERS, Place};

/// An image and a mask of 2 x 2 x 2 voxels in one archive.
fn archive(seed: u8) -> Vec<u8> {
    let image: Vec<u8> = (0..8).map(|i| 60 + 10 * i + seed).collect();
    let label: Vec<u8> = (0..8).map(|i| u8::from(i % 3 == seed % 3)).collect();
    let arrays = [image, label].map(|voxels| npy("|u1", false, "(2, 2, 2)", &voxels));
    zip(&[("image.npy", &arrays[0]), ("label.npy", &arrays[1])], true)
}

#[test]
fn the_array_that_is_named_as_a_mask_is_the_mask_and_the_choice_is_told() {
    let place = Place::new();
    for (seed, name) in ["a", "b"].into_iter().enumerate() {
        place.write(&format!("images/{name}.npz"), archive(seed as u8));
        place.write(&format!("masks/{name}.npz"), archive(seed as u8));
    }
    let told = "images/a.npz and another file: the array image is read; left out: label\n\
                masks/a.npz and another file: the array label is read; left out: image\n";
    let page = place.converts(&FOLDERS);
    assert!(page.contains(told), "{page}");
    let labels = read_labels(place.path("out/labelsTr/b.nii.gz")).unwrap().labels;
    assert_eq!(labels, (0..8).map(|i| i32::from(i % 3 == 1)).collect::<Vec<_>>());
    // One folder is enough where each file holds both.
    fs::remove_dir_all(place.path("out")).unwrap();
    place.converts(&["--images", "images", "--masks", "images"]);
    assert_eq!(read_labels(place.path("out/labelsTr/b.nii.gz")).unwrap().labels, labels);
}

#[test]
fn a_data_set_of_archives_trains_on_the_arrays_that_are_meant() {
    let place = Place::new();
    let json = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}, "numTraining": 2, "file_ending": ".npz"}"#;
    place.write("set/dataset.json", json);
    for (seed, name) in ["a", "b"].into_iter().enumerate() {
        place.write(&format!("set/imagesTr/{name}_0000.npz"), archive(seed as u8));
        place.write(&format!("set/labelsTr/{name}.npz"), archive(seed as u8));
    }
    let found = verify(place.path("set")).unwrap();
    assert_eq!(found.errors, 0, "{found}");
    let set = Dataset::open(place.path("set")).unwrap();
    let cases = CaseReader::native(&set).read_all(&set.training).unwrap();
    assert_eq!(cases[1].labels.as_deref(), Some(&[0, 1, 0, 0, 1, 0, 0, 1][..]));
    assert_eq!(cases[1].image[0], 61.0);
    let labels = read_labels(place.path("set/labelsTr/b.npz")).unwrap().labels;
    assert_eq!(labels, [0, 1, 0, 0, 1, 0, 0, 1]);
}

/// Eight pages of one byte a voxel, behind the only one that has tags.
fn stack(description: &str, photometric: u32, value: impl Fn(u8) -> u8) -> Vec<u8> {
    let voxels: Vec<u8> = (0..32).map(value).collect();
    let tags = [(256, 2), (257, 2), (258, 8), (259, 1), (262, photometric), (273, 8), (278, 2), (279, 4)];
    directory(&tags.map(|(tag, value)| (tag, vec![value])), description, &voxels)
}

#[test]
fn slices_that_are_times_or_channels_are_named_so() {
    let slices = "ImageJ=1.54f\nimages=8\nslices=8\n";
    for (description, planes) in [
        ("ImageJ=1.54f\nimages=8\nframes=8\n", "8 times (frames) of one slice"),
        ("ImageJ=1.54f\nimages=8\nchannels=8\n", "8 channels of one slice"),
        (r#"{"shape": [8, 2, 2], "axes": "TYX"}"#, "8 times (frames) of one slice"),
    ] {
        for (image, mask, at) in [
            (description, slices, "images/a.tif"),
            (slices, description, "masks/a.tif"),
            (description, description, "masks/a.tif"),
        ] {
            let place = Place::new();
            place.write("images/a.tif", stack(image, 1, |i| i));
            place.write("masks/a.tif", stack(mask, 1, |i| i % 2));
            let (page, _) = place.refuses(&FOLDERS);
            has(
                &page,
                &format!("{at}: has {planes}"),
                "if they are slices, say so: in ImageJ by Image > Properties",
            );
            assert!(!page.contains("resample"), "{page}");
        }
    }
}

#[test]
fn a_mask_whose_white_is_0_keeps_its_foreground_and_a_palette_its_classes() {
    let place = Place::new();
    for (name, photometric) in [("a", 0), ("b", 3)] {
        place.write(&format!("images/{name}.tif"), stack("ImageJ=1\nimages=8\nslices=8\n", 1, |i| i));
        place.write(
            &format!("masks/{name}.tif"),
            stack("ImageJ=1\nimages=8\nslices=8\n", photometric, |i| u8::from(i == 7)),
        );
    }
    let page = place.converts(&FOLDERS);
    assert!(page.contains("masks/b.tif: palette indices: the colours are left out"), "{page}");
    for name in ["a", "b"] {
        let labels = read_labels(place.path(&format!("out/labelsTr/{name}.nii.gz"))).unwrap().labels;
        assert_eq!((labels.iter().sum::<i32>(), labels[7]), (1, 1), "{name}");
    }
}

#[test]
fn dicom_and_a_folder_per_patient_are_named_with_what_to_do() {
    let place = Place::new();
    let dicom = [&[0; 128][..], b"DICM", &[0; 100]].concat();
    place.write("images/series/IM_0001", &dicom);
    place.put("masks/series.nii.gz", |i| u8::from(i == 3));
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "images: holds DICOM files (series/IM_0001)", "dcm2niix");
    for patient in ["A", "B"] {
        for part in ["flair", "t1", "seg"] {
            place.put(&format!("brats/{patient}/{patient}_{part}.nii.gz"), |i| i as f32);
        }
    }
    let (page, _) = place.refuses(&["--images", "brats", "--masks", "brats"]);
    has(&page, "brats: holds a folder per patient, such as A", "give it by --csv FILE");
    assert!(page.ends_with("1 error, 0 warnings\n"), "{page}");
    // A data set is looked for in a folder of DICOM by every other command.
    let message = Dataset::open(place.path("images")).unwrap_err().to_string();
    assert!(message.contains("series/IM_0001") && message.contains("dcm2niix"), "{message}");
}
