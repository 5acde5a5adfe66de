//! A stream of rows: what comes in, in chunks, and what it is summed up to.
//!
//! Chunk c is the rows 32 c to 32 c + 31, whatever blocks they come in, so that no cuts change a bit. Rows are copied only
//! where they wait for others, or are not what they are in the caller's memory: weighted, centred, or so large or small that
//! their squares are out of range. Rows in single precision and sparse rows are multiplied as they are; to the bit that is
//! what comes of them once they are spread out.

use crate::error::{Error, Result};
use crate::linalg::{exponent_of, largest_of, times_power_of_two};
use crate::matrix::{Axis, Dense, Indices, Matrix, Rows, Sparse, first_non_finite};
use crate::memory::{extend, gathered, push, reset, resize, room_for};
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::{Stored, axpy, norm_sq};
use crate::streaming::params::{Params, Plan};
use crate::streaming::rows::chunk::{CHUNK, Chunk, Few, Lines, Precision, Room, squared_norms};
use crate::streaming::rows::heavy::{Heavy, Sifted};
use crate::streaming::rows::mean::{Centred, Total};
use crate::streaming::rows::order::{Ahead, Rates};
use crate::streaming::small::numbers::Numbers;
use crate::streaming::summaries::mixed::Made;
use crate::streaming::summaries::summary::{Rooms, Summary};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Mutex;

/// What memory is for.
const ROOTS: &str = "roots of weights";
const CHUNKS: &str = "chunks of rows";
/// Numbers of a row from which on several threads are faster, and bytes of the rows that one of them takes at a time.
const WIDE: usize = 512;
const GROUP: usize = 512 << 10;
/// Purpose of the random numbers.
const SHUFFLE: u8 = 0x61;
/// Squared norms that are summed as they are, and their squares, in double and in single precision; others are in another
/// unit.
const RANGES: [Range<f64>; 2] = [1e-100..1e100, 1e-12..1e12];
/// Rows of the first run whose norms are compared with those of others.
const FIRST_RUN: u64 = 256;
/// How many powers of two larger than the unit an entry may be.
const LARGER: [i32; 2] = [60, 20];

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
    /// Squared norms of rows as they come, in runs that are each as long as all before.
    pub(super) norms: Rates,
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

    /// None, and no room for any.
    fn none() -> Result<Self> {
        Self::new(0, 0)
    }

    /// One more, for which there is room.
    fn push(&mut self, row: &[f64], root: f64) {
        self.push_by(row.len(), root, |to| to.copy_from_slice(row));
    }

    /// One more of `d` numbers, for which there is room, once it is written.
    #[expect(clippy::disallowed_methods, reason = "at most as many as rows, for which there is room")]
    fn push_by(&mut self, d: usize, root: f64, write: impl FnOnce(&mut [f64])) {
        write(&mut self.rows[self.roots.len() * d..][..d]);
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
    own: Own,
    sifted: Sifted<f64>,
    rest: Rest,
}

/// Rows that are not what they came as, and the squared norms of any.
#[derive(Default)]
struct Own {
    rows: Vec<f64>,
    norms: Vec<f64>,
}

/// What light rows go through.
#[derive(Default)]
struct Rest {
    centred: Centred,
    rooms: Rooms,
}

impl Stream {
    /// No rows yet, of `d` numbers each.
    pub fn new(context: &Context, params: Params, d: usize) -> Result<Self> {
        let plan = params.plan(d)?;
        let mut stream = Self {
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
            norms: Rates::default(),
            cancelled: 0.0,
            weights: [0.0; 2],
            total: params.center.then(|| Total::new(d)).transpose()?,
            heavy: Heavy::new(0, d)?,
            summary: Summary::Waiting,
            n_merged: 0,
            deleted: 0,
        };
        if stream.exact.rows.is_empty() {
            stream.begin(context)?;
        }
        Ok(stream)
    }

