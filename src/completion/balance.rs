//! The same product for the least penalty, half of it on either side. Sweeps come to that
//! by themselves, but slowly where penalties are small, and what is too small on one side costs too little.

use super::factors::Factor;
use super::half::{Penalty, multiply};
use super::kernels::add_gram;
use super::observations::{Observations, Part};
use super::sums::BLOCK;
use crate::error::Result;
use crate::linalg::{Scalar, eigh};
use crate::matrix::{Buffer, Mat};
use crate::memory::zeros;
use crate::parallel::Context;

/// Has both factors cost the same, in every direction, by the map that makes their weighted Gram matrices G and H one and
/// diagonal: with G = E D E' and √D E'H E √D = Q S² Q', rows times E D^{-1/2} Q S^{1/2}, columns times its transposed inverse.
pub fn balance<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&mut Factor<T>, &mut Factor<T>),
    penalty: Penalty,
) -> Result<()> {
    let rank = rows.rank;
    let of_rows = weighted_gram(context, rows, |i| penalty.of(observed.rows.degree(i, part)).factor)?;
    let of_columns =
        weighted_gram(context, columns, |j| penalty.of(observed.columns.degree(j, part)).factor)?;
    let Some((d, e)) = roots::<T>(&of_rows)? else { return Ok(()) };
    let half = product(&of_columns, &e)?;
    let inner = Mat::from_fn(rank, rank, |i, j| {
        d[i] * d[j] * (0..rank).map(|k| e[(k, i)] * half[(k, j)]).sum::<f64>()
    })?;
    let Some((s, q)) = roots::<T>(&inner)? else { return Ok(()) };
    let to_rows = Mat::from_fn(rank, rank, |i, j| q[(i, j)] * s[j].sqrt() / d[i])?;
    let to_columns = Mat::from_fn(rank, rank, |i, j| q[(i, j)] / s[j].sqrt() * d[i])?;
    let (to_rows, to_columns) = (product(&e, &to_rows)?, product(&e, &to_columns)?);
    multiply(context, rows, |i, j| to_rows[(i, j)])?;
    multiply(context, columns, |i, j| to_columns[(i, j)])
}

/// Roots of the eigenvalues and the eigenvectors; none of zeros, nor of what is not finite. Small ones are taken for larger
/// than they are, so that no map blows up rounding: what is small takes more sweeps.
fn roots<T: Scalar>(gram: &Mat<f64>) -> Result<Option<(Vec<f64>, Mat<f64>)>> {
    let (mut values, vectors) = eigh(gram)?;
    let largest = values.last().copied().unwrap_or(0.0);
    values.iter_mut().for_each(|value| *value = value.max(T::UNIT_ROUNDOFF.sqrt() * largest).sqrt());
    Ok(values.iter().all(|value| value.is_normal()).then_some((values, vectors)))
}

fn product(a: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
    Mat::from_fn(a.nrows(), b.ncols(), |i, j| (0..a.ncols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
}

/// The Gram matrix of rows, each weighted by its penalty.
fn weighted_gram<T: Scalar>(
    context: &Context,
    factor: &Factor<T>,
    ridge: impl Fn(usize) -> f64 + Sync,
) -> Result<Mat<f64>> {
    let Factor { rank, stride, .. } = *factor;
    let len = rank.next_multiple_of(8) * stride;
    let mut sums = zeros(len, "a sweep")?;
    let work = |_: &mut (), block: usize| {
        let rows = &factor.rows[block * BLOCK * stride..];
        let mut rows = Buffer::copy_of(&rows[..rows.len().min(BLOCK * stride)], "a sweep")?;
        for (i, row) in rows.chunks_exact_mut(stride).enumerate() {
            let root = ridge(block * BLOCK + i).sqrt();
            row.iter_mut().for_each(|x| *x = T::from_f64(x.to_f64() * root));
        }
        let mut gram = Buffer::zeros(len, "a sweep")?;
        add_gram(&rows, stride, rank, &mut gram);
        Ok(gram)
    };
    let add =
        |part: Buffer<T>| sums.iter_mut().zip(&*part).for_each(|(s, p): (&mut f64, &T)| *s += p.to_f64());
    context.fold_with(factor.count.div_ceil(BLOCK), || (), work, add)?;
    Mat::from_fn(rank, rank, |i, j| sums[i.min(j) * stride + i.max(j)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};
    use crate::random::Stream;

    #[test]
    fn the_product_stays_and_both_sides_cost_the_same() {
        let (context, shape) = (Context::new(1), (40, 30));
        let observed = observed::<f64>(&context, shape, &low_rank(shape, 3, 0.4, 0.1, 2));
        let stream = Stream::new(1, 0, 0);
        let mut factors = [shape.0, shape.1].map(|count| Factor::<f64>::zeros(count, 3).unwrap());
        for (side, factor) in factors.iter_mut().enumerate() {
            for (at, x) in factor.rows.iter_mut().enumerate() {
                *x = stream.normal(side as u64, at as u64) * [1.0, 0.1, 3.0][(at % factor.stride + side) % 3];
            }
            factor.rows.chunks_exact_mut(factor.stride).for_each(|row| row[3..].fill(0.0));
        }
        let [mut rows, mut columns] = factors;
        let products = |rows: &Factor<f64>, columns: &Factor<f64>| -> Vec<f64> {
            let product =
                |i: usize, j: usize| rows.row(i).iter().zip(columns.row(j)).map(|(x, y)| x * y).sum();
            (0..shape.0).flat_map(|i| (0..shape.1).map(move |j| (i, j))).map(|(i, j)| product(i, j)).collect()
        };
        let before = products(&rows, &columns);
        let penalty = Penalty { factor: 0.3, bias: None, exponent: 0.5 };
        balance(&context, &observed, Part::All, (&mut rows, &mut columns), penalty).unwrap();
        for (after, before) in products(&rows, &columns).iter().zip(before) {
            assert!((after - before).abs() < 1e-12);
        }
        let of_rows = weighted_gram(&context, &rows, |i| observed.rows.degree(i, Part::All).sqrt()).unwrap();
        let of_columns =
            weighted_gram(&context, &columns, |j| observed.columns.degree(j, Part::All).sqrt()).unwrap();
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let size = of_rows[(i, i)].max(of_columns[(j, j)]);
            assert!((of_rows[(i, j)] - of_columns[(i, j)]).abs() < 1e-10 * size, "{i} {j}");
            assert!(i == j || of_rows[(i, j)].abs() < 1e-10 * size);
        }
    }
}
