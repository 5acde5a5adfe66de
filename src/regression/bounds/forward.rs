//! How far an answer is from the minimiser: a bound for every coefficient.
//!
//! Let H = A'A + ridge, g = A'(b - A x) - ridge x, M = R'^-1 H R^-1 and c = R'^-1 g. The minimiser is
//! x* = x + H^-1 g = x + R^-1 M^-1 c exactly. With a y near M^-1 c, and M >= low (see `spectrum`), for every j
//!
//! |x*_j - x_j| <= |(R^-1 y)_j| + |R'^-1 e_j| |c - M y| / low.
//!
//! R^-1 y is an estimate of the error, and the second term bounds what it misses; a few conjugate gradients from y = c
//! make that small beside the first where rounding lets them. What rounding adds goes to the second term: g is wrong by
//! v = u^2 times a modest number, relative to |a_k| |r| in entry k, and this moves x_j by
//! |(H^-1 v)_j| <= |R'^-1 e_j| sum_k |R'^-1 e_k| v_k / low; r is wrong by u^2 relative to |b| + sum_k |a_k| |x_k|, which
//! a projection hands on; and the solve with R that ends in R^-1 y is that of a matrix which differs from R in its last
//! digits. All of it is about the numbers in A, b and the weights as
//! they stand; g is summed in twice the working precision (`exact`), or it would say nothing. For a truncated factor x*
//! is the best of all x + v, v in the space of the directions that were kept.
//!
//! The fit is bounded too: |A (x - x*)| <= |c| / sqrt(low), and with it the distance of the residual from the smallest.

use crate::error::Result;
use crate::linalg::{exponent_of, norm, times_power_of_two};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, filled, gathered, push, room_for, zeros};
use crate::random::Stream;
use crate::regression::bounds::spectrum::{FAILURE, Spectrum, USELESS, rounding, spectrum};
use crate::regression::design::exact::{ExactPass, exact_pass};
use crate::regression::methods::spir::InnerIteration;
use crate::regression::refine::{Group, START, Scaled, TARGETS};
use crate::simd::Extended;

/// What is known about the distance of answers from the minimisers; NaN where there is no honest figure.
pub struct ForwardError {
    /// Bound on |x_j - x*_j|, d x k.
    pub coordinate_bound: Mat<f64>,
    /// Estimate of x - x*, d x k.
    pub error_estimate: Mat<f64>,
    /// Bound on |W^(1/2) A (x - x*)|, and with a ridge on its penalty's part as well.
    pub fit_bound: Vec<f64>,
    /// Bounds on |W^(1/2) (b - A x*)|, with a ridge on its penalty's part as well. Where nothing is proved the upper one is
    /// NaN, and the lower one 0, which always holds.
    pub residual_bounds: Vec<[f64; 2]>,
    /// What x - x* is relative to x, in units of the relative error of A and b: kappa + kappa^2 |r| / (|A| |x|), for
    /// columns of norm one.
    pub sensitivity: Vec<f64>,
    /// Probability with which the bounds hold.
    pub confidence: f64,
    /// The smallest `low` of all factors.
    pub low: f64,
    /// Why there are no figures for some of the targets.
    pub objection: Option<String>,
}

/// Most conjugate gradients in a round.
const MOST_CORRECTIONS: usize = 30;
/// Most times that gradients are summed in twice the working precision.
const MOST_ROUNDS: usize = 4;
/// |c - M y| relative to |c| at which conjugate gradients have done what pays.
const SOLVED: f64 = 1e-3;
/// Roundings of the sums in twice the working precision, in units of u^2 and of the norms of what is summed.
const SUMS: f64 = 16.0;
/// Targets for which one read of A is made.
const SIDES: usize = 16;

impl ForwardError {
    /// Of answers that are zero because their targets are.
    pub(crate) fn none(d: usize, k: usize) -> Result<Self> {
        Ok(Self {
            coordinate_bound: Mat::zeros(d, k)?,
            error_estimate: Mat::zeros(d, k)?,
            fit_bound: zeros(k, TARGETS)?,
            residual_bounds: zeros(k, TARGETS)?,
            sensitivity: filled(1.0, k, TARGETS)?,
            confidence: 1.0 - FAILURE,
            low: 1.0,
            objection: None,
        })
    }

