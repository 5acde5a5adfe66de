//! Columns as rows.

use super::kernel;
use super::lanes::Element;
use super::residual::Lines;

kernel! {
    /// Entry (i, j) of a matrix, at `data[i + j * stride]`, goes to `out[i * width + j]`. Eight columns at a time: eight
    /// streams of reads, whole cache lines of writes.
    ///
    /// Panics if either is too short, or rows are longer than `width`.
    pub fn rows_of_columns<V, T: Element>(
        data: &[T],
        stride: usize,
        shape: (usize, usize),
        out: &mut [f64],
        width: usize,
    ) {
        let (nrows, ncols) = shape;
        if nrows == 0 {
            // There may be nothing to read, wherever columns would begin.
            return;
        }
        let end = if nrows * ncols > 0 { (nrows - 1) * width + ncols } else { 0 };
        assert!(ncols <= width && out.len() >= end);
        for first in (0..ncols / 8 * 8).step_by(8) {
            let lines = Lines::<T, 8>::new(&data[first * stride..], stride, nrows);
            for chunk in 0..nrows / 8 {
                let mut columns = [V::splat(0.0); 8];
                for k in 0..8 {
                    columns[k] = lines.chunk(k, chunk);
                }
                let rows = V::transpose(columns);
                for i in 0..8 {
                    if let Some(to) = out[(8 * chunk + i) * width + first..].first_chunk_mut::<8>() {
                        rows[i].store(to);
                    }
                }
            }
        }
        for i in 0..nrows {
            let left = if i < nrows / 8 * 8 { ncols / 8 * 8 } else { 0 };
            for j in left..ncols {
                out[i * width + j] = data[i + j * stride].to_f64();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::on_every_path;

    #[test]
    fn every_entry_comes_to_its_place_and_nothing_else_is_touched() {
        for (nrows, ncols, gap) in
            [(0, 3, 0), (3, 0, 0), (1, 1, 0), (8, 8, 0), (7, 9, 2), (24, 16, 1), (29, 21, 3)]
        {
            let (stride, width) = (nrows + gap, ncols + gap);
            let entry = |i: usize, j: usize| (1 + i + 100 * j) as f32;
            let data: Vec<f32> = (0..stride * ncols).map(|at| entry(at % stride, at / stride)).collect();
            for out in on_every_path(|| {
                let mut out = vec![0.5; nrows * width];
                rows_of_columns(&data, stride, (nrows, ncols), &mut out, width);
                out
            }) {
                for (at, found) in out.into_iter().enumerate() {
                    let (i, j) = (at / width, at % width);
                    assert_eq!(found, if j < ncols { f64::from(entry(i, j)) } else { 0.5 });
                }
            }
        }
    }
}
