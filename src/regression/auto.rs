//! Which method first: a condition estimate from a few rows, and what every method costs on this shape.
//!
//! A wrong estimate costs time only: every rung judges the factor that it really uses, and hands on to the
//! next one when the factor is not admissible.

use super::design::{Design, power_of_two_below};
use crate::error::Result;
use crate::linalg;
use crate::matrix::{Dense, Real, Rows};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::Element;

/// What a few rows tell of the whole matrix.
pub(crate) struct Hint {
    /// Estimated condition of A with columns of norm one; infinity where the rows do not tell.
    pub condition: f64,
    /// Rows looked at.
    pub rows: usize,
    /// The largest magnitude in every column of them.
    pub largest: Vec<f64>,
}

/// Looks at 4 d rows (2 d where d > 512, to keep the share of their Gram matrix small) at fixed pseudo-random
/// positions. The condition of so few rows exceeds that of all by (1 + sqrt(d / m)) / (1 - sqrt(d / m)) when no row
/// stands out, which is divided out.
pub(crate) fn hint<T: Real + Element>(context: &Context, design: &Design<'_, T>) -> Result<Hint> {
    let (n, d) = (design.nrows(), design.ncols());
    let rows = (if d > 512 { 2 * d } else { 4 * d } + 32).min(n);
    let positions = Stream::new(0, 0, HINT);
    let mut buffer = Vec::new();
    let mut sample = Vec::with_capacity(rows * d);
    for i in 0..rows {
        let row = if rows == n { i } else { positions.index(i as u64, n as u64) as usize };
        sample.extend_from_slice(design.tile(row..row + 1, 0..d, &mut buffer).row(0).unwrap_or(&[]));
    }
    let mut largest = vec![0.0f64; d];
    for row in sample.chunks_exact(d) {
        largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    let powers: Vec<f64> = largest.iter().map(|&value| power_of_two_below(value).recip()).collect();
    let sample = Dense::row_major(&sample, rows, d);
    let (mut gram, _) = linalg::gram::<f64, ()>(context, &sample, &powers, || (), |(), _, _| ())?;
    let norms: Vec<f64> = (0..d).map(|j| gram[(j, j)].sqrt()).collect();
    for j in 0..d {
        for i in 0..d {
            gram[(i, j)] /= norms[i] * norms[j];
        }
    }
    let condition = linalg::cholesky(&gram).map_or(f64::INFINITY, |r| linalg::condition_of_upper(r.as_ref()));
    let spread = (d as f64 / rows as f64).sqrt();
    Ok(Hint { condition: (condition * (1.0 - spread) / (1.0 + spread)).max(1.0), rows, largest })
}

/// Purpose of the random stream that picks the rows.
const HINT: u8 = 1;

/// Rates of one core, measured on a 3.5 GHz x86-64 core with AVX-512; ratios are what matters.
struct Rates {
    /// Gram matrices in single and double precision, multiply-adds counted as two, half of the products saved.
    gram_single: f64,
    gram_double: f64,
    /// Householder QR.
    qr: f64,
    /// Bytes of A read by a fused residual and gradient.
    read: f64,
    /// Entries of A sketched with eight nonzeros per row.
    sketch: f64,
    /// Stored entries of a sparse matrix visited once in a pass, and once in a sketch.
    sparse_pass: f64,
    sparse_sketch: f64,
}

const RATES: Rates = Rates {
    gram_single: 130e9,
    gram_double: 75e9,
    qr: 40e9,
    read: 13e9,
    sketch: 0.8e9,
    sparse_pass: 0.4e9,
    sparse_sketch: 0.1e9,
};

/// Predicted seconds of every method on one shape.
pub(crate) struct Costs {
    pub gram_single: f64,
    pub gram_double: f64,
    pub whitened: f64,
    pub spir: f64,
    pub qr: f64,
}

/// Reads of A that refinement usually takes after each factor.
const PASSES: [f64; 3] = [3.0, 2.0, 3.0];
/// Inner iterations and looks of SPIR with m = 12 d.
const SPIR_PASSES: f64 = 32.0;

/// The model: flops of the factor, reads of A, flops on the triangle. For one core whatever the machine, so that the
/// choice, and with it the bits of the answer, does not depend on the number of threads.
pub(crate) fn costs(n: usize, d: usize, stored: Option<usize>) -> Costs {
    let (n, d) = (n as f64, d as f64);
    let products = n * d * d;
    let triangle = d * d * d / 3.0;
    let (read, sketch) = match stored {
        None => (8.0 * n * d / RATES.read, n * d / RATES.sketch),
        Some(stored) => (2.0 * stored as f64 / RATES.sparse_pass, stored as f64 / RATES.sparse_sketch),
    };
    // A sparse matrix is spread out into dense tiles for products.
    let spread = if stored.is_some() { n * d / 1e9 } else { 0.0 };
    let qr_of_sketch = |ratio: f64| 2.0 * ratio * d * d * d / RATES.qr;
    Costs {
        gram_single: products / RATES.gram_single + spread + PASSES[0] * read + triangle / RATES.qr,
        gram_double: products / RATES.gram_double + spread + PASSES[1] * read + triangle / RATES.qr,
        whitened: sketch
            + qr_of_sketch(2.0)
            + products * (1.0 / RATES.gram_single + 1.0 / RATES.gram_double)
            + spread
            + PASSES[2] * read
            + 3.0 * triangle / RATES.qr,
        spir: sketch + qr_of_sketch(if stored.is_some() { 4.0 } else { 12.0 }) + SPIR_PASSES * read,
        qr: 2.0 * products / RATES.qr * 1.25 + spread + read,
    }
}
