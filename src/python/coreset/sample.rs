//! Bindings of samples of rows.

use crate::coreset::{self, Draw, Drawn, Plan, Rule, Sample, SampleParams, Size};
use crate::error::Error;
use crate::linalg::make_workspace;
use crate::memory::collected;
use crate::python::convert::{AnyInput, Vector, either_precision, named, to_vector};
use crate::python::enter::enter;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A sample of rows; see `nearlin.sample_rows`. `scores` is the name of a rule, or an array.
#[pyfunction]
#[pyo3(signature = (a, *, sample_weight, p, rule, scores, size, eps, design, repeats, certify, seed, threads, progress))]
pub fn sample_rows<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    p: f64,
    rule: Option<&str>,
    scores: Option<&Bound<'py, PyAny>>,
    size: Option<usize>,
    eps: Option<f64>,
    design: &str,
    repeats: usize,
    certify: bool,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let given = Vector::<f64>::extract_optional(scores, "scores")?;
    let known = [
        ("bernoulli", Plan::Scores(Draw::Bernoulli)),
        ("fixed", Plan::Scores(Draw::Fixed)),
        ("iid", Plan::Scores(Draw::Iid)),
        ("dpp", Plan::Determinantal(repeats)),
        ("volume", Plan::Volume),
    ];
    let design = named("design", design, &known)?;
    let size = match (size, eps) {
        (Some(size), None) => Size::Rows(size),
        (None, Some(eps)) => Size::Distortion(eps),
        _ if matches!(design, Plan::Determinantal(_)) => Size::Rank,
        _ => return Err(Error::value("size", "given beside `eps`, or neither is", "one of them").into()),
    };
    let rule = rule.map_or(Ok(Rule::Given), |rule| named("scores", rule, &Rule::NAMES))?;
    let params = SampleParams { p, rule, size, design, is_searched: certify, seed };
    let sample = either_precision!(AnyInput::extract(a, "A")?, |a| {
        enter(py, threads, progress, |context| {
            make_workspace()?;
            let (weights, given) =
                (weights.as_ref().map(Vector::as_slice), given.as_ref().map(Vector::as_slice));
            coreset::sample_rows(context, a.view(), weights, given, &params)
        })?
    });
    to_dict(py, sample)
}

/// About so many rows, each for itself with a probability that grows with its score, and what these are over one.
#[pyfunction]
#[pyo3(signature = (scores, *, size, seed))]
pub fn draw_rows<'py>(
    py: Python<'py>,
    scores: &Bound<'py, PyAny>,
    size: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyTuple>> {
    let scores = Vector::<f64>::extract(scores, "scores")?;
    let drawn =
        enter(py, 1, None, |context| coreset::draw(context, scores.as_slice(), size, Draw::Bernoulli, seed))?;
    (indices_of(py, &drawn)?, drawn.weights.into_pyarray(py)).into_pyobject(py)
}

fn indices_of<'py>(py: Python<'py>, drawn: &Drawn) -> PyResult<Bound<'py, PyArray1<i64>>> {
    Ok(collected(drawn.indices.iter().map(|&i| i as i64), "a sample of rows")?.into_pyarray(py))
}

fn to_dict(py: Python<'_>, sample: Sample) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("indices", indices_of(py, &sample.drawn)?)?;
    dict.set_item("weights", sample.drawn.weights.into_pyarray(py))?;
    dict.set_item("expected_size", sample.drawn.expected)?;
    dict.set_item("scores", to_vector(py, sample.scores)?)?;
    dict.set_item("rank", sample.rank)?;
    dict.set_item("exact", sample.exact)?;
    dict.set_item("found", sample.found)?;
    dict.set_item("bound", sample.bound)?;
    dict.set_item("rounding", sample.rounding)?;
    dict.set_item("is_cut", sample.is_cut)?;
    Ok(dict)
}
