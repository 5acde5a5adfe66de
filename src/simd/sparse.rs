//! Compressed lines against dense vectors.

use super::kernel;
use super::lanes::{Element, Lanes};
use std::ops::Range;

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
    /// G += w_l v v' below its diagonal, in some columns, for all lines v, whose indices increase and which end where those
    /// of the next begin. `g` has these columns of G, which is of order `d`; what is not given as weights is one. Panics if
    /// a line leads out of the entries.
    pub fn add_outer_products<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        weights: Option<&[f64]>,
        d: usize,
        columns: Range<usize>,
        g: &mut [f64],
    ) {
        for (line, ends) in ends.windows(2).enumerate() {
            let entries = ends[0].offset()..ends[1].offset();
            let (indices, values) = (&indices[entries.clone()], &values[entries]);
            let weight = weights.map_or(1.0, |weights| weights[line]);
            for (p, (first, value)) in indices.iter().zip(values).enumerate() {
                let first = first.offset();
                if first < columns.start {
                    continue;
                }
                if first >= columns.end {
                    break;
                }
                let column = &mut g[(first - columns.start) * d..][..d];
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

kernel! {
    /// Adds the squares of the entries of rows, times their weights, to those of their columns: (w_i a_ij)^2.
    ///
    /// Panics if a row leads out of the entries, an index out of `squares`, or there are not as many weights as rows.
    pub fn add_squares_of_lines<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        roots: Option<&[f64]>,
        squares: &mut [f64],
    ) {
        for at in 0..ends.len() - 1 {
            let line = ends[at].offset()..ends[at + 1].offset();
            let (indices, values, mut k) = (&indices[line.clone()], &values[line], 0);
            let root = roots.map_or(1.0, |roots| roots[at]);
            while k < values.len() {
                let (value, sum) = (root * values[k].to_f64(), &mut squares[indices[k].offset()]);
                *sum = value.mul_add(value, *sum);
                k += 1;
            }
        }
    }
}

kernel! {
    /// R = B - W (A - 1 m') X and G += A'W R for the rows of A, which begin and end at `ends`, where X, B and G are row-major
    /// and have as many columns as there are `shifts`, which are X'm: 1, 2, 4 or 8. `roots` holds the diagonal of W, or ones.
    /// The sums of r_i squared and of w_i r_i are added to those of every column. A column has the bits that it has by itself.
    ///
    /// Panics if a row leads out of the entries, an index out of X or G, or there are not as many weights as rows of B.
    pub fn residual_lines<V, P: Index, I: Index, T: Element>(
        ends: &[P],
        indices: &[I],
        values: &[T],
        roots: Option<&[f64]>,
        shifts: &[f64],
        x: &[f64],
        b: &[f64],
        g: &mut [f64],
        sums: [&mut [f64]; 2],
    ) {
        match shifts.len() {
            1 => lines::<V, P, I, T, 1>(ends, indices, values, roots, shifts, x, b, g, sums),
            2 => lines::<V, P, I, T, 2>(ends, indices, values, roots, shifts, x, b, g, sums),
            4 => lines::<V, P, I, T, 4>(ends, indices, values, roots, shifts, x, b, g, sums),
            8 => lines::<V, P, I, T, 8>(ends, indices, values, roots, shifts, x, b, g, sums),
            columns => unreachable!("{columns} columns"),
        }
    }
}

/// Numbers of X beyond which its rows are asked for, and how many entries before they are needed.
const LARGE: usize = 1 << 15;
const AHEAD: usize = 16;

/// Even and odd entries of a row are added up apart, so that a sum need not wait for the one before it.
#[inline(always)]
fn lines<V: Lanes, P: Index, I: Index, T: Element, const K: usize>(
    ends: &[P],
    indices: &[I],
    values: &[T],
    roots: Option<&[f64]>,
    shifts: &[f64],
    x: &[f64],
    b: &[f64],
    g: &mut [f64],
    [squares, totals]: [&mut [f64]; 2],
) {
    let (x, b, g) = (x.as_chunks::<K>().0, b.as_chunks::<K>().0, g.as_chunks_mut::<K>().0);
    let one = |slice: &[f64]| -> [f64; K] { slice.as_chunks::<K>().0[0] };
    let (shifts, mut sum_of_squares, mut sum) = (one(shifts), one(squares), one(totals));
    let far = x.len() * K > LARGE;
    for at in 0..b.len() {
        let line = ends[at].offset()..ends[at + 1].offset();
        if far {
            for k in line.start + AHEAD..indices.len().min(line.end + AHEAD) {
                V::prefetch(x.as_ptr().wrapping_add(indices[k].offset()));
                V::prefetch(g.as_ptr().wrapping_add(indices[k].offset()));
            }
        }
        let (indices, values) = (&indices[line.clone()], &values[line]);
        let ([mut even, mut odd], mut k) = ([[0.0; K]; 2], 0);
        while k + 1 < values.len() {
            let (left, right) = (&x[indices[k].offset()], &x[indices[k + 1].offset()]);
            let [first, second] = [values[k].to_f64(), values[k + 1].to_f64()];
            for s in 0..K {
                even[s] = first.mul_add(left[s], even[s]);
                odd[s] = second.mul_add(right[s], odd[s]);
            }
            k += 2;
        }
        if k < values.len() {
            let (x, value) = (&x[indices[k].offset()], values[k].to_f64());
            for s in 0..K {
                even[s] = value.mul_add(x[s], even[s]);
            }
        }
        let (root, mut r) = (roots.map_or(1.0, |roots| roots[at]), [0.0; K]);
        for s in 0..K {
            let residual = root.mul_add(shifts[s] - (even[s] + odd[s]), b[at][s]);
            sum_of_squares[s] = residual.mul_add(residual, sum_of_squares[s]);
            r[s] = root * residual;
            sum[s] += r[s];
        }
        k = 0;
        while k < values.len() {
            let (g, value) = (&mut g[indices[k].offset()], values[k].to_f64());
            for s in 0..K {
                g[s] = value.mul_add(r[s], g[s]);
            }
            k += 1;
        }
    }
    squares.copy_from_slice(&sum_of_squares);
    totals.copy_from_slice(&sum);
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
    fn a_column_of_a_read_has_the_bits_that_it_has_by_itself() {
        let ends: Vec<i32> = (0..=40).map(|line: i32| line * line / 5).collect();
        let stored = ends[40] as usize;
        let indices: Vec<i64> = (0..stored).map(|k| (k * 7 % 19) as i64).collect();
        let values: Vec<f64> = (0..stored).map(|k| (k as f64 + 0.3).sin()).collect();
        let number = |i: usize, column: usize| ((3 * i + 5 * column) as f64).cos();
        let roots: Vec<f64> = (0..40).map(|i| 1.0 + number(i, 9)).collect();
        let read = |columns: std::ops::Range<usize>, roots: Option<&[f64]>| {
            let block = |rows: usize| -> Vec<f64> {
                (0..rows).flat_map(|i| columns.clone().map(move |column| number(i, column))).collect()
            };
            let k = columns.len();
            let shifts: Vec<f64> = columns.clone().map(|column| number(99, column)).collect();
            let (mut g, mut squares, mut totals) = (vec![0.5; 19 * k], vec![0.0; k], vec![0.0; k]);
            let sums = [&mut squares[..], &mut totals];
            residual_lines(&ends, &indices, &values, roots, &shifts, &block(19), &block(40), &mut g, sums);
            g.extend(squares.into_iter().chain(totals));
            g
        };
        for roots in [None, Some(&roots[..])] {
            let all = on_every_path(|| read(0..8, roots));
            assert!(all.iter().all(|other| same_bits(other, &all[0])));
            for column in 0..8 {
                let of_all: Vec<f64> = all[0].iter().skip(column).step_by(8).copied().collect();
                assert!(same_bits(&read(column..column + 1, roots), &of_all));
                let pair = read(column..column + 2, roots);
                assert!(same_bits(&pair.into_iter().step_by(2).collect::<Vec<_>>(), &of_all));
            }
            let dot = |line: usize| -> f64 {
                (ends[line] as usize..ends[line + 1] as usize)
                    .map(|k| values[k] * number(indices[k] as usize, 3))
                    .sum()
            };
            let root = |i: usize| roots.map_or(1.0, |roots| roots[i]);
            let r: Vec<f64> = (0..40).map(|i| number(i, 3) - root(i) * (dot(i) - number(99, 3))).collect();
            let squares: f64 = r.iter().map(|r| r * r).sum();
            let total: f64 = r.iter().enumerate().map(|(i, r)| r * root(i)).sum();
            let (squares_found, total_found) = (all[0][19 * 8 + 3], all[0][20 * 8 + 3]);
            assert!((squares_found / squares - 1.0).abs() < 1e-13 && (total_found - total).abs() < 1e-12);
            let mut g = [0.5; 19];
            for (i, r) in r.iter().enumerate() {
                (ends[i] as usize..ends[i + 1] as usize)
                    .for_each(|k| g[indices[k] as usize] += values[k] * root(i) * r);
            }
            for (j, g) in g.iter().enumerate() {
                assert!((all[0][8 * j + 3] - g).abs() < 1e-12);
            }
            let mut squares = vec![1.0; 19];
            add_squares_of_lines(&ends, &indices, &values, roots, &mut squares);
            let expected = |j: i64| -> f64 {
                let of_row = |i: usize| (ends[i] as usize..ends[i + 1] as usize).map(move |k| (i, k));
                let entries = (0..40).flat_map(of_row).filter(|&(_, k)| indices[k] == j);
                1.0 + entries.map(|(i, k)| (root(i) * values[k]).powi(2)).sum::<f64>()
            };
            for (j, square) in squares.iter().enumerate() {
                assert!((square / expected(j as i64) - 1.0).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn outer_products_are_added_below_the_diagonal() {
        let (ends, indices, values) = ([0i64, 0, 2, 3], [2i32, 4, 1], [3.0f32, 5.0, 2.0]);
        for g in on_every_path(|| {
            let mut g = [1.0; 25];
            add_outer_products(&ends, &indices, &values, Some(&[9.0, 0.5, 0.25]), 5, 0..2, &mut g[..10]);
            add_outer_products(&ends, &indices, &values, Some(&[9.0, 0.5, 0.25]), 5, 2..5, &mut g[10..]);
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
