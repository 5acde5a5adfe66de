//! Products of dense views.

use super::view::{view, view_mut};
use crate::matrix::{Dense, DenseMut, Real};
use faer::traits::RealField;
use faer::{Accum, Par};

/// The element types that the dense kernels are compiled for.
pub trait Scalar: Real + RealField {}
impl Scalar for f64 {}
impl Scalar for f32 {}

/// `out = alpha a b`, or `out += alpha a b` when `accumulate`.
///
/// Panics if the shapes do not fit.
pub fn matmul<T: Scalar>(out: DenseMut<'_, T>, accumulate: bool, a: Dense<'_, T>, b: Dense<'_, T>, alpha: T) {
    assert!(a.ncols() == b.nrows() && out.nrows() == a.nrows() && out.ncols() == b.ncols());
    let accum = if accumulate { Accum::Add } else { Accum::Replace };
    faer::linalg::matmul::matmul(view_mut(out), accum, view(a), view(b), alpha, Par::Seq);
}
