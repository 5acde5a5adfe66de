//! The problem as it is solved: rows times root weights, columns centred, magnitudes equilibrated.

pub(crate) mod centring;
pub(crate) mod exact;
pub(crate) mod pass;
pub(crate) mod products;
pub(crate) mod stacked;

use crate::error::{Error, Result};
use crate::linalg::{cut_off, power_of_two_below};
use crate::matrix::{
    Buffer, Dense, LinearOperator, Real, Rows, Sparse, TILE, row_blocks, sparse_blocks, sum_over_tiles,
};
use crate::memory::{collected, copied, extend, filled, prepare, resize, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::centring::{Centre, centre};
use crate::regression::problem::{Problem, Source, no_tiles};
use crate::simd::{Extended, kernel};
use std::ops::Range;

/// A [`Problem`] in the form in which the solvers read it: they see W^(1/2) (A - 1 mean') 2^e and the
/// targets treated alike, one cache-sized tile at a time.
pub(crate) struct Design<'a, T> {
    matrix: Source<'a, T>,
    targets: Dense<'a, T>,
    weights: Option<&'a [f64]>,
    root_weights: Option<Vec<f64>>,
    /// Norm of the root weights.
    weight_norm: f64,
    spread: Spread,
    means: Option<Vec<f64>>,
    target_means: Vec<f64>,
    /// Columns that are constant, where all are centred.
    constant: Vec<usize>,
    /// Powers of two that equilibrate columns beyond 1e+-100; zeros for constant columns.
    column_scale: Option<Vec<f64>>,
    /// Powers of two that bring every target to a norm near one.
    target_scale: Vec<f64>,
    target_norm: Vec<f64>,
    /// Root of the largest ridge.
    root_ridge: f64,
}

impl<'a, T: Real> Design<'a, T> {
    /// Reads the targets and weights once, and the matrix once more if it has to be centred.
    pub fn new<M>(context: &Context, problem: &Problem<'a, T, M>) -> Result<Self>
    where
        M: Copy + Into<Source<'a, T>>,
    {
        let (n, k) = (problem.targets.nrows(), problem.targets.ncols());
        let matrix: Source<'a, T> = problem.design.into();
        // Every method holds several times as much: a shape that is beyond any memory ends here.
        room_for::<f64>(matrix.ncols().saturating_mul(k.max(1)), "the coefficients")?;
        let root_weights = problem.weights.map(|weights| roots(context, weights)).transpose()?;
        let spread = Spread::of(context, n, root_weights.as_deref())?;
        let mut design = Self {
            matrix,
            targets: problem.targets,
            weights: problem.weights,
            weight_norm: norm_of_weights(context, n, root_weights.as_deref(), spread.heaviest)?,
            spread,
            root_weights,
            means: None,
            target_means: zeros(k, "the targets")?,
            constant: Vec::new(),
            column_scale: None,
            target_scale: filled(1.0, k, "the targets")?,
            target_norm: zeros(k, "the targets")?,
            root_ridge: problem.ridge.iter().fold(0.0, |largest: f64, &ridge| largest.max(ridge)).sqrt(),
        };
        if problem.fit_intercept {
            if design.operator().is_some() {
                return Err(Error::value(
                    "fit_intercept",
                    "true for a linear operator",
                    "false, or a matrix",
                ));
            }
            design.centre(context)?;
        }
        design.refuse_negligible_weights(context)?;
        for target in 0..k {
            let largest = design.largest_target(context, target)?;
            design.target_scale[target] = power_of_two_below(largest).recip();
            let mut squares = 0.0;
            for rows in context.pieces(0..n) {
                squares = rows?.fold(squares, |sum, row| sum + design.target(row, target).powi(2));
            }
            design.target_norm[target] = squares.sqrt();
        }
        Ok(design)
    }

    /// Number of targets.
    pub fn ntargets(&self) -> usize {
        self.targets.ncols()
    }

    /// |b|, in the units of the solvers.
    pub fn target_norm(&self, target: usize) -> f64 {
        self.target_norm[target]
    }

    /// The sparse matrix and its row weights, if it is one; centring and column scales are not in it.
    pub fn sparse(&self) -> Option<(Sparse<'a, T>, Option<&[f64]>)> {
        match self.matrix {
            Source::Sparse(matrix) => Some((matrix, self.root_weights.as_deref())),
            Source::Dense(_) | Source::Operator(_) => None,
        }
    }

    /// The operator, if it is one; weights and centring are not in it.
    pub fn operator(&self) -> Option<&'a dyn LinearOperator> {
        match self.matrix {
            Source::Operator(operator) => Some(operator),
            Source::Dense(_) | Source::Sparse(_) => None,
        }
    }

