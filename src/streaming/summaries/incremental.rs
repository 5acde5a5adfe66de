//! A truncated SVD of all rows so far, a chunk at a time (Ross, Lim, Lin and Yang 2008).
//!
//! Excellent on rows that are alike, however few; without a guarantee, for it drops what never is among the best b
//! directions within one chunk. With B the basis so far, the best b directions of B and the chunk come from the Gram matrix
//! of both, of which a few steps of subspace iteration find enough: what they begin with is B, which chunks change little.

use crate::error::Result;
use crate::memory::{copied, filled, zeros};
use crate::simd::{norm_sq, small_product};
use crate::streaming::rows::chunk::{Chunk, Precision, Room};
use crate::streaming::small::combinations::{best_of_both, combine, combine_in_place};
use crate::streaming::small::near::leading_pairs_near;
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// What memory is for.
const SMALL: &str = "a small matrix";
/// Squares that are told from zero in single precision, in which their roots would have no inverse.
const LEAST: f64 = 1e-60;
/// What squared norms of T, if it is not small, and of its inverse may be, multiplied: of an orthogonal one, of order 8,
/// they are 64.
const MOST_SKEW: f64 = 1e5;

/// The summary of light rows.
#[derive(Serialize, Deserialize)]
pub struct Incremental {
    b: usize,
    k: usize,
    d: usize,
    /// U, b x d, and T, b x b: T U are right singular vectors, or zeros where there are no more.
    basis: Numbers,
    turn: Numbers,
    /// U in single precision, if rows are, and whether that is up to date.
    #[serde(skip)]
    narrow: Vec<f32>,
    #[serde(skip)]
    rounded: bool,
    /// Squares of singular values, descending.
    squares: Numbers,
}

impl Incremental {
    /// No rows yet, and `b` directions of `d` numbers, the first `k` of which are wanted.
    pub fn new(d: usize, b: usize, k: usize) -> Result<Self> {
        let b = b.min(d);
        let (basis, squares) = (Numbers::zeros(b * d)?, Numbers::zeros(b)?);
        let (turn, narrow) = (Numbers::copy_of(&identity(b)?)?, Vec::new());
        Ok(Self { b, k: k.min(b), d, basis, turn, narrow, rounded: false, squares })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let (basis, turn, squares) = (self.basis.copy()?, self.turn.copy()?, self.squares.copy()?);
        Ok(Self { basis, turn, narrow: Vec::new(), rounded: false, squares, ..*self })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, d: usize, b: usize, k: usize) -> bool {
        let b = b.min(d);
        (self.b, self.k, self.d) == (b, k.min(b), d)
            && (self.basis.len(), self.turn.len()) == (d * b, b * b)
            && self.squares.len() == b
            && self.squares.iter().all(|square| *square >= 0.0)
    }

    /// Takes rows in; the energy that the first k directions had in them.
    pub fn absorb<T: Precision>(&mut self, chunk: &Chunk<'_, T>, room: &mut Room<T>) -> Result<f64> {
        let mut between = zeros(chunk.len() * chunk.len(), SMALL)?;
        chunk.gram(&mut between, room)?;
        self.absorb_with(chunk, &between, room)
    }

    /// The same with the products of rows with each other.
    pub fn absorb_with<T: Precision>(
        &mut self,
        chunk: &Chunk<'_, T>,
        between: &[f64],
        room: &mut Room<T>,
    ) -> Result<f64> {
        let (b, m) = (self.b, chunk.len());
        let mut along = zeros(m * b, SMALL)?;
        if !self.rounded {
            T::round(&self.basis, &mut self.narrow)?;
            self.rounded = true;
        }
        chunk.along(T::of_either(&self.basis, &self.narrow), &mut along);
        let along = product(&along, &transposed(&self.turn, b)?, b)?;
        let wanted = along.chunks_exact(b).flat_map(|row| &row[..self.k]).map(|along| along * along).sum();
        let n = b + m;
        let (mut gram, mut lengths) = (zeros(n * n, SMALL)?, filled(1.0, n, SMALL)?);
        for j in 0..b {
            lengths[j] = self.squares[j].sqrt();
            gram[j * n + j] = self.squares[j];
        }
        // Signs of rows say nothing: all are as if their first entry were positive.
        (0..m).for_each(|i| lengths[b + i] = chunk.sign(i));
        for i in 0..m {
            let sign = lengths[b + i];
            for j in 0..b {
                // Zeros have no sign.
                let product = sign * lengths[j] * along[i * b + j] + 0.0;
                (gram[j * n + b + i], gram[(b + i) * n + j]) = (product, product);
            }
            let to = &mut gram[(b + i) * n + b..][..m];
            for l in 0..m {
                to[l] = sign * lengths[b + l] * between[i * m + l] + 0.0;
            }
        }
        let (values, mut vectors) = leading_pairs_near(&gram, n, b)?;
        // From directions and rows to those that are new, all of length one.
        let least = if T::as_f64(&[]).is_some() { 0.0 } else { LEAST };
        let mut inverse = zeros(b, SMALL)?;
        for (to, value) in inverse.iter_mut().zip(&values) {
            *to = if *value > least { 1.0 / value.sqrt() } else { 0.0 };
        }
        for (row, length) in vectors.chunks_exact_mut(b).zip(&lengths) {
            row.iter_mut().zip(&inverse).for_each(|(number, inverse)| *number *= length * inverse);
        }
        self.turn_by(&transposed(&vectors[..b * b], b)?, chunk, &vectors[b * b..], room)?;
        values
            .iter()
            .enumerate()
            .for_each(|(j, value)| self.squares[j] = if *value > least { *value } else { 0.0 });
        Ok(wanted)
    }

