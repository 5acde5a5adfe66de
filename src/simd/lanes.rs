//! Eight `f64` in registers.

/// Eight `f64` lanes. Values of the vector types exist only inside functions compiled for their
/// instructions: see [`kernel!`](super::kernel).
pub trait Lanes: Copy {
    /// Rows of a butterfly that the registers hold: a power of two up to 16.
    const RADIX: usize;
    /// Eight equal numbers.
    fn splat(value: f64) -> Self;
    /// Eight numbers.
    fn load(from: &[f64; 8]) -> Self;
    /// Eight numbers, widened.
    fn load_f32(from: &[f32; 8]) -> Self;
    /// At most eight numbers, then zeros.
    fn load_head(from: &[f64]) -> Self;
    /// At most eight numbers, widened, then zeros.
    fn load_head_f32(from: &[f32]) -> Self;
    /// Eight numbers from anywhere, by way of the registers.
    fn set(values: [f64; 8]) -> Self;
    /// All lanes.
    fn store(self, to: &mut [f64; 8]);
    /// As many lanes, at most eight, as the slice is long.
    fn store_head(self, to: &mut [f64]);
    /// self + other
    fn add(self, other: Self) -> Self;
    /// self - other
    fn sub(self, other: Self) -> Self;
    /// self * other
    fn mul(self, other: Self) -> Self;
    /// self * factor + term, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))
    fn sum(self) -> f64;
    /// Lane i is `rows[i].sum()`, to the bit.
    fn sums(rows: [Self; 8]) -> Self;
    /// Asks for the cache line of an address, which need not be valid.
    fn prefetch<T>(address: *const T);

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self) -> [f64; 8] {
        let mut array = [0.0; 8];
        self.store(&mut array);
        array
    }
}

/// An element type that the lanes can be loaded from.
pub trait Element: Copy + Send + Sync + 'static {
    /// Eight numbers.
    #[doc(hidden)]
    fn load<V: Lanes>(from: &[Self; 8]) -> V;
    /// At most eight numbers, then zeros.
    #[doc(hidden)]
    fn load_head<V: Lanes>(from: &[Self]) -> V;
    /// The same number in double precision.
    #[doc(hidden)]
    fn widen(self) -> f64;
}

impl Element for f64 {
    #[inline(always)]
    fn load<V: Lanes>(from: &[f64; 8]) -> V {
        V::load(from)
    }
    #[inline(always)]
    fn load_head<V: Lanes>(from: &[f64]) -> V {
        V::load_head(from)
    }
    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }
}

impl Element for f32 {
    #[inline(always)]
    fn load<V: Lanes>(from: &[f32; 8]) -> V {
        V::load_f32(from)
    }
    #[inline(always)]
    fn load_head<V: Lanes>(from: &[f32]) -> V {
        V::load_head_f32(from)
    }
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }
}

/// Any machine. Without hardware for fused multiply-add this is slow but rounds the same.
#[derive(Clone, Copy)]
pub struct Portable([f64; 8]);

impl Portable {
    #[inline(always)]
    fn lanes(lane: impl Fn(usize) -> f64) -> Self {
        Self(std::array::from_fn(lane))
    }
}

