//! Whether rows come in random order, and how much energy a direction has on rows that it was not made of.
//!
//! While a direction u is fixed, the rows that go by say what <x, u>^2 is on average. In random order that rate rises
//! gently as u gets better; where it falls by many standard errors, or rises from one block to the next by more than a u
//! that is nearly the same can get better, the rows before were not like those after. Once u turns to where a long row
//! points, rates begin anew. Squared norms of all rows, which no direction has to do with, neither fall
//! nor rise.

use crate::error::Result;
use crate::memory::{copied, push};
use crate::simd::dot;
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// Of some rows, the sum of a square and of its square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub rows: u64,
    pub sum: f64,
    pub squares: f64,
}

impl Rate {
    /// Takes in a square.
    pub fn add(&mut self, square: f64) {
        self.rows += 1;
        self.sum += square;
        self.squares += square * square;
    }

    fn mean(&self) -> f64 {
        self.sum / self.rows as f64
    }

    /// Of one row.
    fn variance(&self) -> f64 {
        (self.squares / self.rows as f64 - self.mean().powi(2)).max(0.0)
    }

    /// True of numbers that make sense.
    pub fn fits(&self) -> bool {
        [self.sum, self.squares].iter().all(|sum| *sum >= 0.0 && sum.is_finite())
    }

    /// By how many standard errors the mean is above another one, beyond what is harmless; None of too few.
    pub fn above(&self, other: &Self) -> Option<f64> {
        let difference = self.mean() - (1.0 + HARMLESS) * other.mean();
        let variance = self.variance().max(other.variance());
        let error = (variance / self.rows as f64 + other.variance() / other.rows as f64).sqrt();
        (self.rows >= ENOUGH).then_some(if difference > 0.0 { difference / error } else { 0.0 })
    }

    /// In another unit: rows times `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.sum *= factor.powi(2);
        self.squares *= factor.powi(4);
    }
}

/// The rates of the blocks so far, of which there are O(log n).
#[derive(Default, Serialize, Deserialize)]
pub struct Rates {
    closed: Vec<Rate>,
    /// The largest fall before u turned.
    before: Option<f64>,
    open: Rate,
}

/// A direction, the rate of light rows that it was not made of, how many light rows there are, and the largest of their
/// squared norms.
pub struct Ahead {
    pub direction: Numbers,
    pub rate: Rate,
    pub light: u64,
    pub most: f64,
}

/// The energy of a direction by rows that it was not made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quotient {
    /// In heavy rows, all of which are there.
    pub heavy: f64,
    /// In light rows, as a share of them says.
    pub light: f64,
    /// What that would be more if one row of the share had as much as any light one may.
    pub most: f64,
    /// Of how many rows alike the energy of that share would have as large an error.
    pub alike: f64,
}

impl Ahead {
    /// In all rows, of which these are the heavy ones.
    pub fn of_all_rows(&self, heavy: &[f64], d: usize) -> Quotient {
        let Rate { rows, sum, squares } = self.rate;
        let share = self.light as f64 / rows as f64;
        let of_row = |row: &[f64]| dot(row, &self.direction).powi(2);
        Quotient {
            heavy: heavy.chunks_exact(d.max(1)).map(of_row).sum(),
            light: share * sum,
            most: share * self.most,
            alike: if squares > 0.0 { sum * sum / squares } else { 0.0 },
        }
    }
}

/// A share of a rate that is nothing, and what squared norms may change by without harm.
const ROUNDING: f64 = 1e-9;
const HARMLESS: f64 = 0.1;
/// What a rate is at least of that of the next block.
const GENTLE: f64 = 0.64;
/// Rows from which on a standard error says anything.
const ENOUGH: u64 = 16;