    /// Directions become combinations of what they are, by a matrix, and of rows, by coefficients. U takes rows alone, which
    /// may have few entries, as long as T does not make much of little.
    fn turn_by<T: Precision>(
        &mut self,
        by: &[f64],
        chunk: &Chunk<'_, T>,
        coefficients: &[f64],
        room: &mut Room<T>,
    ) -> Result<()> {
        let b = self.b;
        let turn = product(by, &self.turn, b)?;
        let skew = |inverse: &Vec<f64>| norm_sq(&turn).max(1.0) * norm_sq(inverse);
        let inverse = inverse_of(&turn, b)?.filter(|inverse| skew(inverse) <= MOST_SKEW);
        self.rounded &= inverse.is_some();
        let coefficients = match inverse {
            Some(inverse) => {
                self.turn.copy_from_slice(&turn);
                product(coefficients, &transposed(&inverse, b)?, b)?
            }
            None => {
                combine_in_place(&transposed(&turn, b)?, &mut self.basis, self.d)?;
                self.turn.copy_from_slice(&identity(b)?);
                copied(coefficients, SMALL)?
            }
        };
        chunk.add_to(&mut self.basis, &coefficients, room)?;
        self.rounded = chunk.round_touched(&self.basis, &mut self.narrow) && self.rounded;
        Ok(())
    }

    /// Takes in another one.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let (squares, mut basis) = best_of_both(&self.factor()?, &other.factor()?, self.b)?;
        for (row, square) in basis.chunks_exact_mut(self.d.max(1)).zip(&squares) {
            let factor = if *square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
            row.iter_mut().for_each(|number| *number *= factor);
        }
        self.basis = basis;
        self.turn.copy_from_slice(&identity(self.b)?);
        self.rounded = false;
        self.squares.iter_mut().zip(squares).for_each(|(to, square)| *to = square.max(0.0));
        Ok(())
    }

    /// L, b x d, whose L'L stands for the Gram matrix of all light rows.
    pub fn factor(&self) -> Result<Numbers> {
        let (b, mut factor) = (self.b, Numbers::zeros(self.basis.len())?);
        let mut c = transposed(&self.turn, b)?;
        for row in c.chunks_exact_mut(b.max(1)) {
            row.iter_mut().zip(self.squares.iter()).for_each(|(number, square)| *number *= square.sqrt());
        }
        combine(&c, &self.basis, self.d, &mut factor, false);
        Ok(factor)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.basis.len() + self.narrow.len().div_ceil(2)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.squares.scale(factor * factor);
    }
}

/// A B of matrices of b columns, row after row, the second of which is square.
fn product(left: &[f64], right: &[f64], b: usize) -> Result<Vec<f64>> {
    let mut out = zeros(left.len(), SMALL)?;
    small_product((left.len().checked_div(b).unwrap_or(0), b, b), left, (b, 1), right, &mut out, false);
    Ok(out)
}

fn transposed(square: &[f64], b: usize) -> Result<Vec<f64>> {
    let mut out = zeros(b * b, SMALL)?;
    for i in 0..b {
        (0..b).for_each(|j| out[j * b + i] = square[i * b + j]);
    }
    Ok(out)
}

fn identity(b: usize) -> Result<Vec<f64>> {
    let mut out = zeros(b * b, SMALL)?;
    (0..b).for_each(|j| out[j * b + j] = 1.0);
    Ok(out)
}

/// The inverse of a matrix of order b, by elimination of whole columns; None if there is none.
fn inverse_of(matrix: &[f64], b: usize) -> Result<Option<Vec<f64>>> {
    let (mut left, mut right) = (copied(matrix, SMALL)?, identity(b)?);
    for j in 0..b {
        let larger = |&i: &usize, &k: &usize| left[i * b + j].abs().total_cmp(&left[k * b + j].abs());
        let pivot = (j..b).max_by(larger).unwrap_or(j);
        if left[pivot * b + j] == 0.0 {
            return Ok(None);
        }
        for matrix in [&mut left, &mut right] {
            (0..b).for_each(|k| matrix.swap(j * b + k, pivot * b + k));
        }
        let scale = 1.0 / left[j * b + j];
        for i in (0..b).filter(|i| *i != j) {
            let factor = left[i * b + j] * scale;
            for matrix in [&mut left, &mut right] {
                for k in 0..b {
                    matrix[i * b + k] -= factor * matrix[j * b + k];
                }
            }
        }
        for matrix in [&mut left, &mut right] {
            matrix[j * b..][..b].iter_mut().for_each(|number| *number *= scale);
        }
    }
    Ok(Some(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_what_it_is_of() {
        let b = 5;
        let matrix: Vec<f64> =
            (0..b * b).map(|k| if k % 7 == 3 { 0.0 } else { ((k * 37 + 11) % 23) as f64 - 9.0 }).collect();
        let inverse = inverse_of(&matrix, b).unwrap().unwrap();
        let one = product(&matrix, &inverse, b).unwrap();
        assert!(one.iter().zip(identity(b).unwrap()).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(inverse_of(&[0.0; 9], 3).unwrap().is_none());
        assert!(inverse_of(&[1.0, 2.0, 2.0, 4.0], 2).unwrap().is_none());
    }
}
