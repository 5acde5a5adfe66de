//! Narrow matrices, a few rows of which fit into the first cache with all that is done with them.
//!
//! Rows are taken in [`columns_of`]: a tile of columns, whatever the order and the type of the matrix, weighted and shifted on
//! the way. What follows runs down the columns eight rows at a time, so that there is one kernel for every order: row i of a
//! tile goes to lane i mod 8, and the lanes are added up by who has all the rows.

use super::kernel;
use super::lanes::{Element, Lanes};
use super::residual::Lines;

/// Rows of a matrix: entry (i, j) is at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub struct Block<'a, T> {
    /// From the first entry on.
    pub data: &'a [T],
    /// Rows, columns.
    pub shape: (usize, usize),
    /// From one row, one column, to the next.
    pub strides: (usize, usize),
}

impl<T: Element> Block<'_, T> {
    #[inline(always)]
    fn get(&self, row: usize, column: usize) -> f64 {
        self.data[row * self.strides.0 + column * self.strides.1].to_f64()
    }
}

kernel! {
    /// Column j of a tile becomes (entry - shift_j) times the root weights, zeros below the last row. Columns of the tile are
    /// `height` numbers, a multiple of eight, from one to the next; without roots, all are one.
    ///
    /// Panics if anything is too short.
    pub fn columns_of<V, T: Element>(
        block: Block<'_, T>,
        shift: &[f64],
        roots: Option<&[f64]>,
        tile: &mut [f64],
        height: usize,
    ) {
        let (nrows, ncols) = block.shape;
        assert!(shift.len() == ncols && nrows <= height && height.is_multiple_of(8));
        let tile = &mut tile[..ncols * height];
        if block.strides.1 == 1 && ncols > 1 {
            for column in (0..ncols).step_by(8) {
                match ncols - column {
                    1 => from_rows::<V, T, 1>(block, column, shift, tile, height),
                    2 => from_rows::<V, T, 2>(block, column, shift, tile, height),
                    3 => from_rows::<V, T, 3>(block, column, shift, tile, height),
                    4 => from_rows::<V, T, 4>(block, column, shift, tile, height),
                    5 => from_rows::<V, T, 5>(block, column, shift, tile, height),
                    6 => from_rows::<V, T, 6>(block, column, shift, tile, height),
                    7 => from_rows::<V, T, 7>(block, column, shift, tile, height),
                    _ => from_rows::<V, T, 8>(block, column, shift, tile, height),
                }
            }
        } else {
            for (column, to) in tile.chunks_exact_mut(height).enumerate() {
                from_column::<V, T>(block, column, shift[column], to);
            }
        }
        for (column, to) in tile.chunks_exact_mut(height).enumerate() {
            for row in nrows / 8 * 8..nrows {
                to[row] = block.get(row, column) - shift[column];
            }
            to[nrows..nrows.next_multiple_of(8)].fill(0.0);
            if let Some(roots) = roots {
                for (to, root) in to.iter_mut().zip(&roots[..nrows]) {
                    *to *= root;
                }
            }
        }
    }
}

/// Up to eight columns of rows next to each other, eight rows at a time; asks for the rows of the next block meanwhile.
#[inline(always)]
fn from_rows<V: Lanes, T: Element, const W: usize>(
    block: Block<'_, T>,
    column: usize,
    shift: &[f64],
    tile: &mut [f64],
    height: usize,
) {
    let (stride, eights) = (block.strides.0, block.shape.0 / 8);
    let to = &mut tile[column * height..];
    assert!(8 * eights <= height && to.len() >= W * height);
    let mut shifts = [V::splat(0.0); W];
    for j in 0..W {
        shifts[j] = V::splat(shift[column + j]);
    }
    for eight in 0..eights {
        let data = &block.data[8 * eight * stride + column..];
        let lines = Lines::<T, 8>::new(data, stride, W);
        let mut lanes = [V::splat(0.0); 8];
        for i in 0..8 {
            V::prefetch(data.as_ptr().wrapping_add((8 * eights + i) * stride));
            lanes[i] = if W == 8 { lines.chunk(i, 0) } else { lines.head(i) };
        }
        let columns = V::transpose(lanes);
        for j in 0..W {
            // SAFETY: eight numbers of column j, which end before `8 * eights <= height`.
            let to = unsafe { &mut *to.as_mut_ptr().add(j * height + 8 * eight).cast::<[f64; 8]>() };
            columns[j].sub(shifts[j]).store(to);
        }
    }
}

