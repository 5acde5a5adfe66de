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
use crate::linalg::{self, Qr};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, filled, zeros};
use crate::parallel::Context;

/// A stand-in for A'A: R'R for an upper triangle, or V S^2 V' where only some directions are kept.
pub enum Factor {
    /// An upper triangle R.
    Triangle(Mat<f64>),
    /// Orthonormal columns V and positive numbers S.
    Spectral(Mat<f64>, Vec<f64>),
}

impl Factor {
    /// Number of unknowns.
    pub fn order(&self) -> usize {
        match self {
            Self::Triangle(r) => r.ncols(),
            Self::Spectral(v, _) => v.nrows(),
        }
    }

    /// Number of directions kept.
    pub fn rank(&self) -> usize {
        match self {
            Self::Triangle(r) => r.ncols(),
            Self::Spectral(_, s) => s.len(),
        }
    }

    /// |A|_F.
    pub fn frobenius_norm(&self) -> f64 {
        match self {
            Self::Triangle(r) => norm(r.as_slice()),
            Self::Spectral(_, s) => norm(s),
        }
    }

    /// |A|_2, all but a few percent of it at least.
    pub fn norm(&self) -> Result<f64> {
        match self {
            Self::Triangle(r) => linalg::norm_of_upper(r.as_ref()),
            Self::Spectral(_, s) => Ok(s.first().copied().unwrap_or(0.0)),
        }
    }

    /// |R'^-1 e_j| for every unknown j: the root of the diagonal of (A'A)^-1.
    pub fn inverse_row_norms(&self) -> Result<Vec<f64>> {
        let rows = match self {
            Self::Triangle(r) => linalg::invert_upper(r.as_ref())?,
            Self::Spectral(v, s) => Mat::from_fn(v.nrows(), s.len(), |i, j| v[(i, j)] / s[j])?,
        };
        let mut norms = zeros(rows.nrows(), "norms of rows")?;
        for j in 0..rows.ncols() {
            norms.iter_mut().zip(rows.col(j)).for_each(|(sum, value)| *sum += value * value);
        }
        norms.iter_mut().for_each(|norm: &mut f64| *norm = norm.sqrt());
        Ok(norms)
    }

    /// Rows F with F'F = A'A: R, or S V'.
    pub fn rows(&self) -> Result<Mat<f64>> {
        match self {
            Self::Triangle(r) => r.copy(),
            Self::Spectral(v, s) => Mat::from_fn(s.len(), v.nrows(), |i, j| s[i] * v[(j, i)]),
        }
    }

    /// R'^-1 G: gradients in the coordinates in which A has nearly orthonormal columns.
    pub fn whiten(&self, gradient: &Mat<f64>) -> Result<Mat<f64>> {
        match self {
            Self::Triangle(r) => {
                let mut y = gradient.copy()?;
                linalg::solve_upper_transposed(r.as_ref(), y.as_mut());
                Ok(y)
            }
            Self::Spectral(v, s) => {
                let mut y = linalg::product(v.as_ref().t(), gradient.as_ref())?;
                divide_rows(&mut y, s);
                Ok(y)
            }
        }
    }

    /// R^-1 Y: back to the unknowns.
    pub fn unwhiten(&self, y: &Mat<f64>) -> Result<Mat<f64>> {
        let mut y = y.copy()?;
        match self {
            Self::Triangle(r) => {
                linalg::solve_upper(r.as_ref(), y.as_mut());
                Ok(y)
            }
            Self::Spectral(v, s) => {
                divide_rows(&mut y, s);
                linalg::product(v.as_ref(), y.as_ref())
            }
        }
    }

    /// |A dx| for a change dx of the unknowns.
    pub fn image_norm(&self, dx: &[f64]) -> Result<f64> {
        match self {
            Self::Triangle(r) => {
                let mut image = zeros(r.nrows(), "an image")?;
                dx.iter().enumerate().for_each(|(j, &dx)| crate::simd::axpy(dx, r.col(j), &mut image));
                Ok(norm(&image))
            }
            Self::Spectral(v, s) => {
                let image = |j: usize| s[j] * crate::simd::dot(v.col(j), dx);
                Ok(norm(&collected((0..s.len()).map(image), "an image")?))
            }
        }
    }