impl Lanes for Portable {
    const RADIX: usize = 4;
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(from: &[f64; 8]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn load_f32(from: &[f32; 8]) -> Self {
        Self::lanes(|k| f64::from(from[k]))
    }
    #[inline(always)]
    fn load_head(from: &[f64]) -> Self {
        Self::lanes(|k| from.get(k).copied().unwrap_or(0.0))
    }
    #[inline(always)]
    fn load_head_f32(from: &[f32]) -> Self {
        Self::lanes(|k| from.get(k).copied().map_or(0.0, f64::from))
    }
    #[inline(always)]
    fn set(values: [f64; 8]) -> Self {
        Self(values)
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 8]) {
        *to = self.0;
    }
    #[inline(always)]
    fn store_head(self, to: &mut [f64]) {
        to.copy_from_slice(&self.0[..to.len()]);
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::lanes(|k| self.0[k] + other.0[k])
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::lanes(|k| self.0[k] - other.0[k])
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::lanes(|k| self.0[k] * other.0[k])
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self::lanes(|k| self.0[k].mul_add(factor.0[k], term.0[k]))
    }
    #[inline(always)]
    fn sum(self) -> f64 {
        let v = self.0;
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    fn sums(rows: [Self; 8]) -> Self {
        Self::lanes(|k| rows[k].sum())
    }
    #[inline(always)]
    fn prefetch<T>(_: *const T) {}
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// The intrinsics need their instructions: a value of a vector type is the proof that the machine has
/// them, since only functions compiled for those instructions, and entered after a check, make one.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    /// One 512-bit register. Needs AVX-512F.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512d);

    impl Lanes for Avx512 {
        const RADIX: usize = 16;
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: AVX-512F is there, as the module says.
            Self(unsafe { _mm512_set1_pd(value) })
        }
        #[inline(always)]
        fn load(from: &[f64; 8]) -> Self {
            // SAFETY: as above; an unaligned read of a whole array.
            Self(unsafe { _mm512_loadu_pd(from.as_ptr()) })
        }
        #[inline(always)]
        fn load_f32(from: &[f32; 8]) -> Self {
            // SAFETY: as above; an unaligned read of a whole array.
            Self(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(from.as_ptr())) })
        }
        #[inline(always)]
        fn load_head(from: &[f64]) -> Self {
            // SAFETY: as above; lanes past the end of the slice are masked.
            Self(unsafe { _mm512_maskz_loadu_pd(head(from), from.as_ptr()) })
        }
        #[inline(always)]
        fn load_head_f32(from: &[f32]) -> Self {
            // SAFETY: as above; lanes past the end of the slice are masked.
            let singles = unsafe { _mm512_maskz_loadu_ps(u16::from(head(from)), from.as_ptr()) };
            // SAFETY: as above.
            Self(unsafe { _mm512_cvtps_pd(_mm512_castps512_ps256(singles)) })
        }
        #[inline(always)]
        fn set([a, b, c, d, e, f, g, h]: [f64; 8]) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_setr_pd(a, b, c, d, e, f, g, h) })
        }
        #[inline(always)]
        fn store(self, to: &mut [f64; 8]) {
            // SAFETY: as above; an unaligned write of a whole array.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn store_head(self, to: &mut [f64]) {
            // SAFETY: as above; lanes past the end of the slice are masked.
            unsafe { _mm512_mask_storeu_pd(to.as_mut_ptr(), head(to), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_mul_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_pd(self.0, factor.0, term.0) })
        }
        #[inline(always)]
        fn sum(self) -> f64 {
            // SAFETY: as above; AVX-512F implies AVX.
            unsafe {
                quad_sum(_mm256_add_pd(_mm512_castpd512_pd256(self.0), _mm512_extractf64x4_pd(self.0, 1)))
            }
        }
        #[inline(always)]
        fn sums(rows: [Self; 8]) -> Self {
            let [a, e, b, f, c, g, d, h] = rows;
            let even = a.halves(b).quarters(c.halves(d));
            let odd = e.halves(f).quarters(g.halves(h));
            // SAFETY: as above. Even and odd lanes of `low` and `high` belong to one row each.
            let (low, high) =
                unsafe { (_mm512_unpacklo_pd(even.0, odd.0), _mm512_unpackhi_pd(even.0, odd.0)) };
            Self(low).add(Self(high))
        }
        #[inline(always)]
        fn prefetch<T>(address: *const T) {
            // SAFETY: a prefetch never faults.
            unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) }
        }
    }

    /// Steps of `sums`: each halves the lanes that a row takes and doubles the rows in a register.
    impl Avx512 {
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

    /// Mask of as many lanes as the slice is long.
    #[inline(always)]
    fn head<T>(slice: &[T]) -> u8 {
        debug_assert!(slice.len() <= 8);
        1u32.wrapping_shl(slice.len() as u32).wrapping_sub(1) as u8
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
    pub struct Avx2(__m256d, __m256d);

    impl Lanes for Avx2 {
        const RADIX: usize = 4;
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: AVX2 and FMA are there, as the module says.
            let quad = unsafe { _mm256_set1_pd(value) };
            Self(quad, quad)
        }
        #[inline(always)]
        fn load(from: &[f64; 8]) -> Self {
            // SAFETY: as above; two unaligned reads within the array.
            unsafe { Self(_mm256_loadu_pd(from.as_ptr()), _mm256_loadu_pd(from[4..].as_ptr())) }
        }
        #[inline(always)]
        fn load_f32(from: &[f32; 8]) -> Self {
            // SAFETY: as above; two unaligned reads within the array.
            let (low, high) = unsafe { (_mm_loadu_ps(from.as_ptr()), _mm_loadu_ps(from[4..].as_ptr())) };
            // SAFETY: as above.
            unsafe { Self(_mm256_cvtps_pd(low), _mm256_cvtps_pd(high)) }
        }
        #[inline(always)]
        fn load_head(from: &[f64]) -> Self {
            let (low, high) = head_masks(from);
            // SAFETY: as above; lanes past the end of the slice are masked and not read.
            unsafe {
                let second = from.as_ptr().wrapping_add(4);
                Self(_mm256_maskload_pd(from.as_ptr(), low), _mm256_maskload_pd(second, high))
            }
        }
        #[inline(always)]
        fn load_head_f32(from: &[f32]) -> Self {
            let mut all = [0.0; 8];
            all[..from.len()].copy_from_slice(from);
            Self::load_f32(&all)
        }
        #[inline(always)]
        fn set([a, b, c, d, e, f, g, h]: [f64; 8]) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_setr_pd(a, b, c, d), _mm256_setr_pd(e, f, g, h)) }
        }
        #[inline(always)]
        fn store(self, to: &mut [f64; 8]) {
            let (low, high) = to.split_at_mut(4);
            // SAFETY: as above; two unaligned writes within the array.
            unsafe {
                _mm256_storeu_pd(low.as_mut_ptr(), self.0);
                _mm256_storeu_pd(high.as_mut_ptr(), self.1);
            }
        }
        #[inline(always)]
        fn store_head(self, to: &mut [f64]) {
            let (low, high) = head_masks(to);
            // SAFETY: as above; lanes past the end of the slice are masked and not written.
            unsafe {
                _mm256_maskstore_pd(to.as_mut_ptr(), low, self.0);
                _mm256_maskstore_pd(to.as_mut_ptr().wrapping_add(4), high, self.1);
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_add_pd(self.0, other.0), _mm256_add_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_sub_pd(self.0, other.0), _mm256_sub_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_mul_pd(self.0, other.0), _mm256_mul_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                Self(_mm256_fmadd_pd(self.0, factor.0, term.0), _mm256_fmadd_pd(self.1, factor.1, term.1))
            }
        }
        #[inline(always)]
        fn sum(self) -> f64 {
            // SAFETY: as above.
            unsafe { quad_sum(_mm256_add_pd(self.0, self.1)) }
        }
        #[inline(always)]
        fn sums(rows: [Self; 8]) -> Self {
            let [a, b, c, d, e, f, g, h] = rows;
            // SAFETY: as above.
            unsafe { Self(quad_sums(a, b, c, d), quad_sums(e, f, g, h)) }
        }
        #[inline(always)]
        fn prefetch<T>(address: *const T) {
            // SAFETY: a prefetch never faults.
            unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) }
        }
    }

    /// The sums of four rows. Needs AVX.
    #[inline(always)]
    unsafe fn quad_sums(a: Avx2, b: Avx2, c: Avx2, d: Avx2) -> __m256d {
        // SAFETY: the caller has AVX. Lanes k and k + 4 are added first, then k and k + 2, then k and k + 1.
        unsafe {
            let (a, b) = (_mm256_add_pd(a.0, a.1), _mm256_add_pd(b.0, b.1));
            let (c, d) = (_mm256_add_pd(c.0, c.1), _mm256_add_pd(d.0, d.1));
            let even = _mm256_add_pd(_mm256_permute2f128_pd(a, c, 0x20), _mm256_permute2f128_pd(a, c, 0x31));
            let odd = _mm256_add_pd(_mm256_permute2f128_pd(b, d, 0x20), _mm256_permute2f128_pd(b, d, 0x31));
            _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd))
        }
    }

    /// Masks of as many lanes as the slice is long.
    #[inline(always)]
    fn head_masks<T>(slice: &[T]) -> (__m256i, __m256i) {
        const STEP: [i64; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        let lanes = &STEP[8 - slice.len().min(8)..];
        // SAFETY: AVX2 is there, as the module says; both reads lie within the table.
        unsafe { (_mm256_loadu_si256(lanes.as_ptr().cast()), _mm256_loadu_si256(lanes[4..].as_ptr().cast())) }
    }
}
