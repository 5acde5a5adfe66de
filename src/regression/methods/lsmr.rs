//! LSMR (Fong and Saunders 2011): two products with A an iteration, no factor of A and next to no memory.
//!
//! The Golub-Kahan process turns A, over its ridge, into a lower bidiagonal matrix, and the iterates minimise |A'r|
//! over growing Krylov spaces from zero on, which is why the answer is the one of least norm. The iterations
//! needed grow with the condition number.
//!
//! LSMR restarts from the explicit residual of its answer until the answer is backward stable. A restart measures
//! where it starts: the numbers phi_j of the bidiagonalisation add up to |(A'A)^(-1/2) g|^2, all but what later
//! iterations would still add, and a round goes on until the latest of them no longer matter. The estimate of
//! the backward error is made of that sum. Its bound is Stewart's |g| / |r|, for which nothing is estimated, or less where
//! what is left of such a sum can be bounded too (Gauss and Radau): under a ridge, which bounds the spectrum from below,
//! and in the estimate of Karlson and Walden, where w^2 does so.
//!
//! The directions that A does not see are rounding, and a bidiagonalisation that goes on beyond its Krylov space walks
//! along them, as far as one likes. So a round ends where its numbers have come down to rounding, where its matrix has
//! become singular, or where it would move far from the answer that it has started from.
//!
//! Where a ridge exceeds a column by far, the backward error does not tell whether its coefficient is right, which is
//! the product of column and residual over the ridge, and is made so in the end.
//!
//! Columns are scaled by powers of two, in whose units the answer has the least norm. Where a random vector of these
//! units is not found again from its image, A has directions that it does not see, and the shortest answer in the units
//! of the caller is sought by LSMR without scales: that takes the iterations of an unscaled problem in addition. The
//! search for the random vector takes about as many as an answer, but for operators and under a ridge, which need none.

use crate::certify::{backward_error_of_image, damped_ratio};
use crate::error::Result;
use crate::linalg::norm;
use crate::matrix::{LinearOperator, Mat, Real, Source, power_of_two_below};
use crate::memory::{collected, copied, filled, gathered, push, room_for, zeros};
use crate::random::Stream;
use crate::regression::design::Design;
use crate::regression::design::pass::{Passes, Sides, residuals};
use crate::regression::design::products::{product, transposed_product};
use crate::regression::methods::outcome::{Limit, Made, Outcome, Unfactored};
use crate::regression::refine::{Group, HIDDEN, RESOLVED, Refined, START, TARGETS, columns};
use std::f64::consts::SQRT_2;

/// Restarts; two suffice unless A is ill-conditioned.
const MOST_ROUNDS: usize = 6;
/// Latest iterations that tell how fast contributions fall: so many at least, and an eighth of all, as the slowest
/// components need the longest to show.
const WINDOW: usize = 5;

/// Alphas and betas below this times |A|_F are rounding: the Krylov space is exhausted.
const EXHAUSTED: f64 = 100.0 * f64::UNIT_ROUNDOFF;
/// The same from zero on, where vectors far shorter than A are rounded no better, and another round follows.
const EXHAUSTED_AT_FIRST: f64 = 1e-11;
/// Gradients below this times |A|_F and the residual are rounding, and where they lead is not to a minimiser alone.
const STATIONARY: f64 = 2.0 * f64::UNIT_ROUNDOFF;
/// Beyond this condition of the bidiagonal matrix there is nothing but the rounding of the gradient, times its square.
const WORST: f64 = 1e7;
/// A step longer than this beside an answer that a round has started from, or many roundings of it, leads along
/// directions that A does not see.
const FAR: f64 = 1e-6;
const HIDDEN_COLUMNS: &str = "columns that the ridge hides";
/// A coefficient of a random vector that LSMR finds again to within this is in the row space of A.
const FOUND: f64 = 1e-4;
/// Times that LSMR starts to search for the shortest answer: it is easily deceived by columns that are not scaled.
const SEARCHES: usize = 3;
/// Numbers that they may read, or as many as the answer took.
const CHEAP: usize = 200_000_000;
/// A search that moves its answer by less than this was the last.
const LITTLE: f64 = 1e-10;
/// Backward error of the search for the random vector.
const SEARCH: f64 = 1e-11;

const COLUMNS: &str = "norms of columns";
const VECTORS: &str = "vectors of an iteration";

