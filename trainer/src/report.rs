//! What a run tells: its log lines for people, programs and TensorBoard, what is printed of it and how much, pictures of slices,
//! and the pages on one run or several.

mod canvas;
mod chart;
mod columns;
mod comparison;
mod console;
mod failures;
mod figure;
mod json_lines;
mod log_entry;
mod log_line;
mod log_writer;
mod methods;
mod model_report;
mod output;
mod page;
mod patches;
mod predictions_page;
mod progress;
mod run_data;
mod run_log;
mod run_page;
mod slices;
mod sparkline;
mod tensorboard;
mod wrap;

pub use chart::{Chart, Series};
pub(crate) use columns::table;
pub use comparison::write_comparison;
pub use console::{Console, Verbosity};
pub(crate) use failures::Failures;
pub use figure::SliceFigure;
pub use json_lines::JsonLines;
pub use log_entry::{LogEntry, LoggedClass, LoggedEnd, LoggedPatchClass, LoggedPatches, LoggedValidation};
pub(crate) use log_line::decimal;
pub use log_line::{LogLine, hms, scientific};
pub(crate) use log_writer::LogWriter;
pub use methods::loss_in_words;
pub use model_report::{
    CaseClassReport, CaseReport, ClassReport, CutPoint, ModelReport, ObjectReport, Picture,
};
pub(crate) use output::{Output, can_redraw};
pub(crate) use page::{Cell, Page, number};
pub use patches::PatchProgress;
pub(crate) use predictions_page::predictions_page;
pub use progress::Progress;
pub(crate) use run_data::RunData;
pub use run_log::{RunLog, Seconds};
pub(crate) use run_page::in_use;
pub use run_page::write_run_page;
pub use slices::{Overlays, slices_of_case};
pub(crate) use sparkline::sparkline;
pub(crate) use wrap::wrapped;
pub use wrap::{for_errors, for_output};
