//! Each fault alone gives exactly its finding.

use std::fs;

use trainer::curate::verify::Kind::*;
use trainer::curate::verify::Severity::*;
use volumes::nifti::NiftiHeader;

use super::*;

#[test]
fn each_fault_of_dataset_json_is_found_alone() {
    let folder = good(1, ONE);
    fs::remove_file(folder.path().join("dataset.json")).unwrap();
    alone(&folder, (Error, DescriptionMissing, "dataset.json"), &["is missing", "\"channel_names\""]);
    for (labels, kind, parts) in [
        (
            r#"{"background": 0, "whole": [1, 2]}"#,
            Regions,
            ["\"whole\" is a region, the list [1,2]", "one number"],
        ),
        (
            r#"{"background": 0, "lesion": 2}"#,
            LabelsNotConsecutive,
            ["\"lesion\" = 2", "number the labels 0, 1, 2"],
        ),
        (r#"{"background": 0, "lesion": 1.5}"#, Labels, ["\"lesion\" is 1.5", "write for example"]),
        (r#"{"background": 0}"#, Labels, ["no class beside the background", "write for example"]),
        (
            r#"{"0": "background", "1": "lesion", "2": "cyst"}"#,
            AbsentClass,
            ["\"cyst\" = 2", "none of 3 training"],
        ),
    ] {
        let folder = good(1, &format!(r#"{{"channel_names": ["T1"], "labels": {labels}}}"#));
        let severity = if kind == AbsentClass { Warning } else { Error };
        alone(&folder, (severity, kind, "dataset.json"), &parts);
    }
    for (json, kind, part) in [
        ("{", DescriptionUnreadable, "is not a JSON object"),
        (r#"{"channel_names": ["T1"]}"#, Labels, "labels is missing"),
        (r#"{"labels": {"background": 0, "lesion": 1}}"#, ChannelNames, "channel_names is missing"),
        (
            r#"{"channel_names": ["T1"], "labels": {"background": 0, "lesion": 1}, "file_ending": ".jpg"}"#,
            FileEnding,
            "file_ending is \".jpg\"",
        ),
    ] {
        alone(&good(1, json), (Error, kind, "dataset.json"), &[part]);
    }
    let folder = good(1, &ONE.replace('3', "4"));
    alone(&folder, (Warning, NumTraining, "dataset.json"), &["numTraining is 4", "has 3 cases"]);
    // Every label that cannot be read is named.
    let folder = good(1, r#"{"labels": {"background": 0, "whole": [1, 2], "core": [2], "x": -1}}"#);
    let (list, page) = found(folder.path());
    let kinds: Vec<Kind> = list.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [ChannelNames, Labels, Regions, Regions], "{page}");
}

#[test]
fn each_fault_of_a_name_is_found_alone() {
    let with = |from: &str, to: &str| {
        let folder = good(1, ONE);
        rename(&folder, from, to);
        folder
    };
    let (image, label) = ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz");
    for (file, to, severity, kind, parts) in [
        (
            image,
            "imagesTr/a.nii.gz",
            Warning,
            UnexpectedName,
            ["no channel number", "rename it a_0000.nii.gz"],
        ),
        (
            image,
            "imagesTr/a_0000.nii.gz.gz",
            Error,
            UnexpectedEnding,
            ["double ending", "rename it a_0000.nii.gz"],
        ),
        (
            image,
            "imagesTr/a_0000.nii.nii.gz",
            Error,
            UnexpectedEnding,
            [".nii.nii.gz", "rename it a_0000.nii.gz"],
        ),
        (
            image,
            "imagesTr/a_0000.NII.GZ",
            Error,
            UnexpectedEnding,
            ["ends in .NII.GZ", "rename it a_0000.nii.gz"],
        ),
        (
            label,
            "labelsTr/a_0000.nii.gz",
            Error,
            UnexpectedName,
            ["has a channel number", "rename it a.nii.gz"],
        ),
        (label, "labelsTr/a.nii.gz.nii.gz", Error, UnexpectedEnding, ["double ending", "rename it a.nii.gz"]),
        (label, "labelsTr/a.mha", Error, UnexpectedEnding, ["ends in .mha", "convert it to a.nii.gz"]),
        (label, "labelsTr/a", Error, UnexpectedEnding, ["has no ending", "convert it to a.nii.gz"]),
    ] {
        alone(&with(file, to), (severity, kind, to), &parts);
    }
    let folder = good(1, ONE);
    fs::remove_file(folder.path().join(image)).unwrap();
    put(folder.path(), "imagesTr/a_0000.nii", &header(), |i| self::image(0, i));
    alone(&folder, (Error, UnexpectedEnding, "imagesTr/a_0000.nii"), &["compress it with gzip"]);
    let folder = good(1, ONE);
    fs::write(folder.path().join("labelsTr/notes.txt"), "see my thesis").unwrap();
    alone(&folder, (Warning, UnexpectedEnding, "labelsTr/notes.txt"), &["no case needs it", "take it away"]);
    // A file beside the one that is read is not missing anywhere.
    let folder = good(1, ONE);
    for file in ["imagesTr/a_0000.nii", "imagesTr/a_0001.nii", "imagesTr/a.nii", "labelsTr/a_0000.nii"] {
        put(folder.path(), file, &header(), |i| self::image(0, i));
    }
    let (list, page) = found(folder.path());
    assert!(list.len() == 4 && list.iter().all(|f| (f.0, f.1) == (Warning, UnexpectedEnding)), "{page}");
    assert!(!is_refused(folder.path()));
    // A test case may lack its label map, so a wrong name there is no error, unless it looks like a case.
    let folder = good(1, ONE);
    rename(&folder, "labelsTs/t.nii.gz", "labelsTs/t.nii.gz.bak");
    alone(&folder, (Warning, UnexpectedEnding, "labelsTs/t.nii.gz.bak"), &["convert it to t.nii.gz"]);
    let folder = good(1, ONE);
    rename(&folder, "labelsTs/t.nii.gz", "labelsTs/t.nii.nii.gz");
    alone(&folder, (Error, UnexpectedEnding, "labelsTs/t.nii.nii.gz"), &["rename it t.nii.gz"]);
    // The voxels of a pair are no file too many.
    let folder = good(1, &ONE.replace("3}", r#"3, "file_ending": ".hdr"}"#));
    for name in
        ["imagesTr/a_0000", "imagesTr/b_0000", "imagesTr/c_0000", "imagesTs/t_0000", "imagesTs/u_0000"]
            .into_iter()
            .chain(["labelsTr/a", "labelsTr/b", "labelsTr/c", "labelsTs/t"])
    {
        let from = folder.path().join(format!("{name}.nii.gz"));
        let volume = volumes::Stored::read(&from).unwrap();
        nifti::write(
            folder.path().join(format!("{name}.hdr")),
            volume.header.nifti.as_deref().unwrap(),
            &volume.to_f32(),
        )
        .unwrap();
        fs::remove_file(from).unwrap();
    }
    assert_eq!(found(folder.path()).0, []);
    assert!(!is_refused(folder.path()));
}

#[test]
fn each_file_that_is_missing_or_too_many_is_found_alone() {
    let json = TWO;
    let without = |file: &str| {
        let folder = good(2, json);
        fs::remove_file(folder.path().join(file)).unwrap();
        folder
    };
    let parts = ["channel 1 is missing (of 2 in dataset.json)", "add a_0001"];
    alone(&without("imagesTr/a_0001.nii.gz"), (Error, MissingChannel, "case a"), &parts);
    alone(&without("imagesTs/u_0001.nii.gz"), (Error, MissingChannel, "case u"), &["add u_0001"]);
    let parts =
        ["imagesTr/b_0000.nii.gz has no label map", "labelsTr/b.nii.gz or move the image to imagesTs"];
    alone(&without("labelsTr/b.nii.gz"), (Error, MissingLabel, "case b"), &parts);
    let folder = good(2, json);
    put(folder.path(), "labelsTr/z.nii.gz", &header(), |i| label(5, i));
    alone(&folder, (Error, MissingImage, "case z"), &["labelsTr/z.nii.gz has no image", "z_0000.nii.gz"]);
    let folder = good(2, json);
    put(folder.path(), "imagesTr/a_0002.nii.gz", &header(), |i| image(77, i));
    alone(&folder, (Error, ExtraChannel, "imagesTr/a_0002.nii.gz"), &["names 2 channels", "channel_names"]);
    let folder = good(2, json);
    rename(&folder, "imagesTr/a_0000.nii.gz", "imagesTr/a.nii.gz");
    alone(&folder, (Error, UnexpectedName, "imagesTr/a.nii.gz"), &["2 channels", "rename it a_0000.nii.gz"]);
    for name in ["imagesTr", "labelsTr"] {
        let folder = good(2, json);
        fs::remove_dir_all(folder.path().join(name)).unwrap();
        alone(&folder, (Error, FolderMissing, name), &["is missing", "put the"]);
    }
    let folder = good(2, json);
    fs::remove_dir_all(folder.path().join("imagesTs")).unwrap();
    alone(&folder, (Warning, FolderMissing, "imagesTs"), &["there is labelsTs", "put the test images there"]);
    let folder = good(2, json);
    for entry in fs::read_dir(folder.path().join("imagesTr")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    alone(&folder, (Error, NoImages, "imagesTr"), &["the folder is empty", "CASE_0000.nii.gz"]);
    #[cfg(unix)]
    {
        let (folder, outside) = (good(1, ONE), tempfile::tempdir().unwrap());
        let (there, here) = (outside.path().join("b.nii.gz"), folder.path().join("labelsTr/b.nii.gz"));
        fs::rename(&here, &there).unwrap();
        std::os::unix::fs::symlink(&there, &here).unwrap();
        alone(&folder, (Warning, LinkOutside, "labelsTr/b.nii.gz"), &["not in the data set", "cp -rL"]);
        // Many are one finding.
        for name in ["a", "c"] {
            let name = format!("labelsTr/{name}.nii.gz");
            let (there, here) = (outside.path().join(&name[9..]), folder.path().join(&name));
            fs::rename(&here, &there).unwrap();
            std::os::unix::fs::symlink(&there, &here).unwrap();
        }
        alone(&folder, (Warning, LinkOutside, "labelsTr/a.nii.gz"), &["data set (and so are 2 more)"]);
        fs::remove_file(&there).unwrap();
        let broken = format!("is a link to {}, which is not there", there.display());
        let (findings, page) = found(folder.path());
        assert_eq!(findings[0], (Error, LinkDangling, "labelsTr/b.nii.gz".to_owned()));
        assert!(page.to_string().contains(&broken), "{page}");
    }
    let folder = good(1, ONE);
    rename(&folder, "imagesTs/u_0000.nii.gz", "imagesTs/a_0000.nii.gz");
    alone(&folder, (Warning, SameName, "case a"), &["a training case and a test case"]);
}

#[test]
fn each_fault_of_a_header_is_found_alone() {
    for file in ["imagesTr/a_0000.nii.gz", "labelsTr/c.nii.gz", "imagesTs/u_0000.nii.gz", "labelsTs/t.nii.gz"]
    {
        let folder = good(1, ONE);
        cut(&folder.path().join(file));
        alone(&folder, (Error, Unreadable, file), &["copy or export"]);
    }
    let folder = good(1, ONE);
    put(folder.path(), "labelsTr/a.nii.gz", &NiftiHeader::new([6, 5, 3], SPACING), |i| label(0, i));
    alone(&folder, (Error, ShapeDiffers, "case a"), &["labelsTr/a.nii.gz, has shape [6, 5, 3]", "resample"]);
    let folder = good(1, ONE);
    let series = NiftiHeader { shape: vec![6, 5, 4, 2], ..header() };
    put(folder.path(), "imagesTr/a_0000.nii.gz", &series, |i| i as f32);
    alone(&folder, (Error, NotOneVolume, "imagesTr/a_0000.nii.gz"), &["4 axes", "split it"]);
    // 3 mm along x and 4 mm along y.
    let folder = good(2, TWO);
    let mut moved = NiftiHeader { qform_code: 0, ..header() };
    (moved.srow[0][3], moved.srow[1][3]) = (3.0, 4.0);
    put(folder.path(), "imagesTr/b_0001.nii.gz", &moved, |i| image(42, i));
    let parts = ["5.000 mm from those of imagesTr/b_0000.nii.gz", "affine"];
    alone(&folder, (Warning, PlaceDiffers, "imagesTr/b_0001.nii.gz"), &parts);
    let recase = |header: &NiftiHeader| {
        let folder = good(1, ONE);
        put(folder.path(), "imagesTr/c_0000.nii.gz", header, |i| image(2, i));
        put(folder.path(), "labelsTr/c.nii.gz", header, |i| label(2, i));
        folder
    };
    let folder = recase(&NiftiHeader::new(SHAPE, [1.0, 1.5, 9.0]));
    let parts = ["1 x 1.5 x 9 mm (x, y, z), where the median is 1 x 1.5 x 3", "resample"];
    alone(&folder, (Warning, UnusualSpacing, "case c"), &parts);
    let mut flipped = NiftiHeader { qform_code: 0, ..header() };
    flipped.srow[0][0] = -1.0;
    let parts = ["its axes run LAS, where 4 of 5 cases have RAS", "check that the header is right"];
    alone(&recase(&flipped), (Warning, UnusualOrientation, "case c"), &parts);
}

#[test]
fn a_lesion_that_resampling_leaves_nothing_of_is_found() {
    let folder = good(1, ONE);
    let fine = NiftiHeader::new([12, 10, 8], SPACING.map(|s| s / 2.0));
    put(folder.path(), "imagesTr/c_0000.nii.gz", &fine, |i| image(2, i));
    // A single voxel, and a block of two voxels along each axis of the others' grid.
    let in_block = |i: usize| [i % 12, i / 12 % 10, i / 120].iter().all(|at| (4..8).contains(at));
    put(folder.path(), "labelsTr/c.nii.gz", &fine, |i| u8::from(i == 13 || in_block(i)));
    let parts = ["1 of 2 objects of class lesion", "3 x 1.5 x 1 mm", "data.spacing"];
    alone(&folder, (Warning, Vanished, "case c"), &parts);
}

#[test]
fn foreground_in_an_empty_border_is_found() {
    let folder = good(1, ONE);
    // The lowest slice has one value, and four voxels of the label.
    let value = |i| if i < VOXELS / SHAPE[2] { -2.0 } else { image(2, i) };
    put(folder.path(), "imagesTr/c_0000.nii.gz", &header(), value);
    let parts = ["4 foreground voxels", "empty border", "data.crop=false"];
    alone(&folder, (Warning, Vanished, "case c"), &parts);
}

#[test]
fn each_header_that_says_two_things_is_found_alone() {
    let mut small = NiftiHeader { xyzt_units: 3, qform_code: 0, ..header() };
    small.srow.iter_mut().flatten().chain(&mut small.pixdim[1..4]).for_each(|length| *length *= 1e3);
    let mut thick = NiftiHeader { qform_code: 0, ..header() };
    thick.srow[2][2] *= 2.0;
    let mut moved = header();
    moved.qoffset[1] += 7.0;
    for (header, part) in [
        (thick, "its pixdim gives voxels of 1.000 x 1.500 x 3.000 mm, its sform of 1.000 x 1.500 x 6.000 mm"),
        (moved, "its qform lies up to 7.000 mm from its sform, which is taken"),
        (small, "its lengths are in micrometres, and converted to millimetres"),
    ] {
        let folder = good(1, ONE);
        for (file, is_label) in [("imagesTr/c_0000.nii.gz", false), ("labelsTr/c.nii.gz", true)] {
            let value = |i| if is_label { f32::from(label(2, i)) } else { image(2, i) };
            put(folder.path(), file, &header, value);
        }
        alone(&folder, (Warning, HeaderContradicts, "imagesTr/c_0000.nii.gz"), &[part, "in mm"]);
    }
}

#[test]
fn each_fault_of_labels_is_found_alone() {
    let with = |value: fn(usize) -> f32| {
        let folder = good(1, ONE);
        put(folder.path(), "labelsTr/b.nii.gz", &header(), value);
        folder
    };
    let folder = with(|i| if i % 2 == 0 { 255.0 } else { 0.0 });
    let parts = ["255 (60 voxels)", "0/255 mask", "1 in place of 255, as \"lesion\" is 1 in dataset.json"];
    alone(&folder, (Error, Mask255, "case b"), &parts);
    // All masks are so: the class is not called absent.
    let folder = good(1, ONE);
    for name in ["a", "b", "c"] {
        let first = usize::from(name.as_bytes()[0]) % 5;
        put(folder.path(), &format!("labelsTr/{name}.nii.gz"), &header(), |i| 255 * u8::from(i % 5 == first));
    }
    let kinds: Vec<Kind> = found(folder.path()).0.iter().map(|f| f.1).collect();
    assert_eq!(kinds, [Mask255; 3]);
    let folder = with(|i| [0.0, 1.0, 3.0, -1.0][i % 4]);
    let parts = ["-1 (30 voxels), 3 (30 voxels), not in dataset.json (background = 0, lesion = 1)"];
    alone(&folder, (Error, UnknownLabels, "case b"), &parts);
    let folder = with(|i| if i < 4 { 0.5 } else { 0.0 });
    alone(&folder, (Error, NotWholeLabels, "case b"), &["0.5 at", "in 4 voxels", "nearest neighbour"]);
    empty_alone(&with(|_| 0.0), "none of its 120 voxels is foreground");
    alone(&with(|_| 1.0), (Warning, AllForeground, "labelsTr/b.nii.gz"), &["is background", "cropped"]);
    let folder = good(1, ONE);
    put(folder.path(), "labelsTs/t.nii.gz", &header(), |i| 2 * label(3, i));
    alone(&folder, (Error, UnknownLabels, "case t"), &["labelsTs/t.nii.gz holds 2 ("]);
    let folder = good(2, TWO);
    put(folder.path(), "labelsTr/b.nii.gz", &header(), |_| 2u8);
    empty_alone(&folder, "all are to be ignored");
}

/// Case b is found to be empty, and the fold that holds it out to have nothing to validate the class on.
#[track_caller]
fn empty_alone(folder: &tempfile::TempDir, part: &str) {
    let (findings, page) = found(folder.path());
    let wanted = [(ClassByFold, "dataset.json"), (EmptyCase, "labelsTr/b.nii.gz")];
    assert_eq!(findings, wanted.map(|(kind, subject)| (Warning, kind, subject.to_owned())));
    let text = page.to_string();
    assert!(
        text.contains(part) && text.contains("occurs in a and c alone: no validation case of fold "),
        "{text}"
    );
}

#[test]
fn each_fault_of_intensities_is_found_alone() {
    let with = |file: &str, value: &dyn Fn(usize) -> f64| {
        let folder = good(1, ONE);
        put(folder.path(), file, &header(), value);
        folder
    };
    let folder = with("imagesTr/b_0000.nii.gz", &|i| [f64::NAN, f64::INFINITY, 1e300, i as f64][i.min(3)]);
    alone(&folder, (Error, NotFinite, "case b"), &["b_0000.nii.gz holds 3 voxels that are NaN", "replace"]);
    let folder = with("imagesTr/b_0000.nii.gz", &|_| -2.5);
    alone(&folder, (Warning, ConstantImage, "imagesTr/b_0000.nii.gz"), &["every voxel is -2.5"]);
    // The same voxels in another type, so in another file.
    let folder = with("imagesTr/b_0000.nii.gz", &|i| f64::from(image(0, i)));
    let parts = ["has the same voxels as imagesTr/a_0000.nii.gz\n", "take one of them away"];
    alone(&folder, (Warning, DuplicateImage, "imagesTr/b_0000.nii.gz"), &parts);
    let folder = with("imagesTs/u_0000.nii.gz", &|i| f64::from(image(0, i)));
    alone(&folder, (Warning, DuplicateImage, "imagesTs/u_0000.nii.gz"), &["what is trained on is tested on"]);
    let folder = with("labelsTr/c.nii.gz", &|i| f64::from(label(1, i)));
    let parts = ["has the same voxels as labelsTr/b.nii.gz"];
    alone(&folder, (Warning, DuplicateLabels, "labelsTr/c.nii.gz"), &parts);
}
