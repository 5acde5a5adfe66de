//! Factors of a matrix that is at hand, and of two models.

use crate::error::{Error, Result};
use crate::linalg::{orthonormal, svd_apart};
use crate::matrix::{Adjusted, Mat, Matrix, Products, Real, power_of_two_below};
use crate::memory::{collected, copied};
use crate::parallel::Context;
use crate::random::Stream;
use crate::state::Stored;
use crate::svd::energy::energy;
use crate::svd::params::{Params, Solver};
use crate::svd::solve::svds;
use crate::svd::triplets::choose_signs;
use crate::svd::updates::append::Method;
use crate::svd::updates::batch::Batch;
use crate::svd::updates::ledger::Ledger;
use crate::svd::updates::probe::Probe;
use crate::svd::updates::ritz::{VALUES, significant};
use crate::svd::updates::robust::shrink;
use crate::svd::updates::side::Side;
use crate::svd::updates::truncated::{Change, Moments, Policy, Sums, TruncatedSvd, size};

/// Random numbers of directions that a model does not have.
const PURPOSE: u8 = 34;

/// What was measured of the factors of a fit.
pub struct Fit {
    /// |A v - s u| and |A'u - s v| of every triplet.
    pub residuals: Vec<[f64; 2]>,
    /// How they were found; directly if there is none.
    pub solver: Option<Solver>,
    /// Blocks of vectors that A and its transpose were multiplied with.
    pub n_iter: usize,
}

impl<T: Stored> TruncatedSvd<T> {
    /// Of a matrix, with the `params.k` largest singular values that it has, or, to be `centred`, those that its rows less
    /// their mean have, and the mean.
    pub fn fit<B: Real>(
        context: &Context,
        a: &Matrix<'_, B>,
        params: &Params,
        most: usize,
        policy: Policy,
        centred: bool,
    ) -> Result<(Self, Fit)> {
        let energy = energy(context, a)?;
        // One more, which the others shrink by.
        let (n, d) = a.shape();
        let k = if policy.robust { (params.k + 1).min(n).min(d) } else { params.k };
        let start = params.start.as_deref().map(|start| copied(start, VALUES)).transpose()?;
        let params = Params { k, start, ..*params };
        let sums = sum_of_rows(context, a)?;
        let found = match centred {
            true => {
                let means = collected(sums.iter().map(|sum| sum / n as f64), VALUES)?;
                svds(context, &Adjusted { means: Some(means), ..Adjusted::new(*a) }, &params)?
            }
            false => svds(context, a, &params)?,
        };
        let fit = Fit { residuals: found.residuals, solver: found.solver, n_iter: found.n_iter };
        let mut left = found.u;
        if centred {
            // At right angles to the others, but for those of singular values of zero.
            let kept = significant(&found.s, k.min(n - 1), n.max(d), f64::EPSILON / 2.0);
            let ones = (n as f64).sqrt().recip();
            left = Mat::from_fn(n, kept + 1, |i, j| if j < kept { left[(i, j)] } else { ones })?;
            left = orthonormal(context, left)?;
        }
        // What the ledger proves of later updates, it proves of projections from the left.
        let factors = projection(context, a, left)?;
        let largest = fit.residuals.iter().flatten().fold(0.0, |most: f64, residual| most.max(*residual));
        let empty = Self::with_policy(most, policy)?;
        let mut model = Self::of(context, a, factors, (energy, sums), most, empty)?;
        model.ledger.residual = match centred {
            true => f64::INFINITY,
            false => model.s.first().map_or(0.0, |s| largest / s),
        };
        Ok((model, fit))
    }

    /// Of factors of a matrix, with its energy and the sum of its rows.
    fn of<B: Real>(
        context: &Context,
        a: &Matrix<'_, B>,
        (u, mut s, v): (Mat<f64>, Vec<f64>, Mat<f64>),
        (energy, sums): (Option<f64>, Vec<f64>),
        most: usize,
        empty: Self,
    ) -> Result<Self> {
        let (n, d) = a.shape();
        let kept = significant(&s, most, n.max(d), f64::EPSILON / 2.0);
        let next = s.get(kept).copied().unwrap_or(0.0);
        s.truncate(kept);
        let captured: f64 = s.iter().map(|s| s * s).sum();
        let mut ledger = Ledger::fitted(
            energy.unwrap_or(f64::INFINITY),
            energy.map_or(f64::INFINITY, |all| all - captured),
        );
        if empty.policy.robust {
            ledger.frobenius = (ledger.frobenius.powi(2) + shrink(&mut s, next)).sqrt();
        }
        ledger.energy_known = energy.is_some();
        let ledger = ledger.rounded(T::UNIT_ROUNDOFF, size(&s), energy.unwrap_or(0.0));
        Ok(Self {
            left: Side::of(context, u.as_ref().cols(0..kept), empty.most)?,
            right: Side::of(context, v.as_ref().cols(0..kept), empty.most)?,
            s,
            ledger,
            moments: Moments { weights: [n as f64; 2], sums: Some(sums) },
            probe: empty.policy.probe.map(|seed| Probe::of(context, a, seed)).transpose()?,
            ..empty
        })
    }

