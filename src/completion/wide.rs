//! The regression of one line in double precision, where the precision of the factor does not resolve it.
//!
//! Sums are made anew from the rows. What stays is that rows and solution are stored in the precision of the factor: two
//! solutions whose errors differ by less than its rounding are alike, and of these the shorter one is taken, by a penalty
//! of that size. Without it the next half of a sweep would regress on rows of any length.

use super::factors::Factor;
use super::sums::{BLOCK, Fixed, Line, Part, Ridge, SCRATCH, Sums, Worker};
use crate::error::Result;
use crate::linalg::{Scalar, eigh, solve_systems};
use crate::matrix::{Indices, Mat};
use crate::memory::{collected, zeros};
use crate::parallel::Context;

/// The least penalty that tells solutions apart, of a line of n rows whose squares have that sum.
pub fn least_penalty<T: Scalar>(n: usize, order: usize, squares: f64) -> f64 {
    ((n as f64).sqrt() + order as f64) * T::UNIT_ROUNDOFF * squares
}

/// Replaces x and the bias of a line by a solution; the objective there, infinite where the sums are out of range.
pub fn solve_wide<T: Scalar>(
    fixed: &Fixed<'_, T>,
    line: &Line<'_, T>,
    ridge: Ridge,
    (x, bias): (&mut [T], &mut T),
    spread: Option<&Context>,
) -> Result<f64> {
    let (rank, order) = (fixed.factor.rank, fixed.order());
    let (sums, weight) = summed_up(fixed, line, spread)?;
    let factor = ridge.factor + least_penalty::<T>(line.count(), order, sums.trace(rank));
    let (mut system, mut side) = (zeros(order * order, SCRATCH)?, zeros(order, SCRATCH)?);
    let put = |system: &mut [f64], side: &mut [f64]| {
        sums.lay_out(rank, Ridge { factor, ..ridge }, weight, system, side);
    };
    put(&mut system, &mut side);
    let in_range = system.iter().chain(&side).all(|entry| entry.is_finite());
    let mut sound = [false];
    solve_systems(order, &mut system, &mut side, &mut sound);
    if in_range && !sound[0] {
        put(&mut system, &mut side);
        side = shortest(&system, &side)?;
    }
    x.fill(T::default());
    *bias = T::default();
    if !in_range || !side.iter().all(|x| T::from_f64(*x).to_f64().is_finite()) {
        return Ok(f64::INFINITY);
    }
    x.iter_mut().zip(&side[..rank]).for_each(|(x, wide)| *x = T::from_f64(*wide));
    *bias = side.get(rank).map_or(T::default(), |bias| T::from_f64(*bias));
    let stored = collected(x.iter().map(|x| x.to_f64()), SCRATCH)?;
    Ok(sums.objective(rank, ridge, weight, &stored, bias.to_f64()))
}

/// The sums over a line, and that of its weights.
fn summed_up<T: Scalar>(
    fixed: &Fixed<'_, T>,
    line: &Line<'_, T>,
    spread: Option<&Context>,
) -> Result<(Part<f64>, f64)> {
    let Factor { rank, stride, .. } = *fixed.factor;
    let (n, most) = (line.count(), line.count().min(BLOCK));
    let widened = |numbers: &[T]| collected(numbers.iter().map(|number| number.to_f64()), SCRATCH);
    let mut rows = Factor::<f64>::with_room(most, rank, stride)?;
    let numbers = collected(0..most as i32, SCRATCH)?;
    let (mut worker, mut totals, mut weight) =
        (Worker::new(rank, stride, false)?, Part::new(rank, stride)?, 0.0);
    for first in (0..n).step_by(BLOCK) {
        spread.map_or(Ok(()), Context::tick)?;
        let block = first..n.min(first + BLOCK);
        for (k, wide) in block.clone().zip(rows.rows.chunks_exact_mut(stride)) {
            let row = line.indices.get(k);
            wide.iter_mut().zip(fixed.factor.row(row)).for_each(|(wide, y)| *wide = y.to_f64());
            rows.bias[k - first] = fixed.factor.bias[row].to_f64();
        }
        let values = widened(&line.values[block.clone()])?;
        let roots = line.roots.map(|roots| widened(&roots[block.clone()])).transpose()?;
        let indices = Indices::I32(&numbers[..block.len()]);
        let wide = Line { indices, values: &values, roots: roots.as_deref() };
        worker.sum_up(&Fixed::new(&rows, fixed.with_bias)?, &wide, 0..block.len(), Sums::Normal, None);
        totals.add(&worker.part, Sums::<f64>::Normal);
        weight += wide.weight();
    }
    Ok((totals, weight))
}

/// The shortest of the solutions of a singular system, the lower triangle of which is there, column-major.
fn shortest(system: &[f64], side: &[f64]) -> Result<Vec<f64>> {
    let order = side.len();
    let entry = |i: usize, j: usize| system[i.min(j) * order + i.max(j)];
    let (values, vectors) = eigh(&Mat::from_fn(order, order, entry)?)?;
    let least =
        values.iter().fold(0.0, |largest: f64, value| largest.max(*value)) * order as f64 * f64::EPSILON;
    let mut x = zeros(order, SCRATCH)?;
    for (k, value) in values.iter().enumerate().filter(|&(_, &value)| value > least) {
        let along = (0..order).map(|i| vectors[(i, k)] * side[i]).sum::<f64>() / value;
        x.iter_mut().enumerate().for_each(|(i, x)| *x += along * vectors[(i, k)]);
    }
    Ok(x)
}
