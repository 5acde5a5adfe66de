//! Sums over vectors.
//!
//! Eight lanes wide and four deep: chunk c of eight numbers goes to accumulator c mod 4, the numbers that
//! are left over to the last one.

use super::kernel;
use super::lanes::{Element, Lanes};

kernel! {
    /// Sum of x_i y_i. Panics if the lengths differ.
    pub fn dot<V, T: Element>(x: &[T], y: &[f64]) -> f64 {
        assert_eq!(x.len(), y.len());
        let ((x, x_head), (y, y_head)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<4>(), y.as_chunks::<4>());
        let mut sums = [V::splat(0.0); 4];
        for (x, y) in x.iter().zip(y) {
            for k in 0..4 {
                sums[k] = T::load::<V>(&x[k]).mul_add(V::load(&y[k]), sums[k]);
            }
        }
        for (k, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
            sums[k] = T::load::<V>(x).mul_add(V::load(y), sums[k]);
        }
        sums[3] = T::load_head::<V>(x_head).mul_add(V::load_head(y_head), sums[3]);
        total(sums)
    }
}

kernel! {
    /// y += a x. Panics if the lengths differ.
    pub fn axpy<V, T: Element>(a: f64, x: &[T], y: &mut [f64]) {
        assert_eq!(x.len(), y.len());
        let (x, x_head) = x.as_chunks::<8>();
        let (y, y_head) = y.as_chunks_mut::<8>();
        let a = V::splat(a);
        for (x, y) in x.iter().zip(y) {
            T::load::<V>(x).mul_add(a, V::load(y)).store(y);
        }
        T::load_head::<V>(x_head).mul_add(a, V::load_head(y_head)).store_head(y_head);
    }
}

kernel! {
    /// (x, y) <- (c x + s y, c y - s x). Panics if the lengths differ.
    pub fn rotate<V>(c: f64, s: f64, x: &mut [f64], y: &mut [f64]) {
        assert_eq!(x.len(), y.len());
        let (x, x_head) = x.as_chunks_mut::<8>();
        let (y, y_head) = y.as_chunks_mut::<8>();
        let (c, s, back) = (V::splat(c), V::splat(s), V::splat(-s));
        for (x, y) in x.iter_mut().zip(y) {
            let (left, right) = (V::load(x), V::load(y));
            left.mul_add(c, right.mul(s)).store(x);
            right.mul_add(c, left.mul(back)).store(y);
        }
        let (left, right) = (V::load_head(x_head), V::load_head(y_head));
        left.mul_add(c, right.mul(s)).store_head(x_head);
        right.mul_add(c, left.mul(back)).store_head(y_head);
    }
}

kernel! {
    /// Sum of x_i squared.
    pub fn norm_sq<V, T: Element>(x: &[T]) -> f64 {
        let (x, head) = x.as_chunks::<8>();
        let (x, rest) = x.as_chunks::<4>();
        let mut sums = [V::splat(0.0); 4];
        for x in x {
            for k in 0..4 {
                sums[k] = square_add(T::load(&x[k]), sums[k]);
            }
        }
        for (k, x) in rest.iter().enumerate() {
            sums[k] = square_add(T::load(x), sums[k]);
        }
        sums[3] = square_add(T::load_head(head), sums[3]);
        total(sums)
    }
}

kernel! {
    /// Sum of x_i.
    pub fn sum<V, T: Element>(x: &[T]) -> f64 {
        let (x, head) = x.as_chunks::<8>();
        let (x, rest) = x.as_chunks::<4>();
        let mut sums = [V::splat(0.0); 4];
        for x in x {
            for k in 0..4 {
                sums[k] = sums[k].add(T::load(&x[k]));
            }
        }
        for (k, x) in rest.iter().enumerate() {
            sums[k] = sums[k].add(T::load(x));
        }
        sums[3] = sums[3].add(T::load_head(head));
        total(sums)
    }
}

kernel! {
    /// y = x, in double precision. Panics if the lengths differ.
    pub fn widen<V, T: Element>(x: &[T], y: &mut [f64]) {
        assert_eq!(x.len(), y.len());
        let ((x, x_head), (y, y_head)) = (x.as_chunks::<8>(), y.as_chunks_mut::<8>());
        for (x, y) in x.iter().zip(y) {
            T::load::<V>(x).store(y);
        }
        T::load_head::<V>(x_head).store_head(y_head);
    }
}

kernel! {
    /// y += a x, and the sum of y_i squared. Panics if the lengths differ.
    pub fn axpy_norm_sq<V>(a: f64, x: &[f64], y: &mut [f64]) -> f64 {
        assert_eq!(x.len(), y.len());
        let (x, x_head) = x.as_chunks::<8>();
        let (y, y_head) = y.as_chunks_mut::<8>();
        let (a, mut sums) = (V::splat(a), [V::splat(0.0); 4]);
        for (k, (x, y)) in x.iter().zip(y).enumerate() {
            let sum = V::load(x).mul_add(a, V::load(y));
            sum.store(y);
            sums[k % 4] = square_add(sum, sums[k % 4]);
        }
        let sum = V::load_head(x_head).mul_add(a, V::load_head(y_head));
        sum.store_head(y_head);
        sums[3] = square_add(sum, sums[3]);
        total(sums)
    }
}

