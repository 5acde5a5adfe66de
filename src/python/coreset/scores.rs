//! Bindings of the scores of rows.

use crate::coreset::{self, LeverageParams, LewisParams};
use crate::python::convert::to_vector;
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
    let params = LeverageParams { p, ridge, eps, seed };
    let (scores, rank) =
        of_weighted_rows!(py, a, sample_weight, threads, progress, |context, rows, weights| {
            coreset::leverage_scores(context, rows, weights, &params)
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
    let params = LewisParams { p, tolerance: tol, max_iter };
    let lewis = of_weighted_rows!(py, a, sample_weight, threads, progress, |context, rows, weights| {
        coreset::lewis_weights(context, rows, weights, &params)
    });
    let dict = PyDict::new(py);
    dict.set_item("weights", to_vector(py, lewis.weights)?)?;
    dict.set_item("n_passes", lewis.passes)?;
    dict.set_item("residual", lewis.residual)?;
    dict.set_item("rank", lewis.rank)?;
    Ok(dict)
}
