//! Blocks of rows of a stream.

use crate::error::{Error, Result};
use crate::matrix::{Dense, Matrix, Names, Real, first_non_finite};
use crate::parallel::Context;
use serde::{Deserialize, Serialize};

/// Rows of [A, B] with their weights.
pub struct StreamBlock<'a, T> {
    /// n x d.
    pub design: Matrix<'a, T>,
    /// n x k.
    pub targets: Dense<'a, T>,
    /// One non-negative weight for every row.
    pub weights: Option<&'a [f64]>,
    /// Whether the caller thinks of the targets as one vector.
    pub vector: bool,
    /// Names of the columns of the design, if they have any.
    pub names: Names,
}

/// What the first block says of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamShape {
    /// Columns of A.
    pub d: usize,
    /// Targets.
    pub k: usize,
    /// Whether they are one vector.
    pub vector: bool,
    /// Whether all numbers so far were of single precision, so that answers are.
    pub single: bool,
}

impl<T: Real> StreamBlock<'_, T> {
    /// Refuses lengths that do not fit, and targets that are not finite.
    pub(crate) fn check(&self, context: &Context) -> Result<()> {
        let (n, k) = (self.design.nrows(), self.targets.ncols());
        if self.targets.nrows() != n {
            return Err(Error::shape("b", format!("{} rows", self.targets.nrows()), n));
        }
        if let Some(weights) = self.weights.filter(|weights| weights.len() != n) {
            return Err(Error::shape("sample_weight", format!("length {}", weights.len()), n));
        }
        self.names.check("A", self.design.ncols())?;
        for rows in context.pieces(0..n) {
            for (row, target) in rows?.flat_map(|row| (0..k).map(move |target| (row, target))) {
                let value = self.targets.get(row, target).to_f64();
                if !value.is_finite() {
                    return Err(Error::non_finite("b", value, format!("[{row}, {target}]")));
                }
            }
        }
        Ok(())
    }

    /// The error that names the first entry of the design that is not finite, if there is one.
    pub(crate) fn non_finite(&self, context: &Context) -> Result<Option<Error>> {
        let found = match &self.design {
            Matrix::Dense(design) => first_non_finite(context, design)?,
            Matrix::Sparse(design) => design.first_non_finite(context, None)?,
        };
        Ok(found.map(|(i, j, value)| Error::non_finite("A", value, format!("[{i}, {j}]"))))
    }

    pub(crate) fn shape(&self) -> StreamShape {
        let single = T::as_f64(&[]).is_none();
        StreamShape { d: self.design.ncols(), k: self.targets.ncols(), vector: self.vector, single }
    }
}

impl StreamShape {
    /// That of the stream once a block is in, if it fits those before.
    pub(crate) fn with<T: Real>(self, block: &StreamBlock<'_, T>) -> Result<Self> {
        let theirs = block.shape();
        if theirs.d != self.d {
            return Err(Error::shape("A", format!("{} columns", theirs.d), self.d));
        }
        if theirs.k != self.k {
            return Err(Error::shape("b", format!("{} columns", theirs.k), self.k));
        }
        Ok(Self { single: self.single && theirs.single, ..self })
    }

    /// That of two streams together.
    pub(crate) fn joined(self, other: Self) -> Result<Self> {
        if (self.d, self.k) != (other.d, other.k) {
            let columns = |shape: Self| format!("{} columns and {} targets", shape.d, shape.k);
            return Err(Error::shape("other", columns(other), columns(self)));
        }
        Ok(Self { single: self.single && other.single, ..self })
    }
}
