//! Residual and gradient of a least-squares problem in one read of the matrix.
//!
//! A few lines of the matrix (rows or columns) are taken together and used twice while they are in the
//! cache. Both orders are made of the same two steps, in reverse: dot products of the lines with a vector,
//! and a combination of the lines added to a vector.

use super::kernel;
use super::lanes::{Element, Lanes};
use std::marker::PhantomData;

kernel! {
    /// r = b - A x and g += A'r for a row-major block; returns the sum of r_i squared.
    ///
    /// Row i of A starts at `a[i * stride]` and is as long as `x`; `rhs` holds b and receives r.
    /// Panics if `a` is too short or `g` is not as long as `x`.
    pub fn residual_rows<V, T: Element>(
        a: &[T],
        stride: usize,
        x: &[f64],
        rhs: &mut [f64],
        g: &mut [f64],
    ) -> f64 {
        let at_once = if x.len() <= EIGHT_ROWS_UP_TO { 8 } else { 4 };
        let mut squares = V::splat(0.0);
        let mut start = 0;
        while start < rhs.len() {
            let (a, rhs) = (&a[start * stride..], &mut rhs[start..]);
            let (count, r) = match rhs.len().min(at_once) {
                8 => (8, rows::<V, T, 8>(a, stride, x, rhs, g)),
                4.. => (4, rows::<V, T, 4>(a, stride, x, rhs, g)),
                _ => (1, rows::<V, T, 1>(a, stride, x, rhs, g)),
            };
            squares = r.mul_add(r, squares);
            start += count;
        }
        squares.sum()
    }
}

kernel! {
    /// g += A'r for a row-major block; returns the sum of r_i squared: [`residual_rows`] at x = 0, to the bit.
    ///
    /// Panics if `a` is too short.
    pub fn gradient_rows<V, T: Element>(a: &[T], stride: usize, r: &[f64], g: &mut [f64]) -> f64 {
        let at_once = if g.len() <= EIGHT_ROWS_UP_TO { 8 } else { 4 };
        let mut squares = V::splat(0.0);
        let mut start = 0;
        while start < r.len() {
            let (a, r) = (&a[start * stride..], &r[start..]);
            let (count, r) = match r.len().min(at_once) {
                8 => (8, combine::<V, T, 8>(a, stride, r, g)),
                4.. => (4, combine::<V, T, 4>(a, stride, r, g)),
                _ => (1, combine::<V, T, 1>(a, stride, r, g)),
            };
            squares = r.mul_add(r, squares);
            start += count;
        }
        squares.sum()
    }
}

/// The first N residuals; the other lanes are zero.
#[inline(always)]
fn combine<V: Lanes, T: Element, const N: usize>(a: &[T], stride: usize, r: &[f64], g: &mut [f64]) -> V {
    let r = V::load_head(&r[..N]);
    Lines::<T, N>::new(a, stride, g.len()).combine::<V>(&r.to_array(), g);
    r
}

/// Longest rows of which eight are taken together: with x and g they stay in a 32 KiB first-level cache
/// even where a power-of-two stride leaves them half of its sets.
const EIGHT_ROWS_UP_TO: usize = 256;

/// The first N residuals, also written to `rhs`; the other lanes are zero.
#[inline(always)]
fn rows<V: Lanes, T: Element, const N: usize>(
    a: &[T],
    stride: usize,
    x: &[f64],
    rhs: &mut [f64],
    g: &mut [f64],
) -> V {
    let lines = Lines::<T, N>::new(a, stride, x.len());
    let r = V::load_head(&rhs[..N]).sub(lines.dots(x));
    r.store_head(&mut rhs[..N]);
    lines.combine::<V>(&r.to_array(), g);
    r
}

