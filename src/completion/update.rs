//! A model that learns of more observations: their rows and columns are solved for again, the others stay as they are.

use super::factors::Factor;
use super::half::{Method, solve_lines};
use super::model::Model;
use super::observations::{Observations, in_units, out_of_range};
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::{Indices, Repeated, Triplets};
use crate::memory::{filled, push, room_for, zeros};
use crate::parallel::Context;

/// What memory is for.
const OBSERVED: &str = "old and new observations";

/// More observations of a matrix that may have grown.
pub struct More<'a, V> {
    /// The observations, in the numbers that rows and columns have in the end.
    pub entries: Triplets<'a, V>,
    /// Their weights, if these are not all one.
    pub weights: Option<&'a [V]>,
    /// The numbers of the rows and of the columns that the model has, in increasing order.
    pub places: [&'a [i64]; 2],
    /// What becomes of several entries for one place, old ones among them.
    pub repeated: Repeated,
}

impl<T: Scalar> Model<T> {
    /// The model after so many sweeps over the rows and columns that have been observed, in the units that it has.
    pub fn partial_fit<V: Scalar>(
        &self,
        context: &Context,
        more: &More<'_, V>,
        sweeps: usize,
    ) -> Result<Self> {
        let observed = self.observed_with(context, more)?;
        let (entries, [of_rows, of_columns]) = (&more.entries, more.places);
        let mut rows = moved(&self.rows, of_rows, entries.shape.0, "rows")?;
        let mut columns = moved(&self.columns, of_columns, entries.shape.1, "cols")?;
        let [touched_rows, touched_columns] =
            [touched(context, entries.rows, rows.count)?, touched(context, entries.columns, columns.count)?];
        let mut new: Vec<bool> = filled(true, columns.count, OBSERVED)?;
        of_columns.iter().for_each(|&j| new[j as usize] = false);
        let method = if self.nonnegative { Method::NonNegative } else { Method::Exact };
        // Between a new row and a new column that are zero both, nothing would ever happen.
        solve_lines(context, &observed.columns, (&mut columns, &rows), self.penalty, method, &new)?;
        for _ in 0..sweeps {
            solve_lines(context, &observed.rows, (&mut rows, &columns), self.penalty, method, &touched_rows)?;
            let factors = (&mut columns, &rows);
            solve_lines(context, &observed.columns, factors, self.penalty, method, &touched_columns)?;
        }
        solve_lines(context, &observed.rows, (&mut rows, &columns), self.penalty, method, &touched_rows)?;
        let model = Self::new(context, observed, rows, columns, self.penalty)?;
        Ok(Self { nonnegative: self.nonnegative, ..model })
    }

    /// What was observed before, and what has been now.
    fn observed_with<V: Scalar>(&self, context: &Context, more: &More<'_, V>) -> Result<Observations<T>> {
        let Triplets { argument, shape, rows, columns, values } = more.entries;
        let count = self.values.len() + values.len();
        let [mut of_rows, mut of_columns] = [room_for(count, OBSERVED)?, room_for(count, OBSERVED)?];
        let mut all: Vec<T> = room_for(count, OBSERVED)?;
        let [row_places, column_places] = more.places;
        for (ends, &row) in self.seen.ends.windows(2).zip(row_places) {
            for at in ends[0] as usize..ends[1] as usize {
                push(&mut of_rows, row, OBSERVED)?;
                push(&mut of_columns, column_places[self.seen.columns[at] as usize], OBSERVED)?;
                push(&mut all, self.values[at], OBSERVED)?;
            }
        }
        for piece in context.pieces(0..values.len()) {
            for k in piece? {
                let value = values[k].to_f64();
                if !value.is_finite() {
                    return Err(Error::non_finite(argument, value, format!("[{k}]")));
                }
                let stored = T::from_f64(in_units(value, self.mean, self.scale));
                if !stored.to_f64().is_finite() {
                    return Err(out_of_range(argument, value, k));
                }
                push(&mut of_rows, rows.get(k) as i64, OBSERVED)?;
                push(&mut of_columns, columns.get(k) as i64, OBSERVED)?;
                push(&mut all, stored, OBSERVED)?;
            }
        }
        let weights = self.weights_with(more)?;
        let (rows, columns) = (Indices::I64(&of_rows), Indices::I64(&of_columns));
        let entries = Triplets { argument, shape, rows, columns, values: &all };
        Observations::in_units(context, &entries, weights.as_deref(), more.repeated, (self.mean, self.scale))
    }

