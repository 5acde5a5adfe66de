//! Fewer rows than columns: R of the rows, by their products or by reflections, and a basis of the space that they span.
//!
//! Rows are divided by their norms t, which changes the condition and not the answer. Below them lie the roots of the ridge, and
//! what makes R regular where columns are centred, which takes the direction of the root weights from the rows: that
//! direction, which answers do not see.

use crate::error::Result;
use crate::linalg::{self, Precision, Sum, empty_columns, norm, normalise_columns};
use crate::matrix::{
    Dense, DenseMut, Mat, Matrix, Real, Rows, Sparse, TILE, even_blocks, make_rows, power_of_two_below,
};
use crate::memory::{collected, copied, filled, reset, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::refine::Group;
use crate::simd::{axpy, rows_of_columns};
use std::ops::Range;

/// R with R'R = T^-1 A A' T^-1, and what lies below.
pub(crate) struct RowFactor {
    /// Norms of the rows, one where there is no row.
    pub t: Vec<f64>,
    pub r: Mat<f64>,
    /// What lies below A', transposed, where R is that of A to rounding.
    below: Option<Mat<f64>>,
    /// What rounding to digits has changed all rows by, in the Frobenius norm.
    pub rounding: f64,
}

impl RowFactor {
    /// By TSQR of A', for 2 n² d flops; none where a row is zero and its equation cannot be met.
    pub fn by_reflections<T: Real>(group: &Group<'_, '_, T>) -> Result<Option<Self>> {
        let (n, design) = (group.design.nrows(), group.design);
        let mut r = linalg::tsqr(group.context, &Transposed::of(design))?;
        let absent = |i: usize| design.weight(i) == 0.0;
        if empty_columns(&r).any(|i| !absent(i)) {
            return Ok(None);
        }
        let t = normalise_columns(&mut r)?;
        if !are_plain(&t) {
            return Ok(None);
        }
        (0..n).filter(|&i| absent(i)).for_each(|i| r[(i, i)] = 1.0);
        let along = direction(group, &t)?;
        let roots = if group.ridge > 0.0 { n } else { 0 };
        let root = |i: usize| if absent(i) { 0.0 } else { group.ridge.sqrt() / t[i] };
        let below = Mat::from_fn(n, roots + usize::from(along.is_some()), |i, j| match &along {
            Some(along) if j == roots => along[i],
            _ if i == j => root(i),
            _ => 0.0,
        })?;
        if below.ncols() > 0 {
            let entry = |i: usize, j: usize| if i < n { r[(i, j)] } else { below[(j, i - n)] };
            r = linalg::tsqr(group.context, &Mat::from_fn(n + below.ncols(), n, entry)?.as_ref())?;
        }
        Ok(Some(Self { t, r, below: Some(below), rounding: 0.0 }))
    }

    /// Q' = R'^-1 T^-1 A, where R is that of A, which has this condition; none if there is no such.
    ///
    /// Substitution makes Q R the transpose of A to rounding, whatever the condition. How far Q is from orthonormal grows with
    /// that: refinement mends it where it is little, and else another triangle, that of Q.
    pub fn basis<T: Real>(&mut self, group: &Group<'_, '_, T>, condition: f64) -> Result<Option<Mat<f64>>> {
        let Some(below) = &self.below else { return Ok(None) };
        let (context, n, d) = (group.context, group.design.nrows(), group.design.ncols());
        let transposed = Transposed::of(group.design);
        let mut basis = Mat::zeros(n, d)?;
        let (blocks, columns) = (even_blocks(d, COLUMNS)?, basis.as_mut().t());
        make_rows(context, columns, &blocks, n, |buffer, columns, out| {
            let tile = transposed.tile(columns.clone(), 0..n, buffer)?;
            for (j, column) in out.chunks_exact_mut(n).enumerate() {
                column.iter_mut().enumerate().for_each(|(i, value)| *value = tile.get(j, i) / self.t[i]);
            }
            linalg::solve_upper_transposed(self.r.as_ref(), DenseMut::column_major(out, n, columns.len()));
            Ok(())
        })?;
        if condition <= LOOSE {
            return Ok(Some(basis));
        }
        let mut rest = below.copy()?;
        linalg::solve_upper_transposed(self.r.as_ref(), rest.as_mut());
        let Some(second) = triangle_of(group, &basis, &rest)? else { return Ok(None) };
        let parts = basis.as_mut_slice().chunks_mut(n * COLUMNS);
        let solve = |(): &mut (), _, part: &mut [f64]| {
            let columns = part.len() / n;
            linalg::solve_upper_transposed(second.as_ref(), DenseMut::column_major(part, n, columns));
        };
        context.map_parts(parts, || (), solve)?;
        self.r = linalg::multiply_upper(second.as_ref(), self.r.as_ref())?;
        Ok(Some(basis))
    }

    /// True if answers are to be made of a basis.
    pub fn wants_basis(&self) -> bool {
        self.below.is_some()
    }
}

/// R with R'R = Q'Q of a Q that is nearly orthonormal, in two parts.
fn triangle_of<T: Real>(
    group: &Group<'_, '_, T>,
    basis: &Mat<f64>,
    rest: &Mat<f64>,
) -> Result<Option<Mat<f64>>> {
    let mut gram = linalg::plain_gram(group.context, &basis.as_ref().t())?;
    linalg::matmul(gram.as_mut(), true, rest.as_ref(), rest.as_ref().t(), 1.0);
    // Nothing of an absent row is in either.
    let absent = (0..basis.nrows()).filter(|&i| group.design.weight(i) == 0.0);
    absent.for_each(|i| gram[(i, i)] += 1.0);
    linalg::cholesky(&gram)
}

/// Columns of a basis that are made at once.
const COLUMNS: usize = 128;
/// Up to this condition refinement makes up for what substitution leaves.
const LOOSE: f64 = 1e9;

/// True if the squares of lengths are in range.
fn are_plain(lengths: &[f64]) -> bool {
    lengths.iter().all(|length| (1e-100..=1e100).contains(length))
}

/// What is added to A A' where the columns are centred, and all the answers y have no part of.
fn direction<T: Real>(group: &Group<'_, '_, T>, t: &[f64]) -> Result<Option<Vec<f64>>> {
    if group.design.means().is_none() {
        return Ok(None);
    }
    let root = |i: usize| group.design.root_weight(i);
    // The root weights times T are orthogonal to A; over T, they are to y where that is over a ridge.
    let entry = |i: usize| if group.ridge > 0.0 { root(i) / t[i] } else { root(i) * t[i] };
    let mut along = collected((0..t.len()).map(entry), SIZES)?;
    let length = norm(&along);
    along.iter_mut().for_each(|value| *value /= length);
    Ok(Some(along))
}

/// What memory is for.
const SIZES: &str = "lengths of rows";

/// A A' in one read of A, to be shared by all ridges.
pub(crate) struct RowGram {
    /// Of rows over their norms, of which only the lower triangle is read.
    gram: Mat<f64>,
    /// Norms of the rows, one where there is no row.
    t: Vec<f64>,
    /// What rounding to digits has changed all rows by, in the Frobenius norm.
    rounding: f64,
}

impl RowGram {
    /// From A A' itself, the lower triangle.
    pub fn of_products<T: Real>(context: &Context, design: &Design<'_, T>, gram: Mat<f64>) -> Result<Self> {
        let powers = filled(1.0, gram.ncols(), SIZES)?;
        Self::of_scaled(context, design, gram, &powers)
    }

    /// From that of rows times powers of two.
    fn of_scaled<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        mut gram: Mat<f64>,
        powers: &[f64],
    ) -> Result<Self> {
        let n = powers.len();
        let length = |i: usize| match design.weight(i) {
            0.0 => 1.0,
            _ => gram[(i, i)].sqrt() / powers[i],
        };
        let t = collected((0..n).map(length), SIZES)?;
        let units = collected((0..n).map(|i| (t[i] * powers[i]).recip()), SIZES)?;
        let columns = gram.as_mut_slice().chunks_mut((n * COLUMNS).max(1));
        context.map_parts(
            columns,
            || (),
            |(), block, columns| {
                for (j, column) in (block * COLUMNS..).zip(columns.chunks_exact_mut(n)) {
                    let entries = column[j..].iter_mut().zip(&units[j..]);
                    entries.for_each(|(entry, unit)| *entry *= unit * units[j]);
                    column[j] = 1.0;
                }
            },
        )?;
        Ok(Self { gram, t, rounding: 0.0 })
    }

    /// Reads A, whose rows have these largest magnitudes; `None` if its columns cannot be centred afterwards.
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        precision: Precision,
        largest: &[f64],
    ) -> Result<Option<Self>> {
        if let Matrix::Sparse(matrix) = &design.a.source {
            let gram = sparse_row_gram(context, design, matrix)?;
            return gram.map(|gram| Self::of_products(context, design, gram)).transpose();
        }
        let power = |&largest: &f64| power_of_two_below(largest).recip();
        let powers = collected(largest.iter().map(power), SIZES)?;
        let Sum { gram, rounding, .. } = Transposed::of(design).gram(context, precision, &powers)?;
        let rounding = linalg::relative_rounding(&rounding, |i| gram[(i, i)]);
        Ok(Some(Self { rounding, ..Self::of_scaled(context, design, gram, &powers)? }))
    }

    /// R by Cholesky; none where it breaks down, or a row is zero and its equation cannot be met.
    pub fn factor<T: Real>(&self, group: &Group<'_, '_, T>) -> Result<Option<RowFactor>> {
        let (n, t) = (self.t.len(), copied(&self.t, SIZES)?);
        if !are_plain(&t) {
            return Ok(None);
        }
        let along = direction(group, &t)?;
        if group.ridge == 0.0 && along.is_none() {
            let r = linalg::parallel_cholesky(group.context, &self.gram)?;
            return Ok(r.map(|r| RowFactor { t, r, below: None, rounding: self.rounding }));
        }
        let mut gram = self.gram.copy()?;
        for j in 0..n {
            let column = &mut gram.col_mut(j)[j..];
            if let Some(along) = &along {
                axpy(along[j], &along[j..], column);
            }
            if group.design.weight(j) > 0.0 {
                column[0] += (group.ridge.sqrt() / t[j]).powi(2);
            }
        }
        let r = linalg::parallel_cholesky(group.context, &gram)?;
        Ok(r.map(|r| RowFactor { t, r, below: None, rounding: self.rounding }))
    }
}

