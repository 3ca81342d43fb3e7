//! What a run tells: its log lines for people and programs, the progress bar, pictures of slices, and the pages on one run or
//! several.

mod canvas;
mod chart;
mod columns;
mod comparison;
mod failures;
mod figure;
mod json_lines;
mod log_line;
mod methods;
mod model_report;
mod page;
mod patches;
mod predictions_page;
mod progress;
mod run_data;
mod run_log;
mod run_page;
mod slices;
mod wrap;

pub use chart::{Chart, Series};
pub(crate) use columns::table;
pub use comparison::write_comparison;
pub(crate) use failures::Failures;
pub use figure::SliceFigure;
pub use json_lines::JsonLines;
pub use log_line::{LogLine, hms, scientific};
pub use methods::loss_in_words;
pub use model_report::{
    CaseClassReport, CaseReport, ClassReport, CutPoint, ModelReport, ObjectReport, Picture,
};
pub(crate) use page::{Cell, Page, number};
pub use patches::PatchProgress;
pub(crate) use predictions_page::predictions_page;
pub use progress::Progress;
pub(crate) use run_data::RunData;
pub use run_log::{LoggedClass, LoggedEnd, LoggedPatches, LoggedValidation, RunLog, Seconds};
pub(crate) use run_page::in_use;
pub use run_page::write_run_page;
pub use slices::{Overlays, slices_of_case};
pub use wrap::{for_errors, for_output};
