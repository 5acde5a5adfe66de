//! Huber regression by Newton's method: squares of small residuals, magnitudes of large ones, and a ridge.
//!
//! With σ the scale and k = ε σ, what is made least is the sum of w (σ + H(r / σ) σ), H(z) = z² for |z| < ε and 2 ε |z| - ε²
//! beyond, and α |x|² (1): convex in (x, σ) together, and piecewise a smooth function whose pieces rows decide that are small
//! or large. One read of the rows gives its value, slope and curvature.
//!
//! The scores z, residuals cut off at k, are multipliers. As σ H(r / σ) = max over |u| <= 2 ε of u r - σ u²/4, any z with
//! |z| <= k and A'z = λ x, λ = α σ, proves with u = 2 z / σ that for all scales s and all t from 0 to 1 the objective is no
//! less than (2 t / σ) z'b - t² α |x|² + s (W - t² |z|² / σ²), W the sum of the weights. A fixed σ has s = σ; where s is
//! chosen, t is so small that its factor is not negative. That takes the slope in σ along: it is W - |z|² / σ². Scores as
//! they come have A'z = λ x but for what is left to be done and, where σ is small, for the rounding of residuals. What a
//! step of Newton changes them by takes that off, with x + c for x in the proof: z - A c of the rows within, where
//! (A'A + λ) c is what is left, A that of those rows. The rest is taken off as in `gap`.
//!
//! Where nearly all rows are beyond, σ is small or zero and x close to least absolute deviations; steps of both together
//! come to a halt. There x is followed along σ (2), piecewise linear as it is, up from least absolute deviations, or down
//! from least squares where a ridge keeps them apart, to where the slope in σ turns.
//!
//! (1) P. Huber, E. Ronchetti, "Robust Statistics", 2nd ed. (2009), concomitant scale estimates.
//! (2) K. Madsen, H. B. Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM J. Optimization 3 (1993).

use super::design::{Prepared, Problem};
use super::frisch_newton::{Ask, frisch_newton};
use super::measure::{Loss, Measured, measure};
use super::tiles::{Normal, PURPOSE, Sums, Tiles, read};
use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, extend, push, resize, zeros};
use crate::parallel::Context;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct HuberParams {
    /// ε
    pub epsilon: f64,
    /// α, of the coefficients but not of the intercept.
    pub alpha: f64,
    /// σ, or None where it is chosen with x.
    pub scale: Option<f64>,
    /// What may be left of the objective, by the decrement of Newton's method.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iter: usize,
}

/// An answer, and what was measured of it.
#[derive(Debug)]
pub struct HuberOutput {
    /// Coefficients.
    pub x: Vec<f64>,
    /// The constant, zero without one.
    pub intercept: f64,
    /// σ
    pub scale: f64,
    /// What was made least.
    pub objective: f64,
    /// How far that is above the minimum at most.
    pub gap: f64,
    /// What rounding may have hidden of it.
    pub rounding: f64,
    /// Norm of what the span of the columns has of the scores, less the ridge, beside that of the scores.
    pub slope: f64,
    /// Iterations.
    pub n_iter: usize,
    /// The scale is the least that there is,
    pub at_floor: bool,
    /// and all rows are fitted but for rounding.
    pub is_fitted: bool,
    /// Weighted sum of the magnitudes of the targets.
    pub size: f64,
}

