//! Compressed sparse views (CSR and CSC) with 32- or 64-bit indices.

use super::Real;
use crate::error::{Error, Result};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use std::ops::Range;

/// Which axis the lines run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Lines are rows (CSR).
    Rows,
    /// Lines are columns (CSC).
    Columns,
}

/// Indices as SciPy stores them.
#[derive(Clone, Copy, Debug)]
pub enum Indices<'a> {
    /// 32-bit.
    I32(&'a [i32]),
    /// 64-bit.
    I64(&'a [i64]),
}

impl<'a> Indices<'a> {
    /// Some of them.
    pub fn part(&self, range: Range<usize>) -> Indices<'a> {
        match self {
            Self::I32(slice) => Self::I32(&slice[range]),
            Self::I64(slice) => Self::I64(&slice[range]),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::I32(slice) => slice.len(),
            Self::I64(slice) => slice.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number `k`, known to be non-negative.
    #[inline]
    pub fn get(&self, k: usize) -> usize {
        match self {
            Self::I32(slice) => slice[k] as usize,
            Self::I64(slice) => slice[k] as usize,
        }
    }

    /// The first in a range that is not in [0, width).
    pub(super) fn first_outside(&self, range: Range<usize>, width: usize) -> Option<usize> {
        // A negative number is a large one without its sign. The largest of all is found faster than the first.
        let start = range.start;
        let found = match self {
            Self::I32(slice) => {
                let outside = |&i: &i32| i as u32 as usize >= width;
                let largest = slice[range.clone()].iter().fold(0, |largest: u32, &i| largest.max(i as u32));
                (largest as usize >= width).then(|| slice[range].iter().position(outside)).flatten()
            }
            Self::I64(slice) => {
                let outside = |&i: &i64| i as u64 as usize >= width;
                let largest = slice[range.clone()].iter().fold(0, |largest: u64, &i| largest.max(i as u64));
                (largest as usize >= width).then(|| slice[range].iter().position(outside)).flatten()
            }
        };
        found.map(|k| start + k)
    }

    pub(super) fn signed(&self, k: usize) -> i64 {
        match self {
            Self::I32(slice) => i64::from(slice[k]),
            Self::I64(slice) => slice[k],
        }
    }
}

/// SciPy's three arrays, whose indices nobody has looked at.
#[derive(Clone, Copy, Debug)]
pub struct Unchecked<'a, T> {
    /// The name that errors give it.
    pub argument: &'static str,
    /// CSR or CSC.
    pub axis: Axis,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Where lines begin and end.
    pub indptr: Indices<'a>,
    /// Positions within the lines.
    pub indices: Indices<'a>,
    /// Stored values.
    pub data: &'a [T],
}

impl<'a, T: Real> Unchecked<'a, T> {
    /// A view, after every index has been checked.
    pub fn check(&self, context: &Context) -> Result<Sparse<'a, T>> {
        let Self { argument, axis, shape, indptr, indices, data } = *self;
        Sparse::new(context, argument, axis, shape, indptr, indices, data)
    }
}

/// A validated view: line `i` holds the entries `indptr[i]..indptr[i + 1]`, all of them in range.
#[derive(Clone, Copy, Debug)]
pub struct Sparse<'a, T> {
    axis: Axis,
    lines: usize,
    width: usize,
    indptr: Indices<'a>,
    indices: Indices<'a>,
    data: &'a [T],
}

/// Refuses indices that lead out of a matrix of `lines` lines of length `width` with `stored` entries.
pub fn check_indices(
    context: &Context,
    argument: &'static str,
    (lines, width): (usize, usize),
    indptr: Indices<'_>,
    indices: Indices<'_>,
    stored: usize,
) -> Result<()> {
    if indptr.len().checked_sub(1) != Some(lines) {
        let expected = lines as u128 + 1;
        return Err(Error::shape(argument, format!("indptr of length {}", indptr.len()), expected));
    }
    let stored = indices.len().min(stored) as i64;
    let mut last = indptr.signed(0);
    if last != 0 {
        return Err(Error::value(argument, format!("sparse with indptr[0] = {last}"), "0"));
    }
    for piece in context.pieces(1..lines + 1) {
        for k in piece? {
            let next = indptr.signed(k);
            if next < last || next > stored {
                let found = format!("sparse with indptr[{k}] = {next}");
                return Err(Error::value(argument, found, format!("a value in [{last}, {stored}]")));
            }
            last = next;
        }
    }
    for piece in context.pieces(0..last as usize) {
        if let Some(k) = indices.first_outside(piece?, width) {
            let found = format!("sparse with index {} at position {k}", indices.signed(k));
            return Err(Error::value(argument, found, format!("an index in [0, {width})")));
        }
    }
    Ok(())
}

