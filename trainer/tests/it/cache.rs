//! Laws of cached cases: they are the cases in memory, and what is not whole or not theirs is refused.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::tempdir;
use trainer::Error;
use trainer::config::Config;
use trainer::dataset::{CaseFiles, Checksums, IGNORE};
use trainer::preprocess::{
    Block, Cache, CachedCase, Case, ChannelNorm, Fingerprint, Found, Normalisation, PatchSource,
    PreparedCase, Region,
};
use trainer::training::Sampler;

use crate::support::small;

/// The fingerprint of a case that is made of no file.
fn made_of(settings: &[u8]) -> Fingerprint {
    let files = CaseFiles { name: "none".into(), images: vec![], label: None };
    Fingerprint::of(&files, settings, &Checksums::default()).unwrap()
}

/// Numbers that a file carries.
fn normalisation(case: &Case) -> Normalisation {
    let norm = ChannelNorm::Ct { low: -1.0, high: 2.0, mean: 0.1, sd: 0.7 };
    Normalisation { channels: vec![norm; case.channels] }
}

fn cached(folder: &Path, case: &Case) -> CachedCase {
    Cache::new(folder).write(case, &normalisation(case), &made_of(b"settings")).unwrap()
}

/// Bits of a region's intensities, and its labels, voxel by voxel of a block.
fn voxels(region: &Region<'_>, block: Block) -> Vec<(Vec<u32>, Option<u8>)> {
    let there = region.block();
    let channels = region.image().len() / there.voxels().max(1);
    let mut all = Vec::new();
    for i in 0..block.voxels() {
        let [_, h, w] = block.size;
        let at = [i / (h * w), i / w % h, i % w];
        let index = (0..3).fold(0, |n, a| n * there.size[a] + block.start[a] + at[a] - there.start[a]);
        let image = &region.image()[index * channels..][..channels];
        all.push((image.iter().map(|v| v.to_bits()).collect(), region.labels().map(|l| l[index])));
    }
    all
}

/// Every augmentation there is, so that patches reach as far as they can.
fn config(set: &[&str]) -> Config {
    let far = [
        "data.batch_size=3",
        "augmentation.rotation_probability=0.5",
        "augmentation.rotation_degrees=90",
        "augmentation.scale_probability=0.5",
        "augmentation.elastic_probability=0.5",
    ];
    let set = [set, &far].concat();
    small::config(&set)
}

