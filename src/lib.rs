//! Near-linear-time linear algebra with measured certificates.
//!
//! The house has floors; each uses only those above it in this list.
//!
//! | floor | what it holds |
//! |---|---|
//! | [`error`] | one error type: which argument, what was found, what was expected |
//! | [`memory`] | vectors of a length that the caller decides, allocated fallibly |
//! | [`parallel`] | a private pool of threads, shape-determined blocks, interruption, states that threads share |
//! | [`simd`] | fixed-lane kernels, compiled per instruction set, chosen at run time |
//! | [`random`] | random numbers addressed by (seed, operator, purpose, row, column) |
//! | [`matrix`] | what an input is: dense and sparse views, tiles of rows |
//! | [`linalg`] | dense factorisations of small matrices, QR of tall ones |
//! | [`state`] | the byte form of everything that is kept between calls |
//! | [`sketch`] | sketching operators as values |
//! | [`certify`] | a-posteriori error estimates |
//! | [`regression`] | least squares |
//! | [`streaming`] | top eigenvectors of A'A from one pass over the rows |
//! | [`svd`] | truncated singular value decompositions |
//! | [`coreset`] | scores and samples of rows, regression in the p-norm |
//! | [`completion`] | low-rank matrices from few entries |
//!
//! Above them all, with the feature of that name, stands `python`: the extension module.

#![cfg_attr(test, allow(clippy::disallowed_macros, clippy::disallowed_methods))]

pub mod certify;
pub mod completion;
pub mod coreset;
pub mod error;
pub mod linalg;
pub mod matrix;
pub mod memory;
pub mod parallel;
#[cfg(feature = "python")]
pub mod python;
pub mod random;
pub mod regression;
pub mod simd;
pub mod sketch;
pub mod state;
pub mod streaming;
pub mod svd;
