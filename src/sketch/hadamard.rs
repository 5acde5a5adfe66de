//! Hadamard sketches: pooled (PHT) and subsampled (SRHT).
//!
//! Rows enter in chunks of B = 2^q. Chunk c, its rows X_c times random signs, is transformed, and rows of
//! Z = H_B D_c X_c are added to rows of Y:
//!
//! | | addition | k | random |
//! |---|---|---|---|
//! | PHT | `Y[k mod m] += g_k Z[p_k]` | 0..B | permutation p and weights g of every chunk |
//! | SRHT | `Y[k] += (-1)^popcount(i_k & c) Z[j_k]` | 0..m | m pairs (i, j), the same for all chunks |
//!
//! The second is the subsampled transform of length N = B C: H_N is the Kronecker product of H_C and H_B, so
//! row (i, j) of H_N D X is the sum over the chunks of the signs that H_C has in row i times row j of Z, and
//! nothing but the m sampled rows is ever formed. Pooling after the transform is what makes PHT's weights
//! harmless: Gaussian weights in front of it would let single coordinates decide.
//!
//! A chunk is worked on in strips of eight columns: whole cache lines that neither fight for the same set of a
//! cache nor, for the usual B, leave the second-level one.

use super::operator::Operator;
use super::tiles::Tiles;
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Rows};
use crate::memory::{collected, gathered, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{self, kernel};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::convert::identity;
use std::ops::Range;

/// What memory is for.
const SKETCH: &str = "a sketch";
/// Purposes of the streams.
const SIGNS: u8 = 1;
const PERMUTATIONS: u8 = 2;
const WEIGHTS: u8 = 3;
const SAMPLE: u8 = 4;

/// Shortest chunk of the default.
const SHORTEST_CHUNK: usize = 1024;
/// Fewest rows of a pool under Gaussian weights. With all the energy of a problem in one chunk, intervals of
/// 95 % covered 42 % at one row in a pool, 72 % at two and 93 % at eight.
const GAUSSIAN_POOL: usize = 8;

/// The weights of a pooled transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Weights {
    /// Random signs: never worse in any test, and an isometry where a chunk has m rows.
    Signs,
    /// Standard normals: what the theorem on coordinate-wise errors is about.
    Normals,
}

/// A pooled or subsampled Hadamard transform.
pub(crate) struct Hadamard {
    m: usize,
    chunk: usize,
    scale: f64,
    signs: Stream,
    rule: Rule,
}

enum Rule {
    Pooled { kind: Weights, weights: Stream, permutations: Stream },
    Sampled { i: Vec<u64>, j: Vec<u32> },
}

impl Hadamard {
    /// The pooled transform. `chunk` is a power of two that is at least m, and 8 m with normal weights; None
    /// takes the shortest such that is not below 1024.
    pub fn pht(m: usize, weights: Weights, chunk: Option<usize>, seed: u64, op_id: u32) -> Result<Self> {
        let pool = if weights == Weights::Normals { GAUSSIAN_POOL } else { 1 };
        let shortest = pool.saturating_mul(chunk_of(m)?);
        let chunk = chunk.unwrap_or(shortest.max(SHORTEST_CHUNK));
        if !chunk.is_power_of_two() || chunk < pool.saturating_mul(m) || u32::try_from(chunk).is_err() {
            let expected = format!("a power of two in [{pool} m = {}, 2^32)", pool.saturating_mul(m));
            return Err(Error::value("chunk", chunk, expected));
        }
        let stream = |purpose| Stream::new(seed, op_id, purpose);
        let rule =
            Rule::Pooled { kind: weights, weights: stream(WEIGHTS), permutations: stream(PERMUTATIONS) };
        Ok(Self { m, chunk, scale: 1.0 / (chunk as f64).sqrt(), signs: stream(SIGNS), rule })
    }

    /// The subsampled transform for at most `n` rows.
    pub fn srht(ctx: &Context, m: usize, n: u64, seed: u64, op_id: u32) -> Result<Self> {
        let chunk = chunk_of(m)?.max(SHORTEST_CHUNK);
        Self::srht_with_chunk(ctx, m, n, chunk, seed, op_id)
    }

