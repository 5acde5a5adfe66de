//! What was observed, by rows and by columns, and what of it is held out.
//!
//! Values are stored in units in which none is above two, less their mean, and then, once they are sorted, over their
//! standard deviation: nothing that follows sees the caller's units, nor the order in which the entries came, nor an offset
//! that the precision of the model would not bear. Entries that are held out lie behind the others of their line.
//!
//! An entry with a weight w is as good as w entries: sums of weights take the place of numbers of entries.

use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::{Axis, Repeated, Sparse, SparseBuf, Triplets, power_of_two_below};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::simd::sum;
use std::ops::Range;

/// What memory is for.
const VALUES: &str = "the observed values";
/// Values of a sum that is made by itself.
const PIECE: usize = 1 << 16;

/// Lines of entries: rows of a matrix, or columns.
pub struct Lines<T> {
    matrix: SparseBuf<T>,
    /// Where what is held out begins in each line.
    held_out: Option<Vec<i64>>,
    /// Weights that the caller has given, on which penalties depend, if they are not all one.
    given: Option<Vec<T>>,
    /// The roots of those by which the entries count, if these are not all one.
    roots: Option<Vec<T>>,
}

/// Which entries of a line are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All.
    All,
    /// Those that are not held out.
    Training,
    /// The others.
    HeldOut,
}

impl<T: Scalar> Lines<T> {
    /// Rows in the units of a model: `sorted` makes them of the values in these.
    pub fn in_units<V: Scalar>(
        context: &Context,
        argument: &'static str,
        values: &[V],
        (mean, scale): (f64, f64),
        sorted: impl FnOnce(&[T]) -> Result<SparseBuf<T>>,
    ) -> Result<Self> {
        check_finite(context, argument, values)?;
        let own: Vec<T> =
            collected(values.iter().map(|v| T::from_f64(in_units(v.to_f64(), mean, scale))), VALUES)?;
        if let Some(k) = own.iter().position(|value| !value.to_f64().is_finite()) {
            return Err(out_of_range(argument, values[k].to_f64(), k));
        }
        Self::new(context, sorted(&own)?, None)
    }

    fn new(context: &Context, matrix: SparseBuf<T>, given: Option<Vec<T>>) -> Result<Self> {
        let mut lines = Self { matrix, held_out: None, given, roots: None };
        lines.count_by_given(context)?;
        Ok(lines)
    }

    /// Has the entries count by the weights that were given.
    pub fn count_by_given(&mut self, context: &Context) -> Result<()> {
        self.roots = None;
        let Some(given) = &self.given else { return Ok(()) };
        let mut roots = zeros(given.len(), VALUES)?;
        for piece in context.pieces(0..given.len()) {
            let piece = piece?;
            let pairs = roots[piece.clone()].iter_mut().zip(&given[piece]);
            pairs.for_each(|(root, weight): (&mut T, &T)| *root = T::from_f64(weight.to_f64().sqrt()));
        }
        self.roots = Some(roots);
        Ok(())
    }

    /// Has the entries count by other weights, the roots of which these are.
    pub fn set_roots(&mut self, roots: Vec<T>) {
        self.roots = Some(roots);
    }

    /// The weight that an entry was given.
    pub fn given(&self, entry: usize) -> f64 {
        self.given.as_ref().map_or(1.0, |given| given[entry].to_f64())
    }

    /// Values, and weights if there are any, line after line.
    pub fn into_values(self) -> (Vec<T>, Option<Vec<T>>) {
        (self.matrix.into_values(), self.given)
    }

