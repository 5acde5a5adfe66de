//! The largest residual made least, p = infinity, by a primal-dual interior point method with Mehrotra's corrector.
//!
//! Least is t with s = t - r >= 0 and s' = t + r >= 0 for all rows; their multipliers y, y' >= 0 add up to one and have
//! A'(y - y') = 0. At the optimum s y = s' y' = 0. The matrix of a step is that of the rows [a_i, 1] with weights y / s and
//! [a_i, -1] with weights y' / s': a weighted Gram matrix of A with one more row and column. Any multipliers prove that no
//! largest residual is below (y - y')'b, once they add up to one and A'(y - y') = 0, for which they are made as in `gap`.

use super::answer::{Answer, Gap};
use super::design::Prepared;
use super::tiles::{Buffers, Normal, PURPOSE, Sums, Tile, Tiles, height, in_blocks, pass, read};
use super::vertex::independent;
use crate::error::Result;
use crate::matrix::{Buffer, Mat, Real, keep_larger};
use crate::memory::{collected, copied, gathered, push, resize, zeros};
use crate::parallel::Context;

/// Shares of the way to where a variable becomes zero.
const SHARE: f64 = 0.9995;
/// What t begins with, beside the largest residual.
const APART: f64 = 1.25;
/// Gap, beside the objective, from which on a vertex is looked for.
const NEAR: f64 = 1e-3;
/// Multipliers, beside the largest, that are none.
const SMALL: f64 = 1e-3;
/// Numbers that a row carries: s, s', y, y', and the changes of these.
const FIELDS: usize = 8;

/// x with a largest residual at most 1 + `tolerance` times the least, or as close as `max_iter` iterations come.
pub(super) fn chebyshev<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    tolerance: f64,
    max_iter: usize,
) -> Result<Answer> {
    let design = &prepared.design;
    let d = design.ncols();
    let mut point = copied(&prepared.start, PURPOSE)?;
    let (mut states, largest) = begin(context, design, &point)?;
    let rounding = prepared.scale.rounding(&point, design.nrows(), f64::INFINITY);
    let mut best = Answer {
        x: copied(&point, PURPOSE)?,
        gap: Gap { objective: largest, gap: largest, rounding },
        n_iter: 0,
        kept: design.nrows(),
        rounds: 0,
    };
    let (mut shares, mut least) = ([0.0; 2], 0.0f64);
    for n_iter in 0..=max_iter {
        context.check()?;
        let read = weigh(context, design, &mut states, &point, shares)?;
        least = bound(&prepared.normal, &read.slope, read.sums, design.nrows())?.max(least);
        if read.largest < best.gap.objective {
            best.x.copy_from_slice(&point);
            best.gap.objective = read.largest;
        }
        if !(read.products.is_finite() && read.sums.iter().all(|sum| sum.is_finite())) {
            break;
        }
        let objective = best.gap.objective;
        (best.gap.gap, best.n_iter) = (objective - least, n_iter);
        context.progress(n_iter, max_iter, &[("gap", best.gap.gap / objective)])?;
        if best.gap.gap <= tolerance * objective || objective <= rounding {
            break;
        }
        if best.gap.gap <= NEAR * objective
            && let Some(found) = vertex(context, design, &states, &prepared.normal)?
            && found.largest - found.least <= best.gap.gap
        {
            least = found.least.max(least);
            best.x = found.x;
            best.gap.objective = found.largest;
            best.gap.gap = found.largest - least;
            if best.gap.gap <= tolerance * found.largest {
                break;
            }
        }
        let Some(normal) = Normal::new(&read.matrix)? else { break };
        let mut right = zeros(d + 1, PURPOSE)?;
        right[d] = -1.0;
        let affine = follow(context, design, &mut states, &normal.solve(&right)?)?;
        let [primal, dual] = affine.rates.map(share_of);
        let [first, other, both] = affine.changes;
        let left = 1.0 + (primal * first + dual * other + primal * dual * both) / read.products;
        let target = read.products * left.clamp(0.0, 1.0).powi(3) / (2.0 * design.nrows() as f64);
        for (right, (to, second)) in right.iter_mut().zip(affine.vectors[0].iter().zip(&affine.vectors[1])) {
            *right += target * to - second;
        }
        let direction = normal.solve(&right)?;
        // Multipliers that have come to nothing: the largest of residuals that are no numbers would be none.
        if !direction.iter().all(|change| change.is_finite()) {
            break;
        }
        shares = correct(context, design, &mut states, &direction, target)?.map(share_of);
        point.iter_mut().zip(&direction).for_each(|(point, change)| *point += shares[0] * change);
        if shares.iter().all(|share| *share <= 1e-12) {
            break;
        }
    }
    Ok(best)
}

