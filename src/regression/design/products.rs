//! Products with the design and with its transpose, one apart from the other: all that a linear operator offers,
//! and what bidiagonalisation asks for.

use crate::error::Result;
use crate::matrix::{Mat, Products, Real, Source};
use crate::parallel::Context;
use crate::regression::design::Design;

/// The design times X (d x k).
pub(crate) fn product<T: Real, M: Source>(
    context: &Context,
    design: &Design<'_, T, M>,
    x: &Mat<f64>,
) -> Result<Mat<f64>> {
    let mut product = Mat::zeros(design.nrows(), x.ncols())?;
    design.a.product(context, x.as_ref(), product.as_mut())?;
    Ok(product)
}

/// The transposed design times Y (n x k).
pub(crate) fn transposed_product<T: Real, M: Source>(
    context: &Context,
    design: &Design<'_, T, M>,
    y: &Mat<f64>,
) -> Result<Mat<f64>> {
    let mut product = Mat::zeros(design.ncols(), y.ncols())?;
    design.a.transposed_product(context, y.as_ref(), product.as_mut())?;
    Ok(product)
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