    fn srht_with_chunk(ctx: &Context, m: usize, n: u64, chunk: usize, seed: u64, op_id: u32) -> Result<Self> {
        let length = n
            .max(chunk as u64)
            .checked_next_power_of_two()
            .ok_or_else(|| Error::value("n", n, "at most 2^63 rows"))?;
        let sample = sample(ctx, Stream::new(seed, op_id, SAMPLE), m as u64, length)?;
        // Sorted by row of Z, so that the additions walk through it.
        let place = |r: u64| ((r % chunk as u64) as u32, r / chunk as u64);
        let mut order = sample;
        sort_in_pieces(ctx, &mut order, |&r| place(r))?;
        let (mut i, mut j) = (room_for(m, SKETCH)?, room_for(m, SKETCH)?);
        for (k, (row, chunk)) in order.into_iter().map(place).enumerate() {
            if k.is_multiple_of(TICKING) {
                ctx.tick()?;
            }
            push(&mut i, chunk, SKETCH)?;
            push(&mut j, row, SKETCH)?;
        }
        let signs = Stream::new(seed, op_id, SIGNS);
        Ok(Self { m, chunk, scale: 1.0 / (m as f64).sqrt(), signs, rule: Rule::Sampled { i, j } })
    }

    /// What is done to chunk number `c`.
    fn step(&self, c: u64) -> Result<Step<'_>> {
        let (sources, weights) = match &self.rule {
            Rule::Pooled { kind, weights, permutations } => {
                let weights = match kind {
                    Weights::Signs => signs(*weights, c, self.chunk)?,
                    Weights::Normals => {
                        let mut normals = zeros(self.chunk, SKETCH)?;
                        weights.normals_of_row(c, &mut normals);
                        normals
                    }
                };
                (Cow::Owned(permutations.permutation(self.chunk, c)?), weights)
            }
            Rule::Sampled { i, j } => {
                let weights = collected(i.iter().map(|i| parity_sign(i & c)), SKETCH)?;
                (Cow::Borrowed(&j[..]), weights)
            }
        };
        Ok(Step { m: self.m, signs: signs(self.signs, c, self.chunk)?, sources, weights })
    }
}

/// The shortest power of two that holds m rows.
fn chunk_of(m: usize) -> Result<usize> {
    let chunk = m.checked_next_power_of_two().filter(|&chunk| chunk < 1 << 31);
    chunk.ok_or_else(|| Error::value("m", m, "at most 2^30 rows"))
}

/// Steps of a serial loop after which somebody may interrupt.
const TICKING: usize = 1 << 16;

/// `m` different numbers below `length`, every set equally likely (Floyd).
fn sample(ctx: &Context, stream: Stream, m: u64, length: u64) -> Result<Vec<u64>> {
    // Places of an open-addressed table, half of them free; `length` is no number.
    let slots = (2 * m).next_power_of_two() as usize;
    let mut table: Vec<u64> = room_for(slots, SKETCH)?;
    while table.len() < slots {
        ctx.tick()?;
        let len = slots.min(table.len() + (TICKING << 6));
        resize(&mut table, len, u64::MAX, SKETCH)?;
    }
    let shift = 64 - slots.trailing_zeros();
    let mut insert = |number: u64| {
        let at = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift;
        let mut at = at as usize;
        while table[at] != u64::MAX && table[at] != number {
            at = (at + 1) % slots;
        }
        std::mem::replace(&mut table[at], number) != number
    };
    let mut chosen = room_for(m as usize, SKETCH)?;
    for (k, last) in (length - m..length).enumerate() {
        if k.is_multiple_of(TICKING) {
            ctx.tick()?;
        }
        let candidate = stream.index(last, last + 1);
        let new = if insert(candidate) { candidate } else { last };
        if new == last {
            insert(last);
        }
        push(&mut chosen, new, SKETCH)?;
    }
    Ok(chosen)
}

