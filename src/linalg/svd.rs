//! Thin singular value decomposition.

use super::view::{scratch, view, view_mut};
use crate::error::{Error, Result};
use crate::matrix::{Dense, Mat};
use faer::Par;
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::svd::{self as routine, ComputeSvdVectors};

/// A = U diag(s) V' with orthonormal columns in U (m x k) and V (n x k), k = min(m, n), s descending.
pub struct Svd {
    /// Left singular vectors, m x k.
    pub u: Mat<f64>,
    /// Singular values, descending.
    pub s: Vec<f64>,
    /// Right singular vectors, n x k.
    pub v: Mat<f64>,
}

/// Thin SVD of A.
pub fn svd(a: Dense<'_, f64>) -> Result<Svd> {
    let (m, n) = (a.nrows(), a.ncols());
    let k = m.min(n);
    let (mut u, mut v) = (Mat::zeros(m, k)?, Mat::zeros(n, k)?);
    let mut s = vec![0.0; k];
    let thin = ComputeSvdVectors::Thin;
    let mut buffer = scratch(routine::svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default()))?;
    routine::svd(
        view(a),
        DiagMut::from_slice_mut(&mut s),
        Some(view_mut(u.as_mut())),
        Some(view_mut(v.as_mut())),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    )
    .map_err(|_| Error::Internal("the singular value decomposition did not converge".into()))?;
    Ok(Svd { u, s, v })
}
