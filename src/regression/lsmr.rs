//! LSMR (Fong and Saunders 2011): two products with A an iteration, no factor of A and next to no memory.
//!
//! The Golub-Kahan process turns A, over its ridge, into a lower bidiagonal matrix, and the iterates minimise |A'r|
//! over growing Krylov spaces from zero on, which is why the answer is the one of least norm. The iterations
//! needed grow with the condition number.
//!
//! LSMR restarts from the explicit residual of its answer until the answer is backward stable. A restart measures
//! where it starts: the numbers phi_j of the bidiagonalisation add up to |(A'A)^(-1/2) g|^2, all but what later
//! iterations would still add, and a round goes on until the latest of them no longer matter. The estimate of
//! the backward error is made of that sum. Its bound is Stewart's |g| / |r|, for which nothing is estimated.

use super::ladder::Outcome;
use super::pass::{Sides, residuals};
use super::products::{product, transposed_product};
use super::refine::{Group, Refined, columns};
use crate::certify::{backward_error_of_image, norm};
use crate::error::Result;
use crate::linalg::power_of_two_below;
use crate::matrix::{Mat, Real, Rows};
use crate::random::Stream;
use crate::simd::Element;

/// How long LSMR may go on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Patience {
    /// Most reads of A, of two products each.
    pub reads: usize,
    /// Whether to give up as soon as more of them can be foreseen.
    pub foresees: bool,
}

/// Restarts; two suffice unless A is ill-conditioned.
const MOST_ROUNDS: usize = 6;
/// Latest iterations that tell how fast contributions fall: so many at least, and an eighth of all, as the slowest
/// components need the longest to show.
const WINDOW: usize = 5;

/// LSMR for one group of targets.
pub(crate) fn lsmr<T: Real + Element>(group: &Group<'_, '_, T>, patience: Patience) -> Result<Outcome> {
    let units = Units::new(group)?;
    let (d, k) = (group.design.ncols(), group.targets.len());
    let mut x = Mat::zeros(d, k)?;
    let mut best = Refined::starting_at(&x)?;
    // What the norm of an operator takes, the driver counts.
    best.passes = usize::from(group.design.operator().is_none());
    let mut bound = vec![f64::INFINITY; k];
    let mut condition = 1.0f64;
    let mut active: Vec<usize> = (0..k).collect();
    for round in 0..MOST_ROUNDS {
        let mut sides = units.start(group, &columns(&x, &active)?, &active)?;
        best.passes += 1;
        let last = best.passes >= patience.reads;
        let patience = Patience { foresees: patience.foresees && round == 0, ..patience };
        if let Some(needed) = run(group, &units, patience, &mut sides, &mut best)? {
            return Ok(Outcome::Slow { made: best.passes, needed });
        }
        let mut going = Vec::new();
        for (side, &position) in sides.iter().zip(&active) {
            condition = condition.max(side.largest / side.smallest);
            let last_error = best.backward_error[position];
            let error = side.backward_error(&units, side.settled);
            if error < last_error {
                best.backward_error[position] = error;
                best.residual_norm[position] = side.residual_norm;
                best.residual_total[position] = side.residual_total;
                best.x.col_mut(position).copy_from_slice(x.col(position));
                bound[position] = side.backward_error(&units, false);
            }
            let stagnated = round > 0 && error > 0.5 * last_error;
            // Under a ridge that dominates, zero is as good an answer as the backward error can tell.
            let is_trivial = round == 0 && group.ridge_dominates(&units.scale) && side.slope > 0.0;
            if error <= group.tolerance && !is_trivial || stagnated || error.is_nan() {
                continue;
            }
            // Rounded here, so that what is measured is what is returned.
            let moved = x.col_mut(position).iter_mut().zip(&side.x);
            moved.for_each(|(x, step)| *x = T::from_f64(*x + step).to_f64());
            going.push(position);
        }
        active = going;
        if active.is_empty() || last {
            break;
        }
    }
    best.settled = (0..k).all(|position| group.is_accepted(&best, position));
    Ok(Outcome::Unfactored(Unfactored { refined: best, bound, scale: units.scale, condition }))
}

/// Answers without a factor of A.
pub(crate) struct Unfactored {
    pub refined: Refined,
    /// Of the backward error of every answer.
    pub bound: Vec<f64>,
    /// The units of the answers.
    pub scale: Vec<f64>,
    /// Of the bidiagonal matrix: a lower bound on that of A.
    pub condition: f64,
}

