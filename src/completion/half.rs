//! Half a sweep: one factor is solved for, line by line, while the other one is fixed.
//!
//! Preconditioner: all lines of a side regress on rows of one factor Y of N rows, so that Y_i'Y_i of a line with n rows is
//! about n Y'Y / N, from a sample. In the basis of the eigenvectors of Y'Y / N (less the mean where lines have biases) that
//! is a diagonal matrix; both factors are rotated to it, which changes no product of theirs and no norm. It takes the place
//! of one sketch a line (Gu, Song, Yin and Zhang, ICLR 2024): the observed rows are the sketch.

use super::factors::Factor;
use super::kernels::{add_gram, combine};
use super::line::{Solver, Way};
use super::observations::{Lines, Part};
use super::sums::{BLOCK, Fixed, Line, Ridge};
use crate::error::Result;
use crate::linalg::{Scalar, eigh};
use crate::matrix::{Buffer, Mat, blocks_by_cost};
use crate::memory::{extend, filled, gathered, zeros};
use crate::parallel::Context;
use std::convert::identity;

/// Entries of a line that is spread over threads.
pub const HEAVY: usize = 32 * BLOCK;
/// Entries of a block of lines, about.
const COST: usize = 1 << 13;
/// Condition of an average line from which on the preconditioner pays.
const CONDITION: f64 = 25.0;
/// What memory is for.
const SWEEP: &str = "half a sweep";

/// Penalties by the number of entries of a line.
#[derive(Clone, Copy, Debug)]
pub struct Penalty {
    /// Of factors, for one entry.
    pub factor: f64,
    /// Of biases, for one entry, if there are any.
    pub bias: Option<f64>,
    /// Of the number of entries.
    pub exponent: f64,
}

impl Penalty {
    /// The penalties of a line with n entries.
    pub fn of(&self, n: f64) -> Ridge {
        let power = match self.exponent {
            0.0 => 1.0,
            0.5 => n.sqrt(),
            1.0 => n,
            exponent => n.powf(exponent),
        };
        Ridge { factor: self.factor * power, bias: self.bias.map(|bias| bias * power) }
    }
}

/// When lines that are iterated on are preconditioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// Where an average line is ill-conditioned.
    Auto,
    /// Never.
    None,
    /// Always.
    Gram,
    /// By a sketch of each line, see `sketched`.
    Sketch,
}

/// How lines are solved.
#[derive(Clone, Copy, Debug)]
pub enum Method {
    /// Exactly.
    Exact,
    /// Without numbers below zero in the factor.
    NonNegative,
    /// By conjugate gradients, from what was there before.
    Iterated {
        /// At most so many steps.
        steps: usize,
        /// Until the residual is so much smaller.
        tolerance: f64,
        /// Preconditioned or not.
        preconditioner: Preconditioner,
    },
}

/// Solves for `x`, while `y`, which is rotated with it at most, is fixed; the objective of all lines, penalties of x
/// included.
pub fn half_sweep<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    (x, y): (&mut Factor<T>, &mut Factor<T>),
    penalty: Penalty,
    method: Method,
) -> Result<f64> {
    let spectrum = match method {
        Method::Iterated { preconditioner: kind @ (Preconditioner::Auto | Preconditioner::Gram), .. } => {
            rotated(context, lines, (x, y), penalty, kind)?
        }
        _ => None,
    };
    let way = match method {
        Method::Exact => Way::Exact,
        Method::NonNegative => Way::NonNegative,
        Method::Iterated { steps, tolerance, preconditioner } => {
            let sketched = preconditioner == Preconditioner::Sketch;
            Way::Iterated { steps, tolerance, spectrum: spectrum.as_deref(), sketched }
        }
    };
    let fixed = Fixed::new(y, penalty.bias.is_some())?;
    let half = Half { lines, part, fixed, penalty, way, wanted: None };
    Ok(half.light(context, x)? + half.heavy(context, x)?)
}

