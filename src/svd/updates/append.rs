//! Rows or columns that are appended.

use crate::error::{Error, Result};
use crate::matrix::{Dense, Mat, Matrix, Real, power_of_two_below};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::energy::refuse_non_finite;
use crate::svd::updates::batch::{Batch, transposed};
use crate::svd::updates::lcov::{Directed, by_pairs};
use crate::svd::updates::ledger::{Kind, Ledger};
use crate::svd::updates::ritz::{self, Ritz, Stacked, VALUES};
use crate::svd::updates::side::{Side, Update, rotated};
use crate::svd::updates::truncated::{Change, End, Sums, TruncatedSvd};

/// How the largest singular values of a model and what comes to it are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The fastest that is accurate.
    Auto,
    /// Eigenvectors of a Gram matrix, or `Qr` where the spectrum is too steep for it.
    Gram,
    /// An SVD in touched coordinates.
    Qr,
    /// Lanczos in touched coordinates.
    Krylov,
    /// Sparse vectors less combinations of V, on one level (Deng et al. 2024).
    Lcov(Directed),
    /// All rows, to compare with.
    Dense(Directed),
}

/// Numbers within this range and its inverse have squares that neither overflow nor vanish.
const RANGE: f64 = 1e100;

impl<T: Stored> TruncatedSvd<T> {
    /// Works out the model with rows, or columns, behind its own.
    pub fn appended<B: Real>(
        &self,
        context: &Context,
        end: End,
        method: Method,
        x: &Matrix<'_, B>,
    ) -> Result<Change<T>> {
        let largest = largest_entry(context, x)?.max(self.s.first().copied().unwrap_or(0.0));
        self.check_width(end, x)?;
        let rows = if end == End::Rows { *x } else { transposed(x) };
        let append =
            |unit: f64| move |batch: &Batch<'_, B>| self.appended_rows(context, end, method, batch, unit);
        if largest == 0.0 || (RANGE.recip()..RANGE).contains(&largest) {
            return Batch::with(context, &rows, append(1.0));
        }
        // Of numbers far from one, a copy that is near one.
        let unit = power_of_two_below(largest);
        let append = |batch: &Batch<'_, f64>| self.appended_rows(context, end, method, batch, unit);
        match rows {
            Matrix::Sparse(rows) => {
                let values = rows.values().iter().map(|value| value.to_f64() / unit);
                let values = collected(values, "a batch of rows")?;
                Batch::with(context, &Matrix::Sparse(rows.with_values(&values)), append)
            }
            Matrix::Dense(rows) => {
                let copy = Mat::from_fn(rows.nrows(), rows.ncols(), |i, j| rows.get(i, j).to_f64() / unit)?;
                Batch::with(context, &Matrix::Dense(copy.as_ref()), append)
            }
        }
    }

    /// A batch may be wider than the model, and not narrower.
    fn check_width<B: Real>(&self, end: End, x: &Matrix<'_, B>) -> Result<()> {
        let (found, least, what) = match end {
            End::Rows => (x.ncols(), self.right.len(), "features"),
            End::Columns => (x.nrows(), self.left.len(), "rows"),
        };
        let fits = if end == End::Rows { found >= least } else { found == least };
        match fits {
            true => Ok(()),
            false => Err(Error::shape("A", format!("{found} {what}"), format!("{least}, as the model has"))),
        }
    }

    /// [`TruncatedSvd::appended`] of a batch in units of `unit`, as rows; columns are rows of the transposed model.
    fn appended_rows<B: Real>(
        &self,
        context: &Context,
        end: End,
        method: Method,
        batch: &Batch<'_, B>,
        unit: f64,
    ) -> Result<Change<T>> {
        let energy = batch.energy(context)? * unit * unit;
        let change = match method {
            Method::Dense(directed) => self.appended_densely(context, end, directed, (batch, unit))?,
            _ => None,
        };
        let change = match change {
            Some(change) => change,
            None => self.appended_times(context, end, method, (batch, unit), None)?,
        };
        Ok(Change {
            ledger: Ledger { energy: change.ledger.energy + energy, ..change.ledger },
            sums: self.sums_with(context, end, batch, unit)?,
            probed: self.probed_batch(context, end, batch, unit)?,
            weights: match end {
                End::Rows => self.moments.weights.map(|weight| weight + batch.shape().0 as f64),
                End::Columns => self.moments.weights,
            },
            ..change
        })
    }

