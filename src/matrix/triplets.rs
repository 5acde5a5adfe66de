//! Entries in any order, and compressed matrices made of them on all threads.
//!
//! Entries are sorted by bucket of lines, a chunk of entries at a time; then each bucket is sorted by line and index, and
//! what stands in the same place is added up in the order of the entries. So the result depends on no cut.

use super::blocks::even_blocks;
use super::sparse::IndexBuf;
use super::{Axis, Indices, Piece, Real, Sparse, SparseBuf, pieces_by_cost};
use crate::error::{Error, Result};
use crate::memory::{collected, gathered, prepare, push, reset, room_for, zeros};
use crate::parallel::Context;
use crate::simd::Index;
use std::cmp::Ordering;
use std::convert::identity;
use std::ops::Range;

/// What memory is for.
const COPY: &str = "a sparse matrix in another order";

/// Entry k is `values[k]` in row `rows[k]` and column `columns[k]`; those in the same place are added up.
#[derive(Clone, Copy, Debug)]
pub struct Triplets<'a, T> {
    /// The name that errors give the matrix.
    pub argument: &'static str,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// The row of every entry.
    pub rows: Indices<'a>,
    /// The column of every entry.
    pub columns: Indices<'a>,
    /// The entries.
    pub values: &'a [T],
}

/// What becomes of entries that stand in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// They are added up in the order in which they came.
    Sum,
    /// All stay, the smallest first.
    Keep,
    /// Their mean stands for all, whatever the order in which they came.
    Mean,
    /// The one that came last stands for all.
    Last,
    /// An error names the place.
    Refuse,
}

/// What an entry holds.
pub(super) trait Held: Copy + Default + Send + Sync {
    /// An order of those in the same place that does not depend on how they came.
    fn compare(&self, other: &Self) -> Ordering;
    /// What stands for several.
    fn sum(all: impl Iterator<Item = Self> + Clone) -> Self;
    /// What stands for several.
    fn mean(all: impl Iterator<Item = Self> + Clone) -> Self;
}

impl<T: Real> Held for T {
    fn compare(&self, other: &Self) -> Ordering {
        self.to_f64().total_cmp(&other.to_f64())
    }
    fn sum(all: impl Iterator<Item = Self> + Clone) -> Self {
        T::from_f64(all.map(|value| value.to_f64()).sum())
    }
    fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        let count = all.clone().count() as f64;
        T::from_f64(all.map(|value| value.to_f64()).sum::<f64>() / count)
    }
}

/// A value and its weight.
#[derive(Clone, Copy, Default)]
pub(super) struct Weighted<T>(pub T, pub T);

impl<T: Real> Held for Weighted<T> {
    fn compare(&self, other: &Self) -> Ordering {
        Held::compare(&self.0, &other.0).then(Held::compare(&self.1, &other.1))
    }
    fn sum(all: impl Iterator<Item = Self> + Clone) -> Self {
        Self(Held::sum(all.clone().map(|held| held.0)), Held::sum(all.map(|held| held.1)))
    }
    fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        let weight: T = Held::mean(all.clone().map(|held| held.1));
        let sum: f64 = all.clone().map(|held| held.1.to_f64()).sum();
        let weighted: f64 = all.map(|held| held.0.to_f64() * held.1.to_f64()).sum();
        Self(T::from_f64(weighted / sum), weight)
    }
}

/// Values and weights apart.
pub(super) fn parted<T: Real>(all: Vec<Weighted<T>>) -> Result<(Vec<T>, Vec<T>)> {
    let values = collected(all.iter().map(|held| held.0), COPY)?;
    Ok((values, collected(all.iter().map(|held| held.1), COPY)?))
}