/// LSMR for one group of targets.
pub(crate) fn lsmr<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    lengths: Lengths,
    limit: Limit,
    seed: u64,
) -> Result<Outcome> {
    let mut made = Made::default();
    let units = Units::new(group, lengths)?;
    let zeros = Mat::zeros(group.design.ncols(), group.targets.len())?;
    let first = match rounds(group, &units, limit, zeros, &mut made)? {
        Ok(answers) => answers,
        Err(needed) => return Ok(Outcome::Slow { made: made.reads, needed }),
    };
    if !first.refined.settled {
        return Ok(Outcome::Unfactored(first.in_units(units, made)));
    }
    let answers = match shortest(group, &units, &first.refined, seed, limit.in_all, &mut made)? {
        Norm::Least => first,
        Norm::Unknown => first.although_longer(),
        Norm::Less(x) => {
            let iterations = (made.iterations + limit.iterations).min(limit.in_all);
            let again = Limit { iterations, gives_up: false, ..limit };
            match rounds(group, &units, again, x, &mut made)? {
                Ok(answers) if answers.refined.settled => answers,
                _ => first.although_longer(),
            }
        }
    };
    Ok(Outcome::Unfactored(answers.in_units(units, made)))
}

/// What was found out about the norms of answers.
enum Norm {
    /// No answer is shorter.
    Least,
    /// These are shorter.
    Less(Mat<f64>),
    /// The search took too long.
    Unknown,
}

/// What the rounds came to.
struct Answers {
    refined: Refined,
    bound: Vec<f64>,
    condition: f64,
    is_shortest: bool,
}

impl Answers {
    fn although_longer(self) -> Self {
        Self { is_shortest: false, ..self }
    }

    fn in_units(self, units: Units, made: Made) -> Unfactored {
        let Self { refined, bound, condition, is_shortest } = self;
        let (refined, iterations) = (Refined { passes: made.reads, ..refined }, made.iterations);
        Unfactored {
            refined,
            iterations,
            bound,
            rigorous: Vec::new(),
            scale: Some(units.scale),
            norms: units.norms,
            condition,
            rank: None,
            cut: 0.0,
            rounding: 0.0,
            is_shortest,
        }
    }
}

/// Rounds of LSMR from `x` on until the answers are good enough; or the iterations needed, if the limit forbids that many.
fn rounds<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    units: &Units,
    limit: Limit,
    mut x: Mat<f64>,
    made: &mut Made,
) -> Result<std::result::Result<Answers, usize>> {
    let k = group.targets.len();
    let mut best = Refined::starting_at(&x)?;
    let mut bound = filled(f64::INFINITY, k, TARGETS)?;
    let mut condition = 1.0f64;
    let mut active = collected(0..k, TARGETS)?;
    let mut foretold = filled(f64::INFINITY, k, TARGETS)?;
    let (hidden, resolution) = (units.hidden()?, RESOLVED.max(4.0 * T::UNIT_ROUNDOFF));
    let mut moved = filled(false, k, TARGETS)?;
    for round in 0..MOST_ROUNDS {
        let mut sides = units.start(group, &columns(&x, &active)?, &active)?;
        made.reads += 1;
        let last = made.iterations >= limit.iterations;
        let steps = hidden_steps(&hidden, units, &sides)?;
        let limit = Limit { gives_up: limit.gives_up && round == 0, ..limit };
        if let Some(needed) = run(group, units, limit, group.tolerance, &mut sides, &best, made)? {
            return Ok(Err(needed));
        }
        let mut going = room_for(active.len(), TARGETS)?;
        for ((side, steps), &position) in sides.iter().zip(&steps).zip(&active) {
            condition = condition.max(side.largest / side.smallest);
            let last_error = best.backward_error[position];
            // An x that is far too long makes any backward error small; it does not leave the residual foretold.
            let slack = T::UNIT_ROUNDOFF.sqrt() * side.target_norm;
            if side.residual_norm > 1.001 * foretold[position] + slack {
                continue;
            }
            let error = side.backward_error(units, side.settled);
            if error < last_error || moved[position] && error <= last_error.max(group.tolerance) {
                best.keep(position, error, [side.residual_norm, side.residual_total], x.col(position));
                bound[position] = side.bound(units);
            }
            let stagnated = round > 0 && error > 0.5 * last_error;
            // Under a ridge that dominates, zero is as good an answer as the backward error can tell.
            let is_trivial = round == 0 && group.ridge_dominates(&units.scale) && side.slope > 0.0;
            if error <= group.tolerance && !is_trivial || stagnated || error.is_nan() {
                let is_resolved =
                    |(&j, step): (&usize, &f64)| step.abs() <= resolution * x[(j, position)].abs();
                if !moved[position] && !hidden.iter().zip(steps).all(is_resolved) {
                    for (&j, step) in hidden.iter().zip(steps) {
                        x[(j, position)] = T::from_f64(x[(j, position)] + step).to_f64();
                    }
                    (moved[position], foretold[position]) = (true, f64::INFINITY);
                    push(&mut going, position, TARGETS)?;
                }
                continue;
            }
            foretold[position] = if side.settled { side.phibar } else { f64::INFINITY };
            // Rounded here, so that what is measured is what is returned.
            let steps = x.col_mut(position).iter_mut().zip(&side.x);
            steps.for_each(|(x, step)| *x = T::from_f64(*x + step).to_f64());
            push(&mut going, position, TARGETS)?;
        }
        active = going;
        if active.is_empty() || last {
            break;
        }
    }
    best.settled = (0..k).all(|position| group.is_accepted(&best, position));
    Ok(Ok(Answers { refined: best, bound, condition, is_shortest: true }))
}

