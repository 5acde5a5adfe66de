//! What a model says.

use crate::error::Result;
use crate::linalg::{eigh_apart, norm, product, svd_apart};
use crate::matrix::{Mat, Matrix, Products, Real, power_of_two_below};
use crate::memory::{collected, copied};
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::triplets::choose_signs;
use crate::svd::updates::append::largest_entry;
use crate::svd::updates::batch::Batch;
use crate::svd::updates::ritz::VALUES;
use crate::svd::updates::truncated::{End, TruncatedSvd};

/// Entries for every column from which on it is not asked which columns are empty.
const MANY: usize = 4;

/// Principal components of the rows about their mean.
pub struct Principal {
    /// n x k, orthonormal.
    pub components: Mat<f64>,
    /// The singular values of the centred rows, the largest first.
    pub s: Vec<f64>,
}

impl<T: Stored> TruncatedSvd<T> {
    /// The first k numbers of some rows of U, or of V, or of all.
    pub fn vectors(
        &self,
        context: &Context,
        end: End,
        positions: Option<&[usize]>,
        k: usize,
    ) -> Result<Mat<f64>> {
        let side = if end == End::Rows { &self.left } else { &self.right };
        let Some(positions) = positions else {
            let mut vectors = Mat::zeros(side.len(), k)?;
            side.copy_to(context, vectors.as_mut())?;
            return Ok(vectors);
        };
        let rows = side.rows_at(context, positions)?;
        Mat::copy_of(rows.as_ref().rows(0..k).t())
    }

