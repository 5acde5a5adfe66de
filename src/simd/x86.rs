//! Lanes of AVX-512 and of AVX2.
//!
//! The intrinsics need their instructions: a value of a vector type is the proof that the machine has
//! them, since only functions compiled for those instructions, and entered after a check, make one.

use super::lanes::{Lanes, Register};
use std::arch::x86_64::*;

/// One 512-bit register. Needs AVX-512F.
#[derive(Clone, Copy)]
pub struct Avx512<R>(R);

macro_rules! avx512 {
    (
        $number:ty, $count:literal, $register:ty, $mask:ty, $set1:ident, $loadu:ident, $maskz_loadu:ident,
        $storeu:ident, $mask_storeu:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fmadd:ident,
        $halves:ident, $sum:ident, $sums:ident
    ) => {
        impl Register for Avx512<$register> {
            type Number = $number;
            type Chunk = [$number; $count];
            const COUNT: usize = $count;
            #[inline(always)]
            fn splat(value: $number) -> Self {
                // SAFETY: AVX-512F is there, as the module says.
                Self(unsafe { $set1(value) })
            }
            #[inline(always)]
            fn load(from: &[$number; $count]) -> Self {
                // SAFETY: as above; an unaligned read of a whole array.
                Self(unsafe { $loadu(from.as_ptr()) })
            }
            #[inline(always)]
            fn load_head(from: &[$number]) -> Self {
                // SAFETY: as above; lanes past the end of the slice are masked.
                Self(unsafe { $maskz_loadu(head(from) as $mask, from.as_ptr()) })
            }
            #[inline(always)]
            fn store(self, to: &mut [$number; $count]) {
                // SAFETY: as above; an unaligned write of a whole array.
                unsafe { $storeu(to.as_mut_ptr(), self.0) }
            }
            #[inline(always)]
            fn store_head(self, to: &mut [$number]) {
                // SAFETY: as above; lanes past the end of the slice are masked.
                unsafe { $mask_storeu(to.as_mut_ptr(), head(to) as $mask, self.0) }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $fmadd(self.0, factor.0, term.0) })
            }
            #[inline(always)]
            fn sum(self) -> $number {
                // SAFETY: as above; AVX-512F implies AVX.
                unsafe { $sum($halves(self.0)) }
            }
            #[inline(always)]
            fn sums_of_four([a, b, c, d]: [Self; 4]) -> [$number; 4] {
                // SAFETY: as above.
                unsafe { $sums([a.0, b.0, c.0, d.0]) }
            }
        }
    };
}
avx512!(
    f64,
    8,
    __m512d,
    u8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_sqrt_pd,
    _mm512_fmadd_pd,
    double_halves,
    quad_sum,
    four_double_sums
);
avx512!(
    f32,
    16,
    __m512,
    u16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_sqrt_ps,
    _mm512_fmadd_ps,
    single_halves,
    eight_sum,
    four_single_sums
);

impl Lanes for Avx512<__m512d> {
    type Singles = Avx512<__m512>;
    const ROOM: usize = 16;
    #[inline(always)]
    fn load_f32(from: &[f32; 8]) -> Self {
        // SAFETY: as above; an unaligned read of a whole array.
        Self(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(from.as_ptr())) })
    }
    #[inline(always)]
    fn load_head_f32(from: &[f32]) -> Self {
        // SAFETY: as above; lanes past the end of the slice are masked.
        let singles = unsafe { _mm512_maskz_loadu_ps(head(from), from.as_ptr()) };
        // SAFETY: as above.
        Self(unsafe { _mm512_cvtps_pd(_mm512_castps512_ps256(singles)) })
    }
    #[inline(always)]
    fn load_i32(from: &[i32; 8]) -> Self {
        // SAFETY: as above; an unaligned read of a whole array.
        Self(unsafe { _mm512_cvtepi32_pd(_mm256_loadu_si256(from.as_ptr().cast())) })
    }
    #[inline(always)]
    fn set([a, b, c, d, e, f, g, h]: [f64; 8]) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_setr_pd(a, b, c, d, e, f, g, h) })
    }
    #[inline(always)]
    fn sums(rows: [Self; 8]) -> Self {
        let [a, e, b, f, c, g, d, h] = rows;
        let even = a.halves(b).quarters(c.halves(d));
        let odd = e.halves(f).quarters(g.halves(h));
        // SAFETY: as above. Even and odd lanes of `low` and `high` belong to one row each.
        let (low, high) = unsafe { (_mm512_unpacklo_pd(even.0, odd.0), _mm512_unpackhi_pd(even.0, odd.0)) };
        Self(low).add(Self(high))
    }
    #[inline(always)]
    fn transpose([a, b, c, d, e, f, g, h]: [Self; 8]) -> [Self; 8] {
        let ([ab, ab_odd], [cd, cd_odd]) = (a.pairs(b), c.pairs(d));
        let ([ef, ef_odd], [gh, gh_odd]) = (e.pairs(f), g.pairs(h));
        let ([top_04, top_26], [top_15, top_37]) = (ab.blocks(cd), ab_odd.blocks(cd_odd));
        let ([low_04, low_26], [low_15, low_37]) = (ef.blocks(gh), ef_odd.blocks(gh_odd));
        let ([c0, c4], [c1, c5]) = (top_04.blocks(low_04), top_15.blocks(low_15));
        let ([c2, c6], [c3, c7]) = (top_26.blocks(low_26), top_37.blocks(low_37));
        [c0, c1, c2, c3, c4, c5, c6, c7]
    }
    #[inline(always)]
    fn prefetch<T>(address: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) }
    }
    #[inline(always)]
    fn prefetch_far<T>(address: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch(address.cast(), _MM_HINT_T1) }
    }
}

