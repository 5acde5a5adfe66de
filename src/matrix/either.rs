//! Dense or sparse.

use super::{Dense, Real, Rows, Sparse};
use crate::error::Result;
use std::ops::Range;

/// A matrix as it came from the caller.
#[derive(Clone, Copy, Debug)]
pub enum Matrix<'a, T> {
    /// Strided array.
    Dense(Dense<'a, T>),
    /// Compressed sparse rows or columns.
    Sparse(Sparse<'a, T>),
}

impl<T: Real> Matrix<'_, T> {
    /// Number of rows.
    pub fn nrows(&self) -> usize {
        match self {
            Self::Dense(a) => a.nrows(),
            Self::Sparse(a) => a.nrows(),
        }
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        match self {
            Self::Dense(a) => a.ncols(),
            Self::Sparse(a) => a.ncols(),
        }
    }
}

impl<T: Real> Rows for Matrix<'_, T> {
    fn nrows(&self) -> usize {
        Self::nrows(self)
    }

    fn ncols(&self) -> usize {
        Self::ncols(self)
    }

    fn borrowed(&self, rows: Range<usize>) -> Option<Dense<'_, f64>> {
        match self {
            Self::Dense(a) => a.borrowed(rows),
            Self::Sparse(a) => a.borrowed(rows),
        }
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        match self {
            Self::Dense(a) => a.tile(rows, cols, buffer),
            Self::Sparse(a) => a.tile(rows, cols, buffer),
        }
    }
}
