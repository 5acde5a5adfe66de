//! Upper triangles: solves, inverse, product, and how close to singular they are.
//!
//! Only the upper triangle of an argument is read.

use super::view::{view, view_mut};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Mat};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::{triangular_inverse, triangular_solve};
use faer::{Accum, Par};

/// `x = R⁻¹ x`.
///
/// Panics if R is not square or `x` has another number of rows.
pub fn solve_upper(r: Dense<'_, f64>, x: DenseMut<'_, f64>) {
    assert!(r.nrows() == r.ncols() && x.nrows() == r.nrows());
    triangular_solve::solve_upper_triangular_in_place(view(r), view_mut(x), Par::Seq);
}

/// `x = R'⁻¹ x`.
///
/// Panics if R is not square or `x` has another number of rows.
pub fn solve_upper_transposed(r: Dense<'_, f64>, x: DenseMut<'_, f64>) {
    assert!(r.nrows() == r.ncols() && x.nrows() == r.nrows());
    triangular_solve::solve_lower_triangular_in_place(view(r.t()), view_mut(x), Par::Seq);
}

/// The inverse of R, an upper triangle again, with zeros below the diagonal.
///
/// Panics if R is not square.
pub fn invert_upper(r: Dense<'_, f64>) -> Result<Mat<f64>> {
    let n = r.nrows();
    assert_eq!(n, r.ncols());
    let mut inverse = Mat::zeros(n, n)?;
    triangular_inverse::invert_upper_triangular(view_mut(inverse.as_mut()), view(r), Par::Seq);
    Ok(inverse)
}

/// The product of two upper triangles, an upper triangle again, with zeros below the diagonal.
///
/// Panics if they are not square and of one size.
pub fn multiply_upper(a: Dense<'_, f64>, b: Dense<'_, f64>) -> Result<Mat<f64>> {
    let n = a.nrows();
    assert!(a.ncols() == n && b.nrows() == n && b.ncols() == n);
    let mut product = Mat::zeros(n, n)?;
    triangular::matmul(
        view_mut(product.as_mut()),
        BlockStructure::TriangularUpper,
        Accum::Replace,
        view(a),
        BlockStructure::TriangularUpper,
        view(b),
        BlockStructure::TriangularUpper,
        1.0,
        Par::Seq,
    );
    Ok(product)
}

/// Estimate of the 2-norm condition number of R; infinity when its diagonal holds a zero or anything in
/// R is not finite.
///
/// Panics if R is not square.
pub fn condition_of_upper(r: Dense<'_, f64>) -> f64 {
    let n = r.nrows();
    assert_eq!(n, r.ncols());
    if n == 0 {
        return 1.0;
    }
    if (0..n).any(|j| r.get(j, j) == 0.0 || (0..=j).any(|i| !r.get(i, j).is_finite())) {
        return f64::INFINITY;
    }
    let largest = power_iteration(n, |x| {
        multiply(r, x);
        multiply_transposed(r, x);
    });
    let inverse = power_iteration(n, |x| {
        substitute_transposed(r, x);
        substitute(r, x);
    });
    let condition = largest * inverse;
    if condition.is_nan() { f64::INFINITY } else { condition.max(1.0) }
}

/// Square root of the largest eigenvalue of a positive semidefinite operator.
fn power_iteration(n: usize, apply: impl Fn(&mut [f64])) -> f64 {
    let mut x: Vec<f64> = (0..n).map(|i| 1.0 + 0.5 * ((i * 7919 % 101) as f64 / 101.0)).collect();
    let mut estimate = 0.0;
    normalise(&mut x);
    for _ in 0..12 {
        apply(&mut x);
        estimate = normalise(&mut x);
    }
    estimate.sqrt()
}

fn normalise(x: &mut [f64]) -> f64 {
    let largest = x.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let norm = largest * x.iter().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt();
    x.iter_mut().for_each(|v| *v /= norm);
    norm
}

fn multiply(r: Dense<'_, f64>, x: &mut [f64]) {
    for i in 0..x.len() {
        x[i] = (i..x.len()).map(|j| r.get(i, j) * x[j]).sum();
    }
}

fn multiply_transposed(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in (0..x.len()).rev() {
        x[j] = (0..=j).map(|i| r.get(i, j) * x[i]).sum();
    }
}

fn substitute(r: Dense<'_, f64>, x: &mut [f64]) {
    for i in (0..x.len()).rev() {
        let known: f64 = (i + 1..x.len()).map(|j| r.get(i, j) * x[j]).sum();
        x[i] = (x[i] - known) / r.get(i, i);
    }
}

fn substitute_transposed(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in 0..x.len() {
        let known: f64 = (0..j).map(|i| r.get(i, j) * x[i]).sum();
        x[j] = (x[j] - known) / r.get(j, j);
    }
}
