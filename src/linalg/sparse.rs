//! Gram products of sparse rows, in time that the entries of the rows decide and not the number of columns.
//!
//! Indices increase within each row; every entry of a result is one chain of fused multiply-adds in the order of the
//! rows, or of the entries of a row.

use crate::error::Result;
use crate::matrix::{Axis, Dense, DenseMut, Indices, Mat, Real, Sparse};
use crate::memory::{copied, push, zeros};
use crate::parallel::Context;
use crate::simd::{add_outer_products, add_tails, axpy, gather_dot};
use std::ops::Range;

/// What memory is for.
const PURPOSE: &str = "a Gram matrix of sparse rows";

/// A'A, or A' diag(w) A, in the lower triangle; what is above it is zero. Costs half the squares of the rows' lengths.
///
/// Where the result is small, blocks of rows add up results of their own, `SLABS` of no more memory than `MOST_SLABS`
/// bytes. Else threads divide its columns: each reads all rows, or, where the result is so large that it is in no cache,
/// the rows of a column, 8 bytes an entry of A telling where these are.
///
/// Panics if A is not stored by rows, or if there is not a weight for each.
pub fn sparse_gram<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    weights: Option<&[f64]>,
) -> Result<Mat<f64>> {
    assert!(a.axis() == Axis::Rows && weights.is_none_or(|weights| weights.len() == a.nrows()));
    let (d, cost) = (a.ncols(), a.squared_row_lengths(context)?);
    let worthwhile = (cost / d.pow(2).saturating_mul(4).max(1)).clamp(1, SLABS);
    let affordable = MOST_SLABS / d.pow(2).saturating_mul(8).max(1);
    if worthwhile == SLABS && affordable >= SLABS {
        return gram_by_slabs(context, a, weights, cost.div_ceil(SLABS).min(ROUND));
    }
    if affordable < worthwhile
        && let Some(positions) = Positions::new(context, a)
    {
        return gram_by_columns(context, a, weights, &positions?);
    }
    gram_by_stripes(context, a, weights, (cost / ROUND).max(READS))
}

/// Blocks of rows with a result of their own, and most bytes that these take.
const SLABS: usize = 16;
const MOST_SLABS: usize = 1 << 26;

/// Squares of lengths of rows between two looks at the caller's wish to stop: a fraction of a second.
const ROUND: usize = 1 << 28;

fn gram_by_slabs<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    weights: Option<&[f64]>,
    cost: usize,
) -> Result<Mat<f64>> {
    let (d, slabs) = (a.ncols(), rows_by_cost(context, a, cost)?);
    let work = |(): &mut (), slab: usize| {
        let mut gram = Mat::zeros(d, d)?;
        add_rows(a, slabs[slab].clone(), weights, 0..d, gram.as_mut_slice());
        Ok(gram)
    };
    let mut total: Option<Mat<f64>> = None;
    context.fold_with(
        slabs.len(),
        || (),
        work,
        |part| match &mut total {
            None => total = Some(part),
            Some(total) => axpy(1.0, part.as_slice(), total.as_mut_slice()),
        },
    )?;
    total.map_or_else(|| Mat::zeros(d, d), Ok)
}

/// Ranges of rows, the squares of whose lengths add up to little more than `most`.
fn rows_by_cost<T: Real>(context: &Context, a: &Sparse<'_, T>, most: usize) -> Result<Vec<Range<usize>>> {
    let (mut ranges, mut start, mut cost) = (Vec::new(), 0, 0);
    for rows in context.pieces(0..a.nrows()) {
        for row in rows? {
            cost += a.extent(row).len().saturating_mul(a.extent(row).len()) + 1;
            if cost >= most || row + 1 == a.nrows() {
                push(&mut ranges, start..row + 1, PURPOSE)?;
                (start, cost) = (row + 1, 0);
            }
        }
    }
    Ok(ranges)
}

/// Adds what some rows contribute to some columns of A' diag(w) A.
fn add_rows<T: Real>(
    a: &Sparse<'_, T>,
    rows: Range<usize>,
    weights: Option<&[f64]>,
    columns: Range<usize>,
    gram: &mut [f64],
) {
    let (values, d) = (a.values(), a.ncols());
    let weights = weights.map(|weights| &weights[rows.clone()]);
    let ends = rows.start..=rows.end;
    match (a.ends(), a.indices()) {
        (Indices::I32(all), Indices::I32(indices)) => {
            add_outer_products(&all[ends], indices, values, weights, d, columns, gram);
        }
        (Indices::I32(all), Indices::I64(indices)) => {
            add_outer_products(&all[ends], indices, values, weights, d, columns, gram);
        }
        (Indices::I64(all), Indices::I32(indices)) => {
            add_outer_products(&all[ends], indices, values, weights, d, columns, gram);
        }
        (Indices::I64(all), Indices::I64(indices)) => {
            add_outer_products(&all[ends], indices, values, weights, d, columns, gram);
        }
    }
}

