//! Random numbers as a pure function of (seed, operator, purpose, row, column).
//!
//! There is no generator to draw from, only addresses: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011)
//! enciphers the counter
//!
//! | word | holds |
//! |---|---|
//! | 0, 1 | row, low and high half |
//! | 2 | draw: columns 4 draw to 4 draw + 3 of the row are the four words that come out |
//! | 3 | operator << 8 \| purpose |
//!
//! under the seed as key. Threads, blocks and the order of calls therefore cannot change a number, and any row
//! can be had alone. The bulk functions run several counters side by side; every step is an integer operation
//! or a correctly rounded one (no fused multiply-add, no platform `log` or `sin`), so that they give the bits
//! of the scalar functions on every machine.

use crate::error::Result;
use crate::memory::{collected, zeros};
use crate::simd::ln;
use std::f64::consts::TAU;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// Counters that the bulk functions run side by side.
const LANES: usize = 16;

/// Philox4x32-10 of one counter.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox(counter.map(|word| [word]), key).map(|[word]| word)
}

/// Philox4x32-10 of `W` counters: word `j` of counter `w` is `counters[j][w]`.
#[inline(always)]
fn philox<const W: usize>(counters: [[u32; W]; 4], [mut k0, mut k1]: [u32; 2]) -> [[u32; W]; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counters;
    for _ in 0..ROUNDS {
        for w in 0..W {
            let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0[w]);
            let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2[w]);
            c0[w] = (p1 >> 32) as u32 ^ c1[w] ^ k0;
            c1[w] = p1 as u32;
            c2[w] = (p0 >> 32) as u32 ^ c3[w] ^ k1;
            c3[w] = p0 as u32;
        }
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// All the random numbers of one operator for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    tag: u32,
}

impl Stream {
    /// Operators have 24-bit numbers.
    pub const MAX_OPERATOR: u32 = (1 << 24) - 1;

    /// The numbers of operator `op_id` (at most [`Stream::MAX_OPERATOR`]) that serve `purpose`.
    pub fn new(seed: u64, op_id: u32, purpose: u8) -> Self {
        assert!(op_id <= Self::MAX_OPERATOR);
        Self { key: [seed as u32, (seed >> 32) as u32], tag: op_id << 8 | u32::from(purpose) }
    }

    /// The four words of columns `4 draw ..= 4 draw + 3` of `row`.
    pub fn words(&self, row: u64, draw: u32) -> [u32; 4] {
        philox4x32([row as u32, (row >> 32) as u32, draw, self.tag], self.key)
    }

    /// The word of column `column` of `row`.
    pub fn word(&self, row: u64, column: u64) -> u32 {
        self.words(row, (column / 4) as u32)[(column % 4) as usize]
    }

    /// A number below `bound`, uniform up to a bias of `bound / 2^64`; uses draw 0 of `row`.
    pub fn index(&self, row: u64, bound: u64) -> u64 {
        let [low, high, ..] = self.words(row, 0);
        let word = u64::from(high) << 32 | u64::from(low);
        ((u128::from(word) * u128::from(bound)) >> 64) as u64
    }

    /// `1.0` or `-1.0`: the lowest bit of the word.
    pub fn sign(&self, row: u64, column: u64) -> f64 {
        f64::from(1 - 2 * (self.word(row, column) & 1) as i32)
    }

    /// Uniform in the open interval (0, 1), a multiple of `2^-33`.
    pub fn uniform(&self, row: u64, column: u64) -> f64 {
        uniform(self.word(row, column))
    }

    /// Standard normal; columns `2k` and `2k + 1` are the two of one Box-Muller pair.
    pub fn normal(&self, row: u64, column: u64) -> f64 {
        let words = self.words(row, (column / 4) as u32);
        let pair = (column % 4 / 2 * 2) as usize;
        let (even, odd) = box_muller(words[pair], words[pair + 1]);
        if column.is_multiple_of(2) { even } else { odd }
    }

    /// The words of one draw for successive rows: `out[lane][i] = words(first_row + i, draw)[lane]`.
    pub fn words_of_rows(&self, first_row: u64, draw: u32, out: [&mut [u32]; 4]) {
        vectorised!(words_of_rows(self: &Stream, first_row: u64, draw: u32, out: [&mut [u32]; 4]));
    }

    /// The words of columns `0..out.len()` of one row.
    pub fn words_of_row(&self, row: u64, out: &mut [u32]) {
        vectorised!(words_of_row(self: &Stream, row: u64, out: &mut [u32]));
    }

    /// The normals of columns `0..out.len()` of one row, rounded to single precision.
    ///
    /// Rounding makes the entries of a Gaussian sketch the same in either precision.
    pub fn normals_of_row(&self, row: u64, out: &mut [f64]) {
        vectorised!(normals_of_row(self: &Stream, row: u64, out: &mut [f64]));
    }

