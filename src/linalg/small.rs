//! Symmetric positive definite systems of small order, factorised and solved where they lie, in either precision.
//!
//! Every entry of L is one chain of fused multiply-adds in the order of the columns, and a product with the
//! reciprocal of its pivot: how many columns and rows the registers hold at a time is a matter of the instruction
//! set and changes no bit. There is nothing iterative here to distrust; a pivot that is not positive and finite,
//! as NaN and infinities make one, ends it.
//!
//! Cost: n³/3 + 2n² flops, no memory.

use super::Scalar;
use crate::simd::kernel;
use crate::simd::lanes::{Lanes, Register};

kernel! {
    /// Replaces the lower triangle of a symmetric G, column-major, by L with L L' = G; nothing above the diagonal is
    /// touched. False, and anything there, if G is not positive definite to working precision or not finite.
    ///
    /// Panics if `g` does not hold `order` x `order` numbers.
    pub fn cholesky_in_place<V, T: Scalar>(order: usize, g: &mut [T]) -> bool {
        assert_eq!(g.len(), order * order);
        factorise::<V, T>(order, g)
    }
}

kernel! {
    /// Solves many systems G x = b of one order: matrices, column-major, one after the other, of which only the lower
    /// triangles are read, and right-hand sides that become the solutions. The triangles become L with L L' = G.
    /// `sound` tells of which this is true: see [`cholesky_in_place()`]; the others leave their right-hand side alone.
    ///
    /// Panics if the lengths do not go together.
    pub fn solve_systems<V, T: Scalar>(order: usize, matrices: &mut [T], x: &mut [T], sound: &mut [bool]) {
        assert!(matrices.len() == sound.len() * order * order && x.len() == sound.len() * order);
        let systems = matrices.chunks_exact_mut((order * order).max(1)).zip(x.chunks_exact_mut(order.max(1)));
        sound.fill(true);
        for ((g, x), sound) in systems.zip(sound) {
            *sound = factorise::<V, T>(order, g);
            if *sound {
                substitute::<T, T::In<V>>(g, x);
                substitute_back::<T, T::In<V>>(g, x);
            }
        }
    }
}

/// Columns that are completed together: their registers are what a kernel has room for.
#[inline(always)]
fn factorise<V: Lanes, T: Scalar>(n: usize, g: &mut [T]) -> bool {
    let mut j = 0;
    while j < n {
        let (sound, width) = match (n - j, V::ROOM) {
            (8.., 16) => (panel::<T, T::In<V>, 8, 2>(n, g, j), 8),
            (4.., _) => (panel::<T, T::In<V>, 4, 1>(n, g, j), 4),
            _ => (panel::<T, T::In<V>, 1, 1>(n, g, j), 1),
        };
        if !sound {
            return false;
        }
        j += width;
    }
    true
}

/// Completes columns j .. j + W, `H` registers of rows at a time.
#[inline(always)]
fn panel<T: Scalar, R: Register<Number = T>, const W: usize, const H: usize>(
    n: usize,
    g: &mut [T],
    j: usize,
) -> bool {
    let (done, open) = g.split_at_mut(j * n);
    let top = R::COUNT.min(n - j);
    let [mut rows] = updated::<T, R, W, 1>(n, done, open, j, j, top);
    let (mut lower, mut inverse) = ([[T::default(); W]; W], [T::default(); W]);
    let mut numbers = [T::default(); 16];
    for c in 0..W {
        rows[c].store_head(&mut numbers[..top]);
        let pivot = numbers[c].to_f64();
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return false;
        }
        inverse[c] = T::from_f64(1.0 / T::from_f64(pivot.sqrt()).to_f64());
        rows[c] = rows[c].mul(R::splat(inverse[c]));
        rows[c].store_head(&mut numbers[..top]);
        open[c * n + j + c..][..top - c].copy_from_slice(&numbers[c..top]);
        for d in c + 1..W {
            lower[d][c] = -numbers[d];
            rows[d] = rows[c].mul_add(R::splat(lower[d][c]), rows[d]);
        }
    }
    let mut i = j + top;
    while i + H * R::COUNT <= n {
        let rows = updated::<T, R, W, H>(n, done, open, j, i, R::COUNT);
        solved(n, open, i, R::COUNT, rows, &lower, &inverse);
        i += H * R::COUNT;
    }
    while i + R::COUNT <= n {
        let rows = updated::<T, R, W, 1>(n, done, open, j, i, R::COUNT);
        solved(n, open, i, R::COUNT, rows, &lower, &inverse);
        i += R::COUNT;
    }
    if i < n {
        let rows = updated::<T, R, W, 1>(n, done, open, j, i, n - i);
        solved(n, open, i, n - i, rows, &lower, &inverse);
    }
    true
}

