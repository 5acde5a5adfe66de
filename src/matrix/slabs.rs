//! Rows of a matrix, made in blocks on all threads.

use super::DenseMut;
use crate::error::Result;
use crate::memory::{push, resize};
use crate::parallel::Context;
use std::convert::identity;
use std::ops::Range;

/// What memory is for.
const ROWS: &str = "a block of rows";

/// Makes all rows of a matrix, one of whose strides is one: `make(buffer, rows, out)` writes those of a block, row after row
/// of `width` numbers, of which the matrix takes as many as it has columns, in a buffer of its own if it wants one.
/// The rows of the transposed view of a matrix are its columns.
pub(crate) fn make_rows(
    context: &Context,
    matrix: DenseMut<'_, f64>,
    blocks: &[Range<usize>],
    width: usize,
    make: impl Fn(&mut Vec<f64>, Range<usize>, &mut [f64]) -> Result<()> + Sync,
) -> Result<()> {
    if matrix.ncols() == 0 {
        return Ok(());
    }
    let work = |(scratch, buffer): &mut (Vec<f64>, Vec<f64>), block: usize, slab: Slab<'_>| {
        let rows = blocks[block].clone();
        slab.fill(width, rows.len(), buffer, |out| make(scratch, rows, out))
    };
    let made = context.map_parts(slabs(matrix, blocks)?, Default::default, work)?;
    made.into_iter().try_for_each(identity)
}

/// The part of a matrix that a block of rows is.
enum Slab<'o> {
    /// Rows with this many numbers from one to the next.
    Rows(&'o mut [f64], usize, usize),
    /// By column.
    Columns(Vec<&'o mut [f64]>),
}

impl Slab<'_> {
    /// Has `work` write all rows: where they are, if they lie one after the other.
    fn fill(
        mut self,
        width: usize,
        nrows: usize,
        buffer: &mut Vec<f64>,
        work: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<()> {
        let in_place = match &mut self {
            Self::Rows(rows, stride, k) if *k == width && *stride == width => Some(&mut **rows),
            Self::Columns(columns) if width == 1 => columns.first_mut().map(|column| &mut **column),
            _ => None,
        };
        if let Some(rows) = in_place {
            return work(rows);
        }
        resize(buffer, nrows * width, 0.0, ROWS)?;
        work(buffer)?;
        self.copy_from(width, buffer);
        Ok(())
    }

    /// Takes the first numbers of rows of `width`.
    fn copy_from(&mut self, width: usize, made: &[f64]) {
        match self {
            Self::Rows(rows, stride, k) => {
                for (out, row) in rows.chunks_mut((*stride).max(1)).zip(made.chunks_exact(width.max(1))) {
                    out[..*k].copy_from_slice(&row[..*k]);
                }
            }
            Self::Columns(columns) => {
                let rows = made.len() / width.max(1);
                for first in (0..rows).step_by(64) {
                    for (j, column) in columns.iter_mut().enumerate() {
                        for i in first..rows.min(first + 64) {
                            column[i] = made[i * width + j];
                        }
                    }
                }
            }
        }
    }
}

/// Cuts a matrix, one of whose strides is one, into consecutive blocks that cover its rows.
fn slabs<'o>(out: DenseMut<'o, f64>, blocks: &[Range<usize>]) -> Result<Vec<Slab<'o>>> {
    let (nrows, k, col_stride) = (out.nrows(), out.ncols(), out.col_stride());
    // From a row alone to the next it is any number.
    let row_stride = if nrows <= 1 { k } else { out.row_stride() };
    let mut slabs = Vec::new();
    let mut data = out.into_data();
    if col_stride == 1 {
        for rows in blocks {
            let len = if rows.end == nrows { data.len() } else { rows.len() * row_stride };
            let part = data.split_off_mut(..len).unwrap_or_default();
            let len = if part.is_empty() { 0 } else { (rows.len() - 1) * row_stride + k };
            push(&mut slabs, Slab::Rows(&mut part[..len], row_stride, k), ROWS)?;
        }
        return Ok(slabs);
    }
    assert!(row_stride == 1 || nrows <= 1);
    for _ in blocks {
        push(&mut slabs, Slab::Columns(Vec::new()), ROWS)?;
    }
    for _ in 0..k {
        let mut column = data.split_off_mut(..col_stride.min(data.len())).unwrap_or_default();
        for (slab, rows) in slabs.iter_mut().zip(blocks) {
            let part = column.split_off_mut(..rows.len()).unwrap_or_default();
            if let Slab::Columns(columns) = slab {
                push(columns, part, ROWS)?;
            }
        }
    }
    Ok(slabs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::matrix::Mat;
    use crate::matrix::blocks::even_blocks;

    #[test]
    fn rows_are_made_where_they_belong_and_errors_come_out() {
        for (nrows, ncols, step) in [(0, 3, 4), (10, 3, 4), (7, 1, 7), (1, 5, 3), (5, 2, 100), (9, 0, 2)] {
            let blocks = even_blocks(nrows, step).unwrap();
            for (threads, width) in [(1, ncols), (3, ncols), (1, 8), (3, 8)] {
                let context = Context::new(threads);
                let make = |_: &mut Vec<f64>, rows: Range<usize>, out: &mut [f64]| {
                    assert!(rows.len() <= step && out.len() == rows.len() * width);
                    let number = |at: usize| (10 * (rows.start + at / width) + at % width) as f64;
                    out.iter_mut().enumerate().for_each(|(at, out)| *out = number(at));
                    Ok(())
                };
                let refuse = |_: &mut Vec<f64>, rows: Range<usize>, _: &mut [f64]| match rows.start {
                    0 => Ok(()),
                    row => Err(Error::value("row", row, "the first")),
                };
                let mut by_columns = Mat::from_fn(nrows, ncols, |_, _| f64::NAN).unwrap();
                let mut by_rows = Mat::from_fn(ncols, nrows, |_, _| f64::NAN).unwrap();
                for matrix in [by_columns.as_mut(), by_rows.as_mut().t()] {
                    make_rows(&context, matrix, &blocks, width, make).unwrap();
                }
                for (i, j) in (0..nrows).flat_map(|i| (0..ncols).map(move |j| (i, j))) {
                    assert_eq!([by_columns[(i, j)], by_rows[(j, i)]], [(10 * i + j) as f64; 2]);
                }
                let refused = make_rows(&context, by_columns.as_mut(), &blocks, width, refuse);
                assert_eq!(refused.is_err(), ncols > 0 && nrows > step);
            }
        }
    }
}