    /// Column means, if the columns are centred.
    pub fn means(&self) -> Option<&[f64]> {
        self.means.as_deref()
    }

    /// The means of the targets, zeros if nothing is centred.
    pub fn target_means(&self) -> &[f64] {
        &self.target_means
    }

    /// Number that all entries of a column are multiplied by.
    pub fn column_scale(&self, column: usize) -> f64 {
        self.column_scale.as_ref().map_or(1.0, |scale| scale[column])
    }

    /// Root of a ridge on the coefficient of a column.
    pub fn root_ridge(&self, ridge: f64, column: usize) -> f64 {
        ridge.sqrt() * self.column_scale(column)
    }

    /// Number that all entries of a target are multiplied by.
    pub fn target_scale(&self, target: usize) -> f64 {
        self.target_scale[target]
    }

    /// Norm of the root weights, whose square is the sum of the weights and may overflow.
    pub fn weight_norm(&self) -> f64 {
        self.weight_norm
    }

    /// Columns that are constant but for rounding, where all are centred: they count as zeros.
    pub fn constant(&self) -> &[usize] {
        &self.constant
    }

    /// What centring leaves of the lengths of columns that are now `lengths` long; `None` if nothing is centred.
    ///
    /// Rounding is relative to what columns were, so that every decision on the rank is about A with columns of norm one
    /// *before* centring, beside a column for the constant: that of least squares with a column of ones. A cut-off that
    /// is above rounding is about centred columns, as far as those are known to it.
    pub fn left_by_centring(&self, lengths: &[f64], rcond: f64) -> Result<Option<Vec<f64>>> {
        let Some(means) = &self.means else { return Ok(None) };
        let leeway = (rcond / self.cut_off()).max(1.0);
        let left = |(j, length): (usize, &f64)| {
            let removed = self.weight_norm * means[j].abs() * self.column_scale(j);
            (length / length.hypot(removed) * leeway).min(1.0)
        };
        collected(lengths.iter().enumerate().map(left), COLUMNS).map(Some)
    }

    /// Singular values below this times the largest count as zero, unless the caller says otherwise. What rounding of
    /// entries leaves in heavy rows must not hide what light ones say.
    pub fn cut_off(&self) -> f64 {
        cut_off(self.nrows(), self.ncols(), T::UNIT_ROUNDOFF * self.spread.lightest)
    }

    /// True if rows are weighted.
    pub fn is_weighted(&self) -> bool {
        self.root_weights.is_some()
    }

    /// The largest weight over the smallest that is not zero.
    pub fn weight_spread(&self) -> f64 {
        let positive = || self.weights.unwrap_or(&[1.0]).iter().copied().filter(|&weight| weight > 0.0);
        positive().fold(0.0, f64::max) / positive().fold(f64::INFINITY, f64::min)
    }

    /// Number of rows of positive weight.
    pub fn rows_present(&self) -> usize {
        self.spread.present
    }

    /// The most that the rank can be for their number; centring takes a direction.
    pub fn most_rank(&self) -> usize {
        self.rows_present().saturating_sub(usize::from(self.means.is_some()))
    }

