//! Bindings of what works on the factors of a Kronecker product: in [`crate::regression`] and [`crate::sketch`].

use super::convert::{AnyInput, Input, either_precision, to_array};
use super::enter::enter;
use super::names::named;
use super::sketch::checked;
use crate::error::{Error, Result};
use crate::matrix::{Real, Rows};
use crate::memory::{collected, gathered};
use crate::parallel::Context;
use crate::regression::{self, KronMethod, KronOutput, KronParams, KronProblem};
use crate::sketch;
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Least squares with a Kronecker product; see `nearlin.lstsq_kron`.
#[pyfunction]
#[pyo3(signature = (factors, b, *, count, ridge, method, sketch_size, rcond, tol, single, seed, threads, progress))]
pub fn lstsq_kron<'py>(
    py: Python<'py>,
    factors: Vec<Bound<'py, PyAny>>,
    b: &Bound<'py, PyAny>,
    count: usize,
    ridge: f64,
    method: &str,
    sketch_size: Option<usize>,
    rcond: Option<f64>,
    tol: f64,
    single: bool,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let methods = [("exact", KronMethod::Exact), ("sketch", KronMethod::Sketch(sketch_size))];
    let method = named("method", method, &methods)?;
    let params = KronParams { method, rcond, tolerance: tol, single, seed };
    let factors = extract(&factors)?;
    let output = either_precision!(AnyInput::extract(b, "B")?, |b| {
        enter(py, threads, progress, |context| solve(context, &factors, &b, count, ridge, &params))?
    });
    let dict = PyDict::new(py);
    dict.set_item("x", to_array(py, output.x, single)?)?;
    dict.set_item("residual_norm", output.residual_norm.into_pyarray(py))?;
    dict.set_item("rank", output.rank)?;
    dict.set_item("n_iter", output.reads)?;
    dict.set_item("sketch_size", output.sketch_size)?;
    dict.set_item("backward_error", output.backward_error.into_pyarray(py))?;
    dict.set_item("backward_error_bound", output.backward_error_bound.into_pyarray(py))?;
    dict.set_item("condition", output.condition)?;
    dict.set_item("floor", output.floor)?;
    dict.set_item("cut", output.cut)?;
    Ok(dict)
}

/// Shapes are checked here, as they guard memory.
fn solve<T: Real + numpy::Element>(
    context: &Context,
    factors: &[AnyInput],
    b: &Input<T>,
    count: usize,
    ridge: f64,
    params: &KronParams,
) -> Result<KronOutput> {
    let targets = b.dense_view("B")?;
    with_rows(factors, |factors| {
        let rows = factors.iter().try_fold(count, |product, factor| product.checked_mul(factor.nrows()));
        let first = factors.first().map(|factor| factor.nrows());
        if first != Some(targets.nrows()) || rows != targets.nrows().checked_mul(targets.ncols()) {
            let found = format!("shape ({}, {})", targets.nrows(), targets.ncols());
            return Err(Error::shape("B", found, "as many rows as the first factor and the product in all"));
        }
        if count == 0 || factors.iter().any(|factor| factor.nrows() == 0 || factor.ncols() == 0) {
            return Err(Error::shape("factors", "an empty one", "at least one row and one column in each"));
        }
        regression::lstsq_kron(context, &KronProblem { factors, targets, count, ridge }, params)
    })
}

fn extract(factors: &[Bound<'_, PyAny>]) -> PyResult<Vec<AnyInput>> {
    gathered(factors.iter().map(|factor| AnyInput::extract(factor, "factors")), "factors")
}

fn with_rows<R>(inputs: &[AnyInput], work: impl FnOnce(&[&dyn Rows]) -> Result<R>) -> Result<R> {
    let views = collected(inputs.iter().map(AnyInput::rows), "factors")?;
    work(&collected(views.iter().map(|view| &**view), "factors")?)
}

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
        let factors = extract(&factors)?;
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
