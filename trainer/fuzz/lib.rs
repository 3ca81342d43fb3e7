//! What every fuzz target does: it reads the input by its entry point, and holds it to the memory that the input warrants.

#[path = "../tests/it/support/counting.rs"]
mod counting;
mod entry_points;

use std::path::PathBuf;
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Reads `bytes` by the entry point `name`.
pub fn hold(name: &str, bytes: &[u8]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = entry_points::place().join(format!("trainer-fuzz-{}", std::process::id()));
        entry_points::prepare(&folder);
        folder
    });
    let entry =
        entry_points::ALL.iter().find(|entry| entry.name == name).expect("a target has an entry point");
    let (_, most) = counting::most_held(|| (entry.read)(folder, bytes));
    let bound = entry_points::bound(bytes.len());
    assert!(most <= bound, "{most} bytes of memory, of {bound} at most");
}
