//! A few long vectors against many of them, each of them contiguous: the many are read once.

use crate::error::Result;
use crate::matrix::{DenseMut, Mat, even_blocks, make_rows};
use crate::memory::{reset, resize, zeros};
use crate::parallel::Context;
use crate::simd::kernel;
use crate::simd::lanes::Lanes;
use std::ops::Range;

/// The most that a few vectors are: numbers of a row, the rest of which are zeros.
pub(super) const FEW: usize = 8;
pub(super) type Row = [f64; FEW];

/// Rows that stay in the first cache, and those of a block.
const TILE: usize = 512;
const ROWS: usize = 4096;

/// Some columns of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    data: &'a [f64],
    nrows: usize,
}

impl<'a> Columns<'a> {
    /// The first `count` columns of so many rows.
    pub fn new(data: &'a [f64], nrows: usize, count: usize) -> Self {
        Self { data: &data[..nrows * count], nrows }
    }

    pub fn count(&self) -> usize {
        self.data.len() / self.nrows.max(1)
    }

    pub fn get(&self, j: usize) -> &'a [f64] {
        &self.data[j * self.nrows..(j + 1) * self.nrows]
    }

    /// These rows, row by row.
    fn copy_rows(&self, rows: Range<usize>, panel: &mut [Row]) {
        for i in 0..self.count() {
            panel.iter_mut().zip(&self.get(i)[rows.clone()]).for_each(|(row, value)| row[i] = *value);
        }
    }
}

/// V'W over W'W, row by row.
pub(super) fn inner(context: &Context, v: Columns<'_>, w: Columns<'_>) -> Result<Vec<Row>> {
    const SUMS: &str = "inner products";
    let (blocks, m) = (even_blocks(v.nrows, ROWS)?, v.count());
    let work = |panel: &mut Vec<Row>, block: usize| {
        let mut sums = zeros(m + w.count(), SUMS)?;
        for rows in tiles(&blocks[block]) {
            reset(panel, rows.len(), "rows of vectors")?;
            w.copy_rows(rows.clone(), panel);
            add_inner(v.data, v.nrows, rows.start, panel, &mut sums[..m]);
            add_inner(w.data, w.nrows, rows.start, panel, &mut sums[m..]);
        }
        Ok(sums)
    };
    let mut all = zeros(m + w.count(), SUMS)?;
    let add = |part: Vec<Row>| {
        let (all, part) = (all.as_flattened_mut(), part.as_flattened());
        all.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    };
    context.fold_with(blocks.len(), Vec::new, work, add)?;
    Ok(all)
}

/// out = (W - V C) M, of as many columns.
pub(super) fn remainder(
    context: &Context,
    v: Columns<'_>,
    w: Columns<'_>,
    c: &[Row],
    m: &Mat<f64>,
    out: &mut [f64],
) -> Result<()> {
    let (nrows, width) = (w.nrows, w.count());
    let blocks = even_blocks(nrows, ROWS)?;
    let mut turn = [[0.0; FEW]; FEW];
    (0..width).for_each(|i| (0..width).for_each(|j| turn[i][j] = m[(i, j)]));
    let out = DenseMut::column_major(out, nrows, width);
    make_rows(context, out, &blocks, width, |scratch, rows, out| {
        resize(scratch, TILE * FEW, 0.0, "rows of vectors")?;
        for (rows, out) in tiles(&rows).zip(out.chunks_mut(TILE * width)) {
            let panel = &mut scratch.as_chunks_mut::<FEW>().0[..rows.len()];
            panel.as_flattened_mut().fill(0.0);
            w.copy_rows(rows.clone(), panel);
            take_off(v.data, nrows, rows.start, c, panel);
            multiply(&turn, panel);
            out.chunks_exact_mut(width).zip(panel).for_each(|(out, row)| out.copy_from_slice(&row[..width]));
        }
        Ok(())
    })
}

fn tiles(rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.clone().step_by(TILE).map(move |start| start..end.min(start + TILE))
}

/// Vectors that are read side by side.
const GROUP: usize = 8;

/// As many rows as there are, of up to [`GROUP`] vectors; the last of them again for those that are missing.
#[inline(always)]
fn group(v: &[f64], nrows: usize, start: usize, rows: usize, first: usize) -> [&[f64]; GROUP] {
    let (last, mut columns) = (v.len() / nrows - 1, [&v[..0]; GROUP]);
    for j in 0..GROUP {
        let column = if first + j < last { first + j } else { last };
        columns[j] = &v[column * nrows + start..][..rows];
    }
    columns
}

/// Asks for row `i` of vectors, all rows of a cache line in turn.
#[inline(always)]
fn prefetch<V: Lanes>(columns: &[&[f64]; GROUP], i: usize) {
    V::prefetch(columns[i % GROUP].as_ptr().wrapping_add(i / GROUP * GROUP));
}

