//! Products along the axes of a tensor.
//!
//! A tensor in C order is a matrix in two ways: its first axis by the rest, or the rest by its last axis. One
//! product of matrices therefore takes the first axis through a factor and leaves it as the last
//! ([`contract`]), or the last as the first ([`expand`]), and a sweep over all axes needs no other step.

use crate::error::Result;
use crate::linalg::matmul;
use crate::matrix::{Buffer, Dense, DenseMut, Mat, Real, Rows, TILE, even_blocks, make_rows};
use crate::memory::{extend, gathered, prepare, reset, zeros};
use crate::parallel::Context;
use crate::simd::kernel;
use std::ops::Range;

/// Rows of a tile.
const ROWS: usize = 512;

/// Columns of a tile: with [`ROWS`] no more than the second-level cache, and work for several threads.
fn tile_columns(columns: usize) -> usize {
    (columns / 16).clamp(16, 128)
}

/// `T' M`, row-major, for an n x rest matrix T: the first axis becomes the last.
pub(crate) fn contract(context: &Context, t: &dyn Rows, m: &Mat<f64>) -> Result<Buffer<f64>> {
    contract_and_see(context, t, m, |_| Ok(()), |(), _| ()).map(|(product, _)| product)
}

/// [`contract`] that shows every tile of T to `see` on the way, with a state of its own for each range of columns,
/// which `begin` makes for so many of them.
fn contract_and_see<S: Send>(
    context: &Context,
    t: &dyn Rows,
    m: &Mat<f64>,
    begin: impl Fn(usize) -> Result<S> + Sync,
    see: impl Fn(&mut S, Dense<'_, f64>) + Sync,
) -> Result<(Buffer<f64>, Vec<S>)> {
    let (n, rest, r) = (t.nrows(), t.ncols(), m.ncols());
    let width = tile_columns(rest);
    let mut product = Buffer::zeros(rest * r, "a mode product")?;
    let scratch = || (Vec::new(), Vec::new());
    let seen = context.map_parts(product.chunks_mut(width * r), scratch, |(buffer, sum), block, out| {
        let cols = block * width..block * width + out.len() / r;
        let mut seen = begin(cols.len())?;
        // Its rows are long, as those of T are; the columns of the product may be few.
        reset(sum, r * cols.len(), "a mode product")?;
        for start in (0..n).step_by(ROWS) {
            let rows = start..n.min(start + ROWS);
            let tile = t.tile(rows.clone(), cols.clone(), buffer)?;
            see(&mut seen, tile);
            let sum = DenseMut::row_major(sum, r, cols.len());
            matmul(sum, start > 0, m.as_ref().rows(rows).t(), tile, 1.0);
        }
        let sum = Dense::row_major(sum, r, cols.len()).t();
        for (i, out) in out.chunks_exact_mut(r).enumerate() {
            out.iter_mut().enumerate().for_each(|(j, out)| *out = sum.get(i, j));
        }
        Ok(seen)
    })?;
    Ok((product, gathered(seen, "a mode product")?))
}

/// `M T'`, row-major, for a rest x d matrix T in C order: the last axis becomes the first.
pub(crate) fn expand(context: &Context, t: &[f64], m: Dense<'_, f64>) -> Result<Buffer<f64>> {
    let (n, d) = (m.nrows(), m.ncols());
    let rest = t.len() / d;
    let t = Dense::row_major(t, rest, d).t();
    let mut product = Buffer::zeros(n * rest, "a mode product")?;
    let blocks = even_blocks(n, (n / 16).clamp(8, 64))?;
    make_rows(context, DenseMut::row_major(&mut product, n, rest), &blocks, rest, |_, rows, out| {
        matmul(DenseMut::row_major(out, rows.len(), rest), false, m.rows(rows), t, 1.0);
        Ok(())
    })?;
    Ok(product)
}

/// Takes the axes of every target, the first axis of `t` numbering `k` of them, through one matrix each.
pub(crate) fn along(
    context: &Context,
    t: &[f64],
    k: usize,
    matrices: &[Dense<'_, f64>],
) -> Result<Buffer<f64>> {
    let mut moved: Option<Buffer<f64>> = None;
    for m in matrices.iter().rev() {
        moved = Some(expand(context, moved.as_deref().unwrap_or(t), *m)?);
    }
    last_to_front(moved.as_deref().unwrap_or(t), k)
}

/// A tensor in C order with its last axis of length `last` moved to the front.
pub(crate) fn last_to_front(t: &[f64], last: usize) -> Result<Buffer<f64>> {
    let rest = t.len() / last;
    let mut moved = Buffer::zeros(t.len(), "a tensor")?;
    if last == 1 {
        moved.copy_from_slice(t);
        return Ok(moved);
    }
    for (j, row) in moved.chunks_exact_mut(rest).enumerate() {
        row.iter_mut().zip(t[j..].iter().step_by(last)).for_each(|(out, &value)| *out = value);
    }
    Ok(moved)
}

/// The targets B as a matrix, its first axis by the rest, in units that equilibrate them; less a fit, if there is one.
///
/// The last axis numbers the targets.
pub(crate) struct Targets<'t, T> {
    pub b: Dense<'t, T>,
    /// Powers of two, one for each target.
    pub scale: &'t [f64],
    pub fit: Option<Fit<'t>>,
}

/// The product of A, n x d, and T', for T rest x d in C order.
#[derive(Clone, Copy)]
pub(crate) struct Fit<'t> {
    pub a: &'t Mat<f64>,
    pub t: &'t [f64],
}

