//! Compressed lines: every stored entry is scattered to its zeta targets.
//!
//! CSR is shared out by ranges of rows of Y, of one block each, and all its rows are walked over for each. CSC is
//! shared out by tiles of columns.

use super::targets::{SparseSign, sign, target};
use crate::error::Result;
use crate::matrix::{Axis, Real, Sparse};
use crate::memory::collected;
use crate::parallel::Context;
use crate::sketch::tiles::Tiles;
use std::ops::Range;

/// Words held at a time.
const HELD: usize = 1 << 20;

/// Adds all rows of `a`, the first of which is global row `first`, each times its weight.
pub(super) fn add<T: Real>(
    s: &SparseSign,
    ctx: &Context,
    y: &mut Tiles,
    a: Sparse<'_, T>,
    weights: Option<&[f64]>,
    first: u64,
) -> Result<()> {
    let held = (HELD / s.zeta).max(1);
    for start in (0..a.nrows()).step_by(held) {
        let rows = start..a.nrows().min(start + held);
        let words = s.words(first + start as u64, rows.len())?;
        let some = Entries { s, a, weights, rows, words };
        match a.axis() {
            Axis::Rows => some.add_by_rows(ctx, y)?,
            Axis::Columns => some.add_by_columns(ctx, y)?,
        }
    }
    Ok(())
}

/// The entries in some of the rows.
struct Entries<'a, T> {
    s: &'a SparseSign,
    a: Sparse<'a, T>,
    weights: Option<&'a [f64]>,
    rows: Range<usize>,
    /// Word l of row `rows.start + i` is `words[l][i]`.
    words: Vec<Vec<u32>>,
}

impl<T: Real> Entries<'_, T> {
    fn add_by_rows(&self, ctx: &Context, y: &mut Tiles) -> Result<()> {
        let shares = ctx.threads().div_ceil(self.s.zeta);
        let range = |part| {
            let (owned, k) = (self.s.owned(part / shares), part % shares);
            owned.start + k * owned.len() / shares..owned.start + (k + 1) * owned.len() / shares
        };
        let ranges = collected((0..self.s.zeta * shares).map(range), "a sketch")?;
        let homes =
            y.all_cols().enumerate().flat_map(|(t, cols)| cols.clone().map(move |j| (t, j - cols.start)));
        let homes = collected(homes, "a sketch")?;
        ctx.map_parts(
            y.rows_mut(&ranges)?,
            || (),
            |(), part, mut tiles| {
                let (l, mine) = (part / shares, ranges[part].clone());
                let owned = self.s.owned(l);
                for (row, &word) in self.rows.clone().zip(&self.words[l]) {
                    let target = owned.start + target(word, owned.len());
                    if !mine.contains(&target) {
                        continue;
                    }
                    let factor = sign(word) * self.weight(row);
                    self.a.visit_line(row, |j, value| {
                        let (t, j) = homes[j];
                        let (tile, width) = &mut tiles[t];
                        tile[(target - mine.start) * *width + j] += factor * value.to_f64();
                    });
                }
            },
        )?;
        Ok(())
    }

    fn add_by_columns(&self, ctx: &Context, y: &mut Tiles) -> Result<()> {
        ctx.map_parts(
            y.parts_mut(ctx.threads())?,
            || (),
            |(), _, part| {
                let width = part.cols.len();
                for (j, column) in part.cols.enumerate() {
                    let stored = self.a.extent_within(column, self.rows.clone());
                    for (l, words) in self.words.iter().enumerate() {
                        let owned = self.s.owned(l);
                        if owned.start >= part.rows.end || owned.end <= part.rows.start {
                            continue;
                        }
                        self.a.visit(stored.clone(), |row, value| {
                            let word = words[row - self.rows.start];
                            let target = owned.start + target(word, owned.len());
                            if part.rows.contains(&target) {
                                let value = sign(word) * self.weight(row) * value.to_f64();
                                part.entries[(target - part.rows.start) * width + j] += value;
                            }
                        });
                    }
                }
            },
        )?;
        Ok(())
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}
