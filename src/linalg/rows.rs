//! Products of whatever shows its rows in dense tiles with a block of vectors.

use super::matmul;
use crate::error::Result;
use crate::matrix::{
    Buffer, ColumnNorms, Dense, DenseMut, Mat, Products, Real, Rows, TILE_ROWS, check_shapes, make_rows,
    row_blocks, sum_over_tiles,
};
use crate::parallel::Context;
use crate::simd::{axpy, dot};
use std::ops::Range;

/// out = A X.
pub(crate) fn product_of_rows(
    context: &Context,
    a: &impl Rows,
    x: Dense<'_, f64>,
    out: DenseMut<'_, f64>,
) -> Result<()> {
    check_shapes((a.nrows(), a.ncols()), &x, &out)?;
    let (k, blocks) = (x.ncols(), row_blocks(a.nrows(), a.ncols())?);
    make_rows(context, out, &blocks, k, |buffer, rows, out| {
        for (tile, out) in tiles(&rows).zip(out.chunks_mut(TILE_ROWS * k)) {
            tile_product(a.tile(tile, 0..a.ncols(), buffer)?, x, out);
        }
        Ok(())
    })
}

/// out = A'Y.
pub(crate) fn transposed_product_of_rows(
    context: &Context,
    a: &impl Rows,
    y: Dense<'_, f64>,
    mut out: DenseMut<'_, f64>,
) -> Result<()> {
    let (n, d, k) = (a.nrows(), a.ncols(), y.ncols());
    check_shapes((d, n), &y, &out)?;
    let blocks = row_blocks(n, d)?;
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let mut part = Mat::zeros(d, k)?;
        for tile in tiles(&blocks[block]) {
            add_transposed_tile_product(a.tile(tile.clone(), 0..d, buffer)?, y.rows(tile), &mut part);
        }
        Ok(part)
    };
    let mut sum = Mat::zeros(d, k)?;
    context.fold_with(blocks.len(), Vec::new, work, |part: Mat<f64>| {
        sum.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(sum, part)| *sum += part);
    })?;
    for rows in context.pieces(0..d) {
        let rows = rows?;
        out.reborrow().window(rows.clone(), 0..k).copy_from(sum.as_ref().rows(rows));
    }
    Ok(())
}

impl<T: Real> Products for Dense<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        product_of_rows(context, self, x, out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        transposed_product_of_rows(context, self, y, out)
    }

    fn prefers_many(&self) -> bool {
        true
    }
}

impl<T: Real> ColumnNorms for Dense<'_, T> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        sum_over_tiles(context, self, |_, _, value| value * value, |sum, square| *sum += square)
    }
}

fn tiles(rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.clone().step_by(TILE_ROWS).map(move |start| start..(start + TILE_ROWS).min(end))
}

/// One row of `out` (row-major) for each of the tile.
fn tile_product(tile: Dense<'_, f64>, x: Dense<'_, f64>, out: &mut [f64]) {
    let alone = if x.ncols() == 1 { x.col(0) } else { None };
    match alone {
        Some(x) => {
            let rows = (0..tile.nrows()).map(|i| tile.stored_row(i));
            out.iter_mut().zip(rows).for_each(|(out, row)| *out = dot(row, x));
        }
        None => matmul(DenseMut::row_major(out, tile.nrows(), x.ncols()), false, tile, x, 1.0),
    }
}

fn add_transposed_tile_product(tile: Dense<'_, f64>, y: Dense<'_, f64>, out: &mut Mat<f64>) {
    if y.ncols() == 1 {
        for i in 0..tile.nrows() {
            axpy(y.get(i, 0), tile.stored_row(i), out.as_mut_slice());
        }
    } else {
        matmul(out.as_mut(), true, tile.t(), y, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;

    #[test]
    fn products_of_dense_rows_equal_the_definition_for_any_threads() {
        for (n, d, k) in [(0, 3, 2), (3, 0, 2), (3, 0, 1), (300, 7, 0), (300, 7, 1), (2000, 90, 3)] {
            let (a, x, y) = (gaussian(n, d, 1), gaussian(d, k, 2), gaussian(n, k, 3));
            let mut outcomes = [1, 2].map(|threads| {
                let context = Context::new(threads);
                let sevens = |n: usize| Mat::from_fn(n, k, |_, _| 7.0).unwrap();
                let (mut image, mut slope) = (sevens(n), sevens(d));
                a.as_ref().product(&context, x.as_ref(), image.as_mut()).unwrap();
                a.as_ref().transposed_product(&context, y.as_ref(), slope.as_mut()).unwrap();
                (image, slope)
            });
            let (image, slope) = &outcomes[0];
            assert_eq!(
                (image.as_slice(), slope.as_slice()),
                (outcomes[1].0.as_slice(), outcomes[1].1.as_slice())
            );
            let by_hand = Mat::from_fn(n, k, |i, j| (0..d).map(|c| a[(i, c)] * x[(c, j)]).sum()).unwrap();
            assert!(distance(image.as_ref(), by_hand.as_ref()) <= 1e-12);
            let by_hand = Mat::from_fn(d, k, |i, j| (0..n).map(|r| a[(r, i)] * y[(r, j)]).sum()).unwrap();
            assert!(distance(slope.as_ref(), by_hand.as_ref()) <= 1e-11);
            let squares = a.as_ref().squared_column_norms(&Context::new(2)).unwrap();
            for (j, square) in squares.iter().enumerate() {
                assert!((square - a.col(j).iter().map(|a| a * a).sum::<f64>()).abs() <= 1e-12 * square);
            }
            let wrong = &mut outcomes[0].0;
            assert!(
                a.as_ref().product(&Context::new(1), gaussian(d + 1, k, 4).as_ref(), wrong.as_mut()).is_err()
            );
        }
    }
}
