//! Fixed-lane kernels, compiled per instruction set, chosen at run time.
//!
//! A kernel is written once, over eight `f64` lanes (or sixteen `f32`) that it adds up in one fixed order, with
//! fused multiply-add. `kernel!` compiles it with AVX-512, with AVX2 and FMA, and portably, and picks one per
//! call, so every machine gives the same bits. They depend on the numbers and the lengths alone, never on
//! where in memory the numbers lie. A single-precision matrix is widened on its way into the registers:
//! it is read at its own width and everything is added up in double precision.
//!
//! | file | what |
//! |---|---|
//! | `lanes` | eight `f64` or sixteen `f32` in registers: what can be done with them |
//! | `portable`, `x86` | how, on any machine and with AVX2 or AVX-512: the only intrinsics beside those of `digits` |
//! | `tiles`, `digits`, `amx` | exact sums of products of numbers of a few digits, on the matrix unit of Intel's AMX or with its bits |
//! | `vector` | [`dot`], [`axpy`], [`rotate`], [`sum`], [`norm_sq`], [`widen`] |
//! | `elementary` | [`ln_of_each`] and [`exp_of_each`] of many numbers |
//! | `extended` | [`Extended`]: sums in twice the working precision |
//! | `residual` | residual and gradient of a least-squares problem in one read of the matrix |
//! | `pairs` | [`pair_products`] of rows with two vectors, and [`add_pairs`] of rows to two |
//! | `rows` | [`row_products`] and [`row_gram`] of a few rows, and what they add to sums, [`add_rows`], in their own precision; the same of rows of which entries are stored |
//! | `small` | [`small_product`] of matrices whose rows are contiguous, and [`add_small_gram`] |
//! | `narrow` | rows as a tile of columns in the first cache, and what is made of them there |
//! | `fwht` | [`fwht()`]: the Walsh-Hadamard transform of a tile; [`fwht_across`]: a few of its stages |
//! | `sparse` | [`gather_dot`] of a compressed line, [`add_outer_products`], [`add_tails`] and [`residual_lines`] of many, [`add_lines`] on unchecked ones |

#[cfg(target_arch = "x86_64")]
mod amx;
pub(crate) mod digits;
mod elementary;
mod extended;
mod fwht;
pub(crate) mod lanes;
pub(crate) mod narrow;
mod pairs;
mod portable;
mod residual;
mod rows;
mod small;
mod sparse;
mod tiles;
mod transpose;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use elementary::ln;
pub use elementary::{exp_of_each, ln_of_each};
pub(crate) use extended::add_product;
pub use extended::{Extended, axpy_extended, dot_extended};
pub use fwht::{fwht, fwht_across};
pub use lanes::Element;
pub use pairs::{add_pairs, pair_products};
pub use residual::{gradient_rows, residual_cols, residual_rows};
pub use rows::{
    Stored, add_rows, add_stored, row_gram, row_products, stored_gram, stored_norm_sq, stored_products,
    sums_of_rows,
};
pub use small::{add_small_gram, small_product};
pub use sparse::{
    Index, add_lines, add_lines_of_many, add_outer_products, add_squares_of_lines, add_tails, gather_dot,
    residual_lines,
};
use std::sync::LazyLock;
pub(crate) use transpose::rows_of_columns;
pub(crate) use vector::{advance, axpy_norm_sq};
pub use vector::{axpy, dot, norm_sq, rotate, sum, widen};

/// What the kernels are compiled for, from the narrowest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// What any machine has.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, DQ, BW and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// Those that this machine has.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let (avx2, avx512) = (
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl"),
        );
        [
            Some(Self::Portable),
            #[cfg(target_arch = "x86_64")]
            avx2.then_some(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            avx512.then_some(Self::Avx512),
        ]
        .into_iter()
        .flatten()
    }

    /// The widest of this machine that is no wider than the one of that name; without a name, the widest.
    fn widest(name: Option<&str>) -> Self {
        let wide = |set: &Self| match name {
            Some("portable") => *set == Self::Portable,
            Some("avx2") => set.name() != "avx512",
            _ => true,
        };
        Self::available().filter(wide).max().unwrap_or(Self::Portable)
    }

    /// `"portable"`, `"avx2"` or `"avx512"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}

/// The widest instruction set of this machine, or the widest up to the one that the environment named as
/// `NEARLIN_ISA` when it was first asked for: when the Python package was imported, which refuses other words.
#[inline]
pub fn instruction_set() -> InstructionSet {
    static CHOSEN: LazyLock<InstructionSet> =
        LazyLock::new(|| InstructionSet::widest(std::env::var("NEARLIN_ISA").ok().as_deref()));
    #[cfg(test)]
    if let Some(forced) = testing::FORCED.get() {
        return forced;
    }
    *CHOSEN
}

/// The lanes that `kernel!` compiles for.
pub(crate) mod sets {
    pub type Portable = crate::simd::portable::Portable<f64, 8>;
    #[cfg(target_arch = "x86_64")]
    pub type Avx2 = crate::simd::x86::Avx2<std::arch::x86_64::__m256d>;
    #[cfg(target_arch = "x86_64")]
    pub type Avx512 = crate::simd::x86::Avx512<std::arch::x86_64::__m512d>;
}

/// Defines a function that is compiled for every [`InstructionSet`]. Its first type parameter stands for
/// the eight lanes and is not part of the signature that callers see; everything the body calls with it
/// must be `#[inline(always)]`.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$V:ident $(, $T:ident: $bound:path)*>($($arg:ident: $type:ty),* $(,)?)
            $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name<$($T: $bound),*>($($arg: $type),*) $(-> $output)? {
            use crate::simd::InstructionSet;

            #[inline(always)]
            fn body<$V: crate::simd::lanes::Lanes, $($T: $bound),*>($($arg: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512<$($T: $bound),*>($($arg: $type),*) $(-> $output)? {
                body::<crate::simd::sets::Avx512, $($T),*>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($T: $bound),*>($($arg: $type),*) $(-> $output)? {
                body::<crate::simd::sets::Avx2, $($T),*>($($arg),*)
            }

            match crate::simd::instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this machine has AVX-512F.
                InstructionSet::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this machine has AVX2 and FMA.
                InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                InstructionSet::Portable => body::<crate::simd::sets::Portable, $($T),*>($($arg),*),
            }
        }
    };
}
pub(crate) use kernel;

/// For tests: every path that this machine can take.
#[cfg(test)]
pub(crate) mod testing {
    use super::InstructionSet;
    use std::cell::Cell;

    thread_local! {
        pub(super) static FORCED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
    }

    /// True when two slices hold the same bits.
    pub(crate) fn same_bits(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// What `work` gives with each instruction set. Only the calling thread is affected.
    pub(crate) fn on_every_path<T>(work: impl Fn() -> T) -> Vec<T> {
        let results = InstructionSet::available().map(|set| {
            FORCED.set(Some(set));
            work()
        });
        let results = results.collect();
        FORCED.set(None);
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_the_widest_set_up_to_its_own() {
        let widest = InstructionSet::available().max();
        assert_eq!(Some(InstructionSet::widest(None)), widest);
        assert_eq!(Some(InstructionSet::widest(Some("avx512"))), widest);
        assert_eq!(InstructionSet::widest(Some("portable")), InstructionSet::Portable);
        for set in InstructionSet::available() {
            assert_eq!(InstructionSet::widest(Some(set.name())), set);
        }
    }
}
