//! A-posteriori error estimates, shared by all columns.
//!
//! **Backward error of a least-squares answer** (Karlson and Waldén 1997; Gratton, Jiránek and
//! Titley-Peloquin 2012). With r = b - A x, g = A'r, theta = |A|_F / |b| and
//! w = theta |r| / sqrt(1 + theta^2 |x|^2), the estimate
//!
//! theta / sqrt(1 + theta^2 |x|^2) * |(A'A + w^2 I)^(-1/2) g| / |A|_F
//!
//! is within a factor sqrt(2) of the smallest relative perturbation of (A, b) for which x is an exact
//! least-squares solution. Here A'A is represented by a [`Factor`].

use crate::error::Result;
use crate::linalg::{Factor, norm};
use crate::matrix::Real;

/// What rounding may hide of a backward error relative to |A|_F that was measured in double precision. Rounding of
/// b - A x moves the gradient by A' times something of norm u (|b| + |A| |x|), rounding of A'r by u |A| |r|; either is
/// a backward error of a few u at most, of which sums in blocks, and a change that lies in d of n dimensions, leave less.
/// Against exact arithmetic, no answer to thousands of structured problems was off by more than this.
pub const ROUNDING: f64 = 2.0 * f64::UNIT_ROUNDOFF;

/// The bound that stands for a target at the unit roundoff `u` of an element type: what is left of an answer whose
/// backward error is estimated at u by a factor that is off by a half, or at 2 u by a good one.
pub fn floor_of(u: f64) -> f64 {
    LOOSENESS * u + ROUNDING
}

/// The most that a bound is above its estimate but for rounding.
pub const LOOSENESS: f64 = 2.0 * std::f64::consts::SQRT_2;

/// Whether a target was missed for certain: the floor takes its place where they are of one order.
pub fn is_missed(estimate: f64, bound: f64, target: f64, floor: f64) -> bool {
    let target = if 8.0 * target >= floor { target.max(floor) } else { target };
    !(estimate <= target || bound <= target)
}

/// What the backward error of one answer is made of.
pub struct Answer<'a> {
    /// A'(b - A x).
    pub gradient: &'a [f64],
    /// R'^-1 of the gradient.
    pub whitened: &'a [f64],
    /// |b - A x|
    pub residual_norm: f64,
    /// |x|
    pub solution_norm: f64,
    /// |b|
    pub target_norm: f64,
    /// |A|_F
    pub frobenius: f64,
}

impl Answer<'_> {
    /// The factor in front of the norm, relative to |A|_F, and w.
    fn scales(&self) -> (f64, f64) {
        let damped = damped_ratio(self.frobenius, self.solution_norm, self.target_norm);
        (damped / self.frobenius, damped * self.residual_norm)
    }

    /// An upper bound on the estimate for O(d) operations (zero if A is zero: then every x is an answer), from (A'A + w^2 I)^-1 <= (A'A)^-1 and <= w^-2 I.
    pub fn quick_backward_error(&self) -> f64 {
        if self.frobenius == 0.0 {
            return 0.0;
        }
        let (scale, damping) = self.scales();
        let by_residual = norm(self.gradient) / damping;
        scale * norm(self.whitened).min(if by_residual.is_nan() { f64::INFINITY } else { by_residual })
    }

    /// The Karlson-Waldén estimate.
    pub fn backward_error(&self, factor: &Factor) -> Result<f64> {
        let damping = self.damping();
        if damping == 0.0 {
            return Ok(self.scales().0 * norm(self.whitened));
        }
        Ok(self.scales().0 * factor.damped_norm(self.gradient, damping)?)
    }

    /// w
    pub(crate) fn damping(&self) -> f64 {
        self.scales().1
    }

    /// The estimate by a factor that is damped already: by less than w, an upper bound on it.
    pub(crate) fn backward_error_by(&self, damped: &Factor) -> Result<f64> {
        Ok(self.scales().0 * damped.whitened_norm(self.gradient)?)
    }
}

/// theta / sqrt(1 + theta^2 |x|^2)
pub(crate) fn damped_ratio(frobenius: f64, solution_norm: f64, target_norm: f64) -> f64 {
    let theta = frobenius / target_norm;
    theta / (1.0f64).hypot(theta * solution_norm)
}

