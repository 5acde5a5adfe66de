//! A'A and A'B, read once for all ridges.

use crate::error::Result;
use crate::linalg::{self, Precision, Sum};
use crate::matrix::{Dense, Mat, Matrix, Real, Sparse};
use crate::memory::{collected, filled, push, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::pass::{Pass, PassSum, Passes, Point, Sides, fold};
use crate::regression::design::{Design, FirstRead};
use crate::regression::refine::{Group, TARGETS, columns};
use crate::simd::axpy;

/// A'A and A'B in one read of A, to be shared by all ridges.
pub(crate) struct Moments {
    /// (A 2^e)'(A 2^e), of sparse rows the lower triangle.
    gram: Mat<f64>,
    /// Of columns, as in [`Sum`].
    rounding: Vec<f64>,
    /// 2^e
    powers: Vec<f64>,
    /// Squared lengths of the columns of sparse rows before they were centred by taking off what their means make up.
    before: Option<Vec<f64>>,
    /// The pass at x = 0 for all targets.
    at_zero: Pass,
}

/// The normal equations of columns of norm one.
pub(crate) struct Normal {
    /// Of which only the lower triangle is read.
    pub gram: Mat<f64>,
    /// Norms of the columns, in the units of the solvers.
    pub scale: Vec<f64>,
    /// Columns of zeros, which have a one on the diagonal.
    pub empty: Vec<usize>,
    /// Rounding errors of the Gram matrix relative to those of one whose columns were centred before.
    pub magnification: f64,
    /// What rounding to digits has changed all columns by, in the Frobenius norm.
    pub rounding: f64,
    /// The pass at x = 0 for the targets of the group, in scaled units.
    pub at_zero: Pass,
}

impl Moments {
    /// `powers` are powers of two that bring the columns near one. Sparse rows are never spread out, and multiplied in
    /// double precision.
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        precision: Precision,
        powers: Vec<f64>,
    ) -> Result<Self> {
        if let Matrix::Sparse(matrix) = &design.a.source {
            return matrix.by_rows(context, |rows| Self::of_sparse(context, design, rows, powers));
        }
        let targets = collected(0..design.ntargets(), TARGETS)?;
        let zeros = Mat::zeros(design.ncols(), targets.len())?;
        let point = Point::new(&zeros, Sides::Targets(&targets))?;
        let part = || PassSum::new(design, &point);
        let visit = |part: &mut Result<PassSum<'_, '_, T>>, tile: Dense<'_, f64>, first: usize| {
            if let Ok(sum) = part
                && let Err(error) = sum.add_tile(tile, first)
            {
                *part = Err(error);
            }
        };
        let Sum { gram, rounding, parts } =
            linalg::gram(context, &design.a, precision, &powers, part, visit)?;
        let at_zero = fold(design, parts.into_iter().map(|part| part.map(PassSum::finish)))?;
        Ok(Self { gram, rounding, powers, before: None, at_zero })
    }

    /// What the first read of narrow rows has given.
    pub fn of_first_read<T: Real>(design: &Design<'_, T>, first: FirstRead) -> Result<Self> {
        let (d, k) = (design.ncols(), design.ntargets());
        let squares = collected((0..k).map(|target| design.target_norm(target).powi(2)), TARGETS)?;
        let at_zero = Pass { gradient: first.gradient, squares, ..Pass::zeros(d, k)? };
        let powers = filled(1.0, d, COLUMNS)?;
        Ok(Self { gram: first.gram, rounding: Vec::new(), powers, before: None, at_zero })
    }

    fn of_sparse<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        rows: &Sparse<'_, T>,
        powers: Vec<f64>,
    ) -> Result<Self> {
        let mut gram = match &design.a.scale {
            None => Some(linalg::sparse_gram(context, rows, design.weights())?).filter(is_finite),
            Some(_) => None,
        };
        let powers = if gram.is_some() { filled(1.0, powers.len(), COLUMNS)? } else { powers };
        let gram = match gram.take() {
            Some(gram) => gram,
            None => {
                let values = scaled_values(context, design, rows, &powers)?;
                linalg::sparse_gram(context, &rows.with_values(&values), None)?
            }
        };
        let targets = collected(0..design.ntargets(), TARGETS)?;
        let zeros = Mat::zeros(design.ncols(), targets.len())?;
        let at_zero = Matrix::pass(context, design, &zeros, Sides::Targets(&targets))?;
        let mut moments = Self { gram, rounding: Vec::new(), powers, before: None, at_zero };
        moments.centre(context, design)?;
        Ok(moments)
    }

    /// Takes off |w|^2 m m'.
    fn centre<T: Real>(&mut self, context: &Context, design: &Design<'_, T>) -> Result<()> {
        let Some(mut lengths) = design.removed_by_centring()? else { return Ok(()) };
        lengths.iter_mut().zip(&self.powers).for_each(|(length, power)| *length *= power);
        self.before = Some(collected((0..lengths.len()).map(|j| self.gram[(j, j)]), COLUMNS)?);
        for (j, length) in lengths.iter().enumerate() {
            context.tick()?;
            axpy(-length, &lengths[j..], &mut self.gram.col_mut(j)[j..]);
        }
        Ok(())
    }

    /// False if something overflowed or was not finite to begin with.
    pub fn is_finite(&self) -> bool {
        is_finite(&self.gram)
    }

    /// The most that squares of lengths were before columns were centred, relative to what they are.
    pub fn magnification(&self) -> f64 {
        let Some(before) = &self.before else { return 1.0 };
        let share = |(j, &before): (usize, &f64)| match self.gram[(j, j)] {
            after if after > 0.0 => before / after,
            _ if before > 0.0 => f64::INFINITY,
            _ => 1.0,
        };
        before.iter().enumerate().map(share).fold(1.0, f64::max)
    }

    /// A'A of columns times their powers of two, and the pass at x = 0.
    pub fn into_parts(self) -> (Mat<f64>, Pass) {
        (self.gram, self.at_zero)
    }

    /// What the ridge of a group and its targets make of them. Columns of zeros keep a unit row.
    pub fn normal<T: Real>(&self, group: &Group<'_, '_, T>) -> Result<Normal> {
        let d = self.gram.ncols();
        let square = |j: usize| self.gram[(j, j)] + (group.root_ridge(j) * self.powers[j]).powi(2);
        let norm = |j: usize| if square(j) == 0.0 { 1.0 } else { square(j).sqrt() };
        let norms = collected((0..d).map(norm), COLUMNS)?;
        let gram = Mat::from_fn(d, d, |i, j| match (i == j, self.gram[(i, j)]) {
            (true, _) => 1.0,
            (false, g) => g / norms[i] / norms[j],
        })?;
        let scale = norms.iter().zip(&self.powers).map(|(norm, power)| norm / power);
        let scale = collected(scale, COLUMNS)?;
        let mut empty = room_for(0, COLUMNS)?;
        let mut magnification = 1.0f64;
        for j in 0..d {
            if square(j) == 0.0 {
                push(&mut empty, j, COLUMNS)?;
            }
            if let Some(before) = self.before.as_ref().map(|before| before[j]).filter(|&before| before > 0.0)
            {
                magnification =
                    magnification.max(if square(j) > 0.0 { before / square(j) } else { f64::INFINITY });
            }
        }
        let at_zero = normal_pass(group, &self.at_zero, &scale)?;
        let rounding = linalg::relative_rounding(&self.rounding, square);
        Ok(Normal { gram, scale, empty, magnification, rounding, at_zero })
    }
}

