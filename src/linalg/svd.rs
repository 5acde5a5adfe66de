//! Thin singular value decomposition.

use super::doubt::{is_svd, work_of};
use super::scaling::{check_finite, copy_narrowed, largest_of, narrow, scale, to_order_one, unit_of};
use super::view::{Scratch, ScratchSize, view, view_mut};
use super::{Qr, Scalar, jacobi};
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Mat};
use crate::memory::zeros;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::svd::{self as routine, ComputeSvdVectors::Thin, SvdParams};
use faer::{Auto, Par, Spec};

/// A = U diag(s) V' with orthonormal columns in U (m x k) and V (n x k), k = min(m, n).
pub struct Svd {
    /// Left singular vectors, m x k.
    pub u: Mat<f64>,
    /// Singular values, descending.
    pub s: Vec<f64>,
    /// Right singular vectors, n x k.
    pub v: Mat<f64>,
}

/// A matrix with more rows than this times its columns is reduced to a triangle first.
const TALL: f64 = 1.5;

/// Thin SVD of A.
///
/// An error if A holds NaN or an infinity, if memory is short, or if no algorithm gives one that stands a check.
/// Singular values that are out of range are infinite.
pub fn svd(a: Dense<'_, f64>) -> Result<Svd> {
    check_finite(a)?;
    if a.nrows() >= a.ncols() {
        return not_wide(a);
    }
    let Svd { u, s, v } = not_wide(a.t())?;
    Ok(Svd { u: v, s, v: u })
}

fn not_wide(a: Dense<'_, f64>) -> Result<Svd> {
    let (m, n) = (a.nrows(), a.ncols());
    let mut a = Mat::copy_of(a)?;
    let unit = unit_of(largest_of(a.as_slice()));
    scale(a.as_mut_slice(), unit.recip());
    let mut svd = if m as f64 > TALL * n as f64 { of_tall(a)? } else { of_squarish(a)? };
    scale(&mut svd.s, unit);
    Ok(svd)
}

/// U of A = QR is Q times U of R.
fn of_tall(a: Mat<f64>) -> Result<Svd> {
    let (m, n) = (a.nrows(), a.ncols());
    let qr = Qr::new(a)?;
    let of_r = of_squarish(qr.r()?)?;
    let mut u = Mat::from_fn(m, n, |i, j| if i < n { of_r.u[(i, j)] } else { 0.0 })?;
    qr.apply_q(&mut u)?;
    Ok(Svd { u, ..of_r })
}

fn of_squarish(mut a: Mat<f64>) -> Result<Svd> {
    let (m, n) = (a.nrows(), a.ncols());
    let (mut u, mut v, mut s) = (Mat::zeros(m, n)?, Mat::zeros(n, n)?, zeros(n, "singular values")?);
    let mut scratch = Scratch::new(svd_scratch::<f64>(m, n))?;
    svd_into(a.as_mut(), u.as_mut(), &mut s, v.as_mut(), &mut scratch)?;
    Ok(Svd { u, s, v })
}

/// What [`svd_into`] works in for an m x n matrix.
pub fn svd_scratch<T: Scalar>(m: usize, n: usize) -> ScratchSize {
    let request = |parameters| routine::svd_scratch::<T>(m, n, Thin, Thin, Par::Seq, parameters);
    let routine = request(divide_and_conquer()).or(request(qr_iteration()));
    ScratchSize(StackReq::new::<f64>(work_of(m)).and(routine))
}

