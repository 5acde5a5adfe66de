//! Sensitivities of all rows at once, from below never and from above by what shares a bucket.
//!
//! Rows are thrown into n / alpha buckets. Of every bucket some combinations of its rows with random signs are measured:
//! with probability 1/2 the other rows of a combination do not bring |a_i x| down, for the x of row i, so that the largest
//! sensitivity of k combinations is above that of every row but with probability 2^-k each. It is at most the sum of those
//! in the bucket for p = 1, alpha^(p - 1) times that for larger p. (Padmanabhan, Woodruff and Zhang, NeurIPS 2023.)

use super::basis::Basis;
use super::design::{Design, by_rows};
use super::sensitivity::{Measure, REFERENCE};
use crate::error::Result;
use crate::matrix::{Buffer, Mat, Matrix, Real, Rows};
use crate::memory::collected;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::axpy;

/// Of the buckets and signs of rows.
const BUCKETS: u8 = 0x76;
/// Probability that some row comes out too low.
const DELTA: f64 = 0.01;
/// Rows that are read at once.
const TILE: usize = 64;
/// What memory is for.
const COMBINATIONS: &str = "combinations of rows";

/// What may stand for the sensitivities of all rows, with buckets of about `alpha` rows.
pub fn approximate_sensitivities<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    p: f64,
    alpha: f64,
    seed: u64,
) -> Result<Buffer<f64>> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        let (lewis, measure) = Measure::with_lewis(context, &design, basis, p, REFERENCE, seed)?;
        let n = design.nrows();
        let (count, k) =
            (((n as f64 / alpha).ceil() as usize).max(1), (n as f64 / DELTA).log2().ceil() as usize);
        let buckets = Buckets { stream: Stream::new(seed, 0, BUCKETS), count, signs: k };
        let combinations = buckets.combinations(context, &design)?;
        let bounds = measure.bounds_of(context, &combinations, 0.03)?;
        let largest = bounds.upper.chunks_exact(k).map(|bounds| bounds.iter().copied().fold(0.0, f64::max));
        let largest = collected(largest, COMBINATIONS)?;
        let mut found = Buffer::zeros(n, COMBINATIONS)?;
        for rows in context.pieces(0..n) {
            for i in rows?.filter(|&i| lewis[i] > 0.0) {
                found[i] = largest[buckets.of(i)];
            }
        }
        Ok(found)
    })
}

/// Which row is in which, and with what signs.
struct Buckets {
    stream: Stream,
    count: usize,
    signs: usize,
}

impl Buckets {
    fn of(&self, row: usize) -> usize {
        self.stream.index(row as u64, self.count as u64) as usize
    }

    /// The combinations of each bucket, one after the other, one a column.
    fn combinations<T: Real>(&self, context: &Context, design: &Design<'_, T>) -> Result<Mat<f64>> {
        let (n, d) = (design.nrows(), design.ncols());
        let mut sums = Mat::zeros(d, self.count * self.signs)?;
        let mut buffer = Vec::new();
        for start in (0..n).step_by(TILE) {
            context.tick()?;
            let tile = design.rows.tile(start..n.min(start + TILE), 0..d, &mut buffer)?;
            for i in 0..tile.nrows() {
                let (row, first) = (start + i, self.of(start + i) * self.signs);
                for k in 0..self.signs {
                    // Draw 0 of a row is its bucket.
                    let sign = self.stream.sign(row as u64, 4 + k as u64);
                    axpy(sign, tile.stored_row(i), sums.col_mut(first + k));
                }
            }
        }
        Ok(sums)
    }
}
