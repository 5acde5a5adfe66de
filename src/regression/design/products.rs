//! Products with the design and with its transpose, one apart from the other: all that a linear operator offers,
//! and what bidiagonalisation asks for.

use crate::error::{Error, Result};
use crate::linalg;
use crate::linalg::norm;
use crate::matrix::{Buffer, Dense, DenseMut, Mat, Real, Rows, Sparse};
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::design::blocks::{TILE_ROWS, parts_alive};
use crate::regression::design::{Design, sparse};
use crate::simd::{axpy, dot};
use std::ops::Range;

/// The design times X (d x k).
pub(crate) fn product<T: Real>(context: &Context, design: &Design<'_, T>, x: &Mat<f64>) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        check_range(x)?;
        let mut product = operator.product(x.copy()?)?;
        weigh(design, &mut product);
        return Ok(product);
    }
    let (k, blocks) = (x.ncols(), design.blocks()?);
    let sides = SparseSides::new(design, x)?;
    let mut product = Mat::zeros(design.nrows(), k)?;
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let rows = blocks[block].clone();
        let mut part = Buffer::zeros(rows.len() * k, "products of a block of rows")?;
        match &sides {
            Some(sides) => (0..k).for_each(|side| {
                sides.product(rows.clone(), side, &mut part[side * rows.len()..][..rows.len()]);
            }),
            None => {
                for start in rows.clone().step_by(TILE_ROWS) {
                    let tile = start..(start + TILE_ROWS).min(rows.end);
                    let part = &mut part[(start - rows.start) * k..][..tile.len() * k];
                    tile_product(design.tile(tile, 0..design.ncols(), buffer)?, x, part);
                }
            }
        }
        Ok((rows, part))
    };
    let add = |(rows, part): (Range<usize>, Buffer<f64>)| {
        for side in 0..k {
            let (first, step) = if sides.is_some() { (side * rows.len(), 1) } else { (side, k) };
            let column = part[first..].iter().step_by(step);
            product.col_mut(side)[rows.clone()].iter_mut().zip(column).for_each(|(out, &value)| *out = value);
        }
    };
    context.fold_with(blocks.len(), blocks.len(), Vec::new, work, add)?;
    Ok(product)
}

/// Refuses an operator whose products y'(A x) and (A'y)'x differ for random x and y: where A' is not the transpose of A, an
/// answer looks exact and is not.
pub(crate) fn check_adjoint<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<()> {
    let random = |len: usize, column: u64| {
        let numbers = Stream::new(0, 0, ADJOINT);
        Mat::from_fn(len, 1, |i, _| numbers.normal(i as u64, column))
    };
    let (x, y) = (random(design.ncols(), 0)?, random(design.nrows(), 1)?);
    let (image, slope) = (product(context, design, &x)?, transposed_product(context, design, &y)?);
    let [left, right] = [dot(image.as_slice(), y.as_slice()), dot(slope.as_slice(), x.as_slice())];
    let slack = MISFIT * (norm(image.as_slice()) + norm(slope.as_slice()));
    if (left - right).abs() > slack {
        let expected = "the transpose in `rmatvec` and `rmatmat`";
        return Err(Error::value(
            "A",
            format!("an operator with y'(A x) = {left:.3e}, (A'y)'x = {right:.3e}"),
            expected,
        ));
    }
    Ok(())
}

/// Purpose of the random stream of x and y.
const ADJOINT: u8 = 8;

/// How far the two products may be apart, in units of what they are for numbers of size one: far above single precision.
const MISFIT: f64 = 1e-3;

/// The transposed design times Y (n x k).
pub(crate) fn transposed_product<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    y: &Mat<f64>,
) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        let mut weighed = y.copy()?;
        weigh(design, &mut weighed);
        check_range(&weighed)?;
        return operator.transposed_product(weighed);
    }
    let (d, k, blocks) = (design.ncols(), y.ncols(), design.blocks()?);
    let mut product = Mat::zeros(d, k)?;
    let mut totals = Buffer::zeros(k, "sums of targets")?;
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let rows = blocks[block].clone();
        let (mut part, mut totals) = (Mat::zeros(d, k)?, Buffer::zeros(k, "sums of targets")?);
        match design.sparse() {
            Some((matrix, _)) => {
                for side in 0..k {
                    let mut y = Buffer::copy_of(&y.col(side)[rows.clone()], "a block of rows")?;
                    rows.clone().zip(&mut *y).for_each(|(row, y)| *y *= design.root_weight(row));
                    totals[side] = y.iter().sum();
                    sparse::add_transposed_product(&matrix, rows.clone(), &y, part.col_mut(side));
                }
            }
            None => {
                for start in rows.clone().step_by(TILE_ROWS) {
                    let tile = start..(start + TILE_ROWS).min(rows.end);
                    let y = y.as_ref().rows(tile.clone());
                    add_transposed_tile_product(design.tile(tile, 0..d, buffer)?, y, &mut part);
                }
            }
        }
        Ok((part, totals))
    };
    context.fold_with(blocks.len(), parts_alive(d * k), Vec::new, work, |(part, part_totals)| {
        add(product.as_mut_slice(), Mat::as_slice(&part));
        add(&mut totals, &part_totals);
    })?;
    if design.sparse().is_some() {
        (0..k).for_each(|side| centre_and_scale(design, totals[side], product.col_mut(side)));
    }
    Ok(product)
}

