//! Our views as faer's, and scratch memory for its routines.

use super::Scalar;
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut};
use faer::dyn_stack::{MemBuffer, StackReq};
use faer::{MatMut, MatRef};

/// A faer view of the same memory.
pub(super) fn view<T: Scalar>(a: Dense<'_, T>) -> MatRef<'_, T> {
    let (nrows, ncols) = (a.nrows(), a.ncols());
    let [row_stride, col_stride] = strides(a);
    // SAFETY: `strides` has checked that every entry lies within the slice, and the view borrows the slice
    // for as long as it lives.
    unsafe { MatRef::from_raw_parts(a.data().as_ptr(), nrows, ncols, row_stride, col_stride) }
}

/// A mutable faer view of the same memory.
pub(super) fn view_mut<T: Scalar>(mut a: DenseMut<'_, T>) -> MatMut<'_, T> {
    let (nrows, ncols) = (a.nrows(), a.ncols());
    let [row_stride, col_stride] = strides(a.as_ref());
    // SAFETY: as in `view`; distinct entries are distinct elements, because a `DenseMut` is a window, or
    // its transpose, of a matrix stored without overlap; and `a`, the only way to its slice, ends here.
    unsafe { MatMut::from_raw_parts_mut(a.data().as_mut_ptr(), nrows, ncols, row_stride, col_stride) }
}

/// The strides as faer wants them, 1 along an axis with nothing to step over.
///
/// Panics if an entry lies outside the slice.
fn strides<T: Scalar>(a: Dense<'_, T>) -> [isize; 2] {
    let reach = |len: usize, stride: usize| len.saturating_sub(1).checked_mul(stride);
    let last = reach(a.nrows(), a.row_stride())
        .and_then(|rows| rows.checked_add(reach(a.ncols(), a.col_stride())?))
        .filter(|&last| last < a.data().len());
    assert!(last.is_some() || a.nrows() == 0 || a.ncols() == 0, "a view that reaches past its slice");
    [(a.nrows(), a.row_stride()), (a.ncols(), a.col_stride())]
        .map(|(len, stride)| if len > 1 { stride as isize } else { 1 })
}

/// Scratch memory of the size that a routine asks for.
pub(super) fn scratch(request: StackReq) -> Result<MemBuffer> {
    MemBuffer::try_new(request).map_err(|_| Error::Allocation {
        bytes: request.unaligned_bytes_required() as u128,
        purpose: "the scratch of a dense factorisation",
    })
}
