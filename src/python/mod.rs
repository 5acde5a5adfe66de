//! The Python extension module `nearlin._core`: private, flat, and thin.
//!
//! | file | what it does |
//! |---|---|
//! | [`enter`] | detaches from the interpreter, catches panics, listens for Ctrl-C, reports progress |
//! | [`convert`] | NumPy and SciPy objects as matrix views, results as NumPy arrays |
//! | [`operator`] | linear operators of the caller |
//! | [`errors`] | errors of the core as exceptions |
//! | [`names`] | the words that callers type |
//! | [`regression`], [`sketch`] | one thin file per column |
//! | [`covariance`], [`sketch_and_solve`] | more of the regression column |
//! | [`kron`] | what works on the factors of a Kronecker product |
//!
//! Arguments are validated in Python (`nearlin/_validation.py`); what is checked again here guards memory.

pub mod convert;
pub mod covariance;
pub mod enter;
pub mod errors;
pub mod kron;
pub mod names;
pub mod operator;
pub mod regression;
pub mod sketch;
pub mod sketch_and_solve;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use super::convert::check_sparse;
    #[pymodule_export]
    use super::covariance::{covariance, robust_covariance};
    #[pymodule_export]
    use super::kron::{TensorSketch, lstsq_kron};
    #[pymodule_export]
    use super::regression::{lstsq, predict, ridge_left_out, ridge_loo, ridge_path, verify};
    #[pymodule_export]
    use super::sketch::{Accumulator, Sketch};
    #[pymodule_export]
    use super::sketch_and_solve::{LeastSquaresStream, eps_of_rows, row_count};
    #[pymodule_export]
    use super::{instruction_set, usable_cpus};
}

/// The number of processors that this process may use, as affinity and control groups have it.
#[pyfunction]
fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The instruction set that the kernels run on.
#[pyfunction]
fn instruction_set() -> &'static str {
    crate::simd::instruction_set().name()
}
