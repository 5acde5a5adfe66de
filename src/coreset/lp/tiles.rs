//! Rows as tiles of columns, and passes over them.
//!
//! Every pass runs down columns eight rows at a time, whatever the matrix is stored as: rows are taken as a tile of columns
//! that the caches hold, and products, dot products and weighted Gram matrices are made there by [`crate::simd::narrow`].
//! Rows of few entries stay what they are.
//! Rows below the last of a tile, up to a multiple of eight, are zeros with a zero for a target: rows of the problem as any
//! others, which no answer depends on.

use super::few::{Few, FewBuf};
use crate::error::Result;
use crate::linalg::cholesky;
use crate::matrix::{Buffer, Mat, even_blocks};
use crate::memory::{collected, extend, filled, gathered, push, resize, zeros};
use crate::parallel::Context;
use crate::simd::axpy;
use crate::simd::narrow::{
    Block, add_dots_of_columns, add_magnitudes_of_columns, add_products_of_columns,
    add_squared_norms_of_columns, columns_of, pairs, subtract_product_of_columns, total, weigh_columns,
};
use std::ops::Range;

/// What memory is for.
pub(super) const PURPOSE: &str = "a pass over the rows";

/// Numbers in a tile: the second cache holds some.
const TILE: usize = 1 << 13;
/// Rows of tiles with many columns, whose sums are many too.
const WIDE: usize = 256;
/// Numbers in a block of tiles, and most blocks.
const BLOCK: usize = 1 << 16;
const BLOCKS: usize = 64;

/// Rows [A, b].
pub(super) trait Tiles: Sync {
    /// Number of rows.
    fn nrows(&self) -> usize;
    /// Number of columns of A.
    fn ncols(&self) -> usize;
    /// b, one number for each row.
    fn target(&self) -> &[f64];
    /// Some rows, at most [`height`] of them and in one block.
    fn entries<'b>(&'b self, rows: Range<usize>, buffers: &'b mut Buffers) -> Result<Entries<'b>>;
    /// One row.
    fn row(&self, row: usize, buffers: &mut Buffers) -> Result<Vec<f64>> {
        let d = self.ncols();
        match self.entries(row..row + 1, buffers)? {
            Entries::Columns(columns) => {
                collected(columns.iter().step_by(height(d)).take(d).copied(), PURPOSE)
            }
            Entries::Few(few) => {
                let mut row = zeros(d, PURPOSE)?;
                few.put_row(0, &mut row);
                Ok(row)
            }
        }
    }
    /// Rows of zeros that are known.
    fn idle(&self) -> usize {
        0
    }
    /// The rows in blocks, by shape alone, each a multiple of [`height`] long but for the last.
    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        blocks(self.nrows(), self.ncols())
    }
}

/// Some rows.
#[derive(Clone, Copy)]
pub(super) enum Entries<'t> {
    /// Their columns, [`height`] numbers from one to the next.
    Columns(&'t [f64]),
    Few(Few<'t>),
}

/// What a worker makes tiles in.
#[derive(Default)]
pub(super) struct Buffers {
    /// Rows as they are stored.
    pub rows: Vec<f64>,
    /// Their columns.
    pub columns: Vec<f64>,
    /// What those are mapped to.
    pub mapped: Vec<f64>,
    /// Rows of few entries.
    pub few: FewBuf,
}

/// Rows of a tile: no multiple of sixteen eights, so that columns do not share a set of the cache.
pub(super) fn height(ncols: usize) -> usize {
    let rows = if ncols > 64 { WIDE } else { (TILE / ncols.max(1)).clamp(64, 1024) };
    rows / 16 * 16 + 8
}

/// Rows in blocks of whole tiles.
pub(super) fn blocks(nrows: usize, ncols: usize) -> Result<Vec<Range<usize>>> {
    let count = (nrows.saturating_mul(ncols.max(1)) / BLOCK).clamp(1, BLOCKS);
    even_blocks(nrows, nrows.div_ceil(count).next_multiple_of(height(ncols)))
}

/// The same for rows of few entries, of which A'A costs so much: each block has a triangle to sum it up.
pub(super) fn blocks_by_cost(nrows: usize, ncols: usize, cost: usize) -> Result<Vec<Range<usize>>> {
    let count = (cost / BLOCK.max(pairs(ncols))).clamp(1, BLOCKS);
    even_blocks(nrows, nrows.div_ceil(count).next_multiple_of(height(ncols)))
}

/// A few rows.
pub(super) struct Tile<'t> {
    /// Which.
    pub rows: Range<usize>,
    pub entries: Entries<'t>,
    /// Rows that a tile has room for.
    pub height: usize,
    /// b
    pub target: &'t [f64],
    /// Number of the tile in its block.
    pub number: usize,
}

