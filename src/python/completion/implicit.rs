//! Bindings of implicit feedback.

use super::{Entries, MatrixCompletionModel, Precision, in_single};
use crate::completion::Observations;
use crate::completion::implicit::{Confidence, Output, Params, Risk, Terms, Way, fit, fold_in};
use crate::error::Result;
use crate::linalg::{Scalar, make_workspace};
use crate::matrix::{Mat, Repeated};
use crate::parallel::Context;
use crate::python::convert::{named, to_numpy};
use crate::python::enter::enter;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The options of a fit; see `nearlin.completion._implicit_options.Options`.
impl<'py> FromPyObject<'_, 'py> for Params {
    type Error = PyErr;

    fn extract(options: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = options.py();
        let get = |name: &Bound<'py, PyString>| options.getattr(name);
        let confidences = [("linear", Confidence::Linear), ("ials", Confidence::Uniform)];
        let solvers = [
            ("cholesky", Way::Exact),
            ("cg", Way::Iterated(get(intern!(py, "cg_steps"))?.extract()?)),
            ("subspace", Way::Subspace(get(intern!(py, "block"))?.extract()?)),
        ];
        let risk = match get(intern!(py, "risk"))?.is_none() {
            true => None,
            false => Some(Risk {
                share: get(intern!(py, "risk_alpha"))?.extract()?,
                bandwidth: get(intern!(py, "risk_bandwidth"))?.extract()?,
            }),
        };
        let terms = Terms {
            confidence: named("confidence", get(intern!(py, "confidence"))?.extract()?, &confidences)?,
            alpha: get(intern!(py, "alpha"))?.extract()?,
            unobserved: get(intern!(py, "unobserved_weight"))?.extract()?,
            reg: get(intern!(py, "reg"))?.extract()?,
            exponent: get(intern!(py, "reg_exponent"))?.extract()?,
        };
        Ok(Self {
            rank: get(intern!(py, "rank"))?.extract()?,
            terms,
            way: named("solver", get(intern!(py, "solver"))?.extract()?, &solvers)?,
            risk,
            max_iter: get(intern!(py, "max_iter"))?.extract()?,
            tol: get(intern!(py, "tol"))?.extract()?,
            polish: get(intern!(py, "polish"))?.extract()?,
            seed: get(intern!(py, "seed"))?.extract()?,
        })
    }
}

/// A model of confidences, and what was measured; see `nearlin.ImplicitALS`.
#[pyfunction]
#[pyo3(signature = (entries, options, *, single, threads, progress))]
pub fn implicit_als<'py>(
    py: Python<'py>,
    entries: &Bound<'py, PyAny>,
    options: Params,
    single: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(MatrixCompletionModel, Bound<'py, PyDict>)> {
    either_entries!(entries, |entries| {
        if single {
            let output = enter(py, threads, progress, |context| {
                run::<f32>(context, entries.observations(context, None, Repeated::Sum, false)?, &options)
            })?;
            let figures = figures(py, &output)?;
            Ok((MatrixCompletionModel { model: Precision::Single(output.model) }, figures))
        } else {
            let output = enter(py, threads, progress, |context| {
                run::<f64>(context, entries.observations(context, None, Repeated::Sum, false)?, &options)
            })?;
            let figures = figures(py, &output)?;
            Ok((MatrixCompletionModel { model: Precision::Double(output.model) }, figures))
        }
    })
}

/// Factors of rows with these confidences; `mean_entries` is that of the fit where losses of rows are of interest.
#[pyfunction]
pub fn implicit_fold_in<'py>(
    py: Python<'py>,
    model: &MatrixCompletionModel,
    entries: &Bound<'py, PyAny>,
    options: Params,
    mean_entries: f64,
    threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let factor = either_entries!(entries, |entries| {
        either!(model, |model| enter(py, threads, None, |context| {
            make_workspace()?;
            let rows = entries.lines(context, Repeated::Sum, (0.0, 1.0))?;
            let entries = options.risk.map(|_| mean_entries);
            let rows = fold_in(context, &model.columns, &rows, options.terms, entries)?;
            Mat::from_fn(rows.count, rows.rank, |i, k| rows.row(i)[k])
        }))?
    });
    to_numpy::<f64>(py, factor)
}

fn run<T: Scalar>(context: &Context, observed: Observations<T>, params: &Params) -> Result<Output<T>> {
    make_workspace()?;
    fit(context, observed, params)
}

fn figures<'py, T: Scalar>(py: Python<'py>, output: &Output<T>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("objective", &output.objective)?;
    dict.set_item("converged", output.converged)?;
    dict.set_item("risen", output.risen)?;
    dict.set_item("mean_entries", output.entries)?;
    dict.set_item("tail", output.tail)?;
    Ok(dict)
}
