//! Numbers as integers of a few signed digits in base 256, and exact sums of products of these.
//!
//! x times a factor f, rounded to the integer sum over t < s of d_t 256^(s - 1 - t) with digits d_t between -128 and 127,
//! goes into s tiles. One fused multiply-add scales and rounds: the low bytes of x f + (3 2^51 + sum of 128 256^t) are the
//! digits plus 128, and its high bytes are those of 3 2^51 unless the integer has more digits or x is none.
//!
//! A [`Tile`] is 16 lines of 64 digits. Of a left operand, a line is a row of the product and its digits are terms of
//! the sums. Of a right one, a line is four terms, each word a column. So one packing of rows as terms, [`cut_terms`], is
//! a right operand as it is, and, its words transposed by [`turn`], a left one; [`cut_rows`] packs rows as rows, four
//! columns sixteen apart side by side, the order of terms in [`term_of`].
//!
//! [`Unit`] multiplies: by AMX, or one by one with the same bits.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::lanes::Lanes;
pub use super::tiles::{CLASSES, SIDE, Scheme, Sums, TERMS, Tile};
use super::{InstructionSet, instruction_set, kernel};
use std::ops::Range;
use std::sync::LazyLock;

/// Digits of the integers that numbers were rounded to, of sixteen numbers: word k has those of number k, each plus 128,
/// the last one lowest.
type Words = [u64; SIDE];

/// 3 2^51, whose low 51 bits are zero, plus the digits 128.
fn magic(digits: usize) -> f64 {
    PLAIN + (0..digits).map(|t| 128.0 * 256f64.powi(t as i32)).sum::<f64>()
}

const PLAIN: f64 = 6_755_399_441_055_744.0;

/// Bits that are those of [`PLAIN`] if an integer has no more digits.
fn beyond(digits: usize) -> u64 {
    !0 << (8 * digits)
}

/// Term of which column, among 64, the digit at a place of a line is, in tiles of [`cut_rows`].
pub fn term_of(place: usize) -> usize {
    SIDE * (place % 4) + place / 4
}

/// A few rows of numbers, as they lie in memory.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    data: &'a [f64],
    stride: usize,
    nrows: usize,
    ncols: usize,
}

impl<'a> Lines<'a> {
    /// Panics if there are fewer numbers.
    pub fn new(data: &'a [f64], stride: usize, (nrows, ncols): (usize, usize)) -> Self {
        assert!(nrows == 0 || (nrows - 1) * stride + ncols <= data.len());
        Self { data, stride, nrows, ncols }
    }

    /// Up to sixteen numbers of a row from a column on, then zeros; zeros past the end.
    fn sixteen(&self, row: usize, column: usize) -> [f64; SIDE] {
        let mut numbers = [0.0; SIDE];
        if row < self.nrows && column < self.ncols {
            let count = SIDE.min(self.ncols - column);
            numbers[..count].copy_from_slice(&self.data[row * self.stride + column..][..count]);
        }
        numbers
    }
}

/// Packs up to 64 rows times `scale`, column by column, as terms: digit t of columns 16 g to 16 g + 15 goes to
/// `tiles[g * panel + t]`. What is past the end of the rows or columns is zero. `spilt` gets, for every column,
/// bits that are not zero if an entry has more digits or is not finite; its tiles are of no use then.
///
/// Panics if there are fewer tiles, or `scale` and `spilt` are not as long as all columns of the tiles.
pub fn cut_terms(
    digits: usize,
    rows: Lines<'_>,
    scale: &[f64],
    tiles: &mut [Tile],
    panel: usize,
    spilt: &mut [u64],
) {
    let groups = rows.ncols.div_ceil(SIDE);
    assert!(rows.nrows <= TERMS && scale.len() == groups * SIDE && spilt.len() == scale.len());
    assert!(groups == 0 || (groups - 1) * panel + digits <= tiles.len());
    spilt.fill(0);
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 {
        // SAFETY: the machine has AVX-512 F; there are as many tiles, scales and marks as there are groups of columns.
        return unsafe {
            match digits {
                2 => avx512::cut_terms::<2>(rows, scale, tiles, panel, spilt),
                3 => avx512::cut_terms::<3>(rows, scale, tiles, panel, spilt),
                4 => avx512::cut_terms::<4>(rows, scale, tiles, panel, spilt),
                _ => unreachable!("terms have two to four digits"),
            }
        };
    }
    for (line, group) in (0..TERMS / 4).flat_map(|line| (0..groups).map(move |group| (line, group))) {
        let (scale, spilt) = (&scale[group * SIDE..][..SIDE], &mut spilt[group * SIDE..][..SIDE]);
        for r in 0..4 {
            let x = rows.sixteen(4 * line + r, group * SIDE);
            let words = words_of(digits, |k| (x[k], scale[k]));
            for k in 0..SIDE {
                spilt[k] |= (words[k] ^ PLAIN.to_bits()) & beyond(digits);
                for t in 0..digits {
                    tiles[group * panel + t].0[line][4 * k + r] = digit(digits, words[k], t);
                }
            }
        }
    }
}

