//! The Python extension module `nearlin._core`: private, flat, and thin.
//!
//! | file | what it does |
//! |---|---|
//! | [`enter`] | detaches from the interpreter, catches panics, listens for Ctrl-C, reports progress |
//! | [`convert`] | NumPy and SciPy objects as matrix views, words as values, results as NumPy arrays |
//! | [`operator`] | linear operators of the caller |
//! | [`errors`] | errors of the core as exceptions |
//! | [`products`] | products with blocks of vectors, for tests and benches |
//! | [`sketch`] | sketches |
//! | [`regression`], [`streaming`], [`svd`], [`coreset`], [`completion`] | a folder for each column, with the words of its options |
//!
//! Arguments are validated in Python (`nearlin/_validation.py`); what is checked again here guards memory.

pub mod completion;
pub mod convert;
pub mod coreset;
pub mod enter;
pub mod errors;
pub mod operator;
pub mod products;
pub mod regression;
pub mod sketch;
pub mod streaming;
pub mod svd;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use super::completion::MatrixCompletionModel;
    #[pymodule_export]
    use super::completion::ids::{find_ids, merge_entries, number_ids, order_names};
    #[pymodule_export]
    use super::completion::implicit::{implicit_als, implicit_fold_in};
    #[pymodule_export]
    use super::completion::soft::{soft_impute, svt_denoise};
    #[pymodule_export]
    use super::convert::check_sparse;
    #[pymodule_export]
    use super::coreset::regression::{huber_regression, lp_excess, p_norm_regression, quantile_regression};
    #[pymodule_export]
    use super::coreset::sample::{draw_rows, sample_rows};
    #[pymodule_export]
    use super::coreset::scores::{leverage_scores, lewis_weights};
    #[pymodule_export]
    use super::coreset::sensitivities::{
        approximate_sensitivities, max_sensitivity, sensitivity_bounds, total_sensitivity,
    };
    #[pymodule_export]
    use super::coreset::streaming::CoresetStream;
    #[pymodule_export]
    use super::products::PyProducts;
    #[pymodule_export]
    use super::regression::covariance::{lstsq_covariance, lstsq_robust_covariance};
    #[pymodule_export]
    use super::regression::kron::lstsq_kron;
    #[pymodule_export]
    use super::regression::linear_model::linear_predict;
    #[pymodule_export]
    use super::regression::lstsq::{lstsq, lstsq_verify};
    #[pymodule_export]
    use super::regression::parts::{
        lstsq_by_parts, lstsq_merged_sums, lstsq_sums_of_part, ridge_cv_by_parts,
    };
    #[pymodule_export]
    use super::regression::ridge::{ridge_cv, ridge_left_out, ridge_path};
    #[pymodule_export]
    use super::regression::sketch_and_solve::{
        LeastSquaresStream, sketch_and_solve_eps, sketch_and_solve_rows,
    };
    #[pymodule_export]
    use super::regression::triangular::TriangularStream;
    #[pymodule_export]
    use super::sketch::tensor::TensorSketch;
    #[pymodule_export]
    use super::sketch::{Sketch, SketchAccumulator};
    #[pymodule_export]
    use super::streaming::{StreamingPCARefinement, StreamingPCAState};
    #[pymodule_export]
    use super::svd::svds;
    #[pymodule_export]
    use super::svd::updates::TruncatedSVDState;
    #[pymodule_export]
    use super::{instruction_set, matrix_unit, usable_cpus};
}

/// The number of processors that this process may use, as affinity and control groups have it.
#[pyfunction]
fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What multiplies digits.
#[pyfunction]
fn matrix_unit() -> &'static str {
    crate::linalg::matrix_unit()
}

/// The instruction set that the kernels run on.
#[pyfunction]
fn instruction_set() -> &'static str {
    crate::simd::instruction_set().name()
}
