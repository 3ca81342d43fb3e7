//! What each subcommand does.

/// Prints lines on what goes on, which `--quiet` leaves out.
macro_rules! say {
    ($($words:tt)*) => { crate::report::Console::get().say(format_args!($($words)*)) };
}

/// Prints warnings, results and last lines.
macro_rules! tell {
    ($($words:tt)*) => { crate::report::Console::get().tell(format_args!($($words)*)) };
}

/// Prints commands to type, which are not broken at words.
macro_rules! show {
    ($($words:tt)*) => { crate::report::Console::get().show(format_args!($($words)*)) };
}

mod all_folds;
mod convert;
mod demo;
mod next;
mod plan;
mod predict;
mod report;
mod study;
mod train;
mod watch;

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use ranks::Ranks;
use serde::Serialize;
use volumes::files::write_json;
use volumes::info::{self, Entry};

use crate::cli::{Cli, Command, Completions, Evaluate, Explain, Info, Inspect, Loading, Verify, is_stdout};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::evaluate::{Merges, Options};
use crate::preprocess::{CaseLoader, CaseReader, PreparedCase};
use crate::report::{Console, Verbosity};
use crate::study::explain::{Explanation, Question};
use crate::{Error, Result, config};

/// Does what the command line says, together with the other ranks. `stop` becoming true ends long work early, keeping what was done.
///
/// # Errors
/// What went wrong, in words for whoever typed the command.
pub fn run(cli: Cli, ranks: &Ranks, stop: &AtomicBool) -> Result<()> {
    let console = cli.console();
    let verbosity = if ranks.is_first() { console.verbosity } else { Verbosity::Silent };
    Console { verbosity, plain: !ranks.is_alone(), ..console }.settle();
    let started = ranks::launched();
    if ranks.is_alone() && started > 1 {
        let message = format!(
            "{started} processes were started by MPI, and each would do the same by itself: start one, or build with --features mpi, by which they share the work"
        );
        return Err(Error::Usage(message));
    }
    if !ranks.is_alone() && !matches!(cli.command, Some(Command::Train(_) | Command::Predict(_))) {
        let message = format!(
            "{} processes were started, and only train and predict are the work of several: start one",
            ranks.size()
        );
        return Err(Error::Usage(message));
    }
    match cli.command.unwrap_or_else(|| Command::Demo(crate::cli::Demo::default())) {
        Command::Demo(demo) => demo::run(&demo, stop),
        Command::Inspect(inspect) => self::inspect(&inspect),
        Command::Verify(verify) => self::verify(&verify),
        Command::Convert(convert) => convert::run(*convert, stop),
        Command::Info(info) => self::info(&info),
        Command::Explain(explain) => self::explain(&explain),
        Command::Plan(plan) => plan::run(&plan),
        Command::Train(train) if train.all_folds => all_folds::run(&train, ranks, stop),
        Command::Train(args) => train::run(&args, ranks, stop),
        Command::Watch(watch) => watch::run(&watch),
        Command::Study(study) => study::run(&study, stop),
        Command::Predict(predict) => predict::run(predict, ranks, stop),
        Command::Report(args) => report::run(&args),
        Command::Evaluate(evaluate) => self::evaluate(&evaluate),
        Command::Config => {
            print!("{}", config::DEFAULT);
            Ok(())
        }
        Command::Completions(Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut crate::cli::command(), "trainer", &mut script);
            print!("{}", String::from_utf8_lossy(&script));
            Ok(())
        }
    }
}

/// Prints figures, and writes them to a file of JSON if one is named; with `-` prints them as JSON alone.
fn give(words: impl Display, json: Option<&Path>, figures: &impl Serialize) -> Result<()> {
    match json {
        Some(path) if is_stdout(path) => {
            let text = serde_json::to_string_pretty(figures);
            println!("{}", text.map_err(|e| Error::Usage(format!("the figures are no JSON: {e}")))?);
            Ok(())
        }
        Some(path) => {
            tell!("{words}");
            Ok(write_json(path, figures)?)
        }
        None => {
            tell!("{words}");
            Ok(())
        }
    }
}

fn inspect(args: &Inspect) -> Result<()> {
    let inspection = crate::curate::inspect::inspect(&Dataset::open(&args.dataset)?)?;
    give(&inspection, args.json.as_deref(), &inspection)
}

fn verify(args: &Verify) -> Result<()> {
    let found = crate::curate::verify::verify(&args.dataset)?;
    give(&found, args.json.as_deref(), &found)?;
    match found.errors {
        0 => Ok(()),
        1 => Err(Error::file(&args.dataset, "has the error above; correct it before training")),
        n => {
            Err(Error::file(&args.dataset, format!("has the {n} errors above; correct them before training")))
        }
    }
}

fn info(args: &Info) -> Result<()> {
    if let ([file], false) = (args.files.as_slice(), args.json) {
        tell!("{}", volumes::info::Info::read(file)?.to_string().trim_end());
        return Ok(());
    }
    let mut entries = Vec::new();
    let (mut refused, total) = (0, args.files.len());
    for file in &args.files {
        let entry = Entry::of(file);
        refused += usize::from(!entry.is_read());
        if args.json {
            entries.push(entry);
        } else {
            // As they come: a large file takes its time.
            tell!("{}", entry.to_string().trim_end_matches('\n'));
        }
    }
    if args.json {
        println!("{}", info::to_json(&entries));
    }
    match (refused, total) {
        (0, _) => Ok(()),
        (_, 1) => Err(Error::Usage("the file cannot be read; the reason is above".into())),
        _ => Err(Error::Usage(format!("{refused} of {total} files cannot be read; the reasons are above"))),
    }
}

fn explain(args: &Explain) -> Result<()> {
    let loss = Config::load(None, &[format!("loss.name={}", args.loss)])?.loss.name;
    let (pos_weight, foreground_fraction) = (args.pos_weight, args.foreground_fraction);
    let question = Question { loss, pos_weight, foreground_fraction };
    let explanation = match (&args.dataset, args.positive, args.negative) {
        (Some(dataset), ..) => {
            let set = Dataset::open(dataset)?;
            Explanation::of_cases(&set, &training_cases(&set, &args.loading)?, &question)?
        }
        (None, positive, negative) => {
            Explanation::of_counts(positive.unwrap_or_default(), negative.unwrap_or_default(), &question)?
        }
    };
    give(explanation.to_string().trim_end(), args.json.as_deref(), &explanation)
}

/// As the default configuration prepares them.
fn training_cases(set: &Dataset, loading: &Loading) -> Result<Vec<PreparedCase>> {
    let config = Config::default();
    let loader = CaseLoader {
        reader: &CaseReader::new(set, &config.data),
        training: set.training.clone(),
        validation: Vec::new(),
        scheme: config.data.normalization,
        normalisation: None,
        say: &|line| say!("{line}"),
    };
    Ok(loader.load(loading.cache.as_deref(), loading.force, config.training.threads)?.training)
}

fn evaluate(args: &Evaluate) -> Result<()> {
    let merges = Merges::new(args.merge.clone())?;
    let options = Options { tolerance: args.tolerance, merges, ..Options::default() };
    let evaluation = crate::evaluate::evaluate(&args.predictions, &args.labels, &options)?;
    give(&evaluation, args.json.as_deref(), &evaluation)?;
    evaluation.complete()
}
