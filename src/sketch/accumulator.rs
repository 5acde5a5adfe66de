//! Streams: Y so far, and the rows of the chunks that are still open.

use super::cover::Cover;
use super::operand::Operand;
use super::operator::Operator;
use super::parameters::same_parameters;
use super::tiles::{Tiles, all_finite};
use super::value::Sketch;
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Mat};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::{self, Floats};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Range;
use std::sync::Arc;

/// The sketch of a stream of rows, as far as it has come.
///
/// Memory: m d numbers, and B d for every chunk of B rows of which only some have come (the Hadamard and Gaussian
/// operators have chunks; rows that come in order leave at most one of them open).
pub struct Accumulator {
    sketch: Sketch,
    operator: Arc<dyn Operator>,
    sums: Tiles,
    cover: Cover,
    /// By number of the chunk, its rows so far among zeros.
    open: BTreeMap<u64, Buffer<f64>>,
}

impl Sketch {
    /// `S[:, row_offset..] A`, m x d. Refuses entries that are not finite.
    pub fn apply(&self, ctx: &Context, a: &Operand<'_>, row_offset: u64) -> Result<Mat<f64>> {
        Accumulator::new(ctx, self.clone(), a.ncols())?.apply(ctx, a, row_offset)
    }

    /// The sketch of a stream of rows of d columns, before the first of them.
    pub fn accumulate(&self, ctx: &Context, d: usize) -> Result<Accumulator> {
        Accumulator::new(ctx, self.clone(), d)
    }
}

impl Accumulator {
    pub(super) fn new(ctx: &Context, sketch: Sketch, d: usize) -> Result<Self> {
        if d == 0 {
            return Err(Error::value("d", d, "at least one column"));
        }
        let operator = sketch.operator(ctx)?;
        let sums = Tiles::zeros(sketch.m(), d, operator.tile_width(d))?;
        Ok(Self { sketch, operator, sums, cover: Cover::default(), open: BTreeMap::new() })
    }

    /// The operator.
    pub fn sketch(&self) -> &Sketch {
        &self.sketch
    }

    /// Number of columns.
    pub fn d(&self) -> usize {
        self.sums.d()
    }

    /// Rows that the operator works on together; 1 where it works on each by itself.
    pub fn chunk(&self) -> usize {
        self.operator.chunk()
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u64 {
        self.cover.len()
    }

    /// The rows so far, as ranges in increasing order.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.cover.ranges()
    }

    /// Adds a block of rows, the first of which is row `row_offset` of the stream; by default the one after the
    /// last row so far. The block is added whole or, where there is an error, not at all.
    pub fn partial_fit(&mut self, ctx: &Context, block: &Operand<'_>, row_offset: Option<u64>) -> Result<()> {
        if self.is_short(block, row_offset) {
            return self.add_short(block, row_offset);
        }
        *self = self.fitted(ctx, block, row_offset)?;
        Ok(())
    }

    /// This one with a block more, as [`Accumulator::partial_fit`] adds it.
    pub fn fitted(&self, ctx: &Context, block: &Operand<'_>, row_offset: Option<u64>) -> Result<Self> {
        let first = row_offset.unwrap_or(self.cover.end());
        let cover = self.cover_with(block, first)?;
        let mut fitted = self.copy(ctx)?;
        fitted.add(ctx, block, first)?;
        if !fitted.is_finite(ctx)? {
            return Err(block.non_finite(ctx)?.unwrap_or_else(overflow));
        }
        fitted.cover = cover;
        Ok(fitted)
    }

    /// Whether a block is sooner read twice than Y is copied, and done before anybody could want to interrupt: no chunk
    /// is complete with it, so that its rows are only scattered or kept.
    pub fn is_short(&self, block: &Operand<'_>, row_offset: Option<u64>) -> bool {
        let (chunk, rows) = (self.operator.chunk() as u64, block.nrows() as u64);
        let entries = rows.saturating_mul(block.ncols() as u64);
        let copied = self.sums.as_slice().len() as u64;
        let first = row_offset.unwrap_or(self.cover.end());
        let last = first.saturating_add(rows.saturating_sub(1));
        let open = |c: u64| {
            let extent = self.extent(c);
            let new = extent.start.max(first)..extent.end.min(last.saturating_add(1));
            self.cover.count(&extent) + (new.end - new.start) < chunk
        };
        entries <= if copied > MUCH { FEW_BESIDE_MUCH } else { FEW }
            && rows < self.sketch.m() as u64
            && (chunk == 1 || last / chunk - first / chunk <= 1 && open(first / chunk) && open(last / chunk))
    }

