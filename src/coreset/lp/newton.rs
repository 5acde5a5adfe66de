//! The p-norm for 1 < p < infinity, by Newton's method with an exact search along each direction.
//!
//! For D = diag(|r|^(p-2)) the direction of Newton is that of the weighted least squares A'DA s = A'D r, its step one of
//! p - 1. Whatever D > 0, what the weighted least squares leave, z = D (r - A s), has A'z = 0, so that z'b / |z|_q, 1/p + 1/q
//! = 1, is a lower bound on |b - A x|_p for all x (1): every iteration has one, from sums over the rows that it goes through
//! anyway. What rounding leaves of A'z is taken off the bound as in `gap`. Three reads of A an iteration, as residuals are
//! made from x afresh; the search along the direction reads two numbers a row.
//!
//! For p < 2 the curvature has a pole where a row is fitted, and near p = 1 most of them may be as good as fitted. So within
//! a band around zero the loss is a square, with the same slope at the ends of the band. Of a row inside, with residual r and
//! slope z, the bound lacks |r|^p / p + |z|^q / q - z r and no more: the band is as wide as the gap allows, and gets narrow
//! with it.
//!
//! (1) Hölder's inequality; D. Adil, R. Peng, S. Sachdeva, "Fast, provably convergent IRLS algorithm for p-norm linear
//!     regression", NeurIPS 2019, for the iteration.

use super::answer::{Answer, Gap};
use super::design::Prepared;
use super::norm::{Norm, magnitude, power};
use super::tiles::{Normal, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::matrix::{Buffer, Real, keep_larger};
use crate::memory::{collected, resize};
use crate::parallel::Context;

/// What a band may leave open, for p < 2: of the objective at first, then of the gap.
const FIRST_SHARE: f64 = 1e-2;
const SHARE: f64 = 0.1;
/// The narrowest band beside the largest residual, and what bands are multiplied with where steps lead nowhere.
const NARROWEST: f64 = 1e-15;
const NARROWER: f64 = 0.1;
/// Weights beside the largest that count in the matrix of a step, for p > 2: first, at most, and how they rise.
const FIRST_FLOOR: f64 = 1e-30;
const LAST_FLOOR: f64 = 1e-6;
const RISE: f64 = 1e6;
/// Share of the gap that a step should be worth while these can rise.
const SLOW: f64 = 1e-3;
/// A step that is worth no more than this share of what will do leads nowhere; so many of them are the last.
const NOTHING: f64 = 1e-2;
const PATIENCE: usize = 4;
/// Most values of the slope in a search along a direction, or looks for a band, and what of the slope will do.
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
    let mut rows = RowsAt::new(context, design, &x, p)?;
    rows.narrow(context, FIRST_SHARE)?;
    let (mut least, mut n_iter, mut idle) = (0.0, 0, 0);
    loop {
        context.check()?;
        let (normal, gradient, before) = rows.weigh(context, design)?;
        let rounding = prepared.scale.rounding(&x, design.nrows(), p);
        let gap_of = |objective: f64, least: f64| Gap { objective, gap: objective - least, rounding };
        let will_do = |gap: &Gap| gap.gap <= tolerance * gap.objective + gap.rounding;
        let mut gap = gap_of(before.norm, least);
        context.progress(n_iter, max_iter, &[("gap", gap.gap / gap.objective)])?;
        let enough = will_do(&gap) || gap.objective <= rounding;
        let (Some(normal), false) = (normal, enough || n_iter >= max_iter) else {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        };
        let direction = normal.solve(&gradient)?;
        least = rows.follow(context, design, &prepared.normal, &direction)?.max(least);
        gap = gap_of(before.norm, least);
        if will_do(&gap) {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        }
        let step = rows.search(context)?;
        let next = collected(x.iter().zip(&direction).map(|(x, change)| x + step * change), PURPOSE)?;
        rows.look(context, design, &next)?;
        let after = rows.worth(context)?;
        n_iter += 1;
        let gained = before.losses - after.losses;
        match gained > 0.0 {
            true => (x, gap) = (next, gap_of(after.norm, least)),
            false => rows.look(context, design, &x)?,
        }
        idle = if gained > NOTHING * tolerance * gap.objective { 0 } else { idle + 1 };
        let differs = rows.sharpen(context, &gap, gained, idle > 0)?;
        if idle >= PATIENCE || !(gained > 0.0 || differs) {
            return Ok(Answer { x, gap, n_iter, kept: design.nrows(), rounds: 0 });
        }
    }
}

