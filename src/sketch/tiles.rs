//! The layout of Y: tiles of columns, each of them cache-sized and one thread's business.

use crate::error::{Error, Result};
use crate::matrix::{Buffer, Mat};
use crate::memory::{gathered, push, room_for};
use crate::parallel::Context;
use std::ops::Range;

/// What memory is for.
const SKETCH: &str = "a sketch";

/// An m x d matrix of sums. Tile `t` holds the columns `t width .. (t + 1) width`, as many of them as there
/// are, as a row-major matrix without gaps.
pub(crate) struct Tiles {
    m: usize,
    d: usize,
    width: usize,
    data: Buffer<f64>,
}

/// Some rows of one tile.
pub(crate) struct Part<'a> {
    pub cols: Range<usize>,
    pub rows: Range<usize>,
    /// Row-major without gaps.
    pub entries: &'a mut [f64],
}

/// What a tile holds of some rows, row-major without gaps, and its width.
pub(crate) type Held<'a> = (&'a mut [f64], usize);

impl Tiles {
    /// All zeros.
    pub fn zeros(m: usize, d: usize, width: usize) -> Result<Self> {
        let too_large = Error::Allocation { bytes: m as u128 * d as u128 * 8, purpose: SKETCH };
        let len = m.checked_mul(d).ok_or(too_large)?;
        Ok(Self { m, d, width, data: Buffer::zeros(len, SKETCH)? })
    }

    /// Another matrix with the same entries.
    pub fn copy(&self, ctx: &Context) -> Result<Self> {
        Ok(Self { data: Buffer::copy_in_pieces(ctx, &self.data, SKETCH)?, ..*self })
    }

    /// Number of columns.
    pub fn d(&self) -> usize {
        self.d
    }

    /// The columns of every tile.
    pub fn all_cols(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (d, width) = (self.d, self.width);
        (0..d.div_ceil(width)).map(move |t| t * width..((t + 1) * width).min(d))
    }

    /// The tiles in order, each m x [`Tiles::all_cols`], row-major.
    pub fn tiles_mut(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.data.chunks_mut((self.m * self.width).max(1))
    }

    /// Disjoint parts: whole tiles or, where those are fewer than `wanted`, ranges of rows of them.
    pub fn parts_mut(&mut self, wanted: usize) -> Result<Vec<Part<'_>>> {
        let (m, all_cols) = (self.m, self.all_cols());
        let ranges = wanted.div_ceil(all_cols.size_hint().0.max(1)).clamp(1, m.max(1));
        let mut parts = room_for(ranges * all_cols.size_hint().0, SKETCH)?;
        for (mut tile, cols) in self.tiles_mut().zip(all_cols) {
            for r in 0..ranges {
                let rows = r * m / ranges..(r + 1) * m / ranges;
                let (entries, rest) = tile.split_at_mut(rows.len() * cols.len());
                push(&mut parts, Part { cols: cols.clone(), rows, entries }, SKETCH)?;
                tile = rest;
            }
        }
        Ok(parts)
    }

    /// For each of some successive ranges that are all the rows, what every tile holds of it.
    pub fn rows_mut(&mut self, ranges: &[Range<usize>]) -> Result<Vec<Vec<Held<'_>>>> {
        let widths = self.all_cols().map(|cols| cols.len());
        let empty = |_| room_for(widths.size_hint().0, SKETCH);
        let mut parts = gathered(ranges.iter().map(empty), SKETCH)?;
        for (mut tile, width) in self.tiles_mut().zip(widths) {
            for (part, range) in parts.iter_mut().zip(ranges) {
                let (rows, rest) = tile.split_at_mut(range.len() * width);
                push(part, (rows, width), SKETCH)?;
                tile = rest;
            }
        }
        Ok(parts)
    }

    /// All entries, tile after tile.
    pub fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// All entries, tile after tile.
    pub fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.data
    }

    /// Whether no entry is NaN or infinite.
    pub fn is_finite(&self, ctx: &Context) -> Result<bool> {
        const PIECE: usize = 1 << 16;
        let pieces = self.data.chunks(PIECE);
        Ok(ctx
            .map(pieces.len(), |k| pieces.clone().nth(k).is_none_or(all_finite))?
            .into_iter()
            .all(|finite| finite))
    }

    /// The matrix times `scale`.
    pub fn to_mat(&self, ctx: &Context, scale: f64) -> Result<Mat<f64>> {
        let mut out = Mat::zeros(self.m, self.d)?;
        if self.m == 0 || self.d == 0 {
            return Ok(out);
        }
        let rows = ((1 << 18) / self.d).max(1024);
        let starts = (0..self.m).step_by(rows);
        let parts = split_columns(&mut out, starts.map(|start| rows.min(self.m - start)))?;
        ctx.map_parts(
            parts,
            || (),
            |(), k, mut columns| {
                let tiles = self.data.chunks(self.m * self.width);
                for (tile, columns) in tiles.zip(columns.chunks_mut(self.width)) {
                    transpose(&tile[k * rows * columns.len()..], columns, scale);
                }
            },
        )?;
        Ok(out)
    }
}

/// The rows of a row-major tile times `scale` as parts of its columns.
fn transpose(tile: &[f64], columns: &mut [&mut [f64]], scale: f64) {
    const ROWS: usize = 64;
    let (width, m) = (columns.len(), columns[0].len());
    for start in (0..m).step_by(ROWS) {
        let rows = start..m.min(start + ROWS);
        for (j, column) in columns.iter_mut().enumerate() {
            let entries = tile[start * width + j..].iter().step_by(width);
            for (out, &value) in column[rows.clone()].iter_mut().zip(entries) {
                *out = value * scale;
            }
        }
    }
}

/// For each of the successive ranges of rows of these lengths, what every column has there.
pub(super) fn split_columns(
    a: &mut Mat<f64>,
    lens: impl Iterator<Item = usize> + Clone,
) -> Result<Vec<Vec<&mut [f64]>>> {
    let (nrows, ncols) = (a.nrows().max(1), a.ncols());
    let mut parts = gathered(lens.clone().map(|_| room_for(ncols, "a sketch")), "a sketch")?;
    for mut column in a.as_mut_slice().chunks_exact_mut(nrows) {
        for (part, len) in parts.iter_mut().zip(lens.clone()) {
            let (head, rest) = column.split_at_mut(len);
            push(part, head, "a sketch")?;
            column = rest;
        }
    }
    Ok(parts)
}

/// Whether no number is NaN or infinite.
pub(super) fn all_finite(numbers: &[f64]) -> bool {
    // The sum of finite numbers may overflow, so only a finite one tells.
    crate::simd::sum(numbers).is_finite() || numbers.iter().all(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_row_major_blocks_of_columns() {
        let (m, d) = (70, 7);
        let mut tiles = Tiles::zeros(m, d, 3).unwrap();
        let cols: Vec<_> = tiles.all_cols().collect();
        assert_eq!(cols, [0..3, 3..6, 6..7]);
        for (cols, tile) in cols.into_iter().zip(tiles.tiles_mut()) {
            for (i, row) in tile.chunks_exact_mut(cols.len()).enumerate() {
                for (j, entry) in cols.clone().zip(row) {
                    *entry = (10 * i + j) as f64;
                }
            }
        }
        let a = tiles.to_mat(&Context::new(2), 2.0).unwrap();
        assert!((0..m).all(|i| (0..d).all(|j| a[(i, j)] == 2.0 * (10 * i + j) as f64)));
        assert!(matches!(Tiles::zeros(usize::MAX, 2, 1), Err(Error::Allocation { .. })));
    }
}