/// Least decrease that a step must have, beside what its slope promises.
const DECREASE: f64 = 1e-4;
/// Halvings of a step.
const HALVINGS: usize = 40;
/// Share of the way to a scale of zero.
const SHARE: f64 = 0.9;
/// The least scale, beside the largest target: below it, rows are fitted exactly.
const LEAST: f64 = 1e-12;
/// A loss of so many times its rounding says nothing but that the rows are fitted.
const EXACTLY_FITTED: f64 = 16.0;
/// From one scale to the next, at first and where the scales are close enough for steps of both.
const PACE: f64 = 4.0;
/// Gap of least absolute deviations that are a start,
const ROUGH: f64 = 1e-9;
/// and the scale beside the largest residual that has to be within.
const ROOM: f64 = 2.0;
/// What may be left of A'z at a scale, beside what a row beyond has, before it is left for the next.
const CENTRED: f64 = 0.1;
/// Promises, beside the value, that are rounding.
const NOTHING: f64 = 1e-13;
/// Steps of both together, and share of the first scale, from which on x is followed along scales,
const TOGETHER: usize = 20;
const COLLAPSED: f64 = 1e-3;
/// unless no more than this share of the value is left.
const PROVED: f64 = 1e-10;
/// The first scale is no less than this share of the root mean square of the targets.
const FIRST: f64 = 0.01;

/// A point, and what all rows say of it.
struct At {
    x: Vec<f64>,
    scale: f64,
    value: f64,
    /// Of x, then of the scale if it is free.
    gradient: Vec<f64>,
    curvature: Mat<f64>,
    /// A'z - λ x.
    slope: Vec<f64>,
    /// Squares of residuals within, of all; w |r| and w of those beyond.
    sums: [f64; 4],
}

/// The ridge and the weights in the units of the design.
struct Units {
    /// α and what it is a penalty of.
    alpha: f64,
    penalty: Mat<f64>,
    /// A'A
    gram: Mat<f64>,
    /// Sum of all weights, and the root of the least that is not zero.
    total: f64,
    lightest: f64,
}

impl Units {
    /// Half the slope of the ridge.
    fn image(&self, x: &[f64]) -> Result<Vec<f64>> {
        let row = |i: usize| x.iter().enumerate().map(|(j, x)| self.penalty[(i, j)] * x).sum::<f64>();
        collected((0..x.len()).map(|i| self.alpha * row(i)), PURPOSE)
    }

    /// A Gram matrix and λ.
    fn with_ridge(&self, gram: &Mat<f64>, scale: f64) -> Result<Mat<f64>> {
        let d = gram.ncols();
        Mat::from_fn(d, d, |i, j| gram[(i, j)] + self.alpha * scale * self.penalty[(i, j)])
    }
}

/// Solves a Huber regression.
pub fn huber<T: Real>(
    context: &Context,
    problem: &Problem<'_, T>,
    params: &HuberParams,
) -> Result<HuberOutput> {
    let prepared = Prepared::new(context, problem, 2.0, params.alpha > 0.0)?;
    let design = &prepared.design;
    let (unit, heaviest) = (prepared.unit, prepared.heaviest);
    let units = Units {
        alpha: params.alpha * unit / heaviest,
        // Squares of coefficients are no numbers where the coefficients hardly are.
        penalty: match params.alpha > 0.0 {
            true => design.coefficient_products()?,
            false => Mat::zeros(prepared.start.len(), prepared.start.len())?,
        },
        gram: design.products(context)?.0,
        total: design.total_weight(2.0),
        lightest: design.least_factor(),
    };
    let fixed = params.scale.map(|scale| scale / unit);
    let scale = fixed.map_or_else(|| first_scale(context, &prepared, units.total), Ok)?;
    let look =
        |x: Vec<f64>, scale: f64| look(context, &prepared, &units, params.epsilon, fixed.is_none(), x, scale);
    let mut at = look(copied(&prepared.start, PURPOSE)?, scale)?;
    let (mut n_iter, mut is_followed) = (0, fixed.is_some());
    while n_iter < params.max_iter {
        context.check()?;
        // A scale that would fall to zero stays where it is least.
        let is_free = fixed.is_none() && (at.scale > LEAST || at.gradient[at.x.len()] < 0.0);
        let order = at.x.len() + usize::from(is_free);
        let curvature = Mat::from_fn(order, order, |i, j| at.curvature[(i, j)])?;
        let enough = match is_free || fixed.is_some() {
            true => params.tolerance * at.value.abs(),
            // There residuals may be nothing but rounding.
            false => NOTHING * at.value.abs() + prepared.scale.rounding(&at.x, design.nrows(), 1.0),
        };
        let mut next = None;
        if let Some((direction, promise)) = descent(&curvature, &at)? {
            context.progress(n_iter, params.max_iter, &[("decrement", promise / at.value)])?;
            next = match promise > enough {
                true => step(&at, &direction, promise, is_free, &look)?,
                false => last_step(&prepared, &units, &at, &direction, is_free, &look)?,
            };
        }
        if next.is_none() {
            let curvature = majorant(context, &prepared, &units, params.epsilon, &at, is_free)?;
            if let Some((direction, promise)) = descent(&curvature, &at)?
                && promise > enough
            {
                next = step(&at, &direction, promise, is_free, &look)?;
            }
        }
        let is_slow = n_iter >= TOGETHER || at.scale < COLLAPSED * scale;
        if !is_followed && (is_slow || next.is_none()) {
            is_followed = true;
            let bound = bound(context, &prepared, &units, params, &at)?;
            if at.value - bound > PROVED * at.value {
                let above = look(copied(&prepared.start, PURPOSE)?, scale)?;
                let below = below(context, &prepared, params.max_iter, &mut n_iter, &look)?;
                let start = below.filter(|below| below.value < above.value).unwrap_or(above);
                let followed = along_scales(context, &prepared, &units, params, start, &mut n_iter, &look)?;
                if followed.value < at.value {
                    at = followed;
                }
                continue;
            }
        }
        let Some(next) = next else { break };
        at = next;
        n_iter += 1;
    }
    output(context, &prepared, &units, params, fixed, at, n_iter)
}

