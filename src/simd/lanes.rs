//! Eight `f64` or sixteen `f32` in registers: the one set of lanes of the library.

/// Sixty-four bytes of numbers of one type, on which all operations go lane by lane and round once. Values of the
/// vector types exist only inside functions compiled for their instructions: see [`kernel!`](super::kernel).
pub trait Register: Copy {
    /// `f64` or `f32`.
    type Number: Copy;
    /// As many numbers as there are lanes.
    type Chunk;
    /// How many these are.
    const COUNT: usize;
    /// Equal numbers.
    fn splat(value: Self::Number) -> Self;
    /// A number for each lane.
    fn load(from: &Self::Chunk) -> Self;
    /// At most so many numbers, then zeros.
    fn load_head(from: &[Self::Number]) -> Self;
    /// All lanes.
    fn store(self, to: &mut Self::Chunk);
    /// As many lanes, at most all, as the slice is long.
    fn store_head(self, to: &mut [Self::Number]);
    /// self + other
    fn add(self, other: Self) -> Self;
    /// self - other
    fn sub(self, other: Self) -> Self;
    /// self * other
    fn mul(self, other: Self) -> Self;
    /// self * factor + term, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// One half added to the other, lane by lane, until one is left: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
    fn sum(self) -> Self::Number;
}

