//! Least squares from a triangular factor: answers with their errors, and those for many ridges.

use crate::certify::{self, ROUNDING};
use crate::error::{Error, Result};
use crate::linalg::{self, Factor, RCOND, Triangle, cut_off, exponent_of, norm, rank_of, times_power_of_two};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, filled, push, zeros};
use crate::parallel::Context;
use crate::regression::covariance::Inference;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::methods::qr::{Solved, decided, shortest};
use crate::regression::refine::TARGETS;
use crate::regression::triangular::factor::WeightsSeen;
use crate::regression::triangular::part::Part;
use crate::regression::triangular::stream::{Seen, TriangularStream};
use crate::simd::{Extended, axpy, dot};

/// What rounding makes of a factor at most, in roundoffs and over the root of the steps in which it was made: some ten
/// times what is measured of rows at any condition.
const OF_FACTOR: f64 = 4.0;

/// The triangle of [A, B], centred if there is a constant, and what goes with it.
pub struct CentredFactor {
    /// In units of its columns.
    r: Mat<f64>,
    /// Powers of two.
    units: Vec<f64>,
    /// Means of the columns, if there is a constant.
    pub means: Option<Vec<f64>>,
    /// Norm of the root weights where there is a constant; nobody else asks for it.
    pub weight_norm: f64,
    /// What is known of the weights.
    pub weights: WeightsSeen,
    /// Of how many blocks it was made one after the other.
    steps: u64,
    /// How much rounding has grown by removals.
    lost: f64,
    d: usize,
}

impl TriangularStream {
    /// The factor of all rows so far.
    pub fn factor(&self) -> Result<CentredFactor> {
        let Seen { shape, factor, .. } = self.seen()?;
        let total = factor.total()?;
        let lost = factor.lost(&total, shape.k)?;
        CentredFactor::new(total, factor.weights, lost, shape.d)
    }

    /// The answers from the rows so far, with this penalty.
    pub fn solve(&self, context: &Context, ridge: f64) -> Result<Output> {
        match self.seen()?.shape.single {
            true => self.factor()?.solve::<f32>(context, ridge),
            false => self.factor()?.solve::<f64>(context, ridge),
        }
    }

    /// Coefficients for all ridges, d x (ridges, targets) with the targets fastest, and their intercepts.
    pub fn ridge_path(&self, ridges: &[f64]) -> Result<(Mat<f64>, Vec<f64>)> {
        self.factor()?.ridge_path(ridges)
    }
}

impl CentredFactor {
    fn new(part: Part, weights: WeightsSeen, lost: f64, d: usize) -> Result<Self> {
        let (all, units) = part.triangle.scaled();
        let (constant, order) = (usize::from(part.constant), units.len());
        let r = Mat::from_fn(order - constant, order - constant, |i, j| all[(i + constant, j + constant)])?;
        let mean = |j: usize| part.centre[j] + all[(0, j)] / (all[(0, 0)] * (units[0] / units[j]));
        let means = part.constant.then(|| collected((1..order).map(mean), MEANS)).transpose()?;
        Ok(Self {
            r,
            units: copied(&units[constant..], MEANS)?,
            means,
            weight_norm: if part.constant { all[(0, 0)].abs() * units[0] } else { 1.0 },
            weights,
            steps: part.steps,
            lost,
            d,
        })
    }

    fn ntargets(&self) -> usize {
        self.units.len() - self.d
    }

    /// R as it is.
    pub fn triangle(&self) -> Result<Mat<f64>> {
        Mat::from_fn(self.r.nrows(), self.r.ncols(), |i, j| self.r[(i, j)] * self.units[j])
    }

    /// Columns of A that are constant but for rounding beside a constant.
    fn constant(&self) -> Result<Vec<usize>> {
        let Some(means) = &self.means else { return Ok(Vec::new()) };
        let is_constant =
            |&j: &usize| norm(self.r.col(j)) <= RCOND * (means[j] / self.units[j]).abs() * self.weight_norm;
        collected((0..self.d).filter(is_constant), MEANS)
    }

    /// What centring has left of the lengths of columns that are `lengths` long in their units, but for those that it left
    /// nothing of.
    fn left_by_centring(&self, lengths: &[f64], constant: &[usize]) -> Result<Option<Vec<f64>>> {
        let Some(means) = &self.means else { return Ok(None) };
        let left = |(j, length): (usize, &f64)| {
            if constant.binary_search(&j).is_ok() {
                return 1.0;
            }
            let removed = self.weight_norm * (means[j] / self.units[j]);
            (length / length.hypot(removed)).min(1.0)
        };
        collected(lengths.iter().enumerate().map(left), MEANS).map(Some)
    }

    fn cut_off(&self, roundoff: f64) -> f64 {
        cut_off(self.observations(), self.d, roundoff * self.weights.spread())
    }

    fn observations(&self) -> usize {
        usize::try_from(self.weights.count).unwrap_or(usize::MAX)
    }

