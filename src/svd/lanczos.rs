//! Lanczos' basis of A'A, two vectors at a time: A'A V = V H + v h', with V and the next vectors v orthonormal.
//!
//! Some blocks in a row are made at right angles to the two before them only. Then they are made so to all others, which
//! are read twice for the lot, before rounding has turned them (Simon). What that takes from them is first of all known,
//! so that H is what it would be without rounding.

use crate::error::{Error, Result};
use crate::linalg::{cholesky, eigh_apart, invert_upper, matmul, norm, product};
use crate::matrix::{Dense, DenseMut, Mat, Products, even_blocks, make_rows};
use crate::memory::collected;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::axpy;
use crate::svd::block::Block;
use crate::svd::tall::{Columns, FEW, Row, inner, remainder};
use crate::svd::together::{Square, WIDTH, multiply, subtract, to_columns, to_rows};
use std::array::from_fn;

/// How far vectors may turn before they are made orthogonal again, and the least that they ever do.
const MOST_TURN: f64 = 1e-4;
const ROUNDING: f64 = 1e-16;
/// Vectors at a time in the beginning.
const FIRST: usize = 4;
/// Next vectors of no more than this beside A'A are rounding.
const NOTHING: f64 = 1e-11;
/// Blocks of a worse condition are made orthonormal again.
const GOOD_CONDITION: f64 = 100.0;
/// Number of the first random vector.
const START_ROW: u64 = 1 << 42;

