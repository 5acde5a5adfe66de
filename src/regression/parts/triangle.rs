//! R of [A, B] for the rows of a part, which are all at hand.
//!
//! Where A is well conditioned, the Cholesky factor of A'A is as good as Householder's R for half of the flops, which are
//! products and run at a higher rate as long as rows are not very long. A few rows tell beforehand whether it is, the factor
//! itself whether they were right. What rounding makes of R'R is relative to R'R itself, by u condition², and stays so in a
//! sum over parts: it hides no direction in which there is anything, whatever the condition of others.
//!
//! Beyond that condition there is the Gram matrix of A R1^-1, with R1 that of a sketch. It was tried: its R is off by u
//! condition, which costs a read more of all rows once parts are merged, and where reads are dear, as of Parquet, that is
//! more than products gain on reflections.

use crate::error::Result;
use crate::linalg::{self, Precision, norm};
use crate::matrix::{Mat, Real, power_of_two_below};
use crate::memory::collected;
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::stacked::Stacked;
use crate::regression::driver::hint::{Hint, hint_of};
use crate::regression::methods::moments::{Moments, Normal};
use crate::regression::refine::Group;

/// Up to this condition the Gram matrix knows R to nine digits.
const EXACT: f64 = 3e3;
/// Fewest rows to a column that are worth a look at some of them.
const FEWEST_ROWS: usize = 4;

/// R of [A, B], upper triangular, and whether it was had by products, which they may be if they are `wanted`, are cheaper,
/// and are safe. Then, what it has of the targets below R of A are their lengths there, each by itself.
pub(crate) fn triangle<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    wanted: bool,
) -> Result<(Mat<f64>, bool)> {
    let targets = collected(0..design.ntargets(), PURPOSE)?;
    let (n, d) = (design.nrows(), design.ncols());
    if wanted && d > 0 && n >= FEWEST_ROWS * d {
        let tolerance = T::UNIT_ROUNDOFF;
        let group = Group { context, design, targets: &targets, ridge: 0.0, tolerance, max_passes: 0 };
        if let Some(r) = by_products(&group)? {
            return Ok((r, true));
        }
    }
    let r = linalg::tsqr(context, &Stacked { design, targets: &targets, ridge: 0.0 })?;
    Ok((r, false))
}

/// By A'A, if that is well conditioned.
fn by_products<T: Real>(group: &Group<'_, '_, T>) -> Result<Option<Mat<f64>>> {
    let (context, design) = (group.context, group.design);
    let Some(hint) = promising(context, design)? else { return Ok(None) };
    let read;
    let is_known = !hint.is_blank && !design.is_extreme(&hint.largest);
    let largest = match is_known {
        true => &hint.largest,
        false => {
            read = design.largest_in_columns(context)?;
            &read
        }
    };
    let powers = collected(largest.iter().map(|&value| power_of_two_below(value).recip()), PURPOSE)?;
    let moments = Moments::new(context, design, Precision::Double, powers)?;
    if !moments.is_finite() {
        return Ok(None);
    }
    let normal = moments.normal(group)?;
    let Some(r) = linalg::parallel_cholesky(context, &normal.gram)? else { return Ok(None) };
    if linalg::condition_of_upper(r.as_ref())? * normal.magnification.sqrt() > EXACT {
        return Ok(None);
    }
    with_targets(&normal, &r).map(Some)
}

/// What a few rows tell, if it is nothing against products.
fn promising<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<Option<Hint>> {
    let d = design.ncols();
    let look = |columns: usize| hint_of(context, design, columns + columns / 4 + 32, columns);
    // Some of the columns tell most of it for a fiftieth of what a look at all of them costs.
    if look(d / 4)?.condition > EXACT {
        return Ok(None);
    }
    Ok(Some(look(d)?).filter(|hint| hint.condition <= EXACT))
}

