//! Rows drawn with probabilities that grow with their scores.
//!
//! Every row has a permanent random number u_i in (0, 1), a function of the seed and of its number alone, with 53 bits.
//! Whoever draws more rows, by the same scores, therefore draws those again that he had, and nothing depends on threads
//! or on how rows come.
//!
//! | design | rows | weight of row i |
//! |---|---|---|
//! | Bernoulli | those with u_i < q_i, q_i = min(1, c g_i), c such that the q_i add up to the size | 1 / q_i |
//! | fixed | those with the m smallest u_i / g_i | 1 / min(1, tau g_i), tau the next of these ratios |
//! | iid | m draws with probability p_i, that of g_i among all | how often over m p_i |
//!
//! Sums over rows keep their expectation under all three (for the second: Duffield, Lund and Thorup, J. ACM 54, 2007).

use crate::error::{Error, Result};
use crate::linalg::{exponent_of, times_power_of_two};
use crate::matrix::{even_blocks, power_of_two_below};
use crate::memory::{collected, extend, push, zeros};
use crate::parallel::Context;
use crate::random::Stream;

/// How rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Each for itself.
    Bernoulli,
    /// Exactly so many.
    Fixed,
    /// With replacement; rows that come several times are one row.
    Iid,
}

/// Rows and their weights.
#[derive(Debug, Default)]
pub struct Drawn {
    /// In increasing order.
    pub indices: Vec<usize>,
    /// For each of them.
    pub weights: Vec<f64>,
    /// Number that was to be expected: of draws for those with replacement.
    pub expected: f64,
}

/// Of the permanent numbers of rows, and of independent draws.
pub(crate) const PERMANENT: u8 = 0x72;
const INDEPENDENT: u8 = 0x73;
/// What memory is for.
const ROWS: &str = "a sample of rows";
/// Rows of a block, and those whose numbers are made at once.
const BLOCK: usize = 1 << 16;
const CHUNK: usize = 1 << 10;
/// Exponent of the largest score where others are far below: that of 1e150.
const HIGH: i32 = 498;

/// Draws about `size` rows by scores that are not negative, not all of them zero.
pub fn draw(context: &Context, scores: &[f64], size: usize, design: Draw, seed: u64) -> Result<Drawn> {
    let positive = scores.iter().filter(|&&score| score > 0.0).count();
    if positive == 0 {
        return Err(Error::value("scores", "zero everywhere", "a positive score"));
    }
    let scaled = in_range(scores)?;
    let scores = scaled.as_deref().unwrap_or(scores);
    match design {
        Draw::Iid => independent(context, scores, size, seed),
        _ if positive <= size => everything(scores, positive),
        Draw::Bernoulli => bernoulli(context, scores, size, seed),
        Draw::Fixed => fixed(context, scores, size, seed),
    }
}

/// The scores by a power of two, such that neither they nor their reciprocals or ratios to random numbers leave the range
/// of numbers; `None` where they do not as they are.
fn in_range(scores: &[f64]) -> Result<Option<Vec<f64>>> {
    const PLAIN: std::ops::Range<f64> = 1e-150..1e150;
    if scores.iter().all(|score| *score == 0.0 || PLAIN.contains(score)) {
        return Ok(None);
    }
    let largest = exponent_of(power_of_two_below(scores.iter().copied().fold(0.0, f64::max)));
    collected(scores.iter().map(|&score| times_power_of_two(score, HIGH - largest)), ROWS).map(Some)
}

/// Rows of which none is left out.
fn everything(scores: &[f64], positive: usize) -> Result<Drawn> {
    let rows = (0..scores.len()).filter(|&i| scores[i] > 0.0);
    let indices = collected(rows, ROWS)?;
    let weights = collected(indices.iter().map(|_| 1.0), ROWS)?;
    Ok(Drawn { indices, weights, expected: positive as f64 })
}

fn bernoulli(context: &Context, scores: &[f64], size: usize, seed: u64) -> Result<Drawn> {
    let rate = rate(context, scores, size as f64)?;
    let stream = Stream::new(seed, 0, PERMANENT);
    let blocks = even_blocks(scores.len(), BLOCK)?;
    let parts = context.map(blocks.len(), |block| {
        let mut kept = Drawn::default();
        for_numbers(&stream, blocks[block].clone(), |i, number| {
            let share = (rate * scores[i]).min(1.0);
            if number < share {
                push(&mut kept.indices, i, ROWS)?;
                push(&mut kept.weights, share.recip(), ROWS)?;
            }
            Ok(())
        })?;
        Ok(kept)
    })?;
    let mut drawn = Drawn { expected: size as f64, ..Drawn::default() };
    for part in parts {
        let part: Drawn = part?;
        extend(&mut drawn.indices, part.indices, ROWS)?;
        extend(&mut drawn.weights, part.weights, ROWS)?;
    }
    Ok(drawn)
}

