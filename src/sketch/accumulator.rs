//! Streams: Y so far, and the rows of the chunks that are still open.

use super::operand::Operand;
use super::operator::Operator;
use super::parameters::same_parameters;
use super::tiles::{Tiles, all_finite};
use super::value::Sketch;
use crate::error::{Error, Result};
use crate::matrix::{Chunks, Cover, Mat, Ready};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::{self, Floats};
use serde::{Deserialize, Serialize};
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
    chunks: Chunks,
    /// Whether no more rows are to come, and no chunk is open.
    is_closed: bool,
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
        let chunks = Chunks::new(operator.chunk(), d);
        Ok(Self { sketch, operator, sums, chunks, is_closed: false })
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
        self.chunks.chunk()
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u64 {
        self.chunks.cover().rows()
    }

    /// The rows so far, as ranges in increasing order.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.chunks.cover().ranges()
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
        let first = row_offset.unwrap_or(self.chunks.cover().end());
        let cover = self.cover_with(block, first)?;
        let mut fitted = self.copy(ctx)?;
        fitted.add(ctx, block, first)?;
        if !fitted.is_finite(ctx)? {
            return Err(block.non_finite(ctx)?.unwrap_or_else(overflow));
        }
        fitted.chunks.set_cover(cover);
        Ok(fitted)
    }

    /// Whether a block is sooner read twice than Y is copied, and done before anybody could want to interrupt: no chunk
    /// is complete with it, so that its rows are only scattered or kept.
    pub fn is_short(&self, block: &Operand<'_>, row_offset: Option<u64>) -> bool {
        let (chunk, rows) = (self.operator.chunk() as u64, block.nrows() as u64);
        let entries = rows.saturating_mul(block.ncols() as u64);
        let copied = self.sums.as_slice().len() as u64;
        let first = row_offset.unwrap_or(self.chunks.cover().end());
        let last = first.saturating_add(rows.saturating_sub(1));
        let open = |c: u64| {
            let extent = self.chunks.extent(c);
            let new = extent.start.max(first)..extent.end.min(last.saturating_add(1));
            self.chunks.cover().count(&extent) + (new.end - new.start) < chunk
        };
        entries <= if copied > MUCH { FEW_BESIDE_MUCH } else { FEW }
            && rows < self.sketch.m() as u64
            && (chunk == 1 || last / chunk - first / chunk <= 1 && open(first / chunk) && open(last / chunk))
    }

    /// [`Accumulator::partial_fit`] for a short block.
    pub fn add_short(&mut self, block: &Operand<'_>, row_offset: Option<u64>) -> Result<()> {
        // Nobody is asked for anything: what begins here is done at once.
        let ctx = Context::new(1);
        let first = row_offset.unwrap_or(self.chunks.cover().end());
        let cover = self.cover_with(block, first)?;
        block.non_finite(&ctx)?.map_or(Ok(()), Err)?;
        if self.chunk() > 1 {
            self.chunks.open_ends(first..first + block.nrows() as u64)?;
        }
        self.add(&ctx, block, first)?;
        self.chunks.set_cover(cover);
        Ok(())
    }

    /// This one with no rows waiting for others, and without more to come: what has not come of chunks counts as zeros. It
    /// can still be merged, as sketches add up.
    pub fn closed(&self, ctx: &Context) -> Result<Self> {
        Ok(Self { is_closed: true, ..self.copy(ctx)?.close_all(ctx)? })
    }

    /// Whether no more rows are to come.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// This one with what another stream of the same operator has come to. All its rows must be new to this one. It is
    /// closed if one of them is.
    pub fn merged(&self, ctx: &Context, other: &Self) -> Result<Self> {
        same_parameters(other.sketch.parameters(), self.sketch.parameters())?;
        if self.sketch != other.sketch {
            return Err(Error::value("other", "a stream by another sketch", "one by the same"));
        }
        if self.d() != other.d() {
            return Err(Error::shape("other", format!("{} columns", other.d()), self.d()));
        }
        if self.is_closed != other.is_closed {
            return self.closed(ctx)?.merged(ctx, &other.closed(ctx)?);
        }
        let mut merged = self.copy(ctx)?;
        let mut cover = self.chunks.cover().copy()?;
        other.covered().try_for_each(|rows| cover.insert("other", rows))?;
        merged.chunks.set_cover(cover);
        add_to(ctx, merged.sums.as_mut_slice(), other.sums.as_slice())?;
        for (c, rows) in other.chunks.opened() {
            add_to(ctx, merged.chunks.open(c)?, rows)?;
            if merged.chunks.is_complete(c) {
                let (sums, operator) = (&mut merged.sums, &*merged.operator);
                merged
                    .chunks
                    .close(c, |rows, first| operator.add(ctx, sums, &rows, 0..rows.nrows(), first))?;
            }
        }
        Ok(merged)
    }

    /// The sketch of the rows so far; those that have not come count as zeros.
    pub fn result(&self, ctx: &Context) -> Result<Mat<f64>> {
        if self.chunks.opened().len() == 0 {
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
        Ok(Self {
            sketch: self.sketch.clone(),
            operator: Arc::clone(&self.operator),
            sums: self.sums.copy(ctx)?,
            chunks: self.chunks.copy(ctx)?,
            is_closed: self.is_closed,
        })
    }

    /// The cover once the block is in, if it may come in.
    fn cover_with(&self, block: &Operand<'_>, first: u64) -> Result<Cover> {
        if self.is_closed {
            return Err(Error::value("A", "for a stream that was closed", "one that was not"));
        }
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
        let mut cover = self.chunks.cover().copy()?;
        cover.insert("row_offset", first..end)?;
        Ok(cover)
    }

    /// Adds whole chunks straight away and keeps the rows of others. The block is not counted yet.
    fn add(&mut self, ctx: &Context, block: &Operand<'_>, first: u64) -> Result<()> {
        let Self { sums, operator, chunks, .. } = self;
        if chunks.chunk() == 1 {
            return operator.add_operand(ctx, sums, block, 0..block.nrows(), first);
        }
        let hand_on = |ready: Ready<'_>, first| match ready {
            Ready::Whole(rows) => operator.add_operand(ctx, sums, block, rows, first),
            Ready::Collected(rows) => operator.add(ctx, sums, &rows, 0..rows.nrows(), first),
        };
        block.with_rows(|rows| chunks.add(rows, first, hand_on))
    }

    fn close_all(mut self, ctx: &Context) -> Result<Self> {
        let (sums, operator) = (&mut self.sums, &*self.operator);
        self.chunks.close_all(|rows, first| operator.add(ctx, sums, &rows, 0..rows.nrows(), first))?;
        Ok(self)
    }

    /// Y as a matrix, if it is finite.
    fn finish(&self, ctx: &Context) -> Result<Option<Mat<f64>>> {
        let finite = self.sums.is_finite(ctx)?;
        finite.then(|| self.sums.to_mat(ctx, self.operator.scale())).transpose()
    }

    fn is_finite(&self, ctx: &Context) -> Result<bool> {
        Ok(self.sums.is_finite(ctx)? && self.chunks.opened().all(|(_, rows)| all_finite(rows)))
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
const VERSION: u32 = 3;

/// What is kept of an accumulator in a byte form, its own or that of a state which it is part of.
#[derive(Serialize, Deserialize)]
pub struct Saved<'a> {
    sketch: Sketch,
    d: usize,
    is_closed: bool,
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
        let open = self.chunks.opened().map(|(c, rows)| (c, Floats::Numbers(rows)));
        let open = collected(open, "a state")?;
        let (sketch, cover) = (self.sketch.clone(), self.chunks.cover().copy()?);
        let sums = Floats::Numbers(self.sums.as_slice());
        Ok(Saved { sketch, d: self.d(), is_closed: self.is_closed, cover, sums, open })
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
        restored.chunks.set_cover(saved.cover);
        let chunk = restored.chunk();
        let mut before = None;
        for (c, rows) in saved.open {
            let follows = before.replace(c).is_none_or(|before| before < c);
            if Some(rows.len()) != chunk.checked_mul(saved.d)
                || !follows
                || c > u64::MAX / chunk as u64
                || !restored.chunks.is_open(c)
            {
                return Err(unsound());
            }
            rows.copy_to(ctx, restored.chunks.open(c)?)?;
        }
        let open = if saved.is_closed { 0 } else { restored.chunks.count_open() };
        if restored.chunks.opened().len() != open || !restored.is_finite(ctx)? {
            return Err(unsound());
        }
        restored.is_closed = saved.is_closed;
        Ok(restored)
    }
}
