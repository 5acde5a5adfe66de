//! Ridge regression for many ridges from one factorisation: coefficients, and what is left of a row that is left out.
//!
//! With A = U S V' (weighted and centred) the coefficients for a ridge are V S (S^2 + ridge)^-1 U'b and the fit has
//! the hat matrix H = U diag(s^2 / (s^2 + ridge)) U', plus w_i / sum(w) on the diagonal for an intercept. The residual
//! at a row that is left out is its residual over 1 - h_ii. U is made from A, V and S one tile at a time and never
//! stored. Cost: one QR, then n d (d + alphas (1 + targets)) multiply-adds.

use crate::error::Result;
use crate::linalg;
use crate::linalg::rank_of;
use crate::matrix::{Dense, Mat, Matrix, Real, Rows, TILE_ROWS, make_rows, row_blocks};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::{Passes, Sides};
use crate::regression::problem::Problem;
use std::ops::Range;

/// Weighted mean over the rows of the squared leave-one-out residuals, `alphas.len()` x k.
pub fn ridge_leave_one_out<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
) -> Result<Mat<f64>> {
    let design = Design::new(context, problem)?;
    let steps = Steps::new(context, &design, alphas)?;
    let blocks = row_blocks(design.nrows(), design.ncols())?;
    let partial = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let mut sums = zeros(steps.width(), "sums of squares")?;
        steps.each(blocks[block].clone(), buffer, |_, c, residual| sums[c] += residual * residual)?;
        Ok(sums)
    })?;
    let mut errors = Mat::zeros(alphas.len(), design.ntargets())?;
    for partial in partial {
        let partial: Vec<f64> = partial?;
        errors.as_mut_slice().iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    for target in 0..design.ntargets() {
        let scale = design.target_scale(target).powi(2) * design.nrows() as f64;
        errors.col_mut(target).iter_mut().for_each(|error| *error /= scale);
    }
    Ok(errors)
}

/// The leave-one-out residuals themselves, times the roots of the weights: a column for each row of A, in it
/// `alphas.len()` numbers for each target.
pub fn ridge_left_out<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
) -> Result<Mat<f64>> {
    let design = Design::new(context, problem)?;
    let steps = Steps::new(context, &design, alphas)?;
    let width = steps.width();
    let mut residuals = Mat::zeros(width, design.nrows())?;
    let blocks = row_blocks(design.nrows(), design.ncols())?;
    make_rows(context, residuals.as_mut().t(), &blocks, width, |buffer, rows, out| {
        steps.each(rows.clone(), buffer, |i, c, residual| {
            out[(i - rows.start) * width + c] = residual / design.target_scale(c / alphas.len());
        })
    })?;
    Ok(residuals)
}

/// Coefficients for all ridges, d x (alphas, targets) with the targets fastest, and their intercepts.
pub fn ridge_path<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
) -> Result<(Mat<f64>, Vec<f64>)> {
    let design = Design::new(context, problem)?;
    let spectrum = Spectrum::new(context, &design)?;
    let k = design.ntargets();
    let fits = Mat::from_fn(spectrum.rank(), alphas.len() * k, |j, c| {
        spectrum.kept(j, alphas[c / k]) * spectrum.coordinates[(j, c % k)] / design.target_scale(c % k)
    })?;
    let coefficients = linalg::product(spectrum.whitener.as_ref(), fits.as_ref())?;
    let mut intercepts = zeros(alphas.len() * k, "intercepts")?;
    for (c, intercept) in intercepts.iter_mut().enumerate() {
        let means = design.means().unwrap_or_default();
        let fitted: f64 = means.iter().zip(coefficients.col(c)).map(|(mean, x)| mean * x).sum();
        *intercept = design.target_means()[c % k] - fitted;
    }
    Ok((coefficients, intercepts))
}

/// Singular values, V S^-1 and U'b.
struct Spectrum {
    squares: Vec<f64>,
    whitener: Mat<f64>,
    coordinates: Mat<f64>,
}

impl Spectrum {
    fn new<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Self> {
        let (d, k) = (design.ncols(), design.ntargets());
        design.largest_in_columns(context)?;
        let svd = linalg::svd(linalg::tsqr(context, &design.a)?.as_ref())?;
        let rank = rank_of(&svd.s, design.cut_off());
        let whitener = Mat::from_fn(d, rank, |i, j| svd.v[(i, j)] / svd.s[j])?;
        let targets = collected(0..k, "the targets")?;
        let at_zero = Matrix::pass(context, design, &Mat::zeros(d, k)?, Sides::Targets(&targets))?;
        let coordinates = linalg::product(whitener.as_ref().t(), at_zero.gradient.as_ref())?;
        let squares = collected(svd.s[..rank].iter().map(|s| s * s), "singular values")?;
        Ok(Self { squares, whitener, coordinates })
    }

    fn rank(&self) -> usize {
        self.squares.len()
    }

    /// What a ridge leaves of a coordinate.
    fn kept(&self, coordinate: usize, ridge: f64) -> f64 {
        self.squares[coordinate] / (self.squares[coordinate] + ridge)
    }