/// Whole eights of one column; asks for those of the next block meanwhile.
#[inline(always)]
fn from_column<V: Lanes, T: Element>(block: Block<'_, T>, column: usize, shift: f64, to: &mut [f64]) {
    let ((nrows, _), (stride, col_stride)) = (block.shape, block.strides);
    let data = &block.data[column * col_stride..];
    let (to, _) = to[..nrows / 8 * 8].as_chunks_mut::<8>();
    let shift = V::splat(shift);
    if stride == 1 {
        let (data, _) = data[..nrows].as_chunks::<8>();
        for (data, to) in data.iter().zip(to) {
            V::prefetch(data.as_ptr().wrapping_add(nrows));
            T::load::<V>(data).sub(shift).store(to);
        }
    } else {
        for (eight, to) in to.iter_mut().enumerate() {
            let mut numbers = [0.0; 8];
            for i in 0..8 {
                numbers[i] = data[(8 * eight + i) * stride].to_f64();
            }
            V::set(numbers).sub(shift).store(to);
        }
    }
}

/// The sum of eight lanes, in the order of a register's.
pub fn total([a, b, c, d, e, f, g, h]: [f64; 8]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Pairs i <= j of so many columns.
pub fn pairs(columns: usize) -> usize {
    columns * (columns + 1) / 2
}

kernel! {
    /// Adds the product of columns i <= j of a tile to sum i + j (j + 1) / 2, over `depth` rows, a multiple of eight. What is
    /// added is a sum of its own: the rounding of long sums is what would cost another read.
    ///
    /// Panics if anything is too short.
    pub fn add_products_of_columns<V>(tile: &[f64], height: usize, depth: usize, columns: usize, sums: &mut [[f64; 8]]) {
        assert!(depth <= height && tile.len() >= columns * height && sums.len() == pairs(columns));
        if V::ROOM == 16 {
            triangle::<V, 4>(tile, height, depth, columns, sums);
        } else {
            triangle::<V, 2>(tile, height, depth, columns, sums);
        }
    }
}

/// By tiles of W x W, whose sums stay in registers.
#[inline(always)]
fn triangle<V: Lanes, const W: usize>(
    tile: &[f64],
    height: usize,
    depth: usize,
    columns: usize,
    sums: &mut [[f64; 8]],
) {
    let place = Place { tile, height, depth };
    for right in (0..columns).step_by(W) {
        let width = (columns - right).min(W);
        for left in (0..right).step_by(W) {
            match width {
                1 => place.products::<V, W, 1, false>(left, right, sums),
                2 => place.products::<V, W, 2, false>(left, right, sums),
                3 => place.products::<V, W, 3, false>(left, right, sums),
                _ => place.products::<V, W, 4, false>(left, right, sums),
            }
        }
        match width {
            1 => place.products::<V, 1, 1, true>(right, right, sums),
            2 => place.products::<V, 2, 2, true>(right, right, sums),
            3 => place.products::<V, 3, 3, true>(right, right, sums),
            _ => place.products::<V, 4, 4, true>(right, right, sums),
        }
    }
}

/// Columns of a tile.
#[derive(Clone, Copy)]
struct Place<'a> {
    tile: &'a [f64],
    height: usize,
    depth: usize,
}

