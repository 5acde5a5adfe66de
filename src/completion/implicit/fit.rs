//! The driver: a random start, and sweeps over rows and columns by turns.

use super::confidence::Terms;
use super::half::Half;
use super::line::Way;
use super::risk::Risk;
use crate::completion::factors::Factor;
use crate::completion::half::Penalty;
use crate::completion::model::Model;
use crate::completion::observations::{Lines, Observations, Part};
use crate::completion::start::at_random;
use crate::error::Result;
use crate::linalg::Scalar;
use crate::memory::{collected, filled, push};
use crate::parallel::Context;

/// Growth of the objective, relative to itself, that is more than rounding; and relative to that of zeros, in units of the
/// precision, or without a penalty in roots of these.
const RISE: f64 = 1e-3;
const NOISE: f64 = 10.0;
const FREE_NOISE: f64 = 20.0;
/// Rows of the factor of the columns have about this length in the beginning.
const START: f64 = 0.1;
/// Steps of conjugate gradients that begin at zero.
const FROM_ZERO: usize = 8;
/// How often a step towards the columns is halved.
const HALVINGS: usize = 8;
/// What memory is for.
const WEIGHTS: &str = "weights of rows and columns";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Params {
    /// Components of a row of a factor.
    pub rank: usize,
    /// The objective.
    pub terms: Terms,
    /// How lines are solved.
    pub way: Way,
    /// Whose losses count; None: all alike.
    pub risk: Option<Risk>,
    /// Most sweeps.
    pub max_iter: usize,
    /// Decrease of the objective, relative, below which sweeps end.
    pub tol: f64,
    /// Whether rows are solved for exactly in the end.
    pub polish: bool,
    /// Of the start.
    pub seed: u64,
}

/// What was found.
pub struct Output<T> {
    /// The model.
    pub model: Model<T>,
    /// Objective after each sweep, over that of factors of zeros.
    pub objective: Vec<f64>,
    /// Whether sweeps ended by themselves.
    pub converged: bool,
    /// Whether they ended because the objective rose, or is none: the precision is too low for what is asked.
    pub risen: bool,
    /// Mean number of entries of a row that has any.
    pub entries: f64,
    /// Where the tail of the losses begins, its mean, and the mean of the weights, if there is one.
    pub tail: Option<[f64; 3]>,
}

/// Fits a model to confidences, which have no mean to lose.
pub fn fit<T: Scalar>(
    context: &Context,
    mut observed: Observations<T>,
    params: &Params,
) -> Result<Output<T>> {
    let unit = std::mem::replace(&mut observed.scale, 1.0);
    let run = Run::new(context, &observed, unit, params)?;
    let mut rows = Factor::zeros(observed.rows.count(), params.rank)?;
    let mut columns = Factor::<T>::zeros(observed.columns.count(), params.rank)?;
    at_random(context, &mut columns, params.seed)?;
    columns.rows.iter_mut().for_each(|x| *x = T::from_f64(START * x.to_f64()));
    let (objective, tail) = run.sweeps(&mut rows, &mut columns)?;
    if params.polish {
        run.rows(&mut rows, &columns, Way::Exact)?;
    }
    let risen = run.has_risen(&objective);
    let converged = objective.len() < params.max_iter && !risen;
    let entries = run.entries;
    let Terms { reg, exponent, .. } = params.terms;
    let model = Model::new(context, observed, rows, columns, Penalty { factor: reg, bias: None, exponent })?;
    Ok(Output { model, objective, converged, risen, entries, tail })
}

/// Rows with these confidences, solved for exactly in double precision with the columns as they are; losses of rows are
/// of interest where the mean number of `entries` of a row is told.
pub fn fold_in<T: Scalar>(
    context: &Context,
    columns: &Factor<T>,
    lines: &Lines<f64>,
    terms: Terms,
    entries: Option<f64>,
) -> Result<Factor<f64>> {
    lines.check_width(columns.count)?;
    let mut rows = Factor::zeros(lines.count(), columns.rank)?;
    let sides = Sides::of_rows(lines, columns.count, terms, entries)?;
    sides.half(lines, terms, 1.0).solve(context, &mut rows, &columns.widened()?, Way::Exact)?;
    Ok(rows)
}

