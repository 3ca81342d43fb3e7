//! Changes merged into a table whose keys are all known.

use toml::{Table, Value};

use super::keys;
use crate::{Error, Result};

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
            (Some(Value::Table(_)), _) if is_section => return Err(keys::is_section(&path)),
            (Some(slot), Value::Integer(whole)) if slot.is_float() => *slot = Value::Float(whole as f64),
            (Some(slot), change) => *slot = change,
            // The first key of a section that there is not says what is meant.
            (None, Value::Table(section)) if is_section && !section.is_empty() => {
                let key = section.keys().next().cloned().unwrap_or_default();
                return Err(keys::unknown(&format!("{path}.{key}")));
            }
            (None, _) => return Err(keys::unknown(&path)),
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

/// The table that a text holds; `name` is that of its file.
///
/// # Errors
/// Names the line and the column that is no TOML.
pub(super) fn parse(name: &str, text: &str) -> Result<Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..start).unwrap_or_default();
        let (line, column) = (before.lines().count().max(1), before.lines().last().unwrap_or_default());
        // What ends with a line's end is followed by the next line's beginning.
        let (line, column) = match before.ends_with('\n') {
            true => (line + 1, 1),
            false => (line, column.chars().count() + 1),
        };
        let message = format!(
            "is not TOML at line {line}, column {column}: {}; write lines such as epochs = 5 below [training], as `trainer config` does",
            error.message().trim().replace('\n', " ")
        );
        Error::file(name, message)
    })
}
