//! The driver without noise: the matrix of that rank that the entries determine, to the accuracy of the arithmetic.
//!
//! Lines that are not determined are left out, and solved for in the end. Sweeps begin with a penalty that falls by a constant
//! factor and is zero from some sweep on: directions with small singular values come in one after the other, which without
//! it are not found where the matrix is ill-conditioned or entries are hardly more than unknowns. Or components are added one
//! by one, each the leading singular vector of what the others leave. Where sweeps without a penalty are slow, Gauss-Newton
//! steps take their place as long as they make the residual much smaller. The end is where that, which is measured entry by
//! entry, is small enough, does not fall any more, or grows.

use super::determined::{Determined, UNDETERMINED};
use super::diagnosis::{TOO_LARGE, diagnose};
use super::errors::{errors, held_out_errors};
use super::factors::Factor;
use super::fit::{Continuation, Output, Params, Solver, Status};
use super::freedom::Parts;
use super::half::{Method, Penalty, half_sweep, solve_lines};
use super::least_norm::least_norm;
use super::model::{Model, Seen};
use super::newton::newton_step;
use super::observations::{Lines, Observations, Part, is_held_out};
use super::scaled::scaled_step;
use super::start::{Search, at_random, grow, largest_singular_value, spectral};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::memory::{collected, push};
use crate::parallel::Context;

/// The first penalty, over the largest singular value of the entries.
const FIRST: f64 = 0.3;
/// Of a penalty, what the next one is.
const DECAY: f64 = 0.7;
/// Sweeps for each component that is added.
const FOR_A_COMPONENT: usize = 5;
/// A residual that is no smaller than so much of the one before has not fallen.
const STILL: f64 = 0.99;
/// It may do so in as many sweeps.
const PATIENCE: usize = 20;
/// One that has fallen by less, in as many sweeps in a row, falls slowly.
const SLOW: (f64, usize) = (0.9, 10);
/// The first damping of Gauss-Newton steps, what it is divided by after a good one and multiplied by after another.
const DAMPING: (f64, f64) = (1e-2, 10.0);
/// What a good one leaves of the residual at most, and how many others may be.
const GOOD: (f64, usize) = (0.9, 3);
/// With a penalty in the end, a residual that changes by so little is that of the fit.
const SETTLED: f64 = 1e-6;
/// Growth of the residual that no sound fit has.
const GROWTH: f64 = 10.0;
/// What memory is for.
const HISTORY: &str = "the history of a fit";

/// Factors, and the squared residual after each sweep, relative to the squares of the values.
struct Fit<T> {
    rows: Factor<T>,
    columns: Factor<T>,
    history: Vec<f64>,
    status: Status,
}

