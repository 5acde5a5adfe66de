//! The targets brought near one, after one read of them in their own order.

use crate::error::{Error, Result};
use crate::linalg::{SIDES, largest_of};
use crate::matrix::{Real, Rows, Source, TILE_ROWS, power_of_two_below, row_blocks};
use crate::memory::{extend, filled, prepare};
use crate::parallel::Context;
use crate::regression::design::{Design, NEGLIGIBLE, extreme, negligible_weights};
use crate::simd::{kernel, norm_sq};
use std::ops::Range;

/// What is known of the size of some numbers.
#[derive(Clone, Copy, Default)]
struct Size {
    /// The largest magnitude.
    largest: f64,
    /// Sum of the squares over that of [`Size::unit`]; NaN or infinite if a number is.
    squares: f64,
}

impl Size {
    fn of(values: &[f64], scratch: &mut Vec<f64>) -> Result<Self> {
        let largest = largest_of(values);
        let unit = power_of_two_below(largest).recip();
        let squares = if extreme(largest) {
            prepare(scratch, values.len(), TARGETS)?;
            extend(scratch, values.iter().map(|value| value * unit), TARGETS)?;
            norm_sq(scratch)
        } else {
            norm_sq(values) * unit * unit
        };
        Ok(Self { largest, squares })
    }

    /// The power of two below the largest.
    fn unit(self) -> f64 {
        power_of_two_below(self.largest)
    }

    /// That of these numbers and others.
    fn with(self, other: Self) -> Self {
        let (small, large) = if self.largest < other.largest { (self, other) } else { (other, self) };
        let ratio = small.unit() / large.unit();
        // Zeros have the unit of ones.
        let squares = if small.largest == 0.0 { small.squares } else { small.squares * ratio * ratio };
        Self { squares: large.squares + squares, ..large }
    }
}

