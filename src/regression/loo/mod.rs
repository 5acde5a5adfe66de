//! Ridge regression for many ridges from one factorisation: coefficients, and what is left of a row that is left out.
//!
//! With A = U S V' (weighted and centred) the coefficients for a ridge are V S (S^2 + ridge)^-1 U'b and the fit has
//! the hat matrix H = U diag(s^2 / (s^2 + ridge)) U', plus w_i / sum(w) on the diagonal for an intercept. The residual
//! at a row that is left out is its residual over 1 - h_ii. U is made from A, V and S a few rows at a time and never
//! stored, unless A has fewer rows than columns. S and V are those of A'A, or S and U those of A A', where the condition
//! with the least ridge allows that, else of a triangle, of A or of its transpose. Cost: that, then n d (d + alphas (1 +
//! targets)) multiply-adds, of sparse rows d and n alphas (1 + targets) for every entry. The fit under the ridge that is
//! chosen has A'A or A A' from there.

pub(crate) mod left_out;
mod of_rows;

use crate::error::{Error, Result};
use crate::linalg;
use crate::linalg::{Precision, rank_of};
use crate::matrix::{Mat, Matrix, Real, Rows, Source, Sparse, TILE_ROWS, make_rows, row_blocks};
use crate::memory::{collected, filled, gathered, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::products::transposed_product;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::driver::{lstsq, lstsq_of_design};
use crate::regression::loo::of_rows::{MOST_FOR_GRAM, along_weights, left_out, row_gram};
use crate::regression::methods::moments::Moments;
use crate::regression::methods::row_factor::Transposed;
use crate::regression::methods::sketched::Sketchable;
use crate::regression::problem::Problem;
use crate::simd::axpy;
use std::ops::Range;

/// Ridges that leave-one-out errors have chosen, and the fit with them.
pub struct RidgeChoice {
    /// Weighted mean over the rows of the squared leave-one-out residuals, `alphas.len()` x k.
    pub errors: Mat<f64>,
    /// Positions among the ridges: of the one for all targets, or of one for each.
    pub chosen: Vec<usize>,
    /// What least squares under them gave.
    pub output: Output,
}

/// Ridge regression under that of the ridges `alphas` whose leave-one-out errors are least, the first of equals: of all
/// targets together, or of each `apart`. Ridges of the problem itself are not looked at.
pub fn ridge_cv<T: Real + Sketchable>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
    apart: bool,
    params: &Params,
) -> Result<RidgeChoice> {
    let mut design = Design::new(context, &Problem { ridge: alphas, ..*problem })?;
    let (errors, products) = match left_out(context, &design, alphas)? {
        Some((residuals, gram)) => {
            let is_dense = matches!(problem.design, Matrix::Dense(_));
            (mean_squares(&design, alphas.len(), &residuals)?, is_dense.then_some(Products::OfRows(gram)))
        }
        None => Steps::with(context, &design, alphas, |mut steps| {
            let mut errors = sums_of_squares(context, &steps)?;
            in_units_of_targets(&design, &mut errors);
            Ok((errors, steps.products.take()))
        })?,
    };
    let chosen = least(&errors, apart)?;
    let ridge = collected(chosen.iter().map(|&alpha| alphas[alpha]), "ridges")?;
    let output = match problem.design {
        Matrix::Sparse(_) => lstsq(context, &Problem { ridge: &ridge, ..*problem }, params)?,
        Matrix::Dense(_) => {
            if matches!(params.method, Method::Auto | Method::Gram) {
                match products {
                    Some(Products::OfColumns(gram, gradient)) => design.keep_moments(gram, gradient),
                    Some(Products::OfRows(gram)) => design.row_gram = Some(gram),
                    None => (),
                }
            }
            lstsq_of_design(context, design, &ridge, params)?
        }
    };
    Ok(RidgeChoice { errors, chosen, output })
}

/// Positions of the least error of all targets together, or of each.
pub(crate) fn least(errors: &Mat<f64>, apart: bool) -> Result<Vec<usize>> {
    let position = |targets: Range<usize>| {
        let error = |alpha: usize| targets.clone().map(|target| errors[(alpha, target)]).sum::<f64>();
        let known = (0..errors.nrows()).filter(|&alpha| !error(alpha).is_nan());
        let least = known.min_by(|&one, &other| error(one).total_cmp(&error(other)));
        least.ok_or_else(|| Error::value("scoring", "NaN for all of `alphas`", "numbers"))
    };
    let k = errors.ncols();
    match apart {
        true => gathered((0..k).map(|target| position(target..target + 1)), "ridges"),
        false => gathered([position(0..k)], "ridges"),
    }
}

