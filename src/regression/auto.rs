//! Which method first: a condition estimate from a few rows, and what every method costs on this shape.
//!
//! A wrong estimate costs time only: every rung judges the factor that it really uses, and hands on to the
//! next one when the factor is not admissible.

use super::design::Design;
use crate::error::Result;
use crate::linalg::{self, power_of_two_below};
use crate::matrix::{Buffer, Dense, Real, Rows, TILE};
use crate::memory::{collected, extend, prepare};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::Element;
use std::ops::Range;

/// What a few rows tell of the whole matrix.
pub(crate) struct Hint {
    /// Estimated condition of A with columns of norm one; infinity where the rows do not tell.
    pub condition: f64,
    /// Rows looked at.
    pub rows: usize,
    /// The largest magnitude in every column of them.
    pub largest: Buffer<f64>,
}

impl Hint {
    /// What is said of it.
    pub fn describe(&self) -> String {
        let condition = match self.condition.is_finite() {
            true => format!("about {:.1e}", self.condition),
            false => "beyond 1e8".into(),
        };
        format!("condition {condition} by {} sampled rows", self.rows)
    }
}

/// Looks at 4 d rows (2 d where d > 512, to keep the share of their Gram matrix small) at fixed pseudo-random
/// positions. The condition of so few rows exceeds that of all by (1 + sqrt(d / m)) / (1 - sqrt(d / m)) when no row
/// stands out, which is divided out.
pub(crate) fn hint<T: Real + Element>(context: &Context, design: &Design<'_, T>) -> Result<Hint> {
    let d = design.ncols();
    let sample = Sample::of(design);
    let rows = sample.nrows();
    let mut largest: Buffer<f64> = Buffer::zeros(d, "magnitudes of columns")?;
    let mut buffer = Vec::new();
    for i in 0..rows {
        let tile = sample.tile(i..i + 1, 0..d, &mut buffer)?;
        let row = tile.row(0).unwrap_or(&[]);
        largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    let powers = largest.iter().map(|&value| power_of_two_below(value).recip());
    let powers = collected(powers, "magnitudes of columns")?;
    let (mut gram, _) = linalg::gram::<f64, ()>(context, &sample, &powers, || (), |(), _, _| ())?;
    design.constant().iter().for_each(|&j| gram[(j, j)] = 1.0);
    let norms = collected((0..d).map(|j| gram[(j, j)].sqrt()), "norms of columns")?;
    for j in 0..d {
        for i in 0..d {
            gram[(i, j)] /= norms[i] * norms[j];
        }
    }
    let condition = match linalg::cholesky(&gram)? {
        Some(r) => linalg::condition_of_upper(r.as_ref())?,
        None => f64::INFINITY,
    };
    let spread = (d as f64 / rows as f64).sqrt();
    Ok(Hint { condition: (condition * (1.0 - spread) / (1.0 + spread)).max(1.0), rows, largest })
}

/// The rows that are looked at; never more of them in memory than a tile.
struct Sample<'p, 'a, T> {
    design: &'p Design<'a, T>,
    rows: usize,
    positions: Stream,
}

impl<'p, 'a, T: Real + Element> Sample<'p, 'a, T> {
    fn of(design: &'p Design<'a, T>) -> Self {
        let (n, d) = (design.nrows(), design.ncols());
        let rows = (if d > 512 { 2 * d } else { 4 * d } + 32).min(n);
        Self { design, rows, positions: Stream::new(0, 0, HINT) }
    }

    fn position(&self, i: usize) -> usize {
        let n = self.design.nrows();
        if self.rows == n { i } else { self.positions.index(i as u64, n as u64) as usize }
    }
}

impl<T: Real + Element> Rows for Sample<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.rows
    }

    fn ncols(&self) -> usize {
        self.design.ncols()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (nrows, ncols, mut row) = (rows.len(), cols.len(), Vec::new());
        prepare(buffer, nrows * ncols, TILE)?;
        for i in rows {
            let position = self.position(i);
            let tile = self.design.tile(position..position + 1, cols.clone(), &mut row)?;
            extend(buffer, tile.row(0).unwrap_or(&[]).iter().copied(), TILE)?;
        }
        Ok(Dense::row_major(buffer, nrows, ncols))
    }
}

/// Purpose of the random stream that picks the rows.
const HINT: u8 = 1;

/// Rates of one core; their ratios are what matters.
///
/// Fitted to what `python benches/python/cost_model.py` measures, by least squares on the logarithm of predicted over
/// measured seconds, on one x86-64 core with AVX-512: eleven shapes, 8 to 1024 columns, two of them sparse. Most
/// predictions then lie within a factor 1.4 of the measurement. Run it after a change of a kernel.
struct Rates {
    /// Gram matrices in single and double precision: flops, half of the products saved.
    gram_single: Rate,
    gram_double: Rate,
    /// Flops of Householder QR, of A block by block, and of a sketch as a whole.
    tall_qr: Rate,
    qr: Rate,
    /// Bytes of A read by a step of refinement.
    read: f64,
    /// Entries of A sketched with eight nonzeros to a column.
    sketch: Rate,
    /// Stored entries of a sparse matrix visited once in a pass, and once in a sketch.
    sparse_pass: f64,
    sparse_sketch: f64,
    /// Entries of a sparse matrix spread out into dense tiles.
    spread: f64,
}

/// Flops or entries per second that tend to `limit`, and come to half of it at `half` columns.
struct Rate {
    limit: f64,
    half: f64,
}

