//! The ladder of Cholesky-refined least squares: `gram` in single and in double precision, and `whitened`.
//!
//! A rung is a factor R of A'A that costs about one product A'A and a few reads of A to refine with. What is
//! refined with a factor that is too ill-conditioned for its precision would look right without being right
//! (the small singular values of R are rounding noise then, and so is any error estimate made from them).
//! Hence every rung is entered only with an *admissible* factor, judged by the condition of the very R in use.
//!
//! | rung | products | admissible for | contraction of one refinement |
//! |---|---|---|---|
//! | gram, single | f32, summed in f64 | cond(R) <= 1e3 | 1e-8 cond^2 |
//! | gram, double | f64 | cond(R) <= 1e7 | 1e-16 cond^2 |
//! | whitened | sketch, then f64 and f32 | any cond | 1e-6 |
//!
//! Conditions are those of A with columns of norm one.

use super::design::Design;
use super::lsmr::Unfactored;
use super::pass::{Pass, PassSum, Sides, fold};
use super::products::product;
use super::qr::{Truncated, normalise_columns, truncated};
use super::refine::{Group, Refined, STAGNATION, Scaled, TARGETS};
use super::stacked::{RootWeights, Targets};
use crate::certify::Factor;
use crate::error::Result;
use crate::linalg::{self, Qr, power_of_two_below};
use crate::matrix::{Dense, Mat, Real, Rows, Sparse};
use crate::memory::{collected, filled};
use crate::simd::Element;
use crate::sketch::{Kind, Operand, Sketch};

/// What a rung says of itself.
#[allow(clippy::large_enum_variant)] // one of them is alive at a time
pub(crate) enum Outcome {
    /// Refined answers, settled or not, and the condition of the scaled A.
    Refined(Refined, Scaled, f64),
    /// Answers without a factor.
    Unfactored(Unfactored),
    /// The factor broke down or is too ill-conditioned; its condition estimate.
    Inadmissible(f64),
    /// Iterations were given up after so many reads, as they would need too many.
    Slow { made: usize, needed: usize },
}

impl Outcome {
    /// Reads of A that refined the answers.
    pub fn passes(&self) -> usize {
        match self {
            Self::Refined(refined, ..) | Self::Unfactored(Unfactored { refined, .. }) => refined.passes,
            Self::Slow { made, .. } => *made,
            Self::Inadmissible(_) => 0,
        }
    }
}

/// Precision of products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// `f32`, summed in `f64`.
    Single,
    /// `f64`.
    Double,
}

impl Precision {
    /// Largest condition for which the factor of a Gram matrix may be used.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::Single => 1e3,
            Self::Double => 1e7,
        }
    }
}

/// A'A and A'B in one read of A, to be shared by all ridges.
pub(crate) struct Moments {
    /// (A 2^e)'(A 2^e)
    gram: Mat<f64>,
    /// 2^e
    powers: Vec<f64>,
    /// The pass at x = 0 for all targets.
    at_zero: Pass,
}

impl Moments {
    /// Reads A once. `powers` are powers of two that bring the columns near one.
    pub fn new<T: Real + Element>(
        context: &crate::parallel::Context,
        design: &Design<'_, T>,
        precision: Precision,
        powers: Vec<f64>,
    ) -> Result<Self> {
        let targets = collected(0..design.ntargets(), TARGETS)?;
        let zeros = Mat::zeros(design.ncols(), targets.len())?;
        let part = || PassSum::new(design, &zeros, Sides::Targets(&targets));
        let visit = |part: &mut Result<PassSum<'_, '_, T>>, tile: Dense<'_, f64>, first: usize| {
            if let Ok(sum) = part {
                sum.add_tile(tile, first);
            }
        };
        let (gram, parts) = match precision {
            Precision::Single => linalg::gram::<f32, _>(context, design, &powers, part, visit)?,
            Precision::Double => linalg::gram::<f64, _>(context, design, &powers, part, visit)?,
        };
        let at_zero = fold(design, parts.into_iter().map(|part| part.map(|sum| sum.pass)))?;
        Ok(Self { gram, powers, at_zero })
    }

    /// False if something overflowed or was not finite to begin with.
    pub fn is_finite(&self) -> bool {
        (0..self.gram.ncols()).all(|j| self.gram[(j, j)].is_finite())
    }

    /// R of the scaled columns with the ridge of the group; columns of zeros keep a unit row.
    fn factor<T: Real + Element>(&self, group: &Group<'_, '_, T>) -> Result<Option<Scaled>> {
        let d = self.gram.ncols();
        let ridge = |j: usize| (group.root_ridge(j) * self.powers[j]).powi(2);
        let norm = |j: usize| match self.gram[(j, j)] + ridge(j) {
            0.0 => 1.0,
            square => square.sqrt(),
        };
        let norms = collected((0..d).map(norm), COLUMN_NORMS)?;
        let scaled = Mat::from_fn(d, d, |i, j| match (i == j, self.gram[(i, j)]) {
            (true, _) => 1.0,
            (false, g) => g / norms[i] / norms[j],
        })?;
        let scale = norms.iter().zip(&self.powers).map(|(norm, power)| norm / power);
        let scale = collected(scale, COLUMN_NORMS)?;
        let empty = (0..d).filter(|&j| self.gram[(j, j)] + ridge(j) == 0.0);
        let empty = collected(empty, COLUMN_NORMS)?;
        Ok(linalg::cholesky(&scaled)?.map(|r| Scaled { factor: Factor::Triangle(r), scale, empty, cut: 0.0 }))
    }
}

