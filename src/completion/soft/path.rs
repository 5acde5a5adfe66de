//! The driver: penalties from the largest on, each from the answer of the one before.

use super::alternating::{Patience, alternate};
use super::gap::{Norm, gap, norm};
use super::iterated::iterate;
use super::solution::{Solution, residuals, values_of};
use crate::completion::errors::{HeldOut, held_out_errors};
use crate::completion::half::Penalty;
use crate::completion::model::Model;
use crate::completion::observations::{Observations, Part};
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::push;
use crate::parallel::Context;

/// Steps of the path in a row that do not improve on what is held out, before the end.
const ENOUGH: usize = 2;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Params {
    /// Most components.
    pub rank: usize,
    /// Penalties, over the largest, descending.
    pub regs: Vec<f64>,
    /// Whether the one with the smallest error on what is held out is wanted, not the last.
    pub is_open: bool,
    /// Whether whole matrices are thresholded, rather than factors alternated.
    pub whole: bool,
    /// Most sweeps for a penalty.
    pub max_iter: usize,
    /// Decrease of the objective, relative, below which these end.
    pub tol: f64,
    /// The part that is held out; zero: none.
    pub validation_fraction: f64,
    /// Of what is held out, and of new columns.
    pub seed: u64,
}

/// One penalty of a path.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The penalty, over the largest.
    pub reg: f64,
    /// Components of the answer.
    pub rank: usize,
    /// Sweeps that it took.
    pub sweeps: usize,
    /// Error on what is held out; NaN: nothing is.
    pub rmse: f64,
}

/// What was found.
pub struct Output {
    /// The model.
    pub model: Model<f64>,
    /// Singular values, in units of the values.
    pub values: Vec<f64>,
    /// The largest penalty, in these units.
    pub largest: f64,
    /// The penalty, over that.
    pub reg: f64,
    /// All that were tried, errors in units of the values.
    pub path: Vec<Step>,
    /// Whether sweeps ended by themselves, or no more is left to gain than they would leave.
    pub converged: bool,
    /// What is left to gain, over the objective: estimate and bound.
    pub gap: [f64; 2],
    /// What the model left of what was held out, in units of the values, before it saw it.
    pub held_out: Option<HeldOut>,
}

/// Fits a path to what was observed.
pub fn fit(context: &Context, mut observed: Observations<f64>, params: &Params) -> Result<Output> {
    let mut held_out = 0;
    if params.validation_fraction > 0.0 {
        held_out = observed.hold_out(context, params.validation_fraction, params.seed)?;
    }
    let walk = Walk { context, observed: &observed, params };
    let (mut wanted, mut found, mut path) = (params.regs.len(), None, Vec::new());
    if held_out > 0 {
        let watched = walk.along(Part::Training, wanted)?;
        let best = watched.best.filter(|_| params.is_open).unwrap_or(watched.path.len() - 1);
        (wanted, found, path) = (best + 1, watched.held_out[best], watched.path);
    }
    let last = walk.along(Part::All, wanted)?;
    let reg = params.regs[wanted - 1];
    if path.is_empty() {
        path = last.path;
    }
    let lambda = reg * last.largest.bound;
    let gap = walk.gap(&last.solution, lambda)?;
    // However few sweeps there were.
    let converged = last.converged || gap[0] <= params.tol;
    let rank = last.solution.values.len().max(1);
    let (rows, columns) = last.solution.factors(rank)?;
    let (scale, mut values) = (observed.scale, last.solution.values);
    values.iter_mut().for_each(|value| *value *= scale);
    path.iter_mut().for_each(|step| step.rmse *= scale);
    let penalty = Penalty { factor: lambda, bias: None, exponent: 0.0 };
    let model = Model::new(context, observed, rows, columns, penalty)?;
    let held_out = found.map(|held_out| held_out.times(scale));
    Ok(Output { model, values, largest: last.largest.bound * scale, reg, path, converged, gap, held_out })
}

struct Walk<'a> {
    context: &'a Context<'a>,
    observed: &'a Observations<f64>,
    params: &'a Params,
}

/// A path to its end.
struct Walked {
    largest: Norm,
    solution: Solution,
    path: Vec<Step>,
    held_out: Vec<Option<HeldOut>>,
    /// The step with the smallest error on what is held out.
    best: Option<usize>,
    converged: bool,
}

