//! What coefficients are worth as the caller gets them: rounded to the precision of the data, in its columns.
//!
//! Solvers work in coordinates of their own and carry residuals along. What they prove is a number that no objective is below;
//! the objective itself is what one read of the rows as they were stated gives for the coefficients as they are returned. A
//! residual there is rounded by no more than some units of |b_i| + |a_i||x|, where |x| is what coefficients were added up from.

use super::design::{Design, Returned};
use super::norm::Norm;
use super::tiles::{Buffers, Entries, PURPOSE, Tiles, blocks, read};
use crate::error::Result;
use crate::matrix::Real;
use crate::memory::{push, resize, zeros};
use crate::parallel::Context;
use std::ops::Range;

/// What is made least.
#[derive(Clone, Copy)]
pub(super) enum Loss {
    /// The sum of τ r for r > 0 and (τ - 1) r for r < 0.
    Level(f64),
    /// The p-norm.
    Power(f64),
    /// The sum of r² / σ within k = ε σ and of 2 ε |r| - ε k beyond; rows have roots of weights for factors.
    Huber { epsilon: f64, scale: f64 },
}

/// An objective, and what rounding may have made of it.
pub(super) struct Measured {
    pub objective: f64,
    pub rounding: f64,
}

/// Rounding of a residual of so many columns, beside |b_i| + |a_i||x|.
pub(super) fn rounding_units(d: usize) -> f64 {
    (4.0 + 0.5 * d as f64) * f64::EPSILON
}

/// Reads all rows once. Whatever is not finite makes the objective so.
pub(super) fn measure<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    at: &Returned,
    loss: Loss,
) -> Result<Measured> {
    let stated = AsStated { design, shift: zeros(at.coefficients.len(), PURPOSE)? };
    let d = stated.ncols();
    let units = rounding_units(d);
    let begin = || Ok(([Norm::default(); 2], [Vec::new(), Vec::new(), Vec::new()]));
    let parts = read(context, &stated, begin, |([value, off], [r, e, sizes]), tile| {
        tile.residual(&at.x, r)?;
        e.clear();
        resize(e, tile.depth(), 0.0, PURPOSE)?;
        e.iter_mut().zip(tile.target).for_each(|(e, b)| *e = b.abs());
        tile.add_sizes(&at.sizes, sizes, e)?;
        e.iter_mut().for_each(|e| *e *= units);
        let (r, e) = (&mut r[..tile.rows.len()], &mut e[..tile.rows.len()]);
        let power = match loss {
            Loss::Power(p) => p,
            Loss::Level(level) => {
                r.iter_mut().for_each(|r| *r *= if *r > 0.0 { level } else { level - 1.0 });
                e.iter_mut().for_each(|e| *e *= level.max(1.0 - level));
                1.0
            }
            Loss::Huber { epsilon, scale } => {
                for ((r, e), row) in r.iter_mut().zip(e.iter_mut()).zip(tile.rows.clone()) {
                    let (size, k) = (r.abs(), epsilon * scale * design.factor(row));
                    *e *= (2.0 * size.min(k) + *e) / scale;
                    *r = if size <= k { size * size / scale } else { k / scale * (2.0 * size - k) };
                }
                1.0
            }
        };
        value.add(r, power);
        off.add(e, power);
        Ok(())
    })?;
    let power = if let Loss::Power(p) = loss { p } else { 1.0 };
    let [objective, rounding] = [0, 1].map(|which| {
        let mut norm = Norm::default();
        parts.iter().for_each(|(norms, _)| norm.join(&norms[which], power));
        norm.value(power)
    });
    Ok(Measured { objective, rounding })
}

/// A design in the columns of the caller.
struct AsStated<'d, 'a, T> {
    design: &'d Design<'a, T>,
    /// None of any column.
    shift: Vec<f64>,
}

impl<T: Real> Tiles for AsStated<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.design.nrows()
    }

    fn ncols(&self) -> usize {
        self.design.width()
    }

    fn target(&self) -> &[f64] {
        self.design.target()
    }

    fn entries<'b>(&'b self, rows: Range<usize>, buffers: &'b mut Buffers) -> Result<Entries<'b>> {
        self.design.stated_entries(rows, &self.shift, buffers)
    }

    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        if self.design.is_few() {
            return self.design.blocks();
        }
        let (n, d) = (self.design.rows_of_data(), self.ncols());
        let mut all = blocks(n, d)?;
        for rows in blocks(self.nrows() - n, d)? {
            push(&mut all, n + rows.start..n + rows.end, PURPOSE)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, objective, prepared, residuals};
    use super::*;

    #[test]
    fn objectives_are_those_of_the_definition() {
        let instance = Instance::new(700, 4, 6);
        for sparse in [false, true] {
            let mut problem = instance.full(sparse);
            for p in [1.0, 1.5, 7.0, 300.0, f64::INFINITY] {
                problem.penalty = if p == 1.0 { 7.0 } else { 0.0 };
                let prepared = prepared(&problem, p);
                let at = prepared.returned(&prepared.start).unwrap();
                let rows = residuals(&problem, &at.coefficients, at.intercept);
                let (loss, expected) = match p {
                    1.0 => (Loss::Level(0.2), objective(&problem, &at.coefficients, at.intercept, 0.2)),
                    _ if p.is_finite() => {
                        let largest = rows.iter().fold(0.0f64, |largest, (_, r)| largest.max(r.abs()));
                        let sum: f64 = rows.iter().map(|(w, r)| w * (r.abs() / largest).powf(p)).sum();
                        (Loss::Power(p), largest * sum.powf(p.recip()))
                    }
                    _ => {
                        let live = rows.iter().filter(|(w, _)| *w > 0.0);
                        (Loss::Power(p), live.fold(0.0f64, |largest, (_, r)| largest.max(r.abs())))
                    }
                };
                let found = measure(&Context::new(2), &prepared.design, &at, loss).unwrap();
                let unit = prepared.unit * prepared.heaviest.powf(p.recip());
                assert!((found.objective * unit / expected - 1.0).abs() < 1e-12, "{p}");
                assert!(found.rounding > 0.0 && found.rounding < 1e-13 * found.objective, "{p}");
                let mut bad = prepared.returned(&prepared.start).unwrap();
                bad.x[1] = f64::NAN;
                let found = measure(&Context::new(2), &prepared.design, &bad, loss).unwrap();
                assert!(!found.objective.is_finite(), "{p}");
            }
        }
    }
}
