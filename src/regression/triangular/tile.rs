//! A few rows of [A, B] as columns, on their way into a triangle.

use crate::error::Result;
use crate::matrix::{Dense, Mat, Matrix, Real, Rows};
use crate::memory::zeros;
use crate::regression::block::StreamBlock;
use crate::simd::{rows_of_columns, widen};
use std::ops::Range;

/// Rows that have come, as they are, with the roots of their weights. The first column is one of ones where there is a
/// constant.
pub(crate) struct Tile {
    pub values: Mat<f64>,
    pub roots: Vec<f64>,
    pub filled: usize,
    buffer: Vec<f64>,
}

impl Tile {
    /// Room for so many rows of so many numbers.
    pub fn new(rows: usize, order: usize) -> Result<Self> {
        let (values, roots) = (Mat::zeros(rows, order)?, zeros(rows, "the roots of weights")?);
        Ok(Self { values, roots, filled: 0, buffer: Vec::new() })
    }

    /// Rows that there is room for.
    pub fn room(&self) -> usize {
        self.values.nrows() - self.filled
    }

    /// Takes rows of a block in, for which there is room.
    pub fn fill<T: Real>(&mut self, block: &StreamBlock<'_, T>, rows: Range<usize>) -> Result<()> {
        let (height, order, at) = (self.values.nrows(), self.values.ncols(), self.filled);
        let (d, k, count) = (block.design.ncols(), block.targets.ncols(), rows.len());
        let constant = order - d - k;
        let place = |column: usize| column * height + at;
        (0..constant).for_each(|j| self.values.col_mut(j)[at..at + count].fill(1.0));
        let out = &mut self.values.as_mut_slice()[place(constant)..];
        match &block.design {
            Matrix::Dense(design) if design.row_stride() == 1 || design.col_stride() == 1 => {
                copy_columns(design.rows(rows.clone()), out, height);
            }
            design => {
                let tile = design.tile(rows.clone(), 0..d, &mut self.buffer)?;
                copy_columns(tile, out, height);
            }
        }
        let targets = block.targets.rows(rows.clone());
        for j in 0..k {
            let column = &mut self.values.col_mut(constant + d + j)[at..at + count];
            column.iter_mut().enumerate().for_each(|(i, out)| *out = targets.get(i, j).to_f64());
        }
        let roots = &mut self.roots[at..at + count];
        match block.weights {
            Some(weights) => {
                roots.iter_mut().zip(&weights[rows]).for_each(|(root, weight)| *root = weight.sqrt());
            }
            None => roots.fill(1.0),
        }
        self.filled += count;
        Ok(())
    }

    /// The largest magnitude in the rows from this one on, and of numbers times the roots of their weights; NaN if one is.
    pub fn largest_from(&self, first: usize) -> f64 {
        let roots = &self.roots[first..self.filled];
        let larger = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
        let of_column = |j: usize| {
            let column = &self.values.col(j)[first..self.filled];
            column.iter().zip(roots).fold(0.0, |a, (value, root)| larger(a, value.abs() * root.max(1.0)))
        };
        (0..self.values.ncols()).map(of_column).fold(0.0, larger)
    }

    /// An error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let mut copy = Self::new(self.values.nrows(), self.values.ncols())?;
        copy.filled = self.filled;
        copy.roots[..self.filled].copy_from_slice(&self.roots[..self.filled]);
        for j in 0..self.values.ncols() {
            copy.values.col_mut(j)[..self.filled].copy_from_slice(&self.values.col(j)[..self.filled]);
        }
        Ok(copy)
    }
}

/// Writes the columns of a matrix one after the other, each so many numbers after the one before it.
fn copy_columns<T: Real>(a: Dense<'_, T>, out: &mut [f64], height: usize) {
    let (nrows, ncols) = (a.nrows(), a.ncols());
    if nrows == 0 || ncols == 0 {
        return;
    }
    if a.row_stride() == 1 {
        for j in 0..ncols {
            widen(&a.data()[j * a.col_stride()..][..nrows], &mut out[j * height..][..nrows]);
        }
    } else {
        rows_of_columns(a.data(), a.row_stride(), (ncols, nrows), out, height);
    }
}