impl<T: Real> Triplets<'_, T> {
    /// The matrix in CSR or CSC form, with sorted lines. Indices take 32 bits where they fit.
    pub fn compressed(&self, context: &Context, axis: Axis) -> Result<SparseBuf<T>> {
        self.compressed_as(context, axis, Repeated::Sum)
    }

    /// The same where repeated entries need not be added up.
    pub fn compressed_as(&self, context: &Context, axis: Axis, repeated: Repeated) -> Result<SparseBuf<T>> {
        self.compressed_by(context, axis, repeated, |value| value)
    }

    /// The same of what is made of the entries.
    pub fn compressed_by<H: Real>(
        &self,
        context: &Context,
        axis: Axis,
        repeated: Repeated,
        make: impl Fn(T) -> H + Sync,
    ) -> Result<SparseBuf<H>> {
        let values = self.values;
        let (indptr, indices, data) = self.sorted(context, axis, repeated, |k| make(values[k]))?;
        Ok(self.buf(axis, indptr, indices, data))
    }

    /// The same where entries have weights, which are sorted with them. The mean of those in the same place is a weighted
    /// one, whose weight is the mean of theirs.
    pub fn compressed_with_weights(
        &self,
        context: &Context,
        axis: Axis,
        repeated: Repeated,
        weights: &[T],
    ) -> Result<(SparseBuf<T>, Vec<T>)> {
        let values = self.values;
        if weights.len() != values.len() {
            let found = format!("{} weights", weights.len());
            return Err(Error::shape(self.argument, found, format!("{}", values.len())));
        }
        let held = |k: usize| Weighted(values[k], weights[k]);
        let (indptr, indices, data) = self.sorted(context, axis, repeated, held)?;
        let (data, weights) = parted(data)?;
        Ok((self.buf(axis, indptr, indices, data), weights))
    }

    fn sorted<H: Held>(
        &self,
        context: &Context,
        axis: Axis,
        repeated: Repeated,
        held: impl Fn(usize) -> H + Sync,
    ) -> Result<(Vec<i64>, IndexBuf, Vec<H>)> {
        self.check(context)?;
        let (nrows, ncols) = self.shape;
        let (lines, width, of_lines, of_entries) = match axis {
            Axis::Rows => (nrows, ncols, self.rows, self.columns),
            Axis::Columns => (ncols, nrows, self.columns, self.rows),
        };
        let argument = self.argument;
        let sorting = Sorting { argument, axis, repeated, lines, of_lines, of_entries, held };
        match i32::try_from(width) {
            Ok(_) => sorting.run(context).map(|(ends, indices, data)| (ends, IndexBuf::I32(indices), data)),
            Err(_) => sorting.run(context).map(|(ends, indices, data)| (ends, IndexBuf::I64(indices), data)),
        }
    }

    fn buf<H>(&self, axis: Axis, indptr: Vec<i64>, indices: IndexBuf, data: Vec<H>) -> SparseBuf<H> {
        let (lines, width) = match axis {
            Axis::Rows => self.shape,
            Axis::Columns => (self.shape.1, self.shape.0),
        };
        SparseBuf { axis, lines, width, indptr, indices, data }
    }

    fn check(&self, context: &Context) -> Result<()> {
        let counts = [self.rows.len(), self.columns.len(), self.values.len()];
        if counts[0] != counts[1] || counts[1] != counts[2] {
            return Err(Error::shape(
                self.argument,
                format!("{counts:?} rows, columns, entries"),
                "as many of each",
            ));
        }
        for (indices, bound) in [(self.rows, self.shape.0), (self.columns, self.shape.1)] {
            for piece in context.pieces(0..indices.len()) {
                if let Some(k) = indices.first_outside(piece?, bound) {
                    let found = format!("sparse with index {} at position {k}", indices.signed(k));
                    return Err(Error::value(self.argument, found, format!("an index in [0, {bound})")));
                }
            }
        }
        Ok(())
    }
}

