//! The triangular factor of rows that come in any cuts.
//!
//! Rows are cut into tiles, so many of which are a leaf, by their number alone: rows that come in order leave the same
//! bits however they are cut into blocks. Tiles are appended to the triangle of their leaf, leaves to that of all rows. So
//! leaves can be made on several threads, and a row goes through as many rotations as there are tiles in a leaf and leaves
//! in all, whose rounding adds up to about the root of that.

use crate::error::Result;
use crate::linalg::{Appending, block_rows, exponent_of};
use crate::matrix::{Real, power_of_two_below};
use crate::parallel::Context;
use crate::regression::block::StreamBlock;
use crate::regression::triangular::part::Part;
use crate::regression::triangular::tile::Tile;
use serde::{Deserialize, Serialize};

/// Numbers of a leaf at least: a fraction of a millisecond.
const LEAF: usize = 1 << 18;

/// A leaf has so many times more rows than columns at least, or to append its triangle would cost more than a few percent.
const ASPECT: usize = 8;

/// Flops of a leaf at most on a thread that nobody can interrupt: about a second.
const MOST_FLOPS: f64 = 2e10;

/// No sum of squares of so small numbers overflows, however many there are.
const SMALL: f64 = 1e140;

/// The triangles of rows so far, and those rows of a tile that is not complete.
pub(crate) struct TriangularFactor {
    pub whole: Part,
    pub leaf: Part,
    pub tail: Tile,
    /// In the leaf.
    pub tiles: usize,
    pub weights: WeightsSeen,
    /// All rows that were there when some were taken out, each time about their mean: rounding is of their size.
    pub removed: Option<Part>,
}

/// What statistics want to know of weights that are positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsSeen {
    /// Their number.
    pub count: u64,
    /// The smallest.
    pub lightest: f64,
    /// The largest.
    pub heaviest: f64,
    /// Their product is this times two to the power of the exponent.
    pub mantissa: f64,
    /// The exponent.
    pub exponent: i64,
}

impl TriangularFactor {
    /// Of no rows of so many numbers, beside a constant if there is one.
    pub fn new(columns: usize, constant: bool) -> Result<Self> {
        let order = columns + usize::from(constant);
        Ok(Self {
            whole: Part::new(order, constant)?,
            leaf: Part::new(order, constant)?,
            tail: Tile::new(block_rows(order), order)?,
            tiles: 0,
            weights: WeightsSeen::NONE,
            removed: None,
        })
    }

    /// Columns of the triangle.
    pub fn order(&self) -> usize {
        self.whole.centre.len()
    }

    /// Tiles of a leaf.
    pub fn tiles_of_leaf(&self) -> usize {
        let order = self.order().max(1);
        (LEAF / order).max(ASPECT * order).div_ceil(block_rows(order))
    }

    /// Whether a block leaves the last tile incomplete, so that its rows are only kept.
    pub fn is_short(&self, rows: usize) -> bool {
        rows < self.tail.room()
    }

    /// Keeps the rows of a short block. False, and nothing is kept, if they are not finite, or the triangle would not be.
    pub fn keep<T: Real>(&mut self, block: &StreamBlock<'_, T>) -> Result<bool> {
        let filled = self.tail.filled;
        self.tail.fill(block, 0..block.design.nrows())?;
        if self.has_room_from(filled)? {
            self.weights.add(block.weights, block.design.nrows());
            return Ok(true);
        }
        self.tail.filled = filled;
        Ok(false)
    }

    /// Takes the rows of a block in; what is not finite in them is in the triangles then.
    pub fn add<T: Real>(&mut self, context: &Context, block: &StreamBlock<'_, T>) -> Result<()> {
        let (tile, of_leaf) = (self.tail.values.nrows(), self.tiles_of_leaf());
        let leaf = tile * of_leaf;
        let flops = 2.0 * leaf as f64 * (self.order() as f64).powi(2);
        let many = context.threads() > 1 && flops <= MOST_FLOPS;
        let mut with = Appending::new(tile, self.order())?;
        let (mut row, rows) = (0, block.design.nrows());
        while row < rows {
            context.tick()?;
            if many && self.tiles == 0 && self.tail.filled == 0 && rows - row >= 2 * leaf {
                let leaves = (rows - row) / leaf;
                self.add_leaves(context, block, row, leaves)?;
                row += leaves * leaf;
                continue;
            }
            let next = row..rows.min(row + self.tail.room());
            row = next.end;
            self.tail.fill(block, next)?;
            if self.tail.room() == 0 {
                self.leaf.append(&mut self.tail, &mut with);
                self.tiles += 1;
            }
            if self.tiles == of_leaf {
                self.tiles = 0;
                let next = Part::new(self.order(), self.leaf.constant)?;
                self.whole.merge(std::mem::replace(&mut self.leaf, next))?;
            }
        }
        self.weights.add(block.weights, rows);
        Ok(())
    }