/// Eight `f64` lanes, and what an instruction set has beside them.
pub trait Lanes: Register<Number = f64, Chunk = [f64; 8]> {
    /// Sixteen `f32` lanes of the same instruction set.
    type Singles: Register<Number = f32, Chunk = [f32; 16]>;
    /// Registers that a kernel may fill with sums, or with rows of a butterfly: a power of two up to 16.
    const ROOM: usize;
    /// Eight numbers, widened.
    fn load_f32(from: &[f32; 8]) -> Self;
    /// At most eight numbers, widened, then zeros.
    fn load_head_f32(from: &[f32]) -> Self;
    /// Eight numbers from anywhere, by way of the registers.
    fn set(values: [f64; 8]) -> Self;
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
    /// Lanes of this type.
    #[doc(hidden)]
    type In<V: Lanes>: Register<Number = Self>;
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
    type In<V: Lanes> = V;
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
    type In<V: Lanes> = V::Singles;
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
pub struct Portable<T, const COUNT: usize>([T; COUNT]);

macro_rules! portable {
    ($number:ty, $count:literal) => {
        impl Portable<$number, $count> {
            #[inline(always)]
            fn lanes(lane: impl Fn(usize) -> $number) -> Self {
                Self(std::array::from_fn(lane))
            }
        }

        impl Register for Portable<$number, $count> {
            type Number = $number;
            type Chunk = [$number; $count];
            const COUNT: usize = $count;
            #[inline(always)]
            fn splat(value: $number) -> Self {
                Self([value; $count])
            }
            #[inline(always)]
            fn load(from: &[$number; $count]) -> Self {
                Self(*from)
            }
            #[inline(always)]
            fn load_head(from: &[$number]) -> Self {
                Self::lanes(|k| from.get(k).copied().unwrap_or(0.0))
            }
            #[inline(always)]
            fn store(self, to: &mut [$number; $count]) {
                *to = self.0;
            }
            #[inline(always)]
            fn store_head(self, to: &mut [$number]) {
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
            fn sum(self) -> $number {
                let (mut sums, mut half) = (self.0, $count / 2);
                while half > 0 {
                    (0..half).for_each(|k| sums[k] += sums[k + half]);
                    half /= 2;
                }
                sums[0]
            }
        }
    };
}
portable!(f64, 8);
portable!(f32, 16);

impl Lanes for Portable<f64, 8> {
    type Singles = Portable<f32, 16>;
    const ROOM: usize = 4;
    #[inline(always)]
    fn load_f32(from: &[f32; 8]) -> Self {
        Self::lanes(|k| f64::from(from[k]))
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
    fn sums(rows: [Self; 8]) -> Self {
        Self::lanes(|k| rows[k].sum())
    }
    #[inline(always)]
    fn prefetch<T>(_: *const T) {}
}

/// The lanes that [`kernel!`](super::kernel) compiles for.
pub(crate) mod sets {
    pub type Portable = super::Portable<f64, 8>;
    #[cfg(target_arch = "x86_64")]
    pub type Avx2 = super::x86::Avx2<std::arch::x86_64::__m256d>;
    #[cfg(target_arch = "x86_64")]
    pub type Avx512 = super::x86::Avx512<std::arch::x86_64::__m512d>;
}

/// The intrinsics need their instructions: a value of a vector type is the proof that the machine has
/// them, since only functions compiled for those instructions, and entered after a check, make one.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Register};
    use std::arch::x86_64::*;

    /// One 512-bit register. Needs AVX-512F.
    #[derive(Clone, Copy)]
    pub struct Avx512<R>(R);

    macro_rules! avx512 {
        (
            $number:ty, $count:literal, $register:ty, $mask:ty, $set1:ident, $loadu:ident, $maskz_loadu:ident,
            $storeu:ident, $mask_storeu:ident, $add:ident, $sub:ident, $mul:ident, $fmadd:ident, $halves:ident, $sum:ident
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
                fn mul_add(self, factor: Self, term: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $fmadd(self.0, factor.0, term.0) })
                }
                #[inline(always)]
                fn sum(self) -> $number {
                    // SAFETY: as above; AVX-512F implies AVX.
                    unsafe { $sum($halves(self.0)) }
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
        _mm512_fmadd_pd,
        double_halves,
        quad_sum
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
        _mm512_fmadd_ps,
        single_halves,
        eight_sum
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
            $maskstore:ident, $add:ident, $sub:ident, $mul:ident, $fmadd:ident, $sum:ident
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
        fn prefetch<T>(address: *const T) {
            // SAFETY: a prefetch never faults.
            unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) }
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

    /// Masks, of the width of a number, of as many lanes as the slice is long.
    #[inline(always)]
    fn head_masks<T>(slice: &[T]) -> (__m256i, __m256i) {
        const STEP: [[i64; 8]; 2] = [[-1; 8], [0; 8]];
        debug_assert!(size_of_val(slice) <= 64);
        let start = STEP.as_flattened().as_ptr().cast::<u8>().wrapping_add(64 - size_of_val(slice).min(64));
        // SAFETY: AVX2 is there, as the module says; both reads lie within the table.
        unsafe { (_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.wrapping_add(32).cast())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::kernel;
    use crate::simd::testing::on_every_path;

    kernel! {
        /// Every operation on every number of lanes, one result after the other.
        fn everything<V, T: Element>(x: &[T], out: &mut Vec<u64>, bits: fn(T) -> u64) {
            for len in 0..=<T::In<V> as Register>::COUNT {
                let [a, b] = [&x[..len], &x[3..3 + len]].map(<T::In<V>>::load_head);
                for lanes in [a.add(b), a.sub(b), a.mul(b), a.mul_add(b, <T::In<V>>::splat(x[1]))] {
                    let mut numbers = [x[2]; 16];
                    lanes.store_head(&mut numbers[..len]);
                    out.extend(numbers.map(bits));
                    out.push(bits(lanes.sum()));
                }
            }
        }
    }

    #[test]
    fn every_operation_rounds_alike_in_both_precisions_and_at_every_length() {
        let x: Vec<f64> = (0..20).map(|k| (k as f64 * 0.7).sin()).collect();
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let outcomes = on_every_path(|| {
            let mut out = Vec::new();
            everything(&x, &mut out, f64::to_bits);
            everything(&single, &mut out, |x| x.to_bits().into());
            out
        });
        // Of eight lanes, the last operation: x_7 x_10 + x_1, with what was there after it.
        let last = &outcomes[0][(8 * 4 + 3) * 17..][..16];
        assert_eq!(last[7], x[7].mul_add(x[10], x[1]).to_bits());
        assert!(last[8..].iter().all(|&bits| bits == x[2].to_bits()));
        assert_eq!(
            outcomes[0][outcomes[0].len() - 2],
            u64::from(single[15].mul_add(single[18], single[1]).to_bits())
        );
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    }
}
