//! A stream of rows: what comes in, in chunks, and what it is summed up to.
//!
//! Chunk c is the rows 32 c to 32 c + 31, whatever blocks they come in, so that no cuts change a bit. Rows are copied only
//! where they wait for others, or are not what they are in the caller's memory: weighted, centred, or so large or small that
//! their squares are out of range.

use crate::error::{Error, Result};
use crate::linalg::{exponent_of, largest_of, times_power_of_two};
use crate::matrix::{Dense, Rows, first_non_finite};
use crate::memory::{extend, reset, room_for};
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::{axpy, norm_sq};
use crate::streaming::heavy::{Heavy, Sifted};
use crate::streaming::mean::{Centred, Total};
use crate::streaming::numbers::Numbers;
use crate::streaming::params::{Params, Plan};
use crate::streaming::rows::{CHUNK, Chunk};
use crate::streaming::summary::Summary;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What memory is for.
const ROOTS: &str = "roots of weights";
/// Purpose of the random numbers.
const SHUFFLE: u8 = 0x61;
/// Squared norms that are summed as they are, and their squares; others are in another unit.
const RANGE: Range<f64> = 1e-100..1e100;
/// How many powers of two larger than the unit an entry may be.
const LARGER: i32 = 60;

/// The state.
#[derive(Serialize, Deserialize)]
pub struct Stream {
    pub(super) params: Params,
    pub(super) plan: Plan,
    /// Rows so far.
    pub(super) seen: u64,
    /// Rows held back to be shuffled, as they came.
    pub(super) held: Waiting,
    /// Rows that wait for the others of their chunk, as they came.
    pub(super) pending: Waiting,
    /// What is taken off every row, near its mean.
    pub(super) shift: Option<Numbers>,
    /// Everything below is of rows divided by two to this power.
    pub(super) unit: Option<i32>,
    /// The first rows, as long as there are few.
    pub(super) exact: Waiting,
    /// Rows in whole chunks so far.
    pub(super) taken: u64,
    /// Sum of squared norms.
    pub(super) energy: f64,
    /// Sums of squares that sums were the difference of, for what rounding has done to them.
    pub(super) cancelled: f64,
    /// Sums of the weights and of their squares.
    pub(super) weights: [f64; 2],
    /// Of all rows that are summed up, less the shift; heavy ones are not among them.
    pub(super) total: Option<Total>,
    pub(super) heavy: Heavy,
    pub(super) summary: Summary,
    /// How many streams became this one, less one.
    pub(super) n_merged: u64,
    /// Rows that were taken out again.
    pub(super) deleted: u64,
}

/// Rows that wait, and the roots of their weights.
#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    pub rows: Numbers,
    pub roots: Vec<f64>,
}

impl Waiting {
    /// Room for so many rows of `d` numbers.
    fn new(most: usize, d: usize) -> Result<Self> {
        Ok(Self { rows: Numbers::zeros(most * d)?, roots: room_for(most, ROOTS)? })
    }

    fn copy(&self, most: usize) -> Result<Self> {
        let mut roots = room_for(most.max(self.roots.len()), ROOTS)?;
        extend(&mut roots, self.roots.iter().copied(), ROOTS)?;
        Ok(Self { rows: self.rows.copy()?, roots })
    }

    /// One more, for which there is room.
    #[expect(clippy::disallowed_methods, reason = "at most as many as rows, for which there is room")]
    fn push(&mut self, row: &[f64], root: f64) {
        let from = self.roots.len() * row.len();
        self.rows[from..from + row.len()].copy_from_slice(row);
        self.roots.push(root);
    }

    fn fits(&self, most: usize, d: usize) -> bool {
        self.rows.len() == most * d
            && self.roots.len() <= most
            && self.roots.iter().all(|root| *root >= 0.0 && root.is_finite())
    }
}