/// c such that min(1, c g) add up to `size`, of more positive scores than that: scores that come to 1 are set apart, and
/// the rest shares what is left, until no other comes to it.
pub(crate) fn rate(context: &Context, scores: &[f64], size: f64) -> Result<f64> {
    let largest = scores.iter().copied().fold(0.0, f64::max);
    let unit = 2f64.powi(HIGH) / power_of_two_below(largest);
    let (mut rate, mut apart) = (0.0, 0usize);
    loop {
        let (mut count, mut rest) = (0usize, 0.0);
        for rows in context.pieces(0..scores.len()) {
            for &score in &scores[rows?] {
                let score = score * unit;
                if rate * score >= 1.0 { count += 1 } else { rest += score }
            }
        }
        if (rate > 0.0 && count <= apart) || rest == 0.0 {
            return Ok(rate * unit);
        }
        (apart, rate) = (count, (size - count as f64) / rest);
    }
}

fn fixed(context: &Context, scores: &[f64], size: usize, seed: u64) -> Result<Drawn> {
    let stream = Stream::new(seed, 0, PERMANENT);
    let mut ratios: Vec<(f64, usize)> = Vec::new();
    for block in even_blocks(scores.len(), BLOCK)? {
        context.tick()?;
        for_numbers(&stream, block, |i, number| match scores[i] {
            0.0 => Ok(()),
            score => push(&mut ratios, (number / score, i), ROWS),
        })?;
    }
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let (smaller, &mut (next, _), _) = ratios.select_nth_unstable_by(size, order);
    smaller.sort_unstable_by_key(|&(_, i)| i);
    let indices = collected(smaller.iter().map(|&(_, i)| i), ROWS)?;
    let weights = collected(indices.iter().map(|&i| (next * scores[i]).min(1.0).recip()), ROWS)?;
    Ok(Drawn { indices, weights, expected: size as f64 })
}

fn independent(context: &Context, scores: &[f64], size: usize, seed: u64) -> Result<Drawn> {
    let unit = power_of_two_below(scores.iter().copied().fold(0.0, f64::max)).recip();
    let mut ends = Vec::new();
    let mut total = 0.0;
    for rows in context.pieces(0..scores.len()) {
        for &score in &scores[rows?] {
            total += score * unit;
            push(&mut ends, total, ROWS)?;
        }
    }
    let last = scores.iter().rposition(|&score| score > 0.0).unwrap_or(0);
    let stream = Stream::new(seed, 0, INDEPENDENT);
    let mut counts: Vec<usize> = zeros(scores.len(), ROWS)?;
    for draws in context.pieces(0..size) {
        for_numbers(&stream, draws?, |_, number| {
            counts[ends.partition_point(|&end| end <= number * total).min(last)] += 1;
            Ok(())
        })?;
    }
    let mut drawn = Drawn { expected: size as f64, ..Drawn::default() };
    for rows in context.pieces(0..counts.len()) {
        for i in rows?.filter(|&i| counts[i] > 0) {
            let share = scores[i] * unit / total;
            push(&mut drawn.indices, i, ROWS)?;
            push(&mut drawn.weights, counts[i] as f64 / (size as f64 * share), ROWS)?;
        }
    }
    Ok(drawn)
}

/// `take(i, u_i)` for some rows.
pub(crate) fn for_numbers(
    stream: &Stream,
    rows: std::ops::Range<usize>,
    mut take: impl FnMut(usize, f64) -> Result<()>,
) -> Result<()> {
    let mut words = [[0u32; CHUNK]; 4];
    for first in rows.clone().step_by(CHUNK) {
        let count = CHUNK.min(rows.end - first);
        stream.words_of_rows(first as u64, 0, words.each_mut().map(|lane| &mut lane[..count]));
        for k in 0..count {
            take(first + k, number_of(words[0][k], words[1][k]))?;
        }
    }
    Ok(())
}

/// Number `draw` of a row, alike.
pub(crate) fn uniform(stream: &Stream, row: u64, draw: u32) -> f64 {
    let [high, low, ..] = stream.words(row, draw);
    number_of(high, low)
}

