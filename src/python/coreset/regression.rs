//! Bindings of regression in the p-norm.

use crate::coreset::lp::{self, CheckParams, HuberOutput, HuberParams, Method, Output, Params, Problem};
use crate::error::{Error, Result};
use crate::matrix::Real;
use crate::memory::gathered;
use crate::python::convert::{AnyInput, Input, Vector, either_precision, named};
use crate::python::enter::enter;
use numpy::{Element, IntoPyArray};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// The method of that name.
fn method_named(name: &str) -> Result<Method> {
    named("method", name, &[Method::Exact, Method::Full].map(|method| (method.name(), method)))
}

/// The shapes of a problem, checked.
fn problem<'p, T: Real + Element>(
    a: &'p Input<T>,
    b: &'p Vector<T>,
    weights: Option<&'p Vector<f64>>,
    fit_intercept: bool,
    penalty: f64,
) -> Result<Problem<'p, T>> {
    let (matrix, target) = (a.view(), b.as_slice());
    let weights = weights.map(Vector::as_slice);
    for (name, len) in [("b", target.len()), ("sample_weight", weights.map_or(target.len(), <[f64]>::len))] {
        if len != matrix.nrows() {
            return Err(Error::shape(name, format!("length {len}"), matrix.nrows()));
        }
    }
    Ok(Problem { matrix, target, weights, fit_intercept, penalty })
}

/// Quantile regression at one level after the other; see `nearlin.lp_regression`.
#[pyfunction]
#[pyo3(signature = (a, b, *, levels, method, tol, max_iter, seed, sample_weight, fit_intercept, penalty, threads, progress))]
pub fn quantile_regression<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    levels: Vec<f64>,
    method: &str,
    tol: f64,
    max_iter: usize,
    seed: u64,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    penalty: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let params = Params { method: method_named(method)?, tolerance: tol, max_iter, seed };
    let outputs = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Vector::extract(b, "b")?;
        enter(py, threads, progress, |context| {
            let problem = problem(&a, &b, weights.as_ref(), fit_intercept, penalty)?;
            lp::quantiles(context, &problem, &levels, &params)
        })?
    });
    let dicts = gathered(outputs.into_iter().map(|output| to_dict(py, output)), "answers")?;
    PyList::new(py, dicts)
}

/// Regression in the p-norm for 1 < p <= infinity; see `nearlin.lp_regression`.
#[pyfunction]
#[pyo3(signature = (a, b, *, p, tol, max_iter, sample_weight, fit_intercept, threads, progress))]
pub fn p_norm_regression<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    p: f64,
    tol: f64,
    max_iter: usize,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let params = Params { method: Method::Full, tolerance: tol, max_iter, seed: 0 };
    let output = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Vector::extract(b, "b")?;
        enter(py, threads, progress, |context| {
            let problem = problem(&a, &b, weights.as_ref(), fit_intercept, 0.0)?;
            lp::p_norm(context, &problem, p, &params)
        })?
    });
    to_dict(py, output)
}

/// What coefficients are worth on all rows, those of one level after the other for p = 1; see `nearlin.lp_regression`.
#[pyfunction]
#[pyo3(signature = (a, b, x, *, scores, p, levels, resolution, max_iter, sample_weight, threads))]
pub fn lp_excess<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    x: Vec<Vec<f64>>,
    scores: &Bound<'py, PyAny>,
    p: f64,
    levels: Vec<f64>,
    resolution: f64,
    max_iter: usize,
    sample_weight: Option<&Bound<'py, PyAny>>,
    threads: usize,
) -> PyResult<Bound<'py, PyList>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let scores = Vector::extract(scores, "scores")?;
    let params = CheckParams { scores: scores.as_slice(), resolution, max_iter };
    let outputs = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Vector::extract(b, "b")?;
        enter(py, threads, None, |context| {
            let problem = problem(&a, &b, weights.as_ref(), false, 0.0)?;
            if params.scores.len() != problem.matrix.nrows() {
                let found = format!("length {}", params.scores.len());
                return Err(Error::shape("scores", found, problem.matrix.nrows()));
            }
            for x in &x {
                if x.len() != problem.matrix.ncols() {
                    return Err(Error::shape("x", format!("length {}", x.len()), problem.matrix.ncols()));
                }
            }
            if p == 1.0 {
                return lp::check_quantiles(context, &problem, &levels, &x, &params);
            }
            let each = x.iter().map(|x| lp::check_p_norm(context, &problem, p, x, &params));
            gathered(each, "answers")
        })?
    });
    let dicts = gathered(outputs.into_iter().map(|output| to_dict(py, output)), "answers")?;
    PyList::new(py, dicts)
}

/// Huber regression, with a scale or one that is fitted; see `nearlin.HuberRegressor`.
#[pyfunction]
#[pyo3(signature = (a, b, *, epsilon, alpha, scale, tol, max_iter, sample_weight, fit_intercept, threads))]
pub fn huber_regression<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    epsilon: f64,
    alpha: f64,
    scale: Option<f64>,
    tol: f64,
    max_iter: usize,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let params = HuberParams { epsilon, alpha, scale, tolerance: tol, max_iter };
    let output = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Vector::extract(b, "b")?;
        enter(py, threads, None, |context| {
            let problem = problem(&a, &b, weights.as_ref(), fit_intercept, 0.0)?;
            lp::huber(context, &problem, &params)
        })?
    });
    let HuberOutput {
        x,
        intercept,
        scale,
        objective,
        gap,
        rounding,
        slope,
        n_iter,
        at_floor,
        is_fitted,
        size,
    } = output;
    let dict = PyDict::new(py);
    dict.set_item("x", x.into_pyarray(py))?;
    dict.set_item("intercept", intercept)?;
    dict.set_item("scale", scale)?;
    dict.set_item("objective", objective)?;
    dict.set_item("gap", gap)?;
    dict.set_item("rounding", rounding)?;
    dict.set_item("slope", slope)?;
    dict.set_item("n_iter", n_iter)?;
    dict.set_item("at_floor", at_floor)?;
    dict.set_item("is_fitted", is_fitted)?;
    dict.set_item("size", size)?;
    Ok(dict)
}

fn to_dict(py: Python<'_>, output: Output) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("x", output.x.into_pyarray(py))?;
    dict.set_item("intercept", output.intercept)?;
    dict.set_item("objective", output.objective)?;
    dict.set_item("gap", output.gap)?;
    dict.set_item("rounding", output.rounding)?;
    dict.set_item("n_iter", output.n_iter)?;
    dict.set_item("kept", output.kept)?;
    dict.set_item("rounds", output.rounds)?;
    dict.set_item("rank", output.rank)?;
    dict.set_item("size", output.size)?;
    Ok(dict)
}