/// Refuses to ask an operator for products with what is out of range.
fn check_range(x: &Mat<f64>) -> Result<()> {
    match x.as_slice().iter().all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err(Error::value(
            "A",
            "a linear operator whose products are out of range",
            "one of another scale",
        )),
    }
}

/// sums += part
pub(crate) fn add(sums: &mut [f64], part: &[f64]) {
    sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

/// Multiplies rows by the root weights.
pub(crate) fn weigh<T: Real>(design: &Design<'_, T>, rows: &mut Mat<f64>) {
    if design.is_weighted() {
        for side in 0..rows.ncols() {
            let weights = (0..design.nrows()).map(|row| design.root_weight(row));
            rows.col_mut(side).iter_mut().zip(weights).for_each(|(value, weight)| *value *= weight);
        }
    }
}

/// One row of `out` (row-major) for each of the tile.
fn tile_product(tile: Dense<'_, f64>, x: &Mat<f64>, out: &mut [f64]) {
    if x.ncols() == 1 {
        let rows = (0..tile.nrows()).map(|i| tile.row(i).unwrap_or(&[]));
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = dot(row, x.col(0)));
    } else {
        linalg::matmul(DenseMut::row_major(out, tile.nrows(), x.ncols()), false, tile, x.as_ref(), 1.0);
    }
}

fn add_transposed_tile_product(tile: Dense<'_, f64>, y: Dense<'_, f64>, out: &mut Mat<f64>) {
    if y.ncols() == 1 {
        for i in 0..tile.nrows() {
            axpy(y.get(i, 0), tile.row(i).unwrap_or(&[]), out.as_mut_slice());
        }
    } else {
        linalg::matmul(out.as_mut(), true, tile.t(), y, 1.0);
    }
}

/// Vectors that sparse rows are to be multiplied by: sparse rows are never made dense, weights, means and column scales
/// are applied to the vectors.
pub(crate) struct SparseSides<'p, 'a, T> {
    design: &'p Design<'a, T>,
    matrix: Sparse<'a, T>,
    /// Times the column scales.
    x: Mat<f64>,
    /// mean'x
    shifts: Buffer<f64>,
}

impl<'p, 'a, T: Real> SparseSides<'p, 'a, T> {
    /// For the columns of `x` (d x k); nothing if the design is not sparse.
    pub fn new(design: &'p Design<'a, T>, x: &Mat<f64>) -> Result<Option<Self>> {
        let Some((matrix, _)) = design.sparse() else { return Ok(None) };
        let x = Mat::from_fn(x.nrows(), x.ncols(), |j, side| x[(j, side)] * design.column_scale(j))?;
        let mut shifts = Buffer::zeros(x.ncols(), "products with the means")?;
        if let Some(means) = design.means() {
            shifts.iter_mut().enumerate().for_each(|(side, shift)| *shift = dot(means, x.col(side)));
        }
        Ok(Some(Self { design, matrix, x, shifts }))
    }

    /// What they are multiplied by.
    pub fn design(&self) -> &'p Design<'a, T> {
        self.design
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.x.ncols()
    }

    /// out += A'y over the rows, before columns are centred and scaled.
    pub fn add_transposed(&self, rows: Range<usize>, y: &[f64], out: &mut [f64]) {
        sparse::add_transposed_product(&self.matrix, rows, y, out);
    }

    /// The rows times vector `side`, into zeros.
    pub fn product(&self, rows: Range<usize>, side: usize, out: &mut [f64]) {
        sparse::add_product(&self.matrix, rows.clone(), self.x.col(side), out);
        rows.zip(out).for_each(|(row, out)| *out = self.design.root_weight(row) * (*out - self.shifts[side]));
    }
}

/// Makes of A'y of a sparse A, y having this sum, what the design gives: its rows centred, its columns scaled.
pub(crate) fn centre_and_scale<T: Real>(design: &Design<'_, T>, total: f64, product: &mut [f64]) {
    for (j, out) in product.iter_mut().enumerate() {
        let mean = design.means().map_or(0.0, |means| means[j]);
        *out = (*out - mean * total) * design.column_scale(j);
    }
}