/// Steps of `sums`: each halves the lanes that a row takes and doubles the rows in a register.
impl Avx512<__m512d> {
    /// Lanes k and k + 4 of one row and of another.
    #[inline(always)]
    fn halves(self, other: Self) -> Self {
        // SAFETY: as above.
        let low = unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0x44) };
        // SAFETY: as above.
        Self(low).add(Self(unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0xEE) }))
    }
    /// Then lanes k and k + 2 of four rows.
    #[inline(always)]
    fn quarters(self, other: Self) -> Self {
        // SAFETY: as above.
        let low = unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0x88) };
        // SAFETY: as above.
        Self(low).add(Self(unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0xDD) }))
    }
}

/// Steps of `transpose`.
impl Avx512<__m512d> {
    /// Even lanes of two rows in turn, and odd ones.
    #[inline(always)]
    fn pairs(self, other: Self) -> [Self; 2] {
        // SAFETY: as above.
        unsafe { [Self(_mm512_unpacklo_pd(self.0, other.0)), Self(_mm512_unpackhi_pd(self.0, other.0))] }
    }
    /// Even blocks of two lanes of one, then of the other, and odd ones.
    #[inline(always)]
    fn blocks(self, other: Self) -> [Self; 2] {
        // SAFETY: as above.
        let even = unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0x88) };
        // SAFETY: as above.
        [Self(even), Self(unsafe { _mm512_shuffle_f64x2(self.0, other.0, 0xDD) })]
    }
}

/// Mask of as many lanes as the slice is long.
#[inline(always)]
fn head<T>(slice: &[T]) -> u16 {
    debug_assert!(size_of_val(slice) <= 64);
    1u32.wrapping_shl(slice.len() as u32).wrapping_sub(1) as u16
}

/// The sum of both halves. Needs AVX-512F.
#[inline(always)]
unsafe fn double_halves(all: __m512d) -> __m256d {
    // SAFETY: the caller has AVX-512F.
    unsafe { _mm256_add_pd(_mm512_castpd512_pd256(all), _mm512_extractf64x4_pd(all, 1)) }
}

/// The sum of both halves. Needs AVX-512F.
#[inline(always)]
unsafe fn single_halves(all: __m512) -> __m256 {
    // SAFETY: the caller has AVX-512F.
    unsafe {
        let high = _mm512_extractf64x4_pd(_mm512_castps_pd(all), 1);
        _mm256_add_ps(_mm512_castps512_ps256(all), _mm256_castpd_ps(high))
    }
}

/// Sums of four registers, each as [`Register::sum`] has it. Needs AVX-512F.
#[inline(always)]
unsafe fn four_double_sums([a, b, c, d]: [__m512d; 4]) -> [f64; 4] {
    // SAFETY: the caller has AVX-512F.
    unsafe {
        let twos = Avx512(a).halves(Avx512(b)).quarters(Avx512(c).halves(Avx512(d))).0;
        let ones = _mm512_add_pd(twos, _mm512_permute_pd(twos, 0x55));
        let order = _mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6);
        let mut sums = [0.0; 4];
        _mm256_storeu_pd(sums.as_mut_ptr(), _mm512_castpd512_pd256(_mm512_permutexvar_pd(order, ones)));
        sums
    }
}

/// Lanes k and k + 8 of one register and of another. Needs AVX-512F.
#[inline(always)]
unsafe fn halves_of_two(a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller has AVX-512F.
    unsafe { _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE)) }
}