fn gram_by_stripes<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    weights: Option<&[f64]>,
    count: usize,
) -> Result<Mat<f64>> {
    let d = a.ncols();
    let mut gram = Mat::zeros(d, d)?;
    let mut work: Vec<usize> = zeros(d, PURPOSE)?;
    let some = (0..a.nrows()).step_by(a.nrows() / SAMPLE + 1);
    some.for_each(|row| add_work(a, row, &mut work));
    let parts = striped(gram.as_mut_slice(), stripes_of(&work, count)?, d)?;
    context.map_parts(
        parts,
        || (),
        |(), _, (columns, stripe)| {
            add_rows(a, 0..a.nrows(), weights, columns, stripe);
        },
    )?;
    Ok(gram)
}

/// Times that all rows are read, and how many of them tell what there is to do.
const READS: usize = 4;
const SAMPLE: usize = 1 << 12;

/// Adds the products that a row takes for the part of every column of A'A that is on and below the diagonal.
fn add_work<T: Real>(a: &Sparse<'_, T>, row: usize, work: &mut [usize]) {
    let mut left = a.extent(row).len();
    a.visit_line(row, |column, _| {
        work[column] += left;
        left -= 1;
    });
}

/// Columns of a matrix with so many rows, and where they lie.
fn striped(
    mut gram: &mut [f64],
    stripes: Vec<Range<usize>>,
    nrows: usize,
) -> Result<Vec<(Range<usize>, &mut [f64])>> {
    let mut parts = Vec::new();
    for columns in stripes {
        let (stripe, others) = gram.split_at_mut(columns.len() * nrows);
        push(&mut parts, (columns, stripe), PURPOSE)?;
        gram = others;
    }
    Ok(parts)
}

/// Where the entries of the columns of a matrix lie that is stored by rows.
pub(super) struct Positions {
    /// Where columns begin and end in the others.
    pub ends: Vec<usize>,
    /// Rows of the entries of a column, and their positions among all.
    pub rows: Vec<u32>,
    pub at: Vec<u32>,
}

impl Positions {
    /// `None` if there are too many to count in 32 bits.
    pub fn new<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Option<Result<Self>> {
        (u32::try_from(a.nnz()).is_ok() && u32::try_from(a.nrows()).is_ok()).then(|| Self::count(context, a))
    }

    fn count<T: Real>(context: &Context, a: &Sparse<'_, T>) -> Result<Self> {
        let mut ends: Vec<usize> = zeros(a.ncols() + 1, PURPOSE)?;
        for entries in context.pieces(0..a.nnz()) {
            a.visit(entries?, |column, _| ends[column + 1] += 1);
        }
        (0..a.ncols()).for_each(|column| ends[column + 1] += ends[column]);
        let mut next = copied(&ends, PURPOSE)?;
        let (mut rows, mut at) = (zeros(a.nnz(), PURPOSE)?, zeros(a.nnz(), PURPOSE)?);
        for lines in context.pieces(0..a.nrows()) {
            for row in lines? {
                let mut position = a.extent(row).start;
                a.visit_line(row, |column, _| {
                    (rows[next[column]], at[next[column]]) = (row as u32, position as u32);
                    (next[column], position) = (next[column] + 1, position + 1);
                });
            }
        }
        Ok(Self { ends, rows, at })
    }
}

fn gram_by_columns<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    weights: Option<&[f64]>,
    positions: &Positions,
) -> Result<Mat<f64>> {
    let d = a.ncols();
    let mut gram = Mat::zeros(d, d)?;
    let mut work: Vec<usize> = zeros(d, PURPOSE)?;
    for rows in context.pieces(0..a.nrows()) {
        rows?.for_each(|row| add_work(a, row, &mut work));
    }
    let parts = striped(gram.as_mut_slice(), stripes_of(&work, STRIPES)?, d)?;
    let add = |(): &mut (), _, (columns, stripe): (Range<usize>, &mut [f64])| {
        for (column, sums) in columns.zip(stripe.chunks_exact_mut(d)) {
            let part = positions.ends[column]..positions.ends[column + 1];
            let (rows, at) = (&positions.rows[part.clone()], &positions.at[part]);
            add_column(a, weights, rows, at, sums);
        }
    };
    context.map_parts(parts, || (), add)?;
    Ok(gram)
}

