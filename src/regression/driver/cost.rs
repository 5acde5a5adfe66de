//! What every method costs on a shape.

use crate::linalg::{Precision, SIDES, precision_of_whitened};

/// Rates of one core; their ratios are what matters.
///
/// Fitted to what `python benches/python/regression/cost_model.py` measures, by least squares on the logarithm of
/// predicted over measured seconds, on one x86-64 core with AVX-512: eleven shapes, 8 to 1024 columns, two of them
/// sparse. Most predictions then lie within a factor 1.4 of the measurement. Run it after a change of a kernel. Those of the
/// matrix unit are of `cargo bench --bench matrix_unit`, on a core of Sapphire Rapids.
struct Rates {
    /// Gram matrices in single and double precision: flops, half of the products saved.
    gram_single: Rate,
    gram_double: Rate,
    /// On a matrix unit: products of digits, half of them saved, seconds of adding sums of 256 of them to one of `f64`, for
    /// each of these, and of cutting an entry into digits.
    digits: f64,
    sums: f64,
    cutting: f64,
    /// Flops of Householder QR, of A block by block, and of a sketch as a whole.
    tall_qr: Rate,
    qr: Rate,
    /// Bytes of A read by a step of refinement.
    read: f64,
    /// Flops of products with several right-hand sides, which come in panels.
    sides: f64,
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
    digits: 3.4e12,
    sums: 1.0e-12,
    cutting: 0.6e-9,
    tall_qr: Rate { limit: 83e9, half: 560.0 },
    qr: Rate { limit: 43e9, half: 330.0 },
    read: 15.5e9,
    sides: 54e9,
    sketch: Rate { limit: 3e9, half: 350.0 },
    sparse_pass: 0.36e9,
    sparse_sketch: 0.047e9,
    spread: 4.4e9,
};

