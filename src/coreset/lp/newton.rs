//! The p-norm for 1 < p < infinity, by Newton's method with an exact search along each direction.
//!
//! For D = diag(|r|^(p-2)) the direction of Newton is that of the weighted least squares A'DA s = A'D r, its step one of
//! p - 1. Whatever D > 0, what the weighted least squares leave, z = D (r - A s), has A'z = 0, so that z'b / |z|_q, 1/p + 1/q
//! = 1, is a lower bound on |b - A x|_p for all x (1): every iteration has one, from sums over the rows that it goes through
//! anyway. What rounding leaves of A'z is taken off the bound as in `gap`. Three reads of A an iteration, as residuals are
//! made from x afresh; the search along the direction reads two numbers a row.
//!
//! (1) Hölder's inequality; D. Adil, R. Peng, S. Sachdeva, "Fast, provably convergent IRLS algorithm for p-norm linear
//!     regression", NeurIPS 2019, for the iteration.

use super::answer::{Answer, Gap};
use super::design::Prepared;
use super::tiles::{Normal, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::matrix::{Buffer, Real, keep_larger};
use crate::memory::{collected, resize};
use crate::parallel::Context;

/// Residuals beside the largest below which their weights grow no more, for p < 2.
const FLOOR: f64 = 1e-9;
/// Weights beside the largest that count in the matrix of a step, for p > 2: first, at most, and how they rise.
const FIRST_FLOOR: f64 = 1e-30;
const LAST_FLOOR: f64 = 1e-6;
const RISE: f64 = 1e6;
/// Share of the gap that a step should be worth.
const SLOW: f64 = 1e-3;
/// Most values of the slope in a search along a direction, and what of it will do.
const LOOKS: usize = 40;
const FLAT: f64 = 1e-3;

/// x with |b - A x|_p at most 1 + `tolerance` times the least, or as close as `max_iter` iterations from the given one come.
pub(super) fn newton<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    mut x: Vec<f64>,
    p: f64,
    tolerance: f64,
    max_iter: usize,
) -> Result<Answer> {
    let design = &prepared.design;
    let mut rows = RowsAt::new(context, design, &x)?;
    rows.floor = if p > 2.0 { FIRST_FLOOR } else { LAST_FLOOR };
    let (mut least, mut n_iter) = (0.0, 0);
    loop {
        context.check()?;
        let (normal, gradient, objective) = rows.weigh(context, design, p)?;
        let rounding = prepared.scale.rounding(&x, design.nrows(), p);
        let mut gap = Gap { objective, gap: objective - least, rounding };
        context.progress(n_iter, max_iter, &[("gap", gap.gap / objective)])?;
        let enough = gap.gap <= tolerance * objective || objective <= rounding;
        let (Some(normal), false) = (normal, enough || n_iter >= max_iter) else {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        };
        let direction = normal.solve(&gradient)?;
        least = rows.follow(context, design, &prepared.normal, &direction, p)?.max(least);
        gap.gap = objective - least;
        if gap.gap <= tolerance * objective {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        }
        let step = rows.search(context, p)?;
        let next = collected(x.iter().zip(&direction).map(|(x, change)| x + step * change), PURPOSE)?;
        rows.look(context, design, &next)?;
        let after = rows.norm(context, p)?;
        n_iter += 1;
        let is_less = after < objective;
        match is_less {
            true => x = next,
            false => rows.look(context, design, &x)?,
        }
        if is_less && objective - after >= SLOW * gap.gap {
            continue;
        }
        // A step that leads nowhere is one of a matrix that sees too little of some direction.
        if rows.floor < LAST_FLOOR {
            rows.floor *= RISE;
        } else if !is_less {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        }
    }
}

/// Residuals, and what a direction changes of them.
struct RowsAt {
    residual: Buffer<f64>,
    change: Buffer<f64>,
    /// What residuals are divided by before they are raised to a power.
    unit: f64,
    /// Weights beside the largest that count in the matrix of a step at least, for p > 2.
    floor: f64,
}

impl RowsAt {
    fn new(context: &Context, tiles: &dyn Tiles, x: &[f64]) -> Result<Self> {
        let residual = Buffer::zeros(tiles.nrows(), "residuals")?;
        let change = Buffer::zeros(tiles.nrows(), "changes of residuals")?;
        let mut rows = Self { residual, change, unit: 0.0, floor: LAST_FLOOR };
        rows.look(context, tiles, x)?;
        Ok(rows)
    }

