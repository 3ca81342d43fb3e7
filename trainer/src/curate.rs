//! What is done with a data set before training: made from files in any format, verified, counted, looked at.

pub mod convert;
pub mod inspect;
pub mod verify;
