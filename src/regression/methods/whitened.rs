//! The `whitened` step: the Gram matrix of A R1^-1, R1 that of a sketch, so that no condition number is squared.

use crate::error::Result;
use crate::linalg::{self, Factor, Precision, Product, Sum, normalise_columns};
use crate::matrix::{Dense, Mat, Real, power_of_two_below};
use crate::memory::{collected, copied};
use crate::regression::design::pass::{PassSum, Point, Sides, fold};
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::methods::sketched::SketchFactor;
use crate::regression::refine::{Group, Scaled};

/// The whitened candidate for one group of targets, its Gram matrix summed from products of this precision. A sketch that
/// leaves A R1^-1 with a condition above `worst` has failed.
pub(crate) fn whitened<T: Real>(
    group: &Group<'_, '_, T>,
    sketched: &SketchFactor,
    precision: Precision,
    worst: f64,
) -> Result<Outcome> {
    let SketchFactor { scaled: Scaled { factor, scale, empty, .. }, x, condition, .. } = sketched;
    let Factor::Triangle(r1) = factor else { return Ok(Outcome::Inadmissible(*condition)) };
    let d = r1.ncols();
    let mut whitener = linalg::invert_upper(r1.as_ref())?;
    for j in 0..d {
        whitener.col_mut(j).iter_mut().zip(scale).for_each(|(w, s)| *w /= s);
    }
    let unscaled = Mat::from_fn(d, x.ncols(), |i, j| x[(i, j)] / scale[i])?;
    let point = Point::new(&unscaled, Sides::Targets(group.targets))?;
    let part = || PassSum::new(group.design, &point);
    let visit = |part: &mut Result<PassSum<'_, '_, T>>, tile: Dense<'_, f64>, first: usize| {
        if let Ok(sum) = part
            && let Err(error) = sum.add_tile(tile, first)
        {
            *part = Err(error);
        }
    };
    let (context, design) = (group.context, group.design);
    let powers = scale.iter().map(|&norm| power_of_two_below(norm).recip());
    let powers = collected(powers, COLUMNS)?;
    let product = match precision {
        Precision::Digits(_) => Product::Digits { powers: &powers, bits: BITS },
        Precision::Single | Precision::Double => Product::Double,
    };
    let Sum { mut gram, rounding, parts } =
        linalg::whitened_gram(context, &design.a, &whitener, product, precision, part, visit)?;
    add_ridge(group, &whitener, &mut gram)?;
    let rounding = linalg::relative_rounding(&rounding, |j| gram[(j, j)]);
    let Some(r2) = linalg::parallel_cholesky(context, &gram)? else {
        return Ok(Outcome::Inadmissible(*condition));
    };
    let of_second = linalg::condition_of_upper(r2.as_ref())?;
    if of_second > worst || !linalg::is_beyond_rounding(r2.as_ref(), of_second, rounding)? {
        return Ok(Outcome::Inadmissible(*condition));
    }
    let mut pass = fold(design, parts.into_iter().map(|part| part.map(PassSum::finish)))?;
    group.to_scaled(&mut pass, &unscaled, scale);
    let mut r = linalg::multiply_upper(r2.as_ref(), r1.as_ref())?;
    // The sketch knew the norms of the columns as well as it knows A.
    let (mut x, mut scale) = (x.copy()?, copied(scale, COLUMNS)?);
    for (j, norm) in normalise_columns(&mut r)?.into_iter().enumerate() {
        scale[j] *= norm;
        for side in 0..x.ncols() {
            x[(j, side)] *= norm;
            pass.gradient[(j, side)] /= norm;
        }
    }
    let scaled = Scaled { factor: Factor::Triangle(r), scale, empty: copied(empty, COLUMNS)?, cut: 0.0 };
    let condition = scaled.factor.condition()?;
    let refined = group.refine(&scaled, x, Some(pass), 0.9)?;
    Ok(Outcome::Factored(Factored { refined, scaled, condition }))
}

/// How near columns of A R1^-1 are to what they should be, as a power of one half: more would take digits that
/// cost more than the step or few of refinement that they spare.
const BITS: f64 = 14.0;
/// What memory is for.
const COLUMNS: &str = "norms of columns";
/// What a sketch of A itself may leave at most.
pub(crate) const WORST_SKETCH: f64 = 30.0;

/// gram += ridge W'W, and a unit for columns of zeros, whose sketch was given one.
fn add_ridge<T: Real>(group: &Group<'_, '_, T>, whitener: &Mat<f64>, gram: &mut Mat<f64>) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::methods::sketched::{SketchPlan, sketched};
    use crate::regression::testing::{Instance, forms};
    use crate::sketch::Kind;

    #[test]
    fn the_minimiser_in_all_precisions_of_products() {
        let instance = Instance::new(400, 5);
        let plan = SketchPlan { kind: Kind::SparseSign { zeta: 4 }, rows: 80, seed: 1, draw: 0 };
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            for precision in [Precision::Single, Precision::Double, Precision::Digits(2)] {
                instance.with_group(form, ridge, |group| {
                    let sketch = sketched(group, plan).unwrap();
                    let Outcome::Factored(found) = whitened(group, &sketch, precision, WORST_SKETCH).unwrap()
                    else {
                        panic!("admissible")
                    };
                    assert_eq!(found.rank(), 5);
                    instance.assert_solved(form, group, &found.refined, &found.scaled.scale);
                    let sketch = sketched(group, plan).unwrap();
                    let strict = whitened(group, &sketch, precision, 1.0).unwrap();
                    assert!(matches!(strict, Outcome::Inadmissible(_)));
                });
            }
        }
    }
}
