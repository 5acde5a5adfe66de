//! Entries that count less the farther they are off: Huber's loss by weights.
//!
//! Σ ρ(e), where ρ(e) is e² up to |e| = δ and 2 δ |e| - δ² beyond, is touched from above by Σ w e² + constant with the
//! weights w = min(1, δ / |e|) of the present errors: a sweep with these weights makes it smaller (Holland and Welsch, 1977).
//! δ is 1.345 standard deviations of errors from a normal distribution, by their median magnitude.
//!
//! Entries that are held out count by w², so that what is judged by them is the mean of the lesser of e² and δ²: with w alone
//! gross errors, in proportion to their size, would still be most of it.

use super::errors::Tile;
use super::factors::Factor;
use super::observations::{Lines, Observations, Part};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::matrix::blocks_by_cost;
use crate::memory::zeros;
use crate::parallel::Context;
use std::convert::identity;

/// Standard deviations to δ.
pub const DEVIATIONS: f64 = 1.345;
/// Median magnitudes to δ.
const TUNING: f64 = DEVIATIONS * 1.4826;
/// Bits of a magnitude in single precision that make no difference to the median.
const BLUR: u32 = 17;
/// Magnitudes that are told apart.
const CLASSES: usize = 1 << (31 - BLUR);
/// Entries of a block of lines, about.
const COST: usize = 1 << 18;
/// What memory is for.
const WEIGHTS: &str = "weights of observed entries";

/// The same with what nothing leaves of them: what nothing is known of is judged by its size.
pub fn reweigh_by_size<T: Scalar>(
    context: &Context,
    observed: &mut Observations<T>,
    fitted: Part,
) -> Result<f64> {
    let nothing = (Factor::zeros(observed.rows.count(), 1)?, Factor::zeros(observed.columns.count(), 1)?);
    reweigh(context, observed, fitted, (&nothing.0, &nothing.1))
}

/// Has the entries count as Huber's loss has it with what these factors leave of them, but for those that are not to be
/// `fitted` to; δ.
pub fn reweigh<T: Scalar>(
    context: &Context,
    observed: &mut Observations<T>,
    fitted: Part,
    (rows, columns): (&Factor<T>, &Factor<T>),
) -> Result<f64> {
    let median = median_magnitude(context, &observed.rows, (rows, columns))?;
    let delta = TUNING * median.max(4.0 * T::UNIT_ROUNDOFF);
    observed.rows.count_less(context, delta, fitted, (rows, columns))?;
    observed.columns.count_less(context, delta, fitted, (columns, rows))?;
    Ok(delta)
}

impl<T: Scalar> Lines<T> {
    /// Has entries whose error is above `delta` count by its share in that, or the square of it if they are not `fitted` to.
    pub fn count_less(
        &mut self,
        context: &Context,
        delta: f64,
        fitted: Part,
        factors: (&Factor<T>, &Factor<T>),
    ) -> Result<()> {
        let blocks = blocks_by_cost(self.matrix().ends(), COST)?;
        let mut roots: Vec<T> = zeros(self.matrix().nnz(), WEIGHTS)?;
        let mut rest = roots.as_mut_slice();
        let parts = blocks.iter().map(|block| {
            let stored = self.line(block.end - 1, Part::All).end - self.line(block.start, Part::All).start;
            rest.split_off_mut(..stored).unwrap_or_default()
        });
        let work = |tile: &mut Option<Tile<T>>, block: usize, out: &mut [T]| {
            let mut own = tile.take().map_or_else(|| Tile::new(factors.0.stride), Ok)?;
            let mut at = self.line(blocks[block].start, Part::All).start;
            let first = at;
            for line in blocks[block].clone() {
                let judges = self.line(line, fitted).end;
                own.visit(self, line, Part::All, factors, |_, errors| {
                    for error in errors {
                        let share = (delta / error.to_f64().abs()).min(1.0);
                        let weight = if at < judges { share } else { share * share };
                        out[at - first] = T::from_f64((self.given(at) * weight).sqrt());
                        at += 1;
                    }
                });
            }
            *tile = Some(own);
            Ok(())
        };
        context.map_parts(parts, || None, work)?.into_iter().try_for_each(identity)?;
        self.set_roots(roots);
        Ok(())
    }
}

