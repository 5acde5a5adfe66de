//! The exact optimum from a fraction of the rows: those whose residuals surely have a sign are globbed, the rest is solved,
//! and all rows say what that is worth (1).
//!
//! Where the signs of residuals are known, their sum is what counts: the rows above are one row, their sum, and so are those
//! below. Two fits of half a sample each, drawn by root leverage, tell where the fit is and how far from it the optimum
//! may be; a residual that is farther from zero than its row can reach has its sign, almost always. Multipliers of the small
//! problem are multipliers of all rows: those of a glob have that of their sum. So one read of all rows says what the answer
//! is worth. Where some signs were wrong it says how little is left, too: near the optimum the objective grows with the
//! square of how far the fit is from it, as fast as there are rows within the band, and a band that is as wide as what is
//! left allows, around the answer, has a hundredth of the rows.
//!
//! (1) S. Portnoy, R. Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical Science 12 (1997), with a sample
//!     by scores in place of a uniform one.

use super::answer::{Answer, Gap};
use super::design::{Design, Prepared};
use super::frisch_newton::{Ask, Found, frisch_newton};
use super::gap::{Claim, Dual, Globs, SIDES, gaps, repair};
use super::sample::{Glob, Halves, halves};
use super::tiles::{Gathered, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::matrix::Real;
use crate::memory::{collected, extend, gathered, push, reset, zeros};
use crate::parallel::Context;
use crate::simd::axpy;

/// Rows of both halves, beside the number that keeps a band of Gaussian rows as large.
const SAMPLED: f64 = 1.5;
/// How many standard deviations of a fit its band is wide on either side.
const BAND: f64 = 2.5;
/// So many times more for a row of score one: such rows are few, and a wrong sign of theirs moves the fit far.
const FURTHER: f64 = 10.0;
/// Rows that a band keeps at least, for each column.
const LEAST: f64 = 10.0;
/// What the width of a band is multiplied with where its answer is beyond it.
const WIDEN: f64 = 2.0;
/// Most bands around one answer after the other.
const ROUNDS: usize = 8;
/// Share of the rows that may be kept.
const MOST: f64 = 0.5;
/// Times that multipliers of all rows are mended.
const REPAIRS: usize = 2;
/// Gap of the fits of half a sample.
const ROUGH: f64 = 1e-4;

/// All rows in all iterations.
pub(super) fn on_all_rows<T: Real>(
    context: &Context,
    prepared: &Prepared<'_, T>,
    start: &[f64],
    ask: &Ask,
) -> Result<Answer> {
    let Found { x, mut dual, n_iter } = frisch_newton(context, &prepared.design, start, ask)?;
    let worth = |dual: &[f64]| {
        let claim = Claim { x: &x, level: ask.level, dual: Dual { inside: dual, globs: None } };
        Ok(gaps(context, &prepared.design, &prepared.normal, &[claim])?.remove(0))
    };
    let mut gap = worth(&dual)?;
    for _ in 0..REPAIRS {
        if ask.is_met(&gap) || !repair(context, &prepared.design, &mut dual, ask.level)? {
            break;
        }
        let next = worth(&dual)?;
        if next.gap < gap.gap {
            gap = next;
        }
    }
    Ok(Answer { x, gap, n_iter, kept: prepared.design.nrows(), rounds: 0 })
}

/// What all levels have in common.
pub(super) struct Globbing<'p, 'a, T> {
    prepared: &'p Prepared<'a, T>,
    halves: Halves,
}

/// How far a level is.
struct Search<'s> {
    ask: &'s Ask,
    /// Where the next band is, and how far it reaches.
    centre: Vec<f64>,
    delta: f64,
    /// What the last answer left, and whether that was no less than before.
    left: f64,
    is_stuck: bool,
    n_iter: usize,
    /// Rows of the largest band.
    kept: usize,
    rounds: usize,
    state: State,
}

enum State {
    Open,
    Proved(Gap),
    /// All rows are to be asked.
    GivenUp,
}