/// Weights and penalties of the rows.
struct Sides {
    weights: Option<Vec<f64>>,
    penalties: Vec<f64>,
    shared: f64,
}

impl Sides {
    /// By numbers of entries; losses are means over these, and what is not stored counts as if there were `entries`, where
    /// that is given.
    fn of_rows<T: Scalar>(
        lines: &Lines<T>,
        others: usize,
        terms: Terms,
        entries: Option<f64>,
    ) -> Result<Self> {
        let counts = (0..lines.count()).map(|line| count(lines, line));
        let Some(entries) = entries else {
            let penalties = collected(counts.map(|n| terms.penalty(n, others)), WEIGHTS)?;
            return Ok(Self { weights: None, penalties, shared: terms.unobserved });
        };
        let weights = collected(counts.map(|n| 1.0 / n.max(1.0)), WEIGHTS)?;
        let penalties = filled(terms.penalty(entries, others) / entries, lines.count(), WEIGHTS)?;
        Ok(Self { weights: Some(weights), penalties, shared: terms.unobserved / entries })
    }

    fn half<'a, T>(&'a self, lines: &'a Lines<T>, terms: Terms, unit: f64) -> Half<'a, T> {
        Half {
            lines,
            unit,
            terms,
            shared: self.shared,
            weights: self.weights.as_deref(),
            other_weights: None,
            gram_weights: None,
            penalties: &self.penalties,
        }
    }
}

fn count<T: Scalar>(lines: &Lines<T>, line: usize) -> f64 {
    lines.line(line, Part::All).len() as f64
}

struct Run<'a, T> {
    context: &'a Context<'a>,
    observed: &'a Observations<T>,
    unit: f64,
    params: &'a Params,
    /// Mean number of entries of a row that has any.
    entries: f64,
    /// Rows that have any.
    used: Vec<usize>,
    sides: Sides,
    /// The objective of factors of zeros.
    constant: f64,
}

impl<'a, T: Scalar> Run<'a, T> {
    fn new(
        context: &'a Context<'a>,
        observed: &'a Observations<T>,
        unit: f64,
        params: &'a Params,
    ) -> Result<Self> {
        let lines = &observed.rows;
        let used = collected((0..lines.count()).filter(|&row| count(lines, row) > 0.0), WEIGHTS)?;
        let entries = lines.matrix().nnz() as f64 / used.len().max(1) as f64;
        let of_losses = params.risk.map(|_| entries);
        let sides = Sides::of_rows(lines, observed.columns.count(), params.terms, of_losses)?;
        let mut constant = 0.0;
        for piece in context.pieces(0..lines.matrix().nnz()) {
            let values = lines.matrix().values()[piece?].iter();
            constant += values.map(|value| params.terms.of(value.to_f64() * unit).target).sum::<f64>();
        }
        let constant = if constant > 0.0 { constant } else { 1.0 };
        Ok(Self { context, observed, unit, params, entries, used, sides, constant })
    }

    /// Solves for the rows; the objective of each.
    fn rows(&self, rows: &mut Factor<T>, columns: &Factor<T>, way: Way) -> Result<Vec<f64>> {
        let half = self.sides.half(&self.observed.rows, self.params.terms, self.unit);
        half.solve(self.context, rows, columns, way)
    }

    /// All sweeps: the objective after each, and what the tail of the losses is.
    fn sweeps(&self, rows: &mut Factor<T>, columns: &mut Factor<T>) -> Result<(Vec<f64>, Option<[f64; 3]>)> {
        let Params { way, risk, max_iter, tol, .. } = *self.params;
        let (mut history, mut tail): (Vec<f64>, _) = (Vec::new(), None);
        for sweep in 0..max_iter {
            let first = match way {
                Way::Iterated(steps) if sweep == 0 => Way::Iterated(steps.max(FROM_ZERO)),
                way => way,
            };
            let losses = self.rows(rows, columns, first)?;
            let value = match risk {
                None => self.columns(rows, columns, first)?,
                Some(risk) => {
                    let (value, found) = self.columns_at_risk(rows, columns, losses, risk, first)?;
                    tail = Some(found);
                    value
                }
            };
            let before = history.last().copied();
            push(&mut history, value, "the history of a fit")?;
            self.context.progress(sweep + 1, max_iter, &[("objective", value)])?;
            if self.has_risen(&history) || before.is_some_and(|before| before - value < tol * value) {
                break;
            }
        }
        Ok((history, tail))
    }

