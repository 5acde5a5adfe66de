//! Blocked Householder QR, of a matrix or of a triangle with more rows below it.
//!
//! Columns are taken [`PANEL`] at a time; a panel is halved until eight columns are left for
//! [`factorise_panel`]. Everything else is products of matrices: a group of k reflectors is applied as
//! I - V T V' with a k x k upper triangle T.
//!
//! No column is ever skipped, however little of it the earlier ones leave: the factorisation is backward
//! stable column by column, whatever the rank.

use super::panel::{Tile, factorise_panel};
use super::products::matmul;
use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut, Mat};
use crate::simd::kernel;
use std::ops::Range;

/// Columns whose reflectors are applied to the rest at once.
const PANEL: usize = 32;

/// What is factorised.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// A matrix, in `v`; `r` receives R.
    Matrix,
    /// The triangle in `r`, with the first so many rows of `v` below it.
    Block(usize),
    /// The triangle in `r`, with another in `v` below it.
    Triangle,
}

/// Memory for factorising up to `rows` x `columns`, to be used again and again.
pub(super) struct Workspace {
    tiles: Buffer<f64>,
    products: Buffer<f64>,
    transformed: Buffer<f64>,
}

impl Workspace {
    pub(super) fn new(rows: usize, columns: usize) -> Result<Self> {
        let purpose = "a QR factorisation";
        Ok(Self {
            tiles: Buffer::zeros(rows.div_ceil(8) * 64, purpose)?,
            products: Buffer::zeros(PANEL * columns, purpose)?,
            transformed: Buffer::zeros(PANEL * columns, purpose)?,
        })
    }
}

/// A factorisation under way. Columns of `v` that are done hold reflectors, with their ones and zeros;
/// column j of `t` belongs to the T of the panel that column j is in.
pub(super) struct Factorisation<'a> {
    pub shape: Shape,
    pub r: &'a mut Mat<f64>,
    pub v: &'a mut Mat<f64>,
    pub t: &'a mut Mat<f64>,
    pub work: &'a mut Workspace,
}

impl Factorisation<'_> {
    /// Room for the triangular factors of `columns` reflectors.
    pub(super) fn room_for_t(columns: usize) -> Result<Mat<f64>> {
        Mat::zeros(PANEL, columns)
    }

    /// Factorises everything. Columns are expected to be of order one.
    pub(super) fn run(&mut self) {
        let (n, k) = (self.v.ncols(), self.r.nrows());
        for panel in panels(k) {
            self.factorise(panel.clone());
            self.reflect(panel.clone(), panel.end..n);
        }
        if self.shape == Shape::Matrix {
            for j in k..n {
                self.r.col_mut(j).copy_from_slice(&self.v.col(j)[..k]);
            }
        }
    }

    fn factorise(&mut self, columns: Range<usize>) {
        if columns.len() <= 8 {
            return self.factorise_base(columns);
        }
        let middle = columns.start + columns.len().div_ceil(2).next_multiple_of(8);
        let (left, right) = (columns.start..middle, middle..columns.end);
        self.factorise(left.clone());
        self.reflect(left.clone(), right.clone());
        self.factorise(right.clone());
        if self.shape == Shape::Matrix || right.end < self.v.ncols() {
            self.join(left, right);
        }
    }

    /// The rows of `v` in which these reflectors are not zero.
    fn rows(&self, reflectors: &Range<usize>) -> Range<usize> {
        match self.shape {
            Shape::Matrix => reflectors.start..self.v.nrows(),
            Shape::Block(rows) => 0..rows,
            Shape::Triangle => 0..reflectors.end.min(self.v.nrows()),
        }
    }

    /// Applies the transposed reflectors to the columns `targets`, right of them.
    fn reflect(&mut self, reflectors: Range<usize>, targets: Range<usize>) {
        if targets.is_empty() {
            return;
        }
        let (m, n) = (self.v.nrows(), self.v.ncols());
        let (k, rows) = (reflectors.len(), self.rows(&reflectors));
        let (done, rest) = self.v.as_mut_slice().split_at_mut(targets.start * m);
        let v = Dense::column_major(done, m, targets.start).window(rows.clone(), reflectors.clone());
        let c = DenseMut::column_major(rest, m, n - targets.start).window(rows, 0..targets.len());
        let t = self.t.as_ref().window(0..k, reflectors.clone()).t();
        let met = (self.shape != Shape::Matrix).then(|| self.r.as_mut().window(reflectors, targets));
        apply(v, t, met, c, self.work);
    }

    /// The T of two neighbouring groups of reflectors: [T1, -T1 V1'V2 T2; 0, T2].
    fn join(&mut self, left: Range<usize>, right: Range<usize>) {
        let (l, r) = (left.len(), right.len());
        let (first, second) = (self.rows(&left), self.rows(&right));
        let rows = first.start.max(second.start)..first.end.min(second.end);
        let v = self.v.as_ref();
        let (v1, v2) = (v.window(rows.clone(), left.clone()), v.window(rows, right.clone()));
        let mut x = DenseMut::column_major(&mut self.work.products[..l * r], l, r);
        let mut y = DenseMut::column_major(&mut self.work.transformed[..l * r], l, r);
        matmul(x.reborrow(), false, v1.t(), v2, 1.0);
        matmul(y.reborrow(), false, x.as_ref(), self.t.as_ref().window(0..r, right.clone()), 1.0);
        for j in right.clone() {
            self.t.col_mut(j).copy_within(0..r, l);
        }
        let height = self.t.nrows();
        let (done, rest) = self.t.as_mut_slice().split_at_mut(right.start * height);
        let t1 = Dense::column_major(done, height, right.start).window(0..l, left);
        let t12 = DenseMut::column_major(rest, height, rest.len() / height).window(0..l, 0..r);
        matmul(t12, false, t1, y.as_ref(), -1.0);
    }

    fn factorise_base(&mut self, columns: Range<usize>) {
        let mut top = self.load_top(&columns);
        let mut t = Tile::default();
        let mut rows = self.rows(&columns);
        if self.shape == Shape::Matrix {
            rows.start = (rows.start + 8).min(rows.end);
        }
        let tiles = self.work.tiles.as_chunks_mut::<8>().0.as_chunks_mut::<8>().0;
        let tiles = &mut tiles[..rows.len().div_ceil(8)];
        pack(self.v, rows.clone(), columns.clone(), tiles);
        factorise_panel(&mut top, tiles, &mut t);
        unpack(tiles, self.v, rows, columns.clone());
        self.store_top(&top, &columns);
        for (j, t) in columns.zip(t) {
            let (head, rest) = self.t.col_mut(j).split_at_mut(8);
            head.copy_from_slice(&t);
            rest.fill(0.0);
        }
    }

    /// Rows that the leading ones of eight reflectors lie in.
    fn load_top(&self, columns: &Range<usize>) -> Tile {
        let mut top = Tile::default();
        for (l, j) in columns.clone().enumerate() {
            let column = if self.shape == Shape::Matrix { self.v.col(j) } else { self.r.col(j) };
            for (row, &value) in top.iter_mut().zip(&column[columns.start..]) {
                row[l] = value;
            }
        }
        top
    }

    fn store_top(&mut self, top: &Tile, columns: &Range<usize>) {
        let first = columns.start;
        for (l, j) in columns.clone().enumerate() {
            for i in first..=j {
                self.r[(i, j)] = top[i - first][l];
            }
            if self.shape == Shape::Matrix {
                let (above, below) = self.v.col_mut(j).split_at_mut(first);
                self.r.col_mut(j)[..first].copy_from_slice(above);
                above.fill(0.0);
                for (i, (value, row)) in below.iter_mut().zip(top).enumerate() {
                    *value = if i > l { row[l] } else { f64::from(i == l) };
                }
            }
        }
    }
}

