//! What a linear model says of sparse samples.

use crate::error::{Error, Result};
use crate::matrix::{Axis, Indices, Mat, Real, SparseBuf, Unchecked, blocks_by_cost, sparse_blocks};
use crate::parallel::Context;
use crate::simd::{Element, Index, add_lines, add_lines_of_many, axpy};
use std::ops::Range;

/// X A' plus an intercept for every row of X, whose rows are the coefficients of a target: a column for each row of A.
///
/// Whatever is wrong with A is noticed by the read that multiplies: an index out of range ends it, and an entry that is
/// not finite leaves a prediction that is not.
pub fn predict<T: Real>(
    context: &Context,
    a: &Unchecked<'_, T>,
    coefficients: &Mat<f64>,
    intercept: &[f64],
) -> Result<Mat<f64>> {
    let (targets, d) = (coefficients.nrows(), coefficients.ncols());
    let (nrows, ncols) = a.shape;
    if ncols != d {
        return Err(Error::shape("A", format!("{ncols} columns"), d));
    }
    if intercept.len() != targets {
        return Err(Error::shape("intercept", format!("length {}", intercept.len()), targets));
    }
    let mut predicted = Mat::zeros(targets, nrows)?;
    let finite = match a.axis {
        Axis::Rows => by_rows(context, a, coefficients, intercept, &mut predicted)?,
        Axis::Columns => by_columns(context, a, coefficients, intercept, &mut predicted)?,
    };
    if !finite && let Some((i, j, value)) = a.check(context)?.first_non_finite(context, None)? {
        return Err(Error::non_finite(a.argument, value, format!("[{i}, {j}]")));
    }
    Ok(predicted)
}

/// Lines of CSR form, a row of predictions each; tells whether all of them are finite.
fn by_rows<T: Real>(
    context: &Context,
    a: &Unchecked<'_, T>,
    coefficients: &Mat<f64>,
    intercept: &[f64],
    predicted: &mut Mat<f64>,
) -> Result<bool> {
    if a.indptr.len() != a.shape.0 + 1 || a.indptr.get(0) != 0 {
        return Err(malformed(context, a));
    }
    let blocks = blocks_by_cost(a.indptr, 1 << 16)?; // which no sum depends on
    let parts = split(predicted, &blocks);
    let outcomes = context.map_parts(
        parts,
        || (),
        |(), block, part: &mut [f64]| {
            fill(part, intercept);
            let add = match (a.indptr, a.indices) {
                (Indices::I32(ends), Indices::I32(indices)) => {
                    add_rows(&ends[blocks[block].start..], indices, a.data, coefficients, part)
                }
                (Indices::I64(ends), Indices::I64(indices)) => {
                    add_rows(&ends[blocks[block].start..], indices, a.data, coefficients, part)
                }
                (Indices::I32(ends), Indices::I64(indices)) => {
                    add_rows(&ends[blocks[block].start..], indices, a.data, coefficients, part)
                }
                (Indices::I64(ends), Indices::I32(indices)) => {
                    add_rows(&ends[blocks[block].start..], indices, a.data, coefficients, part)
                }
            };
            add.then(|| all_finite(part))
        },
    )?;
    let finite = outcomes.into_iter().try_fold(true, |all, finite| Some(all & finite?));
    finite.ok_or_else(|| malformed(context, a))
}

fn add_rows<P: Index, I: Index, T: Element>(
    ends: &[P],
    indices: &[I],
    values: &[T],
    coefficients: &Mat<f64>,
    part: &mut [f64],
) -> bool {
    match coefficients.nrows() {
        0 => true,
        1 => add_lines(ends, indices, values, coefficients.as_slice(), part),
        targets => add_lines_of_many(ends, indices, values, targets, coefficients.as_slice(), part),
    }
}

/// Columns of CSC form against a block of rows at a time.
fn by_columns<T: Real>(
    context: &Context,
    a: &Unchecked<'_, T>,
    coefficients: &Mat<f64>,
    intercept: &[f64],
    predicted: &mut Mat<f64>,
) -> Result<bool> {
    let view = a.check(context)?;
    let sorted = (!view.is_canonical(context)?).then(|| view.to_canonical(context)).transpose()?;
    let a = sorted.as_ref().map_or(view, SparseBuf::as_ref);
    let targets = intercept.len();
    let blocks = sparse_blocks(&a)?; // each visits all columns
    let parts = split(predicted, &blocks);
    let finite = context.map_parts(
        parts,
        || (),
        |(), block, part: &mut [f64]| {
            fill(part, intercept);
            let rows = blocks[block].clone();
            match targets {
                1 => a.add_product(rows, 1, coefficients.as_slice(), part),
                _ => a.visit_rows(rows, |i, j, value| {
                    axpy(value, coefficients.col(j), &mut part[i * targets..][..targets])
                }),
            }
            all_finite(part)
        },
    )?;
    Ok(finite.into_iter().all(|finite| finite))
}

