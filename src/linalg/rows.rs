//! Products of whatever shows its rows in dense tiles with a block of vectors.

use super::matmul;
use crate::error::Result;
use crate::matrix::{
    Buffer, ColumnNorms, Dense, DenseMut, Mat, Products, Real, Rows, TILE_ROWS, check_shapes, make_rows,
    row_blocks, sum_over_tiles,
};
use crate::parallel::Context;
use crate::simd::{add_pairs, axpy, dot, pair_products};
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

/// out = A'A X in one read, for X of two columns.
fn gram_product_of_pairs(
    context: &Context,
    a: &impl Rows,
    x: Dense<'_, f64>,
    out: DenseMut<'_, f64>,
) -> Result<()> {
    // Rows that are still in the first cache when they are read again.
    const FEW: usize = 4;
    let x = Mat::copy_of(x)?;
    sum_of_tiles(context, (a, 2), out, |tile, _, part| {
        let (u, v) = part.as_mut_slice().split_at_mut(x.nrows());
        for first in (0..tile.nrows()).step_by(FEW) {
            let mut products = [[0.0; 2]; FEW];
            let products = &mut products[..FEW.min(tile.nrows() - first)];
            let rows = &tile.data()[first * tile.row_stride()..];
            pair_products(rows, tile.row_stride(), x.col(0), x.col(1), products);
            add_pairs(rows, tile.row_stride(), products, u, v);
        }
    })
}

/// out = A'Y.
pub(crate) fn transposed_product_of_rows(
    context: &Context,
    a: &impl Rows,
    y: Dense<'_, f64>,
    out: DenseMut<'_, f64>,
) -> Result<()> {
    check_shapes((a.ncols(), a.nrows()), &y, &out)?;
    sum_of_tiles(context, (a, y.ncols()), out, |tile, rows, part| {
        add_transposed_tile_product(tile, y.rows(rows), part);
    })
}

/// out, d x k, is the sum of what `add` makes of tiles of rows.
fn sum_of_tiles(
    context: &Context,
    (a, k): (&impl Rows, usize),
    mut out: DenseMut<'_, f64>,
    add: impl Fn(Dense<'_, f64>, Range<usize>, &mut Mat<f64>) + Sync,
) -> Result<()> {
    let d = a.ncols();
    let blocks = row_blocks(a.nrows(), d)?;
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let mut part = Mat::zeros(d, k)?;
        for tile in tiles(&blocks[block]) {
            add(a.tile(tile.clone(), 0..d, buffer)?, tile, &mut part);
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

    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        mut image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        if x.ncols() == 2 {
            check_shapes((self.nrows(), self.ncols()), &x, &image)?;
            return gram_product_of_pairs(context, self, x, out);
        }
        self.product(context, x, image.reborrow())?;
        self.transposed_product(context, image.as_ref(), out)
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
    use crate::linalg::product;
    use crate::linalg::testing::*;

    #[test]
    fn products_of_dense_rows_equal_the_definition_for_any_threads() {
        for (n, d, k) in
            [(0, 3, 2), (3, 0, 2), (3, 0, 1), (300, 7, 0), (300, 7, 1), (2000, 90, 3), (2003, 90, 2)]
        {
            let (a, x, y) = (gaussian(n, d, 1), gaussian(d, k, 2), gaussian(n, k, 3));
            let mut outcomes = [1, 2].map(|threads| {
                let context = Context::new(threads);
                let sevens = |n: usize| Mat::from_fn(n, k, |_, _| 7.0).unwrap();
                let (mut image, mut slope) = (sevens(n), sevens(d));
                a.as_ref().product(&context, x.as_ref(), image.as_mut()).unwrap();
                a.as_ref().transposed_product(&context, y.as_ref(), slope.as_mut()).unwrap();
                let (mut middle, mut both) = (sevens(n), sevens(d));
                a.as_ref().gram_product(&context, x.as_ref(), middle.as_mut(), both.as_mut()).unwrap();
                (image, slope, both)
            });
            let bits = |(image, slope, both): &(Mat<f64>, Mat<f64>, Mat<f64>)| {
                [image.as_slice(), slope.as_slice(), both.as_slice()].concat()
            };
            assert_eq!(bits(&outcomes[0]), bits(&outcomes[1]));
            let (image, slope, both) = &outcomes[0];
            let by_hand = Mat::from_fn(n, k, |i, j| (0..d).map(|c| a[(i, c)] * x[(c, j)]).sum()).unwrap();
            assert!(distance(image.as_ref(), by_hand.as_ref()) <= 1e-12);
            let by_hand = Mat::from_fn(d, k, |i, j| (0..n).map(|r| a[(r, i)] * y[(r, j)]).sum()).unwrap();
            assert!(distance(slope.as_ref(), by_hand.as_ref()) <= 1e-11);
            let by_hand = product(a.as_ref().t(), image.as_ref()).unwrap();
            assert!(distance(both.as_ref(), by_hand.as_ref()) <= 1e-10);
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
