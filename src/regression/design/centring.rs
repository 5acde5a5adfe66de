//! Means right to rounding, and the columns that are their mean and nothing else.
//!
//! A combination of columns that is constant has to vanish when it is centred, to the last bit but one: what a mean is
//! off by stays in every row, and looks like data. So sums are carried in twice the working precision, of weights that
//! are divided by powers of two until their sum is below one and nothing overflows.

use crate::error::Result;
use crate::linalg::RCOND;
use crate::matrix::{Buffer, Dense, Matrix, Real, Rows, Source, TILE_ROWS, power_of_two_below};
use crate::memory::collected;
use crate::parallel::Context;
use crate::simd::{Extended, add_product, dot_extended, kernel};
use std::ops::Range;

/// What one read of A and B tells of their columns.
pub(crate) struct Centre {
    /// Of the columns of A.
    pub means: Vec<f64>,
    /// Of the targets.
    pub target_means: Vec<f64>,
    /// Columns that are constant but for rounding.
    pub constant: Vec<usize>,
}

/// Weighted means. Entries that are not finite leave a mean that is not.
pub(crate) fn centre<T: Real>(
    context: &Context,
    matrix: &Matrix<'_, T>,
    targets: Dense<'_, T>,
    weights: Option<&[f64]>,
    blocks: &[Range<usize>],
) -> Result<Centre> {
    let (n, d, k) = (matrix.nrows(), matrix.ncols(), targets.ncols());
    let shares = Shares::new(context, n, weights)?;
    let about = About::new(matrix, shares.heaviest)?;
    let columns = targets.t();
    let part = |buffer: &mut Vec<f64>, block: usize| {
        let mut sums = Sums::new(d, k)?;
        let rows = blocks[block].clone();
        let of_rows = |part: &Range<usize>| -> [f64; TILE_ROWS] {
            std::array::from_fn(|i| shares.of((part.start + i).min(part.end - 1)))
        };
        let tiles = || {
            let starts = rows.clone().step_by(TILE_ROWS);
            starts.map(|start| start..(start + TILE_ROWS).min(rows.end))
        };
        match matrix {
            Matrix::Sparse(matrix) => matrix.visit_rows(rows.clone(), |i, j, value| {
                sums.add_entry(j, shares.of(rows.start + i), value, &about);
            }),
            Matrix::Dense(matrix) => {
                let step = (ROWS_AT_ONCE / d.max(1)).clamp(4, TILE_ROWS);
                for part in tiles() {
                    let tile = matrix.tile(part.clone(), 0..d, buffer)?;
                    let shares = &of_rows(&part)[..part.len()];
                    for (first, shares) in (0..).step_by(step).zip(shares.chunks(step)) {
                        add_rows(tile.rows(first..first + shares.len()), shares, &about, &mut sums);
                    }
                }
            }
        }
        for part in tiles() {
            let shares = &of_rows(&part)[..part.len()];
            let columns = columns.tile(0..k, part.clone(), buffer)?;
            for target in 0..k {
                sums.absorb_sum(d + target, dot_extended(columns.stored_row(target), shares));
            }
        }
        Ok(sums)
    };
    let mut sums = Sums::new(d, k)?;
    context.fold_with(blocks.len(), Vec::new, part, |part| sums.absorb(&part))?;
    let mean = |column: usize| ratio(sums.sum(column), shares.total);
    let full = |column: usize| {
        // Entries that are not stored are no deviations from zero.
        matrix.stored().is_none() || about.row[column] == 0.0 || sums.stored[column] == shares.present
    };
    let is_constant = |&column: &usize| {
        let (unit, mean) = (about.units[column], mean(column));
        let moved = (mean - about.row[column]) * unit;
        let spread = sums.squares[column] / shares.total.high - moved * moved;
        full(column) && spread <= (RCOND * mean * unit).powi(2)
    };
    Ok(Centre {
        means: collected((0..d).map(mean), "means of columns")?,
        target_means: collected((d..d + k).map(mean), "means of columns")?,
        constant: collected((0..d).filter(is_constant), "constant columns")?,
    })
}

