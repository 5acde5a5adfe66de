//! Truncated singular value decompositions: U S V' of the k largest singular values of a matrix that can be multiplied by
//! vectors, whatever it is.
//!
//! Symbols: A is n x d, U n x k and V d x k with orthonormal columns, S = diag(s) descending. A triplet's residuals are
//! |A v - s u| and |A'u - s v|; some singular value of A lies within the root of the mean of their squares of s.
//!
//! | file | what |
//! |---|---|
//! | `bidiagonal` | bases of both sides, extended block by block (Golub and Kahan), and compressed to Ritz vectors |
//! | `block` | a few vectors, row by row |
//! | `orthogonal` | a block without what a basis spans, as orthonormal columns and coefficients |
//! | `energy` | what there is to be captured |
//! | `solve` | rounds of the two until the residuals are small, and what is measured in the end |

mod bidiagonal;
mod block;
mod energy;
mod lanczos;
mod orthogonal;
mod params;
mod single;
mod solve;
mod tall;
mod triplets;
#[cfg(test)]
mod testing;

pub use energy::energy;
pub use params::{Output, Params, Solver};
pub use solve::svds;
