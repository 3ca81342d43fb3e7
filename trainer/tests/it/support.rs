//! What several tests need.

pub(crate) mod browser;
pub(crate) mod counting;
pub(crate) mod damage;
pub(crate) mod made;
pub(crate) mod shared;
pub(crate) mod small;