/// Variables of the rows of a tile.
fn fields<'f>(state: &'f mut [f64], tile: &Tile<'_>) -> [&'f mut [f64]; FIELDS] {
    let size = FIELDS * tile.height;
    let mut fields = state[tile.number * size..][..size].chunks_exact_mut(tile.height);
    std::array::from_fn(|_| &mut fields.next().unwrap_or_default()[..tile.depth()])
}

/// The states of the blocks, and the largest residual.
fn begin(context: &Context, tiles: &dyn Tiles, x: &[f64]) -> Result<(Vec<Buffer<f64>>, f64)> {
    let height = height(tiles.ncols());
    let size = |rows: usize| Buffer::zeros(rows.div_ceil(height) * height * FIELDS, "variables of rows");
    let mut states = gathered(tiles.blocks()?.into_iter().map(|rows| size(rows.len())), PURPOSE)?;
    let parts = read(
        context,
        tiles,
        || Ok((0.0, Vec::new())),
        |(largest, r), tile| {
            tile.residual(x, r)?;
            r.iter().for_each(|r| keep_larger(largest, r.abs()));
            Ok(())
        },
    )?;
    let largest = parts.iter().map(|(largest, _)| *largest).fold(0.0, f64::max);
    let (most, each) = (APART * largest, 0.5 / tiles.nrows().max(1) as f64);
    pass(
        context,
        tiles,
        &mut states,
        || Ok(Vec::new()),
        |r, state: &mut Buffer<f64>, tile| {
            tile.residual(x, r)?;
            let [s, other_s, y, other_y, ..] = fields(state, tile);
            for (k, &r) in r.iter().enumerate() {
                (s[k], other_s[k]) = (most - r, most + r);
                (y[k], other_y[k]) = (each, each);
            }
            Ok(())
        },
    )?;
    Ok((states, largest))
}

/// A point at which as many residuals as possible are largest, and what their multipliers prove.
struct Vertex {
    x: Vec<f64>,
    largest: f64,
    least: f64,
}

/// That of the rows with the largest multipliers: a_i x + t = b_i above and a_i x - t = b_i below, one row more than there
/// are columns, whose multipliers follow from A'y = 0 and a sum of magnitudes of one.
fn vertex(
    context: &Context,
    tiles: &dyn Tiles,
    states: &[Buffer<f64>],
    normal: &Normal,
) -> Result<Option<Vertex>> {
    let (n, d, height) = (tiles.nrows(), tiles.ncols(), height(tiles.ncols()));
    let mut multipliers = zeros(n, PURPOSE)?;
    for (state, multipliers) in states.iter().zip(in_blocks(tiles, &mut multipliers)?) {
        for (fields, multipliers) in state.chunks_exact(FIELDS * height).zip(multipliers.chunks_mut(height)) {
            let sides = fields[2 * height..].iter().zip(&fields[3 * height..]);
            multipliers.iter_mut().zip(sides).for_each(|(m, (above, below))| *m = above - below);
        }
    }
    let largest = multipliers.iter().fold(0.0f64, |largest, m| largest.max(m.abs()));
    let mut candidates = Vec::new();
    for (row, m) in multipliers.iter().enumerate() {
        if m.abs() > SMALL * largest {
            push(&mut candidates, row, PURPOSE)?;
        }
    }
    candidates.sort_by(|&a, &b| multipliers[b].abs().total_cmp(&multipliers[a].abs()).then(a.cmp(&b)));
    candidates.truncate(4 * (d + 1));
    let signs = collected(multipliers.iter().map(|m| m.signum()), PURPOSE)?;
    let Some(basis) = independent(context, tiles, &candidates, Some(&signs))? else { return Ok(None) };
    let mut x = basis.solve(|row| tiles.target()[row])?;
    x.truncate(d);
    if !x.iter().all(|x| x.is_finite()) {
        return Ok(None);
    }
    let y = basis.solve_transposed(|j| f64::from(j == d))?;
    let parts = read(
        context,
        tiles,
        || Ok((0.0, Vec::new())),
        |(largest, r), tile| {
            tile.residual(&x, r)?;
            r.iter().for_each(|r| keep_larger(largest, r.abs()));
            Ok(())
        },
    )?;
    let largest = parts.iter().map(|(largest, _)| *largest).fold(0.0, f64::max);
    let (mut slope, mut sums, mut buffers) = (zeros(d, PURPOSE)?, [0.0; 3], Buffers::default());
    for (&row, y) in basis.rows.iter().zip(&y) {
        let entries = tiles.row(row, &mut buffers)?;
        let r = tiles.target()[row] - entries.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>();
        slope.iter_mut().zip(&entries).for_each(|(slope, a)| *slope += y * a);
        let terms = [y * r, y.abs(), largest * largest * n as f64 / basis.rows.len() as f64];
        (0..3).for_each(|at| sums[at] += terms[at]);
    }
    Ok(Some(Vertex { x, largest, least: bound(normal, &slope, sums, n)? }))
}

