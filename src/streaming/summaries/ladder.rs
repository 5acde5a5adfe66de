//! Oja's rule at all rates that may be right, for rows in any order (after Price and Xun 2024).
//!
//! Whatever the order and the rate η, for w_n from a unit w_0
//!
//!   sin(w_n, v_1) <= sqrt(η σ_2² / 2) + |P w_0| / |w_n|,
//!
//! P the projection away from v_1: the squared norm grows by (2 η + η² |a|²) <a, w>² with each row, so that the sum of these
//! squares is at most |w_n|² / (2 η), and P w_n = P w_0 + η (A P)' y. So the growth of w certifies it. The right rate is
//! about log(d) / σ_1², which is not known; the rates are all 2^j that may matter. A rung begins when the rows so far first
//! count at its rate, as w_0 + η s with s the sum of a <a, w_0>, ends when one row alone could make it grow, and when the
//! one below it has grown as well.

use crate::error::Result;
use crate::linalg::{exponent_of, norm, times_power_of_two};
use crate::memory::{extend, push, zeros};
use crate::random::Stream as Random;
use crate::simd::norm_sq;
use crate::streaming::params::RUNGS;
use crate::streaming::rows::chunk::{Chunk, Precision, Room};
use crate::streaming::small::numbers::Numbers;
use crate::streaming::summaries::steps::Steps;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Purpose of the random numbers.
const START: u8 = 0x63;
/// What a rate times the energy so far is when its rung begins: first order is then as good as all orders.
const BEGINS: f64 = 0.05;
/// What a rate times the largest squared norm may be: beyond, one row makes a vector grow.
const ONE_ROW: f64 = 2.0;
/// The smallest rate is two to this power.
const LEAST: i32 = -2100;
/// Squared norms beyond this are written as others times a power of two: rows in single precision are multiplied by them.
const LARGE: f64 = 1e10;

/// The ladder.
#[derive(Serialize, Deserialize)]
pub struct Ladder {
    d: usize,
    /// Whether rows are in single precision.
    single: bool,
    seed: u64,
    /// (g + 2) x d: w_0, the rungs and s, row after row.
    vectors: Numbers,
    /// Those that rows are multiplied by, in single precision if rows are.
    #[serde(skip)]
    narrow: Vec<f32>,
    rungs: Vec<Rung>,
    /// The exponent of the next smaller rate; none before the first row.
    next: Option<i32>,
    energy: f64,
    /// The largest squared norm.
    largest: f64,
    /// The growth at which a rung has grown: ln(1/δ).
    enough: f64,
    rows: u64,
}

/// A vector at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Rung {
    /// The rate is two to this power.
    power: i32,
    /// The squared norm is `norm_sq` times four to the power of `exponent`.
    norm_sq: f64,
    exponent: i64,
}

impl Rung {
    fn rate(&self) -> f64 {
        times_power_of_two(1.0, self.power)
    }

    /// ln |w|.
    fn growth(&self) -> f64 {
        0.5 * self.norm_sq.ln() + self.exponent as f64 * LN_2
    }
}

/// The rung that answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grown {
    /// ln |w|.
    pub growth: f64,
    /// η.
    pub rate: f64,
    /// Whether it has grown enough.
    pub enough: bool,
}

impl Ladder {
    /// No rows yet of `d` numbers.
    pub fn new(d: usize, delta: f64, single: bool, seed: u64) -> Result<Self> {
        let mut vectors = Numbers::zeros(2 * d)?;
        let (start, _) = vectors.split_at_mut(d);
        Random::new(seed, 0, START).normals_of_row(0, start);
        let length = norm(start);
        start.iter_mut().for_each(|number| *number /= length);
        let enough = -delta.ln();
        Ok(Self {
            d,
            single,
            seed,
            vectors,
            narrow: Vec::new(),
            rungs: Vec::new(),
            next: None,
            energy: 0.0,
            largest: 0.0,
            enough,
            rows: 0,
        })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let rungs = crate::memory::copied(&self.rungs, "rungs")?;
        Ok(Self { vectors: self.vectors.copy()?, narrow: Vec::new(), rungs, ..*self })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, d: usize, delta: f64, single: bool, seed: u64) -> bool {
        let sound = |rung: &Rung| {
            rung.norm_sq > 0.0 && rung.norm_sq.is_finite() && rung.power.abs() < 2200 && rung.exponent >= 0
        };
        (self.d, self.single, self.seed) == (d, single, seed)
            && self.enough == -delta.ln()
            && self.rungs.len() <= RUNGS
            && self.vectors.len() == d * (self.rungs.len() + 2)
            && self.rungs.iter().all(sound)
            && self.rungs.is_sorted_by(|a, b| a.power == b.power + 1)
            && (self.energy >= 0.0 && self.energy.is_finite())
            && (self.largest >= 0.0 && self.largest.is_finite())
    }

