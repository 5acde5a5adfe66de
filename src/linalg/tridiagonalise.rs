//! Tridiagonal forms of symmetric matrices: A = Q T Q' with Q = H_0 H_1 ..., H_k = I - v_k v_k' / tau_k a reflector that
//! leaves the first k + 1 coordinates alone.
//!
//! A step takes u w' + w u' off what is left of A. That waits for the next step, which multiplies A by its reflector in the
//! same pass. Only the lower triangle is kept up, with whole blocks of eight on the diagonal, so that a column is a run of
//! whole registers. Every number is one chain of fused multiply-adds, however many columns are worked on at a time.
//!
//! Cost: 2/3 n³ multiply-adds.

use crate::simd::lanes::Lanes;
use crate::simd::{dot, kernel};

/// Reflectors that are applied together.
pub(super) const BLOCK: usize = 16;

/// Numbers from one column to the next.
pub(super) fn stride_of(n: usize) -> usize {
    n.next_multiple_of(8)
}

/// Numbers that [`tridiagonalise`] works in.
pub(super) fn work_of(n: usize) -> usize {
    4 * stride_of(n)
}

/// Leaves T in `diagonal` and `beside`, of which the first is left of nothing, v_k without its leading one in column k of A
/// below the entry beside the diagonal, and in `factors`, of [`BLOCK`] rows, upper triangles X with X + X' = V'V for every
/// so many reflectors, as products with them take them.
///
/// A is of order one at most, its columns at [`stride_of`], with zeros behind them. Panics if a length does not fit.
pub(super) fn tridiagonalise(
    a: &mut [f64],
    diagonal: &mut [f64],
    beside: &mut [f64],
    factors: &mut [f64],
    work: &mut [f64],
) {
    let n = diagonal.len();
    let stride = stride_of(n);
    assert!(a.len() == n * stride && beside.len() == n && factors.len() == n.saturating_sub(1) * BLOCK);
    reduce(a, diagonal, beside, factors, &mut work[..work_of(n)]);
    for j in 1..n.saturating_sub(1) {
        let below = |k: usize| &a[k * stride..][j + 2..n];
        for i in j / BLOCK * BLOCK..j {
            // v_j begins with its one where v_i has this.
            factors[j * BLOCK + i % BLOCK] = a[i * stride + j + 1] + dot(below(i), below(j));
        }
    }
}

kernel! {
    fn reduce<V>(
        a: &mut [f64],
        diagonal: &mut [f64],
        beside: &mut [f64],
        factors: &mut [f64],
        work: &mut [f64],
    ) -> () {
        let n = diagonal.len();
        let stride = work.len() / 4;
        let (u, rest) = work.split_at_mut(stride);
        let (w, rest) = rest.split_at_mut(stride);
        let (v, p) = rest.split_at_mut(stride);
        u.fill(0.0);
        w.fill(0.0);
        for k in 0..n {
            let (done, rest) = a.split_at_mut((k + 1) * stride);
            let column = &mut done[k * stride..];
            change::<V>(column, u, w, k);
            diagonal[k] = column[k];
            if k + 1 == n {
                break;
            }
            let tau = reflector::<V>(column, k + 1, v);
            beside[k + 1] = column[k + 1];
            factors[k * BLOCK + k % BLOCK] = tau;
            change_and_multiply::<V>(rest, stride, k + 1, (u, w, v), p);
            let inverse = 1.0 / tau;
            let half = 0.5 * inverse * product::<V>(p, v, k + 1);
            for i in 0..stride {
                w[i] = inverse * (p[i] - half * v[i]);
            }
            u.copy_from_slice(v);
        }
    }
}

/// Makes number `first` the last of a column: its new value, and v without its one behind it. Returns tau, which is infinite
/// where nothing is to be done.
#[inline(always)]
fn reflector<V: Lanes>(column: &mut [f64], first: usize, v: &mut [f64]) -> f64 {
    /// A square of what is nothing beside a matrix of order one, and too small to be exact.
    const NOTHING: f64 = 1e-200;
    v[..=first].fill(0.0);
    v[first + 1..].copy_from_slice(&column[first + 1..]);
    let (head, square) = (column[first], product::<V>(v, v, first));
    let norm = (head * head + square).sqrt().copysign(head);
    let sound = square >= NOTHING;
    let factor = if sound { 1.0 / (head + norm) } else { 0.0 };
    for i in 0..v.len() {
        v[i] *= factor;
    }
    column[first + 1..].copy_from_slice(&v[first + 1..]);
    column[first] = if sound { -norm } else { head };
    v[first] = 1.0;
    if sound { 0.5 * (1.0 + square * factor * factor) } else { f64::INFINITY }
}

/// Column k without what the step before takes off it.
#[inline(always)]
fn change<V: Lanes>(column: &mut [f64], u: &[f64], w: &[f64], k: usize) {
    let (minus_u, minus_w) = (V::splat(-u[k]), V::splat(-w[k]));
    let (u, w) = (u.as_chunks::<8>().0, w.as_chunks::<8>().0);
    let column = column.as_chunks_mut::<8>().0;
    for c in k / 8..column.len().min(u.len()).min(w.len()) {
        let a = V::load(&u[c]).mul_add(minus_w, V::load(&column[c]));
        V::load(&w[c]).mul_add(minus_u, a).store(&mut column[c]);
    }
}

