//! Lanes of any machine. Without hardware for fused multiply-add they are slow but round the same.

use super::lanes::{Lanes, Register};

/// Eight `f64` or sixteen `f32`.
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
            fn div(self, other: Self) -> Self {
                Self::lanes(|k| self.0[k] / other.0[k])
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Self::lanes(|k| self.0[k].sqrt())
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
    fn load_i32(from: &[i32; 8]) -> Self {
        Self::lanes(|k| f64::from(from[k]))
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
    fn transpose(rows: [Self; 8]) -> [Self; 8] {
        std::array::from_fn(|j| Self::lanes(|i| rows[i].0[j]))
    }
    #[inline(always)]
    fn prefetch<T>(_: *const T) {}
    #[inline(always)]
    fn prefetch_far<T>(_: *const T) {}
}
