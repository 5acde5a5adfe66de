//! Rows that come in any cuts and any order, handed on in aligned chunks.
//!
//! Chunk c is the rows c B, ..., c B + B - 1 of the stream, whatever blocks they come in, so that what is made of chunks
//! has the same bits for any cuts.

use super::cover::Cover;
use super::{Buffer, Dense, Rows};
use crate::error::Result;
use crate::parallel::Context;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Range;

/// What memory is for.
const OPEN: &str = "an open chunk";

/// The rows so far, and those of chunks of which only some have come.
///
/// Memory: B d numbers for every chunk that is open; rows that come in order leave at most one.
pub struct Chunks {
    chunk: usize,
    d: usize,
    cover: Cover,
    /// By number of the chunk, its rows so far among zeros.
    open: BTreeMap<u64, Buffer<f64>>,
}

/// Chunks that are complete.
pub enum Ready<'r> {
    /// These rows of the block that has come.
    Whole(Range<usize>),
    /// The rows of one that came in several blocks.
    Collected(Dense<'r, f64>),
}

impl Chunks {
    /// No rows yet, of `d` numbers each, in chunks of `chunk` rows.
    pub fn new(chunk: usize, d: usize) -> Self {
        Self { chunk, d, cover: Cover::default(), open: BTreeMap::new() }
    }

    /// Rows of a chunk.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Rows so far.
    pub fn cover(&self) -> &Cover {
        &self.cover
    }

    /// From now on the rows so far are these.
    pub fn set_cover(&mut self, cover: Cover) {
        self.cover = cover;
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self, context: &Context) -> Result<Self> {
        let mut open = BTreeMap::new();
        for (&c, rows) in &self.open {
            open.insert(c, Buffer::copy_in_pieces(context, rows, OPEN)?);
        }
        Ok(Self { cover: self.cover.copy()?, open, ..*self })
    }

