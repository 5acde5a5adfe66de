//! What is made of the rows of the fixed factor that a line of observations names.
//!
//! They are copied side by side into a tile that stays in the first cache. Rows are `stride` numbers long, a multiple of the
//! lanes in either precision, zeros after the last component. Every number is a chain of fused multiply-adds, or a few, in
//! the order of the rows of the tile: how much of it the registers hold is a matter of the instruction set and changes no bit.

use crate::simd::lanes::{Element, Lanes, Register, load, store};
use crate::simd::{Index, kernel};

/// Bytes of rows that are asked for ahead of their turn.
const AHEAD: usize = 1 << 11;
/// Chains that the sums of [`combine`] consist of.
const CHAINS: usize = 4;

kernel! {
    /// Copies the rows with these indices to a tile, one after the other, and asks for the indices behind them.
    ///
    /// Panics if an index leads out of the factor, or if the tile has not as many numbers as these rows.
    pub fn gather<V, T: Element, I: Index>(factor: &[T], stride: usize, indices: &[I], tile: &mut [T]) {
        let lanes = <T::In<V> as Register>::COUNT;
        assert!(stride.is_multiple_of(lanes) && tile.len() == indices.len() * stride);
        ask_for_more::<V, I>(indices);
        match stride / lanes {
            1 => gather_rows::<V, T, I, 1>(factor, stride, indices, tile),
            2 => gather_rows::<V, T, I, 2>(factor, stride, indices, tile),
            count if count.is_multiple_of(4) => gather_rows::<V, T, I, 4>(factor, stride, indices, tile),
            _ => gather_rows::<V, T, I, 1>(factor, stride, indices, tile),
        }
    }
}

/// [`gather`] of rows that W registers fit into a number of times.
#[inline(always)]
fn gather_rows<V: Lanes, T: Element, I: Index, const W: usize>(
    factor: &[T],
    stride: usize,
    indices: &[I],
    tile: &mut [T],
) {
    let lanes = <T::In<V> as Register>::COUNT;
    let ahead = (AHEAD / (stride * size_of::<T>()).max(1)).max(1);
    for (k, out) in tile.chunks_exact_mut(stride).enumerate() {
        if let Some(next) = indices.get(k + ahead) {
            let next = factor.as_ptr().wrapping_add(next.offset().wrapping_mul(stride));
            for at in (0..stride).step_by(lanes) {
                V::prefetch(next.wrapping_add(at));
            }
        }
        let row = &factor[indices[k].offset() * stride..][..stride];
        for at in (0..stride).step_by(W * lanes) {
            let mut numbers = [<T::In<V>>::splat(T::ZERO); W];
            // SAFETY: rows of `stride` numbers, a multiple of W registers.
            unsafe {
                for w in 0..W {
                    numbers[w] = load(row.as_ptr(), at + w * lanes);
                }
                for w in 0..W {
                    store(numbers[w], out.as_mut_ptr(), at + w * lanes);
                }
            }
        }
    }
}

/// Asks for as many numbers as these are, right behind them: those of the next line.
#[inline(always)]
fn ask_for_more<V: Lanes, T>(numbers: &[T]) {
    let bytes = size_of_val(numbers);
    for at in (0..bytes).step_by(64) {
        V::prefetch(numbers.as_ptr().cast::<u8>().wrapping_add(bytes + at));
    }
}

kernel! {
    /// Asks for as many numbers as these are, right behind them.
    pub fn ask_for_next<V, T: Element>(numbers: &[T]) {
        ask_for_more::<V, T>(numbers);
    }
}

kernel! {
    /// Multiplies the rows of a tile by one factor each.
    ///
    /// Panics if the lengths do not go together.
    pub fn scale_rows<V, T: Element>(tile: &mut [T], stride: usize, factors: &[T]) {
        let lanes = <T::In<V> as Register>::COUNT;
        assert!(stride.is_multiple_of(lanes) && tile.len() == factors.len() * stride);
        for (row, factor) in tile.chunks_exact_mut(stride).zip(factors) {
            let factor = <T::In<V>>::splat(*factor);
            for at in (0..stride).step_by(lanes) {
                // SAFETY: rows of `stride` numbers, a multiple of the lanes.
                unsafe { store(load::<T::In<V>>(row.as_ptr(), at).mul(factor), row.as_mut_ptr(), at) };
            }
        }
    }
}

