//! The rows that are scored: A with the roots of its weights, in units in which squares are numbers.

use crate::error::{Error, Result};
use crate::linalg::{
    Precision, Product, cut_off, leverages, plain_gram, product, quadratic_forms, rank_of, sparse_gram,
    svd_apart, tsqr, weighted_whitened_gram, whitened_gram,
};
use crate::matrix::{
    Adjusted, Axis, Buffer, Dense, Mat, Matrix, Real, Rows, Sparse, SparseBuf, even_blocks, first_non_finite,
    power_of_two_below,
};
use crate::memory::{collected, push};
use crate::parallel::Context;
use std::ops::Range;

/// What memory is for.
const ROWS: &str = "scores of rows";

/// Squared norms of columns between which no square of an entry that matters was lost.
const IN_RANGE: Range<f64> = 1e-280..1e280;

/// What part of a row is no rounding outside the range.
pub(crate) const OUTSIDE: f64 = 1e-7;
/// A multiply-add of a sparse kernel, in those of a dense one.
const GATHERED: usize = 4;

/// A matrix with weighted rows, [stored](by_rows) by rows if it is sparse.
pub(crate) struct Design<'a, T> {
    /// W A, W having the p-th roots of the weights, in units that are one almost always.
    pub rows: Adjusted<Matrix<'a, T>>,
    /// Whether rows are short enough for kernels that know their entries.
    is_short: bool,
}

/// `work` with the same matrix, stored by rows if it is sparse; in place of one that has fewer rows than columns, with one
/// of as many columns as its rank that has the same scores, for these weights and this ridge.
pub(crate) fn by_rows<T: Real, R>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    ridge: f64,
    work: impl FnOnce(Matrix<'_, T>) -> Result<R>,
) -> Result<R> {
    if let Some(narrow) = narrowed(context, a, weights, ridge == 0.0)? {
        return work(Matrix::Dense(narrow.as_ref()));
    }
    match a {
        Matrix::Sparse(sparse) if sparse.axis() == Axis::Columns => {
            let stored: SparseBuf<T> = sparse.along(context, Axis::Rows)?;
            work(Matrix::Sparse(stored.as_ref()))
        }
        a => work(a),
    }
}

/// A Q U for A' = Q R and R = U S V', of an A with fewer rows than columns: the same range, and the same ridge. `in_units`
/// takes columns in units of their own first, which leaves the range as it is, and not the ridge. `None` too where a row
/// has more than rounding in what S cuts off, or one of weight zero is not finite.
fn narrowed<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    in_units: bool,
) -> Result<Option<Mat<T>>> {
    let n = a.nrows();
    if n >= a.ncols() {
        return Ok(None);
    }
    let mut rows = Adjusted::new(a);
    if let Some(weights) = weights {
        let sign = |weight: &f64| f64::from(*weight > 0.0);
        rows.root_weights = Some(collected(weights.iter().map(sign), ROWS)?);
    }
    let design = Design { rows, is_short: false };
    let largest = design.rows.largest_in_columns(context)?;
    design.check(context, &largest)?;
    let turned: SparseBuf<T>;
    let mut columns = Adjusted::new(match a {
        Matrix::Dense(a) => Matrix::Dense(a.t()),
        Matrix::Sparse(a) if a.axis() == Axis::Columns => Matrix::Sparse(a.t()),
        Matrix::Sparse(a) => {
            turned = a.along(context, Axis::Columns)?;
            Matrix::Sparse(turned.as_ref().t())
        }
    });
    if in_units {
        let units = largest.iter().map(|&largest| power_of_two_below(largest).recip());
        columns.root_weights = Some(collected(units, "units of columns")?);
    }
    let r = tsqr(context, &columns)?;
    if !r.as_slice().iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let svd = svd_apart(context, r.copy()?)?;
    let rank = rank_of(&svd.s, cut_off(n, a.ncols(), T::UNIT_ROUNDOFF));
    let image = product(r.as_ref().t(), svd.u.as_ref())?;
    let square = |i: usize, columns: Range<usize>| columns.map(|k| image[(i, k)].powi(2)).sum::<f64>();
    let most = OUTSIDE.max(8.0 * T::UNIT_ROUNDOFF).powi(2);
    if (0..n).any(|i| square(i, rank..n) > most * square(i, 0..n)) {
        return Ok(None);
    }
    Mat::from_fn(n, rank, |i, k| T::from_f64(image[(i, k)])).map(Some)
}

