//! What is left of rows that are left out where they are fewer than the columns: from A A' alone.
//!
//! With C = A A' + ridge I the residuals are ridge C^-1 b and 1 - H = ridge C^-1, less w w' / |w|² for an intercept, w being
//! the root weights, which A' takes to zero where columns are centred. A residual over 1 - h_ii is then
//! (C^-1 b)_i / (C^-1)_ii, and nothing cancels for small ridges. For an intercept C has a square of w's direction more, of the
//! size of what else is in C, so that the part of it that is to be taken off is small.
//!
//! A A' is brought to tridiagonal form once, for 8/3 n³ flops: a third of what its eigenvectors take.

use crate::error::Result;
use crate::linalg::{self, Resolvents};
use crate::matrix::{Mat, Matrix, Real};
use crate::memory::collected;
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::methods::row_factor::{Transposed, sparse_row_gram};

/// Up to this condition singular values and vectors are those of A'A: twelve digits are left of them.
pub(super) const MOST_FOR_GRAM: f64 = 100.0;

/// Rows up to which A A' stays in a cache while it is brought to tridiagonal form.
const MOST_ROWS: usize = 512;
/// Beyond this share of the squared weights a row leaves too little to the others.
const HEAVY: f64 = 0.9;

/// The residuals that [`super::ridge_left_out`] is about, in the units of the solvers, and A A'; `None` where there are many rows,
/// or ones that are better read otherwise.
pub(super) fn left_out<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    alphas: &[f64],
) -> Result<Option<(Mat<f64>, Mat<f64>)>> {
    let (n, k) = (design.nrows(), design.ntargets());
    let least = alphas.iter().copied().fold(f64::INFINITY, f64::min);
    let share = |i: usize| match design.means() {
        Some(_) => design.root_weight(i) / design.weight_norm(),
        None => 0.0,
    };
    if n >= design.ncols() || n > MOST_ROWS || least <= 0.0 || (0..n).any(|i| share(i).powi(2) > HEAVY) {
        return Ok(None);
    }
    let Some(gram) = row_gram(context, design)? else { return Ok(None) };
    let square = (0..n).map(|i| gram[(i, i)]).sum::<f64>() / n as f64;
    if !gram.as_slice().iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let Some(mut resolvents) = Resolvents::new(&along_weights(design, &gram, square)?)? else {
        return Ok(None);
    };
    let most = resolvents.largest();
    if !resolvents.is_above(most / MOST_FOR_GRAM.powi(2) - least)? {
        return Ok(None);
    }
    let targets = Mat::from_fn(n, k, |i, target| design.target(i, target))?;
    let (diagonals, solved) = (resolvents.diagonals(alphas)?, resolvents.solve(alphas, &targets)?);
    let residuals = Mat::from_fn(alphas.len() * k, n, |c, i| {
        let (target, alpha) = (c / alphas.len(), c % alphas.len());
        let left = solved[(i, alpha * k + target)];
        let is_nothing = left == 0.0 || design.root_weight(i) == 0.0;
        if is_nothing {
            0.0
        } else {
            left / (diagonals[(i, alpha)] - share(i).powi(2) / (alphas[alpha] + square))
        }
    })?;
    Ok(Some((residuals, gram)))
}

/// A A', the lower triangle, if it is not spoilt by centring.
pub(super) fn row_gram<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Option<Mat<f64>>> {
    match &design.a.source {
        Matrix::Sparse(matrix) => sparse_row_gram(context, design, matrix),
        Matrix::Dense(_) => linalg::plain_gram(context, &Transposed::of(design)).map(Some),
    }
}

/// A A' with this eigenvalue along the direction that centring takes, that of the root weights.
pub(super) fn along_weights<T: Real>(
    design: &Design<'_, T>,
    gram: &Mat<f64>,
    eigenvalue: f64,
) -> Result<Mat<f64>> {
    let (n, mut gram) = (gram.ncols(), gram.copy()?);
    if design.means().is_some() {
        let share = |i: usize| design.root_weight(i) / design.weight_norm();
        let shares = collected((0..n).map(share), "shares of rows")?;
        for j in 0..n {
            (j..n).for_each(|i| gram[(i, j)] += eigenvalue * shares[i] * shares[j]);
        }
    }
    Ok(gram)
}