/// Least absolute deviations, with the least scale at which as many rows as there are unknowns are within; None where there
/// are no more rows than that.
fn below<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    max_iter: usize,
    n_iter: &mut usize,
    look: &impl Fn(Vec<f64>, f64) -> Result<At>,
) -> Result<Option<At>> {
    let design = prepared.design.weighted_again()?;
    let (n, d) = (design.nrows(), design.ncols());
    if n <= d {
        return Ok(None);
    }
    let ask =
        Ask { level: 0.5, tolerance: ROUGH, max_iter: max_iter.saturating_sub(*n_iter), to_vertex: true };
    let found = frisch_newton(context, &design, &prepared.start, &ask)?;
    *n_iter += found.n_iter;
    let begin = || Ok((Vec::new(), Vec::new()));
    let parts = read(context, &prepared.design, begin, |(sizes, r), tile| {
        tile.residual(&found.x, r)?;
        let factors = tile.rows.clone().map(|row| prepared.design.factor(row));
        let live = r.iter().zip(factors).filter(|(_, factor)| *factor > 0.0);
        extend(sizes, live.map(|(r, factor)| r.abs() / factor), PURPOSE)
    })?;
    let mut sizes = Vec::new();
    for (part, _) in parts {
        extend(&mut sizes, part, PURPOSE)?;
    }
    if sizes.len() <= d {
        return Ok(None);
    }
    let (_, scale, _) = sizes.select_nth_unstable_by(d.saturating_sub(1), f64::total_cmp);
    let scale = (ROOM * *scale).max(LEAST);
    look(found.x, scale).map(Some)
}

