//! One read of A in twice the working precision: what a point leaves of the augmented system.

use super::design::{Design, TILE_ROWS, row_blocks};
use super::sparse;
use crate::error::Result;
use crate::matrix::{Buffer, Real, Rows};
use crate::parallel::Context;
use crate::simd::{Element, Extended, axpy_extended, dot_extended};
use std::ops::Range;

/// (b - r - A x - c; ridge x - A'W r; -1'W r) at the point (r; x; c), every entry right to its last digits. The constant
/// c and its equation are there only if the design is centred; b counts as zero where there is no target.
pub(super) fn residual<T: Real + Element>(
    context: &Context,
    design: &Design<'_, T>,
    ridge: f64,
    target: Option<usize>,
    at: &[f64],
) -> Result<Buffer<f64>> {
    let (n, d) = (design.nrows(), design.ncols());
    let (r, lower) = at.split_at(n);
    let (x, constant) = lower.split_at(d);
    let means = design.means().unwrap_or(&[]);
    let scaled_x: Vec<f64> = (0..d).map(|j| x[j] * design.column_scale(j)).collect();
    let mut shift = Extended::from(constant.first().map_or(0.0, |c| -c));
    for (mean, x) in means.iter().zip(&scaled_x) {
        shift.add_multiple(*mean, Extended::from(*x));
    }
    let sweep = Sweep { design, target, r, x: &scaled_x, shift };
    let blocks = row_blocks(n, d);
    let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let mut part = Part::new(d);
        sweep.add(&mut part, blocks[block].clone(), buffer);
        part
    })?;
    let mut out = Buffer::zeros(at.len(), "an augmented vector")?;
    let (upper, lower) = out.split_at_mut(n);
    let mut gradient = vec![Extended::default(); d];
    let mut total = Extended::default();
    for (part, rows) in parts.into_iter().zip(blocks) {
        upper[rows].copy_from_slice(&part.residual);
        for (j, sum) in gradient.iter_mut().enumerate() {
            sum.add_multiple(1.0, Extended { high: part.high[j], low: part.low[j] });
        }
        total.add_multiple(1.0, part.total);
    }
    let (lower, constant) = lower.split_at_mut(d);
    for (j, (out, mut sum)) in lower.iter_mut().zip(gradient).enumerate() {
        sum.add_multiple(-means.get(j).copied().unwrap_or(0.0), total);
        let scale = design.column_scale(j);
        let mut negative = Extended { high: -sum.high * scale, low: -sum.low * scale };
        negative.add_multiple(ridge * scale * scale, Extended::from(x[j]));
        *out = negative.value();
    }
    constant.fill(-total.value());
    Ok(out)
}

/// One read of A: what is the same for all rows.
struct Sweep<'s, 'a, T> {
    design: &'s Design<'a, T>,
    target: Option<usize>,
    r: &'s [f64],
    x: &'s [f64],
    /// mean'x - c.
    shift: Extended,
}

/// What one read gives for consecutive rows.
struct Part {
    /// b - r - A x - c, zero for rows of weight zero.
    residual: Vec<f64>,
    /// A'W r before centring, in two parts.
    high: Vec<f64>,
    low: Vec<f64>,
    /// Sum of W r.
    total: Extended,
}

impl Part {
    fn new(d: usize) -> Self {
        Self { residual: Vec::new(), high: vec![0.0; d], low: vec![0.0; d], total: Extended::default() }
    }
}

impl<T: Real + Element> Sweep<'_, '_, T> {
    fn add(&self, part: &mut Part, rows: Range<usize>, buffer: &mut Vec<f64>) {
        if let Some((matrix, _)) = self.design.sparse() {
            let mut images = vec![Extended::default(); rows.len()];
            sparse::visit(&matrix, rows.clone(), |i, j, value| {
                images[i].add_multiple(value, Extended::from(self.x[j]));
            });
            let multiples: Vec<Extended> =
                rows.clone().zip(images).map(|(row, image)| self.finish(part, row, image)).collect();
            sparse::visit(&matrix, rows, |i, j, value| {
                let mut sum = Extended { high: part.high[j], low: part.low[j] };
                sum.add_multiple(value, multiples[i]);
                (part.high[j], part.low[j]) = (sum.high, sum.low);
            });
            return;
        }
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = self.design.exact_tile(start..(start + TILE_ROWS).min(rows.end), buffer);
            for i in 0..tile.nrows() {
                let row = tile.row(i).unwrap_or(&[]);
                let multiple = self.finish(part, start + i, dot_extended(row, self.x));
                axpy_extended(multiple, row, &mut part.high, &mut part.low);
            }
        }
    }

    /// Notes the residual of a row whose product with x is `image`; gives w r.
    fn finish(&self, part: &mut Part, row: usize, image: Extended) -> Extended {
        let weight = self.design.weight(row);
        if weight == 0.0 {
            part.residual.push(0.0);
            return Extended::default();
        }
        let mut f =
            self.target.map_or_else(Extended::default, |target| self.design.exact_target(row, target));
        f.add(-self.r[row]);
        f.add_multiple(-1.0, image);
        f.add_multiple(1.0, self.shift);
        part.residual.push(f.value());
        let multiple = Extended::product(weight, self.r[row]);
        part.total.add_multiple(1.0, multiple);
        multiple
    }
}