impl<'p, 'a, T: Real> Globbing<'p, 'a, T> {
    /// Scores and a sample; None where there are too few rows for it to be worth while.
    pub fn new(context: &Context, prepared: &'p Prepared<'a, T>, seed: u64) -> Result<Option<Self>> {
        let (n, d) = (prepared.design.rows_of_data() as f64, prepared.design.ncols() as f64);
        let size = SAMPLED * n.powf(2.0 / 3.0) * d.cbrt();
        if size < 20.0 * d || 4.0 * size > n {
            return Ok(None);
        }
        let halves = halves(context, &prepared.design, &prepared.normal, size, seed)?;
        Ok(Some(Self { prepared, halves }))
    }

    /// The optima at some levels, which share reads of all rows.
    pub fn solve(&self, context: &Context, asks: &[Ask]) -> Result<Vec<Answer>> {
        let mut searches: Vec<_> = gathered(asks.iter().map(|ask| self.begin(context, ask)), PURPOSE)?;
        for _ in 0..ROUNDS {
            let open = searches.iter_mut().filter(|search| matches!(search.state, State::Open));
            let mut open = collected(open, PURPOSE)?;
            if open.is_empty() {
                break;
            }
            self.round(context, &mut open)?;
        }
        gathered(searches.into_iter().map(|search| self.answer(context, search)), PURPOSE)
    }

    /// Where fits of the halves are, and how far apart.
    fn begin<'s>(&self, context: &Context, ask: &'s Ask) -> Result<Search<'s>> {
        let prepared = self.prepared;
        let rough = Ask { tolerance: ROUGH, to_vertex: false, ..*ask };
        let (mut n_iter, mut fits) = (0, [Vec::new(), Vec::new()]);
        for (fit, half) in fits.iter_mut().zip(&self.halves.rows) {
            let found = frisch_newton(context, half, &prepared.start, &rough)?;
            n_iter += found.n_iter;
            *fit = found.x;
        }
        let both = || fits[0].iter().zip(&fits[1]);
        let centre = collected(both().map(|(one, other)| 0.5 * (one + other)), PURPOSE)?;
        let apart = collected(both().map(|(one, other)| one - other), PURPOSE)?;
        let delta = BAND * prepared.normal.norm(&apart) / (2.0 * (centre.len() as f64).sqrt());
        let (left, state) = (f64::INFINITY, State::Open);
        Ok(Search { ask, centre, delta, left, is_stuck: false, n_iter, kept: 0, rounds: 0, state })
    }

    /// A band for each, its answer, and what that is worth.
    fn round(&self, context: &Context, searches: &mut [&mut Search<'_>]) -> Result<()> {
        let (design, normal) = (&self.prepared.design, &self.prepared.normal);
        let around = collected(searches.iter().map(|search| (&search.centre[..], search.delta)), PURPOSE)?;
        let bands = Band::around(context, design, &self.halves.scores, &around)?;
        let mut solved = Vec::new();
        for (search, band) in searches.iter_mut().zip(bands) {
            if band.kept.len() as f64 > MOST * design.nrows() as f64 {
                search.state = State::GivenUp;
                continue;
            }
            search.kept = search.kept.max(band.kept.len());
            let (small, there) = band.problem(context, design, &self.halves.whole)?;
            let strict = Ask { tolerance: 0.25 * search.ask.tolerance, ..*search.ask };
            let found = frisch_newton(context, &small, &search.centre, &strict)?;
            search.n_iter += found.n_iter;
            push(&mut solved, (search, band, found, there), PURPOSE)?;
        }
        let claims = solved.iter().map(|(search, band, found, there)| {
            let dual = band.dual(&found.dual, *there, search.ask.level);
            Claim { x: &found.x, level: search.ask.level, dual }
        });
        let gaps = gaps(context, design, normal, &collected(claims, PURPOSE)?)?;
        for ((search, band, found, _), gap) in solved.into_iter().zip(gaps) {
            let curvature = band.curvature(&self.halves.scores, search.delta) / design.ncols() as f64;
            search.go_on(found.x, gap, curvature, band.kept.len() as f64 / (LEAST * design.ncols() as f64));
        }
        Ok(())
    }

    /// What was found, or what all rows say where nothing was.
    fn answer(&self, context: &Context, search: Search<'_>) -> Result<Answer> {
        let Search { ask, centre, n_iter, kept, rounds, state, .. } = search;
        if let State::Proved(gap) = state {
            return Ok(Answer { x: centre, gap, n_iter, kept, rounds });
        }
        let mut answer = on_all_rows(context, self.prepared, &centre, ask)?;
        answer.n_iter += n_iter;
        if !ask.is_met(&answer.gap) {
            let again = on_all_rows(context, self.prepared, &self.prepared.start, ask)?;
            let n_iter = answer.n_iter + again.n_iter;
            let excess = |answer: &Answer| answer.gap.gap / answer.gap.objective;
            if ask.is_met(&again.gap) || excess(&answer).is_nan() || excess(&answer) > excess(&again) {
                answer = again;
            }
            answer.n_iter = n_iter;
        }
        Ok(answer)
    }
}