kernel! {
    /// r = b - A x and g += A'r for a column-major block; returns the sum of r_i squared.
    ///
    /// Column j of A starts at `a[j * stride]` and is as long as `rhs`, which holds b and receives r.
    /// Panics if `a` is too short or `g` is not as long as `x`.
    pub fn residual_cols<V, T: Element>(
        a: &[T],
        stride: usize,
        x: &[f64],
        rhs: &mut [f64],
        g: &mut [f64],
    ) -> f64 {
        assert_eq!(x.len(), g.len());
        let segment = (BETWEEN_USES / x.len().max(1)).next_multiple_of(8).clamp(64, 2048);
        let mut squares = V::splat(0.0);
        for (s, r) in rhs.chunks_mut(segment).enumerate() {
            let a = a.get(s * segment..).unwrap_or_default();
            let (groups, rest) = x.as_chunks::<8>();
            for (j, x) in groups.iter().enumerate() {
                Lines::<T, 8>::new(&a[8 * j * stride..], stride, r.len()).combine::<V>(&x.map(|x| -x), r);
            }
            for (j, x) in rest.iter().enumerate() {
                let a = &a[(8 * groups.len() + j) * stride..];
                Lines::<T, 1>::new(a, stride, r.len()).combine::<V>(&[-x; 8], r);
            }
            let (groups, rest) = g.as_chunks_mut::<8>();
            let grouped = 8 * groups.len();
            for (j, g) in groups.iter_mut().enumerate() {
                let dots = Lines::<T, 8>::new(&a[8 * j * stride..], stride, r.len()).dots(r);
                V::load(g).add(dots).store(g);
            }
            for (j, g) in rest.chunks_mut(1).enumerate() {
                let dot = Lines::<T, 1>::new(&a[(grouped + j) * stride..], stride, r.len()).dots(r);
                V::load_head(g).add(dot).store_head(g);
            }
            squares = add_squares(r, squares);
        }
        squares.sum()
    }
}

/// Elements of A between the two uses of one: half a second-level cache.
const BETWEEN_USES: usize = 1 << 16;

#[inline(always)]
fn add_squares<V: Lanes>(r: &[f64], mut squares: V) -> V {
    let (r, head) = r.as_chunks::<8>();
    for r in r {
        let r = V::load(r);
        squares = r.mul_add(r, squares);
    }
    let r = V::load_head(head);
    r.mul_add(r, squares)
}

/// N equally spaced lines of equal length, read in step.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a, T, const N: usize> {
    first: *const T,
    stride: usize,
    len: usize,
    lifetime: PhantomData<&'a [T]>,
}

impl<'a, T: Element, const N: usize> Lines<'a, T, N> {
    #[inline(always)]
    pub(super) fn new(a: &'a [T], stride: usize, len: usize) -> Self {
        assert!(len <= a.len() && (N - 1) * stride <= a.len() - len);
        Self { first: a.as_ptr(), stride, len, lifetime: PhantomData }
    }

    /// Eight numbers of a line.
    #[inline(always)]
    pub(super) fn chunk<V: Lanes>(self, line: usize, chunk: usize) -> V {
        debug_assert!(line < N && chunk < self.len / 8);
        // SAFETY: `new` checked that all lines lie within the slice.
        T::load(unsafe { &*self.first.add(line * self.stride + 8 * chunk).cast::<[T; 8]>() })
    }

    /// The numbers of a line after its last whole chunk.
    #[inline(always)]
    pub(super) fn head<V: Lanes>(self, line: usize) -> V {
        debug_assert!(line < N);
        let (start, len) = (line * self.stride + self.len / 8 * 8, self.len % 8);
        // SAFETY: `new` checked that all lines lie within the slice.
        T::load_head(unsafe { std::slice::from_raw_parts(self.first.add(start), len) })
    }

    /// The dot product of line i with x in lane i; the other lanes are zero.
    #[inline(always)]
    fn dots<V: Lanes>(self, x: &[f64]) -> V {
        assert_eq!(x.len(), self.len);
        let (x, x_head) = x.as_chunks::<8>();
        let mut sums = [V::splat(0.0); 8];
        for (k, x) in x.iter().enumerate() {
            let x = V::load(x);
            for i in 0..N {
                sums[i] = self.chunk::<V>(i, k).mul_add(x, sums[i]);
            }
        }
        if !x_head.is_empty() {
            let x = V::load_head(x_head);
            for i in 0..N {
                sums[i] = self.head::<V>(i).mul_add(x, sums[i]);
            }
        }
        V::sums(sums)
    }

