//! QR of matrices with many rows, one slab after the other.

use super::Qr;
use crate::error::Result;
use crate::matrix::{Mat, Rows};
use crate::parallel::Context;

/// R, d x d, of the QR factorisation of an n x d matrix with any n; rows of zeros fill it up when n < d.
pub fn tsqr(ctx: &Context, rows: &dyn Rows) -> Result<Mat<f64>> {
    let (n, d) = (rows.nrows(), rows.ncols());
    let step = (4 * d).max(64);
    let mut r = Mat::zeros(d, d)?;
    let mut buffer = Vec::new();
    for start in (0..n).step_by(step) {
        ctx.tick()?;
        let tile = rows.tile(start..(start + step).min(n), 0..d, &mut buffer);
        let stacked =
            Mat::from_fn(d + tile.nrows(), d, |i, j| if i < d { r[(i, j)] } else { tile.get(i - d, j) })?;
        r = Qr::new(stacked)?.r()?;
    }
    Ok(r)
}
