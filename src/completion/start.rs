//! Where the sweeps begin: biases as damped means, and the leading singular vectors of what they leave.
//!
//! With entries over the roots of the degrees of their row and column, few heavy rows do not decide what the vectors are:
//! two iterations of a block of k + 8 vectors save two or three sweeps, and six find what a random start does not where
//! there are hardly more entries than unknowns.

use super::factors::Factor;
use super::half::{gram_of, multiply};
use super::kernels::{combine, dots};
use super::observations::{Lines, Observations, Part};
use crate::error::Result;
use crate::linalg::{Scalar, eigh};
use crate::matrix::{Buffer, Mat, blocks_by_cost};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::norm_sq;
use std::convert::identity;
use std::ops::Range;

/// Purpose of the random numbers of a start.
const START: u8 = 0x70;
/// Vectors beside those that are wanted.
const MORE: usize = 8;
/// Entries, with a value of zero, that a line has for its bias beside its own.
const DAMPING: f64 = 5.0;
/// Rows of a tile.
const TILE_ROWS: usize = 64;
/// Steps of the power method.
const POWERS: usize = 8;
/// Entries of a block of lines, about.
const COST: usize = 1 << 14;
/// What memory is for.
const BLOCK_OF_VECTORS: &str = "the start of the sweeps";

/// Sets the biases of both sides, those of the columns first; the standard deviation of what they leave.
pub fn set_biases<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
    with_bias: bool,
) -> Result<f64> {
    if with_bias {
        columns.bias = over_lines(context, &observed.columns, |j| damped(&observed.columns, part, j, rows))?;
        rows.bias = over_lines(context, &observed.rows, |i| damped(&observed.rows, part, i, columns))?;
    }
    let squares: Vec<f64> = over_lines(context, &observed.rows, |i| {
        let (mut sum, bias) = (0.0, rows.bias[i].to_f64());
        observed.rows.visit(i, part, |j, value, weight| {
            sum += weight * (value - bias - columns.bias[j].to_f64()).powi(2);
        });
        sum
    })?;
    let count: f64 = (0..observed.rows.count()).map(|i| observed.rows.degree(i, part)).sum();
    let unit = if count > 0.0 { (squares.iter().sum::<f64>() / count).sqrt() } else { 0.0 };
    Ok(if unit > 4.0 * T::UNIT_ROUNDOFF { unit } else { 1.0 })
}

/// The damped mean of a line less the biases of the other side.
fn damped<T: Scalar>(lines: &Lines<T>, part: Part, line: usize, other: &Factor<T>) -> T {
    let mut sum = 0.0;
    lines.visit(line, part, |k, value, weight| sum += weight * (value - other.bias[k].to_f64()));
    T::from_f64(sum / (lines.degree(line, part) + DAMPING))
}

/// What `work` gives for each line.
fn over_lines<T: Scalar, N: Copy + Default + Send + Sync>(
    context: &Context,
    lines: &Lines<T>,
    work: impl Fn(usize) -> N + Sync,
) -> Result<Vec<N>> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let mut out = zeros(lines.count(), BLOCK_OF_VECTORS)?;
    let mut rest = out.as_mut_slice();
    let parts = blocks.iter().map(|block| rest.split_off_mut(..block.len()).unwrap_or_default());
    context.map_parts(
        parts,
        || (),
        |(), block, out: &mut [N]| {
            out.iter_mut().zip(blocks[block].clone()).for_each(|(out, line)| *out = work(line));
        },
    )?;
    Ok(out)
}

/// Sets the factor of the columns to numbers of a random sign and size, rows of a length of about one.
pub fn at_random<T: Scalar>(context: &Context, columns: &mut Factor<T>, seed: u64) -> Result<()> {
    fill_at_random(context, columns, 0..columns.rank, 1.0 / (columns.rank as f64).sqrt(), seed)
}

fn fill_at_random<T: Scalar>(
    context: &Context,
    factor: &mut Factor<T>,
    components: Range<usize>,
    size: f64,
    seed: u64,
) -> Result<()> {
    let stream = Stream::new(seed, 0, START);
    let mut normals = zeros(factor.rank, BLOCK_OF_VECTORS)?;
    for (i, row) in factor.rows.chunks_exact_mut(factor.stride).enumerate() {
        if i % 4096 == 0 {
            context.tick()?;
        }
        stream.normals_of_row(i as u64, &mut normals);
        for k in components.clone() {
            row[k] = T::from_f64(normals[k] * size);
        }
    }
    Ok(())
}

