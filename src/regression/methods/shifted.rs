//! Beyond the condition that a sparse A'A bears: the factor of A'A + shift I, which does not break, as the preconditioner of
//! conjugate gradients.
//!
//! With R'R = A'A + shift I the spectrum of R'^-1 A'A R^-1 is near one but for directions that A shrinks to the root of the
//! shift, and iterations are a few times as many as these are. They restart from the explicit residual, as in `cg`.
//!
//! R does not know the smallest directions, but it bounds what they make of an error: with w of the estimate of Karlson and
//! Walden, |(A'A + w²)^(-1/2) g| <= max(1, root of the shift over w) |R'^-1 g|.

use crate::certify::{backward_error_of_image, damped_ratio};
use crate::error::Result;
use crate::linalg::{Factor, norm};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, push};
use crate::regression::design::pass::Pass;
use crate::regression::methods::outcome::{Outcome, Unfactored};
use crate::regression::methods::sparse_cholesky::{SparseMoments, SparseNormal};
use crate::regression::refine::{Group, Refined, Scaled, TARGETS};
use crate::simd::{axpy, dot};
use std::f64::consts::SQRT_2;

/// Beside columns of norm one: what rounding makes of their products, and more where that does not do.
const SHIFTS: [f64; 3] = [1e-14, 1e-13, 1e-12];
/// What centring may have taken off squared columns, whose digits are lost.
const MOST_TAKEN_OFF: f64 = 100.0;
/// Restarts, and iterations of one, beyond which `cg` may as well have its turn.
const MOST_ROUNDS: usize = 6;
const MOST_ITERATIONS: usize = 200;
/// A round ends where what it still gains is less than this part of what would do.
const LITTLE: f64 = 0.3;
/// Gradients that have grown by this from their least are none any more.
const WILD: f64 = 1e6;

/// Answers to one group of targets; inadmissible if no shift gives a factor.
pub(crate) fn shifted<T: Real>(group: &Group<'_, '_, T>, moments: &SparseMoments) -> Result<Outcome> {
    let Some((scaled, shift)) = factor(group, moments)? else {
        return Ok(Outcome::Inadmissible(f64::INFINITY));
    };
    let (d, k) = (scaled.scale.len(), group.targets.len());
    let mut refined = Refined::starting_at(&Mat::zeros(d, k)?)?;
    let mut all = Made { iterations: 0, condition: 1.0 };
    for position in 0..k {
        let mut x = Mat::zeros(d, 1)?;
        for round in 0..MOST_ROUNDS {
            let pass = group.pass(&scaled.scale, &x, &[position])?;
            let before = refined.backward_error[position];
            let gradient = scaled.factor.whiten(&pass.gradient)?;
            let image = norm(gradient.as_slice());
            let error = error_of(group, &scaled, &pass, (shift, image), &x, position);
            refined.passes += 1;
            refined.keep_better(position, error, &pass, &x, 0);
            if error <= group.tolerance || round > 0 && error > 0.5 * before || error.is_nan() {
                break;
            }
            let step = solved(group, &scaled, gradient, &x, position, &mut all)?;
            axpy(1.0, step.as_slice(), x.as_mut_slice());
            x.as_mut_slice().iter_mut().for_each(|x| *x = T::from_f64(*x).to_f64());
            refined.report(group.context, round, MOST_ROUNDS)?;
        }
    }
    refined.passes += all.iterations;
    refined.settled = (0..k).all(|position| group.is_accepted(&refined, position));
    let bound = collected(refined.backward_error.iter().map(|error| SQRT_2 * error), TARGETS)?;
    Ok(Outcome::Unfactored(Unfactored {
        refined,
        iterations: all.iterations,
        bound,
        rigorous: Vec::new(),
        norms: copied(&scaled.scale, TARGETS)?,
        scale: Some(scaled.scale),
        condition: all.condition,
        rank: None,
        cut: 0.0,
        rounding: 0.0,
        is_shortest: false,
    }))
}

/// R of columns of norm one, for the least shift that gives one, and that.
fn factor<T: Real>(group: &Group<'_, '_, T>, moments: &SparseMoments) -> Result<Option<(Scaled, f64)>> {
    for shift in SHIFTS {
        let Some(normal) = moments.normal(group, shift)? else { return Ok(None) };
        if normal.magnification > MOST_TAKEN_OFF {
            return Ok(None);
        }
        let triangle = moments.factor(&normal, 0.0)?;
        let SparseNormal { scale, empty, .. } = normal;
        if let Some(triangle) = triangle.filter(|triangle| triangle.rank() == scale.len()) {
            let scaled = Scaled { factor: Factor::Sparse(triangle), scale, empty, cut: 0.0 };
            return Ok(Some((scaled, shift)));
        }
    }
    Ok(None)
}

/// The least of three bounds: two changes of A and b that make x the minimiser, Stewart's |g| / |r| and the residual taken
/// off, and what the factor and its shift make of the estimate, given the length of the whitened gradient.
fn error_of<T: Real>(
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    pass: &Pass,
    (shift, image): (f64, f64),
    x: &Mat<f64>,
    position: usize,
) -> f64 {
    let (frobenius, residual, size) = (scaled.frobenius_norm(), pass.squares[0].sqrt(), norm(x.as_slice()));
    let target_norm = group.design.target_norm(group.targets[position]);
    let by_residual = backward_error_of_image(frobenius, residual, size, target_norm);
    let by_slope = norm(pass.gradient.as_slice()) / frobenius / residual;
    let damping = damped_ratio(frobenius, size, target_norm) * residual;
    let hidden = (shift.sqrt() / damping).max(1.0);
    let by_factor = hidden * backward_error_of_image(frobenius, image, size, target_norm);
    [by_slope, by_factor].into_iter().fold(by_residual, f64::min)
}