/// The best x of one scale after the other, as far as to where the slope in the scale turns, or to the least of scales.
fn along_scales<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    params: &HuberParams,
    mut at: At,
    n_iter: &mut usize,
    look: &impl Fn(Vec<f64>, f64) -> Result<At>,
) -> Result<At> {
    let (mut lower, mut upper, mut pace, mut has_landed) = (0.0, f64::INFINITY, PACE, false);
    let mut lowest: Option<At> = None;
    while *n_iter < params.max_iter {
        context.check()?;
        context.progress(*n_iter, params.max_iter, &[("scale", at.scale * prepared.unit)])?;
        *n_iter += 1;
        if prepared.normal.dual_norm(&at.slope)? > CENTRED * params.epsilon * at.scale {
            has_landed = false;
            match at_scale(context, prepared, units, params.epsilon, &at, look)? {
                Some(next) => at = next,
                None => break,
            }
            continue;
        }
        let falls = at.gradient[at.x.len()] > 0.0;
        *(if falls { &mut upper } else { &mut lower }) = at.scale;
        if upper <= LEAST || upper <= PACE * lower {
            break;
        }
        pace = if has_landed { pace * pace } else { PACE };
        let scale = match lower > 0.0 && upper.is_finite() {
            true => (lower * upper).sqrt(),
            false if falls => (upper / pace).max(LEAST),
            false => lower * pace,
        };
        // Rows come in on the way up, and leave nothing undetermined.
        let next = move_to(if falls { lowest.as_ref().unwrap_or(&at) } else { &at }, scale, look)?;
        let last = std::mem::replace(&mut at, next);
        if !falls {
            lowest = Some(last);
        }
        has_landed = true;
    }
    Ok(at)
}

/// A step with the scale as it is, None where there is nothing left to go down.
fn at_scale<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    epsilon: f64,
    at: &At,
    look: &impl Fn(Vec<f64>, f64) -> Result<At>,
) -> Result<Option<At>> {
    let d = at.x.len();
    let curvature = Mat::from_fn(d, d, |i, j| at.curvature[(i, j)])?;
    if let Some((direction, promise)) = descent(&curvature, at)? {
        let next = match promise > NOTHING * at.value {
            true => step(at, &direction, promise, false, look)?,
            false => last_step(prepared, units, at, &direction, false, look)?,
        };
        if next.is_some() {
            return Ok(next);
        }
    }
    let curvature = majorant(context, prepared, units, epsilon, at, false)?;
    match descent(&curvature, at)? {
        Some((direction, promise)) if promise > NOTHING * at.value => {
            step(at, &direction, promise, false, look)
        }
        _ => Ok(None),
    }
}

/// Where the best x is at another scale as long as no row comes in or goes out.
fn move_to(at: &At, scale: f64, look: &impl Fn(Vec<f64>, f64) -> Result<At>) -> Result<At> {
    let d = at.x.len();
    let curvature = Mat::from_fn(d, d, |i, j| at.curvature[(i, j)])?;
    let slope = (0..d).map(|j| at.gradient[j] + at.curvature[(j, d)] * (scale - at.scale));
    let slope = collected(slope, PURPOSE)?;
    let direction = match Normal::new(&curvature)? {
        Some(normal) => normal.solve(&slope)?,
        None => zeros(d, PURPOSE)?,
    };
    look(
        collected(at.x.iter().zip(&direction).map(|(x, d)| if d.is_finite() { x - d } else { *x }), PURPOSE)?,
        scale,
    )
}

/// The direction that a matrix makes of the gradient, and how fast it goes down; None where neither is a number.
fn descent(curvature: &Mat<f64>, at: &At) -> Result<Option<(Vec<f64>, f64)>> {
    let Some(normal) = Normal::new(curvature)? else { return Ok(None) };
    let direction = normal.solve(&at.gradient[..curvature.nrows()])?;
    let promise: f64 = direction.iter().zip(&at.gradient).map(|(d, g)| d * g).sum();
    Ok((promise >= 0.0 && promise.is_finite()).then_some((direction, promise)))
}

