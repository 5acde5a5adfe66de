//! What is asked for, and what comes back.

use crate::matrix::Mat;

/// How the space is built that triplets are taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Solver {
    /// Two vectors at once (Simon), or blocks of a few and restarts from Ritz vectors (Golub, Kahan; Baglama and Reichel).
    Lanczos,
    /// Blocks of more vectors than triplets are asked for, few products one after the other (Musco and Musco).
    Randomized,
}

impl Solver {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanczos => "lanczos",
            Self::Randomized => "randomized",
        }
    }
}

/// What is asked for.
pub struct Params {
    /// Triplets, from 1 to the number of rows and of columns.
    pub k: usize,
    /// Of which so many are to have small residuals.
    pub exact: usize,
    /// The one that takes the fewest products if there is none.
    pub solver: Option<Solver>,
    /// The largest residual beside the largest singular value.
    pub tolerance: f64,
    /// Most blocks that A is multiplied with.
    pub max_iter: usize,
    /// Of all random numbers.
    pub seed: u64,
    /// The first vector, as long as a row, instead of random numbers.
    pub start: Option<Vec<f64>>,
}

/// The triplets, and what was measured of them.
pub struct Output {
    /// n x k, orthonormal.
    pub u: Mat<f64>,
    /// The largest first.
    pub s: Vec<f64>,
    /// d x k, orthonormal.
    pub v: Mat<f64>,
    /// How they were found; directly if there is none.
    pub solver: Option<Solver>,
    /// |A v - s u| and |A'u - s v| of every triplet.
    pub residuals: Vec<[f64; 2]>,
    /// The largest entry of U'U - I and V'V - I.
    pub orthogonality: f64,
    /// Blocks that A and its transpose were multiplied with.
    pub n_iter: usize,
    /// Vectors that they were.
    pub n_products: usize,
}

/// Residuals of the bases come down to this part of the tolerance, as those of the triplets are a little larger.
pub(super) const CAUTION: f64 = 0.1;

/// A singular value that is found elsewhere counts as larger beyond this, and what rounding makes of the largest.
const LARGER: f64 = 1e-8;
const ROUNDING: f64 = 1e-13;

/// True if some singular value is larger than the one in its place, by more than residuals within the tolerance allow.
pub(super) fn is_larger(found: &[f64], known: &[f64], tolerance: f64) -> bool {
    let rounding = ROUNDING.max(tolerance) * known[0];
    found.iter().zip(known).any(|(found, known)| *found > known * (1.0 + LARGER) + rounding)
}