/// Where a chunk becomes what is summed.
#[derive(Default)]
pub(super) struct Work {
    rows: Vec<f64>,
    norms: Vec<f64>,
    sifted: Sifted,
    centred: Centred,
}

impl Work {
    pub(super) fn aside(&mut self) -> Aside<'_> {
        (&mut self.sifted, &mut self.centred)
    }
}

/// Where light rows are put together, and where they are centred.
pub(super) type Aside<'w> = (&'w mut Sifted, &'w mut Centred);

impl Stream {
    /// No rows yet, of `d` numbers each.
    pub fn new(context: &Context, params: Params, d: usize) -> Result<Self> {
        let plan = params.plan(d)?;
        Ok(Self {
            params,
            plan,
            seen: 0,
            held: Waiting::new(params.shuffle, d)?,
            pending: Waiting::new(CHUNK, d)?,
            shift: None,
            unit: None,
            exact: Waiting::new(plan.exact(), d)?,
            taken: 0,
            energy: 0.0,
            cancelled: 0.0,
            weights: [0.0; 2],
            total: params.center.then(|| Total::new(d)).transpose()?,
            heavy: Heavy::new(plan.heavy, d)?,
            summary: Summary::new(context, &params, &plan)?,
            n_merged: 0,
            deleted: 0,
        })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            held: self.held.copy(self.params.shuffle)?,
            pending: self.pending.copy(CHUNK)?,
            shift: self.shift.as_ref().map(Numbers::copy).transpose()?,
            exact: self.exact.copy(self.plan.exact())?,
            total: self.total.as_ref().map(Total::copy).transpose()?,
            heavy: self.heavy.copy()?,
            summary: self.summary.copy()?,
            ..*self
        })
    }

    /// True of a state that hangs together.
    pub(super) fn fits(&self) -> bool {
        let Plan { d, heavy, .. } = self.plan;
        let exact = if self.exact.rows.is_empty() { 0 } else { self.plan.exact() };
        let waiting = (self.held.roots.len() + self.pending.roots.len()) as u64;
        self.params.plan(d).is_ok_and(|plan| plan == self.plan)
            && self.held.fits(self.params.shuffle, d)
            && self.pending.fits(CHUNK, d)
            && self.pending.roots.len() < CHUNK
            && self.exact.fits(exact, d)
            && self.shift.as_ref().is_none_or(|shift| self.params.center && shift.len() == d)
            && self.unit.is_none_or(|unit| unit.abs() < 1100)
            && [self.energy, self.cancelled, self.weights[0], self.weights[1]]
                .iter()
                .all(|sum| *sum >= 0.0 && sum.is_finite())
            && self.total.as_ref().map_or(!self.params.center, |total| self.params.center && total.fits(d))
            && self.taken.checked_add(waiting) == self.seen.checked_add(self.deleted)
            && self.heavy.fits(heavy, d)
            && self.summary.fits(&self.params, &self.plan)
    }

    /// What was asked for.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What is done.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Rows so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes of the numbers of the state.
    pub fn bytes(&self) -> usize {
        let option = |numbers: Option<&Numbers>| numbers.map_or(0, |numbers| numbers.len());
        let waiting =
            [&self.held, &self.pending, &self.exact].map(|rows| rows.rows.len()).iter().sum::<usize>();
        8 * (waiting
            + option(self.shift.as_ref())
            + option(self.total.as_ref().map(|total| &total.sum))
            + self.heavy.room()
            + self.summary.size())
    }

    /// True if so many rows would only wait for others.
    pub fn only_waits(&self, rows: usize) -> bool {
        self.pending.roots.len() + rows < CHUNK
    }

    /// Takes rows in. After an error it is as before if rows [only wait](Stream::only_waits), otherwise broken.
    pub fn add(&mut self, context: &Context, block: &dyn Rows, weights: Option<&[f64]>) -> Result<()> {
        let (d, n) = (self.plan.d, block.nrows());
        if block.ncols() != d {
            return Err(Error::shape("X", format!("{} columns", block.ncols()), format!("{d}, as before")));
        }
        let (mut tile, mut work, mut row) = (Vec::new(), Work::default(), 0);
        while row < n {
            context.tick()?;
            let waiting = self.pending.roots.len();
            let piece = row..n.min(row + CHUNK - waiting);
            let rows = block.tile(piece.clone(), 0..d, &mut tile)?;
            let roots = weights.map(|weights| &weights[piece.clone()]);
            squared_norms(rows, &mut work.norms)?;
            let finite = |i: usize| work.norms[i].is_finite() || is_finite(rows.stored_row(i));
            if !(0..piece.len()).all(finite) {
                return Err(not_finite(context, block)?);
            }
            if piece.len() == CHUNK && self.params.shuffle == 0 {
                self.take(context, rows, roots, &mut work)?;
            } else {
                for i in 0..piece.len() {
                    self.wait(rows.stored_row(i), roots.map_or(1.0, |roots| roots[i]));
                }
            }
            if self.pending.roots.len() == CHUNK {
                self.take_pending(context, &mut work)?;
            }
            row = piece.end;
            self.seen += piece.len() as u64;
        }
        Ok(())
    }

    /// Puts a row among those that wait, or another one in whose place it is held.
    fn wait(&mut self, row: &[f64], root: f64) {
        let (most, d) = (self.params.shuffle, row.len());
        if self.held.roots.len() < most {
            return self.held.push(row, root);
        }
        if most == 0 {
            return self.pending.push(row, root);
        }
        let number = self.taken + self.pending.roots.len() as u64;
        let slot = Random::new(self.params.seed, 0, SHUFFLE).index(number, most as u64) as usize;
        let place = &mut self.held.rows[slot * d..][..d];
        self.pending.push(place, self.held.roots[slot]);
        place.copy_from_slice(row);
        self.held.roots[slot] = root;
    }

    /// Takes the rows that wait as a chunk, whole or not.
    fn take_pending(&mut self, context: &Context, work: &mut Work) -> Result<()> {
        let d = self.plan.d;
        let none = Waiting { rows: Numbers::zeros(0)?, roots: Vec::new() };
        let mut pending = std::mem::replace(&mut self.pending, none);
        let count = pending.roots.len();
        let rows = Dense::row_major(&pending.rows[..count * d], count, d);
        squared_norms(rows, &mut work.norms)?;
        let outcome = self.take(context, rows, Some(&pending.roots), work);
        pending.roots.clear();
        self.pending = pending;
        outcome
    }

    /// Takes a chunk of rows as they came, whose squared norms are there, with the roots of their weights.
    fn take(
        &mut self,
        context: &Context,
        rows: Dense<'_, f64>,
        roots: Option<&[f64]>,
        work: &mut Work,
    ) -> Result<()> {
        let Work { rows: own, norms, sifted, centred } = work;
        let (m, ones) = (rows.nrows(), [1.0; CHUNK]);
        let roots = roots.unwrap_or(&ones[..m]);
        let rows = self.prepared(rows, roots, own, norms)?;
        let chunk = Chunk { rows, norms, roots };
        self.energy += chunk.norms.iter().sum::<f64>();
        self.weigh(roots, 1.0);
        let number = self.taken;
        self.taken += m as u64;
        if self.plan.sifts() && self.taken <= self.plan.exact() as u64 && !self.exact.rows.is_empty() {
            (0..m).for_each(|i| self.exact.push(chunk.row(i), roots[i]));
            return Ok(());
        }
        // Once there are more rows than are kept, the first ones are summed up like all others.
        let none = Waiting { rows: Numbers::zeros(0)?, roots: Vec::new() };
        let first = std::mem::replace(&mut self.exact, none);
        self.sum_up(context, &first.rows, &first.roots, 0, (sifted, centred))?;
        self.absorb(context, chunk, number, (sifted, centred))
    }

    /// Sums up rows that are as this stream has them and already counted; the first of them is that number.
    pub(super) fn sum_up(
        &mut self,
        context: &Context,
        rows: &[f64],
        roots: &[f64],
        number: u64,
        (sifted, centred): Aside<'_>,
    ) -> Result<()> {
        let (d, mut norms) = (self.plan.d, Vec::new());
        for first in (0..roots.len()).step_by(CHUNK) {
            let last = roots.len().min(first + CHUNK);
            let rows = Dense::row_major(&rows[first * d..last * d], last - first, d);
            squared_norms(rows, &mut norms)?;
            let chunk = Chunk { rows, norms: &norms, roots: &roots[first..last] };
            self.absorb(context, chunk, number + first as u64, (&mut *sifted, &mut *centred))?;
        }
        Ok(())
    }

    /// Sums up a chunk, whose first row is that number.
    fn absorb(
        &mut self,
        context: &Context,
        chunk: Chunk<'_>,
        number: u64,
        (sifted, centred): Aside<'_>,
    ) -> Result<()> {
        let light = if self.plan.sifts() { self.heavy.sift(chunk, number, sifted)? } else { chunk };
        if light.len() == 0 {
            return Ok(());
        }
        match &mut self.total {
            Some(total) if !self.summary.is_centred() => {
                (0..light.len()).for_each(|i| total.add(light.row(i), light.roots[i]));
                self.summary.absorb(context, &light)
            }
            Some(total) => self.summary.absorb(context, &total.centre(&light, centred)?),
            None => self.summary.absorb(context, &light),
        }
    }

    /// The rows less the shift, times the roots of their weights, in the unit of the state. Their squared norms become what
    /// they then are.
    fn prepared<'r>(
        &mut self,
        rows: Dense<'r, f64>,
        roots: &[f64],
        own: &'r mut Vec<f64>,
        norms: &mut [f64],
    ) -> Result<Dense<'r, f64>> {
        let (m, d) = (rows.nrows(), rows.ncols());
        if self.params.center && self.shift.is_none() && self.summary.is_centred() {
            self.shift = mean_of(rows, roots)?;
        }
        let plain = self.shift.is_none() && self.unit.is_none() && roots.iter().all(|root| *root == 1.0);
        if plain && self.in_range(norms) {
            return Ok(rows);
        }
        reset(own, m * d, "rows")?;
        for i in 0..m {
            let to = &mut own[i * d..][..d];
            to.copy_from_slice(rows.stored_row(i));
            if let Some(shift) = &self.shift {
                to.iter_mut().zip(shift.iter()).for_each(|(to, shift)| *to -= shift);
            }
            if roots[i] != 1.0 {
                to.iter_mut().for_each(|to| *to *= roots[i]);
            }
        }
        (0..m).for_each(|i| norms[i] = norm_sq(&own[i * d..][..d]));
        if self.unit.is_some() || !self.in_range(norms) {
            self.measure(own);
            let unit = self.unit.unwrap_or(0);
            own.iter_mut().for_each(|number| *number = times_power_of_two(*number, -unit));
            (0..m).for_each(|i| norms[i] = norm_sq(&own[i * d..][..d]));
        }
        if norms.iter().any(|norm_sq| !norm_sq.is_finite()) {
            return Err(Error::value("X", "an array with differences out of range", "smaller numbers"));
        }
        Ok(Dense::row_major(own, m, d))
    }

    /// Whether squares can be summed as they are, given what was summed before.
    fn in_range(&self, norms: &[f64]) -> bool {
        let largest = norms.iter().fold(0.0f64, |most, norm| most.max(*norm));
        largest < RANGE.end && (self.energy > 0.0 || largest >= RANGE.start)
    }

    /// Chooses a unit in which the largest of these numbers is not too large, nor all that is there too small.
    fn measure(&mut self, numbers: &[f64]) {
        let largest = largest_of(numbers);
        if largest == 0.0 {
            return;
        }
        let (exponent, unit) = (exponent_of(largest), self.unit.unwrap_or(0));
        if self.energy > 0.0 && exponent <= unit + LARGER {
            return;
        }
        if self.energy > 0.0 {
            self.use_unit(exponent);
        } else {
            self.unit = Some(exponent);
            self.summary.choose_unit(exponent);
        }
    }

    /// Everything in another unit.
    pub(super) fn use_unit(&mut self, exponent: i32) {
        let factor = times_power_of_two(1.0, self.unit.unwrap_or(0) - exponent);
        self.unit = Some(exponent);
        self.energy *= factor * factor;
        self.cancelled *= factor * factor;
        self.exact.rows.scale(factor);
        self.heavy.scale(factor);
        self.summary.scale(factor);
        if let Some(total) = &mut self.total {
            total.sum.scale(factor);
        }
    }

    /// Takes in rows as another stream prepared them.
    pub(super) fn add_prepared(
        &mut self,
        context: &Context,
        other: &Self,
        rows: &[f64],
        roots: &[f64],
    ) -> Result<()> {
        let (d, unit) = (self.plan.d, other.unit.unwrap_or(0));
        let mut raw = Numbers::zeros(rows.len())?;
        raw.copy_from_slice(rows);
        for (row, &root) in raw.chunks_exact_mut(d.max(1)).zip(roots) {
            for (k, number) in row.iter_mut().enumerate() {
                let whole = if root == 1.0 || root == 0.0 { *number } else { *number / root };
                *number =
                    times_power_of_two(whole, unit) + other.shift.as_ref().map_or(0.0, |shift| shift[k]);
            }
        }
        self.add(context, &Dense::row_major(&raw, roots.len(), d), Some(roots))
    }

    /// Counts weights, whose roots these are, or takes them off.
    fn weigh(&mut self, roots: &[f64], sign: f64) {
        for square in roots.iter().map(|root| root * root) {
            self.weights[0] += sign * square;
            self.weights[1] += sign * square * square;
        }
        self.weights.iter_mut().for_each(|sum| *sum = sum.max(0.0));
    }

    /// Takes rows out again that were taken in; only what is linear can do that.
    pub fn delete(&mut self, context: &Context, block: &dyn Rows, roots: Option<&[f64]>) -> Result<()> {
        let (d, n) = (self.plan.d, block.nrows());
        if !matches!(self.summary, Summary::Sketch(_)) {
            return Err(Error::value(
                "algorithm",
                "not a linear one",
                "'sketch', from which rows can be deleted",
            ));
        }
        if block.ncols() != d {
            return Err(Error::shape("X", format!("{} columns", block.ncols()), format!("{d}, as before")));
        }
        self.seen = self.seen.checked_sub(n as u64).ok_or_else(|| {
            Error::value("X", format!("{n} rows"), format!("at most {}, as many as there are", self.seen))
        })?;
        let (mut tile, mut work) = (Vec::new(), Work::default());
        let ones = [1.0; CHUNK];
        for first in (0..n).step_by(CHUNK) {
            context.tick()?;
            let piece = first..n.min(first + CHUNK);
            let rows = block.tile(piece.clone(), 0..d, &mut tile)?;
            if !(0..piece.len()).all(|i| is_finite(rows.stored_row(i))) {
                return Err(not_finite(context, block)?);
            }
            let roots = roots.map_or(&ones[..piece.len()], |roots| &roots[piece.clone()]);
            let Work { rows: own, norms, .. } = &mut work;
            squared_norms(rows, norms)?;
            let rows = self.prepared(rows, roots, own, norms)?;
            self.energy = (self.energy - norms.iter().sum::<f64>()).max(0.0);
            self.weigh(roots, -1.0);
            let chunk = Chunk { rows, norms, roots };
            if let Some(total) = &mut self.total {
                (0..piece.len()).for_each(|i| total.subtract(chunk.row(i), roots[i]));
            }
            let Summary::Sketch(sketch) = &mut self.summary else { continue };
            sketch.absorb(&chunk, -1.0)?;
        }
        self.deleted += n as u64;
        Ok(())
    }

    /// Ends the stream: all rows if they are few enough to have been kept, or nothing once they are summed up.
    pub(super) fn finish(&mut self, context: &Context) -> Result<Option<Waiting>> {
        let few = self.few_rows(context)?;
        if few.is_none() {
            self.sum_up_the_rest(context)?;
            self.summary.finish(context)?;
        }
        Ok(few)
    }

    /// All rows, as they would be summed up, if they are few enough to have been kept.
    pub(super) fn few_rows(&mut self, context: &Context) -> Result<Option<Waiting>> {
        let (d, mut work) = (self.plan.d, Work::default());
        let held = self.held.copy(0)?;
        for (row, &root) in held.rows.chunks_exact(d.max(1)).zip(&held.roots) {
            self.pending.push(row, root);
            if self.pending.roots.len() == CHUNK {
                self.take_pending(context, &mut work)?;
            }
        }
        self.held.roots.clear();
        let kept = self.taken <= self.plan.exact() as u64 && !self.exact.rows.is_empty();
        if self.plan.sifts() && (kept || self.taken == 0) {
            return self.all_rows().map(Some);
        }
        Ok(None)
    }

    /// Sums up rows that wait for others.
    pub(super) fn sum_up_the_rest(&mut self, context: &Context) -> Result<()> {
        if self.pending.roots.is_empty() {
            return Ok(());
        }
        self.take_pending(context, &mut Work::default())
    }

    /// The first rows and those that wait, as they are summed up.
    fn all_rows(&mut self) -> Result<Waiting> {
        let (d, count) = (self.plan.d, self.pending.roots.len());
        let pending = self.pending.copy(0)?;
        let (mut own, mut norms) = (Vec::new(), Vec::new());
        let rows = Dense::row_major(&pending.rows[..count * d], count, d);
        squared_norms(rows, &mut norms)?;
        let rows = self.prepared(rows, &pending.roots, &mut own, &mut norms)?;
        self.energy += norms.iter().sum::<f64>();
        self.weigh(&pending.roots, 1.0);
        let mut all = Waiting::new(self.exact.roots.len() + count, d)?;
        for (i, &root) in self.exact.roots.iter().enumerate() {
            all.push(&self.exact.rows[i * d..][..d], root);
        }
        (0..count).for_each(|i| all.push(rows.stored_row(i), pending.roots[i]));
        Ok(all)
    }
}

