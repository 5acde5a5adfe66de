//! Bases of both sides of A, block by block: A V = U B, A'U = V B' + (the next block) T [0, I].

use crate::error::Result;
use crate::linalg::{Svd, matmul, svd_apart};
use crate::matrix::{Dense, DenseMut, Mat, Products, even_blocks, make_rows};
use crate::memory::{collected, reset};
use crate::parallel::Context;
use crate::random::Stream;
use crate::svd::block::Block;
use crate::svd::orthogonal::{Split, split};

/// Number of the first random vector that looks for what was missed.
const ELSEWHERE: u64 = 1 << 40;

/// Orthonormal columns, room for more of them, row by row.
pub(super) struct Basis {
    /// The rows, as columns.
    rows: Mat<f64>,
    len: usize,
}

impl Basis {
    pub fn new(n: usize, most: usize) -> Result<Self> {
        Ok(Self { rows: Mat::zeros(most, n)?, len: 0 })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn columns(&self) -> Dense<'_, f64> {
        self.rows.as_ref().t().cols(0..self.len)
    }

    fn push(&mut self, block: &Block) {
        let columns = self.len..self.len + block.width();
        let most = self.rows.nrows();
        let rows = self.rows.as_mut_slice().chunks_exact_mut(most.max(1));
        for (i, row) in rows.enumerate() {
            row[columns.clone()].copy_from_slice(block.row(i));
        }
        self.len = columns.end;
    }

    /// These combinations in place of the columns that `weights` has rows for, and what comes after them.
    fn combine(&mut self, context: &Context, weights: Dense<'_, f64>) -> Result<()> {
        const ROWS: usize = 256;
        let (used, kept) = (weights.nrows(), weights.ncols());
        let (most, after) = (self.rows.nrows(), self.len - used);
        let blocks = even_blocks(self.rows.ncols(), ROWS)?;
        make_rows(context, self.rows.as_mut().t(), &blocks, most, |part: &mut Vec<f64>, rows, out| {
            reset(part, rows.len() * kept, "combinations")?;
            let from = Dense::row_major(out, rows.len(), most).cols(0..used);
            let into = DenseMut::row_major(part, rows.len(), kept);
            matmul(into, false, from, weights, 1.0);
            for (row, part) in out.chunks_exact_mut(most).zip(part.chunks_exact(kept)) {
                row[..kept].copy_from_slice(part);
                row.copy_within(used..used + after, kept);
            }
            Ok(())
        })?;
        self.len = kept + after;
        Ok(())
    }
}

/// What is known of A after some products.
pub(super) struct Bidiagonal {
    pub u: Basis,
    /// A block longer than U.
    pub v: Basis,
    /// U'A V
    b: Mat<f64>,
    /// What the next block of V has of A'U, for the last columns of U.
    next: Mat<f64>,
    /// What the last columns of U are known to have of A times what waits to be multiplied.
    known: Mat<f64>,
    /// The largest entry of B: at most the norm of A.
    size: f64,
    /// Blocks that A and its transpose were multiplied with.
    pub made: usize,
    random: Stream,
    /// Number of the next random vector that looks for what was missed.
    elsewhere: u64,
}

/// Singular values of B, and what they are worth.
pub(super) struct Ritz {
    svd: Svd,
    /// |A'u - s v|; the other residual is rounding.
    residuals: Vec<f64>,
}

impl Ritz {
    /// The singular values, the largest first.
    pub fn values(&self) -> &[f64] {
        &self.svd.s
    }

    /// The largest residual of so many triplets, beside the largest singular value.
    pub fn worst(&self, count: usize) -> f64 {
        let largest = self.residuals[..count].iter().fold(0.0, |worst: f64, residual| worst.max(*residual));
        if largest > 0.0 { largest / self.values()[0] } else { largest }
    }
}

impl Bidiagonal {
    /// From a first block, room for `most` columns and a block more.
    pub fn new(
        context: &Context,
        (n, d): (usize, usize),
        start: Block,
        most: usize,
        random: Stream,
    ) -> Result<Self> {
        let (u, mut v) = (Basis::new(n, most)?, Basis::new(d, most + start.width())?);
        let nothing = Mat::zeros(0, start.width())?;
        v.push(&split(context, v.columns(), (0, &nothing), start, 0.0, &random)?.q);
        Ok(Self {
            u,
            v,
            b: Mat::zeros(most, most)?,
            next: Mat::zeros(0, 0)?,
            known: nothing,
            size: 0.0,
            made: 0,
            random,
            elsewhere: ELSEWHERE,
        })
    }

