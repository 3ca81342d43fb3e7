//! From files to the voxels that a network sees: reading, orientation, cropping, resampling, normalisation, and the cache
//! that keeps what came of it.
//!
//! A case in memory is `[d, h, w, c]`. It was turned to the patient's right, front and head ([`volumes::Frame`]), its axes
//! put in an order in which d has the largest spacing ([`volumes::AxisOrder`], decided once for a data set), empty borders
//! cut off, and resampled to the data set's spacing ([`Preprocessing`], [`mod@resample`]); all of it is undone when
//! something is written ([`Geometry`]).

mod cache;
mod case;
mod class_locations;
mod crop;
mod fit;
mod geometry;
mod grid;
mod grids;
mod load;
pub(crate) mod lost;
mod normalise;
mod packed;
mod preparation;
mod prepared;
mod read;
pub mod resample;
mod source;

pub use cache::{Cache, CachedCase, Fingerprint, Found};
pub use case::Case;
pub use class_locations::Listed;
pub(crate) use class_locations::MOST_VOXELS;
pub(crate) use fit::MOST_SAMPLES;
pub use fit::{CaseStatistics, Fit};
pub use geometry::Geometry;
pub use grid::{Preprocessing, Revision, common_spacing};
pub use grids::Grids;
pub use load::{CaseLoader, LoadedCases};
pub use lost::{LostForeground, Vanished};
pub use normalise::{ChannelNorm, Normalisation};
pub(crate) use normalise::{mean_sd, quantile};
pub use packed::PackedLabels;
pub use preparation::Preparation;
pub use prepared::{CaseSummary, PreparedCase};
pub use read::CaseReader;
pub(crate) use resample::Tap;
pub use source::{Block, PatchSource, Region};
