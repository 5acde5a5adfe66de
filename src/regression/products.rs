//! Products with the design and with its transpose, one apart from the other: all that a linear operator offers,
//! and what bidiagonalisation asks for.

use super::design::{Design, TILE_ROWS, row_blocks};
use super::sparse;
use crate::error::Result;
use crate::linalg;
use crate::matrix::{Dense, DenseMut, Mat, Real, Rows};
use crate::parallel::Context;
use crate::simd::{Element, axpy, dot};

/// The design times X (d x k).
pub(crate) fn product<T: Real + Element>(
    context: &Context,
    design: &Design<'_, T>,
    x: &Mat<f64>,
) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        let mut product = operator.product(x.copy()?)?;
        weigh(design, &mut product);
        return Ok(product);
    }
    let (k, blocks) = (x.ncols(), row_blocks(design.nrows(), design.ncols()));
    let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let rows = blocks[block].clone();
        let mut part = vec![0.0; rows.len() * k];
        match design.sparse() {
            Some(_) => sparse_product(design, rows, x, &mut part),
            None => {
                for start in rows.clone().step_by(TILE_ROWS) {
                    let tile = start..(start + TILE_ROWS).min(rows.end);
                    let part = &mut part[(start - rows.start) * k..][..tile.len() * k];
                    tile_product(design.tile(tile, 0..design.ncols(), buffer), x, part);
                }
            }
        }
        part
    })?;
    let mut product = Mat::zeros(design.nrows(), k)?;
    for (rows, part) in blocks.iter().zip(parts) {
        for side in 0..k {
            let column = part[side..].iter().step_by(k);
            product.col_mut(side)[rows.clone()].iter_mut().zip(column).for_each(|(out, &value)| *out = value);
        }
    }
    Ok(product)
}

/// The transposed design times Y (n x k).
pub(crate) fn transposed_product<T: Real + Element>(
    context: &Context,
    design: &Design<'_, T>,
    y: &Mat<f64>,
) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        let mut weighed = y.copy()?;
        weigh(design, &mut weighed);
        return operator.transposed_product(weighed);
    }
    let (d, k, blocks) = (design.ncols(), y.ncols(), row_blocks(design.nrows(), design.ncols()));
    let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
        let rows = blocks[block].clone();
        let mut part = Mat::zeros(d, k)?;
        match design.sparse() {
            Some(_) => sparse_transposed_product(design, rows, y, &mut part),
            None => {
                for start in rows.clone().step_by(TILE_ROWS) {
                    let tile = start..(start + TILE_ROWS).min(rows.end);
                    let y = y.as_ref().rows(tile.clone());
                    add_transposed_tile_product(design.tile(tile, 0..d, buffer), y, &mut part);
                }
            }
        }
        Ok(part)
    })?;
    let mut product = Mat::zeros(d, k)?;
    for part in parts {
        product.as_mut_slice().iter_mut().zip(part?.as_slice()).for_each(|(sum, value)| *sum += value);
    }
    Ok(product)
}

/// Multiplies rows by the root weights.
pub(crate) fn weigh<T: Real + Element>(design: &Design<'_, T>, rows: &mut Mat<f64>) {
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

/// Sparse rows are never made dense: weights, means and column scales are applied to the vectors.
fn sparse_product<T: Real + Element>(
    design: &Design<'_, T>,
    rows: std::ops::Range<usize>,
    x: &Mat<f64>,
    out: &mut [f64],
) {
    let Some((matrix, _)) = design.sparse() else { return };
    let k = x.ncols();
    let mut column = vec![0.0; rows.len()];
    for side in 0..k {
        let x: Vec<f64> = (0..x.nrows()).map(|j| x[(j, side)] * design.column_scale(j)).collect();
        let shift: f64 = design.means().map_or(0.0, |means| means.iter().zip(&x).map(|(m, x)| m * x).sum());
        column.fill(0.0);
        sparse::add_product(&matrix, rows.clone(), &x, &mut column);
        for ((row, out), value) in rows.clone().zip(out[side..].iter_mut().step_by(k)).zip(&column) {
            *out = design.root_weight(row) * (value - shift);
        }
    }
}

fn sparse_transposed_product<T: Real + Element>(
    design: &Design<'_, T>,
    rows: std::ops::Range<usize>,
    y: &Mat<f64>,
    out: &mut Mat<f64>,
) {
    let Some((matrix, _)) = design.sparse() else { return };
    for side in 0..y.ncols() {
        let y = &y.col(side)[rows.clone()];
        let y: Vec<f64> = rows.clone().zip(y).map(|(row, y)| design.root_weight(row) * y).collect();
        let total: f64 = y.iter().sum();
        let out = out.col_mut(side);
        sparse::add_transposed_product(&matrix, rows.clone(), &y, out);
        for (j, out) in out.iter_mut().enumerate() {
            let mean = design.means().map_or(0.0, |means| means[j]);
            *out = (*out - mean * total) * design.column_scale(j);
        }
    }
}
