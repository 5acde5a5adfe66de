//! Truncated singular value decompositions: U S V' of the k largest singular values of a matrix that can be multiplied by
//! vectors, whatever it is.
//!
//! Symbols: A is n x d, U n x k and V d x k with orthonormal columns, S = diag(s) descending. A triplet's residuals are
//! |A v - s u| and |A'u - s v|; some singular value of A lies within the root of the mean of their squares of s.
//!
//! | file | what |
//! |---|---|
//! | `lanczos` | a basis of the right side, extended by two vectors at a time with A'A and made orthonormal some at a time |
//! | `together` | what is done to two vectors between products |
//! | `tall` | the passes over the basis |
//! | `single` | triplets from it, as long as squares are exact enough and few values are there twice |
//! | `bidiagonal` | bases of both sides, extended block by block (Golub and Kahan), and compressed to Ritz vectors |
//! | `block` | a few vectors, row by row |
//! | `orthogonal` | a block without what a basis spans, as orthonormal columns and coefficients |
//! | `energy` | what there is to be captured |
//! | `solve` | by few vectors, or else rounds of blocks until the residuals are small |
//! | `triplets` | what is measured in the end |
//! | `params` | what is asked for, and what comes back |
//! | [`updates`] | triplets that follow their matrix as it changes |

mod bidiagonal;
mod block;
mod energy;
mod lanczos;
mod orthogonal;
mod params;
mod single;
mod solve;
mod tall;
#[cfg(test)]
mod testing;
mod together;
mod triplets;
pub mod updates;

pub use energy::energy;
pub use params::{Output, Params, Solver};
pub use solve::svds;
