//! Logarithms and exponentials of many numbers, of the same bits on every machine.
//!
//! Every step is an operation on integers or one that is correctly rounded, none fused: the compiler runs eight side by
//! side, and the bits are those of one by itself.

use super::kernel;
use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E};

const LN_2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const EXPONENT_BIAS: u64 = 1023;
const TWO_52: u64 = 0x4330_0000_0000_0000;

kernel! {
    /// Natural logarithms in place of positive normal numbers, each within 2 units in the last place.
    pub fn ln_of_each<V>(x: &mut [f64]) {
        for i in 0..x.len() {
            x[i] = ln(x[i]);
        }
    }
}

kernel! {
    /// e to the power of each number, within 2 units in the last place; of numbers beyond +-708 that of the bound.
    pub fn exp_of_each<V>(x: &mut [f64]) {
        for i in 0..x.len() {
            x[i] = exp(x[i]);
        }
    }
}

/// Natural logarithm of a positive normal number, within 2 units in the last place.
///
/// With `x = 2^k (1 + f)` and `1 + f` in `[1/sqrt 2, sqrt 2)`: `ln(1 + f) = 2 artanh(s)`, `s = f / (2 + f)`,
/// by its Taylor series, whose first neglected term is below `2^-58 s`.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    let biased = (x.to_bits() + (1.0f64.to_bits() - FRAC_1_SQRT_2.to_bits())) >> 52;
    let f = f64::from_bits(x.to_bits().wrapping_sub(biased.wrapping_sub(EXPONENT_BIAS) << 52)) - 1.0;
    // An integer below 2^52 put into the mantissa of 2^52 is that integer as a float.
    let k = f64::from_bits(TWO_52 | biased) - (4_503_599_627_370_496.0 + EXPONENT_BIAS as f64);
    let s = f / (2.0 + f);
    let z = s * s;
    let mut series = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = series * z + 1.0 / odd;
    }
    // f - s f = 2 s, so the leading term enters without the rounding error of the division.
    k * LN_2_HIGH + (f - (s * (f - 2.0 * z * series) - k * LN_2_LOW))
}

/// e^x = 2^k e^r with |r| at most half of ln 2, by its Taylor series, whose first neglected term is below 2^-57.
#[inline(always)]
fn exp(x: f64) -> f64 {
    /// Numbers to which it is added lose all but the nearest integer.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let x = if x > 708.0 { 708.0 } else { x };
    let x = if x < -708.0 { -708.0 } else { x };
    let shifted = x * LOG2_E + SHIFT;
    let k = shifted - SHIFT;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut series = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0]
    {
        series = series * r + 1.0 / factorial;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(EXPONENT_BIAS) << 52);
    power + power * (r + r * r * series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::on_every_path;

    fn numbers(count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(|k| ((k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / 2f64.powi(53))
    }

    fn close(found: &[f64], truth: impl Fn(usize) -> f64) {
        for (i, found) in found.iter().enumerate() {
            let apart = found.to_bits().abs_diff(truth(i).to_bits());
            assert!(apart <= 2, "{i}: {found:e} for {:e}", truth(i));
        }
    }

    #[test]
    fn they_are_accurate_to_two_units_and_the_same_on_every_path() {
        let exponents: Vec<f64> =
            numbers(50_000).map(|u| 1416.0 * u - 708.0).chain([0.0, -708.0, 708.0]).collect();
        let found = on_every_path(|| {
            let mut x = exponents.clone();
            exp_of_each(&mut x);
            x
        });
        assert!(found.iter().all(|other| other == &found[0]));
        close(&found[0], |i| libm::exp(exponents[i]));
        let positive: Vec<f64> = found[0].iter().copied().chain(numbers(10_000).map(|u| 0.5 + u)).collect();
        let found = on_every_path(|| {
            let mut x = positive.clone();
            ln_of_each(&mut x);
            x
        });
        assert!(found.iter().all(|other| other == &found[0]));
        close(&found[0], |i| libm::log(positive[i]));
        let mut beyond = [1e4, -1e4];
        exp_of_each(&mut beyond);
        assert!(beyond[0] > 1e307 && beyond[1] > 0.0 && beyond[1] < 1e-307);
    }
}
