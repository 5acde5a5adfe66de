//! Sketch-preconditioned iterations with rounds of refinement: SPIR (conjugate gradients inside) and FOSSILS
//! (heavy ball inside), after Epperly, Meier and Nakatsukasa (2024).
//!
//! In the coordinates y = R1 x of a sketch R1 the normal equations M y = c have
//! M = R1'^-1 A'A R1^-1, whose spectrum lies in [(1 + eta)^-2, (1 - eta)^-2] with eta about sqrt(d / m). A first
//! round solves them from the sketch-and-solve answer; the next, started from the residual of the last,
//! make the answer backward stable. Every inner iteration is one read of A.

use crate::error::Result;
use crate::linalg;
use crate::linalg::{Factor, norm};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, gathered, push, room_for, zeros};
use crate::regression::design::pass::Passes;
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::methods::sketched::SketchFactor;
use crate::regression::refine::{Group, Refined, Scaled, TARGETS, columns};

/// The inner iteration.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Inner {
    ConjugateGradients,
    /// With momentum beta = d / m.
    HeavyBall {
        momentum: f64,
    },
}

impl Inner {
    /// Heavy ball or not, by a sketch of m rows of d columns.
    pub fn of(heavy_ball: bool, d: usize, m: usize) -> Self {
        match heavy_ball {
            true => Self::HeavyBall { momentum: d as f64 / m as f64 },
            false => Self::ConjugateGradients,
        }
    }
}

/// Two rounds suffice where the rows of A are of one size; columns that few rows carry need another.
const MOST_ROUNDS: usize = 5;
/// Most inner iterations in a round.
const MOST_ITERATIONS: usize = 100;
/// Inner iterations between two looks at the backward error after the first round.
const CHECK_EVERY: usize = 5;
/// A round ends when so many looks in a row have not halved the backward error.
const IDLE_LOOKS: usize = 3;
/// The sketch has failed when the iteration leaves the spectrum that it promised.
const DIVERGENCE: f64 = 1e8;

/// SPIR or FOSSILS for one group of targets.
pub(crate) fn spir<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    sketched: SketchFactor,
    inner: Inner,
) -> Result<Outcome> {
    let SketchFactor { scaled, x, condition, .. } = sketched;
    // Beyond this the triangle alone no longer carries the small directions: use its SVD.
    let scaled = if condition > 1e12 { spectral(scaled)? } else { scaled };
    let k = group.targets.len();
    let mut state = Rounds::new(group, &scaled, x)?;
    let mut active = collected(0..k, TARGETS)?;
    state.measure(&active, None)?;
    for round in 0..MOST_ROUNDS {
        let before = copied(&state.best.backward_error, TARGETS)?;
        active.retain(|&position| !state.met(position));
        if active.is_empty() {
            break;
        }
        state.round(&active, inner, condition, round == 0)?;
        if round > 0 {
            active.retain(|&position| state.best.backward_error[position] < 0.5 * before[position]);
        }
    }
    let mut best = state.best;
    if group.ridge_dominates(&scaled.scale) {
        let refined = group.refine(&scaled, best.x, None, 0.9)?;
        best = Refined { passes: best.passes + refined.passes, ..refined };
    }
    best.settled = (0..k).all(|position| group.is_accepted(&best, position));
    Ok(Outcome::Factored(Factored { refined: best, scaled, condition }))
}

fn spectral(scaled: Scaled) -> Result<Scaled> {
    let factor = match scaled.factor {
        Factor::Triangle(r) => {
            let svd = linalg::svd(r.as_ref())?;
            Factor::Spectral(svd.v, svd.s)
        }
        factor => factor,
    };
    Ok(Scaled { factor, ..scaled })
}

/// The answers of the rounds so far.
struct Rounds<'g, 'p, 'a, T, M> {
    group: &'g Group<'p, 'a, T, M>,
    scaled: &'g Scaled,
    /// Where the present round started.
    x: Mat<f64>,
    /// R'^-1 of the gradient at the best answers.
    start: Mat<f64>,
    best: Refined,
}

