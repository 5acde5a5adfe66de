//! Lewis weights: leverage scores for sums of p-th powers.
//!
//! The only w > 0 with w_i = tau_i(W^(1/2 - 1/p) A), tau being leverage scores: w_i^(2/p) = a_i' M^-1 a_i for
//! M = A' W^(1 - 2/p) A. They add up to the rank. With rho_i = a_i' M^-1 a_i for the M of some w, T(w) = rho^(p/2) has them
//! as its fixed point, and
//!
//!   log w <- (1 - theta) log w + theta log T(w), theta = 4 / (p + 2),
//!
//! comes to it for every p: at each w the derivative of log T by log w is -(p/2 - 1) P for a row-stochastic P with
//! eigenvalues in [0, 1], so that one step shrinks errors by |p - 2| / (p + 2) near the end, and in the largest entry by
//! three times that, which is a proof for 1 < p < 4. theta = 1 (Cohen and Peng, STOC 2015) does not converge for p >= 4.
//!
//! Rows whose weights are so small that together they do not matter to M take T(w) at once: for them the damping would but
//! delay what large p makes of short rows.
//!
//! One step is one fused read of A: rows are whitened with the triangle of M, their norms give the new weights, and these
//! the next M, in coordinates in which it is close to the identity, so that nothing is lost to its condition.

use super::basis::Basis;
use super::design::{Design, by_rows};
use crate::error::{Error, Result};
use crate::linalg::{Precision, Product, cholesky, invert_upper, precision_of_whitened, precisions, product};
use crate::matrix::{Buffer, Mat, Matrix, Real};
use crate::memory::{collected, extend, filled};
use crate::parallel::Context;
use crate::simd::{exp_of_each, ln_of_each};

/// How far weights are to come.
#[derive(Clone, Copy, Debug)]
pub struct LewisParams {
    /// The power.
    pub p: f64,
    /// Largest |log(T(w) / w)| of a row.
    pub tolerance: f64,
    /// Most reads of A after the first.
    pub max_iter: usize,
}

/// Weights, and how far they came.
pub struct Lewis {
    /// One for each row, zero for rows of zeros.
    pub weights: Buffer<f64>,
    /// Reads of A after the first.
    pub passes: usize,
    /// Largest |log(T(w) / w)| of the weights before the last step.
    pub residual: f64,
    /// Rank of A.
    pub rank: usize,
}

/// What memory is for.
const WEIGHTS: &str = "Lewis weights";

/// Rows whose logarithms are taken at once.
const FEW: usize = 64;
/// Largest condition that a step may give M: what a triangle takes.
const LARGEST: f64 = 1e10;
/// Tolerances from which on steps may be those of digits, and their bits. No entry of a row of A W is then off by more than
/// 2^-BITS of the row, whose norm is at most the root of the rank times that of its image: a norm by less than 1e-3.
const ROUGH: f64 = 0.02;
const BITS: f64 = 20.0;
/// A row's weight changes by no more than this in the logarithm, whatever p.
const STRIDE: f64 = 30.0;

/// Lewis weights of rows which count `weights` times.
pub fn lewis_weights<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    params: &LewisParams,
) -> Result<Lewis> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, params.p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        lewis_of(context, &design, basis, params).map(|(lewis, _)| lewis)
    })
}

/// The weights, and coordinates in which M is close to the identity.
pub(crate) fn lewis_of<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    basis: Basis,
    params: &LewisParams,
) -> Result<(Lewis, Basis)> {
    let Basis { mut whitener, is_mild, condition, units } = basis;
    let (n, rank, step) = (design.nrows(), whitener.ncols(), Step::new(params.p, design.nrows()));
    let start = (rank as f64 / n as f64).ln();
    let mut logs = filled(start, n, WEIGHTS)?;
    let root = (-step.power * start).exp();
    let by_digits = is_mild
        && params.tolerance >= ROUGH
        && matches!(precision_of_whitened(precisions(rank), rank), Precision::Digits(_));
    let powers = collected(units.iter().map(|&unit| if unit == 0.0 { 1.0 } else { unit }), WEIGHTS)?;
    let by = match by_digits {
        true => Product::Digits { powers: &powers, bits: BITS - root.log2() },
        false => Product::Double,
    };
    whitener.as_mut_slice().iter_mut().for_each(|entry| *entry *= root);
    let (mut passes, mut residual) = (0, f64::INFINITY);
    while passes < params.max_iter && residual > params.tolerance {
        let weigh = |made: &mut Made, first: usize, norms: &mut [f64]| step.take(made, &logs[first..], norms);
        let (gram, parts) = design.reweighted_gram(context, &whitener, is_mild, by, Made::new, weigh)?;
        logs.clear();
        residual = 0.0;
        for part in parts {
            extend(&mut logs, part.logs?, WEIGHTS)?;
            residual = part.residual.max(residual);
        }
        passes += 1;
        context.progress(passes, params.max_iter, &[("residual", residual)])?;
        whitener = over_triangle(&whitener, &gram)?;
    }
    let mut weights = Buffer::zeros(n, WEIGHTS)?;
    weights.iter_mut().zip(&logs).for_each(|(weight, log)| *weight = log.exp().min(1.0));
    Ok((Lewis { weights, passes, residual, rank }, Basis { whitener, is_mild, condition, units }))
}