/// Iterations so far, and a lower bound on the condition of what they see.
struct Made {
    iterations: usize,
    condition: f64,
}

/// The step from x that the whitened gradient there asks for.
fn solved<T: Real>(
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    mut gradient: Mat<f64>,
    x: &Mat<f64>,
    position: usize,
    made: &mut Made,
) -> Result<Mat<f64>> {
    let target_norm = group.design.target_norm(group.targets[position]);
    let (mut direction, mut y) = (gradient.copy()?, Mat::zeros(gradient.nrows(), 1)?);
    let mut gamma = dot(gradient.as_slice(), gradient.as_slice());
    let (mut least, mut pivots) = (gamma, [f64::INFINITY, 0.0f64]);
    let mut energies = Vec::new();
    while gamma > 0.0 && energies.len() < MOST_ITERATIONS {
        let product = group.normal_product(scaled, &direction)?;
        made.iterations += 1;
        let curvature = dot(direction.as_slice(), product.as_slice());
        if curvature.is_nan() || curvature <= 0.0 {
            break;
        }
        let step = gamma / curvature;
        axpy(step, direction.as_slice(), y.as_mut_slice());
        axpy(-step, product.as_slice(), gradient.as_mut_slice());
        push(&mut energies, step * gamma, TARGETS)?;
        pivots = [pivots[0].min(step.recip()), pivots[1].max(step.recip())];
        let next = dot(gradient.as_slice(), gradient.as_slice());
        least = least.min(next);
        if next.is_nan() || next > WILD * WILD * least {
            break;
        }
        let latest = energies.iter().rev().take((energies.len() / 8).max(2)).sum::<f64>().sqrt();
        let size = norm(x.as_slice()).max(norm(scaled.factor.unwhiten(&y)?.as_slice()));
        let goal = group.tolerance / backward_error_of_image(scaled.frobenius_norm(), 1.0, size, target_norm);
        if energies.len() > 2 && latest <= LITTLE * goal {
            break;
        }
        let ratio = next / gamma;
        let directions = direction.as_mut_slice().iter_mut().zip(gradient.as_slice());
        directions.for_each(|(direction, gradient)| *direction = gradient + ratio * *direction);
        gamma = next;
    }
    made.condition = made.condition.max((pivots[1] / pivots[0]).sqrt());
    scaled.factor.unwhiten(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Axis, Indices, Matrix, Sparse};
    use crate::parallel::Context;
    use crate::regression::design::Design;
    use crate::regression::methods::sparse_cholesky::sparse_cholesky;
    use crate::regression::problem::Problem;

    /// Rows of smooth bumps on six neighbours, hardly more than columns: of a condition of 1e10.
    fn bumps(n: usize, d: usize) -> (Vec<i32>, Vec<i32>, Vec<f64>) {
        const WIDTH: usize = 6;
        let ends = (0..=n).map(|i| (i * WIDTH) as i32).collect();
        let place = |i: usize| (i as f64 * 0.754877666).fract();
        let first = |i: usize| i * (d - WIDTH) / (n - 1);
        let bump = |i: usize, k: usize| (-0.5 * ((k as f64 - 5.0 * place(i)) / 1.2).powi(2)).exp();
        let entries = || (0..n).flat_map(|i| (0..WIDTH).map(move |k| (i, k)));
        let indices = entries().map(|(i, k)| (first(i) + k) as i32).collect();
        (ends, indices, entries().map(|(i, k)| bump(i, k)).collect())
    }

    #[test]
    fn smooth_bumps_have_no_factor_without_a_shift_and_answers_with_one() {
        let (n, d) = (320, 300);
        let (ends, indices, values) = bumps(n, d);
        let b = Mat::from_fn(n, 2, |i, target| {
            ((i * (target + 3)) as f64 * 0.01).sin() + 0.1 * ((i * i) % 7) as f64
        });
        let (b, context) = (b.unwrap(), Context::new(2));
        let (of_ends, of_indices) = (Indices::I32(&ends), Indices::I32(&indices));
        let rows = Sparse::new(&context, "A", Axis::Rows, (n, d), of_ends, of_indices, &values).unwrap();
        for fit_intercept in [false, true] {
            let problem = Problem {
                design: Matrix::Sparse(rows),
                targets: b.as_ref(),
                weights: None,
                ridge: &[0.0],
                fit_intercept,
            };
            let design = Design::new(&context, &problem).unwrap();
            let group = Group {
                context: &context,
                design: &design,
                targets: &[0, 1],
                ridge: 0.0,
                tolerance: f64::UNIT_ROUNDOFF,
                max_passes: 9,
            };
            let moments = SparseMoments::new(&context, &design, &rows, vec![1.0; d]).unwrap().unwrap();
            let refused = sparse_cholesky(&group, &moments, 1e7, None).unwrap();
            assert!(matches!(refused, Outcome::Inadmissible(_)));
            let Outcome::Unfactored(found) = shifted(&group, &moments).unwrap() else { panic!("a factor") };
            let errors = &found.refined.backward_error;
            assert!(errors.iter().all(|error| *error < 1e-15), "{errors:?}");
            assert!(found.bound.iter().zip(errors).all(|(bound, error)| bound > error));
            assert!(found.iterations < 200, "{}", found.iterations);
        }
    }
}