impl Tile<'_> {
    /// Rows up to a multiple of eight.
    pub fn depth(&self) -> usize {
        self.rows.len().next_multiple_of(8)
    }

    /// r = b - A x.
    pub fn residual(&self, x: &[f64], r: &mut Vec<f64>) -> Result<()> {
        r.clear();
        resize(r, self.depth(), 0.0, PURPOSE)?;
        r[..self.rows.len()].copy_from_slice(self.target);
        self.subtract_product(x, r);
        Ok(())
    }

    /// r = -A x.
    pub fn change(&self, x: &[f64], r: &mut Vec<f64>) -> Result<()> {
        r.clear();
        resize(r, self.depth(), 0.0, PURPOSE)?;
        self.subtract_product(x, r);
        Ok(())
    }

    fn subtract_product(&self, x: &[f64], r: &mut [f64]) {
        match self.entries {
            Entries::Columns(columns) => subtract_product_of_columns(columns, self.height, x, r),
            Entries::Few(few) => few.subtract_product(x, r),
        }
    }

    /// e += |A| x for an x >= 0, with memory for the columns.
    pub fn add_sizes(&self, x: &[f64], sizes: &mut Vec<f64>, e: &mut [f64]) -> Result<()> {
        match self.entries {
            Entries::Few(few) => few.add_sizes(x, e),
            Entries::Columns(columns) => {
                resize(sizes, x.len() * self.height, 0.0, PURPOSE)?;
                sizes.iter_mut().zip(columns).for_each(|(size, a)| *size = a.abs());
                let against = collected(x.iter().map(|x| -x), PURPOSE)?;
                subtract_product_of_columns(sizes, self.height, &against, e);
            }
        }
        Ok(())
    }

    /// Adds sums of magnitudes, one for each column.
    pub fn add_magnitudes(&self, sums: &mut [[f64; 8]]) {
        match self.entries {
            Entries::Columns(columns) => {
                add_magnitudes_of_columns(columns, self.height, self.depth(), sums);
            }
            Entries::Few(few) => few.add_magnitudes(sums),
        }
    }

    /// The squared norms of the rows of A W for an upper triangle W, W W' being `inverse`.
    pub fn put_squared_norms(&self, w: &Mat<f64>, inverse: &Mat<f64>, norms: &mut [f64]) {
        let d = w.nrows();
        norms.fill(0.0);
        match self.entries {
            Entries::Columns(columns) => {
                add_squared_norms_of_columns(columns, self.height, w.as_slice(), d, true, norms);
            }
            Entries::Few(few) => few.put_forms(inverse.as_slice(), d, norms),
        }
    }
}

/// Has `work` go over all tiles of every block, with the state of that block and a part of the result that begins as
/// `begin` says; the parts come back in the order of the blocks.
pub(super) fn pass<S: Send, P: Send>(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [S],
    begin: impl Fn() -> Result<P> + Sync,
    work: impl Fn(&mut P, &mut S, &Tile<'_>) -> Result<()> + Sync,
) -> Result<Vec<P>> {
    let (blocks, height, target) = (tiles.blocks()?, height(tiles.ncols()), tiles.target());
    let parts = context.map_parts(states.iter_mut(), Buffers::default, |buffers, block, state| {
        let mut part = begin()?;
        let rows = blocks[block].clone();
        for (number, start) in rows.clone().step_by(height).enumerate() {
            let rows = start..rows.end.min(start + height);
            let entries = tiles.entries(rows.clone(), buffers)?;
            let target = &target[rows.clone()];
            work(&mut part, state, &Tile { rows, entries, height, target, number })?;
        }
        Ok(part)
    })?;
    gathered(parts, PURPOSE)
}

/// [`pass`] where blocks have no states.
pub(super) fn read<P: Send>(
    context: &Context,
    tiles: &dyn Tiles,
    begin: impl Fn() -> Result<P> + Sync,
    work: impl Fn(&mut P, &Tile<'_>) -> Result<()> + Sync,
) -> Result<Vec<P>> {
    let mut states = filled((), tiles.blocks()?.len(), PURPOSE)?;
    pass(context, tiles, &mut states, begin, |part, (), tile| work(part, tile))
}

/// A vector with an entry for each row, cut into those of the blocks.
pub(super) fn in_blocks<'v, E>(tiles: &dyn Tiles, mut vector: &'v mut [E]) -> Result<Vec<&'v mut [E]>> {
    let blocks = tiles.blocks()?;
    collected(blocks.iter().map(|rows| vector.split_off_mut(..rows.len()).unwrap_or_default()), PURPOSE)
}

