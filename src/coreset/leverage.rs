//! Leverage scores: how much a row alone can move a least-squares fit.
//!
//! t_i = a_i'(A'A + ridge)^+ a_i, the square of the norm of row i in [coordinates](super::basis) in which the columns of A
//! are orthonormal. Without a ridge they add up to the rank.

use super::basis::Basis;
use super::design::{Design, by_rows};
use crate::error::Result;
use crate::linalg::product;
use crate::matrix::{Buffer, Mat, Matrix, Products, Real};
use crate::parallel::Context;
use crate::random::Stream;

/// How leverages are to be had.
#[derive(Clone, Copy, Debug)]
pub struct LeverageParams {
    /// Scores are t^(p/2), and rows have the p-th roots of their weights.
    pub p: f64,
    /// Added to the diagonal of A'A.
    pub ridge: f64,
    /// Relative error that will do for every row, with probability 1 - [`DELTA`]; `None` for exact scores.
    pub eps: Option<f64>,
    /// Of the random numbers.
    pub seed: u64,
}

/// Probability that some score is further off than it may be.
pub const DELTA: f64 = 0.01;
/// Of the random directions.
const DIRECTIONS: u8 = 0x71;
/// Directions that sparse rows are multiplied with at once.
const BATCH: usize = 16;
/// What memory is for.
const SCORES: &str = "leverage scores";

/// Scores of all rows, which `weights` count that many times, and the rank of A.
///
/// n d^2 flops for the triangle of A'A and as many for the scores, in two reads; sparse rows cost the squares of their
/// lengths instead. Approximate scores are squares of norms in k random directions, k = [`width`] if that is less than d.
pub fn leverage_scores<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    params: &LeverageParams,
) -> Result<(Buffer<f64>, usize)> {
    by_rows(context, a, weights, params.ridge, |a| {
        let (design, gram) = Design::new(context, a, weights, params.p)?;
        let basis = Basis::new(context, &design, &gram, params.ridge)?;
        context.progress(1, 2, &[])?;
        let width = params.eps.map(|eps| width(design.nrows(), eps));
        let mut scores = match width {
            Some(width) if width < basis.rank() => {
                in_directions(context, &design, &basis, width, params.seed)?
            }
            _ => design.squared_norms(context, &basis.whitener, basis.is_mild)?,
        };
        scores.iter_mut().for_each(|score| *score = score.min(1.0));
        if params.p != 2.0 {
            root_leverages(&mut scores, params.p);
        }
        context.progress(2, 2, &[])?;
        Ok((scores, basis.rank()))
    })
}

/// Directions in which all of n squared norms are within 1 +- eps of what they are, with probability 1 - [`DELTA`]: for
/// each of them chi-squared over k is further off with probability 2 exp(-k (eps^2 / 4 - eps^3 / 6)) at most.
pub fn width(n: usize, eps: f64) -> usize {
    ((2.0 * n as f64 / DELTA).ln() / (eps * eps / 4.0 - eps.powi(3) / 6.0)).ceil() as usize
}

/// Squares of norms in random directions.
fn in_directions<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    basis: &Basis,
    width: usize,
    seed: u64,
) -> Result<Buffer<f64>> {
    let stream = Stream::new(seed, 0, DIRECTIONS);
    let unit = (width as f64).sqrt().recip();
    let directions = Mat::from_fn(basis.rank(), width, |i, j| unit * stream.normal(i as u64, j as u64))?;
    let whitener = product(basis.whitener.as_ref(), directions.as_ref())?;
    if matches!(design.rows.source, Matrix::Dense(_)) {
        return design.squared_norms(context, &whitener, false);
    }
    let n = design.nrows();
    let (mut norms, mut image) = (Buffer::zeros(n, SCORES)?, Mat::zeros(n, BATCH)?);
    for first in (0..width).step_by(BATCH) {
        let columns = first..width.min(first + BATCH);
        let count = columns.len();
        design.rows.product(context, whitener.as_ref().cols(columns), image.as_mut().cols(0..count))?;
        for column in 0..count {
            for rows in context.pieces(0..n) {
                let rows = rows?;
                let values = &image.col(column)[rows.clone()];
                norms[rows].iter_mut().zip(values).for_each(|(norm, value)| *norm += value * value);
            }
        }
    }
    Ok(norms)
}

