//! Eigenvalues and eigenvectors of a symmetric tridiagonal matrix T, many at a time, each in a lane of its own.
//!
//! An eigenvalue is enclosed by counts: the polynomials p_i(x) = (x - t_i) p_{i-1}(x) - e_i² p_{i-2}(x) change their sign
//! as often as there are eigenvalues above x. In rounded arithmetic they do so for a matrix whose diagonal is within
//! rounding of that of T - x and whose e_i are within rounding of themselves, so that halving an interval ends as near the
//! eigenvalue as rounding allows, whatever the others are. There is nothing in it that converges or does not.
//!
//! A vector is one solve of (T - λ) z = γ e_k, with the k at which eliminations from the top and from the bottom leave the
//! least, γ: z is then as large at k as anywhere, and its residual is not more than √n times the error of λ. Neighbouring
//! values spoil it in proportion to rounding over their distance; it is up to the caller to make vectors orthogonal.

use super::scaling::larger;
use crate::simd::kernel;
use crate::simd::lanes::Lanes;

/// Eigenvalues that are enclosed together: registers enough to hide the time that one takes.
const TOGETHER: usize = 32;
/// Vectors that are computed together.
pub(super) const VECTORS: usize = 16;
/// Halvings from an interval that holds all eigenvalues to rounding.
const HALVINGS: usize = 55;
/// What an off-diagonal entry of a T of order one is at least: nothing beside rounding, and no polynomial vanishes twice.
const LEAST: f64 = 1e-20;
/// What a pivot is at least, and a number that is not taken for zero.
const TINY: f64 = 1e-40;

/// A symmetric tridiagonal matrix of norm one at most: `beside[i]` is next to `diagonal[i]` and left of it.
pub(super) struct Tridiagonal<'a> {
    pub diagonal: &'a mut [f64],
    pub beside: &'a mut [f64],
}

impl Tridiagonal<'_> {
    /// Divides by the norm, the largest sum of a row, which is returned.
    pub(super) fn normalise(&mut self) -> f64 {
        let n = self.diagonal.len();
        self.beside[0] = 0.0;
        let next = |i: usize| self.beside.get(i + 1).map_or(0.0, |e| e.abs());
        let sum = |i: usize| self.diagonal[i].abs() + self.beside[i].abs() + next(i);
        let norm = (0..n).map(sum).fold(0.0, |largest, sum| larger(sum, largest));
        if norm > 0.0 {
            self.diagonal.iter_mut().for_each(|t| *t /= norm);
            self.beside.iter_mut().for_each(|e| *e /= norm);
        }
        self.beside[1..].iter_mut().filter(|e| e.abs() < LEAST).for_each(|e| *e = LEAST);
        norm
    }

    /// The largest eigenvalues, descending, as many as there is room for.
    pub(super) fn largest(&self, values: &mut [f64]) {
        for (group, values) in values.chunks_mut(TOGETHER).enumerate() {
            enclose(self.diagonal, self.beside, group * TOGETHER, values);
        }
    }
}

kernel! {
    /// Eigenvalues number `first` and following, counted from the largest.
    fn enclose<V>(diagonal: &[f64], beside: &[f64], first: usize, values: &mut [f64]) -> () {
        let rank: [i64; TOGETHER] = std::array::from_fn(|k| (first + k) as i64);
        let (mut below, mut width) = ([-1.0; TOGETHER], 1.0);
        for _ in 0..HALVINGS {
            let middle = below.map(|below| below + width);
            let above = count_above::<V>(diagonal, beside, &middle);
            for k in 0..TOGETHER {
                below[k] = if above[k] > rank[k] { middle[k] } else { below[k] };
            }
            width *= 0.5;
        }
        values.copy_from_slice(&below[..values.len()]);
    }
}

