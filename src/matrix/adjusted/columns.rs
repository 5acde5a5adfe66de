//! One number for every column of an adjusted matrix.

use super::Adjusted;
use crate::error::Result;
use crate::matrix::keep_larger;
use crate::matrix::sums::sum_over_tiles;
use crate::matrix::{Axis, Buffer, ColumnNorms, Dense, Matrix, Products, Real, Sparse};
use crate::parallel::Context;

impl<T: Real> ColumnNorms for Adjusted<Dense<'_, T>> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        sum_over_tiles(context, self, square, add)
    }
}

/// A column that centring leaves next to nothing of is taken to have the rounding of what it was.
impl<T: Real> ColumnNorms for Adjusted<Sparse<'_, T>> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        self.squares_of_stored(context, &self.source)
    }
}

impl<T: Real> ColumnNorms for Adjusted<Matrix<'_, T>> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        match &self.source {
            Matrix::Dense(_) => sum_over_tiles(context, self, square, add),
            Matrix::Sparse(a) => self.squares_of_stored(context, a),
        }
    }
}

impl<T: Real> Adjusted<Matrix<'_, T>> {
    /// The largest magnitude in every column; NaN, or an infinity, where an entry is. What is not stored of a sparse
    /// matrix counts as if it lay in the heaviest row.
    pub fn largest_in_columns(&self, context: &Context) -> Result<Buffer<f64>> {
        let a = match &self.source {
            Matrix::Dense(_) => return sum_over_tiles(context, self, |_, _, value| value.abs(), keep_larger),
            Matrix::Sparse(a) => a,
        };
        let magnitude = |row, j, value| (self.root_weight(row) * self.centred(j, value)).abs();
        let mut largest = a.sum_over_entries(context, magnitude, keep_larger)?;
        if self.means.is_some() {
            let stored = a.sum_over_entries(context, |_, _, _| 1.0, add)?;
            let heaviest = self.heaviest(context)?;
            for j in (0..a.ncols()).filter(|&j| stored[j] < a.nrows() as f64) {
                keep_larger(&mut largest[j], (heaviest * self.centred(j, 0.0)).abs());
            }
        }
        Ok(largest)
    }
}

impl<S: Products> Adjusted<S> {
    /// Squared norms of the columns by the stored entries alone.
    fn squares_of_stored<T: Real>(&self, context: &Context, a: &Sparse<'_, T>) -> Result<Buffer<f64>> {
        let entry = |row, j, value: f64| square(row, j, self.root_weight(row) * value * self.scale_of(j));
        let mut squares = match (a.axis(), &self.scale) {
            (Axis::Rows, None) => a.sum_over_lines(context, |rows, squares| {
                let roots = self.root_weights.as_ref().map(|roots| &roots[rows.clone()]);
                a.add_squares(rows, roots, squares);
            })?,
            _ => a.sum_over_entries(context, entry, add)?,
        };
        if let Some(means) = &self.means {
            let norm = self.weight_norm(context)?;
            for (j, square) in squares.iter_mut().enumerate() {
                let removed = (norm * means[j] * self.scale_of(j)).powi(2);
                *square = (*square - removed).max(f64::EPSILON * *square);
            }
        }
        Ok(squares)
    }
}

fn square(_: usize, _: usize, value: f64) -> f64 {
    value * value
}

fn add(sum: &mut f64, value: f64) {
    *sum += value;
}
