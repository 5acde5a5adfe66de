//! What a batch has beside V: X = (I - V V')E', and orthonormal columns Q that span all of it, or what matters most of it.
//!
//! | columns of X | as |
//! |---|---|
//! | [`Pairs`] | (b, c), which stands for b - V c with b in the touched rows alone: <x, y> = b_x'b_y - c_x'c_y (Deng et al. 2024) |
//! | `Columns` of `dense` | so many numbers each as V has rows |

use crate::error::Result;
use crate::linalg::{Qr, cholesky, condition_of_upper, invert_upper, norm, product};
use crate::matrix::{Dense, Mat, Products, Real};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::dot;
use crate::svd::updates::batch::{Batch, visit_entries};

/// X by its products, in coordinates of its columns.
pub(super) trait Complement {
    /// Coordinates of a column.
    fn len(&self) -> usize;
    /// Number of columns: rows of E.
    fn count(&self) -> usize;
    /// X P.
    fn product(&self, context: &Context, p: &Mat<f64>) -> Result<Mat<f64>>;
    /// X'Q.
    fn transposed_product(&self, context: &Context, q: &Mat<f64>) -> Result<Mat<f64>>;
    /// Takes off what rounding has left of V.
    fn restore(&self, context: &Context, q: &mut Mat<f64>) -> Result<()>;
    /// The inner products of columns.
    fn inner(&self, context: &Context, x: Dense<'_, f64>, y: Dense<'_, f64>) -> Result<Mat<f64>>;
}

/// Q, and X'Q.
pub(super) struct Directions {
    pub q: Mat<f64>,
    pub along: Mat<f64>,
}

/// Directions that compressed methods keep, and iterations of the power method (Deng et al. 2024).
pub(super) const DIRECTIONS: usize = 10;
const ITERATIONS: usize = 3;
/// Columns no longer than this beside what they are the rest of are rounding: inner products of pairs cancel.
pub(super) const NOTHING: f64 = 1e-7;
/// Random numbers of first vectors.
const PURPOSE: u8 = 33;

/// By Lanczos bidiagonalisation (Golub and Kahan), X' kept orthonormal and X put right in the end.
pub(super) fn lanczos(context: &Context, x: &dyn Complement, scale: f64, seed: u64) -> Result<Directions> {
    let (s, steps) = (x.count(), DIRECTIONS.min(x.count()));
    let mut p = Mat::zeros(s, 1)?;
    Stream::new(seed, 0, PURPOSE).normals_of_row(0, p.as_mut_slice());
    let length = norm(p.as_slice());
    p.as_mut_slice().iter_mut().for_each(|value| *value /= length);
    let (mut seen, mut q) = (Mat::zeros(s, 0)?, Mat::zeros(x.len(), 0)?);
    let mut beta = 0.0;
    for step in 0..steps {
        let mut next = x.product(context, &p)?;
        if step > 0 {
            let last = q.col(step - 1);
            next.as_mut_slice().iter_mut().zip(last).for_each(|(next, last)| *next -= beta * last);
        }
        let alpha = x.inner(context, next.as_ref(), next.as_ref())?[(0, 0)].max(0.0).sqrt();
        if alpha <= NOTHING * scale {
            break;
        }
        next.as_mut_slice().iter_mut().for_each(|value| *value /= alpha);
        (q, seen) = (beside(&q, &next)?, beside(&seen, &p)?);
        p = x.transposed_product(context, &next)?;
        for _ in 0..2 {
            let taken = product(seen.as_ref().t(), p.as_ref())?;
            let part = product(seen.as_ref(), taken.as_ref())?;
            p.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(p, part)| *p -= part);
        }
        beta = norm(p.as_slice());
        if beta <= NOTHING * scale {
            break;
        }
        p.as_mut_slice().iter_mut().for_each(|value| *value /= beta);
    }
    // Rounding has grown with every quotient.
    x.restore(context, &mut q)?;
    orthonormalised(context, x, q)
}

/// By random vectors and a few iterations of the power method.
pub(super) fn power(context: &Context, x: &dyn Complement, seed: u64) -> Result<Directions> {
    let (s, width) = (x.count(), DIRECTIONS.min(x.count()));
    let (random, mut omega) = (Stream::new(seed, 0, PURPOSE), Mat::zeros(s, width)?);
    (0..width).for_each(|j| random.normals_of_row(j as u64, omega.col_mut(j)));
    let mut left = ITERATIONS;
    loop {
        let orthonormal = Qr::new(omega)?.thin_q()?;
        let mut q = x.product(context, &orthonormal)?;
        left -= 1;
        if left == 0 {
            x.restore(context, &mut q)?;
        }
        let found = orthonormalised(context, x, q)?;
        if left == 0 || found.q.ncols() == 0 {
            return Ok(found);
        }
        omega = found.along;
    }
}

