//! What a model leaves of observed entries.

use super::factors::Factor;
use super::kernels::{combine, dots};
use super::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::{Buffer, blocks_by_cost};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::{norm_sq, sum};
use std::convert::identity;

/// Entries whose rows are gathered together.
const TILE_ROWS: usize = 64;
/// Entries of a block of lines, about.
const COST: usize = 1 << 14;
/// What memory is for.
const ERRORS: &str = "errors of observed entries";

/// Sums over lines, of squared errors s and numbers n, or sums of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Σ n
    pub count: f64,
    /// Σ s
    pub squares: f64,
    /// Σ s²
    squares_of_lines: f64,
    /// Σ s n
    products: f64,
    /// Σ n²
    counts_of_lines: f64,
}

impl Errors {
    /// Of one line, whose entries have weights of that sum.
    pub fn of_line(squares: f64, n: f64) -> Self {
        Self {
            count: n,
            squares,
            squares_of_lines: squares * squares,
            products: squares * n,
            counts_of_lines: n * n,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.squares += other.squares;
        self.squares_of_lines += other.squares_of_lines;
        self.products += other.products;
        self.counts_of_lines += other.counts_of_lines;
    }

    /// Root mean square; NaN of none.
    pub fn rmse(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }

    /// Standard error of that, by the delta method, where entries of a line may have to do with each other.
    pub fn standard_error(&self) -> f64 {
        let mean = self.squares / self.count;
        let spread = self.squares_of_lines - 2.0 * mean * self.products + mean * mean * self.counts_of_lines;
        spread.max(0.0).sqrt() / self.count / (2.0 * mean.sqrt())
    }
}

/// The errors of a part of the entries, by lines of the one side.
pub fn errors<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    factors: (&Factor<T>, &Factor<T>),
) -> Result<Errors> {
    let squares = squares_of_lines(context, lines, part, factors)?;
    let mut sums = Errors::default();
    for (line, squares) in squares.iter().enumerate() {
        sums.add(&Errors::of_line(*squares, lines.degree(line, part)));
    }
    Ok(sums)
}

/// The weighted sum of the squared errors of each line.
pub fn squares_of_lines<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    factors: (&Factor<T>, &Factor<T>),
) -> Result<Vec<f64>> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let mut out = zeros(lines.count(), ERRORS)?;
    let mut rest = out.as_mut_slice();
    let parts = blocks.iter().map(|block| rest.split_off_mut(..block.len()).unwrap_or_default());
    let work = |tile: &mut Option<Tile<T>>, block: usize, out: &mut [f64]| {
        let mut own = tile.take().map_or_else(|| Tile::new(factors.0.stride), Ok)?;
        for (line, out) in blocks[block].clone().zip(out) {
            *out = 0.0;
            let mut at = lines.line(line, part).start;
            own.visit(lines, line, part, factors, |_, errors| {
                *out += match lines.roots(at..at + errors.len()) {
                    None => norm_sq(errors),
                    Some(roots) => {
                        errors.iter().zip(roots).map(|(e, root)| (e.to_f64() * root.to_f64()).powi(2)).sum()
                    }
                };
                at += errors.len();
            });
        }
        *tile = Some(own);
        Ok(())
    };
    context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)?;
    Ok(out)
}

/// Sets each row of `out` to Σ e_ij y_j over the weighted errors e of its line, and its bias to Σ e_ij: half the slope of the squares
/// at the rows x of the one side, times -1.
pub fn pulls<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    factors: (&Factor<T>, &Factor<T>),
    out: &mut Factor<T>,
) -> Result<()> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let (mut rows, mut biases, stride) = (&mut *out.rows, out.bias.as_mut_slice(), out.stride);
    let parts = blocks.iter().map(|block| {
        let of_rows = rows.split_off_mut(..block.len() * stride).unwrap_or_default();
        (of_rows, biases.split_off_mut(..block.len()).unwrap_or_default())
    });
    let work = |tile: &mut Option<Tile<T>>, block: usize, (rows, biases): (&mut [T], &mut [T])| {
        let mut own = tile.take().map_or_else(|| Tile::new(stride), Ok)?;
        for ((line, row), bias) in blocks[block].clone().zip(rows.chunks_exact_mut(stride)).zip(biases) {
            row.fill(T::default());
            let (mut total, mut at) = (0.0, lines.line(line, part).start);
            own.visit(lines, line, part, factors, |tile, errors| {
                let mut weighted = [T::default(); TILE_ROWS];
                let weighted = &mut weighted[..errors.len()];
                weighted.copy_from_slice(errors);
                if let Some(roots) = lines.roots(at..at + errors.len()) {
                    weighted.iter_mut().zip(roots).for_each(|(e, root)| *e = *e * *root * *root);
                }
                at += errors.len();
                combine(tile, stride, weighted, row);
                total += sum(weighted);
            });
            *bias = T::from_f64(total);
        }
        *tile = Some(own);
        Ok(())
    };
    context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)
}

/// Rows of the other factor, and what is left of the entries that name them.
pub struct Tile<T> {
    rows: Buffer<T>,
    errors: Vec<T>,
}

impl<T: Scalar> Tile<T> {
    /// For rows of that length.
    pub fn new(stride: usize) -> Result<Self> {
        Ok(Self { rows: Buffer::zeros(TILE_ROWS * stride, ERRORS)?, errors: zeros(TILE_ROWS, ERRORS)? })
    }

    /// Shows rows and errors of a line, some at a time.
    pub fn visit(
        &mut self,
        lines: &Lines<T>,
        line: usize,
        part: Part,
        (own, other): (&Factor<T>, &Factor<T>),
        mut visitor: impl FnMut(&[T], &[T]),
    ) {
        let (matrix, at, stride) = (lines.matrix(), lines.line(line, part), own.stride);
        for first in at.clone().step_by(TILE_ROWS) {
            let entries = first..at.end.min(first + TILE_ROWS);
            let (indices, values) = (matrix.indices().part(entries.clone()), &matrix.values()[entries]);
            let (rows, errors) = (&mut self.rows[..values.len() * stride], &mut self.errors[..values.len()]);
            other.gather(indices, rows);
            dots(rows, stride, own.row(line), errors);
            for (k, (error, value)) in errors.iter_mut().zip(values).enumerate() {
                *error = *value - own.bias[line] - other.bias[indices.get(k)] - *error;
            }
            visitor(rows, errors);
        }
    }
}
