//! What a model and a batch of rows come to: the largest singular values of Z = [S V'; E], by three roads.
//!
//! | road | how | where |
//! |---|---|---|
//! | [`by_gram`] | eigenvectors of Z Z', which takes no more than E V and E E' | the kept singular values are within 200 of each other |
//! | [`by_svd`] | SVD of Z in the coordinates of what E touches | any spectrum |
//! | [`by_lanczos`] | products with Z in these coordinates | many rows at once |
//!
//! With Z = F T G': U becomes [U F1; F2] and V becomes V a + E'W, a = S F1 / T and W = F2 / T.

use crate::error::Result;
use crate::linalg::{
    Scratch, apart, arrow_eigh_into, arrow_eigh_scratch, leading_eigh_into, leading_eigh_scratch, svd_apart,
};
use crate::matrix::{Dense, DenseMut, Mat, Products, Real};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::svd::params::{Params, Solver};
use crate::svd::solve::svds;
use crate::svd::updates::batch::{Batch, visit_entries};
use crate::svd::updates::coordinates::Coordinates;
use crate::svd::updates::side::rotated;
use std::ops::Range;

/// What memory is for.
pub(super) const VALUES: &str = "singular values";

/// The largest singular values of Z, and what they make of both sides.
pub(super) struct Ritz {
    /// The largest first.
    pub s: Vec<f64>,
    /// Left singular vectors: F1 over F2, row i in column i.
    pub f: Mat<f64>,
    /// What V is multiplied with in rows that E does not touch, row i in column i.
    pub rotation: Mat<f64>,
    /// V in those that it touches, row i in column i.
    pub rows: Mat<f64>,
    /// The largest singular value that is left out.
    pub next: f64,
    /// The squares of all that are left out.
    pub discarded: f64,
}

/// A model V'S and rows E.
pub(super) struct Stacked<'a, 'b, B> {
    pub s: &'a [f64],
    /// The rows of V that E touches, row i in column i.
    pub touched: &'a Mat<f64>,
    pub batch: &'a Batch<'b, B>,
    /// Most singular values that are kept.
    pub most: usize,
    /// Whether E touches all rows of V, and of what V is rounded to.
    pub whole: bool,
    pub roundoff: f64,
}

/// The largest by the smallest that is kept: an error of eps times the square stays within repair.
const MOST_RATIO: f64 = 200.0;
/// The same in single precision, to whose rounding sides are orthonormal.
const MOST_RATIO_SINGLE: f64 = 30.0;
/// Eigenvalues of Z Z' below this, beside the largest, are rounding.
const NOTHING: f64 = 1e-14;

impl<B: Real> Stacked<'_, '_, B> {
    /// Rows of Z.
    fn len(&self) -> usize {
        self.s.len() + self.batch.shape().0
    }

    /// True if products with Z are faster than eigenvectors of Z Z', whose order is then large beside all else.
    pub fn is_long(&self) -> bool {
        /// Flops of a product are slower than those of an eigendecomposition, and there are a few times as many
        /// products as triplets.
        const SLOWER: f64 = 20.0;
        let products =
            (self.most as f64).powi(2) * (self.batch.shape().0 + self.batch.columns().len()) as f64;
        (self.len() as f64).powi(3) > SLOWER * products
    }

    /// The squares of all entries of Z.
    fn energy(&self, context: &Context) -> Result<f64> {
        Ok(self.s.iter().map(|s| s * s).sum::<f64>() + self.batch.energy(context)?)
    }

    /// F turned so that the model moves as little as may be.
    pub fn signed(&self, mut f: Mat<f64>) -> Mat<f64> {
        const NO_SIGN: f64 = 1e-8;
        for j in 0..f.ncols() {
            let column = f.col_mut(j);
            let largest =
                || column.iter().fold(0.0f64, |most, &x| if x.abs() > most.abs() { x } else { most });
            let of_model = if j < self.s.len() { column[j] } else { 0.0 };
            let sign = if of_model.abs() > NO_SIGN { of_model } else { largest() };
            if sign < 0.0 {
                column.iter_mut().for_each(|x| *x = -*x);
            }
        }
        f
    }
}

