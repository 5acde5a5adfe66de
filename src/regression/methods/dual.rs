//! Fewer rows than columns: the shortest answer x = A'y by a factor of A A', refined; ridge regression alike.
//!
//! With R'R = T^-1 A A' T^-1 (plus ridge T^-2) for rows of lengths t, one read of A is a step
//!
//! rho = T^-1 (b - A x) - ridge T^-2 y, dy = R^-1 R'^-1 rho, y += dy, x += A' T^-1 dy.
//!
//! Beyond the condition that products bear, dy is so much longer than what A' makes of it that nothing is left of that. There
//! R is that of QR, and x += Q R'^-1 rho, for A' T^-1 = Q R.
//!
//! **Backward error** (Sun and Sun 1997) of a shortest answer, relative to |T^-1 A|_F: it has a part for the residual, which
//! is measured, and one for what x is off the space of the rows, which is at most |A'y - x| / |y| for any y; x being a
//! sum of products with rows, that is rounding, told beforehand. It is that of Q R where x is made of Q, in sums as long: what
//! rounding makes of Q times something is less, as that is shorter than y. With a ridge the gradient is
//! A'(b - A x - ridge T^-1 y), and |rho| bounds the estimate of Karlson and Walden, rows not scaled.

use crate::error::Result;
use crate::linalg::{self, Batch, SIDES, SUM_DEPTH, add_product, add_transposed_product, fit, norm};
use crate::matrix::{ColumnNorms, Dense, Mat, Matrix, Products, Real, Rows, even_blocks};
use crate::memory::{collected, copied, filled, reset, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::products::{product, transposed_product};
use crate::regression::methods::outcome::{Outcome, Unfactored};
use crate::regression::methods::row_factor::RowFactor;
use crate::regression::refine::{Group, Refined, STAGNATION, TARGETS};
use crate::simd::{axpy, dot, kernel};
use std::ops::Range;

/// What one read tells of the magnitudes of A.
pub(crate) struct Magnitudes {
    /// The largest in every row.
    pub rows: Vec<f64>,
    /// The largest in every column; NaN if there is one.
    pub columns: Vec<f64>,
    /// Squared norms of the columns.
    squares: Vec<f64>,
    /// Stored entries of the columns of sparse rows.
    lengths: Vec<usize>,
}

impl Magnitudes {
    /// Reads A.
    pub fn of<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Self> {
        if let Matrix::Sparse(matrix) = &design.a.source {
            // Rows are not scaled before they are multiplied.
            let squares = design.a.squared_column_norms(context)?;
            return Ok(Self {
                rows: filled(1.0, matrix.nrows(), SIZES)?,
                columns: copied(&design.a.largest_in_columns(context)?, SIZES)?,
                squares: copied(&squares, SIZES)?,
                lengths: matrix.t().row_lengths(context)?,
            });
        }
        let (n, d) = (design.nrows(), design.ncols());
        let mut blocks = column_blocks(n, d)?;
        // A Gram matrix, which comes next, finds its first columns in the cache.
        blocks.reverse();
        let nothing = |n: usize, d: usize| {
            let lengths = Vec::new();
            Ok(Self { rows: zeros(n, SIZES)?, columns: zeros(d, SIZES)?, squares: zeros(d, SIZES)?, lengths })
        };
        let mut all: Self = nothing(n, d)?;
        let parts = context.map_with(blocks.len(), Vec::new, |buffer, block| {
            let width = blocks[block].len();
            let mut part = nothing(n, width)?;
            let tile = design.a.tile(0..n, blocks[block].clone(), buffer)?;
            measure(tile, &mut part.rows, &mut part.columns, &mut part.squares);
            Ok(part)
        })?;
        for (columns, part) in blocks.into_iter().zip(parts) {
            let part: Self = part?;
            all.rows.iter_mut().zip(part.rows).for_each(|(all, part)| *all = all.max(part));
            all.columns[columns.clone()].copy_from_slice(&part.columns);
            all.squares[columns].copy_from_slice(&part.squares);
        }
        Ok(all)
    }

    /// Products that A A' is made of.
    pub fn products(&self) -> usize {
        self.lengths.iter().map(|&length| length.saturating_mul(length) / 2).fold(0, usize::saturating_add)
    }

    /// Whether a ridge is beyond what counts as nothing beside the columns: beside all of them or none, or it is not clear.
    fn is_ridged<T: Real>(&self, group: &Group<'_, '_, T>, rcond: f64) -> Option<bool> {
        let is_beyond = |j: usize| group.root_ridge(j) > rcond * self.squares[j].sqrt();
        let mut beyond = (0..self.squares.len()).filter(|&j| self.squares[j] > 0.0).map(is_beyond);
        let first = beyond.next().unwrap_or(true);
        beyond.all(|other| other == first).then_some(first)
    }

    /// True if the units of columns that are not zero are so far apart that large ones hide what small ones say: a
    /// shortest answer to its last digits takes pivoted QR then.
    pub fn are_steep(&self) -> bool {
        let squares = || self.squares.iter().copied().filter(|&square| square > 0.0);
        squares().fold(0.0, f64::max) > STEEP * STEEP * squares().fold(f64::INFINITY, f64::min)
    }

    /// The least share that centring left of a column that it left anything of.
    fn left_by_centring<T: Real>(&self, design: &Design<'_, T>, rcond: f64) -> Result<f64> {
        let lengths = collected(self.squares.iter().map(|square| square.sqrt()), SIZES)?;
        let left = design.left_by_centring(&lengths, rcond)?;
        let left = left.iter().flatten().copied();
        Ok(left.filter(|&left| left > 0.0).fold(1.0, f64::min))
    }
}

kernel! {
    /// The largest magnitudes of the rows of a tile, and those of its columns beside their squared norms; NaN in a column
    /// that has one.
    fn measure<V>(tile: Dense<'_, f64>, rows: &mut [f64], columns: &mut [f64], squares: &mut [f64]) {
        assert!(tile.col_stride() == 1 && tile.ncols() == columns.len() && columns.len() == squares.len());
        let ((eights, rest), (sums, sums_of_rest)) = (columns.as_chunks_mut::<8>(), squares.as_chunks_mut::<8>());
        for i in 0..rows.len() {
            let row = &tile.data()[i * tile.row_stride()..][..tile.ncols()];
            let ((values, values_of_rest), mut largest) = (row.as_chunks::<8>(), [0.0; 8]);
            for c in 0..values.len() {
                for k in 0..8 {
                    let size = values[c][k].abs();
                    eights[c][k] = if size > eights[c][k] { size } else { eights[c][k] };
                    largest[k] = if size > largest[k] { size } else { largest[k] };
                    sums[c][k] += values[c][k] * values[c][k];
                }
            }
            for k in 0..rest.len() {
                let size = values_of_rest[k].abs();
                rest[k] = if size > rest[k] { size } else { rest[k] };
                largest[k] = if size > largest[k] { size } else { largest[k] };
                sums_of_rest[k] += values_of_rest[k] * values_of_rest[k];
            }
            for k in 0..8 {
                rows[i] = if largest[k] > rows[i] { largest[k] } else { rows[i] };
            }
        }
        for j in 0..columns.len() {
            columns[j] = if squares[j].is_nan() { f64::NAN } else { columns[j] };
        }
    }
}

/// The answers to one group of targets by a factor that is admissible up to the condition `limit`, and if that shows that the
/// rows are independent.
pub(crate) fn dual<T: Real>(
    group: &Group<'_, '_, T>,
    mut rows: RowFactor,
    magnitudes: &Magnitudes,
    limit: f64,
    rcond: f64,
) -> Result<Outcome> {
    let RowFactor { t, r, rounding, .. } = &rows;
    let condition = linalg::condition_of_upper(r.as_ref())?;
    let (least, most) =
        t.iter().fold((f64::INFINITY, 0.0f64), |(least, most), &t| (least.min(t), most.max(t)));
    let doubt = condition * most / least / magnitudes.left_by_centring(group.design, rcond)?;
    let is_ridged = magnitudes.is_ridged(group, rcond);
    let in_doubt = is_ridged != Some(true) && doubt * rcond >= CLEAR;
    let is_clear = linalg::is_beyond_rounding(r.as_ref(), condition, *rounding)?;
    if condition.is_nan() || condition > limit || in_doubt || !is_clear {
        return Ok(Outcome::Inadmissible(condition));
    }
    let (n, d) = (group.design.nrows(), group.design.ncols());
    let basis = rows.basis(group, condition)?;
    if rows.wants_basis() && basis.is_none() {
        return Ok(Outcome::Inadmissible(condition));
    }
    let refined = Refinement::new(group, &rows, basis)?.run()?;
    let rounding = match magnitudes.lengths.iter().max() {
        Some(&longest) => rounding_of_chains(n, longest),
        None => rounding_of_sums(n),
    };
    let bound = refined.backward_error.iter().map(|error| (2f64.sqrt() * error).hypot(rounding));
    Ok(Outcome::Unfactored(Unfactored {
        iterations: refined.passes,
        bound: collected(bound, TARGETS)?,
        rigorous: Vec::new(),
        scale: None,
        norms: collected(magnitudes.squares.iter().map(|square| square.sqrt()), SIZES)?,
        condition,
        rounding,
        is_shortest: true,
        cut: 0.0,
        rank: Some(match is_ridged {
            Some(true) => d - group.design.constant().len(),
            _ => group.design.most_rank(),
        }),
        refined,
    }))
}

/// What x is off the space of the rows, relative to |T^-1 A|_F |y|. It is a sum of n products for every column, in chains
/// of fused multiply-adds, one chain after the other. Each addition is off by u / sqrt(3), at random, of the sum so far;
/// products of one sign have the largest sums.
fn rounding_of_sums(n: usize) -> f64 {
    let (n, depth) = (n as f64, SUM_DEPTH as f64);
    let in_chains = n.min(depth) / n.sqrt();
    let of_chains = if n > depth { (n / depth).sqrt() } else { 0.0 };
    in_chains.hypot(of_chains) * f64::UNIT_ROUNDOFF / 3.0
}

/// The same of so many products at most, in one chain each.
fn rounding_of_chains(n: usize, longest: usize) -> f64 {
    longest.max(1) as f64 / (n as f64).sqrt() * f64::UNIT_ROUNDOFF / 3.0
}

/// A bound on the condition of A with columns of norm one that is below this over the cut-off leaves no doubt of the rank.
const CLEAR: f64 = 0.03;

/// Norms of columns this far apart are units of different things.
const STEEP: f64 = 100.0;

/// What memory is for.
const SIZES: &str = "magnitudes of rows and columns";

/// The answers to a group of targets on their way.
struct Refinement<'s, 'p, 'a, T> {
    group: &'s Group<'p, 'a, T>,
    t: &'s [f64],
    r: &'s Mat<f64>,
    /// Q', where steps are made of that.
    basis: Option<Mat<f64>>,
    blocks: Vec<Range<usize>>,
    x: Mat<f64>,
    /// In units of T.
    y: Mat<f64>,
    /// b - A x.
    residual: Mat<f64>,
    state: Refined,
}

