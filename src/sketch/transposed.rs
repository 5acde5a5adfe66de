//! Products with the transpose: rows of S' Y, block by block.

use super::operator::Operator;
use super::tiles::split_columns;
use super::value::Sketch;
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Mat, Rows};
use crate::memory::{collected, gathered, reset};
use crate::parallel::Context;
use std::convert::identity;
use std::ops::Range;

/// Columns that are worked on at a time.
const WIDTH: usize = 64;
/// Rows that are worked on at a time, at least.
const BLOCK: u64 = 1024;

impl Sketch {
    /// Rows `rows` of `S' Y`, for Y with m rows.
    pub fn apply_transposed(&self, ctx: &Context, y: &dyn Rows, rows: Range<u64>) -> Result<Mat<f64>> {
        let operator = self.operator(ctx)?;
        let limit = self.n().unwrap_or(u64::MAX);
        if y.nrows() != self.m() {
            return Err(Error::shape("Y", format!("{} rows", y.nrows()), self.m()));
        }
        if rows.end > limit || rows.start > rows.end {
            return Err(Error::value(
                "rows",
                format!("{rows:?}"),
                format!("a range that ends at {limit} or before"),
            ));
        }
        apply(&*operator, ctx, y, rows)
    }
}

/// Rows `rows` of the scaled transpose times `y`.
fn apply(operator: &dyn Operator, ctx: &Context, y: &dyn Rows, rows: Range<u64>) -> Result<Mat<f64>> {
    let mut out = Mat::zeros((rows.end - rows.start) as usize, y.ncols())?;
    let tiles = row_major_tiles(y)?;
    let block = BLOCK.next_multiple_of(operator.chunk() as u64);
    let blocks = (rows.start / block..rows.end.div_ceil(block)).map(|b| b * block);
    let blocks = collected(blocks, "a sketch")?;
    let lens = blocks.iter().map(|&first| (rows.end.min(first + block) - rows.start.max(first)) as usize);
    let parts = split_columns(&mut out, lens)?;
    let outcomes = ctx.map_parts(parts, Vec::new, |product, b, mut columns| {
        let skipped = rows.start.saturating_sub(blocks[b]) as usize;
        for (tile, columns) in tiles.iter().zip(columns.chunks_mut(WIDTH)) {
            let width = columns.len();
            reset(product, block as usize * width, "a sketch")?;
            let tile = Dense::row_major(tile, y.nrows(), width);
            operator.transpose(blocks[b], tile, product)?;
            for (j, column) in columns.iter_mut().enumerate() {
                let entries = product[skipped * width + j..].iter().step_by(width);
                for (out, &value) in column.iter_mut().zip(entries) {
                    *out = value * operator.scale();
                }
            }
        }
        Ok(())
    })?;
    outcomes.into_iter().try_for_each(identity)?;
    Ok(out)
}

fn row_major_tiles(y: &dyn Rows) -> Result<Vec<Buffer<f64>>> {
    let (m, d, mut buffer) = (y.nrows(), y.ncols(), Vec::new());
    let copied = |start| {
        let cols = start..d.min(start + WIDTH);
        let mut copy = Buffer::zeros(m * cols.len(), "a sketch")?;
        let tile = y.tile(0..m, cols.clone(), &mut buffer)?;
        for (i, row) in copy.chunks_exact_mut(cols.len()).enumerate() {
            row.copy_from_slice(&tile.data()[i * tile.row_stride()..][..cols.len()]);
        }
        Ok(copy)
    };
    gathered((0..d).step_by(WIDTH).map(copied), "a sketch")
}
