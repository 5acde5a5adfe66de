//! Answers in the caller's units, and what is known of them.

use crate::certify::{ROUNDING, backward_error_of_image, floor_of, is_missed};
use crate::error::{Error, Result};
use crate::linalg::{exponent_of, norm, times_power_of_two};
use crate::matrix::{Mat, Real, Rows};
use crate::memory::{collected, zeros};
use crate::regression::bounds::forward::ForwardError;
use crate::regression::bounds::spectrum::FAILURE;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::driver::ledger::Stage;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::methods::outcome::{Factored, Unfactored};
use crate::regression::refine::{Group, Refined, TARGETS};
use crate::simd::Extended;

/// Answers and what is known of them.
pub struct Output {
    /// d x k.
    pub x: Mat<f64>,
    /// The constants of the fits, zeros without an intercept.
    pub intercept: Vec<f64>,
    /// |W^(1/2) (b - A x)| of every target.
    pub residual_norm: Vec<f64>,
    /// Numerical rank of the (centred, weighted) A; `None` where no factor told it.
    pub rank: Option<usize>,
    /// Columns that are constant but for rounding under an intercept: they are left out, their coefficients zero.
    pub constant: Vec<usize>,
    /// The method whose answer this is.
    pub method: Method,
    /// Refinements, or inner iterations, of the method whose answer this is.
    pub n_iter: usize,
    /// Rows of the sketch, if there was one.
    pub sketch_size: Option<usize>,
    /// Estimated backward error of every answer, relative to |A|_F, columns of A scaled to norm one.
    pub backward_error: Vec<f64>,
    /// Bound on the true backward error, what rounding may have hidden of it included.
    pub backward_error_bound: Vec<f64>,
    /// The bound that stands for a target at the unit roundoff.
    pub floor: f64,
    /// Size of what was cut off from A, relative to |A|_F: the backward errors are about the rest.
    pub cut: f64,
    /// What the columns of A are scaled to where norms are taken.
    pub columns: Columns,
    /// Probability with which the bounds hold.
    pub confidence: f64,
    /// Condition estimate of A with columns of norm one.
    pub condition: f64,
    /// The backward error that was asked for.
    pub target: f64,
    /// What was tried and why.
    pub explanation: String,
    /// What was done, in order.
    pub stages: Vec<Stage>,
    /// Why the method asked for is not the method used, if so.
    pub fallback: Option<String>,
    /// False if a target was missed for certain, and the last answer is given all the same.
    pub settled: bool,
    /// Sketches drawn after the first.
    pub redraws: usize,
    /// What covariances are made of, if the factor was to be kept.
    pub inference: Option<Inference>,
    /// How far the answers are from the minimisers, if that was to be bounded.
    pub forward: Option<ForwardError>,
}

/// Units of the columns of A in which its norm and changes of it are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Norm one.
    Normalised,
    /// A power of two below their norms.
    PowersOfTwo,
    /// As they are.
    Unscaled,
}

impl Columns {
    /// What is said of them.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Normalised => "scaled to norm one",
            Self::PowersOfTwo => "scaled by powers of two to norms in [1, 2)",
            Self::Unscaled => "as they are",
        }
    }
}

impl Output {
    pub(crate) fn empty<T: Real>(d: usize, k: usize, params: &Params) -> Result<Self> {
        let target = params.tolerance.unwrap_or(T::UNIT_ROUNDOFF);
        Ok(Self {
            x: Mat::zeros(d, k)?,
            intercept: zeros(k, TARGETS)?,
            residual_norm: zeros(k, TARGETS)?,
            rank: None,
            constant: Vec::new(),
            method: params.method,
            n_iter: 0,
            sketch_size: None,
            backward_error: zeros(k, TARGETS)?,
            backward_error_bound: zeros(k, TARGETS)?,
            condition: 1.0,
            target,
            floor: floor_of(T::UNIT_ROUNDOFF),
            cut: 0.0,
            columns: Columns::Normalised,
            confidence: 1.0,
            explanation: String::new(),
            stages: Vec::new(),
            fallback: None,
            settled: true,
            redraws: 0,
            inference: None,
            forward: None,
        })
    }

