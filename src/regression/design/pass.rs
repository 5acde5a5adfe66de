//! One read of A: residuals R = B - A X and gradients A'R for any number of right-hand sides.

use crate::error::Result;
use crate::linalg::{BATCH_ROWS, Batch, SIDES, add_product, add_transposed_product, batch_rows, fit};
use crate::matrix::{Buffer, Dense, LinearOperator, Mat, Matrix, Real, Rows, Source, TILE_ROWS};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::products::{product, transposed_product};
use crate::regression::design::sparse_pass::sparse_pass;
use crate::simd::{gradient_rows, kernel, norm_sq, residual_cols, residual_rows};
use std::ops::Range;

pub(crate) use crate::regression::design::sides::{Pass, SUMS, Sides};

/// A matrix of which residuals and gradients are had.
pub(crate) trait Passes<T: Real>: Source {
    /// B - A X for the columns of `x` (d x k).
    fn pass(context: &Context, design: &Design<'_, T, Self>, x: &Mat<f64>, sides: Sides<'_>) -> Result<Pass>;
}

/// By one read.
impl<T: Real> Passes<T> for Matrix<'_, T> {
    fn pass(context: &Context, design: &Design<'_, T, Self>, x: &Mat<f64>, sides: Sides<'_>) -> Result<Pass> {
        match &design.a.source {
            Matrix::Dense(_) => dense_pass(context, design, x, sides),
            Matrix::Sparse(matrix) => sparse_pass(context, design, matrix, x, sides),
        }
    }
}

/// By two products.
impl<T: Real> Passes<T> for &dyn LinearOperator {
    fn pass(context: &Context, design: &Design<'_, T, Self>, x: &Mat<f64>, sides: Sides<'_>) -> Result<Pass> {
        let residual = residuals(context, design, x, sides)?;
        let squares = collected((0..x.ncols()).map(|side| norm_sq(residual.col(side))), SUMS)?;
        let gradient = transposed_product(context, design, &residual)?;
        Ok(Pass { gradient, squares, totals: zeros(x.ncols(), SUMS)? })
    }
}

fn dense_pass<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    x: &Mat<f64>,
    sides: Sides<'_>,
) -> Result<Pass> {
    if let Some(pass) = design.narrow_pass(context, x, sides)? {
        return Ok(pass);
    }
    pass_by_rows(context, design, x, sides, true)
}

/// One read of rows whose layout changes no bit.
pub(crate) fn pass_in_any_order<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    x: &Mat<f64>,
    sides: Sides<'_>,
) -> Result<Pass> {
    if let Matrix::Sparse(matrix) = &design.a.source {
        return sparse_pass(context, design, matrix, x, sides);
    }
    match design.narrow_pass_in_any_order(context, x, sides)? {
        Some(pass) => Ok(pass),
        None => pass_by_rows(context, design, x, sides, false),
    }
}

/// By the kernels made for how rows are stored, or by those for tiles alone.
fn pass_by_rows<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    x: &Mat<f64>,
    sides: Sides<'_>,
    as_stored: bool,
) -> Result<Pass> {
    let (mut blocks, point) = (design.blocks()?, Point::new(x, sides)?);
    // Backwards: of the read before it, of a Gram matrix as a rule, the cache holds the end.
    blocks.reverse();
    let work = |buffer: &mut Vec<f64>, block: usize| {
        let mut sum = PassSum::new(design, &point)?;
        match as_stored {
            true => sum.add_block(blocks[block].clone(), buffer)?,
            false => sum.add_tiles(blocks[block].clone(), buffer)?,
        }
        Ok(sum.finish())
    };
    let mut total: Option<Pass> = None;
    context.fold_with(blocks.len(), Vec::new, work, |part: Pass| part.add_to(&mut total))?;
    total.map_or_else(|| Pass::zeros(design.ncols(), x.ncols()), Ok)
}

/// B - A X (n x k), where the residuals themselves are wanted.
pub(crate) fn residuals<T: Real, M: Source>(
    context: &Context,
    design: &Design<'_, T, M>,
    x: &Mat<f64>,
    sides: Sides<'_>,
) -> Result<Mat<f64>> {
    let mut residual = product(context, design, x)?;
    let mut target = Buffer::zeros(design.nrows(), "a target")?;
    for side in 0..x.ncols() {
        load(design, sides, side, 0, &mut target);
        residual.col_mut(side).iter_mut().zip(&*target).for_each(|(value, target)| *value = target - *value);
    }
    Ok(residual)
}

/// Adds up the partial passes of consecutive rows.
pub(crate) fn fold<T: Real>(
    design: &Design<'_, T>,
    partial: impl IntoIterator<Item = Result<Pass>>,
) -> Result<Pass> {
    let mut total: Option<Pass> = None;
    for partial in partial {
        partial?.add_to(&mut total);
    }
    total.map_or_else(|| Pass::zeros(design.ncols(), 0), Ok)
}

/// Where residuals are taken.
pub(crate) struct Point<'p> {
    x: &'p Mat<f64>,
    sides: Sides<'p>,
    is_zero: bool,
    /// -X, where there may be several sides and X is not zero.
    negative: Option<Batch>,
}

