//! What is made of one factor: its equilibrated columns, and their singular value decomposition.

use crate::error::{Error, Result};
use crate::linalg::{
    Qr, cut_beyond, exponent_of, largest_of, norm, normalised, project, svd, times_power_of_two,
};
use crate::matrix::{Mat, Rows, power_of_two_below};
use crate::memory::{collected, filled, push, room_for};

/// A_i = C diag(2^exponents), and U S V' of C diag(1/norms), with r directions kept.
///
/// A factor of zeros keeps one direction that leads nowhere, so that no tensor is ever empty.
pub(crate) struct Factor {
    /// C, n x d.
    pub equilibrated: Mat<f64>,
    /// What the columns of C were divided by, as exponents of two.
    pub exponents: Vec<i32>,
    /// Norms of the columns of C, ones if columns are not to be scaled, and for columns of zeros.
    pub norms: Vec<f64>,
    /// U, n x r.
    pub left: Mat<f64>,
    /// S.
    pub singular: Vec<f64>,
    /// diag(1/norms) V, d x r: its transpose takes gradients to coordinates.
    pub to_basis: Mat<f64>,
    /// From coordinates to unknowns, d x r: the same matrix, or what it gives after its projection on the row space of
    /// the factor, so that answers are those of least norm.
    pub back: Mat<f64>,
    /// Number of directions that are not negligible.
    pub rank: usize,
    /// Ratio of the largest to the smallest singular value kept.
    pub condition: f64,
    /// Norm of the singular values that were dropped, relative to that of all.
    pub cut: f64,
}

impl Factor {
    /// Factor `number`; with a `cutoff`, columns are scaled to unit norm and singular values below it, relative to the
    /// largest, are dropped. Without one, all columns are left in one common unit and nothing is dropped.
    pub(crate) fn new(number: usize, factor: &dyn Rows, cutoff: Option<f64>) -> Result<Self> {
        let (equilibrated, exponents) = equilibrate(copy(factor)?, number, cutoff.is_some())?;
        let (n, d) = (equilibrated.nrows(), equilibrated.ncols());
        let norm_of = |j: usize| if cutoff.is_some() { norm(equilibrated.col(j)) } else { 1.0 };
        let norms = (0..d).map(norm_of).map(|norm| if norm > 0.0 { norm } else { 1.0 });
        let norms = collected(norms, COLUMNS)?;
        let scaled = Mat::from_fn(n, d, |i, j| equilibrated[(i, j)] / norms[j])?;
        let mut svd = svd(scaled.as_ref())?;
        let largest = svd.s[0];
        let limit = cutoff.map_or(f64::NEG_INFINITY, |cutoff| cutoff * largest);
        let empty = (0..d).map(|j| equilibrated.col(j).iter().all(|&value| value == 0.0));
        let empty = collected(empty, COLUMNS)?;
        // What is beyond the columns that are not zero is rounding, whatever the cut-off.
        let used = empty.iter().filter(|&&empty| !empty).count();
        let possible = if cutoff.is_some() { n.min(used) } else { svd.s.len() };
        let rank = svd.s[..possible].iter().take_while(|&&s| s > limit).count();
        if rank == 0 {
            let left = Mat::from_fn(n, 1, |i, _| svd.u[(i, 0)])?;
            let (to_basis, back, singular) = (Mat::zeros(d, 1)?, Mat::zeros(d, 1)?, filled(1.0, 1, COLUMNS)?);
            return Ok(Self {
                equilibrated,
                exponents,
                norms,
                left,
                singular,
                to_basis,
                back,
                rank,
                condition: 1.0,
                cut: 0.0,
            });
        }
        let left = Mat::from_fn(n, rank, |i, j| svd.u[(i, j)])?;
        let to_basis = Mat::from_fn(d, rank, |i, j| if empty[i] { 0.0 } else { svd.v[(i, j)] / norms[i] })?;
        let back = if cutoff.is_some() && rank < d {
            shortest(&to_basis, &norms, &exponents)?
        } else {
            to_basis.copy()?
        };
        let condition = largest / svd.s[rank - 1];
        let cut = if cutoff.is_some() { cut_beyond(&svd.s, rank, possible) } else { 0.0 };
        svd.s.truncate(rank);
        let singular = svd.s;
        Ok(Self { equilibrated, exponents, norms, left, singular, to_basis, back, rank, condition, cut })
    }
}