    /// The weight of a row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Root of the weight of a row.
    pub fn root_weight(&self, row: usize) -> f64 {
        self.root_weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// One entry of a target, in the units of the solvers.
    pub fn target(&self, row: usize, target: usize) -> f64 {
        let centred = self.targets.get(row, target).to_f64() - self.target_means[target];
        centred * self.root_weight(row) * self.target_scale[target]
    }

    /// An entry of a target without its weight, exactly: [`Design::target`] is its root weight times the rounded sum.
    pub fn exact_target(&self, row: usize, target: usize) -> Extended {
        let mut centred = Extended::from(self.targets.get(row, target).to_f64());
        centred.add(-self.target_means[target]);
        let scale = self.target_scale[target];
        Extended { high: centred.high * scale, low: centred.low * scale }
    }

    /// Rows as the caller gave them, without weights and means, but times the column scales, which are powers of two; rows
    /// of weight zero, whose entries may be of any magnitude, are zeros where there are scales.
    pub fn exact_tile<'b>(&'b self, rows: Range<usize>, buffer: &'b mut Vec<f64>) -> Result<Dense<'b, f64>> {
        let columns = 0..self.ncols();
        let Some(scale) = &self.column_scale else {
            return match &self.matrix {
                Source::Dense(matrix) => matrix.tile(rows, columns, buffer),
                Source::Sparse(matrix) => matrix.tile(rows, columns, buffer),
                Source::Operator(_) => no_tiles(),
            };
        };
        let (nrows, ncols) = (rows.len(), columns.len());
        self.copy_rows(rows.clone(), columns, buffer)?;
        for (row, values) in rows.zip(buffer.chunks_exact_mut(ncols.max(1))) {
            match self.weight(row) {
                0.0 => values.fill(0.0),
                _ => multiply(scale, values),
            }
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }

    /// An entry of the caller's as [`Design::exact_tile`] has it.
    pub fn exact_entry(&self, row: usize, column: usize, value: f64) -> f64 {
        match &self.column_scale {
            None => value,
            Some(_) if self.weight(row) == 0.0 => 0.0,
            Some(scale) => value * scale[column],
        }
    }

    /// Entries as the caller gave them.
    fn copy_rows(&self, rows: Range<usize>, cols: Range<usize>, buffer: &mut Vec<f64>) -> Result<()> {
        match &self.matrix {
            Source::Dense(matrix) => match matrix.rows(rows.clone()).row_major_f64() {
                Some(borrowed) => {
                    prepare(buffer, rows.len() * cols.len(), TILE)?;
                    for i in 0..borrowed.nrows() {
                        let row = &borrowed.stored_row(i)[cols.clone()];
                        extend(buffer, row.iter().copied(), TILE)?;
                    }
                }
                None => _ = matrix.tile(rows, cols, buffer)?,
            },
            Source::Sparse(matrix) => _ = matrix.tile(rows, cols, buffer)?,
            Source::Operator(_) => no_tiles(),
        }
        Ok(())
    }

    /// The same rows, all of weight one.
    pub fn unweighted(&self) -> Result<Self> {
        let copy = |numbers: &Vec<f64>| copied(numbers, COLUMNS);
        Ok(Self {
            weights: None,
            root_weights: None,
            weight_norm: (self.nrows() as f64).sqrt(),
            spread: Spread::even(self.nrows()),
            means: self.means.as_ref().map(copy).transpose()?,
            constant: copied(&self.constant, COLUMNS)?,
            target_means: copied(&self.target_means, "the targets")?,
            column_scale: self.column_scale.as_ref().map(copy).transpose()?,
            target_scale: copied(&self.target_scale, "the targets")?,
            target_norm: copied(&self.target_norm, "the targets")?,
            ..*self
        })
    }

    /// The matrix itself, when tiles of it are shown as they are.
    pub fn untouched(&self) -> Option<Dense<'a, T>> {
        let touched = self.root_weights.is_some() || self.means.is_some() || self.column_scale.is_some();
        match self.matrix {
            Source::Dense(matrix) if !touched => Some(matrix),
            _ => None,
        }
    }

    /// Blocks of rows for passes whose sums are as long as a row.
    pub fn blocks(&self) -> Result<Vec<Range<usize>>> {
        match self.sparse() {
            Some((matrix, _)) => sparse_blocks(&matrix),
            None => row_blocks(self.nrows(), self.ncols()),
        }
    }

    /// One number for every column, added up as `add` says from what `entry` makes of the entries (row, column, value) of
    /// the design, of a sparse matrix only those that are stored and in the units of the caller.
    fn sum_over_entries(
        &self,
        context: &Context,
        entry: impl Fn(usize, usize, f64) -> f64 + Sync,
        add: impl Fn(&mut f64, f64) + Sync,
    ) -> Result<Buffer<f64>> {
        match self.sparse() {
            Some((matrix, _)) => matrix.sum_over_entries(context, entry, add),
            None => sum_over_tiles(context, self, entry, add),
        }
    }

    /// The largest magnitude in every column, after one read; refuses what is not finite.
    pub fn largest_in_columns(&self, context: &Context) -> Result<Buffer<f64>> {
        // Unlike `max`, this keeps NaN.
        let keep = |largest: &mut f64, value: f64| {
            *largest = if *largest >= value || largest.is_nan() { *largest } else { value };
        };
        let mut largest = match self.sparse() {
            Some(_) => self.sum_over_entries(
                context,
                |row, j, value| (self.root_weight(row) * self.centred(j, value)).abs(),
                keep,
            )?,
            None => self.sum_over_entries(context, |_, _, value| value.abs(), keep)?,
        };
        if let (Some((matrix, _)), true) = (self.sparse(), self.means.is_some()) {
            let stored = self.sum_over_entries(context, |_, _, _| 1.0, |sum, one| *sum += one)?;
            let weight = self.spread.heaviest;
            for j in (0..matrix.ncols()).filter(|&j| stored[j] < matrix.nrows() as f64) {
                keep(&mut largest[j], (weight * self.centred(j, 0.0)).abs());
            }
        }
        if let Some(column) = largest.iter().position(|value| !value.is_finite()) {
            return Err(self.non_finite(context, column)?);
        }
        Ok(largest)
    }

    /// An entry of the caller's in the units of the solvers, but for the root weight of its row.
    fn centred(&self, column: usize, value: f64) -> f64 {
        (value - self.means.as_ref().map_or(0.0, |means| means[column])) * self.column_scale(column)
    }

    /// Norms of the columns, after one read.
    pub fn column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        let add = |sum: &mut f64, square: f64| *sum += square;
        let mut squares = match self.sparse() {
            Some(_) => {
                let scaled = |row, j, value: f64| self.root_weight(row) * value * self.column_scale(j);
                self.sum_over_entries(context, |row, j, value| scaled(row, j, value).powi(2), add)?
            }
            None => self.sum_over_entries(context, |_, _, value| value * value, add)?,
        };
        if let (Some(_), Some(means)) = (self.sparse(), &self.means) {
            for (j, square) in squares.iter_mut().enumerate() {
                let removed = (self.weight_norm * means[j] * self.column_scale(j)).powi(2);
                *square = (*square - removed).max(f64::EPSILON * *square);
            }
        }
        squares.iter_mut().for_each(|square| *square = square.sqrt());
        Ok(squares)
    }

