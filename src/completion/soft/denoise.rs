//! Thresholds for the singular values of a matrix with noise.
//!
//! | entries | threshold | whose |
//! |---|---|---|
//! | all, noise of deviation σ, hard | σ √n (2 (β + 1) + 8 β / (β + 1 + √(β² + 14 β + 1)))^½ | Gavish and Donoho (2014) |
//! | the same, soft | σ √n (1 + √β) | the same |
//!
//! σ is that of the median singular value if it is not known; for a square matrix the first one is 4/√3 √n σ.
//! n is the larger side and β the smaller one over it. Where a share p of the entries is observed at random, these, less their
//! mean, stand among zeros: that is p times the matrix and noise, for what a gap takes from an entry m is nothing in the mean
//! and p (1 - p) m² in the mean square. As m is larger in some lines than in others, so is the noise: its norm is about the
//! root of the largest sum of variances of a row and that of a column (Bandeira and van Handel, Ann. Probab. 44, 2016), and
//! the threshold is no lower. Chatterjee's (2015), 2.1 √(n p) times half the range, is for the worst of all such noise. What
//! is left is divided by p and cut to the range.

use crate::error::{Error, Result};
use crate::linalg::{product, svd_apart};
use crate::matrix::Mat;
use crate::memory::collected;
use crate::parallel::Context;

/// A matrix without its small singular values.
pub struct Denoised {
    /// The matrix.
    pub matrix: Mat<f64>,
    /// Below it, singular values are zeros.
    pub threshold: f64,
    /// Those of the matrix that was thresholded, all of them.
    pub values: Vec<f64>,
    /// How many are above.
    pub rank: usize,
}

/// Thresholds a matrix, NaN where an entry is missing.
pub fn denoise(
    context: &Context,
    mut x: Mat<f64>,
    threshold: Option<f64>,
    noise: Option<f64>,
    soft: bool,
) -> Result<Denoised> {
    let (m, n) = (x.nrows(), x.ncols());
    let observed = || x.as_slice().iter().filter(|value| !value.is_nan());
    let count = observed().count();
    let (low, high) =
        observed().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &value| (a.min(value), b.max(value)));
    if count == 0 {
        return Err(Error::value("X", "without any entries", "at least one entry that is not NaN"));
    }
    let whole = count == m * n;
    let share = count as f64 / (m * n) as f64;
    // Halves, for the sum of two numbers may be out of range.
    let middle =
        if whole { 0.0 } else { 2.0 * observed().map(|value| 0.5 * value / count as f64).sum::<f64>() };
    x.as_mut_slice().iter_mut().for_each(|x| *x = if x.is_nan() { 0.0 } else { *x - middle });
    let of_gaps = if whole { 0.0 } else { norm_of_gaps(&x, share, noise.unwrap_or(0.0)) };
    let noise = noise.map(|noise| share.sqrt() * noise);
    let svd = svd_apart(context, x)?;
    let threshold = threshold.unwrap_or_else(|| noise_threshold((m, n), noise, &svd.s, soft).max(of_gaps));
    let rank = svd.s.iter().take_while(|&&value| value >= threshold && value > 0.0).count();
    let less = if soft { threshold } else { 0.0 };
    let scaled = Mat::from_fn(m, rank, |i, c| svd.u[(i, c)] * (svd.s[c] - less) / share)?;
    let mut matrix = product(scaled.as_ref(), svd.v.as_ref().cols(0..rank).t())?;
    if !whole {
        matrix.as_mut_slice().iter_mut().for_each(|x| *x = (*x + middle).clamp(low, high));
    }
    Ok(Denoised { matrix, threshold, values: collected(svd.s, "singular values")?, rank })
}

/// The norm of noise of this deviation, and of what gaps make of the matrix behind it, where it stands among zeros.
fn norm_of_gaps(x: &Mat<f64>, share: f64, noise: f64) -> f64 {
    let (m, n) = (x.nrows(), x.ncols());
    // In a unit in which no square is out of range.
    let unit = x.as_slice().iter().fold(noise, |most, x| most.max(x.abs())).max(f64::MIN_POSITIVE);
    let largest = |lines: usize, others: usize, at: &dyn Fn(usize, usize) -> f64| {
        let squares = |i: usize| (0..others).map(|j| (at(i, j) / unit).powi(2)).sum::<f64>();
        let most = (0..lines).map(squares).fold(0.0, f64::max);
        ((1.0 - share) * most + (share * noise / unit).powi(2) * others as f64).sqrt()
    };
    unit * (largest(m, n, &|i, j| x[(i, j)]) + largest(n, m, &|j, i| x[(i, j)]))
}

/// The threshold for a matrix with noise of this deviation, or one that is not known.
fn noise_threshold((m, n): (usize, usize), noise: Option<f64>, values: &[f64], soft: bool) -> f64 {
    let larger = m.max(n) as f64;
    let beta = m.min(n) as f64 / larger;
    let hard =
        (2.0 * (beta + 1.0) + 8.0 * beta / (beta + 1.0 + (beta * beta + 14.0 * beta + 1.0).sqrt())).sqrt();
    let size = match noise {
        Some(noise) => noise * larger.sqrt(),
        None => {
            // The hard threshold over the median singular value of noise alone, to within a hundredth.
            let over_median = 0.56 * beta.powi(3) - 0.95 * beta * beta + 1.82 * beta + 1.43;
            over_median * median(values) / hard
        }
    };
    size * if soft { 1.0 + beta.sqrt() } else { hard }
}

