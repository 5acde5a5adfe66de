//! Samples of rows by root leverage, in two halves.

use super::design::Design;
use super::tiles::{Gathered, Normal, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::linalg::product;
use crate::matrix::{Buffer, Real};
use crate::memory::{push, reset, resize};
use crate::parallel::Context;
use crate::random::Stream;
use std::ops::Range;

/// Two samples, and the scores of all rows that they are drawn by.
pub(super) struct Halves {
    pub rows: [Gathered; 2],
    /// Roots of leverages.
    pub scores: Buffer<f64>,
    /// The sum of all rows.
    pub whole: Glob,
}

/// The sum of some rows, and of their targets.
pub(super) struct Glob {
    pub row: Vec<f64>,
    pub target: f64,
}

/// What the random numbers are for.
const HALVES: u8 = 0x6c;
/// Times that probabilities are scaled up for those that came out above one.
const SCALINGS: usize = 30;

/// About `size` rows in two halves.
pub(super) fn halves<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    normal: &Normal,
    size: f64,
    seed: u64,
) -> Result<Halves> {
    let (scores, whole) = root_leverages(context, design, normal)?;
    let n = design.rows_of_data();
    let factor = factor_for(context, &scores[..n], size)?;
    let stream = Stream::new(seed, 0, HALVES);
    let (mut rows, mut factors) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut words: [Vec<u32>; 4] = Default::default();
    for piece in context.pieces(0..n) {
        let piece: Range<usize> = piece?;
        for words in &mut words {
            reset(words, piece.len(), PURPOSE)?;
        }
        let [first, second, third, fourth] = &mut words;
        stream.words_of_rows(piece.start as u64, 0, [first, second, third, fourth]);
        for (k, row) in piece.enumerate() {
            let probability = (factor * scores[row]).min(1.0);
            if uniform(words[0][k]) < probability {
                let half = (words[1][k] & 1) as usize;
                push(&mut rows[half], row, PURPOSE)?;
                push(&mut factors[half], probability.recip(), PURPOSE)?;
            }
        }
    }
    for row in n..design.nrows() {
        for half in 0..2 {
            push(&mut rows[half], row, PURPOSE)?;
            push(&mut factors[half], 0.5, PURPOSE)?;
        }
    }
    let [one, other] =
        [0, 1].map(|half| Gathered::new(context, design.gather(context, &rows[half], Some(&factors[half]))?));
    Ok(Halves { rows: [one?, other?], scores, whole })
}

/// Roots of the leverages of all rows, and the sum of these.
fn root_leverages(context: &Context, tiles: &dyn Tiles, normal: &Normal) -> Result<(Buffer<f64>, Glob)> {
    let (w, d) = (normal.whitener()?, tiles.ncols());
    let inverse = product(w.as_ref(), w.as_ref().t())?;
    let mut scores = Buffer::zeros(tiles.nrows(), "scores of rows")?;
    let mut states = in_blocks(tiles, &mut scores)?;
    let begin = || Ok((Sums::new(d, false, 1)?, 0.0, [Vec::new(), Vec::new()]));
    let parts = pass(context, tiles, &mut states, begin, |part, scores: &mut &mut [f64], tile| {
        let (sums, target, [norms, ones]) = part;
        reset(norms, tile.depth(), PURPOSE)?;
        tile.put_squared_norms(&w, &inverse, norms);
        let scores = &mut scores[tile.number * tile.height..][..tile.rows.len()];
        scores.iter_mut().zip(&*norms).for_each(|(score, norm)| *score = norm.sqrt());
        resize(ones, tile.depth(), 1.0, PURPOSE)?;
        sums.add_vector(tile, 0, ones);
        *target += tile.target.iter().sum::<f64>();
        Ok(())
    })?;
    let row = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1.pop().unwrap_or_default();
    let target = parts.iter().map(|(_, target, _)| target).sum();
    drop(states);
    Ok((scores, Glob { row, target }))
}

/// c with sum of min(1, c score) = size, if there are as many rows that have any.
fn factor_for(context: &Context, scores: &[f64], size: f64) -> Result<f64> {
    let mut factor = 0.0;
    for _ in 0..SCALINGS {
        let (mut certain, mut sum) = (0.0, 0.0);
        for rows in context.pieces(0..scores.len()) {
            for &score in &scores[rows?] {
                if factor * score >= 1.0 { certain += 1.0 } else { sum += score }
            }
        }
        let next = if sum > 0.0 { (size - certain).max(0.0) / sum } else { factor };
        if next <= factor {
            break;
        }
        factor = next;
    }
    Ok(factor)
}

/// Uniform in (0, 1).
fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4294967296.0
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared};
    use super::*;

    #[test]
    fn scores_are_roots_of_leverages_and_samples_are_of_the_size_asked_for() {
        let instance = Instance::new(5000, 4, 2);
        let problem = instance.full(false);
        let (prepared, context) = (prepared(&problem, 1.0), Context::new(2));
        let design = &prepared.design;
        let (scores, whole) = root_leverages(&context, design, &prepared.normal).unwrap();
        assert!((whole.target - design.target().iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!(whole.row.len(), 5);
        assert!((scores.iter().map(|score| score * score).sum::<f64>() - 5.0).abs() < 1e-9);
        assert!(
            scores.iter().zip(&instance.weights).all(|(score, weight)| (*score > 0.0) == (*weight > 0.0))
        );
        let found = halves(&context, design, &prepared.normal, 900.0, 3).unwrap();
        let sizes = found.rows.each_ref().map(|half| half.nrows() as f64 - 8.0);
        assert!((sizes[0] + sizes[1] - 900.0).abs() < 4.0 * 30.0, "{sizes:?}");
        assert!((sizes[0] - sizes[1]).abs() < 4.0 * 30.0);
        let again = halves(&Context::new(3), design, &prepared.normal, 900.0, 3).unwrap();
        assert_eq!(found.rows[0].target(), again.rows[0].target());
    }

    #[test]
    fn probabilities_add_up_to_the_size() {
        let scores: Vec<f64> = (0..1000).map(|k| if k < 5 { 1e3 } else { 1.0 / (1 + k) as f64 }).collect();
        let context = Context::new(1);
        for size in [3.0, 50.0, 600.0] {
            let factor = factor_for(&context, &scores, size).unwrap();
            let sum: f64 = scores.iter().map(|score| (factor * score).min(1.0)).sum();
            assert!((sum / size - 1.0).abs() < 1e-9, "{sum} for {size}");
        }
        assert!(factor_for(&context, &scores, 2000.0).unwrap().is_finite());
        assert_eq!(factor_for(&context, &[0.0; 4], 2.0).unwrap(), 0.0);
    }
}
