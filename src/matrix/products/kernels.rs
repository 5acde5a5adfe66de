//! Compressed lines against a panel of vectors.
//!
//! A product is rounded before it is added: that is what one column by itself has always done. The sums of a line stay in
//! registers (gathered), or its vector does (scattered). Where a panel is larger than the caches, either sorted lines are
//! walked front by front, each over as many of its rows as fit, or its rows are asked for some entries ahead.

use crate::matrix::Indices;
use crate::simd::lanes::Lanes;
use crate::simd::{Element, Index, kernel};
use std::ops::Range;

/// Some lines of a compressed matrix, and which of their entries.
pub(super) struct Lines<'a, I, T> {
    /// Where lines begin and end.
    pub ends: Indices<'a>,
    pub indices: &'a [I],
    pub values: &'a [T],
    pub lines: Range<usize>,
    /// Only entries with such an index, of sorted lines.
    pub within: Option<Range<usize>>,
    /// The index of the first row of the panel.
    pub first: usize,
}

/// How far sorted lines have been walked, one position a line.
pub(super) struct Front<'f> {
    pub positions: &'f mut [usize],
    /// The index before which they stop this time.
    pub below: usize,
}

/// What becomes of the sums of lines that are gathered.
pub(super) enum Sums<'f> {
    /// They are the product.
    Set,
    /// They are added to what is there.
    Added,
    /// The same, of sorted lines as far as a front goes.
    AddedUpTo(Front<'f>),
    /// The same, of sorted lines at every multiple of this index.
    AddedAtMultiples(usize),
}

impl Front<'_> {
    #[inline(always)]
    fn none() -> Self {
        Self { positions: &mut [], below: 0 }
    }

    #[inline(always)]
    fn leave<const FRONT: bool>(&mut self, at: usize, position: usize) {
        if FRONT {
            self.positions[at] = position;
        }
    }
}

impl<I: Index, T: Element> Lines<'_, I, T> {
    #[inline(always)]
    fn extent(&self, line: usize) -> Range<usize> {
        let extent = self.ends.get(line)..self.ends.get(line + 1);
        match &self.within {
            None => extent,
            Some(within) => {
                let indices = &self.indices[extent.clone()];
                let below =
                    |bound: usize| extent.start + indices.partition_point(|index| index.offset() < bound);
                below(within.start)..below(within.end)
            }
        }
    }

    /// Where these lines begin and end, if nothing is left out of them and rows are counted from zero.
    fn whole(&self) -> Option<Indices<'_>> {
        let whole = self.within.is_none() && self.first == 0;
        whole.then(|| self.ends.part(self.lines.start..self.lines.end + 1))
    }

    /// The entries of line number `at` of these.
    #[inline(always)]
    fn entries<const FRONT: bool>(&self, at: usize, front: &Front<'_>) -> Entries<'_, I, T, FRONT> {
        let line = self.lines.start + at;
        let extent = match FRONT {
            true => front.positions[at]..self.ends.get(line + 1),
            false => self.extent(line),
        };
        let (indices, values) = (&self.indices[..extent.end], &self.values[..extent.end]);
        Entries { indices, values, next: extent.start, first: self.first, below: front.below }
    }

    /// Asks for row `k` of a panel, so many entries before it is needed.
    #[inline(always)]
    fn prefetch<V: Lanes, const W: usize>(&self, k: usize, panel: *const [[f64; 8]; W]) {
        if let Some(index) = self.indices.get(k + AHEAD) {
            let row = panel.wrapping_add(index.offset().wrapping_sub(self.first));
            for w in 0..W {
                V::prefetch(row.cast::<[f64; 8]>().wrapping_add(w));
            }
        }
    }
}

/// The entries of a line that are left: rows of the panel, and values.
struct Entries<'a, I, T, const FRONT: bool> {
    indices: &'a [I],
    values: &'a [T],
    next: usize,
    first: usize,
    below: usize,
}

impl<I: Index, T: Element, const FRONT: bool> Entries<'_, I, T, FRONT> {
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, f64)> {
        if self.next >= self.indices.len() {
            return None;
        }
        let index = self.indices[self.next].offset();
        if FRONT && index >= self.below {
            return None;
        }
        let value = self.values[self.next].to_f64();
        self.next += 1;
        Some((index.wrapping_sub(self.first), value))
    }
}

/// How many entries ahead rows are asked for, and of how large panels.
const AHEAD: usize = 12;
const LARGE: usize = 1 << 16;

/// A step to where no line goes.
const END: usize = usize::MAX;

/// A function of the lanes of a panel of many vectors.
macro_rules! by_width {
    ($width:ident, $many:ident::<$V:ident, $I:ident, $T:ident, $front:tt>($($argument:expr),*)) => {
        match $width {
            8 => $many::<$V, $I, $T, 1, $front>($($argument),*),
            16 => $many::<$V, $I, $T, 2, $front>($($argument),*),
            24 => $many::<$V, $I, $T, 3, $front>($($argument),*),
            32 => $many::<$V, $I, $T, 4, $front>($($argument),*),
            _ => unreachable!("a panel of width {}", $width),
        }
    };
}

