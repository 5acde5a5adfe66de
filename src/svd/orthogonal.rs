//! Blocks made orthonormal to a basis and among themselves.

use crate::error::Result;
use crate::linalg::{cholesky, condition_of_upper, invert_upper, multiply_upper, norm, product};
use crate::matrix::{Dense, Mat, Products};
use crate::parallel::Context;
use crate::random::Stream;
use crate::svd::block::Block;

/// A block W = basis C + Q R.
pub(super) struct Split {
    /// Orthonormal columns, at right angles to the basis, as many as W has.
    pub q: Block,
    /// C over R.
    pub coefficients: Mat<f64>,
}

/// Columns no longer than this beside `scale` once the basis is taken off are rounding: random numbers take their place, with
/// coefficients of zero.
const NOTHING: f64 = 1e-14;
/// Beyond this condition the columns of a block are made orthonormal one at a time.
const MOST_CONDITION: f64 = 1e6;
/// Up to this condition, and from this length beside `scale` on, once is enough.
const GOOD_CONDITION: f64 = 30.0;
const LONG: f64 = 0.1;

/// Splits W, of which the columns of the basis from some number on are known to have so much. The basis and the block have no
/// more columns together than rows; `random` makes vectors by the number of the column.
pub(super) fn split(
    context: &Context,
    basis: Dense<'_, f64>,
    (first, known): (usize, &Mat<f64>),
    mut w: Block,
    scale: f64,
    random: &Stream,
) -> Result<Split> {
    let (j, b) = (basis.ncols(), w.width());
    w.subtract(context, basis.cols(first..first + known.nrows()), known.as_ref())?;
    let mut taken = w.along(context, basis)?;
    w.subtract(context, basis, taken.as_ref())?;
    for i in 0..b {
        let column = &mut taken.col_mut(i)[first..first + known.nrows()];
        column.iter_mut().zip(known.col(i)).for_each(|(sum, known)| *sum += known);
    }
    let gram = w.along(context, w.view())?;
    let length = |i: usize| norm(taken.col(i)).hypot(gram[(i, i)].max(0.0).sqrt());
    let scale = (0..b).map(length).fold(scale, f64::max);
    let r = match triangle(&gram)? {
        Some((r, condition)) if shortest(&r) > NOTHING * scale && condition <= MOST_CONDITION => {
            w.multiply(context, invert_upper(r.as_ref())?.as_ref())?;
            if condition <= GOOD_CONDITION && shortest(&r) >= LONG * scale {
                r
            } else {
                // Rounding of what was taken off has grown as much as the columns.
                let rest = w.along(context, basis)?;
                w.subtract(context, basis, rest.as_ref())?;
                let more = product(rest.as_ref(), r.as_ref())?;
                taken.as_mut_slice().iter_mut().zip(more.as_slice()).for_each(|(sum, more)| *sum += more);
                match triangle(&w.along(context, w.view())?)? {
                    Some((again, condition)) if condition <= GOOD_CONDITION => {
                        w.multiply(context, invert_upper(again.as_ref())?.as_ref())?;
                        multiply_upper(again.as_ref(), r.as_ref())?
                    }
                    _ => {
                        let orthonormal = one_by_one(context, basis, &w, NOTHING, random)?;
                        product(replaced(context, &mut w, orthonormal)?.as_ref(), r.as_ref())?
                    }
                }
            }
        }
        _ => {
            let orthonormal = one_by_one(context, basis, &w, NOTHING * scale, random)?;
            replaced(context, &mut w, orthonormal)?
        }
    };
    let coefficients =
        Mat::from_fn(j + b, b, |row, i| if row < j { taken[(row, i)] } else { r[(row - j, i)] })?;
    Ok(Split { q: w, coefficients })
}

/// Q in place of W, and Q'W.
fn replaced(context: &Context, w: &mut Block, q: Mat<f64>) -> Result<Mat<f64>> {
    let r = w.along(context, q.as_ref())?;
    *w = Block::copy_of(q.as_ref())?;
    Ok(r)
}

/// R with R'R = `gram` and its condition, if there is one.
fn triangle(gram: &Mat<f64>) -> Result<Option<(Mat<f64>, f64)>> {
    let Some(r) = cholesky(gram)? else { return Ok(None) };
    let condition = condition_of_upper(r.as_ref())?;
    Ok(Some((r, condition)))
}

/// The shortest that a column is beside those before it.
fn shortest(r: &Mat<f64>) -> f64 {
    (0..r.ncols()).map(|i| r[(i, i)]).fold(f64::INFINITY, f64::min)
}

