//! Masks that lie elsewhere than their images by their headers, and masks whose numbers are nearly whole.

use proptest::prelude::*;
use trainer::curate::convert::MaskPlacement;
use volumes::nifti::NiftiHeader;

use super::faults::has;
use super::{FOLDERS, Place, SHAPE, good, header, image};

fn mask(i: usize) -> u8 {
    u8::from(i % 7 == 2)
}

/// The header of an image, with its affine changed.
fn placed(srow: [[f64; 4]; 3]) -> NiftiHeader {
    NiftiHeader { srow, qform_code: 0, sform_code: 1, ..header() }
}

#[test]
fn a_mask_that_lies_elsewhere_is_refused_with_the_flag_that_takes_it() {
    let place = good();
    // Moved by 9 mm, and mirrored along x.
    let image_affine = header().affine().unwrap();
    let mut srow = [image_affine[0], image_affine[1], image_affine[2]];
    srow[1][3] += 9.0;
    place.put_at("masks/a.nii.gz", &placed(srow), mask);
    srow[1][3] -= 9.0;
    srow[0][0] = -srow[0][0];
    place.put_at("masks/b.nii.gz", &placed(srow), mask);
    for flags in [&[][..], &["--geometry", "agree"]] {
        let (page, _) = place.refuses(&[&FOLDERS[..], flags].concat());
        let remedy = "--geometry image takes the mask's voxels as the image's, in their order";
        has(&page, "masks/a.nii.gz: by the headers its voxels lie up to 9.000 mm", remedy);
        has(&page, "masks/b.nii.gz: by the headers its voxels lie up to 10.000 mm", remedy);
        has(&page, "from those of images/b.nii.gz (LAS instead of RAS)", remedy);
    }
    let printed = place.converts(&[&FOLDERS[..], &["--geometry", "image"]].concat());
    let note = "--geometry image: 2 masks taken to lie where the image lies, not by the header: \
                a up to 9.000 mm, b up to 10.000 mm (LAS instead of RAS)\n";
    assert!(printed.contains(note), "{printed}");
    for case in ["a", "b"] {
        let written = volumes::Stored::read(place.path(&format!("out/labelsTr/{case}.nii.gz"))).unwrap();
        assert_eq!(written.header.affine, image_affine, "{case}");
        assert_eq!(written.stored::<u8>().unwrap(), (0..120).map(mask).collect::<Vec<_>>(), "{case}");
    }
}