impl<'a, T: Real> Sparse<'a, T> {
    /// A view of SciPy's three arrays, after every index has been checked once.
    pub fn new(
        context: &Context,
        argument: &'static str,
        axis: Axis,
        (nrows, ncols): (usize, usize),
        indptr: Indices<'a>,
        indices: Indices<'a>,
        data: &'a [T],
    ) -> Result<Self> {
        let (lines, width) = if axis == Axis::Rows { (nrows, ncols) } else { (ncols, nrows) };
        check_indices(context, argument, (lines, width), indptr, indices, data.len())?;
        Ok(Self { axis, lines, width, indptr, indices, data })
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        if self.axis == Axis::Rows { self.lines } else { self.width }
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        if self.axis == Axis::Rows { self.width } else { self.lines }
    }

    /// CSR or CSC.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// Number of stored entries. There are values for all of them even if somebody writes to the offsets.
    pub fn nnz(&self) -> usize {
        self.indptr.get(self.lines).min(self.data.len())
    }

    /// The positions that line `line` occupies in the stored entries.
    pub fn extent(&self, line: usize) -> Range<usize> {
        self.indptr.get(line)..self.indptr.get(line + 1)
    }

    /// The positions of the entries of a sorted line whose index is in `range`.
    pub fn extent_within(&self, line: usize, range: Range<usize>) -> Range<usize> {
        let extent = self.extent(line);
        let below = |bound: usize| match self.indices {
            Indices::I32(indices) => indices[extent.clone()].partition_point(|&i| (i as usize) < bound),
            Indices::I64(indices) => indices[extent.clone()].partition_point(|&i| (i as usize) < bound),
        };
        extent.start + below(range.start)..extent.start + below(range.end)
    }

