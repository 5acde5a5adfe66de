//! One read of A in twice the working precision, from weights and entries as the caller gave them.
//!
//! The gradient of a good answer is what is left of sums that cancel to the last digit: in working precision it is
//! mostly rounding, good for a step of refinement but not for saying how far the minimiser is.

use super::design::{Design, TILE_ROWS, row_blocks};
use super::sparse;
use crate::error::Result;
use crate::matrix::{Mat, Real, Rows};
use crate::parallel::Context;
use crate::simd::{Element, Extended, axpy_extended, dot_extended};
use std::ops::Range;

/// A'M for the columns of `x` (d x k), A being centred but not weighted, and what was noted on the way: entry
/// (row, side) of M is what `multiple(notes, row, side, image)` makes of `image` = (A x)_row.
pub(crate) fn exact_pass<T: Real + Element, N: Send>(
    context: &Context,
    design: &Design<'_, T>,
    x: &Mat<f64>,
    notes: impl Fn() -> N + Sync,
    multiple: impl Fn(&mut N, usize, usize, Extended) -> Extended + Sync,
) -> Result<(Vec<Vec<Extended>>, Vec<N>)> {
    let (d, k) = (x.nrows(), x.ncols());
    let x = Mat::from_fn(d, k, |j, side| x[(j, side)] * design.column_scale(j))?;
    let shift: Vec<Extended> = (0..k).map(|side| at_means(design, x.col(side))).collect();
    let sweep = Sweep { design, x: &x, shift: &shift, multiple: &multiple };
    let blocks = row_blocks(design.nrows(), d);
    let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let mut part =
            Part { high: Mat::zeros(d, k)?, low: Mat::zeros(d, k)?, totals: shift.clone(), notes: notes() };
        part.totals.fill(Extended::default());
        sweep.add(&mut part, blocks[block].clone(), buffer);
        Ok(part)
    })?;
    let mut sums = vec![vec![Extended::default(); d]; k];
    let mut totals = vec![Extended::default(); k];
    let mut noted = Vec::with_capacity(parts.len());
    for part in parts {
        let part = part?;
        for (side, sums) in sums.iter_mut().enumerate() {
            for ((sum, &high), &low) in sums.iter_mut().zip(part.high.col(side)).zip(part.low.col(side)) {
                sum.add_multiple(1.0, Extended { high, low });
            }
            totals[side].add_multiple(1.0, part.totals[side]);
        }
        noted.push(part.notes);
    }
    for (sums, &total) in sums.iter_mut().zip(&totals) {
        for (j, sum) in sums.iter_mut().enumerate() {
            sum.add_multiple(-design.means().map_or(0.0, |means| means[j]), total);
            let scale = design.column_scale(j);
            *sum = Extended { high: sum.high * scale, low: sum.low * scale };
        }
    }
    Ok((sums, noted))
}

/// mean'x, zero if nothing is centred.
fn at_means<T: Real + Element>(design: &Design<'_, T>, x: &[f64]) -> Extended {
    let mut sum = Extended::default();
    for (mean, x) in design.means().unwrap_or(&[]).iter().zip(x) {
        sum.add_multiple(*mean, Extended::from(*x));
    }
    sum
}

/// What is the same for all rows.
struct Sweep<'s, 'a, T, M> {
    design: &'s Design<'a, T>,
    /// In the units of the matrix as it is stored.
    x: &'s Mat<f64>,
    /// mean'x.
    shift: &'s [Extended],
    multiple: &'s M,
}

/// The sums over consecutive rows.
struct Part<N> {
    /// A'M before centring, in two parts.
    high: Mat<f64>,
    low: Mat<f64>,
    /// Sums of the columns of M.
    totals: Vec<Extended>,
    notes: N,
}

impl<T: Real + Element, M> Sweep<'_, '_, T, M> {
    fn add<N>(&self, part: &mut Part<N>, rows: Range<usize>, buffer: &mut Vec<f64>)
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        if self.design.sparse().is_some() {
            (0..self.x.ncols()).for_each(|side| self.add_sparse(part, side, rows.clone()));
            return;
        }
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = self.design.exact_tile(start..(start + TILE_ROWS).min(rows.end), buffer);
            for i in 0..tile.nrows() {
                let row = tile.row(i).unwrap_or(&[]);
                for side in 0..self.x.ncols() {
                    let image = dot_extended(row, self.x.col(side));
                    let multiple = self.multiple(part, start + i, side, image);
                    axpy_extended(multiple, row, part.high.col_mut(side), part.low.col_mut(side));
                }
            }
        }
    }

    fn add_sparse<N>(&self, part: &mut Part<N>, side: usize, rows: Range<usize>)
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        let Some((matrix, _)) = self.design.sparse() else { return };
        let mut images = vec![Extended::default(); rows.len()];
        sparse::visit(&matrix, rows.clone(), |i, j, value| {
            images[i].add_multiple(value, Extended::from(self.x[(j, side)]));
        });
        let multiples: Vec<Extended> =
            rows.clone().zip(images).map(|(row, image)| self.multiple(part, row, side, image)).collect();
        sparse::visit(&matrix, rows, |i, j, value| {
            let mut sum = Extended { high: part.high[(j, side)], low: part.low[(j, side)] };
            sum.add_multiple(value, multiples[i]);
            (part.high[(j, side)], part.low[(j, side)]) = (sum.high, sum.low);
        });
    }

    fn multiple<N>(&self, part: &mut Part<N>, row: usize, side: usize, mut image: Extended) -> Extended
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        image.add_multiple(-1.0, self.shift[side]);
        let multiple = (self.multiple)(&mut part.notes, row, side, image);
        part.totals[side].add_multiple(1.0, multiple);
        multiple
    }
}
