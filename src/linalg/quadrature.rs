//! Bounds on |(M + w^2)^(-1/2) g| / |g| from the coefficients of conjugate gradients on M, started from g.

use super::norm;
use crate::error::Result;
use crate::memory::copied;
use crate::simd::axpy;

/// Gauss's rule from below, the rule of Gauss and Radau with a node at a bound on the spectrum from above (Golub and Meurant).
///
/// The coefficients are the factors L D L' of a tridiagonal T, and those of T + w^2 follow from them by the recurrence of
/// quotients and differences: sums and products of positive numbers, nothing of which cancels (Parlett and Dhillon).
pub(crate) struct Quadrature {
    /// w^2
    shift: f64,
    /// What is left of a pivot once the next row has been taken off.
    rest: f64,
    /// The squared residual of the shifted iteration, relative to the first.
    residual: f64,
    /// Gauss's sum.
    low: f64,
}

impl Quadrature {
    pub fn new(shift: f64) -> Self {
        Self { shift, rest: shift, residual: 1.0, low: 0.0 }
    }

    /// Takes the pivot 1 / a of an iteration, and by what the squared residual was multiplied.
    pub fn add(&mut self, pivot: f64, ratio: f64) {
        let shifted = pivot + self.rest;
        self.low += self.residual / shifted;
        self.residual *= ratio * (pivot / shifted).powi(2);
        self.rest = self.shift + ratio * pivot / shifted * self.rest;
    }

    /// At most this, in exact arithmetic at least: the root of Gauss's sum.
    pub fn low(&self) -> f64 {
        self.low.sqrt()
    }

    /// An upper bound whatever M is, as no eigenvalue is below zero.
    pub fn high(&self) -> f64 {
        self.high_with(self.rest)
    }

    /// An upper bound where no eigenvalue is below `least`.
    pub fn high_above(&self, least: f64) -> f64 {
        self.high_with(least + self.shift)
    }

    fn high_with(&self, pivot: f64) -> f64 {
        let rest = if self.residual == 0.0 { 0.0 } else { self.residual / pivot };
        (self.low + rest).sqrt()
    }
}

/// How close the two rules come.
const MET: f64 = 1.1;

/// A bound on |(R'R + w^2 I)^(-1/2) g|, not a tenth above it, if `most` steps are enough to find one: few are where w is no
/// small part of R. `multiply` gives R p, and `multiply_transposed` R'y.
pub(super) fn damped_norm(
    gradient: &[f64],
    damping: f64,
    most: usize,
    multiply: impl Fn(&[f64]) -> Result<Vec<f64>>,
    multiply_transposed: impl Fn(Vec<f64>) -> Result<Vec<f64>>,
) -> Result<Option<f64>> {
    let length = norm(gradient);
    let [mut direction, mut gradient] = [copied(gradient, VECTORS)?, copied(gradient, VECTORS)?];
    let mut rule = Quadrature::new(damping * damping);
    let mut square = length * length;
    for _ in 0..most {
        let image = multiply(&direction)?;
        let curvature = norm(&image).powi(2) / square;
        if !(curvature > 0.0 && square > 0.0) {
            break;
        }
        axpy(-1.0 / curvature, &multiply_transposed(image)?, &mut gradient);
        let next = norm(&gradient).powi(2);
        let ratio = next / square;
        rule.add(curvature, ratio);
        if rule.high() <= MET * rule.low() {
            return Ok(Some(length * rule.high()));
        }
        direction.iter_mut().zip(&gradient).for_each(|(p, g)| *p = g + ratio * *p);
        square = next;
    }
    Ok(None)
}

/// What memory is for.
const VECTORS: &str = "vectors of an iteration";