/// What multipliers prove of the largest residual, from A'y, y'r, the sum of their magnitudes, and the squares of r.
fn bound(normal: &Normal, slope: &[f64], sums: [f64; 3], nrows: usize) -> Result<f64> {
    let off = normal.dual_norm(slope)?;
    let length = sums[1] + off * (nrows as f64).sqrt();
    let bound = (sums[0] - off * sums[2].sqrt()) / length;
    Ok(if bound.is_finite() { bound } else { 0.0 })
}

/// What is known where the iteration is.
struct Read {
    /// Of the step, of order d + 1.
    matrix: Mat<f64>,
    /// y's + y''s'.
    products: f64,
    /// (y - y')'r, the sum of all multipliers, the squares of residuals.
    sums: [f64; 3],
    /// A'(y - y').
    slope: Vec<f64>,
    largest: f64,
}

/// Takes such shares of the last direction and sums up the matrix of the next.
fn weigh(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    x: &[f64],
    shares: [f64; 2],
) -> Result<Read> {
    let d = tiles.ncols();
    let begin = || Ok((Sums::new(d, true, 2)?, [0.0; 5], 0.0, [const { Vec::new() }; 4]));
    let parts = pass(
        context,
        tiles,
        states,
        begin,
        |(sums, parts, largest, [root, apart, m, fresh]), state, tile| {
            // From nothing but x: steps that were long leave rounding in what rows carry.
            tile.residual(x, fresh)?;
            for vector in [&mut *root, &mut *apart, &mut *m] {
                resize(vector, tile.depth(), 0.0, PURPOSE)?;
            }
            let [s, other_s, y, other_y, ds, other_ds, dy, other_dy] = fields(state, tile);
            let mut tile_sums = [0.0; 5];
            for k in 0..tile.depth() {
                s[k] += shares[0] * ds[k];
                other_s[k] += shares[0] * other_ds[k];
                y[k] += shares[1] * dy[k];
                other_y[k] += shares[1] * other_dy[k];
                let (q, other_q, r) = (y[k] / s[k], other_y[k] / other_s[k], fresh[k]);
                root[k] = (q + other_q).sqrt();
                apart[k] = (q - other_q) / root[k];
                m[k] = y[k] - other_y[k];
                keep_larger(largest, r.abs());
                let terms =
                    [y[k] * s[k] + other_y[k] * other_s[k], m[k] * r, y[k] + other_y[k], r * r, q + other_q];
                (0..5).for_each(|at| tile_sums[at] += terms[at]);
            }
            (0..5).for_each(|at| parts[at] += tile_sums[at]);
            sums.add_vector(tile, 1, m);
            sums.add_weighted_rows(tile, root, apart)
        },
    )?;
    let sum = |at: usize| parts.iter().map(|(_, parts, ..)| parts[at]).sum::<f64>();
    let largest = parts.iter().map(|(_, _, largest, _)| *largest).fold(0.0, f64::max);
    let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
    let slope = vectors.pop().unwrap_or_default();
    let border = vectors.pop().unwrap_or_default();
    let entry = |i: usize, j: usize| match (i == d, j == d) {
        (true, true) => sum(4),
        (true, false) => border[j],
        (false, true) => border[i],
        (false, false) => gram[(i, j)],
    };
    let matrix = Mat::from_fn(d + 1, d + 1, entry)?;
    Ok(Read { matrix, products: sum(0), sums: [sum(1), sum(2), sum(3)], slope, largest })
}

/// What a direction does, and what it leaves to second order.
struct Affine {
    rates: [f64; 2],
    /// Of the products, to first order in either share, and in both.
    changes: [f64; 3],
    /// What products of one add to the right-hand side, and what second order takes off.
    vectors: [Vec<f64>; 2],
}

