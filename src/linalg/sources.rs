//! Dense arrays, and matrices of either kind, as what is multiplied and adjusted.

use super::rows::{product_of_rows, transposed_product_of_rows};
use crate::error::Result;
use crate::matrix::{
    Adjusted, Buffer, ColumnNorms, Dense, DenseMut, Matrix, Products, Real, Source, row_blocks,
};
use crate::parallel::Context;
use std::ops::Range;

/// Adjusted a tile at a time.
impl<T: Real> Source for Dense<'_, T> {
    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        row_blocks(self.nrows(), self.ncols())
    }

    fn adjusted_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        x: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        product_of_rows(context, adjusted, x, out)
    }

    fn adjusted_transposed_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        y: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        transposed_product_of_rows(context, adjusted, y, out)
    }
}

impl<T: Real> Source for Matrix<'_, T> {
    fn stored(&self) -> Option<usize> {
        match self {
            Self::Dense(a) => a.stored(),
            Self::Sparse(a) => a.stored(),
        }
    }

    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        match self {
            Self::Dense(a) => a.blocks(),
            Self::Sparse(a) => a.blocks(),
        }
    }

    fn adjusted_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        x: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        match &adjusted.source {
            Self::Dense(_) => product_of_rows(context, adjusted, x, out),
            Self::Sparse(a) => adjusted.product_as_it_is(a, context, x, out),
        }
    }

    fn adjusted_transposed_product(
        adjusted: &Adjusted<Self>,
        context: &Context,
        y: Dense<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        match &adjusted.source {
            Self::Dense(_) => transposed_product_of_rows(context, adjusted, y, out),
            Self::Sparse(a) => adjusted.transposed_product_as_it_is(a, context, y, out),
        }
    }
}

impl<T: Real> Products for Matrix<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        match self {
            Self::Dense(a) => a.product(context, x, out),
            Self::Sparse(a) => a.product(context, x, out),
        }
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        match self {
            Self::Dense(a) => a.transposed_product(context, y, out),
            Self::Sparse(a) => a.transposed_product(context, y, out),
        }
    }

    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        match self {
            Self::Dense(a) => a.gram_product(context, x, image, out),
            Self::Sparse(a) => a.gram_product(context, x, image, out),
        }
    }
}

impl<T: Real> ColumnNorms for Matrix<'_, T> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        match self {
            Self::Dense(a) => a.squared_column_norms(context),
            Self::Sparse(a) => a.squared_column_norms(context),
        }
    }
}
