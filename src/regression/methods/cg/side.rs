//! Conjugate gradients for one right-hand side.

use crate::certify::{backward_error_of_image, damped_ratio};
use crate::error::Result;
use crate::linalg::{Quadrature, norm, smallest_eigenvalue};
use crate::memory::{copied, push, zeros};
use crate::simd::{advance, axpy_norm_sq};
use std::f64::consts::SQRT_2;

/// The gradient is rounding below this times the largest eigenvalue and the answer, or |A|_F and the residual.
const STATIONARY: f64 = 0.5 * f64::EPSILON / 2.0;
/// In the first round of an answer so many times that, as a round follows which measures its gradient anew: iterations
/// beyond it would walk along what A does not see.
const AT_FIRST: f64 = 16.0;
/// Within this factor of it, a gradient that has grown by so much from its least has been there already.
const NEAR: f64 = 1e3;
const GROWN: f64 = 1e2;
/// Gradients that have grown by this from their least are none any more.
const WILD: f64 = 1e6;
/// A round ends where what it still gains is less than this part of what would do.
const LITTLE: f64 = 0.3;
/// Iterations after which the error that a round starts from is taken as measured.
const MEASURED: usize = 10;
/// A random vector is all in the row space of A if no more than this of it is left.
pub(super) const LEFT: f64 = 1e-6;

/// What a side is there for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    /// An answer to a target of this norm.
    Answer { target_norm: f64 },
    /// What A does not see of a random vector.
    Probe,
}

/// What is known of the start of a round.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub residual_norm: f64,
    pub residual_total: f64,
    /// Known to be at most so much of an answer: half of what it may gain ends a round.
    pub best: f64,
    /// A bound on the spectrum from below that an earlier round estimated; 0 if there was none.
    pub least_eigenvalue: f64,
    /// True if the error of the start is to be measured on the way.
    pub measures: bool,
}

/// An error and bounds on it: the second needs no estimate of an eigenvalue.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub estimate: f64,
    pub bound: f64,
    pub rigorous: f64,
}

pub(super) struct Side {
    purpose: Purpose,
    pub start: Start,
    /// x, in the units of the columns, and how far it has been moved.
    x: Vec<f64>,
    pub y: Vec<f64>,
    /// The gradient at x + y, the direction, and the squared norm of the former.
    gradient: Vec<f64>,
    pub direction: Vec<f64>,
    /// The gradient at x.
    first: Vec<f64>,
    gamma: f64,
    /// |A|_F, |x| and |g|.
    frobenius: f64,
    size: f64,
    slope: f64,
    /// |x + y|
    reach: f64,
    /// The largest pivot: at most the largest eigenvalue.
    pub top: f64,
    /// 1 / a and the ratio of squared residuals of every iteration, and by how much it brought the squared residual down.
    coefficients: Vec<[f64; 2]>,
    energies: Vec<f64>,
    gained: f64,
    least: f64,
    quadrature: Quadrature,
    measured: Option<Measured>,
    /// Nothing more to do.
    pub has_ended: bool,
    /// The round is of no use.
    pub is_lost: bool,
}

impl Side {
    /// From x, where the gradient of half the squared residual is -`gradient`.
    pub fn new(purpose: Purpose, start: Start, frobenius: f64, x: &[f64], gradient: &[f64]) -> Result<Self> {
        let (size, slope) = (norm(x), norm(gradient));
        let mut side = Self {
            purpose,
            start,
            x: copied(x, VECTORS)?,
            y: zeros(x.len(), VECTORS)?,
            gradient: copied(gradient, VECTORS)?,
            direction: copied(gradient, VECTORS)?,
            first: copied(gradient, VECTORS)?,
            gamma: slope * slope,
            frobenius,
            size,
            slope,
            reach: size,
            top: 0.0,
            coefficients: Vec::new(),
            energies: Vec::new(),
            gained: 0.0,
            least: f64::INFINITY,
            quadrature: Quadrature::new(0.0),
            measured: None,
            has_ended: slope == 0.0,
            is_lost: !slope.is_finite(),
        };
        side.quadrature = Quadrature::new(side.damping().powi(2));
        Ok(side)
    }

