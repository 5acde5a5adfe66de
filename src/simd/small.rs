//! Products of small matrices whose rows are contiguous, without packing.
//!
//! Every entry is one chain of fused multiply-adds in the order of the summation index: how many rows and registers of
//! columns are worked on at a time is a matter of the instruction set and changes no bit.

use super::kernel;
use super::lanes::Lanes;

kernel! {
    /// `out = a b`, m x n, or `out += a b`: a(i, k) is `a[i * a_row + k * a_depth]`, while `b`, depth x n, and `out` are
    /// row after row.
    ///
    /// Panics if a slice is too short.
    pub fn small_product<V>(
        shape: (usize, usize, usize),
        a: &[f64],
        strides: (usize, usize),
        b: &[f64],
        out: &mut [f64],
        accumulate: bool,
    ) {
        let (m, n, depth) = shape;
        assert!(b.len() >= depth * n && out.len() >= m * n);
        if m == 0 || n == 0 {
            return;
        }
        assert!(depth == 0 || (m - 1) * strides.0 + (depth - 1) * strides.1 < a.len());
        let mut j = 0;
        while j < n {
            j += 8 * Strip { shape, j, a, strides, b, accumulate }.registers::<V>(4, out);
        }
    }
}

kernel! {
    /// `out += r'r` for rows of so many numbers, one after the other: of a symmetric `out`, of which that computes little
    /// more than half where there are many rows.
    ///
    /// Panics if a slice is too short.
    pub fn add_small_gram<V>(width: usize, rows: &[f64], out: &mut [f64]) {
        assert!(out.len() >= width * width);
        let depth = rows.len().checked_div(width).unwrap_or(0);
        if depth == 0 {
            return;
        }
        // With few rows it takes longer to copy the other half.
        let whole = depth < width;
        let mut j = 0;
        while j < width {
            let m = if whole { width } else { width.min(j + 16) };
            let shape = (m, width, depth);
            let strip = Strip { shape, j, a: rows, strides: (1, width), b: rows, accumulate: true };
            j += 8 * strip.registers::<V>(if whole { 4 } else { 2 }, out);
        }
        if !whole {
            for i in 1..width {
                for j in 0..i {
                    out[i * width + j] = out[j * width + i];
                }
            }
        }
    }
}

/// Some registers of columns, from column j on.
struct Strip<'s> {
    shape: (usize, usize, usize),
    j: usize,
    a: &'s [f64],
    strides: (usize, usize),
    b: &'s [f64],
    accumulate: bool,
}

