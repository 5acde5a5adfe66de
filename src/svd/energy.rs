//! What there is to be captured.

use crate::error::{Error, Result};
use crate::matrix::{ColumnNorms, Matrix, Real, Sparse, first_non_finite};
use crate::parallel::Context;
use crate::simd::norm_sq;

/// Whether a sum of squares of numbers that are not all zero is in range: below this it has lost digits.
pub(super) fn is_in_range(squares: f64) -> bool {
    const SMALL: f64 = 1e-280;
    (SMALL..f64::INFINITY).contains(&squares)
}

/// |A|_F squared, if the squares are in range. An error if A is not finite.
pub fn energy<T: Real>(context: &Context, a: &Matrix<'_, T>) -> Result<Option<f64>> {
    let energy = match a {
        Matrix::Dense(a) => a.squared_column_norms(context)?.iter().sum(),
        Matrix::Sparse(a) => sum_of_squares(context, a)?,
    };
    if !energy.is_finite() {
        refuse_non_finite(context, a)?;
    }
    Ok(Some(energy).filter(|&energy| energy == 0.0 || is_in_range(energy)))
}

/// Of all entries.
pub(super) fn sum_of_squares<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Result<f64> {
    let values = a.values().get(..a.nnz()).unwrap_or_default();
    context.pieces(0..values.len()).try_fold(0.0, |sum, piece| Ok(sum + norm_sq(&values[piece?])))
}

/// An error that names the first entry of A that is not finite, if there is one.
pub(super) fn refuse_non_finite<T: Real>(context: &Context, a: &Matrix<'_, T>) -> Result<()> {
    let found = match a {
        Matrix::Dense(dense) => first_non_finite(context, dense)?,
        Matrix::Sparse(sparse) => sparse.first_non_finite(context, None)?,
    };
    match found {
        Some((i, j, value)) => Err(Error::non_finite("A", value, format!("[{i}, {j}]"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;

    #[test]
    fn of_what_is_finite_the_sum_of_squares() {
        let context = Context::new(1);
        let of = |entry: f64| {
            let a = Mat::from_fn(4, 3, |i, j| if (i, j) == (2, 1) { entry } else { 1.0 }).unwrap();
            energy(&context, &Matrix::Dense(a.as_ref()))
        };
        assert_eq!(of(3.0).unwrap(), Some(20.0));
        assert_eq!(of(1e200).unwrap(), None);
        for (entry, found) in [(f64::NAN, "NaN"), (f64::INFINITY, "infinity")] {
            let complaint = of(entry).unwrap_err().to_string();
            assert!(complaint.contains(found), "{complaint}");
        }
        assert!(of(f64::NAN).unwrap_err().to_string().contains("[2, 1]"));
    }
}
