//! A linear sketch Y = Ω A'A (Tropp, Yurtsever, Udell and Cevher 2017): sums of sketches are sketches of sums.
//!
//! The price of exact merges and of deletions: R of about the root of d / l, where other summaries see a constant gap.

use crate::error::{Error, Result};
use crate::linalg::cholesky;
use crate::matrix::Mat;
use crate::memory::zeros;
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::norm_sq;
use crate::streaming::rows::chunk::{Chunk, Room};
use crate::streaming::rows::mean::Total;
use crate::streaming::small::combinations::{combine, gram_of, inner, leading_pairs_apart, over_upper};
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Purpose of the random numbers.
const TEST_MATRIX: u8 = 0x62;

/// Roundings of a sum that are told from what it stands for.
const CANCELLED: f64 = 64.0;

/// Y, and Ω for as long as it is at hand.
#[derive(Serialize, Deserialize)]
pub struct Sketch {
    l: usize,
    d: usize,
    seed: u64,
    /// l x d, row after row.
    y: Numbers,
    #[serde(skip)]
    omega: Option<Arc<Numbers>>,
}

impl Sketch {
    /// Of no rows, of `d` numbers.
    pub fn new(l: usize, d: usize, seed: u64) -> Result<Self> {
        let l = l.min(d);
        Ok(Self { l, d, seed, y: Numbers::zeros(d * l)?, omega: None })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { y: self.y.copy()?, omega: self.omega.clone(), ..*self })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, l: usize, d: usize, seed: u64) -> bool {
        let l = l.min(d);
        (self.l, self.d, self.seed) == (l, d, seed) && self.y.len() == d * l
    }

    /// Ω, l x d, standard normal.
    fn omega(&mut self) -> Result<Arc<Numbers>> {
        if let Some(omega) = &self.omega {
            return Ok(omega.clone());
        }
        let mut omega = Numbers::zeros(self.y.len())?;
        let random = Random::new(self.seed, 0, TEST_MATRIX);
        for (j, row) in omega.chunks_exact_mut(self.d.max(1)).enumerate() {
            random.normals_of_row(j as u64, row);
        }
        let omega = Arc::new(omega);
        self.omega = Some(omega.clone());
        Ok(omega)
    }

    /// Takes rows in, or, with a sign of minus one, out.
    pub fn absorb(&mut self, chunk: &Chunk<'_, f64>, sign: f64, room: &mut Room<f64>) -> Result<()> {
        let (omega, l, m) = (self.omega()?, self.l, chunk.len());
        let mut along = zeros(m * l, "products of rows")?;
        chunk.along(&omega, &mut along);
        if sign != 1.0 {
            along.iter_mut().for_each(|number| *number *= sign);
        }
        chunk.add_to(&mut self.y, &along, room)
    }

    /// Adds another one of the same Ω.
    pub fn merge(&mut self, other: &Self) {
        self.y.iter_mut().zip(other.y.iter()).for_each(|(sum, number)| *sum += number);
    }

    /// L, l x d, with L'L the Nystrom approximation of A'A, of rows less the mean that is given.
    pub fn factor(&mut self, context: &Context, total: Option<&Total>) -> Result<Numbers> {
        let (omega, l, d) = (self.omega()?, self.l, self.d);
        let whole = norm_sq(&self.y).sqrt();
        if let Some(Total { sum, weight, .. }) = total.filter(|total| total.weight > 0.0) {
            let mut along = inner(sum, &omega, d)?;
            along.iter_mut().for_each(|number| *number /= -weight);
            combine(&along, sum, d, &mut self.y, true);
        }
        // What is left of sums that were taken off each other may be rounding.
        let rounding = (self.d as f64).sqrt() * f64::EPSILON * whole;
        if norm_sq(&self.y).sqrt() <= CANCELLED * rounding {
            return Numbers::zeros(self.y.len());
        }
        // Shifted by a multiple of the rounding, so that the core has a Cholesky factor.
        let mut shift = rounding;
        for _ in 0..8 {
            let mut shifted = self.y.copy()?;
            shifted.iter_mut().zip(omega.iter()).for_each(|(y, omega)| *y += shift * omega);
            let core = inner(&omega, &shifted, d)?;
            let core = Mat::from_fn(l, l, |i, j| 0.5 * (core[i * l + j] + core[j * l + i]))?;
            if let Some(r) = cholesky(&core)? {
                return self.unshifted(context, &shifted, &r, shift);
            }
            shift *= 16.0;
        }
        Err(Error::value("X", "not among the rows that were taken in, when it was deleted", "rows that were"))
    }

    fn unshifted(&self, context: &Context, shifted: &[f64], r: &Mat<f64>, shift: f64) -> Result<Numbers> {
        let (l, d) = (self.l, self.d);
        let half = over_upper(shifted, d, r)?;
        let (squares, mut turn) = leading_pairs_apart(context, &gram_of(context, &half, d)?, l, l)?;
        for at in 0..l * l {
            let square = squares[at % l];
            turn[at] *= if square > shift { ((square - shift) / square).sqrt() } else { 0.0 };
        }
        let mut factor = Numbers::zeros(self.y.len())?;
        combine(&turn, &half, d, &mut factor, false);
        Ok(factor)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        2 * self.y.len()
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.y.scale(factor * factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::testing::spiked;

    fn absorb(sketch: &mut Sketch, rows: &[f64], sign: f64) {
        let (d, ones) = (sketch.d, vec![1.0; rows.len()]);
        for piece in rows.chunks(32 * d) {
            let m = piece.len() / d;
            let chunk = Chunk::dense(piece, d, &ones[..m], &ones[..m]);
            sketch.absorb(&chunk, sign, &mut Room::default()).unwrap();
        }
    }

    #[test]
    fn low_rank_is_kept_whole_sums_add_up_and_what_is_taken_out_was_never_there() {
        let (n, d, l) = (200, 30, 8);
        let basis = spiked(3, d, 0.0, 1);
        let mixing = spiked(n, 3, 0.0, 2);
        let entry = |at: usize| (0..3).map(|c| mixing[at / d * 3 + c] * basis[c * d + at % d]).sum();
        let rows: Vec<f64> = (0..n * d).map(entry).collect();
        let mut whole = Sketch::new(l, d, 5).unwrap();
        absorb(&mut whole, &rows, 1.0);
        let factor = whole.factor(&Context::new(1), None).unwrap();
        for at in 0..d * d {
            let (i, j) = (at / d, at % d);
            let exact: f64 = rows.chunks_exact(d).map(|row| row[i] * row[j]).sum();
            let found: f64 = factor.chunks_exact(d).map(|row| row[i] * row[j]).sum();
            assert!((exact - found).abs() < 1e-6, "{exact} {found}");
        }
        let (mut left, mut right) = (Sketch::new(l, d, 5).unwrap(), Sketch::new(l, d, 5).unwrap());
        absorb(&mut left, &rows[..70 * d], 1.0);
        absorb(&mut right, &rows[70 * d..], 1.0);
        absorb(&mut right, &basis, 1.0);
        left.merge(&right);
        absorb(&mut left, &basis, -1.0);
        assert!(left.y.iter().zip(whole.y.iter()).all(|(a, b)| (a - b).abs() < 1e-10));
    }
}
