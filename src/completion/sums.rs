//! What is summed up over the observations of one line.
//!
//! Sums are made in blocks of [`BLOCK`] rows, in the precision of the factor within a block and in double precision over
//! them, so that a heavy line can be spread over threads without a bit of difference. Entries with weights are those of a
//! line whose rows and targets have been multiplied by the roots of these.

use super::factors::Factor;
use super::kernels::{add_gram, ask_for_next, combine, dots, form, scale_rows};
use crate::error::Result;
use crate::linalg::{Scalar, Systems};
use crate::matrix::{Buffer, Indices};
use crate::memory::{filled, zeros};
use crate::parallel::Context;
use crate::simd::{norm_sq, sum};
use std::ops::Range;

/// Rows whose sums are made in the precision of the factor.
pub const BLOCK: usize = 1024;
/// Numbers of a tile that stays in the first cache.
const TILE: usize = 1 << 13;
/// Numbers of the rows of a line that are kept from one sum, as of a step of conjugate gradients, to the next.
pub const KEPT: usize = 1 << 17;
/// What memory is for.
pub const SCRATCH: &str = "the solution of one line";

/// Penalties of one line.
#[derive(Clone, Copy, Debug)]
pub struct Ridge {
    /// Of the factor.
    pub factor: f64,
    /// Of the bias, if there is one.
    pub bias: Option<f64>,
}

/// The observations of a line.
#[derive(Clone, Copy)]
pub struct Line<'a, T> {
    /// The rows of the fixed factor.
    pub indices: Indices<'a>,
    /// The values.
    pub values: &'a [T],
    /// The roots of their weights, if these are not all one.
    pub roots: Option<&'a [T]>,
}

impl<T: Scalar> Line<'_, T> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The sum of their weights.
    pub fn weight(&self) -> f64 {
        self.roots.map_or(self.count() as f64, norm_sq)
    }
}

/// What the sums over a line consist of.
#[derive(Clone, Copy)]
pub enum Sums<'a, T> {
    /// Y'Y, Y't, Y'1, and of t = v - c.
    Normal,
    /// Y'e, Y'1, and of e = v - c - Y x.
    Residual(&'a [T]),
    /// Y'd, and of d = Y p.
    Product(&'a [T]),
}

impl<T> Sums<'_, T> {
    fn with_gram(&self) -> bool {
        matches!(self, Sums::Normal)
    }

    fn with_targets(&self) -> bool {
        !matches!(self, Sums::Product(_))
    }
}

/// Sums over some rows in the precision of the factor, or over all in double precision.
pub struct Part<N> {
    /// Y'Y, as `kernels::add_gram` leaves it.
    gram: Buffer<N>,
    /// Y't, Y'e or Y'd.
    pub weighted: Buffer<N>,
    /// Y'1
    pub plain: Buffer<N>,
    /// Of t, e or d.
    pub total: f64,
    /// Of the squares of t or e.
    pub squares: f64,
}

impl<N: Scalar> Part<N> {
    /// Nothing.
    pub fn new(rank: usize, stride: usize) -> Result<Self> {
        Ok(Self {
            gram: Buffer::zeros(rank.next_multiple_of(8) * stride, SCRATCH)?,
            weighted: Buffer::zeros(stride, SCRATCH)?,
            plain: Buffer::zeros(stride, SCRATCH)?,
            total: 0.0,
            squares: 0.0,
        })
    }

    fn clear<T>(&mut self, sums: Sums<'_, T>) {
        if sums.with_gram() {
            self.gram.fill(N::default());
        }
        if sums.with_targets() {
            self.plain.fill(N::default());
        }
        self.weighted.fill(N::default());
        (self.total, self.squares) = (0.0, 0.0);
    }

    /// Adds the sums over other rows.
    pub fn add<T: Scalar>(&mut self, part: &Part<T>, sums: Sums<'_, T>) {
        let add = |sums: &mut [N], part: &[T]| {
            sums.iter_mut().zip(part).for_each(|(s, p)| *s = N::from_f64(s.to_f64() + p.to_f64()));
        };
        if sums.with_gram() {
            add(&mut self.gram, &part.gram);
        }
        if sums.with_targets() {
            add(&mut self.plain, &part.plain);
        }
        add(&mut self.weighted, &part.weighted);
        self.total += part.total;
        self.squares += part.squares;
    }