/// Residuals, and what a direction changes of them.
struct RowsAt {
    p: f64,
    residual: Buffer<f64>,
    change: Buffer<f64>,
    /// What residuals are divided by before they are raised to a power.
    unit: f64,
    /// Residuals below which the loss is a square, for p < 2.
    band: f64,
    /// Weights beside the largest that count in the matrix of a step at least, for p > 2.
    floor: f64,
}

/// What residuals are worth.
struct Worth {
    /// |r|_p
    norm: f64,
    /// The same with squares inside the band.
    losses: f64,
}

impl RowsAt {
    fn new(context: &Context, tiles: &dyn Tiles, x: &[f64], p: f64) -> Result<Self> {
        let residual = Buffer::zeros(tiles.nrows(), "residuals")?;
        let change = Buffer::zeros(tiles.nrows(), "changes of residuals")?;
        let floor = if p > 2.0 { FIRST_FLOOR } else { 0.0 };
        let mut rows = Self { p, residual, change, unit: 0.0, band: 0.0, floor };
        rows.look(context, tiles, x)?;
        if p < 2.0 {
            rows.band = positive(rows.unit);
        }
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

    /// The loss of residuals over the unit.
    fn loss(&self) -> (Loss, f64) {
        let unit = positive(self.unit);
        (Loss::new(self.p, self.band / unit), unit)
    }

    /// Sums over all residuals.
    fn sums<const N: usize>(&self, context: &Context, of: impl Fn(f64) -> [f64; N]) -> Result<[f64; N]> {
        let mut total = [0.0; N];
        for rows in context.pieces(0..self.residual.len()) {
            let mut part = [0.0; N];
            for &r in &self.residual[rows?] {
                let terms = of(r);
                (0..N).for_each(|k| part[k] += terms[k]);
            }
            (0..N).for_each(|k| total[k] += part[k]);
        }
        Ok(total)
    }

    fn worth(&self, context: &Context) -> Result<Worth> {
        let (loss, unit) = self.loss();
        Ok(loss.worth(unit, self.sums(context, |r| loss.values(r / unit))?))
    }

    /// Makes the band so narrow that what it leaves open is no more than a share of the objective.
    fn narrow(&mut self, context: &Context, share: f64) -> Result<()> {
        if self.p >= 2.0 {
            return Ok(());
        }
        let (loss, unit) = self.loss();
        let most = share * self.sums(context, |r| [loss.values(r / unit)[0]])?[0];
        for _ in 0..LOOKS {
            let (loss, _) = self.loss();
            let [open] = self.sums(context, |r| [loss.open(r / unit)])?;
            if open <= most || self.band <= NARROWEST * unit {
                break;
            }
            // Where residuals are spread out, it grows with this power of the band.
            self.band *= (0.9 * most / open).powf((self.p + 1.0).recip()).clamp(0.05, 0.8);
        }
        self.band = self.band.max(NARROWEST * unit);
        Ok(())
    }

    /// Adapts the loss, or the weights, to what a step has gained; whether the next one differs by that.
    fn sharpen(&mut self, context: &Context, gap: &Gap, gained: f64, is_idle: bool) -> Result<bool> {
        if self.p < 2.0 {
            let before = self.band;
            if is_idle {
                self.band *= NARROWER;
            }
            self.narrow(context, SHARE * gap.gap / gap.objective)?;
            return Ok(self.band < before);
        }
        // A step that leads nowhere is one of a matrix that sees too little of some direction.
        let rises = self.floor < LAST_FLOOR && self.p > 2.0 && gained < SLOW * gap.gap;
        if rises {
            self.floor *= RISE;
        }
        Ok(rises)
    }

    /// The factor of A'DA, A'D r, and what residuals are worth.
    fn weigh(&mut self, context: &Context, tiles: &dyn Tiles) -> Result<(Option<Normal>, Vec<f64>, Worth)> {
        let (d, floor, (loss, unit)) = (tiles.ncols(), self.floor, self.loss());
        let mut states = in_blocks(tiles, &mut self.residual)?;
        let begin = || Ok((Sums::new(d, true, 1)?, [0.0; 2], Vec::new(), Vec::new()));
        let parts = pass(context, tiles, &mut states, begin, |(sums, values, root, r), residual, tile| {
            resize(root, tile.depth(), 0.0, PURPOSE)?;
            resize(r, tile.depth(), 0.0, PURPOSE)?;
            let residual = &residual[tile.number * tile.height..][..tile.rows.len()];
            let mut tile_values = [0.0; 2];
            for (k, residual) in residual.iter().enumerate() {
                let [weight, curvature] = loss.weights(residual / unit);
                root[k] = curvature.max(floor).sqrt();
                r[k] = weight / root[k] * residual;
                let values = loss.values(residual / unit);
                (0..2).for_each(|k| tile_values[k] += values[k]);
            }
            root[residual.len()..].fill(0.0);
            r[residual.len()..].fill(0.0);
            (0..2).for_each(|k| values[k] += tile_values[k]);
            sums.add_weighted_rows(tile, root, r)
        })?;
        let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
        let values = [0, 1].map(|k| parts.iter().map(|(_, values, ..)| values[k]).sum::<f64>());
        Ok((Normal::new(&gram)?, vectors.pop().unwrap_or_default(), loss.worth(unit, values)))
    }

    /// Follows a direction; the lower bound that what it leaves proves.
    fn follow(
        &mut self,
        context: &Context,
        tiles: &dyn Tiles,
        normal: &Normal,
        direction: &[f64],
    ) -> Result<f64> {
        let (d, q, (loss, unit)) = (tiles.ncols(), self.p / (self.p - 1.0), self.loss());
        let (residual, floor) = (&self.residual, self.floor);
        let mut states = in_blocks(tiles, &mut self.change)?;
        let begin = || Ok((Sums::new(d, false, 1)?, [0.0; 2], Norm::default(), [Vec::new(), Vec::new()]));
        let parts =
            pass(context, tiles, &mut states, begin, |(sums, parts, norm, [change, z]), out, tile| {
                tile.change(direction, change)?;
                let out = &mut out[tile.number * tile.height..][..tile.rows.len()];
                out.copy_from_slice(&change[..out.len()]);
                resize(z, tile.depth(), 0.0, PURPOSE)?;
                let mut tile_sums = [0.0; 2];
                for (k, row) in tile.rows.clone().enumerate() {
                    let r = residual[row] / unit;
                    let [weight, curvature] = loss.weights(r);
                    z[k] = weight * r + curvature.max(floor) * (change[k] / unit);
                    tile_sums[0] += z[k] * r;
                    tile_sums[1] += r * r;
                }
                z[tile.rows.len()..].fill(0.0);
                (0..2).for_each(|k| parts[k] += tile_sums[k]);
                norm.add(&z[..tile.rows.len()], q);
                sums.add_vector(tile, 0, z);
                Ok(())
            })?;
        let [product, squares] = [0, 1].map(|k| parts.iter().map(|(_, sums, ..)| sums[k]).sum::<f64>());
        let mut norm = Norm::default();
        parts.iter().for_each(|(_, _, part, _)| norm.join(part, q));
        let slope = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1.pop().unwrap_or_default();
        // z - A c with A'A c = A'z is within this of z in the 2-norm, and in the q-norm by as much as norms differ.
        let off = normal.dual_norm(&slope)?;
        let spread = (tiles.nrows() as f64).powf((q.recip() - 0.5).max(0.0));
        let length = norm.value(q) + off * spread;
        let bound = unit * (product - off * squares.sqrt()) / length;
        Ok(if bound.is_finite() { bound } else { 0.0 })
    }

    /// The step that makes the losses at r + t change least, nearly.
    fn search(&self, context: &Context) -> Result<f64> {
        let (p, (loss, unit)) = (self.p, self.loss());
        let slopes = |t: f64| -> Result<[f64; 2]> {
            let mut total = [0.0; 2];
            for rows in context.pieces(0..self.residual.len()) {
                let rows = rows?;
                let mut part = [0.0; 2];
                for (r, change) in self.residual[rows.clone()].iter().zip(&self.change[rows]) {
                    let (r, change) = ((r + t * change) / unit, change / unit);
                    let [weight, curvature] = loss.weights(r);
                    part[0] += weight * r * change;
                    part[1] += curvature * change * change;
                }
                (0..2).for_each(|k| total[k] += part[k]);
            }
            Ok(total)
        };
        let first = slopes(0.0)?[0];
        if first >= 0.0 || first.is_nan() {
            return Ok(0.0);
        }
        let (mut low, mut high, mut t) = (0.0, f64::INFINITY, 1.0 / (p - 1.0));
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

/// |r|^p, or for p < 2 what it is with a square inside a band, less what that adds outside.
#[derive(Clone, Copy)]
struct Loss {
    p: f64,
    band: f64,
    /// The weight of rows inside,
    inside: f64,
    /// and what is less of those beyond.
    beyond: f64,
}

impl Loss {
    /// With no band for p >= 2.
    fn new(p: f64, band: f64) -> Self {
        Self { p, band, inside: power(band, p - 2.0), beyond: (1.0 - 0.5 * p) * power(band, p) }
    }

    /// The weight w, w r being the slope over p, and the curvature over p (p - 1).
    #[inline]
    fn weights(self, r: f64) -> [f64; 2] {
        match r.abs() < self.band {
            true => [self.inside, self.inside / (self.p - 1.0)],
            false => [power(r.abs(), self.p - 2.0); 2],
        }
    }

    /// |r|^p, and the loss.
    #[inline]
    fn values(self, r: f64) -> [f64; 2] {
        let power = magnitude(r, self.p);
        match r.abs() < self.band {
            true => [power, 0.5 * self.p * self.inside * r * r],
            false => [power, power - self.beyond],
        }
    }

    /// What a row inside leaves open of the bound.
    #[inline]
    fn open(self, r: f64) -> f64 {
        if r.abs() >= self.band {
            return 0.0;
        }
        let (p, q, z) = (self.p, self.p / (self.p - 1.0), self.inside * r);
        magnitude(r, p) / p + z.abs().powf(q) / q - z * r
    }

    /// Of residuals over a unit, from their sums.
    fn worth(self, unit: f64, sums: [f64; 2]) -> Worth {
        let [norm, losses] = sums.map(|sum| unit * sum.powf(self.p.recip()));
        Worth { norm, losses }
    }
}

#[cfg(test)]
mod tests {
    use super::super::design::Problem;
    use super::super::testing::{Instance, prepared, residuals};
    use super::*;

    #[test]
    fn bounds_hold_and_meet_the_objective() {
        let instance = Instance::new(800, 5, 9);
        let mut problem = instance.full(false);
        problem.penalty = 0.0;
        for p in [1.01, 1.1, 1.5, 2.0, 3.0, 7.0] {
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
            assert!(found.gap.gap <= 1.1e-10 * objective && found.n_iter < 40, "{p}: {}", found.n_iter);
            for j in 0..found.x.len() {
                for off in [-1e-3, 1e-3] {
                    let mut x = found.x.clone();
                    x[j] += off;
                    assert!(value(&x) >= objective - found.gap.gap - 1e-14);
                }
            }
        }
    }

    /// All rows but a few, or half of them, are fitted by one line.
    #[test]
    fn what_is_fitted_exactly_takes_no_more_iterations_than_what_is_not() {
        let instance = Instance::new(2000, 4, 3);
        let line = |row: &[f64]| row.iter().zip([3.0, -2.0, 1.0, 5.0]).map(|(a, x)| a * x).sum::<f64>();
        for every in [2, 20] {
            let rows = instance.rows.chunks(4).zip(&instance.target).enumerate();
            let off =
                |(k, (row, b)): (usize, (&[f64], &f64))| line(row) + if k % every == 0 { *b } else { 0.0 };
            let target: Vec<f64> = rows.map(off).collect();
            let problem = Problem { target: &target, ..instance.plain() };
            for p in [1.02, 1.1, 1.2, 1.5, 1.9] {
                let prepared = prepared(&problem, p);
                let found =
                    newton(&Context::new(1), &prepared, prepared.start.clone(), p, 1e-9, 300).unwrap();
                assert!(found.gap.gap <= 1.1e-9 * found.gap.objective, "{p}: {}", found.gap.gap);
                assert!(found.n_iter < 40, "{p}: {}", found.n_iter);
            }
        }
    }

    #[test]
    fn a_loss_has_the_slope_that_its_weight_says_and_leaves_open_what_it_says() {
        for p in [1.1, 1.5, 1.8] {
            let loss = Loss::new(p, 0.25);
            for r in [-2.0, -0.2, 0.01, 0.1, 0.2499, 0.2501, 0.7f64] {
                let h = 1e-6 * r.abs();
                let slope = (loss.values(r + h)[1] - loss.values(r - h)[1]) / (2.0 * h);
                let [weight, curvature] = loss.weights(r);
                assert!((slope / (p * weight * r) - 1.0).abs() < 1e-6, "{p} {r}");
                let z = |r: f64| loss.weights(r)[0] * r;
                let second = (z(r + h) - z(r - h)) / (2.0 * h);
                assert!((second / ((p - 1.0) * curvature) - 1.0).abs() < 1e-6, "{p} {r}");
                let q = p / (p - 1.0);
                let open = r.abs().powf(p) / p + z(r).abs().powf(q) / q - z(r) * r;
                assert!((loss.open(r) - open).abs() < 1e-14 && open > -1e-14);
            }
        }
    }
}
