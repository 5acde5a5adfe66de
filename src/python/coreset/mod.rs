//! Bindings of [`crate::coreset`]: `scores`, `sensitivities`, `sample`, `streaming`, and `regression` in the p-norm.

/// What is made of a matrix of either precision and of the weights of its rows, on threads and listening to the host.
macro_rules! of_weighted_rows {
    ($py:expr, $a:expr, $weights:expr, $threads:expr, $progress:expr,
        |$context:ident, $rows:ident, $of_rows:ident| $work:expr) => {{
        use $crate::python::convert::{AnyInput, Vector, either_precision};
        let weights = Vector::extract_optional($weights, "sample_weight")?;
        either_precision!(AnyInput::extract($a, "A")?, |a| {
            $crate::python::enter::enter($py, $threads, $progress, |$context| {
                $crate::linalg::make_workspace()?;
                let ($rows, $of_rows) = (a.view(), weights.as_ref().map(Vector::as_slice));
                $work
            })?
        })
    }};
}

pub mod regression;
pub mod sample;
pub mod scores;
pub mod sensitivities;
pub mod streaming;