    /// The sum of the diagonal of Y'Y.
    pub fn trace(&self, rank: usize) -> f64 {
        let stride = self.plain.len();
        (0..rank).map(|i| self.gram[i * stride + i].to_f64()).sum()
    }

    /// Column i of Y'Y with its penalty, and of the bias, from the diagonal on.
    fn column<T: Scalar>(&self, rank: usize, i: usize, ridge: Ridge) -> impl Iterator<Item = T> {
        let row = &self.gram[i * self.plain.len()..][i..rank];
        let diagonal = T::from_f64(row[0].to_f64() + ridge.factor);
        let below = row[1..].iter().map(|entry| T::from_f64(entry.to_f64()));
        let last = ridge.bias.map(|_| T::from_f64(self.plain[i].to_f64()));
        std::iter::once(diagonal).chain(below).chain(last)
    }

    /// The normal equations of entries of this weight, the bias last: the lower triangle, column-major.
    pub fn lay_out<T: Scalar>(
        &self,
        rank: usize,
        ridge: Ridge,
        weight: f64,
        system: &mut [T],
        side: &mut [T],
    ) {
        let order = side.len();
        for i in 0..rank {
            let below = system[i * order + i..].iter_mut().zip(self.column(rank, i, ridge));
            below.for_each(|(place, entry)| *place = entry);
            side[i] = T::from_f64(self.weighted[i].to_f64());
        }
        if let Some(penalty) = ridge.bias {
            system[order * order - 1] = T::from_f64(weight + penalty);
            side[rank] = T::from_f64(self.total);
        }
    }

    /// The same in a lane.
    pub fn put<T: Scalar>(
        &self,
        systems: &mut Systems<T>,
        lane: usize,
        rank: usize,
        ridge: Ridge,
        weight: f64,
    ) {
        for i in 0..rank {
            let side = T::from_f64(self.weighted[i].to_f64());
            systems.put(lane, i, self.column(rank, i, ridge), side);
        }
        if let Some(penalty) = ridge.bias {
            systems.put(lane, rank, [T::from_f64(weight + penalty)], T::from_f64(self.total));
        }
    }

    /// The objective anywhere: errors of x enter by their squares, which they do not in |t|² - x'Y't.
    pub fn objective(&self, rank: usize, ridge: Ridge, weight: f64, x: &[f64], bias: f64) -> f64 {
        let mut linear = 0.0;
        for (i, xi) in x[..rank].iter().enumerate() {
            linear += xi * (bias * self.plain[i].to_f64() - self.weighted[i].to_f64());
        }
        let quadratic = form(&self.gram, self.plain.len(), rank, x) + ridge.factor * norm_sq(x);
        let of_bias = bias * ((weight + ridge.bias.unwrap_or(0.0)) * bias - 2.0 * self.total);
        self.squares + quadratic + 2.0 * linear + of_bias
    }
}

/// What does not change while lines are solved.
pub struct Fixed<'a, T> {
    /// The factor.
    pub factor: &'a Factor<T>,
    /// Whether lines have biases.
    pub with_bias: bool,
    ones: Vec<T>,
}

impl<'a, T: Scalar> Fixed<'a, T> {
    /// For lines that name rows of this factor.
    pub fn new(factor: &'a Factor<T>, with_bias: bool) -> Result<Self> {
        Ok(Self { factor, with_bias, ones: filled(T::from_f64(1.0), BLOCK, SCRATCH)? })
    }

    /// The order of normal equations.
    pub fn order(&self) -> usize {
        self.factor.rank + usize::from(self.with_bias)
    }

    /// The rows of a line.
    pub fn gather(&self, line: &Line<'_, T>, rows: Range<usize>, tile: &mut [T]) {
        self.factor.gather(line.indices.part(rows.clone()), tile);
        if let Some(roots) = line.roots {
            scale_rows(tile, self.factor.stride, &roots[rows]);
        }
    }

    /// v - c
    pub fn targets(&self, line: &Line<'_, T>, rows: Range<usize>, out: &mut [T]) {
        let values = &line.values[rows.clone()];
        if self.with_bias {
            for (out, (value, k)) in out.iter_mut().zip(values.iter().zip(rows.clone())) {
                *out = *value - self.factor.bias[line.indices.get(k)];
            }
        } else {
            out.copy_from_slice(values);
        }
        if let Some(roots) = line.roots {
            out.iter_mut().zip(&roots[rows]).for_each(|(out, root)| *out *= *root);
        }
    }