impl<'s, 'p, 'a, T: Real> Refinement<'s, 'p, 'a, T> {
    fn new(group: &'s Group<'p, 'a, T>, rows: &'s RowFactor, basis: Option<Mat<f64>>) -> Result<Self> {
        let RowFactor { t, r, .. } = rows;
        let (n, d, k) = (group.design.nrows(), group.design.ncols(), group.targets.len());
        let x = Mat::zeros(d, k)?;
        Ok(Self {
            state: Refined::starting_at(&x)?,
            residual: targets(group)?,
            blocks: column_blocks(n, d)?,
            y: Mat::zeros(n, k)?,
            x,
            group,
            t,
            r,
            basis,
        })
    }

    fn run(mut self) -> Result<Refined> {
        let (k, b) = (self.group.targets.len(), targets(self.group)?);
        let mut last = filled(f64::INFINITY, k, TARGETS)?;
        let mut going = filled(true, k, TARGETS)?;
        loop {
            let rho = self.rho()?;
            for side in (0..k).filter(|&side| going[side]) {
                let error = self.backward_error(rho.col(side), b.col(side), side);
                self.keep_better(side, error);
            }
            let mut step = rho;
            linalg::solve_upper_transposed(self.r.as_ref(), step.as_mut());
            for side in 0..k {
                let length = norm(step.col(side));
                // Of steps along a basis even rounding is long in the directions that A shrinks.
                let slow = length.is_nan() || self.basis.is_none() && length > STAGNATION * last[side];
                going[side] &= self.state.backward_error[side] > self.group.tolerance && !slow;
                last[side] = length;
            }
            if !going.contains(&true) || self.state.passes == self.group.max_passes {
                break;
            }
            (0..k).filter(|&side| !going[side]).for_each(|side| step.col_mut(side).fill(0.0));
            let spanned = self.basis.as_ref().map(|basis| combination(self.group.context, basis, &step));
            linalg::solve_upper(self.r.as_ref(), step.as_mut());
            self.y.as_mut_slice().iter_mut().zip(step.as_slice()).for_each(|(y, dy)| *y += dy);
            match spanned {
                Some(step) => self.advance(&step?)?,
                None => self.advance_by_rows(&step)?,
            }
            self.state.passes += 1;
            self.state.report(self.group.context, self.state.passes, self.group.max_passes)?;
        }
        self.state.settled = (0..k).all(|side| self.group.is_accepted(&self.state, side));
        Ok(self.state)
    }