    /// Measures the answers `x` (d x all targets, in the caller's units) to the targets of one group, whose factor has
    /// this condition; gives the reads of A that it took.
    pub(crate) fn measure<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        condition: f64,
        x: &Mat<f64>,
        seed: u64,
    ) -> Result<usize> {
        let Spectrum { low, steps } = spectrum(group, scaled, condition, Stream::new(seed, 0, START))?;
        self.low = self.low.min(low);
        let reach = Reach::new(scaled, low, condition)?;
        if !reach.is_known() {
            self.objection = Some(objection(condition, low));
        }
        let mut reads = steps;
        for targets in group.targets.chunks(SIDES) {
            let part = Group { targets, ..*group };
            let exact = Exact::of(&part, scaled, x, None)?;
            let corrected = reach.correct(&part, scaled, x, &exact)?;
            reads += 1 + corrected.reads;
            for (side, &target) in targets.iter().enumerate() {
                self.note(&part, scaled, &reach, &exact, &corrected, side, target);
                let (residual, size) =
                    (exact.residual_norm[side], scaled.factor.norm()? * exact.solution_norm[side]);
                self.sensitivity[target] = condition + condition * condition * residual / size;
            }
        }
        Ok(reads)
    }

    /// Figures of one target, in the caller's units.
    fn note<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        reach: &Reach,
        exact: &Exact,
        corrected: &Corrected,
        side: usize,
        target: usize,
    ) {
        let (design, size) = (group.design, norm(exact.whitened.col(side)));
        let known = if reach.is_known() && size.is_finite() { 1.0 } else { f64::NAN };
        let unit = -exponent_of(design.target_scale(target));
        for j in (0..scaled.scale.len()).filter(|&j| design.column_scale(j) > 0.0) {
            let (known, unit) = (known / scaled.scale[j], unit + exponent_of(design.column_scale(j)));
            let step = corrected.step[(j, side)];
            let most = known * (step.abs() + reach.of(j) * corrected.left[side]);
            self.coordinate_bound[(j, target)] = rounded_up(most, unit);
            self.error_estimate[(j, target)] = times_power_of_two(-known * step, unit);
        }
        let (fit, residual) = (size / reach.low.sqrt(), exact.residual_norm[side]);
        let range = match group.ridge {
            0.0 => [((residual - fit).max(0.0) * (residual + fit)).sqrt(), residual],
            _ => [(residual - fit).max(0.0), residual + fit],
        };
        self.fit_bound[target] = rounded_up(known * fit, unit);
        let [low, high] = range.map(|bound| known * bound);
        self.residual_bounds[target] =
            [times_power_of_two(low, unit).next_down().max(0.0), rounded_up(high, unit)];
    }
}

/// x times 2^exponent or, among numbers so small that they have fewer digits, one that is not smaller.
fn rounded_up(x: f64, exponent: i32) -> f64 {
    match times_power_of_two(x, exponent) {
        scaled if x > 0.0 && scaled < f64::MIN_POSITIVE => scaled.next_up(),
        scaled => scaled,
    }
}

/// How far coefficients can be off for a given |c - M y|.
struct Reach {
    /// |R'^-1 e_j|, zero for columns of zeros.
    spread: Vec<f64>,
    low: f64,
    /// What products with M are off by, relatively.
    rounding: f64,
}

/// Estimates of x* - x and what they miss.
struct Corrected {
    /// d x k, in scaled units.
    step: Mat<f64>,
    /// |c - M y|, what rounding hides included.
    left: Vec<f64>,
    reads: usize,
}

impl Reach {
    fn new(scaled: &Scaled, low: f64, condition: f64) -> Result<Self> {
        let mut spread = scaled.factor.inverse_row_norms()?;
        scaled.empty.iter().for_each(|&column| spread[column] = 0.0);
        Ok(Self { spread, low, rounding: rounding(scaled, condition) })
    }

    fn is_known(&self) -> bool {
        self.low > USELESS
    }

    /// Of coefficient `j`.
    fn of(&self, j: usize) -> f64 {
        self.spread[j] / self.low
    }

    /// Steps to the minimiser from the answers `x`, measured by `exact`: where rounding leaves more of a step to be
    /// found than is small beside it, the gradient at x + step tells the rest.
    fn correct<T: Real>(
        &self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        x: &Mat<f64>,
        exact: &Exact,
    ) -> Result<Corrected> {
        let start = Mat::zeros(x.nrows(), group.targets.len())?;
        let mut best = self.solve(group, scaled, exact, start)?;
        for _ in 1..MOST_ROUNDS {
            let sharp = |side: usize| self.is_sharp(best.step.col(side), best.left[side]);
            if !self.is_known() || (0..group.targets.len()).all(sharp) {
                break;
            }
            let there = Exact::of(group, scaled, x, Some(&best.step))?;
            let next = self.solve(group, scaled, &there, best.step.copy()?)?;
            best.reads += 1 + next.reads;
            for side in 0..group.targets.len() {
                if next.left[side] < best.left[side] {
                    best.left[side] = next.left[side];
                    best.step.col_mut(side).copy_from_slice(next.step.col(side));
                }
            }
        }
        Ok(best)
    }

