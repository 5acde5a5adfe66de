//! Upper triangles at work: solves, inverse, product.
//!
//! Only the upper triangle of an argument is read.

use super::view::{view, view_mut};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Mat};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::{triangular_inverse, triangular_solve};
use faer::{Accum, Par};

/// `x = R⁻¹ x`.
///
/// Panics if R is not square or `x` has another number of rows.
pub fn solve_upper(r: Dense<'_, f64>, x: DenseMut<'_, f64>) {
    assert!(r.nrows() == r.ncols() && x.nrows() == r.nrows());
    triangular_solve::solve_upper_triangular_in_place(view(r), view_mut(x), Par::Seq);
}

/// `x = R'⁻¹ x`.
///
/// Panics if R is not square or `x` has another number of rows.
pub fn solve_upper_transposed(r: Dense<'_, f64>, x: DenseMut<'_, f64>) {
    assert!(r.nrows() == r.ncols() && x.nrows() == r.nrows());
    triangular_solve::solve_lower_triangular_in_place(view(r.t()), view_mut(x), Par::Seq);
}

/// The inverse of R, an upper triangle again, with zeros below the diagonal.
///
/// Panics if R is not square.
pub fn invert_upper(r: Dense<'_, f64>) -> Result<Mat<f64>> {
    let n = r.nrows();
    assert_eq!(n, r.ncols());
    let mut inverse = Mat::zeros(n, n)?;
    triangular_inverse::invert_upper_triangular(view_mut(inverse.as_mut()), view(r), Par::Seq);
    Ok(inverse)
}

/// The product of two upper triangles, an upper triangle again, with zeros below the diagonal.
///
/// Panics if they are not square and of one size.
pub fn multiply_upper(a: Dense<'_, f64>, b: Dense<'_, f64>) -> Result<Mat<f64>> {
    let n = a.nrows();
    assert!(a.ncols() == n && b.nrows() == n && b.ncols() == n);
    let mut product = Mat::zeros(n, n)?;
    triangular::matmul(
        view_mut(product.as_mut()),
        BlockStructure::TriangularUpper,
        Accum::Replace,
        view(a),
        BlockStructure::TriangularUpper,
        view(b),
        BlockStructure::TriangularUpper,
        1.0,
        Par::Seq,
    );
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    /// `r` with NaN below the diagonal.
    fn marked(r: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(r.nrows(), r.ncols(), |i, j| if i <= j { r[(i, j)] } else { f64::NAN }).unwrap()
    }

    proptest! {
        #[test]
        fn solves_inverses_and_products(b in any_matrix(), seed: u64, rows: bool) {
            let d = b.shape.0;
            let r = upper(d, seed);
            let marked = marked(&r);
            let by_rows = Mat::from_fn(d, d, |i, j| marked[(j, i)]).unwrap();
            let marked = if rows { by_rows.as_ref().t() } else { marked.as_ref() };
            let b = b.copy();
            let inverse = invert_upper(marked).unwrap();
            let tolerance = 1e-15 * (1 + d) as f64 * (1.0 + largest(inverse.as_ref()) * largest(r.as_ref()));

            let identity = Mat::identity(d).unwrap();
            let back = product(inverse.as_ref(), r.as_ref());
            prop_assert!(distance(back.as_ref(), identity.as_ref()) <= tolerance);
            prop_assert!((0..d).all(|j| inverse.col(j)[j + 1..].iter().all(|&below| below == 0.0)));

            let mut x = b.copy().unwrap();
            solve_upper(marked, x.as_mut());
            let size = largest(x.as_ref()).max(largest(b.as_ref()));
            prop_assert!(distance(product(r.as_ref(), x.as_ref()).as_ref(), b.as_ref()) <= tolerance * size);
            let mut x = b.copy().unwrap();
            solve_upper_transposed(marked, x.as_mut());
            let size = largest(x.as_ref()).max(largest(b.as_ref()));
            let back = product(r.as_ref().t(), x.as_ref());
            prop_assert!(distance(back.as_ref(), b.as_ref()) <= tolerance * size);

            let other = upper(d, !seed);
            let both = multiply_upper(marked, other.as_ref()).unwrap();
            let expected = product(r.as_ref(), other.as_ref());
            prop_assert!(distance(both.as_ref(), expected.as_ref()) <= 1e-14 * (1 + d) as f64);
            prop_assert!((0..d).all(|j| both.col(j)[j + 1..].iter().all(|&below| below == 0.0)));
        }
    }

    #[test]
    fn bits_do_not_depend_on_alignment() {
        for (d, k) in [(5, 3), (40, 1), (130, 20)] {
            let (r, b) = (upper(d, 1), gaussian(d, k, 2));
            let solved = |shift: usize| {
                let mut memory = vec![0.0; d * (d + k) + 2 * shift];
                let (of_r, of_x) = memory.split_at_mut(d * d + shift);
                of_r[shift..].copy_from_slice(r.as_slice());
                of_x[shift..].copy_from_slice(b.as_slice());
                let r = Dense::column_major(&of_r[shift..], d, d);
                solve_upper(r, DenseMut::column_major(&mut of_x[shift..], d, k));
                solve_upper_transposed(r, DenseMut::column_major(&mut of_x[shift..], d, k));
                let inverse = invert_upper(r).unwrap();
                (of_x[shift..].to_vec(), multiply_upper(r, inverse.as_ref()).unwrap().as_slice().to_vec())
            };
            let expected = solved(0);
            (1..8).for_each(|shift| assert!(solved(shift) == expected, "{d} x {k} shifted by {shift}"));
        }
    }

    #[test]
    fn singular_triangles_give_infinities_not_panics() {
        for d in [1, 7, 100] {
            let r = Mat::from_fn(d, d, |i, j| f64::from(i <= j && i != d / 2)).unwrap();
            assert!(invert_upper(r.as_ref()).unwrap().as_slice().iter().any(|value| !value.is_finite()));
            let mut x = gaussian(d, 3, 1);
            solve_upper(r.as_ref(), x.as_mut());
            assert!(x.as_slice().iter().any(|value| !value.is_finite()));
            let mut x = gaussian(d, 3, 1);
            solve_upper_transposed(r.as_ref(), x.as_mut());
            assert!(x.as_slice().iter().any(|value| !value.is_finite()));
        }
    }
}
