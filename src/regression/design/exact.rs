//! One read of A in twice the working precision, from weights and entries as the caller gave them: gradients, and what
//! a point leaves of the augmented system.
//!
//! The gradient of a good answer is what is left of sums that cancel to the last digit: in working precision it is
//! mostly rounding, good for a step of refinement but not for saying how far the minimiser is. What products lose must
//! be a number itself: columns of extreme magnitudes are taken times the powers of two of the design.

use crate::error::Result;
use crate::matrix::{Buffer, Mat, Matrix, Real, Sparse, TILE_ROWS, row_blocks};
use crate::memory::{collected, gathered, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::simd::{Extended, axpy_extended, dot_extended};
use std::ops::Range;

/// What one read gives.
pub(crate) struct ExactPass<N> {
    /// A'M, by columns.
    pub gradient: Vec<Vec<Extended>>,
    /// Sums of the columns of M.
    pub totals: Vec<Extended>,
    /// What was noted, by blocks of rows in their order.
    pub notes: Vec<N>,
}

/// A'M for the columns of x (d x k), given as a sum, A being centred but not weighted, and what was noted on the way:
/// entry (row, side) of M is what `multiple(notes, row, side, image)` makes of `image` = (A x)_row.
pub(crate) fn exact_pass<T: Real, N: Send>(
    context: &Context,
    design: &Design<'_, T>,
    [x, tail]: [&Mat<f64>; 2],
    notes: impl Fn(Range<usize>) -> Result<N> + Sync,
    multiple: impl Fn(&mut N, usize, usize, Extended) -> Extended + Sync,
) -> Result<ExactPass<N>> {
    let (d, k) = (x.nrows(), x.ncols());
    let is_sum = tail.as_slice().iter().any(|&x| x != 0.0);
    let at_means = |side: usize| at_means(design, [x.col(side), tail.col(side)]);
    let shift = collected((0..k).map(at_means), SUMS)?;
    let sweep =
        Sweep { design, x: &[x, tail][..1 + usize::from(is_sum)], shift: &shift, multiple: &multiple };
    let blocks = row_blocks(design.nrows(), d)?;
    let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let rows = blocks[block].clone();
        let (high, low, totals) = (Mat::zeros(d, k)?, Mat::zeros(d, k)?, zeros(k, SUMS)?);
        let mut part = Part { high, low, totals, notes: notes(rows.clone())? };
        sweep.add(&mut part, rows, buffer)?;
        Ok(part)
    })?;
    let mut sums: Vec<Vec<Extended>> = gathered((0..k).map(|_| zeros(d, SUMS)), SUMS)?;
    let mut totals: Vec<Extended> = zeros(k, SUMS)?;
    let mut noted = room_for(parts.len(), SUMS)?;
    for part in parts {
        let part = part?;
        for (side, sums) in sums.iter_mut().enumerate() {
            for ((sum, &high), &low) in sums.iter_mut().zip(part.high.col(side)).zip(part.low.col(side)) {
                sum.add_multiple(1.0, Extended { high, low });
            }
            totals[side].add_multiple(1.0, part.totals[side]);
        }
        push(&mut noted, part.notes, SUMS)?;
    }
    for (sums, &total) in sums.iter_mut().zip(&totals) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let mean = design.means().map_or(0.0, |means| means[j] * design.column_scale(j));
            sum.add_multiple(-mean, total);
        }
    }
    Ok(ExactPass { gradient: sums, totals, notes: noted })
}

const SUMS: &str = "sums in twice the working precision";

/// (b - r - A x - c; ridge x - A'W r; -1'W r) at the point (r; x; c), every entry right to its last digits. The constant
/// c and its equation are there only if the design is centred; b counts as zero where there is no target.
pub(crate) fn residual<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    ridge: f64,
    target: Option<usize>,
    at: &[f64],
) -> Result<Buffer<f64>> {
    let (n, d) = (design.nrows(), design.ncols());
    let (r, lower) = at.split_at(n);
    let (x, constant) = lower.split_at(d);
    #[expect(clippy::disallowed_methods, reason = "there is room for the residuals of a block")]
    let multiple = |residuals: &mut Vec<f64>, row: usize, _: usize, image: Extended| {
        let weight = design.weight(row);
        if weight == 0.0 {
            residuals.push(0.0);
            return Extended::default();
        }
        let mut f = target.map_or_else(Extended::default, |target| design.exact_target(row, target));
        f.add(-r[row]);
        f.add_multiple(-1.0, image);
        constant.iter().for_each(|c| f.add(-c));
        residuals.push(f.value());
        Extended::product(weight, r[row])
    };
    let (column, none) = (Mat::from_fn(d, 1, |j, _| x[j])?, Mat::zeros(d, 1)?);
    let room = |rows: Range<usize>| room_for(rows.len(), "residuals of a block of rows");
    let pass = exact_pass(context, design, [&column, &none], room, multiple)?;
    let mut out = Buffer::zeros(at.len(), "an augmented vector")?;
    let (upper, lower) = out.split_at_mut(n);
    upper.iter_mut().zip(pass.notes.into_iter().flatten()).for_each(|(out, residual)| *out = residual);
    let (lower, constant) = lower.split_at_mut(d);
    for (j, (out, sum)) in lower.iter_mut().zip(&pass.gradient[0]).enumerate() {
        let scale = design.column_scale(j);
        let mut negative = Extended { high: -sum.high, low: -sum.low };
        negative.add_multiple(ridge * scale * scale, Extended::from(x[j]));
        *out = negative.value();
    }
    constant.fill(-pass.totals[0].value());
    Ok(out)
}

