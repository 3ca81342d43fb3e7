//! Laws of reading and writing volumes of every format.

#[path = "volume/by_hand.rs"]
mod by_hand;
#[path = "volume/nrrd_by_hand.rs"]
mod nrrd_by_hand;
#[path = "volume/ome.rs"]
mod ome;
#[path = "volume/program.rs"]
mod program;
#[path = "volume/refusals.rs"]
mod refusals;
#[path = "volume/round_trip.rs"]
mod round_trip;
#[path = "volume/several.rs"]
mod several;
#[path = "volume/tiff_spacing.rs"]
mod tiff_spacing;
#[path = "volume/tiff_stored.rs"]
mod tiff_stored;
#[path = "support/volumes.rs"]
mod volumes;