    /// With Q E below, of orthonormal columns Q and E in units of its own.
    pub(super) fn appended_as<B: Real>(
        &self,
        context: &Context,
        method: Method,
        batch: (&Batch<'_, B>, f64),
        q: Dense<'_, f64>,
    ) -> Result<Change<T>> {
        self.appended_times(context, End::Rows, method, batch, Some(q))
    }

    /// What both make of the sides; without what comes with rows beside that.
    fn appended_times<B: Real>(
        &self,
        context: &Context,
        end: End,
        method: Method,
        (batch, unit): (&Batch<'_, B>, f64),
        q: Option<Dense<'_, f64>>,
    ) -> Result<Change<T>> {
        let (kind, longer, touched) = match end {
            End::Rows => (Kind::Rows, &self.left, &self.right),
            End::Columns => (Kind::Columns, &self.right, &self.left),
        };
        let (old, columns) = (touched.len(), batch.columns());
        let known = columns.partition_point(|&column| column < old);
        let slots = touched.slots_at(&columns[..known])?;
        let below = match method {
            Method::Lcov(_) => touched.height(),
            _ => touched.levels_below(columns.len()),
        };
        let gathered = touched.gather(context, &slots, below)?;
        let values = collected(self.s.iter().map(|s| s / unit), VALUES)?;
        let padded =
            (known < columns.len()).then(|| with_zeros(&gathered.rows, columns.len())).transpose()?;
        let z = Stacked {
            s: &values,
            touched: padded.as_ref().unwrap_or(&gathered.rows),
            batch,
            most: self.most.min(longer.len() + batch.shape().0).min(batch.shape().1),
            whole: known == old,
            roundoff: T::UNIT_ROUNDOFF,
        };
        let (found, fallback, left_out) = match method {
            Method::Lcov(directed) => {
                let (found, left_out) = by_pairs(context, &z, directed, self.ledger.updates)?;
                (found, false, left_out)
            }
            _ => self.solve(context, method, &z).map(|(found, fallback)| (found, fallback, None))?,
        };
        let found = if self.policy.robust { found.shrunk() } else { found };
        let Ritz { s, f, rotation, rows, next, discarded } = found;
        let of_batch = Mat::copy_of(f.as_ref().cols(values.len()..f.ncols()))?;
        let fresh = match q {
            Some(q) => rotated(context, &Mat::copy_of(q.t())?, &of_batch)?,
            None => of_batch,
        };
        let every = collected(0..fresh.ncols(), VALUES)?;
        let of_model = Mat::copy_of(f.as_ref().cols(0..values.len()))?;
        let appended = Some((fresh.ncols(), &every[..], fresh));
        let rewrite = |side: &Side<T>, update: Update<'_>| match method {
            Method::Lcov(_) => side.rewrite_extended(context, update),
            _ => side.rewrite(context, update),
        };
        let longer = rewrite(longer, Update { appended, ..Update::rotation(of_model) })?;
        let new = collected(columns[known..].iter().map(|column| column - old), VALUES)?;
        let wider = batch.shape().1 - old;
        let fresh = Mat::copy_of(rows.as_ref().cols(known..columns.len()))?;
        let rows = if new.is_empty() { rows } else { Mat::copy_of(rows.as_ref().cols(0..known))? };
        let update = Update {
            touched: Some((&slots, gathered, rows)),
            appended: (wider > 0).then_some((wider, &new[..], fresh)),
            ..Update::rotation(rotation)
        };
        let touched = rewrite(touched, update)?;
        let (left, right) = if end == End::Rows { (longer, touched) } else { (touched, longer) };
        Ok(Change {
            left: Some(left),
            right: Some(right),
            s: collected(s.iter().map(|s| s * unit), VALUES)?,
            ledger: self
                .ledger
                .after(kind, 0.0, next * unit, discarded * unit * unit)
                .without(left_out, unit),
            fallback,
            ..self.unchanged()?
        })
    }

    /// The singular values, and whether another way than the one asked for was taken.
    fn solve<B: Real>(
        &self,
        context: &Context,
        method: Method,
        z: &Stacked<'_, '_, B>,
    ) -> Result<(Ritz, bool)> {
        let many = z.is_long();
        match method {
            Method::Qr | Method::Dense(_) => Ok((ritz::by_svd(context, z)?, false)),
            Method::Krylov | Method::Lcov(_) => Ok((ritz::by_lanczos(context, z)?, false)),
            Method::Auto if many => Ok((ritz::by_lanczos(context, z)?, false)),
            // Z has fewer columns than rows.
            Method::Gram if z.s.len() + z.batch.columns().len() < z.batch.shape().0 => {
                Ok((ritz::by_svd(context, z)?, false))
            }
            Method::Auto | Method::Gram => match ritz::by_gram(context, z)? {
                Some(found) => Ok((found, false)),
                None => Ok((ritz::by_svd(context, z)?, true)),
            },
        }
    }

    /// What a batch adds to the sum of the rows, and to their weights.
    fn sums_with<B: Real>(
        &self,
        context: &Context,
        end: End,
        batch: &Batch<'_, B>,
        unit: f64,
    ) -> Result<Sums> {
        if self.moments.sums.is_none() {
            return Ok(Sums::Unknown);
        }
        let s = batch.shape().0;
        let units = |count: usize| Mat::from_fn(1, count, |_, _| unit);
        if end == End::Rows {
            let sums = batch.transposed_times(context, &units(s)?)?;
            return Ok(Sums::More(collected(
                batch.columns().iter().copied().zip(sums.as_slice().iter().copied()),
                VALUES,
            )?));
        }
        let sums = batch.times(context, &units(batch.columns().len())?)?;
        Ok(Sums::More(collected((self.right.len()..).zip(sums.as_slice().iter().copied()), VALUES)?))
    }
}

/// Columns, and zeros behind them.
fn with_zeros(columns: &Mat<f64>, count: usize) -> Result<Mat<f64>> {
    let mut padded = Mat::zeros(columns.nrows(), count)?;
    padded.as_mut_slice()[..columns.as_slice().len()].copy_from_slice(columns.as_slice());
    Ok(padded)
}

/// The largest entry, without its sign; an error if one is not finite.
pub(super) fn largest_entry<B: Real>(context: &Context, x: &Matrix<'_, B>) -> Result<f64> {
    let of = |values: &[B]| {
        values.iter().fold((0.0f64, 0.0f64), |(largest, sum), value| {
            let value = value.to_f64();
            (largest.max(value.abs()), sum + value * 0.0)
        })
    };
    let mut total = (0.0f64, 0.0f64);
    let mut add = |(largest, sum): (f64, f64)| total = (total.0.max(largest), total.1 + sum);
    match x {
        Matrix::Sparse(x) => {
            for entries in context.pieces(0..x.nnz()) {
                add(of(&x.values()[entries?]));
            }
        }
        Matrix::Dense(x) => {
            for i in 0..x.nrows().min(if x.ncols() == 0 { 0 } else { usize::MAX }) {
                context.tick()?;
                match x.row(i) {
                    Some(row) => add(of(row)),
                    None => (0..x.ncols()).for_each(|j| add(of(&[x.get(i, j)]))),
                }
            }
        }
    }
    if total.1 != 0.0 || !total.0.is_finite() {
        refuse_non_finite(context, x)?;
    }
    Ok(total.0)
}
