//! A condition estimate from a few rows.
//!
//! A wrong one costs time only: every step judges the factor that it really uses, and hands on to the next one when the
//! factor is not admissible.

use crate::error::Result;
use crate::linalg;
use crate::matrix::{Buffer, Dense, Real, Rows, TILE, power_of_two_below};
use crate::memory::{collected, extend, prepare};
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::design::Design;
use std::ops::Range;

/// What a few rows tell of the whole matrix.
pub(crate) struct Hint {
    /// Estimated condition of A with columns of norm one; infinity where the rows do not tell.
    pub condition: f64,
    /// Rows looked at.
    pub rows: usize,
    /// The largest magnitude in every column of them.
    pub largest: Buffer<f64>,
    /// Whether they have zeros alone in columns that are not constant: the condition is that of the others.
    pub is_blank: bool,
}

impl Hint {
    /// What is said of it.
    pub fn describe(&self) -> String {
        let condition = match self.condition.is_finite() {
            true => format!("about {:.1e}", self.condition),
            false => "beyond 1e8".into(),
        };
        format!("condition {condition} by {} sampled rows", self.rows)
    }
}

/// Looks at 4 d rows (2 d where d > 512, to keep the share of their Gram matrix small) at fixed pseudo-random
/// positions. The condition of so few rows exceeds that of all by (1 + sqrt(d / m)) / (1 - sqrt(d / m)) when no row
/// stands out, which is divided out.
pub(crate) fn hint<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Hint> {
    let d = design.ncols();
    let hint = hint_of(context, design, if d > 512 { 2 * d } else { 4 * d } + 32, d)?;
    Ok(Hint { condition: if hint.is_blank { f64::INFINITY } else { hint.condition }, ..hint })
}

/// The same by so many rows, if there are, and for the first so many columns.
pub(crate) fn hint_of<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    rows: usize,
    columns: usize,
) -> Result<Hint> {
    let sample = Sample::of(design, rows, columns);
    let (rows, d) = (sample.nrows(), sample.ncols());
    let mut largest: Buffer<f64> = Buffer::zeros(d, "magnitudes of columns")?;
    let mut buffer = Vec::new();
    for i in 0..rows {
        let tile = sample.tile(i..i + 1, 0..d, &mut buffer)?;
        let row = tile.stored_row(0);
        largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    let powers = largest.iter().map(|&value| power_of_two_below(value).recip());
    let powers = collected(powers, "magnitudes of columns")?;
    let [_, accurate] = linalg::precisions(d);
    let mut gram = linalg::gram(context, &sample, accurate, &powers, || (), |(), _, _| ())?.gram;
    design.constant().iter().filter(|&&j| j < d).for_each(|&j| gram[(j, j)] = 1.0);
    let is_blank = (0..d).any(|j| gram[(j, j)] == 0.0);
    (0..d).filter(|&j| largest[j] == 0.0).for_each(|j| gram[(j, j)] = 1.0);
    let norms = collected((0..d).map(|j| gram[(j, j)].sqrt()), "norms of columns")?;
    for j in 0..d {
        for i in 0..d {
            gram[(i, j)] /= norms[i] * norms[j];
        }
    }
    let condition = match linalg::cholesky(&gram)? {
        Some(r) => linalg::condition_of_upper(r.as_ref())?,
        None => f64::INFINITY,
    };
    let spread = (d as f64 / rows as f64).sqrt();
    Ok(Hint { condition: (condition * (1.0 - spread) / (1.0 + spread)).max(1.0), rows, largest, is_blank })
}

/// The rows that are looked at; never more of them in memory than a tile.
struct Sample<'p, 'a, T> {
    design: &'p Design<'a, T>,
    rows: usize,
    columns: usize,
    positions: Stream,
}

impl<'p, 'a, T: Real> Sample<'p, 'a, T> {
    fn of(design: &'p Design<'a, T>, rows: usize, columns: usize) -> Self {
        let rows = rows.min(design.nrows());
        Self { design, rows, columns, positions: Stream::new(0, 0, HINT) }
    }

    fn position(&self, i: usize) -> usize {
        let n = self.design.nrows();
        if self.rows == n { i } else { self.positions.index(i as u64, n as u64) as usize }
    }
}

impl<T: Real> Rows for Sample<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.rows
    }

    fn ncols(&self) -> usize {
        self.columns
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (nrows, ncols, mut row) = (rows.len(), cols.len(), Vec::new());
        prepare(buffer, nrows * ncols, TILE)?;
        for i in rows {
            let position = self.position(i);
            let tile = self.design.a.tile(position..position + 1, cols.clone(), &mut row)?;
            extend(buffer, tile.stored_row(0).iter().copied(), TILE)?;
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }
}

/// Purpose of the random stream that picks the rows.
const HINT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn a_few_rows_tell_the_condition_within_a_factor() {
        let mut instance = Instance::new(2000, 5);
        let form = forms().next().unwrap();
        let of = |instance: &Instance| {
            let design = Design::new(&Context::new(1), &instance.problem(form, &[0.0])).unwrap();
            hint(&Context::new(1), &design).unwrap()
        };
        let easy = of(&instance);
        assert_eq!(easy.rows, 4 * 5 + 32);
        assert!((1.0..20.0).contains(&easy.condition), "{}", easy.condition);
        let first = instance.a.col(0).to_vec();
        instance
            .a
            .col_mut(1)
            .iter_mut()
            .zip(first)
            .for_each(|(second, first)| *second = first + 1e-4 * *second);
        let hard = of(&instance).condition;
        assert!((1e3..1e6).contains(&hard), "{hard}");
        let largest = instance.a.col(4).iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        assert!((0.2 * largest..=largest).contains(&easy.largest[4]));
    }
}