/// Fits a matrix of low rank to what was observed, in the end without a penalty unless one is asked for.
pub fn fit_exactly<T: Scalar>(
    context: &Context,
    mut observed: Observations<T>,
    params: &Params,
) -> Result<Output<T>> {
    let seen = Seen::of(context, &observed.rows)?;
    if params.reg.unwrap_or(0.0) == 0.0 {
        // Without noise the answer does not depend on them; how far sweeps come in double precision does.
        observed.count_alike();
    }
    let width = observed.columns.count();
    let core = |rank: usize, kept: &dyn Fn(usize, usize) -> bool| {
        Determined::of(context, (&seen.ends, &seen.columns), width, rank, kept)
    };
    let mut params = params.clone();
    if params.rank_auto {
        params.rank = find_rank(context, &mut observed, &params, |rank| core(rank, &|_, _| true))?;
    }
    let (mut first, mut held_out) = (None, None);
    if params.validation_fraction > 0.0 {
        let kept = |i: usize, j: usize| !is_held_out(params.validation_fraction, params.seed, i, j);
        let core = core(params.rank, &kept)?;
        observed.keep(context, |i, j| kept(i, j) && core.holds(i, j))?;
        let run = Run::new(context, &observed, &params, &core)?;
        let fit = run.fit()?;
        let tested = |i, j| !kept(i, j) && core.holds(i, j);
        let factors = (&fit.rows, &fit.columns);
        held_out = Some(held_out_errors(context, &observed, factors, tested)?.times(observed.scale));
        first = Some(fit);
    }
    let mut determined = core(params.rank, &|_, _| true)?;
    observed.keep(context, |i, j| determined.holds(i, j))?;
    let run = Run::new(context, &observed, &params, &determined)?;
    let mut fit = match first {
        Some(fit) if fit.status == Status::Converged => run.sweeps(fit, 0)?,
        _ => run.fit()?,
    };
    let penalty = run.penalty(0.0);
    if params.polish {
        run.polish(&mut fit, penalty)?;
    }
    if fit.rows.keep_finite() | fit.columns.keep_finite() {
        fit.status = Status::Diverged;
    }
    let mut residual = (run.residual(&fit)?, run.rounding(&fit));
    let diagnosis = diagnose(context, &observed, Part::Training, (&fit.rows, &fit.columns), penalty)?;
    if diagnosis.size > TOO_LARGE && fit.status != Status::Converged {
        fit.status = Status::Diverged;
    }
    if fit.status != Status::Diverged {
        determined.look(context, (&seen.ends, &seen.columns), (&fit.rows, &fit.columns))?;
    }
    if determined.parts == 0 {
        (fit.status, residual) = (Status::Stalled, (f64::NAN, f64::NAN));
    }
    let Fit { mut rows, mut columns, history, status } = fit;
    let others = columns.copy()?;
    let marks = (&determined.columns[..], &determined.rows[..]);
    undetermined(context, &observed.columns, marks, (&mut columns, &rows), penalty)?;
    undetermined(context, &observed.rows, (marks.1, marks.0), (&mut rows, &others), penalty)?;
    // Rows that agree with few entries may have to be very long for that.
    rows.keep_finite();
    columns.keep_finite();
    let parts = determined.parts;
    let mut model = Model::new(context, observed, rows, columns, penalty)?;
    model.determined = Some(determined);
    Ok(Output {
        model,
        reg: params.reg.unwrap_or(0.0),
        path: Vec::new(),
        objective: history,
        validation: Vec::new(),
        held_out,
        status,
        residual: Some(residual),
        diagnosis,
        parts,
    })
}

/// Sets the rows of x that entries do not determine, by those of their entries whose other line is: to the shortest that agree
/// with these, or to what the penalty makes of them.
fn undetermined<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    (own, other): (&[i32], &[i32]),
    (x, y): (&mut Factor<T>, &Factor<T>),
    penalty: Penalty,
) -> Result<()> {
    if penalty.factor == 0.0 {
        return least_norm(context, lines, (own, other), (x, y));
    }
    // Rows of y that are not determined are zero, so that entries in them tell nothing.
    let wanted = collected(own.iter().map(|mark| *mark == UNDETERMINED), "lines that are not determined")?;
    solve_lines(context, lines, (x, y), penalty, Method::Exact, &wanted)
}

/// The least rank with which entries are met, by a fit of each. Where none is, the one with which the residual has fallen
/// most: with all of the matrix there, there is nothing for it to fall to but zero or noise.
fn find_rank<T: Scalar>(
    context: &Context,
    observed: &mut Observations<T>,
    params: &Params,
    core: impl Fn(usize) -> Result<Determined>,
) -> Result<usize> {
    let (mut before, mut best) = (1.0, (f64::INFINITY, 1));
    for rank in 1..=params.rank {
        let determined = core(rank)?;
        if determined.parts == 0 {
            break;
        }
        observed.keep(context, |i, j| determined.holds(i, j))?;
        let of_rank = Params { rank, ..params.clone() };
        let run = Run::new(context, observed, &of_rank, &determined)?;
        let fit = run.fit()?;
        let residual = run.residual(&fit)?;
        if run.is_met(&fit, residual) {
            return Ok(rank);
        }
        context.progress(rank, params.rank, &[("residual", residual)])?;
        if residual / before < best.0 {
            best = (residual / before, rank);
        }
        before = residual;
    }
    Ok(best.1)
}

struct Run<'a, T> {
    context: &'a Context<'a>,
    observed: &'a Observations<T>,
    params: &'a Params,
    core: &'a Determined,
    /// The sum of squares of the values.
    total: f64,
}

