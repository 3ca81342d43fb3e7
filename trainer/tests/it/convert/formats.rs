//! Every format is converted, and what is written is what was read.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use trainer::curate::convert::{Conversion, MaskPlacement, Pairs, Relabel};
use volumes::{Affine, Stored, Volume, Voxel, VoxelType, nifti};

use super::{FOLDERS, Place, json, made};

/// As NIfTI-1 keeps it.
fn rounded(affine: &Affine) -> [[f32; 4]; 4] {
    affine.map(|row| row.map(|v| v as f32))
}

#[test]
fn every_format_is_read_as_image_and_as_mask() {
    let place = Place::new();
    fs::create_dir(place.path("images")).unwrap();
    let samples = made::samples(&place.path("images"));
    for (name, bytes) in &samples {
        place.write(&format!("images/{name}"), bytes);
    }
    fs::remove_file(place.path("images/made.nii")).unwrap();
    // A folder of slices, in which 10 comes after 9.
    for (slice, number) in [9, 10].into_iter().enumerate() {
        let bytes = made::png([2, 3], png::BitDepth::Eight, &[0, 10, 20, 30, 40, slice as u8]);
        place.write(&format!("images/slices/s{number}.png"), bytes);
    }
    let mut files: Vec<String> = samples.iter().map(|(name, _)| (*name).to_owned()).collect();
    files.push("slices".into());
    // Each value of the file is a class of its own.
    for (index, file) in files.iter().enumerate() {
        let source = Volume::read(place.path(&format!("images/{file}"))).unwrap();
        let mut values: Vec<i64> = source.data.iter().map(|&v| v as i64).collect();
        values.sort_unstable();
        values.dedup();
        let classes: BTreeMap<i64, u8> = values.iter().copied().zip(0..).collect();
        let labels: Vec<String> = classes.iter().map(|(value, class)| format!("{value}={class}")).collect();
        let mut args: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        let csv = format!("{index}.csv");
        place.write(&csv, format!("image,mask,case\nimages/{file},images/{file},x\n"));
        args.extend(["--csv", &csv]);
        let printed = place.converts(&args);
        let silent = !source.header.format.has_geometry();
        assert_eq!(printed.contains("1 case without voxel sizes: taken as 1 mm; --spacing X,Y,Z"), silent);

        let image = Volume::read(place.path("out/imagesTr/x_0000.nii.gz")).unwrap();
        assert_eq!(image.data, source.data, "{file}");
        assert_eq!(image.header.voxel_type, source.header.voxel_type, "{file}");
        assert_eq!(rounded(&image.header.affine), rounded(&source.header.affine), "{file}");
        assert_eq!(image.header.size(), source.header.size(), "{file}");
        let mask = Stored::read(place.path("out/labelsTr/x.nii.gz")).unwrap();
        assert_eq!(mask.header.affine, image.header.affine, "{file}");
        let want: Vec<u8> = source.data.iter().map(|&v| classes[&(v as i64)]).collect();
        assert_eq!(mask.stored::<u8>().unwrap(), want, "{file}");
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn voxel_sizes_can_be_given_and_a_file_without_them_takes_the_others() {
    let place = Place::new();
    let array = |v: u8| made::npy("|u1", false, "(2, 3, 4)", &[vec![v; 12], vec![0; 12]].concat());
    for name in ["a", "b"] {
        place.write(&format!("images/{name}.npy"), array(7));
        place.write(&format!("masks/{name}_mask.npy"), array(1));
    }
    let printed =
        place.converts(&[&FOLDERS[..], &["--spacing", "0.5,0.25,3", "--channel-names", "CT"]].concat());
    assert!(!printed.contains("taken as 1 mm") && !printed.contains("is not used"), "{printed}");
    let written = nifti::read_header(place.path("out/labelsTr/b.nii.gz")).unwrap();
    assert_eq!(written.spacing(), [0.5, 0.25, 3.0]);
    assert_eq!(json(&place.path("out/dataset.json"))["channel_names"]["0"], "CT");
    fs::remove_dir_all(place.path("out")).unwrap();

    // One of the files says where it lies: a moved NIfTI image, or a NIfTI mask of an array.
    let mut moved = nifti::NiftiHeader::new([4, 3, 2], [1.0, 2.0, 4.0]);
    moved.srow[0][3] = -20.0;
    moved.qform_code = 0;
    fs::remove_file(place.path("images/a.npy")).unwrap();
    place.put_at("images/a.nii.gz", &moved, |i| i as f32);
    fs::remove_file(place.path("masks/b_mask.npy")).unwrap();
    place.put_at("masks/b-label.nii", &moved, |i| u8::from(i < 3));
    let printed = place.converts(&[&FOLDERS[..], &["--spacing", "9,9,9"]].concat());
    assert!(printed.contains("--spacing is not used: every case has a file"), "{printed}");
    for name in ["imagesTr/a_0000", "labelsTr/a", "imagesTr/b_0000", "labelsTr/b"] {
        let written = nifti::read_header(place.path(&format!("out/{name}.nii.gz"))).unwrap();
        assert_eq!(written.affine().unwrap(), moved.affine().unwrap(), "{name}");
    }
}

#[test]
fn a_scaled_image_keeps_its_numbers_and_its_scale() {
    let place = Place::new();
    let scaled = nifti::NiftiHeader { scl_slope: 0.5, scl_inter: -1024.0, ..super::header() };
    place.put_at("images/a.nii.gz", &scaled, |i| i as u16);
    place.put("masks/a.nii.gz", |i| u8::from(i == 0));
    place.converts(&FOLDERS);
    let read = |path: &str| volumes::Stored::read(place.path(path)).unwrap();
    let (source, written) = (read("images/a.nii.gz"), read("out/imagesTr/a_0000.nii.gz"));
    assert_eq!(written.to_f64(), source.to_f64());
    assert_eq!(written.stored::<u16>(), source.stored::<u16>());
}

/// A volume's shape, type, place and the seed of its values.
#[derive(Clone, Debug)]
struct Case {
    size: [usize; 3],
    channels: usize,
    kind: VoxelType,
    affine: Affine,
    seed: u64,
    ending: &'static str,
}

fn cases() -> impl Strategy<Value = Case> {
    let affine = prop::array::uniform3(prop::array::uniform3(-1.0f64..1.0));
    let shift = prop::array::uniform3(-300.0f64..300.0);
    let place = (affine, shift).prop_map(|(turn, shift)| {
        // Near to a diagonal of 2 mm, so that no axis collapses.
        let row = |r: usize| {
            let cell = |c: usize| if r == c { 2.0 + 0.5 * turn[r][c] } else { 0.4 * turn[r][c] };
            [cell(0), cell(1), cell(2), shift[r]]
        };
        [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
    });
    let ending = prop::sample::select(vec![".nii", ".nii.gz", ".nrrd", ".npy"]);
    let kind = prop::sample::select(VoxelType::ALL.to_vec());
    (prop::array::uniform3(1usize..6), 1usize..4, kind, place, any::<u64>(), ending).prop_map(
        |(size, channels, kind, affine, seed, ending)| Case { size, channels, kind, affine, seed, ending },
    )
}

/// Writes numbers of a type and gives their bytes back as they are to be found.
fn write<V: Voxel>(place: &Place, case: &Case, shape: &[usize]) {
    let header = volumes::Header::new(shape, case.affine);
    let number = |i: usize| {
        let bits = (case.seed ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        V::from_bytes(&bits[..V::TYPE.size()], volumes::ByteOrder::Little)
    };
    // Of the bit patterns those of numbers that f32 can hold.
    let finite = |v: V| {
        if (v.as_f64() as f32).is_finite() {
            v
        } else {
            V::from_bytes(&[0; 8][..V::TYPE.size()], volumes::ByteOrder::Little)
        }
    };
    let numbers: Vec<V> = (0..header.len()).map(|i| finite(number(i))).collect();
    volumes::write(place.path(&format!("images/a{}", case.ending)), &header, &numbers).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn voxels_types_and_places_survive(case in cases()) {
        let place = Place::new();
        fs::create_dir(place.path("images")).unwrap();
        let mut shape = case.size.to_vec();
        if case.channels > 1 {
            shape.push(case.channels);
        }
        match case.kind {
            VoxelType::U8 => write::<u8>(&place, &case, &shape),
            VoxelType::I8 => write::<i8>(&place, &case, &shape),
            VoxelType::U16 => write::<u16>(&place, &case, &shape),
            VoxelType::I16 => write::<i16>(&place, &case, &shape),
            VoxelType::U32 => write::<u32>(&place, &case, &shape),
            VoxelType::I32 => write::<i32>(&place, &case, &shape),
            VoxelType::U64 => write::<u64>(&place, &case, &shape),
            VoxelType::I64 => write::<i64>(&place, &case, &shape),
            VoxelType::F32 => write::<f32>(&place, &case, &shape),
            VoxelType::F64 => write::<f64>(&place, &case, &shape),
        }
        let (places, voxels) = (case.size, case.size.iter().product::<usize>());
        let mask: Vec<f64> = (0..voxels).map(|i| if i % 3 == 0 { 200.0 } else { -1.0 }).collect();
        fs::create_dir(place.path("masks")).unwrap();
        volumes::write(place.path("masks/a_seg.npy"), &volumes::Header::new(&places, case.affine), &mask).unwrap();
        let conversion = Conversion {
            pairs: Pairs::Folders { images: place.path("images"), masks: place.path("masks"), test: vec![] },
            out: place.path("Dataset007_Made"),
            labels: vec![Relabel { value: -1, class: 0 }, Relabel { value: 200, class: 1 }],
            names: vec!["cyst".into()],
            channel_names: vec![],
            spacing: None,
            geometry: MaskPlacement::Agree,
        };
        let checked = conversion.check(&mut |_| true).unwrap().unwrap();
        prop_assert_eq!(checked.found.errors, 0, "{}", checked.found);
        prop_assert_eq!(&checked.found.name, "Made");
        let verified = checked.write(&mut |_| true).unwrap().unwrap();
        prop_assert_eq!(verified.errors, 0);

        let source = Stored::read(place.path(&format!("images/a{}", case.ending))).unwrap();
        let values = source.to_f64();
        for channel in 0..case.channels {
            let path = place.path(&format!("Dataset007_Made/imagesTr/a_{channel:04}.nii.gz"));
            let written = Stored::read(path).unwrap();
            prop_assert_eq!(written.to_f64(), &values[channel * voxels..(channel + 1) * voxels]);
            prop_assert_eq!(written.header.voxel_type, case.kind);
            prop_assert_eq!(rounded(&written.header.affine), rounded(&source.header.affine));
            prop_assert_eq!(written.header.size(), case.size);
        }
        let files = fs::read_dir(place.path("Dataset007_Made/imagesTr")).unwrap();
        prop_assert_eq!(files.count(), case.channels);
        let written = Stored::read(place.path("Dataset007_Made/labelsTr/a.nii.gz")).unwrap();
        let labels: Vec<u8> = mask.iter().map(|&v| u8::from(v == 200.0)).collect();
        prop_assert_eq!(written.stored::<u8>(), Some(labels));
        prop_assert_eq!(rounded(&written.header.affine), rounded(&source.header.affine));
    }
}