/// What a block adds to A'DA and to A'v for a few v.
#[derive(Default)]
pub(super) struct Sums {
    /// Of A'DA, if that is asked for.
    order: usize,
    products: Vec<[f64; 8]>,
    /// Of rows of few entries.
    of_few: Vec<f64>,
    dots: Vec<Vec<[f64; 8]>>,
    weighted: Vec<f64>,
}

impl Sums {
    /// Nothing yet, of a matrix with so many columns, and so many vectors.
    pub fn new(ncols: usize, gram: bool, vectors: usize) -> Result<Self> {
        let dots = (0..vectors).map(|_| filled([0.0; 8], ncols, PURPOSE));
        let order = if gram { ncols } else { 0 };
        Ok(Self { order, dots: gathered(dots, PURPOSE)?, ..Self::default() })
    }

    /// Adds rows to A'A, and A'r to vector 0.
    pub fn add_rows(&mut self, tile: &Tile<'_>, r: &[f64]) -> Result<()> {
        self.add_vector(tile, 0, r);
        self.add_products(tile, tile.entries, |_| 1.0)
    }

    fn add_products(
        &mut self,
        tile: &Tile<'_>,
        entries: Entries<'_>,
        weight: impl Fn(usize) -> f64,
    ) -> Result<()> {
        match entries {
            Entries::Columns(columns) => {
                resize(&mut self.products, pairs(self.order), [0.0; 8], PURPOSE)?;
                let (height, depth) = (tile.height, tile.depth());
                add_products_of_columns(columns, height, depth, self.order, &mut self.products);
            }
            Entries::Few(few) => {
                resize(&mut self.of_few, pairs(self.order), 0.0, PURPOSE)?;
                few.add_products(weight, &mut self.of_few);
            }
        }
        Ok(())
    }

    /// The same for D A and D r with D = diag(roots): `r` has been multiplied already.
    pub fn add_weighted_rows(&mut self, tile: &Tile<'_>, roots: &[f64], r: &[f64]) -> Result<()> {
        let (ncols, height) = (self.dots[0].len(), tile.height);
        let Entries::Columns(columns) = tile.entries else {
            let mut both = zeros(r.len(), PURPOSE)?;
            both.iter_mut().zip(roots).zip(r).for_each(|((both, root), r)| *both = root * r);
            self.add_vector(tile, 0, &both);
            return self.add_products(tile, tile.entries, |k| roots[k] * roots[k]);
        };
        let mut weighted = std::mem::take(&mut self.weighted);
        resize(&mut weighted, ncols * height, 0.0, PURPOSE)?;
        weigh_columns(&columns[..ncols * height], height, roots, &mut weighted);
        self.add_products(tile, Entries::Columns(&weighted), |_| 1.0)?;
        add_dots_of_columns(&weighted, height, r, &mut self.dots[0]);
        self.weighted = weighted;
        Ok(())
    }

    /// Adds A'r to a vector.
    pub fn add_vector(&mut self, tile: &Tile<'_>, vector: usize, r: &[f64]) {
        match tile.entries {
            Entries::Columns(columns) => {
                add_dots_of_columns(columns, tile.height, r, &mut self.dots[vector]);
            }
            Entries::Few(few) => few.add_dots(r, &mut self.dots[vector]),
        }
    }