impl<T: Real, M: Source> Design<'_, T, M> {
    /// Brings the targets near one.
    pub(super) fn with_targets(mut self, context: &Context) -> Result<Self> {
        let (n, k) = (self.nrows(), self.ntargets());
        let blocks = row_blocks(n, k)?;
        let of_block =
            |buffers: &mut [Vec<f64>; 3], block: usize| self.sizes_of_targets(blocks[block].clone(), buffers);
        let mut sizes = filled(Size::default(), k, TARGETS)?;
        for block in context.map_with(blocks.len(), Default::default, of_block)? {
            sizes.iter_mut().zip(block?).for_each(|(size, part)| *size = size.with(part));
        }
        for (target, size) in sizes.iter().enumerate() {
            if !size.squares.is_finite() {
                self.refuse_non_finite(context, target)?;
            }
            if self.a.root_weights.is_some() && size.largest < NEGLIGIBLE {
                self.refuse_vanishing(context, target, size.largest)?;
            }
            self.target_scale[target] = size.unit().recip();
            self.target_norm[target] = size.squares.sqrt();
        }
        Ok(self)
    }

    /// Of every target, its weights included, on some rows.
    fn sizes_of_targets(
        &self,
        rows: Range<usize>,
        [buffer, adjusted, scratch]: &mut [Vec<f64>; 3],
    ) -> Result<Vec<Size>> {
        let (k, columns) = (self.ntargets(), self.targets.t());
        let mut sizes = filled(Size::default(), k, TARGETS)?;
        let step = (MOST_NUMBERS / k.max(1)).max(TILE_ROWS);
        for start in rows.clone().step_by(step) {
            let part = start..(start + step).min(rows.end);
            let tile = columns.tile(0..k, part.clone(), buffer)?;
            for (target, size) in sizes.iter_mut().enumerate() {
                let mut values = tile.stored_row(target);
                if self.a.means.is_some() || self.a.root_weights.is_some() {
                    let (mean, entries) = (self.target_means[target], part.clone().zip(values));
                    let entries = entries.map(|(row, value)| (value - mean) * self.root_weight(row));
                    prepare(adjusted, part.len(), TARGETS)?;
                    extend(adjusted, entries, TARGETS)?;
                    values = adjusted;
                }
                *size = size.with(Size::of(values, scratch)?);
            }
        }
        Ok(sizes)
    }

    /// Some targets on some rows, in the units of the solvers: one panel after the other, its rows of [`SIDES`] numbers,
    /// zeros where there is no target.
    pub(super) fn load_targets(&self, targets: &[usize], rows: Range<usize>, panels: &mut [f64]) {
        let width = (rows.len() * SIDES).max(1);
        // What the targets do not fill of their last panel, and all after it.
        panels.chunks_exact_mut(width).skip(targets.len() / SIDES).for_each(|panel| panel.fill(0.0));
        let consecutive = targets.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        if self.targets.col_stride() == 1 && consecutive && !targets.is_empty() {
            // In the order in which they lie in memory.
            let sides = targets[0]..targets[0] + targets.len();
            let values = self.targets.cols(sides.clone());
            let adjust = [&self.target_means[sides.clone()], &self.target_scale[sides]];
            for (i, row) in rows.enumerate() {
                let out = &mut panels[i * SIDES..];
                load_row(values.stored_row(row), adjust, self.root_weight(row), width, out);
            }
            return;
        }
        for (panel, sides) in panels.chunks_exact_mut(width).zip(targets.chunks(SIDES)) {
            for (side, &target) in sides.iter().enumerate() {
                let out = panel[side..].iter_mut().step_by(SIDES);
                match self.targets.col(target) {
                    Some(column) => self.load_column(target, &column[rows.clone()], rows.start, out),
                    None => out.zip(rows.clone()).for_each(|(out, row)| *out = self.target(row, target)),
                }
            }
        }
    }

    /// One target on the rows from `first` on, in the units of the solvers.
    pub(super) fn load_target(&self, target: usize, first: usize, out: &mut [f64]) {
        match self.targets.col(target) {
            Some(column) => self.load_column(target, &column[first..][..out.len()], first, out.iter_mut()),
            None => (first..).zip(out).for_each(|(row, out)| *out = self.target(row, target)),
        }
    }

    /// One of these, its entries `values` contiguous and the first of them in row `first`.
    fn load_column<'o>(
        &self,
        target: usize,
        values: &[T],
        first: usize,
        out: impl Iterator<Item = &'o mut f64>,
    ) {
        let (mean, scale) = (self.target_means[target], self.target_scale[target]);
        let entries = out.zip(values);
        match &self.a.root_weights {
            None => entries.for_each(|(out, value)| *out = (value.to_f64() - mean) * scale),
            Some(roots) => {
                let entries = entries.zip(&roots[first..]);
                entries.for_each(|((out, value), root)| *out = (value.to_f64() - mean) * root * scale);
            }
        }
    }

    /// Names the first entry of a target that is not finite, if there is one.
    fn refuse_non_finite(&self, context: &Context, target: usize) -> Result<()> {
        for rows in context.pieces(0..self.nrows()) {
            for row in rows? {
                let value = self.targets.get(row, target).to_f64();
                if !value.is_finite() {
                    return Err(Error::non_finite("b", value, format!("[{row}, {target}]")));
                }
            }
        }
        Ok(())
    }

    /// Refuses weights beside which all of a target vanishes that is not zero itself.
    fn refuse_vanishing(&self, context: &Context, target: usize, largest: f64) -> Result<()> {
        let mut faint = 0.0f64;
        for rows in context.pieces(0..self.nrows()) {
            for row in rows?.filter(|&row| self.root_weight(row) > 0.0) {
                let value = self.targets.get(row, target).to_f64();
                faint = faint.max((value - self.target_means[target]).abs());
            }
        }
        if faint > largest { Err(negligible_weights("b")) } else { Ok(()) }
    }
}

