//! Refinement by a factor of A'A, and what its steps tell about the error.

use crate::certify::Answer;
use crate::error::Result;
use crate::linalg::{Factor, largest_of, norm};
use crate::matrix::{Mat, Matrix, Real, Source, power_of_two_below};
use crate::memory::{collected, filled, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::{Pass, Passes, Sides};
use crate::simd::{axpy, dot};
use std::collections::VecDeque;

/// What the solvers of one group of targets share: the design, the column scale s that its factors are
/// relative to, the targets and their common ridge.
pub(crate) struct Group<'p, 'a, T, M = Matrix<'a, T>> {
    pub context: &'p Context<'p>,
    pub design: &'p Design<'a, T, M>,
    pub targets: &'p [usize],
    pub ridge: f64,
    /// Backward error relative to |A|_F to be reached.
    pub tolerance: f64,
    /// Most reads of A, or rounds, in one refinement.
    pub max_passes: usize,
}

/// A stand-in for A'A + ridge in units in which the columns of A have norm one.
pub(crate) struct Scaled {
    /// Of A diag(1 / scale).
    pub factor: Factor,
    /// s.
    pub scale: Vec<f64>,
    /// Columns of zeros, which a triangle carries as unit rows.
    pub empty: Vec<usize>,
    /// |E|_F / |A|_F where the factor is that of A - E, directions having been cut off; 0 where none were.
    pub cut: f64,
}

impl Scaled {
    /// |A|_F, for a triangle without its unit rows.
    pub fn frobenius_norm(&self) -> f64 {
        let norm = self.factor.frobenius_norm();
        match self.empty.len() {
            0 => norm,
            rows => (norm * norm - rows as f64).max(0.0).sqrt(),
        }
    }
}

/// Answers to all targets of a group, in scaled units.
pub(crate) struct Refined {
    /// diag(s) x, d x k.
    pub x: Mat<f64>,
    /// Estimated backward error of every answer, and an upper bound on the estimate.
    pub backward_error: Vec<f64>,
    /// |b - A x|
    pub residual_norm: Vec<f64>,
    /// Sums of the residuals, each times its root weight.
    pub residual_total: Vec<f64>,
    /// The largest factor by which a step was shorter than the one before it.
    pub rate: f64,
    /// Reads of A.
    pub passes: usize,
    /// Every answer met the tolerance, or came within 4 times of it and stagnated there.
    pub settled: bool,
}

/// An error that falls to less than this of the one before is worth another read.
const FALLING: f64 = 0.1;

/// Steps that shrink by less than this have come down to rounding errors, if the answer is near its tolerance: along
/// directions that count for little in the backward error. A factor that is not quite that of A moves some of them to those
/// that count; of damped steps it moves less.
pub(crate) const STAGNATION: f64 = 0.1;
/// How much lighter than the estimate's the damping of steps is: what counts in the estimate is not to be damped.
const LIGHTER: f64 = 0.125;
/// A step shorter than this times the answer is rounding.
const LITTLE: f64 = 4.0 * f64::UNIT_ROUNDOFF;
/// Answers within this many tolerances are accepted once refinement has come to its end.
const ACCEPTED: f64 = 4.0;

/// One whose error still falls is worth another read where it is this many away.
const FAR: f64 = 2.0;

/// Conditions from which on the first answer by a factor of A'A has lost digits, and how much nearer it must be to be taken.
const STEEP: f64 = 300.0;
const STRICTER: f64 = 8.0;

/// Columns shorter than this beside the root of the ridge have their coefficients from the residual.
pub(crate) const HIDDEN: f64 = 1e-4;
/// Coefficients of theirs that a step changes by less are right.
pub(crate) const RESOLVED: f64 = 1e-13;

/// Purpose of the random start.
pub(crate) const START: u8 = 7;

pub(crate) const TARGETS: &str = "figures of targets";

impl Refined {
    /// Answers of which nothing is known yet.
    pub fn starting_at(x: &Mat<f64>) -> Result<Self> {
        let k = x.ncols();
        Ok(Self {
            x: x.copy()?,
            backward_error: filled(f64::INFINITY, k, TARGETS)?,
            residual_norm: zeros(k, TARGETS)?,
            residual_total: zeros(k, TARGETS)?,
            rate: 0.0,
            passes: 0,
            settled: false,
        })
    }

