//! Rows and two vectors at a time: a row that is read once meets both, and a few rows at a time fill the registers.
//!
//! What a row's products are, and what a row adds, does not depend on the rows that it is worked on with.

use super::kernel;
use super::lanes::Lanes;

kernel! {
    /// `products[i] = [<row i, u>, <row i, v>]`: row i of x begins at `i * stride` and is as long as u and v.
    ///
    /// Panics if a slice is too short.
    pub fn pair_products<V>(x: &[f64], stride: usize, u: &[f64], v: &[f64], products: &mut [[f64; 2]]) {
        assert_eq!(u.len(), v.len());
        let mut first = 0;
        while first + 4 <= products.len() {
            let found = products_of::<V, 4>(rows(x, stride, first, u.len()), u, v);
            products[first..first + 4].copy_from_slice(&found);
            first += 4;
        }
        while first < products.len() {
            [products[first]] = products_of::<V, 1>(rows(x, stride, first, u.len()), u, v);
            first += 1;
        }
    }
}

kernel! {
    /// `u += Σ factors[i][0] row i`, and v by the other factors, a row after the other.
    ///
    /// Panics if a slice is too short.
    pub fn add_pairs<V>(x: &[f64], stride: usize, factors: &[[f64; 2]], u: &mut [f64], v: &mut [f64]) {
        assert_eq!(u.len(), v.len());
        let (chunks, rest) = factors.as_chunks::<4>();
        for (i, factors) in chunks.iter().enumerate() {
            add::<V, 4>(rows(x, stride, 4 * i, u.len()), factors, u, v);
        }
        for (i, factors) in rest.iter().enumerate() {
            add::<V, 1>(rows(x, stride, 4 * chunks.len() + i, u.len()), &[*factors], u, v);
        }
    }
}

#[inline(always)]
fn rows<const ROWS: usize>(x: &[f64], stride: usize, first: usize, d: usize) -> [&[f64]; ROWS] {
    let mut rows = [&x[..0]; ROWS];
    for i in 0..ROWS {
        rows[i] = &x[(first + i) * stride..][..d];
    }
    rows
}

#[inline(always)]
fn products_of<V: Lanes, const ROWS: usize>(rows: [&[f64]; ROWS], u: &[f64], v: &[f64]) -> [[f64; 2]; ROWS] {
    let mut sums = [[V::splat(0.0); 2]; ROWS];
    let ((u, u_head), (v, v_head)) = (u.as_chunks::<8>(), v.as_chunks::<8>());
    let split = rows.map(|row| row.as_chunks::<8>());
    for c in 0..u.len().min(v.len()) {
        let (u, v) = (V::load(&u[c]), V::load(&v[c]));
        for i in 0..ROWS {
            let row = V::load(&split[i].0[c]);
            sums[i][0] = row.mul_add(u, sums[i][0]);
            sums[i][1] = row.mul_add(v, sums[i][1]);
        }
    }
    let (u, v) = (V::load_head(u_head), V::load_head(v_head));
    let mut found = [[0.0; 2]; ROWS];
    for i in 0..ROWS {
        let row = V::load_head(split[i].1);
        found[i] = [row.mul_add(u, sums[i][0]).sum(), row.mul_add(v, sums[i][1]).sum()];
    }
    found
}

#[inline(always)]
fn add<V: Lanes, const ROWS: usize>(
    rows: [&[f64]; ROWS],
    factors: &[[f64; 2]; ROWS],
    u: &mut [f64],
    v: &mut [f64],
) {
    let mut spread = [[V::splat(0.0); 2]; ROWS];
    for i in 0..ROWS {
        spread[i] = [V::splat(factors[i][0]), V::splat(factors[i][1])];
    }
    let split = rows.map(|row| row.as_chunks::<8>());
    let ((u, u_head), (v, v_head)) = (u.as_chunks_mut::<8>(), v.as_chunks_mut::<8>());
    for c in 0..u.len().min(v.len()) {
        let mut sums = [V::load(&u[c]), V::load(&v[c])];
        for i in 0..ROWS {
            let row = V::load(&split[i].0[c]);
            sums[0] = row.mul_add(spread[i][0], sums[0]);
            sums[1] = row.mul_add(spread[i][1], sums[1]);
        }
        sums[0].store(&mut u[c]);
        sums[1].store(&mut v[c]);
    }
    let mut sums = [V::load_head(u_head), V::load_head(v_head)];
    for i in 0..ROWS {
        let row = V::load_head(split[i].1);
        sums[0] = row.mul_add(spread[i][0], sums[0]);
        sums[1] = row.mul_add(spread[i][1], sums[1]);
    }
    sums[0].store_head(u_head);
    sums[1].store_head(v_head);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_alone_and_together_on_every_path(m in 0usize..11, d in 0usize..40, gap in 0usize..3, seed in 0u64..99) {
            let number = |k: usize| ((seed as usize + 7 * k) * 2_654_435_761 % 1009) as f64 / 97.0 - 5.0;
            let x: Vec<f64> = (0..m * (d + gap)).map(number).collect();
            let (u, v): (Vec<f64>, Vec<f64>) = (0..d).map(|k| (number(k + 500), number(k + 900))).unzip();
            let paths = on_every_path(|| {
                let mut products = vec![[0.0; 2]; m];
                pair_products(&x, d + gap, &u, &v, &mut products);
                let (mut a, mut b) = (u.clone(), v.clone());
                add_pairs(&x, d + gap, &products, &mut a, &mut b);
                [products.as_flattened(), &a, &b].concat()
            });
            for path in &paths {
                prop_assert!(same_bits(path, &paths[0]));
            }
            let (products, sums) = paths[0].split_at(2 * m);
            for i in 0..m {
                let row = &x[i * (d + gap)..][..d];
                let mut alone = [[0.0; 2]];
                pair_products(row, d, &u, &v, &mut alone);
                prop_assert!(same_bits(&alone[0], &products[2 * i..2 * i + 2]));
                let by_hand: f64 = row.iter().zip(&u).map(|(a, b)| a * b).sum();
                prop_assert!((alone[0][0] - by_hand).abs() <= 1e-12 * (1.0 + by_hand.abs()));
            }
            let (mut a, mut b) = (u.clone(), v.clone());
            for i in 0..m {
                add_pairs(&x[i * (d + gap)..], d, &[[products[2 * i], products[2 * i + 1]]], &mut a, &mut b);
            }
            prop_assert!(same_bits(&[a, b].concat(), sums));
        }
    }
}