impl<T: Real> Sparse<'_, T> {
    /// A copy with the indices of every line sorted and repeated entries added up.
    pub fn to_canonical(&self, context: &Context) -> Result<SparseBuf<T>> {
        self.along(context, self.axis())
    }

    /// The same matrix with its lines along `axis`, their indices sorted and repeated entries added up.
    pub fn along(&self, context: &Context, axis: Axis) -> Result<SparseBuf<T>> {
        self.along_as(context, "A", axis, Repeated::Sum)
    }

    /// The same where repeated entries need not be added up; errors give the matrix this name.
    pub fn along_as(
        &self,
        context: &Context,
        argument: &'static str,
        axis: Axis,
        repeated: Repeated,
    ) -> Result<SparseBuf<T>> {
        self.along_by(context, argument, axis, repeated, |value| value)
    }

    /// The same of what is made of the entries.
    pub fn along_by<H: Real>(
        &self,
        context: &Context,
        argument: &'static str,
        axis: Axis,
        repeated: Repeated,
        make: impl Fn(T) -> H + Sync,
    ) -> Result<SparseBuf<H>> {
        let lines = self.lines_of_entries(context)?;
        let (of_lines, stored) = (lines.as_ref(), self.nnz());
        let (of_entries, values) = (self.indices().part(0..stored), &self.values()[..stored]);
        let (rows, columns) = match self.axis() {
            Axis::Rows => (of_lines, of_entries),
            Axis::Columns => (of_entries, of_lines),
        };
        let shape = (self.nrows(), self.ncols());
        let entries = Triplets { argument, shape, rows, columns, values };
        entries.compressed_by(context, axis, repeated, make)
    }

    /// `work` with the same matrix stored by rows: this one, or a copy.
    pub fn by_rows<R>(&self, context: &Context, work: impl FnOnce(&Sparse<'_, T>) -> Result<R>) -> Result<R> {
        match self.axis() {
            Axis::Rows => work(self),
            Axis::Columns => work(&self.along(context, Axis::Rows)?.as_ref()),
        }
    }

    /// The line of every stored entry.
    fn lines_of_entries(&self, context: &Context) -> Result<IndexBuf> {
        let pieces = pieces_by_cost(self.ends(), self.nnz(), 1 << 16)?;
        match i32::try_from(self.ends().len()) {
            Ok(_) => self.lines_of_pieces(context, &pieces).map(IndexBuf::I32),
            Err(_) => self.lines_of_pieces(context, &pieces).map(IndexBuf::I64),
        }
    }

    fn lines_of_pieces<I: Number>(&self, context: &Context, pieces: &[Piece]) -> Result<Vec<I>> {
        let mut numbers = zeros(self.nnz(), COPY)?;
        let mut rest = numbers.as_mut_slice();
        let parts = pieces.iter().map(|piece| rest.split_off_mut(..piece.entries.len()).unwrap_or_default());
        context.map_parts(
            parts,
            || (),
            |(), piece, part: &mut [I]| {
                let Piece { lines, entries } = &pieces[piece];
                for line in lines.clone() {
                    let extent = self.extent(line);
                    let extent = extent.start.max(entries.start)..extent.end.min(entries.end);
                    part[extent.start - entries.start..extent.end - entries.start].fill(I::from_offset(line));
                }
            },
        )?;
        Ok(numbers)
    }
}

/// An index that can be made.
pub(super) trait Number: Index + Default + Ord {
    /// An offset that fits.
    fn from_offset(offset: usize) -> Self;
}

impl Number for i32 {
    fn from_offset(offset: usize) -> Self {
        offset as Self
    }
}

impl Number for i64 {
    fn from_offset(offset: usize) -> Self {
        offset as Self
    }
}

/// Offsets of lines, indices and values of compressed lines.
type Compressed<I, T> = (Vec<i64>, Vec<I>, Vec<T>);

struct Sorting<'a, F> {
    argument: &'static str,
    axis: Axis,
    repeated: Repeated,
    lines: usize,
    of_lines: Indices<'a>,
    of_entries: Indices<'a>,
    /// What an entry holds.
    held: F,
}

/// Entries that are sorted by bucket at a time: few enough for 16 bits to tell one of them.
const CHUNK: usize = 1 << 16;

/// The entries of every chunk by bucket. All chunks lie in one piece, which the system has back as soon as it is freed.
struct Chunks {
    /// Where each bucket starts among the entries of a chunk, and where the last one ends.
    starts: Vec<u32>,
    width: usize,
    /// The entries, counted from the first of their chunk.
    order: Vec<u16>,
}