/// What the coefficients of hidden columns are off by, for every side.
fn hidden_steps(hidden: &[usize], units: &Units, sides: &[Bidiagonalisation]) -> Result<Vec<Vec<f64>>> {
    let step = |side: &Bidiagonalisation, j: usize| {
        let own = (units.norms[j] / units.scale[j]).hypot(units.root_ridge[j]);
        side.alpha * side.beta * side.v[j] / own / own
    };
    let steps = |side: &Bidiagonalisation| collected(hidden.iter().map(|&j| step(side, j)), HIDDEN_COLUMNS);
    gathered(sides.iter().map(steps), TARGETS)
}

/// The answers of least norm in the units of the caller, where those found, of least norm in the units of the columns,
/// may be others: |z| is least over A z = A x where z is in the row space of A, as the iterates of LSMR in the units of
/// the caller are.
fn shortest<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    units: &Units,
    first: &Refined,
    seed: u64,
    in_all: usize,
    made: &mut Made,
) -> Result<Norm> {
    let (x, answered) = (&first.x, made.reads);
    let common = Units::common(group.design, units)?;
    let ratio = |j: usize| units.scale[j] / common.scale[j];
    let mut ratios = (0..units.norms.len()).filter(|&j| units.norms[j] > 0.0).map(ratio);
    let one = ratios.next();
    if group.ridge > 0.0 || ratios.all(|ratio| Some(ratio) == one) {
        return Ok(Norm::Least);
    }
    let (n, d) = (group.design.nrows(), group.design.ncols());
    if n >= d {
        let random = Stream::new(seed, 0, START);
        let inside = |j: usize| if units.norms[j] > 0.0 { random.normal(j as u64, 0) } else { 0.0 };
        let start = Mat::from_fn(d, 1, |j, _| inside(j))?;
        let most = in_all.min(made.iterations + answered);
        let (found, _) = preimages(group, units, first, most, (1, SEARCH), &start, made)?;
        let off = found.as_slice().iter().zip(start.as_slice()).map(|(x, start)| (x - start).abs());
        if off.fold(0.0, f64::max) <= FOUND {
            return Ok(Norm::Least);
        }
    }
    let images = Mat::from_fn(d, x.ncols(), |j, side| x[(j, side)] / ratio(j))?;
    let numbers = group.design.stored().map_or(n.saturating_mul(d), |stored| stored + n + d);
    let most = in_all.min(made.iterations + answered.max(CHEAP / numbers.max(1)));
    let (found, is_found) =
        preimages(group, &common, first, most, (SEARCHES, f64::UNIT_ROUNDOFF), &images, made)?;
    if !is_found {
        return Ok(Norm::Unknown);
    }
    let rounded = |j: usize, side: usize| T::from_f64(found[(j, side)] * ratio(j)).to_f64();
    Mat::from_fn(d, x.ncols(), rounded).map(Norm::Less)
}

/// The shortest z with A z = A x, and whether it is that, after `most` iterations in all.
fn preimages<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    units: &Units,
    best: &Refined,
    most: usize,
    (searches, tolerance): (usize, f64),
    x: &Mat<f64>,
    made: &mut Made,
) -> Result<(Mat<f64>, bool)> {
    let limit = Limit { iterations: most, in_all: most, gives_up: false };
    let mut z = Mat::zeros(x.nrows(), x.ncols())?;
    let zeros = Mat::zeros(x.nrows(), 1)?;
    let mut sizes = Vec::new();
    for _ in 0..searches {
        if made.iterations >= most {
            return Ok((z, false));
        }
        let rest = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] - z[(i, j)])?;
        let images = product(group.context, group.design, &units.divided(&rest)?)?;
        if sizes.is_empty() {
            sizes = collected((0..x.ncols()).map(|j| norm(images.col(j))), TARGETS)?;
        }
        let side = |j: usize| Bidiagonalisation::new(images.col(j), Vec::new(), zeros.col(0), sizes[j]);
        let mut sides = gathered((0..x.ncols()).map(side), TARGETS)?;
        units.begin(group, &mut sides)?;
        made.reads += 1;
        run(group, units, limit, tolerance, &mut sides, best, made)?;
        for (j, side) in sides.iter().enumerate() {
            z.col_mut(j).iter_mut().zip(&side.x).for_each(|(z, step)| *z += step);
        }
        if (0..sides.len()).all(|j| norm(&sides[j].x) <= LITTLE * norm(z.col(j))) {
            break;
        }
        if sides.iter().any(|side| !side.settled && !side.lost) {
            return Ok((z, false));
        }
    }
    Ok((z, true))
}