/// W -= basis (basis'W)
fn take_off(context: &Context, basis: Dense<'_, f64>, w: &mut Block) -> Result<()> {
    let along = w.along(context, basis)?;
    w.subtract(context, basis, along.as_ref())
}

/// Q'Q
pub(super) fn gram(context: &Context, q: &Mat<f64>) -> Result<Mat<f64>> {
    let mut gram = Mat::zeros(q.ncols(), q.ncols())?;
    q.as_ref().transposed_product(context, q.as_ref(), gram.as_mut())?;
    Ok(gram)
}

/// The largest entry of Q'Q - I.
pub(super) fn departure(gram: &Mat<f64>) -> f64 {
    let k = gram.ncols();
    let entry = |(i, j): (usize, usize)| (gram[(i, j)] - f64::from(i == j)).abs();
    (0..k).flat_map(|i| (0..k).map(move |j| (i, j))).map(entry).fold(0.0, f64::max)
}

/// Gram and Schmidt, over and over, with random numbers for columns of which no more than `nothing` is left.
fn one_by_one(
    context: &Context,
    basis: Dense<'_, f64>,
    w: &Block,
    nothing: f64,
    random: &Stream,
) -> Result<Mat<f64>> {
    const PASSES: usize = 3;
    let mut q = Mat::zeros(w.nrows(), w.width())?;
    for i in 0..w.width() {
        let mut column = Block::copy_of(w.view().cols(i..i + 1))?;
        let (mut draw, mut least) = (0, nothing);
        loop {
            for _ in 0..PASSES {
                take_off(context, basis, &mut column)?;
                take_off(context, q.as_ref().cols(0..i), &mut column)?;
            }
            let left = norm(column.as_slice());
            if left > least {
                column.as_mut_slice().iter_mut().for_each(|value| *value /= left);
                break;
            }
            random.normals_of_row(((basis.ncols() + i) as u64) << 8 | draw, column.as_mut_slice());
            (draw, least) = (draw + 1, 1e-3 * norm(column.as_slice()));
        }
        // What rounding has left of the others has grown with the column.
        take_off(context, basis, &mut column)?;
        take_off(context, q.as_ref().cols(0..i), &mut column)?;
        let length = norm(column.as_slice());
        q.col_mut(i).iter_mut().zip(column.as_slice()).for_each(|(q, value)| *q = value / length);
    }
    Ok(q)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::orthonormal;
    use crate::svd::testing::numbers;

    #[test]
    fn a_block_is_its_coefficients_times_orthonormal_columns() {
        let context = Context::new(2);
        let random = Stream::new(1, 0, 0);
        let basis = orthonormal(&context, numbers(50, 6, 1)).unwrap();
        let inside = product(basis.as_ref(), numbers(6, 4, 2).as_ref()).unwrap();
        let fresh = numbers(50, 4, 3);
        let cases = [
            fresh.copy().unwrap(),
            // Of which the basis leaves little, nothing, or the same for two.
            Mat::from_fn(50, 4, |i, j| inside[(i, j)] + 1e-9 * fresh[(i, j)]).unwrap(),
            Mat::from_fn(50, 4, |i, j| 10f64.powi(-3 * j as i32) * fresh[(i, j)]).unwrap(),
            inside.copy().unwrap(),
            Mat::from_fn(50, 4, |i, j| fresh[(i, j / 2)]).unwrap(),
            Mat::from_fn(50, 4, |i, j| fresh[(i, j / 2)] + 1e-7 * fresh[(i, j)]).unwrap(),
            Mat::zeros(50, 4).unwrap(),
        ];
        for (case, w) in cases.into_iter().enumerate() {
            for known in [0, 2] {
                let known = Mat::from_fn(known, 4, |i, j| (i + 2 * j) as f64).unwrap();
                let block = Block::copy_of(w.as_ref()).unwrap();
                let Split { q, coefficients } =
                    split(&context, basis.as_ref(), (3, &known), block, 1.0, &random).unwrap();
                let q = q.view();
                let both =
                    Mat::from_fn(50, 10, |i, j| if j < 6 { basis[(i, j)] } else { q.get(i, j - 6) }).unwrap();
                assert!(departure(&gram(&context, &both).unwrap()) < 1e-14, "{case}");
                let back = product(both.as_ref(), coefficients.as_ref()).unwrap();
                let error = back.as_slice().iter().zip(w.as_slice()).map(|(x, y)| (x - y).abs());
                assert!(error.fold(0.0, f64::max) < 4e-14, "{case}");
            }
        }
    }
}