/// Weights over powers of two, which keep them exact, so that they sum up to less than one.
struct Shares<'a> {
    weights: Option<&'a [f64]>,
    /// One over the powers; their product may be out of range.
    units: [f64; 2],
    total: Extended,
    /// A row of the largest weight.
    heaviest: usize,
    /// Number of rows of positive weight.
    present: f64,
}

impl<'a> Shares<'a> {
    fn new(context: &Context, n: usize, weights: Option<&'a [f64]>) -> Result<Self> {
        let count = (2.0 * n as f64).log2().ceil().exp2().recip();
        let Some(given) = weights else {
            let total = Extended::from(n as f64 * count);
            return Ok(Self { weights, units: [1.0, count], total, heaviest: 0, present: n as f64 });
        };
        let mut heaviest = 0;
        for rows in context.pieces(0..n) {
            heaviest = rows?.fold(heaviest, |best, row| if given[row] > given[best] { row } else { best });
        }
        let units = [power_of_two_below(given[heaviest]).recip(), count];
        let mut shares = Self { weights, units, total: Extended::default(), heaviest, present: 0.0 };
        for rows in context.pieces(0..n) {
            for row in rows? {
                shares.total.add(shares.of(row));
                shares.present += f64::from(shares.of(row) > 0.0);
            }
        }
        shares.total = shares.total.normalised();
        Ok(shares)
    }

    fn of(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row]) * self.units[0] * self.units[1]
    }
}

/// A row of large weight, from which deviations are counted.
struct About {
    row: Buffer<f64>,
    /// Powers of two that bring its entries near one, as large as can be for those that are zero: no deviation from them
    /// is rounding.
    units: Buffer<f64>,
}

impl About {
    fn new<T: Real>(matrix: &Matrix<'_, T>, row: usize) -> Result<Self> {
        let what = "a row of the matrix";
        let d = matrix.ncols();
        let mut about = Self { row: Buffer::zeros(d, what)?, units: Buffer::zeros(d, what)? };
        about.row.copy_from_slice(matrix.tile(row..row + 1, 0..d, &mut Vec::new())?.stored_row(0));
        let units = about.units.iter_mut().zip(&about.row[..]);
        units.for_each(|(unit, &value)| {
            *unit = if value == 0.0 { 2f64.powi(1023) } else { power_of_two_below(value.abs()).recip() };
        });
        Ok(about)
    }
}

/// Weighted sums over rows of the columns of A, and after them of B.
struct Sums {
    high: Buffer<f64>,
    low: Buffer<f64>,
    /// Of squared deviations, in the units of [`About`].
    squares: Buffer<f64>,
    /// Entries that a sparse matrix has in rows of positive weight.
    stored: Buffer<f64>,
}

impl Sums {
    fn new(d: usize, k: usize) -> Result<Self> {
        let what = "sums of columns";
        Ok(Self {
            high: Buffer::zeros(d + k, what)?,
            low: Buffer::zeros(d + k, what)?,
            squares: Buffer::zeros(d, what)?,
            stored: Buffer::zeros(d, what)?,
        })
    }

    fn sum(&self, column: usize) -> Extended {
        Extended { high: self.high[column], low: self.low[column] }
    }

    fn set(&mut self, column: usize, sum: Extended) {
        (self.high[column], self.low[column]) = (sum.high, sum.low);
    }

    fn add_entry(&mut self, column: usize, share: f64, value: f64, about: &About) {
        self.add(column, share, value);
        if share > 0.0 {
            let deviation = (value - about.row[column]) * about.units[column];
            self.squares[column] += share * deviation * deviation;
            self.stored[column] += 1.0;
        }
    }

    fn add(&mut self, column: usize, share: f64, value: f64) {
        let mut sum = self.sum(column);
        sum.add_multiple(share, Extended::from(value));
        self.set(column, sum);
    }

    fn absorb(&mut self, other: &Self) {
        (0..self.high.len()).for_each(|column| self.absorb_sum(column, other.sum(column)));
        self.squares.iter_mut().zip(&other.squares[..]).for_each(|(sum, part)| *sum += part);
        self.stored.iter_mut().zip(&other.stored[..]).for_each(|(sum, part)| *sum += part);
    }

    fn absorb_sum(&mut self, column: usize, part: Extended) {
        let mut sum = self.sum(column);
        sum.add(part.high);
        sum.low += part.low;
        self.set(column, sum);
    }
}