/// t^(p/2), scores of rows for 1 <= p < 2 from their leverages.
pub(crate) fn root_leverages(scores: &mut [f64], p: f64) {
    scores.iter_mut().for_each(|score| *score = if p == 1.0 { score.sqrt() } else { score.powf(0.5 * p) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::{entry, sparse_copy};
    use crate::linalg::{Qr, leverages};
    use crate::matrix::{Axis, Dense};

    fn exact(p: f64, ridge: f64) -> LeverageParams {
        LeverageParams { p, ridge, eps: None, seed: 0 }
    }

    /// By Householder's Q, dense in both orders and sparse in both, of full rank and with columns that are others' sums.
    #[test]
    fn scores_are_squared_norms_of_rows_of_q() {
        let (n, d) = (700, 6);
        let dense =
            Mat::from_fn(n, d + 1, |i, j| if j < d { entry(i, j) } else { entry(i, 0) - entry(i, 3) })
                .unwrap();
        for columns in [d, d + 1] {
            let a = dense.as_ref().cols(0..columns);
            let q = Qr::new(Mat::copy_of(a.cols(0..d)).unwrap()).unwrap().thin_q().unwrap();
            let by_rows: Vec<f64> = (0..n * columns).map(|at| a.get(at / columns, at % columns)).collect();
            let csr = sparse_copy(a, Axis::Rows);
            let csc = sparse_copy(a, Axis::Columns);
            for a in [
                Matrix::Dense(a),
                Matrix::Dense(Dense::row_major(&by_rows, n, columns)),
                Matrix::Sparse(csr.as_ref()),
                Matrix::Sparse(csc.as_ref()),
            ] {
                let (found, rank) = leverage_scores(&Context::new(1), a, None, &exact(2.0, 0.0)).unwrap();
                assert_eq!(rank, d);
                for (i, found) in found.iter().enumerate() {
                    let truth: f64 = (0..d).map(|j| q[(i, j)].powi(2)).sum();
                    assert!((found - truth).abs() < 1e-11, "row {i}: {found} for {truth}");
                }
                let (threads, _) = leverage_scores(&Context::new(3), a, None, &exact(2.0, 0.0)).unwrap();
                assert_eq!(&*threads, &*found);
                let (roots, _) = leverage_scores(&Context::new(1), a, None, &exact(1.0, 0.0)).unwrap();
                assert!(roots.iter().zip(&*found).all(|(root, score)| *root == score.sqrt()));
            }
        }
    }

    #[test]
    fn a_ridge_is_rows_below() {
        let (n, d, ridge) = (300, 5, 7.0f64);
        let below = |i: usize, j: usize| if i - n == j { ridge.sqrt() } else { 0.0 };
        let stacked = Mat::from_fn(n + d, d, |i, j| if i < n { entry(i, j) } else { below(i, j) }).unwrap();
        let a = stacked.as_ref().rows(0..n);
        let q = Qr::new(stacked.copy().unwrap()).unwrap().thin_q().unwrap();
        let truth = leverages(&Context::new(1), &q.as_ref(), &Mat::identity(d).unwrap()).unwrap();
        let (found, _) =
            leverage_scores(&Context::new(1), Matrix::Dense(a), None, &exact(2.0, ridge)).unwrap();
        assert!(found.iter().zip(&*truth).all(|(found, truth)| (found - truth).abs() < 1e-12));
    }

    #[test]
    fn directions_are_as_many_as_the_bound_asks_for() {
        for (n, eps) in [(100, 0.5), (1 << 20, 0.1)] {
            let tail = |k: f64| 2.0 * n as f64 * (-k * (eps * eps / 4.0 - f64::powi(eps, 3) / 6.0)).exp();
            let k = width(n, eps) as f64;
            assert!(tail(k) <= DELTA && tail(k - 1.0) > DELTA);
        }
    }
}
