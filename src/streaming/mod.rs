//! Top eigenvectors of A'A from one pass over the rows of A.
//!
//! | file | what |
//! |---|---|
//! | `params` | what is asked for, and what is made of it |
//! | `stream` | the state: rows that come in any cuts, in chunks of 32 |
//! | `heavy` | the rows of largest norm, kept as they are |
//! | `summary` | what all others are summed up to, by name |
//! | `mixed` | block power and a truncated SVD side by side |
//! | `block_power` | blocks of the stream as steps of the power method |
//! | `incremental` | a truncated SVD of all rows so far |
//! | `ladder`, `schedules` | Oja's rule at all rates that may be right, and at one; `steps`, many of its steps at once |
//! | `frequent_directions`, `sketch`, `gram` | what merges as it should: deterministic, linear, exact |
//! | `stack` | the answer, from a summary and the heavy rows |
//! | `answer` | the answer with what was measured |
//! | `refine` | a second pass |
//! | `merge`, `saved` | two streams become one; the bytes of a stream |
//! | `order` | whether rows come in random order |
//! | `mean`, `tall`, `rows`, `numbers` | sums of rows, matrices of few columns, chunks, numbers of a state |
//!
//! | symbol | what |
//! |---|---|
//! | A, n, d | the rows that go by, how many, of how many numbers |
//! | σ_i, λ_i, v_i | singular values of A, their squares, right singular vectors |
//! | R | gap, λ_k / λ_{k+1} |
//! | b, h | directions of a summary, heavy rows |

mod answer;
mod block_power;
mod frequent_directions;
mod gram;
mod heavy;
mod incremental;
mod ladder;
mod mean;
mod merge;
mod mixed;
mod numbers;
mod order;
mod params;
mod refine;
mod rows;
mod saved;
mod schedules;
mod sketch;
mod stack;
mod steps;
mod stream;
mod summary;
mod tall;
#[cfg(test)]
mod testing;

pub use answer::Answer;
pub use params::{Algorithm, Order, Params, Plan};
pub use refine::{Refined, Refinement};
pub use saved::Saved;
pub use stream::Stream;
