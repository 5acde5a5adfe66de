//! Answers in the caller's units, and what is known of them.

use crate::certify::{ROUNDING, backward_error_of_image, floor_of, is_missed};
use crate::error::{Error, Result};
use crate::linalg::{exponent_of, norm, times_power_of_two};
use crate::matrix::{Mat, Real, Source};
use crate::memory::{collected, copied, filled, zeros};
use crate::regression::bounds::forward::ForwardError;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::design::pass::Passes;
use crate::regression::driver::ledger::{Ledger, Stage};
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
    /// Reads of A once its factor was had; without one, iterations.
    pub n_iter: usize,
    /// Rows of the sketch, if there was one.
    pub sketch_size: Option<usize>,
    /// Estimated backward error of every answer, relative to |A|_F, columns of A scaled to norm one.
    pub backward_error: Vec<f64>,
    /// Bound on the true backward error, what rounding may have hidden of it included.
    pub backward_error_bound: Vec<f64>,
    /// The same without an estimate of any eigenvalue, by conjugate gradients; else infinite.
    pub rigorous_bound: Vec<f64>,
    /// The bound that stands for a target at the unit roundoff.
    pub floor: f64,
    /// Size of what was cut off from A, relative to |A|_F: the backward errors are about the rest.
    pub cut: f64,
    /// False if there may be shorter answers that are as good.
    pub is_shortest: bool,
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
    /// As they are, those of rows of norm one.
    OfNormalisedRows,
}

impl Columns {
    /// What is said of them.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Normalised => "scaled to norm one",
            Self::PowersOfTwo => "scaled by powers of two to norms in [1, 2)",
            Self::Unscaled => "as they are",
            Self::OfNormalisedRows => "as they are, those of rows scaled to norm one",
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
            rigorous_bound: filled(f64::INFINITY, k, TARGETS)?,
            condition: 1.0,
            target,
            floor: floor_of(T::UNIT_ROUNDOFF),
            cut: 0.0,
            is_shortest: true,
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
    pub(crate) fn accept<T: Real, M: Passes<T>>(
        &mut self,
        group: &Group<'_, '_, T, M>,
        method: Method,
        factored: &Factored,
        sketch_size: Option<usize>,
    ) -> Result<()> {
        let Factored { refined, scaled, condition } = factored;
        self.take(group, refined, &scaled.scale);
        self.n_iter = self.n_iter.max(refined.passes);
        // The estimate is within sqrt(2) of the truth for an exact factor; the factor is off by the rate.
        let looseness = 2f64.sqrt() / (1.0 - refined.rate.clamp(0.0, 0.5));
        let of_centring = group.design.rounding_of_centring(&scaled.scale)?;
        for (position, &target) in group.targets.iter().enumerate() {
            let x = refined.x.col(position);
            let change = self.round(group, target, x, &scaled.scale)?;
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
            self.backward_error_bound[target] =
                self.backward_error[target] * looseness + of_centring + ROUNDING;
        }
        self.cut = self.cut.max(scaled.cut);
        self.rank = Some(factored.rank());
        self.method = method;
        self.sketch_size = sketch_size;
        self.condition = self.condition.max(*condition);
        Ok(())
    }

    /// Takes over the answers of one group, their errors measured without a factor of A'A.
    pub(crate) fn accept_unfactored<T: Real, M: Passes<T>>(
        &mut self,
        group: &Group<'_, '_, T, M>,
        method: Method,
        answers: Unfactored,
    ) -> Result<()> {
        let scale = match answers.scale {
            Some(scale) => scale,
            None => filled(1.0, answers.refined.x.nrows(), TARGETS)?,
        };
        self.take(group, &answers.refined, &scale);
        self.n_iter = self.n_iter.max(answers.iterations);
        let of_centring = group.design.rounding_of_centring(&answers.norms)?;
        for (position, &target) in group.targets.iter().enumerate() {
            // |A dx| <= |A|_F |dx|, and an answer x makes |A|_F |x| of room.
            let x = answers.refined.x.col(position);
            let change = norm(&self.round(group, target, x, &scale)?);
            let rounding = if change == 0.0 { 0.0 } else { change / norm(x) };
            self.backward_error[target] = answers.refined.backward_error[position] + rounding;
            let beside = rounding + of_centring + ROUNDING;
            self.backward_error_bound[target] = answers.bound[position] + beside;
            if let Some(rigorous) = answers.rigorous.get(position) {
                self.rigorous_bound[target] = rigorous + beside;
            }
        }
        self.cut = self.cut.max(answers.cut);
        self.is_shortest &= answers.is_shortest;
        self.rank = answers.rank;
        self.floor = self.floor.max(floor_of(T::UNIT_ROUNDOFF) + answers.rounding);
        self.method = method;
        self.condition = self.condition.max(answers.condition);
        Ok(())
    }

