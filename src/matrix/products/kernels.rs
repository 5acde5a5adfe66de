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

/// A function of a panel of few vectors.
macro_rules! by_few {
    ($width:ident, $few:ident::<$($type:tt),*>($($argument:expr),*)) => {
        match $width {
            1 => $few::<$($type,)* 1>($($argument),*),
            2 => $few::<$($type,)* 2>($($argument),*),
            4 => $few::<$($type,)* 4>($($argument),*),
            _ => unreachable!("a panel of width {}", $width),
        }
    };
}

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
            Sums::AddedUpTo(front) if width < 8 => by_few!(width, gather_few::<I, T, true>(lines, front, add, x, out)),
            Sums::AddedUpTo(front) => by_width!(width, gather_many::<V, I, T, true>(lines, front, END, add, x, out)),
            Sums::AddedAtMultiples(step) if width < 8 => {
                by_few!(width, gather_few_at_multiples::<V, I, T>(lines, step, x, out))
            }
            Sums::AddedAtMultiples(step) => {
                by_width!(width, gather_many::<V, I, T, false>(lines, Front::none(), step, add, x, out))
            }
            _ if width < 8 => match lines.whole() {
                Some(Indices::I32(ends)) => by_few!(width, gather_whole::<i32, I, T>(ends, lines, add, x, out)),
                Some(Indices::I64(ends)) => by_few!(width, gather_whole::<i64, I, T>(ends, lines, add, x, out)),
                None => by_few!(width, gather_few::<I, T, false>(lines, Front::none(), add, x, out)),
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
            None if width < 8 => match lines.whole() {
                Some(Indices::I32(ends)) => by_few!(width, scatter_whole::<i32, I, T>(ends, lines, y, out)),
                Some(Indices::I64(ends)) => by_few!(width, scatter_whole::<i64, I, T>(ends, lines, y, out)),
                None => by_few!(width, scatter_few::<I, T, false>(lines, Front::none(), y, out)),
            },
            None => by_width!(width, scatter_many::<V, I, T, false>(lines, Front::none(), y, out)),
            Some(front) if width < 8 => by_few!(width, scatter_few::<I, T, true>(lines, front, y, out)),
            Some(front) => by_width!(width, scatter_many::<V, I, T, true>(lines, front, y, out)),
        }
    }
}

kernel! {
    /// out += the transposed lines times what they make of a few vectors x, line by line: entries are read once. Panics if
    /// an index leads out of x or `out`.
    pub(super) fn gather_and_scatter<V, I: Index, T: Element>(
        lines: &Lines<'_, I, T>,
        width: usize,
        x: &[f64],
        out: &mut [f64],
    ) {
        match lines.ends.part(lines.lines.start..lines.lines.end + 1) {
            Indices::I32(ends) => by_few!(width, both_whole::<i32, I, T>(ends, lines, x, out)),
            Indices::I64(ends) => by_few!(width, both_whole::<i64, I, T>(ends, lines, x, out)),
        }
    }
}