kernel! {
    /// `d = Y p` for the rows of a tile.
    ///
    /// Panics if the lengths do not go together.
    pub fn dots<V, T: Element>(tile: &[T], stride: usize, p: &[T], d: &mut [T]) {
        assert!(stride.is_multiple_of(<T::In<V> as Register>::COUNT) && p.len() == stride);
        assert!(tile.len() == d.len() * stride);
        let mut rows = tile.chunks_exact(CHAINS * stride);
        let mut out = d.chunks_exact_mut(CHAINS);
        for (rows, out) in rows.by_ref().zip(out.by_ref()) {
            dots_of::<T, T::In<V>, CHAINS>(rows, stride, p, out);
        }
        for (row, out) in rows.remainder().chunks_exact(stride).zip(out.into_remainder().chunks_exact_mut(1)) {
            dots_of::<T, T::In<V>, 1>(row, stride, p, out);
        }
    }
}

/// [`dots`] of N rows.
#[inline(always)]
fn dots_of<T: Element, R: Register<Number = T>, const N: usize>(
    rows: &[T],
    stride: usize,
    p: &[T],
    out: &mut [T],
) {
    let mut sums = [R::splat(T::ZERO); N];
    for at in (0..stride).step_by(R::COUNT) {
        // SAFETY: N rows of `stride` numbers, as many as p has, a multiple of the lanes.
        unsafe {
            let p: R = load(p.as_ptr(), at);
            for k in 0..N {
                sums[k] = load::<R>(rows.as_ptr(), k * stride + at).mul_add(p, sums[k]);
            }
        }
    }
    let (fours, rest) = sums.as_chunks::<4>();
    for (k, four) in fours.iter().enumerate() {
        out[4 * k..][..4].copy_from_slice(&R::sums_of_four(*four));
    }
    for (k, one) in rest.iter().enumerate() {
        out[4 * fours.len() + k] = one.sum();
    }
}

kernel! {
    /// `z += Y'd` for the rows of a tile.
    ///
    /// Panics if the lengths do not go together.
    pub fn combine<V, T: Element>(tile: &[T], stride: usize, d: &[T], z: &mut [T]) {
        let lanes = <T::In<V> as Register>::COUNT;
        assert!(stride.is_multiple_of(lanes) && z.len() == stride && tile.len() == d.len() * stride);
        let mut at = 0;
        while at < stride {
            if V::ROOM == 16 && at + 4 * lanes <= stride {
                combine_columns::<T, T::In<V>, 4>(tile, stride, at, d, z);
                at += 4 * lanes;
            } else {
                combine_columns::<T, T::In<V>, 1>(tile, stride, at, d, z);
                at += lanes;
            }
        }
    }
}

/// [`combine`] for the columns of W registers, in chains of which row t goes to chain t mod [`CHAINS`].
#[inline(always)]
fn combine_columns<T: Element, R: Register<Number = T>, const W: usize>(
    tile: &[T],
    stride: usize,
    at: usize,
    d: &[T],
    z: &mut [T],
) {
    let mut sums = [[R::splat(T::ZERO); W]; CHAINS];
    let (whole, rest) = d.as_chunks::<CHAINS>();
    // SAFETY: there are W registers from column `at` on, and d.len() rows.
    unsafe {
        for (t, d) in whole.iter().enumerate() {
            for m in 0..CHAINS {
                let factor = R::splat(d[m]);
                for w in 0..W {
                    let row: R = load(tile.as_ptr(), (t * CHAINS + m) * stride + at + w * R::COUNT);
                    sums[m][w] = row.mul_add(factor, sums[m][w]);
                }
            }
        }
        for (m, d) in rest.iter().enumerate() {
            for w in 0..W {
                let row: R = load(tile.as_ptr(), (whole.len() * CHAINS + m) * stride + at + w * R::COUNT);
                sums[m][w] = row.mul_add(R::splat(*d), sums[m][w]);
            }
        }
        for w in 0..W {
            let sum = sums[0][w].add(sums[1][w]).add(sums[2][w].add(sums[3][w]));
            let before: R = load(z.as_ptr(), at + w * R::COUNT);
            store(before.add(sum), z.as_mut_ptr(), at + w * R::COUNT);
        }
    }
}