/// The same voxels, saved from the other end of x.
#[test]
fn a_turned_mask_is_written_in_the_order_of_its_image() {
    let place = good();
    let affine = header().affine().unwrap();
    let mut srow = [affine[0], affine[1], affine[2]];
    let [width, ..] = SHAPE;
    srow[0][3] += (width - 1) as f64 * srow[0][0];
    srow[0][0] = -srow[0][0];
    place.put_at("masks/a.nii.gz", &placed(srow), |i| mask(i / width * width + (width - 1 - i % width)));
    place.put_at("masks/b.nii.gz", &header(), mask);
    for geometry in ["agree", "image"] {
        place.converts(&[&FOLDERS[..], &["--geometry", geometry]].concat());
        for case in ["a", "b"] {
            let written = volumes::Stored::read(place.path(&format!("out/labelsTr/{case}.nii.gz"))).unwrap();
            assert_eq!(written.stored::<u8>().unwrap(), (0..120).map(mask).collect::<Vec<_>>(), "{case}");
        }
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn it_takes_neither_another_shape_nor_another_channels_place() {
    let place = Place::new();
    let mut moved = header();
    moved.srow[1][3] = 9.0;
    place.put("images/a_0000.nii.gz", image);
    place.put_at("images/a_0001.nii.gz", &moved, image);
    place.put_at("masks/a.nii.gz", &NiftiHeader::new([6, 5, 3], [1.0, 1.5, 3.0]), mask);
    let (page, _) = place.refuses(&[&FOLDERS[..], &["--geometry", "image"]].concat());
    has(&page, "images/a_0001.nii.gz: by the headers its voxels lie up to 9.000 mm", "affine or resample");
    has(&page, "masks/a.nii.gz, has shape [6, 5, 3]", "resample");
    assert!(!page.contains("--geometry"), "{page}");
    assert!(page.ends_with("2 errors, 0 warnings\n"), "{page}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever the mask lies, its voxels stay in their order and lie where the image's do.
    #[test]
    fn the_image_says_where_a_mask_lies(
        turn in prop::array::uniform3(prop::array::uniform3(-1.0f64..1.0)),
        shift in prop::array::uniform3(-300.0f64..300.0),
        seed in any::<usize>(),
    ) {
        let row = |r: usize| {
            let cell = |c: usize| f64::from(u8::from(r == c)) * 2.0 + 0.4 * turn[r][c];
            [cell(0), cell(1), cell(2), shift[r]].map(|v| f64::from(v as f32))
        };
        let place = Place::new();
        let labels = |i: usize| u8::from((i ^ seed).is_multiple_of(3));
        place.put("images/a.nii.gz", image);
        place.put_at("masks/a.nii.gz", &placed([row(0), row(1), row(2)]), labels);
        let mut conversion = place.conversion();
        prop_assert_eq!(conversion.check(&mut |_| true).unwrap().unwrap().found.errors, 1);
        conversion.geometry = MaskPlacement::Image;
        let checked = conversion.check(&mut |_| true).unwrap().unwrap();
        prop_assert_eq!(checked.found.errors, 0, "{}", checked.found);
        prop_assert_eq!(checked.notes.len(), 1);
        checked.write(&mut |_| true).unwrap().unwrap();
        let read = |name: &str| volumes::Stored::read(place.path(name)).unwrap();
        let (image, mask) = (read("out/imagesTr/a_0000.nii.gz"), read("out/labelsTr/a.nii.gz"));
        prop_assert_eq!(mask.header.affine, image.header.affine);
        prop_assert_eq!(image.header.affine, header().affine().unwrap());
        prop_assert_eq!(mask.stored::<u8>().unwrap(), (0..120).map(labels).collect::<Vec<_>>());
    }

    /// Scaled bytes whose values are whole but for a slope that was rounded to f32.
    #[test]
    fn numbers_that_a_rounded_slope_leaves_nearly_whole_are_whole(step in 1u8..=255, inter in -3i8..=3) {
        let place = Place::new();
        place.put("images/a.nii.gz", image);
        let slope = 1.0 / f32::from(step);
        let scaled = NiftiHeader { scl_slope: slope.into(), scl_inter: inter.into(), ..header() };
        place.put_at("masks/a.nii.gz", &scaled, |i| if mask(i) == 1 { step } else { 0 });
        let label = |value: i8, class: u8| format!("{value}={class}");
        let labels = [label(inter, 0), label(inter + 1, 1)];
        // 0 is named only where it occurs.
        let mut args = vec!["--label", &labels[0], "--label", &labels[1]];
        args.extend(FOLDERS);
        place.converts(&args);
        let written = volumes::Stored::read(place.path("out/labelsTr/a.nii.gz")).unwrap();
        prop_assert_eq!(written.stored::<u8>().unwrap(), (0..SHAPE.iter().product()).map(mask).collect::<Vec<_>>());
    }
}

#[test]
fn numbers_that_are_farther_from_whole_ones_are_refused() {
    let place = good();
    place.put("masks/a.nii.gz", |i| if i == 4 { 1.0005f32 } else { 0.99995 * f32::from(mask(i)) });
    let (page, _) = place.refuses(&FOLDERS);
    has(&page, "masks/a.nii.gz: holds 1.000", "nearest neighbour");
    assert!(page.contains("is no whole number (in 1 voxel)"), "{page}");
    place.put("masks/a.nii.gz", |i| if i == 4 { 1.00005f32 } else { 0.99995 * f32::from(mask(i)) });
    place.converts(&FOLDERS);
    let want: Vec<u8> = (0..120).map(|i| if i == 4 { 1 } else { mask(i) }).collect();
    let written = volumes::Stored::read(place.path("out/labelsTr/a.nii.gz")).unwrap();
    assert_eq!(written.stored::<u8>(), Some(want));
}
