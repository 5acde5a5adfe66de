//! A fitted model: predictions, rows that were not there, the best columns of a row, bytes.

use super::determined::{Determined, UNDETERMINED};
use super::factors::Factor;
use super::half::{Method, Penalty, half_sweep};
use super::kernels::dots;
use super::least_norm::least_norm;
use super::observations::{Lines, Observations, Part};
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::Buffer;
use crate::memory::{collected, filled, push, reset, room_for, zeros};
use crate::parallel::Context;
use std::convert::identity;

/// Pairs, or rows of a factor, that are worked on at a time.
const BLOCK: usize = 1 << 12;
/// Times that rows with entries which count less are solved for.
const REWEIGHTED: usize = 50;
/// What memory is for.
const PREDICTIONS: &str = "predictions";
/// What memory is for.
const SEEN: &str = "what was observed";

/// mean + scale (b_i + c_j + u_i'v_j)
pub struct Model<T> {
    /// u and b.
    pub rows: Factor<T>,
    /// v and c.
    pub columns: Factor<T>,
    /// What was subtracted.
    pub mean: f64,
    /// Standard deviation of the values.
    pub scale: f64,
    /// What lines were penalised by.
    pub penalty: Penalty,
    /// What is left out of rankings.
    pub seen: Seen,
    /// What was observed there, in units of the model.
    pub values: Vec<T>,
    /// With these weights, if they are not all one.
    pub weights: Option<Vec<T>>,
    /// Whether no number of the factors is below zero.
    pub nonnegative: bool,
    /// The error beyond which an entry counts less, if there is one.
    pub delta: Option<f64>,
    /// What is predicted, of a fit without noise: NaN stands for the rest.
    pub determined: Option<Determined>,
}

/// The columns that were observed in each row.
pub struct Seen {
    /// Where rows begin and end.
    pub ends: Vec<u64>,
    /// The columns.
    pub columns: Vec<u32>,
}

impl Seen {
    /// Of all entries.
    pub fn of<T: Scalar>(context: &Context, lines: &Lines<T>) -> Result<Self> {
        let matrix = lines.matrix();
        let mut columns = room_for(matrix.nnz(), SEEN)?;
        for piece in context.pieces(0..matrix.nnz()) {
            let positions = piece?;
            let mut stored = Ok(());
            matrix.visit(positions, |j, _| {
                stored = stored.clone().and_then(|()| push(&mut columns, j as u32, SEEN));
            });
            stored?;
        }
        let ends = matrix.ends();
        let ends = collected((0..ends.len()).map(|k| ends.get(k) as u64), SEEN)?;
        Ok(Self { ends, columns })
    }

    fn of_row(&self, i: usize) -> &[u32] {
        &self.columns[self.ends[i] as usize..self.ends[i + 1] as usize]
    }
}

impl<T: Scalar> Model<T> {
    /// Of what was observed.
    pub fn new(
        context: &Context,
        observed: Observations<T>,
        rows: Factor<T>,
        columns: Factor<T>,
        penalty: Penalty,
    ) -> Result<Self> {
        let Observations { mean, scale, rows: lines, columns: others } = observed;
        drop(others);
        let seen = Seen::of(context, &lines)?;
        let (values, weights) = lines.into_values();
        Ok(Self {
            rows,
            columns,
            mean,
            scale,
            penalty,
            seen,
            values,
            weights,
            nonnegative: false,
            delta: None,
            determined: None,
        })
    }

    /// Of a matrix without rows and columns.
    pub fn empty() -> Result<Self> {
        Ok(Self {
            rows: Factor::zeros(0, 1)?,
            columns: Factor::zeros(0, 1)?,
            mean: 0.0,
            scale: 1.0,
            penalty: Penalty { factor: 0.0, bias: None, exponent: 0.0 },
            seen: Seen { ends: zeros(1, SEEN)?, columns: Vec::new() },
            values: Vec::new(),
            weights: None,
            nonnegative: false,
            delta: None,
            determined: None,
        })
    }

