//! The model plus a change to entries that are there: U S V' + D, where D is not zero in a few rows and columns only.
//!
//! Both sides in touched coordinates make that a small matrix. Where it is not so small, products with it tell its largest
//! singular values; and where D = X Y' has low rank, QR of [U, X] and [V, Y] makes it small again.

use crate::error::Result;
use crate::linalg::{Qr, Svd, apart, product, svd, svd_apart};
use crate::matrix::{Dense, DenseMut, Mat, Matrix, Products, Real};
use crate::memory::collected;
use crate::parallel::Context;
use crate::svd::params::{Params, Solver};
use crate::svd::solve::svds;
use crate::svd::updates::batch::visit_entries;
use crate::svd::updates::coordinates::Coordinates;
use crate::svd::updates::ritz::{MOST_BLOCKS, TOLERANCE, VALUES, significant};

/// The largest singular values of a changed model, and what they make of both sides.
pub(super) struct Changed {
    /// The largest first.
    pub s: Vec<f64>,
    /// What all rows of U are multiplied with, and the touched ones, row i in column i.
    pub left: (Mat<f64>, Mat<f64>),
    /// The same of V.
    pub right: (Mat<f64>, Mat<f64>),
    /// The largest singular value that is left out.
    pub next: f64,
    /// The squares of all that are.
    pub discarded: f64,
}

/// A model and a change in touched rows and columns.
pub(super) struct Sum<'a, D> {
    pub s: &'a [f64],
    pub left: Coordinates,
    pub right: Coordinates,
    /// D without other rows and columns.
    pub change: D,
    /// The squares of all entries of the sum.
    pub energy: f64,
    /// Most singular values that are kept.
    pub most: usize,
    /// Of what the sides are rounded to.
    pub roundoff: f64,
}

impl<D: Products> Products for Sum<'_, D> {
    fn shape(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        let change = |x: Dense<'_, f64>, out: DenseMut<'_, f64>| self.change.product(context, x, out);
        multiply(context, (&self.left, &self.right), self.s, change, x, out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        let change =
            |y: Dense<'_, f64>, out: DenseMut<'_, f64>| self.change.transposed_product(context, y, out);
        multiply(context, (&self.right, &self.left), self.s, change, y, out)
    }
}

/// out = (to S from' + change) x
fn multiply(
    context: &Context,
    (to, from): (&Coordinates, &Coordinates),
    s: &[f64],
    change: impl FnOnce(Dense<'_, f64>, DenseMut<'_, f64>) -> Result<()>,
    x: Dense<'_, f64>,
    mut out: DenseMut<'_, f64>,
) -> Result<()> {
    let k = x.ncols();
    let mut along = Mat::zeros(s.len(), k)?;
    from.basis.as_ref().transposed_product(context, x, along.as_mut())?;
    for j in 0..k {
        along.col_mut(j).iter_mut().zip(s).for_each(|(value, s)| *value *= s);
    }
    to.basis.as_ref().product(context, along.as_ref(), out.reborrow())?;
    let mut more = Mat::zeros(k, to.touched())?;
    change(x.rows(0..from.touched()), more.as_mut().t())?;
    for j in 0..k {
        out.column_mut(j).zip((0..to.touched()).map(|i| more[(j, i)])).for_each(|(sum, more)| *sum += more);
    }
    Ok(())
}

