//! Leave-one-out errors of ridge regression for many ridges, from one factorisation.
//!
//! With A = U S V' (weighted and centred) the fit for a ridge has the hat matrix
//! H = U diag(s^2 / (s^2 + ridge)) U', plus w_i / sum(w) on the diagonal for an intercept, and the error at a row
//! that is left out is its residual over 1 - h_ii. U is made from A, V and S one tile at a time and never stored.
//! Cost: one QR, then n d (d + alphas (1 + targets)) multiply-adds.

use super::design::{Design, Problem, TILE_ROWS, row_blocks};
use super::pass::{Sides, pass};
use super::qr::{RCOND, rank_of};
use crate::error::Result;
use crate::linalg;
use crate::matrix::{Dense, Mat, Real, Rows};
use crate::parallel::Context;
use crate::simd::Element;
use std::ops::Range;

/// Weighted mean over the rows of the squared leave-one-out errors, `alphas.len()` x k.
pub fn ridge_leave_one_out<T: Real + Element>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
) -> Result<Mat<f64>> {
    let design = Design::new(context, problem)?;
    let (n, d, k) = (design.nrows(), design.ncols(), design.ntargets());
    design.largest_in_columns(context)?;
    let svd = linalg::svd(linalg::tsqr(context, &design)?.as_ref())?;
    let rank = rank_of(&svd.s, RCOND);
    let whitener = Mat::from_fn(d, rank, |i, j| svd.v[(i, j)] / svd.s[j])?;
    let targets: Vec<usize> = (0..k).collect();
    let at_zero = pass(context, &design, &Mat::zeros(d, k)?, Sides::Targets(&targets))?;
    let coordinates = linalg::product(whitener.as_ref().t(), at_zero.gradient.as_ref())?;
    let shrink = |j: usize, alpha: f64| svd.s[j].powi(2) / (svd.s[j].powi(2) + alpha);
    let steps = Steps {
        design: &design,
        alphas,
        shrunk: Mat::from_fn(rank, alphas.len(), |j, a| shrink(j, alphas[a]))?,
        fits: Mat::from_fn(rank, alphas.len() * k, |j, c| {
            shrink(j, alphas[c / k]) * coordinates[(j, c % k)]
        })?,
        whitener,
        weight_norm: if problem.fit_intercept { design.weight_norm() } else { f64::INFINITY },
    };
    let blocks = row_blocks(n, d);
    let partial = context
        .map_with(blocks.len(), Vec::new, |buffer, block| steps.block(blocks[block].clone(), buffer))?;
    let mut errors = Mat::zeros(alphas.len(), k)?;
    for partial in partial {
        errors.as_mut_slice().iter_mut().zip(partial?).for_each(|(sum, part)| *sum += part / n as f64);
    }
    for target in 0..k {
        let scale = design.target_scale(target).powi(2);
        errors.col_mut(target).iter_mut().for_each(|error| *error /= scale);
    }
    Ok(errors)
}

struct Steps<'s, 'a, T> {
    design: &'s Design<'a, T>,
    alphas: &'s [f64],
    /// V S^-1
    whitener: Mat<f64>,
    /// s^2 / (s^2 + alpha), rank x alphas.
    shrunk: Mat<f64>,
    /// Those times U'b, rank x (alphas, targets).
    fits: Mat<f64>,
    /// Infinite without an intercept.
    weight_norm: f64,
}

impl<T: Real + Element> Steps<'_, '_, T> {
    /// Sums of squared errors over some rows, target after target.
    fn block(&self, rows: Range<usize>, buffer: &mut Vec<f64>) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.fits.ncols()];
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile =
                self.design.tile(start..(start + TILE_ROWS).min(rows.end), 0..self.design.ncols(), buffer);
            self.add_tile(tile, start, &mut sums)?;
        }
        Ok(sums)
    }

    fn add_tile(&self, tile: Dense<'_, f64>, first: usize, sums: &mut [f64]) -> Result<()> {
        let (rows, count) = (tile.nrows(), self.alphas.len());
        let mut u = linalg::product(tile, self.whitener.as_ref())?;
        let fitted = linalg::product(u.as_ref(), self.fits.as_ref())?;
        u.as_mut_slice().iter_mut().for_each(|u| *u *= *u);
        let leverage = linalg::product(u.as_ref(), self.shrunk.as_ref())?;
        let k = self.design.ntargets();
        for i in 0..rows {
            let constant = (self.design.root_weight(first + i) / self.weight_norm).powi(2);
            for target in 0..k {
                let observed = self.design.target(first + i, target);
                for alpha in 0..count {
                    let error = (observed - fitted[(i, alpha * k + target)])
                        / (1.0 - leverage[(i, alpha)] - constant);
                    sums[target * count + alpha] += error * error;
                }
            }
        }
        Ok(())
    }
}
