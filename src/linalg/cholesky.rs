//! Cholesky factorisation.

use super::doubt::is_cholesky;
use super::products::matmul;
use super::triangle::solve_upper_transposed;
use super::view::{scratch, view_mut};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Mat};
use crate::parallel::Context;
use faer::dyn_stack::MemStack;
use faer::linalg::cholesky::llt::factor::{LltParams, cholesky_in_place, cholesky_in_place_scratch};
use faer::{Auto, Par, Spec};

/// The upper triangle R, zero below its diagonal, with R'R = G for a symmetric G of which only the lower
/// triangle is read. `None` when G is not positive definite to working precision or holds NaN or an infinity.
///
/// Panics if G is not square.
pub fn cholesky(g: &Mat<f64>) -> Result<Option<Mat<f64>>> {
    let n = g.nrows();
    assert_eq!(n, g.ncols());
    let mut factor = Mat::zeros(n, n)?;
    (0..n).for_each(|j| factor.col_mut(j)[j..].copy_from_slice(&g.col(j)[j..]));
    let mut buffer = scratch(cholesky_in_place_scratch::<f64>(n, Par::Seq, parameters()))?;
    let stack = MemStack::new(&mut buffer);
    let outcome =
        cholesky_in_place(view_mut(factor.as_mut()), Default::default(), Par::Seq, stack, parameters());
    lower_to_upper(&mut factor);
    Ok((outcome.is_ok() && is_cholesky(g, &factor)?).then_some(factor))
}

/// [`cholesky()`] on all threads where G is large: the same bits for any number of them.
///
/// Panics if G is not square.
pub fn parallel_cholesky(context: &Context, g: &Mat<f64>) -> Result<Option<Mat<f64>>> {
    let n = g.nrows();
    if n < LARGE {
        return cholesky(g);
    }
    assert_eq!(n, g.ncols());
    let mut factor = Mat::zeros(n, n)?;
    let columns = factor.as_mut_slice().chunks_mut(n * BLOCK);
    context.map_parts(columns, || (), |(), block, columns| upper_of_lower(g, block * BLOCK, columns))?;
    for first in (0..n).step_by(BLOCK) {
        let end = n.min(first + BLOCK);
        let (head, rest) = factor.as_mut_slice().split_at_mut(end * n);
        let own = DenseMut::column_major(&mut head[first * n..], n, end - first);
        let mut own = own.window(first..end, 0..end - first);
        let Some(r) = cholesky(&Mat::copy_of(own.as_ref().t())?)? else { return Ok(None) };
        own.reborrow().copy_from(r.as_ref());
        // A row of blocks, and what it takes off those below it: the tallest columns first, which take the longest.
        let mut row = Mat::zeros(end - first, n - end)?;
        let parts = rest.chunks_mut(n * BLOCK).zip(row.as_mut_slice().chunks_mut((end - first) * BLOCK));
        context.map_parts(
            parts,
            || (),
            |(), _, (columns, row)| {
                let width = columns.len() / n;
                let mut row = DenseMut::column_major(row, end - first, width);
                row.reborrow().copy_from(Dense::column_major(columns, n, width).rows(first..end));
                solve_upper_transposed(r.as_ref(), row.reborrow());
                DenseMut::column_major(columns, n, width)
                    .window(first..end, 0..width)
                    .copy_from(row.as_ref());
            },
        )?;
        let parts = rest.chunks_mut(n * BLOCK).enumerate().rev();
        context.map_parts(
            parts,
            || (),
            |(), _, (block, columns)| {
                let (start, width) = (block * BLOCK, columns.len() / n);
                let below =
                    DenseMut::column_major(columns, n, width).window(end..end + start + width, 0..width);
                let (left, right) =
                    (row.as_ref().cols(0..start + width), row.as_ref().cols(start..start + width));
                matmul(below, true, left.t(), right, -1.0);
            },
        )?;
    }
    Ok(is_cholesky(g, &factor)?.then_some(factor))
}

/// Orders beside which the buffers that products keep for each thread are little, and columns of a block.
const LARGE: usize = 2048;
const BLOCK: usize = 192;

/// Columns of the upper triangle of a symmetric matrix, from this one on, of which the lower one is read.
fn upper_of_lower(g: &Mat<f64>, first: usize, columns: &mut [f64]) {
    const SIDE: usize = 8;
    let n = g.ncols();
    for i0 in (0..first + columns.len() / n).step_by(SIDE) {
        for (j, column) in (first..).zip(columns.chunks_exact_mut(n)) {
            (i0..(i0 + SIDE).min(j + 1)).for_each(|i| column[i] = g[(j, i)]);
        }
    }
}

