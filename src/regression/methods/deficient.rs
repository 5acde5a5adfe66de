//! Normal equations of deficient columns: a basis among them, and the shortest answers.
//!
//! Pivoted Cholesky stops where the columns that are left are combinations of those before them, as far as the Gram
//! matrix tells. That is half the digits, so that the combinations are proven by a read of A: R = [R1, R2] gives null
//! vectors [-R1^-1 R2; I], and one step of refinement makes them as good as A knows them.

use crate::error::Result;
use crate::linalg::{self, Factor, Pivoted, norm, pivoted_cholesky};
use crate::matrix::{Mat, Matrix, Real};
use crate::memory::{collected, zeros};
use crate::regression::design::pass::{Pass, Passes, Sides};
use crate::regression::methods::moments::Normal;
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::methods::qr::shortened;
use crate::regression::refine::{Group, Scaled};
use crate::simd::axpy;

/// The shortest answers for one group of targets, where a basis of a condition up to `limit` is found and all other
/// columns depend on it within `rcond`.
pub(crate) fn deficient<T: Real>(
    group: &Group<'_, '_, T>,
    normal: Normal,
    limit: f64,
    rcond: f64,
) -> Result<Outcome> {
    let Normal { gram, scale, empty, magnification, at_zero, .. } = normal;
    let d = gram.ncols();
    let tolerance = 8.0 * d as f64 * f64::UNIT_ROUNDOFF * magnification;
    let pivoted = pivoted_cholesky(&gram, tolerance)?;
    drop(gram);
    let Some(Pivoted { rows, order }) = pivoted.filter(|pivoted| pivoted.rows.nrows() < d) else {
        return Ok(Outcome::Inadmissible(f64::INFINITY));
    };
    let null_space = null_vectors(&rows, &order)?;
    let factor = Factor::Trapezoid(rows, order);
    let condition = factor.condition()?;
    if condition.is_nan() || condition > limit {
        return Ok(Outcome::Inadmissible(condition));
    }
    let scaled = Scaled { factor, scale, empty, cut: 0.0 };
    by_basis(group, scaled, condition, null_space, at_zero, rcond)
}

/// The shortest answers by a factor of some columns, if these vectors show that all others depend on them within `rcond`.
pub(crate) fn by_basis<T: Real>(
    group: &Group<'_, '_, T>,
    mut scaled: Scaled,
    condition: f64,
    null_space: Mat<f64>,
    at_zero: Pass,
    rcond: f64,
) -> Result<Outcome> {
    let Some((null_space, cut)) = proven(group, &scaled, null_space, rcond)? else {
        return Ok(Outcome::Inadmissible(f64::INFINITY));
    };
    scaled.cut = cut;
    let refined = group.refine_from_zero(&scaled, condition, at_zero, None)?;
    let empty = collected(scaled.empty.iter().copied(), "columns of zeros")?;
    let refined = shortened(group, refined, &scaled, Some(&null_space), &empty)?;
    Ok(Outcome::Factored(Factored { refined, scaled, condition }))
}

/// [-R1^-1 R2; I], its rows in the order of the unknowns.
fn null_vectors(rows: &Mat<f64>, order: &[usize]) -> Result<Mat<f64>> {
    let (rank, d) = (rows.nrows(), rows.ncols());
    let mut images = Mat::from_fn(rank, d - rank, |i, j| -rows[(i, rank + j)])?;
    linalg::solve_upper(rows.as_ref().cols(0..rank), images.as_mut());
    let mut vectors = Mat::zeros(d, d - rank)?;
    for j in 0..d - rank {
        order[..rank].iter().zip(images.col(j)).for_each(|(&at, &value)| vectors[(at, j)] = value);
        vectors[(order[rank + j], j)] = 1.0;
    }
    Ok(vectors)
}

/// The null vectors and what A makes of them, relative to |A|_F; `None` if that is more than what counts as zero.
fn proven<T: Real>(
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    vectors: Mat<f64>,
    rcond: f64,
) -> Result<Option<(Mat<f64>, f64)>> {
    // One of them first, of the largest pivot where they are in order: where it is none, the others cost no reads.
    if vectors.ncols() > FEW
        && shown(group, scaled, Mat::copy_of(vectors.as_ref().cols(0..1))?, rcond)?.is_none()
    {
        return Ok(None);
    }
    shown(group, scaled, vectors, rcond)
}

/// Vectors that one read takes at once.
const FEW: usize = 8;

/// The same of some of them.
fn shown<T: Real>(
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    mut vectors: Mat<f64>,
    rcond: f64,
) -> Result<Option<(Mat<f64>, f64)>> {
    let left = group.design.left_by_centring(&scaled.scale, rcond)?;
    let largest = scaled.factor.norm_of_basis()?;
    let largest = if left.is_some() { largest.max(1.0) } else { largest };
    let mut before: Vec<f64> = zeros(vectors.nrows(), "a null vector")?;
    for is_last in [false, true] {
        let unscaled =
            Mat::from_fn(vectors.nrows(), vectors.ncols(), |i, j| vectors[(i, j)] / scaled.scale[i])?;
        let mut pass = Matrix::pass(group.context, group.design, &unscaled, Sides::ZEROS)?;
        group.to_scaled(&mut pass, &unscaled, &scaled.scale);
        let (mut cut, mut is_proven) = (0.0f64, true);
        for j in 0..vectors.ncols() {
            before.copy_from_slice(vectors.col(j));
            if let Some(left) = &left {
                before.iter_mut().zip(left).for_each(|(value, left)| *value /= left);
            }
            is_proven &= pass.squares[j].sqrt() <= rcond * largest * norm(&before);
            cut = cut.hypot(pass.squares[j].sqrt() / norm(vectors.col(j)));
        }
        if is_proven {
            return Ok(Some((vectors, cut / scaled.frobenius_norm() + 2.0 * f64::UNIT_ROUNDOFF)));
        }
        if !is_last {
            let step = scaled.factor.unwhiten(&scaled.factor.whiten(&pass.gradient)?)?;
            axpy(1.0, step.as_slice(), vectors.as_mut_slice());
        }
    }
    Ok(None)
}
