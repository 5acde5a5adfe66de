//! What coefficients from elsewhere, those of a sample say, are worth on all rows.
//!
//! For 1 < p < infinity a few steps of Newton's method that begin there prove a bound. For quantiles the signs of residuals are
//! no multipliers but at the optimum; those of a smoothed loss are, wherever that is least: y = r / h, cut off at τ - 1 and
//! τ, is the slope of such a loss, whose minimum has A'y = 0, and leaves open no more than Σ (ρ(r) - y r) over rows with
//! |r| < h, which h makes as little as is asked for (1). The h of a row grows with its score, as does how far its residual is
//! from that of the optimum: so Newton's method comes there in a few reads of all rows.
//!
//! (1) K. Madsen, H. B. Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM J. Optimization 3 (1993).

use super::answer::Answer;
use super::design::{Prepared, Problem};
use super::driver::{Output, output};
use super::gap::{Claim, Dual, gaps};
use super::measure::Loss;
use super::newton::newton;
use super::tiles::{Normal, PURPOSE, Sums, Tiles, in_blocks, pass, read};
use crate::error::Result;
use crate::matrix::{Buffer, Mat, Real};
use crate::memory::{collected, gathered, resize};
use crate::parallel::Context;

/// How closely answers are measured.
#[derive(Clone, Copy, Debug)]
pub struct CheckParams<'s> {
    /// What rows were drawn by.
    pub scores: &'s [f64],
    /// Share of the objective that the bound may be short of its minimum.
    pub resolution: f64,
    /// Most iterations, some reads of all rows each.
    pub max_iter: usize,
}

/// Share of the resolution that the smoothing takes,
const SMOOTH: f64 = 0.25;
/// and what is left of A'y.
const LEFT: f64 = 0.05;
/// Weights of rows beyond the band in the matrix of a step, so that no direction is without.
const FLOOR: f64 = 1e-10;
/// Looks for a band, and halvings of a step.
const LOOKS: usize = 40;
/// Least decrease that a step must have, beside what its slope promises.
const DECREASE: f64 = 1e-4;

/// What the coefficients x are worth for one level after the other.
pub fn check_quantiles<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    levels: &[f64],
    x: &[Vec<f64>],
    params: &CheckParams<'_>,
) -> Result<Vec<Output>> {
    let prepared = Prepared::new(context, problem, 1.0, false)?;
    let widths = widths(params.scores)?;
    let outputs = levels.iter().zip(x).map(|(&level, x)| {
        let answer = smoothed(context, &prepared, prepared.near(x)?, level, &widths, params)?;
        output(context, &prepared, prepared.stated(x)?, answer, Loss::Level(level))
    });
    gathered(outputs, "answers")
}

/// What the coefficients x are worth in the p-norm for 1 < p < infinity.
pub fn check_p_norm<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    p: f64,
    x: &[f64],
    params: &CheckParams<'_>,
) -> Result<Output> {
    let prepared = Prepared::new(context, problem, p, false)?;
    let CheckParams { resolution, max_iter, .. } = *params;
    let answer = newton(context, &prepared, prepared.near(x)?, p, SMOOTH * resolution, max_iter)?;
    output(context, &prepared, prepared.stated(x)?, answer, Loss::Power(p))
}

/// What bands of rows are multiples of: half that of all rows, half that of their scores.
fn widths(scores: &[f64]) -> Result<Buffer<f64>> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let mut widths = Buffer::copy_of(scores, PURPOSE)?;
    widths.iter_mut().for_each(|score| *score = 0.5 + if mean > 0.0 { 0.5 * *score / mean } else { 0.5 });
    Ok(widths)
}

