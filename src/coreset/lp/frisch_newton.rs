//! Least absolute deviations and quantile regression by the primal-dual method of Frisch and Newton (1), with Mehrotra's
//! corrector.
//!
//! The residual is split into what is above and below, r = w - z, with w, z > 0; the dual variables are y and s = 1 - y, and
//! y - (1 - τ) are multipliers of the rows: A'(y - 1 + τ) = 0. At the optimum w s = z y = 0. A step wants three reads of A: one
//! makes A'QA for Q = diag(1 / (z/y + w/s)) and A'Q r, one follows the direction to where products are zero and sums up what
//! it changes to second order, one follows the direction that is taken. What a row carries from one to the next lies in tiles
//! beside each other, and is worked on while the row is in the cache.
//!
//! (1) S. Portnoy, R. Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical Science 12 (1997).

use super::answer::Gap;
use super::tiles::{Normal, PURPOSE, Sums, Tile, Tiles, in_blocks, pass};
use super::vertex::{FEW, vertex};
use crate::error::Result;
use crate::matrix::{Buffer, Mat, keep_larger};
use crate::memory::{collected, copied, gathered, resize};
use crate::parallel::Context;
use crate::simd::kernel;
use crate::simd::narrow::total;

/// Shares of the way to where a variable becomes zero.
const SHARE: f64 = 0.99995;
/// What a residual begins with on either side, beside their mean.
const APART: f64 = 1e-3;
/// Share of the tolerance down to which a vertex is looked for.
const TIED: f64 = 1e-4;
/// Gap from which on a vertex is looked for where few rows are between, and what it has to fall by to look once more.
const EARLY: f64 = 1e-2;
const AGAIN: f64 = 0.1;
/// Residuals beside what they are differences of that are rounding.
const ROUNDING: f64 = 1e-13;
/// Multipliers that are as far from both ends count as between them.
const BETWEEN: f64 = 0.01;

/// What is asked for.
pub(super) struct Ask {
    /// τ: the share of residuals above is worth 1 - τ of those below.
    pub level: f64,
    /// Gap beside the objective that will do.
    pub tolerance: f64,
    pub max_iter: usize,
    /// Whether to look for the vertex that is the optimum.
    pub to_vertex: bool,
}

impl Ask {
    /// Whether a gap will do.
    pub fn is_met(&self, gap: &Gap) -> bool {
        gap.gap <= self.tolerance * gap.objective + gap.rounding
    }
}

/// What was found.
pub(super) struct Found {
    pub x: Vec<f64>,
    /// y - (1 - τ) of the rows.
    pub dual: Buffer<f64>,
    pub n_iter: usize,
}

