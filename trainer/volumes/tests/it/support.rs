//! What several tests need, of this crate and of `trainer`.

#[path = "../../../tests/it/support/counting.rs"]
pub(crate) mod counting;
#[path = "../../../tests/it/support/made.rs"]
pub(crate) mod made;
