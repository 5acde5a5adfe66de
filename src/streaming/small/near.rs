//! The leading eigenpairs of a matrix that is near one whose eigenpairs are known: by a few steps of subspace iteration,
//! which begin with those and some directions beside them, or by all of it where that loses its footing.

use crate::error::Result;
use crate::linalg::cholesky_in_place;
use crate::memory::{collected, zeros};
use crate::simd::small_product;
use crate::streaming::small::combinations::leading_pairs;

/// What memory is for.
const SMALL: &str = "a small matrix";
/// Steps of subspace iteration, and directions that are followed beside those that are wanted.
const STEPS: usize = 4;
const BESIDE: usize = 4;
/// What a column may have left beside others, squared, over what it has.
const DEPENDENT: f64 = 1e-13;
/// Sweeps of rotations after which what is found is taken for what it is: three or four are what it takes.
const MOST_SWEEPS: usize = 30;

/// [`leading_pairs`] of a matrix whose leading block, of that order, has most of it, and is diagonal.
pub fn leading_pairs_near(gram: &[f64], n: usize, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let width = count + BESIDE;
    if 2 * width > n {
        return leading_pairs(gram, n, count);
    }
    let (mut block, mut next) = (zeros(n * width, SMALL)?, zeros(n * width, SMALL)?);
    for i in 0..n {
        let row = &mut block[i * width..][..width];
        if i < count {
            row[i] = 1.0;
            continue;
        }
        for (j, number) in row[count..].iter_mut().enumerate() {
            *number = sign_at(i * BESIDE + j);
        }
    }
    for step in 0..=STEPS {
        small_product((n, width, n), gram, (n, 1), &block, &mut next, false);
        if step < STEPS {
            // One triangle is enough but for the last basis.
            let sound = orthonormalise(&mut next, &mut block, width)?
                && (step + 1 < STEPS || {
                    std::mem::swap(&mut block, &mut next);
                    orthonormalise(&mut next, &mut block, width)?
                });
            if !sound {
                return leading_pairs(gram, n, count);
            }
        }
    }
    let mut core = zeros(width * width, SMALL)?;
    small_product((width, width, n), &block, (1, width), &next, &mut core, false);
    let (values, turn) = diagonalised(core, width, count)?;
    let mut vectors = zeros(n * count, SMALL)?;
    small_product((n, count, width), &block, (width, 1), &turn, &mut vectors, false);
    Ok((values, vectors))
}

/// One or minus one, as by chance (SplitMix64).
fn sign_at(k: usize) -> f64 {
    let mut bits = (k as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    if bits >> 63 == 0 { 1.0 } else { -1.0 }
}

/// Columns of `block`, n x width, over the triangle that makes them orthonormal; false if they are dependent, or nearly.
fn orthonormalise(block: &mut [f64], basis: &mut [f64], width: usize) -> Result<bool> {
    let n = block.len() / width;
    let mut triangle = zeros(width * width, SMALL)?;
    small_product((width, width, n), block, (1, width), block, &mut triangle, false);
    let mut squares = zeros(width, SMALL)?;
    (0..width).for_each(|j| squares[j] = triangle[j * width + j]);
    // What comes below the diagonal, column after column, is above it row after row.
    if !cholesky_in_place(width, &mut triangle)
        || (0..width).any(|j| triangle[j * width + j].powi(2) <= DEPENDENT * squares[j])
    {
        return Ok(false);
    }
    let mut inverse = zeros(width * width, SMALL)?;
    for j in 0..width {
        let pivot = 1.0 / triangle[j * width + j];
        for i in 0..j {
            let sum: f64 = (i..j).map(|k| inverse[i * width + k] * triangle[k * width + j]).sum();
            inverse[i * width + j] = -sum * pivot;
        }
        inverse[j * width + j] = pivot;
    }
    small_product((n, width, width), block, (width, 1), &inverse, basis, false);
    Ok(true)
}

/// The largest eigenvalues of a symmetric matrix of order n that is nearly diagonal, descending, and their eigenvectors,
/// n x count, row after row: by Jacobi's rotations.
fn diagonalised(mut a: Vec<f64>, n: usize, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut basis = zeros(n * n, SMALL)?;
    (0..n).for_each(|i| basis[i * n + i] = 1.0);
    let negligible = f64::EPSILON * (0..n).map(|i| a[i * n + i].abs()).fold(0.0, f64::max);
    for _ in 0..MOST_SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let product = 0.5 * (a[p * n + q] + a[q * n + p]);
                if product.abs() > negligible {
                    rotate(&mut a, &mut basis, (p, q), product, n);
                    turned = true;
                }
            }
        }
        if !turned {
            break;
        }
    }
    let mut order = collected(0..n, SMALL)?;
    order.sort_unstable_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]).then(i.cmp(&j)));
    let (mut values, mut vectors) = (zeros(count, SMALL)?, zeros(n * count, SMALL)?);
    for (j, &from) in order.iter().take(count).enumerate() {
        values[j] = a[from * n + from];
        (0..n).for_each(|i| vectors[i * count + j] = basis[from * n + i]);
    }
    Ok((values, vectors))
}