impl Rates {
    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { closed: copied(&self.closed, "rates")?, ..*self })
    }

    /// True of numbers that make sense.
    pub fn fits(&self) -> bool {
        self.all().all(|rate| rate.fits()) && self.before.is_none_or(|fall| fall >= 0.0)
    }

    /// Takes in <x, u>^2 of a row.
    pub fn add(&mut self, square: f64) {
        self.open.add(square);
    }

    /// Takes in <x, u>^2 of a row that came in the block before, and with u as it was then.
    pub fn add_to_last(&mut self, square: f64) {
        if let Some(last) = self.closed.last_mut() {
            last.add(square);
        }
    }

    /// The direction changes.
    pub fn close(&mut self) -> Result<()> {
        push(&mut self.closed, std::mem::take(&mut self.open), "rates")
    }

    /// The direction is another one.
    pub fn turn(&mut self) {
        self.before = self.fall();
        self.closed.clear();
    }

    fn all(&self) -> impl Iterator<Item = Rate> {
        self.closed.iter().copied().chain([self.open])
    }

    /// The largest fall from one block to a later one, or steep rise to the next, in standard errors of the difference; None
    /// of fewer than two.
    pub fn fall(&self) -> Option<f64> {
        let changes = self.largest(|early, late, next| {
            let rise = if next { GENTLE * late - early } else { 0.0 };
            (early - late - ROUNDING * early).max(rise)
        });
        changes.into_iter().chain(self.before).reduce(f64::max)
    }

    /// The largest change either way beyond what is harmless, in standard errors.
    pub fn change(&self) -> Option<f64> {
        self.largest(|early, late, _| (early - late).abs() - HARMLESS * early.min(late))
    }

    /// The largest difference of two blocks. The error of each is as large as what all rows say of it at least: a few may
    /// lack those that matter.
    fn largest(&self, difference: impl Fn(f64, f64, bool) -> f64) -> Option<f64> {
        let rates = || self.all().filter(|rate| rate.rows >= ENOUGH);
        let count: f64 = rates().map(|rate| rate.rows as f64).sum();
        let typical = rates().map(|rate| rate.rows as f64 * rate.variance()).sum::<f64>() / count;
        let error_sq = |rate: &Rate| rate.variance().max(typical) / rate.rows as f64;
        let later = |i: usize| rates().skip(i + 1).enumerate();
        let pairs = rates().enumerate().flat_map(|(i, early)| later(i).map(move |late| (early, late)));
        let differences = pairs.map(|(early, (between, late))| {
            let difference = difference(early.mean(), late.mean(), between == 0);
            let error = (error_sq(&early) + error_sq(&late)).sqrt();
            if difference <= 0.0 { 0.0 } else { difference / error }
        });
        differences.reduce(f64::max)
    }

    /// The rate of the open block, and of the one before it, if they have any rows to speak of.
    pub fn last(&self) -> [Option<Rate>; 2] {
        let enough = |rate: &Rate| rate.rows >= ENOUGH;
        [Some(self.open).filter(enough), self.closed.last().copied().filter(enough)]
    }

    /// In another unit: rows times `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.closed.iter_mut().chain([&mut self.open]).for_each(|rate| rate.scale(factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(levels: &[(f64, usize)]) -> Rates {
        let mut rates = Rates::default();
        for &(level, rows) in levels {
            (0..rows).for_each(|k| rates.add(level + if k % 2 == 0 { 0.5 } else { -0.5 }));
            rates.close().unwrap();
        }
        rates
    }

    #[test]
    fn a_fall_is_told_in_standard_errors() {
        assert_eq!(Rates::default().fall(), None);
        let mut rates = rates(&[(1.0, 100), (1.5, 100), (1.0, 400)]);
        let expected = 0.5 / (0.25f64 / 100.0 + 0.25 / 400.0).sqrt();
        assert!((rates.fall().unwrap() / expected - 1.0).abs() < 1e-8);
        assert_eq!(rates.last()[1].map(|rate| (rate.mean(), rate.rows)), Some((1.0, 400)));
        rates.scale(2.0);
        rates.turn();
        (0..100).for_each(|_| rates.add(0.1));
        rates.close().unwrap();
        assert!((rates.fall().unwrap() / expected - 1.0).abs() < 1e-8);
    }

    #[test]
    fn only_a_steep_rise_to_the_next_block_is_told() {
        assert_eq!(rates(&[(1.0, 400), (1.5, 400), (2.25, 400)]).fall(), Some(0.0));
        assert!(rates(&[(1.0, 400), (3.0, 400)]).fall().unwrap() > 6.0);
    }

    #[test]
    fn a_change_is_one_either_way_and_beyond_a_tenth() {
        for levels in [[(1.0, 400), (2.0, 400)], [(2.0, 400), (1.0, 400)]] {
            let expected = 0.9 / (0.25f64 / 200.0).sqrt();
            assert!((rates(&levels).change().unwrap() / expected - 1.0).abs() < 1e-12);
        }
        assert_eq!(rates(&[(1.0, 4000), (1.09, 4000)]).change(), Some(0.0));
    }

    #[test]
    fn few_rows_that_lack_the_rare_ones_say_little() {
        let mut rates = rates(&[(1.0, 64)]);
        (0..6400).for_each(|k| rates.add(if k % 100 == 0 { 1000.0 } else { 1.0 }));
        assert!(rates.change().unwrap() < 1.0);
    }
}
