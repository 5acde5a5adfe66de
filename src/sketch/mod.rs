//! Sketching operators: random m x n matrices S with `E[S'S] = I` that shrink a tall matrix to m rows.
//!
//! | kind | S | made for |
//! |---|---|---|
//! | [`Kind::SparseSign`] | zeta stacked CountSketches: zeta nonzeros per column | preconditioning |
//! | [`Kind::CountSketch`] | one nonzero per column | cheapest of all, m of order d^2 |
//! | [`Kind::Srht`] | subsampled randomised Hadamard transform of one length N >= n | answers |
//! | [`Kind::Pht`] | pooled Hadamard transforms of chunks of rows | answers, streams of any length |
//! | [`Kind::Gaussian`] | independent normals | small problems, exact finite-sample theory |
//!
//! A [`Sketch`] is a value (kind, m, n, seed, number); nothing is sampled until it is applied. Column i of S is
//! a function of the value and of the global row index i, so rows may come in any blocks, and the sketch of
//! more rows extends the sketch of fewer.
//!
//! **Bits.** Every (row of Y, column of Y) is summed in the order of the global rows, whatever the threads and
//! wherever a stream is cut. Operators that work on aligned chunks of rows are only ever given whole chunks:
//! the [`Accumulator`] keeps the open ones.
//!
//! [`TensorSrht`] is made for Kronecker products instead, of which it needs no more than the factors.
//!
//! Files: `tiles` (the layout of Y), `accumulator` (streams, and `apply`, which is a stream of one block),
//! `operand` (what can be sketched), `parameters` (in the words of the caller), then one file per family of operators.

mod accumulator;
mod cover;
mod gaussian;
mod hadamard;
mod long;
mod operand;
mod parameters;
mod sparse_sign;
mod tensor;
mod tiles;
mod transposed;

pub use accumulator::{Accumulator, Saved};
pub use hadamard::Weights;
pub use operand::Operand;
pub(crate) use parameters::{Parameter, same_parameters, shown};
pub use tensor::TensorSrht;
pub(crate) use tiles::Tiles;

use crate::error::{Error, Result};
use crate::matrix::{Dense, Mat, Rows};
use crate::parallel::Context;
use crate::random::Stream;
use gaussian::Gaussian;
use hadamard::Hadamard;
use serde::{Deserialize, Serialize};
use sparse_sign::SparseSign;
use std::ops::Range;
use std::sync::Arc;

/// The families of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Subsampled randomised Hadamard transform; needs an upper bound on the number of rows.
    Srht,
    /// Pooled Hadamard transform of chunks of rows.
    Pht {
        /// What the rows of a transformed chunk are multiplied by before they are pooled.
        weights: Weights,
        /// Rows of a chunk: a power of two that is at least m, with normal weights 8 m. None takes the shortest
        /// such that is not below 1024.
        chunk: Option<usize>,
    },
    /// `zeta` stacked CountSketches, scaled by `1 / sqrt(zeta)`.
    SparseSign {
        /// Nonzeros per column of S.
        zeta: usize,
    },
    /// One random sign per column of S.
    CountSketch,
    /// Independent normals of variance `1 / m`.
    Gaussian,
}

impl Kind {
    /// Whether columns of S have few nonzeros, so that single coordinates of an answer may be far off.
    pub fn is_sparse(self) -> bool {
        matches!(self, Self::SparseSign { .. } | Self::CountSketch)
    }
}

/// A random m x n matrix, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sketch {
    kind: Kind,
    m: usize,
    n: Option<u64>,
    seed: u64,
    op_id: u32,
}

/// What a family of operators does. `S` is [`Operator::scale`] times the matrix that these methods apply.
pub(crate) trait Operator: Send + Sync {
    /// Rows enter in chunks of this many, aligned to multiples of it; 1 where any block will do.
    fn chunk(&self) -> usize {
        1
    }

    /// Width of the tiles of Y, by the number of columns alone.
    fn tile_width(&self, d: usize) -> usize;

    /// The factor that is applied once, at the end.
    fn scale(&self) -> f64;

