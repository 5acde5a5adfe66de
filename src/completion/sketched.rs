//! The preconditioner of the paper: for each line a sketch of its own rows, of four times as many as there are components,
//! and the Cholesky factor of what that gives for the normal equations.
//!
//! It costs n k + k³ a line where what all lines share costs n k alone, and takes no fewer steps: `half` has the latter.

use super::factors::Factor;
use crate::error::Result;
use crate::linalg::{Scalar, cholesky, product, solve_upper, solve_upper_transposed};
use crate::matrix::{DenseMut, Indices, Mat};
use crate::memory::zeros;
use crate::random::Stream;

/// Rows of the sketch for each component.
const OVERSAMPLING: usize = 4;
/// Entries of a column of the sketch that are not zero.
const SPARSITY: usize = 8;
/// Purpose of its random numbers.
const SKETCH: u8 = 0x71;
/// What memory is for.
const ROWS: &str = "the sketch of a line";

/// R with R'R near the normal equations of a line, b eliminated; None where these are singular.
pub fn triangle<T: Scalar>(
    y: &Factor<T>,
    indices: Indices<'_>,
    (l, bias): (f64, Option<f64>),
) -> Result<Option<Mat<f64>>> {
    let (n, k) = (indices.len(), y.rank);
    let count = n.min(OVERSAMPLING * k);
    let stream = Stream::new(0, 0, SKETCH);
    let vector = |len: usize| zeros::<f64>(len, ROWS);
    let (mut sketch, mut ones, mut mean) = (Mat::zeros(count, k)?, vector(count)?, vector(k)?);
    let size = 1.0 / (SPARSITY as f64).sqrt();
    for t in 0..n {
        let j = indices.get(t);
        let row = &y.row(j)[..k];
        let mut add = |at: usize, factor: f64| {
            ones[at] += factor;
            for (c, x) in row.iter().enumerate() {
                sketch[(at, c)] += factor * x.to_f64();
            }
        };
        if count == n {
            add(t, 1.0);
        } else {
            let mut words = [0; SPARSITY];
            stream.words_of_row(j as u64, &mut words);
            for word in words {
                add((word >> 1) as usize % count, if word & 1 == 0 { size } else { -size });
            }
        }
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.to_f64() / n as f64);
    }
    let rest = bias.map_or(0.0, |penalty| n as f64 * penalty / (n as f64 + penalty));
    if bias.is_some() {
        for (at, one) in ones.iter().enumerate() {
            (0..k).for_each(|c| sketch[(at, c)] -= one * mean[c]);
        }
    }
    let gram = product(sketch.as_ref().t(), sketch.as_ref())?;
    let entry = |a: usize, b: usize| gram[(a, b)] + rest * mean[a] * mean[b] + if a == b { l } else { 0.0 };
    cholesky(&Mat::from_fn(k, k, entry)?)
}

/// z = (R'R)^-1 r
pub fn solve(triangle: &Mat<f64>, r: &[f64], z: &mut [f64]) {
    z.copy_from_slice(r);
    let k = triangle.ncols();
    solve_upper_transposed(triangle.as_ref(), DenseMut::column_major(&mut z[..k], k, 1));
    solve_upper(triangle.as_ref(), DenseMut::column_major(&mut z[..k], k, 1));
}
