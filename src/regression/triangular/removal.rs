//! Rows taken out of a triangular factor again.
//!
//! With R the triangle of all rows and Z that of the ones that go, both about one point and in one unit a column, the rows
//! that stay have R'R - Z'Z = R'(I - W'W)R for W = Z R^-1, and C R for their triangle if C'C = I - W'W. Rounding of R
//! grows by one over the smallest eigenvalue of I - W'W: the least share that those who stay have in what all rows say of
//! any direction. Targets are not whitened, as nothing may be left of them: what the fit left of them falls by what was
//! left of those that go, had the fit been made without them.

use crate::error::{Error, Result};
use crate::linalg::{Qr, Triangle, cholesky, eigh, multiply_upper, product, solve_upper_transposed, svd};
use crate::matrix::{DenseMut, Mat};
use crate::memory::copied;
use crate::regression::triangular::factor::TriangularFactor;
use crate::regression::triangular::part::{Part, move_centre};

/// Rounding may grow by so much in all: ten digits are left.
const MOST_LOST: f64 = 1e6;

impl TriangularFactor {
    /// Takes the rows of another factor of the same shape out, of which `targets` columns are no columns of A.
    pub fn remove(&mut self, other: &Self, targets: usize) -> Result<()> {
        let (total, gone) = (self.total()?, other.total()?);
        if gone.steps == 0 {
            return Ok(());
        }
        let (left, share) = total.without(&gone, targets)?;
        let mut removed = Part::new(self.order(), total.constant)?;
        if let Some(before) = &self.removed {
            removed.merge(before.copy()?)?;
        }
        removed.merge(total)?;
        let lost = left.as_ref().map(|left| growth(&removed, left, targets)).transpose()?;
        let weights = self.weights.without(&other.weights);
        match (left, weights, lost) {
            (Some(left), Some(weights), Some(lost)) if lost <= MOST_LOST => {
                (self.removed, self.weights) = (Some(removed), weights);
                self.replace(left)
            }
            _ => {
                let found = format!(
                    "rows without which a share of {share:.1e} is left of what is known of a direction"
                );
                let lost = "rows that leave more, or a stream of those that are left: more than six digits would be lost";
                Err(Error::value("A", found, lost))
            }
        }
    }

    /// How much rounding has grown by removals, as far as rows that came since have not made up for it.
    pub fn lost(&self, total: &Part, targets: usize) -> Result<f64> {
        self.removed.as_ref().map_or(Ok(1.0), |removed| growth(removed, total, targets))
    }
}

/// How many times larger than that of `total` rounding is of the size of `removed`, in the worst direction.
fn growth(removed: &Part, total: &Part, targets: usize) -> Result<f64> {
    let (r, units) = total.triangle.scaled();
    let order = r.ncols() - targets;
    let whitened = whitened(&leading(r, order)?, &leading(&removed.about(total, units)?, order)?)?;
    Ok(1.0 + svd(whitened.as_ref())?.s.first().map_or(0.0, |s| s * s))
}

impl Part {
    /// The triangle in these units, about the point of another one.
    fn about(&self, other: &Self, units: &[f64]) -> Result<Mat<f64>> {
        let mut r = self.triangle.copy()?.into_mat();
        if self.constant {
            move_centre(&mut r, &self.centre, &other.centre);
        }
        Mat::from_fn(r.nrows(), r.ncols(), |i, j| r[(i, j)] / units[j])
    }

