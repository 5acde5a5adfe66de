//! Bindings of least squares, and of a second look at the answers.

use super::Call;
use super::words::{method_named, precision_named, preconditioner_named};
use crate::error::Result;
use crate::matrix::LinearOperator;
use crate::memory::gathered;
use crate::python::convert::{AnyInput, Input, Vector, either_precision, owned, to_array, to_numpy};
use crate::python::enter::enter;
use crate::python::operator::Operator;
use crate::python::sketch::words::sketch_named;
use crate::regression::{self, ForwardError, Inference, Method, Output, Params, Sketchable};
use numpy::{IntoPyArray, PyArray1};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// The options of least squares; see `nearlin.regression._solve.Options`.
impl<'py> FromPyObject<'_, 'py> for Params {
    type Error = PyErr;

    fn extract(options: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = options.py();
        let get = |name: &Bound<'py, PyString>| options.getattr(name);
        Ok(Self {
            method: method_named(get(intern!(py, "method"))?.extract()?)?,
            rcond: get(intern!(py, "rcond"))?.extract()?,
            sketch: word(&get(intern!(py, "sketch"))?, sketch_named)?,
            sketch_size: get(intern!(py, "sketch_size"))?.extract()?,
            tolerance: get(intern!(py, "tol"))?.extract()?,
            max_iter: get(intern!(py, "max_iter"))?.extract()?,
            seed: get(intern!(py, "seed"))?.extract()?,
            keep_factor: get(intern!(py, "keep_factor"))?.extract()?,
            preconditioner: word(&get(intern!(py, "preconditioner"))?, preconditioner_named)?,
            dtype_work: word(&get(intern!(py, "dtype_work"))?, precision_named)?,
            certify: get(intern!(py, "certify"))?.extract()?,
        })
    }
}

/// What a name stands for; None stays None.
fn word<T>(name: &Bound<'_, PyAny>, meaning: impl Fn(&str) -> Result<T>) -> PyResult<Option<T>> {
    Ok(name.extract::<Option<&str>>()?.map(meaning).transpose()?)
}

/// Least squares; see `nearlin.lstsq`.
#[pyfunction]
#[pyo3(signature = (a, b, options, *, sample_weight, ridge, fit_intercept, threads, progress))]
pub fn lstsq<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    options: Params,
    sample_weight: Option<&Bound<'py, PyAny>>,
    ridge: &Bound<'py, PyAny>,
    fit_intercept: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let ridge = Vector::<f64>::extract(ridge, "ridge")?;
    let call = Call { weights: weights.as_ref(), ridge: ridge.as_slice(), fit_intercept };
    if let Some(operator) = Operator::extract(a)? {
        return either_precision!(AnyInput::extract(b, "b")?, |b| {
            by_products(&call, py, operator, &b, &options, threads, progress)
        });
    }
    let a = AnyInput::extract(a, "A")?;
    let single = a.is_single();
    let output = either_precision!(a, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, threads, progress, |context| regression::lstsq(context, &call.problem(&a, &b)?, &options))?
    });
    to_dict(py, output, single)
}

/// What the caller's products raise goes through unchanged.
fn by_products<'py, T: numpy::Element + Sketchable>(
    call: &Call<'_>,
    py: Python<'py>,
    operator: Operator,
    b: &Input<T>,
    options: &Params,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let outcome = enter(py, threads, progress, |context| {
        let design: &dyn LinearOperator = &operator;
        regression::lstsq_by_products(context, &call.problem_of(design, design.nrows(), b)?, options)
    });
    match operator.into_raised() {
        Some(raised) => Err(raised),
        None => to_dict(py, outcome?, T::as_f64(&[]).is_none()),
    }
}

/// A second look at the answers `x`; see `nearlin.lstsq`.
#[pyfunction]
#[pyo3(signature = (a, b, x, options, *, sample_weight, ridge, threads))]
pub fn lstsq_verify<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    options: Params,
    sample_weight: Option<&Bound<'py, PyAny>>,
    ridge: &Bound<'py, PyAny>,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let ridge = Vector::<f64>::extract(ridge, "ridge")?;
    let call = Call { weights: weights.as_ref(), ridge: ridge.as_slice(), fit_intercept: false };
    let x = owned(x, "x")?;
    let found = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, threads, None, |context| {
            regression::verify(context, &call.problem(&a, &b)?, &x, options.rcond, options.seed)
        })?
    });
    let dict = PyDict::new(py);
    dict.set_item("backward_error", found.backward_error)?;
    dict.set_item("bound", found.bound)?;
    dict.set_item("rank", found.rank)?;
    dict.set_item("cut", found.cut)?;
    dict.set_item("confidence", found.confidence)?;
    dict.set_item("stage", ("verify", found.seconds, found.reads))?;
    Ok(dict)
}