/// Sums of four registers, each as [`Register::sum`] has it. Needs AVX-512F.
#[inline(always)]
unsafe fn four_single_sums([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
    // SAFETY: the caller has AVX-512F.
    unsafe {
        let (ab, cd) = (halves_of_two(a, b), halves_of_two(c, d));
        let fours = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
        let twos = _mm512_add_ps(fours, _mm512_permute_ps(fours, 0x4E));
        let ones = _mm512_add_ps(twos, _mm512_permute_ps(twos, 0xB1));
        let order = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
        let mut sums = [0.0; 4];
        _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(_mm512_permutexvar_ps(order, ones)));
        sums
    }
}

/// As [`Register::sum`] has it. Needs AVX.
#[inline(always)]
unsafe fn eight_sum(eight: __m256) -> f32 {
    // SAFETY: the caller has AVX.
    unsafe {
        let quad = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)))
    }
}

/// (0 + 2) + (1 + 3). Needs AVX.
#[inline(always)]
unsafe fn quad_sum(quad: __m256d) -> f64 {
    // SAFETY: the caller has AVX.
    unsafe {
        let pair = _mm_add_pd(_mm256_castpd256_pd128(quad), _mm256_extractf128_pd(quad, 1));
        _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)))
    }
}

/// Two 256-bit registers. Needs AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2<R>(R, R);

macro_rules! avx2 {
    (
        $number:ty, $count:literal, $register:ty, $set1:ident, $loadu:ident, $maskload:ident, $storeu:ident,
        $maskstore:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fmadd:ident, $sum:ident
    ) => {
        impl Register for Avx2<$register> {
            type Number = $number;
            type Chunk = [$number; $count];
            const COUNT: usize = $count;
            #[inline(always)]
            fn splat(value: $number) -> Self {
                // SAFETY: AVX2 and FMA are there, as the module says.
                let half = unsafe { $set1(value) };
                Self(half, half)
            }
            #[inline(always)]
            fn load(from: &[$number; $count]) -> Self {
                // SAFETY: as above; two unaligned reads within the array.
                unsafe { Self($loadu(from.as_ptr()), $loadu(from[$count / 2..].as_ptr())) }
            }
            #[inline(always)]
            fn load_head(from: &[$number]) -> Self {
                let (low, high) = head_masks(from);
                // SAFETY: as above; lanes past the end of the slice are masked and not read.
                unsafe {
                    let second = from.as_ptr().wrapping_add($count / 2);
                    Self($maskload(from.as_ptr(), low), $maskload(second, high))
                }
            }
            #[inline(always)]
            fn store(self, to: &mut [$number; $count]) {
                let (low, high) = to.split_at_mut($count / 2);
                // SAFETY: as above; two unaligned writes within the array.
                unsafe {
                    $storeu(low.as_mut_ptr(), self.0);
                    $storeu(high.as_mut_ptr(), self.1);
                }
            }
            #[inline(always)]
            fn store_head(self, to: &mut [$number]) {
                let (low, high) = head_masks(to);
                // SAFETY: as above; lanes past the end of the slice are masked and not written.
                unsafe {
                    $maskstore(to.as_mut_ptr(), low, self.0);
                    $maskstore(to.as_mut_ptr().wrapping_add($count / 2), high, self.1);
                }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { Self($add(self.0, other.0), $add(self.1, other.1)) }
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { Self($sub(self.0, other.0), $sub(self.1, other.1)) }
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { Self($mul(self.0, other.0), $mul(self.1, other.1)) }
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { Self($div(self.0, other.0), $div(self.1, other.1)) }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: as above.
                unsafe { Self($sqrt(self.0), $sqrt(self.1)) }
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: as above.
                unsafe { Self($fmadd(self.0, factor.0, term.0), $fmadd(self.1, factor.1, term.1)) }
            }
            #[inline(always)]
            fn sum(self) -> $number {
                // SAFETY: as above.
                unsafe { $sum($add(self.0, self.1)) }
            }
        }
    };
}
avx2!(
    f64,
    8,
    __m256d,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_maskload_pd,
    _mm256_storeu_pd,
    _mm256_maskstore_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    quad_sum
);
avx2!(
    f32,
    16,
    __m256,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_maskload_ps,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    eight_sum
);

