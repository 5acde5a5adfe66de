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
    /// self / other
    fn div(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// self * factor + term, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// One half added to the other, lane by lane, until one is left: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
    fn sum(self) -> Self::Number;
    /// The sum of each, to the bit.
    #[inline(always)]
    fn sums_of_four(registers: [Self; 4]) -> [Self::Number; 4] {
        let mut sums = [registers[0].sum(); 4];
        for k in 1..4 {
            sums[k] = registers[k].sum();
        }
        sums
    }
}

/// Lanes from some number on.
///
/// # Safety
///
/// There are as many numbers from `at` on as there are lanes.
#[inline(always)]
pub unsafe fn load<R: Register>(from: *const R::Number, at: usize) -> R {
    // SAFETY: as many numbers as a chunk has, of the same type.
    R::load(unsafe { &*from.add(at).cast() })
}

/// As [`load`].
///
/// # Safety
///
/// As there.
#[inline(always)]
pub unsafe fn store<R: Register>(lanes: R, to: *mut R::Number, at: usize) {
    // SAFETY: as in `load`.
    lanes.store(unsafe { &mut *to.add(at).cast() });
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
    /// Eight integers, widened.
    fn load_i32(from: &[i32; 8]) -> Self;
    /// Eight numbers from anywhere, by way of the registers.
    fn set(values: [f64; 8]) -> Self;
    /// Lane i is `rows[i].sum()`, to the bit.
    fn sums(rows: [Self; 8]) -> Self;
    /// Lane j of row i becomes lane i of row j.
    fn transpose(rows: [Self; 8]) -> [Self; 8];
    /// Asks for the cache line of an address, which need not be valid.
    fn prefetch<T>(address: *const T);
    /// The same for later: not for the first level of the cache, in which rows a power of two apart drive each other out.
    fn prefetch_far<T>(address: *const T);

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
    fn to_f64(self) -> f64;
    /// self * factor + term, rounded once. Slow outside of kernels.
    #[doc(hidden)]
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Nothing.
    #[doc(hidden)]
    const ZERO: Self;
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
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn mul_add(self, factor: f64, term: f64) -> f64 {
        f64::mul_add(self, factor, term)
    }
    const ZERO: f64 = 0.0;
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
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn mul_add(self, factor: f32, term: f32) -> f32 {
        f32::mul_add(self, factor, term)
    }
    const ZERO: f32 = 0.0;
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
                let last = a.mul_add(b, <T::In<V>>::splat(x[1]));
                let all = [a.add(b), a.sub(b), a.mul(b), a.div(<T::In<V>>::splat(x[2])), a.mul(a).sqrt(), last];
                out.extend(<T::In<V>>::sums_of_four([all[0], b, all[2], last]).map(bits));
                out.extend([all[0], b, all[2], last].map(|lanes| bits(lanes.sum())));
                for lanes in all {
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
        // Of each number of lanes, sums of four and one by one, then the operations with what was there after them.
        const OF_ONE: usize = 8 + 6 * 17;
        for of_one in outcomes[0].chunks_exact(OF_ONE) {
            assert_eq!(of_one[..4], of_one[4..8]);
        }
        // Of eight lanes, the last operation: x_7 x_10 + x_1.
        let last = &outcomes[0][8 * OF_ONE + 8 + 5 * 17..][..16];
        assert_eq!(last[7], x[7].mul_add(x[10], x[1]).to_bits());
        assert!(last[8..].iter().all(|&bits| bits == x[2].to_bits()));
        assert_eq!(
            outcomes[0][outcomes[0].len() - 2],
            u64::from(single[15].mul_add(single[18], single[1]).to_bits())
        );
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    }
}
