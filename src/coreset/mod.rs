//! Rows that stand for all rows: scores, samples, and what they are good for.
//!
//! Given A (n x d, n large) and p >= 1, a *coreset* is a few rows with weights so that the weighted sum of |a_i x|^p over
//! them is close to that over all rows, for every x at once. Rows are drawn with probabilities that grow with a *score*:
//!
//! | score of row i | what | sum |
//! |---|---|---|
//! | leverage t_i | a_i'(A'A)^+ a_i, the largest share of (a_i x)^2 in \|A x\|^2 | rank |
//! | root leverage t_i^(p/2) | for p < 2, from one Gram matrix | at most n^(1 - p/2) rank^(p/2) |
//! | Lewis weight w_i | the leverage of row i in W^(1/2 - 1/p) A, for every p | rank |
//! | sensitivity s_i | the largest share of \|a_i x\|^p in \|A x\|_p^p | between rank^(p/2) and rank, whichever way |
//!
//! For p <= 2, s_i <= w_i, and for p >= 2, s_i <= d^(p/2 - 1) w_i, so that samples by Lewis weights are samples by
//! sensitivities but for a factor.
//!
//! | file | what |
//! |---|---|
//! | `design` | the rows: weighted, in units in which squares are numbers, dense or sparse |
//! | `basis` | coordinates in which the columns are orthonormal |
//! | `span` | columns that span all others |
//! | `leverage` | leverage scores, exact and in random directions |
//! | `lewis` | Lewis weights |
//! | `sensitivity` | sensitivities between bounds, their sum and the largest |
//! | `approximate` | what may stand for all of them, by random combinations of rows |
//! | `draw` | rows by scores |
//! | `sample` | from A to a sample with what is certified of it |
//! | `determinantal` | rows that are drawn together |
//! | `streaming` | samples of rows that are read once |
//! | `distortion` | how far norms over a sample are off |
//! | [`lp`] | regression in the p-norm, and what is like it |

mod approximate;
mod basis;
mod design;
mod determinantal;
mod distortion;
mod draw;
mod leverage;
mod lewis;
pub mod lp;
mod sample;
mod sensitivity;
mod span;
mod streaming;
#[cfg(test)]
mod testing;

pub use approximate::approximate_sensitivities;
pub use distortion::net_bound;
pub use draw::{Draw, Drawn, draw};
pub use leverage::{DELTA, LeverageParams, leverage_scores, width};
pub use lewis::{Lewis, LewisParams, lewis_weights};
pub use sample::{Plan, Rule, Sample, SampleParams, Size, practical_size, sample_rows};
pub use sensitivity::{Bounds, Figure, max_sensitivity, sensitivity_bounds, total_sensitivity};
pub use streaming::{CoresetStream, StreamParams, Streamed, StreamedShape};
