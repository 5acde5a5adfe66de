//! Bindings of [`crate::coreset`]: `scores`, `sensitivities`, `sample`, `streaming`.

pub mod sample;
pub mod scores;
pub mod sensitivities;
pub mod streaming;
