//! How far a factor is from that of A, with a proof: a lower bound on the spectrum of the preconditioned normal
//! equations.
//!
//! With M = R'^-1 (A'A + ridge) R^-1, a number `low` below every eigenvalue of M turns what R says into what A says:
//! (A'A + ridge)^-1 <= (R'R)^-1 / low. Eigenvalues of M that are all near one are no proof by themselves that a Lanczos
//! iteration has seen them all, but its coefficients are. Let q be a unit vector drawn at random, theta_1 .. theta_k
//! the Ritz values after k steps and beta_1 .. beta_k the norms that the steps left. Of all monic polynomials of
//! degree k the one with the zeros theta has the smallest |p(M) q|, and this norm is beta_1 ... beta_k. The component
//! of q along an eigenvector of the smallest eigenvalue is at least eta in magnitude, but for a probability of at
//! most eta sqrt(2 d / pi). Then
//!
//! |p(lambda)| eta <= |p(M) q|, that is (theta_1 - lambda) ... (theta_k - lambda) <= beta_1 ... beta_k / eta,
//!
//! and the left side grows as lambda falls below theta_1. The bound holds for all k at once. A factor that is off by
//! rho settles it in a few steps: the bound comes within about rho / eta^(1/k) of the spectrum.

use crate::error::Result;
use crate::linalg::{eigh, norm};
use crate::matrix::{Mat, Real};
use crate::memory::{copied, gathered, push, zeros};
use crate::random::Stream;
use crate::regression::refine::{Group, Scaled};
use crate::simd::{axpy, dot};

/// Probability with which the random start may hide the smallest eigenvalue.
pub(crate) const FAILURE: f64 = 1e-6;
/// Steps after which the bound is taken for what it is.
const MOST_STEPS: usize = 48;
/// A smallest Ritz value below this is the end: no bound made of it is worth having.
pub(crate) const USELESS: f64 = 0.1;

/// What is known of the eigenvalues of M.
pub(crate) struct Spectrum {
    /// Smaller than all of them but for the probability [`FAILURE`]; not positive if nothing is known.
    pub low: f64,
    /// Steps of the iteration, each a read of A.
    pub steps: usize,
}

/// A lower bound on the spectrum of M for a factor of this condition, within a factor of two if it can be had.
/// `start` supplies the random vector.
pub(crate) fn spectrum<T: Real>(
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    condition: f64,
    start: Stream,
) -> Result<Spectrum> {
    let order = scaled.factor.rank() - scaled.empty.len();
    let mut lanczos = Lanczos::new(scaled, start)?;
    let mut low = 1.0;
    for step in 1..=MOST_STEPS.min(order) {
        let product = group.normal_product(scaled, &lanczos.basis_vector()?)?;
        if !product.as_slice().iter().all(|value| value.is_finite()) {
            low = f64::NAN;
            break;
        }
        lanczos.extend(product.col(0))?;
        let ritz = lanczos.ritz_values()?;
        low = ritz[0] - if step == order { 0.0 } else { lanczos.margin(&ritz, order) };
        if low.is_nan() || ritz[0] < USELESS || low >= 0.5 * ritz[0] {
            break;
        }
    }
    Ok(Spectrum { low: low - rounding(scaled, condition), steps: lanczos.alpha.len() })
}

/// What products with M are off by: solves with R see a matrix that is off by roundings times its condition.
pub(crate) fn rounding(scaled: &Scaled, condition: f64) -> f64 {
    (16.0 + 4.0 * (scaled.factor.rank() as f64).sqrt()) * condition * f64::UNIT_ROUNDOFF
}

const VECTOR: &str = "a Lanczos vector";

/// The Lanczos iteration with full orthogonalisation.
struct Lanczos {
    /// What columns of zeros look like, which M maps to zero.
    empty: Vec<Vec<f64>>,
    /// The orthonormal vectors so far, and the next one.
    basis: Vec<Vec<f64>>,
    alpha: Vec<f64>,
    beta: Vec<f64>,
}

impl Lanczos {
    /// A random start, without the coordinates of columns of zeros.
    fn new(scaled: &Scaled, start: Stream) -> Result<Self> {
        let unit = |i: usize, k: usize| if i == scaled.empty[k] { 1.0 } else { 0.0 };
        let units = Mat::from_fn(scaled.scale.len(), scaled.empty.len(), unit)?;
        let whitened = scaled.factor.whiten(&units)?;
        let empty = (0..scaled.empty.len()).map(|k| Ok(normalised(copied(whitened.col(k), VECTOR)?).0));
        let empty = gathered(empty, VECTOR)?;
        let mut lanczos = Self { empty, basis: Vec::new(), alpha: Vec::new(), beta: Vec::new() };
        let mut first = zeros(scaled.factor.rank(), VECTOR)?;
        start.normals_of_row(0, &mut first);
        lanczos.orthogonalise(&mut first);
        push(&mut lanczos.basis, normalised(first).0, VECTOR)?;
        Ok(lanczos)
    }