    /// What a ridge takes of a coordinate.
    fn lost(&self, coordinate: usize, ridge: f64) -> f64 {
        ridge / (self.squares[coordinate] + ridge)
    }
}

struct Steps<'s, 'a, T> {
    design: &'s Design<'a, T>,
    alphas: usize,
    /// V S^-1
    whitener: Mat<f64>,
    /// What is taken off the identity to leave 1 - H, rank x alphas; where U is all of space, minus what is left of it.
    shrunk: Mat<f64>,
    /// Those times U'b, rank x (alphas, targets).
    fits: Mat<f64>,
    /// The coefficient of the identity: zero where U is all of space, and a difference would be rounding.
    identity: f64,
    /// Infinite without an intercept.
    weight_norm: f64,
}

impl<'s, 'a, T: Real> Steps<'s, 'a, T> {
    fn new(context: &Context, design: &'s Design<'a, T>, alphas: &[f64]) -> Result<Self> {
        let spectrum = Spectrum::new(context, design)?;
        let k = design.ntargets();
        let intercept = design.means().is_some();
        let rows = design.rows_present();
        let complete = spectrum.rank() + usize::from(intercept) >= rows;
        let shrink = |j: usize, alpha: f64| {
            if complete { -spectrum.lost(j, alpha) } else { spectrum.kept(j, alpha) }
        };
        Ok(Self {
            design,
            alphas: alphas.len(),
            shrunk: Mat::from_fn(spectrum.rank(), alphas.len(), |j, a| shrink(j, alphas[a]))?,
            fits: Mat::from_fn(spectrum.rank(), alphas.len() * k, |j, c| {
                shrink(j, alphas[c / k]) * spectrum.coordinates[(j, c % k)]
            })?,
            whitener: spectrum.whitener,
            identity: if complete { 0.0 } else { 1.0 },
            weight_norm: if intercept { design.weight_norm() } else { f64::INFINITY },
        })
    }

    /// Residuals of a row.
    fn width(&self) -> usize {
        self.fits.ncols()
    }

    /// Visit (row, target * alphas + alpha, residual) for some rows.
    fn each(
        &self,
        rows: Range<usize>,
        buffer: &mut Vec<f64>,
        mut visit: impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = self.design.a.tile(
                start..(start + TILE_ROWS).min(rows.end),
                0..self.design.ncols(),
                buffer,
            )?;
            self.tile(tile, start, &mut visit)?;
        }
        Ok(())
    }

    fn tile(
        &self,
        tile: Dense<'_, f64>,
        first: usize,
        visit: &mut impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let (rows, k) = (tile.nrows(), self.design.ntargets());
        let mut u = linalg::product(tile, self.whitener.as_ref())?;
        let fitted = linalg::product(u.as_ref(), self.fits.as_ref())?;
        u.as_mut_slice().iter_mut().for_each(|u| *u *= *u);
        let leverage = linalg::product(u.as_ref(), self.shrunk.as_ref())?;
        for i in 0..rows {
            let row = first + i;
            let free = self.identity * (1.0 - (self.design.root_weight(row) / self.weight_norm).powi(2));
            for target in 0..k {
                let observed = self.identity * self.design.target(row, target);
                for alpha in 0..self.alphas {
                    // A row of weight zero is nowhere in U.
                    let left = observed - fitted[(i, alpha * k + target)];
                    let residual = if left == 0.0 { 0.0 } else { left / (free - leverage[(i, alpha)]) };
                    visit(row, target * self.alphas + alpha, residual);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, assert_near, forms};

    #[test]
    fn errors_are_those_of_as_many_fits() {
        let (instance, alphas, n) = (Instance::new(24, 4), [0.5, 30.0], 24);
        for form in forms() {
            let found =
                ridge_leave_one_out(&Context::new(2), &instance.problem(form, &[0.0]), &alphas).unwrap();
            let weight = |i: usize| if form.weighted { instance.weights[i] } else { 1.0 };
            for (at, &alpha) in alphas.iter().enumerate() {
                let mut sums = [0.0; 2];
                for i in (0..n).filter(|&i| weight(i) > 0.0) {
                    let mut rest = Instance::new(n, 4);
                    // A row without weight is not there.
                    rest.weights = (0..n).map(|row| if row == i { 0.0 } else { weight(row) }).collect();
                    let others = crate::regression::testing::Form { weighted: true, ..form };
                    let x = rest.minimiser(others, alpha);
                    let total: f64 = rest.weights.iter().sum();
                    for (target, sum) in sums.iter_mut().enumerate() {
                        let left = |row: usize| {
                            let fit: f64 = (0..4).map(|j| rest.a[(row, j)] * x[(j, target)]).sum();
                            rest.b[(row, target)] - fit
                        };
                        let constant = match form.fit_intercept {
                            true => (0..n).map(|row| rest.weights[row] * left(row)).sum::<f64>() / total,
                            false => 0.0,
                        };
                        *sum += weight(i) * (left(i) - constant).powi(2) / n as f64;
                    }
                }
                for (target, sum) in sums.into_iter().enumerate() {
                    assert_near(found[(at, target)], sum, &format!("{form:?}, {alpha}"));
                }
            }
        }
    }
}
