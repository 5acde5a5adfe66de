//! How far entries to come may be from what is predicted for a row that is folded in.
//!
//! If the errors of entries are independent, with one standard deviation σ, and the penalties are those of a prior that
//! holds, then an entry in a column z = (v_j, 1) is off its prediction by σ √(1 + z'(A'A + Λ)⁻¹ z), where the rows of A are
//! the columns that were observed and Λ are the penalties: what is not known of the columns themselves is not counted.

use super::factors::Factor;
use super::kernels::form;
use super::model::Model;
use super::observations::{Lines, Part};
use super::sums::{Fixed, Line, Part as Sum, Sums, Worker, sum_up};
use crate::error::{Error, Result};
use crate::linalg::{Scalar, cholesky, invert_upper};
use crate::matrix::{Buffer, Mat};
use crate::parallel::Context;
use crate::simd::dot;
use std::convert::identity;

/// What memory is for.
const DEVIATIONS: &str = "standard deviations of predictions";

impl<T: Scalar> Model<T> {
    /// Standard deviations of entries in all columns of rows of which these entries were observed, over that of their errors;
    /// infinite where neither entries nor penalties determine a row.
    pub fn deviations(&self, context: &Context, lines: &Lines<f64>) -> Result<Buffer<f64>> {
        lines.check_width(self.columns.count)?;
        let columns = self.columns.widened()?;
        let fixed = Fixed::new(&columns, self.penalty.bias.is_some())?;
        let len = lines.count().checked_mul(columns.count);
        let bytes = lines.count() as u128 * columns.count as u128 * 8;
        let len = len.ok_or(Error::Allocation { bytes, purpose: DEVIATIONS })?;
        let mut out = Buffer::zeros(len, DEVIATIONS)?;
        let parts = out.chunks_mut(columns.count.max(1));
        let work = |kept: &mut Option<Scratch>, line: usize, out: &mut [f64]| {
            let mut scratch = kept.take().map_or_else(|| Scratch::new(&columns), Ok)?;
            let done = self.deviations_of(&fixed, lines, line, &mut scratch, out);
            *kept = Some(scratch);
            done
        };
        context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)?;
        Ok(out)
    }

    fn deviations_of(
        &self,
        fixed: &Fixed<'_, f64>,
        lines: &Lines<f64>,
        line: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> Result<()> {
        let Scratch { worker, sums, inverse } = scratch;
        let (at, rank, stride) = (lines.line(line, Part::All), fixed.factor.rank, fixed.factor.stride);
        let matrix = lines.matrix();
        let (indices, values) = (matrix.indices().part(at.clone()), &matrix.values()[at]);
        let line = Line { indices, values, roots: None };
        // A row without entries is one of which the model knows nothing but its penalties.
        let ridge = self.penalty.of(line.weight().max(1.0));
        sum_up(worker, sums, fixed, &line, Sums::Normal, None, None)?;
        let order = fixed.order();
        let (mut system, mut side) = (Mat::zeros(order, order)?, Buffer::zeros(order, DEVIATIONS)?);
        sums.lay_out(rank, ridge, line.weight(), system.as_mut_slice(), &mut side);
        let Some(upper) = cholesky(&system)? else {
            out.fill(f64::INFINITY);
            return Ok(());
        };
        // (R'R)⁻¹ = R⁻¹ R⁻ᵀ
        let upper = invert_upper(upper.as_ref())?;
        let entry =
            |i: usize, j: usize| (i.max(j)..order).map(|k| upper[(i, k)] * upper[(j, k)]).sum::<f64>();
        for i in 0..rank {
            (0..rank).for_each(|j| inverse[i * stride + j] = entry(i, j));
        }
        let (mut across, mut constant) = (Buffer::zeros(stride, DEVIATIONS)?, 0.0);
        if order > rank {
            (0..rank).for_each(|i| across[i] = entry(i, rank));
            constant = entry(rank, rank);
        }
        for (j, out) in out.iter_mut().enumerate() {
            let column = fixed.factor.row(j);
            let form = form(inverse, stride, rank, column) + 2.0 * dot(column, &across) + constant;
            *out = (1.0 + form.max(0.0)).sqrt();
        }
        Ok(())
    }
}

/// Memory that a worker uses again and again.
struct Scratch {
    worker: Worker<f64>,
    sums: Sum<f64>,
    /// (A'A + Λ)⁻¹ but for the bias, rows of which are as long as those of the factor.
    inverse: Buffer<f64>,
}

impl Scratch {
    fn new(columns: &Factor<f64>) -> Result<Self> {
        let Factor { rank, stride, .. } = *columns;
        Ok(Self {
            worker: Worker::new(rank, stride, false)?,
            sums: Sum::new(rank, stride)?,
            inverse: Buffer::zeros(rank.next_multiple_of(8) * stride, DEVIATIONS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed, params, rows_of};
    use crate::completion::{Penalty, fit};
    use crate::matrix::{Indices, Triplets};

    #[test]
    fn they_are_one_where_nothing_is_to_be_found_and_fall_with_every_entry() {
        let (context, shape) = (Context::new(2), (60, 45));
        let cells = low_rank(shape, 3, 0.4, 0.1, 1);
        let model = fit(&context, observed::<f32>(&context, shape, &cells), &params()).unwrap().model;
        // Row i has i entries.
        let places: Vec<(i64, i32)> = (0..20).flat_map(|i| (0..i).map(move |j| (i, 2 * j as i32))).collect();
        let (rows, columns): (Vec<i64>, Vec<i32>) = places.into_iter().unzip();
        let values: Vec<f64> = (0..rows.len()).map(|k| (k as f64).sin()).collect();
        let (rows, columns) = (Indices::I64(&rows), Indices::I32(&columns));
        let entries = Triplets { argument: "X", shape: (20, 45), rows, columns, values: &values };
        let lines = rows_of(&context, &entries, (model.mean, model.scale));
        let exponent = Penalty { exponent: 0.0, ..model.penalty };
        let found = Model { penalty: exponent, ..model }.deviations(&context, &lines).unwrap();
        assert_eq!(found.len(), 20 * 45);
        for (above, below) in found.chunks(45).zip(found.chunks(45).skip(1)) {
            assert!(above.iter().zip(below).all(|(above, below)| above > below && *below > 1.0));
        }
    }
}