const COLUMN_NORMS: &str = "norms of columns";
/// The gram rung for one group of targets, admissible up to the condition `limit`.
pub(crate) fn gram<T: Real + Element>(
    group: &Group<'_, '_, T>,
    moments: &Moments,
    limit: f64,
) -> Result<Outcome> {
    let Some(scaled) = moments.factor(group)? else { return Ok(Outcome::Inadmissible(f64::INFINITY)) };
    let condition = condition_of(&scaled.factor)?;
    if condition.is_nan() || condition > limit {
        return Ok(Outcome::Inadmissible(condition));
    }
    let zeros = Mat::zeros(moments.gram.ncols(), group.targets.len())?;
    let mut pass = Pass {
        gradient: super::refine::columns(&moments.at_zero.gradient, group.targets)?,
        squares: collected(group.targets.iter().map(|&target| moments.at_zero.squares[target]), TARGETS)?,
        totals: collected(group.targets.iter().map(|&target| moments.at_zero.totals[target]), TARGETS)?,
    };
    group.to_scaled(&mut pass, &zeros, &scaled.scale);
    let refined = group.refine(&scaled, zeros, Some(pass), STAGNATION)?;
    Ok(Outcome::Refined(refined, scaled, condition))
}

/// How a sketch of A is to be made.
#[derive(Clone, Copy)]
pub(crate) struct SketchPlan {
    pub kind: Kind,
    pub rows: usize,
    pub seed: u64,
    /// Number of the draw, from 0.
    pub draw: u32,
}

/// R1 of the scaled columns and sketch-and-solve answers, from one sketch of A and B.
pub(crate) struct Sketched {
    pub scaled: Scaled,
    /// Sketch-and-solve answers in scaled units, and R1 times them.
    pub x: Mat<f64>,
    pub image: Mat<f64>,
    pub condition: f64,
}

impl Sketched {
    /// R1 without its singular values below `rcond` times the largest, of which it keeps `most`, and without unit rows, and
    /// the answers of least norm.
    pub fn truncated(self, rcond: f64, most: usize) -> Result<Self> {
        let Self { scaled: Scaled { factor: Factor::Triangle(mut r), scale, empty, .. }, image, .. } = self
        else {
            return Ok(self);
        };
        empty.iter().for_each(|&column| r.col_mut(column).fill(0.0));
        let Truncated { factor, x, cut, .. } = truncated(&r, image.as_ref(), rcond, 0.0, most)?;
        let condition = condition_of(&factor)?;
        Ok(Self { scaled: Scaled { factor, scale, empty: Vec::new(), cut }, x, condition, image })
    }
}