    /// Adds what rows `rows` of `a` contribute to Y. The first of them is global row `first`; `first` and the
    /// number of rows are multiples of [`Operator::chunk`].
    fn add(&self, ctx: &Context, y: &mut Tiles, a: &dyn Rows, rows: Range<usize>, first: u64) -> Result<()>;

    /// Writes rows `first ..` of the product of the transpose with `y` (m x width, row-major) into `out` (rows x
    /// width, row-major, overwritten). `first` and the number of rows are multiples of [`Operator::chunk`].
    fn transpose(&self, first: u64, y: Dense<'_, f64>, out: &mut [f64]) -> Result<()>;

    /// The operator as scattered additions, if it is one: sparse operands then need not be made dense.
    fn as_sparse_sign(&self) -> Option<&sparse_sign::SparseSign> {
        None
    }
}

impl Sketch {
    /// Operator number `op_id` of that kind and seed. `n` bounds the number of rows; only [`Kind::Srht`] needs it.
    pub fn new(kind: Kind, m: usize, n: Option<u64>, seed: u64, op_id: u32) -> Result<Self> {
        Self { kind, m, n, seed, op_id }.checked()
    }

    /// The value itself if it makes sense.
    fn checked(self) -> Result<Self> {
        let m = self.m;
        if m == 0 || m >= 1 << 31 {
            return Err(Error::value("m", m, "in [1, 2^31)"));
        }
        match self.kind {
            Kind::SparseSign { zeta } if zeta == 0 || zeta > m => {
                return Err(Error::value("zeta", zeta, format!("in [1, m] = [1, {m}]")));
            }
            Kind::Pht { weights, chunk } => {
                Hadamard::pht(m, weights, chunk, self.seed, 0)?;
            }
            Kind::Srht if self.n.is_none() => {
                return Err(Error::value("n", "unknown", "an upper bound on the number of rows"));
            }
            _ => {}
        }
        if self.op_id > Stream::MAX_OPERATOR {
            return Err(Error::value("op_id", self.op_id, "below 2^24"));
        }
        Ok(self)
    }

    /// The family of the operator, with its parameters.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of rows of S.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Number of columns of S, if it is bounded.
    pub fn n(&self) -> Option<u64> {
        self.n
    }

    /// The seed of everything that is random in S.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `S[:, row_offset..] A`, m x d. Refuses entries that are not finite.
    pub fn apply(&self, ctx: &Context, a: &Operand<'_>, row_offset: u64) -> Result<Mat<f64>> {
        Accumulator::new(ctx, self.clone(), a.ncols())?.apply(ctx, a, row_offset)
    }

    /// Rows `rows` of `S' Y`, for Y with m rows.
    pub fn apply_transposed(&self, ctx: &Context, y: &dyn Rows, rows: Range<u64>) -> Result<Mat<f64>> {
        let operator = self.operator(ctx)?;
        let limit = self.n.unwrap_or(u64::MAX);
        if y.nrows() != self.m {
            return Err(Error::shape("Y", format!("{} rows", y.nrows()), self.m));
        }
        if rows.end > limit || rows.start > rows.end {
            return Err(Error::value(
                "rows",
                format!("{rows:?}"),
                format!("a range that ends at {limit} or before"),
            ));
        }
        transposed::apply(&*operator, ctx, y, rows)
    }

    /// The sketch of a stream of rows of d columns, before the first of them.
    pub fn accumulate(&self, ctx: &Context, d: usize) -> Result<Accumulator> {
        Accumulator::new(ctx, self.clone(), d)
    }

    fn operator(&self, ctx: &Context) -> Result<Arc<dyn Operator>> {
        let Self { kind, m, n, seed, op_id } = *self;
        Ok(match (kind, n) {
            (Kind::SparseSign { zeta }, _) => Arc::new(SparseSign::new(m, zeta, seed, op_id)),
            (Kind::CountSketch, _) => Arc::new(SparseSign::new(m, 1, seed, op_id)),
            (Kind::Gaussian, _) => Arc::new(Gaussian::new(m, seed, op_id)),
            (Kind::Pht { weights, chunk }, _) => Arc::new(Hadamard::pht(m, weights, chunk, seed, op_id)?),
            (Kind::Srht, n) => Arc::new(Hadamard::srht(ctx, m, n.unwrap_or_default(), seed, op_id)?),
        })
    }
}
