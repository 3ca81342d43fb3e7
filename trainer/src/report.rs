//! What a run tells: the log line, the JSON lines of the run folder, the progress bar and the figure of slices.

mod canvas;
mod chart;
mod columns;
mod failures;
mod figure;
mod json_lines;
mod log_line;
mod patches;
mod progress;

pub use chart::{Chart, Series};
pub(crate) use columns::table;
pub(crate) use failures::Failures;
pub use figure::SliceFigure;
pub use json_lines::JsonLines;
pub use log_line::{LogLine, hms, scientific};
pub use patches::PatchProgress;
pub use progress::Progress;
