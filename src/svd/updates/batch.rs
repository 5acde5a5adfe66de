//! Rows that are appended, in the columns that they touch.

use crate::error::Result;
use crate::linalg::{gram_of_rows, plain_gram, sparse_gram};
use crate::matrix::{Axis, ColumnNorms, Mat, Matrix, Products, Real, Touched};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::simd::axpy;
use crate::svd::energy::sum_of_squares;

/// What memory is for.
const BATCH: &str = "a batch of rows";
/// Up to so many entries are multiplied one by one.
const FEW_ENTRIES: usize = 1 << 12;
/// Up to so many sparse rows are multiplied with each other pair by pair.
const FEW_ROWS: usize = 20;

/// Rows E.
pub(super) struct Batch<'a, B> {
    rows: Matrix<'a, B>,
    touched: Option<Touched>,
    every: Vec<usize>,
}

impl<'a, B: Real> Batch<'a, B> {
    /// Of a matrix that is dense or stored by rows.
    fn new(context: &Context, rows: Matrix<'a, B>) -> Result<Self> {
        match &rows {
            Matrix::Dense(_) => Self::of_all_columns(rows),
            Matrix::Sparse(sparse) => {
                Ok(Self { rows, touched: Some(Touched::of(context, sparse)?), every: Vec::new() })
            }
        }
    }

    /// Of a matrix of any kind whose empty columns are not worth leaving out.
    pub fn of_all_columns(rows: Matrix<'a, B>) -> Result<Self> {
        Ok(Self { rows, touched: None, every: collected(0..rows.ncols(), BATCH)? })
    }

    /// What `work` makes of the rows of a matrix in any order.
    pub fn with<R>(
        context: &Context,
        rows: &Matrix<'_, B>,
        work: impl FnOnce(&Batch<'_, B>) -> Result<R>,
    ) -> Result<R> {
        match rows {
            Matrix::Dense(_) => work(&Batch::new(context, *rows)?),
            Matrix::Sparse(rows) => {
                rows.by_rows(context, |rows| work(&Batch::new(context, Matrix::Sparse(*rows))?))
            }
        }
    }

    /// Number of rows, and of columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows.nrows(), self.rows.ncols())
    }

    /// The columns with entries, ascending.
    pub fn columns(&self) -> &[usize] {
        self.touched.as_ref().map_or(&self.every, |touched| &touched.columns)
    }

    /// E without its other columns.
    pub fn local(&self) -> Matrix<'_, B> {
        match (&self.rows, &self.touched) {
            (Matrix::Sparse(rows), Some(touched)) => Matrix::Sparse(touched.view(rows)),
            (rows, _) => *rows,
        }
    }

    /// E E'.
    pub fn gram(&self, context: &Context) -> Result<Mat<f64>> {
        let s = self.rows.nrows();
        match self.local() {
            Matrix::Dense(e) => plain_gram(context, &e.t()),
            Matrix::Sparse(e) if s <= FEW_ROWS => {
                let (mut out, mut work) = (Mat::zeros(s, s)?, zeros(e.ncols(), BATCH)?);
                gram_of_rows(&e, 0..s, &mut work, out.as_mut());
                Ok(out)
            }
            Matrix::Sparse(e) => {
                let by_columns = e.along(context, Axis::Columns)?;
                sparse_gram(context, &by_columns.as_ref().t(), None)
            }
        }
    }

    /// The squares of its entries.
    pub fn energy(&self, context: &Context) -> Result<f64> {
        match &self.rows {
            Matrix::Sparse(rows) => sum_of_squares(context, rows),
            Matrix::Dense(_) => Ok(self.rows.squared_column_norms(context)?.iter().sum()),
        }
    }

    /// E X of rows of X in its columns, row i in column i; so is the result.
    pub fn times(&self, context: &Context, x: &Mat<f64>) -> Result<Mat<f64>> {
        let mut out = Mat::zeros(x.nrows(), self.rows.nrows())?;
        match self.local() {
            Matrix::Sparse(e) if e.nnz() <= FEW_ENTRIES => {
                e.visit_rows(0..e.nrows(), |i, j, value| axpy(value, x.col(j), out.col_mut(i)));
            }
            e => e.product(context, x.as_ref().t(), out.as_mut().t())?,
        }
        Ok(out)
    }

    /// `out += E'W` of the rows of W, row i in column i; so is `out`.
    pub fn add_transposed_times(&self, context: &Context, w: &Mat<f64>, out: &mut Mat<f64>) -> Result<()> {
        match self.local() {
            Matrix::Sparse(e) if e.nnz() <= FEW_ENTRIES => {
                e.visit_rows(0..e.nrows(), |i, j, value| axpy(value, w.col(i), out.col_mut(j)));
            }
            e => {
                let mut more = Mat::zeros(w.nrows(), out.ncols())?;
                e.transposed_product(context, w.as_ref().t(), more.as_mut().t())?;
                axpy(1.0, more.as_slice(), out.as_mut_slice());
            }
        }
        Ok(())
    }

    /// E'W of the rows of W.
    pub fn transposed_times(&self, context: &Context, w: &Mat<f64>) -> Result<Mat<f64>> {
        let mut out = Mat::zeros(w.nrows(), self.columns().len())?;
        self.add_transposed_times(context, w, &mut out)?;
        Ok(out)
    }
}

/// `visit(i, j, value)` of all entries.
pub(super) fn visit_entries<B: Real>(a: &Matrix<'_, B>, mut visit: &mut dyn FnMut(usize, usize, f64)) {
    match a {
        Matrix::Sparse(a) => a.visit_rows(0..a.nrows(), &mut visit),
        Matrix::Dense(a) => {
            for (i, j) in (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))) {
                visit(i, j, a.get(i, j).to_f64());
            }
        }
    }
}

/// The transposed matrix.
pub(super) fn transposed<'a, B: Real>(a: &Matrix<'a, B>) -> Matrix<'a, B> {
    match a {
        Matrix::Dense(a) => Matrix::Dense(a.t()),
        Matrix::Sparse(a) => Matrix::Sparse(a.t()),
    }
}
