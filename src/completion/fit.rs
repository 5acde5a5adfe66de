//! The driver: a start, sweeps until they change nothing that matters, and the penalty if it is not given.

use super::balance::balance;
use super::choose::{FIRST, walk};
use super::determined::count_parts;
use super::diagnosis::{Diagnosis, TOO_LARGE, diagnose};
use super::errors::{Errors, HeldOut, errors, held_out_errors};
use super::factors::Factor;
use super::half::{Method, Penalty, Preconditioner, half_sweep};
use super::model::Model;
use super::observations::{Observations, Part};
use super::ranks::{Tried, search};
use super::robust::{DEVIATIONS, reweigh, reweigh_by_size};
use super::scaled::scaled_step;
use super::start::{Search, at_random, set_biases, spectral};
use super::subgradient::{Steps, descend};
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::memory::push;
use crate::parallel::Context;
use crate::simd::norm_sq;

/// Penalties of biases, in the units of that of the factors: its own within these. Where noise is large, one that grows
/// with it shrinks them away; where there is little, one that does not fall with it is the largest error left.
const BIAS_PENALTY: [f64; 2] = [1e-3, 0.5];
/// Most sweeps of a fit on the walk to a penalty.
const WALK_SWEEPS: usize = 12;
/// The same of steps of both sides at once.
const WALK_STEPS: usize = 60;
/// Sweeps over all entries, from what was found without those that are held out.
const LAST_SWEEPS: usize = 2;
/// Sweeps in a row that do not improve on what is held out, before the end.
const PATIENCE: usize = 2;
/// How often rank and penalty are chosen once more by what errors say of entries, where first their sizes did.
const ROUNDS: usize = 3;
/// What is an improvement, relative to what was.
const IMPROVEMENT: f64 = 1e-4;
/// What no sweep makes an objective grow to, over the least before: rounding has won.
const GROWTH: f64 = 1.5;
/// Up to this rank Cholesky's factorisation is never slower than conjugate gradients.
const SMALL_RANK: usize = 24;
/// Steps of conjugate gradients that begin at zero, and their tolerance.
const FROM_ZERO: (usize, f64) = (8, 1e-2);
/// Mean weights that are numbers of entries.
const COUNTS: std::ops::RangeInclusive<f64> = 1.0 / 32.0..=32.0;
/// What memory is for.
const WALK: &str = "what was tried";

/// How lines are solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// By Cholesky's factorisation up to some rank, then by conjugate gradients.
    Auto,
    /// By Cholesky's factorisation.
    Cholesky,
    /// By conjugate gradients where a line has as many entries as there are components.
    Cg,
    /// Not at all: both sides move at once, see `scaled`.
    ScaledGd,
}

/// How sweeps without a penalty, or with the one that is asked for, are led up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Not at all.
    None,
    /// By larger penalties.
    Ridge,
    /// By fewer components.
    Rank,
}

/// How sweeps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With what was asked for.
    Converged,
    /// Without, as the residual did not fall any more.
    Stalled,
    /// With a residual, or predictions, that had grown beyond all measure.
    Diverged,
    /// By their number.
    MaxIter,
}

/// What errors cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Their squares.
    Squared,
    /// Less than these where they are large: see `robust`.
    Huber,
    /// Their magnitudes: see `subgradient`.
    Absolute,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Params {
    /// Components of a row of a factor.
    pub rank: usize,
    /// Whether fewer may do.
    pub rank_auto: bool,
    /// The penalty, over the standard deviation of what the biases leave; None: the best on what is held out.
    pub reg: Option<f64>,
    /// Power of the number of entries that penalties grow with.
    pub reg_exponent: f64,
    /// Whether rows and columns have biases.
    pub bias: bool,
    /// Whether it may be otherwise.
    pub bias_auto: bool,
    /// How lines are solved.
    pub solver: Solver,
    /// When lines are preconditioned.
    pub preconditioner: Preconditioner,
    /// Whether the start is spectral, not random.
    pub spectral: bool,
    /// Most steps of conjugate gradients for a line.
    pub inner_steps: usize,
    /// What these may end with, relative.
    pub inner_tol: f64,
    /// Whether rows are solved for exactly in the end.
    pub polish: bool,
    /// Most sweeps.
    pub max_iter: usize,
    /// Decrease of the objective, relative, below which sweeps end.
    pub tol: f64,
    /// The part that is held out; zero: none.
    pub validation_fraction: f64,
    /// Of the start, and of what is held out.
    pub seed: u64,
    /// Whether no number of the factors may be below zero.
    pub nonnegative: bool,
    /// What errors cost.
    pub loss: Loss,
    /// How a fit without noise begins.
    pub continuation: Continuation,
}

