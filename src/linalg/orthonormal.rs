//! Orthonormal bases of tall blocks, on all threads.

use super::gram::plain_gram;
use super::{Qr, cholesky, condition_of_upper, invert_upper, matmul, tsqr};
use crate::error::Result;
use crate::matrix::{DenseMut, Mat, even_blocks, make_rows};
use crate::parallel::Context;

/// Up to this condition number, what a triangle leaves is orthonormal to rounding.
pub(crate) const WELL_CONDITIONED: f64 = 30.0;

/// An orthonormal basis of the range of a matrix of full column rank: Q = A R⁻¹ by TSQR, twice where one triangle
/// leaves too much, and Householder's Q, on one thread, for condition numbers that not even two can mend.
pub fn orthonormal(context: &Context, a: Mat<f64>) -> Result<Mat<f64>> {
    if a.ncols() == 0 {
        return Ok(a);
    }
    let r = tsqr(context, &a.as_ref())?;
    let condition = condition_of_upper(r.as_ref())?;
    if condition > 1e6 {
        return Qr::new(a)?.thin_q();
    }
    let basis = over_triangle(context, &a, &r)?;
    if condition < WELL_CONDITIONED {
        return Ok(basis);
    }
    over_triangle(context, &basis, &tsqr(context, &basis.as_ref())?)
}

/// A R^-1
pub(crate) fn over_triangle(context: &Context, a: &Mat<f64>, r: &Mat<f64>) -> Result<Mat<f64>> {
    const COLUMNS: usize = 64;
    let inverse = invert_upper(r.as_ref())?;
    let mut quotient = Mat::zeros(a.nrows(), a.ncols())?;
    let blocks = even_blocks(a.ncols(), COLUMNS)?;
    make_rows(context, quotient.as_mut().t(), &blocks, a.nrows(), |_, columns, out| {
        let out = DenseMut::column_major(out, a.nrows(), columns.len());
        // The inverse is a triangle: rows below its last column here are zeros.
        let rows = 0..columns.end;
        let inverse = inverse.as_ref().window(rows.clone(), columns);
        matmul(out, false, a.as_ref().cols(rows), inverse, 1.0);
        Ok(())
    })?;
    Ok(quotient)
}

/// [`orthonormal`] by CholeskyQR2: two Gram matrices and their triangles, half the flops of TSQR and all of them in
/// products. Up to a condition number of about 1e7 the second triangle makes up for what the first one loses; where it
/// breaks, TSQR takes its place.
pub fn cholesky_qr2(context: &Context, a: Mat<f64>) -> Result<Mat<f64>> {
    if a.ncols() == 0 {
        return Ok(a);
    }
    let triangle = |a: &Mat<f64>| cholesky(&plain_gram(context, &a.as_ref())?);
    let Some(first) = triangle(&a)? else { return orthonormal(context, a) };
    let basis = over_triangle(context, &a, &first)?;
    match triangle(&basis)? {
        Some(second) if condition_of_upper(second.as_ref())? < 2.0 => over_triangle(context, &basis, &second),
        _ => orthonormal(context, a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;

    /// Singular values that fall to 10^-decades, and columns of all sizes.
    fn block(m: usize, n: usize, decades: f64) -> Mat<f64> {
        let u = Qr::new(gaussian(m, n, 1)).unwrap().thin_q().unwrap();
        let v = Qr::new(gaussian(n, n, 2)).unwrap().thin_q().unwrap();
        let fall = |j: usize| 10f64.powf(-decades * j as f64 / (n - 1) as f64);
        let scaled = Mat::from_fn(m, n, |i, j| u[(i, j)] * fall(j)).unwrap();
        product(scaled.as_ref(), v.as_ref().t())
    }

    #[test]
    fn bases_are_orthonormal_and_span_the_columns_at_every_condition() {
        for (m, n) in [(40, 2), (2000, 12), (900, 70)] {
            for decades in [0.0, 1.2, 4.0, 6.5, 9.0, 12.0] {
                let a = block(m, n, decades);
                for basis in [orthonormal, cholesky_qr2] {
                    let q = basis(&Context::new(1), a.copy().unwrap()).unwrap();
                    assert_eq!(q.as_slice(), basis(&Context::new(3), a.copy().unwrap()).unwrap().as_slice());
                    assert!(departure_from_orthonormal(&q) < 1e-14, "{m} x {n}, {decades} decades");
                    let coordinates = product(q.as_ref().t(), a.as_ref());
                    let back = product(q.as_ref(), coordinates.as_ref());
                    assert!(distance(back.as_ref(), a.as_ref()) < 1e-14, "{m} x {n}, {decades} decades");
                }
            }
        }
        assert_eq!(orthonormal(&Context::new(1), Mat::zeros(5, 0).unwrap()).unwrap().ncols(), 0);
        assert_eq!(cholesky_qr2(&Context::new(1), Mat::zeros(5, 0).unwrap()).unwrap().ncols(), 0);
    }
}
