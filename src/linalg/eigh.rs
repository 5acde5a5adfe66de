//! Symmetric eigendecomposition.

use super::Scalar;
use super::doubt::{is_eigh, work_of};
use super::jacobi;
use super::scaling::{copy_narrowed, narrow, to_order_one};
use super::view::{Scratch, ScratchSize, view, view_mut};
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Mat};
use crate::memory::zeros;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemStack, StackReq};
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
    let mut symmetric = Mat::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))])?;
    let (mut values, mut vectors) = (zeros(n, "eigenvalues")?, Mat::zeros(n, n)?);
    let mut scratch = Scratch::new(eigh_scratch::<f64>(n))?;
    eigh_into(symmetric.as_mut(), &mut values, vectors.as_mut(), &mut scratch)?;
    Ok((values, vectors))
}

/// What [`eigh_into`] works in for order `n`.
pub fn eigh_scratch<T: Scalar>(n: usize) -> ScratchSize {
    ScratchSize(stack_of_eigh::<T>(n))
}

/// What [`eigh_by_stack`] takes.
pub(super) fn stack_of_eigh<T: Scalar>(n: usize) -> StackReq {
    if n == 0 {
        return StackReq::EMPTY;
    }
    let request =
        |parameters| evd::self_adjoint_evd_scratch::<T>(n, ComputeEigenvectors::Yes, Par::Seq, parameters);
    let routine = request(divide_and_conquer()).or(request(qr_iteration()));
    StackReq::new::<f64>(work_of(n)).and(routine)
}

/// [`eigh`] into memory that is there: `values` and `vectors`. A is destroyed. Nothing is allocated, unless no
/// iteration stands the check and Jacobi's method has to.
///
/// Panics if the shapes do not fit, if columns are not contiguous, or if the scratch is smaller than asked for.
pub fn eigh_into<T: Scalar>(
    a: DenseMut<'_, T>,
    values: &mut [T],
    vectors: DenseMut<'_, T>,
    scratch: &mut Scratch,
) -> Result<()> {
    eigh_by_stack(a, values, vectors, scratch.stack())
}

/// The same in what is left of somebody's memory.
pub(super) fn eigh_by_stack<T: Scalar>(
    mut a: DenseMut<'_, T>,
    values: &mut [T],
    mut vectors: DenseMut<'_, T>,
    stack: &mut MemStack,
) -> Result<()> {
    let n = a.nrows();
    assert!(a.ncols() == n && values.len() == n && vectors.nrows() == n && vectors.ncols() == n);
    assert!(n == 0 || a.row_stride() == 1 && vectors.row_stride() == 1);
    if n == 0 {
        return Ok(());
    }
    let stride = a.col_stride();
    for (i, j) in (0..n).flat_map(|j| (0..j).map(move |i| (i, j))) {
        a.data()[i + j * stride] = a.data()[j + i * stride];
    }
    let unit = to_order_one(a.reborrow())?;
    let (mut work, stack) = stack.make_with(work_of(n), |_| 0.0f64);
    let mut sound = false;
    for parameters in [divide_and_conquer(), qr_iteration()] {
        sound = by_faer(a.as_ref(), values, vectors.reborrow(), stack, parameters)
            && is_eigh(a.as_ref(), values, vectors.as_ref(), &mut work);
        if sound {
            break;
        }
    }
    if !sound {
        let (found, basis) = jacobi::eigh(Mat::from_fn(n, n, |i, j| a.as_ref().get(i, j).to_f64())?)?;
        narrow(&found, values);
        copy_narrowed(&basis, vectors.reborrow());
        if !is_eigh(a.as_ref(), values, vectors.as_ref(), &mut work) {
            return Err(Error::Internal("no eigendecomposition".into()));
        }
    }
    values.iter_mut().for_each(|value| *value = T::from_f64(value.to_f64() * unit));
    Ok(())
}

/// False if the iteration does not converge.
fn by_faer<T: Scalar>(
    a: Dense<'_, T>,
    values: &mut [T],
    vectors: DenseMut<'_, T>,
    stack: &mut MemStack,
    parameters: Spec<SelfAdjointEvdParams, T>,
) -> bool {
    let values = DiagMut::from_slice_mut(values);
    evd::self_adjoint_evd(view(a), values, Some(view_mut(vectors)), Par::Seq, stack, parameters).is_ok()
}

/// Smaller leaves than faer's 128: as fast, and less rounding.
fn divide_and_conquer<T: Scalar>() -> Spec<SelfAdjointEvdParams, T> {
    Spec::new(SelfAdjointEvdParams { recursion_threshold: 64, ..Auto::<T>::auto() })
}

fn qr_iteration<T: Scalar>() -> Spec<SelfAdjointEvdParams, T> {
    Spec::new(SelfAdjointEvdParams { recursion_threshold: usize::MAX, ..Auto::<T>::auto() })
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
            let n = a.nrows();
            let (mut values, mut vectors) = (vec![0.0; n], Mat::zeros(n, n).unwrap());
            let mut scratch = Scratch::new(eigh_scratch::<f64>(n)).unwrap();
            let stack = scratch.stack();
            assert!(by_faer(a.as_ref(), &mut values, vectors.as_mut(), stack, qr_iteration()));
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

    #[test]
    fn memory_is_lent_for_many_orders_and_both_precisions() {
        let size = (1..40).map(eigh_scratch::<f64>).reduce(ScratchSize::or).unwrap();
        let mut scratch = Scratch::new(size.or(eigh_scratch::<f32>(40))).unwrap();
        for n in [0, 1, 2, 7, 16, 33, 39] {
            let a = symmetric(&structured(n.max(1), n as u64));
            let a = Mat::from_fn(n, n, |i, j| a[(i, j)]).unwrap();
            let (mut copy, mut values, mut vectors) =
                (a.copy().unwrap(), vec![0.0; n], Mat::zeros(n, n).unwrap());
            eigh_into(copy.as_mut(), &mut values, vectors.as_mut(), &mut scratch).unwrap();
            check_eigh(&a, &values, &vectors, "lent");
            assert_eq!((values, vectors.as_slice()), (eigh(&a).unwrap().0, eigh(&a).unwrap().1.as_slice()));

            let mut single = Mat::<f32>::from_fn(n, n, |i, j| 1e-30 * a[(i, j)] as f32).unwrap();
            let expected = Mat::from_fn(n, n, |i, j| f64::from(single[(i, j)])).unwrap();
            let (mut values, mut vectors) = (vec![0.0f32; n], Mat::<f32>::zeros(n, n).unwrap());
            eigh_into(single.as_mut(), &mut values, vectors.as_mut(), &mut scratch).unwrap();
            let truth = eigh(&expected).unwrap().0;
            let size = truth.iter().fold(0.0f64, |size, value| size.max(value.abs()));
            for (value, truth) in values.iter().zip(&truth) {
                assert!((f64::from(*value) - truth).abs() <= 1e-5 * size, "{n}: {value:e} for {truth:e}");
            }
        }
    }
}
