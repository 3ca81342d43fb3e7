//! Trains on volumes that come from anywhere, here from a formula, as `trainer train` does: patches, augmentation, validation,
//! checkpoints and a model in one file. `cargo run -p trainer --example own_data`

use std::sync::atomic::AtomicBool;

use trainer::config::Config;
use trainer::dataset::Description;
use trainer::predict::{ModelFile, Plan};
use trainer::preprocess::{Case, Preparation, PreparedCase};
use trainer::training::{Setup, train};

/// Balls in noise: in the place of a data set of one's own.
struct Balls;

impl Balls {
    /// Intensities `[d, h, w, c]` and a class for each voxel.
    fn load(index: usize) -> Case {
        let shape @ [d, h, w] = [16, 32, 32];
        let centre = [6 + index % 4, 10 + 3 * index % 11, 20 - 2 * index % 9];
        let inside = |i: usize| {
            let at = [i / (h * w), i / w % h, i % w];
            (0..3).map(|a| at[a].abs_diff(centre[a]).pow(2)).sum::<usize>() < 20
        };
        let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as f32 % 1000.0 / 500.0 - 1.0;
        let image = (0..d * h * w).map(|i| noise(i + index) + if inside(i) { 1.0 } else { 0.0 }).collect();
        let labels = (0..d * h * w).map(|i| u8::from(inside(i))).collect();
        Case::from_voxels(format!("ball_{index}"), shape, [1.0; 3], image, Some(labels))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = ["model.base_channels=8", "model.levels=3", "training.epochs=2", "training.log_every=25"];
    let config = Config::load(None, &set.map(str::to_owned))?;
    let cases: Vec<PreparedCase> = (0..9).map(|index| Balls::load(index).into()).collect();
    let (mut training, classes) = (cases, ["background", "ball"]);
    let validation = training.split_off(6);
    let plan = Plan::for_cases(&training, classes.len(), &config)?;
    let preparation = Preparation::none(Description::new(&["intensity"], &classes));
    let folder = tempfile::tempdir()?;
    let setup = Setup::new(folder.path(), config, plan, preparation, training, validation);
    let outcome = train(setup, &AtomicBool::new(false))?;
    // What `trainer predict` takes: weights, and all else that a prediction needs.
    let model = ModelFile::open(&folder.path().join("model.safetensors"))?;
    println!("best f1 {:?}, after {} steps", outcome.best, model.card.networks[0].steps);
    Ok(())
}
