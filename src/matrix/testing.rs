//! What tests of several files multiply.

use super::{LinearOperator, Mat};
use crate::error::Result;

/// A matrix that pretends to be known by its products alone.
pub(crate) struct Known(pub Mat<f64>);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a known {} x {} matrix", self.0.nrows(), self.0.ncols())
    }
}

impl LinearOperator for Known {
    fn nrows(&self) -> usize {
        self.0.nrows()
    }

    fn ncols(&self) -> usize {
        self.0.ncols()
    }

    fn product(&self, x: Mat<f64>) -> Result<Mat<f64>> {
        let entry = |i, side| (0..self.0.ncols()).map(|j| self.0[(i, j)] * x[(j, side)]).sum();
        Mat::from_fn(self.0.nrows(), x.ncols(), entry)
    }

    fn transposed_product(&self, y: Mat<f64>) -> Result<Mat<f64>> {
        let entry = |j, side| (0..self.0.nrows()).map(|i| self.0[(i, j)] * y[(i, side)]).sum();
        Mat::from_fn(self.0.ncols(), y.ncols(), entry)
    }
}
