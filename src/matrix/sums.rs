//! One number for every column, added up over the rows.

use super::blocks::{TILE_ROWS, row_blocks, sparse_blocks};
use super::{Buffer, Rows, Sparse};
use crate::error::Result;
use crate::matrix::Real;
use crate::parallel::Context;
use std::ops::Range;

/// What memory is for.
const SUMS: &str = "sums over rows";

/// Added up as `add` says from what `part` makes of every block of rows.
fn sum_over_rows(
    context: &Context,
    d: usize,
    blocks: &[Range<usize>],
    part: impl Fn(&mut Vec<f64>, Range<usize>, &mut [f64]) -> Result<()> + Sync,
    add: impl Fn(&mut f64, f64) + Sync,
) -> Result<Buffer<f64>> {
    let mut sums = Buffer::zeros(d, SUMS)?;
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let mut sums = Buffer::zeros(d, SUMS)?;
        part(buffer, blocks[block].clone(), &mut sums)?;
        Ok(sums)
    };
    context.fold_with(blocks.len(), Vec::new, work, |part: Buffer<f64>| {
        sums.iter_mut().zip(&*part).for_each(|(sum, &part)| add(sum, part));
    })?;
    Ok(sums)
}

/// Of what `entry` makes of the entries (row, column, value) of anything that has tiles.
pub(crate) fn sum_over_tiles(
    context: &Context,
    a: &impl Rows,
    entry: impl Fn(usize, usize, f64) -> f64 + Sync,
    add: impl Fn(&mut f64, f64) + Sync,
) -> Result<Buffer<f64>> {
    let part = |buffer: &mut Vec<f64>, block: Range<usize>, sums: &mut [f64]| {
        for start in block.clone().step_by(TILE_ROWS) {
            let tile = a.tile(start..(start + TILE_ROWS).min(block.end), 0..a.ncols(), buffer)?;
            for i in 0..tile.nrows() {
                let row = tile.stored_row(i).iter().enumerate();
                sums.iter_mut().zip(row).for_each(|(sum, (j, &value))| add(sum, entry(start + i, j, value)));
            }
        }
        Ok(())
    };
    sum_over_rows(context, a.ncols(), &row_blocks(a.nrows(), a.ncols())?, part, &add)
}

impl<T: Real> Sparse<'_, T> {
    /// One number for every column, added up as `add` says from what `entry` makes of the stored entries
    /// (row, column, value).
    pub fn sum_over_entries(
        &self,
        context: &Context,
        entry: impl Fn(usize, usize, f64) -> f64 + Sync,
        add: impl Fn(&mut f64, f64) + Sync,
    ) -> Result<Buffer<f64>> {
        let part = |_: &mut Vec<f64>, block: Range<usize>, sums: &mut [f64]| {
            let first = block.start;
            self.visit_rows(block, |i, j, value| add(&mut sums[j], entry(first + i, j, value)));
            Ok(())
        };
        sum_over_rows(context, self.ncols(), &sparse_blocks(self)?, part, &add)
    }

    /// The sums of what `part` adds for blocks of rows.
    pub(crate) fn sum_over_lines(
        &self,
        context: &Context,
        part: impl Fn(Range<usize>, &mut [f64]) + Sync,
    ) -> Result<Buffer<f64>> {
        let part = |_: &mut Vec<f64>, block: Range<usize>, sums: &mut [f64]| {
            part(block, sums);
            Ok(())
        };
        let add = |sum: &mut f64, value: f64| *sum += value;
        sum_over_rows(context, self.ncols(), &sparse_blocks(self)?, part, add)
    }
}
