//! Stand-ins for A'A.

use super::{Qr, SparseTriangle, condition_of_upper, norm, quadrature};
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::{collected, zeros};
use crate::parallel::Context;

/// A stand-in for A'A: R'R for an upper triangle, or V S^2 V' where only some directions are kept.
pub enum Factor {
    /// An upper triangle R.
    Triangle(Mat<f64>),
    /// Orthonormal columns V and positive numbers S.
    Spectral(Mat<f64>, Vec<f64>),
    /// R = [R1, R2], R1 an upper triangle, and the number of the unknown of each of its columns: where the columns of
    /// A are deficient, those of R1 span the others.
    Trapezoid(Mat<f64>, Vec<usize>),
    /// A sparse triangle.
    Sparse(SparseTriangle),
}

impl Factor {
    /// Number of unknowns.
    pub fn order(&self) -> usize {
        match self {
            Self::Triangle(r) | Self::Trapezoid(r, _) => r.ncols(),
            Self::Spectral(v, _) => v.nrows(),
            Self::Sparse(r) => r.order(),
        }
    }

    /// Number of directions kept.
    pub fn rank(&self) -> usize {
        match self {
            Self::Triangle(r) | Self::Trapezoid(r, _) => r.nrows(),
            Self::Spectral(_, s) => s.len(),
            Self::Sparse(r) => r.rank(),
        }
    }

    /// |A|_F.
    pub fn frobenius_norm(&self) -> f64 {
        match self {
            Self::Triangle(r) | Self::Trapezoid(r, _) => norm(r.as_slice()),
            Self::Spectral(_, s) => norm(s),
            Self::Sparse(r) => r.frobenius_norm(),
        }
    }

    /// 2-norm condition, estimated; that of R1 for a trapezoid.
    pub(crate) fn condition(&self) -> Result<f64> {
        match self {
            Self::Triangle(r) => condition_of_upper(r.as_ref()),
            Self::Spectral(_, s) => Ok(s.first().zip(s.last()).map_or(1.0, |(first, last)| first / last)),
            Self::Trapezoid(r, _) => condition_of_upper(r.as_ref().cols(0..r.nrows())),
            Self::Sparse(r) => r.norms(None).map(|[norm, of_inverse]| (norm * of_inverse).max(1.0)),
        }
    }

    /// |A|_2, all but a few percent of it at least.
    pub fn norm(&self) -> Result<f64> {
        match self {
            Self::Triangle(r) => super::norm_of_upper(r.as_ref()),
            Self::Spectral(_, s) => Ok(s.first().copied().unwrap_or(0.0)),
            Self::Trapezoid(..) => self.spectral()?.norm(),
            Self::Sparse(r) => r.norms(None).map(|[norm, _]| norm),
        }
    }

    /// The same for the columns that span the others.
    pub(crate) fn norm_of_basis(&self) -> Result<f64> {
        match self {
            Self::Trapezoid(r, _) => super::norm_of_upper(r.as_ref().cols(0..r.nrows())),
            _ => self.norm(),
        }
    }

    /// |R'^-1 e_j| for every unknown j: the root of the diagonal of (A'A)^-1.
    pub fn inverse_row_norms(&self) -> Result<Vec<f64>> {
        let rows = match self {
            Self::Triangle(r) => super::invert_upper(r.as_ref())?,
            Self::Spectral(v, s) => Mat::from_fn(v.nrows(), s.len(), |i, j| v[(i, j)] / s[j])?,
            Self::Trapezoid(..) => return self.spectral()?.inverse_row_norms(),
            Self::Sparse(r) => return r.inverse_row_norms(),
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
            Self::Sparse(r) => r.rows(),
            Self::Trapezoid(r, order) => {
                let mut rows = Mat::zeros(r.nrows(), r.ncols())?;
                order.iter().enumerate().for_each(|(j, &at)| rows.col_mut(at).copy_from_slice(r.col(j)));
                Ok(rows)
            }
            Self::Spectral(v, s) => Mat::from_fn(s.len(), v.nrows(), |i, j| s[i] * v[(j, i)]),
        }
    }