    /// How many entries were observed in each row and in each column.
    pub fn degrees(&self) -> Result<[Vec<i64>; 2]> {
        let rows = collected(self.seen.ends.windows(2).map(|ends| (ends[1] - ends[0]) as i64), SEEN)?;
        let mut columns = zeros(self.columns.count, SEEN)?;
        self.seen.columns.iter().for_each(|&j| columns[j as usize] += 1);
        Ok([rows, columns])
    }

    /// Predictions for pairs of a row and a column; a negative number is one that the model does not know, which has no
    /// factor and no bias. What is not determined is NaN unless `all` is asked for.
    pub fn predict(&self, context: &Context, rows: &[i64], columns: &[i64], all: bool) -> Result<Vec<f64>> {
        let holds = |i: Option<usize>, j: Option<usize>| match &self.determined {
            Some(determined) if !all => i.zip(j).is_some_and(|(i, j)| determined.holds(i, j)),
            _ => true,
        };
        let place =
            |numbers: &[i64], count: usize, argument| match numbers.iter().find(|&&k| k >= count as i64) {
                Some(k) => {
                    Err(Error::value(argument, format!("a list with {k}"), format!("numbers below {count}")))
                }
                None => Ok(()),
            };
        place(rows, self.rows.count, "rows")?;
        place(columns, self.columns.count, "columns")?;
        if rows.len() != columns.len() {
            return Err(Error::shape(
                "columns",
                format!("{} entries", columns.len()),
                format!("{} entries", rows.len()),
            ));
        }
        let mut out = zeros(rows.len(), PREDICTIONS)?;
        let parts = out.chunks_mut(BLOCK).zip(rows.chunks(BLOCK).zip(columns.chunks(BLOCK)));
        let known = |k: i64| usize::try_from(k).ok();
        context.map_parts(
            parts,
            || (),
            |(), _, (out, (rows, columns)): (&mut [f64], (&[i64], &[i64]))| {
                for (out, (&i, &j)) in out.iter_mut().zip(rows.iter().zip(columns)) {
                    let (i, j, mut product) = (known(i), known(j), [T::default()]);
                    if !holds(i, j) {
                        *out = f64::NAN;
                        continue;
                    }
                    if let (Some(i), Some(j)) = (i, j) {
                        dots(self.rows.row(i), self.rows.stride, self.columns.row(j), &mut product);
                    }
                    let row = i.map_or(0.0, |i| self.rows.bias[i].to_f64());
                    let column = j.map_or(0.0, |j| self.columns.bias[j].to_f64());
                    *out = self.in_values(row + column + product[0].to_f64());
                }
            },
        )?;
        Ok(out)
    }

    /// What a number in units of the model is in those of the values.
    fn in_values(&self, x: f64) -> f64 {
        // Either term may be out of range where their sum is not.
        let half = if self.scale > 1.0 { 0.5 } else { 1.0 };
        (half * self.mean + half * self.scale * x) / half
    }

    /// Predictions for all columns of a row.
    fn predict_row(&self, i: usize, all: bool, products: &mut [T], out: &mut [f64]) {
        dots(&self.columns.rows, self.columns.stride, self.rows.row(i), products);
        let bias = self.rows.bias[i].to_f64();
        for ((out, product), column) in out.iter_mut().zip(products).zip(&self.columns.bias) {
            *out = self.in_values(bias + column.to_f64() + product.to_f64());
        }
        if let (Some(determined), false) = (&self.determined, all) {
            let gaps = out.iter_mut().enumerate().filter(|(j, _)| !determined.holds(i, *j));
            gaps.for_each(|(_, out)| *out = f64::NAN);
        }
    }

