//! Small instances and plain loops.

use crate::linalg::product;
use crate::matrix::Mat;

pub(super) fn numbers(n: usize, d: usize, seed: usize) -> Mat<f64> {
    Mat::from_fn(n, d, |i, j| ((i * 131 + j * 17 + seed * 7919 + i * j) as f64 * 0.7391).sin()).unwrap()
}

/// The largest entry of Q'Q - I.
pub(super) fn distance_to_orthonormal(q: &Mat<f64>) -> f64 {
    let gram = product(q.as_ref().t(), q.as_ref()).unwrap();
    let entry = |(i, j): (usize, usize)| (gram[(i, j)] - f64::from(i == j)).abs();
    let d = q.ncols();
    (0..d).flat_map(|i| (0..d).map(move |j| (i, j))).map(entry).fold(0.0, f64::max)
}