/// Solves for the lines of `x` that are `wanted`, exactly or as no number is below zero.
pub fn solve_lines<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    (x, y): (&mut Factor<T>, &Factor<T>),
    penalty: Penalty,
    method: Method,
    wanted: &[bool],
) -> Result<()> {
    let way = if matches!(method, Method::NonNegative) { Way::NonNegative } else { Way::Exact };
    let (fixed, wanted) = (Fixed::new(y, penalty.bias.is_some())?, Some(wanted));
    let half = Half { lines, part: Part::All, fixed, penalty, way, wanted };
    half.light(context, x)?;
    half.heavy(context, x).map(drop)
}

struct Half<'a, T> {
    lines: &'a Lines<T>,
    part: Part,
    fixed: Fixed<'a, T>,
    penalty: Penalty,
    way: Way<'a>,
    /// The lines that are solved, if these are not all.
    wanted: Option<&'a [bool]>,
}

impl<T: Scalar> Half<'_, T> {
    /// The observations of a line, and its penalties.
    fn line(&self, line: usize) -> (Line<'_, T>, Ridge) {
        let ridge = self.penalty.of(self.lines.degree(line, self.part));
        let (matrix, at) = (self.lines.matrix(), self.lines.line(line, self.part));
        let (indices, values) = (matrix.indices().part(at.clone()), &matrix.values()[at.clone()]);
        (Line { indices, values, roots: self.lines.roots(at) }, ridge)
    }

    /// Whether a line is to be solved on all threads, or alone.
    fn is_wanted(&self, line: usize, heavy: bool) -> bool {
        let wanted = self.wanted.is_none_or(|wanted| wanted[line]);
        wanted && (self.lines.line(line, self.part).len() >= HEAVY) == heavy
    }

    /// Solves all lines but the heavy ones, many at a time.
    fn light(&self, context: &Context, x: &mut Factor<T>) -> Result<f64> {
        let blocks = blocks_by_cost(self.lines.matrix().ends(), COST)?;
        let (mut rows, mut biases, stride) = (&mut *x.rows, x.bias.as_mut_slice(), x.stride);
        let parts = blocks.iter().map(|block| {
            let of_rows = rows.split_off_mut(..block.len() * stride).unwrap_or_default();
            (of_rows, biases.split_off_mut(..block.len()).unwrap_or_default())
        });
        let work = |kept: &mut Option<_>, block: usize, (rows, biases): (&mut [T], &mut [T])| {
            let mut solver = kept.take().map_or_else(|| Solver::new(&self.fixed), Ok)?;
            let mut value = 0.0;
            for (number, line) in
                blocks[block].clone().enumerate().filter(|&(_, line)| self.is_wanted(line, false))
            {
                let (line, ridge) = self.line(line);
                if !solver.may_wait(&self.fixed, &line, ridge, self.way) {
                    let solution = (&mut rows[number * stride..][..stride], &mut biases[number]);
                    value += solver.solve(&self.fixed, &line, ridge, self.way, solution, None)?;
                } else if solver.wait(&self.fixed, &line, ridge, number)? {
                    value += solver.settle(&self.fixed, rows, biases)?;
                }
            }
            value += solver.settle(&self.fixed, rows, biases)?;
            *kept = Some(solver);
            Ok(value)
        };
        let values = context.map_parts(parts, || None, work)?;
        Ok(gathered(values, SWEEP)?.iter().sum())
    }

    /// Solves the heavy lines one after the other, each on all threads.
    fn heavy(&self, context: &Context, x: &mut Factor<T>) -> Result<f64> {
        let mut value = 0.0;
        let mut solver = None;
        for line in (0..self.lines.count()).filter(|&line| self.is_wanted(line, true)) {
            let mut own = solver.take().map_or_else(|| Solver::new(&self.fixed), Ok)?;
            let solution = (&mut x.rows[line * x.stride..][..x.stride], &mut x.bias[line]);
            let (line, ridge) = self.line(line);
            value += own.solve(&self.fixed, &line, ridge, self.way, solution, Some(context))?;
            solver = Some(own);
        }
        Ok(value)
    }
}

