//! The ridge regression of one line of observations on the rows of the fixed factor that it names.
//!
//! minimise |v - c - b 1 - Y x|² + l |x|² + l_b b², where Y are the n rows, v the values, c the biases that the other side
//! has, and b the bias of the line itself, if it has one. Three ways:
//!
//! | way | what | flops |
//! |---|---|---|
//! | primal | Cholesky of the normal equations, of order k | n k² + k³/3 |
//! | dual | Cholesky of Y Y' / l + 1 1' / l_b + I, of order n, for l > 0 | n² k + n³/3 |
//! | conjugate gradients | from the former x, b eliminated; no step makes the objective larger | 4 n k a step |
//!
//! What is summed up over the rows is summed up in blocks of [`BLOCK`] rows, in the precision of the factor within a block
//! and in double precision over them, so that a heavy line can be spread over threads without a bit of difference.

use super::factors::Factor;
use super::kernels::{add_gram, combine, dots, gather};
use crate::error::{Error, Result};
use crate::linalg::{Scalar, solve_systems};
use crate::matrix::{Buffer, Indices};
use crate::memory::{collected, filled, reset, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, dot, norm_sq, row_gram, sum};
use std::ops::Range;

/// Rows whose sums are made in the precision of the factor.
pub const BLOCK: usize = 1024;
/// Numbers of a tile that stays in the first cache.
const TILE: usize = 1 << 13;
/// Numbers of the rows of a line that are kept from one step of conjugate gradients to the next.
const KEPT: usize = 1 << 17;
/// What memory is for.
const SCRATCH: &str = "the solution of one line";

/// Penalties of one line.
#[derive(Clone, Copy, Debug)]
pub struct Ridge {
    /// Of the factor.
    pub factor: f64,
    /// Of the bias, if there is one.
    pub bias: Option<f64>,
}

/// How a line is solved.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// By Cholesky's factorisation, primal or dual, whichever is the smaller.
    Exact,
    /// By conjugate gradients.
    Iterated {
        /// At most so many steps.
        steps: usize,
        /// Until the preconditioned residual is so much smaller.
        tolerance: f64,
        /// Eigenvalues of the Gram matrix that all lines share, over its rows, if the factor is rotated to its eigenvectors.
        spectrum: Option<&'a [f64]>,
    },
}

/// The observations of a line.
#[derive(Clone, Copy)]
pub struct Line<'a, T> {
    /// The rows of the fixed factor.
    pub indices: Indices<'a>,
    /// The values.
    pub values: &'a [T],
}

