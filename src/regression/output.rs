//! Answers in the caller's units, and what is known of them.

use super::covariance::Inference;
use super::design::Design;
use super::forward::ForwardError;
use super::lsmr::Unfactored;
use super::plan::{Method, Params};
use super::refine::{Group, Refined, Scaled};
use crate::certify::{backward_error_of_change, norm};
use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::simd::Element;

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
    /// The method whose answer this is.
    pub method: Method,
    /// Refinements, or inner iterations, of the method whose answer this is.
    pub n_iter: usize,
    /// Rows of the sketch, if there was one.
    pub sketch_size: Option<usize>,
    /// Estimated backward error of every answer, relative to |A|_F, columns of A scaled to norm one.
    pub backward_error: Vec<f64>,
    /// Bound on the true backward error.
    pub backward_error_bound: Vec<f64>,
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
    /// False if no method reached the target and the last answer is given all the same.
    pub settled: bool,
    /// Sketches drawn after the first.
    pub redraws: usize,
    /// What covariances are made of, if the factor was to be kept.
    pub inference: Option<Inference>,
    /// How far the answers are from the minimisers, if that was to be bounded.
    pub forward: Option<ForwardError>,
}

/// Something done on the way to the answer.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// Reads of the whole of A; of a linear operator, products with it and its transpose.
    pub reads: usize,
}

impl Output {
    pub(super) fn empty<T: Real>(d: usize, k: usize, params: &Params) -> Result<Self> {
        Ok(Self {
            x: Mat::zeros(d, k)?,
            intercept: vec![0.0; k],
            residual_norm: vec![0.0; k],
            rank: None,
            method: params.method,
            n_iter: 0,
            sketch_size: None,
            backward_error: vec![0.0; k],
            backward_error_bound: vec![0.0; k],
            condition: 1.0,
            target: params.tolerance.unwrap_or(T::UNIT_ROUNDOFF),
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
    pub(super) fn accept<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        method: Method,
        refined: Refined,
        scaled: &Scaled,
        condition: f64,
        rank: usize,
        sketch_size: Option<usize>,
    ) {
        self.take(group, &refined, &scaled.scale);
        // The estimate is within sqrt(2) of the truth for an exact factor; the factor is off by the rate.
        let looseness = 2f64.sqrt() / (1.0 - refined.rate.clamp(0.0, 0.5));
        for (position, &target) in group.targets.iter().enumerate() {
            let rounding = self.round::<T>(group, target, refined.x.col(position), scaled);
            self.backward_error[target] = refined.backward_error[position] + rounding;
            self.backward_error_bound[target] = refined.backward_error[position] * looseness + rounding;
        }
        self.rank = Some(rank);
        self.method = method;
        self.sketch_size = sketch_size;
        self.condition = self.condition.max(condition);
    }

    /// Takes over the answers of one group, their errors measured without a factor.
    pub(super) fn accept_unfactored<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        answers: Unfactored,
    ) {
        self.take(group, &answers.refined, &answers.scale);
        for (position, &target) in group.targets.iter().enumerate() {
            self.backward_error[target] = answers.refined.backward_error[position];
            self.backward_error_bound[target] = answers.bound[position];
        }
        self.rank = None;
        self.method = Method::Lsmr;
        self.condition = self.condition.max(answers.condition);
    }

    /// The answers of one group in the caller's units.
    fn take<T: Real + Element>(&mut self, group: &Group<'_, '_, T>, refined: &Refined, scales: &[f64]) {
        for (position, &target) in group.targets.iter().enumerate() {
            let scale = group.design.target_scale(target);
            let mut penalty = 0.0;
            for (j, out) in self.x.col_mut(target).iter_mut().enumerate() {
                let x = refined.x[(j, position)] / scales[j];
                penalty += (group.root_ridge(j) * x).powi(2);
                *out = x / scale * group.design.column_scale(j);
            }
            let squares = refined.residual_norm[position].powi(2) - penalty;
            self.residual_norm[target] = squares.max(0.0).sqrt() / scale;
            self.intercept[target] = refined.residual_total[position] / scale;
        }
        self.n_iter = self.n_iter.max(refined.passes);
    }

    /// Rounds an answer to the element type; gives what that adds to its backward error at most.
    fn round<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        target: usize,
        x: &[f64],
        scaled: &Scaled,
    ) -> f64 {
        let unit =
            |j: usize| scaled.scale[j] * group.design.target_scale(target) / group.design.column_scale(j);
        let change = |(j, out): (usize, &mut f64)| {
            let exact = *out;
            *out = T::from_f64(exact).to_f64();
            (*out - exact) * unit(j)
        };
        let dx: Vec<f64> = self.x.col_mut(target).iter_mut().enumerate().map(change).collect();
        if dx.iter().all(|&dx| dx == 0.0) {
            return 0.0;
        }
        backward_error_of_change(&scaled.factor, &dx, norm(x), group.design.target_norm(target))
    }

    /// The constants of the fits.
    pub(super) fn finish<T: Real + Element>(&mut self, design: &Design<'_, T>) {
        if let Some(means) = design.means() {
            let total_weight = design.total_weight();
            for (target, intercept) in self.intercept.iter_mut().enumerate() {
                // What is left of the mean residual is the rounding of the means.
                let fitted: f64 = means.iter().zip(self.x.col(target)).map(|(mean, x)| mean * x).sum();
                *intercept = design.target_means()[target] - fitted + *intercept / total_weight;
            }
        }
    }
}
