//! Products of a linear operator.

use super::{Products, check_shapes};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, LinearOperator, Mat};
use crate::parallel::Context;

impl Products for &dyn LinearOperator {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes(self.shape(), &x, &out)?;
        context.tick()?;
        copy(context, LinearOperator::product(*self, owned(x)?)?.as_ref(), out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes((self.ncols(), self.nrows()), &y, &out)?;
        context.tick()?;
        copy(context, LinearOperator::transposed_product(*self, owned(y)?)?.as_ref(), out)
    }
}

fn owned(x: Dense<'_, f64>) -> Result<Mat<f64>> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| x.get(i, j))
}

fn copy(context: &Context, from: Dense<'_, f64>, mut to: DenseMut<'_, f64>) -> Result<()> {
    for j in 0..from.ncols() {
        for rows in context.pieces(0..from.nrows()) {
            rows?.for_each(|i| to.set(i, j, from.get(i, j)));
        }
    }
    Ok(())
}
