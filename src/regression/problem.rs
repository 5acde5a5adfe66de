//! What is asked: a problem as the caller states it.

use crate::matrix::{Dense, Matrix};

/// min |W^(1/2) (b - A x)|^2 + ridge |x|^2 for every column b of the targets, as the caller states it.
pub struct Problem<'a, T, M = Matrix<'a, T>> {
    /// n x d: a matrix or a linear operator.
    pub design: M,
    /// n x k.
    pub targets: Dense<'a, T>,
    /// One non-negative weight for every row, not all of them zero.
    pub weights: Option<&'a [f64]>,
    /// One non-negative number for every target, or one for all.
    pub ridge: &'a [f64],
    /// Adds an unpenalised constant to every fit.
    pub fit_intercept: bool,
}

/// What makes FGMRES converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// A factor of the weighted rows on both sides.
    Split,
    /// A factor of the rows without their weights, and the weighted Gram matrix that it makes small.
    Left,
}
