//! Least squares of rows in parts that nobody has all at once: of files, or on other machines.
//!
//! A pass over the rows is a question to every part and a sum of what they give, in a tree that is up to whoever has them;
//! both go as bytes. The first gives R of [A, B], a triangle of each part, by products where they are as good as reflections
//! and cheaper, and a QR factorisation of all triangles; what is behind it are the reads of any refinement, each with
//! B - A X and its gradient at one point. So an answer is as exact as that of rows in memory, whatever the condition.
//!
//! | file | what |
//! |---|---|
//! | `triangle` | R of the rows of one part |
//! | `first` | the first read: means, and R of all rows |
//! | `point` | where residuals are taken, and a part's share of them |
//! | `sums` | questions and sums as bytes, and merging |
//! | `elsewhere` | whoever has the rows, as a matrix |
//! | `solve` | the driver |

mod elsewhere;
mod first;
mod point;
mod solve;
mod sums;
mod triangle;

pub use elsewhere::Parts;
pub use solve::{PartsOutput, lstsq_by_parts, ridge_cv_by_parts};
pub use sums::{merged_sums, sums_of_part};