    /// Tells the host how far the worst answer has come; the last step is reported by the driver.
    pub fn report(&self, context: &Context, done: usize, most: usize) -> Result<()> {
        let worst = self.backward_error.iter().fold(0.0f64, |worst, &error| worst.max(error));
        context.progress(done.min(most), most.saturating_add(1), &[("backward_error", worst)])
    }

    /// Keeps the answer in column `side` of `x`, measured by `pass`, if it is better than the one there is.
    pub fn keep_better(
        &mut self,
        position: usize,
        error: f64,
        pass: &Pass,
        x: &Mat<f64>,
        side: usize,
    ) -> bool {
        let better = error < self.backward_error[position];
        if better {
            self.keep(position, error, [pass.squares[side].sqrt(), pass.totals[side]], x.col(side));
        }
        better
    }

    /// Takes an answer, its error, and the norm and the weighted sum of its residual for those of a target.
    pub fn keep(&mut self, position: usize, error: f64, [norm, total]: [f64; 2], x: &[f64]) {
        self.backward_error[position] = error;
        (self.residual_norm[position], self.residual_total[position]) = (norm, total);
        self.x.col_mut(position).copy_from_slice(x);
    }
}

impl<T: Real, M: Passes<T>> Group<'_, '_, T, M> {
    /// B - A X for some of the targets (positions in the group), from x in scaled units. The gradient is that of
    /// the ridge problem, in scaled units; the squares are those of the residual with the ridge below it.
    pub fn pass(&self, scale: &[f64], x: &Mat<f64>, active: &[usize]) -> Result<Pass> {
        let unscaled = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] / scale[i])?;
        let targets = collected(active.iter().map(|&position| self.targets[position]), TARGETS)?;
        let sides = Sides::Among(&targets, self.targets.len());
        let mut pass = M::pass(self.context, self.design, &unscaled, sides)?;
        self.to_scaled(&mut pass, &unscaled, scale);
        Ok(pass)
    }

    /// R'^-1 (A'A + ridge) R^-1 Y by one read of A: the normal equations in the coordinates of the factor.
    pub fn normal_product(&self, scaled: &Scaled, y: &Mat<f64>) -> Result<Mat<f64>> {
        // Vectors near one: products of short ones with small entries would lose digits.
        let unit = |side: usize| power_of_two_below(largest_of(y.col(side)));
        let units = collected((0..y.ncols()).map(unit), TARGETS)?;
        let x = scaled
            .factor
            .unwhiten(&Mat::from_fn(y.nrows(), y.ncols(), |i, side| y[(i, side)] / units[side])?)?;
        let unscaled = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] / scaled.scale[i])?;
        let mut product = M::pass(self.context, self.design, &unscaled, Sides::ZEROS)?;
        self.to_scaled(&mut product, &unscaled, &scaled.scale);
        let mut product = scaled.factor.whiten(&product.gradient)?;
        for (side, unit) in units.into_iter().enumerate() {
            product.col_mut(side).iter_mut().for_each(|v| *v *= -unit);
        }
        Ok(product)
    }

    /// Adds the ridge to a pass at `x` (not scaled) and scales its gradient.
    pub fn to_scaled(&self, pass: &mut Pass, x: &Mat<f64>, scale: &[f64]) {
        let root = self.ridge.sqrt();
        for side in 0..x.ncols() {
            let gradient = pass.gradient.col_mut(side);
            if self.ridge > 0.0 {
                for (j, (gradient, x)) in gradient.iter_mut().zip(x.col(side)).enumerate() {
                    // The square of the rounded root would be another ridge.
                    let unit = self.design.column_scale(j);
                    *gradient -= self.ridge * unit * unit * x;
                    pass.squares[side] += (root * unit * x).powi(2);
                }
            }
            gradient.iter_mut().zip(scale).for_each(|(gradient, scale)| *gradient /= scale);
        }
    }

    /// Root of the ridge on the coefficient of column `j`, in the units of the solvers.
    pub fn root_ridge(&self, j: usize) -> f64 {
        self.design.root_ridge(self.ridge, j)
    }

    /// The most that the rank can be for the number of rows.
    pub fn most_rank(&self) -> usize {
        if self.ridge > 0.0 { self.design.ncols() } else { self.design.most_rank() }
    }

    /// True if the ridge makes up most of the length of some column. What such a column has to say of x is lost in the
    /// backward error, which forgives a change of the ridge's own rows: u sqrt(ridge) / |a_j|, relatively.
    pub fn ridge_dominates(&self, scale: &[f64]) -> bool {
        self.ridge > 0.0 && (0..scale.len()).any(|j| self.root_ridge(j) > 0.9 * scale[j])
    }

    /// Refines `x` until every answer meets the tolerance, stagnates near it, or shrinks its steps by less than
    /// `slowest_rate` and its error little; under a ridge that dominates, until steps are little beside x as well. `first` is the pass at `x`
    /// if it was made on the way.
    pub fn refine(
        &self,
        scaled: &Scaled,
        x: Mat<f64>,
        first: Option<Pass>,
        slowest_rate: f64,
    ) -> Result<Refined> {
        self.refine_by(scaled, x, (first, None), slowest_rate)
    }

    /// The same, where the first pass may come with the A'A that it would take to make the step from there as exact as that is.
    fn refine_by(
        &self,
        scaled: &Scaled,
        x: Mat<f64>,
        (first, mut gram): (Option<Pass>, Option<&Mat<f64>>),
        slowest_rate: f64,
    ) -> Result<Refined> {
        let k = self.targets.len();
        let mut state = Refined::starting_at(&x)?;
        let mut trial = x;
        let mut active = collected(0..k, TARGETS)?;
        let (mut last_step, mut last_error) = (filled(f64::NAN, k, TARGETS)?, filled(f64::NAN, k, TARGETS)?);
        let mut made = first;
        let mut dampings = Dampings::of(&scaled.factor, k > 1);
        let ridged = self.ridge_dominates(&scaled.scale);
        while !active.is_empty() && state.passes < self.max_passes {
            let part = columns(&trial, &active)?;
            let pass = match made.take() {
                Some(pass) => pass,
                None => {
                    state.passes += 1;
                    self.pass(&scaled.scale, &part, &active)?
                }
            };
            let whitened = scaled.factor.whiten(&pass.gradient)?;
            let mut step = scaled.factor.unwhiten(&whitened)?;
            if let Some(gram) = gram.take() {
                let left = left_of(gram, &step, &pass.gradient)?;
                let correction = scaled.factor.unwhiten(&scaled.factor.whiten(&left)?)?;
                axpy(1.0, correction.as_slice(), step.as_mut_slice());
            }
            let mut going = room_for(active.len(), TARGETS)?;
            for (side, &position) in active.iter().enumerate() {
                let answer = self.answer(scaled, &pass, &whitened, &part, side, position);
                let length = norm(whitened.col(side));
                let rate = length / last_step[position];
                let may_be_last = rate > STAGNATION || state.passes == self.max_passes;
                let error = self.estimate(&answer, &mut dampings, may_be_last)?;
                if error <= self.tolerance {
                    // Of answers that meet it the last is the best, where a ridge made it worth having.
                    state.backward_error[position] = f64::INFINITY;
                }
                state.keep_better(position, error, &pass, &part, side);
                if rate.is_finite() && state.backward_error[position] > self.tolerance {
                    state.rate = state.rate.max(rate);
                }
                let met = state.backward_error[position] <= self.tolerance;
                let moves = || norm(step.col(side)) > LITTLE * norm(part.col(side));
                let done = met && !(ridged && moves());
                // Steps come to the floor of their rounding before what the first ones left is gone.
                let falls = error < FALLING * last_error[position];
                let is_far = falls && error > FAR * self.tolerance;
                let stagnated = rate > STAGNATION && self.is_accepted(&state, position) && !is_far;
                if done || stagnated || rate > slowest_rate && !falls || !length.is_finite() {
                    continue;
                }
                (last_step[position], last_error[position]) = (length, error);
                if rate > STAGNATION
                    && let Some(damped) = dampings.step(&answer)?
                {
                    step.col_mut(side).copy_from_slice(damped.col(0));
                }
                trial.col_mut(position).iter_mut().zip(step.col(side)).for_each(|(x, step)| *x += step);
                push(&mut going, position, TARGETS)?;
            }
            active = going;
            state.report(self.context, state.passes, self.max_passes)?;
        }
        state.settled = (0..k).all(|position| self.is_accepted(&state, position));
        Ok(state)
    }

    /// [`Group::refine`] of the answer that a factor of A'A gives at once, from the pass at x = 0. The square of a large
    /// condition has cost it digits that its backward error does not show where the residual is large: another step has
    /// them back. Where A'A is at hand, of which the lower triangle is read, the rounding of its factor costs no read of A.
    pub fn refine_from_zero(
        &self,
        scaled: &Scaled,
        condition: f64,
        at_zero: Pass,
        gram: Option<&Mat<f64>>,
    ) -> Result<Refined> {
        let start = Mat::zeros(scaled.scale.len(), self.targets.len())?;
        let tolerance = if condition > STEEP { self.tolerance / STRICTER } else { self.tolerance };
        let strict = Group { tolerance, ..*self };
        let mut refined = strict.refine_by(scaled, start, (Some(at_zero), gram), STAGNATION)?;
        refined.settled = (0..self.targets.len()).all(|position| self.is_accepted(&refined, position));
        Ok(refined)
    }

    /// Answers in scaled units with what a pass at all of them has measured.
    pub fn measured(&self, scaled: &Scaled, x: &Mat<f64>, pass: &Pass) -> Result<Refined> {
        let mut state = Refined::starting_at(x)?;
        let whitened = scaled.factor.whiten(&pass.gradient)?;
        let mut dampings = Dampings::of(&scaled.factor, x.ncols() > 1);
        for position in 0..x.ncols() {
            let answer = self.answer(scaled, pass, &whitened, x, position, position);
            let error = self.estimate(&answer, &mut dampings, true)?;
            state.keep_better(position, error, pass, x, position);
        }
        state.settled = (0..x.ncols()).all(|position| self.is_accepted(&state, position));
        Ok(state)
    }

    /// True if an answer is good enough for refinement that has come to its end.
    pub fn is_accepted(&self, state: &Refined, position: usize) -> bool {
        state.backward_error[position] <= ACCEPTED * self.tolerance
    }

    /// What the backward error of the answer in column `side` of `x` is made of.
    pub fn answer<'r>(
        &self,
        scaled: &Scaled,
        pass: &'r Pass,
        whitened: &'r Mat<f64>,
        x: &Mat<f64>,
        side: usize,
        position: usize,
    ) -> Answer<'r> {
        Answer {
            gradient: pass.gradient.col(side),
            whitened: whitened.col(side),
            residual_norm: pass.squares[side].sqrt(),
            solution_norm: norm(x.col(side)),
            target_norm: self.design.target_norm(self.targets[position]),
            frobenius: scaled.frobenius_norm(),
        }
    }

    /// The quick bound where it settles the matter, or where the answer is hardly the last one.
    fn estimate(&self, answer: &Answer<'_>, dampings: &mut Dampings<'_>, may_be_last: bool) -> Result<f64> {
        let quick = answer.quick_backward_error();
        if quick <= self.tolerance || !may_be_last && quick > 1e3 * self.tolerance || !quick.is_finite() {
            return Ok(quick);
        }
        dampings.backward_error(answer)
    }
}

