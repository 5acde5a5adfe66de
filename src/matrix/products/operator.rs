//! Products of a linear operator.

use super::{Products, check_shapes};
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, LinearOperator, Mat};
use crate::parallel::Context;

impl Products for &dyn LinearOperator {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes(self.shape(), &x, &out)?;
        copy(context, &LinearOperator::product(*self, asked(context, x)?)?, out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes((self.ncols(), self.nrows()), &y, &out)?;
        copy(context, &LinearOperator::transposed_product(*self, asked(context, y)?)?, out)
    }
}

/// What is handed to an operator, which nobody asks for products with what is out of range.
fn asked(context: &Context, x: Dense<'_, f64>) -> Result<Mat<f64>> {
    context.tick()?;
    let mut vectors = Mat::zeros(x.nrows(), x.ncols())?;
    for j in 0..x.ncols() {
        let column = vectors.col_mut(j);
        match x.col(j) {
            Some(x) => column.copy_from_slice(x),
            None => column.iter_mut().enumerate().for_each(|(i, value)| *value = x.get(i, j)),
        }
    }
    match vectors.as_slice().iter().all(|value| value.is_finite()) {
        true => Ok(vectors),
        false => Err(Error::value(
            "A",
            "a linear operator whose products are out of range",
            "one of another scale",
        )),
    }
}

fn copy(context: &Context, from: &Mat<f64>, mut to: DenseMut<'_, f64>) -> Result<()> {
    check_shapes((from.nrows(), from.nrows()), &from.as_ref(), &to)?;
    for j in 0..from.ncols() {
        for rows in context.pieces(0..from.nrows()) {
            let rows = rows?;
            let mut part = to.reborrow().window(rows.clone(), j..j + 1);
            let from = &from.col(j)[rows];
            match part.col_mut(0) {
                Some(to) => to.copy_from_slice(from),
                None => part.column_mut(0).zip(from).for_each(|(to, from)| *to = *from),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let (image, slope) =
                (known.product(x.copy().unwrap()), known.transposed_product(y.copy().unwrap()));
            let mut by_columns = numbers(5, k);
            Products::product(&a, &context, x.as_ref(), by_columns.as_mut()).unwrap();
            assert_eq!(by_columns.as_slice(), image.unwrap().as_slice());
            let mut by_rows = numbers(k, 3);
            Products::transposed_product(&a, &context, y.as_ref(), by_rows.as_mut().t()).unwrap();
            let slope = slope.unwrap();
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
        // One that does not keep its word about its shape.
        #[derive(Debug)]
        struct Short;
        impl LinearOperator for Short {
            fn nrows(&self) -> usize {
                3
            }
            fn ncols(&self) -> usize {
                3
            }
            fn product(&self, x: Mat<f64>) -> Result<Mat<f64>> {
                Mat::zeros(2, x.ncols())
            }
            fn transposed_product(&self, y: Mat<f64>) -> Result<Mat<f64>> {
                Mat::zeros(3, y.ncols() + 1)
            }
        }
        let short = &Short as &dyn LinearOperator;
        assert!(Products::product(&short, &context, numbers(3, 2).as_ref(), out.as_mut()).is_err());
        assert!(
            Products::transposed_product(&short, &context, numbers(3, 2).as_ref(), out.as_mut()).is_err()
        );
    }
}
