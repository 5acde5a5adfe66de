//! A sketching operator as a value.

use super::gaussian::Gaussian;
use super::hadamard::{Hadamard, Weights};
use super::operator::Operator;
use super::sparse_sign::SparseSign;
use crate::error::{Error, Result};
use crate::parallel::Context;
use crate::random::Stream;
use serde::{Deserialize, Serialize};
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

impl Sketch {
    /// Operator number `op_id` of that kind and seed. `n` bounds the number of rows; only [`Kind::Srht`] needs it.
    pub fn new(kind: Kind, m: usize, n: Option<u64>, seed: u64, op_id: u32) -> Result<Self> {
        Self { kind, m, n, seed, op_id }.checked()
    }

    /// The value itself if it makes sense.
    pub(super) fn checked(self) -> Result<Self> {
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

    pub(super) fn operator(&self, ctx: &Context) -> Result<Arc<dyn Operator>> {
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