/// A matrix for where too few rows are within for one of Newton: magnitudes count as the squares that touch them from above,
/// and the scale is apart.
fn majorant<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    epsilon: f64,
    at: &At,
    is_free: bool,
) -> Result<Mat<f64>> {
    let (design, d, scale) = (&prepared.design, at.x.len(), at.scale);
    let begin = || Ok((Sums::new(d, true, 1)?, [const { Vec::new() }; 2]));
    let parts = read(context, design, begin, |(sums, [r, root]), tile| {
        tile.residual(&at.x, r)?;
        resize(root, tile.depth(), 1.0, PURPOSE)?;
        for ((root, r), row) in root.iter_mut().zip(&*r).zip(tile.rows.clone()) {
            let k = epsilon * scale * design.factor(row);
            *root = if r.abs() <= k { 1.0 } else { (k / r.abs()).sqrt() };
        }
        sums.add_weighted_rows(tile, root, r)
    })?;
    let (gram, _) = Sums::total(d, parts.iter().map(|(sums, _)| sums))?;
    let order = d + usize::from(is_free);
    Mat::from_fn(order, order, |i, j| match (i == d, j == d) {
        (true, true) => (2.0 * at.sums[0] / scale.powi(3)).max(2.0 * at.gradient[d].abs() / scale),
        (false, false) => 2.0 / scale * gram[(i, j)] + 2.0 * units.alpha * units.penalty[(i, j)],
        _ => 0.0,
    })
}

/// Where a step along the direction downwards leads, halved until it goes down as it should; None where it never does.
fn step(
    at: &At,
    direction: &[f64],
    promise: f64,
    is_free: bool,
    look: &impl Fn(Vec<f64>, f64) -> Result<At>,
) -> Result<Option<At>> {
    let of_scale = if is_free { direction[at.x.len()] } else { 0.0 };
    let mut t = if of_scale > 0.0 { (SHARE * at.scale / of_scale).min(1.0) } else { 1.0 };
    for _ in 0..HALVINGS {
        let x = collected(at.x.iter().zip(direction).map(|(x, d)| x - t * d), PURPOSE)?;
        let next = look(x, if is_free { (at.scale - t * of_scale).max(LEAST) } else { at.scale })?;
        if next.value <= at.value - DECREASE * t * promise {
            return Ok(Some(next));
        }
        t *= 0.5;
    }
    Ok(None)
}

/// Where a whole step leads once the value is rounding, if it makes the slope smaller.
fn last_step<T: Real>(
    prepared: &Prepared<'_, T>,
    units: &Units,
    at: &At,
    direction: &[f64],
    is_free: bool,
    look: &impl Fn(Vec<f64>, f64) -> Result<At>,
) -> Result<Option<At>> {
    let of_scale = if is_free { direction[at.x.len()] } else { 0.0 };
    let x = collected(at.x.iter().zip(direction).map(|(x, d)| x - d), PURPOSE)?;
    let next = look(x, if is_free { (at.scale - of_scale).max(LEAST) } else { at.scale })?;
    let left = |at: &At| -> Result<f64> {
        let of_x = prepared.normal.dual_norm(&at.slope)? / (at.scale * units.total.sqrt());
        let of_scale = if is_free { at.gradient[at.x.len()].abs() / units.total } else { 0.0 };
        Ok(of_x + of_scale)
    };
    let falls = left(&next)? < 0.5 * left(at)?;
    Ok(falls.then_some(next))
}

/// Root mean square of the residuals of least squares, or a share of that of the targets.
fn first_scale<T: Real>(context: &Context, prepared: &Prepared<'_, T>, total: f64) -> Result<f64> {
    let begin = || Ok(([0.0; 2], Vec::new()));
    let parts = read(context, &prepared.design, begin, |(sums, r), tile| {
        tile.residual(&prepared.start, r)?;
        sums[0] += r.iter().map(|r| r * r).sum::<f64>();
        sums[1] += tile.target.iter().map(|b| b * b).sum::<f64>();
        Ok(())
    })?;
    let root = |k: usize| (parts.iter().map(|(sums, _)| sums[k]).sum::<f64>() / total).sqrt();
    Ok(root(0).max(FIRST * root(1)).max(LEAST))
}

