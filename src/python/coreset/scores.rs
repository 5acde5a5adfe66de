//! Bindings of the scores of rows.

use crate::coreset::{self, LeverageParams, LewisParams};
use crate::linalg::make_workspace;
use crate::python::convert::{AnyInput, Vector, either_precision, to_vector};
use crate::python::enter::enter;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Leverage scores, or powers of them, and the rank; see `nearlin.leverage_scores`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, ridge, eps, seed, threads, progress))]
pub fn leverage_scores<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    ridge: f64,
    eps: Option<f64>,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, usize)> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let params = LeverageParams { p, ridge, eps, seed };
    let (scores, rank) = either_precision!(AnyInput::extract(a, "A")?, |a| {
        enter(py, threads, progress, |context| {
            make_workspace()?;
            let weights = weights.as_ref().map(Vector::as_slice);
            coreset::leverage_scores(context, a.view(), weights, &params)
        })?
    });
    Ok((to_vector(py, scores)?, rank))
}

/// Lewis weights; see `nearlin.lewis_weights`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, tol, max_iter, threads, progress))]
pub fn lewis_weights<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    tol: f64,
    max_iter: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let params = LewisParams { p, tolerance: tol, max_iter };
    let lewis = either_precision!(AnyInput::extract(a, "A")?, |a| {
        enter(py, threads, progress, |context| {
            make_workspace()?;
            let weights = weights.as_ref().map(Vector::as_slice);
            coreset::lewis_weights(context, a.view(), weights, &params)
        })?
    });
    let dict = PyDict::new(py);
    dict.set_item("weights", to_vector(py, lewis.weights)?)?;
    dict.set_item("n_passes", lewis.passes)?;
    dict.set_item("residual", lewis.residual)?;
    dict.set_item("rank", lewis.rank)?;
    Ok(dict)
}
