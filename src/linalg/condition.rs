//! How close to singular a triangle is.

use super::scaling::{larger, largest_of, scale, unit_of};
use crate::error::Result;
use crate::matrix::{Dense, Mat};
use crate::memory::zeros;
use crate::simd::{axpy, dot, norm_sq};
use std::ops::Range;

/// A power iteration ends after so many rounds, or when one gains less than this factor.
const ROUNDS: usize = 8;
const SETTLED: f64 = 1.05;

/// Estimate of the 2-norm condition number of an upper triangle R, of which only the upper half is read.
/// But for rounding it is never above the truth; it is hardly ever below 0.7 of it, and in no test below 0.4.
///
/// Infinity if the diagonal holds a zero or if anything in R is not finite. Costs a few products and solves with R
/// and R': O(d²).
///
/// Panics if R is not square.
pub fn condition_of_upper(r: Dense<'_, f64>) -> Result<f64> {
    let (d, mut memory) = (r.nrows(), None);
    let scaled;
    assert_eq!(d, r.ncols());
    let mut r = by_columns(r, &mut memory)?;
    let largest = (0..d).fold(0.0, |largest, j| larger(largest_of(upper(r, j)), largest));
    let is_finite = |j: usize| upper(r, j).iter().all(|value| value.is_finite());
    if (0..d).any(|j| upper(r, j)[j] == 0.0 || !is_finite(j)) {
        return Ok(f64::INFINITY);
    }
    if !PLAIN.contains(&largest) {
        let unit = unit_of(largest);
        scaled = Mat::from_fn(d, d, |i, j| if i <= j { r.get(i, j) / unit } else { 0.0 })?;
        r = scaled.as_ref();
    }
    let norm = power_iteration(scattered(d)?, |x| multiply(r, x), |x| multiply_transposed(r, x));
    let norm_of_inverse = power_iteration(large_solution(r)?, |x| solve(r, x), |x| solve_transposed(r, x));
    let condition = norm * norm_of_inverse;
    Ok(if condition.is_nan() { f64::INFINITY } else { condition.max(1.0) })
}

/// Magnitudes whose squares are in range.
const PLAIN: Range<f64> = 1e-100..1e100;

/// Estimate of |R|_2 for an upper triangle R, of which only the upper half is read: never above the truth but for
/// rounding, and as close to it as [`condition_of_upper`]. NaN or infinity if R is not finite. Costs O(d²).
///
/// Panics if R is not square.
pub fn norm_of_upper(r: Dense<'_, f64>) -> Result<f64> {
    assert_eq!(r.nrows(), r.ncols());
    let mut memory = None;
    let r = by_columns(r, &mut memory)?;
    Ok(power_iteration(scattered(r.ncols())?, |x| multiply(r, x), |x| multiply_transposed(r, x)))
}

/// R where it lies if its columns are contiguous there: large ones are read faster than they are copied.
fn by_columns<'r>(r: Dense<'r, f64>, memory: &'r mut Option<Mat<f64>>) -> Result<Dense<'r, f64>> {
    if r.row_stride() == 1 { Ok(r) } else { Ok(memory.insert(Mat::copy_of(r)?).as_ref()) }
}

/// Column j of R down to its diagonal.
fn upper(r: Dense<'_, f64>, j: usize) -> &[f64] {
    &r.data()[j * r.col_stride()..][..=j]
}

/// The largest growth that a few applications of an operator and of its transpose, in turn, give `x`;
/// infinity if a number overflows.
pub(super) fn power_iteration(
    mut x: Vec<f64>,
    apply: impl Fn(&mut [f64]),
    transposed: impl Fn(&mut [f64]),
) -> f64 {
    let mut growth = 0.0;
    let mut finite = normalise(&mut x).is_finite();
    for _ in 0..ROUNDS {
        let before = growth;
        for operator in [&apply as &dyn Fn(&mut [f64]), &transposed] {
            operator(&mut x);
            let grown = normalise(&mut x);
            finite &= grown.is_finite();
            growth = grown.max(growth);
        }
        if !finite || growth < SETTLED * before {
            break;
        }
    }
    if finite { growth } else { f64::INFINITY }
}