/// Damped factors of one group of targets.
struct Dampings<'f> {
    factor: &'f Factor,
    /// With several targets, those whose dampings are near one another share a factor, damped by no more than any of them:
    /// by a power of the fourth root of two, whatever the other targets are.
    are_shared: bool,
    made: VecDeque<(f64, Factor)>,
}

/// Damped factors that are kept at a time.
const MOST_DAMPINGS: usize = 8;

impl<'f> Dampings<'f> {
    fn of(factor: &'f Factor, are_shared: bool) -> Self {
        Self { factor, are_shared, made: VecDeque::new() }
    }

    /// The Karlson-Waldén estimate, or a bound on it that is not a fifth above.
    fn backward_error(&mut self, answer: &Answer<'_>) -> Result<f64> {
        let damping = answer.damping();
        if !self.are_shared || !damping.is_normal() {
            return answer.backward_error(self.factor);
        }
        match self.damped(damping)? {
            Some(damped) => answer.backward_error_by(damped),
            None => answer.backward_error(self.factor),
        }
    }

    /// The step (A'A + w^2 I)^-1 g, w much less than that of the estimate; `None` where there is no w or no such factor.
    fn step(&mut self, answer: &Answer<'_>) -> Result<Option<Mat<f64>>> {
        let damping = LIGHTER * answer.damping();
        if !damping.is_normal() {
            return Ok(None);
        }
        let Some(damped) = self.damped(damping)? else { return Ok(None) };
        let gradient = Mat::from_fn(answer.gradient.len(), 1, |i, _| answer.gradient[i])?;
        damped.unwhiten(&damped.whiten(&gradient)?).map(Some)
    }

