//! Stand-ins for A'A.

use super::{Qr, condition_of_upper, norm};
use crate::error::Result;
use crate::matrix::Mat;
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

    /// 2-norm condition, estimated.
    pub(crate) fn condition(&self) -> Result<f64> {
        match self {
            Self::Triangle(r) => condition_of_upper(r.as_ref()),
            Self::Spectral(_, s) => Ok(s.first().zip(s.last()).map_or(1.0, |(first, last)| first / last)),
        }
    }

    /// |A|_2, all but a few percent of it at least.
    pub fn norm(&self) -> Result<f64> {
        match self {
            Self::Triangle(r) => super::norm_of_upper(r.as_ref()),
            Self::Spectral(_, s) => Ok(s.first().copied().unwrap_or(0.0)),
        }
    }

    /// |R'^-1 e_j| for every unknown j: the root of the diagonal of (A'A)^-1.
    pub fn inverse_row_norms(&self) -> Result<Vec<f64>> {
        let rows = match self {
            Self::Triangle(r) => super::invert_upper(r.as_ref())?,
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
                super::solve_upper_transposed(r.as_ref(), y.as_mut());
                Ok(y)
            }
            Self::Spectral(v, s) => {
                let mut y = super::product(v.as_ref().t(), gradient.as_ref())?;
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
                super::solve_upper(r.as_ref(), y.as_mut());
                Ok(y)
            }
            Self::Spectral(v, s) => {
                divide_rows(&mut y, s);
                super::product(v.as_ref(), y.as_ref())
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

    /// A stand-in for A'A + w^2 I, which is that on the directions kept.
    pub(crate) fn damped(&self, damping: f64) -> Result<Self> {
        match self {
            Self::Triangle(r) => Ok(Self::Triangle(damped_triangle(r, damping, self.frobenius_norm())?)),
            Self::Spectral(v, s) => {
                let damped = s.iter().map(|s| s.hypot(damping));
                Ok(Self::Spectral(v.copy()?, collected(damped, "singular values")?))
            }
        }
    }

    /// |(A'A)^(-1/2) g|
    pub(crate) fn whitened_norm(&self, gradient: &[f64]) -> Result<f64> {
        Ok(norm(self.whiten(&Mat::from_fn(gradient.len(), 1, |i, _| gradient[i])?)?.as_slice()))
    }
}

/// The triangular factor of R'R + w^2 I: by Cholesky where the squared condition leaves some digits of it,
/// else by QR of (R; w I), which takes five times as long.
fn damped_triangle(r: &Mat<f64>, damping: f64, frobenius: f64) -> Result<Mat<f64>> {
    let d = r.ncols();
    if damping > 1e-6 * frobenius && frobenius.is_finite() {
        let ones = filled(1.0, d, "column scales")?;
        let (mut gram, _) =
            super::gram::<f64, ()>(&Context::new(1), &r.as_ref(), &ones, || (), |(), _, _| ())?;
        (0..d).for_each(|j| gram[(j, j)] += damping * damping);
        if let Some(triangle) = super::cholesky(&gram)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn factors() -> (Factor, Factor) {
        let r =
            Mat::from_fn(6, 6, |i, j| if i <= j { ((i * 7 + j * 3) % 5) as f64 - 1.7 } else { 0.0 }).unwrap();
        let svd = crate::linalg::svd(r.as_ref()).unwrap();
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
            let norms = [&triangle, &spectral]
                .map(|f| f.damped(damping).unwrap().whitened_norm(gradient.col(0)).unwrap());
            assert!((norms[0] / norms[1] - 1.0).abs() < 1e-10);
        }
    }
}