/// Rotates both factors to the eigenvectors of the Gram matrix of y if that is of use; the eigenvalues, over its rows.
fn rotated<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    (x, y): (&mut Factor<T>, &mut Factor<T>),
    penalty: Penalty,
    preconditioner: Preconditioner,
) -> Result<Option<Vec<f64>>> {
    let (gram, mean) = gram_of(context, y)?;
    let (rank, count) = (y.rank, y.count as f64);
    // Of numbers beyond measure there is none: what they make of x is found out afterwards.
    if !(0..rank).all(|i| gram[i * (y.stride + 1)].is_finite()) {
        return Ok(None);
    }
    let centred = |i: usize, j: usize| {
        let product = if penalty.bias.is_some() { mean[i] * mean[j] } else { 0.0 };
        gram[i.min(j) * y.stride + i.max(j)] / count - product
    };
    let (mut spectrum, vectors) = eigh(&Mat::from_fn(rank, rank, centred)?)?;
    spectrum.iter_mut().for_each(|value| *value = value.max(0.0));
    let n = lines.weight() / lines.count() as f64;
    let l = penalty.of(n).factor;
    let largest = spectrum.last().copied().unwrap_or(0.0);
    // Nor is there one of a factor whose squares have come to nothing.
    if spectrum.iter().any(|value| n * value + l <= T::UNIT_ROUNDOFF * n * largest)
        || largest < f64::MIN_POSITIVE
    {
        return Ok(None);
    }
    let condition = (n * largest + l) / (n * spectrum[0] + l);
    if preconditioner == Preconditioner::Auto && condition <= CONDITION {
        return Ok(None);
    }
    let entry = |i: usize, j: usize| vectors[(i, j)];
    multiply(context, x, entry)?;
    multiply(context, y, entry)?;
    Ok(Some(spectrum))
}

/// Y'Y as rows of `stride` numbers, of which those right of the diagonal count, and the mean of the rows.
pub fn gram_of<T: Scalar>(context: &Context, y: &Factor<T>) -> Result<(Vec<f64>, Vec<f64>)> {
    let Factor { rank, stride, .. } = *y;
    let ones = filled(T::from_f64(1.0), BLOCK, SWEEP)?;
    let mut gram = zeros(rank.next_multiple_of(8) * stride, SWEEP)?;
    let mut mean = zeros(stride, SWEEP)?;
    let work = |_: &mut (), block: usize| {
        let rows = &y.rows[block * BLOCK * stride..];
        let rows = &rows[..rows.len().min(BLOCK * stride)];
        let mut gram = Buffer::zeros(rank.next_multiple_of(8) * stride, SWEEP)?;
        let mut sums = Buffer::zeros(stride, SWEEP)?;
        add_gram(rows, stride, rank, &mut gram);
        combine(rows, stride, &ones[..rows.len() / stride], &mut sums);
        Ok((gram, sums))
    };
    let add = |sums: &mut [f64], part: &[T]| sums.iter_mut().zip(part).for_each(|(s, p)| *s += p.to_f64());
    context.fold_with(
        y.count.div_ceil(BLOCK),
        || (),
        work,
        |(of_gram, sums)| {
            add(&mut gram, &of_gram);
            add(&mut mean, &sums);
        },
    )?;
    mean.iter_mut().for_each(|sum: &mut f64| *sum /= y.count as f64);
    Ok((gram, mean))
}