    /// A'DA and the vectors, added up in the order of the blocks.
    pub fn total<'s>(
        ncols: usize,
        parts: impl Iterator<Item = &'s Self>,
    ) -> Result<(Mat<f64>, Vec<Vec<f64>>)> {
        let (mut order, mut products, mut vectors) = (0, Vec::new(), Vec::new());
        for part in parts {
            order = part.order;
            resize(&mut products, pairs(order), 0.0, PURPOSE)?;
            products.iter_mut().zip(&part.products).for_each(|(sum, &lanes)| *sum += total(lanes));
            products.iter_mut().zip(&part.of_few).for_each(|(sum, value)| *sum += value);
            if vectors.len() < part.dots.len() {
                vectors = gathered(part.dots.iter().map(|_| zeros::<f64>(ncols, PURPOSE)), PURPOSE)?;
            }
            for (sums, dots) in vectors.iter_mut().zip(&part.dots) {
                sums.iter_mut().zip(dots).for_each(|(sum, &lanes)| *sum += total(lanes));
            }
        }
        Ok((Mat::from_fn(order, order, |i, j| products[pairs(i.max(j)) + i.min(j)])?, vectors))
    }
}

/// A Cholesky factor of a Gram matrix that may be singular: what is lost below its diagonal is lifted.
pub(super) struct Normal {
    /// R'R of the matrix with its rows and columns scaled to a diagonal of ones.
    r: Mat<f64>,
    scale: Vec<f64>,
}

/// What the diagonal of ones is lifted by, as little as will do.
const LIFTS: [f64; 4] = [1e-14, 1e-11, 1e-8, 1e-5];

impl Normal {
    /// The factor of a symmetric matrix, if there is any.
    pub fn new(gram: &Mat<f64>) -> Result<Option<Self>> {
        let d = gram.nrows();
        let root = |j: usize| gram[(j, j)].sqrt();
        let scale = |j: usize| if root(j) > 0.0 && root(j).is_finite() { root(j).recip() } else { 1.0 };
        let scale = collected((0..d).map(scale), PURPOSE)?;
        for lift in LIFTS {
            let entry = |i: usize, j: usize| match (i == j, gram[(i, j)] * scale[i] * scale[j]) {
                (true, one) => {
                    if one > 0.5 {
                        1.0 + lift
                    } else {
                        1.0
                    }
                }
                (false, value) => value,
            };
            if let Some(r) = cholesky(&Mat::from_fn(d, d, entry)?)? {
                return Ok(Some(Self { r, scale }));
            }
        }
        Ok(None)
    }

    /// The solution x of G x = g.
    pub fn solve(&self, g: &[f64]) -> Result<Vec<f64>> {
        let mut x = self.solve_transposed(g)?;
        crate::linalg::solve_upper(self.r.as_ref(), x.as_mut());
        collected(x.as_slice().iter().zip(&self.scale).map(|(x, scale)| x * scale), PURPOSE)
    }

    /// |R^-T g|, so that its square is g'G^-1 g.
    pub fn dual_norm(&self, g: &[f64]) -> Result<f64> {
        Ok(crate::linalg::norm(self.solve_transposed(g)?.as_slice()))
    }

    /// |R x|, so that its square is x'G x.
    pub fn norm(&self, x: &[f64]) -> f64 {
        let d = x.len();
        let entry = |i: usize| (i..d).map(|j| self.r[(i, j)] * x[j] / self.scale[j]).sum::<f64>();
        (0..d).map(|i| entry(i).powi(2)).sum::<f64>().sqrt()
    }

    /// W with W W' = G^-1, an upper triangle.
    pub fn whitener(&self) -> Result<Mat<f64>> {
        let inverse = crate::linalg::invert_upper(self.r.as_ref())?;
        Mat::from_fn(inverse.nrows(), inverse.ncols(), |i, j| inverse[(i, j)] * self.scale[i])
    }

    /// The triangle of the scaled matrix.
    pub fn triangle(&self) -> &Mat<f64> {
        &self.r
    }

    fn solve_transposed(&self, g: &[f64]) -> Result<Mat<f64>> {
        let mut x = Mat::from_fn(g.len(), 1, |j, _| g[j] * self.scale[j])?;
        crate::linalg::solve_upper_transposed(self.r.as_ref(), x.as_mut());
        Ok(x)
    }
}

