//! A few rows at a time: their products with others, and what they add to sums of rows, in their own precision as long as
//! the sums are short.
//!
//! Lanes run along the rows. What is worked on at a time is a matter of the instruction set and changes no bit. Entries that
//! are zero change none either, so that rows of which only the others are stored give the same ([`stored_products`]).

use super::kernel;
use super::lanes::{Element, Lanes, Register};

/// Columns over which products are summed up in the precision of the rows; such sums are added in double precision.
pub const SLAB: usize = 1024;

/// Row `i` of a matrix that has its rows one after the other.
#[inline(always)]
fn row_of<T>(rows: &[T], d: usize, i: usize) -> *const T {
    rows[i * d..][..d].as_ptr()
}

kernel! {
    /// `out = x y'`, row after row: the products of rows with others, which lie one after the other. Each is the sum, over
    /// slabs of `SLAB` columns in order, of those of as many chains of fused multiply-adds as there are lanes.
    ///
    /// Panics if rows are not as long as others, or `out` has not as many numbers as there are products.
    pub fn row_products<V, T: Element>(x: &[&[T]], y: &[T], out: &mut [f64]) {
        let Some(d) = x.first().map(|row| row.len()) else { return };
        let count = out.len() / x.len();
        assert!(out.len() == x.len() * count && y.len() == count * d && x.iter().all(|row| row.len() == d));
        let next = next_after(x);
        for i in (0..x.len()).step_by(2) {
            let out = &mut out[i * count..];
            // SAFETY: rows of d numbers each, as many as others: measured above.
            unsafe {
                if i + 1 < x.len() {
                    with_others::<V, T, 2>([x[i], x[i + 1]], (d, count, next), y, out);
                } else {
                    with_others::<V, T, 1>([x[i]], (d, count, next), y, out);
                }
            }
        }
    }
}

/// Bytes of rows that are looked for ahead of their turn: they and those at hand fit into the cache of a core.
const AHEAD: usize = 256 << 10;

/// How far behind each of some rows, if they lie one after the other, is that of the next so many; none if these are too
/// large, or rows lie elsewhere.
fn next_after<T>(x: &[&[T]]) -> Option<usize> {
    let at = |i: usize| x[i].as_ptr().addr();
    let (first, last) = (at(0), at(x.len() - 1));
    let step = if x.len() > 1 { at(1).wrapping_sub(first) } else { 0 };
    let bytes = step.wrapping_mul(x.len());
    (bytes > 0 && bytes <= AHEAD && last.wrapping_sub(first) == bytes - step)
        .then_some(bytes / size_of::<T>())
}

/// The products of some rows with all others. Of those that come `next` the first is fetched meanwhile: of each two rows
/// one while there are products, the other one while there are sums, for memory is slower than either.
///
/// # Safety
/// All have d numbers.
#[inline(always)]
unsafe fn with_others<V: Lanes, T: Element, const R: usize>(
    x: [&[T]; R],
    (d, count, next): (usize, usize, Option<usize>),
    y: &[T],
    out: &mut [f64],
) {
    let (most, mut j) = (if V::ROOM == 16 { 8 } else { 2 }, 0);
    let mut left = [std::ptr::null(); R];
    for r in 0..R {
        left[r] = x[r].as_ptr();
    }
    let mut place = Tile { left, d, next };
    while j < count {
        // SAFETY: as said.
        j += unsafe {
            match (count - j).min(most) {
                8 => place.put::<V, 8>(y, j, count, out),
                4..8 => place.put::<V, 4>(y, j, count, out),
                2..4 => place.put::<V, 2>(y, j, count, out),
                _ => place.put::<V, 1>(y, j, count, out),
            }
        };
        place.next = None;
    }
}

