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
            total = value.to_f64().mul_add(x[index.offset()], total);
        }
        total
    }
}

/// y += scale v for the entries v of a line. Panics if the lengths differ or an index is out of range.
#[inline(always)]
fn add_multiple<I: Index, T: Element>(indices: &[I], values: &[T], scale: f64, y: &mut [f64]) {
    for (index, value) in indices.iter().zip(values) {
        let sum = &mut y[index.offset()];
        *sum = value.to_f64().mul_add(scale, *sum);
    }
}

kernel! {
    /// G += w_l v v' below its diagonal for all lines v, whose indices increase and which end where those of the next
    /// begin. G is column-major of order `d`; what is not given as weights is one. Panics if a line leads out of the
    /// entries, or an index out of G.
    pub fn add_outer_products<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        weights: Option<&[f64]>,
        d: usize,
        g: &mut [f64],
    ) {
        for (line, ends) in ends.windows(2).enumerate() {
            let entries = ends[0].offset()..ends[1].offset();
            let (indices, values) = (&indices[entries.clone()], &values[entries]);
            let weight = weights.map_or(1.0, |weights| weights[line]);
            for (p, (first, value)) in indices.iter().zip(values).enumerate() {
                let column = &mut g[first.offset() * d..][..d];
                add_multiple(&indices[p..], &values[p..], weight * value.to_f64(), column);
            }
        }
    }
}

kernel! {
    /// A column of that G: y += sum of w_l v_k v for the lines l = `lines`\[i\] and their entries v from the one at
    /// k = `starts`\[i\] on. Panics if a line leads out of the entries, or an index out of y.
    pub fn add_tails<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        weights: Option<&[f64]>,
        lines: &[u32],
        starts: &[u32],
        y: &mut [f64],
    ) {
        for (&line, &start) in lines.iter().zip(starts) {
            let (line, start) = (line as usize, start as usize);
            let tail = start..ends[line + 1].offset();
            let scale = weights.map_or(1.0, |weights| weights[line]) * values[start].to_f64();
            add_multiple(&indices[tail.clone()], &values[tail], scale, y);
        }
    }
}

kernel! {
    /// y_l += sum of v_k x\[i_k\] over the entries of line l, which end where those of the next one begin. False, and
    /// anything in y, if a line leads out of the entries or an index out of x.
    pub fn add_lines<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        x: &[f64],
        y: &mut [f64],
    ) -> bool {
        for (y, ends) in y.iter_mut().zip(ends.windows(2)) {
            let line = ends[0].offset()..ends[1].offset();
            let (Some(indices), Some(values)) = (indices.get(line.clone()), values.get(line)) else {
                return false;
            };
            let ((indices, indices_tail), (values, values_tail)) = (indices.as_chunks::<4>(), values.as_chunks::<4>());
            let (mut sums, mut sum) = ([0.0; 4], 0.0);
            for (indices, values) in indices.iter().zip(values) {
                for k in 0..4 {
                    let Some(&x) = x.get(indices[k].offset()) else { return false };
                    sums[k] = values[k].to_f64().mul_add(x, sums[k]);
                }
            }
            for (index, value) in indices_tail.iter().zip(values_tail) {
                let Some(&x) = x.get(index.offset()) else { return false };
                sum = value.to_f64().mul_add(x, sum);
            }
            *y += (sums[0] + sums[1]) + (sums[2] + sums[3]) + sum;
        }
        true
    }
}