/// Rows that are being taken together.
pub(super) struct Taken {
    ncols: usize,
    rows: Stored,
    target: Vec<f64>,
}

/// Rows one after the other.
pub(super) enum Stored {
    Dense(Vec<f64>),
    Few(FewBuf),
}

impl Taken {
    pub fn new(ncols: usize, rows: Stored, target: Vec<f64>) -> Self {
        Self { ncols, rows, target }
    }

    /// Takes them off a sum of rows, and of targets.
    pub fn subtract_from(&self, row: &mut [f64], target: &mut f64) {
        match &self.rows {
            Stored::Dense(rows) => {
                rows.chunks_exact(self.ncols.max(1)).for_each(|taken| axpy(-1.0, taken, row))
            }
            Stored::Few(few) => few.all().iter().for_each(|(columns, values)| {
                columns.iter().zip(values).for_each(|(&j, value)| row[j as usize] -= value);
            }),
        }
        *target -= self.target.iter().sum::<f64>();
    }

    /// One more.
    pub fn push(&mut self, row: &[f64], target: f64) -> Result<()> {
        match &mut self.rows {
            Stored::Dense(rows) => extend(rows, row.iter().copied(), PURPOSE)?,
            Stored::Few(few) => {
                for (j, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                    few.push(j, value)?;
                }
                few.end()?;
            }
        }
        push(&mut self.target, target, PURPOSE)
    }
}

/// Rows that have been taken together.
pub(super) struct Gathered {
    ncols: usize,
    tiles: Buffer<f64>,
    /// In place of tiles, and what A'A costs.
    few: Option<(FewBuf, usize)>,
    target: Vec<f64>,
}

impl Gathered {
    /// Makes tiles of rows with many entries.
    pub fn new(context: &Context, taken: Taken) -> Result<Self> {
        let Taken { ncols, rows, target } = taken;
        let (nrows, height) = (target.len(), height(ncols));
        let rows = match rows {
            Stored::Dense(rows) => rows,
            Stored::Few(few) => {
                let cost = few.cost();
                return Ok(Self { ncols, tiles: Buffer::zeros(0, PURPOSE)?, few: Some((few, cost)), target });
            }
        };
        let mut tiles = Buffer::zeros(nrows.div_ceil(height) * height * ncols, PURPOSE)?;
        let shift = zeros(ncols, PURPOSE)?;
        let (rows, size) = (rows.chunks(height * ncols.max(1)), height * ncols.max(1));
        for (rows, tile) in rows.zip(tiles.chunks_exact_mut(size)) {
            context.tick()?;
            let shape = (rows.len() / ncols.max(1), ncols);
            columns_of(Block { data: rows, shape, strides: (ncols, 1) }, &shift, None, tile, height);
        }
        Ok(Self { ncols, tiles, few: None, target })
    }
}

impl Tiles for Gathered {
    fn nrows(&self) -> usize {
        self.target.len()
    }

    fn ncols(&self) -> usize {
        self.ncols
    }

    fn target(&self) -> &[f64] {
        &self.target
    }

    fn entries<'b>(&'b self, rows: Range<usize>, _: &'b mut Buffers) -> Result<Entries<'b>> {
        Ok(match &self.few {
            Some((few, _)) => Entries::Few(few.rows(rows)),
            None => Entries::Columns(&self.tiles[rows.start * self.ncols..]),
        })
    }

    fn row(&self, row: usize, _: &mut Buffers) -> Result<Vec<f64>> {
        if let Some((few, _)) = &self.few {
            let mut entries = zeros(self.ncols, PURPOSE)?;
            few.rows(row..row + 1).put_row(0, &mut entries);
            return Ok(entries);
        }
        let height = height(self.ncols);
        let tile = &self.tiles[row / height * height * self.ncols..];
        collected((0..self.ncols).map(|j| tile[j * height + row % height]), PURPOSE)
    }

    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        match self.few {
            Some((_, cost)) => blocks_by_cost(self.nrows(), self.ncols, cost),
            None => blocks(self.nrows(), self.ncols),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared};
    use super::*;

