//! Two streams become one.
//!
//! Exact for `gram` and `sketch`, with its guarantee for Frequent Directions. Elsewhere the light rows of each are what its
//! summary says of them: with the exact top pair of each of m parts, stacked, sin(u, v_1) <= m / (R - m - 1).

use crate::error::{Error, Result};
use crate::parallel::Context;
use crate::simd::{dot, norm_sq};
use crate::streaming::params::{Algorithm, Params};
use crate::streaming::rows::chunk::{Chunk, LATER};
use crate::streaming::rows::mean::{Total, root_of_harmonic};
use crate::streaming::rows::order::Rates;
use crate::streaming::small::numbers::Numbers;
use crate::streaming::stream::{Stream, Work};
use crate::streaming::summaries::summary::{Rooms, Summary};

impl Stream {
    /// One stream of the rows of both, those of this one first.
    pub fn merged(&self, context: &Context, other: &Self, approximate: bool) -> Result<Self> {
        let climbs = |stream: &Self| matches!(stream.summary, Summary::Ladder(_));
        if approximate && (climbs(self) || climbs(other)) {
            return self.as_block_power(context)?.merged(context, &other.as_block_power(context)?, true);
        }
        let seed =
            if matches!(self.summary, Summary::Sketch(_)) { other.params.seed } else { self.params.seed };
        if (Params { seed, ..self.params }) != (Params { seed, single: self.params.single, ..other.params })
            || seed != self.params.seed
            || self.plan != other.plan
        {
            return Err(Error::value("other", "a stream with other parameters", "one with the same"));
        }
        // What has only few rows is still made of them.
        for (few, many) in [(other, self), (self, other)] {
            let mut last = few.copy()?;
            if let Some(rows) = last.few_rows(context)? {
                let mut merged = many.copy()?;
                merged.add_prepared(context, &last, &rows.rows, &rows.roots)?;
                return Ok(merged);
            }
        }
        let (mut merged, mut last) = (self.copy()?, other.copy()?);
        last.few_rows(context)?;
        last.sum_up_the_rest(context)?;
        merged.join(context, last)?;
        Ok(merged)
    }

    /// Takes in another stream whose rows are all summed up.
    fn join(&mut self, context: &Context, mut other: Self) -> Result<()> {
        let (mine, theirs) = (self.unit.unwrap_or(0), other.unit.unwrap_or(0));
        if mine != theirs || self.unit.is_some() != other.unit.is_some() {
            let unit = mine.max(theirs);
            self.use_unit(unit);
            other.use_unit(unit);
        }
        if self.shift.is_none() {
            self.shift = other.shift.as_ref().map(Numbers::copy).transpose()?;
        }
        let moved = other.moved_by(self)?;
        let [more, cancelled] = other.energy_of_moving(&moved)?;
        other.energy = (other.energy + more).max(0.0);
        self.cancelled += other.cancelled + cancelled;
        self.energy += other.energy;
        self.weights.iter_mut().zip(other.weights).for_each(|(own, other)| *own += other);
        let many = || Error::value("other", "so many rows that they cannot be counted", "fewer than 2^63");
        self.seen = self.seen.checked_add(other.seen).filter(|seen| *seen < LATER).ok_or_else(many)?;
        self.taken += other.taken;
        // Rows of one part may be longer than those of the other.
        self.norms = Rates::default();
        self.n_merged += 1 + other.n_merged;
        self.summary.merge(context, &other.summary)?;
        if let (Some(mine), Some(theirs)) = (&mut self.total, &mut other.total) {
            theirs.moved(&moved);
            let between = mine.join(theirs)?;
            mine.forget_order();
            if let Some(between) = between {
                let norms = [norm_sq(&between)];
                let row = Chunk { first: LATER, ..Chunk::dense(&between, self.plan.d, &norms, &[0.0]) };
                if norms[0] > 0.0 && self.summary.is_centred() {
                    self.summary.absorb(context, &row, self.params.single, &mut Rooms::default())?;
                }
            }
        }
        let (mut rows, roots) = (other.heavy.copy_of_rows()?, other.heavy.roots()?);
        for (row, root) in rows.chunks_exact_mut(self.plan.d.max(1)).zip(&roots) {
            row.iter_mut().zip(moved.iter()).for_each(|(number, moved)| *number += root * moved);
        }
        self.sum_up(context, &rows, &roots, LATER, &mut Work::default())
    }

    /// The stream with what its ladder says in the place of the ladder.
    fn as_block_power(&self, context: &Context) -> Result<Self> {
        let Summary::Ladder(ladder) = &self.summary else { return self.copy() };
        let mut same =
            Self::new(context, Params { algorithm: Algorithm::BlockPower, ..self.params }, self.plan.d)?;
        let former = self.copy()?;
        (same.held, same.pending) = (former.held, former.pending);
        if former.taken > 0 {
            same.exact = former.exact;
            same.begin(context)?;
        }
        (same.shift, same.unit, same.total) = (former.shift, former.unit, former.total);
        (same.seen, same.taken) = (former.seen, former.taken);
        (same.energy, same.cancelled, same.weights) = (former.energy, former.cancelled, former.weights);
        (same.n_merged, same.deleted) = (former.n_merged, former.deleted);
        if former.taken > 0 {
            same.summary.begin_with(context, &ladder.factor()?, ladder.rows())?;
        }
        let (rows, roots) = (self.heavy.copy_of_rows()?, self.heavy.roots()?);
        same.sum_up(context, &rows, &roots, LATER, &mut Work::default())?;
        Ok(same)
    }

