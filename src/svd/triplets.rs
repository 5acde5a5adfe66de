//! What was found, and what a product with all of it tells.

use crate::error::Result;
use crate::linalg::{cholesky, cholesky_qr2, norm, over_triangle};
use crate::matrix::{Mat, Panel, Products};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::axpy;
use crate::svd::orthogonal::{departure, gram};
use crate::svd::params::{Output, Solver};

pub(super) struct Triplets {
    pub u: Mat<f64>,
    pub s: Vec<f64>,
    pub v: Mat<f64>,
}

/// Columns that depart from orthonormal by no more are left as they are, and from what on one triangle is not enough.
const ORTHONORMAL: f64 = 2e-14;
const NEARLY: f64 = 1e-4;

impl Triplets {
    /// Those of right singular vectors; None if some singular value is zero.
    pub fn of_right<M: Products>(context: &Context, a: &M, v: Mat<f64>) -> Result<Option<Self>> {
        let (n, k) = (a.shape().0, v.ncols());
        let (mut u, mut s) = (Mat::zeros(n, k)?, zeros(k, "singular values")?);
        a.product(context, v.as_ref(), u.as_mut())?;
        for (i, s) in s.iter_mut().enumerate() {
            *s = norm(u.col(i));
            u.col_mut(i).iter_mut().for_each(|value| *value /= *s);
        }
        Ok(s.iter().all(|&s| s > 0.0).then_some(Self { u, s, v }))
    }

    /// Those of the transpose.
    pub fn turned(self) -> Self {
        Self { u: self.v, s: self.s, v: self.u }
    }

    /// What a product with all vectors tells. The largest entry of every v is positive.
    pub fn measured<M: Products>(
        mut self,
        context: &Context,
        a: &M,
        solver: Option<Solver>,
        [n_iter, n_products]: [usize; 2],
    ) -> Result<Output> {
        let k = self.s.len();
        choose_signs(&mut self.u, &mut self.v);
        let [(u, of_u), (v, of_v)] = [orthonormal(context, self.u)?, orthonormal(context, self.v)?];
        let s = self.s;
        let mut residuals = zeros::<[f64; 2]>(k, "residuals")?;
        for group in Panel::groups(k) {
            let mut image = Mat::zeros(u.nrows(), group.len())?;
            a.product(context, v.as_ref().cols(group.clone()), image.as_mut())?;
            for (at, i) in group.clone().enumerate() {
                axpy(-s[i], u.col(i), image.col_mut(at));
                residuals[i][0] = norm(image.col(at));
            }
            let mut image = Mat::zeros(v.nrows(), group.len())?;
            a.transposed_product(context, u.as_ref().cols(group.clone()), image.as_mut())?;
            for (at, i) in group.enumerate() {
                axpy(-s[i], v.col(i), image.col_mut(at));
                residuals[i][1] = norm(image.col(at));
            }
        }
        let n_products = n_products + k;
        Ok(Output { u, s, v, solver, residuals, orthogonality: of_u.max(of_v), n_iter, n_products })
    }
}

/// Makes the largest entry of every v positive.
pub(super) fn choose_signs(u: &mut Mat<f64>, v: &mut Mat<f64>) {
    for i in 0..v.ncols() {
        let larger = |largest: f64, &value: &f64| if value.abs() > largest.abs() { value } else { largest };
        if v.col(i).iter().fold(0.0, larger) < 0.0 {
            [&mut *u, &mut *v]
                .into_iter()
                .flat_map(|side| side.col_mut(i))
                .for_each(|value| *value = -*value);
        }
    }
}

/// Orthonormal columns in place of such that are nearly so, and how far from that they are: many steps leave more than
/// rounding.
fn orthonormal(context: &Context, q: Mat<f64>) -> Result<(Mat<f64>, f64)> {
    let products = gram(context, &q)?;
    let before = departure(&products);
    if before <= ORTHONORMAL {
        return Ok((q, before));
    }
    let q = match cholesky(&products)? {
        Some(r) if before <= NEARLY => over_triangle(context, &q, &r)?,
        _ => cholesky_qr2(context, q)?,
    };
    let after = departure(&gram(context, &q)?);
    Ok((q, after))
}