    /// [`Accumulator::partial_fit`] for a short block.
    pub fn add_short(&mut self, block: &Operand<'_>, row_offset: Option<u64>) -> Result<()> {
        // Nobody is asked for anything: what begins here is done at once.
        let ctx = Context::new(1);
        let first = row_offset.unwrap_or(self.cover.end());
        let cover = self.cover_with(block, first)?;
        block.non_finite(&ctx)?.map_or(Ok(()), Err)?;
        let chunk = self.operator.chunk() as u64;
        if chunk > 1 && block.nrows() > 0 {
            let ends = [first / chunk, (first + block.nrows() as u64 - 1) / chunk];
            let new = ends.map(|c| (!self.open.contains_key(&c)).then_some(c));
            let new = new.iter().flatten();
            let opened = new.clone().try_for_each(|&c| self.open_chunk(c).map(drop));
            if opened.is_err() {
                new.for_each(|c| drop(self.open.remove(c)));
            }
            opened?;
        }
        self.add(&ctx, block, first)?;
        self.cover = cover;
        Ok(())
    }

    /// This one with what another stream of the same operator has come to. All its rows must be new to this one.
    pub fn merged(&self, ctx: &Context, other: &Self) -> Result<Self> {
        same_parameters(other.sketch.parameters(), self.sketch.parameters())?;
        if self.sketch != other.sketch {
            return Err(Error::value("other", "a stream by another sketch", "one by the same"));
        }
        if self.d() != other.d() {
            return Err(Error::shape("other", format!("{} columns", other.d()), self.d()));
        }
        let mut merged = self.copy(ctx)?;
        for rows in other.cover.ranges() {
            merged.cover.insert("other", rows)?;
        }
        add_to(ctx, merged.sums.as_mut_slice(), other.sums.as_slice())?;
        for (&c, rows) in &other.open {
            add_to(ctx, merged.open_chunk(c)?, rows)?;
            if merged.cover.count(&merged.extent(c)) == merged.operator.chunk() as u64 {
                merged.close(ctx, c)?;
            }
        }
        Ok(merged)
    }

    /// The sketch of the rows so far; those that have not come count as zeros.
    pub fn result(&self, ctx: &Context) -> Result<Mat<f64>> {
        if self.open.is_empty() {
            return self.finish(ctx)?.ok_or_else(overflow);
        }
        self.copy(ctx)?.close_all(ctx)?.finish(ctx)?.ok_or_else(overflow)
    }

    /// The sketch of one block.
    pub(super) fn apply(mut self, ctx: &Context, a: &Operand<'_>, first: u64) -> Result<Mat<f64>> {
        self.cover_with(a, first)?;
        self.add(ctx, a, first)?;
        let closed = self.close_all(ctx)?;
        match closed.finish(ctx)? {
            Some(y) => Ok(y),
            None => Err(a.non_finite(ctx)?.unwrap_or_else(overflow)),
        }
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self, ctx: &Context) -> Result<Self> {
        let mut open = BTreeMap::new();
        for (&c, rows) in &self.open {
            open.insert(c, Buffer::copy_in_pieces(ctx, rows, "an open chunk")?);
        }
        Ok(Self {
            sketch: self.sketch.clone(),
            operator: Arc::clone(&self.operator),
            sums: self.sums.copy(ctx)?,
            cover: self.cover.copy()?,
            open,
        })
    }

    /// The cover once the block is in, if it may come in.
    fn cover_with(&self, block: &Operand<'_>, first: u64) -> Result<Cover> {
        if block.ncols() != self.d() {
            return Err(Error::shape("A", format!("{} columns", block.ncols()), self.d()));
        }
        let limit = self.sketch.n().unwrap_or(u64::MAX);
        let end = first.checked_add(block.nrows() as u64).filter(|&end| end <= limit).ok_or_else(|| {
            Error::value(
                "A",
                format!("of {} rows from row {first} on", block.nrows()),
                format!("no row past n = {limit}"),
            )
        })?;
        let mut cover = self.cover.copy()?;
        cover.insert("row_offset", first..end)?;
        Ok(cover)
    }

