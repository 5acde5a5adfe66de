//! Factorisations that take seconds and know no blocks, on a thread of their own: an interrupt is heard meanwhile.

use super::view::make_workspace;
use super::{Svd, eigh, svd};
use crate::error::Result;
use crate::matrix::Mat;
use crate::parallel::Context;

/// [`svd()`] of a matrix that is given away.
pub fn svd_apart(context: &Context, a: Mat<f64>) -> Result<Svd> {
    let (m, n) = (a.nrows() as f64, a.ncols() as f64);
    apart(context, 20.0 * m * n * m.min(n), move || svd(a.as_ref()))
}

/// [`eigh()`] of a matrix that is given away.
pub fn eigh_apart(context: &Context, a: Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    apart(context, 10.0 * (a.nrows() as f64).powi(3), move || eigh(&a))
}

/// Any `work` of about so many flops; see [`Context::apart`].
pub fn apart<T: Send + 'static>(
    context: &Context,
    flops: f64,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    context.apart(flops, move || make_workspace().and_then(|()| work()))
}