    /// The factor of A'A + w^2 I, or of a little less.
    fn damped(&mut self, damping: f64) -> Result<Option<&Factor>> {
        let below = ((4.0 * damping.log2()).floor() / 4.0).exp2();
        let known = self.made.iter().position(|&(damping, _)| damping == below);
        if known.is_none() {
            let Some(damped) = self.factor.damped(below)? else { return Ok(None) };
            self.made.truncate(MOST_DAMPINGS - 1);
            self.made.push_front((below, damped));
        }
        Ok(Some(&self.made[known.unwrap_or(0)].1))
    }
}

/// B - G X for a symmetric G, of which the lower triangle is read.
fn left_of(gram: &Mat<f64>, x: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
    let mut left = b.copy()?;
    for side in 0..x.ncols() {
        let (x, left) = (x.col(side), left.col_mut(side));
        for j in 0..x.len() {
            let below = &gram.col(j)[j + 1..];
            axpy(-x[j], below, &mut left[j + 1..]);
            left[j] -= gram[(j, j)] * x[j] + dot(below, &x[j + 1..]);
        }
    }
    Ok(left)
}

/// Some columns of a matrix.
pub(crate) fn columns(a: &Mat<f64>, which: &[usize]) -> Result<Mat<f64>> {
    Mat::from_fn(a.nrows(), which.len(), |i, j| a[(i, which[j])])
}