/// By eigenvectors of Z Z'; nothing where that is not accurate enough.
pub(super) fn by_gram<B: Real>(context: &Context, z: &Stacked<'_, '_, B>) -> Result<Option<Ritz>> {
    let n = z.len();
    let along = z.batch.times(context, z.touched)?;
    let of_rows = z.batch.gram(context)?;
    let trace =
        z.s.iter().map(|s| s * s).sum::<f64>() + (0..of_rows.ncols()).map(|j| of_rows[(j, j)]).sum::<f64>();
    let count = (z.most + 1).min(n);
    let (values, vectors) = match of_rows.ncols() {
        1 => of_arrow(z.s, &along, of_rows[(0, 0)], count)?,
        _ => of_gram(context, z.s, &along, &of_rows, count)?,
    };
    let largest = values.first().copied().unwrap_or(0.0);
    let nothing = NOTHING.max(2.0 * n as f64 * f64::EPSILON) * largest;
    let kept = values.iter().take(z.most).take_while(|&&value| value > nothing).count();
    let s = collected(values[..kept].iter().map(|value| value.sqrt()), VALUES)?;
    let most_ratio = if z.roundoff > f64::EPSILON { MOST_RATIO_SINGLE } else { MOST_RATIO };
    if s.last().is_some_and(|last| s[0] > most_ratio * last) {
        return Ok(None);
    }
    let f = Mat::copy_of(z.signed(vectors).as_ref().cols(0..kept).t())?;
    let next = values.get(kept).map_or(0.0, |value| value.max(0.0).sqrt());
    let discarded = (trace - values[..kept].iter().sum::<f64>()).max(next * next);
    by_left(context, z, s, f, next, discarded).map(Some)
}

/// The largest eigenvalues of [S^2, S c'; c S, E E'], the largest first, and their vectors.
fn of_gram(
    context: &Context,
    s: &[f64],
    along: &Mat<f64>,
    of_rows: &Mat<f64>,
    count: usize,
) -> Result<(Vec<f64>, Mat<f64>)> {
    let (l, n) = (s.len(), s.len() + of_rows.ncols());
    let mut gram = Mat::zeros(n, n)?;
    for j in 0..l {
        gram[(j, j)] = s[j] * s[j];
        for i in l..n {
            gram[(i, j)] = along[(j, i - l)] * s[j];
        }
    }
    for j in l..n {
        gram.col_mut(j)[j..].copy_from_slice(&of_rows.col(j - l)[j - l..]);
    }
    apart(context, 2.0 * (n as f64).powi(3), move || {
        let (mut values, mut vectors) = (zeros(count, VALUES)?, Mat::zeros(n, count)?);
        let mut scratch = Scratch::new(leading_eigh_scratch(n, count))?;
        leading_eigh_into(gram.as_mut(), &mut values, vectors.as_mut(), &mut scratch)?;
        Ok((values, vectors))
    })
}

/// The same of one row: an arrow.
fn of_arrow(s: &[f64], along: &Mat<f64>, corner: f64, count: usize) -> Result<(Vec<f64>, Mat<f64>)> {
    let poles = collected(s.iter().map(|s| s * s), VALUES)?;
    let border = collected(s.iter().zip(along.as_slice()).map(|(s, along)| s * along), VALUES)?;
    let (mut values, mut vectors) = (zeros(count, VALUES)?, Mat::zeros(s.len() + 1, count)?);
    let mut scratch = Scratch::new(arrow_eigh_scratch(s.len()))?;
    arrow_eigh_into(&poles, &border, corner, &mut values, vectors.as_mut(), &mut scratch)?;
    Ok((values, vectors))
}

/// Both sides from the left singular vectors.
fn by_left<B: Real>(
    context: &Context,
    z: &Stacked<'_, '_, B>,
    s: Vec<f64>,
    f: Mat<f64>,
    next: f64,
    discarded: f64,
) -> Result<Ritz> {
    let l = z.s.len();
    let mut over = f.copy()?;
    for i in 0..f.ncols() {
        let factor = z.s.get(i).copied().unwrap_or(1.0);
        over.col_mut(i).iter_mut().zip(&s).for_each(|(value, s)| *value = factor * *value / s);
    }
    let of = |columns: Range<usize>| Mat::copy_of(over.as_ref().cols(columns));
    let (rotation, weights) = (of(0..l)?, of(l..f.ncols())?);
    let mut rows = rotated(context, z.touched, &rotation)?;
    z.batch.add_transposed_times(context, &weights, &mut rows)?;
    Ok(Ritz { s, f, rotation, rows, next, discarded })
}

/// By the SVD of Z in coordinates: (t + r) (l + s)^2 products.
pub(super) fn by_svd<B: Real>(context: &Context, z: &Stacked<'_, '_, B>) -> Result<Ritz> {
    let (l, n) = (z.s.len(), z.len());
    let coordinates = Coordinates::new(context, z.touched, z.whole)?;
    let mut transposed = Mat::zeros(coordinates.len(), n)?;
    for j in 0..l {
        let column = transposed.col_mut(j).iter_mut().zip(coordinates.basis.col(j));
        column.for_each(|(z_j, v_j)| *z_j = v_j * z.s[j]);
    }
    visit_entries(&z.batch.local(), &mut |i, j, value| transposed[(j, l + i)] = value);
    let found = svd_apart(context, transposed)?;
    let kept = significant(&found.s, z.most, n.max(coordinates.len()), z.roundoff);
    in_coordinates(context, z, &coordinates, (found.v, found.s, found.u), kept)
}