/// Iterates until every side is settled or patience is at its end; the reads needed in all, if that can be
/// foreseen to be more.
fn run<T: Real + Element>(
    group: &Group<'_, '_, T>,
    units: &Units,
    patience: Patience,
    sides: &mut [Side],
    best: &mut Refined,
) -> Result<Option<usize>> {
    let mut running: Vec<usize> = (0..sides.len()).filter(|&side| !sides[side].settled).collect();
    while !running.is_empty() && best.passes < patience.reads {
        let v = gather(sides, &running, |side| &side.v)?;
        let image = product(group.context, group.design, &units.divided(&v)?)?;
        for (i, &side) in running.iter().enumerate() {
            sides[side].take_image(image.col(i), units);
        }
        let u = gather(sides, &running, |side| &side.u)?;
        let gradient = transposed_product(group.context, group.design, &u)?;
        for (i, &side) in running.iter().enumerate() {
            sides[side].take_gradient(gradient.col(i), units);
        }
        best.passes += 1;
        let window = WINDOW.max(best.passes / 8);
        running.retain(|&side| !sides[side].settle(group.tolerance, window));
        best.report(group.context, patience.reads)?;
        let needed = running.iter().map(|&side| sides[side].foresee(group.tolerance)).fold(0.0, f64::max);
        if patience.foresees && needed > patience.reads as f64 {
            return Ok(Some(needed.min(1e9) as usize));
        }
    }
    let slow = patience.foresees && !running.is_empty();
    Ok(slow.then_some(patience.reads + 1))
}

fn gather<'s>(
    sides: &'s [Side],
    which: &[usize],
    vector: impl Fn(&'s Side) -> &'s Vec<f64>,
) -> Result<Mat<f64>> {
    let len = which.first().map_or(0, |&first| vector(&sides[first]).len());
    Mat::from_fn(len, which.len(), |i, j| vector(&sides[which[j]])[i])
}

/// Units in which the columns of A, over its ridge, have norms near one, and the norm of A in them.
struct Units {
    /// Powers of two: a change of units rounds nothing.
    scale: Vec<f64>,
    /// Roots of the ridge in those units, empty without a ridge.
    root_ridge: Vec<f64>,
    frobenius: f64,
}

/// Random products that the norm of a linear operator is estimated from.
pub(crate) const PROBES: usize = 16;
/// Purpose of their stream.
const PROBE: u8 = 2;

impl Units {
    /// One read of A, or products with a few random vectors.
    fn new<T: Real + Element>(group: &Group<'_, '_, T>) -> Result<Self> {
        let (design, d) = (group.design, group.design.ncols());
        let norms = if design.operator().is_some() {
            let signs = Stream::new(0, 0, PROBE);
            let signs = Mat::from_fn(d, PROBES, |i, probe| signs.sign(i as u64, probe as u64))?;
            let images = product(group.context, design, &signs)?;
            let largest = images.as_slice().iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let share = largest / ((d * PROBES) as f64).sqrt();
            let norm = images.as_slice().iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt();
            vec![if largest > 0.0 { norm * share } else { 0.0 }; d]
        } else {
            design.column_norms(group.context)?.to_vec()
        };
        let norms: Vec<f64> = (0..d).map(|j| norms[j].hypot(group.root_ridge(j))).collect();
        let scale: Vec<f64> = norms.iter().map(|&norm| power_of_two_below(norm)).collect();
        let root_ridge = match group.ridge > 0.0 {
            true => (0..d).map(|j| group.root_ridge(j) / scale[j]).collect(),
            false => Vec::new(),
        };
        let frobenius =
            norms.iter().zip(&scale).map(|(norm, scale)| (norm / scale).powi(2)).sum::<f64>().sqrt();
        Ok(Self { scale, root_ridge, frobenius })
    }

