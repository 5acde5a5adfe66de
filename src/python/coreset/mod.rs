//! Bindings of [`crate::coreset`]: `scores`, `sensitivities`, `sample`, `streaming`, and `regression` in the p-norm.

pub mod regression;
pub mod sample;
pub mod scores;
pub mod sensitivities;
pub mod streaming;