/// How many eigenvalues are above each of some numbers.
#[inline(always)]
fn count_above<V: Lanes>(diagonal: &[f64], beside: &[f64], x: &[f64; TOGETHER]) -> [i64; TOGETHER] {
    const REGISTERS: usize = TOGETHER / 8;
    let x: [V; REGISTERS] = std::array::from_fn(|r| V::load(&x.as_chunks::<8>().0[r]));
    let (mut last, mut one) = ([V::splat(0.0); REGISTERS], [V::splat(1.0); REGISTERS]);
    let mut count = [[0i64; 8]; REGISTERS];
    for (diagonal, beside) in diagonal.chunks(8).zip(beside.chunks(8)) {
        for (&t, &e) in diagonal.iter().zip(beside) {
            let (t, minus_square) = (V::splat(t), V::splat(-e * e));
            for r in 0..REGISTERS {
                let next = x[r].sub(t).mul_add(one[r], minus_square.mul(last[r]));
                let (signs, others) = (next.to_array(), one[r].to_array());
                for k in 0..8 {
                    count[r][k] += ((signs[k].to_bits() ^ others[k].to_bits()) >> 63) as i64;
                }
                (last[r], one[r]) = (one[r], next);
            }
        }
        for r in 0..REGISTERS {
            let (a, b) = (one[r].to_array(), last[r].to_array());
            let mut unit = [0.0; 8];
            for k in 0..8 {
                unit[k] = reciprocal_power(larger(a[k].abs(), b[k].abs()));
            }
            (one[r], last[r]) = (one[r].mul(V::load(&unit)), last[r].mul(V::load(&unit)));
        }
    }
    let mut counts = [0; TOGETHER];
    counts.as_chunks_mut::<8>().0.copy_from_slice(&count);
    counts
}

/// The power of two that brings a magnitude below 2^1023 to order one.
#[inline(always)]
fn reciprocal_power(x: f64) -> f64 {
    f64::from_bits((2046u64 << 52) - (x.to_bits() & (2047u64 << 52)))
}

kernel! {
    /// Vectors of length one for up to [`VECTORS`] eigenvalues of T, columns at a stride. `work` has twice as many
    /// numbers as that many columns.
    pub(super) fn vectors_of<V>(
        diagonal: &[f64],
        beside: &[f64],
        values: &[f64],
        stride: usize,
        vectors: &mut [f64],
        work: &mut [f64],
    ) -> () {
        let n = diagonal.len();
        let (down, up) = work.as_chunks_mut::<VECTORS>().0[..2 * n].split_at_mut(n);
        let mut value = [0.0; VECTORS];
        value[..values.len()].copy_from_slice(values);
        eliminate(diagonal, beside, &value, down);
        let twist = eliminate_back(diagonal, beside, &value, down, up);
        let lengths = substitute(&twist, down, up);
        for (k, column) in vectors.chunks_mut(stride).take(values.len()).enumerate() {
            column.iter_mut().zip(&*down).for_each(|(x, z)| *x = z[k] / lengths[k]);
        }
    }
}

/// A pivot away from zero.
#[inline(always)]
fn guarded(pivot: f64) -> f64 {
    if pivot.abs() < TINY { TINY } else { pivot }
}

/// From the top: row i has the multiplier that took row i - 1 from it. The last pivot follows from what is there.
#[inline(always)]
fn eliminate(diagonal: &[f64], beside: &[f64], value: &[f64; VECTORS], down: &mut [[f64; VECTORS]]) {
    let mut pivot = [1.0; VECTORS];
    for ((&t, &e), down) in diagonal.iter().zip(beside).zip(down) {
        for k in 0..VECTORS {
            down[k] = e / pivot[k];
            pivot[k] = guarded((t - value[k]) - e * down[k]);
        }
    }
}