    /// What is left without the rows of another one, and the smallest share of them in any direction; nothing if that is
    /// none.
    fn without(&self, gone: &Self, targets: usize) -> Result<(Option<Self>, f64)> {
        let (r, units) = self.triangle.scaled();
        let (order, a) = (r.ncols(), r.ncols() - targets);
        let z = gone.about(self, units)?;
        let ra = leading(r, a)?;
        let w = whitened(&ra, &leading(&z, a)?)?;
        let squares = product(w.as_ref().t(), w.as_ref())?;
        let inner = Mat::from_fn(a, a, |i, j| f64::from(i == j) - squares[(i, j)])?;
        let share = eigh(&inner)?.0.first().copied().unwrap_or(1.0);
        let Some(c) = (if share > 0.0 { cholesky(&inner)? } else { None }) else {
            return Ok((None, share.max(0.0)));
        };
        let block = |m: &Mat<f64>, i0: usize, rows: usize| {
            Mat::from_fn(rows, targets, |i, j| if i0 + i <= a + j { m[(i0 + i, a + j)] } else { 0.0 })
        };
        let (image, y) = (block(r, 0, a)?, block(&z, 0, a)?);
        let (rest, t) = (block(r, a, targets)?, block(&z, a, targets)?);
        // C'z = z - W'y, and what was left of those that go.
        let mut fitted = minus(&image, &product(w.as_ref().t(), y.as_ref())?)?;
        solve_upper_transposed(c.as_ref(), fitted.as_mut());
        let left = minus(&y, &product(w.as_ref(), image.as_ref())?)?;
        let mut spread = product(w.as_ref().t(), left.as_ref())?;
        solve_upper_transposed(c.as_ref(), spread.as_mut());
        let square = |m: &Mat<f64>| product(m.as_ref().t(), m.as_ref());
        let (of_rest, of_t, of_left, of_spread) =
            (square(&rest)?, square(&t)?, square(&left)?, square(&spread)?);
        let difference =
            |i: usize, j: usize| of_rest[(i, j)] - of_t[(i, j)] - of_left[(i, j)] - of_spread[(i, j)];
        let rest = root_of(&Mat::from_fn(targets, targets, difference)?)?;
        let new = multiply_upper(c.as_ref(), ra.as_ref())?;
        let whole = Mat::from_fn(order, order, |i, j| match (i < a, j < a) {
            (true, true) => new[(i, j)],
            (true, false) => fitted[(i, j - a)],
            (false, false) => rest[(i - a, j - a)],
            (false, true) => 0.0,
        })?;
        let mut part = Self {
            triangle: Triangle::of_scaled(whole, copied(units, "units of columns")?),
            centre: copied(&self.centre, "a row of means")?,
            constant: self.constant,
            steps: self.steps.max(gone.steps) + 1,
        };
        part.recentre();
        Ok((Some(part), share))
    }
}

/// Z R^-1; columns of which R holds nothing are left alone.
fn whitened(r: &Mat<f64>, z: &Mat<f64>) -> Result<Mat<f64>> {
    let d = r.ncols();
    let r = Mat::from_fn(d, d, |i, j| if i == j && r[(i, j)] == 0.0 { 1.0 } else { r[(i, j)] })?;
    let mut w = Mat::from_fn(d, d, |i, j| z[(j, i)])?;
    solve_upper_transposed(r.as_ref(), DenseMut::column_major(w.as_mut_slice(), d, d));
    Mat::from_fn(d, d, |i, j| w[(j, i)])
}

/// The first rows and columns.
fn leading(m: &Mat<f64>, order: usize) -> Result<Mat<f64>> {
    Mat::from_fn(order, order, |i, j| m[(i, j)])
}

fn minus(a: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] - b[(i, j)])
}

/// An upper triangle R with R'R = M, where M is below zero by rounding at most.
fn root_of(m: &Mat<f64>) -> Result<Mat<f64>> {
    let (values, vectors) = eigh(m)?;
    Qr::new(Mat::from_fn(m.nrows(), m.ncols(), |i, j| values[i].max(0.0).sqrt() * vectors[(j, i)])?)?.r()
}

#[cfg(test)]
mod tests {
    use crate::linalg::testing::gaussian;
    use crate::matrix::{Mat, Matrix, Names};
    use crate::parallel::Context;
    use crate::regression::block::StreamBlock;
    use crate::regression::triangular::stream::TriangularStream;
    use std::ops::Range;

