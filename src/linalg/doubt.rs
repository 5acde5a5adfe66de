//! What a factorisation is asked before it is believed.
//!
//! A normal random vector sees an error in any direction: for two of them to miss one of a hundred tolerances takes
//! luck of one in ten thousand. The vectors are the same in every call. Costs a few products with vectors.

use super::Scalar;
use crate::error::Result;
use crate::matrix::{Dense, Mat};
use crate::memory::zeros;
use crate::random::Stream;
use crate::simd::{axpy, dot, norm_sq};

/// Errors in units of rounding times the root of the order; sound algorithms stay below a quarter of it.
const TOLERANCE: f64 = 16.0;
/// Vectors that are tried.
const PROBES: u64 = 2;
/// Purpose of the random numbers.
const PROBE: u8 = 8;

/// Numbers that a check works in, for matrices with so many rows at most.
pub(super) fn work_of(rows: usize) -> usize {
    5 * rows
}

/// True if U and V are orthonormal, U S V' is A, and S descends to no less than zero, all to rounding. A is not wide,
/// and the columns of all are contiguous.
pub(super) fn is_svd<T: Scalar>(
    a: Dense<'_, T>,
    u: Dense<'_, T>,
    s: &[T],
    v: Dense<'_, T>,
    work: &mut [f64],
) -> bool {
    if !(s.windows(2).all(|pair| pair[0] >= pair[1]) && s.iter().all(|&s| s >= T::default())) {
        return false;
    }
    let (m, k) = (a.nrows(), s.len());
    let [x, image, found, expected, rest] = parts(work, m);
    let size = size_of(a);
    (0..PROBES).all(|probe| {
        probe_of(probe, &mut x[..k]);
        transposed_times(v, &x[..k], &mut image[..k]);
        times(v, &image[..k], &mut found[..k]);
        if !near::<T>(&found[..k], &x[..k], 1.0) {
            return false;
        }
        probe_of(probe, &mut expected[..k]);
        times(u, &expected[..k], &mut rest[..m]);
        transposed_times(u, &rest[..m], &mut found[..k]);
        if !near::<T>(&found[..k], &expected[..k], 1.0) {
            return false;
        }
        image.iter_mut().zip(s).for_each(|(image, s)| *image *= s.to_f64());
        times(u, &image[..k], &mut found[..m]);
        times(a, &x[..k], &mut expected[..m]);
        near::<T>(&found[..m], &expected[..m], size)
    })
}

/// True if V is orthonormal, V S V' is the symmetric A, and S ascends, all to rounding. The columns of both are
/// contiguous.
pub(super) fn is_eigh<T: Scalar>(a: Dense<'_, T>, s: &[T], v: Dense<'_, T>, work: &mut [f64]) -> bool {
    if !s.windows(2).all(|pair| pair[0] <= pair[1]) {
        return false;
    }
    let [x, image, found, expected, _] = parts(work, s.len());
    let size = size_of(a);
    (0..PROBES).all(|probe| {
        probe_of(probe, x);
        transposed_times(v, x, image);
        times(v, image, found);
        if !near::<T>(found, x, 1.0) {
            return false;
        }
        image.iter_mut().zip(s).for_each(|(image, s)| *image *= s.to_f64());
        times(v, image, found);
        times(a, x, expected);
        near::<T>(found, expected, size)
    })
}

/// True if V is orthonormal, A V is V S for the symmetric A, and S descends, all to rounding. The columns of both are
/// contiguous.
pub(super) fn is_leading_eigh(a: Dense<'_, f64>, s: &[f64], v: Dense<'_, f64>, work: &mut [f64]) -> bool {
    is_leading(|x, product| times(a, x, product), size_of(a), s, v, work)
}

/// The same of an A of some size that is known by its products.
pub(super) fn is_leading(
    product: impl Fn(&[f64], &mut [f64]),
    size: f64,
    s: &[f64],
    v: Dense<'_, f64>,
    work: &mut [f64],
) -> bool {
    if !s.windows(2).all(|pair| pair[0] >= pair[1]) {
        return false;
    }
    let [x, image, found, expected, rest] = parts(work, v.nrows());
    let (x, rest) = (&mut x[..s.len()], &mut rest[..s.len()]);
    (0..PROBES).all(|probe| {
        probe_of(probe, x);
        times(v, x, image);
        transposed_times(v, image, rest);
        if !near::<f64>(rest, x, 1.0) {
            return false;
        }
        product(image, found);
        x.iter_mut().zip(s).for_each(|(x, s)| *x *= s);
        times(v, x, expected);
        near::<f64>(found, expected, size)
    })
}

/// True if R'R is the symmetric G, of which only the lower triangle is read, to rounding.
pub(super) fn is_cholesky(g: &Mat<f64>, r: &Mat<f64>) -> Result<bool> {
    let n = g.ncols();
    let mut work = zeros(work_of(n), "the check of a factorisation")?;
    let [x, image, found, expected, _] = parts(&mut work, n);
    probe_of(0, x);
    for j in 0..n {
        axpy(x[j], &g.col(j)[j..], &mut expected[j..]);
        expected[j] += dot(&g.col(j)[j + 1..], &x[j + 1..]);
    }
    let trace: f64 = (0..n).map(|j| g[(j, j)]).sum();
    times(r.as_ref(), x, image);
    transposed_times(r.as_ref(), image, found);
    Ok(near::<f64>(found, expected, trace))
}

