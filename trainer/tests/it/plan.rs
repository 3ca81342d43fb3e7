//! Laws of planning: what memory limits, what anisotropic voxels lead to, and what is said of it.

use memory::{Limit, Machine};
use proptest::prelude::*;
use trainer::config::{Auto, Config};
use trainer::dataset::Dataset;
use trainer::preprocess::{CaseReader, Preprocessing};
use trainer::run::{Facts, Plan};
use trainer::training::{CaseMemory, Settled};

use crate::support::shared::shared;

fn config(set: &[&str]) -> Config {
    let set: Vec<String> = set.iter().map(|&pair| pair.to_owned()).collect();
    Config::load(None, &set).unwrap()
}

fn facts(shape: [usize; 3], spacing: [f64; 3]) -> Facts {
    Facts { shape, spacing, in_channels: 1, classes: 2 }
}

/// A single case of the median shape.
fn cases(facts: Facts) -> CaseMemory {
    let voxels = facts.shape.iter().product();
    CaseMemory {
        preparing: 0,
        bytes: 5 * voxels,
        largest: facts.shape,
        largest_file: voxels,
        channels: 1,
        count: 1,
        read_whole: 0,
        foreground_channels: 0,
    }
}

fn settle(facts: Facts, config: &Config, available: Option<usize>) -> Settled {
    let machine = Machine { available, limit: Limit::Machine };
    Settled::new(facts, config, &cases(facts), Preprocessing::NATIVE, machine).unwrap()
}

/// Slices of 6.5 mm, as many as there are of them, before the plane is halved to 3.1 mm.
fn assert_in_plane_first(plan: &Plan) {
    assert_eq!(plan.model.strides[..2], [[1, 2, 2]; 2]);
    assert_eq!(plan.model.kernels[..2], [[1, 3, 3]; 2]);
    assert_eq!(plan.model.kernels.last(), Some(&[3; 3]));
    assert!(plan.model.strides.iter().any(|stride| stride[0] == 2), "{:?}", plan.model.strides);
    assert_eq!(plan.patch_size, [26, 80, 96]);
}

#[test]
fn thick_slices_are_planned_in_the_plane_first() {
    let facts = facts([25, 256, 256], [6.5, 0.78, 0.78]);
    assert_in_plane_first(&settle(facts, &config(&[]), None).plan);
}

#[test]
fn reference_data_sets_have_the_patches_that_two_hundred_thousand_voxels_allow() {
    let all = [
        ("Dataset101_Pallidum", [48, 64, 64]),
        ("Dataset102_Nuclei3D", [32, 64, 24]),
        ("Dataset103_DeepGrey", [48, 64, 64]),
        ("Dataset104_BrainTumor", [26, 80, 96]),
    ];
    for (name, patch) in all {
        let Some(path) = shared("plan: patches of the reference sets", &format!("data/{name}")) else {
            continue;
        };
        let (dataset, config) = (Dataset::open(&path).unwrap(), Config::default());
        let reader = CaseReader::new(&dataset, &config.data);
        let training: Vec<_> = dataset.training.iter().map(|files| reader.summary(files).unwrap()).collect();
        let facts = Facts::of(&training, dataset.description.num_classes());
        let settled = settle(facts, &config, Some(8 << 30));
        assert_eq!((settled.plan.patch_size, settled.outlook.batch_size), (patch, 2), "{name}");
        if name.contains("104") {
            assert_in_plane_first(&settled.plan);
        }
    }
}

#[test]
fn a_field_of_view_lies_between_a_cube_of_voxels_and_one_of_millimetres() {
    let [d, h, w] = settle(facts([100, 512, 512], [3.0, 0.8, 0.8]), &config(&[]), None).plan.patch_size;
    let ratio = d as f64 / h.max(w) as f64;
    assert!(h.max(w) > d && 3.0 * ratio > 0.8 * 1.2, "{d} x {h} x {w}");
}

#[test]
fn batches_grow_only_where_a_patch_covers_the_volume_and_memory_allows() {
    let auto = config(&["data.batch_size=auto"]);
    let batch = |shape, available| settle(facts(shape, [1.0; 3]), &auto, available).outlook.batch_size;
    assert_eq!(batch([64, 128, 128], None), 2);
    assert_eq!(batch([32, 32, 32], None), 12);
    let (all, some) = (settle(facts([32; 3], [1.0; 3]), &auto, None).outlook.training.total, 200 << 20);
    assert!(some < all && (2..12).contains(&batch([32, 32, 32], Some(some))));
    assert_eq!(settle(facts([32; 3], [1.0; 3]), &config(&[]), None).outlook.batch_size, 2);
}

/// Forty cases of 300 MB each do not fit; read from files one at a time they do.
#[test]
fn cases_in_files_take_the_memory_of_one() {
    let facts = facts([160, 600, 625], [1.0; 3]);
    let one = cases(facts);
    let many = CaseMemory { bytes: 40 * one.bytes, count: 40, ..one };
    let machine = Machine { available: Some(8 << 30), limit: Limit::Machine };
    let settle = |cases: CaseMemory| {
        Settled::new(facts, &config(&[]), &cases, Preprocessing::NATIVE, machine).unwrap().outlook
    };
    let (memory, files) = (settle(many), settle(many.in_files()));
    assert_eq!((memory.fits, files.fits), (Some(false), Some(true)));
    let error = memory.check().unwrap_err().to_string();
    assert!(error.contains("--cache DIR, which keeps the cases in files"), "{error}");
    assert_eq!(files.training.cases, 0);
    assert!(files.training.between >= 5 * one.largest_file, "a case is read whole to validate on");
}

