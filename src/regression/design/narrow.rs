//! Narrow dense rows: one read gives A'A, A'B and B'B, centred if need be; those after it measure answers at its speed.
//!
//! A few rows of [A, B] at a time are taken as a tile of columns that the cache holds, whatever their order and type, and
//! everything else is done there.
//!
//! Means need no read of their own: deviations are counted from those of a few rows, and what is left of the mean is taken
//! off the products. That loses as many digits as the rest of the mean is long beside the spread. Means so had are off by
//! some roundings of what the few rows are away from them, and a shift by that much changes the minimiser by the product
//! of two such shifts.

use crate::error::Result;
use crate::matrix::{Dense, Mat, Matrix, Real, power_of_two_below};
use crate::memory::{collected, filled, resize, zeros};
use crate::parallel::Context;
use crate::regression::design::pass::{Pass, Sides};
use crate::regression::design::{Design, FirstRead, LARGEST_SQUARE, NEGLIGIBLE_ROOT};
use crate::simd::Extended;
use crate::simd::narrow::{Block, add_products_of_columns, columns_of, pairs, residual_of_columns, total};
use std::ops::Range;

/// Most columns of narrow rows.
pub(crate) const MOST_COLUMNS: usize = 32;
/// Most targets beside them.
pub(crate) const MOST_TARGETS: usize = 8;

/// From as many columns on, rows as they are stored are read as fast by dot products.
const LONG_ROWS: usize = 8;
/// Squared length of what is left of a mean beside that of what deviates from it: six digits may be lost.
const REST_OF_MEAN: f64 = 1e6;
/// The same for the mean itself: beyond, a column may be all but constant.
const MEAN: f64 = 1e13;

/// Rows from which deviations are counted.
const SAMPLE: usize = 64;
/// Numbers in a tile: the second cache holds some.
const TILE: usize = 1 << 12;
const PURPOSE: &str = "a tile of narrow rows";

/// True for shapes that are read this way.
pub(crate) fn is_narrow<T: Real>(matrix: &Matrix<'_, T>, targets: usize) -> bool {
    matches!(matrix, Matrix::Dense(a) if a.ncols() <= MOST_COLUMNS) && (1..=MOST_TARGETS).contains(&targets)
}

