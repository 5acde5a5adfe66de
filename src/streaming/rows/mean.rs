//! Rows less their mean, one chunk after the other.
//!
//! The scatter about the mean of rows that come in two parts is the sum of the parts' scatters and of that of one more row,
//! the difference of the two means times the root of n m / (n + m). So every chunk is centred on its own mean, and such a row
//! joins it: whatever is made of A'A by adding rows up is then made of centred rows, exactly, and no sum is taken off another.

use crate::error::Result;
use crate::memory::reset;
use crate::simd::{axpy, norm_sq};
use crate::streaming::rows::chunk::Chunk;
use crate::streaming::rows::order::Rate;
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// The sum of w x over rows x of weight w, and that of the weights.
#[derive(Serialize, Deserialize)]
pub struct Total {
    pub sum: Numbers,
    pub weight: f64,
    /// Squared norms of the rows that stand for how far means of chunks are from those before, and what they would be on
    /// average in random order: those of rows. None once another stream has joined.
    between: Option<[Rate; 2]>,
}

/// Rows of a chunk whose mean says anything.
const ENOUGH: usize = 16;

/// The root of a b / (a + b).
pub fn root_of_harmonic(a: f64, b: f64) -> f64 {
    a.sqrt() * (b / (a + b)).sqrt()
}

/// Where centred rows are made.
#[derive(Default)]
pub struct Centred {
    rows: Vec<f64>,
    norms: Vec<f64>,
    roots: Vec<f64>,
}

impl Total {
    /// Of no rows.
    pub fn new(d: usize) -> Result<Self> {
        Ok(Self { sum: Numbers::zeros(d)?, weight: 0.0, between: Some([Rate::default(); 2]) })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { sum: self.sum.copy()?, ..*self })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, d: usize) -> bool {
        self.sum.len() == d
            && self.weight >= 0.0
            && self.weight.is_finite()
            && self.between.iter().flatten().all(Rate::fits)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.sum.scale(factor);
        self.between.iter_mut().flatten().for_each(|rate| rate.scale(factor));
    }

    /// By how many standard errors means move more than those of rows in random order.
    pub fn moves(&self) -> Option<f64> {
        self.between.and_then(|[means, rows]| means.above(&rows))
    }

    /// Another stream has joined, of rows that may be elsewhere.
    pub fn forget_order(&mut self) {
        self.between = None;
    }

    /// Takes in a row that holds the root of its weight.
    pub fn add(&mut self, row: &[f64], root: f64) {
        axpy(root, row, &mut self.sum);
        self.weight += root * root;
    }

    /// Takes in the rows of a chunk.
    pub fn add_all(&mut self, chunk: &Chunk<'_, f64>) -> Result<()> {
        let mut row = Numbers::zeros(self.sum.len())?;
        for i in 0..chunk.len() {
            chunk.write_row(i, &mut row);
            self.add(&row, chunk.roots[i]);
        }
        Ok(())
    }

    /// Takes one out again.
    pub fn subtract(&mut self, row: &[f64], root: f64) {
        axpy(-root, row, &mut self.sum);
        self.weight = (self.weight - root * root).max(0.0);
    }

    /// The mean.
    pub fn mean(&self) -> Result<Numbers> {
        let mut mean = self.sum.copy()?;
        if self.weight > 0.0 {
            mean.iter_mut().for_each(|number| *number /= self.weight);
        }
        Ok(mean)
    }

    /// The rows of a chunk less their mean, and the one that stands for how far that is from the mean of the rows before,
    /// which these join.
    pub fn centre<'c>(&mut self, chunk: &Chunk<'c, f64>, centred: &'c mut Centred) -> Result<Chunk<'c, f64>> {
        let (m, d) = (chunk.len(), self.sum.len());
        let mut here = Self::new(d)?;
        let Centred { rows, norms, roots } = centred;
        reset(rows, (m + 1) * d, "centred rows")?;
        for (i, row) in rows.chunks_exact_mut(d.max(1)).take(m).enumerate() {
            chunk.write_row(i, row);
            here.add(row, chunk.roots[i]);
        }
        reset(norms, m + 1, "centred rows")?;
        reset(roots, m + 1, "centred rows")?;
        let mean = here.mean()?;
        for i in 0..m {
            let row = &mut rows[i * d..][..d];
            axpy(-chunk.roots[i], &mean, row);
            norms[i] = norm_sq(row);
            roots[i] = chunk.roots[i];
        }
        if self.weight > 0.0 && here.weight > 0.0 {
            let root = root_of_harmonic(self.weight, here.weight);
            let row = &mut rows[m * d..];
            for (k, number) in row.iter_mut().enumerate() {
                *number = root * (self.sum[k] / self.weight - mean[k]);
            }
            norms[m] = norm_sq(row);
            if let Some([of_means, of_rows]) = self.between.as_mut().filter(|_| m >= ENOUGH) {
                let weighted = |i: usize| roots[i] * roots[i] * norms[i];
                of_means.add(norms[m]);
                of_rows.add((0..m).map(weighted).sum::<f64>() / here.weight);
            }
        }
        axpy(1.0, &here.sum, &mut self.sum);
        self.weight += here.weight;
        Ok(Chunk { first: chunk.first, numbers: chunk.numbers, ..Chunk::dense(rows, d, norms, roots) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centred_rows_have_the_scatter_about_the_mean_of_all() {
        let (n, d) = (21, 3);
        let number = |k: usize| 5.0 + ((k * 37 + 11) % 101) as f64 / 50.0;
        let rows: Vec<f64> = (0..n * d).map(number).collect();
        let roots: Vec<f64> = (0..n).map(|i| 0.5 + number(i + 300)).collect();
        let weighed: Vec<f64> = (0..n * d).map(|at| roots[at / d] * rows[at]).collect();
        let (mut total, mut scatter) = (Total::new(d).unwrap(), [0.0; 9]);
        for piece in [0..8, 8..9, 9..21] {
            let norms = vec![1.0; piece.len()];
            let rows = &weighed[piece.start * d..piece.end * d];
            let chunk = Chunk::dense(rows, d, &norms, &roots[piece.clone()]);
            let mut centred = Centred::default();
            let centred = total.centre(&chunk, &mut centred).unwrap();
            for i in 0..centred.len() {
                let mut row = [0.0; 3];
                centred.write_row(i, &mut row);
                (0..9).for_each(|at| scatter[at] += row[at / 3] * row[at % 3]);
            }
        }
        let mean = total.mean().unwrap();
        for at in 0..9 {
            let term = |i: usize| {
                let less = |k: usize| rows[i * d + k] - mean[k];
                roots[i] * roots[i] * less(at / 3) * less(at % 3)
            };
            let expected: f64 = (0..n).map(term).sum();
            assert!((scatter[at] - expected).abs() < 1e-9, "{} {expected}", scatter[at]);
        }
    }
}