/// The same of all columns from `first` on, and p = A v.
#[inline(always)]
fn change_and_multiply<V: Lanes>(
    columns: &mut [f64],
    stride: usize,
    first: usize,
    (u, w, v): (&[f64], &[f64], &[f64]),
    p: &mut [f64],
) {
    const TOGETHER: usize = 4;
    p.fill(0.0);
    let (mut j, mut rest) = (first, columns);
    while !rest.is_empty() {
        // Some of one block.
        let many = V::ROOM == 16 && j.is_multiple_of(TOGETHER) && rest.len() >= TOGETHER * stride;
        let count = if many { TOGETHER } else { 1 };
        let (these, others) = rest.split_at_mut(count * stride);
        if many {
            some_columns::<V, TOGETHER>(these, stride, j, (u, w, v), p);
        } else {
            some_columns::<V, 1>(these, stride, j, (u, w, v), p);
        }
        (j, rest) = (j + count, others);
    }
}

#[inline(always)]
fn some_columns<V: Lanes, const COUNT: usize>(
    columns: &mut [f64],
    stride: usize,
    j: usize,
    (u, w, v): (&[f64], &[f64], &[f64]),
    p: &mut [f64],
) {
    let [mut minus_u, mut minus_w, mut factor, mut sums] = [[V::splat(0.0); COUNT]; 4];
    for c in 0..COUNT {
        (minus_u[c], minus_w[c], factor[c]) = (V::splat(-u[j + c]), V::splat(-w[j + c]), V::splat(v[j + c]));
    }
    let (u, w, v) = (u.as_chunks::<8>().0, w.as_chunks::<8>().0, v.as_chunks::<8>().0);
    let (chunks, on_the_diagonal) = (stride / 8, j / 8);
    let columns = columns.as_chunks_mut::<8>().0;
    let sums_below = p.as_chunks_mut::<8>().0;
    assert!(u.len() == chunks && w.len() == chunks && v.len() == chunks);
    assert!(columns.len() == COUNT * chunks && sums_below.len() == chunks);
    for i in on_the_diagonal..chunks {
        let (u, w, v) = (V::load(&u[i]), V::load(&w[i]), V::load(&v[i]));
        let mut below = V::load(&sums_below[i]);
        for c in 0..COUNT {
            let at = &mut columns[c * chunks + i];
            let a = w.mul_add(minus_u[c], u.mul_add(minus_w[c], V::load(at)));
            a.store(at);
            sums[c] = a.mul_add(v, sums[c]);
            below = a.mul_add(factor[c], below);
        }
        if i > on_the_diagonal {
            below.store(&mut sums_below[i]);
        }
    }
    for c in 0..COUNT {
        p[j + c] += sums[c].sum();
    }
}

/// x'y of vectors with nothing before number `first`.
#[inline(always)]
fn product<V: Lanes>(x: &[f64], y: &[f64], first: usize) -> f64 {
    let (x, y) = (x.as_chunks::<8>().0, y.as_chunks::<8>().0);
    let mut sum = V::splat(0.0);
    for c in first / 8..x.len().min(y.len()) {
        sum = V::load(&x[c]).mul_add(V::load(&y[c]), sum);
    }
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};

    /// Q T Q' is A, and nobody's bits are others.
    fn check(a: &Mat<f64>) {
        let (n, stride) = (a.nrows(), stride_of(a.nrows()));
        let outcomes = on_every_path(|| {
            let mut padded = vec![0.0; n * stride];
            (0..n).for_each(|j| padded[j * stride..][..n].copy_from_slice(a.col(j)));
            let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
            let mut factors = vec![0.0; n.saturating_sub(1) * BLOCK];
            tridiagonalise(&mut padded, &mut diagonal, &mut beside, &mut factors, &mut vec![0.0; work_of(n)]);
            [padded, diagonal, beside, factors]
        });
        let [reflectors, diagonal, beside, factors] = &outcomes[0];
        for other in &outcomes {
            assert!((0..4).all(|part| same_bits(&other[part], &outcomes[0][part])), "{n}");
        }
        let mut product = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.max(j)],
            _ => 0.0,
        })
        .unwrap();
        let reflect = |k: usize, x: &mut dyn FnMut(usize) -> f64| -> Vec<f64> {
            let v = |i: usize| if i == k + 1 { 1.0 } else { reflectors[k * stride + i] };
            let along: f64 = (k + 1..n).map(|i| v(i) * x(i)).sum();
            let tau = factors[k * BLOCK + k % BLOCK];
            (0..n).map(|i| if i > k { x(i) - v(i) * along / tau } else { x(i) }).collect()
        };
        for k in (0..n.saturating_sub(1)).rev() {
            for j in 0..n {
                let new = reflect(k, &mut |i| product[(i, j)]);
                product.col_mut(j).copy_from_slice(&new);
            }
            for i in 0..n {
                let new = reflect(k, &mut |j| product[(i, j)]);
                (0..n).for_each(|j| product[(i, j)] = new[j]);
            }
        }
        let error = distance(product.as_ref(), a.as_ref());
        assert!(error <= 1e-14 * (n as f64).max(4.0) * largest(a.as_ref()), "{n}: {error:e}");
    }

    #[test]
    fn reflectors_and_the_tridiagonal_matrix_are_what_there_was() {
        for n in [1, 2, 3, 7, 8, 9, 17, 40, 61] {
            check(&symmetric(&gaussian(n, n, n as u64)));
            check(&Mat::identity(n).unwrap());
            check(&Mat::zeros(n, n).unwrap());
            // Columns that are nothing beside the others.
            let decades = |i: usize, j: usize| 10f64.powi(-20 * (i + j) as i32) * (1 + (i * j) % 3) as f64;
            check(&Mat::from_fn(n, n, decades).unwrap());
        }
    }
}
