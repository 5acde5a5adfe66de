//! How far an objective is above its minimum, from multipliers.
//!
//! Any y between τ - 1 and τ with A'y = 0 proves that no x has an objective below y'b. Multipliers as they come have
//! A'y = g, which is rounding: y - A c with G c = g has none, and where that is beyond its ends, which by
//! |a_i c| <= |R^-T g| it is by no more than that, it is scaled down. For the residual r at hand, from which b differs by
//! a combination of columns, that proves
//!
//! objective - minimum <= Σ (ρ(r_i) - y_i r_i) + (1 - θ) objective + |R^-T g| |r|.

use super::answer::Gap;
use super::measure::rounding_units;
use super::tiles::{Normal, PURPOSE, Sums, Tile, Tiles, in_blocks, pass, read};
use crate::error::Result;
use crate::memory::{collected, filled, gathered, resize};
use crate::parallel::Context;
use crate::simd::kernel;
use crate::simd::narrow::total;

/// Coefficients for a level τ, and multipliers of the rows that are to prove what they are worth.
pub(super) struct Claim<'c> {
    pub x: &'c [f64],
    pub level: f64,
    pub dual: Dual<'c>,
}

/// Multipliers of rows.
pub(super) struct Dual<'d> {
    /// Of all of them, or of those inside a band, one after the other.
    pub inside: &'d [f64],
    pub globs: Option<Globs<'d>>,
}

/// What the rows outside of a band have in common.
pub(super) struct Globs<'d> {
    /// Those inside, in increasing order.
    pub kept: &'d [usize],
    /// Where each row is.
    pub side: &'d [u8],
    /// The multiplier of either side.
    pub of_side: [f64; SIDES],
}

/// Inside, above, below.
pub(super) const SIDES: usize = 3;

impl Dual<'_> {
    /// Those of the rows of a tile, with zeros below.
    fn put(&self, tile: &Tile<'_>, y: &mut Vec<f64>) -> Result<()> {
        resize(y, tile.depth(), 0.0, PURPOSE)?;
        let (of_rows, below) = y.split_at_mut(tile.rows.len());
        below.fill(0.0);
        match &self.globs {
            None => of_rows.copy_from_slice(&self.inside[tile.rows.clone()]),
            Some(Globs { kept, side, of_side }) => {
                let sides = of_rows.iter_mut().zip(&side[tile.rows.clone()]);
                sides.for_each(|(y, side)| *y = of_side[usize::from(*side)]);
                let first = kept.partition_point(|&row| row < tile.rows.start);
                let inside = kept[first..].iter().zip(&self.inside[first..]);
                for (row, value) in inside.take_while(|(row, _)| **row < tile.rows.end) {
                    of_rows[row - tile.rows.start] = *value;
                }
            }
        }
        Ok(())
    }
}

/// What a block has of a claim.
struct Part {
    sums: Sums,
    /// Of the objective, of what is open of it, and of squares of residuals.
    lanes: [[f64; 8]; 3],
    r: Vec<f64>,
    y: Vec<f64>,
}

/// What claims are worth, by one read of all rows.
pub(super) fn gaps(
    context: &Context,
    tiles: &dyn Tiles,
    normal: &Normal,
    claims: &[Claim<'_>],
) -> Result<Vec<Gap>> {
    let d = tiles.ncols();
    let part =
        || Ok(Part { sums: Sums::new(d, false, 1)?, lanes: [[0.0; 8]; 3], r: Vec::new(), y: Vec::new() });
    let begin = || {
        let parts: Vec<Part> = gathered(claims.iter().map(|_| part()), PURPOSE)?;
        Ok((parts, 0.0, filled([0.0; 8], d, PURPOSE)?))
    };
    let parts = read(context, tiles, begin, |(parts, targets, columns), tile| {
        for (Part { sums, lanes, r, y }, claim) in parts.iter_mut().zip(claims) {
            tile.residual(claim.x, r)?;
            claim.dual.put(tile, y)?;
            open_rows(r.as_chunks().0, y.as_chunks().0, claim.level, lanes);
            sums.add_vector(tile, 0, y);
        }
        *targets += tile.target.iter().map(|b| b.abs()).sum::<f64>();
        tile.add_magnitudes(columns);
        Ok(())
    })?;
    let targets: f64 = parts.iter().map(|(_, targets, _)| targets).sum();
    let column = |j: usize| parts.iter().map(|(.., columns)| total(columns[j])).sum::<f64>();
    let columns = collected((0..d).map(column), PURPOSE)?;
    let of_claim = |k: usize| {
        let of = |sum: usize| parts.iter().map(|(parts, ..)| total(parts[k].lanes[sum])).sum::<f64>();
        let [objective, open, squares] = [0, 1, 2].map(of);
        let slope = Sums::total(d, parts.iter().map(|(parts, ..)| &parts[k].sums))?.1.pop();
        let slope = normal.dual_norm(&slope.unwrap_or_default())?;
        let Claim { x, level, .. } = claims[k];
        let theta = 1.0 / (1.0 + slope / level.min(1.0 - level));
        let images: f64 = x.iter().zip(&columns).map(|(x, column)| x.abs() * column).sum();
        let rounding = level.max(1.0 - level) * rounding_units(d) * (targets + images);
        Ok(Gap { objective, gap: open + (1.0 - theta) * objective + slope * squares.sqrt(), rounding })
    };
    gathered((0..claims.len()).map(of_claim), PURPOSE)
}

/// Takes A'y off multipliers of all rows by what those between their ends can give, D A c with (A'DA) c = A'y and D how far
/// they are from the nearer end; false where that would lead beyond.
pub(super) fn repair(context: &Context, tiles: &dyn Tiles, dual: &mut [f64], level: f64) -> Result<bool> {
    let room = |y: f64| (y + (1.0 - level)).min(level - y).max(0.0);
    let d = tiles.ncols();
    let begin = || Ok((Sums::new(d, true, 2)?, [Vec::new(), Vec::new()]));
    let all = &*dual;
    let parts = read(context, tiles, begin, |(sums, [y, root]), tile| {
        Dual { inside: all, globs: None }.put(tile, y)?;
        resize(root, tile.depth(), 0.0, PURPOSE)?;
        root.iter_mut().zip(&*y).for_each(|(root, y)| *root = room(*y).sqrt());
        sums.add_vector(tile, 1, y);
        sums.add_weighted_rows(tile, root, y)
    })?;
    let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, _)| sums))?;
    let Some(normal) = Normal::new(&gram)? else { return Ok(false) };
    let c = normal.solve(&vectors.pop().unwrap_or_default())?;
    let mut states = in_blocks(tiles, dual)?;
    let parts = pass(
        context,
        tiles,
        &mut states,
        || Ok((true, Vec::new())),
        |(fits, change), dual, tile| {
            tile.change(&c, change)?;
            let dual: &mut [f64] = &mut dual[tile.number * tile.height..][..tile.rows.len()];
            for (y, change) in dual.iter_mut().zip(&*change) {
                *y += room(*y) * change;
                *fits &= change.abs() <= 1.0;
            }
            Ok(())
        },
    )?;
    Ok(parts.iter().all(|(fits, _)| *fits))
}

