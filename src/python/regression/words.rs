//! The words that callers of least squares type.

use crate::error::Result;
use crate::linalg::Precision;
use crate::python::convert::named;
use crate::regression::{Method, Preconditioner, Robust};

/// The method of that name.
pub fn method_named(name: &str) -> Result<Method> {
    named("method", name, &Method::ALL.map(|method| (method.name(), method)))
}

/// The precision of that name.
pub fn precision_named(name: &str) -> Result<Precision> {
    named("dtype_work", name, &[("float32", Precision::Single), ("float64", Precision::Double)])
}

/// The preconditioner of that name.
pub fn preconditioner_named(name: &str) -> Result<Preconditioner> {
    let known = [Preconditioner::Split, Preconditioner::Left];
    named("preconditioner", name, &known.map(|preconditioner| (preconditioner.name(), preconditioner)))
}

/// The robust covariance of that name.
pub fn robust_named(name: &str) -> Result<Robust> {
    let known = [("HC0", Robust::Hc0), ("HC1", Robust::Hc1), ("HC2", Robust::Hc2), ("HC3", Robust::Hc3)];
    named("kind", name, &known)
}
