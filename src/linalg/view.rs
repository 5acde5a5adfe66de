//! Our numbers and views as faer's, and scratch memory for its routines.

use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Real};
use crate::memory::room_for;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::matmul::matmul;
use faer::traits::RealField;
use faer::{Accum, MatMut, MatRef, Par};
use std::cell::Cell;
use std::ops::{Neg, Sub};
use std::panic::resume_unwind;

/// The element types that the dense kernels are compiled for.
pub trait Scalar: Real + RealField + Neg<Output = Self> + Sub<Output = Self> {}
impl Scalar for f64 {}
impl Scalar for f32 {}

/// A faer view of the same memory.
pub(super) fn view<T: Scalar>(a: Dense<'_, T>) -> MatRef<'_, T> {
    let (nrows, ncols) = (a.nrows(), a.ncols());
    let [row_stride, col_stride] = strides(a);
    // SAFETY: `strides` has checked that every entry lies within the slice, and the view borrows the slice
    // for as long as it lives.
    unsafe { MatRef::from_raw_parts(a.data().as_ptr(), nrows, ncols, row_stride, col_stride) }
}

/// A mutable faer view of the same memory, on a thread that has a workspace.
pub(super) fn view_mut<T: Scalar>(mut a: DenseMut<'_, T>) -> MatMut<'_, T> {
    ensure_workspace();
    let (nrows, ncols) = (a.nrows(), a.ncols());
    let [row_stride, col_stride] = strides(a.as_ref());
    // SAFETY: as in `view`; distinct entries are distinct elements, because a `DenseMut` is a window, or
    // its transpose, of a matrix stored without overlap; and `a`, the only way to its slice, ends here.
    unsafe { MatMut::from_raw_parts_mut(a.data().as_mut_ptr(), nrows, ncols, row_stride, col_stride) }
}

/// Address space that is free when faer takes its workspace: twice the last-level cache of a thread, on all but the largest
/// machines.
const WORKSPACE: usize = 1 << 26;

thread_local! {
    static HAS_WORKSPACE: Cell<bool> = const { Cell::new(false) };
}

/// The same for whoever cannot return a `Result`: an error unwinds to [`crate::error::catch_panic`].
pub(super) fn ensure_workspace() {
    if let Err(error) = make_workspace() {
        resume_unwind(Box::new(error));
    }
}

/// Lets faer allocate what its products pack into, which it does at the first of a thread, for good, and with an abort if
/// there is no memory.
pub(crate) fn make_workspace() -> Result<()> {
    if HAS_WORKSPACE.get() {
        return Ok(());
    }
    room_for::<u8>(WORKSPACE, "the workspace of dense products")?;
    HAS_WORKSPACE.set(true);
    const ORDER: usize = 48; // enough to be packed
    let (ones, mut product) = ([1.0f64; ORDER * ORDER], [0.0f64; ORDER * ORDER]);
    let ones = MatRef::from_column_major_slice(&ones, ORDER, ORDER);
    let product = MatMut::from_column_major_slice_mut(&mut product, ORDER, ORDER);
    matmul(product, Accum::Replace, ones, ones, 1.0, Par::Seq);
    Ok(())
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

/// How much memory a routine works in.
#[derive(Clone, Copy, Debug)]
pub struct ScratchSize(pub(super) StackReq);

impl ScratchSize {
    /// Enough for either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

/// Memory that routines work in: made once, lent to one call after the other.
pub struct Scratch(MemBuffer);

impl Scratch {
    /// As much as asked for, or an error.
    pub fn new(size: ScratchSize) -> Result<Self> {
        Ok(Self(scratch(size.0)?))
    }

    pub(super) fn stack(&mut self) -> &mut MemStack {
        MemStack::new(&mut self.0)
    }
}

/// Scratch memory of the size that a routine asks for.
pub(super) fn scratch(request: StackReq) -> Result<MemBuffer> {
    MemBuffer::try_new(request).map_err(|_| Error::Allocation {
        bytes: request.unaligned_bytes_required() as u128,
        purpose: "the scratch of a dense factorisation",
    })
}
