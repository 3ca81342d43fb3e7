//! Data sets: folders of NIfTI volumes in nnU-Net's layout, and the cases they hold, in memory or in a cache.
//!
//! ```text
//! FOLDER/dataset.json             what channels and labels mean
//! FOLDER/imagesTr/CASE_0000.nii.gz   channel 0 of a training case; _0001 is channel 1, …
//! FOLDER/labelsTr/CASE.nii.gz        its label map
//! FOLDER/imagesTs, FOLDER/labelsTs   the same for testing, both optional
//! ```
//!
//! A volume in memory is `[d, h, w, c]`; d is the axis with the largest spacing, decided once for a data set
//! ([`AxisOrder`]) and undone when something is written ([`Geometry`]). Nothing is resampled or cropped.

mod axes;
mod cache;
mod case;
pub(crate) mod description;
pub(crate) mod fault;
pub(crate) mod folder;
mod foreground;
pub(crate) mod names;
pub(crate) mod normalise;
pub(crate) mod read;
mod source;
pub mod synthetic;

pub use axes::{AxisOrder, Geometry};
pub use cache::{Cache, CachedCase, Fingerprint, Origin};
pub use case::Case;
pub use description::{Description, IGNORE};
pub use folder::{CaseFiles, Dataset, FileSum};
pub use foreground::Listed;
pub use normalise::{ChannelNorm, Normalisation, Scheme};
pub use read::CaseReader;
pub use source::{Block, Region, Source};
