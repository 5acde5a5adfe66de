//! Compressed lines against a panel of vectors.
//!
//! A product is rounded before it is added: that is what one column by itself has always done. The sums of a line stay in
//! registers (gathered), or its vector does (scattered). Where a panel is larger than the caches, its rows are asked for
//! some entries ahead.

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
    /// Only entries with such an index, of sorted lines; the first is number zero of the panel.
    pub within: Option<Range<usize>>,
    /// Sums are added to the total at the multiples of this index.
    pub step: usize,
}

impl<I: Index, T> Lines<'_, I, T> {
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

    /// The entries before the next multiple of `step` at which a sum ends, taken from those that are left of a line.
    #[inline(always)]
    fn next_segment(&self, rest: &mut Range<usize>) -> Range<usize> {
        let start = rest.start;
        if self.step == usize::MAX {
            rest.start = rest.end;
        } else {
            let bound = (self.indices[start].offset() / self.step + 1).saturating_mul(self.step);
            let beyond = self.indices[rest.clone()].iter().position(|index| index.offset() >= bound);
            rest.start = beyond.map_or(rest.end, |length| start + length.max(1));
        }
        start..rest.start
    }

    #[inline(always)]
    fn first(&self) -> usize {
        self.within.as_ref().map_or(0, |within| within.start)
    }

    /// Asks for row `k` of a panel, so many entries before it is needed.
    #[inline(always)]
    fn prefetch<V: Lanes, const W: usize>(&self, k: usize, first: usize, panel: *const [[f64; 8]; W]) {
        if let Some(index) = self.indices.get(k + AHEAD) {
            let row = panel.wrapping_add(index.offset().wrapping_sub(first));
            for w in 0..W {
                V::prefetch(row.cast::<[f64; 8]>().wrapping_add(w));
            }
        }
    }
}

/// How many entries ahead rows are asked for, and of how large panels.
const AHEAD: usize = 12;
const LARGE: usize = 1 << 16;

kernel! {
    /// out += the lines times x. Panics if an index leads out of x.
    pub(super) fn gather<V, I: Index, T: Element>(lines: &Lines<'_, I, T>, width: usize, x: &[f64], out: &mut [f64]) {
        match (width, x.len() > LARGE) {
            (0, _) => (),
            (1, _) => gather_one(lines, x, out),
            (8, false) => gather_many::<V, I, T, 1, false>(lines, x, out),
            (16, false) => gather_many::<V, I, T, 2, false>(lines, x, out),
            (24, false) => gather_many::<V, I, T, 3, false>(lines, x, out),
            (32, false) => gather_many::<V, I, T, 4, false>(lines, x, out),
            (8, true) => gather_many::<V, I, T, 1, true>(lines, x, out),
            (16, true) => gather_many::<V, I, T, 2, true>(lines, x, out),
            (24, true) => gather_many::<V, I, T, 3, true>(lines, x, out),
            (32, true) => gather_many::<V, I, T, 4, true>(lines, x, out),
            _ => unreachable!("a panel of width {width}"),
        }
    }
}

kernel! {
    /// out += the transposed lines times y. Panics if an index leads out of `out`.
    pub(super) fn scatter<V, I: Index, T: Element>(lines: &Lines<'_, I, T>, width: usize, y: &[f64], out: &mut [f64]) {
        match (width, out.len() > LARGE) {
            (0, _) => (),
            (1, _) => scatter_one(lines, y, out),
            (8, false) => scatter_many::<V, I, T, 1, false>(lines, y, out),
            (16, false) => scatter_many::<V, I, T, 2, false>(lines, y, out),
            (24, false) => scatter_many::<V, I, T, 3, false>(lines, y, out),
            (32, false) => scatter_many::<V, I, T, 4, false>(lines, y, out),
            (8, true) => scatter_many::<V, I, T, 1, true>(lines, y, out),
            (16, true) => scatter_many::<V, I, T, 2, true>(lines, y, out),
            (24, true) => scatter_many::<V, I, T, 3, true>(lines, y, out),
            (32, true) => scatter_many::<V, I, T, 4, true>(lines, y, out),
            _ => unreachable!("a panel of width {width}"),
        }
    }
}

#[inline(always)]
fn gather_one<I: Index, T: Element>(lines: &Lines<'_, I, T>, x: &[f64], out: &mut [f64]) {
    let first = lines.first();
    for (line, out) in lines.lines.clone().zip(out) {
        let mut rest = lines.extent(line);
        while !rest.is_empty() {
            let segment = lines.next_segment(&mut rest);
            let mut sum = 0.0;
            for (index, value) in lines.indices[segment.clone()].iter().zip(&lines.values[segment]) {
                sum += value.widen() * x[index.offset().wrapping_sub(first)];
            }
            *out += sum;
        }
    }
}

#[inline(always)]
fn gather_many<V: Lanes, I: Index, T: Element, const W: usize, const FAR: bool>(
    lines: &Lines<'_, I, T>,
    x: &[f64],
    out: &mut [f64],
) {
    let first = lines.first();
    let x = x.as_chunks::<8>().0.as_chunks::<W>().0;
    let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<W>().0;
    for (line, out) in lines.lines.clone().zip(out) {
        let mut rest = lines.extent(line);
        while !rest.is_empty() {
            let segment = lines.next_segment(&mut rest);
            let (mut sums, mut k) = ([V::splat(0.0); W], segment.start);
            for (index, value) in lines.indices[segment.clone()].iter().zip(&lines.values[segment]) {
                if FAR {
                    lines.prefetch::<V, W>(k, first, x.as_ptr());
                    k += 1;
                }
                let (x, value) = (&x[index.offset().wrapping_sub(first)], V::splat(value.widen()));
                for w in 0..W {
                    sums[w] = sums[w].add(value.mul(V::load(&x[w])));
                }
            }
            for w in 0..W {
                V::load(&out[w]).add(sums[w]).store(&mut out[w]);
            }
        }
    }
}

#[inline(always)]
fn scatter_one<I: Index, T: Element>(lines: &Lines<'_, I, T>, y: &[f64], out: &mut [f64]) {
    let first = lines.first();
    for (line, &y) in lines.lines.clone().zip(y) {
        let extent = lines.extent(line);
        for (index, value) in lines.indices[extent.clone()].iter().zip(&lines.values[extent]) {
            out[index.offset().wrapping_sub(first)] += value.widen() * y;
        }
    }
}

#[inline(always)]
fn scatter_many<V: Lanes, I: Index, T: Element, const W: usize, const FAR: bool>(
    lines: &Lines<'_, I, T>,
    y: &[f64],
    out: &mut [f64],
) {
    let first = lines.first();
    let y = y.as_chunks::<8>().0.as_chunks::<W>().0;
    let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<W>().0;
    for (line, y) in lines.lines.clone().zip(y) {
        let mut ys = [V::splat(0.0); W];
        for w in 0..W {
            ys[w] = V::load(&y[w]);
        }
        let extent = lines.extent(line);
        let mut k = extent.start;
        for (index, value) in lines.indices[extent.clone()].iter().zip(&lines.values[extent]) {
            if FAR {
                lines.prefetch::<V, W>(k, first, out.as_ptr());
                k += 1;
            }
            let (out, value) = (&mut out[index.offset().wrapping_sub(first)], V::splat(value.widen()));
            for w in 0..W {
                V::load(&out[w]).add(value.mul(ys[w])).store(&mut out[w]);
            }
        }
    }
}