    /// Takes rows in.
    pub fn absorb<T: Precision>(&mut self, chunk: &Chunk<'_, T>, room: &mut Room<T>) -> Result<()> {
        self.largest = chunk.norms.iter().fold(self.largest, |most, norm_sq| most.max(*norm_sq));
        self.energy += chunk.norms.iter().sum::<f64>();
        self.rows += chunk.len() as u64;
        if self.largest == 0.0 {
            return Ok(());
        }
        self.begin_and_end()?;
        let (g, m, d) = (self.rungs.len(), chunk.len(), self.d);
        let vectors = &self.vectors[..(g + 1) * d];
        T::round(vectors, &mut self.narrow)?;
        let mut steps = Steps::new(chunk, T::of_either(vectors, &self.narrow), g + 1, room)?;
        // w_0 stays; s takes what w_0 has along each row.
        let mut rates = zeros(g + 1, "rates")?;
        self.rungs.iter().enumerate().for_each(|(j, rung)| rates[j + 1] = rung.rate());
        let mut growth = zeros(g + 1, "growths")?;
        let first = crate::memory::collected(steps.along.iter().step_by(g + 1).copied(), "products")?;
        (0..m).for_each(|i| steps.step(i, &rates, &mut growth));
        for (row, first) in steps.along.chunks_exact_mut(g + 1).zip(first) {
            row.rotate_left(1);
            row[g] = first;
        }
        chunk.add_to(&mut self.vectors[d..], &steps.along, room)?;
        (0..g).for_each(|j| self.rungs[j].norm_sq += growth[j + 1]);
        (0..g).for_each(|j| self.shorten(j));
        Ok(())
    }

    /// Writes a long vector as a shorter one times a power of two.
    fn shorten(&mut self, j: usize) {
        let norm_sq = self.rungs[j].norm_sq;
        if norm_sq < LARGE {
            return;
        }
        let power = exponent_of(norm_sq) / 2;
        let factor = times_power_of_two(1.0, -power);
        self.rungs[j].norm_sq *= factor * factor;
        self.rungs[j].exponent += i64::from(power);
        self.vectors[(j + 1) * self.d..][..self.d].iter_mut().for_each(|number| *number *= factor);
    }

    /// Begins the rungs at whose rates the rows so far count, and ends those that one row makes grow, or that have grown
    /// above one that has.
    fn begin_and_end(&mut self) -> Result<()> {
        let limit = |power: i32| times_power_of_two(self.largest, power) <= ONE_ROW;
        let mut next = self.next.unwrap_or_else(|| exponent_of(ONE_ROW) - exponent_of(self.largest) + 1);
        let mut new = Vec::new();
        while next > LEAST && times_power_of_two(self.energy, next) >= BEGINS {
            if limit(next) && new.len() < RUNGS {
                push(&mut new, next, "rungs")?;
            }
            next -= 1;
        }
        self.next = Some(next);
        let grown = |j: usize| self.rungs.get(j).is_some_and(|rung| rung.growth() >= self.enough);
        let stays = |j: usize| limit(self.rungs[j].power) && !(grown(j) && grown(j + 1));
        let former = self.rungs.len();
        // The largest rates go first.
        let fit = former.saturating_sub(RUNGS - new.len());
        let kept = crate::memory::collected((fit..former).filter(|&j| stays(j)), "rungs")?;
        if kept.len() < former || !new.is_empty() { self.rebuild(&kept, &new) } else { Ok(()) }
    }

    /// The rungs of these numbers, and new ones at smaller rates.
    fn rebuild(&mut self, kept: &[usize], new: &[i32]) -> Result<()> {
        let (d, count) = (self.d, kept.len() + new.len());
        let mut vectors = Numbers::zeros(d * (count + 2))?;
        let (start, sum) = (&self.vectors[..d], &self.vectors[self.vectors.len() - d..]);
        vectors[..d].copy_from_slice(start);
        vectors[(count + 1) * d..].copy_from_slice(sum);
        for (to, &j) in vectors[d..].chunks_exact_mut(d).zip(kept) {
            to.copy_from_slice(&self.vectors[(j + 1) * d..][..d]);
        }
        for (to, &power) in vectors[(kept.len() + 1) * d..].chunks_exact_mut(d).zip(new) {
            for (to, (start, sum)) in to.iter_mut().zip(start.iter().zip(sum)) {
                *to = times_power_of_two(*sum, power) + start;
            }
        }
        let mut rungs = crate::memory::room_for(count, "rungs")?;
        extend(&mut rungs, kept.iter().map(|&j| self.rungs[j]), "rungs")?;
        for (j, &power) in new.iter().enumerate() {
            let norm_sq = norm_sq(&vectors[(kept.len() + j + 1) * d..][..d]);
            push(&mut rungs, Rung { power, norm_sq, exponent: 0 }, "rungs")?;
        }
        (self.vectors, self.rungs) = (vectors, rungs);
        Ok(())
    }