    /// Permutation number `index` of `0..len`, by Fisher and Yates.
    pub fn permutation(&self, len: usize, index: u64) -> Result<Vec<u32>> {
        assert!(u32::try_from(len).is_ok());
        let mut words = zeros(len, "a permutation")?;
        self.words_of_row(index, &mut words);
        let mut order = collected(0..len as u32, "a permutation")?;
        for last in (1..len).rev() {
            let chosen = (u64::from(words[last]) * (last as u64 + 1)) >> 32;
            order.swap(last, chosen as usize);
        }
        Ok(order)
    }
}

/// Calls the portable function of that name, compiled for the widest instruction set of this machine.
macro_rules! vectorised {
    ($name:ident($this:ident: $This:ty $(, $argument:ident: $Type:ty)*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn avx512(this: $This $(, $argument: $Type)*) {
                $name(this $(, $argument)*);
            }
            #[target_feature(enable = "avx2")]
            fn avx2(this: $This $(, $argument: $Type)*) {
                $name(this $(, $argument)*);
            }
            match crate::simd::instruction_set() {
                // SAFETY: this machine has all that the name stands for.
                crate::simd::InstructionSet::Avx512 => return unsafe { avx512($this $(, $argument)*) },
                // SAFETY: this machine has AVX2.
                crate::simd::InstructionSet::Avx2 => return unsafe { avx2($this $(, $argument)*) },
                crate::simd::InstructionSet::Portable => {}
            }
        }
        $name($this $(, $argument)*)
    }};
}
use vectorised;

#[inline(always)]
fn words_of_rows(stream: &Stream, first_row: u64, draw: u32, out: [&mut [u32]; 4]) {
    let rows = out[0].len();
    let [out0, out1, out2, out3] = out;
    let mut out = [out0, &mut out1[..rows], &mut out2[..rows], &mut out3[..rows]];
    for start in (0..rows).step_by(LANES) {
        let row = |w: usize| first_row.wrapping_add((start + w) as u64);
        let low = std::array::from_fn(|w| row(w) as u32);
        let high = std::array::from_fn(|w| (row(w) >> 32) as u32);
        let words = philox::<LANES>([low, high, [draw; LANES], [stream.tag; LANES]], stream.key);
        let count = LANES.min(rows - start);
        for (out, words) in out.iter_mut().zip(&words) {
            out[start..start + count].copy_from_slice(&words[..count]);
        }
    }
}

/// The words of draws `draw .. draw + LANES` of one row.
#[inline(always)]
fn draws(stream: &Stream, row: u64, draw: u32) -> [[u32; LANES]; 4] {
    let draws = std::array::from_fn(|w| draw.wrapping_add(w as u32));
    philox([[row as u32; LANES], [(row >> 32) as u32; LANES], draws, [stream.tag; LANES]], stream.key)
}

#[inline(always)]
fn words_of_row(stream: &Stream, row: u64, out: &mut [u32]) {
    for (block, out) in out.chunks_mut(4 * LANES).enumerate() {
        let words = draws(stream, row, (block * LANES) as u32);
        for (column, out) in out.iter_mut().enumerate() {
            *out = words[column % 4][column / 4];
        }
    }
}

#[inline(always)]
fn normals_of_row(stream: &Stream, row: u64, out: &mut [f64]) {
    for (block, out) in out.chunks_mut(4 * LANES).enumerate() {
        let words = draws(stream, row, (block * LANES) as u32);
        let mut normals = [[0.0f32; LANES]; 4];
        for pair in [0, 2] {
            for w in 0..LANES {
                let (even, odd) = box_muller(words[pair][w], words[pair + 1][w]);
                normals[pair][w] = even as f32;
                normals[pair + 1][w] = odd as f32;
            }
        }
        for (column, out) in out.iter_mut().enumerate() {
            *out = f64::from(normals[column % 4][column / 4]);
        }
    }
}

/// `(word + 1/2) / 2^32`.
#[inline(always)]
fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

/// Two independent standard normals.
#[inline(always)]
fn box_muller(radius: u32, angle: u32) -> (f64, f64) {
    let radius = (-2.0 * ln(uniform(radius))).sqrt();
    let (sin, cos) = sin_cos_turns(angle);
    (radius * cos, radius * sin)
}

/// Sine and cosine of `2 pi (word + 1/2) / 2^32`, each within 2 units in the last place.
///
/// The nearest quarter turn is taken off exactly, in integers; what is left is at most an eighth of a turn.
#[inline(always)]
fn sin_cos_turns(word: u32) -> (f64, f64) {
    let quarter = word.wrapping_add(1 << 29) >> 30;
    let rest = (word.wrapping_sub(quarter << 30) as i32) * 2 + 1;
    let x = f64::from(rest) * (TAU / 8_589_934_592.0);
    let z = x * x;
    let (mut sin, mut cos) = (1.0 / (16.0 * 17.0), 1.0 / (15.0 * 16.0));
    for k in [14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0] {
        sin = (1.0 - sin * z) * (1.0 / (k * (k + 1.0)));
        cos = (1.0 - cos * z) * (1.0 / ((k - 1.0) * k));
    }
    let (sin, cos) = (x - x * (sin * z), 1.0 - cos * z);
    let (a, b) = if quarter & 1 == 1 { (cos, sin) } else { (sin, cos) };
    (flip(a, quarter & 2), flip(b, (quarter + 1) & 2))
}

