//! Laws of `trainer predict` on what it reads and what it may write: nothing is written over, nothing is left out silently.

use std::fs;
use std::path::Path;

use volumes::Volume;
use volumes::nifti::{self, NiftiHeader};

use super::{Place, borrowed, made, refuses, say, small, succeeds};

/// A place with a trained run and test images of two cases, case_2 and case_3.
fn trained(more: &[&str]) -> Place {
    let place = Place::with(small::SHAPE, 1, 2, [2, 2]);
    place.train("run", more);
    place
}

/// The command line that predicts `inputs` into `out`.
fn predicting(place: &Place, inputs: &str, out: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec!["predict".to_owned(), place.text("run"), place.text(inputs), "--out".to_owned()];
    args.push(place.text(out));
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}

#[test]
fn what_exists_is_written_over_by_force_alone() {
    let place = trained(&[]);
    let labels = place.path("data/labelsTs/case_2.nii.gz");
    let before = fs::read(&labels).unwrap();
    let error = refuses(&borrowed(&predicting(&place, "data/imagesTs", "data/labelsTs", &[])));
    let wanted = format!(
        "{}: 2 of the files to write exist already, the first is case_2.nii.gz: --force writes over them, or name another --out",
        place.text("data/labelsTs")
    );
    assert_eq!(error, wanted);
    assert_eq!(fs::read(&labels).unwrap(), before);
    succeeds(&borrowed(&predicting(&place, "data/imagesTs", "data/labelsTs", &["--force"])));
    assert_ne!(fs::read(&labels).unwrap(), before);

    // Every kind of file is looked for before the first is predicted, and links are files.
    fs::create_dir_all(place.path("masks/logit")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("masks/logit/case_3_lesion.nii.gz")).unwrap();
    let error = refuses(&borrowed(&predicting(&place, "data/imagesTs", "masks", &["--save-logits"])));
    assert!(
        error.contains("masks: logit/case_3_lesion.nii.gz exists already: --force writes over it"),
        "{error}"
    );
    assert!(!place.path("masks/case_2.nii.gz").exists());
    // Without logits nothing is in the way.
    succeeds(&borrowed(&predicting(&place, "data/imagesTs", "masks", &[])));
}

