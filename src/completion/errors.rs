//! What a model leaves of observed entries, and how far the mean over those that are held out may be from that over all.

use super::factors::Factor;
use super::kernels::{combine, dots};
use super::observations::{Lines, Observations, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::{Buffer, blocks_by_cost};
use crate::memory::{gathered, push, zeros};
use crate::parallel::Context;
use crate::simd::{norm_sq, sum};
use std::convert::identity;

/// Entries whose rows are gathered together.
const TILE_ROWS: usize = 64;
/// Entries of a block of lines, about.
const COST: usize = 1 << 14;
/// What memory is for.
const ERRORS: &str = "errors of observed entries";

/// A weighted sum of squared errors, and that of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Σ w
    pub count: f64,
    /// Σ w e²
    pub squares: f64,
}

impl Errors {
    fn plus(&self, other: &Self) -> Self {
        Self { count: self.count + other.count, squares: self.squares + other.squares }
    }

    /// Root mean square; NaN of none.
    pub fn rmse(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }
}

/// What is left of entries that are held out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeldOut {
    /// How many these are, those for one place being one.
    pub entries: usize,
    /// The same of entries of one weight, of which a mean is as good: (Σ w)² / Σ w².
    pub effective: f64,
    /// Root of the mean square.
    pub rmse: f64,
    /// Median of magnitudes, each times the root of its weight over the mean weight.
    pub median: f64,
    /// Of what is independent of each other, places, rows or columns: how many there are, and the variance of the mean
    /// square, over the square of that.
    pub spreads: [(usize, f64); 3],
}

impl HeldOut {
    /// In units of the values.
    pub fn times(self, scale: f64) -> Self {
        Self { rmse: self.rmse * scale, median: self.median * scale, ..self }
    }
}

/// Sums over clusters of entries, each with a sum of squared errors s and of weights n.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    clusters: usize,
    /// Σ n, Σ s
    errors: Errors,
    /// Σ s², Σ s n, Σ n²
    moments: [f64; 3],
}

impl Spread {
    fn add(&mut self, Errors { count, squares }: Errors) {
        if count > 0.0 {
            self.clusters += 1;
            self.errors.count += count;
            self.errors.squares += squares;
            self.moments[0] += squares * squares;
            self.moments[1] += squares * count;
            self.moments[2] += count * count;
        }
    }

    /// The variance of Σ s / Σ n by the delta method, over its square.
    fn relative_variance(&self) -> f64 {
        let mean = self.errors.squares / self.errors.count;
        let [squares, products, counts] = self.moments;
        let spread = squares - 2.0 * mean * products + mean * mean * counts;
        let correction = self.clusters as f64 / (self.clusters as f64 - 1.0);
        spread.max(0.0) * correction / self.errors.squares.powi(2)
    }
}