/// From the bottom: row i has the multiplier that took row i + 1 from it. Returns where the least is left between this
/// and what came from the top.
#[inline(always)]
fn eliminate_back(
    diagonal: &[f64],
    beside: &[f64],
    value: &[f64; VECTORS],
    down: &[[f64; VECTORS]],
    up: &mut [[f64; VECTORS]],
) -> [f64; VECTORS] {
    let n = diagonal.len();
    let (mut pivot, mut least, mut twist) = ([1.0; VECTORS], [f64::INFINITY; VECTORS], [0.0; VECTORS]);
    let mut e = 0.0;
    for i in (0..n).rev() {
        let (t, before, index) = (diagonal[i], beside[i], i as f64);
        for k in 0..VECTORS {
            let factor = e / pivot[k];
            let open = (t - value[k]) - e * factor;
            let rest = (open - before * down[i][k]).abs();
            twist[k] = if rest < least[k] { index } else { twist[k] };
            least[k] = if rest < least[k] { rest } else { least[k] };
            up[i][k] = factor;
            pivot[k] = guarded(open);
        }
        e = before;
    }
    twist
}

/// z, in place of the multipliers from the top, and its length.
#[inline(always)]
fn substitute(twist: &[f64; VECTORS], down: &mut [[f64; VECTORS]], up: &[[f64; VECTORS]]) -> [f64; VECTORS] {
    let (mut z, mut square) = ([1.0; VECTORS], [0.0; VECTORS]);
    let mut multiplier = [0.0; VECTORS];
    for (i, down) in down.iter_mut().enumerate().rev() {
        for k in 0..VECTORS {
            let next = flushed(-multiplier[k] * z[k]);
            z[k] = if (i as f64) < twist[k] { next } else { 1.0 };
            multiplier[k] = down[k];
            down[k] = z[k];
        }
    }
    let mut multiplier = [0.0; VECTORS];
    z = [1.0; VECTORS];
    for (i, (down, up)) in down.iter_mut().zip(up).enumerate() {
        for k in 0..VECTORS {
            let next = flushed(-multiplier[k] * z[k]);
            let beyond = i as f64 > twist[k];
            z[k] = if beyond { next } else { 1.0 };
            multiplier[k] = up[k];
            down[k] = if beyond { next } else { down[k] };
            square[k] += down[k] * down[k];
        }
    }
    square.map(f64::sqrt)
}

/// Zero for what is nothing beside one, before it gets slow.
#[inline(always)]
fn flushed(z: f64) -> f64 {
    if z.abs() < TINY { 0.0 } else { z }
}

/// x = (T - value)⁻¹ x by elimination with pivoting. `work` has three times as many numbers.
pub(super) fn solve_shifted(t: &Tridiagonal<'_>, value: f64, x: &mut [f64], work: &mut [f64]) {
    let n = x.len();
    let rows = &mut work.as_chunks_mut::<3>().0[..n];
    let mut row = [t.diagonal[0] - value, t.beside.get(1).copied().unwrap_or(0.0)];
    for i in 1..n {
        let after = t.beside.get(i + 1).copied().unwrap_or(0.0);
        let below = [t.beside[i], t.diagonal[i] - value, after];
        if row[0].abs() >= below[0].abs() {
            let factor = below[0] / row[0];
            rows[i - 1] = [row[0], row[1], 0.0];
            row = [below[1] - factor * row[1], after];
            x[i] -= factor * x[i - 1];
        } else {
            let factor = row[0] / below[0];
            rows[i - 1] = below;
            row = [row[1] - factor * below[1], -factor * after];
            (x[i - 1], x[i]) = (x[i], x[i - 1] - factor * x[i]);
        }
    }
    rows[n - 1] = [if row[0].abs() < LEAST { LEAST } else { row[0] }, 0.0, 0.0];
    let mut after = [0.0; 2];
    for (x, [pivot, one, two]) in x.iter_mut().zip(rows).rev() {
        *x = (*x - *one * after[0] - *two * after[1]) / *pivot;
        after = [*x, after[0]];
    }
}