    /// From now on rows are summed up.
    pub(super) fn begin(&mut self, context: &Context) -> Result<()> {
        self.heavy = Heavy::new(self.plan.heavy, self.plan.d)?;
        self.summary = Summary::new(context, &self.params, &self.plan)?;
        Ok(())
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            held: self.held.copy(self.params.shuffle)?,
            pending: self.pending.copy(CHUNK)?,
            shift: self.shift.as_ref().map(Numbers::copy).transpose()?,
            exact: self.exact.copy(self.plan.exact())?,
            norms: self.norms.copy()?,
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
            && self.norms.fits()
            && self.total.as_ref().map_or(!self.params.center, |total| self.params.center && total.fits(d))
            && self.taken.checked_add(waiting) == self.seen.checked_add(self.deleted)
            && self.heavy.fits(if self.exact.rows.is_empty() { heavy } else { 0 }, d)
            && match self.summary {
                Summary::Waiting => !self.exact.rows.is_empty(),
                _ => self.exact.rows.is_empty() && self.summary.fits(&self.params, &self.plan),
            }
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
    pub fn add<T: Precision>(
        &mut self,
        context: &Context,
        block: Matrix<'_, T>,
        roots: Option<&[f64]>,
    ) -> Result<()> {
        let d = self.plan.d;
        if block.ncols() != d {
            return Err(Error::shape("X", format!("{} columns", block.ncols()), format!("{d}, as before")));
        }
        match block {
            Matrix::Sparse(columns) if columns.axis() == Axis::Columns => {
                columns.by_rows(context, |rows| self.add_rows(context, Matrix::Sparse(*rows), roots))
            }
            _ => self.add_rows(context, block, roots),
        }
    }

    fn add_rows<T: Precision>(
        &mut self,
        context: &Context,
        block: Matrix<'_, T>,
        roots: Option<&[f64]>,
    ) -> Result<()> {
        let (d, n) = (self.plan.d, block.nrows());
        let (mut work, mut sifted, mut columns) = (Work::default(), Sifted::default(), Vec::new());
        let (mut tile, mut row) = (Vec::new(), 0);
        while row < n {
            context.tick()?;
            if context.threads() > 1 && roots.is_none() {
                let rows = self.take_together(context, &block, row)?;
                row += rows;
                self.seen += rows as u64;
                if rows > 0 {
                    continue;
                }
            }
            let waiting = self.pending.roots.len();
            let piece = row..n.min(row + CHUNK - waiting);
            row = piece.end;
            if piece.len() == CHUNK
                && roots.is_none()
                && let Some(lines) = self.lines_of(&block, piece.clone(), &mut columns)?
                && self.take_as_they_are(context, lines, &mut sifted, &mut work)?
            {
                self.seen += CHUNK as u64;
                continue;
            }
            let rows = block.tile(piece.clone(), 0..d, &mut tile)?;
            let roots = roots.map(|roots| &roots[piece.clone()]);
            norms_of(rows, &mut work.own.norms)?;
            let finite = |i: usize| work.own.norms[i].is_finite() || is_finite(rows.stored_row(i));
            if !(0..piece.len()).all(finite) {
                return Err(not_finite(context, &block)?);
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
            self.seen += piece.len() as u64;
        }
        Ok(())
    }

    /// Rows where they lie, if that is how they may be taken. Of sparse ones, `columns` will have those of the entries.
    fn lines_of<'r, T: Precision>(
        &self,
        block: &Matrix<'r, T>,
        rows: Range<usize>,
        columns: &'r mut Vec<u32>,
    ) -> Result<Option<Lines<'r, T>>> {
        let rounded = self.plan.sifts() && self.params.single != T::as_f64(&[]).is_none();
        if self.params.center || self.params.shuffle > 0 || self.unit.is_some() || rounded {
            return Ok(None);
        }
        Ok(match block {
            Matrix::Dense(dense) if dense.col_stride() == 1 => {
                Some(Lines::Dense(Few::of(rows.map(|i| dense.stored_row(i)))))
            }
            Matrix::Sparse(sparse) if u32::try_from(self.plan.d).is_ok() => {
                Some(Lines::Stored(stored(sparse, rows, columns)?))
            }
            _ => None,
        })
    }

