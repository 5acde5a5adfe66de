//! One line: minimise K - 2 b'x + x'A x with A = G + Σ a y y' + l I and b = Σ t y, sums over the entries of the line, y being
//! the rows of the fixed factor that they name, and G the Gram matrix of all of them times the weight of what is not stored.
//!
//! | way | what | flops |
//! |---|---|---|
//! | exact | Cholesky of A | n k² + k³/3 |
//! | conjugate gradients | from the former x | 4 n k + 2 k² a step |
//! | subspace | exactly for a block of components after the other, the rest being as it was | n k (b + 2 k/b) + k b² |
//!
//! None makes the objective larger. Sums are made in blocks of [`BLOCK`] entries, in the precision of the factor within a
//! block and in double precision over them, so that a heavy line can be spread over threads without a bit of difference.

use super::confidence::Terms;
use crate::completion::factors::{Factor, stride_of};
use crate::completion::kernels::{add_gram, combine, dots, scale_rows};
use crate::completion::sums::{BLOCK, KEPT, SCRATCH, rows_of_tile};
use crate::error::{Error, Result};
use crate::linalg::{Scalar, solve_systems};
use crate::matrix::{Buffer, Indices};
use crate::memory::{collected, reset, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, dot, norm_sq};
use std::ops::Range;

/// How a line is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By Cholesky's factorisation.
    Exact,
    /// By so many steps of conjugate gradients.
    Iterated(usize),
    /// Block after block of so many components.
    Subspace(usize),
    /// Not at all: the objective is of interest.
    Kept,
}

/// A line of entries, and what it is solved with.
#[derive(Clone, Copy)]
pub struct Line<'a, T> {
    /// The rows of the fixed factor.
    pub indices: Indices<'a>,
    /// The stored numbers, in units of their own.
    pub values: &'a [T],
    /// What its terms are multiplied by.
    pub weight: f64,
    /// l
    pub penalty: f64,
}

/// What does not change while lines are solved.
pub struct Fixed<'a, T> {
    /// The factor.
    pub factor: &'a Factor<T>,
    terms: Terms,
    /// Of the stored numbers.
    unit: f64,
    /// What terms are multiplied by, by the row that they name.
    weights: Option<&'a [f64]>,
    /// G, both triangles, as rows of `stride` numbers.
    gram: &'a [f64],
    single: Buffer<T>,
    /// The sum of the squares of each row of the factor.
    squares: Vec<f64>,
}

impl<'a, T: Scalar> Fixed<'a, T> {
    /// For lines that name rows of this factor.
    pub fn new(
        factor: &'a Factor<T>,
        (terms, unit): (Terms, f64),
        weights: Option<&'a [f64]>,
        gram: &'a [f64],
    ) -> Result<Self> {
        let mut single = Buffer::zeros(factor.rank * factor.stride, SCRATCH)?;
        single.iter_mut().zip(gram).for_each(|(out, g)| *out = T::from_f64(*g));
        let squares = collected(factor.rows.chunks_exact(factor.stride).map(norm_sq), SCRATCH)?;
        Ok(Self { factor, terms, unit, weights, gram, single, squares })
    }

    /// a and t of some entries of a line; the sum of their constants.
    fn terms(&self, line: &Line<'_, T>, rows: Range<usize>, extra: &mut [T], target: &mut [T]) -> f64 {
        let mut constant = 0.0;
        for (k, (extra, target)) in rows.zip(extra.iter_mut().zip(target)) {
            let added = self.terms.of(line.values[k].to_f64() * self.unit);
            let weight = line.weight * self.weights.map_or(1.0, |weights| weights[line.indices.get(k)]);
            *extra = T::from_f64(weight * added.extra);
            *target = T::from_f64(weight * added.target);
            constant += weight * added.target;
        }
        constant
    }

    /// a |y|², summed up over some entries of a line.
    fn size(&self, line: &Line<'_, T>, rows: Range<usize>, extra: &[T]) -> f64 {
        rows.zip(extra).map(|(k, a)| a.to_f64().abs() * self.squares[line.indices.get(k)]).sum()
    }

    /// The sum of the diagonal of G.
    fn trace(&self) -> f64 {
        (0..self.factor.rank).map(|i| self.gram[i * (self.factor.stride + 1)]).sum()
    }

