//! Covariance matrices of fitted coefficients, from the factor that the fit leaves behind.
//!
//! Let A be weighted and centred, F'F = A'A + ridge, and C the pseudo-inverse of F. The rows z of
//! Z = [A C, w / |w|], w being the root weights and its column there if there is a constant, are the samples in
//! coordinates in which they are orthonormal (but for the ridge). The fit is Z'b in these coordinates and
//! L Z'b in those of the caller, the constant first, so that every covariance is L M L' with
//!
//! | kind | M |
//! |---|---|
//! | `nonrobust` | sigma^2 Z'Z, sigma^2 = residual'residual / freedom |
//! | `HC0` | sum of r_i^2 z_i z_i' |
//! | `HC1` | that times n / freedom |
//! | `HC2`, `HC3` | sum of r_i^2 / (1 - h_i)^p z_i z_i', p = 1 or 2, leverage h_i = \|z_i\|^2 |
//!
//! freedom = n - trace(Z'Z), which without a ridge is n - rank. Rows of weight zero count as absent. Z is made a
//! few rows at a time and never stored; nothing is squared that is not orthonormal, so that no digit is lost to
//! the condition of A.

use crate::error::{Error, Result};
use crate::linalg::{self, Precision, Product, Qr, Sum};
use crate::matrix::{Dense, Mat, Real, Rows, Source, TILE, power_of_two_below};
use crate::memory::{collected, copied, extend, gathered, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::problem::Problem;
use crate::regression::refine::{Group, Scaled, TARGETS};
use crate::simd::dot;
use std::ops::Range;

/// What a fit leaves behind for the covariances of its coefficients.
pub struct Inference {
    /// F (rank x d), one for each ridge.
    pub factors: Vec<Mat<f64>>,
    /// The ridges.
    pub ridges: Vec<f64>,
    /// Which of them each target has.
    pub factor_of: Vec<usize>,
    /// Means of the columns, if there is a constant.
    pub means: Option<Vec<f64>>,
    /// Norm of the root weights.
    pub weight_norm: f64,
    /// Rows of positive weight.
    pub observations: usize,
    /// |b|, centred if there is a constant.
    pub target_norm: Vec<f64>,
}

impl Inference {
    /// What the design tells, before there is a factor.
    pub(crate) fn of<T: Real, M: Source>(design: &Design<'_, T, M>) -> Result<Self> {
        let norm = |target: usize| design.target_norm(target) / design.target_scale(target);
        Ok(Self {
            factors: Vec::new(),
            ridges: Vec::new(),
            factor_of: zeros(design.ntargets(), TARGETS)?,
            means: design.means().map(|means| copied(means, "means of columns")).transpose()?,
            weight_norm: design.weight_norm(),
            observations: design.rows_present(),
            target_norm: collected((0..design.ntargets()).map(norm), TARGETS)?,
        })
    }

    /// Takes the factor of a group of targets, in the caller's units; one that is just good enough to refine
    /// with is made exact by a read of A.
    pub(crate) fn keep<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        exact: bool,
    ) -> Result<()> {
        match exact {
            true => self.keep_exact(group, scaled),
            false => self.push(group, &exact_factor(group, &unscaled(scaled)?)?),
        }
    }

    /// The same of a factor that is exact to rounding.
    pub(crate) fn keep_exact<T: Real, M: Source>(
        &mut self,
        group: &Group<'_, '_, T, M>,
        scaled: &Scaled,
    ) -> Result<()> {
        self.push(group, &unscaled(scaled)?)
    }

    fn push<T: Real, M: Source>(&mut self, group: &Group<'_, '_, T, M>, factor: &Mat<f64>) -> Result<()> {
        let entry = |i: usize, j: usize| match group.design.column_scale(j) {
            // A constant column.
            0.0 => 0.0,
            scale => factor[(i, j)] / scale,
        };
        group.targets.iter().for_each(|&target| self.factor_of[target] = self.factors.len());
        push(&mut self.factors, Mat::from_fn(factor.nrows(), factor.ncols(), entry)?, TARGETS)?;
        push(&mut self.ridges, group.ridge, TARGETS)
    }
}

