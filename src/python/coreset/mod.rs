//! Bindings of [`crate::coreset`]: `scores`.

pub mod scores;
