//! The exact optimum from a fraction of the rows: those whose residuals surely have a sign are globbed, the rest is solved,
//! and the signs are checked (1).
//!
//! Where the signs of residuals are known, their sum is what counts: the rows above are one row, their sum, and so are those
//! below. Two fits of half a sample each, drawn by root leverage, tell where the fit is and how far from it the optimum
//! may be; a residual that is farther from zero than its row can reach has its sign. Multipliers of the small problem are
//! multipliers of all rows: those of a glob have that of their sum. So one read of all rows says what the answer is worth, and
//! which signs were wrong if any.
//!
//! (1) S. Portnoy, R. Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical Science 12 (1997), with a sample
//!     by scores in place of a uniform one.

use super::answer::{Answer, Gap};
use super::design::{Design, Prepared};
use super::frisch_newton::{Ask, Found, frisch_newton};
use super::gap::gap;
use super::sample::{Halves, halves};
use super::tiles::{Gathered, PURPOSE, Sums, Tiles, in_blocks, pass, read};
use crate::error::Result;
use crate::matrix::{Buffer, Real};
use crate::memory::{extend, push, zeros};
use crate::parallel::Context;

/// How many standard deviations of a fit its band is wide on either side.
const BAND: f64 = 3.0;
/// Share of wrong signs among the kept rows from which on a band is drawn anew.
const MANY: f64 = 0.1;
/// Most times that signs are found wrong.
const ROUNDS: usize = 8;
/// Share of the rows that may be kept.
const MOST: f64 = 0.5;

/// All rows in all iterations.
pub(super) fn on_all_rows<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    start: &[f64],
    ask: &Ask,
) -> Result<Answer> {
    let Found { x, mut dual, n_iter, .. } = frisch_newton(context, &prepared.design, start, ask)?;
    let gap = gap(context, &prepared.design, &prepared.normal, &x, &mut dual, ask.level)?;
    Ok(Answer { x, gap, n_iter, kept: prepared.design.nrows(), rounds: 0 })
}

/// What all levels have in common.
pub(super) struct Globbing<'p, 'a, T> {
    prepared: &'p Prepared<'a, T>,
    halves: Halves,
}

impl<'p, 'a, T: Real> Globbing<'p, 'a, T> {
    /// Scores and a sample; None where there are too few rows for it to be worth while.
    pub fn new(context: &Context, prepared: &'p Prepared<'a, T>, seed: u64) -> Result<Option<Self>> {
        let (n, d) = (prepared.design.rows_of_data() as f64, prepared.design.ncols() as f64);
        let size = n.powf(2.0 / 3.0) * d.cbrt();
        if size < 20.0 * d || 4.0 * size > n {
            return Ok(None);
        }
        let halves = halves(context, &prepared.design, &prepared.normal, size, seed)?;
        Ok(Some(Self { prepared, halves }))
    }

    /// The optimum at a level.
    pub fn solve(&self, context: &Context, ask: &Ask) -> Result<Answer> {
        let prepared = self.prepared;
        let (design, normal) = (&prepared.design, &prepared.normal);
        let rough = Ask { tolerance: ROUGH, to_vertex: false, ..*ask };
        let (mut n_iter, mut fits) = (0, [Vec::new(), Vec::new()]);
        for (fit, half) in fits.iter_mut().zip(&self.halves.rows) {
            let found = frisch_newton(context, half, &prepared.start, &rough)?;
            n_iter += found.n_iter;
            *fit = found.x;
        }
        let d = design.ncols();
        let mut centre = zeros(d, PURPOSE)?;
        let mut apart = zeros(d, PURPOSE)?;
        for j in 0..d {
            (centre[j], apart[j]) = (0.5 * (fits[0][j] + fits[1][j]), fits[0][j] - fits[1][j]);
        }
        let mut delta = BAND * normal.norm(&apart) / (2.0 * (d as f64).sqrt());
        let strict = Ask { tolerance: 0.25 * ask.tolerance, ..*ask };
        let mut band = Band::around(context, prepared, &self.halves.scores, &centre, delta)?;
        for round in 0..ROUNDS {
            if band.kept.len() as f64 > MOST * design.nrows() as f64 {
                break;
            }
            let (small, globs) = band.problem(context, design)?;
            let found = frisch_newton(context, &small, &centre, &strict)?;
            n_iter += found.n_iter;
            let mut dual = band.dual(context, &found.dual, globs, ask.level)?;
            let gap = gap(context, design, normal, &found.x, &mut dual, ask.level)?;
            let within = ask.tolerance * gap.objective + gap.rounding;
            let wrong = if gap.gap <= within { Vec::new() } else { band.wrong(context, design, &found.x)? };
            if wrong.is_empty() {
                if gap.gap > within {
                    break;
                }
                let kept = band.kept.len();
                return Ok(Answer { x: found.x, gap, n_iter, kept, rounds: round });
            }
            centre = found.x;
            if wrong.len() as f64 > MANY * band.kept.len() as f64 {
                delta *= 2.0;
                band = Band::around(context, prepared, &self.halves.scores, &centre, delta)?;
            } else {
                band.keep(context, design, &wrong)?;
            }
        }
        let mut answer = on_all_rows(context, prepared, &centre, ask)?;
        n_iter += answer.n_iter;
        let is_within = |gap: &Gap| gap.gap <= ask.tolerance * gap.objective + gap.rounding;
        if !is_within(&answer.gap) {
            let again = on_all_rows(context, prepared, &prepared.start, ask)?;
            n_iter += again.n_iter;
            let excess = |answer: &Answer| answer.gap.gap / answer.gap.objective;
            if is_within(&again.gap) || excess(&answer).is_nan() || excess(&answer) > excess(&again) {
                answer = again;
            }
        }
        Ok(Answer { n_iter, ..answer })
    }
}