/// Rows of W columns from row i on, less what the columns before them account for: G - L L'. A register takes `len`
/// of them.
#[inline(always)]
fn updated<T: Scalar, R: Register<Number = T>, const W: usize, const H: usize>(
    n: usize,
    done: &[T],
    open: &[T],
    j: usize,
    i: usize,
    len: usize,
) -> [[R; W]; H] {
    let mut rows = [[R::splat(T::default()); W]; H];
    for h in 0..H {
        for c in 0..W {
            rows[h][c] = R::load_head(&open[c * n + i + h * R::COUNT..][..len]);
        }
    }
    let zero = R::splat(T::default());
    for column in done.chunks_exact(n) {
        let (across, down) = (&column[j..j + W], &column[i..i + (H - 1) * R::COUNT + len]);
        for h in 0..H {
            let minus = zero.sub(R::load_head(&down[h * R::COUNT..][..len]));
            for c in 0..W {
                rows[h][c] = minus.mul_add(R::splat(across[c]), rows[h][c]);
            }
        }
    }
    rows
}

/// Divides rows by the triangle of their panel, and puts them in their place.
#[inline(always)]
fn solved<T: Scalar, R: Register<Number = T>, const W: usize, const H: usize>(
    n: usize,
    open: &mut [T],
    i: usize,
    len: usize,
    mut rows: [[R; W]; H],
    lower: &[[T; W]; W],
    inverse: &[T; W],
) {
    for c in 0..W {
        for h in 0..H {
            rows[h][c] = rows[h][c].mul(R::splat(inverse[c]));
            rows[h][c].store_head(&mut open[c * n + i + h * R::COUNT..][..len]);
            for d in c + 1..W {
                rows[h][d] = rows[h][c].mul_add(R::splat(lower[d][c]), rows[h][d]);
            }
        }
    }
}

/// x = L⁻¹ x
#[inline(always)]
fn substitute<T: Scalar, R: Register<Number = T>>(l: &[T], x: &mut [T]) {
    let n = x.len();
    for (j, column) in l.chunks_exact(n).enumerate() {
        let (head, tail) = x.split_at_mut(j + 1);
        head[j] = T::from_f64(head[j].to_f64() / column[j].to_f64());
        let factor = R::splat(-head[j]);
        let column = &column[j + 1..];
        let whole = tail.len() / R::COUNT * R::COUNT;
        for i in (0..whole).step_by(R::COUNT) {
            let lanes = i..i + R::COUNT;
            let sum =
                R::load_head(&column[lanes.clone()]).mul_add(factor, R::load_head(&tail[lanes.clone()]));
            sum.store_head(&mut tail[lanes]);
        }
        let sum = R::load_head(&column[whole..]).mul_add(factor, R::load_head(&tail[whole..]));
        sum.store_head(&mut tail[whole..]);
    }
}