    /// Predictions for all columns of some rows, row after row; what is not determined is NaN unless `all` is asked for.
    pub fn predict_rows(&self, context: &Context, rows: &[usize], all: bool) -> Result<Buffer<f64>> {
        let width = self.columns.count;
        let len = rows.len().saturating_mul(width);
        let mut out = Buffer::zeros(len, PREDICTIONS)?;
        let parts = out.chunks_mut(width.max(1)).zip(rows);
        let work = |products: &mut Vec<T>, _: usize, (out, &i): (&mut [f64], &usize)| {
            reset(products, width, PREDICTIONS)?;
            self.predict_row(i, all, products, out);
            Ok(())
        };
        context.map_parts(parts, Vec::new, work)?.into_iter().try_for_each(identity)?;
        Ok(out)
    }

    /// The `n` columns with the largest predictions of each row, the largest first, and these; of equal ones the first.
    /// Columns that were `excluded` because they were observed, and those there are not, are -1 with NaN.
    pub fn top_n(
        &self,
        context: &Context,
        rows: &[usize],
        n: usize,
        exclude_observed: bool,
    ) -> Result<(Vec<i64>, Vec<f64>)> {
        let len = rows.len().saturating_mul(n);
        let mut numbers = filled(-1, len, PREDICTIONS)?;
        let mut values = filled(f64::NAN, len, PREDICTIONS)?;
        let parts = numbers.chunks_mut(n).zip(values.chunks_mut(n)).zip(rows);
        let work = |scratch: &mut Ranking<T>,
                    _: usize,
                    ((numbers, values), &i): ((&mut [i64], &mut [f64]), &usize)| {
            scratch.prepare(self.columns.count)?;
            self.predict_row(i, false, &mut scratch.products, &mut scratch.scores);
            let seen = if exclude_observed { self.seen.of_row(i) } else { &[] };
            scratch.rank(seen, n)?;
            for (k, &j) in scratch.order.iter().enumerate() {
                (numbers[k], values[k]) = (i64::from(j), scratch.scores[j as usize]);
            }
            Ok(())
        };
        context.map_parts(parts, Ranking::default, work)?.into_iter().try_for_each(identity)?;
        Ok((numbers, values))
    }

    /// Standard deviation of what the model leaves of its entries, in units of the values: of all but the degrees of freedom,
    /// NaN if there are not more than these.
    pub fn noise(&self, context: &Context) -> Result<f64> {
        let (m, n, k) = (self.rows.count, self.columns.count, self.rows.rank);
        let biases = if self.penalty.bias.is_some() { m + n } else { 0 };
        let freedom = k.min(m).min(n) * (m + n - k.min(m).min(n)) + biases;
        let (mut squares, mut weight) = (0.0, 0.0);
        for piece in context.pieces(0..m) {
            for i in piece? {
                let ends = self.seen.ends[i] as usize..self.seen.ends[i + 1] as usize;
                for at in ends {
                    let (j, mut product) = (self.seen.columns[at] as usize, [T::default()]);
                    dots(self.rows.row(i), self.rows.stride, self.columns.row(j), &mut product);
                    let bias = self.rows.bias[i].to_f64() + self.columns.bias[j].to_f64();
                    let one = self.weights.as_ref().map_or(1.0, |weights| weights[at].to_f64());
                    squares += one * (self.values[at].to_f64() - bias - product[0].to_f64()).powi(2);
                    weight += one;
                }
            }
        }
        let left = self.values.len() as f64 - freedom as f64;
        let share = left / self.values.len() as f64;
        Ok(if left > 0.0 { self.scale * (squares / (weight * share)).sqrt() } else { f64::NAN })
    }