    fn orthogonalise(&self, vector: &mut [f64]) {
        for _ in 0..2 {
            for other in self.empty.iter().chain(&self.basis) {
                let along = dot(vector, other);
                axpy(-along, other, vector);
            }
        }
    }

    fn basis_vector(&self) -> Result<Mat<f64>> {
        let last = &self.basis[self.basis.len() - 1];
        Mat::from_fn(last.len(), 1, |i, _| last[i])
    }

    /// Takes the product of M with the last vector of the basis.
    fn extend(&mut self, product: &[f64]) -> Result<()> {
        let mut next = copied(product, VECTOR)?;
        push(&mut self.alpha, dot(&next, &self.basis[self.basis.len() - 1]), VECTOR)?;
        self.orthogonalise(&mut next);
        let (next, length) = normalised(next);
        push(&mut self.beta, length, VECTOR)?;
        push(&mut self.basis, next, VECTOR)
    }

    fn ritz_values(&self) -> Result<Vec<f64>> {
        let k = self.alpha.len();
        let tridiagonal = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
            0 => self.alpha[i],
            1 => self.beta[i.min(j)],
            _ => 0.0,
        })?;
        Ok(eigh(&tridiagonal)?.0)
    }

    /// How far below the smallest Ritz value an eigenvalue can be.
    fn margin(&self, ritz: &[f64], order: usize) -> f64 {
        let eta = FAILURE * (std::f64::consts::PI / 2.0 / order as f64).sqrt();
        let most = self.beta.iter().map(|beta| beta.ln()).sum::<f64>() - eta.ln();
        // Every factor is at least as large as the margin.
        let (mut inside, mut outside) = (0.0, (most / ritz.len() as f64).exp());
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            let product: f64 = ritz.iter().map(|theta| (theta - ritz[0] + middle).ln()).sum();
            if product <= most { inside = middle } else { outside = middle }
        }
        outside
    }
}

/// A vector at length one, unless it is zero, and its length.
fn normalised(mut vector: Vec<f64>) -> (Vec<f64>, f64) {
    let length = norm(&vector);
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v /= length);
    }
    (vector, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::refine::START;

    /// Lower bounds on diag(`values`) after every number of steps.
    fn bounds(values: &[f64], seed: u64) -> Vec<f64> {
        let factor = crate::linalg::Factor::Triangle(Mat::identity(values.len()).unwrap());
        let scaled = Scaled { factor, scale: vec![1.0; values.len()], empty: Vec::new(), cut: 0.0 };
        let mut lanczos = Lanczos::new(&scaled, Stream::new(seed, 0, START)).unwrap();
        (1..values.len().min(MOST_STEPS))
            .map(|_| {
                let last = &lanczos.basis[lanczos.basis.len() - 1];
                let product: Vec<f64> = last.iter().zip(values).map(|(q, value)| q * value).collect();
                lanczos.extend(&product).unwrap();
                let ritz = lanczos.ritz_values().unwrap();
                ritz[0] - lanczos.margin(&ritz, values.len())
            })
            .collect()
    }

    #[test]
    fn no_eigenvalue_is_below_the_bound_and_the_bound_gets_close() {
        let d = 60;
        let grid =
            |low: f64, high: f64| (0..d).map(|i| low + (high - low) * i as f64 / (d - 1) as f64).collect();
        let nearly_one: Vec<f64> = grid(1.0 - 1e-6, 1.0 + 1e-6);
        let mut one_is_lost = nearly_one.clone();
        one_is_lost[17] = 1e-9;
        let mut one_is_off = nearly_one.clone();
        one_is_off[17] = 0.4;
        let spectra: [(Vec<f64>, usize, f64); 5] = [
            (vec![1.0; d], 1, 1.0),
            (nearly_one, 3, 0.9),
            (grid(0.6, 2.0), 20, 0.3),
            (one_is_off, 4, 0.39),
            (one_is_lost, 1, f64::NEG_INFINITY),
        ];
        for (values, steps, close) in spectra {
            let least = values.iter().fold(f64::INFINITY, |least, &value| least.min(value));
            for seed in 0..20 {
                let bounds = bounds(&values, seed);
                assert!(bounds.iter().all(|&bound| bound <= least + 1e-14), "{least}: {bounds:?}");
                assert!(bounds[steps - 1] >= close - 1e-9, "{least}: {bounds:?}");
            }
        }
    }
}
