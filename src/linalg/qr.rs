//! Householder QR.

use super::view::{scratch, view, view_mut};
use crate::error::Result;
use crate::matrix::Mat;
use faer::dyn_stack::MemStack;
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply,
    apply_block_householder_sequence_transpose_on_the_left_in_place_scratch as apply_transpose_scratch,
    apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj as apply_transpose,
};
use faer::linalg::qr::no_pivoting::factor;
use faer::{Conj, Par};

/// A = QR with Q kept as a product of block reflectors.
pub struct Qr {
    /// R on and above the diagonal, the reflectors below it.
    factors: Mat<f64>,
    /// Triangular factors of the block reflectors, side by side.
    coefficients: Mat<f64>,
}

impl Qr {
    /// Factorises A, whose memory it takes over.
    pub fn new(mut a: Mat<f64>) -> Result<Self> {
        let (m, n) = (a.nrows(), a.ncols());
        let block = factor::recommended_block_size::<f64>(m, n);
        let mut coefficients = Mat::zeros(block, m.min(n))?;
        let mut buffer =
            scratch(factor::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default()))?;
        factor::qr_in_place(
            view_mut(a.as_mut()),
            view_mut(coefficients.as_mut()),
            Par::Seq,
            MemStack::new(&mut buffer),
            Default::default(),
        );
        Ok(Self { factors: a, coefficients })
    }

    /// R, min(m, n) x n, zero below its diagonal.
    pub fn r(&self) -> Result<Mat<f64>> {
        let (m, n) = (self.factors.nrows(), self.factors.ncols());
        Mat::from_fn(m.min(n), n, |i, j| if i <= j { self.factors[(i, j)] } else { 0.0 })
    }

    /// `x = Q' x`, all of its rows.
    ///
    /// Panics if `x` has another number of rows than A.
    pub fn apply_qt(&self, x: &mut Mat<f64>) -> Result<()> {
        assert_eq!(x.nrows(), self.factors.nrows());
        let block = self.coefficients.nrows();
        let mut buffer = scratch(apply_transpose_scratch::<f64>(x.nrows(), block, x.ncols()))?;
        let basis = self.basis();
        apply_transpose(
            view(basis),
            view(self.coefficients.as_ref()),
            Conj::No,
            view_mut(x.as_mut()),
            Par::Seq,
            MemStack::new(&mut buffer),
        );
        Ok(())
    }

    /// `x = Q x`, for `x` with as many rows as A.
    ///
    /// Panics if `x` has another number of rows than A.
    pub fn apply_q(&self, x: &mut Mat<f64>) -> Result<()> {
        assert_eq!(x.nrows(), self.factors.nrows());
        let block = self.coefficients.nrows();
        let mut buffer = scratch(apply_scratch::<f64>(x.nrows(), block, x.ncols()))?;
        apply(
            view(self.basis()),
            view(self.coefficients.as_ref()),
            Conj::No,
            view_mut(x.as_mut()),
            Par::Seq,
            MemStack::new(&mut buffer),
        );
        Ok(())
    }

    /// The first min(m, n) columns of Q.
    pub fn thin_q(&self) -> Result<Mat<f64>> {
        let (m, n) = (self.factors.nrows(), self.factors.ncols());
        let mut q = Mat::from_fn(m, m.min(n), |i, j| f64::from(i == j))?;
        self.apply_q(&mut q)?;
        Ok(q)
    }

    fn basis(&self) -> crate::matrix::Dense<'_, f64> {
        let (m, n) = (self.factors.nrows(), self.factors.ncols());
        self.factors.as_ref().cols(0..m.min(n))
    }
}