/// The weighted median of the magnitudes of errors, to a hundredth of itself; those of entries that are held out do not count.
pub fn median_magnitude<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    factors: (&Factor<T>, &Factor<T>),
) -> Result<f64> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let mut counts: Vec<f64> = zeros(CLASSES, WEIGHTS)?;
    let work = |tile: &mut Option<Tile<T>>, block: usize| {
        let mut own = tile.take().map_or_else(|| Tile::new(factors.0.stride), Ok)?;
        let mut counts: Vec<f64> = zeros(CLASSES, WEIGHTS)?;
        for line in blocks[block].clone() {
            let mut at = lines.line(line, Part::Training).start;
            own.visit(lines, line, Part::Training, factors, |_, errors| {
                for error in errors {
                    let bits = (error.to_f64().abs() as f32).to_bits() >> BLUR;
                    counts[(bits as usize).min(CLASSES - 1)] += lines.given(at);
                    at += 1;
                }
            });
        }
        *tile = Some(own);
        Ok(counts)
    };
    let add = |part: Vec<f64>| counts.iter_mut().zip(part).for_each(|(count, part)| *count += part);
    context.fold_with(blocks.len(), || None, work, add)?;
    let half = counts.iter().sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (class, count) in counts.iter().enumerate() {
        if *count > 0.0 && below + count >= half {
            let [low, high] =
                [class, class + 1].map(|class| f64::from(f32::from_bits((class as u32) << BLUR)));
            return Ok(low + (high - low) * (half - below) / count);
        }
        below += count;
    }
    Ok(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};

    #[test]
    fn entries_count_by_what_they_are_off_on_both_sides_and_by_their_weights() {
        let (context, shape) = (Context::new(2), (70, 50));
        let mut cells = low_rank(shape, 2, 0.5, 1.0, 3);
        cells.iter_mut().step_by(10).for_each(|cell| cell.2 *= 100.0);
        let mut all = observed::<f64>(&context, shape, &cells);
        let (rows, columns) = (Factor::zeros(70, 3).unwrap(), Factor::zeros(50, 3).unwrap());
        let delta = reweigh(&context, &mut all, Part::All, (&rows, &columns)).unwrap();
        let mut sizes: Vec<f64> = all.rows.matrix().values().iter().map(|value| value.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let median = sizes[sizes.len() / 2];
        assert!((delta / (TUNING * median) - 1.0).abs() < 0.02, "{delta} {median}");
        for lines in [&all.rows, &all.columns] {
            let (values, count) = (lines.matrix().values().to_vec(), lines.matrix().nnz());
            let roots = lines.roots(0..count).unwrap();
            for (root, value) in roots.iter().zip(&values) {
                assert!((root * root - (delta / value.abs()).min(1.0)).abs() < 1e-12);
            }
            assert!(roots.iter().filter(|&&root| root < 0.5).count() * 20 > count);
            assert_eq!(lines.degree(3, Part::All), lines.line(3, Part::All).len() as f64);
        }
        let mut other = observed::<f64>(&Context::new(1), shape, &cells);
        reweigh(&Context::new(1), &mut other, Part::All, (&rows, &columns)).unwrap();
        let count = all.rows.matrix().nnz();
        assert_eq!(all.rows.roots(0..count), other.rows.roots(0..count));
        // What is held out, behind the others of its line, counts by the square.
        other.hold_out(&context, 0.3, 1).unwrap();
        let delta = reweigh(&context, &mut other, Part::Training, (&rows, &columns)).unwrap();
        for lines in [&other.rows, &other.columns] {
            for line in 0..lines.count() {
                for (part, power) in [(Part::Training, 1), (Part::HeldOut, 2)] {
                    lines.visit(line, part, |_, value, weight| {
                        assert!((weight - (delta / value.abs()).min(1.0).powi(power)).abs() < 1e-12);
                    });
                }
            }
        }
    }
}
