//! Bindings of the products on the floor of [`crate::matrix`], for tests and benches.

use crate::error::Result;
use crate::matrix::{ColumnNorms, Dense, DenseMut, Mat, Products};
use crate::parallel::Context;
use crate::python::convert::{AnyInput, Input, either_precision, to_numpy};
use crate::python::enter::enter;
use pyo3::prelude::*;

/// A matrix whose entries have been checked, to be multiplied again and again.
#[pyclass(frozen, name = "Products", module = "nearlin._core")]
pub struct PyProducts(AnyInput);

#[pymethods]
impl PyProducts {
    #[new]
    fn new(a: &Bound<'_, PyAny>) -> PyResult<Self> {
        AnyInput::extract(a, "A").map(Self)
    }

    /// A X.
    #[pyo3(signature = (x, *, c_order, threads))]
    fn product<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        c_order: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        multiplied(x, c_order, threads, self.shape().0, |context, x, out| {
            either_precision!(&self.0, |a| a.view().product(context, x, out))
        })
    }

    /// A'Y.
    #[pyo3(signature = (y, *, c_order, threads))]
    fn transposed_product<'py>(
        &self,
        y: &Bound<'py, PyAny>,
        c_order: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        multiplied(y, c_order, threads, self.shape().1, |context, y, out| {
            either_precision!(&self.0, |a| a.view().transposed_product(context, y, out))
        })
    }

    /// The squared norm of every column.
    #[pyo3(signature = (*, threads))]
    fn squared_column_norms<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyAny>> {
        let norms = enter(py, threads, None, |context| {
            let squares = either_precision!(&self.0, |a| a.view().squared_column_norms(context))?;
            Mat::from_fn(squares.len(), 1, |j, _| squares[j])
        })?;
        to_numpy::<f64>(py, norms)
    }
}

impl PyProducts {
    fn shape(&self) -> (usize, usize) {
        either_precision!(&self.0, |a| (a.view().nrows(), a.view().ncols()))
    }
}

/// What `multiply` makes of vectors, with so many rows, in C or in Fortran order.
fn multiplied<'py>(
    x: &Bound<'py, PyAny>,
    c_order: bool,
    threads: usize,
    nrows: usize,
    multiply: impl FnOnce(&Context, Dense<'_, f64>, DenseMut<'_, f64>) -> Result<()> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let input = Input::<f64>::extract(x, "X")?;
    let out = enter(x.py(), threads, None, |context| {
        let x = input.dense_view("X")?;
        let (rows, columns) = if c_order { (x.ncols(), nrows) } else { (nrows, x.ncols()) };
        let mut out = Mat::zeros(rows, columns)?;
        let view = if c_order { out.as_mut().t() } else { out.as_mut() };
        multiply(context, x, view)?;
        Ok(out)
    })?;
    let out = to_numpy::<f64>(x.py(), out)?;
    if c_order { out.getattr("T") } else { Ok(out) }
}
