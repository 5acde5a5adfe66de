//! Fewer rows than columns: singular vectors of A from the QR factorisation of its transpose.
//!
//! A and what is made of it are only ever met in blocks of columns, spread over the threads; what is decomposed in
//! sequence is n x n.

use crate::error::Result;
use crate::linalg::{self, Svd, WELL_CONDITIONED, cut_beyond, empty_columns, over_triangle, rank_beside};
use crate::matrix::{Dense, DenseMut, Mat, Real, Rows, TILE, even_blocks, make_rows};
use crate::memory::{collected, extend, prepare, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use std::ops::Range;

/// diag(1/norms) A', as rows.
pub(crate) struct Transposed<'p, 'a, T> {
    design: &'p Design<'a, T>,
    /// Norms of the columns of A before they were centred, 1 for a column of zeros.
    pub norms: Vec<f64>,
    /// Columns of zeros.
    pub empty: Vec<usize>,
    /// What the largest singular value counts as at least.
    least: f64,
}

impl<'p, 'a, T: Real> Transposed<'p, 'a, T> {
    /// Reads A for the norms of its columns.
    pub(crate) fn new(context: &Context, design: &'p Design<'a, T>, rcond: f64) -> Result<Self> {
        let (n, d) = (design.nrows(), design.ncols());
        let width = block_columns(n);
        let squares = context.map_with(d.div_ceil(width), Vec::new, |buffer, block| {
            let mut squares: Vec<f64> = zeros(d.min((block + 1) * width) - block * width, COLUMNS)?;
            let tile = design.a.tile(0..n, block * width..block * width + squares.len(), buffer)?;
            for row in (0..n).map(|i| tile.stored_row(i)) {
                squares.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
            }
            Ok(squares)
        })?;
        let mut norms = Vec::new();
        for squares in squares {
            extend(&mut norms, squares?.into_iter().map(f64::sqrt), COLUMNS)?;
        }
        let empty = collected((0..d).filter(|&j| norms[j] == 0.0), COLUMNS)?;
        empty.iter().for_each(|&j| norms[j] = 1.0);
        let left = design.left_by_centring(&norms, rcond)?;
        let least = if left.is_some() { 1.0 } else { 0.0 };
        left.iter().for_each(|left| norms.iter_mut().zip(left).for_each(|(norm, left)| *norm /= left));
        Ok(Self { design, norms, empty, least })
    }

    /// U S V' = A diag(1/norms), as much of it as is above `rcond` times the largest singular value, and the size of
    /// the rest.
    pub(crate) fn svd(&self, context: &Context, rcond: f64) -> Result<(Svd, f64)> {
        let r = linalg::tsqr(context, self)?;
        let Svd { mut s, v: u, .. } = linalg::svd(r.as_ref())?;
        // What is beyond the columns and rows that are not zero is rounding, and so is a direction that centring took.
        let rows = r.ncols() - empty_columns(&r).count();
        let rows = rows.saturating_sub(usize::from(self.design.means().is_some()));
        let possible = rows.min(self.norms.len() - self.empty.len());
        let rank = rank_beside(&s[..possible], rcond, self.least);
        let cut = cut_beyond(&s, rank, possible);
        let u = Mat::from_fn(u.nrows(), rank, |i, j| u[(i, j)])?;
        s.truncate(rank);
        let to_basis = Mat::from_fn(u.nrows(), rank, |i, j| u[(i, j)] / s[j])?;
        let v = self.product(context, &to_basis)?;
        // V is orthonormal up to rounding times the condition number.
        if rank == 0 || s[0] < WELL_CONDITIONED * s[rank - 1] {
            return Ok((Svd { u, s, v }, cut));
        }
        // With a positive diagonal its triangle is near the identity, and no column changes its sign.
        let r = linalg::tsqr(context, &v.as_ref())?;
        let r = Mat::from_fn(rank, rank, |i, j| r[(i, j)] * r[(i, i)].signum())?;
        Ok((Svd { u, s, v: over_triangle(context, &v, &r)? }, cut))
    }

    /// The product with an n x r matrix.
    fn product(&self, context: &Context, m: &Mat<f64>) -> Result<Mat<f64>> {
        let (n, d, r) = (m.nrows(), self.norms.len(), m.ncols());
        let mut transposed = Mat::zeros(r, d)?;
        let blocks = even_blocks(d, block_columns(n))?;
        make_rows(context, transposed.as_mut().t(), &blocks, r, |buffer, columns, out| {
            let tile = self.design.a.tile(0..n, columns.clone(), buffer)?;
            linalg::matmul(DenseMut::row_major(out, columns.len(), r), false, tile.t(), m.as_ref(), 1.0);
            for (row, norm) in out.chunks_mut(r).zip(&self.norms[columns]) {
                row.iter_mut().for_each(|value| *value /= norm);
            }
            Ok(())
        })?;
        Mat::from_fn(d, r, |i, j| transposed[(j, i)])
    }
}

impl<T: Real> Rows for Transposed<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.norms.len()
    }

    fn ncols(&self) -> usize {
        self.design.nrows()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (height, width) = (rows.len(), cols.len());
        let mut scratch = Vec::new();
        let tile = self.design.a.tile(cols, rows.clone(), &mut scratch)?;
        prepare(buffer, height * width, TILE)?;
        for (j, norm) in self.norms[rows].iter().enumerate() {
            extend(buffer, (0..width).map(|i| tile.get(i, j) / norm), TILE)?;
        }
        Ok(Dense::row_major(buffer, height, width))
    }
}

