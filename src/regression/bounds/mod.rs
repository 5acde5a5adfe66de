//! How far answers are from what they should be.

pub(crate) mod forward;
pub(crate) mod spectrum;
pub(crate) mod verify;
