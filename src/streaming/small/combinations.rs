//! A few rows of d numbers, one after the other, and the few things that are done with them.

use crate::error::Result;
use crate::linalg::{Scratch, apart, cholesky_qr2, invert_upper, leading_eigh_into, leading_eigh_scratch};
use crate::matrix::{Dense, DenseMut, Mat};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::simd::{row_products, small_product};
use crate::streaming::small::numbers::Numbers;

/// What memory is for.
const SMALL: &str = "a small matrix";

/// A B', a x b, row after row, of rows of `d` numbers.
pub fn inner(left: &[f64], right: &[f64], d: usize) -> Result<Vec<f64>> {
    let rows = collected(left.chunks_exact(d.max(1)), SMALL)?;
    let mut out = zeros(rows.len() * right.len().checked_div(d).unwrap_or(0), SMALL)?;
    row_products(&rows, right, &mut out);
    Ok(out)
}

/// A A', of rows of `d` numbers, row after row; an interrupt is heard in the midst.
pub fn gram_of(context: &Context, rows: &[f64], d: usize) -> Result<Vec<f64>> {
    /// Rows at a time.
    const TOGETHER: usize = 64;
    let lines = collected(rows.chunks_exact(d.max(1)), SMALL)?;
    let n = lines.len();
    let (mut part, mut out) = (zeros(TOGETHER.min(n) * n, SMALL)?, zeros(n * n, SMALL)?);
    for first in (0..n).step_by(TOGETHER) {
        context.tick()?;
        let last = n.min(first + TOGETHER);
        let part = &mut part[..(last - first) * last];
        row_products(&lines[first..last], &rows[..last * d], part);
        for (i, row) in (first..last).zip(part.chunks_exact(last)) {
            out[i * n..][..last].copy_from_slice(row);
            (0..i).for_each(|j| out[j * n + i] = row[j]);
        }
    }
    Ok(out)
}

/// `out = C'A`, or `out += C'A`, for A of `d` columns and C of as many rows as A, row after row: combinations of rows.
pub fn combine(c: &[f64], rows: &[f64], d: usize, out: &mut [f64], accumulate: bool) {
    let [a, b] = [rows.len(), out.len()].map(|len| len.checked_div(d).unwrap_or(0));
    small_product((b, d, a), c, (1, b), rows, out, accumulate);
}

/// `A = C'A`, for as many combinations as there are rows.
pub fn combine_in_place(c: &[f64], rows: &mut [f64], d: usize) -> Result<()> {
    /// Columns at a time.
    const SLAB: usize = 128;
    let b = rows.len().checked_div(d).unwrap_or(0);
    let (mut slab, mut out) = (zeros(b * SLAB, SMALL)?, zeros(b * SLAB, SMALL)?);
    for from in (0..d).step_by(SLAB) {
        let width = SLAB.min(d - from);
        for (to, row) in slab.chunks_exact_mut(width).zip(rows.chunks_exact(d)) {
            to.copy_from_slice(&row[from..from + width]);
        }
        combine(c, &slab[..b * width], width, &mut out[..b * width], false);
        for (row, made) in rows.chunks_exact_mut(d).zip(out.chunks_exact(width)) {
            row[from..from + width].copy_from_slice(made);
        }
    }
    Ok(())
}

/// The `count` largest eigenvalues of a symmetric matrix of order n, descending, and their eigenvectors, n x count, row
/// after row.
pub fn leading_pairs(symmetric: &[f64], n: usize, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    leading_of(halved(symmetric, n)?, count)
}

/// The same, on a thread of its own if that takes long.
pub fn leading_pairs_apart(
    context: &Context,
    symmetric: &[f64],
    n: usize,
    count: usize,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let halved = halved(symmetric, n)?;
    apart(context, 10.0 * (n as f64).powi(3), move || leading_of(halved, count))
}

/// The mean of a matrix and its transpose.
fn halved(symmetric: &[f64], n: usize) -> Result<Mat<f64>> {
    // Zeros have no sign: it would turn reflections.
    Mat::from_fn(n, n, |i, j| 0.5 * (symmetric[i * n + j] + symmetric[j * n + i]) + 0.0)
}

