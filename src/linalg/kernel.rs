//! The register kernel of the Gram products: an 8 x `WIDTH` tile of sums of products.
//!
//! What is added to an entry of a tile is one chain of fused multiply-adds in the order of the summation
//! index, so that the instruction set does not change the bits; only the way the tile is cut into registers
//! differs. A chain starts from zero and not from what is there already: the error of a sum of a few short
//! chains is much smaller than that of a long one.

use crate::matrix::Real;
use crate::simd::kernel;
use crate::simd::lanes::Register;

/// Rows of a tile.
pub(super) const HEIGHT: usize = 8;

/// A number type of the Gram kernels.
pub(crate) trait Kernel: Real {
    /// Columns of a tile: two registers.
    const WIDTH: usize;
}

impl Kernel for f64 {
    const WIDTH: usize = 16;
}

impl Kernel for f32 {
    const WIDTH: usize = 32;
}

kernel! {
    /// `out[i][j] += sum over k < depth of a[k * a_depth + i * a_row] * b[k * WIDTH + j]`, for `HEIGHT` x `WIDTH`.
    ///
    /// Panics if a slice is too short.
    pub(super) fn add_tile<V, E: Kernel>(depth: usize, a: &[E], a_depth: usize, a_row: usize, b: &[E], out: &mut [E]) {
        if depth == 0 {
            return;
        }
        assert!((depth - 1) * a_depth + (HEIGHT - 1) * a_row < a.len());
        assert!(depth * E::WIDTH <= b.len() && HEIGHT * E::WIDTH <= out.len());
        // SAFETY: the slices were just measured.
        unsafe {
            let (a, b, out) = (a.as_ptr(), b.as_ptr(), out.as_mut_ptr());
            match V::ROOM {
                16 => blocks::<E, E::In<V>, HEIGHT, 2>(depth, a, a_depth, a_row, b, out, E::WIDTH),
                _ => blocks::<E, E::In<V>, 4, 1>(depth, a, a_depth, a_row, b, out, E::WIDTH),
            }
        }
    }
}

kernel! {
    /// The left half of [`add_tile`], where nothing is in the other one.
    pub(super) fn add_half_tile<V, E: Kernel>(
        depth: usize,
        a: &[E],
        a_depth: usize,
        a_row: usize,
        b: &[E],
        out: &mut [E],
    ) {
        if depth == 0 {
            return;
        }
        assert!((depth - 1) * a_depth + (HEIGHT - 1) * a_row < a.len());
        assert!(depth * E::WIDTH <= b.len() && HEIGHT * E::WIDTH <= out.len());
        // SAFETY: the slices were just measured.
        unsafe {
            let (a, b, out) = (a.as_ptr(), b.as_ptr(), out.as_mut_ptr());
            match V::ROOM {
                16 => blocks::<E, E::In<V>, HEIGHT, 1>(depth, a, a_depth, a_row, b, out, E::WIDTH / 2),
                _ => blocks::<E, E::In<V>, 4, 1>(depth, a, a_depth, a_row, b, out, E::WIDTH / 2),
            }
        }
    }
}

/// So many columns of the tile in blocks of `ROWS` x (`REGISTERS` registers).
///
/// # Safety
/// The pointers must cover what [`add_tile`] reads and writes.
#[inline(always)]
unsafe fn blocks<E: Kernel, R: Register<Number = E>, const ROWS: usize, const REGISTERS: usize>(
    depth: usize,
    a: *const E,
    a_depth: usize,
    a_row: usize,
    b: *const E,
    out: *mut E,
    columns: usize,
) {
    for i0 in (0..HEIGHT).step_by(ROWS) {
        for j0 in (0..columns).step_by(REGISTERS * R::COUNT) {
            // SAFETY: indices stay within the tile, the depth, and the strides that the caller vouches for.
            unsafe {
                let out = out.add(i0 * E::WIDTH + j0);
                let a = a.add(i0 * a_row);
                let b = b.add(j0);
                let mut sums = [[R::splat(E::default()); REGISTERS]; ROWS];
                for k in 0..depth {
                    let b = b.add(k * E::WIDTH);
                    let mut y = [R::load(&*b.cast()); REGISTERS];
                    for j in 1..REGISTERS {
                        y[j] = R::load(&*b.add(j * R::COUNT).cast());
                    }
                    for i in 0..ROWS {
                        let x = R::splat(*a.add(k * a_depth + i * a_row));
                        for j in 0..REGISTERS {
                            sums[i][j] = x.mul_add(y[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..ROWS {
                    for j in 0..REGISTERS {
                        let out = out.add(i * E::WIDTH + j * R::COUNT).cast();
                        R::load(&*out).add(sums[i][j]).store(&mut *out);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::on_every_path;

    fn check<E: Kernel>() {
        let depth = 37;
        let number = |k: usize| E::from_f64(((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5);
        let a: Vec<E> = (0..depth * HEIGHT).map(number).collect();
        let b: Vec<E> = (0..depth * E::WIDTH).map(|k| number(k + 7)).collect();
        let untouched = || vec![E::from_f64(0.25); HEIGHT * E::WIDTH];
        let halves = on_every_path(|| {
            let mut out = untouched();
            add_half_tile(depth, &a, HEIGHT, 1, &b, &mut out);
            out
        });
        let wholes = on_every_path(|| {
            let mut out = untouched();
            add_tile(depth, &a, HEIGHT, 1, &b, &mut out);
            out
        });
        for (half, whole) in halves.into_iter().zip(&wholes) {
            for (half, whole) in half.chunks(E::WIDTH).zip(whole.chunks(E::WIDTH)) {
                assert_eq!(half[..E::WIDTH / 2], whole[..E::WIDTH / 2]);
                assert_eq!(half[E::WIDTH / 2..], untouched()[E::WIDTH / 2..E::WIDTH]);
            }
        }
        for out in wholes {
            for (i, j) in (0..HEIGHT).flat_map(|i| (0..E::WIDTH).map(move |j| (i, j))) {
                // An f32 product is exact in f64, and double rounding of the sum is rarer than this test.
                let mut sum = 0.0;
                for k in 0..depth {
                    let (x, y) = (a[k * HEIGHT + i].to_f64(), b[k * E::WIDTH + j].to_f64());
                    sum = E::from_f64(x.mul_add(y, sum)).to_f64();
                }
                assert_eq!(out[i * E::WIDTH + j], E::from_f64(0.25 + sum), "{i} {j}");
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_chain() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn a_slice_that_is_too_short_is_refused() {
        add_tile(2, &[0.0; 16], 8, 1, &[0.0; 31], &mut [0.0; 128]);
    }
}