/// What the sums over a line consist of.
#[derive(Clone, Copy)]
enum Sums<'a, T> {
    /// Y'Y, Y't, Y'1, and of t = v - c.
    Normal,
    /// Y'e, Y'1, and of e = v - c - Y x.
    Residual(&'a [T]),
    /// Y'd, and of d = Y p.
    Product(&'a [T]),
}

/// Sums over some rows.
struct Part<T> {
    gram: Buffer<T>,
    /// Y't, Y'e or Y'd.
    weighted: Buffer<T>,
    /// Y'1
    plain: Buffer<T>,
    /// Of t, e or d.
    total: f64,
    /// Of its squares.
    squares: f64,
}

impl<T: Scalar> Part<T> {
    fn new(rank: usize, stride: usize) -> Result<Self> {
        Ok(Self {
            gram: Buffer::zeros(rank.next_multiple_of(8) * stride, SCRATCH)?,
            weighted: Buffer::zeros(stride, SCRATCH)?,
            plain: Buffer::zeros(stride, SCRATCH)?,
            total: 0.0,
            squares: 0.0,
        })
    }

    fn clear(&mut self, with_gram: bool) {
        if with_gram {
            self.gram.fill(T::default());
        }
        self.weighted.fill(T::default());
        self.plain.fill(T::default());
        (self.total, self.squares) = (0.0, 0.0);
    }
}

/// The same over all rows of a line.
struct Totals {
    gram: Vec<f64>,
    weighted: Vec<f64>,
    plain: Vec<f64>,
    total: f64,
    squares: f64,
}

impl Totals {
    fn clear(&mut self) {
        [&mut self.gram, &mut self.weighted, &mut self.plain].into_iter().for_each(|sums| sums.fill(0.0));
        (self.total, self.squares) = (0.0, 0.0);
    }

    fn add<T: Scalar>(&mut self, part: &Part<T>, with_gram: bool) {
        let add =
            |sums: &mut [f64], part: &[T]| sums.iter_mut().zip(part).for_each(|(s, p)| *s += p.to_f64());
        if with_gram {
            add(&mut self.gram, &part.gram);
        }
        add(&mut self.weighted, &part.weighted);
        add(&mut self.plain, &part.plain);
        self.total += part.total;
        self.squares += part.squares;
    }

    /// The objective anywhere: errors of x enter by their squares, which they do not in |t|² - x'Y't.
    fn objective(&self, rank: usize, stride: usize, ridge: Ridge, n: usize, x: &[f64], bias: f64) -> f64 {
        let mut value = self.squares;
        for (i, xi) in x.iter().enumerate() {
            let row = &self.gram[i * stride..][..rank];
            let across = dot(&row[i + 1..], &x[i + 1..]);
            let slope = bias * self.plain[i] - self.weighted[i] + across;
            value += xi * ((row[i] + ridge.factor) * xi + 2.0 * slope);
        }
        value + bias * ((n as f64 + ridge.bias.unwrap_or(0.0)) * bias - 2.0 * self.total)
    }

    /// The lower triangle of the normal equations of n rows, column-major, the bias last.
    fn lay_out<N: Scalar>(
        &self,
        rank: usize,
        stride: usize,
        ridge: Ridge,
        n: usize,
        system: &mut [N],
        side: &mut [N],
    ) {
        let order = side.len();
        for i in 0..rank {
            let (row, column) = (&self.gram[i * stride..][..rank], &mut system[i * order..][..order]);
            for j in i..rank {
                column[j] = N::from_f64(row[j]);
            }
            column[i] = N::from_f64(row[i] + ridge.factor);
            side[i] = N::from_f64(self.weighted[i]);
            if order > rank {
                column[rank] = N::from_f64(self.plain[i]);
            }
        }
        if let Some(penalty) = ridge.bias {
            system[order * order - 1] = N::from_f64(n as f64 + penalty);
            side[rank] = N::from_f64(self.total);
        }
    }
}

/// Memory of whoever sums up.
struct Worker<T> {
    /// Rows of the line: some, or all of those that are kept.
    tile: Buffer<T>,
    targets: Vec<T>,
    products: Vec<T>,
    part: Part<T>,
}

impl<T: Scalar> Worker<T> {
    fn new(rank: usize, stride: usize, kept: bool) -> Result<Self> {
        let numbers = rows_of_tile(stride) * stride;
        Ok(Self {
            tile: Buffer::zeros(if kept { numbers.max(KEPT) } else { numbers }, SCRATCH)?,
            targets: zeros(BLOCK, SCRATCH)?,
            products: zeros(BLOCK, SCRATCH)?,
            part: Part::new(rank, stride)?,
        })
    }

    /// The sums over the rows of a block into `part`; those that are `kept` are in the tile already.
    fn sum_up(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        block: Range<usize>,
        sums: Sums<'_, T>,
        kept: Option<bool>,
    ) {
        let (stride, rank) = (fixed.factor.stride, fixed.factor.rank);
        let with_gram = matches!(sums, Sums::Normal);
        self.part.clear(with_gram);
        let step = rows_of_tile(stride);
        for first in block.clone().step_by(step) {
            let rows = first..block.end.min(first + step);
            let place = if kept.is_some() { first * stride } else { 0 };
            let tile = &mut self.tile[place..][..rows.len() * stride];
            if kept != Some(true) {
                fixed.gather(line.indices.part(rows.clone()), tile);
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
            if with_gram {
                add_gram(tile, stride, rank, &mut self.part.gram);
            }
            combine(tile, stride, out, &mut self.part.weighted);
            if fixed.with_bias && !matches!(sums, Sums::Product(_)) {
                combine(tile, stride, &fixed.ones[..rows.len()], &mut self.part.plain);
            }
            self.part.total += sum(out);
            self.part.squares += norm_sq(out);
        }
    }
}

/// Rows of a tile: a power of two, so that blocks consist of whole tiles.
fn rows_of_tile(stride: usize) -> usize {
    (TILE / stride).clamp(16, BLOCK).next_power_of_two().min(BLOCK)
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

    fn gather(&self, indices: Indices<'_>, tile: &mut [T]) {
        match indices {
            Indices::I32(indices) => gather(&self.factor.rows, self.factor.stride, indices, tile),
            Indices::I64(indices) => gather(&self.factor.rows, self.factor.stride, indices, tile),
        }
    }

    /// v - c
    fn targets(&self, line: &Line<'_, T>, rows: Range<usize>, out: &mut [T]) {
        let values = &line.values[rows.clone()];
        if self.with_bias {
            for (out, (value, k)) in out.iter_mut().zip(values.iter().zip(rows)) {
                *out = *value - self.factor.bias[line.indices.get(k)];
            }
        } else {
            out.copy_from_slice(values);
        }
    }
}

/// Memory in which lines are solved one after the other.
pub struct Solver<T> {
    worker: Worker<T>,
    totals: Totals,
    system: Vec<T>,
    side: Vec<T>,
    wide: Vec<f64>,
    wide_side: Vec<f64>,
    ones: Vec<f64>,
    x: Vec<f64>,
    r: Vec<f64>,
    p: Vec<f64>,
    q: Vec<f64>,
    single: Buffer<T>,
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
                plain: vector()?,
                total: 0.0,
                squares: 0.0,
            },
            system: zeros((rank + 1) * (rank + 1), SCRATCH)?,
            side: zeros(rank + 1, SCRATCH)?,
            wide: Vec::new(),
            wide_side: Vec::new(),
            ones: vector()?,
            x: vector()?,
            r: vector()?,
            p: vector()?,
            q: vector()?,
            single: Buffer::zeros(stride, SCRATCH)?,
        })
    }

    /// Replaces x and the bias of a line by a solution; the objective there. Its sums are `spread` over threads where that
    /// is given.
    pub fn solve(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        way: Way<'_>,
        (x, bias): (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let (n, rank) = (line.values.len(), fixed.factor.rank);
        if n == 0 {
            x.fill(T::default());
            *bias = T::default();
            return Ok(0.0);
        }
        let penalised = ridge.factor > 0.0 && ridge.bias.is_none_or(|bias| bias > 0.0);
        match way {
            _ if penalised && 4 * n <= 3 * rank && n * fixed.factor.stride <= KEPT => {
                self.dual(fixed, line, ridge, x, bias)
            }
            Way::Iterated { steps, tolerance, spectrum } if n >= 2 * rank => {
                self.iterate(fixed, line, ridge, (steps, tolerance, spectrum), (x, bias), spread)
            }
            _ => self.primal(fixed, line, ridge, (x, bias), spread),
        }
    }

    fn primal(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        (x, bias): (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, system, side, wide, wide_side, x: wide_x, .. } = self;
        sum_up(worker, totals, fixed, line, Sums::Normal, None, spread)?;
        let Factor { rank, stride, .. } = *fixed.factor;
        let order = rank + usize::from(ridge.bias.is_some());
        let (system, side) = (&mut system[..order * order], &mut side[..order]);
        let mut sound = [false];
        totals.lay_out(rank, stride, ridge, line.values.len(), system, side);
        solve_systems(order, system, side, &mut sound);
        let pivots = (0..order).map(|i| system[i * order + i].to_f64().powi(2));
        let (least, most) =
            pivots.fold((f64::INFINITY, 0.0f64), |(a, b), pivot| (a.min(pivot), b.max(pivot)));
        if !sound[0] || least < 16.0 * T::UNIT_ROUNDOFF * most {
            // Pivots are lost in rounding, which has made the matrix indefinite by no more than this.
            let trace: f64 = (0..rank).map(|i| totals.gram[i * stride + i]).sum();
            let terms = (line.values.len() as f64).sqrt() + order as f64;
            let rounding = terms * T::UNIT_ROUNDOFF * trace + f64::MIN_POSITIVE;
            let ridge = Ridge { factor: ridge.factor + rounding, ..ridge };
            reset(wide, order * order, SCRATCH)?;
            reset(wide_side, order, SCRATCH)?;
            totals.lay_out(rank, stride, ridge, line.values.len(), wide, wide_side);
            solve_systems(order, wide, wide_side, &mut sound);
            if !sound[0] {
                return Err(Error::Internal("normal equations with a ridge have no solution".into()));
            }
            side.iter_mut().zip(&*wide_side).for_each(|(x, wide)| *x = T::from_f64(*wide));
        }
        x[..rank].copy_from_slice(&side[..rank]);
        *bias = if order > rank { side[rank] } else { T::default() };
        wide_x[..rank].iter_mut().zip(&*x).for_each(|(wide, x)| *wide = x.to_f64());
        Ok(totals.objective(rank, stride, ridge, line.values.len(), &wide_x[..rank], bias.to_f64()))
    }

    fn dual(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        x: &mut [T],
        bias: &mut T,
    ) -> Result<f64> {
        let Self { worker: Worker { tile, targets, products, .. }, wide, wide_side, .. } = self;
        let (n, stride) = (line.values.len(), fixed.factor.stride);
        let (tile, targets, multipliers) = (&mut tile[..n * stride], &mut targets[..n], &mut products[..n]);
        fixed.gather(line.indices, tile);
        fixed.targets(line, 0..n, targets);
        reset(wide, n * n, SCRATCH)?;
        row_gram(&collected(tile.chunks_exact(stride), SCRATCH)?, wide);
        let constant = ridge.bias.map_or(0.0, |penalty| 1.0 / penalty);
        for (k, entry) in wide.iter_mut().enumerate() {
            *entry = *entry / ridge.factor + constant + if k % (n + 1) == 0 { 1.0 } else { 0.0 };
        }
        reset(wide_side, n, SCRATCH)?;
        wide_side.iter_mut().zip(&*targets).for_each(|(side, t)| *side = t.to_f64());
        let mut sound = [false];
        solve_systems(n, wide, wide_side, &mut sound);
        if !sound[0] {
            return self.primal(fixed, line, ridge, (x, bias), None);
        }
        for (out, multiplier) in multipliers.iter_mut().zip(&*wide_side) {
            *out = T::from_f64(multiplier / ridge.factor);
        }
        x.fill(T::default());
        combine(tile, stride, multipliers, x);
        *bias = T::from_f64(wide_side.iter().sum::<f64>() * constant);
        Ok(dot(targets, wide_side))
    }

    fn iterate(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        (steps, tolerance, spectrum): (usize, f64, Option<&[f64]>),
        (x_out, bias): (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, ones, x, r, p, q, single, .. } = self;
        let n = line.values.len();
        let (l, share) = (ridge.factor, ridge.bias.map_or(0.0, |penalty| 1.0 / (n as f64 + penalty)));
        let kept = spread.is_none() && n * fixed.factor.stride <= KEPT;
        sum_up(worker, totals, fixed, line, Sums::Residual(x_out), kept.then_some(false), spread)?;
        ones.copy_from_slice(&totals.plain);
        x.iter_mut().zip(&*x_out).for_each(|(x, out)| *x = out.to_f64());
        let mut error = totals.total;
        let mut value = totals.squares - share * error * error + l * norm_sq(x);
        r.copy_from_slice(&totals.weighted);
        axpy(-share * error, ones, r);
        axpy(-l, x, r);
        let precondition = |r: &[f64], z: &mut [f64]| match spectrum {
            None => z.copy_from_slice(r),
            Some(spectrum) => {
                for ((z, r), eigenvalue) in z.iter_mut().zip(r).zip(spectrum) {
                    *z = r / (n as f64 * eigenvalue + l);
                }
            }
        };
        precondition(r, p);
        let mut size = dot(r, p);
        let enough = tolerance * tolerance * size;
        for _ in 0..steps {
            if !(size > enough && size > f64::MIN_POSITIVE) {
                break;
            }
            single.iter_mut().zip(&*p).for_each(|(single, p)| *single = T::from_f64(*p));
            sum_up(worker, totals, fixed, line, Sums::Product(single), kept.then_some(true), spread)?;
            q.copy_from_slice(&totals.weighted);
            axpy(-share * totals.total, ones, q);
            axpy(l, p, q);
            let curvature = dot(p, q);
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            let step = size / curvature;
            axpy(step, p, x);
            axpy(-step, q, r);
            error -= step * totals.total;
            value -= step * size;
            precondition(r, q);
            let next = dot(r, q);
            let turn = next / size;
            p.iter_mut().zip(&*q).for_each(|(p, z)| *p = *z + turn * *p);
            size = next;
        }
        x_out.iter_mut().zip(&*x).for_each(|(out, x)| *out = T::from_f64(*x));
        *bias = T::from_f64(share * error);
        Ok(value)
    }
}

