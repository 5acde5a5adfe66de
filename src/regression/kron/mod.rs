//! Least squares with a Kronecker product, which is never formed.
//!
//! **Problem.** min |b - (A_1 (x) ... (x) A_q) x|^2 + ridge |x|^2, where b is a tensor of n_1 x ... x n_q numbers in C
//! order and x one of d_1 x ... x d_q.
//!
//! **Method.** An SVD A_i = U_i S_i V_i' of every factor, columns scaled to unit norm, is one of the product. It
//! makes x += (x)V (x)S^-1 (x)V' A'(b - A x) a step of refinement, one read of b by products along its axes, which
//! measures the backward error of x on the way. The first x is (x)V (x)S^-1 (x)U' b. Ranks are those of the factors,
//! and every factor that lacks rank has the answers of least norm brought about along its own axis. The alternative
//! is to solve the problem that a [`TensorSrht`] makes of the factors and of b, and to measure the answer the same
//! way.
//!
//! | symbol | meaning |
//! |---|---|
//! | q, n_i, d_i, r_i | number of factors, their rows, columns and ranks |
//! | k | number of targets; intermediate results number them along their first axis |
//! | C_i, nu_i | a factor with columns in units of powers of two, the norms of these columns |
//! | U_i, s_i, V_i | SVD of C_i diag(1/nu_i) |
//! | sigma, delta | products of the s_i; (sigma^2 + ridge)^(1/2) |
//!
//! | file | what it does |
//! |---|---|
//! | `modes` | products along the axes of a tensor |
//! | `factor` | what is made of one factor |

mod factor;
mod modes;

use crate::certify::{ROUNDING, damped_ratio, floor_of};
use crate::error::{Error, Result};
use crate::linalg::{LEAST, RCOND, cut_off, exponent_of, largest_of, norm, times_power_of_two};
use crate::matrix::{Buffer, Dense, Mat, Matrix, Real, Rows, power_of_two_below};
use crate::memory::{collected, extend, filled, gathered, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::driver::lstsq;
use crate::regression::driver::plan::Params;
use crate::regression::problem::Problem;
use crate::sketch::TensorSrht;
use factor::Factor;
use modes::{Fit, Projection, Targets, along, expand, project};

/// min |b - (A_1 (x) ... (x) A_q) x|^2 + ridge |x|^2 for every target b.
pub struct KronProblem<'a, T> {
    /// A_1, ..., A_q.
    pub factors: &'a [&'a dyn Rows],
    /// n_1 x (n_2 ... n_q k), as it is in C order; the last axis numbers the targets.
    pub targets: Dense<'a, T>,
    /// k.
    pub count: usize,
    /// A non-negative number.
    pub ridge: f64,
}

/// How the answer is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KronMethod {
    /// Decompositions of the factors and refinement.
    Exact,
    /// The problem sketched by a [`TensorSrht`] of so many rows; None chooses by the number of unknowns.
    Sketch(Option<usize>),
}

/// What a caller may ask for.
#[derive(Clone, Debug)]
pub struct KronParams {
    /// How the answer is had.
    pub method: KronMethod,
    /// Singular values of a factor, its columns scaled to unit norm, below this times the largest are zero; None
    /// takes as many unit roundoffs as the widest has columns, and 30 at least; two of single precision for factors in that.
    pub rcond: Option<f64>,
    /// Backward error to be reached.
    pub tolerance: f64,
    /// Rounds the answer to single precision.
    pub single: bool,
    /// Seed of the sketch.
    pub seed: u64,
}

/// The answer, and what was measured.
pub struct KronOutput {
    /// One column of d_1 ... d_q numbers for every target.
    pub x: Mat<f64>,
    /// |b - A x|
    pub residual_norm: Vec<f64>,
    /// Product of the ranks of the factors, or the rank of the sketched problem.
    pub rank: usize,
    /// Reads of the targets.
    pub reads: usize,
    /// Rows of the sketch.
    pub sketch_size: Option<usize>,
    /// Karlson-Walden estimate for every target.
    pub backward_error: Vec<f64>,
    /// Bound on the true backward error, what rounding may have hidden of it included.
    pub backward_error_bound: Vec<f64>,
    /// The bound that stands for a target at the unit roundoff.
    pub floor: f64,
    /// Size of what was cut off from A, relative to |A|_F: the backward errors are about the rest.
    pub cut: f64,
    /// Product of the condition numbers of the factors, of what is kept of them.
    pub condition: f64,
}

