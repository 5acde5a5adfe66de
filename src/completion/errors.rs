//! What a model leaves of observed entries.

use super::factors::Factor;
use super::kernels::{dots, gather};
use super::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::{Buffer, Indices, blocks_by_cost};
use crate::memory::{gathered, zeros};
use crate::parallel::Context;

/// Entries whose rows are gathered together.
const TILE_ROWS: usize = 64;
/// Entries of a block of lines, about.
const COST: usize = 1 << 14;
/// What memory is for.
const ERRORS: &str = "errors of observed entries";

/// Sums over lines, of squared errors s and numbers n.
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
    fn of_line(squares: f64, count: usize) -> Self {
        let n = count as f64;
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
    (own, other): (&Factor<T>, &Factor<T>),
) -> Result<Errors> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let stride = own.stride;
    let work = |scratch: &mut Option<(Buffer<T>, Vec<T>)>, block: usize| {
        let new = || Ok((Buffer::zeros(TILE_ROWS * stride, ERRORS)?, zeros(TILE_ROWS, ERRORS)?));
        let (mut tile, mut products) = scratch.take().map_or_else(new, Ok)?;
        let (matrix, mut sums) = (lines.matrix(), Errors::default());
        for line in blocks[block].clone() {
            let at = lines.line(line, part);
            let (mut squares, bias) = (0.0, own.bias[line].to_f64());
            for first in at.clone().step_by(TILE_ROWS) {
                let entries = first..at.end.min(first + TILE_ROWS);
                let (indices, values) = (matrix.indices().part(entries.clone()), &matrix.values()[entries]);
                let (tile, products) = (&mut tile[..values.len() * stride], &mut products[..values.len()]);
                match indices {
                    Indices::I32(indices) => gather(&other.rows, stride, indices, tile),
                    Indices::I64(indices) => gather(&other.rows, stride, indices, tile),
                }
                dots(tile, stride, own.row(line), products);
                for (k, (product, value)) in products.iter().zip(values).enumerate() {
                    let bias = bias + other.bias[indices.get(k)].to_f64();
                    squares += (value.to_f64() - bias - product.to_f64()).powi(2);
                }
            }
            sums.add(&Errors::of_line(squares, at.len()));
        }
        *scratch = Some((tile, products));
        Ok(sums)
    };
    let parts: Vec<Errors> = gathered(context.map_with(blocks.len(), || None, work)?, ERRORS)?;
    let mut sums = Errors::default();
    parts.iter().for_each(|part| sums.add(part));
    Ok(sums)
}
