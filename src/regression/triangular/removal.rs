//! Rows taken out of a triangular factor again.
//!
//! With R the triangle of all rows and Z that of the ones that go, both about one point and in one unit a column, the rows
//! that stay have R'R - Z'Z = R'(I - W'W)R for W = Z R^-1, and C R for their triangle if C'C = I - W'W. Rounding of R
//! grows by one over the smallest eigenvalue of I - W'W: the least share that those who stay have in what all rows say of
//! any direction. Targets are not whitened, as nothing may be left of them: what the fit left of them falls by what was
//! left of those that go, had the fit been made without them.
//!
//! With S the triangle of all rows that were there when some were taken out, each time about the mean of those that
//! stayed, rounding is of the size of S and not of what is left. That of answers is so many times larger than without
//! removals as S is in the worst direction of A, squared, or as it is in that direction and in the target. That of a sum of
//! squares of residuals, v being those of the answer as a combination of columns, is u |S v| (|S v| + 2 |S b|), and the
//! square of that of answers. Of columns that depend on others rounding is what is left; it is taken for nothing.

use crate::error::{Error, Result};
use crate::linalg::{
    Qr, Triangle, cholesky, eigh, multiply_upper, norm, norm_of_upper, product, solve_upper_transposed,
};
use crate::matrix::{DenseMut, Mat, Real};
use crate::memory::{collected, copied, push};
use crate::regression::triangular::factor::TriangularFactor;
use crate::regression::triangular::part::{Part, move_centre};
use crate::simd::axpy;

/// Rounding of answers may grow by so much in all: ten digits are left.
const MOST_LOST: f64 = 1e6;

/// Rounding may be this part of a sum of squares of residuals: six digits are left.
const MOST_UNKNOWN: f64 = 1e-6;

/// Residuals of so many roundoffs of the targets are rounding, of which nobody asks for digits.
const EXACT: f64 = 1e3 * f64::UNIT_ROUNDOFF;

/// What rounding makes of a sum of squares at most, beside them.
const OF_SQUARES: f64 = 4.0 * f64::UNIT_ROUNDOFF;

/// An eigenvalue or a sum of squares may be so much below zero by rounding.
const BELOW_ZERO: f64 = 1e-8;

/// What would help.
const OTHERS: &str = "rows that leave more, or a stream of those that are left";

impl TriangularFactor {
    /// Takes the rows of another factor of the same shape out, of which `targets` columns are no columns of A.
    pub fn remove(&mut self, other: &Self, targets: usize) -> Result<()> {
        let (total, gone) = (self.total()?, other.total()?);
        if gone.steps == 0 {
            return Ok(());
        }
        let weights = self.weights.without(&other.weights).ok_or_else(not_in)?;
        let mut removed = Part::new(self.order(), false)?;
        if let Some(before) = &self.removed {
            removed.merge(before.copy()?)?;
        }
        let (share, left) = total.without(&gone, &removed, targets, weights.count)?;
        let Some((left, squares)) = left else {
            return Err(if share < -BELOW_ZERO { not_in() } else { too_few(0.0, f64::INFINITY, 1.0) });
        };
        // About the mean of those that are left, and then without a point of its own: rounding does not grow as that moves.
        let mut before = total.copy()?;
        before.move_to(|j| left.centre[j]);
        removed.merge(Part { constant: false, ..before })?;
        let growth = Growth::new(&removed, &left, targets)?;
        if growth.of_rows > MOST_LOST {
            return Err(too_few(share, growth.of_rows, self.lost(&total, targets)?[0]));
        }
        for (target, (growth, square)) in growth.of_targets.iter().zip(squares).enumerate() {
            growth.check(target, square)?;
        }
        (self.removed, self.weights) = (Some(removed), weights);
        self.replace(left)
    }

    /// How much rounding of A and of answers has grown by removals, as far as rows that came since have not made up for it.
    pub fn lost(&self, total: &Part, targets: usize) -> Result<[f64; 2]> {
        let Some(removed) = &self.removed else { return Ok([1.0; 2]) };
        let growth = Growth::new(removed, total, targets)?;
        Ok([growth.of_rows, growth.most()])
    }
}

/// What is left, and the sums of squares of its residuals; none where there are no more rows than columns.
type Left = (Part, Vec<Option<f64>>);

/// How many times larger than that of rows rounding is of the size of others.
struct Growth {
    of_rows: f64,
    of_targets: Vec<OfTarget>,
}

/// The same for a target, in its unit.
struct OfTarget {
    of_rows: f64,
    /// |S b| and |S v|.
    removed: f64,
    residual: f64,
    /// |b|
    left: f64,
}

