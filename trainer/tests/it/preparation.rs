//! Laws of what is done to a case between its files and the network.

use std::path::Path;

use proptest::prelude::*;
use trainer::config::{Config, Scheme};
use trainer::dataset::{CaseFiles, Dataset, IGNORE};
use trainer::preprocess::resample::{Interpolation, per_axis, resample};
use trainer::preprocess::{
    Case, CaseLoader, CaseReader, CaseSummary, ChannelNorm, LoadedCases, Normalisation, Preparation,
    Preprocessing, Revision,
};
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

/// Loads the training cases of a set, into a cache's files where one is named.
fn load(set: &Dataset, reader: &CaseReader, scheme: Scheme, cache: Option<&Path>) -> LoadedCases {
    let (training, validation) = (set.training.clone(), Vec::new());
    let loader = CaseLoader { reader, training, validation, scheme, normalisation: None, say: &|_| () };
    loader.load(cache, false, 2).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// What turns and shifts the axes of a volume of these voxels.
fn turned(shape: [usize; 3], spacing: [f64; 3], flips: [bool; 3]) -> NiftiHeader {
    let mut header = NiftiHeader { qform_code: 0, ..NiftiHeader::new(shape, spacing) };
    for axis in (0..3).filter(|&a| flips[a]) {
        header.srow[axis][axis] = -header.srow[axis][axis];
        header.srow[axis][3] = 5.0;
    }
    header
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn training_a_cache_and_prediction_see_the_same_voxels_however_cases_are_read(
        flips in prop::array::uniform3(any::<bool>()),
        thickness in prop::sample::select(vec![1.0, 2.0, 4.0]),
        (reorient, crop) in (any::<bool>(), any::<bool>()),
        spacing in prop::option::of(prop::array::uniform3(0.6f64..2.5)),
        scheme in prop::sample::select(vec![Scheme::Auto, Scheme::ZScore, Scheme::MaskedZScore, Scheme::Ct, Scheme::None]),
        constant in prop::sample::select(vec![0.0f32, -3.25]),
    ) {
        let shape = [8, 7, 6];
        let inside = |i: usize| (1..6).contains(&(i % 8)) && (2..6).contains(&(i / 8 % 7));
        let folder = tempfile::tempdir().unwrap();
        let channels = [0, 1].map(|c| in_a_box(shape, inside, constant, 400 * c));
        let labels: Vec<u8> = (0..shape.iter().product()).map(|i| u8::from(i % 11 < 4)).collect();
        let header = turned(shape, [1.0, 1.0, thickness], flips);
        let set = data_set(folder.path(), &header, &channels, &labels);
        let preprocessing = Preprocessing { reorient, crop, spacing, ..Preprocessing::NATIVE };
        let reader = CaseReader { preprocessing, ..CaseReader::new(&set, &Config::default().data) };
        let memory = load(&set, &reader, scheme, None);
        let cache = load(&set, &reader, scheme, Some(&folder.path().join("cache")));
        prop_assert_eq!(&memory.preparation, &cache.preparation);
        let unlabelled = CaseFiles { label: None, ..set.training[0].clone() };
        let seen = memory.preparation.prepare(&unlabelled, None).unwrap();
        for loaded in [&memory, &cache] {
            prop_assert_eq!(bits(loaded.training[0].voxels().unwrap().image()), bits(&seen.image));
            prop_assert_eq!(&loaded.training[0].summary().grids, &seen.geometry.grids);
        }
        let summary = reader.summary(&set.training[0]).unwrap();
        prop_assert_eq!(memory.training[0].summary(), &summary);
    }

    #[test]
    fn intensities_are_normalised_before_they_are_resampled_and_after_it_in_the_first_revision(
        spacing in prop::array::uniform3(0.6f64..2.5),
        border in prop::sample::select(vec![0.0f32, -3.25]),
    ) {
        let shape = [8, 7, 6];
        let inside = |i: usize| (1..6).contains(&(i % 8));
        let folder = tempfile::tempdir().unwrap();
        let channels = [in_a_box(shape, inside, border, 0)];
        let set = data_set(folder.path(), &NiftiHeader::new(shape, [1.0; 3]), &channels, &[0; 336]);
        let normalisation = Normalisation { channels: vec![ChannelNorm::ZScore] };
        let native = CaseReader::new(&set, &Config::default().data);
        let files = &set.training[0];
        let at = |revision| {
            let preprocessing = Preprocessing { spacing: Some(spacing), revision, ..native.preprocessing };
            CaseReader { preprocessing, ..native.clone() }
        };
        let resampled = |case: &Case| {
            let kinds = per_axis([1.0; 3], Interpolation::Cubic);
            resample(case.image.clone(), case.shape, 1, case.geometry.grids.shape(), kinds)
        };
        let prepared = |reader: CaseReader| {
            Preparation { reader, normalisation: normalisation.clone() }.prepare(files, None).unwrap()
        };
        let read = at(Revision::Second).read(files).unwrap();
        prop_assert_eq!(read.shape, [6, 7, 5]);
        let wanted = resampled(&normalisation.apply(read).unwrap());
        prop_assert_eq!(bits(&prepared(at(Revision::Second)).image), bits(&wanted));
        // Borders of other constants than 0 are kept.
        let read = at(Revision::First).read(files).unwrap();
        prop_assert_eq!(read.shape, [6, 7, if border == 0.0 { 5 } else { 8 }]);
        let (image, shape) = (resampled(&read), read.geometry.grids.shape());
        let wanted = normalisation.apply(Case { image, shape, ..read }).unwrap().image;
        prop_assert_eq!(bits(&prepared(at(Revision::First)).image), bits(&wanted));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn voxels_that_are_not_empty_have_mean_0_and_deviation_1_and_holes_are_none(
        constants in prop::array::uniform2(-6.0f32..1.0),
        content in prop::collection::vec(any::<bool>(), 5 * 5 * 5),
    ) {
        // A ball of noise with holes in it, in a border two voxels wide.
        let shape = [9, 9, 9];
        let place = |i: usize| [i % 9, i / 9 % 9, i / 81];
        let is_set = |at: [usize; 3]| at.iter().all(|n| (2..7).contains(n)) && content[((at[2] - 2) * 5 + at[1] - 2) * 5 + at[0] - 2];
        prop_assume!((0..729).filter(|&i| is_set(place(i))).count() > 1);
        let folder = tempfile::tempdir().unwrap();
        let channels = [0, 1].map(|c| in_a_box(shape, |i| is_set(place(i)), constants[c], 800 * c));
        let set = data_set(folder.path(), &NiftiHeader::new(shape, [1.0; 3]), &channels, &[0; 729]);
        let normalisation = Normalisation { channels: vec![ChannelNorm::MaskedZScore; 2] };
        let prepared = |crop: bool| {
            let preprocessing = Preprocessing { crop, ..Preprocessing::NATIVE };
            let reader = CaseReader { preprocessing, ..CaseReader::native(&set) };
            Preparation { reader, normalisation: normalisation.clone() }.prepare(&set.training[0], None).unwrap()
        };
        let whole = prepared(false);
        // What can be walked to from outside, face by face, as often as there are voxels.
        let mut outside: Vec<bool> = (0..729).map(|i| place(i).iter().any(|&n| n == 0 || n == 8)).collect();
        for _ in 0..25 {
            for i in (0..729).filter(|&i| !is_set(place(i))).collect::<Vec<_>>() {
                let near = [1, 9, 81].iter().any(|&by| [i.wrapping_sub(by), i + by].iter().any(|&j| j < 729 && outside[j]));
                outside[i] |= near;
            }
        }
        for c in 0..2 {
            let of = |keep: bool| whole.image.iter().skip(c).step_by(2).zip(&outside).filter(move |&(_, &out)| out != keep).map(|(&v, _)| f64::from(v));
            prop_assert!(of(false).all(|v| v == 0.0));
            let n = of(true).count() as f64;
            let mean = of(true).sum::<f64>() / n;
            let sd = (of(true).map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Each of n voxels, of size at most sqrt(n), is rounded once.
            let tolerance = n * f64::from(f32::EPSILON);
            prop_assert!(mean.abs() < tolerance && (sd - 1.0).abs() < tolerance, "mean {}, sd {}", mean, sd);
        }
        // The same voxels, whether the border was cut off or not.
        let cropped = prepared(true);
        prop_assert_eq!(bits(&cropped.image), bits(&parts(&whole, &cropped)));
    }
}

/// The voxels of a whole case of two channels that a cropped one has.
fn parts(whole: &Case, cropped: &Case) -> Vec<f32> {
    let grids = &cropped.geometry.grids;
    let channel =
        |c: usize| grids.part_of(&whole.image.iter().copied().skip(c).step_by(2).collect::<Vec<_>>());
    let [first, second] = [0, 1].map(channel);
    first.into_iter().zip(second).flat_map(|(a, b)| [a, b]).collect()
}

#[test]
fn empty_voxels_do_not_count_where_cropping_leaves_less_than_three_quarters_of_the_median_case() {
    // Of three cases one is a scan without a border, the others are cropped along x to so many of 8 voxels.
    let norm = |left: usize, scheme: Scheme| {
        let folder = tempfile::tempdir().unwrap();
        let shape = [8, 4, 4];
        let label = &[1; 128];
        let header = NiftiHeader::new(shape, [1.0; 3]);
        data_set(folder.path(), &header, &[in_a_box(shape, |_| true, 0.0, 0)], label);
        for (name, seed) in [("b", 200), ("c", 400)] {
            let image = in_a_box(shape, |i| i % 8 < left, -1.5, seed);
            nifti::write(folder.path().join(format!("imagesTr/{name}_0000.nii.gz")), &header, &image)
                .unwrap();
            nifti::write(folder.path().join(format!("labelsTr/{name}.nii.gz")), &header, label).unwrap();
        }
        let set = Dataset::open(folder.path()).unwrap();
        let reader = CaseReader::new(&set, &Config::default().data);
        // Which of them are trained on is no matter.
        let [first, last] = [0..1, 2..3].map(|training| {
            let (inside, outside): (Vec<_>, Vec<_>) = (0..3).partition(|i| training.contains(i));
            let of =
                |which: Vec<usize>| which.into_iter().map(|i| set.training[i].clone()).collect::<Vec<_>>();
            let loader = CaseLoader {
                reader: &reader,
                training: of(inside),
                validation: of(outside),
                scheme,
                normalisation: None,
                say: &|_| (),
            };
            loader.load(None, false, 1).unwrap().preparation.normalisation
        });
        if scheme != Scheme::Ct {
            assert_eq!(first, last);
        }
        first.channels[0]
    };
    assert_eq!(norm(6, Scheme::Auto), ChannelNorm::ZScore);
    assert_eq!(norm(5, Scheme::Auto), ChannelNorm::MaskedZScore);
    assert_eq!(norm(5, Scheme::ZScore), ChannelNorm::ZScore);
    assert_eq!(norm(6, Scheme::MaskedZScore), ChannelNorm::MaskedZScore);
    assert!(matches!(norm(5, Scheme::Ct), ChannelNorm::Ct { .. }));
}

#[test]
fn a_case_of_which_all_voxels_are_ignored_is_named_as_left_out() {
    let (folder, shape) = (tempfile::tempdir().unwrap(), [8, 4, 4]);
    let header = NiftiHeader::new(shape, [1.0; 3]);
    let image = in_a_box(shape, |_| true, 0.0, 0);
    data_set(folder.path(), &header, std::slice::from_ref(&image), &[2; 128]);
    nifti::write(folder.path().join("imagesTr/b_0000.nii.gz"), &header, &image).unwrap();
    let one: Vec<u8> = (0..128).map(|i| if i == 7 { 0 } else { 2 }).collect();
    nifti::write(folder.path().join("labelsTr/b.nii.gz"), &header, &one).unwrap();
    let set = Dataset::open(folder.path()).unwrap();
    let loaded = load(&set, &CaseReader::native(&set), Scheme::ZScore, None);
    let line = "case a: all of its voxels are to be ignored; no patch is cut from it";
    assert_eq!(loaded.left_out(), [line]);
}
