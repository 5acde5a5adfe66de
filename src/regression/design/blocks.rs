//! Blocks of rows, by shape alone.

use crate::error::Result;
use crate::matrix::{Real, Sparse};
use crate::memory::collected;
use std::ops::Range;

/// Partial sums of so many numbers that may be alive at once: 64 MB of them.
pub(crate) fn parts_alive(len: usize) -> usize {
    (1 << 23) / len.max(1)
}

/// The driver hands operators only to what works by products.
pub(crate) fn no_tiles() -> ! {
    unreachable!("a linear operator has no tiles")
}

/// Rows of a tile in passes that do little work on it.
pub(crate) const TILE_ROWS: usize = 128;

/// Cuts rows into blocks for passes over the matrix, by shape alone.
pub(crate) fn row_blocks(nrows: usize, ncols: usize) -> Result<Vec<Range<usize>>> {
    cut(nrows, nrows.saturating_mul(ncols.max(1)) / (1 << 16))
}

/// The same for a sparse matrix: so few that what is as long as a row costs no more than the entries.
pub(crate) fn sparse_blocks<T: Real>(matrix: &Sparse<'_, T>) -> Result<Vec<Range<usize>>> {
    cut(matrix.nrows(), matrix.nnz() / matrix.ncols().saturating_mul(2).max(1 << 14))
}

/// So many blocks of rows, but at least one and at most 64.
fn cut(nrows: usize, count: usize) -> Result<Vec<Range<usize>>> {
    let step = nrows.div_ceil(count.clamp(1, 64)).next_multiple_of(TILE_ROWS).max(1);
    let block = |start: usize| start..(start + step).min(nrows);
    collected((0..nrows).step_by(step).map(block), "blocks of rows")
}