/// Targets of one ridge each; targets of norm zero have the answer zero already.
pub(crate) fn groups<T: Real, M: Source>(
    design: &Design<'_, T, M>,
    ridge: &[f64],
) -> Result<Vec<(f64, Vec<usize>)>> {
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for target in (0..design.ntargets()).filter(|&target| design.target_norm(target) > 0.0) {
        let ridge = if ridge.len() == 1 { ridge[0] } else { ridge[target] };
        match groups.iter_mut().find(|(other, _)| *other == ridge) {
            Some((_, targets)) => push(targets, target, TARGETS)?,
            None => push(&mut groups, (ridge, Vec::from([target])), TARGETS)?,
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn targets_of_one_ridge_are_one_group_and_zeros_are_in_none() {
        let mut instance = Instance::new(40, 5);
        let form = forms().next().unwrap();
        let of = |instance: &Instance, ridge: &[f64]| {
            let design = Design::new(&Context::new(1), &instance.problem(form, &[0.0])).unwrap();
            groups(&design, ridge).unwrap()
        };
        assert_eq!(of(&instance, &[2.0]), [(2.0, vec![0, 1])]);
        assert_eq!(of(&instance, &[2.0, 1.0]), [(2.0, vec![0]), (1.0, vec![1])]);
        instance.b.col_mut(0).fill(0.0);
        assert_eq!(of(&instance, &[2.0, 1.0]), [(1.0, vec![1])]);
    }

    #[test]
    fn a_factor_leads_to_the_minimiser_from_anywhere() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            let scaled = instance.exact_factor(form, ridge);
            instance.with_group(form, ridge, |group| {
                let far = Mat::from_fn(5, 2, |i, j| 10.0 + (i * j) as f64).unwrap();
                let refined = group.refine(&scaled, far, None, 0.9).unwrap();
                assert!(refined.settled && refined.backward_error.iter().all(|&error| error < 1e-15));
                instance.assert_solved(form, group, &refined, &scaled.scale);
            });
        }
    }

    #[test]
    fn the_normal_product_is_the_identity_in_coordinates_of_the_exact_factor() {
        let instance = Instance::new(60, 5);
        for form in forms() {
            let scaled = instance.exact_factor(form, 20.0);
            instance.with_group(form, 20.0, |group| {
                let y = Mat::from_fn(5, 2, |i, j| (i + 1) as f64 * 1e3f64.powi(j as i32)).unwrap();
                let found = group.normal_product(&scaled, &y).unwrap();
                for (found, expected) in found.as_slice().iter().zip(y.as_slice()) {
                    assert!(
                        (found - expected).abs() <= 1e-11 * expected.abs(),
                        "{form:?}: {found} for {expected}"
                    );
                }
            });
        }
    }
}
