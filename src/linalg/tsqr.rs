//! QR of matrices with many rows.
//!
//! The rows are cut into slabs, a slab into blocks. A slab keeps one triangle, to which each block is appended
//! ([`super::append`]). The triangles of the slabs are then combined in pairs, in order.
//!
//! Slabs and blocks depend on the shape of the matrix alone.

use super::append::{Appending, Triangle};
use super::scaling::larger;
use crate::error::Result;
use crate::matrix::{Dense, Mat, Rows};
use crate::memory::{collected, gathered, zeros};
use crate::parallel::Context;
use crate::simd::kernel;
use std::convert::identity;
use std::ops::Range;

/// What memory is for.
const PURPOSE: &str = "a QR factorisation";

/// Rows of a block: enough for the products to run at full speed, few enough for a block to stay in cache.
pub(crate) fn block_rows(d: usize) -> usize {
    if d <= 256 { 384 } else { 256 }
}

/// Flops of a slab between two looks at the caller's wish to stop: a fraction of a second.
const ROUND: f64 = 4e9;

/// R, d x d and upper triangular, with R'R = A'A for an n x d matrix A of any n.
///
/// Backward stable column by column: R is the exact factor of a matrix that differs from A by a few
/// rounding errors of each column. Costs 2nd² flops and, besides a block of rows for each thread, the
/// memory of n/8 rows at most. NaN and infinities in A come out in R.
pub fn tsqr(ctx: &Context, rows: &dyn Rows) -> Result<Mat<f64>> {
    let (n, d) = (rows.nrows(), rows.ncols());
    let block = block_rows(d);
    let slabs = (n / (8 * d.max(block))).clamp(1, 32);
    let slab = |s| n * s / slabs..n * (s + 1) / slabs;
    let mut parts = gathered((0..slabs).map(|s| Slab::new(d, slab(s))), PURPOSE)?;
    let blocks = ROUND / (2.0 * block as f64 * d as f64 * d as f64);
    let round = block * blocks.clamp(1.0, 1e6) as usize;
    for _ in (0..n.div_ceil(slabs)).step_by(round) {
        let scratch = || Scratch::new(block.min(n), d);
        let outcomes = ctx.map_parts(&mut parts, scratch, |scratch, _, slab| {
            let scratch = scratch.as_mut().map_err(|error| error.clone())?;
            slab.append_rows(rows, round, scratch)
        })?;
        outcomes.into_iter().try_for_each(identity)?;
    }
    combine(ctx, parts)
}

/// Combines neighbours until one is left.
fn combine(ctx: &Context, mut slabs: Vec<Slab>) -> Result<Mat<f64>> {
    while slabs.len() > 1 {
        let pairs = slabs.chunks_mut(2);
        let outcomes = ctx.map_parts(
            pairs,
            || (),
            |(), _, pair| match pair {
                [first, second] => {
                    let second = std::mem::replace(&mut second.triangle, Triangle::new(0)?);
                    first.triangle.append_triangle(&mut second.into_mat())
                }
                _ => Ok(()),
            },
        )?;
        outcomes.into_iter().try_for_each(identity)?;
        slabs = collected(slabs.into_iter().step_by(2), PURPOSE)?;
    }
    Ok(slabs.swap_remove(0).triangle.into_mat())
}

/// R of the rows so far, and the rows that are left.
struct Slab {
    triangle: Triangle,
    left: Range<usize>,
}

/// What it takes to append a block of rows.
struct Scratch {
    v: Mat<f64>,
    with: Appending,
    tile: Vec<f64>,
    largest: Vec<f64>,
}

impl Scratch {
    fn new(rows: usize, d: usize) -> Result<Self> {
        Ok(Self {
            v: Mat::zeros(rows, d)?,
            with: Appending::new(rows, d)?,
            tile: Vec::new(),
            largest: zeros(d, PURPOSE)?,
        })
    }
}

impl Slab {
    fn new(d: usize, left: Range<usize>) -> Result<Self> {
        Ok(Self { triangle: Triangle::new(d)?, left })
    }

    /// Appends the next `count` rows of the slab.
    fn append_rows(&mut self, rows: &dyn Rows, count: usize, scratch: &mut Scratch) -> Result<()> {
        let Scratch { v, with, tile, largest } = scratch;
        let end = self.left.end.min(self.left.start + count);
        while self.left.start < end {
            let next = self.left.start..end.min(self.left.start + v.nrows());
            let block = rows.tile(next.clone(), 0..rows.ncols(), tile)?;
            largest_in_columns(block, largest);
            transpose_and_scale(block, self.triangle.make_room(largest), v);
            self.triangle.append_scaled(v, next.len(), with);
            self.left.start = next.end;
        }
        Ok(())
    }
}

