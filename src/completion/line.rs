//! The ridge regression of one line of observations on the rows of the fixed factor that it names.
//!
//! minimise |v - c - b 1 - Y x|² + l |x|² + l_b b², where Y are the n rows, v the values, c the biases that the other side
//! has, and b the bias of the line itself, if it has one. Four ways:
//!
//! | way | what | flops |
//! |---|---|---|
//! | primal | Cholesky of the normal equations, of order k | n k² + k³/3 |
//! | dual | Cholesky of Y Y' / l + 1 1' / l_b + I, of order n, for l > 0 | n² k + n³/3 |
//! | not below zero | coordinates that are zero by descent, the others by Cholesky | n k² + k³ and more |
//! | conjugate gradients | from the former x, b eliminated; no step makes the objective larger | 4 n k a step |
//!
//! Small normal equations wait until there are as many as a register has lanes, and are then solved side by side. Those
//! whose pivots are lost in rounding are made and solved again in double precision: see `wide`.

use super::kernels::combine;
use super::nonnegative::NonNegative;
use super::sketched::{solve, triangle};
use super::sums::{BLOCK, Fixed, KEPT, Line, Part, Ridge, SCRATCH, Sums, Worker, sum_up};
use super::wide::{least_penalty, solve_wide};
use crate::error::Result;
use crate::linalg::{Scalar, Systems, solve_systems};
use crate::matrix::Buffer;
use crate::memory::{collected, push, reset, room_for, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, dot, norm_sq, row_gram};

/// How a line is solved.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// By Cholesky's factorisation, primal or dual, whichever is the smaller.
    Exact,
    /// As no number of x but the bias is below zero: see `nonnegative`.
    NonNegative,
    /// By conjugate gradients.
    Iterated {
        /// At most so many steps.
        steps: usize,
        /// Until the preconditioned residual is so much smaller.
        tolerance: f64,
        /// Eigenvalues of the Gram matrix that all lines share, over its rows, if the factor is rotated to its eigenvectors.
        spectrum: Option<&'a [f64]>,
        /// Whether the line is preconditioned by a sketch of its own.
        sketched: bool,
    },
}

/// What rounding may take of a dual solution.
const LOST: f64 = 1e-6;
/// Growth of multipliers beyond which sums of rows are made in double precision.
const GROWTH: f64 = 1e-3;

/// A line whose normal equations wait to be solved.
struct Waiting<'l, T> {
    number: usize,
    line: Line<'l, T>,
    ridge: Ridge,
    part: Part<T>,
}

/// Memory in which lines are solved one after the other.
pub struct Solver<'l, T> {
    worker: Worker<T>,
    totals: Part<f64>,
    /// Where the order is small.
    systems: Option<Systems<T>>,
    waiting: Vec<Waiting<'l, T>>,
    /// Parts that nobody waits in.
    free: Vec<Part<T>>,
    system: Vec<T>,
    side: Vec<T>,
    wide: Vec<f64>,
    wide_side: Vec<f64>,
    nonnegative: NonNegative,
    ones: Vec<f64>,
    x: Vec<f64>,
    r: Vec<f64>,
    p: Vec<f64>,
    q: Vec<f64>,
    scales: Vec<f64>,
    single: Buffer<T>,
}

