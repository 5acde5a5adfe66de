//! The Gram matrix of A T^-1 for an upper triangle T, without storing A T^-1.
//!
//! A block of rows is multiplied by the explicit inverse in `f64` (its triangular half only), rounded to
//! `f32` straight into the panels of the Gram sum, and forgotten. Cost: n d^2 flops in `f64`, n d^2 in
//! `f32`, one read of A.

use super::gram::{CHUNK, GramSum, block_rows, sum_over_slabs};
use super::kernel::{HEIGHT, Kernel};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, Mat, Rows};
use crate::parallel::Context;

/// (A W)'(A W) for the upper triangle W = `whitener`, and what `visit` made of the tiles of A, as in
/// [`gram`](super::gram::gram).
pub(crate) fn whitened_gram<P: Send>(
    context: &Context,
    rows: &dyn Rows,
    whitener: &Mat<f64>,
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<(Mat<f64>, Vec<P>)> {
    let panels = Panels::new(whitener)?;
    sum_over_slabs(
        context,
        rows,
        block_rows::<f32>(rows.ncols()),
        part,
        |sum: &mut GramSum<f32>, part, tile, row| {
            for start in (0..tile.nrows()).step_by(CHUNK) {
                let chunk = tile.rows(start..(start + CHUNK).min(tile.nrows()));
                panels.multiply(chunk, start, sum);
                visit(part, chunk, row + start);
            }
            sum.multiply(tile.nrows());
        },
    )
}

/// An upper triangle in panels of columns; panel `p` stops at its last non-zero row.
struct Panels {
    order: usize,
    packed: Buffer<f64>,
    starts: Vec<usize>,
}

impl Panels {
    fn new(triangle: &Mat<f64>) -> Result<Self> {
        let (order, width) = (triangle.ncols(), f64::WIDTH);
        let heights = (0..order).step_by(width).map(|first| (first + width).min(order));
        let starts: Vec<usize> = std::iter::once(0)
            .chain(heights.scan(0, |end, height| {
                *end += height * width;
                Some(*end)
            }))
            .collect();
        let mut packed = Buffer::zeros(*starts.last().unwrap_or(&0), "a packed triangle")?;
        for j in 0..order {
            for (k, &value) in triangle.col(j)[..=j].iter().enumerate() {
                packed[starts[j / width] + k * width + j % width] = value;
            }
        }
        Ok(Self { order, packed, starts })
    }

    /// Packs `rows` times the triangle into `sum`, from its row `first` on.
    fn multiply(&self, rows: Dense<'_, f64>, first: usize, sum: &mut GramSum<f32>) {
        let (width, kernel) = (f64::WIDTH, f64::tile_fn());
        let whole = rows.nrows() / HEIGHT * HEIGHT;
        let rest = self.padded(rows.rows(whole..rows.nrows()));
        let mut products = [0.0; HEIGHT * f64::WIDTH];
        for (panel, start) in self.starts[..self.starts.len() - 1].iter().enumerate() {
            let packed = &self.packed[*start..self.starts[panel + 1]];
            let depth = packed.len() / width;
            for i in (0..rows.nrows()).step_by(HEIGHT) {
                let group = if i < whole {
                    rows.rows(i..i + HEIGHT)
                } else {
                    Dense::row_major(&rest, HEIGHT, self.order)
                };
                products.fill(0.0);
                assert!(group.nrows() == HEIGHT && group.col_stride() == 1 && depth <= group.ncols());
                // SAFETY: the group holds HEIGHT rows of at least `depth` contiguous entries, the panel `depth`
                // rows of `width`, the products HEIGHT rows of `width`; the kernel runs on this machine.
                unsafe {
                    kernel(
                        depth,
                        group.data().as_ptr(),
                        1,
                        group.row_stride(),
                        packed.as_ptr(),
                        products.as_mut_ptr(),
                    );
                }
                sum.pack_tile(first + i, panel * width, &products);
            }
        }
    }

    /// The last few rows, filled up with zeros to a whole group.
    fn padded(&self, rows: Dense<'_, f64>) -> Vec<f64> {
        let mut padded = vec![0.0; if rows.nrows() == 0 { 0 } else { HEIGHT * self.order }];
        for (i, out) in padded.chunks_exact_mut(self.order.max(1)).take(rows.nrows()).enumerate() {
            if let Some(row) = rows.row(i) {
                out.copy_from_slice(row);
            }
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn equals_the_definition_for_any_shape(nrows in 1usize..500, ncols in 1usize..70) {
            let entry = |k: usize| ((k * 2654435761) % 1013) as f64 / 1013.0 - 0.4;
            let data: Vec<f64> = (0..nrows * ncols).map(entry).collect();
            let a = Dense::row_major(&data, nrows, ncols);
            let w = Mat::from_fn(ncols, ncols, |i, j| if i <= j { entry(7 * i + j) } else { f64::NAN }).unwrap();
            let product = |k: usize, j: usize| (0..=j).map(|l| a.get(k, l) * w[(l, j)]).sum::<f64>();
            let b = Mat::from_fn(nrows, ncols, product).unwrap();
            let (g, _) = whitened_gram(&Context::new(2), &a, &w, || (), |_, _, _| ()).unwrap();
            for i in 0..ncols {
                for j in 0..ncols {
                    let exact: f64 = b.col(i).iter().zip(b.col(j)).map(|(x, y)| x * y).sum();
                    let norms: f64 = [i, j].map(|j| b.col(j).iter().map(|x| x * x).sum::<f64>().sqrt()).iter().product();
                    prop_assert!((g[(i, j)] - exact).abs() <= 1e-5 * norms + 1e-12);
                }
            }
        }
    }
}