/// Sketches A and B and factors the sketch, the ridge unsketched below it.
pub(crate) fn sketched<T: Real + Element + Sketchable>(
    group: &Group<'_, '_, T>,
    plan: SketchPlan,
) -> Result<Sketched> {
    let (design, d, k) = (group.design, group.design.ncols(), group.targets.len());
    let sketch = Sketch::new(plan.kind, plan.rows, Some(design.nrows() as u64), plan.seed, plan.draw)?;
    let mut sketched_a = apply_to_design(group, &sketch)?;
    let sketched_b =
        sketch.apply(group.context, &Operand::Dense(&Targets { design, targets: group.targets }), 0)?;
    let m = sketched_a.nrows();
    let mut scale = filled(1.0, d, COLUMN_NORMS)?;
    for j in 0..d {
        let column = sketched_a.col_mut(j);
        let power = power_of_two_below(column.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
        let ridge = group.root_ridge(j);
        let norm =
            column.iter().map(|v| (v / power).powi(2)).sum::<f64>().sqrt().hypot(ridge / power) * power;
        scale[j] = if norm > 0.0 { norm } else { 1.0 };
        column.iter_mut().for_each(|v| *v /= scale[j]);
    }
    // Below the sketch: the ridge, and a unit row for every column of zeros.
    let below = |j: usize| {
        let empty = group.root_ridge(j) == 0.0 && sketched_a.col(j).iter().all(|&v| v == 0.0);
        (j, if empty { 1.0 } else { group.root_ridge(j) / scale[j] })
    };
    let below = collected((0..d).map(below).filter(|&(_, value)| value != 0.0), "rows below a sketch")?;
    let stacked = Mat::from_fn(m + below.len(), d, |i, j| match i.checked_sub(m) {
        None => sketched_a[(i, j)],
        Some(row) => {
            if below[row].0 == j {
                below[row].1
            } else {
                0.0
            }
        }
    })?;
    let mut x = Mat::from_fn(m + below.len(), k, |i, j| if i < m { sketched_b[(i, j)] } else { 0.0 })?;
    let qr = Qr::new(stacked)?;
    qr.apply_qt(&mut x)?;
    let r = qr.r()?;
    let condition = linalg::condition_of_upper(r.as_ref())?;
    let image = Mat::from_fn(d, k, |i, j| x[(i, j)])?;
    let mut x = image.copy()?;
    if condition.is_finite() {
        linalg::solve_upper(r.as_ref(), x.as_mut());
    }
    let empty = below.iter().map(|&(column, _)| column).filter(|&column| group.root_ridge(column) == 0.0);
    let empty = collected(empty, COLUMN_NORMS)?;
    for &column in &empty {
        (0..k).for_each(|target| x[(column, target)] = 0.0);
    }
    let scaled = Scaled { factor: Factor::Triangle(r), scale, empty, cut: 0.0 };
    Ok(Sketched { scaled, x, image, condition })
}

/// Element types whose sparse matrices can be sketched.
pub trait Sketchable: Real {
    /// The sparse matrix with its row weights as something to sketch.
    fn operand<'s>(matrix: Sparse<'s, Self>, weights: Option<&'s [f64]>) -> Operand<'s>;
}

impl Sketchable for f32 {
    fn operand<'s>(matrix: Sparse<'s, f32>, weights: Option<&'s [f64]>) -> Operand<'s> {
        Operand::Single(matrix, weights)
    }
}

impl Sketchable for f64 {
    fn operand<'s>(matrix: Sparse<'s, f64>, weights: Option<&'s [f64]>) -> Operand<'s> {
        Operand::Double(matrix, weights)
    }
}

/// S times the design; of a sparse matrix without making it dense.
fn apply_to_design<T: Real + Element + Sketchable>(
    group: &Group<'_, '_, T>,
    sketch: &Sketch,
) -> Result<Mat<f64>> {
    let (context, design) = (group.context, group.design);
    if design.operator().is_some() {
        return apply_to_operator(group, sketch);
    }
    let Some((matrix, weights)) = design.sparse() else {
        return sketch.apply(context, &Operand::Dense(design), 0);
    };
    let mut sketched = sketch.apply(context, &T::operand(matrix, weights), 0)?;
    if let Some(means) = design.means() {
        let ones = sketch.apply(context, &Operand::Dense(&RootWeights { design }), 0)?;
        for (j, mean) in means.iter().enumerate() {
            sketched.col_mut(j).iter_mut().zip(ones.col(0)).for_each(|(s, one)| *s -= one * mean);
        }
    }
    for j in 0..design.ncols() {
        let scale = design.column_scale(j);
        sketched.col_mut(j).iter_mut().for_each(|s| *s *= scale);
    }
    Ok(sketched)
}

/// S times an operator, of which a few columns at a time are had as products with unit vectors.
fn apply_to_operator<T: Real + Element>(group: &Group<'_, '_, T>, sketch: &Sketch) -> Result<Mat<f64>> {
    let (context, d) = (group.context, group.design.ncols());
    let mut sketched = Mat::zeros(sketch.m(), d)?;
    for first in (0..d).step_by(COLUMNS) {
        let unit = Mat::from_fn(d, COLUMNS.min(d - first), |i, j| f64::from(i == first + j))?;
        let columns = product(context, group.design, &unit)?;
        let part = sketch.apply(context, &Operand::Dense(&columns.as_ref()), 0)?;
        sketched.as_mut_slice()[first * sketch.m()..][..part.as_slice().len()]
            .copy_from_slice(part.as_slice());
    }
    Ok(sketched)
}

/// Columns of an operator that are held at once.
const COLUMNS: usize = 64;

/// The whitened rung for one group of targets, its Gram matrix summed from products of this precision. A sketch that
/// leaves A R1^-1 with a condition above `worst` has failed.
pub(crate) fn whitened<T: Real + Element>(
    group: &Group<'_, '_, T>,
    sketched: Sketched,
    precision: Precision,
    worst: f64,
) -> Result<Outcome> {
    let Sketched { scaled: Scaled { factor, scale, empty, .. }, x, condition, .. } = sketched;
    let Factor::Triangle(r1) = factor else { return Ok(Outcome::Inadmissible(condition)) };
    let d = r1.ncols();
    let mut whitener = linalg::invert_upper(r1.as_ref())?;
    for j in 0..d {
        whitener.col_mut(j).iter_mut().zip(&scale).for_each(|(w, s)| *w /= s);
    }
    let unscaled = Mat::from_fn(d, x.ncols(), |i, j| x[(i, j)] / scale[i])?;
    let part = || PassSum::new(group.design, &unscaled, Sides::Targets(group.targets));
    let visit = |part: &mut Result<PassSum<'_, '_, T>>, tile: Dense<'_, f64>, first: usize| {
        if let Ok(sum) = part {
            sum.add_tile(tile, first);
        }
    };
    let (context, design) = (group.context, group.design);
    let (mut gram, parts) = match precision {
        Precision::Single => linalg::whitened_gram::<f32, _>(context, design, &whitener, part, visit)?,
        Precision::Double => linalg::whitened_gram::<f64, _>(context, design, &whitener, part, visit)?,
    };
    let mut pass = fold(design, parts.into_iter().map(|part| part.map(|sum| sum.pass)))?;
    group.to_scaled(&mut pass, &unscaled, &scale);
    add_ridge(group, &whitener, &mut gram)?;
    let Some(r2) = linalg::cholesky(&gram)? else { return Ok(Outcome::Inadmissible(condition)) };
    if linalg::condition_of_upper(r2.as_ref())? > worst {
        return Ok(Outcome::Inadmissible(condition));
    }
    let mut r = linalg::multiply_upper(r2.as_ref(), r1.as_ref())?;
    // The sketch knew the norms of the columns as well as it knows A.
    let (mut x, mut scale) = (x, scale);
    for (j, norm) in normalise_columns(&mut r)?.into_iter().enumerate() {
        scale[j] *= norm;
        for side in 0..x.ncols() {
            x[(j, side)] *= norm;
            pass.gradient[(j, side)] /= norm;
        }
    }
    let scaled = Scaled { factor: Factor::Triangle(r), scale, empty, cut: 0.0 };
    let condition = condition_of(&scaled.factor)?;
    let refined = group.refine(&scaled, x, Some(pass), 0.9)?;
    Ok(Outcome::Refined(refined, scaled, condition))
}

/// What a sketch of A itself may leave at most.
pub(crate) const WORST_SKETCH: f64 = 30.0;

/// gram += ridge W'W, and a unit for columns of zeros, whose sketch was given one.
fn add_ridge<T: Real + Element>(
    group: &Group<'_, '_, T>,
    whitener: &Mat<f64>,
    gram: &mut Mat<f64>,
) -> Result<()> {
    if group.ridge > 0.0 {
        let d = whitener.ncols();
        let rows = Mat::from_fn(d, d, |i, j| group.root_ridge(i) * whitener[(i, j)])?;
        linalg::matmul(gram.as_mut(), true, rows.as_ref().t(), rows.as_ref(), 1.0);
    }
    for j in 0..gram.ncols() {
        if gram[(j, j)] == 0.0 {
            gram[(j, j)] = 1.0;
        }
    }
    Ok(())
}

/// 2-norm condition estimate of a factor.
pub(crate) fn condition_of(factor: &Factor) -> Result<f64> {
    match factor {
        Factor::Triangle(r) => linalg::condition_of_upper(r.as_ref()),
        Factor::Spectral(_, s) => Ok(s.first().zip(s.last()).map_or(1.0, |(first, last)| first / last)),
    }
}
