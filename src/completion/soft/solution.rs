//! A matrix by its singular values and vectors, from two factors.

use crate::completion::errors::Tile;
use crate::completion::factors::Factor;
use crate::completion::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::{Svd, product, svd};
use crate::matrix::{Mat, Products, Sparse, blocks_by_cost};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use std::convert::identity;

/// Entries of a block of lines, about.
const COST: usize = 1 << 14;
/// What memory is for.
const SOLUTION: &str = "singular vectors of a completed matrix";

/// U diag(s) V'
pub struct Solution {
    /// Orthonormal columns.
    pub left: Mat<f64>,
    /// Positive, descending.
    pub values: Vec<f64>,
    /// Orthonormal columns.
    pub right: Mat<f64>,
}

impl Solution {
    /// Singular values less `lambda`, and the vectors of those that are left, of which there are at most `most`.
    pub fn thresholded(Svd { u, s, v }: &Svd, lambda: f64, most: usize) -> Result<Self> {
        let rank = s.iter().take(most).take_while(|&&value| value > lambda).count();
        Ok(Self {
            left: Mat::copy_of(u.as_ref().cols(0..rank))?,
            values: collected(s[..rank].iter().map(|value| value - lambda), SOLUTION)?,
            right: Mat::copy_of(v.as_ref().cols(0..rank))?,
        })
    }

    /// The columns of the transpose of what was observed, where factors A and B have not reached it, with the step of the
    /// power method that makes zeros of what is below `lambda`: S_lambda((P(V - A B') + A B') W) W', W being an orthonormal
    /// basis of the columns of B.
    pub fn of_factors(
        context: &Context,
        lines: &Lines<f64>,
        part: Part,
        (a, b): (&Factor<f64>, &Factor<f64>),
        lambda: f64,
    ) -> Result<Self> {
        let left = residuals(context, lines, part, (a, b))?;
        let Svd { u: basis, s, v: turn } = svd(as_mat(b)?.as_ref())?;
        let turned = Mat::from_fn(turn.nrows(), s.len(), |i, j| turn[(i, j)] * s[j])?;
        let mut image = product(as_mat(a)?.as_ref(), turned.as_ref())?;
        let mut more = Mat::zeros(image.nrows(), image.ncols())?;
        lines.matrix().with_values(&left).product(context, basis.as_ref(), more.as_mut())?;
        image.as_mut_slice().iter_mut().zip(more.as_slice()).for_each(|(out, more)| *out += more);
        let found = svd(image.as_ref())?;
        let right = product(basis.as_ref(), found.v.as_ref())?;
        Self::thresholded(&Svd { v: right, ..found }, lambda, usize::MAX)
    }

    /// Factors U diag(s)^½ and V diag(s)^½, zeros behind the rank.
    pub fn factors(&self, rank: usize) -> Result<(Factor<f64>, Factor<f64>)> {
        let factor = |vectors: &Mat<f64>| {
            let mut out = Factor::zeros(vectors.nrows(), rank)?;
            for (c, value) in self.values.iter().enumerate() {
                let (root, stride) = (value.sqrt(), out.stride);
                let column = vectors.col(c).iter().enumerate();
                column.for_each(|(i, x)| out.rows[i * stride + c] = root * x);
            }
            Ok(out)
        };
        Ok((factor(&self.left)?, factor(&self.right)?))
    }
}

fn as_mat(factor: &Factor<f64>) -> Result<Mat<f64>> {
    Mat::from_fn(factor.count, factor.rank, |i, k| factor.row(i)[k])
}

/// What two factors leave of a part of the entries, zeros for the others; in the order of the rows.
pub fn residuals(
    context: &Context,
    lines: &Lines<f64>,
    part: Part,
    factors: (&Factor<f64>, &Factor<f64>),
) -> Result<Vec<f64>> {
    let matrix = lines.matrix();
    let blocks = blocks_by_cost(matrix.ends(), COST)?;
    let mut left = zeros(matrix.nnz(), SOLUTION)?;
    let mut rest = left.as_mut_slice();
    let parts = blocks.iter().map(|block| {
        let count = block.clone().map(|line| matrix.extent(line).len()).sum();
        rest.split_off_mut(..count).unwrap_or_default()
    });
    let work = |tile: &mut Option<Tile<f64>>, block: usize, out: &mut [f64]| {
        let mut visitor = tile.take().map_or_else(|| Tile::new(factors.0.stride), Ok)?;
        let start = matrix.extent(blocks[block].start).start;
        for line in blocks[block].clone() {
            let mut at = lines.line(line, part).start - start;
            visitor.visit(lines, line, part, factors, |_, errors| {
                out[at..at + errors.len()].copy_from_slice(errors);
                at += errors.len();
            });
        }
        *tile = Some(visitor);
        Ok(())
    };
    context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)?;
    Ok(left)
}

/// The values of a part of the entries, zeros for the others.
pub fn values_of(lines: &Lines<f64>, part: Part) -> Result<Vec<f64>> {
    let matrix: Sparse<'_, f64> = lines.matrix();
    let mut values = zeros(matrix.nnz(), SOLUTION)?;
    for line in 0..lines.count() {
        let at = lines.line(line, part);
        values[at.clone()].copy_from_slice(&matrix.values()[at]);
    }
    Ok(values)
}
