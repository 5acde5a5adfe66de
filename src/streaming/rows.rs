//! Rows on their way into a summary.

use crate::matrix::Dense;

/// Rows that are taken together; the first of them has a number that this divides.
pub const CHUNK: usize = 32;

/// At most [`CHUNK`] rows, one after the other.
#[derive(Clone, Copy)]
pub struct Chunk<'c> {
    /// m x d, row-major.
    pub rows: Dense<'c, f64>,
    /// Their squared norms, none of which is zero.
    pub norms: &'c [f64],
    /// Roots of their weights, which the rows already hold.
    pub roots: &'c [f64],
}

impl<'c> Chunk<'c> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &'c [f64] {
        self.rows.stored_row(i)
    }

    /// Their numbers, the first row's first, and from one row to the next.
    pub fn strided(&self) -> (&'c [f64], usize) {
        (self.rows.data(), self.rows.row_stride())
    }
}