impl<'l, T: Scalar> Solver<'l, T> {
    /// For a factor of that shape.
    pub fn new(fixed: &Fixed<'_, T>) -> Result<Self> {
        let (rank, stride, order) = (fixed.factor.rank, fixed.factor.stride, fixed.order());
        let vector = || zeros(stride, SCRATCH);
        let small = order <= Systems::<T>::LARGEST;
        let large = if small { 0 } else { order };
        Ok(Self {
            worker: Worker::new(rank, stride, true)?,
            totals: Part::new(rank, stride)?,
            systems: if small { Some(Systems::new(order)?) } else { None },
            waiting: room_for(Systems::<T>::LANES, SCRATCH)?,
            free: room_for(Systems::<T>::LANES, SCRATCH)?,
            system: zeros(large * large, SCRATCH)?,
            side: zeros(order, SCRATCH)?,
            wide: Vec::new(),
            wide_side: Vec::new(),
            nonnegative: NonNegative::default(),
            ones: vector()?,
            x: vector()?,
            r: vector()?,
            p: vector()?,
            q: vector()?,
            scales: vector()?,
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
        if line.count() == 0 {
            x.fill(T::default());
            *bias = T::default();
            return Ok(0.0);
        }
        match (way, is_dual(fixed, line, ridge)) {
            (Way::NonNegative, _) => self.nonnegative(fixed, line, ridge, (x, bias), spread),
            (_, true) => self.dual(fixed, line, ridge, x, bias),
            (Way::Iterated { steps, tolerance, spectrum, sketched }, _)
                if line.count() >= fixed.factor.rank =>
            {
                self.iterate(fixed, line, ridge, (steps, tolerance, spectrum, sketched), (x, bias), spread)
            }
            _ => self.primal(fixed, line, ridge, (x, bias), spread),
        }
    }

    /// Whether a line may wait for others.
    pub fn may_wait(&self, fixed: &Fixed<'_, T>, line: &Line<'_, T>, ridge: Ridge, way: Way<'_>) -> bool {
        let whole = (1..=BLOCK).contains(&line.count());
        whole && self.systems.is_some() && matches!(way, Way::Exact) && !is_dual(fixed, line, ridge)
    }

    /// Has a line that may wait do so; true if no other can.
    pub fn wait(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'l, T>,
        ridge: Ridge,
        number: usize,
    ) -> Result<bool> {
        let rank = fixed.factor.rank;
        let new = || Part::new(rank, fixed.factor.stride);
        let free = self.free.pop().map_or_else(new, Ok)?;
        self.worker.sum_up(fixed, line, 0..line.count(), Sums::Normal, None);
        let part = std::mem::replace(&mut self.worker.part, free);
        push(&mut self.waiting, Waiting { number, line: *line, ridge, part }, SCRATCH)?;
        Ok(self.waiting.len() == Systems::<T>::LANES)
    }

    /// Solves the lines that have waited, whose numbers count rows and biases; the objective there.
    pub fn settle(&mut self, fixed: &Fixed<'_, T>, rows: &mut [T], biases: &mut [T]) -> Result<f64> {
        let Self { waiting, free, systems, side, x: wide_x, .. } = self;
        let (Some(systems), false) = (systems, waiting.is_empty()) else { return Ok(0.0) };
        let rank = fixed.factor.rank;
        for (lane, Waiting { line, ridge, part, .. }) in waiting.iter().enumerate() {
            part.put(systems, lane, rank, *ridge, line.weight());
        }
        systems.solve();
        let mut value = 0.0;
        for (lane, Waiting { number, line, ridge, part }) in waiting.drain(..).enumerate() {
            let x = &mut rows[number * wide_x.len()..][..wide_x.len()];
            let solution = (x, &mut biases[number]);
            value += if is_resolved::<T>(systems.quality(lane)) {
                side.iter_mut().enumerate().for_each(|(j, side)| *side = systems.solution(lane, j));
                finish(&part, (rank, ridge, line.weight()), side, solution, wide_x)
            } else {
                solve_wide(fixed, &line, ridge, solution, None)?
            };
            push(free, part, SCRATCH)?;
        }
        Ok(value)
    }

    fn primal(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        solution: (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, systems, system, side, x: wide_x, .. } = self;
        sum_up(worker, totals, fixed, line, Sums::Normal, None, spread)?;
        let (rank, order, weight) = (fixed.factor.rank, fixed.order(), line.weight());
        let quality = if let Some(systems) = systems {
            totals.put(systems, 0, rank, ridge, weight);
            systems.solve();
            side.iter_mut().enumerate().for_each(|(j, side)| *side = systems.solution(0, j));
            systems.quality(0)
        } else {
            totals.lay_out(rank, ridge, weight, system, side);
            let mut sound = [false];
            solve_systems(order, system, side, &mut sound);
            let pivots = (0..order).map(|i| system[i * order + i].to_f64().powi(2));
            let (least, most) =
                pivots.fold((f64::INFINITY, 0.0f64), |(a, b), pivot| (a.min(pivot), b.max(pivot)));
            if sound[0] { least / most } else { 0.0 }
        };
        if !is_resolved::<T>(quality) {
            return solve_wide(fixed, line, ridge, solution, spread);
        }
        Ok(finish(totals, (rank, ridge, weight), side, solution, wide_x))
    }

    fn nonnegative(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        (x, bias): (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, side, nonnegative: problem, x: wide_x, .. } = self;
        sum_up(worker, totals, fixed, line, Sums::Normal, None, spread)?;
        let (rank, order, weight) = (fixed.factor.rank, fixed.order(), line.weight());
        problem.prepare(order)?;
        totals.lay_out(rank, ridge, weight, &mut problem.matrix, &mut problem.side);
        for j in 0..order {
            (j + 1..order).for_each(|i| problem.matrix[i * order + j] = problem.matrix[j * order + i]);
        }
        let before = x[..rank].iter().chain(std::iter::once(&*bias));
        problem.x.iter_mut().zip(before).for_each(|(wide, x)| *wide = x.to_f64());
        problem.solve(rank)?;
        side.iter_mut().zip(&problem.x).for_each(|(side, x)| *side = T::from_f64(*x));
        Ok(finish(totals, (rank, ridge, weight), side, (x, bias), wide_x))
    }

    fn dual(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        x: &mut [T],
        bias: &mut T,
    ) -> Result<f64> {
        let Self { worker: Worker { tile, targets, products, .. }, wide, wide_side, x: wide_x, .. } = self;
        let (n, stride) = (line.count(), fixed.factor.stride);
        let (tile, targets, multipliers) = (&mut tile[..n * stride], &mut targets[..n], &mut products[..n]);
        fixed.gather(line, 0..n, tile);
        fixed.targets(line, 0..n, targets);
        reset(wide, n * n, SCRATCH)?;
        row_gram(&collected(tile.chunks_exact(stride), SCRATCH)?, wide);
        let squares: f64 = wide.iter().step_by(n + 1).sum();
        let l = ridge.factor.max(least_penalty::<T>(n, fixed.order(), squares));
        if f64::EPSILON * squares > LOST * l {
            return self.primal(fixed, line, ridge, (x, bias), None);
        }
        let constant = ridge.bias.map_or(0.0, |penalty| 1.0 / penalty);
        let ones = fixed.constant(line, 0..n);
        for (k, entry) in wide.iter_mut().enumerate() {
            let (i, j) = (k / n, k % n);
            let of_bias = constant * ones[i].to_f64() * ones[j].to_f64();
            *entry = *entry / l + of_bias + if i == j { 1.0 } else { 0.0 };
        }
        reset(wide_side, n, SCRATCH)?;
        wide_side.iter_mut().zip(&*targets).for_each(|(side, t)| *side = t.to_f64());
        let mut sound = [false];
        solve_systems(n, wide, wide_side, &mut sound);
        if !sound[0] {
            return self.primal(fixed, line, ridge, (x, bias), None);
        }
        x.fill(T::default());
        let growth = squares / l * (norm_sq(wide_side) / norm_sq(targets)).sqrt();
        if T::UNIT_ROUNDOFF * growth > GROWTH {
            // They cancel each other, as those of entries for one place do.
            wide_x.fill(0.0);
            for (row, multiplier) in tile.chunks_exact(stride).zip(&*wide_side) {
                axpy(multiplier / l, row, wide_x);
            }
            x.iter_mut().zip(&*wide_x).for_each(|(x, wide)| *x = T::from_f64(*wide));
        } else {
            for (out, multiplier) in multipliers.iter_mut().zip(&*wide_side) {
                *out = T::from_f64(multiplier / l);
            }
            combine(tile, stride, multipliers, x);
        }
        *bias = T::from_f64(dot(ones, wide_side) * constant);
        Ok(dot(targets, wide_side) - (l - ridge.factor) * norm_sq(x))
    }

    fn iterate(
        &mut self,
        fixed: &Fixed<'_, T>,
        line: &Line<'_, T>,
        ridge: Ridge,
        (steps, tolerance, spectrum, sketched): (usize, f64, Option<&[f64]>, bool),
        (x_out, bias): (&mut [T], &mut T),
        spread: Option<&Context>,
    ) -> Result<f64> {
        let Self { worker, totals, ones, x, r, p, q, scales, single, .. } = self;
        let (l, weight) = (ridge.factor, line.weight());
        let share = ridge.bias.map_or(0.0, |penalty| 1.0 / (weight + penalty));
        let kept = spread.is_none() && line.count() * fixed.factor.stride <= KEPT;
        sum_up(worker, totals, fixed, line, Sums::Residual(x_out), kept.then_some(false), spread)?;
        ones.copy_from_slice(&totals.plain);
        x.iter_mut().zip(&*x_out).for_each(|(x, out)| *x = out.to_f64());
        let mut error = totals.total;
        let mut value = totals.squares - share * error * error + l * norm_sq(x);
        r.copy_from_slice(&totals.weighted);
        axpy(-share * error, ones, r);
        axpy(-l, x, r);
        if let Some(spectrum) = spectrum {
            let inverse = |eigenvalue: &f64| 1.0 / (weight * eigenvalue + l);
            scales.iter_mut().zip(spectrum).for_each(|(scale, value)| *scale = inverse(value));
        }
        let own = match sketched {
            true => triangle(fixed.factor, line.indices, (l, ridge.bias))?,
            false => None,
        };
        let precondition = |r: &[f64], z: &mut [f64]| match (spectrum, &own) {
            (None, None) => z.copy_from_slice(r),
            (None, Some(own)) => solve(own, r, z),
            (Some(_), _) => z.iter_mut().zip(r).zip(&*scales).for_each(|((z, r), scale)| *z = r * scale),
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

/// Whether a line is solved by a system of the order of its entries, which are few.
fn is_dual<T: Scalar>(fixed: &Fixed<'_, T>, line: &Line<'_, T>, ridge: Ridge) -> bool {
    let penalised = ridge.factor > 0.0 && ridge.bias.is_none_or(|bias| bias > 0.0);
    let n = line.count();
    penalised && 4 * n <= 3 * fixed.factor.rank && n * fixed.factor.stride <= KEPT
}

/// Whether a solution whose least pivot is so much of the largest is one to working precision.
fn is_resolved<T: Scalar>(quality: f64) -> bool {
    quality >= 16.0 * T::UNIT_ROUNDOFF
}

/// Hands the solution of normal equations of that rank, with these penalties and that weight, out; the objective there.
fn finish<N: Scalar, T: Scalar>(
    part: &Part<N>,
    (rank, ridge, weight): (usize, Ridge, f64),
    side: &[T],
    (x, bias): (&mut [T], &mut T),
    wide: &mut [f64],
) -> f64 {
    x[..rank].copy_from_slice(&side[..rank]);
    *bias = side.get(rank).copied().unwrap_or_default();
    wide.iter_mut().zip(&*x).for_each(|(wide, x)| *wide = x.to_f64());
    part.objective(rank, ridge, weight, wide, bias.to_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::factors::Factor;
    use crate::matrix::Indices;
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
        let line = Line { indices: Indices::I32(&indices), values: &values, roots: None };
        let mut solver = Solver::new(&fixed).unwrap();
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

    const PATIENT: Way<'_> = Way::Iterated { steps: 2000, tolerance: 1e-14, spectrum: None, sketched: false };

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

    proptest! {
        #[test]
        fn an_entry_with_a_weight_is_that_many_entries(
            n in 1usize..40, rank in 1usize..30, with_bias: bool, exact: bool
        ) {
            let (factor, indices, values) = instance::<f64>(n, rank);
            let ridge = Ridge { factor: 0.3, bias: with_bias.then_some(0.5) };
            let fixed = Fixed::new(&factor, with_bias).unwrap();
            let mut solver = Solver::new(&fixed).unwrap();
            let mut solve = |indices: &[i32], values: &[f64], roots: Option<&[f64]>| {
                let line = Line { indices: Indices::I32(indices), values, roots };
                let (mut x, mut bias) = (vec![0.0; factor.stride], 0.0);
                let way = if exact { Way::Exact } else { PATIENT };
                let value = solver.solve(&fixed, &line, ridge, way, (&mut x, &mut bias), None).unwrap();
                x.extend([bias, value]);
                x
            };
            let weights: Vec<usize> = (0..n).map(|k| k % 3 + 1).collect();
            let roots: Vec<f64> = weights.iter().map(|&weight| (weight as f64).sqrt()).collect();
            let often: Vec<usize> = (0..n).flat_map(|k| vec![k; weights[k]]).collect();
            let found = solve(&indices, &values, Some(&roots));
            let many: Vec<i32> = often.iter().map(|&k| indices[k]).collect();
            let expected = solve(&many, &often.iter().map(|&k| values[k]).collect::<Vec<_>>(), None);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_below_zero_is_no_worse_than_other_such_and_exact_where_it_may_be() {
        for (n, rank, bias) in [(1, 4, None), (40, 6, Some(0.5)), (70, 20, None), (9, 17, Some(1.0))] {
            let ridge = Ridge { factor: 0.1, bias };
            let (x, _, value, _) = solved::<f64>((n, rank), ridge, Way::NonNegative, Some(2));
            let (free, _, least, _) = solved::<f64>((n, rank), ridge, Way::Exact, None);
            assert!(x.iter().all(|&x| x >= 0.0) && value >= least - 1e-9);
            assert!(free.iter().any(|&x| x < 0.0) && x.iter().any(|&x| x > 0.0));
            let single = solved::<f32>((n, rank), ridge, Way::NonNegative, None).2;
            assert!((single - value).abs() < 1e-3 * n as f64);
        }
    }

    #[test]
    fn lines_that_wait_are_solved_as_alone() {
        let ridge = Ridge { factor: 0.1, bias: Some(0.5) };
        let rank = 5;
        let (factor, indices, values) = instance::<f32>(90, rank);
        let fixed = Fixed::new(&factor, true).unwrap();
        let (mut solver, mut alone) = (Solver::new(&fixed).unwrap(), Solver::new(&fixed).unwrap());
        let stride = factor.stride;
        let line = |n: usize| Line {
            indices: Indices::I32(&indices[n / 2..n]),
            values: &values[n / 2..n],
            roots: None,
        };
        let (mut rows, mut biases) = (vec![0.0; 40 * stride], vec![0.0; 40]);
        let (mut value, mut expected) = (0.0, 0.0);
        for number in 0..40 {
            let line = line(20 + number);
            assert!(solver.may_wait(&fixed, &line, ridge, Way::Exact));
            if solver.wait(&fixed, &line, ridge, number).unwrap() {
                value += solver.settle(&fixed, &mut rows, &mut biases).unwrap();
            }
        }
        value += solver.settle(&fixed, &mut rows, &mut biases).unwrap();
        assert_eq!(solver.settle(&fixed, &mut rows, &mut biases).unwrap(), 0.0);
        for number in 0..40 {
            let (mut x, mut bias) = (vec![0.0; stride], 0.0);
            let solution = (&mut x[..], &mut bias);
            expected += alone.solve(&fixed, &line(20 + number), ridge, Way::Exact, solution, None).unwrap();
            assert_eq!((&rows[number * stride..][..stride], biases[number]), (&x[..], bias));
        }
        assert!((value - expected).abs() < 1e-6 * expected);
        assert!(!solver.may_wait(&fixed, &line(3), ridge, Way::Exact));
        assert!(!solver.may_wait(&fixed, &line(40), ridge, PATIENT));
    }

    #[test]
    fn no_step_makes_the_objective_larger() {
        let ridge = Ridge { factor: 0.01, bias: Some(0.5) };
        let values = [1, 2, 3, 5, 9].map(|steps| {
            let way = Way::Iterated { steps, tolerance: 0.0, spectrum: None, sketched: false };
            solved::<f64>((70, 12), ridge, way, None).2
        });
        assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
    }

    #[test]
    fn a_heavy_line_has_the_same_bits_on_any_number_of_threads_and_path() {
        let ridge = Ridge { factor: 0.1, bias: Some(0.5) };
        let iterated = Way::Iterated { steps: 3, tolerance: 0.0, spectrum: None, sketched: false };
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
    fn penalties_that_single_precision_does_not_resolve_find_the_least_all_the_same() {
        // Most entries are for places that others are for too.
        for (n, rank) in [(12, 30), (60, 30), (35, 38), (200, 12)] {
            for exponent in [-14, -12, -10, -9, -8, -6, -4] {
                for bias in [None, Some(0.5)] {
                    let ridge = Ridge { factor: 10f64.powi(exponent), bias };
                    let (x, _, value, _) = solved::<f32>((n, rank), ridge, Way::Exact, None);
                    let least = solved::<f64>((n, rank), ridge, Way::Exact, None).2;
                    assert!(value < least + 1e-3 * n as f64, "{n} {rank} {exponent}: {value} {least}");
                    assert!(x.iter().all(|x| x.abs() < 1e4));
                }
            }
        }
    }

    #[test]
    fn rows_whose_squares_are_out_of_range_have_a_solution() {
        let ridge = Ridge { factor: 0.0, bias: Some(0.5) };
        for size in [1e-30, 1e-38, 1e30] {
            let mut factor = Factor::<f32>::zeros(3, 1).unwrap();
            (0..3).for_each(|k| factor.rows[k * factor.stride] = size);
            let fixed = Fixed::new(&factor, true).unwrap();
            let line = Line { indices: Indices::I32(&[1]), values: &[1.0], roots: None };
            let (mut x, mut bias) = (vec![0.0; factor.stride], 0.0);
            let mut solver = Solver::new(&fixed).unwrap();
            let value = solver.solve(&fixed, &line, ridge, Way::Exact, (&mut x, &mut bias), None).unwrap();
            assert!(value.is_finite() && (x[0] * size + bias - 1.0).abs() < 0.7, "{size:e}: {value}");
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
