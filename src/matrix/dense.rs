//! Dense views, and tiles of their rows.

use super::Real;
use crate::error::{Error, Result};
use crate::memory::resize;
use crate::simd::rows_of_columns;
use crate::simd::widen;
use std::ops::Range;

/// A read-only strided view: entry (i, j) is at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a, T> {
    data: &'a [T],
    nrows: usize,
    ncols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// Elements that a strided array spans.
fn span(nrows: usize, ncols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if nrows == 0 || ncols == 0 {
        return Some(0);
    }
    let last_row = (nrows - 1).checked_mul(row_stride)?;
    let last_col = (ncols - 1).checked_mul(col_stride)?;
    last_row.checked_add(last_col)?.checked_add(1)
}

impl<'a, T: Real> Dense<'a, T> {
    /// A view with any strides; the slice must hold every entry.
    pub fn strided(
        data: &'a [T],
        nrows: usize,
        ncols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self> {
        match span(nrows, ncols, row_stride, col_stride) {
            Some(needed) if needed <= data.len() => Ok(Self { data, nrows, ncols, row_stride, col_stride }),
            _ => Err(Error::Internal(format!(
                "a {nrows} x {ncols} view with strides ({row_stride}, {col_stride}) of {} elements",
                data.len()
            ))),
        }
    }

    /// A C-order view without gaps. Panics if the slice has another length.
    pub fn row_major(data: &'a [T], nrows: usize, ncols: usize) -> Self {
        assert_eq!(data.len(), nrows * ncols);
        Self { data, nrows, ncols, row_stride: ncols, col_stride: 1 }
    }

    /// A Fortran-order view without gaps. Panics if the slice has another length.
    pub fn column_major(data: &'a [T], nrows: usize, ncols: usize) -> Self {
        assert_eq!(data.len(), nrows * ncols);
        Self { data, nrows, ncols, row_stride: 1, col_stride: nrows }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Elements from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// The elements from the first entry on.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Entry (i, j).
    pub fn get(&self, i: usize, j: usize) -> T {
        debug_assert!(i < self.nrows && j < self.ncols);
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Row `i`, if its entries are contiguous.
    pub fn row(&self, i: usize) -> Option<&'a [T]> {
        let start = i * self.row_stride;
        (self.col_stride == 1 && self.ncols > 0).then(|| &self.data[start..start + self.ncols])
    }

    /// Row `i` of a row-major view, as tiles are; panics on others rather than to give a row of zeros.
    pub fn stored_row(&self, i: usize) -> &'a [T] {
        assert!(self.col_stride == 1 || self.ncols <= 1, "rows are not contiguous");
        if self.ncols == 0 {
            return &[];
        }
        &self.data[i * self.row_stride..][..self.ncols]
    }

    /// Column `j`, if its entries are contiguous.
    pub fn col(&self, j: usize) -> Option<&'a [T]> {
        let start = j * self.col_stride;
        (self.row_stride == 1 && self.nrows > 0).then(|| &self.data[start..start + self.nrows])
    }

    /// Some of the rows.
    pub fn rows(&self, range: Range<usize>) -> Self {
        self.window(range, 0..self.ncols)
    }

    /// Some of the columns.
    pub fn cols(&self, range: Range<usize>) -> Self {
        self.window(0..self.nrows, range)
    }

    /// Some of the rows and columns.
    pub fn window(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        assert!(rows.end <= self.nrows && cols.end <= self.ncols);
        let (nrows, ncols) = (rows.len(), cols.len());
        let start = rows.start * self.row_stride + cols.start * self.col_stride;
        let data = if nrows == 0 || ncols == 0 { &[] } else { &self.data[start..] };
        Self { data, nrows, ncols, ..*self }
    }

