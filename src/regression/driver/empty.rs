//! Problems without rows or without columns: x = 0 is the answer of least norm, and there is nothing to round.

use crate::error::{Error, Result};
use crate::matrix::{Buffer, Real};
use crate::parallel::Context;
use crate::regression::bounds::forward::ForwardError;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::problem::Problem;

/// The answer to a problem of `shape`, in which one number is zero; there may be no targets either.
pub(crate) fn answer<T: Real, M>(
    context: &Context,
    problem: &Problem<'_, T, M>,
    (n, d): (usize, usize),
    params: &Params,
) -> Result<Output> {
    let mut output = Output::empty::<T>(d, problem.targets.ncols(), params)?;
    if params.method == Method::Auto {
        output.method = Method::Qr;
    }
    // What is penalised is determined.
    output.rank = Some(if problem.ridge.iter().all(|&ridge| ridge > 0.0) { d } else { 0 });
    output.explanation = format!("nothing to solve: A has shape ({n}, {d})");
    output.forward = params.certify.then(|| ForwardError::none(d, problem.targets.ncols())).transpose()?;
    for (target, norm) in output.residual_norm.iter_mut().enumerate() {
        context.tick()?;
        *norm = norm_of(problem, target)?;
    }
    Ok(output)
}

/// |W^(1/2) b|, which neither overflows nor underflows on the way.
fn norm_of<T: Real, M>(problem: &Problem<'_, T, M>, target: usize) -> Result<f64> {
    let mut entries = Buffer::zeros(problem.targets.nrows(), "a right-hand side")?;
    for (row, out) in entries.iter_mut().enumerate() {
        let value = problem.targets.get(row, target).to_f64();
        if !value.is_finite() {
            return Err(Error::non_finite("b", value, format!("[{row}, {target}]")));
        }
        *out = value * problem.weights.map_or(1.0, |weights| weights[row].sqrt());
    }
    let largest = entries.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
    let squares = entries.iter().map(|entry| (entry / largest).powi(2)).sum::<f64>();
    Ok(if largest == 0.0 { 0.0 } else { largest * squares.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};
    use crate::regression::lstsq;

    #[test]
    fn without_rows_or_columns_the_answer_is_zero_and_the_residual_is_b() {
        let context = Context::new(1);
        let b = [3e200, 1.0, 4e200, 2.0];
        let solve = |n: usize, d: usize, b: &[f64], weights: Option<&[f64]>| {
            let problem = Problem {
                design: Matrix::Dense(Dense::row_major(&[], n, d)),
                targets: Dense::row_major(b, n, 2),
                weights,
                ridge: &[0.0],
                fit_intercept: false,
            };
            lstsq(&context, &problem, &Params::default())
        };
        let output = solve(2, 0, &b, Some(&[1.0, 4.0])).unwrap();
        assert_eq!((output.rank, output.x.nrows(), output.x.ncols()), (Some(0), 0, 2));
        assert!((output.residual_norm[0] / 73f64.sqrt() - 1e200).abs() < 1e186);
        assert!((output.residual_norm[1] - 17f64.sqrt()).abs() < 1e-15);
        let output = solve(0, 3, &[], None).unwrap();
        assert_eq!(output.x.as_slice(), [0.0; 6]);
        assert_eq!(output.residual_norm, [0.0; 2]);
        assert!(solve(2, 0, &[1.0, 2.0, f64::NAN, 0.0], None).is_err());
    }
}