impl<'m, T: Real> Design<'_, T, Matrix<'m, T>> {
    /// Reads A and the targets once; false, and nothing learnt, where something may be out of range, not finite or constant.
    pub(super) fn read_at_once(&mut self, context: &Context, fit_intercept: bool) -> Result<bool> {
        let Matrix::Dense(a) = self.a.source else { return Ok(false) };
        if self.spread.heaviest < NEGLIGIBLE_ROOT || self.root_ridge > LARGEST_SQUARE.sqrt() {
            return Ok(false);
        }
        let (d, k) = (self.ncols(), self.ntargets());
        let about = match fit_intercept {
            true => [sample_means(a)?, sample_means(self.targets)?],
            false => [zeros(d, PURPOSE)?, zeros(k, PURPOSE)?],
        };
        let sums = self.products(context, a, &about, fit_intercept)?;
        let sum = |i: usize, j: usize| sums[pairs(i.max(j)) + i.min(j)];
        let weight = if fit_intercept { sum(d + k, d + k) } else { 1.0 };
        let rest = |j: usize| if fit_intercept { sum(j, d + k) / weight } else { 0.0 };
        let centred = |i: usize, j: usize| (-rest(i)).mul_add(rest(j) * weight, sum(i, j));
        let mean = |j: usize| if j < d { about[0][j] + rest(j) } else { about[1][j - d] + rest(j) };
        let is_plain = |j: usize| {
            let square = centred(j, j);
            let stands_out = |mean: f64, most: f64| weight * mean * mean > most * square;
            (LARGEST_SQUARE.recip()..=LARGEST_SQUARE).contains(&square)
                && !(fit_intercept && (stands_out(rest(j), REST_OF_MEAN) || stands_out(mean(j), MEAN)))
        };
        if !(0..d + k).all(is_plain) {
            return Ok(false);
        }
        if fit_intercept {
            self.a.means = Some(collected((0..d).map(mean), PURPOSE)?);
            self.target_means = collected((d..d + k).map(mean), PURPOSE)?;
        }
        let mut gradient = Mat::zeros(d, k)?;
        for target in 0..k {
            let norm = centred(d + target, d + target).sqrt();
            let scale = power_of_two_below(norm).recip();
            (self.target_scale[target], self.target_norm[target]) = (scale, norm * scale);
            let gradient = gradient.col_mut(target);
            gradient.iter_mut().enumerate().for_each(|(j, g)| *g = centred(j, d + target) * scale);
        }
        self.first_read = Some(FirstRead { gram: Mat::from_fn(d, d, centred)?, gradient });
        Ok(true)
    }

    /// Products of all pairs of columns of [A, B], less what they are counted from, and of ones where there is an intercept,
    /// all times the root weights.
    fn products(
        &self,
        context: &Context,
        a: Dense<'_, T>,
        about: &[Vec<f64>; 2],
        fit_intercept: bool,
    ) -> Result<Vec<f64>> {
        let (d, k) = (self.ncols(), self.ntargets());
        let columns = d + k + usize::from(fit_intercept);
        let (slabs, height) = (slabs(self.nrows(), columns)?, height(columns));
        let work = |tile: &mut Vec<f64>, slab: usize| {
            resize(tile, columns * height, 0.0, PURPOSE)?;
            let mut sums = filled([0.0; 8], pairs(columns), PURPOSE)?;
            for rows in steps(&slabs[slab], height) {
                let (of_a, rest) = tile.split_at_mut(d * height);
                let (of_targets, ones) = rest.split_at_mut(k * height);
                columns_of(block(a, &rows), &about[0], self.roots(&rows), of_a, height);
                columns_of(block(self.targets, &rows), &about[1], self.roots(&rows), of_targets, height);
                self.put_roots(&rows, ones);
                add_products_of_columns(tile, height, rows.len().next_multiple_of(8), columns, &mut sums);
            }
            collected(sums.into_iter().map(total), PURPOSE)
        };
        // As exact as the parts are: an answer that misses its target by a rounding costs another read.
        let mut all = filled(Extended::default(), pairs(columns), PURPOSE)?;
        let add = |part: Vec<f64>| all.iter_mut().zip(part).for_each(|(sum, part)| sum.add(part));
        context.fold_with(slabs.len(), Vec::new, work, add)?;
        collected(all.into_iter().map(Extended::value), PURPOSE)
    }

    /// B - A X and A'(B - A X) by one read, if that is best made in tiles of columns.
    pub(super) fn narrow_pass(
        &self,
        context: &Context,
        x: &Mat<f64>,
        sides: Sides<'_>,
    ) -> Result<Option<Pass>> {
        let Matrix::Dense(a) = self.a.source else { return Ok(None) };
        let count = sides.of(x.ncols());
        let is_stored = self.a.is_untouched() && a.col_stride() == 1 && a.ncols() >= LONG_ROWS && count == 1;
        if is_stored { Ok(None) } else { self.narrow_pass_in_any_order(context, x, sides) }
    }

    /// The same for all narrow rows, however they are stored.
    pub(super) fn narrow_pass_in_any_order(
        &self,
        context: &Context,
        x: &Mat<f64>,
        sides: Sides<'_>,
    ) -> Result<Option<Pass>> {
        let Matrix::Dense(a) = self.a.source else { return Ok(None) };
        if !is_narrow(&self.a.source, sides.of(x.ncols())) || self.a.scale.is_some() {
            return Ok(None);
        }
        pass_in_tiles(context, self, a, x, sides).map(Some)
    }

    /// Root weights of some rows.
    fn roots(&self, rows: &Range<usize>) -> Option<&[f64]> {
        self.a.root_weights.as_ref().map(|roots| &roots[rows.clone()])
    }

    /// The same as a column of a tile, which may not be there.
    fn put_roots(&self, rows: &Range<usize>, column: &mut [f64]) {
        if let Some((column, below)) = column.split_at_mut_checked(rows.len()) {
            match self.roots(rows) {
                Some(roots) => column.copy_from_slice(roots),
                None => column.fill(1.0),
            }
            below.fill(0.0);
        }
    }

    /// A target, or zeros, as a column of a tile.
    fn put_target(&self, sides: Sides<'_>, side: usize, rows: &Range<usize>, column: &mut [f64]) {
        let Some(target) = sides.target(side) else { return column.fill(0.0) };
        let (block, height) = (block(self.targets.cols(target..target + 1), rows), column.len());
        columns_of(block, &[self.target_means[target]], self.roots(rows), column, height);
        column.iter_mut().for_each(|value| *value *= self.target_scale[target]);
    }
}