/// Value, slope and curvature at a point, by one read.
fn look<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    epsilon: f64,
    is_free: bool,
    x: Vec<f64>,
    scale: f64,
) -> Result<At> {
    let (design, d, k) = (&prepared.design, x.len(), epsilon * scale);
    let begin = || Ok((Sums::new(d, true, 2)?, [0.0; 4], [Vec::new(), Vec::new(), Vec::new()]));
    let parts = read(context, design, begin, |(sums, parts, [r, within, beyond]), tile| {
        tile.residual(&x, r)?;
        resize(within, tile.depth(), 0.0, PURPOSE)?;
        resize(beyond, tile.depth(), 0.0, PURPOSE)?;
        let mut tile_sums = [0.0; 4];
        for at in 0..tile.depth() {
            let factor = if at < tile.rows.len() { design.factor(tile.rows.start + at) } else { 1.0 };
            let is_within = r[at].abs() <= k * factor;
            within[at] = if is_within { 1.0 } else { 0.0 };
            beyond[at] = if is_within { 0.0 } else { factor * r[at].signum() };
            tile_sums[1] += r[at] * r[at];
            if is_within {
                tile_sums[0] += r[at] * r[at];
            } else {
                tile_sums[2] += factor * r[at].abs();
                tile_sums[3] += factor * factor;
                r[at] = 0.0;
            }
        }
        (0..4).for_each(|at| parts[at] += tile_sums[at]);
        sums.add_vector(tile, 1, beyond);
        sums.add_weighted_rows(tile, within, r)
    })?;
    let sums = [0, 1, 2, 3].map(|at| parts.iter().map(|(_, parts, _)| parts[at]).sum::<f64>());
    let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
    let beyond = vectors.pop().unwrap_or_default();
    let within = vectors.pop().unwrap_or_default();
    let [squares, _, magnitudes, weight] = sums;
    let image = units.image(&x)?;
    let ridge = image.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>();
    let slope = (0..d).map(|j| within[j] + k * beyond[j] - scale * image[j]);
    let slope = collected(slope, PURPOSE)?;
    let mut gradient = collected(slope.iter().map(|slope| -2.0 / scale * slope), PURPOSE)?;
    if is_free {
        let of_scale = units.total - squares / (scale * scale) - epsilon * epsilon * weight;
        push(&mut gradient, of_scale, PURPOSE)?;
    }
    let entry = |i: usize, j: usize| match (i == d, j == d) {
        (true, true) => 2.0 * squares / scale.powi(3),
        (true, false) => 2.0 / (scale * scale) * within[j],
        (false, true) => 2.0 / (scale * scale) * within[i],
        (false, false) => 2.0 / scale * gram[(i, j)] + 2.0 * units.alpha * units.penalty[(i, j)],
    };
    let order = gradient.len();
    let curvature = Mat::from_fn(order, order, entry)?;
    let losses = squares / scale + 2.0 * epsilon * magnitudes - epsilon * epsilon * scale * weight;
    Ok(At { value: units.total * scale + losses + ridge, x, scale, gradient, curvature, slope, sums })
}

/// The answer in the units of the caller, and what it is worth there.
fn output<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    params: &HuberParams,
    fixed: Option<f64>,
    at: At,
    n_iter: usize,
) -> Result<HuberOutput> {
    let [squares, _, _, weight] = at.sums;
    let (scale, epsilon, unit) = (at.scale, params.epsilon, prepared.unit * prepared.heaviest);
    let off = prepared.normal.dual_norm(&at.slope)?;
    let score = (squares + (epsilon * scale).powi(2) * weight).sqrt();
    let least = bound(context, prepared, units, params, &at)?;
    let returned = prepared.returned(&at.x)?;
    let Measured { objective: losses, rounding } =
        measure(context, &prepared.design, &returned, Loss::Huber { epsilon, scale })?;
    let coefficients = &returned.x[..returned.coefficients.len()];
    let penalty = coefficients.iter().map(|x| units.alpha * x * x).sum::<f64>();
    let objective = units.total * scale + losses + penalty;
    let gap = if objective.is_finite() { objective - least } else { f64::INFINITY };
    let at_floor = fixed.is_none() && scale <= LEAST;
    let in_precision = 2.0 * rounding * (T::UNIT_ROUNDOFF / f64::UNIT_ROUNDOFF).max(1.0);
    let design = &prepared.design;
    let sizes = (0..design.rows_of_data()).map(|row| design.factor(row) * design.target()[row].abs());
    Ok(HuberOutput {
        x: returned.coefficients,
        intercept: returned.intercept,
        scale: scale * prepared.unit,
        objective: objective * unit,
        gap: if gap.is_nan() { f64::INFINITY } else { gap * unit },
        rounding: (2.0 * rounding + 4.0 * f64::EPSILON * objective) * unit,
        slope: if score > 0.0 { off / score } else { 0.0 },
        n_iter,
        at_floor,
        is_fitted: at_floor && losses <= EXACTLY_FITTED * in_precision + LEAST * units.total,
        size: sizes.sum::<f64>() * unit,
    })
}

