//! Columns that span all others, where there is no doubt that they do.
//!
//! A Gram matrix tells how far a column is from the span of others down to the root of rounding. So random combinations of
//! what seems to be in the span are asked: what the spanning columns have of each is taken off it, in steps by the triangle
//! of their Gram matrix, until nothing but rounding is left.

use crate::error::Result;
use crate::linalg::{condition_of_upper, pivoted_cholesky, solve_upper, solve_upper_transposed};
use crate::matrix::Mat;
use crate::memory::{collected, copied};
use crate::random::Stream;

/// Squared distance from the span of the others, relative to its norm, below which a column may belong to it.
const DEPENDENT: f64 = 1e-12;
/// Combinations that are looked at, and steps that take from them what is in the span.
pub(crate) const PROBES: usize = 4;
const STEPS: usize = 3;
/// Of the random combinations.
const PROBE: u8 = 0x70;
/// What memory is for.
const COLUMNS: &str = "columns that span others";

/// Columns that span all.
pub(crate) struct Spanning {
    /// Their numbers, farthest from the span of those before first.
    pub columns: Vec<usize>,
    /// The triangle of their Gram matrix.
    pub triangle: Mat<f64>,
    /// Its condition.
    pub condition: f64,
    /// The other columns, and what they have in the basis that the triangle stands for.
    others: Vec<usize>,
    rest: Mat<f64>,
}

/// Those of a matrix A with this Gram matrix, if their condition is at most `largest`. `look` gives, for a few vectors y, the
/// norms of A y and A'A y; combinations of a norm below `tolerance` beside that of their coefficients are rounding.
pub(crate) fn spanning(
    gram: &Mat<f64>,
    largest: f64,
    tolerance: f64,
    look: impl FnMut(&Mat<f64>) -> Result<([f64; PROBES], Mat<f64>)>,
) -> Result<Option<Spanning>> {
    let d = gram.nrows();
    let root = |j: usize| if gram[(j, j)] == 0.0 { 1.0 } else { gram[(j, j)].sqrt() };
    let roots = collected((0..d).map(root), COLUMNS)?;
    let unit = Mat::from_fn(d, d, |i, j| gram[(i, j)] / roots[i] / roots[j])?;
    let Some(found) = pivoted_cholesky(&unit, DEPENDENT)? else { return Ok(None) };
    let rank = found.rows.nrows();
    let triangle = Mat::from_fn(rank, rank, |i, j| found.rows[(i, j)] * roots[found.order[j]])?;
    let condition = condition_of_upper(triangle.as_ref())?;
    let (columns, others) = (copied(&found.order[..rank], COLUMNS)?, copied(&found.order[rank..], COLUMNS)?);
    let entry = |i: usize, j: usize| found.rows[(i, rank + j)] * roots[others[j]];
    let rest = Mat::from_fn(rank, others.len(), entry)?;
    let all = Spanning { columns, triangle, condition, others, rest };
    let is_sure = rank > 0 && condition <= largest && all.is_all(&roots, tolerance, look)?;
    Ok(is_sure.then_some(all))
}

impl Spanning {
    /// Combinations of all columns that are zero, one for each that is not among the spanning ones.
    pub fn null(&self) -> Result<Mat<f64>> {
        let mut made = self.rest.copy()?;
        solve_upper(self.triangle.as_ref(), made.as_mut());
        let mut null = Mat::zeros(self.columns.len() + self.others.len(), self.others.len())?;
        for (k, &column) in self.others.iter().enumerate() {
            null[(column, k)] = 1.0;
            self.columns.iter().zip(made.col(k)).for_each(|(&j, made)| null[(j, k)] = -made);
        }
        Ok(null)
    }

    /// Whether the other columns are in the span.
    fn is_all(
        &self,
        roots: &[f64],
        tolerance: f64,
        mut look: impl FnMut(&Mat<f64>) -> Result<([f64; PROBES], Mat<f64>)>,
    ) -> Result<bool> {
        let (d, rank, stream) = (roots.len(), self.columns.len(), Stream::new(0, 0, PROBE));
        let mut y = Mat::zeros(d, PROBES)?;
        for (j, &column) in self.others.iter().enumerate() {
            // In units of their norms all columns have a say.
            let size = roots[column].recip();
            (0..PROBES).for_each(|k| y[(column, k)] = stream.normal((rank + j) as u64, k as u64) * size);
        }
        for _ in 0..=STEPS {
            let (norms, slope) = look(&y)?;
            let size = |k: usize| (0..d).map(|i| (roots[i] * y[(i, k)]).powi(2)).sum::<f64>().sqrt();
            if (0..PROBES).all(|k| norms[k] <= tolerance * size(k)) {
                return Ok(true);
            }
            let mut inside = Mat::from_fn(rank, PROBES, |i, k| slope[(self.columns[i], k)])?;
            solve_upper_transposed(self.triangle.as_ref(), inside.as_mut());
            solve_upper(self.triangle.as_ref(), inside.as_mut());
            for (i, k) in (0..rank).flat_map(|i| (0..PROBES).map(move |k| (i, k))) {
                y[(self.columns[i], k)] -= inside[(i, k)];
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;
    use crate::linalg::{norm, product};

    #[test]
    fn a_column_is_in_the_span_of_others_to_rounding_or_not_at_all() {
        for (part, rank) in [(0.0, Some(3)), (1e-3, Some(4)), (1e-9, None), (1e-11, None)] {
            let a = Mat::from_fn(500, 5, |i, j| match j {
                0 => entry(i, 1) - 3.0 * entry(i, 2) + part * entry(i, 9),
                4 => 0.0,
                j => entry(i, j),
            });
            let a = a.unwrap();
            let gram = product(a.as_ref().t(), a.as_ref()).unwrap();
            let look = |y: &Mat<f64>| {
                let image = product(a.as_ref(), y.as_ref())?;
                Ok((std::array::from_fn(|k| norm(image.col(k))), product(a.as_ref().t(), image.as_ref())?))
            };
            let found = spanning(&gram, 1e5, 1e-13, look).unwrap();
            assert_eq!(found.as_ref().map(|found| found.columns.len()), rank, "{part}");
            let Some(found) = found else { continue };
            let image = product(a.as_ref(), found.null().unwrap().as_ref()).unwrap();
            assert!(image.ncols() + found.columns.len() == 5);
            assert!(image.as_slice().iter().all(|value| value.abs() < 1e-12), "{part}");
        }
    }
}
