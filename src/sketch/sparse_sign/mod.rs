//! CountSketch, and stacks of it.
//!
//! Block l of the stack owns the rows `l m / zeta .. (l + 1) m / zeta` of Y. Row i of the operand is added to, or
//! subtracted from, one row of each block, its target there: word l of row i of the stream gives the sign (its
//! lowest bit) and the target (the other 31). CountSketch is zeta = 1.
//!
//! `targets` holds all this. Every road through the other two files adds the rows of a target in their order, one after
//! the other, so all give the same bits: `dense` sorts blocks of rows by target, `compressed` scatters stored entries.

mod compressed;
mod dense;
mod targets;

use crate::error::Result;
use crate::matrix::{Dense, Rows};
use crate::parallel::Context;
use crate::simd::axpy;
use crate::sketch::operand::Operand;
use crate::sketch::operator::Operator;
use crate::sketch::tiles::Tiles;
use std::ops::Range;
pub(crate) use targets::SparseSign;
use targets::{sign, target};

impl Operator for SparseSign {
    fn tile_width(&self, d: usize) -> usize {
        dense::tile_width(self, d)
    }

    fn scale(&self) -> f64 {
        1.0 / (self.zeta as f64).sqrt()
    }

    fn add(&self, ctx: &Context, y: &mut Tiles, a: &dyn Rows, rows: Range<usize>, first: u64) -> Result<()> {
        dense::add(self, ctx, y, a, rows, first)
    }

    fn transpose(&self, first: u64, y: Dense<'_, f64>, out: &mut [f64]) -> Result<()> {
        let width = y.ncols();
        let rows = out.len() / width;
        out.fill(0.0);
        for (l, words) in self.words(first, rows)?.iter().enumerate() {
            let owned = self.owned(l);
            for (out, &word) in out.chunks_exact_mut(width).zip(words) {
                let row = owned.start + target(word, owned.len());
                axpy(sign(word), &y.data()[row * y.row_stride()..][..width], out);
            }
        }
        Ok(())
    }

    fn add_operand(
        &self,
        ctx: &Context,
        y: &mut Tiles,
        a: &Operand<'_>,
        rows: Range<usize>,
        first: u64,
    ) -> Result<()> {
        match *a {
            Operand::Single(a, weights) => compressed::add(self, ctx, y, a, weights, first),
            Operand::Double(a, weights) => compressed::add(self, ctx, y, a, weights, first),
            Operand::Dense(a) => self.add(ctx, y, a, rows, first),
        }
    }
}