impl Lanes for Avx2<__m256d> {
    type Singles = Avx2<__m256>;
    const ROOM: usize = 4;
    #[inline(always)]
    fn load_f32(from: &[f32; 8]) -> Self {
        // SAFETY: as above; two unaligned reads within the array.
        let (low, high) = unsafe { (_mm_loadu_ps(from.as_ptr()), _mm_loadu_ps(from[4..].as_ptr())) };
        // SAFETY: as above.
        unsafe { Self(_mm256_cvtps_pd(low), _mm256_cvtps_pd(high)) }
    }
    #[inline(always)]
    fn load_head_f32(from: &[f32]) -> Self {
        let mut all = [0.0; 8];
        all[..from.len()].copy_from_slice(from);
        Self::load_f32(&all)
    }
    #[inline(always)]
    fn load_i32(from: &[i32; 8]) -> Self {
        let [low, high] = [from.as_ptr(), from[4..].as_ptr()];
        // SAFETY: as above; two unaligned reads within the array.
        unsafe {
            Self(
                _mm256_cvtepi32_pd(_mm_loadu_si128(low.cast())),
                _mm256_cvtepi32_pd(_mm_loadu_si128(high.cast())),
            )
        }
    }
    #[inline(always)]
    fn set([a, b, c, d, e, f, g, h]: [f64; 8]) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_setr_pd(a, b, c, d), _mm256_setr_pd(e, f, g, h)) }
    }
    #[inline(always)]
    fn sums(rows: [Self; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = rows;
        // SAFETY: as above.
        unsafe { Self(quad_sums([a, b, c, d]), quad_sums([e, f, g, h])) }
    }
    #[inline(always)]
    fn transpose([a, b, c, d, e, f, g, h]: [Self; 8]) -> [Self; 8] {
        // SAFETY: as above.
        unsafe {
            let (low, high) = (quad_transpose([a.0, b.0, c.0, d.0]), quad_transpose([e.0, f.0, g.0, h.0]));
            let (next, last) = (quad_transpose([a.1, b.1, c.1, d.1]), quad_transpose([e.1, f.1, g.1, h.1]));
            let ([a0, a1, a2, a3], [e0, e1, e2, e3]) = (low, high);
            let ([a4, a5, a6, a7], [e4, e5, e6, e7]) = (next, last);
            [
                Self(a0, e0),
                Self(a1, e1),
                Self(a2, e2),
                Self(a3, e3),
                Self(a4, e4),
                Self(a5, e5),
                Self(a6, e6),
                Self(a7, e7),
            ]
        }
    }
    #[inline(always)]
    fn prefetch<T>(address: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) }
    }
    #[inline(always)]
    fn prefetch_far<T>(address: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch(address.cast(), _MM_HINT_T1) }
    }
}

/// The sums of four rows. Needs AVX.
#[inline(always)]
unsafe fn quad_sums([a, b, c, d]: [Avx2<__m256d>; 4]) -> __m256d {
    // SAFETY: the caller has AVX. Lanes k and k + 4 are added first, then k and k + 2, then k and k + 1.
    unsafe {
        let (a, b) = (_mm256_add_pd(a.0, a.1), _mm256_add_pd(b.0, b.1));
        let (c, d) = (_mm256_add_pd(c.0, c.1), _mm256_add_pd(d.0, d.1));
        let even = _mm256_add_pd(_mm256_permute2f128_pd(a, c, 0x20), _mm256_permute2f128_pd(a, c, 0x31));
        let odd = _mm256_add_pd(_mm256_permute2f128_pd(b, d, 0x20), _mm256_permute2f128_pd(b, d, 0x31));
        _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd))
    }
}

/// Lane j of row i in lane i of row j. Needs AVX.
#[inline(always)]
unsafe fn quad_transpose([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    // SAFETY: the caller has AVX.
    unsafe {
        let (ab0, ab1) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (cd0, cd1) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd(ab0, cd0, 0x20),
            _mm256_permute2f128_pd(ab1, cd1, 0x20),
            _mm256_permute2f128_pd(ab0, cd0, 0x31),
            _mm256_permute2f128_pd(ab1, cd1, 0x31),
        ]
    }
}

/// Masks, of the width of a number, of as many lanes as the slice is long.
#[inline(always)]
fn head_masks<T>(slice: &[T]) -> (__m256i, __m256i) {
    const STEP: [[i64; 8]; 2] = [[-1; 8], [0; 8]];
    debug_assert!(size_of_val(slice) <= 64);
    let start = STEP.as_flattened().as_ptr().cast::<u8>().wrapping_add(64 - size_of_val(slice).min(64));
    // SAFETY: AVX2 is there, as the module says; both reads lie within the table.
    unsafe { (_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.wrapping_add(32).cast())) }
}