/// Iterates until every side is settled or the limit is reached; the iterations needed in all, if that can be
/// foreseen to be more. `best` is what is reported meanwhile.
fn run<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    units: &Units,
    limit: Limit,
    tolerance: f64,
    sides: &mut [Bidiagonalisation],
    best: &Refined,
    made: &mut Made,
) -> Result<Option<usize>> {
    let mut running = collected((0..sides.len()).filter(|&side| !sides[side].has_ended()), TARGETS)?;
    while !running.is_empty() && made.iterations < limit.iterations {
        let v = gather(sides, &running, |side| &side.v)?;
        let image = product(group.context, group.design, &units.divided(&v)?)?;
        for (i, &side) in running.iter().enumerate() {
            sides[side].take_image(image.col(i), units);
        }
        let u = gather(sides, &running, |side| &side.u)?;
        let gradient = transposed_product(group.context, group.design, &u)?;
        for (i, &side) in running.iter().enumerate() {
            sides[side].take_gradient(gradient.col(i), units)?;
        }
        *made = Made { reads: made.reads + 1, iterations: made.iterations + 1 };
        let window = WINDOW.max(made.reads / 8);
        running.retain(|&side| !sides[side].settle(tolerance, window));
        best.report(group.context, made.iterations, limit.iterations)?;
        let needed = running.iter().map(|&side| sides[side].iterations_needed(tolerance)).fold(0.0, f64::max);
        if limit.gives_up && needed > limit.iterations as f64 {
            return Ok(Some(needed.min(1e9) as usize));
        }
    }
    let slow = limit.gives_up && !running.is_empty();
    Ok(slow.then_some(limit.iterations + 1))
}

fn gather<'s>(
    sides: &'s [Bidiagonalisation],
    which: &[usize],
    vector: impl Fn(&'s Bidiagonalisation) -> &'s Vec<f64>,
) -> Result<Mat<f64>> {
    let len = which.first().map_or(0, |&first| vector(&sides[first]).len());
    Mat::from_fn(len, which.len(), |i, j| vector(&sides[which[j]])[i])
}

/// Units in which the columns of A, over its ridge, have norms near one, and the norm of A in them.
struct Units {
    /// Powers of two: a change of units rounds nothing.
    scale: Vec<f64>,
    /// Norms of the columns before.
    norms: Vec<f64>,
    /// Roots of the ridge in those units, empty without a ridge.
    root_ridge: Vec<f64>,
    frobenius: f64,
    /// Below it: less for an operator, but for a probability of 1e-6.
    surely: f64,
}

/// Random products that the norm of a linear operator is estimated from.
pub(crate) const PROBES: usize = 16;
/// Purpose of their stream.
const PROBE: u8 = 2;
/// The quantile at 1 - 1e-6 of a chi-square variable of [`PROBES`] degrees of freedom, over them. The mean of
/// |A w|^2 / |A|_F^2 over so many Gaussian vectors w exceeds it most often where A has rank one.
const EXCESS: f64 = 3.646;

/// Norms of the columns of A.
pub(crate) struct Lengths {
    of_columns: Vec<f64>,
    /// What the sum of their squares may exceed that of A by, as a factor.
    excess: f64,
}

impl Lengths {
    /// As they are known.
    pub fn by_rows(norms: &[f64]) -> Result<Self> {
        Ok(Self { of_columns: copied(norms, COLUMNS)?, excess: 1.0 })
    }

    /// All alike, by products with [`PROBES`] random vectors, which the driver counts.
    pub fn by_products<T: Real>(group: &Group<'_, '_, T, &dyn LinearOperator>, seed: u64) -> Result<Self> {
        let d = group.design.ncols();
        let norm = norm_by_probes(group, seed)? / (d as f64).sqrt();
        Ok(Self { of_columns: filled(norm, d, COLUMNS)?, excess: EXCESS })
    }
}

impl Units {
    fn new<T: Real, M: Passes<T>>(group: &Group<'_, '_, T, M>, lengths: Lengths) -> Result<Self> {
        let (d, Lengths { of_columns: norms, excess }) = (group.design.ncols(), lengths);
        let with_ridge = (0..d).map(|j| norms[j].hypot(group.root_ridge(j)));
        let scale = collected(with_ridge.map(power_of_two_below), COLUMNS)?;
        let root_ridge = match group.ridge > 0.0 {
            true => collected((0..d).map(|j| group.root_ridge(j) / scale[j]), COLUMNS)?,
            false => Vec::new(),
        };
        let squares = norms.iter().zip(&scale).map(|(norm, scale)| (norm / scale).powi(2)).sum::<f64>();
        let ridge = norm(&root_ridge);
        let (frobenius, surely) = (squares.sqrt().hypot(ridge), (squares / excess).sqrt().hypot(ridge));
        Ok(Self { scale, norms, root_ridge, frobenius, surely })
    }