    /// y += sum over i < N of c_i times line i.
    #[inline(always)]
    fn combine<V: Lanes>(self, c: &[f64; 8], y: &mut [f64]) {
        assert_eq!(y.len(), self.len);
        let (y, y_head) = y.as_chunks_mut::<8>();
        for (k, y) in y.iter_mut().enumerate() {
            let mut sum = V::load(y);
            for i in 0..N {
                V::prefetch(self.first.wrapping_add((N + i) * self.stride + 8 * k));
                sum = self.chunk::<V>(i, k).mul_add(V::splat(c[i]), sum);
            }
            sum.store(y);
        }
        if !y_head.is_empty() {
            let mut sum = V::load_head(y_head);
            for i in 0..N {
                sum = self.head::<V>(i).mul_add(V::splat(c[i]), sum);
            }
            sum.store_head(y_head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};
    use proptest::prelude::*;

    /// Entries that no summation order adds up exactly.
    fn entry(i: usize, j: usize) -> f64 {
        ((i * 37 + j * 101 + 13) as f64 * 0.618).sin()
    }

    type Outcome = (Vec<f64>, Vec<f64>, f64);

    fn expected(nrows: usize, d: usize, entry: impl Fn(usize, usize) -> f64) -> Outcome {
        let (x, b, mut g) = vectors(nrows, d);
        let mut r = vec![0.0; nrows];
        for i in 0..nrows {
            r[i] = b[i] - (0..d).map(|j| entry(i, j) * x[j]).sum::<f64>();
            for j in 0..d {
                g[j] += entry(i, j) * r[i];
            }
        }
        let squares = r.iter().map(|r| r * r).sum();
        (r, g, squares)
    }

    fn vectors(nrows: usize, d: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let x = (0..d).map(|j| entry(j, 1)).collect();
        let b = (0..nrows).map(|i| entry(i, 2)).collect();
        let g = (0..d).map(|j| entry(j, 3)).collect();
        (x, b, g)
    }

    fn close(found: &Outcome, expected: &Outcome) -> bool {
        let scale = 1e-15 * (found.0.len() * found.1.len() + 10) as f64;
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= scale * 10.0);
        near(&found.0, &expected.0)
            && near(&found.1, &expected.1)
            && (found.2 - expected.2).abs() <= scale * (1.0 + expected.2)
    }

    /// Every path, at two offsets from the start of an allocation, gives one outcome.
    fn outcome<T: Element>(
        nrows: usize,
        d: usize,
        len: usize,
        place: impl Fn(usize, usize) -> usize,
        cast: impl Fn(f64) -> T,
        kernel: impl Fn(&[T], &[f64], &mut [f64], &mut [f64]) -> f64,
    ) -> Outcome {
        let mut outcomes = Vec::new();
        for offset in [0, 1] {
            let mut a = vec![cast(f64::NAN); offset + len];
            for i in 0..nrows {
                for j in 0..d {
                    a[offset + place(i, j)] = cast(entry(i, j));
                }
            }
            outcomes.extend(on_every_path(|| {
                let (x, mut r, mut g) = vectors(nrows, d);
                let squares = kernel(&a[offset..], &x, &mut r, &mut g);
                (r, g, squares)
            }));
        }
        let first = outcomes[0].clone();
        for other in outcomes {
            assert!(same_bits(&first.0, &other.0) && same_bits(&first.1, &other.1));
            assert_eq!(first.2.to_bits(), other.2.to_bits());
        }
        first
    }

    proptest! {
        #[test]
        fn both_orders_and_types_agree_with_the_definition(nrows in 0usize..40, d in 0usize..80, gap in 0usize..3) {
            let in_double = expected(nrows, d, entry);
            let in_single = expected(nrows, d, |i, j| f64::from(entry(i, j) as f32));
            let (by_row, by_col) = (d + gap, nrows + gap);
            let (rows_len, cols_len) = (nrows * by_row, d * by_col);
            let row_place = |i, j| i * by_row + j;
            let col_place = |i, j| j * by_col + i;
            let same = |v: f64| v;
            let narrow = |v: f64| v as f32;
            prop_assert!(close(
                &outcome(nrows, d, rows_len, row_place, same, |a, x, r, g| residual_rows(a, by_row, x, r, g)),
                &in_double,
            ));
            prop_assert!(close(
                &outcome(nrows, d, rows_len, row_place, narrow, |a, x, r, g| residual_rows(a, by_row, x, r, g)),
                &in_single,
            ));
            prop_assert!(close(
                &outcome(nrows, d, cols_len, col_place, same, |a, x, r, g| residual_cols(a, by_col, x, r, g)),
                &in_double,
            ));
            prop_assert!(close(
                &outcome(nrows, d, cols_len, col_place, narrow, |a, x, r, g| residual_cols(a, by_col, x, r, g)),
                &in_single,
            ));
        }
    }

    #[test]
    fn long_rows_and_many_segments() {
        let (nrows, d) = (203, 517);
        let rows =
            outcome(nrows, d, nrows * d, |i, j| i * d + j, |v| v, |a, x, r, g| residual_rows(a, d, x, r, g));
        assert!(close(&rows, &expected(nrows, d, entry)));
        let cols = outcome(
            nrows,
            d,
            nrows * d,
            |i, j| j * nrows + i,
            |v| v,
            |a, x, r, g| residual_cols(a, nrows, x, r, g),
        );
        assert!(close(&cols, &expected(nrows, d, entry)));
    }
}
