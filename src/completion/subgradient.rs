//! Least absolute errors, by sub-gradients from a small start.
//!
//! Σ w |e| rises in proportion to the distance from a matrix without errors that most entries agree with, however few of the
//! others do so and however far they are off: steps along its slope, whose lengths fall by a constant factor, come as near as
//! they are short. Where more components are asked for than the matrix has, those that it does not have stay as small as
//! they began while the others grow, for which reason the start is small (Ma and Fattahi, arXiv 2202.08788, of dense
//! Gaussian measurements; of entries it is an experience). They do not go away either, or slowly, so that at some length of
//! a step components are left out whose absence does not make the median error larger, and stay zero. A line moves along the mean over its entries, so that those with few
//! are as fast as others; both sides move at once.

use super::errors::pulls;
use super::factors::Factor;
use super::half::{gram_of, multiply};
use super::observations::{Lines, Observations, Part};
use super::robust::median_magnitude;
use crate::error::Result;
use crate::linalg::{Scalar, eigh, product};
use crate::matrix::Mat;
use crate::memory::push;
use crate::parallel::Context;
use crate::simd::norm_sq;

/// Of one step, how long the next one is.
const DECAY: f64 = 0.98;
/// Length of the first step, over that of the factors of entries of size one.
const FIRST: f64 = 0.1;
/// Size of the start, over the same.
const SMALL: f64 = 1e-3;
/// Of the first step, how long one is by which what the matrix has can be told from what it does not have.
const TELLING: f64 = 0.05;
/// What a median error may grow by where components are left out that the matrix does not have.
const NO_WORSE: f64 = 1.1;
/// Eigenvalues below so much of the largest are not there.
const NEGLIGIBLE: f64 = 1e-14;

/// How far steps go, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Size of a value that has no gross error.
    pub size: f64,
    /// At most so many.
    pub most: usize,
    /// Until they are so much shorter than the first.
    pub tol: f64,
    /// Whether lines have biases.
    pub bias: bool,
}

/// Moves both factors, the directions of which are there, to where absolute errors are least; the sum of these after each
/// step, over that before the first, and whether the last one was short enough.
pub fn descend<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
    Steps { size, most, tol, bias }: Steps,
) -> Result<(Vec<f64>, bool)> {
    // Of rows of independent numbers whose products are of that size.
    let length = (size * (rows.rank as f64).sqrt()).sqrt();
    for factor in [&mut *rows, &mut *columns] {
        let squares = factor.rows.chunks(factor.stride).map(norm_sq).sum::<f64>();
        let by = SMALL * length * root_of_share(factor.count, squares);
        factor.rows.iter_mut().for_each(|x| *x = T::from_f64(x.to_f64() * by));
    }
    let like = |factor: &Factor<T>| Factor::with_room(factor.count, factor.rank, factor.stride);
    let (mut of_rows, mut of_columns) = (like(rows)?, like(columns)?);
    let (mut history, mut step, mut first, mut told) = (Vec::new(), FIRST, 0.0, false);
    loop {
        let value = pulls(context, &observed.rows, part, (rows, columns), sign, &mut of_rows)?;
        if step < FIRST {
            push(&mut history, value / first, "the history of a fit")?;
            context.progress(history.len(), most, &[("objective", value / first)])?;
        } else if value > 0.0 {
            first = value;
        } else {
            push(&mut history, value, "the history of a fit")?;
            return Ok((history, true));
        }
        if history.len() == most || step <= tol * FIRST {
            return Ok((history, step <= tol * FIRST));
        }
        if !told && step < TELLING * FIRST {
            told = true;
            leave_out(context, observed, (rows, columns))?;
            pulls(context, &observed.rows, part, (rows, columns), sign, &mut of_rows)?;
        }
        pulls(context, &observed.columns, part, (columns, rows), sign, &mut of_columns)?;
        let along = [step * length, if bias { step * size } else { 0.0 }];
        advance(&observed.rows, part, rows, &mut of_rows, along);
        advance(&observed.columns, part, columns, &mut of_columns, along);
        step *= DECAY;
    }
}