/// [`svd`] of an m x n matrix that is not wide, into memory that is there: `u` (m x n), `s` and `v` (n x n). A is
/// destroyed. Nothing is allocated, unless no iteration stands the check and Jacobi's method has to. A matrix that is
/// much taller than wide is better reduced to a triangle first.
///
/// Panics if the shapes do not fit, if columns are not contiguous, or if the scratch is smaller than asked for.
pub fn svd_into<T: Scalar>(
    mut a: DenseMut<'_, T>,
    mut u: DenseMut<'_, T>,
    s: &mut [T],
    mut v: DenseMut<'_, T>,
    scratch: &mut Scratch,
) -> Result<()> {
    let (m, n) = (a.nrows(), a.ncols());
    assert!(m >= n && u.nrows() == m && u.ncols() == n && s.len() == n && v.nrows() == n && v.ncols() == n);
    assert!(n == 0 || a.row_stride() == 1 && u.row_stride() == 1 && v.row_stride() == 1);
    if n == 0 {
        return Ok(());
    }
    let unit = to_order_one(a.reborrow())?;
    let (mut work, stack) = scratch.stack().make_with(work_of(m), |_| 0.0f64);
    let mut sound = false;
    // Divide and conquer is the fastest and leaves the fewest roundings, but faer's is wrong for one in a hundred of
    // the matrices with repeated singular values, as indicators have them: vectors that are not orthogonal, or NaN.
    for parameters in [divide_and_conquer(), qr_iteration()] {
        sound = by_faer(a.as_ref(), u.reborrow(), s, v.reborrow(), stack, parameters)
            && is_svd(a.as_ref(), u.as_ref(), s, v.as_ref(), &mut work);
        if sound {
            break;
        }
    }
    if !sound {
        let found = jacobi::svd(Mat::from_fn(m, n, |i, j| a.as_ref().get(i, j).to_f64())?)?;
        copy_narrowed(&found.0, u.reborrow());
        narrow(&found.1, s);
        copy_narrowed(&found.2, v.reborrow());
        if !is_svd(a.as_ref(), u.as_ref(), s, v.as_ref(), &mut work) {
            return Err(Error::Internal("no singular value decomposition".into()));
        }
    }
    s.iter_mut().for_each(|value| *value = T::from_f64(value.to_f64() * unit));
    Ok(())
}

/// False if the iteration does not converge.
fn by_faer<T: Scalar>(
    a: Dense<'_, T>,
    u: DenseMut<'_, T>,
    s: &mut [T],
    v: DenseMut<'_, T>,
    stack: &mut MemStack,
    parameters: Spec<SvdParams, T>,
) -> bool {
    let (u, v) = (Some(view_mut(u)), Some(view_mut(v)));
    routine::svd(view(a), DiagMut::from_slice_mut(s), u, v, Par::Seq, stack, parameters).is_ok()
}

/// Smaller leaves than faer's 128: as fast, and a third less rounding.
fn divide_and_conquer<T: Scalar>() -> Spec<SvdParams, T> {
    Spec::new(SvdParams { recursion_threshold: 64, qr_ratio_threshold: f64::INFINITY, ..Auto::<T>::auto() })
}

