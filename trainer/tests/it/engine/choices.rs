//! Laws of the post-processing that a run chooses at its end.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tempfile::tempdir;
use trainer::predict::{Asked, Candidates, Choice, SlidingWindow};
use trainer::preprocess::Case;
use trainer::run::checkpoint::{Checkpoint, Saved};
use trainer::training::train;
use unet3d::UNet3d;

use super::small::{self, SHAPE};

const AUTO: [&str; 5] = [
    "inference.min_component=auto",
    "inference.keep_largest=auto",
    "inference.fill_holes=auto",
    "training.epochs=3",
    "optimizer.lr=0.02",
];

fn load(folder: &Path, name: &str) -> Checkpoint {
    Checkpoint::load(&folder.join("checkpoints").join(name)).unwrap()
}

/// What a checkpoint's own masks of these cases say.
fn measured(checkpoint: &Checkpoint, asked: &Asked, cases: &[Case]) -> Choice {
    let (network, inference) = (checkpoint.network(), &checkpoint.card.inference);
    let mut model =
        UNet3d::<f32>::new(network.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    model.load_state_dict(checkpoint.weights.clone()).unwrap();
    let (patch, mirror) = (network.plan.patch_size, inference.mirror.axes());
    let window = SlidingWindow { patch, overlap: inference.overlap, mirror };
    let classes = &network.preparation().reader.description.classes;
    let mut candidates = Candidates::new(asked, &classes[1..]);
    for case in cases {
        let logits = window.run(&model, &case.image, case.shape, |_, _| true).unwrap();
        let mask = network.decision.classes(&logits.values);
        candidates.add(&case.name, &mask, case.labels.as_ref().unwrap(), case.shape, 1.0);
    }
    candidates.choose().unwrap()
}

fn cases(classes: usize) -> [Vec<Case>; 2] {
    let all: Vec<Case> = (0..4).map(|i| small::case(SHAPE, 1, classes, i)).collect();
    [all[..2].to_vec(), all[2..].to_vec()]
}

#[test]
fn every_checkpoint_of_a_run_that_ended_has_the_choice_of_its_own_masks() {
    for classes in [2, 3] {
        let folder = tempdir().unwrap();
        let [training, validation] = cases(classes);
        let setup = small::setup(folder.path(), &AUTO, training, validation.clone(), classes);
        let outcome = small::run(setup).unwrap();
        for name in ["best", "last"] {
            let checkpoint = load(folder.path(), name);
            let want = measured(&checkpoint, &Asked::default(), &validation);
            assert_eq!(checkpoint.network().postprocessing, Some(want), "{name} of {classes} classes");
        }
        assert_eq!(outcome.postprocess, load(folder.path(), "last").network().postprocessing.clone());
        let choice = outcome.postprocess.unwrap();
        assert_eq!(choice.cases, ["case_2", "case_3"]);
        println!("{choice}");
    }
}

#[test]
fn what_is_asked_for_is_no_choice() {
    let folder = tempdir().unwrap();
    let [training, validation] = cases(2);
    let set = [&AUTO[..], &["inference.keep_largest=true"]].concat();
    let outcome = small::run(small::setup(folder.path(), &set, training, validation.clone(), 2)).unwrap();
    let asked = Asked { keep_largest: Some(true), ..Asked::default() };
    let best = load(folder.path(), "best");
    assert_eq!(best.network().postprocessing, Some(measured(&best, &asked, &validation)));
    assert!(outcome.postprocess.unwrap().classes[0].taken.keep_largest);
    // With all of it asked for nothing is measured.
    let folder = tempdir().unwrap();
    let [training, validation] = cases(2);
    let outcome = small::run(small::setup(folder.path(), &[], training, validation, 2)).unwrap();
    assert_eq!(
        (outcome.postprocess, load(folder.path(), "best").network().postprocessing.clone()),
        (None, None)
    );
}

#[test]
fn without_validation_cases_and_before_the_end_nothing_is_chosen() {
    let folder = tempdir().unwrap();
    let [training, _] = cases(2);
    let outcome = small::run(small::setup(folder.path(), &AUTO, training, vec![], 2)).unwrap();
    assert_eq!(
        (outcome.postprocess, load(folder.path(), "last").network().postprocessing.clone()),
        (None, None)
    );

    let folder = tempdir().unwrap();
    let build = |resume| {
        let [training, validation] = cases(2);
        let setup = small::setup(folder.path(), &AUTO, training, validation, 2);
        trainer::training::Setup { resume, ..setup }
    };
    let outcome = train(build(None), &AtomicBool::new(true)).unwrap();
    assert!(outcome.stopped && outcome.postprocess.is_none());
    let saved = Saved::open(&folder.path().join("checkpoints/last")).unwrap();
    assert_eq!(saved.card.networks[0].postprocessing, None);
    // A run that goes on to its end makes the choice.
    let outcome = train(build(Some(saved)), &AtomicBool::new(false)).unwrap();
    assert!(!outcome.stopped && outcome.postprocess.is_some());
    assert!(load(folder.path(), "last").network().postprocessing.is_some());
}
