//! Tall matrices, d x b and row after row, and the few things that are done with them.

use crate::error::Result;
use crate::linalg::{Scratch, invert_upper, leading_eigh_into, leading_eigh_scratch, orthonormal};
use crate::matrix::{Dense, DenseMut, Mat};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::small_product;
use crate::streaming::numbers::Numbers;

/// What memory is for.
const SMALL: &str = "a small matrix";

/// A'B, a x b, row after row, of matrices of `a` and of `b` columns.
pub fn inner(left: &[f64], a: usize, right: &[f64], b: usize) -> Result<Vec<f64>> {
    let mut out = zeros(a * b, SMALL)?;
    let d = left.len().checked_div(a).unwrap_or(0);
    small_product((a, b, d), left, (1, a), right, &mut out, false);
    Ok(out)
}

/// `out = A C`, or `out += A C`, for C of `a` rows and `b` columns, row after row.
pub fn times(left: &[f64], a: usize, c: &[f64], b: usize, out: &mut [f64], accumulate: bool) {
    let d = out.len().checked_div(b).unwrap_or(0);
    small_product((d, b, a), left, (a, 1), c, out, accumulate);
}

/// The `count` largest eigenvalues of a symmetric matrix of order n, descending, and their eigenvectors, n x count, row
/// after row.
pub fn leading_pairs(symmetric: &[f64], n: usize, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut a = Mat::from_fn(n, n, |i, j| 0.5 * (symmetric[i * n + j] + symmetric[j * n + i]))?;
    let (mut values, mut vectors) = (zeros(count, SMALL)?, Mat::zeros(n, count)?);
    let mut scratch = Scratch::new(leading_eigh_scratch(n, count))?;
    leading_eigh_into(a.as_mut(), &mut values, vectors.as_mut(), &mut scratch)?;
    let mut leading = zeros(n * count, SMALL)?;
    DenseMut::row_major(&mut leading, n, count).copy_from(vectors.as_ref());
    Ok((values, leading))
}

/// The same of products of rows whose signs say nothing: to the bit what it is for rows whose first entry is positive.
pub fn leading_pairs_of_rows(
    gram: &mut [f64],
    n: usize,
    count: usize,
    signs: &[f64],
) -> Result<(Vec<f64>, Vec<f64>)> {
    (0..n * n).for_each(|at| gram[at] *= signs[at / n] * signs[at % n]);
    let (values, mut vectors) = leading_pairs(gram, n, count)?;
    (0..n * count).for_each(|at| vectors[at] *= signs[at / count]);
    Ok((values, vectors))
}

/// The sign of the first entry of a row that is not zero.
pub fn sign_of(row: &[f64]) -> f64 {
    row.iter().find(|number| **number != 0.0).map_or(1.0, |number| number.signum())
}

/// An orthonormal basis of the range of A, whose first columns span what A's first columns do; where these are dependent,
/// of more.
pub fn orthonormal_columns(context: &Context, a: &[f64], b: usize) -> Result<Numbers> {
    let d = a.len() / b;
    let basis = orthonormal(context, Mat::copy_of(Dense::row_major(a, d, b))?)?;
    let mut rows = Numbers::zeros(a.len())?;
    DenseMut::row_major(&mut rows, d, b).copy_from(basis.as_ref());
    Ok(rows)
}

/// A R^-1, of an upper triangle R of order b.
pub fn over_upper(a: &[f64], b: usize, r: &Mat<f64>) -> Result<Numbers> {
    let (inverse, mut rows) = (invert_upper(r.as_ref())?, zeros(b * b, SMALL)?);
    DenseMut::row_major(&mut rows, b, b).copy_from(inverse.as_ref());
    let mut quotient = Numbers::zeros(a.len())?;
    times(a, b, &rows, b, &mut quotient, false);
    Ok(quotient)
}

/// The transpose of a matrix of so many rows and columns, row after row.
pub fn transposed(a: &[f64], rows: usize, columns: usize) -> Result<Numbers> {
    let mut out = Numbers::zeros(rows * columns)?;
    DenseMut::row_major(&mut out, columns, rows).copy_from(Dense::row_major(a, rows, columns).t());
    Ok(out)
}

/// The best b directions of L L' + M M', d x b, with their squares: columns are orthogonal.
pub fn best_of_both(left: &[f64], right: &[f64], b: usize) -> Result<(Vec<f64>, Numbers)> {
    let mut gram = zeros(4 * b * b, SMALL)?;
    let between = inner(left, b, right, b)?;
    let (ll, rr) = (inner(left, b, left, b)?, inner(right, b, right, b)?);
    for at in 0..4 * b * b {
        let (i, j) = (at / (2 * b), at % (2 * b));
        gram[at] = match (i < b, j < b) {
            (true, true) => ll[i * b + j],
            (true, false) => between[i * b + j - b],
            (false, true) => between[j * b + i - b],
            (false, false) => rr[(i - b) * b + j - b],
        };
    }
    let (squares, vectors) = leading_pairs(&gram, 2 * b, b)?;
    let mut best = Numbers::zeros(left.len())?;
    times(left, b, &vectors[..b * b], b, &mut best, false);
    times(right, b, &vectors[b * b..], b, &mut best, true);
    Ok((squares, best))
}