    /// Columns of which the ridge leaves next to nothing to see.
    fn hidden(&self) -> Result<Vec<usize>> {
        let is_hidden = |&j: &usize| self.norms[j] / self.scale[j] <= HIDDEN * self.root_ridge[j];
        collected((0..self.root_ridge.len()).filter(is_hidden), HIDDEN_COLUMNS)
    }

    /// The units of the caller, up to one factor for all columns.
    fn common<T: Real, M: Source>(design: &Design<'_, T, M>, units: &Self) -> Result<Self> {
        let d = units.norms.len();
        // Constant columns have no unit.
        let unit = |j: usize| if units.norms[j] > 0.0 { design.column_scale(j) } else { 1.0 };
        let equilibrated = (0..d).map(|j| units.norms[j] / unit(j));
        let largest = power_of_two_below(equilibrated.fold(0.0, f64::max));
        let scale = collected((0..d).map(|j| largest * unit(j)), COLUMNS)?;
        let frobenius =
            units.norms.iter().zip(&scale).map(|(norm, s)| (norm / s).powi(2)).sum::<f64>().sqrt();
        let norms = copied(&units.norms, COLUMNS)?;
        Ok(Self { scale, norms, root_ridge: Vec::new(), frobenius, surely: frobenius })
    }

    /// diag(1 / scale) X
    fn divided(&self, x: &Mat<f64>) -> Result<Mat<f64>> {
        Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] / self.scale[i])
    }

    /// Bidiagonalisations from the residuals at `x`, one for each of the targets `active`.
    fn start<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        x: &Mat<f64>,
        active: &[usize],
    ) -> Result<Vec<Bidiagonalisation>> {
        let design = group.design;
        let targets = collected(active.iter().map(|&position| group.targets[position]), TARGETS)?;
        let residual = residuals(group.context, design, &self.divided(x)?, Sides::Targets(&targets))?;
        let mut sides = room_for(targets.len(), TARGETS)?;
        for (i, &target) in targets.iter().enumerate() {
            let below = self.root_ridge.iter().zip(x.col(i)).map(|(root, x)| -root * x);
            let below = collected(below, VECTORS)?;
            let mut side =
                Bidiagonalisation::new(residual.col(i), below, x.col(i), design.target_norm(target))?;
            let size = norm(x.col(i));
            if size > 0.0 {
                side.farthest = FAR.max(1e3 * T::UNIT_ROUNDOFF) * size;
            }
            if design.means().is_some() {
                let entries = residual.col(i).iter().enumerate();
                side.residual_total = entries.map(|(row, value)| value * design.root_weight(row)).sum();
            }
            push(&mut sides, side, TARGETS)?;
        }
        self.begin(group, &mut sides)?;
        Ok(sides)
    }

    /// The first right vectors.
    fn begin<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        sides: &mut [Bidiagonalisation],
    ) -> Result<()> {
        let all = collected(0..sides.len(), TARGETS)?;
        let left = gather(sides, &all, |side| &side.u)?;
        let gradient = transposed_product(group.context, group.design, &left)?;
        for (i, side) in sides.iter_mut().enumerate() {
            side.begin(gradient.col(i), self);
        }
        Ok(())
    }
}

/// |A|_F of an operator, from its products with Gaussian vectors.
fn norm_by_probes<T: Real>(group: &Group<'_, '_, T, &dyn LinearOperator>, seed: u64) -> Result<f64> {
    let random = Stream::new(seed, 0, PROBE);
    let probes =
        Mat::from_fn(group.design.ncols(), PROBES, |i, probe| random.normal(i as u64, probe as u64))?;
    let images = product(group.context, group.design, &probes)?;
    let largest = images.as_slice().iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return Ok(0.0);
    }
    let squares: f64 = images.as_slice().iter().map(|value| (value / largest).powi(2)).sum();
    Ok((squares / PROBES as f64).sqrt() * largest)
}