/// Packs up to 16 rows as rows, entries times `scale` by column times a power of two by row: digit t of columns 64 k to
/// 64 k + 63 goes to `tiles[k * digits + t]`. True for a row of which an entry has more digits or is not finite.
///
/// Panics if there are fewer tiles, or scales than all columns of the tiles.
pub fn cut_rows(
    digits: usize,
    rows: Lines<'_>,
    scale: &[f64],
    powers: &[f64; SIDE],
    tiles: &mut [Tile],
) -> [bool; SIDE] {
    let steps = rows.ncols.div_ceil(TERMS);
    assert!(rows.nrows <= SIDE && scale.len() == steps * TERMS && steps * digits <= tiles.len());
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 {
        // SAFETY: the machine has AVX-512 F; there are as many tiles and scales as there are groups of columns.
        return unsafe {
            match digits {
                4 => avx512::cut_rows::<4>(rows, scale, powers, tiles),
                5 => avx512::cut_rows::<5>(rows, scale, powers, tiles),
                6 => avx512::cut_rows::<6>(rows, scale, powers, tiles),
                _ => unreachable!("rows have four to six digits"),
            }
        };
    }
    let mut spilt = [false; SIDE];
    for (line, step) in (0..SIDE).flat_map(|line| (0..steps).map(move |step| (line, step))) {
        for r in 0..4 {
            let column = step * TERMS + r * SIDE;
            let x = rows.sixteen(line, column);
            let words = words_of(digits, |k| (x[k] * scale[column + k], powers[line]));
            for k in 0..SIDE {
                spilt[line] |= (words[k] ^ PLAIN.to_bits()) & beyond(digits) != 0;
                for t in 0..digits {
                    tiles[step * digits + t].0[line][4 * k + r] = digit(digits, words[k], t);
                }
            }
        }
    }
    spilt
}

/// Of numbers times factors, which are rounded once.
fn words_of(digits: usize, number: impl Fn(usize) -> (f64, f64)) -> Words {
    std::array::from_fn(|k| {
        let (x, factor) = number(k);
        x.mul_add(factor, magic(digits)).to_bits()
    })
}

fn digit(digits: usize, word: u64, t: usize) -> i8 {
    ((word >> (8 * (digits - 1 - t))) as u8 ^ 0x80) as i8
}

/// The words of tiles as matrices of 16 x 16, transposed: left operands of right ones.
///
/// Panics unless there are as many of the one as of the other.
pub fn turn(tiles: &[Tile], turned: &mut [Tile]) {
    assert_eq!(tiles.len(), turned.len());
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 {
        for (tile, turned) in tiles.iter().zip(turned) {
            // SAFETY: the machine has AVX-512 F.
            unsafe { avx512::turn(tile, turned) };
        }
        return;
    }
    for (tile, turned) in tiles.iter().zip(turned) {
        for (i, j) in (0..SIDE).flat_map(|i| (0..SIDE).map(move |j| (i, j))) {
            turned.0[j][4 * i..4 * i + 4].copy_from_slice(&tile.0[i][4 * j..4 * j + 4]);
        }
    }
}

kernel! {
    /// Adds sums of products, by class, to sums of numbers, in units of the last class, on some of sixteen lines.
    ///
    /// Panics if there are not as many classes or lines.
    pub fn add_sums<V>(last: usize, classes: &[Sums], lines: Range<usize>, sums: &mut [f64; SIDE * SIDE]) {
        assert!(classes.len() > last && lines.end <= SIDE);
        let (chunks, _) = sums.as_chunks_mut::<8>();
        for at in 2 * lines.start..2 * lines.end {
            total::<V>(last, classes, at).add(V::load(&chunks[at])).store(&mut chunks[at]);
        }
    }
}

kernel! {
    /// Sums of products, by class, as numbers in units of the last one times a factor by row and one by column: the first
    /// `width` columns of some of sixteen lines, into as many rows, `stride` apart, as have a factor.
    ///
    /// Panics if there are more than sixteen of either, or fewer numbers.
    pub fn write_sums<V>(
        last: usize,
        classes: &[Sums],
        lines: Range<usize>,
        by_row: &[f64],
        by_column: &[f64; SIDE],
        out: &mut [f64],
        stride: usize,
        width: usize,
    ) {
        assert!(classes.len() > last && by_row.len() <= SIDE && width <= SIDE);
        let (by_column, _) = by_column.as_chunks::<8>();
        for i in lines.start..lines.end.min(by_row.len()) {
            let out = &mut out[i * stride..][..width];
            for h in 0..2 {
                let factor = V::load(&by_column[h]).mul(V::splat(by_row[i]));
                let numbers = total::<V>(last, classes, 2 * i + h).mul(factor);
                let (start, end) = (width.min(8 * h), width.min(8 * h + 8));
                let out = &mut out[start..end];
                match out.first_chunk_mut::<8>() {
                    Some(out) => numbers.store(out),
                    None => numbers.store_head(out),
                }
            }
        }
    }
}

