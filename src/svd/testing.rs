//! Small instances and plain loops.

use crate::matrix::{Axis, Indices, Mat, SparseBuf, Triplets};
use crate::parallel::Context;

pub(super) fn numbers(n: usize, d: usize, seed: usize) -> Mat<f64> {
    Mat::from_fn(n, d, |i, j| ((i * 131 + j * 17 + seed * 7919 + i * j) as f64 * 0.7391).sin()).unwrap()
}

/// What is not zero, by rows.
pub(super) fn compressed(a: &Mat<f64>) -> SparseBuf<f64> {
    let places: Vec<(usize, usize)> =
        (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))).collect();
    let filled: Vec<(usize, usize)> = places.into_iter().filter(|&place| a[place] != 0.0).collect();
    let rows: Vec<i64> = filled.iter().map(|&(i, _)| i as i64).collect();
    let columns: Vec<i64> = filled.iter().map(|&(_, j)| j as i64).collect();
    let values: Vec<f64> = filled.iter().map(|&place| a[place]).collect();
    let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
    Triplets { argument: "A", shape: (a.nrows(), a.ncols()), rows, columns, values: &values }
        .compressed(&Context::new(1), Axis::Rows)
        .unwrap()
}