    /// G x + l x, and x'G x + l x'x.
    fn shared(&self, x: &[f64], l: f64, out: &mut [f64], scratch: &mut [T]) -> f64 {
        let Factor { rank, stride, .. } = *self.factor;
        let (x_single, product) = scratch.split_at_mut(stride);
        x_single.iter_mut().zip(x).for_each(|(single, x)| *single = T::from_f64(*x));
        dots(&self.single, stride, x_single, &mut product[..rank]);
        out.iter_mut().zip(&product[..rank]).for_each(|(out, product)| *out = product.to_f64());
        axpy(l, &x[..rank], &mut out[..rank]);
        dot(&x[..rank], &out[..rank])
    }
}

/// What is summed up over the entries of a line.
enum Sums<'a, T> {
    /// a y y' and t y.
    Normal,
    /// (t - a y'x) y, (a y'x - 2 t) y'x, and the size of a |y|².
    Residual(&'a [T]),
    /// a (y'p) y.
    Product(&'a [T]),
    /// As the residual, for some components alone, and a y y' of these.
    Block(&'a [T], Range<usize>),
}

/// Sums over some entries.
struct Part<T> {
    gram: Buffer<T>,
    /// Of negative a, times -1.
    lessened: Buffer<T>,
    is_lessened: bool,
    weighted: Buffer<T>,
    constant: f64,
    value: f64,
    size: f64,
}

impl<T: Scalar> Part<T> {
    fn new(rank: usize, stride: usize) -> Result<Self> {
        let square = || Buffer::zeros(rank.next_multiple_of(8) * stride, SCRATCH);
        let (gram, lessened, weighted) = (square()?, square()?, Buffer::zeros(stride, SCRATCH)?);
        Ok(Self { gram, lessened, is_lessened: false, weighted, constant: 0.0, value: 0.0, size: 0.0 })
    }

    fn clear(&mut self, with_gram: bool) {
        if with_gram {
            self.gram.fill(T::default());
            if self.is_lessened {
                self.lessened.fill(T::default());
            }
        }
        self.is_lessened = false;
        self.weighted.fill(T::default());
        (self.constant, self.value, self.size) = (0.0, 0.0, 0.0);
    }

    /// Adds a y y' for the rows of a tile, which is gone afterwards; `again` brings it back.
    fn add_gram(
        &mut self,
        tile: &mut [T],
        (stride, order): (usize, usize),
        (extra, roots): (&[T], &mut [T]),
        again: impl Fn(&mut [T]),
    ) {
        let mut scale = |tile: &mut [T], sign: f64| {
            let root = |a: &T| T::from_f64((sign * a.to_f64()).max(0.0).sqrt());
            roots.iter_mut().zip(extra).for_each(|(out, a)| *out = root(a));
            scale_rows(tile, stride, roots);
        };
        scale(tile, 1.0);
        add_gram(tile, stride, order, &mut self.gram);
        if extra.iter().any(|a| a.to_f64() < 0.0) {
            again(tile);
            scale(tile, -1.0);
            add_gram(tile, stride, order, &mut self.lessened);
            self.is_lessened = true;
        }
    }
}

/// The same over all entries of a line.
struct Totals {
    gram: Vec<f64>,
    weighted: Vec<f64>,
    constant: f64,
    value: f64,
    size: f64,
}

impl Totals {
    fn clear(&mut self) {
        [&mut self.gram, &mut self.weighted].into_iter().for_each(|sums| sums.fill(0.0));
        (self.constant, self.value, self.size) = (0.0, 0.0, 0.0);
    }

    fn add<T: Scalar>(&mut self, part: &Part<T>, with_gram: bool) {
        let add = |sums: &mut [f64], part: &[T], sign: f64| {
            sums.iter_mut().zip(part).for_each(|(s, p)| *s += sign * p.to_f64());
        };
        if with_gram {
            add(&mut self.gram, &part.gram, 1.0);
            if part.is_lessened {
                add(&mut self.gram, &part.lessened, -1.0);
            }
        }
        add(&mut self.weighted, &part.weighted, 1.0);
        self.constant += part.constant;
        self.value += part.value;
        self.size += part.size;
    }
}

/// Memory of whoever sums up.
struct Worker<T> {
    /// Rows of the line: some, or all of those that are kept.
    tile: Buffer<T>,
    /// Some of their components.
    narrow: Buffer<T>,
    extra: Vec<T>,
    target: Vec<T>,
    found: Vec<T>,
    part: Part<T>,
}

impl<T: Scalar> Worker<T> {
    fn new(rank: usize, stride: usize, kept: bool) -> Result<Self> {
        let numbers = rows_of_tile(stride) * stride;
        let vector = || zeros(BLOCK, SCRATCH);
        Ok(Self {
            tile: Buffer::zeros(if kept { numbers.max(KEPT) } else { numbers }, SCRATCH)?,
            narrow: Buffer::zeros(numbers, SCRATCH)?,
            extra: vector()?,
            target: vector()?,
            found: vector()?,
            part: Part::new(rank, stride)?,
        })
    }

    /// The sums over a block of entries into `part`; of rows that are `kept` it is said whether they are in the tile already.
    fn sum_up(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        block: Range<usize>,
        sums: &Sums<'_, T>,
        kept: Option<bool>,
    ) {
        let Factor { stride, rank, .. } = *fixed.factor;
        self.part.clear(sums.with_gram());
        let step = rows_of_tile(stride);
        for first in block.clone().step_by(step) {
            let rows = first..block.end.min(first + step);
            let place = if kept.is_some() { first * stride } else { 0 };
            let tile = &mut self.tile[place..][..rows.len() * stride];
            if kept != Some(true) {
                fixed.factor.gather(line.indices.part(rows.clone()), tile);
            }
            let (extra, target) = (&mut self.extra[..rows.len()], &mut self.target[..rows.len()]);
            let (found, part) = (&mut self.found[..rows.len()], &mut self.part);
            part.constant += fixed.terms(line, rows.clone(), extra, target);
            match sums {
                Sums::Normal => {
                    combine(tile, stride, target, &mut part.weighted);
                    let again = |tile: &mut [T]| fixed.factor.gather(line.indices.part(rows.clone()), tile);
                    part.add_gram(tile, (stride, rank), (extra, found), again);
                }
                Sums::Product(p) => {
                    dots(tile, stride, p, found);
                    for (found, a) in found.iter_mut().zip(extra) {
                        *found = T::from_f64(found.to_f64() * a.to_f64());
                    }
                    combine(tile, stride, found, &mut part.weighted);
                }
                Sums::Residual(x) => {
                    part.size += fixed.size(line, rows.clone(), extra);
                    dots(tile, stride, x, found);
                    part.value += residual(extra, target, found);
                    combine(tile, stride, found, &mut part.weighted);
                }
                Sums::Block(x, components) => {
                    dots(tile, stride, x, found);
                    part.value += residual(extra, target, found);
                    let width = stride_of::<T>(components.len());
                    let narrow = &mut self.narrow[..rows.len() * width];
                    let cut = |narrow: &mut [T]| {
                        narrow.fill(T::default());
                        for (out, row) in narrow.chunks_exact_mut(width).zip(tile.chunks_exact(stride)) {
                            out[..components.len()].copy_from_slice(&row[components.clone()]);
                        }
                    };
                    cut(narrow);
                    combine(narrow, width, found, &mut part.weighted[..width]);
                    part.add_gram(narrow, (width, components.len()), (extra, found), cut);
                }
            }
        }
    }
}

impl<T> Sums<'_, T> {
    fn with_gram(&self) -> bool {
        matches!(self, Sums::Normal | Sums::Block(..))
    }
}

/// Puts t - a y'x in the place of y'x; the sum of (a y'x - 2 t) y'x.
fn residual<T: Scalar>(extra: &[T], target: &[T], found: &mut [T]) -> f64 {
    let mut value = 0.0;
    for (found, (a, t)) in found.iter_mut().zip(extra.iter().zip(target)) {
        let (prediction, a, t) = (found.to_f64(), a.to_f64(), t.to_f64());
        value += (a * prediction - 2.0 * t) * prediction;
        *found = T::from_f64(t - a * prediction);
    }
    value
}

/// Memory in which lines are solved one after the other.
pub struct Solver<T> {
    worker: Worker<T>,
    totals: Totals,
    system: Vec<T>,
    side: Vec<T>,
    wide: Vec<f64>,
    wide_side: Vec<f64>,
    x: Vec<f64>,
    r: Vec<f64>,
    p: Vec<f64>,
    q: Vec<f64>,
    single: Buffer<T>,
    scratch: Buffer<T>,
}

impl<T: Scalar> Solver<T> {
    /// For factors of that shape.
    pub fn new(rank: usize, stride: usize) -> Result<Self> {
        let vector = || zeros(stride, SCRATCH);
        Ok(Self {
            worker: Worker::new(rank, stride, true)?,
            totals: Totals {
                gram: zeros(rank.next_multiple_of(8) * stride, SCRATCH)?,
                weighted: vector()?,
                constant: 0.0,
                value: 0.0,
                size: 0.0,
            },
            system: zeros(rank * rank, SCRATCH)?,
            side: zeros(rank, SCRATCH)?,
            wide: Vec::new(),
            wide_side: Vec::new(),
            x: vector()?,
            r: vector()?,
            p: vector()?,
            q: vector()?,
            single: Buffer::zeros(stride, SCRATCH)?,
            scratch: Buffer::zeros(2 * stride, SCRATCH)?,
        })
    }

    /// Replaces x by what is found; the objective there. Sums are `spread` over threads where that is given.
    pub fn solve(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        way: Way,
        x: &mut [T],
        spread: Option<&Context>,
    ) -> Result<f64> {
        if line.values.is_empty() && way != Way::Kept {
            x.fill(T::default());
            return Ok(0.0);
        }
        match way {
            Way::Exact => self.exact(fixed, line, x, spread),
            Way::Iterated(steps) => self.iterate(fixed, line, steps, x, spread),
            Way::Subspace(block) => self.subspaces(fixed, line, block, x, spread),
            Way::Kept => self.iterate(fixed, line, 0, x, spread),
        }
    }

    fn exact(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        out: &mut [T],
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, system, side, wide, wide_side, x, .. } = self;
        let Factor { rank, stride, .. } = *fixed.factor;
        sum_up(worker, totals, fixed, line, &Sums::Normal, None, spread)?;
        for i in 0..rank {
            let row = i * stride..i * stride + rank;
            let sums = totals.gram[row.clone()].iter_mut().zip(&fixed.gram[row]);
            sums.skip(i).for_each(|(sum, g)| *sum += g);
            totals.gram[i * stride + i] += line.penalty;
        }
        lay_out(totals, (rank, stride), 0.0, system, side);
        let mut sound = [false];
        solve_systems(rank, system, side, &mut sound);
        let pivots = (0..rank).map(|i| system[i * rank + i].to_f64().powi(2));
        let (least, most) =
            pivots.fold((f64::INFINITY, 0.0f64), |(a, b), pivot| (a.min(pivot), b.max(pivot)));
        if !sound[0] || least < 16.0 * T::UNIT_ROUNDOFF * most {
            let shared = |i: usize| fixed.gram[i * (stride + 1)];
            solve_wide(totals, (rank, stride), line, shared, wide, wide_side)?;
            side.iter_mut().zip(&*wide_side).for_each(|(x, wide)| *x = T::from_f64(*wide));
        }
        out[..rank].copy_from_slice(side);
        x.iter_mut().zip(&*out).for_each(|(wide, x)| *wide = x.to_f64());
        let mut value = totals.constant;
        for i in 0..rank {
            let row = &totals.gram[i * stride..][..rank];
            let across = dot(&row[i + 1..], &x[i + 1..rank]);
            value += x[i] * (row[i] * x[i] + 2.0 * (across - totals.weighted[i]));
        }
        Ok(value)
    }

    fn iterate(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        steps: usize,
        out: &mut [T],
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, x, r, p, q, single, scratch, .. } = self;
        let kept = is_kept(fixed, line, spread);
        sum_up(worker, totals, fixed, line, &Sums::Residual(out), kept.then_some(false), spread)?;
        x.iter_mut().zip(&*out).for_each(|(x, out)| *x = out.to_f64());
        let mut value = totals.constant + totals.value + fixed.shared(x, line.penalty, q, scratch);
        if steps == 0 {
            return Ok(value);
        }
        r.copy_from_slice(&totals.weighted);
        axpy(-1.0, q, r);
        p.copy_from_slice(r);
        // What rounding may take of the curvature along a direction, over its square: where there is no more of it, a step has no
        // length that is known.
        let terms = (line.values.len() as f64).sqrt() + fixed.factor.rank as f64;
        let doubt = terms * T::UNIT_ROUNDOFF * (totals.size + fixed.trace());
        let mut size = norm_sq(r);
        for _ in 0..steps {
            single.iter_mut().zip(&*p).for_each(|(single, p)| *single = T::from_f64(*p));
            sum_up(worker, totals, fixed, line, &Sums::Product(single), kept.then_some(true), spread)?;
            fixed.shared(p, line.penalty, q, scratch);
            axpy(1.0, &totals.weighted, q);
            let curvature = dot(p, q);
            if !(curvature > doubt * norm_sq(p) && size > f64::MIN_POSITIVE) {
                break;
            }
            let step = size / curvature;
            axpy(step, p, x);
            axpy(-step, q, r);
            value -= step * size;
            let next = norm_sq(r);
            let turn = next / size;
            p.iter_mut().zip(&*r).for_each(|(p, r)| *p = *r + turn * *p);
            size = next;
        }
        out.iter_mut().zip(&*x).for_each(|(out, x)| *out = T::from_f64(*x));
        Ok(value)
    }

    fn subspaces(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        block: usize,
        out: &mut [T],
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, x, q, wide, wide_side, scratch, .. } = self;
        let Factor { rank, stride, .. } = *fixed.factor;
        let kept = is_kept(fixed, line, spread);
        let mut value = 0.0;
        for first in (0..rank).step_by(block) {
            let components = first..rank.min(first + block);
            let (order, width) = (components.len(), stride_of::<T>(components.len()));
            let sums = Sums::Block(out, components.clone());
            sum_up(worker, totals, fixed, line, &sums, kept.then_some(first > 0), spread)?;
            x.iter_mut().zip(&*out).for_each(|(x, out)| *x = out.to_f64());
            let shared = fixed.shared(x, line.penalty, q, scratch);
            if first == 0 {
                value = totals.constant + totals.value + shared;
            }
            for i in 0..order {
                let row = &fixed.gram[(first + i) * stride + first..][..order];
                let sums = totals.gram[i * width..][..order].iter_mut().zip(row);
                sums.skip(i).for_each(|(sum, g)| *sum += g);
                totals.gram[i * width + i] += line.penalty;
                totals.weighted[i] -= q[first + i];
            }
            let diagonal = |i: usize| fixed.gram[(first + i) * (stride + 1)];
            solve_wide(totals, (order, width), line, diagonal, wide, wide_side)?;
            value -= dot(wide_side, &totals.weighted[..order]);
            for (x, step) in out[components].iter_mut().zip(&*wide_side) {
                *x = T::from_f64(x.to_f64() + step);
            }
        }
        Ok(value)
    }
}

