//! A factor: a row of numbers, and perhaps a bias, for every row or every column of the matrix.

use super::kernels::gather;
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::{Buffer, Indices};
use crate::memory::{collected, copied, zeros};

/// In single and in double precision, numbers of which products that are made in it are in range, as are sums of these.
const LARGEST: [f64; 2] = [1e15, 1e70];
/// What memory is for.
const FACTORS: &str = "the factors";

/// Rows of `rank` numbers, filled up with zeros to a multiple of the lanes: see `kernels`.
pub struct Factor<T> {
    /// How many rows there are.
    pub count: usize,
    /// Numbers of a row that are of the model.
    pub rank: usize,
    /// From one row to the next.
    pub stride: usize,
    /// All rows.
    pub rows: Buffer<T>,
    /// A bias for each row; zeros in a model without.
    pub bias: Vec<T>,
}

/// From one row to the next.
pub fn stride_of<T>(rank: usize) -> usize {
    rank.next_multiple_of(64 / size_of::<T>())
}

impl<T: Scalar> Factor<T> {
    /// Zeros.
    pub fn zeros(count: usize, rank: usize) -> Result<Self> {
        Self::with_room(count, rank, rank)
    }

    /// Zeros, with room for more components.
    pub fn with_room(count: usize, rank: usize, most: usize) -> Result<Self> {
        let stride = stride_of::<T>(most);
        let bytes = count as u128 * stride as u128 * size_of::<T>() as u128;
        let len = count.checked_mul(stride).ok_or(Error::Allocation { bytes, purpose: FACTORS })?;
        Ok(Self { count, rank, stride, rows: Buffer::zeros(len, FACTORS)?, bias: zeros(count, FACTORS)? })
    }

    /// Row `i`, with the zeros behind it.
    pub fn row(&self, i: usize) -> &[T] {
        &self.rows[i * self.stride..][..self.stride]
    }

    /// Copies the rows that these name, one after the other.
    pub fn gather(&self, indices: Indices<'_>, tile: &mut [T]) {
        match indices {
            Indices::I32(indices) => gather(&self.rows, self.stride, indices, tile),
            Indices::I64(indices) => gather(&self.rows, self.stride, indices, tile),
        }
    }

    /// With the rows and biases of another one, which may have another stride.
    pub fn filled_from(mut self, other: Self) -> Self {
        for (i, row) in self.rows.chunks_exact_mut(self.stride).enumerate() {
            row[..other.rank].copy_from_slice(&other.row(i)[..other.rank]);
        }
        self.bias = other.bias;
        self
    }

    /// A copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let (rows, bias) = (Buffer::copy_of(&self.rows, FACTORS)?, copied(&self.bias, FACTORS)?);
        Ok(Self { rows, bias, ..*self })
    }

    /// Becomes a copy of another of the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        self.rows.copy_from_slice(&other.rows);
        self.bias.copy_from_slice(&other.bias);
    }

    /// Has rows with numbers whose products are out of range be zero; whether there were any.
    pub fn keep_finite(&mut self) -> bool {
        let (mut left_out, largest) = (false, LARGEST[usize::from(T::as_f64(&[]).is_some())]);
        for (row, bias) in self.rows.chunks_exact_mut(self.stride).zip(&mut self.bias) {
            // NaN is none of these.
            if !row.iter().chain(std::iter::once(&*bias)).all(|x| x.to_f64().abs() < largest) {
                row.fill(T::default());
                *bias = T::default();
                left_out = true;
            }
        }
        left_out
    }

    /// The same in double precision.
    pub fn widened(&self) -> Result<Factor<f64>> {
        let mut wide = Factor::zeros(self.count, self.rank)?;
        for i in 0..self.count {
            let row = &mut wide.rows[i * wide.stride..][..self.rank];
            row.iter_mut().zip(self.row(i)).for_each(|(wide, number)| *wide = number.to_f64());
        }
        wide.bias = collected(self.bias.iter().map(|bias| bias.to_f64()), FACTORS)?;
        Ok(wide)
    }

    /// Rows of the model without gaps, times a number.
    pub fn dense(&self, scale: f64) -> Result<Buffer<T>> {
        let mut out = Buffer::zeros(self.count * self.rank, FACTORS)?;
        for (i, out) in out.chunks_exact_mut(self.rank).enumerate() {
            out.iter_mut().zip(self.row(i)).for_each(|(out, x)| *out = T::from_f64(x.to_f64() * scale));
        }
        Ok(out)
    }
}