impl Chunks {
    /// The entries of a bucket in each chunk, and the number of the first entry of the chunk.
    fn of_bucket(&self, number: usize) -> impl Iterator<Item = (usize, &[u16])> + Clone {
        let parts = self.starts.chunks(self.width).zip(self.order.chunks(CHUNK)).enumerate();
        parts.map(move |(chunk, (starts, order))| {
            (chunk * CHUNK, &order[starts[number] as usize..starts[number + 1] as usize])
        })
    }
}

/// The places of the lines of a bucket, in what will be the matrix.
struct Bucket<'a, I, H> {
    lengths: &'a mut [u32],
    indices: &'a mut [I],
    held: &'a mut [H],
    /// How many of the places are taken.
    taken: usize,
}

/// Memory that a worker uses again and again.
struct Scratch<I, H> {
    starts: Vec<usize>,
    cells: Vec<(I, H)>,
    line: Vec<(I, usize, H)>,
}

impl<H: Held, F: Fn(usize) -> H + Sync> Sorting<'_, F> {
    fn run<I: Number>(&self, context: &Context) -> Result<Compressed<I, H>> {
        let stored = self.of_lines.len();
        let bucket = self.lines.div_ceil((stored >> 14).clamp(1, 1024)).max(1);
        let buckets = even_blocks(self.lines, bucket)?;
        let chunks = self.by_bucket(context, bucket, buckets.len())?;
        let mut lengths: Vec<u32> = zeros(self.lines, COPY)?;
        let (mut indices, mut held) = (zeros(stored, COPY)?, zeros(stored, COPY)?);
        let (mut of_lines, mut of_indices, mut of_held) =
            (lengths.as_mut_slice(), indices.as_mut_slice(), held.as_mut_slice());
        let parts = buckets.iter().enumerate().map(|(number, lines)| {
            let count = chunks.of_bucket(number).map(|(_, entries)| entries.len()).sum();
            Bucket {
                lengths: of_lines.split_off_mut(..lines.len()).unwrap_or_default(),
                indices: of_indices.split_off_mut(..count).unwrap_or_default(),
                held: of_held.split_off_mut(..count).unwrap_or_default(),
                taken: 0,
            }
        });
        let scratch = || Scratch { starts: Vec::new(), cells: Vec::new(), line: Vec::new() };
        let made = context.map_parts(parts, scratch, |scratch, number, mut part: Bucket<'_, I, H>| {
            let entries = chunks.of_bucket(number);
            let entries = entries.flat_map(|(first, part)| part.iter().map(move |&k| first + usize::from(k)));
            self.lines_of_bucket(scratch, buckets[number].clone(), entries, &mut part)?;
            Ok((part.taken, part.indices.len()))
        })?;
        drop(chunks);
        let made: Vec<(usize, usize)> = gathered::<_, Error>(made, COPY)?;
        close_up(context, &made, &mut indices, &mut held)?;
        Ok((ends_of(context, &lengths)?, indices, held))
    }

    fn by_bucket(&self, context: &Context, bucket: usize, buckets: usize) -> Result<Chunks> {
        let (stored, width) = (self.of_lines.len(), buckets + 1);
        let mut starts: Vec<u32> = zeros(stored.div_ceil(CHUNK) * width, COPY)?;
        let mut order: Vec<u16> = zeros(stored, COPY)?;
        let bucket_of = |k: usize| self.of_lines.get(k) / bucket;
        let work = |next: &mut Vec<u32>, chunk: usize, (starts, order): (&mut [u32], &mut [u16])| {
            let first = chunk * CHUNK;
            (0..order.len()).for_each(|offset| starts[bucket_of(first + offset) + 1] += 1);
            (0..buckets).for_each(|b| starts[b + 1] += starts[b]);
            reset(next, width, COPY)?;
            next.copy_from_slice(starts);
            for offset in 0..order.len() {
                let slot = &mut next[bucket_of(first + offset)];
                order[*slot as usize] = offset as u16;
                *slot += 1;
            }
            Ok(())
        };
        let parts = starts.chunks_mut(width).zip(order.chunks_mut(CHUNK));
        context.map_parts(parts, Vec::new, work)?.into_iter().try_for_each(identity)?;
        Ok(Chunks { starts, width, order })
    }

    /// `entries` are those of the bucket, in the order in which they came.
    fn lines_of_bucket<I: Number>(
        &self,
        scratch: &mut Scratch<I, H>,
        lines: Range<usize>,
        entries: impl Iterator<Item = usize> + Clone,
        bucket: &mut Bucket<'_, I, H>,
    ) -> Result<()> {
        let Scratch { starts, cells, line } = scratch;
        reset(starts, lines.len() + 1, COPY)?;
        let line_of = |k: usize| self.of_lines.get(k) - lines.start;
        entries.clone().for_each(|k| starts[line_of(k)] += 1);
        let count = starts.iter_mut().fold(0, |sum, start| sum + std::mem::replace(start, sum));
        reset(cells, count, COPY)?;
        for k in entries {
            let slot = &mut starts[line_of(k)];
            cells[*slot] = (I::from_offset(self.of_entries.get(k)), (self.held)(k));
            *slot += 1;
        }
        let mut start = 0;
        for (offset, (number, &end)) in lines.zip(&*starts).enumerate() {
            let (refused, before) = (|index| self.refused(number, index), bucket.taken);
            bucket.append(&cells[start..end], line, self.repeated, refused)?;
            bucket.lengths[offset] = (bucket.taken - before) as u32;
            start = end;
        }
        Ok(())
    }

    fn refused(&self, line: usize, index: usize) -> Error {
        let (row, column) = if self.axis == Axis::Rows { (line, index) } else { (index, line) };
        let found = format!("a list with more than one entry for row {row}, column {column}");
        Error::value(self.argument, found, "one for each place, or another rule for duplicates")
    }
}

