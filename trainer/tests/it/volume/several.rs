//! Which array of several is read, palettes of PNG, and what is named although it is not read.

use std::fs;
use std::path::Path;

use trainer::curate::convert::{Conversion, MaskPlacement, Pairs};
use volumes::info::Entry;
use volumes::{Role, Stored, Volume, read_header_as};

use crate::support::made::{npy, zip};

/// An archive of arrays of one voxel, whose value is where they stand.
fn archive(path: &Path, names: &[&str]) {
    let arrays: Vec<(String, Vec<u8>)> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("{name}.npy"), npy("|u1", false, "(1, 1)", &[index as u8])))
        .collect();
    let files: Vec<(&str, &[u8])> =
        arrays.iter().map(|(name, array)| (name.as_str(), array.as_slice())).collect();
    fs::write(path, zip(&files, true)).unwrap();
}

#[test]
fn the_array_of_an_archive_is_the_one_that_is_named_as_what_it_is_read_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let read = |role: Role| {
        let stored = Stored::read_as(&path, role).map_err(|e| e.to_string())?;
        assert_eq!(read_header_as(&path, role).unwrap(), stored.header);
        Ok::<_, String>(stored.to_f64()[0])
    };
    for (names, image, mask) in [
        (&["image", "label"][..], Some(0.0), Some(1.0)),
        (&["label", "image"], Some(1.0), Some(0.0)),
        (&["Image", "SEG"], Some(0.0), Some(1.0)),
        (&["data", "seg"], Some(0.0), Some(1.0)),
        (&["img", "mask", "spacing"], Some(0.0), Some(1.0)),
        (&["vol", "gt"], Some(0.0), Some(1.0)),
        (&["ct", "labels"], Some(0.0), Some(1.0)),
        (&["anything"], Some(0.0), Some(0.0)),
        (&["data", "affine"], Some(0.0), Some(0.0)),
        (&["arr_0", "arr_1"], Some(0.0), None),
        (&["image", "tumour"], Some(0.0), None),
        (&["image", "label", "mask"], Some(0.0), None),
        (&["image", "volume"], None, None),
        (&["x", "y"], None, None),
    ] {
        archive(&path, names);
        for (role, want, word) in [(Role::Image, image, "the image;"), (Role::Mask, mask, "the mask;")] {
            let found = read(role);
            match want {
                Some(value) => assert_eq!(found, Ok(value), "{names:?} as {role:?}"),
                None => {
                    let message = found.unwrap_err();
                    let parts = [names.join(", "), word.into(), "save the".into()];
                    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
                }
            }
        }
    }
    archive(&path, &["image", "label", "spacing"]);
    let told = Entry::of(&path).to_string();
    assert!(told.contains("note         the array image is read; left out: label, spacing"), "{told}");
}

fn indexed(path: &Path, size: [u32; 2], depth: png::BitDepth, rows: &[u8]) {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size[0], size[1]);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette((0..3u32 << (depth as u32)).map(|i| 255 - i as u8).collect::<Vec<u8>>());
    encoder.set_trns(vec![0, 128]);
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    fs::write(path, file).unwrap();
}

#[test]
fn the_indices_of_a_png_are_its_values_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    for (depth, row, want) in [
        (png::BitDepth::Eight, vec![0, 1, 2, 200, 7], vec![0.0, 1.0, 2.0, 200.0, 7.0]),
        (png::BitDepth::Four, vec![0x01, 0x2f, 0x70], vec![0.0, 1.0, 2.0, 15.0, 7.0]),
        (png::BitDepth::Two, vec![0b0001_1011, 0b0100_0000], vec![0.0, 1.0, 2.0, 3.0, 1.0]),
        (png::BitDepth::One, vec![0b0101_1000], vec![0.0, 1.0, 0.0, 1.0, 1.0]),
    ] {
        indexed(&path, [5, 1], depth, &row);
        assert_eq!(Volume::read(&path).unwrap().data, want, "{depth:?}");
        let told = Entry::of(&path).to_string();
        assert!(told.contains("note         palette indices"), "{told}");
    }
    let slices = folder.path().join("slices");
    fs::create_dir(&slices).unwrap();
    indexed(&slices.join("1.png"), [2, 1], png::BitDepth::Eight, &[1, 2]);
    let grey = crate::support::made::png([2, 1], png::BitDepth::Eight, &[1, 2]);
    fs::write(slices.join("2.png"), grey).unwrap();
    let message = Volume::read(&slices).unwrap_err().to_string();
    assert!(
        message.contains("2 x 1 of 8 bit with a palette; all slices of a folder must be alike"),
        "{message}"
    );
}

