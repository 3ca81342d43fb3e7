//! Lines broken at words where a terminal is narrower than they are; what goes into a pipe or a file stays whole.

use std::io;

/// Lines that go on are set in by so much more than their first.
const INDENT: usize = 2;

/// The text as standard output takes it.
pub fn for_output(text: &str) -> String {
    fitted(text, terminal_size::terminal_size_of(io::stdout()))
}

/// The text as standard error takes it.
pub fn for_errors(text: &str) -> String {
    fitted(text, terminal_size::terminal_size_of(io::stderr()))
}

fn fitted(text: &str, terminal: Option<(terminal_size::Width, terminal_size::Height)>) -> String {
    match terminal {
        Some((terminal_size::Width(columns @ 1..), _)) => wrapped(text, usize::from(columns)),
        _ => text.to_owned(),
    }
}

/// Breaks lines that are longer than `columns` at spaces. A word that is longer stays whole, and so do the spaces of a table
/// within a line.
pub(crate) fn wrapped(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| broken(line, columns)).collect::<Vec<_>>().join("\n")
}

fn broken(line: &str, columns: usize) -> String {
    let length = |text: &str| text.chars().count();
    if length(line) <= columns {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let (mut text, mut at) = (" ".repeat(indent), indent);
    // Narrow terminals have no room to set in.
    let indent = (indent + INDENT).min(columns / 3);
    let mut spaces = 0;
    for (number, word) in line.trim_start_matches(' ').split(' ').enumerate() {
        let is_first = number == 0;
        if word.is_empty() {
            spaces += 1;
            continue;
        }
        let gap = if is_first { 0 } else { spaces + 1 };
        spaces = 0;
        if !is_first && at + gap + length(word) > columns {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            at = indent;
        } else {
            text.push_str(&" ".repeat(gap));
            at += gap;
        }
        text.push_str(word);
        at += length(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_stay_in_order_and_lines_within_the_columns(
            line in "( {0,6}[a-zé,.]{1,12}){1,30}", columns in 1usize..100,
        ) {
            let text = wrapped(&line, columns);
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
            for part in text.split('\n') {
                let is_one_word = part.split_whitespace().count() <= 1;
                prop_assert!(part.chars().count() <= columns || is_one_word, "{}", text);
            }
            prop_assert!(line.chars().count() > columns || text == line);
        }
    }

    #[test]
    fn a_bullet_goes_on_below_its_words_and_a_table_keeps_its_columns() {
        assert_eq!(wrapped("- one two three\n\nfour", 9), "- one two\n  three\n\nfour");
        assert_eq!(wrapped("  - one two three", 12), "  - one two\n    three");
        assert_eq!(wrapped("case    dice  hd95", 14), "case    dice\n  hd95");
        assert_eq!(wrapped("/a/path/that/is/long", 10), "/a/path/that/is/long");
    }
}