impl<'a> Place<'a> {
    #[inline(always)]
    fn columns<const N: usize>(self, first: usize) -> Lines<'a, f64, N> {
        Lines::new(&self.tile[first * self.height..], self.height, self.depth)
    }

    /// P columns times Q others, or the upper triangle of a square.
    #[inline(always)]
    fn products<V: Lanes, const P: usize, const Q: usize, const DIAGONAL: bool>(
        self,
        left: usize,
        right: usize,
        sums: &mut [[f64; 8]],
    ) {
        let (lines, others) = (self.columns::<P>(left), self.columns::<Q>(right));
        let mut products = [[V::splat(0.0); Q]; P];
        for p in 0..P {
            for q in if DIAGONAL { p } else { 0 }..Q {
                products[p][q] = V::splat(0.0);
            }
        }
        for chunk in 0..self.depth / 8 {
            let mut values = [V::splat(0.0); Q];
            for q in 0..Q {
                values[q] = others.chunk(q, chunk);
            }
            for p in 0..P {
                let value: V = lines.chunk(p, chunk);
                for q in if DIAGONAL { p } else { 0 }..Q {
                    products[p][q] = value.mul_add(values[q], products[p][q]);
                }
            }
        }
        for p in 0..P {
            for q in if DIAGONAL { p } else { 0 }..Q {
                let sum = &mut sums[pairs(right + q) + left + p];
                V::load(sum).add(products[p][q]).store(sum);
            }
        }
    }

    /// r -= A x for N columns.
    #[inline(always)]
    fn subtract<V: Lanes, const N: usize>(self, first: usize, x: &[f64], r: &mut [[f64; 8]]) {
        let lines = self.columns::<N>(first);
        let mut factors = [V::splat(0.0); N];
        for j in 0..N {
            factors[j] = V::splat(-x[first + j]);
        }
        for (chunk, r) in r.iter_mut().enumerate() {
            let mut value = V::load(r);
            for j in 0..N {
                value = lines.chunk::<V>(j, chunk).mul_add(factors[j], value);
            }
            value.store(r);
        }
    }

    /// r -= A x for as many columns as x is long.
    #[inline(always)]
    fn subtract_all<V: Lanes>(self, x: &[f64], r: &mut [[f64; 8]]) {
        let mut j = 0;
        while j < x.len() {
            match x.len() - j {
                4.. => self.subtract::<V, 4>(j, x, r),
                3 => self.subtract::<V, 3>(j, x, r),
                2 => self.subtract::<V, 2>(j, x, r),
                _ => self.subtract::<V, 1>(j, x, r),
            }
            j += 4;
        }
    }

    /// Sums of A'r for as many columns as there are sums.
    #[inline(always)]
    fn multiply_all<V: Lanes>(self, r: &[[f64; 8]], sums: &mut [[f64; 8]]) {
        let mut j = 0;
        while j < sums.len() {
            match sums.len() - j {
                4.. => self.multiply::<V, 4>(j, r, sums),
                3 => self.multiply::<V, 3>(j, r, sums),
                2 => self.multiply::<V, 2>(j, r, sums),
                _ => self.multiply::<V, 1>(j, r, sums),
            }
            j += 4;
        }
    }

    /// Adds the squares of the products with N columns of d numbers, of which the first `depth` are not zero.
    #[inline(always)]
    fn add_squares<V: Lanes, const N: usize>(self, w: &[f64], d: usize, depth: usize, norms: &mut [f64]) {
        assert!(depth <= d && w.len() >= N * d);
        let (norms, _) = norms.as_chunks_mut::<8>();
        for (chunk, norm) in norms.iter_mut().enumerate() {
            let mut products = [V::splat(0.0); N];
            for i in 0..depth {
                let value: V = self.columns::<1>(i).chunk(0, chunk);
                for k in 0..N {
                    products[k] = value.mul_add(V::splat(w[k * d + i]), products[k]);
                }
            }
            let mut sum = V::load(norm);
            for k in 0..N {
                sum = products[k].mul_add(products[k], sum);
            }
            sum.store(norm);
        }
    }

    /// Sums of A'r for N columns.
    #[inline(always)]
    fn multiply<V: Lanes, const N: usize>(self, first: usize, r: &[[f64; 8]], sums: &mut [[f64; 8]]) {
        let lines = self.columns::<N>(first);
        let mut products = [V::splat(0.0); N];
        for j in 0..N {
            products[j] = V::load(&sums[first + j]);
        }
        for (chunk, r) in r.iter().enumerate() {
            let r = V::load(r);
            for j in 0..N {
                products[j] = lines.chunk::<V>(j, chunk).mul_add(r, products[j]);
            }
        }
        for j in 0..N {
            products[j].store(&mut sums[first + j]);
        }
    }
}

