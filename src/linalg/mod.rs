//! Small dense linear algebra: the only user of faer.
//!
//! Everything here runs in sequence on the calling thread, inside the blocks that the columns hand to
//! [`crate::parallel`]; only [`tsqr`] takes a [`crate::parallel::Context`] and spreads its work itself.
//!
//! | function | what |
//! |---|---|
//! | [`matmul`] | products of dense views |
//! | [`cholesky`] | upper triangle R with R'R = G |
//! | [`solve_upper`], [`solve_upper_transposed`], [`invert_upper`], [`multiply_upper`] | upper triangles at work |
//! | [`condition_of_upper`] | 2-norm condition estimate of a triangle in O(d²) |
//! | [`Qr`] | blocked Householder QR that keeps Q in factored form |
//! | `gram`, `whitened_gram` | A'A and (A W)'(A W) of tall matrices in one read |
//! | [`tsqr`] | R of a matrix with many rows |
//! | [`svd`], [`eigh`] | thin SVD, symmetric eigendecomposition |
//!
//! Shapes are the caller's responsibility: functions without a `Result` panic on shapes that do not fit,
//! as slices do. Values never panic, whatever they are, and memory that cannot be had is an error.

mod cholesky;
mod eigh;
mod gram;
mod householder;
mod kernel;
mod panel;
mod products;
mod qr;
mod scaling;
mod svd;
mod triangle;
mod tsqr;
mod view;
mod whiten;

pub use cholesky::cholesky;
pub use eigh::eigh;
pub(crate) use gram::gram;
pub use products::{Scalar, matmul};
pub use qr::Qr;
pub use svd::{Svd, svd};
pub use triangle::{condition_of_upper, invert_upper, multiply_upper, solve_upper, solve_upper_transposed};
pub use tsqr::tsqr;
pub(crate) use whiten::whitened_gram;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use crate::parallel::Context;

    fn sample(m: usize, n: usize) -> Mat<f64> {
        Mat::from_fn(m, n, |i, j| ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 - 0.5).unwrap()
    }

    fn product(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
        let mut c = Mat::zeros(a.nrows(), b.ncols()).unwrap();
        matmul(c.as_mut(), false, a.as_ref(), b.as_ref(), 1.0);
        c
    }

    fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
        a.as_slice().iter().zip(b.as_slice()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn factors_multiply_back() {
        for (m, n) in [(0, 3), (3, 0), (1, 1), (7, 3), (3, 7), (50, 20), (200, 60)] {
            let a = sample(m, n);
            let qr = Qr::new(a.copy().unwrap()).unwrap();
            assert!(distance(&product(&qr.thin_q().unwrap(), &qr.r().unwrap()), &a) < 1e-13);
            let Svd { mut u, s, v } = svd(a.as_ref()).unwrap();
            for (j, &sigma) in s.iter().enumerate() {
                u.col_mut(j).iter_mut().for_each(|value| *value *= sigma);
            }
            let vt = Mat::from_fn(v.ncols(), v.nrows(), |i, j| v[(j, i)]).unwrap();
            assert!(distance(&product(&u, &vt), &a) < 1e-13);
            let r = tsqr(&Context::new(2), &a.as_ref()).unwrap();
            let at = Mat::from_fn(n, m, |i, j| a[(j, i)]).unwrap();
            let rt = Mat::from_fn(n, n, |i, j| r[(j, i)]).unwrap();
            assert!(distance(&product(&rt, &r), &product(&at, &a)) < 1e-12);
        }
    }

    #[test]
    fn triangles_and_symmetric_matrices() {
        let a = sample(40, 12);
        let at = Mat::from_fn(12, 40, |i, j| a[(j, i)]).unwrap();
        let g = product(&at, &a);
        let r = cholesky(&g).unwrap();
        let rt = Mat::from_fn(12, 12, |i, j| r[(j, i)]).unwrap();
        assert!(distance(&product(&rt, &r), &g) < 1e-13);
        let identity = Mat::identity(12).unwrap();
        assert!(distance(&product(&invert_upper(r.as_ref()).unwrap(), &r), &identity) < 1e-12);
        assert!(distance(&multiply_upper(r.as_ref(), r.as_ref()).unwrap(), &product(&r, &r)) < 1e-13);
        let mut x = r.copy().unwrap();
        solve_upper(r.as_ref(), x.as_mut());
        assert!(distance(&x, &identity) < 1e-12);
        let mut x = rt.copy().unwrap();
        solve_upper_transposed(r.as_ref(), x.as_mut());
        assert!(distance(&x, &identity) < 1e-12);
        let (values, vectors) = eigh(&g).unwrap();
        let scaled = Mat::from_fn(12, 12, |i, j| vectors[(i, j)] * values[j]).unwrap();
        assert!(distance(&product(&g, &vectors), &scaled) < 1e-12);
        let s = svd(r.as_ref()).unwrap().s;
        let ratio = condition_of_upper(r.as_ref()) / (s[0] / s[11]);
        assert!((0.3..3.0).contains(&ratio), "{ratio}");
    }
}