    /// Closer to A, which is as large: subspace iteration from the right singular vectors, two products with as many
    /// vectors as there are triplets for each of so many passes.
    pub fn refreshed<B: Real>(&self, context: &Context, a: &Matrix<'_, B>, passes: usize) -> Result<Self> {
        let ((n, d), known) = (a.shape(), self.s.len());
        let l = self.most.min(n).min(d);
        if (n, d) != self.shape() {
            let [found, expected] = [(n, d), self.shape()].map(|shape| format!("shape {shape:?}"));
            return Err(Error::shape("A", found, format!("{expected}, as the model has")));
        }
        let energy = energy(context, a)?;
        let mut right = Mat::zeros(d, l)?;
        self.right.copy_to(context, right.as_mut().cols(0..known))?;
        // Where the model has fewer triplets than it may have, A is to find others.
        let random = Stream::new(0, 0, PURPOSE);
        (known..l).for_each(|j| random.normals_of_row(j as u64, right.col_mut(j)));
        right = orthonormal(context, right)?;
        let mut left = Mat::zeros(n, l)?;
        for pass in 0..passes {
            context.progress(pass, passes, &[])?;
            if pass > 0 {
                right = orthonormal(context, right)?;
            }
            a.product(context, right.as_ref(), left.as_mut())?;
            left = orthonormal(context, left)?;
            if pass + 1 < passes {
                a.transposed_product(context, left.as_ref(), right.as_mut())?;
            }
        }
        let empty = Self::with_policy(self.most, self.policy)?;
        let (factors, measured) = (projection(context, a, left)?, (energy, sum_of_rows(context, a)?));
        let mut refreshed = Self::of(context, a, factors, measured, self.most, empty)?;
        refreshed.counters = self.counters;
        refreshed.ledger.updates = self.ledger.updates;
        refreshed.ledger.residual = f64::INFINITY;
        context.progress(passes, passes, &[])?;
        Ok(refreshed)
    }

    /// Works out the model of two matrices with as many columns, one below the other.
    pub fn merged(&self, context: &Context, other: &Self) -> Result<Change<T>> {
        let (ours, theirs) = (self.right.len(), other.right.len());
        if ours != theirs {
            return Err(Error::shape("other", format!("{theirs} features"), ours));
        }
        if self.policy.robust != other.policy.robust
            || self.policy.probe.is_some() != other.policy.probe.is_some()
        {
            return Err(Error::value(
                "other",
                "a model with another `track` or `robust`",
                "one with the same",
            ));
        }
        let (m, l) = (other.left.len(), other.s.len());
        let largest = self.s.iter().chain(&other.s).copied().fold(0.0, f64::max);
        let unit = if largest > 0.0 { power_of_two_below(largest) } else { 1.0 };
        let mut weighted = Mat::zeros(theirs, l)?;
        other.right.copy_to(context, weighted.as_mut())?;
        for (j, s) in other.s.iter().enumerate() {
            weighted.col_mut(j).iter_mut().for_each(|value| *value *= s / unit);
        }
        let mut left = Mat::zeros(m, l)?;
        other.left.copy_to(context, left.as_mut())?;
        let rows = Matrix::Dense(weighted.as_ref().t());
        let change = Batch::with(context, &rows, |batch| {
            self.appended_as(context, Method::Auto, (batch, unit), left.as_ref())
        })?;
        let sums = match (&self.moments.sums, other.mean_sums()?) {
            (Some(_), Some(sums)) => Sums::More(collected(sums.into_iter().enumerate(), VALUES)?),
            _ => Sums::Unknown,
        };
        let [ours, theirs] = [self.moments.weights, other.moments.weights];
        let mut ledger = self.ledger.stacked(other.ledger);
        (ledger.spread, ledger.spectral) = (
            ledger.spread + change.ledger.spread - self.ledger.spread,
            ledger.spectral + change.ledger.spectral - self.ledger.spectral,
        );
        ledger.frobenius += change.ledger.frobenius - self.ledger.frobenius;
        ledger.updates += 1;
        let probed = self.probed_rows_of(other)?;
        Ok(Change { probed, sums, weights: [ours[0] + theirs[0], ours[1] + theirs[1]], ledger, ..change })
    }
}

/// The SVD of Q Q'A, of orthonormal columns Q.
fn projection<B: Real>(
    context: &Context,
    a: &Matrix<'_, B>,
    q: Mat<f64>,
) -> Result<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let (l, d) = (q.ncols(), a.ncols());
    let mut image = Mat::zeros(d, l)?;
    a.transposed_product(context, q.as_ref(), image.as_mut())?;
    let basis = if l < d { orthonormal(context, image.copy()?)? } else { Mat::identity(d)? };
    let mut core = Mat::zeros(basis.ncols(), l)?;
    basis.as_ref().transposed_product(context, image.as_ref(), core.as_mut())?;
    let found = svd_apart(context, core)?;
    let (mut u, mut v) = (Mat::zeros(q.nrows(), found.s.len())?, Mat::zeros(d, found.s.len())?);
    q.as_ref().product(context, found.v.as_ref(), u.as_mut())?;
    basis.as_ref().product(context, found.u.as_ref(), v.as_mut())?;
    choose_signs(&mut u, &mut v);
    Ok((u, found.s, v))
}

/// The sum of the rows.
fn sum_of_rows<B: Real>(context: &Context, a: &Matrix<'_, B>) -> Result<Vec<f64>> {
    let (n, d) = a.shape();
    let (ones, mut sums) = (Mat::from_fn(n, 1, |_, _| 1.0)?, Mat::zeros(d, 1)?);
    a.transposed_product(context, ones.as_ref(), sums.as_mut())?;
    copied(sums.as_slice(), VALUES)
}
