//! Our views as faer's, and scratch memory for its routines.

use super::Scalar;
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut};
use faer::dyn_stack::{MemBuffer, StackReq};
use faer::{MatMut, MatRef};

/// A faer view of the same memory.
pub(super) fn view<T: Scalar>(a: Dense<'_, T>) -> MatRef<'_, T> {
    // SAFETY: `Dense` is only built over slices that hold every entry (i, j) at
    // `i * row_stride + j * col_stride`, and the view borrows the slice for as long as it lives.
    unsafe {
        MatRef::from_raw_parts(
            a.data().as_ptr(),
            a.nrows(),
            a.ncols(),
            stride(a.row_stride(), a.nrows()),
            stride(a.col_stride(), a.ncols()),
        )
    }
}

/// A mutable faer view of the same memory.
pub(super) fn view_mut<T: Scalar>(mut a: DenseMut<'_, T>) -> MatMut<'_, T> {
    let (nrows, ncols) = (a.nrows(), a.ncols());
    let (row_stride, col_stride) = (stride(a.row_stride(), nrows), stride(a.col_stride(), ncols));
    // SAFETY: as in `view`; distinct entries are distinct elements, because a `DenseMut` is a window, or
    // its transpose, of a matrix stored without overlap; and `a`, the only way to its slice, ends here.
    unsafe { MatMut::from_raw_parts_mut(a.data().as_mut_ptr(), nrows, ncols, row_stride, col_stride) }
}

/// A stride that is never used may be any number; only used ones are known to fit.
fn stride(stride: usize, len: usize) -> isize {
    if len > 1 { stride as isize } else { 1 }
}

/// Scratch memory of the size that a routine asks for.
pub(super) fn scratch(request: StackReq) -> Result<MemBuffer> {
    MemBuffer::try_new(request).map_err(|_| Error::Allocation {
        bytes: request.unaligned_bytes_required() as u128,
        purpose: "the scratch of a dense factorisation",
    })
}
