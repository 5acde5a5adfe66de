//! Products of rows with many vectors at once.
//!
//! Vectors lie side by side in panels of [`SIDES`], and what is added to an entry is a chain of at most [`DEPTH`] fused
//! multiply-adds: the bits for one vector depend neither on the vectors beside it nor on the instruction set.

use super::kernel::{HEIGHT, Kernel, add_tile};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut, TILE};
use crate::memory::reset;

/// Vectors of a panel.
pub(crate) const SIDES: usize = <f64 as Kernel>::WIDTH;
/// Rows of a tile whose products are made at once.
pub(crate) const BATCH_ROWS: usize = 128;

/// Terms of a chain: a panel of so many rows stays in the L1 cache.
const DEPTH: usize = 128;
/// Terms of a chain in sums over rows, whose rounding an answer may be made of.
pub(crate) const SUM_DEPTH: usize = 64;
/// Numbers of a tile that stay in the L2 cache beside a panel.
const TILE_NUMBERS: usize = 1 << 16;
/// Rows so many numbers apart, or a multiple, share so few sets of the L1 cache that a column of a tile does not fit.
const CROWDED: usize = 64;

/// Vectors of one length: entry i of vector s is number i * SIDES + s % SIDES of panel s / SIDES, which zeros fill.
pub(crate) struct Batch {
    len: usize,
    numbers: Buffer<f64>,
}

impl Batch {
    /// So many zero vectors.
    pub fn zeros(len: usize, count: usize) -> Result<Self> {
        let numbers = count.div_ceil(SIDES).saturating_mul(len).saturating_mul(SIDES);
        Ok(Self { len, numbers: Buffer::zeros(numbers, "vectors side by side")? })
    }

    /// The columns of -X.
    pub fn negative(x: Dense<'_, f64>) -> Result<Self> {
        let mut batch = Self::zeros(x.nrows(), x.ncols())?;
        for side in 0..x.ncols() {
            let panel = batch.panel_mut(side / SIDES);
            for (i, out) in panel[side % SIDES..].iter_mut().step_by(SIDES).enumerate() {
                *out = -x.get(i, side);
            }
        }
        Ok(batch)
    }

    /// Adds other vectors.
    pub fn add(&mut self, other: &Self) {
        self.numbers.iter_mut().zip(&*other.numbers).for_each(|(sum, number)| *sum += number);
    }

    /// The vectors as columns of `out`.
    pub fn copy_to(&self, mut out: DenseMut<'_, f64>) {
        for side in 0..out.ncols() {
            let column = self.panel(side / SIDES)[side % SIDES..].iter().step_by(SIDES);
            out.column_mut(side).zip(column).for_each(|(out, value)| *out = *value);
        }
    }

    /// So many vectors, row by row.
    pub fn panel(&self, panel: usize) -> &[f64] {
        &self.numbers[panel * self.len * SIDES..][..self.len * SIDES]
    }

    /// The same to be written to.
    pub fn panel_mut(&mut self, panel: usize) -> &mut [f64] {
        &mut self.numbers[panel * self.len * SIDES..][..self.len * SIDES]
    }
}

/// Rows of a tile with so many columns of which products are made at once, at most [`BATCH_ROWS`].
pub(crate) fn batch_rows(ncols: usize) -> usize {
    (TILE_NUMBERS / ncols.max(1)).clamp(32, BATCH_ROWS) / HEIGHT * HEIGHT
}

/// A row-major tile that the kernel can run on: where it is, if it may, or as a copy in `buffer`.
pub(crate) fn fit<'b>(tile: Dense<'b, f64>, buffer: &'b mut Vec<f64>) -> Result<Dense<'b, f64>> {
    let (nrows, ncols, stride) = (tile.nrows(), tile.ncols(), tile.row_stride());
    if nrows >= HEIGHT && ncols >= HEIGHT && !stride.is_multiple_of(CROWDED) {
        return Ok(tile);
    }
    let width = ncols.next_multiple_of(HEIGHT);
    let width = if width.is_multiple_of(CROWDED) { width + HEIGHT } else { width };
    reset(buffer, nrows.max(HEIGHT) * width, TILE)?;
    for (i, row) in buffer.chunks_exact_mut(width).enumerate().take(nrows) {
        row[..ncols].copy_from_slice(tile.stored_row(i));
    }
    Dense::strided(buffer, nrows, ncols, width, 1)
}

