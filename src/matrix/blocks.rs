//! Blocks of rows, by shape and by cost.

use super::{Indices, Real, Sparse};
use crate::error::Result;
use crate::memory::{collected, push};
use std::ops::Range;

/// What memory is for.
const BLOCKS: &str = "blocks of rows";

/// Rows of a tile in passes that do little work on it.
pub(crate) const TILE_ROWS: usize = 128;

/// Cuts rows into blocks for passes over the matrix, by shape alone.
pub(crate) fn row_blocks(nrows: usize, ncols: usize) -> Result<Vec<Range<usize>>> {
    even_blocks(nrows, step(nrows, nrows.saturating_mul(ncols.max(1)) / (1 << 16)))
}

/// The same for a sparse matrix: so few that what is as long as a row costs no more than the entries.
pub(crate) fn sparse_blocks<T: Real>(matrix: &Sparse<'_, T>) -> Result<Vec<Range<usize>>> {
    let count = matrix.nnz() / matrix.ncols().saturating_mul(2).max(1 << 14);
    even_blocks(matrix.nrows(), step(matrix.nrows(), count))
}

/// Rows of a block for so many blocks, but at least one and at most 64.
fn step(nrows: usize, count: usize) -> usize {
    nrows.div_ceil(count.clamp(1, 64)).next_multiple_of(TILE_ROWS).max(1)
}

/// Blocks of so many rows.
pub(crate) fn even_blocks(nrows: usize, step: usize) -> Result<Vec<Range<usize>>> {
    collected(
        (0..nrows).step_by(step.max(1)).map(|start| start..nrows.min(start.saturating_add(step))),
        BLOCKS,
    )
}

/// Consecutive compressed lines that cost about as much as others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The lines.
    pub lines: Range<usize>,
    /// The positions of their entries; of a line alone perhaps not all of them.
    pub entries: Range<usize>,
}

/// Cuts compressed lines, which begin and end at `ends`, into pieces of a cost of at least `cost`, where a line costs its
/// entries and one more: lines of a larger cost are cut by themselves, every `cost` entries. How many pieces a line is in,
/// and where it is cut, depends on that line alone. No piece goes beyond the first `stored` entries, whatever the ends.
pub fn pieces_by_cost(ends: Indices<'_>, stored: usize, cost: usize) -> Result<Vec<Piece>> {
    let (mut pieces, cost) = (Vec::new(), cost.max(1));
    let mut open = Piece { lines: 0..0, entries: 0..0 };
    for line in 0..ends.len().saturating_sub(1) {
        let entries = ends.get(line).min(stored)..ends.get(line + 1).min(stored);
        let heavy = entries.len() >= cost;
        if heavy {
            close(&mut pieces, &mut open)?;
            for start in entries.clone().step_by(cost) {
                let entries = start..entries.end.min(start + cost);
                push(&mut pieces, Piece { lines: line..line + 1, entries }, BLOCKS)?;
            }
        }
        (open.lines.end, open.entries.end) = (line + 1, entries.end);
        if heavy {
            (open.lines.start, open.entries.start) = (line + 1, entries.end);
        } else if open.lines.len() + open.entries.len() >= cost {
            close(&mut pieces, &mut open)?;
        }
    }
    close(&mut pieces, &mut open)?;
    Ok(pieces)
}

/// Begins a piece where another ends.
fn close(pieces: &mut Vec<Piece>, open: &mut Piece) -> Result<()> {
    let next = Piece { lines: open.lines.end..open.lines.end, entries: open.entries.end..open.entries.end };
    let piece = std::mem::replace(open, next);
    if piece.lines.is_empty() { Ok(()) } else { push(pieces, piece, BLOCKS) }
}

/// Blocks of whole lines of about the same cost, the least of them `cost` and at most 512 of them, for what does not depend
/// on where they are cut. Any blocks for ends that are not sorted.
pub(crate) fn blocks_by_cost(ends: Indices<'_>, cost: usize) -> Result<Vec<Range<usize>>> {
    let lines = ends.len().saturating_sub(1);
    let before = |line: usize| ends.get(line).saturating_add(line);
    let total = if lines == 0 { 0 } else { before(lines) };
    let count = (total / cost.max(1)).clamp(1, 512);
    let mut start = 0;
    let blocks = (1..=count).map(|block| {
        let (first, mut low, mut high) = (start, start, lines);
        while low < high && block < count {
            let middle = low + (high - low) / 2;
            if (before(middle) as u128) < total as u128 * block as u128 / count as u128 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        start = high;
        first..start
    });
    collected(blocks.filter(|block| !block.is_empty()), BLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_all_the_entries_in_order(lengths in prop::collection::vec(0usize..40, 0..60), cost in 1usize..30) {
            let ends: Vec<i64> = lengths.iter().fold(vec![0], |mut ends, &len| {
                ends.push(ends[ends.len() - 1] + len as i64);
                ends
            });
            let ends = Indices::I64(&ends);
            let stored = lengths.iter().sum::<usize>();
            let pieces = pieces_by_cost(ends, stored, cost).unwrap();
            prop_assert!(pieces.iter().flat_map(|piece| piece.entries.clone()).eq(0..stored));
            for piece in &pieces {
                let whole = ends.get(piece.lines.start)..ends.get(piece.lines.end);
                prop_assert!(piece.entries == whole || (piece.lines.len() == 1 && piece.entries.len() <= cost));
                prop_assert!(piece.entries.len() < 2 * cost);
            }
            let blocks = blocks_by_cost(ends, cost).unwrap();
            prop_assert!(blocks.iter().cloned().flatten().eq(0..lengths.len()));
            let longest = lengths.iter().max().map_or(0, |longest| longest + 1);
            let cost_of = |block: &Range<usize>| block.len() + ends.get(block.end) - ends.get(block.start);
            let share = (2 * cost).max(cost_of(&(0..lengths.len())).div_ceil(512));
            prop_assert!(blocks.iter().all(|block| cost_of(block) <= share + longest));
        }
    }

    #[test]
    fn a_heavy_line_is_cut_the_same_wherever_it_lies() {
        let pieces = |ends: &[i32]| pieces_by_cost(Indices::I32(ends), 30, 10).unwrap();
        let lengths = |ends: &[i32], line: usize| -> Vec<usize> {
            let of_line = |piece: &Piece| (piece.lines == (line..line + 1)).then_some(piece.entries.len());
            pieces(ends).iter().filter_map(of_line).collect()
        };
        assert_eq!(lengths(&[0, 25], 0), [10, 10, 5]);
        assert_eq!(lengths(&[0, 3, 28, 30], 1), [10, 10, 5]);
        assert_eq!(pieces(&[0]), []);
        // Ends that somebody else writes to meanwhile.
        assert_eq!(lengths(&[0, -7, i32::MAX, 3], 0), [10, 10, 10]);
    }

    #[test]
    fn blocks_by_shape_are_the_rows() {
        for (nrows, ncols) in [(0, 5), (1, 1), (127, 3), (100_000, 50), (1_000_000, 1000)] {
            let blocks = row_blocks(nrows, ncols).unwrap();
            assert!(blocks.len() <= 64 && blocks.into_iter().flatten().eq(0..nrows));
            assert!(even_blocks(nrows, 1000).unwrap().into_iter().flatten().eq(0..nrows));
        }
    }
}