/// The rows of a factor without units for columns of zeros, in the units of the design.
fn unscaled(scaled: &Scaled) -> Result<Mat<f64>> {
    let rows = scaled.factor.rows()?;
    let kept = (0..rows.nrows()).filter(|row| !scaled.empty.contains(row));
    let kept = collected(kept, "an order of columns")?;
    Mat::from_fn(kept.len(), rows.ncols(), |i, j| rows[(kept[i], j)] * scaled.scale[j])
}

/// One factor of an [`Inference`] with what goes with it.
pub struct CovarianceFit<'a> {
    /// F, rank x d.
    pub factor: &'a Mat<f64>,
    /// The ridge in it.
    pub ridge: f64,
    /// Means of the columns, if there is a constant.
    pub means: Option<&'a [f64]>,
    /// Norm of the root weights.
    pub weight_norm: f64,
    /// Rows of positive weight.
    pub observations: usize,
}

/// Covariance matrices, the constant first if there is one.
pub struct Covariance {
    /// One for each target.
    pub matrices: Vec<Mat<f64>>,
    /// Degrees of freedom of the residuals.
    pub freedom: f64,
    /// Rows that the fit passes through, of which robust estimates know nothing.
    pub pinned: Vec<usize>,
}

/// Treatment of the residuals in a covariance that is robust against unequal variances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robust {
    /// Squared residuals (White).
    Hc0,
    /// With the degrees of freedom made up for.
    Hc1,
    /// Over 1 - leverage.
    Hc2,
    /// Over its square: close to the jackknife.
    Hc3,
}

/// Leverages above this leave no digit of the residual.
const PINNED: f64 = 1.0 - 1e-10;

/// Covariances for noise of equal variance (over the weights), from norms of residuals; A is not read.
pub fn covariance(fit: &CovarianceFit<'_>, residual_norms: &[f64]) -> Result<Covariance> {
    let basis = Basis::new(fit)?;
    let of = |norm: &f64| basis.lifted(&basis.gram, norm / basis.freedom.sqrt());
    let matrices = gathered(residual_norms.iter().map(of), TARGETS)?;
    Ok(Covariance { matrices, freedom: basis.freedom, pinned: Vec::new() })
}

/// Covariances for noise of any variances, `coefficients` (d x k) being the fit, which left residuals of these norms:
/// one read of A for every target.
pub fn robust_covariance<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    fit: &CovarianceFit<'_>,
    coefficients: &Mat<f64>,
    residual_norms: &[f64],
    robust: Robust,
) -> Result<Covariance> {
    let design = Design::new(context, problem)?;
    let basis = Basis::new(fit)?;
    basis.recognise(context, &design, fit)?;
    let samples = Samples { design: &design };
    let correction = match robust {
        Robust::Hc1 => (fit.observations as f64 / basis.freedom).sqrt(),
        _ => 1.0,
    };
    let sizes = (0..fit.factor.ncols()).map(|j| crate::linalg::norm(fit.factor.col(j)));
    let sizes = collected(sizes, "norms of columns")?;
    let mut pinned = Vec::new();
    let mut matrices = room_for(design.ntargets(), TARGETS)?;
    for target in 0..design.ntargets() {
        let scale = design.target_scale(target);
        let coefficients = collected(coefficients.col(target).iter().map(|x| x * scale), "coefficients")?;
        let weigh = |seen: &mut Seen, tile: Dense<'_, f64>, first: usize, leverages: &mut [f64]| {
            for (i, leverage) in leverages.iter_mut().enumerate() {
                let values = &tile.stored_row(i)[..coefficients.len()];
                let residual = design.target(first + i, target) - dot(values, &coefficients);
                seen.add(first + i, residual, *leverage);
                *leverage = robust.root_variance(residual, *leverage);
            }
        };
        let (meat, seen) = linalg::weighted_whitened_gram(
            context,
            &samples,
            &basis.whitener,
            Product::Double,
            Seen::new,
            weigh,
        )?;
        let trace: f64 = seen.iter().map(|seen| seen.leverages).sum();
        let familiar = (trace - basis.trace).abs() <= 0.01 * basis.trace;
        if !familiar || !meat.as_slice().iter().all(|value| value.is_finite()) {
            return Err(stranger(context, &design)?);
        }
        let residual = seen.iter().map(|seen| seen.squares).sum::<f64>().sqrt();
        let mean = design.target_means()[target].abs() * scale * fit.weight_norm;
        let rounding = mean + sizes.iter().zip(&coefficients).map(|(size, x)| size * x.abs()).sum::<f64>();
        let doubt = 1e-6 * design.target_norm(target) + 8.0 * T::UNIT_ROUNDOFF * rounding;
        let is_that_of_the_fit = (residual - residual_norms[target] * scale).abs() <= doubt;
        if !is_that_of_the_fit {
            let found = "not what was fitted: it leaves other residuals than the fit had";
            return Err(Error::value("b", found, "the data of the fit, with its `sample_weight`"));
        }
        push(&mut matrices, basis.lifted(&meat, correction / scale)?, TARGETS)?;
        pinned.clear();
        for seen in seen {
            extend(&mut pinned, seen.pinned?, ROWS)?;
        }
    }
    if matches!(robust, Robust::Hc0 | Robust::Hc1) {
        pinned.clear();
    }
    Ok(Covariance { matrices, freedom: basis.freedom, pinned })
}

