//! CountSketch, and stacks of it.
//!
//! Block l of the stack owns the rows `l m / zeta .. (l + 1) m / zeta` of Y. Row i of the operand is added to, or
//! subtracted from, one row of each block, its target there: word l of row i of the stream gives the sign (its
//! lowest bit) and the target (the other 31). CountSketch is zeta = 1.
//!
//! Every road through the two files below adds the rows of a target in their order, one after the other, so
//! all give the same bits: `dense` sorts blocks of rows by target, `compressed` scatters stored entries.

mod compressed;
mod dense;

use crate::error::Result;
use crate::matrix::{Dense, Rows};
use crate::memory::{extend, room_for, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::axpy;
use crate::sketch::operand::Operand;
use crate::sketch::operator::Operator;
use crate::sketch::tiles::Tiles;
use std::ops::Range;

/// Purpose of the stream.
const TARGETS: u8 = 0;

/// `zeta` stacked CountSketches, unscaled.
pub(crate) struct SparseSign {
    m: usize,
    zeta: usize,
    stream: Stream,
}

impl SparseSign {
    /// The operator with `1 <= zeta <= m < 2^31`.
    pub fn new(m: usize, zeta: usize, seed: u64, op_id: u32) -> Self {
        Self { m, zeta, stream: Stream::new(seed, op_id, TARGETS) }
    }

    /// The rows of Y that block `l` owns.
    fn owned(&self, l: usize) -> Range<usize> {
        l * self.m / self.zeta..(l + 1) * self.m / self.zeta
    }

    /// Word l of each of the rows `first .. first + rows`, for every l.
    fn words(&self, first: u64, rows: usize) -> Result<Vec<Vec<u32>>> {
        let mut words = room_for(self.zeta.next_multiple_of(4), "a sketch")?;
        for draw in 0..self.zeta.div_ceil(4) {
            let lane = || zeros(rows, "a sketch");
            let mut lanes = [lane()?, lane()?, lane()?, lane()?];
            self.stream.words_of_rows(first, draw as u32, lanes.each_mut().map(Vec::as_mut_slice));
            extend(&mut words, lanes, "a sketch")?;
        }
        words.truncate(self.zeta);
        Ok(words)
    }
}

/// Which of `size` targets a word stands for.
#[inline(always)]
fn target(word: u32, size: usize) -> usize {
    ((u64::from(word >> 1) * size as u64) >> 31) as usize
}

/// The sign that a word stands for.
#[inline(always)]
fn sign(word: u32) -> f64 {
    [1.0, -1.0][(word & 1) as usize]
}

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
