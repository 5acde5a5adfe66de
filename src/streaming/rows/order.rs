//! Whether rows come in random order, and how much energy a direction has on rows that it was not made of.
//!
//! While a direction u is fixed, the rows that go by say what <x, u>^2 is on average. In random order that rate rises
//! gently as u gets better; where it falls by many standard errors, the rows before were not like those after. Once u turns
//! to where a long row points, rates begin anew.

use crate::error::Result;
use crate::memory::{copied, push};
use crate::simd::dot;
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// A mean, the square of its standard error, and of how many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub mean: f64,
    pub error_sq: f64,
    pub rows: u64,
}

/// The rates of the blocks so far, of which there are O(log n).
#[derive(Default, Serialize, Deserialize)]
pub struct Rates {
    closed: Vec<Rate>,
    /// The largest fall before u turned.
    before: Option<f64>,
    /// Rows of the open block, the sum of <x, u>^2 and of its square.
    rows: u64,
    sums: [f64; 2],
}

/// A direction, the rate of light rows that it was not made of, and how many light rows there are.
pub struct Ahead {
    pub direction: Numbers,
    pub rate: Rate,
    pub light: u64,
}

impl Ahead {
    /// Its energy in all rows, of which these are the heavy ones, and its standard error.
    pub fn of_all_rows(&self, heavy: &[f64], d: usize) -> [f64; 2] {
        let light = self.light as f64;
        let of_row = |row: &[f64]| dot(row, &self.direction).powi(2);
        let heavy: f64 = heavy.chunks_exact(d.max(1)).map(of_row).sum();
        [heavy + light * self.rate.mean, light * self.rate.error_sq.sqrt()]
    }
}

/// A share of a rate that is nothing.
const ROUNDING: f64 = 1e-9;
/// Rows from which on a standard error says anything.
const ENOUGH: u64 = 16;

impl Rates {
    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { closed: copied(&self.closed, "rates")?, ..*self })
    }

    /// True of numbers that make sense.
    pub fn fits(&self) -> bool {
        let sound = |rate: &Rate| rate.mean.is_finite() && rate.error_sq >= 0.0;
        self.closed.iter().all(sound)
            && self.before.is_none_or(|fall| fall >= 0.0)
            && self.sums.iter().all(|sum| *sum >= 0.0 && sum.is_finite())
    }

    /// Takes in <x, u>^2 of a row.
    pub fn add(&mut self, square: f64) {
        self.rows += 1;
        self.sums[0] += square;
        self.sums[1] += square * square;
    }

    /// The direction changes.
    pub fn close(&mut self) -> Result<()> {
        if let Some(rate) = self.open() {
            push(&mut self.closed, rate, "rates")?;
        }
        (self.rows, self.sums) = (0, [0.0; 2]);
        Ok(())
    }

    /// The direction is another one.
    pub fn turn(&mut self) {
        self.before = self.fall();
        self.closed.clear();
    }

    fn open(&self) -> Option<Rate> {
        let count = self.rows as f64;
        let mean = self.sums[0] / count;
        let variance = (self.sums[1] / count - mean * mean).max(0.0);
        (self.rows >= ENOUGH).then_some(Rate { mean, error_sq: variance / count, rows: self.rows })
    }

    /// The largest fall from one block to a later one, in standard errors of the difference; None of fewer than two.
    pub fn fall(&self) -> Option<f64> {
        let rates = || self.closed.iter().copied().chain(self.open());
        let pairs =
            rates().enumerate().flat_map(|(i, early)| rates().skip(i + 1).map(move |late| (early, late)));
        let falls = pairs.map(|(early, late)| {
            let fall = early.mean - late.mean;
            if fall <= ROUNDING * early.mean { 0.0 } else { fall / (early.error_sq + late.error_sq).sqrt() }
        });
        falls.chain(self.before).reduce(f64::max)
    }

    /// The last rate, of the open block unless the one before it has more rows.
    pub fn last(&self) -> Option<Rate> {
        let (open, closed) = (self.open(), self.closed.last().copied());
        match (open, closed) {
            (Some(open), Some(closed)) if closed.rows > open.rows => Some(closed),
            (None, closed) => closed,
            (open, _) => open,
        }
    }

    /// In another unit: rows times `factor`.
    pub fn scale(&mut self, factor: f64) {
        let (square, fourth) = (factor.powi(2), factor.powi(4));
        self.closed.iter_mut().for_each(|rate| {
            rate.mean *= square;
            rate.error_sq *= fourth;
        });
        self.sums[0] *= square;
        self.sums[1] *= fourth;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_told_in_standard_errors() {
        let mut rates = Rates::default();
        assert_eq!(rates.fall(), None);
        for (level, rows) in [(1.0, 100), (2.0, 100), (1.5, 400)] {
            (0..rows).for_each(|k| rates.add(level + if k % 2 == 0 { 0.5 } else { -0.5 }));
            rates.close().unwrap();
        }
        let expected = 0.5 / (0.25f64 / 100.0 + 0.25 / 400.0).sqrt();
        assert!((rates.fall().unwrap() / expected - 1.0).abs() < 1e-12);
        assert_eq!(rates.last().map(|rate| (rate.mean, rate.rows)), Some((1.5, 400)));
        rates.scale(2.0);
        rates.turn();
        (0..100).for_each(|_| rates.add(0.1));
        rates.close().unwrap();
        assert!((rates.fall().unwrap() / expected - 1.0).abs() < 1e-12);
    }
}