/// How many singular values are more than rounding, of so many at most.
pub(super) fn significant(s: &[f64], most: usize, order: usize, roundoff: f64) -> usize {
    // Sides in single precision are orthonormal to its rounding, whatever their length.
    let order = if roundoff > f64::EPSILON { 16 } else { order };
    let nothing = 2.0 * order as f64 * roundoff * s.first().copied().unwrap_or(0.0);
    s.iter().take(most).take_while(|&&s| s > nothing).count()
}

/// By products with Z in coordinates, 2 nnz(E) + 2 (t + s) l for each.
pub(super) fn by_lanczos<B: Real>(context: &Context, z: &Stacked<'_, '_, B>) -> Result<Ritz> {
    let coordinates = Coordinates::new(context, z.touched, z.whole)?;
    let k = (z.most + 1).min(z.len()).min(coordinates.len());
    if k == 0 {
        return by_svd(context, z);
    }
    let operator = InCoordinates { z, coordinates: &coordinates };
    let params = Params {
        k,
        exact: k,
        solver: Some(Solver::Lanczos),
        tolerance: TOLERANCE,
        max_iter: MOST_BLOCKS,
        seed: 0,
        start: None,
    };
    let found = svds(context, &operator, &params)?;
    let kept = significant(&found.s, z.most, z.len().max(coordinates.len()), z.roundoff);
    in_coordinates(context, z, &coordinates, (found.u, found.s, found.v), kept)
}

/// Residuals of triplets beside the largest singular value, whose errors are squares of that; and a limit that only spectra
/// without any gap come to.
pub(super) const TOLERANCE: f64 = 1e-12;
pub(super) const MOST_BLOCKS: usize = 1000;

/// Both sides from singular vectors in coordinates.
fn in_coordinates<B: Real>(
    context: &Context,
    z: &Stacked<'_, '_, B>,
    coordinates: &Coordinates,
    (f, s, g): (Mat<f64>, Vec<f64>, Mat<f64>),
    kept: usize,
) -> Result<Ritz> {
    let next = s.get(kept).copied().unwrap_or(0.0);
    let mut s = s;
    s.truncate(kept);
    let mut g = Mat::copy_of(g.as_ref().cols(0..kept))?;
    let turned = Mat::copy_of(f.as_ref().cols(0..kept))?;
    let f = z.signed(turned.copy()?);
    for j in (0..kept).filter(|&j| f.col(j) != turned.col(j)) {
        g.col_mut(j).iter_mut().for_each(|x| *x = -*x);
    }
    let f = Mat::copy_of(f.as_ref().t())?;
    let (rotation, rows) = coordinates.of_coordinates(g.as_ref())?;
    let discarded = (z.energy(context)? - s.iter().map(|s| s * s).sum::<f64>()).max(next * next);
    let lost = coordinates.lost * z.s.first().copied().unwrap_or(0.0);
    Ok(Ritz { s, f, rotation, rows, next: next.hypot(lost), discarded: discarded + lost * lost })
}

/// Z in coordinates.
struct InCoordinates<'o, 'a, 'b, B> {
    z: &'o Stacked<'a, 'b, B>,
    coordinates: &'o Coordinates,
}

impl<B: Real> Products for InCoordinates<'_, '_, '_, B> {
    fn shape(&self) -> (usize, usize) {
        (self.z.len(), self.coordinates.len())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, mut out: DenseMut<'_, f64>) -> Result<()> {
        let (l, k, n) = (self.z.s.len(), x.ncols(), self.z.len());
        let mut along = out.reborrow().window(0..l, 0..k);
        self.coordinates.basis.as_ref().transposed_product(context, x, along.reborrow())?;
        for j in 0..k {
            along.column_mut(j).zip(self.z.s).for_each(|(value, s)| *value *= s);
        }
        let touched = x.rows(0..self.coordinates.touched());
        self.z.batch.local().product(context, touched, out.window(l..n, 0..k))
    }

    fn transposed_product(
        &self,
        context: &Context,
        y: Dense<'_, f64>,
        mut out: DenseMut<'_, f64>,
    ) -> Result<()> {
        let (l, k, t) = (self.z.s.len(), y.ncols(), self.coordinates.touched());
        let scaled = Mat::from_fn(l, k, |i, j| self.z.s[i] * y.get(i, j))?;
        self.coordinates.basis.as_ref().product(context, scaled.as_ref(), out.reborrow())?;
        let mut more = Mat::zeros(k, t)?;
        let rows = y.rows(l..self.z.len());
        self.z.batch.local().transposed_product(context, rows, more.as_mut().t())?;
        for j in 0..k {
            out.column_mut(j).zip((0..t).map(|i| more[(j, i)])).for_each(|(sum, more)| *sum += more);
        }
        Ok(())
    }
}