/// Divides `x` by its length, which is returned.
fn normalise(x: &mut [f64]) -> f64 {
    let unit = unit_of(largest_of(x));
    scale(x, unit.recip());
    let norm = norm_sq(x).sqrt();
    x.iter_mut().for_each(|value| *value /= norm);
    unit * norm
}

/// A vector without structure.
pub(super) fn scattered(d: usize) -> Result<Vec<f64>> {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let mut x = zeros(d, "a condition number")?;
    x.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f64 * GOLDEN).fract() - 0.45);
    Ok(x)
}

/// y with R'y = (±1, …, ±1), the signs chosen on the way such that y grows (as LINPACK does).
fn large_solution(r: Dense<'_, f64>) -> Result<Vec<f64>> {
    let mut y = zeros(r.ncols(), "a condition number")?;
    let mut one = 1.0f64;
    for j in 0..y.len() {
        let known = dot(&upper(r, j)[..j], &y[..j]);
        y[j] = -(known + one.copysign(known)) / upper(r, j)[j];
        if y[j].abs() > 1e100 {
            y[..=j].iter_mut().for_each(|value| *value *= 1e-100);
            one *= 1e-100;
        }
    }
    Ok(y)
}

/// x = R x
fn multiply(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in 0..x.len() {
        let (head, tail) = x.split_at_mut(j);
        axpy(tail[0], &upper(r, j)[..j], head);
        tail[0] *= upper(r, j)[j];
    }
}

/// x = R'x
fn multiply_transposed(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in (0..x.len()).rev() {
        x[j] = dot(upper(r, j), &x[..=j]);
    }
}

/// x = R⁻¹x
fn solve(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in (0..x.len()).rev() {
        let (head, tail) = x.split_at_mut(j);
        tail[0] /= upper(r, j)[j];
        axpy(-tail[0], &upper(r, j)[..j], head);
    }
}