impl<D: Products> Sum<'_, D> {
    /// By the SVD of all of it if it has no more than `small` rows or columns, else by products.
    pub fn solve(&self, context: &Context, small: usize) -> Result<Changed> {
        let (m, n) = self.shape();
        if m.min(n) > small {
            let k = (self.most + 1).min(m).min(n);
            let solver = Some(Solver::Lanczos);
            let params = Params {
                k,
                exact: k,
                solver,
                tolerance: TOLERANCE,
                max_iter: MOST_BLOCKS,
                seed: 0,
                start: None,
            };
            let found = svds(context, self, &params)?;
            return self.sides(found.u.as_ref(), found.s, found.v.as_ref(), self.energy);
        }
        let mut all = Mat::zeros(m, n)?;
        if m >= n {
            self.product(context, Mat::identity(n)?.as_ref(), all.as_mut())?;
        } else {
            self.transposed_product(context, Mat::identity(m)?.as_ref(), all.as_mut().t())?;
        }
        let found = svd_apart(context, all)?;
        let energy = found.s.iter().map(|s| s * s).sum();
        self.sides(found.u.as_ref(), found.s, found.v.as_ref(), energy)
    }

    /// Both sides from singular vectors in coordinates, of which the model's own keep their signs.
    fn sides(&self, u: Dense<'_, f64>, mut s: Vec<f64>, v: Dense<'_, f64>, energy: f64) -> Result<Changed> {
        let kept = significant(&s, self.most, self.left.len().max(self.right.len()), self.roundoff);
        let next = s.get(kept).copied().unwrap_or(0.0);
        s.truncate(kept);
        let discarded = (energy - s.iter().map(|s| s * s).sum::<f64>()).max(next * next);
        let (mut u, mut v) = (Mat::copy_of(u.cols(0..kept))?, Mat::copy_of(v.cols(0..kept))?);
        for j in 0..kept.min(self.s.len()) {
            let along: f64 = self.left.basis.col(j).iter().zip(u.col(j)).map(|(x, y)| x * y).sum();
            if along < 0.0 {
                [&mut u, &mut v]
                    .into_iter()
                    .for_each(|side| side.col_mut(j).iter_mut().for_each(|x| *x = -*x));
            }
        }
        let (left, right) = (self.left.of_coordinates(u.as_ref())?, self.right.of_coordinates(v.as_ref())?);
        let lost = self.left.lost.hypot(self.right.lost) * self.s.first().copied().unwrap_or(0.0);
        let (next, discarded) = (next.hypot(lost), discarded + lost * lost);
        Ok(Changed { s, left, right, next, discarded })
    }
}

/// X Y' of matrices with as many columns.
pub(super) struct Outer<'a, X, Y> {
    pub x: Matrix<'a, X>,
    pub y: Matrix<'a, Y>,
}

impl<X: Real, Y: Real> Products for Outer<'_, X, Y> {
    fn shape(&self) -> (usize, usize) {
        (self.x.nrows(), self.y.nrows())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        let mut inner = Mat::zeros(self.y.ncols(), x.ncols())?;
        self.y.transposed_product(context, x, inner.as_mut())?;
        self.x.product(context, inner.as_ref(), out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        let mut inner = Mat::zeros(self.x.ncols(), y.ncols())?;
        self.x.transposed_product(context, y, inner.as_mut())?;
        self.y.product(context, inner.as_ref(), out)
    }
}

impl<X: Real, Y: Real> Sum<'_, Outer<'_, X, Y>> {
    /// By QR of the basis of either side and what is added to it.
    pub fn solve_by_qr(&self, context: &Context) -> Result<Changed> {
        let (left, right) = (beside(&self.left, &self.change.x)?, beside(&self.right, &self.change.y)?);
        let s = collected(self.s.iter().copied(), VALUES)?;
        let flops = 4.0 * (left.nrows() + right.nrows()) as f64 * (left.ncols() as f64).powi(2);
        let Svd { u, s, v } = apart(context, flops, move || of_outer(left, &s, right))?;
        let energy = s.iter().map(|s| s * s).sum();
        self.sides(u.as_ref(), s, v.as_ref(), energy)
    }
}

/// A basis and what is added to it, in the first coordinates.
fn beside<B: Real>(side: &Coordinates, added: &Matrix<'_, B>) -> Result<Mat<f64>> {
    let l = side.basis.ncols();
    let mut columns = Mat::zeros(side.len(), l + added.ncols())?;
    columns.as_mut_slice()[..l * side.len()].copy_from_slice(side.basis.as_slice());
    visit_entries(added, &mut |i, j, value| columns[(i, l + j)] = value);
    Ok(columns)
}

/// The SVD of X diag(s, 1, ..., 1) Y'.
fn of_outer(x: Mat<f64>, s: &[f64], y: Mat<f64>) -> Result<Svd> {
    let (rows, columns) = (x.nrows(), y.nrows());
    let (left, right) = (Qr::new(x)?, Qr::new(y)?);
    let (r, mut weighted) = (right.r()?, left.r()?);
    for (j, s) in s.iter().enumerate() {
        weighted.col_mut(j).iter_mut().for_each(|value| *value *= s);
    }
    let found = svd(product(weighted.as_ref(), r.as_ref().t())?.as_ref())?;
    let outside = |qr: &Qr, rows: usize, inside: &Mat<f64>| {
        let mut all =
            Mat::from_fn(rows, inside.ncols(), |i, j| if i < inside.nrows() { inside[(i, j)] } else { 0.0 })?;
        qr.apply_q(&mut all)?;
        Ok::<_, crate::error::Error>(all)
    };
    Ok(Svd { u: outside(&left, rows, &found.u)?, v: outside(&right, columns, &found.v)?, ..found })
}
