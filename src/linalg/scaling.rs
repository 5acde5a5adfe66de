//! Powers of two that bring numbers to order one, so that squares neither overflow nor vanish.

use super::Scalar;
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Mat, Real};

/// The smallest unit, that of zeros; its reciprocal is the largest.
pub(super) const SMALLEST: f64 = f64::from_bits((1023 - 1000) << 52);

/// The larger of two numbers, of which the second is not NaN. Compiles to one instruction.
#[inline(always)]
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The largest magnitude in `x`, NaN passed over.
pub(crate) fn largest_of(x: &[f64]) -> f64 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut largest = [0.0; 8];
    for chunk in chunks {
        (0..8).for_each(|k| largest[k] = larger(chunk[k].abs(), largest[k]));
    }
    largest.iter().chain(rest).fold(0.0, |largest, value| larger(value.abs(), largest))
}

/// The power of two below a magnitude, between [`SMALLEST`] and its reciprocal.
pub(super) fn unit_of(largest: f64) -> f64 {
    f64::from_bits(largest.clamp(SMALLEST, SMALLEST.recip()).to_bits() & !(u64::MAX >> 12))
}

/// The exponent of a power of two.
pub(crate) fn exponent_of(power: f64) -> i32 {
    (power.to_bits() >> 52) as i32 - 1023
}

/// x times 2^exponent, where that power itself may be out of range.
pub(crate) fn times_power_of_two(mut x: f64, mut exponent: i32) -> f64 {
    while exponent != 0 {
        let part = exponent.clamp(-1000, 1000);
        x *= f64::from_bits(((1023 + part) as u64) << 52);
        exponent -= part;
    }
    x
}

/// Multiplies `x` by a power of two.
pub(super) fn scale(x: &mut [f64], factor: f64) {
    if factor != 1.0 {
        x.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Divides a matrix with contiguous columns by the power of two that brings it to order one, which is returned. An
/// error names the first NaN or infinity, if there is one.
pub(super) fn to_order_one<T: Scalar>(mut a: DenseMut<'_, T>) -> Result<f64> {
    check_finite(a.as_ref())?;
    let (m, n, stride) = (a.nrows(), a.ncols(), a.col_stride());
    let magnitudes = (0..n).filter_map(|j| a.as_ref().col(j)).flatten().map(|value| value.to_f64().abs());
    let largest = magnitudes.fold(0.0, |largest, value| larger(value, largest));
    let unit = unit_of(largest);
    if unit != 1.0 && m > 0 {
        for j in 0..n {
            for value in &mut a.data()[j * stride..][..m] {
                *value = T::from_f64(value.to_f64() * unit.recip());
            }
        }
    }
    Ok(unit)
}

/// The error that names the first NaN or infinity in A, if there is one.
pub(super) fn check_finite<T: Real>(a: Dense<'_, T>) -> Result<()> {
    for (i, j) in (0..a.ncols()).flat_map(|j| (0..a.nrows()).map(move |i| (i, j))) {
        let value = a.get(i, j).to_f64();
        if !value.is_finite() {
            return Err(Error::non_finite("A", value, format!("[{i}, {j}]")));
        }
    }
    Ok(())
}

/// Rounds numbers to a precision.
pub(super) fn narrow<T: Real>(from: &[f64], to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = T::from_f64(from));
}

/// Rounds a matrix to a precision; columns are contiguous.
pub(super) fn copy_narrowed<T: Real>(from: &Mat<f64>, mut to: DenseMut<'_, T>) {
    let stride = to.col_stride();
    (0..from.ncols()).for_each(|j| narrow(from.col(j), &mut to.data()[j * stride..]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_beyond_the_range() {
        assert_eq!(times_power_of_two(3.0 * 2f64.powi(-1000), 1500), 3.0 * 2f64.powi(500));
        assert_eq!(times_power_of_two(1.0, -3000), 0.0);
        assert_eq!((exponent_of(1.0), exponent_of(2f64.powi(-1022)), exponent_of(8.0)), (0, -1022, 3));
    }
}
