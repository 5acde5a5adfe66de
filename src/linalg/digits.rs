//! Gram matrices and products from integers of a few digits, whose products are summed exactly: on a matrix unit, at a
//! multiple of the speed of `f64` and of `f32`.
//!
//! [`DigitSum`] rounds a slab of A, column by column, to integers of s digits and sums all of their products: what comes out
//! is the Gram matrix of a matrix next to A, semidefinite, and what rounding does to its factor grows with the condition and
//! not with its square. The unit of a column is what the first rows suggest; a later entry that is too large makes it
//! larger, and rounds what has been summed no further.
//!
//! [`DigitProduct`] multiplies rows by a small matrix W. A row has a unit of its own, of its largest entry in units of the
//! columns, and so has a column of W: the error of an entry is 256^-s of these two and the order. Products of digits
//! smaller than that are left out.
//!
//! Cost of n rows and d columns: n d (d + 16) / 2 products for each pair of digits, a read of A, and about 30
//! instructions for 64 entries to cut them.

use super::slabs::{BlockSum, CHUNK, Tiles};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, Mat, keep_larger, power_of_two_below};
use crate::memory::{collected, filled, push, room_for};
use crate::simd::digits::{
    CLASSES, Held, Lines, SIDE, Scheme, Sums, TERMS, Tile, Unit, add_sums, cut_rows, cut_terms, term_of,
    turn, write_sums,
};
use crate::simd::kernel;
use std::ops::Range;

/// Rows of a block: sixteen columns of it, all digits, take no more than half of the first cache.
fn block_rows(digits: usize) -> usize {
    if digits == 2 { 512 } else { 256 }
}

/// How much larger than the largest entry seen so far one may be.
const ROOM: f64 = 2.0;
/// What anything is multiplied by, and its inverse, is within this, 2^996.
const FARTHEST: f64 = f64::from_bits((1023 + 996) << 52);
/// What memory is for.
const CUT: &str = "digits of a block of rows";

/// The unit that is there, or its emulation.
fn unit_or_emulation() -> Unit {
    Unit::available().unwrap_or(Unit::Emulated)
}

/// The running sum over the rows of one slab.
pub(super) struct DigitSum {
    ncols: usize,
    scheme: Scheme,
    unit: Held,
    lent: Lent,
    /// Steps of terms that the block holds.
    steps: usize,
    /// Rows so far.
    nrows: usize,
    /// What entries of a column are multiplied by: the most there is until there is an entry, NaN once one was not finite.
    factors: Vec<f64>,
    /// What the caller wants them multiplied by.
    scale: Vec<f64>,
    /// Sums of products of the integers, of integers.
    tiles: Buffer<f64>,
}

/// Memory that a thread lends from one slab to the next.
pub(super) struct Lent {
    /// For each sixteen columns, the rows of a block.
    packed: Vec<Tile>,
    /// Sixteen columns of them as rows of a product.
    left: Vec<Tile>,
    spilt: Vec<u64>,
}

impl DigitSum {
    /// Makes sums of this order of integers of so many digits, in memory of an earlier one.
    pub(super) fn maker(order: usize, digits: usize) -> impl Fn(Option<Lent>) -> Result<Self> + Sync {
        let (unit, scheme) = (unit_or_emulation(), Scheme::whole(digits));
        move |lent| Self::new(order, scheme, unit, lent)
    }

    fn new(ncols: usize, scheme: Scheme, unit: Unit, lent: Option<Lent>) -> Result<Self> {
        let groups = ncols.div_ceil(SIDE);
        let panel = block_rows(scheme.digits) / TERMS * scheme.digits;
        let fresh = || {
            Ok(Lent {
                packed: filled(Tile::ZERO, groups * panel, CUT)?,
                left: filled(Tile::ZERO, panel, CUT)?,
                spilt: filled(0, groups * SIDE, CUT)?,
            })
        };
        Ok(Self {
            ncols,
            scheme,
            unit: unit.hold(),
            lent: lent.map_or_else(fresh, Ok)?,
            steps: 0,
            nrows: 0,
            factors: filled(FARTHEST, groups * SIDE, CUT)?,
            scale: filled(1.0, groups * SIDE, CUT)?,
            tiles: Buffer::zeros(groups * (groups + 1) / 2 * SIDE * SIDE, "a Gram matrix")?,
        })
    }