/// A A' of sparse rows, their columns centred by what is taken off afterwards, in the lower triangle; `None` if that, or
/// columns of extreme units, would spoil it.
pub(crate) fn sparse_row_gram<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    matrix: &Sparse<'_, T>,
) -> Result<Option<Mat<f64>>> {
    let n = design.nrows();
    if design.a.scale.iter().flatten().any(|&power| power != 0.0 && power != 1.0) {
        return Ok(None);
    }
    let mut gram = matrix.t().by_rows(context, |columns| linalg::sparse_gram(context, columns, None))?;
    let mut is_spoilt = false;
    if let Some(means) = design.means() {
        let mut fits: Vec<f64> = zeros(n, "products with rows")?;
        matrix.visit_rows(0..n, |i, j, value| fits[i] += value * means[j]);
        let square: f64 = means.iter().map(|mean| mean * mean).sum();
        for j in 0..n {
            let before = gram[(j, j)];
            (j..n).for_each(|i| gram[(i, j)] += square - fits[i] - fits[j]);
            is_spoilt |= before > MOST_TAKEN_OFF * gram[(j, j)] && design.root_weight(j) > 0.0;
        }
    }
    for j in 0..n {
        let root = design.root_weight(j);
        (j..n).for_each(|i| gram[(i, j)] *= root * design.root_weight(i));
    }
    Ok((!is_spoilt).then_some(gram))
}