/// Has the smallest components be zero without which the median error is no larger.
fn leave_out<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
) -> Result<()> {
    balance(context, rows, columns)?;
    let (mut fewer, mut medians) = ((rows.copy()?, columns.copy()?), Vec::new());
    for component in (0..rows.rank).rev() {
        let median = median_magnitude(context, &observed.rows, (&fewer.0, &fewer.1))?;
        push(&mut medians, median, "the medians of errors")?;
        clear(&mut fewer.0, component);
        clear(&mut fewer.1, component);
    }
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let left_out = medians.iter().rposition(|&median| median <= NO_WORSE * least).unwrap_or(0);
    for component in rows.rank - left_out..rows.rank {
        clear(rows, component);
        clear(columns, component);
    }
    Ok(())
}

/// Turns both factors to the singular vectors of their product, the largest first, each times the root of its singular value.
fn balance<T: Scalar>(context: &Context, rows: &mut Factor<T>, columns: &mut Factor<T>) -> Result<()> {
    let rank = rows.rank;
    let gram = |x: &Factor<T>| {
        let (gram, _) = gram_of(context, x)?;
        Mat::from_fn(rank, rank, |i, j| gram[i.min(j) * x.stride + i.max(j)])
    };
    // U'U = P g P', and then (g^1/2 P') V'V (P g^1/2) = W s W'.
    let (g, p) = eigh(&gram(rows)?)?;
    let largest = g.last().copied().unwrap_or(0.0);
    let root = |k: usize, power: f64| if g[k] > NEGLIGIBLE * largest { g[k].powf(power) } else { 0.0 };
    let scaled = Mat::from_fn(rank, rank, |i, k| p[(i, k)] * root(k, 0.5))?;
    let inner = product(gram(columns)?.as_ref(), scaled.as_ref())?;
    let (s, w) = eigh(&product(scaled.as_ref().t(), inner.as_ref())?)?;
    let size = |k: usize, power: f64| if s[k] > NEGLIGIBLE * s[rank - 1] { s[k].powf(power) } else { 0.0 };
    // The eigenvalues s are squares of singular values, ascending.
    let along = |of: &dyn Fn(usize) -> f64, power: f64| {
        let left = Mat::from_fn(rank, rank, |i, k| p[(i, k)] * of(k))?;
        let right = Mat::from_fn(rank, rank, |k, j| w[(k, rank - 1 - j)] * size(rank - 1 - j, power))?;
        product(left.as_ref(), right.as_ref())
    };
    let (of_rows, of_columns) = (along(&|k| root(k, -0.5), 0.25)?, along(&|k| root(k, 0.5), -0.25)?);
    multiply(context, rows, |i, j| of_rows[(i, j)])?;
    multiply(context, columns, |i, j| of_columns[(i, j)])
}

fn clear<T: Scalar>(x: &mut Factor<T>, component: usize) {
    let stride = x.stride;
    x.rows.chunks_exact_mut(stride).for_each(|row| row[component] = T::default());
}

/// Moves rows by a mean length along sums over their lines, and biases by a length along theirs, means being taken.
fn advance<T: Scalar>(
    lines: &Lines<T>,
    part: Part,
    x: &mut Factor<T>,
    along: &mut Factor<T>,
    [length, of_bias]: [f64; 2],
) {
    let (stride, mut squares) = (x.stride, 0.0);
    for (i, row) in along.rows.chunks_exact_mut(stride).enumerate() {
        let share = 1.0 / lines.degree(i, part).max(f64::MIN_POSITIVE);
        row.iter_mut().for_each(|d| *d = T::from_f64(d.to_f64() * share));
        squares += norm_sq(row);
        x.bias[i] = T::from_f64(x.bias[i].to_f64() + of_bias * share * along.bias[i].to_f64());
    }
    let step = length * root_of_share(x.count, squares);
    for (x, d) in x.rows.iter_mut().zip(&*along.rows) {
        *x = T::from_f64(x.to_f64() + step * d.to_f64());
    }
}

/// What makes the mean square of so many rows one; zero where there is none.
fn root_of_share(count: usize, squares: f64) -> f64 {
    if squares > 0.0 { (count as f64 / squares).sqrt() } else { 0.0 }
}

