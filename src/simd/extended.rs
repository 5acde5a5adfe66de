//! Sums in twice the working precision, after Ogita, Rump and Oishi (2005).
//!
//! What a product or a sum loses to rounding is a number again, which fused multiply-add and six additions find
//! exactly. These errors are added up beside the sum itself.

use super::kernel;
use super::lanes::{Element, Lanes};

/// A number in two parts: the sum of `high` and of the much smaller `low`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extended {
    /// The number, rounded.
    pub high: f64,
    /// What rounding took away.
    pub low: f64,
}

impl Extended {
    /// The exact product of two numbers.
    pub fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    /// self += value
    pub fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (value - part);
        self.high = sum;
    }

    /// self += factor * other
    pub fn add_multiple(&mut self, factor: f64, other: Self) {
        let product = Self::product(factor, other.high);
        self.add(product.high);
        self.low += product.low + factor * other.low;
    }

    /// The same number with the nearest one of the working precision as its high part, as factors have to be after
    /// sums that cancel.
    pub fn normalised(self) -> Self {
        let mut sum = Self::from(self.high);
        sum.add(self.low);
        sum
    }

    /// The nearest number of the working precision.
    pub fn value(self) -> f64 {
        self.high + self.low
    }
}

impl From<f64> for Extended {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

kernel! {
    /// Sum of x_i y_i. Panics if the lengths differ.
    pub fn dot_extended<V, T: Element>(x: &[T], y: &[f64]) -> Extended {
        assert_eq!(x.len(), y.len());
        let ((x, x_head), (y, y_head)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
        let mut sums = (V::splat(0.0), V::splat(0.0));
        for (x, y) in x.iter().zip(y) {
            sums = add_product(sums, T::load::<V>(x), V::load(y));
        }
        sums = add_product(sums, T::load_head::<V>(x_head), V::load_head(y_head));
        let (high, low) = (sums.0.to_array(), sums.1.to_array());
        let mut total = Extended::default();
        for k in 0..8 {
            total.add(high[k]);
            total.low += low[k];
        }
        total
    }
}

kernel! {
    /// The sums of `high` and `low` += a x. Panics if the lengths differ.
    pub fn axpy_extended<V, T: Element>(a: Extended, x: &[T], high: &mut [f64], low: &mut [f64]) {
        assert!(x.len() == high.len() && x.len() == low.len());
        let (x, x_head) = x.as_chunks::<8>();
        let (high, high_head) = high.as_chunks_mut::<8>();
        let (low, low_head) = low.as_chunks_mut::<8>();
        let (a, a_low) = (V::splat(a.high), V::splat(a.low));
        for ((x, high), low) in x.iter().zip(high).zip(low) {
            let x = T::load::<V>(x);
            let sums = (V::load(high), x.mul_add(a_low, V::load(low)));
            let sums = add_product(sums, x, a);
            sums.0.store(high);
            sums.1.store(low);
        }
        let x = T::load_head::<V>(x_head);
        let sums = (V::load_head(high_head), x.mul_add(a_low, V::load_head(low_head)));
        let sums = add_product(sums, x, a);
        sums.0.store_head(high_head);
        sums.1.store_head(low_head);
    }
}

/// The sum and its errors after one more product.
#[inline(always)]
pub(crate) fn add_product<V: Lanes>((high, low): (V, V), x: V, y: V) -> (V, V) {
    let product = x.mul(y);
    let lost = x.mul_add(y, V::splat(0.0).sub(product));
    let sum = high.add(product);
    let part = sum.sub(high);
    let rounded = high.sub(sum.sub(part)).add(product.sub(part));
    (sum, low.add(lost.add(rounded)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    fn numbers(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|k| ((k * 29 + seed) as f64 * 0.754).sin()).collect()
    }

    #[test]
    fn what_cancels_leaves_all_digits_of_the_rest() {
        for len in [1, 7, 8, 40, 203] {
            // x'y = -x'y but for one product that is 1e-20 of the others.
            let (x, y) = (numbers(len, 1), numbers(len, 2));
            let twice = |v: &[f64], sign: f64, last: f64| -> Vec<f64> {
                v.iter().copied().chain(v.iter().map(|v| sign * v)).chain([last]).collect()
            };
            let (x, y) = (twice(&x, 1.0, 1e-10), twice(&y, -1.0, 1e-10));
            for sum in on_every_path(|| dot_extended(&x, &y)) {
                assert!((sum.value() - 1e-20).abs() <= 1e-25 * len as f64, "{len}: {sum:?}");
            }
        }
    }

    #[test]
    fn multiples_that_cancel_leave_the_start() {
        for len in 0..70 {
            let x = numbers(len, 3);
            let narrow: Vec<f32> = x.iter().map(|&v| v as f32).collect();
            let a = Extended { high: 1e17 / 3.0, low: 0.1 };
            let outcomes = on_every_path(|| {
                let mut sums = [[numbers(len, 4), vec![0.0; len]], [numbers(len, 4), vec![0.0; len]]];
                for a in [a, Extended { high: -a.high, low: -a.low }] {
                    let [[high, low], [high_of_narrow, low_of_narrow]] = &mut sums;
                    axpy_extended(a, &x, high, low);
                    axpy_extended(a, &narrow, high_of_narrow, low_of_narrow);
                }
                sums.concat()
            });
            for outcome in &outcomes {
                for (high, low) in [(&outcome[0], &outcome[1]), (&outcome[2], &outcome[3])] {
                    for k in 0..len {
                        assert!((high[k] + low[k] - numbers(len, 4)[k]).abs() <= 1e-14);
                    }
                }
                assert!(outcome.iter().zip(&outcomes[0]).all(|(left, right)| same_bits(left, right)));
            }
        }
    }

    #[test]
    fn scalars_know_what_rounding_took_away() {
        let mut sum = Extended::from(1.0);
        sum.add_multiple(1e-20, Extended::product(3.0, 1.0 / 3.0));
        sum.add(-1.0);
        assert!((sum.value() - 1e-20).abs() < 1e-35);
        let third = Extended::product(1.0 / 3.0, 3.0);
        assert_eq!(third.high, 1.0);
        assert!(third.low < 0.0 && third.low > -1e-16);
    }
}
