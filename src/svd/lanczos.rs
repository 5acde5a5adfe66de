//! Lanczos' basis of A'A, vector by vector: A'A V = V H + v h', with V and the next vector v orthonormal.
//!
//! Some vectors in a row are made at right angles to the two before them only. Then they are made so to all others, which
//! are read twice for the lot, before rounding has turned them (Simon). What that takes from them is first of all known,
//! so that H is what it would be without rounding.

use crate::error::Result;
use crate::linalg::{cholesky, eigh_apart, invert_upper, matmul, norm, product};
use crate::matrix::{Dense, DenseMut, Mat, Products, even_blocks, make_rows};
use crate::memory::collected;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, dot};
use crate::svd::tall::{Columns, FEW, inner, remainder};

/// How far vectors may turn before they are made orthogonal again, and the least that they ever do.
const MOST_TURN: f64 = 1e-4;
const ROUNDING: f64 = 1e-16;
/// Vectors at a time in the beginning.
const FIRST: usize = 4;
/// A next vector of no more than this beside A'A is rounding.
const NOTHING: f64 = 1e-11;
/// Number of the first random vector.
const START_ROW: u64 = 1 << 42;

pub(super) struct Lanczos {
    /// V, v, and room for more.
    v: Mat<f64>,
    /// Columns of V.
    len: usize,
    /// H, of which the lower triangle is read, and h below it.
    h: Mat<f64>,
    /// What comes after v, at right angles to the last two only.
    fresh: Mat<f64>,
    image: Mat<f64>,
    /// How many of them are made next.
    at_once: usize,
    /// The largest diagonal entry of H.
    size: f64,
    /// Lots of vectors, and vectors, that A'A was multiplied with.
    pub made: [usize; 2],
    random: Stream,
    draws: u64,
}

/// Singular values of A on V, the largest first.
pub(super) struct Ritz {
    pub s: Vec<f64>,
    y: Mat<f64>,
    /// |A'u - s v|
    residuals: Vec<f64>,
}

impl Ritz {
    /// The largest residual of so many triplets, beside the largest singular value.
    pub fn worst(&self, count: usize) -> f64 {
        self.residuals[..count].iter().fold(0.0, |worst: f64, residual| worst.max(*residual)) / self.s[0]
    }
}

