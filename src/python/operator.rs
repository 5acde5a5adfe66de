//! Linear operators of the caller: products made by Python code.

use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, LinearOperator, Mat, Matrix};
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

    /// out = what the method `name` makes of `x`, which it may keep.
    fn call(&self, name: &str, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        let (x, shape) = (Mat::copy_of(x)?, (out.nrows(), out.ncols()));
        let outcome = Python::attach(|py| {
            let product = self.object.bind(py).call_method1(name, (to_numpy::<f64>(py, x)?,))?;
            let product = Input::<f64>::extract(&product, "A")?;
            Ok(match product.view() {
                Matrix::Dense(product) if (product.nrows(), product.ncols()) == shape => {
                    out.copy_from(product);
                    true
                }
                _ => false,
            })
        });
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Internal(format!("`{name}` gave no matrix of shape {shape:?}"))),
            Err(raised) => {
                // Only one thread asks for products, so the cell is still empty.
                let _ = self.raised.set(raised);
                Err(Error::Interrupted)
            }
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

    fn product(&self, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        self.call("product", x, out)
    }

    fn transposed_product(&self, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        self.call("transposed_product", y, out)
    }
}