/// Minimises the sum of τ r for r > 0 and (τ - 1) r for r < 0, r = b - A x, beginning at `start`.
pub(super) fn frisch_newton(context: &Context, tiles: &dyn Tiles, start: &[f64], ask: &Ask) -> Result<Found> {
    let (mut states, deviation, rounding) = residuals(context, tiles, start)?;
    if deviation == 0.0 {
        let dual = Buffer::zeros(tiles.nrows(), "multipliers of rows")?;
        return Ok(Found { x: copied(start, PURPOSE)?, dual, n_iter: 0 });
    }
    let (mut x, mut step) = (copied(start, PURPOSE)?, Step::Begin(ask.level, APART * deviation));
    // Nothing moves the multipliers of rows of zeros, nor of those that fill up tiles.
    let few = FEW * tiles.ncols() as f64 + (tiles.idle() + 8) as f64;
    let (mut n_iter, mut before, mut tried, mut is_stuck) = (0, f64::INFINITY, EARLY / AGAIN, false);
    let mut last = copied(start, PURPOSE)?;
    loop {
        context.check()?;
        let predictor = predict(context, tiles, &mut states, &step, ask.level)?;
        let gap = predictor.gap / predictor.objective.max(f64::MIN_POSITIVE);
        context.progress(n_iter, ask.max_iter, &[("gap", gap)])?;
        let enough = gap <= ask.tolerance;
        // Where ties hide the vertex, it goes on for as long as that leads anywhere.
        let stays = !ask.to_vertex || gap <= TIED * ask.tolerance || gap > 0.5 * before;
        // Where rows are fitted but for rounding, variables would go on to zero.
        let is_over = is_stuck || gap.is_nan() || predictor.objective <= rounding;
        let done = (enough && stays) || is_over || n_iter >= ask.max_iter;
        match gap.is_nan() {
            true => x.copy_from_slice(&last),
            false => last.copy_from_slice(&x),
        }
        before = gap;
        let is_early = gap < AGAIN * tried && predictor.between <= few;
        if done || (ask.to_vertex && (enough || is_early)) {
            tried = gap;
            let dual = dual_of(context, tiles, &states, ask.level)?;
            if ask.to_vertex
                && let Some((x, dual)) = vertex(context, tiles, &dual, ask.level)?
            {
                return Ok(Found { x, dual, n_iter });
            }
            if done {
                return Ok(Found { x, dual, n_iter });
            }
        }
        let Some(normal) = Normal::new(&predictor.matrix)? else {
            let dual = dual_of(context, tiles, &states, ask.level)?;
            return Ok(Found { x, dual, n_iter });
        };
        let gradient = &predictor.gradient;
        let affine = follow(context, tiles, &mut states, &normal.solve(gradient)?)?;
        let share = affine.after(&predictor) / predictor.products;
        let target = predictor.products * share.max(0.0).powi(3) / (2.0 * affine.rows);
        let corrected = gradient.iter().zip(&affine.vectors[0]).zip(&affine.vectors[1]);
        let corrected = collected(corrected.map(|((g, second), to)| g + second + target * to), PURPOSE)?;
        let direction = normal.solve(&corrected)?;
        if !direction.iter().all(|change| change.is_finite()) {
            let dual = dual_of(context, tiles, &states, ask.level)?;
            return Ok(Found { x, dual, n_iter });
        }
        let rates = correct(context, tiles, &mut states, &direction, target)?;
        let [primal, dual] = rates.map(|rate| if SHARE < rate { SHARE / rate } else { 1.0 });
        x.iter_mut().zip(&direction).for_each(|(x, change)| *x += dual * change);
        step = Step::Along([primal, dual]);
        n_iter += 1;
        // Rounding is all that is left.
        is_stuck = primal <= 1e-12 && dual <= 1e-12;
    }
}

/// How the variables of the rows come to be.
enum Step {
    /// As they begin, at this level and so far apart.
    Begin(f64, f64),
    /// Such shares of the last direction are taken, of y and s, of z and w.
    Along([f64; 2]),
}

/// Numbers that a row carries: y, s, z, w, q, and the changes of y, z, w.
const FIELDS: usize = 8;

type Eights<'f> = &'f mut [[f64; 8]];

/// Those of the rows of a tile.
fn fields<'f>(state: &'f mut [f64], tile: &Tile<'_>) -> [Eights<'f>; FIELDS] {
    let size = FIELDS * tile.height;
    let mut fields = state[tile.number * size..][..size].chunks_exact_mut(tile.height);
    std::array::from_fn(|_| fields.next().unwrap_or_default()[..tile.depth()].as_chunks_mut().0)
}

