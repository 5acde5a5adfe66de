//! The register kernel of the Gram products: an 8 x `WIDTH` tile of sums of products.
//!
//! What is added to an entry of a tile is one chain of fused multiply-adds in the order of the summation
//! index, so that the instruction set (AVX-512, AVX2, anything with a fused multiply-add) does not change
//! the bits; only the way the tile is cut into registers differs. A chain starts from zero and not from what
//! is there already: the error of a sum of a few short chains is much smaller than that of a long one.

use crate::matrix::Real;
use crate::simd::{InstructionSet, instruction_set};

/// Rows of a tile.
pub(super) const HEIGHT: usize = 8;

/// `out[i][j] += sum over k < depth of a[k * a_depth + i * a_row] * b[k * WIDTH + j]`, for `HEIGHT` x `WIDTH`.
pub(crate) type TileFn<E> = unsafe fn(usize, *const E, usize, usize, *const E, *mut E);

/// A lane type for the Gram kernels.
pub(crate) trait Kernel: Real {
    /// Columns of a tile: two 512-bit registers.
    const WIDTH: usize;
    /// The best kernel of this machine.
    fn tile_fn() -> TileFn<Self>;
}

/// A register of numbers.
trait Lanes: Copy {
    type Element: Copy;
    const COUNT: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const Self::Element) -> Self;
    unsafe fn store(self, to: *mut Self::Element);
    unsafe fn broadcast(from: *const Self::Element) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn multiply_add(self, x: Self, y: Self) -> Self;
}

/// The tile in blocks of `ROWS` x (`VECTORS` registers).
///
/// # Safety
/// The pointers must cover what [`TileFn`] reads and writes, and the machine must have the instructions of `V`.
#[inline(always)]
unsafe fn tile<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    width: usize,
    depth: usize,
    a: *const V::Element,
    a_depth: usize,
    a_row: usize,
    b: *const V::Element,
    out: *mut V::Element,
) {
    for i0 in (0..HEIGHT).step_by(ROWS) {
        for j0 in (0..width).step_by(VECTORS * V::COUNT) {
            // SAFETY: indices stay within the tile, the depth, and the strides that the caller vouches for.
            unsafe {
                let out = out.add(i0 * width + j0);
                let a = a.add(i0 * a_row);
                let b = b.add(j0);
                let mut sums = [[V::zero(); VECTORS]; ROWS];
                for k in 0..depth {
                    let b = b.add(k * width);
                    let mut y = [V::load(b); VECTORS];
                    for j in 1..VECTORS {
                        y[j] = V::load(b.add(j * V::COUNT));
                    }
                    for i in 0..ROWS {
                        let x = V::broadcast(a.add(k * a_depth + i * a_row));
                        for j in 0..VECTORS {
                            sums[i][j] = sums[i][j].multiply_add(x, y[j]);
                        }
                    }
                }
                for i in 0..ROWS {
                    for j in 0..VECTORS {
                        let out = out.add(i * width + j * V::COUNT);
                        V::load(out).add(sums[i][j]).store(out);
                    }
                }
            }
        }
    }
}