/// x = R'⁻¹x
fn solve_transposed(r: Dense<'_, f64>, x: &mut [f64]) {
    for j in 0..x.len() {
        x[j] = (x[j] - dot(&upper(r, j)[..j], &x[..j])) / upper(r, j)[j];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{Qr, matmul, svd, testing};

    fn check(r: &Mat<f64>, what: &str) -> f64 {
        let s = svd(r.as_ref()).unwrap().s;
        let (estimate, truth) = (condition_of_upper(r.as_ref()).unwrap(), s[0] / s[s.len() - 1]);
        let trusted = truth.min(1e15);
        assert!(estimate > trusted / 3.0, "{what}: {estimate:e} for {truth:e}");
        // The SVD itself knows the smallest singular value to a few roundings of the largest only.
        let doubt = 1.001 + 50.0 * f64::EPSILON * truth;
        assert!(truth > 1e15 || estimate < doubt * truth, "{what}: {estimate:e} for {truth:e}");
        estimate / trusted
    }

    #[test]
    fn random_triangles_of_every_condition() {
        let mut worst: f64 = 1.0;
        for (case, d) in [1, 2, 3, 5, 8, 17, 40, 90].into_iter().cycle().take(400).enumerate() {
            let decades = 16.0 * (case % 17) as f64 / 16.0;
            // Spectra that fall evenly, in one step at the end, and in one step at the start.
            let fall = |j: usize| match case % 3 {
                0 => j as f64 / (d - 1).max(1) as f64,
                1 => f64::from(j + 1 == d),
                _ => f64::from(j > 0),
            };
            let u = Qr::new(testing::gaussian(d, d, case as u64)).unwrap().thin_q().unwrap();
            let v = Qr::new(testing::gaussian(d, d, 1000 + case as u64)).unwrap().thin_q().unwrap();
            let scaled = Mat::from_fn(d, d, |i, j| u[(i, j)] * 10f64.powf(-decades * fall(j))).unwrap();
            let mut a = Mat::zeros(d, d).unwrap();
            matmul(a.as_mut(), false, scaled.as_ref(), v.as_ref().t(), 1.0);
            let r = Qr::new(a).unwrap().r().unwrap();
            worst = worst.min(check(&r, "spectrum"));
        }
        assert!(worst > 0.5, "{worst}");
    }

    #[test]
    fn graded_triangles() {
        for case in 0..200 {
            let d = 2 + case % 60;
            let grade = 10f64.powf(-14.0 * (case % 11) as f64 / 10.0 / d as f64);
            let a = testing::gaussian(d, d, case as u64);
            let entry = |i: usize, j: usize| if i <= j { a[(i, j)] } else { 0.0 };
            let diagonal = |i: usize, j: usize| if i == j { 1.0 } else { entry(i, j) };
            check(&Mat::from_fn(d, d, |i, j| entry(i, j) * grade.powi(i as i32)).unwrap(), "rows");
            check(&Mat::from_fn(d, d, |i, j| entry(i, j) * grade.powi(j as i32)).unwrap(), "columns");
            check(&Mat::from_fn(d, d, diagonal).unwrap(), "unit diagonal");
        }
    }

    /// Kahan's triangles look regular on their diagonal and are not.
    #[test]
    fn kahan_triangles() {
        for d in [5, 20, 50, 100, 200] {
            for angle in [0.4, 0.8, 1.2, 1.4] {
                let (s, c) = f64::sin_cos(angle);
                let entry = |i: usize, j: usize| match i.cmp(&j) {
                    std::cmp::Ordering::Equal => s.powi(i as i32),
                    std::cmp::Ordering::Less => -c * s.powi(i as i32),
                    std::cmp::Ordering::Greater => 0.0,
                };
                check(&Mat::from_fn(d, d, entry).unwrap(), "Kahan");
                // All ones above the diagonal but with alternating signs: growth without cancellation.
                let entry = |i: usize, j: usize| if i == j { 1.0 } else { entry(i, j).signum() * c };
                let upper = |i: usize, j: usize| if i <= j { entry(i, j) } else { 0.0 };
                check(&Mat::from_fn(d, d, upper).unwrap(), "unit Kahan");
            }
        }
    }

    #[test]
    fn scale_and_special_values() {
        let r = testing::upper(12, 3);
        let expected = condition_of_upper(r.as_ref()).unwrap();
        for factor in [1e-150, 1e-300, 1e150, 1e300] {
            let scaled = Mat::from_fn(12, 12, |i, j| factor * r[(i, j)]).unwrap();
            let ratio = condition_of_upper(scaled.as_ref()).unwrap() / expected;
            assert!((ratio - 1.0).abs() < 1e-6, "{factor:e}: {ratio}");
        }
        for bad in [0.0, f64::NAN, f64::INFINITY] {
            let spoilt = Mat::from_fn(12, 12, |i, j| if i == 7 && j == 7 { bad } else { r[(i, j)] }).unwrap();
            assert_eq!(condition_of_upper(spoilt.as_ref()).unwrap(), f64::INFINITY);
        }
        assert_eq!(condition_of_upper(Mat::zeros(0, 0).unwrap().as_ref()).unwrap(), 1.0);
        assert_eq!(condition_of_upper(Mat::from_fn(1, 1, |_, _| -3.0).unwrap().as_ref()).unwrap(), 1.0);
        let tiny = Mat::from_fn(2, 2, |i, j| if i == j { [1.0, 1e-310][i] } else { 0.0 }).unwrap();
        assert!(condition_of_upper(tiny.as_ref()).unwrap() > 1e300);
    }

    #[test]
    fn only_the_upper_half_is_read() {
        let r = testing::upper(9, 4);
        let marked = Mat::from_fn(9, 9, |i, j| if i <= j { r[(i, j)] } else { f64::NAN }).unwrap();
        assert_eq!(condition_of_upper(marked.as_ref()).unwrap(), condition_of_upper(r.as_ref()).unwrap());
    }
}
