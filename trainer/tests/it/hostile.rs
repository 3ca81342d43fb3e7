//! What is made to do harm, beside damage: pipes and links in the place of files, streams that never end, checkpoints and
//! configurations of absurd sizes under right checksums. Each is refused before it is waited for or memory is taken.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use nn::Module;
use nn::schedule::{Schedule, Scheduler};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use trainer::config::Config;
use trainer::dataset::{CaseFiles, Dataset, Description};
use trainer::predict::{NetworkCard, PreparationKind, Tensors};
use trainer::preprocess::{CaseReader, ChannelNorm, Preparation, Preprocessing};
use trainer::run::checkpoint::{Checkpoint, Saved, SkipCounts, State};
use unet3d::UNet3d;
use volumes::info::Entry;
use volumes::nifti::{self, NiftiHeader};

use crate::support::{counting, small};

/// What may be held, whatever a file claims.
const BUFFERS: usize = 2 << 20;

/// Each kind of volume by a name of its.
const NAMES: [&str; 10] =
    ["a.nii", "a.nii.gz", "a.hdr", "a.img", "a.nrrd", "a.mha", "a.npy", "a.npz", "a.tif", "a.png"];

fn refused(entry: Entry) -> String {
    let Entry::Refused { error, .. } = entry else { panic!("{entry}") };
    error
}

/// A header of NIfTI-1 for `u8` voxels of this shape, and so many bytes that gzip shrinks a thousandfold.
fn bomb(path: &Path, shape: [i16; 3], vox_offset: f32, zeros: usize) {
    let made = path.with_file_name("made.nii");
    nifti::write(&made, &NiftiHeader::new([1, 1, 1], [1.0; 3]), &[0u8]).unwrap();
    let mut header = fs::read(made).unwrap();
    header.truncate(352);
    for (axis, n) in shape.into_iter().enumerate() {
        header[42 + 2 * axis..][..2].copy_from_slice(&n.to_le_bytes());
    }
    header[108..112].copy_from_slice(&vox_offset.to_le_bytes());
    let mut packed = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    packed.write_all(&header).unwrap();
    let block = vec![0; 1 << 20];
    (0..zeros >> 20).for_each(|_| packed.write_all(&block).unwrap());
    packed.finish().unwrap();
}

#[test]
fn a_stream_that_inflates_to_more_than_its_header_says_is_left_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    bomb(&path, [4, 3, 2], 352.0, 256 << 20);
    let (entry, most) = counting::most_held(|| Entry::of(&path));
    assert!(entry.is_read(), "{entry}");
    assert!(most < BUFFERS, "{most}");
}

#[test]
fn a_header_that_claims_more_than_its_stream_can_hold_is_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    for (shape, vox_offset) in [([i16::MAX; 3], 352.0), ([4, 3, 2], 8e15)] {
        bomb(&path, shape, vox_offset, 1 << 20);
        let (entry, most) = counting::most_held(|| Entry::of(&path));
        assert!(refused(entry).contains("too short"));
        assert!(most < BUFFERS, "{most}");
    }
}

#[test]
fn a_claim_that_deflate_could_fulfil_is_believed_only_as_far_as_bytes_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    bomb(&path, [1000, 1000, 4], 352.0, 1 << 20);
    let bytes = fs::metadata(&path).unwrap().len() as usize;
    assert!(bytes * 1032 > 4_000_000, "the claim is possible");
    let (entry, most) = counting::most_held(|| Entry::of(&path));
    assert!(refused(entry).contains("too short"));
    assert!(most < BUFFERS + (2 << 20), "{most}");
}

#[cfg(unix)]
fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Reading a pipe would wait for a writer for ever.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        pipe(&path);
        assert!(refused(Entry::of(&path)).contains("is not a file"), "{name}");
    }
    pipe(&folder.path().join("dataset.json"));
    assert!(Description::read(folder.path()).unwrap_err().to_string().contains("is not a file"));
    pipe(&folder.path().join("state.bin"));
    assert!(Checkpoint::load(folder.path()).unwrap_err().to_string().contains("is not a file"));
}

