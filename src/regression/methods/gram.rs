//! The `gram` step: A'A in one read, its Cholesky factor, refinement.

use crate::error::Result;
use crate::linalg::{self, Factor, Precision};
use crate::matrix::{Dense, Mat, Real};
use crate::memory::{collected, filled};
use crate::parallel::Context;
use crate::regression::design::pass::{Pass, PassSum, Point, Sides, fold};
use crate::regression::design::{Design, FirstRead};
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::refine::{Group, STAGNATION, Scaled, TARGETS, columns};

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
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        precision: Precision,
        powers: Vec<f64>,
    ) -> Result<Self> {
        let targets = collected(0..design.ntargets(), TARGETS)?;
        let zeros = Mat::zeros(design.ncols(), targets.len())?;
        let point = Point::new(&zeros, Sides::Targets(&targets))?;
        let part = || PassSum::new(design, &point);
        let visit = |part: &mut Result<PassSum<'_, '_, T>>, tile: Dense<'_, f64>, first: usize| {
            if let Ok(sum) = part
                && let Err(error) = sum.add_tile(tile, first)
            {
                *part = Err(error);
            }
        };
        let (gram, parts) = match precision {
            Precision::Single => linalg::gram::<f32, _>(context, &design.a, &powers, part, visit)?,
            Precision::Double => linalg::gram::<f64, _>(context, &design.a, &powers, part, visit)?,
        };
        let at_zero = fold(design, parts.into_iter().map(|part| part.map(PassSum::finish)))?;
        Ok(Self { gram, powers, at_zero })
    }

    /// What the first read of narrow rows has given.
    pub fn of_first_read<T: Real>(design: &Design<'_, T>, first: FirstRead) -> Result<Self> {
        let (d, k) = (design.ncols(), design.ntargets());
        let squares = collected((0..k).map(|target| design.target_norm(target).powi(2)), TARGETS)?;
        let at_zero = Pass { gradient: first.gradient, squares, ..Pass::zeros(d, k)? };
        Ok(Self { gram: first.gram, powers: filled(1.0, d, COLUMN_NORMS)?, at_zero })
    }

    /// False if something overflowed or was not finite to begin with.
    pub fn is_finite(&self) -> bool {
        (0..self.gram.ncols()).all(|j| self.gram[(j, j)].is_finite())
    }

    /// A'A of columns times their powers of two, and the pass at x = 0.
    pub fn into_parts(self) -> (Mat<f64>, Pass) {
        (self.gram, self.at_zero)
    }

    /// R of the scaled columns with the ridge of the group; columns of zeros keep a unit row.
    fn factor<T: Real>(&self, group: &Group<'_, '_, T>) -> Result<Option<Scaled>> {
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

/// The gram candidate for one group of targets, admissible up to the condition `limit`.
pub(crate) fn gram<T: Real>(group: &Group<'_, '_, T>, moments: &Moments, limit: f64) -> Result<Outcome> {
    let Some(scaled) = moments.factor(group)? else { return Ok(Outcome::Inadmissible(f64::INFINITY)) };
    let condition = scaled.factor.condition()?;
    if condition.is_nan() || condition > limit {
        return Ok(Outcome::Inadmissible(condition));
    }
    let zeros = Mat::zeros(moments.gram.ncols(), group.targets.len())?;
    let mut pass = Pass {
        gradient: columns(&moments.at_zero.gradient, group.targets)?,
        squares: collected(group.targets.iter().map(|&target| moments.at_zero.squares[target]), TARGETS)?,
        totals: collected(group.targets.iter().map(|&target| moments.at_zero.totals[target]), TARGETS)?,
    };
    group.to_scaled(&mut pass, &zeros, &scaled.scale);
    let refined = group.refine(&scaled, zeros, Some(pass), STAGNATION)?;
    Ok(Outcome::Factored(Factored { refined, scaled, condition }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn the_minimiser_in_both_precisions_of_products() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            for precision in [Precision::Single, Precision::Double] {
                instance.with_group(form, ridge, |group| {
                    let powers = vec![0.5; 5];
                    let moments = Moments::new(group.context, group.design, precision, powers).unwrap();
                    assert!(moments.is_finite());
                    let Outcome::Factored(found) = gram(group, &moments, 1e3).unwrap() else {
                        panic!("admissible")
                    };
                    assert_eq!(found.rank(), 5);
                    instance.assert_solved(form, group, &found.refined, &found.scaled.scale);
                    let limit = 0.5 * found.condition;
                    assert!(
                        matches!(gram(group, &moments, limit).unwrap(), Outcome::Inadmissible(c) if c > limit)
                    );
                });
            }
        }
    }
}
