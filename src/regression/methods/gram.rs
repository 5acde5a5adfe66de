//! The `gram` step: A'A in one read, its Cholesky factor, refinement.

use crate::error::Result;
use crate::linalg::{self, Factor};
use crate::matrix::Real;
use crate::regression::methods::deficient::deficient;
use crate::regression::methods::moments::{Moments, Normal};
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::refine::{Group, Scaled};

/// The gram candidate for one group of targets, admissible up to the condition `limit`; or the shortest answers where
/// columns count as deficient by this `rcond`, if there is one.
pub(crate) fn gram<T: Real>(
    group: &Group<'_, '_, T>,
    moments: &Moments,
    limit: f64,
    rcond: Option<f64>,
) -> Result<Outcome> {
    let normal = moments.normal(group)?;
    // What rounding of a Gram matrix does to a factor grows with the square of the condition.
    let limit = limit / normal.magnification.sqrt();
    let mut condition = f64::INFINITY;
    if let Some(r) = linalg::parallel_cholesky(group.context, &normal.gram)? {
        condition = linalg::condition_of_upper(r.as_ref())?;
        let is_clear = linalg::is_beyond_rounding(r.as_ref(), condition, normal.rounding)?;
        let factor = Factor::Triangle(r);
        if condition <= limit && is_clear {
            let Normal { gram, scale, empty, at_zero, .. } = normal;
            let scaled = Scaled { factor, scale, empty, cut: 0.0 };
            let refined = group.refine_from_zero(&scaled, condition, at_zero, Some(&gram))?;
            return Ok(Outcome::Factored(Factored { refined, scaled, condition }));
        }
    }
    match rcond {
        Some(rcond) => deficient(group, normal, limit, rcond),
        None => Ok(Outcome::Inadmissible(condition)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Precision;
    use crate::regression::testing::{Instance, forms};

    /// Rows that all of a column's unit goes to, beside light ones that alone see the sum of the columns, and are rounded away.
    #[test]
    fn a_triangle_that_rounding_made_is_not_admissible() {
        let (n, d) = (600, 5);
        let mut instance = Instance::new(n, d);
        for (i, j) in (0..n).flat_map(|i| (0..d).map(move |j| (i, j))) {
            let heavy = if i % d == j { 1.0 } else { 0.0 } - 1.0 / d as f64;
            let light = 1e-13 * ((i * 7 + j * 3) as f64).sin();
            instance.a[(i, j)] = if i < 2 * d { heavy } else { 1.2e-6 * heavy + light };
        }
        let form = forms().next().unwrap();
        instance.with_group(form, 0.0, |group| {
            let moments =
                Moments::new(group.context, group.design, Precision::Digits(2), vec![1.0; d]).unwrap();
            assert!(matches!(gram(group, &moments, 1e5, None).unwrap(), Outcome::Inadmissible(_)));
        });
    }

    const PRECISIONS: [Precision; 4] =
        [Precision::Single, Precision::Double, Precision::Digits(3), Precision::Digits(4)];

    #[test]
    fn the_minimiser_in_all_precisions_of_products() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            for precision in PRECISIONS {
                instance.with_group(form, ridge, |group| {
                    let powers = vec![0.5; 5];
                    let moments = Moments::new(group.context, group.design, precision, powers).unwrap();
                    assert!(moments.is_finite());
                    let Outcome::Factored(found) = gram(group, &moments, 1e3, None).unwrap() else {
                        panic!("admissible")
                    };
                    assert_eq!(found.rank(), 5);
                    instance.assert_solved(form, group, &found.refined, &found.scaled.scale);
                    let limit = 0.5 * found.condition;
                    assert!(
                        matches!(gram(group, &moments, limit, None).unwrap(), Outcome::Inadmissible(c) if c > limit)
                    );
                });
            }
        }
    }
}