impl<T: Real> Rows for Targets<'_, T> {
    fn nrows(&self) -> usize {
        self.b.nrows()
    }

    fn ncols(&self) -> usize {
        self.b.ncols()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (height, width) = (rows.len(), cols.len());
        let as_given = self.scale.iter().all(|&scale| scale == 1.0);
        if as_given && self.fit.is_none() {
            return self.b.tile(rows, cols, buffer);
        }
        let k = self.scale.len();
        let part = self.b.window(rows.clone(), cols.clone());
        prepare(buffer, height * width, TILE)?;
        for i in 0..height {
            match part.row(i) {
                Some(row) => extend(buffer, row.iter().map(|value| value.to_f64()), TILE)?,
                None => extend(buffer, (0..width).map(|j| part.get(i, j).to_f64()), TILE)?,
            }
            if !as_given {
                let row = &mut buffer[i * width..];
                row.iter_mut().zip(cols.clone()).for_each(|(value, j)| *value *= self.scale[j % k]);
            }
        }
        if let Some(Fit { a, t }) = self.fit {
            let t = Dense::row_major(t, self.b.ncols(), a.ncols()).rows(cols);
            let out = DenseMut::row_major(buffer, height, width);
            matmul(out, true, a.as_ref().rows(rows), t.t(), -1.0);
        }
        Ok(Dense::row_major(buffer, height, width))
    }
}

/// What [`project`] makes of the targets.
pub(crate) struct Projection {
    /// `(U_1 (x) ... (x) U_q)' B`, one target after the other.
    pub y: Buffer<f64>,
    /// Sum of the squares of every target.
    pub squares: Vec<f64>,
}

/// Takes every axis of the targets through the transpose of its matrix.
pub(crate) fn project<T: Real>(
    context: &Context,
    targets: &Targets<'_, T>,
    matrices: &[&Mat<f64>],
) -> Result<Projection> {
    let squares = |columns: usize| zeros(columns, "squares of targets");
    let see = |squares: &mut Vec<f64>, tile: Dense<'_, f64>| {
        (0..tile.nrows()).map(|i| tile.stored_row(i)).for_each(|row| add_squares(row, squares));
    };
    let (mut y, seen) = contract_and_see(context, targets, matrices[0], squares, see)?;
    for m in &matrices[1..] {
        y = contract(context, &Dense::row_major(&y, m.nrows(), y.len() / m.nrows()), m)?;
    }
    let k = targets.scale.len();
    let mut squares = zeros(k, "squares of targets")?;
    for (column, column_squares) in seen.iter().flatten().enumerate() {
        squares[column % k] += column_squares;
    }
    Ok(Projection { y, squares })
}

kernel! {
    fn add_squares<V>(row: &[f64], squares: &mut [f64]) {
        for j in 0..row.len().min(squares.len()) {
            squares[j] = row[j].mul_add(row[j], squares[j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f64> {
        (0..len).map(|k| ((k * k % 1013) as f64).sin()).collect()
    }

    #[test]
    fn axes_go_round() {
        let (n, rest) = (1300, 37);
        let t = numbers(n * rest);
        let m = Mat::from_fn(n, 3, |i, j| ((i + 2 * j) as f64).cos()).unwrap();
        for threads in [1, 3] {
            let context = Context::new(threads);
            let contracted = contract(&context, &Dense::row_major(&t, n, rest), &m).unwrap();
            let expected = |k: usize, j: usize| (0..n).map(|i| t[i * rest + k] * m[(i, j)]).sum::<f64>();
            assert!((0..rest * 3).all(|k| (contracted[k] - expected(k / 3, k % 3)).abs() < 1e-11));
            let expanded = expand(&context, &contracted, m.as_ref()).unwrap();
            let entry = |i: usize, k: usize| (0..3).map(|j| m[(i, j)] * contracted[k * 3 + j]).sum::<f64>();
            assert!((0..n * rest).all(|p| (expanded[p] - entry(p / rest, p % rest)).abs() < 1e-10));
        }
        assert_eq!(
            &*last_to_front(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap(),
            [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]
        );
    }

    #[test]
    fn targets_are_scaled_and_lose_their_fit() {
        let b: Vec<f32> = numbers(60).iter().map(|&value| value as f32).collect();
        let a = Mat::from_fn(5, 2, |i, j| (i + j) as f64).unwrap();
        let t = numbers(24);
        let scale = [1.0, 4.0];
        let b = Dense::row_major(&b, 5, 12);
        let targets = Targets { b, scale: &scale, fit: Some(Fit { a: &a, t: &t }) };
        let mut buffer = Vec::new();
        let tile = targets.tile(1..4, 2..9, &mut buffer).unwrap();
        for (i, j) in (0..3).flat_map(|i| (0..7).map(move |j| (i, j))) {
            let fit: f64 = (0..2).map(|c| a[(i + 1, c)] * t[(j + 2) * 2 + c]).sum();
            let expected = f64::from(b.get(i + 1, j + 2)) * scale[j % 2] - fit;
            assert!((tile.get(i, j) - expected).abs() < 1e-14);
        }
        let one = Mat::identity(5).unwrap();
        let projection = project(&Context::new(1), &targets, &[&one]).unwrap();
        let whole = targets.tile(0..5, 0..12, &mut buffer).unwrap();
        let squares: f64 = (0..30).map(|p| whole.get(p / 6, p % 6 * 2).powi(2)).sum();
        assert!((projection.squares[0] - squares).abs() < 1e-13);
    }
}