/// R of [A, B] from that of A with columns of norm one: Q'B = R'^-1 A'B, and what it leaves of the lengths of the targets.
fn with_targets(normal: &Normal, r: &Mat<f64>) -> Result<Mat<f64>> {
    let Normal { scale, empty, at_zero, .. } = normal;
    let mut image = at_zero.gradient.copy()?;
    linalg::solve_upper_transposed(r.as_ref(), image.as_mut());
    let (d, k) = (image.nrows(), image.ncols());
    let left = |target: usize| at_zero.squares[target] - norm(image.col(target)).powi(2);
    Mat::from_fn(d + k, d + k, |i, j| match j.checked_sub(d) {
        None if i > j || empty.binary_search(&j).is_ok() => 0.0,
        None => r[(i, j)] * scale[j],
        Some(target) if i < d => image[(i, target)],
        Some(target) if i == j => left(target).max(0.0).sqrt(),
        Some(_) => 0.0,
    })
}

/// What memory is for.
const PURPOSE: &str = "a triangle of rows in parts";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, assert_near, forms, product, transposed};

    /// R'R is [A, B]'[A, B] but for products of different targets, in units of the lengths of the columns, whatever the way.
    #[test]
    fn squares_to_the_products_of_the_rows() {
        let (n, d) = (400, 52);
        for (steep, many) in [(0.0, true), (1e-5, true), (0.0, false)] {
            let mut instance = Instance::new(n, d);
            if steep > 0.0 {
                let first = instance.a.col(0).to_vec();
                let second = instance.a.col(1).to_vec();
                let near = second.iter().zip(first).map(|(second, first)| second + steep * first);
                instance.a.col_mut(0).copy_from_slice(&near.collect::<Vec<_>>());
            }
            instance.a.col_mut(7).fill(0.0);
            instance.a.col_mut(9)[..n - 3].fill(0.0);
            let instance = instance.part(if many { 0..n } else { n - 3 * d..n });
            for form in forms() {
                let (a, b) = instance.explicit(form);
                let design = Design::new(&Context::new(1), &instance.problem(form, &[])).unwrap();
                let (r, by_products) = triangle(&Context::new(1), &design, true).unwrap();
                assert_eq!(r.as_slice(), triangle(&Context::new(3), &design, true).unwrap().0.as_slice());
                assert_eq!(by_products, many && steep == 0.0, "{form:?}, {steep}");
                assert!(!triangle(&Context::new(1), &design, false).unwrap().1);
                let unit = |j: usize| if j < d { 1.0 } else { design.target_scale(j - d) };
                let entry = |i: usize, j: usize| if j < d { a[(i, j)] } else { b[(i, j - d)] };
                let both = Mat::from_fn(a.nrows(), d + 2, |i, j| unit(j) * entry(i, j)).unwrap();
                let (found, gram) = (product(&transposed(&r), &r), product(&transposed(&both), &both));
                for (i, j) in (0..d + 2).flat_map(|i| (0..d + 2).map(move |j| (i, j))) {
                    let unit = (gram[(i, i)] * gram[(j, j)]).sqrt();
                    if unit > 0.0 && (i == j || i.min(j) < d) {
                        assert_near(found[(i, j)] / unit, gram[(i, j)] / unit, &format!("{form:?} {i} {j}"));
                    }
                }
                assert!(r.col(7).iter().all(|&value| value == 0.0));
            }
        }
    }

    /// A few rows do not tell of others that hide what they say.
    #[test]
    fn heavy_rows_and_huge_numbers_are_left_to_reflections() {
        let form = forms().next().unwrap();
        let by_products = |instance: &Instance| {
            let design = Design::new(&Context::new(1), &instance.problem(form, &[])).unwrap();
            triangle(&Context::new(1), &design, true).unwrap().1
        };
        let mut instance = Instance::new(600, 45);
        assert!(by_products(&instance));
        let rows = |instance: &mut Instance, factor: f64| {
            (0..45).for_each(|j| instance.a.col_mut(j)[5..8].iter_mut().for_each(|value| *value *= factor));
        };
        rows(&mut instance, 1e6);
        assert!(!by_products(&instance));
        rows(&mut instance, 1e-6);
        instance.a[(5, 3)] = f64::MAX;
        assert!(!by_products(&instance));
    }
}