#[test]
fn nothing_is_written_where_an_image_lies() {
    let place = trained(&[]);
    fs::create_dir(place.path("linked")).unwrap();
    let image = place.path("data/imagesTs/case_2_0000.nii.gz");
    std::os::unix::fs::symlink(&image, place.path("linked/other_0000.nii.gz")).unwrap();
    std::os::unix::fs::symlink(place.path("data/imagesTs"), place.path("alias")).unwrap();
    fs::create_dir_all(place.path("maps/probability")).unwrap();
    fs::copy(&image, place.path("maps/probability/x.nii.gz")).unwrap();
    let before: Vec<_> =
        fs::read_dir(place.path("data/imagesTs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    for (input, out) in [
        ("data/imagesTs", "data/imagesTs"),
        ("data/imagesTs", "data/labelsTs/../imagesTs"),
        ("data/imagesTs", "alias"),
        ("alias", "data/imagesTs"),
        ("data/imagesTs/case_2_0000.nii.gz", "data/imagesTs"),
        // The image is a link to one that lies there.
        ("linked", "data/imagesTs"),
        ("linked/other_0000.nii.gz", "data/imagesTs"),
        ("maps/probability", "maps"),
    ] {
        let args = predicting(&place, input, out, &["--force", "--save-probabilities"]);
        let error = refuses(&borrowed(&args));
        let told = error.contains("is the folder of the image") && error.contains("name another --out");
        assert!(told, "{input} {out}: {error}");
    }
    // A way that is not there yet may lead among the images.
    let error =
        refuses(&borrowed(&predicting(&place, "data/imagesTs", "none/../data/imagesTs", &["--force"])));
    assert!(error.contains("goes back by .. from") && !place.path("none").exists(), "{error}");
    // Nor does a folder give way to a mask.
    fs::create_dir_all(place.path("blocked/case_2.nii.gz")).unwrap();
    let error = refuses(&borrowed(&predicting(&place, "data/imagesTs", "blocked", &["--force"])));
    assert!(error.contains("blocked/case_2.nii.gz: is a folder in the place"), "{error}");
    let after: Vec<_> =
        fs::read_dir(place.path("data/imagesTs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(after, before);
}

#[test]
fn an_image_that_cannot_be_read_is_named_and_the_others_are_predicted() {
    let place = trained(&[]);
    fs::create_dir(place.path("batch")).unwrap();
    let image = place.path("data/imagesTs/case_2_0000.nii.gz");
    let path = |name: &str| place.path(&format!("batch/{name}_0000.nii.gz"));
    for name in ["a", "c", "d"] {
        fs::copy(&image, path(name)).unwrap();
    }
    // Of b the header can be read; of e not even that.
    let bytes = fs::read(&image).unwrap();
    fs::write(path("b"), &bytes[..bytes.len() - 500]).unwrap();
    fs::write(path("e"), b"no volume").unwrap();
    let said = say(&borrowed(&predicting(&place, "batch", "masks", &[])));
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    let error =
        said.stderr.strip_prefix("error: 2 of 5 images could not be predicted: ").unwrap_or_else(|| {
            panic!("{}", said.stderr);
        });
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("b_0000.nii.gz: ") && error.contains("e_0000.nii.gz: "), "{error}");
    // What headers say is said before the first mask.
    let at = |words: &str| said.stdout.find(words).unwrap_or_else(|| panic!("{words}: {}", said.stdout));
    assert!(at("e_0000.nii.gz: ") < at("a.nii.gz: "), "{}", said.stdout);
    let mut masks: Vec<_> =
        fs::read_dir(place.path("masks")).unwrap().map(|e| e.unwrap().file_name()).collect();
    masks.sort();
    assert_eq!(masks, ["a.nii.gz", "c.nii.gz", "d.nii.gz"]);
    // Alone it is the reason.
    let error = refuses(&borrowed(&predicting(&place, "batch/e_0000.nii.gz", "masks", &[])));
    assert!(error.contains("e_0000.nii.gz: ") && !error.contains("of 1"), "{error}");
}

/// Voxels of 0.8 x 0.8 x 2 mm in every format, in a folder: values, and the names of the masks.
fn in_every_format(folder: &Path) -> [&'static str; 6] {
    fs::create_dir_all(folder.join("png")).unwrap();
    let shape = [20usize, 18, 10];
    let pixels = shape[0] * shape[1];
    let values: Vec<u8> = (0..pixels * shape[2]).map(|i| (small::noise(i) * 100.0 + 120.0) as u8).collect();
    let header = NiftiHeader::new(shape, [0.8, 0.8, 2.0]);
    nifti::write(folder.join("nifti.nii.gz"), &header, &values).unwrap();
    let mut affine = [[0.0; 4]; 4];
    [0.8, 0.8, 2.0, 1.0].into_iter().enumerate().for_each(|(i, size)| affine[i][i] = size);
    let header = volumes::Header::new(&shape, affine);
    volumes::write(folder.join("nrrd.nrrd"), &header, &values).unwrap();
    volumes::write(folder.join("numpy.npy"), &header, &values).unwrap();
    // MetaImage's x and y grow to the left and back.
    let lines = "NDims = 3\nDimSize = 20 18 10\nElementType = MET_UCHAR\nElementSpacing = 0.8 0.8 2\n\
                 TransformMatrix = -1 0 0 0 -1 0 0 0 1\nElementDataFile = LOCAL\n";
    made::put(folder, "meta.mha", &format!("ObjectType = Image\n{lines}"), &values);
    let size = [shape[0] as u32, shape[1] as u32];
    let pages: Vec<Vec<u8>> = values.chunks(pixels).map(<[u8]>::to_vec).collect();
    fs::write(folder.join("tiff.tif"), made::tiff(false, size, 8, 1, &pages)).unwrap();
    for (slice, page) in pages.iter().enumerate() {
        let png = made::png(size, png::BitDepth::Eight, page);
        fs::write(folder.join(format!("png/slice_{slice}.png")), png).unwrap();
    }
    ["nifti.nii.gz", "nrrd.nrrd", "numpy.npy", "meta.nii.gz", "tiff.nii.gz", "png.nii.gz"]
}

#[test]
fn the_same_voxels_have_the_same_mask_in_every_format() {
    let place = trained(&["--set", "data.spacing=[2.5,1.25,1.0]"]);
    let names = in_every_format(&place.path("images"));
    let probabilities = predicting(&place, "images/nifti.nii.gz", "first", &["--save-probabilities"]);
    succeeds(&borrowed(&probabilities));
    let path = place.path("first/probability/nifti_lesion.nii.gz");
    let mut sorted = volumes::Stored::read(path).unwrap().to_f32();
    sorted.sort_by(f32::total_cmp);
    // Half of the voxels shall be foreground.
    let half = sorted[sorted.len() / 2].to_string();
    let all = predicting(&place, "images", "masks", &["--spacing", "0.8,0.8,2", "--threshold", &half]);
    let printed = succeeds(&borrowed(&all));
    assert!(!printed.contains("voxel sizes"), "{printed}");
    let masks = names.map(|name| Volume::read(place.path("masks").join(name)).unwrap());
    let foreground = masks[0].data.iter().filter(|&&v| v == 1.0).count();
    assert!(foreground > sorted.len() / 4 && foreground < sorted.len(), "{foreground} of {}", sorted.len());
    for (name, mask) in names.iter().zip(&masks) {
        assert!(mask.data == masks[0].data, "{name}");
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        // NumPy's files have no place for it.
        let told = mask.header.spacing.into_iter().zip([0.8, 0.8, 2.0]).all(|(a, b)| close(a, b));
        assert!(told || name.ends_with(".npy"), "{name}: {:?}", mask.header.spacing);
    }
    assert_eq!(fs::read_dir(place.path("masks")).unwrap().count(), names.len());
}

#[test]
fn voxel_sizes_that_no_file_says_are_told_or_given() {
    let place = trained(&[]);
    in_every_format(&place.path("images"));
    let printed = succeeds(&borrowed(&predicting(&place, "images", "silent", &[])));
    let note = "3 cases without voxel sizes: taken as 1 mm; --spacing X,Y,Z says what they are\n";
    assert!(printed.contains(note), "{printed}");
    let given = predicting(&place, "images/nifti.nii.gz", "given", &["--spacing", "1,1,1"]);
    let printed = succeeds(&borrowed(&given));
    assert!(printed.contains("--spacing is not used: every case has a file that says"), "{printed}");
    let mask = volumes::Stored::read(place.path("given/nifti.nii.gz")).unwrap();
    assert!((mask.header.spacing[0] - 0.8).abs() < 1e-6, "{:?}", mask.header.spacing);
}

#[test]
fn training_says_which_voxel_sizes_it_makes_up() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    for folder in ["imagesTr", "labelsTr"] {
        for entry in fs::read_dir(place.path("data").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let read = Volume::read(&path).unwrap();
            read.write(path.to_str().unwrap().replace(".nii.gz", ".npy")).unwrap();
            fs::remove_file(path).unwrap();
        }
    }
    let path = place.path("data/dataset.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace(".nii.gz", ".npy")).unwrap();
    let printed = place.train("run", &[]);
    let silent =
        "2 of 2 cases, such as case_0, do not say how large their voxels are, which count as 1 mm; convert";
    assert_eq!(printed.matches(silent).count(), 1, "{printed}");
}

#[test]
fn mirror_images_and_overlap_are_chosen_at_prediction() {
    let place = trained(&[]);
    let logits = |out: &str, more: &[&str]| {
        let args =
            predicting(&place, "data/imagesTs/case_2_0000.nii.gz", out, &[&["--save-logits"], more].concat());
        succeeds(&borrowed(&args));
        volumes::Stored::read(place.path(&format!("{out}/logit/case_2_lesion.nii.gz"))).unwrap().to_f32()
    };
    let (configured, all) = (logits("configured", &[]), logits("all", &["--mirror", "all"]));
    assert!(configured == all);
    let (none, one) = (logits("none", &["--mirror", "none"]), logits("one", &["--mirror", "w"]));
    assert!(none != all && one != none && one != all);
    // A case of one patch has no neighbours to overlap.
    assert!(logits("overlap", &["--mirror", "none", "--overlap", "0"]) == none);
    for (flag, value) in [("--mirror", "x"), ("--mirror", ""), ("--overlap", "0.95"), ("--overlap", "NaN")] {
        let said = say(&borrowed(&predicting(&place, "data/imagesTs", "masks", &[flag, value])));
        assert_eq!(said.code, Some(2), "{flag} {value}: {}", said.stderr);
    }
}