#[test]
fn gamma_and_transparency_of_a_png_alter_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_source_gamma(png::ScaledFloat::new(0.2));
    encoder.set_trns(vec![0x12, 0x34]);
    encoder.write_header().unwrap().write_image_data(&[0x12, 0x34, 0xff, 0xff]).unwrap();
    fs::write(&path, file).unwrap();
    assert_eq!(Volume::read(&path).unwrap().data, [4660.0, 65535.0]);
}

#[test]
fn slices_that_are_missing_are_said_and_pair_with_none() {
    let root = tempfile::tempdir().unwrap();
    let folder = |name: &str, slices: &[&str]| {
        let path = root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        for slice in slices {
            indexed(&path.join(format!("{slice}.png")), [2, 1], png::BitDepth::Eight, &[1, 0]);
        }
        path
    };
    let notes = |path: &Path| Stored::read(path).unwrap().header.notes[1..].to_vec();
    assert!(notes(&folder("images/even", &["s0", "s5", "s10"])).is_empty());
    assert!(notes(&folder("images/unnumbered", &["a", "b"])).is_empty());
    let gap = folder("images/gap", &["s0", "s2", "s3", "s4", "s5"]);
    assert_eq!(notes(&gap), ["slice 2 follows slice 0: they are taken as neighbours"]);
    let twice = folder("images/twice", &["s3", "s003", "s4"]);
    assert_eq!(notes(&twice), ["slice 3 follows slice 3: they are taken as neighbours"]);
    // Of image and mask other slices are missing.
    fs::rename(&gap, root.path().join("one")).unwrap();
    let [images, masks] = ["i", "m"].map(|name| root.path().join(name));
    fs::create_dir_all(&images).unwrap();
    fs::create_dir_all(&masks).unwrap();
    fs::rename(root.path().join("one"), images.join("a")).unwrap();
    let mask = folder("m/a", &["s0", "s1", "s2", "s3", "s5"]);
    let found = || {
        let pairs = Pairs::Folders { images: images.clone(), masks: masks.clone(), test: Vec::new() };
        let conversion = Conversion {
            pairs,
            out: root.path().join("out"),
            labels: Vec::new(),
            names: Vec::new(),
            channel_names: Vec::new(),
            spacing: None,
            geometry: MaskPlacement::Agree,
        };
        conversion.check(&mut |_| true).unwrap().unwrap().found
    };
    let page = found().to_string();
    assert!(
        page.contains("has the slices 0, 1, 2, 3, 5, but") && page.contains("has 0, 2, 3, 4, 5"),
        "{page}"
    );
    // Counted from 1 instead of 0 they are the same.
    fs::remove_dir_all(&mask).unwrap();
    folder("m/a", &["s1", "s3", "s4", "s5", "s6"]);
    assert_eq!(found().errors, 0, "{}", found());
}

#[test]
fn dicom_is_named_with_the_program_that_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    let dicom = [&[0; 128][..], b"DICM", &[0; 100]].concat();
    for name in ["a.dcm", "IM_0001", "DICOMDIR", "1.2.840.113619"] {
        let path = folder.path().join(name);
        fs::write(&path, &dicom).unwrap();
        let message = Volume::read(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("{name}: is DICOM")) && message.contains("dcm2niix"), "{message}");
        fs::remove_file(path).unwrap();
    }
    let series = folder.path().join("patient/series");
    fs::create_dir_all(&series).unwrap();
    fs::write(series.join("IM_0001"), &dicom).unwrap();
    for at in [&series, folder.path()] {
        let message = Volume::read(at).unwrap_err().to_string();
        assert!(message.contains("IM_0001") && message.contains("dcm2niix"), "{message}");
    }
}
