//! Tables: values with a header, separated by commas and quoted as in RFC 4180; by semicolons or tabs where the header says
//! so.

use std::io::Cursor;
use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord, Trim};

use crate::{Error, Result};

/// What reads a table, and its first line.
///
/// # Errors
/// A file that cannot be read, or whose first line is no text.
pub(crate) fn open(path: &Path) -> Result<(Reader<Cursor<Vec<u8>>>, StringRecord)> {
    let bytes = std::fs::read(path)
        .map_err(|e| Error::file(path, format!("cannot be read: {e}; name a CSV file")))?;
    let separator = separator(&bytes);
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).delimiter(separator).from_reader(Cursor::new(bytes));
    let header = reader.headers().map_err(|e| Error::file(path, format!("{e}; save it as UTF-8")))?.clone();
    Ok((reader, header))
}

/// What to do about a line that is no line of the table.
pub(crate) const BROKEN_LINE: &str = "give each line as many fields as the first, in UTF-8";

/// What the columns are separated by: the header's first line has a comma, else a semicolon, else a tab, else nothing.
fn separator(table: &[u8]) -> u8 {
    let header = table.split(|byte| b"\r\n".contains(byte)).find(|line| !line.is_empty()).unwrap_or_default();
    b",;\t".iter().copied().find(|separator| header.contains(separator)).unwrap_or(b',')
}