    /// The answers of one group in the caller's units.
    fn take<T: Real, M: Passes<T>>(
        &mut self,
        group: &Group<'_, '_, T, M>,
        refined: &Refined,
        scales: &[f64],
    ) {
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
    }

    /// Rounds an answer to the element type; gives what that, and numbers too small for the caller's units, changed of
    /// the answer `x` in scaled units.
    fn round<T: Real, M: Passes<T>>(
        &mut self,
        group: &Group<'_, '_, T, M>,
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

    /// What is to be said of all targets, and what was done.
    pub(crate) fn complete<T: Real, M: Source>(
        &mut self,
        design: &Design<'_, T, M>,
        mut ledger: Ledger,
    ) -> Result<()> {
        if let Some(first) = design.constant().first() {
            let count = design.constant().len();
            ledger
                .explain(format!("{count} constant columns, the first of them column {first}, are left out"));
        }
        self.finish(design)?;
        self.constant = copied(design.constant(), "constant columns")?;
        self.explanation = ledger.sentences.join("; ");
        self.stages = ledger.stages;
        Ok(())
    }

    /// The constants of the fits, and what is to be said of all targets.
    pub(crate) fn finish<T: Real, M: Source>(&mut self, design: &Design<'_, T, M>) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::LEAST;
    use crate::matrix::{Dense, Matrix};
    use crate::parallel::Context;
    use crate::regression::methods::qr::qr;
    use crate::regression::problem::Problem;
    use crate::regression::testing::{Form, Instance, assert_near, assert_same, forms, product};

    fn output<T: Real>(d: usize, tolerance: Option<f64>) -> Output {
        Output::empty::<T>(d, 2, &Params { tolerance, ..Params::default() }).unwrap()
    }

    /// b - A x, with means after the weights.
    fn mean_residual(instance: &Instance, form: Form, x: &Mat<f64>, target: usize) -> f64 {
        let fit = product(&instance.a, x);
        let weight = |i: usize| if form.weighted { instance.weights[i] } else { 1.0 };
        let n = instance.a.nrows();
        let sum: f64 = (0..n).map(|i| weight(i) * (instance.b[(i, target)] - fit[(i, target)])).sum();
        sum / (0..n).map(weight).sum::<f64>()
    }

    #[test]
    fn answers_come_in_the_units_of_the_caller() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            let mut output = output::<f64>(5, None);
            instance.with_group(form, ridge, |group| {
                let factored = qr(group, LEAST).unwrap();
                output.accept(group, Method::Whitened, &factored, Some(44)).unwrap();
                assert_eq!(output.n_iter, factored.refined.passes);
                output.finish(group.design).unwrap();
            });
            let x = instance.minimiser(form, ridge);
            assert_same(&output.x, &x, &format!("{form:?}"));
            let ((a, b), what) = (instance.explicit(form), format!("{form:?}, ridge {ridge}"));
            let fit = product(&a, &x);
            for target in 0..2 {
                let squares = (0..60).map(|i| (b[(i, target)] - fit[(i, target)]).powi(2));
                assert_near(output.residual_norm[target], squares.sum::<f64>().sqrt(), &what);
                let intercept = match form.fit_intercept {
                    true => mean_residual(&instance, form, &x, target),
                    false => 0.0,
                };
                assert_near(output.intercept[target], intercept, &what);
                assert!(output.backward_error[target] > 0.0, "{what}");
                assert!(output.backward_error_bound[target] >= 1.4 * output.backward_error[target], "{what}");
            }
            assert_eq!(
                (output.rank, output.method, output.sketch_size),
                (Some(5), Method::Whitened, Some(44))
            );
            assert!(output.settled && output.condition > 1.0);
        }
    }

    /// Answers to both targets that have this backward error, and this bound on it.
    fn unfactored(x: &Mat<f64>, error: f64, bound: f64) -> Unfactored {
        let mut refined = Refined::starting_at(x).unwrap();
        refined.backward_error.fill(error);
        refined.residual_norm.fill(1.0);
        Unfactored {
            refined,
            iterations: 9,
            bound: vec![bound; 2],
            rigorous: Vec::new(),
            scale: Some(vec![4.0; x.nrows()]),
            norms: vec![1.0; x.nrows()],
            condition: 7.0,
            rank: None,
            cut: 0.0,
            rounding: 0.0,
            is_shortest: true,
        }
    }

