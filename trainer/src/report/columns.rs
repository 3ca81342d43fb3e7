//! Tables of text.

use std::fmt;

/// Columns as wide as their widest cell; the first `left` are aligned to the left, the others to the right.
pub(crate) fn table(
    f: &mut fmt::Formatter<'_>,
    titles: &[&str],
    rows: Vec<Vec<String>>,
    left: usize,
) -> fmt::Result {
    let titles: Vec<String> = titles.iter().map(|&title| title.to_owned()).collect();
    let rows = || std::iter::once(&titles).chain(&rows);
    let width = |column: usize| rows().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    for row in rows() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
