//! (A + s)⁻¹ of a symmetric A for many shifts s: A = Q T Q' with a tridiagonal T once, and O(n²) for each of them.
//!
//! Where A + s is positive definite, T + s = L D L', and the diagonal of the inverse has for every row q of Q a sum of
//! squares, (L⁻¹ q)_j² / d_j: nothing cancels in it. There is no iteration, and no eigenvalue.

use super::product;
use super::scaling::to_order_one;
use super::tridiagonal::Tridiagonal;
use super::tridiagonalise::{self, BLOCK, stride_of, tridiagonalise};
use super::view::{scratch, view, view_mut};
use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut, Mat};
use crate::memory::{filled, zeros};
use crate::simd::kernel;
use faer::dyn_stack::MemStack;
use faer::linalg::householder;
use faer::{Conj, Par};

/// What memory is for.
const PURPOSE: &str = "a tridiagonal form";

/// Shifts that are worked on together.
const TOGETHER: usize = 4;

/// Q and T.
pub(crate) struct Resolvents {
    /// Of norm one: `beside[i]` is left of `diagonal[i]`.
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    /// The norm of A.
    unit: f64,
    /// Columns of whole registers.
    q: Buffer<f64>,
}

impl Resolvents {
    /// Of A, of which the lower triangle is read, for 8/3 n³ flops on this thread; `None` of nothing.
    ///
    /// An error if that triangle holds NaN or an infinity. Panics if A is not square.
    pub fn new(a: &Mat<f64>) -> Result<Option<Self>> {
        let n = a.ncols();
        assert_eq!(n, a.nrows());
        let mut symmetric = Mat::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))])?;
        let power = to_order_one(symmetric.as_mut())?;
        let stride = stride_of(n);
        let mut reflectors = Buffer::zeros(n * stride, PURPOSE)?;
        for (j, to) in reflectors.chunks_exact_mut(stride.max(1)).enumerate() {
            to[..n].copy_from_slice(symmetric.col(j));
        }
        let (mut diagonal, mut beside) = (zeros(n, PURPOSE)?, zeros(n, PURPOSE)?);
        let mut factors: Vec<f64> = zeros(n.saturating_sub(1) * BLOCK, PURPOSE)?;
        let mut work = zeros(tridiagonalise::work_of(n), PURPOSE)?;
        if n == 0 {
            return Ok(None);
        }
        tridiagonalise(&mut reflectors, &mut diagonal, &mut beside, &mut factors, &mut work);
        let norm = Tridiagonal { diagonal: &mut diagonal, beside: &mut beside }.normalise();
        if norm == 0.0 {
            return Ok(None);
        }
        let q = multiplied(&reflectors, &factors, n)?;
        Ok(Some(Self { diagonal, beside, unit: norm * power, q }))
    }

    /// The largest eigenvalue.
    pub fn largest(&mut self) -> f64 {
        let mut value = [0.0];
        Tridiagonal { diagonal: &mut self.diagonal, beside: &mut self.beside }.largest(&mut value);
        value[0] * self.unit
    }

    /// True if all eigenvalues are above a value.
    pub fn is_above(&self, value: f64) -> Result<bool> {
        Ok(self.pivots(-value)?.iter().all(|pivot| *pivot > 0.0))
    }

    /// D of T + s.
    fn pivots(&self, shift: f64) -> Result<Vec<f64>> {
        let mut pivots = filled(f64::INFINITY, self.diagonal.len(), PURPOSE)?;
        let mut last = f64::INFINITY;
        for ((pivot, t), e) in pivots.iter_mut().zip(&self.diagonal).zip(&self.beside) {
            *pivot = t + shift / self.unit - e * e / last;
            last = *pivot;
        }
        Ok(pivots)
    }

    /// The diagonals of the inverses, a column for each shift that makes A positive definite.
    pub fn diagonals(&self, shifts: &[f64]) -> Result<Mat<f64>> {
        let n = self.diagonal.len();
        let mut diagonals = Mat::zeros(n, shifts.len())?;
        let mut sums = Buffer::zeros(TOGETHER * stride_of(n), PURPOSE)?;
        for (group, shifts) in shifts.chunks(TOGETHER).enumerate() {
            let mut steps = filled([[0.0; TOGETHER]; 2], n, PURPOSE)?;
            for (k, &shift) in shifts.iter().enumerate() {
                let pivots = self.pivots(shift)?;
                for j in 0..n {
                    let ratio = if j > 0 { self.beside[j] / pivots[j - 1] } else { 0.0 };
                    (steps[j][0][k], steps[j][1][k]) = (-ratio, 1.0 / pivots[j] / self.unit);
                }
            }
            add_squares(&self.q, &steps, &mut sums);
            for (k, sums) in sums.chunks_exact(stride_of(n)).take(shifts.len()).enumerate() {
                diagonals.col_mut(group * TOGETHER + k).copy_from_slice(&sums[..n]);
            }
        }
        Ok(diagonals)
    }

    /// The inverses times B, of n rows: all its columns for the first shift, then for the next.
    pub fn solve(&self, shifts: &[f64], b: &Mat<f64>) -> Result<Mat<f64>> {
        let (n, k) = (self.diagonal.len(), b.ncols());
        let q = Dense::column_major(&self.q, stride_of(n), n).rows(0..n);
        let turned = product(q.t(), b.as_ref())?;
        let mut solved = Mat::zeros(n, shifts.len() * k)?;
        for (at, &shift) in shifts.iter().enumerate() {
            let pivots = self.pivots(shift)?;
            for side in 0..k {
                let y = solved.col_mut(at * k + side);
                y.copy_from_slice(turned.col(side));
                for j in 1..n {
                    y[j] -= self.beside[j] / pivots[j - 1] * y[j - 1];
                }
                for j in (0..n).rev() {
                    let after = if j + 1 < n { self.beside[j + 1] * y[j + 1] } else { 0.0 };
                    y[j] = (y[j] - after) / pivots[j];
                }
                y.iter_mut().for_each(|y| *y /= self.unit);
            }
        }
        product(q, solved.as_ref())
    }
}