/// The sums over a line, block by block. Of rows that are `kept` it is said whether they have been gathered already.
fn sum_up<T: Scalar>(
    worker: &mut Worker<T>,
    totals: &mut Totals,
    fixed: &Fixed<'_, T>,
    line: &Line<'_, T>,
    sums: Sums<'_, T>,
    kept: Option<bool>,
    spread: Option<&Context>,
) -> Result<()> {
    let (n, with_gram) = (line.values.len(), matches!(sums, Sums::Normal));
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
    use crate::simd::testing::on_every_path;
    use proptest::prelude::*;

    fn number(k: usize, j: usize) -> f64 {
        ((13 * k * k + 7 * j * j + 5 * k * j + 3) as f64 * 0.37).sin()
    }

    /// A factor of 40 rows, with biases, and a line of n entries.
    fn instance<T: Scalar>(n: usize, rank: usize) -> (Factor<T>, Vec<i32>, Vec<T>) {
        let mut factor = Factor::zeros(40, rank).unwrap();
        let stride = factor.stride;
        for k in 0..40 {
            for j in 0..rank {
                // Columns far from zero and of different sizes, as those of a real factor may be.
                factor.rows[k * stride + j] = T::from_f64((0.3 + number(k, j)) * 0.5f64.powi(j as i32 % 4));
            }
            factor.bias[k] = T::from_f64(number(k, 77));
        }
        let indices = (0..n).map(|k| (k * k + 3 * k) as i32 % 40).collect();
        (factor, indices, (0..n).map(|k| T::from_f64(number(k, 99))).collect())
    }

    /// x, bias and objective, and the gradient of the objective there, by plain loops.
    fn solved<T: Scalar>(
        (n, rank): (usize, usize),
        ridge: Ridge,
        way: Way<'_>,
        threads: Option<usize>,
    ) -> (Vec<f64>, f64, f64, f64) {
        let (factor, indices, values) = instance::<T>(n, rank);
        let fixed = Fixed::new(&factor, ridge.bias.is_some()).unwrap();
        let line = Line { indices: Indices::I32(&indices), values: &values };
        let mut solver = Solver::new(rank, factor.stride).unwrap();
        let (mut x, mut bias) = (vec![T::default(); factor.stride], T::default());
        let context = threads.map(Context::new);
        let value = solver.solve(&fixed, &line, ridge, way, (&mut x, &mut bias), context.as_ref()).unwrap();
        let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
        let bias = bias.to_f64();
        assert!(x[rank..].iter().all(|&x| x == 0.0));
        let mut gradient: Vec<f64> = x.iter().map(|x| ridge.factor * x).collect();
        let (mut of_bias, mut expected) = (ridge.bias.unwrap_or(0.0) * bias, 0.0);
        for (k, value) in indices.iter().zip(&values) {
            let row: Vec<f64> = factor.row(*k as usize).iter().map(|y| y.to_f64()).collect();
            let other = if ridge.bias.is_some() { factor.bias[*k as usize].to_f64() } else { 0.0 };
            let product: f64 = row.iter().zip(&x).map(|(y, x)| y * x).sum();
            let error = value.to_f64() - other - bias - product;
            gradient.iter_mut().zip(&row).for_each(|(g, y)| *g -= error * y);
            of_bias -= error;
            expected += error * error;
        }
        expected += ridge.factor * x.iter().map(|x| x * x).sum::<f64>();
        expected += ridge.bias.unwrap_or(0.0) * bias * bias;
        assert!((value - expected).abs() <= 1e-2 * T::UNIT_ROUNDOFF.sqrt() * n as f64, "{value} {expected}");
        let slope = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let slope = if ridge.bias.is_some() { slope.max(of_bias.abs()) } else { slope };
        (x, bias, value, slope)
    }

    const PATIENT: Way<'_> = Way::Iterated { steps: 2000, tolerance: 1e-14, spectrum: None };

    proptest! {
        #[test]
        fn every_way_ends_where_the_gradient_vanishes(
            n in 1usize..80, rank in 1usize..40, exponent in -3i32..2, with_bias: bool
        ) {
            let ridge = Ridge { factor: 10f64.powi(exponent), bias: with_bias.then_some(0.5) };
            let (x, ..) = {
                let (x, bias, value, slope) = solved::<f64>((n, rank), ridge, Way::Exact, None);
                prop_assert!(slope < 1e-11 * n as f64, "exact: {slope:e}");
                let (y, other, worth, slope) = solved::<f64>((n, rank), ridge, PATIENT, None);
                prop_assert!(slope < 1e-9 * n as f64, "iterated: {slope:e}");
                let far = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold((bias - other).abs(), f64::max);
                prop_assert!(far < 1e-8 / ridge.factor.min(1.0), "{far:e}");
                prop_assert!((value - worth).abs() < 1e-9 * n as f64);
                (x, bias)
            };
            prop_assert!(x.iter().all(|x| x.is_finite()));
            let (single, .., slope) = solved::<f32>((n, rank), ridge, Way::Exact, None);
            let largest = single.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            // Backward stable: as small as rounding of the matrix times a solution that may be large.
            prop_assert!(slope < 1e-3 * n as f64 * (1.0 + largest), "single: {slope:e}");
        }
    }

    #[test]
    fn no_step_makes_the_objective_larger() {
        let ridge = Ridge { factor: 0.01, bias: Some(0.5) };
        let values = [1, 2, 3, 5, 9].map(|steps| {
            let way = Way::Iterated { steps, tolerance: 0.0, spectrum: None };
            solved::<f64>((70, 12), ridge, way, None).2
        });
        assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
    }

    #[test]
    fn a_heavy_line_has_the_same_bits_on_any_number_of_threads_and_path() {
        let ridge = Ridge { factor: 0.1, bias: Some(0.5) };
        let iterated = Way::Iterated { steps: 3, tolerance: 0.0, spectrum: None };
        for n in [1023, 1024, 1025, 4097, 9000] {
            for way in [Way::Exact, iterated] {
                let alone = on_every_path(|| solved::<f32>((n, 20), ridge, way, None));
                assert!(alone.iter().all(|other| *other == alone[0]));
                for threads in [1, 2, 3] {
                    assert_eq!(solved::<f32>((n, 20), ridge, way, Some(threads)), alone[0], "{n}");
                }
            }
        }
    }

    #[test]
    fn without_a_penalty_and_with_too_few_entries_the_answer_is_finite() {
        for n in [1, 3, 11, 30] {
            let (x, .., value, _) =
                solved::<f32>((n, 12), Ridge { factor: 0.0, bias: None }, Way::Exact, None);
            assert!(x.iter().all(|x| x.is_finite()) && value.is_finite());
        }
    }
}