const EXPONENTS: &str = "exponents of columns";
const FACTORS: &str = "a list of factors";
const TARGETS: &str = "figures of targets";

/// Reads of the targets at most.
const MOST_READS: usize = 6;
/// Steps that improve the error by less than this have come down to rounding errors.
const STAGNATION: f64 = 0.1;
/// The estimate is within sqrt(2) of the truth for exact singular values; the rest is for theirs.
const LOOSENESS: f64 = 2.0;

/// Solves the problem.
pub fn lstsq_kron<T: Real>(
    context: &Context,
    problem: &KronProblem<'_, T>,
    params: &KronParams,
) -> Result<KronOutput> {
    let rcond = params.rcond.unwrap_or_else(|| {
        problem
            .factors
            .iter()
            .map(|factor| cut_off(factor.nrows(), factor.ncols(), T::UNIT_ROUNDOFF))
            .fold(RCOND, f64::max)
    });
    let rcond = rcond.max(LEAST);
    let (solver, projection) = Solver::new(context, problem, params, rcond)?;
    match params.method {
        KronMethod::Exact => solver.refine(solver.first(projection)?),
        KronMethod::Sketch(rows) => solver.sketched(rows),
    }
}

struct Solver<'p, T> {
    context: &'p Context<'p>,
    problem: &'p KronProblem<'p, T>,
    params: &'p KronParams,
    factors: Vec<Factor>,
    /// sigma.
    sigma: Buffer<f64>,
    /// delta, infinite where nothing is to be divided by it.
    delta: Buffer<f64>,
    /// Root of the ridge, in the units of the factors, and the exponent of these.
    root_ridge: f64,
    ridge_exponent: i32,
    /// |A|_F, the ridge included.
    frobenius: f64,
    /// What was cut off from A, relative to that.
    cut: f64,
    /// Norms of the columns of the product.
    column_norms: Buffer<f64>,
    /// Powers of two that the targets are multiplied by.
    target_scale: Vec<f64>,
    target_norm: Vec<f64>,
}

/// What one read of the targets tells about answers.
struct Measured {
    backward_error: Vec<f64>,
    residual_norm: Vec<f64>,
    /// (x)V' A'(b - A x) / delta^2
    step: Buffer<f64>,
}

impl<'p, T: Real> Solver<'p, T> {
    /// Decomposes the factors, and reads the targets for the first time: what comes back is (x)U' B.
    fn new(
        context: &'p Context<'p>,
        problem: &'p KronProblem<'p, T>,
        params: &'p KronParams,
        rcond: f64,
    ) -> Result<(Self, Projection)> {
        let ridged = problem.ridge > 0.0;
        let made = context.map(problem.factors.len(), |i| {
            let cutoff = if ridged { None } else { Some(rcond) };
            Factor::new(i, problem.factors[i], cutoff)
        })?;
        let factors = gathered(made, FACTORS)?;
        let exponent: i32 = if ridged { factors.iter().map(|factor| factor.exponents[0]).sum() } else { 0 };
        let root_ridge = times_power_of_two(problem.ridge.sqrt(), -exponent);
        if root_ridge > 1e150 {
            let expected = "at most 1e300 times the square of the largest entry of the product";
            return Err(Error::value("ridge", problem.ridge, expected));
        }
        let sigma = kron(factors.iter().map(|factor| factor.singular.as_slice()))?;
        let column_norms = kron(factors.iter().map(|factor| factor.norms.as_slice()))?;
        let mut delta = Buffer::zeros(sigma.len(), "singular values")?;
        delta.iter_mut().zip(&*sigma).for_each(|(delta, sigma)| *delta = sigma.hypot(root_ridge));
        let largest = largest_of(&delta);
        let mut dropped = 0.0;
        if ridged {
            let negligible = |delta: &&mut f64| **delta <= rcond * largest;
            delta.iter_mut().filter(negligible).for_each(|delta| {
                dropped += *delta * *delta;
                *delta = f64::INFINITY;
            });
        }
        let frobenius = norm(&sigma).hypot(root_ridge * (column_norms.len() as f64).sqrt());
        // What is left of |A|^2 is the product of what is left of the factors'.
        let left: f64 = factors.iter().map(|factor| (-factor.cut * factor.cut).ln_1p()).sum();
        let cut = if ridged { dropped.sqrt() / frobenius } else { (-left.exp_m1()).sqrt() };
        let mut solver = Self {
            context,
            problem,
            params,
            factors,
            sigma,
            delta,
            root_ridge,
            ridge_exponent: exponent,
            frobenius,
            cut,
            column_norms,
            target_scale: filled(1.0, problem.count, TARGETS)?,
            target_norm: Vec::new(),
        };
        let projection = solver.look_at_targets()?;
        Ok((solver, projection))
    }

