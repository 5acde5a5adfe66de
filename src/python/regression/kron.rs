//! Bindings of least squares with a Kronecker product.

use crate::error::{Error, Result};
use crate::matrix::Real;
use crate::parallel::Context;
use crate::python::convert::{self, AnyInput, Input, either_precision, named, to_array, with_rows};
use crate::python::enter::enter;
use crate::regression::{self, KronMethod, KronOutput, KronParams, KronProblem};
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
    let factors = convert::factors(&factors)?;
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