impl Params {
    /// How lines are solved, in the first sweep, which begins with rows of zeros, or in another one.
    pub fn method(&self, first: bool) -> Method {
        let Self { rank, solver, preconditioner, inner_steps, inner_tol, .. } = *self;
        match solver {
            _ if self.nonnegative => Method::NonNegative,
            Solver::Cholesky | Solver::ScaledGd => Method::Exact,
            Solver::Auto if rank <= SMALL_RANK => Method::Exact,
            _ if first => {
                let (steps, tolerance) = (FROM_ZERO.0.max(inner_steps), FROM_ZERO.1.min(inner_tol));
                Method::Iterated { steps, tolerance, preconditioner }
            }
            _ => Method::Iterated { steps: inner_steps, tolerance: inner_tol, preconditioner },
        }
    }
}

/// What was found.
pub struct Output<T> {
    /// The model.
    pub model: Model<T>,
    /// The penalty.
    pub reg: f64,
    /// What was tried, and its errors on what was held out, in units of the values.
    pub path: Vec<Tried>,
    /// Objective after each sweep of the last fit, over the sum of squares of the values.
    pub objective: Vec<f64>,
    /// Error on what is held out after each sweep of the fit that saw it, in units of the values.
    pub validation: Vec<f64>,
    /// What the best of these left of what was held out, in units of the values.
    pub held_out: Option<HeldOut>,
    /// How sweeps ended.
    pub status: Status,
    /// Of a fit without noise: the residual on the entries that are determined, relative to them, and what rounding may
    /// hide of it.
    pub residual: Option<(f64, f64)>,
    /// What else was measured.
    pub diagnosis: Diagnosis,
    /// How many parts the graph of rows and columns falls into, as far as it is fitted to.
    pub parts: usize,
}

/// A fit to some of the entries.
struct Fit<T> {
    rows: Factor<T>,
    columns: Factor<T>,
    penalty: Penalty,
    objective: Vec<f64>,
    validation: Vec<f64>,
    held_out: Option<HeldOut>,
    status: Status,
}

impl<T: Scalar> Fit<T> {
    fn new(rows: Factor<T>, columns: Factor<T>, penalty: Penalty) -> Self {
        let (objective, validation) = (Vec::new(), Vec::new());
        Self { rows, columns, penalty, objective, validation, held_out: None, status: Status::MaxIter }
    }

    /// With what another one has seen of entries that are held out, and its end, unless this one has come to a worse one.
    fn after(self, (validation, held_out, status): (Vec<f64>, Option<HeldOut>, Status)) -> Self {
        let status = if self.status == Status::Diverged { Status::Diverged } else { status };
        Self { validation, held_out, status, ..self }
    }