/// Sums over the rows, in the units of the solvers.
fn sums_of_squares<T: Real>(context: &Context, steps: &Steps<'_, '_, T>) -> Result<Mat<f64>> {
    let design = steps.design;
    let blocks = row_blocks(design.nrows(), design.ncols())?;
    let partial = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let mut sums = zeros(steps.width(), "sums of squares")?;
        steps.each(blocks[block].clone(), buffer, |_, c, residual| sums[c] += residual * residual)?;
        Ok(sums)
    })?;
    let mut errors = Mat::zeros(steps.alphas, design.ntargets())?;
    for partial in partial {
        let partial: Vec<f64> = partial?;
        errors.as_mut_slice().iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    Ok(errors)
}

/// The same of residuals that are there.
fn mean_squares<T: Real>(design: &Design<'_, T>, alphas: usize, residuals: &Mat<f64>) -> Result<Mat<f64>> {
    let mut errors = Mat::zeros(alphas, design.ntargets())?;
    for row in residuals.as_slice().chunks_exact(residuals.nrows().max(1)) {
        errors.as_mut_slice().iter_mut().zip(row).for_each(|(sum, residual)| *sum += residual * residual);
    }
    in_units_of_targets(design, &mut errors);
    Ok(errors)
}

/// Sums over the rows become means.
pub(crate) fn in_units_of_targets<T: Real, M: Source>(design: &Design<'_, T, M>, errors: &mut Mat<f64>) {
    for target in 0..design.ntargets() {
        let scale = design.target_scale(target).powi(2) * design.nrows() as f64;
        errors.col_mut(target).iter_mut().for_each(|error| *error /= scale);
    }
}

/// The leave-one-out residuals themselves, times the roots of the weights: a column for each row of A, in it
/// `alphas.len()` numbers for each target.
pub fn ridge_left_out<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    alphas: &[f64],
) -> Result<Mat<f64>> {
    let design = Design::new(context, problem)?;
    let Some((mut residuals, _)) = left_out(context, &design, alphas)? else {
        return Steps::with(context, &design, alphas, |steps| residuals_by_steps(context, &steps));
    };
    for row in residuals.as_mut_slice().chunks_exact_mut((alphas.len() * design.ntargets()).max(1)) {
        row.iter_mut().enumerate().for_each(|(c, value)| *value /= design.target_scale(c / alphas.len()));
    }
    Ok(residuals)
}

