//! What is to be said of files that were not taken as they are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file, and words that go on after its name.
pub(crate) type Note = (PathBuf, String);

/// How many lines are worth reading.
const SHOWN: usize = 10;

/// What is to be said, once each: the first file of which it is, of how many further ones, and the words.
pub(crate) fn grouped(notes: &[Note]) -> Vec<(&Path, usize, &str)> {
    let mut files = BTreeMap::<&str, Vec<&Path>>::new();
    for (path, text) in notes {
        files.entry(text).or_default().push(path);
    }
    let mut all: Vec<_> = files.into_iter().map(|(text, files)| (files[0], files.len() - 1, text)).collect();
    all.sort();
    all
}

/// A line for each thing that is to be said; `root` is left out of the names.
pub(crate) fn lines(notes: &[Note], root: &Path) -> Vec<String> {
    let mut all = grouped(notes);
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let line = |(path, others, text): (&Path, usize, &str)| {
        let path = path.strip_prefix(root).unwrap_or(path).display();
        match others {
            0 => format!("{path}: {text}"),
            1 => format!("{path} and another file: {text}"),
            n => format!("{path} and {n} other files: {text}"),
        }
    };
    let rest = (more > 0).then(|| format!("and {more} more such things of other files"));
    all.into_iter().map(line).chain(rest).collect()
}

/// So many names stand in one line.
const NAMED: usize = 5;

/// `a`, `a and b`, `a, b and c`; of many `a, b, c, d, e and 7 more`.
pub(crate) fn some(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        [name] => (*name).to_owned(),
        [rest @ .., last] if names.len() <= NAMED => format!("{} and {last}", rest.join(", ")),
        _ => format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED),
    }
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_several_files_is_said_once() {
        let note = |file: &str, text: &str| (PathBuf::from("d").join(file), text.to_owned());
        let notes = [note("b", "is odd"), note("c", "is odd"), note("a", "is even"), note("e", "is odd")];
        assert_eq!(lines(&notes, Path::new("d")), ["a: is even", "b and 2 other files: is odd"]);
        assert_eq!(lines(&notes[..2], Path::new("")), ["d/b and another file: is odd"]);
        let many: Vec<Note> = (0..13).map(|i| note("a", &format!("{i}"))).collect();
        assert_eq!(lines(&many, Path::new("d")).last().unwrap(), "and 3 more such things of other files");
    }
}