/// The smallest eigenvalue of the tridiagonal matrix that the coefficients (pivots 1 / a, ratios) factor, all but a
/// thousandth of it: bisection on the signs of shifted pivots.
pub(crate) fn smallest_eigenvalue(coefficients: &[[f64; 2]]) -> f64 {
    let least = coefficients.iter().map(|&[pivot, _]| pivot).fold(f64::INFINITY, f64::min);
    // T - mu is definite as long as every pivot of it is positive.
    let is_below = |mu: f64| {
        let mut rest = -mu;
        coefficients.iter().all(|&[pivot, ratio]| {
            let shifted = pivot + rest;
            rest = ratio * pivot / shifted * rest - mu;
            shifted > 0.0
        })
    };
    let (mut low, mut high) = (0.0, least);
    for _ in 0..200 {
        if high - low <= 1e-3 * high {
            break;
        }
        // By halves of the exponent while zero is all that is known from below.
        let middle = if low == 0.0 { 1e-2 * high } else { 0.5 * (low + high) };
        if is_below(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{eigh, product};
    use crate::matrix::Mat;

    /// M = A'A, g, and what exact arithmetic would make of them.
    fn case(n: usize, d: usize, steepness: f64) -> (Mat<f64>, Vec<f64>) {
        let entry =
            |i: usize, j: usize| ((i * 7 + j * 5 + i * j + 1) as f64).sin() * steepness.powi(j as i32);
        let a = Mat::from_fn(n, d, entry).unwrap();
        let m = product(a.as_ref().t(), a.as_ref()).unwrap();
        let unit = m[(0, 0)];
        let m = Mat::from_fn(d, d, |i, j| m[(i, j)] / unit).unwrap();
        (m, (0..d).map(|j| (j as f64 + 0.5).cos()).collect())
    }

    /// Coefficients of conjugate gradients.
    fn coefficients(m: &Mat<f64>, g: &[f64], most: usize) -> Vec<[f64; 2]> {
        let d = g.len();
        let (mut c, mut p) = (g.to_vec(), g.to_vec());
        let square = |c: &[f64]| c.iter().map(|c| c * c).sum::<f64>();
        let (mut found, mut gamma) = (Vec::new(), square(&c));
        let first = gamma;
        while found.len() < most && gamma > 1e-26 * first {
            let q: Vec<f64> = (0..d).map(|i| (0..d).map(|j| m[(i, j)] * p[j]).sum()).collect();
            let curvature: f64 = p.iter().zip(&q).map(|(p, q)| p * q).sum();
            let step = gamma / curvature;
            c.iter_mut().zip(&q).for_each(|(c, q)| *c -= step * q);
            let next = square(&c);
            found.push([step.recip(), next / gamma]);
            p.iter_mut().zip(&c).for_each(|(p, c)| *p = c + next / gamma * *p);
            gamma = next;
        }
        found
    }

    #[test]
    fn the_truth_lies_between_the_rules_and_both_meet_it() {
        for (steepness, shift) in
            [1.0, 0.9].into_iter().flat_map(|s| [0.0, 1e-20, 1e-8, 1.0, 1e8].map(|w| (s, w)))
        {
            let (m, g) = case(50, 20, steepness);
            let (values, vectors) = eigh(&m).unwrap();
            let truth: f64 = values
                .iter()
                .enumerate()
                .map(|(k, value)| {
                    let c: f64 = vectors.col(k).iter().zip(&g).map(|(v, g)| v * g).sum();
                    c * c / (value + shift)
                })
                .sum();
            let truth = (truth / g.iter().map(|g| g * g).sum::<f64>()).sqrt();
            let (mut rule, mut last) = (Quadrature::new(shift), 0.0);
            let coefficients = coefficients(&m, &g, 20);
            for &[pivot, ratio] in &coefficients {
                rule.add(pivot, ratio);
                assert!(rule.low() >= last && rule.low() <= truth * (1.0 + 1e-8), "{} {truth}", rule.low());
                assert!(rule.high() >= truth * (1.0 - 1e-8), "{} {truth}", rule.high());
                assert!(rule.high_above(0.9 * values[0]) >= truth * (1.0 - 1e-8));
                assert!(rule.high_above(0.9 * values[0]) <= rule.high_above(0.0));
                last = rule.low();
            }
            assert!(last >= truth * (1.0 - 1e-4), "{last} {truth}");
            let least = smallest_eigenvalue(&coefficients);
            assert!(least <= values[0] * 1.001 && least >= values[0] * 0.99, "{least} {}", values[0]);
        }
    }
}