/// Steps on the scores, and what of a gap the next one has to close to be worth while.
const MENDS: usize = 8;
const CLOSED: f64 = 0.5;

/// What no objective is below, by scores as they are and as Newton's method would have them.
fn bound<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    params: &HuberParams,
    at: &At,
) -> Result<f64> {
    let (mut c, mut best) = (zeros(at.x.len(), PURPOSE)?, f64::NEG_INFINITY);
    let all = units.with_ridge(&units.gram, at.scale)?;
    let Some(all) = Normal::new(&all)? else { return Ok(best) };
    for _ in 0..MENDS {
        let Proof { least, left, within } = proof(context, prepared, units, params, at, &c, &all)?;
        let is_closed = at.value - least <= NOTHING * at.value;
        let closes = at.value - least < CLOSED * (at.value - best);
        best = least.max(best);
        if is_closed || !closes {
            break;
        }
        let Some(normal) = Normal::new(&units.with_ridge(&within, at.scale)?)? else { break };
        c.iter_mut().zip(normal.solve(&left)?).for_each(|(c, more)| *c += more);
    }
    Ok(best)
}

/// What scores prove, what they leave of A'z - λ (x + c), and A'A of the rows within.
struct Proof {
    least: f64,
    left: Vec<f64>,
    within: Mat<f64>,
}

