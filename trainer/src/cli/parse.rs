//! The words of a command line as a [`Cli`], and what is said of those that are none.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};

use super::{Cli, examples};
use crate::config::keys_meant;
use crate::words::either;

/// The command line as clap knows it.
pub fn command() -> Command {
    Cli::command().after_help(examples::FIRST_STEPS).mut_subcommands(|command| {
        // -5 is refused as a number, not taken for a flag.
        let command = command.mut_args(|arg| match arg.get_action().takes_values() && !arg.is_positional() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        });
        match examples::of(command.get_name()) {
            Some(text) => command.after_help(text),
            None => command,
        }
    })
}

/// Reads a command line, of which the first word is the program.
///
/// # Errors
/// Help and the version where they are asked for, and mistakes, with the flag or the key that is meant.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let matches = command().try_get_matches_from(&words);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|mut said| {
        let command = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
        if let Some(tip) = tip(&said, command) {
            said.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
        }
        said
    })
}

/// What an argument that there is not stands for.
fn tip(said: &clap::Error, command: &str) -> Option<String> {
    let Some(ContextValue::String(argument)) = said.get(ContextKind::InvalidArg) else { return None };
    if said.kind() != ErrorKind::UnknownArgument || said.get(ContextKind::SuggestedArg).is_some() {
        return None;
    }
    match (command, argument.strip_prefix("--")) {
        ("plan" | "train" | "study", Some(flag)) => {
            let keys = keys_meant(flag.split('=').next().unwrap_or_default());
            let settings: Vec<String> = keys.iter().map(|key| format!("--set {key}=VALUE")).collect();
            (!keys.is_empty()).then(|| format!("settings are given as {}", either(&settings)))
        }
        ("evaluate", None) => {
            Some("both folders are given by name: --predictions MASKS --labels LABELS".into())
        }
        ("inspect" | "verify" | "plan" | "train" | "study", None) => {
            Some("one data set is given; what else there is to say has a flag, such as --out RUN".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{EXAMPLES, FIRST_STEPS};
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        // What follows > is the shell's.
        line.split(" > ").next().unwrap_or_default().split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_each_can_be_typed() {
        for sub in command().get_subcommands() {
            let name = sub.get_name();
            let help = sub.get_after_help().map(ToString::to_string);
            assert!(help.is_some() || ["config", "help"].contains(&name), "{name} has no examples");
        }
        let first = FIRST_STEPS.lines().filter_map(|line| line.strip_prefix("  "));
        let of_commands = EXAMPLES.iter().flat_map(|(name, examples)| {
            let starts = format!("trainer {name}");
            examples.iter().map(move |(line, _)| {
                assert!(line.starts_with(&starts), "{line}");
                *line
            })
        });
        for line in first.chain(of_commands) {
            assert!(parse(words(line)).is_ok(), "{line}");
        }
    }

    #[test]
    fn settings_typed_as_flags_are_told_with_their_key() {
        for (line, tip) in [
            ("trainer train D --out R --lr 0.1", "settings are given as --set optimizer.lr=VALUE"),
            ("trainer train D --out R --learning-rate=0.1", "--set optimizer.lr=VALUE"),
            ("trainer plan D --batch-size 4", "--set data.batch_size=VALUE"),
            ("trainer plan D --epochs 4", "--set training.epochs=VALUE"),
            ("trainer train D --out R --epoch 4", "a similar argument exists: '--epochs'"),
            ("trainer evaluate MASKS LABELS", "--predictions MASKS --labels LABELS"),
            ("trainer train D R", "such as --out RUN"),
        ] {
            let said = parse(words(line)).unwrap_err().to_string();
            assert!(said.contains(tip), "{line}: {said}");
        }
    }

    #[test]
    fn what_is_no_number_is_said_so_below_0_too() {
        for (line, said) in [
            ("trainer train D --out R --epochs ten", "a whole number from 0 on is needed, such as 8"),
            ("trainer train D --out R --epochs -5", "invalid value '-5' for '--epochs"),
            ("trainer explain --positive -5 --negative 3", "invalid value '-5' for '--positive"),
            ("trainer explain D --pos-weight much", "a number is needed, such as 0.5"),
            ("trainer evaluate --predictions P --labels L --tolerance near", "a number is needed"),
        ] {
            let error = parse(words(line)).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
