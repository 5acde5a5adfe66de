//! What a model leaves of observed entries.

use super::factors::Factor;
use super::kernels::{dots, gather};
use super::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::{Buffer, Indices, blocks_by_cost};
use crate::memory::{gathered, zeros};
use crate::parallel::Context;
use crate::simd::norm_sq;

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
    fn of_line(squares: f64, n: f64) -> Self {
        Self {
            count: n,
            squares,
            squares_of_lines: squares * squares,
            products: squares * n,
            counts_of_lines: n * n,
        }
    }

    fn add(&mut self, other: &Self) {
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
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let work = |tile: &mut Option<Tile<T>>, block: usize| {
        let mut own = tile.take().map_or_else(|| Tile::new(factors.0.stride), Ok)?;
        let mut sums = Errors::default();
        for line in blocks[block].clone() {
            let mut squares = 0.0;
            let mut at = lines.line(line, part).start;
            own.visit(lines, line, part, factors, |_, errors| {
                let roots = lines.roots(at..at + errors.len());
                squares += match roots {
                    None => norm_sq(errors),
                    Some(roots) => {
                        errors.iter().zip(roots).map(|(e, root)| (e.to_f64() * root.to_f64()).powi(2)).sum()
                    }
                };
                at += errors.len();
            });
            sums.add(&Errors::of_line(squares, lines.degree(line, part)));
        }
        *tile = Some(own);
        Ok(sums)
    };
    let parts: Vec<Errors> = gathered(context.map_with(blocks.len(), || None, work)?, ERRORS)?;
    let mut sums = Errors::default();
    parts.iter().for_each(|part| sums.add(part));
    Ok(sums)
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
            match indices {
                Indices::I32(indices) => gather(&other.rows, stride, indices, rows),
                Indices::I64(indices) => gather(&other.rows, stride, indices, rows),
            }
            dots(rows, stride, own.row(line), errors);
            for (k, (error, value)) in errors.iter_mut().zip(values).enumerate() {
                *error = *value - own.bias[line] - other.bias[indices.get(k)] - *error;
            }
            visitor(rows, errors);
        }
    }
}
