//! What is said of a value that a key does not take: what it takes.
//!
//! That is found out by trying: values of each kind, and the words that the comment above the key in [`DEFAULT`] quotes.

use toml::{Table, Value};

use super::keys::edit_distance;
use super::{Config, DEFAULT, DEFAULTS};
use crate::Error;
use crate::words::either;

/// Kinds of values, each with an example that is one and no other kind of its group: a key takes the first of a group that it
/// takes at all.
const KINDS: [&[(&str, &str)]; 4] = [
    &[("true or false", "true")],
    &[("a number", "0.5"), ("a whole number from 0 on", "1")],
    &[
        ("a list of numbers (such as [1.0, 4.0])", "[0.5]"),
        ("two numbers (such as [0.5, 0.9])", "[0.5, 0.9]"),
        ("three numbers (such as [1.0, 0.5, 0.5])", "[0.5, 0.5, 0.5]"),
        ("three whole numbers (such as [32, 64, 64])", "[1, 1, 1]"),
        ("a list of three whole numbers each (such as [[1, 2, 2], [2, 2, 2]])", "[[1, 2, 2]]"),
    ],
    &[("a file's path", "\"a file's path\"")],
];

/// The error of a table of which a key has a value that it does not take; the first such key is named.
pub(super) fn refused(table: &Table) -> Error {
    let sections = table.iter().filter_map(|(section, keys)| Some((section, keys.as_table()?)));
    let mut keys =
        sections.flat_map(|(section, keys)| keys.iter().map(move |(key, value)| (section, key, value)));
    match keys.find(|(section, key, value)| with(section, key, value).is_none()) {
        Some((section, key, value)) => {
            Error::config(format!("{section}.{key}"), message(section, key, value))
        }
        // Each key by itself can be read, and so can all together.
        None => Error::config("value", "cannot be used; `trainer config` explains every key"),
    }
}

fn message(section: &str, key: &str, value: &Value) -> String {
    let (forms, words) = takes(section, key);
    let all: Vec<String> = forms.into_iter().chain(words.iter().map(ToString::to_string)).collect();
    let slips = |word: &str| value.as_str().map(|said| edit_distance(&said.to_lowercase(), word));
    let near =
        words.iter().filter_map(|word| Some((slips(word.as_str()?)?, word))).min_by_key(|(slips, _)| *slips);
    let near = near.filter(|(slips, word)| 3 * slips <= word.as_str().map_or(0, str::len));
    let advice = match near {
        Some((_, word)) => format!("; did you mean {word}?"),
        None if (section, key) == ("loss", "pos_weight") && value.is_array() => one_for_one_channel(value),
        None => ";".to_owned(),
    };
    format!("is {value}, but takes {}{advice} `trainer config` explains it", either(&all))
}