    /// A'A, A'v and the residuals of gathered rows, and of those of a design, by plain loops.
    #[test]
    fn passes_are_what_they_are_by_definition_for_any_threads() {
        for (n, d) in [(1, 1), (7, 3), (700, 5), (5000, 21), (900, 70)] {
            let instance = Instance::new(n, d, 3);
            let context = Context::new(1);
            let taken = Taken::new(d, Stored::Dense(instance.rows.clone()), instance.target.clone());
            let gathered = Gathered::new(&context, taken).unwrap();
            let problem = instance.plain();
            let outcomes: Vec<_> = [1, 2, 3]
                .into_iter()
                .flat_map(|threads| {
                    let prepared = prepared(&problem, 1.0);
                    [sums(threads, &gathered), sums(threads, &prepared.design)]
                })
                .collect();
            // The design divides its targets by a power of two.
            let unit = prepared(&problem, 1.0).unit;
            let rows = &instance.rows;
            let dense = |j: usize| (0..n).map(move |i| rows[i * d + j]);
            if prepared(&problem, 1.0).design.ncols() < d {
                continue;
            }
            for (k, (gram, vector)) in outcomes.iter().enumerate() {
                let unit = if k % 2 == 0 { 1.0 } else { unit };
                for j in 0..d {
                    let expected: f64 =
                        dense(j).zip(&instance.target).enumerate().map(|(i, (a, b))| a * b * weight(i)).sum();
                    assert!((vector[j] * unit - expected).abs() <= 1e-9 * n as f64, "{n} {d}");
                    for i in 0..d {
                        let products = dense(i).zip(dense(j)).enumerate();
                        let expected: f64 = products.map(|(row, (a, b))| a * b * weight(row)).sum();
                        assert!((gram[(i, j)] - expected).abs() <= 1e-10 * n as f64);
                    }
                }
                assert_eq!(gram.as_slice(), outcomes[0].0.as_slice());
            }
        }
    }

    fn weight(row: usize) -> f64 {
        1.0 + (row % 3) as f64
    }

    fn sums(threads: usize, tiles: &dyn Tiles) -> (Mat<f64>, Vec<f64>) {
        let d = tiles.ncols();
        let begin = || Ok((Sums::new(d, true, 1)?, Vec::new(), Vec::new()));
        let parts = read(&Context::new(threads), tiles, begin, |(sums, root, b), tile| {
            tile.residual(&[], b)?;
            resize(root, tile.depth(), 0.0, PURPOSE)?;
            for (k, row) in tile.rows.clone().enumerate() {
                root[k] = weight(row).sqrt();
                b[k] *= root[k];
            }
            sums.add_weighted_rows(tile, root, b)
        });
        let parts = parts.unwrap();
        let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums)).unwrap();
        (gram, vectors.pop().unwrap())
    }

    #[test]
    fn a_singular_gram_matrix_has_a_factor_that_solves_what_is_in_its_range() {
        let rows = [[1.0, 1.0, 0.0], [2.0, 2.0, 1.0], [0.5, 0.5, -3.0]];
        let gram = Mat::from_fn(3, 3, |i, j| rows.iter().map(|row| row[i] * row[j]).sum::<f64>()).unwrap();
        let normal = Normal::new(&gram).unwrap().unwrap();
        let g: Vec<f64> = (0..3).map(|j| rows.iter().map(|row| row[j]).sum()).collect();
        let x = normal.solve(&g).unwrap();
        for i in 0..3 {
            let image: f64 = (0..3).map(|j| gram[(i, j)] * x[j]).sum();
            assert!((image - g[i]).abs() < 1e-6, "{image} for {}", g[i]);
        }
        let length: f64 = x.iter().zip(&g).map(|(x, g)| x * g).sum();
        assert!((normal.dual_norm(&g).unwrap().powi(2) / length - 1.0).abs() < 1e-6);
        assert!((normal.norm(&x).powi(2) / length - 1.0).abs() < 1e-6);
        let mut bad = gram.copy().unwrap();
        bad[(1, 0)] = f64::NAN;
        bad[(0, 1)] = f64::NAN;
        assert!(Normal::new(&bad).unwrap().is_none());
    }
}