impl Lanczos {
    /// Room for `most` vectors, the first of them `start` or random.
    pub fn new(
        context: &Context,
        (n, d): (usize, usize),
        most: usize,
        start: Option<&[f64]>,
        random: Stream,
    ) -> Result<Self> {
        let mut lanczos = Self {
            v: Mat::zeros(d, most + 1)?,
            len: 0,
            h: Mat::zeros(most + 1, most + 1)?,
            fresh: Mat::zeros(d, FEW)?,
            image: Mat::zeros(n, 1)?,
            at_once: FIRST,
            size: 0.0,
            made: [0; 2],
            random,
            draws: START_ROW,
        };
        match start.map(norm) {
            Some(length) if length > 0.0 && length.is_finite() => {
                let values = start.unwrap_or_default().iter();
                lanczos.v.col_mut(0).iter_mut().zip(values).for_each(|(v, value)| *v = value / length);
            }
            _ => lanczos.look_elsewhere(context)?,
        }
        Ok(lanczos)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Vectors that may still be added.
    pub fn room(&self) -> usize {
        self.h.nrows() - 1 - self.len
    }

    /// Some vectors more, at most so many. False if there is nothing to go on with: A'A leads nowhere else, or turns vectors at once.
    pub fn extend(&mut self, context: &Context, a: &impl Products, most: usize) -> Result<bool> {
        let (m, wanted) = (self.len, self.at_once.min(self.room()).min(most));
        let Some(t) = self.advance(context, a, wanted)? else { return Ok(false) };
        let d = self.v.nrows();
        let fresh = Columns::new(self.fresh.as_slice(), d, wanted);
        let mut c = inner(context, Columns::new(self.v.as_slice(), d, m + 1), fresh)?;
        let turned = |i: usize| c[..=m].iter().fold(0.0, |most: f64, row| most.max(row[i].abs()));
        let some = (0..wanted).take_while(|&i| turned(i) <= MOST_TURN).count();
        if some == 0 {
            return Ok(false);
        }
        let growth = (turned(some - 1).max(2.0 * ROUNDING) / ROUNDING).ln() / some as f64;
        let gram = Mat::from_fn(some, some, |i, j| {
            c[m + 1 + i][j] - c[..=m].iter().map(|row| row[i] * row[j]).sum::<f64>()
        })?;
        let Some(r) = cholesky(&gram)? else { return Ok(false) };
        c.truncate(m + 1);
        let fresh = Columns::new(self.fresh.as_slice(), d, some);
        let (v, next) = self.v.as_mut_slice().split_at_mut((m + 1) * d);
        let next = &mut next[..some * d];
        remainder(context, Columns::new(v, d, m + 1), fresh, &c, &invert_upper(r.as_ref())?, next)?;
        // [v, fresh] = V C + [v, next] S
        let s = Mat::from_fn(some + 1, some + 1, |i, j| match (i, j) {
            (_, 0) => f64::from(i == 0),
            (0, _) => c[m][j - 1],
            _ => r[(i - 1, j - 1)],
        })?;
        let t = t.as_ref().window(0..some + 1, 0..some);
        let mut image = product(s.as_ref(), t)?;
        for j in 1..some {
            image[(0, j)] -= (0..m).map(|i| self.h[(m, i)] * c[i][j - 1]).sum::<f64>();
        }
        let inverse = invert_upper(Mat::copy_of(s.as_ref().window(0..some, 0..some))?.as_ref())?;
        let h = product(image.as_ref(), inverse.as_ref())?;
        for (i, j) in (0..some).flat_map(|j| (j..some).map(move |i| (i, j))) {
            self.h[(m + i, m + j)] = 0.5 * (h[(i, j)] + h[(j, i)]);
        }
        self.h[(m + some, m + some - 1)] = h[(some, some - 1)];
        self.len += some;
        let most = ((MOST_TURN / ROUNDING).ln() / growth * 0.9) as usize;
        self.at_once = most.clamp(1, FEW).min(2 * some.max(2));
        Ok(true)
    }

    /// A'A [v, fresh] = V h e' + [v, fresh] T, but for the last vector on the left.
    fn advance(&mut self, context: &Context, a: &impl Products, count: usize) -> Result<Option<Mat<f64>>> {
        let (m, mut t) = (self.len, Mat::<f64>::zeros(count + 1, count)?);
        self.made[0] += 1;
        for i in 0..count {
            let d = self.v.nrows();
            let (before, after) = self.fresh.as_mut_slice().split_at_mut(i * d);
            let at = |at: usize| if at == 0 { self.v.col(m) } else { &before[(at - 1) * d..at * d] };
            let (x, w) = (at(i), &mut after[..d]);
            let (x_column, w_column) = (Dense::column_major(x, d, 1), DenseMut::column_major(w, d, 1));
            a.gram_product(context, x_column, &mut self.image, w_column)?;
            self.made[1] += 1;
            if i == 0 {
                let known = (0..m).filter(|&j| self.h[(m, j)] != 0.0);
                known.for_each(|j| axpy(-self.h[(m, j)], self.v.col(j), w));
            } else {
                t[(i - 1, i)] = t[(i, i - 1)];
                axpy(-t[(i - 1, i)], at(i - 1), w);
            }
            t[(i, i)] = dot(x, w);
            axpy(-t[(i, i)], x, w);
            let length = norm(w);
            self.size = self.size.max(t[(i, i)]);
            if length.is_nan() || length <= NOTHING * self.size {
                return Ok(None);
            }
            t[(i + 1, i)] = length;
            w.iter_mut().for_each(|value| *value /= length);
        }
        Ok(Some(t))
    }

    pub fn ritz(&self, context: &Context) -> Result<Ritz> {
        let m = self.len;
        let (values, vectors) = eigh_apart(context, Mat::from_fn(m, m, |i, j| self.h[(i, j)])?)?;
        let s = collected(values.iter().rev().map(|value| value.max(0.0).sqrt()), "singular values")?;
        let y = Mat::from_fn(m, m, |i, j| vectors[(i, m - 1 - j)])?;
        let along = |j: usize| (0..m).map(|i| self.h[(m, i)] * y[(i, j)]).sum::<f64>().abs();
        let residuals = collected((0..m).map(|j| along(j) / s[j].max(f64::MIN_POSITIVE)), "residuals")?;
        Ok(Ritz { s, y, residuals })
    }

    /// Only so many Ritz vectors, which are given back too, and v.
    pub fn compress(&mut self, context: &Context, ritz: &Ritz, kept: usize) -> Result<Mat<f64>> {
        let (d, m) = (self.v.nrows(), self.len);
        let y = ritz.y.as_ref().cols(0..kept);
        let h = Mat::from_fn(1, m, |_, i| self.h[(m, i)])?;
        let along = product(h.as_ref(), y)?;
        let vectors = combined(context, self.v.as_ref().cols(0..m), y)?;
        let data = self.v.as_mut_slice();
        data.copy_within(m * d..(m + 1) * d, kept * d);
        data[..kept * d].copy_from_slice(vectors.as_slice());
        self.h.as_mut_slice().fill(0.0);
        for i in 0..kept {
            self.h[(i, i)] = ritz.s[i] * ritz.s[i];
            self.h[(kept, i)] = along[(0, i)];
        }
        self.len = kept;
        Ok(vectors)
    }

    /// Random numbers in place of v: what the products so far do not show.
    pub fn look_elsewhere(&mut self, context: &Context) -> Result<()> {
        let (d, m) = (self.v.nrows(), self.len);
        (0..m).for_each(|i| self.h[(m, i)] = 0.0);
        self.random.normals_of_row(self.draws, self.fresh.col_mut(0));
        self.draws += 1;
        for _ in 0..2 {
            let w = self.fresh.col_mut(0);
            let length = norm(w);
            w.iter_mut().for_each(|value| *value /= length);
            let fresh = Columns::new(self.fresh.as_slice(), d, 1);
            let mut c = inner(context, Columns::new(self.v.as_slice(), d, m), fresh)?;
            c.truncate(m);
            let (v, next) = self.v.as_mut_slice().split_at_mut(m * d);
            let unit = Mat::identity(1)?;
            remainder(context, Columns::new(v, d, m), fresh, &c, &unit, &mut next[..d])?;
            self.fresh.col_mut(0).copy_from_slice(&next[..d]);
        }
        let length = norm(self.v.col(m));
        self.v.col_mut(m).iter_mut().for_each(|value| *value /= length);
        Ok(())
    }
}

/// V Y
fn combined(context: &Context, v: Dense<'_, f64>, y: Dense<'_, f64>) -> Result<Mat<f64>> {
    const ROWS: usize = 1024;
    let mut out = Mat::zeros(v.nrows(), y.ncols())?;
    let blocks = even_blocks(v.nrows(), ROWS)?;
    make_rows(context, out.as_mut(), &blocks, y.ncols(), |_, rows, out| {
        matmul(DenseMut::row_major(out, rows.len(), y.ncols()), false, v.rows(rows), y, 1.0);
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::orthonormal;
    use crate::matrix::LinearOperator;
    use crate::matrix::testing::Known;
    use crate::svd::orthogonal::{departure, gram};
    use crate::svd::testing::numbers;

    /// A'A V - V H - v h', and V with v.
    fn remainder_of(lanczos: &Lanczos, a: &Mat<f64>) -> (Mat<f64>, Mat<f64>) {
        let m = lanczos.len;
        let h = |i: usize, j: usize| lanczos.h[(i.max(j), i.min(j))];
        let all = Mat::copy_of(lanczos.v.as_ref().cols(0..m + 1)).unwrap();
        let image = product(a.as_ref(), all.as_ref().cols(0..m)).unwrap();
        let image = product(a.as_ref().t(), image.as_ref()).unwrap();
        let expected = product(all.as_ref(), Mat::from_fn(m + 1, m, h).unwrap().as_ref()).unwrap();
        let rest = Mat::from_fn(image.nrows(), m, |i, j| image[(i, j)] - expected[(i, j)]).unwrap();
        (rest, all)
    }

    #[test]
    fn what_vectors_turn_is_made_good_after_restarts_and_elsewhere() {
        let context = Context::new(1);
        let basis = |n, seed| orthonormal(&context, numbers(n, 100, seed)).unwrap();
        let (u, v) = (basis(300, 1), basis(140, 2));
        let value = |j: usize| if j < 10 { 20.0 - j as f64 } else { 1.0 + 0.9f64.powi(j as i32) };
        let scaled = Mat::from_fn(300, 100, |i, j| u[(i, j)] * value(j)).unwrap();
        let known = Known(product(scaled.as_ref(), v.as_ref().t()).unwrap());
        let made = |threads: usize| {
            let context = Context::new(threads);
            let a = &known as &dyn LinearOperator;
            let mut lanczos = Lanczos::new(&context, (300, 140), 60, None, Stream::new(1, 0, 0)).unwrap();
            for turn in 0..3 {
                while lanczos.room() > 0 {
                    assert!(lanczos.extend(&context, &a, FEW).unwrap());
                }
                let (rest, all) = remainder_of(&lanczos, &known.0);
                assert!(departure(&gram(&context, &all).unwrap()) < 1e-14, "{turn}");
                let size = lanczos.size;
                assert!(rest.as_slice().iter().all(|value| value.abs() < 1e-14 * size), "{turn}");
                let ritz = lanczos.ritz(&context).unwrap();
                assert!((0..10).all(|j| (ritz.s[j] - value(j)).abs() < 1e-13 * 20.0));
                assert!(ritz.worst(10) < 1e-14);
                lanczos.compress(&context, &ritz, if turn == 0 { 20 } else { 10 }).unwrap();
                if turn == 1 {
                    lanczos.look_elsewhere(&context).unwrap();
                }
            }
            // Not a vector at a time.
            assert!(lanczos.made[0] * 2 < lanczos.made[1]);
            lanczos.v
        };
        assert_eq!(made(1).as_slice(), made(3).as_slice());
    }
}