/// Gap of the fits of half a sample.
const ROUGH: f64 = 1e-5;

/// Where a residual is.
const INSIDE: u8 = 0;
const ABOVE: u8 = 1;
const BELOW: u8 = 2;

/// Rows near a fit, and the sums of those above and below.
struct Band {
    /// In increasing order.
    kept: Vec<usize>,
    side: Vec<u8>,
    /// Rows and targets, and how many they are, above and below.
    globs: [Glob; 2],
}

struct Glob {
    row: Vec<f64>,
    target: f64,
    count: usize,
}

/// What a block has of a band.
#[derive(Default)]
struct Part {
    sums: Sums,
    kept: Vec<usize>,
    target: [f64; 2],
    count: [usize; 2],
    r: Vec<f64>,
    /// Ones where a row is above, or below.
    at: [Vec<f64>; 2],
}

impl Band {
    /// Rows of scores s whose residuals at `centre` are within delta s, and those of a penalty.
    fn around<T: Real>(
        context: &Context,
        prepared: &Prepared<'_, T>,
        scores: &[f64],
        centre: &[f64],
        delta: f64,
    ) -> Result<Self> {
        let design = &prepared.design;
        let (n, d) = (design.rows_of_data(), design.ncols());
        let mut side = zeros(design.nrows(), "sides of rows")?;
        let mut states = in_blocks(design, &mut side)?;
        let begin = || Ok(Part { sums: Sums::new(d, false, 2)?, ..Part::default() });
        let parts = pass(context, design, &mut states, begin, |part, side: &mut &mut [u8], tile| {
            tile.residual(centre, &mut part.r)?;
            for at in &mut part.at {
                crate::memory::reset(at, tile.depth(), PURPOSE)?;
            }
            let side = &mut side[tile.number * tile.height..][..tile.rows.len()];
            for (k, row) in tile.rows.clone().enumerate() {
                let r = part.r[k];
                if row >= n || (scores[row] > 0.0 && r.abs() <= delta * scores[row]) {
                    // A row of zeros is on either side.
                    side[k] = INSIDE;
                    push(&mut part.kept, row, PURPOSE)?;
                } else {
                    let glob = usize::from(r < 0.0);
                    side[k] = if r < 0.0 { BELOW } else { ABOVE };
                    part.at[glob][k] = 1.0;
                    part.target[glob] += tile.target[k];
                    part.count[glob] += 1;
                }
            }
            (0..2).for_each(|glob| part.sums.add_vector(tile, glob, &part.at[glob]));
            Ok(())
        })?;
        let mut rows = Sums::total(d, parts.iter().map(|part| &part.sums))?.1.into_iter();
        let globs = [0, 1].map(|glob| Glob {
            row: rows.next().unwrap_or_default(),
            target: parts.iter().map(|part| part.target[glob]).sum(),
            count: parts.iter().map(|part| part.count[glob]).sum(),
        });
        let mut kept = Vec::new();
        for part in parts {
            extend(&mut kept, part.kept, PURPOSE)?;
        }
        Ok(Self { kept, side, globs })
    }

    /// The rows that are kept, after them the sums of those that there are; and which these are.
    fn problem<T: Real>(&self, context: &Context, design: &Design<'_, T>) -> Result<(Gathered, [bool; 2])> {
        let (mut rows, mut target) = design.gather(context, &self.kept, None)?;
        let there = [0, 1].map(|glob| self.globs[glob].count > 0);
        for glob in self.globs.iter().filter(|glob| glob.count > 0) {
            extend(&mut rows, glob.row.iter().copied(), PURPOSE)?;
            push(&mut target, glob.target, PURPOSE)?;
        }
        Ok((Gathered::new(context, &rows, design.ncols(), target)?, there))
    }

    /// Multipliers of all rows from those of the problem.
    fn dual(
        &self,
        context: &Context,
        of_problem: &[f64],
        globs: [bool; 2],
        level: f64,
    ) -> Result<Buffer<f64>> {
        let mut next = self.kept.len();
        let ends = [level, level - 1.0];
        let of_glob = [0, 1].map(|glob| match globs[glob] {
            true => {
                next += 1;
                of_problem[next - 1]
            }
            false => ends[glob],
        });
        let mut dual = Buffer::zeros(self.side.len(), "multipliers of rows")?;
        let mut kept = of_problem.iter();
        for rows in context.pieces(0..self.side.len()) {
            let rows = rows?;
            for (dual, side) in dual[rows.clone()].iter_mut().zip(&self.side[rows]) {
                *dual = match *side {
                    INSIDE => kept.next().copied().unwrap_or(0.0),
                    ABOVE => of_glob[0],
                    _ => of_glob[1],
                };
            }
        }
        Ok(dual)
    }

