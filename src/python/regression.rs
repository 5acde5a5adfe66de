//! Bindings of [`crate::regression`].

use super::convert::{
    AnyInput, Arrays, Input, Vector, either_precision, is_single, owned, to_array, to_numpy,
};
use super::enter::enter;
use super::names::{method_named, precision_named, preconditioner_named, sketch_named};
use super::operator::Operator;
use crate::error::Error;
use crate::matrix::{LinearOperator, Real};
use crate::memory::gathered;
use crate::regression::{self, ForwardError, Inference, Output, Params, Problem, Sketchable};
use crate::simd;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Least squares; see `nearlin.lstsq`.
#[pyfunction]
#[pyo3(signature = (a, b, *, method, sample_weight, ridge, rcond, sketch, sketch_size, tol, max_iter, seed, threads, fit_intercept, keep_factor, certify, preconditioner, dtype_work, progress))]
pub fn lstsq<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    method: &str,
    sample_weight: Option<&Bound<'py, PyAny>>,
    ridge: &Bound<'py, PyAny>,
    rcond: Option<f64>,
    sketch: Option<&str>,
    sketch_size: Option<usize>,
    tol: Option<f64>,
    max_iter: Option<usize>,
    seed: u64,
    threads: usize,
    fit_intercept: bool,
    keep_factor: bool,
    certify: bool,
    preconditioner: Option<&str>,
    dtype_work: Option<&str>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let params = Params {
        method: method_named(method)?,
        rcond,
        sketch: sketch.map(sketch_named).transpose()?,
        sketch_size,
        tolerance: tol,
        max_iter,
        seed,
        keep_factor,
        preconditioner: preconditioner.map(preconditioner_named).transpose()?,
        dtype_work: dtype_work.map(precision_named).transpose()?,
        certify,
    };
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let ridge = Vector::<f64>::extract(ridge, "ridge")?;
    let call = Call { weights: weights.as_ref(), ridge: ridge.as_slice(), fit_intercept };
    if let Some(operator) = Operator::extract(a)? {
        return either_precision!(AnyInput::extract(b, "b")?, |b| {
            call.lstsq_by_products(py, operator, &b, &params, threads, progress)
        });
    }
    let a = AnyInput::extract(a, "A")?;
    let single = a.is_single();
    let output = either_precision!(a, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, threads, progress, |context| regression::lstsq(context, &call.problem(&a, &b)?, &params))?
    });
    to_dict(py, output, single)
}

/// A second look at the answers `x`; see `nearlin.lstsq`.
#[pyfunction]
#[pyo3(signature = (a, b, x, *, sample_weight, ridge, rcond, seed, threads))]
pub fn verify<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    ridge: &Bound<'py, PyAny>,
    rcond: Option<f64>,
    seed: u64,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let ridge = Vector::<f64>::extract(ridge, "ridge")?;
    let call = Call { weights: weights.as_ref(), ridge: ridge.as_slice(), fit_intercept: false };
    let x = owned(x, "x")?;
    let found = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, threads, None, |context| {
            regression::verify(context, &call.problem(&a, &b)?, &x, rcond, seed)
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

/// What a linear model says of sparse samples, a row for each; see `nearlin.LinearRegression.predict`.
#[pyfunction]
#[pyo3(signature = (a, coefficients, intercept, *, single, threads))]
pub fn predict<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    coefficients: &Bound<'py, PyAny>,
    intercept: &Bound<'py, PyAny>,
    single: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let coefficients = owned(coefficients, "coefficients")?;
    let intercept = Vector::<f64>::extract(intercept, "intercept")?;
    let intercept = intercept.as_slice();
    let predicted = if is_single(a, "A")? {
        let a = Arrays::<f32>::extract(a, "A")?;
        enter(py, threads, None, |context| {
            regression::predict(context, &a.unchecked(), &coefficients, intercept)
        })?
    } else {
        let a = Arrays::<f64>::extract(a, "A")?;
        enter(py, threads, None, |context| {
            regression::predict(context, &a.unchecked(), &coefficients, intercept)
        })?
    };
    to_array(py, predicted, single)?.getattr("T")
}

/// What `$function` of the core makes of the data of a ridge regression and of all of `alphas`, in their precision.
macro_rules! for_penalties {
    ($py:expr, $a:expr, $b:expr, $alphas:expr, $weights:expr, $fit_intercept:expr, $threads:expr, $function:path) => {{
        let weights = Vector::extract_optional($weights, "sample_weight")?;
        let alphas = Vector::<f64>::extract($alphas, "alphas")?;
        let call = Call { weights: weights.as_ref(), ridge: &[0.0], fit_intercept: $fit_intercept };
        either_precision!(AnyInput::extract($a, "A")?, |a| {
            let b = Input::extract($b, "b")?;
            enter($py, $threads, None, |context| {
                $function(context, &call.problem(&a, &b)?, alphas.as_slice())
            })?
        })
    }};
}