/// `x`, or `-x` where `bit` (0 or 2) is set.
#[inline(always)]
fn flip(x: f64, bit: u32) -> f64 {
    f64::from_bits(x.to_bits() ^ (u64::from(bit) << 62))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox4x32([!0; 4], [!0; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        let answer = [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1];
        assert_eq!(philox4x32(pi, [0xa4093822, 0x299f31d0]), answer);
    }

    #[test]
    fn an_address_is_row_draw_operator_and_purpose() {
        let stream = Stream::new(0x299f31d0_a4093822, 0x037073, 0x44);
        let words = [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1];
        assert_eq!(stream.words(0x85a308d3_243f6a88, 0x13198a2e), words);
        assert_eq!(stream.word(0x85a308d3_243f6a88, 4 * 0x13198a2e + 2), words[2]);
    }

    #[test]
    fn bulk_equals_scalar() {
        let stream = Stream::new(7, 3, 1);
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 200] {
            let first = (1 << 32) - 20;
            let mut out = [(); 4].map(|()| vec![0; len]);
            stream.words_of_rows(first, 5, out.each_mut().map(Vec::as_mut_slice));
            for i in 0..len {
                assert_eq!(out.each_ref().map(|lane| lane[i]), stream.words(first + i as u64, 5));
            }
            let mut words = vec![0; len];
            stream.words_of_row(9, &mut words);
            let mut normals = vec![0.0; len];
            stream.normals_of_row(9, &mut normals);
            for j in 0..len {
                assert_eq!(words[j], stream.word(9, j as u64));
                assert_eq!(normals[j], f64::from(stream.normal(9, j as u64) as f32));
            }
        }
    }

    fn ulps(a: f64, b: f64) -> u64 {
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn logarithm_sine_and_cosine_are_accurate_to_two_ulps() {
        let stream = Stream::new(1, 0, 0);
        let edges = [0, 1, 2, !0, !0 - 1, 1 << 31, (1 << 31) - 1, 1 << 29, (1 << 29) - 1, 3 << 29, 7 << 29];
        for word in edges.into_iter().chain((0..200_000).map(|row| stream.word(row, 0))) {
            let u = uniform(word);
            assert!(ulps(ln(u), libm::log(u)) <= 2, "ln {u}");
            let (sin, cos) = sin_cos_turns(word);
            // The argument of the reference is reduced as ours is, or its rounding would dominate.
            let quarter = (4.0 * u + 0.5).floor();
            let (s, c) = libm::sincos((u - quarter / 4.0) * TAU);
            let (s, c) = [(s, c), (c, -s), (-s, -c), (-c, s)][quarter as usize % 4];
            assert!(ulps(sin, s) <= 2 && ulps(cos, c) <= 2, "angle {u}: {sin} {s}, {cos} {c}");
        }
        for x in [1e-300, 0.5, 1.0, 1.5, 3.0, 1e300] {
            assert!(ulps(ln(x), libm::log(x)) <= 2, "ln {x}");
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let stream = Stream::new(11, 0, 0);
        let count = 1 << 18;
        let mut normals = vec![0.0; count];
        stream.normals_of_row(0, &mut normals);
        let moment = |p| normals.iter().map(|x: &f64| x.powi(p)).sum::<f64>() / count as f64;
        // Five standard deviations of the mean of x^p.
        for (p, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(p) - mean).abs() < 5.0 * f64::sqrt(variance / count as f64), "moment {p}");
        }
        let count = 100_000;
        let mean = |draw: &dyn Fn(u64) -> f64| (0..count).map(draw).sum::<f64>() / count as f64;
        let slack = 5.0 / (count as f64).sqrt();
        assert!(mean(&|row| stream.sign(row, 3)).abs() < slack);
        assert!((mean(&|row| stream.uniform(row, 1)) - 0.5).abs() < slack / 12f64.sqrt());
        let below = mean(&|row| stream.index(row, 10) as f64);
        assert!((below - 4.5).abs() < slack * 2.9);
        assert!((0..100).all(|row| stream.index(row, 1) == 0 && stream.index(row, 1 << 40) < 1 << 40));
    }

    #[test]
    fn permutations_are_uniform() {
        let stream = Stream::new(5, 0, 0);
        let mut seen = std::collections::HashMap::new();
        let draws = 24 * 500;
        for index in 0..draws {
            *seen.entry(stream.permutation(4, index).unwrap()).or_insert(0u32) += 1;
        }
        assert_eq!(seen.len(), 24);
        let chi_squared: f64 = seen.values().map(|&c| (f64::from(c) - 500.0).powi(2) / 500.0).sum();
        assert!(chi_squared < 23.0 + 5.0 * 46f64.sqrt(), "{chi_squared}");
        assert!(stream.permutation(0, 0).unwrap().is_empty());
    }
}