kernel! {
    /// Adds Y'Y for the rows of a tile to `gram`, rows of `stride` numbers, of which entry (i, j) is made for
    /// i <= j < stride and i < order, and for all i and j of a block of eight on the diagonal; what else it holds is of no
    /// meaning.
    ///
    /// Panics if the lengths do not go together.
    pub fn add_gram<V, T: Element>(tile: &[T], stride: usize, order: usize, gram: &mut [T]) {
        let lanes = <T::In<V> as Register>::COUNT;
        assert!(stride.is_multiple_of(lanes) && order <= stride && tile.len().is_multiple_of(stride));
        assert!(gram.len() >= order.next_multiple_of(8) * stride && stride.is_multiple_of(8));
        if V::ROOM == 16 && stride == lanes && order > 8 {
            gram_blocks::<T, T::In<V>, 16, 1>(tile, stride, order, gram);
        } else if V::ROOM == 16 {
            gram_blocks::<T, T::In<V>, 8, 2>(tile, stride, order, gram);
        } else {
            gram_blocks::<T, T::In<V>, 4, 1>(tile, stride, order, gram);
        }
    }
}

/// [`add_gram`] by blocks of H rows and W registers.
#[inline(always)]
fn gram_blocks<T: Element, R: Register<Number = T>, const H: usize, const W: usize>(
    tile: &[T],
    stride: usize,
    order: usize,
    gram: &mut [T],
) {
    for i in (0..order).step_by(H) {
        let mut j = i / R::COUNT * R::COUNT;
        while j < stride {
            if j + W * R::COUNT <= stride {
                gram_block::<T, R, H, W>(tile, stride, (i, j), gram);
                j += W * R::COUNT;
            } else {
                gram_block::<T, R, H, 1>(tile, stride, (i, j), gram);
                j += R::COUNT;
            }
        }
    }
}

#[inline(always)]
fn gram_block<T: Element, R: Register<Number = T>, const H: usize, const W: usize>(
    tile: &[T],
    stride: usize,
    (i, j): (usize, usize),
    gram: &mut [T],
) {
    let mut sums = [[R::splat(T::ZERO); W]; H];
    // SAFETY: rows i to i + H - 1 and W registers of columns from j on are in the matrix, by the lengths that
    // `add_gram` has measured, H being a divisor of eight, or sixteen where there are as many rows; so they are in each
    // row of the tile.
    unsafe {
        for h in 0..H {
            for w in 0..W {
                sums[h][w] = load(gram.as_ptr(), (i + h) * stride + j + w * R::COUNT);
            }
        }
        for row in tile.chunks_exact(stride) {
            let mut across = [R::splat(T::ZERO); W];
            for w in 0..W {
                across[w] = load(row.as_ptr(), j + w * R::COUNT);
            }
            for h in 0..H {
                let down = R::splat(*row.as_ptr().add(i + h));
                for w in 0..W {
                    sums[h][w] = down.mul_add(across[w], sums[h][w]);
                }
            }
        }
        for h in 0..H {
            for w in 0..W {
                store(sums[h][w], gram.as_mut_ptr(), (i + h) * stride + j + w * R::COUNT);
            }
        }
    }
}

