//! Gauss-Newton steps: both sides at once, where sweeps hardly get on.
//!
//! Sweeps are slow where parts hang together by no more entries than they need, or where directions of the one side can hardly
//! be told from those of the other: there is a direction T = Q X' + Y P' in which both have to go, and either alone gets nowhere.
//! In orthonormal bases Q and P of the columns and the rows of the matrix that was found (see `freedom`), T is the one with the
//! least |P(E - T)|² + μ |T|², E being what is left of the entries, by conjugate gradients. The step U + Y B'^-1, V + X A'^-1
//! with U = Q A and V = P B is T and what is of second order in it.

use super::factors::Factor;
use super::freedom::{Parts, Tangent};
use super::observations::{Observations, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::memory::{copied, push, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, norm_sq};

/// Most steps of conjugate gradients.
const STEPS: usize = 200;
/// Residual of these, relative, that is small enough.
const ENOUGH: f64 = 1e-3;
/// What memory is for.
const STEP: &str = "a Gauss-Newton step";

/// The factors after a step, μ being `damping` times the share of entries that were observed; parts of a lower rank stay.
pub fn newton_step<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    parts: &Parts<'_>,
    (rows, columns): (&Factor<T>, &Factor<T>),
    damping: f64,
) -> Result<(Factor<T>, Factor<T>)> {
    let (mut ends, mut indices, mut values) = (zeros(rows.count + 1, STEP)?, Vec::new(), Vec::new());
    for piece in context.pieces(0..rows.count) {
        for i in piece? {
            let mut stored = Ok(());
            observed.rows.visit(i, Part::Training, |j, value, _| {
                stored = stored.clone().and_then(|()| push(&mut indices, j as u32, STEP));
                stored = stored.clone().and_then(|()| push(&mut values, value, STEP));
            });
            stored?;
            ends[i + 1] = indices.len() as u64;
        }
    }
    let tangent = Tangent::of(context, (&ends, &indices), parts, (rows, columns))?;
    let (k, size) = (tangent.k, tangent.q.len());
    let mut left: Vec<f64> = zeros(size + tangent.p.len(), STEP)?;
    let (of_rows, of_columns) = left.split_at_mut(size);
    for piece in context.pieces(0..rows.count) {
        for i in piece? {
            for at in ends[i] as usize..ends[i + 1] as usize {
                let j = indices[at] as usize;
                let pairs = rows.row(i)[..k].iter().zip(&columns.row(j)[..k]);
                let error = values[at] - pairs.map(|(u, v)| u.to_f64() * v.to_f64()).sum::<f64>();
                axpy(error, &tangent.p[j * k..][..k], &mut of_rows[i * k..][..k]);
                axpy(error, &tangent.q[i * k..][..k], &mut of_columns[j * k..][..k]);
            }
        }
    }
    tangent.project(of_rows)?;
    let mut found = solve(context, &tangent, left, damping * values.len() as f64 / tangent.cells)?;
    let (y, x) = found.split_at_mut(size);
    over_triangles(y, parts.rows, (&tangent.p, columns, parts.columns), parts.count)?;
    over_triangles(x, parts.columns, (&tangent.q, rows, parts.rows), parts.count)?;
    Ok((moved(rows, y)?, moved(columns, x)?))
}

/// The direction at which the slope `left`, which is that at zero, is gone, or most of it.
fn solve(context: &Context, tangent: &Tangent, mut left: Vec<f64>, damping: f64) -> Result<Vec<f64>> {
    let (mut found, mut along) = (zeros(left.len(), STEP)?, copied(&left, STEP)?);
    let mut image = zeros(left.len(), STEP)?;
    let mut size = norm_sq(&left);
    let enough = ENOUGH * ENOUGH * size;
    for _ in 0..STEPS {
        let curvature = tangent.gradient(context, &along, &mut image)? + damping * norm_sq(&along);
        if !(size > enough && curvature > 0.0) {
            break;
        }
        axpy(damping, &along, &mut image);
        axpy(size / curvature, &along, &mut found);
        axpy(-size / curvature, &image, &mut left);
        let next = norm_sq(&left);
        along.iter_mut().zip(&left).for_each(|(along, left)| *along = left + next / size * *along);
        size = next;
    }
    Ok(found)
}

