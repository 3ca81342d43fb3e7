//! Laws of what is done to a case between its files and the network.

use std::path::Path;

use proptest::prelude::*;
use trainer::config::Config;
use trainer::dataset::{CaseFiles, Dataset, IGNORE};
use trainer::preprocess::{CaseReader, CaseSummary};
use volumes::nifti::{self, NiftiHeader};

use crate::support::small::noise;

/// Writes a data set of one case `a` of two channels.
fn data_set(root: &Path, header: &NiftiHeader, channels: &[Vec<f32>], labels: &[u8]) -> Dataset {
    let names: Vec<String> = (0..channels.len()).map(|c| format!("T{c}")).collect();
    let json = serde_json::json!({
        "channel_names": names,
        "labels": {"background": 0, "lesion": 1, "ignore": 2},
    });
    std::fs::write(root.join("dataset.json"), json.to_string()).unwrap();
    for folder in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (c, values) in channels.iter().enumerate() {
        nifti::write(root.join(format!("imagesTr/a_{c:04}.nii.gz")), header, values).unwrap();
    }
    nifti::write(root.join("labelsTr/a.nii.gz"), header, labels).unwrap();
    Dataset::open(root).unwrap()
}

/// Noise in a box of a volume `[x, y, z]` of one constant.
fn in_a_box(shape: [usize; 3], inside: impl Fn(usize) -> bool, constant: f32, seed: usize) -> Vec<f32> {
    (0..shape.iter().product()).map(|i| if inside(i) { 10.0 + noise(seed + i) } else { constant }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn labels_move_no_border_and_foreground_beyond_it_is_counted(
        constants in prop::array::uniform2(-6.0f32..1.0),
        low in prop::array::uniform3(1usize..3),
        high in prop::array::uniform3(3usize..6),
        labels in prop::collection::vec(prop_oneof![6 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8)], 7 * 6 * 5),
    ) {
        let shape = [7, 6, 5];
        let place = |i: usize| [i % 7, i / 7 % 6, i / 42];
        let high = [high[0], high[1], high[2].min(4)];
        let inside = |i: usize| (0..3).all(|a| (low[a]..high[a]).contains(&place(i)[a]));
        let folder = tempfile::tempdir().unwrap();
        let channels = [0, 1].map(|c| in_a_box(shape, inside, constants[c], 300 * c));
        let set = data_set(folder.path(), &NiftiHeader::new(shape, [1.0; 3]), &channels, &labels);
        let reader = CaseReader::new(&set, &Config::default().data);
        let case = reader.read(&set.training[0]).unwrap();
        let alone = reader.read(&CaseFiles { label: None, ..set.training[0].clone() }).unwrap();
        prop_assert_eq!(&case.image, &alone.image);
        prop_assert_eq!(&case.geometry, &alone.geometry);
        prop_assert_eq!(case.shape, [2, 1, 0].map(|a| high[a] - low[a]));
        let kept = case.labels.as_ref().unwrap();
        prop_assert!(kept.iter().all(|&label| [0, 1, IGNORE].contains(&label)));
        let foreground = labels.iter().filter(|&&label| label == 1).count();
        let cut_off = foreground - kept.iter().filter(|&&label| label == 1).count();
        prop_assert_eq!(case.lost.cut_off, cut_off as u64);
        prop_assert_eq!(CaseSummary::of(&case).lost, case.lost.clone());
        // Masks are background there.
        let whole = case.geometry.grids.uncropped(vec![1u8; case.voxels()], &[0]);
        prop_assert_eq!(whole.iter().filter(|&&m| m == 1).count(), case.voxels());
        prop_assert_eq!(whole.len(), labels.len());
    }
}
