//! Matrices that are known by their products alone.

use super::{Dense, DenseMut};
use crate::error::Result;

/// An n x d matrix A of which nobody sees the entries.
///
/// Only the thread that entered the library asks for products, never a worker: whoever makes them may be bound
/// to that thread.
pub trait LinearOperator: Sync + std::fmt::Debug {
    /// Number of rows.
    fn nrows(&self) -> usize;
    /// Number of columns.
    fn ncols(&self) -> usize;
    /// out = A X for finite X, d x k.
    fn product(&self, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()>;
    /// out = A'Y for finite Y, n x k.
    fn transposed_product(&self, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()>;
}