    /// Tiles of sixteen columns in a block.
    fn panel(&self) -> usize {
        block_rows(self.scheme.digits) / TERMS * self.scheme.digits
    }

    /// Cuts rows times the factors that there are; false if one of these is too large.
    fn cut(&mut self, rows: Dense<'_, f64>) -> bool {
        let (panel, digits) = (self.panel(), self.scheme.digits);
        let Lent { packed, spilt, .. } = &mut self.lent;
        let lines = Lines::new(rows.data(), rows.row_stride(), (rows.nrows(), self.ncols));
        cut_terms(digits, lines, &self.factors, &mut packed[self.steps * digits..], panel, spilt);
        spilt.iter().zip(&self.factors).all(|(&spilt, factor)| spilt == 0 || factor.is_nan())
    }

    /// Smaller factors for columns of which these rows have entries that are too large, and for what has been summed of
    /// them.
    fn lower(&mut self, rows: Dense<'_, f64>) {
        for group in 0..self.factors.len() / SIDE {
            let mut changes = [1.0; SIDE];
            for (k, column) in (group * SIDE..self.ncols.min((group + 1) * SIDE)).enumerate() {
                let before = self.factors[column];
                if self.lent.spilt[column] != 0 && !before.is_nan() {
                    let largest = largest_of(rows, column);
                    let factor = factor_for(self.scheme, ROOM * largest);
                    // What no factor makes small enough is as good as not finite.
                    self.factors[column] = if factor < before { factor } else { f64::NAN };
                    changes[k] = self.factors[column] / before;
                }
            }
            if changes.iter().any(|&change| change != 1.0) {
                self.change(group, &changes);
            }
        }
    }

    /// Multiplies what has been summed of sixteen columns.
    fn change(&mut self, group: usize, changes: &[f64; SIDE]) {
        let (tiles, _) = self.tiles.as_chunks_mut::<{ SIDE * SIDE }>();
        for left in 0..=group {
            scale_tile(&[1.0; SIDE], changes, &mut tiles[index(left, group)]);
        }
        for right in group..self.factors.len() / SIDE {
            scale_tile(changes, &[1.0; SIDE], &mut tiles[index(group, right)]);
        }
    }
}

/// The largest factor, of those that there are, that makes a number an integer of a scheme. It is a power of two where
/// rounding of quotients, which counts with the square of the condition, would be felt.
fn factor_for(scheme: Scheme, largest: f64) -> f64 {
    /// Of the digits 127.
    const SHARE: f64 = 127.0 / 256.0;
    if !largest.is_finite() {
        return f64::NAN;
    }
    let factor = SHARE * scheme.range() / largest;
    let factor = if scheme.digits < 4 { factor } else { power_of_two_below(factor) };
    factor.clamp(FARTHEST.recip(), FARTHEST)
}

/// Number of a tile of the upper triangle.
fn index(left: usize, right: usize) -> usize {
    right * (right + 1) / 2 + left
}

/// The largest magnitude in a column; NaN if there is one.
fn largest_of(rows: Dense<'_, f64>, column: usize) -> f64 {
    let mut largest = 0.0;
    (0..rows.nrows()).for_each(|i| keep_larger(&mut largest, rows.get(i, column).abs()));
    largest
}

impl BlockSum for DigitSum {
    type Memory = Lent;
    const WIDTH: usize = SIDE;

    fn block_rows(_: usize) -> usize {
        // Of a slab; a block of its own may be shorter.
        512
    }

    fn pack(&mut self, rows: Dense<'_, f64>, scale: &[f64], _: usize) -> Result<()> {
        assert!(rows.nrows() <= CHUNK.min(TERMS) && rows.col_stride() == 1 && rows.ncols() == self.ncols);
        if rows.nrows() == 0 || self.ncols == 0 {
            return Ok(());
        }
        self.scale[..self.ncols].copy_from_slice(scale);
        while !self.cut(rows) {
            self.multiply(0);
            self.lower(rows);
        }
        self.steps += 1;
        self.nrows += rows.nrows();
        if self.steps == block_rows(self.scheme.digits) / TERMS {
            self.multiply(0);
        }
        Ok(())
    }