/// The states of the blocks, which begin as residuals in place of w, the mean of their magnitudes, zero where they are
/// rounding, and what their sum is rounded by.
fn residuals(context: &Context, tiles: &dyn Tiles, x: &[f64]) -> Result<(Vec<Buffer<f64>>, f64, f64)> {
    let height = super::tiles::height(tiles.ncols());
    let states = tiles.blocks()?.into_iter();
    let states =
        states.map(|rows| Buffer::zeros(rows.len().div_ceil(height) * height * FIELDS, "variables of rows"));
    let mut states = gathered(states, PURPOSE)?;
    let begin = || Ok((Vec::new(), [0.0; 2]));
    let parts = pass(context, tiles, &mut states, begin, |(r, sums), state: &mut Buffer<f64>, tile| {
        tile.residual(x, r)?;
        let [.., w, _, _, _, _] = fields(state, tile);
        w.copy_from_slice(r.as_chunks().0);
        sums[0] += r.iter().map(|r| r.abs()).sum::<f64>();
        sums[1] += tile.target.iter().zip(&*r).map(|(b, r)| b.abs() + (b - r).abs()).sum::<f64>();
        Ok(())
    })?;
    let [above, of] = [0, 1].map(|k| parts.iter().map(|(_, sums)| sums[k]).sum::<f64>());
    let mean = above / tiles.nrows().max(1) as f64;
    let rounding = ROUNDING * of;
    Ok((states, if above <= rounding { 0.0 } else { mean }, 0.01 * rounding))
}

/// What a predictor sums up.
struct Predictor {
    /// A'QA and A'Q r.
    matrix: Mat<f64>,
    gradient: Vec<f64>,
    /// y'z + s'w.
    products: f64,
    /// The objective at the residuals, and how far the multipliers leave it open.
    objective: f64,
    gap: f64,
    /// Rows whose multipliers are between their ends.
    between: f64,
}

