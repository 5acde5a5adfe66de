//! The norm, columns of norm one, and projections onto orthonormal ones.

use super::product;
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::collected;

/// Euclidean norm.
pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Divides columns by their norms and gives the norms; 1 for a column of zeros.
pub(crate) fn normalise_columns(a: &mut Mat<f64>) -> Result<Vec<f64>> {
    let ncols = a.ncols();
    let normalise = |j: usize| {
        let column = a.col_mut(j);
        let length = norm(column);
        let norm = if length > 0.0 { length } else { 1.0 };
        column.iter_mut().for_each(|v| *v /= norm);
        norm
    };
    collected((0..ncols).map(normalise), "norms of columns")
}

/// The same columns divided by their norms.
pub(crate) fn normalised(mut a: Mat<f64>) -> Result<Mat<f64>> {
    normalise_columns(&mut a)?;
    Ok(a)
}

/// Q Q'X, on this thread: of small matrices.
pub(crate) fn project(q: &Mat<f64>, x: &Mat<f64>) -> Result<Mat<f64>> {
    product(q.as_ref(), product(q.as_ref().t(), x.as_ref())?.as_ref())
}