    /// The matrix.
    pub fn matrix(&self) -> Sparse<'_, T> {
        self.matrix.as_ref()
    }

    /// Refuses rows that have not so many columns.
    pub fn check_width(&self, count: usize) -> Result<()> {
        let found = self.matrix().ncols();
        if found != count {
            return Err(Error::shape("X", format!("{found} columns"), format!("{count}, as in the fit")));
        }
        Ok(())
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.matrix().ends().len() - 1
    }

    /// The sum of the weights of the entries of a line.
    pub fn degree(&self, line: usize, part: Part) -> f64 {
        let at = self.line(line, part);
        self.given.as_ref().map_or(at.len() as f64, |given| sum(&given[at]))
    }

    /// The sum of those of all entries.
    pub fn weight(&self) -> f64 {
        self.given.as_ref().map_or(self.matrix().nnz() as f64, |given| sum(given))
    }

    /// The roots of the weights of some entries, if these are not all one.
    pub fn roots(&self, entries: Range<usize>) -> Option<&[T]> {
        self.roots.as_ref().map(|roots| &roots[entries])
    }

    /// Calls `visit(index, value, weight)` for the entries of a line, with the weights by which they count.
    pub fn visit(&self, line: usize, part: Part, mut visit: impl FnMut(usize, f64, f64)) {
        let at = self.line(line, part);
        let mut entry = at.start;
        self.matrix().visit(at, |index, value| {
            let root = self.roots.as_ref().map_or(1.0, |roots| roots[entry].to_f64());
            visit(index, value.to_f64(), root * root);
            entry += 1;
        });
    }

    /// Moves entries that are not `kept` behind the others of their line.
    fn part(&mut self, context: &Context, kept: impl Fn(usize, usize) -> bool + Sync) -> Result<()> {
        let beside = self.given.as_deref_mut().unwrap_or_default();
        self.held_out = Some(self.matrix.part_lines(context, beside, kept)?);
        self.count_by_given(context)
    }

    /// Where the entries of a line are.
    pub fn line(&self, line: usize, part: Part) -> Range<usize> {
        let all = self.matrix().extent(line);
        let cut = self.held_out.as_ref().map_or(all.end, |cuts| cuts[line] as usize);
        match part {
            Part::All => all,
            Part::Training => all.start..cut,
            Part::HeldOut => cut..all.end,
        }
    }
}

/// The observed entries of a matrix.
pub struct Observations<T> {
    /// By rows.
    pub rows: Lines<T>,
    /// By columns.
    pub columns: Lines<T>,
    /// What was subtracted, in the caller's units.
    pub mean: f64,
    /// Standard deviation of what is left, or what stands for one where nothing varies.
    pub scale: f64,
}

/// The same by rows alone.
pub struct ByRows<T> {
    matrix: SparseBuf<T>,
    weights: Option<Vec<T>>,
    /// Mean and scale.
    units: (f64, f64),
}

impl<T: Scalar> ByRows<T> {
    /// Entries as a list. Errors name `argument`.
    pub fn of_triplets<V: Scalar>(
        context: &Context,
        entries: &Triplets<'_, V>,
        repeated: Repeated,
        center: bool,
    ) -> Result<Self> {
        let units = Units::of::<V, V>(context, entries.argument, entries.values, None, center)?;
        let rows = entries.compressed_by(context, Axis::Rows, repeated, |value| units.of_value(value))?;
        Self::standardised(context, rows, None, units)
    }

    /// The same where entries have weights.
    pub fn of_weighted<V: Scalar>(
        context: &Context,
        entries: &Triplets<'_, V>,
        weights: &[V],
        repeated: Repeated,
        center: bool,
    ) -> Result<Self> {
        let given: Vec<T> = collected(weights.iter().map(|weight| T::from_f64(weight.to_f64())), VALUES)?;
        let good = |weight: &T| weight.to_f64() > 0.0 && weight.to_f64() < f64::INFINITY;
        if let Some(k) = given.iter().position(|weight| !good(weight)) {
            let found = format!("a list with {} at [{k}]", weights[k].to_f64());
            return Err(Error::value("weights", found, "positive numbers in the range of the precision"));
        }
        let Triplets { argument, shape, rows, columns, values } = *entries;
        let units = Units::of(context, argument, values, Some(&given[..]), center)?;
        let values: Vec<T> = collected(values.iter().map(|value| units.of_value(*value)), VALUES)?;
        let entries = Triplets { argument, shape, rows, columns, values: &values };
        let (rows, given) = entries.compressed_with_weights(context, Axis::Rows, repeated, &given)?;
        Self::standardised(context, rows, Some(given), units)
    }

    /// The stored entries of a sparse matrix, zeros among them.
    pub fn of_sparse<V: Scalar>(
        context: &Context,
        argument: &'static str,
        matrix: &Sparse<'_, V>,
        repeated: Repeated,
        center: bool,
    ) -> Result<Self> {
        let units = Units::of::<V, V>(context, argument, &matrix.values()[..matrix.nnz()], None, center)?;
        let rows = matrix.along_by(context, argument, Axis::Rows, repeated, |value| units.of_value(value))?;
        Self::standardised(context, rows, None, units)
    }