kernel! {
    /// sums += V'W over the rows from `start` on that `panel` has of W.
    fn add_inner<V>(v: &[f64], nrows: usize, start: usize, panel: &[Row], sums: &mut [Row]) {
        for first in (0..sums.len()).step_by(GROUP) {
            let columns = group(v, nrows, start, panel.len(), first);
            let next = group(v, nrows, start, panel.len(), first + GROUP);
            let mut totals = [V::splat(0.0); GROUP];
            for i in 0..panel.len() {
                prefetch::<V>(&next, i);
                let row = V::load(&panel[i]);
                for j in 0..GROUP {
                    totals[j] = row.mul_add(V::splat(columns[j][i]), totals[j]);
                }
            }
            for j in 0..GROUP {
                if first + j < sums.len() {
                    let sum = &mut sums[first + j];
                    V::load(sum).add(totals[j]).store(sum);
                }
            }
        }
    }
}

kernel! {
    /// W -= V C over the rows from `start` on that `panel` has of W.
    fn take_off<V>(v: &[f64], nrows: usize, start: usize, c: &[Row], panel: &mut [Row]) {
        for first in (0..c.len()).step_by(GROUP) {
            let columns = group(v, nrows, start, panel.len(), first);
            let next = group(v, nrows, start, panel.len(), first + GROUP);
            let mut weights = [V::splat(0.0); GROUP];
            for j in 0..GROUP {
                if first + j < c.len() {
                    weights[j] = V::splat(0.0).sub(V::load(&c[first + j]));
                }
            }
            for i in 0..panel.len() {
                prefetch::<V>(&next, i);
                let (mut even, mut odd) = (V::load(&panel[i]), V::splat(0.0));
                for j in 0..GROUP / 2 {
                    even = weights[2 * j].mul_add(V::splat(columns[2 * j][i]), even);
                    odd = weights[2 * j + 1].mul_add(V::splat(columns[2 * j + 1][i]), odd);
                }
                even.add(odd).store(&mut panel[i]);
            }
        }
    }
}

kernel! {
    /// Every row of the panel times M.
    fn multiply<V>(m: &[Row; FEW], panel: &mut [Row]) {
        for i in 0..panel.len() {
            let (row, mut sum) = (&mut panel[i], V::splat(0.0));
            for j in 0..FEW {
                sum = V::load(&m[j]).mul_add(V::splat(row[j]), sum);
            }
            sum.store(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::product;
    use crate::simd::testing::{on_every_path, same_bits};
    use crate::svd::testing::numbers;

    #[test]
    fn they_are_their_definitions_for_any_threads_on_every_path() {
        for (n, m, p) in [(1, 1, 1), (7, 3, 2), (600, 8, 8), (5000, 21, 5)] {
            let (v, w, turn) = (numbers(n, m, 1), numbers(n, p, 2), numbers(p, p, 3));
            let (columns, few) = (Columns::new(v.as_slice(), n, m), Columns::new(w.as_slice(), n, p));
            let all = on_every_path(|| inner(&Context::new(1), columns, few).unwrap());
            let threaded = inner(&Context::new(3), columns, few).unwrap();
            assert!(all.iter().all(|found| same_bits(found.as_flattened(), threaded.as_flattened())));
            for (left, first) in [(&v, 0), (&w, m)] {
                let expected = product(left.as_ref().t(), w.as_ref()).unwrap();
                for (i, j) in (0..left.ncols()).flat_map(|i| (0..p).map(move |j| (i, j))) {
                    assert!((threaded[first + i][j] - expected[(i, j)]).abs() < 1e-11);
                }
            }
            let taken = Mat::from_fn(m, p, |i, j| threaded[i][j] / n as f64).unwrap();
            let c: Vec<Row> =
                (0..m).map(|i| std::array::from_fn(|j| if j < p { taken[(i, j)] } else { 0.0 })).collect();
            let made = |threads| {
                let mut out = Mat::zeros(n, p).unwrap();
                remainder(&Context::new(threads), columns, few, &c, &turn, out.as_mut_slice()).unwrap();
                out
            };
            let found = made(3);
            assert!(on_every_path(|| made(1)).iter().all(|one| same_bits(one.as_slice(), found.as_slice())));
            let part = product(v.as_ref(), taken.as_ref()).unwrap();
            let rest = Mat::from_fn(n, p, |i, j| w[(i, j)] - part[(i, j)]).unwrap();
            let expected = product(rest.as_ref(), turn.as_ref()).unwrap();
            let error = found.as_slice().iter().zip(expected.as_slice()).map(|(x, y)| (x - y).abs());
            assert!(error.fold(0.0, f64::max) < 1e-12);
        }
    }
}