/// Predicted seconds of every method on one shape.
pub(crate) struct Costs {
    /// Of a fast precision of products, and of an accurate one.
    pub gram: [f64; 2],
    pub precisions: [Precision; 2],
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
            "predicted seconds: gram {} ({}) or {} ({}), whitened {}, spir {}, qr {}",
            Seconds(self.gram[0]),
            self.precisions[0],
            Seconds(self.gram[1]),
            self.precisions[1],
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

/// Pairs of digits of a product with a triangle that are multiplied: of five digits, which serve to a condition of 1e9.
const PAIRS_OF_WHITENING: f64 = 15.0;
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
pub(crate) fn costs(
    (n, order): (usize, usize),
    k: usize,
    stored: Option<usize>,
    precisions: [Precision; 2],
) -> Costs {
    let sides = if k > 1 { k.next_multiple_of(SIDES) } else { 0 };
    let (n, d) = (n as f64, order as f64);
    let products = n * d * d;
    let by_digits = |pairs: f64| {
        pairs * n * d * (d + 16.0) / RATES.digits + n * d * d * RATES.sums + n * d * RATES.cutting
    };
    let gram = |precision: Precision| match precision {
        Precision::Single => products / RATES.gram_single.at(d),
        Precision::Double => products / RATES.gram_double.at(d),
        Precision::Digits(digits) => by_digits(digits.pow(2) as f64),
    };
    let [fast, accurate] = precisions.map(gram);
    let whitening = match (precisions[0], precision_of_whitened(precisions, order)) {
        (_, Precision::Digits(_)) => by_digits(PAIRS_OF_WHITENING) + by_digits(4.0),
        (Precision::Digits(_), _) => gram(Precision::Single) + gram(Precision::Double),
        _ => fast + accurate,
    };
    // A'B, which a single right-hand side leaves to the read.
    let moments = 2.0 * n * d * sides as f64 / RATES.sides;
    let qr = RATES.qr.at(d);
    let triangle = d * d * d / 3.0 / qr;
    let (read, sketch, spread) = match stored {
        None => ((8.0 * n * d / RATES.read).max(2.0 * moments), n * d / RATES.sketch.at(d), 0.0),
        Some(stored) => {
            let stored = stored as f64;
            (2.0 * stored / RATES.sparse_pass, stored / RATES.sparse_sketch, n * d / RATES.spread)
        }
    };
    let qr_of_sketch = |ratio: f64| 2.0 * ratio * d * d * d / qr;
    Costs {
        gram: [
            fast + moments + spread + PASSES[0] * read + triangle,
            accurate + moments + spread + PASSES[1] * read + triangle,
        ],
        precisions,
        whitened: sketch + qr_of_sketch(2.0) + whitening + spread + PASSES[2] * read + 3.0 * triangle,
        spir: sketch
            + qr_of_sketch(if stored.is_some() { 4.0 } else { 12.0 })
            + SPIR_PASSES * INNER_READ * read,
        qr: 2.0 * products / RATES.tall_qr.at(d) + 2.0 * moments + spread + read,
        read,
    }
}

/// Predicted seconds on sparse rows, on one core.
pub(crate) struct SparseCosts {
    /// One read of A: residual and gradient.
    pub read: f64,
    /// A'A in a dense matrix, its factor, and refinement.
    pub gram: f64,
    /// The factor of a sketch, and iterations.
    pub spir: f64,
    /// QR of dense tiles.
    pub qr: f64,
}

impl SparseCosts {
    /// What is said of them.
    pub fn describe(&self) -> String {
        format!(
            "predicted seconds: read {}, gram {}, spir {}, qr {}",
            Seconds(self.read),
            Seconds(self.gram),
            Seconds(self.spir),
            Seconds(self.qr)
        )
    }
}

/// Seconds of a stored entry and of a row in a read. A later machine (Zen 5) takes 0.4 of this, and of [`scatter`] up to 600
/// columns: what decides is their ratio, which hardly depends on the machine as long as A'A is in a cache.
const ENTRY: f64 = 2.0e-9;
const ROW: f64 = 3.0e-9;
/// Flops of the Cholesky factor of A'A per second, and seconds of first touching a byte of it.
const CHOLESKY: f64 = 28e9;
const TOUCH: f64 = 0.6e-9;
/// Iterations on a sketch of four times as many rows as columns.
const ITERATIONS_OF_SPIR: f64 = 53.0;

/// Seconds of a product that is added to A'A, which lies in the second cache, the third, or in memory.
fn scatter(d: f64) -> f64 {
    match d {
        ..=500.0 => 1.8e-9,
        ..=2500.0 => 4.3e-9,
        _ => 9e-9,
    }
}

/// Seconds of a Gram matrix that so many products are added to, and its factor.
pub(crate) fn gram_of_entries(order: usize, products: usize) -> f64 {
    let d = order as f64;
    products as f64 * scatter(d) + 8.0 * d * d * TOUCH + d.powi(3) / 3.0 / CHOLESKY
}

/// The model of sparse rows, whose squared lengths add up to `squares`.
pub(crate) fn sparse_costs((n, d): (usize, usize), stored: usize, squares: usize) -> SparseCosts {
    let (tall, small) = (n.max(d) as f64, n.min(d) as f64);
    let (n, d, stored) = (n as f64, d as f64, stored as f64);
    let read = ENTRY * stored + ROW * n;
    let qr = RATES.qr.at(d);
    SparseCosts {
        read,
        gram: gram_of_entries(d as usize, squares / 2) + 2.5 * read,
        spir: stored / RATES.sparse_sketch
            + 8.0 * d.powi(3) / qr
            + ITERATIONS_OF_SPIR * (read + 4.0 * d * d / 10e9),
        qr: 2.0 * tall * small * small / RATES.tall_qr.at(small) + n * d / RATES.spread + read,
    }
}

/// True if refinement of the augmented system is worth its reads of A although the backward error is small already.
///
/// Errors of x against exact arithmetic, rows of which a few, fewer than columns, weigh more by a factor;
/// Cholesky-refined least squares and QR both have a backward error at rounding level, and refinement leaves 1e-16
/// throughout:
///
/// | factor | 1e4 | 1e8 | 1e12 | 1e16 |
/// |---|---|---|---|---|
/// | Gaussian, d = 8: condition | 3e1 | 3e3 | 3e5 | 3e7 |
/// | Cholesky-refined | 2e-15 | 9e-15 | 2e-15 | 4e-15 |
/// | QR | 3e-15 | 9e-14 | 1e-11 | 2e-9 |
/// | Vandermonde, d = 8: condition | 2e6 | 1e8 | 7e9 | 5e11 |
/// | Cholesky-refined | 5e-10 | 2e-7 | 1e-6 | 1e-5 |
/// | QR | 6e-10 | 2e-7 | 1e-6 | 3e-6 |
///
/// Weights spread evenly over 24 orders leave the condition near one and cost nothing.
pub(crate) fn weights_cost_digits(weight_spread: f64, condition: f64) -> bool {
    weight_spread > 1e8 && condition > 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [Precision; 2] = [Precision::Single, Precision::Double];

    #[test]
    fn the_model_knows_the_regimes() {
        let tall = costs((1 << 18, 512), 1, None, FLOATS);
        assert!(tall.gram[0] < tall.gram[1] && tall.gram[1] < tall.whitened);
        assert!(tall.whitened < tall.spir && tall.whitened < tall.qr);
        let narrow = costs((1 << 20, 8), 1, None, FLOATS);
        assert!(narrow.qr < narrow.spir && narrow.qr < narrow.whitened);
        let many = costs((100_000, 100), 256, None, FLOATS);
        assert!(many.gram[1] < many.gram[0] && many.gram[1] < many.whitened);
        let common = costs((1 << 17, 64), 1, None, FLOATS);
        assert!(common.whitened < common.spir && common.whitened < common.qr);
        let sparse = costs((1_000_000, 500), 1, Some(5_000_000), FLOATS);
        assert!(sparse.spir < sparse.whitened && sparse.spir < sparse.gram[0]);
    }
}