    /// The weights of old and new observations, if these are not all one.
    fn weights_with<V: Scalar>(&self, more: &More<'_, V>) -> Result<Option<Vec<T>>> {
        if self.weights.is_none() && more.weights.is_none() {
            return Ok(None);
        }
        let mut all = room_for(self.values.len() + more.entries.values.len(), OBSERVED)?;
        for k in 0..self.values.len() {
            let weight = self.weights.as_ref().map_or(T::from_f64(1.0), |weights| weights[k]);
            push(&mut all, weight, OBSERVED)?;
        }
        for k in 0..more.entries.values.len() {
            let weight = more.weights.map_or(1.0, |weights| weights[k].to_f64());
            push(&mut all, T::from_f64(weight), OBSERVED)?;
        }
        Ok(Some(all))
    }
}

/// A factor with more rows, in which those that there are have these numbers.
fn moved<T: Scalar>(
    factor: &Factor<T>,
    places: &[i64],
    count: usize,
    argument: &'static str,
) -> Result<Factor<T>> {
    let inside = places.iter().all(|&place| usize::try_from(place).is_ok_and(|place| place < count));
    if places.len() != factor.count || !inside || !places.is_sorted_by(|left, right| left < right) {
        let found = format!("{} numbers", places.len());
        return Err(Error::value(argument, found, format!("{} in increasing order", factor.count)));
    }
    let mut out = Factor::zeros(count, factor.rank)?;
    for (i, &place) in places.iter().enumerate() {
        let place = place as usize;
        out.rows[place * factor.stride..][..factor.stride].copy_from_slice(factor.row(i));
        out.bias[place] = factor.bias[i];
    }
    Ok(out)
}

/// Which of so many lines are among these.
fn touched(context: &Context, lines: Indices<'_>, count: usize) -> Result<Vec<bool>> {
    let mut marks = zeros(count, OBSERVED)?;
    for piece in context.pieces(0..lines.len()) {
        for k in piece? {
            marks[lines.get(k)] = true;
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::fit;
    use crate::completion::testing::{low_rank, observed, params, rows_of};

    #[test]
    fn touched_rows_are_solved_for_with_all_that_was_observed_in_them() {
        let (context, shape) = (Context::new(2), (60, 45));
        let cells = low_rank(shape, 3, 0.4, 0.1, 1);
        let (mut before, mut later) = (Vec::new(), Vec::new());
        for (k, cell) in cells.iter().enumerate() {
            if k % 3 == 0 { later.push(*cell) } else { before.push(*cell) }
        }
        let model = fit(&context, observed::<f64>(&context, shape, &before), &params()).unwrap().model;
        let parts = |cells: &[(usize, usize, f64)]| {
            let of = |f: fn(&(usize, usize, f64)) -> i64| cells.iter().map(f).collect::<Vec<i64>>();
            (of(|cell| cell.0 as i64), of(|cell| cell.1 as i64), cells.iter().map(|cell| cell.2).collect())
        };
        let (rows, columns, values): (Vec<i64>, Vec<i64>, Vec<f64>) = parts(&later);
        let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
        let entries = Triplets { argument: "values", shape: (62, 45), rows, columns, values: &values };
        let (of_rows, of_columns): (Vec<i64>, Vec<i64>) = ((0..60).collect(), (0..45).collect());
        let more = |places| More { entries, weights: None, places, repeated: Repeated::Refuse };
        let updated = model.partial_fit(&context, &more([&of_rows, &of_columns]), 1).unwrap();
        assert_eq!((updated.rows.count, updated.values.len()), (62, cells.len()));
        let (rows, columns, values): (Vec<i64>, Vec<i64>, Vec<f64>) = parts(&cells);
        let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
        let all = Triplets { argument: "X", shape, rows, columns, values: &values };
        let units = (updated.mean, updated.scale);
        let folded = updated.fold_in(&context, rows_of(&context, &all, units)).unwrap();
        for i in 0..60 {
            for (x, y) in folded.row(i).iter().zip(updated.rows.row(i)) {
                assert!((x - y).abs() < 1e-9, "row {i}: {x} {y}");
            }
        }
        assert!(updated.rows.row(61).iter().all(|&x| x == 0.0));
        // Numbers that are no order of what there is.
        let (short, twice): (Vec<i64>, Vec<i64>) = ((0..59).collect(), (0..60).map(|i| i / 2).collect());
        for places in [&short, &twice] {
            assert!(model.partial_fit(&context, &more([places, &of_columns]), 1).is_err());
        }
    }
}