kernel! {
    /// `out = x x'`, m x m: the same products of rows with each other.
    ///
    /// Panics if rows are not of one length, or `out` has not as many numbers as there are products.
    pub fn row_gram<V, T: Element>(x: &[&[T]], out: &mut [f64]) {
        let Some(d) = x.first().map(|row| row.len()) else { return };
        assert!(out.len() == x.len() * x.len() && x.iter().all(|row| row.len() == d));
        if V::ROOM == 16 {
            triangle::<V, T, 4>(x, d, out);
        } else {
            triangle::<V, T, 2>(x, d, out);
        }
    }
}

/// By tiles of `STEP` x `STEP` on and below the diagonal.
#[inline(always)]
fn triangle<V: Lanes, T: Element, const STEP: usize>(x: &[&[T]], d: usize, out: &mut [f64]) {
    let m = x.len();
    for i in (0..m).step_by(STEP) {
        for j in (0..=i).step_by(STEP) {
            if i + STEP <= m {
                square::<V, T, STEP>(x, (i, j), d, out);
                continue;
            }
            for i in i..m {
                for j in j..m.min(j + STEP) {
                    square::<V, T, 1>(x, (i, j), d, out);
                }
            }
        }
    }
}

/// Rows i to i + N - 1 times rows j to j + N - 1, and the other way round.
#[inline(always)]
fn square<V: Lanes, T: Element, const N: usize>(
    x: &[&[T]],
    (i, j): (usize, usize),
    d: usize,
    out: &mut [f64],
) {
    let (mut left, mut right) = ([std::ptr::null(); N], [std::ptr::null(); N]);
    for k in 0..N {
        (left[k], right[k]) = (x[i + k].as_ptr(), x[j + k].as_ptr());
    }
    // SAFETY: rows of d numbers each: measured by `row_gram`.
    let products = unsafe { Tile { left, d, next: None }.products::<V, N>(right) };
    for r in 0..N {
        for c in 0..N {
            out[(i + r) * x.len() + j + c] = products[r][c];
            out[(j + c) * x.len() + i + r] = products[r][c];
        }
    }
}

/// R rows of d numbers.
#[derive(Clone, Copy)]
struct Tile<T, const R: usize> {
    left: [*const T; R],
    d: usize,
    /// How far behind are rows to be fetched.
    next: Option<usize>,
}

impl<T: Element, const R: usize> Tile<T, R> {
    /// Writes the products with C others, from the j-th of `count` on; C.
    ///
    /// # Safety
    /// All have d numbers.
    #[inline(always)]
    unsafe fn put<V: Lanes, const C: usize>(self, y: &[T], j: usize, count: usize, out: &mut [f64]) -> usize {
        let mut right = [std::ptr::null(); C];
        for c in 0..C {
            right[c] = row_of(y, self.d, j + c);
        }
        // SAFETY: as said.
        let products = unsafe { self.products::<V, C>(right) };
        for r in 0..R {
            out[r * count + j..][..C].copy_from_slice(&products[r]);
        }
        C
    }

    /// The products with C others.
    ///
    /// # Safety
    /// All have d numbers.
    #[inline(always)]
    unsafe fn products<V: Lanes, const C: usize>(self, right: [*const T; C]) -> [[f64; C]; R] {
        let Self { left, d, next } = self;
        let lanes = <T::In<V>>::COUNT;
        let zero = <T::In<V>>::load_head(&[]);
        let (mut totals, mut from) = ([[0.0; C]; R], 0);
        while from < d {
            let end = d.min(from + SLAB);
            let (mut sums, mut k) = ([[zero; C]; R], from);
            while k + 2 * lanes <= end {
                // SAFETY: columns k to k + 2 lanes - 1 < d.
                unsafe {
                    self.add_products::<V, C>(right, k, &mut sums);
                    self.add_products::<V, C>(right, k + lanes, &mut sums);
                }
                if let Some(next) = next {
                    V::prefetch_far(left[0].wrapping_add(next + k));
                    V::prefetch_far(left[0].wrapping_add(next + k + lanes));
                }
                k += 2 * lanes;
            }
            if k + lanes <= end {
                // SAFETY: as above.
                unsafe { self.add_products::<V, C>(right, k, &mut sums) };
                k += lanes;
            }
            if k < end {
                for c in 0..C {
                    // SAFETY: columns k to end - 1 < d.
                    let other = unsafe { head_of::<V, T>(right[c], k, end) };
                    for r in 0..R {
                        // SAFETY: as above.
                        let row = unsafe { head_of::<V, T>(left[r], k, end) };
                        sums[r][c] = row.mul_add(other, sums[r][c]);
                    }
                }
            }
            for r in 0..R {
                for c in 0..C {
                    totals[r][c] += sums[r][c].sum().to_f64();
                }
            }
            from = end;
        }
        totals
    }