/// LSMR for one target: min |A dx - r| from the residual r of x.
struct Bidiagonalisation {
    /// The latest left vector: n entries, and below them d more where there is a ridge.
    u: Vec<f64>,
    below: Vec<f64>,
    /// The latest right vector, and how long it was.
    v: Vec<f64>,
    alpha: f64,
    beta: f64,
    /// dx and its directions, as in the paper.
    x: Vec<f64>,
    h: Vec<f64>,
    hbar: Vec<f64>,
    zetabar: f64,
    alphabar: f64,
    rho: f64,
    rhobar: f64,
    cbar: f64,
    sbar: f64,
    phibar: f64,
    /// phi_j squared.
    energies: Vec<f64>,
    /// rho_j and theta_(j+1) squared, of the triangle of the bidiagonal matrix.
    triangle: Vec<[f64; 2]>,
    /// A bound on what later iterations add to them, over the square of what is left of the gradient: after Gauss and
    /// Radau, from the ridge as a bound on the spectrum. Infinite without one.
    unseen: f64,
    least_eigenvalue: f64,
    exhausted: bool,
    /// Alphas and betas that are nothing else.
    rounding: f64,
    /// A gradient that is little else.
    least_gradient: f64,
    /// Longest step.
    farthest: f64,
    /// Whether the rest of the bidiagonal matrix is rounding.
    lost: bool,
    /// Of the diagonal rhobar_j.
    largest: f64,
    smallest: f64,
    /// Whether later iterations would add nothing that matters.
    settled: bool,
    /// What is known of x.
    residual_norm: f64,
    residual_total: f64,
    /// |g| / |r|
    slope: f64,
    start: Vec<f64>,
    target_norm: f64,
    frobenius: f64,
}

impl Bidiagonalisation {
    fn new(residual: &[f64], below: Vec<f64>, x: &[f64], target_norm: f64) -> Result<Self> {
        let zeros = || zeros(x.len(), VECTORS);
        let mut side = Self {
            u: copied(residual, VECTORS)?,
            below,
            v: zeros()?,
            alpha: 0.0,
            beta: 0.0,
            x: zeros()?,
            h: zeros()?,
            hbar: zeros()?,
            zetabar: 0.0,
            alphabar: 0.0,
            rho: 1.0,
            rhobar: 1.0,
            cbar: 1.0,
            sbar: 0.0,
            phibar: 0.0,
            energies: Vec::new(),
            triangle: Vec::new(),
            unseen: f64::INFINITY,
            least_eigenvalue: 0.0,
            exhausted: false,
            rounding: 0.0,
            least_gradient: 0.0,
            farthest: f64::INFINITY,
            lost: false,
            largest: 0.0,
            smallest: f64::INFINITY,
            settled: false,
            residual_norm: 0.0,
            residual_total: 0.0,
            slope: 0.0,
            start: copied(x, VECTORS)?,
            target_norm,
            frobenius: 0.0,
        };
        side.normalise_left();
        side.residual_norm = side.beta;
        side.phibar = side.beta;
        Ok(side)
    }

    /// Takes A'u of the first u.
    fn begin(&mut self, gradient: &[f64], units: &Units) {
        self.frobenius = units.frobenius;
        self.least_eigenvalue =
            units.root_ridge.iter().fold(f64::INFINITY, |least, &root| least.min(root)).powi(2);
        self.unseen = self.least_eigenvalue.recip();
        if !self.unseen.is_finite() || self.unseen == 0.0 {
            (self.least_eigenvalue, self.unseen) = (0.0, f64::INFINITY);
        }
        let from_zero = self.start.iter().all(|&x| x == 0.0);
        self.rounding = match units.root_ridge.iter().any(|&root| root > 0.9) {
            // What a column has to say of x is far below rounding where a ridge dominates it, and the ridge keeps it near.
            true => 0.0,
            false if from_zero => EXHAUSTED_AT_FIRST * units.frobenius,
            false => EXHAUSTED * units.frobenius,
        };
        if !from_zero && self.rounding > 0.0 {
            self.least_gradient = STATIONARY * units.frobenius * self.beta;
        }
        self.next_right(gradient, units);
        self.slope = self.alpha;
        self.h.clone_from(&self.v);
        (self.alphabar, self.zetabar) = (self.alpha, self.alpha * self.beta);
        // x is a minimiser already.
        self.settled = self.alpha * self.beta == 0.0;
    }

    /// u = A v - alpha u, given A v.
    fn take_image(&mut self, image: &[f64], units: &Units) {
        self.u.iter_mut().zip(image).for_each(|(u, image)| *u = image - self.alpha * *u);
        let roots = units.root_ridge.iter().zip(&self.v);
        self.below
            .iter_mut()
            .zip(roots)
            .for_each(|(below, (root, v))| *below = root * v - self.alpha * *below);
        self.normalise_left();
        if self.beta <= self.rounding {
            self.beta = 0.0;
            self.u.iter_mut().chain(&mut self.below).for_each(|u| *u = 0.0);
        }
    }

    fn normalise_left(&mut self) {
        self.beta = norm(&self.u).hypot(norm(&self.below));
        if self.beta > 0.0 {
            self.u.iter_mut().chain(&mut self.below).for_each(|u| *u /= self.beta);
        }
    }