/// x = L'⁻¹ x
#[inline(always)]
fn substitute_back<T: Scalar, R: Register<Number = T>>(l: &[T], x: &mut [T]) {
    let n = x.len();
    for (j, column) in l.chunks_exact(n).enumerate().rev() {
        let (head, tail) = x.split_at_mut(j + 1);
        let below = &column[j + 1..];
        let whole = tail.len() / R::COUNT * R::COUNT;
        let mut sum = R::load_head(&below[whole..]).mul(R::load_head(&tail[whole..]));
        for i in (0..whole).step_by(R::COUNT) {
            let lanes = i..i + R::COUNT;
            sum = R::load_head(&below[lanes.clone()]).mul_add(R::load_head(&tail[lanes]), sum);
        }
        head[j] = T::from_f64((head[j] - sum.sum()).to_f64() / column[j].to_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::matrix::Mat;
    use crate::simd::testing::on_every_path;

    /// B'B + I in the lower triangle, something else above it.
    fn positive_definite<T: Scalar>(n: usize, seed: u64) -> Vec<T> {
        let b = gaussian(n + 2, n, seed);
        let g = product(b.as_ref().t(), b.as_ref());
        let entry = |i: usize, j: usize| if i < j { -7.0 } else { g[(i, j)] + f64::from(i == j) };
        (0..n * n).map(|k| T::from_f64(entry(k % n, k / n))).collect()
    }

    fn symmetric_of<T: Scalar>(n: usize, lower: &[T]) -> Mat<f64> {
        Mat::from_fn(n, n, |i, j| lower[i.min(j) * n + i.max(j)].to_f64()).unwrap()
    }

    fn check<T: Scalar>(n: usize) {
        let matrices = [positive_definite::<T>(n, 1), positive_definite(n, 2), positive_definite(n, 3)];
        let b: Vec<T> = (0..3 * n).map(|k| T::from_f64((k as f64).sin())).collect();
        let outcomes = on_every_path(|| {
            let (mut factors, mut x, mut sound) = (matrices.concat(), b.clone(), [false; 3]);
            solve_systems(n, &mut factors, &mut x, &mut sound);
            assert_eq!(sound, [true; 3]);
            let mut alone = matrices[1].clone();
            assert!(cholesky_in_place(n, &mut alone));
            assert_eq!(alone, factors[n * n..2 * n * n]);
            (factors, x)
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{n}: bits");
        let (factors, x) = &outcomes[0];
        for k in 0..3 {
            let g = symmetric_of(n, &matrices[k]);
            let factor = &factors[k * n * n..][..n * n];
            let l = Mat::from_fn(n, n, |i, j| if i >= j { factor[j * n + i].to_f64() } else { 0.0 }).unwrap();
            assert!(
                (0..n * n).all(|p| p % n >= p / n || factor[p].to_f64() == -7.0),
                "{n}: above the diagonal"
            );
            let size = largest(g.as_ref());
            let unit = 4.0 * T::UNIT_ROUNDOFF * (n as f64).max(4.0);
            let error = distance(product(l.as_ref(), l.as_ref().t()).as_ref(), g.as_ref());
            assert!(error <= unit * size, "{n}: {error:e}");
            let length = x[k * n..][..n].iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
            for i in 0..n {
                let image: f64 = (0..n).map(|j| g[(i, j)] * x[k * n + j].to_f64()).sum();
                let error = (image - b[k * n + i].to_f64()).abs();
                assert!(error <= unit * (n as f64) * size * length + unit, "{n}: residual {error:e}");
            }
        }
    }

    #[test]
    fn systems_of_every_order_are_solved_with_the_same_bits_on_every_path() {
        for n in (0..36).chain([40, 47, 64, 65, 100, 128]) {
            check::<f64>(n);
            check::<f32>(n);
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_told_apart_from_its_neighbours() {
        for n in [1, 3, 8, 21, 33] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e3] {
                for at in [0, n / 2, n - 1] {
                    let good = positive_definite::<f64>(n, 5);
                    let mut matrices = [&good[..], &good, &good].concat();
                    let place = if bad == -1e3 { at * n + at } else { at / 2 * n + at };
                    matrices[n * n + place] = bad;
                    let (mut x, mut sound) = (vec![1.0; 3 * n], [true; 3]);
                    solve_systems(n, &mut matrices, &mut x, &mut sound);
                    assert_eq!(sound, [true, false, true], "{bad} at {at} of {n}");
                    assert!(x[n..2 * n].iter().all(|&x| x == 1.0) && x[..n] == x[2 * n..]);
                }
            }
        }
        assert!(!cholesky_in_place(2, &mut [0.0f32; 4]));
    }
}
