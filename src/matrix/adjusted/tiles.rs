//! Tiles of an adjusted matrix that has tiles.

use super::Adjusted;
use crate::error::Result;
use crate::matrix::dense::TILE;
use crate::matrix::{Dense, Rows};
use crate::memory::{extend, prepare, resize};
use crate::simd::kernel;
use std::ops::Range;

impl<S: Rows> Rows for Adjusted<S> {
    fn nrows(&self) -> usize {
        self.source.nrows()
    }

    fn ncols(&self) -> usize {
        self.source.ncols()
    }

    fn borrowed(&self, rows: Range<usize>) -> Option<Dense<'_, f64>> {
        if self.is_untouched() { self.source.borrowed(rows) } else { None }
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        if self.is_untouched() {
            return self.source.tile(rows, cols, buffer);
        }
        let (nrows, ncols) = (rows.len(), cols.len());
        self.copy_centred(rows.clone(), cols.clone(), buffer)?;
        let scale = self.scale.as_ref().map(|scale| &scale[cols]);
        if scale.is_none() && self.root_weights.is_none() {
            return Ok(Dense::row_major(buffer, nrows, ncols));
        }
        for (row, values) in rows.zip(buffer.chunks_exact_mut(ncols.max(1))) {
            if let Some(scale) = scale {
                multiply(scale, values);
            }
            match self.root_weight(row) {
                // Entries of any magnitude, which a scale may have sent out of range.
                0.0 => values.fill(0.0),
                _ if self.root_weights.is_none() => (),
                root => scale_by(root, values),
            }
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }
}

impl<S: Rows> Adjusted<S> {
    /// Rows of A S, those of weight zero as [`Adjusted::scaled`] has them.
    pub fn scaled_tile<'b>(&'b self, rows: Range<usize>, buffer: &'b mut Vec<f64>) -> Result<Dense<'b, f64>> {
        let columns = 0..self.source.ncols();
        let Some(scale) = &self.scale else { return self.source.tile(rows, columns, buffer) };
        let (nrows, ncols) = (rows.len(), columns.len());
        self.copy(rows.clone(), columns, buffer)?;
        for (row, values) in rows.zip(buffer.chunks_exact_mut(ncols.max(1))) {
            match self.root_weight(row) {
                0.0 => values.fill(0.0),
                _ => multiply(scale, values),
            }
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }

    /// Entries of the source, in the buffer.
    fn copy(&self, rows: Range<usize>, cols: Range<usize>, buffer: &mut Vec<f64>) -> Result<()> {
        let Some(borrowed) = self.source.borrowed(rows.clone()) else {
            return self.source.tile(rows, cols, buffer).map(|_| ());
        };
        prepare(buffer, rows.len() * cols.len(), TILE)?;
        (0..borrowed.nrows())
            .try_for_each(|i| extend(buffer, borrowed.stored_row(i)[cols.clone()].iter().copied(), TILE))
    }

    /// Entries of the source less the means, in the buffer.
    fn copy_centred(&self, rows: Range<usize>, cols: Range<usize>, buffer: &mut Vec<f64>) -> Result<()> {
        let means = self.means.as_ref().map(|means| &means[cols.clone()]);
        if let (Some(borrowed), Some(means)) = (self.source.borrowed(rows.clone()), means) {
            resize(buffer, rows.len() * cols.len(), 0.0, TILE)?;
            subtracted(borrowed.cols(cols), means, buffer);
            return Ok(());
        }
        self.copy(rows, cols, buffer)?;
        means.into_iter().for_each(|means| subtract(means, buffer));
        Ok(())
    }
}

kernel! {
    /// Rows less the means, one after the other.
    fn subtracted<V>(rows: Dense<'_, f64>, means: &[f64], values: &mut [f64]) {
        let values = values.chunks_exact_mut(means.len().max(1));
        for (row, values) in (0..rows.nrows()).map(|i| rows.stored_row(i)).zip(values) {
            for k in 0..values.len().min(row.len()).min(means.len()) {
                values[k] = row[k] - means[k];
            }
        }
    }
}

kernel! {
    /// The same where they are.
    fn subtract<V>(means: &[f64], values: &mut [f64]) {
        for values in values.chunks_exact_mut(means.len().max(1)) {
            for k in 0..values.len().min(means.len()) {
                values[k] -= means[k];
            }
        }
    }
}

kernel! {
    fn multiply<V>(scale: &[f64], values: &mut [f64]) {
        for k in 0..values.len().min(scale.len()) {
            values[k] *= scale[k];
        }
    }
}

kernel! {
    /// values *= factor
    fn scale_by<V>(factor: f64, values: &mut [f64]) {
        for k in 0..values.len() {
            values[k] *= factor;
        }
    }
}
