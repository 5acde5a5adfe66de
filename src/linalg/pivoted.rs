//! Cholesky factorisation with diagonal pivoting: the rank of a Gram matrix, and columns that span all others.

use super::cholesky::lower_to_upper;
use super::view::{scratch, view_mut};
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::zeros;
use faer::dyn_stack::MemStack;
use faer::linalg::cholesky::llt_pivoting::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{Par, Spec};

/// R'R = P'G P but for what is below the tolerance.
pub(crate) struct Pivoted {
    /// R, as many rows as the rank, zero below its diagonal.
    pub rows: Mat<f64>,
    /// Number of the column of G that column j of R is of.
    pub order: Vec<usize>,
}

/// Factorises a symmetric G with a diagonal of ones, of which only the lower triangle is read, until no pivot is
/// as large as `tolerance`, or as d ε. `None` if G holds NaN or an infinity.
///
/// Panics if G is not square.
pub(crate) fn pivoted_cholesky(g: &Mat<f64>, tolerance: f64) -> Result<Option<Pivoted>> {
    let d = g.nrows();
    assert_eq!(d, g.ncols());
    let mut factor = Mat::zeros(d, d)?;
    for j in 0..d {
        if !g.col(j)[j..].iter().all(|value| value.is_finite()) {
            return Ok(None);
        }
        factor.col_mut(j)[j..].copy_from_slice(&g.col(j)[j..]);
    }
    let (mut order, mut inverse): (Vec<usize>, Vec<usize>) = (zeros(d, ORDER)?, zeros(d, ORDER)?);
    let mut buffer = scratch(cholesky_in_place_scratch::<usize, f64>(d, Par::Seq, Spec::default()))?;
    let stack = MemStack::new(&mut buffer);
    let into = view_mut(factor.as_mut());
    let outcome = cholesky_in_place(into, &mut order, &mut inverse, Par::Seq, stack, Spec::default());
    let Ok((info, _)) = outcome else { return Ok(None) };
    let rank = (0..info.rank).take_while(|&j| factor[(j, j)].powi(2) >= tolerance).count();
    lower_to_upper(&mut factor);
    let rows = Mat::from_fn(rank, d, |i, j| factor[(i, j)])?;
    Ok(Some(Pivoted { rows, order }))
}

/// What memory is for.
const ORDER: &str = "an order of columns";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;

    #[test]
    fn what_is_left_is_below_the_tolerance_and_pivots_fall() {
        for (n, d) in [(3, 7), (40, 30), (150, 300), (5, 0)] {
            let a = gaussian(n, d, 5);
            let norms: Vec<f64> = (0..d).map(|j| crate::linalg::norm(a.col(j)).max(1e-300)).collect();
            let g = product(a.as_ref().t(), a.as_ref());
            let below = |i: usize, j: usize| g[(i, j)] / norms[i] / norms[j];
            let entry = |i: usize, j: usize| if i >= j { below(i, j) } else { f64::NAN };
            let found = pivoted_cholesky(&Mat::from_fn(d, d, entry).unwrap(), 1e-12).unwrap().unwrap();
            let rank = found.rows.nrows();
            assert_eq!(rank, n.min(d));
            assert!((1..rank).all(|j| found.rows[(j, j)] <= found.rows[(j - 1, j - 1)] * (1.0 + 1e-12)));
            assert!((0..rank).all(|i| (0..i).all(|j| found.rows[(i, j)] == 0.0)));
            let back = product(found.rows.as_ref().t(), found.rows.as_ref());
            for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))) {
                let (row, column) = (found.order[i].max(found.order[j]), found.order[i].min(found.order[j]));
                assert!((back[(i, j)] - below(row, column)).abs() < 1e-11, "{n} x {d} at {i}, {j}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_has_no_factor() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut g = Mat::identity(9).unwrap();
            g[(7, 3)] = bad;
            assert!(pivoted_cholesky(&g, 1e-12).unwrap().is_none());
        }
    }
}
