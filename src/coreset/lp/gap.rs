//! How far an objective is above its minimum, from multipliers.
//!
//! Any y between τ - 1 and τ with A'y = 0 proves that no x has an objective below y'b. Multipliers as they come have
//! A'y = g, which is rounding: y - A c with G c = g has none, and where that is beyond its ends, which by
//! |a_i c| <= |R^-T g| it is by no more than that, it is scaled down. For the residual r at hand, from which b differs by
//! a combination of columns, that proves
//!
//! objective - minimum <= Σ (ρ(r_i) - y_i r_i) + (1 - θ) objective + |R^-T g| |R^-T A'r|.

use super::answer::Gap;
use super::tiles::{Normal, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::memory::copied;
use crate::parallel::Context;

/// Reads all rows once, for the multipliers of the level τ.
pub(super) fn gap(
    context: &Context,
    tiles: &dyn Tiles,
    normal: &Normal,
    x: &[f64],
    dual: &mut [f64],
    level: f64,
) -> Result<Gap> {
    let d = tiles.ncols();
    let mut states = in_blocks(tiles, dual)?;
    let begin = || Ok((Sums::new(d, false, 2)?, [0.0; 3], Vec::new(), Vec::new()));
    let parts =
        pass(context, tiles, &mut states, begin, |(sums, parts, r, y), dual: &mut &mut [f64], tile| {
            tile.residual(x, r)?;
            let dual = &dual[tile.number * tile.height..][..tile.rows.len()];
            let mut tile_sums = [0.0; 3];
            for ((r, y), b) in r.iter().zip(dual).zip(tile.target) {
                let value = if *r > 0.0 { level * r } else { (level - 1.0) * r };
                tile_sums[0] += value;
                tile_sums[2] += b.abs() + (b - r).abs();
                tile_sums[1] += if *r > 0.0 { (level - y) * r } else { (level - 1.0 - y) * r };
            }
            (0..3).for_each(|k| parts[k] += tile_sums[k]);
            sums.add_vector(tile, 1, r);
            *y = copied(dual, PURPOSE)?;
            crate::memory::resize(y, tile.depth(), 0.0, PURPOSE)?;
            sums.add_vector(tile, 0, y);
            Ok(())
        })?;
    let [objective, open, sizes] = [0, 1, 2].map(|k| parts.iter().map(|(_, sums, ..)| sums[k]).sum::<f64>());
    let vectors = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1;
    let [slope, image] = [0, 1].map(|k| vectors.get(k).map_or(Ok(0.0), |vector| normal.dual_norm(vector)));
    let (slope, image) = (slope?, image?);
    let theta = 1.0 / (1.0 + slope / level.min(1.0 - level));
    let rounding = 8.0 * f64::EPSILON * sizes;
    Ok(Gap { objective, gap: open + (1.0 - theta) * objective + slope * image, rounding })
}

#[cfg(test)]
mod tests {
    use super::super::frisch_newton::{Ask, frisch_newton};
    use super::super::testing::{Instance, objective, prepared};
    use super::*;

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
                    let mut dual: Vec<f64> = found
                        .dual
                        .iter()
                        .enumerate()
                        .map(|(i, y)| (y + wrong * (i as f64).sin()).clamp(level - 1.0, level))
                        .collect();
                    let found =
                        gap(&context, &prepared.design, &prepared.normal, &x, &mut dual, level).unwrap();
                    assert!((found.objective - value(&x)).abs() <= 1e-12 * found.objective);
                    let excess = found.objective - least;
                    assert!(found.gap + found.rounding >= excess - 1e-13, "{} {excess}", found.gap);
                    assert!(found.rounding < 1e-13 * found.objective);
                }
            }
        }
    }
}