    /// Residuals, from nothing but x.
    fn look(&mut self, context: &Context, tiles: &dyn Tiles, x: &[f64]) -> Result<()> {
        let mut states = in_blocks(tiles, &mut self.residual)?;
        let parts = pass(
            context,
            tiles,
            &mut states,
            || Ok((0.0, Vec::new())),
            |(largest, r), out, tile| {
                tile.residual(x, r)?;
                let out = &mut out[tile.number * tile.height..][..tile.rows.len()];
                out.copy_from_slice(&r[..out.len()]);
                out.iter().for_each(|r| keep_larger(largest, r.abs()));
                Ok(())
            },
        )?;
        self.unit = parts.into_iter().map(|(largest, _)| largest).fold(0.0, f64::max);
        Ok(())
    }

    /// |r|_p
    fn norm(&self, context: &Context, p: f64) -> Result<f64> {
        let (unit, mut sum) = (positive(self.unit), 0.0);
        for rows in context.pieces(0..self.residual.len()) {
            sum += self.residual[rows?].iter().map(|r| magnitude(r / unit, p)).sum::<f64>();
        }
        Ok(unit * sum.powf(p.recip()))
    }

    /// The factor of A'DA, A'D r, and |r|_p.
    fn weigh(
        &mut self,
        context: &Context,
        tiles: &dyn Tiles,
        p: f64,
    ) -> Result<(Option<Normal>, Vec<f64>, f64)> {
        let (d, unit, floor) = (tiles.ncols(), positive(self.unit), self.floor);
        let mut states = in_blocks(tiles, &mut self.residual)?;
        let begin = || Ok((Sums::new(d, true, 1)?, 0.0, Vec::new(), Vec::new()));
        let parts = pass(context, tiles, &mut states, begin, |(sums, power, root, r), residual, tile| {
            resize(root, tile.depth(), 0.0, PURPOSE)?;
            resize(r, tile.depth(), 0.0, PURPOSE)?;
            let residual = &residual[tile.number * tile.height..][..tile.rows.len()];
            let mut sum = 0.0;
            for (k, residual) in residual.iter().enumerate() {
                let (weight, curvature) = (weight(residual / unit, p), curvature(residual / unit, p, floor));
                root[k] = curvature.sqrt();
                r[k] = weight / root[k] * residual;
                sum += magnitude(residual / unit, p);
            }
            root[residual.len()..].fill(0.0);
            r[residual.len()..].fill(0.0);
            *power += sum;
            sums.add_weighted_rows(tile, root, r)
        })?;
        let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
        let power: f64 = parts.iter().map(|(_, power, ..)| power).sum();
        Ok((Normal::new(&gram)?, vectors.pop().unwrap_or_default(), unit * power.powf(p.recip())))
    }

    /// Follows a direction; the lower bound that what it leaves proves.
    fn follow(
        &mut self,
        context: &Context,
        tiles: &dyn Tiles,
        normal: &Normal,
        direction: &[f64],
        p: f64,
    ) -> Result<f64> {
        let (d, unit, q) = (tiles.ncols(), positive(self.unit), p / (p - 1.0));
        let (residual, floor) = (&self.residual, self.floor);
        let mut states = in_blocks(tiles, &mut self.change)?;
        let begin = || Ok((Sums::new(d, false, 1)?, [0.0; 3], Vec::new(), Vec::new()));
        let parts = pass(context, tiles, &mut states, begin, |(sums, parts, change, z), out, tile| {
            tile.change(direction, change)?;
            let out = &mut out[tile.number * tile.height..][..tile.rows.len()];
            out.copy_from_slice(&change[..out.len()]);
            resize(z, tile.depth(), 0.0, PURPOSE)?;
            let mut tile_sums = [0.0; 3];
            for (k, row) in tile.rows.clone().enumerate() {
                let r = residual[row] / unit;
                z[k] = weight(r, p) * r + curvature(r, p, floor) * (change[k] / unit);
                tile_sums[0] += z[k] * r;
                tile_sums[1] += z[k].abs().powf(q);
                tile_sums[2] += r * r;
            }
            z[tile.rows.len()..].fill(0.0);
            (0..3).for_each(|k| parts[k] += tile_sums[k]);
            sums.add_vector(tile, 0, z);
            Ok(())
        })?;
        let [product, power, squares] = [0, 1, 2].map(|k| parts.iter().map(|(_, p, ..)| p[k]).sum::<f64>());
        let slope = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1.pop().unwrap_or_default();
        // z - A c with A'A c = A'z is within this of z in the 2-norm, and in the q-norm by as much as norms differ.
        let off = normal.dual_norm(&slope)?;
        let spread = (tiles.nrows() as f64).powf((q.recip() - 0.5).max(0.0));
        let length = power.powf(q.recip()) + off * spread;
        let bound = unit * (product - off * squares.sqrt()) / length;
        Ok(if bound.is_finite() { bound } else { 0.0 })
    }