/// Sorts by pieces and merges them, so that it can be interrupted.
fn sort_in_pieces<T: Copy, K: Ord>(ctx: &Context, items: &mut [T], key: impl Fn(&T) -> K) -> Result<()> {
    let mut other = room_for(items.len(), SKETCH)?;
    for piece in items.chunks_mut(TICKING) {
        ctx.tick()?;
        piece.sort_unstable_by_key(&key);
    }
    let mut width = TICKING;
    while width < items.len() {
        other.clear();
        for pair in items.chunks(2 * width) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            let (mut l, mut r) = (0, 0);
            while l + r < pair.len() {
                if (l + r) % TICKING == 0 {
                    ctx.tick()?;
                }
                if r == right.len() || l < left.len() && key(&left[l]) <= key(&right[r]) {
                    push(&mut other, left[l], SKETCH)?;
                    l += 1;
                } else {
                    push(&mut other, right[r], SKETCH)?;
                    r += 1;
                }
            }
        }
        items.copy_from_slice(&other);
        width *= 2;
    }
    Ok(())
}

/// One random bit each, 32 to a word of row `row`.
fn signs(stream: Stream, row: u64, count: usize) -> Result<Vec<f64>> {
    let mut words = zeros(count.div_ceil(32), SKETCH)?;
    stream.words_of_row(row, &mut words);
    collected((0..count).map(|k| f64::from(1 - 2 * (words[k / 32] >> (k % 32) & 1) as i32)), SKETCH)
}

/// (-1)^popcount
fn parity_sign(bits: u64) -> f64 {
    f64::from(1 - 2 * (bits.count_ones() % 2) as i32)
}

impl Operator for Hadamard {
    fn chunk(&self) -> usize {
        self.chunk
    }

    fn tile_width(&self, d: usize) -> usize {
        // Wider tiles are read faster, narrower ones keep more threads busy.
        if d <= 64 { 16 } else { 32 }
    }

    fn scale(&self) -> f64 {
        self.scale
    }

    fn add(&self, ctx: &Context, y: &mut Tiles, a: &dyn Rows, rows: Range<usize>, first: u64) -> Result<()> {
        debug_assert!(rows.len().is_multiple_of(self.chunk) && first.is_multiple_of(self.chunk as u64));
        let number = first / self.chunk as u64;
        let starts = collected(rows.step_by(self.chunk), SKETCH)?;
        let batch = (STEPS_AHEAD / self.chunk).max(1);
        for (k, starts) in starts.chunks(batch).enumerate() {
            let steps = ctx.map(starts.len(), |i| self.step(number + (k * batch + i) as u64))?;
            let steps = gathered(steps, SKETCH)?;
            let cols = y.all_cols();
            let added =
                ctx.map_parts(y.tiles_mut().zip(cols), Scratch::default, |scratch, _, (y, cols)| {
                    for (step, &start) in steps.iter().zip(starts) {
                        let x = a.tile(start..start + self.chunk, cols.clone(), &mut scratch.rows)?;
                        step.add(x, y, &mut scratch.strips)?;
                    }
                    Ok(())
                })?;
            added.into_iter().try_for_each(identity)?;
        }
        Ok(())
    }

    fn transpose(&self, first: u64, y: Dense<'_, f64>, out: &mut [f64]) -> Result<()> {
        let width = y.ncols();
        for (c, out) in out.chunks_exact_mut((self.chunk * width).max(1)).enumerate() {
            self.step(first / self.chunk as u64 + c as u64)?.transpose(y, out);
        }
        Ok(())
    }
}

/// Rows whose random numbers are drawn at a time, in parallel, for all tiles.
const STEPS_AHEAD: usize = 1 << 16;
/// Numbers of a chunk that are worked on at a time.
const WORKSPACE: usize = 1 << 17;

#[derive(Default)]
struct Scratch {
    rows: Vec<f64>,
    strips: Option<Buffer<f64>>,
}

/// The random numbers of one chunk: `Y[k mod m] += weights[k] Z[sources[k]]`, in the order of k.
struct Step<'a> {
    m: usize,
    signs: Vec<f64>,
    sources: Cow<'a, [u32]>,
    weights: Vec<f64>,
}