/// The library's words for weights that are more than the channels.
fn one_for_one_channel(value: &Value) -> String {
    let numbers: Vec<f64> = value.as_array().into_iter().flatten().filter_map(number).collect();
    let one = match numbers.as_slice() {
        [background, foreground] if *background > 0.0 => {
            format!(
                ": weights [w0, w1] of background and foreground are one pos_weight, w1 / w0 = {}",
                foreground / background
            )
        }
        _ => ": it multiplies the loss of every positive voxel".to_owned(),
    };
    format!(
        "{one}; a vector would be one number for each channel, of which there is one, never for each class or sample;"
    )
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

/// The kinds of values that a key takes, and the words and tables that its comment quotes and it takes.
fn takes(section: &str, key: &str) -> (Vec<String>, Vec<Value>) {
    let default = DEFAULTS.get(section).and_then(|keys| keys.get(key));
    let can = |text: &str| with(section, key, &super::parse_value(text)).is_some();
    let kinds = KINDS.iter().filter_map(|group| group.iter().find(|(_, example)| can(example)));
    let kinds: Vec<String> = kinds
        .map(|&(kind, _)| match default {
            Some(number @ (Value::Integer(_) | Value::Float(_))) => format!("{kind} (such as {number})"),
            _ => kind.to_owned(),
        })
        .collect();
    let is_path = can("\"a file's path\"");
    let mut words: Vec<Value> = Vec::new();
    for quoted in quoted(&comment(section, key)) {
        let word = super::parse_value(&quoted);
        let is_word = !is_path || matches!(word.as_str(), Some("auto" | "none"));
        let is_taken = || with(section, key, &word).is_some_and(|config| config.validated().is_ok());
        if is_word && !words.contains(&word) && is_taken() {
            words.push(word);
        }
    }
    (kinds, words)
}

/// The default configuration with one other value, if its key takes one of this kind.
fn with(section: &str, key: &str, value: &Value) -> Option<Config> {
    let mut table = DEFAULTS.clone();
    table.get_mut(section)?.as_table_mut()?.insert(key.to_owned(), value.clone());
    Value::Table(table).try_into().ok()
}

/// The comment above a key of the default, which it may share with its neighbours.
fn comment(section: &str, key: &str) -> String {
    let (mut comment, mut is_ended) = (Vec::new(), false);
    let lines = DEFAULT.lines().skip_while(|line| *line != format!("[{section}]"));
    for line in lines {
        match line.strip_prefix("# ") {
            Some(text) => {
                if std::mem::take(&mut is_ended) {
                    comment.clear();
                }
                comment.push(text);
            }
            None if line.split(" = ").next() == Some(key) => break,
            None => is_ended = true,
        }
    }
    comment.join(" ")
}

/// What stands between quotes or braces.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['"', '{']) {
        let (mut depth, mut end) = (0usize, None);
        for (at, c) in rest[start..].char_indices() {
            match c {
                '"' if depth == 0 && at > 0 => end = Some(at),
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    end = (depth == 0).then_some(at);
                }
                _ => {}
            }
            if end.is_some() {
                break;
            }
        }
        let Some(end) = end else { break };
        found.push(rest[start..=start + end].to_owned());
        rest = &rest[start + end + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_takes_and_the_default_is_of_it() {
        for (section, keys) in DEFAULTS.iter() {
            for (key, default) in keys.as_table().unwrap() {
                let (kinds, words) = takes(section, key);
                assert!(!kinds.is_empty() || words.len() > 1, "{section}.{key}: {kinds:?} {words:?}");
                if default.is_str() || default.is_table() {
                    assert!(words.contains(default), "{section}.{key}: {words:?}");
                } else {
                    assert!(!kinds.is_empty(), "{section}.{key}: {words:?}");
                }
            }
        }
    }

    #[test]
    fn a_value_of_another_kind_is_named_with_what_its_key_takes() {
        for (set, wanted) in [
            ("training.epochs=ten", "is \"ten\", but takes a whole number from 0 on (such as 8);"),
            ("training.epochs=2.5", "is 2.5, but takes a whole number from 0 on (such as 8);"),
            ("training.seed=-1", "is -1, but takes a whole number from 0 on (such as 0);"),
            ("optimizer.lr=fast", "is \"fast\", but takes a number (such as 0.003);"),
            ("model.residual=yes", "is \"yes\", but takes true or false;"),
            (
                "data.patch_size=32",
                "is 32, but takes three whole numbers (such as [32, 64, 64]) or \"auto\";",
            ),
            (
                "data.spacing=1",
                "is 1, but takes three numbers (such as [1.0, 0.5, 0.5]), \"auto\" or \"none\";",
            ),
            ("optimizer.betas=0.9", "is 0.9, but takes two numbers (such as [0.5, 0.9]);"),
            (
                "model.strides=[2,2,2]",
                "but takes a list of three whole numbers each (such as [[1, 2, 2], [2, 2, 2]]) or \"auto\";",
            ),
            ("loss.name=bcee", "\"focal_tversky\", \"ce\", "),
            ("loss.name=bcee", "; did you mean \"bce\"? `trainer config` explains it"),
            ("model.norm=layer", "is \"layer\", but takes \"instance\", \"batch\" or { group = 8 };"),
            ("model.activation=leaky", "{ elu = { alpha = 1.0 } } or { leaky_relu = { slope = 0.01 } };"),
            (
                "inference.mirror=x",
                "is \"x\", but takes true or false, \"all\", \"none\", \"h,w\" or \"auto\";",
            ),
            ("inference.aim=precision>2", "but takes \"max-f1\", \"recall>=0.9\" or \"precision>=0.9\";"),
            ("validation.groups=5", "is 5, but takes a file's path or \"none\";"),
            ("loss.pos_weight=high", "is \"high\", but takes a number, \"none\" or \"auto\";"),
        ] {
            let key = set.split_once('=').unwrap().0;
            let error = Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("configuration: {key}: is ")), "{set}: {error}");
            assert!(error.contains(wanted), "{set}: {error}");
            assert!(error.ends_with("`trainer config` explains it"), "{set}: {error}");
        }
    }

    #[test]
    fn a_vector_of_weights_is_explained() {
        let error = Config::load(None, &["loss.pos_weight=[0.2,0.8]".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "configuration: loss.pos_weight: is [0.2, 0.8], but takes a number, \"none\" or \"auto\": weights [w0, w1] of background and foreground are one pos_weight, w1 / w0 = 4; a vector would be one number for each channel, of which there is one, never for each class or sample; `trainer config` explains it"
        );
    }
}
