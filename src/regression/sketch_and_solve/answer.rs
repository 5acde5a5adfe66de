//! Answers from a sketch alone, and how far each coordinate may be off.
//!
//! With S dense enough that S r* is nearly normal and nearly independent of S A, the error x' - x* has covariance
//! (|r*|^2 / m) (A'S'S A)^-1, exactly so for a Gaussian S. Both factors are in the sketch: a coordinate's error over
//! its estimate follows Student's distribution with m - d degrees of freedom.
//!
//! With a ridge, which is never sketched, x' - x* = C A'(S'S - I) r* for C = (A'S'S A + ridge I)^-1, and r* is not
//! orthogonal to A: A'r* = ridge x*. The covariance is (1 / m) C (|r*|^2 A'A + ridge^2 x* x*') C to first order.
//!
//! All of it comes from the triangle [R Z; 0 W] of [S A, S B]. Its columns and those of the ridge below it are
//! divided by their norms D first. With the SVD T s V' of that, T being its first d rows, and root = D^-1 V s^-1,
//! C is root root', the answer is root T'Z, and what it leaves of S B has the norm of [Z - T T'Z; W].

use crate::error::{Error, Result};
use crate::linalg::{self, Qr, cut_off, largest_of, normalised, project, rank_of};
use crate::matrix::{Mat, Real, power_of_two_below};
use crate::memory::{collected, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::refine::TARGETS;

/// Errors of the triangle and of the solve, in units of roundoff: far below those of sketching unless b is in the
/// range of A.
const ROUNDING: f64 = 8.0;

/// Quantiles of Student's distribution with m - d degrees of freedom.
#[derive(Clone, Copy, Debug)]
pub struct Quantiles {
    /// For one coordinate.
    pub pointwise: f64,
    /// For all coordinates of all targets at once.
    pub simultaneous: f64,
    /// For all of them in half of all draws.
    pub median: f64,
}

/// Answers with what the sketch knows of their errors.
pub struct SketchAnswer {
    /// d x k.
    pub x: Mat<f64>,
    /// Half the width of the interval of each coordinate, d x k.
    pub half_width: Mat<f64>,
    /// The same for intervals that hold all at once.
    pub simultaneous: Mat<f64>,
    /// Estimate of |b - A x*| for every target.
    pub residual_norm: Vec<f64>,
    /// Numerical rank of S A over the ridge, columns scaled to norm one.
    pub rank: usize,
    /// What the largest error of all is in half of all draws.
    pub estimate: f64,
    /// The largest |b - A x*| |A^+| / sqrt(d) of all targets, in which the theorem measures errors; with a ridge,
    /// both norms are those of the problem with the ridge as rows. Estimated from below.
    pub unit: f64,
    /// The largest share of rounding in a half width.
    pub rounding: f64,
    /// Bound on the error of sketching of a target, in its own such unit; the largest of all targets.
    pub eps: f64,
}

/// Solves from `y` = S [A, B], where A has `d` columns. Answers will be rounded to `roundoff`. Errors are `excess` times
/// as large as those of a Gaussian S.
pub fn sketch_and_solve(
    context: &Context,
    y: &Mat<f64>,
    d: usize,
    ridge: f64,
    quantiles: &Quantiles,
    roundoff: f64,
    excess: f64,
) -> Result<SketchAnswer> {
    let (m, k) = (y.nrows(), y.ncols() - d);
    let triangle = linalg::tsqr(context, &y.as_ref())?;
    context.tick()?;
    let inverse = Inverse::new(&triangle, d, ridge, m, roundoff)?;
    let mut answers = SketchAnswer {
        x: Mat::zeros(d, k)?,
        half_width: Mat::zeros(d, k)?,
        simultaneous: Mat::zeros(d, k)?,
        residual_norm: room_for(k, TARGETS)?,
        rank: inverse.rank,
        estimate: 0.0,
        unit: 0.0,
        rounding: 0.0,
        eps: 0.0,
    };
    for target in 0..k {
        context.tick()?;
        let mut fit = inverse.fit(triangle.col(d + target), m)?;
        fit.standard_error.iter_mut().for_each(|error| *error *= excess);
        answers.add(target, &fit, &inverse, quantiles, roundoff)?;
    }
    let largest = if roundoff < f32::UNIT_ROUNDOFF { f64::MAX } else { f64::from(f32::MAX) };
    if answers.x.as_slice().iter().all(|x| x.abs() <= largest) {
        Ok(answers)
    } else {
        Err(Error::value(
            "b",
            "so large beside the matrix that the answer overflows",
            "another scale of either",
        ))
    }
}

impl SketchAnswer {
    fn add(
        &mut self,
        target: usize,
        fit: &Fit,
        inverse: &Inverse,
        quantiles: &Quantiles,
        roundoff: f64,
    ) -> Result<()> {
        for (j, &x) in fit.x.iter().enumerate() {
            let rounding = fit.rounding[j] + roundoff * x.abs();
            self.rounding = self.rounding.max(rounding);
            let width = |quantile: f64| quantile * fit.standard_error[j] + rounding;
            self.x.col_mut(target)[j] = x;
            self.half_width.col_mut(target)[j] = width(quantiles.pointwise);
            self.simultaneous.col_mut(target)[j] = width(quantiles.simultaneous);
            self.estimate = self.estimate.max(width(quantiles.median));
        }
        let unit = fit.augmented_norm * inverse.norm / (fit.x.len() as f64).sqrt();
        push(&mut self.residual_norm, fit.residual_norm, TARGETS)?;
        self.unit = self.unit.max(unit);
        if unit > 0.0 {
            self.eps = self.eps.max(quantiles.simultaneous * largest_of(&fit.standard_error) / unit);
        }
        Ok(())
    }
}

/// What the triangle of [S A; sqrt(ridge) I] says, whatever the target.
struct Inverse {
    rank: usize,
    /// The norms D.
    scale: Vec<f64>,
    /// Roots of the ridge over D.
    penalty: Vec<f64>,
    /// V s^-1
    whiten: Mat<f64>,
    /// d x rank; its range is where the shortest answers are.
    root: Mat<f64>,
    /// T, d x rank.
    top: Mat<f64>,
    /// Norms of the rows of root T'.
    reach: Vec<f64>,
    /// Degrees of freedom that the fit takes: the trace of T T'.
    freedom: f64,
    /// |A^+|, that of the augmented matrix with a ridge, or less: the norm of `root` is that of (S A)^+, and m rows
    /// take no more than the part sqrt(d / m) from a singular value.
    norm: f64,
}

impl Inverse {
    fn new(triangle: &Mat<f64>, d: usize, ridge: f64, m: usize, roundoff: f64) -> Result<Self> {
        let norms = (0..d).map(|j| size(&triangle.col(j)[..=j]).hypot(ridge.sqrt()));
        let norms = collected(norms, COLUMNS)?;
        let scale = norms.iter().map(|&norm| if norm > 0.0 { norm } else { 1.0 });
        let scale = collected(scale, COLUMNS)?;
        let penalty = collected(scale.iter().map(|scale| ridge.sqrt() / scale), COLUMNS)?;
        let below = if ridge > 0.0 { d } else { 0 };
        let stacked = Mat::from_fn(d + below, d, |i, j| match i {
            _ if i <= j => triangle[(i, j)] / scale[j],
            _ if i == d + j => penalty[j],
            _ => 0.0,
        })?;
        let svd = linalg::svd(stacked.as_ref())?;
        let rank = rank_of(&svd.s, cut_off(d, d, roundoff));
        let whiten = Mat::from_fn(d, rank, |i, j| svd.v[(i, j)] / svd.s[j])?;
        // Singular vectors are good to a roundoff of one: where a ridge leaves them next to nothing, a product is better.
        let rows = Mat::from_fn(d, d, |i, j| stacked[(i, j)])?;
        let is_little = rank > 0 && linalg::norm(rows.as_slice()) < svd.s[rank - 1];
        let top = match is_little {
            true => linalg::product(rows.as_ref(), whiten.as_ref())?,
            false => Mat::from_fn(d, rank, |i, j| svd.u[(i, j)])?,
        };
        let mut root = Mat::from_fn(d, rank, |i, j| whiten[(i, j)] / scale[i])?;
        if (1..d).contains(&rank) {
            let unit = power_of_two_below(largest_of(&norms));
            let range = normalised(Mat::from_fn(d, rank, |i, j| svd.v[(i, j)] * (norms[i] / unit))?)?;
            root = project(&Qr::new(range)?.thin_q()?, &root)?;
            for empty in (0..d).filter(|&j| norms[j] == 0.0) {
                (0..rank).for_each(|j| root[(empty, j)] = 0.0);
            }
        }
        let solve = linalg::product(top.as_ref(), root.as_ref().t())?;
        let reach = collected((0..d).map(|j| size(solve.col(j))), COLUMNS)?;
        let freedom: f64 = top.as_slice().iter().map(|t| t * t).sum();
        let norm = norm_of(&root)? * (1.0 - (freedom / m as f64).sqrt());
        Ok(Self { rank, scale, penalty, whiten, root, top, reach, freedom, norm })
    }

    /// The answer for the target whose column of the triangle is `column`, from a sketch of m rows.
    fn fit(&self, column: &[f64], m: usize) -> Result<Fit> {
        let d = self.scale.len();
        // A power of two keeps the squares of small and large targets in range.
        let unit = power_of_two_below(largest_of(column));
        let column = collected(column.iter().map(|v| v / unit), COLUMNS)?;
        let (z, w) = column.split_at(d);
        let coefficients = transposed(&self.top, z)?;
        let inside = combine(&self.top, &coefficients)?;
        let outside = collected(z.iter().zip(&inside).map(|(z, inside)| z - inside), COLUMNS)?;
        let left = linalg::norm(&outside).hypot(linalg::norm(w));
        let sigma = left / (m as f64 - self.freedom).max(1.0).sqrt();
        let residual = sigma * (m as f64).sqrt();
        // D x and, with P the penalties, P D x and D^-1 C D^-1 P^2 D x: the error is due to the residual and to A'r*.
        let scaled = combine(&self.whiten, &coefficients)?;
        let penalised =
            |x: &[f64]| collected(x.iter().zip(&self.penalty).map(|(x, penalty)| x * penalty), COLUMNS);
        let penalised_once = penalised(&scaled)?;
        let pulled = penalised(&penalised_once)?;
        let pull = combine(&self.root, &transposed(&self.whiten, &pulled)?)?;
        let error = |j: usize| (sigma * self.reach[j]).hypot(pull[j] / (m as f64).sqrt());
        let rounding = ROUNDING * f64::UNIT_ROUNDOFF * (linalg::norm(z) + linalg::norm(&scaled));
        let mut x = combine(&self.root, &coefficients)?;
        x.iter_mut().for_each(|x| *x *= unit);
        Ok(Fit {
            x,
            standard_error: collected((0..d).map(|j| error(j) * unit), COLUMNS)?,
            rounding: collected(self.reach.iter().map(|reach| rounding * reach * unit), COLUMNS)?,
            residual_norm: residual * unit,
            augmented_norm: residual.hypot(linalg::norm(&penalised_once)) * unit,
        })
    }
}

/// The answer to one target.
struct Fit {
    x: Vec<f64>,
    standard_error: Vec<f64>,
    /// What rounding may add to the error.
    rounding: Vec<f64>,
    /// |b - A x|
    residual_norm: f64,
    /// The same with the ridge as rows.
    augmented_norm: f64,
}

/// A v
fn combine(a: &Mat<f64>, v: &[f64]) -> Result<Vec<f64>> {
    let mut sum = zeros(a.nrows(), COLUMNS)?;
    for (j, &factor) in v.iter().enumerate() {
        sum.iter_mut().zip(a.col(j)).for_each(|(sum, entry)| *sum += factor * entry);
    }
    Ok(sum)
}

/// A'v
fn transposed(a: &Mat<f64>, v: &[f64]) -> Result<Vec<f64>> {
    let product = |j: usize| a.col(j).iter().zip(v).map(|(entry, v)| entry * v).sum();
    collected((0..a.ncols()).map(product), COLUMNS)
}

const COLUMNS: &str = "figures of coefficients";

/// The norm of a vector of any magnitude.
fn size(v: &[f64]) -> f64 {
    let unit = power_of_two_below(largest_of(v));
    v.iter().map(|v| (v / unit).powi(2)).sum::<f64>().sqrt() * unit
}

/// The 2-norm of a matrix of any magnitude.
fn norm_of(a: &Mat<f64>) -> Result<f64> {
    let unit = power_of_two_below(largest_of(a.as_slice()));
    let equilibrated = Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] / unit)?;
    Ok(linalg::svd(equilibrated.as_ref())?.s.first().map_or(0.0, |norm| norm * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{
        Instance, assert_near, assert_same, forms, product, transposed as transposed_of,
    };

    const QUANTILES: Quantiles = Quantiles { pointwise: 2.0, simultaneous: 3.0, median: 0.5 };
    const U: f64 = f64::UNIT_ROUNDOFF;

    /// [A, B]
    fn beside(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
        let d = a.ncols();
        let entry = |i: usize, j: usize| if j < d { a[(i, j)] } else { b[(i, j - d)] };
        Mat::from_fn(a.nrows(), d + b.ncols(), entry).unwrap()
    }

    fn answer(a: &Mat<f64>, b: &Mat<f64>, ridge: f64, roundoff: f64, excess: f64) -> Result<SketchAnswer> {
        sketch_and_solve(&Context::new(2), &beside(a, b), a.ncols(), ridge, &QUANTILES, roundoff, excess)
    }

    /// (A'A + ridge)^-1
    fn inverse(a: &Mat<f64>, ridge: f64) -> Mat<f64> {
        let svd = linalg::svd(a.as_ref()).unwrap();
        let over = |i: usize, j: usize| svd.v[(i, j)] / (svd.s[j].powi(2) + ridge);
        product(&Mat::from_fn(a.ncols(), a.ncols(), over).unwrap(), &transposed_of(&svd.v))
    }

    #[test]
    fn answers_and_their_errors_are_those_of_the_formulas() {
        let (m, d) = (60, 5);
        let (instance, form) = (Instance::new(m, d), forms().next().unwrap());
        let (a, b) = (&instance.a, &instance.b);
        for (ridge, excess) in [(0.0, 1.0), (0.0, 1.5), (20.0, 1.0)] {
            let found = answer(a, b, ridge, U, excess).unwrap();
            let (x, c) = (instance.minimiser(form, ridge), inverse(a, ridge));
            let gram = product(&transposed_of(a), a);
            let (fit, hat) = (product(a, &x), product(&gram, &c));
            let sandwich = product(&c, &hat);
            let freedom: f64 = (0..d).map(|j| hat[(j, j)]).sum();
            let pull = product(&c, &x);
            assert_eq!(found.rank, d);
            assert_same(&found.x, &x, "answers");
            let (mut estimate, mut unit) = (0.0f64, 0.0f64);
            for target in 0..2 {
                let squares: f64 = (0..m).map(|i| (b[(i, target)] - fit[(i, target)]).powi(2)).sum();
                let sigma = (squares / (m as f64 - freedom)).sqrt();
                let residual = sigma * (m as f64).sqrt();
                assert_near(found.residual_norm[target], residual, "residual");
                for j in 0..d {
                    let pulled = ridge * pull[(j, target)] / (m as f64).sqrt();
                    let error = excess * (sigma * sandwich[(j, j)].sqrt()).hypot(pulled);
                    assert_near(found.half_width[(j, target)], 2.0 * error, "half width");
                    assert_near(found.simultaneous[(j, target)], 3.0 * error, "simultaneous");
                    estimate = estimate.max(0.5 * error);
                }
                let penalty = ridge.sqrt() * linalg::norm(x.col(target));
                let svd = linalg::svd(a.as_ref()).unwrap();
                let norm = (1.0 - (freedom / m as f64).sqrt()) / svd.s[d - 1].hypot(ridge.sqrt());
                unit = unit.max(residual.hypot(penalty) * norm / (d as f64).sqrt());
            }
            assert_near(found.estimate, estimate, "estimate");
            assert_near(found.unit, unit, "unit");
            assert!(found.rounding > 0.0 && found.rounding < 1e-10);
        }
    }

    #[test]
    fn the_error_in_units_of_the_theorem_is_the_largest_of_all_targets() {
        let instance = Instance::new(60, 5);
        let one = |target: usize| {
            let b = Mat::from_fn(60, 1, |i, _| instance.b[(i, target)]).unwrap();
            answer(&instance.a, &b, 0.0, U, 1.0).unwrap()
        };
        let both = answer(&instance.a, &instance.b, 0.0, U, 1.0).unwrap();
        let (first, second) = (one(0), one(1));
        assert_eq!(both.eps, first.eps.max(second.eps));
        let largest = largest_of(first.simultaneous.as_slice());
        assert_near(first.eps, largest / first.unit, "eps");
    }

    #[test]
    fn answers_of_deficient_sketches_are_the_shortest() {
        let instance = Instance::new(60, 5);
        let mut a = instance.a.copy().unwrap();
        for i in 0..60 {
            (a[(i, 3)], a[(i, 4)]) = (2.0 * a[(i, 0)], 0.0);
        }
        let found = answer(&a, &instance.b, 0.0, U, 1.0).unwrap();
        assert_eq!(found.rank, 3);
        for target in 0..2 {
            assert_near(found.x[(3, target)], 2.0 * found.x[(0, target)], "parallel columns");
            assert_eq!((found.x[(4, target)], found.half_width[(4, target)]), (0.0, 0.0));
        }
        let kept = Mat::from_fn(60, 3, |i, j| a[(i, j)]).unwrap();
        let independent = answer(&kept, &instance.b, 0.0, U, 1.0).unwrap();
        assert_same(&product(&a, &found.x), &product(&kept, &independent.x), "fits");
    }

    #[test]
    fn answers_too_large_for_their_precision_are_an_error_about_b() {
        let instance = Instance::new(60, 5);
        let b = Mat::from_fn(60, 2, |i, target| 1e40 * instance.b[(i, target)]).unwrap();
        assert!(answer(&instance.a, &b, 0.0, U, 1.0).is_ok());
        let Err(error) = answer(&instance.a, &b, 0.0, f64::from(f32::EPSILON), 1.0) else { panic!() };
        assert!(error.to_string().contains("`b`"), "{error}");
    }

    #[test]
    fn norms_of_numbers_of_any_magnitude() {
        assert!((size(&[3e-300, 4e-300]) / 5e-300 - 1.0).abs() < 1e-15);
        assert!((size(&[3e300, 4e300]) / 5e300 - 1.0).abs() < 1e-15);
        let a = Mat::from_fn(2, 2, |i, j| if i == j { 1e200 * (1 + i) as f64 } else { 0.0 }).unwrap();
        assert!((norm_of(&a).unwrap() / 2e200 - 1.0).abs() < 1e-15);
    }
}
