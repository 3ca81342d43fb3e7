//! `trainer train`: from a data set's folder to a run's.

mod conclude;
mod go_on;
mod together;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use ranks::Ranks;
use unet3d::UNet3d;
use volumes::files::read_text;

use self::conclude::conclude;
pub(super) use self::conclude::next;
pub(super) use self::go_on::{agree, goes_on};
pub(super) use self::together::first;
use super::plan;
use crate::cli::Train;
use crate::config::{Auto, Config, Mirror, Mirroring, NamedFile};
use crate::dataset::overlap::same_images;
use crate::dataset::{CaseClasses, Checksums, ClassesByFold, CrossValidation, Dataset};
use crate::predict::{Plan, Tensors};
use crate::preprocess::{CaseLoader, CaseReader, LoadedCases, PreparedCase};
use crate::report::hms;
use crate::run::checkpoint::{Saved, clear_unfinished, load_weights};
use crate::run::folder::{self, Which};
use crate::run::record::{self, Basis, CONFIGURATION, Division, Origins, SettingOrigins};
use crate::training::{
    Length, Objective, Outcome, RunTime, Settled, Setup, TimeTable, check_settings, settled_mirror, train,
};
use crate::words::counted;
use crate::{Error, Result};

/// Trains, and says at the end what to type next.
pub(super) fn run(args: &Train, ranks: &Ranks, stop: &AtomicBool) -> Result<()> {
    let Some(args) = go_on::settled(args, ranks)? else { return Ok(()) };
    let outcome = train_run(&args, ranks, stop)?;
    show!("\n{}", next(&args, &outcome));
    Ok(())
}

