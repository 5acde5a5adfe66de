//! How far an answer is from the minimiser: a bound for every coefficient.
//!
//! Let H = A'A + ridge and g = A'(b - A x) - ridge x. The minimiser is x + H^-1 g exactly, and where H >= low R'R (see
//! `spectrum`), for every j
//!
//! |x_j - x*_j| <= |R'^-1 e_j| |R'^-1 g| / low.
//!
//! With an R close to that of A the vector (R'R)^-1 g is also an estimate of x* - x. Both are about the numbers in A, b
//! and the weights as they stand; g is summed in twice the working precision (`exact`), or it would say nothing. For a
//! truncated factor x* is the best of all x + v, v in the space of the directions that were kept.
//!
//! Products with A: |A (x - x*)| <= |R'^-1 g| / sqrt(low), which bounds how far the residual is from the smallest.

use super::exact::exact_pass;
use super::refine::{Group, Scaled};
use super::spectrum::{FAILURE, Spectrum, USELESS, spectrum};
use crate::certify::norm;
use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::random::Stream;
use crate::simd::{Element, Extended};

/// What is known about the distance of answers from the minimisers; NaN where there is no honest figure.
pub struct ForwardError {
    /// Bound on |x_j - x*_j|, d x k.
    pub coordinate_bound: Mat<f64>,
    /// Estimate of x - x*, d x k.
    pub error_estimate: Mat<f64>,
    /// Bound on |W^(1/2) A (x - x*)|, and with a ridge on its penalty's part as well.
    pub fit_bound: Vec<f64>,
    /// Bounds on |W^(1/2) (b - A x*)|.
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

/// Targets for which one read of A is made.
const SIDES: usize = 16;
/// Purpose of the random start.
const START: u8 = 7;

impl ForwardError {
    /// Of answers that are zero because their targets are.
    pub(crate) fn none(d: usize, k: usize) -> Result<Self> {
        Ok(Self {
            coordinate_bound: Mat::zeros(d, k)?,
            error_estimate: Mat::zeros(d, k)?,
            fit_bound: vec![0.0; k],
            residual_bounds: vec![[0.0; 2]; k],
            sensitivity: vec![1.0; k],
            confidence: 1.0 - FAILURE,
            low: 1.0,
            objection: None,
        })
    }

    /// Measures the answers `x` (d x all targets, in the caller's units) to the targets of one group, whose factor has
    /// this condition; gives the reads of A that it took.
    pub(crate) fn measure<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        condition: f64,
        x: &Mat<f64>,
        seed: u64,
    ) -> Result<usize> {
        let Spectrum { low, steps } = spectrum(group, scaled, condition, Stream::new(seed, 0, START))?;
        self.low = self.low.min(low);
        let mut reads = steps;
        let certain = low > USELESS;
        if !certain {
            self.objection = Some(objection(condition, low));
        }
        let spread = scaled.factor.inverse_row_norms()?;
        for targets in group.targets.chunks(SIDES) {
            reads += 1;
            let part = Group { targets, ..*group };
            let exact = Exact::of(&part, scaled, x)?;
            let whitened = scaled.factor.whiten(&exact.gradient)?;
            let step = scaled.factor.unwhiten(&whitened)?;
            for (side, &target) in targets.iter().enumerate() {
                let size = norm(whitened.col(side));
                let known = if certain && size.is_finite() { 1.0 } else { f64::NAN };
                let to_caller =
                    |j: usize| group.design.column_scale(j) / scaled.scale[j] / group.design.target_scale(target);
                for j in 0..spread.len() {
                    let unit = known * to_caller(j);
                    let reach = if scaled.empty.contains(&j) { 0.0 } else { spread[j] };
                    self.coordinate_bound[(j, target)] = unit * reach * size / low;
                    self.error_estimate[(j, target)] = -unit * step[(j, side)];
                }
                let unit = known / group.design.target_scale(target);
                let (fit, residual) = (size / low.sqrt(), exact.residual_norm[side]);
                self.fit_bound[target] = unit * fit;
                let range = match group.ridge {
                    0.0 => [((residual - fit).max(0.0) * (residual + fit)).sqrt(), residual],
                    _ => [(residual - fit).max(0.0), residual + fit],
                };
                self.residual_bounds[target] = range.map(|bound| unit * bound);
                let size_of_fit = scaled.factor.norm() * exact.solution_norm[side];
                self.sensitivity[target] = condition + condition * condition * residual / size_of_fit;
            }
        }
        Ok(reads)
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
struct Exact {
    /// In scaled units, with the ridge.
    gradient: Mat<f64>,
    /// |W^(1/2) (b - A x)|
    residual_norm: Vec<f64>,
    /// |x| in scaled units.
    solution_norm: Vec<f64>,
}

impl Exact {
    fn of<T: Real + Element>(group: &Group<'_, '_, T>, scaled: &Scaled, x: &Mat<f64>) -> Result<Self> {
        let (design, targets) = (group.design, group.targets);
        let unscaled = Mat::from_fn(x.nrows(), targets.len(), |j, side| {
            x[(j, targets[side])] * design.target_scale(targets[side]) / design.column_scale(j)
        })?;
        let multiple = |squares: &mut Vec<f64>, row: usize, side: usize, image: Extended| {
            let mut residual = design.exact_target(row, targets[side]);
            residual.add_multiple(-1.0, image);
            squares[side] += (design.root_weight(row) * residual.value()).powi(2);
            let mut weighted = Extended::default();
            weighted.add_multiple(design.weight(row), residual);
            weighted
        };
        let (sums, squares) =
            exact_pass(group.context, design, &unscaled, || vec![0.0; targets.len()], multiple)?;
        let mut gradient = Mat::zeros(x.nrows(), targets.len())?;
        for (side, sums) in sums.into_iter().enumerate() {
            for (j, mut sum) in sums.into_iter().enumerate() {
                let scale = design.column_scale(j);
                sum.add_multiple(-unscaled[(j, side)], Extended::product(group.ridge * scale, scale));
                gradient[(j, side)] = sum.value() / scaled.scale[j];
            }
        }
        let total = |side: usize| squares.iter().map(|squares| squares[side]).sum::<f64>();
        let size = |side: usize| {
            norm(&unscaled.col(side).iter().zip(&scaled.scale).map(|(x, s)| x * s).collect::<Vec<_>>())
        };
        Ok(Self {
            gradient,
            residual_norm: (0..targets.len()).map(|side| total(side).sqrt()).collect(),
            solution_norm: (0..targets.len()).map(size).collect(),
        })
    }
}
