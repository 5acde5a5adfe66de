//! Half a sweep: one factor is solved for, line by line, while the other one is fixed.

use super::confidence::Terms;
use super::line::{Fixed, Line, Solver, Way};
use crate::completion::factors::Factor;
use crate::completion::half::{HEAVY, gram_of};
use crate::completion::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::blocks_by_cost;
use crate::memory::zeros;
use crate::parallel::Context;
use std::convert::identity;

/// Entries of a block of lines, about.
const COST: usize = 1 << 13;
/// What memory is for.
const SWEEP: &str = "half a sweep";

/// The lines of one side, and what they are solved with.
pub struct Half<'a, T> {
    /// The entries.
    pub lines: &'a Lines<T>,
    /// What stored numbers are in units of.
    pub unit: f64,
    /// The objective.
    pub terms: Terms,
    /// Weight of the Gram matrix of the fixed factor.
    pub shared: f64,
    /// What the terms of each line are multiplied by.
    pub weights: Option<&'a [f64]>,
    /// What they are multiplied by, by the row of the fixed factor.
    pub other_weights: Option<&'a [f64]>,
    /// Weights of the rows of the fixed factor in its Gram matrix.
    pub gram_weights: Option<&'a [f64]>,
    /// The penalty of each line.
    pub penalties: &'a [f64],
}

impl<T: Scalar> Half<'_, T> {
    /// Replaces x by what is found while y is fixed; the objective of each line.
    pub fn solve(&self, context: &Context, x: &mut Factor<T>, y: &Factor<T>, way: Way) -> Result<Vec<f64>> {
        let gram = self.gram(context, y)?;
        let fixed = Fixed::new(y, (self.terms, self.unit), self.other_weights, &gram)?;
        let mut values = zeros(self.lines.count(), SWEEP)?;
        self.light(context, &fixed, x, &mut values, way)?;
        self.heavy(context, &fixed, x, &mut values, way)?;
        Ok(values)
    }

    /// The weighted Gram matrix of the fixed factor, both triangles.
    fn gram(&self, context: &Context, y: &Factor<T>) -> Result<Vec<f64>> {
        let (mut gram, _) = match self.gram_weights {
            None => gram_of(context, y)?,
            Some(weights) => {
                let mut weighted = y.copy()?;
                let rows = weighted.rows.chunks_exact_mut(y.stride).zip(weights);
                rows.for_each(|(row, weight)| {
                    let root = weight.sqrt();
                    row.iter_mut().for_each(|y| *y = T::from_f64(y.to_f64() * root));
                });
                gram_of(context, &weighted)?
            }
        };
        for i in 0..y.rank {
            for j in i..y.rank {
                let entry = self.shared * gram[i * y.stride + j];
                (gram[i * y.stride + j], gram[j * y.stride + i]) = (entry, entry);
            }
        }
        Ok(gram)
    }

    fn line(&self, line: usize) -> Line<'_, T> {
        let (matrix, at) = (self.lines.matrix(), self.lines.line(line, Part::All));
        Line {
            indices: matrix.indices().part(at.clone()),
            values: &matrix.values()[at],
            weight: self.weights.map_or(1.0, |weights| weights[line]),
            penalty: self.penalties[line],
        }
    }

    fn is_heavy(&self, line: usize) -> bool {
        self.lines.line(line, Part::All).len() >= HEAVY
    }

    /// Solves all lines but the heavy ones, many at a time.
    fn light(
        &self,
        context: &Context,
        fixed: &Fixed<'_, T>,
        x: &mut Factor<T>,
        values: &mut [f64],
        way: Way,
    ) -> Result<()> {
        let blocks = blocks_by_cost(self.lines.matrix().ends(), COST)?;
        let (rank, stride) = (x.rank, x.stride);
        let (mut rows, mut rest): (&mut [T], _) = (&mut x.rows, values);
        let parts = blocks.iter().map(|block| {
            let of_rows = rows.split_off_mut(..block.len() * stride).unwrap_or_default();
            (of_rows, rest.split_off_mut(..block.len()).unwrap_or_default())
        });
        let work = |kept: &mut Option<Solver<T>>, block: usize, (rows, values): (&mut [T], &mut [f64])| {
            let mut solver = kept.take().map_or_else(|| Solver::new(rank, stride), Ok)?;
            for ((line, x), value) in blocks[block].clone().zip(rows.chunks_exact_mut(stride)).zip(values) {
                if !self.is_heavy(line) {
                    *value = solver.solve(fixed, &self.line(line), way, x, None)?;
                }
            }
            *kept = Some(solver);
            Ok(())
        };
        context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)
    }

    /// Solves the heavy lines one after the other, each on all threads.
    fn heavy(
        &self,
        context: &Context,
        fixed: &Fixed<'_, T>,
        x: &mut Factor<T>,
        values: &mut [f64],
        way: Way,
    ) -> Result<()> {
        let mut solver = None;
        for line in (0..self.lines.count()).filter(|&line| self.is_heavy(line)) {
            let mut own = solver.take().map_or_else(|| Solver::new(x.rank, x.stride), Ok)?;
            let row = &mut x.rows[line * x.stride..][..x.stride];
            values[line] = own.solve(fixed, &self.line(line), way, row, Some(context))?;
            solver = Some(own);
        }
        Ok(())
    }
}
