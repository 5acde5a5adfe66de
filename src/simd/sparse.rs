//! Compressed lines against dense vectors.

use super::kernel;
use super::lanes::Element;

/// A non-negative index as SciPy stores it.
pub trait Index: Copy + Send + Sync + 'static {
    /// The same number as an offset; a negative one is out of range for every slice.
    fn offset(self) -> usize;
}

impl Index for i32 {
    #[inline(always)]
    fn offset(self) -> usize {
        self as usize
    }
}

impl Index for i64 {
    #[inline(always)]
    fn offset(self) -> usize {
        self as usize
    }
}

kernel! {
    /// Sum of v_k x\[i_k\]. Panics if the lengths differ or an index is out of range.
    pub fn gather_dot<V, I: Index, T: Element>(indices: &[I], values: &[T], x: &[f64]) -> f64 {
        assert_eq!(indices.len(), values.len());
        let (indices, indices_head) = indices.as_chunks::<8>();
        let (values, values_head) = values.as_chunks::<8>();
        let mut sum = V::splat(0.0);
        for (index, value) in indices.iter().zip(values) {
            let [a, b, c, d, e, f, g, h] = *index;
            let x = |index: I| x[index.offset()];
            let x = V::set([x(a), x(b), x(c), x(d), x(e), x(f), x(g), x(h)]);
            sum = T::load::<V>(value).mul_add(x, sum);
        }
        let mut total = sum.sum();
        for (index, value) in indices_head.iter().zip(values_head) {
            total = value.widen().mul_add(x[index.offset()], total);
        }
        total
    }
}

kernel! {
    /// y\[i_k\] += scale v_k, one after the other. Panics if the lengths differ or an index is out of range.
    pub fn scatter_add<V, I: Index, T: Element>(indices: &[I], values: &[T], scale: f64, y: &mut [f64]) {
        assert_eq!(indices.len(), values.len());
        for (index, value) in indices.iter().zip(values) {
            let y = &mut y[index.offset()];
            *y = value.widen().mul_add(scale, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    #[test]
    fn gather_and_scatter_agree_with_their_definition_for_both_widths_of_index() {
        let x: Vec<f64> = (0..97).map(|k| (k as f64).cos()).collect();
        for len in 0..100 {
            let long: Vec<i64> = (0..len).map(|k| k * k % 97).collect();
            let short: Vec<i32> = long.iter().map(|&k| k as i32).collect();
            let values: Vec<f64> = (0..len).map(|k| (k as f64 + 0.3).sin()).collect();
            let outcomes = on_every_path(|| {
                let mut y = [x.clone(), x.clone()];
                scatter_add(&long, &values, -0.7, &mut y[0]);
                scatter_add(&short, &values, -0.7, &mut y[1]);
                assert!(same_bits(&y[0], &y[1]));
                let dots = [gather_dot(&long, &values, &x), gather_dot(&short, &values, &x)];
                assert!(same_bits(&dots[..1], &dots[1..]));
                [&y[0][..], &dots[..1]].concat()
            });
            let (mut y, mut dot) = (x.clone(), 0.0);
            for (&index, &value) in long.iter().zip(&values) {
                y[index as usize] = value.mul_add(-0.7, y[index as usize]);
                dot += value * x[index as usize];
            }
            for outcome in &outcomes {
                assert!(same_bits(outcome, &outcomes[0]));
                assert!(same_bits(&outcome[..97], &y));
                assert!((outcome[97] - dot).abs() <= 1e-13);
            }
        }
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_negative_index_is_out_of_range() {
        gather_dot(&[-1i32; 8], &[1.0; 8], &[0.0; 4]);
    }
}
