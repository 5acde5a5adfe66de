//! Top eigenvectors of A'A from one pass over the rows of A.
//!
//! | file | what |
//! |---|---|
//! | `params` | what is asked for, and what is made of it |
//! | `stream` | the state: rows that come in any cuts, in chunks of 32 |
//! | `merge`, `saved` | two streams become one; the bytes of a stream |
//! | `rows` | chunks of rows, heavy ones, their mean and their order |
//! | `summaries` | what light rows are summed up to, a file for each algorithm |
//! | `answers` | what a stream says, and a second pass |
//! | `small` | a few rows among themselves, and small matrices |
//!
//! | symbol | what |
//! |---|---|
//! | A, n, d | the rows that go by, how many, of how many numbers |
//! | σ_i, λ_i, v_i | singular values of A, their squares, right singular vectors |
//! | R | gap, λ_k / λ_{k+1} |
//! | b, h | directions of a summary, heavy rows |

mod answers;
mod merge;
mod params;
mod rows;
mod saved;
mod small;
mod stream;
mod summaries;
#[cfg(test)]
mod testing;

pub use answers::answer::Answer;
pub use answers::refine::{Refined, Refinement};
pub use params::{Algorithm, Order, Params, Plan};
pub use rows::order::Quotient;
pub use saved::Saved;
pub use stream::Stream;