impl Walk<'_> {
    /// The answers for the first penalties, to a part of the entries; if that is not all, until the others speak against it.
    fn along(&self, part: Part, count: usize) -> Result<Walked> {
        let Self { context, observed, params } = *self;
        let lines = &observed.rows;
        let values = values_of(lines, part)?;
        // Above the norm, so that nothing is left at the largest penalty.
        let largest = norm(context, &lines.matrix().with_values(&values), params.seed)?;
        let empty = |count: usize| Mat::zeros(count, 0);
        let solution = Solution {
            left: empty(lines.count())?,
            values: Vec::new(),
            right: empty(observed.columns.count())?,
        };
        let mut walked =
            Walked { largest, solution, path: Vec::new(), held_out: Vec::new(), best: None, converged: true };
        for (number, &reg) in params.regs.iter().take(count).enumerate() {
            let sweeps = self.step(&mut walked, reg, part)?;
            let (rank, mut rmse) = (walked.solution.values.len(), f64::NAN);
            let mut found = None;
            if part != Part::All {
                let (rows, columns) = walked.solution.factors(params.rank)?;
                let left = held_out_errors(context, observed, (&rows, &columns), |_, _| true)?;
                (rmse, found) = (left.rmse, Some(left));
                let least = walked.best.map_or(f64::INFINITY, |best| walked.path[best].rmse);
                walked.best = if rmse < least { Some(number) } else { walked.best };
            }
            push(&mut walked.path, Step { reg, rank, sweeps, rmse }, "a path of penalties")?;
            push(&mut walked.held_out, found, "a path of penalties")?;
            context.progress(number + 1, count, &[("reg", reg), ("rmse", rmse * observed.scale)])?;
            if params.is_open && walked.best.is_some_and(|best| number >= best + ENOUGH) {
                break;
            }
        }
        Ok(walked)
    }

    /// To the answer of one penalty; the sweeps that took.
    fn step(&self, walked: &mut Walked, reg: f64, part: Part) -> Result<usize> {
        let Self { context, observed, params } = *self;
        let lambda = reg * walked.largest.bound;
        if reg >= 1.0 {
            return Ok(0);
        }
        let patience = Patience { max_iter: params.max_iter, tol: params.tol };
        let empty = Solution { left: Mat::zeros(0, 0)?, values: Vec::new(), right: Mat::zeros(0, 0)? };
        let from = std::mem::replace(&mut walked.solution, empty);
        let at = (params.rank, lambda);
        let sweeps;
        (walked.solution, sweeps) = match params.whole {
            true => iterate(context, (&observed.rows, part), from, at, patience)?,
            false => alternate(context, (observed, part), &from, at, patience, params.seed)?,
        };
        walked.converged = sweeps < params.max_iter;
        Ok(sweeps)
    }

    /// What is left to gain on all entries.
    fn gap(&self, solution: &Solution, lambda: f64) -> Result<[f64; 2]> {
        let lines = &self.observed.rows;
        let (rows, columns) = solution.factors(solution.values.len().max(1))?;
        let left = residuals(self.context, lines, Part::All, (&rows, &columns))?;
        let values = values_of(lines, Part::All)?;
        let nuclear = solution.values.iter().sum();
        let norm = norm(self.context, &lines.matrix().with_values(&left), self.params.seed ^ 1)?;
        Ok([norm.estimate, norm.bound].map(|norm| gap(&values, &left, norm, lambda, nuclear)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};

    const SHAPE: (usize, usize) = (60, 45);

    fn params(whole: bool) -> Params {
        Params {
            rank: 30,
            regs: vec![0.5, 0.25, 0.12],
            is_open: false,
            whole,
            max_iter: 2000,
            tol: 1e-12,
            validation_fraction: 0.0,
            seed: 3,
        }
    }

    fn run(threads: usize, params: &Params) -> Output {
        let context = Context::new(threads);
        fit(&context, observed(&context, SHAPE, &low_rank(SHAPE, 3, 0.5, 0.2, 1)), params).unwrap()
    }

    #[test]
    fn both_ways_end_at_the_least_and_the_gap_tells() {
        let (factors, whole) = (run(1, &params(false)), run(1, &params(true)));
        assert!(factors.gap[0] < 1e-6 && whole.gap[0] < 1e-6, "{:?} {:?}", factors.gap, whole.gap);
        assert!(factors.gap[0] <= factors.gap[1] && factors.gap[1] < 0.1);
        assert_eq!(factors.values.len(), whole.values.len());
        for (one, other) in factors.values.iter().zip(&whole.values) {
            assert!((one - other).abs() < 1e-4 * factors.values[0], "{one} {other}");
        }
        let rows: Vec<usize> = (0..SHAPE.0).collect();
        let [one, other] = [&factors, &whole]
            .map(|output| output.model.predict_rows(&Context::new(1), &rows, false).unwrap());
        assert!(one.iter().zip(&*other).all(|(one, other)| (one - other).abs() < 1e-3));
        assert!(factors.path.is_sorted_by(|one, other| one.rank <= other.rank));
        let hasty = run(1, &Params { max_iter: 2, ..params(false) });
        assert!(hasty.gap[0] > 10.0 * factors.gap[0] && !hasty.converged);
    }

    #[test]
    fn at_the_largest_penalty_there_is_nothing() {
        let output = run(1, &Params { regs: vec![1.0], ..params(false) });
        assert!(output.values.is_empty() && output.gap[0] < 1e-12);
        let output = run(1, &Params { regs: vec![0.97], ..params(false) });
        assert!(output.values.len() == 1, "{:?}", output.values);
    }

    #[test]
    fn the_penalty_with_the_smallest_error_is_found_and_no_bit_depends_on_threads() {
        let regs = (0..12).map(|k| 0.6f64.powi(k)).collect();
        let params = Params {
            regs,
            is_open: true,
            validation_fraction: 0.1,
            max_iter: 50,
            tol: 1e-5,
            ..params(false)
        };
        let (one, other) = (run(1, &params), run(3, &params));
        assert_eq!(one.values, other.values);
        assert_eq!(*one.model.rows.rows, *other.model.rows.rows);
        let least = one.path.iter().map(|step| step.rmse).fold(f64::INFINITY, f64::min);
        let chosen = one.path.iter().find(|step| step.reg == one.reg).unwrap();
        assert!(chosen.rmse == least && one.reg < 0.7 && one.path.len() < 12, "{:?}", one.path);
        assert!((one.held_out.unwrap().rmse / least - 1.0).abs() < 1e-12);
    }
}
