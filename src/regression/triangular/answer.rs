//! Least squares from a triangular factor: answers with their errors, and those for many ridges.

use crate::certify::{self, ROUNDING};
use crate::error::{Error, Result};
use crate::linalg::{
    self, Factor, RCOND, Svd, Triangle, cut_off, exponent_of, norm, product, rank_of, times_power_of_two,
};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, filled, push, zeros};
use crate::parallel::Context;
use crate::regression::covariance::Inference;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::methods::qr::{Solved, decided, shortest};
use crate::regression::refine::{Scaled, TARGETS};
use crate::regression::triangular::factor::WeightsSeen;
use crate::regression::triangular::part::Part;
use crate::regression::triangular::stream::{Seen, TriangularStream};
use crate::simd::{Extended, axpy, dot};

/// What rounding makes of a factor at most, in roundoffs and over the root of the steps in which it was made: some ten
/// times what is measured of rows at any condition.
const OF_FACTOR: f64 = 4.0;

/// One decomposition for all ridges will do for columns whose lengths differ by so much at most: it loses their digits to
/// the longest.
const SPREAD: f64 = 65_536.0;

/// A ridge that leaves columns of norm one no larger condition is solved for by products with A, whose rounding counts with
/// its square, in so many steps.
const BY_PRODUCTS: f64 = 1e4;
const STEPS: usize = 3;

/// A ridge on columns of norm one below this, of the smallest singular value squared, is none where columns depend on each
/// other and one decomposition does not tell of them: there rounding over the ridge is what is wrong with it.
const NO_RIDGE: f64 = 1e-8;

/// Answers, in scaled units, of a triangle above a ridge.
struct Minimised {
    triangle: Triangle,
    scaled: Scaled,
    x: Mat<f64>,
    /// Whether no column depends on others, but for those of zeros.
    is_whole: bool,
}

impl Minimised {
    /// In the units of the caller.
    fn answers(&self) -> Result<Mat<f64>> {
        let ((_, units), d) = (self.triangle.scaled(), self.x.nrows());
        Mat::from_fn(d, self.x.ncols(), |j, target| {
            times_power_of_two(self.x[(j, target)] / self.scaled.scale[j], shift(units, j, d + target))
        })
    }
}

/// Answers in scaled units.
fn scaled_back(answers: &Mat<f64>, units: &[f64], scaled: &Scaled) -> Result<Mat<f64>> {
    let d = answers.nrows();
    Mat::from_fn(d, answers.ncols(), |j, target| {
        times_power_of_two(answers[(j, target)], -shift(units, j, d + target)) * scaled.scale[j]
    })
}

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
    /// How much rounding of A and of answers has grown by removals.
    lost: [f64; 2],
    d: usize,
}