    /// Whether the last objective is one that no sweep has in exact arithmetic: larger than the one before by more than
    /// what rounding does to sums, or no sum of squares.
    fn has_risen(&self, history: &[f64]) -> bool {
        let Some(&value) = history.last() else { return false };
        // What nothing holds back may come to nothing, as the difference of large sums.
        let noise = if self.params.terms.reg > 0.0 {
            NOISE * T::UNIT_ROUNDOFF
        } else {
            FREE_NOISE * T::UNIT_ROUNDOFF.sqrt()
        };
        let least = if self.params.risk.is_some() { f64::NEG_INFINITY } else { -noise };
        let most = match history {
            [.., before, _] => before + RISE * before.abs() + noise,
            _ => f64::INFINITY,
        };
        !(value >= least && value <= most)
    }

    /// Solves for the columns; the objective, relative.
    fn columns(&self, rows: &Factor<T>, columns: &mut Factor<T>, way: Way) -> Result<f64> {
        let Self { context, observed, params, .. } = self;
        let lines = &observed.columns;
        let counts = (0..lines.count()).map(|line| count(lines, line));
        let penalties = collected(counts.map(|n| params.terms.penalty(n, observed.rows.count())), WEIGHTS)?;
        let half = Half {
            lines,
            unit: self.unit,
            terms: params.terms,
            shared: params.terms.unobserved,
            weights: None,
            other_weights: None,
            gram_weights: None,
            penalties: &penalties,
        };
        let values = half.solve(context, columns, rows, way)?;
        let of_rows = penalty_of(rows, &self.sides.penalties);
        Ok((values.iter().sum::<f64>() + of_rows) / self.constant)
    }

    /// Solves for the columns with rows weighted by where their losses are in the tail, and goes as far that way as the
    /// tail gets smaller; the objective, and quantile, mean of the tail and of the weights.
    fn columns_at_risk(
        &self,
        rows: &mut Factor<T>,
        columns: &mut Factor<T>,
        twice: Vec<f64>,
        risk: Risk,
        way: Way,
    ) -> Result<(f64, [f64; 3])> {
        let (terms, lines) = (self.params.terms, &self.observed.columns);
        let losses = self.losses(&twice)?;
        let quantile = risk.quantile(&losses);
        let mut slopes = filled(0.0, rows.count, WEIGHTS)?;
        self.used.iter().zip(&losses).for_each(|(&row, loss)| slopes[row] = risk.slope(loss - quantile));
        let mean = slopes.iter().sum::<f64>() / self.used.len().max(1) as f64;
        let of_rows = |row: usize| 1.0 / count(&self.observed.rows, row).max(1.0);
        let weights = collected((0..rows.count).map(|row| slopes[row] * of_rows(row)), WEIGHTS)?;
        let unstored = terms.unobserved * self.used.len() as f64;
        let mut penalties = filled(0.0, lines.count(), WEIGHTS)?;
        for (line, penalty) in penalties.iter_mut().enumerate() {
            let mut shares = 0.0;
            lines.matrix().visit(lines.line(line, Part::All), |row, _| shares += of_rows(row));
            // As weights are on average.
            let entries = self.entries * shares + unstored;
            *penalty = risk.share * terms.reg * entries.powf(terms.exponent) / self.entries;
        }
        let half = Half {
            lines,
            unit: self.unit,
            terms,
            shared: self.sides.shared,
            weights: None,
            other_weights: Some(&weights),
            gram_weights: Some(&slopes),
            penalties: &penalties,
        };
        let tail = |losses: &[f64], columns: &Factor<T>| {
            let quantile = risk.quantile(losses);
            let value = risk.value(losses, quantile);
            let share = risk.share * losses.len() as f64;
            (value + 0.5 * penalty_of(columns, &penalties) / share, [quantile, value, mean])
        };
        let (mut best, before) = (tail(&losses, columns), columns.copy()?);
        half.solve(self.context, columns, rows, way)?;
        for halving in 0..=HALVINGS {
            let found = tail(&self.losses(&self.rows(rows, columns, Way::Kept)?)?, columns);
            if found.0 <= best.0 {
                best = found;
                break;
            }
            if halving == HALVINGS {
                columns.copy_from(&before);
                break;
            }
            let middle = columns.rows.iter_mut().zip(before.rows.iter());
            middle.for_each(|(x, before)| *x = T::from_f64(0.5 * (x.to_f64() + before.to_f64())));
        }
        Ok(best)
    }