pub(super) struct Lanczos {
    /// V, v, and room for more.
    v: Mat<f64>,
    /// Columns of V.
    len: usize,
    /// H, of which the lower triangle is read, and h below it.
    h: Mat<f64>,
    /// What comes after v, at right angles to the last two blocks only.
    fresh: Mat<f64>,
    /// What is multiplied, and the product.
    block: [Block; 2],
    image: Block,
    /// How many vectors are made next.
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
    /// Room for `most` vectors, the first of them `start` or random. None if there is nothing to start from.
    pub fn new(
        context: &Context,
        (n, d): (usize, usize),
        most: usize,
        start: Option<&[f64]>,
        random: Stream,
    ) -> Result<Option<Self>> {
        let mut lanczos = Self {
            v: Mat::zeros(d, most + WIDTH)?,
            len: 0,
            h: Mat::zeros(most + WIDTH, most + WIDTH)?,
            fresh: Mat::zeros(d, FEW)?,
            block: [Block::zeros(d, WIDTH)?, Block::zeros(d, WIDTH)?],
            image: Block::zeros(n, WIDTH)?,
            at_once: FIRST,
            size: 0.0,
            made: [0; 2],
            random,
            draws: START_ROW,
        };
        let start = start.filter(|start| (f64::MIN_POSITIVE..f64::INFINITY).contains(&norm(start)));
        Ok(lanczos.set_next(context, start)?.then_some(lanczos))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Vectors that may still be added: whole blocks.
    pub fn room(&self) -> usize {
        (self.h.nrows() - self.len) / WIDTH * WIDTH - WIDTH
    }

    /// Some vectors more, of whole blocks, the last of which may go beyond `most`. False if there is nothing to go on with:
    /// A'A leads nowhere else, or turns vectors at once.
    pub fn extend(&mut self, context: &Context, a: &impl Products, most: usize) -> Result<bool> {
        let m = self.len;
        let (wanted, known) = (self.at_once.min(most).next_multiple_of(WIDTH).min(self.room()), m + WIDTH);
        let Some(t) = self.advance(context, a, wanted)? else { return Ok(false) };
        let c = self.along(context, known, wanted)?;
        let turned = |i: usize| c[..known].iter().fold(0.0, |most: f64, row| most.max(row[i].abs()));
        let some = (0..wanted).take_while(|&i| turned(i) <= MOST_TURN).count() / WIDTH * WIDTH;
        if some == 0 {
            return Ok(false);
        }
        let growth = (turned(some - 1).max(2.0 * ROUNDING) / ROUNDING).ln() / some as f64;
        let Some(r) = self.settle(context, known, some, &c)? else { return Ok(false) };
        // [v, fresh] = V C + [v, next] S
        let s = Mat::from_fn(WIDTH + some, WIDTH + some, |i, j| match (i < WIDTH, j < WIDTH) {
            (_, true) => f64::from(i == j),
            (true, _) => c[m + i][j - WIDTH],
            _ => r[(i - WIDTH, j - WIDTH)],
        })?;
        let mut image = product(s.as_ref(), t.as_ref().window(0..WIDTH + some, 0..some))?;
        for (i, j) in (0..WIDTH).flat_map(|i| (WIDTH..some).map(move |j| (i, j))) {
            image[(i, j)] -= (0..m).map(|l| self.h[(m + i, l)] * c[l][j - WIDTH]).sum::<f64>();
        }
        let inverse = invert_upper(Mat::copy_of(s.as_ref().window(0..some, 0..some))?.as_ref())?;
        let h = product(image.as_ref(), inverse.as_ref())?;
        for (i, j) in (0..some).flat_map(|j| (j..some).map(move |i| (i, j))) {
            self.h[(m + i, m + j)] = 0.5 * (h[(i, j)] + h[(j, i)]);
        }
        for (i, j) in (some - WIDTH..some).flat_map(|j| (some..some + WIDTH).map(move |i| (i, j))) {
            self.h[(m + i, m + j)] = h[(i, j)];
        }
        self.len += some;
        let most = ((MOST_TURN / ROUNDING).ln() / growth * 0.9) as usize;
        self.at_once = most.clamp(1, FEW).min(2 * some);
        Ok(true)
    }

    /// What the first `known` columns of V and v, and then they themselves, have of the first fresh vectors.
    fn along(&self, context: &Context, known: usize, some: usize) -> Result<Vec<Row>> {
        let (v, fresh, d) = (self.v.as_slice(), self.fresh.as_slice(), self.v.nrows());
        inner(context, Columns::new(v, d, known), Columns::new(fresh, d, some))
    }

    /// Puts the first fresh vectors behind the first `known` columns, without what those have of them and orthonormal by a
    /// triangle, which is given back. None if that cannot be done.
    fn settle(
        &mut self,
        context: &Context,
        known: usize,
        some: usize,
        c: &[Row],
    ) -> Result<Option<Mat<f64>>> {
        let (c, gram, d) = (&c[..known], &c[known..], self.v.nrows());
        let left = |i: usize, j: usize| gram[i][j] - c.iter().map(|row| row[i] * row[j]).sum::<f64>();
        let Some(r) = cholesky(&Mat::from_fn(some, some, left)?)? else { return Ok(None) };
        let fresh = Columns::new(self.fresh.as_slice(), d, some);
        let (v, next) = self.v.as_mut_slice().split_at_mut(known * d);
        let (v, next) = (Columns::new(v, d, known), &mut next[..some * d]);
        remainder(context, v, fresh, c, &invert_upper(r.as_ref())?, next)?;
        Ok(Some(r))
    }

    /// A'A [v, fresh] = V h e' + [v, fresh] T, but for the last block on the left.
    fn advance(&mut self, context: &Context, a: &impl Products, count: usize) -> Result<Option<Mat<f64>>> {
        let (d, m, mut t) = (self.v.nrows(), self.len, Mat::<f64>::zeros(count + WIDTH, count)?);
        self.made[0] += 1;
        for i in (0..count).step_by(WIDTH) {
            let (before, after) = self.fresh.as_mut_slice().split_at_mut(i * d);
            let v = &self.v.as_slice()[m * d..(m + WIDTH) * d];
            let at = |at: usize| if at == 0 { v } else { &before[(at - WIDTH) * d..at * d] };
            let ([x, y], last, w) = (&mut self.block, at(i), &mut after[..WIDTH * d]);
            to_rows(last, x.as_mut_slice());
            a.gram_product(context, x.view(), self.image.view_mut(), y.view_mut())?;
            self.made[1] += WIDTH;
            to_columns(y.as_slice(), w);
            let mut coupling: Square = [[0.0; WIDTH]; WIDTH];
            if i == 0 {
                for (j, w) in w.chunks_exact_mut(d).enumerate() {
                    let known = (0..m).filter(|&l| self.h[(m + j, l)] != 0.0);
                    known.for_each(|l| axpy(-self.h[(m + j, l)], self.v.col(l), w));
                }
            } else {
                coupling = from_fn(|l| from_fn(|j| t[(i + j, i - WIDTH + l)]));
            }
            let along = subtract(at(i.saturating_sub(WIDTH)), &coupling, Some(last), w);
            let gram = subtract(last, &along, None, w);
            let Some(r) = orthonormal(gram, w)? else { return Ok(None) };
            self.size = (0..WIDTH).fold(self.size, |size, j| size.max(along[j][j]));
            if (0..WIDTH).any(|j| r[(j, j)] <= NOTHING * self.size) {
                return Ok(None);
            }
            for (l, j) in (0..WIDTH).flat_map(|l| (0..WIDTH).map(move |j| (l, j))) {
                t[(i + l, i + j)] = along[l][j];
                t[(i + WIDTH + l, i + j)] = r[(l, j)];
                if i > 0 {
                    t[(i - WIDTH + l, i + j)] = coupling[l][j];
                }
            }
        }
        Ok(Some(t))
    }

    pub fn ritz(&self, context: &Context) -> Result<Ritz> {
        let m = self.len;
        let (values, vectors) = eigh_apart(context, Mat::from_fn(m, m, |i, j| self.h[(i, j)])?)?;
        let s = collected(values.iter().rev().map(|value| value.max(0.0).sqrt()), "singular values")?;
        let y = Mat::from_fn(m, m, |i, j| vectors[(i, m - 1 - j)])?;
        let along = product(self.h.as_ref().window(m..m + WIDTH, 0..m), y.as_ref())?;
        let residuals = (0..m).map(|j| norm(along.col(j)) / s[j].max(f64::MIN_POSITIVE));
        let residuals = collected(residuals, "residuals")?;
        Ok(Ritz { s, y, residuals })
    }

    /// So many Ritz vectors.
    pub fn vectors(&self, context: &Context, ritz: &Ritz, count: usize) -> Result<Mat<f64>> {
        combined(context, self.v.as_ref().cols(0..self.len), ritz.y.as_ref().cols(0..count))
    }

    /// Only these Ritz vectors, the first ones, and v.
    pub fn compress(&mut self, ritz: &Ritz, vectors: Dense<'_, f64>) -> Result<()> {
        let (d, m, kept) = (self.v.nrows(), self.len, vectors.ncols());
        let along = product(self.h.as_ref().window(m..m + WIDTH, 0..m), ritz.y.as_ref().cols(0..kept))?;
        let data = self.v.as_mut_slice();
        data.copy_within(m * d..(m + WIDTH) * d, kept * d);
        data[..kept * d].copy_from_slice(&vectors.data()[..kept * d]);
        self.h.as_mut_slice().fill(0.0);
        for i in 0..kept {
            self.h[(i, i)] = ritz.s[i] * ritz.s[i];
            (0..WIDTH).for_each(|j| self.h[(kept + j, i)] = along[(j, i)]);
        }
        self.len = kept;
        Ok(())
    }

    /// Random numbers in place of v: what the products so far do not show. False if there is nothing left.
    pub fn look_elsewhere(&mut self, context: &Context) -> Result<bool> {
        self.set_next(context, None)
    }

    fn set_next(&mut self, context: &Context, start: Option<&[f64]>) -> Result<bool> {
        let (d, m) = (self.v.nrows(), self.len);
        for j in 0..WIDTH {
            (0..m).for_each(|i| self.h[(m + j, i)] = 0.0);
            let w = self.fresh.col_mut(j);
            match start {
                Some(start) if j == 0 => w.copy_from_slice(start),
                _ => {
                    self.random.normals_of_row(self.draws, w);
                    self.draws += 1;
                }
            }
            let length = norm(w);
            w.iter_mut().for_each(|value| *value /= length);
        }
        for _ in 0..2 {
            let c = self.along(context, m, WIDTH)?;
            if self.settle(context, m, WIDTH, &c)?.is_none() {
                return Ok(false);
            }
            let made = &self.v.as_slice()[m * d..(m + WIDTH) * d];
            self.fresh.as_mut_slice()[..WIDTH * d].copy_from_slice(made);
        }
        Ok(true)
    }
}

/// Makes the columns of W orthonormal, by their inner products first, and gives back the triangle that they were; None if
/// they are not independent.
fn orthonormal(gram: Square, w: &mut [f64]) -> Result<Option<Mat<f64>>> {
    let mut over_triangle = |gram: Square| {
        let Some(r) = cholesky(&Mat::from_fn(WIDTH, WIDTH, |i, j| gram[i][j])?)? else { return Ok(None) };
        let inverse = invert_upper(r.as_ref())?;
        let gram = multiply(&from_fn(|i| from_fn(|j| inverse[(i, j)])), w);
        Ok::<_, Error>(Some((r, gram)))
    };
    let Some((r, gram)) = over_triangle(gram)? else { return Ok(None) };
    let lengths = (0..WIDTH).map(|j| r[(j, j)]);
    if lengths.clone().fold(f64::INFINITY, f64::min) * GOOD_CONDITION >= lengths.fold(0.0, f64::max) {
        return Ok(Some(r));
    }
    let Some((again, _)) = over_triangle(gram)? else { return Ok(None) };
    Ok(Some(product(again.as_ref(), r.as_ref())?))
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
        let all = Mat::copy_of(lanczos.v.as_ref().cols(0..m + WIDTH)).unwrap();
        let image = product(a.as_ref(), all.as_ref().cols(0..m)).unwrap();
        let image = product(a.as_ref().t(), image.as_ref()).unwrap();
        let expected = product(all.as_ref(), Mat::from_fn(m + WIDTH, m, h).unwrap().as_ref()).unwrap();
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
            let mut lanczos =
                Lanczos::new(&context, (300, 140), 60, None, Stream::new(1, 0, 0)).unwrap().unwrap();
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
                let vectors = lanczos.vectors(&context, &ritz, if turn == 0 { 20 } else { 10 }).unwrap();
                lanczos.compress(&ritz, vectors.as_ref()).unwrap();
                assert!(turn != 1 || lanczos.look_elsewhere(&context).unwrap());
            }
            // Not a block at a time.
            assert!(lanczos.made[0] * 2 * WIDTH < lanczos.made[1]);
            lanczos.v
        };
        assert_eq!(made(1).as_slice(), made(3).as_slice());
    }
}