impl<'a, T: Scalar> Run<'a, T> {
    fn new(
        context: &'a Context<'a>,
        observed: &'a Observations<T>,
        params: &'a Params,
        core: &'a Determined,
    ) -> Result<Self> {
        let none = (Factor::zeros(observed.rows.count(), 1)?, Factor::zeros(observed.columns.count(), 1)?);
        let total = errors(context, &observed.rows, Part::Training, (&none.0, &none.1))?.squares;
        Ok(Self { context, observed, params, core, total: if total > 0.0 { total } else { 1.0 } })
    }

    /// From the start to the end.
    fn fit(&self) -> Result<Fit<T>> {
        match self.params.continuation {
            Continuation::None => self.sweeps(self.start(self.params.rank)?, 0),
            Continuation::Ridge => {
                let steps = self.params.tol.max(T::UNIT_ROUNDOFF).ln() / DECAY.ln();
                self.sweeps(self.start(self.params.rank)?, steps.ceil().max(0.0) as usize)
            }
            Continuation::Rank => {
                let mut fit = self.start(1)?;
                for rank in 1..=self.params.rank {
                    for sweep in 0..FOR_A_COMPONENT {
                        self.sweep(&mut fit, self.penalty(0.0), sweep == 0)?;
                        self.record(&mut fit)?;
                    }
                    if rank < self.params.rank {
                        fit = self.grown(fit)?;
                    }
                }
                self.sweeps(fit, 0)
            }
        }
    }

    fn search(&self) -> Search {
        Search { iterations: 6, seed: self.params.seed }
    }

    /// Columns to begin with, and rows of zeros, of some of the components.
    fn start(&self, rank: usize) -> Result<Fit<T>> {
        let Self { context, observed, params, .. } = *self;
        let rows = Factor::with_room(observed.rows.count(), rank, params.rank)?;
        let mut columns = Factor::with_room(observed.columns.count(), rank, params.rank)?;
        if params.spectral {
            spectral(context, observed, Part::Training, &rows, &mut columns, None, self.search())?;
        } else {
            at_random(context, &mut columns, params.seed)?;
        }
        Ok(Fit { rows, columns, history: Vec::new(), status: Status::MaxIter })
    }

    /// With one more component.
    fn grown(&self, mut fit: Fit<T>) -> Result<Fit<T>> {
        let factors = (&mut fit.rows, &mut fit.columns);
        grow(self.context, self.observed, Part::Training, factors, self.search())?;
        Ok(fit)
    }

    /// The one that is asked for, or a larger one.
    fn penalty(&self, at_least: f64) -> Penalty {
        let factor = self.params.reg.unwrap_or(0.0).max(at_least);
        Penalty { factor, bias: None, exponent: self.params.reg_exponent }
    }

    /// Sweeps, the first `steps` of them with penalties that fall, until one of the ends is met.
    fn sweeps(&self, mut fit: Fit<T>, steps: usize) -> Result<Fit<T>> {
        let Params { max_iter, reg, .. } = *self.params;
        let mut larger = match steps {
            0 => 0.0,
            _ => {
                FIRST * largest_singular_value(self.context, self.observed, Part::Training, self.params.seed)?
            }
        };
        let (mut least, mut before, mut still, mut slow) = (f64::INFINITY, f64::INFINITY, 0, 0);
        let penalised = reg.is_some_and(|reg| reg > 0.0);
        fit.status = Status::MaxIter;
        let first = fit.history.len();
        for sweep in 0.. {
            if fit.history.len() - first >= max_iter {
                break;
            }
            let led = sweep < steps;
            let penalty = self.penalty(if led { larger } else { 0.0 });
            larger *= DECAY;
            self.sweep(&mut fit, penalty, sweep == 0)?;
            let residual = self.record(&mut fit)?;
            self.context.progress(fit.history.len() - first, max_iter, &[("residual", residual)])?;
            if led {
                continue;
            }
            let last = before;
            slow = if residual > SLOW.0 * last && slow < SLOW.1 { slow + 1 } else { 0 };
            let residual = if slow == SLOW.1 && !penalised && self.params.solver != Solver::ScaledGd {
                self.newton(&mut fit, residual, first + max_iter)?
            } else {
                residual
            };
            before = residual;
            still = if residual > STILL * last { still + 1 } else { 0 };
            let settled = (last - residual).abs() <= SETTLED * residual;
            if self.is_met(&fit, residual) || (penalised && settled) {
                fit.status = Status::Converged;
            } else if residual.is_nan() || residual > GROWTH * least {
                fit.status = Status::Diverged;
            } else if still >= PATIENCE && !penalised {
                fit.status = Status::Stalled;
            }
            if fit.status != Status::MaxIter {
                break;
            }
            least = least.min(residual);
        }
        Ok(fit)
    }