fn residuals_by_steps<T: Real>(context: &Context, steps: &Steps<'_, '_, T>) -> Result<Mat<f64>> {
    let (design, width) = (steps.design, steps.width());
    let mut residuals = Mat::zeros(width, design.nrows())?;
    let blocks = row_blocks(design.nrows(), design.ncols())?;
    make_rows(context, residuals.as_mut().t(), &blocks, width, |buffer, rows, out| {
        steps.each(rows.clone(), buffer, |i, c, residual| {
            out[(i - rows.start) * width + c] = residual / design.target_scale(c / steps.alphas);
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
    let spectrum = Spectrum::new(context, &design, alphas)?;
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
    /// Whether means may be taken off products instead of rows.
    is_steady: bool,
    /// What it was made of, of dense rows.
    products: Option<Products>,
}

/// Products in the units of the solvers.
enum Products {
    /// A'A and A'B.
    OfColumns(Mat<f64>, Mat<f64>),
    /// A A', the lower triangle.
    OfRows(Mat<f64>),
}

/// Singular vectors, where they are fewest numbers.
enum Vectors {
    /// V S^-1
    Whitener(Mat<f64>),
    /// U
    Left(Mat<f64>),
}

impl Spectrum {
    fn new<T: Real>(context: &Context, design: &Design<'_, T>, ridges: &[f64]) -> Result<Self> {
        let least = ridges.iter().copied().fold(f64::INFINITY, f64::min);
        if design.nrows() < design.ncols() {
            Self::wide(context, design, least)
        } else {
            Self::tall(context, design, least)
        }
    }

    fn tall<T: Real>(context: &Context, design: &Design<'_, T>, ridge: f64) -> Result<Self> {
        let d = design.ncols();
        let ones = filled(1.0, d, "column scales")?;
        let moments = Moments::new(context, design, Precision::Double, ones)?;
        if !moments.is_finite() {
            design.largest_in_columns(context)?;
        }
        let is_exact = moments.magnification() <= MOST_FOR_GRAM;
        let (gram, at_zero) = moments.into_parts();
        let known = if is_exact { of_gram(&gram, 0, ridge)? } else { None };
        let is_steady = known.is_some();
        let (s, v) = match known {
            Some(found) => found,
            None => {
                let svd = linalg::svd(linalg::tsqr(context, &design.a)?.as_ref())?;
                (svd.s, svd.v)
            }
        };
        let rank = rank_of(&s, design.cut_off()).min(design.most_rank());
        let squares = collected(s[..rank].iter().map(|s| s * s), "singular values")?;
        let whitener = Mat::from_fn(d, rank, |i, j| v[(i, j)] / s[j])?;
        let coordinates = linalg::product(whitener.as_ref().t(), at_zero.gradient.as_ref())?;
        let is_dense = matches!(design.a.source, Matrix::Dense(_));
        let products = is_dense.then_some(Products::OfColumns(gram, at_zero.gradient));
        Ok(Self { squares, vectors: Vectors::Whitener(whitener), coordinates, is_steady, products })
    }

    /// From A A' or the triangle of A': where A' = QR and R' = U S W', A = U S (Q W)'.
    fn wide<T: Real>(context: &Context, design: &Design<'_, T>, ridge: f64) -> Result<Self> {
        let n = design.nrows();
        let skipped = usize::from(design.means().is_some());
        let gram = row_gram(context, design)?;
        let known = match &gram {
            Some(gram) => of_gram(&along_weights(design, gram, beyond(gram))?, skipped, ridge)?,
            None => None,
        };
        let (s, left) = match known {
            Some(found) => found,
            None => {
                design.largest_in_columns(context)?;
                let svd = linalg::svd(linalg::tsqr(context, &Transposed::of(design))?.as_ref())?;
                (svd.s, svd.v)
            }
        };
        let rank = rank_of(&s, design.cut_off()).min(design.most_rank());
        let u = Mat::from_fn(n, rank, |i, j| left[(i, j)])?;
        let targets = Mat::from_fn(n, design.ntargets(), |i, target| design.target(i, target))?;
        let coordinates = linalg::product(u.as_ref().t(), targets.as_ref())?;
        let squares = collected(s[..rank].iter().map(|s| s * s), "singular values")?;
        let is_dense = matches!(design.a.source, Matrix::Dense(_));
        let products = gram.filter(|_| is_dense).map(Products::OfRows);
        Ok(Self { squares, vectors: Vectors::Left(u), coordinates, is_steady: true, products })
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

/// Twice as much as the largest eigenvalue of a matrix, of which the lower triangle is read, or more.
fn beyond(gram: &Mat<f64>) -> f64 {
    let n = gram.ncols();
    let sum = |j: usize| (0..n).map(|i| gram[(i.max(j), i.min(j))].abs()).sum::<f64>();
    2.0 * (0..n).map(sum).fold(0.0, f64::max)
}

/// The singular values and right vectors of a matrix by its A'A, of which the lower triangle is read, if the condition
/// under this ridge allows that; so many of the largest are skipped.
fn of_gram(gram: &Mat<f64>, skipped: usize, ridge: f64) -> Result<Option<(Vec<f64>, Mat<f64>)>> {
    let d = gram.ncols();
    if !gram.as_slice().iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let (values, vectors) = linalg::eigh(gram)?;
    let kept = d.saturating_sub(skipped);
    let Some((least, most)) = values.first().copied().zip(values[..kept].last().copied()) else {
        return Ok(None);
    };
    if most.is_nan() || most > MOST_FOR_GRAM.powi(2) * (least.max(0.0) + ridge) {
        return Ok(None);
    }
    // What is left of them is rounding, and nothing beside the ridge.
    let nothing = 8.0 * d as f64 * f64::UNIT_ROUNDOFF * most;
    let first = values[..kept].partition_point(|&value| value <= nothing);
    let s = collected(values[first..kept].iter().rev().map(|value| value.sqrt()), "singular values")?;
    Ok(Some((s, Mat::from_fn(d, kept - first, |i, j| vectors[(i, kept - 1 - j)])?)))
}

/// Where rows of U come from.
enum RowsOfU<'s, T> {
    /// From tiles of A by V S^-1.
    Tiles(Mat<f64>),
    /// From the entries of sparse rows by the rows of V S^-1, here columns; less what the means make of it.
    Entries(&'s Sparse<'s, T>, Mat<f64>, Vec<f64>),
    /// They are there.
    Stored(Mat<f64>),
}

impl<'s, T: Real> RowsOfU<'s, T> {
    fn of_entries(design: &Design<'_, T>, sparse: &'s Sparse<'s, T>, whitener: &Mat<f64>) -> Result<Self> {
        let entry = |j: usize, i: usize| whitener[(i, j)] * design.column_scale(i);
        let lines = Mat::from_fn(whitener.ncols(), whitener.nrows(), entry)?;
        let mut shift = zeros(lines.nrows(), "what is taken off rows")?;
        for (i, &mean) in design.means().unwrap_or_default().iter().enumerate() {
            axpy(mean, lines.col(i), &mut shift);
        }
        Ok(Self::Entries(sparse, lines, shift))
    }

    /// Some of them, transposed.
    fn get(&self, design: &Design<'_, T>, rows: Range<usize>, buffer: &mut Vec<f64>) -> Result<Mat<f64>> {
        match self {
            Self::Tiles(whitener) => {
                let tile = design.a.tile(rows, 0..design.ncols(), buffer)?;
                linalg::product(whitener.as_ref().t(), tile.t())
            }
            Self::Entries(sparse, lines, shift) => {
                let first = rows.start;
                let mut u = Mat::zeros(lines.nrows(), rows.len())?;
                rows.clone().for_each(|i| axpy(-1.0, shift, u.col_mut(i - first)));
                sparse.visit_rows(rows.clone(), |i, j, value| axpy(value, lines.col(j), u.col_mut(i)));
                for i in rows {
                    let root = design.root_weight(i);
                    u.col_mut(i - first).iter_mut().for_each(|value| *value *= root);
                }
                Ok(u)
            }
            Self::Stored(u) => Mat::copy_of(u.as_ref().rows(rows).t()),
        }
    }
}

struct Steps<'s, 'a, T> {
    design: &'s Design<'a, T>,
    alphas: usize,
    rows_of_u: RowsOfU<'s, T>,
    /// What is taken off the identity to leave 1 - H, rank x alphas; where U is all of space, minus what is left of it.
    shrunk: Mat<f64>,
    /// Those times U'b, rank x (alphas, targets).
    fits: Mat<f64>,
    /// The coefficient of the identity: zero where U is all of space, and a difference would be rounding.
    identity: f64,
    /// Infinite without an intercept.
    weight_norm: f64,
    products: Option<Products>,
}

impl<'s, 'a, T: Real> Steps<'s, 'a, T> {
    /// What becomes of the steps for a design.
    fn with<R>(
        context: &Context,
        design: &Design<'a, T>,
        alphas: &[f64],
        work: impl FnOnce(Steps<'_, 'a, T>) -> Result<R>,
    ) -> Result<R> {
        match &design.a.source {
            Matrix::Sparse(matrix) => {
                matrix.by_rows(context, |rows| work(Steps::new(context, design, Some(rows), alphas)?))
            }
            _ => work(Steps::new(context, design, None, alphas)?),
        }
    }

    fn new(
        context: &Context,
        design: &'s Design<'a, T>,
        sparse: Option<&'s Sparse<'s, T>>,
        alphas: &[f64],
    ) -> Result<Self> {
        let spectrum = Spectrum::new(context, design, alphas)?;
        let intercept = design.means().is_some();
        let complete = spectrum.rank() + usize::from(intercept) >= design.rows_present();
        let weight_norm = if intercept { design.weight_norm() } else { f64::INFINITY };
        Self::of(design, sparse, alphas, spectrum, complete, weight_norm)
    }

    /// For rows of a design whose spectrum is known; in all there are no more than the rank if it is `complete`.
    fn of(
        design: &'s Design<'a, T>,
        sparse: Option<&'s Sparse<'s, T>>,
        alphas: &[f64],
        spectrum: Spectrum,
        complete: bool,
        weight_norm: f64,
    ) -> Result<Self> {
        let k = design.ntargets();
        let shrink = |j: usize, alpha: f64| {
            if complete { -spectrum.lost(j, alpha) } else { spectrum.kept(j, alpha) }
        };
        let shrunk = Mat::from_fn(spectrum.rank(), alphas.len(), |j, a| shrink(j, alphas[a]))?;
        let fits = Mat::from_fn(spectrum.rank(), alphas.len() * k, |j, c| {
            shrink(j, alphas[c / k]) * spectrum.coordinates[(j, c % k)]
        })?;
        let rows_of_u = match (spectrum.vectors, sparse) {
            (Vectors::Whitener(whitener), Some(rows)) if spectrum.is_steady => {
                RowsOfU::of_entries(design, rows, &whitener)?
            }
            (Vectors::Whitener(whitener), _) => RowsOfU::Tiles(whitener),
            (Vectors::Left(u), _) => RowsOfU::Stored(u),
        };
        Ok(Self {
            design,
            alphas: alphas.len(),
            rows_of_u,
            shrunk,
            fits,
            identity: if complete { 0.0 } else { 1.0 },
            weight_norm,
            products: spectrum.products,
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
            self.residuals(self.rows_of_u.get(self.design, part, buffer)?, start, &mut visit)?;
        }
        Ok(())
    }

    /// The same for rows of U, transposed.
    fn residuals(
        &self,
        mut u: Mat<f64>,
        first: usize,
        visit: &mut impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let (rows, k) = (u.ncols(), self.design.ntargets());
        let fitted = linalg::product(self.fits.as_ref().t(), u.as_ref())?;
        u.as_mut_slice().iter_mut().for_each(|u| *u *= *u);
        let leverage = linalg::product(self.shrunk.as_ref().t(), u.as_ref())?;
        for i in 0..rows {
            let (row, root, fitted, leverage) =
                (first + i, self.design.root_weight(first + i), fitted.col(i), leverage.col(i));
            let free = self.identity * (1.0 - (root / self.weight_norm).powi(2));
            for target in 0..k {
                let observed = self.identity * self.design.target(row, target);
                for (alpha, leverage) in leverage.iter().enumerate() {
                    let left = observed - fitted[alpha * k + target];
                    let is_nothing = left == 0.0 || root == 0.0;
                    let residual = if is_nothing { 0.0 } else { left / (free - leverage) };
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
    fn the_least_error_is_chosen_and_nan_never_is() {
        let entries = [[2.0, 1.0], [f64::NAN, 9.0], [1.0, 3.0]];
        let errors = Mat::from_fn(3, 2, |alpha, target| entries[alpha][target]).unwrap();
        assert_eq!(least(&errors, true).unwrap(), [2, 0]);
        assert_eq!(least(&errors, false).unwrap(), [0]);
        assert!(least(&Mat::from_fn(2, 1, |_, _| f64::NAN).unwrap(), false).is_err());
    }

    #[test]
    fn errors_are_those_of_as_many_fits() {
        let (alphas, shapes) = ([0.5, 30.0], [(24, 4), (7, 12)]);
        for (form, (n, d)) in forms().flat_map(|form| shapes.map(|shape| (form, shape))) {
            let instance = Instance::new(n, d);
            let problem = instance.problem(form, &[0.0]);
            let choice = ridge_cv(&Context::new(2), &problem, &alphas, false, &Params::default()).unwrap();
            let found = &choice.errors;
            let weight = |i: usize| if form.weighted { instance.weights[i] } else { 1.0 };
            for (at, &alpha) in alphas.iter().enumerate() {
                let mut sums = [0.0; 2];
                for i in (0..n).filter(|&i| weight(i) > 0.0) {
                    let mut rest = Instance::new(n, d);
                    // A row without weight is not there.
                    rest.weights = (0..n).map(|row| if row == i { 0.0 } else { weight(row) }).collect();
                    let others = crate::regression::testing::Form { weighted: true, ..form };
                    let x = rest.minimiser(others, alpha);
                    let total: f64 = rest.weights.iter().sum();
                    for (target, sum) in sums.iter_mut().enumerate() {
                        let left = |row: usize| {
                            let fit: f64 = (0..d).map(|j| rest.a[(row, j)] * x[(j, target)]).sum();
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
                    assert_near(found[(at, target)], sum, &format!("{n} x {d}, {form:?}, {alpha}"));
                }
            }
        }
    }
}
