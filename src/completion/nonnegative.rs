//! Least squares over numbers that are not below zero, from normal equations.
//!
//! Coordinate descent finds out which numbers are zero, each step the best for one coordinate, so that the objective never
//! grows; the others are then solved for by Cholesky's factorisation, which is taken if it leaves them above zero, and else as
//! far as it does (Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23): coordinates alone may take long.

use super::sums::SCRATCH;
use crate::error::Result;
use crate::linalg::solve_systems;
use crate::memory::{extend, reset};
use crate::simd::axpy;

/// Times that the others are solved for.
const ROUNDS: usize = 20;
/// Passes over all coordinates before each.
const PASSES: usize = 10;

/// Memory for problems of some order.
#[derive(Default)]
pub struct NonNegative {
    /// All of a symmetric matrix, line after line.
    pub matrix: Vec<f64>,
    /// What is multiplied by x.
    pub side: Vec<f64>,
    /// What is found, from what is there.
    pub x: Vec<f64>,
    slope: Vec<f64>,
    positive: Vec<usize>,
    system: Vec<f64>,
    solution: Vec<f64>,
}

impl NonNegative {
    /// Room for problems of that order: a matrix of zeros, from zero.
    pub fn prepare(&mut self, order: usize) -> Result<()> {
        reset(&mut self.matrix, order * order, SCRATCH)?;
        [&mut self.side, &mut self.x].into_iter().try_for_each(|vector| reset(vector, order, SCRATCH))
    }

    /// Replaces x by where x'A x - 2 b'x is least over all x whose entries before `free` are not below zero.
    pub fn solve(&mut self, free: usize) -> Result<()> {
        self.x[..free].iter_mut().for_each(|x| *x = x.max(0.0));
        self.set_slope()?;
        for _ in 0..ROUNDS {
            (0..PASSES).for_each(|_| self.pass(free));
            if self.solve_for_positive(free)? {
                break;
            }
        }
        Ok(())
    }

    /// A x - b
    fn set_slope(&mut self) -> Result<()> {
        let Self { matrix, side, x, slope, .. } = self;
        reset(slope, x.len(), SCRATCH)?;
        slope.iter_mut().zip(&*side).for_each(|(slope, side)| *slope = -side);
        for (row, x) in matrix.chunks_exact(x.len()).zip(&*x) {
            axpy(*x, row, slope);
        }
        Ok(())
    }

    /// The best for one coordinate after the other.
    fn pass(&mut self, free: usize) {
        let Self { matrix, x, slope, .. } = self;
        let order = x.len();
        for i in 0..order {
            let row = &matrix[i * order..][..order];
            if row[i].is_nan() || row[i] <= 0.0 {
                continue;
            }
            let best = x[i] - slope[i] / row[i];
            let step = if i < free { best.max(0.0) } else { best } - x[i];
            if step != 0.0 {
                x[i] += step;
                axpy(step, row, slope);
            }
        }
    }

    /// Solves for what is above zero, or free; whether this is the answer.
    fn solve_for_positive(&mut self, free: usize) -> Result<bool> {
        let Self { matrix, side, x, positive, system, solution, .. } = self;
        let order = x.len();
        positive.clear();
        extend(positive, (0..order).filter(|&i| i >= free || x[i] > 0.0), SCRATCH)?;
        let count = positive.len();
        reset(system, count * count, SCRATCH)?;
        reset(solution, count, SCRATCH)?;
        for (a, &i) in positive.iter().enumerate() {
            solution[a] = side[i];
            for (b, &j) in positive.iter().enumerate() {
                system[a * count + b] = matrix[i * order + j];
            }
        }
        let mut sound = [count == 0];
        if count > 0 {
            solve_systems(count, system, solution, &mut sound);
        }
        if !sound[0] {
            return Ok(false);
        }
        // The part of the way at which a number becomes zero.
        let end = |i: usize, x: f64, value: f64| if i < free && value <= 0.0 { x / (x - value) } else { 1.0 };
        let pairs = || positive.iter().zip(&*solution);
        let step = pairs().fold(1.0f64, |step, (&i, &value)| step.min(end(i, x[i], value)));
        if step < 1.0 {
            for (&i, &value) in positive.iter().zip(&*solution) {
                let ends = end(i, x[i], value) <= step;
                x[i] = if ends { 0.0 } else { x[i] + step * (value - x[i]) };
            }
            self.set_slope()?;
            return Ok(false);
        }
        positive.iter().zip(&*solution).for_each(|(&i, value)| x[i] = *value);
        self.set_slope()?;
        let Self { side, x, slope, .. } = self;
        let size = side.iter().fold(0.0f64, |size, side| size.max(side.abs()));
        Ok((0..free).all(|i| x[i] > 0.0 || slope[i] >= -64.0 * f64::EPSILON * size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_vanish_above_zero_and_point_up_at_zero(
            order in 1usize..12, free in 0usize..12, seed in 0u64..1000
        ) {
            check(order, free.min(order), seed);
        }
    }

    #[test]
    fn it_is_so_where_coordinates_take_long() {
        check(11, 3, 634);
    }

    fn check(order: usize, free: usize, seed: u64) {
        let stream = crate::random::Stream::new(seed, 0, 0);
        let rows = order + 2;
        let entry = |i: usize, j: usize| stream.normal(i as u64, j as u64);
        let mut problem = NonNegative::default();
        problem.prepare(order).unwrap();
        for i in 0..order {
            problem.side[i] = (0..rows).map(|r| entry(r, i) * entry(r, 99)).sum();
            problem.x[i] = entry(50, i);
            for j in 0..order {
                problem.matrix[i * order + j] = (0..rows).map(|r| entry(r, i) * entry(r, j)).sum();
            }
        }
        problem.solve(free).unwrap();
        let size = problem.side.iter().fold(0.0f64, |size, side| size.max(side.abs()));
        for i in 0..order {
            let row = &problem.matrix[i * order..][..order];
            let slope: f64 = row.iter().zip(&problem.x).map(|(a, x)| a * x).sum::<f64>() - problem.side[i];
            assert!(i >= free || problem.x[i] >= 0.0);
            if i < free && problem.x[i] == 0.0 {
                assert!(slope > -1e-7 * size, "{slope:e}");
            } else {
                assert!(slope.abs() < 1e-7 * size, "{slope:e}");
            }
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let mut problem = NonNegative::default();
        problem.prepare(3).unwrap();
        problem.solve(3).unwrap();
        assert_eq!(problem.x, [0.0; 3]);
    }
}