impl<'a, T: Real> Design<'a, T> {
    /// A with rows that count as often as `weights` say in a sum of p-th powers; and its Gram matrix.
    pub fn new(
        context: &Context,
        a: Matrix<'a, T>,
        weights: Option<&[f64]>,
        p: f64,
    ) -> Result<(Self, Mat<f64>)> {
        let mut rows = Adjusted::new(a);
        if let Some(weights) = weights {
            let root = |weight: &f64| if p == 2.0 { weight.sqrt() } else { weight.powf(p.recip()) };
            rows.root_weights = Some(collected(weights.iter().map(root), "roots of weights")?);
        }
        let is_short = match a {
            Matrix::Dense(_) => false,
            Matrix::Sparse(a) => {
                let (cost, full) = (a.squared_row_lengths(context)?, a.ncols().saturating_mul(a.ncols()));
                cost.saturating_mul(GATHERED) < a.nrows().saturating_mul(full)
            }
        };
        let mut design = Self { rows, is_short };
        let gram = design.gram(context)?;
        if (0..gram.ncols()).all(|j| IN_RANGE.contains(&gram[(j, j)])) {
            return Ok((design, gram));
        }
        let largest = design.rows.largest_in_columns(context)?;
        design.check(context, &largest)?;
        let is_lost = |j: usize| largest[j] > 0.0 && !IN_RANGE.contains(&gram[(j, j)]);
        if !(0..gram.ncols()).any(is_lost) {
            return Ok((design, gram));
        }
        let units = largest.iter().map(|&largest| power_of_two_below(largest).recip());
        design.rows.scale = Some(collected(units, "units of columns")?);
        let gram = design.gram(context)?;
        Ok((design, gram))
    }

    /// An error unless all entries are finite and one of them at least is not zero.
    fn check(&self, context: &Context, largest: &[f64]) -> Result<()> {
        if largest.iter().any(|largest| !largest.is_finite())
            && let Some((i, j, value)) = match &self.rows.source {
                Matrix::Dense(_) => first_non_finite(context, &self.rows)?,
                Matrix::Sparse(a) => a.first_non_finite(context, self.rows.root_weights.as_deref())?,
            }
        {
            return Err(Error::non_finite("A", value, format!("[{i}, {j}]")));
        }
        match largest.iter().any(|&largest| largest != 0.0) {
            true => Ok(()),
            false => Err(Error::value("A", "zero everywhere", "a row that is not")),
        }
    }

    pub fn nrows(&self) -> usize {
        self.rows.source.nrows()
    }

    pub fn ncols(&self) -> usize {
        self.rows.source.ncols()
    }