/// Follows the direction that would make all products zero.
fn follow(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    direction: &[f64],
) -> Result<Affine> {
    let d = tiles.ncols();
    let (of_x, of_t) = (&direction[..d], direction[d]);
    let begin = || Ok((Sums::new(d, false, 2)?, [0.0; 7], [Vec::new(), Vec::new(), Vec::new()]));
    let parts = pass(context, tiles, states, begin, |(sums, parts, [change, to, second]), state, tile| {
        tile.change(of_x, change)?;
        resize(to, tile.depth(), 0.0, PURPOSE)?;
        resize(second, tile.depth(), 0.0, PURPOSE)?;
        let [s, other_s, y, other_y, ds, other_ds, dy, other_dy] = fields(state, tile);
        for k in 0..tile.depth() {
            let (per, other_per) = (1.0 / s[k], 1.0 / other_s[k]);
            (ds[k], other_ds[k]) = (of_t - change[k], of_t + change[k]);
            dy[k] = -y[k] - y[k] * per * ds[k];
            other_dy[k] = -other_y[k] - other_y[k] * other_per * other_ds[k];
            let (both, other_both) = (ds[k] * dy[k], other_ds[k] * other_dy[k]);
            (to[k], second[k]) = (per - other_per, both * per - other_both * other_per);
            keep_larger(&mut parts[0], -(ds[k] * per).min(other_ds[k] * other_per));
            keep_larger(&mut parts[1], -(dy[k] / y[k]).min(other_dy[k] / other_y[k]));
            parts[2] += y[k] * ds[k] + other_y[k] * other_ds[k];
            parts[3] += s[k] * dy[k] + other_s[k] * other_dy[k];
            parts[4] += both + other_both;
            parts[5] += per + other_per;
            parts[6] += both * per + other_both * other_per;
        }
        sums.add_vector(tile, 0, to);
        sums.add_vector(tile, 1, second);
        Ok(())
    })?;
    let sum = |at: usize| parts.iter().map(|(_, parts, _)| parts[at]).sum::<f64>();
    let rate = |at: usize| parts.iter().map(|(_, parts, _)| parts[at]).fold(0.0, f64::max);
    let mut vectors = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1.into_iter();
    let [mut to, mut second] = [0, 1].map(|_| vectors.next().unwrap_or_default());
    push(&mut to, sum(5), PURPOSE)?;
    push(&mut second, sum(6), PURPOSE)?;
    Ok(Affine { rates: [rate(0), rate(1)], changes: [sum(2), sum(3), sum(4)], vectors: [to, second] })
}

/// Makes the direction that is taken, towards products that are all `target`, and gives its rates.
fn correct(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    direction: &[f64],
    target: f64,
) -> Result<[f64; 2]> {
    let d = tiles.ncols();
    let (of_x, of_t) = (&direction[..d], direction[d]);
    let parts = pass(
        context,
        tiles,
        states,
        || Ok(([0.0; 2], Vec::new())),
        |(rates, change), state, tile| {
            tile.change(of_x, change)?;
            let [s, other_s, y, other_y, ds, other_ds, dy, other_dy] = fields(state, tile);
            for k in 0..tile.depth() {
                let (both, other_both) = (ds[k] * dy[k], other_ds[k] * other_dy[k]);
                (ds[k], other_ds[k]) = (of_t - change[k], of_t + change[k]);
                dy[k] = (target - both - y[k] * ds[k]) / s[k] - y[k];
                other_dy[k] = (target - other_both - other_y[k] * other_ds[k]) / other_s[k] - other_y[k];
                keep_larger(&mut rates[0], -(ds[k] / s[k]).min(other_ds[k] / other_s[k]));
                keep_larger(&mut rates[1], -(dy[k] / y[k]).min(other_dy[k] / other_y[k]));
            }
            Ok(())
        },
    )?;
    Ok([0, 1].map(|at| parts.iter().map(|(rates, _)| rates[at]).fold(0.0, f64::max)))
}

/// The share of a direction that keeps variables positive which fall at this rate.
fn share_of(rate: f64) -> f64 {
    if SHARE < rate { SHARE / rate } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared, residuals};
    use super::*;

    #[test]
    fn the_largest_residual_is_attained_often_enough_and_proved_least() {
        let instance = Instance::new(700, 4, 6);
        for sparse in [false, true] {
            let mut problem = instance.full(sparse);
            problem.penalty = 0.0;
            let prepared = prepared(&problem, f64::INFINITY);
            let found = chebyshev(&Context::new(2), &prepared, 1e-10, 200).unwrap();
            let (x, intercept) = prepared.coefficients(&found.x).unwrap();
            let all = residuals(&problem, &x, intercept);
            let largest = all.iter().filter(|(w, _)| *w > 0.0).map(|(_, r)| r.abs()).fold(0.0, f64::max);
            assert!((largest / prepared.unit / found.gap.objective - 1.0).abs() < 1e-11);
            assert!(found.gap.gap <= 1e-10 * found.gap.objective);
            // As many as there are coefficients and one more.
            let at_most = all.iter().filter(|(w, r)| *w > 0.0 && r.abs() >= largest * (1.0 - 1e-7)).count();
            assert!(at_most >= 6, "{at_most}");
        }
    }
}
