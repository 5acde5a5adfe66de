//! Ridge regression for many ridges from one factorisation: coefficients, and what is left of a row that is left out.
//!
//! With A = U S V' (weighted and centred) the coefficients for a ridge are V S (S^2 + ridge)^-1 U'b and the fit has
//! the hat matrix H = U diag(s^2 / (s^2 + ridge)) U', plus w_i / sum(w) on the diagonal for an intercept. The residual
//! at a row that is left out is its residual over 1 - h_ii. U is made from A, V and S one tile at a time and never
//! stored, unless A has fewer rows than columns. S and V are those of A'A where the condition allows that, else of a
//! triangle, of A or of its transpose. Cost: that, then n d (d + alphas (1 + targets)) multiply-adds.

use crate::error::Result;
use crate::linalg;
use crate::linalg::{Precision, rank_of};
use crate::matrix::{Mat, Real, Rows, TILE_ROWS, make_rows, row_blocks};
use crate::memory::{collected, filled, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::products::transposed_product;
use crate::regression::methods::dual::Transposed;
use crate::regression::methods::moments::Moments;
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
    let coefficients = spectrum.coefficients(context, &design, fits)?;
    let mut intercepts = zeros(alphas.len() * k, "intercepts")?;
    for (c, intercept) in intercepts.iter_mut().enumerate() {
        let means = design.means().unwrap_or_default();
        let fitted: f64 = means.iter().zip(coefficients.col(c)).map(|(mean, x)| mean * x).sum();
        *intercept = design.target_means()[c % k] - fitted;
    }
    Ok((coefficients, intercepts))
}

/// Squares of the singular values, singular vectors, and U'b.
struct Spectrum {
    squares: Vec<f64>,
    vectors: Vectors,
    coordinates: Mat<f64>,
}

/// Singular vectors, where they are fewest numbers.
enum Vectors {
    /// V S^-1
    Whitener(Mat<f64>),
    /// U
    Left(Mat<f64>),
}

/// Up to this condition singular values and vectors are those of A'A: twelve digits are left of them.
const MOST_FOR_GRAM: f64 = 100.0;

impl Spectrum {
    fn new<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Self> {
        if design.nrows() < design.ncols() {
            Self::wide(context, design)
        } else {
            Self::tall(context, design)
        }
    }

    fn tall<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Self> {
        let d = design.ncols();
        let ones = filled(1.0, d, "column scales")?;
        let moments = Moments::new(context, design, Precision::Double, ones)?;
        if !moments.is_finite() {
            design.largest_in_columns(context)?;
        }
        let is_exact = moments.magnification() <= MOST_FOR_GRAM;
        let (gram, at_zero) = moments.into_parts();
        let known = if is_exact { of_gram(&gram)? } else { None };
        let (s, v) = match known {
            Some(found) => found,
            None => {
                let svd = linalg::svd(linalg::tsqr(context, &design.a)?.as_ref())?;
                (svd.s, svd.v)
            }
        };
        let rank = rank_of(&s, design.cut_off());
        let whitener = Mat::from_fn(d, rank, |i, j| v[(i, j)] / s[j])?;
        let coordinates = linalg::product(whitener.as_ref().t(), at_zero.gradient.as_ref())?;
        let squares = collected(s[..rank].iter().map(|s| s * s), "singular values")?;
        Ok(Self { squares, vectors: Vectors::Whitener(whitener), coordinates })
    }

    /// From the triangle of A': where A' = QR and R' = U S W', A = U S (Q W)'.
    fn wide<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Self> {
        design.largest_in_columns(context)?;
        let r = linalg::tsqr(context, &Transposed::of(design))?;
        let svd = linalg::svd(r.as_ref())?;
        let rank = rank_of(&svd.s, design.cut_off());
        let u = Mat::from_fn(design.nrows(), rank, |i, j| svd.v[(i, j)])?;
        let targets = Mat::from_fn(design.nrows(), design.ntargets(), |i, target| design.target(i, target))?;
        let coordinates = linalg::product(u.as_ref().t(), targets.as_ref())?;
        let squares = collected(svd.s[..rank].iter().map(|s| s * s), "singular values")?;
        Ok(Self { squares, vectors: Vectors::Left(u), coordinates })
    }

    /// V S^-1 times coordinates.
    fn coefficients<T: Real>(
        &self,
        context: &Context,
        design: &Design<'_, T>,
        mut fits: Mat<f64>,
    ) -> Result<Mat<f64>> {
        match &self.vectors {
            Vectors::Whitener(whitener) => linalg::product(whitener.as_ref(), fits.as_ref()),
            Vectors::Left(u) => {
                for side in 0..fits.ncols() {
                    fits.col_mut(side).iter_mut().zip(&self.squares).for_each(|(fit, square)| *fit /= square);
                }
                transposed_product(context, design, &linalg::product(u.as_ref(), fits.as_ref())?)
            }
        }
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

/// The singular values and right vectors of a matrix by its A'A, if its condition allows that.
fn of_gram(gram: &Mat<f64>) -> Result<Option<(Vec<f64>, Mat<f64>)>> {
    let d = gram.ncols();
    if !gram.as_slice().iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let (values, vectors) = linalg::eigh(gram)?;
    let Some((least, most)) = values.first().copied().zip(values.last().copied()) else { return Ok(None) };
    if most.is_nan() || most > MOST_FOR_GRAM.powi(2) * least {
        return Ok(None);
    }
    let s = collected(values.iter().rev().map(|value| value.sqrt()), "singular values")?;
    Ok(Some((s, Mat::from_fn(d, d, |i, j| vectors[(i, d - 1 - j)])?)))
}

struct Steps<'s, 'a, T> {
    design: &'s Design<'a, T>,
    alphas: usize,
    vectors: Vectors,
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
            vectors: spectrum.vectors,
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
            let part = start..(start + TILE_ROWS).min(rows.end);
            let u = match &self.vectors {
                Vectors::Whitener(whitener) => {
                    let tile = self.design.a.tile(part, 0..self.design.ncols(), buffer)?;
                    linalg::product(tile, whitener.as_ref())?
                }
                Vectors::Left(u) => Mat::copy_of(u.as_ref().rows(part))?,
            };
            self.rows(u, start, &mut visit)?;
        }
        Ok(())
    }

    /// The same for rows of U.
    fn rows(&self, mut u: Mat<f64>, first: usize, visit: &mut impl FnMut(usize, usize, f64)) -> Result<()> {
        let (rows, k) = (u.nrows(), self.design.ntargets());
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