/// mean'x, zero if nothing is centred.
fn at_means<T: Real>(design: &Design<'_, T>, x: [&[f64]; 2]) -> Extended {
    let mut sum = Extended::default();
    for part in x {
        for (j, (mean, x)) in design.means().unwrap_or(&[]).iter().zip(part).enumerate() {
            sum.add_multiple(mean * design.column_scale(j), Extended::from(*x));
        }
    }
    sum
}

/// What is the same for all rows.
struct Sweep<'s, 'a, T, M> {
    design: &'s Design<'a, T>,
    /// The parts of x.
    x: &'s [&'s Mat<f64>],
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

impl<T: Real, M> Sweep<'_, '_, T, M> {
    fn add<N>(&self, part: &mut Part<N>, rows: Range<usize>, buffer: &mut Vec<f64>) -> Result<()>
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        if let Matrix::Sparse(matrix) = &self.design.a.source {
            return (0..self.shift.len())
                .try_for_each(|side| self.add_sparse(part, matrix, side, rows.clone()));
        }
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = self.design.a.scaled_tile(start..(start + TILE_ROWS).min(rows.end), buffer)?;
            for i in 0..tile.nrows() {
                let row = tile.stored_row(i);
                for side in 0..self.shift.len() {
                    let mut image = Extended::default();
                    for x in self.x {
                        image.add_multiple(1.0, dot_extended(row, x.col(side)));
                    }
                    let multiple = self.multiple(part, start + i, side, image);
                    axpy_extended(multiple, row, part.high.col_mut(side), part.low.col_mut(side));
                }
            }
        }
        Ok(())
    }

    fn add_sparse<N>(
        &self,
        part: &mut Part<N>,
        matrix: &Sparse<'_, T>,
        side: usize,
        rows: Range<usize>,
    ) -> Result<()>
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        let mut images: Vec<Extended> = zeros(rows.len(), SUMS)?;
        let (first, design) = (rows.start, self.design);
        matrix.visit_rows(rows.clone(), |i, j, value| {
            for x in self.x {
                images[i].add_multiple(design.a.scaled(first + i, j, value), Extended::from(x[(j, side)]));
            }
        });
        for (row, image) in rows.clone().zip(&mut images) {
            *image = self.multiple(part, row, side, *image);
        }
        let multiples = images;
        matrix.visit_rows(rows, |i, j, value| {
            let mut sum = Extended { high: part.high[(j, side)], low: part.low[(j, side)] };
            sum.add_multiple(design.a.scaled(first + i, j, value), multiples[i]);
            (part.high[(j, side)], part.low[(j, side)]) = (sum.high, sum.low);
        });
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Dense;
    use crate::random::Stream;
    use crate::regression::Problem;

    const N: usize = 300;

    /// A'W (b - A x) in integers, and by `exact_pass`.
    fn compare(design: Matrix<'_, f64>, a: &[f64], d: usize) {
        let numbers = Stream::new(5, 0, 0);
        let integer = |row: usize, column: usize, bits: i32| {
            (numbers.normal(row as u64, column as u64) * 2f64.powi(bits)).round()
        };
        let x = Mat::from_fn(d, 2, |j, side| integer(j, 100 + side, 44)).unwrap();
        let tail = Mat::zeros(d, 2).unwrap();
        let b: Vec<f64> = (0..2 * N).map(|k| integer(k, 200, 50)).collect();
        let weights: Vec<f64> = (0..N).map(|row| integer(row, 300, 3).abs()).collect();
        let problem = Problem {
            design,
            targets: Dense::row_major(&b, N, 2),
            weights: Some(&weights),
            ridge: &[0.0],
            fit_intercept: false,
        };
        let design = Design::new(&Context::new(1), &problem).unwrap();
        let unit = |side: usize| design.target_scale(side);
        let x_in_units = Mat::from_fn(d, 2, |j, side| x[(j, side)] * unit(side)).unwrap();
        let multiple = |_: &mut (), row: usize, side: usize, image: Extended| {
            let mut residual = design.exact_target(row, side);
            residual.add_multiple(-1.0, image);
            let mut weighted = Extended::default();
            weighted.add_multiple(design.weight(row), residual);
            weighted
        };
        for threads in [1, 2] {
            let pass =
                exact_pass(&Context::new(threads), &design, [&x_in_units, &tail], |_| Ok(()), multiple)
                    .unwrap();
            for side in 0..2 {
                let residual = |row: usize| {
                    let image = |j: usize| a[row * d + j] as i128 * x[(j, side)] as i128;
                    b[2 * row + side] as i128 - (0..d).map(image).sum::<i128>()
                };
                for (j, sum) in pass.gradient[side].iter().enumerate() {
                    let terms = |row: usize| a[row * d + j] as i128 * weights[row] as i128 * residual(row);
                    let exact: i128 = (0..N).map(terms).sum();
                    let size: f64 = (0..N).map(|row| (terms(row) as f64).abs()).sum();
                    let found = (sum.high / unit(side)) as i128 + (sum.low / unit(side)) as i128;
                    let error = (found - exact) as f64 / size;
                    assert!(error.abs() < 1e-28, "{j} {side}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn sums_are_right_to_twice_the_precision() {
        let numbers = Stream::new(6, 0, 0);
        for d in [1, 8, 11] {
            let size = |row: usize| if row < 7 { 24 } else { 4 };
            let a: Vec<f64> = (0..N * d)
                .map(|k| (numbers.normal((k / d) as u64, (k % d) as u64) * 2f64.powi(size(k / d))).round())
                .collect();
            compare(Matrix::Dense(Dense::row_major(&a, N, d)), &a, d);
        }
    }
}