impl<I: Number, H: Held> Bucket<'_, I, H> {
    /// Appends a line, sorted by way of `line`, and what stands in the same place as `repeated` has it.
    fn append(
        &mut self,
        cells: &[(I, H)],
        line: &mut Vec<(I, usize, H)>,
        repeated: Repeated,
        refused: impl Fn(usize) -> Error,
    ) -> Result<()> {
        if cells.is_sorted_by(|(left, _), (right, _)| left < right) {
            cells.iter().for_each(|&(index, held)| self.put(index, held));
            return Ok(());
        }
        prepare(line, cells.len(), COPY)?;
        for (position, &(index, held)) in cells.iter().enumerate() {
            push(line, (index, position, held), COPY)?;
        }
        // By index and then by what `repeated` goes by: a stable sort would allocate.
        match repeated {
            Repeated::Sum | Repeated::Last => {
                line.sort_unstable_by_key(|&(index, position, _)| (index, position));
            }
            _ => line.sort_unstable_by(|(i, _, left), (j, _, right)| i.cmp(j).then(left.compare(right))),
        }
        line.chunk_by(|(i, ..), (j, ..)| i == j).try_for_each(|alike| self.put_one(alike, repeated, &refused))
    }

    /// Appends what becomes of the entries of one place.
    fn put_one(
        &mut self,
        alike: &[(I, usize, H)],
        repeated: Repeated,
        refused: impl Fn(usize) -> Error,
    ) -> Result<()> {
        let (index, last) = (alike[0].0, alike[alike.len() - 1].2);
        let all = alike.iter().map(|&(.., held)| held);
        match repeated {
            _ if alike.len() == 1 => self.put(index, last),
            Repeated::Sum => self.put(index, H::sum(all)),
            Repeated::Mean => self.put(index, H::mean(all)),
            Repeated::Last => self.put(index, last),
            Repeated::Keep => all.for_each(|held| self.put(index, held)),
            Repeated::Refuse => return Err(refused(index.offset())),
        }
        Ok(())
    }

    /// There is a place for every entry that came.
    fn put(&mut self, index: I, held: H) {
        (self.indices[self.taken], self.held[self.taken]) = (index, held);
        self.taken += 1;
    }
}

