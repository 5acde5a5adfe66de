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

/// A'M for the columns of x (d x k), given as a sum, A being centred but not weighted, and what was noted on the way:
/// entry (row, side) of M is what `multiple(notes, row, side, image)` makes of `image` = (A x)_row.
pub(crate) fn exact_pass<T: Real + Element, N: Send>(
    context: &Context,
    design: &Design<'_, T>,
    [x, tail]: [&Mat<f64>; 2],
    notes: impl Fn() -> N + Sync,
    multiple: impl Fn(&mut N, usize, usize, Extended) -> Extended + Sync,
) -> Result<(Vec<Vec<Extended>>, Vec<N>)> {
    let (d, k) = (x.nrows(), x.ncols());
    let stored = |x: &Mat<f64>| Mat::from_fn(d, k, |j, side| x[(j, side)] * design.column_scale(j));
    let x = [stored(x)?, stored(tail)?];
    let is_sum = tail.as_slice().iter().any(|&x| x != 0.0);
    let shift: Vec<Extended> =
        (0..k).map(|side| at_means(design, [x[0].col(side), x[1].col(side)])).collect();
    let sweep = Sweep { design, x: &x[..1 + usize::from(is_sum)], shift: &shift, multiple: &multiple };
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
fn at_means<T: Real + Element>(design: &Design<'_, T>, x: [&[f64]; 2]) -> Extended {
    let mut sum = Extended::default();
    for part in x {
        for (mean, x) in design.means().unwrap_or(&[]).iter().zip(part) {
            sum.add_multiple(*mean, Extended::from(*x));
        }
    }
    sum
}

/// What is the same for all rows.
struct Sweep<'s, 'a, T, M> {
    design: &'s Design<'a, T>,
    /// The parts of x, in the units of the matrix as it is stored.
    x: &'s [Mat<f64>],
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
            (0..self.shift.len()).for_each(|side| self.add_sparse(part, side, rows.clone()));
            return;
        }
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = self.design.exact_tile(start..(start + TILE_ROWS).min(rows.end), buffer);
            for i in 0..tile.nrows() {
                let row = tile.row(i).unwrap_or(&[]);
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
    }

    fn add_sparse<N>(&self, part: &mut Part<N>, side: usize, rows: Range<usize>)
    where
        M: Fn(&mut N, usize, usize, Extended) -> Extended,
    {
        let Some((matrix, _)) = self.design.sparse() else { return };
        let mut images = vec![Extended::default(); rows.len()];
        sparse::visit(&matrix, rows.clone(), |i, j, value| {
            for x in self.x {
                images[i].add_multiple(value, Extended::from(x[(j, side)]));
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};
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
            let (sums, _) =
                exact_pass(&Context::new(threads), &design, [&x_in_units, &tail], || (), multiple).unwrap();
            for side in 0..2 {
                let residual = |row: usize| {
                    let image = |j: usize| a[row * d + j] as i128 * x[(j, side)] as i128;
                    b[2 * row + side] as i128 - (0..d).map(image).sum::<i128>()
                };
                for (j, sum) in sums[side].iter().enumerate() {
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