    /// v = A'u - beta v, given the part of A'u that comes from A itself.
    fn next_right(&mut self, gradient: &[f64], units: &Units) {
        for (j, v) in self.v.iter_mut().enumerate() {
            let ridge = units.root_ridge.get(j).map_or(0.0, |root| root * self.below[j]);
            *v = gradient[j] / units.scale[j] + ridge - self.beta * *v;
        }
        self.alpha = norm(&self.v);
        if self.alpha > 0.0 {
            self.v.iter_mut().for_each(|v| *v /= self.alpha);
        }
    }

    /// The rest of an iteration: two plane rotations and the new dx.
    fn take_gradient(&mut self, gradient: &[f64], units: &Units) -> Result<()> {
        self.next_right(gradient, units);
        self.exhausted = self.beta == 0.0 || self.alpha <= self.rounding;
        let (rho_before, rhobar_before) = (self.rho, self.rhobar);
        let rho = self.alphabar.hypot(self.beta);
        let (c, s) = (self.alphabar / rho, self.beta / rho);
        let theta = s * self.alpha;
        let thetabar = self.sbar * rho;
        let rhobar = (self.cbar * rho).hypot(theta);
        let largest = self.largest.max(rhobar);
        let cbar = self.cbar * rho / rhobar;
        let (along, turn) = (cbar * self.zetabar / (rho * rhobar), theta / rho);
        let back = thetabar * rho / (rho_before * rhobar_before);
        self.hbar.iter_mut().zip(&self.h).for_each(|(hbar, h)| *hbar = h - back * *hbar);
        if rhobar * WORST < largest || along.abs() * norm(&self.hbar) > self.farthest {
            self.lost = true;
            return Ok(());
        }
        (self.rho, self.rhobar, self.largest) = (rho, rhobar, largest);
        self.smallest = self.smallest.min(rhobar);
        self.alphabar = c * self.alpha;
        let rest = (self.unseen - rho.powi(-2)).max(f64::EPSILON * self.unseen);
        if self.least_eigenvalue > 0.0 {
            self.unseen = rest / (self.least_eigenvalue * rest + (theta / rho).powi(2));
        }
        push(&mut self.triangle, [rho * rho, theta * theta], VECTORS)?;
        push(&mut self.energies, (c * self.phibar).powi(2), VECTORS)?;
        self.phibar *= s;
        (self.cbar, self.sbar) = (cbar, theta / rhobar);
        self.zetabar *= -self.sbar;
        for j in 0..self.x.len() {
            self.x[j] += along * self.hbar[j];
            self.h[j] = self.v[j] - turn * self.h[j];
        }
        Ok(())
    }

    /// |(A'A)^(-1/2) g| of x that would make its backward error the tolerance.
    fn goal(&self, tolerance: f64) -> f64 {
        let size = self.start.iter().zip(&self.x).map(|(x, dx)| (x + dx).powi(2)).sum::<f64>().sqrt();
        tolerance / backward_error_of_image(self.frobenius, 1.0, size, self.target_norm)
    }

    /// What the iterations before the last `skipped` of a window of `window` added.
    fn latest(&self, window: usize, skipped: usize) -> f64 {
        let end = self.energies.len() - skipped;
        self.energies[end - window..end].iter().sum::<f64>().sqrt()
    }

    /// The contributions of the latest window, and by what factor they fell from one window to the next.
    fn fall(&self, window: usize) -> Option<(f64, f64)> {
        let enough = self.energies.len() >= 2 * window;
        enough.then(|| (self.latest(window, 0), self.latest(window, 0) / self.latest(window, window)))
    }

    /// Decides whether the side is settled: what is left to add, if contributions go on to fall as they did, is
    /// little beside what would do.
    fn settle(&mut self, tolerance: f64, window: usize) -> bool {
        let little = |(latest, ratio): (f64, f64)| {
            let left = if ratio < 1.0 { latest * ratio / (1.0 - ratio) } else { 1e3 * latest };
            left <= 0.25 * self.goal(tolerance)
        };
        let broken = !self.rho.is_finite() || !self.rhobar.is_finite() || self.lost;
        let complete = match self.left() {
            Some(left) => left.sqrt() <= 0.25 * self.goal(tolerance),
            None => self.fall(window).is_some_and(little),
        };
        self.settled = !broken && (self.exhausted || complete);
        self.has_ended() || broken
    }

    /// Whether more iterations would gain nothing: what they would start from is rounding.
    fn has_ended(&self) -> bool {
        self.settled || self.zetabar.abs() <= self.least_gradient
    }

    /// Iterations needed in all by the same reckoning; 0 while it is too early to tell.
    fn iterations_needed(&self, tolerance: f64) -> f64 {
        let made = self.energies.len();
        let window = WINDOW.max(made / 4);
        match self.fall(window) {
            Some((latest, ratio)) if made >= 4 * WINDOW => {
                let more = window as f64 * (self.goal(tolerance) / latest).ln() / ratio.min(1.0).ln();
                made as f64 + if more.is_nan() { 0.0 } else { more.max(0.0) }
            }
            _ => 0.0,
        }
    }