impl Step<'_> {
    /// Adds the chunk `x` to the tile `y` (m rows as wide as x).
    fn add(&self, x: Dense<'_, f64>, y: &mut [f64], strips: &mut Option<Buffer<f64>>) -> Result<()> {
        let (rows, width) = (x.nrows(), x.ncols());
        // One line between strips: without it the eight parts of a row would share a set of the cache.
        let pitch = rows + 1;
        let at_once = (WORKSPACE / (8 * rows)).clamp(1, width.div_ceil(8));
        let strips = match strips {
            Some(strips) if strips.len() >= at_once * pitch * 8 => strips,
            _ => strips.insert(Buffer::zeros(at_once * pitch * 8, "a chunk of a sketch")?),
        };
        for start in (0..width).step_by(8 * at_once) {
            let cols = start..width.min(start + 8 * at_once);
            let (strips, _) = strips.as_chunks_mut::<8>();
            load(x.cols(cols.clone()), &self.signs, strips, pitch);
            for strip in strips.chunks_mut(pitch).take(cols.len().div_ceil(8)) {
                simd::fwht(strip[..rows].as_flattened_mut(), rows, 8);
            }
            let y = &mut y[start..];
            pool(strips, pitch, &self.sources, &self.weights, self.m, y, width, cols.len());
        }
        Ok(())
    }

    /// out = D H Z, Z the weighted rows of y.
    fn transpose(&self, y: Dense<'_, f64>, out: &mut [f64]) {
        let width = y.ncols();
        out.fill(0.0);
        for (k, (&source, &weight)) in self.sources.iter().zip(&self.weights).enumerate() {
            let row = &y.data()[k % self.m * y.row_stride()..][..width];
            simd::axpy(weight, row, &mut out[source as usize * width..][..width]);
        }
        simd::fwht(out, self.signs.len(), width);
        for (row, sign) in out.chunks_exact_mut(width).zip(&self.signs) {
            row.iter_mut().for_each(|value| *value *= sign);
        }
    }
}

/// Rows of the caller's matrix that are asked for ahead of their use: a tile is too narrow for the hardware to
/// see where it goes on.
const ROWS_AHEAD: usize = 32;

kernel! {
    /// Line i of strip p: columns 8 p .. 8 p + 8 of row i, times sign i; zeros past the last column.
    fn load<V>(a: Dense<'_, f64>, signs: &[f64], strips: &mut [[f64; 8]], pitch: usize) {
        let (stride, width) = (a.row_stride(), a.ncols());
        for (i, &sign) in signs.iter().enumerate() {
            let (row, head) = a.data()[i * stride..][..width].as_chunks::<8>();
            let sign = V::splat(sign);
            for (p, x) in row.iter().enumerate() {
                V::prefetch(x.as_ptr().wrapping_add(ROWS_AHEAD * stride));
                V::load(x).mul(sign).store(&mut strips[p * pitch + i]);
            }
            if !head.is_empty() {
                V::load_head(head).mul(sign).store(&mut strips[row.len() * pitch + i]);
            }
        }
    }
}

