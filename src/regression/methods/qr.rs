//! Tall-skinny QR, the rank decision, and minimum-norm answers.

use crate::error::Result;
use crate::linalg::{
    self, Factor, RCOND, Truncated, empty_columns, normalise_columns, normalised, project, pseudo_inverse,
    truncated,
};
use crate::matrix::{Mat, Real, Rows, Source};
use crate::memory::collected;
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::Passes;
use crate::regression::design::stacked::{Stacked, Targets};
use crate::regression::methods::least_norm;
use crate::regression::methods::outcome::Factored;
use crate::regression::methods::wide::Transposed;
use crate::regression::refine::{Group, Refined, Scaled, TARGETS};

/// Reads of A that measure the answer, and mend what rounding left.
const PASSES: usize = 5;

/// QR of [A, B] with the ridge below, singular values below `rcond` times the largest cut off.
pub(crate) fn qr<T: Real>(group: &Group<'_, '_, T>, rcond: f64) -> Result<Factored> {
    if group.design.nrows() < group.design.ncols() && group.ridge == 0.0 {
        return finished(group, wide(group, rcond)?);
    }
    let r_of_both = linalg::tsqr(
        group.context,
        &Stacked { design: group.design, targets: group.targets, ridge: group.ridge },
    )?;
    qr_of_triangle(group, &r_of_both, rcond)
}

/// The same, where R of [A, B] with the ridge below is there; its first rows will do, as many as A has columns.
pub(crate) fn qr_of_triangle<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    r_of_both: &Mat<f64>,
    rcond: f64,
) -> Result<Factored> {
    finished(group, tall(group, r_of_both, rcond)?)
}

/// Answers refined, and shortened where the rank leaves a choice.
fn finished<T: Real, M: Passes<T>>(group: &Group<'_, '_, T, M>, solved: Solved) -> Result<Factored> {
    let Solved { scaled, x, null_space, empty } = solved;
    let rank = scaled.factor.rank();
    let patient = Group { max_passes: PASSES, ..*group };
    let mut refined = patient.refine(&scaled, x, None, 0.9)?;
    if rank < group.design.ncols() {
        refined = shortened(group, refined, &scaled, null_space.as_ref(), &empty)?;
    }
    Ok(Factored { condition: scaled.factor.condition()?, refined, scaled })
}

/// Moves answers of a deficient factor to those of least norm, and measures them again.
pub(crate) fn shortened<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    refined: Refined,
    scaled: &Scaled,
    null_space: Option<&Mat<f64>>,
    empty: &[usize],
) -> Result<Refined> {
    let all = collected(0..group.targets.len(), TARGETS)?;
    let shortest = |x: Mat<f64>| {
        let mut x = shortest(group.context, x, scaled, null_space, &units(group.design, &scaled.scale)?)?;
        for &column in empty {
            (0..x.ncols()).for_each(|target| x[(column, target)] = 0.0);
        }
        Ok(x)
    };
    let mut x = shortest(refined.x)?;
    let at = group.pass(&scaled.scale, &x, &all)?;
    let mut found = group.measured(scaled, &x, &at)?;
    found.passes = refined.passes + 1;
    if found.backward_error.iter().any(|&error| error > group.tolerance) {
        // The rounding of the move is mended by a step, which is so short that its own does not matter.
        let step = shortest(scaled.factor.unwhiten(&scaled.factor.whiten(&at.gradient)?)?)?;
        x.as_mut_slice().iter_mut().zip(step.as_slice()).for_each(|(x, step)| *x += step);
        let at = group.pass(&scaled.scale, &x, &all)?;
        let mended = group.measured(scaled, &x, &at)?;
        found.passes += 1;
        for &position in &all {
            let error = mended.backward_error[position];
            found.keep_better(position, error, &at, &x, position);
        }
        found.settled = all.iter().all(|&position| group.is_accepted(&found, position));
    }
    Ok(Refined { rate: refined.rate, ..found })
}

/// A first answer, in scaled units.
pub(crate) struct Solved {
    pub scaled: Scaled,
    pub x: Mat<f64>,
    /// Right singular vectors that were cut off, where they are at hand.
    pub null_space: Option<Mat<f64>>,
    /// Columns of zeros.
    pub empty: Vec<usize>,
}

fn tall<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    r_of_both: &Mat<f64>,
    rcond: f64,
) -> Result<Solved> {
    let (d, k) = (group.design.ncols(), group.targets.len());
    let r = Mat::from_fn(d, d, |i, j| if i <= j { r_of_both[(i, j)] } else { 0.0 })?;
    let x = Mat::from_fn(d, k, |i, j| r_of_both[(i, d + j)])?;
    decided(r, x, rcond, group.most_rank(), |scale| group.design.left_by_centring(scale, rcond))
}