    /// The rows, where kernels know their entries.
    fn sparse(&self) -> Option<&Sparse<'a, T>> {
        match &self.rows.source {
            Matrix::Sparse(a) if self.is_short && self.rows.scale.is_none() => Some(a),
            _ => None,
        }
    }

    /// A'A
    fn gram(&self, context: &Context) -> Result<Mat<f64>> {
        let Some(a) = self.sparse() else {
            return plain_gram(context, &self.rows);
        };
        self.sparse_gram(context, a, None)
    }

    /// A' D^2 A, both triangles.
    fn sparse_gram(
        &self,
        context: &Context,
        a: &Sparse<'_, T>,
        diagonal: Option<&[f64]>,
    ) -> Result<Mat<f64>> {
        let square = |i: usize| {
            let factor = diagonal.map_or(1.0, |diagonal| diagonal[i]);
            // A row of weight zero counts as zeros, whatever is in it.
            (self.rows.root_weight(i) * factor).powi(2)
        };
        let plain = diagonal.is_none() && self.rows.root_weights.is_none();
        let squares = if plain { None } else { Some(collected((0..a.nrows()).map(square), ROWS)?) };
        let mut gram = sparse_gram(context, a, squares.as_deref())?;
        for j in 0..gram.ncols() {
            (0..j).for_each(|i| gram[(i, j)] = gram[(j, i)]);
        }
        Ok(gram)
    }

    /// (A W)'(A W) for W = `whitener`.
    pub fn whitened_gram(&self, context: &Context, whitener: &Mat<f64>) -> Result<Mat<f64>> {
        let product = Product::Double;
        Ok(whitened_gram(context, &self.rows, whitener, product, Precision::Double, || (), |(), _, _| ())?
            .gram)
    }

    /// The squared norms of the rows of A W for W = `whitener`. Where `is_mild`, squares of the condition of W leave
    /// digits enough, so that W W' will do.
    pub fn squared_norms(
        &self,
        context: &Context,
        whitener: &Mat<f64>,
        is_mild: bool,
    ) -> Result<Buffer<f64>> {
        let Some(a) = self.sparse().filter(|_| is_mild) else {
            return leverages(context, &self.rows, whitener);
        };
        let mut norms = Buffer::zeros(a.nrows(), ROWS)?;
        quadratic_forms(context, a, product(whitener.as_ref(), whitener.as_ref().t())?.as_ref(), &mut norms)?;
        if let Some(roots) = &self.rows.root_weights {
            let squares = roots.iter().map(|root| root * root);
            norms
                .iter_mut()
                .zip(squares)
                .for_each(|(norm, square)| *norm = if square == 0.0 { 0.0 } else { *norm * square });
        }
        norms.iter_mut().for_each(|norm| *norm = norm.max(0.0));
        Ok(norms)
    }

    /// (D A W)'(D A W) for W = `whitener` and a diagonal D, and what `weigh` made of the rows: it is given the number
    /// of the first of some of them and the squared norms of these rows of A W, which it replaces by entries of D. Rows that are
    /// read one by one are multiplied like `by`.
    pub fn reweighted_gram<P: Send>(
        &self,
        context: &Context,
        whitener: &Mat<f64>,
        is_mild: bool,
        by: Product<'_>,
        part: impl Fn() -> P + Sync,
        weigh: impl Fn(&mut P, usize, &mut [f64]) + Sync,
    ) -> Result<(Mat<f64>, Vec<P>)> {
        let Some(a) = self.sparse().filter(|_| is_mild) else {
            let weigh =
                |made: &mut P, _: Dense<'_, f64>, first: usize, norms: &mut [f64]| weigh(made, first, norms);
            return weighted_whitened_gram(context, &self.rows, whitener, by, part, weigh);
        };
        let mut norms = self.squared_norms(context, whitener, true)?;
        let blocks = even_blocks(norms.len(), 1 << 14)?;
        let mut slices = Vec::new();
        let mut rest = &mut norms[..];
        for block in &blocks {
            let (slice, others) = rest.split_at_mut(block.len());
            push(&mut slices, slice, ROWS)?;
            rest = others;
        }
        let parts = context.map_parts(
            slices,
            || (),
            |(), block, norms: &mut [f64]| {
                let mut made = part();
                weigh(&mut made, blocks[block].start, norms);
                made
            },
        )?;
        let gram = self.sparse_gram(context, a, Some(&norms))?;
        let half = product(gram.as_ref(), whitener.as_ref())?;
        Ok((product(whitener.as_ref().t(), half.as_ref())?, parts))
    }

    /// Some rows of W A, one after the other.
    pub fn gather(&self, context: &Context, indices: &[usize]) -> Result<Mat<f64>> {
        let (mut gathered, mut buffer) = (Mat::zeros(self.ncols(), indices.len())?, Vec::new());
        for piece in context.pieces(0..indices.len()) {
            for at in piece? {
                let row = indices[at];
                let tile = self.rows.tile(row..row + 1, 0..self.ncols(), &mut buffer)?;
                gathered.col_mut(at).copy_from_slice(tile.stored_row(0));
            }
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::{entry, sparse_copy};

    #[test]
    fn fewer_rows_than_columns_become_a_basis_of_their_range() {
        let (n, d, rank, context) = (7, 40, 4, Context::new(1));
        let left = Mat::from_fn(n, rank, |i, j| if i == 3 { 0.0 } else { entry(i, j) }).unwrap();
        let a =
            product(left.as_ref(), Mat::from_fn(rank, d, |i, j| entry(j, i + 7)).unwrap().as_ref()).unwrap();
        let by_rows: Vec<f64> = (0..n * d).map(|at| a[(at / d, at % d)]).collect();
        let (csr, csc) = (sparse_copy(a.as_ref(), Axis::Rows), sparse_copy(a.as_ref(), Axis::Columns));
        for a in [
            Matrix::Dense(a.as_ref()),
            Matrix::Dense(Dense::row_major(&by_rows, n, d)),
            Matrix::Sparse(csr.as_ref()),
            Matrix::Sparse(csc.as_ref()),
        ] {
            let found = narrowed(&context, a, None, false).unwrap().unwrap();
            assert_eq!(found.ncols(), rank);
            assert!((0..rank).all(|k| found[(3, k)] == 0.0));
            let gram = product(found.as_ref().t(), found.as_ref()).unwrap();
            let inside = product(found.as_ref().t(), left.as_ref()).unwrap();
            let inside = Mat::from_fn(rank, rank, |i, j| inside[(i, j)] / gram[(i, i)]).unwrap();
            let again = product(found.as_ref(), inside.as_ref()).unwrap();
            for (again, left) in again.as_slice().iter().zip(left.as_slice()) {
                assert!((again - left).abs() < 1e-13);
            }
        }
        let tall = Mat::from_fn(5, 5, entry).unwrap();
        assert!(narrowed(&context, Matrix::Dense(tall.as_ref()), None, true).unwrap().is_none());
    }
}