    /// Gauss-Newton steps as long as these are good, and the history is not longer than that; the residual.
    fn newton(&self, fit: &mut Fit<T>, mut residual: f64, most: usize) -> Result<f64> {
        let Determined { rows, columns, parts: count, .. } = self.core;
        let parts = Parts { rows, columns, count: *count };
        let (mut damping, mut others) = (DAMPING.0, 0);
        while others < GOOD.1 && fit.history.len() < most && !self.is_met(fit, residual) {
            let factors = (&fit.rows, &fit.columns);
            let (rows, columns) = newton_step(self.context, self.observed, &parts, factors, damping)?;
            let next = Fit { rows, columns, history: Vec::new(), status: fit.status };
            let left = self.residual(&next)?;
            let good = left < GOOD.0 * residual;
            (damping, others) =
                if good { (damping / DAMPING.1, 0) } else { (damping * DAMPING.1, others + 1) };
            if left < residual {
                (fit.rows, fit.columns, residual) = (next.rows, next.columns, left);
                push(&mut fit.history, left * left, HISTORY)?;
            }
        }
        Ok(residual)
    }

    fn sweep(&self, fit: &mut Fit<T>, penalty: Penalty, first: bool) -> Result<()> {
        if self.params.solver == Solver::ScaledGd && !first {
            let factors = (&mut fit.rows, &mut fit.columns);
            scaled_step(self.context, self.observed, Part::Training, factors, penalty)?;
            return Ok(());
        }
        let method = self.params.method(first);
        self.half(fit, true, penalty, method)?;
        self.half(fit, false, penalty, method)
    }

    fn half(&self, fit: &mut Fit<T>, of_rows: bool, penalty: Penalty, method: Method) -> Result<()> {
        let Fit { rows, columns, .. } = fit;
        let (lines, x, y) = match of_rows {
            true => (&self.observed.rows, rows, columns),
            false => (&self.observed.columns, columns, rows),
        };
        half_sweep(self.context, lines, Part::Training, (x, y), penalty, method).map(drop)
    }

    /// Solves for the rows exactly, if that leaves no more than what there was, or little.
    fn polish(&self, fit: &mut Fit<T>, penalty: Penalty) -> Result<()> {
        let (before, rows) = (self.residual(fit)?, fit.rows.copy()?);
        self.half(fit, true, penalty, Method::Exact)?;
        let left = self.residual(fit)?;
        if left.is_nan() || (left > before && !self.is_met(fit, left) && penalty.factor == 0.0) {
            fit.rows = rows;
        }
        Ok(())
    }

    /// Whether so little is left that it is enough, or nothing for the precision.
    fn is_met(&self, fit: &Fit<T>, residual: f64) -> bool {
        residual <= self.params.tol || residual <= self.rounding(fit)
    }

    /// The norm of what is left, relative to that of the values.
    fn residual(&self, fit: &Fit<T>) -> Result<f64> {
        let left = errors(self.context, &self.observed.rows, Part::Training, (&fit.rows, &fit.columns))?;
        Ok((left.squares / self.total).sqrt())
    }

    fn record(&self, fit: &mut Fit<T>) -> Result<f64> {
        let residual = self.residual(fit)?;
        push(&mut fit.history, residual * residual, HISTORY)?;
        Ok(residual)
    }