/// Trains one run from its beginning, or goes on with it.
pub(super) fn train_run(args: &Train, ranks: &Ranks, stop: &AtomicBool) -> Result<Outcome> {
    let began = Instant::now();
    let (lock, resumed) = match args.resume {
        true => {
            // Nothing is put into a folder that is no run's, and nothing read from one that is being written.
            folder::must_be_run(&args.out)?;
            let lock = if ranks.is_first() { Some(folder::lock(&args.out)?) } else { None };
            let which = args.checkpoint.unwrap_or(Which::Last);
            let (path, checkpoint) = folder::checkpoint(&args.out, Some(which))?;
            if !checkpoint.is_current {
                let message = "was written by an earlier version: it predicts, but its run does not go on; begin anew in another --out, from its weights with --init if you like";
                return Err(Error::file(path, message));
            }
            path.parent().filter(|_| ranks.is_first()).map_or(Ok(()), clear_unfinished)?;
            (lock, Some(checkpoint))
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
        None if ranks.is_first() && !args.resume => Some(folder::begin(&args.out)?),
        lock => lock,
    };

    say!("reading {} training cases of {}", dataset.training.len(), dataset.path.display());
    dataset.notes.iter().chain(&folds.notes(&dataset.training)).for_each(|note| tell!("{note}"));
    // A run goes on with the cases as it began with them.
    let reader = match &resumed {
        Some(checkpoint) => checkpoint.card.networks[0].preparation().reader.clone(),
        None => CaseReader::new(&dataset, &config.data),
    };
    let (training, held_out) = folds.cases().divide(dataset.training.iter().cloned());
    let validation = other.as_ref().map_or(held_out, |other| other.training.clone());
    // Of another folder such cases are refused.
    same_images(&training, &validation)?.iter().for_each(|line| tell!("{line}"));
    let loader = CaseLoader {
        reader: &reader,
        training,
        validation,
        scheme: config.data.normalization,
        normalisation: resumed
            .as_ref()
            .map(|checkpoint| checkpoint.card.networks[0].preparation().normalisation.clone()),
        say: &|line| say!("{line}"),
    };
    let cases = loader.load(args.loading.cache.as_deref(), args.loading.force, config.training.threads)?;
    check_folds(&cases, &folds, &dataset)?;
    cases.check_classes(classes)?;
    cases.left_out().iter().chain(&cases.warnings()?).for_each(|line| tell!("{line}"));
    let plan = resumed.as_ref().map(|checkpoint| checkpoint.card.networks[0].plan.clone());
    let summaries = [&cases.training, &cases.validation].map(|cases| PreparedCase::summaries(cases));
    let settle =
        |config: &Config, plan| Settled::for_cases(&summaries, cases.in_files, &reader, config, plan);
    let settled = together::settled(ranks, &mut config, plan, settle)?;
    let LoadedCases { training, validation, preparation, .. } = cases;
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
    let objective = Objective::new(&config, &plan, &training)?;
    check_settings(&config, validation.len())?;
    let init = args.init.as_deref().map(|path| fitting_weights(path, &plan)).transpose()?;
    if let Some(time) = args.time {
        say!("finding out how long steps and validations take, for --time");
        let [training, validation] = &summaries;
        let mut run =
            RunTime::measure(&settled, &config, plan::validated(training, validation), ranks.size())?;
        if args.all_folds {
            // The cases that were held out are predicted once more, for what is chosen on those of all folds.
            run.further_validations = 1;
        }
        run.once += began.elapsed().as_secs_f64();
        let (epochs, steps_per_epoch, mirror) = together::first(ranks, || {
            let (length, mirror) = resolve(time, &run)?;
            Ok((length.epochs as usize, length.steps_per_epoch as usize, Mirroring::Along(mirror)))
        })?;
        (config.training.epochs, config.training.steps_per_epoch) = (epochs, steps_per_epoch);
        config.inference.mirror = mirror;
    }
    let [of_training, of_validation] = &summaries;
    let validated = plan::validated(of_training, of_validation).iter();
    config.inference.mirror = Mirroring::Along(settled_mirror(&config, plan.patch_size, validated));
    let checksums = args.loading.cache.as_deref().map(Checksums::kept_in).unwrap_or_default();
    let origins = Origins { training: &dataset, validation: other.as_ref(), checksums: &checksums };
    together::agree(ranks, &config, origins, &division, (resumed.as_ref(), init.as_ref()))?;
    if !ranks.is_first() {
        // The first one writes.
    } else if resumed.is_some() {
        record::check(&args.out, origins, &division)?.iter().for_each(|warning| tell!("{warning}"));
        record::write_configuration(&args.out, &config, &setting_origins(args, &config)?)?;
    } else {
        let names = dataset.description.classes.iter().cloned();
        let voxels = PreparedCase::class_counts(&training, classes);
        let class_voxels = names.zip(voxels).collect();
        let basis = Basis { plan: &settled.plan, outlook: &settled.outlook, class_voxels };
        let settings = setting_origins(args, &config)?;
        record::write(&args.out, (&config, &settings), origins, &basis, &division)?;
    }
    if ranks.is_first() {
        checksums.keep()?;
    }
    describe(args, &settled, &config, &division, ranks);
    say!("{}", objective.words(&config.loss));

    let setup = Setup {
        folder: args.out.clone(),
        config: config.clone(),
        plan: plan.clone(),
        preparation,
        training: training.into(),
        validation: validation.into(),
        init,
        resume: resumed,
        ranks: ranks.clone(),
        abandons_last: args.checkpoint.is_some_and(|which| which != Which::Last),
        preparing: began.elapsed(),
    };
    let outcome = train(setup, stop)?;
    if ranks.is_first() {
        conclude(args, &config, &outcome)?;
    }
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
    by_fold.warnings().iter().for_each(|warning| tell!("{warning}"));
    Ok(())
}

/// The length of a run that takes a time, and says so.
fn resolve(time: Duration, run: &RunTime) -> Result<(Length, Mirror)> {
    let seconds = time.as_secs();
    match run.within(time.as_secs_f64()) {
        Some((length, mirror)) => {
            say!("\n{}; --time is {}\n", run.of(length), hms(time));
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
    set.extend(flags(args).into_iter().map(|(key, _, value)| format!("{key}={value}")));
    if let Some(checkpoint) = resumed {
        return Config::load(Some(("the checkpoint's configuration", &checkpoint.state.config)), &set);
    }
    plan::read_configuration(args.config.as_deref(), &set)
}

/// The keys that flags set, with the flags and the values.
fn flags(args: &Train) -> Vec<(&'static str, &'static str, String)> {
    fn number(value: Option<impl ToString>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let flags = [
        ("training.epochs", "--epochs", number(args.epochs)),
        ("training.steps_per_epoch", "--steps-per-epoch", number(args.steps_per_epoch)),
        ("training.seed", "--seed", number(args.seed)),
        ("training.threads", "--threads", number(args.threads)),
        ("training.check_numerics", "--check-numerics", args.check_numerics.then(|| "true".to_owned())),
        ("validation.fold", "--fold", number(args.fold)),
        ("validation.folds", "--folds", number(args.folds)),
    ];
    flags.into_iter().filter_map(|(key, flag, value)| Some((key, flag, value?))).collect()
}

/// Where the settings of a run come from that are not the default's, beside what is known of a run that goes on.
fn setting_origins(args: &Train, config: &Config) -> Result<SettingOrigins> {
    let mut origins = match args.resume {
        true => record::setting_origins(&read_text(&args.out.join(CONFIGURATION)).unwrap_or_default()),
        false => SettingOrigins::new(),
    };
    if let Some(path) = &args.config {
        let name = path.display().to_string();
        let keys = Config::keys_of(&name, &read_text(path)?)?;
        origins.extend(keys.into_iter().map(|key| (key, name.clone())));
    }
    let keys = args.set.iter().filter_map(|pair| pair.split_once('='));
    origins.extend(keys.map(|(key, _)| (key.trim().to_owned(), "--set".to_owned())));
    origins.extend(flags(args).into_iter().map(|(key, flag, _)| (key.to_owned(), flag.to_owned())));
    if args.time.is_some() {
        let resolved = ["training.epochs", "training.steps_per_epoch"];
        origins.extend(resolved.map(|key| (key.to_owned(), record::BY_TIME.to_owned())));
    }
    if !args.resume {
        // What was asked to be settled was settled by the data, whoever asked.
        let asked = configuration(args, None)?.settings();
        let settled = config.settings().into_iter().filter(|(key, value)| asked.get(key) != Some(value));
        let by_data =
            settled.filter(|(key, _)| asked.get(key).is_some_and(|asked| asked.as_str() == Some("auto")));
        origins.extend(by_data.map(|(key, _)| (key, record::BY_DATA.to_owned())));
    }
    let default = Config::default().settings();
    for (key, value) in config.settings() {
        if default.get(&key) != Some(&value) {
            origins.entry(key).or_insert_with(|| record::BY_DATA.to_owned());
        }
    }
    Ok(origins)
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

fn describe(args: &Train, settled: &Settled, config: &Config, division: &Division, ranks: &Ranks) {
    say!("training on {}", division.training_cases.join(", "));
    match division.validation_cases.as_slice() {
        [] => say!("no case is left for validation: metrics will be of the training cases"),
        some => say!("validating on {}", some.join(", ")),
    }
    division.fold.iter().for_each(|fold| say!("held out is {fold}"));
    let (kept, held_out) = (division.training_cases.len(), division.validation_cases.len());
    let unasked = division.fold.is_some() && args.fold.is_none() && !args.all_folds;
    if unasked && 2 * held_out >= kept {
        say!(
            "of {} cases that is much: --all-folds holds out each in turn, --set validation.split=none trains on all",
            kept + held_out
        );
    }
    say!("{}", settled.outlook);
    match config.inference.mirror.axes() {
        Mirror::NONE => say!("predicting without mirror images (inference.mirror)"),
        axes => say!("predicting with mirror images along {axes} axes (inference.mirror)"),
    }
    if settled.outlook.recomputes {
        say!(
            "checkpointing by level: less memory, but every level is computed twice; a step takes about a third longer"
        );
    }
    if !ranks.is_alone() {
        let hosts: BTreeSet<&str> = (0..ranks.size()).map(|rank| ranks.host(rank)).collect();
        let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
        say!(
            "{} share each batch, on {hosts}; memory and threads are those of one",
            counted(ranks.size(), "rank")
        );
    }
    say!(
        "{} of {}; {}, {}, lr {}",
        counted(config.training.epochs, "epoch"),
        counted(config.training.steps_per_epoch, "step"),
        crate::cli::version(),
        counted(config.training.pool_threads(), "thread"),
        config.optimizer.lr
    );
}
