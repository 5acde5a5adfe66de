//! Products of dense views.

use super::Scalar;
use super::view::{view, view_mut};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Mat};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Par};

/// `out = alpha a b`, or `out += alpha a b` when `accumulate`.
///
/// Panics if the shapes do not fit.
pub fn matmul<T: Scalar>(out: DenseMut<'_, T>, accumulate: bool, a: Dense<'_, T>, b: Dense<'_, T>, alpha: T) {
    assert!(a.ncols() == b.nrows() && out.nrows() == a.nrows() && out.ncols() == b.ncols());
    let accum = if accumulate { Accum::Add } else { Accum::Replace };
    faer::linalg::matmul::matmul(view_mut(out), accum, view(a), view(b), alpha, Par::Seq);
}

/// `a b` as a matrix of its own.
///
/// Panics if the shapes do not fit.
pub fn product(a: Dense<'_, f64>, b: Dense<'_, f64>) -> Result<Mat<f64>> {
    let mut out = Mat::zeros(a.nrows(), b.ncols())?;
    matmul(out.as_mut(), false, a, b, 1.0);
    Ok(out)
}

/// The lower triangle of `out = alpha a'a`, or of `out += alpha a'a` when `accumulate`; nothing above the
/// diagonal is touched. Half the work of [`matmul`].
///
/// Panics if the shapes do not fit.
pub fn syrk<T: Scalar>(out: DenseMut<'_, T>, accumulate: bool, a: Dense<'_, T>, alpha: T) {
    assert!(out.nrows() == a.ncols() && out.ncols() == a.ncols());
    triangular::matmul(
        view_mut(out),
        BlockStructure::TriangularLower,
        if accumulate { Accum::Add } else { Accum::Replace },
        view(a.t()),
        BlockStructure::Rectangular,
        view(a),
        BlockStructure::Rectangular,
        alpha,
        Par::Seq,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::matrix::Buffer;
    use proptest::prelude::*;

    fn by_definition(a: Dense<'_, f64>, b: Dense<'_, f64>) -> Mat<f64> {
        Mat::from_fn(a.nrows(), b.ncols(), |i, j| (0..a.ncols()).map(|k| a.get(i, k) * b.get(k, j)).sum())
            .unwrap()
    }

    proptest! {
        #[test]
        fn equals_the_definition(a in any_matrix(), b in any_matrix(), seed: u64) {
            let n = a.shape.1.min(b.shape.0);
            let (a, b) = (a.view().cols(0..n), b.view().rows(0..n));
            prop_assume!(largest(a) * largest(b) < 1e200);
            let start = gaussian(a.nrows(), b.ncols(), seed);
            let truth = by_definition(a, b);
            let expected =
                Mat::from_fn(a.nrows(), b.ncols(), |i, j| start[(i, j)] - 0.5 * truth[(i, j)]).unwrap();
            let mut sum = start.copy().unwrap();
            matmul(sum.as_mut(), true, a, b, -0.5);
            let size = 1.0 + 40.0 * largest(a) * largest(b);
            prop_assert!(distance(sum.as_ref(), expected.as_ref()) <= 1e-15 * size);
            let mut transposed = Mat::from_fn(b.ncols(), a.nrows(), |_, _| f64::NAN).unwrap();
            matmul(transposed.as_mut().t(), false, a, b, 1.0);
            prop_assert!(distance(transposed.as_ref().t(), truth.as_ref()) <= 1e-15 * size);
        }
    }

    proptest! {
        #[test]
        fn symmetric_products_fill_the_lower_triangle(case in any_matrix(), seed: u64) {
            let a = case.view();
            prop_assume!(largest(a) < 1e100);
            let (n, truth) = (a.ncols(), by_definition(a.t(), a));
            let start = gaussian(n, n, seed);
            let mut sum = start.copy().unwrap();
            syrk(sum.as_mut(), true, a, 2.0);
            let expected = |i: usize, j: usize| start[(i, j)] + if i >= j { 2.0 * truth[(i, j)] } else { 0.0 };
            let expected = Mat::from_fn(n, n, expected).unwrap();
            let size = 1.0 + 40.0 * largest(a).powi(2);
            prop_assert!(distance(sum.as_ref(), expected.as_ref()) <= 2e-15 * size);
        }
    }

    #[test]
    fn single_precision() {
        let a = Mat::from_fn(30, 20, |i, j| (i + 2 * j) as f32).unwrap();
        let mut c = Mat::zeros(20, 20).unwrap();
        matmul(c.as_mut(), false, a.as_ref().t(), a.as_ref(), 1.0);
        let expected = |i: usize, j: usize| (0..30).map(|k| a[(k, i)] * a[(k, j)]).sum::<f32>();
        assert!((0..400).all(|k| c[(k / 20, k % 20)] == expected(k / 20, k % 20)));
    }

    #[test]
    fn bits_do_not_depend_on_alignment() {
        for (m, n, k) in [(5, 3, 7), (16, 16, 16), (33, 65, 100), (200, 150, 130)] {
            let (a, b) = (gaussian(m, k, 1), gaussian(k, n, 2));
            let expected = super::product(a.as_ref(), b.as_ref()).unwrap();
            for shift in 1..8 {
                let shifted = |a: &Mat<f64>| {
                    let mut memory = Buffer::zeros(a.as_slice().len() + shift, "a test").unwrap();
                    memory[shift..].copy_from_slice(a.as_slice());
                    memory
                };
                let (a, b) = (shifted(&a), shifted(&b));
                let mut c = Buffer::zeros(m * n + shift, "a test").unwrap();
                matmul(
                    DenseMut::column_major(&mut c[shift..], m, n),
                    false,
                    Dense::column_major(&a[shift..], m, k),
                    Dense::column_major(&b[shift..], k, n),
                    1.0,
                );
                assert_eq!(&c[shift..], expected.as_slice());
            }
        }
    }
}