    /// Those of a register of columns, from k on.
    ///
    /// # Safety
    /// There are so many.
    #[inline(always)]
    unsafe fn add_products<V: Lanes, const C: usize>(
        self,
        right: [*const T; C],
        k: usize,
        sums: &mut [[T::In<V>; C]; R],
    ) {
        let mut rows = [<T::In<V>>::load_head(&[]); R];
        for r in 0..R {
            // SAFETY: as said.
            rows[r] = <T::In<V>>::load(unsafe { &*self.left[r].add(k).cast() });
        }
        for c in 0..C {
            // SAFETY: as said.
            let other = <T::In<V>>::load(unsafe { &*right[c].add(k).cast() });
            for r in 0..R {
                sums[r][c] = rows[r].mul_add(other, sums[r][c]);
            }
        }
    }
}

/// Columns k to end - 1, fewer than a register has.
///
/// # Safety
/// There are so many.
#[inline(always)]
unsafe fn head_of<V: Lanes, T: Element>(row: *const T, k: usize, end: usize) -> T::In<V> {
    // SAFETY: as said.
    <T::In<V>>::load_head(unsafe { std::slice::from_raw_parts(row.add(k), end - k) })
}

kernel! {
    /// `sums += c'x`: row j of the sums, which lie one after the other, takes what rows are times column j of c, which has a
    /// row of b numbers for each of them. What is added to an entry is one chain of fused multiply-adds, row by row, in the
    /// precision of the rows.
    ///
    /// Panics if rows are not of one length, or anything has not as many numbers as there are of them.
    pub fn add_rows<V, T: Element>(x: &[&[T]], c: &[T], sums: &mut [f64]) {
        strips::<V, T, _>(x, c, sums.len(), &mut Added(sums));
    }
}

kernel! {
    /// What [`add_rows`] adds.
    ///
    /// Panics as that does.
    pub fn sums_of_rows<V, T: Element>(x: &[&[T]], c: &[T], sums: &mut [T]) {
        strips::<V, T, _>(x, c, sums.len(), &mut Alone(sums));
    }
}

/// Where a register of numbers goes, or as many of them as that.
trait Target<T> {
    fn put<V: Lanes>(&mut self, at: usize, numbers: &[T; 16], len: usize);
}

/// To sums in double precision.
struct Added<'s>(&'s mut [f64]);

/// Where there is nothing yet.
struct Alone<'s, T>(&'s mut [T]);

impl<T: Element> Target<T> for Added<'_> {
    #[inline(always)]
    fn put<V: Lanes>(&mut self, at: usize, numbers: &[T; 16], len: usize) {
        let (to, rest) = self.0[at..][..len].as_chunks_mut::<8>();
        let (numbers, _) = numbers.as_chunks::<8>();
        for h in 0..to.len() {
            V::load(&to[h]).add(T::load::<V>(&numbers[h])).store(&mut to[h]);
        }
        if !rest.is_empty() {
            V::load_head(rest).add(T::load_head::<V>(&numbers[to.len()][..rest.len()])).store_head(rest);
        }
    }
}

impl<T: Element> Target<T> for Alone<'_, T> {
    #[inline(always)]
    fn put<V: Lanes>(&mut self, at: usize, numbers: &[T; 16], len: usize) {
        let to = &mut self.0[at..][..len];
        match <&mut [T; 16]>::try_from(&mut *to) {
            Ok(to) => *to = *numbers,
            Err(_) => to.copy_from_slice(&numbers[..len]),
        }
    }
}