/// Whether the rows of a line are kept from one sum to the next.
fn is_kept<T>(fixed: &Fixed<'_, T>, line: &Line<'_, T>, spread: Option<&Context>) -> bool {
    spread.is_none() && line.values.len() * fixed.factor.stride <= KEPT
}

/// The lower triangle of the normal equations, column-major, with so much more on the diagonal, and their side.
fn lay_out<N: Scalar>(
    totals: &Totals,
    (order, stride): (usize, usize),
    more: f64,
    system: &mut [N],
    side: &mut [N],
) {
    for i in 0..order {
        let (row, column) = (&totals.gram[i * stride..][..order], &mut system[i * order..][..order]);
        for j in i..order {
            column[j] = N::from_f64(row[j]);
        }
        column[i] = N::from_f64(row[i] + more);
        side[i] = N::from_f64(totals.weighted[i]);
    }
}

/// Solves the normal equations in double precision, with as much more on the diagonal as rounding may have made them
/// indefinite by, if they are; that depends on the diagonal of the `shared` matrix, too.
fn solve_wide<T: Scalar>(
    totals: &Totals,
    (order, stride): (usize, usize),
    line: &Line<'_, T>,
    shared: impl Fn(usize) -> f64,
    system: &mut Vec<f64>,
    side: &mut Vec<f64>,
) -> Result<()> {
    let diagonal = |i: usize| totals.gram[i * stride + i].abs() + shared(i);
    let terms = (line.values.len() as f64).sqrt() + order as f64;
    let rounding = terms * T::UNIT_ROUNDOFF * (0..order).map(diagonal).sum::<f64>() + f64::MIN_POSITIVE;
    let mut more = 0.0;
    loop {
        reset(system, order * order, SCRATCH)?;
        reset(side, order, SCRATCH)?;
        lay_out(totals, (order, stride), more, system, side);
        let mut sound = [false];
        solve_systems(order, system, side, &mut sound);
        let pivots = (0..order).map(|i| system[i * order + i].powi(2));
        let (least, most) =
            pivots.fold((f64::INFINITY, 0.0f64), |(a, b), pivot| (a.min(pivot), b.max(pivot)));
        if sound[0] && (more > 0.0 || least > f64::EPSILON * most) {
            return Ok(());
        }
        more = if more > 0.0 { 16.0 * more } else { rounding };
        if !more.is_finite() {
            let found = "confidences whose sums are out of range";
            return Err(Error::value("X", found, "smaller ones, a smaller `alpha`, or float64 as `dtype`"));
        }
    }
}