impl Strip<'_> {
    /// All rows of as many registers of columns as there are and as there is room for, `most` at most. Returns how many.
    #[inline(always)]
    fn registers<V: Lanes>(&self, most: usize, out: &mut [f64]) -> usize {
        match (((self.shape.1 - self.j) / 8).min(most), V::ROOM) {
            (4.., 16) => {
                self.rows::<V, 4, 4, true>(out);
                4
            }
            (2.., 16) => {
                self.rows::<V, 8, 2, true>(out);
                2
            }
            (2.., _) => {
                self.rows::<V, 2, 2, true>(out);
                2
            }
            (1, 16) => {
                self.rows::<V, 8, 1, true>(out);
                1
            }
            (1, _) => {
                self.rows::<V, 4, 1, true>(out);
                1
            }
            (0, _) => {
                self.rows::<V, 4, 1, false>(out);
                1
            }
        }
    }

    /// All rows, `ROWS` at a time. Registers are whole, or one that is not.
    #[inline(always)]
    fn rows<V: Lanes, const ROWS: usize, const REGISTERS: usize, const WHOLE: bool>(&self, out: &mut [f64]) {
        let m = self.shape.0;
        let mut i = 0;
        while i + ROWS <= m {
            self.block::<V, ROWS, REGISTERS, WHOLE>(i, out);
            i += ROWS;
        }
        while ROWS == 8 && i + 4 <= m {
            self.block::<V, 4, REGISTERS, WHOLE>(i, out);
            i += 4;
        }
        while i < m {
            self.block::<V, 1, REGISTERS, WHOLE>(i, out);
            i += 1;
        }
    }

    #[inline(always)]
    fn block<V: Lanes, const ROWS: usize, const REGISTERS: usize, const WHOLE: bool>(
        &self,
        i: usize,
        out: &mut [f64],
    ) {
        let Self { shape: (_, n, depth), j, a, strides: (row, deep), b, accumulate } = *self;
        let width = n - j;
        let mut sums = [[V::splat(0.0); REGISTERS]; ROWS];
        // SAFETY: rows i .. i + ROWS of a, and all rows of b from column j on: measured by `small_product`.
        unsafe {
            let (a, b) = (a.as_ptr().add(i * row), b.as_ptr().add(j));
            for k in 0..depth {
                let b = b.add(k * n);
                let mut y = [V::splat(0.0); REGISTERS];
                for c in 0..REGISTERS {
                    y[c] = match WHOLE {
                        true => V::load(&*b.add(8 * c).cast()),
                        false => V::load_head(std::slice::from_raw_parts(b, width)),
                    };
                }
                for r in 0..ROWS {
                    let x = V::splat(*a.add(r * row + k * deep));
                    for c in 0..REGISTERS {
                        sums[r][c] = x.mul_add(y[c], sums[r][c]);
                    }
                }
            }
        }
        for r in 0..ROWS {
            let out = &mut out[(i + r) * n + j..];
            for c in 0..REGISTERS {
                let out = if WHOLE { &mut out[8 * c..8 * c + 8] } else { &mut out[..width] };
                let sum = if accumulate { V::load_head(out).add(sums[r][c]) } else { sums[r][c] };
                sum.store_head(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    #[test]
    fn every_entry_is_one_chain_on_every_path() {
        let number = |k: usize| ((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5;
        for (m, n, depth) in
            [(1, 1, 1), (3, 5, 2), (4, 8, 7), (9, 33, 20), (5, 70, 3), (2, 64, 0), (0, 4, 2), (7, 31, 9)]
        {
            let a: Vec<f64> = (0..m * depth).map(number).collect();
            let b: Vec<f64> = (0..depth * n).map(|k| number(k + 7)).collect();
            for (strides, transposed) in [((depth, 1), false), ((1, m), true)] {
                for start in [None, Some(0.25)] {
                    let outcomes = on_every_path(|| {
                        let mut out = vec![start.unwrap_or(f64::NAN); m * n];
                        small_product((m, n, depth), &a, strides, &b, &mut out, start.is_some());
                        out
                    });
                    let entry = |at: usize| {
                        let (i, j) = (at / n, at % n);
                        let a = |k: usize| if transposed { a[i + k * m] } else { a[i * depth + k] };
                        let chain = (0..depth).fold(0.0, |sum, k| f64::mul_add(a(k), b[k * n + j], sum));
                        start.map_or(chain, |start| start + chain)
                    };
                    let expected: Vec<f64> = (0..m * n).map(entry).collect();
                    assert!(outcomes.iter().all(|out| same_bits(out, &expected)), "{m} {n} {depth}");
                }
            }
        }
    }

    #[test]
    fn a_gram_matrix_is_the_product_that_it_is() {
        let number = |k: usize| ((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5;
        for (width, depth) in [(0, 3), (1, 0), (5, 2), (16, 16), (33, 20), (40, 100), (64, 64), (71, 90)] {
            let rows: Vec<f64> = (0..width * depth).map(number).collect();
            let start: Vec<f64> =
                (0..width * width).map(|k| number(k / width.max(1) + k % width.max(1))).collect();
            let mut expected = start.clone();
            small_product((width, width, depth), &rows, (1, width), &rows, &mut expected, true);
            let outcomes = on_every_path(|| {
                let mut out = start.clone();
                add_small_gram(width, &rows, &mut out);
                out
            });
            assert!(outcomes.iter().all(|out| same_bits(out, &expected)), "{width} {depth}");
        }
    }
}
