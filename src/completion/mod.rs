//! Matrix completion: a low-rank matrix from a few of its entries, in time linear in entries times rank.
//!
//! For observed entries v_ij, find rows u_i, v_j of two factors and biases b_i, c_j that minimise
//!
//!   Σ (v_ij - b_i - c_j - u_i'v_j)² + λ Σ n_i^e |u_i|² + λ Σ n_j^e |v_j|² + λ_b Σ n_i^e b_i² + λ_b Σ n_j^e c_j²,
//!
//! n being numbers of entries, by turns: all rows while the columns are fixed, which are ridge regressions, one a row, and
//! the other way round. Gu, Song, Yin and Zhang (ICLR 2024) have shown that these may be solved inexactly, so that a sweep
//! costs hardly more than to look at what the model makes of every observed entry: |Ω| k up to logarithms. Units are those
//! of the standard deviation of the values.
//!
//! | file | what |
//! |---|---|
//! | [`ids`] | what rows and columns are called, as numbers |
//! | `observations` | entries by rows and by columns, in those units; what is held out |
//! | `factors` | rows of a factor, padded to the lanes |
//! | `kernels` | rows gathered to a tile, and what is summed up over it |
//! | `sums` | what is summed up over the observations of one line |
//! | `line` | the ridge regression of one line: primal, dual, or by conjugate gradients |
//! | `wide` | the same in double precision, where that of the factor does not do |
//! | `nonnegative` | the same where no number may be below zero |
//! | `half` | all lines of one side, light and heavy; the preconditioner that they share |
//! | `sketched` | the preconditioner of the paper, one for each line |
//! | `balance` | the least penalty of a product |
//! | `start` | biases, and the leading singular vectors of what they leave |
//! | `errors` | errors on observed entries, and their standard error |
//! | `robust` | weights that make large errors cost less than their squares |
//! | `choose`, `ranks` | the walk to a penalty, and the search for a rank with one |
//! | `subgradient` | the least magnitudes of errors instead of squares |
//! | `scaled` | a step of both sides at once |
//! | `diagnosis` | what is measured of a fit beside its error |
//! | `fit` | the driver, [`fit()`] |
//! | `determined`, `freedom`, `least_norm` | what entries determine without a penalty, and what is made of the rest |
//! | `newton` | steps of both sides at once where sweeps get nowhere without noise |
//! | `exact` | the driver without noise, [`fit_exactly`] |
//! | `model` | predictions, rows folded in, rankings |
//! | `deviations` | how far entries of rows that are folded in may be off |
//! | `update` | more observations |
//! | `saved` | its bytes |
//! | [`implicit`] | confidences instead of values |
//! | [`soft`] | the convex problem: singular values less a threshold |
//!
//! Lines are cut into blocks by themselves and summed up in their order, so that no bit depends on the threads.

mod balance;
mod choose;
mod determined;
mod deviations;
mod diagnosis;
mod errors;
mod exact;
mod factors;
mod fit;
mod freedom;
mod half;
pub mod ids;
pub mod implicit;
mod kernels;
mod least_norm;
mod line;
mod model;
mod newton;
mod nonnegative;
mod observations;
mod ranks;
mod robust;
mod saved;
mod scaled;
mod sketched;
pub mod soft;
mod start;
mod subgradient;
mod sums;
#[cfg(test)]
mod testing;
mod update;
mod wide;

pub use determined::{Determined, EMPTY, UNDETERMINED};
pub use diagnosis::Diagnosis;
pub use errors::HeldOut;
pub use exact::fit_exactly;
pub use factors::Factor;
pub use fit::{Continuation, Loss, Output, Params, Solver, Status, fit};
pub use half::{Penalty, Preconditioner};
pub use model::{Model, Seen};
pub use observations::{ByRows, Lines, Observations, Part};
pub use ranks::Tried;
pub use saved::is_single;
pub use update::More;