/// Stripes of columns: enough for threads to share them evenly.
const STRIPES: usize = 64;

/// Ranges of columns with about equal shares of the work, about so many.
fn stripes_of(work: &[usize], stripes: usize) -> Result<Vec<Range<usize>>> {
    let count = work.len();
    let share = (work.iter().sum::<usize>() / stripes + 1).min(ROUND);
    let (mut stripes, mut start, mut sum) = (Vec::new(), 0, 0);
    for (column, work) in work.iter().enumerate() {
        sum += work;
        if sum >= share || column + 1 == count {
            push(&mut stripes, start..column + 1, PURPOSE)?;
            (start, sum) = (column + 1, 0);
        }
    }
    Ok(stripes)
}

/// Adds what some rows, from some of their entries on, contribute to a column of A' diag(w) A.
fn add_column<T: Real>(
    a: &Sparse<'_, T>,
    weights: Option<&[f64]>,
    rows: &[u32],
    at: &[u32],
    sums: &mut [f64],
) {
    let values = a.values();
    match (a.ends(), a.indices()) {
        (Indices::I32(ends), Indices::I32(indices)) => {
            add_tails(ends, indices, values, weights, rows, at, sums);
        }
        (Indices::I32(ends), Indices::I64(indices)) => {
            add_tails(ends, indices, values, weights, rows, at, sums);
        }
        (Indices::I64(ends), Indices::I32(indices)) => {
            add_tails(ends, indices, values, weights, rows, at, sums);
        }
        (Indices::I64(ends), Indices::I64(indices)) => {
            add_tails(ends, indices, values, weights, rows, at, sums);
        }
    }
}

/// E E' of a few rows E of A. `work` has a zero for each column of A, before and after.
///
/// Panics if A is not stored by rows or the shapes do not fit.
pub fn gram_of_rows<T: Real>(
    a: &Sparse<'_, T>,
    rows: Range<usize>,
    work: &mut [f64],
    mut out: DenseMut<'_, f64>,
) {
    let count = rows.len();
    assert!(
        a.axis() == Axis::Rows && work.len() == a.ncols() && out.nrows() == count && out.ncols() == count
    );
    let (row_stride, col_stride) = (out.row_stride(), out.col_stride());
    for (i, row) in rows.clone().enumerate() {
        a.visit_line(row, |column, value| work[column] = value.to_f64());
        for (j, other) in (row..rows.end).zip(i..).map(|(other, j)| (j, other)) {
            let product = dot_of_row(a, other, work);
            out.data()[i * row_stride + j * col_stride] = product;
            out.data()[j * row_stride + i * col_stride] = product;
        }
        a.visit_line(row, |column, _| work[column] = 0.0);
    }
}

/// v'G v for each row v of A and a symmetric G.
///
/// Panics if A is not stored by rows or the shapes do not fit.
pub fn quadratic_forms<T: Real>(
    context: &Context,
    a: &Sparse<'_, T>,
    g: Dense<'_, f64>,
    out: &mut [f64],
) -> Result<()> {
    assert!(
        a.axis() == Axis::Rows && g.nrows() == a.ncols() && g.ncols() == a.ncols() && out.len() == a.nrows()
    );
    assert!(g.row_stride() == 1 || g.ncols() == 0);
    let (mut parts, mut rest) = (Vec::new(), out);
    for rows in rows_by_cost(context, a, ROUND / 16)? {
        let (out, others) = rest.split_at_mut(rows.len());
        push(&mut parts, (rows, out), PURPOSE)?;
        rest = others;
    }
    let form_of = |row: usize| {
        let mut sum = 0.0f64;
        a.visit_line(row, |column, value| {
            let image = g.col(column).map_or(0.0, |column| dot_of_row(a, row, column));
            sum = value.to_f64().mul_add(image, sum);
        });
        sum
    };
    let fill = |(): &mut (), _, (rows, out): (Range<usize>, &mut [f64])| {
        rows.zip(out).for_each(|(row, out)| *out = form_of(row));
    };
    context.map_parts(parts, || (), fill).map(drop)
}

