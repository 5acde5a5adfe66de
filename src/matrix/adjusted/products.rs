//! Products of an adjusted matrix.
//!
//! Nobody writes down W (A - 1 m') S: the source is multiplied by S X or W Y, and what the means take off is a multiple of
//! one vector. A dense array, whose tiles are read anyway, is adjusted a tile at a time instead, which loses nothing
//! where the means are large.

use super::Adjusted;
use crate::error::Result;
use crate::matrix::blocks::{row_blocks, sparse_blocks};
use crate::matrix::{Dense, DenseMut, LinearOperator, Mat, Products, Real, Sparse};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::dot;
use std::ops::Range;

/// A view of a matrix that can be multiplied when it is adjusted.
pub trait Source: Products + Copy {
    /// Number of entries that are stored, where it is not that of all.
    fn stored(&self) -> Option<usize> {
        None
    }

    /// Blocks of rows, by shape alone, for passes whose sums are as long as a row.
    fn blocks(&self) -> Result<Vec<Range<usize>>>;

    /// out = W (A - 1 m') S X.
    fn adjusted_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        x: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        adjusted.product_as_it_is(&adjusted.source, context, x, out)
    }

    /// out = S (A' - m 1') W Y.
    fn adjusted_transposed_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        y: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        adjusted.transposed_product_as_it_is(&adjusted.source, context, y, out)
    }
}

impl<S: Source> Products for Adjusted<S> {
    fn shape(&self) -> (usize, usize) {
        self.source.shape()
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        S::adjusted_product(self, context, x, out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        S::adjusted_transposed_product(self, context, y, out)
    }
}

/// Nothing is read in blocks, but sums are made in them.
impl Source for &dyn LinearOperator {
    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        row_blocks(self.nrows(), self.ncols())
    }
}

impl<T: Real> Source for Sparse<'_, T> {
    fn stored(&self) -> Option<usize> {
        Some(self.nnz())
    }

    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        sparse_blocks(self)
    }
}

impl<S> Adjusted<S> {
    /// S X, if that is not X, and m'S X.
    pub(crate) fn to_source(&self, x: Dense<'_, f64>) -> Result<(Option<Mat<f64>>, Vec<f64>)> {
        let scaled =
            |scale: &Vec<f64>| Mat::from_fn(x.nrows(), x.ncols(), |j, side| x.get(j, side) * scale[j]);
        let scaled = self.scale.as_ref().map(scaled).transpose()?;
        let mut shifts = zeros(x.ncols(), "products with the means")?;
        if let Some(means) = &self.means {
            let x = scaled.as_ref().map_or(x, Mat::as_ref);
            let mut column = zeros(x.nrows(), "means and scales of columns")?;
            for (side, shift) in shifts.iter_mut().enumerate() {
                column.iter_mut().enumerate().for_each(|(j, out)| *out = x.get(j, side));
                *shift = dot(means, &column);
            }
        }
        Ok((scaled, shifts))
    }

    /// Makes of rows of A S X, from `first` on, those of W (A - 1 m') S X.
    pub(crate) fn finish<'o>(&self, first: usize, shift: f64, rows: impl Iterator<Item = &'o mut f64>) {
        match &self.root_weights {
            Some(weights) => {
                rows.zip(&weights[first..]).for_each(|(out, weight)| *out = weight * (*out - shift))
            }
            None if shift == 0.0 => (),
            None => rows.for_each(|out| *out -= shift),
        }
    }

    /// Makes of A'y, y having the sum `total`, S (A'y - m total).
    pub(crate) fn finish_transposed<'o>(&self, total: f64, columns: impl Iterator<Item = &'o mut f64>) {
        for (j, out) in columns.enumerate() {
            let mean = self.means.as_ref().map_or(0.0, |means| means[j]);
            *out = (*out - mean * total) * self.scale_of(j);
        }
    }

    /// A product of which the source sees S X.
    pub(crate) fn product_as_it_is(
        &self,
        source: &impl Products,
        context: &Context,
        x: Dense<'_, f64>,
        mut out: DenseMut<'_, f64>,
    ) -> Result<()> {
        let (scaled, shifts) = self.to_source(x)?;
        source.product(context, scaled.as_ref().map_or(x, Mat::as_ref), out.reborrow())?;
        for (side, &shift) in shifts.iter().enumerate() {
            for rows in context.pieces(0..out.nrows()) {
                let rows = rows?;
                let mut part = out.reborrow().window(rows.clone(), side..side + 1);
                match part.col_mut(0) {
                    Some(column) => self.finish(rows.start, shift, column.iter_mut()),
                    None => self.finish(rows.start, shift, part.column_mut(0)),
                }
            }
        }
        Ok(())
    }

    /// A product of which the source sees W Y.
    pub(crate) fn transposed_product_as_it_is(
        &self,
        source: &impl Source,
        context: &Context,
        y: Dense<'_, f64>,
        mut out: DenseMut<'_, f64>,
    ) -> Result<()> {
        let weighted = |w: &Vec<f64>| Mat::from_fn(y.nrows(), y.ncols(), |i, side| y.get(i, side) * w[i]);
        let weighted = self.root_weights.as_ref().map(weighted).transpose()?;
        let y = weighted.as_ref().map_or(y, Mat::as_ref);
        source.transposed_product(context, y, out.reborrow())?;
        if self.means.is_none() && self.scale.is_none() {
            return Ok(());
        }
        let blocks = source.blocks()?;
        for side in 0..y.ncols() {
            let total = match self.means {
                Some(_) => blocks.iter().try_fold(0.0, |total, rows| {
                    context.tick()?;
                    Ok(total + rows.clone().map(|i| y.get(i, side)).sum::<f64>())
                })?,
                None => 0.0,
            };
            self.finish_transposed(total, out.column_mut(side));
        }
        Ok(())
    }
}
