//! Householder QR with Q kept in factored form.

use super::householder::{Factorisation, Shape, Workspace, apply, panels};
use super::scaling::{largest_of, scale, unit_of};
use crate::error::Result;
use crate::matrix::Mat;
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
        let (mut r, mut t) = (Mat::zeros(k, n)?, Factorisation::t(k)?);
        let units: Vec<f64> = (0..n).map(|j| unit_of(largest_of(a.col(j)))).collect();
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
