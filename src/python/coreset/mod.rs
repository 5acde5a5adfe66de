//! Bindings of [`crate::coreset`]: `scores`, `sensitivities`, `sample`.

pub mod sample;
pub mod scores;
pub mod sensitivities;
