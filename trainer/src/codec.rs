//! Small values as bytes, behind a magic number, a version and a checksum of whoever keeps them.

use bincode::Options;

/// The state of a run is a few kilobytes; more than this is not one.
pub(crate) const LARGEST_STATE: u64 = 16 << 20;

/// Bincode with fixed-size integers, refusing trailing bytes and anything large.
pub(crate) fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(LARGEST_STATE).reject_trailing_bytes()
}
