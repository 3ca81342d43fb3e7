//! Laws of grids, through the program: orientation, spacing, borders and formats of inputs do not matter to a mask.

use std::path::Path;

use volumes::Volume;
use volumes::nifti::{self, NiftiHeader};

use super::{Place, small, succeeds};

/// What looks at cases on another grid than their files': other voxels, no empty borders.
const REGRIDDED: [&str; 2] = ["--set", "data.spacing=[4.0,2.0,1.25]"];

/// A volume with borders of 0, not at the origin: shape and values (x fastest), and where it lies.
fn image() -> ([usize; 3], Vec<f32>, NiftiHeader) {
    let shape = [19, 14, 9];
    let inside =
        |x: usize, y: usize, z: usize| (2..18).contains(&x) && (1..12).contains(&y) && (1..9).contains(&z);
    let mut values = Vec::new();
    for z in 0..shape[2] {
        for y in 0..shape[1] {
            let row = values.len();
            values.extend((0..shape[0]).map(|x| if inside(x, y, z) { small::noise(row + x) } else { 0.0 }));
        }
    }
    let mut header = NiftiHeader::new(shape, [1.0, 1.5, 3.0]);
    for (row, shift) in [-7.5, 3.25, 11.0].into_iter().enumerate() {
        header.srow[row][3] = shift;
    }
    header.qform_code = 0;
    (shape, values, header)
}

/// Axis a of the new file is axis `order[a]` of the old one, turned round where `flips[a]`: values and header.
fn turned<V: Copy>(
    (shape, values, header): (&[usize; 3], &[V], &NiftiHeader),
    order: [usize; 3],
    flips: [bool; 3],
) -> (Vec<V>, NiftiHeader) {
    let new_shape = order.map(|axis| shape[axis]);
    let mut new = Vec::with_capacity(values.len());
    for z in 0..new_shape[2] {
        for y in 0..new_shape[1] {
            for x in 0..new_shape[0] {
                let mut old = [0; 3];
                for (a, i) in [x, y, z].into_iter().enumerate() {
                    old[order[a]] = if flips[a] { new_shape[a] - 1 - i } else { i };
                }
                new.push(values[(old[2] * shape[1] + old[1]) * shape[0] + old[0]]);
            }
        }
    }
    let spacing = header.spacing();
    let mut turned = NiftiHeader::new(new_shape, order.map(|axis| spacing[axis]));
    turned.qform_code = 0;
    for row in 0..3 {
        let old = header.srow[row];
        turned.srow[row][3] = old[3];
        for a in 0..3 {
            let step = old[order[a]];
            turned.srow[row][a] = if flips[a] { -step } else { step };
            turned.srow[row][3] += if flips[a] { step * (new_shape[a] - 1) as f64 } else { 0.0 };
        }
    }
    (new, turned)
}

fn orientations() -> impl Iterator<Item = ([usize; 3], [bool; 3])> {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    ORDERS
        .into_iter()
        .flat_map(|order| (0..8).map(move |bits| (order, [0, 1, 2].map(|a| bits >> a & 1 == 1))))
}

#[test]
fn training_says_what_verify_says_of_lesions_that_vanish_and_of_headers_taken_otherwise() {
    let place = Place::new();
    let (image, label) =
        (place.path("data/imagesTr/case_1_0000.nii.gz"), place.path("data/labelsTr/case_1.nii.gz"));
    // Twice as fine as the others, with a voxel that is too small for their grid, and a sform without inverse.
    let native = nifti::read_header(&image).unwrap();
    let shape = native.shape3().unwrap().map(|n| 2 * n);
    let mut fine = NiftiHeader::new(shape, native.spacing().map(|s| s / 2.0));
    fine.srow = [[0.0; 4]; 3];
    nifti::write(&image, &fine, &(0..fine.len()).map(small::noise).collect::<Vec<f32>>()).unwrap();
    nifti::write(&label, &fine, &(0..fine.len()).map(|i| u8::from(i == 5)).collect::<Vec<u8>>()).unwrap();
    let lost = "case case_1: resampling to";
    let header = "case_1_0000.nii.gz and another file: its sform places no voxel (its step along x is 0 mm long): its qform is taken";
    let cache = place.text("cache");
    // In memory, into a cache and from it.
    for (run, more) in [("run", &[][..]), ("into", &["--cache", &cache]), ("from", &["--cache", &cache])] {
        let said = place.train(run, more);
        assert!(
            [lost, "leaves no voxel of 1 of 1 object of class lesion"].iter().all(|part| said.contains(part))
                && said.contains(header),
            "{said}"
        );
    }
    let found = succeeds(&["verify", &place.text("data")]);
    assert!(found.contains(lost) && found.contains("its sform places no voxel"), "{found}");
    let said =
        succeeds(&["predict", &place.text("run"), image.to_str().unwrap(), "--out", &place.text("masks")]);
    assert!(said.contains("case_1_0000.nii.gz: its sform places no voxel"), "{said}");
}