fn sign<T: Scalar>(error: T) -> T {
    let error = error.to_f64();
    T::from_f64(if error == 0.0 { 0.0 } else { error.signum() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};
    use crate::random::Stream;

    const SHAPE: (usize, usize) = (90, 70);

    fn random(count: usize, sizes: &[f64], seed: u64) -> Factor<f64> {
        let stream = Stream::new(seed, 0, 0);
        let mut factor = Factor::zeros(count, sizes.len()).unwrap();
        for i in 0..count {
            for (k, size) in sizes.iter().enumerate() {
                factor.rows[i * factor.stride + k] = size * stream.normal(i as u64, k as u64);
            }
        }
        factor
    }

    fn product_of(rows: &Factor<f64>, columns: &Factor<f64>) -> Vec<f64> {
        let entry = |i: usize, j: usize| rows.row(i).iter().zip(columns.row(j)).map(|(u, v)| u * v).sum();
        (0..rows.count).flat_map(|i| (0..columns.count).map(move |j| entry(i, j))).collect()
    }

    #[test]
    fn balanced_factors_are_singular_vectors_of_the_same_product() {
        let context = Context::new(2);
        for sizes in [[1.0, 3.0, 0.2, 2.0], [1.0, 0.0, 1e-3, 0.0]] {
            let (mut u, mut v) = (random(90, &sizes, 1), random(70, &[2.0, 1.0, 1.0, 0.5], 2));
            let before = product_of(&u, &v);
            balance(&context, &mut u, &mut v).unwrap();
            let far =
                product_of(&u, &v).iter().zip(&before).fold(0.0f64, |far, (x, y)| far.max((x - y).abs()));
            assert!(far < 1e-9, "{far:e}");
            let inner = |x: &Factor<f64>, k: usize, l: usize| -> f64 {
                (0..x.count).map(|i| x.row(i)[k] * x.row(i)[l]).sum()
            };
            for k in 0..4 {
                assert!(k == 0 || inner(&u, k, k) <= inner(&u, k - 1, k - 1));
                assert!((inner(&u, k, k) - inner(&v, k, k)).abs() < 1e-6 * inner(&u, 0, 0));
                assert!(
                    (0..k).all(|l| inner(&u, k, l).abs() + inner(&v, k, l).abs() < 1e-6 * inner(&u, 0, 0))
                );
            }
        }
    }

    #[test]
    fn components_that_the_matrix_does_not_have_are_left_out_and_others_are_not() {
        let context = Context::new(1);
        let (u, v) = (random(90, &[1.0, 0.7, 0.3], 1), random(70, &[1.0, 1.0, 1.0], 2));
        let whole = product_of(&u, &v);
        let cells = low_rank(SHAPE, 1, 0.4, 0.0, 3);
        let random_values = Stream::new(5, 0, 0);
        let spoiled = |k: usize| if k % 10 < 3 { 10.0 * random_values.normal(k as u64, 0) } else { 0.0 };
        let cells: Vec<_> = cells
            .iter()
            .enumerate()
            .map(|(k, &(i, j, _))| {
                (i, j, whole[i * SHAPE.1 + j] + 0.02 * random_values.normal(k as u64, 1) + spoiled(k))
            })
            .collect();
        let observed = observed::<f64>(&context, SHAPE, &cells);
        // In units of the model, with what has been subtracted as a component, and two more.
        let (mut rows, mut columns) = (Factor::zeros(90, 6).unwrap(), Factor::zeros(70, 6).unwrap());
        let more = (random(90, &[0.05; 2], 7), random(70, &[0.1; 2], 8));
        for (x, (of, more), unit) in
            [(&mut rows, (&u, &more.0), observed.scale), (&mut columns, (&v, &more.1), 1.0)]
        {
            for i in 0..x.count {
                let row = &mut x.rows[i * x.stride..][..6];
                row[..3].iter_mut().zip(of.row(i)).for_each(|(x, of)| *x = of / unit);
                row[3] = if unit == 1.0 { 1.0 } else { -observed.mean / unit };
                row[4..].copy_from_slice(&more.row(i)[..2]);
            }
        }
        leave_out(&context, &observed, (&mut rows, &mut columns)).unwrap();
        let squares = |x: &Factor<f64>, k: usize| (0..x.count).map(|i| x.row(i)[k].powi(2)).sum::<f64>();
        let left: Vec<bool> = (0..6).map(|k| squares(&rows, k) > 0.0 && squares(&columns, k) > 0.0).collect();
        assert!(left[..3].iter().all(|&left| left) && left[4..].iter().all(|&left| !left), "{left:?}");
    }
}