    /// The smallest error on what is held out; infinite if there is none that counts.
    fn least_error(&self) -> f64 {
        match self.status {
            Status::Diverged => f64::INFINITY,
            _ => self.validation.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }

    /// Has lines with numbers out of range be zero, which is no end that is good.
    fn keep_finite(&mut self) {
        if self.rows.keep_finite() | self.columns.keep_finite() {
            self.status = Status::Diverged;
        }
    }
}

/// Fits a model to what was observed.
pub fn fit<T: Scalar>(
    context: &Context,
    mut observed: Observations<T>,
    params: &Params,
) -> Result<Output<T>> {
    let mut held_out = 0;
    if params.validation_fraction > 0.0 {
        held_out = observed.hold_out(context, params.validation_fraction, params.seed)?;
    }
    if params.loss == Loss::Absolute {
        let fit = by_magnitudes(context, &mut observed, params, held_out)?;
        let delta = reweigh(context, &mut observed, Part::All, (&fit.rows, &fit.columns))?;
        let params = params.clone();
        let chosen = Chosen { params, fit, reg: 0.0, path: Vec::new(), delta: Some(delta) };
        return finished(context, observed, chosen);
    }
    if params.loss == Loss::Huber {
        reweigh_by_size(context, &mut observed, Part::Training)?;
    }
    let mut chosen = Run { context, observed: &observed, params, held_out }.choose()?;
    if params.loss == Loss::Huber {
        // Gross errors that the sizes of entries hide ask for a larger penalty than those that remain in the end.
        for _ in 0..if chosen.path.is_empty() { 0 } else { ROUNDS } {
            let before = (chosen.params.rank, chosen.reg, chosen.params.bias);
            reweighted(context, &mut observed, &chosen.params, &mut chosen.fit, Part::Training)?;
            chosen = Run { context, observed: &observed, params, held_out }.choose()?;
            if (chosen.params.rank, chosen.reg, chosen.params.bias) == before {
                break;
            }
        }
        chosen.delta = Some(reweighted(context, &mut observed, &chosen.params, &mut chosen.fit, Part::All)?);
    }
    if params.polish {
        let run = Run { context, observed: &observed, params: &chosen.params, held_out };
        let exactly = if params.nonnegative { Method::NonNegative } else { Method::Exact };
        run.half(&mut chosen.fit, true, Part::All, exactly)?;
    }
    finished(context, observed, chosen)
}

/// A fit, and what was chosen on the way to it.
struct Chosen<T> {
    /// With the rank and the biases.
    params: Params,
    fit: Fit<T>,
    reg: f64,
    path: Vec<Tried>,
    delta: Option<f64>,
}

/// The model of a fit, and what is measured of it.
fn finished<T: Scalar>(context: &Context, observed: Observations<T>, chosen: Chosen<T>) -> Result<Output<T>> {
    let Chosen { params, mut fit, reg, mut path, delta } = chosen;
    fit.keep_finite();
    let scale = observed.scale;
    let Fit { rows, columns, penalty, objective, mut validation, held_out, mut status } = fit;
    let diagnosis = diagnose(context, &observed, Part::All, (&rows, &columns), penalty)?;
    if diagnosis.size > TOO_LARGE {
        status = Status::Diverged;
    }
    let model = Model::new(context, observed, rows, columns, penalty)?;
    let model = Model { nonnegative: params.nonnegative, delta, ..model };
    let parts = count_parts(context, (&model.seen.ends, &model.seen.columns), model.columns.count)?;
    validation.iter_mut().for_each(|rmse| *rmse *= scale);
    path.iter_mut().for_each(|tried| tried.rmse *= scale);
    Ok(Output {
        model,
        reg,
        path,
        objective,
        validation,
        held_out: held_out.map(|held_out| held_out.times(scale)),
        status,
        residual: None,
        diagnosis,
        parts,
    })
}

/// Where absolute errors are least: of what is not held out, for the error on that, and then of all.
fn by_magnitudes<T: Scalar>(
    context: &Context,
    observed: &mut Observations<T>,
    params: &Params,
    held_out: usize,
) -> Result<Fit<T>> {
    let fit_to = |observed: &mut Observations<T>, part: Part| {
        let delta = reweigh_by_size(context, observed, part)?;
        let run = Run { context, observed, params, held_out };
        let mut fit = run.start(0.0, part)?;
        fit.penalty.bias = params.bias.then_some(0.0);
        observed.rows.count_by_given(context)?;
        observed.columns.count_by_given(context)?;
        let steps =
            Steps { size: delta / DEVIATIONS, most: params.max_iter, tol: params.tol, bias: params.bias };
        let factors = (&mut fit.rows, &mut fit.columns);
        let converged;
        (fit.objective, converged) = descend(context, observed, part, factors, steps)?;
        fit.status = if converged { Status::Converged } else { Status::MaxIter };
        Ok(fit)
    };
    if held_out == 0 {
        return fit_to(observed, Part::All);
    }
    let watched = fit_to(observed, Part::Training)?;
    reweigh(context, observed, Part::Training, (&watched.rows, &watched.columns))?;
    let left = held_out_errors(context, observed, (&watched.rows, &watched.columns), |_, _| true)?;
    Ok(Fit { held_out: Some(left), ..fit_to(observed, Part::All)? })
}

/// Sweeps over a part of the entries, each with the weights that Huber's loss gives them after the one before; the last of the
/// errors beyond which these are below one.
fn reweighted<T: Scalar>(
    context: &Context,
    observed: &mut Observations<T>,
    params: &Params,
    fit: &mut Fit<T>,
    part: Part,
) -> Result<f64> {
    let mut delta = reweigh(context, observed, part, (&fit.rows, &fit.columns))?;
    let total = Run { context, observed, params, held_out: 0 }.squares(part)?;
    let mut before = f64::INFINITY;
    fit.status = Status::MaxIter;
    for sweep in 0..params.max_iter {
        let run = Run { context, observed, params, held_out: 0 };
        let value = run.sweep(fit, part, false)? / total;
        push(&mut fit.objective, value, "the history of a fit")?;
        context.progress(sweep + 1, params.max_iter, &[("objective", value)])?;
        if !value.is_finite() {
            fit.status = Status::Diverged;
            fit.keep_finite();
            break;
        }
        delta = reweigh(context, observed, part, (&fit.rows, &fit.columns))?;
        // As weights change, what is smaller need not become so at every step.
        if is_nothing::<T>(value) || (before - value).abs() < params.tol * value {
            fit.status = Status::Converged;
            break;
        }
        before = value;
    }
    Ok(delta)
}

#[derive(Clone, Copy)]
struct Run<'a, T> {
    context: &'a Context<'a>,
    observed: &'a Observations<T>,
    params: &'a Params,
    /// How many entries are held out.
    held_out: usize,
}