kernel! {
    /// The largest magnitude in each column of a row-major block.
    fn largest_in_columns<V>(block: Dense<'_, f64>, largest: &mut [f64]) -> () {
        for (largest, j) in largest.chunks_mut(8).zip((0..).step_by(8)) {
            let mut column = [0.0; 8];
            for row in (0..block.nrows()).map(|i| block.stored_row(i)) {
                let row = head(&row[j..]);
                (0..8).for_each(|l| column[l] = larger(row[l].abs(), column[l]));
            }
            largest.copy_from_slice(&column[..largest.len()]);
        }
    }
}

kernel! {
    /// Copies a row-major block, its columns divided by their units, to the first rows of a column-major
    /// matrix.
    fn transpose_and_scale<V>(block: Dense<'_, f64>, units: &[f64], v: &mut Mat<f64>) -> () {
        let (m, height) = (block.nrows(), v.nrows());
        for (columns, j) in v.as_mut_slice().chunks_mut(8 * height).zip((0..).step_by(8)) {
            let factors = head(&units[j..]).map(f64::recip);
            for i in (0..m).step_by(8) {
                let mut tile = [[0.0; 8]; 8];
                for (to, row) in tile.iter_mut().zip((i..m).map(|i| block.stored_row(i))) {
                    V::load(&head(&row[j..])).mul(V::load(&factors)).store(to);
                }
                for (l, column) in columns.chunks_exact_mut(height).enumerate() {
                    let values = std::array::from_fn(|i| tile[i][l]);
                    match column[i..m].first_chunk_mut() {
                        Some(to) => V::load(&values).store(to),
                        None => V::load(&values).store_head(&mut column[i..m]),
                    }
                }
            }
        }
    }
}

