//! Linear operators of the caller: products made by Python code.

use crate::error::{Error, Result};
use crate::matrix::{LinearOperator, Mat, Matrix};
use crate::python::convert::{Input, to_numpy};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::sync::OnceLock;

/// A `nearlin._operator.Operator`, which checks what the caller's methods return.
#[derive(Debug)]
pub struct Operator {
    object: Py<PyAny>,
    shape: (usize, usize),
    /// What the caller's code raised.
    raised: OnceLock<PyErr>,
}

impl Operator {
    /// The operator that `object` is, if it is one.
    pub fn extract(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        if !object.is_instance(CLASS.import(object.py(), "nearlin._operator", "Operator")?)? {
            return Ok(None);
        }
        let shape = object.getattr("shape")?.extract()?;
        Ok(Some(Self { object: object.clone().unbind(), shape, raised: OnceLock::new() }))
    }

    /// The exception that ended the work, if it was the caller's.
    pub fn into_raised(self) -> Option<PyErr> {
        self.raised.into_inner()
    }

    /// What the method `name` makes of `x`: a matrix of `nrows` rows and as many columns.
    fn call(&self, name: &str, x: Mat<f64>, nrows: usize) -> Result<Mat<f64>> {
        let ncols = x.ncols();
        let outcome = Python::attach(|py| {
            let product = self.object.bind(py).call_method1(name, (to_numpy::<f64>(py, x)?,))?;
            Input::<f64>::extract(&product, "A")
        });
        let product = outcome.map_err(|raised| {
            // Only one thread asks for products, so the cell is still empty.
            let _ = self.raised.set(raised);
            Error::Interrupted
        })?;
        match product.view() {
            Matrix::Dense(view) if (view.nrows(), view.ncols()) == (nrows, ncols) => {
                Mat::from_fn(nrows, ncols, |i, j| view.get(i, j))
            }
            _ => Err(Error::Internal(format!("`{name}` gave no matrix of shape ({nrows}, {ncols})"))),
        }
    }
}

impl LinearOperator for Operator {
    fn nrows(&self) -> usize {
        self.shape.0
    }

    fn ncols(&self) -> usize {
        self.shape.1
    }

    fn product(&self, x: Mat<f64>) -> Result<Mat<f64>> {
        self.call("product", x, self.shape.0)
    }

    fn transposed_product(&self, y: Mat<f64>) -> Result<Mat<f64>> {
        self.call("transposed_product", y, self.shape.1)
    }
}