impl Search<'_> {
    /// Takes in what the answer of a band is worth. The objective grows by at least `curvature` / 2 times the square of how
    /// far from the optimum it is; the band had `plenty` times the rows that are the fewest.
    fn go_on(&mut self, x: Vec<f64>, gap: Gap, curvature: f64, plenty: f64) {
        if self.ask.is_met(&gap) {
            (self.centre, self.state) = (x, State::Proved(gap));
            return;
        }
        self.rounds += 1;
        let reach = (2.0 * gap.gap / curvature).sqrt();
        if reach <= self.delta {
            let leads_on = gap.gap <= 0.5 * self.left;
            if !leads_on && self.is_stuck {
                self.state = State::GivenUp;
            }
            (self.centre, self.left, self.is_stuck) = (x, gap.gap, !leads_on);
            self.delta = reach.max((self.delta / plenty).min(self.delta));
        } else if gap.gap.is_finite() {
            self.delta *= WIDEN;
        } else {
            self.state = State::GivenUp;
        }
    }
}

/// How far the residual of a row of this score may be from where it is, beside how far a fit is from the optimum.
fn reach_of(score: f64) -> f64 {
    score * (1.0 + FURTHER * score)
}

/// Where a residual is.
const INSIDE: u8 = 0;
const ABOVE: u8 = 1;
const BELOW: u8 = 2;

/// Rows near a fit, and the sum of those above.
struct Band {
    /// In increasing order.
    kept: Vec<usize>,
    side: Vec<u8>,
    above: Glob,
    /// How many there are on each side.
    count: [usize; SIDES],
}

/// What a block has of a band.
struct Part {
    sums: Sums,
    kept: Vec<usize>,
    target: f64,
    count: [usize; SIDES],
    r: Vec<f64>,
    /// Ones where a row is above.
    above: Vec<f64>,
}

