//! The columns of sparse rows that hold anything, numbered among themselves.

use super::sparse::IndexBuf;
use super::{Axis, Indices, Real, Sparse};
use crate::error::Result;
use crate::memory::{push, room_for, zeros};
use crate::parallel::Context;

/// What memory is for.
const TOUCHED: &str = "the columns that a batch of rows touches";

/// The numbers that the columns of some sparse rows have among those that are not empty.
pub struct Touched {
    /// The columns with entries, ascending.
    pub columns: Vec<usize>,
    numbers: IndexBuf,
}

impl Touched {
    /// Of a matrix that is stored by rows. In time of its entries, however many columns there are.
    ///
    /// Panics if it is stored by columns.
    pub fn of<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Result<Self> {
        assert!(a.axis() == Axis::Rows);
        const WORD: usize = 64;
        // A bit for each column pays once there are so many entries.
        if a.nnz() >= a.ncols() / WORD { Self::by_bits(context, a) } else { Self::by_sorting(context, a) }
    }

    fn by_bits<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Result<Self> {
        let mut bits: Vec<u64> = zeros(a.ncols().div_ceil(64), TOUCHED)?;
        for entries in context.pieces(0..a.nnz()) {
            a.visit(entries?, |column, _| bits[column / 64] |= 1 << (column % 64));
        }
        let mut before: Vec<u32> = room_for(bits.len(), TOUCHED)?;
        let mut columns = Vec::new();
        for (word, &set) in bits.iter().enumerate() {
            push(&mut before, columns.len() as u32, TOUCHED)?;
            let mut left = set;
            while left != 0 {
                push(&mut columns, 64 * word + left.trailing_zeros() as usize, TOUCHED)?;
                left &= left - 1;
            }
        }
        let mut indices: Vec<i32> = room_for(a.nnz(), TOUCHED)?;
        for entries in context.pieces(0..a.nnz()) {
            let entries = entries?;
            let number = |column: usize| {
                let below = bits[column / 64] & ((1 << (column % 64)) - 1);
                (before[column / 64] + below.count_ones()) as i32
            };
            numbered(a.indices(), entries, number, &mut indices);
        }
        Ok(Self { columns, numbers: IndexBuf::I32(indices) })
    }

    fn by_sorting<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Result<Self> {
        let mut columns: Vec<usize> = room_for(a.nnz(), TOUCHED)?;
        for entries in context.pieces(0..a.nnz()) {
            numbered(a.indices(), entries?, |column| column, &mut columns);
        }
        columns.sort_unstable();
        columns.dedup();
        let mut indices: Vec<i32> = room_for(a.nnz(), TOUCHED)?;
        for entries in context.pieces(0..a.nnz()) {
            numbered(
                a.indices(),
                entries?,
                |column| columns.partition_point(|&c| c < column) as i32,
                &mut indices,
            );
        }
        Ok(Self { columns, numbers: IndexBuf::I32(indices) })
    }

    /// The matrix that this is of, without its empty columns.
    pub fn view<'v, T: Real>(&'v self, a: &Sparse<'v, T>) -> Sparse<'v, T> {
        a.with_indices(self.columns.len(), self.numbers.as_ref())
    }
}

/// Appends what is made of some indices; there is room for all.
#[expect(clippy::disallowed_methods, reason = "there is room for all")]
fn numbered<N>(
    indices: Indices<'_>,
    part: std::ops::Range<usize>,
    number: impl Fn(usize) -> N,
    out: &mut Vec<N>,
) {
    match indices {
        Indices::I32(indices) => out.extend(indices[part].iter().map(|&index| number(index as usize))),
        Indices::I64(indices) => out.extend(indices[part].iter().map(|&index| number(index as usize))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_empty_keeps_its_place_and_its_entries() {
        let context = Context::new(1);
        let (ends, data) = ([0i64, 3, 3, 5], [1.0, 2.0, 3.0, 4.0, 5.0]);
        for ncols in [8, 700, 100_000] {
            let last = ncols as i32 - 1;
            let indices = [0, 5, last, 5, 6];
            let a = Sparse::new(
                &context,
                "A",
                Axis::Rows,
                (3, ncols),
                Indices::I64(&ends),
                Indices::I32(&indices),
                &data,
            )
            .unwrap();
            let touched = Touched::of(&context, &a).unwrap();
            assert_eq!(touched.columns, [0, 5, 6, ncols - 1]);
            let view = touched.view(&a);
            assert_eq!((view.nrows(), view.ncols(), view.nnz()), (3, 4, 5));
            let mut found = Vec::new();
            view.visit_rows(0..3, |i, j, value| found.push((i, j, value)));
            assert_eq!(found, [(0, 0, 1.0), (0, 1, 2.0), (0, 3, 3.0), (2, 1, 4.0), (2, 2, 5.0)]);
        }
    }
}