    /// Where the lines begin and end.
    pub fn ends(&self) -> Indices<'a> {
        self.indptr
    }

    /// The same entries with other values.
    ///
    /// Panics if there are not as many.
    pub fn with_values<'v, V: Real>(&self, data: &'v [V]) -> Sparse<'v, V>
    where
        'a: 'v,
    {
        assert!(data.len() >= self.nnz());
        let Self { axis, lines, width, indptr, indices, .. } = *self;
        Sparse { axis, lines, width, indptr, indices, data }
    }

    /// The same entries in lines of another length.
    ///
    /// Panics if there are not as many indices; they lie within the lines.
    pub(super) fn with_indices<'v>(&self, width: usize, indices: Indices<'v>) -> Sparse<'v, T>
    where
        'a: 'v,
    {
        assert!(indices.len() >= self.nnz());
        Sparse { width, indices, ..*self }
    }

    /// The transposed matrix, which is stored alike: CSR is the CSC of A'.
    pub fn t(&self) -> Self {
        let axis = if self.axis == Axis::Rows { Axis::Columns } else { Axis::Rows };
        Self { axis, ..*self }
    }

    /// Stored values.
    pub fn values(&self) -> &'a [T] {
        self.data
    }

    /// Stored indices.
    pub fn indices(&self) -> Indices<'a> {
        self.indices
    }

    /// Visits the entries at `positions` as (index within the line, value). The index type is settled
    /// once, outside the loop.
    #[inline]
    pub fn visit(&self, positions: Range<usize>, mut visitor: impl FnMut(usize, T)) {
        let values = &self.data[positions.clone()];
        match self.indices {
            Indices::I32(indices) => {
                for (&index, &value) in indices[positions].iter().zip(values) {
                    visitor(index as usize, value);
                }
            }
            Indices::I64(indices) => {
                for (&index, &value) in indices[positions].iter().zip(values) {
                    visitor(index as usize, value);
                }
            }
        }
    }

    /// Visits the entries of a line as (index within the line, value).
    #[inline]
    pub fn visit_line(&self, line: usize, visitor: impl FnMut(usize, T)) {
        self.visit(self.extent(line), visitor);
    }

    /// `visit(i, j, a_ij)` for the stored entries of the rows `rows`, which are counted from the first of them.
    pub fn visit_rows(&self, rows: Range<usize>, mut visit: impl FnMut(usize, usize, f64)) {
        match self.axis() {
            Axis::Rows => {
                for (i, row) in rows.enumerate() {
                    self.visit_line(row, |j, value| visit(i, j, value.to_f64()));
                }
            }
            Axis::Columns => {
                for column in 0..self.ncols() {
                    let extent = self.extent_within(column, rows.clone());
                    self.visit(extent, |i, value| visit(i - rows.start, column, value.to_f64()));
                }
            }
        }
    }

    /// True when the indices of every line strictly increase: all that do not are where a line begins.
    pub fn is_canonical(&self, context: &Context) -> Result<bool> {
        for lines in self.lines_in_pieces(context) {
            let lines = lines?;
            let entries = self.extent(lines.start).start..self.extent(lines.end - 1).end;
            let starts = lines.map(|line| self.extent(line)).filter(|line| !line.is_empty());
            let starts = starts.map(|line| line.start).filter(|&start| start > entries.start);
            let (in_all, at_starts) = match self.indices {
                Indices::I32(indices) => {
                    falls_of(&indices[entries.clone()], starts.map(|start| start - entries.start))
                }
                Indices::I64(indices) => {
                    falls_of(&indices[entries.clone()], starts.map(|start| start - entries.start))
                }
            };
            if in_all > at_starts {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The squares of the lengths of all rows, in stored entries: twice the products that A'A takes. A sum that is beyond
    /// all integers is the largest.
    pub fn squared_row_lengths(&self, context: &Context) -> Result<usize> {
        let square = |length: usize| length.saturating_mul(length);
        if self.axis == Axis::Rows {
            return context.pieces(0..self.lines).try_fold(0usize, |sum, lines| {
                let squares = lines?.map(|line| square(self.extent(line).len()));
                Ok(squares.fold(sum, usize::saturating_add))
            });
        }
        Ok(self.row_lengths(context)?.into_iter().map(square).fold(0, usize::saturating_add))
    }

    /// Stored entries of every row.
    pub fn row_lengths(&self, context: &Context) -> Result<Vec<usize>> {
        const LENGTHS: &str = "lengths of rows";
        if self.axis == Axis::Rows {
            return collected((0..self.lines).map(|line| self.extent(line).len()), LENGTHS);
        }
        let mut lengths: Vec<usize> = zeros(self.width, LENGTHS)?;
        for entries in context.pieces(0..self.nnz()) {
            self.visit(entries?, |row, _| lengths[row] += 1);
        }
        Ok(lengths)
    }

    /// All lines, a few at a time; interrupts are heard in between.
    pub(super) fn lines_in_pieces(&self, context: &Context) -> impl Iterator<Item = Result<Range<usize>>> {
        let (count, few) = (self.lines, (self.lines << 16) / self.nnz().max(self.lines).max(1));
        let piece = move |start| context.tick().map(|()| start..count.min(start + few.max(1)));
        (0..count).step_by(few.max(1)).map(piece)
    }
}

/// How many numbers are no larger than the one before them: of all, and of those at these places.
fn falls_of<I: Ord>(numbers: &[I], places: impl Iterator<Item = usize>) -> (usize, usize) {
    let in_all =
        numbers.iter().zip(numbers.iter().skip(1)).map(|(left, right)| usize::from(left >= right)).sum();
    (in_all, places.map(|at| usize::from(numbers[at - 1] >= numbers[at])).sum())
}

/// Owned indices.
#[derive(Debug)]
pub(super) enum IndexBuf {
    I32(Vec<i32>),
    I64(Vec<i64>),
}

impl IndexBuf {
    pub fn as_ref(&self) -> Indices<'_> {
        match self {
            Self::I32(indices) => Indices::I32(indices),
            Self::I64(indices) => Indices::I64(indices),
        }
    }
}

/// An owned sparse matrix whose lines are sorted, without repeated entries but where these were asked for.
pub struct SparseBuf<T> {
    pub(super) axis: Axis,
    pub(super) lines: usize,
    pub(super) width: usize,
    pub(super) indptr: Vec<i64>,
    pub(super) indices: IndexBuf,
    pub(super) data: Vec<T>,
}

impl<T: Real> SparseBuf<T> {
    /// The matrix as a view.
    pub fn as_ref(&self) -> Sparse<'_, T> {
        Sparse {
            axis: self.axis,
            lines: self.lines,
            width: self.width,
            indptr: Indices::I64(&self.indptr),
            indices: self.indices.as_ref(),
            data: &self.data,
        }
    }

    /// The stored values, line after line.
    pub fn into_values(self) -> Vec<T> {
        self.data
    }

    /// The same where they are.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_of_a_gram_matrix_are_counted_in_either_order() {
        let (ends, indices, values) = ([0i64, 3, 3, 4, 9], [0i32, 2, 4, 1, 0, 1, 2, 3, 4], [1.0; 9]);
        let (context, ends, indices) = (Context::new(1), Indices::I64(&ends), Indices::I32(&indices));
        let rows = Sparse::new(&context, "A", Axis::Rows, (4, 5), ends, indices, &values).unwrap();
        assert_eq!(rows.squared_row_lengths(&context).unwrap(), 9 + 1 + 25);
        let columns = rows.along(&context, Axis::Columns).unwrap();
        assert_eq!(columns.as_ref().squared_row_lengths(&context).unwrap(), 9 + 1 + 25);
        assert_eq!(rows.t().squared_row_lengths(&context).unwrap(), 4 + 4 + 4 + 1 + 4);
    }

    #[test]
    fn bad_indices_are_refused() {
        let view = |indptr: &[i64], indices: &[i64]| {
            let (indptr, indices) = (Indices::I64(indptr), Indices::I64(indices));
            Sparse::new(&Context::new(1), "A", Axis::Columns, (4, 2), indptr, indices, &[1.0f32; 3]).is_ok()
        };
        assert!(view(&[0, 1, 3], &[3, 0, 2]));
        assert!(!view(&[0, 1, 3], &[4, 0, 2]));
        assert!(!view(&[0, 1, 3], &[-1, 0, 2]));
        assert!(!view(&[0, 2, 1], &[3, 0, 2]));
        assert!(!view(&[0, 1, 9], &[3, 0, 2]));
        assert!(!view(&[1, 1, 3], &[3, 0, 2]));
        assert!(!view(&[0, 3], &[3, 0, 2]));
    }
}