/// Vectors of so many numbers.
fn parts(work: &mut [f64], len: usize) -> [&mut [f64]; 5] {
    let mut parts = work.chunks_exact_mut(len.max(1));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// A random vector of length one.
pub(super) fn probe_of(k: u64, x: &mut [f64]) {
    Stream::new(0, 0, PROBE).normals_of_row(k, x);
    let length = norm_sq(x).sqrt();
    x.iter_mut().for_each(|x| *x /= length);
}

/// The Frobenius norm.
fn size_of<T: Scalar>(a: Dense<'_, T>) -> f64 {
    (0..a.ncols()).filter_map(|j| a.col(j)).map(norm_sq).sum::<f64>().sqrt()
}

/// True if what became of a probe is what should have, for an operator of this size. NaN is near nothing.
fn near<T: Scalar>(found: &[f64], expected: &[f64], size: f64) -> bool {
    let unit = size.max(f64::MIN_POSITIVE);
    let distance = found.iter().zip(expected).map(|(x, y)| ((x - y) / unit).powi(2)).sum::<f64>().sqrt();
    distance <= TOLERANCE * T::UNIT_ROUNDOFF * (found.len().max(16) as f64).sqrt()
}

/// product = A x
fn times<T: Scalar>(a: Dense<'_, T>, x: &[f64], product: &mut [f64]) {
    product.fill(0.0);
    (0..a.ncols())
        .zip(x)
        .filter_map(|(j, x)| Some((a.col(j)?, x)))
        .for_each(|(column, &x)| axpy(x, column, product));
}

/// product = A'x
fn transposed_times<T: Scalar>(a: Dense<'_, T>, x: &[f64], product: &mut [f64]) {
    for (j, product) in product.iter_mut().enumerate() {
        *product = a.col(j).map_or(0.0, |column| dot(column, x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::linalg::{Svd, cholesky, eigh, svd};

    fn is_svd(a: &Mat<f64>, Svd { u, s, v }: &Svd) -> bool {
        super::is_svd(a.as_ref(), u.as_ref(), s, v.as_ref(), &mut vec![0.0; work_of(a.nrows())])
    }

    fn is_eigh(a: &Mat<f64>, s: &[f64], v: &Mat<f64>) -> bool {
        super::is_eigh(a.as_ref(), s, v.as_ref(), &mut vec![0.0; work_of(a.nrows())])
    }

    const SPOILT: [f64; 4] = [1e-9, -1e-9, 1.0, f64::NAN];

    #[test]
    fn a_sound_svd_is_believed_and_a_spoilt_one_is_not() {
        for seed in 0..28 {
            let a = structured(2 + seed as usize * 13 % 80, seed);
            let mut found = svd(a.as_ref()).unwrap();
            assert!(is_svd(&a, &found));
            for amount in SPOILT {
                let at = (seed as usize % a.nrows(), 0);
                let factors: [fn(&mut Svd) -> &mut Mat<f64>; 2] = [|svd| &mut svd.u, |svd| &mut svd.v];
                for spoil in factors {
                    let entry = std::mem::replace(&mut spoil(&mut found)[at], 0.7 + amount);
                    assert!(!is_svd(&a, &found), "structure {seed}, vectors");
                    spoil(&mut found)[at] = entry;
                }
                let value = found.s[0];
                found.s[0] += amount * value;
                assert!(!is_svd(&a, &found), "structure {seed}, values");
                found.s[0] = value;
            }
            found.s.reverse();
            let constant = found.s.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(constant || !is_svd(&a, &found), "structure {seed}, order");
        }
    }

    #[test]
    fn a_sound_eigendecomposition_is_believed_and_a_spoilt_one_is_not() {
        for seed in 0..28 {
            let a = symmetric(&structured(2 + seed as usize * 13 % 80, seed));
            let (mut values, mut vectors) = eigh(&a).unwrap();
            assert!(is_eigh(&a, &values, &vectors));
            for amount in SPOILT {
                let last = values.len() - 1;
                let entry = std::mem::replace(&mut vectors[(last / 2, last)], 0.7 + amount);
                assert!(!is_eigh(&a, &values, &vectors), "structure {seed}, vectors");
                vectors[(last / 2, last)] = entry;
                let value = values[last];
                values[last] += amount.abs() * norm_sq(a.as_slice()).sqrt();
                assert!(!is_eigh(&a, &values, &vectors), "structure {seed}, values");
                values[last] = value;
            }
        }
    }

    #[test]
    fn a_sound_triangle_is_believed_and_a_spoilt_one_is_not() {
        for seed in 0..28 {
            let a = structured(2 + seed as usize * 13 % 80, seed);
            let n = a.ncols();
            let mut g = product(a.as_ref().t(), a.as_ref());
            (0..n).for_each(|j| g[(j, j)] += 1.0);
            let lower = Mat::from_fn(n, n, |i, j| if i >= j { g[(i, j)] } else { f64::NAN }).unwrap();
            let mut r = cholesky(&lower).unwrap().unwrap();
            assert!(is_cholesky(&lower, &r).unwrap());
            for amount in SPOILT {
                let trace: f64 = (0..n).map(|j| g[(j, j)]).sum();
                let entry = r[(0, n - 1)];
                r[(0, n - 1)] += amount * trace.sqrt();
                assert!(!is_cholesky(&lower, &r).unwrap(), "structure {seed}");
                r[(0, n - 1)] = entry;
            }
        }
    }
}