    /// Learns the norms of the targets, and brings those that are beyond 1e+-100 near one.
    fn look_at_targets(&mut self) -> Result<Projection> {
        let left = collected(self.factors.iter().map(|factor| &factor.left), FACTORS)?;
        let mut projection = project(self.context, &self.targets(None), &left)?;
        if !projection.squares.iter().all(|squares| (1e-200..=1e200).contains(squares)) {
            self.target_scale = self.largest_in_targets()?;
            self.target_scale.iter_mut().for_each(|value| *value = power_of_two_below(*value).recip());
            projection = project(self.context, &self.targets(None), &left)?;
        }
        self.target_norm = collected(projection.squares.iter().map(|squares| squares.sqrt()), TARGETS)?;
        Ok(projection)
    }

    /// The largest magnitude in every target; refuses what is not finite.
    fn largest_in_targets(&self) -> Result<Vec<f64>> {
        let b = self.problem.targets;
        let mut largest: Vec<f64> = zeros(self.problem.count, TARGETS)?;
        for i in 0..b.nrows() {
            self.context.tick()?;
            for j in 0..b.ncols() {
                let value = b.get(i, j).to_f64();
                if !value.is_finite() {
                    return Err(self.non_finite(i, j, value));
                }
                let largest = &mut largest[j % self.problem.count];
                *largest = largest.max(value.abs());
            }
        }
        Ok(largest)
    }

    fn targets<'s>(&'s self, fit: Option<Fit<'s>>) -> Targets<'s, T> {
        Targets { b: self.problem.targets, scale: &self.target_scale, fit }
    }

    /// Names an entry of the targets by its place in the tensor.
    #[expect(clippy::disallowed_methods, reason = "a text of a few numbers")]
    fn non_finite(&self, i: usize, j: usize, value: f64) -> Error {
        let mut rest = (i * self.problem.targets.ncols() + j) / self.problem.count;
        let mut position = Vec::new();
        for factor in self.factors.iter().rev() {
            position.insert(0, rest % factor.left.nrows());
            rest /= factor.left.nrows();
        }
        Error::non_finite("B", value, format!("{position:?}"))
    }

    /// (x)V S / (S^2 + ridge) (x)U' B.
    fn first(&self, mut projection: Projection) -> Result<Buffer<f64>> {
        for y in projection.y.chunks_mut(self.sigma.len()) {
            for ((y, sigma), delta) in y.iter_mut().zip(&*self.sigma).zip(&*self.delta) {
                *y *= sigma / delta / delta;
            }
        }
        self.back(&projection.y)
    }

    /// From coordinates in the bases V to unknowns.
    fn back(&self, y: &[f64]) -> Result<Buffer<f64>> {
        let back = collected(self.factors.iter().map(|factor| factor.back.as_ref()), FACTORS)?;
        let mut x = along(self.context, y, self.problem.count, &back)?;
        self.round(&mut x)?;
        Ok(x)
    }