kernel! {
    /// [`add_lines`] for so many columns at once: x and y are row-major.
    pub fn add_lines_of_many<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        columns: usize,
        x: &[f64],
        y: &mut [f64],
    ) -> bool {
        let height = x.len() / columns;
        for (y, ends) in y.chunks_exact_mut(columns).zip(ends.windows(2)) {
            let line = ends[0].offset()..ends[1].offset();
            let (Some(indices), Some(values)) = (indices.get(line.clone()), values.get(line)) else {
                return false;
            };
            for (y, first) in y.chunks_mut(8).zip((0..).step_by(8)) {
                let mut sum = V::load_head(y);
                for (index, value) in indices.iter().zip(values) {
                    let index = index.offset();
                    if index >= height {
                        return false;
                    }
                    let x = V::load_head(&x[index * columns + first..][..y.len()]);
                    sum = V::splat(value.to_f64()).mul_add(x, sum);
                }
                sum.store_head(y);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    #[test]
    fn gathered_products_agree_with_their_definition_for_both_widths_of_index() {
        let x: Vec<f64> = (0..97).map(|k| (k as f64).cos()).collect();
        for len in 0..100 {
            let long: Vec<i64> = (0..len).map(|k| k * k % 97).collect();
            let short: Vec<i32> = long.iter().map(|&k| k as i32).collect();
            let values: Vec<f64> = (0..len).map(|k| (k as f64 + 0.3).sin()).collect();
            let outcomes =
                on_every_path(|| [gather_dot(&long, &values, &x), gather_dot(&short, &values, &x)]);
            let dot: f64 = long.iter().zip(&values).map(|(&index, value)| value * x[index as usize]).sum();
            for outcome in &outcomes {
                assert!(same_bits(outcome, &[outcomes[0][0]; 2]));
                assert!((outcome[0] - dot).abs() <= 1e-13);
            }
        }
    }

    #[test]
    fn outer_products_are_added_below_the_diagonal() {
        let (ends, indices, values) = ([0i64, 0, 2, 3], [2i32, 4, 1], [3.0f32, 5.0, 2.0]);
        for g in on_every_path(|| {
            let mut g = [1.0; 25];
            add_outer_products(&ends, &indices, &values, Some(&[9.0, 0.5, 0.25]), 5, &mut g);
            let mut column = [1.0; 5];
            add_tails(&ends, &indices, &values, Some(&[9.0, 0.5, 0.25]), &[1], &[0], &mut column);
            assert_eq!(column, g[10..15]);
            g
        }) {
            let mut expected = [1.0; 25];
            (expected[6], expected[12], expected[14], expected[24]) = (2.0, 5.5, 8.5, 13.5);
            assert_eq!(g, expected);
        }
    }

    #[test]
    fn lines_are_added_up_for_one_column_and_for_many() {
        let lengths = [0, 1, 3, 4, 5, 0, 8, 13, 40];
        let ends: Vec<i32> = lengths.iter().fold(vec![0], |mut ends, len| {
            ends.push(ends[ends.len() - 1] + len);
            ends
        });
        let indices: Vec<i64> = (0..74).map(|k| k * k % 23).collect();
        let values: Vec<f32> = (0..74).map(|k| (k as f32 + 0.3).sin()).collect();
        for columns in [1, 2, 8, 11, 20] {
            let x: Vec<f64> = (0..23 * columns).map(|k| (k as f64).cos()).collect();
            let start: Vec<f64> = (0..9 * columns).map(|k| k as f64).collect();
            let outcomes = on_every_path(|| {
                let mut y = start.clone();
                assert!(add_lines_of_many(&ends, &indices, &values, columns, &x, &mut y));
                let mut one = start.clone();
                assert!(columns > 1 || add_lines(&ends, &indices, &values, &x, &mut one));
                (y, one)
            });
            let mut y = start.clone();
            for (line, ends) in ends.windows(2).enumerate() {
                for k in ends[0] as usize..ends[1] as usize {
                    (0..columns).for_each(|c| {
                        y[line * columns + c] += f64::from(values[k]) * x[indices[k] as usize * columns + c]
                    });
                }
            }
            let close = |left: &[f64]| left.iter().zip(&y).all(|(left, right)| (left - right).abs() < 1e-12);
            for (many, one) in &outcomes {
                assert!(close(many) && (columns > 1 || close(one)));
                assert!(same_bits(many, &outcomes[0].0) && same_bits(one, &outcomes[0].1));
            }
        }
    }

    #[test]
    fn lines_and_indices_that_lead_out_are_noticed() {
        let found = |ends: &[i64], indices: &[i32]| {
            let one = add_lines(ends, indices, &[1.0; 6], &[1.0; 3], &mut [0.0; 2]);
            let many = add_lines_of_many(ends, indices, &[1.0; 6], 2, &[1.0; 6], &mut [0.0; 4]);
            assert_eq!(one, many);
            one
        };
        assert!(found(&[0, 5, 6], &[0, 1, 2, 0, 1, 2]));
        assert!(!found(&[0, 5, 7], &[0, 1, 2, 0, 1, 2, 0]));
        assert!(!found(&[0, 5, 4], &[0; 6]));
        assert!(!found(&[-1, 5, 6], &[0; 6]));
        for bad in [3, -1, i32::MIN, i32::MAX] {
            for position in 0..6 {
                let mut indices = [0; 6];
                indices[position] = bad;
                assert!(!found(&[0, 5, 6], &indices), "{bad} at {position}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_negative_index_is_out_of_range() {
        gather_dot(&[-1i32; 8], &[1.0; 8], &[0.0; 4]);
    }
}
