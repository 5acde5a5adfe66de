//! What is asked: a problem as the caller states it.

use crate::matrix::{Dense, LinearOperator, Matrix, Real, Sparse};

/// min |W^(1/2) (b - A x)|^2 + ridge |x|^2 for every column b of the targets, as the caller states it.
pub struct Problem<'a, T, M = Matrix<'a, T>> {
    /// n x d: a matrix or a linear operator.
    pub design: M,
    /// n x k.
    pub targets: Dense<'a, T>,
    /// One non-negative weight for every row, not all of them zero.
    pub weights: Option<&'a [f64]>,
    /// One non-negative number for every target, or one for all.
    pub ridge: &'a [f64],
    /// Adds an unpenalised constant to every fit.
    pub fit_intercept: bool,
}

/// What the design of a problem may be.
#[derive(Clone, Copy)]
pub enum Source<'a, T> {
    /// Strided array.
    Dense(Dense<'a, T>),
    /// Compressed rows or columns.
    Sparse(Sparse<'a, T>),
    /// Products only, of the precision of `T`. There are no tiles of it.
    Operator(&'a dyn LinearOperator),
}

impl<'a, T> From<Matrix<'a, T>> for Source<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        match matrix {
            Matrix::Dense(matrix) => Self::Dense(matrix),
            Matrix::Sparse(matrix) => Self::Sparse(matrix),
        }
    }
}

impl<'a, T> From<&'a dyn LinearOperator> for Source<'a, T> {
    fn from(operator: &'a dyn LinearOperator) -> Self {
        Self::Operator(operator)
    }
}

impl<T: Real> Source<'_, T> {
    /// Number of rows.
    pub fn nrows(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.nrows(),
            Self::Sparse(matrix) => matrix.nrows(),
            Self::Operator(operator) => operator.nrows(),
        }
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.ncols(),
            Self::Sparse(matrix) => matrix.ncols(),
            Self::Operator(operator) => operator.ncols(),
        }
    }
}

/// What makes FGMRES converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// A factor of the weighted rows on both sides.
    Split,
    /// A factor of the rows without their weights, and the weighted Gram matrix that it makes small.
    Left,
}

/// The driver hands operators only to what works by products.
pub(crate) fn no_tiles() -> ! {
    unreachable!("a linear operator has no tiles")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::matrix::Mat;
    use crate::regression::testing::{Instance, forms};

    #[derive(Debug)]
    struct Zero(usize, usize);

    impl LinearOperator for Zero {
        fn nrows(&self) -> usize {
            self.0
        }

        fn ncols(&self) -> usize {
            self.1
        }

        fn product(&self, x: Mat<f64>) -> Result<Mat<f64>> {
            Mat::zeros(self.0, x.ncols())
        }

        fn transposed_product(&self, y: Mat<f64>) -> Result<Mat<f64>> {
            Mat::zeros(self.1, y.ncols())
        }
    }

    #[test]
    fn a_source_has_the_kind_and_the_shape_of_what_it_was() {
        let (instance, operator) = (Instance::new(9, 4), Zero(9, 4));
        let [dense, sparse] = [false, true].map(|sparse| {
            let form = forms().find(|form| form.sparse == sparse).unwrap();
            Source::from(instance.problem(form, &[0.0]).design)
        });
        let products = Source::<f64>::from(&operator as &dyn LinearOperator);
        assert!(matches!(dense, Source::Dense(_)) && matches!(sparse, Source::Sparse(_)));
        assert!(matches!(products, Source::Operator(_)));
        for source in [dense, sparse, products] {
            assert_eq!((source.nrows(), source.ncols()), (9, 4));
        }
    }
}