impl Rate {
    fn at(&self, columns: f64) -> f64 {
        self.limit * columns / (columns + self.half)
    }
}

const RATES: Rates = Rates {
    gram_single: Rate { limit: 126e9, half: 72.0 },
    gram_double: Rate { limit: 74e9, half: 61.0 },
    tall_qr: Rate { limit: 83e9, half: 560.0 },
    qr: Rate { limit: 43e9, half: 330.0 },
    read: 15.5e9,
    sketch: Rate { limit: 3e9, half: 350.0 },
    sparse_pass: 0.36e9,
    sparse_sketch: 0.047e9,
    spread: 4.4e9,
};

/// Predicted seconds of every method on one shape.
pub(crate) struct Costs {
    pub gram_single: f64,
    pub gram_double: f64,
    pub whitened: f64,
    pub spir: f64,
    pub qr: f64,
    /// One read of A by refinement.
    pub read: f64,
}

impl Costs {
    /// What is said of them.
    pub fn describe(&self) -> String {
        format!(
            "predicted seconds: gram {} (single) or {} (double), whitened {}, spir {}, qr {}",
            Seconds(self.gram_single),
            Seconds(self.gram_double),
            Seconds(self.whitened),
            Seconds(self.spir),
            Seconds(self.qr)
        )
    }
}

/// Seconds with two significant digits.
struct Seconds(f64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = (1 - self.0.max(1e-6).log10().floor() as i32).max(0) as usize;
        write!(f, "{:.digits$}", self.0)
    }
}

/// Reads of A that refinement usually takes after each factor.
const PASSES: [f64; 3] = [3.0, 2.0, 3.0];
/// Inner iterations and looks of SPIR with m = 12 d.
pub(crate) const SPIR_PASSES: f64 = 32.0;
/// Time of an inner iteration, in reads by refinement, which measures the answer too: about 0.65 while A is in cache,
/// 0.9 when it comes from memory on one core. Reads and the QR of the sketch gain less from more cores than products
/// do, which is why it counts for a third more.
const INNER_READ: f64 = 1.2;

/// The model: flops of the factor, reads of A, flops on the triangle. For one core whatever the machine, so that the
/// choice, and with it the bits of the answer, does not depend on the number of threads.
pub(crate) fn costs(n: usize, d: usize, stored: Option<usize>) -> Costs {
    let (n, d) = (n as f64, d as f64);
    let products = n * d * d;
    let qr = RATES.qr.at(d);
    let triangle = d * d * d / 3.0 / qr;
    let (read, sketch, spread) = match stored {
        None => (8.0 * n * d / RATES.read, n * d / RATES.sketch.at(d), 0.0),
        Some(stored) => {
            let stored = stored as f64;
            (2.0 * stored / RATES.sparse_pass, stored / RATES.sparse_sketch, n * d / RATES.spread)
        }
    };
    let qr_of_sketch = |ratio: f64| 2.0 * ratio * d * d * d / qr;
    let (single, double) = (products / RATES.gram_single.at(d), products / RATES.gram_double.at(d));
    Costs {
        gram_single: single + spread + PASSES[0] * read + triangle,
        gram_double: double + spread + PASSES[1] * read + triangle,
        whitened: sketch + qr_of_sketch(2.0) + single + double + spread + PASSES[2] * read + 3.0 * triangle,
        spir: sketch
            + qr_of_sketch(if stored.is_some() { 4.0 } else { 12.0 })
            + SPIR_PASSES * INNER_READ * read,
        qr: 2.0 * products / RATES.tall_qr.at(d) + spread + read,
        read,
    }
}

/// True if refinement of the augmented system is worth its reads of A although the backward error is small already.
///
/// Errors of x against exact arithmetic, rows of which a few, fewer than columns, weigh more by a factor; the ladder and
/// QR both have a backward error at rounding level, and refinement leaves 1e-16 throughout:
///
/// | factor | 1e4 | 1e8 | 1e12 | 1e16 |
/// |---|---|---|---|---|
/// | Gaussian, d = 8: condition | 3e1 | 3e3 | 3e5 | 3e7 |
/// | ladder | 2e-15 | 9e-15 | 2e-15 | 4e-15 |
/// | QR | 3e-15 | 9e-14 | 1e-11 | 2e-9 |
/// | Vandermonde, d = 8: condition | 2e6 | 1e8 | 7e9 | 5e11 |
/// | ladder | 5e-10 | 2e-7 | 1e-6 | 1e-5 |
/// | QR | 6e-10 | 2e-7 | 1e-6 | 3e-6 |
///
/// Weights spread evenly over 24 orders leave the condition near one and cost nothing.
pub(crate) fn weights_cost_digits(weight_spread: f64, condition: f64) -> bool {
    weight_spread > 1e8 && condition > 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_knows_the_regimes() {
        let tall = costs(1 << 18, 512, None);
        assert!(tall.gram_single < tall.gram_double && tall.gram_double < tall.whitened);
        assert!(tall.whitened < tall.spir && tall.whitened < tall.qr);
        let narrow = costs(1 << 20, 8, None);
        assert!(narrow.qr < narrow.spir && narrow.qr < narrow.whitened);
        let common = costs(1 << 17, 64, None);
        assert!(common.whitened < common.spir && common.whitened < common.qr);
        let sparse = costs(1_000_000, 500, Some(5_000_000));
        assert!(sparse.spir < sparse.whitened && sparse.spir < sparse.gram_single);
    }
}