    /// What rounding may hide of the residual, entry by entry at most.
    fn rounding(&self, fit: &Fit<T>) -> f64 {
        let longest = |x: &Factor<T>| {
            let square = |row: &[T]| row.iter().map(|x| x.to_f64().powi(2)).sum::<f64>();
            x.rows.chunks(x.stride).map(square).fold(0.0, f64::max).sqrt()
        };
        let size = longest(&fit.rows) * longest(&fit.columns);
        let count: usize =
            (0..self.observed.rows.count()).map(|i| self.observed.rows.line(i, Part::Training).len()).sum();
        (fit.rows.rank + 3) as f64 * T::UNIT_ROUNDOFF * size * (count as f64 / self.total).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{Cells, low_rank, observed, params};

    const SHAPE: (usize, usize) = (120, 90);
    /// Of a product of rank three and biases, which are of rank two.
    const RANK: usize = 5;

    fn exact() -> Params {
        Params {
            rank: RANK,
            reg: None,
            reg_exponent: 0.0,
            bias: false,
            inner_steps: 30,
            inner_tol: 1e-4,
            max_iter: 200,
            tol: 1e-10,
            continuation: Continuation::Ridge,
            ..params()
        }
    }

    fn run(threads: usize, cells: &Cells, params: &Params) -> Output<f64> {
        let context = Context::new(threads);
        fit_exactly(&context, observed(&context, SHAPE, cells), params).unwrap()
    }

    /// Largest error on all entries that are predicted.
    fn error(output: &Output<f64>) -> f64 {
        let all = low_rank(SHAPE, 3, 1.1, 0.0, 2);
        let rows: Vec<i64> = all.iter().map(|cell| cell.0 as i64).collect();
        let columns: Vec<i64> = all.iter().map(|cell| cell.1 as i64).collect();
        let found = output.model.predict(&Context::new(1), &rows, &columns, false).unwrap();
        let errors = found.iter().zip(&all).map(|(found, cell)| (found - cell.2).abs());
        errors.filter(|error| !error.is_nan()).fold(0.0, f64::max)
    }

    #[test]
    fn every_way_leads_to_the_matrix_and_no_sweep_without_a_penalty_makes_the_residual_larger() {
        let cells = low_rank(SHAPE, 3, 0.5, 0.0, 2);
        for continuation in [Continuation::None, Continuation::Ridge, Continuation::Rank] {
            for solver in [Solver::Cholesky, Solver::Cg, Solver::ScaledGd] {
                let max_iter = if solver == Solver::ScaledGd { 1000 } else { 200 };
                let output = run(2, &cells, &Params { continuation, solver, max_iter, ..exact() });
                assert_eq!(output.status, Status::Converged, "{continuation:?} {solver:?}");
                assert!(error(&output) < 1e-7, "{continuation:?} {solver:?} {}", error(&output));
                let ends = if continuation == Continuation::None { &output.objective } else { &[][..] };
                assert!(ends.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-9) + 1e-25));
                let (residual, rounding) = output.residual.unwrap();
                assert!(residual < 1e-10 && rounding < 1e-12);
            }
        }
    }

    #[test]
    fn the_rank_is_found_and_nothing_depends_on_the_threads() {
        let cells = low_rank(SHAPE, 3, 0.5, 0.0, 2);
        let params = Params { rank: 12, rank_auto: true, validation_fraction: 0.02, ..exact() };
        let one = run(1, &cells, &params);
        assert_eq!((one.model.rows.rank, one.status), (RANK, Status::Converged));
        let held_out = one.held_out.unwrap();
        assert!(held_out.entries > 50 && held_out.rmse < 1e-8);
        let other = run(3, &cells, &params);
        assert_eq!(one.objective, other.objective);
        assert_eq!(*one.model.rows.rows, *other.model.rows.rows);
        assert_eq!(one.diagnosis, other.diagnosis);
    }

    #[test]
    fn a_row_with_too_few_entries_is_the_shortest_that_agrees_and_the_others_are_found() {
        let mut cells = low_rank(SHAPE, 3, 0.5, 0.0, 2);
        let mut count = 0;
        cells.retain(|cell| {
            count += usize::from(cell.0 == 17);
            cell.0 != 17 || count < RANK
        });
        let output = run(1, &cells, &exact());
        assert!(output.status == Status::Converged && error(&output) < 1e-7);
        assert_eq!(output.model.determined.as_ref().unwrap().rows[17], UNDETERMINED);
        let columns: Vec<i64> = cells.iter().filter(|cell| cell.0 == 17).map(|cell| cell.1 as i64).collect();
        let found = output.model.predict(&Context::new(1), &vec![17; columns.len()], &columns, true).unwrap();
        for (found, cell) in found.iter().zip(cells.iter().filter(|cell| cell.0 == 17)) {
            assert!((found - cell.2).abs() < 1e-8);
        }
    }
}