/// Takes a step and sums up A'QA and A'Q r.
fn predict(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    step: &Step,
    level: f64,
) -> Result<Predictor> {
    let d = tiles.ncols();
    let begin = || Ok((Sums::new(d, true, 1)?, [[0.0; 8]; 4], [Vec::new(), Vec::new()]));
    let parts = pass(context, tiles, states, begin, |(sums, lanes, [root, r]), state, tile| {
        resize(root, tile.depth(), 0.0, PURPOSE)?;
        resize(r, tile.depth(), 0.0, PURPOSE)?;
        let (roots, rs) = (root.as_chunks_mut().0, r.as_chunks_mut().0);
        let fields = fields(state, tile);
        match *step {
            Step::Begin(level, apart) => begin_rows(fields, level, apart),
            Step::Along(shares) => step_rows(fields, shares),
        }
        predict_rows(self::fields(state, tile), level, roots, rs, lanes);
        sums.add_weighted_rows(tile, root, r)
    })?;
    let of = |k: usize| parts.iter().map(|(_, lanes, _)| total(lanes[k])).sum();
    let (matrix, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
    let gradient = vectors.pop().unwrap_or_default();
    Ok(Predictor { matrix, gradient, products: of(0), objective: of(1), gap: of(2), between: of(3) })
}

/// What a direction does, and what it leaves to second order.
struct Affine {
    rates: [f64; 2],
    /// Of y'z + s'w to first order in either share, and in both.
    changes: [f64; 3],
    /// A'Q(..) of what is left to second order, and of what all products being one would add.
    vectors: Vec<Vec<f64>>,
    /// All rows, those below the last of a tile too.
    rows: f64,
}

impl Affine {
    /// y'z + s'w at the end of the longest step.
    fn after(&self, before: &Predictor) -> f64 {
        let [primal, dual] = self.rates.map(|rate| if SHARE < rate { SHARE / rate } else { 1.0 });
        before.products + primal * self.changes[0] + dual * self.changes[1] + primal * dual * self.changes[2]
    }
}

/// Looks where a direction leads.
fn follow(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    direction: &[f64],
) -> Result<Affine> {
    let d = tiles.ncols();
    let begin = || Ok((Sums::new(d, false, 2)?, [[0.0; 8]; 5], [Vec::new(), Vec::new(), Vec::new()], 0.0));
    let parts = pass(context, tiles, states, begin, |(sums, lanes, [r, second, to], rows), state, tile| {
        tile.change(direction, r)?;
        resize(second, tile.depth(), 0.0, PURPOSE)?;
        resize(to, tile.depth(), 0.0, PURPOSE)?;
        let (rs, seconds, tos) = (r.as_chunks().0, second.as_chunks_mut().0, to.as_chunks_mut().0);
        follow_rows(fields(state, tile), rs, seconds, tos, lanes);
        sums.add_vector(tile, 0, second);
        sums.add_vector(tile, 1, to);
        *rows += tile.depth() as f64;
        Ok(())
    })?;
    let (mut rates, mut changes, mut rows) = ([0.0; 2], [0.0; 3], 0.0);
    for (_, lanes, _, count) in &parts {
        (0..2).for_each(|k| lanes[k].iter().for_each(|&rate| keep_larger(&mut rates[k], rate)));
        (0..3).for_each(|k| changes[k] += total(lanes[2 + k]));
        rows += count;
    }
    let vectors = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1;
    Ok(Affine { rates, changes, vectors, rows })
}

/// Makes the direction that is taken and gives its rates, those at which variables fall beside what they are.
fn correct(
    context: &Context,
    tiles: &dyn Tiles,
    states: &mut [Buffer<f64>],
    direction: &[f64],
    target: f64,
) -> Result<[f64; 2]> {
    let begin = || Ok(([[0.0; 8]; 2], Vec::new()));
    let parts = pass(context, tiles, states, begin, |(lanes, r), state, tile| {
        tile.change(direction, r)?;
        correct_rows(fields(state, tile), r.as_chunks().0, target, lanes);
        Ok(())
    })?;
    let mut rates = [0.0; 2];
    for (lanes, _) in &parts {
        (0..2).for_each(|k| lanes[k].iter().for_each(|&rate| keep_larger(&mut rates[k], rate)));
    }
    Ok(rates)
}

/// y - (1 - τ), in the order of the rows.
fn dual_of(context: &Context, tiles: &dyn Tiles, states: &[Buffer<f64>], level: f64) -> Result<Buffer<f64>> {
    let mut dual = Buffer::zeros(tiles.nrows(), "multipliers of rows")?;
    let height = super::tiles::height(tiles.ncols());
    for (state, dual) in states.iter().zip(in_blocks(tiles, &mut dual)?) {
        context.tick()?;
        for (fields, dual) in state.chunks_exact(FIELDS * height).zip(dual.chunks_mut(height)) {
            // The end that is nearer is the one that y or s is exact about.
            let ends = fields.iter().zip(&fields[height..]);
            let nearer = ends.map(|(y, s)| if y < s { y - (1.0 - level) } else { level - s });
            // Zero is between the ends.
            let finite = nearer.map(|value| if value.is_finite() { value } else { 0.0 });
            dual.iter_mut().zip(finite).for_each(|(dual, value)| *dual = value);
        }
    }
    Ok(dual)
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

kernel! {
    /// The variables as they begin, w being the residual.
    fn begin_rows<V>(fields: [&mut [[f64; 8]]; FIELDS], level: f64, apart: f64) {
        let [y, s, z, w, ..] = fields;
        let n = y.len();
        assert!([s.len(), z.len(), w.len()] == [n; 3]);
        for i in 0..n {
            for k in 0..8 {
                let r = w[i][k];
                let above = larger(r, 0.0) + apart;
                y[i][k] = 1.0 - level;
                s[i][k] = level;
                w[i][k] = above;
                z[i][k] = above - r;
            }
        }
    }
}

kernel! {
    fn step_rows<V>(fields: [&mut [[f64; 8]]; FIELDS], shares: [f64; 2]) {
        let [y, s, z, w, _, dy, dz, dw] = fields;
        let n = y.len();
        assert!([s.len(), z.len(), w.len(), dy.len(), dz.len(), dw.len()] == [n; 6]);
        let [primal, dual] = shares;
        for i in 0..n {
            for k in 0..8 {
                y[i][k] = dy[i][k].mul_add(primal, y[i][k]);
                s[i][k] = dy[i][k].mul_add(-primal, s[i][k]);
                z[i][k] = dz[i][k].mul_add(dual, z[i][k]);
                w[i][k] = dw[i][k].mul_add(dual, w[i][k]);
            }
        }
    }
}

kernel! {
    /// q, its roots and these times r; sums of products, of the objective, of what is open of it, and of rows between.
    fn predict_rows<V>(
        fields: [&mut [[f64; 8]]; FIELDS],
        level: f64,
        root: &mut [[f64; 8]],
        r: &mut [[f64; 8]],
        sums: &mut [[f64; 8]; 4],
    ) {
        let [y, s, z, w, q, ..] = fields;
        let n = y.len();
        assert!([s.len(), z.len(), w.len(), q.len(), root.len(), r.len()] == [n; 6]);
        let [mut products, mut objective, mut gap, mut between] = *sums;
        for i in 0..n {
            for k in 0..8 {
                let (y, s, z, w) = (y[i][k], s[i][k], z[i][k], w[i][k]);
                let weight = y * s / z.mul_add(s, w * y);
                let (residual, root_weight) = (w - z, weight.sqrt());
                q[i][k] = weight;
                root[i][k] = root_weight;
                r[i][k] = root_weight * residual;
                products[k] += z.mul_add(y, w * s);
                objective[k] += if residual > 0.0 { level * residual } else { (level - 1.0) * residual };
                gap[k] += if residual > 0.0 { s * residual } else { -y * residual };
                between[k] += if y > BETWEEN && s > BETWEEN { 1.0 } else { 0.0 };
            }
        }
        *sums = [products, objective, gap, between];
    }
}

kernel! {
    /// Where the direction leads that would make all products zero, `change` being that of r: its rates, what it changes of
    /// the products, and the two terms of the next right-hand side.
    fn follow_rows<V>(
        fields: [&mut [[f64; 8]]; FIELDS],
        change: &[[f64; 8]],
        second: &mut [[f64; 8]],
        to: &mut [[f64; 8]],
        sums: &mut [[f64; 8]; 5],
    ) {
        let [y, s, z, w, q, dy, ..] = fields;
        let n = y.len();
        assert!([s.len(), z.len(), w.len(), q.len(), dy.len()] == [n; 5]);
        assert!([change.len(), second.len(), to.len()] == [n; 3]);
        let [mut primal, mut dual, mut first, mut other, mut both] = *sums;
        for i in 0..n {
            for k in 0..8 {
                let (y, s, z, w, q) = (y[i][k], s[i][k], z[i][k], w[i][k], q[i][k]);
                let (per_y, per_s) = (1.0 / y, 1.0 / s);
                let step = q * (w - z + change[i][k]);
                let (of_y, of_s) = (step * per_y, step * per_s);
                let (down, up) = (-z * (1.0 + of_y), -w * (1.0 - of_s));
                dy[i][k] = step;
                primal[k] = larger(primal[k], larger(-of_y, of_s));
                dual[k] = larger(dual[k], larger(1.0 + of_y, 1.0 - of_s));
                first[k] += (z - w) * step;
                other[k] += down.mul_add(y, up * s);
                both[k] += (down - up) * step;
                // -dy dw / s less dy dz / y.
                second[i][k] = -q * of_s.mul_add(up, of_y * down);
                to[i][k] = q * (per_y - per_s);
            }
        }
        *sums = [primal, dual, first, other, both];
    }
}

kernel! {
    /// The direction that is taken, towards products that are all `target`, from the last one and the change of r.
    fn correct_rows<V>(
        fields: [&mut [[f64; 8]]; FIELDS],
        change: &[[f64; 8]],
        target: f64,
        rates: &mut [[f64; 8]; 2],
    ) {
        let [y, s, z, w, q, dy, dz, dw] = fields;
        let n = y.len();
        assert!([s.len(), z.len(), w.len(), q.len(), dy.len(), dz.len(), dw.len()] == [n; 7]);
        assert!(change.len() == n);
        let [mut primal, mut dual] = *rates;
        for i in 0..n {
            for k in 0..8 {
                let (y, s, z, w, q) = (y[i][k], s[i][k], z[i][k], w[i][k], q[i][k]);
                let (per_y, per_s) = (1.0 / y, 1.0 / s);
                let (of_y, of_s) = (dy[i][k] * per_y, dy[i][k] * per_s);
                let below = of_y * (-z * (1.0 + of_y));
                let above = -of_s * (-w * (1.0 - of_s));
                let apart = target * (per_y - per_s);
                let step = q * (w - z + change[i][k] + apart - below + above);
                let (of_y, of_s) = (step * per_y, step * per_s);
                let down = target.mul_add(per_y, -z) - z * of_y - below;
                let up = target.mul_add(per_s, -w) + w * of_s - above;
                dy[i][k] = step;
                dz[i][k] = down;
                dw[i][k] = up;
                primal[k] = larger(primal[k], larger(-of_y, of_s));
                dual[k] = larger(dual[k], larger(-down / z, -up / w));
            }
        }
        *rates = [primal, dual];
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, objective, prepared};
    use super::*;

    #[test]
    fn multipliers_prove_the_answer_with_and_without_a_vertex() {
        let instance = Instance::new(1200, 5, 1);
        for (problem, level) in
            [(instance.plain(), 0.5), (instance.full(false), 0.2), (instance.full(true), 0.9)]
        {
            let prepared = prepared(&problem, 1.0);
            let mut objectives = Vec::new();
            for to_vertex in [false, true] {
                let ask = Ask { level, tolerance: 1e-11, max_iter: 100, to_vertex };
                let context = Context::new(2);
                let found = frisch_newton(&context, &prepared.design, &prepared.start, &ask).unwrap();
                assert!(found.n_iter < 30);
                assert!(found.dual.iter().all(|y| (level - 1.0..=level).contains(y)));
                let mut slope = vec![0.0; prepared.design.ncols()];
                let mut buffers = super::super::tiles::Buffers::default();
                for (row, y) in found.dual.iter().enumerate() {
                    let row = prepared.design.row(row, &mut buffers).unwrap();
                    slope.iter_mut().zip(row).for_each(|(slope, a)| *slope += y * a);
                }
                assert!(slope.iter().all(|slope| slope.abs() < 1e-9), "{slope:?}");
                let (x, intercept) = prepared.coefficients(&found.x).unwrap();
                let value = objective(&problem, &x, intercept, level);
                let target = prepared.design.target();
                let dual: f64 = found.dual.iter().zip(target).map(|(y, b)| y * b).sum();
                let dual = dual * prepared.unit * prepared.heaviest;
                assert!((value - dual).abs() <= 1e-9 * value, "{value} {dual}");
                objectives.push(value);
            }
            assert!((objectives[0] - objectives[1]).abs() <= 1e-9 * objectives[1]);
            assert!(objectives[1] <= objectives[0] * (1.0 + 1e-14));
        }
    }

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        let (ones, target) =
            (vec![1.0; 101], (0..101).map(|k| ((k * 37) % 101) as f64).collect::<Vec<f64>>());
        let matrix = crate::matrix::Matrix::Dense(crate::matrix::Dense::row_major(&ones, 101, 1));
        let problem = super::super::design::Problem {
            matrix,
            target: &target,
            weights: None,
            fit_intercept: false,
            penalty: 0.0,
        };
        let prepared = prepared(&problem, 1.0);
        let ask = Ask { level: 0.5, tolerance: 1e-11, max_iter: 100, to_vertex: true };
        let found = frisch_newton(&Context::new(1), &prepared.design, &prepared.start, &ask).unwrap();
        assert_eq!(found.x[0] * prepared.unit, 50.0);
    }
}
