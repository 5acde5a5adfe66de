//! The pass over sparse rows, which are never made dense.

use crate::error::Result;
use crate::matrix::{Axis, Buffer, Dense, Mat, Panel, Real, Spare, Sparse, Staged};
use crate::memory::{resize, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::sides::{Pass, SUMS, Sides};
use std::ops::Range;

/// As many right-hand sides at once as a panel takes.
pub(crate) fn sparse_pass<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    matrix: &Sparse<'_, T>,
    x: &Mat<f64>,
    sides: Sides<'_>,
) -> Result<Pass> {
    let (scaled, shifts) = design.a.to_source(x.as_ref())?;
    let x = scaled.as_ref().unwrap_or(x);
    let read = Read { design, matrix, x: x.as_ref(), shifts: &shifts, sides, blocks: &design.blocks()? };
    let (mut total, mut first) = (Pass::zeros(design.ncols(), x.ncols())?, 0);
    while first < x.ncols() {
        let most = if matrix.axis() == Axis::Rows { MOST } else { Panel::MOST };
        let count = most.min(x.ncols() - first);
        let group = first..first + count;
        match matrix.axis() {
            Axis::Rows => read.row_by_row(context, group, &mut total)?,
            Axis::Columns => read.block_by_block(context, group, &mut total)?,
        }
        first += count;
    }
    for side in 0..x.ncols() {
        design.a.finish_transposed(total.totals[side], total.gradient.col_mut(side).iter_mut());
    }
    Ok(total)
}

/// The most sides that meet a row while it is in the first cache.
const MOST: usize = 8;

/// What is read, and for which sides.
struct Read<'r, 'a, T> {
    design: &'r Design<'a, T>,
    matrix: &'r Sparse<'r, T>,
    /// S X, and m'S X.
    x: Dense<'r, f64>,
    shifts: &'r [f64],
    sides: Sides<'r>,
    blocks: &'r [Range<usize>],
}

impl<T: Real> Read<'_, '_, T> {
    /// By CSR: a row is multiplied by X and added to the gradient while it is in the first cache.
    fn row_by_row(&self, context: &Context, group: Range<usize>, total: &mut Pass) -> Result<()> {
        let d = self.x.nrows();
        let width = group.len().next_power_of_two();
        let mut copied;
        let x = match self.x.col(group.start) {
            Some(x) if width == 1 => x,
            _ => {
                copied = Buffer::zeros(d * width, SUMS)?;
                for (i, side) in group.clone().enumerate() {
                    copied
                        .iter_mut()
                        .skip(i)
                        .step_by(width)
                        .enumerate()
                        .for_each(|(j, x)| *x = self.x.get(j, side));
                }
                &copied[..]
            }
        };
        let mut shifts = [0.0; MOST];
        shifts[..group.len()].copy_from_slice(&self.shifts[group.clone()]);
        let spare = Spare::new(d * width, 1);
        let work = |b: &mut Vec<f64>, block: usize| {
            let (rows, mut part) = (self.blocks[block].clone(), spare.take()?);
            resize(b, rows.len() * width, 0.0, SUMS)?;
            for (i, side) in group.clone().enumerate() {
                match self.sides.target(side) {
                    None => b.iter_mut().skip(i).step_by(width).for_each(|b| *b = 0.0),
                    Some(target) => {
                        for (at, row) in rows.clone().enumerate() {
                            b[at * width + i] = self.design.target(row, target);
                        }
                    }
                }
            }
            let roots = self.design.a.root_weights.as_ref().map(|roots| &roots[rows.clone()]);
            let [mut squares, mut totals] = [[0.0; MOST]; 2];
            let sums = [&mut squares[..width], &mut totals[..width]];
            self.matrix.add_residual(rows, roots, &shifts[..width], x, b, part.as_mut_slice(), sums);
            Ok((part, [squares, totals]))
        };
        let mut gradient = None;
        let add = |(part, [squares, totals]): (Panel, [[f64; MOST]; 2])| {
            spare.add(&mut gradient, part);
            for (i, side) in group.clone().enumerate() {
                total.squares[side] += squares[i];
                total.totals[side] += totals[i];
            }
        };
        context.fold_with(self.blocks.len(), Vec::new, work, add)?;
        let Some(gradient) = gradient else { return Ok(()) };
        let gradient = Dense::row_major(gradient.as_slice(), d, width).cols(0..group.len());
        total.gradient.as_mut().cols(group).copy_from(gradient);
        Ok(())
    }

    /// By CSC: two products on rows that stay in the second cache.
    fn block_by_block(&self, context: &Context, group: Range<usize>, total: &mut Pass) -> Result<()> {
        let (design, matrix, d) = (self.design, self.matrix, self.x.nrows());
        let staged = Staged::new(context, self.x.cols(group.clone()))?;
        let (width, spare) = (staged.width(), Spare::new(d, group.len()));
        let mut gradient = None;
        let work = |_: &mut (), block: usize| {
            let rows = self.blocks[block].clone();
            let mut sums = [zeros(group.len(), SUMS)?, zeros(group.len(), SUMS)?];
            let mut residual = Panel::zeros(rows.len(), group.len())?;
            matrix.add_product(rows.clone(), width, staged.as_slice(), residual.as_mut_slice());
            for (i, side) in group.clone().enumerate() {
                design.a.finish(rows.start, self.shifts[side], residual.column_mut(i));
                for (row, value) in rows.clone().zip(residual.column_mut(i)) {
                    let residual = self.sides.entry(design, row, side) - *value;
                    sums[0][i] += residual * residual;
                    *value = residual * design.root_weight(row);
                }
                sums[1][i] = residual.column_mut(i).map(|value| *value).sum();
            }
            let mut part = spare.take()?;
            matrix.add_transposed_product(rows, width, residual.as_slice(), part.as_mut_slice());
            Ok((part, sums))
        };
        let add = |(part, [squares, totals]): (Panel, [Vec<f64>; 2])| {
            spare.add(&mut gradient, part);
            for (i, side) in group.clone().enumerate() {
                total.squares[side] += squares[i];
                total.totals[side] += totals[i];
            }
        };
        context.fold_with(self.blocks.len(), || (), work, add)?;
        match gradient {
            Some(gradient) => gradient.copy_to(context, total.gradient.as_mut().cols(group)),
            None => Ok(()),
        }
    }
}
