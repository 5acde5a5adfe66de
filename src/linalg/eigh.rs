//! Symmetric eigendecomposition.

use super::scaling::{check_finite, largest_of, scale, unit_of};
use super::view::{scratch, view, view_mut};
use crate::error::{Error, Result};
use crate::matrix::Mat;
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{self, ComputeEigenvectors, SelfAdjointEvdParams};
use faer::{Auto, Par, Spec};

/// Eigenvalues, ascending, and orthonormal eigenvectors (columns) of a symmetric A, of which only the
/// lower triangle is read.
///
/// An error if that triangle holds NaN or an infinity, if memory is short, or if the iteration does not
/// converge. Panics if A is not square.
pub fn eigh(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    assert_eq!(n, a.ncols());
    if n == 0 {
        return Ok((Vec::new(), Mat::zeros(0, 0)?));
    }
    let mut lower = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { 0.0 })?;
    check_finite(lower.as_ref())?;
    let unit = unit_of(largest_of(lower.as_slice()));
    scale(lower.as_mut_slice(), unit.recip());
    let (mut values, mut vectors) = (vec![0.0; n], Mat::zeros(n, n)?);
    let wanted = ComputeEigenvectors::Yes;
    let mut buffer = scratch(evd::self_adjoint_evd_scratch::<f64>(n, wanted, Par::Seq, parameters()))?;
    evd::self_adjoint_evd(
        view(lower.as_ref()),
        DiagMut::from_slice_mut(&mut values),
        Some(view_mut(vectors.as_mut())),
        Par::Seq,
        MemStack::new(&mut buffer),
        parameters(),
    )
    .map_err(|_| Error::Internal("the eigendecomposition did not converge".into()))?;
    scale(&mut values, unit);
    Ok((values, vectors))
}

/// Smaller leaves than faer's 128 of the divide and conquer: as fast, and less rounding.
fn parameters() -> Spec<SelfAdjointEvdParams, f64> {
    Spec::new(SelfAdjointEvdParams { recursion_threshold: 64, ..Auto::<f64>::auto() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    /// The symmetric matrix with the lower triangle of `a`.
    fn symmetric(a: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(a.nrows(), a.nrows(), |i, j| a[(i.max(j), i.min(j))]).unwrap()
    }

    fn check(a: &Mat<f64>, what: &str) -> Vec<f64> {
        let n = a.nrows();
        let marked = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN }).unwrap();
        let (values, vectors) = eigh(&marked).unwrap();
        let tolerance = 4e-15 * (n as f64).sqrt().max(4.0);
        assert!(departure_from_orthonormal(&vectors) < tolerance, "{what}: orthonormal");
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{what}: order");
        let scaled = Mat::from_fn(n, n, |i, j| vectors[(i, j)] * values[j]).unwrap();
        let residual = distance(product(a.as_ref(), vectors.as_ref()).as_ref(), scaled.as_ref());
        assert!(residual <= tolerance * largest(a.as_ref()) * (n as f64).sqrt(), "{what}: {residual:e}");
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
