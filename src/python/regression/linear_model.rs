//! Bindings of what a fitted linear model does.

use crate::python::convert::{Arrays, Vector, is_single, owned, to_array};
use crate::python::enter::enter;
use crate::regression;
use pyo3::prelude::*;

/// What a linear model says of sparse samples, a row for each; see `nearlin.LinearRegression.predict`.
#[pyfunction]
#[pyo3(signature = (a, coefficients, intercept, *, single, threads))]
pub fn linear_predict<'py>(
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