    /// Takes over the answers of one group and what a factor of A tells of their errors.
    pub(crate) fn accept<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        method: Method,
        factored: &Factored,
        sketch_size: Option<usize>,
    ) -> Result<()> {
        let Factored { refined, scaled, condition } = factored;
        self.take(group, refined, &scaled.scale);
        // The estimate is within sqrt(2) of the truth for an exact factor; the factor is off by the rate.
        let looseness = 2f64.sqrt() / (1.0 - refined.rate.clamp(0.0, 0.5));
        for (position, &target) in group.targets.iter().enumerate() {
            let x = refined.x.col(position);
            let change = self.round::<T>(group, target, x, &scaled.scale)?;
            let rounding = match change.iter().all(|&dx| dx == 0.0) {
                true => 0.0,
                // The gradient moves by A'A dx.
                false => backward_error_of_image(
                    scaled.frobenius_norm(),
                    scaled.factor.image_norm(&change)?,
                    norm(x),
                    group.design.target_norm(target),
                ),
            };
            self.backward_error[target] = refined.backward_error[position] + rounding;
            self.backward_error_bound[target] = self.backward_error[target] * looseness + ROUNDING;
        }
        self.cut = self.cut.max(scaled.cut);
        self.rank = Some(factored.rank());
        self.method = method;
        self.sketch_size = sketch_size;
        self.condition = self.condition.max(*condition);
        Ok(())
    }

    /// Takes over the answers of one group, their errors measured without a factor.
    pub(crate) fn accept_unfactored<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        answers: Unfactored,
    ) -> Result<()> {
        self.take(group, &answers.refined, &answers.scale);
        for (position, &target) in group.targets.iter().enumerate() {
            // |A dx| <= |A|_F |dx|, and an answer x makes |A|_F |x| of room.
            let x = answers.refined.x.col(position);
            let change = norm(&self.round::<T>(group, target, x, &answers.scale)?);
            let rounding = if change == 0.0 { 0.0 } else { change / norm(x) };
            self.backward_error[target] = answers.refined.backward_error[position] + rounding;
            self.backward_error_bound[target] = answers.bound[position] + rounding + ROUNDING;
        }
        (self.columns, self.confidence) = match group.design.operator() {
            Some(_) => (Columns::Unscaled, 1.0 - FAILURE),
            None => (Columns::PowersOfTwo, 1.0),
        };
        self.rank = None;
        self.method = Method::Lsmr;
        self.condition = self.condition.max(answers.condition);
        Ok(())
    }

    /// The answers of one group in the caller's units.
    fn take<T: Real>(&mut self, group: &Group<'_, '_, T>, refined: &Refined, scales: &[f64]) {
        for (position, &target) in group.targets.iter().enumerate() {
            let scale = group.design.target_scale(target);
            let mut penalty = 0.0;
            for (j, out) in self.x.col_mut(target).iter_mut().enumerate() {
                let x = refined.x[(j, position)] / scales[j];
                penalty += (group.root_ridge(j) * x).powi(2);
                let unit = group.design.column_scale(j);
                // Constant columns have no unit, and no part in the answer.
                let is_zero = x == 0.0 || unit == 0.0;
                *out =
                    if is_zero { 0.0 } else { times_power_of_two(x, exponent_of(unit) - exponent_of(scale)) };
            }
            let squares = refined.residual_norm[position].powi(2) - penalty;
            self.residual_norm[target] = squares.max(0.0).sqrt() / scale;
            if group.design.means().is_some() {
                self.intercept[target] = refined.residual_total[position] / scale;
            }
        }
        self.n_iter = self.n_iter.max(refined.passes);
    }

    /// Rounds an answer to the element type; gives what that, and numbers too small for the caller's units, changed of
    /// the answer `x` in scaled units.
    fn round<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        target: usize,
        x: &[f64],
        scale: &[f64],
    ) -> Result<Vec<f64>> {
        let target_scale = exponent_of(group.design.target_scale(target));
        let change = |(j, out): (usize, &mut f64)| {
            *out = T::from_f64(*out).to_f64();
            let unit = group.design.column_scale(j);
            if unit == 0.0 {
                return 0.0;
            }
            let unit = target_scale - exponent_of(unit);
            (times_power_of_two(*out, unit) - x[j] / scale[j]) * scale[j]
        };
        collected(self.x.col_mut(target).iter_mut().enumerate().map(change), "changes by rounding")
    }

    /// The constants of the fits, and what is to be said of all targets.
    pub(crate) fn finish<T: Real>(&mut self, design: &Design<'_, T>) -> Result<()> {
        if let Some(means) = design.means() {
            let norm = design.weight_norm();
            for (target, intercept) in self.intercept.iter_mut().enumerate() {
                // What is left of the mean residual is the rounding of the means.
                let mut exact = Extended::from(*intercept / norm / norm);
                exact.add(design.target_means()[target]);
                for (mean, x) in means.iter().zip(self.x.col(target)) {
                    exact.add_multiple(-mean, Extended::from(*x));
                }
                *intercept = exact.value();
            }
            // Rounding of the constant c moves the fit, where it is one of d + 1 columns: |A|_F |x| >= sqrt(d + 1) |c|.
            let rounding = T::UNIT_ROUNDOFF / (design.ncols() as f64 + 1.0).sqrt();
            self.backward_error_bound.iter_mut().for_each(|bound| *bound += rounding);
            self.floor += rounding;
        }
        for (error, &bound) in self.backward_error.iter_mut().zip(&self.backward_error_bound) {
            *error = error.min(bound);
        }
        let missed = |(&error, &bound): (&f64, &f64)| is_missed(error, bound, self.target, self.floor);
        self.settled = !self.backward_error.iter().zip(&self.backward_error_bound).any(missed);
        if self.x.as_slice().iter().chain(&self.intercept).all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(Error::value(
            "b",
            "so large beside the matrix that the answer overflows",
            "another scale of either",
        ))
    }
}
