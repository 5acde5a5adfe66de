//! Bindings of sensitivities.

use crate::coreset::{self, Figure};
use crate::error::Error;
use crate::linalg::make_workspace;
use crate::memory::gathered;
use crate::python::convert::{AnyInput, Vector, either_precision, to_vector};
use crate::python::enter::enter;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Lower and upper bounds; see `nearlin.coreset.sensitivity_bounds`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, rows, p, rtol, threads, progress))]
pub fn sensitivity_bounds<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    rows: Option<&Bound<'py, PyAny>>,
    p: f64,
    rtol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<[Bound<'py, PyArray1<f64>>; 2]> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let rows = Vector::<i64>::extract_optional(rows, "rows")?;
    let bounds = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let view = a.view();
        let number = |&row: &i64| match usize::try_from(row) {
            Ok(number) if number < view.nrows() => Ok(number),
            _ => Err(Error::value("rows", row, format!("numbers below {}", view.nrows()))),
        };
        let rows = rows.map(|rows| gathered(rows.as_slice().iter().map(number), "rows")).transpose()?;
        enter(py, threads, progress, |context| {
            make_workspace()?;
            let weights = weights.as_ref().map(Vector::as_slice);
            coreset::sensitivity_bounds(context, view, weights, rows.as_deref(), p, rtol)
        })?
    });
    Ok([bounds.lower.into_pyarray(py), bounds.upper.into_pyarray(py)])
}

/// The sum; see `nearlin.coreset.total_sensitivity`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, size, seed, threads, progress))]
pub fn total_sensitivity<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    size: usize,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let figure = of_weighted_rows!(py, a, sample_weight, threads, progress, |context, rows, weights| {
        coreset::total_sensitivity(context, rows, weights, p, size, seed)
    });
    to_dict(py, &figure)
}

/// The largest; see `nearlin.coreset.max_sensitivity`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, seed, threads, progress))]
pub fn max_sensitivity<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let figure = of_weighted_rows!(py, a, sample_weight, threads, progress, |context, rows, weights| {
        coreset::max_sensitivity(context, rows, weights, p, seed)
    });
    to_dict(py, &figure)
}

/// Approximations of all; see `nearlin.coreset.approximate_sensitivities`.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, alpha, seed, threads, progress))]
pub fn approximate_sensitivities<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    alpha: f64,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let found = of_weighted_rows!(py, a, sample_weight, threads, progress, |context, rows, weights| {
        coreset::approximate_sensitivities(context, rows, weights, p, alpha, seed)
    });
    to_vector(py, found)
}

fn to_dict<'py>(py: Python<'py>, figure: &Figure) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("estimate", figure.estimate)?;
    dict.set_item("lower", figure.lower)?;
    dict.set_item("upper", figure.upper)?;
    dict.set_item("n_measured", figure.measured)?;
    dict.set_item("is_exact", figure.is_exact)?;
    Ok(dict)
}