/// Groups of reflectors that share a T.
pub(super) fn panels(reflectors: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..reflectors.div_ceil(PANEL)).map(move |p| p * PANEL..((p + 1) * PANEL).min(reflectors))
}

/// C = (I - V T V') C, or [met; C] = (I - [I; V] T [I, V']) [met; C].
pub(super) fn apply(
    v: Dense<'_, f64>,
    t: Dense<'_, f64>,
    met: Option<DenseMut<'_, f64>>,
    c: DenseMut<'_, f64>,
    work: &mut Workspace,
) {
    let (k, w) = (v.ncols(), c.ncols());
    let mut products = DenseMut::column_major(&mut work.products[..k * w], k, w);
    let mut transformed = DenseMut::column_major(&mut work.transformed[..k * w], k, w);
    if let Some(met) = &met {
        zip_columns(products.reborrow(), met.as_ref(), |out, x| out.copy_from_slice(x));
    }
    matmul(products.reborrow(), met.is_some(), v.t(), c.as_ref(), 1.0);
    matmul(transformed.reborrow(), false, t, products.as_ref(), 1.0);
    if let Some(met) = met {
        zip_columns(met, transformed.as_ref(), |out, x| out.iter_mut().zip(x).for_each(|(out, x)| *out -= x));
    }
    matmul(c, true, v, transformed.as_ref(), -1.0);
}

/// Visits the columns of two views of one shape, both with contiguous columns.
fn zip_columns(mut out: DenseMut<'_, f64>, x: Dense<'_, f64>, visitor: impl Fn(&mut [f64], &[f64])) {
    let (m, stride) = (out.nrows(), out.col_stride());
    for j in 0..x.ncols() {
        if let Some(x) = x.col(j) {
            visitor(&mut out.data()[j * stride..][..m], x);
        }
    }
}

kernel! {
    /// Copies up to eight columns into tiles, with zeros where there is nothing.
    fn pack<V>(v: &Mat<f64>, rows: Range<usize>, columns: Range<usize>, tiles: &mut [Tile]) -> () {
        let width = columns.len();
        for (l, j) in columns.enumerate() {
            let (chunks, rest) = v.col(j)[rows.clone()].as_chunks::<8>();
            for (tile, chunk) in tiles.iter_mut().zip(chunks) {
                V::load(chunk).store(&mut tile[l]);
            }
            if let Some(tile) = tiles.get_mut(chunks.len()) {
                V::load_head(rest).store(&mut tile[l]);
            }
        }
        for tile in tiles {
            tile[width..].fill([0.0; 8]);
        }
    }
}

kernel! {
    /// Copies tiles back to the columns they came from.
    fn unpack<V>(tiles: &[Tile], v: &mut Mat<f64>, rows: Range<usize>, columns: Range<usize>) -> () {
        for (l, j) in columns.enumerate() {
            let (chunks, rest) = v.col_mut(j)[rows.clone()].as_chunks_mut::<8>();
            for (chunk, tile) in chunks.iter_mut().zip(tiles) {
                V::load(&tile[l]).store(chunk);
            }
            if let Some(tile) = tiles.get(chunks.len()) {
                V::load(&tile[l]).store_head(rest);
            }
        }
    }
}