fn leading_of(mut a: Mat<f64>, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let n = a.nrows();
    let (mut values, mut vectors) = (zeros(count, SMALL)?, Mat::zeros(n, count)?);
    let mut scratch = Scratch::new(leading_eigh_scratch(n, count))?;
    leading_eigh_into(a.as_mut(), &mut values, vectors.as_mut(), &mut scratch)?;
    let mut leading = zeros(n * count, SMALL)?;
    DenseMut::row_major(&mut leading, n, count).copy_from(vectors.as_ref());
    Ok((values, leading))
}

/// The same of products of rows whose signs say nothing: to the bit what it is for rows whose first entry is positive.
pub fn leading_pairs_of_rows(
    context: &Context,
    gram: &mut [f64],
    n: usize,
    count: usize,
    signs: &[f64],
) -> Result<(Vec<f64>, Vec<f64>)> {
    (0..n * n).for_each(|at| gram[at] *= signs[at / n] * signs[at % n]);
    let (values, mut vectors) = leading_pairs_apart(context, gram, n, count)?;
    (0..n * count).for_each(|at| vectors[at] *= signs[at / count]);
    Ok((values, vectors))
}

/// The sign of the first entry of a row that is not zero.
pub fn sign_of(row: &[f64]) -> f64 {
    row.iter().find(|number| **number != 0.0).map_or(1.0, |number| number.signum())
}

/// An orthonormal basis of what b rows span, whose first rows span what the first of those do; where these are dependent,
/// of more.
pub fn orthonormal_rows(context: &Context, rows: &[f64], b: usize) -> Result<Numbers> {
    let d = rows.len() / b;
    let basis = cholesky_qr2(context, Mat::copy_of(Dense::column_major(rows, d, b))?)?;
    let mut numbers = Numbers::zeros(rows.len())?;
    numbers.copy_from_slice(basis.as_slice());
    Ok(numbers)
}

/// R'^-1 A, of an upper triangle R of order b and b rows of `d` numbers.
pub fn over_upper(rows: &[f64], d: usize, r: &Mat<f64>) -> Result<Numbers> {
    let b = r.ncols();
    let (inverse, mut c) = (invert_upper(r.as_ref())?, zeros(b * b, SMALL)?);
    DenseMut::row_major(&mut c, b, b).copy_from(inverse.as_ref());
    let mut quotient = Numbers::zeros(rows.len())?;
    combine(&c, rows, d, &mut quotient, false);
    Ok(quotient)
}

/// The Gram matrix of rows in two parts, of those of each and of the products of the first with the second.
pub fn stacked_gram(
    first: &[f64],
    between: &[f64],
    second: &[f64],
    (a, b): (usize, usize),
) -> Result<Vec<f64>> {
    let n = a + b;
    let mut gram = zeros(n * n, SMALL)?;
    for at in 0..n * n {
        let (i, j) = (at / n, at % n);
        gram[at] = match (i < a, j < a) {
            (true, true) => first[i * a + j],
            (true, false) => between[i * b + j - a],
            (false, true) => between[j * b + i - a],
            (false, false) => second[(i - a) * b + j - a],
        };
    }
    Ok(gram)
}

/// The best b directions of L'L + M'M, b x d, with their squares: they are orthogonal.
pub fn best_of_both(left: &[f64], right: &[f64], b: usize) -> Result<(Vec<f64>, Numbers)> {
    let d = left.len() / b;
    let (ll, rr) = (inner(left, left, d)?, inner(right, right, d)?);
    let gram = stacked_gram(&ll, &inner(left, right, d)?, &rr, (b, b))?;
    let (squares, vectors) = leading_pairs(&gram, 2 * b, b)?;
    let mut best = Numbers::zeros(left.len())?;
    combine(&vectors[..b * b], left, d, &mut best, false);
    combine(&vectors[b * b..], right, d, &mut best, true);
    Ok((squares, best))
}