    /// Columns that may still be added.
    pub fn room(&self) -> usize {
        self.b.ncols() - self.u.len()
    }

    /// Columns of V that A has not been multiplied with.
    fn waiting(&self) -> usize {
        self.v.len() - self.u.len()
    }

    /// A block more: a product with A, and one with its transpose. Panics without room for it.
    pub fn extend(&mut self, context: &Context, a: &impl Products) -> Result<()> {
        let ((n, d), block, first) = (a.shape(), self.waiting(), self.u.len());
        let x = Block::copy_of(self.v.columns().cols(first..first + block))?;
        let mut w = Block::zeros(n, block)?;
        a.product(context, x.view(), w.view_mut())?;
        let known = (first - self.known.nrows(), &self.known);
        let Split { q, coefficients } = split(context, self.u.columns(), known, w, self.size, &self.random)?;
        self.u.push(&q);
        for j in 0..block {
            let column = coefficients.col(j);
            self.b.col_mut(first + j)[..column.len()].copy_from_slice(column);
            self.size = column.iter().fold(self.size, |size, value| size.max(value.abs()));
        }
        let mut z = Block::zeros(d, block)?;
        a.transposed_product(context, q.view(), z.view_mut())?;
        let square = Mat::from_fn(block, block, |i, j| self.b[(first + j, first + i)])?;
        let known = (first, &square);
        let Split { coefficients, q } = split(context, self.v.columns(), known, z, self.size, &self.random)?;
        let next = coefficients.nrows() - block;
        self.next = Mat::from_fn(block, block, |i, j| coefficients[(next + i, j)])?;
        self.known = Mat::from_fn(block, block, |i, j| self.next[(j, i)])?;
        self.v.push(&q);
        self.made += 1;
        Ok(())
    }

    /// Random numbers in place of what waits to be multiplied: what the products so far do not show.
    pub fn look_elsewhere(&mut self, context: &Context) -> Result<()> {
        let (block, rows) = (self.waiting(), self.v.rows.ncols());
        self.v.len = self.u.len();
        let mut elsewhere = Mat::zeros(rows, block)?;
        for i in 0..block {
            self.random.normals_of_row(self.elsewhere, elsewhere.col_mut(i));
            self.elsewhere += 1;
        }
        let (elsewhere, nothing) = (Block::copy_of(elsewhere.as_ref())?, Mat::zeros(0, block)?);
        let q = split(context, self.v.columns(), (0, &nothing), elsewhere, 0.0, &self.random)?.q;
        self.v.push(&q);
        self.known = nothing;
        Ok(())
    }

    /// Singular values of B and their residuals.
    pub fn ritz(&self, context: &Context) -> Result<Ritz> {
        let m = self.u.len();
        let svd = svd_apart(context, Mat::from_fn(m, m, |i, j| self.b[(i, j)])?)?;
        let first = m - self.next.ncols();
        let residual = |i: usize| {
            let square = (0..self.next.nrows()).map(|row| {
                let sum: f64 =
                    (0..self.next.ncols()).map(|j| self.next[(row, j)] * svd.u[(first + j, i)]).sum();
                sum * sum
            });
            square.sum::<f64>().sqrt()
        };
        let residuals = collected((0..m).map(residual), "residuals")?;
        Ok(Ritz { svd, residuals })
    }

    /// Only so many Ritz vectors, and what waits to be multiplied.
    pub fn compress(&mut self, context: &Context, ritz: &Ritz, kept: usize) -> Result<()> {
        let Svd { u, s, v } = &ritz.svd;
        self.u.combine(context, u.as_ref().cols(0..kept))?;
        self.v.combine(context, v.as_ref().cols(0..kept))?;
        let (b, last) = (self.next.nrows(), u.nrows() - self.next.ncols());
        self.known = Mat::from_fn(kept, b, |i, j| {
            (0..self.next.ncols()).map(|column| self.next[(j, column)] * u[(last + column, i)]).sum()
        })?;
        self.b.as_mut_slice().fill(0.0);
        (0..kept).for_each(|i| self.b[(i, i)] = s[i]);
        Ok(())
    }
}
