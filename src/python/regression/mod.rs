//! Bindings of [`crate::regression`].
//!
//! | file | what it binds |
//! |---|---|
//! | [`lstsq`] | least squares, and a second look at the answers |
//! | [`parts`] | least squares of rows in parts |
//! | [`ridge`] | ridge regression for many penalties |
//! | [`linear_model`] | predictions |
//! | [`covariance`] | covariances of the coefficients |
//! | [`kron`] | least squares with a Kronecker product |
//! | [`sketch_and_solve`] | answers from a sketch alone, of a stream |
//! | [`triangular`] | the triangular factor of a stream, and its answers |
//! | [`words`] | the words that callers type |

pub mod covariance;
pub mod kron;
pub mod linear_model;
pub mod lstsq;
pub mod parts;
pub mod ridge;
pub mod sketch_and_solve;
pub mod triangular;
pub mod words;

use super::convert::{Input, Vector};
use crate::error::Error;
use crate::matrix::Real;
use crate::regression::Problem;

/// What a function hands to the core beside the arrays.
struct Call<'c> {
    weights: Option<&'c Vector<f64>>,
    ridge: &'c [f64],
    fit_intercept: bool,
}

impl Call<'_> {
    /// The problem, its shapes checked.
    fn problem<'p, T: Real + numpy::Element>(
        &'p self,
        a: &'p Input<T>,
        b: &'p Input<T>,
    ) -> crate::error::Result<Problem<'p, T>> {
        let design = a.view();
        self.problem_of(design, design.nrows(), b)
    }

    /// The problem of anything that has `nrows` rows.
    fn problem_of<'p, T: Real + numpy::Element, M>(
        &'p self,
        design: M,
        nrows: usize,
        b: &'p Input<T>,
    ) -> crate::error::Result<Problem<'p, T, M>> {
        let targets = b.dense_view("b")?;
        let weights = self.weights.map(Vector::as_slice);
        match weights {
            Some(weights) if weights.len() != nrows => {
                Err(Error::shape("sample_weight", format!("length {}", weights.len()), nrows))
            }
            _ => {
                Ok(Problem { design, targets, weights, ridge: self.ridge, fit_intercept: self.fit_intercept })
            }
        }
    }
}