    /// The step that makes |r + t change|_p least, nearly.
    fn search(&self, context: &Context, p: f64) -> Result<f64> {
        let unit = positive(self.unit);
        let slopes = |t: f64| -> Result<[f64; 2]> {
            let mut total = [0.0; 2];
            for rows in context.pieces(0..self.residual.len()) {
                let rows = rows?;
                let mut part = [0.0; 2];
                for (r, change) in self.residual[rows.clone()].iter().zip(&self.change[rows]) {
                    let (r, change) = ((r + t * change) / unit, change / unit);
                    let weight = weight(r, p);
                    part[0] += weight * r * change;
                    part[1] += weight * change * change;
                }
                (0..2).for_each(|k| total[k] += part[k]);
            }
            Ok(total)
        };
        let first = slopes(0.0)?[0];
        if first >= 0.0 || first.is_nan() {
            return Ok(0.0);
        }
        let (mut low, mut high, mut t) = (0.0, f64::INFINITY, 1.0 / (p - 1.0).max(0.25));
        let mut width = f64::INFINITY;
        for _ in 0..LOOKS {
            let [slope, curvature] = slopes(t)?;
            if slope.abs() <= FLAT * first.abs() {
                return Ok(t);
            }
            if slope < 0.0 {
                low = t
            } else {
                high = t
            }
            let newton = t - slope / ((p - 1.0) * curvature);
            // Far beyond, where the slope is a power of the step, Newton's method takes but a share of it off.
            let is_fast = high - low <= 0.5 * width;
            width = high - low;
            t = match (newton > low && newton < high && newton.is_finite(), high.is_finite()) {
                (true, is_between) if newton <= 8.0 * t && (is_fast || !is_between) => newton,
                (_, true) => 0.5 * (low + high),
                _ => 2.0 * t,
            };
        }
        Ok(low)
    }
}

/// A unit, or one for zero.
fn positive(unit: f64) -> f64 {
    if unit > 0.0 { unit } else { 1.0 }
}

/// |r|^(p-2), for p < 2 of nothing smaller than the floor.
#[inline]
fn weight(r: f64, p: f64) -> f64 {
    let r = if p < 2.0 { r.abs().max(FLOOR) } else { r.abs() };
    power(r, p - 2.0)
}

/// The weight of a row in the matrix of a step: no fitted row is without any, for p > 2, so that no direction is without.
#[inline]
fn curvature(r: f64, p: f64, floor: f64) -> f64 {
    if p > 2.0 { weight(r, p).max(floor) } else { weight(r, p) }
}

/// |r|^p
#[inline]
pub(super) fn magnitude(r: f64, p: f64) -> f64 {
    power(r.abs(), p)
}

/// Powers that are asked for most take no logarithm.
#[inline]
fn power(r: f64, exponent: f64) -> f64 {
    match exponent {
        0.0 => 1.0,
        1.0 => r,
        2.0 => r * r,
        3.0 => r * r * r,
        4.0 => (r * r) * (r * r),
        -0.5 => 1.0 / r.sqrt(),
        1.5 => r * r.sqrt(),
        _ => r.powf(exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared, residuals};
    use super::*;

    #[test]
    fn bounds_hold_and_meet_the_objective() {
        let instance = Instance::new(800, 5, 9);
        let mut problem = instance.full(false);
        problem.penalty = 0.0;
        for p in [1.1, 1.5, 2.0, 3.0, 7.0] {
            let prepared = prepared(&problem, p);
            let found = newton(&Context::new(2), &prepared, prepared.start.clone(), p, 1e-10, 200).unwrap();
            let value = |x: &[f64]| {
                let (x, intercept) = prepared.coefficients(x).unwrap();
                let sum: f64 =
                    residuals(&problem, &x, intercept).iter().map(|(w, r)| w * r.abs().powf(p)).sum();
                sum.powf(p.recip()) / (prepared.unit * prepared.heaviest.powf(p.recip()))
            };
            let objective = value(&found.x);
            assert!((objective / found.gap.objective - 1.0).abs() < 1e-12, "{p}");
            assert!(found.gap.gap <= 1e-10 * objective && found.n_iter < 40, "{p}: {}", found.n_iter);
            for j in 0..found.x.len() {
                for off in [-1e-3, 1e-3] {
                    let mut x = found.x.clone();
                    x[j] += off;
                    assert!(value(&x) >= objective - found.gap.gap - 1e-14);
                }
            }
        }
    }

    #[test]
    fn powers_are_those_of_the_library() {
        for exponent in [-0.5, 0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 0.3, -0.9] {
            for r in [0.01, 0.7, 1.0, 3.2] {
                assert!((power(r, exponent) / r.powf(exponent) - 1.0).abs() < 1e-14);
            }
        }
    }
}
