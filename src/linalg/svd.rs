//! Thin singular value decomposition.

use super::doubt::is_svd;
use super::scaling::{check_finite, largest_of, scale, unit_of};
use super::view::{scratch, view, view_mut};
use super::{Qr, jacobi};
use crate::error::{Error, Result};
use crate::matrix::{Dense, Mat, zeros};
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
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
    let mut a = Mat::from_fn(m, n, |i, j| a.get(i, j))?;
    let unit = unit_of(largest_of(a.as_slice()));
    scale(a.as_mut_slice(), unit.recip());
    let mut svd = if m as f64 > TALL * n as f64 { of_tall(a)? } else { of_squarish(&a)? };
    scale(&mut svd.s, unit);
    Ok(svd)
}

/// U of A = QR is Q times U of R.
fn of_tall(a: Mat<f64>) -> Result<Svd> {
    let (m, n) = (a.nrows(), a.ncols());
    let qr = Qr::new(a)?;
    let of_r = of_squarish(&qr.r()?)?;
    let mut u = Mat::from_fn(m, n, |i, j| if i < n { of_r.u[(i, j)] } else { 0.0 })?;
    qr.apply_q(&mut u)?;
    Ok(Svd { u, ..of_r })
}

/// Divide and conquer is the fastest and leaves the fewest roundings, but faer's is wrong for one in a hundred of the
/// matrices with repeated singular values, as indicators have them: vectors that are not orthogonal, or NaN.
fn of_squarish(a: &Mat<f64>) -> Result<Svd> {
    for parameters in [divide_and_conquer(), qr_iteration()] {
        if let Some(svd) = by_faer(a, parameters)?
            && is_svd(a, &svd)?
        {
            return Ok(svd);
        }
    }
    let svd = jacobi::svd(a.copy()?)?;
    if is_svd(a, &svd)? { Ok(svd) } else { Err(Error::Internal("no singular value decomposition".into())) }
}

/// `None` if the iteration does not converge.
fn by_faer(a: &Mat<f64>, parameters: Spec<SvdParams, f64>) -> Result<Option<Svd>> {
    let (m, n) = (a.nrows(), a.ncols());
    let (mut u, mut v, mut s) = (Mat::zeros(m, n)?, Mat::zeros(n, n)?, zeros(n, "singular values")?);
    let mut buffer = scratch(routine::svd_scratch::<f64>(m, n, Thin, Thin, Par::Seq, parameters))?;
    let outcome = routine::svd(
        view(a.as_ref()),
        DiagMut::from_slice_mut(&mut s),
        Some(view_mut(u.as_mut())),
        Some(view_mut(v.as_mut())),
        Par::Seq,
        MemStack::new(&mut buffer),
        parameters,
    );
    Ok(outcome.ok().map(|()| Svd { u, s, v }))
}

/// Smaller leaves than faer's 128: as fast, and a third less rounding.
fn divide_and_conquer() -> Spec<SvdParams, f64> {
    Spec::new(SvdParams { recursion_threshold: 64, qr_ratio_threshold: f64::INFINITY, ..Auto::<f64>::auto() })
}

fn qr_iteration() -> Spec<SvdParams, f64> {
    Spec::new(SvdParams { recursion_threshold: usize::MAX, ..*divide_and_conquer() })
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
            let svd = by_faer(&a, qr_iteration()).unwrap().unwrap();
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
}