kernel! {
    /// r -= A x for as many columns of a tile as x is long, and then a_j'r added to sum j for as many as there are sums,
    /// and r'r to `squares`. r is as long as there are rows in the tile, a multiple of eight.
    ///
    /// Panics if anything is too short.
    pub fn residual_of_columns<V>(
        tile: &[f64],
        height: usize,
        x: &[f64],
        r: &mut [f64],
        sums: &mut [[f64; 8]],
        squares: &mut [f64; 8],
    ) {
        assert!(r.len().is_multiple_of(8) && r.len() <= height && x.len() <= sums.len());
        assert!(tile.len() >= sums.len() * height);
        let place = Place { tile, height, depth: r.len() };
        let (r, _) = r.as_chunks_mut::<8>();
        place.subtract_all::<V>(x, r);
        let mut sum = V::load(squares);
        for r in r.iter() {
            let r = V::load(r);
            sum = r.mul_add(r, sum);
        }
        sum.store(squares);
        place.multiply_all::<V>(r, sums);
    }
}

kernel! {
    /// r -= A x for as many columns of a tile as x is long. r is as long as there are rows in the tile, a multiple of
    /// eight.
    ///
    /// Panics if anything is too short.
    pub fn subtract_product_of_columns<V>(tile: &[f64], height: usize, x: &[f64], r: &mut [f64]) {
        assert!(r.len().is_multiple_of(8) && r.len() <= height && tile.len() >= x.len() * height);
        let place = Place { tile, height, depth: r.len() };
        place.subtract_all::<V>(x, r.as_chunks_mut::<8>().0);
    }
}

kernel! {
    /// Adds a_j'r to sum j for as many columns of a tile as there are sums, r as in [`subtract_product_of_columns`].
    ///
    /// Panics if anything is too short.
    pub fn add_dots_of_columns<V>(tile: &[f64], height: usize, r: &[f64], sums: &mut [[f64; 8]]) {
        assert!(r.len().is_multiple_of(8) && r.len() <= height && tile.len() >= sums.len() * height);
        let place = Place { tile, height, depth: r.len() };
        place.multiply_all::<V>(r.as_chunks::<8>().0, sums);
    }
}

kernel! {
    /// Adds the magnitudes of the first `depth` entries, a multiple of eight, of as many columns of a tile as there are sums.
    ///
    /// Panics if anything is too short.
    pub fn add_magnitudes_of_columns<V>(tile: &[f64], height: usize, depth: usize, sums: &mut [[f64; 8]]) {
        assert!(depth.is_multiple_of(8) && depth <= height && tile.len() >= sums.len() * height);
        for (sum, column) in sums.iter_mut().zip(tile.chunks_exact(height)) {
            let (column, _) = column[..depth].as_chunks::<8>();
            let mut magnitudes = *sum;
            for i in 0..column.len() {
                for k in 0..8 {
                    magnitudes[k] += column[i][k].abs();
                }
            }
            *sum = magnitudes;
        }
    }
}