/// `out += A x` for a panel `x`; `a` has been made to [`fit`].
pub(crate) fn add_product(a: Dense<'_, f64>, x: &Batch, panel: usize, out: &mut [f64]) {
    let (data, stride, d) = (a.data(), a.row_stride(), a.ncols());
    for k in (0..d).step_by(DEPTH) {
        let x = &x.panel(panel)[k * SIDES..];
        in_groups(a.nrows(), out, |i, out| {
            add_tile(DEPTH.min(d - k), &data[i * stride + k..], 1, stride, x, out);
        });
    }
}

/// A panel of `out += A'y` for a panel `y`; `a` has been made to [`fit`].
pub(crate) fn add_transposed_product(a: Dense<'_, f64>, y: &[f64], panel: usize, out: &mut Batch) {
    let (data, stride, rows) = (a.data(), a.row_stride(), a.nrows());
    let out = out.panel_mut(panel);
    for k in (0..rows).step_by(SUM_DEPTH) {
        in_groups(a.ncols(), out, |j, out| {
            add_tile(SUM_DEPTH.min(rows - k), &data[k * stride + j..], stride, 1, &y[k * SIDES..], out);
        });
    }
}

/// Has `add` add to the first `count` rows of a panel, [`HEIGHT`] rows from some row on at a time.
fn in_groups(count: usize, panel: &mut [f64], add: impl Fn(usize, &mut [f64])) {
    for first in (0..count).step_by(HEIGHT) {
        let start = first.min(count.saturating_sub(HEIGHT));
        let left = (count - first) * SIDES;
        if start == first && left >= HEIGHT * SIDES {
            add(first, &mut panel[first * SIDES..]);
        } else {
            let mut spare = [0.0; HEIGHT * SIDES];
            add(start, &mut spare);
            let new = &spare[(first - start) * SIDES..][..left];
            panel[first * SIDES..].iter_mut().zip(new).for_each(|(out, new)| *out += new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::matrix::Mat;

    /// A'(B - A X) by panels.
    fn gradient(a: Dense<'_, f64>, x: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
        let (n, d, k) = (a.nrows(), a.ncols(), x.ncols());
        let (x, mut sums) = (Batch::negative(x.as_ref()).unwrap(), Batch::zeros(d, k).unwrap());
        let mut buffer = Vec::new();
        let tile = fit(a, &mut buffer).unwrap();
        for panel in 0..k.div_ceil(SIDES) {
            let mut residual = vec![0.0; n * SIDES];
            for (side, i) in (0..SIDES.min(k - panel * SIDES)).flat_map(|side| (0..n).map(move |i| (side, i)))
            {
                residual[i * SIDES + side] = b[(i, panel * SIDES + side)];
            }
            add_product(tile, &x, panel, &mut residual);
            add_transposed_product(tile, &residual, panel, &mut sums);
        }
        let mut out = Mat::zeros(d, k).unwrap();
        sums.copy_to(out.as_mut());
        out
    }

    #[test]
    fn every_shape_equals_the_definition_and_no_vector_knows_its_neighbours() {
        for (n, d, k) in
            [(1, 1, 1), (3, 20, 2), (20, 3, 17), (8, 8, 16), (13, 129, 40), (300, 64, 3), (45, 11, 33)]
        {
            let (a, x, b) = (gaussian(n, d, 1), gaussian(d, k, 2), gaussian(n, k, 3));
            let rows: Vec<f64> = (0..n * d).map(|at| a[(at / d, at % d)]).collect();
            let found = gradient(Dense::row_major(&rows, n, d), &x, &b);
            let residual =
                Mat::from_fn(n, k, |i, s| b[(i, s)] - (0..d).map(|j| a[(i, j)] * x[(j, s)]).sum::<f64>())
                    .unwrap();
            let expected = product(a.as_ref().t(), residual.as_ref());
            assert!(distance(found.as_ref(), expected.as_ref()) <= 1e-12 * (n * d) as f64, "{n} {d} {k}");
            let some: Vec<usize> = (0..k).step_by(3).collect();
            let part = |m: &Mat<f64>| Mat::from_fn(m.nrows(), some.len(), |i, s| m[(i, some[s])]).unwrap();
            let alone = gradient(Dense::row_major(&rows, n, d), &part(&x), &part(&b));
            assert_eq!(alone.as_slice(), part(&found).as_slice(), "{n} {d} {k}");
        }
    }
}