    /// T^-1 (b - A x) - ridge T^-2 y
    fn rho(&self) -> Result<Mat<f64>> {
        let (t, ridge) = (self.t, self.group.ridge);
        Mat::from_fn(t.len(), self.y.ncols(), |i, side| {
            (self.residual[(i, side)] - ridge * (self.y[(i, side)] / t[i])) / t[i]
        })
    }

    /// Relative to |T^-1 A|_F, or to that of A over the ridge.
    fn backward_error(&self, rho: &[f64], b: &[f64], side: usize) -> f64 {
        let (t, ridge, size) = (self.t, self.group.ridge, norm(self.x.col(side)));
        let present = (0..t.len()).filter(|&i| self.group.design.weight(i) > 0.0);
        if ridge == 0.0 {
            let square: f64 = b.iter().zip(t).map(|(b, t)| (b / t).powi(2)).sum();
            return norm(rho) / ((present.count() as f64).sqrt() * size).hypot(square.sqrt());
        }
        let rest: f64 = rho.iter().zip(t).map(|(rho, t)| (rho * t).powi(2)).sum();
        let squares: f64 = present.map(|i| t[i] * t[i]).sum();
        rest.sqrt() / ((squares + ridge * self.x.nrows() as f64).sqrt() * size).hypot(norm(b))
    }