    fn block<'a>(a: &'a Mat<f64>, b: &'a Mat<f64>, rows: Range<usize>) -> StreamBlock<'a, f64> {
        let (design, targets) = (Matrix::Dense(a.as_ref().rows(rows.clone())), b.as_ref().rows(rows));
        StreamBlock { design, targets, weights: None, vector: false, names: Names::default() }
    }

    fn stream(constant: bool, a: &Mat<f64>, b: &Mat<f64>, rows: Range<usize>) -> TriangularStream {
        let mut stream = TriangularStream::new(constant);
        stream.partial_fit(&Context::new(1), &block(a, b, rows.clone()), Some(rows.start as u64)).unwrap();
        stream
    }

    #[test]
    fn what_is_left_is_the_factor_of_the_rows_that_stay() {
        let context = Context::new(2);
        for (n, d, k, constant) in [(40, 3, 1, true), (900, 5, 2, false), (3000, 12, 3, true)] {
            let (a, b) = (gaussian(n, d, 1), gaussian(n, k, 2));
            let a = Mat::from_fn(n, d, |i, j| a[(i, j)] * 10f64.powi(3 * j as i32 % 200) + 7.0).unwrap();
            for gone in [0..n / 3, n / 2..n] {
                let stays = if gone.start == 0 { gone.end..n } else { 0..gone.start };
                let expected = stream(constant, &a, &b, stays.clone()).solve(&context, 0.0).unwrap();
                let whole = stream(constant, &a, &b, 0..n);
                let found = whole.without(&context, &block(&a, &b, gone.clone()), Some(gone.start as u64));
                let found = found.unwrap();
                assert!(found.covered().eq(std::iter::once(stays.start as u64..stays.end as u64)));
                let found = found.solve(&context, 0.0).unwrap();
                for target in 0..k {
                    for j in 0..d {
                        let size = expected.x[(j, target)].abs() + expected.x[(0, target)].abs() * 1e-3;
                        assert!((found.x[(j, target)] - expected.x[(j, target)]).abs() < 1e-9 * size, "{j}");
                    }
                    let norms = [found.residual_norm[target], expected.residual_norm[target]];
                    assert!((norms[0] - norms[1]).abs() < 1e-12 * norms[1]);
                    assert!(found.backward_error_bound[target] > expected.backward_error_bound[target]);
                }
            }
        }
    }

    #[test]
    fn rows_that_come_make_up_for_those_that_go_and_too_few_are_no_basis() {
        let (n, d, width) = (6000, 4, 500);
        let (a, b, context) = (gaussian(n, d, 3), gaussian(n, 1, 4), Context::new(1));
        let mut window = stream(true, &a, &b, 0..width);
        for start in (0..n - width).step_by(100) {
            window.partial_fit(&context, &block(&a, &b, start + width..start + width + 100), None).unwrap();
            window = window.without(&context, &block(&a, &b, start..start + 100), None).unwrap();
        }
        let bound = window.solve(&context, 0.0).unwrap().backward_error_bound[0];
        assert!(bound < 1e-12, "{bound:e}");
        let (shrinking, last) = (window, n - width);
        let refused = shrinking.without(&context, &block(&a, &b, last..n), None).err().unwrap();
        assert!(refused.to_string().contains("share"), "{refused}");
        let outside = shrinking.without(&context, &block(&a, &b, 0..1), Some(0)).err().unwrap();
        assert_eq!(outside.argument(), Some("row_offset"));
        let merged = stream(true, &a, &b, 0..width).merged(&context, &[&shrinking]).unwrap();
        let plain = stream(true, &a, &b, 0..width).solve(&context, 0.0).unwrap().backward_error_bound[0];
        assert!(merged.solve(&context, 0.0).unwrap().backward_error_bound[0] > 2.0 * plain);
    }
}