    /// One iteration, given |A p|^2 and A'A p for the direction p, negated.
    pub fn step(&mut self, curvature: f64, negated: &[f64]) -> Result<()> {
        if curvature <= 0.0 || !curvature.is_finite() {
            // The direction is in the null space, or out of range.
            (self.has_ended, self.is_lost) = (true, !curvature.is_finite());
            return Ok(());
        }
        let step = self.gamma / curvature;
        let next = axpy_norm_sq(step, negated, &mut self.gradient);
        if self.has_been_there(next.sqrt()) {
            // What is left of the direction is rounding that A hardly sees.
            self.has_ended = true;
            return Ok(());
        }
        let ratio = next / self.gamma;
        let reach = advance(step, ratio, &self.gradient, &self.x, &mut self.y, &mut self.direction);
        push(&mut self.coefficients, [step.recip(), ratio], VECTORS)?;
        push(&mut self.energies, step * self.gamma, VECTORS)?;
        self.gained += step * self.gamma;
        self.quadrature.add(step.recip(), ratio);
        (self.gamma, self.least) = (next, self.least.min(next));
        self.reach = reach.sqrt();
        self.top = self.top.max(step.recip());
        self.is_lost = !next.is_finite() || next > WILD * WILD * self.least;
        Ok(())
    }

    /// What rounding leaves of a gradient.
    fn rounding(&self) -> f64 {
        let level = self.top * self.reach.max(self.size) + 0.5 * self.frobenius * self.start.residual_norm;
        let is_last = self.is_probe() || self.start.measures;
        if is_last { STATIONARY * level } else { AT_FIRST * STATIONARY * level }
    }

    /// True if gradients have come near that, and this one has grown again.
    fn has_been_there(&self, slope: f64) -> bool {
        let least = self.least.sqrt();
        slope > GROWN * least && least <= NEAR * self.rounding()
    }

    /// Decides whether another iteration is worth its read.
    pub fn settle(&mut self, tolerance: f64) {
        if self.has_ended || self.is_lost {
            self.has_ended = true;
            return;
        }
        let slope = self.gamma.sqrt();
        let is_stationary = slope <= self.rounding();
        match self.purpose {
            Purpose::Probe => self.has_ended = is_stationary || self.reach <= LEFT * self.size,
            Purpose::Answer { .. } => {
                let left = (self.start.residual_norm.powi(2) - self.gained)
                    .max(1e-30 * self.start.residual_norm.powi(2));
                let is_small = slope <= LITTLE * tolerance * self.frobenius * left.sqrt();
                let gains_little =
                    self.coefficients.len() >= 3 && self.latest() <= LITTLE * self.goal(tolerance);
                self.has_ended = is_stationary || is_small || gains_little;
                self.measure(tolerance);
            }
        }
    }

    /// The error of the start, once enough is known of it; if that is good enough, or no better than before, the round ends.
    fn measure(&mut self, tolerance: f64) {
        if !self.start.measures || self.measured.is_some() {
            return;
        }
        let now = self.by_quadrature();
        let low = self.error_of(self.slope * self.quadrature.low());
        let enough = low > tolerance || now.bound <= 3.0 * low || self.coefficients.len() >= MEASURED;
        if enough || self.has_ended {
            self.measured = Some(now);
            self.has_ended |= now.estimate <= tolerance || now.estimate > 0.5 * self.start.best;
        }
    }

    /// The latest iterations' part in the squared residual: of an eighth of them, as the slowest components need the
    /// longest to show.
    fn latest(&self) -> f64 {
        let count = (self.energies.len() / 8).max(2);
        self.energies.iter().rev().take(count).sum::<f64>().sqrt()
    }

    /// |(A'A)^(-1/2) g| that would make the backward error the tolerance.
    fn goal(&self, tolerance: f64) -> f64 {
        tolerance / backward_error_of_image(self.frobenius, 1.0, self.reach, self.target_norm())
    }

    /// Iterations needed in all if contributions go on to fall as they did; 0 while it is too early to tell.
    pub fn iterations_needed(&self, tolerance: f64) -> f64 {
        let made = self.energies.len();
        if made < 6 || self.purpose == Purpose::Probe {
            return 0.0;
        }
        let window = (made / 2).min(8);
        let sum = |from: usize| self.energies[made - from..][..window].iter().sum::<f64>();
        let rate = (sum(window) / sum(2 * window)).powf(0.5 / window as f64).min(0.999);
        let more = (LITTLE * self.goal(tolerance) / sum(window).sqrt()).ln() / rate.ln();
        made as f64 + if more.is_nan() { 0.0 } else { more.max(0.0) }
    }