/// By r - A c cut off, `all` being A'A + λ: whatever the coefficients and, where it is chosen, the scale.
fn proof<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    units: &Units,
    params: &HuberParams,
    at: &At,
    c: &[f64],
    all: &Normal,
) -> Result<Proof> {
    let (design, d, scale) = (&prepared.design, at.x.len(), at.scale);
    let k = params.epsilon * scale;
    let begin = || Ok((Sums::new(d, true, 2)?, [0.0; 2], [const { Vec::new() }; 3]));
    let parts = read(context, design, begin, |(sums, parts, [r, z, within]), tile| {
        tile.residual(&at.x, r)?;
        tile.change(c, z)?;
        resize(within, tile.depth(), 0.0, PURPOSE)?;
        for (at, (z, r)) in z.iter_mut().zip(&*r).enumerate() {
            let most = if at < tile.rows.len() { k * design.factor(tile.rows.start + at) } else { 0.0 };
            *z += r;
            within[at] = if z.abs() <= most { 1.0 } else { 0.0 };
            *z = z.clamp(-most, most);
            parts[0] += *z * r;
            parts[1] += *z * *z;
        }
        sums.add_vector(tile, 1, z);
        sums.add_weighted_rows(tile, within, z)
    })?;
    let [product, squares] = [0, 1].map(|at| parts.iter().map(|(_, sums, _)| sums[at]).sum::<f64>());
    let (within, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
    let mut left = vectors.pop().unwrap_or_default();
    let both = collected(at.x.iter().zip(c).map(|(x, c)| x + c), PURPOSE)?;
    let image = units.image(&both)?;
    left.iter_mut().zip(&image).for_each(|(left, ridge)| *left -= scale * ridge);
    let off = all.dual_norm(&left)?;
    let length = squares.sqrt() + off;
    let mut t = 1.0 / (1.0 + off / (k * units.lightest));
    if params.scale.is_none() && length > 0.0 {
        t = t.min(units.total.sqrt() * scale / length);
    }
    let of = |image: &[f64], x: &[f64]| image.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
    let own = of(&units.image(&at.x)?, &at.x).max(0.0).sqrt();
    let off_ridge = if units.alpha > 0.0 { off / scale.sqrt() } else { 0.0 };
    let product = product - off * at.sums[1].sqrt();
    let of_ridge = of(&image, &at.x) - off_ridge * own;
    let of_both = (of(&image, &both).max(0.0).sqrt() + off_ridge).powi(2);
    let mut least = 2.0 * t * (product / scale + of_ridge) - t * t * of_both;
    if params.scale.is_some() {
        least += scale * units.total - t * t * length * length / scale;
    }
    Ok(Proof { least: if least.is_nan() { f64::NEG_INFINITY } else { least }, left, within })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, residuals};
    use super::*;

    fn objective(
        problem: &Problem<'_, f64>,
        params: &HuberParams,
        x: &[f64],
        intercept: f64,
        scale: f64,
    ) -> f64 {
        let loss = |r: f64| {
            let z = r.abs() / scale;
            let loss = if z < params.epsilon { z * z } else { params.epsilon * (2.0 * z - params.epsilon) };
            scale * (1.0 + loss)
        };
        let ridge = params.alpha * x.iter().map(|x| x * x).sum::<f64>();
        residuals(problem, x, intercept).iter().map(|&(w, r)| w * loss(r)).sum::<f64>() + ridge
    }

    #[test]
    fn no_neighbour_is_better_and_answers_are_proved() {
        let instance = Instance::new(900, 4, 8);
        for (sparse, alpha, scale) in
            [(false, 0.0, None), (true, 3.0, None), (false, 0.0, Some(0.7)), (true, 20.0, Some(2.0))]
        {
            let mut problem = instance.full(sparse);
            problem.penalty = 0.0;
            let params = HuberParams { epsilon: 1.35, alpha, scale, tolerance: 1e-15, max_iter: 100 };
            let found = huber(&Context::new(2), &problem, &params).unwrap();
            let value = |x: &[f64], c: f64, scale: f64| objective(&problem, &params, x, c, scale);
            let least = value(&found.x, found.intercept, found.scale);
            assert!((least / found.objective - 1.0).abs() < 1e-12);
            assert!(found.slope < 1e-10, "{}", found.slope);
            assert!(found.gap <= 1e-11 * least && found.gap + found.rounding >= 0.0, "{}", found.gap);
            for off in [-1e-4, 1e-4] {
                for j in 0..4 {
                    let mut x = found.x.clone();
                    x[j] += off;
                    assert!(value(&x, found.intercept, found.scale) > least);
                }
                assert!(value(&found.x, found.intercept + off, found.scale) > least);
                if scale.is_none() {
                    assert!(value(&found.x, found.intercept, found.scale * (1.0 + off)) > least);
                }
            }
        }
    }

    #[test]
    fn a_gap_is_never_below_the_excess() {
        let instance = Instance::new(600, 3, 8);
        let mut problem = instance.full(false);
        problem.penalty = 0.0;
        for (alpha, scale) in [(0.0, Some(0.3)), (5.0, Some(0.3)), (0.0, None), (5.0, None)] {
            let solve = |max_iter| {
                let params = HuberParams { epsilon: 1.2, alpha, scale, tolerance: 1e-15, max_iter };
                huber(&Context::new(1), &problem, &params).unwrap()
            };
            let least = solve(100).objective;
            for max_iter in [0, 1, 2] {
                let found = solve(max_iter);
                assert!(found.gap + found.rounding >= found.objective - least - 1e-12 * least);
            }
        }
    }
}