/// A device gives zeros for ever.
#[cfg(unix)]
#[test]
fn a_link_to_a_device_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let link = |name: &str| std::os::unix::fs::symlink("/dev/zero", folder.path().join(name)).unwrap();
    for name in NAMES {
        link(name);
        assert!(refused(Entry::of(&folder.path().join(name))).contains("is not a file"), "{name}");
    }
    link("dataset.json");
    assert!(Description::read(folder.path()).unwrap_err().to_string().contains("is not a file"));
    link("state.bin");
    assert!(Checkpoint::load(folder.path()).unwrap_err().to_string().contains("is not a file"));
}

/// Links within a data set, and to it as a whole, are nothing to speak of; those that lead out are named.
#[cfg(unix)]
#[test]
fn links_are_followed_and_named_where_they_lead_out_and_refused_where_they_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (archive, data) = (folder.path().join("archive"), folder.path().join("data"));
    for place in [&archive, &data] {
        small::write_data_set(place, [4, 6, 5], 1, 2, [2, 1]);
    }
    let whole = folder.path().join("whole");
    symlink(&data, &whole).unwrap();
    for name in ["imagesTr/case_1_0000.nii.gz", "labelsTr/case_0.nii.gz", "imagesTs", "dataset.json"] {
        let (place, aside) = (data.join(name), data.join("aside"));
        fs::rename(&place, &aside).unwrap();
        for target in [aside.clone(), archive.join(name), archive.join("nothing")] {
            symlink(&target, &place).unwrap();
            match (Dataset::open(&whole), target.exists()) {
                (Ok(opened), true) => {
                    let out =
                        format!("{name}: is a link to {}, which is not in the data set; ", target.display());
                    let is_out = target != aside;
                    assert_eq!(
                        opened.notes.iter().any(|note| note.starts_with(&out)),
                        is_out,
                        "{:?}",
                        opened.notes
                    );
                }
                // A folder for testing that leads nowhere is as good as none.
                (Ok(opened), false) => assert!(name == "imagesTs" && opened.test.is_empty()),
                (Err(error), _) => {
                    let nowhere =
                        format!("{name}: is a link to {}, which is not there; put", target.display());
                    assert!(!target.exists() && error.to_string().contains(&nowhere), "{error}");
                }
            }
            fs::remove_file(&place).unwrap();
        }
        fs::rename(&aside, &place).unwrap();
    }
}

#[test]
fn voxel_sizes_too_far_apart_are_refused_before_a_case_is_resampled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    nifti::write(&path, &NiftiHeader::new([5, 4, 3], [1.0, 1e9, 1.0]), &[1u8; 60]).unwrap();
    let set = ["data.patch_size=[8,16,16]"];
    let cases = vec![small::case(small::SHAPE, 1, 2, 0)];
    let reader = small::setup(Path::new("unused"), &set, cases, vec![], 2).preparation.reader;
    let preprocessing = Preprocessing { spacing: Some([1.0; 3]), ..reader.preprocessing };
    let files = CaseFiles { name: "a".into(), images: vec![path], label: None };
    let (case, most) = counting::most_held(|| CaseReader { preprocessing, ..reader }.read(&files));
    let error = case.unwrap_err().to_string();
    assert!(error.contains("case a") && error.contains("1000000000"), "{error}");
    assert!(most < BUFFERS, "{most}");
}

