//! Bindings of the covariances of [`crate::regression`].

use super::Call;
use super::words::robust_named;
use crate::matrix::Mat;
use crate::memory::gathered;
use crate::python::convert::{AnyInput, Input, Vector, either_precision, owned, to_numpy};
use crate::python::enter::enter;
use crate::regression::{self, Covariance, CovarianceFit};
use pyo3::prelude::*;

/// Matrices, degrees of freedom, and rows that the fit passes through.
type Found<'py> = (Vec<Bound<'py, PyAny>>, f64, Vec<usize>);

/// Covariances for noise of equal variance; see `nearlin.LinearRegression.cov_params`.
#[pyfunction]
#[pyo3(signature = (factor, residual_norm, *, ridge, means, weight_norm, observations))]
pub fn lstsq_covariance<'py>(
    py: Python<'py>,
    factor: &Bound<'py, PyAny>,
    residual_norm: &Bound<'py, PyAny>,
    ridge: f64,
    means: Option<&Bound<'py, PyAny>>,
    weight_norm: f64,
    observations: usize,
) -> PyResult<Found<'py>> {
    let fitted = Fitted::extract(factor, means)?;
    let norms = Vector::<f64>::extract(residual_norm, "residual_norm")?;
    let found = enter(py, 1, None, |_| {
        regression::covariance(&fitted.fit(ridge, weight_norm, observations), norms.as_slice())
    })?;
    to_tuple(py, found)
}

/// Covariances for noise of any variances; see `nearlin.LinearRegression.cov_params`.
#[pyfunction]
#[pyo3(signature = (a, b, factor, coefficients, residual_norm, *, kind, ridge, means, weight_norm, observations, sample_weight, threads))]
pub fn lstsq_robust_covariance<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    factor: &Bound<'py, PyAny>,
    coefficients: &Bound<'py, PyAny>,
    residual_norm: &Bound<'py, PyAny>,
    kind: &str,
    ridge: f64,
    means: Option<&Bound<'py, PyAny>>,
    weight_norm: f64,
    observations: usize,
    sample_weight: Option<&Bound<'py, PyAny>>,
    threads: usize,
) -> PyResult<Found<'py>> {
    let robust = robust_named(kind)?;
    let fitted = Fitted::extract(factor, means)?;
    let fit = fitted.fit(ridge, weight_norm, observations);
    let coefficients = owned(coefficients, "coefficients")?;
    let norms = Vector::<f64>::extract(residual_norm, "residual_norm")?;
    let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
    let call = Call { weights: weights.as_ref(), ridge: &[ridge], fit_intercept: fit.means.is_some() };
    let found = either_precision!(AnyInput::extract(a, "A")?, |a| {
        let b = Input::extract(b, "b")?;
        enter(py, threads, None, |context| {
            let problem = call.problem(&a, &b)?;
            regression::robust_covariance(context, &problem, &fit, &coefficients, norms.as_slice(), robust)
        })?
    });
    to_tuple(py, found)
}

/// The arrays of a fit.
struct Fitted {
    factor: Mat<f64>,
    means: Option<Vector<f64>>,
}

impl Fitted {
    fn extract(factor: &Bound<'_, PyAny>, means: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let factor = owned(factor, "factor")?;
        let means = Vector::extract_optional(means, "means")?;
        Ok(Self { factor, means })
    }

    fn fit(&self, ridge: f64, weight_norm: f64, observations: usize) -> CovarianceFit<'_> {
        let means = self.means.as_ref().map(Vector::as_slice);
        CovarianceFit { factor: &self.factor, ridge, means, weight_norm, observations }
    }
}

fn to_tuple(py: Python<'_>, found: Covariance) -> PyResult<Found<'_>> {
    let matrices = found.matrices.into_iter().map(|matrix| to_numpy::<f64>(py, matrix));
    Ok((gathered(matrices, "covariances")?, found.freedom, found.pinned))
}
