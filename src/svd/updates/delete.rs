//! Rows or columns that go.

use crate::error::Result;
use crate::linalg::{eigh_apart, matmul, product, svd_apart};
use crate::matrix::{Mat, Matrix, Real};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::updates::append::largest_entry;
use crate::svd::updates::batch::Batch;
use crate::svd::updates::ledger::Kind;
use crate::svd::updates::probe::Probed;
use crate::svd::updates::ritz::{self, VALUES};
use crate::svd::updates::side::{Gathered, Update};
use crate::svd::updates::truncated::{Change, End, Sums, TruncatedSvd};

/// What is known of rows, or columns, that go.
pub struct Values {
    /// The squares of their entries.
    pub energy: f64,
    /// Of rows: less their sum, where that is not zero.
    pub sums: Vec<(usize, f64)>,
    /// Of columns: what they take with them of a probe, by row; see [`TruncatedSvd::probed_columns`].
    pub probed: Option<(Vec<usize>, Mat<f64>)>,
}

impl Values {
    /// Of the rows, or columns, themselves.
    pub fn of<B: Real>(context: &Context, end: End, values: &Matrix<'_, B>) -> Result<Self> {
        largest_entry(context, values)?;
        Batch::with(context, values, |batch| {
            let energy = batch.energy(context)?;
            if end == End::Columns {
                return Ok(Self { energy, sums: Vec::new(), probed: None });
            }
            let less = Mat::from_fn(1, batch.shape().0, |_, _| -1.0)?;
            let sums = batch.transposed_times(context, &less)?;
            let sums = batch.columns().iter().copied().zip(sums.as_slice().iter().copied());
            Ok(Self { energy, sums: collected(sums, VALUES)?, probed: None })
        })
    }
}

impl<T: Stored> TruncatedSvd<T> {
    /// Works out the model without some rows, or columns: at these positions, ascending and no two alike. What they were is
    /// the model's own to be taken off; `values` tell what they were of A.
    pub fn deleted(
        &self,
        context: &Context,
        end: End,
        positions: &[usize],
        values: Option<Values>,
    ) -> Result<Change<T>> {
        let (shorter, other) = match end {
            End::Rows => (&self.left, &self.right),
            End::Columns => (&self.right, &self.left),
        };
        let slots = shorter.slots_at(positions)?;
        let gone = shorter.gather(context, &slots, shorter.height())?;
        let Remainder { rotation, turned, s, dropped } = self.without(context, &gone)?;
        let update = Update { removed: Some((positions, gone)), ..Update::rotation(rotation) };
        let shorter = shorter.rewrite(context, update)?;
        let other = other.rewrite(context, Update::rotation(turned))?;
        let (left, right) = if end == End::Rows { (shorter, other) } else { (other, shorter) };
        let energy = values.as_ref().map(|values| values.energy);
        let mut ledger = self.ledger.after(Kind::Mixed, -energy.unwrap_or(0.0), dropped.sqrt(), dropped);
        ledger.energy_known &= energy.is_some_and(f64::is_finite) && self.ledger.energy.is_finite();
        ledger.energy = if ledger.energy_known { ledger.energy.max(0.0) } else { 0.0 };
        let (probed, values) = match (end, values) {
            (End::Rows, values) => (Probed::Scaled(1.0), values),
            (End::Columns, mut values) => {
                let probed = values.as_mut().and_then(|values| values.probed.take());
                (probed.map_or(Probed::Lost, |(rows, less)| Probed::More(rows, less)), values)
            }
        };
        let (sums, weights) = match (end, values) {
            (End::Columns, _) => (Sums::Scaled(1.0), self.moments.weights),
            (End::Rows, Some(values)) if self.is_unweighted() => {
                (Sums::More(values.sums), self.moments.weights.map(|weight| weight - positions.len() as f64))
            }
            (End::Rows, _) => (Sums::Unknown, self.moments.weights),
        };
        let (left, right) = (Some(left), Some(right));
        Ok(Change { left, right, s, ledger, sums, probed, weights, look: true, ..self.unchanged()? })
    }

    /// What becomes of the sides and singular values, once the rows in `gone` are zero.
    fn without(&self, context: &Context, gone: &Gathered) -> Result<Remainder> {
        /// Of a vector of which no more is left than this, squared, nothing is left but rounding.
        const NOTHING: f64 = 16.0 * f64::EPSILON;
        let l = self.s.len();
        let mut rest = Mat::identity(l)?;
        matmul(rest.as_mut(), true, gone.rows.as_ref(), gone.rows.as_ref().t(), -1.0);
        let (values, vectors) = eigh_apart(context, rest)?;
        let nothing = NOTHING.max(4.0 * T::UNIT_ROUNDOFF);
        let first = values.iter().position(|&value| value > nothing).unwrap_or(l);
        let square = |i: usize| (0..l).map(|j| (vectors[(j, i)] * self.s[j]).powi(2)).sum::<f64>();
        let dropped: f64 = (0..first).map(|i| values[i].max(f64::EPSILON) * square(i)).sum();
        let root = |i: usize| values[first + i].sqrt();
        let core = Mat::from_fn(l - first, l, |i, j| root(i) * vectors[(j, first + i)] * self.s[j])?;
        let found = svd_apart(context, core)?;
        let kept = ritz::significant(&found.s, l - first, l, T::UNIT_ROUNDOFF);
        let unscaled = Mat::from_fn(l, l - first, |j, i| vectors[(j, first + i)] / root(i))?;
        let rotation = product(found.u.as_ref().cols(0..kept).t(), unscaled.as_ref().t())?;
        let dropped = found.s[kept..].iter().fold(dropped, |sum, s| sum + s * s);
        let mut s = found.s;
        s.truncate(kept);
        Ok(Remainder { rotation, s, turned: Mat::copy_of(found.v.as_ref().cols(0..kept).t())?, dropped })
    }
}

/// A model of which some rows are zero.
struct Remainder {
    /// What the other rows of that side are multiplied with, and all of the other side.
    rotation: Mat<f64>,
    turned: Mat<f64>,
    s: Vec<f64>,
    /// The squares of what is too small to be told from rounding.
    dropped: f64,
}