#[test]
fn a_mask_overlays_the_same_voxels_in_each_of_the_48_orientations() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    place.train("run", &REGRIDDED);
    let (shape, values, header) = image();
    let inputs = place.path("inputs");
    std::fs::create_dir(&inputs).unwrap();
    for (i, (order, flips)) in orientations().enumerate() {
        let (values, header) = turned((&shape, &values, &header), order, flips);
        nifti::write(inputs.join(format!("o{i:02}.nii.gz")), &header, &values).unwrap();
    }
    let [run, inputs, first, whole, masks] =
        ["run", "inputs", "inputs/o00.nii.gz", "whole", "masks"].map(|name| place.text(name));
    // Half of what is looked at shall be foreground.
    succeeds(&["predict", &run, &first, "--out", &whole, "--save-probabilities"]);
    let probabilities =
        volumes::Stored::read(place.path("whole/probability/o00_lesion.nii.gz")).unwrap().to_f32();
    let mut inside: Vec<f32> = probabilities.into_iter().filter(|&p| p > 0.0).collect();
    inside.sort_by(f32::total_cmp);
    let threshold = inside[inside.len() / 2].to_string();
    let at = ["--threshold", threshold.as_str()];
    succeeds(&[&["predict", &run, &inputs, "--out", &masks][..], &at].concat());
    let mask = |i: usize| volumes::Stored::read(place.path(&format!("masks/o{i:02}.nii.gz"))).unwrap();
    let first_mask = mask(0).stored::<u8>().unwrap();
    let foreground = first_mask.iter().filter(|&&v| v == 1).count();
    assert!(foreground > inside.len() / 4 && foreground < inside.len(), "{foreground} of {}", inside.len());
    for (i, (order, flips)) in orientations().enumerate() {
        let (wanted, header) = turned((&shape, &first_mask, &header), order, flips);
        let found = mask(i);
        assert_eq!(found.header.affine, header.affine().unwrap(), "{order:?} {flips:?}");
        assert_eq!(found.header.shape, header.shape);
        assert!(found.stored::<u8>().unwrap() == wanted, "{order:?} {flips:?}");
    }
    // A mask alone is made plane by plane; with probabilities it is of all logits.
    succeeds(&[&["predict", &run, &first, "--out", &whole, "--save-logits", "--force"][..], &at].concat());
    let whole = volumes::Stored::read(place.path("whole/o00.nii.gz")).unwrap();
    assert!(whole.stored::<u8>().unwrap() == first_mask);
}

#[test]
fn what_was_cut_off_is_background() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    place.train("run", &REGRIDDED);
    let (shape, values, header) = image();
    nifti::write(place.path("a.nii.gz"), &header, &values).unwrap();
    let arguments = [place.text("run"), place.text("a.nii.gz"), place.text("masks")];
    // Everything is above this threshold.
    let flags = ["--threshold", "0", "--save-probabilities", "--save-logits"];
    succeeds(&[&["predict", &arguments[0], &arguments[1], "--out", &arguments[2]][..], &flags].concat());
    let mask = volumes::Stored::read(place.path("masks/a.nii.gz")).unwrap().stored::<u8>().unwrap();
    let [probability, logit] = ["probability", "logit"].map(|kind| {
        volumes::Stored::read(place.path(&format!("masks/{kind}/a_lesion.nii.gz"))).unwrap().to_f32()
    });
    for (i, &label) in mask.iter().enumerate() {
        let [x, y, z] = [i % shape[0], i / shape[0] % shape[1], i / shape[0] / shape[1]];
        let inside = (2..18).contains(&x) && (1..12).contains(&y) && (1..9).contains(&z);
        assert_eq!(label, u8::from(inside), "{x} {y} {z}");
        assert_eq!(probability[i] > 0.0, inside);
        assert_eq!(logit[i] > -30.0, inside);
    }
}

/// Writes every NIfTI file of a folder again under another ending.
fn rewrite(folder: &Path, ending: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let read = Volume::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().replace(".nii.gz", ending);
        volumes::write(folder.join(name), &read.header, &read.data).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_data_set_of_another_format_gives_the_same_masks() {
    let masks = |ending: &str| {
        let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
        if ending != ".nii.gz" {
            for folder in ["imagesTr", "labelsTr", "imagesTs", "labelsTs"] {
                rewrite(&place.path("data").join(folder), ending);
            }
            let path = place.path("data/dataset.json");
            let text = std::fs::read_to_string(&path).unwrap().replace(".nii.gz", ending);
            std::fs::write(path, text).unwrap();
        }
        assert!(succeeds(&["verify", &place.text("data")]).contains("0 errors"));
        place.train("run", &REGRIDDED);
        let [run, images, masks, labels] =
            ["run", "data/imagesTs", "masks", "data/labelsTs"].map(|name| place.text(name));
        succeeds(&["predict", &run, &images, "--out", &masks]);
        let report = succeeds(&["evaluate", "--predictions", &masks, "--labels", &labels]);
        let mask = Volume::read(place.path(&format!("masks/case_2{ending}"))).unwrap();
        (mask.data, mask.header.affine, report.lines().skip(2).map(str::to_owned).collect::<Vec<_>>())
    };
    let nifti = masks(".nii.gz");
    assert!(nifti.0.contains(&1.0) && nifti.0.contains(&0.0));
    assert_eq!(masks(".nrrd"), nifti);
}