kernel! {
    /// The lines times x into `out`. Panics if an index leads out of x.
    pub(super) fn gather<V, I: Index, T: Element>(
        lines: &Lines<'_, I, T>,
        sums: Sums<'_>,
        width: usize,
        x: &[f64],
        out: &mut [f64],
    ) {
        let add = !matches!(sums, Sums::Set);
        match sums {
            _ if width == 0 => (),
            Sums::AddedUpTo(front) if width == 1 => gather_one::<I, T, true>(lines, front, add, x, out),
            Sums::AddedUpTo(front) => by_width!(width, gather_many::<V, I, T, true>(lines, front, END, add, x, out)),
            Sums::AddedAtMultiples(step) if width == 1 => gather_one_at_multiples::<V, I, T>(lines, step, x, out),
            Sums::AddedAtMultiples(step) => {
                by_width!(width, gather_many::<V, I, T, false>(lines, Front::none(), step, add, x, out))
            }
            _ if width == 1 => match lines.whole() {
                Some(Indices::I32(ends)) => gather_whole(ends, lines, add, x, out),
                Some(Indices::I64(ends)) => gather_whole(ends, lines, add, x, out),
                None => gather_one::<I, T, false>(lines, Front::none(), add, x, out),
            },
            _ => by_width!(width, gather_many::<V, I, T, false>(lines, Front::none(), END, add, x, out)),
        }
    }
}

kernel! {
    /// out += the transposed lines times y, of sorted lines as far as a front goes. Panics if an index leads out of `out`.
    pub(super) fn scatter<V, I: Index, T: Element>(
        lines: &Lines<'_, I, T>,
        front: Option<Front<'_>>,
        width: usize,
        y: &[f64],
        out: &mut [f64],
    ) {
        match front {
            _ if width == 0 => (),
            None if width == 1 => match lines.whole() {
                Some(Indices::I32(ends)) => scatter_whole(ends, lines, y, out),
                Some(Indices::I64(ends)) => scatter_whole(ends, lines, y, out),
                None => scatter_one::<I, T, false>(lines, Front::none(), y, out),
            },
            None => by_width!(width, scatter_many::<V, I, T, false>(lines, Front::none(), y, out)),
            Some(front) if width == 1 => scatter_one::<I, T, true>(lines, front, y, out),
            Some(front) => by_width!(width, scatter_many::<V, I, T, true>(lines, front, y, out)),
        }
    }
}

kernel! {
    /// out += the transposed lines times what they make of one vector x, line by line: entries are read once. Panics if an
    /// index leads out of x or `out`.
    pub(super) fn gather_and_scatter<V, I: Index, T: Element>(lines: &Lines<'_, I, T>, x: &[f64], out: &mut [f64]) {
        match lines.ends.part(lines.lines.start..lines.lines.end + 1) {
            Indices::I32(ends) => both_whole(ends, lines, x, out),
            Indices::I64(ends) => both_whole(ends, lines, x, out),
        }
    }
}

/// [`gather_one`] where there is nothing else to look at: of one vector, that is most of the work.
#[inline(always)]
fn gather_whole<P: Index, I: Index, T: Element>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    add: bool,
    x: &[f64],
    out: &mut [f64],
) {
    for at in 0..out.len().min(ends.len() - 1) {
        let (mut k, end, mut sum) = (ends[at].offset(), ends[at + 1].offset(), 0.0);
        let (indices, values) = (&lines.indices[..end], &lines.values[..end]);
        while k < end {
            sum += values[k].to_f64() * x[indices[k].offset()];
            k += 1;
        }
        out[at] = if add { out[at] + sum } else { sum };
    }
}

/// [`scatter_one`], likewise.
#[inline(always)]
fn scatter_whole<P: Index, I: Index, T: Element>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    y: &[f64],
    out: &mut [f64],
) {
    for at in 0..y.len().min(ends.len() - 1) {
        let (mut k, end, y) = (ends[at].offset(), ends[at + 1].offset(), y[at]);
        let (indices, values) = (&lines.indices[..end], &lines.values[..end]);
        while k < end {
            out[indices[k].offset()] += values[k].to_f64() * y;
            k += 1;
        }
    }
}

/// [`gather_whole`] and [`scatter_whole`] of what it makes.
#[inline(always)]
fn both_whole<P: Index, I: Index, T: Element>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    x: &[f64],
    out: &mut [f64],
) {
    for at in 0..ends.len() - 1 {
        let (start, end, mut sum) = (ends[at].offset(), ends[at + 1].offset(), 0.0);
        let (indices, values) = (&lines.indices[..end], &lines.values[..end]);
        let mut k = start;
        while k < end {
            sum += values[k].to_f64() * x[indices[k].offset()];
            k += 1;
        }
        k = start;
        while k < end {
            out[indices[k].offset()] += values[k].to_f64() * sum;
            k += 1;
        }
    }
}

