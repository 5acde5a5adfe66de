//! Regression in the p-norm: the x that minimises the sum of |b - A x|^p, or of losses that grow like the residual.
//!
//! Every answer comes with a bound on how far its objective is above the minimum, from multipliers of the rows: any y with
//! A'y = 0 whose entries the loss allows proves that no x does better than y'b.
//!
//! | file | what |
//! |---|---|
//! | `tiles` | rows as tiles of columns, passes over them, weighted Gram matrices, their factors |
//! | `few` | rows of few entries |
//! | `sparse` | those of a sparse matrix |
//! | `design` | the rows with weights, intercept and penalty, in coordinates in which columns are independent |
//! | `frisch_newton` | p = 1 and quantiles: a primal-dual method on all rows |
//! | `vertex` | its optimum exactly, from multipliers near it |
//! | `glob` | the same from a fraction of the rows, the others being summed up |
//! | `sample` | the sample that tells which |
//! | `newton` | 1 < p < infinity |
//! | `norm` | norms and powers |
//! | `chebyshev` | p = infinity |
//! | `huber` | squares of small residuals, magnitudes of large ones |
//! | `gap` | what an answer is worth, from multipliers |
//! | `check` | what coefficients from elsewhere are worth on all rows |
//! | `measure` | what it is worth as the caller gets it, by one read of the rows as they were stated |
//! | `answer` | an answer, and what was measured of it |
//! | `driver` | what is asked, in which order it is tried, what comes back |
//!
//! | symbol | what |
//! |---|---|
//! | A, b, n, d | rows times their weights, targets, how many of how many numbers |
//! | r, x | b - A x, coefficients |
//! | τ, ρ | level of a quantile, its loss: τ r for r > 0, (τ - 1) r for r < 0 |
//! | y | multipliers of the rows |

mod answer;
mod chebyshev;
mod check;
mod design;
mod driver;
mod few;
mod frisch_newton;
mod gap;
mod glob;
mod huber;
mod measure;
mod newton;
mod norm;
mod sample;
mod sparse;
#[cfg(test)]
mod testing;
mod tiles;
mod vertex;

pub use check::{CheckParams, check_p_norm, check_quantiles};
pub use design::Problem;
pub use driver::{Method, Output, Params, p_norm, quantiles};
pub use huber::{HuberOutput, HuberParams, huber};
