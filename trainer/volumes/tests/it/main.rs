//! Laws of reading and writing volumes of every format.

mod beside;
mod by_hand;
mod hostile;
mod nifti;
mod nrrd_by_hand;
mod ome;
mod refusals;
mod round_trip;
mod support;
mod tiff_spacing;
mod tiff_stored;