/// The product of a row with a vector.
fn dot_of_row<T: Real>(a: &Sparse<'_, T>, row: usize, x: &[f64]) -> f64 {
    let extent = a.extent(row);
    let values = &a.values()[extent.clone()];
    match a.indices() {
        Indices::I32(indices) => gather_dot(&indices[extent], values, x),
        Indices::I64(indices) => gather_dot(&indices[extent], values, x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{distance, gaussian, product};
    use crate::simd::testing::on_every_path;

    struct Rows {
        ends: Vec<i64>,
        indices: Vec<i32>,
        values: Vec<f32>,
        dense: Mat<f64>,
    }

    /// Rows of lengths from none to all.
    fn rows(n: usize, d: usize) -> Rows {
        let (mut ends, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut dense = Mat::zeros(n, d).unwrap();
        for i in 0..n {
            for j in (0..d).filter(|j| (i * 31 + j * 17 + i * j) % (1 + i % 7) == 0 && i % 11 != 3) {
                indices.push(j as i32);
                values.push(((i * d + j) as f32 * 0.37).sin());
                dense[(i, j)] = f64::from(values[values.len() - 1]);
            }
            ends.push(indices.len() as i64);
        }
        Rows { ends, indices, values, dense }
    }

    impl Rows {
        fn sparse(&self) -> Sparse<'_, f32> {
            let shape = (self.dense.nrows(), self.dense.ncols());
            let (ends, indices) = (Indices::I64(&self.ends), Indices::I32(&self.indices));
            Sparse::new(&Context::new(1), "A", Axis::Rows, shape, ends, indices, &self.values).unwrap()
        }
    }

    #[test]
    fn products_are_those_of_dense_rows_whatever_the_threads_and_the_instructions() {
        for (n, d) in [(0, 3), (1, 1), (40, 7), (150, 33), (60, 90), (20, 0)] {
            let rows = rows(n, d);
            let (a, dense) = (rows.sparse(), &rows.dense);
            let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64 + 0.25).collect();
            let weighted = Mat::from_fn(n, d, |i, j| weights[i] * dense[(i, j)]).unwrap();
            for (weights, left) in [(None, dense), (Some(&weights[..]), &weighted)] {
                let found = on_every_path(|| sparse_gram(&Context::new(1), &a, weights).unwrap());
                let truth = product(left.as_ref().t(), dense.as_ref());
                let lower = Mat::from_fn(d, d, |i, j| if i >= j { truth[(i, j)] } else { 0.0 }).unwrap();
                assert!(distance(found[0].as_ref(), lower.as_ref()) < 1e-13 * n as f64 + f64::MIN_POSITIVE);
                assert!(found.iter().all(|other| other.as_slice() == found[0].as_slice()));
                let threads = sparse_gram(&Context::new(3), &a, weights).unwrap();
                assert_eq!(threads.as_slice(), found[0].as_slice());
                let positions = Positions::new(&Context::new(1), &a).unwrap().unwrap();
                let whole = gram_by_slabs(&Context::new(1), &a, weights, ROUND).unwrap();
                let cut = gram_by_slabs(&Context::new(1), &a, weights, 50).unwrap();
                assert!(distance(cut.as_ref(), whole.as_ref()) < 1e-13 * n as f64 + f64::MIN_POSITIVE);
                for context in [Context::new(1), Context::new(3)] {
                    let columns = gram_by_columns(&context, &a, weights, &positions).unwrap();
                    assert!(columns.as_slice() == whole.as_slice());
                    let stripes = gram_by_stripes(&context, &a, weights, 3).unwrap();
                    assert!(stripes.as_slice() == whole.as_slice());
                    assert!(gram_by_slabs(&context, &a, weights, 50).unwrap().as_slice() == cut.as_slice());
                }
            }
            let g = gaussian(d, d, 3);
            let g = product(g.as_ref().t(), g.as_ref());
            let mut forms = vec![0.0; n];
            quadratic_forms(&Context::new(2), &a, g.as_ref(), &mut forms).unwrap();
            let images = product(dense.as_ref(), g.as_ref());
            for (i, form) in forms.iter().enumerate() {
                let truth: f64 = (0..d).map(|j| images[(i, j)] * dense[(i, j)]).sum();
                assert!((form - truth).abs() < 1e-11 * (1.0 + truth), "{form} for {truth}");
            }
            let (batch, mut work) = (n / 3..n / 3 + (n - n / 3).min(9), vec![0.0; d]);
            let mut out = Mat::zeros(batch.len(), batch.len()).unwrap();
            gram_of_rows(&a, batch.clone(), &mut work, out.as_mut());
            let few = dense.as_ref().rows(batch);
            assert!(distance(out.as_ref(), product(few, few.t()).as_ref()) < 1e-13);
            assert!(work.iter().all(|&left| left == 0.0));
        }
    }
}