/// [`gather_few`] where there is nothing else to look at: of few vectors, that is most of the work.
#[inline(always)]
fn gather_whole<P: Index, I: Index, T: Element, const N: usize>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    add: bool,
    x: &[f64],
    out: &mut [f64],
) {
    let (x, out) = (x.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for at in 0..out.len().min(ends.len() - 1) {
        let sums = sums_of_line(lines, ends[at].offset()..ends[at + 1].offset(), x);
        leave(sums, add, &mut out[at]);
    }
}

/// [`scatter_few`], likewise.
#[inline(always)]
fn scatter_whole<P: Index, I: Index, T: Element, const N: usize>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    y: &[f64],
    out: &mut [f64],
) {
    let (y, out) = (y.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for at in 0..y.len().min(ends.len() - 1) {
        add_line(lines, ends[at].offset()..ends[at + 1].offset(), &y[at], out);
    }
}

/// [`gather_whole`] and [`scatter_whole`] of what it makes.
#[inline(always)]
fn both_whole<P: Index, I: Index, T: Element, const N: usize>(
    ends: &[P],
    lines: &Lines<'_, I, T>,
    x: &[f64],
    out: &mut [f64],
) {
    let (x, out) = (x.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for at in 0..ends.len() - 1 {
        let line = ends[at].offset()..ends[at + 1].offset();
        let sums = sums_of_line(lines, line.clone(), x);
        add_line(lines, line, &sums, out);
    }
}

#[inline(always)]
fn sums_of_line<I: Index, T: Element, const N: usize>(
    lines: &Lines<'_, I, T>,
    line: Range<usize>,
    x: &[[f64; N]],
) -> [f64; N] {
    let (indices, values) = (&lines.indices[..line.end], &lines.values[..line.end]);
    let (mut k, mut sums) = (line.start, [0.0; N]);
    while k < line.end {
        let (value, x) = (values[k].to_f64(), &x[indices[k].offset()]);
        for j in 0..N {
            sums[j] += value * x[j];
        }
        k += 1;
    }
    sums
}

#[inline(always)]
fn add_line<I: Index, T: Element, const N: usize>(
    lines: &Lines<'_, I, T>,
    line: Range<usize>,
    y: &[f64; N],
    out: &mut [[f64; N]],
) {
    let (indices, values) = (&lines.indices[..line.end], &lines.values[..line.end]);
    let mut k = line.start;
    while k < line.end {
        let (value, out) = (values[k].to_f64(), &mut out[indices[k].offset()]);
        for j in 0..N {
            out[j] += value * y[j];
        }
        k += 1;
    }
}

#[inline(always)]
fn leave<const N: usize>(sums: [f64; N], add: bool, out: &mut [f64; N]) {
    for j in 0..N {
        out[j] = if add { out[j] + sums[j] } else { sums[j] };
    }
}

#[inline(always)]
fn gather_few<I: Index, T: Element, const FRONT: bool, const N: usize>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    add: bool,
    x: &[f64],
    out: &mut [f64],
) {
    let (x, out) = (x.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for at in 0..lines.lines.len().min(out.len()) {
        let (mut entries, mut sums) = (lines.entries::<FRONT>(at, &front), [0.0; N]);
        while let Some((row, value)) = entries.next() {
            let x = &x[row];
            for j in 0..N {
                sums[j] += value * x[j];
            }
        }
        front.leave::<FRONT>(at, entries.next);
        leave(sums, add, &mut out[at]);
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
fn gather_few_at_multiples<V: Lanes, I: Index, T: Element, const N: usize>(
    lines: &Lines<'_, I, T>,
    step: usize,
    x: &[f64],
    out: &mut [f64],
) {
    let (x, out) = (x.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    // Exact below 2^32, and much faster than a division.
    let (short, reciprocal) = (x.len() >> 32 == 0, (u64::MAX / step as u64) as u128 + 1);
    for at in 0..lines.lines.len().min(out.len()) {
        let mut entries = lines.entries::<false>(at, &Front::none());
        let (mut totals, mut sums, mut segment) = (out[at], [0.0; N], 0);
        while let Some((row, value)) = entries.next() {
            if let Some(index) = lines.indices.get(entries.next + AHEAD) {
                V::prefetch(x.as_ptr().wrapping_add(index.offset().wrapping_sub(lines.first)));
            }
            let of_row = if short { ((row as u128 * reciprocal) >> 64) as usize } else { row / step };
            let (x, ends) = (&x[row], of_row != segment);
            for j in 0..N {
                totals[j] += if ends { sums[j] } else { 0.0 };
                sums[j] = if ends { 0.0 } else { sums[j] } + value * x[j];
            }
            segment = of_row;
        }
        for j in 0..N {
            out[at][j] = totals[j] + sums[j];
        }
    }
}

#[inline(always)]
fn scatter_few<I: Index, T: Element, const FRONT: bool, const N: usize>(
    lines: &Lines<'_, I, T>,
    mut front: Front<'_>,
    y: &[f64],
    out: &mut [f64],
) {
    let (y, out) = (y.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for at in 0..lines.lines.len().min(y.len()) {
        let (mut entries, y) = (lines.entries::<FRONT>(at, &front), y[at]);
        while let Some((row, value)) = entries.next() {
            let out = &mut out[row];
            for j in 0..N {
                out[j] += value * y[j];
            }
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
