//! A'A itself, where d x d numbers are no trouble.

use crate::error::Result;
use crate::linalg::{Scratch, apart, leading_eigh_into, leading_eigh_scratch, syrk};
use crate::matrix::{Dense, DenseMut, Mat};
use crate::memory::{resize, zeros};
use crate::parallel::Context;
use crate::streaming::rows::chunk::{Chunk, Precision};
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// The lower triangle of A'A.
#[derive(Serialize, Deserialize)]
pub struct Gram {
    d: usize,
    /// Eigenpairs that are wanted.
    wanted: usize,
    /// Column after column.
    sums: Numbers,
    #[serde(skip)]
    rows: Vec<f64>,
}

impl Gram {
    /// Of no rows, of `d` numbers.
    pub fn new(d: usize, k: usize) -> Result<Self> {
        Ok(Self { d, wanted: (k + 1).min(d), sums: Numbers::zeros(d * d)?, rows: Vec::new() })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { sums: self.sums.copy()?, rows: Vec::new(), ..*self })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, d: usize, k: usize) -> bool {
        (self.d, self.wanted) == (d, (k + 1).min(d)) && self.sums.len() == d * d
    }

    /// Takes rows in.
    pub fn absorb<T: Precision>(&mut self, chunk: &Chunk<'_, T>) -> Result<()> {
        let (m, d) = (chunk.len(), self.d);
        resize(&mut self.rows, m * d, 0.0, "rows of a chunk")?;
        (0..m).for_each(|i| chunk.write_row(i, &mut self.rows[i * d..][..d]));
        syrk(DenseMut::column_major(&mut self.sums, d, d), true, Dense::row_major(&self.rows, m, d), 1.0);
        Ok(())
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(other.sums.iter()).for_each(|(sum, number)| *sum += number);
    }

    /// L, r x d, with L'L the best approximation of rank r to A'A, r one more than is wanted.
    pub fn factor(&self, context: &Context) -> Result<Numbers> {
        let (d, r) = (self.d, self.wanted);
        let mut copy = Mat::copy_of(Dense::column_major(&self.sums, d, d))?;
        let (values, vectors) = apart(context, 10.0 * (d as f64).powi(3), move || {
            let (mut values, mut vectors) = (zeros(r, "eigenvalues")?, Mat::zeros(d, r)?);
            let mut scratch = Scratch::new(leading_eigh_scratch(d, r))?;
            leading_eigh_into(copy.as_mut(), &mut values, vectors.as_mut(), &mut scratch)?;
            Ok((values, vectors))
        })?;
        let mut factor = Numbers::zeros(d * r)?;
        for at in 0..d * r {
            factor[at] = values[at / d].max(0.0).sqrt() * vectors[(at % d, at / d)];
        }
        Ok(factor)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.sums.len()
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.sums.scale(factor * factor);
    }
}
