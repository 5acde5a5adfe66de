//! Bindings of [`crate::svd`]; `updates` has those of the model that follows a matrix.

pub mod updates;

use crate::error::Result;
use crate::matrix::LinearOperator;
use crate::memory::copied;
use crate::python::convert::{AnyInput, Vector, either_precision, named, to_array};
use crate::python::enter::enter;
use crate::python::operator::Operator;
use crate::svd::{self, Output, Params, Solver};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The solver of that name; `auto` is none.
pub(super) fn solver_named(name: &str) -> Result<Option<Solver>> {
    let known = [Solver::Lanczos, Solver::Randomized].map(|solver| (solver.name(), Some(solver)));
    named("solver", name, &[("auto", None), known[0], known[1]])
}

/// Truncated singular value decomposition; see `nearlin.svds`.
#[pyfunction]
#[pyo3(signature = (a, k, *, solver, tol, max_iter, seed, start, threads, progress))]
pub fn svds<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    k: usize,
    solver: &str,
    tol: f64,
    max_iter: usize,
    seed: u64,
    start: Option<&Bound<'py, PyAny>>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let start = Vector::<f64>::extract_optional(start, "v0")?;
    let start = start.map(|start| copied(start.as_slice(), "a first vector")).transpose()?;
    let params = Params { k, exact: k, solver: solver_named(solver)?, tolerance: tol, max_iter, seed, start };
    if let Some(operator) = Operator::extract(a)? {
        let outcome = enter(py, threads, progress, |context| {
            svd::svds(context, &(&operator as &dyn LinearOperator), &params)
        });
        return match operator.into_raised() {
            Some(raised) => Err(raised),
            None => to_dict(py, outcome?, None, false),
        };
    }
    let a = AnyInput::extract(a, "A")?;
    let single = a.is_single();
    let (output, energy) = either_precision!(a, |a| {
        enter(py, threads, progress, |context| {
            let view = a.view();
            let energy = svd::energy(context, &view)?;
            Ok((svd::svds(context, &view, &params)?, energy))
        })?
    });
    to_dict(py, output, energy, single)
}

fn to_dict(py: Python<'_>, output: Output, energy: Option<f64>, single: bool) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("u", to_array(py, output.u, single)?)?;
    dict.set_item("s", output.s.into_pyarray(py))?;
    dict.set_item("v", to_array(py, output.v, single)?)?;
    dict.set_item("solver", output.solver.map_or("direct", Solver::name))?;
    dict.set_item("residuals", output.residuals)?;
    dict.set_item("orthogonality", output.orthogonality)?;
    dict.set_item("energy", energy)?;
    dict.set_item("n_iter", output.n_iter)?;
    dict.set_item("n_products", output.n_products)?;
    Ok(dict)
}
