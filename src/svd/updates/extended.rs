//! The extended decomposition of Deng et al. (2024): all rows of a side lie on one level, with one rotation K.
//!
//! A row is written as its numbers times K^-1, so that an update makes no level. Where K has become ill-conditioned, as it does
//! when singular vectors come to live on new rows alone, all rows are written anew.

use crate::error::Result;
use crate::linalg::{Qr, condition_of_upper, matmul, solve_upper};
use crate::matrix::{Mat, even_blocks};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::updates::side::{Level, Rewrite, Side, Update, times};

/// What memory is for.
const ROWS: &str = "rows of singular vectors";
/// Rows that are looked at together.
const BLOCK: usize = 1024;
/// Beyond this condition of K all rows are written anew.
const MOST_CONDITION: f64 = 1e5;

impl<T: Stored> Side<T> {
    /// The sum of r r' over all rows: from what the levels have of it, unless K is so far from orthogonal that no more is left
    /// of that than rounding.
    pub fn measured_gram(&self, context: &Context) -> Result<Mat<f64>> {
        const DOUBT: f64 = 1e-12;
        let size = |x: &Mat<f64>| x.as_slice().iter().map(|x| x * x).sum::<f64>().sqrt();
        let upward = self.upward(0)?;
        let doubt = |(level, rotation): (&Level, &Mat<f64>)| {
            f64::EPSILON * size(&level.gram) * size(rotation).powi(2)
        };
        let width = self.width();
        if self.levels.iter().zip(&upward.rotations).map(doubt).sum::<f64>() <= DOUBT * width.max(1) as f64 {
            return self.gram(&upward);
        }
        let mut gram = Mat::zeros(width, width)?;
        for block in even_blocks(self.len(), BLOCK)? {
            context.tick()?;
            let slots = collected(self.order.range(block).copied(), ROWS)?;
            let (rows, _) = self.gather_by(context, &slots, &upward, 0)?;
            matmul(gram.as_mut(), true, rows.as_ref(), rows.as_ref().t(), 1.0);
        }
        Ok(gram)
    }

    /// [`Side::rewrite`] without another level.
    pub fn rewrite_extended(&self, context: &Context, update: Update<'_>) -> Result<Rewrite<T>> {
        let (l, width) = (update.rotation.ncols(), update.rotation.nrows());
        let ([level], true) = (&self.levels[..], l == width && l > 0) else {
            return self.rewrite_all(context, update);
        };
        let k = times(&level.rotation, &update.rotation)?;
        if k.nrows() != k.ncols() {
            return self.rewrite_all(context, update);
        }
        // K' = Q R: rows x K^-1 are solutions of K'y = x.
        let qr = Qr::new(k.copy()?)?;
        let r = qr.r()?;
        let condition = condition_of_upper(r.as_ref())?;
        if condition.is_nan() || condition > MOST_CONDITION {
            return self.rewrite_all(context, update);
        }
        let over = |rows: &Mat<f64>| {
            let mut rows = rows.copy()?;
            qr.apply_qt(&mut rows)?;
            solve_upper(r.as_ref(), rows.as_mut());
            Ok::<_, crate::error::Error>(rows)
        };
        let touched = update
            .touched
            .map(|(slots, gathered, rows)| Ok::<_, crate::error::Error>((slots, gathered, over(&rows)?)));
        let appended = update
            .appended
            .map(|(count, filled, rows)| Ok::<_, crate::error::Error>((count, filled, over(&rows)?)));
        let update = Update {
            rotation: k,
            touched: touched.transpose()?,
            appended: appended.transpose()?,
            removed: None,
        };
        self.rewrite_onto(context, update)
    }

    /// Rows that are told in the numbers of the only level, whose rotation becomes that of the update.
    fn rewrite_onto(&self, context: &Context, update: Update<'_>) -> Result<Rewrite<T>> {
        let Update { rotation, touched, appended, .. } = update;
        let appended_slots = self.slots_for(appended.as_ref().map_or(0, |appended| appended.0))?;
        let filled =
            appended.as_ref().map_or(&[][..], |appended| appended.1).iter().map(|&i| appended_slots[i]);
        let touched_slots = touched.as_ref().map_or(&[][..], |touched| touched.0);
        let slots = collected(touched_slots.iter().copied().chain(filled), ROWS)?;
        let (gone, values) = match touched {
            Some((_, gone, values)) => (Some(gone), values),
            None => (None, Mat::zeros(0, 0)?),
        };
        let fresh = appended.map_or_else(|| Mat::zeros(0, 0), |appended| Ok(appended.2))?;
        self.onto_the_top(
            context,
            gone,
            (slots, [values, fresh, Mat::zeros(0, 0)?]),
            rotation,
            appended_slots,
        )
    }
}