/// B - A X and A'(B - A X) by one read of narrow rows.
fn pass_in_tiles<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    a: Dense<'_, T>,
    x: &Mat<f64>,
    sides: Sides<'_>,
) -> Result<Pass> {
    let (d, k) = (design.ncols(), x.ncols());
    let no_means;
    let means = match design.means() {
        Some(means) => means,
        None => {
            no_means = [0.0; MOST_COLUMNS];
            &no_means[..d]
        }
    };
    // Sums of A'r, and of the root weights times r where there is an intercept.
    let width = d + usize::from(design.means().is_some());
    let (mut slabs, height) = (slabs(design.nrows(), d + 1)?, height(width + 1));
    // Backwards: of the read before it, that of the products, the cache holds the end.
    slabs.reverse();
    let work = |tile: &mut Vec<f64>, slab: usize| {
        resize(tile, (width + 1) * height, 0.0, PURPOSE)?;
        let (columns, residual) = tile.split_at_mut(width * height);
        let (mut sums, mut squares) =
            ([[0.0; 8]; (MOST_COLUMNS + 1) * MOST_TARGETS], [[0.0; 8]; MOST_TARGETS]);
        for rows in steps(&slabs[slab], height) {
            columns_of(block(a, &rows), means, design.roots(&rows), &mut columns[..d * height], height);
            clear_absent(design.roots(&rows), &mut columns[..d * height], height);
            design.put_roots(&rows, &mut columns[d * height..]);
            let residual_of = rows.len().next_multiple_of(8);
            for side in 0..k {
                design.put_target(sides, side, &rows, residual);
                let sums = &mut sums[side * width..(side + 1) * width];
                let residual = &mut residual[..residual_of];
                residual_of_columns(columns, height, x.col(side), residual, sums, &mut squares[side]);
            }
        }
        let mut pass = Pass::zeros(d, k)?;
        for side in 0..k {
            let sums = &sums[side * width..(side + 1) * width];
            pass.gradient.col_mut(side).iter_mut().zip(sums).for_each(|(g, &sum)| *g = total(sum));
            pass.squares[side] = total(squares[side]);
            pass.totals[side] = sums.get(d).map_or(0.0, |&sum| total(sum));
        }
        Ok(pass)
    };
    let mut sum = Pass::zeros(d, k)?;
    context.fold_with(slabs.len(), Vec::new, work, |part: Pass| sum.add(&part))?;
    Ok(sum)
}

/// Zeros where the weight is zero, whatever is there.
fn clear_absent(roots: Option<&[f64]>, columns: &mut [f64], height: usize) {
    for (row, _) in roots.into_iter().flatten().enumerate().filter(|&(_, &root)| root == 0.0) {
        columns[row..].iter_mut().step_by(height).for_each(|value| *value = 0.0);
    }
}

/// Means of a few rows.
fn sample_means<T: Real>(a: Dense<'_, T>) -> Result<Vec<f64>> {
    let rows = a.nrows().min(SAMPLE);
    let row = |i: usize| (i as u128 * a.nrows() as u128 / rows as u128) as usize;
    let mean = |j: usize| (0..rows).map(|i| a.get(row(i), j).to_f64()).sum::<f64>() / rows as f64;
    collected((0..a.ncols()).map(mean), PURPOSE)
}

fn block<'a, T: Real>(a: Dense<'a, T>, rows: &Range<usize>) -> Block<'a, T> {
    let rows = a.rows(rows.clone());
    Block {
        data: rows.data(),
        shape: (rows.nrows(), rows.ncols()),
        strides: (rows.row_stride(), rows.col_stride()),
    }
}

/// Rows of a tile of so many columns.
fn height(columns: usize) -> usize {
    (TILE / columns / 8 * 8).min(1024)
}

/// Slabs of rows for the threads, by shape alone.
fn slabs(nrows: usize, columns: usize) -> Result<Vec<Range<usize>>> {
    let count = (nrows.saturating_mul(columns) >> 14).clamp(1, 32);
    let step = nrows.div_ceil(count).next_multiple_of(height(columns)).max(1);
    collected((0..nrows).step_by(step).map(|start| start..nrows.min(start + step)), PURPOSE)
}

