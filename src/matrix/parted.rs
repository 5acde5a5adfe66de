//! Lines cut in two: what some entries have in common, before the others.

use super::blocks::blocks_by_cost;
use super::sparse::IndexBuf;
use super::{Indices, Real, SparseBuf};
use crate::error::Result;
use crate::memory::{push, zeros};
use crate::parallel::Context;
use crate::simd::Index;
use std::convert::identity;

impl<T: Real> SparseBuf<T> {
    /// Moves the entries of every line of which `first(line, index)` is false behind the others, each part in the order that
    /// it had, and tells where it begins in each line. Numbers `beside` the entries, if there are any, are moved with them.
    pub fn part_lines(
        &mut self,
        context: &Context,
        beside: &mut [T],
        first: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<Vec<i64>> {
        let mut others: Vec<i64> = zeros(self.lines, "where lines are cut")?;
        let Self { indptr, indices, data, .. } = self;
        match indices {
            IndexBuf::I32(indices) => {
                part_lines(context, indptr, indices, (data, beside), &mut others, first)?
            }
            IndexBuf::I64(indices) => {
                part_lines(context, indptr, indices, (data, beside), &mut others, first)?
            }
        }
        Ok(others)
    }
}

/// [`SparseBuf::part_lines`] for one type of index.
fn part_lines<I: Index, T: Real>(
    context: &Context,
    ends: &[i64],
    indices: &mut [I],
    (values, beside): (&mut [T], &mut [T]),
    others: &mut [i64],
    first: impl Fn(usize, usize) -> bool + Sync,
) -> Result<()> {
    let blocks = blocks_by_cost(Indices::I64(ends), 1 << 16)?;
    let (mut indices, mut values, mut beside, mut others) = (indices, values, beside, others);
    let parts = blocks.iter().map(|lines| {
        let stored = (ends[lines.end] - ends[lines.start]) as usize;
        let of_lines = others.split_off_mut(..lines.len()).unwrap_or_default();
        let of_indices = indices.split_off_mut(..stored).unwrap_or_default();
        let of_values = values.split_off_mut(..stored).unwrap_or_default();
        (of_lines, of_indices, of_values, beside.split_off_mut(..stored).unwrap_or_default())
    });
    type Part<'a, I, T> = (&'a mut [i64], &'a mut [I], &'a mut [T], &'a mut [T]);
    let work =
        |moved: &mut Vec<(I, T, T)>, block: usize, (others, indices, values, beside): Part<'_, I, T>| {
            let lines = blocks[block].clone();
            let start = ends[lines.start];
            for (line, other) in lines.zip(others) {
                moved.clear();
                let (from, to) = ((ends[line] - start) as usize, (ends[line + 1] - start) as usize);
                let mut kept = from;
                for k in from..to {
                    let number = beside.get(k).copied().unwrap_or_default();
                    if first(line, indices[k].offset()) {
                        (indices[kept], values[kept]) = (indices[k], values[k]);
                        beside.get_mut(kept).into_iter().for_each(|place| *place = number);
                        kept += 1;
                    } else {
                        push(moved, (indices[k], values[k], number), "entries that are moved")?;
                    }
                }
                *other = start + kept as i64;
                for (k, &(index, value, number)) in (kept..to).zip(&*moved) {
                    (indices[k], values[k]) = (index, value);
                    beside.get_mut(k).into_iter().for_each(|place| *place = number);
                }
            }
            Ok(())
        };
    context.map_parts(parts, Vec::new, work)?.into_iter().try_for_each(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Axis, Sparse};

    #[test]
    fn lines_are_parted_in_their_order_on_any_number_of_threads() {
        let ends: Vec<i64> = (0..=400).map(|line: i64| line * (line + 1) / 2).collect();
        let indices: Vec<i32> = (0..400).flat_map(|line| 0..line + 1).collect();
        let values: Vec<f64> = (0..indices.len()).map(|k| k as f64).collect();
        let first = |line: usize, index: usize| !(line * 31 + index * 17).is_multiple_of(3);
        for threads in [1, 2] {
            let context = Context::new(threads);
            let (ends, indices) = (Indices::I64(&ends), Indices::I32(&indices));
            let all = Sparse::new(&context, "A", Axis::Rows, (400, 400), ends, indices, &values).unwrap();
            let mut parted = all.to_canonical(&context).unwrap();
            let mut beside = parted.as_ref().values().to_vec();
            let others = parted.part_lines(&context, &mut beside, first).unwrap();
            assert_eq!(beside, parted.as_ref().values());
            let mut alone = all.to_canonical(&context).unwrap();
            assert_eq!(alone.part_lines(&context, &mut [], first).unwrap(), others);
            assert_eq!(alone.as_ref().values(), parted.as_ref().values());
            for line in 0..400 {
                let (mut expected, mut behind) = (Vec::new(), Vec::new());
                all.visit_line(line, |j, v| {
                    if first(line, j) { expected.push((j, v)) } else { behind.push((j, v)) }
                });
                assert_eq!(others[line] as usize, all.extent(line).start + expected.len());
                expected.extend(behind);
                let mut found = Vec::new();
                parted.as_ref().visit_line(line, |j, v| found.push((j, v)));
                assert_eq!(found, expected);
            }
        }
    }
}
