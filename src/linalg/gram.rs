//! Gram matrices A'A of tall matrices, faster than a general triangular product.
//!
//! A block of rows is packed once into panels of [`Kernel::WIDTH`] columns, in the precision of the
//! products (`f32` or `f64`) and with its columns scaled by powers of two; then every tile of the upper
//! triangle is a run of the register kernel down two panels. `f32` products are summed in `f32` over one
//! block of at most 1024 rows and in `f64` over the blocks.
//!
//! Beside these there are sums of products of digits, in `digits`.
//!
//! Cost: n d^2 flops and one read of A. Memory: at most a sixteenth of a tall A for the partial sums.

use super::digits::DigitSum;
use super::kernel::{HEIGHT, Kernel, add_half_tile, add_tile};
use super::precision::Precision;
use super::slabs::{BLOCK_BYTES, BlockSum, Sum, Tiles, gram_by};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, Mat, Rows};
use crate::memory::filled;
use crate::parallel::Context;
use crate::simd::kernel;

/// Depth that keeps two panels of a tile in the L1 cache.
const DEPTH: usize = 128;

/// Rows between two panels that keep them out of the same sets of the cache.
const PADDING: usize = 3;

/// A'A of the columns scaled by `scale`, with products in this precision, and what `visit` made of the tiles.
///
/// `visit(part, tile, row)` sees all rows, a few at a time, while they are in cache, `row` being the number of
/// the first of them; each slab of rows starts from `part()`.
pub fn gram<P: Send>(
    context: &Context,
    rows: &dyn Rows,
    precision: Precision,
    scale: &[f64],
    part: impl Fn() -> P + Sync,
    visit: impl Fn(&mut P, Dense<'_, f64>, usize) + Sync,
) -> Result<Sum<P>> {
    let order = rows.ncols();
    match precision {
        Precision::Single => gram_by(context, rows, order, GramSum::<f32>::maker(order), scale, part, visit),
        Precision::Double => gram_by(context, rows, order, GramSum::<f64>::maker(order), scale, part, visit),
        Precision::Digits(digits) => {
            gram_by(context, rows, order, DigitSum::maker(order, digits), scale, part, visit)
        }
    }
}

/// A'A in `f64`.
pub(crate) fn plain_gram(context: &Context, rows: &dyn Rows) -> Result<Mat<f64>> {
    let ones = filled(1.0, rows.ncols(), "units of columns")?;
    Ok(gram(context, rows, Precision::Double, &ones, || (), |(), _, _| ())?.gram)
}

/// The running sum over the rows of one slab: the tiles of the upper triangle, column panel by column panel.
pub(super) struct GramSum<E> {
    ncols: usize,
    capacity: usize,
    packed: Buffer<E>,
    tiles: Buffer<f64>,
}

impl<E: Kernel> GramSum<E> {
    /// Makes sums of this order, in memory of an earlier one.
    pub(super) fn maker(order: usize) -> impl Fn(Option<Buffer<E>>) -> Result<Self> + Sync {
        move |packed| Self::new(order, packed)
    }

    /// Nothing summed yet.
    fn new(ncols: usize, packed: Option<Buffer<E>>) -> Result<Self> {
        let panels = ncols.div_ceil(E::WIDTH);
        let capacity = Self::block_rows(ncols) + PADDING;
        let fresh = || Buffer::zeros(panels * capacity * E::WIDTH, "a packed block of rows");
        let tiles = panels * (panels + 1) / 2 * E::WIDTH * E::WIDTH;
        Ok(Self {
            ncols,
            capacity,
            packed: packed.map_or_else(fresh, Ok)?,
            tiles: Buffer::zeros(tiles, "a Gram matrix")?,
        })
    }

    /// Puts `values`, `HEIGHT` rows of `values.len() / HEIGHT` columns, at (row, column) of the block.
    pub(super) fn pack_tile(&mut self, row: usize, column: usize, values: &[f64]) {
        let (panel, offset) = (column / E::WIDTH, column % E::WIDTH);
        let start = (panel * self.capacity + row) * E::WIDTH + offset;
        pack_rows_of_tile(values, &mut self.packed[start..]);
    }
}

impl<E: Kernel> BlockSum for GramSum<E> {
    type Memory = Buffer<E>;
    const WIDTH: usize = E::WIDTH;

    /// So many at least that the sums of a large triangle, which every block goes through, are not what takes the time.
    fn block_rows(order: usize) -> usize {
        let row_bytes = order.next_multiple_of(E::WIDTH) * size_of::<E>();
        (BLOCK_BYTES / row_bytes.max(1)).clamp(4 * DEPTH, 1024) / DEPTH * DEPTH
    }

    fn pack(&mut self, rows: Dense<'_, f64>, scale: &[f64], row: usize) -> Result<()> {
        assert!(row + rows.nrows() <= self.capacity);
        if self.ncols > 0 {
            pack_rows(rows, scale, self.capacity, &mut self.packed[row * E::WIDTH..]);
        }
        Ok(())
    }

    fn multiply(&mut self, depth: usize) {
        let (width, panels) = (E::WIDTH, self.ncols.div_ceil(E::WIDTH));
        let mut products = [E::default(); 32 * 32];
        let products = &mut products[..width * width];
        let mut tiles = self.tiles.chunks_exact_mut(width * width);
        for (left, right) in (0..panels).flat_map(|right| (0..=right).map(move |left| (left, right))) {
            let Some(tile) = tiles.next() else { break };
            ask_for(tile);
            products.fill(E::default());
            let columns = [left, right].map(|panel| width.min(self.ncols - panel * width));
            tile_of(&self.packed, self.capacity, [left, right], columns, depth, products);
            add_widened(products, tile);
        }
    }

    fn finish(self) -> Result<(Tiles, Buffer<E>)> {
        Ok((Tiles { tiles: self.tiles, rounding: Vec::new() }, self.packed))
    }
}

impl GramSum<f64> {
    /// Multiplies rows of the block, the first of them at `row`, by a factor each.
    pub(super) fn scale_rows(&mut self, row: usize, factors: &[f64]) {
        for panel in self.packed.chunks_exact_mut(self.capacity * f64::WIDTH) {
            scale_rows_of_panel(factors, &mut panel[row * f64::WIDTH..]);
        }
    }
}

// Inside the kernels below indices run over arrays of fixed length: an iterator adaptor that is not inlined
// would leave the instruction set of the kernel.

kernel! {
    /// Packs rows, scaled by column, into panels of `capacity` rows.
    fn pack_rows<V, E: Kernel>(block: Dense<'_, f64>, scale: &[f64], capacity: usize, packed: &mut [E]) {
        let (data, stride, width) = (block.data(), block.row_stride(), E::WIDTH);
        assert!(block.nrows() <= capacity && block.col_stride() == 1 && scale.len() == block.ncols());
        let (scales, rest) = scale.as_chunks::<16>();
        for i in 0..block.nrows() {
            let row = &data[i * stride..][..scale.len()];
            let (values, values_rest) = row.as_chunks::<16>();
            for c in 0..scales.len() {
                let start = (c * 16 / width * capacity + i) * width + c * 16 % width;
                if let Some(out) = packed[start..].first_chunk_mut::<16>() {
                    for k in 0..16 {
                        out[k] = E::from_f64(values[c][k] * scales[c][k]);
                    }
                }
            }
            let column = scales.len() * 16;
            let start = (column / width * capacity + i) * width + column % width;
            for k in 0..rest.len() {
                packed[start + k] = E::from_f64(values_rest[k] * rest[k]);
            }
        }
    }
}

kernel! {
    /// Rounds a tile of `HEIGHT` x 16 into the rows of a panel.
    fn pack_rows_of_tile<V, E: Kernel>(values: &[f64], panel: &mut [E]) {
        let (rows, _) = values.as_chunks::<16>();
        for i in 0..rows.len() {
            if let Some(out) = panel[i * E::WIDTH..].first_chunk_mut::<16>() {
                for k in 0..16 {
                    out[k] = E::from_f64(rows[i][k]);
                }
            }
        }
    }
}

kernel! {
    fn scale_rows_of_panel<V>(factors: &[f64], panel: &mut [f64]) {
        let (halves, _) = panel.as_chunks_mut::<8>();
        assert!(2 * factors.len() <= halves.len());
        for i in 0..factors.len() {
            let factor = V::splat(factors[i]);
            for k in 2 * i..2 * i + 2 {
                V::load(&halves[k]).mul(factor).store(&mut halves[k]);
            }
        }
    }
}

kernel! {
    /// Sums of large matrices lie in memory: they come while their products are made.
    pub(super) fn ask_for<V>(sums: &[f64]) {
        let (lines, _) = sums.as_chunks::<8>();
        for line in lines {
            V::prefetch(line);
        }
    }
}

kernel! {
    fn add_widened<V, E: Kernel>(products: &[E], sums: &mut [f64]) {
        let (products, _) = products.as_chunks::<16>();
        let (sums, _) = sums.as_chunks_mut::<16>();
        assert_eq!(products.len(), sums.len());
        for i in 0..sums.len() {
            for k in 0..16 {
                sums[i][k] += products[i][k].to_f64();
            }
        }
    }
}

/// `out += left panel' x right panel` over the first `depth` rows, for panels with so many columns.
fn tile_of<E: Kernel>(
    packed: &[E],
    capacity: usize,
    panels: [usize; 2],
    columns: [usize; 2],
    depth: usize,
    out: &mut [E],
) {
    let width = E::WIDTH;
    let [left, right] = panels.map(|p| &packed[p * capacity * width..(p + 1) * capacity * width]);
    let add = if columns[1] <= width / 2 { add_half_tile } else { add_tile };
    for k in (0..depth).step_by(DEPTH) {
        let run = DEPTH.min(depth - k);
        for i in (0..columns[0]).step_by(HEIGHT) {
            add(run, &left[k * width + i..], width, 1, &right[k * width..], &mut out[i * width..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::slabs::CHUNK;
    use proptest::prelude::*;

    fn check<E: Kernel>(precision: Precision, nrows: usize, ncols: usize) {
        let data: Vec<f64> =
            (0..nrows * ncols).map(|k| ((k * 2654435761) % 1013) as f64 / 1013.0 - 0.4).collect();
        let scale: Vec<f64> = (0..ncols).map(|j| if j % 2 == 0 { 1.0 } else { 0.5 }).collect();
        let a = Dense::row_major(&data, nrows, ncols);
        let count = |part: &mut usize, tile: Dense<'_, f64>, row: usize| {
            assert_eq!(row % CHUNK, 0);
            *part += tile.nrows();
        };
        let run = |threads| gram(&Context::new(threads), &a, precision, &scale, || 0, count).unwrap();
        let Sum { gram: g, parts, .. } = run(1);
        assert_eq!(parts.iter().sum::<usize>(), nrows);
        for threads in [2, 3] {
            assert_eq!(g.as_slice(), run(threads).gram.as_slice());
        }
        for i in 0..ncols {
            for j in 0..ncols {
                let column = |j: usize| (0..nrows).map(move |k| a.get(k, j)).collect::<Vec<_>>();
                let exact: f64 =
                    column(i).iter().zip(column(j)).map(|(x, y)| x * y).sum::<f64>() * scale[i] * scale[j];
                let bound = 1024.0 * E::UNIT_ROUNDOFF * (nrows as f64).max(1.0);
                assert!((g[(i, j)] - exact).abs() <= bound, "({i}, {j}): {} against {exact}", g[(i, j)]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn equals_the_definition_for_any_shape(nrows in 0usize..400, ncols in 1usize..70) {
            check::<f32>(Precision::Single, nrows, ncols);
            check::<f64>(Precision::Double, nrows, ncols);
        }
    }

    #[test]
    fn many_slabs() {
        check::<f32>(Precision::Single, 5000, 33);
        check::<f64>(Precision::Double, 5000, 17);
    }
}