/// A first answer from an upper triangle R of A and `x` = Q'B, once the rank is decided, which is `most` at most; `left`
/// tells what centring has left of the columns, as [`Design::left_by_centring`] does.
pub(crate) fn decided(
    mut r: Mat<f64>,
    mut x: Mat<f64>,
    rcond: f64,
    most: usize,
    left: impl Fn(&[f64]) -> Result<Option<Vec<f64>>>,
) -> Result<Solved> {
    let empty = collected(empty_columns(&r), COLUMNS)?;
    let mut scale = normalise_columns(&mut r)?;
    let left = left(&scale)?;
    // The estimate may be off by a small factor: near the threshold the SVD decides.
    let doubt = match &left {
        Some(left) => condition_beside_constant(&r, |j| left[j])?,
        None => linalg::condition_of_upper(r.as_ref())?,
    };
    if doubt < 0.1 / rcond && most >= r.ncols() {
        linalg::solve_upper(r.as_ref(), x.as_mut());
        let scaled = Scaled { factor: Factor::Triangle(r), scale, empty: Vec::new(), cut: 0.0 };
        return Ok(Solved { scaled, x, null_space: None, empty });
    }
    let mut least = 0.0;
    if let Some(left) = left {
        least = 1.0;
        for (j, left) in left.iter().enumerate() {
            r.col_mut(j).iter_mut().for_each(|value| *value *= left);
            scale[j] /= left;
        }
    }
    let Truncated { factor, x, null_space, cut } = truncated(&r, x.as_ref(), rcond, least, most)?;
    let scaled = Scaled { factor, scale, empty: Vec::new(), cut };
    Ok(Solved { scaled, x, null_space: Some(null_space), empty })
}

/// Condition of a factor where it decides on the rank: beside the constant, if there is one, and with columns of norm one
/// before they were centred; `condition` is that with columns of norm one as they are.
pub(crate) fn doubt<T: Real, M: Source>(
    design: &Design<'_, T, M>,
    scaled: &Scaled,
    condition: impl FnOnce() -> Result<f64>,
    rcond: f64,
) -> Result<f64> {
    match (&scaled.factor, design.left_by_centring(&scaled.scale, rcond)?) {
        (Factor::Triangle(r), Some(left)) => condition_beside_constant(r, |j| left[j]),
        (Factor::Sparse(r), Some(left)) => {
            r.norms(Some(&left)).map(|[norm, of_inverse]| norm.max(1.0) * of_inverse.max(1.0))
        }
        (Factor::Trapezoid(r, order), Some(left)) => condition_beside_constant(r, |j| left[order[j]]),
        _ => condition(),
    }
}

/// Condition of the leading triangle of R, its columns times what is left of them, beside a one.
fn condition_beside_constant(r: &Mat<f64>, left: impl Fn(usize) -> f64) -> Result<f64> {
    let beside = |i: usize, j: usize| match (i, j) {
        (0, 0) => 1.0,
        (0, _) | (_, 0) => 0.0,
        (i, j) if i > j => 0.0,
        (i, j) => r[(i - 1, j - 1)] * left(j - 1),
    };
    linalg::condition_of_upper(Mat::from_fn(r.nrows() + 1, r.nrows() + 1, beside)?.as_ref())
}

/// Fewer rows than columns: by the QR factorisation of A'.
fn wide<T: Real>(group: &Group<'_, '_, T>, rcond: f64) -> Result<Solved> {
    let transposed = Transposed::new(group.context, group.design, rcond)?;
    let (svd, cut) = transposed.svd(group.context, rcond)?;
    let mut buffer = Vec::new();
    let targets = Targets { design: group.design, targets: group.targets };
    let targets = targets.tile(0..group.design.nrows(), 0..group.targets.len(), &mut buffer)?;
    let (factor, x) = pseudo_inverse(svd, targets)?;
    let scaled = Scaled { factor, scale: transposed.norms, empty: Vec::new(), cut };
    Ok(Solved { scaled, x, null_space: None, empty: transposed.empty })
}

const COLUMNS: &str = "norms of columns";