    fn multiply(&mut self, _: usize) {
        let (scheme, panel, used) = (self.scheme, self.panel(), self.steps * self.scheme.digits);
        if used == 0 {
            return;
        }
        let (mut sums, mut before) = (Alternating::new(), None);
        let (tiles, _) = self.tiles.as_chunks_mut::<{ SIDE * SIDE }>();
        let Lent { packed, left, .. } = &mut self.lent;
        for group in 0..self.factors.len() / SIDE {
            let others = &packed[group * panel..];
            turn(&others[..used], &mut left[..used]);
            for (right, other) in (group..).zip(others.chunks_exact(panel)) {
                let (new, old) = sums.next();
                self.unit.multiply(scheme, &left[..used], scheme.digits, &other[..used], new, |lines| {
                    // While the unit is at work, what came before is added up.
                    if let Some(tile) = before {
                        add_sums(scheme.last, old, lines, &mut tiles[tile]);
                    }
                });
                before = Some(index(group, right));
            }
        }
        if let Some(tile) = before {
            add_sums(scheme.last, sums.next().1, 0..SIDE, &mut tiles[tile]);
        }
        self.steps = 0;
    }

    fn finish(mut self) -> Result<(Tiles, Lent)> {
        self.multiply(0);
        let units = |group: usize| {
            std::array::from_fn::<_, SIDE, _>(|k| {
                let column = group * SIDE + k;
                self.scale[column] / self.factors[column]
            })
        };
        let (tiles, _) = self.tiles.as_chunks_mut::<{ SIDE * SIDE }>();
        for right in 0..self.factors.len() / SIDE {
            let by_column = units(right);
            for left in 0..=right {
                scale_tile(&units(left), &by_column, &mut tiles[index(left, right)]);
            }
        }
        // No entry is off by more than half a unit.
        let square = |(scale, factor): (&f64, &f64)| self.nrows as f64 * (0.5 * scale / factor).powi(2);
        let columns = self.scale.iter().zip(&self.factors).take(self.ncols);
        let rounding = collected(columns.map(square), CUT)?;
        Ok((Tiles { tiles: self.tiles, rounding }, self.lent))
    }
}

kernel! {
    fn scale_tile<V>(by_row: &[f64; SIDE], by_column: &[f64; SIDE], tile: &mut [f64; SIDE * SIDE]) {
        for i in 0..SIDE {
            for k in 0..SIDE {
                tile[i * SIDE + k] *= by_row[i] * by_column[k];
            }
        }
    }
}

/// Sums that are made, and those made before, which are read at the same time.
struct Alternating {
    sums: [[Sums; CLASSES]; 2],
    turn: bool,
}

impl Alternating {
    fn new() -> Self {
        Self { sums: [[Sums::ZERO; CLASSES]; 2], turn: false }
    }

    /// Where to make the next ones, and the last ones made.
    fn next(&mut self) -> (&mut [Sums; CLASSES], &[Sums; CLASSES]) {
        self.turn = !self.turn;
        let [first, second] = &mut self.sums;
        if self.turn { (first, second) } else { (second, first) }
    }
}

/// A matrix W to multiply rows by.
pub(super) struct DigitProduct {
    nrows: usize,
    ncols: usize,
    unit: Unit,
    /// Of rows: as many as a panel has at most.
    digits: usize,
    panels: Vec<Panel>,
    packed: Vec<Tile>,
    /// What entries of a row are multiplied by.
    scale: Vec<f64>,
}

/// Sixteen columns of W.
#[derive(Clone)]
struct Panel {
    scheme: Scheme,
    /// Of the rows up to the last that is not zero, 64 at a time, among those packed.
    tiles: Range<usize>,
    /// What the sums of a column are worth.
    worth: [f64; SIDE],
}

/// Rows that are multiplied at once, and the fewest digits that they are cut into.
const GROUP: usize = SIDE;
const LEAST_OF_ROWS: usize = 4;

