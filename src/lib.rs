//! Near-linear-time linear algebra with measured certificates.
//!
//! The house has floors; each uses only those above it in this list.
//!
//! | floor | what it holds |
//! |---|---|
//! | [`error`] | one error type: which argument, what was found, what was expected |
//! | [`parallel`] | private thread pools, shape-determined blocks, interruption |
//! | [`matrix`] | what an input is: dense and sparse views, tiles of rows |

pub mod error;
pub mod matrix;
pub mod parallel;
#[cfg(feature = "python")]
pub mod python;
