//! Laws of checkpoints: what was saved is what is read, and what was not saved so is refused in words.

use std::fs;
use std::path::{Path, PathBuf};

use autograd::Tensor;
use metrics::Mean;
use nn::Module;
use nn::schedule::{Schedule, Scheduler};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::{TempDir, tempdir};
use trainer::predict::{Choice, ClassChoice, ModelCard, PostProcessing, Tensors};
use trainer::run::checkpoint::{Checkpoint, SkipCounts, State, load_weights};
use trainer::training::Setup;
use unet3d::UNet3d;

use crate::support::small;

/// Bytes of `state.bin` before the state: magic, version, two lengths, three checksums.
const HEADER: usize = 8 + 4 + 8 + 8 + 3 * 4;

fn setup() -> Setup {
    small::setup(Path::new("unused"), &[], vec![small::case(small::SHAPE, 1, 2, 0)], vec![], 2)
}

fn card() -> ModelCard {
    let mut card = small::card(&setup());
    card.networks[0].postprocessing = Some(choice());
    card
}

fn state(step: u64) -> State {
    let setup = setup();
    State {
        step,
        seconds: 1.5,
        config: setup.config.to_toml(),
        metric: "dice".into(),
        metric_now: None,
        metric_best: Some(0.25),
        validated: true,
        idle: SkipCounts { empty_batches: 2, ..SkipCounts::default() },
        plateau: *Scheduler::new(Schedule::Constant).unwrap().state(),
        log_bytes: 4096,
    }
}

fn choice() -> Choice {
    let mean = |value: Option<f64>| Mean { value, n: 2, undefined: 1 };
    let taken = PostProcessing { min_component: 30, keep_largest: true, fill_holes: false };
    let class = ClassChoice { name: "lesion".into(), taken, before: mean(None), after: mean(Some(0.75)) };
    Choice { cases: vec!["case_1".into(), "case_2".into()], classes: vec![class] }
}

fn model() -> UNet3d<f32> {
    UNet3d::new(setup().plan.model, &mut ChaCha8Rng::seed_from_u64(3)).unwrap()
}

/// A checkpoint of a small network whose optimiser remembers two tensors.
fn checkpoint(step: u64) -> Checkpoint {
    let weights: Tensors = model().state_dict().into_iter().collect();
    let memory = |slot: &str| {
        (format!("head.weight.{slot}"), Tensor::from_fn([1, 2, 1, 1, 1], |i| i as f32 + step as f32))
    };
    let optimizer = ["exp_avg", "exp_avg_sq"].map(memory).into();
    Checkpoint { state: state(step), card: card(), weights, optimizer, report: None }
}

/// A saved checkpoint.
fn saved(step: u64) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("last");
    checkpoint(step).save(&path).unwrap();
    (folder, path)
}

fn refusal(path: &Path) -> String {
    Checkpoint::load(path).expect_err("must be refused").to_string()
}

/// Changes a file of a folder and gives the message with which the folder is refused.
fn after(path: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let file = path.join(file);
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
    refusal(path)
}

fn tensors() -> impl Strategy<Value = Tensors> {
    let shape = prop::collection::vec(0usize..4, 0..=5);
    let tensor = (shape, any::<u64>()).prop_map(|(shape, seed)| {
        // Every bit pattern but NaN, which is not equal to itself: infinities, −0 and denormals among them.
        let value =
            |i: usize| f32::from_bits((seed >> (i % 32)) as u32 ^ (i as u32).wrapping_mul(2_654_435_769));
        Tensor::from_fn(shape.as_slice(), |i| Some(value(i)).filter(|v| !v.is_nan()).unwrap_or(-0.0))
    });
    prop::collection::btree_map("[a-z0-9._ é]{1,12}", tensor, 0..6)
}