    /// What is known of the error of the start: by its residual and gradient alone, or measured too.
    pub fn error(&self) -> Measured {
        let cheap = self.cheap();
        let of_start = Measured { estimate: cheap, bound: cheap, rigorous: cheap };
        self.measured.map_or(of_start, |measured| Measured {
            estimate: measured.estimate.min(cheap),
            bound: measured.bound.min(cheap),
            rigorous: measured.rigorous.min(cheap),
        })
    }

    /// Two changes of A and b that make x the minimiser: Stewart's |g| / |r|, and b - A x taken off from both.
    fn cheap(&self) -> f64 {
        let by_residual = self.error_of(self.start.residual_norm);
        let by_slope = self.slope / self.frobenius / self.start.residual_norm;
        if by_slope < by_residual { by_slope } else { by_residual }
    }

    /// The smaller of the same in units in which the columns, here of these lengths, have norm one.
    pub fn cheap_with(&self, lengths: &[f64]) -> f64 {
        let present = lengths.iter().filter(|&&length| length > 0.0).count();
        let over = |(value, length): (&f64, &f64)| if *length > 0.0 { value / length } else { 0.0 };
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let size = square(&mut self.x.iter().zip(lengths).map(|(x, length)| x * length)).sqrt();
        let slope = square(&mut self.first.iter().zip(lengths).map(over)).sqrt();
        let (frobenius, residual) = ((present as f64).sqrt(), self.start.residual_norm);
        let by_residual = backward_error_of_image(frobenius, residual, size, self.target_norm());
        by_residual.min(slope / frobenius / residual)
    }

    fn by_quadrature(&self) -> Measured {
        let [low, high, above] = [
            self.quadrature.low(),
            self.quadrature.high(),
            self.quadrature.high_above(self.start.least_eigenvalue),
        ]
        .map(|ratio| self.error_of(self.slope * ratio));
        let known = if self.start.least_eigenvalue > 0.0 { high.min(above) } else { high };
        // The estimate of Karlson and Walden is within the root of two of the error.
        let estimate = if known <= 2.0 * low { low } else { known };
        Measured { estimate, bound: SQRT_2 * known, rigorous: SQRT_2 * high }
    }

    fn error_of(&self, image: f64) -> f64 {
        backward_error_of_image(self.frobenius, image, self.size, self.target_norm())
    }

    /// w of the estimate of Karlson and Walden.
    fn damping(&self) -> f64 {
        match self.purpose {
            Purpose::Answer { .. } => {
                damped_ratio(self.frobenius, self.size, self.target_norm()) * self.start.residual_norm
            }
            Purpose::Probe => 0.0,
        }
    }

    fn target_norm(&self) -> f64 {
        match self.purpose {
            Purpose::Answer { target_norm } => target_norm,
            Purpose::Probe => 0.0,
        }
    }

    /// x + y.
    pub fn end(&self) -> impl Iterator<Item = f64> {
        self.x.iter().zip(&self.y).map(|(x, y)| x + y)
    }

    /// A coefficient's part of the gradient at the start.
    pub fn slope_of(&self, j: usize) -> f64 {
        self.first[j]
    }

    /// True for what is left of a random vector.
    pub fn is_probe(&self) -> bool {
        self.purpose == Purpose::Probe
    }

    /// |x + y| / |x|
    pub fn share_left(&self) -> f64 {
        if self.size > 0.0 { self.reach / self.size } else { 0.0 }
    }

    /// Half of what the iterations tell of the smallest eigenvalue.
    pub fn least_eigenvalue(&self) -> f64 {
        0.5 * smallest_eigenvalue(&self.coefficients)
    }

    /// A lower bound on the condition of A.
    pub fn condition(&self) -> f64 {
        let least = self.coefficients.iter().fold(f64::INFINITY, |least: f64, &[pivot, _]| least.min(pivot));
        if self.top > 0.0 { (self.top / least).sqrt() } else { 1.0 }
    }
}

pub(super) const VECTORS: &str = "vectors of an iteration";