const COLUMNS: &str = "norms of columns";

fn copy(factor: &dyn Rows) -> Result<Mat<f64>> {
    let (n, d) = (factor.nrows(), factor.ncols());
    let mut buffer = Vec::new();
    let mut a = Mat::zeros(n, d)?;
    for start in (0..n).step_by(512) {
        let tile = factor.tile(start..n.min(start + 512), 0..d, &mut buffer)?;
        for j in 0..d {
            let column = &mut a.col_mut(j)[start..start + tile.nrows()];
            column.iter_mut().enumerate().for_each(|(i, value)| *value = tile.get(i, j));
        }
    }
    Ok(a)
}

/// Divides columns by powers of two near their largest entries, or by the largest of these, and gives the exponents.
fn equilibrate(mut a: Mat<f64>, number: usize, each: bool) -> Result<(Mat<f64>, Vec<i32>)> {
    let n = a.nrows();
    if let Some(place) = a.as_slice().iter().position(|value| !value.is_finite()) {
        let position = format!("[{number}][{}, {}]", place % n, place / n);
        return Err(Error::non_finite("factors", a.as_slice()[place], position));
    }
    let common = power_of_two_below(largest_of(a.as_slice()));
    let mut exponents = room_for(a.ncols(), COLUMNS)?;
    for j in 0..a.ncols() {
        let unit = if each { power_of_two_below(largest_of(a.col(j))) } else { common };
        a.col_mut(j).iter_mut().for_each(|value| *value *= unit.recip());
        push(&mut exponents, exponent_of(unit), COLUMNS)?;
    }
    Ok((a, exponents))
}