impl Growth {
    /// Of the size of `removed`, beside that of `total`.
    fn new(removed: &Part, total: &Part, targets: usize) -> Result<Self> {
        let (r, units) = total.triangle.scaled();
        let (order, s) = (r.ncols() - targets, removed.about(total, units)?);
        let Split { mut a, images, .. } = Split::new(r, order, |j| norm(s.col(j)))?;
        for j in 0..order {
            if a[(j, j)] == 0.0 {
                // Rows that are gone told no more of it than rounding, or all is lost.
                a[(j, j)] = cut_off(order) * norm(r.col(j)).max(norm(s.col(j)));
            }
        }
        let w = whitened(&a, &leading(&s, order)?)?;
        let of_rows = 1.0 + norm_of_upper(w.as_ref())?.powi(2);
        let fitted = product(w.as_ref(), images.as_ref())?;
        let mut of_targets = Vec::new();
        for target in 0..targets {
            let column = s.col(order + target);
            let mut residual = copied(column, "residuals")?;
            axpy(-1.0, fitted.col(target), &mut residual[..order]);
            let (removed, residual, left) = (norm(column), norm(&residual), norm(r.col(order + target)));
            push(&mut of_targets, OfTarget { of_rows, removed, residual, left }, "growth of rounding")?;
        }
        Ok(Self { of_rows, of_targets })
    }

    /// Of any answer.
    fn most(&self) -> f64 {
        self.of_targets.iter().map(OfTarget::of_answers).fold(self.of_rows, f64::max)
    }
}

impl OfTarget {
    fn of_answers(&self) -> f64 {
        let beside = if self.removed > 0.0 { self.removed / self.left } else { 0.0 };
        self.of_rows.max(self.of_rows.sqrt() * beside)
    }

    /// An error where too little is known of answers, or of the sum of squares of residuals that was found; none where it
    /// is zero because there are no more rows than columns.
    fn check(&self, target: usize, square: Option<f64>) -> Result<()> {
        let found = |what: &str, how: String| {
            Error::value(
                "b",
                format!("so large in target {target} beside {what} of the rows that stay {how}"),
                OTHERS,
            )
        };
        if self.of_answers() > MOST_LOST {
            let how = format!(
                "that rounding would grow {:.1e} times, and more than six digits be lost",
                self.of_answers()
            );
            return Err(found("what is left", how));
        }
        let Some(square) = square else { return Ok(()) };
        let beside = OF_SQUARES * self.removed;
        let rounding = OF_SQUARES * self.residual * (self.residual + 2.0 * self.removed)
            + self.of_rows * beside * beside;
        if square < -rounding - (EXACT * self.removed).powi(2) {
            return Err(not_in());
        }
        if rounding > MOST_UNKNOWN * square && self.residual > EXACT * self.left {
            let how = format!(
                "that their sum of squares, {:.1e} of which is rounding, would have no six digits",
                rounding / square.max(0.0)
            );
            return Err(found("the residuals", how));
        }
        Ok(())
    }
}

/// Of rows to take out.
pub(crate) fn not_in() -> Error {
    let found = "rows without which less than nothing would be left: they are not those that came, or columns depend on \
                 each other";
    Error::value(
        "A",
        found,
        "rows, targets and weights as they came, of columns that do not depend on each other",
    )
}

fn too_few(share: f64, lost: f64, before: f64) -> Error {
    let found = format!(
        "rows without which a share of {share:.1e} is left of what is known of a direction: rounding, grown {before:.1e} \
         times so far by removals, would have grown {lost:.1e} times, and more than six digits lost"
    );
    Error::value("A", found, OTHERS)
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

    /// The smallest share in any direction of what is left without the rows of another one, and what that is, if the share
    /// is positive. `removed` is what rounding is of the size of so far.
    fn without(&self, gone: &Self, removed: &Self, targets: usize, rows: u64) -> Result<(f64, Option<Left>)> {
        let (r, units) = self.triangle.scaled();
        let (order, a) = (r.ncols(), r.ncols() - targets);
        let (z, before) = (gone.about(self, units)?, removed.about(self, units)?);
        let Split { a: ra, images: image, rest } = Split::new(r, a, |j| norm(before.col(j)))?;
        let rank = (0..a).filter(|&j| ra[(j, j)] != 0.0).count();
        let w = whitened(&ra, &leading(&z, a)?)?;
        let squares = product(w.as_ref().t(), w.as_ref())?;
        let inner = Mat::from_fn(a, a, |i, j| f64::from(i == j) - squares[(i, j)])?;
        let share = eigh(&inner)?.0.first().copied().unwrap_or(1.0);
        let Some(c) = (if share > 0.0 { cholesky(&inner)? } else { None }) else {
            return Ok((share, None));
        };
        let y = Mat::from_fn(a, targets, |i, j| z[(i, a + j)])?;
        let t = Mat::from_fn(targets, targets, |i, j| if i <= j { z[(a + i, a + j)] } else { 0.0 })?;
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
        let squares = Mat::from_fn(targets, targets, difference)?;
        let more_rows = rows > rank as u64;
        let rest = if more_rows { root_of(&squares)? } else { Mat::zeros(targets, targets)? };
        let squares =
            collected((0..targets).map(|j| more_rows.then_some(squares[(j, j)])), "sums of squares")?;
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
        Ok((share, Some((part, squares))))
    }
}

