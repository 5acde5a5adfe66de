//! Blocks of a few vectors, row by row, as products with sparse matrices and tall bases want them.

use crate::error::Result;
use crate::linalg::matmul;
use crate::matrix::{Dense, DenseMut, Mat, Products, even_blocks, make_rows};
use crate::memory::reset;
use crate::parallel::Context;

/// Rows that are worked on at a time.
const ROWS: usize = 512;

/// n x b numbers.
pub(super) struct Block {
    /// The rows, as columns.
    rows: Mat<f64>,
}

impl Block {
    pub fn zeros(n: usize, b: usize) -> Result<Self> {
        Ok(Self { rows: Mat::zeros(b, n)? })
    }

    pub fn copy_of(a: Dense<'_, f64>) -> Result<Self> {
        Ok(Self { rows: Mat::copy_of(a.t())? })
    }

    pub fn nrows(&self) -> usize {
        self.rows.ncols()
    }

    pub fn width(&self) -> usize {
        self.rows.nrows()
    }

    pub fn row(&self, i: usize) -> &[f64] {
        self.rows.col(i)
    }

    /// Row by row.
    pub fn as_slice(&self) -> &[f64] {
        self.rows.as_slice()
    }

    pub fn as_mut_slice(&mut self) -> &mut [f64] {
        self.rows.as_mut_slice()
    }

    pub fn view(&self) -> Dense<'_, f64> {
        self.rows.as_ref().t()
    }

    pub fn view_mut(&mut self) -> DenseMut<'_, f64> {
        self.rows.as_mut().t()
    }

    /// basis'W
    pub fn along(&self, context: &Context, basis: Dense<'_, f64>) -> Result<Mat<f64>> {
        let mut along = Mat::zeros(basis.ncols(), self.width())?;
        basis.transposed_product(context, self.view(), along.as_mut())?;
        Ok(along)
    }

    /// W -= basis C
    pub fn subtract(&mut self, context: &Context, basis: Dense<'_, f64>, c: Dense<'_, f64>) -> Result<()> {
        let (width, blocks) = (self.width(), even_blocks(self.nrows(), ROWS)?);
        make_rows(context, self.view_mut(), &blocks, width, |_, rows, out| {
            let out = DenseMut::row_major(out, rows.len(), width);
            matmul(out, true, basis.rows(rows), c, -1.0);
            Ok(())
        })
    }

    /// W M in place of W.
    pub fn multiply(&mut self, context: &Context, m: Dense<'_, f64>) -> Result<()> {
        let (width, blocks) = (self.width(), even_blocks(self.nrows(), ROWS)?);
        make_rows(context, self.view_mut(), &blocks, width, |part, rows, out| {
            reset(part, out.len(), "rows of a block")?;
            let into = DenseMut::row_major(part, rows.len(), width);
            matmul(into, false, Dense::row_major(out, rows.len(), width), m, 1.0);
            out.copy_from_slice(part);
            Ok(())
        })
    }
}