    /// True if the ridge alone, or columns of so large entries, may be out of the range of squares.
    pub fn is_extreme(&self, largest: &[f64]) -> bool {
        self.root_ridge > LARGEST_ROOT || largest.iter().any(|&value| extreme(value))
    }

    /// Multiplies columns whose largest magnitude is beyond 1e+-100 by a power of two from now on, but by none that
    /// would bring the square of the ridge's root out of range.
    pub fn equilibrate_columns(&mut self, largest: &[f64]) -> Result<()> {
        if self.is_extreme(largest) {
            let most = power_of_two_below(LARGEST_ROOT / self.root_ridge.max(f64::MIN_POSITIVE));
            let equilibrate =
                |&value: &f64| if extreme(value) { power_of_two_below(value).recip() } else { 1.0 };
            let mut scale = collected(largest.iter().map(|value| equilibrate(value).min(most)), COLUMNS)?;
            self.constant.iter().for_each(|&column| scale[column] = 0.0);
            self.column_scale = Some(scale);
        }
        Ok(())
    }

    /// The power of two that brings a column of this largest magnitude near one, or as near as leaves the ridge on it in
    /// the range of squares.
    pub fn equilibrating_power(&self, column: usize, largest: f64) -> f64 {
        let root = self.root_ridge * self.column_scale(column);
        power_of_two_below(largest)
            .recip()
            .min(power_of_two_below(LARGEST_ROOT / root.max(f64::MIN_POSITIVE)))
    }