fn squared_norms(rows: Dense<'_, f64>, norms: &mut Vec<f64>) -> Result<()> {
    reset(norms, rows.nrows(), "norms of rows")?;
    norms.iter_mut().enumerate().for_each(|(i, norm)| *norm = norm_sq(rows.stored_row(i)));
    Ok(())
}

fn is_finite(row: &[f64]) -> bool {
    row.iter().all(|number| number.is_finite())
}

/// The error that names the first entry which is not.
fn not_finite(context: &Context, block: &dyn Rows) -> Result<Error> {
    let found = first_non_finite(context, block)?;
    Ok(found.map_or_else(
        || Error::Internal("a row that was not finite is".into()),
        |(i, j, value)| Error::non_finite("X", value, format!("[{i}, {j}]")),
    ))
}

/// The mean of those rows that have a weight; none if there are none.
fn mean_of(rows: Dense<'_, f64>, roots: &[f64]) -> Result<Option<Numbers>> {
    let weighted = || (0..rows.nrows()).filter(|&i| roots[i] > 0.0);
    let mut mean = Numbers::zeros(rows.ncols())?;
    let share = 1.0 / weighted().count() as f64;
    weighted().for_each(|i| axpy(share, rows.stored_row(i), &mut mean));
    Ok(share.is_finite().then_some(mean))
}