/// What is left of those entries that are held out and count.
pub fn held_out_errors<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    (rows, columns): (&Factor<T>, &Factor<T>),
    counts: impl Fn(usize, usize) -> bool,
) -> Result<HeldOut> {
    let mut by_columns: Vec<Errors> = zeros(columns.count, ERRORS)?;
    let [mut of_places, mut of_rows, mut of_columns] = [Spread::default(); 3];
    let (mut of_row, mut magnitudes) = (Vec::new(), Vec::new());
    for i in 0..rows.count {
        if i % COST == 0 {
            context.tick()?;
        }
        of_row.clear();
        let mut stored = Ok(());
        observed.rows.visit(i, Part::HeldOut, |j, value, weight| {
            if stored.is_ok() && counts(i, j) {
                let product: f64 =
                    rows.row(i).iter().zip(columns.row(j)).map(|(u, v)| u.to_f64() * v.to_f64()).sum();
                let error = value - rows.bias[i].to_f64() - columns.bias[j].to_f64() - product;
                stored =
                    push(&mut of_row, (j, Errors { count: weight, squares: weight * error * error }), ERRORS);
            }
        });
        stored?;
        // Entries for one place follow one another.
        let total = |part: &[(usize, Errors)]| {
            part.iter().fold(Errors::default(), |total, (_, errors)| total.plus(errors))
        };
        for place in of_row.chunk_by(|left, right| left.0 == right.0) {
            let errors = total(place);
            of_places.add(errors);
            push(&mut magnitudes, errors.squares.sqrt(), ERRORS)?;
            by_columns[place[0].0] = by_columns[place[0].0].plus(&errors);
        }
        of_rows.add(total(&of_row));
    }
    by_columns.into_iter().for_each(|of_column| of_columns.add(of_column));
    let middle = magnitudes.len() / 2;
    let median = match magnitudes.is_empty() {
        true => f64::NAN,
        false => *magnitudes.select_nth_unstable_by(middle, f64::total_cmp).1,
    };
    Ok(HeldOut {
        entries: of_places.clusters,
        effective: of_places.errors.count.powi(2) / of_places.moments[2],
        rmse: of_places.errors.rmse(),
        median: median * (of_places.clusters as f64 / of_places.errors.count).sqrt(),
        spreads: [of_places, of_rows, of_columns].map(|spread| (spread.clusters, spread.relative_variance())),
    })
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
        sums.count += lines.degree(line, part);
        sums.squares += squares;
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

/// Sets each row of `out` to Σ w f(e_ij) y_j over the errors e of its line, and its bias to Σ w f(e_ij), w being weights: for
/// the error itself half the slope of the squares at the rows x of the one side, times -1, and for its sign the slope of
/// magnitudes. The sum of all w e f(e).
pub fn pulls<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    factors: (&Factor<T>, &Factor<T>),
    of: impl Fn(T) -> T + Sync,
    out: &mut Factor<T>,
) -> Result<f64> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let (mut rows, mut biases, stride) = (&mut *out.rows, out.bias.as_mut_slice(), out.stride);
    let parts = blocks.iter().map(|block| {
        let of_rows = rows.split_off_mut(..block.len() * stride).unwrap_or_default();
        (of_rows, biases.split_off_mut(..block.len()).unwrap_or_default())
    });
    let work = |tile: &mut Option<Tile<T>>, block: usize, (rows, biases): (&mut [T], &mut [T])| {
        let (mut own, mut value) = (tile.take().map_or_else(|| Tile::new(stride), Ok)?, 0.0);
        for ((line, row), bias) in blocks[block].clone().zip(rows.chunks_exact_mut(stride)).zip(biases) {
            row.fill(T::default());
            let (mut total, mut at) = (0.0, lines.line(line, part).start);
            own.visit(lines, line, part, factors, |tile, errors| {
                let mut weighted = [T::default(); TILE_ROWS];
                let weighted = &mut weighted[..errors.len()];
                weighted.iter_mut().zip(errors).for_each(|(out, error)| *out = of(*error));
                if let Some(roots) = lines.roots(at..at + errors.len()) {
                    weighted.iter_mut().zip(roots).for_each(|(e, root)| *e = *e * *root * *root);
                }
                at += errors.len();
                combine(tile, stride, weighted, row);
                total += sum(weighted);
                value += weighted.iter().zip(errors).map(|(w, e)| w.to_f64() * e.to_f64()).sum::<f64>();
            });
            *bias = T::from_f64(total);
        }
        *tile = Some(own);
        Ok(value)
    };
    Ok(gathered(context.map_parts(parts, || None, work)?, ERRORS)?.iter().sum())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};

    #[test]
    fn spreads_are_those_of_means_over_clusters() {
        let (context, shape) = (Context::new(1), (40, 30));
        let cells = low_rank(shape, 2, 0.5, 1.0, 3);
        let mut observed = observed::<f64>(&context, shape, &cells);
        observed.hold_out(&context, 0.4, 1).unwrap();
        let none = (Factor::zeros(40, 1).unwrap(), Factor::zeros(30, 1).unwrap());
        // Half of the rows.
        let found = held_out_errors(&context, &observed, (&none.0, &none.1), |i, _| i % 2 == 0).unwrap();
        let mut held: Vec<(usize, usize, f64)> = Vec::new();
        for i in (0..40).step_by(2) {
            observed.rows.visit(i, Part::HeldOut, |j, value, _| held.push((i, j, value * value)));
        }
        let mean = held.iter().map(|cell| cell.2).sum::<f64>() / held.len() as f64;
        assert_eq!(found.entries, held.len());
        assert!((found.effective / held.len() as f64 - 1.0).abs() < 1e-12);
        assert!((found.rmse - mean.sqrt()).abs() < 1e-12);
        held.sort_by(|left, right| left.2.total_cmp(&right.2));
        assert!((found.median - held[held.len() / 2].2.sqrt()).abs() < 1e-12);
        let number = |level: usize, at: usize, cell: &(usize, usize, f64)| [at, cell.0, cell.1][level];
        for (level, (clusters, variance)) in found.spreads.into_iter().enumerate() {
            let mut sums = std::collections::BTreeMap::new();
            for (at, cell) in held.iter().enumerate() {
                *sums.entry(number(level, at, cell)).or_insert(0.0) += cell.2 - mean;
            }
            let spread: f64 = sums.values().map(|sum: &f64| sum * sum).sum();
            let g = sums.len() as f64;
            let expected = spread * g / (g - 1.0) / (held.len() as f64 * mean).powi(2);
            assert_eq!(clusters, sums.len());
            assert!((variance / expected - 1.0).abs() < 1e-9);
        }
    }
}
