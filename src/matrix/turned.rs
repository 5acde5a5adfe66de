//! Compressed matrices along their other axis, with nothing in memory beside the two of them.

use super::blocks::even_blocks;
use super::sparse::IndexBuf;
use super::triplets::{Held, Number, Weighted, parted};
use super::{Axis, Real, SparseBuf};
use crate::error::Result;
use crate::memory::{copied, zeros};
use crate::parallel::Context;
use std::ops::Range;

/// What memory is for.
const COPY: &str = "a sparse matrix along its other axis";
/// Entries that are moved between two looks at the host.
const BAND: usize = 1 << 22;

impl<T: Real> SparseBuf<T> {
    /// The same matrix with its lines along the other axis, sorted too. Entries of one place stay in their order.
    pub fn turned(&self, context: &Context) -> Result<Self> {
        let (indptr, indices, data) = self.turn(context, |at| self.data[at])?;
        Ok(self.with(indptr, indices, data))
    }

    /// The same with a number for each entry that goes with it.
    pub fn turned_with(&self, context: &Context, weights: &[T]) -> Result<(Self, Vec<T>)> {
        let (indptr, indices, data) = self.turn(context, |at| Weighted(self.data[at], weights[at]))?;
        let (data, weights) = parted(data)?;
        Ok((self.with(indptr, indices, data), weights))
    }

    fn with(&self, indptr: Vec<i64>, indices: IndexBuf, data: Vec<T>) -> Self {
        let axis = match self.axis {
            Axis::Rows => Axis::Columns,
            Axis::Columns => Axis::Rows,
        };
        Self { axis, lines: self.width, width: self.lines, indptr, indices, data }
    }

    fn turn<H: Held>(
        &self,
        context: &Context,
        held: impl Fn(usize) -> H + Sync,
    ) -> Result<(Vec<i64>, IndexBuf, Vec<H>)> {
        let fits = i32::try_from(self.lines).is_ok();
        Ok(match (&self.indices, fits) {
            (IndexBuf::I32(indices), true) => {
                let (ends, turned, data) = self.turn_as(context, indices, held)?;
                (ends, IndexBuf::I32(turned), data)
            }
            (IndexBuf::I32(indices), false) => {
                let (ends, turned, data) = self.turn_as(context, indices, held)?;
                (ends, IndexBuf::I64(turned), data)
            }
            (IndexBuf::I64(indices), true) => {
                let (ends, turned, data) = self.turn_as(context, indices, held)?;
                (ends, IndexBuf::I32(turned), data)
            }
            (IndexBuf::I64(indices), false) => {
                let (ends, turned, data) = self.turn_as(context, indices, held)?;
                (ends, IndexBuf::I64(turned), data)
            }
        })
    }

    /// Bands of the lines to be are made on their own, each from its part of every line that there is.
    fn turn_as<I: Number, J: Number, H: Held>(
        &self,
        context: &Context,
        indices: &[I],
        held: impl Fn(usize) -> H + Sync,
    ) -> Result<(Vec<i64>, Vec<J>, Vec<H>)> {
        let count = (indices.len() / BAND).max(context.threads()).min(self.width).max(1);
        let bands = even_blocks(self.width, self.width.div_ceil(count).max(1))?;
        let mut ends: Vec<i64> = zeros(self.width + 1, COPY)?;
        let mut rest = &mut ends[1..];
        let parts = bands.iter().map(|band| rest.split_off_mut(..band.len()).unwrap_or_default());
        context.map_parts(
            parts,
            || (),
            |(), number, counts: &mut [i64]| {
                let band = &bands[number];
                self.visit_band(indices, band, |at, _| counts[indices[at].offset() - band.start] += 1);
            },
        )?;
        (0..self.width).for_each(|line| ends[line + 1] += ends[line]);
        let (mut turned, mut data) = (zeros(indices.len(), COPY)?, zeros(indices.len(), COPY)?);
        let (mut of_indices, mut of_data) = (turned.as_mut_slice(), data.as_mut_slice());
        let parts = bands.iter().map(|band| {
            let stored = (ends[band.end] - ends[band.start]) as usize;
            let indices = of_indices.split_off_mut(..stored).unwrap_or_default();
            (indices, of_data.split_off_mut(..stored).unwrap_or_default())
        });
        let work = |(): &mut (), number: usize, (turned, data): (&mut [J], &mut [H])| {
            let band = &bands[number];
            let (first, mut next) = (ends[band.start], copied(&ends[band.clone()], COPY)?);
            self.visit_band(indices, band, |at, line| {
                let place = &mut next[indices[at].offset() - band.start];
                let to = (*place - first) as usize;
                (turned[to], data[to]) = (J::from_offset(line), held(at));
                *place += 1;
            });
            Ok(())
        };
        context.map_parts(parts, || (), work)?.into_iter().try_for_each(std::convert::identity)?;
        Ok((ends, turned, data))
    }