    /// Rows of which these entries were observed, in units of the model, solved for exactly in double precision with the
    /// columns as they are.
    pub fn fold_in(&self, context: &Context, mut lines: Lines<f64>) -> Result<Factor<f64>> {
        lines.check_width(self.columns.count)?;
        let mut rows = Factor::zeros(lines.count(), self.columns.rank)?;
        let mut columns = self.columns.widened()?;
        let method = if self.nonnegative { Method::NonNegative } else { Method::Exact };
        if let Some(delta) = self.delta {
            for _ in 0..REWEIGHTED {
                lines.count_less(context, delta, Part::All, (&rows, &columns))?;
                half_sweep(context, &lines, Part::All, (&mut rows, &mut columns), self.penalty, method)?;
            }
            return Ok(rows);
        }
        let Some(determined) = &self.determined else {
            half_sweep(context, &lines, Part::All, (&mut rows, &mut columns), self.penalty, method)?;
            return Ok(rows);
        };
        // Entries in columns that are not determined tell nothing.
        let stride = columns.stride;
        for (row, _) in
            columns.rows.chunks_mut(stride).zip(&determined.columns).filter(|(_, mark)| **mark < 0)
        {
            row.fill(0.0);
        }
        half_sweep(context, &lines, Part::All, (&mut rows, &mut columns), self.penalty, method)?;
        if self.penalty.factor > 0.0 {
            return Ok(rows);
        }
        let mark = |i: usize| {
            let mut count = 0;
            lines.matrix().visit(lines.line(i, Part::All), |j, _| {
                count += usize::from(determined.columns[j] >= 0);
            });
            if count < self.columns.rank { UNDETERMINED } else { 0 }
        };
        let marks = collected((0..rows.count).map(mark), PREDICTIONS)?;
        least_norm(context, &lines, (&marks, &determined.columns), (&mut rows, &columns))?;
        Ok(rows)
    }
}

/// Memory in which columns are ranked.
#[derive(Default)]
struct Ranking<T> {
    products: Vec<T>,
    scores: Vec<f64>,
    excluded: Vec<bool>,
    order: Vec<u32>,
}

impl<T: Scalar> Ranking<T> {
    fn prepare(&mut self, count: usize) -> Result<()> {
        reset(&mut self.products, count, PREDICTIONS)?;
        reset(&mut self.scores, count, PREDICTIONS)?;
        reset(&mut self.excluded, count, PREDICTIONS)
    }

    /// Puts the best columns but those that were seen in order.
    fn rank(&mut self, seen: &[u32], n: usize) -> Result<()> {
        seen.iter().for_each(|&j| self.excluded[j as usize] = true);
        self.order.clear();
        for j in (0..self.scores.len()).filter(|&j| !self.excluded[j] && !self.scores[j].is_nan()) {
            push(&mut self.order, j as u32, PREDICTIONS)?;
        }
        let scores = &self.scores;
        let better = |i: &u32, j: &u32| scores[*j as usize].total_cmp(&scores[*i as usize]).then(i.cmp(j));
        if n < self.order.len() {
            self.order.select_nth_unstable_by(n, better);
            self.order.truncate(n);
        }
        self.order.sort_unstable_by(better);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed, params, rows_of};
    use crate::completion::{Params, fit, is_single};
    use crate::matrix::{Indices, Triplets};

    const SHAPE: (usize, usize) = (60, 45);

    fn model() -> Model<f32> {
        let context = Context::new(1);
        let cells = low_rank(SHAPE, 3, 0.4, 0.1, 1);
        let params = Params { tol: 1e-6, ..params() };
        fit(&context, observed(&context, SHAPE, &cells), &params).unwrap().model
    }

