//! `trainer train`: from a data set's folder to a run's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::UNet3d;

use super::plan;
use crate::cli::Train;
use crate::config::{Auto, Config, Mirror, Mirroring, NamedFile};
use crate::dataset::overlap::same_images;
use crate::dataset::{CaseClasses, Checksums, ClassesByFold, CrossValidation, Dataset};
use crate::predict::{Asked, Plan, Tensors};
use crate::preprocess::{CaseLoader, CaseReader, LoadedCases, PreparedCase};
use crate::report::hms;
use crate::run::checkpoint::{Saved, clear_unfinished, load_weights};
use crate::run::folder::{self, Which};
use crate::run::record::{self, Division, Origins};
use crate::training::{
    Length, Objective, Outcome, RunTime, Settled, Setup, TimeTable, check_settings, draw_slices,
    settled_mirror, train,
};
use crate::{Error, Result};

/// Trains, and says at the end what to type next.
pub(super) fn run(args: &Train, stop: &AtomicBool) -> Result<Outcome> {
    let began = Instant::now();
    let (lock, resumed) = match args.resume {
        true => {
            // Nothing is put into a folder that is no run's, and nothing read from one that is being written.
            folder::must_be_run(&args.out)?;
            let lock = folder::lock(&args.out)?;
            let which = args.checkpoint.unwrap_or(Which::Last);
            let (path, checkpoint) = folder::checkpoint(&args.out, Some(which))?;
            if !checkpoint.is_current {
                let message = "was written by an earlier version: it predicts, but its run does not go on; begin anew in another --out, from its weights with --init if you like";
                return Err(Error::file(path, message));
            }
            path.parent().map_or(Ok(()), clear_unfinished)?;
            (Some(lock), Some(checkpoint))
        }
        false => (None, None),
    };
    let mut config = configuration(args, resumed.as_ref())?;
    if let Some(checkpoint) = &resumed {
        check_length(&config, checkpoint.state.step)?;
    }
    let dataset = Dataset::open(&args.dataset)?;
    let classes = dataset.description.num_classes();
    if classes < 2 {
        let message = "names no foreground class: labels are such as {\"background\": 0, \"lesion\": 1}";
        return Err(Error::file(dataset.path.join("dataset.json"), message));
    }
    let folds = folds(args, &config, &dataset)?;
    let other = args.validation.as_deref().map(|path| dataset.open_for_validation(path)).transpose()?;
    let _lock = match lock {
        Some(lock) => lock,
        None => folder::begin(&args.out)?,
    };

    println!("reading {} training cases of {}", dataset.training.len(), dataset.path.display());
    dataset.notes.iter().chain(&folds.notes(&dataset.training)).for_each(|note| println!("{note}"));
    // A run goes on with the cases as it began with them.
    let reader = match &resumed {
        Some(checkpoint) => checkpoint.card.networks[0].preparation().reader.clone(),
        None => CaseReader::new(&dataset, &config.data),
    };
    let (training, held_out) = folds.cases().divide(dataset.training.iter().cloned());
    let validation = other.as_ref().map_or(held_out, |other| other.training.clone());
    // Of another folder such cases are refused.
    same_images(&training, &validation)?.iter().for_each(|line| println!("{line}"));
    let loader = CaseLoader {
        reader: &reader,
        training,
        validation,
        scheme: config.data.normalization,
        normalisation: resumed
            .as_ref()
            .map(|checkpoint| checkpoint.card.networks[0].preparation().normalisation.clone()),
        say: &|line| println!("{line}"),
    };
    let cases = loader.load(args.loading.cache.as_deref(), args.loading.force, config.training.threads)?;
    check_folds(&cases, &folds, &dataset)?;
    cases.check_classes(classes)?;
    cases.left_out().iter().chain(&cases.warnings()?).for_each(|line| println!("{line}"));
    let plan = resumed.as_ref().map(|checkpoint| checkpoint.card.networks[0].plan.clone());
    let summaries = [&cases.training, &cases.validation].map(|cases| PreparedCase::summaries(cases));
    let settled = Settled::for_cases(&summaries, cases.in_files, &reader, &config, plan)?;
    let LoadedCases { training, validation, preparation, .. } = cases;
    config.data.batch_size = Auto::Value(settled.outlook.batch_size);
    if !args.loading.force {
        settled.outlook.check()?;
    }
    let plan = settled.plan.clone();
    let division = Division {
        fold: folds.fold(),
        training_cases: PreparedCase::names(&training),
        validation_cases: PreparedCase::names(&validation),
    };
    // What cannot start is refused before the folder holds anything.
    Objective::new(&config, &plan, &training)?;
    check_settings(&config, validation.len())?;
    let init = args.init.as_deref().map(|path| fitting_weights(path, &plan)).transpose()?;
    if let Some(time) = args.time {
        println!("finding out how long steps and validations take, for --time");
        let [training, validation] = &summaries;
        let mut run = RunTime::measure(&settled, &config, plan::validated(training, validation))?;
        if args.all_folds {
            // The cases that were held out are predicted once more, for what is chosen on those of all folds.
            run.further_validations = 1;
        }
        run.once += began.elapsed().as_secs_f64();
        let (length, mirror) = resolve(time, &run)?;
        config.training.epochs = length.epochs as usize;
        config.training.steps_per_epoch = length.steps_per_epoch as usize;
        config.inference.mirror = Mirroring::Along(mirror);
    }
    let [of_training, of_validation] = &summaries;
    let validated = plan::validated(of_training, of_validation).iter();
    config.inference.mirror = Mirroring::Along(settled_mirror(&config, plan.patch_size, validated));
    let checksums = args.loading.cache.as_deref().map(Checksums::kept_in).unwrap_or_default();
    let origins = Origins { training: &dataset, validation: other.as_ref(), checksums: &checksums };
    if resumed.is_some() {
        record::check(&args.out, origins, &division)?;
        record::write_configuration(&args.out, &config)?;
    } else {
        record::write(&args.out, &config, origins, (&settled.plan, &settled.outlook), &division)?;
    }
    checksums.keep()?;
    describe(args, &settled, &config, &division);

    // One case is shown at the end: one that was not trained on, if there is one.
    let (training, validation): (Arc<[PreparedCase]>, Arc<[PreparedCase]>) =
        (training.into(), validation.into());
    let shown = (Arc::clone(&training), Arc::clone(&validation));
    let setup = Setup {
        folder: args.out.clone(),
        config: config.clone(),
        plan: plan.clone(),
        preparation,
        training,
        validation,
        init,
        resume: resumed,
        abandons_last: args.checkpoint.is_some_and(|which| which != Which::Last),
    };
    let outcome = train(setup, stop)?;
    let (training, validation) = shown;
    let first = validation.first().or(training.first()).filter(|_| !outcome.stopped);
    if let Some((case, mask)) = first.and_then(|case| Some((case, outcome.first_mask(case)?))) {
        let path = args.out.join("slices.png");
        draw_slices(case, &mask, &path)?;
        println!("slices of {} with truth and prediction: {}", case.name(), path.display());
    }
    conclude(args, &config, &outcome);
    Ok(outcome)
}

