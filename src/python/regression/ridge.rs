//! Bindings of ridge regression for many penalties.

use super::Call;
use super::lstsq::to_dict;
use crate::python::convert::{AnyInput, Input, Vector, either_precision, to_numpy};
use crate::python::enter::enter;
use crate::regression::{self, Params, RidgeChoice};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What `$function` of the core makes of the data of a ridge regression and of all of `alphas`, in their precision.
macro_rules! for_penalties {
    (
        $py:expr,
        $a:expr,
        $b:expr,
        $alphas:expr,
        $weights:expr,
        $fit_intercept:expr,
        $threads:expr,
        $function:path $(, $more:expr)*
    ) => {{
        let weights = Vector::extract_optional($weights, "sample_weight")?;
        let alphas = Vector::<f64>::extract($alphas, "alphas")?;
        let call = Call { weights: weights.as_ref(), ridge: &[0.0], fit_intercept: $fit_intercept };
        either_precision!($a, |a| {
            let b = Input::extract($b, "b")?;
            enter($py, $threads, None, |context| {
                $function(context, &call.problem(&a, &b)?, alphas.as_slice() $(, $more)*)
            })?
        })
    }};
}

/// Mean squared leave-one-out errors of ridge regression, one row for each of `alphas`, the positions of those that these
/// choose, for all targets or for each `apart`, and the fit with them; see `nearlin.RidgeCV`.
#[pyfunction]
#[pyo3(signature = (a, b, options, *, apart, alphas, sample_weight, fit_intercept, threads))]
pub fn ridge_cv<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    options: Params,
    apart: bool,
    alphas: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<(Bound<'py, PyAny>, Vec<usize>, Bound<'py, PyDict>)> {
    let a = AnyInput::extract(a, "A")?;
    let single = a.is_single();
    let RidgeChoice { errors, chosen, output } = for_penalties!(
        py,
        a,
        b,
        alphas,
        sample_weight,
        fit_intercept,
        threads,
        regression::ridge_cv,
        apart,
        &options
    );
    Ok((to_numpy::<f64>(py, errors)?, chosen, to_dict(py, output, single)?))
}

/// The leave-one-out residuals, one for each row and each of `alphas`, times the roots of the weights: (rows, targets times alphas).
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
    let residuals = for_penalties!(
        py,
        AnyInput::extract(a, "A")?,
        b,
        alphas,
        sample_weight,
        fit_intercept,
        threads,
        regression::ridge_left_out
    );
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
    let (coefficients, intercepts) = for_penalties!(
        py,
        AnyInput::extract(a, "A")?,
        b,
        alphas,
        sample_weight,
        fit_intercept,
        threads,
        regression::ridge_path
    );
    Ok((to_numpy::<f64>(py, coefficients)?, intercepts))
}
