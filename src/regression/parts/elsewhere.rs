//! Rows that are elsewhere, as the solvers see them: a matrix of which passes are had, and nothing else.

use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Mat, Products, Real, Source};
use crate::memory::copied;
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::{Pass, Passes, SUMS, Sides};
use crate::regression::loo::left_out::LeftOut;
use crate::regression::parts::first::First;
use crate::regression::parts::point::Point;
use crate::regression::parts::sums::{Question, Sums};
use std::ops::Range;

/// Rows of [A, B] with their weights, in parts that somebody has.
///
/// Only the thread that entered the library asks, never a worker.
pub trait Parts: Sync {
    /// What [`sums_of_part`](super::sums_of_part) makes of a question for every part, merged by
    /// [`merged_sums`](super::merged_sums), all in bytes.
    fn ask(&self, question: &[u8]) -> Result<Vec<u8>>;
}

/// The first read of all parts, by reflections alone where products are not wanted.
pub(crate) fn first(
    context: &Context,
    parts: &dyn Parts,
    fit_intercept: bool,
    by_products: bool,
) -> Result<First> {
    match ask(context, parts, &Question::First { fit_intercept, by_products })? {
        Sums::First(first) => Ok(first),
        _ => Err(unasked()),
    }
}

fn ask(context: &Context, parts: &dyn Parts, question: &Question) -> Result<Sums> {
    let sums = parts.ask(&question.to_bytes(context)?)?;
    context.check()?;
    Sums::from_bytes(context, &sums)
}

/// An n x d matrix whose rows somebody has.
#[derive(Clone, Copy)]
pub(crate) struct Elsewhere<'p> {
    pub parts: &'p dyn Parts,
    pub shape: (usize, usize),
}

impl Elsewhere<'_> {
    /// Sums of squares of leave-one-out residuals, alphas x k.
    pub fn left_out(&self, context: &Context, left_out: LeftOut) -> Result<Mat<f64>> {
        match ask(context, self.parts, &Question::LeftOut(left_out))? {
            Sums::LeftOut(squares) => Ok(squares),
            _ => Err(unasked()),
        }
    }
}

/// The factor comes from the first read, so that no method that is tried asks for products.
impl Products for Elsewhere<'_> {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn product(&self, _: &Context, _: Dense<'_, f64>, _: DenseMut<'_, f64>) -> Result<()> {
        Err(no_products())
    }

    fn transposed_product(&self, _: &Context, _: Dense<'_, f64>, _: DenseMut<'_, f64>) -> Result<()> {
        Err(no_products())
    }
}

impl Source for Elsewhere<'_> {
    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        Ok(Vec::new())
    }
}

impl<T: Real> Passes<T> for Elsewhere<'_> {
    fn pass(context: &Context, design: &Design<'_, T, Self>, x: &Mat<f64>, sides: Sides<'_>) -> Result<Pass> {
        let (targets, count) = (copied(sides.targets(), SUMS)?, sides.of(x.ncols()));
        let point = Point { units: design.units()?, x: x.copy()?, targets, count };
        match ask(context, design.a.source.parts, &Question::Pass(point))? {
            Sums::Pass(pass) if pass.gradient.nrows() == x.nrows() && pass.squares.len() == x.ncols() => {
                Ok(pass)
            }
            _ => Err(unasked()),
        }
    }
}

fn no_products() -> Error {
    Error::Internal("rows that are elsewhere were to be multiplied".into())
}

fn unasked() -> Error {
    Error::State("these are not the sums that were asked for".into())
}