/// The minimum of the smoothed loss, with what its multipliers prove.
fn smoothed<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    start: Vec<f64>,
    level: f64,
    widths: &[f64],
    params: &CheckParams<'_>,
) -> Result<Answer> {
    let design = &prepared.design;
    let mut dual = Buffer::zeros(design.nrows(), "multipliers of rows")?;
    residuals(context, design, &start, &mut dual)?;
    let loss = Smoothed { level, h: 0.0, widths }.with_band(context, &dual, SMOOTH * params.resolution)?;
    let (mut at, mut n_iter) = (loss.look(context, design, start)?, 0);
    let mut left = prepared.normal.dual_norm(&at.slope)?;
    while n_iter < params.max_iter && left > LEFT * params.resolution * level.min(1.0 - level) {
        context.check()?;
        let Some(normal) = Normal::new(&at.curvature)? else { break };
        let direction = normal.solve(&at.slope)?;
        let promise = loss.h * direction.iter().zip(&at.slope).map(|(d, g)| d * g).sum::<f64>();
        let (mut t, mut found) = (1.0, None);
        for _ in 0..LOOKS {
            let x = at.x.iter().zip(&direction).map(|(x, d)| x + t * loss.h * d);
            let next = loss.look(context, design, collected(x, PURPOSE)?)?;
            let next_left = prepared.normal.dual_norm(&next.slope)?;
            // Near the end the value is rounding.
            if next.value <= at.value - DECREASE * t * promise || next_left < 0.5 * left {
                found = Some((next, next_left));
                break;
            }
            t *= 0.5;
        }
        let Some(found) = found else { break };
        (at, left) = found;
        n_iter += 1;
    }
    residuals(context, design, &at.x, &mut dual)?;
    dual.iter_mut().zip(widths).for_each(|(r, width)| *r = loss.multiplier(*r, *width));
    let claim = Claim { x: &at.x, level, dual: Dual { inside: &dual, globs: None } };
    let gap = gaps(context, design, &prepared.normal, &[claim])?.remove(0);
    Ok(Answer { x: at.x, gap, n_iter, kept: design.nrows(), rounds: 0 })
}

/// b - A x of all rows.
fn residuals(context: &Context, tiles: &dyn Tiles, x: &[f64], out: &mut [f64]) -> Result<()> {
    let mut states = in_blocks(tiles, out)?;
    let begin = || Ok(Vec::new());
    pass(context, tiles, &mut states, begin, |r, out: &mut &mut [f64], tile| {
        tile.residual(x, r)?;
        let out = &mut out[tile.number * tile.height..][..tile.rows.len()];
        out.copy_from_slice(&r[..out.len()]);
        Ok(())
    })?;
    Ok(())
}

/// ρ
fn rho(r: f64, level: f64) -> f64 {
    if r > 0.0 { level * r } else { (level - 1.0) * r }
}

/// A loss with the slope r / (h width), cut off at its ends.
#[derive(Clone, Copy)]
struct Smoothed<'w> {
    level: f64,
    h: f64,
    widths: &'w [f64],
}

/// A point, and what all rows say of it.
struct At {
    x: Vec<f64>,
    value: f64,
    /// A'y
    slope: Vec<f64>,
    /// Of h times the value.
    curvature: Mat<f64>,
}

