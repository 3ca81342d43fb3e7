//! Laws of reading and writing volumes of every format.

mod by_hand;
mod nrrd_by_hand;
mod ome;
mod program;
mod refusals;
mod round_trip;
mod several;
mod tiff_spacing;
mod tiff_stored;
