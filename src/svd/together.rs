//! Two long vectors at once, each of them contiguous: what is done to them between two products.

use crate::simd::kernel;
use crate::simd::lanes::Lanes;
use std::array::from_fn;

/// Vectors of a block.
pub(super) const WIDTH: usize = 2;
pub(super) type Square = [[f64; WIDTH]; WIDTH];

/// The columns of a block.
fn columns(block: &[f64]) -> [&[f64]; WIDTH] {
    let d = block.len() / WIDTH;
    from_fn(|j| &block[j * d..(j + 1) * d])
}

/// A block row by row.
pub(super) fn to_rows(block: &[f64], rows: &mut [f64]) {
    let columns = columns(block);
    for (i, row) in rows.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        *row = from_fn(|j| columns[j][i]);
    }
}

/// A block column by column.
pub(super) fn to_columns(rows: &[f64], block: &mut [f64]) {
    let d = block.len() / WIDTH;
    for (j, column) in block.chunks_exact_mut(d.max(1)).enumerate() {
        for (value, row) in column.iter_mut().zip(rows.as_chunks::<WIDTH>().0) {
            *value = row[j];
        }
    }
}

kernel! {
    /// W -= X C, and then Y'W, or W'W if there is no Y. Panics if the lengths differ.
    pub(super) fn subtract<V>(x: &[f64], c: &Square, y: Option<&[f64]>, w: &mut [f64]) -> Square {
        assert!(x.len() == w.len() && y.is_none_or(|y| y.len() == w.len()));
        let d = w.len() / WIDTH;
        let (mut weights, mut sums) = ([[V::splat(0.0); WIDTH]; WIDTH], [[V::splat(0.0); WIDTH]; WIDTH]);
        for l in 0..WIDTH {
            for j in 0..WIDTH {
                weights[l][j] = V::splat(-c[l][j]);
            }
        }
        for first in (0..d).step_by(8) {
            let rows = if d - first < 8 { d - first } else { 8 };
            let mut values = [V::splat(0.0); WIDTH];
            for j in 0..WIDTH {
                let mut value = load::<V>(&w[j * d + first..][..rows]);
                for l in 0..WIDTH {
                    value = weights[l][j].mul_add(load::<V>(&x[l * d + first..][..rows]), value);
                }
                store(value, &mut w[j * d + first..][..rows]);
                values[j] = value;
            }
            for l in 0..WIDTH {
                let left = match y {
                    Some(y) => load::<V>(&y[l * d + first..][..rows]),
                    None => values[l],
                };
                for j in 0..WIDTH {
                    sums[l][j] = left.mul_add(values[j], sums[l][j]);
                }
            }
        }
        totals(sums)
    }
}

kernel! {
    /// W M in place of W, and then W'W.
    pub(super) fn multiply<V>(m: &Square, w: &mut [f64]) -> Square {
        let (d, mut sums) = (w.len() / WIDTH, [[V::splat(0.0); WIDTH]; WIDTH]);
        for first in (0..d).step_by(8) {
            let rows = if d - first < 8 { d - first } else { 8 };
            let mut values = [V::splat(0.0); WIDTH];
            for l in 0..WIDTH {
                let value = load::<V>(&w[l * d + first..][..rows]);
                for j in 0..WIDTH {
                    values[j] = V::splat(m[l][j]).mul_add(value, values[j]);
                }
            }
            for j in 0..WIDTH {
                store(values[j], &mut w[j * d + first..][..rows]);
                for l in 0..WIDTH {
                    sums[l][j] = values[l].mul_add(values[j], sums[l][j]);
                }
            }
        }
        totals(sums)
    }
}

/// At most eight numbers.
#[inline(always)]
fn load<V: Lanes>(values: &[f64]) -> V {
    match values.first_chunk() {
        Some(eight) => V::load(eight),
        None => V::load_head(values),
    }
}

#[inline(always)]
fn store<V: Lanes>(lanes: V, values: &mut [f64]) {
    match values.first_chunk_mut() {
        Some(eight) => lanes.store(eight),
        None => lanes.store_head(values),
    }
}

#[inline(always)]
fn totals<V: Lanes>(sums: [[V; WIDTH]; WIDTH]) -> Square {
    let mut totals = [[0.0; WIDTH]; WIDTH];
    for l in 0..WIDTH {
        for j in 0..WIDTH {
            totals[l][j] = sums[l][j].sum();
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::product;
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};
    use crate::svd::testing::numbers;

    #[test]
    fn they_are_their_definitions_on_every_path() {
        let close = |found: &[f64], expected: &Mat<f64>| {
            found.iter().zip(expected.as_slice()).all(|(found, expected)| (found - expected).abs() < 1e-11)
        };
        let by_columns = |square: Square| (0..4).map(|at| square[at % 2][at / 2]).collect::<Vec<f64>>();
        for d in [1, 7, 8, 21, 1000] {
            let [x, y, w, c] = [(d, 1), (d, 2), (d, 3), (2, 4)].map(|(rows, seed)| numbers(rows, 2, seed));
            let square: Square = from_fn(|l| from_fn(|j| c[(l, j)]));
            let part = product(x.as_ref(), c.as_ref()).unwrap();
            let less = Mat::from_fn(d, 2, |i, j| w[(i, j)] - part[(i, j)]).unwrap();
            let turned = product(w.as_ref(), c.as_ref()).unwrap();
            let inner = |x: &Mat<f64>, y: &Mat<f64>| product(x.as_ref().t(), y.as_ref()).unwrap();
            let of = |work: &(dyn Fn(&mut [f64]) -> Square + Sync)| {
                let made = on_every_path(|| {
                    let mut made = w.as_slice().to_vec();
                    let sums = by_columns(work(&mut made));
                    (made, sums)
                });
                assert!(made.iter().all(|(w, s)| same_bits(w, &made[0].0) && same_bits(s, &made[0].1)));
                made.into_iter().next().unwrap()
            };
            let (made, sums) = of(&|w| subtract(x.as_slice(), &square, Some(y.as_slice()), w));
            assert!(close(&made, &less) && close(&sums, &inner(&y, &less)));
            let (made, sums) = of(&|w| subtract(x.as_slice(), &square, None, w));
            assert!(close(&made, &less) && close(&sums, &inner(&less, &less)));
            let (made, sums) = of(&|w| multiply(&square, w));
            assert!(close(&made, &turned) && close(&sums, &inner(&turned, &turned)));
            let (mut rows, mut back) = (vec![0.0; 2 * d], vec![0.0; 2 * d]);
            to_rows(w.as_slice(), &mut rows);
            to_columns(&rows, &mut back);
            assert!(rows[1] == w[(0, 1)] && back == w.as_slice());
        }
    }
}
