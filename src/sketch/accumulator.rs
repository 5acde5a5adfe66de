//! Streams: Y so far, and the rows of the chunks that are still open.

use super::cover::Cover;
use super::{Operand, Operator, Sketch, Tiles};
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Mat};
use crate::parallel::Context;
use crate::simd;
use crate::state::{self, Floats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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

impl Accumulator {
    pub(super) fn new(sketch: Sketch, d: usize) -> Result<Self> {
        if d == 0 {
            return Err(Error::value("d", d, "at least one column"));
        }
        let operator = sketch.operator()?;
        let sums = Tiles::zeros(sketch.m, d, operator.tile_width(d))?;
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
        let first = row_offset.unwrap_or(self.cover.end());
        let cover = self.cover_with(block, first)?;
        if block.nrows() < self.sketch.m {
            // So few rows are sooner read twice than Y is copied, and done before anybody could interrupt.
            block.non_finite().map_or(Ok(()), Err)?;
            self.add(&Context::new(ctx.threads()), block, first)?;
        } else {
            let mut fitted = self.copy()?;
            fitted.add(ctx, block, first)?;
            if !fitted.is_finite(ctx)? {
                return Err(block.non_finite().unwrap_or_else(overflow));
            }
            *self = fitted;
        }
        self.cover = cover;
        Ok(())
    }

    /// Adds what another stream of the same operator has come to. All its rows must be new to this one.
    pub fn merge(&mut self, ctx: &Context, other: &Self) -> Result<()> {
        if self.sketch != other.sketch {
            let (found, expected) = (format!("by {:?}", other.sketch), format!("one by {:?}", self.sketch));
            return Err(Error::value("other", found, expected));
        }
        if self.d() != other.d() {
            return Err(Error::shape("other", format!("{} columns", other.d()), self.d()));
        }
        let mut merged = self.copy()?;
        for rows in other.cover.ranges() {
            merged.cover.insert("other", rows)?;
        }
        add_to(merged.sums.as_mut_slice(), other.sums.as_slice());
        for (&c, rows) in &other.open {
            add_to(merged.open_chunk(c)?, rows);
            if merged.cover.count(&merged.extent(c)) == merged.operator.chunk() as u64 {
                merged.close(ctx, c)?;
            }
        }
        *self = merged;
        Ok(())
    }

    /// The sketch of the rows so far; those that have not come count as zeros.
    pub fn result(&self, ctx: &Context) -> Result<Mat<f64>> {
        if self.open.is_empty() {
            return self.finish(ctx)?.ok_or_else(overflow);
        }
        self.copy()?.close_all(ctx)?.finish(ctx)?.ok_or_else(overflow)
    }

    /// The sketch of one block.
    pub(super) fn apply(mut self, ctx: &Context, a: &Operand<'_>, first: u64) -> Result<Mat<f64>> {
        self.cover_with(a, first)?;
        self.add(ctx, a, first)?;
        self.close_all(ctx)?.finish(ctx)?.ok_or_else(|| a.non_finite().unwrap_or_else(overflow))
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let mut open = BTreeMap::new();
        for (&c, rows) in &self.open {
            let mut copy = Buffer::zeros(rows.len(), "an open chunk")?;
            copy.copy_from_slice(rows);
            open.insert(c, copy);
        }
        Ok(Self {
            sketch: self.sketch.clone(),
            operator: Arc::clone(&self.operator),
            sums: self.sums.copy()?,
            cover: self.cover.clone(),
            open,
        })
    }

    /// The cover once the block is in, if it may come in.
    fn cover_with(&self, block: &Operand<'_>, first: u64) -> Result<Cover> {
        if block.ncols() != self.d() {
            return Err(Error::shape("A", format!("{} columns", block.ncols()), self.d()));
        }
        let limit = self.sketch.n.unwrap_or(u64::MAX);
        let end = first.checked_add(block.nrows() as u64).filter(|&end| end <= limit).ok_or_else(|| {
            Error::value(
                "A",
                format!("of {} rows from row {first} on", block.nrows()),
                format!("no row past n = {limit}"),
            )
        })?;
        let mut cover = self.cover.clone();
        cover.insert("row_offset", first..end)?;
        Ok(cover)
    }

    /// Adds whole chunks straight away and keeps the rows of others. `self.cover` is without the block.
    fn add(&mut self, ctx: &Context, block: &Operand<'_>, first: u64) -> Result<()> {
        let (chunk, rows) = (self.operator.chunk(), block.nrows());
        if chunk == 1 {
            return block.add_to(&mut self.sums, &*self.operator, ctx, 0..rows, first);
        }
        let mut row = 0;
        while row < rows {
            let global = first + row as u64;
            let within = (global % chunk as u64) as usize;
            if within == 0 && rows - row >= chunk {
                let whole = row..rows - (rows - row) % chunk;
                row = whole.end;
                block.add_to(&mut self.sums, &*self.operator, ctx, whole, global)?;
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
            let tile = rows.tile(piece, 0..d, &mut buffer);
            for (i, kept) in open.chunks_exact_mut(d).enumerate() {
                kept.copy_from_slice(&tile.data()[i * tile.row_stride()..][..d]);
            }
        });
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

/// Whether no number is NaN or infinite.
pub(super) fn all_finite(numbers: &[f64]) -> bool {
    // The sum of finite numbers may overflow, so only a finite one tells.
    simd::sum(numbers).is_finite() || numbers.iter().all(|number| number.is_finite())
}

fn add_to(sums: &mut [f64], others: &[f64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// Kind and version of the byte form.
const KIND: &str = "sketch";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
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
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let open = self.open.iter().map(|(&c, rows)| (c, Floats::Numbers(rows))).collect();
        let (sketch, cover) = (self.sketch.clone(), self.cover.clone());
        let sums = Floats::Numbers(self.sums.as_slice());
        state::to_bytes(KIND, VERSION, &Saved { sketch, d: self.d(), cover, sums, open })
    }

    /// The state that [`Accumulator::to_bytes`] gave, or [`Error::State`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let saved: Saved<'_> = state::from_bytes(KIND, VERSION, bytes)?;
        let unsound = || Error::State("its parts do not fit together".into());
        let sketch = saved.sketch.checked().map_err(|_| unsound())?;
        if !saved.cover.is_valid()
            || sketch.m.checked_mul(saved.d) != Some(saved.sums.len())
            || sketch.n.is_some_and(|n| saved.cover.end() > n)
        {
            return Err(unsound());
        }
        let mut restored = Self::new(sketch, saved.d).map_err(|_| unsound())?;
        saved.sums.copy_to(restored.sums.as_mut_slice());
        restored.cover = saved.cover;
        let len = restored.operator.chunk().checked_mul(saved.d);
        for (c, rows) in saved.open {
            if Some(rows.len()) != len || !restored.is_open(c) {
                return Err(unsound());
            }
            rows.copy_to(restored.open_chunk(c)?);
        }
        if restored.open.len() != restored.count_open() || !restored.is_finite(&Context::new(1))? {
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
        ends.filter(|&c| self.is_open(c)).collect::<BTreeSet<_>>().len()
    }
}
