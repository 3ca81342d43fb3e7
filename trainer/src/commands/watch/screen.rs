//! The state of runs in words, in lines of at most so many characters that break between words.

use std::path::Path;
use std::time::Duration;

use super::state::{GoesOn, Phase, RunState, Validation};
use crate::cli::quoted;
use crate::commands::next::{Resume, predict};
use crate::report::{decimal, hms, scientific, sparkline, wrapped};

/// The widest curve.
const WIDEST_CURVE: usize = 60;
/// So many validations are listed, the best and the last ones.
const MOST_VALIDATIONS: usize = 8;

/// One run in full, or several in a line each and in full the one that goes on; the program was called so.
pub(super) fn lines(runs: &[RunState], called: &str, width: usize) -> Vec<String> {
    if let [run] = runs {
        return in_full(run, called, width);
    }
    let mut lines: Vec<String> = runs.iter().flat_map(|run| wrap(&in_short(run), width)).collect();
    if let Some(run) = runs.iter().find(|run| !run.is_over()) {
        lines.push(String::new());
        lines.extend(in_full(run, called, width));
    }
    lines
}

fn in_short(run: &RunState) -> String {
    let best = run.validations.iter().find(|validation| validation.is_best).or(run.validations.last());
    let loss = run.losses.last().and_then(|last| last.loss);
    let parts = [
        Some(format!("{}: {}", run.run.display(), place(run))),
        loss.map(|loss| format!("loss {}", decimal(loss))),
        best.map(|validation| format!("Dice after epoch {}: {}", validation.epoch, dice(validation))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn in_full(run: &RunState, called: &str, width: usize) -> Vec<String> {
    let mut lines = wrap(&format!("{}: {}", run.run.display(), place(run)), width);
    let losses: Vec<f64> = run.losses.iter().map(|at| at.loss.unwrap_or(f64::NAN)).collect();
    if let Some(&loss) = losses.last() {
        let loss = format!("loss {}  ", decimal(loss));
        lines.push(loss.clone() + &sparkline(&losses, width.saturating_sub(loss.len()).min(WIDEST_CURVE)));
    }
    let seconds = |seconds: f64| hms(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let silent = run.silent_seconds.filter(|_| !run.is_over());
    let times = [
        run.lr.map(|lr| format!("lr {}", scientific(lr))),
        (run.step > 0).then(|| format!("{} so far", seconds(run.elapsed_seconds))),
        run.left_seconds.map(|left| format!("about {} left", seconds(left))),
        silent.map(|silent| format!("last line {} ago", seconds(silent))),
    ];
    let times = times.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if !times.is_empty() {
        lines.extend(wrap(&times, width));
    }
    lines.extend(validations(&run.validations, width));
    lines.extend(next(run, called, width));
    lines
}

/// Its state and how far it is.
fn place(run: &RunState) -> String {
    let of = |number: u64, all: Option<u64>| match all {
        Some(all) => format!("{number} of {all}"),
        None => number.to_string(),
    };
    let at = format!("epoch {}, step {}", of(run.epoch, run.epochs), of(run.step, run.steps));
    match run.state {
        Phase::Starting => "starting, no step is taken yet".to_owned(),
        Phase::Running => format!("running, {at}"),
        Phase::Validating => format!("validating, {at}"),
        Phase::Stopped => format!("stopped, {at}"),
        Phase::Done => format!("done, {at}"),
        Phase::Died => format!("died, {at}: its process is gone and did not say why"),
    }
}

fn validations(all: &[Validation], width: usize) -> Vec<String> {
    let Some(last) = all.last() else { return Vec::new() };
    let cases = if last.on_training_cases { "the TRAINING cases" } else { "whole cases" };
    let left_out = all.len().saturating_sub(MOST_VALIDATIONS);
    let title = match left_out {
        0 => format!("validations of {cases}:"),
        _ => format!("validations of {cases}, {} in all:", all.len()),
    };
    let listed = all.iter().enumerate().filter(|(i, validation)| *i >= left_out || validation.is_best);
    let line = |(_, validation): (usize, &Validation)| {
        let best = if validation.is_best { ", the best" } else { "" };
        wrap(&format!("  epoch {}: Dice {}{best}", validation.epoch, dice(validation)), width)
    };
    wrap(&title, width).into_iter().chain(listed.flat_map(line)).collect()
}

/// Of each class; its name where there are several.
fn dice(validation: &Validation) -> String {
    let digits = |dice: Option<f64>| dice.map_or_else(|| "undefined".to_owned(), |dice| format!("{dice:.4}"));
    match validation.classes.as_slice() {
        [class] => digits(class.dice),
        several => {
            let each = several.iter().map(|class| format!("{} {}", class.name, digits(class.dice)));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What to type.
fn next(run: &RunState, called: &str, width: usize) -> Vec<String> {
    let resume = match &run.goes_on {
        GoesOn::Resume { dataset, validation } => {
            let validation = validation.as_ref().map(Path::new);
            Some(Resume { run: &run.run, dataset: Path::new(dataset), validation, cache: None })
        }
        GoesOn::SameCommand => None,
    };
    let commands: Vec<String> = match run.state {
        Phase::Starting | Phase::Running | Phase::Validating if run.tensorboard => {
            vec![format!("tensorboard --logdir {}", quoted(&run.run))]
        }
        Phase::Starting | Phase::Running | Phase::Validating => return Vec::new(),
        Phase::Stopped | Phase::Died => resume.iter().map(|resume| resume.command(called, None)).collect(),
        Phase::Done => {
            let more = resume.zip(run.epochs).map(|(resume, epochs)| resume.prolonged(called, epochs));
            std::iter::once(predict(called, &run.run)).chain(more).collect()
        }
    };
    if commands.is_empty() {
        return wrap("the command that began it goes on from here", width);
    }
    let lines = commands.iter().flat_map(|command| {
        let mut lines = wrap(&format!("  {command}"), width.saturating_sub(2));
        // A shell reads on behind a backslash.
        let last = lines.len() - 1;
        lines[..last].iter_mut().for_each(|line| line.push_str(" \\"));
        lines
    });
    std::iter::once("next:".to_owned()).chain(lines).collect()
}

/// Lines of at most so many characters, which break at words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    wrapped(text, width).split('\n').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{ClassDice, Loss};
    use super::*;

    fn run(state: Phase, losses: usize, validations: u64) -> RunState {
        let classes = ["lesion", "oedema"].map(|name| ClassDice { name: name.into(), dice: Some(0.5) });
        RunState {
            run: "runs/demo-1/run".into(),
            state,
            epoch: 3,
            epochs: Some(20),
            step: 140,
            steps: Some(1000),
            lr: Some(2.886e-5),
            losses: (0..losses)
                .map(|i| Loss { step: i as u64, loss: Some(1.0 / (1.0 + i as f64)) })
                .collect(),
            elapsed_seconds: 56.0,
            left_seconds: Some(344.0),
            silent_seconds: Some(2.0),
            validations: (1..=validations)
                .map(|epoch| Validation {
                    epoch,
                    on_training_cases: false,
                    classes: classes.to_vec(),
                    metric: Some(0.5),
                    is_best: epoch == 1,
                })
                .collect(),
            tensorboard: true,
            goes_on: GoesOn::Resume { dataset: "data/Dataset105_Name".into(), validation: None },
        }
    }

    const PHASES: [Phase; 6] =
        [Phase::Starting, Phase::Running, Phase::Validating, Phase::Stopped, Phase::Done, Phase::Died];

    proptest! {
        #[test]
        fn every_state_fits_any_width_from_40_columns_up(
            phases in prop::collection::vec(prop::sample::select(PHASES.to_vec()), 1..4),
            losses in 0usize..200, validations in 0u64..30, width in 40usize..160,
        ) {
            let runs: Vec<RunState> = phases.into_iter().map(|phase| run(phase, losses, validations)).collect();
            for line in lines(&runs, "trainer", width) {
                prop_assert!(line.chars().count() <= width, "{} columns: {}", width, line);
            }
        }
    }

    #[test]
    fn a_run_under_way_is_shown_with_its_curve_and_the_best_of_its_validations() {
        let shown = lines(&[run(Phase::Running, 8, 12)], "trainer", 80).join("\n");
        let wanted = "\
runs/demo-1/run: running, epoch 3 of 20, step 140 of 1000
loss 0.125  █▄▃▂▂▁▁▁
lr 2.886e-05, 0:00:56 so far, about 0:05:44 left, last line 0:00:02 ago
validations of whole cases, 12 in all:
  epoch 1: Dice lesion 0.5000, oedema 0.5000, the best
  epoch 5: Dice lesion 0.5000, oedema 0.5000
";
        assert!(shown.starts_with(wanted), "{shown}");
        assert!(shown.ends_with("next:\n  tensorboard --logdir runs/demo-1/run"), "{shown}");
    }

    #[test]
    fn a_command_that_breaks_is_still_one_command() {
        let shown = lines(&[run(Phase::Stopped, 1, 0)], "trainer", 40);
        let next = shown.iter().position(|line| line == "next:").unwrap();
        let command: String = shown[next + 1..].iter().map(|line| line.trim().replace('\\', "")).collect();
        assert_eq!(command, "trainer train data/Dataset105_Name --out runs/demo-1/run --resume");
        let broken = &shown[next + 1..shown.len() - 1];
        assert!(!broken.is_empty() && broken.iter().all(|line| line.ends_with(" \\")), "{shown:?}");
    }
}
