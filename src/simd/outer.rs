//! What a few rows at a time add to tall sums, and their products with each other.

use super::kernel;
use super::lanes::Lanes;

kernel! {
    /// `sums += x'y`, d x b: row i of x is at `i * stride` and has d numbers; y, one row of b numbers for each of x, and
    /// `sums` are row after row.
    ///
    /// Every entry is one chain of fused multiply-adds that begins with what is there and goes on row by row, so that no
    /// cuts of the rows change a bit, and a zero in x changes nothing.
    ///
    /// Panics if a slice is too short.
    pub fn add_outer<V>(x: &[f64], stride: usize, y: &[f64], b: usize, sums: &mut [f64]) {
        if b == 0 || sums.is_empty() || y.is_empty() {
            return;
        }
        let (d, m) = (sums.len() / b, y.len() / b);
        assert!(sums.len() == d * b && y.len() == m * b && (m - 1) * stride + d <= x.len());
        for j in (0..b).step_by(8) {
            let place = Place { x, stride, y, b, j, m };
            let mut k = 0;
            if V::ROOM == 16 {
                while k + 16 <= d {
                    place.add::<V, 16>(k, sums);
                    k += 16;
                }
                while k + 8 <= d {
                    place.add::<V, 8>(k, sums);
                    k += 8;
                }
            }
            while k + 4 <= d {
                place.add::<V, 4>(k, sums);
                k += 4;
            }
            while k < d {
                place.add::<V, 1>(k, sums);
                k += 1;
            }
        }
    }
}

/// Columns j to j + 7 of the sums.
struct Place<'p> {
    x: &'p [f64],
    stride: usize,
    y: &'p [f64],
    b: usize,
    j: usize,
    m: usize,
}

impl Place<'_> {
    /// Rows k to k + `ROWS` - 1 of the sums.
    #[inline(always)]
    fn add<V: Lanes, const ROWS: usize>(&self, k: usize, sums: &mut [f64]) {
        let Self { x, stride, y, b, j, m } = *self;
        let width = (b - j).min(8);
        let mut chains = [V::splat(0.0); ROWS];
        for t in 0..ROWS {
            chains[t] = V::load_head(&sums[(k + t) * b + j..][..width]);
        }
        for r in 0..m {
            // SAFETY: rows of b numbers, and of k + ROWS at least: measured by `add_outer`.
            unsafe {
                let y = y.as_ptr().add(r * b + j);
                let y = match width {
                    8 => V::load(&*y.cast()),
                    _ => V::load_head(std::slice::from_raw_parts(y, width)),
                };
                let x = x.as_ptr().add(r * stride + k);
                for t in 0..ROWS {
                    chains[t] = V::splat(*x.add(t)).mul_add(y, chains[t]);
                }
            }
        }
        for t in 0..ROWS {
            chains[t].store_head(&mut sums[(k + t) * b + j..][..width]);
        }
    }
}

kernel! {
    /// `out = x x'`, m x m: row i of x is at `i * stride` and has d numbers. Every entry is the sum of eight chains of
    /// fused multiply-adds.
    ///
    /// Panics if a slice is too short.
    pub fn row_gram<V>(x: &[f64], stride: usize, m: usize, d: usize, out: &mut [f64]) {
        assert!(out.len() >= m * m && (m == 0 || (m - 1) * stride + d <= x.len()));
        let step = if V::ROOM == 16 { 4 } else { 2 };
        for i in (0..m).step_by(step) {
            for j in (0..=i).step_by(step) {
                if i + step > m {
                    for i in i..m {
                        for j in j..m.min(j + step) {
                            dots::<V, 1>(x, stride, d, (i, j), m, out);
                        }
                    }
                } else if step == 4 {
                    dots::<V, 4>(x, stride, d, (i, j), m, out);
                } else {
                    dots::<V, 2>(x, stride, d, (i, j), m, out);
                }
            }
        }
    }
}

/// Rows i to i + `ROWS` - 1 times rows j to j + `ROWS` - 1, and the same on the other side of the diagonal.
#[inline(always)]
fn dots<V: Lanes, const ROWS: usize>(
    x: &[f64],
    stride: usize,
    d: usize,
    (i, j): (usize, usize),
    m: usize,
    out: &mut [f64],
) {
    let mut sums = [[V::splat(0.0); ROWS]; ROWS];
    let mut k = 0;
    while k < d {
        let width = (d - k).min(8);
        // SAFETY: columns k to k + width - 1 of rows below m: measured by `row_gram`.
        let load = |row: usize| unsafe {
            let from = x.as_ptr().add(row * stride + k);
            match width {
                8 => V::load(&*from.cast()),
                _ => V::load_head(std::slice::from_raw_parts(from, width)),
            }
        };
        let mut right = [V::splat(0.0); ROWS];
        for c in 0..ROWS {
            right[c] = load(j + c);
        }
        for r in 0..ROWS {
            let left = load(i + r);
            for c in 0..ROWS {
                sums[r][c] = left.mul_add(right[c], sums[r][c]);
            }
        }
        k += width;
    }
    for r in 0..ROWS {
        for c in 0..ROWS {
            let sum = sums[r][c].sum();
            out[(i + r) * m + j + c] = sum;
            out[(j + c) * m + i + r] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    fn number(k: usize) -> f64 {
        ((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5
    }

    #[test]
    fn sums_are_chains_that_go_on_where_they_ended() {
        for (m, d, b) in [(1, 1, 1), (3, 5, 2), (32, 19, 8), (7, 13, 12), (2, 8, 0), (0, 4, 3), (5, 40, 17)] {
            let (x, y): (Vec<f64>, Vec<f64>) =
                ((0..m * (d + 2)).map(number).collect(), (0..m * b).map(|k| number(k + 7)).collect());
            let start: Vec<f64> = (0..d * b).map(|k| number(k + 3)).collect();
            let entry = |at: usize| {
                let term = |sum, r: usize| f64::mul_add(x[r * (d + 2) + at / b], y[r * b + at % b], sum);
                (0..m).fold(start[at], term)
            };
            let expected: Vec<f64> = (0..d * b).map(entry).collect();
            for cut in [0, m / 2] {
                let outcomes = on_every_path(|| {
                    let mut sums = start.clone();
                    add_outer(&x, d + 2, &y[..cut * b], b, &mut sums);
                    add_outer(&x[cut * (d + 2)..], d + 2, &y[cut * b..], b, &mut sums);
                    sums
                });
                assert!(outcomes.iter().all(|sums| same_bits(sums, &expected)), "{m} {d} {b}");
            }
        }
    }

    #[test]
    fn rows_times_rows_are_the_same_on_every_path() {
        for (m, d) in [(0, 3), (1, 0), (1, 9), (4, 8), (7, 21), (40, 33)] {
            let x: Vec<f64> = (0..m * (d + 1)).map(number).collect();
            let outcomes = on_every_path(|| {
                let mut out = vec![f64::NAN; m * m];
                row_gram(&x, d + 1, m, d, &mut out);
                out
            });
            assert!(outcomes.iter().all(|out| same_bits(out, &outcomes[0])));
            for (at, found) in outcomes[0].iter().enumerate() {
                let row = |i: usize| &x[i * (d + 1)..][..d];
                let dot: f64 = row(at / m).iter().zip(row(at % m)).map(|(a, b)| a * b).sum();
                assert!((found - dot).abs() < 1e-13);
            }
        }
    }
}
