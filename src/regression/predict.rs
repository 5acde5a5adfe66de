//! What a linear model says of sparse samples.

use super::design::{row_blocks, sparse_blocks};
use super::sparse::{add_product, visit};
use crate::error::{Error, Result};
use crate::matrix::{Axis, Mat, Real, Sparse};
use crate::parallel::Context;
use crate::simd::axpy;

/// X A' plus an intercept for every row of X, whose rows are the coefficients of a target: a column for each row of A.
pub fn predict<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    coefficients: &Mat<f64>,
    intercept: &[f64],
) -> Result<Mat<f64>> {
    let (targets, d) = (coefficients.nrows(), coefficients.ncols());
    if a.ncols() != d {
        return Err(Error::shape("A", format!("{} columns", a.ncols()), d));
    }
    if intercept.len() != targets {
        return Err(Error::shape("intercept", format!("length {}", intercept.len()), targets));
    }
    // By stored entries rather than by columns, so that a block is as much work whatever the width; each visits all
    // lines of columns.
    let blocks = match a.axis() {
        Axis::Rows => row_blocks(a.nrows(), a.nnz().div_ceil(a.nrows().max(1))),
        Axis::Columns => sparse_blocks(a),
    }?;
    let mut predicted = Mat::zeros(targets, a.nrows())?;
    let mut rest = predicted.as_mut_slice();
    let parts = blocks.iter().map(|rows| rest.split_off_mut(..rows.len() * targets).unwrap_or_default());
    context.map_parts(
        parts,
        || (),
        |(), block, part| {
            part.chunks_exact_mut(targets.max(1)).for_each(|row| row.copy_from_slice(intercept));
            let rows = blocks[block].clone();
            match targets {
                1 => add_product(a, rows, coefficients.as_slice(), part),
                _ => visit(a, rows, |i, j, value| {
                    axpy(value, coefficients.col(j), &mut part[i * targets..][..targets])
                }),
            }
        },
    )?;
    Ok(predicted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Indices;

    #[test]
    fn predictions_are_those_of_the_dense_matrix_in_both_orientations() {
        // [1 0 2; 0 3 4], stored by rows and by columns.
        let by_rows = Sparse::new(
            &Context::new(1),
            "A",
            Axis::Rows,
            (2, 3),
            Indices::I32(&[0, 2, 4]),
            Indices::I32(&[0, 2, 1, 2]),
            &[1.0, 2.0, 3.0, 4.0],
        );
        let by_columns = Sparse::new(
            &Context::new(1),
            "A",
            Axis::Columns,
            (2, 3),
            Indices::I32(&[0, 1, 2, 4]),
            Indices::I32(&[0, 1, 0, 1]),
            &[1.0f32, 3.0, 2.0, 4.0],
        );
        let two = Mat::from_fn(2, 3, |i, j| (1 + i + 10 * j) as f64).unwrap();
        let one = Mat::from_fn(1, 3, |_, j| (1 + 10 * j) as f64).unwrap();
        let context = Context::new(2);
        let (rows, columns) = (by_rows.unwrap(), by_columns.unwrap());
        let both = predict(&context, &rows, &two, &[0.5, -1.0]).unwrap();
        assert_eq!(both.as_slice(), [43.5, 45.0, 117.5, 123.0]);
        assert_eq!(predict(&context, &columns, &two, &[0.5, -1.0]).unwrap().as_slice(), both.as_slice());
        assert_eq!(predict(&context, &rows, &one, &[0.5]).unwrap().as_slice(), [43.5, 117.5]);
        assert!(predict(&context, &rows, &two, &[0.5]).is_err());
    }
}
