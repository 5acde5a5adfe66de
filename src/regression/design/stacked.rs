//! What is sketched or factored beside A itself, as rows: the targets, the root weights, and [A, B] over the ridge.

use crate::error::Result;
use crate::matrix::{Dense, Matrix, Real, Rows, Source, TILE};
use crate::memory::{extend, prepare};
use crate::regression::design::Design;
use std::ops::Range;

/// The targets, one column each.
pub(crate) struct Targets<'p, 'a, T, M = Matrix<'a, T>> {
    pub design: &'p Design<'a, T, M>,
    pub targets: &'p [usize],
}

/// The root weights, one column.
pub(crate) struct RootWeights<'p, 'a, T> {
    pub design: &'p Design<'a, T>,
}

/// [A, B] and, with a ridge, d more rows [sqrt(ridge) I, 0].
pub(crate) struct Stacked<'p, 'a, T> {
    pub design: &'p Design<'a, T>,
    pub targets: &'p [usize],
    pub ridge: f64,
}

impl<T: Real, M: Source> Rows for Targets<'_, '_, T, M> {
    fn nrows(&self) -> usize {
        self.design.nrows()
    }

    fn ncols(&self) -> usize {
        self.targets.len()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        filled(rows, cols, buffer, |row, column| self.design.target(row, self.targets[column]))
    }
}

impl<T: Real> Rows for RootWeights<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.design.nrows()
    }

    fn ncols(&self) -> usize {
        1
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        filled(rows, cols, buffer, |row, _| self.design.root_weight(row))
    }
}

impl<T: Real> Rows for Stacked<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.design.nrows() + if self.ridge > 0.0 { self.design.ncols() } else { 0 }
    }

    fn ncols(&self) -> usize {
        self.design.ncols() + self.targets.len()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (n, d) = (self.design.nrows(), self.design.ncols());
        let (first, mut scratch) = (rows.start, Vec::new());
        let tile = self.design.a.tile(rows.start.min(n)..rows.end.min(n), 0..d, &mut scratch)?;
        filled(rows, cols, buffer, |row, column| match (row < n, column < d) {
            (true, true) => tile.get(row - first, column),
            (true, false) => self.design.target(row, self.targets[column - d]),
            (false, _) if row - n == column => self.design.root_ridge(self.ridge, column),
            (false, _) => 0.0,
        })
    }
}

fn filled(
    rows: Range<usize>,
    cols: Range<usize>,
    buffer: &mut Vec<f64>,
    entry: impl Fn(usize, usize) -> f64,
) -> Result<Dense<'_, f64>> {
    let (nrows, ncols) = (rows.len(), cols.len());
    prepare(buffer, nrows * ncols, TILE)?;
    for row in rows {
        extend(buffer, cols.clone().map(|column| entry(row, column)), TILE)?;
    }
    Ok(Dense::row_major(buffer, nrows, ncols))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Context;
    use crate::regression::testing::{Instance, assert_near, forms};

    #[test]
    fn the_ridge_lies_below_the_rows_and_the_targets_beside_them() {
        let instance = Instance::new(40, 5);
        for form in forms() {
            let (a, b) = instance.explicit(form);
            let design = Design::new(&Context::new(1), &instance.problem(form, &[9.0])).unwrap();
            let stacked = Stacked { design: &design, targets: &[1], ridge: 9.0 };
            assert_eq!((stacked.nrows(), stacked.ncols()), (45, 6));
            let mut buffer = Vec::new();
            let tile = stacked.tile(30..45, 1..6, &mut buffer).unwrap();
            for (i, j) in (0..15).flat_map(|i| (0..5).map(move |j| (i, j))) {
                let (row, column) = (30 + i, 1 + j);
                let expected = match (row < 40, column < 5) {
                    (true, true) => a[(row, column)],
                    (true, false) => b[(row, 1)] * design.target_scale(1),
                    (false, _) => 3.0 * f64::from(row - 40 == column),
                };
                assert_near(tile.get(i, j), expected, &format!("{form:?} ({row}, {column})"));
            }
            let roots = RootWeights { design: &design };
            let tile = roots.tile(0..40, 0..1, &mut buffer).unwrap();
            let weight = |i: usize| if form.weighted { instance.weights[i] } else { 1.0 };
            (0..40).for_each(|i| assert_near(tile.get(i, 0).powi(2), weight(i), "weight"));
        }
    }
}