    /// Adds whole chunks straight away and keeps the rows of others. `self.cover` is without the block.
    fn add(&mut self, ctx: &Context, block: &Operand<'_>, first: u64) -> Result<()> {
        let (chunk, rows) = (self.operator.chunk(), block.nrows());
        if chunk == 1 {
            return self.operator.add_operand(ctx, &mut self.sums, block, 0..rows, first);
        }
        let mut row = 0;
        while row < rows {
            let global = first + row as u64;
            let within = (global % chunk as u64) as usize;
            if within == 0 && rows - row >= chunk {
                let whole = row..rows - (rows - row) % chunk;
                row = whole.end;
                self.operator.add_operand(ctx, &mut self.sums, block, whole, global)?;
            } else {
                let piece = row..rows.min(row + chunk - within);
                row = piece.end;
                self.keep(ctx, block, piece, global)?;
            }
        }
        Ok(())
    }

    /// Copies rows of one chunk to where they wait for the others, and adds the chunk if they were the last.
    fn keep(&mut self, ctx: &Context, block: &Operand<'_>, piece: Range<usize>, global: u64) -> Result<()> {
        let (chunk, d) = (self.operator.chunk() as u64, self.d());
        let (c, within) = (global / chunk, (global % chunk) as usize);
        let complete = self.cover.count(&self.extent(c)) + piece.len() as u64 == chunk;
        let open = &mut self.open_chunk(c)?[within * d..][..piece.len() * d];
        block.with_rows(|rows| {
            let mut buffer = Vec::new();
            let tile = rows.tile(piece, 0..d, &mut buffer)?;
            for (i, kept) in open.chunks_exact_mut(d).enumerate() {
                kept.copy_from_slice(&tile.data()[i * tile.row_stride()..][..d]);
            }
            Ok(())
        })?;
        if complete { self.close(ctx, c) } else { Ok(()) }
    }

    fn open_chunk(&mut self, c: u64) -> Result<&mut Buffer<f64>> {
        let len = self.operator.chunk() * self.d();
        match self.open.entry(c) {
            Entry::Occupied(rows) => Ok(rows.into_mut()),
            Entry::Vacant(slot) => Ok(slot.insert(Buffer::zeros(len, "an open chunk")?)),
        }
    }

    /// Adds an open chunk to Y.
    fn close(&mut self, ctx: &Context, c: u64) -> Result<()> {
        let (chunk, d, first) = (self.operator.chunk(), self.d(), self.extent(c).start);
        if let Some(rows) = self.open.remove(&c) {
            let rows = Dense::row_major(&rows, chunk, d);
            self.operator.add(ctx, &mut self.sums, &rows, 0..chunk, first)?;
        }
        Ok(())
    }

    fn close_all(mut self, ctx: &Context) -> Result<Self> {
        while let Some((&c, _)) = self.open.first_key_value() {
            self.close(ctx, c)?;
        }
        Ok(self)
    }

    /// The rows of chunk `c`.
    fn extent(&self, c: u64) -> Range<u64> {
        let chunk = self.operator.chunk() as u64;
        c * chunk..(c + 1).saturating_mul(chunk)
    }

    /// Y as a matrix, if it is finite.
    fn finish(&self, ctx: &Context) -> Result<Option<Mat<f64>>> {
        let finite = self.sums.is_finite(ctx)?;
        finite.then(|| self.sums.to_mat(ctx, self.operator.scale())).transpose()
    }

    fn is_finite(&self, ctx: &Context) -> Result<bool> {
        Ok(self.sums.is_finite(ctx)? && self.open.values().all(|rows| all_finite(rows)))
    }
}

fn overflow() -> Error {
    Error::value("A", "so large that its sketch overflows", "smaller entries")
}

fn add_to(ctx: &Context, sums: &mut [f64], others: &[f64]) -> Result<()> {
    const PIECE: usize = 1 << 20;
    for (sums, others) in sums.chunks_mut(PIECE).zip(others.chunks(PIECE)) {
        ctx.tick()?;
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum += other;
        }
    }
    Ok(())
}