    /// X V of the first k vectors, row i in column i.
    pub fn projected<B: Real>(&self, context: &Context, x: &Matrix<'_, B>, k: usize) -> Result<Mat<f64>> {
        let project = |batch: &Batch<'_, B>| {
            let rows = self.right.rows_at(context, batch.columns())?;
            batch.times(context, &rows)
        };
        let many = matches!(x, Matrix::Sparse(x) if x.nnz() / MANY >= x.ncols());
        let projected = match many {
            true => project(&Batch::of_all_columns(*x)?)?,
            false => Batch::with(context, x, project)?,
        };
        // What is not finite makes what it meets so.
        if k == 0 || !projected.as_slice().iter().all(|value| value.is_finite()) {
            largest_entry(context, x)?;
        }
        match projected.nrows() == k {
            true => Ok(projected),
            false => Mat::copy_of(projected.as_ref().rows(0..k)),
        }
    }

    /// Entries of the first k triplets of the model, at pairs of a row and a column.
    pub fn scores(&self, context: &Context, rows: &[usize], columns: &[usize], k: usize) -> Result<Vec<f64>> {
        let (u, v) = (self.left.rows_at(context, rows)?, self.right.rows_at(context, columns)?);
        let score = |i: usize| (0..k).map(|j| u[(j, i)] * self.s[j] * v[(j, i)]).sum();
        collected((0..rows.len()).map(score), VALUES)
    }

    /// The weighted sum of the rows, by column.
    pub(super) fn mean_sums(&self) -> Result<Option<Vec<f64>>> {
        let sum = |sums: &Vec<f64>| {
            let slots = self.right.slots();
            collected(slots.map(|slot| sums.get(slot as usize).copied().unwrap_or(0.0)), VALUES)
        };
        self.moments.sums.as_ref().map(sum).transpose()
    }

    /// The weighted mean of the rows, if it is known.
    pub fn mean(&self) -> Result<Option<Vec<f64>>> {
        let weight = self.moments.weights[0];
        let divided = |sums: Vec<f64>| collected(sums.into_iter().map(|sum| sum / weight), VALUES);
        self.mean_sums()?.map(divided).transpose()
    }

    /// The sum of the weights of the rows, and of their squares.
    pub fn weights(&self) -> [f64; 2] {
        self.moments.weights
    }

    /// How long the mean is along each right singular vector.
    pub fn along(&self, context: &Context, mean: &[f64]) -> Result<Vec<f64>> {
        let v = self.vectors(context, End::Columns, None, self.s.len())?;
        let (mean, mut along) = (Mat::from_fn(mean.len(), 1, |i, _| mean[i])?, Mat::zeros(self.s.len(), 1)?);
        v.as_ref().transposed_product(context, mean.as_ref(), along.as_mut())?;
        copied(along.as_slice(), VALUES)
    }

    /// The k first principal components of the rows less a mean of theirs: S^2 - W z z' with z = V'mean and what V does
    /// not have of it.
    pub fn principal(&self, context: &Context, mean: &[f64], k: usize) -> Result<Principal> {
        /// Less than this of the mean is rounding.
        const NOTHING: f64 = 1e-10;
        let (n, l) = (mean.len(), self.s.len());
        let v = self.vectors(context, End::Columns, None, l)?;
        let largest = mean.iter().map(|mean| mean.abs()).chain(self.s.first().copied()).fold(0.0, f64::max);
        let unit = power_of_two_below(largest);
        let s = collected(self.s.iter().map(|s| s / unit), VALUES)?;
        let (mut rest, mut along) = (Mat::from_fn(n, 1, |i, _| mean[i] / unit)?, Mat::zeros(l, 1)?);
        let length = norm(rest.as_slice());
        let mut all = Mat::<f64>::zeros(l, 1)?;
        for _ in 0..2 {
            v.as_ref().transposed_product(context, rest.as_ref(), along.as_mut())?;
            let of_v = product(v.as_ref(), along.as_ref())?;
            rest.as_mut_slice().iter_mut().zip(of_v.as_slice()).for_each(|(rest, part)| *rest -= part);
            all.as_mut_slice().iter_mut().zip(along.as_slice()).for_each(|(sum, part)| *sum += part);
        }
        let outside = norm(rest.as_slice());
        let outside = if outside > NOTHING * length { outside } else { 0.0 };
        let weight = self.moments.weights[0];
        if outside == 0.0 {
            return within(context, &v, (&s, unit), all.as_slice(), weight, k);
        }
        let order = l + usize::from(outside > 0.0);
        let z = |i: usize| if i < l { all[(i, 0)] } else { outside };
        let square = |i: usize| if i < l { s[i] * s[i] } else { 0.0 };
        let centred =
            Mat::from_fn(order, order, |i, j| f64::from(i == j) * square(i) - weight * z(i) * z(j))?;
        let (values, vectors) = eigh_apart(context, centred)?;
        let k = k.min(order);
        let chosen = Mat::from_fn(order, k, |i, j| vectors[(i, order - 1 - j)])?;
        let mut components = product(v.as_ref(), chosen.as_ref().rows(0..l))?;
        for j in (0..k).filter(|_| outside > 0.0) {
            let factor = chosen[(l, j)] / outside;
            components.col_mut(j).iter_mut().zip(rest.as_slice()).for_each(|(x, rest)| *x += factor * rest);
        }
        choose_signs(&mut Mat::zeros(0, k)?, &mut components);
        let s = collected(values.iter().rev().take(k).map(|value| value.max(0.0).sqrt() * unit), VALUES)?;
        Ok(Principal { components, s })
    }
}

/// Where V has all of the mean, along which it is `along`: S^2 - W z z' = S (I - u u') S with u = sqrt(W) z / S, no longer
/// than one, so that nothing has to be squared.
fn within(
    context: &Context,
    v: &Mat<f64>,
    (s, unit): (&[f64], f64),
    along: &[f64],
    weight: f64,
    k: usize,
) -> Result<Principal> {
    let l = s.len();
    let u = along.iter().zip(s).map(|(z, &s)| if s > 0.0 { weight.sqrt() * z / s } else { 0.0 });
    let u = collected(u, VALUES)?;
    let square = norm(&u).powi(2);
    let less = if square > 0.0 { (1.0 - (1.0 - square.min(1.0)).sqrt()) / square } else { 0.0 };
    let core = Mat::from_fn(l, l, |i, j| (f64::from(i == j) - less * u[i] * u[j]) * s[j])?;
    let found = svd_apart(context, core)?;
    let k = k.min(l);
    let mut components = product(v.as_ref(), found.v.as_ref().cols(0..k))?;
    choose_signs(&mut Mat::zeros(0, k)?, &mut components);
    Ok(Principal { components, s: collected(found.s[..k].iter().map(|s| s * unit), VALUES)? })
}
