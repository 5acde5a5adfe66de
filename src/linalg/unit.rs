//! When products are those of digits.

use super::norm_of_upper;
use super::precision::Precision;
use crate::error::Result;
use crate::matrix::Dense;
use crate::simd::digits::{Unit, unit_name};

/// Columns from which on digits gain: with fewer, cutting entries into them takes longer than their products save.
const LEAST: usize = 128;

/// The same where a matrix is whitened: refinement then takes a read or two more, which count for less beside more columns.
const LEAST_WHITENED: usize = 256;

/// The fast precision of products that a Gram matrix of so many columns may have, and the accurate one: digits on a matrix
/// unit, if this process may use one. The system is asked for it here, the first time that it is worth having.
pub(crate) fn precisions(order: usize) -> [Precision; 2] {
    match order >= LEAST && Unit::available().is_some() {
        true => [Precision::Digits(3), Precision::Digits(4)],
        false => [Precision::Single, Precision::Double],
    }
}

/// The precision of the Gram matrix of so many whitened columns, where these are the precisions of others: two digits are
/// enough for columns that are nearly orthonormal.
pub(crate) fn precision_of_whitened(precisions: [Precision; 2], order: usize) -> Precision {
    match precisions {
        [Precision::Digits(_), _] if order >= LEAST_WHITENED => Precision::Digits(2),
        _ => Precision::Single,
    }
}

/// `"amx"`, `"emulated"` or `"none"`.
pub fn matrix_unit() -> &'static str {
    unit_name()
}

/// Whether the least singular value of a triangle of this condition is that of A, but for a quarter of it, where rounding
/// has changed A by no more than `rounding` in the Frobenius norm. What is rounded alike in many columns may otherwise leave a
/// triangle that is well-conditioned where A is not, and errors along what A does not see are measured as nothing.
pub(crate) fn is_beyond_rounding(r: Dense<'_, f64>, condition: f64, rounding: f64) -> Result<bool> {
    Ok(rounding == 0.0 || norm_of_upper(r)? >= 4.0 * condition * rounding)
}

/// What rounding has changed columns by, relative to their norms, in the Frobenius norm; NaN counts as all.
pub(crate) fn relative_rounding(rounding: &[f64], square: impl Fn(usize) -> f64) -> f64 {
    let relative = |(j, &rounding): (usize, &f64)| if square(j) == 0.0 { 0.0 } else { rounding / square(j) };
    rounding.iter().enumerate().map(relative).sum::<f64>().sqrt()
}