/// What a pass finds beside the covariances.
struct Seen {
    /// Their sum.
    leverages: f64,
    /// Sum of the squared residuals.
    squares: f64,
    pinned: Result<Vec<usize>>,
}

const ROWS: &str = "a list of rows";

impl Seen {
    fn new() -> Self {
        Self { leverages: 0.0, squares: 0.0, pinned: Ok(Vec::new()) }
    }

    fn add(&mut self, row: usize, residual: f64, leverage: f64) {
        self.leverages += leverage;
        self.squares += residual * residual;
        if leverage > PINNED
            && let Ok(pinned) = &mut self.pinned
            && let Err(error) = push(pinned, row, ROWS)
        {
            self.pinned = Err(error);
        }
    }
}

impl Robust {
    /// Root of a row's share in M; zero for a row that the fit passes through.
    fn root_variance(self, residual: f64, leverage: f64) -> f64 {
        match self {
            Self::Hc0 | Self::Hc1 => residual,
            _ if leverage > PINNED => 0.0,
            Self::Hc2 => residual / (1.0 - leverage).sqrt(),
            Self::Hc3 => residual / (1.0 - leverage),
        }
    }
}

/// F with F'F = A'A + ridge to rounding, from one that comes near it.
fn exact_factor<T: Real>(group: &Group<'_, '_, T>, factor: &Mat<f64>) -> Result<Mat<f64>> {
    let inverse = pseudo_inverse(factor)?;
    let (product, precision) = (Product::Double, Precision::Double);
    let Sum { mut gram, .. } = linalg::whitened_gram(
        group.context,
        &group.design.a,
        &inverse,
        product,
        precision,
        || (),
        |(), _, _| (),
    )?;
    let penalty =
        Mat::from_fn(inverse.nrows(), inverse.ncols(), |i, j| group.root_ridge(i) * inverse[(i, j)])?;
    linalg::matmul(gram.as_mut(), true, penalty.as_ref().t(), penalty.as_ref(), 1.0);
    let r = linalg::cholesky(&gram)?
        .ok_or_else(|| Error::Internal("a factor that solved the problem is not near it".into()))?;
    linalg::product(r.as_ref(), factor.as_ref())
}

/// The coordinates in which the samples are orthonormal.
struct Basis {
    /// From rows of [A, w] to rows of Z.
    whitener: Mat<f64>,
    /// L.
    lift: Mat<f64>,
    /// Z'Z.
    gram: Mat<f64>,
    /// Its trace.
    trace: f64,
    freedom: f64,
}