#[inline(always)]
fn gather_one<I: Index, T: Element, const FRONT: bool>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    add: bool,
    x: &[f64],
    out: &mut [f64],
) {
    for at in 0..lines.lines.len().min(out.len()) {
        let (mut entries, mut sum) = (lines.entries::<FRONT>(at, &front), 0.0);
        while let Some((row, value)) = entries.next() {
            sum += value * x[row];
        }
        front.leave::<FRONT>(at, entries.next);
        out[at] = if add { out[at] + sum } else { sum };
    }
}

#[inline(always)]
fn gather_many<V: Lanes, I: Index, T: Element, const W: usize, const FRONT: bool>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    step: usize,
    add: bool,
    x: &[f64],
    out: &mut [f64],
) {
    let far = !FRONT && x.len() > LARGE;
    let x = x.as_chunks::<8>().0.as_chunks::<W>().0;
    let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<W>().0;
    for at in 0..lines.lines.len().min(out.len()) {
        let out = &mut out[at];
        let (mut entries, mut sums) = (lines.entries::<FRONT>(at, &front), [V::splat(0.0); W]);
        let mut bound = if step == END { END } else { 0 };
        while let Some((row, value)) = entries.next() {
            if far {
                lines.prefetch::<V, W>(entries.next, x.as_ptr());
            }
            if row >= bound {
                for w in 0..W {
                    V::load(&out[w]).add(sums[w]).store(&mut out[w]);
                    sums[w] = V::splat(0.0);
                }
                bound = (row / step + 1).saturating_mul(step);
            }
            let (x, value) = (&x[row], V::splat(value));
            for w in 0..W {
                sums[w] = sums[w].add(value.mul(V::load(&x[w])));
            }
        }
        front.leave::<FRONT>(at, entries.next);
        for w in 0..W {
            let sum = if add { V::load(&out[w]).add(sums[w]) } else { sums[w] };
            sum.store(&mut out[w]);
        }
    }
}

/// Sums end without a branch: some have but two entries.
#[inline(always)]
fn gather_one_at_multiples<V: Lanes, I: Index, T: Element>(
    lines: &Lines<'_, I, T>,
    step: usize,
    x: &[f64],
    out: &mut [f64],
) {
    // Exact below 2^32, and much faster than a division.
    let (short, reciprocal) = (x.len() >> 32 == 0, (u64::MAX / step as u64) as u128 + 1);
    for at in 0..lines.lines.len().min(out.len()) {
        let mut entries = lines.entries::<false>(at, &Front::none());
        let (mut total, mut sum, mut segment) = (out[at], 0.0, 0);
        while let Some((row, value)) = entries.next() {
            if let Some(index) = lines.indices.get(entries.next + AHEAD) {
                V::prefetch(x.as_ptr().wrapping_add(index.offset().wrapping_sub(lines.first)));
            }
            let of_row = if short { ((row as u128 * reciprocal) >> 64) as usize } else { row / step };
            let (product, ends) = (value * x[row], of_row != segment);
            total += if ends { sum } else { 0.0 };
            sum = if ends { 0.0 } else { sum } + product;
            segment = of_row;
        }
        out[at] = total + sum;
    }
}

#[inline(always)]
fn scatter_one<I: Index, T: Element, const FRONT: bool>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    y: &[f64],
    out: &mut [f64],
) {
    for at in 0..lines.lines.len().min(y.len()) {
        let (mut entries, y) = (lines.entries::<FRONT>(at, &front), y[at]);
        while let Some((row, value)) = entries.next() {
            out[row] += value * y;
        }
        front.leave::<FRONT>(at, entries.next);
    }
}

#[inline(always)]
fn scatter_many<V: Lanes, I: Index, T: Element, const W: usize, const FRONT: bool>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    y: &[f64],
    out: &mut [f64],
) {
    let far = !FRONT && out.len() > LARGE;
    let y = y.as_chunks::<8>().0.as_chunks::<W>().0;
    let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<W>().0;
    for at in 0..lines.lines.len().min(y.len()) {
        let (mut entries, mut ys) = (lines.entries::<FRONT>(at, &front), [V::splat(0.0); W]);
        for w in 0..W {
            ys[w] = V::load(&y[at][w]);
        }
        while let Some((row, value)) = entries.next() {
            if far {
                lines.prefetch::<V, W>(entries.next, out.as_ptr());
            }
            let (out, value) = (&mut out[row], V::splat(value));
            for w in 0..W {
                V::load(&out[w]).add(value.mul(ys[w])).store(&mut out[w]);
            }
        }
        front.leave::<FRONT>(at, entries.next);
    }
}