    fn keep_better(&mut self, side: usize, error: f64) {
        if error < self.state.backward_error[side] {
            let design = self.group.design;
            let residual = self.residual.col(side);
            let penalty = self.group.ridge.sqrt() * norm(self.x.col(side));
            let totals = residual.iter().enumerate().map(|(i, value)| value * design.root_weight(i));
            self.state.keep(side, error, [norm(residual).hypot(penalty), totals.sum()], self.x.col(side));
        }
    }

    /// x += A' T^-1 dy, and the residual there: one read of A, in the other direction than the one before it, the end of
    /// which is in the cache.
    fn advance_by_rows(&mut self, dy: &Mat<f64>) -> Result<()> {
        if self.group.design.stored().is_none() {
            self.blocks.reverse();
            return match dy.ncols() {
                1 => self.advance_alone(dy.col(0)),
                _ => self.advance_by_tiles(dy),
            };
        }
        let step = Mat::from_fn(dy.nrows(), dy.ncols(), |i, side| dy[(i, side)] / self.t[i])?;
        self.advance(&transposed_product(self.group.context, self.group.design, &step)?)
    }

    /// x += dx, and the residual there.
    fn advance(&mut self, dx: &Mat<f64>) -> Result<()> {
        let Group { context, design, .. } = self.group;
        self.x.as_mut_slice().iter_mut().zip(dx.as_slice()).for_each(|(x, dx)| *x += dx);
        let (image, b) = (product(context, design, &self.x)?, targets(self.group)?);
        self.residual = Mat::from_fn(b.nrows(), b.ncols(), |i, side| b[(i, side)] - image[(i, side)])?;
        Ok(())
    }

