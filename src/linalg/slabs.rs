//! Sums of products of rows, whatever forms the products: rows cut into slabs and blocks by shape, slabs folded in order.

use crate::error::Result;
use crate::matrix::{Buffer, Dense, Mat, Rows};
use crate::memory::{collected, room_for};
use crate::parallel::Context;
use std::ops::Range;

/// Rows that are read from memory once for everything that is done with them: they stay in the L2 cache.
pub(super) const CHUNK: usize = 64;
/// Packed rows of one block, or rows of a tile, fill at most this much, a common L2 cache.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Sums over all rows.
pub struct Sum<P> {
    /// Both triangles.
    pub gram: Mat<f64>,
    /// At most the squares of what rounding of entries to digits has changed the columns by; nothing if it has not.
    pub rounding: Vec<f64>,
    /// What was made of the rows besides, in their order.
    pub parts: Vec<P>,
}

/// Sums of products of all rows, of `order` columns that a sum makes of them, and what `visit` made of the tiles, as in
/// [`gram`](super::gram::gram).
pub(super) fn gram_by<S: BlockSum, P: Send>(
    context: &Context,
    rows: &dyn Rows,
    order: usize,
    make: impl Fn(Option<S::Memory>) -> Result<S> + Sync,
    scale: &[f64],
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<Sum<P>> {
    sum_over_slabs(context, rows, order, make, part, |sum: &mut S, part, tile, [at, row]| {
        for start in (0..tile.nrows()).step_by(CHUNK) {
            let chunk = tile.rows(start..(start + CHUNK).min(tile.nrows()));
            sum.pack(chunk, scale, at + start)?;
            visit(part, chunk, row + start);
        }
        Ok(())
    })
}

/// Tiles of a sum, and what rounding did to its columns, as in [`Sum`].
pub(super) struct Tiles {
    pub tiles: Buffer<f64>,
    pub rounding: Vec<f64>,
}

impl Tiles {
    fn add(&mut self, other: &Self) {
        self.tiles.iter_mut().zip(&*other.tiles).for_each(|(sum, &tile)| *sum += tile);
        self.rounding.iter_mut().zip(&other.rounding).for_each(|(sum, square)| *sum += square);
    }
}

/// A sum of products over the rows of a slab, block by block: the upper triangle in square tiles, column panel by column
/// panel of tiles.
pub(super) trait BlockSum: Sized {
    /// What is lent from one slab to the next.
    type Memory;
    /// Rows and columns of a tile.
    const WIDTH: usize;
    /// Rows of one block, by the number of columns alone.
    fn block_rows(order: usize) -> usize;
    /// Puts rows, columns times `scale`, at `row` of the block: up to [`CHUNK`] of them, from a multiple of that on.
    fn pack(&mut self, rows: Dense<'_, f64>, scale: &[f64], row: usize) -> Result<()>;
    /// Adds the products of the first `depth` packed rows.
    fn multiply(&mut self, depth: usize);
    /// What has been summed, and what is lent.
    fn finish(self) -> Result<(Tiles, Self::Memory)>;
}

/// Rows of a tile that stays in a cache while they are packed.
fn tile_rows(ncols: usize) -> usize {
    (BLOCK_BYTES / (8 * ncols.max(1))).clamp(CHUNK, 1024) / CHUNK * CHUNK
}

/// Cuts the rows into slabs by shape, each slab into blocks, has `add` pack the rows of a block a few at a time, told
/// where they are in the block and in A, and folds the slabs in order. What is summed has `order` columns.
pub(super) fn sum_over_slabs<S: BlockSum, P: Send>(
    context: &Context,
    rows: &dyn Rows,
    order: usize,
    make: impl Fn(Option<S::Memory>) -> Result<S> + Sync,
    part: impl Fn() -> P + Sync,
    add: impl Fn(&mut S, &mut P, Dense<'_, f64>, [usize; 2]) -> Result<()> + Sync,
) -> Result<Sum<P>> {
    let (ncols, block) = (rows.ncols(), S::block_rows(order));
    let height = tile_rows(ncols);
    let slabs = slabs(rows.nrows(), order, block)?;
    let scratch = || (Vec::new(), None);
    let sum_of = |(buffer, memory): &mut (Vec<f64>, Option<S::Memory>), slab: usize| {
        let (mut sum, mut part) = (make(memory.take())?, part());
        for start in slabs[slab].clone().step_by(block) {
            let end = (start + block).min(slabs[slab].end);
            for row in (start..end).step_by(height) {
                let tile = rows.tile(row..end.min(row + height), 0..ncols, buffer)?;
                add(&mut sum, &mut part, tile, [row - start, row])?;
            }
            sum.multiply(end - start);
        }
        let (tiles, lent) = sum.finish()?;
        *memory = Some(lent);
        Ok((tiles, part))
    };
    let mut total: Option<Tiles> = None;
    let mut parts = room_for(slabs.len(), "a Gram matrix")?;
    context.fold_with(slabs.len(), scratch, sum_of, |(tiles, part)| {
        #[expect(clippy::disallowed_methods, reason = "there is room for all")]
        parts.push(part);
        match &mut total {
            None => total = Some(tiles),
            Some(total) => total.add(&tiles),
        }
    })?;
    let Tiles { tiles, rounding } = match total {
        Some(total) => total,
        None => make(None)?.finish()?.0,
    };
    Ok(Sum { gram: unpack(&tiles, order, S::WIDTH)?, rounding, parts })
}

/// Slabs of whole blocks: enough for many threads, few enough that their sums stay below a sixteenth of a tall A.
pub(super) fn slabs(nrows: usize, ncols: usize, block: usize) -> Result<Vec<Range<usize>>> {
    let fewest = if nrows < 2 * ncols { 1 } else { 2 };
    let count = (nrows / (8 * ncols.max(1))).clamp(fewest, 32);
    let step = nrows.div_ceil(count).next_multiple_of(block).max(1);
    collected((0..nrows).step_by(step).map(|start| start..(start + step).min(nrows)), "a Gram matrix")
}

/// The symmetric matrix from the tiles of its upper triangle.
fn unpack(tiles: &[f64], ncols: usize, width: usize) -> Result<Mat<f64>> {
    let mut gram = Mat::zeros(ncols, ncols)?;
    let mut tiles = tiles.chunks_exact(width * width);
    for right in (0..ncols).step_by(width) {
        for left in (0..=right).step_by(width) {
            for (i, row) in tiles.next().into_iter().flat_map(|tile| tile.chunks_exact(width).enumerate()) {
                for (j, &value) in row.iter().enumerate() {
                    if left + i <= right + j && right + j < ncols {
                        gram[(left + i, right + j)] = value;
                        gram[(right + j, left + i)] = value;
                    }
                }
            }
        }
    }
    Ok(gram)
}
