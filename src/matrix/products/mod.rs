//! Products of a matrix with a block of vectors: what iterations ask for, whatever the matrix is.
//!
//! Symbols: A is n x d, X is d x k, Y is n x k. Sums are in double precision and in an order that depends on A alone, so
//! that a column of a product of a sparse matrix has the bits that it has by itself.
//!
//! | file | what |
//! |---|---|
//! | `panel` | at most 32 vectors, row-major: an entry of A meets a contiguous run of numbers |
//! | `kernels` | compressed lines against a panel: gathered, scattered |
//! | `sparse` | [`Products`] of CSR and CSC |
//! | `operator` | [`Products`] of a linear operator |
//!
//! Those of dense arrays are on the floor of `linalg`, which knows how to multiply.

mod kernels;
mod operator;
mod panel;
mod sparse;

pub use panel::Panel;
pub(crate) use panel::{Spare, Staged};

use super::{Buffer, Dense, DenseMut};
use crate::error::{Error, Result};
use crate::parallel::Context;

/// A matrix that can be multiplied by vectors.
pub trait Products: Sync {
    /// Number of rows and columns.
    fn shape(&self) -> (usize, usize);
    /// out = A X.
    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()>;
    /// out = A'Y.
    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()>;
    /// out = A'A X. `image` is as large as A X, and anything afterwards.
    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        mut image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        self.product(context, x, image.reborrow())?;
        self.transposed_product(context, image.as_ref(), out)
    }
}

/// A matrix of which one read gives the norms of the columns.
pub trait ColumnNorms: Products {
    /// The squared norm of every column.
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>>;
}

/// Refuses factors whose shapes do not fit: `inner` rows of the vectors, `outer` of the product.
pub(crate) fn check_shapes(
    (outer, inner): (usize, usize),
    x: &Dense<'_, f64>,
    out: &DenseMut<'_, f64>,
) -> Result<()> {
    match (x.nrows(), out.nrows(), out.ncols()) == (inner, outer, x.ncols()) {
        true => Ok(()),
        false => Err(Error::Internal(format!(
            "{outer} x {inner} times {} x {} into {} x {}",
            x.nrows(),
            x.ncols(),
            out.nrows(),
            out.ncols()
        ))),
    }
}
