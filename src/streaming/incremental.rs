//! A truncated SVD of all rows so far, a chunk at a time (Ross, Lim, Lin and Yang 2008).
//!
//! Excellent on rows that are alike, however few; without a guarantee, for it drops what never is among the best b
//! directions within one chunk.

use crate::error::Result;
use crate::memory::{filled, zeros};
use crate::simd::{add_outer, row_gram, small_product};
use crate::streaming::numbers::Numbers;
use crate::streaming::rows::Chunk;
use crate::streaming::tall::{best_of_both, leading_pairs_of_rows, sign_of, times};
use serde::{Deserialize, Serialize};

/// The summary of light rows.
#[derive(Serialize, Deserialize)]
pub struct Incremental {
    b: usize,
    k: usize,
    /// B, d x b: right singular vectors times singular values.
    basis: Numbers,
    /// Their squares, descending.
    squares: Numbers,
}

impl Incremental {
    /// No rows yet, and `b` directions of `d` numbers, the first `k` of which are wanted.
    pub fn new(d: usize, b: usize, k: usize) -> Result<Self> {
        let b = b.min(d);
        Ok(Self { b, k: k.min(b), basis: Numbers::zeros(d * b)?, squares: Numbers::zeros(b)? })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { basis: self.basis.copy()?, squares: self.squares.copy()?, ..*self })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, d: usize, b: usize, k: usize) -> bool {
        let b = b.min(d);
        (self.b, self.k) == (b, k.min(b))
            && self.basis.len() == d * b
            && self.squares.len() == b
            && self.squares.iter().all(|square| *square >= 0.0)
    }

    /// Takes rows in; the energy that the first k directions had in them.
    pub fn absorb(&mut self, chunk: &Chunk<'_>) -> Result<f64> {
        let (b, d) = (self.b, chunk.rows.ncols());
        let ((x, stride), m) = (chunk.strided(), chunk.len());
        let n = b + m;
        let (mut along, mut between) = (zeros(m * b, SMALL)?, zeros(m * m, SMALL)?);
        small_product((m, b, d), x, (stride, 1), &self.basis, &mut along, false);
        row_gram(x, stride, m, d, &mut between);
        let gram = |i: usize, j: usize| match (i < b, j < b) {
            (true, true) => f64::from(u8::from(i == j)) * self.squares[i],
            (true, false) => along[(j - b) * b + i],
            (false, true) => along[(i - b) * b + j],
            (false, false) => between[(i - b) * m + j - b],
        };
        let mut all = zeros(n * n, SMALL)?;
        (0..n * n).for_each(|at| all[at] = gram(at / n, at % n));
        let mut signs = filled(1.0, n, SMALL)?;
        (0..m).for_each(|i| signs[b + i] = sign_of(chunk.row(i)));
        let (values, vectors) = leading_pairs_of_rows(&mut all, n, b, &signs)?;
        let mut basis = Numbers::zeros(d * b)?;
        times(&self.basis, b, &vectors[..b * b], b, &mut basis, false);
        add_outer(x, stride, &vectors[b * b..], b, &mut basis);
        let of_row = |row: &[f64]| -> f64 {
            let terms = row.iter().zip(self.squares.iter()).take(self.k).filter(|(_, square)| **square > 0.0);
            terms.map(|(along, square)| along * along / square).sum()
        };
        let wanted = along.chunks_exact(b).map(of_row).sum();
        self.basis = basis;
        values.iter().enumerate().for_each(|(j, value)| self.squares[j] = value.max(0.0));
        Ok(wanted)
    }

    /// Takes in another one.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let (squares, basis) = best_of_both(&self.basis, &other.basis, self.b)?;
        self.basis = basis;
        self.squares.iter_mut().zip(squares).for_each(|(to, square)| *to = square.max(0.0));
        Ok(())
    }

    /// L, d x b, whose L L' stands for the Gram matrix of all light rows, and how many columns it has.
    pub fn factor(&self) -> Result<(Numbers, usize)> {
        Ok((self.basis.copy()?, self.b))
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.basis.len() + self.b
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.basis.scale(factor);
        self.squares.scale(factor * factor);
    }
}

/// What memory is for.
const SMALL: &str = "a small matrix";