    /// Names the first entry of a column that is not finite.
    fn non_finite(&self, context: &Context, column: usize) -> Result<Error> {
        let mut buffer = Vec::new();
        let mut raw = |row: usize| match &self.matrix {
            Source::Dense(matrix) => Ok(matrix.get(row, column).to_f64()),
            Source::Sparse(matrix) => {
                matrix.tile(row..row + 1, column..column + 1, &mut buffer).map(|tile| tile.get(0, 0))
            }
            Source::Operator(_) => no_tiles(),
        };
        for rows in context.pieces(0..self.nrows()) {
            for row in rows? {
                let value = raw(row)?;
                if !value.is_finite() {
                    return Ok(Error::non_finite("A", value, format!("[{row}, {column}]")));
                }
            }
        }
        Ok(Error::value("A", format!("too large in column {column}"), "entries whose sums are finite"))
    }

    fn largest_target(&self, context: &Context, target: usize) -> Result<f64> {
        let (mut largest, mut faint) = (0.0f64, 0.0f64);
        for rows in context.pieces(0..self.nrows()) {
            for row in rows? {
                let value = self.targets.get(row, target).to_f64();
                if !value.is_finite() {
                    return Err(Error::non_finite("b", value, format!("[{row}, {target}]")));
                }
                let of_row = self.target(row, target).abs();
                largest = largest.max(of_row);
                if of_row < NEGLIGIBLE && self.root_weight(row) > 0.0 {
                    faint = faint.max((value - self.target_means[target]).abs());
                }
            }
        }
        if self.is_weighted() && largest < NEGLIGIBLE && faint > largest {
            Err(negligible_weights("b"))
        } else {
            Ok(largest)
        }
    }

    /// Refuses weights so small that the columns vanish beside them.
    fn refuse_negligible_weights(&self, context: &Context) -> Result<()> {
        let heaviest = self.spread.heaviest;
        if heaviest >= NEGLIGIBLE_ROOT || self.operator().is_some() {
            return Ok(());
        }
        let keep = |largest: &mut f64, value: f64| *largest = largest.max(value);
        let largest = self.unweighted()?.sum_over_entries(context, |_, _, value| value.abs(), keep)?;
        let is_faint = |&value: &f64| value > 0.0 && value * heaviest < NEGLIGIBLE;
        if largest.iter().any(is_faint) { Err(negligible_weights("A")) } else { Ok(()) }
    }

    /// Weighted means of the columns and the targets; constant columns are zero from now on.
    fn centre(&mut self, context: &Context) -> Result<()> {
        let Centre { means, target_means, constant } =
            centre(context, &self.matrix, self.targets, self.weights, &self.blocks()?)?;
        if let Some(column) = means.iter().position(|mean| !mean.is_finite()) {
            return Err(self.non_finite(context, column)?);
        }
        if !constant.is_empty() {
            let mut scale = filled(1.0, means.len(), COLUMNS)?;
            constant.iter().for_each(|&column| scale[column] = 0.0);
            self.column_scale = Some(scale);
        }
        (self.means, self.target_means, self.constant) = (Some(means), target_means, constant);
        Ok(())
    }
}

const COLUMNS: &str = "means and scales of columns";

/// Products below this lose digits, and vanish in the end.
const NEGLIGIBLE: f64 = 1e-290;

/// Roots of weights below this are looked at beside the columns.
const NEGLIGIBLE_ROOT: f64 = 1e-8;

fn negligible_weights(argument: &'static str) -> Error {
    Error::value(
        "sample_weight",
        format!("so small that it makes `{argument}` vanish"),
        "weights near one: only their ratios, and those to a ridge, matter",
    )
}

/// Largest root of a ridge on a column whose square is summed.
const LARGEST_ROOT: f64 = 1e140;

fn roots(context: &Context, weights: &[f64]) -> Result<Vec<f64>> {
    let mut roots = room_for(weights.len(), "the roots of the weights")?;
    for rows in context.pieces(0..weights.len()) {
        extend(&mut roots, weights[rows?].iter().map(|weight| weight.sqrt()), "the roots of the weights")?;
    }
    Ok(roots)
}

