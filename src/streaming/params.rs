//! What is asked for, and what is made of it.

use crate::error::{Error, Result};
use crate::streaming::rows::chunk::CHUNK;
use serde::{Deserialize, Serialize};

/// How rows are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// What suits the order and the number of columns.
    Auto,
    /// Blocks as steps of the power method, heavy rows apart.
    BlockPower,
    /// A truncated SVD, chunk by chunk, heavy rows apart.
    Incremental,
    /// Both at once, of which the one is taken that has more energy in rows that it was not made of.
    Mixed,
    /// Oja's rule at many rates, heavy rows apart.
    Oja,
    /// Frequent Directions.
    FrequentDirections,
    /// A linear sketch.
    Sketch,
    /// A'A itself.
    Gram,
    /// Oja's rule at one rate.
    OjaFixed,
    /// Oja's rule at the rate c / (t0 + t).
    OjaDecay,
    /// Oja's rule at the rate that gradients have so far (Henriksen and Ward 2019).
    AdaOja,
}

impl Algorithm {
    /// All of them by name, as `nearlin.StreamingPCA` has them; `Mixed` is what `auto` is where A'A is too large.
    pub const NAMES: [(&'static str, Self); 11] = [
        ("auto", Self::Auto),
        ("block_power", Self::BlockPower),
        ("incremental", Self::Incremental),
        ("block_power+incremental", Self::Mixed),
        ("oja", Self::Oja),
        ("frequent_directions", Self::FrequentDirections),
        ("sketch", Self::Sketch),
        ("gram", Self::Gram),
        ("oja_fixed", Self::OjaFixed),
        ("oja_decay", Self::OjaDecay),
        ("adaoja", Self::AdaOja),
    ];

    /// Whether heavy rows are kept apart.
    fn sifts(self) -> bool {
        matches!(self, Self::BlockPower | Self::Incremental | Self::Mixed | Self::Oja)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| name)
    }
}

/// In what order rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A random permutation of whatever rows there are.
    Random,
    /// Any.
    Arbitrary,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Components.
    pub k: usize,
    /// In what order rows come.
    pub order: Order,
    /// How they are summed up.
    pub algorithm: Algorithm,
    /// Directions of a block, if that many fit.
    pub width: usize,
    /// Heavy rows, if that many fit.
    pub heavy: usize,
    /// Rows of Frequent Directions, columns of a linear sketch.
    pub sketch: usize,
    /// Bytes that the state may take.
    pub memory: Option<u64>,
    /// Rows that are held back to be shuffled.
    pub shuffle: usize,
    /// c of the one-rate rules.
    pub rate: Option<f64>,
    /// When the rate that decays is c / t0.
    pub t0: Option<f64>,
    /// Whether rows are taken less their mean.
    pub center: bool,
    /// Whether rows are in single precision, in which they are then summed up as far as chunks go, unless a certificate
    /// wants more.
    pub single: bool,
    /// Failure probability.
    pub delta: f64,
    /// Of all random numbers.
    pub seed: u64,
}

/// What is made of it for rows of `d` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How rows are summed up.
    pub algorithm: Algorithm,
    /// Numbers of a row.
    pub d: usize,
    /// Directions of a block, and of a truncated SVD.
    pub width: usize,
    /// Heavy rows that are kept apart.
    pub heavy: usize,
}

/// Columns up to which A'A is no slower than summaries.
pub const GRAM: usize = 300;
/// Rungs of a ladder at most: of rates over more powers of two than a stream may have rows, all but the ends have grown, or
/// not begun.
pub const RUNGS: usize = 40;
/// Directions beside those that are wanted.
const OVERSAMPLE: usize = 4;

impl Params {
    /// What is done for rows of `d` numbers.
    pub fn plan(&self, d: usize) -> Result<Plan> {
        let sizes = [(self.width, self.heavy), (4, 16), (1, 0)];
        let fits = |plan: &Plan| self.memory.is_none_or(|memory| plan.bytes(self) <= memory as f64);
        // One direction can be followed alone, several want others beside them.
        let least = if self.k == 1 { 1 } else { self.k + OVERSAMPLE };
        let plan = |algorithm: Algorithm, (width, heavy): (usize, usize)| Plan {
            algorithm,
            d,
            width: width.min(self.width).max(least).min(d.max(1)),
            heavy: if algorithm.sifts() { heavy.min(self.heavy) } else { 0 },
        };
        let gram = plan(Algorithm::Gram, sizes[0]);
        if self.algorithm == Algorithm::Auto && d <= GRAM && fits(&gram) {
            return Ok(gram);
        }
        let algorithm = match (self.algorithm, self.order) {
            (Algorithm::Auto, Order::Random) => Algorithm::Mixed,
            (Algorithm::Auto, Order::Arbitrary) => Algorithm::Oja,
            (named, _) => named,
        };
        let plans = sizes.map(|size| plan(algorithm, size));
        let found = plans.iter().find(|plan| fits(plan));
        found.copied().ok_or_else(|| {
            let least = plans[2].bytes(self);
            Error::value(
                "memory",
                self.memory.unwrap_or(0),
                format!("at least {least} bytes for rows of {d} numbers"),
            )
        })
    }
}

impl Plan {
    /// Whether heavy rows are kept apart.
    pub fn sifts(&self) -> bool {
        self.algorithm.sifts()
    }

    /// Rows that are kept as they are until there are more: as many whole chunks as what comes after them may take.
    pub fn exact(&self) -> usize {
        let rows = match self.algorithm {
            Algorithm::BlockPower => self.heavy + 3 * self.width,
            Algorithm::Mixed => self.heavy + 4 * self.width,
            Algorithm::Incremental => self.heavy + self.width,
            _ => 0,
        };
        rows / CHUNK * CHUNK
    }

    /// Numbers of a summary, of its heavy rows, and of rows that wait for the others of their chunk, in bytes.
    pub fn bytes(&self, params: &Params) -> f64 {
        let [d, b, h, l] = [self.d, self.width, self.heavy, params.sketch].map(|number| number as f64);
        let summary = match self.algorithm {
            // And a direction of the past, rounded.
            Algorithm::BlockPower => (h + 3.0 * b + 0.5) * d,
            Algorithm::Mixed | Algorithm::Auto => (h + 4.0 * b + 0.5) * d,
            // In single precision these are there in both.
            Algorithm::Incremental => (h + b * if params.single { 1.5 } else { 1.0 }) * d,
            Algorithm::Oja => (h + (RUNGS as f64 + 2.0) * if params.single { 1.5 } else { 1.0 }) * d,
            Algorithm::FrequentDirections => 2.0 * l.min(d + 1.0) * d,
            Algorithm::Sketch => 2.0 * l.min(d) * d,
            Algorithm::Gram => d * d,
            Algorithm::OjaFixed | Algorithm::OjaDecay | Algorithm::AdaOja => params.k as f64 * d,
        };
        let center = if params.center { 4.0 * d } else { 0.0 };
        8.0 * (summary + center + (CHUNK + params.shuffle) as f64 * d)
    }
}