    /// Takes chunks from that row on, on all threads, of which each makes what it can of some before their turn: so many
    /// rows, none if they are not to be taken like that.
    fn take_together<T: Precision>(
        &mut self,
        context: &Context,
        block: &Matrix<'_, T>,
        row: usize,
    ) -> Result<usize> {
        let d = self.plan.d;
        let Matrix::Dense(dense) = block else { return Ok(0) };
        let alike = self.energy > 0.0 && self.pending.roots.is_empty();
        if d < WIDE || !alike || self.lines_of(block, row..row, &mut Vec::new())?.is_none() {
            return Ok(0);
        }
        let Some(maker) = self.summary.maker()? else { return Ok(0) };
        let count =
            (((block.nrows() - row) / CHUNK) as u64).min(maker.rows().div_ceil(CHUNK as u64)) as usize;
        let size = (GROUP / (CHUNK * d * size_of::<T>())).max(1);
        if count < 2 * size * context.threads() {
            return Ok(0);
        }
        let lines =
            |c: usize| Lines::Dense(Few::of((0..CHUNK).map(|i| dense.stored_row(row + c * CHUNK + i))));
        let spare = Mutex::new(Vec::new());
        let work = |room: &mut Room<T>, group: usize| {
            let (first, last) = (group * size, count.min((group + 1) * size));
            let make = |c: usize| {
                let mut made = spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
                maker.make(Chunk::of(lines(c), d, &[], &[]), &mut made, room)?;
                Ok(made)
            };
            gathered((first..last).map(make), CHUNKS)
        };
        let (mut taken, mut outcome) = (0, Ok(true));
        let (mut sifted, mut room, mut rest) = (Sifted::default(), Room::default(), Rest::default());
        let add = |group: Vec<Made<T>>| {
            for made in group {
                if matches!(outcome, Ok(true)) {
                    outcome = self.take_made(lines(taken), &made, &mut sifted, (&mut room, &mut rest));
                    taken += usize::from(matches!(outcome, Ok(true)));
                }
                if let Ok(mut spare) = spare.lock() {
                    // What there is no memory to keep is made anew.
                    let _ = push(&mut spare, made, CHUNKS);
                }
            }
        };
        context.fold_with(count.div_ceil(size), Room::default, work, add)?;
        outcome.map(|_| taken * CHUNK)
    }

    /// Takes a chunk of which something was made; false, and nothing, if rows cannot be summed up as they are.
    fn take_made<T: Precision>(
        &mut self,
        lines: Lines<'_, T>,
        made: &Made<T>,
        sifted: &mut Sifted<T>,
        (room, rest): (&mut Room<T>, &mut Rest),
    ) -> Result<bool> {
        if !self.in_range(&made.norms) {
            return Ok(false);
        }
        let (alone, chunk) = (Context::new(1), Chunk::of(lines, self.plan.d, &made.norms, &[1.0; CHUNK]));
        let Some(number) = self.count(&chunk)? else {
            return Err(Error::Internal("rows that are kept as they are".into()));
        };
        let chunk = Chunk { first: number, ..chunk };
        let light = self.heavy.sift(chunk, false, sifted)?;
        if light.len() == CHUNK && light.numbers.is_empty() {
            self.summary.absorb_made(&alone, &light, made, room)?;
        } else if light.len() > 0 {
            self.summary.absorb(&alone, &light, self.params.single, &mut rest.rooms)?;
        }
        Ok(true)
    }

    /// Takes a chunk of rows as they came; false, and nothing, if they cannot be summed up like that.
    fn take_as_they_are<T: Precision>(
        &mut self,
        context: &Context,
        lines: Lines<'_, T>,
        sifted: &mut Sifted<T>,
        work: &mut Work,
    ) -> Result<bool> {
        let Work { own: Own { norms, .. }, rest, .. } = work;
        squared_norms(&lines, self.plan.d, norms)?;
        if !self.in_range(norms) {
            return Ok(false);
        }
        let chunk = Chunk::of(lines, self.plan.d, norms, &[1.0; CHUNK]);
        if let Some(number) = self.count(&chunk)? {
            self.sum_up_first(context, rest)?;
            self.absorb(context, chunk, number, sifted, rest)?;
        }
        Ok(true)
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
        let mut pending = std::mem::replace(&mut self.pending, Waiting::none()?);
        let count = pending.roots.len();
        let rows = Dense::row_major(&pending.rows[..count * d], count, d);
        norms_of(rows, &mut work.own.norms)?;
        let outcome = self.take(context, rows, Some(&pending.roots), work);
        pending.roots.clear();
        // What was there is not to be found in the bytes of the state.
        pending.rows.fill(0.0);
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
        let Work { own: Own { rows: own, norms }, sifted, rest } = work;
        let (m, ones) = (rows.nrows(), [1.0; CHUNK]);
        let roots = roots.unwrap_or(&ones[..m]);
        let rows = self.prepared(rows, roots, own, norms)?;
        let lines = Lines::Dense(Few::of((0..m).map(|i| rows.stored_row(i))));
        let chunk = Chunk::of(lines, self.plan.d, norms, roots);
        match self.count(&chunk)? {
            Some(number) => {
                self.sum_up_first(context, rest)?;
                self.absorb(context, chunk, number, sifted, rest)
            }
            None => Ok(()),
        }
    }