/// How leading singular vectors are sought.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Iterations of a block of vectors: two, where sweeps need no more than a direction; six, where entries are hardly more
    /// than unknowns and the vectors are to be those of the entries.
    pub iterations: usize,
    /// Of the vectors to begin with.
    pub seed: u64,
}

/// Sets the factor of the columns to leading right singular vectors times the roots of the singular values, over the roots
/// of the degrees, scaled so that rows have a length of about one: of what the biases leave, which are set already, or of
/// what these factors leave.
pub fn spectral<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    rows: &Factor<T>,
    columns: &mut Factor<T>,
    fitted: Option<(&Factor<T>, &Factor<T>)>,
    search: Search,
) -> Result<()> {
    let transposed = fitted.map(|(rows, columns)| (columns, rows));
    let Observations { rows: by_rows, columns: by_columns, .. } = observed;
    let width = (columns.rank + MORE).min(by_rows.count()).min(by_columns.count());
    let mut right = Factor::zeros(columns.count, width)?;
    at_random(context, &mut right, search.seed)?;
    right.bias.copy_from_slice(&columns.bias);
    let mut left = Factor::zeros(rows.count, width)?;
    left.bias.copy_from_slice(&rows.bias);
    for _ in 0..search.iterations {
        over_degrees(context, by_columns, part, &mut right)?;
        product(context, by_rows, part, &right, fitted, &mut left)?;
        orthonormalise(context, &mut left)?;
        over_degrees(context, by_rows, part, &mut left)?;
        product(context, by_columns, part, &left, transposed, &mut right)?;
    }
    let found = balance(context, &mut right)?;
    over_degrees(context, by_columns, part, &mut right)?;
    fill_at_random(context, columns, 0..columns.rank, 0.1 / (columns.rank as f64).sqrt(), search.seed)?;
    let found = found.min(columns.rank);
    let square: f64 = (0..right.count).flat_map(|j| &right.row(j)[..found]).map(|x| x.to_f64().powi(2)).sum();
    let scale = if square > 0.0 { (columns.count as f64 / square).sqrt() } else { 0.0 };
    let stride = columns.stride;
    for (j, row) in columns.rows.chunks_exact_mut(stride).enumerate() {
        let from = &right.row(j)[..found];
        row.iter_mut().zip(from).for_each(|(out, x)| *out = T::from_f64(scale * x.to_f64()));
    }
    Ok(())
}

/// Adds one component to both factors, for which they have room: that of the columns is the leading right singular vector of
/// what they leave, in the size of the others, that of the rows zero.
pub fn grow<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
    search: Search,
) -> Result<()> {
    let (mut left, mut right) = (Factor::zeros(rows.count, 1)?, Factor::zeros(columns.count, 1)?);
    left.bias.copy_from_slice(&rows.bias);
    right.bias.copy_from_slice(&columns.bias);
    spectral(context, observed, part, &left, &mut right, Some((rows, columns)), search)?;
    let squares: f64 = columns.rows.chunks(columns.stride).map(norm_sq).sum();
    let size = (squares / (columns.rank * columns.count) as f64).sqrt();
    let (rank, stride) = (columns.rank, columns.stride);
    for (j, row) in columns.rows.chunks_exact_mut(stride).enumerate() {
        row[rank] = T::from_f64(size * right.row(j)[0].to_f64());
    }
    (rows.rank, columns.rank) = (rank + 1, rank + 1);
    Ok(())
}

/// The largest singular value of the observed entries, zeros elsewhere, by a few steps of the power method: from below.
pub fn largest_singular_value<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    seed: u64,
) -> Result<f64> {
    let along = |lines: &Lines<T>, x: &[f64]| {
        over_lines(context, lines, |line| {
            let mut sum = 0.0;
            lines.matrix().visit(lines.line(line, part), |k, value| sum += value.to_f64() * x[k]);
            sum
        })
    };
    let stream = Stream::new(seed, 1, START);
    let mut x = zeros(observed.columns.count(), BLOCK_OF_VECTORS)?;
    stream.normals_of_row(0, &mut x);
    let mut value = 0.0;
    for _ in 0..POWERS {
        let size = norm_sq(&x).sqrt();
        if size == 0.0 {
            return Ok(0.0);
        }
        x.iter_mut().for_each(|x| *x /= size);
        let y = along(&observed.rows, &x)?;
        value = norm_sq(&y).sqrt();
        x = along(&observed.columns, &y)?;
    }
    Ok(value)
}