macro_rules! kernel_functions {
    ($(#[$attribute:meta])* $visibility:vis $name:ident: $element:ty, $lanes:ty, $rows:expr, $vectors:expr) => {
        /// # Safety
        /// As [`tile`].
        $(#[$attribute])*
        $visibility unsafe fn $name(
            depth: usize,
            a: *const $element,
            a_depth: usize,
            a_row: usize,
            b: *const $element,
            out: *mut $element,
        ) {
            // SAFETY: passed on to the caller.
            unsafe { tile::<$lanes, $rows, $vectors>(<$element>::WIDTH, depth, a, a_depth, a_row, b, out) }
        }
    };
}

/// Lanes that any compiler turns into whatever registers there are.
#[derive(Clone, Copy)]
struct Portable<E>([E; 4]);

macro_rules! portable_lanes {
    ($element:ty) => {
        impl Lanes for Portable<$element> {
            type Element = $element;
            const COUNT: usize = 4;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Self([0.0; 4])
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller vouches for four readable elements.
                Self(unsafe { from.cast::<[$element; 4]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller vouches for four writable elements.
                unsafe { to.cast::<[$element; 4]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn broadcast(from: *const $element) -> Self {
                // SAFETY: the caller vouches for one readable element.
                Self([unsafe { *from }; 4])
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(std::array::from_fn(|l| self.0[l] + other.0[l]))
            }
            #[inline(always)]
            unsafe fn multiply_add(self, x: Self, y: Self) -> Self {
                // Without the instruction, `mul_add` is a slow library call: x86 machines older than 2013.
                let fused = cfg!(not(all(target_arch = "x86_64", not(target_feature = "fma"))));
                Self(std::array::from_fn(|l| {
                    if fused { x.0[l].mul_add(y.0[l], self.0[l]) } else { x.0[l] * y.0[l] + self.0[l] }
                }))
            }
        }
    };
}
portable_lanes!(f32);
portable_lanes!(f64);

kernel_functions!(portable_f32: f32, Portable<f32>, 2, 2);
kernel_functions!(portable_f64: f64, Portable<f64>, 2, 2);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{HEIGHT, Kernel, Lanes, tile};
    use std::arch::x86_64::*;

    macro_rules! register_lanes {
        ($register:ty, $element:ty, $count:expr, $load:ident, $store:ident, $set:ident, $add:ident, $fma:ident) => {
            impl Lanes for $register {
                type Element = $element;
                const COUNT: usize = $count;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: the caller vouches for the instruction set.
                    unsafe { $set(0.0) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    // SAFETY: the caller vouches for the memory and the instruction set.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn broadcast(from: *const $element) -> Self {
                    // SAFETY: as above.
                    unsafe { $set(*from) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn multiply_add(self, x: Self, y: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(x, y, self) }
                }
            }
        };
    }
    register_lanes!(
        __m512,
        f32,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps
    );
    register_lanes!(
        __m512d,
        f64,
        8,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_set1_pd,
        _mm512_add_pd,
        _mm512_fmadd_pd
    );
    register_lanes!(
        __m256,
        f32,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps
    );
    register_lanes!(
        __m256d,
        f64,
        4,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_set1_pd,
        _mm256_add_pd,
        _mm256_fmadd_pd
    );

    kernel_functions!(#[target_feature(enable = "avx512f")] pub(super) avx512_f32: f32, __m512, HEIGHT, 2);
    kernel_functions!(#[target_feature(enable = "avx512f")] pub(super) avx512_f64: f64, __m512d, HEIGHT, 2);
    kernel_functions!(#[target_feature(enable = "avx2,fma")] pub(super) avx2_f32: f32, __m256, 4, 2);
    kernel_functions!(#[target_feature(enable = "avx2,fma")] pub(super) avx2_f64: f64, __m256d, 4, 2);
}

macro_rules! kernel {
    ($element:ty, $width:expr, $avx512:ident, $avx2:ident, $portable:ident) => {
        impl Kernel for $element {
            const WIDTH: usize = $width;

            fn tile_fn() -> TileFn<$element> {
                match instruction_set() {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => x86::$avx512,
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => x86::$avx2,
                    InstructionSet::Portable => $portable,
                }
            }
        }
    };
}
kernel!(f32, 32, avx512_f32, avx2_f32, portable_f32);
kernel!(f64, 16, avx512_f64, avx2_f64, portable_f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<E: Kernel>(tile: TileFn<E>, fused: bool) {
        let depth = 37;
        let number = |k: usize| E::from_f64(((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5);
        let a: Vec<E> = (0..depth * HEIGHT).map(number).collect();
        let b: Vec<E> = (0..depth * E::WIDTH).map(|k| number(k + 7)).collect();
        let mut out = vec![E::from_f64(0.25); HEIGHT * E::WIDTH];
        // SAFETY: the slices cover the tile, and the caller checked the instruction set.
        unsafe { tile(depth, a.as_ptr(), HEIGHT, 1, b.as_ptr(), out.as_mut_ptr()) };
        for i in 0..HEIGHT {
            for j in 0..E::WIDTH {
                // An f32 product is exact in f64, and double rounding of the sum is rarer than this test.
                let mut sum = 0.0;
                for k in 0..depth {
                    let (x, y) = (a[k * HEIGHT + i].to_f64(), b[k * E::WIDTH + j].to_f64());
                    sum = E::from_f64(if fused { x.mul_add(y, sum) } else { x * y + sum }).to_f64();
                }
                let sum = E::from_f64(0.25 + sum).to_f64();
                let error = (out[i * E::WIDTH + j].to_f64() - sum).abs();
                assert!(
                    if fused { error == 0.0 } else { error < 64.0 * E::UNIT_ROUNDOFF },
                    "{i} {j} {error}"
                );
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_chain() {
        check::<f32>(portable_f32, false);
        check::<f64>(portable_f64, false);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                check::<f32>(x86::avx2_f32, true);
                check::<f64>(x86::avx2_f64, true);
            }
            if is_x86_feature_detected!("avx512f") {
                check::<f32>(x86::avx512_f32, true);
                check::<f64>(x86::avx512_f64, true);
            }
        }
    }
}
