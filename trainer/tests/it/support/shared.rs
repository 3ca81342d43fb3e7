//! Reference sets that lie beside the workspace, on machines that have them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file or folder of `../shared`, seen from the workspace. Where it is not there, that is said for `test`.
pub(crate) fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(test, &format!("shared/{name} is not there"));
    None
}

/// Says what of `test` is skipped, and why: what `eprintln` writes is shown of tests that fail alone.
pub(crate) fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped in {test}: {why}");
}
