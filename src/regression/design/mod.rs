//! The problem as it is solved: rows times root weights, columns centred, magnitudes equilibrated.

pub(crate) mod centring;
pub(crate) mod exact;
pub(crate) mod narrow;
pub(crate) mod parted;
pub(crate) mod pass;
pub(crate) mod products;
pub(crate) mod sides;
pub(crate) mod sparse_pass;
pub(crate) mod stacked;
mod targets;

use crate::error::{Error, Result};
use crate::linalg::cut_off;
use crate::matrix::{
    Adjusted, Buffer, ColumnNorms, Dense, LinearOperator, Mat, Matrix, Products, Real, Rows, Source,
    power_of_two_below,
};
use crate::memory::{collected, copied, extend, filled, room_for, zeros};
use crate::parallel::Context;
use crate::regression::design::centring::{Centre, centre};
use crate::regression::problem::Problem;
use crate::simd::Extended;
use std::ops::Range;

/// A [`Problem`] in the form in which the solvers read it: they see W^(1/2) (A - 1 mean') 2^e and the
/// targets treated alike. What they may ask of A is what M says.
pub(crate) struct Design<'a, T, M = Matrix<'a, T>> {
    /// A with the root weights, the means if the columns are centred, and the powers of two that equilibrate columns
    /// beyond 1e+-100; these are zeros for constant columns.
    pub a: Adjusted<M>,
    targets: Dense<'a, T>,
    weights: Option<&'a [f64]>,
    /// Norm of the root weights.
    weight_norm: f64,
    spread: Spread,
    target_means: Vec<f64>,
    /// Columns that are constant, where all are centred.
    constant: Vec<usize>,
    /// Powers of two that bring every target to a norm near one.
    target_scale: Vec<f64>,
    target_norm: Vec<f64>,
    /// Root of the largest ridge.
    root_ridge: f64,
    /// What was learnt of narrow rows on the way here, or by whoever had use for it before.
    pub first_read: Option<FirstRead>,
    /// A A' in the units of the solvers, its lower triangle, if somebody had use for it before.
    pub row_gram: Option<Mat<f64>>,
}

/// What one read of A and the targets gives, in the units of the solvers.
pub(crate) struct FirstRead {
    /// A'A.
    pub gram: Mat<f64>,
    /// A'B.
    pub gradient: Mat<f64>,
}

impl<'a, 'm, T: Real> Design<'a, T, Matrix<'m, T>> {
    /// Reads the targets and weights once, and the matrix once more if it has to be centred.
    pub fn new(context: &Context, problem: &Problem<'a, T, Matrix<'m, T>>) -> Result<Self> {
        Self::weighted(context, problem)?.read_with_care(context, problem.fit_intercept)
    }

    /// The same by one read of A and the targets where rows are narrow and nothing stands out, which leaves what it gives
    /// in `first_read`.
    pub fn by_first_read(context: &Context, problem: &Problem<'a, T, Matrix<'m, T>>) -> Result<Self> {
        let mut design = Self::weighted(context, problem)?;
        match design.read_at_once(context, problem.fit_intercept)? {
            true => Ok(design),
            false => design.read_with_care(context, problem.fit_intercept),
        }
    }

    /// Whatever the magnitudes, centred exactly.
    fn read_with_care(mut self, context: &Context, fit_intercept: bool) -> Result<Self> {
        if fit_intercept {
            self.centre(context)?;
        }
        self.refuse_negligible_weights(context)?;
        self.with_targets(context)
    }

    /// Keeps A'A and A'B for whoever solves the problem next, if nothing in them may be out of range.
    pub fn keep_moments(&mut self, gram: Mat<f64>, gradient: Mat<f64>) {
        let in_range = |j: usize| (LARGEST_SQUARE.recip()..=LARGEST_SQUARE).contains(&gram[(j, j)]);
        if self.root_ridge <= LARGEST_SQUARE.sqrt() && (0..gram.ncols()).all(in_range) {
            self.first_read = Some(FirstRead { gram, gradient });
        }
    }

    /// The same rows, all of weight one.
    pub fn unweighted(&self) -> Result<Self> {
        Ok(Self {
            a: self.a.unweighted()?,
            weights: None,
            weight_norm: (self.nrows() as f64).sqrt(),
            spread: Spread::even(self.nrows()),
            constant: copied(&self.constant, COLUMNS)?,
            target_means: copied(&self.target_means, "the targets")?,
            target_scale: copied(&self.target_scale, "the targets")?,
            target_norm: copied(&self.target_norm, "the targets")?,
            first_read: None,
            row_gram: None,
            ..*self
        })
    }