impl<'g, 'p, 'a, T: Real, M: Passes<T>> Rounds<'g, 'p, 'a, T, M> {
    fn new(group: &'g Group<'p, 'a, T, M>, scaled: &'g Scaled, x: Mat<f64>) -> Result<Self> {
        let (k, best) = (group.targets.len(), Refined::starting_at(&x)?);
        Ok(Self { group, scaled, start: Mat::zeros(scaled.factor.rank(), k)?, x, best })
    }

    fn met(&self, position: usize) -> bool {
        self.best.backward_error[position] <= self.group.tolerance
    }

    /// Measures x + R^-1 y of the active answers, and keeps what is better.
    fn measure(&mut self, active: &[usize], sides: Option<&[InnerIteration]>) -> Result<()> {
        let mut x = columns(&self.x, active)?;
        if let Some(sides) = sides {
            let step = self.scaled.factor.unwhiten(&gather(active, |position| &sides[position].y)?)?;
            x.as_mut_slice().iter_mut().zip(step.as_slice()).for_each(|(x, step)| *x += step);
        }
        let pass = self.group.pass(&self.scaled.scale, &x, active)?;
        self.best.passes += 1;
        let whitened = self.scaled.factor.whiten(&pass.gradient)?;
        for (side, &position) in active.iter().enumerate() {
            let answer = self.group.answer(self.scaled, &pass, &whitened, &x, side, position);
            let mut error = answer.quick_backward_error();
            if error > self.group.tolerance && error.is_finite() {
                error = answer.backward_error(&self.scaled.factor)?;
            }
            if self.best.keep_better(position, error, &pass, &x, side) {
                self.start.col_mut(position).copy_from_slice(whitened.col(side));
            }
        }
        Ok(())
    }

    /// One round from the best answers on.
    fn round(&mut self, active: &[usize], inner: Inner, condition: f64, first: bool) -> Result<()> {
        let k = self.group.targets.len();
        for &position in active {
            self.x.col_mut(position).copy_from_slice(self.best.x.col(position));
        }
        let mut running = copied(active, TARGETS)?;
        let side = |position: usize| InnerIteration::new(self.start.col(position));
        let mut sides = gathered((0..k).map(side), TARGETS)?;
        let tolerance = |position: usize| {
            let size = norm(self.x.col(position)) * (self.x.nrows() as f64).sqrt();
            let noise = 0.04 * condition * self.best.residual_norm[position];
            10.0 * (size + noise) * self.group.tolerance
        };
        let tolerance = collected((0..k).map(tolerance), TARGETS)?;
        let products = self.normal_product(&running, |position| &sides[position].y)?;
        for (side, &position) in running.iter().enumerate() {
            sides[position].begin(products.col(side));
        }
        let mut errors = copied(&self.best.backward_error, TARGETS)?;
        let mut idle: Vec<usize> = zeros(k, TARGETS)?;
        for iteration in 1..=MOST_ITERATIONS {
            let products = match inner {
                Inner::ConjugateGradients => self.normal_product(&running, |position| &sides[position].p)?,
                Inner::HeavyBall { .. } => self.normal_product(&running, |position| &sides[position].y)?,
            };
            let mut going = room_for(running.len(), TARGETS)?;
            for (side, &position) in running.iter().enumerate() {
                let update = match inner {
                    Inner::ConjugateGradients => sides[position].conjugate_step(products.col(side)),
                    Inner::HeavyBall { momentum } => {
                        sides[position].heavy_ball_step(products.col(side), momentum)
                    }
                };
                let diverged =
                    !update.is_finite() || norm(&sides[position].y) > DIVERGENCE * norm(&sides[position].c);
                if !diverged && update > 0.0 && (!first || update > tolerance[position]) {
                    push(&mut going, position, TARGETS)?;
                }
            }
            let check = !first && iteration % CHECK_EVERY == 0;
            if check && !going.is_empty() {
                self.measure(&going, Some(&sides))?;
                going.retain(|&position| {
                    let error = self.best.backward_error[position];
                    idle[position] = if error < 0.5 * errors[position] { 0 } else { idle[position] + 1 };
                    errors[position] = error;
                    error > self.group.tolerance && idle[position] < IDLE_LOOKS
                });
            }
            running = going;
            self.best.report(self.group.context, self.best.passes, MOST_ITERATIONS)?;
            if running.is_empty() {
                break;
            }
        }
        let unmet = collected(active.iter().copied().filter(|&position| !self.met(position)), TARGETS)?;
        if !unmet.is_empty() {
            self.measure(&unmet, Some(&sides))?;
        }
        Ok(())
    }

