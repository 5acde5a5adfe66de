//! Small instances.

use crate::matrix::{Axis, Dense, Indices, Real, Sparse, SparseBuf};
use crate::parallel::Context;

/// Numbers without a pattern, some of them zeros.
pub(super) fn entry(i: usize, j: usize) -> f64 {
    let value = (((i * 2654435761 + j * 40503) ^ (i * j)) % 1013) as f64 / 1013.0 - 0.45;
    if (i + 2 * j).is_multiple_of(3) { 0.0 } else { value }
}

/// What is stored of a matrix.
pub(super) fn sparse_copy<T: Real>(a: Dense<'_, T>, axis: Axis) -> SparseBuf<T> {
    let (mut ends, mut indices, mut values) = (vec![0i64], Vec::new(), Vec::new());
    for i in 0..a.nrows() {
        for j in (0..a.ncols()).filter(|&j| a.get(i, j).to_f64() != 0.0) {
            indices.push(j as i32);
            values.push(a.get(i, j));
        }
        ends.push(indices.len() as i64);
    }
    let (ends, indices) = (Indices::I64(&ends), Indices::I32(&indices));
    let shape = (a.nrows(), a.ncols());
    let rows = Sparse::new(&Context::new(1), "A", Axis::Rows, shape, ends, indices, &values).unwrap();
    rows.along(&Context::new(1), axis).unwrap()
}