fn bits(tensors: &Tensors) -> Vec<(&String, Vec<usize>, Vec<u32>)> {
    let one = |tensor: &Tensor<f32>| tensor.data().iter().map(|v| v.to_bits()).collect();
    tensors.iter().map(|(name, t)| (name, t.dims().to_vec(), one(t))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_saved_is_read_bit_by_bit(weights in tensors(), optimizer in tensors(), step in any::<u64>(), best in any::<Option<f64>>()) {
        prop_assume!(best.is_none_or(|b| !b.is_nan()));
        let folder = tempdir().unwrap();
        let path = folder.path().join("last");
        let state = State { step, metric_best: best, ..state(0) };
        let before = Checkpoint { state, card: card(), weights, optimizer, report: None };
        before.save(&path).unwrap();
        let read = Checkpoint::load(&path).unwrap();
        prop_assert_eq!((&read.state, &read.card), (&before.state, &before.card));
        prop_assert_eq!(bits(&read.weights), bits(&before.weights));
        prop_assert_eq!(bits(&read.optimizer), bits(&before.optimizer));
        let alone = load_weights(&path.join("model.safetensors")).unwrap();
        prop_assert_eq!(bits(&alone), bits(&before.weights));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, in_weights in any::<bool>()) {
        let (_folder, path) = saved(1);
        let file = if in_weights { "model.safetensors" } else { "state.bin" };
        let message = after(&path, file, |bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        });
        prop_assert!(message.contains(file) || message.contains("model.safetensors"), "{}", message);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused(at in any::<prop::sample::Index>(), in_weights in any::<bool>()) {
        let (_folder, path) = saved(1);
        let file = if in_weights { "model.safetensors" } else { "state.bin" };
        let message = after(&path, file, |bytes| bytes.truncate(at.index(bytes.len())));
        prop_assert!(message.contains(file), "{}", message);
    }
}

/// Of each file, 64 lengths and 64 places: none is taken for a checkpoint, and each message names the file.
#[test]
fn a_cut_or_a_flipped_byte_at_each_64th_is_refused() {
    for file in ["state.bin", "model.safetensors"] {
        for part in 0..64 {
            let (_folder, path) = saved(1);
            let message = after(&path, file, |bytes| bytes.truncate(bytes.len() * part / 64));
            assert!(message.contains(file), "cut at {part}/64: {message}");
            let (_folder, path) = saved(1);
            let message = after(&path, file, |bytes| {
                let at = bytes.len() * part / 64;
                bytes[at] ^= 0xff;
            });
            assert!(message.contains(file) || message.contains("model.safetensors"), "{part}/64: {message}");
        }
    }
}

#[test]
fn the_one_before_is_kept_until_the_next_is_whole() {
    let folder = tempdir().unwrap();
    let (last, previous) = (folder.path().join("last"), folder.path().join("previous"));
    for step in 1..=3 {
        let checkpoint = checkpoint(step);
        checkpoint.save_keeping(&last, &previous).unwrap();
        assert_eq!(Checkpoint::load(&last).unwrap().state.step, step);
        let before = Checkpoint::load(&previous).ok().map(|checkpoint| checkpoint.state.step);
        assert_eq!(before, (step > 1).then(|| step - 1));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn each_region_of_the_state_file_has_its_message() {
    for (at, want) in [
        (0, "is not a checkpoint of this program"),
        (8, "has version 7, this program reads 4 and 5"),
        (12, "is damaged (its length)"),
        (20, "is damaged (its length)"),
        (28, "is damaged (the state)"),
        (32, "is damaged (the optimiser's part)"),
        (36, "does not belong to the state.bin beside it"),
        (HEADER, "is damaged (the state)"),
    ] {
        let (_folder, path) = saved(1);
        let message = after(&path, "state.bin", |bytes| bytes[at] ^= 2);
        assert!(message.contains(want), "byte {at}: {message}");
    }
    let (_folder, path) = saved(1);
    let message = after(&path, "state.bin", |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(message.contains("is damaged (the optimiser's part): use another checkpoint"), "{message}");
    let (_folder, path) = saved(1);
    let message = after(&path, "state.bin", |bytes| bytes.push(0));
    assert!(message.contains("is damaged (its length)"), "{message}");
    let (_folder, path) = saved(1);
    // Lengths whose sum overflows.
    let message = after(&path, "state.bin", |bytes| bytes[20..28].fill(0xff));
    assert!(message.contains("is damaged (its length)"), "{message}");
}

#[test]
fn a_state_that_has_a_right_checksum_but_no_meaning_is_refused() {
    let (_folder, path) = saved(1);
    let message = after(&path, "state.bin", |bytes| {
        let length = u64::from_le_bytes(bytes[12..20].try_into().unwrap()) as usize;
        bytes[HEADER..HEADER + length].fill(0xff);
        let sum = crc32c::crc32c(&bytes[HEADER..HEADER + length]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    });
    assert!(message.contains("is damaged"), "{message}");
}

#[test]
fn weights_of_another_step_are_refused() {
    let ((_a, first), (_b, second)) = (saved(1), saved(2));
    let mut other = checkpoint(2);
    other.weights.values_mut().for_each(|w| *w = w.clone().scaled(2.0));
    other.save(&second).unwrap();
    fs::copy(second.join("model.safetensors"), first.join("model.safetensors")).unwrap();
    let message = refusal(&first);
    assert!(message.contains("model.safetensors: does not belong to the state.bin beside it"), "{message}");
}

#[test]
fn missing_and_foreign_files_are_refused_by_name() {
    for file in ["state.bin", "model.safetensors"] {
        let (_folder, path) = saved(1);
        fs::remove_file(path.join(file)).unwrap();
        assert!(refusal(&path).contains(&path.join(file).display().to_string()));
    }
    let (folder, path) = saved(1);
    fs::write(path.join("state.bin"), b"\x80\x02}q\x00.").unwrap();
    assert!(refusal(&path).contains("is not a checkpoint of this program: name a run folder"));
    let nowhere = folder.path().join("nowhere");
    assert!(refusal(&nowhere).contains("nowhere"));

    let text = folder.path().join("text.safetensors");
    fs::write(&text, "these are no weights").unwrap();
    let message = load_weights(&text).unwrap_err().to_string();
    assert!(message.contains("text.safetensors: is not a safetensors file"), "{message}");
}

#[test]
fn a_replacement_that_was_interrupted_leaves_one_that_loads() {
    // The old folder has stepped aside and the new one is not there yet.
    let (folder, path) = saved(1);
    fs::rename(&path, folder.path().join(".last.old")).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(1));
    // Saving again makes order.
    checkpoint(2).save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(2));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["last"]);
    // The new one is there and the old one not yet removed.
    fs::create_dir(folder.path().join(".last.old")).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(2));
    checkpoint(3).save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(3));
}