#[test]
fn patches_of_cached_cases_have_the_very_bits_of_those_in_memory() {
    for channels in [1, 3] {
        let folder = tempdir().unwrap();
        let mut cases: Vec<Case> = (0..3).map(|i| small::case([9 + i, 21, 15], channels, 4, i)).collect();
        cases[1].spacing = [4.0, 1.0, 1.0];
        cases[2].labels.as_mut().unwrap().iter_mut().for_each(|l| *l = if *l == 3 { IGNORE } else { 0 });
        let files: Vec<CachedCase> = cases.iter().map(|case| cached(folder.path(), case)).collect();
        let config = config(&[]);
        for patch in [[4, 6, 5], [8, 16, 16], [12, 9, 30]] {
            let mixed =
                || [PatchSource::from(&cases[0]), PatchSource::from(&files[1]), PatchSource::from(&cases[2])];
            let memory = Sampler::new(&cases, patch, &config);
            let (disk, both) = (Sampler::new(&files, patch, &config), Sampler::new(mixed(), patch, &config));
            for step in 0..24 {
                let want = memory.batch(step).unwrap();
                for got in [disk.batch(step).unwrap(), both.batch(step).unwrap()] {
                    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(got.image.data()), bits(want.image.data()), "{patch:?}, step {step}");
                    assert_eq!(got.labels, want.labels, "{patch:?}, step {step}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cached_case_is_the_case_in_every_block(
        shape in prop::array::uniform3(1usize..9),
        channels in 1usize..4,
        labelled in any::<bool>(),
        corners in prop::array::uniform6(0usize..9),
    ) {
        let folder = tempdir().unwrap();
        let mut case = small::case(shape, channels, 4, 1);
        // Bits that arithmetic might not carry.
        case.image[0] = -0.0;
        case.labels = case.labels.filter(|_| labelled);
        let file = cached(folder.path(), &case);
        let prepared = PreparedCase::from(case.clone());
        prop_assert_eq!(file.summary(), prepared.summary());
        prop_assert_eq!(prepared.summary().class_counts(4), case.class_counts(4));
        prop_assert_eq!(file.normalisation(), &normalisation(&case));
        let block = |whole: [bool; 3]| {
            let start: [usize; 3] = std::array::from_fn(|a| if whole[a] { 0 } else { corners[a] % shape[a] });
            let size = std::array::from_fn(|a| if whole[a] { shape[a] } else { corners[3 + a] % (shape[a] - start[a] + 1) });
            Block { start, size }
        };
        for whole in [[false; 3], [false, false, true], [false, true, true], [true; 3], [true, false, false]] {
            let block = block(whole);
            let region = file.region(block).unwrap();
            prop_assert_eq!(region.block(), block);
            prop_assert_eq!(voxels(&region, block), voxels(&Region::of(&case), block), "{:?}", block);
        }
        let (memory, disk) = (PatchSource::from(&case), PatchSource::from(&file));
        prop_assert_eq!(memory.foreground(), disk.foreground());
        for (class, listed) in memory.foreground().iter().enumerate() {
            for i in 0..listed.voxels as usize {
                let voxel = disk.foreground_voxel(class, i).unwrap();
                prop_assert_eq!(voxel, memory.foreground_voxel(class, i).unwrap());
                prop_assert_eq!(case.labels.as_ref().unwrap()[voxel], listed.label);
            }
        }
    }
}

#[test]
fn a_large_class_is_thinned_evenly_and_read_back() {
    let mut case = small::case([9, 256, 256], 1, 2, 0);
    case.labels.as_mut().unwrap().fill(1);
    let folder = tempdir().unwrap();
    let file = cached(folder.path(), &case);
    // 9 x 2^16 voxels, of which every third is listed to stay within 2^18.
    assert_eq!(file.foreground()[0].voxels, 3 << 16);
    for i in [0, 1, 77_777, (3 << 16) - 1] {
        assert_eq!(file.foreground_voxel(0, i).unwrap(), 3 * i);
    }
    // More voxels than are read at once.
    let block = Block { start: [1, 0, 0], size: [3, 256, 256] };
    assert_eq!(voxels(&file.region(block).unwrap(), block), voxels(&Region::of(&case), block));
}

#[test]
fn the_size_that_is_said_is_the_voxels() {
    let folder = tempdir().unwrap();
    for (shape, channels) in [([8, 16, 16], 1), ([5, 7, 9], 3)] {
        let case = small::case(shape, channels, 3, 0);
        let file = cached(folder.path(), &case);
        let bytes = fs::metadata(folder.path().join("case_0.voxels")).unwrap().len();
        let listed: u64 = file.foreground().iter().map(|class| u64::from(class.voxels)).sum();
        let beside = bytes - Cache::size_of(shape, channels) - 4 * listed;
        assert!(beside < 4096, "{beside} bytes beside the voxels");
    }
    assert_eq!(Cache::size_of([usize::MAX; 3], 2), u64::MAX);
}

/// Opens what was written, made into something else.
fn refusal(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let folder = tempdir().unwrap();
    let case = small::case([3, 5, 4], 2, 3, 0);
    cached(folder.path(), &case);
    let path = folder.path().join("case_0.voxels");
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    match Cache::new(folder.path()).open("case_0", &made_of(b"settings")) {
        Err(error @ Error::File(volumes::Error::File { .. })) => {
            error.to_string().replace(&path.display().to_string(), "FILE")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_cut_or_longer_is_refused_wherever() {
    let folder = tempdir().unwrap();
    cached(folder.path(), &small::case([3, 5, 4], 2, 3, 0));
    let path = folder.path().join("case_0.voxels");
    let whole = fs::read(&path).unwrap();
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Cache::new(folder.path()).open("case_0", &made_of(b"settings")).unwrap_err().to_string()
    };
    let damaged = format!("{}: is damaged (its length): delete it", path.display());
    for keep in 0..whole.len() {
        let error = refusal(&whole[..keep]);
        assert!(error.starts_with(&damaged), "{keep}: {error}");
    }
    let error = refusal(&[whole, vec![0]].concat());
    assert!(error.starts_with(&damaged), "{error}");
}

#[test]
fn a_bit_that_changed_is_noticed_wherever() {
    let folder = tempdir().unwrap();
    let case = small::case([3, 5, 4], 2, 3, 0);
    cached(folder.path(), &case);
    let path = folder.path().join("case_0.voxels");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        let opened = Cache::new(folder.path()).open("case_0", &made_of(b"settings"));
        assert!(matches!(opened, Err(Error::File(volumes::Error::File { .. }))), "byte {at}");
    }
}

#[test]
fn what_is_foreign_or_of_another_version_is_told_apart() {
    let error = refusal(|mut bytes| {
        bytes[..8].copy_from_slice(b"PK\x03\x04....");
        bytes
    });
    assert!(error.contains("is not a cached case of this program"), "{error}");
    let error = refusal(|mut bytes| {
        bytes[8] = 9;
        bytes
    });
    assert!(error.contains("has version 9, this program reads 6: delete it, it is made again"), "{error}");
}

#[test]
fn another_input_file_or_another_setting_makes_a_file_stale_and_it_is_made_again() {
    let folder = tempdir().unwrap();
    let [image, label] = ["case_0_0000.nii", "case_0.nii"].map(|name| folder.path().join(name));
    fs::write(&image, "image").unwrap();
    fs::write(&label, "label").unwrap();
    let files = CaseFiles { name: "case_0".into(), images: vec![image.clone()], label: Some(label.clone()) };
    let cache = Cache::new(folder.path().join("cache"));
    let case = small::case([3, 5, 4], 1, 3, 0);
    let obtain = |settings: &[u8]| {
        let fingerprint = Fingerprint::of(&files, settings, &Checksums::default()).unwrap();
        let found = cache.find("case_0", &fingerprint).unwrap();
        let file = match &found {
            Found::Case(file) => file,
            Found::Nothing | Found::Unusable { .. } => {
                &Box::new(cache.write(&case, &normalisation(&case), &fingerprint).unwrap())
            }
        };
        let block = Block::whole(case.shape);
        assert_eq!(voxels(&file.region(block).unwrap(), block), voxels(&Region::of(&case), block));
        found
    };
    let why = |found: Found| match found {
        Found::Unusable { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(obtain(b"zscore"), Found::Nothing));
    assert!(matches!(obtain(b"zscore"), Found::Case(_)));
    let told = why(obtain(b"none"));
    assert!(told.contains("is stale (it was made from other settings)"), "{told}");
    assert!(matches!(obtain(b"none"), Found::Case(_)));
    // As long as before.
    fs::write(&label, "LABEL").unwrap();
    let told = why(obtain(b"none"));
    assert!(
        told.contains("case_0.voxels: is stale (it was made from a case_0.nii of other content)"),
        "{told}"
    );
    fs::write(&image, "image!").unwrap();
    assert!(why(obtain(b"none")).contains("case_0_0000.nii"));
    let path = folder.path().join("cache/case_0.voxels");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(why(obtain(b"none")).contains("is damaged (its length)"));
    assert!(matches!(obtain(b"none"), Found::Case(_)));
    // Without its label map the case is another.
    let fingerprint =
        Fingerprint::of(&CaseFiles { label: None, ..files.clone() }, b"none", &Checksums::default()).unwrap();
    let error = cache.open("case_0", &fingerprint).unwrap_err().to_string();
    assert!(error.contains(r#"made from the files ["case_0_0000.nii", "case_0.nii"]"#), "{error}");
}

#[test]
fn names_that_are_no_file_names_and_cases_of_another_name_are_refused() {
    let folder = tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let case = small::case([3, 5, 4], 1, 2, 0);
    for name in ["", "..", "a/b", "../a", "/a"] {
        let named = Case { name: name.into(), ..case.clone() };
        let error = cache.write(&named, &normalisation(&named), &made_of(b"")).unwrap_err();
        assert!(error.to_string().contains("cannot name a file of the cache"), "{name:?}: {error}");
    }
    cache.write(&case, &normalisation(&case), &made_of(b"")).unwrap();
    fs::rename(folder.path().join("case_0.voxels"), folder.path().join("other.voxels")).unwrap();
    let error = cache.open("other", &made_of(b"")).unwrap_err().to_string();
    assert!(error.contains("holds the case \"case_0\""), "{error}");
    assert!(matches!(cache.open("case_0", &made_of(b"")), Err(Error::File(volumes::Error::Io { .. }))));
}
