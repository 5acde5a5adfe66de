//! Products of a slab of rows of a sparse matrix with vectors.

use crate::matrix::{Axis, Real, Sparse};
use std::ops::Range;

/// out += A x over the rows of the slab.
pub(crate) fn add_product<T: Real>(a: &Sparse<'_, T>, rows: Range<usize>, x: &[f64], out: &mut [f64]) {
    match a.axis() {
        Axis::Rows => {
            for (out, row) in out.iter_mut().zip(rows) {
                let mut sum = 0.0;
                a.visit_line(row, |j, value| sum += value.to_f64() * x[j]);
                *out += sum;
            }
        }
        Axis::Columns => {
            for (column, &x) in x.iter().enumerate() {
                a.visit(a.extent_within(column, rows.clone()), |i, value| {
                    out[i - rows.start] += value.to_f64() * x
                });
            }
        }
    }
}

/// `visit(i, j, a_ij)` for the stored entries of the slab, rows counted from its first.
pub(crate) fn visit<T: Real>(
    a: &Sparse<'_, T>,
    rows: Range<usize>,
    mut visit: impl FnMut(usize, usize, f64),
) {
    match a.axis() {
        Axis::Rows => {
            for (i, row) in rows.enumerate() {
                a.visit_line(row, |j, value| visit(i, j, value.to_f64()));
            }
        }
        Axis::Columns => {
            for column in 0..a.ncols() {
                let extent = a.extent_within(column, rows.clone());
                a.visit(extent, |i, value| visit(i - rows.start, column, value.to_f64()));
            }
        }
    }
}

/// out += A'y over the rows of the slab.
pub(crate) fn add_transposed_product<T: Real>(
    a: &Sparse<'_, T>,
    rows: Range<usize>,
    y: &[f64],
    out: &mut [f64],
) {
    match a.axis() {
        Axis::Rows => {
            for (&y, row) in y.iter().zip(rows) {
                a.visit_line(row, |j, value| out[j] += value.to_f64() * y);
            }
        }
        Axis::Columns => {
            for (column, out) in out.iter_mut().enumerate() {
                a.visit(a.extent_within(column, rows.clone()), |i, value| {
                    *out += value.to_f64() * y[i - rows.start]
                });
            }
        }
    }
}