kernel! {
    /// x'G x for the matrix that [`add_gram`] has made, or a sum of such; x is as long as a row of it, zeros from `order` on.
    ///
    /// Panics if the lengths do not go together.
    pub fn form<V, T: Element>(gram: &[T], stride: usize, order: usize, x: &[f64]) -> f64 {
        assert!(x.len() == stride && stride.is_multiple_of(8) && gram.len() >= order * stride);
        let ((gram, _), (x, _)) = (gram.as_chunks::<8>(), x.as_chunks::<8>());
        let mut sum = V::splat(0.0);
        for i in 0..order {
            let (row, own) = (&gram[i * x.len()..][..x.len()], i / 8);
            // What is right of the block on the diagonal stands for what is below it too.
            let mut right = V::splat(0.0);
            for at in own + 1..x.len() {
                right = T::load::<V>(&row[at]).mul_add(V::load(&x[at]), right);
            }
            let all = T::load::<V>(&row[own]).mul_add(V::load(&x[own]), right.add(right));
            sum = all.mul_add(V::splat(x[own][i % 8]), sum);
        }
        sum.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Real;
    use crate::simd::testing::on_every_path;
    use proptest::prelude::*;

    /// Gathered rows, products, combinations and Gram matrix of `count` rows, on every path, beside plain loops.
    fn check<T: Real>(count: usize, order: usize) {
        let stride = order.next_multiple_of(16);
        let number =
            |k: usize, j: usize| if j < order { ((7 * k + 3 * j + 1) as f64 * 0.7).sin() } else { 0.0 };
        let factor: Vec<T> =
            (0..29 * stride).map(|at| T::from_f64(number(at / stride, at % stride))).collect();
        let indices: Vec<i32> = (0..count).map(|k| (k * k % 29) as i32).collect();
        let wide: Vec<i64> = indices.iter().map(|&k| k.into()).collect();
        let (p, d) = (&factor[stride..2 * stride], (0..count).map(|k| T::from_f64(number(k, 0))));
        let d: Vec<T> = d.collect();
        let outcomes = on_every_path(|| {
            let mut tile = vec![T::default(); count * stride];
            gather(&factor, stride, &indices, &mut tile);
            let mut other = vec![T::default(); count * stride];
            gather(&factor, stride, &wide, &mut other);
            assert_eq!(tile, other);
            let mut products = vec![T::default(); count];
            dots(&tile, stride, p, &mut products);
            let mut sums = vec![T::from_f64(1.0); stride];
            combine(&tile, stride, &d, &mut sums);
            let mut gram = vec![T::from_f64(1.0); order.next_multiple_of(8) * stride];
            add_gram(&tile, stride, order, &mut gram);
            let mut x = vec![0.0; stride];
            (0..order).for_each(|j| x[j] = number(j, 5));
            let square = form(&gram, stride, order, &x);
            scale_rows(&mut tile, stride, &d);
            let triangle = (0..order).flat_map(|i| gram[i * stride + i..][..order - i].to_vec());
            let numbers = products.iter().chain(&sums).copied().chain(triangle).chain(tile);
            numbers.map(T::to_f64).chain([square]).collect::<Vec<f64>>()
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{count} x {order}: bits");
        let row = |t: usize, j: usize| factor[indices[t] as usize * stride + j].to_f64();
        let over = |f: &dyn Fn(usize) -> f64| (0..count).map(f).sum::<f64>();
        let mut expected: Vec<f64> =
            (0..count).map(|t| (0..order).map(|j| row(t, j) * p[j].to_f64()).sum()).collect();
        expected.extend((0..stride).map(|j| 1.0 + over(&|t| row(t, j) * d[t].to_f64())));
        for i in 0..order {
            expected.extend((i..order).map(|j| 1.0 + over(&|t| row(t, i) * row(t, j))));
        }
        for t in 0..count {
            expected.extend((0..stride).map(|j| row(t, j) * d[t].to_f64()));
        }
        let entry =
            |i: usize, j: usize| (1.0 + over(&|t| row(t, i) * row(t, j))) * number(i, 5) * number(j, 5);
        expected
            .push((0..order).flat_map(|i| (0..order).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).sum());
        let unit = 4.0 * T::UNIT_ROUNDOFF * ((count + order + 1) * order) as f64;
        assert_eq!(expected.len(), outcomes[0].len());
        for (found, expected) in outcomes[0].iter().zip(&expected) {
            assert!((found - expected).abs() <= unit, "{count} x {order}: {found} for {expected}");
        }
    }

    proptest! {
        #[test]
        fn kernels_agree_with_their_definition_on_every_path(count in 0usize..40, order in 1usize..85) {
            check::<f64>(count, order);
            check::<f32>(count, order);
        }
    }

    #[test]
    #[should_panic(expected = "out of")]
    fn an_index_that_leads_out_is_noticed() {
        gather(&[1.0f32; 32], 16, &[0, 2], &mut [0.0; 32]);
    }
}