/// By strips of two registers of columns, and as many sums at a time as there are registers for.
#[inline(always)]
fn strips<V: Lanes, T: Element, S: Target<T>>(x: &[&[T]], c: &[T], len: usize, to: &mut S) {
    let Some(d) = x.first().map(|row| row.len()) else { return };
    let b = c.len() / x.len();
    assert!(c.len() == x.len() * b && len == b * d && x.iter().all(|row| row.len() == d));
    let (lanes, most) = (<T::In<V>>::COUNT, if V::ROOM == 16 { 8 } else { 2 });
    let (mut k, next) = (0, next_after(x));
    while k < d {
        let wide = k + 2 * lanes <= d;
        let width = if wide { 2 * lanes } else { lanes.min(d - k) };
        let mut j = 0;
        while j < b {
            let place = Strip { x, c, d, b, j, k, width, next: next.filter(|_| j == 0) };
            j += match ((b - j).min(most), wide) {
                (8, true) => place.sum::<V, S, 2, 8>(to),
                (4..8, true) => place.sum::<V, S, 2, 4>(to),
                (2..4, true) => place.sum::<V, S, 2, 2>(to),
                (_, true) => place.sum::<V, S, 2, 1>(to),
                (8, false) => place.sum::<V, S, 1, 8>(to),
                (2..8, false) => place.sum::<V, S, 1, 2>(to),
                (_, false) => place.sum::<V, S, 1, 1>(to),
            };
        }
        k += width;
    }
}

/// Columns k to k + width - 1, from sum j on.
#[derive(Clone, Copy)]
struct Strip<'s, 'x, T> {
    x: &'s [&'x [T]],
    c: &'s [T],
    d: usize,
    b: usize,
    j: usize,
    k: usize,
    width: usize,
    /// How far behind are rows to be fetched.
    next: Option<usize>,
}

impl<T: Element> Strip<'_, '_, T> {
    /// `REGISTERS` registers of columns, whole unless it is one, of `SUMS` sums; how many these are.
    #[inline(always)]
    fn sum<V: Lanes, S: Target<T>, const REGISTERS: usize, const SUMS: usize>(&self, to: &mut S) -> usize {
        let Self { x, c, d, b, j, k, width, next } = *self;
        let lanes = <T::In<V>>::COUNT;
        let head = if REGISTERS > 1 { lanes } else { width.min(lanes) };
        let zero = <T::In<V>>::load_head(&[]);
        let mut chains = [[zero; REGISTERS]; SUMS];
        for i in 0..x.len() {
            let row = x[i].as_ptr();
            let mut numbers = [zero; REGISTERS];
            if let Some(next) = next.filter(|_| i % 2 == 1) {
                for w in 0..REGISTERS {
                    V::prefetch_far(row.wrapping_add(next + k + w * lanes));
                }
            }
            for w in 0..REGISTERS {
                // SAFETY: columns k to k + width - 1 of d: measured by `strips`.
                numbers[w] = unsafe {
                    if head == lanes {
                        <T::In<V>>::load(&*row.add(k + w * lanes).cast())
                    } else {
                        head_of::<V, T>(row, k, k + head)
                    }
                };
            }
            for s in 0..SUMS {
                // SAFETY: of a row of b numbers for each of x: measured by `strips`.
                let factor = <T::In<V>>::splat(unsafe { *c.get_unchecked(i * b + j + s) });
                for w in 0..REGISTERS {
                    chains[s][w] = numbers[w].mul_add(factor, chains[s][w]);
                }
            }
        }
        for s in 0..SUMS {
            for w in 0..REGISTERS {
                let mut numbers = [T::ZERO; 16];
                // SAFETY: there are 16 numbers, at least as many as lanes.
                chains[s][w].store(unsafe { &mut *numbers.as_mut_ptr().cast() });
                to.put::<V>((j + s) * d + k + w * lanes, &numbers, head);
            }
        }
        SUMS
    }
}

