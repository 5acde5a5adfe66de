//! What is asked of rows in parts and what they give, as bytes that can be sent.

use crate::error::{Error, Result};
use crate::matrix::{Mat, Matrix, Real};
use crate::memory::gathered;
use crate::parallel::Context;
use crate::regression::design::pass::Pass;
use crate::regression::loo::left_out::LeftOut;
use crate::regression::parts::first::First;
use crate::regression::parts::point::Point;
use crate::regression::problem::Problem;
use crate::state::{self, matrix};
use serde::{Deserialize, Serialize};

/// What is asked of every part.
#[derive(Serialize, Deserialize)]
pub(crate) enum Question {
    /// Means, if there is an intercept, and R of [A, B].
    First {
        fit_intercept: bool,
        /// Whether R may be made of products.
        by_products: bool,
    },
    Pass(Point),
    LeftOut(LeftOut),
}

/// What parts give.
#[derive(Serialize, Deserialize)]
pub(crate) enum Sums {
    First(First),
    Pass(Pass),
    /// Squares of leave-one-out residuals, alphas x k.
    LeftOut(#[serde(with = "matrix")] Mat<f64>),
}

/// Kinds and version of the byte forms.
const QUESTION: &str = "question of rows";
const SUMS: &str = "sums over rows";
const VERSION: u32 = 1;

/// What the bytes of a question come to for the rows of one part, as bytes. Of the problem, ridges and whether there is
/// an intercept are not looked at.
pub fn sums_of_part<T: Real>(
    context: &Context,
    question: &[u8],
    problem: &Problem<'_, T>,
) -> Result<Vec<u8>> {
    let question = state::from_bytes(context, QUESTION, VERSION, question)?;
    let sums = match problem.design {
        Matrix::Sparse(sparse) => sparse.by_rows(context, |rows| {
            question_of_rows(context, &question, &Problem { design: Matrix::Sparse(*rows), ..*problem })
        })?,
        Matrix::Dense(_) => question_of_rows(context, &question, problem)?,
    };
    state::to_bytes(context, SUMS, VERSION, &sums)
}

fn question_of_rows<T: Real>(
    context: &Context,
    question: &Question,
    problem: &Problem<'_, T>,
) -> Result<Sums> {
    let (d, k) = (problem.design.ncols(), problem.targets.ncols());
    match question {
        Question::First { fit_intercept, by_products } => {
            let problem = Problem { fit_intercept: *fit_intercept, ridge: &[], ..*problem };
            First::of_part(context, &problem, *by_products).map(Sums::First)
        }
        Question::Pass(point) if point.fits(d, k) => point.pass(context, problem).map(Sums::Pass),
        Question::LeftOut(left_out) if left_out.fits(d, k) => {
            left_out.squares(context, problem).map(Sums::LeftOut)
        }
        _ => Err(Error::shape("A", format!("{d} columns and {k} targets"), "those of other parts")),
    }
}

/// What the sums of several parts, in their order, come to together: bytes from bytes.
pub fn merged_sums(context: &Context, parts: &[&[u8]]) -> Result<Vec<u8>> {
    let read = |bytes: &&[u8]| state::from_bytes(context, SUMS, VERSION, bytes);
    let parts: Vec<Sums> = gathered(parts.iter().map(read), "sums over rows")?;
    state::to_bytes(context, SUMS, VERSION, &merged(context, parts)?)
}

fn merged(context: &Context, parts: Vec<Sums>) -> Result<Sums> {
    let mut parts = parts.into_iter();
    match parts.next() {
        Some(Sums::First(first)) => {
            let mut all = Vec::from([first]);
            for part in parts {
                let Sums::First(part) = part else { return Err(unlike()) };
                crate::memory::push(&mut all, part, "sums over rows")?;
            }
            Ok(Sums::First(First::merged(context, &all)?))
        }
        Some(Sums::Pass(mut pass)) => {
            for part in parts {
                match part {
                    Sums::Pass(part) if part.is_like(&pass) => pass.add(&part),
                    _ => return Err(unlike()),
                }
            }
            Ok(Sums::Pass(pass))
        }
        Some(Sums::LeftOut(mut squares)) => {
            for part in parts {
                match part {
                    Sums::LeftOut(part) if shape(&part) == shape(&squares) => {
                        squares.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(s, p)| *s += p);
                    }
                    _ => return Err(unlike()),
                }
            }
            Ok(Sums::LeftOut(squares))
        }
        None => Err(unlike()),
    }
}

fn shape(a: &Mat<f64>) -> (usize, usize) {
    (a.nrows(), a.ncols())
}

fn unlike() -> Error {
    Error::State("these are not sums of one kind".into())
}

impl Question {
    /// As bytes.
    pub fn to_bytes(&self, context: &Context) -> Result<Vec<u8>> {
        state::to_bytes(context, QUESTION, VERSION, self)
    }
}

impl Sums {
    /// From bytes.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self> {
        state::from_bytes(context, SUMS, VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Dense;

    #[test]
    fn damaged_bytes_and_sums_of_different_kinds_are_refused() {
        let context = Context::new(1);
        let (a, b) = ([1.0, 2.0, 3.0, 5.0], [1.0, 0.0]);
        let problem = Problem {
            design: Matrix::Dense(Dense::column_major(&a, 2, 2)),
            targets: Dense::column_major(&b, 2, 1),
            weights: None,
            ridge: &[],
            fit_intercept: false,
        };
        let [with, without] = [true, false].map(|fit_intercept| {
            let question = Question::First { fit_intercept, by_products: true }.to_bytes(&context).unwrap();
            sums_of_part(&context, &question, &problem).unwrap()
        });
        assert!(merged_sums(&context, &[&with, &with]).is_ok());
        for parts in [vec![], vec![&with[..], &without[..]]] {
            assert!(matches!(merged_sums(&context, &parts), Err(Error::State(_))));
        }
        for at in 0..with.len() {
            let mut damaged = with.clone();
            damaged[at] ^= 1;
            assert!(matches!(merged_sums(&context, &[&damaged, &with]), Err(Error::State(_))), "{at}");
        }
        let point = Question::Pass(Point {
            units: crate::regression::design::parted::Units {
                means: None,
                scale: None,
                target_means: vec![0.0],
                target_scale: vec![1.0],
            },
            x: Mat::zeros(3, 1).unwrap(),
            targets: vec![0],
            count: 1,
        });
        let refused = sums_of_part(&context, &point.to_bytes(&context).unwrap(), &problem).unwrap_err();
        assert!(refused.to_string().contains("2 columns"), "{refused}");
    }
}