    /// One target, whose sums are cut as those of many are.
    fn advance_alone(&mut self, dy: &[f64]) -> Result<()> {
        let (n, design, x, blocks) = (dy.len(), self.group.design, &self.x, &self.blocks);
        let step = collected(dy.iter().zip(self.t).map(|(dy, t)| dy / t), SIZES)?;
        let work = |(buffer, sum): &mut (Vec<f64>, Vec<f64>), block: usize| {
            let columns = blocks[block].clone();
            let tile = design.a.tile(0..n, columns.clone(), buffer)?;
            let mut x = copied(&x.col(0)[columns.clone()], SIZES)?;
            for first in (0..n).step_by(SUM_DEPTH) {
                reset(sum, x.len(), SIZES)?;
                (first..n.min(first + SUM_DEPTH)).for_each(|i| axpy(step[i], tile.stored_row(i), sum));
                x.iter_mut().zip(&*sum).for_each(|(x, sum)| *x += sum);
            }
            let image = (0..n).map(|i| dot(tile.stored_row(i), &x));
            Ok((columns, collected(image, SIZES)?, x))
        };
        let (mut next, mut image): (Vec<f64>, Vec<f64>) = (zeros(x.nrows(), SIZES)?, zeros(n, SIZES)?);
        self.group.context.fold_with(blocks.len(), Default::default, work, |(columns, part, x)| {
            next[columns].copy_from_slice(&x);
            image.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        })?;
        self.x.col_mut(0).copy_from_slice(&next);
        let b = targets(self.group)?;
        let rest = self.residual.col_mut(0).iter_mut().zip(b.col(0)).zip(image);
        rest.for_each(|((rest, b), image)| *rest = b - image);
        Ok(())
    }

    fn advance_by_tiles(&mut self, dy: &Mat<f64>) -> Result<()> {
        let (n, k, design) = (dy.nrows(), dy.ncols(), self.group.design);
        let minus = Mat::from_fn(n, k, |i, side| dy[(i, side)] / self.t[i])?;
        let minus = Batch::negative(minus.as_ref())?;
        let (x, blocks) = (&self.x, &self.blocks);
        let work = |(buffer, copy): &mut (Vec<f64>, Vec<f64>), block: usize| {
            let columns = blocks[block].clone();
            let tile = fit(design.a.tile(0..n, columns.clone(), buffer)?, copy)?;
            let mut minus_x = Batch::negative(x.as_ref().rows(columns.clone()))?;
            let mut minus_image = Batch::zeros(n, k)?;
            for panel in 0..k.div_ceil(SIDES) {
                add_transposed_product(tile, minus.panel(panel), panel, &mut minus_x);
                add_product(tile, &minus_x, panel, minus_image.panel_mut(panel));
            }
            Ok((columns, minus_x, minus_image))
        };
        let mut next = Mat::zeros(x.nrows(), k)?;
        let mut image = Batch::zeros(n, k)?;
        self.group.context.fold_with(
            blocks.len(),
            Default::default,
            work,
            |(columns, minus_x, minus_image)| {
                minus_x.copy_to(next.as_mut().window(columns, 0..k));
                image.add(&minus_image);
            },
        )?;
        next.as_mut_slice().iter_mut().for_each(|x| *x = -*x);
        self.x = next;
        image.copy_to(self.residual.as_mut());
        let b = targets(self.group)?;
        self.residual.as_mut_slice().iter_mut().zip(b.as_slice()).for_each(|(r, b)| *r += b);
        Ok(())
    }
}

/// Q Y, given Q'.
fn combination(context: &Context, basis: &Mat<f64>, y: &Mat<f64>) -> Result<Mat<f64>> {
    let mut sum = Mat::zeros(basis.ncols(), y.ncols())?;
    basis.as_ref().t().product(context, y.as_ref(), sum.as_mut())?;
    Ok(sum)
}