pub(super) fn to_dict(py: Python<'_>, output: Output, single: bool) -> PyResult<Bound<'_, PyDict>> {
    let array = |values: Vec<f64>| -> Bound<'_, PyArray1<f64>> { values.into_pyarray(py) };
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "x"), to_array(py, output.x, single)?)?;
    dict.set_item(intern!(py, "intercept"), array(output.intercept))?;
    dict.set_item(intern!(py, "residual_norm"), array(output.residual_norm))?;
    dict.set_item(intern!(py, "rank"), output.rank)?;
    dict.set_item(intern!(py, "constant"), output.constant)?;
    dict.set_item(intern!(py, "method"), output.method.name())?;
    dict.set_item(intern!(py, "n_iter"), output.n_iter)?;
    dict.set_item(intern!(py, "sketch_size"), output.sketch_size)?;
    dict.set_item(intern!(py, "backward_error"), array(output.backward_error))?;
    dict.set_item(intern!(py, "backward_error_bound"), array(output.backward_error_bound))?;
    if output.method == Method::Cg {
        dict.set_item(intern!(py, "rigorous_bound"), array(output.rigorous_bound))?;
    }
    dict.set_item(intern!(py, "condition"), output.condition)?;
    dict.set_item(intern!(py, "target"), output.target)?;
    dict.set_item(intern!(py, "floor"), output.floor)?;
    dict.set_item(intern!(py, "confidence"), output.confidence)?;
    dict.set_item(intern!(py, "cut"), output.cut)?;
    dict.set_item(intern!(py, "is_shortest"), output.is_shortest)?;
    dict.set_item(intern!(py, "columns"), output.columns.describe())?;
    dict.set_item(intern!(py, "explanation"), output.explanation)?;
    let stages = output.stages.iter().map(|stage| (stage.name, stage.seconds, stage.reads));
    dict.set_item(intern!(py, "stages"), PyList::new(py, stages)?)?;
    dict.set_item(intern!(py, "fallback_reason"), output.fallback)?;
    dict.set_item(intern!(py, "settled"), output.settled)?;
    dict.set_item(intern!(py, "redraws"), output.redraws)?;
    dict.set_item(
        intern!(py, "forward"),
        output.forward.map(|forward| forward_to_dict(py, forward)).transpose()?,
    )?;
    dict.set_item(
        intern!(py, "inference"),
        output.inference.map(|kept| inference_to_dict(py, kept)).transpose()?,
    )?;
    Ok(dict)
}

fn forward_to_dict(py: Python<'_>, forward: ForwardError) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("coordinate_bound", to_numpy::<f64>(py, forward.coordinate_bound)?)?;
    dict.set_item("error_estimate", to_numpy::<f64>(py, forward.error_estimate)?)?;
    dict.set_item("fit_bound", forward.fit_bound)?;
    dict.set_item("residual_bounds", forward.residual_bounds)?;
    dict.set_item("sensitivity", forward.sensitivity)?;
    dict.set_item("confidence", forward.confidence)?;
    dict.set_item("smallest_eigenvalue", forward.low)?;
    dict.set_item("objection", forward.objection)?;
    Ok(dict)
}

fn inference_to_dict(py: Python<'_>, inference: Inference) -> PyResult<Bound<'_, PyDict>> {
    let factors = inference.factors.into_iter().map(|factor| to_numpy::<f64>(py, factor));
    let dict = PyDict::new(py);
    dict.set_item("factors", gathered(factors, "factors")?)?;
    dict.set_item("ridges", inference.ridges)?;
    dict.set_item("factor_of", inference.factor_of)?;
    dict.set_item("means", inference.means.map(|means| means.into_pyarray(py)))?;
    dict.set_item("weight_norm", inference.weight_norm)?;
    dict.set_item("observations", inference.observations)?;
    dict.set_item("target_norm", inference.target_norm.into_pyarray(py))?;
    Ok(dict)
}
