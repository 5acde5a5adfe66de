//! Symmetric eigendecomposition.

use super::doubt::is_eigh;
use super::jacobi;
use super::scaling::{check_finite, largest_of, scale, unit_of};
use super::view::{scratch, view, view_mut};
use crate::error::{Error, Result};
use crate::matrix::{Mat, zeros};
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{self, ComputeEigenvectors, SelfAdjointEvdParams};
use faer::{Auto, Par, Spec};

/// Eigenvalues, ascending, and orthonormal eigenvectors (columns) of a symmetric A, of which only the
/// lower triangle is read.
///
/// An error if that triangle holds NaN or an infinity, if memory is short, or if no algorithm gives one that
/// stands a check. Panics if A is not square.
pub fn eigh(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    assert_eq!(n, a.ncols());
    if n == 0 {
        return Ok((Vec::new(), Mat::zeros(0, 0)?));
    }
    let mut symmetric = Mat::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))])?;
    check_finite(symmetric.as_ref())?;
    let unit = unit_of(largest_of(symmetric.as_slice()));
    scale(symmetric.as_mut_slice(), unit.recip());
    let (mut values, vectors) = of_order_one(&symmetric)?;
    scale(&mut values, unit);
    Ok((values, vectors))
}

fn of_order_one(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    for parameters in [divide_and_conquer(), qr_iteration()] {
        if let Some((values, vectors)) = by_faer(a, parameters)?
            && is_eigh(a, &values, &vectors)?
        {
            return Ok((values, vectors));
        }
    }
    let (values, vectors) = jacobi::eigh(a.copy()?)?;
    if is_eigh(a, &values, &vectors)? {
        Ok((values, vectors))
    } else {
        Err(Error::Internal("no eigendecomposition".into()))
    }
}

/// `None` if the iteration does not converge.
fn by_faer(
    a: &Mat<f64>,
    parameters: Spec<SelfAdjointEvdParams, f64>,
) -> Result<Option<(Vec<f64>, Mat<f64>)>> {
    let n = a.ncols();
    let (mut values, mut vectors) = (zeros(n, "eigenvalues")?, Mat::zeros(n, n)?);
    let wanted = ComputeEigenvectors::Yes;
    let mut buffer = scratch(evd::self_adjoint_evd_scratch::<f64>(n, wanted, Par::Seq, parameters))?;
    let outcome = evd::self_adjoint_evd(
        view(a.as_ref()),
        DiagMut::from_slice_mut(&mut values),
        Some(view_mut(vectors.as_mut())),
        Par::Seq,
        MemStack::new(&mut buffer),
        parameters,
    );
    Ok(outcome.ok().map(|()| (values, vectors)))
}

/// Smaller leaves than faer's 128: as fast, and less rounding.
fn divide_and_conquer() -> Spec<SelfAdjointEvdParams, f64> {
    Spec::new(SelfAdjointEvdParams { recursion_threshold: 64, ..Auto::<f64>::auto() })
}

fn qr_iteration() -> Spec<SelfAdjointEvdParams, f64> {
    Spec::new(SelfAdjointEvdParams { recursion_threshold: usize::MAX, ..Auto::<f64>::auto() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    fn check(a: &Mat<f64>, what: &str) -> Vec<f64> {
        let n = a.nrows();
        let marked = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN }).unwrap();
        let (values, vectors) = eigh(&marked).unwrap();
        check_eigh(a, &values, &vectors, what);
        values
    }

    proptest! {
        #[test]
        fn residuals_are_small(case in any_matrix()) {
            let n = case.shape.0.min(case.shape.1);
            let a = case.view();
            check(&symmetric(&Mat::from_fn(n, n, |i, j| a.get(i, j)).unwrap()), &format!("{case:?}"));
        }
    }

    #[test]
    fn structured_matrices() {
        for seed in 0..140 {
            let a = symmetric(&structured(60 + seed as usize * 37 % 120, seed));
            check(&a, &format!("structure {seed}"));
            let (values, vectors) = by_faer(&a, qr_iteration()).unwrap().unwrap();
            check_eigh(&a, &values, &vectors, &format!("structure {seed} by iteration"));
        }
    }

    #[test]
    fn special_matrices() {
        for n in [0, 1, 2, 30, 33, 140] {
            check(&Mat::zeros(n, n).unwrap(), "zero");
            assert_eq!(check(&Mat::identity(n).unwrap(), "identity"), vec![1.0; n]);
            check(&Mat::from_fn(n, n, |_, _| 1.0).unwrap(), "ones");
            check(&symmetric(&gaussian(n, n, n as u64)), "random");
            let graded = gaussian(n, n, 5);
            let graded = Mat::from_fn(n, n, |i, j| graded[(i, j)] * 0.3f64.powi((i + j) as i32)).unwrap();
            check(&symmetric(&graded), "graded");
            // The second difference has a spectrum that is known.
            let entry = |i: usize, j: usize| match i.abs_diff(j) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            };
            let values = check(&Mat::from_fn(n, n, entry).unwrap(), "second difference");
            for (k, value) in values.iter().enumerate() {
                let truth = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
                assert!((value - truth).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn non_finite_entries_are_refused() {
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            for n in [1, 5, 150] {
                let a = Mat::from_fn(n, n, |i, j| if i == n - 1 && j == 0 { bad } else { 1.0 }).unwrap();
                assert!(matches!(eigh(&a), Err(Error::NonFinite { .. })));
            }
        }
    }
}