    /// Conjugate gradients on M y = c for every column c of the whitened gradients, from y = c; R^-1 y is added to `step`.
    fn solve<T: Real>(
        &self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        exact: &Exact,
        mut step: Mat<f64>,
    ) -> Result<Corrected> {
        let whitened = &exact.whitened;
        let (order, k) = (whitened.nrows(), whitened.ncols());
        let mut sides = gathered((0..k).map(|side| InnerIteration::new(whitened.col(side))), TARGETS)?;
        let mut solution = whitened.copy()?;
        let mut left = filled(f64::INFINITY, k, TARGETS)?;
        let mut running = collected(0..k, TARGETS)?;
        let mut reads = 0;
        while !running.is_empty() && reads < MOST_CORRECTIONS && self.is_known() {
            let direction = |side: usize| if reads == 0 { &sides[side].y } else { &sides[side].p };
            let stacked = Mat::from_fn(order, running.len(), |i, at| direction(running[at])[i])?;
            let products = group.normal_product(scaled, &stacked)?;
            reads += 1;
            let mut going = room_for(running.len(), TARGETS)?;
            for (at, &side) in running.iter().enumerate() {
                match reads {
                    1 => sides[side].begin(products.col(at)),
                    _ => _ = sides[side].conjugate_step(products.col(at)),
                }
                let size = norm(whitened.col(side));
                let found = norm(&sides[side].q) + self.rounding * size;
                if found < left[side] {
                    let shrunk = found < 0.9 * left[side];
                    left[side] = found;
                    solution.col_mut(side).copy_from_slice(&sides[side].y);
                    if shrunk && found > SOLVED.max(2.0 * self.rounding) * size {
                        push(&mut going, side, TARGETS)?;
                    }
                }
            }
            running = going;
        }
        let change = scaled.factor.unwhiten(&solution)?;
        for (side, left) in left.iter_mut().enumerate() {
            *left += self.hidden(exact, group.design.nrows(), side) + self.of_solve(norm(change.col(side)));
        }
        step.as_mut_slice().iter_mut().zip(change.as_slice()).for_each(|(step, change)| *step += change);
        Ok(Corrected { step, left, reads })
    }

    /// What rounding in sums over `n` rows and over columns may hide of |c|.
    fn hidden(&self, exact: &Exact, n: usize, side: usize) -> f64 {
        let sums = SUMS + (exact.gradient.nrows() as f64 + n as f64 / 64.0).sqrt();
        let of_residual = exact.target_norm[side] + exact.size[side];
        let of_gradient =
            exact.residual_norm[side].hypot(exact.penalty[side]) * self.spread.iter().sum::<f64>();
        sums * f64::UNIT_ROUNDOFF.powi(2) * (of_residual + of_gradient)
    }

    /// What the solve for a change of this length may hide: R, its columns of norm one, is off in its last digits.
    fn of_solve(&self, length: f64) -> f64 {
        let order = self.spread.len() as f64;
        f64::UNIT_ROUNDOFF * (2.0 + order.sqrt()) * order.sqrt() * length * self.low.max(1.0)
    }

    /// True if what is left is small beside nearly all entries of a step.
    fn is_sharp(&self, step: &[f64], left: f64) -> bool {
        let blurred = (0..step.len()).filter(|&j| self.of(j) * left > 0.3 * step[j].abs()).count();
        10 * blurred <= step.len()
    }
}

/// Why a factor with this lower bound on its spectrum proves nothing.
fn objection(condition: f64, low: f64) -> String {
    let why = match condition {
        _ if condition * f64::EPSILON > 1e-3 => {
            format!("a condition of {condition:.1e} leaves no digit to be sure of")
        }
        _ => format!("the spectrum of the preconditioned problem reaches down to {low:.1e}"),
    };
    format!("{why}; method=\"qr\" has the best factor, a ridge or fewer columns a better condition")
}

