//! Jacobi's methods: an order of magnitude slower than the others, and nothing in them to go wrong. They are what
//! stands behind faer's iterations.
//!
//! Plane rotations make columns orthogonal (Hestenes), or a symmetric matrix diagonal, a pair of coordinates at a
//! time, until a sweep over all pairs finds nothing to do. Entries are expected to be of order one.

use super::Qr;
use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::memory::{collected, zeros};
use crate::simd::{dot, norm_sq};
use std::cmp::Ordering;

/// Sweeps after which the result is taken for what it is. Six to ten are what it takes.
const MOST_SWEEPS: usize = 60;

/// U, S and V of the thin SVD of a matrix that is not wide.
pub(super) fn svd(mut a: Mat<f64>) -> Result<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let (m, n) = (a.nrows(), a.ncols());
    let mut v = Mat::identity(n)?;
    let cosine = f64::UNIT_ROUNDOFF * (m as f64).sqrt().max(4.0);
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for (i, j) in pairs(n) {
            let squares = [norm_sq(a.col(i)), norm_sq(a.col(j))];
            let product = dot(a.col(i), a.col(j));
            if product.abs() > cosine * squares[0].sqrt() * squares[1].sqrt() {
                let rotation = Rotation::annihilating(squares[0], product, squares[1]);
                rotation.of_columns(&mut a, i, j);
                rotation.of_columns(&mut v, i, j);
                rotated = true;
            }
        }
        if !rotated {
            break;
        }
    }
    let mut lengths = zeros(n, "singular values")?;
    lengths.iter_mut().enumerate().for_each(|(j, length)| *length = norm_sq(a.col(j)).sqrt());
    let order = sorted(n, |i, j| lengths[j].total_cmp(&lengths[i]))?;
    let direction = |value: f64, length: f64| if length > 0.0 { value / length } else { 0.0 };
    let u = Mat::from_fn(m, n, |i, j| direction(a[(i, order[j])], lengths[order[j]]))?;
    let mut s = zeros(n, "singular values")?;
    s.iter_mut().zip(&order).for_each(|(s, &j)| *s = lengths[j]);
    Ok((completed(u)?, s, Mat::from_fn(n, n, |i, j| v[(i, order[j])])?))
}

/// Orthonormal columns of which the last may be missing, zeros in their place: with some that go with the others.
fn completed(u: Mat<f64>) -> Result<Mat<f64>> {
    let qr = Qr::new(u)?;
    let (mut q, r) = (qr.thin_q()?, qr.r()?);
    for j in (0..q.ncols()).filter(|&j| r[(j, j)] < 0.0) {
        q.col_mut(j).iter_mut().for_each(|value| *value = -*value);
    }
    Ok(q)
}

/// Eigenvalues, ascending, and eigenvectors of a symmetric matrix, all of whose entries are read.
pub(super) fn eigh(mut a: Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    let mut v = Mat::identity(n)?;
    // So little off the diagonal in all that it moves no eigenvalue by more than a rounding error of the norm.
    let negligible = f64::UNIT_ROUNDOFF * norm_sq(a.as_slice()).sqrt() / n as f64;
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for (i, j) in pairs(n) {
            if a[(i, j)].abs() > negligible {
                let rotation = Rotation::annihilating(a[(i, i)], a[(i, j)], a[(j, j)]);
                rotation.of_columns(&mut a, i, j);
                rotation.of_rows(&mut a, i, j);
                rotation.of_columns(&mut v, i, j);
                rotated = true;
            }
        }
        if !rotated {
            break;
        }
    }
    let order = sorted(n, |i, j| a[(i, i)].total_cmp(&a[(j, j)]))?;
    let mut values = zeros(n, "eigenvalues")?;
    values.iter_mut().zip(&order).for_each(|(value, &j)| *value = a[(j, j)]);
    Ok((values, Mat::from_fn(n, n, |i, j| v[(i, order[j])])?))
}

/// All pairs of coordinates, a sweep.
fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

/// 0..n in the order of a comparison.
fn sorted(n: usize, compare: impl Fn(usize, usize) -> Ordering) -> Result<Vec<usize>> {
    let mut order = collected(0..n, "an order of columns")?;
    order.sort_unstable_by(|&i, &j| compare(i, j).then(i.cmp(&j)));
    Ok(order)
}

/// x, y -> c x - s y, s x + c y
struct Rotation {
    c: f64,
    s: f64,
}

impl Rotation {
    /// The smaller of the two that make [first, product; product, second] diagonal.
    fn annihilating(first: f64, product: f64, second: f64) -> Self {
        let zeta = (second - first) / (2.0 * product);
        let tangent = 1f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
        let c = tangent.hypot(1.0).recip();
        Self { c, s: c * tangent }
    }

    fn of_columns(&self, a: &mut Mat<f64>, i: usize, j: usize) {
        let height = a.nrows();
        let (left, right) = a.as_mut_slice().split_at_mut(j * height);
        for (x, y) in left[i * height..(i + 1) * height].iter_mut().zip(right) {
            (*x, *y) = (self.c * *x - self.s * *y, self.s * *x + self.c * *y);
        }
    }

    fn of_rows(&self, a: &mut Mat<f64>, i: usize, j: usize) {
        let height = a.nrows();
        for column in a.as_mut_slice().chunks_exact_mut(height) {
            let (x, y) = (column[i], column[j]);
            (column[i], column[j]) = (self.c * x - self.s * y, self.s * x + self.c * y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Svd;
    use crate::linalg::testing::*;

    fn svd(a: Mat<f64>) -> Svd {
        let (u, s, v) = super::svd(a).unwrap();
        Svd { u, s, v }
    }

    #[test]
    fn structured_matrices() {
        for seed in 0..70 {
            let a = structured(1 + seed as usize * 37 % 90, seed);
            check_svd(a.as_ref(), &svd(a.copy().unwrap()), &format!("structure {seed}"));
            let a = symmetric(&a);
            let (values, vectors) = eigh(a.copy().unwrap()).unwrap();
            check_eigh(&a, &values, &vectors, &format!("structure {seed}"));
        }
    }

    #[test]
    fn tall_empty_and_zero_matrices() {
        for (m, n, rank) in [(0, 0, 0), (5, 0, 0), (9, 4, 4), (40, 25, 7), (30, 1, 1), (20, 20, 0)] {
            let a = product(gaussian(m, rank, 1).as_ref(), gaussian(rank, n, 2).as_ref());
            let found = svd(a.copy().unwrap());
            check_svd(a.as_ref(), &found, &format!("{m} x {n}"));
            assert!(found.s[rank.min(n)..].iter().all(|&s| s < 1e-13));
        }
        assert!(eigh(Mat::zeros(0, 0).unwrap()).unwrap().0.is_empty());
        assert_eq!(eigh(Mat::zeros(3, 3).unwrap()).unwrap().0, [0.0; 3]);
    }

    /// Orthogonal columns of all sizes: every digit of every singular value.
    #[test]
    fn small_singular_values_have_all_their_digits() {
        let q = Qr::new(gaussian(30, 12, 3)).unwrap().thin_q().unwrap();
        let truth = |j: usize| 10f64.powi(-(7 * j as i32) % 60);
        let found = svd(Mat::from_fn(30, 12, |i, j| q[(i, j)] * truth(j)).unwrap()).s;
        let mut expected: Vec<f64> = (0..12).map(truth).collect();
        expected.sort_by(|a, b| b.total_cmp(a));
        assert!(found.iter().zip(&expected).all(|(s, truth)| (s / truth - 1.0).abs() < 1e-14), "{found:?}");
    }
}