kernel! {
    /// An iteration's y += a p and p = g + b p, and the sum of x_i + y_i squared. Panics if the lengths differ.
    pub fn advance<V>(a: f64, b: f64, g: &[f64], x: &[f64], y: &mut [f64], p: &mut [f64]) -> f64 {
        assert!([x.len(), y.len(), p.len()] == [g.len(); 3]);
        let ((g, g_head), (x, x_head)) = (g.as_chunks::<8>(), x.as_chunks::<8>());
        let ((y, y_head), (p, p_head)) = (y.as_chunks_mut::<8>(), p.as_chunks_mut::<8>());
        let ([a, b], mut sums) = ([a, b].map(|number| V::splat(number)), [V::splat(0.0); 4]);
        for (k, ((g, x), (y, p))) in g.iter().zip(x).zip(y.iter_mut().zip(p)).enumerate() {
            let step = V::load(p);
            let end = step.mul_add(a, V::load(y));
            end.store(y);
            step.mul_add(b, V::load(g)).store(p);
            sums[k % 4] = square_add(end.add(V::load(x)), sums[k % 4]);
        }
        let step = V::load_head(p_head);
        let end = step.mul_add(a, V::load_head(y_head));
        end.store_head(y_head);
        step.mul_add(b, V::load_head(g_head)).store_head(p_head);
        sums[3] = square_add(end.add(V::load_head(x_head)), sums[3]);
        total(sums)
    }
}

#[inline(always)]
fn total<V: Lanes>(sums: [V; 4]) -> f64 {
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
}

#[inline(always)]
fn square_add<V: Lanes>(x: V, sum: V) -> V {
    x.mul_add(x, sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    fn numbers(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|k| ((k * 29 + seed) as f64 * 0.754).sin()).collect()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-13
    }

    #[test]
    fn reductions_agree_with_their_definition_on_every_path_and_alignment() {
        let (x, y) = (numbers(201, 1), numbers(202, 2));
        let narrow: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        for len in 0..200 {
            let (xs, ys, narrow) = (&x[..len], &y[1..][..len], &narrow[..len]);
            let moved = [&[0.5], xs].concat();
            let outcomes = on_every_path(|| {
                let wide = [dot(xs, ys), norm_sq(xs), sum(xs)];
                assert!(same_bits(&wide, &[dot(&moved[1..], ys), norm_sq(&moved[1..]), sum(&moved[1..])]));
                [&wide[..], &[dot(narrow, ys), norm_sq(narrow), sum(narrow)]].concat()
            });
            let pairs = || xs.iter().zip(ys);
            let wide = on_every_path(|| {
                let mut wide = vec![f64::NAN; len];
                widen(narrow, &mut wide);
                wide
            });
            assert!(wide.iter().all(|wide| wide.iter().zip(narrow).all(|(a, b)| *a == f64::from(*b))));
            assert!(close(outcomes[0][0], pairs().map(|(x, y)| x * y).sum()));
            assert!(close(outcomes[0][1], xs.iter().map(|x| x * x).sum()));
            assert!(close(outcomes[0][2], xs.iter().sum()));
            let widened: Vec<f64> = narrow.iter().map(|&v| f64::from(v)).collect();
            assert!(same_bits(&outcomes[0][3..], &[dot(&widened, ys), norm_sq(&widened), sum(&widened)]));
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
        }
    }

    #[test]
    fn sums_on_the_way_are_those_of_what_is_left_behind() {
        let [g, x, y, p] = [1, 2, 3, 4].map(|seed| numbers(130, seed));
        for len in 0..130 {
            let outcomes = on_every_path(|| {
                let [mut sum, mut end, mut direction] = [&y, &y, &p].map(|v| v[..len].to_vec());
                let square = axpy_norm_sq(1.7, &x[..len], &mut sum);
                assert!(same_bits(&[square], &[norm_sq(&sum)]));
                let reach = advance(0.3, 0.6, &g[..len], &x[..len], &mut end, &mut direction);
                [vec![square, reach], sum, end, direction].concat()
            });
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
            let (found, [sum, end, direction]) = (&outcomes[0], [0, 1, 2].map(|k| 2 + k * len));
            for k in 0..len {
                assert_eq!(found[sum + k], x[k].mul_add(1.7, y[k]));
                assert_eq!(found[end + k], p[k].mul_add(0.3, y[k]));
                assert_eq!(found[direction + k], p[k].mul_add(0.6, g[k]));
            }
            assert!(close(found[1], (0..len).map(|k| (x[k] + found[end + k]).powi(2)).sum()));
        }
    }

    #[test]
    fn rotations_keep_lengths_and_turn_back() {
        let (c, s) = (0.8, -0.6);
        let [x, y] = [1, 2].map(|seed| numbers(70, seed));
        for len in 0..70 {
            let outcomes = on_every_path(|| {
                let [mut left, mut right] = [&x, &y].map(|v| v[..len].to_vec());
                rotate(c, s, &mut left, &mut right);
                [left, right].concat()
            });
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
            for k in 0..len {
                assert!((outcomes[0][k] - (c * x[k] + s * y[k])).abs() < 1e-12);
                assert!((outcomes[0][len + k] - (c * y[k] - s * x[k])).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn axpy_rounds_once() {
        let (x, y) = (numbers(200, 3), numbers(200, 4));
        let narrow: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        for len in 0..200 {
            for outcome in on_every_path(|| {
                let mut outcome = [y[..len].to_vec(), y[..len].to_vec()];
                axpy(1.7, &x[..len], &mut outcome[0]);
                axpy(1.7, &narrow[..len], &mut outcome[1]);
                outcome
            }) {
                for k in 0..len {
                    assert_eq!(outcome[0][k], x[k].mul_add(1.7, y[k]));
                    assert_eq!(outcome[1][k], f64::from(narrow[k]).mul_add(1.7, y[k]));
                }
            }
        }
    }
}
