//! Residual and gradient of a least-squares problem in one read of the matrix.
//!
//! A few rows (or columns) at a time are multiplied by x and, while they are still in the cache,
//! multiplied by what came out.

use super::kernel;
use super::lanes::{Element, Lanes};

kernel! {
    /// r = b - A x and g += A'r for a row-major block; returns the sum of r_i squared.
    ///
    /// Row i of A starts at `a[i * stride]` and is as long as `x`; `rhs` holds b and receives r.
    pub fn residual_rows<V, T: Element>(
        a: &[T],
        stride: usize,
        x: &[f64],
        rhs: &mut [f64],
        g: &mut [f64],
    ) -> f64 {
        assert_eq!(x.len(), g.len());
        let (nrows, d) = (rhs.len(), x.len());
        assert!(nrows == 0 || d <= a.len() && (nrows - 1) * stride <= a.len() - d);
        let squares = if d <= EIGHT_ROWS_UP_TO {
            row_groups::<V, T, 8>(a, stride, x, rhs, g)
        } else {
            row_groups::<V, T, 4>(a, stride, x, rhs, g)
        };
        squares.sum()
    }
}

/// Longest rows of which eight are taken together: with x and g they stay in a 32 KiB first-level cache
/// even where a power-of-two stride leaves them half of its sets.
const EIGHT_ROWS_UP_TO: usize = 256;

#[inline(always)]
fn row_groups<V: Lanes, T: Element, const N: usize>(
    a: &[T],
    stride: usize,
    x: &[f64],
    rhs: &mut [f64],
    g: &mut [f64],
) -> V {
    let row = |i: usize| &a[i * stride..][..x.len()];
    let mut squares = V::splat(0.0);
    let (groups, rest) = rhs.as_chunks_mut::<N>();
    let grouped = groups.len() * N;
    for (i, rhs) in groups.iter_mut().enumerate() {
        squares = rows(std::array::from_fn::<_, N, _>(|k| row(i * N + k)), x, rhs, g, squares);
    }
    for (i, rhs) in rest.iter_mut().enumerate() {
        squares = rows([row(grouped + i)], x, std::array::from_mut(rhs), g, squares);
    }
    squares
}

/// Lane k of `squares` receives the square of residual k.
#[inline(always)]
fn rows<V: Lanes, T: Element, const N: usize>(
    a: [&[T]; N],
    x: &[f64],
    rhs: &mut [f64; N],
    g: &mut [f64],
    squares: V,
) -> V {
    let (x, x_head) = x.as_chunks::<8>();
    let (g, g_head) = g.as_chunks_mut::<8>();
    let a = a.map(|row| row.as_chunks::<8>());
    let heads = a.map(|(_, head)| head);
    let a = a.map(|(row, _)| &row[..x.len()]);
    let g = &mut g[..x.len()];

    let mut sums = [V::splat(0.0); 8];
    for k in 0..x.len() {
        let x = V::load(&x[k]);
        for i in 0..N {
            sums[i] = T::load::<V>(&a[i][k]).mul_add(x, sums[i]);
        }
    }
    if !x_head.is_empty() {
        let x = V::load_head(x_head);
        for i in 0..N {
            sums[i] = T::load_head::<V>(heads[i]).mul_add(x, sums[i]);
        }
    }

    let mut r = [0.0; 8];
    r[..N].copy_from_slice(rhs);
    let residual = V::load(&r).sub(V::sums(sums));
    residual.store(&mut r);
    rhs.copy_from_slice(&r[..N]);

    for k in 0..x.len() {
        let mut sum = V::load(&g[k]);
        for i in 0..N {
            sum = T::load::<V>(&a[i][k]).mul_add(V::splat(r[i]), sum);
        }
        sum.store(&mut g[k]);
    }
    if !g_head.is_empty() {
        let mut sum = V::load_head(g_head);
        for i in 0..N {
            sum = T::load_head::<V>(heads[i]).mul_add(V::splat(r[i]), sum);
        }
        sum.store_head(g_head);
    }
    residual.mul_add(residual, squares)
}