    /// M y for the running answers.
    fn normal_product<'v>(
        &mut self,
        running: &[usize],
        y: impl Fn(usize) -> &'v Vec<f64>,
    ) -> Result<Mat<f64>> {
        let stacked = gather(running, y)?;
        self.best.passes += 1;
        self.group.normal_product(self.scaled, &stacked)
    }
}

fn gather<'v>(which: &[usize], vector: impl Fn(usize) -> &'v Vec<f64>) -> Result<Mat<f64>> {
    let len = which.first().map_or(0, |&first| vector(first).len());
    Mat::from_fn(len, which.len(), |i, j| vector(which[j])[i])
}

/// The inner iteration of one answer: M y = c.
pub(crate) struct InnerIteration {
    c: Vec<f64>,
    pub y: Vec<f64>,
    /// The last y but one, or unused.
    previous: Vec<f64>,
    /// Residual and direction of the conjugate gradients.
    pub q: Vec<f64>,
    pub p: Vec<f64>,
}

impl InnerIteration {
    /// y = c
    pub fn new(c: &[f64]) -> Result<Self> {
        let copy = || copied(c, "vectors of an iteration");
        Ok(Self { c: copy()?, y: copy()?, previous: copy()?, q: copy()?, p: copy()? })
    }

    /// Takes M y for the first y.
    pub fn begin(&mut self, product: &[f64]) {
        self.q.iter_mut().zip(&self.c).zip(product).for_each(|((q, c), product)| *q = c - product);
        self.p.clone_from(&self.q);
    }

    /// Takes M p. Gives the length of the update; NaN if M is not positive along the direction.
    pub fn conjugate_step(&mut self, product: &[f64]) -> f64 {
        let squares = norm(&self.q).powi(2);
        let curvature: f64 = self.p.iter().zip(product).map(|(p, mp)| p * mp).sum();
        if squares == 0.0 {
            return 0.0;
        }
        if curvature.is_nan() || curvature <= 0.0 {
            return f64::NAN;
        }
        let step = squares / curvature;
        for i in 0..self.y.len() {
            self.y[i] += step * self.p[i];
            self.q[i] -= step * product[i];
        }
        let ratio = norm(&self.q).powi(2) / squares;
        let length = step * norm(&self.p);
        self.p.iter_mut().zip(&self.q).for_each(|(p, q)| *p = q + ratio * *p);
        length
    }

    fn heavy_ball_step(&mut self, product: &[f64], momentum: f64) -> f64 {
        let step = (1.0 - momentum).powi(2);
        let mut squares = 0.0;
        for i in 0..self.y.len() {
            let update = step * (self.c[i] - product[i]) + momentum * (self.y[i] - self.previous[i]);
            self.previous[i] = self.y[i];
            self.y[i] += update;
            squares += update * update;
        }
        squares.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::methods::outcome::Factored;
    use crate::regression::methods::sketched::{SketchPlan, sketched};
    use crate::regression::testing::{Instance, forms};
    use crate::sketch::Kind;

    #[test]
    fn the_minimiser_by_either_inner_iteration() {
        let instance = Instance::new(400, 5);
        let plan = SketchPlan { kind: Kind::SparseSign { zeta: 4 }, rows: 80, seed: 1, draw: 0 };
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            for heavy_ball in [false, true] {
                instance.with_group(form, ridge, |group| {
                    let inner = Inner::of(heavy_ball, 5, 80);
                    let found = spir(group, sketched(group, plan).unwrap(), inner).unwrap();
                    let Outcome::Factored(Factored { refined, scaled, .. }) = found else {
                        panic!("a factor of the sketch")
                    };
                    instance.assert_solved(form, group, &refined, &scaled.scale);
                });
            }
        }
    }
}