/// A triangle of A, what targets have in its rows, and what is left of them below. Rows in which columns that depend on
/// those before them leave rounding are zero: what targets have in them is left of them.
struct Split {
    a: Mat<f64>,
    images: Mat<f64>,
    rest: Mat<f64>,
}

impl Split {
    /// Rounding is that of the longer of a column and another one.
    fn new(r: &Mat<f64>, order: usize, other: impl Fn(usize) -> f64) -> Result<Self> {
        let (targets, cut) = (r.ncols() - order, cut_off(order));
        let is_known = |j: usize| r[(j, j)].abs() > cut * norm(&r.col(j)[..=j]).max(other(j));
        let known = collected((0..order).map(is_known), "columns that depend on others")?;
        let upper = |i: usize, j: usize| if i <= j { r[(i, j)] } else { 0.0 };
        Ok(Self {
            a: Mat::from_fn(order, order, |i, j| if known[i] { upper(i, j) } else { 0.0 })?,
            images: Mat::from_fn(order, targets, |i, j| if known[i] { r[(i, order + j)] } else { 0.0 })?,
            rest: Mat::from_fn(order + targets, targets, |i, j| match i < order && known[i] {
                true => 0.0,
                false => upper(i, order + j),
            })?,
        })
    }
}

/// What is rounding in columns of norm one.
fn cut_off(order: usize) -> f64 {
    crate::linalg::cut_off(usize::MAX, order, f64::UNIT_ROUNDOFF)
}

/// Z R^-1; where R has a row of nothing Z is left alone.
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

/// An upper triangle R with R'R = M, where M is below zero by rounding at most, of each row and column for itself.
fn root_of(m: &Mat<f64>) -> Result<Mat<f64>> {
    let size = |j: usize| m[(j, j)].max(0.0).sqrt();
    let inverse = |j: usize| if size(j) > 0.0 { size(j).recip() } else { 0.0 };
    let (values, vectors) =
        eigh(&Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] * inverse(i) * inverse(j))?)?;
    let root = |i: usize, j: usize| values[i].max(0.0).sqrt() * vectors[(j, i)] * size(j);
    Qr::new(Mat::from_fn(m.nrows(), m.ncols(), root)?)?.r()
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

    #[test]
    fn targets_that_rounding_would_drown_are_refused_and_so_are_rows_that_never_came() {
        let (n, d, context) = (600, 3, Context::new(1));
        let (a, noise) = (gaussian(n, d, 5), gaussian(n, 2, 6));
        for (decades, residual, fits) in
            [(3, 1.0, true), (12, 1.0, false), (-30, 1e-7, true), (3, 1e-12, false)]
        {
            let large = |i: usize, j: usize| if (i, j) == (0, 1) { 10f64.powi(decades) } else { 0.0 };
            let target = |i: usize, j: usize| a[(i, j)] + residual * noise[(i, j)] + large(i, j);
            let b = Mat::from_fn(n, 2, target).unwrap();
            let found = stream(true, &a, &b, 0..n).without(&context, &block(&a, &b, 0..50), None);
            if !fits {
                assert_eq!(found.err().unwrap().argument(), Some("b"));
                continue;
            }
            let (found, expected) = (found.unwrap(), stream(true, &a, &b, 50..n));
            let norms = [&found, &expected].map(|stream| stream.solve(&context, 0.0).unwrap().residual_norm);
            for target in 0..2 {
                assert!((norms[0][target] / norms[1][target] - 1.0).abs() < 1e-6 * (1.0 + 1e-8 / residual));
            }
        }
        let (b, whole) = (gaussian(n, 1, 7), stream(false, &a, &noise, 0..n));
        let other = Mat::from_fn(n, 2, |i, _| 50.0 * b[(i, 0)]).unwrap();
        let refused = whole.without(&context, &block(&a, &other, 0..50), None).err().unwrap();
        assert!(refused.to_string().contains("not those that came"), "{refused}");
    }
}
