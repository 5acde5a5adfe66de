//! One side of the model, U or V: rows that are rotated when they are read.
//!
//! Every update multiplies all rows by one small matrix and writes a few of them anew. So rows lie on levels: what is written
//! becomes the top level, and a row of level j is what is stored times the rotations of the levels j, j + 1, ..., top.
//! Then an update multiplies one rotation, and touches no row but its own. A level that has no more than twice the rows
//! of one that is to lie on it joins it, as digits of a binary counter do: there are logarithmically many, and a row is
//! written logarithmically often.
//!
//! Rows are contiguous in all that follows: of rows, and of a rotation too, row i is column i of a [`Mat`].
//!
//! What a level has of U'U is kept with it, so that U'U is known without a look at the rows.

use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, DenseMut, Mat, even_blocks, make_rows};
use crate::memory::{collected, extend, gathered, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::simd::{add_small_gram, axpy, small_product};
use crate::state::Stored;
use std::collections::VecDeque;
use std::ops::Range;

/// What memory is for.
const ROWS: &str = "rows of singular vectors";
/// Rows that lie together in memory, and are never moved.
pub(super) const CHUNK: usize = 4096;
/// Rows that are worked on at a time.
const BLOCK: usize = 256;
/// The level of a slot that no row has.
pub(super) const NOBODY: u16 = u16::MAX;
/// More levels than this are joined, however few rows that saves.
const MOST_LEVELS: usize = 48;
/// What the levels have of U'U are differences. Once rows have grown by so much (squared), as they do where most of a vector
/// has gone with other rows, all are written anew and what they have is summed again.
const MOST_GROWTH: f64 = 1e2;

/// Rows of up to so many numbers, in any order.
pub(super) struct Side<T> {
    pub(super) chunks: Vec<Buffer<T>>,
    /// Numbers from one row to the next.
    pub(super) stride: usize,
    /// The level of what lies in a slot.
    pub(super) level: Vec<u16>,
    /// The slot of every row.
    pub(super) order: VecDeque<u32>,
    /// Slots without a row.
    pub(super) free: Vec<u32>,
    /// At least one.
    pub(super) levels: Vec<Level>,
    /// By how much rows may have grown since all were written.
    pub(super) growth: f64,
}

/// What was written together.
pub(super) struct Level {
    /// Their slots, of which some may have been written again: those of the lowest level are not listed.
    pub slots: Vec<u32>,
    /// Rows that are still here.
    pub live: usize,
    /// The sum of r r' over them, as they are stored.
    pub gram: Mat<f64>,
    /// From their numbers to those of the level above.
    pub rotation: Mat<f64>,
}

/// The rows of some slots.
pub(super) struct Gathered {
    /// Row i is column i.
    pub rows: Mat<f64>,
    /// What levels lose with them.
    lost: Vec<Loss>,
    /// What they were multiplied with, if that was made.
    upward: Option<Upward>,
}

/// What a level loses with rows that go.
pub(super) struct Loss {
    level: usize,
    count: usize,
    /// The sum of r r' over them, as they are stored.
    gram: Mat<f64>,
}

impl Loss {
    /// With so many rows, as the level stores them.
    fn of(level: usize, count: usize, rows: &[f64]) -> Result<Self> {
        let depth = rows.len() / count;
        let mut gram = Mat::zeros(depth, depth)?;
        add_small_gram(depth, rows, gram.as_mut_slice());
        Ok(Self { level, count, gram })
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        axpy(1.0, other.gram.as_slice(), self.gram.as_mut_slice());
    }
}

/// From the numbers that the rows of some levels are stored with to what they are.
pub(super) struct Upward {
    first: usize,
    pub rotations: Vec<Mat<f64>>,
}

/// A change to a side, worked out but not made.
pub(super) struct Rewrite<T> {
    /// Levels that stay.
    below: usize,
    /// The rotation of the uppermost of them.
    rotation: Option<Mat<f64>>,
    /// What these lose with rows that are written anew, or go.
    lost: Vec<Loss>,
    written: Option<Written>,
    /// Slots of the rows that come behind the others.
    appended: Vec<u32>,
    /// Slots there will be.
    slots: usize,
    chunks: Vec<Buffer<T>>,
    /// Positions of rows that go, ascending.
    removed: Vec<usize>,
    growth: f64,
    /// The side as it will be, if all of it was written anew.
    whole: Option<Side<T>>,
}

/// A new top level, or more of that which there is.
struct Written {
    slots: Vec<u32>,
    /// One part after the other, as they are to be stored.
    rows: [Mat<f64>; 3],
    gram: Mat<f64>,
    rotation: Mat<f64>,
    /// No level of their own: they join the top one, as it is stored.
    onto: bool,
}

/// What an update makes of a side.
pub(super) struct Update<'u> {
    /// All rows are multiplied with this.
    pub rotation: Mat<f64>,
    /// Rows that get other numbers, and these.
    pub touched: Option<(&'u [u32], Gathered, Mat<f64>)>,
    /// Rows that come behind the others: how many, which of them are not zero, and these.
    pub appended: Option<(usize, &'u [usize], Mat<f64>)>,
    /// Positions of rows that go, ascending, and what they were.
    pub removed: Option<(&'u [usize], Gathered)>,
}

impl<T> Rewrite<T> {
    /// A side in place of another, with rows in these slots behind the others.
    pub fn whole(side: Side<T>, appended: Vec<u32>) -> Self {
        let (slots, growth) = (side.level.len(), side.growth);
        let (lost, chunks, removed, whole) = (Vec::new(), Vec::new(), Vec::new(), Some(side));
        Self {
            below: 0,
            rotation: None,
            lost,
            written: None,
            appended,
            slots,
            chunks,
            removed,
            growth,
            whole,
        }
    }

    /// Slots there will be.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Slots of the rows that come behind the others.
    pub fn appended(&self) -> &[u32] {
        &self.appended
    }

    /// Positions of rows that go.
    pub fn removed(&self) -> &[usize] {
        &self.removed
    }
}

impl Update<'_> {
    /// No more than a rotation.
    pub fn rotation(rotation: Mat<f64>) -> Self {
        Self { rotation, touched: None, appended: None, removed: None }
    }
}

impl<T: Stored> Side<T> {
    /// Of these rows, and room for so many numbers in each.
    pub fn of(context: &Context, rows: Dense<'_, f64>, most: usize) -> Result<Self> {
        let empty = Self::new(most)?;
        let every = collected(0..rows.nrows(), ROWS)?;
        let appended = Some((rows.nrows(), &every[..], Mat::copy_of(rows.t())?));
        let update = Update { appended, ..Update::rotation(Mat::zeros(rows.ncols(), 0)?) };
        let rewrite = empty.rewrite(context, update)?;
        let mut side = empty;
        side.reserve(&rewrite)?;
        side.commit(rewrite);
        Ok(side)
    }

    /// No rows, of at most so many numbers.
    pub fn new(most: usize) -> Result<Self> {
        let level =
            Level { slots: Vec::new(), live: 0, gram: Mat::zeros(0, 0)?, rotation: Mat::zeros(0, 0)? };
        let mut levels = room_for(1, ROWS)?;
        push(&mut levels, level, ROWS)?;
        let stride = most.next_multiple_of(8);
        Ok(Self {
            chunks: Vec::new(),
            stride,
            level: Vec::new(),
            order: VecDeque::new(),
            free: Vec::new(),
            levels,
            growth: 1.0,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.levels.last().map_or(0, |level| level.rotation.nrows())
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let small = |level: &Level| {
            4 * level.slots.capacity() + 8 * (level.gram.as_slice().len() + level.rotation.as_slice().len())
        };
        self.chunks.len() * CHUNK * self.stride * size_of::<T>()
            + 2 * self.level.capacity()
            + 4 * (self.order.capacity() + self.free.capacity())
            + self.levels.iter().map(small).sum::<usize>()
    }

    /// The slot of the row at this position.
    pub fn slot(&self, position: usize) -> u32 {
        self.order[position]
    }

    /// The slots of all rows, in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().copied()
    }

    fn stored(&self, slot: u32) -> &[T] {
        let (chunk, row) = (slot as usize / CHUNK, slot as usize % CHUNK);
        &self.chunks[chunk][row * self.stride..][..self.stride]
    }

    /// From the numbers that the rows of each level from `first` on are stored with to what they are.
    pub fn upward(&self, first: usize) -> Result<Upward> {
        let mut rotations: Vec<Mat<f64>> = room_for(self.levels.len() - first, ROWS)?;
        for level in self.levels[first..].iter().rev() {
            let rotation = match rotations.last() {
                None => level.rotation.copy()?,
                Some(above) => times(&level.rotation, above)?,
            };
            push(&mut rotations, rotation, ROWS)?;
        }
        rotations.reverse();
        Ok(Upward { first, rotations })
    }

    /// Number of levels.
    pub fn height(&self) -> usize {
        self.levels.len()
    }

    /// The rows in these slots, and what the levels below some number lose if they go.
    pub fn gather(&self, context: &Context, slots: &[u32], below: usize) -> Result<Gathered> {
        match slots.len() < self.width() {
            true => self.carry(slots, below),
            false => self.gather_many(context, slots, below),
        }
    }

    /// The same whose bits do not depend on how many there are.
    fn gather_many(&self, context: &Context, slots: &[u32], below: usize) -> Result<Gathered> {
        let lowest = slots.iter().map(|&slot| self.level[slot as usize].into()).min();
        let upward = self.upward(lowest.unwrap_or(self.levels.len()))?;
        let (rows, lost) = self.gather_by(context, slots, &upward, below)?;
        Ok(Gathered { rows, lost, upward: Some(upward) })
    }

    /// The same of a few rows, from level to level: fewer products than those of the rotations.
    fn carry(&self, slots: &[u32], below: usize) -> Result<Gathered> {
        let by_level = self.by_level(slots)?;
        let level_of = |i: u32| usize::from(self.level[slots[i as usize] as usize]);
        let lowest = by_level.first().map_or(self.levels.len(), |&i| level_of(i));
        let (mut staged, mut lifted, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        for level in lowest..self.levels.len() {
            let rotation = &self.levels[level].rotation;
            let (width, depth) = (rotation.nrows(), rotation.ncols());
            let before = count;
            while count < by_level.len() && level_of(by_level[count]) == level {
                let from = &self.stored(slots[by_level[count] as usize])[..depth];
                extend(&mut staged, from.iter().map(|from| from.to_f64()), ROWS)?;
                count += 1;
            }
            if count > before && level < below {
                push(&mut lost, Loss::of(level, count - before, &staged[before * depth..])?, ROWS)?;
            }
            resize(&mut lifted, count * width, 0.0, ROWS)?;
            let shape = (count, width, depth);
            small_product(shape, &staged, (depth, 1), rotation.as_slice(), &mut lifted, false);
            std::mem::swap(&mut staged, &mut lifted);
        }
        let width = self.width();
        let mut rows = Mat::zeros(width, slots.len())?;
        for (row, &i) in staged.chunks_exact(width.max(1)).zip(&by_level) {
            rows.col_mut(i as usize).copy_from_slice(row);
        }
        Ok(Gathered { rows, lost, upward: None })
    }

    /// By blocks of rows, level after level.
    pub fn gather_by(
        &self,
        context: &Context,
        slots: &[u32],
        upward: &Upward,
        below: usize,
    ) -> Result<(Mat<f64>, Vec<Loss>)> {
        let by_level = self.by_level(slots)?;
        let mut rows = Mat::zeros(self.width(), slots.len())?;
        let mut losses: Vec<Loss> = Vec::new();
        let blocks = even_blocks(slots.len(), BLOCK)?;
        let gather = |staged: &mut Vec<f64>, block: usize| {
            self.gather_block(slots, &by_level[blocks[block].clone()], upward, below, staged)
        };
        let mut outcome = Ok(());
        let mut next = by_level.iter();
        context.fold_with(blocks.len(), Vec::new, gather, |(part, lost): (Mat<f64>, Vec<Loss>)| {
            for (row, &i) in (0..part.ncols()).zip(&mut next) {
                rows.col_mut(i as usize).copy_from_slice(part.col(row));
            }
            for loss in lost {
                match losses.last_mut().filter(|last| last.level == loss.level) {
                    Some(last) => last.add(&loss),
                    None => outcome = outcome.clone().and(push(&mut losses, loss, ROWS)),
                }
            }
        })?;
        outcome?;
        Ok((rows, losses))
    }

    /// The rows of some of these slots, which come level after level.
    fn gather_block(
        &self,
        slots: &[u32],
        members: &[u32],
        upward: &Upward,
        below: usize,
        staged: &mut Vec<f64>,
    ) -> Result<(Mat<f64>, Vec<Loss>)> {
        let width = self.width();
        let (mut rows, mut lost) = (Mat::zeros(width, members.len())?, Vec::new());
        let mut out = rows.as_mut_slice();
        let level_of = |&i: &u32| usize::from(self.level[slots[i as usize] as usize]);
        for members in members.chunk_by(|i, j| level_of(i) == level_of(j)) {
            let (level, count) = (level_of(&members[0]), members.len());
            let rotation = &upward.rotations[level - upward.first];
            let depth = rotation.ncols();
            resize(staged, count * depth, 0.0, ROWS)?;
            for (to, &i) in staged.chunks_exact_mut(depth.max(1)).zip(members) {
                let from = &self.stored(slots[i as usize])[..depth];
                match T::as_f64(from) {
                    Some(from) => to.copy_from_slice(from),
                    None => to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f64()),
                }
            }
            let (these, rest) = out.split_at_mut(count * width);
            small_product((count, width, depth), staged, (depth, 1), rotation.as_slice(), these, false);
            out = rest;
            if level < below {
                push(&mut lost, Loss::of(level, count, staged)?, ROWS)?;
            }
        }
        Ok((rows, lost))
    }

    /// Numbers of the slots, those of the lowest level first.
    fn by_level(&self, slots: &[u32]) -> Result<Vec<u32>> {
        let mut next: Vec<usize> = zeros(self.levels.len() + 1, ROWS)?;
        for &slot in slots {
            next[self.level[slot as usize] as usize + 1] += 1;
        }
        (0..self.levels.len()).for_each(|level| next[level + 1] += next[level]);
        let mut by_level: Vec<u32> = zeros(slots.len(), ROWS)?;
        for (i, &slot) in slots.iter().enumerate() {
            let place = &mut next[self.level[slot as usize] as usize];
            by_level[*place] = i as u32;
            *place += 1;
        }
        Ok(by_level)
    }

    /// The rows at these positions.
    pub fn rows_at(&self, context: &Context, positions: &[usize]) -> Result<Mat<f64>> {
        Ok(self.gather_many(context, &self.slots_at(positions)?, 0)?.rows)
    }

    /// The slots of these positions.
    pub fn slots_at(&self, positions: &[usize]) -> Result<Vec<u32>> {
        collected(positions.iter().map(|&position| self.order[position]), ROWS)
    }

    /// The first `out.ncols()` numbers of all rows.
    pub fn copy_to(&self, context: &Context, out: DenseMut<'_, f64>) -> Result<()> {
        let (upward, wanted) = (self.upward(0)?, out.ncols());
        let blocks = even_blocks(self.len(), BLOCK)?;
        make_rows(context, out, &blocks, wanted, |_, rows, out| {
            let slots = collected(self.order.range(rows).copied(), ROWS)?;
            // Within a block of rows there is nothing to share.
            let (gathered, _) = self.gather_by(&Context::new(1), &slots, &upward, 0)?;
            for (i, out) in out.chunks_exact_mut(wanted.max(1)).enumerate() {
                out.copy_from_slice(&gathered.col(i)[..wanted]);
            }
            Ok(())
        })
    }

    /// The sum of r r' over all rows, from what the levels have of it; `upward` is of all of them.
    pub fn gram(&self, upward: &Upward) -> Result<Mat<f64>> {
        let width = self.width();
        let mut gram = Mat::zeros(width, width)?;
        for (level, rotation) in self.levels.iter().zip(&upward.rotations) {
            let half = times(&level.gram, rotation)?;
            let (depth, strides) = (rotation.ncols(), (1, width));
            small_product(
                (width, width, depth),
                rotation.as_slice(),
                strides,
                half.as_slice(),
                gram.as_mut_slice(),
                true,
            );
        }
        Ok(gram)
    }

    /// Works out a change, of which nothing is seen before [`Side::commit`].
    pub fn rewrite(&self, context: &Context, update: Update<'_>) -> Result<Rewrite<T>> {
        self.rewrite_above(context, update, None)
    }

    /// The same, with all rows written anew.
    pub fn rewrite_all(&self, context: &Context, update: Update<'_>) -> Result<Rewrite<T>> {
        self.rewrite_above(context, update, Some(0))
    }

    /// The same, with so many levels left as they are.
    fn rewrite_above(
        &self,
        context: &Context,
        update: Update<'_>,
        below: Option<usize>,
    ) -> Result<Rewrite<T>> {
        let Update { rotation, touched, appended, removed } = update;
        let width = rotation.nrows();
        let (touched_slots, touched, rows) = match touched {
            Some((slots, gathered, rows)) => (slots, Some(gathered), rows),
            None => (&[][..], None, Mat::zeros(0, 0)?),
        };
        let (removed_positions, removed) = match removed {
            Some((positions, gathered)) => (positions, Some(gathered)),
            None => (&[][..], None),
        };
        let appended_slots = self.slots_for(appended.as_ref().map_or(0, |appended| appended.0))?;
        let (filled, fresh) = match appended {
            Some((_, filled, fresh)) => (filled, fresh),
            None => (&[][..], Mat::zeros(0, 0)?),
        };
        let count = touched_slots.len() + filled.len();
        let growth = self.growth * growth_by(&rotation)?;
        let below = match count {
            _ if below.is_some() => below.unwrap_or(0),
            _ if growth > MOST_GROWTH => 0,
            0 => self.levels.len(),
            _ => self.levels_below(count),
        };
        let growth = if below == 0 { 1.0 } else { growth };
        let (of_touched, known) =
            touched.map_or_else(Default::default, |touched| (touched.lost, touched.upward));
        let of_removed = removed.map_or_else(Vec::new, |removed| removed.lost);
        let lost = losses(of_touched.into_iter().chain(of_removed), below)?;
        // What joins was perhaps gathered from below already.
        let upward = match known {
            Some(upward) if upward.first <= below => upward,
            _ => self.upward(below)?,
        };
        let above = upward.rotations.get(below - upward.first);
        let above = above.map(|above| times(above, &rotation)).transpose()?;
        let written = if below == self.levels.len() && count == 0 {
            None
        } else {
            let joined = self.joined(below, touched_slots, removed_positions)?;
            let others = rotated(context, &self.gather_by(context, &joined, &upward, 0)?.0, &rotation)?;
            let fresh_slots = filled.iter().map(|&i| appended_slots[i]);
            let slots = touched_slots.iter().chain(&joined).copied().chain(fresh_slots);
            let slots = collected(slots, ROWS)?;
            let mut rows = [rows, others, fresh];
            let gram = round::<T>(context, width, &mut rows)?;
            Some(Written { slots, rows, gram, rotation: Mat::identity(width)?, onto: false })
        };
        let rotation = below
            .checked_sub(1)
            .map(|top| times(&self.levels[top].rotation, above.as_ref().unwrap_or(&rotation)));
        let (slots, chunks) = self.slots_and_chunks(&appended_slots)?;
        let removed = collected(removed_positions.iter().copied(), ROWS)?;
        let rotation = rotation.transpose()?;
        let appended = appended_slots;
        let whole = None;
        Ok(Rewrite { below, rotation, lost, written, appended, slots, chunks, removed, growth, whole })
    }

    /// Rows as the top level stores them, which gets another rotation; `gone` is what some of them were.
    pub fn onto_the_top(
        &self,
        context: &Context,
        gone: Option<Gathered>,
        (slots, mut rows): (Vec<u32>, [Mat<f64>; 3]),
        rotation: Mat<f64>,
        appended: Vec<u32>,
    ) -> Result<Rewrite<T>> {
        let below = self.levels.len();
        let lost = gone.map_or_else(Vec::new, |gone| gone.lost);
        let gram = round::<T>(context, rotation.ncols(), &mut rows)?;
        let written = Some(Written { slots, rows, gram, rotation: Mat::zeros(0, 0)?, onto: true });
        let (slots, chunks) = self.slots_and_chunks(&appended)?;
        let (rotation, removed, growth, whole) = (Some(rotation), Vec::new(), self.growth, None);
        Ok(Rewrite { below, rotation, lost, written, appended, slots, chunks, removed, growth, whole })
    }

    /// So many slots without a row: those that had one first.
    pub fn slots_for(&self, count: usize) -> Result<Vec<u32>> {
        let end = self.level.len().saturating_add(count.saturating_sub(self.free.len()));
        if u32::try_from(end).is_err() {
            return Err(Error::Allocation { bytes: end as u128 * 8, purpose: ROWS });
        }
        collected(self.free.iter().rev().copied().chain(self.level.len() as u32..).take(count), ROWS)
    }

    /// How many slots there will be with these, and memory for those that are beyond what there is.
    fn slots_and_chunks(&self, appended: &[u32]) -> Result<(usize, Vec<Buffer<T>>)> {
        let slots = appended.iter().map(|&slot| slot as usize + 1).fold(self.level.len(), usize::max);
        let more = self.chunks.len()..slots.div_ceil(CHUNK);
        let chunks = gathered(more.map(|_| Buffer::zeros(CHUNK * self.stride, ROWS)), ROWS)?;
        Ok((slots, chunks))
    }

    /// How many levels a level of so many rows leaves as they are.
    pub fn levels_below(&self, written: usize) -> usize {
        let mut below = self.levels.len();
        let mut rows = written;
        while below > 0 && (self.levels[below - 1].live <= 2 * rows || below > MOST_LEVELS) {
            below -= 1;
            rows += self.levels[below].live;
        }
        below
    }

    /// The slots of the levels from `below` on that are neither written nor removed.
    fn joined(&self, below: usize, touched: &[u32], removed: &[usize]) -> Result<Vec<u32>> {
        let mut joined = Vec::new();
        if below == self.levels.len() {
            return Ok(joined);
        }
        let removed = removed.iter().map(|&position| self.order[position]);
        let mut others = collected(touched.iter().copied().chain(removed), ROWS)?;
        others.sort_unstable();
        let mut keep = |slot: u32, level: usize| match self.level[slot as usize] == level as u16 {
            true if others.binary_search(&slot).is_err() => push(&mut joined, slot, ROWS),
            _ => Ok(()),
        };
        for level in below..self.levels.len() {
            match level {
                0 => (0..self.level.len() as u32).try_for_each(|slot| keep(slot, 0))?,
                _ => self.levels[level].slots.iter().try_for_each(|&slot| keep(slot, level))?,
            }
        }
        Ok(joined)
    }

    /// Room for a change, so that nothing can fail in the middle of it.
    pub fn reserve(&mut self, rewrite: &Rewrite<T>) -> Result<()> {
        let more = rewrite.slots - self.level.len();
        let bytes = |count: usize| Error::Allocation { bytes: count as u128 * 8, purpose: ROWS };
        self.level.try_reserve(more).map_err(|_| bytes(more))?;
        self.chunks.try_reserve(rewrite.chunks.len()).map_err(|_| bytes(more))?;
        self.order.try_reserve(rewrite.appended.len()).map_err(|_| bytes(more))?;
        self.free.try_reserve(rewrite.removed.len()).map_err(|_| bytes(more))?;
        self.levels.try_reserve(1).map_err(|_| bytes(1))
    }

    /// Makes a change for which there is room.
    #[expect(clippy::disallowed_methods, reason = "there is room for all of it")]
    pub fn commit(&mut self, rewrite: Rewrite<T>) {
        let Rewrite { below, rotation, lost, written, appended, slots, chunks, removed, growth, whole } =
            rewrite;
        if let Some(whole) = whole {
            *self = whole;
            return;
        }
        self.growth = growth;
        for Loss { level, count, gram } in lost {
            let level = &mut self.levels[level];
            level.live -= count;
            axpy(-1.0, gram.as_slice(), level.gram.as_mut_slice());
        }
        self.levels.truncate(below);
        if let (Some(top), Some(rotation)) = (self.levels.last_mut(), rotation) {
            top.rotation = rotation;
        }
        self.chunks.extend(chunks);
        self.level.resize(slots, NOBODY);
        self.free.truncate(self.free.len().saturating_sub(appended.len()));
        for &position in &removed {
            let slot = self.order[position];
            self.level[slot as usize] = NOBODY;
            self.free.push(slot);
        }
        close_up(&mut self.order, &removed);
        if let Some(Written { slots, rows, gram, rotation, onto }) = written {
            let top = self.levels.len() - usize::from(onto);
            let mut next = slots.iter();
            for rows in &rows {
                for (i, &slot) in (0..rows.ncols()).zip(&mut next) {
                    let to = self.stored_mut(slot).iter_mut().zip(rows.col(i));
                    to.for_each(|(to, &from)| *to = T::from_f64(from));
                    self.level[slot as usize] = top as u16;
                }
            }
            let live = slots.len();
            let slots = if top == 0 { Vec::new() } else { slots };
            match self.levels.get_mut(top) {
                Some(level) => {
                    level.live += live;
                    axpy(1.0, gram.as_slice(), level.gram.as_mut_slice());
                }
                None => self.levels.push(Level { slots, live, gram, rotation }),
            }
        }
        for &slot in &appended {
            // Zeros are the same on all levels.
            if self.level[slot as usize] == NOBODY {
                self.stored_mut(slot).fill(T::default());
                self.level[slot as usize] = 0;
                self.levels[0].live += 1;
            }
        }
        self.order.extend(&appended);
    }

    fn stored_mut(&mut self, slot: u32) -> &mut [T] {
        let (chunk, row) = (slot as usize / CHUNK, slot as usize % CHUNK);
        &mut self.chunks[chunk][row * self.stride..][..self.stride]
    }
}

/// By how much a rotation makes rows grow at most, squared; what is no more than rounding counts for nothing.
fn growth_by(rotation: &Mat<f64>) -> Result<f64> {
    let mut squares: Vec<f64> = zeros(rotation.nrows(), ROWS)?;
    for i in 0..rotation.ncols() {
        squares.iter_mut().zip(rotation.col(i)).for_each(|(sum, x)| *sum += x * x);
    }
    let longest = squares.into_iter().fold(0.0, f64::max);
    Ok(if longest > 2.0 { longest } else { 1.0 })
}

/// Those of levels below some number.
fn losses(lost: impl Iterator<Item = Loss>, below: usize) -> Result<Vec<Loss>> {
    collected(lost.filter(|loss| loss.level < below), ROWS)
}

/// The product of two small matrices.
pub(super) fn times(a: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
    let shape = (a.ncols(), b.nrows(), b.ncols());
    let mut out = Mat::zeros(b.nrows(), a.ncols())?;
    small_product(shape, a.as_slice(), (a.nrows(), 1), b.as_slice(), out.as_mut_slice(), false);
    Ok(out)
}

/// Rows, each times a small matrix.
pub(super) fn rotated(context: &Context, rows: &Mat<f64>, rotation: &Mat<f64>) -> Result<Mat<f64>> {
    let (count, width, depth) = (rows.ncols(), rotation.nrows(), rotation.ncols());
    if count <= BLOCK {
        return times(rows, rotation);
    }
    let mut out = Mat::zeros(width, count)?;
    make_rows(context, out.as_mut().t(), &even_blocks(count, BLOCK)?, width, |_, block, out| {
        let (shape, rows) = ((block.len(), width, depth), &rows.as_slice()[block.start * depth..]);
        small_product(shape, rows, (depth, 1), rotation.as_slice(), out, false);
        Ok(())
    })?;
    Ok(out)
}

/// Rounds rows as they are to be stored, and gives the sum of r r' over them.
fn round<T: Stored>(context: &Context, width: usize, rows: &mut [Mat<f64>; 3]) -> Result<Mat<f64>> {
    let mut gram = Mat::zeros(width, width)?;
    for part in rows {
        if T::as_f64(&[]).is_none() {
            part.as_mut_slice().iter_mut().for_each(|value| *value = T::from_f64(*value).to_f64());
        }
        add_gram(context, part, &mut gram)?;
    }
    Ok(gram)
}

/// `gram += r r'` for all rows.
fn add_gram(context: &Context, rows: &Mat<f64>, gram: &mut Mat<f64>) -> Result<()> {
    const COUNT: usize = 1024;
    let (width, count) = (rows.nrows(), rows.ncols());
    let part = |range: Range<usize>, gram: &mut Mat<f64>| {
        let rows = &rows.as_slice()[range.start * width..range.end * width];
        add_small_gram(width, rows, gram.as_mut_slice());
    };
    if count <= COUNT {
        part(0..count, gram);
        return Ok(());
    }
    let blocks = even_blocks(count, COUNT)?;
    let of_block = |(): &mut (), block: usize| {
        let mut gram = Mat::zeros(width, width)?;
        part(blocks[block].clone(), &mut gram);
        Ok(gram)
    };
    context.fold_with(blocks.len(), || (), of_block, |part| axpy(1.0, part.as_slice(), gram.as_mut_slice()))
}

/// Takes away what is at these positions, ascending, in time of the shorter side of them.
fn close_up(order: &mut VecDeque<u32>, removed: &[usize]) {
    let (Some(&first), Some(&last)) = (removed.first(), removed.last()) else { return };
    let len = order.len();
    if last < len - first {
        // Those before the last move up.
        let (mut to, mut next) = (last, removed.len());
        for from in (0..=last).rev() {
            if next > 0 && removed[next - 1] == from {
                next -= 1;
            } else {
                order[to] = order[from];
                to -= 1;
            }
        }
        order.drain(..removed.len());
    } else {
        let (mut to, mut next) = (first, 0);
        for from in first..len {
            if removed.get(next) == Some(&from) {
                next += 1;
            } else {
                order[to] = order[from];
                to += 1;
            }
        }
        order.truncate(len - removed.len());
    }
}