    /// `work(position, line)` for all entries whose index is in a band, line after line.
    fn visit_band<I: Number>(&self, indices: &[I], band: &Range<usize>, mut work: impl FnMut(usize, usize)) {
        for line in 0..self.lines {
            let extent = self.indptr[line] as usize..self.indptr[line + 1] as usize;
            let below = |end: usize, all: usize| match () {
                () if end == 0 => 0,
                () if end >= self.width => all,
                () => indices[extent.clone()].partition_point(|index| index.offset() < end),
            };
            let (start, all) = (extent.start, extent.len());
            for at in start + below(band.start, all)..start + below(band.end, all) {
                work(at, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Indices, Repeated, Triplets};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_sorting_along_that_axis_gives(
            entries in prop::collection::vec((0i64..23, 0i32..31, 0u8..5, 1u8..4), 0..300), threads in 1usize..4
        ) {
            let rows: Vec<i64> = entries.iter().map(|e| e.0).collect();
            let columns: Vec<i32> = entries.iter().map(|e| e.1).collect();
            let values: Vec<f64> = entries.iter().map(|e| f64::from(e.2)).collect();
            let weights: Vec<f64> = entries.iter().map(|e| f64::from(e.3)).collect();
            let (rows, columns) = (Indices::I64(&rows), Indices::I32(&columns));
            let triplets = Triplets { argument: "X", shape: (23, 31), rows, columns, values: &values };
            let context = Context::new(threads);
            for (axis, other) in [(Axis::Rows, Axis::Columns), (Axis::Columns, Axis::Rows)] {
                let made = triplets.compressed_as(&context, axis, Repeated::Keep).unwrap();
                let expected = triplets.compressed_as(&context, other, Repeated::Keep).unwrap();
                let turned = made.turned(&context).unwrap();
                prop_assert_eq!((&turned.indptr, &turned.data), (&expected.indptr, &expected.data));
                prop_assert_eq!(turned.as_ref().indices().len(), entries.len());
                let same = |k: usize| turned.as_ref().indices().get(k) == expected.as_ref().indices().get(k);
                prop_assert!((0..entries.len()).all(same));
                prop_assert_eq!((turned.axis, turned.lines, turned.width), (other, made.width, made.lines));
                let with = |axis, repeated| {
                    triplets.compressed_with_weights(&context, axis, repeated, &weights).unwrap()
                };
                let ((made, of_made), (expected, of_expected)) =
                    (with(axis, Repeated::Keep), with(other, Repeated::Keep));
                let (turned, of_turned) = made.turned_with(&context, &of_made).unwrap();
                prop_assert_eq!((&turned.data, &of_turned), (&expected.data, &of_expected));
                // A mean of what has weights is that of as many without.
                let (mean, of_mean) = with(axis, Repeated::Mean);
                let (sums, of_sums) = with(axis, Repeated::Sum);
                prop_assert_eq!((of_mean.len(), mean.data.len()), (of_sums.len(), sums.data.len()));
                let total: f64 = weights.iter().sum();
                prop_assert!((of_sums.iter().sum::<f64>() - total).abs() < 1e-9);
                prop_assert!(of_mean.iter().all(|weight| (1.0..=3.0).contains(weight)));
            }
        }
    }
}