impl<T: Scalar> Run<'_, T> {
    /// With rank, penalty and biases as they are given, or the best.
    fn choose(&self) -> Result<Chosen<T>> {
        let (mut path, mut best): (_, Option<Chosen<T>>) = (Vec::new(), None);
        let Params { bias, bias_auto, .. } = *self.params;
        for bias in [bias, !bias].into_iter().take(if bias_auto { 2 } else { 1 }) {
            let params = Params { bias, ..self.params.clone() };
            let former = best.as_ref().map(|best| (best.params.rank, best.reg));
            let found = Run { params: &params, ..*self }.with_biases(former, &mut path)?;
            if best.as_ref().is_none_or(|best| found.fit.least_error() < best.fit.least_error()) {
                best = Some(found);
            }
        }
        let best = best.ok_or_else(|| Error::Internal("nothing was tried".into()))?;
        Ok(Chosen { path, ..best })
    }

    /// With these biases, or without any.
    fn with_biases(&self, former: Option<(usize, f64)>, path: &mut Vec<Tried>) -> Result<Chosen<T>> {
        let mut params = self.params.clone();
        let (fit, reg) = match (params.rank_auto, params.reg) {
            (true, _) => {
                let reg;
                (params.rank, reg) = self.searched(former, path)?;
                (Run { params: &params, ..*self }.given(reg)?, reg)
            }
            (false, Some(reg)) => {
                let fit = self.given(reg)?;
                if params.bias_auto {
                    let Params { rank, bias, .. } = params;
                    push(path, Tried { rank, reg, bias, rmse: fit.least_error() }, WALK)?;
                }
                (fit, reg)
            }
            (false, None) => {
                self.chosen(former.map_or(FIRST, |(_, reg)| 3.0 * reg / self.unit_of_reg()), path)?
            }
        };
        Ok(Chosen { params, fit, reg, path: Vec::new(), delta: None })
    }

    /// Rank and penalty with which what is held out is met best, from those of a `former` search; what was tried goes to `path`.
    fn searched(&self, former: Option<(usize, f64)>, path: &mut Vec<Tried>) -> Result<(usize, f64)> {
        let Params { rank: most, reg, bias, .. } = *self.params;
        let unit = self.unit_of_reg();
        let former = former.map(|(rank, reg)| (rank, reg / unit));
        let (rank, times) = search(most, reg, former, |rank, times| {
            let reg = reg.unwrap_or(times * unit);
            let params = Params { rank, ..self.params.clone() };
            let run = Run { params: &params, ..*self };
            let fit =
                run.sweeps(run.start(reg, Part::Training)?, Part::Training, run.most_on_walk(), true)?;
            let rmse = fit.least_error();
            push(path, Tried { rank, reg, bias, rmse }, WALK)?;
            self.tell(path)?;
            Ok(rmse)
        })?;
        Ok((rank, reg.unwrap_or(times * unit)))
    }

    /// What penalties that are tried are multiples of. Weights stand for numbers of entries; those of a mean far from one are
    /// in other units, in which another penalty costs as much.
    fn unit_of_reg(&self) -> f64 {
        let rows = &self.observed.rows;
        let mean = rows.weight() / (rows.matrix().nnz() as f64).max(1.0);
        let unit = mean.powf(1.0 - self.params.reg_exponent);
        if unit.is_normal() && !COUNTS.contains(&mean) { unit } else { 1.0 }
    }

    /// Most sweeps of a fit by which something is chosen.
    fn most_on_walk(&self) -> usize {
        let sweeps = if self.params.solver == Solver::ScaledGd { WALK_STEPS } else { WALK_SWEEPS };
        self.params.max_iter.min(sweeps)
    }

    /// Tells of the last fit that was tried.
    fn tell(&self, path: &[Tried]) -> Result<()> {
        let Some(Tried { rank, reg, rmse, .. }) = path.last() else { return Ok(()) };
        let figures = [("rank", *rank as f64), ("reg", *reg), ("rmse", rmse * self.observed.scale)];
        self.context.progress(path.len(), path.len() + 1, &figures)
    }

    /// With this penalty: to what is not held out, if anything is, until that gets no better, and then to all.
    fn given(&self, reg: f64) -> Result<Fit<T>> {
        if self.held_out == 0 {
            return self.sweeps(self.start(reg, Part::All)?, Part::All, self.params.max_iter, false);
        }
        let start = self.start(reg, Part::Training)?;
        let Fit { rows, columns, objective, validation, held_out, status, .. } =
            self.sweeps(start, Part::Training, self.params.max_iter, true)?;
        // Its unit is that of the entries that are fitted to.
        let one = Params { rank: 1, ..self.params.clone() };
        let penalty = Run { params: &one, ..*self }.biased(reg, Part::All)?.penalty;
        let all = Fit { objective, ..Fit::new(rows, columns, penalty) };
        let fit = self.sweeps(all, Part::All, LAST_SWEEPS, false)?;
        Ok(fit.after((validation, held_out, status)))
    }

    /// With the best penalty on what is held out, each tried from its own start: from the factors of a larger one, which
    /// have collapsed, sweeps do not come back.
    fn chosen(&self, first: f64, path: &mut Vec<Tried>) -> Result<(Fit<T>, f64)> {
        let most = self.most_on_walk();
        let Params { rank, bias, .. } = *self.params;
        let (mut best, unit): (Option<(f64, Fit<T>)>, _) = (None, self.unit_of_reg());
        let times = walk(first, |times| {
            let reg = times * unit;
            let fit = self.sweeps(self.start(reg, Part::Training)?, Part::Training, most, true)?;
            let rmse = fit.least_error();
            push(path, Tried { rank, reg, bias, rmse }, WALK)?;
            self.tell(path)?;
            if best.as_ref().is_none_or(|(least, _)| rmse < *least) {
                best = Some((rmse, fit));
            }
            Ok(rmse)
        })?;
        let reg = times * unit;
        let sweeps = best.as_ref().map_or(most, |(_, fit)| fit.validation.len());
        let mut fit = self.sweeps(self.start(reg, Part::All)?, Part::All, sweeps, false)?;
        if let Some((_, best)) = best {
            fit = fit.after((best.validation, best.held_out, best.status));
        }
        self.context.progress(path.len() + 1, path.len() + 1, &[("reg", reg)])?;
        Ok((fit, reg))
    }

    fn search(&self) -> Search {
        Search { iterations: 2, seed: self.params.seed }
    }

    /// Biases, no factors, and the penalty in its unit.
    fn biased(&self, reg: f64, part: Part) -> Result<Fit<T>> {
        let Self { context, observed, params, .. } = *self;
        let mut rows = Factor::zeros(observed.rows.count(), params.rank)?;
        let mut columns = Factor::zeros(observed.columns.count(), params.rank)?;
        let unit = set_biases(context, observed, part, (&mut rows, &mut columns), params.bias)?;
        let penalty = Penalty {
            factor: reg * unit,
            bias: params.bias.then(|| {
                let [least, most] = BIAS_PENALTY.map(|penalty| penalty * self.unit_of_reg());
                reg.clamp(least, most)
            }),
            exponent: params.reg_exponent,
        };
        Ok(Fit::new(rows, columns, penalty))
    }

    fn start(&self, reg: f64, part: Part) -> Result<Fit<T>> {
        let Self { context, observed, params, .. } = *self;
        let mut fit = self.biased(reg, part)?;
        if params.spectral {
            spectral(context, observed, part, &fit.rows, &mut fit.columns, None, self.search())?;
        } else {
            at_random(context, &mut fit.columns, params.seed)?;
        }
        if params.nonnegative {
            fit.columns.rows.iter_mut().for_each(|x| *x = T::from_f64(x.to_f64().abs()));
        }
        Ok(fit)
    }

    /// Sweeps until the objective, or what is held out if that is `watched`, gets no better; the best of them.
    fn sweeps(&self, mut fit: Fit<T>, part: Part, most: usize, watched: bool) -> Result<Fit<T>> {
        let mut best: Option<(Factor<T>, Factor<T>)> = None;
        let (mut least, mut since) = (f64::INFINITY, 0);
        let (mut lowest, mut before) = (f64::INFINITY, f64::INFINITY);
        let total = self.squares(part)?;
        for sweep in 0..most {
            let value = self.sweep(&mut fit, part, sweep == 0)? / total;
            push(&mut fit.objective, value, "the history of a fit")?;
            fit.keep_finite();
            if fit.status == Status::Diverged
                || !value.is_finite()
                || value > GROWTH * lowest + T::UNIT_ROUNDOFF
            {
                fit.status = Status::Diverged;
                break;
            }
            let mut figures = [("objective", value), ("rmse", f64::NAN)];
            if watched {
                let rmse = self.errors(&fit, Part::HeldOut)?.rmse();
                push(&mut fit.validation, rmse, "the history of a fit")?;
                figures[1].1 = rmse * self.observed.scale;
                since = if rmse < least * (1.0 - IMPROVEMENT) { 0 } else { since + 1 };
                if rmse < least {
                    least = rmse;
                    match &mut best {
                        Some((rows, columns)) => {
                            rows.copy_from(&fit.rows);
                            columns.copy_from(&fit.columns);
                        }
                        None => best = Some((fit.rows.copy()?, fit.columns.copy()?)),
                    }
                }
            }
            if self.params.reg.is_some() {
                self.context.progress(sweep + 1, most, &figures[..1 + usize::from(watched)])?;
            }
            if since >= PATIENCE || is_nothing::<T>(value) || before - value < self.params.tol * value {
                fit.status = Status::Converged;
                break;
            }
            (lowest, before) = (lowest.min(value), value);
        }
        if let Some((rows, columns)) = best {
            (fit.rows, fit.columns) = (rows, columns);
        }
        fit.keep_finite();
        if watched {
            let factors = (&fit.rows, &fit.columns);
            fit.held_out = Some(held_out_errors(self.context, self.observed, factors, |_, _| true)?);
        }
        Ok(fit)
    }

    /// One sweep, and the objective after it.
    fn sweep(&self, fit: &mut Fit<T>, part: Part, first: bool) -> Result<f64> {
        if self.params.solver == Solver::ScaledGd && !first && !self.params.nonnegative {
            let factors = (&mut fit.rows, &mut fit.columns);
            return scaled_step(self.context, self.observed, part, factors, fit.penalty);
        }
        let method = self.params.method(first);
        if !first && fit.penalty.factor > 0.0 && !self.params.nonnegative {
            balance(self.context, self.observed, part, (&mut fit.rows, &mut fit.columns), fit.penalty)?;
        }
        self.half(fit, true, part, method)?;
        let of_columns = self.half(fit, false, part, method)?;
        let of_rows = self.penalty_of_rows(fit, part);
        // What is left of a difference of large numbers is not to be believed where it is small.
        let doubt = 64.0 * T::UNIT_ROUNDOFF.sqrt() * self.observed.rows.weight();
        if of_columns >= doubt {
            return Ok(of_columns + of_rows);
        }
        let errors = self.errors(fit, part)?.squares;
        Ok(errors
            + of_rows
            + penalty_of(&fit.columns, fit.penalty, |j| self.observed.columns.degree(j, part)))
    }

    fn half(&self, fit: &mut Fit<T>, of_rows: bool, part: Part, method: Method) -> Result<f64> {
        let Fit { rows, columns, penalty, .. } = fit;
        let (lines, x, y) = match of_rows {
            true => (&self.observed.rows, rows, columns),
            false => (&self.observed.columns, columns, rows),
        };
        half_sweep(self.context, lines, part, (x, y), *penalty, method)
    }

    fn penalty_of_rows(&self, fit: &Fit<T>, part: Part) -> f64 {
        penalty_of(&fit.rows, fit.penalty, |i| self.observed.rows.degree(i, part))
    }

    fn errors(&self, fit: &Fit<T>, part: Part) -> Result<Errors> {
        errors(self.context, &self.observed.rows, part, (&fit.rows, &fit.columns))
    }

    /// The sum of squares of the values.
    fn squares(&self, part: Part) -> Result<f64> {
        let (rows, columns) = (
            Factor::<T>::zeros(self.observed.rows.count(), 1)?,
            Factor::zeros(self.observed.columns.count(), 1)?,
        );
        let errors = errors(self.context, &self.observed.rows, part, (&rows, &columns))?;
        Ok(if errors.squares > 0.0 { errors.squares } else { 1.0 })
    }
}