    /// What the bias of a line is multiplied by.
    pub fn constant<'l>(&'l self, line: &Line<'l, T>, rows: Range<usize>) -> &'l [T] {
        line.roots.map_or(&self.ones[..rows.len()], |roots| &roots[rows])
    }
}

/// Memory of whoever sums up.
pub struct Worker<T> {
    /// Rows of the line: some, or all of those that are kept.
    pub tile: Buffer<T>,
    /// v - c
    pub targets: Vec<T>,
    /// One for each row.
    pub products: Vec<T>,
    /// Sums over a block.
    pub part: Part<T>,
}

impl<T: Scalar> Worker<T> {
    /// For rows of that shape; with room for those of a line that are `kept`, or not.
    pub fn new(rank: usize, stride: usize, kept: bool) -> Result<Self> {
        let numbers = rows_of_tile(stride) * stride;
        Ok(Self {
            tile: Buffer::zeros(if kept { numbers.max(KEPT) } else { numbers }, SCRATCH)?,
            targets: zeros(BLOCK, SCRATCH)?,
            products: zeros(BLOCK, SCRATCH)?,
            part: Part::new(rank, stride)?,
        })
    }

    /// The sums over the rows of a block into `part`; those that are `kept` are in the tile already.
    pub fn sum_up(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        block: Range<usize>,
        sums: Sums<'_, T>,
        kept: Option<bool>,
    ) {
        let Factor { rank, stride, .. } = *fixed.factor;
        self.part.clear(sums);
        if sums.with_targets() {
            ask_for_next(&line.values[block.clone()]);
        }
        let step = rows_of_tile(stride);
        for first in block.clone().step_by(step) {
            let rows = first..block.end.min(first + step);
            let place = if kept.is_some() { first * stride } else { 0 };
            let tile = &mut self.tile[place..][..rows.len() * stride];
            if kept != Some(true) {
                fixed.gather(line, rows.clone(), tile);
            }
            let out = &mut self.products[..rows.len()];
            match sums {
                Sums::Normal => fixed.targets(line, rows.clone(), out),
                Sums::Product(p) => dots(tile, stride, p, out),
                Sums::Residual(x) => {
                    let targets = &mut self.targets[..rows.len()];
                    fixed.targets(line, rows.clone(), targets);
                    dots(tile, stride, x, out);
                    out.iter_mut().zip(targets).for_each(|(e, t)| *e = *t - *e);
                }
            }
            if sums.with_gram() {
                add_gram(tile, stride, rank, &mut self.part.gram);
            }
            combine(tile, stride, out, &mut self.part.weighted);
            if sums.with_targets() {
                self.part.squares += norm_sq(out);
            }
            if fixed.with_bias {
                self.part.total += match line.roots {
                    None => sum(out),
                    Some(roots) => {
                        let pairs = out.iter().zip(&roots[rows.clone()]);
                        pairs.map(|(out, root)| out.to_f64() * root.to_f64()).sum()
                    }
                };
                if sums.with_targets() {
                    combine(tile, stride, fixed.constant(line, rows), &mut self.part.plain);
                }
            }
        }
    }
}

/// Rows of a tile: a power of two, so that blocks consist of whole tiles.
pub fn rows_of_tile(stride: usize) -> usize {
    (TILE / stride).clamp(16, BLOCK).next_power_of_two().min(BLOCK)
}

/// The sums over a line, block by block. Of rows that are `kept` it is said whether they have been gathered already.
pub fn sum_up<T: Scalar>(
    worker: &mut Worker<T>,
    totals: &mut Part<f64>,
    fixed: &Fixed<'_, T>,
    line: &Line<'_, T>,
    sums: Sums<'_, T>,
    kept: Option<bool>,
    spread: Option<&Context>,
) -> Result<()> {
    let n = line.count();
    let block = |number: usize| number * BLOCK..n.min((number + 1) * BLOCK);
    totals.clear(sums);
    let Some(context) = spread else {
        for number in 0..n.div_ceil(BLOCK) {
            worker.sum_up(fixed, line, block(number), sums, kept);
            totals.add(&worker.part, sums);
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
    context.fold_with(n.div_ceil(BLOCK), || None, work, |part| totals.add(&part, sums))
}