kernel! {
    /// Writes one row of some targets less their means, times its root weight and their scales, [`SIDES`] numbers to every
    /// panel of `width` numbers.
    fn load_row<V, T: Real>(row: &[T], adjust: [&[f64]; 2], root: f64, width: usize, panels: &mut [f64]) {
        let (values, rest) = row.as_chunks::<SIDES>();
        let ((means, means_rest), (scales, scales_rest)) =
            (adjust[0].as_chunks::<SIDES>(), adjust[1].as_chunks::<SIDES>());
        assert!(means.len() == values.len() && scales.len() == values.len());
        for c in 0..values.len() {
            if let Some(out) = panels[c * width..].first_chunk_mut::<SIDES>() {
                for side in 0..SIDES {
                    out[side] = (values[c][side].to_f64() - means[c][side]) * root * scales[c][side];
                }
            }
        }
        for side in 0..rest.len() {
            panels[values.len() * width + side] = (rest[side].to_f64() - means_rest[side]) * root * scales_rest[side];
        }
    }
}

const TARGETS: &str = "the targets";

/// Numbers of the targets that are looked at at once.
const MOST_NUMBERS: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Buffer, Dense, Mat, Matrix};
    use crate::regression::problem::Problem;

    const N: usize = 9000;

    fn problem<'p>(a: &'p Mat<f64>, targets: Dense<'p, f64>, weights: Option<&'p [f64]>) -> Problem<'p, f64> {
        Problem { design: Matrix::Dense(a.as_ref()), targets, weights, ridge: &[0.0], fit_intercept: false }
    }

    #[test]
    fn norms_and_scales_have_one_set_of_bits_for_both_orders_and_any_threads() {
        let a = Mat::from_fn(N, 1, |_, _| 1.0).unwrap();
        let weights: Vec<f64> = (0..N).map(|i| (i % 5) as f64).collect();
        // The last rows are the largest, of magnitudes whose squares are in range, beyond it, and too small for it.
        let sizes = [1.0, 1e200, 1e-280, 0.0, 3e-160];
        let entry =
            |i: usize, j: usize| ((i * 7 + j) % 13) as f64 * sizes[j] * if i < N - 9 { 1e-3 } else { 1.0 };
        let b = Mat::from_fn(N, 5, entry).unwrap();
        let rows: Vec<f64> = (0..5 * N).map(|at| entry(at / 5, at % 5)).collect();
        for weights in [None, Some(&weights[..])] {
            let of = |targets, threads| {
                Design::new(&Context::new(threads), &problem(&a, targets, weights)).unwrap()
            };
            let expected = of(b.as_ref(), 1);
            for found in [of(b.as_ref(), 3), of(Dense::row_major(&rows, N, 5), 2)] {
                assert_eq!(found.target_norm, expected.target_norm);
                assert_eq!(found.target_scale, expected.target_scale);
            }
            for j in 0..5 {
                let largest = (0..N).fold(0.0f64, |largest, i| largest.max(expected.target(i, j).abs()));
                assert!(j == 3 || (1.0..2.0).contains(&largest), "{largest}");
                let norm = (0..N).map(|i| expected.target(i, j).powi(2)).sum::<f64>().sqrt();
                assert!((expected.target_norm(j) - norm).abs() <= 1e-13 * norm, "{j}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_named_and_what_vanishes_beside_weights_is_refused() {
        let a = Mat::from_fn(N, 1, |_, _| 1.0).unwrap();
        let mut b: Buffer<f64> = Buffer::zeros(3 * N, "a test").unwrap();
        b.fill(1.0);
        let weights = vec![1e-290; N];
        let refused = |b: &[f64], weights| {
            let targets = Dense::row_major(b, N, 3);
            Design::new(&Context::new(2), &problem(&a, targets, weights)).err()
        };
        assert_eq!(refused(&b, None), None);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            b[3 * 4000 + 2] = value;
            let expected = Error::non_finite("b", value, "[4000, 2]");
            assert_eq!(refused(&b, None).map(|error| error.to_string()), Some(expected.to_string()));
        }
        b[3 * 4000 + 2] = 1.0;
        (0..N).for_each(|i| b[3 * i + 1] = 1e-160);
        let message = refused(&b, Some(&weights)).unwrap().to_string();
        assert!(message.contains("makes `b` vanish"), "{message}");
    }
}
