//! A data set as its folder has it: nnU-Net's layout, the names of its files, `dataset.json`, and which cases are held out.
//!
//! ```text
//! FOLDER/dataset.json             what channels and labels mean
//! FOLDER/imagesTr/CASE_0000.nii.gz   channel 0 of a training case; _0001 is channel 1, …
//! FOLDER/labelsTr/CASE.nii.gz        its label map
//! FOLDER/imagesTs, FOLDER/labelsTs   the same for testing, both optional
//! ```

pub(crate) mod checksums;
pub(crate) mod description;
pub mod fault;
pub(crate) mod folder;
pub(crate) mod listed;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod nature;
pub(crate) mod notes;
pub(crate) mod overlap;
mod spacing_note;
pub(crate) mod split;
pub(crate) mod survey;
pub mod synthetic;
pub(crate) mod table;
pub(crate) mod warnings;

pub use checksums::{Checksums, FileSum};
pub use description::{Description, IGNORE};
pub use folder::{CaseFiles, Dataset};
pub(crate) use spacing_note::note_on_spacing;
pub use split::{CaseClasses, ClassesByFold, CrossValidation, Fold, FoldCases};
