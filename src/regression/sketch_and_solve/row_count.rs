//! How many rows a Gaussian sketch needs for a coordinate-wise error, and what a number of rows is good for.
//!
//! For S with independent normals of variance 1/m, S r* is independent of S A, so that x' - x* given S A is normal
//! with covariance (|r*|^2 / m) (A'S'S A)^-1. The singular values of S U, with U an orthonormal basis of A's range,
//! are at least 1 - sqrt(d/m) - sqrt(2 ln(2/delta) / m) with probability 1 - delta/2 (Davidson and Szarek), and no
//! normal of d is beyond sqrt(2 ln(2d/delta)) with probability 1 - delta/2. Both together: with probability
//! 1 - delta,
//!
//! max |x'_j - x*_j| <= (eps / sqrt d) |A x* - b| |A^+|   for   sqrt m >= roots + tails / eps.

use crate::error::{Error, Result};

/// A sketch has fewer rows than this.
const LIMIT: f64 = (1u64 << 31) as f64;

/// The m of the theorem. `eps` is positive, `delta` in (0, 1).
pub fn row_count(d: usize, eps: f64, delta: f64) -> Result<usize> {
    let (roots, tails) = terms(d, delta);
    let m = (roots + tails / eps).powi(2).ceil();
    if m < LIMIT {
        Ok(m as usize)
    } else {
        let found = format!("{eps}, which takes {m:.1e} rows");
        Err(Error::value("eps", found, "one for which 2^31 rows will do"))
    }
}

/// The eps of the theorem for a sketch of m rows; infinity where it has none.
pub fn eps_of_rows(d: usize, m: usize, delta: f64) -> f64 {
    let (roots, tails) = terms(d, delta);
    let room = (m as f64).sqrt() - roots;
    if room > 0.0 { tails / room } else { f64::INFINITY }
}

/// What does not shrink with m, and what does.
fn terms(d: usize, delta: f64) -> (f64, f64) {
    let d = d as f64;
    (d.sqrt() + (2.0 * (2.0 / delta).ln()).sqrt(), (2.0 * d * (2.0 * d / delta).ln()).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_those_of_the_formula() {
        for ((d, eps, delta), m) in [((64, 0.5, 0.1), 5037), ((16, 0.5, 0.1), 1131)] {
            assert_eq!(row_count(d, eps, delta), Ok(m));
            assert!(eps_of_rows(d, m, delta) <= eps && eps_of_rows(d, m - 1, delta) > eps);
        }
        assert!(row_count(64, 1e-9, 0.1).is_err());
        assert_eq!(eps_of_rows(64, 64, 0.1), f64::INFINITY);
    }
}
