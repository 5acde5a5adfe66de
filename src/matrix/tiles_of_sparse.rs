//! Dense tiles of compressed sparse rows or columns.

use super::dense::TILE;
use super::{Axis, Dense, Real, Rows, Sparse};
use crate::error::Result;
use crate::memory::reset;
use std::ops::Range;

/// Column lines must be sorted, as [`Sparse::is_canonical`] says.
impl<T: Real> Rows for Sparse<'_, T> {
    fn nrows(&self) -> usize {
        Sparse::nrows(self)
    }

    fn ncols(&self) -> usize {
        Sparse::ncols(self)
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let width = cols.len();
        reset(buffer, rows.len() * width, TILE)?;
        match self.axis() {
            Axis::Rows => {
                for (i, row) in rows.clone().enumerate() {
                    self.visit_line(row, |j, value| {
                        if cols.contains(&j) {
                            buffer[i * width + j - cols.start] += value.to_f64();
                        }
                    });
                }
            }
            Axis::Columns => {
                for (j, column) in cols.enumerate() {
                    self.visit(self.extent_within(column, rows.clone()), |i, value| {
                        buffer[(i - rows.start) * width + j] += value.to_f64();
                    });
                }
            }
        }
        Ok(Dense::row_major(buffer, rows.len(), width))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Indices;
    use super::*;
    use crate::parallel::Context;

    #[test]
    fn rows_and_columns_give_the_same_tile() {
        // [[1, 0, 2], [0, 3, 0], [4, 0, 5]]
        let csr = Sparse::new(
            &Context::new(1),
            "A",
            Axis::Rows,
            (3, 3),
            Indices::I32(&[0, 2, 3, 5]),
            Indices::I32(&[0, 2, 1, 0, 2]),
            &[1.0, 2.0, 3.0, 4.0, 5.0],
        )
        .unwrap();
        let csc = Sparse::new(
            &Context::new(1),
            "A",
            Axis::Columns,
            (3, 3),
            Indices::I64(&[0, 2, 3, 5]),
            Indices::I64(&[0, 2, 1, 0, 2]),
            &[1.0f32, 4.0, 3.0, 2.0, 5.0],
        )
        .unwrap();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (rows, cols) in [(0..3, 0..3), (1..3, 1..3), (2..2, 0..1)] {
            let left = csr.tile(rows.clone(), cols.clone(), &mut left).unwrap();
            assert_eq!(left.data(), csc.tile(rows, cols, &mut right).unwrap().data());
        }
        assert_eq!(csr.tile(1..3, 0..3, &mut left).unwrap().data(), [0.0, 3.0, 0.0, 4.0, 0.0, 5.0]);
    }
}