#[test]
fn samples_of_the_foreground_are_counted_where_cases_are_read() {
    let facts = facts([160, 600, 625], [1.0; 3]);
    let cases = CaseMemory { count: 40, ..cases(facts) }.in_files();
    let machine = Machine { available: Some(64 << 30), limit: Limit::Machine };
    let config = config(&["data.patch_size=[16,32,32]", "model.base_channels=2", "model.levels=2"]);
    let total = |cases: CaseMemory| {
        let settled = Settled::new(facts, &config, &cases, Preprocessing::NATIVE, machine).unwrap();
        settled.outlook.training.total
    };
    // The foreground of one case, at most all of it; 10,000 numbers of each, and once more with their weights.
    let more = total(cases.sampling_foreground(1)) - total(cases);
    assert_eq!(more, 4 * cases.largest_file + 40 * 10_000 * 12);
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers_and_every_remedy_that_is_left() {
    let settle = |set: &[&str], available| {
        let set = [&["data.memory=none", "data.patch_voxels=1048576", "model.levels=4"], set].concat();
        settle(facts([64, 128, 128], [1.0; 3]), &config(&set), available).outlook
    };
    let outlook = settle(&[], Some(1 << 30));
    assert_eq!(outlook.fits, Some(false));
    let error = outlook.check().unwrap_err().to_string();
    let gigabytes = outlook.training.total as f64 / f64::from(1 << 30);
    assert!((1.1..1.4).contains(&gigabytes), "{gigabytes}");
    for part in [
        format!("configuration: data.memory: training takes about {gigabytes:.1} GB").as_str(),
        "the machine has 1.0 GB",
        "data.batch_size = 1",
        "training.accumulate = 2",
        "data.patch_voxels = 524288",
        "model.base_channels = 8",
        "model.checkpointing = \"level\"",
        "--force",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let patch = "data.patch_size=[64,128,128]";
    let narrow = settle(&["data.batch_size=1", "model.checkpointing=level", "data.memory=0.4", patch], None);
    let error = narrow.check().unwrap_err().to_string();
    assert!(error.contains("the limit is 410 MB") && error.contains("a smaller data.patch_size"), "{error}");
    assert!(!error.contains("checkpointing") && !error.contains("batch_size"), "{error}");
    // A limit is one beside the machine's own.
    assert_eq!(settle(&["data.memory=8", patch], Some(1 << 30)).fits, Some(false));
    assert_eq!(settle(&["data.memory=8"], Some(16 << 30)).fits, Some(true));
    assert_eq!(settle(&[], None).fits, None);
    assert!(settle(&[], None).check().is_ok());
}

#[test]
fn the_configuration_that_is_written_leads_to_the_same_plan_whatever_the_data() {
    let config = config(&["data.batch_size=auto", "model.base_channels=8"]);
    let settled = settle(facts([25, 256, 256], [6.5, 0.78, 0.78]), &config, None);
    let written = settled.written(&config);
    assert_eq!(written.data.patch_size, Auto::Value([26, 80, 96]));
    let read = Config::load(Some(("written", &written.to_toml())), &[]).unwrap();
    let other = settle(facts([64; 3], [1.0; 3]), &read, None);
    assert_eq!((other.plan, other.outlook.batch_size), (settled.plan, settled.outlook.batch_size));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Memory limits and does nothing else.
    #[test]
    fn memory_shortens_patches_to_16_voxels_at_least_and_leaves_those_that_fit(
        shape in prop::array::uniform3(4usize..160),
        spacing in prop::array::uniform3(0.5f64..6.0),
        megabytes in 30usize..200,
    ) {
        let limit = format!("data.memory={}", megabytes as f64 / 1024.0);
        let small = "model.base_channels=4";
        let (facts, config, limited) = (facts(shape, spacing), config(&[small]), config(&[small, &limit]));
        let [free, limited] = [config, limited].map(|config| settle(facts, &config, None));
        let patch = limited.plan.patch_size;
        prop_assert!((0..3).all(|a| patch[a] >= shape[a].min(16)), "{patch:?} of {shape:?}");
        prop_assert!((0..3).all(|a| patch[a] <= free.plan.patch_size[a].next_multiple_of(16)));
        if free.outlook.training.total <= megabytes << 20 {
            prop_assert_eq!(&limited.plan, &free.plan);
        }
        let fits = limited.outlook.training.total <= megabytes << 20;
        prop_assert_eq!(limited.outlook.fits, Some(fits));
        // What does not fit cannot be shortened.
        prop_assert!(fits || patch.iter().all(|&size| size <= 32), "{patch:?}");
        prop_assert!(limited.plan.model.check_size(patch).is_ok());
    }
}