kernel! {
    /// Adds rows of the strips to rows of y, `width` numbers each, `stride` apart.
    fn pool<V>(
        strips: &[[f64; 8]],
        pitch: usize,
        sources: &[u32],
        weights: &[f64],
        m: usize,
        y: &mut [f64],
        stride: usize,
        width: usize,
    ) {
        for row in 0..m {
            let (y, y_head) = y[row * stride..][..width].as_chunks_mut::<8>();
            let strips_of_y = y.len();
            let mut k = row;
            while k < sources.len() {
                let (line, weight) = (sources[k] as usize, V::splat(weights[k]));
                for (p, y) in y.iter_mut().enumerate() {
                    V::load(&strips[p * pitch + line]).mul_add(weight, V::load(y)).store(y);
                }
                if !y_head.is_empty() {
                    let z = V::load(&strips[strips_of_y * pitch + line]);
                    z.mul_add(weight, V::load_head(y_head)).store_head(y_head);
                }
                k += m;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};

    fn entries(n: usize, d: usize) -> Vec<f64> {
        (0..n * d).map(|k| ((k * k % 2003) as f64 * 0.37).sin()).collect()
    }

    fn operators(n: usize) -> Vec<Hadamard> {
        let pht = |m, weights, chunk| Hadamard::pht(m, weights, Some(chunk), 5, 1).unwrap();
        let srht = |m, chunk| Hadamard::srht_with_chunk(&Context::new(1), m, n as u64, chunk, 5, 1).unwrap();
        vec![
            pht(16, Weights::Signs, 16),
            pht(7, Weights::Signs, 16),
            pht(3, Weights::Normals, 32),
            pht(1, Weights::Signs, 1),
            srht(16, 16),
            srht(5, 32),
        ]
    }

    fn apply(operator: &Hadamard, threads: usize, a: &dyn Rows, cuts: &[usize]) -> Mat<f64> {
        let ctx = Context::new(threads);
        let mut y = Tiles::zeros(operator.m, a.ncols(), operator.tile_width(a.ncols())).unwrap();
        for cut in cuts.windows(2) {
            operator.add(&ctx, &mut y, a, cut[0]..cut[1], cut[0] as u64).unwrap();
        }
        y.to_mat(&ctx, operator.scale()).unwrap()
    }

    /// H[i, j] of any order.
    fn walsh(i: usize, j: usize) -> f64 {
        if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
    }

    /// Entry (k, row) of S, from its definition.
    fn entry(operator: &Hadamard, n: usize, k: usize, row: usize) -> f64 {
        let (chunk, m) = (operator.chunk, operator.m);
        let (c, r) = (row / chunk, row % chunk);
        let bit = |stream: &Stream, k: usize| {
            let word = stream.word(c as u64, (k / 32) as u64);
            if word >> (k % 32) & 1 == 0 { 1.0 } else { -1.0 }
        };
        let transformed = match &operator.rule {
            Rule::Pooled { kind, weights, permutations } => {
                let order = permutations.permutation(chunk, c as u64).unwrap();
                let pooled = (k..chunk).step_by(m).map(|q| {
                    let weight = match kind {
                        Weights::Signs => bit(weights, q),
                        Weights::Normals => f64::from(weights.normal(c as u64, q as u64) as f32),
                    };
                    weight * walsh(order[q] as usize, r)
                });
                pooled.sum::<f64>() / (chunk as f64).sqrt()
            }
            Rule::Sampled { i, j } => {
                let (rows, sampled) = (n.next_power_of_two(), i[k] as usize * chunk + j[k] as usize);
                let orthonormal = walsh(sampled, row) / (rows as f64).sqrt();
                orthonormal * (rows as f64 / m as f64).sqrt()
            }
        };
        transformed * bit(&operator.signs, r)
    }

    #[test]
    fn operators_equal_their_definition() {
        let (n, d) = (96, 19);
        let data = entries(n, d);
        let a = Dense::row_major(&data, n, d);
        for operator in operators(n) {
            let y = apply(&operator, 2, &a, &[0, n]);
            for k in 0..operator.m {
                for j in 0..d {
                    let expected: f64 = (0..n).map(|i| entry(&operator, n, k, i) * a.get(i, j)).sum();
                    assert!((y[(k, j)] - expected).abs() < 1e-12, "({k}, {j}): {} {expected}", y[(k, j)]);
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads_cuts_order_or_instructions() {
        let (n, d) = (256, 133);
        let data = entries(n, d);
        let single: Vec<f32> = data.iter().map(|&value| value as f32).collect();
        let widened: Vec<f64> = single.iter().map(|&value| f64::from(value)).collect();
        let columns: Vec<f64> = (0..n * d).map(|k| widened[k % n * d + k / n]).collect();
        let a = Dense::row_major(&widened, n, d);
        for operator in operators(n) {
            let expected = apply(&operator, 1, &a, &[0, n]);
            let same = |y: Mat<f64>| same_bits(y.as_slice(), expected.as_slice());
            assert!(same(apply(&operator, 3, &a, &[0, n])));
            assert!(same(apply(&operator, 2, &a, &[0, 64, 96, 96, n])));
            assert!(same(apply(&operator, 2, &Dense::column_major(&columns, n, d), &[0, n])));
            assert!(same(apply(&operator, 2, &Dense::row_major(&single, n, d), &[0, n])));
            assert!(on_every_path(|| apply(&operator, 1, &a, &[0, n])).into_iter().all(same));
        }
    }

    #[test]
    fn transposing_agrees_with_applying() {
        let (n, d) = (128, 5);
        let (left, right) = (entries(n, d), entries(16, d));
        for operator in operators(n) {
            let m = operator.m;
            let y = apply(&operator, 1, &Dense::row_major(&left, n, d), &[0, n]);
            let z = Dense::row_major(&right[..m * d], m, d);
            let mut transposed = vec![0.0; n * d];
            let (head, tail) = transposed.split_at_mut(32 * d);
            operator.transpose(0, z, head).unwrap();
            operator.transpose(32, z, tail).unwrap();
            let one: f64 = (0..m * d).map(|k| y[(k / d, k % d)] * right[k]).sum();
            let other = operator.scale() * transposed.iter().zip(&left).map(|(a, b)| a * b).sum::<f64>();
            assert!((one - other).abs() < 1e-11, "{one} {other}");
        }
    }

    #[test]
    fn signed_pools_of_one_row_are_an_isometry() {
        let (n, d) = (1024, 3);
        let data = entries(n, d);
        let a = Dense::row_major(&data, n, d);
        let operator = Hadamard::pht(n, Weights::Signs, None, 9, 0).unwrap();
        assert_eq!(operator.chunk(), n);
        let y = apply(&operator, 1, &a, &[0, n]);
        for (p, q) in [(0, 0), (0, 1), (1, 2), (2, 2)] {
            let before: f64 = (0..n).map(|i| a.get(i, p) * a.get(i, q)).sum();
            assert!((simd::dot(y.col(p), y.col(q)) - before).abs() < 1e-10);
        }
    }

    #[test]
    fn the_mean_of_gram_matrices_is_the_identity() {
        let (n, seeds) = (64, 2000);
        let identity = Mat::<f64>::identity(n).unwrap();
        let mut mean = vec![0.0; n * n];
        type Make = fn(u64) -> Result<Hadamard>;
        let pht: Make = |seed| Hadamard::pht(8, Weights::Signs, Some(32), seed, 0);
        let gaussian: Make = |seed| Hadamard::pht(4, Weights::Normals, Some(32), seed, 0);
        let srht: Make = |seed| Hadamard::srht_with_chunk(&Context::new(1), 8, 64, 32, seed, 0);
        for (make, m) in [(pht, 8), (gaussian, 4), (srht, 8)] {
            mean.fill(0.0);
            for seed in 0..seeds {
                let y = apply(&make(seed).unwrap(), 1, &identity.as_ref(), &[0, n]);
                for i in 0..n {
                    for j in 0..n {
                        mean[i * n + j] += simd::dot(y.col(i), y.col(j)) / seeds as f64;
                    }
                }
            }
            // Entries of S'S have variance at most 1 / m off the diagonal and 2 / m on it.
            let deviations = |variance: f64| 5.0 * (variance / (m as f64 * seeds as f64)).sqrt();
            for i in 0..n {
                for j in 0..n {
                    let deviation = (mean[i * n + j] - f64::from(i == j)).abs();
                    let variance = if i == j { 2.0 } else { 1.0 };
                    assert!(deviation < deviations(variance), "({i}, {j}): {deviation}");
                }
            }
        }
    }

    #[test]
    fn chunks_that_are_too_short_are_refused() {
        let chunk = |m, weights, chunk| Hadamard::pht(m, weights, chunk, 0, 0).map(|s| s.chunk()).ok();
        assert_eq!(chunk(100, Weights::Signs, None), Some(1024));
        assert_eq!(chunk(1025, Weights::Signs, None), Some(2048));
        assert_eq!(chunk(1025, Weights::Signs, Some(1024)), None);
        assert_eq!(chunk(100, Weights::Signs, Some(100)), None);
        assert_eq!(chunk(1000, Weights::Normals, None), Some(8192));
        assert_eq!(chunk(1000, Weights::Normals, Some(4096)), None);
        assert_eq!(chunk(100, Weights::Normals, None), Some(1024));
        assert_eq!(chunk(usize::MAX, Weights::Signs, None), None);
        assert!(Hadamard::srht(&Context::new(1), 10, u64::MAX, 0, 0).is_err());
    }

    #[test]
    fn samples_are_distinct_and_uniform() {
        let mut hits = [0u32; 12];
        for op_id in 0..6000 {
            let sample = sample(&Context::new(1), Stream::new(3, op_id, SAMPLE), 5, 12).unwrap();
            assert_eq!(sample.len(), 5);
            sample.into_iter().for_each(|r| hits[r as usize] += 1);
        }
        // Binomial of mean 2500 and variance below 1459.
        assert!(hits.iter().all(|&count| (f64::from(count) - 2500.0).abs() < 5.0 * 38.2));
    }
}
