//! Bindings of least squares of rows in parts.

use super::Call;
use super::lstsq::to_dict;
use crate::error::{Error, Result};
use crate::memory::{collected, copied};
use crate::python::convert::{AnyInput, Input, Vector, either_precision, to_numpy};
use crate::python::enter::enter;
use crate::regression::{self, Params, Parts, PartsOutput, RidgeChoice};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::OnceLock;

/// What a question comes to for one part; see `nearlin.regression._by_blocks`.
#[pyfunction]
#[pyo3(signature = (question, a, b, *, sample_weight))]
pub fn lstsq_sums_of_part<'py>(
    py: Python<'py>,
    question: &[u8],
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let call = Call { weights: weights.as_ref(), ridge: &[], fit_intercept: false };
    let sums = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, 1, None, |context| regression::sums_of_part(context, question, &call.problem(&a, &b)?))?
    });
    Ok(PyBytes::new(py, &sums))
}

/// The sums of several parts together.
#[pyfunction]
pub fn lstsq_merged_sums<'py>(
    py: Python<'py>,
    sums: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let sums = collected(sums.iter().map(PyBytesMethods::as_bytes), "sums over rows")?;
    let merged = enter(py, 1, None, |context| regression::merged_sums(context, &sums))?;
    Ok(PyBytes::new(py, &merged))
}

/// Least squares of rows in parts, which `ask` asks.
#[pyfunction]
#[pyo3(signature = (ask, options, *, ridge, fit_intercept, single, progress))]
pub fn lstsq_by_parts<'py>(
    py: Python<'py>,
    ask: Py<PyAny>,
    options: Params,
    ridge: &Bound<'py, PyAny>,
    fit_intercept: bool,
    single: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let ridge = Vector::<f64>::extract(ridge, "ridge")?;
    let PartsOutput { output, rows, log_weight } =
        Caller::of(ask).enter(py, progress, |context, parts| {
            let by_parts = match single {
                true => regression::lstsq_by_parts::<f32>,
                false => regression::lstsq_by_parts::<f64>,
            };
            by_parts(context, parts, ridge.as_slice(), fit_intercept, &options)
        })?;
    let dict = to_dict(py, output, single)?;
    dict.set_item("rows", rows)?;
    dict.set_item("log_weight", log_weight)?;
    Ok(dict)
}

/// Leave-one-out errors, what they choose, and the fit; see `ridge_cv`.
#[pyfunction]
#[pyo3(signature = (ask, options, *, apart, alphas, fit_intercept, single))]
pub fn ridge_cv_by_parts<'py>(
    py: Python<'py>,
    ask: Py<PyAny>,
    options: Params,
    apart: bool,
    alphas: &Bound<'py, PyAny>,
    fit_intercept: bool,
    single: bool,
) -> PyResult<(Bound<'py, PyAny>, Vec<usize>, Bound<'py, PyDict>)> {
    let alphas = Vector::<f64>::extract(alphas, "alphas")?;
    let RidgeChoice { errors, chosen, output } = Caller::of(ask).enter(py, None, |context, parts| {
        let by_parts = match single {
            true => regression::ridge_cv_by_parts::<f32>,
            false => regression::ridge_cv_by_parts::<f64>,
        };
        by_parts(context, parts, alphas.as_slice(), apart, fit_intercept, &options)
    })?;
    Ok((to_numpy::<f64>(py, errors)?, chosen, to_dict(py, output, single)?))
}

/// Whoever has the parts: a function of bytes.
struct Caller {
    ask: Py<PyAny>,
    /// What it raised.
    raised: OnceLock<PyErr>,
}

impl Caller {
    fn of(ask: Py<PyAny>) -> Self {
        Self { ask, raised: OnceLock::new() }
    }

    /// Work that asks; what that raises goes through unchanged.
    fn enter<R: Send>(
        self,
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
        work: impl FnOnce(&crate::parallel::Context, &dyn Parts) -> Result<R> + Send,
    ) -> PyResult<R> {
        let outcome = enter(py, 1, progress, |context| work(context, &self));
        match self.raised.into_inner() {
            Some(raised) => Err(raised),
            None => outcome,
        }
    }
}

impl Parts for Caller {
    fn ask(&self, question: &[u8]) -> Result<Vec<u8>> {
        let sums = Python::attach(|py| {
            let sums = self.ask.bind(py).call1((PyBytes::new(py, question),))?;
            Ok(copied(sums.cast::<PyBytes>()?.as_bytes(), "sums over rows")?)
        });
        sums.map_err(|raised: PyErr| {
            // Only one thread asks, so the cell is still empty.
            let _ = self.raised.set(raised);
            Error::Interrupted
        })
    }
}
