//! Data sets of TIFF stacks: the texts beside them belong to them.

use std::fs;

use ::tiff::encoder::{TiffEncoder, colortype};
use trainer::curate::verify::Kind::*;
use trainer::curate::verify::Severity::*;
use trainer::dataset::{Checksums, Dataset};
use trainer::preprocess::Fingerprint;

use super::*;

const JSON: &str =
    r#"{"channel_names": ["T1"], "labels": {"background": 0, "lesion": 1}, "file_ending": ".tif"}"#;

/// Cases a, b and c, without sizes of voxels.
fn stacks() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("dataset.json"), JSON).unwrap();
    for side in ["imagesTr", "labelsTr"] {
        fs::create_dir(root.join(side)).unwrap();
    }
    let open = |file: String| TiffEncoder::new(fs::File::create(root.join(file)).unwrap()).unwrap();
    let [w, h, depth] = SHAPE;
    for (case, name) in ["a", "b", "c"].into_iter().enumerate() {
        let (mut images, mut labels) =
            (open(format!("imagesTr/{name}_0000.tif")), open(format!("labelsTr/{name}.tif")));
        for slice in 0..depth {
            let voxels = slice * w * h..(slice + 1) * w * h;
            let values: Vec<f32> = voxels.clone().map(|i| image(case, i)).collect();
            images.write_image::<colortype::Gray32Float>(w as u32, h as u32, &values).unwrap();
            let values: Vec<u8> = voxels.map(|i| label(case, i)).collect();
            labels.write_image::<colortype::Gray8>(w as u32, h as u32, &values).unwrap();
        }
    }
    folder
}

/// Writes the size of the voxels of every case beside its files.
fn with_sizes(folder: &tempfile::TempDir) {
    for file in ["a", "b", "c"]
        .iter()
        .flat_map(|name| ["imagesTr", "labelsTr"].map(|side| format!("{side}/{name}.json")))
    {
        fs::write(folder.path().join(file), r#"{"spacing": [3.0, 1.5, 1.0]}"#).unwrap();
    }
}

#[test]
fn sizes_beside_the_stacks_are_read_and_complained_of_where_no_stack_has_them() {
    let folder = stacks();
    alone(
        &folder,
        (Warning, UnknownSpacing, "."),
        &["3 of 3 cases, such as a", "count as 1 mm", "CASE.json"],
    );
    with_sizes(&folder);
    let (list, page) = found(folder.path());
    assert_eq!(list, [], "{page}");
    let set = Dataset::open(folder.path()).unwrap();
    assert!(set.headers.iter().all(|header| header.spacing == SPACING));
    // A label map that lacks what its image has.
    fs::remove_file(folder.path().join("labelsTr/b.json")).unwrap();
    alone(&folder, (Warning, PlaceDiffers, "labelsTr/b.tif"), &["b_0000.tif"]);
    with_sizes(&folder);
    for side in ["imagesTr", "labelsTr"] {
        let stray = format!("{side}/z.json");
        fs::write(folder.path().join(&stray), r#"{"spacing": [3.0, 1.5, 1.0]}"#).unwrap();
        alone(&folder, (Warning, UnexpectedEnding, &stray), &["no case needs it"]);
        fs::remove_file(folder.path().join(stray)).unwrap();
    }
    fs::write(folder.path().join("imagesTr/c.json"), r#"{"spacing": [3.0, 0, 1.0]}"#).unwrap();
    let (list, page) = found(folder.path());
    assert!(list.contains(&(Error, Unreadable, "imagesTr/c.json".into())), "{page}");
}

#[test]
fn sizes_beside_the_stacks_are_part_of_what_a_run_and_a_cache_go_by() {
    let folder = stacks();
    with_sizes(&folder);
    let set = Dataset::open(folder.path()).unwrap();
    let names: Vec<String> =
        set.checksums(&Checksums::default()).unwrap().into_iter().map(|sum| sum.path).collect();
    assert!(
        ["imagesTr/a.json", "labelsTr/c.json"].iter().all(|name| names.iter().any(|n| n == name)),
        "{names:?}"
    );
    let before = Fingerprint::of(&set.training[0], &[], &Checksums::default()).unwrap();
    assert_eq!(before, Fingerprint::of(&set.training[0], &[], &Checksums::default()).unwrap());
    fs::write(folder.path().join("imagesTr/a.json"), r#"{"spacing": [3.0, 1.5, 2.0]}"#).unwrap();
    assert_ne!(before, Fingerprint::of(&set.training[0], &[], &Checksums::default()).unwrap());
}