/// The quick bound, from |(A'A)^(-1/2) g| alone: what the residual would change by if x were moved to the minimiser.
pub fn backward_error_of_image(frobenius: f64, image_norm: f64, solution_norm: f64, target_norm: f64) -> f64 {
    if frobenius == 0.0 {
        return 0.0;
    }
    damped_ratio(frobenius, solution_norm, target_norm) / frobenius * image_norm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{cholesky, eigh, product};
    use crate::matrix::Mat;

    /// The smallest |[E, f |A|_F / |b|]|_F / |A|_F for which x is an exact answer to (A + E, b + f) with r = b - A x
    /// (Waldén, Karlson and Sun 1995).
    fn smallest_perturbation(a: &Mat<f64>, r: &[f64], x: &[f64], target_norm: f64) -> f64 {
        let (n, size, frobenius) = (a.nrows(), norm(x).powi(2), norm(a.as_slice()));
        let weight = (frobenius / target_norm).powi(2) * size;
        let share = weight / (1.0 + weight) / size;
        let of_a = product(a.as_ref(), a.as_ref().t()).unwrap();
        let difference = Mat::from_fn(n, n, |i, j| of_a[(i, j)] - share * r[i] * r[j]).unwrap();
        let least = eigh(&difference).unwrap().0[0];
        (share * norm(r).powi(2) + least.min(0.0)).sqrt() / frobenius
    }

    #[test]
    fn the_estimate_for_an_exact_factor_is_within_the_root_of_two_of_the_smallest_perturbation() {
        let entry = |i: usize, j: usize| ((i * 7 + j * 5 + 1) as f64).sin() * 10f64.powi(j as i32 - 1);
        let a = Mat::from_fn(9, 4, entry).unwrap();
        let gram = product(a.as_ref().t(), a.as_ref()).unwrap();
        let factor = Factor::Triangle(cholesky(&gram).unwrap().unwrap());
        let x = Mat::from_fn(4, 1, |j, _| (j as f64 + 0.5).cos()).unwrap();
        let direction = Mat::from_fn(4, 1, |j, _| [1.0, -1.0][j % 2]).unwrap();
        let [image, away] = [&x, &direction].map(|x| product(a.as_ref(), x.as_ref()).unwrap());
        let cases = [0.0, 0.01, 1.0, 100.0].map(|noise| [0.001, 0.1, 1.0, 10.0].map(|shift| (noise, shift)));
        for (noise, shift) in cases.into_iter().flatten() {
            let r = Mat::from_fn(9, 1, |i, _| noise * (3.0 * i as f64).cos() - shift * away[(i, 0)]).unwrap();
            let b = Mat::from_fn(9, 1, |i, _| image[(i, 0)] + r[(i, 0)]).unwrap();
            let gradient = product(a.as_ref().t(), r.as_ref()).unwrap();
            let whitened = factor.whiten(&gradient).unwrap();
            let answer = Answer {
                gradient: gradient.col(0),
                whitened: whitened.col(0),
                residual_norm: norm(r.col(0)),
                solution_norm: norm(x.col(0)),
                target_norm: norm(b.col(0)),
                frobenius: norm(a.as_slice()),
            };
            let estimate = answer.backward_error(&factor).unwrap();
            let smallest = smallest_perturbation(&a, r.col(0), x.col(0), norm(b.col(0)));
            let ratio = smallest / estimate;
            assert!((0.999999..1.4143).contains(&ratio), "noise {noise}, shift {shift}: {ratio}");
        }
    }

    #[test]
    fn the_quick_bound_is_a_bound() {
        let entry = |i: usize, j: usize| if i <= j { ((i * 7 + j * 3) % 5) as f64 - 1.7 } else { 0.0 };
        let triangle = Factor::Triangle(Mat::from_fn(6, 6, entry).unwrap());
        let gradient = Mat::from_fn(6, 1, |i, _| (i as f64).cos()).unwrap();
        let whitened = triangle.whiten(&gradient).unwrap();
        for residual_norm in [0.0, 1e-8, 1e-2, 1.0, 1e6] {
            let answer = Answer {
                gradient: gradient.col(0),
                whitened: whitened.col(0),
                residual_norm,
                solution_norm: 0.7,
                target_norm: 2.0,
                frobenius: triangle.frobenius_norm(),
            };
            let (quick, exact) = (answer.quick_backward_error(), answer.backward_error(&triangle).unwrap());
            assert!(exact <= quick * (1.0 + 1e-12) && quick.is_finite(), "{exact} {quick}");
        }
    }
}
