//! A step of scaled gradient descent: both factors at once, each against its slope, preconditioned by the Gram matrix of the
//! other (Tong, Ma and Chi, JMLR 2021), so that the rate does not depend on the condition of the matrix.
//!
//! A line with n entries takes (n Y'Y / N + l)^-1 of its slope, N being the rows of Y, which is their (Y'Y)^-1 / p where
//! entries are observed with probability p, and stays stable where some lines have many more than others. The Gram matrix is
//! damped by what is left of the values, as in PrecGD (Zhang, Fattahi and Zhang, NeurIPS 2021), without which directions
//! that the matrix does not have, where more components are asked for than it has, take steps without bound.

use super::errors::{errors, pulls};
use super::factors::Factor;
use super::half::{Penalty, gram_of, multiply};
use super::observations::{Lines, Observations, Part};
use crate::error::Result;
use crate::linalg::{Scalar, eigh};
use crate::matrix::Mat;
use crate::memory::collected;
use crate::parallel::Context;
use crate::simd::norm_sq;

/// Length of a step, half of what would solve for one side alone.
const STEP: f64 = 0.5;
/// Of the mean eigenvalue of a Gram matrix, times what is left of a value in units of their size: what is added to it. More
/// would make small eigenvalues as slow as they are without a preconditioner.
const DAMPING: f64 = 0.01;
/// It is halved until the objective falls, at most so often.
const HALVINGS: usize = 20;

/// Moves both factors; the objective there.
pub fn scaled_step<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
    penalty: Penalty,
) -> Result<f64> {
    let objective = |rows: &Factor<T>, columns: &Factor<T>| {
        let errors = errors(context, &observed.rows, part, (rows, columns))?;
        let penalties = penalty_of(&observed.rows, part, rows, penalty)
            + penalty_of(&observed.columns, part, columns, penalty);
        Ok((errors.squares + penalties, (errors.squares / errors.count).sqrt()))
    };
    let (before, left) = objective(rows, columns)?;
    let of_rows = direction(context, &observed.rows, part, (rows, columns), penalty, left)?;
    let of_columns = direction(context, &observed.columns, part, (columns, rows), penalty, left)?;
    let start = (rows.copy()?, columns.copy()?);
    let mut step = STEP;
    for _ in 0..HALVINGS {
        moved(rows, &start.0, &of_rows, step);
        moved(columns, &start.1, &of_columns, step);
        let (after, _) = objective(rows, columns)?;
        if after <= before {
            return Ok(after);
        }
        step *= 0.5;
    }
    rows.copy_from(&start.0);
    columns.copy_from(&start.1);
    Ok(before)
}

/// The penalties of a factor.
fn penalty_of<T: Scalar>(lines: &Lines<T>, part: Part, x: &Factor<T>, penalty: Penalty) -> f64 {
    let of_line = |i: usize| {
        let ridge = penalty.of(lines.degree(i, part));
        ridge.factor * norm_sq(x.row(i)) + ridge.bias.unwrap_or(0.0) * x.bias[i].to_f64().powi(2)
    };
    (0..x.count).map(of_line).sum()
}

/// The preconditioned slope of half the objective at the rows of x, times -1, where `left` is left of a value.
fn direction<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    (x, y): (&Factor<T>, &Factor<T>),
    penalty: Penalty,
    left: f64,
) -> Result<Factor<T>> {
    let (gram, _) = gram_of(context, y)?;
    let entry = |i: usize, j: usize| gram[i.min(j) * y.stride + i.max(j)] / y.count as f64;
    let (spectrum, vectors) = eigh(&Mat::from_fn(y.rank, y.rank, entry)?)?;
    let mean = spectrum.iter().sum::<f64>() / y.rank as f64;
    let damped = collected(spectrum.iter().map(|g| g.max(0.0) + DAMPING * left * mean), "a step")?;
    let mut out = Factor::with_room(x.count, x.rank, x.stride)?;
    pulls(context, lines, part, (x, y), |error| error, &mut out)?;
    let stride = out.stride;
    for (i, row) in out.rows.chunks_exact_mut(stride).enumerate() {
        let n = lines.degree(i, part);
        let ridge = penalty.of(n);
        for (d, x) in row.iter_mut().zip(x.row(i)) {
            *d = T::from_f64(d.to_f64() - ridge.factor * x.to_f64());
        }
        out.bias[i] = match ridge.bias {
            Some(penalty) if n > 0.0 => {
                T::from_f64((out.bias[i].to_f64() - penalty * x.bias[i].to_f64()) / (n + penalty))
            }
            _ => T::default(),
        };
    }
    multiply(context, &mut out, |i, j| vectors[(i, j)])?;
    for (i, row) in out.rows.chunks_exact_mut(stride).enumerate() {
        let n = lines.degree(i, part);
        let ridge = penalty.of(n).factor;
        for (d, g) in row.iter_mut().zip(&damped) {
            let size = n * g + ridge;
            *d = if size > 0.0 { T::from_f64(d.to_f64() / size) } else { T::default() };
        }
    }
    multiply(context, &mut out, |i, j| vectors[(j, i)])?;
    Ok(out)
}

fn moved<T: Scalar>(x: &mut Factor<T>, from: &Factor<T>, along: &Factor<T>, step: f64) {
    let add = |x: &mut [T], from: &[T], along: &[T]| {
        for (x, (from, along)) in x.iter_mut().zip(from.iter().zip(along)) {
            *x = T::from_f64(from.to_f64() + step * along.to_f64());
        }
    };
    add(&mut x.rows, &from.rows, &along.rows);
    add(&mut x.bias, &from.bias, &along.bias);
}