    #[test]
    fn predictions_agree_one_by_one_by_rows_and_in_rankings() {
        let (model, context) = (model(), Context::new(2));
        let rows: Vec<usize> = (0..60).rev().collect();
        let all = model.predict_rows(&context, &rows, false).unwrap();
        let pairs: Vec<(i64, i64)> = (0..60).rev().flat_map(|i| (0..45).map(move |j| (i, j))).collect();
        let (i, j): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
        assert_eq!(model.predict(&context, &i, &j, false).unwrap(), &all[..]);
        let (numbers, values) = model.top_n(&context, &rows, 50, true).unwrap();
        let seen: Vec<Vec<usize>> =
            (0..60).map(|i| model.seen.of_row(i).iter().map(|&j| j as usize).collect()).collect();
        for (at, &i) in rows.iter().enumerate() {
            let mut expected: Vec<usize> = (0..45).filter(|j| !seen[i].contains(j)).collect();
            expected.sort_by(|&a, &b| all[at * 45 + b].total_cmp(&all[at * 45 + a]).then(a.cmp(&b)));
            for k in 0..50 {
                let (number, value) = (numbers[at * 50 + k], values[at * 50 + k]);
                match expected.get(k) {
                    Some(&j) => assert_eq!((number, value), (j as i64, all[at * 45 + j])),
                    None => assert!(number == -1 && value.is_nan()),
                }
            }
        }
        let (few, _) = model.top_n(&context, &[7], 4, false).unwrap();
        assert!(few.iter().map(|&j| all[(59 - 7) * 45 + j as usize]).is_sorted_by(|a, b| a >= b));
        let unknown = model.predict(&context, &[-1, 3, -1], &[-1, -1, 2], false).unwrap();
        assert_eq!(unknown[0], model.mean);
        assert_eq!(unknown[1], model.mean + model.scale * f64::from(model.rows.bias[3]));
        assert_eq!(unknown[2], model.mean + model.scale * f64::from(model.columns.bias[2]));
        assert!(
            model.predict(&context, &[60], &[0], false).is_err()
                && model.predict(&context, &[1], &[], false).is_err()
        );
    }

    #[test]
    fn rows_that_are_folded_in_are_those_of_the_fit() {
        let (model, context) = (model(), Context::new(1));
        let cells = low_rank(SHAPE, 3, 0.4, 0.1, 1);
        let rows: Vec<i64> = cells.iter().map(|cell| cell.0 as i64).collect();
        let columns: Vec<i64> = cells.iter().map(|cell| cell.1 as i64).collect();
        let values: Vec<f64> = cells.iter().map(|cell| cell.2).collect();
        let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
        let entries = Triplets { argument: "X", shape: SHAPE, rows, columns, values: &values };
        let units = (model.mean, model.scale);
        let folded = model.fold_in(&context, rows_of(&context, &entries, units)).unwrap();
        for i in 0..60 {
            for (wide, single) in folded.row(i).iter().zip(model.rows.row(i)) {
                assert!((wide - f64::from(*single)).abs() < 2e-5, "row {i}: {wide} {single}");
            }
            assert!((folded.bias[i] - f64::from(model.rows.bias[i])).abs() < 2e-5);
        }
        let turned = Triplets { shape: (SHAPE.1, SHAPE.0), rows: columns, columns: rows, ..entries };
        assert!(model.fold_in(&context, rows_of(&context, &turned, units)).is_err());
    }

    #[test]
    fn bytes_give_the_same_model_or_an_error() {
        let (model, context) = (model(), Context::new(1));
        let bytes = model.to_bytes(&context, "words".into()).unwrap();
        assert!(is_single(&bytes));
        let (restored, words) = Model::<f32>::from_bytes(&context, &bytes).unwrap();
        assert_eq!(words, "words");
        assert_eq!(restored.to_bytes(&context, "words".into()).unwrap(), bytes);
        let rows: Vec<usize> = (0..60).collect();
        let [one, other] =
            [&model, &restored].map(|model| model.predict_rows(&context, &rows, false).unwrap());
        assert_eq!(&*one, &*other);
        assert!(Model::<f64>::from_bytes(&context, &bytes).is_err());
        for at in (0..bytes.len()).step_by(bytes.len() / 97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x11;
            assert!(Model::<f32>::from_bytes(&context, &damaged).is_err(), "byte {at}");
            assert!(Model::<f32>::from_bytes(&context, &bytes[..at]).is_err());
        }
    }
}