    /// The same view, if it is row-major `f64`.
    pub fn row_major_f64(&self) -> Option<Dense<'a, f64>> {
        let Self { data, nrows, ncols, row_stride, col_stride } = *self;
        (col_stride == 1).then_some(Dense { data: T::as_f64(data)?, nrows, ncols, row_stride, col_stride })
    }

    /// The transposed view.
    pub fn t(&self) -> Self {
        Self {
            data: self.data,
            nrows: self.ncols,
            ncols: self.nrows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// A mutable strided view, laid out as [`Dense`].
#[derive(Debug)]
pub struct DenseMut<'a, T> {
    data: &'a mut [T],
    nrows: usize,
    ncols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Real> DenseMut<'a, T> {
    /// A Fortran-order view without gaps. Panics if the slice has another length.
    pub fn column_major(data: &'a mut [T], nrows: usize, ncols: usize) -> Self {
        assert_eq!(data.len(), nrows * ncols);
        Self { data, nrows, ncols, row_stride: 1, col_stride: nrows }
    }

    /// A C-order view without gaps. Panics if the slice has another length.
    pub fn row_major(data: &'a mut [T], nrows: usize, ncols: usize) -> Self {
        assert_eq!(data.len(), nrows * ncols);
        Self { data, nrows, ncols, row_stride: ncols, col_stride: 1 }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Elements from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// The elements from the first entry on.
    pub fn data(&mut self) -> &mut [T] {
        self.data
    }

    /// The same for as long as the view could have lived.
    pub fn into_data(self) -> &'a mut [T] {
        self.data
    }

    /// Sets entry (i, j).
    pub fn set(&mut self, i: usize, j: usize, value: T) {
        debug_assert!(i < self.nrows && j < self.ncols);
        self.data[i * self.row_stride + j * self.col_stride] = value;
    }

    /// Column `j`, if its elements are next to each other.
    pub fn col_mut(&mut self, j: usize) -> Option<&mut [T]> {
        let (from, nrows) = (j * self.col_stride, self.nrows);
        if self.row_stride == 1 { self.data.get_mut(from..from + nrows) } else { None }
    }

    /// The entries of column `j`.
    pub fn column_mut(&mut self, j: usize) -> impl Iterator<Item = &mut T> {
        debug_assert!(j < self.ncols);
        let from = self.data.get_mut(j * self.col_stride..).unwrap_or_default();
        from.iter_mut().step_by(self.row_stride.max(1)).take(self.nrows)
    }

    /// Takes the entries of a view of the same shape. Panics if it has another.
    pub fn copy_from(mut self, from: Dense<'_, T>) {
        /// Rows at a time: whole cache lines of both.
        const ROWS: usize = 64;
        assert!((self.nrows, self.ncols) == (from.nrows, from.ncols));
        if self.row_stride == 1 && from.row_stride == 1 {
            return self.copy_columns(from);
        }
        if self.col_stride == 1 && from.col_stride == 1 {
            return self.t().copy_columns(from.t());
        }
        for first in (0..self.nrows).step_by(ROWS) {
            for j in 0..self.ncols {
                for i in first..from.nrows.min(first + ROWS) {
                    self.set(i, j, from.get(i, j));
                }
            }
        }
    }

    fn copy_columns(mut self, from: Dense<'_, T>) {
        let (nrows, len) = (self.nrows, self.nrows * self.ncols);
        if self.col_stride == nrows && from.col_stride == nrows {
            return self.data()[..len].copy_from_slice(&from.data()[..len]);
        }
        for j in 0..self.ncols {
            if let (Some(to), Some(from)) = (self.col_mut(j), from.col(j)) {
                to.copy_from_slice(from);
            }
        }
    }

    /// Some of the columns.
    pub fn cols(self, range: Range<usize>) -> Self {
        let rows = 0..self.nrows;
        self.window(rows, range)
    }

    /// The same view, read-only.
    pub fn as_ref(&self) -> Dense<'_, T> {
        Dense {
            data: self.data,
            nrows: self.nrows,
            ncols: self.ncols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
        }
    }

    /// A shorter borrow of the same view.
    pub fn reborrow(&mut self) -> DenseMut<'_, T> {
        DenseMut { data: self.data, ..*self }
    }

    /// Some of the rows and columns.
    pub fn window(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        assert!(rows.end <= self.nrows && cols.end <= self.ncols);
        let (nrows, ncols) = (rows.len(), cols.len());
        let start = rows.start * self.row_stride + cols.start * self.col_stride;
        let data = if nrows == 0 || ncols == 0 { &mut [] } else { &mut self.data[start..] };
        Self { data, nrows, ncols, row_stride: self.row_stride, col_stride: self.col_stride }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            nrows: self.ncols,
            ncols: self.nrows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// What the memory of [`Rows::tile`] is for.
pub(crate) const TILE: &str = "a tile of rows";

/// Anything that can show a tile of its rows as row-major `f64`.
///
/// This is the one road from the caller's memory into the dense kernels: element type, order and
/// whatever is applied on the way (weights, centring, scaling) are settled here, in a cache-sized tile.
pub trait Rows: Sync {
    /// Number of rows.
    fn nrows(&self) -> usize;
    /// Number of columns.
    fn ncols(&self) -> usize;
    /// Rows `rows` where they lie, if they already are row-major `f64`.
    fn borrowed(&self, _rows: Range<usize>) -> Option<Dense<'_, f64>> {
        None
    }
    /// Rows `rows`, columns `cols`, with column stride 1. Borrows the matrix where [`Rows::borrowed`] does; otherwise
    /// fills `buffer` with the tile, and nothing beside it, whose old contents are discarded. [`Error::Allocation`] if
    /// there is no memory for it.
    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>>;
}