/// Mean squared leave-one-out errors of ridge regression, one row for each of `alphas`; see `nearlin.RidgeCV`.
#[pyfunction]
#[pyo3(signature = (a, b, *, alphas, sample_weight, fit_intercept, threads))]
pub fn ridge_loo<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    alphas: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let errors = for_penalties!(
        py,
        a,
        b,
        alphas,
        sample_weight,
        fit_intercept,
        threads,
        regression::ridge_leave_one_out
    );
    to_numpy::<f64>(py, errors)
}

/// The leave-one-out residuals themselves, times the roots of the weights: (rows, targets times alphas).
#[pyfunction]
#[pyo3(signature = (a, b, *, alphas, sample_weight, fit_intercept, threads))]
pub fn ridge_left_out<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    alphas: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let residuals =
        for_penalties!(py, a, b, alphas, sample_weight, fit_intercept, threads, regression::ridge_left_out);
    to_numpy::<f64>(py, residuals)?.getattr("T")
}

/// Coefficients, (features, alphas times targets), and intercepts of ridge regression for all of `alphas`.
#[pyfunction]
#[pyo3(signature = (a, b, *, alphas, sample_weight, fit_intercept, threads))]
pub fn ridge_path<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    alphas: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<(Bound<'py, PyAny>, Vec<f64>)> {
    let (coefficients, intercepts) =
        for_penalties!(py, a, b, alphas, sample_weight, fit_intercept, threads, regression::ridge_path);
    Ok((to_numpy::<f64>(py, coefficients)?, intercepts))
}

/// What a function hands to the core beside the arrays.
pub(super) struct Call<'c> {
    pub weights: Option<&'c Vector<f64>>,
    pub ridge: &'c [f64],
    pub fit_intercept: bool,
}

impl Call<'_> {
    /// The problem, its shapes checked.
    pub fn problem<'p, T: Real + numpy::Element>(
        &'p self,
        a: &'p Input<T>,
        b: &'p Input<T>,
    ) -> crate::error::Result<Problem<'p, T>> {
        let design = a.view();
        self.problem_of(design, design.nrows(), b)
    }

    /// The problem of anything that has `nrows` rows.
    fn problem_of<'p, T: Real + numpy::Element, M>(
        &'p self,
        design: M,
        nrows: usize,
        b: &'p Input<T>,
    ) -> crate::error::Result<Problem<'p, T, M>> {
        let targets = b.dense_view("b")?;
        let weights = self.weights.map(Vector::as_slice);
        match weights {
            Some(weights) if weights.len() != nrows => {
                Err(Error::shape("sample_weight", format!("length {}", weights.len()), nrows))
            }
            _ => {
                Ok(Problem { design, targets, weights, ridge: self.ridge, fit_intercept: self.fit_intercept })
            }
        }
    }

    /// What the caller's products raise goes through unchanged.
    fn lstsq_by_products<'py, T: Real + numpy::Element + simd::Element + Sketchable>(
        &self,
        py: Python<'py>,
        operator: Operator,
        b: &Input<T>,
        params: &Params,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let outcome = enter(py, threads, progress, |context| {
            let design: &dyn LinearOperator = &operator;
            regression::lstsq(context, &self.problem_of(design, design.nrows(), b)?, params)
        });
        match operator.into_raised() {
            Some(raised) => Err(raised),
            None => to_dict(py, outcome?, T::as_f64(&[]).is_none()),
        }
    }
}

fn to_dict(py: Python<'_>, output: Output, single: bool) -> PyResult<Bound<'_, PyDict>> {
    let array = |values: Vec<f64>| -> Bound<'_, PyArray1<f64>> { values.into_pyarray(py) };
    let dict = PyDict::new(py);
    dict.set_item("x", to_array(py, output.x, single)?)?;
    dict.set_item("intercept", array(output.intercept))?;
    dict.set_item("residual_norm", array(output.residual_norm))?;
    dict.set_item("rank", output.rank)?;
    dict.set_item("constant", output.constant)?;
    dict.set_item("method", output.method.name())?;
    dict.set_item("n_iter", output.n_iter)?;
    dict.set_item("sketch_size", output.sketch_size)?;
    dict.set_item("backward_error", array(output.backward_error))?;
    dict.set_item("backward_error_bound", array(output.backward_error_bound))?;
    dict.set_item("condition", output.condition)?;
    dict.set_item("target", output.target)?;
    dict.set_item("floor", output.floor)?;
    dict.set_item("confidence", output.confidence)?;
    dict.set_item("cut", output.cut)?;
    dict.set_item("columns", output.columns.describe())?;
    dict.set_item("explanation", output.explanation)?;
    let stages = output.stages.iter().map(|stage| (stage.name, stage.seconds, stage.reads));
    dict.set_item("stages", PyList::new(py, stages)?)?;
    dict.set_item("fallback_reason", output.fallback)?;
    dict.set_item("settled", output.settled)?;
    dict.set_item("redraws", output.redraws)?;
    dict.set_item("forward", output.forward.map(|forward| forward_to_dict(py, forward)).transpose()?)?;
    dict.set_item("inference", output.inference.map(|kept| inference_to_dict(py, kept)).transpose()?)?;
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
