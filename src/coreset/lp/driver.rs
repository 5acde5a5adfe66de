//! The order of things: what is asked, which solver it goes to, what was measured of the answer.

use super::answer::{Answer, Gap};
use super::chebyshev::chebyshev;
use super::design::{Prepared, Problem, Returned};
use super::frisch_newton::Ask;
use super::glob::{Globbing, on_all_rows};
use super::measure::{Loss, Measured, measure};
use super::newton::newton;
use super::tiles::{PURPOSE, Tiles};
use crate::error::Result;
use crate::matrix::Real;
use crate::memory::{collected, copied, gathered, push};
use crate::parallel::Context;

/// How all rows come to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By globbing, where that saves anything.
    Exact,
    /// All of them in every iteration.
    Full,
}

impl Method {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Full => "full",
        }
    }
}

/// How to solve.
#[derive(Clone, Debug)]
pub struct Params {
    /// Which rows the iterations are about.
    pub method: Method,
    /// Gap beside the objective that will do.
    pub tolerance: f64,
    /// Most iterations of one solver.
    pub max_iter: usize,
    /// Of the sample that tells which rows to glob.
    pub seed: u64,
}

/// An answer, and what was measured of it.
#[derive(Debug)]
pub struct Output {
    /// Coefficients.
    pub x: Vec<f64>,
    /// The constant, zero without one.
    pub intercept: f64,
    /// The weighted sum of losses with the penalty, or the p-norm of the residual.
    pub objective: f64,
    /// The objective is above its minimum by no more than this,
    pub gap: f64,
    /// and what rounding may have hidden of it.
    pub rounding: f64,
    /// Iterations of all solvers together.
    pub n_iter: usize,
    /// Rows that the iterations were about.
    pub kept: usize,
    /// Rounds of globbing in which signs were found wrong.
    pub rounds: usize,
    /// Rank of the rows.
    pub rank: usize,
    /// No more than the norm of the targets.
    pub size: f64,
}

/// Minimises the weighted sums of τ r for r > 0 and (τ - 1) r for r < 0 for every level τ.
pub fn quantiles<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    levels: &[f64],
    params: &Params,
) -> Result<Vec<Output>> {
    let prepared = Prepared::new(context, problem, 1.0, false)?;
    let globbing = match params.method {
        Method::Exact => Globbing::new(context, &prepared, params.seed)?,
        Method::Full => None,
    };
    let Params { tolerance, max_iter, .. } = *params;
    let mut outputs = Vec::new();
    for levels in levels.chunks(TOGETHER) {
        let ask = |&level: &f64| Ask { level, tolerance, max_iter, to_vertex: true };
        let asks = collected(levels.iter().map(ask), PURPOSE)?;
        let answers = match &globbing {
            Some(globbing) => globbing.solve(context, &asks)?,
            None => {
                let each = asks.iter().map(|ask| on_all_rows(context, &prepared, &prepared.start, ask));
                gathered(each, "answers")?
            }
        };
        for (answer, &level) in answers.into_iter().zip(levels) {
            let mut at = prepared.returned(&answer.x)?;
            if problem.penalty > 0.0 {
                at = with_zeros(context, &prepared, problem.penalty, at, Loss::Level(level))?;
            }
            push(&mut outputs, output(context, &prepared, at, answer, Loss::Level(level))?, "answers")?;
        }
    }
    Ok(outputs)
}

/// Levels that share reads of all rows, and eight bytes a row.
const TOGETHER: usize = 8;

/// Shares of the targets: what is beside a penalty and fits no more than that may as well be zero.
const ZEROS: [f64; 3] = [1e-7, 1e-10, 1e-13];

/// The same with zeros for coefficients that are no more than rounding, or what a solver left, as long as that is no worse:
/// where a constant fits as well as its neighbours there is no vertex to have them from.
fn with_zeros<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    penalty: f64,
    at: Returned,
    loss: Loss,
) -> Result<Returned> {
    let measure = |at: &Returned| measure(context, &prepared.design, at, loss);
    for share in ZEROS {
        let most = share * prepared.scale.target * prepared.heaviest / penalty;
        let is_small = |j: usize| at.x[j] != 0.0 && at.x[j].abs() <= most;
        if !(0..at.coefficients.len()).any(is_small) {
            break;
        }
        let (mut coefficients, mut x, mut sizes) =
            (copied(&at.coefficients, PURPOSE)?, copied(&at.x, PURPOSE)?, copied(&at.sizes, PURPOSE)?);
        for j in (0..at.coefficients.len()).filter(|&j| is_small(j)) {
            (coefficients[j], x[j], sizes[j]) = (0.0, 0.0, 0.0);
        }
        let zeroed = Returned { coefficients, intercept: at.intercept, x, sizes };
        let before = measure(&at)?;
        if measure(&zeroed)?.objective <= before.objective + before.rounding {
            return Ok(zeroed);
        }
    }
    Ok(at)
}

/// Minimises |b - A x|_p, weighted, for 1 < p <= infinity.
pub fn p_norm<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    p: f64,
    params: &Params,
) -> Result<Output> {
    let prepared = Prepared::new(context, problem, p, false)?;
    let Params { tolerance, max_iter, .. } = *params;
    let answer = match p.is_finite() {
        true => newton(context, &prepared, copied(&prepared.start, PURPOSE)?, p, tolerance, max_iter)?,
        false => chebyshev(context, &prepared, tolerance, max_iter)?,
    };
    let at = prepared.returned(&answer.x)?;
    output(context, &prepared, at, answer, Loss::Power(p))
}

/// In the units of the caller, measured at what the caller gets.
pub(super) fn output<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    at: Returned,
    answer: Answer,
    loss: Loss,
) -> Result<Output> {
    let p = if let Loss::Power(p) = loss { p } else { 1.0 };
    let unit = prepared.unit * prepared.heaviest.powf(p.recip());
    let Gap { objective: of_solver, gap, rounding: of_gap } = answer.gap;
    let is_measured = matches!(loss, Loss::Level(_)) && prepared.is_stated(&at, &answer.x);
    let Measured { objective, rounding } = match is_measured {
        true => Measured { objective: of_solver, rounding: of_gap },
        false => measure(context, &prepared.design, &at, loss)?,
    };
    // What multipliers prove is rounded as residuals are.
    let (least, rounding) = (of_solver - gap, 2.0 * rounding + of_gap);
    Ok(Output {
        x: at.coefficients,
        intercept: at.intercept,
        objective: objective * unit,
        gap: if objective.is_finite() { (objective - least) * unit } else { f64::INFINITY },
        rounding: rounding * unit,
        n_iter: answer.n_iter,
        kept: answer.kept,
        rounds: answer.rounds,
        rank: answer.x.len(),
        size: prepared.scale.size(prepared.design.nrows(), p) * unit,
    })
}
