//! Small instances and plain loops.

use crate::matrix::Mat;

pub(super) fn numbers(n: usize, d: usize, seed: usize) -> Mat<f64> {
    Mat::from_fn(n, d, |i, j| ((i * 131 + j * 17 + seed * 7919 + i * j) as f64 * 0.7391).sin()).unwrap()
}