/// `to_basis` followed by the projection on the row space in the caller's units, Z Z' for an orthonormal basis Z of
/// diag(norms 2^exponents) V.
fn shortest(to_basis: &Mat<f64>, norms: &[f64], exponents: &[i32]) -> Result<Mat<f64>> {
    let (d, r) = (to_basis.nrows(), to_basis.ncols());
    let largest = exponents.iter().copied().max().unwrap_or(0);
    let unit = |j: usize| times_power_of_two(1.0, (exponents[j] - largest).max(-500));
    let rows = Mat::from_fn(d, r, |i, j| to_basis[(i, j)] * norms[i].powi(2) * unit(i))?;
    let answer = Mat::from_fn(d, r, |i, j| to_basis[(i, j)] / unit(i))?;
    let projected = project(&Qr::new(normalised(rows)?)?.thin_q()?, &answer)?;
    Mat::from_fn(d, r, |i, j| projected[(i, j)] * unit(i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{assert_near, assert_same, product, transposed};

    /// Of columns whose units differ, the third 4 times the first.
    fn rows() -> Mat<f64> {
        let entry = |i: usize, j: usize| match j {
            0 | 2 => ((i * i) % 7) as f64 - 2.0,
            _ => 1e3 * ((3 * i) % 5) as f64,
        };
        Mat::from_fn(8, 3, |i, j| entry(i, j) * if j == 2 { 4.0 } else { 1.0 }).unwrap()
    }

    fn decomposed(a: &Mat<f64>, cutoff: Option<f64>) -> Factor {
        Factor::new(0, &a.as_ref(), cutoff).unwrap()
    }

    /// U S V' diag(norms 2^exponents)
    fn composed(factor: &Factor) -> Mat<f64> {
        let (d, r) = (factor.to_basis.nrows(), factor.to_basis.ncols());
        let left = Mat::from_fn(factor.left.nrows(), r, |i, j| factor.left[(i, j)] * factor.singular[j]);
        let units = |i: usize| factor.norms[i].powi(2) * 2f64.powi(factor.exponents[i]);
        let right = Mat::from_fn(d, r, |i, j| factor.to_basis[(i, j)] * units(i)).unwrap();
        product(&left.unwrap(), &transposed(&right))
    }

    #[test]
    fn a_factor_is_what_it_is_decomposed_into() {
        let a = rows();
        for cutoff in [Some(1e-12), None] {
            let factor = decomposed(&a, cutoff);
            let rank = if cutoff.is_some() { 2 } else { 3 };
            assert_eq!((factor.rank, factor.singular.len()), (rank, rank));
            let expected = Mat::from_fn(8, 3, |i, j| a[(i, j)] / 1e3).unwrap();
            let found = composed(&factor);
            assert_same(&Mat::from_fn(8, 3, |i, j| found[(i, j)] / 1e3).unwrap(), &expected, "A");
            let units =
                Mat::from_fn(8, 3, |i, j| factor.equilibrated[(i, j)] * 2f64.powi(factor.exponents[j]));
            assert_eq!(units.unwrap().as_slice(), a.as_slice());
        }
    }

    #[test]
    fn columns_keep_one_common_unit_where_nothing_is_dropped() {
        let (scaled, common) = (decomposed(&rows(), Some(1e-12)), decomposed(&rows(), None));
        assert_eq!(common.norms, [1.0; 3]);
        assert!(common.exponents.iter().all(|&exponent| exponent == common.exponents[0]));
        assert_eq!(scaled.exponents[2], scaled.exponents[0] + 2);
        assert!(scaled.exponents[1] > scaled.exponents[2]);
        for j in 0..3 {
            assert_near(scaled.norms[j], norm(scaled.equilibrated.col(j)), "norm");
        }
        assert!(scaled.condition < 10.0 && common.condition > 1e6);
        assert!(scaled.cut < 1e-14 && common.cut == 0.0);
    }

    #[test]
    fn answers_are_the_shortest_in_the_units_of_the_caller() {
        let factor = decomposed(&rows(), Some(1e-12));
        let coordinates = Mat::from_fn(2, 1, |i, _| 1.0 + i as f64).unwrap();
        let unknowns = product(&factor.back, &coordinates);
        let x: Vec<f64> = (0..3).map(|j| unknowns[(j, 0)] / 2f64.powi(factor.exponents[j])).collect();
        assert_near(x[2] / x[0], 4.0, "of parallel columns");
        // And they are answers: A x = U S c.
        let plain = product(&factor.to_basis, &coordinates);
        assert_same(
            &product(&factor.equilibrated, &unknowns),
            &product(&factor.equilibrated, &plain),
            "images",
        );
    }

    #[test]
    fn zeros_keep_a_direction_that_leads_nowhere() {
        let factor = decomposed(&Mat::zeros(4, 2).unwrap(), Some(1e-12));
        assert_eq!((factor.rank, &factor.singular[..]), (0, &[1.0][..]));
        assert_eq!((factor.left.ncols(), factor.back.as_slice()), (1, &[0.0; 2][..]));
        let mut one_column = rows();
        one_column.col_mut(1).fill(0.0);
        let factor = decomposed(&one_column, Some(1e-12));
        assert_eq!(factor.rank, 1);
        assert_eq!((factor.to_basis[(1, 0)], factor.norms[1]), (0.0, 1.0));
    }

    #[test]
    fn an_entry_that_is_not_finite_is_named() {
        let mut a = Mat::from_fn(700, 2, |i, j| (i + j) as f64).unwrap();
        a[(600, 1)] = f64::NAN;
        let Err(error) = Factor::new(2, &a.as_ref(), None) else { panic!() };
        assert!(error.to_string().contains("[2][600, 1]"), "{error}");
    }
}