    /// A bound on what later iterations would add to the energies, where a ridge gives one.
    fn left(&self) -> Option<f64> {
        (self.least_eigenvalue > 0.0).then(|| self.unseen * (self.phibar * self.alphabar).powi(2))
    }

    /// |(A'A)^(-1/2) g| of x, if the sum of energies is complete but for what is left.
    fn image(&self) -> f64 {
        (self.energies.iter().sum::<f64>() + self.left().unwrap_or(0.0)).sqrt()
    }

    /// Of x: the estimate if the sum of energies is complete, else the bound.
    fn backward_error(&self, units: &Units, complete: bool) -> f64 {
        let image = if complete { self.image().min(self.residual_norm) } else { self.residual_norm };
        self.error_of(units.frobenius, image).min(self.damped_bound(units.frobenius))
    }

    fn bound(&self, units: &Units) -> f64 {
        let image = if self.least_eigenvalue > 0.0 { self.image() } else { f64::INFINITY };
        self.error_of(units.surely, self.residual_norm.min(image)).min(self.damped_bound(units.surely))
    }

    /// The bound of Karlson and Walden's estimate: w^2 is one on the spectrum of A'A + w^2 I, so that after Gauss and Radau
    /// no continuation of the bidiagonal matrix makes |(A'A + w^2 I)^(-1/2) g| larger than one that is singular next.
    fn damped_bound(&self, frobenius: f64) -> f64 {
        let size = norm(&self.start);
        let damping = (damped_ratio(frobenius, size, self.target_norm) * self.residual_norm).powi(2);
        let pivot = |below: f64, &[rho, theta]: &[f64; 2]| damping + rho * below / (below + theta);
        let pivot = self.triangle.iter().rev().fold(damping, pivot);
        let image = self.slope * self.residual_norm / pivot.sqrt();
        let bound = SQRT_2 * backward_error_of_image(frobenius, image, size, self.target_norm);
        if bound.is_nan() { f64::INFINITY } else { bound }
    }

    fn error_of(&self, frobenius: f64, image: f64) -> f64 {
        let by_image = backward_error_of_image(frobenius, image, norm(&self.start), self.target_norm);
        let by_slope = self.slope / frobenius;
        if by_slope < by_image { by_slope } else { by_image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, assert_near, forms, operator_forms};

    fn lengths(group: &Group<'_, '_, f64>) -> Result<Lengths> {
        Lengths::by_rows(&group.design.column_norms(group.context)?)
    }

    const PATIENT: Limit = Limit { iterations: 500, in_all: 500, gives_up: false };

    fn solved<M: Passes<f64>>(
        group: &Group<'_, '_, f64, M>,
        lengths: Result<Lengths>,
        limit: Limit,
    ) -> Unfactored {
        match lsmr(group, lengths.unwrap(), limit, 0).unwrap() {
            Outcome::Unfactored(found) => found,
            _ => panic!("no factor"),
        }
    }

    #[test]
    fn the_minimiser_by_products_alone() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            instance.with_group(form, ridge, |group| {
                let found = solved(group, lengths(group), PATIENT);
                instance.assert_solved(form, group, &found.refined, found.scale.as_ref().unwrap());
            });
        }
        for (form, ridge) in operator_forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            instance.with_operator(form, ridge, |group| {
                let found = solved(group, Lengths::by_products(group, 0), PATIENT);
                instance.assert_solved(form, group, &found.refined, found.scale.as_ref().unwrap());
            });
        }
    }

    #[test]
    fn no_iteration_goes_beyond_the_limit_not_even_for_a_shorter_answer() {
        let mut instance = Instance::new(60, 5);
        let twin: Vec<f64> = instance.a.col(0).iter().map(|value| 64.0 * value).collect();
        instance.a.col_mut(1).copy_from_slice(&twin);
        let form = forms().next().unwrap();
        instance.with_group(form, 0.0, |group| {
            let within = |in_all: usize| {
                let limit = Limit { iterations: in_all.min(500), in_all, gives_up: false };
                solved(group, lengths(group), limit)
            };
            let free = within(usize::MAX);
            assert!(free.refined.settled && free.is_shortest);
            for target in 0..2 {
                let scale = free.scale.as_ref().unwrap();
                let x = |j: usize| free.refined.x[(j, target)] / scale[j];
                assert_near(x(1), 64.0 * x(0), "the share of the longer column");
            }
            let mut longer = 0;
            for in_all in 1..free.iterations {
                let found = within(in_all);
                assert!(found.iterations <= in_all && found.refined.passes > found.iterations);
                assert!(found.refined.settled || found.iterations == in_all);
                longer += usize::from(found.refined.settled && !found.is_shortest);
            }
            assert!(longer > 0, "the search was never cut off");
        });
    }
}