/// Says which classes cannot be learnt or validated, and refuses a fold that has nothing to learn.
fn check_folds(cases: &LoadedCases, folds: &CrossValidation, dataset: &Dataset) -> Result<()> {
    let classes = &dataset.description.classes;
    let counted = |cases: &[PreparedCase]| -> Vec<CaseClasses> {
        cases.iter().map(|case| case.summary().classes(classes.len())).collect()
    };
    let (training, validation) = (counted(&cases.training), counted(&cases.validation));
    let left_out = CaseClasses::read(folds.cases().left_out(&dataset.training), &dataset.description)?;
    let by_fold = ClassesByFold::of_one(folds.fold(), [&training, &validation, &left_out], classes);
    by_fold.check()?;
    by_fold.warnings().iter().for_each(|warning| println!("{warning}"));
    Ok(())
}

/// The length of a run that takes a time, and says so.
fn resolve(time: Duration, run: &RunTime) -> Result<(Length, Mirror)> {
    let seconds = time.as_secs();
    match run.within(time.as_secs_f64()) {
        Some((length, mirror)) => {
            println!("\n{}; --time is {}\n", run.of(length), hms(time));
            Ok((length, mirror))
        }
        None => {
            let TimeTable { once, validation, run: least, .. } =
                run.of(Length { epochs: 1, steps_per_epoch: 1 });
            Err(Error::Usage(format!(
                "--time: of {seconds} s for a run {once:.0} s go by before the first step and after the last, and a validation of whole cases takes {validation:.0} s: give more than {:.0} s for each run",
                least.ceil()
            )))
        }
    }
}

/// What a run came to, and what to type next.
fn conclude(args: &Train, config: &Config, outcome: &Outcome) {
    println!("{}", outcome.pipeline.decision);
    match &outcome.postprocess {
        Some(choice) => println!("{choice}"),
        None if outcome.stopped || Asked::of(&config.inference).is_settled() => {}
        None => println!("no validation case to choose post-processing on: masks stay as predicted"),
    }
    let state = if outcome.stopped { "stopped" } else { "done" };
    let end = &outcome.end;
    println!(
        "weights {} (CRC-32C); waited for data {:.1} % of the time",
        end.weights_crc32c,
        100.0 * end.waited_for_data
    );
    if let Some(bytes) = end.peak_memory {
        println!("peak memory {:.0} MB", bytes as f64 / (1u64 << 20) as f64);
    }
    println!("{state} after {} steps in {}: {}", outcome.steps, hms(outcome.elapsed), args.out.display());
    // The folds of a cross-validation are gone on with together.
    if outcome.stopped && !args.all_folds {
        println!("the same data set and --out with --resume go on from here");
    }
}

