//! Numbers.

use crate::simd::Element;

/// The element types of the library.
pub trait Real: Element + Default + PartialOrd + std::fmt::Debug {
    /// Unit roundoff: half the distance from 1 to the next number.
    const UNIT_ROUNDOFF: f64;
    /// Nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The slice itself when the type is `f64`.
    fn as_f64(slice: &[Self]) -> Option<&[f64]>;
}

impl Real for f64 {
    const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn as_f64(slice: &[f64]) -> Option<&[f64]> {
        Some(slice)
    }
}

impl Real for f32 {
    const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn as_f64(_: &[f32]) -> Option<&[f64]> {
        None
    }
}

/// The largest power of two that is not larger than a positive number; 1 for zero.
pub(crate) fn power_of_two_below(value: f64) -> f64 {
    if value == 0.0 {
        return 1.0;
    }
    let normal = value.clamp(f64::MIN_POSITIVE, f64::MAX / 2.0);
    f64::from_bits(normal.to_bits() & 0x7ff0_0000_0000_0000)
}

/// The larger of two numbers in place of one. Unlike `max`, this keeps NaN.
pub(crate) fn keep_larger(largest: &mut f64, value: f64) {
    *largest = if *largest >= value || largest.is_nan() { *largest } else { value };
}