    /// Takes whole leaves in from this row of a block on, as [`TriangularFactor::add`] does one by one.
    fn add_leaves<T: Real>(
        &mut self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        first: usize,
        leaves: usize,
    ) -> Result<()> {
        let (order, constant, of_leaf) = (self.order(), self.whole.constant, self.tiles_of_leaf());
        let tile = self.tail.values.nrows();
        let scratch = || Ok((Tile::new(tile, order)?, Appending::new(tile, order)?));
        let work = |scratch: &mut Result<(Tile, Appending)>, leaf: usize| {
            let (rows, with) = scratch.as_mut().map_err(|error| error.clone())?;
            let mut part = Part::new(order, constant)?;
            for k in leaf * of_leaf..(leaf + 1) * of_leaf {
                rows.fill(block, first + k * tile..first + (k + 1) * tile)?;
                part.append(rows, with);
            }
            Ok(part)
        };
        let (whole, mut outcome) = (&mut self.whole, Ok(()));
        context.fold_with(leaves, scratch, work, |part| {
            if outcome.is_ok() {
                outcome = whole.merge(part);
            }
        })?;
        outcome
    }

    /// The triangle of all rows so far.
    pub fn total(&self) -> Result<Part> {
        let mut total = self.whole.copy()?;
        total.merge(self.leaf.copy()?)?;
        if self.tail.filled > 0 {
            let mut rest = Part::new(self.order(), total.constant)?;
            let mut with = Appending::new(self.tail.values.nrows(), self.order())?;
            rest.append(&mut self.tail.copy()?, &mut with);
            total.merge(rest)?;
        }
        Ok(total)
    }

    /// Takes in all rows of another factor of the same shape, after those of this one.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.whole.merge(other.total()?)?;
        self.weights = self.weights.with(&other.weights);
        match (&mut self.removed, &other.removed) {
            (_, None) => Ok(()),
            (Some(ours), Some(theirs)) => ours.merge(theirs.copy()?),
            (ours, Some(theirs)) => {
                *ours = Some(theirs.copy()?);
                Ok(())
            }
        }
    }

    /// Appends the rows that wait for others. Rows that come begin a leaf.
    pub fn close(&mut self) -> Result<()> {
        let whole = self.total()?;
        self.replace(whole)
    }

    /// From now on this is the triangle of all rows so far.
    pub fn replace(&mut self, whole: Part) -> Result<()> {
        self.leaf = Part::new(self.order(), whole.constant)?;
        (self.whole, self.tail.filled, self.tiles) = (whole, 0, 0);
        Ok(())
    }

    /// Whether nothing in it has overflowed, nor will when the rows that wait are appended.
    pub fn is_finite(&self) -> Result<bool> {
        Ok(self.whole.is_finite() && self.leaf.is_finite() && self.has_room_from(0)?)
    }

    /// Whether the rows that wait, from this one on, can be appended.
    fn has_room_from(&self, first: usize) -> Result<bool> {
        let largest = self.tail.largest_from(first);
        Ok(largest <= SMALL || (largest <= f64::MAX / 4.0 && self.total()?.is_finite()))
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let (whole, leaf, tail) = (self.whole.copy()?, self.leaf.copy()?, self.tail.copy()?);
        let removed = self.removed.as_ref().map(Part::copy).transpose()?;
        Ok(Self { whole, leaf, tail, removed, ..*self })
    }
}

impl WeightsSeen {
    const NONE: Self = Self { count: 0, lightest: f64::INFINITY, heaviest: 0.0, mantissa: 1.0, exponent: 0 };

    /// Adds the weights of so many rows, all of them one if there are none.
    fn add(&mut self, weights: Option<&[f64]>, rows: usize) {
        let Some(weights) = weights else {
            let ones = Self { count: rows as u64, lightest: 1.0, heaviest: 1.0, ..Self::NONE };
            *self = if rows > 0 { self.with(&ones) } else { *self };
            return;
        };
        for &weight in weights.iter().filter(|weight| **weight > 0.0) {
            let power = power_of_two_below(weight);
            *self = self.with(&Self {
                count: 1,
                lightest: weight,
                heaviest: weight,
                mantissa: weight / power,
                exponent: i64::from(exponent_of(power)),
            });
        }
    }

    fn with(&self, other: &Self) -> Self {
        let mantissa = self.mantissa * other.mantissa;
        let power = power_of_two_below(mantissa);
        Self {
            count: self.count + other.count,
            lightest: self.lightest.min(other.lightest),
            heaviest: self.heaviest.max(other.heaviest),
            mantissa: mantissa / power,
            exponent: self.exponent + other.exponent + i64::from(exponent_of(power)),
        }
    }

    /// Those that are left without others; none if there were not so many.
    pub fn without(&self, other: &Self) -> Option<Self> {
        let mantissa = self.mantissa / other.mantissa;
        let power = power_of_two_below(mantissa);
        Some(Self {
            count: self.count.checked_sub(other.count)?,
            mantissa: mantissa / power,
            exponent: self.exponent - other.exponent + i64::from(exponent_of(power)),
            ..*self
        })
    }

    /// The logarithm of their product.
    pub fn log_product(&self) -> f64 {
        self.mantissa.ln() + self.exponent as f64 * std::f64::consts::LN_2
    }

    /// The root of the lightest over the heaviest.
    pub fn spread(&self) -> f64 {
        if self.count > 0 { (self.lightest / self.heaviest).sqrt() } else { 1.0 }
    }

    /// Whether they may be those of rows.
    pub fn is_valid(&self) -> bool {
        let range = 0.0..=f64::MAX;
        (self.count == 0 || (range.contains(&self.lightest) && self.lightest <= self.heaviest))
            && range.contains(&self.heaviest)
            && range.contains(&self.mantissa)
    }
}