    /// The same by singular vectors.
    fn spectral(&self) -> Result<Self> {
        let svd = super::svd(self.rows()?.as_ref())?;
        Ok(Self::Spectral(svd.v, svd.s))
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
            Self::Trapezoid(r, order) => {
                let basic = r.as_ref().cols(0..r.nrows());
                let mut y = Mat::from_fn(r.nrows(), gradient.ncols(), |i, j| gradient[(order[i], j)])?;
                super::solve_upper_transposed(basic, y.as_mut());
                Ok(y)
            }
            Self::Sparse(r) => {
                let mut y = Mat::zeros(gradient.nrows(), gradient.ncols())?;
                (0..gradient.ncols()).for_each(|side| r.whiten(gradient.col(side), y.col_mut(side)));
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
            Self::Trapezoid(r, order) => {
                super::solve_upper(r.as_ref().cols(0..r.nrows()), y.as_mut());
                let mut x = Mat::zeros(r.ncols(), y.ncols())?;
                for (i, j) in (0..r.nrows()).flat_map(|i| (0..y.ncols()).map(move |j| (i, j))) {
                    x[(order[i], j)] = y[(i, j)];
                }
                Ok(x)
            }
            Self::Sparse(r) => {
                let mut x = Mat::zeros(y.nrows(), y.ncols())?;
                (0..y.ncols()).for_each(|side| r.unwhiten(y.col_mut(side), x.col_mut(side)));
                Ok(x)
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
            Self::Trapezoid(r, order) => {
                let mut image = zeros(r.nrows(), "an image")?;
                order.iter().enumerate().for_each(|(j, &at)| crate::simd::axpy(dx[at], r.col(j), &mut image));
                Ok(norm(&image))
            }
            Self::Sparse(r) => r.image_norm(dx),
        }
    }

    /// A stand-in for A'A + w^2 I, which is that on the directions kept; `None` where that is known by its norms alone.
    pub(crate) fn damped(&self, damping: f64) -> Result<Option<Self>> {
        match self {
            Self::Triangle(r) => {
                damped_triangle(r, damping, self.frobenius_norm()).map(|r| Some(Self::Triangle(r)))
            }
            Self::Spectral(v, s) => {
                let damped = s.iter().map(|s| s.hypot(damping));
                Ok(Some(Self::Spectral(v.copy()?, collected(damped, "singular values")?)))
            }
            Self::Trapezoid(..) | Self::Sparse(_) => Ok(None),
        }
    }

    /// |(A'A + w^2 I)^(-1/2) g|, or a bound on it that is hardly ever far above it.
    pub(crate) fn damped_norm(&self, gradient: &[f64], damping: f64) -> Result<f64> {
        match self {
            Self::Trapezoid(r, order) => {
                let gradient = collected(order.iter().map(|&at| gradient[at]), "a gradient")?;
                match damped_norm_of(r, &gradient, damping)? {
                    Some(norm) => Ok(norm),
                    None => damped_norm_of_trapezoid(r, &gradient, damping),
                }
            }
            Self::Sparse(r) => r.damped_norm(gradient, damping),
            Self::Triangle(r) => match damped_norm_of(r, gradient, damping)? {
                Some(norm) => Ok(norm),
                None => Self::Triangle(damped_triangle(r, damping, self.frobenius_norm())?)
                    .whitened_norm(gradient),
            },
            Self::Spectral(..) => match self.damped(damping)? {
                Some(damped) => damped.whitened_norm(gradient),
                None => self.whitened_norm(gradient),
            },
        }
    }

    /// |(A'A)^(-1/2) g|
    pub(crate) fn whitened_norm(&self, gradient: &[f64]) -> Result<f64> {
        Ok(norm(self.whiten(&Mat::from_fn(gradient.len(), 1, |i, _| gradient[i])?)?.as_slice()))
    }
}

/// Orders from which on a few products with R cost less than a factor of R'R + w^2 I, and how many they may be.
const MANY: usize = 64;
const UNKNOWNS_PER_STEP: usize = 48;
const MOST_STEPS: usize = 20;

/// |(R'R + w^2 I)^(-1/2) g|, for an upper triangle or trapezoid R, or a bound a little above it, if a few products with R
/// tell.
fn damped_norm_of(r: &Mat<f64>, gradient: &[f64], damping: f64) -> Result<Option<f64>> {
    let most = if r.ncols() < MANY { 0 } else { MOST_STEPS.min(2 + r.ncols() / UNKNOWNS_PER_STEP) };
    let height = |j: usize| r.nrows().min(j + 1);
    let multiply = |x: &[f64]| {
        let mut image = zeros(r.nrows(), "an image")?;
        x.iter().enumerate().for_each(|(j, &x)| {
            crate::simd::axpy(x, &r.col(j)[..height(j)], &mut image[..height(j)]);
        });
        Ok(image)
    };
    let multiply_transposed = |image: Vec<f64>| {
        let entry = |j: usize| crate::simd::dot(&r.col(j)[..height(j)], &image[..height(j)]);
        collected((0..r.ncols()).map(entry), "a gradient")
    };
    quadrature::damped_norm(gradient, damping, most, multiply, multiply_transposed)
}

/// The same for a trapezoid whose columns are in order. g is R'c for c = R1'^-1 g1, so that the square is
/// g'R'(R R' + w^2 I)^-1 c.
fn damped_norm_of_trapezoid(r: &Mat<f64>, gradient: &[f64], damping: f64) -> Result<f64> {
    let p = r.nrows();
    let mut y = Mat::from_fn(p, 1, |i, _| gradient[i])?;
    super::solve_upper_transposed(r.as_ref().cols(0..p), y.as_mut());
    let whitened = norm(y.as_slice());
    let mut square = Mat::zeros(p, p)?;
    super::syrk(square.as_mut(), false, r.as_ref().t(), 1.0);
    (0..p).for_each(|i| square[(i, i)] += damping * damping);
    let Some(root) = super::cholesky(&square)? else { return Ok(whitened) };
    super::solve_upper_transposed(root.as_ref(), y.as_mut());
    super::solve_upper(root.as_ref(), y.as_mut());
    let square: f64 = (0..r.ncols()).map(|j| gradient[j] * crate::simd::dot(r.col(j), y.col(0))).sum();
    Ok(square.max(0.0).sqrt().min(whitened))
}

/// The triangular factor of R'R + w^2 I: by Cholesky where the squared condition leaves some digits of it,
/// else by QR of (R; w I), which takes five times as long.
fn damped_triangle(r: &Mat<f64>, damping: f64, frobenius: f64) -> Result<Mat<f64>> {
    let d = r.ncols();
    if damping > 1e-6 * frobenius && frobenius.is_finite() {
        let mut gram = gram_of_triangle(r)?;
        (0..d).for_each(|j| gram[(j, j)] += damping * damping);
        if let Some(triangle) = super::cholesky(&gram)? {
            return Ok(triangle);
        }
    }
    let below = |i: usize, j: usize| if i == j { damping } else { 0.0 };
    Qr::new(Mat::from_fn(2 * d, d, |i, j| if i < d { r[(i, j)] } else { below(i - d, j) })?)?.r()
}

/// R'R, of which the lower triangle is wanted.
fn gram_of_triangle(r: &Mat<f64>) -> Result<Mat<f64>> {
    let d = r.ncols();
    if d <= FEW {
        let product = |i: usize, j: usize| crate::simd::dot(&r.col(i)[..=j], &r.col(j)[..=j]);
        return Mat::from_fn(d, d, |i, j| if i < j { 0.0 } else { product(i, j) });
    }
    super::plain_gram(&Context::new(1), &r.as_ref())
}

/// Columns of which products take less time than it takes to pack them.
const FEW: usize = 16;

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
            let norms = [&triangle, &spectral].map(|f| f.damped_norm(gradient.col(0), damping).unwrap());
            assert!((norms[0] / norms[1] - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn a_trapezoid_is_its_singular_vectors_but_for_the_answer_that_it_takes() {
        let entry = |i: usize, j: usize| if i <= j { ((i * 7 + j * 3) % 5) as f64 - 1.7 } else { 0.0 };
        let trapezoid = Factor::Trapezoid(Mat::from_fn(4, 6, entry).unwrap(), vec![3, 0, 5, 2, 1, 4]);
        let spectral = trapezoid.spectral().unwrap();
        assert_eq!([&trapezoid, &spectral].map(|f| (f.order(), f.rank())), [(6, 4); 2]);
        let rows = trapezoid.rows().unwrap();
        let c = Mat::from_fn(4, 2, |i, j| (i as f64 + 1.0).sin() + j as f64).unwrap();
        let gradient = crate::linalg::product(rows.as_ref().t(), c.as_ref()).unwrap();
        let near = |x: f64, y: f64| (x - y).abs() < 1e-10 * (1.0 + x.abs());
        let whitened = trapezoid.whiten(&gradient).unwrap();
        assert!(whitened.as_slice().iter().zip(c.as_slice()).all(|(x, y)| near(*x, *y)));
        let x = trapezoid.unwhiten(&c).unwrap();
        let image = crate::linalg::product(rows.as_ref(), x.as_ref()).unwrap();
        assert!(image.as_slice().iter().zip(c.as_slice()).all(|(x, y)| near(*x, *y)));
        assert!((0..2).all(|side| x[(1, side)] == 0.0 && x[(4, side)] == 0.0));
        let both = |of: &dyn Fn(&Factor) -> f64| near(of(&trapezoid), of(&spectral));
        assert!(both(&|f| f.frobenius_norm()) && both(&|f| f.norm().unwrap()));
        assert!(both(&|f| f.image_norm(gradient.col(1)).unwrap()));
        assert!(both(&|f| f.inverse_row_norms().unwrap()[2]));
        for damping in [1e-3, 1.0, 1e3] {
            assert!(both(&|f| f.damped_norm(gradient.col(0), damping).unwrap()), "{damping}");
        }
    }

    #[test]
    fn of_many_unknowns_the_damped_norm_is_bounded_closely() {
        let noise = crate::linalg::testing::gaussian(90, 96, 3);
        let entry = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.1 * noise[(i, j)],
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 0.0,
        };
        let trapezoid = Factor::Trapezoid(Mat::from_fn(90, 96, entry).unwrap(), (0..96).rev().collect());
        let triangle = Factor::Triangle(Mat::from_fn(90, 90, entry).unwrap());
        for (factor, damping) in
            [&trapezoid, &triangle].into_iter().flat_map(|f| [1e-6, 0.1, 3.0, 1e3].map(|w| (f, w)))
        {
            let rows = factor.rows().unwrap();
            let c = Mat::from_fn(90, 1, |i, _| (i as f64 + 1.0).sin()).unwrap();
            let gradient = crate::linalg::product(rows.as_ref().t(), c.as_ref()).unwrap();
            let exact = factor.spectral().unwrap().damped_norm(gradient.col(0), damping).unwrap();
            let found = factor.damped_norm(gradient.col(0), damping).unwrap();
            assert!(found >= exact * (1.0 - 1e-9) && found <= 1.1 * exact, "{damping}: {found} {exact}");
        }
    }
}