fn qr_iteration<T: Scalar>() -> Spec<SvdParams, T> {
    Spec::new(SvdParams { recursion_threshold: usize::MAX, ..*divide_and_conquer::<T>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    fn check(a: Dense<'_, f64>, what: &str) -> Svd {
        let svd = svd(a).unwrap();
        check_svd(a, &svd, what);
        svd
    }

    proptest! {
        #[test]
        fn factors_multiply_back(case in any_matrix()) {
            check(case.view(), &format!("{case:?}"));
        }
    }

    #[test]
    fn known_singular_values() {
        for (m, n) in [(50, 50), (300, 150), (150, 300), (200, 190)] {
            let k = m.min(n);
            let u = Qr::new(gaussian(m, k, 1)).unwrap().thin_q().unwrap();
            let v = Qr::new(gaussian(n, k, 2)).unwrap().thin_q().unwrap();
            for decades in [0.0, 5.0, 15.0] {
                let truth: Vec<f64> = (0..k).map(|j| 10f64.powf(-decades * j as f64 / k as f64)).collect();
                let scaled = Mat::from_fn(m, k, |i, j| u[(i, j)] * truth[j]).unwrap();
                let a = product(scaled.as_ref(), v.as_ref().t());
                let found = check(a.as_ref(), "known").s;
                let error = truth.iter().zip(found).map(|(truth, found)| (truth - found).abs());
                let error = error.fold(0.0, f64::max);
                assert!(error < 4e-14, "{m} x {n}, {decades} decades: {error:e}");
            }
        }
    }

    #[test]
    fn structured_matrices() {
        for seed in 0..210 {
            let n = 60 + seed as usize * 37 % 120;
            let a = structured(n, seed);
            check(a.as_ref(), &format!("structure {seed}"));
            if seed % 7 == 0 {
                let triangle = Qr::new(a).unwrap().r().unwrap();
                check(triangle.as_ref(), &format!("triangle of structure {seed}"));
            }
        }
    }

    #[test]
    fn the_second_algorithm_is_as_good() {
        for seed in 0..70 {
            let a = structured(20 + seed as usize * 29 % 90, seed);
            let n = a.ncols();
            let (mut u, mut s, mut v) = (Mat::zeros(n, n).unwrap(), vec![0.0; n], Mat::zeros(n, n).unwrap());
            let mut scratch = Scratch::new(svd_scratch::<f64>(n, n)).unwrap();
            let stack = scratch.stack();
            assert!(by_faer(a.as_ref(), u.as_mut(), &mut s, v.as_mut(), stack, qr_iteration()));
            let svd = Svd { u, s, v };
            check_svd(a.as_ref(), &svd, &format!("structure {seed}"));
        }
    }

    #[test]
    fn special_matrices() {
        for n in [1, 2, 20, 140] {
            check(Mat::zeros(n, n).unwrap().as_ref(), "zero");
            check(Mat::identity(n).unwrap().as_ref(), "identity");
            check(Mat::from_fn(n, n, |_, _| 1.0).unwrap().as_ref(), "ones");
            check(Mat::from_fn(n, n, |i, j| f64::from(j == i + 1)).unwrap().as_ref(), "nilpotent");
            let graded = gaussian(n, n, 5);
            check(
                Mat::from_fn(n, n, |i, j| graded[(i, j)] * 0.1f64.powi(i as i32)).unwrap().as_ref(),
                "graded",
            );
        }
    }

    #[test]
    fn non_finite_entries_are_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            for n in [1, 5, 150] {
                let a = Mat::from_fn(n, n, |i, j| if i + j == n - 1 { bad } else { 1.0 }).unwrap();
                let expected = Error::non_finite("A", bad, format!("[{}, 0]", n - 1));
                assert_eq!(svd(a.as_ref()).err(), Some(expected));
            }
        }
    }

    #[test]
    fn memory_is_lent_for_many_shapes_and_both_precisions() {
        let size = svd_scratch::<f64>(60, 40).or(svd_scratch::<f32>(60, 40)).or(svd_scratch::<f64>(33, 33));
        let mut scratch = Scratch::new(size).unwrap();
        for (m, n) in [(0, 0), (1, 1), (7, 7), (33, 33), (60, 40), (12, 3), (9, 0)] {
            let a = gaussian(m, n, 4);
            let (mut copy, mut s) = (a.copy().unwrap(), vec![0.0; n]);
            let (mut u, mut v) = (Mat::zeros(m, n).unwrap(), Mat::zeros(n, n).unwrap());
            svd_into(copy.as_mut(), u.as_mut(), &mut s, v.as_mut(), &mut scratch).unwrap();
            let found = Svd { u, s, v };
            check_svd(a.as_ref(), &found, "lent");

            let mut single = Mat::<f32>::from_fn(m, n, |i, j| 1e30 * a[(i, j)] as f32).unwrap();
            let (mut u, mut v) = (Mat::<f32>::zeros(m, n).unwrap(), Mat::<f32>::zeros(n, n).unwrap());
            let mut s = vec![0.0f32; n];
            svd_into(single.as_mut(), u.as_mut(), &mut s, v.as_mut(), &mut scratch).unwrap();
            for (s, truth) in s.iter().zip(&found.s) {
                assert!(
                    (f64::from(*s) / 1e30 - truth).abs() <= 1e-5 * found.s[0],
                    "{m} x {n}: {s:e}, {truth:e}"
                );
            }
        }
    }
}