/// Refuses to go on to an end that is behind the run.
fn check_length(config: &Config, taken: u64) -> Result<()> {
    let (epochs, per_epoch) = (config.training.epochs, config.training.steps_per_epoch);
    if (epochs * per_epoch) as u64 >= taken {
        return Ok(());
    }
    let message = format!(
        "{epochs} epochs of {per_epoch} steps end before the {taken} steps that the run has taken: give more"
    );
    Err(Error::config("training.epochs", message))
}

/// Weights for the network of this plan.
fn fitting_weights(path: &Path, plan: &Plan) -> Result<Tensors> {
    let weights = load_weights(path)?;
    let mut model = UNet3d::<f32>::new(plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))?;
    model.load_state_dict(weights.clone()).map_err(|e| Error::file(path, e.to_string()))?;
    Ok(weights)
}

/// The default, the file, the pairs, and the flags; or the configuration of the run that goes on.
pub(super) fn configuration(args: &Train, resumed: Option<&Saved>) -> Result<Config> {
    let mut set = args.set.clone();
    let flags = [
        ("training.epochs", args.epochs.map(|v| v.to_string())),
        ("training.steps_per_epoch", args.steps_per_epoch.map(|v| v.to_string())),
        ("training.seed", args.seed.map(|v| v.to_string())),
        ("training.threads", args.threads.map(|v| v.to_string())),
        ("training.check_numerics", args.check_numerics.then(|| "true".to_owned())),
        ("validation.fold", args.fold.map(|v| v.to_string())),
        ("validation.folds", args.folds.map(|v| v.to_string())),
    ];
    set.extend(flags.into_iter().filter_map(|(key, value)| value.map(|v| format!("{key}={v}"))));
    if let Some(checkpoint) = resumed {
        return Config::load(Some(("the checkpoint's configuration", &checkpoint.state.config)), &set);
    }
    plan::read_configuration(args.config.as_deref(), &set)
}

/// The folds, of which one is held out; they and validation cases of another folder exclude each other.
pub(super) fn folds(args: &Train, config: &Config, dataset: &Dataset) -> Result<CrossValidation> {
    let Some(path) = &args.validation else { return CrossValidation::new(dataset, config) };
    let asked = &config.validation;
    let flag = match (asked.fold, &asked.folds) {
        _ if args.all_folds => "--all-folds".to_owned(),
        _ if matches!(asked.splits, NamedFile::Path(_)) => "validation.splits".to_owned(),
        _ if matches!(asked.groups, NamedFile::Path(_)) => "validation.groups".to_owned(),
        (0, Auto::Value(folds)) => format!("--folds {folds}"),
        (0, Auto::Word(_)) if args.fold.is_none() => {
            return Ok(CrossValidation::without(dataset.training.len()));
        }
        (fold, _) => format!("--fold {fold}"),
    };
    let message = format!("with --validation {} all training cases are trained on", path.display());
    Err(Error::Usage(format!("{flag}: {message}, none is held out: leave one of the two out")))
}

fn describe(args: &Train, settled: &Settled, config: &Config, division: &Division) {
    println!("training on {}", division.training_cases.join(", "));
    match division.validation_cases.as_slice() {
        [] => println!("no case is left for validation: metrics will be of the training cases"),
        some => println!("validating on {}", some.join(", ")),
    }
    division.fold.iter().for_each(|fold| println!("held out is {fold}"));
    let (kept, held_out) = (division.training_cases.len(), division.validation_cases.len());
    let unasked = division.fold.is_some() && args.fold.is_none() && !args.all_folds;
    if unasked && 2 * held_out >= kept {
        println!(
            "of {} cases that is much: --all-folds holds out each in turn, --set validation.split=none trains on all",
            kept + held_out
        );
    }
    println!("{}", settled.outlook);
    match config.inference.mirror.axes() {
        Mirror::NONE => println!("predicting without mirror images (inference.mirror)"),
        axes => println!("predicting with mirror images along {axes} axes (inference.mirror)"),
    }
    if settled.outlook.recomputes {
        println!(
            "checkpointing by level: less memory, but every level is computed twice; a step takes about a third longer"
        );
    }
    println!(
        "{} epochs of {} steps; {}, lr {}",
        config.training.epochs,
        config.training.steps_per_epoch,
        crate::cli::version(),
        config.optimizer.lr
    );
}