impl<'p> Point<'p> {
    /// The columns of x, one for every side.
    pub fn new(x: &'p Mat<f64>, sides: Sides<'p>) -> Result<Self> {
        let is_zero = x.as_slice().iter().all(|&x| x == 0.0);
        let mut point = Self { x, sides, is_zero, negative: None };
        if !point.is_alone() && !is_zero {
            point.negative = Some(Batch::negative(x.as_ref())?);
        }
        Ok(point)
    }

    /// True if there is one side, and was never another.
    fn is_alone(&self) -> bool {
        self.sides.of(self.x.ncols()) == 1
    }
}

/// The running sums of a pass over consecutive rows.
pub(crate) struct PassSum<'p, 'a, T> {
    design: &'p Design<'a, T>,
    point: &'p Point<'p>,
    residual: Buffer<f64>,
    /// A tile that the kernels of several sides cannot read where it is.
    copy: Vec<f64>,
    /// Of several sides.
    gradient: Batch,
    pass: Pass,
}

impl<'p, 'a, T: Real> PassSum<'p, 'a, T> {
    /// Nothing summed yet.
    pub fn new(design: &'p Design<'a, T>, point: &'p Point<'p>) -> Result<Self> {
        let (d, k) = (design.ncols(), point.x.ncols());
        let residuals = if point.is_alone() { MOST_ROWS } else { BATCH_ROWS * k.next_multiple_of(SIDES) };
        Ok(Self {
            design,
            point,
            residual: Buffer::zeros(residuals, "residuals of a block of rows")?,
            copy: Vec::new(),
            gradient: Batch::zeros(if point.is_alone() { 0 } else { d }, k)?,
            pass: Pass::zeros(d, k)?,
        })
    }

    /// The sums so far.
    pub fn finish(mut self) -> Pass {
        if !self.point.is_alone() {
            self.gradient.copy_to(self.pass.gradient.as_mut());
        }
        self.pass
    }

    /// Adds rows, by the kernel made for how they are stored.
    fn add_block(&mut self, rows: Range<usize>, buffer: &mut Vec<f64>) -> Result<()> {
        let one_side = self.point.is_alone();
        let step = if one_side { MOST_ROWS } else { TILE_ROWS };
        for start in rows.clone().step_by(step) {
            let part = start..(start + step).min(rows.end);
            match self.design.untouched() {
                Some(matrix) if one_side && matrix.col_stride() == 1 => {
                    self.add_rows(matrix.rows(part), start)
                }
                Some(matrix) if one_side && matrix.row_stride() == 1 => {
                    self.add_columns(matrix.rows(part), start)
                }
                _ => self.add_tiles(part, buffer)?,
            }
        }
        Ok(())
    }

    /// Adds rows, a tile at a time.
    fn add_tiles(&mut self, rows: Range<usize>, buffer: &mut Vec<f64>) -> Result<()> {
        for start in rows.clone().step_by(TILE_ROWS) {
            let tile = start..(start + TILE_ROWS).min(rows.end);
            self.add_tile(self.design.a.tile(tile, 0..self.design.ncols(), buffer)?, start)?;
        }
        Ok(())
    }

    /// Adds the rows of a row-major tile of the design, the first of which is row `first`.
    pub fn add_tile(&mut self, tile: Dense<'_, f64>, first: usize) -> Result<()> {
        if self.point.is_alone() {
            self.add_rows(tile, first);
            return Ok(());
        }
        let step = batch_rows(tile.ncols());
        (0..tile.nrows()).step_by(step).try_for_each(|start| {
            self.add_batch(tile.rows(start..(start + step).min(tile.nrows())), first + start)
        })
    }

    fn add_rows<E: Real>(&mut self, tile: Dense<'_, E>, first: usize) {
        for start in (0..tile.nrows()).step_by(MOST_ROWS) {
            let rows = tile.rows(start..(start + MOST_ROWS).min(tile.nrows()));
            let residual =
                load(self.design, self.point.sides, 0, first + start, &mut self.residual[..rows.nrows()]);
            let (gradient, x) = (self.pass.gradient.as_mut_slice(), self.point.x.as_slice());
            self.pass.squares[0] += match self.point.is_zero {
                true => gradient_rows(rows.data(), rows.row_stride(), residual, gradient),
                false => residual_rows(rows.data(), rows.row_stride(), x, residual, gradient),
            };
            self.pass.totals[0] += total(self.design, first + start, residual);
        }
    }

    fn add_columns(&mut self, part: Dense<'_, T>, first: usize) {
        let residual = load(self.design, self.point.sides, 0, first, &mut self.residual[..part.nrows()]);
        let gradient = self.pass.gradient.as_mut_slice();
        self.pass.squares[0] +=
            residual_cols(part.data(), part.col_stride(), self.point.x.as_slice(), residual, gradient);
    }