    /// Counts the rows of a chunk, and keeps them as long as there are few; otherwise the number of the first.
    fn count<T: Precision>(&mut self, chunk: &Chunk<'_, T>) -> Result<Option<u64>> {
        let (m, d) = (chunk.len(), self.plan.d);
        self.energy += chunk.norms.iter().sum::<f64>();
        self.weigh(chunk.roots, 1.0);
        let number = self.taken;
        self.taken += m as u64;
        chunk.norms.iter().for_each(|norm_sq| self.norms.add(*norm_sq));
        if self.taken.ilog2() > number.max(FIRST_RUN).ilog2() {
            self.norms.close()?;
        }
        if !self.plan.sifts() || self.taken > self.plan.exact() as u64 || self.exact.rows.is_empty() {
            return Ok(Some(number));
        }
        (0..m).for_each(|i| self.exact.push_by(d, chunk.roots[i], |to| chunk.write_row(i, to)));
        Ok(None)
    }

    /// Once there are more rows than are kept, the first ones are summed up like all others.
    fn sum_up_first(&mut self, context: &Context, rest: &mut Rest) -> Result<()> {
        if self.exact.rows.is_empty() {
            return Ok(());
        }
        let first = std::mem::replace(&mut self.exact, Waiting::none()?);
        self.begin(context)?;
        self.sum_up_with(context, &first.rows, &first.roots, 0, (&mut Sifted::default(), rest))
    }

    /// Sums up rows that are as this stream has them and already counted; the first of them is that number.
    pub(super) fn sum_up(
        &mut self,
        context: &Context,
        rows: &[f64],
        roots: &[f64],
        number: u64,
        Work { sifted, rest, .. }: &mut Work,
    ) -> Result<()> {
        self.sum_up_with(context, rows, roots, number, (sifted, rest))
    }

    fn sum_up_with(
        &mut self,
        context: &Context,
        rows: &[f64],
        roots: &[f64],
        number: u64,
        (sifted, rest): (&mut Sifted<f64>, &mut Rest),
    ) -> Result<()> {
        let (d, mut norms) = (self.plan.d, Vec::new());
        for first in (0..roots.len()).step_by(CHUNK) {
            let last = roots.len().min(first + CHUNK);
            let rows = &rows[first * d..last * d];
            norms_of(Dense::row_major(rows, last - first, d), &mut norms)?;
            let chunk = Chunk::dense(rows, d, &norms, &roots[first..last]);
            self.absorb(context, chunk, number + first as u64, sifted, rest)?;
        }
        Ok(())
    }

    /// Sums up a chunk, whose first row is that number.
    fn absorb<T: Precision>(
        &mut self,
        context: &Context,
        chunk: Chunk<'_, T>,
        number: u64,
        sifted: &mut Sifted<T>,
        Rest { centred, rooms }: &mut Rest,
    ) -> Result<()> {
        let chunk = Chunk { first: number, ..chunk };
        let light =
            if self.plan.sifts() { self.heavy.sift(chunk, self.params.center, sifted)? } else { chunk };
        if light.len() == 0 {
            return Ok(());
        }
        let single = self.params.single;
        let Some(total) = &mut self.total else {
            return self.summary.absorb(context, &light, single, rooms);
        };
        let mut wide = Vec::new();
        let light = light.widened(&mut wide)?;
        if self.summary.is_centred() {
            return self.summary.absorb(context, &total.centre(&light, centred)?, single, rooms);
        }
        total.add_all(&light)?;
        self.summary.absorb(context, &light, single, rooms)
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
        let range = &RANGES[usize::from(self.params.single)];
        let largest = largest_of(norms);
        largest < range.end
            && (self.energy > 0.0 || largest >= range.start)
            && norms.iter().all(|norm| norm.is_finite())
    }