fn over_triangle(whitener: &Mat<f64>, gram: &Mat<f64>) -> Result<Mat<f64>> {
    let lost = || Error::Internal("a step of Lewis weights left nothing of a direction".into());
    let r = cholesky(gram)?.ok_or_else(lost)?;
    product(whitener.as_ref(), invert_upper(r.as_ref())?.as_ref())
}

/// What a step makes of some rows.
struct Made {
    /// Logarithms of their weights.
    logs: Result<Vec<f64>>,
    /// Largest |log(T(w) / w)|.
    residual: f64,
}

impl Made {
    fn new() -> Self {
        Self { logs: Ok(Vec::new()), residual: 0.0 }
    }

    fn add(&mut self, new: &[f64]) {
        if let Ok(logs) = &mut self.logs
            && let Err(error) = extend(logs, new.iter().copied(), WEIGHTS)
        {
            self.logs = Err(error);
        }
    }
}

struct Step {
    /// p / 2
    half: f64,
    theta: f64,
    /// 1/2 - 1/p
    power: f64,
    /// Largest change of a logarithm.
    stride: f64,
    /// Logarithm of weights so small that those of all rows together move no other one.
    negligible: f64,
}

impl Step {
    fn new(p: f64, n: usize) -> Self {
        let (theta, power) = (4.0 / (p + 2.0), 0.5 - p.recip());
        // Weights that change by e^s and e^-s change the condition of M by e^(4 s |power|).
        let stride = (LARGEST.ln() / (4.0 * theta * power.abs())).min(STRIDE);
        let negligible = (0.01 / (p * n as f64)).ln();
        Self { half: 0.5 * p, theta, power, stride, negligible }
    }

    /// New logarithms of weights from the old ones and the norms of whitened rows, which become entries of
    /// W^(1/2 - 1/p).
    fn take(&self, made: &mut Made, logs: &[f64], norms: &mut [f64]) {
        for (norms, logs) in norms.chunks_mut(FEW).zip(logs.chunks(FEW)) {
            let mut images = [0.0; FEW];
            let images = &mut images[..norms.len()];
            // Zeros are set apart below.
            images.iter_mut().zip(&*norms).for_each(|(image, norm)| *image = norm.max(f64::MIN_POSITIVE));
            ln_of_each(images);
            for ((norm, image), &log) in norms.iter().zip(images.iter_mut()).zip(logs) {
                *image =
                    if *norm == 0.0 { f64::NEG_INFINITY } else { self.next(made, self.half * *image, log) };
            }
            made.add(images);
            images.iter_mut().for_each(|log| *log *= self.power);
            exp_of_each(images);
            norms
                .iter_mut()
                .zip(images)
                .for_each(|(norm, root)| *norm = if *norm == 0.0 { 0.0 } else { *root });
        }
    }