    /// Several sides: two matrix products on a tile that stays in the cache.
    fn add_batch(&mut self, tile: Dense<'_, f64>, first: usize) -> Result<()> {
        let (design, point, rows) = (self.design, self.point, first..first + tile.nrows());
        let tile = fit(tile, &mut self.copy)?;
        let width = rows.len() * SIDES;
        let residuals = &mut self.residual[..self.pass.squares.len().div_ceil(SIDES) * width];
        point.sides.load(design, rows.clone(), residuals);
        let weights = design.a.root_weights.as_ref().map(|weights| &weights[rows]);
        let sums = self.pass.squares.chunks_mut(SIDES).zip(self.pass.totals.chunks_mut(SIDES));
        for (panel, (residual, sums)) in residuals.chunks_exact_mut(width.max(1)).zip(sums).enumerate() {
            if let Some(x) = &point.negative {
                add_product(tile, x, panel, residual);
            }
            add_transposed_product(tile, residual, panel, &mut self.gradient);
            add_sums_of_sides(residual, weights, sums);
        }
        Ok(())
    }
}

kernel! {
    /// Adds to the sums of squares of the sides of a panel, and to those of its numbers times the weights of their rows.
    fn add_sums_of_sides<V>(panel: &[f64], weights: Option<&[f64]>, sums: (&mut [f64], &mut [f64])) {
        let (mut squares, mut totals) = ([0.0; SIDES], [0.0; SIDES]);
        let (rows, _) = panel.as_chunks::<SIDES>();
        for i in 0..rows.len() {
            let weight = match weights {
                Some(weights) => weights[i],
                None => 1.0,
            };
            for side in 0..SIDES {
                squares[side] += rows[i][side] * rows[i][side];
                totals[side] += rows[i][side] * weight;
            }
        }
        for side in 0..sums.0.len() {
            sums.0[side] += squares[side];
            sums.1[side] += totals[side];
        }
    }
}

/// Most rows whose residuals are held at once, for one side.
const MOST_ROWS: usize = 1024;

/// Sum of residuals times root weights, where there is an intercept that wants it.
fn total<T: Real>(design: &Design<'_, T>, first: usize, residual: &[f64]) -> f64 {
    if design.means().is_none() {
        return 0.0;
    }
    residual.iter().enumerate().map(|(i, residual)| residual * design.root_weight(first + i)).sum()
}

/// Right-hand side `side` on the rows from `first` on, in the units of the solvers.
fn load<'r, T: Real, M: Source>(
    design: &Design<'_, T, M>,
    sides: Sides<'_>,
    side: usize,
    first: usize,
    residual: &'r mut [f64],
) -> &'r mut [f64] {
    match sides.target(side) {
        Some(target) => design.load_target(target, first, residual),
        None => residual.fill(0.0),
    }
    residual
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{self, Instance, assert_near, assert_same, forms, operator_forms};

    #[test]
    fn gradients_squares_and_totals_are_those_of_the_explicit_rows() {
        let instance = Instance::new(300, 5);
        let context = Context::new(2);
        for (form, targets) in forms().flat_map(|form| [(form, &[1, 0][..]), (form, &[1])]) {
            let (a, b) = instance.explicit(form);
            let design = Design::new(&context, &instance.problem(form, &[0.0])).unwrap();
            let x = Mat::from_fn(5, targets.len(), |i, j| 0.1 * (1 + i + 3 * j) as f64).unwrap();
            let fitted = testing::product(&a, &x);
            for zeros in [false, true] {
                let side = |i: usize, j: usize| {
                    if zeros { 0.0 } else { b[(i, targets[j])] * design.target_scale(targets[j]) }
                };
                let r = Mat::from_fn(300, targets.len(), |i, j| side(i, j) - fitted[(i, j)]).unwrap();
                let sides = if zeros { Sides::ZEROS } else { Sides::Targets(targets) };
                let found = Matrix::pass(&context, &design, &x, sides).unwrap();
                let gradient = testing::product(&testing::transposed(&a), &r);
                assert_same(&found.gradient, &gradient, &format!("gradient, {form:?}"));
                assert_same(&residuals(&context, &design, &x, sides).unwrap(), &r, &format!("{form:?}"));
                for j in 0..targets.len() {
                    assert_near(found.squares[j], r.col(j).iter().map(|r| r * r).sum(), "squares");
                    if form.fit_intercept {
                        let weighted = |i: usize| r[(i, j)] * design.root_weight(i);
                        assert_near(found.totals[j], (0..300).map(weighted).sum(), "totals");
                    }
                }
            }
        }
    }

    #[test]
    fn an_operator_gives_what_its_rows_give() {
        let instance = Instance::new(300, 5);
        for form in operator_forms() {
            let x = Mat::from_fn(5, 2, |i, j| 0.1 * (1 + i + 3 * j) as f64).unwrap();
            let sides = Sides::Targets(&[0, 1]);
            let mut expected = None;
            instance.with_group(form, 0.0, |group| {
                expected = Some(Matrix::pass(group.context, group.design, &x, sides).unwrap());
            });
            let expected = expected.unwrap();
            instance.with_operator(form, 0.0, |group| {
                let found = Passes::pass(group.context, group.design, &x, sides).unwrap();
                assert_same(&found.gradient, &expected.gradient, "gradient");
                (0..2).for_each(|j| assert_near(found.squares[j], expected.squares[j], "squares"));
            });
        }
    }
}
