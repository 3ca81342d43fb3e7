//! What is read together with a volume's own file.

use std::collections::BTreeSet;
use std::fs;

use volumes::files_beside;
use volumes::nifti::NiftiHeader;

use crate::support::made::{metaimage, nrrd};

#[test]
fn voxels_and_sizes_in_files_of_their_own_belong_to_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    volumes::nifti::write(path("pair.hdr"), &NiftiHeader::new([2, 3, 4], [1.0; 3]), &[0u8; 24]).unwrap();
    fs::write(path("a.nhdr"), nrrd("endian: big\nencoding: raw\ndata file: a.raw")).unwrap();
    fs::write(path("b.mhd"), metaimage("ElementSpacing = 1 1 2", "b.raw")).unwrap();
    fs::write(path("c.mha"), metaimage("ElementSpacing = 1 1 2", "LOCAL")).unwrap();
    let others = ["a.raw", "b.raw", "case.json", "case_0000.tif", "d.nii.gz", "e.json", "e.nii.gz"];
    others.iter().for_each(|name| fs::write(path(name), "").unwrap());
    let beside = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
        files_beside(&paths)
            .into_iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let wanted = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    for (name, want) in [
        ("pair.hdr", &["pair.img"][..]),
        ("pair.img", &["pair.hdr"]),
        ("a.nhdr", &["a.raw"]),
        ("b.mhd", &["b.raw"]),
        ("c.mha", &[]),
        ("case_0000.tif", &["case.json"]),
        ("d.nii.gz", &[]),
        ("e.nii.gz", &[]),
    ] {
        assert_eq!(wanted(want), beside(&[name]), "{name}");
    }
    assert_eq!(wanted(&["a.raw", "pair.img"]), beside(&["a.nhdr", "pair.hdr", "d.nii.gz"]));
    fs::remove_file(path("a.raw")).unwrap();
    assert_eq!(wanted(&[]), beside(&["a.nhdr"]));
}