/// The targets of a group as columns, in the units of the solvers.
fn targets<T: Real>(group: &Group<'_, '_, T>) -> Result<Mat<f64>> {
    Mat::from_fn(group.design.nrows(), group.targets.len(), |i, side| {
        group.design.target(i, group.targets[side])
    })
}

/// Blocks of columns of which a tile stays in a cache.
fn column_blocks(n: usize, d: usize) -> Result<Vec<Range<usize>>> {
    even_blocks(d, ((1 << 16) / n.max(1)).clamp(128, 1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{LEAST, Precision};
    use crate::regression::methods::row_factor::RowGram;
    use crate::regression::testing::{Form, Instance, assert_near, forms};

    fn solved(instance: &Instance, form: Form, ridge: f64, check: impl Fn(&Group<'_, '_, f64>, Outcome)) {
        let digits = [3, 4].map(|digits| Some(Precision::Digits(digits)));
        for precision in [Some(Precision::Single), Some(Precision::Double), None].into_iter().chain(digits) {
            instance.with_group(form, ridge, |group| {
                let magnitudes = Magnitudes::of(group.context, group.design).unwrap();
                let factor = match precision {
                    Some(precision) => {
                        let rows =
                            RowGram::new(group.context, group.design, precision, &magnitudes.rows).unwrap();
                        rows.unwrap().factor(group).unwrap()
                    }
                    None => RowFactor::by_reflections(group).unwrap(),
                };
                let outcome = |factor| dual(group, factor, &magnitudes, 300.0, LEAST).unwrap();
                check(group, factor.map_or(Outcome::Inadmissible(f64::INFINITY), outcome));
            });
        }
    }

    #[test]
    fn the_minimiser_under_a_ridge_and_the_limit_of_small_ones() {
        let instance = Instance::new(6, 20);
        for form in forms() {
            solved(&instance, form, 20.0, |group, outcome| {
                let Outcome::Unfactored(found) = outcome else { panic!("admissible") };
                assert_eq!(found.rank, Some(20));
                instance.assert_solved(form, group, &found.refined, &[1.0; 20]);
            });
            if form.weighted {
                continue;
            }
            let limit = instance.minimiser(form, 1e-7);
            solved(&instance, form, 0.0, |group, outcome| {
                let Outcome::Unfactored(found) = outcome else { panic!("admissible") };
                assert_eq!(found.rank, Some(group.most_rank()));
                assert!(found.refined.settled && found.bound.iter().all(|bound| *bound < 3e-15));
                for (j, side) in (0..20).flat_map(|j| [(j, 0), (j, 1)]) {
                    let x = found.refined.x[(j, side)] / group.design.target_scale(side);
                    assert!((x - limit[(j, side)]).abs() < 1e-5, "{form:?}: {x}");
                }
            });
        }
    }

    #[test]
    fn rows_that_depend_on_others_and_rows_of_zeros_are_left_to_others() {
        let form = forms().next().unwrap();
        for zero in [true, false] {
            let mut instance = Instance::new(6, 20);
            (0..20).for_each(|j| instance.a[(4, j)] = if zero { 0.0 } else { 3.0 * instance.a[(1, j)] });
            solved(&instance, form, 0.0, |_, outcome| assert!(matches!(outcome, Outcome::Inadmissible(_))));
        }
    }

    #[test]
    fn magnitudes_are_those_of_the_explicit_rows() {
        let instance = Instance::new(6, 20);
        for form in forms().filter(|form| !form.sparse) {
            let (a, _) = instance.explicit(form);
            instance.with_group(form, 0.0, |group| {
                let found = Magnitudes::of(group.context, group.design).unwrap();
                let largest =
                    |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |m: f64, v| m.max(v.abs()));
                for i in 0..6 {
                    assert_near(found.rows[i], largest(&mut (0..20).map(|j| a[(i, j)])), "row");
                }
                for j in 0..20 {
                    assert_near(found.columns[j], largest(&mut (0..6).map(|i| a[(i, j)])), "column");
                }
            });
        }
    }
}
