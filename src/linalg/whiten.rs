//! Products A W of a tall A with a small W, used at once and never stored: the norms of their rows, and their Gram
//! matrix, as it is or with rows weighted by what they are themselves.
//!
//! A few rows are multiplied in `f64` while they are in the cache, by the triangular half of W only where W is an
//! upper triangle, and go straight into the panels of a Gram sum, in the precision of that sum.
//! Cost for a triangle of order d: n d^2 flops in `f64`, as many in the precision of a sum, one read of A.

use super::digits::{DigitProduct, DigitSum, Multiplier};
use super::gram::GramSum;
use super::kernel::{HEIGHT, Kernel, add_half_tile, add_tile};
use super::precision::Precision;
use super::slabs::{BlockSum, CHUNK, Sum, Tiles, gram_by, sum_over_slabs};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut, Mat, Rows, make_rows, row_blocks};
use crate::memory::{filled, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::simd::{kernel, norm_sq};

/// The squared norms of the rows of A W for W = `whitener`, after one read of A: leverages, if the columns of A W are an
/// orthonormal basis of those of A, as they are for W = R^-1 with A = Q R, and for W = V S^-1 with A = U S V'.
///
/// To scale is up to the caller. NaN and infinities in a row come out in its norm.
///
/// Panics if A has not as many columns as W has rows.
pub fn leverages(context: &Context, rows: &dyn Rows, whitener: &Mat<f64>) -> Result<Buffer<f64>> {
    let (n, d) = (rows.nrows(), rows.ncols());
    assert_eq!(d, whitener.nrows());
    let panels = Panels::new(whitener)?;
    let mut norms = Buffer::zeros(n, "leverages")?;
    let column = DenseMut::column_major(&mut norms, n, 1);
    make_rows(context, column, &row_blocks(n, d)?, 1, |buffer, block, norms| {
        norms.fill(0.0);
        for (start, norms) in block.step_by(CHUNK).zip(norms.chunks_mut(CHUNK)) {
            let chunk = rows.tile(start..start + norms.len(), 0..d, buffer)?;
            panels.multiply(chunk, |i, _, products| add_squared_norms(products, &mut norms[i..]))?;
        }
        Ok(())
    })?;
    Ok(norms)
}

/// How A is multiplied by W.
#[derive(Clone, Copy, Debug)]
pub enum Product<'a> {
    /// In `f64`.
    Double,
    /// By integers of as many digits as it takes for columns of A W that are 2^-`bits` of one from what they should be,
    /// or in `f64` if more than six; columns of A times these powers of two are near one.
    Digits {
        /// For every column of A.
        powers: &'a [f64],
        /// How near.
        bits: f64,
    },
}

