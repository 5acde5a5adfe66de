//! Frequent Directions (Liberty 2013; Ghashami, Liberty, Phillips and Woodruff 2016): what one direction loses, all lose.
//!
//! Of 2 l rows B, full, the singular values become those of B'B - δ I as far as these are real, δ the l-th square. Then
//! 0 <= A'A - B'B <= Δ I with Δ the sum of all δ, in any order and for any rows, and Δ <= |A - A_k|_F^2 / (l - k) for every
//! k < l. Two of them one below the other are one.

use crate::error::Result;
use crate::memory::collected;
use crate::parallel::Context;
use crate::streaming::rows::chunk::{Chunk, Precision};
use crate::streaming::small::combinations::{combine, gram_of, leading_pairs_of_rows, sign_of};
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// What memory is for.
const SMALL: &str = "a small matrix";
/// What a Gram matrix of rows and its eigenvectors may be off, over its trace.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// B and Δ.
#[derive(Serialize, Deserialize)]
pub struct FrequentDirections {
    l: usize,
    d: usize,
    /// 2 l x d, row after row.
    rows: Numbers,
    count: usize,
    lost: f64,
}

impl FrequentDirections {
    /// No rows yet of `d` numbers.
    pub fn new(l: usize, d: usize) -> Result<Self> {
        // More than so many have nothing to lose.
        let l = l.min(d + 1);
        Ok(Self { l, d, rows: Numbers::zeros(2 * l * d)?, count: 0, lost: 0.0 })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { rows: self.rows.copy()?, ..*self })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, l: usize, d: usize) -> bool {
        let l = l.min(d + 1);
        (self.l, self.d) == (l, d)
            && self.rows.len() == 2 * l * d
            && self.count < 2 * l
            && self.lost >= 0.0
            && self.lost.is_finite()
    }

    /// Takes rows in.
    pub fn absorb<T: Precision>(&mut self, context: &Context, chunk: &Chunk<'_, T>) -> Result<()> {
        (0..chunk.len()).try_for_each(|i| self.push(context, |to| chunk.write_row(i, to)))
    }

    fn push(&mut self, context: &Context, write: impl FnOnce(&mut [f64])) -> Result<()> {
        write(&mut self.rows[self.count * self.d..][..self.d]);
        self.count += 1;
        if self.count == 2 * self.l { self.shrink(context) } else { Ok(()) }
    }

    /// Takes the l-th square off all of them.
    fn shrink(&mut self, context: &Context) -> Result<()> {
        let (n, d, l) = (2 * self.l, self.d, self.l);
        let mut gram = gram_of(context, &self.rows, d)?;
        let trace: f64 = (0..n).map(|i| gram[i * n + i]).sum();
        let signs = collected(self.rows.chunks_exact(d).map(sign_of), SMALL)?;
        let (squares, mut vectors) = leading_pairs_of_rows(context, &mut gram, n, l, &signs)?;
        let next = squares[l - 1].max(0.0);
        for at in 0..n * l {
            let square = squares[at % l];
            vectors[at] *= if square > next { ((square - next) / square).sqrt() } else { 0.0 };
        }
        let mut rows = Numbers::zeros(n * d)?;
        combine(&vectors, &self.rows, d, &mut rows[..l * d], false);
        self.lost += next + ROUNDING * trace;
        self.rows = rows;
        self.count = l - 1;
        Ok(())
    }

    /// Takes in the rows of another one, and what it has lost.
    pub fn merge(&mut self, context: &Context, other: &Self) -> Result<()> {
        self.lost += other.lost;
        let mut rows = other.rows.chunks_exact(self.d.max(1)).take(other.count);
        rows.try_for_each(|row| self.push(context, |to| to.copy_from_slice(row)))
    }

    /// Δ, with what rounding may have added.
    pub fn lost(&self) -> f64 {
        self.lost
    }

    /// B, r x d.
    pub fn factor(&self) -> Result<Numbers> {
        Numbers::copy_of(&self.rows[..self.count * self.d])
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.rows.len()
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.rows.scale(factor);
        self.lost *= factor * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::eigh;
    use crate::matrix::Mat;
    use crate::streaming::testing::spiked;

    fn summed(l: usize, rows: &[f64], d: usize) -> FrequentDirections {
        let mut summary = FrequentDirections::new(l, d).unwrap();
        for piece in rows.chunks(13 * d) {
            let m = piece.len() / d;
            let (norms, roots) = (vec![1.0; m], vec![1.0; m]);
            summary.absorb(&Context::new(1), &Chunk::dense(piece, d, &norms, &roots)).unwrap();
        }
        summary
    }

    /// The extreme eigenvalues of A'A - B'B.
    fn lost(summary: &FrequentDirections, rows: &[f64], d: usize) -> [f64; 2] {
        let factor = summary.factor().unwrap();
        let entry = |i: usize, j: usize| {
            let all: f64 = rows.chunks_exact(d).map(|row| row[i] * row[j]).sum();
            all - factor.chunks_exact(d).map(|row| row[i] * row[j]).sum::<f64>()
        };
        let values = eigh(&Mat::from_fn(d, d, entry).unwrap()).unwrap().0;
        [values[0], values[d - 1]]
    }

    #[test]
    fn what_is_lost_is_bounded_also_after_merges() {
        let (n, d) = (400, 15);
        let rows = spiked(n, d, 3.0, 8);
        for l in [1, 2, 5, 14, 15] {
            let whole = summed(l, &rows, d);
            let (mut left, right) = (summed(l, &rows[..150 * d], d), summed(l, &rows[150 * d..], d));
            left.merge(&Context::new(1), &right).unwrap();
            for summary in [whole, left] {
                let [least, most] = lost(&summary, &rows, d);
                assert!(least > -1e-9 && most <= summary.lost() * (1.0 + 1e-12), "{l} {least} {most}");
                let energy: f64 = rows.iter().map(|x| x * x).sum();
                assert!(summary.lost() <= energy / l as f64 * (1.0 + 1e-9));
            }
        }
    }
}