/// X Q in place of X, Q of the order of its rank.
pub fn multiply<T: Scalar>(
    context: &Context,
    x: &mut Factor<T>,
    q: impl Fn(usize, usize) -> f64,
) -> Result<()> {
    let (rank, stride) = (x.rank, x.stride);
    let mut rows = Buffer::zeros(rank * stride, SWEEP)?;
    for (i, row) in rows.chunks_exact_mut(stride).enumerate() {
        row[..rank].iter_mut().enumerate().for_each(|(j, entry)| *entry = T::from_f64(q(i, j)));
    }
    let work = |before: &mut Vec<T>, _: usize, block: &mut [T]| {
        for row in block.chunks_exact_mut(stride) {
            before.clear();
            extend(before, row[..rank].iter().copied(), SWEEP)?;
            row.fill(T::default());
            combine(&rows, stride, before, row);
        }
        Ok(())
    };
    let done = context.map_parts(x.rows.chunks_mut(BLOCK * stride), Vec::new, work)?;
    done.into_iter().try_for_each(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::observations::Observations;
    use crate::completion::testing::{low_rank, observed};
    use crate::random::Stream;

    const SHAPE: (usize, usize) = (90, 300);
    const RANK: usize = 12;

    /// Columns of sizes from one to 1e-3, far from zero in the mean.
    fn ill_conditioned() -> Factor<f64> {
        let stream = Stream::new(1, 0, 0);
        let mut y = Factor::zeros(SHAPE.1, RANK).unwrap();
        for j in 0..SHAPE.1 {
            for k in 0..RANK {
                let size = 10f64.powf(-3.0 * k as f64 / (RANK - 1) as f64);
                y.rows[j * y.stride + k] = size * (1.0 + stream.normal(j as u64, k as u64));
            }
        }
        y
    }

    fn solved(
        observed: &Observations<f64>,
        bias: Option<f64>,
        method: Method,
    ) -> (f64, Factor<f64>, Factor<f64>) {
        let (mut x, mut y) = (Factor::zeros(SHAPE.0, RANK).unwrap(), ill_conditioned());
        let penalty = Penalty { factor: 1e-6, bias, exponent: 0.5 };
        let parts = (&mut x, &mut y);
        let value = half_sweep(&Context::new(2), &observed.rows, Part::All, parts, penalty, method).unwrap();
        (value, x, y)
    }

    #[test]
    fn the_eigenvectors_of_the_gram_matrix_precondition_every_line() {
        let cells = low_rank(SHAPE, 4, 0.4, 0.1, 2);
        let observed = observed::<f64>(&Context::new(1), SHAPE, &cells);
        for bias in [None, Some(0.5)] {
            let best = solved(&observed, bias, Method::Exact).0;
            let after = |preconditioner, steps| {
                solved(&observed, bias, Method::Iterated { steps, tolerance: 0.0, preconditioner })
            };
            let excess = |preconditioner, steps| after(preconditioner, steps).0 / best - 1.0;
            assert!(excess(Preconditioner::Gram, 12) < 1e-3, "{:e}", excess(Preconditioner::Gram, 12));
            assert!(excess(Preconditioner::None, 12) > 10.0 * excess(Preconditioner::Gram, 12));
            assert_eq!(excess(Preconditioner::Auto, 12), excess(Preconditioner::Gram, 12));
            // The oracle: no more steps are needed than with a sketch of each line.
            assert!(excess(Preconditioner::Sketch, 12) < 1e-3, "{:e}", excess(Preconditioner::Sketch, 12));
            // The objective that is told is that of what is found, in whatever basis.
            let (value, x, y) = after(Preconditioner::Gram, 3);
            let mut expected = 0.0;
            let matrix = observed.rows.matrix();
            for i in 0..SHAPE.0 {
                let at = observed.rows.line(i, Part::All);
                let ridge = Penalty { factor: 1e-6, bias, exponent: 0.5 }.of(at.len() as f64);
                expected += ridge.factor * x.row(i).iter().map(|x| x * x).sum::<f64>();
                expected += ridge.bias.unwrap_or(0.0) * x.bias[i] * x.bias[i];
                matrix.visit(at, |j, value| {
                    let product: f64 = x.row(i).iter().zip(y.row(j)).map(|(x, y)| x * y).sum();
                    expected += (value - x.bias[i] - product).powi(2);
                });
            }
            assert!((value / expected - 1.0).abs() < 1e-10, "{value} {expected}");
            let norms = |y: &Factor<f64>| y.rows.iter().map(|y| y * y).sum::<f64>();
            assert!((norms(&y) / norms(&ill_conditioned()) - 1.0).abs() < 1e-12);
        }
    }
}
