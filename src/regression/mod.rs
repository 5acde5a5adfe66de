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
//! | file | what it does |
//! |---|---|
//! | `design` | the problem as it is solved: weights, centring, magnitudes |
//! | `pass` | one read of A: residuals and gradients |
//! | `products` | products with A and its transpose, which is all that a linear operator has |
//! | `stacked` | targets, weights and [A, B; ridge] as rows to sketch or factor |
//! | `sparse` | products with slabs of sparse rows |
//! | `refine` | refinement by a factor, its stopping rules |
//! | `ladder` | the rungs: gram in single and double precision, whitened |
//! | `spir` | sketched iterations for sparse or very wide matrices |
//! | `lsmr` | iterations without a factor, for linear operators |
//! | `fgmres` | flexible GMRES on any linear system |
//! | `exact` | one read of A in twice the working precision |
//! | `augmented` | refinement of the augmented system: all digits whatever the weights |
//! | `qr` | tall-skinny QR, ranks, minimum-norm answers |
//! | `wide` | singular vectors of A with fewer rows than columns |
//! | `least_norm` | the shortest answer where the units of the columns are far apart |
//! | `auto` | condition hint and cost model |
//! | `plan` | what is asked for, and the methods in the order in which they are tried |
//! | `solve` | the driver that climbs from method to method |
//! | `output` | answers in the caller's units, and what is known of them |
//! | `empty` | problems without rows or without columns |
//! | `spectrum` | a proof of how far a factor is from that of A |
//! | `forward` | how far an answer is from the minimiser, for every coefficient |
//! | `verify` | a second look at answers, with a fresh sketch |
//! | `predict` | predictions for sparse samples |
//! | `loo` | ridge regression for many ridges from one factorisation, and its leave-one-out errors |
//! | `covariance` | covariance matrices of the coefficients |
//! | `row_count` | rows that a dense sketch needs for a coordinate-wise error |
//! | `sketch_and_solve` | answers from a sketch alone, with intervals |
//! | `streaming` | the same for rows that come in blocks |
//! | `kron` | least squares with a Kronecker product, which is never formed |

mod bounds;
mod covariance;
mod design;
mod driver;
mod kron;
mod loo;
mod methods;
mod predict;
mod problem;
mod refine;
mod sketch_and_solve;

pub use crate::linalg::Precision;
pub use bounds::forward::ForwardError;
pub use bounds::verify::{Verification, verify};
pub use covariance::{Covariance, Fit, Inference, Robust, covariance, robust_covariance};
pub use driver::lstsq;
pub use driver::output::{Columns, Output, Stage};
pub use driver::plan::{Method, Params};
pub use kron::{KronMethod, KronOutput, KronParams, KronProblem, lstsq_kron};
pub use loo::{ridge_leave_one_out, ridge_left_out, ridge_path};
pub use methods::sketched::Sketchable;
pub use predict::predict;
pub use problem::{Preconditioner, Problem, Source};
pub use sketch_and_solve::answer::{Quantiles, SketchAnswer, sketch_and_solve};
pub use sketch_and_solve::row_count::{eps_of_rows, row_count};
pub use sketch_and_solve::stream::{Block, Request, Shape, Stream};