    /// The rung of the smallest rate that has grown enough, or of all the one that has grown most.
    fn chosen(&self) -> Option<usize> {
        let growth = |&a: &usize, &b: &usize| self.rungs[a].growth().total_cmp(&self.rungs[b].growth());
        let enough = (0..self.rungs.len()).rev().find(|&j| self.rungs[j].growth() >= self.enough);
        enough.or_else(|| (0..self.rungs.len()).max_by(growth))
    }

    /// What answers, if any row came.
    pub fn grown(&self) -> Option<Grown> {
        let rung = self.rungs[self.chosen()?];
        let growth = rung.growth();
        Some(Grown { growth, rate: rung.rate(), enough: growth >= self.enough })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// L, 1 x d, with L'L = λ v v' for the direction v of the chosen rung and λ what its growth says.
    pub fn factor(&self) -> Result<Numbers> {
        let Some(j) = self.chosen() else { return Numbers::zeros(0) };
        let rung = self.rungs[j];
        let value = ((rung.growth() + 0.5 * (self.d as f64).ln()) / rung.rate()).max(0.0);
        let mut factor = Numbers::zeros(self.d)?;
        factor.copy_from_slice(&self.vectors[(j + 1) * self.d..][..self.d]);
        let length = norm(&factor);
        factor.scale(value.sqrt() / length);
        Ok(factor)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.vectors.len() + self.narrow.len().div_ceil(2)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        let power = -2 * exponent_of(factor);
        self.rungs.iter_mut().for_each(|rung| rung.power += power);
        self.next = self.next.map(|next| next + power);
        self.energy *= factor * factor;
        self.largest *= factor * factor;
        let from = self.vectors.len() - self.d;
        self.vectors[from..].iter_mut().for_each(|sum| *sum *= factor * factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::testing::{exact, spiked};

    fn climbed(rows: &[f64], d: usize) -> Ladder {
        let mut ladder = Ladder::new(d, 0.01, false, 3).unwrap();
        for piece in rows.chunks(32 * d) {
            let m = piece.len() / d;
            let norms: Vec<f64> = piece.chunks_exact(d).map(|row| row.iter().map(|x| x * x).sum()).collect();
            let roots = vec![1.0; m];
            ladder.absorb(&Chunk::dense(piece, d, &norms, &roots), &mut Room::default()).unwrap();
            assert!(ladder.fits(d, 0.01, false, 3));
        }
        ladder
    }

    #[test]
    fn growth_certifies_every_rung_in_any_order() {
        let (n, d) = (600, 25);
        for seed in 0..4 {
            let (signal, noise) = (spiked(n / 4, d, 6.0, seed), spiked(n, d, 0.0, seed + 50));
            for rows in [[&signal[..], &noise].concat(), [&noise[..], &signal].concat()] {
                let ladder = climbed(&rows, d);
                let (values, vectors) = exact(&rows, d);
                for (j, rung) in ladder.rungs.iter().enumerate() {
                    let w = &ladder.vectors[(j + 1) * d..][..d];
                    let along: f64 = w.iter().zip(vectors.col(0)).map(|(a, b)| a * b).sum();
                    let sine = (1.0 - (along / norm(w)).powi(2)).max(0.0).sqrt();
                    let bound = (rung.rate() * values[1] / 2.0).sqrt() + 1.05 * (-rung.growth()).exp();
                    assert!(sine <= bound, "{j}: {sine} {bound}");
                    let length = norm(w) * 2f64.powi(rung.exponent as i32);
                    assert!((length.ln() - rung.growth()).abs() < 1e-9 * (1.0 + rung.growth().abs()));
                }
            }
        }
    }

    #[test]
    fn a_rung_that_has_grown_answers() {
        let (n, d) = (3000, 25);
        let rows = spiked(n, d, 6.0, 9);
        let ladder = climbed(&rows, d);
        let grown = ladder.grown().unwrap();
        assert!(grown.enough);
        let (values, vectors) = exact(&rows, d);
        let factor = ladder.factor().unwrap();
        let along: f64 = factor.iter().zip(vectors.col(0)).map(|(a, b)| a * b).sum();
        assert!((along / norm(&factor)).powi(2) > 0.9);
        assert!((0.5..2.0).contains(&(norm(&factor).powi(2) / values[0])));
        let noise = climbed(&spiked(300, d, 0.0, 4), d).grown().unwrap();
        assert!(noise.rate > grown.rate);
    }
}