kernel! {
    /// Columns of a tile times the factors of their rows, as the columns of another; factors as in
    /// [`subtract_product_of_columns`].
    ///
    /// Panics if anything is too short.
    pub fn weigh_columns<V>(tile: &[f64], height: usize, factors: &[f64], out: &mut [f64]) {
        assert!(factors.len().is_multiple_of(8) && factors.len() <= height);
        let (factors, _) = factors.as_chunks::<8>();
        for (from, to) in tile.chunks_exact(height).zip(out.chunks_exact_mut(height)) {
            let ((from, _), (to, _)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
            for i in 0..factors.len() {
                V::load(&from[i]).mul(V::load(&factors[i])).store(&mut to[i]);
            }
        }
    }
}

kernel! {
    /// Adds to the norms, as many as there are rows in the tile, a multiple of eight, the squared norms of the rows of A W:
    /// column k of W is at `k * d`, zeros below its entry k where W is an `upper` triangle.
    ///
    /// Panics if anything is too short.
    pub fn add_squared_norms_of_columns<V>(
        tile: &[f64],
        height: usize,
        w: &[f64],
        d: usize,
        upper: bool,
        norms: &mut [f64],
    ) {
        assert!(norms.len().is_multiple_of(8) && norms.len() <= height && tile.len() >= d * height);
        let place = Place { tile, height, depth: norms.len() };
        for first in (0..w.len() / d.max(1)).step_by(8) {
            let w = &w[first * d..];
            let depth = if upper { d.min(first + 8) } else { d };
            match (w.len() / d).min(8) {
                1 => place.add_squares::<V, 1>(w, d, depth, norms),
                2 => place.add_squares::<V, 2>(w, d, depth, norms),
                3 => place.add_squares::<V, 3>(w, d, depth, norms),
                4 => place.add_squares::<V, 4>(w, d, depth, norms),
                5 => place.add_squares::<V, 5>(w, d, depth, norms),
                6 => place.add_squares::<V, 6>(w, d, depth, norms),
                7 => place.add_squares::<V, 7>(w, d, depth, norms),
                _ => place.add_squares::<V, 8>(w, d, depth, norms),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};
    use proptest::prelude::*;

    /// Entries that no summation order adds up exactly.
    fn entry(i: usize, j: usize) -> f64 {
        ((i * 37 + j * 101 + 13) as f64 * 0.618).sin()
    }

    const SHIFT: f64 = 0.25;

    fn root(i: usize) -> f64 {
        (i % 3) as f64 * 0.5
    }

    /// The tile of a matrix with these strides, by every path.
    fn tiles<T: Element>(
        shape: (usize, usize),
        strides: (usize, usize),
        weighted: bool,
        cast: impl Fn(f64) -> T,
    ) -> Vec<Vec<f64>> {
        let (nrows, ncols) = shape;
        let height = (nrows + 3).next_multiple_of(8);
        let mut data = vec![cast(f64::NAN); nrows * strides.0 + ncols * strides.1];
        for (i, j) in (0..nrows).flat_map(|i| (0..ncols).map(move |j| (i, j))) {
            data[i * strides.0 + j * strides.1] = cast(entry(i, j));
        }
        let roots: Vec<f64> = (0..nrows).map(root).collect();
        on_every_path(|| {
            let mut tile = vec![0.0; ncols * height];
            let block = Block { data: &data, shape, strides };
            columns_of(block, &vec![SHIFT; ncols], weighted.then_some(&roots[..]), &mut tile, height);
            tile
        })
    }

    proptest! {
        #[test]
        fn a_tile_is_the_shifted_and_weighted_rows_whatever_their_order(
            nrows in 1usize..40, ncols in 1usize..34, gap in 0usize..3, weighted: bool
        ) {
            let orders = [(ncols + gap, 1), (1, nrows + gap), (2 * ncols, 2)];
            for strides in orders {
                for tile in tiles((nrows, ncols), strides, weighted, |v| v) {
                    let height = tile.len() / ncols;
                    for (i, j) in (0..nrows).flat_map(|i| (0..ncols).map(move |j| (i, j))) {
                        let weight = if weighted { root(i) } else { 1.0 };
                        prop_assert_eq!(tile[j * height + i], (entry(i, j) - SHIFT) * weight);
                    }
                    for j in 0..ncols {
                        prop_assert!(tile[j * height..][nrows..nrows.next_multiple_of(8)].iter().all(|&v| v == 0.0));
                    }
                }
                for tile in tiles((nrows, ncols), strides, false, |v| v as f32) {
                    let height = tile.len() / ncols;
                    let last = f64::from(entry(nrows - 1, ncols - 1) as f32) - SHIFT;
                    prop_assert_eq!(tile[(ncols - 1) * height + nrows - 1], last);
                }
            }
        }

        #[test]
        fn products_and_residuals_agree_with_their_definition_on_every_path(depth in 0usize..9, ncols in 1usize..36) {
            let (depth, height) = (8 * depth, 8 * depth + 8);
            let tile: Vec<f64> = (0..ncols * height).map(|at| entry(at % height, at / height)).collect();
            let x: Vec<f64> = (0..ncols - 1).map(|j| entry(j, 1)).collect();
            let b: Vec<f64> = (0..depth).map(|i| entry(i, 2)).collect();
            let outcomes = on_every_path(|| {
                let mut products = vec![[1.0; 8]; pairs(ncols)];
                add_products_of_columns(&tile, height, depth, ncols, &mut products);
                let (mut r, mut sums, mut squares) = (b.clone(), vec![[1.0; 8]; ncols], [1.0; 8]);
                residual_of_columns(&tile, height, &x, &mut r, &mut sums, &mut squares);
                let lanes = products.into_iter().chain(sums).chain([squares]).map(total);
                lanes.chain(r).collect::<Vec<f64>>()
            });
            // The same in two halves, and of weighted columns.
            let halves = on_every_path(|| {
                let (mut r, mut sums) = (b.clone(), vec![[1.0; 8]; ncols]);
                subtract_product_of_columns(&tile, height, &x, &mut r);
                add_dots_of_columns(&tile, height, &r, &mut sums);
                let mut magnitudes = vec![[1.0; 8]; ncols];
                add_magnitudes_of_columns(&tile, height, depth, &mut magnitudes);
                for (j, lanes) in magnitudes.into_iter().enumerate() {
                    let column = tile[j * height..][..depth].iter();
                    assert!((total(lanes) - 8.0 - column.map(|a| a.abs()).sum::<f64>()).abs() < 1e-12);
                }
                let mut weighted = vec![7.0; tile.len()];
                weigh_columns(&tile, height, &b, &mut weighted);
                (sums.into_iter().map(total).collect::<Vec<f64>>(), r, weighted)
            });
            for (sums, r, weighted) in halves {
                let whole = &outcomes[0][pairs(ncols)..];
                prop_assert!(same_bits(&sums, &whole[..ncols]) && same_bits(&r, &whole[ncols + 1..]));
                for (at, weighted) in weighted.iter().enumerate() {
                    let row = at % height;
                    prop_assert_eq!(*weighted, if row < depth { tile[at] * b[row] } else { 7.0 });
                }
            }
            prop_assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
            let column = |j: usize| tile[j * height..][..depth].iter();
            let product = |i: usize, j: usize| 8.0 + column(i).zip(column(j)).map(|(a, b)| a * b).sum::<f64>();
            let mut expected: Vec<f64> =
                (0..ncols).flat_map(|j| (0..=j).map(move |i| (i, j))).map(|(i, j)| product(i, j)).collect();
            let left = |i: usize| b[i] - x.iter().enumerate().map(|(j, x)| tile[j * height + i] * x).sum::<f64>();
            let r: Vec<f64> = (0..depth).map(left).collect();
            expected.extend((0..ncols).map(|j| 8.0 + column(j).zip(&r).map(|(a, r)| a * r).sum::<f64>()));
            expected.push(8.0 + r.iter().map(|r| r * r).sum::<f64>());
            expected.extend(r);
            // Norms of products with a triangle, and with a matrix that is none.
            for upper in [true, false] {
                let w: Vec<f64> = (0..ncols * ncols)
                    .map(|at| if upper && at % ncols > at / ncols { 0.0 } else { entry(at, 5) })
                    .collect();
                let norms = on_every_path(|| {
                    let mut norms = vec![1.0; depth];
                    add_squared_norms_of_columns(&tile, height, &w, ncols, upper, &mut norms);
                    norms
                });
                prop_assert!(norms.iter().all(|other| same_bits(other, &norms[0])));
                for (i, norm) in norms[0].iter().enumerate() {
                    let image = |k: usize| (0..ncols).map(|j| tile[j * height + i] * w[k * ncols + j]).sum::<f64>();
                    let expected = 1.0 + (0..ncols).map(|k| image(k).powi(2)).sum::<f64>();
                    prop_assert!((norm - expected).abs() <= 1e-12 * expected);
                }
            }
            prop_assert_eq!(outcomes[0].len(), expected.len());
            for (found, expected) in outcomes[0].iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{} for {}", found, expected);
            }
        }
    }
}