    fn standardised(
        context: &Context,
        mut rows: SparseBuf<T>,
        weights: Option<Vec<T>>,
        Units { unit, offset, rounding, center }: Units,
    ) -> Result<Self> {
        let moment =
            |f: &(dyn Fn(f64) -> f64 + Sync)| sum_of(context, rows.as_ref().values(), weights.as_deref(), f);
        let total = moment(&|_| 1.0)?;
        let mean = if center { moment(&|v| v)? / total } else { 0.0 };
        let deviation = (moment(&|v| (v - mean) * (v - mean))? / total).sqrt();
        let deviation = if deviation > rounding { deviation } else { 1.0 };
        for values in rows.values_mut().chunks_mut(PIECE) {
            context.tick()?;
            values.iter_mut().for_each(|v| *v = T::from_f64((v.to_f64() - mean) / deviation));
        }
        Ok(Self { matrix: rows, weights, units: ((offset + mean) * unit, deviation * unit) })
    }
}

impl<T: Scalar> Observations<T> {
    /// By columns too; what the rows were made of need not be there any more.
    pub fn of(context: &Context, rows: ByRows<T>) -> Result<Self> {
        Self::by_both(context, rows.matrix, rows.weights, rows.units)
    }

    /// Entries in the units of a mean and a scale.
    pub fn in_units(
        context: &Context,
        entries: &Triplets<'_, T>,
        weights: Option<&[T]>,
        repeated: Repeated,
        units: (f64, f64),
    ) -> Result<Self> {
        let Some(weights) = weights else {
            return Self::by_both(
                context,
                entries.compressed_as(context, Axis::Rows, repeated)?,
                None,
                units,
            );
        };
        let (rows, weights) = entries.compressed_with_weights(context, Axis::Rows, repeated, weights)?;
        Self::by_both(context, rows, Some(weights), units)
    }

    fn by_both(
        context: &Context,
        rows: SparseBuf<T>,
        weights: Option<Vec<T>>,
        (mean, scale): (f64, f64),
    ) -> Result<Self> {
        let (columns, of_columns) = match &weights {
            None => (rows.turned(context)?, None),
            Some(weights) => {
                let (columns, weights) = rows.turned_with(context, weights)?;
                (columns, Some(weights))
            }
        };
        let (rows, columns) =
            (Lines::new(context, rows, weights)?, Lines::new(context, columns, of_columns)?);
        Ok(Self { rows, columns, mean, scale })
    }

    /// Forgets weights: each entry is as good as any other.
    pub fn count_alike(&mut self) {
        for lines in [&mut self.rows, &mut self.columns] {
            (lines.given, lines.roots) = (None, None);
        }
    }

    /// Holds out about so large a part of the entries, by a hash of seed, row and column; how many these are.
    pub fn hold_out(&mut self, context: &Context, fraction: f64, seed: u64) -> Result<usize> {
        self.keep(context, |i, j| !is_held_out(fraction, seed, i, j))?;
        Ok((0..self.rows.count()).map(|i| self.rows.line(i, Part::HeldOut).len()).sum())
    }

    /// Holds out all entries but those that are kept.
    pub fn keep(&mut self, context: &Context, kept: impl Fn(usize, usize) -> bool + Sync) -> Result<()> {
        self.rows.part(context, &kept)?;
        self.columns.part(context, |j, i| kept(i, j))
    }
}

/// Whether an entry is among about so large a part of all.
pub fn is_held_out(fraction: f64, seed: u64, i: usize, j: usize) -> bool {
    hash(hash(seed, i as u64), j as u64) < (fraction * (u64::MAX as f64)) as u64
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), of a key and a number.
fn hash(key: u64, number: u64) -> u64 {
    let mut z = key.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The least and the largest value, or an error that tells where one is not finite.
fn check_finite<V: Scalar>(context: &Context, argument: &'static str, values: &[V]) -> Result<(f64, f64)> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for piece in context.pieces(0..values.len()) {
        let piece = piece?;
        for (k, value) in piece.clone().zip(&values[piece]) {
            let value = value.to_f64();
            if !value.is_finite() {
                return Err(Error::non_finite(argument, value, format!("[{k}]")));
            }
            (least, most) = (least.min(value), most.max(value));
        }
    }
    Ok((least, most))
}

/// A value in the units of a model.
pub fn in_units(value: f64, mean: f64, scale: f64) -> f64 {
    // Differences of large numbers may be out of range that are not so in these units.
    let half = if scale > 1.0 { 0.5 } else { 1.0 };
    (half * value - half * mean) / (half * scale)
}

/// That value number `k` is none that the model can hold.
pub fn out_of_range(argument: &'static str, value: f64, k: usize) -> Error {
    let expected = "values in the range of the precision of the model, in units of its standard deviation";
    Error::value(argument, format!("a list with {value:e} at [{k}]"), expected)
}

