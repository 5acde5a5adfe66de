//! Independent normals, made on the fly: a block of columns of S at a time, multiplied as matrices are.

use super::operator::Operator;
use super::tiles::Tiles;
use crate::error::Result;
use crate::linalg::matmul;
use crate::matrix::{Dense, DenseMut, Mat, Rows};
use crate::memory::gathered;
use crate::parallel::Context;
use crate::random::Stream;
use std::convert::identity;
use std::ops::Range;

/// Purpose of the stream.
const ENTRIES: u8 = 5;

/// Rows of a chunk. A product adds up inside in an order of its own, so its extent must be fixed.
const CHUNK: usize = 256;
/// Columns of a tile.
const WIDTH: usize = 64;
/// Parts of Y, at least: fixed, as the order of the additions may depend on the shape of a product.
const PARTS: usize = 8;
/// Chunks whose normals are held at a time, by bytes.
const HELD: usize = 1 << 26;

/// An m x n matrix of standard normals.
pub(crate) struct Gaussian {
    m: usize,
    stream: Stream,
}

impl Gaussian {
    /// The matrix with m rows.
    pub fn new(m: usize, seed: u64, op_id: u32) -> Self {
        Self { m, stream: Stream::new(seed, op_id, ENTRIES) }
    }

    /// The columns `first .. first + CHUNK`.
    fn columns(&self, first: u64) -> Result<Mat<f64>> {
        let mut columns = Mat::zeros(self.m, CHUNK)?;
        for i in 0..CHUNK {
            self.stream.normals_of_row(first + i as u64, columns.col_mut(i));
        }
        Ok(columns)
    }
}

impl Operator for Gaussian {
    fn chunk(&self) -> usize {
        CHUNK
    }

    fn tile_width(&self, _: usize) -> usize {
        WIDTH
    }

    fn scale(&self) -> f64 {
        1.0 / (self.m as f64).sqrt()
    }

    fn add(&self, ctx: &Context, y: &mut Tiles, a: &dyn Rows, rows: Range<usize>, first: u64) -> Result<()> {
        let held = (HELD / (self.m * CHUNK * size_of::<f64>())).max(1) * CHUNK;
        for start in rows.clone().step_by(held) {
            let end = rows.end.min(start + held);
            let first = first + (start - rows.start) as u64;
            let normals = ctx.map((end - start) / CHUNK, |c| self.columns(first + (c * CHUNK) as u64))?;
            let normals = gathered(normals, "a sketch")?;
            let added = ctx.map_parts(y.parts_mut(PARTS)?, Vec::new, |buffer, _, part| {
                for (c, normals) in normals.iter().enumerate() {
                    let rows = start + c * CHUNK..start + (c + 1) * CHUNK;
                    let tile = a.tile(rows, part.cols.clone(), buffer)?;
                    let sums = DenseMut::row_major(part.entries, part.rows.len(), part.cols.len());
                    matmul(sums, true, normals.as_ref().rows(part.rows.clone()), tile, 1.0);
                }
                Ok(())
            })?;
            added.into_iter().try_for_each(identity)?;
        }
        Ok(())
    }

    fn transpose(&self, first: u64, y: Dense<'_, f64>, out: &mut [f64]) -> Result<()> {
        let width = y.ncols();
        for (c, out) in out.chunks_exact_mut(CHUNK * width).enumerate() {
            let normals = self.columns(first + (c * CHUNK) as u64)?;
            matmul(DenseMut::row_major(out, CHUNK, width), false, normals.as_ref().t(), y, 1.0);
        }
        Ok(())
    }
}
