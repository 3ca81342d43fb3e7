//! Data sets: folders of volumes in nnU-Net's layout, and the cases they hold, in memory or in a cache.
//!
//! ```text
//! FOLDER/dataset.json             what channels and labels mean
//! FOLDER/imagesTr/CASE_0000.nii.gz   channel 0 of a training case; _0001 is channel 1, …
//! FOLDER/labelsTr/CASE.nii.gz        its label map
//! FOLDER/imagesTs, FOLDER/labelsTs   the same for testing, both optional
//! ```
//!
//! A case in memory is `[d, h, w, c]`. It was turned to the patient's right, front and head ([`Frame`]), its axes put in an
//! order in which d has the largest spacing ([`AxisOrder`], decided once for a data set), empty borders cut off, and
//! resampled to the data set's spacing ([`Preprocessing`], [`mod@resample`]); all of it is undone when something is written
//! ([`Geometry`]).

pub(crate) mod alignment;
mod axes;
mod cache;
mod case;
pub(crate) mod description;
pub(crate) mod fault;
pub(crate) mod folder;
mod foreground;
mod frame;
mod geometry;
pub(crate) mod listed;
pub(crate) mod names;
pub(crate) mod normalise;
pub(crate) mod notes;
mod prepared;
mod preprocess;
pub(crate) mod read;
pub mod resample;
mod source;
mod spacing_note;
pub(crate) mod survey;
pub mod synthetic;
pub(crate) mod vanished;
pub(crate) mod volumes;

pub use axes::{AxisOrder, Grid};
pub use cache::{Cache, CachedCase, Fingerprint, Found};
pub use case::Case;
pub use description::{Description, IGNORE};
pub use folder::{CaseFiles, Dataset, FileSum};
pub use foreground::Listed;
pub use frame::Frame;
pub use geometry::Geometry;
pub use normalise::{ChannelNorm, Fit, Normalisation, Scheme};
pub use prepared::{CaseSummary, PreparedCase};
pub use preprocess::{Preprocessing, common_spacing};
pub use read::CaseReader;
pub(crate) use resample::Tap;
pub use source::{Block, Region, Source};
pub(crate) use spacing_note::{note_on_spacing, taken_as_a_millimetre};
pub use vanished::Vanished;