/// The rotation of coordinates p < q that leaves no product of the two; rows of `basis` go with them.
fn rotate(a: &mut [f64], basis: &mut [f64], (p, q): (usize, usize), product: f64, n: usize) {
    let (first, second) = (a[p * n + p], a[q * n + q]);
    let zeta = (second - first) / (2.0 * product);
    let tangent = 1f64.copysign(zeta) / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let c = 1.0 / (1.0 + tangent * tangent).sqrt();
    let s = c * tangent;
    for matrix in [&mut *a, basis] {
        let (left, right) = matrix.split_at_mut(q * n);
        for (x, y) in left[p * n..][..n].iter_mut().zip(&mut right[..n]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = (a[p * n + k], a[q * n + k]);
    }
    (a[p * n + p], a[q * n + q]) = (first - tangent * product, second + tangent * product);
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::small::combinations::inner;
    use crate::streaming::testing::spiked;

    #[test]
    fn a_few_steps_find_what_is_well_apart_and_all_of_them_what_is_not() {
        let (n, count, d) = (40, 6, 90);
        let mut rows = spiked(n, d, 0.0, 3);
        for (i, row) in rows.chunks_exact_mut(d).take(count).enumerate() {
            row.fill(0.0);
            row[i] = 40.0 - 3.0 * i as f64;
        }
        let gram = inner(&rows, &rows, d).unwrap();
        let (exact, vectors) = leading_pairs(&gram, n, count).unwrap();
        let (values, found) = leading_pairs_near(&gram, n, count).unwrap();
        for j in 0..count {
            assert!((values[j] / exact[j] - 1.0).abs() < 1e-3, "{j} {} {}", values[j], exact[j]);
            let cosine: f64 = (0..n).map(|i| vectors[i * count + j] * found[i * count + j]).sum();
            assert!(cosine.abs() > 0.99);
            let product = |l: usize| (0..n).map(|i| found[i * count + j] * found[i * count + l]).sum::<f64>();
            assert!((0..count).all(|l| (product(l) - f64::from(u8::from(l == j))).abs() < 1e-12));
        }
        // Axes that nothing connects, one of them large.
        let mut diagonal = vec![0.0; n * n];
        (0..n).for_each(|i| diagonal[i * n + i] = if i == 33 { 9.0 } else { 1.0 });
        let (values, _) = leading_pairs_near(&diagonal, n, count).unwrap();
        assert!((values[0] / 9.0 - 1.0).abs() < 1e-6);
        let one = inner(&rows[..d].repeat(n), &rows[..d].repeat(n), d).unwrap();
        let (values, _) = leading_pairs_near(&one, n, count).unwrap();
        assert!((values[0] / (n as f64 * 1600.0) - 1.0).abs() < 1e-12 && values[1].abs() < 1e-9);
    }
}
