//! Changes merged into a table whose keys are all known.

use toml::{Table, Value};

use crate::{Error, Result};

/// What is no key, and the keys that say it.
const SAID_OTHERWISE: [(&str, &str); 7] = [
    ("augmentation.affine", "augmentation.rotation_probability and augmentation.scale_probability"),
    ("augmentation.rotation", "augmentation.rotation_degrees"),
    ("augmentation.scale", "augmentation.scale_range"),
    (
        "augmentation.intensity",
        "augmentation.brightness_probability, augmentation.contrast_probability and augmentation.gamma_probability",
    ),
    (
        "augmentation.intensity_range",
        "augmentation.brightness_range, augmentation.contrast_range and augmentation.gamma_range, such as [0.8, 1.2]",
    ),
    ("augmentation.noise", "augmentation.noise_probability"),
    ("augmentation.noise_range", "augmentation.noise_deviation, such as [0.0, 0.1]"),
];

/// Puts `changes` into `table`, every key of which must be there already.
pub(super) fn merge(table: &mut Table, changes: Table, prefix: &str) -> Result<()> {
    for (key, change) in changes {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        // Tables below a section are values: { leaky_relu = … } replaces "relu" whole.
        let is_section = prefix.is_empty();
        match (table.get_mut(&key), change) {
            (Some(Value::Table(section)), Value::Table(change)) if is_section => {
                merge(section, change, &path)?;
            }
            (Some(Value::Table(_)), _) if is_section => {
                return Err(Error::config(
                    path,
                    "is a section: name one of its keys, such as training.epochs",
                ));
            }
            (Some(slot), Value::Integer(whole)) if slot.is_float() => *slot = Value::Float(whole as f64),
            (Some(slot), change) => *slot = change,
            (None, _) => {
                if let Some((_, keys)) = SAID_OTHERWISE.iter().find(|(name, _)| *name == path) {
                    let hint = format!("there is no such key; use {keys}; `trainer config` explains them");
                    return Err(Error::config(path, hint));
                }
                let nearest =
                    table.keys().min_by_key(|known| edit_distance(known, &key)).cloned().unwrap_or_default();
                let hint = format!(
                    "there is no such key; the nearest is {nearest}; `trainer config` lists them all"
                );
                return Err(Error::config(path, hint));
            }
        }
    }
    Ok(())
}

/// `a.b.c` and a value as nested tables.
pub(super) fn nested(key: &str, value: Value) -> Table {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let inner = rest.map_or(value.clone(), |rest| Value::Table(nested(rest, value)));
    Table::from_iter([(first.to_owned(), inner)])
}

/// A TOML value; a bare word is a string.
pub(super) fn parse_value(text: &str) -> Value {
    let parsed: Option<Table> = format!("value = {text}").parse().ok();
    parsed.and_then(|mut t| t.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Levenshtein's distance, row by row.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