kernel! {
    /// Sums of ρ(r), of what y leaves open of it, and of squares.
    fn open_rows<V>(r: &[[f64; 8]], y: &[[f64; 8]], level: f64, sums: &mut [[f64; 8]; 3]) {
        assert!(r.len() == y.len());
        let [mut objective, mut open, mut squares] = *sums;
        for i in 0..r.len() {
            for k in 0..8 {
                let (r, y) = (r[i][k], y[i][k]);
                let end = if r > 0.0 { level } else { level - 1.0 };
                objective[k] += end * r;
                open[k] += (end - y) * r;
                squares[k] += r * r;
            }
        }
        *sums = [objective, open, squares];
    }
}

#[cfg(test)]
mod tests {
    use super::super::frisch_newton::{Ask, frisch_newton};
    use super::super::testing::{Instance, objective, prepared};
    use super::*;

    /// Multipliers of a vertex with all that is between its ends moved off.
    #[test]
    fn multipliers_that_are_off_are_repaired() {
        let instance = Instance::new(900, 4, 5);
        let (problem, level, context) = (instance.full(true), 0.3, Context::new(2));
        let prepared = prepared(&problem, 1.0);
        let ask = Ask { level, tolerance: 1e-11, max_iter: 100, to_vertex: true };
        let found = frisch_newton(&context, &prepared.design, &prepared.start, &ask).unwrap();
        let room = |y: f64| (y + 1.0 - level).min(level - y);
        let mut dual: Vec<f64> = found.dual.iter().map(|y| y + 1e-5 * room(*y)).collect();
        let worth = |dual: &[f64]| {
            let claim = Claim { x: &found.x, level, dual: Dual { inside: dual, globs: None } };
            gaps(&context, &prepared.design, &prepared.normal, &[claim]).unwrap().remove(0).gap
        };
        let off = worth(&dual);
        assert!(repair(&context, &prepared.design, &mut dual, level).unwrap());
        assert!(worth(&dual) < 1e-6 * off, "{} of {off}", worth(&dual));
        assert!(dual.iter().all(|y| (level - 1.0..=level).contains(y)));
    }

    #[test]
    fn it_is_never_below_the_excess_whatever_the_answer_and_the_multipliers() {
        let instance = Instance::new(900, 4, 5);
        let (problem, level, context) = (instance.full(false), 0.3, Context::new(2));
        let prepared = prepared(&problem, 1.0);
        let solve = |max_iter, to_vertex| {
            let ask = Ask { level, tolerance: 1e-11, max_iter, to_vertex };
            frisch_newton(&context, &prepared.design, &prepared.start, &ask).unwrap()
        };
        let value = |x: &[f64]| {
            let (x, intercept) = prepared.coefficients(x).unwrap();
            objective(&problem, &x, intercept, level) / (prepared.unit * prepared.heaviest)
        };
        let least = value(&solve(100, true).x);
        for max_iter in [0, 2, 5, 9] {
            let found = solve(max_iter, false);
            for off in [0.0, 1e-3, 0.1] {
                let x: Vec<f64> = found.x.iter().enumerate().map(|(j, x)| x + off * j as f64).collect();
                for wrong in [0.0, 1e-6, 1e-2] {
                    // Multipliers that leave something of A'y, but stay between their ends.
                    let dual: Vec<f64> = found
                        .dual
                        .iter()
                        .enumerate()
                        .map(|(i, y)| (y + wrong * (i as f64).sin()).clamp(level - 1.0, level))
                        .collect();
                    let claim = Claim { x: &x, level, dual: Dual { inside: &dual, globs: None } };
                    let found = gaps(&context, &prepared.design, &prepared.normal, &[claim]).unwrap();
                    let found = &found[0];
                    assert!((found.objective - value(&x)).abs() <= 1e-12 * found.objective);
                    let excess = found.objective - least;
                    assert!(found.gap + found.rounding >= excess - 1e-13, "{} {excess}", found.gap);
                    assert!(found.rounding < 1e-13 * found.objective);
                }
            }
        }
    }
}
