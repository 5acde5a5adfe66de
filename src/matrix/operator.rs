//! Matrices that are known by their products alone.

use super::Mat;
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
    /// A X for d x k, all entries finite.
    fn product(&self, x: Mat<f64>) -> Result<Mat<f64>>;
    /// A'Y for n x k, all entries finite.
    fn transposed_product(&self, y: Mat<f64>) -> Result<Mat<f64>>;
}
