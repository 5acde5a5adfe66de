//! Householder QR with Q kept in factored form.

use super::householder::{Factorisation, Shape, Workspace, apply, panels};
use super::scaling::{largest_of, scale, unit_of};
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::zeros;
use std::ops::Range;

/// A = QR with Q a product of block reflectors I - V T V'.
pub struct Qr {
    v: Mat<f64>,
    t: Mat<f64>,
    r: Mat<f64>,
}

impl Qr {
    /// Factorises A, whose memory it takes over: 2mn² - 2n³/3 flops for an m x n matrix with m >= n.
    ///
    /// The rank plays no part: R is n x n with whatever diagonal A leads to. NaN and infinities in A come
    /// out in R.
    pub fn new(mut a: Mat<f64>) -> Result<Self> {
        let (m, n) = (a.nrows(), a.ncols());
        let k = m.min(n);
        let mut work = Workspace::new(m, n)?;
        let (mut r, mut t) = (Mat::zeros(k, n)?, Factorisation::room_for_t(k)?);
        let mut units: Vec<f64> = zeros(n, "a QR factorisation")?;
        units.iter_mut().enumerate().for_each(|(j, unit)| *unit = unit_of(largest_of(a.col(j))));
        (0..n).for_each(|j| scale(a.col_mut(j), units[j].recip()));
        Factorisation { shape: Shape::Matrix, r: &mut r, v: &mut a, t: &mut t, work: &mut work }.run();
        (0..n).for_each(|j| scale(r.col_mut(j), units[j]));
        Ok(Self { v: a, t, r })
    }

    /// R, min(m, n) x n, zero below its diagonal.
    pub fn r(&self) -> Result<Mat<f64>> {
        self.r.copy()
    }

    /// `x = Q' x`, all of its rows.
    ///
    /// Panics if `x` has another number of rows than A.
    pub fn apply_qt(&self, x: &mut Mat<f64>) -> Result<()> {
        let mut work = Workspace::new(0, x.ncols())?;
        let width = x.ncols();
        panels(self.r.nrows()).for_each(|panel| self.reflect(panel, true, x, 0..width, &mut work));
        Ok(())
    }

    /// `x = Q x`, for `x` with as many rows as A.
    ///
    /// Panics if `x` has another number of rows than A.
    pub fn apply_q(&self, x: &mut Mat<f64>) -> Result<()> {
        let mut work = Workspace::new(0, x.ncols())?;
        let width = x.ncols();
        panels(self.r.nrows()).rev().for_each(|panel| self.reflect(panel, false, x, 0..width, &mut work));
        Ok(())
    }

    /// The first min(m, n) columns of Q.
    pub fn thin_q(&self) -> Result<Mat<f64>> {
        let (m, k) = (self.v.nrows(), self.r.nrows());
        let mut q = Mat::from_fn(m, k, |i, j| f64::from(i == j))?;
        let mut work = Workspace::new(0, k)?;
        for panel in panels(k).rev() {
            // The columns left of the panel are still those of the identity: zero in its rows.
            let columns = panel.start..k;
            self.reflect(panel, false, &mut q, columns, &mut work);
        }
        Ok(q)
    }

