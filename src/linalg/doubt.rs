//! What a factorisation is asked before it is believed.
//!
//! A normal random vector sees an error in any direction: for two of them to miss one of a hundred tolerances takes
//! luck of one in ten thousand. The vectors are the same in every call. Costs a few products with vectors.

use super::Svd;
use crate::error::Result;
use crate::matrix::{Mat, Real, zeros};
use crate::random::Stream;
use crate::simd::{axpy, dot, norm_sq};

/// Errors in units of rounding times the root of the order; sound algorithms stay below a quarter of it.
const TOLERANCE: f64 = 16.0;
/// Vectors that are tried.
const PROBES: u64 = 2;
/// Purpose of the random numbers.
const PROBE: u8 = 8;

/// True if U and V are orthonormal, U S V' is A, and S descends to no less than zero, all to rounding.
pub(super) fn is_svd(a: &Mat<f64>, svd: &Svd) -> Result<bool> {
    let Svd { u, s, v } = svd;
    if !(s.windows(2).all(|pair| pair[0] >= pair[1]) && s.iter().all(|&s| s >= 0.0)) {
        return Ok(false);
    }
    let size = norm_sq(a.as_slice()).sqrt();
    for k in 0..PROBES {
        let (x, y) = (probe(k, v.nrows())?, probe(k, s.len())?);
        let mut image = transposed_times(v, &x)?;
        let back = times(v, &image)?;
        image.iter_mut().zip(s).for_each(|(image, s)| *image *= s);
        let sound = near(&back, &x, 1.0)
            && near(&transposed_times(u, &times(u, &y)?)?, &y, 1.0)
            && near(&times(u, &image)?, &times(a, &x)?, size);
        if !sound {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if V is orthonormal, V S V' is the symmetric A, and S ascends, all to rounding.
pub(super) fn is_eigh(a: &Mat<f64>, s: &[f64], v: &Mat<f64>) -> Result<bool> {
    if !s.windows(2).all(|pair| pair[0] <= pair[1]) {
        return Ok(false);
    }
    let size = norm_sq(a.as_slice()).sqrt();
    for k in 0..PROBES {
        let x = probe(k, s.len())?;
        let mut image = transposed_times(v, &x)?;
        let back = times(v, &image)?;
        image.iter_mut().zip(s).for_each(|(image, s)| *image *= s);
        if !(near(&back, &x, 1.0) && near(&times(v, &image)?, &times(a, &x)?, size)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if R'R is the symmetric G, of which only the lower triangle is read, to rounding.
pub(super) fn is_cholesky(g: &Mat<f64>, r: &Mat<f64>) -> Result<bool> {
    let x = probe(0, g.ncols())?;
    let mut image = zeros(x.len(), PURPOSE)?;
    for j in 0..x.len() {
        axpy(x[j], &g.col(j)[j..], &mut image[j..]);
        image[j] += dot(&g.col(j)[j + 1..], &x[j + 1..]);
    }
    let trace: f64 = (0..x.len()).map(|j| g[(j, j)]).sum();
    Ok(near(&transposed_times(r, &times(r, &x)?)?, &image, trace))
}

const PURPOSE: &str = "the check of a factorisation";

/// A random vector of length one.
fn probe(k: u64, len: usize) -> Result<Vec<f64>> {
    let mut x = zeros(len, PURPOSE)?;
    Stream::new(0, 0, PROBE).normals_of_row(k, &mut x);
    let length = norm_sq(&x).sqrt();
    x.iter_mut().for_each(|x| *x /= length);
    Ok(x)
}

/// True if what became of a probe is what should have, for an operator of this size. NaN is near nothing.
fn near(found: &[f64], expected: &[f64], size: f64) -> bool {
    let unit = size.max(f64::MIN_POSITIVE);
    let distance = found.iter().zip(expected).map(|(x, y)| ((x - y) / unit).powi(2)).sum::<f64>().sqrt();
    distance <= TOLERANCE * f64::UNIT_ROUNDOFF * (found.len().max(16) as f64).sqrt()
}

fn times(a: &Mat<f64>, x: &[f64]) -> Result<Vec<f64>> {
    let mut product = zeros(a.nrows(), PURPOSE)?;
    x.iter().enumerate().for_each(|(j, &x)| axpy(x, a.col(j), &mut product));
    Ok(product)
}

fn transposed_times(a: &Mat<f64>, x: &[f64]) -> Result<Vec<f64>> {
    let mut product = zeros(a.ncols(), PURPOSE)?;
    product.iter_mut().enumerate().for_each(|(j, product)| *product = dot(a.col(j), x));
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::linalg::{cholesky, eigh, svd};

    const SPOILT: [f64; 4] = [1e-9, -1e-9, 1.0, f64::NAN];

    #[test]
    fn a_sound_svd_is_believed_and_a_spoilt_one_is_not() {
        for seed in 0..28 {
            let a = structured(2 + seed as usize * 13 % 80, seed);
            let mut found = svd(a.as_ref()).unwrap();
            assert!(is_svd(&a, &found).unwrap());
            for amount in SPOILT {
                let at = (seed as usize % a.nrows(), 0);
                let factors: [fn(&mut Svd) -> &mut Mat<f64>; 2] = [|svd| &mut svd.u, |svd| &mut svd.v];
                for spoil in factors {
                    let entry = std::mem::replace(&mut spoil(&mut found)[at], 0.7 + amount);
                    assert!(!is_svd(&a, &found).unwrap(), "structure {seed}, vectors");
                    spoil(&mut found)[at] = entry;
                }
                let value = found.s[0];
                found.s[0] += amount * value;
                assert!(!is_svd(&a, &found).unwrap(), "structure {seed}, values");
                found.s[0] = value;
            }
            found.s.reverse();
            let constant = found.s.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(constant || !is_svd(&a, &found).unwrap(), "structure {seed}, order");
        }
    }

    #[test]
    fn a_sound_eigendecomposition_is_believed_and_a_spoilt_one_is_not() {
        for seed in 0..28 {
            let a = symmetric(&structured(2 + seed as usize * 13 % 80, seed));
            let (mut values, mut vectors) = eigh(&a).unwrap();
            assert!(is_eigh(&a, &values, &vectors).unwrap());
            for amount in SPOILT {
                let last = values.len() - 1;
                let entry = std::mem::replace(&mut vectors[(last / 2, last)], 0.7 + amount);
                assert!(!is_eigh(&a, &values, &vectors).unwrap(), "structure {seed}, vectors");
                vectors[(last / 2, last)] = entry;
                let value = values[last];
                values[last] += amount.abs() * norm_sq(a.as_slice()).sqrt();
                assert!(!is_eigh(&a, &values, &vectors).unwrap(), "structure {seed}, values");
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