impl Basis {
    fn new(fit: &CovarianceFit<'_>) -> Result<Self> {
        let inverse = pseudo_inverse(fit.factor)?;
        let (d, rank) = (inverse.nrows(), inverse.ncols());
        let constant = usize::from(fit.means.is_some());
        let share = fit.weight_norm.recip();
        let whitener = Mat::from_fn(d + constant, rank + constant, |i, j| match (i < d, j < rank) {
            (true, true) => inverse[(i, j)],
            (false, false) => share,
            _ => 0.0,
        })?;
        let at_mean = |j: usize| fit.means.map_or(0.0, |means| -dot(means, inverse.col(j)));
        let lift = Mat::from_fn(constant + d, rank + constant, |i, j| match (i < constant, j < rank) {
            (true, true) => at_mean(j),
            (true, false) => share,
            (false, true) => inverse[(i - constant, j)],
            (false, false) => 0.0,
        })?;
        let mut gram = Mat::identity(rank + constant)?;
        if fit.ridge > 0.0 {
            let leading = gram.as_mut().window(0..rank, 0..rank);
            linalg::matmul(leading, true, inverse.as_ref().t(), inverse.as_ref(), -fit.ridge);
        }
        let trace: f64 = (0..gram.ncols()).map(|j| gram[(j, j)]).sum();
        let freedom = fit.observations as f64 - trace;
        if freedom < 1e-8 * fit.observations as f64 {
            let (n, p) = (fit.observations, trace.round());
            let found = format!("{n} rows of positive weight for {p} independent coefficients");
            return Err(Error::shape("A", found, "more rows than that"));
        }
        Ok(Self { whitener, lift, gram, trace, freedom })
    }

    /// factor^2 L M L', the powers of two of the rows of L kept apart.
    fn lifted(&self, meat: &Mat<f64>, factor: f64) -> Result<Mat<f64>> {
        let (rows, order) = (self.lift.nrows(), self.lift.ncols());
        let mut units = zeros(rows, "a covariance matrix")?;
        for k in 0..order {
            units.iter_mut().zip(self.lift.col(k)).for_each(|(unit, value): (&mut f64, _)| {
                *unit = unit.max(value.abs());
            });
        }
        units.iter_mut().for_each(|unit| *unit = power_of_two_below(*unit));
        let lift = Mat::from_fn(rows, order, |i, j| self.lift[(i, j)] / units[i])?;
        let half = linalg::product(lift.as_ref(), meat.as_ref())?;
        let whole = linalg::product(half.as_ref(), lift.as_ref().t())?;
        Mat::from_fn(rows, rows, |i, j| {
            let covariance = whole[(i.max(j), i.min(j))];
            // Variances are below zero by rounding where a ridge leaves nothing.
            let covariance = if i == j { covariance.max(0.0) } else { covariance };
            covariance * (factor * units[i]) * (factor * units[j])
        })
    }

    /// An error unless the data have the weights and means of those of the fit.
    fn recognise<T: Real>(
        &self,
        context: &Context,
        design: &Design<'_, T>,
        fit: &CovarianceFit<'_>,
    ) -> Result<()> {
        let near = |found: f64, fitted: f64, size: f64| (found - fitted).abs() <= 1e-6 * size;
        let same_weight = near(design.weight_norm(), fit.weight_norm, fit.weight_norm);
        let spread = |j: usize| crate::linalg::norm(fit.factor.col(j)) / fit.weight_norm;
        let same_means = match (design.means(), fit.means) {
            (Some(found), Some(fitted)) => (0..found.len())
                .all(|j| near(found[j], fitted[j], spread(j) + fitted[j].abs() + f64::MIN_POSITIVE)),
            (found, fitted) => found.is_none() && fitted.is_none(),
        };
        if same_weight && same_means { Ok(()) } else { Err(stranger(context, design)?) }
    }
}

/// What to say of data that do not go with the fit: that they are not finite, or just other data.
fn stranger<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Error> {
    design.largest_in_columns(context)?;
    Ok(Error::value("A", "not what was fitted", "the data of the fit, with its `sample_weight`"))
}

/// The pseudo-inverse of a matrix whose rows are independent.
fn pseudo_inverse(factor: &Mat<f64>) -> Result<Mat<f64>> {
    let (rank, d) = (factor.nrows(), factor.ncols());
    if rank == d && (0..d).all(|j| factor.col(j)[j + 1..].iter().all(|&below| below == 0.0)) {
        return linalg::invert_upper(factor.as_ref());
    }
    let qr = Qr::new(Mat::from_fn(d, rank, |i, j| factor[(j, i)])?)?;
    let inverse = linalg::invert_upper(qr.r()?.as_ref())?;
    linalg::product(qr.thin_q()?.as_ref(), inverse.as_ref().t())
}

/// The rows of [A, w].
struct Samples<'p, 'a, T> {
    design: &'p Design<'a, T>,
}

