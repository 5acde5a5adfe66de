//! The Walsh-Hadamard transform of tiles that are too long for one worker.

use crate::error::Result;
use crate::memory::{collected, push, room_for};
use crate::parallel::Context;
use crate::simd::{fwht, fwht_across};
use std::convert::identity;

/// Numbers of a tile that one worker is done with before anybody would want to interrupt.
pub(super) const LONG: usize = 1 << 22;

/// Rows of a tile that one worker fills and transforms at a time.
pub(super) const BLOCK: usize = 1 << 14;

/// Numbers of a row that one worker combines with those of others at a time.
const PIECE: usize = 1 << 14;

/// `load(first row, rows)` fills blocks of [`BLOCK`] rows of a tile of zeros (`rows`, a multiple of that power of two,
/// x `width`), which is then transformed: the additions of [`fwht()`], spread over the threads.
pub(super) fn loaded_and_transformed(
    ctx: &Context,
    tile: &mut [f64],
    width: usize,
    load: impl Fn(&mut Vec<f64>, usize, &mut [f64]) -> Result<()> + Sync,
) -> Result<()> {
    let blocks = ctx.map_parts(tile.chunks_mut(BLOCK * width), Vec::new, |buffer, block, rows| {
        load(buffer, block * BLOCK, rows)?;
        fwht(rows, BLOCK, width);
        Ok(())
    })?;
    blocks.into_iter().try_for_each(identity)?;
    let mut len = BLOCK * width;
    while len < tile.len() {
        let radix = (tile.len() / len).min(8);
        let mut parts = room_for(tile.len() / radix / PIECE.min(len), "a sketch")?;
        for group in tile.chunks_mut(radix * len) {
            let mut rows = collected(group.chunks_mut(len).map(|row| row.chunks_mut(PIECE)), "a sketch")?;
            for _ in 0..len.div_ceil(PIECE) {
                push(
                    &mut parts,
                    collected(rows.iter_mut().filter_map(Iterator::next), "a sketch")?,
                    "a sketch",
                )?;
            }
        }
        ctx.map_parts(parts, || (), |(), _, mut rows| fwht_across(&mut rows))?;
        len *= radix;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_additions_are_those_of_the_transform_at_once() {
        for (log_blocks, width) in [(0, 3), (1, 8), (2, 1), (3, 1), (5, 1)] {
            let rows = BLOCK << log_blocks;
            let value = |k: usize| ((k * k % 1013) as f64).sin();
            let mut expected: Vec<f64> = (0..rows * width).map(value).collect();
            fwht(&mut expected, rows, width);
            for threads in [1, 3] {
                let mut tile = vec![0.0; rows * width];
                loaded_and_transformed(&Context::new(threads), &mut tile, width, |_, first, rows| {
                    rows.iter_mut().enumerate().for_each(|(k, out)| *out = value(first * width + k));
                    Ok(())
                })
                .unwrap();
                assert!(tile.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}