/// Eight sums of all classes, each of which weighs 256 times as much as the next.
#[inline(always)]
fn total<V: Lanes>(last: usize, classes: &[Sums], at: usize) -> V {
    let mut total = eight::<V>(&classes[0], at);
    for c in 1..=last {
        total = total.mul_add(V::splat(256.0), eight(&classes[c], at));
    }
    total
}

#[inline(always)]
fn eight<V: Lanes>(sums: &Sums, at: usize) -> V {
    let (halves, _) = sums.0[at / 2].as_chunks::<8>();
    V::load_i32(&halves[at % 2])
}

/// What multiplies digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Intel's AMX.
    Amx,
    /// Ordinary instructions, for tests: the same bits, slowly.
    Emulated,
}

impl Unit {
    /// The one that this process may use, if any. The environment's `NEARLIN_AMX` decides when it is first asked for:
    /// `0` is none, `emulate` the emulation, else AMX if the machine has it and packs with AVX-512. The system is asked
    /// for permission here.
    pub fn available() -> Option<Self> {
        #[cfg(test)]
        if let Some(forced) = testing::FORCED.get() {
            return forced;
        }
        match asked_for().as_str() {
            "0" => None,
            "emulate" => Some(Self::Emulated),
            _ => Self::machines(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn machines() -> Option<Self> {
        (instruction_set() == InstructionSet::Avx512 && amx::is_permitted()).then_some(Self::Amx)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn machines() -> Option<Self> {
        None
    }

    /// Holds the unit for this thread until the result is dropped.
    pub fn hold(self) -> Held {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Held::Amx(amx::Tiles::new()),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Amx => Held::Emulated,
            Self::Emulated => Held::Emulated,
        }
    }
}

/// What the environment says.
fn asked_for() -> &'static String {
    static ASKED: LazyLock<String> = LazyLock::new(|| std::env::var("NEARLIN_AMX").unwrap_or_default());
    &ASKED
}

/// `"amx"`, `"emulated"` or `"none"`: what [`Unit::available`] is, or will be if the system permits it. Asks for nothing.
pub fn unit_name() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    let has_amx = instruction_set() == InstructionSet::Avx512 && amx::may_be_permitted();
    #[cfg(not(target_arch = "x86_64"))]
    let has_amx = false;
    match asked_for().as_str() {
        "0" => "none",
        "emulate" => "emulated",
        _ if has_amx => "amx",
        _ => "none",
    }
}

/// A unit that a thread holds.
pub enum Held {
    /// With its registers.
    #[cfg(target_arch = "x86_64")]
    Amx(amx::Tiles),
    /// Without any.
    Emulated,
}

impl Held {
    /// Products of the digits of a scheme, in steps of 64 terms, a tile for each digit, of the left operand `stored` of which
    /// the first are taken: `out[c]` becomes the sum of those of class c. There is no error while the terms are fewer than
    /// 2^31 over 2^14 times the digits. While the unit is at work `meanwhile` is told time and again which of sixteen lines are
    /// due, in order.
    ///
    /// Panics if the tiles are not those of as many steps, or there are fewer sums than classes.
    #[inline]
    pub fn multiply(
        &self,
        scheme: Scheme,
        left: &[Tile],
        stored: usize,
        right: &[Tile],
        out: &mut [Sums],
        mut meanwhile: impl FnMut(Range<usize>),
    ) {
        let pieces = right.len();
        let due = |piece| meanwhile(SIDE * (piece - 1) / pieces..SIDE * piece / pieces);
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(registers) => registers.multiply(scheme, left, stored, right, out, due),
            Self::Emulated => {
                emulate(scheme, left, stored, right, out);
                (1..=pieces).for_each(due);
            }
        }
        if pieces == 0 {
            meanwhile(0..SIDE);
        }
    }
}

fn emulate(scheme: Scheme, left: &[Tile], stored: usize, right: &[Tile], out: &mut [Sums]) {
    let Scheme { digits, last } = scheme;
    let steps = right.len() / digits;
    assert!(
        stored >= digits && left.len() == steps * stored && right.len() == steps * digits && out.len() > last
    );
    out[..=last].fill(Sums::ZERO);
    for (left, right) in left.chunks_exact(stored).zip(right.chunks_exact(digits)) {
        for (i, l) in
            (0..digits).flat_map(|i| (0..digits).map(move |l| (i, l))).filter(|(i, l)| i + l <= last)
        {
            add_products(&left[i], &right[l], &mut out[i + l]);
        }
    }
}

fn add_products(left: &Tile, right: &Tile, out: &mut Sums) {
    for i in 0..SIDE {
        for (line, terms) in right.0.iter().zip(left.0[i].as_chunks::<4>().0) {
            for j in 0..SIDE {
                let product = |r: usize| i32::from(terms[r]) * i32::from(line[4 * j + r]);
                out.0[i][j] += product(0) + product(1) + product(2) + product(3);
            }
        }
    }
}

