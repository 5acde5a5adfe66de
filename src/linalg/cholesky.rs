//! Cholesky factorisation.

use super::doubt::is_cholesky;
use super::view::{scratch, view_mut};
use crate::error::Result;
use crate::matrix::Mat;
use faer::dyn_stack::MemStack;
use faer::linalg::cholesky::llt::factor::{LltParams, cholesky_in_place, cholesky_in_place_scratch};
use faer::{Auto, Par, Spec};

/// The upper triangle R, zero below its diagonal, with R'R = G for a symmetric G of which only the lower
/// triangle is read. `None` when G is not positive definite to working precision or holds NaN or an infinity.
///
/// Panics if G is not square.
pub fn cholesky(g: &Mat<f64>) -> Result<Option<Mat<f64>>> {
    let n = g.nrows();
    assert_eq!(n, g.ncols());
    let mut factor = Mat::zeros(n, n)?;
    (0..n).for_each(|j| factor.col_mut(j)[j..].copy_from_slice(&g.col(j)[j..]));
    let mut buffer = scratch(cholesky_in_place_scratch::<f64>(n, Par::Seq, parameters()))?;
    let stack = MemStack::new(&mut buffer);
    let outcome =
        cholesky_in_place(view_mut(factor.as_mut()), Default::default(), Par::Seq, stack, parameters());
    lower_to_upper(&mut factor);
    Ok((outcome.is_ok() && is_cholesky(g, &factor)?).then_some(factor))
}

/// Replaces L, and whatever is above its diagonal, by L'.
pub(super) fn lower_to_upper(a: &mut Mat<f64>) {
    const SIDE: usize = 8;
    let n = a.ncols();
    for (j0, i0) in (0..n).step_by(SIDE).flat_map(|j0| (j0..n).step_by(SIDE).map(move |i0| (j0, i0))) {
        let mut tile = [[0.0; SIDE]; SIDE];
        for j in j0..n.min(j0 + SIDE) {
            for (i, value) in a.col_mut(j).iter_mut().enumerate().take(i0 + SIDE).skip(i0.max(j)) {
                tile[i - i0][j - j0] = *value;
                *value = 0.0;
            }
        }
        for i in i0..n.min(i0 + SIDE) {
            let height = SIDE.min(i + 1 - j0);
            a.col_mut(i)[j0..j0 + height].copy_from_slice(&tile[i - i0][..height]);
        }
    }
}

/// Small blocks are worth cutting: faer's kernel for them is slow at its own threshold of 64.
fn parameters() -> Spec<LltParams, f64> {
    Spec::new(LltParams { recursion_threshold: 32, ..Auto::<f64>::auto() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    /// A'A + shift I, with NaN above the diagonal.
    fn gram(a: &Mat<f64>, shift: f64) -> Mat<f64> {
        let g = product(a.as_ref().t(), a.as_ref());
        let entry = |i: usize, j: usize| g[(i, j)] + if i == j { shift } else { 0.0 };
        Mat::from_fn(a.ncols(), a.ncols(), |i, j| if i >= j { entry(i, j) } else { f64::NAN }).unwrap()
    }

    proptest! {
        #[test]
        fn multiplies_back(case in any_matrix()) {
            let a = case.copy();
            let n = a.ncols();
            let size = largest(a.as_ref()).powi(2) * a.nrows() as f64;
            let g = gram(&a, 1e-3 * size + f64::MIN_POSITIVE);
            let r = cholesky(&g).unwrap().unwrap();
            prop_assert!((0..n).all(|j| r.col(j)[j + 1..].iter().all(|&below| below == 0.0)));
            let back = product(r.as_ref().t(), r.as_ref());
            let lower = |m: &Mat<f64>| Mat::from_fn(n, n, |i, j| m[(i.max(j), i.min(j))]).unwrap();
            let error = distance(lower(&back).as_ref(), lower(&g).as_ref());
            prop_assert!(error <= 1e-15 * n as f64 * size, "{error:e}");
        }
    }

    #[test]
    fn breakdown_is_none() {
        let indefinite = Mat::from_fn(40, 40, |i, j| if i == j { [1.0, -1.0][i / 39] } else { 0.0 }).unwrap();
        assert!(cholesky(&indefinite).unwrap().is_none());
        assert!(cholesky(&Mat::zeros(3, 3).unwrap()).unwrap().is_none());
        for (n, bad) in [(1, f64::NAN), (50, f64::NAN), (50, f64::INFINITY), (200, f64::NEG_INFINITY)] {
            for (i, j) in [(n - 1, n - 1), (n - 1, 0), (n / 2, n / 2), (0, 0)] {
                let mut g = Mat::identity(n).unwrap();
                g[(i, j)] = bad;
                assert!(cholesky(&g).unwrap().is_none(), "{bad} at ({i}, {j}) of {n}");
            }
        }
        let singular = gram(&gaussian(10, 30, 1), 0.0);
        if let Some(r) = cholesky(&singular).unwrap() {
            assert!((0..30).any(|j| r[(j, j)] < 1e-6));
        }
        assert_eq!(cholesky(&Mat::zeros(0, 0).unwrap()).unwrap().unwrap().ncols(), 0);
    }
}
