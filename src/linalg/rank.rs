//! Numerical ranks: cut-offs, truncated factors, and their pseudo-inverses.

use super::{Factor, Svd, matmul, norm, svd};
use crate::error::Result;
use crate::matrix::{Dense, Mat, Real};
use crate::memory::collected;

/// Singular values of a column-scaled n x d matrix below this times the largest count as zero, unless the caller says
/// otherwise. What QR leaves of directions that A does not see grows with its order: up to d / 24 roundoffs for a
/// one-hot factor of d levels beside a column of ones, and up to d / 8 for one that is centred. Nor is there anything
/// but rounding in what is no larger than the spacing at 1 of the precision in which entries are stored, its unit
/// roundoff being `u`.
pub(crate) fn cut_off(n: usize, d: usize, u: f64) -> f64 {
    RCOND.max(n.min(d) as f64 * f64::UNIT_ROUNDOFF).max(2.0 * u)
}

/// The least cut-off that a caller gets: singular values below are rounding, and answers made of them are none.
pub(crate) const LEAST: f64 = f64::UNIT_ROUNDOFF;

/// The least cut-off by default.
pub(crate) const RCOND: f64 = 30.0 * f64::UNIT_ROUNDOFF;

/// Number of singular values above `rcond` times the largest.
pub(crate) fn rank_of(singular_values: &[f64], rcond: f64) -> usize {
    rank_beside(singular_values, rcond, 0.0)
}

/// The same, where the largest counts as no less than `least`.
pub(crate) fn rank_beside(singular_values: &[f64], rcond: f64, least: f64) -> usize {
    let largest = singular_values.first().copied().unwrap_or(0.0).max(least);
    singular_values.iter().take_while(|&&s| s > rcond * largest).count()
}

/// R without its singular values below `rcond` times the largest.
pub(crate) struct Truncated {
    pub factor: Factor,
    /// The answers of least norm.
    pub x: Mat<f64>,
    /// The right singular vectors that were cut off.
    pub null_space: Mat<f64>,
    /// Norm of the singular values that were dropped, relative to that of all; 0 where none were.
    pub cut: f64,
}

/// Truncates R and solves R x = `images`. The largest singular value counts as no less than `least`, and the rank
/// is at most `most`, and the number of columns that are not zero: what is beyond is rounding, whatever the cut-off.
pub(crate) fn truncated(
    r: &Mat<f64>,
    images: Dense<'_, f64>,
    rcond: f64,
    least: f64,
    most: usize,
) -> Result<Truncated> {
    let (d, mut svd) = (r.ncols(), svd(r.as_ref())?);
    let empty = collected(empty_columns(r), "columns of zeros")?;
    let possible = most.min(d - empty.len());
    let rank = rank_beside(&svd.s[..possible], rcond, least);
    for &i in &empty {
        (0..rank).for_each(|j| svd.v[(i, j)] = 0.0);
    }
    let null_space = Mat::from_fn(d, d - rank, |i, j| svd.v[(i, rank + j)])?;
    let leading = |a: &Mat<f64>| Mat::from_fn(d, rank, |i, j| a[(i, j)]);
    let cut = cut_beyond(&svd.s, rank, possible);
    svd.s.truncate(rank);
    let svd = Svd { u: leading(&svd.u)?, v: leading(&svd.v)?, s: svd.s };
    let (factor, x) = pseudo_inverse(svd, images)?;
    Ok(Truncated { factor, x, null_space, cut })
}

/// What rounding adds to the norm of singular values that were cut off, relative to that of all.
const ROUNDING: f64 = 2.0 * f64::UNIT_ROUNDOFF;

/// Norm of the singular values after the first `rank`, relative to that of all, and what rounding adds to it. Beyond
/// the first `possible` there is but rounding, and nothing is cut off.
pub(crate) fn cut_beyond(singular_values: &[f64], rank: usize, possible: usize) -> f64 {
    let (kept, cut) = singular_values[..possible.min(singular_values.len())].split_at(rank);
    if cut.is_empty() || kept.is_empty() {
        return 0.0;
    }
    norm(cut) / norm(singular_values) + ROUNDING
}

/// U S V' as a factor, and V S^-1 U'B.
pub(crate) fn pseudo_inverse(svd: Svd, targets: Dense<'_, f64>) -> Result<(Factor, Mat<f64>)> {
    let mut y = Mat::zeros(svd.s.len(), targets.ncols())?;
    matmul(y.as_mut(), false, svd.u.as_ref().t(), targets, 1.0);
    let factor = Factor::Spectral(svd.v, svd.s);
    let x = factor.unwhiten(&y)?;
    Ok((factor, x))
}

pub(crate) fn empty_columns(a: &Mat<f64>) -> impl Iterator<Item = usize> {
    (0..a.ncols()).filter(|&j| a.col(j).iter().all(|&v| v == 0.0))
}