/// Rows z B'^-1 in place of z, B being upper triangles, one for each part, with which a factor is its basis times that; zeros
/// for a part without a basis.
fn over_triangles<T: Scalar>(
    steps: &mut [f64],
    marks: &[i32],
    (basis, factor, of_basis): (&[f64], &Factor<T>, &[i32]),
    count: usize,
) -> Result<()> {
    let k = factor.rank;
    let mut triangles: Vec<f64> = zeros(count * k * k, STEP)?;
    for (i, &mark) in of_basis.iter().enumerate().filter(|(_, mark)| **mark >= 0) {
        let triangle = &mut triangles[mark as usize * k * k..][..k * k];
        for (a, q) in basis[i * k..][..k].iter().enumerate() {
            (a..k).for_each(|b| triangle[a * k + b] += q * factor.row(i)[b].to_f64());
        }
    }
    for (step, &mark) in steps.chunks_exact_mut(k).zip(marks).filter(|(_, mark)| **mark >= 0) {
        let triangle = &triangles[mark as usize * k * k..][..k * k];
        for a in (0..k).rev() {
            let known: f64 = (a + 1..k).map(|b| step[b] * triangle[a * k + b]).sum();
            let pivot = triangle[a * k + a];
            step[a] = if pivot == 0.0 { 0.0 } else { (step[a] - known) / pivot };
        }
    }
    Ok(())
}

fn moved<T: Scalar>(factor: &Factor<T>, steps: &[f64]) -> Result<Factor<T>> {
    let (mut out, k) = (factor.copy()?, factor.rank);
    for (row, step) in out.rows.chunks_exact_mut(factor.stride).zip(steps.chunks_exact(k)) {
        row.iter_mut().zip(step).for_each(|(x, step)| *x = T::from_f64(x.to_f64() + step));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::errors::errors;
    use crate::completion::half::{Method, Penalty, half_sweep};
    use crate::completion::testing::{low_rank, observed};
    use crate::random::Stream;

    #[test]
    fn near_the_matrix_few_steps_lead_to_it_on_any_number_of_threads() {
        let (m, n, k) = (40, 30, 5);
        // Biases are two more components; the mean that `observed` takes off is in them.
        let cells = low_rank((m, n), 3, 0.6, 0.0, 2);
        let found = |threads| {
            let context = Context::new(threads);
            let observed = observed::<f64>(&context, (m, n), &cells);
            let random = Stream::new(3, 0, 1);
            let (mut rows, mut columns) = (Factor::<f64>::zeros(m, k).unwrap(), Factor::zeros(n, k).unwrap());
            for (side, factor) in [&mut rows, &mut columns].into_iter().enumerate() {
                let stride = factor.stride;
                for (i, row) in factor.rows.chunks_exact_mut(stride).enumerate() {
                    random.normals_of_row((side * m + i) as u64, &mut row[..k]);
                }
            }
            let penalty = Penalty { factor: 1e-3, bias: None, exponent: 0.0 };
            for sweep in 0..40 {
                let (lines, x, y) = match sweep % 2 {
                    0 => (&observed.rows, &mut rows, &mut columns),
                    _ => (&observed.columns, &mut columns, &mut rows),
                };
                half_sweep(&context, lines, Part::Training, (x, y), penalty, Method::Exact).unwrap();
            }
            let (marks, others) = (vec![0; m], vec![0; n]);
            let parts = Parts { rows: &marks, columns: &others, count: 1 };
            let mut history = Vec::new();
            for step in 0..20 {
                let factors = (&rows, &columns);
                let left = errors(&context, &observed.rows, Part::Training, factors).unwrap().squares.sqrt();
                history.push(left);
                if left < 1e-10 {
                    break;
                }
                let damping = 10f64.powi(-2 - step);
                (rows, columns) = newton_step(&context, &observed, &parts, factors, damping).unwrap();
            }
            (history, rows, columns)
        };
        let (history, rows, columns) = found(1);
        let last = history.len() - 1;
        assert!(history[last] < 1e-10, "{history:?}");
        assert!(last <= 8 && history[last] < 0.05 * history[last - 1], "{history:?}");
        let other = found(3);
        assert_eq!((history, &*rows.rows, &*columns.rows), (other.0, &*other.1.rows, &*other.2.rows));
        // Columns that are dependent have no basis: they stay.
        let observed = observed::<f64>(&Context::new(1), (m, n), &cells);
        let parts = Parts { rows: &vec![0; m], columns: &vec![0; n], count: 1 };
        let flat = Factor::<f64>::zeros(m, k).unwrap();
        let same = newton_step(&Context::new(1), &observed, &parts, (&flat, &columns), 1.0).unwrap();
        assert_eq!((&*same.0.rows, &*same.1.rows), (&*flat.rows, &*columns.rows));
    }
}