#[test]
fn the_weights_file_has_pytorchs_names_and_layouts() {
    let (_folder, path) = saved(1);
    let bytes = fs::read(path.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape().to_vec();
    // Convolutions are [out, in, d, h, w], transposed ones [in, out, d, h, w]; the decoder reads skip and upsampled.
    assert_eq!(shape("enc.0.0.weight"), [2, 1, 3, 3, 3]);
    assert_eq!(shape("enc.1.0.weight"), [4, 2, 3, 3, 3]);
    assert_eq!(shape("dec.0.0.weight"), [2, 4, 3, 3, 3]);
    assert_eq!(shape("head.weight"), [1, 2, 1, 1, 1]);
    assert_eq!(shape("head.bias"), [1]);
    // In memory a kernel is [d, h, w, in, out]: the file's order is another.
    let model = model();
    let named = model.named_parameters();
    let (_, kernel) = named.iter().find(|(name, _)| name == "enc.1.0.weight").unwrap();
    let view = file.tensor("enc.1.0.weight").unwrap();
    let values: Vec<f32> =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let oidhw = kernel.value().to_oidhw();
    assert_eq!(oidhw.dims(), [4, 2, 3, 3, 3]);
    assert_eq!(values, oidhw.data());
    assert_ne!(values, kernel.value().data());
    assert_eq!(file.len(), model.state_dict().len());
    assert!(file.tensors().iter().all(|(_, view)| view.dtype() == Dtype::F32));
}

#[test]
fn weights_in_f64_are_read_and_other_types_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let write = |dtype, bytes: &[u8], shape: &[usize]| {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        fs::write(&path, safetensors::serialize([("head.bias", view)], None).unwrap()).unwrap();
        load_weights(&path)
    };
    let double: Vec<u8> = [0.5f64, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(write(Dtype::F64, &double, &[2]).unwrap()["head.bias"].data(), [0.5, -3.0]);
    let message = write(Dtype::F16, &[0; 4], &[2]).unwrap_err().to_string();
    assert!(message.contains("holds head.bias as F16: convert it to F32"), "{message}");
    let message = write(Dtype::F32, &[0; 4], &[1; 9]).unwrap_err().to_string();
    assert!(message.contains("holds head.bias with 9 axes"), "{message}");
}