/// (A W)'(A W) for W = `whitener`, and what `visit` made of the tiles of A, as in [`gram`](super::gram::gram), its
/// products in this precision.
pub fn whitened_gram<P: Send>(
    context: &Context,
    rows: &dyn Rows,
    whitener: &Mat<f64>,
    product: Product<'_>,
    precision: Precision,
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<Sum<P>> {
    let (by, order) = (Multiplied::new(whitener, product)?, whitener.ncols());
    match (precision, &by) {
        (Precision::Single, Multiplied::Floats(by)) => floats::<f32, P>(context, rows, by, part, visit),
        (Precision::Double, Multiplied::Floats(by)) => floats::<f64, P>(context, rows, by, part, visit),
        (Precision::Single, by) => {
            written(context, rows, by, order, GramSum::<f32>::maker(order), part, visit)
        }
        (Precision::Double, by) => {
            written(context, rows, by, order, GramSum::<f64>::maker(order), part, visit)
        }
        (Precision::Digits(digits), by) => {
            written(context, rows, by, order, DigitSum::maker(order, digits), part, visit)
        }
    }
}

/// The same by any product and any sum: a few rows of A W are written down at a time.
fn written<S: BlockSum, P: Send>(
    context: &Context,
    rows: &dyn Rows,
    by: &Multiplied,
    order: usize,
    make: impl Fn(Option<S::Memory>) -> Result<S> + Sync,
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<Sum<P>> {
    let ones = filled(1.0, rows.ncols(), PACKED)?;
    gram_by(context, rows, order, Whitened::maker(by, make), &ones, part, visit)
}

/// The same in `f64` and a precision of the same kernels: A W goes straight into the sum.
fn floats<E: Kernel, P: Send>(
    context: &Context,
    rows: &dyn Rows,
    panels: &Panels,
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<Sum<P>> {
    let make = GramSum::<E>::maker(panels.ncols);
    sum_over_slabs(context, rows, panels.ncols, make, part, |sum: &mut GramSum<E>, part, tile, [at, row]| {
        for start in (0..tile.nrows()).step_by(CHUNK) {
            let chunk = tile.rows(start..(start + CHUNK).min(tile.nrows()));
            panels.multiply(chunk, |i, column, products| sum.pack_tile(at + start + i, column, products))?;
            visit(part, chunk, row + start);
        }
        Ok(())
    })
}

/// W, to multiply rows by.
enum Multiplied {
    Floats(Panels),
    Digits(DigitProduct),
}

impl Multiplied {
    fn new(whitener: &Mat<f64>, product: Product<'_>) -> Result<Self> {
        let by_digits = match product {
            Product::Digits { powers, bits } => DigitProduct::new(whitener, powers, bits)?,
            Product::Double => None,
        };
        Ok(match by_digits {
            Some(product) => Self::Digits(product),
            None => Self::Floats(Panels::new(whitener)?),
        })
    }
}

/// A sum of products of rows of A W, which are written down a few at a time.
struct Whitened<'w, S> {
    by: By<'w>,
    sum: S,
    products: Vec<f64>,
    ones: Vec<f64>,
}

/// W in a thread.
enum By<'w> {
    Floats(&'w Panels),
    Digits(Multiplier<'w>),
}

/// What a sum lends, and the memory of products.
type Lent<S> = (<S as BlockSum>::Memory, Vec<f64>);

impl<'w, S: BlockSum> Whitened<'w, S> {
    /// Makes sums of products of rows times W from sums of products of rows.
    fn maker(
        by: &'w Multiplied,
        make: impl Fn(Option<S::Memory>) -> Result<S> + Sync,
    ) -> impl Fn(Option<Lent<S>>) -> Result<Self> + Sync {
        move |lent| {
            let (lent, products) =
                lent.map_or_else(Default::default, |(lent, products)| (Some(lent), products));
            let (by, order) = match by {
                Multiplied::Floats(panels) => (By::Floats(panels), panels.ncols),
                Multiplied::Digits(product) => (By::Digits(product.multiplier()?), product.order()),
            };
            Ok(Self { by, sum: make(lent)?, products, ones: filled(1.0, order, PACKED)? })
        }
    }

    /// Writes down these rows of A W.
    fn write(&mut self, rows: Dense<'_, f64>) -> Result<()> {
        let (n, order) = (rows.nrows(), self.ones.len());
        resize(&mut self.products, n * order, 0.0, "products of rows")?;
        match &mut self.by {
            By::Digits(multiplier) => multiplier.multiply(rows, &mut self.products),
            By::Floats(panels) => panels.multiply(rows, |i, column, products| {
                let width = f64::WIDTH.min(order - column);
                for (row, products) in (i..n).zip(products.chunks_exact(f64::WIDTH)) {
                    self.products[row * order + column..][..width].copy_from_slice(&products[..width]);
                }
            })?,
        }
        Ok(())
    }

    /// Puts what is written down, so many rows, at `row` of the block.
    fn pack_written(&mut self, n: usize, row: usize) -> Result<()> {
        self.sum.pack(Dense::row_major(&self.products, n, self.ones.len()), &self.ones, row)
    }
}

impl<S: BlockSum> BlockSum for Whitened<'_, S> {
    type Memory = Lent<S>;
    const WIDTH: usize = S::WIDTH;

    fn block_rows(order: usize) -> usize {
        S::block_rows(order)
    }

    fn pack(&mut self, rows: Dense<'_, f64>, _: &[f64], row: usize) -> Result<()> {
        self.write(rows)?;
        self.pack_written(rows.nrows(), row)
    }

    fn multiply(&mut self, depth: usize) {
        self.sum.multiply(depth);
    }

    fn finish(self) -> Result<(Tiles, Self::Memory)> {
        let (tiles, lent) = self.sum.finish()?;
        Ok((tiles, (lent, self.products)))
    }
}

/// (D A W)'(D A W) for W = `whitener` and a diagonal D, after one read of A, and what `weigh` made of the tiles: it is
/// given rows of A, the number of the first, and the squared norms of these rows of A W, and replaces the norms by the
/// rows' entries of D. In `f64`, or the norms by a product of digits and the Gram matrix by two of them.
pub(crate) fn weighted_whitened_gram<P: Send>(
    context: &Context,
    rows: &dyn Rows,
    whitener: &Mat<f64>,
    product: Product<'_>,
    part: impl Fn() -> P + Sync,
    weigh: impl Fn(&mut P, Dense<'_, f64>, usize, &mut [f64]) + Sync,
) -> Result<(Mat<f64>, Vec<P>)> {
    let by = Multiplied::new(whitener, product)?;
    let Multiplied::Floats(panels) = &by else {
        return weighted_by_digits(context, rows, &by, whitener.ncols(), part, weigh);
    };
    let make = GramSum::<f64>::maker(whitener.ncols());
    let Sum { gram, parts, .. } = sum_over_slabs(
        context,
        rows,
        whitener.ncols(),
        make,
        part,
        |sum: &mut GramSum<f64>, part, tile, [at, row]| {
            for start in (0..tile.nrows()).step_by(CHUNK) {
                let chunk = tile.rows(start..(start + CHUNK).min(tile.nrows()));
                let mut weights = [0.0; CHUNK];
                let weights = &mut weights[..chunk.nrows()];
                panels.multiply(chunk, |i, column, products| {
                    sum.pack_tile(at + start + i, column, products);
                    add_squared_norms(products, &mut weights[i..]);
                })?;
                weigh(part, chunk, row + start, weights);
                sum.scale_rows(at + start, weights);
            }
            Ok(())
        },
    )?;
    Ok((gram, parts))
}

/// The same by digits.
fn weighted_by_digits<P: Send>(
    context: &Context,
    rows: &dyn Rows,
    by: &Multiplied,
    order: usize,
    part: impl Fn() -> P + Sync,
    weigh: impl Fn(&mut P, Dense<'_, f64>, usize, &mut [f64]) + Sync,
) -> Result<(Mat<f64>, Vec<P>)> {
    let make = Whitened::maker(by, DigitSum::maker(order, 2));
    let add =
        |sum: &mut Whitened<'_, DigitSum>, part: &mut P, tile: Dense<'_, f64>, [at, row]: [usize; 2]| {
            for start in (0..tile.nrows()).step_by(CHUNK) {
                let chunk = tile.rows(start..(start + CHUNK).min(tile.nrows()));
                let mut weights = [0.0; CHUNK];
                let weights = &mut weights[..chunk.nrows()];
                sum.write(chunk)?;
                let written = sum.products.chunks_exact_mut(order);
                written.zip(&mut *weights).for_each(|(row, norm)| *norm = norm_sq(row));
                weigh(part, chunk, row + start, weights);
                scale_rows(weights, &mut sum.products);
                sum.pack_written(chunk.nrows(), at + start)?;
            }
            Ok(())
        };
    let Sum { gram, parts, .. } = sum_over_slabs(context, rows, order, make, part, add)?;
    Ok((gram, parts))
}

kernel! {
    /// Multiplies rows of a matrix, one after the other, by a factor each.
    fn scale_rows<V>(factors: &[f64], rows: &mut [f64]) {
        let order = rows.len() / factors.len().max(1);
        for i in 0..factors.len() {
            let (factor, row) = (V::splat(factors[i]), &mut rows[i * order..(i + 1) * order]);
            let (eights, rest) = row.as_chunks_mut::<8>();
            for eight in eights {
                V::load(eight).mul(factor).store(eight);
            }
            for value in rest {
                *value *= factors[i];
            }
        }
    }
}

kernel! {
    /// Adds the squared norms of the rows of a tile to those that there are.
    fn add_squared_norms<V>(products: &[f64], norms: &mut [f64]) {
        let (halves, _) = products.as_chunks::<8>();
        assert!(halves.len() == 2 * HEIGHT);
        let mut squares = [V::splat(0.0); HEIGHT];
        for i in 0..HEIGHT {
            let (left, right) = (V::load(&halves[2 * i]), V::load(&halves[2 * i + 1]));
            squares[i] = right.mul_add(right, left.mul(left));
        }
        let sums = V::sums(squares);
        match norms.first_chunk_mut::<8>() {
            Some(norms) => V::load(norms).add(sums).store(norms),
            None => V::load_head(norms).add(sums).store_head(norms),
        }
    }
}

/// What memory is for.
const PACKED: &str = "a packed triangle";

/// A matrix in panels of columns; each panel stops at its last row that is not zero.
struct Panels {
    nrows: usize,
    ncols: usize,
    packed: Buffer<f64>,
    starts: Vec<usize>,
}

impl Panels {
    fn new(matrix: &Mat<f64>) -> Result<Self> {
        let (order, width) = (matrix.ncols(), f64::WIDTH);
        let height_of = |j: usize| matrix.col(j).iter().rposition(|&value| value != 0.0).map_or(0, |i| i + 1);
        let (mut starts, mut end) = (room_for(order / width + 2, PACKED)?, 0);
        for first in (0..order).step_by(width) {
            let height = (first..(first + width).min(order)).map(height_of).max().unwrap_or(0);
            push(&mut starts, end, PACKED)?;
            end += height * width;
        }
        push(&mut starts, end, PACKED)?;
        let mut packed = Buffer::zeros(end, PACKED)?;
        for j in 0..order {
            for (k, &value) in matrix.col(j)[..height_of(j)].iter().enumerate() {
                packed[starts[j / width] + k * width + j % width] = value;
            }
        }
        Ok(Self { nrows: matrix.nrows(), ncols: order, packed, starts })
    }

    /// Hands over `rows` times the matrix, `HEIGHT` rows and the columns of a panel at a time, with where they
    /// start; what is past the end of either is zero.
    fn multiply(&self, rows: Dense<'_, f64>, mut take: impl FnMut(usize, usize, &[f64])) -> Result<()> {
        let width = f64::WIDTH;
        let whole = rows.nrows() / HEIGHT * HEIGHT;
        let rest = self.padded(rows.rows(whole..rows.nrows()))?;
        let mut products = [0.0; HEIGHT * f64::WIDTH];
        for (panel, start) in self.starts[..self.starts.len() - 1].iter().enumerate() {
            let packed = &self.packed[*start..self.starts[panel + 1]];
            let depth = packed.len() / width;
            let add = if self.ncols - panel * width <= width / 2 { add_half_tile } else { add_tile };
            for i in (0..rows.nrows()).step_by(HEIGHT) {
                let group = if i < whole {
                    rows.rows(i..i + HEIGHT)
                } else {
                    Dense::row_major(&rest, HEIGHT, self.nrows)
                };
                products.fill(0.0);
                assert!(group.nrows() == HEIGHT && group.col_stride() == 1 && depth <= group.ncols());
                add(depth, group.data(), 1, group.row_stride(), packed, &mut products);
                take(i, panel * width, &products);
            }
        }
        Ok(())
    }

    /// The last few rows, filled up with zeros to a whole group.
    fn padded(&self, rows: Dense<'_, f64>) -> Result<Vec<f64>> {
        let len = if rows.nrows() == 0 { 0 } else { HEIGHT * self.nrows };
        let mut padded = zeros(len, "a group of rows")?;
        for (i, out) in padded.chunks_exact_mut(self.nrows.max(1)).take(rows.nrows()).enumerate() {
            if let Some(row) = rows.row(i) {
                out.copy_from_slice(row);
            }
        }
        Ok(padded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{gaussian, product};
    use crate::linalg::{Qr, svd, tsqr};
    use proptest::prelude::*;

    fn entry(k: usize) -> f64 {
        ((k * 2654435761) % 1013) as f64 / 1013.0 - 0.4
    }

    fn check<E: Kernel>(precision: Precision, a: Dense<'_, f64>, w: &Mat<f64>) {
        let entry_of_b = |k: usize, j: usize| (0..a.ncols()).map(|l| a.get(k, l) * w[(l, j)]).sum::<f64>();
        let b = Mat::from_fn(a.nrows(), w.ncols(), entry_of_b).unwrap();
        let made = whitened_gram(&Context::new(2), &a, w, Product::Double, precision, || (), |(), _, _| ());
        let g = made.unwrap().gram;
        let norm = |j: usize| b.col(j).iter().map(|x| x * x).sum::<f64>().sqrt();
        for i in 0..w.ncols() {
            for j in 0..w.ncols() {
                let exact: f64 = b.col(i).iter().zip(b.col(j)).map(|(x, y)| x * y).sum();
                let bound = 100.0 * E::UNIT_ROUNDOFF * norm(i) * norm(j) + 1e-12;
                assert!((g[(i, j)] - exact).abs() <= bound, "({i}, {j}): {} against {exact}", g[(i, j)]);
            }
        }
        let weigh = |seen: &mut Vec<f64>, tile: Dense<'_, f64>, first: usize, weights: &mut [f64]| {
            assert_eq!(tile.nrows(), weights.len());
            seen.extend_from_slice(weights);
            (first..).zip(weights).for_each(|(row, weight)| *weight = entry(3 * row));
        };
        let (g, seen) =
            weighted_whitened_gram(&Context::new(2), &a, w, Product::Double, Vec::new, weigh).unwrap();
        for (i, norm) in seen.concat().iter().enumerate() {
            let exact: f64 = (0..w.ncols()).map(|j| b[(i, j)] * b[(i, j)]).sum();
            assert!((norm - exact).abs() <= 1e-13 * (1.0 + exact));
        }
        for (i, j) in (0..w.ncols()).map(|i| (i, i / 2)) {
            let exact: f64 = (0..a.nrows()).map(|k| b[(k, i)] * b[(k, j)] * entry(3 * k).powi(2)).sum();
            assert!((g[(i, j)] - exact).abs() <= 1e-13 * norm(i) * norm(j) + 1e-12);
        }
    }

    /// On an orthonormal basis, by another road, for full rank and less, one column and none.
    #[test]
    fn leverages_are_the_diagonal_of_the_projection() {
        for (n, d, rank) in [(0, 3, 3), (9, 1, 1), (700, 1, 1), (300, 5, 3), (2000, 40, 40), (1500, 33, 20)] {
            let a = product(gaussian(n, rank, 1).as_ref(), gaussian(rank, d, 2).as_ref());
            let svd = svd(tsqr(&Context::new(1), &a.as_ref()).unwrap().as_ref()).unwrap();
            let whitener =
                Mat::from_fn(d, if n == 0 { 0 } else { rank }, |i, j| svd.v[(i, j)] / svd.s[j]).unwrap();
            let found = leverages(&Context::new(1), &a.as_ref(), &whitener).unwrap();
            let leading = Mat::from_fn(n, rank.min(n), |i, j| a[(i, j)]).unwrap();
            let q = Qr::new(leading).unwrap().thin_q().unwrap();
            assert_eq!(found.len(), n);
            for (i, &leverage) in found.iter().enumerate() {
                let expected: f64 = (0..rank).map(|j| q[(i, j)] * q[(i, j)]).sum();
                assert!((leverage - expected).abs() < 1e-12, "{n} x {d}, row {i}: {leverage} for {expected}");
            }
            let by_rows = Mat::from_fn(d, n, |i, j| a[(j, i)]).unwrap();
            for threads in [1, 2, 3] {
                for a in [a.as_ref(), by_rows.as_ref().t()] {
                    assert_eq!(&*leverages(&Context::new(threads), &a, &whitener).unwrap(), &*found);
                }
            }
        }
        let none =
            leverages(&Context::new(2), &gaussian(70, 4, 3).as_ref(), &Mat::zeros(4, 0).unwrap()).unwrap();
        assert_eq!(&*none, [0.0; 70]);
    }

    #[test]
    fn what_is_not_finite_stays_in_its_row() {
        let mut a = gaussian(200, 20, 1);
        (a[(3, 19)], a[(130, 0)]) = (f64::NAN, f64::INFINITY);
        let found = leverages(&Context::new(2), &a.as_ref(), &Mat::identity(20).unwrap()).unwrap();
        let bad: Vec<usize> = (0..200).filter(|&i| !found[i].is_finite()).collect();
        assert_eq!(bad, [3, 130]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn equals_the_definition_for_any_shape(nrows in 1usize..500, ncols in 1usize..70, order in 1usize..70) {
            let data: Vec<f64> = (0..nrows * ncols).map(entry).collect();
            let a = Dense::row_major(&data, nrows, ncols);
            let triangle = |i: usize, j: usize| if i <= j { entry(7 * i + j) } else { 0.0 };
            let triangle = Mat::from_fn(ncols, ncols, triangle).unwrap();
            check::<f32>(Precision::Single, a, &triangle);
            check::<f64>(Precision::Double, a, &triangle);
            check::<f64>(Precision::Double, a, &Mat::from_fn(ncols, order, |i, j| entry(5 * i + j)).unwrap());
        }
    }
}