impl<T: Real> Rows for Dense<'_, T> {
    fn nrows(&self) -> usize {
        self.nrows
    }

    fn ncols(&self) -> usize {
        self.ncols
    }

    fn borrowed(&self, rows: Range<usize>) -> Option<Dense<'_, f64>> {
        self.rows(rows).row_major_f64()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        if let Some(borrowed) = self.borrowed(rows.clone()) {
            return Ok(borrowed.cols(cols));
        }
        let part = self.window(rows, cols);
        let (nrows, ncols) = (part.nrows, part.ncols);
        // All of it is written below.
        resize(buffer, nrows * ncols, 0.0, TILE)?;
        if part.col_stride == 1 {
            widen_rows(part, buffer);
        } else if part.row_stride == 1 {
            rows_of_columns(part.data, part.col_stride, (nrows, ncols), buffer, ncols);
        } else {
            transpose_into(part, buffer);
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }
}

fn widen_rows<T: Real>(part: Dense<'_, T>, buffer: &mut [f64]) {
    for (i, out) in buffer.chunks_exact_mut(part.ncols.max(1)).enumerate() {
        widen(&part.data[i * part.row_stride..][..part.ncols], out);
    }
}

/// Eight columns at a time: eight streams of reads, whole cache lines of writes.
fn transpose_into<T: Real>(part: Dense<'_, T>, buffer: &mut [f64]) {
    const WIDTH: usize = 8;
    let (nrows, ncols) = (part.nrows, part.ncols);
    for j0 in (0..ncols).step_by(WIDTH) {
        let width = WIDTH.min(ncols - j0);
        for i in 0..nrows {
            let out = &mut buffer[i * ncols + j0..][..width];
            for (k, o) in out.iter_mut().enumerate() {
                *o = part.data[i * part.row_stride + (j0 + k) * part.col_stride].to_f64();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(a: Dense<'_, f64>) -> Vec<f64> {
        (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| a.get(i, j))).collect()
    }

    #[test]
    fn stored_rows_are_the_rows() {
        let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let a = Dense::row_major(&data, 2, 3);
        assert_eq!((a.stored_row(1), a.cols(1..2).stored_row(1)), (&data[3..], &data[4..5]));
        assert!(a.cols(3..3).stored_row(1).is_empty());
        assert!(std::panic::catch_unwind(|| Dense::column_major(&data, 2, 3).stored_row(0).len()).is_err());
    }

    #[test]
    fn tiles_agree_for_every_order_and_type() {
        let c: Vec<f64> = (0..35).map(f64::from).collect();
        let f: Vec<f64> = (0..35).map(|k| c[(k % 5) * 7 + k / 5]).collect();
        let single: Vec<f32> = c.iter().map(|&v| v as f32).collect();
        let a = Dense::row_major(&c, 5, 7);
        let expected = entries(a.window(1..4, 2..7));
        let mut buffer = Vec::new();
        assert_eq!(entries(a.tile(1..4, 2..7, &mut buffer).unwrap()), expected);
        assert!(buffer.is_empty(), "a row-major f64 tile is borrowed");
        assert_eq!(entries(Dense::column_major(&f, 5, 7).tile(1..4, 2..7, &mut buffer).unwrap()), expected);
        assert_eq!(entries(Dense::row_major(&single, 5, 7).tile(1..4, 2..7, &mut buffer).unwrap()), expected);
        let strided = Dense::strided(&c, 3, 2, 14, 3).unwrap();
        assert_eq!(
            entries(strided.tile(0..3, 0..2, &mut buffer).unwrap()),
            [0.0, 3.0, 14.0, 17.0, 28.0, 31.0]
        );
    }

    #[test]
    fn entries_are_copied_from_any_order_to_any_other() {
        let c: Vec<f64> = (0..1400).map(f64::from).collect();
        for from in [
            Dense::row_major(&c, 200, 7),
            Dense::column_major(&c, 200, 7),
            Dense::strided(&c, 100, 6, 14, 2).unwrap(),
        ] {
            let (nrows, ncols) = (from.nrows(), from.ncols());
            let (mut by_rows, mut by_columns) = (vec![0.0; nrows * ncols], vec![0.0; nrows * ncols]);
            DenseMut::row_major(&mut by_rows, nrows, ncols).copy_from(from);
            DenseMut::column_major(&mut by_columns, nrows, ncols).copy_from(from);
            assert_eq!(by_rows, entries(from));
            assert_eq!(by_columns, entries(from.t()));
        }
    }

    #[test]
    fn views_never_reach_past_their_slice() {
        let data = [0.0; 10];
        assert!(Dense::strided(&data, 3, 4, 4, 1).is_err());
        assert!(Dense::strided(&data, usize::MAX, 2, 2, 1).is_err());
        assert!(Dense::strided(&data, 2, 5, 5, 1).is_ok());
        assert_eq!(Dense::row_major(&data, 2, 5).window(2..2, 0..5).data().len(), 0);
    }
}
