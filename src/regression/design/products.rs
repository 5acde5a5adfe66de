//! Products with the design and with its transpose, one apart from the other: all that a linear operator offers,
//! and what bidiagonalisation asks for.

use crate::error::{Error, Result};
use crate::linalg::{self, norm};
use crate::matrix::{Buffer, Mat, Products, Real, Rows};
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::design::Design;
use crate::simd::dot;

/// The design times X (d x k).
pub(crate) fn product<T: Real>(context: &Context, design: &Design<'_, T>, x: &Mat<f64>) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        check_range(x)?;
        let mut product = operator.product(x.copy()?)?;
        weigh(design, &mut product);
        return Ok(product);
    }
    let mut product = Mat::zeros(design.nrows(), x.ncols())?;
    let Some((matrix, _)) = design.sparse() else {
        linalg::product_of_rows(context, design, x.as_ref(), product.as_mut())?;
        return Ok(product);
    };
    let sides = SparseSides::new(design, x)?;
    matrix.product(context, sides.x.as_ref(), product.as_mut())?;
    for side in 0..x.ncols() {
        sides.finish(0, side, product.col_mut(side).iter_mut());
    }
    Ok(product)
}

/// Refuses an operator whose products y'(A x) and (A'y)'x differ for random x and y: where A' is not the transpose of A, an
/// answer looks exact and is not.
pub(crate) fn check_adjoint<T: Real>(context: &Context, design: &Design<'_, T>) -> Result<()> {
    let random = |len: usize, column: u64| {
        let numbers = Stream::new(0, 0, ADJOINT);
        Mat::from_fn(len, 1, |i, _| numbers.normal(i as u64, column))
    };
    let (x, y) = (random(design.ncols(), 0)?, random(design.nrows(), 1)?);
    let (image, slope) = (product(context, design, &x)?, transposed_product(context, design, &y)?);
    let [left, right] = [dot(image.as_slice(), y.as_slice()), dot(slope.as_slice(), x.as_slice())];
    let slack = MISFIT * (norm(image.as_slice()) + norm(slope.as_slice()));
    if (left - right).abs() > slack {
        let expected = "the transpose in `rmatvec` and `rmatmat`";
        return Err(Error::value(
            "A",
            format!("an operator with y'(A x) = {left:.3e}, (A'y)'x = {right:.3e}"),
            expected,
        ));
    }
    Ok(())
}

/// Purpose of the random stream of x and y.
const ADJOINT: u8 = 8;

/// How far the two products may be apart, in units of what they are for numbers of size one: far above single precision.
const MISFIT: f64 = 1e-3;

/// The transposed design times Y (n x k).
pub(crate) fn transposed_product<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    y: &Mat<f64>,
) -> Result<Mat<f64>> {
    if let Some(operator) = design.operator() {
        context.tick()?;
        let mut weighed = y.copy()?;
        weigh(design, &mut weighed);
        check_range(&weighed)?;
        return operator.transposed_product(weighed);
    }
    let (d, k) = (design.ncols(), y.ncols());
    let mut product = Mat::zeros(d, k)?;
    let Some((matrix, _)) = design.sparse() else {
        linalg::transposed_product_of_rows(context, design, y.as_ref(), product.as_mut())?;
        return Ok(product);
    };
    let mut weighed = y.copy()?;
    weigh(design, &mut weighed);
    matrix.transposed_product(context, weighed.as_ref(), product.as_mut())?;
    let blocks = design.blocks()?;
    for side in 0..k {
        let y = weighed.col(side);
        let total = blocks.iter().fold(0.0, |total, rows| total + y[rows.clone()].iter().sum::<f64>());
        centre_and_scale(design, total, product.col_mut(side));
    }
    Ok(product)
}

/// Refuses to ask an operator for products with what is out of range.
fn check_range(x: &Mat<f64>) -> Result<()> {
    match x.as_slice().iter().all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err(Error::value(
            "A",
            "a linear operator whose products are out of range",
            "one of another scale",
        )),
    }
}

/// Multiplies rows by the root weights.
pub(crate) fn weigh<T: Real>(design: &Design<'_, T>, rows: &mut Mat<f64>) {
    if design.is_weighted() {
        for side in 0..rows.ncols() {
            let weights = (0..design.nrows()).map(|row| design.root_weight(row));
            rows.col_mut(side).iter_mut().zip(weights).for_each(|(value, weight)| *value *= weight);
        }
    }
}

/// Vectors that sparse rows are to be multiplied by: sparse rows are never made dense, weights, means and column scales
/// are applied to the vectors.
pub(crate) struct SparseSides<'p, 'a, T> {
    design: &'p Design<'a, T>,
    /// Times the column scales.
    pub x: Mat<f64>,
    /// mean'x
    shifts: Buffer<f64>,
}

impl<'p, 'a, T: Real> SparseSides<'p, 'a, T> {
    /// For the columns of `x` (d x k).
    pub fn new(design: &'p Design<'a, T>, x: &Mat<f64>) -> Result<Self> {
        let x = Mat::from_fn(x.nrows(), x.ncols(), |j, side| x[(j, side)] * design.column_scale(j))?;
        let mut shifts = Buffer::zeros(x.ncols(), "products with the means")?;
        if let Some(means) = design.means() {
            shifts.iter_mut().enumerate().for_each(|(side, shift)| *shift = dot(means, x.col(side)));
        }
        Ok(Self { design, x, shifts })
    }

    /// Makes of products of the caller's rows, from `first` on, with vector `side` those of the design.
    pub fn finish<'o>(&self, first: usize, side: usize, products: impl Iterator<Item = &'o mut f64>) {
        for (i, out) in products.enumerate() {
            *out = self.design.root_weight(first + i) * (*out - self.shifts[side]);
        }
    }
}

/// Makes of A'y of a sparse A, y having this sum, what the design gives: its rows centred, its columns scaled.
pub(crate) fn centre_and_scale<T: Real>(design: &Design<'_, T>, total: f64, product: &mut [f64]) {
    for (j, out) in product.iter_mut().enumerate() {
        let mean = design.means().map_or(0.0, |means| means[j]);
        *out = (*out - mean * total) * design.column_scale(j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{self, Instance, assert_same, forms};

    #[test]
    fn products_are_those_of_the_explicit_rows() {
        let instance = Instance::new(300, 5);
        let context = Context::new(2);
        let numbers = |n: usize, k: usize| Mat::from_fn(n, k, |i, j| ((3 * i + j) % 7) as f64 - 2.5).unwrap();
        for (form, k) in forms().flat_map(|form| [(form, 1), (form, 3)]) {
            let (a, _) = instance.explicit(form);
            let design = Design::new(&context, &instance.problem(form, &[0.0])).unwrap();
            let (x, y) = (numbers(5, k), numbers(300, k));
            let found = product(&context, &design, &x).unwrap();
            assert_same(&found, &testing::product(&a, &x), &format!("A X, {form:?}"));
            let found = transposed_product(&context, &design, &y).unwrap();
            assert_same(&found, &testing::product(&testing::transposed(&a), &y), &format!("A'Y, {form:?}"));
        }
    }
}
