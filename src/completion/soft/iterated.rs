//! Z ← S_λ(P(V) + what Z has elsewhere) (Mazumder, Hastie and Tibshirani, JMLR 2010): a step of gradient descent, of length
//! one, and the thresholding of all singular values, on whole matrices.

use super::alternating::Patience;
use super::solution::Solution;
use crate::completion::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::{product, svd_apart};
use crate::matrix::Mat;
use crate::parallel::Context;

/// From one solution to that of another penalty; the steps that took.
pub fn iterate(
    context: &Context,
    (lines, part): (&Lines<f64>, Part),
    from: Solution,
    (most, lambda): (usize, f64),
    patience: Patience,
) -> Result<(Solution, usize)> {
    let (mut found, mut before, mut steps) = (from, f64::INFINITY, 0);
    while steps < patience.max_iter {
        let mut whole = dense(&found)?;
        let mut square = 0.0;
        for row in 0..lines.count() {
            lines.matrix().visit(lines.line(row, part), |column, value| {
                square += (value - whole[(row, column)]).powi(2);
                whole[(row, column)] = value;
            });
        }
        let value = 0.5 * square + lambda * found.values.iter().sum::<f64>();
        if before - value <= patience.tol * value {
            break;
        }
        before = value;
        found = Solution::thresholded(&svd_apart(context, whole)?, lambda, most)?;
        steps += 1;
    }
    Ok((found, steps))
}

/// The matrix itself.
fn dense(solution: &Solution) -> Result<Mat<f64>> {
    let Solution { left, values, right } = solution;
    let scaled = Mat::from_fn(left.nrows(), values.len(), |i, c| left[(i, c)] * values[c])?;
    product(scaled.as_ref(), right.as_ref().t())
}