/// Uniform in (0, 1), an odd multiple of 2^-54.
fn number_of(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    (bits as f64 + 0.5) * 2f64.powi(-53)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of them zero, some so large that they are always kept.
    fn scores(n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| if i % 11 == 3 { 0.0 } else { 1e-3 * (1 + i % 7) as f64 + f64::from(i % 400 == 0) })
            .collect()
    }

    #[test]
    fn shares_add_up_to_the_size() {
        let context = Context::new(1);
        for size in [1.0, 20.0, 300.0, 2500.0, 3600.0] {
            let scores = scores(4000);
            let rate = rate(&context, &scores, size).unwrap();
            let sum: f64 = scores.iter().map(|g| (rate * g).min(1.0)).sum();
            assert!((sum - size).abs() < 1e-9 * size, "{sum} for {size}");
            let huge: Vec<f64> = scores.iter().map(|g| g * 1e306).collect();
            assert!((super::rate(&context, &huge, size).unwrap() * 1e306 / rate - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn samples_are_nested_whatever_the_threads() {
        let scores = scores(300_000);
        for design in [Draw::Bernoulli, Draw::Fixed] {
            let [small, large] = [500, 1000].map(|m| draw(&Context::new(1), &scores, m, design, 7).unwrap());
            assert!(small.indices.iter().all(|i| large.indices.binary_search(i).is_ok()));
            assert!(small.indices.iter().all(|&i| scores[i] > 0.0) && small.indices.is_sorted());
            let again = draw(&Context::new(3), &scores, 500, design, 7).unwrap();
            assert_eq!((again.indices, again.weights), (small.indices, small.weights));
            let other = draw(&Context::new(1), &scores, 1000, design, 8).unwrap();
            assert_ne!(other.indices, large.indices);
        }
        assert_eq!(draw(&Context::new(1), &scores, 777, Draw::Fixed, 1).unwrap().indices.len(), 777);
    }

    #[test]
    fn sums_are_right_on_average() {
        let scores = scores(3000);
        let value = |i: usize| 1.0 + ((i * 37) % 101) as f64;
        let truth: f64 = (0..3000).filter(|&i| scores[i] > 0.0).map(value).sum();
        for design in [Draw::Bernoulli, Draw::Fixed, Draw::Iid] {
            let sums: Vec<f64> = (0..600)
                .map(|seed| {
                    let drawn = draw(&Context::new(1), &scores, 200, design, seed).unwrap();
                    assert!((drawn.expected - 200.0).abs() < 1e-9);
                    drawn.indices.iter().zip(&drawn.weights).map(|(&i, weight)| value(i) * weight).sum()
                })
                .collect();
            let mean = sums.iter().sum::<f64>() / 600.0;
            let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 599.0;
            assert!((mean - truth).abs() < 4.0 * (variance / 600.0).sqrt(), "{design:?}: {mean} for {truth}");
        }
    }

    #[test]
    fn scores_at_the_ends_of_the_range_draw_as_their_ratios_do() {
        let context = Context::new(1);
        for design in [Draw::Bernoulli, Draw::Fixed, Draw::Iid] {
            let of = |scores: &[f64]| draw(&context, scores, 50, design, 3).unwrap();
            let plain = of(&[1.0; 200]);
            for unit in [1e-320, 1e-308, 1e300] {
                let found = of(&[unit; 200]);
                assert_eq!(found.indices, plain.indices);
                let mut pairs = found.weights.iter().zip(&plain.weights);
                assert!(pairs.all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
            }
        }
        // The large ones are certain, and thirty of the others stand for 180.
        let scores: Vec<f64> = (0..200).map(|i| if i < 20 { 1.0 } else { 1e-312 }).collect();
        let found = draw(&context, &scores, 50, Draw::Fixed, 3).unwrap();
        assert!(found.indices[..20].iter().copied().eq(0..20) && found.indices.len() == 50);
        let sums = (0..200).map(|seed| {
            let found = draw(&context, &scores, 50, Draw::Fixed, seed).unwrap();
            found.weights.iter().sum::<f64>()
        });
        assert!((sums.sum::<f64>() / 200.0 - 200.0).abs() < 10.0);
        let found = draw(&context, &scores, 50, Draw::Bernoulli, 3).unwrap();
        assert!((30..75).contains(&found.indices.len()));
    }

    #[test]
    fn few_rows_are_all_kept_and_none_is_an_error() {
        let context = Context::new(1);
        for design in [Draw::Bernoulli, Draw::Fixed] {
            let all = draw(&context, &[0.0, 1.0, 1e-9, 0.0], 2, design, 1).unwrap();
            assert_eq!((all.indices, all.weights), (vec![1, 2], vec![1.0, 1.0]));
        }
        let one = draw(&context, &[0.0, 3.0, 0.0], 5, Draw::Iid, 1).unwrap();
        assert_eq!((one.indices, one.weights), (vec![1], vec![1.0]));
        assert!(draw(&context, &[0.0, 0.0], 1, Draw::Bernoulli, 1).is_err());
    }
}
