//! Dense rows: additions are cheap, and memory is not.
//!
//! A block of rows is sorted by target first, once for all columns. A tile of its columns is packed to where it
//! stays in the second-level cache (rows that are a power of two apart would push each other out). Then each
//! row of Y is read into registers, gets all its rows, and is written once. Counting sort keeps the rows of one
//! target in order, so neither the size of the blocks nor that of the tiles shows in the sums.

use super::targets::{SparseSign, sign, target};
use crate::error::Result;
use crate::matrix::{Dense, Rows};
use crate::memory::{collected, gathered, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::simd::kernel;
use crate::simd::lanes::Lanes;
use crate::sketch::tiles::Tiles;
use std::convert::identity;
use std::ops::Range;

/// Registers of eight columns that a tile is wide, at most.
const MOST_LANES: usize = 8;
/// Bytes of a packed tile: half a second-level cache.
const PACKED: usize = 1 << 20;
/// Rows of a block; the entries of a plan have room for 2^15.
const FEWEST_ROWS: usize = 1 << 10;
const MOST_ROWS: usize = 1 << 12;
/// Entries of the plans that are held at a time.
const PLANNED: usize = 1 << 21;
/// How many rows ahead of packing the memory is asked for them.
const AHEAD: usize = 8;

/// Rows of a block: several for each target, so that Y is read and written seldom.
fn block_rows(s: &SparseSign) -> usize {
    (5 * s.m / s.zeta).next_power_of_two().clamp(FEWEST_ROWS, MOST_ROWS)
}

/// An even number of tiles, none wider than its share of the cache if it is packed.
pub(super) fn tile_width(s: &SparseSign, d: usize) -> usize {
    let packed = (PACKED / (64 * block_rows(s))).clamp(1, MOST_LANES);
    let widest = if s.zeta == 1 { MOST_LANES } else { packed };
    let lanes = d.div_ceil(8).max(1);
    let tiles = lanes.div_ceil(widest).next_multiple_of(2);
    8 * lanes.div_ceil(tiles)
}

/// Adds rows `rows` of `a`, the first of which is global row `first`.
pub(super) fn add(
    s: &SparseSign,
    ctx: &Context,
    y: &mut Tiles,
    a: &dyn Rows,
    rows: Range<usize>,
    first: u64,
) -> Result<()> {
    if threads_cost_more(ctx, rows.len() * y.d() * s.zeta) {
        return add(s, &Context::new(1), y, a, rows, first);
    }
    let per_block = block_rows(s);
    let held = (PLANNED / (s.zeta * per_block)).max(1) * per_block;
    // Sorting pays where a packed row is read several times and most targets get some.
    let sorted = s.zeta > 1 && rows.len().min(per_block) * s.zeta >= s.m;
    for start in rows.clone().step_by(held) {
        let end = rows.end.min(start + held);
        let blocks = (start..end).step_by(per_block).map(|b| b..end.min(b + per_block));
        let blocks = collected(blocks, "a sketch")?;
        let orders = ctx.map(blocks.len(), |b| {
            let words = s.words(first + (blocks[b].start - rows.start) as u64, blocks[b].len())?;
            Ok(if sorted { Order::Sorted(Plan::new(s, &words)?) } else { Order::AsTheyCome(words) })
        })?;
        let orders = gathered(orders, "a sketch")?;
        let added = ctx.map_parts(y.parts_mut(ctx.threads())?, Scratch::default, |scratch, _, part| {
            for (block, order) in blocks.iter().zip(&orders) {
                let tile = a.tile(block.clone(), part.cols.clone(), &mut scratch.tile)?;
                match order {
                    Order::AsTheyCome(words) => scatter(s, words, tile, part.rows.clone(), part.entries),
                    Order::Sorted(plan) => {
                        let lines = tile.ncols().div_ceil(8);
                        resize(&mut scratch.packed, tile.nrows() * lines, Line([0.0; 8]), "a sketch")?;
                        pack(tile, &mut scratch.packed, lines);
                        add_planned(plan, part.rows.clone(), &scratch.packed, lines, part.entries);
                    }
                }
            }
            Ok(())
        })?;
        added.into_iter().try_for_each(identity)?;
    }
    Ok(())
}

/// Whether so few additions are done before a second thread wakes up.
fn threads_cost_more(ctx: &Context, additions: usize) -> bool {
    ctx.threads() > 1 && additions < 1 << 16
}

/// In which order the rows of a block enter, and where.
enum Order {
    AsTheyCome(Vec<Vec<u32>>),
    Sorted(Plan),
}

kernel! {
    /// The plain loop over the rows, for the targets `targets`, which are the rows of `y`.
    fn scatter<V>(s: &SparseSign, words: &[Vec<u32>], tile: Dense<'_, f64>, targets: Range<usize>, y: &mut [f64]) {
        let (width, stride) = (tile.ncols(), tile.row_stride());
        for i in 0..tile.nrows() {
            for column in (0..width).step_by(8) {
                V::prefetch(tile.data().as_ptr().wrapping_add((i + AHEAD) * stride + column));
            }
            let (row, row_rest) = tile.data()[i * stride..][..width].as_chunks::<8>();
            for (l, words) in words.iter().enumerate() {
                let owned = s.owned(l);
                let target = owned.start + target(words[i], owned.len());
                if !targets.contains(&target) {
                    continue;
                }
                let sign = V::splat(sign(words[i]));
                let (y, y_rest) = y[(target - targets.start) * width..][..width].as_chunks_mut::<8>();
                for (y, row) in y.iter_mut().zip(row) {
                    V::load(row).mul_add(sign, V::load(y)).store(y);
                }
                if !row_rest.is_empty() {
                    V::load_head(row_rest).mul_add(sign, V::load_head(y_rest)).store_head(y_rest);
                }
            }
        }
    }
}

/// What each worker packs into.
#[derive(Default)]
struct Scratch {
    tile: Vec<f64>,
    packed: Vec<Line>,
}

/// Eight columns of one row, filled up with zeros.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f64; 8]);

/// The rows of a block, sorted by target.
struct Plan {
    /// Where the entries of each target start, and where the last one's end.
    starts: Vec<u32>,
    /// Twice the row of the block, plus one where it is subtracted.
    entries: Vec<u16>,
}

impl Plan {
    fn new(s: &SparseSign, words: &[Vec<u32>]) -> Result<Self> {
        let rows = words[0].len();
        debug_assert!(rows <= MOST_ROWS);
        let mut starts = room_for(s.m + 1, "a sketch")?;
        let mut entries = zeros(s.zeta * rows, "a sketch")?;
        for (l, words) in words.iter().enumerate() {
            let size = s.owned(l).len();
            let mut next = zeros(size, "a sketch")?;
            for &word in words {
                next[target(word, size)] += 1;
            }
            let mut start = (l * rows) as u32;
            for next in &mut next {
                push(&mut starts, start, "a sketch")?;
                start += std::mem::replace(next, start);
            }
            for (i, &word) in words.iter().enumerate() {
                let next = &mut next[target(word, size)];
                entries[*next as usize] = (i as u16) << 1 | (word & 1) as u16;
                *next += 1;
            }
        }
        push(&mut starts, entries.len() as u32, "a sketch")?;
        Ok(Self { starts, entries })
    }

    fn entries(&self, target: usize) -> &[u16] {
        &self.entries[self.starts[target] as usize..self.starts[target + 1] as usize]
    }
}

kernel! {
    /// Copies a tile row after row, each into `lines` lines.
    fn pack<V>(tile: Dense<'_, f64>, packed: &mut [Line], lines: usize) {
        let (width, stride) = (tile.ncols(), tile.row_stride());
        for (i, packed) in packed.chunks_exact_mut(lines).enumerate() {
            for k in 0..lines {
                V::prefetch(tile.data().as_ptr().wrapping_add((i + AHEAD) * stride + 8 * k));
            }
            let (whole, rest) = tile.data()[i * stride..][..width].as_chunks::<8>();
            for (line, from) in packed.iter_mut().zip(whole) {
                V::load(from).store(&mut line.0);
            }
            if !rest.is_empty() {
                V::load_head(rest).store(&mut packed[whole.len()].0);
            }
        }
    }
}

kernel! {
    /// Adds the packed rows of a block to the targets `targets`, which are the rows of `y`.
    fn add_planned<V>(plan: &Plan, targets: Range<usize>, packed: &[Line], lines: usize, y: &mut [f64]) {
        match lines {
            1 => add_lines::<V, 1>(plan, targets, packed, y),
            2 => add_lines::<V, 2>(plan, targets, packed, y),
            3 => add_lines::<V, 3>(plan, targets, packed, y),
            4 => add_lines::<V, 4>(plan, targets, packed, y),
            5 => add_lines::<V, 5>(plan, targets, packed, y),
            6 => add_lines::<V, 6>(plan, targets, packed, y),
            7 => add_lines::<V, 7>(plan, targets, packed, y),
            _ => add_lines::<V, MOST_LANES>(plan, targets, packed, y),
        }
    }
}

/// [`add_planned`] with a row of Y in `L` registers. A fused multiply-add by 1 or -1 rounds as a sum does.
#[inline(always)]
fn add_lines<V: Lanes, const L: usize>(plan: &Plan, targets: Range<usize>, packed: &[Line], y: &mut [f64]) {
    let width = y.len() / targets.len();
    let (packed, _) = packed.as_chunks::<L>();
    for (target, y) in targets.zip(y.chunks_exact_mut(width)) {
        let (whole, rest) = y.as_chunks_mut::<8>();
        let mut sums = [V::splat(0.0); L];
        for k in 0..L - 1 {
            sums[k] = V::load(&whole[k]);
        }
        sums[L - 1] = if rest.is_empty() { V::load(&whole[L - 1]) } else { V::load_head(rest) };
        for &entry in plan.entries(target) {
            let sign = V::splat(sign(u32::from(entry)));
            let row = &packed[usize::from(entry >> 1)];
            for k in 0..L {
                sums[k] = V::load(&row[k].0).mul_add(sign, sums[k]);
            }
        }
        for k in 0..L - 1 {
            sums[k].store(&mut whole[k]);
        }
        if rest.is_empty() {
            sums[L - 1].store(&mut whole[L - 1]);
        } else {
            sums[L - 1].store_head(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::simd::testing::{on_every_path, same_bits};
    use crate::sketch::operator::Operator;

    /// The definition: row after row, each into its targets.
    fn by_definition(s: &SparseSign, a: &[f64], d: usize, first: u64) -> Vec<f64> {
        let mut y = vec![0.0; s.m * d];
        for (i, row) in a.chunks_exact(d).enumerate() {
            for l in 0..s.zeta {
                let word = s.stream.word(first + i as u64, l as u64);
                let row_of_y = s.owned(l).start + target(word, s.owned(l).len());
                for (y, a) in y[row_of_y * d..][..d].iter_mut().zip(row) {
                    *y += sign(word) * a;
                }
            }
        }
        y
    }

    #[test]
    fn the_kernel_is_the_plain_loop_to_the_bit() {
        let numbers = Stream::new(9, 0, 0);
        for (m, zeta, d, rows) in [
            (40, 8, 1, 3000),
            (37, 5, 13, 2500),
            (800, 8, 70, 5000),
            (90, 1, 8, 10),
            (11, 11, 130, 7),
            (50, 1, 75, 1500),
        ] {
            let s = SparseSign::new(m, zeta, 3, 1);
            let mut a = vec![0.0; rows * d];
            numbers.normals_of_row(d as u64, &mut a);
            let first = (1 << 32) - 100;
            let expected = by_definition(&s, &a, d, first);
            let view = Dense::row_major(&a, rows, d);
            for threads in [1, 3] {
                // With one thread everything runs on this one, where the path is forced.
                let sums = on_every_path(|| {
                    let mut y = Tiles::zeros(m, d, s.tile_width(d)).unwrap();
                    dense_add(&s, threads, &mut y, &view, 0..rows / 2, first);
                    dense_add(&s, threads, &mut y, &view, rows / 2..rows, first + (rows / 2) as u64);
                    y.to_mat(&Context::new(1), 1.0).unwrap()
                });
                for y in sums {
                    let y: Vec<f64> = (0..m * d).map(|k| y[(k / d, k % d)]).collect();
                    assert!(same_bits(&y, &expected), "m {m}, zeta {zeta}, d {d}, threads {threads}");
                }
            }
        }
    }

    fn dense_add(
        s: &SparseSign,
        threads: usize,
        y: &mut Tiles,
        a: &dyn Rows,
        rows: Range<usize>,
        first: u64,
    ) {
        add(s, &Context::new(threads), y, a, rows, first).unwrap();
    }
}
