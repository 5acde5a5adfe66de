//! Least squares on tall matrices to LAPACK's accuracy at a fraction of its price.
//!
//! **Problem.** min |W^(1/2) (b - A x)|^2 + ridge |x|^2 for A with n rows, d columns and n >> d, for every column b
//! of the targets.
//!
//! **Method.** Every solver here has a factor R for which A R^-1 is nearly orthonormal, and refines
//! x += R^-1 R'^-1 A'(b - A x), one read of A each, until the *measured* backward error meets its target. They
//! differ in what R costs and in the conditioning it can bear; QR is the last resort and decides ranks.
//!
//! Beside them, answers of a sketch alone: one read of A, errors of the size of |r| over the root of m, and intervals
//! for them.
//!
//! | symbol | meaning |
//! |---|---|
//! | A, n, d | the matrix, its rows and columns |
//! | b, k | a right-hand side, their number |
//! | s | norms of the columns; everything inside works with A diag(1/s) |
//! | R | upper triangle with R'R close to A'A |
//! | S, m | sketch and its rows |
//! | r, g | residual b - A x, gradient A'r |
//! | u | unit roundoff |
//!
//! | room | what is in it |
//! |---|---|
//! | `problem` | what is asked |
//! | `block` | some rows of it, of a stream |
//! | `design` | the problem as it is solved: weights, centring, magnitudes, and what one read of it gives |
//! | `refine` | refinement by a factor, its stopping rules |
//! | `methods` | the ways to a factor, and to an answer without one |
//! | `bounds` | how far a factor is from that of A, and an answer from the minimiser |
//! | `covariance` | covariance matrices of the coefficients |
//! | `driver` | the methods in the order in which they are tried, and answers in the caller's units |
//! | `loo` | ridge regression for many ridges from one factorisation, and by the one that leave-one-out errors choose |
//! | `parts` | least squares of rows that come in parts, each of which is asked for sums |
//! | `predict` | predictions for sparse samples |
//! | `sketch_and_solve` | answers from a sketch alone, with intervals, at once and for rows that come in blocks |
//! | `triangular` | exact answers for rows that come in blocks, from their triangular factor |
//! | `kron` | least squares with a Kronecker product, which is never formed |
//!
//! A room uses those above it.

mod block;
mod bounds;
mod covariance;
mod design;
mod driver;
mod kron;
mod loo;
mod methods;
mod parts;
mod predict;
mod problem;
mod refine;
mod sketch_and_solve;
#[cfg(test)]
mod testing;
mod triangular;

pub use crate::linalg::Precision;
pub use block::{StreamBlock, StreamShape};
pub use bounds::forward::ForwardError;
pub use bounds::verify::{Verification, verify};
pub use covariance::{Covariance, CovarianceFit, Inference, Robust, covariance, robust_covariance};
pub use driver::ledger::Stage;
pub use driver::output::{Columns, Output};
pub use driver::plan::{Method, Params};
pub use driver::{lstsq, lstsq_by_products};
pub use kron::{KronMethod, KronOutput, KronParams, KronProblem, lstsq_kron};
pub use loo::{RidgeChoice, ridge_cv, ridge_left_out, ridge_path};
pub use methods::sketched::Sketchable;
pub use parts::{Parts, PartsOutput, lstsq_by_parts, merged_sums, ridge_cv_by_parts, sums_of_part};
pub use predict::predict;
pub use problem::{Preconditioner, Problem};
pub use sketch_and_solve::answer::{Quantiles, SketchAnswer, sketch_and_solve};
pub use sketch_and_solve::row_count::{eps_of_rows, row_count};
pub use sketch_and_solve::stream::{LeastSquaresStream, StreamOptions};
pub use triangular::answer::CentredFactor;
pub use triangular::stream::TriangularStream;