    /// Globbed rows that are not where they should be.
    fn wrong(&self, context: &Context, tiles: &dyn Tiles, x: &[f64]) -> Result<Vec<usize>> {
        let begin = || Ok((Vec::new(), Vec::new()));
        let parts = read(context, tiles, begin, |(wrong, r), tile| {
            tile.residual(x, r)?;
            for (row, r) in tile.rows.clone().zip(&*r) {
                let side = self.side[row];
                if (side == ABOVE && *r < 0.0) || (side == BELOW && *r > 0.0) {
                    push(wrong, row, PURPOSE)?;
                }
            }
            Ok(())
        })?;
        let mut wrong = Vec::new();
        for (part, _) in parts {
            extend(&mut wrong, part, PURPOSE)?;
        }
        Ok(wrong)
    }

    /// Takes rows out of their globs.
    fn keep<T: Real>(&mut self, context: &Context, design: &Design<'_, T>, rows: &[usize]) -> Result<()> {
        let d = design.ncols();
        let (entries, target) = design.gather(context, rows, None)?;
        for ((&row, entries), target) in rows.iter().zip(entries.chunks_exact(d.max(1))).zip(&target) {
            let glob = &mut self.globs[usize::from(self.side[row] == BELOW)];
            glob.row.iter_mut().zip(entries).for_each(|(sum, entry)| *sum -= entry);
            glob.target -= target;
            glob.count -= 1;
            self.side[row] = INSIDE;
        }
        extend(&mut self.kept, rows.iter().copied(), PURPOSE)?;
        self.kept.sort_unstable();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared};
    use super::*;

    fn ask(level: f64) -> Ask {
        Ask { level, tolerance: 1e-10, max_iter: 100, to_vertex: true }
    }

    #[test]
    fn the_optimum_is_that_of_all_rows() {
        let instance = Instance::new(12_000, 4, 2);
        for (problem, level) in
            [(instance.plain(), 0.5), (instance.full(false), 0.1), (instance.full(true), 0.8)]
        {
            let (prepared, context) = (prepared(&problem, 1.0), Context::new(2));
            let all = on_all_rows(&context, &prepared, &prepared.start, &ask(level)).unwrap();
            let mut globbed = 0;
            for seed in 0..5 {
                let globbing = Globbing::new(&context, &prepared, seed).unwrap().unwrap();
                let some = globbing.solve(&context, &ask(level)).unwrap();
                globbed += usize::from(some.kept < all.kept / 2);
                assert!((some.gap.objective / all.gap.objective - 1.0).abs() < 1e-13);
                assert!(some.gap.gap <= 1e-11 * some.gap.objective);
            }
            // Halves of tails as long as these are far apart at times.
            assert!(globbed >= 3, "{globbed}");
        }
    }

    /// A band that is far too narrow is mended row by row, and one around a wrong fit is drawn anew.
    #[test]
    fn wrong_signs_are_found_and_their_rows_taken_out_of_the_globs() {
        let instance = Instance::new(6000, 3, 4);
        let problem = instance.plain();
        let (prepared, context) = (prepared(&problem, 1.0), Context::new(1));
        let globbing = Globbing::new(&context, &prepared, 7).unwrap().unwrap();
        let best = globbing.solve(&context, &ask(0.5)).unwrap().x;
        let centre: Vec<f64> = best.iter().map(|x| x + 0.02).collect();
        let scores = &globbing.halves.scores;
        let mut band = Band::around(&context, &prepared, scores, &centre, 0.3).unwrap();
        let wrong = band.wrong(&context, &prepared.design, &best).unwrap();
        assert!(!wrong.is_empty());
        let kept = band.kept.len();
        band.keep(&context, &prepared.design, &wrong).unwrap();
        assert_eq!(band.kept.len(), kept + wrong.len());
        assert!(band.wrong(&context, &prepared.design, &best).unwrap().is_empty());
        assert!(band.kept.is_sorted());
        for glob in 0..2 {
            let side = [ABOVE, BELOW][glob];
            let rows = (0..instance.n).filter(|&row| band.side[row] == side);
            let target: f64 = rows.clone().map(|row| prepared.design.target()[row]).sum();
            assert!((band.globs[glob].target - target).abs() < 1e-9);
            assert_eq!(band.globs[glob].count, rows.count());
        }
    }

    #[test]
    fn few_rows_are_not_globbed() {
        let instance = Instance::new(100, 4, 2);
        let problem = instance.plain();
        assert!(Globbing::new(&Context::new(1), &prepared(&problem, 1.0), 7).unwrap().is_none());
    }
}