/// What one read of the root weights tells.
#[derive(Clone, Copy)]
struct Spread {
    /// The largest.
    heaviest: f64,
    /// The least that is not zero, over the largest.
    lightest: f64,
    /// How many are not zero.
    present: usize,
}

impl Spread {
    fn of(context: &Context, n: usize, root_weights: Option<&[f64]>) -> Result<Self> {
        let Some(weights) = root_weights else { return Ok(Self::even(n)) };
        let (mut heaviest, mut least, mut present) = (0.0f64, f64::INFINITY, 0);
        for rows in context.pieces(0..weights.len()) {
            for &weight in weights[rows?].iter().filter(|&&weight| weight > 0.0) {
                heaviest = heaviest.max(weight);
                least = least.min(weight);
                present += 1;
            }
        }
        Ok(Self { heaviest, lightest: (least / heaviest).min(1.0), present })
    }

    /// Of so many ones.
    fn even(n: usize) -> Self {
        Self { heaviest: 1.0, lightest: 1.0, present: n }
    }
}

/// Of root weights, or of so many ones.
fn norm_of_weights(context: &Context, n: usize, root_weights: Option<&[f64]>, heaviest: f64) -> Result<f64> {
    let Some(weights) = root_weights else { return Ok((n as f64).sqrt()) };
    let unit = power_of_two_below(heaviest);
    let squares = context.pieces(0..n).try_fold(0.0, |sum, rows| -> Result<f64> {
        Ok(weights[rows?].iter().fold(sum, |sum, weight| sum + (weight / unit).powi(2)))
    })?;
    Ok(squares.sqrt() * unit)
}

/// True if squares of such a magnitude may overflow or vanish.
fn extreme(value: f64) -> bool {
    value != 0.0 && !(1e-100..=1e100).contains(&value)
}

impl<T: Real> Rows for Design<'_, T> {
    fn nrows(&self) -> usize {
        self.matrix.nrows()
    }

    fn ncols(&self) -> usize {
        self.matrix.ncols()
    }

    fn borrowed(&self, rows: Range<usize>) -> Option<Dense<'_, f64>> {
        self.untouched()?.rows(rows).row_major_f64()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        if let Some(borrowed) = self.borrowed(rows.clone()) {
            return Ok(borrowed.cols(cols));
        }
        let shape = (rows.len(), cols.len());
        let means = self.means.as_ref().map(|means| &means[cols.clone()]);
        let as_given = match &self.matrix {
            Source::Dense(matrix) => matrix.rows(rows.clone()).row_major_f64(),
            Source::Sparse(_) | Source::Operator(_) => None,
        };
        if let (Some(as_given), Some(means)) = (as_given, means) {
            resize(buffer, shape.0 * shape.1, 0.0, TILE)?;
            subtracted(as_given.cols(cols.clone()), means, buffer);
        } else {
            self.copy_rows(rows.clone(), cols.clone(), buffer)?;
            means.into_iter().for_each(|means| subtract(means, buffer));
        }
        let scale = self.column_scale.as_ref().map(|scale| &scale[cols]);
        if scale.is_none() && self.root_weights.is_none() {
            return Ok(Dense::row_major(buffer, shape.0, shape.1));
        }
        for (row, values) in rows.zip(buffer.chunks_exact_mut(shape.1.max(1))) {
            if let Some(scale) = scale {
                multiply(scale, values);
            }
            match self.root_weight(row) {
                // Entries of any magnitude, which a scale may have sent out of range.
                0.0 => values.fill(0.0),
                _ if self.root_weights.is_none() => (),
                root => scale_by(root, values),
            }
        }
        Ok(Dense::row_major(buffer, shape.0, shape.1))
    }
}

kernel! {
    /// Rows less the means, one after the other.
    fn subtracted<V>(rows: Dense<'_, f64>, means: &[f64], values: &mut [f64]) {
        let values = values.chunks_exact_mut(means.len().max(1));
        for (row, values) in (0..rows.nrows()).map(|i| rows.stored_row(i)).zip(values) {
            for k in 0..values.len().min(row.len()).min(means.len()) {
                values[k] = row[k] - means[k];
            }
        }
    }
}