    /// What squared norms are more, together, once all rows are so much more; and how large the numbers are that this is the
    /// difference of.
    fn energy_of_moving(&self, by: &[f64]) -> Result<[f64; 2]> {
        let Some(total) = &self.total else { return Ok([0.0; 2]) };
        let mut all = total.copy()?;
        let (rows, roots) = (self.heavy.copy_of_rows()?, self.heavy.roots()?);
        rows.chunks_exact(self.plan.d.max(1)).zip(&roots).for_each(|(row, &root)| all.add(row, root));
        let (across, along) = (2.0 * dot(by, &all.sum), all.weight * norm_sq(by));
        Ok([across + along, across.abs() + along])
    }

    /// How far rows less this stream's shift are from rows less another one's, in the unit of both.
    fn moved_by(&self, other: &Self) -> Result<Numbers> {
        let mut moved = Numbers::zeros(self.plan.d)?;
        if let (Some(mine), Some(theirs)) = (&self.shift, &other.shift) {
            let unit = self.unit.unwrap_or(0);
            for (k, number) in moved.iter_mut().enumerate() {
                *number = crate::linalg::times_power_of_two(mine[k] - theirs[k], -unit);
            }
        }
        Ok(moved)
    }
}

impl Total {
    /// Of rows that are all so much more.
    fn moved(&mut self, by: &[f64]) {
        let weight = self.weight;
        self.sum.iter_mut().zip(by).for_each(|(sum, by)| *sum += weight * by);
    }

    /// Takes in another sum; the row that stands for how far the two means are apart.
    fn join(&mut self, other: &Self) -> Result<Option<Numbers>> {
        let mut between = None;
        if self.weight > 0.0 && other.weight > 0.0 {
            let root = root_of_harmonic(self.weight, other.weight);
            let (mut row, theirs) = (self.mean()?, other.mean()?);
            row.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine = root * (*mine - theirs));
            between = Some(row);
        }
        self.sum.iter_mut().zip(other.sum.iter()).for_each(|(sum, other)| *sum += other);
        self.weight += other.weight;
        Ok(between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};
    use crate::streaming::testing::{answered, correlation, params, spiked};

    fn stream(params: Params, rows: &[f64], d: usize) -> Stream {
        let context = Context::new(1);
        let mut stream = Stream::new(&context, params, d).unwrap();
        stream.add(&context, Matrix::Dense(Dense::row_major(rows, rows.len() / d, d)), None).unwrap();
        stream
    }

    #[test]
    fn two_halves_are_as_good_as_a_whole() {
        let (n, d) = (4000, 30);
        let context = Context::new(1);
        use Algorithm::{BlockPower, FrequentDirections, Gram, Incremental, Mixed, Oja, Sketch};
        let mut rows = spiked(n, d, 5.0, 3);
        rows.iter_mut().enumerate().for_each(|(at, x)| *x += if at < n * d / 2 { 1.0 } else { 9.0 });
        let mut centred = rows.clone();
        for j in 0..d {
            let mean = rows.iter().skip(j).step_by(d).sum::<f64>() / n as f64;
            centred.iter_mut().skip(j).step_by(d).for_each(|x| *x -= mean);
        }
        for algorithm in [BlockPower, Incremental, Mixed, Oja, FrequentDirections, Sketch, Gram] {
            for (center, truth) in [(false, &rows), (true, &centred)] {
                let params = Params { center, ..params(algorithm) };
                let whole = answered(params, &rows, d, n);
                for cut in [1700, 20, 3990] {
                    let (one, two) =
                        (stream(params, &rows[..cut * d], d), stream(params, &rows[cut * d..], d));
                    let merged = one.merged(&context, &two, true).unwrap();
                    assert!(merged.fits(), "{algorithm:?}");
                    assert_eq!(merged.seen(), n as u64);
                    let answer = merged.answer(&context).unwrap();
                    let least = if algorithm == Oja { 0.8 } else { 0.98 };
                    let found = correlation(&answer, truth, d);
                    assert!(found > least, "{algorithm:?} {center} {cut} {found}");
                    assert!((answer.energy / whole.energy - 1.0).abs() < 1e-9);
                    if matches!(algorithm, Gram | Sketch) {
                        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
                        assert!(answer.components.iter().zip(&whole.components).all(close), "{algorithm:?}");
                        assert!((answer.eigenvalues[0] / whole.eigenvalues[0] - 1.0).abs() < 1e-9);
                    }
                    if let (Some(one), Some(two)) = (&answer.mean, &whole.mean) {
                        assert!(one.iter().zip(two).all(|(a, b)| (a - b).abs() < 1e-9));
                    }
                }
            }
        }
    }

    #[test]
    fn few_and_few_are_exact_whatever_their_units() {
        let (d, context) = (6, Context::new(1));
        let mut rows = spiked(50, d, 1.0, 3);
        rows[20 * d..].iter_mut().for_each(|x| *x *= 2f64.powi(400));
        let params = params(Algorithm::Mixed);
        let whole = answered(params, &rows, d, 50);
        let (one, two) = (stream(params, &rows[..20 * d], d), stream(params, &rows[20 * d..], d));
        for merged in [one.merged(&context, &two, false), two.merged(&context, &one, false)] {
            let answer = merged.unwrap().answer(&context).unwrap();
            assert!(answer.exact && (answer.eigenvalues[0] / whole.eigenvalues[0] - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_cannot_be_merged_says_so() {
        let (d, context) = (6, Context::new(1));
        let rows = spiked(300, d, 1.0, 3);
        let of = |algorithm| stream(params(algorithm), &rows, d);
        assert!(of(Algorithm::Oja).merged(&context, &of(Algorithm::Oja), false).is_err());
        assert!(of(Algorithm::AdaOja).merged(&context, &of(Algorithm::AdaOja), true).is_err());
        assert!(of(Algorithm::Gram).merged(&context, &of(Algorithm::Sketch), true).is_err());
    }
}