impl TriangularStream {
    /// The factor of all rows so far.
    pub fn factor(&self) -> Result<CentredFactor> {
        let Seen { shape, factor, .. } = self.seen()?;
        if factor.weights.count == 0 {
            return Err(Error::value("A", "without rows of positive weight so far", "some rows first"));
        }
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
    pub fn ridge_path(&self, context: &Context, ridges: &[f64]) -> Result<(Mat<f64>, Vec<f64>)> {
        let roundoff = if self.seen()?.shape.single { f32::UNIT_ROUNDOFF } else { f64::UNIT_ROUNDOFF };
        self.factor()?.ridge_path(context, ridges, roundoff)
    }
}

impl CentredFactor {
    fn new(part: Part, weights: WeightsSeen, lost: [f64; 2], d: usize) -> Result<Self> {
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
        let of_factor = cut_off(self.observations(), self.d, f64::UNIT_ROUNDOFF) * self.lost[0].sqrt();
        cut_off(self.observations(), self.d, roundoff * self.weights.spread()).max(of_factor)
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

    /// The same above a ridge on the coefficients of A, but for those columns.
    fn above(&self, r: Mat<f64>, constant: &[usize], ridge: f64) -> Result<Triangle> {
        let mut triangle = Triangle::of_scaled(r, copied(&self.units, MEANS)?);
        let root = ridge.sqrt();
        let penalty = |i: usize, j: usize| i == j && j < self.d && constant.binary_search(&j).is_err();
        let order = self.units.len();
        let mut below = Mat::from_fn(order, order, |i, j| if penalty(i, j) { root } else { 0.0 })?;
        if ridge > 0.0 {
            triangle.append_triangle(&mut below)?;
        }
        Ok(triangle)
    }

    fn solve<T: Real>(&self, context: &Context, ridge: f64) -> Result<Output> {
        let (d, k) = (self.d, self.ntargets());
        let constant = self.constant()?;
        let left_in = self.without(&constant)?;
        let Minimised { triangle, scaled, mut x, .. } =
            self.minimised(context, &left_in, &constant, ridge, T::UNIT_ROUNDOFF)?;
        let (all, units) = triangle.scaled();
        let rounding = OF_FACTOR * f64::UNIT_ROUNDOFF * (self.steps as f64).sqrt() * self.lost[1];
        let mut output = Output::empty::<T>(d, k, &Params { method: Method::Qr, ..Params::default() })?;
        output.floor += rounding;
        let normalised = Mat::from_fn(d, d, |i, j| all[(i, j)] / scaled.scale[j])?;
        for target in 0..k {
            for j in 0..d {
                let shift = shift(units, j, d + target);
                let value = times_power_of_two(x[(j, target)] / scaled.scale[j], shift);
                let value = T::from_f64(value).to_f64();
                output.x[(j, target)] = value;
                // What is measured is what is given.
                x[(j, target)] = times_power_of_two(value, -shift) * scaled.scale[j];
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

    /// The answers of least squares for a triangle without constant columns, above a ridge.
    fn minimised(
        &self,
        context: &Context,
        left_in: &Mat<f64>,
        constant: &[usize],
        ridge: f64,
        roundoff: f64,
    ) -> Result<Minimised> {
        let (d, k) = (self.d, self.ntargets());
        let triangle = self.above(left_in.copy()?, constant, ridge)?;
        let (all, units) = triangle.scaled();
        let r = Mat::from_fn(d, d, |i, j| all[(i, j)])?;
        let images = Mat::from_fn(d, k, |i, j| all[(i, d + j)])?;
        let most = match ridge > 0.0 {
            true => d,
            false => self.observations().saturating_sub(usize::from(self.means.is_some())),
        };
        let left =
            |lengths: &[f64]| if ridge > 0.0 { Ok(None) } else { self.left_by_centring(lengths, constant) };
        let Solved { scaled, mut x, null_space, empty } =
            decided(r, images, self.cut_off(roundoff), most, left)?;
        if scaled.factor.rank() < d {
            let largest = self.largest_unit();
            // Columns of zeros, which have no unit, are out of the way.
            let unit = |(j, scale): (usize, &f64)| match empty.binary_search(&j) {
                Ok(_) => 1.0,
                Err(_) => scale * (units[j] / largest).max(1e-150),
            };
            let unit = collected(scaled.scale.iter().enumerate().map(unit), MEANS)?;
            x = shortest(context, x, &scaled, null_space.as_ref(), &unit)?;
            empty.iter().for_each(|&j| (0..k).for_each(|target| x[(j, target)] = 0.0));
        }
        let is_whole = scaled.factor.rank() + empty.len() == d;
        if ridge > 0.0 {
            let plain = self.minimised(context, left_in, constant, 0.0, roundoff)?;
            let plain_condition = plain.scaled.factor.condition()?;
            let svd = if plain.is_whole { None } else { self.decomposed(left_in, &plain, roundoff)? };
            let penalty = |j: usize| self.penalty(left_in, units, &scaled, ridge, j);
            if let Some(svd) = svd {
                let mut answers = Mat::zeros(d, k)?;
                (0..k).for_each(|target| self.coefficients(&svd, ridge, target, answers.col_mut(target)));
                x = scaled_back(&answers, units, &scaled)?;
            } else if !plain.is_whole && (0..d).all(|j| penalty(j) < NO_RIDGE / plain_condition.powi(2)) {
                x = scaled_back(&plain.answers()?, units, &scaled)?;
            } else if is_whole && scaled.factor.condition()? < BY_PRODUCTS {
                x = self.by_products(left_in, units, &scaled, ridge)?;
            }
        }
        Ok(Minimised { triangle, scaled, x, is_whole })
    }

    /// The ridge on a scaled column; none on one of zeros.
    fn penalty(&self, left_in: &Mat<f64>, units: &[f64], scaled: &Scaled, ridge: f64, j: usize) -> f64 {
        if is_zero(left_in, j) { 0.0 } else { (ridge.sqrt() / units[j] / scaled.scale[j]).powi(2) }
    }

    /// The same from (A'A + ridge I) x = A'b, by steps with the factor. In the images above a long ridge nothing is left
    /// of columns that are short beside it.
    fn by_products(
        &self,
        left_in: &Mat<f64>,
        units: &[f64],
        scaled: &Scaled,
        ridge: f64,
    ) -> Result<Mat<f64>> {
        let (d, k) = (self.d, self.ntargets());
        let a = Mat::from_fn(d, d, |i, j| left_in[(i, j)] * (self.units[j] / units[j]) / scaled.scale[j])?;
        let penalty = |j: usize| self.penalty(left_in, units, scaled, ridge, j);
        let mut x = Mat::zeros(d, k)?;
        for _ in 0..STEPS {
            let fit = product(a.as_ref(), x.as_ref())?;
            let left = Mat::from_fn(d, k, |i, j| self.r[(i, d + j)] - fit[(i, j)])?;
            let slope = product(a.as_ref().t(), left.as_ref())?;
            let gradient = Mat::from_fn(d, k, |i, j| slope[(i, j)] - penalty(i) * x[(i, j)])?;
            let step = scaled.factor.unwhiten(&scaled.factor.whiten(&gradient)?)?;
            x = Mat::from_fn(d, k, |i, j| if is_zero(left_in, i) { 0.0 } else { x[(i, j)] + step[(i, j)] })?;
        }
        Ok(x)
    }

    /// |b - A x| of a target in its unit, ridge and constant columns left out.
    fn residual(&self, r: &Mat<f64>, x: &[f64], target: usize) -> Result<f64> {
        let d = self.d;
        let mut left = copied(r.col(d + target), TARGETS)?;
        for (j, &x) in x.iter().enumerate() {
            axpy(-times_power_of_two(x, -shift(&self.units, j, d + target)), r.col(j), &mut left);
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

    fn ridge_path(&self, context: &Context, ridges: &[f64], roundoff: f64) -> Result<(Mat<f64>, Vec<f64>)> {
        let (d, k, constant) = (self.d, self.ntargets(), self.constant()?);
        let r = self.without(&constant)?;
        let plain = self.minimised(context, &r, &constant, 0.0, roundoff)?;
        let decomposed = self.decomposed(&r, &plain, roundoff)?;
        let mut coefficients = Mat::zeros(d, ridges.len() * k)?;
        for (block, &ridge) in ridges.iter().enumerate() {
            context.tick()?;
            for target in 0..k {
                if let Some(svd) = &decomposed {
                    self.coefficients(svd, ridge, target, coefficients.col_mut(block * k + target));
                }
            }
            if decomposed.is_none() {
                let answers = self.minimised(context, &r, &constant, ridge, roundoff)?.answers()?;
                for target in 0..k {
                    coefficients.col_mut(block * k + target).copy_from_slice(answers.col(target));
                }
            }
        }
        let intercept = |c: usize| self.intercept(coefficients.col(c), c % k);
        let intercepts = collected((0..ridges.len() * k).map(intercept), "intercepts")?;
        match coefficients.as_slice().iter().chain(&intercepts).all(|value| value.is_finite()) {
            true => Ok((coefficients, intercepts)),
            false => Err(too_large()),
        }
    }

    /// The decomposition of A in one unit for all columns, so far as its rank goes: if columns are near enough in length
    /// for that to tell what they tell in units of their own, and the same rank.
    fn decomposed(&self, left_in: &Mat<f64>, plain: &Minimised, roundoff: f64) -> Result<Option<Svd>> {
        let (d, largest) = (self.d, self.largest_unit());
        let lengths = (0..d).map(|j| norm(left_in.col(j)) * (self.units[j] / largest));
        let (least, most) = lengths
            .filter(|&length| length > 0.0)
            .fold((f64::INFINITY, 0.0f64), |(least, most), length| (least.min(length), most.max(length)));
        if most > SPREAD * least {
            return Ok(None);
        }
        let at_scale = Mat::from_fn(d, d, |i, j| left_in[(i, j)] * (self.units[j] / largest))?;
        let mut svd = linalg::svd(at_scale.as_ref())?;
        svd.s.truncate(rank_of(&svd.s, self.cut_off(roundoff)));
        for j in (0..d).filter(|&j| is_zero(left_in, j)) {
            (0..d).for_each(|i| svd.v[(j, i)] = 0.0);
        }
        Ok((svd.s.len() == plain.scaled.factor.rank()).then_some(svd))
    }

    /// Coefficients of a target above a ridge. Directions that are rounding have no part in them, as without a ridge: one
    /// that is below them would leave anything of them.
    fn coefficients(&self, svd: &Svd, ridge: f64, target: usize, column: &mut [f64]) {
        let largest = self.largest_unit();
        let (ridge, image) = (ridge / largest / largest, &self.r.col(self.d + target)[..self.d]);
        for (i, s) in svd.s.iter().enumerate() {
            axpy(dot(svd.u.col(i), image) / (s + ridge / s), svd.v.col(i), column);
        }
        let shift = exponent_of(self.units[self.d + target]) - exponent_of(largest);
        column.iter_mut().for_each(|x| *x = times_power_of_two(*x, shift));
    }

    fn largest_unit(&self) -> f64 {
        self.units[..self.d].iter().copied().fold(0.0, f64::max)
    }
}

fn is_zero(left_in: &Mat<f64>, column: usize) -> bool {
    left_in.col(column).iter().all(|&value| value == 0.0)
}

/// The power of two that takes an answer from the units of its columns to those of the caller.
fn shift(units: &[f64], column: usize, target: usize) -> i32 {
    exponent_of(units[target]) - exponent_of(units[column])
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