/// The first eight numbers, or what there is and then ones.
#[inline(always)]
fn head(x: &[f64]) -> [f64; 8] {
    match x.first_chunk() {
        Some(head) => *head,
        None => std::array::from_fn(|k| x.get(k).copied().unwrap_or(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::linalg::testing::*;
    use crate::linalg::{Qr, svd};
    use crate::parallel::Host;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn r_of(a: Dense<'_, f64>) -> Mat<f64> {
        tsqr(&Context::new(2), &a).unwrap()
    }

    /// R'R = A'A to rounding of each pair of columns, R upper.
    fn check(a: Dense<'_, f64>, what: &str) -> Mat<f64> {
        let (n, d) = (a.nrows(), a.ncols());
        let r = r_of(a);
        assert_eq!((r.nrows(), r.ncols()), (d, d));
        assert!((0..d).all(|j| r.col(j)[j + 1..].iter().all(|&below| below == 0.0)), "{what}: upper");
        let units: Vec<f64> = (0..d).map(|j| largest(a.cols(j..j + 1)).max(1e-200)).collect();
        let a = Mat::from_fn(n, d, |i, j| a.get(i, j) / units[j]).unwrap();
        let scaled = Mat::from_fn(d, d, |i, j| r[(i, j)] / units[j]).unwrap();
        let gram = product(a.as_ref().t(), a.as_ref());
        let error = distance(product(scaled.as_ref().t(), scaled.as_ref()).as_ref(), gram.as_ref());
        assert!(error <= 2e-15 * (d as f64).sqrt().max(4.0) * n as f64, "{what}: {error:e}");
        r
    }

    /// The same triangle up to the signs of its rows.
    fn same(a: &Mat<f64>, b: &Mat<f64>, tolerance: f64) -> bool {
        let sign = |r: &Mat<f64>, i: usize| 1f64.copysign(r[(i, i)]);
        let d = a.ncols();
        let b = Mat::from_fn(d, d, |i, j| b[(i, j)] * sign(a, i) * sign(b, i)).unwrap();
        distance(a.as_ref(), b.as_ref()) <= tolerance * largest(a.as_ref())
    }

    proptest! {
        #[test]
        fn triangle_of_any_matrix(case in any_matrix()) {
            check(case.view(), &format!("{case:?}"));
        }
    }

    #[test]
    fn agrees_with_one_factorisation() {
        for (n, d) in [(50, 50), (385, 8), (1000, 33), (9000, 3), (7001, 65), (30_000, 20)] {
            let a = gaussian(n, d, 3);
            let whole = Qr::new(a.copy().unwrap()).unwrap().r().unwrap();
            assert!(same(&check(a.as_ref(), "gaussian"), &whole, 1e-13), "{n} x {d}");
        }
    }

    #[test]
    fn rows_and_columns_of_all_sizes() {
        let (n, d) = (8000, 12);
        let a = gaussian(n, d, 4);
        let grow = Mat::from_fn(n, d, |i, j| a[(i, j)] * 10f64.powf(300.0 * i as f64 / n as f64 - 150.0));
        check(grow.unwrap().as_ref(), "growing rows");
        let fall = Mat::from_fn(n, d, |i, j| a[(i, j)] * 10f64.powf(150.0 - 300.0 * i as f64 / n as f64));
        check(fall.unwrap().as_ref(), "falling rows");
        let columns = Mat::from_fn(n, d, |i, j| a[(i, j)] * 10f64.powi(25 * j as i32 - 150));
        check(columns.unwrap().as_ref(), "columns");
        let late = Mat::from_fn(n, d, |i, j| if i > 7990 || j % 2 == 0 { a[(i, j)] } else { 0.0 });
        check(late.unwrap().as_ref(), "columns that begin late");
        check(Mat::zeros(n, d).unwrap().as_ref(), "zero");
    }

    #[test]
    fn small_singular_values_survive() {
        let (n, d) = (20_000, 16);
        let u = Qr::new(gaussian(n, d, 1)).unwrap().thin_q().unwrap();
        let v = Qr::new(gaussian(d, d, 2)).unwrap().thin_q().unwrap();
        let s: Vec<f64> = (0..d).map(|j| 10f64.powf(-14.0 * j as f64 / (d - 1) as f64)).collect();
        let scaled = Mat::from_fn(n, d, |i, j| u[(i, j)] * s[j]).unwrap();
        let a = product(scaled.as_ref(), v.as_ref().t());
        let found = svd(r_of(a.as_ref()).as_ref()).unwrap().s;
        assert!(s.iter().zip(&found).all(|(s, found)| (s - found).abs() < 3e-15), "{found:?}");
    }

    #[test]
    fn bits_depend_on_the_numbers_alone() {
        for (n, d) in [(300, 5), (30_000, 17), (40_000, 40)] {
            let a = gaussian(d, n, 5);
            let expected = tsqr(&Context::new(1), &a.as_ref().t()).unwrap();
            for threads in [2, 3, 8] {
                let r = tsqr(&Context::new(threads), &a.as_ref().t()).unwrap();
                assert_eq!(r.as_slice(), expected.as_slice(), "{threads} threads");
            }
            let by_columns = Mat::from_fn(n, d, |i, j| a[(j, i)]).unwrap();
            assert_eq!(r_of(by_columns.as_ref()).as_slice(), expected.as_slice(), "order");
            for shift in 1..8 {
                let mut memory = vec![0.0; n * d + shift];
                memory[shift..].copy_from_slice(a.as_slice());
                let r = r_of(Dense::row_major(&memory[shift..], n, d));
                assert_eq!(r.as_slice(), expected.as_slice(), "shifted by {shift}");
            }
        }
    }

    #[test]
    fn nan_and_infinity_come_out() {
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            for (n, d) in [(1, 1), (3, 9), (500, 9), (20_000, 9)] {
                let mut a = gaussian(n, d, 6);
                a[(n / 2, d - 1)] = bad;
                assert!(r_of(a.as_ref()).as_slice().iter().any(|value| !value.is_finite()));
            }
        }
    }

    #[test]
    fn an_interrupt_ends_it() {
        struct StopAtOnce;
        impl Host for StopAtOnce {
            fn check(&self) -> Result<()> {
                Err(Error::Interrupted)
            }
            fn progress(&self, _: usize, _: usize, _: &[(&'static str, f64)]) -> Result<()> {
                Ok(())
            }
        }
        /// Rows that take their time, and how many of them were read.
        struct Slow(AtomicUsize);
        const ROWS: usize = 10_000_000;
        impl Rows for Slow {
            fn nrows(&self) -> usize {
                ROWS
            }
            fn ncols(&self) -> usize {
                2
            }
            fn tile<'b>(
                &'b self,
                rows: Range<usize>,
                cols: Range<usize>,
                buffer: &'b mut Vec<f64>,
            ) -> Result<Dense<'b, f64>> {
                std::thread::sleep(std::time::Duration::from_millis(1));
                self.0.fetch_add(rows.len(), Ordering::Relaxed);
                buffer.resize(rows.len() * cols.len(), 1.0);
                Ok(Dense::row_major(buffer, rows.len(), cols.len()))
            }
        }
        for threads in [1, 2] {
            let slow = Slow(AtomicUsize::new(0));
            let outcome = tsqr(&Context::with_host(threads, &StopAtOnce), &slow);
            assert!(matches!(outcome, Err(Error::Interrupted)));
            assert!(slow.0.into_inner() < ROWS / 2);
        }
    }
}