/// What one read in twice the working precision says of answers.
pub(crate) struct Exact {
    /// g in scaled units, d x k.
    pub gradient: Mat<f64>,
    /// c, d x k.
    pub whitened: Mat<f64>,
    /// |W^(1/2) (b - A x)|
    pub residual_norm: Vec<f64>,
    /// sqrt(ridge) |x|
    pub penalty: Vec<f64>,
    /// |x| in scaled units.
    pub solution_norm: Vec<f64>,
    /// The sum of |x_j| |a_j|, what was measured at a step included.
    pub size: Vec<f64>,
    /// |W^(1/2) b|
    pub target_norm: Vec<f64>,
}

impl Exact {
    /// Of the answers `x` (d x all targets, in the caller's units) to the targets of a group, plus a step in scaled
    /// units.
    pub fn of<T: Real>(
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        x: &Mat<f64>,
        step: Option<&Mat<f64>>,
    ) -> Result<Self> {
        let (design, targets) = (group.design, group.targets);
        let unscaled = Mat::from_fn(x.nrows(), targets.len(), |j, side| {
            match x[(j, targets[side])] {
                // Constant columns have no scale.
                0.0 => 0.0,
                x => times_power_of_two(
                    x,
                    exponent_of(design.target_scale(targets[side])) - exponent_of(design.column_scale(j)),
                ),
            }
        })?;
        let tail = Mat::from_fn(x.nrows(), targets.len(), |j, side| {
            step.map_or(0.0, |step| step[(j, side)] / scaled.scale[j])
        })?;
        let multiple = |squares: &mut Vec<f64>, row: usize, side: usize, image: Extended| {
            let mut residual = design.exact_target(row, targets[side]);
            residual.add_multiple(-1.0, image);
            let residual = residual.normalised();
            squares[side] += (design.root_weight(row) * residual.value()).powi(2);
            let mut weighted = Extended::default();
            weighted.add_multiple(design.weight(row), residual);
            weighted
        };
        let ExactPass { gradient: sums, notes: squares, .. } = exact_pass(
            group.context,
            design,
            [&unscaled, &tail],
            |_| zeros(targets.len(), TARGETS),
            multiple,
        )?;
        let mut gradient = Mat::zeros(x.nrows(), targets.len())?;
        for (side, sums) in sums.into_iter().enumerate() {
            for (j, mut sum) in sums.into_iter().enumerate() {
                let scale = design.column_scale(j);
                for x in [&unscaled, &tail] {
                    sum.add_multiple(-x[(j, side)], Extended::product(group.ridge * scale, scale));
                }
                gradient[(j, side)] = sum.value() / scaled.scale[j];
            }
        }
        let total = |side: usize| squares.iter().map(|squares| squares[side]).sum::<f64>();
        let size = |side: usize, unit: &dyn Fn(usize) -> f64| {
            let squares = unscaled.col(side).iter().enumerate().map(|(j, x)| (x * unit(j)).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let sides = 0..targets.len();
        let sum_of = |side: usize| {
            (0..x.nrows()).map(|j| (unscaled[(j, side)] + tail[(j, side)]).abs() * scaled.scale[j]).sum()
        };
        Ok(Self {
            whitened: scaled.factor.whiten(&gradient)?,
            gradient,
            residual_norm: collected(sides.clone().map(|side| total(side).sqrt()), TARGETS)?,
            size: collected(sides.clone().map(sum_of), TARGETS)?,
            target_norm: collected(targets.iter().map(|&target| design.target_norm(target)), TARGETS)?,
            penalty: collected(sides.clone().map(|side| size(side, &|j| group.root_ridge(j))), TARGETS)?,
            solution_norm: collected(sides.map(|side| size(side, &|j| scaled.scale[j])), TARGETS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Factor;
    use crate::regression::testing::{Form, Instance, assert_near, forms, product};

    const CONDITION: f64 = 10.0;

    /// The minimiser, and answers that are off by a millionth and more.
    fn answers(instance: &Instance, form: Form, ridge: f64) -> (Mat<f64>, Mat<f64>) {
        let exact = instance.minimiser(form, ridge);
        let off = |j: usize, target: usize| exact[(j, target)] + 1e-6 * (1 + j + 2 * target) as f64;
        let x = Mat::from_fn(exact.nrows(), 2, off).unwrap();
        (exact, x)
    }

    #[test]
    fn the_distance_from_the_minimiser_is_bounded_and_estimated() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            let (exact, x) = answers(&instance, form, ridge);
            let (a, b) = instance.explicit(form);
            let scaled = instance.exact_factor(form, ridge);
            let mut found = ForwardError::none(5, 2).unwrap();
            instance.with_group(form, ridge, |group| {
                assert!(found.measure(group, &scaled, CONDITION, &x, 3).unwrap() >= 3);
            });
            assert!(found.low > 0.5 && found.low <= 1.0 && found.objection.is_none());
            let error = Mat::from_fn(5, 2, |j, target| x[(j, target)] - exact[(j, target)]).unwrap();
            let (image, fit, fit_of_exact) = (product(&a, &error), product(&a, &x), product(&a, &exact));
            for target in 0..2 {
                for j in 0..5 {
                    let (bound, error) = (found.coordinate_bound[(j, target)], error[(j, target)]);
                    assert!((1.0 - 1e-4..1.1).contains(&(bound / error)), "{form:?}: {bound} for {error}");
                    assert!((found.error_estimate[(j, target)] / error - 1.0).abs() < 1e-3, "{form:?}");
                }
                let penalty = ridge.sqrt() * norm(error.col(target));
                let moved = norm(image.col(target)).hypot(penalty);
                let bound = found.fit_bound[target];
                assert!((1.0 - 1e-4..1.5).contains(&(bound / moved)), "{form:?}: {bound} for {moved}");
                let residual = |fit: &Mat<f64>| {
                    (0..60).map(|i| (b[(i, target)] - fit[(i, target)]).powi(2)).sum::<f64>().sqrt()
                };
                let ([low, high], least) = (found.residual_bounds[target], residual(&fit_of_exact));
                assert!(low <= least * (1.0 + 1e-12) && least <= high * (1.0 + 1e-12), "{form:?}");
                assert!(high - low < 1e-3 * least, "{form:?}");
                let size = (0..5).map(|j| (x[(j, target)] * scaled.scale[j]).powi(2)).sum::<f64>().sqrt();
                let share = residual(&fit) / (scaled.factor.norm().unwrap() * size);
                assert_near(found.sensitivity[target], CONDITION + CONDITION.powi(2) * share, "sensitivity");
            }
        }
    }

    #[test]
    fn targets_of_other_groups_are_left_alone() {
        let (instance, form) = (Instance::new(40, 3), forms().next().unwrap());
        let (_, x) = answers(&instance, form, 0.0);
        let mut found = ForwardError::none(3, 2).unwrap();
        instance.with_group(form, 0.0, |group| {
            let second = Group { targets: &[1], ..*group };
            found.measure(&second, &instance.exact_factor(form, 0.0), CONDITION, &x, 3).unwrap();
        });
        assert_eq!(found.coordinate_bound.col(0), [0.0; 3]);
        assert_eq!((found.sensitivity[0], found.fit_bound[0]), (1.0, 0.0));
        assert!(found.coordinate_bound.col(1).iter().all(|&bound| bound > 0.0));
    }

    #[test]
    fn a_factor_that_is_far_off_proves_nothing_and_says_why() {
        let (instance, form) = (Instance::new(40, 3), forms().next().unwrap());
        let (_, x) = answers(&instance, form, 0.0);
        let mut scaled = instance.exact_factor(form, 0.0);
        if let Factor::Triangle(r) = &mut scaled.factor {
            r.as_mut_slice().iter_mut().for_each(|entry| *entry *= 10.0);
        }
        let mut found = ForwardError::none(3, 2).unwrap();
        instance.with_group(form, 0.0, |group| {
            found.measure(group, &scaled, CONDITION, &x, 3).unwrap();
        });
        assert!(found.coordinate_bound.as_slice().iter().all(|bound| bound.is_nan()));
        let [low, high] = found.residual_bounds[1];
        assert!(found.fit_bound[0].is_nan() && low == 0.0 && high.is_nan());
        assert!(found.objection.unwrap().contains("reaches down to 1.0e-2"));
        assert!(objection(1e14, 0.0).contains("condition of 1.0e14 leaves no digit"));
    }

    #[test]
    fn bounds_among_subnormal_numbers_are_not_rounded_down() {
        assert_eq!(rounded_up(1.25, 3), 10.0);
        assert_eq!(rounded_up(0.0, -1074), 0.0);
        let least = f64::from_bits(1);
        assert_eq!([0.25, 0.75, 1.25].map(|x| rounded_up(x, -1074)), [1.0, 2.0, 2.0].map(|x| x * least));
    }
}