    /// Chooses a unit in which the largest of these numbers is not too large, nor all that is there too small.
    fn measure(&mut self, numbers: &[f64]) {
        let largest = largest_of(numbers);
        if largest == 0.0 {
            return;
        }
        let (exponent, unit) = (exponent_of(largest), self.unit.unwrap_or(0));
        if self.energy > 0.0 && exponent <= unit + LARGER[usize::from(self.params.single)] {
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
        self.norms.scale(factor);
        self.exact.rows.scale(factor);
        self.heavy.scale(factor);
        self.summary.scale(factor);
        if let Some(total) = &mut self.total {
            total.scale(factor);
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
        self.add(context, Matrix::Dense(Dense::row_major(&raw, roots.len(), d)), Some(roots))
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
        // Rows that wait may be among them.
        self.few_rows(context)?;
        self.sum_up_the_rest(context)?;
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
            let Work { own: Own { rows: own, norms }, rest, .. } = &mut work;
            norms_of(rows, norms)?;
            let rows = self.prepared(rows, roots, own, norms)?;
            self.energy = (self.energy - norms.iter().sum::<f64>()).max(0.0);
            self.weigh(roots, -1.0);
            let lines = Lines::Dense(Few::of((0..piece.len()).map(|i| rows.stored_row(i))));
            if let Some(total) = &mut self.total {
                (0..piece.len()).for_each(|i| total.subtract(rows.stored_row(i), roots[i]));
            }
            self.summary.delete(&Chunk::of(lines, d, norms, roots), &mut rest.rooms)?;
        }
        self.deleted += n as u64;
        // What is left is of rows, or those were others.
        self.copy()?.summary.factor(context, self.total.as_ref()).map(drop)
    }

    /// Grows with every row that comes or goes.
    pub fn stamp(&self) -> (u64, u64) {
        (self.seen, self.deleted)
    }

    /// Ends the stream: all rows if they are few enough to have been kept, or once they are summed up what they say of a
    /// direction that they came after.
    pub(super) fn finish(&mut self, context: &Context) -> Result<(Option<Waiting>, Option<Ahead>)> {
        let few = self.few_rows(context)?;
        if few.is_some() {
            return Ok((few, None));
        }
        self.sum_up_the_rest(context)?;
        let ahead = self.summary.ahead()?;
        self.summary.finish(context)?;
        Ok((None, ahead))
    }

    /// The largest fall of the energy of a direction, change of that of rows, or move of their mean, in standard errors.
    pub(super) fn disorder(&self) -> Option<f64> {
        let fall = self.summary.rates()?.fall();
        let moves = self.total.as_ref().and_then(Total::moves);
        [fall, self.norms.change(), moves].into_iter().flatten().reduce(f64::max)
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
        self.held.rows.fill(0.0);
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
        norms_of(rows, &mut norms)?;
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

/// The entries of some rows.
fn stored<'r, T: Precision>(
    sparse: &Sparse<'r, T>,
    rows: Range<usize>,
    columns: &'r mut Vec<u32>,
) -> Result<Few<Stored<'r, T>>> {
    let entries = sparse.extent(rows.start).start..sparse.extent(rows.end - 1).end;
    resize(columns, entries.len(), 0, "columns of entries")?;
    match sparse.indices() {
        Indices::I32(all) => {
            columns.iter_mut().zip(&all[entries.clone()]).for_each(|(to, &column)| *to = column as u32);
        }
        Indices::I64(all) => {
            columns.iter_mut().zip(&all[entries.clone()]).for_each(|(to, &column)| *to = column as u32);
        }
    }
    if columns.iter().any(|&column| column as usize >= sparse.ncols()) {
        return Err(Error::value(
            "X",
            "an array whose indices change while it is read",
            "one that nobody writes to",
        ));
    }
    let (first, columns) = (entries.start, &*columns);
    Ok(Few::of(rows.map(|i| {
        let own = sparse.extent(i);
        Stored { columns: &columns[own.start - first..own.end - first], values: &sparse.values()[own] }
    })))
}

/// The squared norms of rows.
fn norms_of(rows: Dense<'_, f64>, norms: &mut Vec<f64>) -> Result<()> {
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
