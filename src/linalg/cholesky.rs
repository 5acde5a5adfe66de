//! Cholesky factorisation.

use super::view::{scratch, view_mut};
use crate::matrix::Mat;
use faer::Par;
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};

/// The upper triangle R, zero below its diagonal, with R'R = G for a symmetric G of which only the lower
/// triangle is read. `None` when G is not positive definite to working precision, holds NaN or an
/// infinity, or when memory is short.
///
/// Panics if G is not square.
pub fn cholesky(g: &Mat<f64>) -> Option<Mat<f64>> {
    let n = g.nrows();
    assert_eq!(n, g.ncols());
    // The lower triangle of G by columns is the upper triangle of G' by rows: R' is found in the
    // transposed view, so that R ends up column-major.
    let mut r = Mat::from_fn(n, n, |i, j| if i <= j { g[(j, i)] } else { 0.0 }).ok()?;
    let mut buffer = scratch(cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default())).ok()?;
    let stack = faer::dyn_stack::MemStack::new(&mut buffer);
    cholesky_in_place(view_mut(r.as_mut().t()), Default::default(), Par::Seq, stack, Default::default())
        .ok()?;
    r.as_slice().iter().all(|value| value.is_finite()).then_some(r)
}