/// Rows of a slab, a tile at a time.
fn steps(slab: &Range<usize>, height: usize) -> impl Iterator<Item = Range<usize>> {
    let end = slab.end;
    slab.clone().step_by(height).map(move |start| start..end.min(start + height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::problem::Problem;
    use crate::regression::testing::{Instance, assert_near, assert_same, forms, product, transposed};

    #[test]
    fn one_read_gives_the_products_of_the_explicit_columns() {
        for (n, d) in [(3000, 1), (700, 5), (90, 32)] {
            let instance = Instance::new(n, d);
            for form in forms().filter(|form| !form.sparse) {
                let problem = instance.problem(form, &[2.0]);
                let design = Design::by_first_read(&Context::new(2), &problem).unwrap();
                let careful = Design::new(&Context::new(1), &problem).unwrap();
                let first = design.first_read.as_ref().unwrap();
                let (a, b) = instance.explicit(form);
                let what = format!("{n} x {d}, {form:?}");
                assert_same(&first.gram, &product(&transposed(&a), &a), &what);
                let gradient = product(&transposed(&a), &b);
                for target in 0..2 {
                    let scale = design.target_scale(target);
                    assert_eq!(scale.log2().fract(), 0.0);
                    let norm = b.col(target).iter().map(|b| b * b).sum::<f64>().sqrt();
                    assert_near(design.target_norm(target) / scale, norm, &what);
                    for j in 0..d {
                        assert_near(first.gradient[(j, target)] / scale, gradient[(j, target)], &what);
                    }
                    assert_near(design.target_means()[target], careful.target_means()[target], &what);
                }
                assert_eq!(design.means().is_some(), form.fit_intercept);
                for (mean, expected) in
                    design.means().into_iter().zip(careful.means()).flat_map(|(m, c)| m.iter().zip(c))
                {
                    assert_near(*mean, *expected, &what);
                }
            }
        }
    }

    #[test]
    fn what_stands_out_is_left_to_others() {
        let form = forms().nth(4).unwrap();
        let is_read = |change: &dyn Fn(&mut Instance)| {
            let mut instance = Instance::new(300, 3);
            change(&mut instance);
            let problem = instance.problem(form, &[0.0]);
            Design::by_first_read(&Context::new(1), &problem).map(|design| design.first_read.is_some())
        };
        assert_eq!(is_read(&|_| ()), Ok(true));
        let shift = |by: f64| {
            move |instance: &mut Instance| {
                instance.a.col_mut(1).iter_mut().for_each(|value| *value += by);
            }
        };
        assert_eq!((is_read(&shift(1e6)), is_read(&shift(1e10))), (Ok(true), Ok(false)));
        for constant in [0.0, 1.0, 1e-120, 1e300] {
            assert_eq!(is_read(&|instance| instance.a.col_mut(2).fill(constant)), Ok(false), "{constant}");
            assert_eq!(is_read(&|instance| instance.b.col_mut(1).fill(constant)), Ok(false), "{constant}");
        }
        for row in [0, 150, 299] {
            for value in [f64::NAN, f64::INFINITY] {
                let refusal = is_read(&|instance| instance.a[(row, 1)] = value).unwrap_err().to_string();
                assert!(refusal.contains(&format!("[{row}, 1]")), "{refusal}");
                let refusal = is_read(&|instance| instance.b[(row, 0)] = value).unwrap_err().to_string();
                assert!(refusal.contains(&format!("[{row}, 0]")), "{refusal}");
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let instance = Instance::new(20_000, 6);
        for form in forms().filter(|form| !form.sparse) {
            let Problem { design, targets, weights, ridge, fit_intercept } = instance.problem(form, &[0.0]);
            let bits = [1, 2, 5].map(|threads| {
                let problem = Problem { design, targets, weights, ridge, fit_intercept };
                let context = Context::new(threads);
                let design = Design::by_first_read(&context, &problem).unwrap();
                let x = Mat::from_fn(6, 2, |i, j| 0.1 * (1 + i + 3 * j) as f64).unwrap();
                let Matrix::Dense(a) = design.a.source else { unreachable!() };
                let pass = pass_in_tiles(&context, &design, a, &x, Sides::Targets(&[0, 1])).unwrap();
                let first = design.first_read.unwrap();
                [first.gram, first.gradient, pass.gradient].map(|m| m.as_slice().to_vec())
            });
            assert!(bits[1] == bits[0] && bits[2] == bits[0], "{form:?}");
        }
    }
}