/// The columns of these blocks.
fn split<'p>(predicted: &'p mut Mat<f64>, blocks: &[Range<usize>]) -> impl Iterator<Item = &'p mut [f64]> {
    let height = predicted.nrows();
    let mut rest = predicted.as_mut_slice();
    blocks.iter().map(move |rows| rest.split_off_mut(..rows.len() * height).unwrap_or_default())
}

/// Rows that are the intercept and nothing else.
fn fill(part: &mut [f64], intercept: &[f64]) {
    match *intercept {
        [constant] => part.fill(constant),
        _ => part.chunks_exact_mut(intercept.len().max(1)).for_each(|row| row.copy_from_slice(intercept)),
    }
}

fn all_finite(values: &[f64]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// What is wrong with a matrix that leads out of its own bounds.
fn malformed<T: Real>(context: &Context, a: &Unchecked<'_, T>) -> Error {
    a.check(context).err().unwrap_or_else(|| Error::Changed("an index out of range".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_rows<'a>(indptr: &'a [i32], indices: &'a [i32], data: &'a [f64]) -> Unchecked<'a, f64> {
        let (indptr, indices) = (Indices::I32(indptr), Indices::I32(indices));
        Unchecked { argument: "A", axis: Axis::Rows, shape: (2, 3), indptr, indices, data }
    }

    #[test]
    fn predictions_are_those_of_the_dense_matrix_in_both_orientations() {
        // [1 0 2; 0 3 4], stored by rows and by columns.
        let rows = by_rows(&[0, 2, 4], &[2, 0, 1, 2], &[2.0, 1.0, 3.0, 4.0]);
        let columns = Unchecked {
            argument: "A",
            axis: Axis::Columns,
            shape: (2, 3),
            indptr: Indices::I64(&[0, 1, 2, 4]),
            indices: Indices::I32(&[0, 1, 1, 0]),
            data: &[1.0f32, 3.0, 4.0, 2.0],
        };
        let two = Mat::from_fn(2, 3, |i, j| (1 + i + 10 * j) as f64).unwrap();
        let one = Mat::from_fn(1, 3, |_, j| (1 + 10 * j) as f64).unwrap();
        let context = Context::new(2);
        let both = predict(&context, &rows, &two, &[0.5, -1.0]).unwrap();
        assert_eq!(both.as_slice(), [43.5, 45.0, 117.5, 123.0]);
        assert_eq!(predict(&context, &columns, &two, &[0.5, -1.0]).unwrap().as_slice(), both.as_slice());
        assert_eq!(predict(&context, &rows, &one, &[0.5]).unwrap().as_slice(), [43.5, 117.5]);
        assert!(predict(&context, &rows, &two, &[0.5]).is_err());
    }

    #[test]
    fn what_is_wrong_is_found_and_named() {
        let (good, values) = ([2, 0, 1, 2], [1.0; 4]);
        for targets in [1, 2] {
            let coefficients = Mat::zeros(targets, 3).unwrap();
            let outcome = |a: Unchecked<'_, f64>| {
                let found = predict(&Context::new(1), &a, &coefficients, &[0.5; 2][..targets]);
                found.err().map_or_else(String::new, |error| error.to_string())
            };
            assert_eq!(outcome(by_rows(&[0, 2, 4], &good, &values)), "");
            for ends in [&[0, 2, 5][..], &[0, 4, 2], &[1, 2, 4], &[0, 2], &[0, -2, 4]] {
                assert!(outcome(by_rows(ends, &good, &values)).contains("indptr"), "{ends:?}");
            }
            assert!(outcome(by_rows(&[0, 2, 4], &[2, 0, 1, 3], &values)).contains("index 3 at position 3"));
            assert!(outcome(by_rows(&[0, 2, 4], &[2, -7, 1, 2], &values)).contains("index -7 at position 1"));
            let data = [1.0, 1.0, 1.0, f64::NEG_INFINITY];
            assert!(outcome(by_rows(&[0, 2, 4], &good, &data)).contains("[1, 2]"));
            // A number that nothing refers to.
            assert_eq!(outcome(by_rows(&[0, 2, 3], &good, &data)), "");
        }
    }
}