/// The same with AVX-512.
///
/// Indices run over arrays here: a closure or an adaptor that is not inlined would leave the instruction set.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Lines, PLAIN, SIDE, TERMS, Tile, beyond, magic};
    use std::arch::x86_64::*;

    /// Rows that are asked for before they are needed.
    const AHEAD: usize = 8;

    /// Which of sixteen numbers there are, as masks of two registers.
    fn heads(columns: usize) -> [u8; 2] {
        let mask = (1u32 << columns.min(SIDE)) - 1;
        [mask as u8, (mask >> 8) as u8]
    }

    /// # Safety
    ///
    /// See [`super::cut_terms`].
    #[target_feature(enable = "avx512f")]
    pub unsafe fn cut_terms<const DIGITS: usize>(
        rows: Lines<'_>,
        scale: &[f64],
        tiles: &mut [Tile],
        panel: usize,
        spilt: &mut [u64],
    ) {
        let (data, tiles, magic) = (rows.data.as_ptr(), tiles.as_mut_ptr(), _mm512_set1_pd(magic(DIGITS)));
        for line in 0..TERMS / 4 {
            for group in 0..rows.ncols.div_ceil(SIDE) {
                let column = group * SIDE;
                let there = heads(rows.ncols - column);
                let (scale, marks) =
                    (scale.as_ptr().wrapping_add(column), spilt.as_mut_ptr().wrapping_add(column));
                // SAFETY: there are sixteen scales and marks for each group.
                let (scales, mut seen) = unsafe {
                    (
                        [_mm512_loadu_pd(scale), _mm512_loadu_pd(scale.add(8))],
                        [_mm512_loadu_si512(marks.cast()), _mm512_loadu_si512(marks.add(8).cast())],
                    )
                };
                let mut words = [[_mm512_setzero_si512(); 2]; 4];
                for r in 0..4 {
                    let row = 4 * line + r;
                    let masks = if row < rows.nrows { there } else { [0; 2] };
                    let from = data.wrapping_add(row * rows.stride + column);
                    let later = from.wrapping_add(AHEAD * rows.stride);
                    _mm_prefetch::<_MM_HINT_T0>(later.cast());
                    _mm_prefetch::<_MM_HINT_T0>(later.wrapping_add(8).cast());
                    for h in 0..2 {
                        // SAFETY: of rows that there are, columns that there are.
                        let x = unsafe { _mm512_maskz_loadu_pd(masks[h], from.wrapping_add(8 * h)) };
                        words[r][h] = _mm512_castpd_si512(_mm512_fmadd_pd(x, scales[h], magic));
                        seen[h] = mark(seen[h], words[r][h]);
                    }
                }
                // SAFETY: as above, and as many tiles as digits.
                unsafe {
                    _mm512_storeu_si512(marks.cast(), seen[0]);
                    _mm512_storeu_si512(marks.add(8).cast(), seen[1]);
                    store::<DIGITS>(words, tiles.add(group * panel), line);
                }
            }
        }
        for mark in spilt {
            *mark &= beyond(DIGITS);
        }
    }

    /// # Safety
    ///
    /// See [`super::cut_rows`].
    #[target_feature(enable = "avx512f")]
    pub unsafe fn cut_rows<const DIGITS: usize>(
        rows: Lines<'_>,
        scale: &[f64],
        powers: &[f64; SIDE],
        tiles: &mut [Tile],
    ) -> [bool; SIDE] {
        let (data, scale) = (rows.data.as_ptr(), scale.as_ptr());
        let (tiles, magic) = (tiles.as_mut_ptr(), _mm512_set1_pd(magic(DIGITS)));
        let mut spilt = [false; SIDE];
        for line in 0..SIDE {
            let power = _mm512_set1_pd(powers[line]);
            let mut seen = _mm512_setzero_si512();
            for step in 0..rows.ncols.div_ceil(TERMS) {
                let mut words = [[_mm512_setzero_si512(); 2]; 4];
                for r in 0..4 {
                    let column = step * TERMS + r * SIDE;
                    let there = if line < rows.nrows { rows.ncols.saturating_sub(column) } else { 0 };
                    let (masks, from) = (heads(there), data.wrapping_add(line * rows.stride + column));
                    for h in 0..2 {
                        // SAFETY: columns that there are of a row that there is, and a scale for every column of a tile.
                        let (x, scale) = unsafe {
                            (
                                _mm512_maskz_loadu_pd(masks[h], from.wrapping_add(8 * h)),
                                _mm512_loadu_pd(scale.add(column + 8 * h)),
                            )
                        };
                        let word = _mm512_fmadd_pd(_mm512_mul_pd(x, scale), power, magic);
                        words[r][h] = _mm512_castpd_si512(word);
                        seen = mark(seen, words[r][h]);
                    }
                }
                // SAFETY: there are as many tiles as digits for every step.
                unsafe { store::<DIGITS>(words, tiles.add(step * DIGITS), line) };
            }
            spilt[line] = _mm512_test_epi64_mask(seen, _mm512_set1_epi64(beyond(DIGITS) as i64)) != 0;
        }
        spilt
    }

    /// Bits in which a word differed from [`PLAIN`], with those of another one.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn mark(seen: __m512i, word: __m512i) -> __m512i {
        const OR_XOR: i32 = 0xf6;
        _mm512_ternarylogic_epi64::<OR_XOR>(seen, word, _mm512_set1_epi64(PLAIN.to_bits() as i64))
    }

    /// Line `line` of the tiles of all digits, from the words of four times sixteen numbers: for each digit the bytes of
    /// four numbers become a word.
    ///
    /// # Safety
    ///
    /// There are as many tiles as digits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const DIGITS: usize>(words: [[__m512i; 2]; 4], tiles: *mut Tile, line: usize) {
        for half in 0..DIGITS.div_ceil(4) {
            let mut halves = [_mm512_setzero_si512(); 4];
            for r in 0..4 {
                halves[r] = half_of(words[r][0], words[r][1], half);
            }
            let bytes = transposed(halves);
            for b in 0..(DIGITS - 4 * half).min(4) {
                let signed = _mm512_xor_si512(bytes[b], _mm512_set1_epi8(-128));
                // SAFETY: by the caller; a line is 64 bytes, aligned as tiles are.
                unsafe {
                    let tile = tiles.add(DIGITS - 1 - 4 * half - b);
                    _mm512_store_si512((&raw mut (*tile).0[line]).cast(), signed);
                }
            }
        }
    }

    /// The low or the high halves of sixteen words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn half_of(left: __m512i, right: __m512i, half: usize) -> __m512i {
        let low = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let high = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        _mm512_permutex2var_epi32(left, if half == 0 { low } else { high }, right)
    }

    /// Result b has the bytes b of all four.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(words: [__m512i; 4]) -> [__m512i; 4] {
        const CHOOSE: i32 = 0xca;
        let (even, low) = (_mm512_set1_epi32(0x00ff_00ff), _mm512_set1_epi32(0xffff));
        let mut pairs = [[even; 2]; 2];
        for p in 0..2 {
            let (x, y) = (words[2 * p], words[2 * p + 1]);
            pairs[0][p] = _mm512_ternarylogic_epi32::<CHOOSE>(even, x, _mm512_slli_epi32::<8>(y));
            pairs[1][p] = _mm512_ternarylogic_epi32::<CHOOSE>(even, _mm512_srli_epi32::<8>(x), y);
        }
        let mut bytes = [even; 4];
        for k in 0..2 {
            let [x, y] = pairs[k];
            bytes[k] = _mm512_ternarylogic_epi32::<CHOOSE>(low, x, _mm512_slli_epi32::<16>(y));
            bytes[k + 2] = _mm512_ternarylogic_epi32::<CHOOSE>(low, _mm512_srli_epi32::<16>(x), y);
        }
        bytes
    }

    /// Four words of every line at a time: those of lines r, r + 4, r + 8 and r + 12 in one register, four such
    /// transposed within their quarters.
    #[target_feature(enable = "avx512f")]
    pub fn turn(tile: &Tile, turned: &mut Tile) {
        for q in 0..4 {
            let mut rows = [_mm512_setzero_si512(); 4];
            for r in 0..4 {
                rows[r] = _mm512_castsi128_si512(quarter(tile, r, q));
                rows[r] = _mm512_inserti32x4::<1>(rows[r], quarter(tile, r + 4, q));
                rows[r] = _mm512_inserti32x4::<2>(rows[r], quarter(tile, r + 8, q));
                rows[r] = _mm512_inserti32x4::<3>(rows[r], quarter(tile, r + 12, q));
            }
            let (a, b) = (_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3]));
            let (c, d) = (_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3]));
            let lines = [
                _mm512_unpacklo_epi64(a, b),
                _mm512_unpackhi_epi64(a, b),
                _mm512_unpacklo_epi64(c, d),
                _mm512_unpackhi_epi64(c, d),
            ];
            for w in 0..4 {
                // SAFETY: a line is 64 bytes, aligned as tiles are.
                unsafe { _mm512_store_si512(turned.0[4 * q + w].as_mut_ptr().cast(), lines[w]) };
            }
        }
    }

    /// Four words of a line.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn quarter(tile: &Tile, line: usize, q: usize) -> __m128i {
        // SAFETY: a line is 64 bytes, aligned as tiles are.
        unsafe { _mm_load_si128(tile.0[line].as_ptr().add(SIDE * q).cast()) }
    }
}

