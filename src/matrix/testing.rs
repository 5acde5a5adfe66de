//! What tests of several files multiply.

use super::{Dense, DenseMut, LinearOperator, Mat};
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

    fn product(&self, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        multiply(self.0.as_ref(), x, out);
        Ok(())
    }

    fn transposed_product(&self, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        multiply(self.0.as_ref().t(), y, out);
        Ok(())
    }
}

/// out = A X by the definition.
fn multiply(a: Dense<'_, f64>, x: Dense<'_, f64>, mut out: DenseMut<'_, f64>) {
    for (i, side) in (0..a.nrows()).flat_map(|i| (0..x.ncols()).map(move |side| (i, side))) {
        out.set(i, side, (0..a.ncols()).map(|j| a.get(i, j) * x.get(j, side)).sum());
    }
}
