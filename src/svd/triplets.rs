//! What was found, and what a product with all of it tells.

use crate::error::Result;
use crate::linalg::{cholesky, cholesky_qr2, norm, over_triangle};
use crate::matrix::{Mat, Products};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::axpy_norm_sq;
use crate::svd::orthogonal::{departure, gram};
use crate::svd::params::{Output, Solver};
use std::ops::Range;

pub(super) struct Triplets {
    pub u: Mat<f64>,
    pub s: Vec<f64>,
    pub v: Mat<f64>,
    /// The residual that is rounding, as one side was made by a product with the other.
    pub made: Option<usize>,
}

/// Columns that depart from orthonormal by no more are left as they are, and from what on one triangle is not enough.
const ORTHONORMAL: f64 = 2e-14;
const NEARLY: f64 = 1e-4;
/// Vectors that have moved by no more leave residuals what they were.
const UNMOVED: f64 = 1e-13;

/// Vectors that a sparse matrix is multiplied with at once: more would not stay in the caches.
const GROUP: usize = 8;

impl Triplets {
    /// Those of right singular vectors; None if some singular value is zero.
    pub fn of_right<M: Products>(context: &Context, a: &M, v: Mat<f64>) -> Result<Option<Self>> {
        let (n, k) = (a.shape().0, v.ncols());
        let (mut u, mut s) = (Mat::zeros(n, k)?, zeros(k, "singular values")?);
        for group in groups(k) {
            a.product(context, v.as_ref().cols(group.clone()), u.as_mut().cols(group))?;
        }
        for (i, s) in s.iter_mut().enumerate() {
            *s = norm(u.col(i));
            u.col_mut(i).iter_mut().for_each(|value| *value /= *s);
        }
        Ok(s.iter().all(|&s| s > 0.0).then_some(Self { u, s, v, made: Some(0) }))
    }

    /// Those of the transpose.
    pub fn turned(self) -> Self {
        Self { u: self.v, s: self.s, v: self.u, made: self.made.map(|made| 1 - made) }
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
        let [left, right] = [orthonormal(context, self.u)?, orthonormal(context, self.v)?];
        let (u, s, v, moved) = (left.q, self.s, right.q, left.moved + right.moved);
        let (largest, mut residuals) = (s[0], zeros::<[f64; 2]>(k, "residuals")?);
        for side in 0..2 {
            if self.made == Some(side) && moved <= UNMOVED {
                let rounding = |s: f64| f64::EPSILON * s + moved * largest;
                residuals.iter_mut().zip(&s).for_each(|(both, s)| both[side] = rounding(*s));
                continue;
            }
            let (from, onto) = if side == 0 { (&v, &u) } else { (&u, &v) };
            let mut image = Mat::zeros(onto.nrows(), k.min(GROUP))?;
            for group in groups(k) {
                let from = from.as_ref().cols(group.clone());
                let out = image.as_mut().cols(0..group.len());
                match side {
                    0 => a.product(context, from, out)?,
                    _ => a.transposed_product(context, from, out)?,
                }
                for (at, i) in group.enumerate() {
                    residuals[i][side] = axpy_norm_sq(-s[i], onto.col(i), image.col_mut(at)).sqrt();
                }
            }
        }
        let orthogonality = left.departure.max(right.departure);
        Ok(Output { u, s, v, solver, residuals, orthogonality, n_iter, n_products: n_products + k })
    }
}

/// So many vectors, as many at a time as are multiplied at once.
fn groups(k: usize) -> impl Iterator<Item = Range<usize>> {
    (0..k).step_by(GROUP).map(move |first| first..k.min(first + GROUP))
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

/// Columns, how far they are from orthonormal, and how far they have moved to be so.
struct Orthonormal {
    q: Mat<f64>,
    departure: f64,
    moved: f64,
}

/// Orthonormal columns in place of such that are nearly so: many steps leave more than rounding.
fn orthonormal(context: &Context, q: Mat<f64>) -> Result<Orthonormal> {
    let products = gram(context, &q)?;
    let before = departure(&products);
    if before <= ORTHONORMAL {
        return Ok(Orthonormal { q, departure: before, moved: 0.0 });
    }
    let (q, moved) = match cholesky(&products)? {
        // Q = Q' R
        Some(r) if before <= NEARLY => (over_triangle(context, &q, &r)?, distance_to_unit(&r)),
        _ => (cholesky_qr2(context, q)?, f64::INFINITY),
    };
    Ok(Orthonormal { departure: departure(&gram(context, &q)?), q, moved })
}

/// The longest column of R - I.
fn distance_to_unit(r: &Mat<f64>) -> f64 {
    let square = |i: usize, j: usize| (r[(i, j)] - f64::from(i == j)).powi(2);
    let columns = (0..r.ncols()).map(|j| (0..r.nrows()).map(|i| square(i, j)).sum::<f64>().sqrt());
    columns.fold(0.0, f64::max)
}