kernel! {
    /// r = b - A x and g += A'r for a column-major block; returns the sum of r_i squared.
    ///
    /// Column j of A starts at `a[j * stride]` and is as long as `rhs`, which holds b and receives r.
    pub fn residual_cols<V, T: Element>(
        a: &[T],
        stride: usize,
        x: &[f64],
        rhs: &mut [f64],
        g: &mut [f64],
    ) -> f64 {
        assert_eq!(x.len(), g.len());
        let (nrows, d) = (rhs.len(), x.len());
        assert!(d == 0 || nrows <= a.len() && (d - 1) * stride <= a.len() - nrows);
        let segment = (SEGMENT_LEN / d.max(1)).next_multiple_of(8).max(64);
        let mut squares = V::splat(0.0);
        for (s, rhs) in rhs.chunks_mut(segment).enumerate() {
            let nrows = rhs.len();
            let column = |j: usize| &a[j * stride + s * segment..][..nrows];
            squares = cols(column, x, rhs, g, squares);
        }
        squares.sum()
    }
}

/// Elements of A between the two uses of an element: half a second-level cache.
const SEGMENT_LEN: usize = 1 << 16;

#[inline(always)]
fn cols<'a, V: Lanes, T: Element>(
    column: impl Fn(usize) -> &'a [T],
    x: &[f64],
    r: &mut [f64],
    g: &mut [f64],
    squares: V,
) -> V {
    let (x_groups, x_rest) = x.as_chunks::<8>();
    let grouped = x.len() - x_rest.len();
    for (j, x) in x_groups.iter().enumerate() {
        subtract_cols::<V, T, 8>(std::array::from_fn(|k| column(8 * j + k)), x, r);
    }
    for (j, x) in x_rest.iter().enumerate() {
        subtract_cols::<V, T, 1>([column(grouped + j)], std::array::from_ref(x), r);
    }
    let (g_groups, g_rest) = g.as_chunks_mut::<8>();
    for (j, g) in g_groups.iter_mut().enumerate() {
        let dots = dot_cols::<V, T, 8>(std::array::from_fn(|k| column(8 * j + k)), r);
        V::load(g).add(dots).store(g);
    }
    for (j, g) in g_rest.iter_mut().enumerate() {
        *g += dot_cols::<V, T, 1>([column(grouped + j)], r).to_array()[0];
    }
    add_squares(r, squares)
}

/// r -= A x
#[inline(always)]
fn subtract_cols<V: Lanes, T: Element, const N: usize>(a: [&[T]; N], x: &[f64; N], r: &mut [f64]) {
    let a = a.map(|column| column.as_chunks::<8>());
    let heads = a.map(|(_, head)| head);
    let (r, r_head) = r.as_chunks_mut::<8>();
    let a = a.map(|(column, _)| &column[..r.len()]);
    for k in 0..r.len() {
        let mut sum = V::load(&r[k]);
        for j in 0..N {
            sum = T::load::<V>(&a[j][k]).mul_add(V::splat(-x[j]), sum);
        }
        sum.store(&mut r[k]);
    }
    if !r_head.is_empty() {
        let mut sum = V::load_head(r_head);
        for j in 0..N {
            sum = T::load_head::<V>(heads[j]).mul_add(V::splat(-x[j]), sum);
        }
        sum.store_head(r_head);
    }
}

/// A'r in the first N lanes.
#[inline(always)]
fn dot_cols<V: Lanes, T: Element, const N: usize>(a: [&[T]; N], r: &[f64]) -> V {
    let a = a.map(|column| column.as_chunks::<8>());
    let heads = a.map(|(_, head)| head);
    let (r, r_head) = r.as_chunks::<8>();
    let a = a.map(|(column, _)| &column[..r.len()]);
    let mut sums = [V::splat(0.0); 8];
    for k in 0..r.len() {
        let r = V::load(&r[k]);
        for j in 0..N {
            sums[j] = T::load::<V>(&a[j][k]).mul_add(r, sums[j]);
        }
    }
    if !r_head.is_empty() {
        let r = V::load_head(r_head);
        for j in 0..N {
            sums[j] = T::load_head::<V>(heads[j]).mul_add(r, sums[j]);
        }
    }
    V::sums(sums)
}

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