    /// Hands on the chunks that a block completes, each with the number of its first row, and keeps the rows of others.
    /// The block is not counted before [`Chunks::set_cover`].
    pub fn add(
        &mut self,
        block: &dyn Rows,
        first: u64,
        mut hand_on: impl FnMut(Ready<'_>, u64) -> Result<()>,
    ) -> Result<()> {
        let (chunk, rows, mut row) = (self.chunk, block.nrows(), 0);
        while row < rows {
            let global = first + row as u64;
            let within = (global % chunk as u64) as usize;
            if within == 0 && rows - row >= chunk {
                let whole = row..rows - (rows - row) % chunk;
                row = whole.end;
                hand_on(Ready::Whole(whole), global)?;
            } else {
                let piece = row..rows.min(row + chunk - within);
                row = piece.end;
                self.keep(block, piece, global, &mut hand_on)?;
            }
        }
        Ok(())
    }

    /// Copies rows of one chunk to where they wait for the others, and hands it on if they were the last.
    fn keep(
        &mut self,
        block: &dyn Rows,
        piece: Range<usize>,
        global: u64,
        mut hand_on: impl FnMut(Ready<'_>, u64) -> Result<()>,
    ) -> Result<()> {
        let (chunk, d) = (self.chunk as u64, self.d);
        let (c, within) = (global / chunk, (global % chunk) as usize);
        let complete = self.cover.count(&self.extent(c)) + piece.len() as u64 == chunk;
        let open = &mut self.open(c)?[within * d..][..piece.len() * d];
        let mut buffer = Vec::new();
        let tile = block.tile(piece, 0..d, &mut buffer)?;
        for (i, kept) in open.chunks_exact_mut(d.max(1)).enumerate() {
            kept.copy_from_slice(&tile.data()[i * tile.row_stride()..][..d]);
        }
        if complete { self.close(c, |rows, first| hand_on(Ready::Collected(rows), first)) } else { Ok(()) }
    }

    /// The rows of chunk `c` that wait for others, among zeros.
    pub fn open(&mut self, c: u64) -> Result<&mut Buffer<f64>> {
        match self.open.entry(c) {
            Entry::Occupied(rows) => Ok(rows.into_mut()),
            Entry::Vacant(slot) => Ok(slot.insert(Buffer::zeros(self.chunk * self.d, OPEN)?)),
        }
    }

    /// Opens the chunks which a block of rows begins and ends in, all or none of them.
    pub fn open_ends(&mut self, rows: Range<u64>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let ends = [rows.start, rows.end - 1].map(|row| row / self.chunk as u64);
        let new = ends.map(|c| (!self.open.contains_key(&c)).then_some(c));
        let opened = new.iter().flatten().try_for_each(|&c| self.open(c).map(drop));
        if opened.is_err() {
            new.iter().flatten().for_each(|c| drop(self.open.remove(c)));
        }
        opened
    }

    /// The chunks of which only some rows have come, with their numbers.
    pub fn opened(&self) -> impl ExactSizeIterator<Item = (u64, &Buffer<f64>)> {
        self.open.iter().map(|(&c, rows)| (c, rows))
    }

    /// Hands on an open chunk as it is.
    pub fn close(
        &mut self,
        c: u64,
        mut hand_on: impl FnMut(Dense<'_, f64>, u64) -> Result<()>,
    ) -> Result<()> {
        match self.open.remove(&c) {
            Some(rows) => hand_on(Dense::row_major(&rows, self.chunk, self.d), self.extent(c).start),
            None => Ok(()),
        }
    }

    /// Hands on all open chunks, in order.
    pub fn close_all(&mut self, mut hand_on: impl FnMut(Dense<'_, f64>, u64) -> Result<()>) -> Result<()> {
        while let Some((&c, _)) = self.open.first_key_value() {
            self.close(c, &mut hand_on)?;
        }
        Ok(())
    }

    /// The rows of chunk `c`.
    pub fn extent(&self, c: u64) -> Range<u64> {
        let chunk = self.chunk as u64;
        c * chunk..(c + 1).saturating_mul(chunk)
    }

    /// Whether all rows of chunk `c` have come.
    pub fn is_complete(&self, c: u64) -> bool {
        self.cover.count(&self.extent(c)) == self.chunk as u64
    }

    /// Whether some of the rows of chunk `c` have come, but not all.
    pub fn is_open(&self, c: u64) -> bool {
        (1..self.chunk as u64).contains(&self.cover.count(&self.extent(c)))
    }

    /// How many chunks that holds for. Only those at the ends of ranges can be open.
    pub fn count_open(&self) -> usize {
        let chunk = self.chunk as u64;
        let ends = self.cover.ranges().flat_map(|rows| [rows.start / chunk, (rows.end - 1) / chunk]);
        // They increase, as the ranges do, but not each of them.
        let mut before = None;
        ends.filter(|&c| before.replace(c) != Some(c) && self.is_open(c)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use proptest::prelude::*;

    /// The chunks of 8 rows of a stream whose row i holds i and -i, as (first row, rows), from blocks in this order.
    fn handed_on(blocks: &[Range<u64>]) -> Vec<(u64, Vec<f64>)> {
        let (mut chunks, mut seen) = (Chunks::new(8, 2), Vec::new());
        let mut list = |first: u64, rows: Dense<'_, f64>| {
            for chunk in 0..rows.nrows() / 8 {
                let entry = |i: usize| rows.get(8 * chunk + i / 2, i % 2);
                seen.push((first + 8 * chunk as u64, (0..16).map(entry).collect()));
            }
        };
        for block in blocks {
            let rows = Mat::from_fn((block.end - block.start) as usize, 2, |i, j| {
                (block.start as f64 + i as f64) * [1.0, -1.0][j]
            });
            let rows = rows.unwrap();
            let mut cover = chunks.cover().copy().unwrap();
            cover.insert("row_offset", block.clone()).unwrap();
            let hand_on = |ready: Ready<'_>, first: u64| {
                match ready {
                    Ready::Whole(range) => list(first, rows.as_ref().rows(range)),
                    Ready::Collected(rows) => list(first, rows),
                }
                Ok(())
            };
            chunks.add(&rows.as_ref(), block.start, hand_on).unwrap();
            chunks.set_cover(cover);
            assert_eq!(chunks.opened().len(), chunks.count_open());
            assert!(chunks.opened().all(|(c, _)| chunks.is_open(c) && !chunks.is_complete(c)));
        }
        let hand_on = |rows: Dense<'_, f64>, first: u64| {
            list(first, rows);
            Ok(())
        };
        chunks.close_all(hand_on).unwrap();
        seen.sort_by_key(|&(first, _)| first);
        seen
    }

    proptest! {
        #[test]
        fn chunks_are_the_same_for_any_cuts_in_any_order(
            mut cuts in prop::collection::vec(0u64..100, 0..8), turn in 0usize..8, backwards: bool
        ) {
            cuts.extend([0, 100]);
            cuts.sort_unstable();
            let mut blocks: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
            let turn = turn % blocks.len();
            blocks.rotate_left(turn);
            if backwards {
                blocks.reverse();
            }
            let seen = handed_on(&blocks);
            prop_assert_eq!(&seen, &handed_on(std::slice::from_ref(&(0..100))));
            prop_assert_eq!(seen.len(), 13);
            prop_assert_eq!(&seen[12].1[..10], &[96.0, -96.0, 97.0, -97.0, 98.0, -98.0, 99.0, -99.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn ends_are_opened_together_or_not_at_all() {
        let mut chunks = Chunks::new(8, 2);
        chunks.open_ends(5..12).unwrap();
        assert!(chunks.opened().map(|(c, _)| c).eq([0, 1]));
        chunks.open_ends(3..3).unwrap();
        let mut huge = Chunks::new(1 << 31, 1 << 31);
        assert!(huge.open_ends(0..1 << 40).is_err());
        assert_eq!(huge.opened().len(), 0);
    }
}