    #[test]
    fn without_a_factor_nothing_is_said_of_the_rank() {
        let (instance, form) = (Instance::new(40, 3), forms().next().unwrap());
        let x = Mat::from_fn(3, 2, |j, target| (1 + j + target) as f64).unwrap();
        let mut output = output::<f64>(3, None);
        output.rank = Some(3);
        instance.with_group(form, 0.0, |group| {
            output.accept_unfactored(group, Method::Lsmr, unfactored(&x, 1e-17, 2e-17)).unwrap();
            let unit = group.design.target_scale(1);
            assert_eq!(output.x[(2, 1)] * unit, 4.0 / 4.0);
            output.finish(group.design).unwrap();
        });
        assert_eq!((output.rank, output.method, output.n_iter), (None, Method::Lsmr, 9));
        assert_eq!(output.condition, 7.0);
        assert_eq!(output.backward_error_bound, [2e-17 + ROUNDING; 2]);
        assert!(output.settled);
    }

    #[test]
    fn what_rounding_of_the_means_makes_of_an_error_is_part_of_its_bound_whatever_the_method() {
        let instance = Instance::new(40, 3);
        let x = Mat::from_fn(3, 2, |j, target| (1 + j + target) as f64).unwrap();
        for form in forms() {
            let mut output = output::<f64>(3, None);
            instance.with_group(form, 0.0, |group| {
                // Of columns that are next to nothing beside their means.
                let answers = Unfactored { norms: vec![1e-8; 3], ..unfactored(&x, 1e-17, 2e-17) };
                output.accept_unfactored(group, Method::Lsmr, answers).unwrap();
            });
            let is_wide = output.backward_error_bound.iter().all(|bound| *bound > 1e-15);
            assert_eq!(is_wide, form.fit_intercept, "{form:?}");
        }
    }

    #[test]
    fn a_target_is_missed_where_the_bound_is_above_it() {
        let (instance, form) = (Instance::new(40, 3), forms().next().unwrap());
        let x = Mat::identity(3).unwrap();
        let x = Mat::from_fn(3, 2, |i, j| x[(i, j)]).unwrap();
        let settled = |tolerance: Option<f64>, error: f64| {
            let mut output = output::<f64>(3, tolerance);
            instance.with_group(form, 0.0, |group| {
                output.accept_unfactored(group, Method::Lsmr, unfactored(&x, error, 2.0 * error)).unwrap();
                output.finish(group.design).unwrap();
            });
            output.settled
        };
        assert!(settled(Some(1e-6), 1e-7));
        assert!(!settled(Some(1e-6), 1e-5));
        assert!(!settled(None, 1e-7));
        assert!(!settled(Some(1e-6), f64::NAN));
    }

    #[test]
    fn rounding_to_single_precision_is_part_of_the_error() {
        let (a, b) = ([1.0f32, 2.0, 3.0, 5.0], [1.0f32; 8]);
        let problem = Problem {
            design: Matrix::Dense(Dense::column_major(&a, 4, 1)),
            targets: Dense::column_major(&b, 4, 2),
            weights: None,
            ridge: &[0.0],
            fit_intercept: false,
        };
        let context = Context::new(1);
        let design = Design::new(&context, &problem).unwrap();
        let group = Group {
            context: &context,
            design: &design,
            targets: &[0, 1],
            ridge: 0.0,
            tolerance: 1e-7,
            max_passes: 1,
        };
        let x = Mat::from_fn(1, 2, |_, target| [0.1, 0.5][target]).unwrap();
        let mut output = output::<f32>(1, None);
        output.accept_unfactored(&group, Method::Lsmr, unfactored(&x, 0.0, 0.0)).unwrap();
        let rounded = f64::from(0.1f32);
        assert_eq!(output.x[(0, 0)] * design.target_scale(0) * 4.0, rounded);
        assert_near(output.backward_error[0] * 1e9, (rounded - 0.1).abs() / 0.1 * 1e9, "change");
        assert_eq!(output.backward_error[1], 0.0);
        assert_eq!(output.backward_error_bound[0], output.backward_error[0] + ROUNDING);
    }

    #[test]
    fn an_answer_that_overflows_is_an_error_about_b() {
        let (instance, form) = (Instance::new(40, 3), forms().next().unwrap());
        let mut output = output::<f64>(3, None);
        output.x[(1, 1)] = f64::INFINITY;
        instance.with_group(form, 0.0, |group| {
            assert!(output.finish(group.design).unwrap_err().to_string().contains("`b`"));
        });
    }
}