/// Entries of rows that are added up eight columns after eight columns: what the second cache holds some of.
const ROWS_AT_ONCE: usize = 1 << 14;

kernel! {
    /// Adds rows, each times its share, to the sums and the squares, which stay in registers.
    fn add_rows<V>(rows: Dense<'_, f64>, shares: &[f64], about: &About, sums: &mut Sums) {
        let d = rows.ncols();
        for start in (0..d).step_by(8) {
            let columns = start..d.min(start + 8);
            let (at, units) = (V::load_head(&about.row[columns.clone()]), V::load_head(&about.units[columns.clone()]));
            let (high, low) = (&mut sums.high[columns.clone()], &mut sums.low[columns.clone()]);
            let squares = &mut sums.squares[columns.clone()];
            let mut sum = (V::load_head(high), V::load_head(low));
            let mut square = V::load_head(squares);
            for (row, &share) in (0..rows.nrows()).map(|i| rows.stored_row(i)).zip(shares) {
                let (row, of_row) = (V::load_head(&row[columns.clone()]), V::splat(share));
                sum = add_product(sum, row, of_row);
                if share > 0.0 {
                    let deviation = row.sub(at).mul(units);
                    square = of_row.mul(deviation).mul_add(deviation, square);
                }
            }
            sum.0.store_head(high);
            sum.1.store_head(low);
            square.store_head(squares);
        }
    }
}

/// a / b to the nearest number, or its neighbour.
fn ratio(a: Extended, b: Extended) -> f64 {
    let quotient = a.value() / b.value();
    let rest = (-quotient).mul_add(b.high, a.high) + (a.low - quotient * b.low);
    quotient + rest / b.high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;

    fn centred(a: &Mat<f64>, weights: Option<&[f64]>) -> Centre {
        let blocks = [0..a.nrows() / 3, a.nrows() / 3..a.nrows()];
        centre(&Context::new(1), &Matrix::Dense(a.as_ref()), a.as_ref(), weights, &blocks).unwrap()
    }

    #[test]
    fn means_are_right_to_rounding() {
        let n = 30_000;
        let value = |i: usize, j: usize| match j {
            0 => 0.1,
            1 => f64::from(i.is_multiple_of(3)),
            _ => 1e6 + (i % 7) as f64,
        };
        let a = Mat::from_fn(n, 3, value).unwrap();
        let weights: Vec<f64> = (0..n).map(|i| if i < n / 3 { 0.1 } else { 1.7e308 }).collect();
        for weights in [None, Some(&weights[..]), Some(&vec![1.7e308; n][..])] {
            let found = centred(&a, weights);
            let first = if weights.is_some_and(|w| w[0] < 1.0) { n / 3 } else { 0 };
            let counted = (n - first) as f64;
            for (j, mean) in found.means.iter().enumerate() {
                // Whole numbers sum up exactly.
                let right = match j {
                    0 => 0.1,
                    _ => (first..n).map(|i| value(i, j)).sum::<f64>() / counted,
                };
                assert!((mean - right).abs() <= f64::EPSILON * right, "{j}: {mean} for {right}");
            }
            assert_eq!(found.means, found.target_means);
            assert_eq!(found.constant, [0]);
        }
    }

    #[test]
    fn spread_above_rounding_is_data() {
        let wave = |i: usize| (i as f64 * 0.7).sin();
        let scales = [1.0, 1e-6, 1e-13, 1e-15, 0.0];
        let a = Mat::from_fn(5000, 5, |i, j| 1e-200 * (1.0 + scales[j] * wave(i))).unwrap();
        assert_eq!(centred(&a, None).constant, [3, 4]);
        let sizes = [0.0, 1e-200, 5e-324, 1e300];
        let zeros = Mat::from_fn(50, 4, |i, j| f64::from(i > 0) * sizes[j]).unwrap();
        assert_eq!(centred(&zeros, None).constant, [0]);
        // Rows of weight zero are no data.
        let weights: Vec<f64> = (0..50).map(|i| f64::from(i == 0)).collect();
        assert_eq!(centred(&zeros, Some(&weights)).constant, [0, 1, 2, 3]);
    }
}