/// Entries of a block that is short, in general and beside a Y of very many.
const FEW: u64 = 1 << 18;
const FEW_BESIDE_MUCH: u64 = 1 << 20;
const MUCH: u64 = 1 << 24;

/// Kind and version of the byte form.
const KIND: &str = "sketch";
const VERSION: u32 = 2;

/// What is kept of an accumulator in a byte form, its own or that of a state which it is part of.
#[derive(Serialize, Deserialize)]
pub struct Saved<'a> {
    sketch: Sketch,
    d: usize,
    cover: Cover,
    #[serde(borrow)]
    sums: Floats<'a>,
    #[serde(borrow)]
    open: Vec<(u64, Floats<'a>)>,
}

/// The byte form.
impl Accumulator {
    /// The state as bytes.
    pub fn to_bytes(&self, ctx: &Context) -> Result<Vec<u8>> {
        state::to_bytes(ctx, KIND, VERSION, &self.save(ctx)?)
    }

    /// The state that [`Accumulator::to_bytes`] gave, or [`Error::State`] for any other bytes.
    pub fn from_bytes(ctx: &Context, bytes: &[u8]) -> Result<Self> {
        Self::restore(ctx, state::from_bytes(ctx, KIND, VERSION, bytes)?)
    }

    /// What is kept of it. Sums that have overflowed are refused, as they are by [`Accumulator::result`].
    pub fn save(&self, ctx: &Context) -> Result<Saved<'_>> {
        if !self.is_finite(ctx)? {
            return Err(overflow());
        }
        let open = self.open.iter().map(|(&c, rows)| (c, Floats::Numbers(rows)));
        let open = collected(open, "a state")?;
        let (sketch, cover) = (self.sketch.clone(), self.cover.copy()?);
        Ok(Saved { sketch, d: self.d(), cover, sums: Floats::Numbers(self.sums.as_slice()), open })
    }

    /// What [`Accumulator::save`] has kept, or [`Error::State`] if it makes no sense.
    pub fn restore(ctx: &Context, saved: Saved<'_>) -> Result<Self> {
        let unsound = || Error::State("its parts do not fit together".into());
        let sketch = saved.sketch.checked().map_err(|_| unsound())?;
        if !saved.cover.is_valid()
            || sketch.m().checked_mul(saved.d) != Some(saved.sums.len())
            || sketch.n().is_some_and(|n| saved.cover.end() > n)
        {
            return Err(unsound());
        }
        let mut restored = Self::new(ctx, sketch, saved.d).map_err(|error| match error {
            Error::Interrupted | Error::Allocation { .. } => error,
            _ => unsound(),
        })?;
        saved.sums.copy_to(ctx, restored.sums.as_mut_slice())?;
        restored.cover = saved.cover;
        let chunk = restored.operator.chunk();
        let mut before = None;
        for (c, rows) in saved.open {
            let follows = before.replace(c).is_none_or(|before| before < c);
            if Some(rows.len()) != chunk.checked_mul(saved.d)
                || !follows
                || c > u64::MAX / chunk as u64
                || !restored.is_open(c)
            {
                return Err(unsound());
            }
            rows.copy_to(ctx, restored.open_chunk(c)?)?;
        }
        if restored.open.len() != restored.count_open() || !restored.is_finite(ctx)? {
            return Err(unsound());
        }
        Ok(restored)
    }

    /// Whether some of the rows of chunk `c` have come, but not all.
    fn is_open(&self, c: u64) -> bool {
        let chunk = self.operator.chunk() as u64;
        (1..chunk).contains(&self.cover.count(&self.extent(c)))
    }

    /// How many chunks that holds for. Only those at the ends of ranges can be open.
    fn count_open(&self) -> usize {
        let chunk = self.operator.chunk() as u64;
        let ends = self.cover.ranges().flat_map(|rows| [rows.start / chunk, (rows.end - 1) / chunk]);
        // They increase, as the ranges do, but not each of them.
        let mut before = None;
        ends.filter(|&c| before.replace(c) != Some(c) && self.is_open(c)).count()
    }
}