/// What is made of values before they are rounded to the precision of the model.
#[derive(Clone, Copy)]
struct Units {
    /// A power of two near the largest of them.
    unit: f64,
    /// In that unit, what is subtracted: their mean, or nothing.
    offset: f64,
    /// What deviations from it may be by the rounding of the values themselves.
    rounding: f64,
    /// Whether they are to have a mean of zero.
    center: bool,
}

impl Units {
    /// Of values, which are checked, with weights: the same bits in any order.
    fn of<V: Scalar, W: Scalar>(
        context: &Context,
        argument: &'static str,
        values: &[V],
        weights: Option<&[W]>,
        center: bool,
    ) -> Result<Self> {
        let (least, most) = check_finite(context, argument, values)?;
        let unit = power_of_two_below(most.max(-least).max(0.0));
        if !center {
            return Ok(Self { unit, offset: 0.0, rounding: 0.0, center });
        }
        let largest = weights
            .map_or(1.0, |weights| weights.iter().fold(0.0f64, |most, weight| most.max(weight.to_f64())));
        // Sums of integers do not depend on an order.
        let whole = |x: f64| (x * 2f64.powi(60)) as i64 as i128;
        let sums = context.map(values.len().div_ceil(PIECE), |piece| {
            let (mut total, mut weight) = (0, 0);
            for k in piece * PIECE..values.len().min((piece + 1) * PIECE) {
                let share = weights.map_or(1.0, |weights| weights[k].to_f64() / largest);
                total += whole(share * (values[k].to_f64() / unit));
                weight += whole(share);
            }
            (total, weight)
        })?;
        let (total, weight) =
            sums.iter().fold((0, 0), |(total, weight), sum| (total + sum.0, weight + sum.1));
        let mean = if weight > 0 { total as f64 / weight as f64 } else { 0.0 };
        // In steps of their range, so that it is zero unless they are far from that, and the same for hardly other values.
        let step = if least < most { power_of_two_below(most / unit - least / unit) } else { 0.0 };
        let offset = if step > 0.0 { (mean / step).round() * step } else { mean };
        Ok(Self { unit, offset, rounding: 8.0 * V::UNIT_ROUNDOFF * offset.abs(), center })
    }

    fn of_value<V: Scalar, T: Scalar>(&self, value: V) -> T {
        T::from_f64(value.to_f64() / self.unit - self.offset)
    }
}