    fn reflect(
        &self,
        panel: Range<usize>,
        transposed: bool,
        x: &mut Mat<f64>,
        columns: Range<usize>,
        work: &mut Workspace,
    ) {
        assert_eq!(x.nrows(), self.v.nrows());
        let rows = panel.start..x.nrows();
        let t = self.t.as_ref().window(0..panel.len(), panel.clone());
        let v = self.v.as_ref().window(rows.clone(), panel);
        apply(v, if transposed { t.t() } else { t }, None, x.as_mut().window(rows, columns), work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::svd;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    /// Q'Q = I, QR = A column by column, R upper; gives back the factorisation.
    fn check(a: &Mat<f64>, what: &str) -> Qr {
        check_to(1e-15 * (a.ncols() as f64).sqrt().max(5.0), a, what)
    }

    fn check_to(tolerance: f64, a: &Mat<f64>, what: &str) -> Qr {
        let (m, n) = (a.nrows(), a.ncols());
        let qr = Qr::new(a.copy().unwrap()).unwrap();
        let (q, r) = (qr.thin_q().unwrap(), qr.r().unwrap());
        let departure = departure_from_orthonormal(&q);
        assert!(departure < tolerance, "{what}: Q'Q - I is {departure:e} at {m} x {n}");
        assert!((0..n.min(m)).all(|j| r.col(j)[j + 1..].iter().all(|&below| below == 0.0)), "{what}: R");
        let back = product(q.as_ref(), r.as_ref());
        for j in 0..n {
            let (back, column) = (back.as_ref().cols(j..j + 1), a.as_ref().cols(j..j + 1));
            let size = largest(column) * (m as f64).sqrt();
            assert!(distance(back, column) <= tolerance * size, "{what}: column {j} of QR");
        }
        qr
    }

    proptest! {
        #[test]
        fn factors_multiply_back(case in any_matrix(), x in any_matrix()) {
            let a = case.copy();
            let qr = check(&a, &format!("{case:?}"));
            let x = x.view();
            let x = Mat::from_fn(a.nrows(), x.ncols(), |i, j| if i < x.nrows() { x.get(i, j) } else { 1.0 });
            let (x, mut y) = (x.as_ref().unwrap(), x.as_ref().unwrap().copy().unwrap());
            qr.apply_qt(&mut y).unwrap();
            let thin = product(qr.thin_q().unwrap().as_ref().t(), x.as_ref());
            let tolerance = 1e-14 * largest(x.as_ref()) * (1.0 + a.nrows() as f64).sqrt();
            let head = y.as_ref().rows(0..thin.nrows());
            prop_assert!(distance(head, thin.as_ref()) <= tolerance);
            qr.apply_q(&mut y).unwrap();
            prop_assert!(distance(y.as_ref(), x.as_ref()) <= tolerance);
        }
    }

    #[test]
    fn larger_shapes() {
        for (m, n) in [(100, 100), (257, 70), (70, 257), (1000, 33), (300, 129)] {
            check(&gaussian(m, n, 7), "gaussian");
            let few = product(gaussian(m, 10, 8).as_ref(), gaussian(10, n, 9).as_ref());
            check(&few, "rank 10");
            let columns = Mat::from_fn(m, n, |i, j| few[(i, j)] * 10f64.powi(20 * (j as i32 % 13 - 6)));
            check(&columns.unwrap(), "columns of all sizes");
            let rows = Mat::from_fn(m, n, |i, j| few[(i, j)] * 10f64.powi(i as i32 * 7 % 31 - 15)).unwrap();
            check(&rows, "rows of all sizes");
            check(&Mat::zeros(m, n).unwrap(), "zero");
            // Every column after the first is what rounding left of the one before.
            check_to(1e-13, &Mat::from_fn(m, n, |_, _| 1.0).unwrap(), "ones");
        }
    }

    /// Small singular values come through: nothing is rounded away with the rank.
    #[test]
    fn ill_conditioned() {
        let (m, n) = (2000, 20);
        let u = Qr::new(gaussian(m, n, 1)).unwrap().thin_q().unwrap();
        let v = Qr::new(gaussian(n, n, 2)).unwrap().thin_q().unwrap();
        let s: Vec<f64> = (0..n).map(|j| 10f64.powf(-14.0 * j as f64 / (n - 1) as f64)).collect();
        let scaled = Mat::from_fn(m, n, |i, j| u[(i, j)] * s[j]).unwrap();
        let a = product(scaled.as_ref(), v.as_ref().t());
        let found = svd(check(&a, "ill-conditioned").r().unwrap().as_ref()).unwrap().s;
        assert!(s.iter().zip(&found).all(|(s, found)| (s - found).abs() < 1e-15), "{found:?}");
    }

    #[test]
    fn nan_and_infinity_come_out_in_r() {
        for bad in [f64::NAN, f64::INFINITY] {
            for (m, n) in [(1, 1), (5, 5), (100, 40), (40, 100)] {
                let a = Mat::from_fn(m, n, |i, j| if (i, j) == (m - 1, n / 2) { bad } else { 1.0 }).unwrap();
                let r = Qr::new(a).unwrap().r().unwrap();
                assert!(r.as_slice().iter().any(|value| !value.is_finite()), "{bad} in {m} x {n}");
            }
        }
    }
}