    /// Improves the answers until they meet the tolerance or get no better.
    fn refine(&self, start: Buffer<f64>) -> Result<KronOutput> {
        let (k, d) = (self.problem.count, self.column_norms.len());
        let mut trial = start;
        let mut best = Mat::zeros(d, k)?;
        let (mut error, mut residual) = (filled(f64::INFINITY, k, TARGETS)?, zeros(k, TARGETS)?);
        let mut reads = 1;
        loop {
            let mut measured = self.measure(&trial)?;
            reads += 1;
            let mut going = false;
            for (target, step) in measured.step.chunks_mut(self.sigma.len()).enumerate() {
                let (now, before) = (measured.backward_error[target], error[target]);
                if now < before {
                    best.col_mut(target).copy_from_slice(&trial[target * d..][..d]);
                    (error[target], residual[target]) = (now, measured.residual_norm[target]);
                }
                if error[target] <= self.params.tolerance || now.is_nan() || now > STAGNATION * before {
                    step.fill(0.0);
                } else {
                    going = true;
                }
            }
            if !going || reads == MOST_READS {
                break;
            }
            self.context.progress(reads, MOST_READS, &[("backward_error", largest_of(&error))])?;
            let step = self.back(&measured.step)?;
            trial.iter_mut().zip(&*step).for_each(|(x, step)| *x += step);
            self.round(&mut trial)?;
        }
        let kept = self.delta.iter().filter(|delta| delta.is_finite()).count();
        let rank =
            if self.problem.ridge > 0.0 { kept } else { self.factors.iter().map(|f| f.rank).product() };
        self.finish(best, residual, error, rank, reads, None)
    }

    /// Solves the sketched problem and measures its answer.
    fn sketched(&self, rows: Option<usize>) -> Result<KronOutput> {
        let d = self.column_norms.len();
        let rows = rows.unwrap_or_else(|| (4 * d).max(d + 32));
        let dims = collected(self.factors.iter().map(|factor| factor.left.nrows()), FACTORS)?;
        let sketch = TensorSrht::new(rows, dims, self.params.seed)?;
        let equilibrated =
            collected(self.factors.iter().map(|factor| factor.equilibrated.as_ref()), FACTORS)?;
        let equilibrated = collected(equilibrated.iter().map(|factor| factor as &dyn Rows), FACTORS)?;
        let a = sketch.apply_factors(self.context, &equilibrated)?;
        let b = sketch.apply(self.context, &self.targets(None))?;
        let problem = Problem {
            design: Matrix::Dense(a.as_ref()),
            targets: b.as_ref(),
            weights: None,
            ridge: &[self.root_ridge.powi(2)],
            fit_intercept: false,
        };
        let params = Params { rcond: self.params.rcond, seed: self.params.seed, ..Params::default() };
        let mut solved = lstsq(self.context, &problem, &params)?;
        self.round(solved.x.as_mut_slice())?;
        let Measured { backward_error, residual_norm, .. } = self.measure(solved.x.as_slice())?;
        let rank = solved.rank.unwrap_or(solved.x.nrows());
        self.finish(solved.x, residual_norm, backward_error, rank, 3, Some(rows))
    }

