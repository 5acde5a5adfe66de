//! How far an answer is from the least: by the dual problem, max <Θ, P(V)> - ½ |Θ|² over Θ with entries where something was
//! observed and |Θ|_2 <= λ. What an answer leaves of the observed entries, made so much smaller that it may be one, is close
//! to the best, and is that for the best answer.
//!
//! Its norm comes from Lanczos' method with a random start, whose largest Ritz value after q steps is below (1 - e) times
//! the largest eigenvalue with a probability of at most 1.648 √n exp(-√e (2 q - 1)) (Kuczyński and Woźniakowski, SIAM J.
//! Matrix Anal. Appl. 13, 1992).

use crate::error::Result;
use crate::linalg::eigh;
use crate::matrix::{Mat, Products, Sparse};
use crate::memory::push;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, dot, norm_sq};

/// Purpose of the random numbers of a start.
const START: u8 = 0x71;
/// Steps of Lanczos' method.
const STEPS: usize = 80;
/// Probability with which the norm may be larger than its bound.
pub const FAILURE: f64 = 1e-3;

/// Estimate of a norm, and what it is not above but with the probability [`FAILURE`].
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// From below.
    pub estimate: f64,
    /// From above.
    pub bound: f64,
}

/// The largest singular value.
pub fn norm(context: &Context, a: &Sparse<'_, f64>, seed: u64) -> Result<Norm> {
    let (m, n) = a.shape();
    let (mut v, mut before) = (Mat::zeros(n, 1)?, Mat::zeros(n, 1)?);
    let (mut image, mut w) = (Mat::zeros(m, 1)?, Mat::zeros(n, 1)?);
    let stream = Stream::new(seed, 0, START);
    let column = v.as_mut_slice();
    column.iter_mut().enumerate().for_each(|(j, v)| *v = stream.normal(j as u64, 0));
    scale(column, norm_sq(column).sqrt().recip());
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut whole = false;
    for step in 0..STEPS.min(n) {
        a.gram_product(context, v.as_ref(), image.as_mut(), w.as_mut())?;
        let (v_slice, w_slice) = (v.as_mut_slice(), w.as_mut_slice());
        let curvature = dot(v_slice, w_slice);
        push(&mut diagonal, curvature, "a tridiagonal matrix")?;
        axpy(-curvature, v_slice, w_slice);
        if step > 0 {
            axpy(-beside[step - 1], before.as_slice(), w_slice);
        }
        let length = norm_sq(w_slice).sqrt();
        let most = diagonal.iter().fold(0.0f64, |most, &value| most.max(value));
        whole = length <= 1e-13 * most || step + 1 == n;
        if whole {
            break;
        }
        push(&mut beside, length, "a tridiagonal matrix")?;
        scale(w_slice, length.recip());
        std::mem::swap(&mut before, &mut v);
        std::mem::swap(&mut v, &mut w);
    }
    let steps = diagonal.len();
    let entry = |i: usize, j: usize| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => beside[i.min(j)],
        _ => 0.0,
    };
    let (values, _) = eigh(&Mat::from_fn(steps, steps, entry)?)?;
    let estimate = values.last().map_or(0.0, |value| value.max(0.0)).sqrt();
    let root = (1.648 * (n as f64).sqrt() / FAILURE).ln() / (2.0 * steps as f64 - 1.0);
    let short = if whole { 1e-12 } else { root * root };
    let bound = if short < 1.0 { estimate / (1.0 - short).sqrt() } else { f64::INFINITY };
    Ok(Norm { estimate, bound })
}

fn scale(x: &mut [f64], factor: f64) {
    x.iter_mut().for_each(|x| *x *= factor);
}

/// What is left to gain, over the objective: for what is `left` of `values` and a norm of that, at a penalty, where singular
/// values add up to `nuclear`.
pub fn gap(values: &[f64], left: &[f64], norm: f64, lambda: f64, nuclear: f64) -> f64 {
    let square = norm_sq(left);
    let objective = 0.5 * square + lambda * nuclear;
    let factor = if norm > lambda { lambda / norm } else { 1.0 };
    let dual = factor * (dot(left, values) - 0.5 * factor * square);
    if objective > 0.0 { ((objective - dual) / objective).max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::svd;
    use crate::matrix::{Axis, Indices, Triplets};

    #[test]
    fn norms_are_between_estimate_and_bound() {
        let stream = Stream::new(5, 0, 1);
        for (m, n, rank) in [(40, 30, 30), (200, 300, 3), (1, 9, 1), (9, 1, 1), (30, 30, 0)] {
            let mut cells: Vec<(i64, i64, f64)> = Vec::new();
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                if stream.uniform(i as u64, j as u64) < 0.4 {
                    let product = |k: usize| {
                        stream.normal(i as u64, 1000 + k as u64) * stream.normal(j as u64, 2000 + k as u64)
                    };
                    cells.push((i as i64, j as i64, (0..rank).map(product).sum()));
                }
            }
            let rows: Vec<i64> = cells.iter().map(|cell| cell.0).collect();
            let columns: Vec<i64> = cells.iter().map(|cell| cell.1).collect();
            let values: Vec<f64> = cells.iter().map(|cell| cell.2).collect();
            let (rows, columns) = (Indices::I64(&rows), Indices::I64(&columns));
            let entries = Triplets { argument: "X", shape: (m, n), rows, columns, values: &values };
            let context = Context::new(2);
            let sparse = entries.compressed(&context, Axis::Rows).unwrap();
            let mut dense = Mat::zeros(m, n).unwrap();
            cells.iter().for_each(|&(i, j, value)| dense[(i as usize, j as usize)] = value);
            let largest = svd(dense.as_ref()).unwrap().s[0];
            let Norm { estimate, bound } = norm(&context, &sparse.as_ref(), 1).unwrap();
            assert!(estimate <= largest * (1.0 + 1e-12) && largest <= bound, "{estimate} {largest} {bound}");
            assert!(bound <= 1.02 * estimate);
        }
    }

    #[test]
    fn a_whole_matrix_less_its_threshold_has_no_gap() {
        // Singular values 5, 3 and 1 in the diagonal: at λ = 2 the answer is 3, 1 and 0.
        let (values, left) = ([5.0, 3.0, 1.0], [2.0, 2.0, 1.0]);
        assert!(gap(&values, &left, 2.0, 2.0, 4.0) < 1e-15);
        assert!(gap(&values, &[1.9, 2.0, 1.0], 2.0, 2.0, 4.1) > 1e-5);
    }
}
