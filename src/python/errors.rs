//! Errors of the core as exceptions of `nearlin.exceptions`, where the classes are defined: the stable
//! ABI of Python 3.11 cannot subclass built-in exceptions from here.

use crate::error::Error;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::IntoPyDict;

static EXCEPTIONS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let class = match &error {
            Error::Interrupted => return PyKeyboardInterrupt::new_err(()),
            Error::Internal(_) => "InternalError",
            Error::Shape { .. } => "ShapeError",
            Error::Value { .. } | Error::Changed(_) => "InvalidInputError",
            Error::NonFinite { .. } => "NonFiniteError",
            Error::Allocation { .. } => "AllocationError",
            Error::State(_) | Error::Busy(_) => "StateError",
        };
        let mut message = error.complaint();
        if let Error::Internal(_) = error {
            let version = env!("CARGO_PKG_VERSION");
            message +=
                &format!("; a defect of nearlin {version}: please report it with the call that led here");
        }
        exception(class, error.argument(), message)
    }
}

/// An argument that is not of a kind that the library takes.
pub fn type_error(argument: &str, found: impl std::fmt::Display, expected: &str) -> PyErr {
    exception("InvalidTypeError", Some(argument), format!("is {found}, expected {expected}"))
}

fn exception(class: &str, argument: Option<&str>, message: String) -> PyErr {
    Python::attach(|py| {
        let module = EXCEPTIONS.get_or_try_init(py, || py.import("nearlin.exceptions").map(Bound::unbind))?;
        let class = module.bind(py).getattr(class)?;
        Ok(PyErr::from_value(class.call((message,), Some(&[("argument", argument)].into_py_dict(py)?))?))
    })
    .unwrap_or_else(|error: PyErr| error)
}