/// Replaces L, and whatever is above its diagonal, by L'.
pub(super) fn lower_to_upper(a: &mut Mat<f64>) {
    const SIDE: usize = 8;
    let n = a.ncols();
    for (j0, i0) in (0..n).step_by(SIDE).flat_map(|j0| (j0..n).step_by(SIDE).map(move |i0| (j0, i0))) {
        let mut tile = [[0.0; SIDE]; SIDE];
        for j in j0..n.min(j0 + SIDE) {
            for (i, value) in a.col_mut(j).iter_mut().enumerate().take(i0 + SIDE).skip(i0.max(j)) {
                tile[i - i0][j - j0] = *value;
                *value = 0.0;
            }
        }
        for i in i0..n.min(i0 + SIDE) {
            let height = SIDE.min(i + 1 - j0);
            a.col_mut(i)[j0..j0 + height].copy_from_slice(&tile[i - i0][..height]);
        }
    }
}

/// Small blocks are worth cutting: faer's kernel for them is slow at its own threshold of 64.
fn parameters() -> Spec<LltParams, f64> {
    Spec::new(LltParams { recursion_threshold: 32, ..Auto::<f64>::auto() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use proptest::prelude::*;

    /// A'A + shift I, with NaN above the diagonal.
    fn gram(a: &Mat<f64>, shift: f64) -> Mat<f64> {
        let g = product(a.as_ref().t(), a.as_ref());
        let entry = |i: usize, j: usize| g[(i, j)] + if i == j { shift } else { 0.0 };
        Mat::from_fn(a.ncols(), a.ncols(), |i, j| if i >= j { entry(i, j) } else { f64::NAN }).unwrap()
    }

    proptest! {
        #[test]
        fn multiplies_back(case in any_matrix()) {
            let a = case.copy();
            let n = a.ncols();
            let size = largest(a.as_ref()).powi(2) * a.nrows() as f64;
            let g = gram(&a, 1e-3 * size + f64::MIN_POSITIVE);
            let r = cholesky(&g).unwrap().unwrap();
            prop_assert!((0..n).all(|j| r.col(j)[j + 1..].iter().all(|&below| below == 0.0)));
            let back = product(r.as_ref().t(), r.as_ref());
            let lower = |m: &Mat<f64>| Mat::from_fn(n, n, |i, j| m[(i.max(j), i.min(j))]).unwrap();
            let error = distance(lower(&back).as_ref(), lower(&g).as_ref());
            prop_assert!(error <= 1e-15 * n as f64 * size, "{error:e}");
        }
    }

    #[test]
    fn large_ones_have_the_same_bits_for_any_threads_and_multiply_back() {
        let n = LARGE + 37;
        let a = gaussian(n + 9, n, 5);
        let mut g = Mat::zeros(n, n).unwrap();
        matmul(g.as_mut(), false, a.as_ref().t(), a.as_ref(), 1.0);
        (0..n).for_each(|j| g.col_mut(j)[..j].fill(f64::NAN));
        let [one, three] =
            [1, 3].map(|threads| parallel_cholesky(&Context::new(threads), &g).unwrap().unwrap());
        assert_eq!(one.as_slice(), three.as_slice());
        let whole = cholesky(&g).unwrap().unwrap();
        assert!((0..n).all(|j| one.col(j)[j + 1..].iter().all(|&below| below == 0.0)));
        assert!(distance(one.as_ref(), whole.as_ref()) <= 1e-9 * largest(whole.as_ref()));
        g[(n - 2, n - 2)] = 0.0;
        assert!(parallel_cholesky(&Context::new(2), &g).unwrap().is_none());
    }

    #[test]
    fn breakdown_is_none() {
        let indefinite = Mat::from_fn(40, 40, |i, j| if i == j { [1.0, -1.0][i / 39] } else { 0.0 }).unwrap();
        assert!(cholesky(&indefinite).unwrap().is_none());
        assert!(cholesky(&Mat::zeros(3, 3).unwrap()).unwrap().is_none());
        for (n, bad) in [(1, f64::NAN), (50, f64::NAN), (50, f64::INFINITY), (200, f64::NEG_INFINITY)] {
            for (i, j) in [(n - 1, n - 1), (n - 1, 0), (n / 2, n / 2), (0, 0)] {
                let mut g = Mat::identity(n).unwrap();
                g[(i, j)] = bad;
                assert!(cholesky(&g).unwrap().is_none(), "{bad} at ({i}, {j}) of {n}");
            }
        }
        let singular = gram(&gaussian(10, 30, 1), 0.0);
        if let Some(r) = cholesky(&singular).unwrap() {
            assert!((0..30).any(|j| r[(j, j)] < 1e-6));
        }
        assert_eq!(cholesky(&Mat::zeros(0, 0).unwrap()).unwrap().unwrap().ncols(), 0);
    }
}