    /// One read of the targets at the answers x.
    fn measure(&self, x: &[f64]) -> Result<Measured> {
        let (k, d, r) = (self.problem.count, self.column_norms.len(), self.sigma.len());
        let mut fitted: Option<Buffer<f64>> = None;
        for factor in self.factors[1..].iter().rev() {
            let t = fitted.as_deref().unwrap_or(x);
            fitted = Some(expand(self.context, t, factor.equilibrated.as_ref())?);
        }
        let fit = Fit { a: &self.factors[0].equilibrated, t: fitted.as_deref().unwrap_or(x) };
        let equilibrated = collected(self.factors.iter().map(|factor| &factor.equilibrated), FACTORS)?;
        let Projection { y: mut gradient, squares, .. } =
            project(self.context, &self.targets(Some(fit)), &equilibrated)?;
        let ridge = times_power_of_two(self.problem.ridge, -2 * self.ridge_exponent);
        gradient.iter_mut().zip(x).for_each(|(gradient, x)| *gradient -= ridge * x);
        let bases = collected(self.factors.iter().map(|factor| factor.to_basis.as_ref().t()), FACTORS)?;
        let mut step = along(self.context, &gradient, k, &bases)?;
        let (mut backward_error, mut residual_norm) = (room_for(k, TARGETS)?, room_for(k, TARGETS)?);
        for (target, step) in step.chunks_mut(r).enumerate() {
            let x = &x[target * d..][..d];
            let scaled: f64 = x.iter().zip(&*self.column_norms).map(|(x, norm)| (x * norm).powi(2)).sum();
            let damped = damped_ratio(self.frobenius, scaled.sqrt(), self.target_norm[target]);
            let damping = damped * squares[target].sqrt().hypot(self.root_ridge * norm(x));
            let whitened = step.iter().zip(&*self.delta).map(|(c, delta)| c / delta.hypot(damping));
            let error = damped / self.frobenius * whitened.map(|c| c * c).sum::<f64>().sqrt();
            push(&mut backward_error, if self.target_norm[target] == 0.0 { 0.0 } else { error }, TARGETS)?;
            push(&mut residual_norm, squares[target].sqrt(), TARGETS)?;
            step.iter_mut().zip(&*self.delta).for_each(|(c, delta)| *c = *c / delta / delta);
        }
        Ok(Measured { backward_error, residual_norm, step })
    }

    /// Rounds answers to what will be returned: numbers of the caller's units, in single precision if that is wanted.
    fn round(&self, x: &mut [f64]) -> Result<()> {
        let rounded = |x: f64| if self.params.single { f64::from(x as f32) } else { x };
        let exponents = self.exponents()?;
        for (x, scale) in x.chunks_mut(exponents.len()).zip(&self.target_scale) {
            for (x, unit) in x.iter_mut().zip(&exponents) {
                let unit = unit + exponent_of(*scale);
                *x = times_power_of_two(rounded(times_power_of_two(*x, -unit)), unit);
            }
        }
        all_finite(x)
    }

    /// Exponents of the powers of two that the columns of the product were divided by.
    fn exponents(&self) -> Result<Vec<i32>> {
        let mut exponents = zeros(1, EXPONENTS)?;
        for factor in &self.factors {
            let mut sums = room_for(exponents.len() * factor.exponents.len(), EXPONENTS)?;
            for sum in exponents {
                extend(&mut sums, factor.exponents.iter().map(|exponent| sum + exponent), EXPONENTS)?;
            }
            exponents = sums;
        }
        Ok(exponents)
    }

    /// Brings answers and residuals back to the caller's units.
    fn finish(
        &self,
        mut x: Mat<f64>,
        mut residual_norm: Vec<f64>,
        backward_error: Vec<f64>,
        rank: usize,
        reads: usize,
        sketch_size: Option<usize>,
    ) -> Result<KronOutput> {
        let exponents = self.exponents()?;
        for (target, scale) in self.target_scale.iter().enumerate() {
            for (x, unit) in x.col_mut(target).iter_mut().zip(&exponents) {
                *x = times_power_of_two(*x, -unit - exponent_of(*scale));
            }
            residual_norm[target] = times_power_of_two(residual_norm[target], -exponent_of(*scale));
        }
        all_finite(x.as_slice())?;
        let worst = largest_of(&backward_error);
        self.context.progress(MOST_READS, MOST_READS, &[("backward_error", worst)])?;
        let condition = self.factors.iter().map(|factor| factor.condition).product();
        let bounds = backward_error.iter().map(|error| LOOSENESS * error + ROUNDING);
        let backward_error_bound = collected(bounds, TARGETS)?;
        Ok(KronOutput {
            x,
            residual_norm,
            rank,
            reads,
            sketch_size,
            backward_error,
            backward_error_bound,
            floor: floor_of(if self.params.single { f32::UNIT_ROUNDOFF } else { f64::UNIT_ROUNDOFF }),
            cut: self.cut,
            condition,
        })
    }
}