/// Squared rows that are longer by this before their columns are centred have lost digits.
const MOST_TAKEN_OFF: f64 = 100.0;

/// A' as rows.
pub(crate) struct Transposed<'p, 'm, 'a, T> {
    design: &'p Design<'a, T, Matrix<'m, T>>,
    /// Where nothing is done to A.
    view: Option<Dense<'m, T>>,
}

impl<'p, 'm, 'a, T: Real> Transposed<'p, 'm, 'a, T> {
    pub fn of(design: &'p Design<'a, T, Matrix<'m, T>>) -> Self {
        Self { design, view: design.untouched().map(|a| a.t()) }
    }

    /// A A', rows of A times these numbers.
    pub fn gram(&self, context: &Context, precision: Precision, scale: &[f64]) -> Result<Sum<()>> {
        let nothing = |(): &mut (), _: Dense<'_, f64>, _| ();
        linalg::gram(context, self, precision, scale, || (), nothing)
    }
}

impl<T: Real> Rows for Transposed<'_, '_, '_, T> {
    fn nrows(&self) -> usize {
        self.design.ncols()
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
        if let Some(view) = &self.view {
            return view.tile(rows, cols, buffer);
        }
        let (nrows, ncols, mut scratch) = (rows.len(), cols.len(), Vec::new());
        let tile = self.design.a.tile(cols, rows, &mut scratch)?;
        reset(buffer, nrows * ncols, TILE)?;
        rows_of_columns(tile.data(), tile.row_stride(), (nrows, ncols), buffer, ncols);
        Ok(Dense::row_major(buffer, nrows, ncols))
    }
}