/// Why a checkpoint of this network, which its checksums call whole, is refused; for as much memory as it warrants.
fn refusal(change: impl Fn(&mut NetworkCard)) -> String {
    let set = ["data.patch_size=[8,16,16]"];
    let setup = small::setup(Path::new("unused"), &set, vec![small::case(small::SHAPE, 1, 2, 0)], vec![], 2);
    let model = UNet3d::<f32>::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    let weights: Tensors = model.state_dict().into_iter().collect();
    let mut card = small::card(&setup);
    change(&mut card.networks[0]);
    let state = State {
        step: 1,
        seconds: 1.0,
        config: setup.config.to_toml(),
        metric: "dice".into(),
        metric_now: None,
        metric_best: None,
        validated: true,
        idle: SkipCounts { empty_batches: 2, ..SkipCounts::default() },
        plateau: *Scheduler::new(Schedule::Constant).unwrap().state(),
        log_bytes: 0,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last");
    Checkpoint { state, card, weights, optimizer: Tensors::new(), report: None }.save(&path).unwrap();
    let (result, most) = counting::most_held(|| Saved::open(&path).and_then(Saved::into_network));
    assert!(most < BUFFERS, "{most}");
    result.expect_err("must be refused").to_string()
}

/// The preparation, to change it.
fn prepared(network: &mut NetworkCard) -> &mut Preparation {
    let PreparationKind::Trainer(preparation) = &mut network.preparation;
    preparation
}

#[test]
fn a_checkpoint_that_names_a_larger_network_than_it_holds_is_refused_before_it_is_built() {
    let error = refusal(|network| {
        network.plan.model.base_channels = 1 << 13;
        network.plan.model.max_channels = 1 << 13;
    });
    assert!(error.contains("weights, but holds"), "{error}");
    let error = refusal(|network| network.plan.model.base_channels = 1 << 40);
    assert!(error.contains("max_channels"), "{error}");
}

#[test]
fn a_checkpoint_whose_parts_do_not_fit_together_is_refused() {
    type Change = fn(&mut NetworkCard);
    const CT: ChannelNorm = ChannelNorm::Ct { low: 0.0, high: 0.0, mean: 0.0, sd: f32::NAN };
    let changes: [(Change, &str); 11] = [
        (|s| prepared(s).reader.description.classes.clear(), "classes"),
        (|s| prepared(s).reader.description.classes = vec!["a".into(); 3], "logits"),
        (|s| prepared(s).reader.description.channel_names.clear(), "channels"),
        (|s| prepared(s).normalisation.channels.clear(), "normalised"),
        (
            |s| {
                prepared(s).normalisation.channels =
                    vec![ChannelNorm::Ct { low: 1.0, high: 0.0, mean: 0.0, sd: 1.0 }];
            },
            "normalised",
        ),
        (|s| prepared(s).normalisation.channels = vec![CT], "normalised"),
        (|s| s.decision.calibration.shift.clear(), "calibrated"),
        (|s| s.decision.calibration.scale = f64::NAN, "logits"),
        (|s| prepared(s).reader.preprocessing.spacing = Some([1.0, 0.0, 1.0]), "mm"),
        (|s| s.plan.patch_size = [0; 3], "strides"),
        (|s| s.plan.patch_size = [1 << 40; 3], "voxels"),
    ];
    for (change, word) in changes {
        let error = refusal(change);
        assert!(error.contains("model.safetensors") && error.contains(word), "{word}: {error}");
    }
}

proptest! {
    #[test]
    fn a_configuration_of_absurd_numbers_is_refused_or_counted(
        key in prop::sample::select(vec![
            "data.batch_size", "data.patch_voxels", "model.base_channels", "model.max_channels", "model.levels",
            "training.epochs", "training.steps_per_epoch", "training.threads", "validation.folds",
        ]),
        power in 20u32..63,
    ) {
        let set = [format!("{key}={}", 1u64 << power)];
        if let Ok(config) = Config::load(None, &set) {
            let facts = trainer::run::Facts { shape: [30, 96, 96], spacing: [1.0; 3], in_channels: 1, classes: 2 };
            let _ = trainer::run::Plan::new(facts, &config).map(|plan| plan.model.parameters());
        }
    }
}

#[test]
fn a_patch_that_no_machine_holds_is_refused_by_its_key() {
    for patch in ["[1099511627776, 1099511627776, 1099511627776]", "[65536, 65536, 65536]"] {
        let error = Config::load(None, &[format!("data.patch_size={patch}")]).unwrap_err().to_string();
        assert!(error.contains("data.patch_size"), "{error}");
    }
}