/// What a thread multiplies with: the unit, and memory.
pub(super) struct Multiplier<'w> {
    by: &'w DigitProduct,
    unit: Held,
    left: Vec<Tile>,
}

impl DigitProduct {
    /// W, and powers of two that bring the columns of what it is multiplied by near one. `None` if more than six digits are
    /// needed for columns of A W that are as near as 2^-`bits` of one to what they should be.
    pub(super) fn new(matrix: &Mat<f64>, powers: &[f64], bits: f64) -> Result<Option<Self>> {
        let (nrows, ncols) = (matrix.nrows(), matrix.ncols());
        let steps = nrows.div_ceil(TERMS);
        let mut scale = filled(1.0, steps * TERMS, CUT)?;
        scale[..nrows].copy_from_slice(powers);
        let (mut panels, mut end, mut most) = (room_for(ncols.div_ceil(SIDE), CUT)?, 0, LEAST_OF_ROWS);
        for first in (0..ncols).step_by(SIDE) {
            let columns = first..ncols.min(first + SIDE);
            let Some(digits) = digits_for(matrix, columns.clone(), &scale, bits) else { return Ok(None) };
            let height = |j: usize| matrix.col(j).iter().rposition(|&w| w != 0.0).map_or(0, |i| i + 1);
            let height = columns.map(height).max().unwrap_or(0);
            let start = end;
            end += height.div_ceil(TERMS) * digits;
            most = most.max(digits);
            let panel = Panel { scheme: Scheme::leading(digits), tiles: start..end, worth: [0.0; SIDE] };
            push(&mut panels, panel, CUT)?;
        }
        let (packed, unit) = (filled(Tile::ZERO, end, CUT)?, unit_or_emulation());
        let mut product = Self { nrows, ncols, unit, digits: most, panels, packed, scale };
        (0..ncols).for_each(|j| product.cut_column(j, matrix.col(j)));
        Ok(Some(product))
    }

    /// Rounds a column of W to integers, in its own unit.
    fn cut_column(&mut self, j: usize, column: &[f64]) {
        let panel = &mut self.panels[j / SIDE];
        let (scheme, digits) = (panel.scheme, panel.scheme.digits);
        let mut largest = 0.0;
        column.iter().zip(&self.scale).for_each(|(w, scale)| keep_larger(&mut largest, (w / scale).abs()));
        if largest == 0.0 {
            return;
        }
        let factor = factor_for(scheme, largest);
        // The digits of rows that are left out are behind those that are not.
        let worth = 256f64.powi(self.digits as i32 - 1) / factor;
        panel.worth[j % SIDE] = worth;
        for (step, tiles) in self.packed[panel.tiles.clone()].chunks_exact_mut(digits).enumerate() {
            for place in 0..TERMS {
                let k = step * TERMS + term_of(place);
                let entry = column.get(k).map_or(0.0, |w| w / self.scale[k]);
                // Of what is not finite anything is cut: it is worth NaN.
                let mut rest = (entry * factor).round_ties_even() as i64;
                for t in (0..digits).rev() {
                    let digit = rest as u8 as i8;
                    rest = (rest - i64::from(digit)) >> 8;
                    tiles[t].0[place / 4][4 * (j % SIDE) + place % 4] = digit;
                }
            }
        }
    }

    /// Columns of W.
    pub(super) fn order(&self) -> usize {
        self.ncols
    }

    /// To multiply with on this thread.
    pub(super) fn multiplier(&self) -> Result<Multiplier<'_>> {
        let left = filled(Tile::ZERO, CHUNK / GROUP * self.scale.len() / TERMS * self.digits, CUT)?;
        Ok(Multiplier { by: self, unit: self.unit.hold(), left })
    }
}

/// Digits that sixteen columns of W need, if there are: rounding of a row is magnified by the norm of a column.
fn digits_for(matrix: &Mat<f64>, columns: Range<usize>, scale: &[f64], bits: f64) -> Option<usize> {
    let square =
        |j: usize| matrix.col(j).iter().zip(scale).map(|(w, scale)| (w / scale).powi(2)).sum::<f64>();
    let largest = columns.map(square).fold(0.0, f64::max);
    let digits = ((0.5 * largest.log2() + bits) / 8.0).ceil().max(3.0);
    (digits <= 6.0).then_some(digits as usize)
}