/// The weighted sum of a function of values, piece by piece in their order.
fn sum_of<T: Scalar>(
    context: &Context,
    values: &[T],
    weights: Option<&[T]>,
    f: &(dyn Fn(f64) -> f64 + Sync),
) -> Result<f64> {
    let sums = context.map(values.len().div_ceil(PIECE), |piece| {
        let at = piece * PIECE..values.len().min((piece + 1) * PIECE);
        let values = values[at.clone()].iter().map(|v| f(v.to_f64()));
        match weights {
            None => values.sum::<f64>(),
            Some(weights) => values.zip(&weights[at]).map(|(value, weight)| value * weight.to_f64()).sum(),
        }
    })?;
    Ok(sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Indices;

    /// Entries (i, j) with i j not a multiple of 3, twice where both are 4, in an order turned by `turn`.
    fn observed(turn: usize, factor: f64, threads: usize) -> Observations<f64> {
        let mut cells: Vec<(i64, i32)> = (0..60).flat_map(|i| (0..50).map(move |j| (i, j))).collect();
        cells.retain(|&(i, j)| (i * i64::from(j)) % 3 != 0);
        cells.push((4, 4));
        let count = cells.len();
        cells.rotate_left(turn % count);
        let (rows, columns): (Vec<i64>, Vec<i32>) = cells.iter().copied().unzip();
        let values: Vec<f64> =
            cells.iter().map(|&(i, j)| factor * (3.0 + ((7 * i + i64::from(j)) as f64).sin())).collect();
        let (rows, columns) = (Indices::I64(&rows), Indices::I32(&columns));
        let entries = Triplets { argument: "values", shape: (60, 50), rows, columns, values: &values };
        let context = Context::new(threads);
        let rows = ByRows::of_triplets(&context, &entries, Repeated::Keep, true).unwrap();
        Observations::of(&context, rows).unwrap()
    }

    #[test]
    fn order_units_and_threads_leave_no_trace() {
        let (one, other) = (observed(0, 1.0, 1), observed(77, 2f64.powi(60), 3));
        assert_eq!(one.rows.matrix().values(), other.rows.matrix().values());
        assert_eq!(one.columns.matrix().values(), other.columns.matrix().values());
        assert_eq!(one.mean * 2f64.powi(60), other.mean);
        assert_eq!(one.scale * 2f64.powi(60), other.scale);
        let values = one.rows.matrix().values();
        let (sum, squares) = (values.iter().sum::<f64>(), values.iter().map(|v| v * v).sum::<f64>());
        assert!(sum.abs() < 1e-9 && (squares / values.len() as f64 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_same_entries_are_held_out_on_both_sides() {
        let mut observed = observed(0, 1.0, 2);
        let count = observed.hold_out(&Context::new(2), 0.2, 5).unwrap();
        let stored = observed.rows.matrix().nnz();
        let expected = 0.2 * stored as f64;
        assert!((count as f64 - expected).abs() < 5.0 * (0.8 * expected).sqrt());
        let listed = |lines: &Lines<f64>, part| {
            let mut cells = Vec::new();
            for line in 0..lines.count() {
                let at = lines.line(line, part);
                lines.matrix().visit(at, |index, _| cells.push((line, index)));
            }
            cells
        };
        for part in [Part::Training, Part::HeldOut] {
            let rows = listed(&observed.rows, part);
            let mut columns: Vec<_> =
                listed(&observed.columns, part).into_iter().map(|(j, i)| (i, j)).collect();
            columns.sort_unstable();
            assert_eq!(rows, columns);
            assert_eq!(rows.len(), if part == Part::HeldOut { count } else { stored - count });
        }
    }

    #[test]
    fn an_offset_leaves_no_trace() {
        // Halves, so that sums with the offset are exact.
        let made = |offset: f64, weights: Option<&[f64]>| {
            let (rows, columns): (Vec<i64>, Vec<i32>) = (0..40).map(|k| (k / 5, k as i32 % 5)).unzip();
            let values: Vec<f64> = (0..40)
                .map(|k| offset + ((7 * k * k) % 23) as f64 / 2.0 - 0.25 * f64::from(k == 3))
                .collect();
            let (rows, columns) = (Indices::I64(&rows), Indices::I32(&columns));
            let entries = Triplets { argument: "values", shape: (8, 5), rows, columns, values: &values };
            let context = Context::new(1);
            let rows = match weights {
                None => ByRows::<f32>::of_triplets(&context, &entries, Repeated::Keep, true),
                Some(weights) => ByRows::of_weighted(&context, &entries, weights, Repeated::Keep, true),
            };
            Observations::of(&context, rows.unwrap()).unwrap()
        };
        let weights: Vec<f64> = (0..40).map(|k| f64::from(k % 4 + 1)).collect();
        for weights in [None, Some(&weights[..])] {
            let expected = made(0.0, weights);
            for offset in [1e7f64, 1e12, -3e14] {
                let found = made(offset, weights);
                assert!((found.scale / expected.scale - 1.0).abs() < 1e-3 * (offset * 1e-14).abs() + 1e-6);
                for (found, expected) in
                    found.rows.matrix().values().iter().zip(expected.rows.matrix().values())
                {
                    assert!((found - expected).abs() < 1e-6 + 4e-15 * offset.abs() as f32, "{offset:e}");
                }
            }
        }
    }

    #[test]
    fn values_at_the_ends_of_the_range_and_equal_ones_are_told_from_bad_ones() {
        let made = |values: &[f64; 3]| {
            let (rows, columns) = (Indices::I32(&[0, 0, 1]), Indices::I32(&[0, 1, 1]));
            let entries = Triplets { argument: "values", shape: (2, 2), rows, columns, values };
            let context = Context::new(1);
            let rows = ByRows::<f32>::of_triplets(&context, &entries, Repeated::Mean, true)?;
            Observations::of(&context, rows)
        };
        for size in [1e-308, 1e300] {
            let observed = made(&[size, 2.0 * size, -size]).unwrap();
            assert!((observed.scale / size - (14.0f64 / 9.0).sqrt()).abs() < 1e-6);
        }
        let alike = made(&[0.3; 3]).unwrap();
        assert!((alike.mean - 0.3).abs() < 1e-7 && alike.scale > 0.0);
        assert!(alike.rows.matrix().values().iter().all(|v| v.abs() < 1e-6));
        let error = made(&[1.0, f64::NAN, 0.0]).err().unwrap();
        assert_eq!(error.to_string(), "`values` contains NaN at [1]; every entry must be finite");
    }
}