/// The sums over a line, block by block. Of rows that are `kept` it is said whether they have been gathered already.
fn sum_up<T: Scalar>(
    worker: &mut Worker<T>,
    totals: &mut Totals,
    fixed: &Fixed<'_, T>,
    line: &Line<'_, T>,
    sums: &Sums<'_, T>,
    kept: Option<bool>,
    spread: Option<&Context>,
) -> Result<()> {
    let (n, with_gram) = (line.values.len(), sums.with_gram());
    let block = |number: usize| number * BLOCK..n.min((number + 1) * BLOCK);
    totals.clear();
    let Some(context) = spread else {
        for number in 0..n.div_ceil(BLOCK) {
            worker.sum_up(fixed, line, block(number), sums, kept);
            totals.add(&worker.part, with_gram);
        }
        return Ok(());
    };
    let Factor { rank, stride, .. } = *fixed.factor;
    let work = |worker: &mut Option<Worker<T>>, number: usize| {
        let mut own = worker.take().map_or_else(|| Worker::new(rank, stride, false), Ok)?;
        own.sum_up(fixed, line, block(number), sums, None);
        let part = std::mem::replace(&mut own.part, Part::new(rank, stride)?);
        *worker = Some(own);
        Ok(part)
    };
    context.fold_with(n.div_ceil(BLOCK), || None, work, |part| totals.add(&part, with_gram))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::implicit::Confidence;
    use crate::simd::testing::on_every_path;

    const COUNT: usize = 40;

    fn number(k: usize, j: usize) -> f64 {
        ((13 * k * k + 7 * j * j + 5 * k * j + 3) as f64 * 0.37).sin()
    }

    fn terms(confidence: Confidence) -> Terms {
        Terms { confidence, alpha: 1.5, unobserved: 0.3, reg: 0.2, exponent: 0.0 }
    }

    /// x and objective, and the objective at x and its gradient there, by plain loops.
    fn solved<T: Scalar>(
        (n, rank): (usize, usize),
        confidence: Confidence,
        way: Way,
        threads: Option<usize>,
    ) -> (Vec<f64>, f64, f64, f64) {
        let mut factor = Factor::<T>::zeros(COUNT, rank).unwrap();
        let (stride, terms) = (factor.stride, terms(confidence));
        for k in 0..COUNT {
            for j in 0..rank {
                factor.rows[k * stride + j] = T::from_f64(0.3 + number(k, j));
            }
        }
        let y = |k: usize, j: usize| factor.row(k)[j].to_f64();
        let mut gram = vec![0.0; rank.next_multiple_of(8) * stride];
        for i in 0..rank {
            for j in 0..rank {
                gram[i * stride + j] = 0.3 * (0..COUNT).map(|k| y(k, i) * y(k, j)).sum::<f64>();
            }
        }
        let weights: Vec<f64> = (0..COUNT).map(|k| 1.0 + 0.5 * number(k, 3)).collect();
        let indices: Vec<i32> = (0..n).map(|k| (k * k + 3 * k) as i32 % COUNT as i32).collect();
        // Some are negative, and some so small that they count less than what is not stored.
        let values: Vec<T> = (0..n).map(|k| T::from_f64(number(k, 99))).collect();
        let fixed = Fixed::new(&factor, (terms, 2.0), Some(&weights), &gram).unwrap();
        let line = Line { indices: Indices::I32(&indices), values: &values, weight: 0.7, penalty: 0.2 };
        let mut x: Vec<T> =
            (0..stride).map(|j| T::from_f64(if j < rank { 0.1 * number(j, 5) } else { 0.0 })).collect();
        let mut solver = Solver::new(rank, stride).unwrap();
        let context = threads.map(Context::new);
        let value = solver.solve(&fixed, &line, way, &mut x, context.as_ref()).unwrap();
        let wide: Vec<f64> = x[..rank].iter().map(|x| x.to_f64()).collect();
        let (mut expected, mut gradient) = (0.0, vec![0.0; rank]);
        for i in 0..rank {
            let product: f64 = (0..rank).map(|j| gram[i * stride + j] * wide[j]).sum();
            expected += wide[i] * (product + 0.2 * wide[i]);
            gradient[i] += product + 0.2 * wide[i];
        }
        for (&k, r) in indices.iter().zip(&values) {
            let r = 2.0 * r.to_f64();
            let weight = 0.7 * weights[k as usize];
            let (c, p) = if confidence == Confidence::Linear {
                (1.5 * r.abs(), f64::from(r > 0.0))
            } else {
                (1.5, f64::from(r > 0.0))
            };
            let counted = if confidence == Confidence::Linear { 0.3 } else { 0.0 };
            let product: f64 = (0..rank).map(|j| y(k as usize, j) * wide[j]).sum();
            expected += weight * (c * (p - product).powi(2) - counted * product * product);
            for (j, g) in gradient.iter_mut().enumerate() {
                *g += weight * (c * (product - p) - counted * product) * y(k as usize, j);
            }
        }
        (wide, value, expected, gradient.iter().map(|g| g * g).sum::<f64>().sqrt())
    }

    const WAYS: [Way; 5] =
        [Way::Exact, Way::Iterated(300), Way::Subspace(64), Way::Iterated(2), Way::Subspace(3)];

    #[test]
    fn objectives_are_those_of_plain_loops_and_exact_ways_end_the_gradient() {
        for confidence in [Confidence::Linear, Confidence::Uniform] {
            for (n, rank) in [(1, 5), (12, 5), (30, 20), (200, 20), (3000, 7)] {
                let before = solved::<f64>((n, rank), confidence, Way::Kept, None);
                assert!((before.1 / before.2 - 1.0).abs() < 1e-10);
                for way in WAYS {
                    let (_, value, expected, gradient) = solved::<f64>((n, rank), confidence, way, None);
                    assert!(
                        (value - expected).abs() < 1e-9 * before.1,
                        "{way:?} {n} x {rank}: {value} {expected}"
                    );
                    assert!(value <= before.1);
                    if matches!(way, Way::Exact | Way::Iterated(300) | Way::Subspace(64)) {
                        assert!(
                            gradient < 1e-7 * before.3,
                            "{way:?} {n} x {rank}: {gradient:e} of {:e}",
                            before.3
                        );
                    }
                    let (_, value, expected, _) = solved::<f32>((n, rank), confidence, way, None);
                    assert!(
                        (value - expected).abs() < 1e-4 * before.1,
                        "{way:?} {n} x {rank}: {value} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_bit_depends_on_threads_or_the_instruction_set() {
        for way in WAYS {
            for shape in [(70, 20), (5000, 20)] {
                let all = on_every_path(|| solved::<f32>(shape, Confidence::Linear, way, None));
                assert!(all.iter().all(|found| found.0 == all[0].0 && found.1 == all[0].1), "{way:?}");
                for threads in [1, 3] {
                    let spread = solved::<f32>(shape, Confidence::Linear, way, Some(threads));
                    assert!(spread.0 == all[0].0 && spread.1 == all[0].1, "{way:?} {threads}");
                }
            }
        }
    }

    #[test]
    fn a_line_without_entries_is_zero() {
        for way in WAYS {
            let (x, value, _, _) = solved::<f64>((0, 5), Confidence::Linear, way, None);
            assert!(value == 0.0 && x.iter().all(|&x| x == 0.0));
        }
    }
}