/// Columns made orthonormal, fewer if they are linearly dependent, with their products with X.
fn orthonormalised(context: &Context, x: &dyn Complement, mut q: Mat<f64>) -> Result<Directions> {
    const GOOD_CONDITION: f64 = 30.0;
    const MOST_CONDITION: f64 = 1e6;
    while q.ncols() > 0 {
        let triangle = cholesky(&x.inner(context, q.as_ref(), q.as_ref())?)?;
        let condition = triangle.as_ref().map_or(Ok(f64::INFINITY), |r| condition_of_upper(r.as_ref()))?;
        match triangle {
            Some(r) if condition <= MOST_CONDITION => {
                q = times(context, &q, &invert_upper(r.as_ref())?)?;
                if condition <= GOOD_CONDITION {
                    break;
                }
            }
            _ => {
                q = one_by_one(context, x, &q)?;
                break;
            }
        }
    }
    let along = x.transposed_product(context, &q)?;
    Ok(Directions { q, along })
}

/// Gram and Schmidt twice, without columns of which nothing is left.
fn one_by_one(context: &Context, x: &dyn Complement, columns: &Mat<f64>) -> Result<Mat<f64>> {
    let mut q = Mat::zeros(columns.nrows(), 0)?;
    for j in 0..columns.ncols() {
        let mut column = Mat::copy_of(columns.as_ref().cols(j..j + 1))?;
        let length = |column: &Mat<f64>| {
            Ok::<_, crate::error::Error>(
                x.inner(context, column.as_ref(), column.as_ref())?[(0, 0)].max(0.0).sqrt(),
            )
        };
        let before = length(&column)?;
        for _ in 0..2 {
            let taken = x.inner(context, q.as_ref(), column.as_ref())?;
            let part = product(q.as_ref(), taken.as_ref())?;
            column.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(value, part)| *value -= part);
        }
        let left = length(&column)?;
        if left > NOTHING * before {
            column.as_mut_slice().iter_mut().for_each(|value| *value /= left);
            q = beside(&q, &column)?;
        }
    }
    Ok(q)
}

/// Columns, and more of them.
fn beside(columns: &Mat<f64>, more: &Mat<f64>) -> Result<Mat<f64>> {
    let mut all = Mat::zeros(more.nrows(), columns.ncols() + more.ncols())?;
    let (first, last) = all.as_mut_slice().split_at_mut(columns.as_slice().len());
    first.copy_from_slice(columns.as_slice());
    last.copy_from_slice(more.as_slice());
    Ok(all)
}

/// A small matrix from the right.
fn times(context: &Context, x: &Mat<f64>, small: &Mat<f64>) -> Result<Mat<f64>> {
    let mut out = Mat::zeros(x.nrows(), small.ncols())?;
    x.as_ref().product(context, small.as_ref(), out.as_mut())?;
    Ok(out)
}

/// X as pairs (b, c), b over c.
pub(super) struct Pairs<'a, 'b, B> {
    pub batch: &'a Batch<'b, B>,
    /// The rows of V that E touches, row i in column i.
    pub of_v: &'a Mat<f64>,
    /// V'E'.
    pub along: &'a Mat<f64>,
}

impl<B: Real> Pairs<'_, '_, B> {
    /// Numbers of b.
    pub fn touched(&self) -> usize {
        self.batch.columns().len()
    }