    /// Without the columns of A that are constant.
    fn without(&self, columns: &[usize]) -> Result<Mat<f64>> {
        let mut r = self.r.copy()?;
        columns.iter().for_each(|&j| r.col_mut(j).fill(0.0));
        Ok(r)
    }

    /// The same above a ridge on the coefficients of A.
    fn above(&self, r: Mat<f64>, ridge: f64) -> Result<Triangle> {
        let mut triangle = Triangle::of_scaled(r, copied(&self.units, MEANS)?);
        let root = ridge.sqrt();
        let mut below =
            Mat::from_fn(
                self.units.len(),
                self.units.len(),
                |i, j| {
                    if i == j && j < self.d { root } else { 0.0 }
                },
            )?;
        if ridge > 0.0 {
            triangle.append_triangle(&mut below)?;
        }
        Ok(triangle)
    }

    fn solve<T: Real>(&self, context: &Context, ridge: f64) -> Result<Output> {
        let (d, k) = (self.d, self.ntargets());
        let (constant, rcond) = (self.constant()?, self.cut_off(T::UNIT_ROUNDOFF));
        let left_in = self.without(&constant)?;
        let triangle = self.above(left_in.copy()?, ridge)?;
        let (all, units) = triangle.scaled();
        let r = Mat::from_fn(d, d, |i, j| all[(i, j)])?;
        let images = Mat::from_fn(d, k, |i, j| all[(i, d + j)])?;
        let most = match ridge > 0.0 {
            true => d,
            false => self.observations().saturating_sub(usize::from(self.means.is_some())),
        };
        let left =
            |lengths: &[f64]| if ridge > 0.0 { Ok(None) } else { self.left_by_centring(lengths, &constant) };
        let Solved { scaled, mut x, null_space, empty } = decided(r, images, rcond, most, left)?;
        if scaled.factor.rank() < d {
            let largest = units[..d].iter().copied().fold(0.0, f64::max);
            // Columns of zeros, which have no unit, are out of the way.
            let unit = |(j, scale): (usize, &f64)| match empty.binary_search(&j) {
                Ok(_) => 1.0,
                Err(_) => scale * (units[j] / largest).max(1e-150),
            };
            let unit = collected(scaled.scale.iter().enumerate().map(unit), MEANS)?;
            x = shortest(context, x, &scaled, null_space.as_ref(), &unit)?;
            empty.iter().for_each(|&j| (0..k).for_each(|target| x[(j, target)] = 0.0));
        }
        let rounding = OF_FACTOR * f64::UNIT_ROUNDOFF * (self.steps as f64).sqrt() * self.lost;
        let mut output = Output::empty::<T>(d, k, &Params { method: Method::Qr, ..Params::default() })?;
        output.floor += rounding;
        let normalised = Mat::from_fn(d, d, |i, j| all[(i, j)] / scaled.scale[j])?;
        for target in 0..k {
            let of_target = exponent_of(units[d + target]);
            let shift = |j: usize| of_target - exponent_of(units[j]);
            for j in 0..d {
                let value = times_power_of_two(x[(j, target)] / scaled.scale[j], shift(j));
                let value = T::from_f64(value).to_f64();
                output.x[(j, target)] = value;
                // What is measured is what is given.
                x[(j, target)] = times_power_of_two(value, -shift(j)) * scaled.scale[j];
            }
            let column = all.col(d + target);
            let error = measured(&normalised, &scaled.factor, column, x.col(target))?;
            output.backward_error[target] = error;
            output.backward_error_bound[target] = error * 2f64.sqrt() + ROUNDING + rounding;
            let left = self.residual(&left_in, output.x.col(target), target)?;
            output.residual_norm[target] = left * units[d + target];
        }
        output.rank = Some(scaled.factor.rank());
        output.condition = scaled.factor.condition()?;
        output.cut = scaled.cut;
        self.finish::<T>(&mut output)?;
        output.inference = Some(self.inference(&scaled.factor, &scaled.scale, units, ridge)?);
        output.constant = constant;
        output.explanation = format!(
            "one read of {} rows into a triangular factor; backward error {:.1e}",
            self.weights.count,
            output.backward_error.iter().copied().fold(0.0, f64::max),
        );
        Ok(output)
    }

    /// |b - A x| of a target in its unit, ridge and constant columns left out.
    fn residual(&self, r: &Mat<f64>, x: &[f64], target: usize) -> Result<f64> {
        let d = self.d;
        let mut left = copied(r.col(d + target), TARGETS)?;
        for (j, &x) in x.iter().enumerate() {
            let shift = exponent_of(self.units[j]) - exponent_of(self.units[d + target]);
            axpy(-times_power_of_two(x, shift), r.col(j), &mut left);
        }
        Ok(norm(&left))
    }