/// Whether an objective, over the squares of the values, is the rounding of these.
fn is_nothing<T: Scalar>(value: f64) -> bool {
    value <= T::UNIT_ROUNDOFF.powi(2)
}

/// The penalties of a factor whose lines have these sums of weights.
fn penalty_of<T: Scalar>(factor: &Factor<T>, penalty: Penalty, degree: impl Fn(usize) -> f64) -> f64 {
    let of_line = |i: usize| {
        let ridge = penalty.of(degree(i));
        ridge.factor * norm_sq(factor.row(i)) + ridge.bias.unwrap_or(0.0) * factor.bias[i].to_f64().powi(2)
    };
    (0..factor.count).map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{Cells, low_rank, observed, params};
    use crate::parallel::Host;
    use crate::random::Stream;
    use std::cell::Cell;

    const SHAPE: (usize, usize) = (300, 200);

    fn run<T: Scalar>(threads: usize, cells: &Cells, params: &Params) -> Output<T> {
        let context = Context::new(threads);
        fit(&context, observed(&context, SHAPE, cells), params).unwrap()
    }

    /// Root mean square error on entries that were not seen, the noise of which is that of the others.
    fn test_error<T: Scalar>(output: &Output<T>, cells: &Cells) -> f64 {
        let rows: Vec<i64> = cells.iter().map(|cell| cell.0 as i64).collect();
        let columns: Vec<i64> = cells.iter().map(|cell| cell.1 as i64).collect();
        let found = output.model.predict(&Context::new(1), &rows, &columns, false).unwrap();
        let square: f64 = found.iter().zip(cells).map(|(found, cell)| (found - cell.2).powi(2)).sum();
        (square / cells.len() as f64).sqrt()
    }

    /// A third of the entries, and the others.
    fn parted(noise: f64) -> (Cells, Cells) {
        let cells = low_rank(SHAPE, 3, 0.45, noise, 5);
        let (train, test): (Vec<_>, Vec<_>) =
            cells.into_iter().enumerate().partition(|(k, _)| !(k * 31 / 7).is_multiple_of(4));
        let only =
            |cells: Vec<(usize, (usize, usize, f64))>| cells.into_iter().map(|(_, cell)| cell).collect();
        (only(train), only(test))
    }

    #[test]
    fn every_solver_finds_the_matrix_and_no_sweep_makes_the_objective_larger() {
        let (train, test) = parted(0.1);
        for rank in [6, 30] {
            for (solver, preconditioner) in [
                (Solver::Auto, Preconditioner::Auto),
                (Solver::Cholesky, Preconditioner::Auto),
                (Solver::Cg, Preconditioner::None),
                (Solver::Cg, Preconditioner::Gram),
                (Solver::ScaledGd, Preconditioner::Auto),
            ] {
                let max_iter = if solver == Solver::ScaledGd { 60 } else { 20 };
                let params = Params { rank, solver, preconditioner, max_iter, ..params() };
                let output = run::<f32>(1, &train, &params);
                assert!(output.objective.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)));
                let error = test_error(&output, &test);
                assert!(error < 0.15, "{solver:?} {preconditioner:?} {rank}: {error}");
                assert_eq!(output.status, Status::Converged);
            }
        }
    }

    #[test]
    fn no_bit_depends_on_the_threads_or_on_the_order_of_the_entries() {
        let (train, _) = parted(0.1);
        for (rank, fraction) in [(6, 0.0), (30, 0.1)] {
            let params = Params { rank, validation_fraction: fraction, ..params() };
            let expected = run::<f32>(1, &train, &params);
            for threads in [2, 3, 8] {
                let mut cells = train.clone();
                cells.rotate_left(threads * 97);
                let found = run::<f32>(threads, &cells, &params);
                assert_eq!(*found.model.rows.rows, *expected.model.rows.rows);
                assert_eq!(*found.model.columns.rows, *expected.model.columns.rows);
                assert_eq!(found.model.rows.bias, expected.model.rows.bias);
                assert_eq!(found.validation, expected.validation);
            }
        }
    }

    #[test]
    fn a_chosen_penalty_is_near_the_best_and_knows_no_units() {
        let (train, test) = parted(0.5);
        let chosen = Params { reg: None, validation_fraction: 0.1, max_iter: 12, ..params() };
        let output = run::<f32>(2, &train, &chosen);
        let grid = (0..9).map(|k| 0.02 * 3f64.powf(k as f64 * 0.8));
        let errors =
            grid.map(|reg| test_error(&run::<f32>(2, &train, &Params { reg: Some(reg), ..params() }), &test));
        let best = errors.fold(f64::INFINITY, f64::min);
        assert!(test_error(&output, &test) < 1.02 * best, "{} {best}", test_error(&output, &test));
        assert!(output.path.len() <= 8);
        let found = output.held_out.unwrap();
        assert!((found.rmse - 0.55).abs() < 0.1 && found.entries > 500);
        for factor in [1e-3, 1e3] {
            let scaled: Cells = train.iter().map(|&(i, j, value)| (i, j, value * factor)).collect();
            let other = run::<f32>(2, &scaled, &chosen);
            assert_eq!(other.reg, output.reg);
            assert!((other.model.scale / output.model.scale / factor - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn gross_errors_of_three_entries_in_ten_leave_no_trace() {
        // Biases and what the mean leaves are components here, as no penalty may be on them.
        let (mut train, test) = parted(0.0);
        let random = Stream::new(9, 0, 1);
        for (k, cell) in train.iter_mut().enumerate().filter(|(k, _)| k % 10 < 3) {
            cell.2 += 10.0 * random.normal(k as u64, 0);
        }
        let params = Params { rank: 5, reg: Some(0.0), bias: false, max_iter: 120, tol: 0.0, ..params() };
        let exact =
            test_error(&run::<f64>(2, &train, &Params { loss: Loss::Huber, ..params.clone() }), &test);
        assert!(exact < 1e-9, "{exact:e}");
        assert!(test_error(&run::<f64>(2, &train, &params), &test) > 0.5);
    }

    #[test]
    fn the_walk_ends_as_well_wherever_it_begins() {
        let (train, test) = parted(0.5);
        let params = Params { reg: None, validation_fraction: 0.1, max_iter: 12, ..params() };
        let context = Context::new(2);
        let mut observed = observed::<f32>(&context, SHAPE, &train);
        let held_out = observed.hold_out(&context, 0.1, params.seed).unwrap();
        let walker = Run { context: &context, observed: &observed, params: &params, held_out };
        let mut errors = Vec::new();
        for first in [0.3, 0.7, FIRST, 2.1, 5.0] {
            let mut path = Vec::new();
            let (_, reg) = walker.chosen(first, &mut path).unwrap();
            assert!(path.len() <= 9, "from {first}: {}", path.len());
            let found = run::<f32>(2, &train, &Params { reg: Some(reg), validation_fraction: 0.0, ..params });
            errors.push(test_error(&found, &test));
        }
        let best = errors.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(errors.iter().all(|error| *error < 1.01 * best), "{errors:?}");
    }

    #[test]
    fn the_rank_is_chosen_with_the_penalty_or_without() {
        let (train, test) = parted(0.1);
        for reg in [Some(0.3), None] {
            let params = Params { rank: 20, rank_auto: true, reg, validation_fraction: 0.1, ..params() };
            let output = run::<f32>(2, &train, &params);
            // More make up for the penalty of the biases, and where that of the factors is given for what it takes of them.
            let most = if reg.is_some() { 20 } else { 8 };
            assert!((3..=most).contains(&output.model.rows.rank), "{reg:?}: {:?}", output.path);
            assert!(output.path.len() < if reg.is_some() { 15 } else { 30 });
            assert!(test_error(&output, &test) < 0.15);
        }
    }

    #[test]
    fn empty_lines_equal_values_and_more_components_than_lines_are_no_trouble() {
        let alike: Cells = (0..40).map(|k| (2 * k, k, 0.7)).collect();
        let few: Cells = low_rank((9, 7), 2, 0.7, 0.0, 1);
        for (cells, rank) in [(&alike, 3), (&few, 12)] {
            for spectral in [true, false] {
                let params = Params { rank, spectral, ..params() };
                let output = run::<f64>(1, cells, &params);
                let model = &output.model;
                assert!(model.rows.rows.iter().chain(&*model.columns.rows).all(|x| x.is_finite()));
                assert!(model.rows.row(299).iter().all(|&x| x == 0.0) && model.rows.bias[299] == 0.0);
                assert!(output.objective.iter().all(|value| value.is_finite()));
            }
        }
    }

    /// Says stop after so many questions.
    struct After(Cell<usize>);
    impl Host for After {
        fn check(&self) -> Result<()> {
            match self.0.get() {
                0 => Err(Error::Interrupted),
                left => {
                    self.0.set(left - 1);
                    Ok(())
                }
            }
        }
        fn progress(&self, _: usize, _: usize, _: &[(&'static str, f64)]) -> Result<()> {
            self.check()
        }
    }

    #[test]
    fn an_interrupt_ends_a_fit() {
        let (train, _) = parted(0.1);
        for left in [0, 3, 6] {
            let host = After(Cell::new(left));
            let context = Context::with_host(1, &host);
            let params = Params { tol: 0.0, max_iter: 30, ..params() };
            let outcome = fit(&context, observed::<f32>(&Context::new(1), SHAPE, &train), &params);
            assert!(matches!(outcome, Err(Error::Interrupted)));
        }
    }
}
