//! Bindings of soft thresholding.

use super::{Entries, MatrixCompletionModel, Precision, in_single};
use crate::completion::Observations;
use crate::completion::soft::{Denoised, Output, Params, denoise, fit};
use crate::error::Result;
use crate::linalg::make_workspace;
use crate::matrix::Repeated;
use crate::memory::collected;
use crate::parallel::Context;
use crate::python::convert::{named, owned, to_array};
use crate::python::enter::enter;
use numpy::{IntoPyArray, PyArray1};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The options of a fit; see `nearlin.completion._soft_impute.Options`.
impl<'py> FromPyObject<'_, 'py> for Params {
    type Error = PyErr;

    fn extract(options: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = options.py();
        let get = |name: &Bound<'py, PyString>| options.getattr(name);
        let methods = [("als", false), ("svd", true)];
        Ok(Self {
            rank: get(intern!(py, "rank"))?.extract()?,
            regs: get(intern!(py, "regs"))?.extract()?,
            is_open: get(intern!(py, "is_open"))?.extract()?,
            whole: named("method", get(intern!(py, "method"))?.extract()?, &methods)?,
            max_iter: get(intern!(py, "max_iter"))?.extract()?,
            tol: get(intern!(py, "tol"))?.extract()?,
            validation_fraction: get(intern!(py, "validation_fraction"))?.extract()?,
            seed: get(intern!(py, "seed"))?.extract()?,
        })
    }
}

/// A model by soft thresholding, and what was measured; see `nearlin.SoftImpute`.
#[pyfunction]
#[pyo3(signature = (entries, options, *, center, threads, progress))]
pub fn soft_impute<'py>(
    py: Python<'py>,
    entries: &Bound<'py, PyAny>,
    options: Params,
    center: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(MatrixCompletionModel, Bound<'py, PyDict>)> {
    let output = either_entries!(entries, |entries| enter(py, threads, progress, |context| {
        run(context, entries.observations(context, None, Repeated::Mean, center)?, &options)
    }))?;
    let figures = PyDict::new(py);
    let path = output.path.iter().map(|step| (step.reg, step.rank, step.sweeps, step.rmse));
    figures.set_item("path", collected(path, "a path of penalties")?)?;
    figures.set_item("values", &output.values)?;
    figures.set_item("largest", output.largest)?;
    figures.set_item("reg", output.reg)?;
    figures.set_item("converged", output.converged)?;
    figures.set_item("gap", output.gap)?;
    let held_out =
        output.held_out.map(|left| (left.entries, left.rmse, left.median, left.effective, left.spreads));
    figures.set_item("held_out", held_out)?;
    Ok((MatrixCompletionModel { model: Precision::Double(output.model) }, figures))
}

fn run(context: &Context, observed: Observations<f64>, params: &Params) -> Result<Output> {
    make_workspace()?;
    fit(context, observed, params)
}

/// Matrix, threshold, singular values and rank.
type Thresholded<'py> = (Bound<'py, PyAny>, f64, Bound<'py, PyArray1<f64>>, usize);

/// A matrix, NaN where an entry is missing, without its small singular values.
#[pyfunction]
#[pyo3(signature = (x, *, threshold, noise, soft, single))]
pub fn svt_denoise<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    threshold: Option<f64>,
    noise: Option<f64>,
    soft: bool,
    single: bool,
) -> PyResult<Thresholded<'py>> {
    let x = owned(x, "X")?;
    let Denoised { matrix, threshold, values, rank } = enter(py, 1, None, |context| {
        make_workspace()?;
        denoise(context, x, threshold, noise, soft)
    })?;
    Ok((to_array(py, matrix, single)?, threshold, values.into_pyarray(py), rank))
}