const COLUMNS: &str = "norms of columns";

/// Columns of A in a tile that fits into a cache.
fn block_columns(n: usize) -> usize {
    ((1 << 15) / n).clamp(16, 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::LEAST;
    use crate::regression::testing::{Form, Instance, assert_near, assert_same, forms, product, transposed};

    fn with_transposed(
        instance: &Instance,
        form: Form,
        rcond: f64,
        work: impl FnOnce(&Context, &Transposed<'_, '_, f64>),
    ) {
        instance.with_group(form, 0.0, |group| {
            work(group.context, &Transposed::new(group.context, group.design, rcond).unwrap());
        });
    }

    /// W^(1/2) (A - 1 mean') with columns of norm one.
    fn normalised(instance: &Instance, form: Form, norms: &[f64]) -> Mat<f64> {
        let (a, _) = instance.explicit(form);
        Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] / norms[j]).unwrap()
    }

    fn assert_orthonormal(q: &Mat<f64>, what: &str) {
        assert_same(&product(&transposed(q), q), &Mat::identity(q.ncols()).unwrap(), what);
    }

    #[test]
    fn rows_of_the_transpose_are_columns_over_their_norms() {
        let instance = Instance::new(6, 40);
        for form in forms().filter(|form| !form.fit_intercept) {
            with_transposed(&instance, form, LEAST, |_, transpose| {
                let (a, _) = instance.explicit(form);
                for (j, norm) in transpose.norms.iter().enumerate() {
                    assert_near(*norm, linalg::norm(a.col(j)), &format!("{form:?}, column {j}"));
                }
                assert_eq!((transpose.nrows(), transpose.ncols()), (40, 6));
                let (mut buffer, expected) = (Vec::new(), normalised(&instance, form, &transpose.norms));
                let tile = transpose.tile(17..21, 2..5, &mut buffer).unwrap();
                for (j, i) in (0..4).flat_map(|j| (0..3).map(move |i| (j, i))) {
                    assert_near(tile.get(j, i), expected[(i + 2, j + 17)], &format!("{form:?}, {j}, {i}"));
                }
            });
        }
    }

    #[test]
    fn singular_vectors_make_up_a() {
        let instance = Instance::new(6, 40);
        for form in forms() {
            with_transposed(&instance, form, LEAST, |context, transpose| {
                let (Svd { u, s, v }, cut) = transpose.svd(context, LEAST).unwrap();
                let zero_rows = if form.weighted { 1 } else { 0 };
                assert_eq!(s.len(), 6 - zero_rows - usize::from(form.fit_intercept), "{form:?}");
                assert!(cut < 1e-14, "{form:?}: {cut}");
                let scaled = Mat::from_fn(6, s.len(), |i, j| u[(i, j)] * s[j]).unwrap();
                let expected = normalised(&instance, form, &transpose.norms);
                assert_same(&product(&scaled, &transposed(&v)), &expected, &format!("{form:?}"));
                assert_orthonormal(&u, "left vectors");
                assert_orthonormal(&v, "right vectors");
            });
        }
    }

    #[test]
    fn right_vectors_of_nearly_equal_rows_are_orthonormal() {
        let mut instance = Instance::new(6, 40);
        for j in 0..40 {
            let first = instance.a[(0, j)];
            instance.a[(5, j)] = first + 1e-9 * instance.a[(5, j)];
        }
        instance.a.col_mut(7).fill(0.0);
        let form = forms().next().unwrap();
        with_transposed(&instance, form, LEAST, |context, transpose| {
            assert_eq!(transpose.empty, [7]);
            let (Svd { s, v, .. }, _) = transpose.svd(context, LEAST).unwrap();
            assert!(s[0] > 1e7 * s[5]);
            assert_orthonormal(&v, "right vectors");
            let (Svd { s, .. }, cut) = transpose.svd(context, 1e-6).unwrap();
            assert_eq!(s.len(), 5);
            assert!((1e-11..1e-8).contains(&cut), "{cut}");
        });
    }
}
