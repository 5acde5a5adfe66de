//! What rows are summed up to. A summary takes chunks and gives a few rows that stand for the Gram matrix of all.
//!
//! | file | what |
//! |---|---|
//! | `summary` | any of them, by the name of the algorithm |
//! | `mixed` | block power and a truncated SVD side by side |
//! | `block_power` | blocks of the stream as steps of the power method |
//! | `incremental` | a truncated SVD of all rows so far |
//! | `ladder`, `schedules` | Oja's rule at all rates that may be right, and at one; `steps`, many of its steps at once |
//! | `frequent_directions`, `sketch`, `gram` | what merges as it should: deterministic, linear, exact |

pub mod block_power;
pub mod frequent_directions;
pub mod gram;
pub mod incremental;
pub mod ladder;
pub mod mixed;
pub mod schedules;
pub mod sketch;
pub mod steps;
pub mod summary;