/// Closes the gaps that buckets have left, each of some places of which the first are taken.
fn close_up<I: Copy, H: Copy>(
    context: &Context,
    buckets: &[(usize, usize)],
    indices: &mut Vec<I>,
    held: &mut Vec<H>,
) -> Result<()> {
    let (mut from, mut to) = (0, 0);
    for &(taken, places) in buckets {
        if from != to {
            context.tick()?;
            indices.copy_within(from..from + taken, to);
            held.copy_within(from..from + taken, to);
        }
        (from, to) = (from + places, to + taken);
    }
    indices.truncate(to);
    held.truncate(to);
    if to < from {
        indices.shrink_to_fit();
        held.shrink_to_fit();
    }
    Ok(())
}

/// Where lines of these lengths begin and end.
fn ends_of(context: &Context, lengths: &[u32]) -> Result<Vec<i64>> {
    let (mut ends, mut end) = (room_for(lengths.len() + 1, COPY)?, 0i64);
    push(&mut ends, end, COPY)?;
    for piece in context.pieces(0..lengths.len()) {
        for &length in &lengths[piece?] {
            end += i64::from(length);
            push(&mut ends, end, COPY)?;
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The lines of a matrix as (line, index, bits).
    fn listed<T: Real>(a: &Sparse<'_, T>) -> Vec<(usize, usize, u64)> {
        let lines = a.ends().len() - 1;
        let mut seen = Vec::new();
        (0..lines).for_each(|i| a.visit_line(i, |j, value| seen.push((i, j, value.to_f64().to_bits()))));
        seen
    }

    proptest! {
        #[test]
        fn entries_are_sorted_and_added_up_in_their_order(
            entries in prop::collection::vec((0i32..30, 0i64..40, -1e3f64..1e3), 0..300), threads in 1usize..4
        ) {
            let rows: Vec<i32> = entries.iter().map(|e| e.0).collect();
            let columns: Vec<i64> = entries.iter().map(|e| e.1).collect();
            let values: Vec<f64> = entries.iter().map(|e| e.2).collect();
            let (rows, columns) = (Indices::I32(&rows), Indices::I64(&columns));
            let triplets = Triplets { argument: "A", shape: (30, 40), rows, columns, values: &values };
            let context = Context::new(threads);
            let (csr, csc) = (
                triplets.compressed(&context, Axis::Rows).unwrap(),
                triplets.compressed(&context, Axis::Columns).unwrap(),
            );
            let (csr, csc) = (csr.as_ref(), csc.as_ref());
            let mut sums = BTreeMap::<(usize, usize), Vec<f64>>::new();
            entries.iter().for_each(|e| sums.entry((e.0 as usize, e.1 as usize)).or_default().push(e.2));
            let bits = |values: &[f64]| values.iter().sum::<f64>().to_bits();
            let by_rows: Vec<_> = sums.iter().map(|(&(i, j), values)| (i, j, bits(values))).collect();
            prop_assert_eq!(listed(&csr), by_rows);
            prop_assert!(csr.is_canonical(&context).unwrap() && csc.is_canonical(&context).unwrap());
            prop_assert_eq!(listed(&csc.along(&context, Axis::Rows).unwrap().as_ref()), listed(&csr));
            prop_assert_eq!(listed(&csr.along(&context, Axis::Columns).unwrap().as_ref()), listed(&csc));
            prop_assert_eq!(listed(&csr.t().along(&context, Axis::Rows).unwrap().as_ref()), listed(&csc));
        }
    }

    #[test]
    fn repeated_entries_become_what_was_asked_for_in_any_order_of_the_others() {
        let entries = [(1i32, 2i32, 5.0), (0, 0, 1.0), (1, 2, 3.0), (1, 0, 7.0), (1, 2, 4.0)];
        let made = |order: [usize; 5], axis, repeated| {
            let rows = order.map(|k| entries[k].0);
            let columns = order.map(|k| entries[k].1);
            let values = order.map(|k| entries[k].2);
            let (rows, columns) = (Indices::I32(&rows), Indices::I32(&columns));
            Triplets { argument: "X", shape: (2, 3), rows, columns, values: &values }.compressed_as(
                &Context::new(2),
                axis,
                repeated,
            )
        };
        let lines = |order, repeated| {
            let made = made(order, Axis::Rows, repeated).unwrap();
            let others =
                made.as_ref().along_as(&Context::new(1), "X", Axis::Columns, Repeated::Keep).unwrap();
            assert_eq!(others.as_ref().nnz(), made.as_ref().nnz());
            listed(&made.as_ref())
        };
        let bits = |values: &[f64]| values.iter().map(|&value| (1, 2, value.to_bits())).collect::<Vec<_>>();
        for (order, last) in [([0, 1, 2, 3, 4], 4.0), ([4, 3, 2, 1, 0], 5.0), ([3, 0, 4, 1, 2], 3.0)] {
            for (repeated, expected) in [
                (Repeated::Sum, &[12.0][..]),
                (Repeated::Keep, &[3.0, 4.0, 5.0]),
                (Repeated::Mean, &[4.0]),
                (Repeated::Last, &[last]),
            ] {
                assert_eq!(lines(order, repeated)[2..], bits(expected), "{repeated:?}");
            }
            for axis in [Axis::Rows, Axis::Columns] {
                let Err(error) = made(order, axis, Repeated::Refuse) else { panic!("no error") };
                assert!(error.to_string().contains("row 1, column 2"), "{error}");
            }
        }
    }

    #[test]
    fn canonical_form_sorts_and_adds() {
        let indices = [2, 0, 2, 1];
        let context = Context::new(1);
        let a = Sparse::new(
            &context,
            "A",
            Axis::Rows,
            (2, 3),
            Indices::I32(&[0, 3, 4]),
            Indices::I32(&indices),
            &[1.0, 2.0, 3.0, 4.0],
        )
        .unwrap();
        assert!(!a.is_canonical(&context).unwrap());
        let canonical = a.to_canonical(&context).unwrap();
        let view = canonical.as_ref();
        assert!(view.is_canonical(&context).unwrap());
        let mut seen = Vec::new();
        view.visit_line(0, |j, v| seen.push((j, v)));
        assert_eq!((seen, view.nnz()), (vec![(0, 2.0), (2, 4.0)], 3));
    }

    #[test]
    fn many_entries_in_many_chunks_and_buckets() {
        let (count, shape) = (200_000, (5_000, 300));
        let rows: Vec<i64> = (0..count).map(|k| k * k % 4_999).collect();
        let columns: Vec<i32> = (0..count).map(|k| (k * 7 % 300) as i32).collect();
        let values: Vec<f32> = (0..count).map(|k| k as f32).collect();
        let triplets = Triplets {
            argument: "A",
            shape,
            rows: Indices::I64(&rows),
            columns: Indices::I32(&columns),
            values: &values,
        };
        let made = [1, 2].map(|threads| triplets.compressed(&Context::new(threads), Axis::Rows).unwrap());
        assert_eq!(listed(&made[0].as_ref()), listed(&made[1].as_ref()));
        let total: f64 = made[0].as_ref().values().iter().map(|&value| f64::from(value)).sum();
        assert_eq!(total, (0..count).map(|k| k as f64).sum::<f64>());
        assert!(matches!(made[0].as_ref().indices(), Indices::I32(_)));
    }

    #[test]
    fn entries_that_lead_out_are_refused() {
        let compressed = |rows: &[i32], columns: &[i32]| {
            let (rows, columns) = (Indices::I32(rows), Indices::I32(columns));
            let triplets = Triplets { argument: "A", shape: (2, 3), rows, columns, values: &[1.0; 2] };
            triplets.compressed(&Context::new(1), Axis::Rows).map(drop)
        };
        assert!(compressed(&[0, 1], &[2, 0]).is_ok());
        for (rows, columns) in
            [(&[0, 2][..], &[0, 0][..]), (&[0, -1], &[0, 0]), (&[0, 1], &[3, 0]), (&[0], &[0])]
        {
            assert!(matches!(compressed(rows, columns), Err(Error::Value { .. } | Error::Shape { .. })));
        }
    }
}
