//! Small instances, and plain loops.

use super::fit::{Continuation, Loss, Params, Solver};
use super::half::Preconditioner;
use super::observations::{ByRows, Lines, Observations};
use crate::matrix::{Axis, Indices, Repeated, Triplets};
use crate::parallel::Context;
use crate::random::Stream;

/// Entries (row, column, value).
pub type Cells = Vec<(usize, usize, f64)>;

/// Entries of a matrix of that rank, with biases and noise, each observed with a probability.
pub fn low_rank(shape: (usize, usize), rank: usize, share: f64, noise: f64, seed: u64) -> Cells {
    let [left, right, other] = [1, 2, 3].map(|purpose| Stream::new(seed, 0, purpose));
    let mut cells = Vec::new();
    for i in 0..shape.0 {
        for j in 0..shape.1 {
            if other.uniform(i as u64, j as u64) < share {
                let product: f64 = (0..rank)
                    .map(|k| left.normal(i as u64, k as u64) * right.normal(j as u64, k as u64))
                    .sum();
                let bias = left.normal(i as u64, 99) + right.normal(j as u64, 99);
                let error = noise * other.normal(i as u64, (shape.1 + j) as u64);
                cells.push((i, j, product / (rank as f64).sqrt() + 0.5 * bias + error));
            }
        }
    }
    cells
}

/// What most tests ask for.
pub fn params() -> Params {
    Params {
        rank: 6,
        rank_auto: false,
        reg: Some(0.3),
        reg_exponent: 0.5,
        bias: true,
        bias_auto: false,
        solver: Solver::Auto,
        preconditioner: Preconditioner::Auto,
        spectral: true,
        inner_steps: 3,
        inner_tol: 0.1,
        polish: true,
        max_iter: 20,
        tol: 1e-4,
        validation_fraction: 0.0,
        seed: 7,
        nonnegative: false,
        loss: Loss::Squared,
        continuation: Continuation::None,
    }
}

/// The observations of these entries.
pub fn observed<T: crate::linalg::Scalar>(
    context: &Context,
    shape: (usize, usize),
    cells: &Cells,
) -> Observations<T> {
    let rows: Vec<i64> = cells.iter().map(|cell| cell.0 as i64).collect();
    let columns: Vec<i32> = cells.iter().map(|cell| cell.1 as i32).collect();
    let values: Vec<f64> = cells.iter().map(|cell| cell.2).collect();
    let (rows, columns) = (Indices::I64(&rows), Indices::I32(&columns));
    let entries = Triplets { argument: "values", shape, rows, columns, values: &values };
    let rows = ByRows::of_triplets(context, &entries, Repeated::Refuse, true).unwrap();
    Observations::of(context, rows).unwrap()
}

/// Rows with these entries, in the units of a model.
pub fn rows_of(context: &Context, entries: &Triplets<'_, f64>, units: (f64, f64)) -> Lines<f64> {
    let sorted =
        |values: &[f64]| Triplets { values, ..*entries }.compressed_as(context, Axis::Rows, Repeated::Keep);
    Lines::in_units(context, "X", entries.values, units, sorted).unwrap()
}