fn all_finite(x: &[f64]) -> Result<()> {
    if x.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(Error::value("factors", "so small that the answer overflows", "larger entries"))
}

/// The Kronecker product of vectors.
fn kron<'v>(vectors: impl Iterator<Item = &'v [f64]>) -> Result<Buffer<f64>> {
    let mut product = Buffer::zeros(1, "a product of vectors")?;
    product[0] = 1.0;
    for vector in vectors {
        let mut next = Buffer::zeros(product.len() * vector.len(), "a product of vectors")?;
        for (part, left) in next.chunks_mut(vector.len()).zip(&*product) {
            part.iter_mut().zip(vector).for_each(|(out, right)| *out = left * right);
        }
        product = next;
    }
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn matrix(n: usize, d: usize, seed: u64) -> Mat<f64> {
        let stream = Stream::new(seed, 0, 0);
        Mat::from_fn(n, d, |i, j| stream.normal(i as u64, j as u64)).unwrap()
    }

    fn solve(factors: &[Mat<f64>], b: &[f64], k: usize, ridge: f64, method: KronMethod) -> KronOutput {
        let views: Vec<_> = factors.iter().map(Mat::as_ref).collect();
        let rows: Vec<&dyn Rows> = views.iter().map(|view| view as &dyn Rows).collect();
        let targets = Dense::row_major(b, views[0].nrows(), b.len() / views[0].nrows());
        let problem = KronProblem { factors: &rows, targets, count: k, ridge };
        let params = KronParams { method, rcond: None, tolerance: 1.2e-16, single: false, seed: 1 };
        lstsq_kron(&Context::new(2), &problem, &params).unwrap()
    }

    #[test]
    fn a_product_that_fits_is_recovered() {
        let factors = [matrix(7, 2, 0), matrix(5, 3, 1), matrix(4, 4, 2)];
        let truth = matrix(24, 2, 3);
        let entry = |row: usize, target: usize| {
            let places = [row / 20, row / 4 % 5, row % 4];
            let weight = |column: usize| {
                let columns = [column / 12, column / 4 % 3, column % 4];
                (0..3).map(|f| factors[f][(places[f], columns[f])]).product::<f64>()
            };
            (0..24).map(|column| weight(column) * truth[(column, target)]).sum::<f64>()
        };
        let b: Vec<f64> = (0..140).flat_map(|row| [entry(row, 0), entry(row, 1)]).collect();
        for method in [KronMethod::Exact, KronMethod::Sketch(Some(100))] {
            let output = solve(&factors, &b, 2, 0.0, method);
            assert_eq!(output.rank, 24);
            let pairs = output.x.as_slice().iter().zip(truth.as_slice());
            assert!(pairs.clone().all(|(x, truth)| (x - truth).abs() < 1e-12), "{method:?}");
            assert!(output.backward_error.iter().all(|&error| error < 1e-14), "{:?}", output.backward_error);
        }
    }

    #[test]
    fn a_ridge_shrinks_by_what_the_singular_values_say() {
        let diagonal = |s: [f64; 2]| Mat::from_fn(3, 2, |i, j| if i == j { s[j] } else { 0.0 }).unwrap();
        let factors = [diagonal([4.0, 1.0]), diagonal([2.0, 0.5])];
        let b: Vec<f64> = (0..9).map(f64::from).collect();
        let output = solve(&factors, &b, 1, 3.0, KronMethod::Exact);
        let expected = [(8.0, 0.0), (2.0, 1.0), (2.0, 3.0), (0.5, 4.0)].map(|(s, b)| s * b / (s * s + 3.0));
        let pairs = output.x.as_slice().iter().zip(expected);
        assert!(pairs.clone().all(|(x, expected)| (x - expected).abs() < 1e-15), "{:?}", output.x.as_slice());
    }
}
