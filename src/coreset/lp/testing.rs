//! Small problems, and what they are by definition.

use super::design::{Prepared, Problem};
use crate::matrix::{Axis, Dense, Indices, Matrix, Sparse};
use crate::parallel::Context;
use crate::random::Stream;

/// Rows with entries that are zero at times, targets of a line with noise of long tails, weights that are zero at times.
pub(super) struct Instance {
    pub n: usize,
    pub d: usize,
    pub rows: Vec<f64>,
    pub target: Vec<f64>,
    pub weights: Vec<f64>,
    ends: Vec<i32>,
    indices: Vec<i32>,
    values: Vec<f64>,
}

impl Instance {
    pub fn new(n: usize, d: usize, seed: u64) -> Self {
        let stream = Stream::new(seed, 0, 0);
        let entry = |i: usize, j: usize| match stream.word(i as u64, (j + 2 * d) as u64) % 4 {
            0 => 0.0,
            _ => stream.normal(i as u64, j as u64),
        };
        let rows: Vec<f64> = (0..n * d).map(|at| entry(at / d, at % d)).collect();
        let noise = |i: usize| {
            let z = stream.normal(i as u64, (d + 1) as u64);
            z * z * z
        };
        let line = |i: usize| (0..d).map(|j| rows[i * d + j] * (j as f64 - 1.5)).sum::<f64>();
        let target = (0..n).map(|i| line(i) + 1.0 + noise(i)).collect();
        let weights = (0..n).map(|i| if i % 11 == 3 { 0.0 } else { 0.5 + (i % 5) as f64 }).collect();
        let stored: Vec<usize> = (0..n * d).filter(|&at| rows[at] != 0.0).collect();
        let ends = (0..=n).map(|row| stored.iter().filter(|&&at| at < row * d).count() as i32).collect();
        let indices = stored.iter().map(|at| (at % d) as i32).collect();
        let values = stored.iter().map(|&at| rows[at]).collect();
        Self { n, d, rows, target, weights, ends, indices, values }
    }

    pub fn matrix(&self, sparse: bool) -> Matrix<'_, f64> {
        let (ends, indices) = (Indices::I32(&self.ends), Indices::I32(&self.indices));
        match sparse {
            false => Matrix::Dense(Dense::row_major(&self.rows, self.n, self.d)),
            true => Matrix::Sparse(
                Sparse::new(&Context::new(1), "A", Axis::Rows, (self.n, self.d), ends, indices, &self.values)
                    .unwrap(),
            ),
        }
    }

    /// Plain rows.
    pub fn plain(&self) -> Problem<'_, f64> {
        let (matrix, target) = (self.matrix(false), &self.target);
        Problem { matrix, target, weights: None, fit_intercept: false, penalty: 0.0 }
    }

    /// Weights, an intercept and a penalty.
    pub fn full(&self, sparse: bool) -> Problem<'_, f64> {
        let (matrix, target, weights) = (self.matrix(sparse), &self.target, Some(&self.weights[..]));
        Problem { matrix, target, weights, fit_intercept: true, penalty: 7.0 }
    }
}

pub(super) fn prepared<'a>(problem: &Problem<'a, f64>, power: f64) -> Prepared<'a, f64> {
    Prepared::new(&Context::new(2), problem, power, false).unwrap()
}

/// Σ w ρ(b - A x - c) + penalty |x|.
pub(super) fn objective(problem: &Problem<'_, f64>, x: &[f64], intercept: f64, level: f64) -> f64 {
    let penalty = problem.penalty * x.iter().map(|x| x.abs()).sum::<f64>();
    let loss = |r: f64| if r > 0.0 { level * r } else { (level - 1.0) * r };
    let residuals = residuals(problem, x, intercept);
    residuals.iter().map(|&(w, r)| w * loss(r)).sum::<f64>() + penalty
}

/// Weights and residuals.
pub(super) fn residuals(problem: &Problem<'_, f64>, x: &[f64], intercept: f64) -> Vec<(f64, f64)> {
    use crate::matrix::Rows;
    let mut buffer = Vec::new();
    let tile = problem.matrix.tile(0..problem.matrix.nrows(), 0..x.len(), &mut buffer).unwrap();
    let fitted = |i: usize| tile.stored_row(i).iter().zip(x).map(|(a, x)| a * x).sum::<f64>() + intercept;
    let weight = |i: usize| problem.weights.map_or(1.0, |weights| weights[i]);
    (0..tile.nrows()).map(|i| (weight(i), problem.target[i] - fitted(i))).collect()
}
