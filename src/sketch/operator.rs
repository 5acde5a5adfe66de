//! What the families of operators have in common.

use super::operand::Operand;
use super::tiles::Tiles;
use crate::error::Result;
use crate::matrix::{Dense, Rows};
use crate::parallel::Context;
use std::ops::Range;

/// What a family of operators does. `S` is [`Operator::scale`] times the matrix that these methods apply.
pub(crate) trait Operator: Send + Sync {
    /// Rows enter in chunks of this many, aligned to multiples of it; 1 where any block will do.
    fn chunk(&self) -> usize {
        1
    }

    /// Width of the tiles of Y, by the number of columns alone.
    fn tile_width(&self, d: usize) -> usize;

    /// The factor that is applied once, at the end.
    fn scale(&self) -> f64;

    /// Adds what rows `rows` of `a` contribute to Y. The first of them is global row `first`; `first` and the
    /// number of rows are multiples of [`Operator::chunk`].
    fn add(&self, ctx: &Context, y: &mut Tiles, a: &dyn Rows, rows: Range<usize>, first: u64) -> Result<()>;

    /// Writes rows `first ..` of the product of the transpose with `y` (m x width, row-major) into `out` (rows x
    /// width, row-major, overwritten). `first` and the number of rows are multiples of [`Operator::chunk`].
    fn transpose(&self, first: u64, y: Dense<'_, f64>, out: &mut [f64]) -> Result<()>;

    /// The same for anything that can be sketched; rows of a sparse matrix are filled in unless the family knows better.
    fn add_operand(
        &self,
        ctx: &Context,
        y: &mut Tiles,
        a: &Operand<'_>,
        rows: Range<usize>,
        first: u64,
    ) -> Result<()> {
        a.with_rows(|a| self.add(ctx, y, a, rows, first))
    }
}