    /// The next logarithm of a weight, from that of T(w) and its own.
    fn next(&self, made: &mut Made, image: f64, log: f64) -> f64 {
        let change = image - log;
        made.residual = made.residual.max(change.abs());
        if image.max(log) < self.negligible {
            return image;
        }
        log + self.theta * change.clamp(-self.stride, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::{entry, sparse_copy};
    use crate::linalg::{matmul, solve_upper_transposed};
    use crate::matrix::Axis;
    use crate::simd::digits::testing::{units, with_unit};

    /// a_i' M^-1 a_i for M = A' W^(1 - 2/p) A, to the power p/2.
    fn images(a: &Mat<f64>, weights: &[f64], p: f64) -> Vec<f64> {
        let root = |i: usize| if weights[i] > 0.0 { weights[i].powf(0.5 - 1.0 / p) } else { 0.0 };
        let scaled = Mat::from_fn(a.nrows(), a.ncols(), |i, j| root(i) * a[(i, j)]).unwrap();
        let mut gram = Mat::zeros(a.ncols(), a.ncols()).unwrap();
        matmul(gram.as_mut(), false, scaled.as_ref().t(), scaled.as_ref(), 1.0);
        let mut whitened = Mat::copy_of(a.as_ref().t()).unwrap();
        solve_upper_transposed(cholesky(&gram).unwrap().unwrap().as_ref(), whitened.as_mut());
        (0..a.nrows()).map(|i| whitened.col(i).iter().map(|z| z * z).sum::<f64>().powf(0.5 * p)).collect()
    }

    #[test]
    fn weights_are_their_own_images_whatever_the_layout_and_the_threads() {
        let (n, d) = (600, 5);
        let long = |i: usize| if i.is_multiple_of(50) { 30.0 } else { 1.0 };
        let a = Mat::from_fn(n, d, |i, j| if i == 77 { 0.0 } else { long(i) * entry(i, j) }).unwrap();
        let sparse = sparse_copy(a.as_ref(), Axis::Rows);
        for p in [1.0, 1.5, 3.0, 4.0, 12.0] {
            let params = LewisParams { p, tolerance: 1e-10, max_iter: 300 };
            let of = |a, threads| lewis_weights(&Context::new(threads), a, None, &params).unwrap();
            let lewis = of(Matrix::Dense(a.as_ref()), 1);
            assert_eq!(lewis.weights[77], 0.0);
            assert!((lewis.weights.iter().sum::<f64>() - d as f64).abs() < 1e-8);
            for (i, image) in images(&a, &lewis.weights, p).iter().enumerate().filter(|&(i, _)| i != 77) {
                assert!((image / lewis.weights[i] - 1.0).abs() < 1e-8, "p = {p}, row {i}");
            }
            assert_eq!(&*of(Matrix::Dense(a.as_ref()), 3).weights, &*lewis.weights);
            let other = of(Matrix::Sparse(sparse.as_ref()), 2);
            assert!(other.weights.iter().zip(&*lewis.weights).all(|(x, y)| (x - y).abs() <= 1e-7 * y));
        }
    }

    /// Where rows and columns are in units that differ, and some rows lie along a few of the others'.
    #[test]
    fn steps_by_digits_find_the_weights_that_steps_in_double_precision_do() {
        let (n, d) = (700, 256);
        let unit = |i: usize, j: usize| 2f64.powi((i % 17) as i32 - 8) * 10f64.powi((j % 7) as i32 - 3);
        let a = |i: usize, j: usize| {
            unit(i, j) * if i.is_multiple_of(9) { 1.0 + 1e-3 * entry(i, j) } else { entry(i, j) }
        };
        let a = Mat::from_fn(n, d, a).unwrap();
        for (p, tolerance) in [(1.0, 0.05), (1.5, ROUGH), (4.0, 0.05)] {
            let params = LewisParams { p, tolerance, max_iter: 60 };
            let of = |unit| {
                with_unit(unit, || {
                    lewis_weights(&Context::new(2), Matrix::Dense(a.as_ref()), None, &params).unwrap()
                })
            };
            let exact = of(None);
            for found in units().into_iter().map(|unit| of(Some(unit))) {
                assert!(found.passes == exact.passes && found.residual <= tolerance);
                // Not the same, or no digits were used.
                assert!(found.residual != exact.residual && (found.residual - exact.residual).abs() < 1e-3);
                for (found, exact) in found.weights.iter().zip(&*exact.weights) {
                    assert!((found / exact).ln().abs() < 2e-3, "{found} for {exact} at p = {p}");
                }
                for (image, weight) in images(&a, &found.weights, p).iter().zip(&*found.weights) {
                    assert!((image / weight).ln().abs() <= tolerance, "{image} of {weight} at p = {p}");
                }
            }
        }
    }

    #[test]
    fn weights_of_rows_are_roots_in_front_of_them() {
        let (n, d) = (200, 3);
        let counts: Vec<f64> = (0..n).map(|i| (i % 4) as f64).collect();
        let a = Mat::from_fn(n, d, entry).unwrap();
        for p in [1.0, 3.0] {
            let scaled = Mat::from_fn(n, d, |i, j| counts[i].powf(1.0 / p) * entry(i, j)).unwrap();
            let params = LewisParams { p, tolerance: 1e-9, max_iter: 100 };
            let of = |a: &Mat<f64>, counts| {
                lewis_weights(&Context::new(1), Matrix::Dense(a.as_ref()), counts, &params).unwrap().weights
            };
            let (found, truth) = (of(&a, Some(&counts[..])), of(&scaled, None));
            assert!(found.iter().zip(&*truth).all(|(x, y)| (x - y).abs() <= 1e-8 * y));
        }
    }
}
