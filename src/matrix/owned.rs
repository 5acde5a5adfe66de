//! Owned storage: cache-line aligned, and an error instead of an abort when memory runs out.

use super::{Dense, DenseMut, Real};
use crate::error::{Error, Result};
use crate::parallel::Context;
use std::alloc::{Layout, alloc_zeroed};

/// Words of a cache line.
const LINE: usize = 8;

/// A zeroed buffer of `len` numbers that starts on a cache line.
pub struct Buffer<T> {
    /// A line longer than is needed, to begin at its `first` word.
    words: Vec<u64>,
    first: usize,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Real> Buffer<T> {
    /// `len` zeros, or [`Error::Allocation`].
    pub fn zeros(len: usize, purpose: &'static str) -> Result<Self> {
        let bytes = len as u128 * size_of::<T>() as u128;
        let failed = || Error::Allocation { bytes, purpose };
        let count = usize::try_from(bytes.div_ceil(8)).map_err(|_| failed())?;
        let words = untouched(count.saturating_add(LINE)).ok_or_else(failed)?;
        let first = words.as_ptr().align_offset(64);
        Ok(Self { words, first, len, element: std::marker::PhantomData })
    }

    /// A copy of a slice, or [`Error::Allocation`].
    pub fn copy_of(slice: &[T], purpose: &'static str) -> Result<Self> {
        let mut copy = Self::zeros(slice.len(), purpose)?;
        copy.copy_from_slice(slice);
        Ok(copy)
    }

    /// [`Buffer::copy_of`] that can be interrupted.
    pub fn copy_in_pieces(context: &Context, slice: &[T], purpose: &'static str) -> Result<Self> {
        let mut copy = Self::zeros(slice.len(), purpose)?;
        for piece in context.pieces(0..slice.len()) {
            let piece = piece?;
            copy[piece.clone()].copy_from_slice(&slice[piece]);
        }
        Ok(copy)
    }
}

impl<T: Real> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: there are at least `len` numbers from the first word on, which is aligned, and every bit pattern
        // is a number (`Real` is implemented for `f32` and `f64` only).
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().add(self.first).cast(), self.len) }
    }
}

impl<T: Real> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().add(self.first).cast(), self.len) }
    }
}

/// Zeros as the system hands them out, page by page when they are first used: nobody waits for them here.
fn untouched(len: usize) -> Option<Vec<u64>> {
    let layout = Layout::array::<u64>(len).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    in_large_pages(start, layout.size());
    // SAFETY: so many words, all initialised, of the allocator and layout of a vector.
    (!start.is_null()).then(|| unsafe { Vec::from_raw_parts(start.cast(), len, len) })
}

/// Asks the system for large pages, as NumPy does, of which far fewer have to be handed out.
#[cfg(target_os = "linux")]
fn in_large_pages(start: *mut u8, bytes: usize) {
    const PAGE: usize = 1 << 12;
    if !start.is_null() && bytes >= 1 << 22 {
        let skipped = start.align_offset(PAGE);
        // SAFETY: these pages belong to the allocation, and what the advice changes is how they are handed out. A system
        // that does not take it says so, and nothing is lost.
        unsafe { libc::madvise(start.add(skipped).cast(), bytes - skipped, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(_: *mut u8, _: usize) {}

/// An owned matrix, column-major without gaps.
pub struct Mat<T> {
    data: Buffer<T>,
    nrows: usize,
    ncols: usize,
}

impl<T: Real> Mat<T> {
    /// A matrix of zeros.
    pub fn zeros(nrows: usize, ncols: usize) -> Result<Self> {
        let len = nrows.checked_mul(ncols).ok_or(Error::Allocation {
            bytes: nrows as u128 * ncols as u128 * size_of::<T>() as u128,
            purpose: "a matrix",
        })?;
        Ok(Self { data: Buffer::zeros(len, "a matrix")?, nrows, ncols })
    }

    /// The matrix whose entry (i, j) is `entry(i, j)`.
    pub fn from_fn(nrows: usize, ncols: usize, entry: impl Fn(usize, usize) -> T) -> Result<Self> {
        let mut a = Self::zeros(nrows, ncols)?;
        for j in 0..ncols {
            for (i, value) in a.col_mut(j).iter_mut().enumerate() {
                *value = entry(i, j);
            }
        }
        Ok(a)
    }

    /// The identity.
    pub fn identity(n: usize) -> Result<Self> {
        Self::from_fn(n, n, |i, j| T::from_f64(f64::from(i == j)))
    }

    /// A copy of a view.
    pub fn copy_of(a: Dense<'_, T>) -> Result<Self> {
        let mut copy = Self::zeros(a.nrows(), a.ncols())?;
        copy.as_mut().copy_from(a);
        Ok(copy)
    }

    /// A copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { data: Buffer::copy_of(&self.data, "a matrix")?, ..*self })
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// All entries, column after column.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All entries, column after column.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Column `j`.
    pub fn col(&self, j: usize) -> &[T] {
        &self.data[j * self.nrows..(j + 1) * self.nrows]
    }

    /// Column `j`.
    pub fn col_mut(&mut self, j: usize) -> &mut [T] {
        &mut self.data[j * self.nrows..(j + 1) * self.nrows]
    }

    /// The whole matrix as a view.
    pub fn as_ref(&self) -> Dense<'_, T> {
        Dense::column_major(&self.data, self.nrows, self.ncols)
    }

    /// The whole matrix as a mutable view.
    pub fn as_mut(&mut self) -> DenseMut<'_, T> {
        DenseMut::column_major(&mut self.data, self.nrows, self.ncols)
    }
}

impl<T> std::ops::Index<(usize, usize)> for Mat<T>
where
    T: Real,
{
    type Output = T;
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[j * self.nrows + i]
    }
}

impl<T: Real> std::ops::IndexMut<(usize, usize)> for Mat<T> {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut T {
        &mut self.data[j * self.nrows + i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_a_cache_line_and_fail_softly() {
        let buffer = Buffer::<f32>::zeros(17, "a test").unwrap();
        assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (17, 0));
        assert!(matches!(Buffer::<f64>::zeros(1 << 61, "a test"), Err(Error::Allocation { .. })));
        assert!(matches!(Mat::<f64>::zeros(usize::MAX, 2), Err(Error::Allocation { .. })));
    }

    #[test]
    fn matrices_are_column_major() {
        let a = Mat::from_fn(2, 3, |i, j| (10 * i + j) as f64).unwrap();
        assert_eq!(a.as_slice(), [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
        assert_eq!(a.as_ref().get(1, 2), a[(1, 2)]);
    }
}