    /// The losses of the rows that have any entries, from twice those of all.
    fn losses(&self, twice: &[f64]) -> Result<Vec<f64>> {
        collected(self.used.iter().map(|&row| 0.5 * twice[row]), WEIGHTS)
    }
}

/// The penalties of a factor.
fn penalty_of<T: Scalar>(factor: &Factor<T>, penalties: &[f64]) -> f64 {
    let square = |i: usize| factor.row(i).iter().map(|x| x.to_f64().powi(2)).sum::<f64>();
    penalties.iter().enumerate().map(|(i, penalty)| penalty * square(i)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::implicit::Confidence;
    use crate::completion::observations::ByRows;
    use crate::completion::testing::Cells;
    use crate::error::Error;
    use crate::matrix::{Axis, Indices, Repeated, Triplets};
    use crate::parallel::Host;
    use std::cell::Cell;

    const SHAPE: (usize, usize) = (150, 90);

    /// Who chooses what: groups of rows prefer groups of columns, the first rows more often.
    fn chosen() -> Cells {
        let stream = crate::random::Stream::new(3, 0, 9);
        let mut cells = Vec::new();
        for i in 0..SHAPE.0 {
            for j in 0..SHAPE.1 {
                let share = if i % 6 == j % 6 { 0.4 } else { 0.03 } * if i < 40 { 1.5 } else { 0.5 };
                if stream.uniform(i as u64, j as u64) < share {
                    cells.push((i, j, 1.0 + (3.0 * stream.uniform(j as u64, i as u64)).floor()));
                }
            }
        }
        cells
    }

    fn params(confidence: Confidence, way: Way) -> Params {
        let (unobserved, exponent) = if confidence == Confidence::Linear { (1.0, 0.0) } else { (0.1, 1.0) };
        let terms = Terms { confidence, alpha: 1.0, unobserved, reg: 0.05, exponent };
        Params { rank: 6, terms, way, risk: None, max_iter: 12, tol: 0.0, polish: true, seed: 1 }
    }

    fn run<T: Scalar>(threads: usize, params: &Params) -> Output<T> {
        let context = Context::new(threads);
        fit(&context, stored(&context), params).unwrap()
    }

    fn stored<T: Scalar>(context: &Context) -> Observations<T> {
        let cells = chosen();
        let rows: Vec<i64> = cells.iter().map(|cell| cell.0 as i64).collect();
        let columns: Vec<i64> = cells.iter().map(|cell| cell.1 as i64).collect();
        let values: Vec<f64> = cells.iter().map(|cell| cell.2).collect();
        let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
        let entries = Triplets { argument: "X", shape: SHAPE, rows, columns, values: &values };
        let rows = ByRows::of_triplets(context, &entries, Repeated::Sum, false).unwrap();
        Observations::of(context, rows).unwrap()
    }

    const RISK: Risk = Risk { share: 0.3, bandwidth: 0.02 };

    #[test]
    fn objectives_fall_and_all_ways_end_near_the_same() {
        for (confidence, risk) in
            [(Confidence::Linear, None), (Confidence::Uniform, None), (Confidence::Uniform, Some(RISK))]
        {
            let mut ends = Vec::new();
            for way in [Way::Exact, Way::Iterated(3), Way::Subspace(2)] {
                let output = run::<f64>(1, &Params { risk, max_iter: 60, ..params(confidence, way) });
                let history = output.objective;
                assert!(
                    history.is_sorted_by(|a, b| *b <= a * (1.0 + 1e-12)),
                    "{way:?} {risk:?}: {history:?}"
                );
                ends.push(*history.last().unwrap());
                if let Some([_, _, mean]) = output.tail {
                    assert!((mean - RISK.share).abs() < 1e-6);
                }
            }
            let spread = ends.iter().fold(0.0f64, |most, end| most.max((end / ends[0] - 1.0).abs()));
            assert!(spread < 0.02, "{risk:?}: {ends:?}");
        }
    }

    #[test]
    fn rows_that_are_folded_in_are_those_of_the_fit() {
        for (confidence, risk) in
            [(Confidence::Linear, None), (Confidence::Uniform, None), (Confidence::Uniform, Some(RISK))]
        {
            let params = Params { risk, ..params(confidence, Way::Iterated(3)) };
            let (output, context) = (run::<f64>(1, &params), Context::new(1));
            let observed = stored::<f64>(&context);
            let unit = observed.scale;
            let values: Vec<f64> = observed.rows.matrix().values().iter().map(|value| value * unit).collect();
            let lines = Lines::in_units(&context, "X", &values, (0.0, 1.0), |values| {
                observed.rows.matrix().with_values(values).along(&context, Axis::Rows)
            });
            let lines = lines.unwrap();
            let entries = risk.map(|_| output.entries);
            let rows = fold_in(&context, &output.model.columns, &lines, params.terms, entries).unwrap();
            for i in 0..SHAPE.0 {
                for (folded, fitted) in rows.row(i).iter().zip(output.model.rows.row(i)) {
                    assert!((folded - fitted).abs() < 1e-10, "{confidence:?} {risk:?} row {i}");
                }
            }
            assert!(fold_in(&context, &output.model.rows, &lines, params.terms, entries).is_err());
        }
    }

    #[test]
    fn the_tail_is_smaller_where_it_is_what_is_minimised() {
        let plain = run::<f64>(1, &Params { max_iter: 40, ..params(Confidence::Uniform, Way::Exact) });
        let safe = run::<f64>(
            1,
            &Params { risk: Some(RISK), max_iter: 40, ..params(Confidence::Uniform, Way::Exact) },
        );
        let tail = |output: &Output<f64>| {
            let context = Context::new(1);
            let observed = stored::<f64>(&context);
            let params = Params { risk: Some(RISK), ..params(Confidence::Uniform, Way::Exact) };
            let run = Run::new(&context, &observed, observed.scale, &params).unwrap();
            let mut rows = output.model.rows.copy().unwrap();
            let twice = run.rows(&mut rows, &output.model.columns, Way::Exact).unwrap();
            let mut losses = run.losses(&twice).unwrap();
            losses.sort_by(f64::total_cmp);
            losses[losses.len() * 7 / 10..].iter().sum::<f64>()
        };
        assert!(tail(&safe) < 0.99 * tail(&plain), "{} {}", tail(&safe), tail(&plain));
    }

    #[test]
    fn no_bit_depends_on_threads() {
        for (confidence, risk) in [(Confidence::Linear, None), (Confidence::Uniform, Some(RISK))] {
            for way in [Way::Exact, Way::Iterated(3), Way::Subspace(4)] {
                let params = Params { risk, ..params(confidence, way) };
                let (one, other) = (run::<f32>(1, &params), run::<f32>(3, &params));
                assert_eq!(one.objective, other.objective);
                assert_eq!(*one.model.rows.rows, *other.model.rows.rows);
                assert_eq!(*one.model.columns.rows, *other.model.columns.rows);
            }
        }
    }

    #[test]
    fn progress_is_told_and_heard() {
        struct Impatient(Cell<usize>);
        impl Host for Impatient {
            fn check(&self) -> Result<()> {
                Ok(())
            }
            fn progress(&self, done: usize, total: usize, figures: &[(&'static str, f64)]) -> Result<()> {
                assert!(total == 12 && figures[0].0 == "objective");
                self.0.set(done);
                if done == 2 { Err(Error::Interrupted) } else { Ok(()) }
            }
        }
        let host = Impatient(Cell::new(0));
        let context = Context::with_host(1, &host);
        let observed = stored::<f64>(&context);
        assert!(fit(&context, observed, &params(Confidence::Linear, Way::Exact)).is_err());
        assert_eq!(host.0.get(), 2);
    }
}