/// For tests: the unit that this thread's calls use.
#[cfg(test)]
pub(crate) mod testing {
    use super::Unit;
    use std::cell::Cell;

    thread_local! {
        pub(super) static FORCED: Cell<Option<Option<Unit>>> = const { Cell::new(None) };
    }

    /// What `work` gives with this unit, or none.
    pub(crate) fn with_unit<T>(unit: Option<Unit>, work: impl FnOnce() -> T) -> T {
        FORCED.set(Some(unit));
        let result = work();
        FORCED.set(None);
        result
    }

    /// The emulation, and what the machine has.
    pub(crate) fn units() -> Vec<Unit> {
        std::iter::once(Unit::Emulated).chain(Unit::machines()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::units;
    use super::*;
    use crate::simd::testing::on_every_path;

    const SCHEMES: [Scheme; 7] = [
        Scheme::whole(2),
        Scheme::whole(3),
        Scheme::whole(4),
        Scheme::leading(3),
        Scheme::leading(4),
        Scheme::leading(5),
        Scheme::leading(6),
    ];

    fn noise(k: usize) -> u64 {
        let mut z = (k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    }

    fn tiles(count: usize, digit: impl Fn(usize) -> i8) -> Vec<Tile> {
        let tile = |at: usize| {
            let line = |i: usize| std::array::from_fn(|k| digit((at * SIDE + i) * TERMS + k));
            Tile(std::array::from_fn(line))
        };
        (0..count).map(tile).collect()
    }

    /// The sum of a class, entry by entry.
    fn class(
        [stored, digits, class]: [usize; 3],
        left: &[Tile],
        right: &[Tile],
        (i, j): (usize, usize),
    ) -> i64 {
        let mut sum = 0;
        for (left, right) in left.chunks(stored).zip(right.chunks(digits)) {
            for (a, b) in (0..=class).map(|a| (a, class - a)).filter(|&(a, b)| a < digits && b < digits) {
                for k in 0..TERMS {
                    sum += i64::from(left[a].0[i][k]) * i64::from(right[b].0[k / 4][4 * j + k % 4]);
                }
            }
        }
        sum
    }

    #[test]
    fn every_unit_gives_the_exact_sums_of_random_and_of_extreme_digits() {
        for unit in units() {
            let held = unit.hold();
            for scheme in SCHEMES {
                for (seed, steps) in [(0, 0), (1, 1), (2, 3), (3, 4), (4, 9)] {
                    let stored = scheme.digits + seed % 2;
                    let (of_left, of_right) = (steps * stored, steps * scheme.digits);
                    let random = |k: usize| noise(k + (seed << 32)) as i8;
                    for (left, right) in [
                        (tiles(of_left, random), tiles(of_right, |k| random(k + 77))),
                        (tiles(of_left, |_| -128), tiles(of_right, |_| -128)),
                        (tiles(of_left, |_| -128), tiles(of_right, |_| 127)),
                        (tiles(of_left, |_| 127), tiles(of_right, |_| 127)),
                    ] {
                        let mut sums = [Sums([[7; SIDE]; SIDE]); CLASSES];
                        let mut done = Vec::new();
                        held.multiply(scheme, &left, stored, &right, &mut sums, |lines| done.extend(lines));
                        assert!(done.into_iter().eq(0..SIDE));
                        for (c, at) in (0..=scheme.last).zip([
                            (0, 0),
                            (3, 15),
                            (15, 2),
                            (8, 8),
                            (1, 7),
                            (15, 15),
                            (0, 9),
                        ]) {
                            let exact = class([stored, scheme.digits, c], &left, &right, at);
                            assert_eq!(
                                i64::from(sums[c].0[at.0][at.1]),
                                exact,
                                "{unit:?}, {scheme:?}, class {c}"
                            );
                        }
                        assert!(sums[scheme.last + 1..].iter().all(|sums| sums.0 == [[7; SIDE]; SIDE]));
                    }
                }
            }
        }
    }

    /// A hundred thousand tiles, every bit.
    #[test]
    fn the_emulation_is_the_unit_bit_for_bit() {
        for (at, scheme) in SCHEMES.into_iter().enumerate() {
            let steps = 100_000 / SCHEMES.len() / scheme.digits;
            let every = |k: usize| match noise(k >> 16) % 8 {
                0 => -128,
                1 => 127,
                _ => noise(k + (at << 40)) as i8,
            };
            // As many terms as the scheme is exact for, and no more.
            for start in (0..steps).step_by(64) {
                let count = 64.min(steps - start) * scheme.digits;
                let left = tiles(count, |k| every(k + (start << 14)));
                let right = tiles(count, |k| every(k + (start << 14) + (1 << 50)));
                let outcomes = units().into_iter().map(|unit| {
                    let mut sums = [Sums::ZERO; CLASSES];
                    unit.hold().multiply(scheme, &left, scheme.digits, &right, &mut sums, |_| ());
                    sums
                });
                let outcomes: Vec<_> = outcomes.collect();
                assert!(outcomes.iter().all(|sums| *sums == outcomes[0]), "{scheme:?}");
            }
        }
    }

    /// Numbers of every kind within the range of a scheme, and their integers, to which half way they are rounded to even.
    fn numbers(digits: usize) -> Vec<(f64, i64)> {
        let most = (0..digits).map(|t| 127 << (8 * t)).sum::<i64>();
        let least = -(0..digits).map(|t| 128 << (8 * t)).sum::<i64>();
        let mut all: Vec<(f64, i64)> =
            [0, 1, -1, 127, 128, -128, -129, 255, most, most - 1, least, least + 1]
                .map(|integer| (integer as f64, integer))
                .to_vec();
        all.extend([
            (0.5, 0),
            (-0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-2.5, -2),
            (-0.0, 0),
            (5e-324, 0),
            (-1e-300, 0),
        ]);
        all.extend((0..200).map(|k| {
            let x = (noise(k) as f64 / 2f64.powi(64) - 0.5) * 0.99 * 256f64.powi(digits as i32);
            (x, x.round_ties_even() as i64)
        }));
        all
    }

    fn integer(digits: impl Iterator<Item = i8>) -> i64 {
        digits.fold(0, |sum, digit| sum * 256 + i64::from(digit))
    }

    #[test]
    fn digits_are_those_of_the_rounded_number_times_its_power() {
        for digits in 2..=4 {
            let numbers = numbers(digits);
            for (ncols, power) in [(1usize, 1.0), (16, 2f64.powi(-40)), (19, 2f64.powi(900)), (40, 8.0)] {
                let scale: Vec<f64> =
                    (0..ncols.next_multiple_of(16)).map(|j| power * 2f64.powi(j as i32 % 5)).collect();
                for chunk in numbers.chunks(ncols * 7) {
                    let x: Vec<f64> =
                        chunk.iter().enumerate().map(|(k, (x, _))| x / scale[k % ncols]).collect();
                    let nrows = x.len() / ncols;
                    let panel = digits + 1;
                    let outcomes = on_every_path(|| {
                        let mut tiles = vec![Tile([[9; TERMS]; SIDE]); scale.len() / 16 * panel];
                        let mut spilt = vec![1; scale.len()];
                        let lines = Lines::new(&x, ncols, (nrows, ncols));
                        cut_terms(digits, lines, &scale, &mut tiles, panel, &mut spilt);
                        assert!(spilt.iter().all(|&spilt| spilt == 0));
                        tiles
                    });
                    assert!(outcomes.iter().all(|tiles| *tiles == outcomes[0]));
                    for (row, column) in
                        (0..TERMS).flat_map(|row| (0..scale.len()).map(move |column| (row, column)))
                    {
                        let digit = |t: usize| {
                            outcomes[0][column / 16 * panel + t].0[row / 4][4 * (column % 16) + row % 4]
                        };
                        let there = row < nrows && column < ncols;
                        let exact = if there { chunk[row * ncols + column].1 } else { 0 };
                        // What is subnormal has been rounded before.
                        assert_eq!(
                            integer((0..digits).map(digit)),
                            exact,
                            "{digits} digits, [{row}, {column}]"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn products_with_factors_that_are_no_powers_of_two_are_rounded_once_on_every_path() {
        let x: Vec<f64> = (0..64 * 16).map(|k| (noise(k) >> 11) as f64 / 2f64.powi(54)).collect();
        let scale: Vec<f64> = (0..16).map(|k| 1e7 + noise(k + 99) as f64 / 2f64.powi(63)).collect();
        for tiles in on_every_path(|| {
            let (mut tiles, mut spilt) = (vec![Tile::ZERO; 3], vec![0; 16]);
            cut_terms(3, Lines::new(&x, 16, (64, 16)), &scale, &mut tiles, 3, &mut spilt);
            tiles
        }) {
            for (row, column) in (0..TERMS).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
                let digit = |t: usize| tiles[t].0[row / 4][4 * column + row % 4];
                let once = x[row * 16 + column].mul_add(scale[column], PLAIN) - PLAIN;
                assert_eq!(integer((0..3).map(digit)), once as i64);
            }
        }
    }

    #[test]
    fn digits_of_rows_are_in_the_order_of_their_terms() {
        for digits in 4..=6 {
            let numbers = numbers(digits);
            for ncols in [1, 15, 64, 65, 130] {
                let (steps, powers) =
                    (usize::div_ceil(ncols, TERMS), std::array::from_fn(|i| 2f64.powi(i as i32 - 7)));
                let scale: Vec<f64> = (0..steps * TERMS).map(|j| 2f64.powi(j as i32 % 3)).collect();
                let nrows = (numbers.len() / ncols).min(13);
                let entry = |i: usize, j: usize| numbers[i * ncols + j];
                let x: Vec<f64> = (0..nrows * ncols)
                    .map(|k| entry(k / ncols, k % ncols).0 / scale[k % ncols] / powers[k / ncols])
                    .collect();
                let outcomes = on_every_path(|| {
                    let mut tiles = vec![Tile([[9; TERMS]; SIDE]); steps * digits];
                    let spilt =
                        cut_rows(digits, Lines::new(&x, ncols, (nrows, ncols)), &scale, &powers, &mut tiles);
                    assert_eq!(spilt, [false; SIDE]);
                    tiles
                });
                assert!(outcomes.iter().all(|tiles| *tiles == outcomes[0]));
                for (i, step, place) in
                    (0..SIDE).flat_map(|i| (0..steps).flat_map(move |s| (0..TERMS).map(move |p| (i, s, p))))
                {
                    let j = step * TERMS + term_of(place);
                    let exact = if i < nrows && j < ncols { entry(i, j).1 } else { 0 };
                    let digit = |t: usize| outcomes[0][step * digits + t].0[i][place];
                    assert_eq!(integer((0..digits).map(digit)), exact, "{digits} digits, [{i}, {j}]");
                }
            }
        }
        let mut places: Vec<usize> = (0..TERMS).map(term_of).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..TERMS));
    }

    #[test]
    fn what_has_more_digits_or_is_not_finite_is_seen_in_its_column_and_in_its_row() {
        for digits in 2..=4 {
            let most = (0..digits).map(|t| 127.0 * 256f64.powi(t as i32)).sum::<f64>();
            let least = -(0..digits).map(|t| 128.0 * 256f64.powi(t as i32)).sum::<f64>();
            for (value, is_spilt) in [
                (most, false),
                (least, false),
                (most + 1.0, true),
                (least - 1.0, true),
                (1e300, true),
                (-1e300, true),
                (f64::NAN, true),
                (f64::INFINITY, true),
                (f64::NEG_INFINITY, true),
            ] {
                let mut x = vec![1.0; 9 * 21];
                x[5 * 21 + 18] = value;
                let seen = on_every_path(|| {
                    let (mut tiles, mut spilt) = (vec![Tile::ZERO; 2 * digits], vec![0; 32]);
                    cut_terms(
                        digits,
                        Lines::new(&x, 21, (9, 21)),
                        &[1.0; 32],
                        &mut tiles,
                        digits,
                        &mut spilt,
                    );
                    spilt
                });
                for spilt in seen {
                    let columns: Vec<usize> = (0..32).filter(|&j| spilt[j] != 0).collect();
                    assert_eq!(
                        columns,
                        if is_spilt { vec![18] } else { vec![] },
                        "{value} of {digits} digits"
                    );
                }
            }
        }
        for value in [f64::NAN, f64::INFINITY, 256f64.powi(5), -256f64.powi(5)] {
            let mut x = vec![1.0; 9 * 70];
            x[5 * 70 + 69] = value;
            let seen = on_every_path(|| {
                let mut tiles = vec![Tile::ZERO; 2 * 5];
                cut_rows(5, Lines::new(&x, 70, (9, 70)), &[1.0; 128], &[1.0; SIDE], &mut tiles)
            });
            assert!(seen.into_iter().all(|spilt| (0..SIDE).all(|i| spilt[i] == (i == 5))), "{value}");
        }
    }

    #[test]
    fn turned_words_are_those_of_the_other_operand() {
        let tiles = tiles(5, |k| noise(k) as i8);
        for turned in on_every_path(|| {
            let mut turned = vec![Tile::ZERO; 5];
            turn(&tiles, &mut turned);
            turned
        }) {
            for (i, j, r) in (0..16).flat_map(|i| (0..16).flat_map(move |j| (0..4).map(move |r| (i, j, r)))) {
                assert_eq!(turned[3].0[j][4 * i + r], tiles[3].0[i][4 * j + r]);
            }
        }
    }

    #[test]
    fn sums_of_classes_are_numbers() {
        let entry = |c: usize, i: usize, j: usize| (noise(c * 256 + i * 16 + j) >> 41) as i32 - (1 << 22);
        let classes: Vec<Sums> = (0..CLASSES)
            .map(|c| Sums(std::array::from_fn(|i| std::array::from_fn(|j| entry(c, i, j)))))
            .collect();
        for scheme in SCHEMES {
            let total = |i: usize, j: usize| {
                (0..=scheme.last).fold(0, |sum, c| sum * 256 + i128::from(classes[c].0[i][j])) as f64
            };
            let near = |found: f64, exact: f64| {
                (found - exact).abs() <= 1e-15 * 2f64.powi(22 + 8 * scheme.last as i32)
            };
            for sums in on_every_path(|| {
                let mut sums = [3.0; SIDE * SIDE];
                add_sums(scheme.last, &classes, 0..SIDE, &mut sums);
                for lines in [0..3, 3..SIDE] {
                    add_sums(scheme.last, &classes, lines, &mut sums);
                }
                sums
            }) {
                assert!(
                    (0..SIDE * SIDE).all(|at| near((sums[at] - 3.0) / 2.0, total(at / SIDE, at % SIDE))),
                    "{scheme:?}"
                );
            }
            let by_row = [2.0, 0.5, f64::NAN];
            let by_column = std::array::from_fn(|k| 2f64.powi(k as i32));
            for width in [3, 8, 11, 16] {
                for out in on_every_path(|| {
                    let mut out = vec![7.0; 2 * 20 + width];
                    for lines in [0..0, 0..5, 5..SIDE] {
                        write_sums(scheme.last, &classes, lines, &by_row, &by_column, &mut out, 20, width);
                    }
                    out
                }) {
                    for (at, &found) in out.iter().enumerate() {
                        match (at / 20, at % 20) {
                            (_, j) if j >= width => assert_eq!(found, 7.0),
                            (2, _) => assert!(found.is_nan()),
                            (i, j) => assert!(near(found / by_row[i] / by_column[j], total(i, j))),
                        }
                    }
                }
            }
        }
    }
}
