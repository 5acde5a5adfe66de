//! Products of a linear operator.

use super::{Products, check_shapes};
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, LinearOperator};
use crate::parallel::Context;

impl Products for &dyn LinearOperator {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes(self.shape(), &x, &out)?;
        check_range(context, x)?;
        LinearOperator::product(*self, x, out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes((self.ncols(), self.nrows()), &y, &out)?;
        check_range(context, y)?;
        LinearOperator::transposed_product(*self, y, out)
    }
}

/// Nobody asks an operator for products with what is out of range.
fn check_range(context: &Context, x: Dense<'_, f64>) -> Result<()> {
    for (j, rows) in (0..x.ncols()).flat_map(|j| context.pieces(0..x.nrows()).map(move |rows| (j, rows))) {
        let mut rows = rows?;
        let finite = match x.col(j) {
            Some(column) => column[rows].iter().fold(true, |finite, value| finite & value.is_finite()),
            None => rows.all(|i| x.get(i, j).is_finite()),
        };
        if !finite {
            return Err(Error::value(
                "A",
                "a linear operator whose products are out of range",
                "one of another scale",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use crate::matrix::testing::Known;

    fn numbers(n: usize, k: usize) -> Mat<f64> {
        Mat::from_fn(n, k, |i, j| (i as f64 - 1.5) * (1 + j) as f64).unwrap()
    }

    #[test]
    fn products_are_the_operators_in_any_layout() {
        let known = Known(Mat::from_fn(5, 3, |i, j| (1 + 2 * i + 7 * j) as f64).unwrap());
        let (a, context) = (&known as &dyn LinearOperator, Context::new(2));
        assert_eq!(Products::shape(&a), (5, 3));
        for k in [0, 1, 2] {
            let (x, y) = (numbers(3, k), numbers(5, k));
            let (mut image, mut slope) = (numbers(5, k), numbers(3, k));
            known.product(x.as_ref(), image.as_mut()).unwrap();
            known.transposed_product(y.as_ref(), slope.as_mut()).unwrap();
            let mut by_columns = numbers(5, k);
            Products::product(&a, &context, x.as_ref(), by_columns.as_mut()).unwrap();
            assert_eq!(by_columns.as_slice(), image.as_slice());
            let mut by_rows = numbers(k, 3);
            Products::transposed_product(&a, &context, y.as_ref(), by_rows.as_mut().t()).unwrap();
            assert!((0..3 * k).all(|at| by_rows[(at / 3, at % 3)] == slope[(at % 3, at / 3)]));
        }
    }

    #[test]
    fn vectors_out_of_range_and_shapes_that_do_not_fit_are_refused() {
        let known = Known(Mat::identity(3).unwrap());
        let (a, context) = (&known as &dyn LinearOperator, Context::new(1));
        let mut out = numbers(3, 2);
        for value in [f64::NAN, f64::INFINITY] {
            let x = Mat::from_fn(3, 2, |i, j| if i + j == 3 { value } else { 1.0 }).unwrap();
            let refused = Products::product(&a, &context, x.as_ref(), out.as_mut());
            assert!(refused.unwrap_err().to_string().contains("out of range"));
            let refused = Products::transposed_product(&a, &context, x.as_ref(), out.as_mut());
            assert!(refused.unwrap_err().to_string().contains("out of range"));
        }
        assert!(Products::product(&a, &context, numbers(4, 2).as_ref(), out.as_mut()).is_err());
        assert!(Products::product(&a, &context, numbers(3, 1).as_ref(), out.as_mut()).is_err());
    }
}