/// The answers (in scaled units) of the smallest norm in the caller's units that are as good as `x`; `unit` is what
/// coefficients are divided by for those of the caller, up to one factor for all.
pub(crate) fn shortest(
    context: &Context,
    x: Mat<f64>,
    scaled: &Scaled,
    null_space: Option<&Mat<f64>>,
    unit: &[f64],
) -> Result<Mat<f64>> {
    let rank = scaled.factor.rank();
    if rank == scaled.factor.order() {
        return Ok(x);
    }
    if let (Factor::Trapezoid(..) | Factor::Sparse(_), Some(null_space)) = (&scaled.factor, null_space)
        && are_near(unit, &scaled.empty)
    {
        return without(context, &x, null_space, unit);
    }
    let factor = scaled.factor.rows()?;
    if least_norm::is_steep(&factor, unit) {
        let noise = RCOND * (rank as f64).sqrt() * scaled.factor.norm()?;
        return least_norm::shortest(context, &factor, unit, noise, &x);
    }
    match null_space {
        Some(null_space) if null_space.ncols() <= rank => without(context, &x, null_space, unit),
        _ => {
            let unscaled = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] / unit[i])?;
            let row_space = Mat::from_fn(factor.ncols(), rank, |i, j| factor[(j, i)] * unit[i])?;
            let unscaled = project(&linalg::orthonormal(context, normalised(row_space)?)?, &unscaled)?;
            Mat::from_fn(x.nrows(), x.ncols(), |i, j| unscaled[(i, j)] * unit[i])
        }
    }
}

/// Units of the columns that differ by more spoil what null vectors take off the smallest coefficients, beyond what a
/// step of refinement mends.
pub(crate) const FAR: f64 = 1e6;

/// True if null vectors will do for the answers of least norm.
pub(crate) fn has_near_units<T: Real, M: Source>(design: &Design<'_, T, M>, scaled: &Scaled) -> Result<bool> {
    Ok(are_near(&units(design, &scaled.scale)?, &scaled.empty))
}

/// True if the units of the columns that are not zero are not far apart.
fn are_near(unit: &[f64], empty: &[usize]) -> bool {
    let used = (0..unit.len()).filter(|j| empty.binary_search(j).is_err());
    let (least, most) =
        used.fold((f64::INFINITY, 0.0f64), |(least, most), j| (unit[j].min(least), unit[j].max(most)));
    most < FAR * least
}

/// x - N N'x in the caller's units: rows that no null vector touches stay as they are, to the last bit.
fn without(context: &Context, x: &Mat<f64>, null_space: &Mat<f64>, unit: &[f64]) -> Result<Mat<f64>> {
    let unscaled = |m: &Mat<f64>| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] / unit[i]);
    let null = linalg::orthonormal(context, normalised(unscaled(null_space)?)?)?;
    let excess = project(&null, &unscaled(x)?)?;
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| (x[(i, j)] / unit[i] - excess[(i, j)]) * unit[i])
}

/// What coefficients in scaled units are divided by for those of the caller, up to one factor for all.
fn units<T: Real, M: Source>(design: &Design<'_, T, M>, scale: &[f64]) -> Result<Vec<f64>> {
    let equilibrated = |j: usize| design.column_scale(j);
    // Constant columns, which have no unit, are out of the way.
    let least = (0..scale.len()).map(equilibrated).filter(|&unit| unit > 0.0).fold(f64::INFINITY, f64::min);
    let unit = |j: usize| if equilibrated(j) > 0.0 { (least / equilibrated(j)).max(1e-150) } else { 1.0 };
    collected(scale.iter().enumerate().map(|(j, scale)| scale * unit(j)), COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::LEAST;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn the_minimiser_of_tall_rows() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            instance.with_group(form, ridge, |group| {
                let found = qr(group, LEAST).unwrap();
                assert_eq!(found.rank(), 5);
                instance.assert_solved(form, group, &found.refined, &found.scaled.scale);
            });
        }
    }

    #[test]
    fn the_shortest_answer_of_wide_rows_is_the_limit_of_small_ridges() {
        let instance = Instance::new(6, 20);
        for form in forms().filter(|form| !form.weighted) {
            let expected = instance.minimiser(form, 1e-7);
            instance.with_group(form, 0.0, |group| {
                let found = qr(group, 1e-12).unwrap();
                assert_eq!(found.rank(), if form.fit_intercept { 5 } else { 6 });
                for (j, target) in (0..20).flat_map(|j| [(j, 0), (j, 1)]) {
                    let unit = group.design.target_scale(target) * found.scaled.scale[j];
                    let x = found.refined.x[(j, target)] / unit;
                    assert!((x - expected[(j, target)]).abs() < 1e-5, "{form:?}: {x}");
                }
            });
        }
    }
}
