//! Bindings of the sketch of Kronecker products.

use super::checked;
use crate::python::convert::{self, AnyInput, to_array, with_rows};
use crate::python::enter::enter;
use crate::sketch;
use pyo3::prelude::*;

/// A sketching operator for Kronecker products; see `nearlin.sketch.TensorSRHT`.
#[pyclass(frozen, eq, hash, module = "nearlin._core")]
#[derive(PartialEq, Eq, Hash)]
pub struct TensorSketch {
    operator: sketch::TensorSrht,
}

#[pymethods]
impl TensorSketch {
    #[new]
    fn new(m: usize, dims: Vec<usize>, seed: u64) -> PyResult<Self> {
        Ok(Self { operator: sketch::TensorSrht::new(m, dims, seed)? })
    }

    #[getter]
    fn m(&self) -> usize {
        self.operator.m()
    }

    #[getter]
    fn dims(&self) -> &[usize] {
        self.operator.dims()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.operator.seed()
    }

    #[pyo3(signature = (factors, *, single, threads))]
    fn apply_factors<'py>(
        &self,
        py: Python<'py>,
        factors: Vec<Bound<'py, PyAny>>,
        single: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let factors = convert::factors(&factors)?;
        let y = enter(py, threads, None, |context| {
            let y = with_rows(&factors, |factors| self.operator.apply_factors(context, factors))?;
            checked(context, y, single, "factors")
        })?;
        to_array(py, y, single)
    }

    /// The sketch of what has n_1 ... n_q rows, given as the matrix of n_1 rows that it is in C order.
    #[pyo3(signature = (a, *, threads))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        a: &Bound<'py, PyAny>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let a = AnyInput::extract(a, "A")?;
        let single = a.is_single();
        let y = enter(py, threads, None, |context| {
            checked(context, self.operator.apply(context, &*a.rows())?, single, "A")
        })?;
        to_array(py, y, single)
    }
}