    /// Constants of the fits, and what is to be said of all targets.
    fn finish<T: Real>(&self, output: &mut Output) -> Result<()> {
        for target in 0..self.ntargets() {
            output.intercept[target] = self.intercept(output.x.col(target), target);
        }
        if self.means.is_some() {
            // As for all fits with a constant.
            let rounding = T::UNIT_ROUNDOFF / (self.d as f64 + 1.0).sqrt();
            output.backward_error_bound.iter_mut().for_each(|bound| *bound += rounding);
            output.floor += rounding;
        }
        // What was asked for is what rounding allows for so many rows.
        output.target = output.floor;
        output.settled = output.backward_error_bound.iter().all(|&bound| bound <= output.target);
        match output.x.as_slice().iter().chain(&output.intercept).all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(too_large()),
        }
    }

    fn intercept(&self, x: &[f64], target: usize) -> f64 {
        let Some(means) = &self.means else { return 0.0 };
        let mut intercept = Extended::from(means[self.d + target]);
        for (mean, x) in means.iter().zip(x) {
            intercept.add_multiple(-mean, Extended::from(*x));
        }
        intercept.value()
    }

    /// What covariances are made of.
    fn inference(&self, factor: &Factor, scale: &[f64], units: &[f64], ridge: f64) -> Result<Inference> {
        let rows = factor.rows()?;
        let factor = Mat::from_fn(rows.nrows(), self.d, |i, j| rows[(i, j)] * scale[j] * units[j])?;
        let target_norm = |target: usize| norm(self.r.col(self.d + target)) * self.units[self.d + target];
        let mut factors = Vec::new();
        push(&mut factors, factor, TARGETS)?;
        Ok(Inference {
            factors,
            ridges: filled(ridge, 1, TARGETS)?,
            factor_of: zeros(self.ntargets(), TARGETS)?,
            means: self.means.as_ref().map(|means| copied(&means[..self.d], MEANS)).transpose()?,
            weight_norm: self.weight_norm,
            observations: self.observations(),
            target_norm: collected((0..self.ntargets()).map(target_norm), TARGETS)?,
        })
    }

    fn ridge_path(&self, ridges: &[f64]) -> Result<(Mat<f64>, Vec<f64>)> {
        let (d, k) = (self.d, self.ntargets());
        let r = self.without(&self.constant()?)?;
        let largest = self.units[..d].iter().copied().fold(0.0, f64::max);
        let at_scale = Mat::from_fn(d, d, |i, j| r[(i, j)] * (self.units[j] / largest))?;
        let svd = linalg::svd(at_scale.as_ref())?;
        let rank = rank_of(&svd.s, self.cut_off(f64::UNIT_ROUNDOFF));
        let mut coefficients = Mat::zeros(d, ridges.len() * k)?;
        let mut intercepts = zeros(ridges.len() * k, "intercepts")?;
        for (c, intercept) in intercepts.iter_mut().enumerate() {
            let (ridge, target) = (ridges[c / k] / largest / largest, c % k);
            let column = coefficients.col_mut(c);
            for i in (0..d).filter(|&i| svd.s[i] > 0.0 && (i < rank || ridge > 0.0)) {
                let image = dot(svd.u.col(i), &self.r.col(d + target)[..d]);
                axpy(image / (svd.s[i] + ridge / svd.s[i]), svd.v.col(i), column);
            }
            let shift = exponent_of(self.units[d + target]) - exponent_of(largest);
            column.iter_mut().for_each(|x| *x = times_power_of_two(*x, shift));
            *intercept = self.intercept(column, target);
        }
        match coefficients.as_slice().iter().chain(&intercepts).all(|value| value.is_finite()) {
            true => Ok((coefficients, intercepts)),
            false => Err(too_large()),
        }
    }
}

/// The backward error of an answer to the problem that a triangle with columns of norm one stands for, `image` being the
/// column of the target in the whole triangle.
fn measured(r: &Mat<f64>, factor: &Factor, image: &[f64], x: &[f64]) -> Result<f64> {
    let d = r.ncols();
    let target_norm = norm(image);
    if target_norm == 0.0 {
        return Ok(0.0);
    }
    let mut left = copied(image, TARGETS)?;
    (0..d).for_each(|j| axpy(-x[j], r.col(j), &mut left[..d]));
    let gradient = Mat::from_fn(d, 1, |j, _| dot(r.col(j), &left[..d]))?;
    let whitened = factor.whiten(&gradient)?;
    let answer = certify::Answer {
        gradient: gradient.col(0),
        whitened: whitened.col(0),
        residual_norm: norm(&left),
        solution_norm: norm(x),
        target_norm,
        frobenius: factor.frobenius_norm(),
    };
    if answer.frobenius == 0.0 { Ok(0.0) } else { answer.backward_error(factor) }
}

fn too_large() -> Error {
    Error::value("b", "so large beside the matrix that the answer overflows", "another scale of either")
}

const MEANS: &str = "means and scales of columns";