impl<T: Real> Rows for Samples<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.design.nrows()
    }

    fn ncols(&self) -> usize {
        self.design.ncols() + usize::from(self.design.means().is_some())
    }

    fn borrowed(&self, rows: Range<usize>) -> Option<Dense<'_, f64>> {
        self.design.means().is_none().then(|| self.design.a.borrowed(rows))?
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (d, width) = (self.design.ncols(), self.ncols());
        assert_eq!(cols, 0..width);
        if width == d {
            return self.design.a.tile(rows, cols, buffer);
        }
        self.design.a.tile(rows.clone(), 0..d, buffer)?;
        append_column(buffer, d, rows.len(), |i| self.design.root_weight(rows.start + i))?;
        Ok(Dense::row_major(buffer, rows.len(), width))
    }
}

/// Makes rows of `d` numbers rows of `d + 1`, in place.
fn append_column(rows: &mut Vec<f64>, d: usize, count: usize, last: impl Fn(usize) -> f64) -> Result<()> {
    extend(rows, std::iter::repeat_n(0.0, count), TILE)?;
    for i in (0..count).rev() {
        rows.copy_within(i * d..(i + 1) * d, i * (d + 1));
        rows[i * (d + 1) + d] = last(i);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_inverses_of_triangles_and_of_wide_matrices() {
        let triangle = |i: usize, j: usize| if i <= j { 1.0 + ((i * 5 + j * 3) % 7) as f64 } else { 0.0 };
        let wide = |i: usize, j: usize| ((i * 7 + j * j * 3) % 11) as f64 - 4.0 + f64::from(i == j);
        for factor in [Mat::from_fn(6, 6, triangle).unwrap(), Mat::from_fn(3, 6, wide).unwrap()] {
            let inverse = pseudo_inverse(&factor).unwrap();
            let rank = factor.nrows();
            let mut product = Mat::zeros(rank, rank).unwrap();
            linalg::matmul(product.as_mut(), false, factor.as_ref(), inverse.as_ref(), 1.0);
            for (k, value) in product.as_slice().iter().enumerate() {
                assert!((value - f64::from(k % rank == k / rank)).abs() < 1e-12);
            }
            // The columns of a pseudo-inverse are in the row space.
            let mut projected = Mat::zeros(6, 6).unwrap();
            linalg::matmul(projected.as_mut(), false, inverse.as_ref(), factor.as_ref(), 1.0);
            let symmetric = |i: usize, j: usize| (projected[(i, j)] - projected[(j, i)]).abs() < 1e-12;
            assert!((0..36).all(|k| symmetric(k / 6, k % 6)));
        }
    }

    /// Coefficients of columns of all sizes: nothing but a variance that is itself out of range is lost.
    #[test]
    fn units_of_coefficients_do_not_meet() {
        let entry = |i: usize, j: usize| if i <= j { 1.0 + ((i * 5 + j * 3) % 7) as f64 } else { 0.0 };
        let fit = |scale: [f64; 4]| {
            let factor = Mat::from_fn(4, 4, |i, j| entry(i, j) * scale[j]).unwrap();
            let fit = CovarianceFit {
                factor: &factor,
                ridge: 0.0,
                means: None,
                weight_norm: 90f64.sqrt(),
                observations: 90,
            };
            covariance(&fit, &[3.0]).unwrap().matrices.remove(0)
        };
        let (plain, scale) = (fit([1.0; 4]), [2f64.powi(-500), 1.0, 2f64.powi(500), 8.0]);
        let scaled = fit(scale);
        for (i, j) in (0..16).map(|k| (k / 4, k % 4)) {
            let back = scaled[(i, j)] * scale[i] * scale[j];
            assert!((back / plain[(i, j)] - 1.0).abs() < 1e-13, "({i}, {j}): {back:e}");
        }
    }

    #[test]
    fn a_column_is_appended_in_place() {
        let mut rows: Vec<f64> = (0..6).map(f64::from).collect();
        append_column(&mut rows, 2, 3, |i| 10.0 + i as f64).unwrap();
        assert_eq!(rows, [0.0, 1.0, 10.0, 2.0, 3.0, 11.0, 4.0, 5.0, 12.0]);
    }
}