/// Rows over the roots of the numbers of entries of their lines, which leaves those without any zero.
fn over_degrees<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    factor: &mut Factor<T>,
) -> Result<()> {
    let stride = factor.stride;
    for (i, row) in factor.rows.chunks_exact_mut(stride).enumerate() {
        if i % 4096 == 0 {
            context.tick()?;
        }
        let count = lines.degree(i, part);
        let factor = if count > 0.0 { 1.0 / count.sqrt() } else { 0.0 };
        row.iter_mut().for_each(|x| *x = T::from_f64(x.to_f64() * factor));
    }
    Ok(())
}

/// Rows of what is observed less the biases, and less what factors give, over the roots of their degrees, times a block of
/// vectors.
fn product<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    vectors: &Factor<T>,
    fitted: Option<(&Factor<T>, &Factor<T>)>,
    out: &mut Factor<T>,
) -> Result<()> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let (mut rest, stride, biases) = (&mut *out.rows, vectors.stride, &out.bias);
    let parts = blocks.iter().map(|block| rest.split_off_mut(..block.len() * stride).unwrap_or_default());
    let work = |scratch: &mut Option<(Buffer<T>, Vec<T>)>, block: usize, out: &mut [T]| {
        let new = || {
            Ok((Buffer::zeros(TILE_ROWS * stride, BLOCK_OF_VECTORS)?, zeros(TILE_ROWS, BLOCK_OF_VECTORS)?))
        };
        let (mut tile, mut targets) = scratch.take().map_or_else(new, Ok)?;
        let matrix = lines.matrix();
        for (line, out) in blocks[block].clone().zip(out.chunks_exact_mut(stride)) {
            out.fill(T::default());
            let at = lines.line(line, part);
            let degree = lines.degree(line, part);
            let factor = if degree > 0.0 { 1.0 / degree.sqrt() } else { 0.0 };
            for first in at.clone().step_by(TILE_ROWS) {
                let entries = first..at.end.min(first + TILE_ROWS);
                let (indices, values) = (matrix.indices().part(entries.clone()), &matrix.values()[entries]);
                let (tile, targets) = (&mut tile[..values.len() * stride], &mut targets[..values.len()]);
                vectors.gather(indices, tile);
                for (k, (target, value)) in targets.iter_mut().zip(values).enumerate() {
                    let mut rest = *value - biases[line] - vectors.bias[indices.get(k)];
                    if let Some((own, other)) = fitted {
                        let mut product = [T::default()];
                        dots(own.row(line), own.stride, other.row(indices.get(k)), &mut product);
                        rest -= product[0];
                    }
                    *target = T::from_f64(rest.to_f64() * factor);
                }
                if let Some(roots) = lines.roots(first..first + targets.len()) {
                    targets
                        .iter_mut()
                        .zip(roots)
                        .for_each(|(target, root)| *target = *target * *root * *root);
                }
                combine(tile, stride, targets, out);
            }
        }
        *scratch = Some((tile, targets));
        Ok(())
    };
    context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)
}

/// X W with the eigenvectors W of X'X, the largest first, times a power of the eigenvalues; zeros, the last of all, for those
/// that are lost in rounding. How many are not.
fn in_eigenvectors<T: Scalar>(context: &Context, x: &mut Factor<T>, power: f64) -> Result<usize> {
    let (gram, _) = gram_of(context, x)?;
    let rank = x.rank;
    let entry = |i: usize, j: usize| gram[i.min(j) * x.stride + i.max(j)];
    let (values, vectors) = eigh(&Mat::from_fn(rank, rank, entry)?)?;
    let least = values.last().map_or(0.0, |largest| 16.0 * rank as f64 * T::UNIT_ROUNDOFF * largest.max(0.0));
    let found = values.iter().filter(|&&value| value > least && value > 0.0).count();
    multiply(context, x, |i, j| {
        let column = rank - 1 - j;
        if j < found { vectors[(i, column)] * values[column].powf(power) } else { 0.0 }
    })?;
    Ok(found)
}

/// An orthonormal basis of the columns, zeros for those that depend on others.
pub fn orthonormalise<T: Scalar>(context: &Context, x: &mut Factor<T>) -> Result<usize> {
    in_eigenvectors(context, x, -0.5)
}

/// Left singular vectors times the roots of the singular values.
fn balance<T: Scalar>(context: &Context, x: &mut Factor<T>) -> Result<usize> {
    in_eigenvectors(context, x, -0.25)
}