/// Q = H_0 H_1 ..., the last of them first, as each leaves the columns before its own alone.
fn multiplied(reflectors: &[f64], factors: &[f64], n: usize) -> Result<Buffer<f64>> {
    let stride = stride_of(n);
    let mut q = Buffer::zeros(n * stride, PURPOSE)?;
    (0..n).for_each(|j| q[j * stride + j] = 1.0);
    let request = householder::apply_block_householder_on_the_left_in_place_scratch::<f64>(n, BLOCK, n);
    let mut memory = scratch(request)?;
    for first in (0..n - 1).step_by(BLOCK).rev() {
        let these = first..(first + BLOCK).min(n - 1);
        let basis = Dense::column_major(reflectors, stride, n).window(first + 1..n, these.clone());
        let factor = Dense::column_major(factors, BLOCK, n - 1).window(0..these.len(), these);
        let columns = DenseMut::column_major(&mut q, stride, n).window(first + 1..n, first + 1..n);
        householder::apply_block_householder_on_the_left_in_place_with_conj(
            view(basis),
            view(factor),
            Conj::No,
            view_mut(columns),
            Par::Seq,
            MemStack::new(&mut memory),
        );
    }
    Ok(q)
}

kernel! {
    /// For every row of Q, down its columns, z = q_j + ratio z, and the sum of z² over the pivots.
    fn add_squares<V>(q: &[f64], steps: &[[[f64; TOGETHER]; 2]], sums: &mut [f64]) -> () {
        let n = steps.len();
        let chunks = sums.len() / TOGETHER / 8;
        let (q, sums) = (q.as_chunks::<8>().0, sums.as_chunks_mut::<8>().0);
        assert!(q.len() == n * chunks && sums.len() == TOGETHER * chunks);
        for chunk in 0..chunks {
            let [mut z, mut squares] = [[V::splat(0.0); TOGETHER]; 2];
            for j in 0..n {
                let (entry, [ratios, inverses]) = (V::load(&q[j * chunks + chunk]), &steps[j]);
                for k in 0..TOGETHER {
                    z[k] = z[k].mul_add(V::splat(ratios[k]), entry);
                    squares[k] = z[k].mul(z[k]).mul_add(V::splat(inverses[k]), squares[k]);
                }
            }
            for k in 0..TOGETHER {
                squares[k].store(&mut sums[k * chunks + chunk]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{gaussian, symmetric};
    use crate::simd::testing::{on_every_path, same_bits};

    /// (A + shift) X.
    fn image(a: &Mat<f64>, shift: f64, x: &Mat<f64>) -> Mat<f64> {
        let mut image = product(a.as_ref(), x.as_ref()).unwrap();
        image.as_mut_slice().iter_mut().zip(x.as_slice()).for_each(|(image, x)| *image += shift * x);
        image
    }

    #[test]
    fn inverses_and_their_diagonals_for_every_shift() {
        for (n, unit) in [(1, 1.0), (2, 1e-90), (7, 1e120), (16, 1.0), (17, 3.0), (33, 1.0), (90, 1e-7)] {
            let root = gaussian(n, n + 3, n as u64);
            let a = product(root.as_ref(), root.as_ref().t()).unwrap();
            let a = Mat::from_fn(n, n, |i, j| unit * a[(i, j)]).unwrap();
            let marked = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN }).unwrap();
            let resolvents = Resolvents::new(&marked).unwrap().unwrap();
            let shifts = [0.3, 1.0, 7.0, 50.0, 1e4, 1e-1].map(|shift| shift * unit);
            let (b, identity) = (gaussian(n, 2, 5), Mat::identity(n).unwrap());
            let (solved, diagonals) =
                (resolvents.solve(&shifts, &b).unwrap(), resolvents.diagonals(&shifts).unwrap());
            let inverses = resolvents.solve(&shifts, &identity).unwrap();
            for (at, &shift) in shifts.iter().enumerate() {
                let of = |all: &Mat<f64>, k: usize| Mat::from_fn(n, k, |i, j| all[(i, at * k + j)]).unwrap();
                for (found, expected) in [(of(&solved, 2), &b), (of(&inverses, n), &identity)] {
                    let back = image(&a, shift, &found);
                    for (back, expected) in back.as_slice().iter().zip(expected.as_slice()) {
                        assert!((back - expected).abs() < 1e-10, "{n}, {at}: {back} for {expected}");
                    }
                }
                for i in 0..n {
                    let (found, expected) = (diagonals[(i, at)], inverses[(i, at * n + i)]);
                    assert!((found / expected - 1.0).abs() < 1e-11, "{n}, {at}: {found} for {expected}");
                }
            }
        }
    }

    #[test]
    fn eigenvalues_are_above_what_is_below_the_least() {
        let a = symmetric(&gaussian(40, 40, 3));
        let values = crate::linalg::eigh(&a).unwrap().0;
        let mut resolvents = Resolvents::new(&a).unwrap().unwrap();
        assert!((resolvents.largest() / values[39] - 1.0).abs() < 1e-13);
        assert!(resolvents.is_above(values[0] - 1e-9).unwrap());
        for above in [1e-9, 0.5 * (values[1] - values[0]), values[20] - values[0], 1e3] {
            assert!(!resolvents.is_above(values[0] + above).unwrap(), "{above}");
        }
    }

    #[test]
    fn nothing_has_no_form_and_what_is_not_finite_is_refused() {
        for n in [0, 1, 9] {
            assert!(Resolvents::new(&Mat::zeros(n, n).unwrap()).unwrap().is_none());
        }
        let a = Mat::from_fn(9, 9, |i, j| if (i, j) == (7, 2) { f64::NAN } else { 1.0 }).unwrap();
        assert!(Resolvents::new(&a).is_err());
    }

    #[test]
    fn the_sums_have_the_same_bits_on_every_path() {
        let (n, q) = (21, gaussian(24, 21, 1));
        let step =
            |j: usize| [[0.3, -0.2, 0.1, 0.0], [1.0, 0.7, 0.5, 2.0]].map(|s| s.map(|s| s / (j + 1) as f64));
        let steps: Vec<_> = (0..n).map(step).collect();
        let outcomes = on_every_path(|| {
            let mut sums = vec![0.0; TOGETHER * 24];
            add_squares(q.as_slice(), &steps, &mut sums);
            sums
        });
        assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
        let by_hand = (0..n).fold((0.0, 0.0), |(z, sum), j| {
            let z = step(j)[0][1] * z + q[(19, j)];
            (z, sum + z * z * step(j)[1][1])
        });
        assert!((outcomes[0][24 + 19] / by_hand.1 - 1.0).abs() < 1e-13);
    }
}