/// |T x - value x|
pub(super) fn residual(t: &Tridiagonal<'_>, value: f64, x: &[f64]) -> f64 {
    let n = x.len();
    let mut square = 0.0;
    for i in 0..n {
        let mut sum = (t.diagonal[i] - value) * x[i];
        if i > 0 {
            sum += t.beside[i] * x[i - 1];
        }
        if i + 1 < n {
            sum += t.beside[i + 1] * x[i + 1];
        }
        square += sum * sum;
    }
    square.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    /// The second difference, whose spectrum is known.
    fn second_difference(n: usize) -> (Vec<f64>, Vec<f64>) {
        (vec![2.0; n], vec![-1.0; n])
    }

    #[test]
    fn values_and_vectors_are_known_and_have_the_same_bits_on_every_path() {
        for n in [1, 2, 8, 31, 90, 200] {
            let outcomes = on_every_path(|| {
                let (mut diagonal, mut beside) = second_difference(n);
                let mut t = Tridiagonal { diagonal: &mut diagonal, beside: &mut beside };
                let norm = t.normalise();
                assert_eq!(norm, [2.0, 3.0, 4.0][n.min(3) - 1]);
                let (mut values, mut work) = (vec![0.0; n], vec![0.0; 2 * VECTORS * n]);
                t.largest(&mut values);
                let mut vectors = vec![0.0; n * n];
                for (group, values) in values.chunks(VECTORS).enumerate() {
                    let vectors = &mut vectors[group * VECTORS * n..];
                    vectors_of(t.diagonal, t.beside, values, n, vectors, &mut work);
                }
                for (j, &value) in values.iter().enumerate() {
                    let angle = std::f64::consts::PI * (n - j) as f64 / (n + 1) as f64;
                    assert!((value * norm - (2.0 - 2.0 * angle.cos())).abs() < 4e-15, "value {j} of {n}");
                    let column = &vectors[j * n..][..n];
                    assert!(residual(&t, value, column) < 2e-15, "vector {j} of {n}");
                    let length: f64 = column.iter().map(|x| x * x).sum();
                    assert!((length - 1.0).abs() < 1e-14, "vector {j} of {n}");
                }
                [values, vectors].concat()
            });
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])), "{n}: bits");
        }
    }

    #[test]
    fn a_shifted_system_is_solved_whatever_has_to_be_exchanged() {
        for (n, value) in [(1, 0.3), (2, 0.5), (50, 0.5), (50, -0.1), (50, 0.987)] {
            let (mut diagonal, mut beside) = second_difference(n);
            let mut t = Tridiagonal { diagonal: &mut diagonal, beside: &mut beside };
            t.normalise();
            let b: Vec<f64> = (0..n).map(|i| (i as f64).sin() + 0.5).collect();
            let mut x = b.clone();
            solve_shifted(&t, value, &mut x, &mut vec![0.0; 3 * n]);
            let size: f64 = x.iter().fold(1.0, |size, x| size.max(x.abs()));
            for i in 0..n {
                let left = if i > 0 { t.beside[i] * x[i - 1] } else { 0.0 };
                let right = if i + 1 < n { t.beside[i + 1] * x[i + 1] } else { 0.0 };
                let error = left + (t.diagonal[i] - value) * x[i] + right - b[i];
                assert!(error.abs() < 4e-15 * size, "{n}, {value}: {error:e}");
            }
        }
    }

    #[test]
    fn a_matrix_in_pieces_has_the_values_of_its_pieces() {
        let (mut diagonal, mut beside) = (vec![1.0, 0.0, 0.0, 0.5, 0.0, -1.0], vec![0.0; 6]);
        let mut t = Tridiagonal { diagonal: &mut diagonal, beside: &mut beside };
        assert_eq!(t.normalise(), 1.0);
        let mut values = [0.0; 6];
        t.largest(&mut values);
        let truth = [1.0, 0.5, 0.0, 0.0, 0.0, -1.0];
        assert!(values.iter().zip(truth).all(|(value, truth)| (value - truth).abs() < 3e-16), "{values:?}");
    }
}
