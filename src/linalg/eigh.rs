//! Symmetric eigendecomposition.

use super::view::{scratch, view, view_mut};
use crate::error::{Error, Result};
use crate::matrix::Mat;
use faer::Par;
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{self, ComputeEigenvectors};

/// Eigenvalues, ascending, and orthonormal eigenvectors (columns) of a symmetric A, of which only the
/// lower triangle is read.
///
/// Panics if A is not square.
pub fn eigh(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    assert_eq!(n, a.ncols());
    let mut values = vec![0.0; n];
    let mut vectors = Mat::zeros(n, n)?;
    let wanted = ComputeEigenvectors::Yes;
    let mut buffer = scratch(evd::self_adjoint_evd_scratch::<f64>(n, wanted, Par::Seq, Default::default()))?;
    evd::self_adjoint_evd(
        view(a.as_ref()),
        DiagMut::from_slice_mut(&mut values),
        Some(view_mut(vectors.as_mut())),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    )
    .map_err(|_| Error::Internal("the eigendecomposition did not converge".into()))?;
    Ok((values, vectors))
}