/// The entries of a row that may be other than zero.
#[derive(Clone, Copy)]
pub struct Stored<'a, T> {
    /// Their columns, increasing.
    pub columns: &'a [u32],
    /// Their values, as many.
    pub values: &'a [T],
}

impl<T> Default for Stored<'_, T> {
    fn default() -> Self {
        Self { columns: &[], values: &[] }
    }
}

kernel! {
    /// [`row_products`] of rows of which only entries are stored, to the bit.
    ///
    /// Panics if a column is not among the d of the others, or `out` has not as many numbers as there are products.
    pub fn stored_products<V, T: Element>(x: &[Stored<'_, T>], y: &[T], d: usize, out: &mut [f64]) {
        let count = out.len().checked_div(x.len()).unwrap_or(0);
        assert!(out.len() == x.len() * count && y.len() == count * d);
        for i in 0..x.len() {
            let mut j = 0;
            while j < count {
                let (y, out) = (&y[j * d..], &mut out[i * count + j..]);
                j += if count - j >= 8 { of_stored::<V, T, 8>(x[i], y, d, out) } else { of_stored::<V, T, 1>(x[i], y, d, out) };
            }
        }
    }
}

kernel! {
    /// [`row_gram`] of such rows, to the bit; `spread` is d zeros, before and after.
    ///
    /// Panics if a column is not below d, or `out` has not as many numbers as there are products.
    pub fn stored_gram<V, T: Element>(x: &[Stored<'_, T>], spread: &mut [T], out: &mut [f64]) {
        let m = x.len();
        assert!(out.len() == m * m);
        for i in 0..m {
            for k in 0..x[i].columns.len() {
                spread[x[i].columns[k] as usize] = x[i].values[k];
            }
            for j in 0..=i {
                let (mut columns, mut values, mut count) = ([0; MEET], [T::ZERO; MEET], 0);
                for (&column, &value) in x[j].columns.iter().zip(x[j].values) {
                    if spread[column as usize].to_f64() != 0.0 {
                        if count < MEET {
                            (columns[count], values[count]) = (column, value);
                        }
                        count += 1;
                    }
                }
                let both = match count {
                    0..=MEET => Stored { columns: &columns[..count], values: &values[..count] },
                    _ => x[j],
                };
                let mut product = [0.0];
                of_stored::<V, T, 1>(both, spread, spread.len(), &mut product);
                out[i * m + j] = product[0];
                out[j * m + i] = product[0];
            }
            for &column in x[i].columns {
                spread[column as usize] = T::ZERO;
            }
        }
    }
}

/// Entries that two rows have in common, as many as are put together.
const MEET: usize = 64;

/// What a row is along so many others, which is returned. Registers of columns that have no entry would change nothing.
#[inline(always)]
fn of_stored<V: Lanes, T: Element, const J: usize>(
    x: Stored<'_, T>,
    y: &[T],
    d: usize,
    out: &mut [f64],
) -> usize {
    let lanes = <T::In<V>>::COUNT;
    let Stored { columns, values } = x;
    let zero = <T::In<V>>::load_head(&[]);
    let (mut totals, mut k) = ([0.0; J], 0);
    assert!(y.len() >= J * d && columns.len() == values.len());
    while k < columns.len() {
        let (mut sums, slab) = ([zero; J], columns[k] as usize / SLAB);
        while k < columns.len() && columns[k] as usize / SLAB == slab {
            let first = columns[k] as usize / lanes * lanes;
            let mut numbers = [T::ZERO; 16];
            while k < columns.len() && columns[k] as usize / lanes * lanes == first {
                numbers[columns[k] as usize % lanes] = values[k];
                k += 1;
            }
            // SAFETY: there are 16 numbers, at least as many as lanes.
            let x = <T::In<V>>::load(unsafe { &*numbers.as_ptr().cast() });
            let width = d.saturating_sub(first).min(lanes);
            assert!(width > 0);
            for j in 0..J {
                // SAFETY: `width` numbers from `first` on, of the d of row j.
                let other = unsafe {
                    let from = y.as_ptr().add(j * d + first);
                    if width == lanes {
                        <T::In<V>>::load(&*from.cast())
                    } else {
                        <T::In<V>>::load_head(std::slice::from_raw_parts(from, width))
                    }
                };
                sums[j] = x.mul_add(other, sums[j]);
            }
        }
        for j in 0..J {
            totals[j] += sums[j].sum().to_f64();
        }
    }
    out[..J].copy_from_slice(&totals);
    J
}

kernel! {
    /// [`add_rows`] of such rows, to the bit; `chains` is b zeros for each of d columns, before and after.
    ///
    /// Panics if a column is not below d, or anything has not as many numbers as there are of them.
    pub fn add_stored<V, T: Element>(x: &[Stored<'_, T>], c: &[T], chains: &mut [T], sums: &mut [f64]) {
        let b = c.len().checked_div(x.len()).unwrap_or(0);
        let d = sums.len().checked_div(b).unwrap_or(0);
        assert!(c.len() == x.len() * b && sums.len() == b * d && chains.len() >= b * d);
        for i in 0..x.len() {
            let factors = &c[i * b..][..b];
            for (&column, &value) in x[i].columns.iter().zip(x[i].values) {
                let value = <T::In<V>>::splat(value);
                let chains = &mut chains[column as usize * b..][..b];
                for j in (0..b).step_by(<T::In<V>>::COUNT) {
                    let to = b.min(j + <T::In<V>>::COUNT);
                    let chain = <T::In<V>>::load_head(&chains[j..to]);
                    value.mul_add(<T::In<V>>::load_head(&factors[j..to]), chain).store_head(&mut chains[j..to]);
                }
            }
        }
        for &column in x.iter().flat_map(|row| row.columns) {
            let column = column as usize;
            assert!(column < d);
            for j in 0..b {
                // Of a column that several rows have, all is taken the first time.
                sums[j * d + column] += chains[column * b + j].to_f64();
                chains[column * b + j] = T::ZERO;
            }
        }
    }
}

kernel! {
    /// The sum of the squares of such a row of d numbers, as [`norm_sq`](super::norm_sq) has it, to the bit.
    pub fn stored_norm_sq<V, T: Element>(x: Stored<'_, T>, d: usize) -> f64 {
        let (whole, mut chains) = (d / 8 * 8, [[0.0; 8]; 4]);
        for (&column, value) in x.columns.iter().zip(x.values) {
            let (column, value) = (column as usize, value.to_f64());
            // What is left of whole registers goes to the last chain.
            let chain = if column < whole { column / 8 % 4 } else { 3 };
            let sum = &mut chains[chain][column % 8];
            *sum = value.mul_add(value, *sum);
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| V::load(&chains[k]));
        a.add(b).add(c.add(d)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};
    use crate::simd::{axpy, norm_sq};

    fn number(k: usize) -> f64 {
        ((k * 2654435761) % 1009) as f64 / 1009.0 - 0.5
    }

    /// Rows of which all but every `step`-th entry are zero.
    fn rows(m: usize, d: usize, step: usize) -> Vec<f64> {
        (0..m * d).map(|k| if (k * k + k / d).is_multiple_of(step) { number(k + 3) } else { 0.0 }).collect()
    }

    fn agree<T: Element>(m: usize, d: usize, b: usize, step: usize, cast: impl Fn(f64) -> T, error: f64) {
        let wide = rows(m, d, step);
        let x: Vec<T> = wide.iter().map(|&x| cast(x)).collect();
        let y: Vec<T> = (0..b * d).map(|k| cast(number(k + 7))).collect();
        let c: Vec<T> = (0..m * b).map(|k| cast(number(k + 5))).collect();
        let start: Vec<f64> = (0..b * d).map(|k| number(k + 11)).collect();
        let lines: Vec<&[T]> = x.chunks_exact(d).collect();
        let entries = |row: &[T]| -> (Vec<u32>, Vec<T>) {
            (0..d).filter(|&k| row[k].to_f64() != 0.0).map(|k| (k as u32, row[k])).unzip()
        };
        let entries: Vec<(Vec<u32>, Vec<T>)> = lines.iter().map(|row| entries(row)).collect();
        let stored: Vec<Stored<'_, T>> =
            entries.iter().map(|(columns, values)| Stored { columns, values }).collect();
        let outcomes = on_every_path(|| {
            let (mut along, mut gram, mut sums) =
                (vec![f64::NAN; m * b], vec![f64::NAN; m * m], start.clone());
            row_products(&lines, &y, &mut along);
            row_gram(&lines, &mut gram);
            add_rows(&lines, &c, &mut sums);
            let norms: Vec<f64> = lines.iter().map(|row| norm_sq(row)).collect();
            let (mut added, mut others) = (vec![T::ZERO; b * d], start.clone());
            sums_of_rows(&lines, &c, &mut added);
            axpy(1.0, &added, &mut others);
            assert!(same_bits(&others, &sums));
            [along, gram, sums, norms].concat()
        });
        let of_stored = on_every_path(|| {
            let (mut along, mut gram, mut sums) =
                (vec![f64::NAN; m * b], vec![f64::NAN; m * m], start.clone());
            stored_products(&stored, &y, d, &mut along);
            let mut spread = vec![T::ZERO; d];
            stored_gram(&stored, &mut spread, &mut gram);
            let mut chains = vec![T::ZERO; b * d];
            add_stored(&stored, &c, &mut chains, &mut sums);
            assert!(spread.iter().chain(&chains).all(|x| x.to_f64() == 0.0));
            let norms: Vec<f64> = stored.iter().map(|&row| stored_norm_sq(row, d)).collect();
            [along, gram, sums, norms].concat()
        });
        assert!(
            outcomes.iter().chain(&of_stored).all(|one| same_bits(one, &outcomes[0])),
            "{m} {d} {b} {step}"
        );
        let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>();
        for i in 0..m {
            for j in 0..b {
                assert!((outcomes[0][i * b + j] - dot(lines[i], &y[j * d..][..d])).abs() < error);
            }
            for j in 0..m {
                assert!((outcomes[0][m * b + i * m + j] - dot(lines[i], lines[j])).abs() < error);
            }
        }
        for at in 0..b * d {
            let (j, k) = (at / d, at % d);
            let sum: f64 = (0..m).map(|i| c[i * b + j].to_f64() * lines[i][k].to_f64()).sum();
            assert!((outcomes[0][m * b + m * m + at] - start[at] - sum).abs() < error);
        }
    }

    #[test]
    fn products_and_sums_are_the_same_on_every_path_and_of_entries_alone() {
        for (m, d, b) in
            [(1, 1, 1), (3, 5, 2), (32, 19, 8), (7, 150, 12), (33, 40, 3), (5, 2100, 9), (4, 64, 4)]
        {
            for step in [1, 2, 9, 150] {
                agree(m, d, b, step, |x| x, 1e-12);
                agree(m, d, b, step, |x| x as f32, 1e-4);
            }
        }
    }

    #[test]
    fn what_is_added_is_one_chain() {
        let (m, d, b) = (9, 21, 5);
        let (x, c) = (rows(m, d, 1), rows(m, b, 1));
        let lines: Vec<&[f64]> = x.chunks_exact(d).collect();
        let mut sums = vec![0.25; b * d];
        add_rows(&lines, &c, &mut sums);
        for at in 0..b * d {
            let term = |sum, i: usize| f64::mul_add(lines[i][at % d], c[i * b + at / d], sum);
            assert_eq!(sums[at], 0.25 + (0..m).fold(0.0, term));
        }
    }
}