    /// All columns of X made orthonormal by modified Gram-Schmidt, a panel at a time, Q'X, and an upper bound of what is
    /// dropped of the columns of which nothing is left.
    pub fn gram_schmidt(&self, context: &Context) -> Result<(Mat<f64>, Mat<f64>, f64)> {
        const PANEL: usize = 16;
        let (t, s) = (self.touched(), self.count());
        let (mut q, mut r, mut dropped) = (Mat::zeros(self.len(), s)?, Mat::zeros(s, s)?, 0.0);
        visit_entries(&self.batch.local(), &mut |i, j, value| q[(j, i)] = value);
        for i in 0..s {
            q.col_mut(i)[t..].copy_from_slice(self.along.col(i));
        }
        for start in (0..s).step_by(PANEL) {
            let end = (start + PANEL).min(s);
            for i in start..end {
                let (before, rest) = q.as_mut_slice().split_at_mut((i + 1) * (t + self.along.nrows()));
                let column = &mut before[i * (t + self.along.nrows())..];
                // What E has of the column, of which the rest may be rounding.
                let whole = of_row(&self.batch.local(), i);
                let square = indefinite(column, column, t);
                if square <= NOTHING * NOTHING * whole {
                    dropped += NOTHING * NOTHING * whole;
                    column.fill(0.0);
                    continue;
                }
                let alpha = square.sqrt();
                r[(i, i)] = alpha;
                column.iter_mut().for_each(|value| *value /= alpha);
                for j in i + 1..end {
                    let other = &mut rest[(j - i - 1) * column.len()..][..column.len()];
                    let beta = indefinite(column, other, t);
                    r[(i, j)] = beta;
                    other.iter_mut().zip(&*column).for_each(|(value, q)| *value -= beta * q);
                }
            }
            if end < s {
                let (done, rest) = (q.as_ref().cols(start..end), q.as_ref().cols(end..s));
                let taken = self.inner(context, done, rest)?;
                let mut part = Mat::zeros(self.len(), s - end)?;
                done.product(context, taken.as_ref(), part.as_mut())?;
                for j in end..s {
                    r.col_mut(j)[start..end].copy_from_slice(taken.col(j - end));
                    q.col_mut(j).iter_mut().zip(part.col(j - end)).for_each(|(value, part)| *value -= part);
                }
            }
        }
        Ok((q, r, dropped))
    }
}

/// The square of a row.
fn of_row<B: Real>(e: &crate::matrix::Matrix<'_, B>, i: usize) -> f64 {
    use crate::matrix::Matrix;
    let mut square = 0.0;
    match e {
        Matrix::Sparse(e) => e.visit_rows(i..i + 1, |_, _, value| square += value * value),
        Matrix::Dense(e) => (0..e.ncols()).for_each(|j| square += e.get(i, j).to_f64().powi(2)),
    }
    square
}

fn indefinite(x: &[f64], y: &[f64], t: usize) -> f64 {
    dot(&x[..t], &y[..t]) - dot(&x[t..], &y[t..])
}

impl<B: Real> Complement for Pairs<'_, '_, B> {
    fn restore(&self, _: &Context, q: &mut Mat<f64>) -> Result<()> {
        let t = self.touched();
        let c = product(self.of_v.as_ref(), q.as_ref().rows(0..t))?;
        for j in 0..q.ncols() {
            q.col_mut(j)[t..].copy_from_slice(c.col(j));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.touched() + self.along.nrows()
    }

    fn count(&self) -> usize {
        self.along.ncols()
    }

    fn product(&self, context: &Context, p: &Mat<f64>) -> Result<Mat<f64>> {
        let (t, k) = (self.touched(), p.ncols());
        let mut out = Mat::zeros(self.len(), k)?;
        self.batch.local().transposed_product(context, p.as_ref(), out.as_mut().window(0..t, 0..k))?;
        let end = self.len();
        self.along.as_ref().product(context, p.as_ref(), out.as_mut().window(t..end, 0..k))?;
        Ok(out)
    }

    fn transposed_product(&self, context: &Context, q: &Mat<f64>) -> Result<Mat<f64>> {
        let (t, k) = (self.touched(), q.ncols());
        let (mut out, mut less) = (Mat::zeros(self.count(), k)?, Mat::zeros(self.count(), k)?);
        self.batch.local().product(context, q.as_ref().rows(0..t), out.as_mut())?;
        self.along.as_ref().transposed_product(context, q.as_ref().rows(t..self.len()), less.as_mut())?;
        out.as_mut_slice().iter_mut().zip(less.as_slice()).for_each(|(sum, less)| *sum -= less);
        Ok(out)
    }

    fn inner(&self, context: &Context, x: Dense<'_, f64>, y: Dense<'_, f64>) -> Result<Mat<f64>> {
        let (t, end) = (self.touched().min(x.nrows()), x.nrows());
        let (mut out, mut less) = (Mat::zeros(x.ncols(), y.ncols())?, Mat::zeros(x.ncols(), y.ncols())?);
        x.rows(0..t).transposed_product(context, y.rows(0..t), out.as_mut())?;
        x.rows(t..end).transposed_product(context, y.rows(t..end), less.as_mut())?;
        out.as_mut_slice().iter_mut().zip(less.as_slice()).for_each(|(sum, less)| *sum -= less);
        Ok(out)
    }
}
