//! When products are those of digits.

use super::precision::Precision;
use crate::simd::digits::{Unit, unit_name};

/// Columns from which on digits gain: with fewer, cutting entries into them takes longer than their products save.
const LEAST: usize = 128;

/// The fast precision of products that a Gram matrix of so many columns may have, and the accurate one: digits on a matrix
/// unit, if this process may use one. The system is asked for it here, the first time that it is worth having.
pub(crate) fn precisions(order: usize) -> [Precision; 2] {
    match order >= LEAST && Unit::available().is_some() {
        true => [Precision::Digits(3), Precision::Digits(4)],
        false => [Precision::Single, Precision::Double],
    }
}

/// `"amx"`, `"emulated"` or `"none"`.
pub fn matrix_unit() -> &'static str {
    unit_name()
}