impl Smoothed<'_> {
    /// y
    fn multiplier(self, r: f64, width: f64) -> f64 {
        if self.h > 0.0 { (r / (self.h * width)).clamp(self.level - 1.0, self.level) } else { 0.0 }
    }

    /// The same with an h such that Σ (ρ(r) - y r) is at most a share of Σ ρ(r).
    fn with_band(mut self, context: &Context, r: &[f64], share: f64) -> Result<Self> {
        let sum = |term: &dyn Fn(f64, f64) -> f64| -> Result<f64> {
            let mut sum = 0.0;
            for rows in context.pieces(0..r.len()) {
                let rows = rows?;
                let both = r[rows.clone()].iter().zip(&self.widths[rows]);
                sum += both.map(|(&r, &width)| term(r, width)).sum::<f64>();
            }
            Ok(sum)
        };
        let objective = sum(&|r, _| rho(r, self.level))?;
        let mut h = objective / r.len().max(1) as f64;
        for _ in 0..LOOKS {
            let loss = Self { h, ..self };
            let open = sum(&|r, width| rho(r, self.level) - loss.multiplier(r, width) * r)?;
            if open <= share * objective {
                break;
            }
            // It grows with the square of h where residuals are spread out.
            h *= (0.9 * share * objective / open).sqrt().clamp(0.05, 0.8);
        }
        self.h = h;
        Ok(self)
    }

    /// One read of all rows.
    fn look(self, context: &Context, tiles: &dyn Tiles, x: Vec<f64>) -> Result<At> {
        let d = tiles.ncols();
        let begin = || Ok((Sums::new(d, true, 2)?, 0.0, [Vec::new(), Vec::new()]));
        let parts = read(context, tiles, begin, |(sums, value, [r, root]), tile| {
            tile.residual(&x, r)?;
            resize(root, tile.depth(), 0.0, PURPOSE)?;
            let mut tile_value = 0.0;
            for ((r, root), &width) in r.iter_mut().zip(&mut *root).zip(&self.widths[tile.rows.clone()]) {
                let y = self.multiplier(*r, width);
                let weight = if y > self.level - 1.0 && y < self.level { 1.0 } else { FLOOR };
                *root = (weight / width).sqrt();
                tile_value += y * *r - 0.5 * self.h * width * y * y;
                *r = y;
            }
            // Below the last row of the tile.
            r[tile.rows.len()..].fill(0.0);
            *value += tile_value;
            sums.add_vector(tile, 1, r);
            sums.add_weighted_rows(tile, root, r)
        })?;
        let (curvature, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
        let slope = vectors.pop().unwrap_or_default();
        Ok(At { x, value: parts.iter().map(|(_, value, _)| value).sum(), slope, curvature })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, objective, prepared};
    use super::super::{Method, Params, p_norm, quantiles};
    use super::*;

    static SCORES: [f64; 4000] = [1.0; 4000];
    const PARAMS: Params = Params { method: Method::Full, tolerance: 1e-11, max_iter: 100, seed: 0 };

    /// However far from the optimum coefficients are, what is found to be open is what is, to the resolution.
    #[test]
    fn excesses_are_found_to_the_resolution_and_never_below() {
        let instance = Instance::new(4000, 4, 5);
        let context = Context::new(2);
        let mut full = instance.full(true);
        (full.fit_intercept, full.penalty) = (false, 0.0);
        for (problem, level) in [(instance.plain(), 0.5), (full, 0.1)] {
            let best = &quantiles(&context, &problem, &[level], &PARAMS).unwrap()[0];
            for (off, resolution) in [(0.0, 1e-2), (0.01, 1e-2), (0.05, 1e-3), (0.3, 1e-2), (30.0, 0.1)] {
                let x: Vec<f64> = best.x.iter().enumerate().map(|(j, x)| x + off * j as f64).collect();
                let params = CheckParams { scores: &SCORES, resolution, max_iter: 30 };
                let found = check_quantiles(&context, &problem, &[level], std::slice::from_ref(&x), &params);
                let found = &found.unwrap()[0];
                assert!((found.objective / objective(&problem, &x, 0.0, level) - 1.0).abs() < 1e-12);
                let excess = found.objective - best.objective;
                assert!(found.gap + found.rounding >= excess, "{} {excess}", found.gap);
                assert!(found.gap <= excess + 0.5 * resolution * found.objective, "{} {excess}", found.gap);
                assert!(found.n_iter < 15, "{}", found.n_iter);
            }
        }
    }

    #[test]
    fn norms_are_checked_by_steps_from_where_they_are() {
        let instance = Instance::new(4000, 4, 5);
        let (problem, context) = (instance.plain(), Context::new(2));
        for p in [1.2, 1.5, 2.0, 3.0, 8.0] {
            let best = p_norm(&context, &problem, p, &PARAMS).unwrap();
            let x: Vec<f64> = best.x.iter().map(|x| x + 0.02).collect();
            let params = CheckParams { scores: &SCORES, resolution: 1e-3, max_iter: 20 };
            let found = check_p_norm(&context, &problem, p, &x, &params).unwrap();
            let excess = found.objective - best.objective;
            assert!(excess > 0.0 && found.gap + found.rounding >= excess);
            assert!(found.gap <= excess + 0.5e-3 * best.objective, "{p}");
        }
    }

    /// What is fitted, and rows that leave no band.
    #[test]
    fn answers_without_residuals_are_proved_to_be_that() {
        let instance = Instance::new(300, 3, 1);
        let prepared_rows = prepared(&instance.plain(), 1.0);
        let x = [1.0, 2.0, 3.0].to_vec();
        let target: Vec<f64> =
            instance.rows.chunks(3).map(|row| row.iter().zip(&x).map(|(a, x)| a * x).sum()).collect();
        let problem = Problem { target: &target, ..instance.plain() };
        let params = CheckParams { scores: &SCORES[..300], resolution: 0.01, max_iter: 10 };
        let found = check_quantiles(&Context::new(1), &problem, &[0.5], &[x], &params).unwrap();
        assert!(found[0].gap.abs() <= 1e-12 * target.iter().map(|b| b.abs()).sum::<f64>());
        assert_eq!(found[0].rank, prepared_rows.design.ncols());
    }
}