/// The pass at x = 0 for the targets of the group, in scaled units.
pub(crate) fn normal_pass<T: Real>(group: &Group<'_, '_, T>, all: &Pass, scale: &[f64]) -> Result<Pass> {
    let of_targets = |numbers: &[f64]| collected(group.targets.iter().map(|&at| numbers[at]), TARGETS);
    let (squares, totals) = (of_targets(&all.squares)?, of_targets(&all.totals)?);
    let mut pass = Pass { gradient: columns(&all.gradient, group.targets)?, squares, totals };
    group.to_scaled(&mut pass, &Mat::zeros(scale.len(), group.targets.len())?, scale);
    Ok(pass)
}

/// What memory is for.
const COLUMNS: &str = "norms of columns";

fn is_finite(gram: &Mat<f64>) -> bool {
    (0..gram.ncols()).all(|j| gram[(j, j)].is_finite())
}

/// The values of sparse rows, weighted, equilibrated and times powers of two.
pub(crate) fn scaled_values<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    rows: &Sparse<'_, T>,
    powers: &[f64],
) -> Result<Vec<f64>> {
    let (mut values, mut at): (Vec<f64>, usize) = (zeros(rows.nnz(), "values of sparse rows")?, 0);
    for lines in context.pieces(0..rows.nrows()) {
        for row in lines? {
            let root = design.root_weight(row);
            rows.visit_line(row, |j, value| {
                values[at] = root * design.a.scaled(row, j, value.to_f64()) * powers[j];
                at += 1;
            });
        }
    }
    Ok(values)
}