/// Of values in descending order.
fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { 0.5 * (values[middle - 1] + values[middle]) } else { values[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// A matrix of rank 3 with singular values of 5 to 10 times the largest one of noise of deviation one, and that noise.
    fn noisy(m: usize, n: usize) -> (Mat<f64>, Mat<f64>) {
        let [left, right, noise] = [1, 2, 3].map(|purpose| Stream::new(7, 0, purpose));
        let size = |c: usize| {
            (5.0 - c as f64) * 2.0 * ((m as f64).sqrt() + (n as f64).sqrt()) / ((m * n) as f64).sqrt()
        };
        let truth = Mat::from_fn(m, n, |i, j| {
            (0..3).map(|c| size(c) * left.normal(i as u64, c as u64) * right.normal(j as u64, c as u64)).sum()
        })
        .unwrap();
        let with = Mat::from_fn(m, n, |i, j| truth[(i, j)] + noise.normal(i as u64, j as u64)).unwrap();
        (truth, with)
    }

    fn error(one: &Mat<f64>, other: &Mat<f64>) -> f64 {
        let squares = one.as_slice().iter().zip(other.as_slice()).map(|(a, b)| (a - b).powi(2));
        (squares.sum::<f64>() / one.as_slice().len() as f64).sqrt()
    }

    #[test]
    fn the_rank_of_a_matrix_with_noise_is_found_with_and_without_its_size() {
        for (m, n) in [(80, 80), (60, 200), (200, 60)] {
            let (truth, with) = noisy(m, n);
            for noise in [Some(1.0), None] {
                for soft in [false, true] {
                    let copy = Mat::copy_of(with.as_ref()).unwrap();
                    let found = denoise(&Context::new(1), copy, None, noise, soft).unwrap();
                    assert_eq!(
                        found.rank,
                        3,
                        "{m} x {n} {noise:?} {soft}: {} {:?}",
                        found.threshold,
                        &found.values[..5]
                    );
                    let limit = if soft { 0.7 } else { 0.4 };
                    assert!(error(&truth, &found.matrix) < limit * error(&truth, &with));
                }
            }
        }
        assert!((noise_threshold((9, 9), Some(1.0), &[], false) - 3.0 * 4.0 / 3f64.sqrt()).abs() < 1e-12);
        let unknown = noise_threshold((9, 9), None, &[3.0, 1.0, 0.0], false);
        assert!((unknown - 2.858).abs() < 3e-3, "{unknown}");
    }

    #[test]
    fn the_rank_is_found_beside_gaps_too() {
        for share in [0.3, 0.5] {
            let (truth, with) = noisy(150, 120);
            let stream = Stream::new(8, 0, 1);
            let gap = |i: usize, j: usize| stream.uniform(i as u64, j as u64) < share;
            let holed =
                || Mat::from_fn(150, 120, |i, j| if gap(i, j) { f64::NAN } else { with[(i, j)] }).unwrap();
            for noise in [Some(1.0), None] {
                let found = denoise(&Context::new(1), holed(), None, noise, false).unwrap();
                assert_eq!(found.rank, 3, "{share} {noise:?}: {} {:?}", found.threshold, &found.values[..5]);
                assert!(error(&truth, &found.matrix) < error(&truth, &with));
            }
            // By so much more as the noise is larger, and what it takes from the entries smaller.
            let of = |noise| denoise(&Context::new(1), holed(), None, Some(noise), false).unwrap().threshold;
            assert!(of(0.5) < of(1.0));
        }
    }

    #[test]
    fn gaps_are_filled_within_the_range_and_better_than_by_the_mean() {
        let (truth, mut with) = noisy(150, 120);
        let stream = Stream::new(8, 0, 1);
        let size = with.as_slice().iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let count = with.as_slice().len();
        for k in 0..count {
            let x = &mut with.as_mut_slice()[k];
            *x = if stream.uniform(k as u64, 0) < 0.3 { f64::NAN } else { (*x / size).signum() + 3.0 };
        }
        let found = denoise(&Context::new(1), with, None, None, false).unwrap();
        assert!(found.matrix.as_slice().iter().all(|x| (2.0..=4.0).contains(x)));
        assert!((1..=6).contains(&found.rank), "{}", found.rank);
        let right = found.matrix.as_slice().iter().zip(truth.as_slice());
        let share =
            right.filter(|(found, truth)| (*found > &3.0) == (*truth > &0.0)).count() as f64 / count as f64;
        assert!(share > 0.75, "{share}");
        let nothing = Mat::from_fn(2, 2, |_, _| f64::NAN).unwrap();
        assert!(denoise(&Context::new(1), nothing, None, None, false).is_err());
    }
}