    /// The matrix itself, when tiles of it are shown as they are.
    pub fn untouched(&self) -> Option<Dense<'m, T>> {
        match self.a.source {
            Matrix::Dense(matrix) if self.a.is_untouched() => Some(matrix),
            _ => None,
        }
    }

    /// The largest magnitude in every column, after one read; refuses what is not finite.
    pub fn largest_in_columns(&self, context: &Context) -> Result<Buffer<f64>> {
        let largest = self.a.largest_in_columns(context)?;
        match largest.iter().position(|value| !value.is_finite()) {
            Some(column) => Err(self.non_finite(context, column)?),
            None => Ok(largest),
        }
    }

    /// Norms of the columns, after one read.
    pub fn column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        let mut norms = self.a.squared_column_norms(context)?;
        norms.iter_mut().for_each(|square| *square = square.sqrt());
        Ok(norms)
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
        for rows in context.pieces(0..self.nrows()) {
            for row in rows? {
                let value = self.a.source.tile(row..row + 1, column..column + 1, &mut buffer)?.get(0, 0);
                if !value.is_finite() {
                    return Ok(Error::non_finite("A", value, format!("[{row}, {column}]")));
                }
            }
        }
        Ok(Error::value("A", format!("too large in column {column}"), "entries whose sums are finite"))
    }

    /// Refuses weights so small that the columns vanish beside them.
    fn refuse_negligible_weights(&self, context: &Context) -> Result<()> {
        let heaviest = self.spread.heaviest;
        if heaviest >= NEGLIGIBLE_ROOT {
            return Ok(());
        }
        let largest = self.a.unweighted()?.largest_in_columns(context)?;
        let is_faint = |&value: &f64| value > 0.0 && value * heaviest < NEGLIGIBLE;
        if largest.iter().any(is_faint) { Err(negligible_weights("A")) } else { Ok(()) }
    }

    /// Weighted means of the columns and the targets; constant columns are zero from now on.
    fn centre(&mut self, context: &Context) -> Result<()> {
        let Centre { means, target_means, constant } =
            centre(context, &self.a.source, self.targets, self.weights, &self.blocks()?)?;
        if let Some(column) = means.iter().position(|mean| !mean.is_finite()) {
            return Err(self.non_finite(context, column)?);
        }
        if !constant.is_empty() {
            let mut scale = filled(1.0, means.len(), COLUMNS)?;
            constant.iter().for_each(|&column| scale[column] = 0.0);
            self.a.scale = Some(scale);
        }
        (self.a.means, self.target_means, self.constant) = (Some(means), target_means, constant);
        Ok(())
    }
}

impl<'a, 'o, T: Real> Design<'a, T, &'o dyn LinearOperator> {
    /// Reads the targets and weights once. What is known by its products is not centred.
    pub fn by_products(context: &Context, problem: &Problem<'a, T, &'o dyn LinearOperator>) -> Result<Self> {
        if problem.fit_intercept {
            return Err(Error::value("fit_intercept", "true for a linear operator", "false, or a matrix"));
        }
        Self::weighted(context, problem)?.with_targets(context)
    }
}