    /// diag(1 / scale) X
    fn divided(&self, x: &Mat<f64>) -> Result<Mat<f64>> {
        Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] / self.scale[i])
    }

    /// Bidiagonalisations from the residuals at `x`, one for each of the targets `active`.
    fn start<T: Real + Element>(
        &self,
        group: &Group<'_, '_, T>,
        x: &Mat<f64>,
        active: &[usize],
    ) -> Result<Vec<Side>> {
        let design = group.design;
        let targets: Vec<usize> = active.iter().map(|&position| group.targets[position]).collect();
        let residual = residuals(group.context, design, &self.divided(x)?, Sides::Targets(&targets))?;
        let mut sides: Vec<Side> = Vec::with_capacity(targets.len());
        for (i, &target) in targets.iter().enumerate() {
            let below = self.root_ridge.iter().zip(x.col(i)).map(|(root, x)| -root * x).collect();
            let mut side = Side::new(residual.col(i), below, x.col(i), design.target_norm(target));
            if design.means().is_some() {
                let entries = residual.col(i).iter().enumerate();
                side.residual_total = entries.map(|(row, value)| value * design.root_weight(row)).sum();
            }
            sides.push(side);
        }
        let all: Vec<usize> = (0..sides.len()).collect();
        let gradient = transposed_product(group.context, design, &gather(&sides, &all, |side| &side.u)?)?;
        for (i, side) in sides.iter_mut().enumerate() {
            side.begin(gradient.col(i), self);
        }
        Ok(sides)
    }
}

/// LSMR for one target: min |A dx - r| from the residual r of x.
struct Side {
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

impl Side {
    fn new(residual: &[f64], below: Vec<f64>, x: &[f64], target_norm: f64) -> Self {
        let d = x.len();
        let mut side = Self {
            u: residual.to_vec(),
            below,
            v: vec![0.0; d],
            alpha: 0.0,
            beta: 0.0,
            x: vec![0.0; d],
            h: vec![0.0; d],
            hbar: vec![0.0; d],
            zetabar: 0.0,
            alphabar: 0.0,
            rho: 1.0,
            rhobar: 1.0,
            cbar: 1.0,
            sbar: 0.0,
            phibar: 0.0,
            energies: Vec::new(),
            largest: 0.0,
            smallest: f64::INFINITY,
            settled: false,
            residual_norm: 0.0,
            residual_total: 0.0,
            slope: 0.0,
            start: x.to_vec(),
            target_norm,
            frobenius: 0.0,
        };
        side.normalise_left();
        side.residual_norm = side.beta;
        side.phibar = side.beta;
        side
    }

    /// Takes A'u of the first u.
    fn begin(&mut self, gradient: &[f64], units: &Units) {
        self.frobenius = units.frobenius;
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
    fn take_gradient(&mut self, gradient: &[f64], units: &Units) {
        self.next_right(gradient, units);
        let (rho_before, rhobar_before) = (self.rho, self.rhobar);
        self.rho = self.alphabar.hypot(self.beta);
        let (c, s) = (self.alphabar / self.rho, self.beta / self.rho);
        let theta = s * self.alpha;
        self.alphabar = c * self.alpha;
        self.energies.push((c * self.phibar).powi(2));
        self.phibar *= s;

        let thetabar = self.sbar * self.rho;
        self.rhobar = (self.cbar * self.rho).hypot(theta);
        self.sbar = theta / self.rhobar;
        self.cbar *= self.rho / self.rhobar;
        let zeta = self.cbar * self.zetabar;
        self.zetabar *= -self.sbar;
        self.largest = self.largest.max(self.rhobar);
        self.smallest = self.smallest.min(self.rhobar);

        let back = thetabar * self.rho / (rho_before * rhobar_before);
        let (along, turn) = (zeta / (self.rho * self.rhobar), theta / self.rho);
        for j in 0..self.x.len() {
            self.hbar[j] = self.h[j] - back * self.hbar[j];
            self.x[j] += along * self.hbar[j];
            self.h[j] = self.v[j] - turn * self.h[j];
        }
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
        let exhausted = self.alpha * self.beta == 0.0;
        let broken = !self.rho.is_finite() || !self.rhobar.is_finite();
        self.settled = exhausted || self.fall(window).is_some_and(little);
        self.settled || broken
    }

    /// Iterations needed in all by the same reckoning; 0 while it is too early to tell.
    fn foresee(&self, tolerance: f64) -> f64 {
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

    /// Of x: the estimate if the sum of energies is complete, else the bound.
    fn backward_error(&self, units: &Units, complete: bool) -> f64 {
        let image = if complete { self.energies.iter().sum::<f64>().sqrt() } else { self.residual_norm };
        let by_image = backward_error_of_image(units.frobenius, image, norm(&self.start), self.target_norm);
        let by_slope = self.slope / units.frobenius;
        if by_slope < by_image { by_slope } else { by_image }
    }
}