    /// |(A'A + w^2 I)^(-1/2) g|
    fn damped_norm(&self, gradient: &[f64], damping: f64) -> Result<f64> {
        match self {
            Self::Triangle(r) => {
                let damped = damped_triangle(r, damping, self.frobenius_norm())?;
                let mut y = Mat::from_fn(r.ncols(), 1, |i, _| gradient[i])?;
                linalg::solve_upper_transposed(damped.as_ref(), y.as_mut());
                Ok(norm(y.as_slice()))
            }
            Self::Spectral(v, s) => {
                let squares = s.iter().enumerate().map(|(j, s)| {
                    let c: f64 = v.col(j).iter().zip(gradient).map(|(v, g)| v * g).sum();
                    c * c / (s * s + damping * damping)
                });
                Ok(squares.sum::<f64>().sqrt())
            }
        }
    }
}

/// The triangular factor of R'R + w^2 I: by Cholesky where the squared condition leaves some digits of it,
/// else by QR of (R; w I), which takes five times as long.
fn damped_triangle(r: &Mat<f64>, damping: f64, frobenius: f64) -> Result<Mat<f64>> {
    let d = r.ncols();
    if damping > 1e-6 * frobenius && frobenius.is_finite() {
        let ones = filled(1.0, d, "column scales")?;
        let (mut gram, _) =
            linalg::gram::<f64, ()>(&Context::new(1), &r.as_ref(), &ones, || (), |(), _, _| ())?;
        (0..d).for_each(|j| gram[(j, j)] += damping * damping);
        if let Some(triangle) = linalg::cholesky(&gram)? {
            return Ok(triangle);
        }
    }
    let below = |i: usize, j: usize| if i == j { damping } else { 0.0 };
    Qr::new(Mat::from_fn(2 * d, d, |i, j| if i < d { r[(i, j)] } else { below(i - d, j) })?)?.r()
}

fn divide_rows(y: &mut Mat<f64>, divisors: &[f64]) {
    for j in 0..y.ncols() {
        y.col_mut(j).iter_mut().zip(divisors).for_each(|(y, s)| *y /= s);
    }
}

/// Euclidean norm.
pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

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
        let (scale, damping) = self.scales();
        if damping == 0.0 {
            return Ok(scale * norm(self.whitened));
        }
        Ok(scale * factor.damped_norm(self.gradient, damping)?)
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

    fn factors() -> (Factor, Factor) {
        let r =
            Mat::from_fn(6, 6, |i, j| if i <= j { ((i * 7 + j * 3) % 5) as f64 - 1.7 } else { 0.0 }).unwrap();
        let svd = linalg::svd(r.as_ref()).unwrap();
        (Factor::Triangle(r), Factor::Spectral(svd.v, svd.s))
    }

    #[test]
    fn triangle_and_spectrum_agree() {
        let (triangle, spectral) = factors();
        let gradient = Mat::from_fn(6, 2, |i, j| (i as f64 + 1.0).sin() + j as f64).unwrap();
        let solve = |factor: &Factor| factor.unwhiten(&factor.whiten(&gradient).unwrap()).unwrap();
        let (left, right) = (solve(&triangle), solve(&spectral));
        for (x, y) in left.as_slice().iter().zip(right.as_slice()) {
            assert!((x - y).abs() < 1e-10 * (1.0 + x.abs()));
        }
        assert!((triangle.frobenius_norm() - spectral.frobenius_norm()).abs() < 1e-12);
        for damping in [1e-3, 1.0, 1e3] {
            let norms = [&triangle, &spectral].map(|f| f.damped_norm(gradient.col(0), damping).unwrap());
            assert!((norms[0] / norms[1] - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn the_quick_bound_is_a_bound() {
        let (triangle, _) = factors();
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