impl<'a, T: Real, M: Source> Design<'a, T, M> {
    /// The matrix with its weights; of the targets nothing is known yet.
    fn weighted(context: &Context, problem: &Problem<'a, T, M>) -> Result<Self> {
        let ((n, d), k) = (problem.design.shape(), problem.targets.ncols());
        // Every method holds several times as much: a shape that is beyond any memory ends here.
        room_for::<f64>(d.saturating_mul(k.max(1)), "the coefficients")?;
        let mut a = Adjusted::new(problem.design);
        a.root_weights = problem.weights.map(|weights| roots(context, weights)).transpose()?;
        Ok(Self {
            targets: problem.targets,
            weights: problem.weights,
            weight_norm: a.weight_norm(context)?,
            spread: Spread::of(context, n, a.root_weights.as_deref())?,
            a,
            target_means: zeros(k, "the targets")?,
            constant: Vec::new(),
            target_scale: filled(1.0, k, "the targets")?,
            target_norm: zeros(k, "the targets")?,
            root_ridge: problem.ridge.iter().fold(0.0, |largest: f64, &ridge| largest.max(ridge)).sqrt(),
            first_read: None,
            row_gram: None,
        })
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
            self.a.scale = Some(scale);
        }
        Ok(())
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.a.shape().0
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.a.shape().1
    }

    /// Number of entries that are stored of a sparse matrix.
    pub fn stored(&self) -> Option<usize> {
        self.a.source.stored()
    }

    /// Blocks of rows for passes whose sums are as long as a row.
    pub fn blocks(&self) -> Result<Vec<Range<usize>>> {
        self.a.source.blocks()
    }

    /// Number of targets.
    pub fn ntargets(&self) -> usize {
        self.targets.ncols()
    }

    /// |b|, in the units of the solvers.
    pub fn target_norm(&self, target: usize) -> f64 {
        self.target_norm[target]
    }

    /// Column means, if the columns are centred.
    pub fn means(&self) -> Option<&[f64]> {
        self.a.means.as_deref()
    }

    /// The means of the targets, zeros if nothing is centred.
    pub fn target_means(&self) -> &[f64] {
        &self.target_means
    }

    /// Number that all entries of a column are multiplied by.
    #[inline]
    pub fn column_scale(&self, column: usize) -> f64 {
        self.a.scale_of(column)
    }

    /// True if some target has a ridge.
    pub fn has_ridge(&self) -> bool {
        self.root_ridge > 0.0
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
        let Some(removed) = self.removed_by_centring()? else { return Ok(None) };
        let leeway = (rcond / self.cut_off()).max(1.0);
        let left = |(length, removed): (&f64, f64)| (length / length.hypot(removed) * leeway).min(1.0);
        collected(lengths.iter().zip(removed).map(left), COLUMNS).map(Some)
    }

    /// What the rounding of the means makes of the backward error of columns that are now `lengths` long: they are off the
    /// space that is orthogonal to the constant, by which the residual has a mean.
    pub fn rounding_of_centring(&self, lengths: &[f64]) -> Result<f64> {
        let Some(removed) = self.removed_by_centring()? else { return Ok(0.0) };
        let share = |(length, removed): (&f64, f64)| match *length > 0.0 {
            true => (f64::UNIT_ROUNDOFF * removed / length).powi(2),
            false => 0.0,
        };
        Ok(lengths.iter().zip(removed).map(share).sum())
    }

    /// The lengths, with the signs of the means, of what centring takes off the columns; `None` if nothing is centred.
    pub fn removed_by_centring(&self) -> Result<Option<Vec<f64>>> {
        let Some(means) = self.means() else { return Ok(None) };
        let removed = |(j, mean): (usize, &f64)| self.weight_norm * mean * self.column_scale(j);
        collected(means.iter().enumerate().map(removed), COLUMNS).map(Some)
    }

    /// Singular values below this times the largest count as zero, unless the caller says otherwise. What rounding of
    /// entries leaves in heavy rows must not hide what light ones say.
    pub fn cut_off(&self) -> f64 {
        cut_off(self.nrows(), self.ncols(), T::UNIT_ROUNDOFF * self.spread.lightest)
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
        self.rows_present().saturating_sub(usize::from(self.means().is_some()))
    }

    /// The weights of the rows, if not all are one.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights
    }

    /// The weight of a row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Root of the weight of a row.
    #[inline]
    pub fn root_weight(&self, row: usize) -> f64 {
        self.a.root_weight(row)
    }

    /// One entry of a target, in the units of the solvers.
    #[inline]
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
}

const COLUMNS: &str = "means and scales of columns";

/// Squares beyond this, or one over it, may hide what is out of range.
const LARGEST_SQUARE: f64 = 1e200;

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

/// True if squares of such a magnitude may overflow or vanish.
fn extreme(value: f64) -> bool {
    value != 0.0 && !(1e-100..=1e100).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, assert_near, assert_same, forms};

    #[test]
    fn tiles_and_targets_are_weighted_centred_and_in_units() {
        let instance = Instance::new(40, 5);
        for form in forms() {
            let (a, b) = instance.explicit(form);
            let design = Design::new(&Context::new(2), &instance.problem(form, &[0.0])).unwrap();
            let (mut buffer, rows, cols) = (Vec::new(), 3..20, 1..4);
            let tile = design.a.tile(rows.clone(), cols.clone(), &mut buffer).unwrap();
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