impl Multiplier<'_> {
    /// Up to [`CHUNK`] rows times W, row by row into `out`.
    pub(super) fn multiply(&mut self, rows: Dense<'_, f64>, out: &mut [f64]) {
        let DigitProduct { nrows, ncols, digits, panels, packed, scale, .. } = self.by;
        let (n, d, digits) = (rows.nrows(), *ncols, *digits);
        assert!(n <= CHUNK && rows.ncols() == *nrows && rows.col_stride() == 1 && out.len() == n * d);
        let mut worth = [0.0; CHUNK];
        let size = (scale.len() / TERMS * digits).max(1);
        for (group, left) in (0..n).step_by(GROUP).zip(self.left.chunks_exact_mut(size)) {
            let rows = rows.rows(group..n.min(group + GROUP));
            cut_group(rows, digits, scale, left, &mut worth[group..group + GROUP]);
        }
        let write = |sums: &[Sums], lines: Range<usize>, (panel, group): (usize, usize), out: &mut [f64]| {
            let (column, Panel { scheme, worth: by_column, .. }) = (panel * SIDE, &panels[panel]);
            let (by_row, width) = (&worth[group..n.min(group + GROUP)], SIDE.min(d - column));
            write_sums(scheme.last, sums, lines, by_row, by_column, &mut out[group * d + column..], d, width);
        };
        let (mut sums, mut before) = (Alternating::new(), None);
        for (at, panel) in panels.iter().enumerate() {
            let (scheme, right) = (panel.scheme, &packed[panel.tiles.clone()]);
            let steps = right.len() / scheme.digits;
            for (group, left) in (0..n).step_by(GROUP).zip(self.left.chunks_exact(size)) {
                let (new, old) = sums.next();
                self.unit.multiply(scheme, &left[..steps * digits], digits, right, new, |lines| {
                    // While the unit is at work, what came before is written.
                    if let Some(before) = before {
                        write(old, lines, before, out);
                    }
                });
                before = Some((at, group));
            }
        }
        if let Some(before) = before {
            write(sums.next().1, 0..SIDE, before, out);
        }
    }
}

/// Cuts up to sixteen rows, each in a unit of its own, and tells what that is worth: NaN where an entry is not finite.
fn cut_group(rows: Dense<'_, f64>, digits: usize, scale: &[f64], left: &mut [Tile], worth: &mut [f64]) {
    let mut largest = [0.0; SIDE];
    largest_in_rows(rows, scale, &mut largest);
    let powers = largest.map(|largest| factor_for(Scheme::leading(digits), largest));
    let lines = Lines::new(rows.data(), rows.row_stride(), (rows.nrows(), rows.ncols()));
    let spilt = cut_rows(digits, lines, scale, &powers, left);
    for i in 0..rows.nrows() {
        worth[i] = if spilt[i] { f64::NAN } else { powers[i].recip() };
    }
}