impl Band {
    /// For each centre and delta, the rows whose residuals there are within delta times what their scores say, and those of
    /// a penalty.
    fn around<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        scores: &[f64],
        around: &[(&[f64], f64)],
    ) -> Result<Vec<Self>> {
        let (n, d) = (design.rows_of_data(), design.ncols());
        let side = || zeros(design.nrows(), "sides of rows");
        let mut sides: Vec<Vec<u8>> = gathered(around.iter().map(|_| side()), PURPOSE)?;
        let mut states: Vec<_> = gathered(design.blocks()?.iter().map(|_| Ok(Vec::new())), PURPOSE)?;
        for side in &mut sides {
            for (state, side) in states.iter_mut().zip(in_blocks(design, side)?) {
                push(state, side, PURPOSE)?;
            }
        }
        let part = || {
            let sums = Sums::new(d, false, 1)?;
            let (kept, r, above) = (Vec::new(), Vec::new(), Vec::new());
            Ok(Part { sums, kept, target: 0.0, count: [0; SIDES], r, above })
        };
        let begin = || gathered(around.iter().map(|_| part()), PURPOSE);
        let parts = pass(context, design, &mut states, begin, |parts: &mut Vec<Part>, sides, tile| {
            let scores = &scores[tile.rows.clone()];
            for ((part, side), (centre, delta)) in parts.iter_mut().zip(sides.iter_mut()).zip(around) {
                let Part { sums, kept, target, count, r, above } = part;
                tile.residual(centre, r)?;
                reset(above, tile.depth(), PURPOSE)?;
                let side: &mut [u8] = &mut side[tile.number * tile.height..][..tile.rows.len()];
                for k in 0..side.len() {
                    // A row of zeros is on either side.
                    let is_inside = scores[k] > 0.0 && r[k].abs() <= delta * reach_of(scores[k]);
                    let sign = if r[k] < 0.0 { BELOW } else { ABOVE };
                    side[k] = if is_inside { INSIDE } else { sign };
                }
                let of_data = n.clamp(tile.rows.start, tile.rows.end) - tile.rows.start;
                side[of_data..].fill(INSIDE);
                for k in 0..side.len() {
                    count[usize::from(side[k])] += 1;
                    above[k] = if side[k] == ABOVE { 1.0 } else { 0.0 };
                    *target += above[k] * tile.target[k];
                }
                for (row, _) in tile.rows.clone().zip(&*side).filter(|(_, side)| **side == INSIDE) {
                    push(kept, row, PURPOSE)?;
                }
                sums.add_vector(tile, 0, above);
            }
            Ok(())
        })?;
        let mut bands = Vec::new();
        for (k, side) in sides.into_iter().enumerate() {
            let of_band = || parts.iter().map(|parts| &parts[k]);
            let row = Sums::total(d, of_band().map(|part| &part.sums))?.1.pop().unwrap_or_default();
            let above = Glob { row, target: of_band().map(|part| part.target).sum() };
            let count = std::array::from_fn(|side| of_band().map(|part| part.count[side]).sum());
            let mut kept = Vec::new();
            for part in of_band() {
                extend(&mut kept, part.kept.iter().copied(), PURPOSE)?;
            }
            push(&mut bands, Self { kept, side, above, count }, PURPOSE)?;
        }
        Ok(bands)
    }

    /// The rows that are kept, after them the sums of those above and below, if there are any; and whether there are.
    fn problem<T: Real>(
        &self,
        context: &Context,
        design: &Design<'_, T>,
        whole: &Glob,
    ) -> Result<(Gathered, [bool; 2])> {
        let d = design.ncols();
        let mut taken = design.gather(context, &self.kept, None)?;
        let mut below = Glob { row: zeros(d, PURPOSE)?, target: whole.target - self.above.target };
        axpy(1.0, &whole.row, &mut below.row);
        axpy(-1.0, &self.above.row, &mut below.row);
        taken.subtract_from(&mut below.row, &mut below.target);
        let there = [ABOVE, BELOW].map(|side| self.count[usize::from(side)] > 0);
        for (glob, _) in [&self.above, &below].into_iter().zip(there).filter(|(_, there)| *there) {
            taken.push(&glob.row, glob.target)?;
        }
        Ok((Gathered::new(context, taken)?, there))
    }

    /// Multipliers of all rows from those of the problem.
    fn dual<'d>(&'d self, of_problem: &'d [f64], there: [bool; 2], level: f64) -> Dual<'d> {
        let (inside, mut globs) = of_problem.split_at(self.kept.len());
        let mut of_side = [0.0, level, level - 1.0];
        for (side, _) in [ABOVE, BELOW].into_iter().zip(there).filter(|(_, there)| *there) {
            if let Some((value, others)) = globs.split_first() {
                (of_side[usize::from(side)], globs) = (*value, others);
            }
        }
        Dual { inside, globs: Some(Globs { kept: &self.kept, side: &self.side, of_side }) }
    }

    /// The trace of what rows inside, spread out over the width that is theirs on either side, add to the curvature of the
    /// objective, beside that of A'A.
    fn curvature(&self, scores: &[f64], delta: f64) -> f64 {
        let inside = self.kept.iter().map(|&row| scores[row]).filter(|score| *score > 0.0);
        inside.map(|score| score * score / reach_of(score)).sum::<f64>() / (2.0 * delta)
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
    fn the_optimum_is_that_of_all_rows_for_one_level_and_for_some_together() {
        let instance = Instance::new(12_000, 4, 2);
        for problem in [instance.plain(), instance.full(false), instance.full(true)] {
            let (prepared, context) = (prepared(&problem, 1.0), Context::new(2));
            let asks = [0.5, 0.1, 0.8].map(ask);
            let mut globbed = 0;
            for seed in 0..5 {
                let globbing = Globbing::new(&context, &prepared, seed).unwrap().unwrap();
                let together = globbing.solve(&context, &asks).unwrap();
                for (ask, some) in asks.iter().zip(together) {
                    let all = on_all_rows(&context, &prepared, &prepared.start, ask).unwrap();
                    globbed += usize::from(some.kept < all.kept / 2);
                    assert!((some.gap.objective / all.gap.objective - 1.0).abs() < 1e-13);
                    assert!(some.gap.gap <= 1e-11 * some.gap.objective);
                    let alone = globbing.solve(&context, std::slice::from_ref(ask)).unwrap().remove(0);
                    assert_eq!((alone.x, alone.gap.gap, alone.kept), (some.x, some.gap.gap, some.kept));
                }
            }
            // Halves of tails as long as these are far apart at times.
            assert!(globbed >= 9, "{globbed}");
        }
    }

    /// Rows of a band are those inside by definition, and its globs what is left.
    #[test]
    fn bands_are_what_is_near_and_globs_the_sums_of_what_is_not() {
        let instance = Instance::new(6000, 3, 4);
        let problem = instance.full(true);
        let (prepared, context) = (prepared(&problem, 1.0), Context::new(2));
        let globbing = Globbing::new(&context, &prepared, 7).unwrap().unwrap();
        let (design, scores) = (&prepared.design, &globbing.halves.scores);
        let centre = &prepared.start;
        let around: [(&[f64], f64); 2] = [(centre, 30.0), (centre, 1.0)];
        let mut buffers = super::super::tiles::Buffers::default();
        for (band, (centre, delta)) in
            Band::around(&context, design, scores, &around).unwrap().iter().zip(around)
        {
            assert!(band.kept.is_sorted() && band.count.iter().sum::<usize>() == design.nrows());
            let mut globs =
                [Glob { row: vec![0.0; 4], target: 0.0 }, Glob { row: vec![0.0; 4], target: 0.0 }];
            for row in 0..design.nrows() {
                let (entries, b) = (design.row(row, &mut buffers).unwrap(), design.target()[row]);
                let r = b - entries.iter().zip(centre).map(|(a, x)| a * x).sum::<f64>();
                let is_inside =
                    row >= instance.n || (scores[row] > 0.0 && r.abs() <= delta * reach_of(scores[row]));
                assert_eq!(is_inside, band.kept.binary_search(&row).is_ok());
                assert_eq!(is_inside, band.side[row] == INSIDE);
                if !is_inside && scores[row] > 0.0 {
                    let glob = &mut globs[usize::from(r < 0.0)];
                    glob.row.iter_mut().zip(entries).for_each(|(sum, a)| *sum += a);
                    glob.target += b;
                }
            }
            let (small, there) = band.problem(&context, design, &globbing.halves.whole).unwrap();
            assert_eq!(there, [true; 2]);
            for (k, glob) in globs.iter().enumerate() {
                let row = small.row(band.kept.len() + k, &mut buffers).unwrap();
                assert!(row.iter().zip(&glob.row).all(|(a, b)| (a - b).abs() < 1e-9));
                assert!((small.target()[band.kept.len() + k] - glob.target).abs() < 1e-9);
            }
        }
    }

    /// Bands around answers with wrong signs, however narrow, lead to the optimum or are given up.
    #[test]
    fn wrong_signs_are_found_and_bands_drawn_anew() {
        let instance = Instance::new(6000, 3, 4);
        let problem = instance.plain();
        let (prepared, context) = (prepared(&problem, 1.0), Context::new(1));
        let globbing = Globbing::new(&context, &prepared, 7).unwrap().unwrap();
        let ask = ask(0.5);
        let best = globbing.solve(&context, std::slice::from_ref(&ask)).unwrap().remove(0);
        let mut rounds = 0;
        for (off, delta) in [(0.02, 0.3), (0.02, 3.0), (0.2, 0.1)] {
            let mut search = globbing.begin(&context, &ask).unwrap();
            search.centre = best.x.iter().map(|x| x + off).collect();
            search.delta = delta;
            for _ in 0..ROUNDS {
                if matches!(search.state, State::Open) {
                    globbing.round(&context, &mut [&mut search]).unwrap();
                }
            }
            rounds += search.rounds;
            let answer = globbing.answer(&context, search).unwrap();
            assert!((answer.gap.objective / best.gap.objective - 1.0).abs() < 1e-13);
        }
        assert!(rounds > 0);
    }

    #[test]
    fn few_rows_are_not_globbed() {
        let instance = Instance::new(100, 4, 2);
        let problem = instance.plain();
        assert!(Globbing::new(&Context::new(1), &prepared(&problem, 1.0), 7).unwrap().is_none());
    }
}