kernel! {
    /// The same where they are.
    fn subtract<V>(means: &[f64], values: &mut [f64]) {
        for values in values.chunks_exact_mut(means.len().max(1)) {
            for k in 0..values.len().min(means.len()) {
                values[k] -= means[k];
            }
        }
    }
}

kernel! {
    fn multiply<V>(scale: &[f64], values: &mut [f64]) {
        for k in 0..values.len().min(scale.len()) {
            values[k] *= scale[k];
        }
    }
}

kernel! {
    /// values *= factor
    pub(crate) fn scale_by<V>(factor: f64, values: &mut [f64]) {
        for k in 0..values.len() {
            values[k] *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use crate::regression::testing::{Instance, assert_near, assert_same, forms};

    #[test]
    fn tiles_and_targets_are_weighted_centred_and_in_units() {
        let instance = Instance::new(40, 5);
        for form in forms() {
            let (a, b) = instance.explicit(form);
            let design = Design::new(&Context::new(2), &instance.problem(form, &[0.0])).unwrap();
            let (mut buffer, rows, cols) = (Vec::new(), 3..20, 1..4);
            let tile = design.tile(rows.clone(), cols.clone(), &mut buffer).unwrap();
            let expected = Mat::from_fn(rows.len(), cols.len(), |i, j| a[(3 + i, 1 + j)]).unwrap();
            let tile = Mat::from_fn(rows.len(), cols.len(), |i, j| tile.get(i, j)).unwrap();
            assert_same(&tile, &expected, &format!("{form:?}"));
            for target in 0..2 {
                let scale = design.target_scale(target);
                assert_eq!(scale.log2().fract(), 0.0);
                for i in 0..40 {
                    assert_near(design.target(i, target) / scale, b[(i, target)], "target");
                }
                let norm = b.col(target).iter().map(|b| b * b).sum::<f64>().sqrt();
                assert_near(design.target_norm(target) / scale, norm, "norm of a target");
            }
        }
    }

    #[test]
    fn magnitudes_and_norms_of_columns_are_those_of_the_explicit_rows() {
        let instance = Instance::new(40, 5);
        for form in forms() {
            let (a, _) = instance.explicit(form);
            let context = Context::new(2);
            let design = Design::new(&context, &instance.problem(form, &[0.0])).unwrap();
            let (norms, largest) =
                (design.column_norms(&context).unwrap(), design.largest_in_columns(&context).unwrap());
            for j in 0..5 {
                let norm = a.col(j).iter().map(|value| value * value).sum::<f64>().sqrt();
                assert_near(norms[j], norm, "norm of a column");
                let expected = a.col(j).iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
                // Zeros that are not stored may lie in the heaviest row.
                let at_most = if form.sparse && form.fit_intercept { 3.0 * expected } else { expected };
                assert!((expected * (1.0 - 1e-12)..=at_most * (1.0 + 1e-12)).contains(&largest[j]));
            }
        }
    }

    #[test]
    fn rows_without_weight_are_not_counted_and_scales_are_powers_of_two() {
        let instance = Instance::new(40, 5);
        let form = forms().nth(6).unwrap();
        let mut design = Design::new(&Context::new(1), &instance.problem(form, &[4.0])).unwrap();
        let present = instance.weights.iter().filter(|&&weight| weight > 0.0).count();
        assert_eq!((design.rows_present(), design.most_rank()), (present, present - 1));
        assert_near(design.weight_norm().powi(2), instance.weights.iter().sum(), "sum of the weights");
        assert_eq!(design.weight_spread(), 4.25 / 0.25);
        design.equilibrate_columns(&[1e-120, 1.0, 0.0, 1e120, 7.0]).unwrap();
        let near_one = design.column_scale(0) * 1e-120;
        assert!((1.0..2.0).contains(&near_one));
        assert!((1.0..2.0).contains(&(design.column_scale(3) * 1e120)));
        assert_eq!([1, 2, 4].map(|j| design.column_scale(j)), [1.0; 3]);
        assert_eq!(design.root_ridge(4.0, 0), 2.0 * design.column_scale(0));
    }
}