kernel! {
    /// The largest magnitudes of rows times `scale`; NaN is passed by.
    fn largest_in_rows<V>(rows: Dense<'_, f64>, scale: &[f64], largest: &mut [f64; SIDE]) {
        let (d, stride) = (rows.ncols(), rows.row_stride());
        assert!(rows.nrows() <= SIDE && d <= scale.len() && rows.col_stride() == 1);
        for i in 0..rows.nrows() {
            let (values, rest) = rows.data()[i * stride..][..d].as_chunks::<32>();
            let (scales, scales_of_rest) = scale[..d].as_chunks::<32>();
            let mut sizes = [0.0; 32];
            for c in 0..values.len() {
                for k in 0..32 {
                    let size = (values[c][k] * scales[c][k]).abs();
                    sizes[k] = if size > sizes[k] { size } else { sizes[k] };
                }
            }
            for k in 0..rest.len() {
                let size = (rest[k] * scales_of_rest[k]).abs();
                sizes[k] = if size > sizes[k] { size } else { sizes[k] };
            }
            for k in 0..32 {
                largest[i] = if sizes[k] > largest[i] { sizes[k] } else { largest[i] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::gram::gram;
    use crate::linalg::testing::gaussian;
    use crate::linalg::{Precision, Product, whitened_gram};
    use crate::parallel::Context;
    use crate::simd::digits::testing::{units, with_unit};
    use proptest::prelude::*;

    fn by_digits(a: &Mat<f64>, digits: usize, scale: &[f64]) -> Mat<f64> {
        let rows = row_major(a);
        let view = Dense::row_major(&rows, a.nrows(), a.ncols());
        let of = |unit, threads| {
            let made = || {
                gram(&Context::new(threads), &view, Precision::Digits(digits), scale, || (), |(), _, _| ())
            };
            with_unit(Some(unit), made).unwrap().gram
        };
        let found = of(Unit::Emulated, 1);
        for (unit, threads) in
            units().into_iter().flat_map(|unit| [1, 2, 3, 5].map(|threads| (unit, threads)))
        {
            assert_eq!(bits(&of(unit, threads)), bits(&found), "{unit:?}, {threads} threads");
        }
        (0..a.ncols()).for_each(|j| (0..j).for_each(|i| assert!(same(found[(i, j)], found[(j, i)]))));
        found
    }

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits()
    }

    fn bits(a: &Mat<f64>) -> Vec<u64> {
        a.as_slice().iter().map(|entry| entry.to_bits()).collect()
    }

    fn row_major(a: &Mat<f64>) -> Vec<f64> {
        (0..a.nrows() * a.ncols()).map(|k| a[(k / a.ncols(), k % a.ncols())]).collect()
    }

    /// A'A in twice the precision.
    fn exact(a: &Mat<f64>, i: usize, j: usize) -> f64 {
        crate::simd::dot_extended(a.col(i), a.col(j)).value()
    }

    fn largest(a: &Mat<f64>, j: usize) -> f64 {
        a.col(j).iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()))
    }

    fn check(a: &Mat<f64>, digits: usize, scale: &[f64]) {
        let found = by_digits(a, digits, scale);
        let a = &Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] * scale[j]).unwrap();
        for (i, j) in (0..a.ncols()).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let size = largest(a, i) * largest(a, j) * a.nrows() as f64;
            let error = (found[(i, j)] - exact(a, i, j)).abs();
            assert!(
                error <= 8.0 * 256f64.powi(-(digits as i32)) * size,
                "{digits} digits, ({i}, {j}): {error:e}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn gram_matrices_of_any_shape_are_as_near_as_the_digits_say(
            nrows in 0usize..700, ncols in 1usize..130, digits in 2usize..5, seed in 0u64..1000,
        ) {
            let scale: Vec<f64> = (0..ncols).map(|j| 2f64.powi(j as i32 % 7 - 3)).collect();
            check(&gaussian(nrows, ncols, seed), digits, &scale);
        }
    }

    /// Without a product left out, what comes out is the Gram matrix of a matrix of integers.
    #[test]
    fn integers_are_not_rounded() {
        let noise = gaussian(900, 37, 1);
        let a = Mat::from_fn(900, 37, |i, j| (noise[(i, j)] * 2e8).round()).unwrap();
        let found = by_digits(&a, 4, &[1.0; 37]);
        for (i, j) in (0..37).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let norm = (exact(&a, i, i) * exact(&a, j, j)).sqrt();
            assert!((found[(i, j)] - exact(&a, i, j)).abs() <= 1e-15 * norm);
        }
    }

    #[test]
    fn columns_that_grow_are_summed_as_if_their_size_had_been_known() {
        let noise = gaussian(3000, 20, 3);
        let grown = |i: usize, j: usize| match j {
            0 => noise[(i, j)] * 4f64.powi(i as i32 / 256),
            1 if i == 2999 => 1e9,
            2 => 0.0,
            3 => f64::from(i == 2999),
            4 => noise[(i, j)] * 1e-200,
            5 => noise[(i, j)] * 1e200,
            6 => 2f64.powi((i as i32 * 37) % 60),
            _ => noise[(i, j)],
        };
        let a = Mat::from_fn(3000, 20, grown).unwrap();
        let mut scale = [1.0; 20];
        (scale[4], scale[5]) = (2f64.powi(664), 2f64.powi(-664));
        for digits in 2..=4 {
            check(&a, digits, &scale);
        }
        let found = by_digits(&a, 4, &scale);
        assert!((0..20).all(|i| found[(2, i)] == 0.0 && found[(3, 3)] == 1.0));
    }

    #[test]
    fn what_is_not_finite_makes_its_column_nan_and_no_other() {
        for (row, value) in [(0, f64::NAN), (700, f64::INFINITY), (1999, f64::NAN), (1999, f64::NEG_INFINITY)]
        {
            let mut a = gaussian(2000, 40, 1);
            a[(row, 17)] = value;
            let found = by_digits(&a, 3, &[1.0; 40]);
            for (i, j) in (0..40).flat_map(|i| (0..40).map(move |j| (i, j))) {
                assert_eq!(found[(i, j)].is_nan(), i == 17 || j == 17, "({i}, {j})");
            }
        }
    }

    /// What no factor makes an integer of so few digits is as good as infinite; nothing waits for one that does.
    #[test]
    fn the_largest_numbers_end() {
        for (digits, value) in [(2, 1.7e308), (3, 6e306), (3, f64::MAX), (4, f64::MAX)] {
            let mut a = gaussian(200, 20, 1);
            a[(199, 19)] = value;
            let found = by_digits(&a, digits, &[1.0; 20]);
            assert!(
                !found[(19, 19)].is_finite() && found[(18, 18)].is_finite(),
                "{digits} digits, {value:e}"
            );
        }
    }

    #[test]
    fn no_column_is_changed_by_more_than_is_said() {
        let noise = gaussian(3000, 30, 1);
        let a = Mat::from_fn(3000, 30, |i, j| noise[(i, j)] * if i == 100 * j { 1e3 } else { 1.0 }).unwrap();
        let rows = row_major(&a);
        let (view, scale) = (Dense::row_major(&rows, 3000, 30), [0.5; 30]);
        for digits in 2..=4 {
            let made = gram(&Context::new(2), &view, Precision::Digits(digits), &scale, || (), |(), _, _| ());
            let made = made.unwrap();
            assert_eq!(made.rounding.len(), 30);
            for j in 0..30 {
                let norm = 0.5 * exact(&a, j, j).sqrt();
                let bound = made.rounding[j].sqrt();
                assert!((made.gram[(j, j)].sqrt() - norm).abs() <= bound + 1e-15 * norm);
                let most = 8.0 * 256f64.powi(-(digits as i32)) * largest(&a, j) * 3000f64.sqrt();
                assert!(bound <= most && bound > 0.01 * most, "{bound:e} {most:e}");
            }
        }
    }

    fn whitened(a: &Mat<f64>, w: &Mat<f64>, powers: &[f64], digits: usize) -> Mat<f64> {
        let of = |unit, threads| {
            let product = Product::Digits { powers, bits: 20.0 };
            let made = || {
                let (context, precision) = (Context::new(threads), Precision::Digits(digits));
                whitened_gram(&context, &a.as_ref(), w, product, precision, || (), |(), _, _| ())
            };
            with_unit(Some(unit), made).unwrap().gram
        };
        let found = of(Unit::Emulated, 1);
        for (unit, threads) in units().into_iter().flat_map(|unit| [1, 3].map(|threads| (unit, threads))) {
            assert_eq!(bits(&of(unit, threads)), bits(&found), "{unit:?}, {threads} threads");
        }
        found
    }

    #[test]
    fn products_of_rows_are_as_near_as_the_digits_say() {
        for (n, d, order) in
            [(0, 3, 3), (1, 1, 1), (70, 40, 40), (500, 130, 130), (333, 65, 20), (300, 20, 50)]
        {
            let noise = gaussian(n, d, 5);
            // Columns of all sizes, and rows.
            let a = Mat::from_fn(n, d, |i, j| {
                noise[(i, j)] * 2f64.powi(j as i32 % 40 - 20) * 10f64.powi(i as i32 % 9)
            })
            .unwrap();
            let powers: Vec<f64> = (0..d).map(|j| 2f64.powi(20 - j as i32 % 40)).collect();
            let w = gaussian(d, order, 6);
            let w =
                Mat::from_fn(d, order, |i, j| if i <= j || d != order { w[(i, j)] * powers[i] } else { 0.0 })
                    .unwrap();
            for bits in [6.0, 14.0, 23.0, 30.0, 38.0] {
                let rows = row_major(&a);
                let by = DigitProduct::new(&w, &powers, bits).unwrap().unwrap();
                let digits = |j: usize| by.panels[j / SIDE].scheme.digits;
                assert!((0..order).all(|j| (3..=6).contains(&digits(j)) && digits(j) <= by.digits));
                assert_eq!(by.order(), order);
                for unit in units() {
                    let by = DigitProduct { unit, ..DigitProduct::new(&w, &powers, bits).unwrap().unwrap() };
                    let mut multiplier = by.multiplier().unwrap();
                    for first in (0..n).step_by(CHUNK) {
                        let count = CHUNK.min(n - first);
                        let mut out = vec![f64::NAN; count * order];
                        multiplier
                            .multiply(Dense::row_major(&rows[first * d..][..count * d], count, d), &mut out);
                        for (i, j) in (0..count).flat_map(|i| (0..order).map(move |j| (i, j))) {
                            let term = |k: usize| a[(first + i, k)] * w[(k, j)];
                            let exact: f64 = (0..d).map(term).sum();
                            let of_row =
                                (0..d).fold(0.0, |l: f64, k| l.max((a[(first + i, k)] * powers[k]).abs()));
                            let of_column =
                                (0..d).fold(0.0, |l: f64, k| l.max((w[(k, j)] / powers[k]).abs()));
                            let bound =
                                8.0 * 256f64.powi(-(digits(j) as i32)) * d as f64 * of_row * of_column;
                            assert!(
                                (out[i * order + j] - exact).abs() <= bound.max(1e-13 * exact.abs()),
                                "{bits} bits"
                            );
                        }
                    }
                }
            }
            if n > 0 {
                let found = whitened(&a, &w, &powers, 4);
                let b = crate::linalg::product(a.as_ref(), w.as_ref()).unwrap();
                for (i, j) in (0..order).map(|i| (i, i / 2)) {
                    let size = largest(&b, i) * largest(&b, j) * n as f64;
                    assert!((found[(i, j)] - exact(&b, i, j)).abs() <= 1e-6 * size);
                }
            }
        }
    }

    #[test]
    fn columns_take_the_digits_that_their_norms_need_and_no_more_than_six() {
        let w = |size: f64| {
            Mat::from_fn(70, 70, |i, j| if i == j { 2f64.powi(j as i32 / 16 * 8) } else { 0.0 } * size)
                .unwrap()
        };
        let digits = |size: f64| {
            let product = DigitProduct::new(&w(size), &[1.0; 70], 12.0).unwrap();
            product.map(|product| product.panels.iter().map(|panel| panel.scheme.digits).collect::<Vec<_>>())
        };
        assert_eq!(digits(1.0), Some(vec![3, 3, 4, 5, 6]));
        assert_eq!(digits(1e-30), Some(vec![3; 5]));
        assert_eq!(digits(32.0), None);
    }

    #[test]
    fn a_row_that_is_not_finite_is_nan_and_the_others_are_not() {
        let (mut a, w) = (row_major(&gaussian(40, 70, 1)), gaussian(70, 33, 2));
        (a[3 * 70 + 69], a[17 * 70]) = (f64::NAN, f64::INFINITY);
        let product = DigitProduct::new(&w, &[1.0; 70], 20.0).unwrap().unwrap();
        let mut out = vec![0.0; 40 * 33];
        product.multiplier().unwrap().multiply(Dense::row_major(&a, 40, 70), &mut out);
        for (i, row) in out.chunks(33).enumerate() {
            assert!(row.iter().all(|x| x.is_nan() == (i == 3 || i == 17)), "{i}");
        }
    }
}
