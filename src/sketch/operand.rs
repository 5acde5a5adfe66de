//! What can be sketched.

use crate::error::{Error, Result};
use crate::matrix::{Dense, Real, Rows, Sparse, first_non_finite};
use crate::parallel::Context;
use std::ops::Range;

/// A matrix to sketch. Weights, one for each row, multiply the rows of a sparse matrix; the lines of CSC must be
/// sorted, as [`Sparse::is_canonical`] says.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// Anything that shows row-major tiles: arrays of either precision and any strides, weighted or centred ones.
    Dense(&'a dyn Rows),
    /// Compressed lines in single precision.
    Single(Sparse<'a, f32>, Option<&'a [f64]>),
    /// Compressed lines in double precision.
    Double(Sparse<'a, f64>, Option<&'a [f64]>),
}

impl Operand<'_> {
    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.with_rows(|rows| rows.nrows())
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.with_rows(|rows| rows.ncols())
    }

    /// The error that names the first entry that is not finite, if there is one.
    pub fn non_finite(&self, ctx: &Context) -> Result<Option<Error>> {
        let found = match *self {
            Self::Dense(rows) => first_non_finite(ctx, rows),
            Self::Single(a, weights) => a.first_non_finite(ctx, weights),
            Self::Double(a, weights) => a.first_non_finite(ctx, weights),
        }?;
        Ok(found.map(|(i, j, value)| Error::non_finite("A", value, format!("[{i}, {j}]"))))
    }

    /// The operand as dense rows; tiles of a sparse matrix are filled in.
    pub(super) fn with_rows<R>(&self, work: impl FnOnce(&dyn Rows) -> R) -> R {
        match *self {
            Self::Dense(rows) => work(rows),
            Self::Single(a, None) => work(&a),
            Self::Double(a, None) => work(&a),
            Self::Single(a, Some(weights)) => work(&Weighted { a, weights }),
            Self::Double(a, Some(weights)) => work(&Weighted { a, weights }),
        }
    }
}

/// The rows of a sparse matrix times their weights.
struct Weighted<'a, T> {
    a: Sparse<'a, T>,
    weights: &'a [f64],
}

impl<T: Real> Rows for Weighted<'_, T> {
    fn nrows(&self) -> usize {
        self.a.nrows()
    }

    fn ncols(&self) -> usize {
        self.a.ncols()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        // Tiles of a sparse matrix are always in the buffer.
        self.a.tile(rows.clone(), cols.clone(), buffer)?;
        for (row, &weight) in buffer.chunks_exact_mut(cols.len().max(1)).zip(&self.weights[rows.clone()]) {
            row.iter_mut().for_each(|entry| *entry *= weight);
        }
        Ok(Dense::row_major(buffer, rows.len(), cols.len()))
    }
}
